#include <string.h>

#include "ir/lower.h"
#include "passes/fold.h"

static bool literal_bits(const fst_graph *graph, fst_value_id value, uint64_t *out) {
  const fst_const_data *c = fst_value_const(graph, value);
  if (!c) return false;
  switch (c->kind) {
    case FST_CONST_INT: *out = (uint64_t)c->i; return true;
    case FST_CONST_BOOL: *out = c->b; return true;
    case FST_CONST_FLOAT: memcpy(out, &c->f, sizeof *out); return true;
    default: return false;
  }
}

static bool is_zero(const fst_graph *graph, fst_value_id value) {
  int64_t i;
  double f;
  if (fst_value_const_int(graph, value, &i)) return i == 0;
  return fst_value_const_float(graph, value, &f) && f == 0;
}

bool fst_fold_node(fst_graph *graph, fst_node_id id, fst_const *out) {
  const fst_node *n = fst_node_get(graph, id);
  uint64_t bits, result = 0, params[8];
  if (n->op == FST_OP_UNKNOWN || n->result_count != 1) return false;
  const fst_op_info *row = fst_op_get(n->op);
  if (row->cls != FST_CLASS_SCALAR || !row->scalar) return false;
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (!literal_bits(graph, n->operands[i], &bits)) return false;
  if (row->effect == FST_RAISES && n->operand_count > 1 && is_zero(graph, n->operands[1])) return false;
  fst_type_kind kind = fst_value_type_data(graph, n->results[0])->kind;
  if (kind != FST_TY_INT && kind != FST_TY_FLOAT && kind != FST_TY_BOOL) return false;
  fst_lowered low = {0};
  fst_status status = fst_lower_scalar_node(graph, id, &low);
  void *buffers[1] = {&result};
  fst_kargs args = {buffers, params};
  if (!status && low.params.len) status = FST_FAIL(FST_ERR_INTERNAL, "a literal became a parameter");
  if (!status) status = fst_kernel_run(low.kernel, &args);
  fst_lowered_deinit(&low);
  if (status) {
    fst_error_free(status);
    return false;
  }
  double f;
  memcpy(&f, &result, sizeof f);
  if (kind == FST_TY_INT) *out = fst_const_int(graph->module, (int64_t)result);
  else if (kind == FST_TY_BOOL) *out = fst_const_bool(graph->module, result & 1);
  else *out = fst_const_float(graph->module, f);
  return true;
}
