#include "ir/print_internal.h"

void fst_print_set_init(fst_print_set *set, const fst_module *module) { *set = (fst_print_set){.module = module}; }

void fst_print_set_deinit(fst_print_set *set) {
  for (int i = 0; i < FST_PRINT_KINDS; i++) fst_map_deinit(&set->seen[i]);
  fst_map_deinit(&set->types);
}

bool fst_print_set_has(const fst_print_set *set, fst_print_kind kind, uint32_t index) {
  return !set || fst_map_get(&set->seen[kind], index, NULL);
}

// True the first time.
static bool set_add(fst_print_set *set, fst_print_kind kind, uint32_t index) {
  if (fst_map_get(&set->seen[kind], index, NULL)) return false;
  fst_map_set(&set->seen[kind], index, 1);
  return true;
}

static void add_const(fst_print_set *set, fst_const c);
static void add_type(fst_print_set *set, fst_type type);

static void add_class(fst_print_set *set, fst_sym name) {
  fst_class_id id = fst_module_find_class(set->module, name);
  if (!id.id || !set_add(set, FST_PRINT_CLASS, id.id)) return;
  const fst_class *c = &set->module->classes.data[id.id];
  for (uint32_t i = 0; i < c->attr_count; i++) add_type(set, c->attr_types[i]);
  for (uint32_t i = 0; i < c->member_count; i++) add_const(set, c->member_values[i]);
  if (c->enum_type.id) add_type(set, c->enum_type);
}

static void add_type(fst_print_set *set, fst_type type) {
  if (!type.id || fst_map_get(&set->types, type.id, NULL)) return;
  fst_map_set(&set->types, type.id, 1);
  const fst_type_data *t = fst_type_get(set->module->types, type);
  if (t->kind == FST_TY_CLASS) add_class(set, t->name);
  add_type(set, t->elem);
  add_type(set, t->key);
  for (uint32_t i = 0; i < t->count; i++) add_type(set, t->items[i]);
}

static void add_consts(fst_print_set *set, const fst_const *items, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (items[i].id) add_const(set, items[i]);
}

static void add_object(fst_print_set *set, uint32_t index) {
  if (!set_add(set, FST_PRINT_OBJECT, index)) return;
  const fst_object_info *o = &set->module->objects.data[index];
  const fst_class *c = &set->module->classes.data[o->cls.id];
  add_class(set, c->name);
  add_consts(set, o->attrs, c->attr_count);
}

static void add_const(fst_print_set *set, fst_const id) {
  const fst_module *m = set->module;
  const fst_const_data *c = fst_const_get(m, id);
  add_type(set, c->type);
  switch (c->kind) {
    case FST_CONST_TENSOR:
      set_add(set, FST_PRINT_TENSOR, c->index);
      set_add(set, FST_PRINT_STORAGE, m->tensors.data[c->index].storage);
      return;
    case FST_CONST_OBJECT: add_object(set, c->index); return;
    case FST_CONST_LIST:
      if (set_add(set, FST_PRINT_LIST, c->index)) add_consts(set, m->lists.data[c->index].items, m->lists.data[c->index].count);
      return;
    case FST_CONST_DICT:
      if (!set_add(set, FST_PRINT_DICT, c->index)) return;
      add_consts(set, m->dicts.data[c->index].keys, m->dicts.data[c->index].count);
      add_consts(set, m->dicts.data[c->index].values, m->dicts.data[c->index].count);
      return;
    case FST_CONST_TUPLE: add_consts(set, c->items, c->count); return;
    case FST_CONST_ENUM: add_class(set, c->str); return;
    default: return;
  }
}

static void add_value(fst_print_set *set, const fst_graph *g, fst_value_id value) {
  const fst_value *v = fst_value_get(g, value);
  add_type(set, v->type);
  if (v->kind == FST_VALUE_CONST) add_const(set, v->constant);
}

static void add_block(fst_print_set *set, const fst_graph *g, fst_block_id block) {
  const fst_block *b = fst_block_get(g, block);
  for (size_t i = 0; i < b->params.len; i++) add_value(set, g, b->params.data[i]);
  for (fst_node_id id = b->first; id.id;) {
    const fst_node *n = fst_node_get(g, id);
    for (uint32_t i = 0; i < n->operand_count; i++) add_value(set, g, n->operands[i]);
    for (uint32_t i = 0; i < n->result_count; i++) add_value(set, g, n->results[i]);
    add_type(set, n->attr_type);
    if (n->op == FST_OP_CREATE_OBJECT) add_class(set, n->name);
    for (fst_loc l = n->loc; l.id; l = set->module->locs.data[l.id].caller) set_add(set, FST_PRINT_FILE, set->module->locs.data[l.id].file);
    for (uint32_t i = 0; i < n->block_count; i++) add_block(set, g, n->blocks[i]);
    id = n->next;
  }
}

void fst_print_set_add_graph(fst_print_set *set, const fst_graph *g) {
  const fst_module *m = set->module;
  for (size_t i = 0; i < g->result_types.len; i++) add_type(set, g->result_types.data[i]);
  for (size_t i = 0; i < g->defaults.len; i++)
    if (g->defaults.data[i].id) add_const(set, g->defaults.data[i]);
  add_block(set, g, g->entry);
  // A method of the root object means that object, by which its attributes are known.
  const fst_block *entry = fst_block_get(g, g->entry);
  if (m->root == UINT32_MAX || !entry->params.len) return;
  const fst_type_data *self = fst_value_type_data(g, entry->params.data[0]);
  if (self->kind == FST_TY_CLASS && self->name == m->classes.data[m->objects.data[m->root].cls.id].name) add_object(set, m->root);
}
