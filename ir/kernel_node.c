#include "ir/kernel_node.h"

#include "ir/infer.h"
#include "ir/lower.h"

// The lowering itself has the last word: some forms of an op have none.
static bool lowers(const fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  fst_lowered low = {0};
  fst_status status = fst_lower_group(g, &id, 1, n->results, n->result_count, &low);
  bool ok = !status;
  fst_error_free(status);
  fst_lowered_deinit(&low);
  return ok;
}

static bool static_tensor(const fst_graph *g, fst_value_id v) {
  const fst_type_data *t = fst_value_type_data(g, v);
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || t->dtype == FST_DTYPE_UNKNOWN || !t->has_strides) return false;
  for (int i = 0; i < t->rank; i++)
    if (!fst_dim_is_known(t->dims[i]) || !fst_dim_is_known(t->strides[i])) return false;
  return true;
}

bool fst_node_is_kernel(const fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  if (n->op == FST_OP_UNKNOWN || n->block_count || !n->result_count) return false;
  const fst_op_info *info = fst_op_get(n->op);
  if (info->effect == FST_RANDOM || info->effect == FST_IO || info->effect == FST_CONTROL || info->cls == FST_CLASS_SCALAR) return false;
  if (!fst_op_has_lowering(n->op)) return false;
  if (info->cls == FST_CLASS_VIEW && fst_infer_is_view(g, id)) return false;
  for (uint32_t r = 0; r < n->result_count; r++)
    if (!static_tensor(g, n->results[r])) return false;
  for (uint32_t i = 0; i < n->operand_count; i++) {
    const fst_type_data *t = fst_value_type_data(g, n->operands[i]);
    if (t->kind == FST_TY_TENSOR && !static_tensor(g, n->operands[i])) return false;
    if (t->kind == FST_TY_ANY || t->kind == FST_TY_UNION || t->kind == FST_TY_NUMBER) return false;
    if (t->kind == FST_TY_OPTIONAL && !fst_value_const(g, n->operands[i])) return false;
    if (t->kind == FST_TY_LIST && fst_type_is(g->module->types, t->elem, FST_TY_TENSOR)) {
      const fst_node *list = fst_list_items(g, n->operands[i]);
      if (!list) return false;
      for (uint32_t k = 0; k < list->operand_count; k++)
        if (!static_tensor(g, list->operands[k])) return false;
    } else if (t->kind == FST_TY_LIST && !fst_value_const(g, n->operands[i]) && !fst_list_items(g, n->operands[i])) {
      return false;
    }
  }
  return lowers(g, id);
}

bool fst_list_is_literal(const fst_graph *graph, fst_node_id node) {
  const fst_value *list = fst_value_get(graph, fst_node_get(graph, node)->results[0]);
  for (size_t i = 0; i < list->uses.len; i++) {
    const fst_node *user = fst_node_get(graph, list->uses.data[i].user);
    if (user->op == FST_OP_UNKNOWN || user->block_count) return false;
    if (!fst_node_is_kernel(graph, list->uses.data[i].user) && !fst_infer_is_view(graph, list->uses.data[i].user)) return false;
  }
  return true;
}
