// fold-batch-norm: the scale and shift of a batch norm become part of the convolution or linear before it.
//
// Expects `typed`. Changes batch_norm in evaluation mode whose statistics are literals and whose input is
// the only use of a convolution or linear with f32 literal weights; the new weights are literals of the
// module. Leaves alone: training mode, transposed convolutions, weights that are not literals. Cost: one
// pass over the weights. Rounds once more than the two ops apart (1 ULP of the weights).
//
// Before:                                                        After:
//   %1 = aten::conv2d(%x, tensor 0, None, ...)                     %1 = aten::conv2d(%x, tensor 5, tensor 6, ...)
//   %2 = aten::batch_norm(%1, tensor 1, ..., false, 0.1, 1e-05, true)
#include <math.h>
#include <string.h>

#include "passes/pass.h"

static const float *literal_floats(const fst_graph *g, fst_value_id value, int64_t *out_count) {
  const fst_const_data *c = fst_value_const(g, value);
  if (!c || c->kind != FST_CONST_TENSOR || !fst_module_tensor_is_mapped(g->module, c->index)) return NULL;
  fst_type type = g->module->tensors.data[c->index].type;
  const fst_type_data *t = fst_type_get(g->module->types, type);
  if (t->dtype != FST_F32 || !fst_type_is_contiguous(g->dims, g->module->types, type)) return NULL;
  *out_count = 1;
  for (int i = 0; i < t->rank; i++) *out_count *= t->dims[i];
  return fst_module_tensor_data(g->module, c->index);
}

// A statistic of `channels` floats; None stands for all `otherwise`.
static bool statistic(const fst_graph *g, fst_value_id value, int64_t channels, float otherwise, float *out) {
  int64_t count;
  if (fst_value_is_none(g, value)) {
    for (int64_t i = 0; i < channels; i++) out[i] = otherwise;
    return true;
  }
  const float *data = literal_floats(g, value, &count);
  if (!data || count != channels) return false;
  memcpy(out, data, (size_t)channels * sizeof *out);
  return true;
}

// Operand numbers of weight and bias; false for ops that are not products with one output channel per row.
static bool product_operands(const fst_graph *g, const fst_node *n, uint32_t *weight, uint32_t *bias) {
  bool transposed;
  *weight = 1;
  *bias = 2;
  switch (n->op) {
    case FST_OP_LINEAR: case FST_OP_CONV1D: case FST_OP_CONV2D: case FST_OP_CONV3D: return true;
    case FST_OP__CONVOLUTION: case FST_OP_CONVOLUTION: return fst_value_const_bool(g, n->operands[6], &transposed) && !transposed;
    default: return false;
  }
}

static bool fold(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  enum { WEIGHT = 1, BIAS, MEAN, VAR, TRAINING, MOMENTUM, EPS };
  const fst_node *norm = fst_node_get(g, id);
  bool training;
  double eps;
  fst_node_id def = fst_value_def(g, norm->operands[0]);
  uint32_t weight, bias;
  int64_t count;
  if (!def.id || fst_value_get(g, norm->operands[0])->uses.len != 1) return false;
  fst_node *product = fst_node_get(g, def);
  if (!product_operands(g, product, &weight, &bias)) return false;
  if (!fst_value_const_bool(g, norm->operands[TRAINING], &training) || training || !fst_value_const_float(g, norm->operands[EPS], &eps)) return false;
  const float *w = literal_floats(g, product->operands[weight], &count);
  if (!w || !count) return false;
  const fst_tensor_info *old = &g->module->tensors.data[fst_value_const(g, product->operands[weight])->index];
  const fst_type_data *wt = fst_type_get(g->module->types, old->type);
  // A norm after a linear is over dim 1: that is the output channel only for 2-d results.
  if (product->op == FST_OP_LINEAR && fst_value_type_data(g, norm->operands[0])->rank != 2) return false;
  int64_t channels = wt->dims[0], row = count / channels;
  float *s = FST_NEW_ARRAY(pc->arena, float, channels * 5);
  float *gamma = s, *beta = s + channels, *mean = s + 2 * channels, *var = s + 3 * channels, *b = s + 4 * channels;
  if (fst_value_is_none(g, norm->operands[MEAN]) || fst_value_is_none(g, norm->operands[VAR])) return false;
  if (!statistic(g, norm->operands[WEIGHT], channels, 1, gamma) || !statistic(g, norm->operands[BIAS], channels, 0, beta) ||
      !statistic(g, norm->operands[MEAN], channels, 0, mean) || !statistic(g, norm->operands[VAR], channels, 1, var) ||
      !statistic(g, product->operands[bias], channels, 0, b) || !fst_pass_allow(pc))
    return false;
  void *new_weight, *new_bias;
  int64_t sizes[FST_MAX_RANK];
  for (int i = 0; i < wt->rank; i++) sizes[i] = wt->dims[i];
  uint32_t weight_tensor = fst_module_new_tensor(g->module, FST_F32, wt->rank, sizes, &new_weight);
  uint32_t bias_tensor = fst_module_new_tensor(g->module, FST_F32, 1, &channels, &new_bias);
  for (int64_t c = 0; c < channels; c++) {
    double scale = gamma[c] / sqrt((double)var[c] + eps);
    for (int64_t k = 0; k < row; k++) ((float *)new_weight)[c * row + k] = (float)(w[c * row + k] * scale);
    ((float *)new_bias)[c] = (float)((b[c] - mean[c]) * scale + beta[c]);
  }
  fst_node_set_operand(g, def, weight, fst_graph_const(g, fst_const_tensor(g->module, weight_tensor)));
  fst_node_set_operand(g, def, bias, fst_graph_const(g, fst_const_tensor(g->module, bias_tensor)));
  fst_value_replace(g, norm->results[0], norm->operands[0]);
  fst_node_erase(g, id);
  return true;
}

static void fold_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) {
    const fst_node *n = fst_node_get(g, id);
    for (uint32_t b = 0; b < n->block_count; b++) fold_block(pc, g, n->blocks[b]);
    if (n->op == FST_OP_BATCH_NORM) fold(pc, g, id);
  }
}

fst_status fst_pass_fold_batch_norm(fst_pass_ctx *pc, fst_graph *graph) {
  fold_block(pc, graph, graph->entry);
  return NULL;
}
