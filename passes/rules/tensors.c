#include <math.h>
#include <string.h>

#include "ir/infer.h"
#include "passes/fold.h"
#include "passes/rules/rules.h"

static fst_dtype dtype_of(const fst_rewrite *rw, fst_value_id tensor) { return fst_value_type_data(rw->g, tensor)->dtype; }

static bool share(fst_rewrite *rw, fst_value_id *out, fst_value_id value) {
  out[0] = value;
  return fst_rewrite_may_share(rw, value);
}

bool fst_rule_literal_tensors(fst_rewrite *rw, fst_value_id *out) {
  fst_const literal;
  const fst_node *n = rw->node;
  if (n->result_count != 1 || !fst_rewrite_may_share(rw, n->results[0])) return false;
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (fst_value_type_data(rw->g, n->operands[i])->kind == FST_TY_TENSOR && !fst_rewrite_is_still(rw, n->operands[i])) return false;
  if (!fst_fold_tensor(rw->g, rw->id, rw->arena, &literal)) return false;
  out[0] = fst_graph_const(rw->g, literal);
  return true;
}

// A literal float, or one of the ints 0 and 1.
static bool number(const fst_graph *g, fst_value_id value, double *out) {
  int64_t i;
  if (!fst_value_const_int(g, value, &i)) return fst_value_const_float(g, value, out);
  *out = (double)i;
  return i == 0 || i == 1;
}

bool fst_rule_neutral(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node;
  double c, alpha;
  if (!number(rw->g, n->operands[1], &c)) return false;
  if (n->op == FST_OP_ADD_SCALAR || n->op == FST_OP_SUB_SCALAR) {
    // -0.0 + 0.0 is 0.0; -0.0 - 0.0 and -0.0 + -0.0 are -0.0.
    bool right_zero = signbit(c) == (n->op == FST_OP_ADD_SCALAR) || !fst_dtype_is_float(dtype_of(rw, n->results[0]));
    if (c != 0 || !right_zero || !number(rw->g, n->operands[2], &alpha) || alpha != 1) return false;
  } else if (c != 1) {
    return false;
  }
  return share(rw, out, n->operands[0]);
}

bool fst_rule_idempotent(fst_rewrite *rw, fst_value_id *out) {
  return fst_rewrite_def(rw, rw->node->operands[0], rw->node->op) && share(rw, out, rw->node->operands[0]);
}

bool fst_rule_involution(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *inner = fst_rewrite_def(rw, rw->node->operands[0], rw->node->op);
  return inner && share(rw, out, inner->operands[0]);
}

bool fst_rule_abs_neg(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *inner = fst_rewrite_def(rw, rw->node->operands[0], FST_OP_NEG);
  if (!inner || dtype_of(rw, inner->operands[0]) == FST_U8 || !fst_rewrite_is_still(rw, inner->operands[0])) return false;
  out[0] = fst_rewrite_make(rw, FST_OP_ABS, inner->operands, 1);
  return true;
}

static bool widens(fst_dtype from, fst_dtype to) {
  if (!fst_dtype_is_float(from) || !fst_dtype_is_float(to)) return false;
  return fst_dtype_size(to) > fst_dtype_size(from);
}

// Conversions of integers are left alone unless they lead back: by way of which type they go can be seen.
bool fst_rule_widen(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node, *inner = fst_rewrite_def(rw, n->operands[0], FST_OP_TO_DTYPE);
  if (!inner || fst_infer_is_view(rw->g, rw->id) || fst_infer_is_view(rw->g, fst_value_def(rw->g, n->operands[0]))) return false;
  fst_value_id x = inner->operands[0];
  fst_dtype from = dtype_of(rw, x), wide = dtype_of(rw, n->operands[0]), to = dtype_of(rw, n->results[0]);
  bool back = to == from && (widens(from, wide) || (from == FST_I32 && (wide == FST_I64 || wide == FST_F64)) || (from == FST_BOOL && wide != FST_BOOL));
  if (back && share(rw, out, x)) return true;
  if (!widens(from, wide) || !fst_dtype_is_float(to) || to == from || !fst_rewrite_is_still(rw, x)) return false;
  fst_value_id *operands = fst_arena_memdup(rw->arena, n->operands, n->operand_count * sizeof *operands);
  operands[0] = x;
  out[0] = fst_rewrite_make(rw, FST_OP_TO_DTYPE, operands, n->operand_count);
  return true;
}

bool fst_rule_where_same(fst_rewrite *rw, fst_value_id *out) {
  return fst_value_eq(rw->node->operands[1], rw->node->operands[2]) && share(rw, out, rw->node->operands[1]);
}

bool fst_rule_where_known(fst_rewrite *rw, fst_value_id *out) {
  const fst_module *m = rw->g->module;
  const fst_const_data *c = fst_value_const(rw->g, rw->node->operands[0]);
  if (!c || c->kind != FST_CONST_TENSOR) return false;
  fst_type type = m->tensors.data[c->index].type;
  const fst_type_data *t = fst_type_get(m->types, type);
  const uint8_t *bytes = fst_module_tensor_is_mapped(m, c->index) ? fst_module_tensor_data(m, c->index) : NULL;
  int64_t count = 1;
  for (int i = 0; i < t->rank; i++) count *= t->dims[i];
  if (t->dtype != FST_BOOL || !bytes || !count || !fst_type_is_contiguous(rw->g->dims, m->types, type)) return false;
  for (int64_t i = 1; i < count; i++)
    if (!bytes[i] != !bytes[0]) return false;
  return share(rw, out, rw->node->operands[bytes[0] ? 1 : 2]);
}

bool fst_rule_cat_one(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *list = fst_list_items(rw->g, rw->node->operands[0]);
  return list && list->operand_count == 1 && share(rw, out, list->operands[0]);
}

// The items of an inner cat that the outer one can take over: same dimension, same dtype (or it would convert them in
// two steps), nothing else wants the inner result.
static const fst_node *inner_items(fst_rewrite *rw, fst_value_id value) {
  const fst_node *n = rw->node, *inner = fst_rewrite_def(rw, value, FST_OP_CAT);
  const fst_node *list = inner ? fst_list_items(rw->g, inner->operands[0]) : NULL;
  int64_t a, b;
  int rank = fst_value_type_data(rw->g, value)->rank;
  if (!list || fst_value_get(rw->g, value)->uses.len != 1 || rank != fst_value_type_data(rw->g, n->results[0])->rank) return NULL;
  if (!fst_value_const_int(rw->g, n->operands[1], &a) || !fst_value_const_int(rw->g, inner->operands[1], &b) || (a < 0 ? a + rank : a) != (b < 0 ? b + rank : b)) return NULL;
  for (uint32_t i = 0; i < list->operand_count; i++)
    if (dtype_of(rw, list->operands[i]) != dtype_of(rw, n->results[0]) || !fst_rewrite_is_still(rw, list->operands[i])) return NULL;
  return list;
}

bool fst_rule_cat_cat(fst_rewrite *rw, fst_value_id *out) {
  fst_graph *g = rw->g;
  const fst_node *list = fst_list_items(g, rw->node->operands[0]);
  bool found = false;
  for (uint32_t i = 0; list && i < list->operand_count; i++) found = found || inner_items(rw, list->operands[i]);
  if (!found) return false;
  fst_node_id flat = fst_node_create(g, FST_OP_LIST_CONSTRUCT, NULL, 0, 1, rw->node->loc);
  fst_node_insert_before(g, rw->id, flat);
  for (uint32_t i = 0; i < list->operand_count; i++) {
    const fst_node *inner = inner_items(rw, list->operands[i]);
    for (uint32_t k = 0; inner && k < inner->operand_count; k++) fst_node_add_operand(g, flat, inner->operands[k]);
    if (!inner) fst_node_add_operand(g, flat, list->operands[i]);
  }
  fst_value_id operands[2] = {fst_node_get(g, flat)->results[0], rw->node->operands[1]};
  fst_value_set_type(g, operands[0], fst_value_type(g, rw->node->operands[0]));
  out[0] = fst_rewrite_make(rw, FST_OP_CAT, operands, 2);
  return true;
}

bool fst_rule_clone(fst_rewrite *rw, fst_value_id *out) { return share(rw, out, rw->node->operands[0]); }

bool fst_rule_select_stack(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node, *stack = fst_rewrite_def(rw, n->operands[0], FST_OP_STACK);
  const fst_node *list = stack ? fst_list_items(rw->g, stack->operands[0]) : NULL;
  int64_t a, b, index;
  if (!list || !fst_value_const_int(rw->g, n->operands[1], &a) || !fst_value_const_int(rw->g, stack->operands[1], &b) || !fst_value_const_int(rw->g, n->operands[2], &index)) return false;
  int rank = fst_value_type_data(rw->g, n->operands[0])->rank;
  if (index < 0) index += list->operand_count;
  if ((a < 0 ? a + rank : a) != (b < 0 ? b + rank : b) || index < 0 || index >= list->operand_count) return false;
  return share(rw, out, list->operands[index]);
}
