// Views: exact sizes, strides and element offsets, as PyTorch computes them.
//
// Every function here describes the result as (sizes, strides, offset) over operand 0's storage and hands it
// to view_set. Rows of class COPY (`permute_copy`) run the same function and get a fresh contiguous result.
// Ops that copy only where no view exists (reshape, contiguous, to) say so through in->is_view.
#include <string.h>

#include "ir/infer.h"
#include "ir/layout.h"
#include "ir/rows_basic.h"
#include "ir/view_internal.h"

static const fst_op_info *node_info(const fst_infer *in) { return fst_op_get(fst_node_get(in->graph, in->node)->op); }

static fst_dim dim_int(const fst_infer *in, int64_t value) { return fst_dim_const(in->dims, value); }

static bool dim_is(const fst_infer *in, fst_dim d, int64_t value) { return fst_dim_equal(in->dims, d, dim_int(in, value)) == 1; }

static bool dim_may_be(const fst_infer *in, fst_dim d, int64_t value) { return fst_dim_equal(in->dims, d, dim_int(in, value)) != 0; }

static int view_set(fst_infer *in, fst_dtype dtype, const fst_shape *shape, fst_dim offset) {
  in->view_offset = offset;
  if (node_info(in)->cls == FST_CLASS_COPY) {
    fst_infer_set_tensor(in, 0, dtype, shape->rank, shape->dims);
    return FST_INFER_OK;
  }
  fst_infer_set_strided(in, 0, dtype, shape->rank, shape->dims, shape->strides);
  in->is_view = true;
  return FST_INFER_OK;
}

static int view_fresh(fst_infer *in, fst_dtype dtype, const fst_shape *shape) {
  fst_infer_set_strided(in, 0, dtype, shape->rank, shape->dims, shape->strides);
  in->is_view = false;
  return FST_INFER_OK;
}

// Operand 0 and its shape.
static const fst_type_data *view_self(fst_infer *in, fst_shape *out) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (self) *out = fst_shape_of(in->dims, self);
  return self;
}

// A constant dimension number, wrapped; 0-d tensors count as 1-d, as in PyTorch.
static int view_dim(fst_infer *in, uint32_t arg, int rank, int *out) {
  int64_t dim;
  if (!fst_infer_const_int(in, arg, &dim)) return fst_infer_give_up(in, "a dimension number is not a constant");
  *out = fst_infer_wrap_dim(in, dim, rank > 0 ? rank : 1);
  return *out < 0 ? FST_INFER_RAISES : FST_INFER_OK;
}

// A constant list of dimension numbers, wrapped.
static int view_dim_list(fst_infer *in, uint32_t arg, int rank, int *out, int *out_count) {
  fst_dim items[FST_MAX_RANK];
  int count = fst_infer_int_list(in, arg, items, FST_MAX_RANK);
  if (count < 0) return fst_infer_give_up(in, "a list of dimension numbers is not known");
  for (int i = 0; i < count; i++) {
    int64_t dim;
    if (!fst_dim_is_const(in->dims, items[i], &dim)) return fst_infer_give_up(in, "a dimension number is not a constant");
    out[i] = fst_infer_wrap_dim(in, dim, rank > 0 ? rank : 1);
    if (out[i] < 0) return FST_INFER_RAISES;
  }
  *out_count = count;
  return FST_INFER_OK;
}

int fst_infer_identity(fst_infer *in) {
  fst_shape shape;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  return view_set(in, self->dtype, &shape, dim_int(in, 0));
}

// real, conj and the like: the tensor itself unless it is complex.
int fst_infer_real_identity(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (self && fst_dtype_kind_of(self->dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
  return fst_infer_identity(in);
}

// ---- conversions -----------------------------------------------------------------------------------

static fst_dtype cast_dtype(const char *name) {
  static const struct { const char *name; fst_dtype dtype; } casts[] = {
      {"aten::_cast_Byte", FST_U8}, {"aten::_cast_Char", FST_I8}, {"aten::_cast_Short", FST_I16}, {"aten::_cast_Int", FST_I32},
      {"aten::_cast_Long", FST_I64}, {"aten::_cast_Half", FST_F16}, {"aten::_cast_Float", FST_F32}, {"aten::_cast_Double", FST_F64}};
  for (size_t i = 0; i < sizeof casts / sizeof *casts; i++)
    if (!strcmp(casts[i].name, name)) return casts[i].dtype;
  return FST_DTYPE_UNKNOWN;
}

static bool device_is_here(const fst_infer *in, uint32_t arg) {
  if (fst_infer_is_none(in, arg)) return true;
  const fst_const_data *c = fst_value_const(in->graph, fst_infer_arg(in, arg));
  if (!c) return true;  // a device that was computed: there is only the CPU to come from
  if (c->kind != FST_CONST_DEVICE && c->kind != FST_CONST_STR) return true;
  return fst_infer_device_is_here(in, fst_sym_text(&in->graph->module->strings, c->str));
}

// Every `to`, cast, `type_as` and `contiguous`-free copy, by the names of the schema's arguments.
typedef struct to_request {
  fst_dtype dtype;
  bool copy;
  int format;
} to_request;

static int to_read_dtype(fst_infer *in, const fst_schema *schema, fst_dtype self, to_request *out) {
  int other = fst_schema_arg_index(schema, "other"), dtype = fst_schema_arg_index(schema, "dtype");
  fst_dtype cast = cast_dtype(schema->name);
  out->dtype = cast == FST_DTYPE_UNKNOWN ? self : cast;
  if (other >= 0) {
    const fst_type_data *type = fst_infer_tensor(in, (uint32_t)other);
    if (!type) return FST_INFER_UNKNOWN;
    out->dtype = type->dtype;
  }
  if (dtype >= 0 && !fst_infer_is_none(in, (uint32_t)dtype)) {
    out->dtype = fst_infer_dtype(in, (uint32_t)dtype, FST_DTYPE_UNKNOWN);
    if (out->dtype == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "dtype is not a constant");
  }
  return FST_INFER_OK;
}

static int to_read(fst_infer *in, fst_dtype self, to_request *out) {
  const fst_schema *schema = fst_op_schema(fst_node_get(in->graph, in->node)->op);
  int copy = fst_schema_arg_index(schema, "copy"), format = fst_schema_arg_index(schema, "memory_format");
  int device = fst_schema_arg_index(schema, "device");
  int64_t number;
  *out = (to_request){.format = FST_FORMAT_PRESERVE};
  int result = to_read_dtype(in, schema, self, out);
  if (result) return result;
  if (copy >= 0 && !fst_infer_const_bool(in, (uint32_t)copy, &out->copy)) return fst_infer_give_up(in, "copy is not a constant");
  if (format >= 0 && !fst_infer_is_none(in, (uint32_t)format)) {
    if (!fst_infer_const_int(in, (uint32_t)format, &number)) return fst_infer_give_up(in, "memory_format is not a constant");
    out->format = (int)number;
  }
  if (device >= 0 && !device_is_here(in, (uint32_t)device)) return fst_infer_give_up(in, "a device that is not the CPU");
  return FST_INFER_OK;
}

int fst_infer_to(fst_infer *in) {
  fst_shape shape;
  to_request want;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = to_read(in, self->dtype, &want);
  if (result) return result;
  bool keeps_format = want.format == FST_FORMAT_PRESERVE || fst_shape_is_format(in->dims, &shape, want.format);
  bool is_copy_row = node_info(in)->cls == FST_CLASS_COPY;
  if (want.dtype == self->dtype && keeps_format && !want.copy && !is_copy_row)
    return view_set(in, self->dtype, &shape, dim_int(in, 0));
  fst_shape out = shape;
  if (want.format == FST_FORMAT_PRESERVE) fst_layout_like(in->dims, &shape, &out);
  else fst_layout_format(in->dims, want.format, &out);
  return view_fresh(in, want.dtype, &out);
}

int fst_infer_contiguous(fst_infer *in) {
  fst_shape shape;
  int64_t format = FST_FORMAT_CONTIGUOUS;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  if (!fst_infer_const_int(in, 1, &format)) return fst_infer_give_up(in, "memory_format is not a constant");
  if (fst_shape_is_format(in->dims, &shape, (int)format)) return view_set(in, self->dtype, &shape, dim_int(in, 0));
  fst_layout_format(in->dims, (int)format, &shape);
  return view_fresh(in, self->dtype, &shape);
}

// The same bits as another dtype of the same size.
int fst_infer_view_dtype(fst_infer *in) {
  fst_shape shape;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  fst_dtype dtype = fst_infer_dtype(in, 1, FST_DTYPE_UNKNOWN);
  if (dtype == FST_DTYPE_UNKNOWN || fst_dtype_size(dtype) != fst_dtype_size(self->dtype))
    return fst_infer_give_up(in, "view of another element size");
  return view_set(in, dtype, &shape, dim_int(in, 0));
}

// A size that the call may give as -1, which stands for `own`.
static fst_dim size_or_own(fst_infer *in, fst_dim size, fst_dim own) {
  fst_dim minus = fst_dim_max(in->dims, fst_dim_min(in->dims, size, dim_int(in, 0)), dim_int(in, -1));
  return fst_dim_sub(in->dims, size, fst_dim_mul(in->dims, minus, fst_dim_add(in->dims, own, dim_int(in, 1))));
}

// ---- reshape ---------------------------------------------------------------------------------------

// Takes one factor equal to `size` out of `factors`. What cancels needs no division, so symbolic sizes stay simple.
static bool factor_take(fst_dim *factors, int *count, fst_dim size) {
  for (int i = 0; i < *count; i++) {
    if (factors[i] != size) continue;
    memmove(&factors[i], &factors[i + 1], sizeof(fst_dim) * (size_t)(--*count - i));
    return true;
  }
  return false;
}

// The size that -1 stands for: what is left of self's elements, over the other sizes given.
static int reshape_fill(fst_infer *in, fst_dim rest, fst_dim given, const char *shape, const char *text, fst_dim *out) {
  const char *open = fst_arena_printf(in->arena, "cannot reshape tensor of 0 elements into shape %s because the unspecified dimension size -1 can be any value and is ambiguous", shape);
  if (dim_is(in, given, 0)) return fst_infer_require_equal(in, rest, dim_int(in, 0), text) ? fst_infer_raise(in, "%s", open) : FST_INFER_RAISES;
  if (!fst_infer_require_at_least(in, given, 1, open)) return FST_INFER_RAISES;
  *out = fst_dim_floordiv(in->dims, rest, given);
  fst_dim whole = fst_dim_mul(in->dims, *out, given);
  return fst_infer_require_equal(in, whole, rest, text) ? FST_INFER_OK : FST_INFER_RAISES;
}

// Sizes `to` with at most one -1 filled in, and checked against the number of elements.
static int reshape_sizes(fst_infer *in, const fst_shape *self, fst_dim *to, int rank) {
  fst_dim left[FST_MAX_RANK], given = dim_int(in, 1);
  int hole = -1, open = -1, left_count = self->rank;
  bool has_hole = false;
  for (int i = 0; i < rank; i++) has_hole = has_hole || dim_is(in, to[i], -1);
  const char *shape = fst_infer_shape_text(in, to, rank);
  const char *text = fst_arena_printf(in->arena, "shape '%s' is invalid for input of size %s", shape, fst_infer_dim_text(in, fst_shape_numel(in->dims, self->rank, self->dims)));
  memcpy(left, self->dims, sizeof left);
  for (int i = 0; i < rank; i++) {
    if (!fst_dim_is_known(to[i])) return fst_infer_give_up(in, "a size is not known");
    bool is_hole = dim_is(in, to[i], -1);
    const char *negative = fst_arena_printf(in->arena, "invalid shape dimension %s", fst_infer_dim_text(in, to[i]));
    bool may_fill = !is_hole && open < 0 && !has_hole && fst_dim_less(in->dims, to[i], dim_int(in, 0)) != 0;   // one that only the call knows
    if (!is_hole && !fst_infer_require_at_least(in, to[i], may_fill ? -1 : 0, negative)) return FST_INFER_RAISES;
    if (may_fill) open = i;
    if (may_fill) continue;
    if (is_hole && hole >= 0) return fst_infer_raise(in, "only one dimension can be inferred");
    if (is_hole) hole = i;
    else if (dim_is(in, to[i], 0) || !factor_take(left, &left_count, to[i])) given = fst_dim_mul(in->dims, given, to[i]);
  }
  fst_dim rest = fst_shape_numel(in->dims, left_count, left);
  if (open >= 0) {
    const char *any = fst_arena_printf(in->arena, "cannot reshape tensor of 0 elements into shape %s because the unspecified dimension size -1 can be any value and is ambiguous", shape);
    fst_dim one = dim_int(in, 1), fill = fst_dim_floordiv(in->dims, rest, fst_dim_max(in->dims, given, one));
    if (!fst_infer_require_at_least(in, fst_dim_add(in->dims, fst_dim_add(in->dims, to[open], one), given), 1, any)) return FST_INFER_RAISES;   // not -1 beside 0
    to[open] = size_or_own(in, to[open], fill);
    given = fst_dim_mul(in->dims, given, to[open]);
  }
  bool is_empty = false;
  for (int i = 0; i < rank; i++) is_empty = is_empty || dim_is(in, to[i], 0);
  if (hole >= 0) return reshape_fill(in, rest, is_empty ? dim_int(in, 0) : given, shape, text, &to[hole]);
  return fst_infer_require_equal(in, given, rest, text) ? FST_INFER_OK : FST_INFER_RAISES;
}

// PyTorch's computeStride: strides for `to` over the same storage, or false when none exist.
static bool reshape_strides(fst_infer *in, const fst_shape *self, fst_shape *to) {
  fst_dims *dims = in->dims;
  if (dim_is(in, fst_shape_numel(dims, self->rank, self->dims), 0) || self->rank == 0) {
    fst_layout_format(dims, FST_FORMAT_CONTIGUOUS, to);
    return true;
  }
  int at = to->rank - 1;
  fst_dim base = self->strides[self->rank - 1], numel = dim_int(in, 1), viewed = dim_int(in, 1);
  for (int d = self->rank - 1; d >= 0; d--) {
    numel = fst_dim_mul(dims, numel, self->dims[d]);
    bool chunk_ends = d == 0 || (!dim_is(in, self->dims[d - 1], 1) && fst_dim_equal(dims, self->strides[d - 1], fst_dim_mul(dims, numel, base)) != 1);
    if (!chunk_ends) continue;
    while (at >= 0 && (fst_dim_equal(dims, viewed, numel) != 1 || dim_is(in, to->dims[at], 1))) {
      if (fst_dim_less(dims, viewed, numel) == 0 && fst_dim_equal(dims, viewed, numel) == 0) return false;
      to->strides[at] = fst_dim_mul(dims, viewed, base);
      viewed = fst_dim_mul(dims, viewed, to->dims[at]);
      at--;
    }
    // With symbols the totals are equal by the guard on the number of elements, once everything is consumed.
    if (fst_dim_equal(dims, viewed, numel) != 1 && !(d == 0 && at < 0 && fst_dim_equal(dims, viewed, numel) == -1)) return false;
    if (d > 0) base = self->strides[d - 1];
    numel = viewed = dim_int(in, 1);
  }
  to->has_strides = true;
  return at < 0;
}

static bool shape_is_const(const fst_infer *in, const fst_shape *shape) {
  int64_t value;
  for (int i = 0; i < shape->rank; i++) {
    if (!fst_dim_is_const(in->dims, shape->dims[i], &value)) return false;
    if (shape->has_strides && !fst_dim_is_const(in->dims, shape->strides[i], &value)) return false;
  }
  return true;
}

static int reshape_to(fst_infer *in, fst_dim *sizes, int rank, bool must_view) {
  fst_shape shape, out = {.rank = rank};
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = reshape_sizes(in, &shape, sizes, rank);
  if (result) return result;
  memcpy(out.dims, sizes, sizeof(fst_dim) * (size_t)rank);
  if (reshape_strides(in, &shape, &out)) return view_set(in, self->dtype, &out, dim_int(in, 0));
  if (must_view && node_info(in)->cls == FST_CLASS_VIEW && !(shape_is_const(in, &shape) && shape_is_const(in, &out)))
    return fst_infer_give_up(in, "whether the view exists depends on sizes known only at run time");
  if (must_view && node_info(in)->cls == FST_CLASS_VIEW)
    return fst_infer_raise(in, "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead.");
  fst_layout_format(in->dims, FST_FORMAT_CONTIGUOUS, &out);
  return view_fresh(in, self->dtype, &out);
}

static int sizes_arg(fst_infer *in, uint32_t arg, fst_dim *out, int *out_rank) {
  *out_rank = fst_infer_int_list(in, arg, out, FST_MAX_RANK);
  if (*out_rank < 0) return fst_infer_give_up(in, "the sizes are not known");
  return FST_INFER_OK;
}

int fst_infer_reshape(fst_infer *in) {
  fst_dim sizes[FST_MAX_RANK];
  int rank, result = sizes_arg(in, 1, sizes, &rank);
  return result ? result : reshape_to(in, sizes, rank, false);
}

int fst_infer_view(fst_infer *in) {
  fst_dim sizes[FST_MAX_RANK];
  int rank, result = sizes_arg(in, 1, sizes, &rank);
  return result ? result : reshape_to(in, sizes, rank, true);
}

static int reshape_as(fst_infer *in, bool must_view) {
  fst_dim sizes[FST_MAX_RANK];
  const fst_type_data *other = fst_infer_tensor(in, 1);
  if (!other) return FST_INFER_UNKNOWN;
  if (other->rank) memcpy(sizes, other->dims, sizeof(fst_dim) * (size_t)other->rank);
  return reshape_to(in, sizes, other->rank, must_view);
}
int fst_infer_view_as(fst_infer *in) { return reshape_as(in, true); }
int fst_infer_reshape_as(fst_infer *in) { return reshape_as(in, false); }

int fst_infer_flatten(fst_infer *in) {
  fst_shape shape;
  fst_dim sizes[FST_MAX_RANK];
  int start, end, rank = 0;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = view_dim(in, 1, shape.rank, &start);
  if (!result) result = view_dim(in, 2, shape.rank, &end);
  if (result) return result;
  if (start > end) return fst_infer_raise(in, "flatten() has invalid args: start_dim cannot come after end_dim");
  if (shape.rank == 0) {
    sizes[0] = dim_int(in, 1);
    return reshape_to(in, sizes, 1, false);
  }
  if (start == end) return view_set(in, self->dtype, &shape, dim_int(in, 0));
  for (int i = 0; i < shape.rank; i++) {
    if (i > start && i <= end) sizes[rank - 1] = fst_dim_mul(in->dims, sizes[rank - 1], shape.dims[i]);
    else sizes[rank++] = shape.dims[i];
  }
  return reshape_to(in, sizes, rank, false);
}

int fst_infer_ravel(fst_infer *in) {
  fst_shape shape;
  if (!view_self(in, &shape)) return FST_INFER_UNKNOWN;
  fst_dim numel = fst_shape_numel(in->dims, shape.rank, shape.dims);
  // ravel is contiguous().view(-1): a strided vector is copied where reshape would view it.
  if (shape.rank > 0 && !fst_shape_is_contiguous(in->dims, &shape)) {
    fst_infer_set_tensor(in, 0, fst_infer_type(in, 0)->dtype, 1, &numel);
    return FST_INFER_OK;
  }
  return reshape_to(in, &numel, 1, false);
}

int fst_infer_unflatten(fst_infer *in) {
  fst_shape shape;
  fst_dim sizes[FST_MAX_RANK], inner[FST_MAX_RANK];
  int dim, count;
  if (!view_self(in, &shape)) return FST_INFER_UNKNOWN;
  int result = view_dim(in, 1, shape.rank, &dim);
  if (!result) result = sizes_arg(in, 2, inner, &count);
  if (result) return result;
  fst_shape one = {.rank = 1, .dims = {shape.dims[dim]}};
  if ((result = reshape_sizes(in, &one, inner, count))) return result;
  int rank = 0;
  for (int i = 0; i < shape.rank; i++) {
    if (i != dim) sizes[rank++] = shape.dims[i];
    else for (int j = 0; j < count; j++) sizes[rank++] = inner[j];
  }
  return reshape_to(in, sizes, rank, true);
}

// ---- orders of dims --------------------------------------------------------------------------------

static int view_permuted(fst_infer *in, fst_dtype dtype, const fst_shape *shape, const int *order) {
  fst_shape out = *shape;
  for (int i = 0; i < shape->rank; i++) {
    out.dims[i] = shape->dims[order[i]];
    out.strides[i] = shape->strides[order[i]];
  }
  return view_set(in, dtype, &out, dim_int(in, 0));
}

// The permutation a permute, transpose, movedim, ... node makes of a tensor of this rank.
int fst_view_order(fst_infer *in, int rank, int *order) {
  const fst_schema *schema = fst_op_schema(fst_node_get(in->graph, in->node)->op);
  const char *name = strchr(schema->name, ':') + 2;
  int a = 0, b = 0, count = 0, result = FST_INFER_OK;
  for (int i = 0; i < rank; i++) order[i] = i;
  if (!strncmp(name, "permute", 7)) {
    if ((result = view_dim_list(in, 1, rank, order, &count))) return result;
    if (count != rank) return fst_infer_raise(in, "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = %d is not equal to len(dims) = %d", rank, count);
    unsigned seen = 0;
    for (int i = 0; i < rank; i++) seen |= 1u << order[i];
    if (seen != (1u << rank) - 1) return fst_infer_raise(in, "permute(): duplicate dims are not allowed.");
    return FST_INFER_OK;
  }
  if (!strncmp(name, "movedim", 7) || !strncmp(name, "moveaxis", 8)) return fst_view_move_order(in, rank, order);
  if (!strncmp(name, "numpy_T", 7)) {
    for (int i = 0; i < rank; i++) order[i] = rank - 1 - i;
    return FST_INFER_OK;
  }
  if (!strcmp(name, "t") || !strcmp(name, "t_copy")) {
    if (rank > 2) return fst_infer_raise(in, "t() expects a tensor with <= 2 dimensions, but self is %dD", rank);
    a = 0, b = rank - 1;
  } else if (schema->arg_count == 1) {  // mT, mH, matrix_H, adjoint
    if (rank == 1) return fst_infer_raise(in, "tensor.%s is only supported on matrices or batches of matrices. Got 1-D tensor.", name);
    a = rank - 2, b = rank - 1;
  } else {
    result = view_dim(in, 1, rank, &a);
    if (!result) result = view_dim(in, 2, rank, &b);
  }
  if (result || rank == 0) return result;
  order[a] = b;
  order[b] = a;
  return FST_INFER_OK;
}

int fst_view_move_order(fst_infer *in, int rank, int *order) {
  int from[FST_MAX_RANK], to[FST_MAX_RANK], count = 1, to_count = 1, next = 0, result;
  bool is_int = fst_infer_type(in, 1)->kind == FST_TY_INT;
  if (is_int) {
    result = view_dim(in, 1, rank, from);
    if (!result) result = view_dim(in, 2, rank, to);
  } else {
    result = view_dim_list(in, 1, rank, from, &count);
    if (!result) result = view_dim_list(in, 2, rank, to, &to_count);
  }
  if (result) return result;
  if (count != to_count) return fst_infer_raise(in, "movedim: Invalid source or destination dims: source and destination must have the same number of elements");
  bool taken[FST_MAX_RANK] = {false}, placed[FST_MAX_RANK] = {false};
  for (int i = 0; i < count && rank > 0; i++) {
    if (taken[from[i]] || placed[to[i]]) return fst_infer_raise(in, "movedim: repeated dim");
    order[to[i]] = from[i];
    taken[from[i]] = placed[to[i]] = true;
  }
  for (int i = 0; i < rank; i++) {
    if (placed[i]) continue;
    while (taken[next]) next++;
    order[i] = next++;
  }
  return FST_INFER_OK;
}

int fst_infer_permute(fst_infer *in) {
  fst_shape shape;
  int order[FST_MAX_RANK];
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = fst_view_order(in, shape.rank, order);
  return result ? result : view_permuted(in, self->dtype, &shape, order);
}

// ---- dims of size 1 --------------------------------------------------------------------------------

// Which dims a squeeze removes: every size-1 dim, or those of them that are named.
int fst_view_squeezed(fst_infer *in, const fst_shape *shape, bool *removed) {
  const fst_schema *schema = fst_op_schema(fst_node_get(in->graph, in->node)->op);
  int dims[FST_MAX_RANK], count = shape->rank, result = FST_INFER_OK;
  for (int i = 0; i < count; i++) dims[i] = i;
  if (schema->arg_count > 1) {
    count = 1;
    if (fst_infer_type(in, 1)->kind == FST_TY_INT) result = view_dim(in, 1, shape->rank, dims);
    else result = view_dim_list(in, 1, shape->rank, dims, &count);
  }
  if (result) return result;
  for (int i = 0; i < FST_MAX_RANK; i++) removed[i] = false;
  for (int i = 0; i < count && shape->rank > 0; i++) {
    fst_dim size = shape->dims[dims[i]];
    removed[dims[i]] = dim_is(in, size, 1);
    if (!removed[dims[i]] && dim_may_be(in, size, 1)) return fst_infer_give_up(in, "squeeze of a size that is known only at run time");
  }
  return FST_INFER_OK;
}

int fst_infer_squeeze(fst_infer *in) {
  fst_shape shape, out = {.has_strides = true};
  bool removed[FST_MAX_RANK];
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = fst_view_squeezed(in, &shape, removed);
  if (result) return result;
  for (int i = 0; i < shape.rank; i++) {
    if (removed[i]) continue;
    out.dims[out.rank] = shape.dims[i];
    out.strides[out.rank++] = shape.strides[i];
  }
  return view_set(in, self->dtype, &out, dim_int(in, 0));
}

int fst_infer_unsqueeze(fst_infer *in) {
  fst_shape shape;
  int dim;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = view_dim(in, 1, shape.rank + 1, &dim);
  if (result) return result;
  if (shape.rank == FST_MAX_RANK) return fst_infer_give_up(in, "more than 16 dimensions");
  fst_shape out = shape;
  out.rank++;
  out.dims[dim] = dim_int(in, 1);
  out.strides[dim] = dim < shape.rank ? fst_dim_mul(in->dims, shape.dims[dim], shape.strides[dim]) : dim_int(in, 1);
  for (int i = dim; i < shape.rank; i++) {
    out.dims[i + 1] = shape.dims[i];
    out.strides[i + 1] = shape.strides[i];
  }
  return view_set(in, self->dtype, &out, dim_int(in, 0));
}

// at least `n` dims, by unsqueezing as numpy does.
static int at_least(fst_infer *in, int n) {
  static const int8_t place[4][3] = {{0}, {0}, {0, 0}, {0, 0, -1}};  // per wanted rank: where 0-d, 1-d, 2-d grow
  fst_shape shape;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  bool grows = shape.rank < n;
  while (shape.rank < n) {
    int at = place[n][shape.rank] < 0 ? shape.rank : place[n][shape.rank];
    fst_dim stride = at < shape.rank ? fst_dim_mul(in->dims, shape.dims[at], shape.strides[at]) : dim_int(in, 1);
    for (int i = shape.rank; i > at; i--) shape.dims[i] = shape.dims[i - 1], shape.strides[i] = shape.strides[i - 1];
    shape.dims[at] = dim_int(in, 1);
    shape.strides[at] = stride;
    shape.rank++;
  }
  if (grows && self->rank == 0)
    for (int i = 0; i < n; i++) shape.strides[i] = dim_int(in, 1);
  return view_set(in, self->dtype, &shape, dim_int(in, 0));
}
int fst_infer_atleast_1d(fst_infer *in) { return at_least(in, 1); }
int fst_infer_atleast_2d(fst_infer *in) { return at_least(in, 2); }
int fst_infer_atleast_3d(fst_infer *in) { return at_least(in, 3); }

// ---- expand ----------------------------------------------------------------------------------------

// The stride of a dim that has size `size` and is to have size `to`. Where only the run time knows whether
// size is 1, the expression is 0 for 1 and the stride for anything larger.
static fst_dim expand_stride(fst_infer *in, fst_dim size, fst_dim to, fst_dim stride) {
  if (fst_dim_equal(in->dims, size, to) == 1) return stride;
  if (dim_is(in, size, 1)) return dim_int(in, 0);
  fst_dim one = dim_int(in, 1);
  fst_dim factor = fst_dim_min(in->dims, fst_dim_max(in->dims, fst_dim_sub(in->dims, size, one), dim_int(in, 0)), one);
  return fst_dim_mul(in->dims, stride, factor);
}

static int expand_to(fst_infer *in, const fst_dim *sizes, int rank) {
  fst_shape shape, out = {.rank = rank, .has_strides = true};
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  const char *target = fst_infer_shape_text(in, sizes, rank), *own = fst_infer_shape_text(in, shape.dims, shape.rank);
  if (rank < shape.rank)
    return fst_infer_raise(in, "expand: the number of sizes provided (%d) must be greater or equal to the number of dimensions in the tensor (%d)", rank, shape.rank);
  for (int i = rank - 1; i >= 0; i--) {
    int from = i - (rank - shape.rank);
    bool keeps = dim_is(in, sizes[i], -1);
    if (from < 0) {
      const char *text = fst_arena_printf(in->arena, "The expanded size of the tensor (%s) isn't allowed in a leading, non-existing dimension %d", fst_infer_dim_text(in, sizes[i]), i);
      if (!fst_infer_require_at_least(in, sizes[i], 0, text)) return FST_INFER_RAISES;
      out.dims[i] = sizes[i];
      // A new leading dim is dense over the next one where it is 1, else broadcast.
      out.strides[i] = !dim_is(in, sizes[i], 1) ? dim_int(in, 0) : i + 1 < rank ? fst_dim_mul(in->dims, out.dims[i + 1], out.strides[i + 1]) : dim_int(in, 1);
      continue;
    }
    if (!keeps && !fst_dim_is_known(sizes[i])) return fst_infer_give_up(in, "a size is not known");
    const char *text = fst_arena_printf(in->arena, "The expanded size of the tensor (%s) must match the existing size (%s) at non-singleton dimension %d.  Target sizes: %s.  Tensor sizes: %s",
                                        fst_infer_dim_text(in, sizes[i]), fst_infer_dim_text(in, shape.dims[from]), i, target, own);
    if (!fst_infer_require_at_least(in, sizes[i], -1, text)) return FST_INFER_RAISES;
    out.dims[i] = keeps ? shape.dims[from] : size_or_own(in, sizes[i], shape.dims[from]);
    if (!fst_infer_require_fits(in, shape.dims[from], out.dims[i], text)) return FST_INFER_RAISES;
    out.strides[i] = expand_stride(in, shape.dims[from], out.dims[i], shape.strides[from]);
  }
  for (int i = 0; shape.rank == 0 && i < rank; i++) out.strides[i] = dim_int(in, 0);  // not dense, even over sizes of 1
  if (!fst_infer_require_count(in, out.dims, rank, INT64_MAX, "numel: integer multiplication overflow")) return FST_INFER_RAISES;
  return view_set(in, self->dtype, &out, dim_int(in, 0));
}

int fst_infer_expand(fst_infer *in) {
  fst_dim sizes[FST_MAX_RANK];
  int rank, result = sizes_arg(in, 1, sizes, &rank);
  return result ? result : expand_to(in, sizes, rank);
}

int fst_infer_expand_as(fst_infer *in) {
  const fst_type_data *other = fst_infer_tensor(in, 1);
  if (!other) return FST_INFER_UNKNOWN;
  return expand_to(in, other->dims, other->rank);
}

// ---- parts -----------------------------------------------------------------------------------------

// `[value < 0]` is written with min and max where the sign is not known.
fst_dim fst_infer_from_front(fst_infer *in, fst_dim value, fst_dim size) {
  int64_t low, high;
  fst_dim_bounds(in->dims, value, &low, &high);
  if (low >= 0) return value;
  if (high < 0) return fst_dim_add(in->dims, value, size);
  fst_dim minus_if_negative = fst_dim_max(in->dims, fst_dim_min(in->dims, value, dim_int(in, 0)), dim_int(in, -1));
  return fst_dim_sub(in->dims, value, fst_dim_mul(in->dims, size, minus_if_negative));
}

int fst_view_select_start(fst_infer *in, const fst_shape *shape, int dim, fst_dim *out) {
  fst_dim index = fst_infer_int(in, 2), size = shape->dims[dim];
  *out = FST_DIM_UNKNOWN;
  if (!fst_dim_is_known(index)) return FST_INFER_OK;
  const char *text = fst_arena_printf(in->arena, "select(): index %s out of range for tensor of size %s at dimension %d", fst_infer_dim_text(in, index),
                                      fst_infer_shape_text(in, shape->dims, shape->rank), dim);
  *out = fst_infer_from_front(in, index, size);
  bool inside = fst_infer_require_at_most(in, fst_dim_sub(in->dims, dim_int(in, 0), size), index, text) &&
                fst_infer_require_at_most(in, index, fst_dim_sub(in->dims, size, dim_int(in, 1)), text);
  return inside ? FST_INFER_OK : FST_INFER_RAISES;
}

int fst_infer_select(fst_infer *in) {
  fst_shape shape, out = {.has_strides = true};
  int dim;
  fst_dim start;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  if (shape.rank == 0) return fst_infer_raise(in, "select() cannot be applied to a 0-dim tensor.");
  int result = view_dim(in, 1, shape.rank, &dim);
  if (!result) result = fst_view_select_start(in, &shape, dim, &start);
  if (result) return result;
  for (int i = 0; i < shape.rank; i++) {
    if (i == dim) continue;
    out.dims[out.rank] = shape.dims[i];
    out.strides[out.rank++] = shape.strides[i];
  }
  return view_set(in, self->dtype, &out, fst_dim_mul(in->dims, start, shape.strides[dim]));
}

static int view_sliced(fst_infer *in, fst_dtype dtype, const fst_shape *shape, const fst_view_part *part) {
  fst_shape out = *shape;
  out.dims[part->dim] = part->length;
  out.strides[part->dim] = fst_dim_mul(in->dims, shape->strides[part->dim], part->step);
  fst_dim offset = fst_dim_mul(in->dims, part->start, shape->strides[part->dim]);
  return view_set(in, dtype, &out, offset);
}

// A slice bound from the front and not past the end. One beyond the end of an empty result moves no element,
// so a constant start is left alone where the size is not known: `x[:, 64:]` stays at 64 elements.
static fst_dim slice_bound(fst_infer *in, fst_dim value, fst_dim size) {
  fst_dim front = fst_infer_from_front(in, value, size);
  return fst_dim_min(in->dims, fst_dim_max(in->dims, front, dim_int(in, 0)), size);
}

int fst_view_slice_part(fst_infer *in, const fst_shape *shape, fst_view_part *out) {
  fst_dim one = dim_int(in, 1), zero = dim_int(in, 0);
  int64_t start_const;
  if (shape->rank == 0) return fst_infer_raise(in, "slice() cannot be applied to a 0-dim tensor.");
  int result = view_dim(in, 1, shape->rank, &out->dim);
  if (result) return result;
  fst_dim size = shape->dims[out->dim];
  fst_dim start = fst_infer_is_none(in, 2) ? zero : fst_infer_int(in, 2);
  fst_dim end = fst_infer_is_none(in, 3) ? dim_int(in, INT64_MAX) : fst_infer_int(in, 3);
  out->step = fst_infer_int(in, 4);
  if (!fst_dim_is_known(out->step)) return fst_infer_give_up(in, "a slice step is not known");
  if (!fst_infer_require_at_least(in, out->step, 1, "slice step must be positive")) return FST_INFER_RAISES;
  if (!fst_dim_is_known(start) || !fst_dim_is_known(end)) return fst_infer_give_up(in, "a slice bound is not known");
  int64_t end_const;
  bool to_end = fst_dim_is_const(in->dims, end, &end_const) && end_const == INT64_MAX;
  fst_dim stop = to_end ? size : slice_bound(in, end, size);
  bool from_front = fst_dim_is_const(in->dims, start, &start_const) && start_const >= 0;
  bool size_known = fst_dim_is_const(in->dims, size, &end_const);
  out->start = from_front && !size_known ? start : slice_bound(in, start, size);
  fst_dim length = fst_dim_max(in->dims, fst_dim_sub(in->dims, stop, out->start), zero);
  length = fst_dim_add(in->dims, length, fst_dim_sub(in->dims, out->step, one));
  out->length = fst_dim_floordiv(in->dims, length, out->step);
  if (!fst_dim_is_const(in->dims, out->step, NULL)) out->length = fst_dim_max(in->dims, out->length, zero);   // a huge step wraps: PyTorch's is empty then
  return FST_INFER_OK;
}

int fst_infer_slice(fst_infer *in) {
  fst_shape shape;
  fst_view_part part;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = fst_view_slice_part(in, &shape, &part);
  return result ? result : view_sliced(in, self->dtype, &shape, &part);
}

int fst_view_narrow_part(fst_infer *in, const fst_shape *shape, fst_view_part *out) {
  if (shape->rank == 0) return fst_infer_raise(in, "narrow() cannot be applied to a 0-dim tensor.");
  int result = view_dim(in, 1, shape->rank, &out->dim);
  if (result) return result;
  bool by_tensor = fst_infer_type(in, 2)->kind == FST_TY_TENSOR;
  fst_dim size = shape->dims[out->dim];
  fst_dim start = by_tensor ? fst_tensor_int(in->graph, fst_infer_arg(in, 2), in->dims) : fst_infer_int(in, 2);
  out->length = fst_infer_int(in, 3);
  out->step = dim_int(in, 1);
  if (!fst_dim_is_known(start) || !fst_dim_is_known(out->length)) return fst_infer_give_up(in, "start or length of narrow is not known");
  out->start = fst_infer_from_front(in, start, size);
  const char *n = fst_infer_dim_text(in, size), *first = fst_infer_dim_text(in, start);
  const char *text = fst_arena_printf(in->arena, "start out of range (expected to be in range of [%s, %s], but got %s)", fst_infer_dim_text(in, fst_dim_sub(in->dims, dim_int(in, 0), size)), n, first);
  if (!fst_infer_require_at_least(in, out->length, 0, "narrow(): length must be non-negative.")) return FST_INFER_RAISES;
  if (!fst_infer_require_at_most(in, fst_dim_sub(in->dims, dim_int(in, 0), size), start, text) || !fst_infer_require_at_most(in, start, size, text)) return FST_INFER_RAISES;
  text = fst_arena_printf(in->arena, "start (%s) + length (%s) exceeds dimension size (%s).", fst_infer_dim_text(in, out->start), fst_infer_dim_text(in, out->length), n);
  return fst_infer_require_at_most(in, out->length, fst_dim_sub(in->dims, size, out->start), text) ? FST_INFER_OK : FST_INFER_RAISES;
}

int fst_infer_narrow(fst_infer *in) {
  fst_shape shape;
  fst_view_part part;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = fst_view_narrow_part(in, &shape, &part);
  return result ? result : view_sliced(in, self->dtype, &shape, &part);
}

int fst_view_diagonal_part(fst_infer *in, const fst_shape *shape, fst_view_diagonal *out) {
  if (shape->rank < 2) return fst_infer_raise(in, "diagonal dimensions cannot be identical or the tensor has fewer than two");
  if (!fst_infer_const_int(in, 1, &out->offset)) return fst_infer_give_up(in, "offset is not a constant");
  int result = view_dim(in, 2, shape->rank, &out->dim1);
  if (!result) result = view_dim(in, 3, shape->rank, &out->dim2);
  if (result) return result;
  if (out->dim1 == out->dim2) return fst_infer_raise(in, "diagonal dimensions cannot be identical %d, %d", out->dim1, out->dim2);
  fst_dim rows = shape->dims[out->dim1], columns = shape->dims[out->dim2];
  if (out->offset >= 0) columns = fst_dim_sub(in->dims, columns, dim_int(in, out->offset));
  else rows = fst_dim_add(in->dims, rows, dim_int(in, out->offset));
  out->length = fst_dim_max(in->dims, fst_dim_min(in->dims, rows, columns), dim_int(in, 0));
  return FST_INFER_OK;
}

int fst_infer_diagonal(fst_infer *in) {
  fst_shape shape, out = {.has_strides = true};
  fst_view_diagonal part;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = fst_view_diagonal_part(in, &shape, &part);
  if (result) return result;
  for (int i = 0; i < shape.rank; i++) {
    if (i == part.dim1 || i == part.dim2) continue;
    out.dims[out.rank] = shape.dims[i];
    out.strides[out.rank++] = shape.strides[i];
  }
  out.dims[out.rank] = part.length;
  out.strides[out.rank++] = fst_dim_add(in->dims, shape.strides[part.dim1], shape.strides[part.dim2]);
  fst_dim stride = shape.strides[part.offset >= 0 ? part.dim2 : part.dim1];
  int64_t away = part.offset >= 0 ? part.offset : -part.offset;
  fst_dim offset = dim_is(in, part.length, 0) ? dim_int(in, 0) : fst_dim_mul(in->dims, stride, dim_int(in, away));
  return view_set(in, self->dtype, &out, offset);
}

int fst_infer_unfold_view(fst_infer *in) {
  fst_shape shape;
  int dim;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = view_dim(in, 1, shape.rank, &dim);
  if (result) return result;
  fst_dim window = fst_infer_int(in, 2), step = fst_infer_int(in, 3);
  if (!fst_dim_is_known(window) || !fst_dim_is_known(step)) return fst_infer_give_up(in, "size or step of unfold is not known");
  fst_dim size = shape.rank ? shape.dims[dim] : dim_int(in, 1), stride = shape.rank ? shape.strides[dim] : dim_int(in, 1);
  const char *w = fst_infer_dim_text(in, window), *text = fst_arena_printf(in->arena, "maximum size for tensor at dimension %d is %s but size is %s", dim, fst_infer_dim_text(in, size), w);
  if (!fst_infer_require_at_least(in, window, 0, fst_arena_printf(in->arena, "size is %s but must be >= 0", w)) || !fst_infer_require_at_most(in, window, size, text) ||
      !fst_infer_require_at_least(in, step, 1, fst_arena_printf(in->arena, "step is %s but must be > 0", fst_infer_dim_text(in, step))))
    return FST_INFER_RAISES;
  if (shape.rank == FST_MAX_RANK) return fst_infer_give_up(in, "more than 16 dimensions");
  fst_shape out = shape;
  if (shape.rank) {
    out.dims[dim] = fst_dim_add(in->dims, fst_dim_floordiv(in->dims, fst_dim_sub(in->dims, size, window), step), dim_int(in, 1));
    out.strides[dim] = fst_dim_mul(in->dims, stride, step);
  }
  out.dims[out.rank] = window;
  out.strides[out.rank++] = stride;
  return view_set(in, self->dtype, &out, dim_int(in, 0));
}

// Elements from the start of the storage to the first element of `value`, following views back to the
// tensor that made the storage.
static fst_dim storage_start(const fst_graph *graph, fst_value_id value, fst_dims *dims) {
  fst_dim total = fst_dim_const(dims, 0), offset;
  for (;;) {
    fst_node_id def = fst_value_def(graph, value);
    if (!def.id || !fst_infer_is_view(graph, def)) return total;
    if (!fst_view_offset(graph, def, &offset)) return FST_DIM_UNKNOWN;
    total = fst_dim_add(dims, total, offset);
    value = fst_node_operand(fst_node_get(graph, def), 0);
  }
}

int fst_infer_as_strided(fst_infer *in) {
  fst_shape shape, out = {.has_strides = true};
  int strides;
  const fst_type_data *self = view_self(in, &shape);
  if (!self) return FST_INFER_UNKNOWN;
  int result = sizes_arg(in, 1, out.dims, &out.rank);
  if (!result) result = sizes_arg(in, 2, out.strides, &strides);
  if (result) return result;
  if (strides != out.rank) return fst_infer_raise(in, "mismatch in length of strides and shape");
  fst_dim offset = dim_int(in, 0);
  bool has_offset = fst_infer_arg_count(in) > 3 && !fst_infer_is_none(in, 3);
  if (has_offset) offset = fst_dim_sub(in->dims, fst_infer_int(in, 3), storage_start(in->graph, fst_infer_arg(in, 0), in->dims));
  // The farthest element must lie in what self spans: nothing else is known of the storage.
  fst_dim span = dim_int(in, 1), reach = fst_dim_add(in->dims, offset, dim_int(in, 1));
  for (int i = 0; i < shape.rank; i++) span = fst_dim_add(in->dims, span, fst_dim_mul(in->dims, fst_dim_sub(in->dims, shape.dims[i], dim_int(in, 1)), shape.strides[i]));
  for (int i = 0; i < out.rank; i++) reach = fst_dim_add(in->dims, reach, fst_dim_mul(in->dims, fst_dim_sub(in->dims, out.dims[i], dim_int(in, 1)), out.strides[i]));
  bool is_empty = dim_is(in, fst_shape_numel(in->dims, out.rank, out.dims), 0);
  if (!is_empty && fst_dim_less(in->dims, span, reach) != 0) return fst_infer_give_up(in, "as_strided beyond the tensor it is given");
  return view_set(in, self->dtype, &out, offset);
}
