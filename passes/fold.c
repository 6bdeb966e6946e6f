// Evaluation of nodes whose operands are literals, see passes/fold.h.
#include "passes/fold.h"

#include <string.h>

#include "base/text.h"
#include "ir/infer.h"
#include "ir/kernel_node.h"
#include "ir/lower.h"

// ---- numbers: the op's own kernel on the interpreter -------------------------------------------------

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

// Runs a kernel of one number over literals. False when it is none.
static bool run_number(fst_status status, fst_lowered *low, uint64_t *out) {
  uint64_t params[8];
  void *buffers[1] = {out};
  fst_kargs args = {buffers, params};
  if (!status && low->params.len) status = FST_FAIL(FST_ERR_INTERNAL, "a literal became a parameter");
  if (!status) status = fst_kernel_run(low->kernel, &args);
  fst_lowered_deinit(low);
  fst_error_free(status);
  return !status;
}

bool fst_fold_refuses(const fst_graph *graph, fst_node_id node) {
  fst_lowered low = {0};
  uint64_t raises = 0;
  if (!fst_op_get(fst_node_get(graph, node)->op)->refuses) return false;
  fst_status status = fst_lower_refusal(graph, node, &low);
  return !run_number(status, &low, &raises) || (raises & 1);
}

static bool fold_number(fst_graph *graph, fst_node_id id, fst_const *out) {
  const fst_node *n = fst_node_get(graph, id);
  uint64_t bits, result = 0;
  if (!fst_op_get(n->op)->scalar) return false;
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (!literal_bits(graph, n->operands[i], &bits)) return false;
  if (fst_fold_refuses(graph, id)) return false;
  fst_type_kind kind = fst_value_type_data(graph, n->results[0])->kind;
  if (kind != FST_TY_INT && kind != FST_TY_FLOAT && kind != FST_TY_BOOL) return false;
  fst_lowered low = {0};
  fst_status status = fst_lower_scalar_node(graph, id, &low);
  if (!run_number(status, &low, &result)) return false;
  double f;
  memcpy(&f, &result, sizeof f);
  if (kind == FST_TY_INT) *out = fst_const_int(graph->module, (int64_t)result);
  else if (kind == FST_TY_BOOL) *out = fst_const_bool(graph->module, result & 1);
  else *out = fst_const_float(graph->module, f);
  return true;
}

// ---- strings and what compares like them -----------------------------------------------------------

int fst_literals_equal(const fst_graph *graph, fst_value_id a, fst_value_id b) {
  const fst_const_data *x = fst_value_const(graph, a), *y = fst_value_const(graph, b);
  if (!x || !y || x->kind != y->kind) return -1;
  if (x->kind == FST_CONST_STR || x->kind == FST_CONST_DEVICE) return x->str == y->str;
  if (x->kind == FST_CONST_ENUM) return x->str == y->str && x->member == y->member;
  if (x->kind == FST_CONST_INT) return x->i == y->i;
  return x->kind == FST_CONST_BOOL ? x->b == y->b : -1;
}

static bool fold_equal(const fst_graph *graph, const fst_node *n, bool want, fst_const *out) {
  int equal = fst_literals_equal(graph, n->operands[0], n->operands[1]);
  if (equal >= 0) *out = fst_const_bool(graph->module, equal == want);
  return equal >= 0;
}

static bool fold_concat(fst_graph *graph, const fst_node *n, fst_const *out) {
  fst_strings *strings = &graph->module->strings;
  const fst_const_data *a = fst_value_const(graph, n->operands[0]), *b = fst_value_const(graph, n->operands[1]);
  if (!a || !b || a->kind != FST_CONST_STR || b->kind != FST_CONST_STR) return false;
  fst_text text = {0};
  fst_text_append(&text, fst_sym_text(strings, a->str), fst_sym_len(strings, a->str));
  fst_text_append(&text, fst_sym_text(strings, b->str), fst_sym_len(strings, b->str));
  *out = fst_const_str(graph->module, fst_text_cstr(&text), text.len);
  fst_text_deinit(&text);
  return true;
}

// As PyTorch counts: bytes.
static bool fold_length(fst_graph *graph, const fst_node *n, fst_const *out) {
  const fst_const_data *text = fst_value_const(graph, n->operands[0]);
  if (!text || text->kind != FST_CONST_STR) return false;
  *out = fst_const_int(graph->module, fst_sym_len(&graph->module->strings, text->str));
  return true;
}

bool fst_fold_node(fst_graph *graph, fst_node_id id, fst_const *out) {
  const fst_node *n = fst_node_get(graph, id);
  if (n->op == FST_OP_UNKNOWN || n->result_count != 1) return false;
  switch (n->op) {
    case FST_OP_EQ_STR: case FST_OP_EQ_ENUM: case FST_OP_EQ_DEVICE: return fold_equal(graph, n, true, out);
    case FST_OP_NE_STR: case FST_OP_NE_ENUM: case FST_OP_NE_DEVICE: return fold_equal(graph, n, false, out);
    case FST_OP_ADD_STR: return fold_concat(graph, n, out);
    case FST_OP_LEN_STR: return fold_length(graph, n, out);
    default: return fst_op_get(n->op)->cls == FST_CLASS_SCALAR && fold_number(graph, id, out);
  }
}

// ---- tensors ---------------------------------------------------------------------------------------

enum { MOST_ELEMENTS = 4096 };

static bool few_elements(const fst_graph *graph, fst_type type, int64_t *out_count) {
  const fst_type_data *t = fst_type_get(graph->module->types, type);
  int64_t size;
  *out_count = 1;
  if (t->kind != FST_TY_TENSOR || t->rank < 0) return false;
  for (int i = 0; i < t->rank; i++) {
    if (!fst_dim_is_const(graph->dims, t->dims[i], &size) || size > MOST_ELEMENTS) return false;
    *out_count *= size;
    if (*out_count > MOST_ELEMENTS) return false;
  }
  return true;
}

static bool is_literal(const fst_graph *graph, fst_value_id value, bool *out_tensor) {
  const fst_const_data *c = fst_value_const(graph, value);
  const fst_node *list = c ? NULL : fst_list_items(graph, value);
  int64_t count;
  for (uint32_t i = 0; list && i < list->operand_count; i++)
    if (!is_literal(graph, list->operands[i], out_tensor)) return false;
  if (!c || c->kind != FST_CONST_TENSOR) return c || list;
  *out_tensor = true;
  return fst_module_tensor_is_mapped(graph->module, c->index) && few_elements(graph, fst_value_type(graph, value), &count);
}

// Nothing that depends on more than the operands' elements, or takes long on the interpreter. What makes tensors out of
// numbers stays as well: it fuses for nothing.
static bool is_worth_folding(const fst_graph *graph, fst_node_id id) {
  const fst_node *n = fst_node_get(graph, id);
  if (n->op == FST_OP_UNKNOWN || n->result_count != 1 || fst_op_get(n->op)->effect != FST_PURE) return false;
  fst_op_class cls = fst_op_get(n->op)->cls;
  bool tensors = false;
  if (cls != FST_CLASS_POINTWISE && cls != FST_CLASS_VIEW && cls != FST_CLASS_COPY && cls != FST_CLASS_GATHER && cls != FST_CLASS_REDUCTION) return false;
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (!is_literal(graph, n->operands[i], &tensors)) return false;
  return tensors && fst_node_is_kernel(graph, id);
}

// A result is made in `results` (a check's in `checks`) and only copied into a tensor of the module when all went well.
static bool run(const fst_graph *graph, const fst_lowered *low, fst_arena *arena, void *result) {
  void **buffers = FST_NEW_ARRAY(arena, void *, low->buffers.len + 1);
  if (low->params.len) return false;
  for (size_t b = 0; b < low->buffers.len; b++) {
    const fst_kernel_arg *arg = &low->buffers.data[b];
    const fst_const_data *c = arg->value.id ? fst_value_const(graph, arg->value) : NULL;
    if (arg->is_output) buffers[b] = arg->value.id ? result : FST_NEW_ARRAY(arena, int64_t, 3);
    else if (c && c->kind == FST_CONST_TENSOR) buffers[b] = (void *)fst_module_tensor_data(graph->module, c->index);
    else return false;
  }
  fst_kargs args = {buffers, NULL};
  fst_status status = fst_kernel_run(low->kernel, &args);
  bool ok = !status;
  fst_error_free(status);
  for (size_t b = 0; b < low->buffers.len; b++)
    if (low->buffers.data[b].check_text && *(int64_t *)buffers[b]) ok = false;   // the call is to raise
  return ok;
}

bool fst_fold_tensor(fst_graph *graph, fst_node_id id, fst_arena *arena, fst_const *out) {
  int64_t count, sizes[FST_MAX_RANK];
  if (!is_worth_folding(graph, id)) return false;
  fst_value_id own = fst_node_result(fst_node_get(graph, id), 0);
  fst_type type = fst_value_type(graph, own);
  const fst_type_data *t = fst_type_get(graph->module->types, type);
  if (!few_elements(graph, type, &count) || !fst_type_is_contiguous(graph->dims, graph->module->types, type)) return false;
  for (int i = 0; i < t->rank; i++) fst_dim_is_const(graph->dims, t->dims[i], &sizes[i]);
  size_t bytes = (size_t)count * fst_dtype_size(t->dtype);
  void *made = fst_arena_alloc(arena, bytes + 1), *data;
  fst_lowered low = {0};
  fst_status status = fst_lower_group(graph, &id, 1, &own, 1, &low);
  bool ok = !status && run(graph, &low, arena, made);
  fst_error_free(status);
  fst_lowered_deinit(&low);
  if (!ok) return false;
  uint32_t tensor = fst_module_new_tensor(graph->module, t->dtype, t->rank, sizes, &data);
  memcpy(data, made, bytes);
  *out = fst_const_tensor(graph->module, tensor);
  return true;
}
