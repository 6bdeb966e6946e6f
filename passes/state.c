// State analysis and freezing, see passes/state.h.
//
// Objects of the archive are reached from `self` through GetAttr only, so an object is known exactly
// wherever it is used: object_of() follows the chain. An object that reaches an attribute access any
// other way (through a list, an If) cannot be frozen and is refused by name.
//
// Before (method of a root with `count : int` written, `w : Tensor` not):
//   %1 : int = prim::GetAttr[name="count"](%self)
//   %2 : Tensor = prim::GetAttr[name="w"](%self)
// After:
//   %1 : int = fst::state_get[name="count", int=0]()
//   ... tensor 0 ...
#include "passes/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

typedef struct {
  const fst_graph *graph;
  fst_map objects;   // value id -> object index + 1
} object_env;

static bool object_of(object_env *env, fst_value_id value, uint32_t *out) {
  const fst_graph *g = env->graph;
  const fst_const_data *c = fst_value_const(g, value);
  if (c) {
    if (c->kind != FST_CONST_OBJECT) return false;
    *out = c->index;
    return true;
  }
  uint64_t known;
  if (fst_map_get(&env->objects, value.id, &known)) {
    *out = (uint32_t)(known - 1);
    return known != 0;
  }
  const fst_value *v = fst_value_get(g, value);
  uint32_t object = 0;
  bool found = false;
  if (v->kind == FST_VALUE_PARAM) {
    const fst_module *m = g->module;
    found = fst_block_eq(v->block, g->entry) && v->index == 0 && m->root != UINT32_MAX &&
            fst_type_is(m->types, v->type, FST_TY_CLASS) &&
            fst_type_get(m->types, v->type)->name == fst_module_class(g->module, m->objects.data[m->root].cls)->name;
    object = m->root;
  } else {
    const fst_node *n = fst_node_get(g, v->node);
    uint32_t owner;
    if (n->op == FST_OP_GET_ATTR && object_of(env, n->operands[0], &owner)) {
      const fst_object_info *o = &g->module->objects.data[owner];
      int attr = fst_class_attr(fst_module_class(g->module, o->cls), n->name);
      const fst_const_data *held = attr >= 0 ? fst_const_get(g->module, o->attrs[attr]) : NULL;
      if (held && held->kind == FST_CONST_OBJECT) {
        found = true;
        object = held->index;
      }
    }
  }
  fst_map_set(&env->objects, value.id, found ? (uint64_t)object + 1 : 0);
  *out = object;
  return found;
}

// ---- which attributes are state --------------------------------------------------------------------

static uint64_t attr_key(uint32_t object, uint32_t attr) { return (uint64_t)object << 32 | attr; }

typedef struct {
  object_env env;
  fst_map *marked;    // attr_key -> 1
  fst_map visited;    // values whose roots were marked already
} marker;

static void mark_block(marker *m, fst_block_id block);

// Marks every attribute that `value` may alias.
static void mark_roots(marker *m, fst_value_id value) {
  const fst_graph *g = m->env.graph;
  uint64_t seen;
  if (!value.id || fst_value_const(g, value) || fst_map_get(&m->visited, value.id, &seen)) return;
  switch (fst_value_type_data(g, value)->kind) {   // cannot be an alias of anything
    case FST_TY_INT: case FST_TY_FLOAT: case FST_TY_BOOL: case FST_TY_STR: case FST_TY_NONE: case FST_TY_COMPLEX: case FST_TY_DEVICE: return;
    default: break;
  }
  fst_map_set(&m->visited, value.id, 1);
  const fst_value *v = fst_value_get(g, value);
  if (v->kind == FST_VALUE_PARAM) {
    fst_node_id owner = fst_block_get(g, v->block)->owner;
    if (!owner.id) return;
    const fst_node *loop = fst_node_get(g, owner);
    if (v->index == 0 || loop->op != FST_OP_LOOP) return;
    mark_roots(m, loop->operands[v->index + 1]);
    const fst_node *yield = fst_node_get(g, fst_block_terminator(g, v->block));
    mark_roots(m, yield->operands[v->index]);
    return;
  }
  const fst_node *n = fst_node_get(g, v->node);
  uint32_t object;
  if (n->op == FST_OP_GET_ATTR) {
    if (!object_of(&m->env, n->operands[0], &object)) {
      mark_roots(m, n->operands[0]);
      return;
    }
    int attr = fst_class_attr(fst_module_class(g->module, g->module->objects.data[object].cls), n->name);
    if (attr >= 0) fst_map_set(m->marked, attr_key(object, (uint32_t)attr), 1);
    return;
  }
  for (uint32_t b = 0; b < n->block_count; b++) {   // If, Loop: what the blocks yield for this result
    const fst_node *yield = fst_node_get(g, fst_block_terminator(g, n->blocks[b]));
    uint32_t at = v->index + (n->op == FST_OP_LOOP ? 1 : 0);
    if (at < yield->operand_count) mark_roots(m, yield->operands[at]);
    if (n->op == FST_OP_LOOP) mark_roots(m, n->operands[v->index + 2]);
  }
  // Anything else may pass an alias of its operands on when the result can hold one: views, containers,
  // casts. Fresh tensors (a schema result without an alias mark) cannot.
  const fst_op_info *info = fst_op_get(n->op);
  bool may_alias = n->op == FST_OP_UNKNOWN || info->cls == FST_CLASS_VIEW || info->cls == FST_CLASS_CONTAINER ||
                   info->cls == FST_CLASS_CONTROL || info->cls == FST_CLASS_ATTRIBUTE;
  const fst_schema *schema = n->op == FST_OP_UNKNOWN ? NULL : fst_op_schema(n->op);
  if (schema && v->index < schema->ret_count && schema->rets[v->index].alias) may_alias = true;
  if (!may_alias) return;
  for (uint32_t i = 0; i < n->operand_count; i++) mark_roots(m, n->operands[i]);
}

static void mark_node(marker *m, const fst_node *n) {
  const fst_graph *g = m->env.graph;
  uint32_t object;
  if (n->op == FST_OP_SET_ATTR) {
    if (object_of(&m->env, n->operands[0], &object)) {
      int attr = fst_class_attr(fst_module_class(g->module, g->module->objects.data[object].cls), n->name);
      if (attr >= 0) fst_map_set(m->marked, attr_key(object, (uint32_t)attr), 1);
    }
    mark_roots(m, n->operands[1]);
  } else if (n->op == FST_OP_RETURN) {
    for (uint32_t i = 0; i < n->operand_count; i++) mark_roots(m, n->operands[i]);
  } else if (n->op == FST_OP_UNKNOWN) {
    fst_arena arena;
    fst_arena_init(&arena);
    fst_schema schema;
    fst_status status = fst_schema_parse(&arena, fst_sym_text(&g->module->strings, n->name), &schema);
    for (uint32_t i = 0; i < n->operand_count; i++)
      if (status || schema.is_vararg || i >= schema.arg_count || schema.args[i].is_written) mark_roots(m, n->operands[i]);
    fst_error_free(status);
    fst_arena_deinit(&arena);
  } else if (fst_op_get(n->op)->effect == FST_WRITES) {
    const fst_schema *schema = fst_op_schema(n->op);
    for (uint32_t i = 0; i < n->operand_count && i < schema->arg_count; i++)
      if (schema->args[i].is_written) {
        mark_roots(m, n->operands[i]);
        // What is stored into a container can be reached through it later.
        for (uint32_t j = 0; fst_op_get(n->op)->cls == FST_CLASS_CONTAINER && j < n->operand_count; j++) mark_roots(m, n->operands[j]);
      }
  }
  for (uint32_t b = 0; b < n->block_count; b++) mark_block(m, n->blocks[b]);
}

static void mark_block(marker *m, fst_block_id block) {
  for (FST_EACH_NODE(m->env.graph, block, n)) mark_node(m, fst_node_get(m->env.graph, n));
}

// Tensors anywhere inside a constant.
static void constant_storages(const fst_module *module, fst_const c, fst_map *storages, bool set, bool *out_hit) {
  const fst_const_data *d = fst_const_get(module, c);
  uint64_t one;
  if (d->kind == FST_CONST_TENSOR) {
    uint32_t storage = module->tensors.data[d->index].storage;
    if (set) fst_map_set(storages, storage, 1);
    else if (fst_map_get(storages, storage, &one)) *out_hit = true;
  } else if (d->kind == FST_CONST_LIST) {
    const fst_list_info *l = &module->lists.data[d->index];
    for (uint32_t i = 0; i < l->count; i++) constant_storages(module, l->items[i], storages, set, out_hit);
  } else if (d->kind == FST_CONST_DICT) {
    const fst_dict_info *l = &module->dicts.data[d->index];
    for (uint32_t i = 0; i < l->count; i++) constant_storages(module, l->values[i], storages, set, out_hit);
  } else if (d->kind == FST_CONST_TUPLE) {
    for (uint32_t i = 0; i < d->count; i++) constant_storages(module, d->items[i], storages, set, out_hit);
  }
}

static void mark_shared_storages(const fst_module *module, const fst_map *trained, fst_map *marked) {
  fst_map storages = {0};
  for (size_t s = 0; s < module->storages.len; s++) {
    uint64_t one;
    if (fst_map_get(trained, s, &one)) fst_map_set(&storages, s, 1);
  }
  for (int round = 0; round < 2; round++) {   // first collect, then spread
    for (uint32_t o = 0; o < module->objects.len; o++) {
      const fst_object_info *info = &module->objects.data[o];
      uint32_t count = module->classes.data[info->cls.id].attr_count;
      for (uint32_t a = 0; a < count; a++) {
        uint64_t one;
        bool is_marked = fst_map_get(marked, attr_key(o, a), &one), hit = false;
        if (round == 0 && is_marked) constant_storages(module, info->attrs[a], &storages, true, &hit);
        if (round == 1 && !is_marked) constant_storages(module, info->attrs[a], &storages, false, &hit);
        if (hit) fst_map_set(marked, attr_key(o, a), 1);
      }
    }
  }
  fst_map_deinit(&storages);
}

// Paths from the root, breadth first, so that a shared object gets its shortest name.
static void name_paths(fst_module *module, fst_map *out_paths) {
  if (module->root == UINT32_MAX) return;
  FST_VEC(uint32_t) queue = {0};
  fst_vec_push(&queue, module->root);
  fst_map_set(out_paths, module->root, fst_intern(&module->strings, ""));
  for (size_t i = 0; i < queue.len; i++) {
    uint32_t o = queue.data[i];
    uint64_t base = 0;
    fst_map_get(out_paths, o, &base);
    const fst_class *cls = &module->classes.data[module->objects.data[o].cls.id];
    for (uint32_t a = 0; a < cls->attr_count; a++) {
      const fst_const_data *held = fst_const_get(module, module->objects.data[o].attrs[a]);
      uint64_t seen;
      if (held->kind != FST_CONST_OBJECT || fst_map_get(out_paths, held->index, &seen)) continue;
      fst_text path = {0};
      fst_text_puts(&path, fst_sym_text(&module->strings, (fst_sym)base));
      fst_text_puts(&path, fst_sym_text(&module->strings, cls->attr_names[a]));
      fst_text_putc(&path, '.');
      fst_map_set(out_paths, held->index, fst_intern(&module->strings, fst_text_cstr(&path)));
      fst_text_deinit(&path);
      fst_vec_push(&queue, held->index);
    }
  }
  fst_vec_free(&queue);
}

fst_status fst_state_layout_init(fst_state_layout *layout, fst_graph *const *graphs, uint32_t count, const fst_map *trained) {
  memset(layout, 0, sizeof *layout);
  if (!count) return NULL;
  fst_module *module = graphs[0]->module;
  fst_map marked = {0}, paths = {0};
  for (uint32_t i = 0; i < count; i++) {
    marker m = {.env = {.graph = graphs[i]}, .marked = &marked};
    mark_block(&m, graphs[i]->entry);
    fst_map_deinit(&m.env.objects);
    fst_map_deinit(&m.visited);
  }
  mark_shared_storages(module, trained, &marked);
  name_paths(module, &paths);
  for (uint32_t o = 0; o < module->objects.len; o++) {
    const fst_class *cls = &module->classes.data[module->objects.data[o].cls.id];
    for (uint32_t a = 0; a < cls->attr_count; a++) {
      uint64_t one, base = 0;
      fst_const initial = module->objects.data[o].attrs[a];
      if (!fst_map_get(&marked, attr_key(o, a), &one) || fst_const_get(module, initial)->kind == FST_CONST_OBJECT) continue;
      fst_map_get(&paths, o, &base);
      fst_text path = {0};
      fst_text_puts(&path, fst_sym_text(&module->strings, (fst_sym)base));
      fst_text_puts(&path, fst_sym_text(&module->strings, cls->attr_names[a]));
      fst_state_slot slot = {o, a, fst_intern(&module->strings, fst_text_cstr(&path)), cls->attr_types[a], initial};
      fst_text_deinit(&path);
      fst_map_set(&layout->index, attr_key(o, a), layout->slots.len);
      fst_vec_push(&layout->slots, slot);
    }
  }
  fst_map_deinit(&marked);
  fst_map_deinit(&paths);
  return NULL;
}

void fst_state_layout_deinit(fst_state_layout *layout) {
  fst_vec_free(&layout->slots);
  fst_map_deinit(&layout->index);
}

// ---- freezing --------------------------------------------------------------------------------------

// What a literal looks like once nothing can write it: lists become list literals.
static fst_const frozen_const(fst_module *module, fst_const c) {
  const fst_const_data *d = fst_const_get(module, c);
  if (d->kind != FST_CONST_LIST) return c;
  fst_list_info list = module->lists.data[d->index];
  fst_const *items = FST_NEW_ARRAY(&module->arena, fst_const, list.count + 1);
  for (uint32_t i = 0; i < list.count; i++) items[i] = frozen_const(module, list.items[i]);
  return fst_const_tuple(module, list.type, items, list.count);
}

static fst_status freeze_block(object_env *env, fst_graph *g, fst_block_id block, const fst_state_layout *layout) {
  fst_module *module = g->module;
  for (FST_EACH_NODE(g, block, id)) {
    fst_node *n = fst_node_get(g, id);
    for (uint32_t b = 0; b < n->block_count; b++) FST_TRY(freeze_block(env, g, n->blocks[b], layout));
    if (n->op != FST_OP_GET_ATTR && n->op != FST_OP_SET_ATTR) continue;
    uint32_t object;
    if (!object_of(env, n->operands[0], &object)) continue;   // an object of this call
    const fst_class *cls = fst_module_class(module, module->objects.data[object].cls);
    int attr = fst_class_attr(cls, n->name);
    if (attr < 0) return FST_FAIL(FST_ERR_CORRUPT, "class %s has no attribute '%s'", fst_sym_text(&module->strings, cls->name), fst_sym_text(&module->strings, n->name));
    uint64_t slot;
    bool is_state = fst_map_get(&layout->index, attr_key(object, (uint32_t)attr), &slot);
    if (n->op == FST_OP_GET_ATTR && !is_state) {
      // Only after all uses were resolved may the chain go: object_of caches by value.
      fst_value_id literal = fst_graph_const(g, frozen_const(module, module->objects.data[object].attrs[attr]));
      uint32_t held;
      object_of(env, n->results[0], &held);
      fst_value_replace(g, n->results[0], literal);
      fst_node_erase(g, id);
      continue;
    }
    if (!is_state)
      return FST_FAIL(FST_ERR_UNSUPPORTED, "attribute '%s' of %s holds an object that the model replaces by another: only what objects hold may change", fst_sym_text(&module->strings, n->name),
                      fst_sym_text(&module->strings, cls->name));
    fst_value_id stored = n->op == FST_OP_SET_ATTR ? n->operands[1] : FST_NO_VALUE;
    fst_node_id access = fst_node_create(g, stored.id ? FST_OP_STATE_SET : FST_OP_STATE_GET, &stored, stored.id ? 1 : 0, stored.id ? 0 : 1, n->loc);
    fst_node *a = fst_node_get(g, access);
    a->attr_int = (int64_t)slot;
    a->name = layout->slots.data[slot].path;
    fst_node_insert_before(g, id, access);
    if (!stored.id) {
      fst_value_set_type(g, a->results[0], fst_value_type(g, n->results[0]));
      fst_value_replace(g, n->results[0], a->results[0]);
    }
    fst_node_erase(g, id);
  }
  return NULL;
}

fst_status fst_freeze(fst_graph *graph, const fst_state_layout *layout) {
  object_env env = {.graph = graph};
  fst_status status = freeze_block(&env, graph, graph->entry, layout);
  uint32_t root;
  fst_block *entry = fst_block_get(graph, graph->entry);
  if (!status && entry->params.len && object_of(&env, entry->params.data[0], &root)) {
    fst_value_id self = entry->params.data[0];
    if (fst_value_get(graph, self)->uses.len) {
      fst_const_data object = {.kind = FST_CONST_OBJECT, .type = fst_value_type(graph, self), .index = root};
      fst_value_replace(graph, self, fst_graph_const(graph, fst_const_intern(graph->module, &object)));
    }
    fst_block_remove_param(graph, graph->entry, 0);
  }
  fst_map_deinit(&env.objects);
  if (!status && graph->stage < FST_STAGE_INLINED) graph->stage = FST_STAGE_INLINED;
  return status;
}

// ---- norms that train ------------------------------------------------------------------------------

typedef struct {
  const fst_graph *g;
  fst_map *trained, visited;
  bool found;
} training;

// Whatever literal the value may be.
static void train_value(training *t, fst_value_id value) {
  bool is_new = false;
  const fst_const_data *c = fst_value_const(t->g, value);
  if (c) {
    constant_storages(t->g->module, fst_value_get(t->g, value)->constant, t->trained, true, &is_new);
    t->found |= c->kind != FST_CONST_NONE;
    return;
  }
  uint64_t seen;
  fst_node_id def = fst_value_def(t->g, value);
  if (!def.id || fst_map_get(&t->visited, def.id, &seen)) return;
  fst_map_set(&t->visited, def.id, 1);
  const fst_node *n = fst_node_get(t->g, def);
  for (uint32_t i = 0; i < n->operand_count; i++) train_value(t, n->operands[i]);
  for (uint32_t b = 0; b < n->block_count; b++) {
    const fst_node *yield = fst_node_get(t->g, fst_block_terminator(t->g, n->blocks[b]));
    for (uint32_t i = 0; i < yield->operand_count; i++) train_value(t, yield->operands[i]);
  }
}

static void train_block(training *t, fst_block_id block) {
  for (FST_EACH_NODE(t->g, block, id)) {
    const fst_node *n = fst_node_get(t->g, id);
    for (uint32_t b = 0; b < n->block_count; b++) train_block(t, n->blocks[b]);
    if (!fst_node_trains(t->g, n)) continue;
    for (uint32_t i = 0; i < n->operand_count; i++)
      if (fst_node_writes(t->g, n, i)) train_value(t, n->operands[i]);
  }
}

bool fst_state_trained(const fst_graph *frozen, fst_map *trained) {
  training t = {.g = frozen, .trained = trained};
  train_block(&t, frozen->entry);
  fst_map_deinit(&t.visited);
  return t.found;
}
