// Pointwise ops: dtype by the row's `promote`, sizes by broadcasting, strides by TensorIterator's rule.
#include <string.h>

#include "ir/infer.h"
#include "ir/layout.h"
#include "ir/rows_basic.h"

enum { POINTWISE_ARGS = 8 };

static fst_op node_op(const fst_infer *in) { return fst_node_get(in->graph, in->node)->op; }

static bool arg_is_mask(const fst_schema_arg *arg) { return !strcmp(arg->name, "condition") || !strcmp(arg->name, "mask"); }

static bool arg_is_tensor(const fst_infer *in, uint32_t arg) { return fst_infer_type(in, arg)->kind == FST_TY_TENSOR; }

// Does operand `arg` take part in choosing the dtype?
static bool arg_promotes(const fst_infer *in, const fst_schema_arg *arg, uint32_t number) {
  static const char *const numbers[] = {"self", "other", "min", "max", "exponent"};
  if (fst_infer_is_none(in, number)) return false;
  if (!strncmp(arg->type, "Tensor", 6)) return !arg_is_mask(arg) && strcmp(arg->name, "value") != 0;
  if (strncmp(arg->type, "Scalar", 6) != 0 || !strncmp(arg->type, "ScalarType", 10)) return false;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (!strcmp(arg->name, numbers[i])) return true;
  return false;
}

static fst_dtype dtype_promoted(const fst_infer *in, const fst_schema *schema) {
  uint32_t args[POINTWISE_ARGS], count = 0;
  for (uint32_t i = 0; i < fst_infer_arg_count(in) && i < schema->arg_count && count < POINTWISE_ARGS; i++)
    if (arg_promotes(in, &schema->args[i], i)) args[count++] = i;
  return fst_infer_result_type(in, args, count);
}

fst_dtype fst_pointwise_dtype(const fst_infer *in, const char *promote) {
  const fst_schema *schema = fst_op_schema(node_op(in));
  if (!strcmp(promote, "double")) return FST_F64;
  if (!strcmp(promote, "same")) return arg_is_tensor(in, 0) ? fst_infer_type(in, 0)->dtype : FST_DTYPE_UNKNOWN;
  fst_dtype dtype = dtype_promoted(in, schema);
  if (!strcmp(promote, "float") && fst_dtype_is_integral(dtype, true)) return FST_F32;
  return dtype;
}

// All tensor operands: known, not complex (no kernel of ours has complex elements).
static int pointwise_shapes(fst_infer *in, fst_shape *shapes, int *out_count, bool *out_has_number) {
  const fst_schema *schema = fst_op_schema(node_op(in));
  *out_count = 0;
  *out_has_number = false;
  for (uint32_t i = 0; i < fst_infer_arg_count(in); i++) {
    bool is_tensor = arg_is_tensor(in, i);
    if (!is_tensor && i < schema->arg_count && arg_promotes(in, &schema->args[i], i)) *out_has_number = true;
    if (!is_tensor) continue;
    const fst_type_data *type = fst_infer_tensor(in, i);
    if (!type) return FST_INFER_UNKNOWN;
    if (fst_dtype_kind_of(type->dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
    if (*out_count == POINTWISE_ARGS) return fst_infer_give_up(in, "too many operands");
    shapes[(*out_count)++] = fst_shape_of(in->dims, type);
  }
  return FST_INFER_OK;
}

static bool shapes_broadcast(fst_infer *in, const fst_shape *shapes, int count, fst_shape *out) {
  *out = (fst_shape){0};
  for (int i = 0; i < count; i++) {
    fst_shape joined = {0};
    if (!fst_infer_broadcast(in, out->dims, out->rank, shapes[i].dims, shapes[i].rank, joined.dims, &joined.rank)) return false;
    *out = joined;
  }
  return true;
}

static const char *dtype_cpp_name(fst_dtype dtype) {
  switch (dtype) {
    case FST_F16: return "Half";
    case FST_BF16: return "BFloat16";
    case FST_F32: return "Float";
    case FST_F64: return "Double";
    case FST_BOOL: return "Bool";
    case FST_U8: return "Byte";
    case FST_I8: return "Char";
    case FST_I16: return "Short";
    case FST_I32: return "Int";
    case FST_I64: return "Long";
    default: return "ComplexFloat";
  }
}

static int pointwise_check_dtype(fst_infer *in, const char *promote, fst_dtype dtype) {
  const char *name = fst_op_name(node_op(in));
  if (dtype == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "dtype of a number is not known");
  if (fst_dtype_kind_of(dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
  if (!strcmp(promote, "integral") && !fst_dtype_is_integral(dtype, true))
    return fst_infer_raise(in, "\"%s_cpu\" not implemented for '%s'", strchr(name, ':') + 2, dtype_cpp_name(dtype));
  return FST_INFER_OK;
}

int fst_infer_pointwise(fst_infer *in) {
  const char *promote = fst_op_get(node_op(in))->promote;
  fst_shape shapes[POINTWISE_ARGS + 1], out;
  int count;
  bool has_number;
  int result = pointwise_shapes(in, shapes, &count, &has_number);
  if (result) return result;
  fst_dtype dtype = fst_pointwise_dtype(in, promote);
  if ((result = pointwise_check_dtype(in, promote, dtype))) return result;
  if (!shapes_broadcast(in, shapes, count, &out)) return FST_INFER_RAISES;
  // A number is an operand of rank 0 to TensorIterator, where both sides of an op could be tensors.
  if (has_number && count == 1) shapes[count++] = (fst_shape){0};
  fst_layout_pointwise(in->dims, shapes, count, &out);
  if (!strcmp(promote, "bool")) dtype = FST_BOOL;
  fst_infer_set_strided(in, 0, dtype, out.rank, out.dims, out.strides);
  return FST_INFER_OK;
}

static int dtype_category(fst_dtype dtype) {
  if (dtype == FST_BOOL) return 0;
  return fst_dtype_is_integral(dtype, false) ? 1 : fst_dtype_is_float(dtype) ? 2 : 3;
}

// add_ and its like: the result is self, whatever the operands; they must broadcast to it and be no wider a kind.
int fst_infer_inplace(fst_infer *in) {
  const char *of = fst_op_get(node_op(in))->inplace_of;
  const fst_op_info *functional = of ? fst_op_get(fst_op_find(of, strlen(of))) : NULL;
  const char *promote = functional ? functional->promote : NULL;
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  // What the functional form refuses, this one does.
  if (functional && !promote && functional->infer) {
    int result = functional->infer(in);
    if (result == FST_INFER_RAISES) return result;
    if (result == FST_INFER_UNKNOWN) fst_vec_clear(&in->guards);
  }
  in->results[0] = fst_value_type(in->graph, fst_infer_arg(in, 0));
  in->is_view = true;
  in->view_offset = fst_dim_const(in->dims, 0);
  if (!promote) return FST_INFER_OK;
  fst_shape shapes[POINTWISE_ARGS], out;
  int count;
  bool has_number;
  int result = pointwise_shapes(in, shapes, &count, &has_number);
  if (result) return result;
  fst_dtype dtype = !strcmp(promote, "bool") ? FST_BOOL : fst_pointwise_dtype(in, promote);
  if (dtype == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "dtype of a number is not known");
  if (dtype_category(dtype) > dtype_category(self->dtype))
    return fst_infer_raise(in, "result type %s can't be cast to the desired output type %s", dtype_cpp_name(dtype), dtype_cpp_name(self->dtype));
  if (!shapes_broadcast(in, shapes, count, &out)) return FST_INFER_RAISES;
  const char *text = fst_arena_printf(in->arena, "output with shape %s doesn't match the broadcast shape %s", fst_infer_shape_text(in, self->dims, self->rank),
                                      fst_infer_shape_text(in, out.dims, out.rank));
  if (out.rank != self->rank) return fst_infer_raise(in, "%s", text);
  for (int i = 0; i < out.rank; i++)
    if (!fst_infer_require_equal(in, self->dims[i], out.dims[i], text)) return FST_INFER_RAISES;
  return FST_INFER_OK;
}

int fst_infer_sub(fst_infer *in) {
  int result = fst_infer_pointwise(in);
  if (result) return result;
  if (fst_type_get(in->types, in->results[0])->dtype == FST_BOOL)
    return fst_infer_raise(in, "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.");
  return FST_INFER_OK;
}

int fst_infer_neg(fst_infer *in) {
  int result = fst_infer_pointwise(in);
  if (result) return result;
  if (fst_type_get(in->types, in->results[0])->dtype == FST_BOOL)
    return fst_infer_raise(in, "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.");
  return FST_INFER_OK;
}

int fst_infer_pow(fst_infer *in) {
  int result = fst_infer_pointwise(in);
  if (result) return result;
  fst_dim exponent = fst_infer_type(in, 1)->kind == FST_TY_INT ? fst_infer_int(in, 1) : FST_DIM_UNKNOWN;
  bool is_integral = fst_dtype_is_integral(fst_type_get(in->types, in->results[0])->dtype, true);
  if (!is_integral || !fst_dim_is_known(exponent)) return FST_INFER_OK;
  return fst_infer_require_at_least(in, exponent, 0, "Integers to negative integer powers are not allowed.") ? FST_INFER_OK : FST_INFER_RAISES;
}

// div with rounding_mode: None divides truly, "trunc" and "floor" keep integers.
int fst_infer_div_mode(fst_infer *in) {
  fst_shape shapes[POINTWISE_ARGS + 1], out;
  int count;
  bool has_number;
  int result = pointwise_shapes(in, shapes, &count, &has_number);
  if (result) return result;
  fst_dtype dtype = fst_pointwise_dtype(in, fst_infer_is_none(in, 2) ? "float" : "promote");
  if ((result = pointwise_check_dtype(in, "promote", dtype))) return result;
  const char *mode;
  if (!fst_infer_is_none(in, 2) && !fst_infer_const_str(in, 2, &mode)) return fst_infer_give_up(in, "rounding_mode is not a constant");
  if (!shapes_broadcast(in, shapes, count, &out)) return FST_INFER_RAISES;
  if (has_number && count == 1) shapes[count++] = (fst_shape){0};
  fst_layout_pointwise(in->dims, shapes, count, &out);
  fst_infer_set_strided(in, 0, dtype, out.rank, out.dims, out.strides);
  return FST_INFER_OK;
}

// prelu's weight is a number or one value per channel (dim 1): it does not broadcast from the right.
int fst_infer_prelu(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  const fst_type_data *weight = fst_infer_tensor(in, 1);
  if (!self || !weight) return FST_INFER_UNKNOWN;
  if (weight->rank == 1 && self->rank >= 2 && fst_dim_equal(in->dims, weight->dims[0], fst_dim_const(in->dims, 1)) != 1) {
    const char *text = fst_arena_printf(in->arena, "Mismatch of parameter numbers and input channel size. Found parameter numbers = %s and channel size = %s.",
                                        fst_infer_dim_text(in, weight->dims[0]), fst_infer_dim_text(in, self->dims[1]));
    if (!fst_infer_require_equal(in, weight->dims[0], self->dims[1], text)) return FST_INFER_RAISES;
  }
  fst_shape operand = fst_shape_of(in->dims, self), out = operand;
  fst_layout_pointwise(in->dims, &operand, 1, &out);
  fst_infer_set_strided(in, 0, self->dtype, out.rank, out.dims, out.strides);
  return FST_INFER_OK;
}

int fst_infer_glu(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  int64_t dim, divisor;
  if (!self) return FST_INFER_UNKNOWN;
  if (!fst_infer_const_int(in, 1, &dim)) return fst_infer_give_up(in, "dim is not a constant");
  if (self->rank == 0) return fst_infer_raise(in, "glu does not support 0-dimensional tensors");
  int at = fst_infer_wrap_dim(in, dim, self->rank);
  if (at < 0) return FST_INFER_RAISES;
  if (fst_dim_is_const(in->dims, self->dims[at], &divisor) && divisor % 2 != 0)
    return fst_infer_raise(in, "Halving dimension must be even, but dimension %d is size %lld", at, (long long)divisor);
  fst_shape half = fst_shape_of(in->dims, self);
  half.dims[at] = fst_dim_floordiv(in->dims, half.dims[at], fst_dim_const(in->dims, 2));
  fst_shape halves[2] = {half, half}, out = half;
  fst_layout_pointwise(in->dims, halves, 2, &out);
  fst_infer_set_strided(in, 0, self->dtype, out.rank, out.dims, out.strides);
  return FST_INFER_OK;
}

int fst_infer_addcdiv(fst_infer *in) {
  int result = fst_infer_pointwise(in);
  if (result) return result;
  if (fst_dtype_is_integral(fst_type_get(in->types, in->results[0])->dtype, true))
    return fst_infer_raise(in, "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of tensor1 and tensor2.");
  return FST_INFER_OK;
}
