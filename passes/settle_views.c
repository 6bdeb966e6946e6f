// settle-views: contiguous and reshape whose sizes decide at run time whether they copy ask, where it matters.
//
// Expects `typed`. PyTorch gives the tensor itself, or a view, where it lies contiguously already, and a transposed
// tensor does so when a size is 1. With sizes as symbols either may happen. Usually nobody can tell; but where one of the
// two is written later, the other must change, or must not. Changes such a node into a branch on the question, whose
// result may then be memory of the operand, as the passes after this one see. Leaves alone: what is known to be a view
// or a copy, and nodes of whose memory nothing is written later. A reshape of what is no contiguous tensor counts as a
// copy. Cost: linear, and a look at the whole graph for each node that may be either.
//
// Before:                                                  After:
//   %1 : f32[s1, s0]{s0, 1} = aten::contiguous(%t, 0)        %1 : bool = (%t is contiguous: s0 is 1, or s1 is)
//   %2 : f32[s1, s0]{s0, 1} = aten::add_.Scalar(%1, 1, 1)    %2 : f32[s1, s0]{s0, 1} = prim::If(%1) {
//                                                              %3 : f32[s1, s0]{s0, 1} = fst::refine(%t)
//                                                              yield %3
//                                                            } {
//                                                              %4 : f32[s1, s0]{s0, 1} = aten::clone(%t, 0)
//                                                              yield %4
//                                                            }
//                                                            %5 : f32[s1, s0]{s0, 1} = aten::add_.Scalar(%2, 1, 1)
#include "ir/infer.h"
#include "passes/alias.h"
#include "passes/pass.h"

typedef struct {
  fst_pass_ctx *pc;
  fst_graph *g;
  fst_alias alias;
  bool changed;
} settler;

// ---- is it in question? ----

static fst_dim expected_stride(fst_graph *g, const fst_type_data *t, int dim) {
  fst_dim product = fst_dim_const(g->dims, 1);
  for (int i = dim + 1; i < t->rank; i++) product = fst_dim_mul(g->dims, product, t->dims[i]);
  return product;
}

static bool may_be_contiguous(fst_graph *g, const fst_type_data *t) {
  for (int i = 0; i < t->rank; i++)
    if (fst_dim_equal(g->dims, t->dims[i], 1) == 0 && fst_dim_equal(g->dims, t->strides[i], expected_stride(g, t, i)) == 0) return false;
  return true;
}

static bool is_in_question(fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  if (n->op != FST_OP_CONTIGUOUS && n->op != FST_OP_RESHAPE) return false;
  const fst_type_data *x = fst_value_type_data(g, n->operands[0]), *r = fst_value_type_data(g, n->results[0]);
  int64_t format;
  if (n->op == FST_OP_CONTIGUOUS && n->operand_count > 1 && !(fst_value_const_int(g, n->operands[1], &format) && format == 0)) return false;
  bool known = x->kind == FST_TY_TENSOR && x->rank > 0 && x->dtype != FST_DTYPE_UNKNOWN && x->has_strides && r->kind == FST_TY_TENSOR && r->rank >= 0 && r->has_strides;
  return known && !fst_infer_is_view(g, id) && may_be_contiguous(g, x);
}

// ---- is something written? ----

typedef struct { const settler *s; fst_node_id node; bool passed, written; } search;

// Is it memory of the value, or may both have come from outside? (The result of a copy did not, wherever it goes.)
static bool may_meet(const fst_alias *alias, fst_value_id value, fst_value_id written) {
  return fst_alias_of(alias, value) == fst_alias_of(alias, written) || (fst_alias_info(alias, value)->external && fst_alias_info(alias, written)->external);
}

static bool writes_either(const search *q, const fst_node *w) {
  const settler *s = q->s;
  const fst_node *n = fst_node_get(s->g, q->node);
  if (w->op == FST_OP_UNKNOWN) return fst_alias_writes(s->g, &s->alias, w, n->operands[0]) || fst_alias_writes(s->g, &s->alias, w, n->results[0]);
  for (uint32_t i = 0; i < w->operand_count; i++)
    if (fst_node_writes(s->g, w, i) && (may_meet(&s->alias, n->operands[0], w->operands[i]) || may_meet(&s->alias, n->results[0], w->operands[i]))) return true;
  return false;
}

// What stands before the node in a loop around it comes after it too.
static void search_block(search *q, fst_block_id block, bool in_loop) {
  for (FST_EACH_NODE(q->s->g, block, id)) {
    const fst_node *n = fst_node_get(q->s->g, id);
    if (fst_node_eq(id, q->node)) q->passed = true;
    else if (n->block_count) {
      bool around = false;
      for (uint32_t b = 0; b < n->block_count; b++) around = around || fst_block_contains(q->s->g, n->blocks[b], q->node);
      for (uint32_t b = 0; b < n->block_count; b++) search_block(q, n->blocks[b], in_loop || (around && n->op == FST_OP_LOOP));
    } else if ((q->passed || in_loop) && writes_either(q, n)) q->written = true;
    if (q->written) return;
  }
}

// ---- asking ----

static fst_value_id build(settler *s, fst_block_id block, fst_node_id at, fst_op op, const fst_value_id *operands, uint32_t count, fst_type type, fst_loc loc) {
  fst_node_id node = fst_node_create(s->g, op, operands, count, 1, loc);
  if (at.id) fst_node_insert_before(s->g, at, node);
  else fst_node_append(s->g, block, node);
  fst_value_id value = fst_node_result(fst_node_get(s->g, node), 0);
  fst_value_set_type(s->g, value, type);
  return value;
}

static fst_value_id build_bool(settler *s, fst_node_id at, fst_op op, fst_value_id a, fst_value_id b) {
  fst_value_id operands[2] = {a, b};
  return build(s, (fst_block_id){0}, at, op, operands, 2, fst_type_simple(s->g->module->types, FST_TY_BOOL), fst_node_get(s->g, at)->loc);
}

static fst_value_id build_is_contiguous(settler *s, fst_node_id at, const fst_type_data *t) {
  fst_value_id all = {0}, one = fst_graph_const_int(s->g, 1);
  for (int i = 0; i < t->rank; i++) {
    fst_dim wanted = expected_stride(s->g, t, i);
    if (fst_dim_equal(s->g->dims, t->strides[i], wanted) == 1) continue;
    fst_value_id fits = build_bool(s, at, FST_OP_EQ_INT, fst_graph_dim_before(s->g, at, t->strides[i]), fst_graph_dim_before(s->g, at, wanted));
    fst_value_id single = build_bool(s, at, FST_OP_EQ_INT, fst_graph_dim_before(s->g, at, t->dims[i]), one);
    fst_value_id either = build_bool(s, at, FST_OP___OR___BOOL, fits, single);
    all = all.id ? build_bool(s, at, FST_OP___AND___BOOL, all, either) : either;
  }
  return all.id ? all : fst_graph_const_bool(s->g, true);
}

static void build_yield(settler *s, fst_block_id block, fst_value_id value) {
  fst_node_append(s->g, block, fst_node_create(s->g, FST_OP_YIELD, &value, 1, 0, FST_NO_LOC));
}

static void settle(settler *s, fst_node_id id) {
  fst_graph *g = s->g;
  const fst_node *n = fst_node_get(g, id);
  const fst_type_data *x = fst_value_type_data(g, n->operands[0]);
  fst_dim strides[FST_MAX_RANK];
  fst_contiguous_strides(g->dims, x->rank, x->dims, strides);
  fst_type type = fst_value_type(g, n->results[0]), dense = fst_type_tensor(g->module->types, x->dtype, x->rank, x->dims, strides, x->device_kind, x->device_index);
  fst_value_id question = build_is_contiguous(s, id, x);
  fst_node_id choice = fst_node_create(g, FST_OP_IF, &question, 1, 1, n->loc);
  fst_node_insert_before(g, id, choice);
  fst_value_set_type(g, fst_node_get(g, choice)->results[0], type);
  for (int copies = 0; copies < 2; copies++) {
    fst_block_id block = fst_node_add_block(g, choice);
    fst_value_id operands[2] = {n->operands[0], fst_graph_const_int(g, 0)};
    fst_value_id value = build(s, block, (fst_node_id){0}, copies ? FST_OP_CLONE : FST_OP_REFINE, operands, copies ? 2 : 1, dense, n->loc);
    if (n->op == FST_OP_RESHAPE) value = build(s, block, (fst_node_id){0}, FST_OP_RESHAPE, (fst_value_id[]){value, n->operands[1]}, 2, type, n->loc);
    build_yield(s, block, value);
  }
  fst_value_replace(g, n->results[0], fst_node_get(g, choice)->results[0]);
  fst_node_erase(g, id);
}

static void settle_block(settler *s, fst_block_id block) {
  fst_node_id next;
  for (fst_node_id id = fst_block_get(s->g, block)->first; id.id; id = next) {
    const fst_node *n = fst_node_get(s->g, id);
    next = n->next;
    for (uint32_t b = 0; b < n->block_count; b++) settle_block(s, n->blocks[b]);
    if (!is_in_question(s->g, id)) continue;
    search q = {.s = s, .node = id};
    search_block(&q, s->g->entry, false);
    if (!q.written || !fst_pass_allow(s->pc)) continue;
    settle(s, id);
    s->changed = true;
    fst_alias_compute(s->g, s->pc->arena, &s->alias);
  }
}

fst_status fst_pass_settle_views(fst_pass_ctx *pc, fst_graph *graph) {
  settler s = {.pc = pc, .g = graph, .alias = *pc->alias, .changed = true};
  while (s.changed) {   // what became memory of an operand may put that operand in question
    s.changed = false;
    settle_block(&s, graph->entry);
  }
  return NULL;
}
