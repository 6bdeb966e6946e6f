// Questions about views after inference: is this one, and where does it start?
#include <string.h>

#include "ir/infer.h"
#include "ir/view_internal.h"

enum { VIEW_RESULTS = 8 };

// Runs the node's inference for its view facts only; the graph's types stay as they are.
static bool view_facts(const fst_graph *graph, fst_node_id node, fst_dim *out_offset) {
  *out_offset = FST_DIM_UNKNOWN;
  const fst_node *n = fst_node_get(graph, node);
  const fst_op_info *info = fst_op_get(n->op);
  bool may_view = info && (info->cls == FST_CLASS_VIEW || info->cls == FST_CLASS_COPY || info->inplace_of);
  if (!may_view || !info->infer || n->result_count != 1) return false;
  fst_arena scratch;
  fst_arena_init(&scratch);
  fst_type types[VIEW_RESULTS] = {{0}};
  fst_dim syms[VIEW_RESULTS];
  fst_const consts[VIEW_RESULTS] = {{0}};
  for (int i = 0; i < VIEW_RESULTS; i++) syms[i] = FST_DIM_UNKNOWN;
  fst_infer in = {.graph = (fst_graph *)graph, .node = node, .dims = graph->dims, .types = graph->module->types,
                  .arena = &scratch, .results = types, .result_syms = syms, .result_consts = consts};
  bool is_view = info->infer(&in) == FST_INFER_OK && in.is_view;
  *out_offset = in.view_offset;
  fst_vec_free(&in.guards);
  fst_arena_deinit(&scratch);
  return is_view;
}

bool fst_infer_is_view(const fst_graph *graph, fst_node_id node) {
  fst_dim offset;
  return view_facts(graph, node, &offset);
}

bool fst_view_offset(const fst_graph *graph, fst_node_id node, fst_dim *out_elements) {
  fst_dim offset;
  if (!view_facts(graph, node, &offset) || !fst_dim_is_known(offset)) return false;
  *out_elements = offset;
  return true;
}

bool fst_view_start(const fst_graph *graph, fst_node_id node, fst_dim *out_elements) {
  view_facts(graph, node, out_elements);
  return fst_dim_is_known(*out_elements);
}

// ---- 0-d integer tensors ---------------------------------------------------------------------------

static fst_dim number_dim(const fst_graph *graph, fst_value_id value, fst_dims *dims) {
  int64_t number;
  if (fst_value_const_int(graph, value, &number)) return fst_dim_const(dims, number);
  const fst_value *v = fst_value_get(graph, value);
  if (fst_type_kind_of(graph->module->types, v->type) == FST_TY_TENSOR) return fst_tensor_int(graph, value, dims);
  return v->sym;
}

static bool is_int_scalar(const fst_graph *graph, fst_value_id value) {
  const fst_type_data *type = fst_value_type_data(graph, value);
  return type->kind == FST_TY_TENSOR && type->rank == 0 && type->dtype == FST_I64;
}

static fst_dim constant_tensor_int(const fst_graph *graph, fst_value_id value, fst_dims *dims) {
  const fst_const_data *c = fst_value_const(graph, value);
  if (!c || c->kind != FST_CONST_TENSOR || !graph->module->storages.data[graph->module->tensors.data[c->index].storage].data) return FST_DIM_UNKNOWN;
  int64_t number;
  memcpy(&number, fst_module_tensor_data(graph->module, c->index), sizeof number);
  return fst_dim_const(dims, number);
}

static bool name_is(const char *name, const char *const *names, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(name, names[i])) return true;
  return false;
}
#define NAME_IS(name, list) name_is((name), (list), sizeof(list) / sizeof *(list))

static fst_dim arithmetic_dim(const fst_graph *graph, const fst_node *n, const char *name, fst_dims *dims) {
  static const char *const adds[] = {"aten::add.Tensor", "aten::add.Scalar"}, *const subs[] = {"aten::sub.Tensor", "aten::sub.Scalar"};
  static const char *const muls[] = {"aten::mul.Tensor", "aten::mul.Scalar"};
  static const char *const divs[] = {"aten::floor_divide", "aten::floor_divide.Scalar"}, *const rems[] = {"aten::remainder.Tensor", "aten::remainder.Scalar"};
  if (n->operand_count < 2) return FST_DIM_UNKNOWN;
  fst_dim a = number_dim(graph, n->operands[0], dims), b = number_dim(graph, n->operands[1], dims);
  fst_dim alpha = n->operand_count > 2 ? number_dim(graph, n->operands[2], dims) : fst_dim_const(dims, 1);
  if (NAME_IS(name, adds)) return fst_dim_add(dims, a, fst_dim_mul(dims, b, alpha));
  if (NAME_IS(name, subs)) return fst_dim_sub(dims, a, fst_dim_mul(dims, b, alpha));
  if (NAME_IS(name, muls)) return fst_dim_mul(dims, a, b);
  if (NAME_IS(name, divs)) return fst_dim_floordiv(dims, a, b);
  if (NAME_IS(name, rems)) return fst_dim_mod(dims, a, b);
  return FST_DIM_UNKNOWN;
}

fst_dim fst_tensor_int(const fst_graph *graph, fst_value_id value, fst_dims *dims) {
  static const char *const makers[] = {"prim::NumToTensor.Scalar", "aten::tensor.int", "aten::scalar_tensor", "aten::as_tensor.int"};
  static const char *const passes[] = {"aten::detach", "aten::alias", "aten::to.dtype", "aten::to.device", "aten::to.dtype_layout", "aten::clone", "aten::lift_fresh"};
  if (!is_int_scalar(graph, value)) return FST_DIM_UNKNOWN;
  if (fst_dim_is_known(fst_value_get(graph, value)->sym)) return fst_value_get(graph, value)->sym;
  fst_node_id def = fst_value_def(graph, value);
  if (!def.id) return constant_tensor_int(graph, value, dims);
  const fst_node *n = fst_node_get(graph, def);
  const char *name = fst_op_name(n->op);
  if (NAME_IS(name, makers) || NAME_IS(name, passes)) return number_dim(graph, n->operands[0], dims);
  return arithmetic_dim(graph, n, name, dims);
}
