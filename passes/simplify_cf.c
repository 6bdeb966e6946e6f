// simplify-cf: branches and loops whose way is known go.
//
// Any stage before `fused`. An If whose condition is a literal becomes the branch it takes; inside a branch its
// condition is the literal it is there, so that nested questions go too; an If result that is the same value on
// both sides, or just the condition or its negation, is that. A Loop that never runs gives its inputs, one that
// runs exactly once becomes its body, and a carried value that no iteration changes is the one that came in.
// Unrolling and splitting by path are the specializer's. Cost: linear.
//
// Before:                                              After:
//   %1 : int = prim::If(true) {                           ... 1 for %1
//     yield 1
//   } {
//     yield 2
//   }
#include "passes/pass.h"

static void simplify_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block);

static const fst_node *yield_of(const fst_graph *g, fst_block_id block) { return fst_node_get(g, fst_block_terminator(g, block)); }

// Moves a block's nodes before `at`, its terminator excepted.
static void splice(fst_graph *g, fst_block_id block, fst_node_id at) {
  for (FST_EACH_NODE(g, block, inner))
    if (fst_node_get(g, inner)->op != FST_OP_YIELD) fst_node_move_before(g, at, inner);
}

// ---- If --------------------------------------------------------------------------------------------

static void take_branch(fst_pass_ctx *pc, fst_graph *g, fst_node_id id, fst_block_id taken) {
  const fst_node *n = fst_node_get(g, id);
  for (uint32_t r = 0; r < n->result_count; r++)
    if (!fst_value_may_replace(g, n->results[r], yield_of(g, taken)->operands[r])) return;
  if (!fst_pass_allow(pc)) return;
  splice(g, taken, id);
  for (uint32_t r = 0; r < n->result_count; r++) fst_value_replace(g, n->results[r], yield_of(g, taken)->operands[r]);
  fst_node_erase(g, id);
}

// Inside its branches the condition is known.
static void learn_condition(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  fst_value_id cond = n->operands[0];
  const fst_value *v = fst_value_get(g, cond);
  for (size_t u = v->uses.len; u-- > 0;) {   // set_operand takes the use from the list
    fst_use use = v->uses.data[u];
    for (uint32_t b = 0; b < 2; b++) {
      if (!fst_block_contains(g, n->blocks[b], use.user) || !fst_pass_allow(pc)) continue;
      fst_node_set_operand(g, use.user, use.index, fst_graph_const_bool(g, b == 0));
      break;
    }
  }
}

// What result `r` is without a branch, or none.
static fst_value_id common_result(fst_graph *g, fst_node_id id, uint32_t r) {
  const fst_node *n = fst_node_get(g, id);
  fst_value_id yes = yield_of(g, n->blocks[0])->operands[r], no = yield_of(g, n->blocks[1])->operands[r];
  bool if_true, if_false;
  // A value that both branches yield was there before.
  if (fst_value_eq(yes, no)) return fst_value_may_replace(g, n->results[r], yes) ? yes : FST_NO_VALUE;
  if (!fst_value_const_bool(g, yes, &if_true) || !fst_value_const_bool(g, no, &if_false) || if_true == if_false) return FST_NO_VALUE;
  if (if_true) return n->operands[0];
  fst_node_id negation = fst_node_create(g, FST_OP___NOT__, n->operands, 1, 1, n->loc);
  fst_node_insert_before(g, id, negation);
  fst_value_set_type(g, fst_node_get(g, negation)->results[0], fst_type_simple(g->module->types, FST_TY_BOOL));
  return fst_node_get(g, negation)->results[0];
}

static void simplify_if(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  bool known;
  if (fst_value_const_bool(g, n->operands[0], &known)) {
    fst_block_id taken = n->blocks[known ? 0 : 1];
    simplify_block(pc, g, taken);
    take_branch(pc, g, id, taken);
    return;
  }
  learn_condition(pc, g, id);
  for (uint32_t b = 0; b < n->block_count; b++) simplify_block(pc, g, n->blocks[b]);
  for (uint32_t r = 0; r < n->result_count; r++) {
    if (!fst_value_get(g, n->results[r])->uses.len || (pc->limit >= 0 && pc->changes >= (uint64_t)pc->limit)) continue;
    fst_value_id v = common_result(g, id, r);
    if (v.id && fst_pass_allow(pc)) fst_value_replace(g, n->results[r], v);
  }
}

// ---- Loop ------------------------------------------------------------------------------------------

// A carried value that is handed on unchanged is the one from before the loop.
static void drop_invariants(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  const fst_block *body = fst_block_get(g, n->blocks[0]);
  for (uint32_t i = 0; i < n->result_count; i++) {
    fst_value_id param = body->params.data[i + 1], init = n->operands[i + 2], next = yield_of(g, n->blocks[0])->operands[i + 1];
    if (!fst_value_eq(next, param) && !fst_value_eq(next, init)) continue;
    bool used = fst_value_get(g, n->results[i])->uses.len || fst_value_get(g, param)->uses.len > fst_value_eq(next, param);
    if (!used || !fst_value_may_replace(g, param, init) || !fst_value_may_replace(g, n->results[i], init) || !fst_pass_allow(pc)) continue;
    fst_value_replace(g, param, init);
    fst_value_replace(g, n->results[i], init);
  }
}

// May each result be `values[i]`, and each parameter of the body what comes in?
static bool may_replace_all(const fst_graph *g, const fst_node *n, const fst_value_id *values, bool body_too) {
  const fst_block *body = fst_block_get(g, n->blocks[0]);
  for (uint32_t i = 0; i < n->result_count; i++) {
    if (!fst_value_may_replace(g, n->results[i], values[i])) return false;
    if (body_too && !fst_value_may_replace(g, body->params.data[i + 1], n->operands[i + 2])) return false;
  }
  return true;
}

// Runs once: the condition holds, there is a trip, and the body says to stop (or there is one trip only).
static bool runs_once(const fst_graph *g, const fst_node *n) {
  bool starts, goes_on;
  int64_t trips;
  if (!fst_value_const_bool(g, n->operands[1], &starts) || !starts || !fst_value_const_int(g, n->operands[0], &trips) || trips < 1) return false;
  return trips == 1 || (fst_value_const_bool(g, yield_of(g, n->blocks[0])->operands[0], &goes_on) && !goes_on);
}

static bool never_runs(const fst_graph *g, const fst_node *n) {
  bool starts = true;
  int64_t trips = 1;
  fst_value_const_bool(g, n->operands[1], &starts);
  fst_value_const_int(g, n->operands[0], &trips);
  return !starts || trips <= 0;
}

static void simplify_loop(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  fst_node *n = fst_node_get(g, id);
  if (never_runs(g, n)) {
    if (!may_replace_all(g, n, n->operands + 2, false) || !fst_pass_allow(pc)) return;
    for (uint32_t r = 0; r < n->result_count; r++) fst_value_replace(g, n->results[r], n->operands[r + 2]);
    fst_node_erase(g, id);
    return;
  }
  simplify_block(pc, g, n->blocks[0]);
  drop_invariants(pc, g, id);
  const fst_block *body = fst_block_get(g, n->blocks[0]);
  fst_value_id zero = fst_graph_const_int(g, 0);
  if (!runs_once(g, n) || !fst_value_may_replace(g, body->params.data[0], zero)) return;
  if (!may_replace_all(g, n, yield_of(g, n->blocks[0])->operands + 1, true) || !fst_pass_allow(pc)) return;
  fst_value_replace(g, body->params.data[0], zero);
  for (uint32_t i = 0; i < n->result_count; i++) fst_value_replace(g, body->params.data[i + 1], n->operands[i + 2]);
  splice(g, n->blocks[0], id);
  for (uint32_t i = 0; i < n->result_count; i++) fst_value_replace(g, n->results[i], yield_of(g, n->blocks[0])->operands[i + 1]);
  fst_node_erase(g, id);
}

// ---- the pass --------------------------------------------------------------------------------------

static void simplify_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) {
    fst_op op = fst_node_get(g, id)->op;
    if (op == FST_OP_IF) simplify_if(pc, g, id);
    else if (op == FST_OP_LOOP) simplify_loop(pc, g, id);
  }
}

fst_status fst_pass_simplify_cf(fst_pass_ctx *pc, fst_graph *graph) {
  simplify_block(pc, graph, graph->entry);
  return NULL;
}
