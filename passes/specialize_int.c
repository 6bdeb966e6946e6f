// Integers of the old graph as expressions over sizes, so that shape arithmetic disappears into types.
#include "passes/specialize_internal.h"

fst_dim int_expression(specializer *sp, const fst_node *node, const fst_dim *v) {
  fst_dims *dims = sp->out->dims;
  int64_t divisor;
  switch (node->op) {
    case FST_OP_ADD_INT: return fst_dim_add(dims, v[0], v[1]);
    case FST_OP_SUB_INT: return fst_dim_sub(dims, v[0], v[1]);
    case FST_OP_MUL_INT: return fst_dim_mul(dims, v[0], v[1]);
    case FST_OP_NEG_INT: return fst_dim_sub(dims, 0, v[0]);
    case FST_OP_PRIM_MIN_INT: return fst_dim_min(dims, v[0], v[1]);
    case FST_OP_PRIM_MAX_INT: return fst_dim_max(dims, v[0], v[1]);
    // Division may raise: an expression only where the divisor is a known non-zero number.
    case FST_OP_FLOORDIV_INT:
      return fst_dim_is_const(dims, v[1], &divisor) && divisor ? fst_dim_floordiv(dims, v[0], v[1]) : FST_DIM_UNKNOWN;
    case FST_OP_REMAINDER_INT:
      return fst_dim_is_const(dims, v[1], &divisor) && divisor ? fst_dim_mod(dims, v[0], v[1]) : FST_DIM_UNKNOWN;
    default: return FST_DIM_UNKNOWN;
  }
}

static int negate(int truth) { return truth < 0 ? -1 : !truth; }

int int_truth(specializer *sp, const fst_node *node, const fst_dim *v) {
  fst_dims *dims = sp->out->dims;
  switch (node->op) {
    case FST_OP_EQ_INT: return fst_dim_equal(dims, v[0], v[1]);
    case FST_OP_NE_INT: return negate(fst_dim_equal(dims, v[0], v[1]));
    case FST_OP_LT_INT: return fst_dim_less(dims, v[0], v[1]);
    case FST_OP_GT_INT: return fst_dim_less(dims, v[1], v[0]);
    case FST_OP_GE_INT: return negate(fst_dim_less(dims, v[0], v[1]));
    case FST_OP_LE_INT: return negate(fst_dim_less(dims, v[1], v[0]));
    case FST_OP_BOOL_INT: return negate(fst_dim_equal(dims, v[0], 0));
    default: return -1;
  }
}

// `a` is one of the literal items of `list`.
static void learn_one_of(specializer *sp, world *w, fst_dim a, fst_value_id list) {
  const fst_const_data *c = fst_value_const(sp->out, list);
  choice ch = {.symbol = a};
  uint32_t symbol;
  if (!c || c->kind != FST_CONST_TUPLE || !c->count || c->count > MOST_CHOICES || !fst_dim_is_known(a) || !fst_dim_is_symbol(sp->out->dims, a, &symbol)) return;
  for (uint32_t i = 0; i < c->count; i++) {
    const fst_const_data *item = fst_const_get(sp->out->module, c->items[i]);
    if (item->kind != FST_CONST_INT) return;
    ch.numbers[ch.count++] = item->i;
  }
  if (ch.count == 1) learn_equal(sp, w, a, fst_dim_const(sp->out->dims, ch.numbers[0]));
  else WORLD_PUSH(sp, &w->choices, ch);
}

static void learn_different(specializer *sp, world *w, fst_dim a, fst_dim b) {
  int64_t number;
  if (!fst_dim_is_known(a) || !fst_dim_is_known(b) || !fst_dim_is_const(sp->out->dims, b, &number)) return;
  for (size_t i = 0; i < w->choices.len; i++) {
    choice *ch = &w->choices.data[i];
    if (ch->symbol != a) continue;
    for (uint32_t k = 0; k < ch->count; k++)
      if (ch->numbers[k] == number) ch->numbers[k--] = ch->numbers[--ch->count];
    if (ch->count == 1) learn_equal(sp, w, a, fst_dim_const(sp->out->dims, ch->numbers[0]));
  }
}

void learn_condition(specializer *sp, world *w, fst_value_id cond, bool truth) {
  fst_node_id def = fst_value_def(sp->out, cond);
  if (!def.id) return;
  const fst_node *n = fst_node_get(sp->out, def);
  fst_dim a = n->operand_count > 0 ? int_value(sp, w, bind_value(n->operands[0])) : FST_DIM_UNKNOWN;
  fst_dim b = n->operand_count > 1 ? int_value(sp, w, bind_value(n->operands[1])) : FST_DIM_UNKNOWN;
  switch (n->op) {
    case FST_OP_EQ_INT:
      if (truth) learn_equal(sp, w, a, b);
      else learn_different(sp, w, a, b);
      break;
    case FST_OP_NE_INT:
      if (!truth) learn_equal(sp, w, a, b);
      else learn_different(sp, w, a, b);
      break;
    case FST_OP___CONTAINS___INT_LIST:
      if (truth) learn_one_of(sp, w, b, n->operands[0]);
      break;
    case FST_OP_BOOL_INT:
      if (!truth) learn_equal(sp, w, a, 0);
      break;
    case FST_OP___NOT__:
      learn_condition(sp, w, n->operands[0], !truth);
      break;
    case FST_OP___AND___BOOL:
      if (truth) {
        learn_condition(sp, w, n->operands[0], true);
        learn_condition(sp, w, n->operands[1], true);
      }
      break;
    case FST_OP___OR___BOOL:
      if (!truth) {
        learn_condition(sp, w, n->operands[0], false);
        learn_condition(sp, w, n->operands[1], false);
      }
      break;
    default: break;
  }
}
