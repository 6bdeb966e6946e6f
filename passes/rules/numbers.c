#include <math.h>

#include "passes/fold.h"
#include "passes/rules/rules.h"

bool fst_rule_literals(fst_rewrite *rw, fst_value_id *out) {
  fst_const literal;
  if (!fst_fold_node(rw->g, rw->id, &literal)) return false;
  out[0] = fst_graph_const(rw->g, literal);
  return true;
}

bool fst_rule_constant_right(fst_rewrite *rw, fst_value_id *out) {
  (void)out;
  fst_value_id a = rw->node->operands[0], b = rw->node->operands[1];
  if (!fst_value_const(rw->g, a) || fst_value_const(rw->g, b)) return false;
  fst_node_set_operand(rw->g, rw->id, 0, b);
  fst_node_set_operand(rw->g, rw->id, 1, a);
  return true;
}

bool fst_rule_int_neutral(fst_rewrite *rw, fst_value_id *out) {
  int64_t c, neutral = 0;
  if (!fst_value_const_int(rw->g, rw->node->operands[1], &c)) return false;
  switch (rw->node->op) {
    case FST_OP_MUL_INT: case FST_OP_FLOORDIV_INT: case FST_OP___ROUND_TO_ZERO_FLOORDIV_INT: neutral = 1; break;
    case FST_OP___AND___INT: neutral = -1; break;
    default: break;
  }
  out[0] = rw->node->operands[0];
  return c == neutral;
}

bool fst_rule_int_absorbing(fst_rewrite *rw, fst_value_id *out) {
  int64_t c, absorbing = 0;
  if (!fst_value_const_int(rw->g, rw->node->operands[1], &c)) return false;
  if (rw->node->op == FST_OP___OR___INT) absorbing = -1;
  if (rw->node->op == FST_OP_REMAINDER_INT) absorbing = 1;
  out[0] = fst_graph_const_int(rw->g, rw->node->op == FST_OP_REMAINDER_INT ? 0 : absorbing);
  return c == absorbing;
}

// What a sum adds to its first operand, modulo 2^64.
static bool added(const fst_graph *g, const fst_node *n, uint64_t *out) {
  int64_t c;
  if ((n->op != FST_OP_ADD_INT && n->op != FST_OP_SUB_INT) || !fst_value_const_int(g, n->operands[1], &c)) return false;
  *out = n->op == FST_OP_ADD_INT ? (uint64_t)c : 0 - (uint64_t)c;
  return true;
}

bool fst_rule_int_chain(fst_rewrite *rw, fst_value_id *out) {
  fst_node_id def = fst_value_def(rw->g, rw->node->operands[0]);
  const fst_node *outer = rw->node, *inner = def.id ? fst_node_get(rw->g, def) : NULL;
  uint64_t first, second;
  int64_t a, b;
  if (!inner) return false;
  bool sums = added(rw->g, inner, &first) && added(rw->g, outer, &second);
  bool products = inner->op == FST_OP_MUL_INT && outer->op == FST_OP_MUL_INT && fst_value_const_int(rw->g, inner->operands[1], &a) && fst_value_const_int(rw->g, outer->operands[1], &b);
  if (!sums && !products) return false;
  uint64_t both = sums ? first + second : (uint64_t)a * (uint64_t)b;
  fst_value_id operands[2] = {inner->operands[0], fst_graph_const_int(rw->g, (int64_t)both)};
  out[0] = fst_rewrite_make(rw, sums ? FST_OP_ADD_INT : FST_OP_MUL_INT, operands, 2);
  return true;
}

// x + 0.0 turns -0.0 into 0.0, x + -0.0 does not.
bool fst_rule_float_neutral(fst_rewrite *rw, fst_value_id *out) {
  double c;
  if (!fst_value_const_float(rw->g, rw->node->operands[1], &c)) return false;
  out[0] = rw->node->operands[0];
  switch (rw->node->op) {
    case FST_OP_ADD_FLOAT: return c == 0 && signbit(c);
    case FST_OP_SUB_FLOAT: return c == 0 && !signbit(c);
    default: return c == 1;
  }
}

bool fst_rule_twice(fst_rewrite *rw, fst_value_id *out) {
  if (!fst_value_eq(rw->node->operands[0], rw->node->operands[1])) return false;
  switch (rw->node->op) {
    case FST_OP_EQ_INT: case FST_OP_LE_INT: case FST_OP_GE_INT: case FST_OP_EQ_BOOL: case FST_OP_EQ_STR: out[0] = fst_graph_const_bool(rw->g, true); return true;
    case FST_OP_NE_INT: case FST_OP_LT_INT: case FST_OP_GT_INT: case FST_OP_NE_BOOL: case FST_OP_NE_STR: out[0] = fst_graph_const_bool(rw->g, false); return true;
    case FST_OP_SUB_INT: case FST_OP___XOR___INT: out[0] = fst_graph_const_int(rw->g, 0); return true;
    default: out[0] = rw->node->operands[0]; return true;
  }
}

bool fst_rule_bool_compare(fst_rewrite *rw, fst_value_id *out) {
  bool c;
  if (!fst_value_const_bool(rw->g, rw->node->operands[1], &c)) return false;
  if (c == (rw->node->op == FST_OP_EQ_BOOL)) out[0] = rw->node->operands[0];
  else out[0] = fst_rewrite_make(rw, FST_OP___NOT__, rw->node->operands, 1);
  return true;
}

// Both sides are values: nothing is skipped by not looking at one.
bool fst_rule_logic(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node;
  bool neutral = n->op == FST_OP___AND___BOOL, known;
  for (uint32_t i = 0; i < 2; i++)
    if (fst_value_const_bool(rw->g, n->operands[i], &known)) {
      out[0] = known == neutral ? n->operands[1 - i] : n->operands[i];
      return true;
    }
  out[0] = n->operands[0];
  return fst_value_eq(n->operands[0], n->operands[1]);
}

bool fst_rule_inverse(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *inner = fst_rewrite_def(rw, rw->node->operands[0], rw->node->op);
  if (inner) out[0] = inner->operands[0];
  return inner;
}

bool fst_rule_range_index(fst_rewrite *rw, fst_value_id *out) {
  int64_t start, step;
  out[0] = rw->node->operands[0];
  return fst_value_const_int(rw->g, rw->node->operands[1], &start) && fst_value_const_int(rw->g, rw->node->operands[2], &step) && start == 0 && step == 1;
}
