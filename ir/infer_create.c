// Creation: sizes from int lists, dtype from the argument, the fill value or the operand to be like.
#include <math.h>
#include <string.h>

#include "ir/infer.h"
#include "ir/layout.h"
#include "ir/rows_basic.h"
#include "ir/view_internal.h"

static const fst_schema *node_schema(const fst_infer *in) { return fst_op_schema(fst_node_get(in->graph, in->node)->op); }

// Number of a schema argument, or UINT32_MAX.
static uint32_t arg_named(const fst_infer *in, const char *name) {
  int at = fst_schema_arg_index(node_schema(in), name);
  return at < 0 || (uint32_t)at >= fst_infer_arg_count(in) ? UINT32_MAX : (uint32_t)at;
}

static bool arg_given(const fst_infer *in, const char *name, uint32_t *out) {
  *out = arg_named(in, name);
  return *out != UINT32_MAX && !fst_infer_is_none(in, *out);
}

// The `dtype` argument, else `otherwise`; checks the device as well. Complex results have no kernel of ours.
static int create_dtype(fst_infer *in, fst_dtype otherwise, fst_dtype *out) {
  uint32_t arg;
  *out = otherwise;
  if (arg_given(in, "dtype", &arg)) *out = fst_infer_dtype(in, arg, FST_DTYPE_UNKNOWN);
  if (*out == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "dtype is not known");
  if (fst_dtype_kind_of(*out) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
  if (arg_given(in, "device", &arg)) {
    const fst_const_data *c = fst_value_const(in->graph, fst_infer_arg(in, arg));
    if (c && c->kind == FST_CONST_DEVICE && !fst_infer_device_is_here(in, fst_sym_text(&in->graph->module->strings, c->str)))
      return fst_infer_give_up(in, "a device that is not the CPU");
  }
  return FST_INFER_OK;
}

// The dtype a Python number makes.
static fst_dtype number_dtype(const fst_infer *in, uint32_t arg) {
  switch (fst_infer_type(in, arg)->kind) {
    case FST_TY_INT: return FST_I64;
    case FST_TY_FLOAT: return FST_F32;
    case FST_TY_BOOL: return FST_BOOL;
    default: return FST_DTYPE_UNKNOWN;
  }
}

static const int64_t LARGEST_BYTES = (INT64_C(1) << 42) - 1;

static int create_sized(fst_infer *in, uint32_t size_arg, fst_dtype dtype) {
  fst_shape out = {0};
  uint32_t format_arg;
  int64_t format = FST_FORMAT_CONTIGUOUS;
  out.rank = fst_infer_int_list(in, size_arg, out.dims, FST_MAX_RANK);
  if (out.rank < 0) return fst_infer_give_up(in, "the sizes are not known");
  const char *shape = fst_infer_shape_text(in, out.dims, out.rank);
  for (int i = 0; i < out.rank; i++) {
    const char *text = fst_arena_printf(in->arena, "Trying to create tensor with negative dimension %s: %s", fst_infer_dim_text(in, out.dims[i]), shape);
    if (!fst_infer_require_at_least(in, out.dims[i], 0, text)) return FST_INFER_RAISES;
  }
  int result = create_dtype(in, dtype, &dtype);
  if (result) return result;
  // Refused here where it is made without memory, as part of a kernel.
  const char *text = fst_arena_printf(in->arena, "can't allocate memory: a tensor of sizes %s is larger than any memory", shape);
  if (!fst_infer_require_count(in, out.dims, out.rank, LARGEST_BYTES / (int64_t)fst_dtype_size(dtype), text)) return FST_INFER_RAISES;
  if (arg_given(in, "memory_format", &format_arg) && !fst_infer_const_int(in, format_arg, &format)) return fst_infer_give_up(in, "memory_format is not a constant");
  fst_layout_format(in->dims, (int)format, &out);
  fst_infer_set_strided(in, 0, dtype, out.rank, out.dims, out.strides);
  return FST_INFER_OK;
}

// zeros, ones, empty: sizes first, the default float.
int fst_infer_zeros(fst_infer *in) { return create_sized(in, 0, FST_F32); }

int fst_infer_full(fst_infer *in) { return create_sized(in, 0, number_dtype(in, 1)); }

// Sizes and strides as they are given; all of what the strides reach belongs to the tensor.
static int create_strided(fst_infer *in, uint32_t size_arg, fst_dtype dtype) {
  fst_shape out = {0};
  out.rank = fst_infer_int_list(in, size_arg, out.dims, FST_MAX_RANK);
  int strides = fst_infer_int_list(in, size_arg + 1, out.strides, FST_MAX_RANK);
  if (out.rank < 0 || strides < 0) return fst_infer_give_up(in, "the sizes are not known");
  if (out.rank != strides) return fst_infer_raise(in, "dimensionality of sizes (%d) must match dimensionality of strides (%d)", out.rank, strides);
  for (int i = 0; i < out.rank; i++)
    if (!fst_dim_is_known(out.dims[i]) || !fst_dim_is_known(out.strides[i])) return fst_infer_give_up(in, "a size is not known");
  int result = create_dtype(in, dtype, &dtype);
  if (result) return result;
  fst_infer_set_strided(in, 0, dtype, out.rank, out.dims, out.strides);
  return FST_INFER_OK;
}

int fst_infer_empty_strided(fst_infer *in) { return create_strided(in, 0, FST_F32); }

int fst_infer_new_empty_strided(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  return self ? create_strided(in, 1, self->dtype) : FST_INFER_UNKNOWN;
}

// new_zeros and its like: self's dtype.
int fst_infer_new(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  return self ? create_sized(in, 1, self->dtype) : FST_INFER_UNKNOWN;
}

// zeros_like and its like: self's sizes, and its layout where that is dense.
int fst_infer_like(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  uint32_t format_arg;
  int64_t format = FST_FORMAT_PRESERVE;
  fst_dtype dtype;
  if (!self) return FST_INFER_UNKNOWN;
  int result = create_dtype(in, self->dtype, &dtype);
  if (result) return result;
  if (arg_given(in, "memory_format", &format_arg) && !fst_infer_const_int(in, format_arg, &format)) return fst_infer_give_up(in, "memory_format is not a constant");
  fst_shape shape = fst_shape_of(in->dims, self), out = shape;
  if (format == FST_FORMAT_PRESERVE) fst_layout_like(in->dims, &shape, &out);
  else fst_layout_format(in->dims, (int)format, &out);
  fst_infer_set_strided(in, 0, dtype, out.rank, out.dims, out.strides);
  return FST_INFER_OK;
}

// scalar_tensor, tensor.int, NumToTensor, ...: 0-d from a number.
int fst_infer_scalar_tensor(fst_infer *in) {
  fst_dtype dtype = number_dtype(in, 0);
  const char *name = node_schema(in)->name;
  if (!strcmp(name, "aten::scalar_tensor")) dtype = FST_F32;
  if (!strncmp(name, "prim::NumToTensor", 17) && dtype == FST_F32) dtype = FST_F64;
  int result = create_dtype(in, dtype, &dtype);
  if (result) return result;
  fst_infer_set_tensor(in, 0, dtype, 0, NULL);
  return FST_INFER_OK;
}

// Sizes of a nested list literal, and the kind of its innermost numbers.
static bool literal_shape(const fst_infer *in, fst_const value, fst_shape *out) {
  const fst_const_data *c = fst_const_get(in->graph->module, value);
  if (c->kind != FST_CONST_TUPLE) return true;
  if (out->rank == FST_MAX_RANK) return false;
  out->dims[out->rank++] = fst_dim_const(in->dims, c->count);
  return !c->count || literal_shape(in, c->items[0], out);
}

static bool made_shape(const fst_infer *in, const fst_node *made, fst_shape *out) {
  if (out->rank == FST_MAX_RANK) return false;
  out->dims[out->rank++] = fst_dim_const(in->dims, made->operand_count);
  if (!made->operand_count) return true;
  const fst_value *first = fst_value_get(in->graph, made->operands[0]);
  if (!fst_type_is(in->types, first->type, FST_TY_LIST)) return true;
  if (first->kind == FST_VALUE_CONST) return literal_shape(in, first->constant, out);
  const fst_node *inner = fst_list_inner(in->graph, made, 0);
  return inner && made_shape(in, inner, out);
}

static bool list_shape(const fst_infer *in, fst_value_id list, fst_shape *out, fst_type_kind *out_elem) {
  const fst_value *v = fst_value_get(in->graph, list);
  fst_type elem = v->type;
  while (fst_type_is(in->types, elem, FST_TY_LIST)) elem = fst_type_get(in->types, elem)->elem;
  *out_elem = fst_type_kind_of(in->types, elem);
  if (*out_elem != FST_TY_INT && *out_elem != FST_TY_FLOAT && *out_elem != FST_TY_BOOL) return false;
  if (v->kind == FST_VALUE_CONST) return literal_shape(in, v->constant, out);
  const fst_node *made = fst_list_items(in->graph, list);
  return made && made_shape(in, made, out);
}

// A list of numbers whose length only the call can tell has one dim. (Of nested lists an empty one hides how deep they go.)
static bool open_shape(fst_infer *in, fst_shape *out, fst_type_kind *out_elem) {
  const fst_type_data *list = fst_infer_type(in, 0);
  *out_elem = fst_type_kind_of(in->types, list->elem);
  if (list->kind != FST_TY_LIST || (*out_elem != FST_TY_INT && *out_elem != FST_TY_FLOAT && *out_elem != FST_TY_BOOL)) return false;
  *out = (fst_shape){.rank = 1, .dims = {fst_infer_fresh(in)}};
  return true;
}

// torch.tensor of a list.
int fst_infer_tensor_list_data(fst_infer *in) {
  fst_shape out = {0};
  fst_type_kind elem;
  if (!list_shape(in, fst_infer_arg(in, 0), &out, &elem) && !open_shape(in, &out, &elem)) return fst_infer_give_up(in, "the list's items are not known");
  fst_dtype dtype = elem == FST_TY_INT ? FST_I64 : elem == FST_TY_BOOL ? FST_BOOL : FST_F32;
  int result = create_dtype(in, dtype, &dtype);
  if (result) return result;
  fst_infer_set_tensor(in, 0, dtype, out.rank, out.dims);
  return FST_INFER_OK;
}

// ---- ranges ----------------------------------------------------------------------------------------

static bool number_const(const fst_infer *in, uint32_t arg, double *out) {
  int64_t i;
  if (fst_infer_const_float(in, arg, out)) return true;
  if (!fst_infer_const_int(in, arg, &i)) return false;
  *out = (double)i;
  return true;
}

// Count of start, start + step, ... before end: ceil((end - start) / step).
static int range_length(fst_infer *in, uint32_t start, uint32_t end, uint32_t step, bool integral, fst_dim *out) {
  double from = 0.0, to, by = 1.0;
  bool constant = (start == UINT32_MAX || number_const(in, start, &from)) && number_const(in, end, &to) && (step == UINT32_MAX || number_const(in, step, &by));
  if (constant) {
    if (by == 0.0) return fst_infer_raise(in, "step must be nonzero");
    if ((by > 0 && from > to) || (by < 0 && from < to)) return fst_infer_raise(in, "upper bound and lower bound inconsistent with step sign");
    *out = fst_dim_const(in->dims, (int64_t)ceil((to - from) / by));
    return FST_INFER_OK;
  }
  int64_t by_int = 1;
  if (!integral || (step != UINT32_MAX && !fst_infer_const_int(in, step, &by_int)) || by_int == 0)
    return fst_infer_give_up(in, "the length of the range is not known");
  fst_dim first = start == UINT32_MAX ? fst_dim_const(in->dims, 0) : fst_infer_int(in, start), last = fst_infer_int(in, end);
  if (!fst_dim_is_known(first) || !fst_dim_is_known(last)) return fst_infer_give_up(in, "a bound of the range is not known");
  fst_dim length = by_int > 0 ? fst_dim_sub(in->dims, last, first) : fst_dim_sub(in->dims, first, last);
  int64_t stride = by_int > 0 ? by_int : -by_int;
  const char *text = "upper bound and lower bound inconsistent with step sign";
  if (!fst_infer_require_at_most(in, by_int > 0 ? first : last, by_int > 0 ? last : first, text)) return FST_INFER_RAISES;
  if (!fst_infer_require_at_least(in, length, 0, "invalid size, possible overflow?")) return FST_INFER_RAISES;
  length = fst_dim_max(in->dims, length, fst_dim_const(in->dims, 0));
  *out = fst_dim_floordiv(in->dims, fst_dim_add(in->dims, length, fst_dim_const(in->dims, stride - 1)), fst_dim_const(in->dims, stride));
  return FST_INFER_OK;
}

int fst_infer_arange(fst_infer *in) {
  uint32_t start = arg_named(in, "start"), end = arg_named(in, "end"), step = arg_named(in, "step");
  bool integral = true;
  uint32_t bounds[] = {start, end, step};
  for (int i = 0; i < 3; i++) {
    if (bounds[i] == UINT32_MAX) continue;
    fst_dtype dtype = number_dtype(in, bounds[i]);
    if (dtype == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "a bound of the range has no known type");
    integral = integral && dtype != FST_F32;
  }
  fst_dtype dtype;
  fst_dim length;
  int result = create_dtype(in, integral ? FST_I64 : FST_F32, &dtype);
  if (!result) result = range_length(in, start, end, step, integral, &length);
  if (result) return result;
  fst_infer_set_tensor(in, 0, dtype, 1, &length);
  return FST_INFER_OK;
}

int fst_infer_linspace(fst_infer *in) {
  fst_dtype dtype;
  int result = create_dtype(in, FST_F32, &dtype);
  if (result) return result;
  fst_dim steps = fst_infer_int(in, 2);
  int64_t count;
  if (!fst_dim_is_known(steps)) return fst_infer_give_up(in, "steps is not known");
  if (fst_dim_is_const(in->dims, steps, &count) && count < 0) return fst_infer_raise(in, "number of steps must be non-negative");
  for (uint32_t i = 0; i < 2; i++) {
    const fst_type_data *bound = fst_infer_type(in, i);
    if (bound->kind == FST_TY_TENSOR && bound->rank != 0) return fst_infer_give_up(in, "a bound is not a 0-d tensor");
  }
  fst_infer_set_tensor(in, 0, dtype, 1, &steps);
  return FST_INFER_OK;
}

int fst_infer_eye(fst_infer *in) {
  uint32_t m = arg_named(in, "m");
  fst_dtype dtype;
  int result = create_dtype(in, FST_F32, &dtype);
  if (result) return result;
  fst_dim sizes[] = {fst_infer_int(in, 0), fst_infer_int(in, m == UINT32_MAX ? 0 : m)};
  if (!fst_dim_is_known(sizes[0]) || !fst_dim_is_known(sizes[1])) return fst_infer_give_up(in, "a size is not known");
  fst_infer_set_tensor(in, 0, dtype, 2, sizes);
  return FST_INFER_OK;
}

// tril, triu: self's sizes; the layout is kept where it is dense.
int fst_infer_triangle(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  if (self->rank < 2) return fst_infer_raise(in, "%s: input tensor must have at least 2 dimensions", strchr(node_schema(in)->name, ':') + 2);
  if (fst_dtype_kind_of(self->dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
  fst_infer_set_tensor(in, 0, self->dtype, self->rank, self->dims);
  return FST_INFER_OK;
}

// tril_indices, triu_indices: [2, n] rows and columns; the sizes are needed as numbers to count them.
int fst_infer_triangle_indices(fst_infer *in) {
  int64_t rows, columns, offset, count = 0;
  fst_dtype dtype;
  int result = create_dtype(in, FST_I64, &dtype);
  if (result) return result;
  if (!fst_infer_const_int(in, 0, &rows) || !fst_infer_const_int(in, 1, &columns) || !fst_infer_const_int(in, 2, &offset))
    return fst_infer_give_up(in, "row, col or offset is not a constant");
  bool lower = strstr(node_schema(in)->name, "tril") != NULL;
  for (int64_t r = 0; r < rows; r++) {
    int64_t edge = r + offset + (lower ? 1 : 0);  // first column above the part, or of it
    edge = edge < 0 ? 0 : edge > columns ? columns : edge;
    count += lower ? edge : columns - edge;
  }
  fst_dim sizes[] = {fst_dim_const(in->dims, 2), fst_dim_const(in->dims, count)};
  fst_infer_set_tensor(in, 0, dtype, 2, sizes);
  return FST_INFER_OK;
}
