#include "ir/graph.h"

#include <stdlib.h>
#include <string.h>

// Arrays in nodes live in the graph's arena and have room for the next power of two, so that adding one
// operand at a time copies O(n) in all.
static uint32_t array_room(uint32_t count) {
  uint32_t room = 4;
  while (room < count) room *= 2;
  return room;
}

static void *array_push(fst_graph *g, void *array, uint32_t count, size_t elem) {
  if (array && count < array_room(count)) return array;
  void *moved = fst_arena_alloc(&g->arena, array_room(count + 1) * elem);
  if (count) memcpy(moved, array, count * elem);
  return moved;
}

// ---- creation --------------------------------------------------------------------------------------

static fst_block_id block_new(fst_graph *g, fst_node_id owner) {
  fst_block *b = FST_NEW(&g->arena, fst_block);
  b->owner = owner;
  fst_vec_push(&g->blocks, b);
  return (fst_block_id){(uint32_t)g->blocks.len - 1};
}

static fst_value_id value_new(fst_graph *g, fst_value_kind kind) {
  fst_value *v = FST_NEW(&g->arena, fst_value);
  v->kind = kind;
  v->sym = FST_DIM_UNKNOWN;
  FST_ASSERT(g->values.len < UINT32_MAX, "too many values");
  fst_vec_push(&g->values, v);
  return (fst_value_id){(uint32_t)g->values.len - 1};
}

fst_graph *fst_graph_create(fst_module *module, fst_sym name) {
  fst_graph *g = calloc(1, sizeof *g);
  FST_ASSERT(g, "out of memory");
  g->module = module;
  g->name = name;
  fst_arena_init(&g->arena);
  g->dims = fst_dims_create(&g->arena);
  fst_vec_push(&g->values, NULL);
  fst_vec_push(&g->nodes, NULL);
  fst_vec_push(&g->blocks, NULL);
  g->entry = block_new(g, FST_NO_NODE);
  return g;
}

void fst_graph_destroy(fst_graph *g) {
  if (!g) return;
  for (size_t i = 1; i < g->values.len; i++) fst_vec_free(&g->values.data[i]->uses);
  for (size_t i = 1; i < g->blocks.len; i++) fst_vec_free(&g->blocks.data[i]->params);
  fst_vec_free(&g->values);
  fst_vec_free(&g->nodes);
  fst_vec_free(&g->blocks);
  fst_vec_free(&g->result_types);
  fst_vec_free(&g->defaults);
  fst_map_deinit(&g->const_values);
  fst_arena_deinit(&g->arena);
  free(g);
}

fst_value *fst_value_get(const fst_graph *g, fst_value_id value) {
  FST_ASSERT(value.id && value.id < g->values.len, "value %u of %zu", value.id, g->values.len);
  return g->values.data[value.id];
}
fst_node *fst_node_get(const fst_graph *g, fst_node_id node) {
  FST_ASSERT(node.id && node.id < g->nodes.len, "node %u of %zu", node.id, g->nodes.len);
  return g->nodes.data[node.id];
}
fst_block *fst_block_get(const fst_graph *g, fst_block_id block) {
  FST_ASSERT(block.id && block.id < g->blocks.len, "block %u of %zu", block.id, g->blocks.len);
  return g->blocks.data[block.id];
}

// ---- constants -------------------------------------------------------------------------------------

fst_value_id fst_graph_const(fst_graph *g, fst_const c) {
  uint64_t known;
  if (fst_map_get(&g->const_values, c.id, &known)) return (fst_value_id){(uint32_t)known};
  fst_value_id id = value_new(g, FST_VALUE_CONST);
  fst_value *v = fst_value_get(g, id);
  const fst_const_data *data = fst_const_get(g->module, c);
  v->constant = c;
  v->type = data->type;
  if (data->kind == FST_CONST_INT) v->sym = fst_dim_const(g->dims, data->i);
  fst_map_set(&g->const_values, c.id, id.id);
  return id;
}
fst_value_id fst_graph_const_int(fst_graph *g, int64_t value) { return fst_graph_const(g, fst_const_int(g->module, value)); }
fst_value_id fst_graph_const_bool(fst_graph *g, bool value) { return fst_graph_const(g, fst_const_bool(g->module, value)); }
fst_value_id fst_graph_const_float(fst_graph *g, double value) { return fst_graph_const(g, fst_const_float(g->module, value)); }
fst_value_id fst_graph_const_none(fst_graph *g) { return fst_graph_const(g, fst_const_none(g->module)); }

const fst_const_data *fst_value_const(const fst_graph *g, fst_value_id value) {
  const fst_value *v = fst_value_get(g, value);
  return v->kind == FST_VALUE_CONST ? fst_const_get(g->module, v->constant) : NULL;
}
static const fst_const_data *const_of_kind(const fst_graph *g, fst_value_id value, fst_const_kind kind) {
  const fst_const_data *c = fst_value_const(g, value);
  return c && c->kind == kind ? c : NULL;
}
bool fst_value_const_int(const fst_graph *g, fst_value_id value, int64_t *out) {
  const fst_const_data *c = const_of_kind(g, value, FST_CONST_INT);
  if (c) *out = c->i;
  return c != NULL;
}
bool fst_value_const_bool(const fst_graph *g, fst_value_id value, bool *out) {
  const fst_const_data *c = const_of_kind(g, value, FST_CONST_BOOL);
  if (c) *out = c->b;
  return c != NULL;
}
bool fst_value_const_float(const fst_graph *g, fst_value_id value, double *out) {
  const fst_const_data *c = const_of_kind(g, value, FST_CONST_FLOAT);
  if (c) *out = c->f;
  return c != NULL;
}
bool fst_value_is_none(const fst_graph *g, fst_value_id value) {
  return const_of_kind(g, value, FST_CONST_NONE) || fst_type_is(g->module->types, fst_value_type(g, value), FST_TY_NONE);
}

static bool is_running(const char *argument) { return !strncmp(argument, "running_", 8); }

bool fst_node_trains(const fst_graph *g, const fst_node *n) {
  const char *flag = n->op == FST_OP_UNKNOWN ? NULL : fst_op_get(n->op)->trains;
  if (!flag) return false;
  const fst_schema *schema = fst_op_schema(n->op);
  int at = fst_schema_arg_index(schema, flag);
  bool trains = true;
  if (at >= 0 && (uint32_t)at < n->operand_count && fst_value_const_bool(g, n->operands[at], &trains) && !trains) return false;
  for (uint32_t i = 0; i < n->operand_count && i < schema->arg_count; i++)
    if (is_running(schema->args[i].name) && !fst_value_is_none(g, n->operands[i])) return true;
  return false;
}

bool fst_node_writes(const fst_graph *g, const fst_node *n, uint32_t operand) {
  if (n->op == FST_OP_UNKNOWN) return true;
  const fst_schema *schema = fst_op_schema(n->op);
  if (operand >= schema->arg_count) return false;
  return schema->args[operand].is_written || (is_running(schema->args[operand].name) && fst_node_trains(g, n));
}

// ---- uses ------------------------------------------------------------------------------------------

static void use_add(fst_graph *g, fst_value_id value, fst_node_id user, uint32_t index) {
  fst_value *v = fst_value_get(g, value);
  fst_vec_push(&v->uses, ((fst_use){user, index}));
}

static fst_use *use_find(fst_graph *g, fst_value_id value, fst_node_id user, uint32_t index) {
  fst_value *v = fst_value_get(g, value);
  for (size_t i = v->uses.len; i-- > 0;)
    if (fst_node_eq(v->uses.data[i].user, user) && v->uses.data[i].index == index) return &v->uses.data[i];
  FST_UNREACHABLE("the use of value %u by node %u is not listed", value.id, user.id);
}

static void use_remove(fst_graph *g, fst_value_id value, fst_node_id user, uint32_t index) {
  fst_value *v = fst_value_get(g, value);
  *use_find(g, value, user, index) = fst_vec_last(&v->uses);
  (void)fst_vec_pop(&v->uses);
}

// ---- building --------------------------------------------------------------------------------------

fst_value_id fst_block_add_param(fst_graph *g, fst_block_id block, fst_type type, fst_sym name) {
  fst_value_id id = value_new(g, FST_VALUE_PARAM);
  fst_value *v = fst_value_get(g, id);
  fst_block *b = fst_block_get(g, block);
  v->block = block;
  v->index = (uint32_t)b->params.len;
  v->name = name;
  fst_vec_push(&b->params, id);
  fst_value_set_type(g, id, type);
  if (fst_block_eq(block, g->entry)) fst_vec_push(&g->defaults, (fst_const){0});
  return id;
}

void fst_block_remove_param(fst_graph *g, fst_block_id block, uint32_t index) {
  fst_block *b = fst_block_get(g, block);
  FST_ASSERT(index < b->params.len, "parameter %u of %zu", index, b->params.len);
  FST_ASSERT(!fst_value_get(g, b->params.data[index])->uses.len, "parameter %u is in use", index);
  fst_value_get(g, b->params.data[index])->block = FST_NO_BLOCK;
  for (size_t i = index; i + 1 < b->params.len; i++) {
    b->params.data[i] = b->params.data[i + 1];
    fst_value_get(g, b->params.data[i])->index = (uint32_t)i;
  }
  b->params.len--;
  if (!fst_block_eq(block, g->entry)) return;
  for (size_t i = index; i + 1 < g->defaults.len; i++) g->defaults.data[i] = g->defaults.data[i + 1];
  g->defaults.len--;
}

fst_node_id fst_node_create(fst_graph *g, fst_op op, const fst_value_id *operands, uint32_t operand_count, uint32_t results, fst_loc loc) {
  fst_node *n = FST_NEW(&g->arena, fst_node);
  FST_ASSERT(g->nodes.len < UINT32_MAX, "too many nodes");
  fst_vec_push(&g->nodes, n);
  fst_node_id id = {(uint32_t)g->nodes.len - 1};
  n->op = op;
  n->loc = loc;
  n->operand_count = operand_count;
  n->operands = FST_NEW_ARRAY(&g->arena, fst_value_id, array_room(operand_count));
  for (uint32_t i = 0; i < operand_count; i++) {
    n->operands[i] = operands[i];
    use_add(g, operands[i], id, i);
  }
  for (uint32_t i = 0; i < results; i++) fst_node_add_result(g, id, FST_NO_TYPE);
  return id;
}

fst_block_id fst_node_add_block(fst_graph *g, fst_node_id node) {
  fst_node *n = fst_node_get(g, node);
  n->blocks = array_push(g, n->blocks, n->block_count, sizeof *n->blocks);
  return n->blocks[n->block_count++] = block_new(g, node);
}

// Links an unplaced node between two neighbours (either may be none).
static void node_link(fst_graph *g, fst_block_id block, fst_node_id prev, fst_node_id node, fst_node_id next) {
  fst_node *n = fst_node_get(g, node);
  fst_block *b = fst_block_get(g, block);
  FST_ASSERT(!n->block.id, "node %u is placed already", node.id);
  n->block = block;
  n->prev = prev;
  n->next = next;
  *(prev.id ? &fst_node_get(g, prev)->next : &b->first) = node;
  *(next.id ? &fst_node_get(g, next)->prev : &b->last) = node;
}

static void node_unlink(fst_graph *g, fst_node_id node) {
  fst_node *n = fst_node_get(g, node);
  if (!n->block.id) return;
  fst_block *b = fst_block_get(g, n->block);
  *(n->prev.id ? &fst_node_get(g, n->prev)->next : &b->first) = n->next;
  *(n->next.id ? &fst_node_get(g, n->next)->prev : &b->last) = n->prev;
  n->block = FST_NO_BLOCK;
  n->prev = n->next = FST_NO_NODE;
}

void fst_node_append(fst_graph *g, fst_block_id block, fst_node_id node) { node_link(g, block, fst_block_get(g, block)->last, node, FST_NO_NODE); }
void fst_node_insert_before(fst_graph *g, fst_node_id at, fst_node_id node) {
  const fst_node *n = fst_node_get(g, at);
  node_link(g, n->block, n->prev, node, at);
}
void fst_node_insert_after(fst_graph *g, fst_node_id at, fst_node_id node) {
  const fst_node *n = fst_node_get(g, at);
  node_link(g, n->block, at, node, n->next);
}
void fst_node_move_before(fst_graph *g, fst_node_id at, fst_node_id node) {
  if (fst_node_eq(at, node)) return;
  node_unlink(g, node);
  fst_node_insert_before(g, at, node);
}

fst_value_id fst_graph_dim_before(fst_graph *g, fst_node_id at, fst_dim d) {
  int64_t number;
  if (fst_dim_is_const(g->dims, d, &number)) return fst_graph_const_int(g, number);
  fst_node_id node = fst_node_create(g, FST_OP_DIM, NULL, 0, 1, fst_node_get(g, at)->loc);
  fst_value_id value = fst_node_result(fst_node_get(g, node), 0);
  fst_value_set_type(g, value, fst_type_simple(g->module->types, FST_TY_INT));
  fst_value_get(g, value)->sym = d;
  fst_node_insert_before(g, at, node);
  return value;
}

void fst_node_set_operand(fst_graph *g, fst_node_id node, uint32_t index, fst_value_id value) {
  fst_node *n = fst_node_get(g, node);
  FST_ASSERT(index < n->operand_count, "operand %u of %u", index, n->operand_count);
  if (fst_value_eq(n->operands[index], value)) return;
  use_remove(g, n->operands[index], node, index);
  n->operands[index] = value;
  use_add(g, value, node, index);
}

void fst_node_add_operand(fst_graph *g, fst_node_id node, fst_value_id value) {
  fst_node *n = fst_node_get(g, node);
  n->operands = array_push(g, n->operands, n->operand_count, sizeof *n->operands);
  n->operands[n->operand_count] = value;
  use_add(g, value, node, n->operand_count++);
}

void fst_node_remove_operand(fst_graph *g, fst_node_id node, uint32_t index) {
  fst_node *n = fst_node_get(g, node);
  FST_ASSERT(index < n->operand_count, "operand %u of %u", index, n->operand_count);
  use_remove(g, n->operands[index], node, index);
  for (uint32_t i = index; i + 1 < n->operand_count; i++) {
    n->operands[i] = n->operands[i + 1];
    use_find(g, n->operands[i], node, i + 1)->index = i;
  }
  n->operand_count--;
}

fst_value_id fst_node_add_result(fst_graph *g, fst_node_id node, fst_type type) {
  fst_node *n = fst_node_get(g, node);
  fst_value_id id = value_new(g, FST_VALUE_RESULT);
  fst_value *v = fst_value_get(g, id);
  v->node = node;
  v->index = n->result_count;
  v->type = type;
  n->results = array_push(g, n->results, n->result_count, sizeof *n->results);
  n->results[n->result_count++] = id;
  return id;
}

void fst_node_remove_result(fst_graph *g, fst_node_id node, uint32_t index) {
  fst_node *n = fst_node_get(g, node);
  FST_ASSERT(index < n->result_count, "result %u of %u", index, n->result_count);
  FST_ASSERT(!fst_value_get(g, n->results[index])->uses.len, "result %u is in use", index);
  fst_value_get(g, n->results[index])->node = FST_NO_NODE;
  for (uint32_t i = index; i + 1 < n->result_count; i++) {
    n->results[i] = n->results[i + 1];
    fst_value_get(g, n->results[i])->index = i;
  }
  n->result_count--;
}

// Last node first, so that uses are gone before what they use.
static void block_erase(fst_graph *g, fst_block_id block) {
  while (fst_block_get(g, block)->last.id) fst_node_erase(g, fst_block_get(g, block)->last);
}

void fst_node_erase(fst_graph *g, fst_node_id node) {
  fst_node *n = fst_node_get(g, node);
  for (uint32_t i = 0; i < n->result_count; i++)
    FST_ASSERT(!fst_value_get(g, n->results[i])->uses.len, "result %u of node %u (%s) is in use", i, node.id, fst_op_name(n->op));
  for (uint32_t i = 0; i < n->block_count; i++) block_erase(g, n->blocks[i]);
  for (uint32_t i = 0; i < n->operand_count; i++) use_remove(g, n->operands[i], node, i);
  n->operand_count = 0;
  node_unlink(g, node);
}

void fst_value_set_type(fst_graph *g, fst_value_id value, fst_type type) { fst_value_get(g, value)->type = type; }

void fst_value_replace(fst_graph *g, fst_value_id from, fst_value_id to) {
  if (fst_value_eq(from, to)) return;
  fst_value *v = fst_value_get(g, from);
  for (size_t i = 0; i < v->uses.len; i++) {
    fst_use use = v->uses.data[i];
    fst_node_get(g, use.user)->operands[use.index] = to;
    use_add(g, to, use.user, use.index);
  }
  v->uses.len = 0;
}

bool fst_value_may_replace(const fst_graph *g, fst_value_id from, fst_value_id to) {
  const fst_value *f = fst_value_get(g, from), *t = fst_value_get(g, to);
  if (g->stage < FST_STAGE_TYPED) return !f->type.id || fst_type_is_subtype(g->module->types, t->type, f->type);
  return fst_type_eq(f->type, t->type) && (!fst_dim_is_known(f->sym) || f->sym == t->sym);
}

// ---- copying ---------------------------------------------------------------------------------------

// A type whose sizes are in another graph's table. Symbols keep their numbers.
static fst_type type_import(fst_graph *g, const fst_graph *from, fst_type type);

static fst_type type_import(fst_graph *g, const fst_graph *from, fst_type type);

static fst_type items_import(fst_graph *g, const fst_graph *from, const fst_type_data *t) {
  fst_type *items = FST_NEW_ARRAY(&g->arena, fst_type, t->count + 1);
  for (uint32_t i = 0; i < t->count; i++) items[i] = type_import(g, from, t->items[i]);
  fst_types *types = g->module->types;
  if (t->kind == FST_TY_DICT) return fst_type_dict_entries(types, t->key, type_import(g, from, t->elem), t->fields, items, t->count);
  if (t->kind == FST_TY_UNION) return fst_type_union(types, items, t->count);
  return t->fields ? fst_type_named_tuple(types, t->name, t->fields, items, t->count) : fst_type_tuple(types, items, t->count);
}

static fst_type type_import(fst_graph *g, const fst_graph *from, fst_type type) {
  fst_types *types = g->module->types;
  const fst_type_data *t = fst_type_get(types, type);
  if (g == from || !fst_type_has_tensor(types, type)) return type;
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  switch (t->kind) {
    case FST_TY_TENSOR:
      for (int i = 0; i < t->rank; i++) {
        dims[i] = fst_dim_import(g->dims, from->dims, t->dims[i], NULL, 0);
        if (t->has_strides) strides[i] = fst_dim_import(g->dims, from->dims, t->strides[i], NULL, 0);
      }
      return fst_type_tensor(types, t->dtype, t->rank, dims, t->has_strides ? strides : NULL, t->device_kind, t->device_index);
    case FST_TY_LIST: return fst_type_list(types, type_import(g, from, t->elem));
    case FST_TY_OPTIONAL: return fst_type_optional(types, type_import(g, from, t->elem));
    case FST_TY_FUTURE: return fst_type_future(types, type_import(g, from, t->elem));
    case FST_TY_DICT: case FST_TY_TUPLE: case FST_TY_UNION: return items_import(g, from, t);
    default: return type;
  }
}

static void value_copy(fst_graph *g, fst_value_id to, const fst_graph *from, fst_value_id value, fst_map *map) {
  const fst_value *old = fst_value_get(from, value);
  fst_value *made = fst_value_get(g, to);
  made->type = type_import(g, from, old->type);
  made->name = old->name;
  made->sym = g == from || !fst_dim_is_known(old->sym) ? old->sym : fst_dim_import(g->dims, from->dims, old->sym, NULL, 0);
  fst_map_set(map, value.id, to.id);
}

static fst_value_id value_mapped(fst_graph *g, const fst_graph *from, fst_value_id value, const fst_map *map) {
  uint64_t found;
  if (fst_map_get(map, value.id, &found)) return (fst_value_id){(uint32_t)found};
  const fst_value *v = fst_value_get(from, value);
  if (v->kind == FST_VALUE_CONST) return fst_graph_const(g, v->constant);
  FST_ASSERT(g == from, "value %u has no copy", value.id);
  return value;   // defined outside what is copied
}

static void block_clone(fst_graph *g, fst_block_id to, const fst_graph *from, fst_block_id block, fst_map *map) {
  const fst_block *b = fst_block_get(from, block);
  for (size_t i = 0; i < b->params.len; i++) value_copy(g, fst_block_add_param(g, to, FST_NO_TYPE, 0), from, b->params.data[i], map);
  for (fst_node_id n = b->first; n.id; n = fst_node_get(from, n)->next) fst_node_clone(g, to, FST_NO_NODE, from, n, map);
}

fst_node_id fst_node_clone(fst_graph *g, fst_block_id block, fst_node_id at, const fst_graph *from, fst_node_id node, fst_map *map) {
  FST_ASSERT(g->module == from->module, "graphs of two modules");
  const fst_node *old = fst_node_get(from, node);   // nodes stay where they are when the graph grows
  fst_node_id id = fst_node_create(g, old->op, NULL, 0, old->result_count, old->loc);
  fst_node *n = fst_node_get(g, id);
  for (uint32_t i = 0; i < old->operand_count; i++) fst_node_add_operand(g, id, value_mapped(g, from, old->operands[i], map));
  n->name = old->name;
  n->attr_type = old->attr_type.id ? type_import(g, from, old->attr_type) : old->attr_type;
  n->attr_int = old->attr_int;
  for (uint32_t i = 0; i < old->result_count; i++) value_copy(g, n->results[i], from, old->results[i], map);
  if (at.id) fst_node_insert_before(g, at, id);
  else fst_node_append(g, block, id);
  for (uint32_t i = 0; i < old->block_count; i++) block_clone(g, fst_node_add_block(g, id), from, old->blocks[i], map);
  return id;
}

fst_graph *fst_graph_clone(fst_graph *graph, fst_sym name) {
  fst_graph *g = fst_graph_create(graph->module, name);
  g->stage = graph->stage;
  fst_map map = {0};
  block_clone(g, g->entry, graph, graph->entry, &map);
  for (size_t i = 0; i < graph->result_types.len; i++) fst_vec_push(&g->result_types, type_import(g, graph, graph->result_types.data[i]));
  for (size_t i = 0; i < graph->defaults.len; i++) g->defaults.data[i] = graph->defaults.data[i];
  fst_map_deinit(&map);
  return g;
}

// ---- asking ----------------------------------------------------------------------------------------

fst_type fst_value_type(const fst_graph *g, fst_value_id value) { return fst_value_get(g, value)->type; }
const fst_type_data *fst_value_type_data(const fst_graph *g, fst_value_id value) { return fst_type_get(g->module->types, fst_value_type(g, value)); }

fst_node_id fst_value_def(const fst_graph *g, fst_value_id value) {
  const fst_value *v = fst_value_get(g, value);
  return v->kind == FST_VALUE_RESULT ? v->node : FST_NO_NODE;
}

fst_node_id fst_block_terminator(const fst_graph *g, fst_block_id block) { return fst_block_get(g, block)->last; }

bool fst_block_contains(const fst_graph *g, fst_block_id outer, fst_node_id node) {
  for (fst_node_id n = node; n.id;) {
    fst_block_id block = fst_node_get(g, n)->block;
    if (!block.id) return false;
    if (fst_block_eq(block, outer)) return true;
    n = fst_block_get(g, block)->owner;
  }
  return false;
}

// The node of `block` that is, or encloses, `node`.
static fst_node_id node_in_block(const fst_graph *g, fst_block_id block, fst_node_id node) {
  for (fst_node_id n = node; n.id;) {
    fst_block_id at = fst_node_get(g, n)->block;
    if (fst_block_eq(at, block)) return n;
    if (!at.id) break;
    n = fst_block_get(g, at)->owner;
  }
  return FST_NO_NODE;
}

bool fst_value_dominates(const fst_graph *g, fst_value_id value, fst_node_id at) {
  const fst_value *v = fst_value_get(g, value);
  if (v->kind == FST_VALUE_CONST) return true;
  if (v->kind == FST_VALUE_PARAM) return v->block.id && fst_block_contains(g, v->block, at);
  if (!v->node.id || !fst_node_get(g, v->node)->block.id) return false;
  fst_node_id reached = node_in_block(g, fst_node_get(g, v->node)->block, at);
  if (!reached.id || fst_node_eq(reached, v->node)) return false;
  for (fst_node_id n = fst_node_get(g, reached)->prev; n.id; n = fst_node_get(g, n)->prev)
    if (fst_node_eq(n, v->node)) return true;
  return false;
}
