// The specializer's walk, worlds and generic nodes; see passes/specialize.h for what it does.
#include "passes/specialize.h"

#include <stdlib.h>
#include <string.h>

#include "passes/fold.h"
#include "passes/specialize_internal.h"

enum { EMIT_BUDGET = 60000 };

// ---- worlds ----------------------------------------------------------------------------------------

binding bind_value(fst_value_id value) { return (binding){.kind = BOUND_VALUE, .value = value}; }

world world_clone(specializer *sp, const world *w) {
  world c = *w;
  c.bound = fst_arena_memdup(&sp->arena, w->bound, sp->src->values.len * sizeof *w->bound);
  c.state = fst_arena_memdup(&sp->arena, w->state, (sp->slots + 1) * sizeof *w->state);
  c.state_type = fst_arena_memdup(&sp->arena, w->state_type, (sp->slots + 1) * sizeof *w->state_type);
  c.state_value = fst_arena_memdup(&sp->arena, w->state_value, (sp->slots + 1) * sizeof *w->state_value);
  // The vectors grow on the heap; clones live in the arena and are copied when they grow.
  memset(&c.heap, 0, sizeof c.heap);
  memset(&c.facts, 0, sizeof c.facts);
  memset(&c.choices, 0, sizeof c.choices);
  for (size_t i = 0; i < w->choices.len; i++) WORLD_PUSH(sp, &c.choices, w->choices.data[i]);
  for (size_t i = 0; i < w->heap.len; i++) WORLD_PUSH(sp, &c.heap, w->heap.data[i]);
  for (size_t i = 0; i < w->facts.len; i++) WORLD_PUSH(sp, &c.facts, w->facts.data[i]);
  return c;
}

void world_set(world *w, fst_value_id old, binding b) { w->bound[old.id] = b; }

fst_dim int_value(specializer *sp, const world *w, binding b) {
  int64_t i;
  if (b.kind != BOUND_VALUE) return FST_DIM_UNKNOWN;
  if (fst_value_const_int(sp->out, b.value, &i)) return fst_dim_const(sp->out->dims, i);
  return dim_facts(sp, w, fst_value_get(sp->out, b.value)->sym);
}

bool const_bool(specializer *sp, binding b, bool *out) {
  return b.kind == BOUND_VALUE && fst_value_const_bool(sp->out, b.value, out);
}

binding world_get(specializer *sp, world *w, fst_value_id old) {
  const fst_value *v = fst_value_get(sp->src, old);
  if (v->kind == FST_VALUE_CONST) return bind_value(fst_graph_const(sp->out, v->constant));
  binding b = w->bound[old.id];
  FST_ASSERT(b.kind != BOUND_NOT, "value %%%u of %s is used before it is bound", old.id, fst_sym_text(&sp->src->module->strings, sp->src->name));
  if (b.kind != BOUND_VALUE || !w->facts.len || fst_value_const(sp->out, b.value)) return b;
  // Facts learned since may narrow the value.
  const fst_value *n = fst_value_get(sp->out, b.value);
  int64_t number;
  if (fst_type_is(sp->out->module->types, n->type, FST_TY_INT)) {
    fst_dim d = fst_dim_is_known(n->sym) ? dim_facts(sp, w, n->sym) : FST_DIM_UNKNOWN;
    if (d != n->sym && fst_dim_is_const(sp->out->dims, d, &number)) b = bind_value(fst_graph_const_int(sp->out, number));
  } else if (fst_type_is(sp->out->module->types, n->type, FST_TY_TENSOR)) {
    fst_type narrowed = apply_facts(sp, w, n->type);
    if (!fst_type_eq(narrowed, n->type)) b = bind_value(emit(sp, w, FST_OP_REFINE, &b.value, 1, narrowed, FST_NO_LOC));
  }
  w->bound[old.id] = b;
  return b;
}

// ---- emitting --------------------------------------------------------------------------------------

fst_node_id emit_node(specializer *sp, world *w, fst_op op, const fst_value_id *operands, uint32_t count, uint32_t results, fst_loc loc) {
  fst_node_id n = fst_node_create(sp->out, op, operands, count, results, loc);
  fst_node_append(sp->out, w->block, n);
  sp->emitted++;
  return n;
}

fst_value_id emit(specializer *sp, world *w, fst_op op, const fst_value_id *operands, uint32_t count, fst_type type, fst_loc loc) {
  fst_node_id n = emit_node(sp, w, op, operands, count, 1, loc);
  fst_value_id r = fst_node_get(sp->out, n)->results[0];
  fst_value_set_type(sp->out, r, type);
  return r;
}

fst_value_id emit_dim(specializer *sp, world *w, fst_dim d, fst_loc loc) {
  int64_t number;
  if (fst_dim_is_const(sp->out->dims, d, &number)) return fst_graph_const_int(sp->out, number);
  fst_value_id r = emit(sp, w, FST_OP_DIM, NULL, 0, fst_type_simple(sp->out->module->types, FST_TY_INT), loc);
  fst_value_get(sp->out, r)->sym = d;
  return r;
}

// An int or bool that is a literal, or that a fact makes one.
static fst_const slot_value(specializer *sp, const world *w, fst_value_id v) {
  const fst_const_data *c = fst_value_const(sp->out, v);
  int64_t number;
  if (c && (c->kind == FST_CONST_INT || c->kind == FST_CONST_BOOL)) return fst_value_get(sp->out, v)->constant;
  if (fst_type_is(sp->out->module->types, fst_value_type(sp->out, v), FST_TY_INT) && fst_dim_is_const(sp->out->dims, int_value(sp, w, bind_value(v)), &number))
    return fst_const_int(sp->out->module, number);
  return (fst_const){0};
}

void note_exit(specializer *sp, const world *w) {
  if (!sp->state || !sp->slots) return;
  fst_slot_form *now = FST_NEW_ARRAY(&sp->arena, fst_slot_form, sp->slots);
  for (uint32_t s = 0; s < sp->slots; s++) {
    bool bound = w->state[s].kind == BOUND_VALUE;
    now[s].type = lasting_type(sp, bound ? fst_value_type(sp->out, w->state[s].value) : w->state_type[s]);
    now[s].value = bound ? slot_value(sp, w, w->state[s].value) : w->state_value[s];
  }
  for (size_t at = 0; at < sp->state->left.len; at += sp->slots)
    if (!memcmp(&sp->state->left.data[at], now, sp->slots * sizeof *now)) return;
  for (uint32_t s = 0; s < sp->slots; s++) fst_vec_push(&sp->state->left, now[s]);
}

fst_value_id residual(specializer *sp, world *w, binding b, fst_loc loc) {
  if (b.kind == BOUND_VALUE) return b.value;
  if (b.kind == BOUND_HEAP) return make_heap(sp, w, b.heap, loc);
  FST_ASSERT(b.kind == BOUND_TUPLE, "no binding");
  const tuple *t = b.tuple;
  fst_value_id *items = FST_NEW_ARRAY(&sp->arena, fst_value_id, t->count + 1);
  fst_type *types = FST_NEW_ARRAY(&sp->arena, fst_type, t->count + 1);
  for (uint32_t i = 0; i < t->count; i++) {
    items[i] = residual(sp, w, t->items[i], loc);
    types[i] = fst_value_type(sp->out, items[i]);
  }
  fst_types *all = sp->out->module->types;
  const fst_type_data *declared = fst_type_get(all, t->type);
  fst_type type = declared->fields ? fst_type_named_tuple(all, declared->name, declared->fields, types, t->count)
                                   : fst_type_tuple(all, types, t->count);
  return emit(sp, w, FST_OP_TUPLE_CONSTRUCT, items, t->count, type, loc);
}

fst_value_id residual_of(specializer *sp, world *w, fst_value_id old, fst_loc loc) {
  binding b = world_get(sp, w, old);
  fst_value_id v = residual(sp, w, b, loc);
  // A list that now exists is that value from here on; tuples may be remade at will.
  if (b.kind == BOUND_HEAP) world_set(w, old, bind_value(v));
  return v;
}

// ---- generic nodes ---------------------------------------------------------------------------------

// 0-d integer tensors made from sizes (tracing writes `size -> NumToTensor -> mul -> Int`) carry their
// value as an expression too.
static fst_dim tensor_expression(specializer *sp, world *w, const fst_node *n) {
  fst_dim v[2];
  for (uint32_t i = 0; i < 2; i++) v[i] = n->operand_count > i ? int_value(sp, w, bind_value(n->operands[i])) : FST_DIM_UNKNOWN;
  int64_t number;
  bool unscaled = n->operand_count < 3 || (fst_value_const_int(sp->out, n->operands[2], &number) && number == 1);
  switch (n->op) {
    case FST_OP_ADD_TENSOR: case FST_OP_ADD_SCALAR: return unscaled ? fst_dim_add(sp->out->dims, v[0], v[1]) : FST_DIM_UNKNOWN;
    case FST_OP_SUB_TENSOR: case FST_OP_SUB_SCALAR: return unscaled ? fst_dim_sub(sp->out->dims, v[0], v[1]) : FST_DIM_UNKNOWN;
    case FST_OP_MUL_TENSOR: case FST_OP_MUL_SCALAR: return fst_dim_mul(sp->out->dims, v[0], v[1]);
    case FST_OP_FLOOR_DIVIDE: case FST_OP_FLOOR_DIVIDE_SCALAR:
      return fst_dim_is_const(sp->out->dims, v[1], &number) && number ? fst_dim_floordiv(sp->out->dims, v[0], v[1]) : FST_DIM_UNKNOWN;
    default: return FST_DIM_UNKNOWN;
  }
}

static bool is_zero_d_int(const fst_type_data *t) {
  return t->kind == FST_TY_TENSOR && t->rank == 0 && fst_dtype_is_integral(t->dtype, false);
}

static void bind_results(specializer *sp, world *w, fst_node_id old, fst_node_id made, fst_infer *in) {
  const fst_node *from = fst_node_get(sp->src, old);
  fst_node *n = fst_node_get(sp->out, made);
  bool all_known = from->result_count > 0;
  for (uint32_t r = 0; r < from->result_count; r++) {
    fst_value_id v = n->results[r];
    fst_value *value = fst_value_get(sp->out, v);
    binding b = bind_value(v);
    if (in && in->result_consts && in->result_consts[r].id) {
      b = bind_value(fst_graph_const(sp->out, in->result_consts[r]));
    } else if (in && in->result_syms && fst_dim_is_known(in->result_syms[r])) {
      value->sym = dim_facts(sp, w, in->result_syms[r]);
      if (fst_type_is(sp->out->module->types, value->type, FST_TY_INT)) b = bind_value(emit_dim(sp, w, value->sym, n->loc));
    } else if (fst_type_is(sp->out->module->types, value->type, FST_TY_INT)) {
      value->sym = fresh_symbol(sp, w, true);
    } else if (is_zero_d_int(fst_type_get(sp->out->module->types, value->type))) {
      value->sym = tensor_expression(sp, w, n);
    }
    if (fst_type_is(sp->out->module->types, value->type, FST_TY_TENSOR)) fst_value_set_type(sp->out, v, instantiate(sp, w, value->type));
    if (b.value.id == v.id) all_known = false;
    world_set(w, from->results[r], b);
  }
  fst_effect effect = n->op == FST_OP_UNKNOWN ? FST_IO : fst_op_get(n->op)->effect;
  if (all_known && (effect == FST_PURE || effect == FST_READS || effect == FST_RAISES)) fst_node_erase(sp->out, made);
}

// A list of views or of sizes whose length is known: its items are bound one by one, and no list is made.
static bool bind_items(specializer *sp, world *w, fst_node_id old, fst_node_id made) {
  enum { MOST_ITEMS = 256 };
  fst_value_id result = fst_node_result(fst_node_get(sp->out, made), 0);
  if (fst_node_get(sp->out, made)->result_count != 1 || !fst_type_is(sp->out->module->types, fst_value_type(sp->out, result), FST_TY_LIST)) return false;
  const fst_value_id *items;
  int count = fst_list_build(sp->out, made, MOST_ITEMS, &sp->arena, &items);
  if (count < 0) return false;
  fst_node_erase(sp->out, made);
  adopt_symbols(sp, w->block);
  sp->emitted += (uint32_t)count;
  binding *bound = FST_NEW_ARRAY(&sp->arena, binding, count + 1);
  for (int i = 0; i < count; i++) {
    fst_value_set_type(sp->out, items[i], instantiate(sp, w, fst_value_type(sp->out, items[i])));
    bound[i] = bind_value(items[i]);
  }
  const fst_node *from = fst_node_get(sp->src, old);
  world_set(w, from->results[0], new_list(sp, w, fst_value_type(sp->src, from->results[0]), 0, bound, (uint32_t)count));
  return true;
}

// Scalar ops with all operands known, or known well enough.
// *out takes the literal, and then the node goes, or the node's result with its expression.
static bool scalar_known(specializer *sp, world *w, fst_node_id made, fst_value_id *out) {
  fst_node *n = fst_node_get(sp->out, made);
  fst_const folded;
  fst_dim v[2] = {FST_DIM_UNKNOWN, FST_DIM_UNKNOWN};
  int64_t number;
  if (fst_fold_node(sp->out, made, &folded)) {
    *out = fst_graph_const(sp->out, folded);
    fst_node_erase(sp->out, made);
    return true;
  }
  if (n->op == FST_OP_UNKNOWN || fst_op_get(n->op)->cls != FST_CLASS_SCALAR) return false;
  for (uint32_t i = 0; i < 2 && i < n->operand_count; i++) v[i] = int_value(sp, w, bind_value(n->operands[i]));
  int truth = int_truth(sp, n, v);
  fst_dim d = truth < 0 ? int_expression(sp, n, v) : FST_DIM_UNKNOWN;
  if (truth < 0 && !fst_dim_is_known(d)) return false;
  if (truth >= 0 || fst_dim_is_const(sp->out->dims, d, &number)) {
    *out = truth >= 0 ? fst_graph_const_bool(sp->out, truth) : fst_graph_const_int(sp->out, number);
    fst_node_erase(sp->out, made);
    return true;
  }
  fst_value_get(sp->out, n->results[0])->sym = d;
  *out = n->results[0];
  return true;
}

static bool eval_scalar(specializer *sp, world *w, fst_node_id old, fst_node_id made) {
  fst_value_id known;
  if (fst_node_get(sp->out, made)->result_count != 1 || !scalar_known(sp, w, made, &known)) return false;
  world_set(w, fst_node_get(sp->src, old)->results[0], bind_value(known));
  return true;
}

fst_value_id emit_scalar(specializer *sp, world *w, fst_op op, fst_value_id a, fst_value_id b, fst_type type, fst_loc loc) {
  fst_value_id result = emit(sp, w, op, (fst_value_id[]){a, b}, 2, type, loc);
  if (scalar_known(sp, w, fst_value_get(sp->out, result)->node, &result)) return result;
  if (fst_type_is(sp->out->module->types, type, FST_TY_INT)) fst_value_get(sp->out, result)->sym = fresh_symbol(sp, w, true);
  return result;
}

static fst_value_id generic_operand(specializer *sp, world *w, const fst_node *n, const fst_schema *schema, uint32_t i) {
  binding b = world_get(sp, w, n->operands[i]);
  bool reads_only = schema && !schema->is_vararg && i < schema->arg_count && !schema->args[i].is_written &&
                    fst_op_get(n->op)->cls != FST_CLASS_CONTAINER && fst_op_get(n->op)->cls != FST_CLASS_ATTRIBUTE;
  if (b.kind == BOUND_HEAP && reads_only) return operand_list(sp, w, b, n->loc);
  return residual_of(sp, w, n->operands[i], n->loc);
}

fst_status eval_as(specializer *sp, world *w, fst_node_id old, fst_op op) {
  const fst_node *from = fst_node_get(sp->src, old);
  const fst_schema *schema = op == FST_OP_UNKNOWN ? NULL : fst_op_schema(op);
  fst_value_id *operands = FST_NEW_ARRAY(&sp->arena, fst_value_id, from->operand_count + 1);
  for (uint32_t i = 0; i < from->operand_count; i++) operands[i] = generic_operand(sp, w, from, schema, i);
  fst_node_id made = emit_node(sp, w, op, operands, from->operand_count, from->result_count, from->loc);
  fst_node *n = fst_node_get(sp->out, made);
  n->name = from->name;
  n->attr_int = from->attr_int;
  n->attr_type = from->attr_type;
  for (uint32_t r = 0; r < from->result_count; r++)
    fst_value_set_type(sp->out, n->results[r], import_type(sp, fst_value_type(sp->src, from->results[r])));
  if (eval_scalar(sp, w, old, made)) return NULL;

  const fst_op_info *info = op == FST_OP_UNKNOWN ? NULL : fst_op_get(op);
  fst_arena_reset(&sp->scratch);
  if (!info || !info->infer) {
    try_results(sp, made);
    bind_results(sp, w, old, made, NULL);
    return NULL;
  }
  fst_infer in = {0};
  int outcome = fst_infer_node(sp->out, made, &sp->scratch, &in);
  adopt_symbols(sp, w->block);
  if (outcome == FST_INFER_RAISES) {
    emit_guards(sp, w, &in, made);   // what is checked first raises first
    emit_raise(sp, w, made, in.message ? in.message : "");
  } else {
    if (outcome == FST_INFER_OK) emit_guards(sp, w, &in, made);
    if (outcome != FST_INFER_OK) try_results(sp, made);
    if (outcome != FST_INFER_OK) bind_results(sp, w, old, made, NULL);
    else if (!bind_items(sp, w, old, made)) bind_results(sp, w, old, made, &in);
  }
  fst_vec_free(&in.guards);
  return NULL;
}

fst_status eval_generic(specializer *sp, world *w, fst_node_id old) {
  fst_op op = fst_node_get(sp->src, old)->op;
  const fst_op_info *info = op == FST_OP_UNKNOWN ? NULL : fst_op_get(op);
  bool done = false;
  if (info && info->cls == FST_CLASS_VIEW && info->inplace_of) FST_TRY(eval_reshape(sp, w, old, &done));
  return done ? NULL : eval_as(sp, w, old, op);
}

// ---- state, raising, simple casts ------------------------------------------------------------------

static void eval_state(specializer *sp, world *w, const fst_node *n) {
  uint32_t slot = (uint32_t)n->attr_int;
  if (n->op == FST_OP_STATE_SET) {
    fst_value_id v = residual_of(sp, w, n->operands[0], n->loc);
    fst_node_id set = emit_node(sp, w, FST_OP_STATE_SET, &v, 1, 0, n->loc);
    fst_node_get(sp->out, set)->attr_int = n->attr_int;
    fst_node_get(sp->out, set)->name = n->name;
    w->state[slot] = bind_value(v);
    w->state_value[slot] = (fst_const){0};
    return;
  }
  if (w->state[slot].kind == BOUND_NOT && w->state_value[slot].id) w->state[slot] = bind_value(fst_graph_const(sp->out, w->state_value[slot]));
  if (w->state[slot].kind == BOUND_NOT) {
    fst_type type = w->state_type[slot].id ? w->state_type[slot] : import_type(sp, fst_value_type(sp->src, n->results[0]));
    fst_value_id v = emit(sp, w, FST_OP_STATE_GET, NULL, 0, instantiate(sp, w, apply_facts(sp, w, type)), n->loc);
    fst_node_id def = fst_value_def(sp->out, v);
    fst_node_get(sp->out, def)->attr_int = n->attr_int;
    fst_node_get(sp->out, def)->name = n->name;
    if (fst_type_is(sp->out->module->types, fst_value_type(sp->out, v), FST_TY_INT)) fst_value_get(sp->out, v)->sym = fresh_symbol(sp, w, true);
    w->state[slot] = bind_value(v);
  }
  world_set(w, n->results[0], w->state[slot]);
}

static fst_status eval_node(specializer *sp, world *w, fst_node_id id) {
  const fst_node *n = fst_node_get(sp->src, id);
  bool done = false;
  switch (n->op) {
    case FST_OP_STATE_GET:
    case FST_OP_STATE_SET: eval_state(sp, w, n); return NULL;
    case FST_OP_LOOP: return eval_loop(sp, w, id);
    case FST_OP_RAISE: {
      fst_value_id operands[2];
      for (uint32_t i = 0; i < n->operand_count && i < 2; i++) operands[i] = residual_of(sp, w, n->operands[i], n->loc);
      note_exit(sp, w);
      emit_node(sp, w, FST_OP_RAISE, operands, n->operand_count < 2 ? n->operand_count : 2, 0, n->loc);
      w->dead = true;
      return NULL;
    }
    case FST_OP_RETURN: {
      fst_value_id v = n->operand_count ? residual_of(sp, w, n->operands[0], n->loc) : fst_graph_const_none(sp->out);
      if (!w->noted) note_exit(sp, w);
      fst_node_id ret = emit_node(sp, w, FST_OP_RETURN, &v, 1, 0, n->loc);
      fst_vec_clear(&sp->out->result_types);
      fst_vec_push(&sp->out->result_types, fst_value_type(sp->out, fst_node_get(sp->out, ret)->operands[0]));
      return NULL;
    }
    default: break;
  }
  FST_TRY(eval_data(sp, w, id, &done));
  return done ? NULL : eval_generic(sp, w, id);
}

// Walks the nodes of `block` at positions [from, to); yields are the caller's business.
fst_status eval_block(specializer *sp, world *w, fst_block_id block, uint32_t from, uint32_t to) {
  fst_node_id id = fst_block_get(sp->src, block)->first;
  while (id.id && sp->position[id.id] < from) id = fst_node_get(sp->src, id)->next;
  while (id.id && !w->dead && sp->position[id.id] < to) {
    const fst_node *n = fst_node_get(sp->src, id);
    if (n->op == FST_OP_YIELD) break;
    uint32_t next = sp->position[id.id] + 1;
    if (n->op == FST_OP_IF) FST_TRY(eval_if(sp, w, id, to, &next));
    else FST_TRY(eval_node(sp, w, id));
    while (id.id && sp->position[id.id] < next) id = fst_node_get(sp->src, id)->next;
  }
  return NULL;
}

// ---- the pass --------------------------------------------------------------------------------------

static void number_positions(specializer *sp, fst_block_id block) {
  uint32_t at = 0;
  for (FST_EACH_NODE(sp->src, block, id)) {
    const fst_node *n = fst_node_get(sp->src, id);
    sp->position[id.id] = at++;
    for (uint32_t b = 0; b < n->block_count; b++) number_positions(sp, n->blocks[b]);
  }
}

binding open_tuple(specializer *sp, world *w, fst_value_id value) {
  const fst_type_data *t = fst_value_type_data(sp->out, value);
  if (t->kind == FST_TY_INT && !fst_dim_is_known(fst_value_get(sp->out, value)->sym)) fst_value_get(sp->out, value)->sym = fresh_symbol(sp, w, true);
  if (t->kind != FST_TY_TUPLE) return bind_value(value);
  fst_node_id unpack = emit_node(sp, w, FST_OP_TUPLE_UNPACK, &value, 1, t->count, FST_NO_LOC);
  binding *items = FST_NEW_ARRAY(&sp->arena, binding, t->count + 1);
  for (uint32_t i = 0; i < t->count; i++) {
    fst_value_id item = fst_node_get(sp->out, unpack)->results[i];
    fst_type_kind kind = fst_type_kind_of(sp->out->module->types, t->items[i]);
    bool changes = kind == FST_TY_LIST || kind == FST_TY_DICT;   // nobody follows what is put into it
    fst_value_set_type(sp->out, item, changes ? fst_type_erase(sp->out->module->types, t->items[i]) : instantiate(sp, w, t->items[i]));
    items[i] = open_tuple(sp, w, item);
  }
  return new_tuple(sp, fst_value_type(sp->out, value), items, t->count);
}

static fst_status walk_once(specializer *sp, fst_graph **out) {
  fst_graph *src = sp->src;
  sp->out = fst_graph_create(src->module, src->name);
  sp->symbol_block.len = sp->block_moved.len = sp->made_site.len = sp->open_lists.len = 0;
  sp->again = false;
  sp->emitted = 0;
  if (sp->state) fst_vec_clear(&sp->state->left);
  world w = {.block = sp->out->entry};
  w.bound = FST_NEW_ARRAY(&sp->arena, binding, src->values.len);
  w.state = FST_NEW_ARRAY(&sp->arena, binding, sp->slots + 1);
  w.state_type = FST_NEW_ARRAY(&sp->arena, fst_type, sp->slots + 1);
  w.state_value = FST_NEW_ARRAY(&sp->arena, fst_const, sp->slots + 1);
  const fst_block *entry = fst_block_get(src, src->entry);
  for (uint32_t s = 0; sp->state && s < sp->state->count; s++) {
    w.state_type[s] = import_type(sp, sp->state->entry[s].type);
    w.state_value[s] = sp->state->entry[s].value;
  }
  FST_VEC(fst_value_id) params = {0};
  for (size_t i = 0; i < entry->params.len; i++) {
    const fst_value *p = fst_value_get(src, entry->params.data[i]);
    fst_vec_push(&params, fst_block_add_param(sp->out, sp->out->entry, import_type(sp, p->type), p->name));
    if (i < src->defaults.len) fst_vec_push(&sp->out->defaults, src->defaults.data[i]);
  }
  sp->first_local_symbol = fst_dims_symbol_count(sp->out->dims);
  adopt_symbols(sp, sp->out->entry);
  for (size_t i = 0; i < params.len; i++) {
    fst_value *v = fst_value_get(sp->out, params.data[i]);
    fst_value_set_type(sp->out, params.data[i], instantiate(sp, &w, v->type));
    if (fst_type_is(src->module->types, v->type, FST_TY_INT)) v->sym = fresh_symbol(sp, &w, true);
    const fst_type_data *t = fst_type_get(src->module->types, v->type);
    if (t->kind == FST_TY_LIST || t->kind == FST_TY_DICT) {   // the call may put other things in
      uint32_t site = (uint32_t)(src->nodes.len + i) + 1;
      if (!sp->site_elem[site - 1].id) sp->site_elem[site - 1] = t->elem;
      note_site(sp, params.data[i], site);
    }
    world_set(&w, entry->params.data[i], open_tuple(sp, &w, params.data[i]));
  }
  fst_vec_free(&params);
  sp->first_local_symbol = fst_dims_symbol_count(sp->out->dims);
  fst_status status = eval_block(sp, &w, src->entry, 0, UINT32_MAX);
  if (!status && w.dead) {   // the method always raises
    fst_value_id none = fst_graph_const_none(sp->out);
    emit_node(sp, &w, FST_OP_RETURN, &none, 1, 0, FST_NO_LOC);
    fst_vec_push(&sp->out->result_types, fst_value_type(sp->out, none));
  }
  for (size_t i = 0; i < sp->open_lists.len; i++)
    if (fst_node_get(sp->out, sp->open_lists.data[i])->operand_count) fst_node_erase(sp->out, sp->open_lists.data[i]);
  sp->out->stage = FST_STAGE_TYPED;
  *out = sp->out;
  return status;
}

fst_status fst_specialize(fst_graph *source, fst_state_forms *state, const fst_meta_trial *trial, fst_graph **out_graph) {
  specializer sp = {.src = source, .state = state, .trial = trial, .budget = EMIT_BUDGET};
  fst_arena_init(&sp.arena);
  fst_arena_init(&sp.scratch);
  sp.slots = state ? state->count : 0;
  for (size_t i = 1; i < source->nodes.len; i++) {
    const fst_node *n = source->nodes.data[i];
    if ((n->op == FST_OP_STATE_GET || n->op == FST_OP_STATE_SET) && n->attr_int >= sp.slots) sp.slots = (uint32_t)n->attr_int + 1;
  }
  sp.position = FST_NEW_ARRAY(&sp.arena, uint32_t, source->nodes.len);
  size_t sites = source->nodes.len + fst_block_get(source, source->entry)->params.len;
  for (size_t i = 0; i < source->module->classes.len; i++) sites += source->module->classes.data[i].attr_count;
  sp.site_elem = FST_NEW_ARRAY(&sp.arena, fst_type, sites);
  number_positions(&sp, source->entry);
  fst_status status = NULL;
  fst_graph *graph = NULL;
  for (bool again = true; again && !status; sp.round++) {
    fst_graph_destroy(graph);
    graph = NULL;
    status = walk_once(&sp, &graph);
    again = sp.again;   // types of sites can only grow, so this ends
  }
  fst_vec_free(&sp.symbol_block);
  fst_vec_free(&sp.block_moved);
  fst_vec_free(&sp.made_site);
  fst_vec_free(&sp.open_lists);
  fst_arena_deinit(&sp.arena);
  fst_arena_deinit(&sp.scratch);
  if (status) {
    fst_graph_destroy(graph);
    return status;
  }
  *out_graph = graph;
  return NULL;
}

fst_status fst_pass_specialize(fst_pass_ctx *pc, fst_graph *graph) {
  fst_graph *typed;
  if (!fst_pass_allow(pc)) return NULL;
  FST_TRY(fst_specialize(graph, NULL, NULL, &typed));
  fst_graph old = *graph;
  *graph = *typed;
  *typed = old;
  fst_graph_destroy(typed);
  return NULL;
}
