// Objects of user classes in the specializer: those that never escape are their attributes, of others it is found out what
// these may hold.
#include "passes/specialize_internal.h"

static bool holds_class(const fst_types *types, fst_type type, fst_sym name) {
  const fst_type_data *t = fst_type_get(types, type);
  if (t->kind == FST_TY_CLASS) return t->name == name;
  for (uint32_t i = 0; (t->kind == FST_TY_TUPLE || t->kind == FST_TY_UNION) && i < t->count; i++)
    if (holds_class(types, t->items[i], name)) return true;
  bool has_elem = t->kind == FST_TY_LIST || t->kind == FST_TY_OPTIONAL || t->kind == FST_TY_DICT || t->kind == FST_TY_FUTURE;
  return t->kind == FST_TY_ANY || (has_elem && holds_class(types, t->elem, name));
}

uint32_t attr_site(specializer *sp, fst_sym class_name, fst_sym attr_name) {
  const fst_module *m = sp->src->module;
  const fst_block *entry = fst_block_get(sp->src, sp->src->entry);
  for (size_t i = 0; i < m->objects.len; i++)
    if (m->classes.data[m->objects.data[i].cls.id].name == class_name) return 0;
  for (size_t i = 0; i < entry->params.len; i++)
    if (holds_class(m->types, fst_value_type(sp->src, entry->params.data[i]), class_name)) return 0;
  for (size_t i = 1; i < sp->src->nodes.len; i++) {   // a call before this one may have left them
    const fst_node *n = sp->src->nodes.data[i];
    if (n->op == FST_OP_STATE_GET && n->block.id && holds_class(m->types, fst_value_type(sp->src, n->results[0]), class_name)) return 0;
  }
  uint32_t before = (uint32_t)(sp->src->nodes.len + entry->params.len);
  for (size_t i = 0; i < m->classes.len; i++) {
    const fst_class *cls = &m->classes.data[i];
    if (cls->name == class_name) {
      int attr = fst_class_attr(cls, attr_name);
      return attr < 0 ? 0 : before + (uint32_t)attr + 1;
    }
    before += cls->attr_count;
  }
  return 0;
}

static bool is_container(specializer *sp, fst_type type) {
  fst_type_kind kind = fst_type_kind_of(sp->out->module->types, type);
  return kind == FST_TY_LIST || kind == FST_TY_DICT;
}

// A list is then known by both sites, and what one takes in the other may give.
void attr_store(specializer *sp, const world *w, uint32_t site, fst_value_id value) {
  fst_type type = fst_value_type(sp->out, value);
  uint32_t own = site_of(sp, value);
  if (!site) return;
  if (!is_container(sp, type)) site_store(sp, site, type);
  else if (!own) site_store(sp, site, fst_type_erase(sp->out->module->types, fst_type_get(sp->out->module->types, type)->elem));
  else {
    site_store(sp, site, site_load(sp, w, own, FST_NO_TYPE));
    site_store(sp, own, site_load(sp, w, site, FST_NO_TYPE));
  }
}

// An attribute of an object that exists.
static bool eval_made_object(specializer *sp, world *w, const fst_node *n) {
  fst_types *types = sp->out->module->types;
  fst_value_id operands[2] = {residual_of(sp, w, n->operands[0], n->loc)};
  const fst_type_data *object = fst_value_type_data(sp->out, operands[0]);
  uint32_t site = object->kind == FST_TY_CLASS ? attr_site(sp, object->name, n->name) : 0;
  if (!site) return false;
  if (n->op == FST_OP_SET_ATTR) {
    operands[1] = residual_of(sp, w, n->operands[1], n->loc);
    attr_store(sp, w, site, operands[1]);
    fst_node_get(sp->out, emit_node(sp, w, FST_OP_SET_ATTR, operands, 2, 0, n->loc))->name = n->name;
    return true;
  }
  fst_type declared = import_type(sp, fst_value_type(sp->src, n->results[0])), held = site_load(sp, w, site, FST_NO_TYPE), type = declared;
  const fst_type_data *d = fst_type_get(types, declared);
  if (held.id && d->kind == FST_TY_LIST) type = fst_type_list(types, held);
  else if (held.id && d->kind == FST_TY_DICT) type = fst_type_dict(types, d->key, held);
  else if (held.id) type = taken_type(sp, w, held, declared);
  fst_value_id v = emit(sp, w, FST_OP_GET_ATTR, operands, 1, type, n->loc);
  fst_node_get(sp->out, fst_value_def(sp->out, v))->name = n->name;
  if (is_container(sp, declared)) note_site(sp, v, site);
  world_set(w, n->results[0], open_tuple(sp, w, v));
  return true;
}

bool eval_object(specializer *sp, world *w, const fst_node *n) {
  fst_module *m = sp->out->module;
  if (n->op == FST_OP_CREATE_OBJECT) {
    fst_type type = fst_value_type(sp->src, n->results[0]);
    fst_class_id cls = fst_module_find_class(m, fst_type_get(m->types, type)->name);
    if (!cls.id) return false;
    uint32_t count = fst_module_class(m, cls)->attr_count;
    fst_const_data uninit = {.kind = FST_CONST_UNINIT, .type = fst_type_simple(m->types, FST_TY_UNINIT)};
    binding *items = FST_NEW_ARRAY(&sp->arena, binding, count + 1);
    for (uint32_t i = 0; i < count; i++) items[i] = bind_value(fst_graph_const(sp->out, fst_const_intern(m, &uninit)));
    world_set(w, n->results[0], new_list(sp, w, type, 0, items, count));
    return true;
  }
  if (n->op != FST_OP_GET_ATTR && n->op != FST_OP_SET_ATTR) return false;
  binding object = world_get(sp, w, n->operands[0]);
  if (object.kind != BOUND_HEAP || w->heap.data[object.heap].made.id) return eval_made_object(sp, w, n);
  const heap_cell *cell = &w->heap.data[object.heap];
  const fst_class *cls = fst_module_class(m, fst_module_find_class(m, fst_type_get(m->types, cell->type)->name));
  int attr = fst_class_attr(cls, n->name);
  if (attr < 0) return false;
  if (n->op == FST_OP_GET_ATTR) {
    world_set(w, n->results[0], cell->items[attr]);
  } else {
    binding *items = copy_items(sp, cell->items, cell->count, 0);
    items[attr] = world_get(sp, w, n->operands[1]);
    set_items(w, object.heap, items, w->heap.data[object.heap].count);
  }
  return true;
}
