// Elements of moved tensors: each result element is one operand element at a computed index, or a fill value.
#include <string.h>

#include "ir/args.h"
#include "ir/lower_build.h"
#include "ir/moves.h"
#include "ir/rows_structured.h"

static int rank_of(const fst_lower *lo, uint32_t arg) { return fst_lower_type(lo, arg)->rank; }

static void index_copy(const fst_lower *lo, fst_kx *index, int rank) {
  if (rank > 0) memcpy(index, lo->index, sizeof *index * (size_t)rank);
}

// index mod size, for a known non-negative index.
static fst_kx wrapped(fst_lower *lo, fst_kx index, fst_kx size) { return kx_is_int(lo, size, 1) ? kx_int(lo, 0) : kx_rem(lo, index, size); }

// ---- joining: a chain of selects on the joined index, first part outermost ----
enum { JOIN_MAX = 256 };

static fst_kx join_chain(fst_lower *lo, const fst_kx *ends, const fst_kx *parts, int count, fst_kx at) {
  fst_kx value = parts[count - 1];
  for (int i = count - 1; i-- > 0;) value = kx_select(lo, kx_lt(lo, at, ends[i]), parts[i], value);
  return value;
}

void fst_lower_cat(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *types[JOIN_MAX], *out = fst_lower_result_type(lo, 0);
  int count = fst_infer_tensor_list(&in, 0, types, JOIN_MAX), used = 0;
  int64_t axis;
  if (count < 1 || !fst_args_int(&in, "dim", 0, &axis)) return;
  int dim = (int)(axis < 0 ? axis + out->rank : axis);
  fst_kx ends[JOIN_MAX], parts[JOIN_MAX], index[FST_MAX_RANK], start = kx_int(lo, 0);
  index_copy(lo, index, out->rank);
  for (int i = 0; i < count; i++) {
    if (types[i]->rank != out->rank) continue;  // PyTorch skips empty vectors among tensors of other ranks
    index[dim] = kx_sub(lo, lo->index[dim], start);
    parts[used] = kx_convert(lo, fst_lower_load_item(lo, 0, (uint32_t)i, index), out->dtype);
    start = kx_add(lo, start, fst_lower_dim(lo, types[i]->dims[dim]));
    ends[used++] = start;
  }
  if (used) lo->value = join_chain(lo, ends, parts, used, lo->index[dim]);
}

void fst_lower_stack(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *out = fst_lower_result_type(lo, 0);
  int count = fst_lower_list_length(lo, 0);
  int64_t axis;
  if (count < 1 || count > JOIN_MAX || !fst_args_int(&in, "dim", 0, &axis)) return;
  int dim = (int)(axis < 0 ? axis + out->rank : axis);
  fst_kx ends[JOIN_MAX], parts[JOIN_MAX], index[FST_MAX_RANK];
  for (int d = 0; d < out->rank; d++)
    if (d != dim) index[d - (d > dim)] = lo->index[d];
  for (int i = 0; i < count; i++) {
    parts[i] = kx_convert(lo, fst_lower_load_item(lo, 0, (uint32_t)i, index), out->dtype);
    ends[i] = kx_int(lo, i + 1);
  }
  lo->value = join_chain(lo, ends, parts, count, lo->index[dim]);
}

// ---- padding ----
static fst_kx pad_source(fst_lower *lo, fst_pad_mode mode, fst_kx at, fst_kx size) {
  fst_kx zero = kx_int(lo, 0), last = kx_sub(lo, size, kx_int(lo, 1));
  switch (mode) {
    case FST_PAD_REFLECT: {
      fst_kx positive = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, at);
      return kx_select(lo, kx_lt(lo, last, positive), kx_sub(lo, kx_mul(lo, kx_int(lo, 2), last), positive), positive);
    }
    case FST_PAD_REPLICATE: return kx_min(lo, kx_max(lo, at, zero), last);
    default: return at;
  }
}

// Circular padding wraps around what negative padding leaves of the dim.
static fst_kx pad_circular(fst_lower *lo, const fst_pad *p, int i, fst_dim size, fst_kx at) {
  fst_dims *d = lo->graph->dims;
  fst_dim zero = fst_dim_const(d, 0), cut = fst_dim_min(d, p->before[i], zero);
  fst_dim left = fst_dim_add(d, fst_dim_add(d, size, cut), fst_dim_min(d, p->after[i], zero));
  fst_kx period = fst_lower_dim(lo, left), start = fst_lower_dim(lo, fst_dim_sub(d, left, fst_dim_max(d, p->before[i], zero)));
  return kx_sub(lo, wrapped(lo, kx_add(lo, at, start), period), fst_lower_dim(lo, cut));
}

static fst_kx pad_value(fst_lower *lo, const fst_infer *in, fst_dtype dtype) {
  int arg = fst_args_find(in, "value");
  return fst_lower_has_arg(lo, arg) ? fst_lower_scalar(lo, (uint32_t)arg, dtype) : kx_zero(lo, dtype);
}

void fst_lower_pad(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *out = fst_lower_result_type(lo, 0), *x = fst_lower_type(lo, 0);
  fst_pad p;
  if (!fst_pad_read(&in, &p)) return;
  fst_kx index[FST_MAX_RANK], inside = fst_kx_bool(lo->kernel, true);
  index_copy(lo, index, out->rank);
  for (int i = 0; i < p.count; i++) {
    int d = p.first + i;
    fst_kx size = fst_lower_size(lo, 0, (uint32_t)d), at = kx_sub(lo, lo->index[d], fst_lower_dim(lo, p.before[i]));
    if (p.before[i] == 0 && p.after[i] == 0) continue;
    index[d] = p.mode == FST_PAD_CIRCULAR ? pad_circular(lo, &p, i, x->dims[d], lo->index[d]) : pad_source(lo, p.mode, at, size);
    if (p.mode == FST_PAD_CONSTANT) inside = kx_and(lo, inside, kx_in_bounds(lo, at, size));
  }
  fst_kx value = fst_lower_load(lo, 0, index);
  lo->value = p.mode == FST_PAD_CONSTANT ? kx_select(lo, inside, value, pad_value(lo, &in, out->dtype)) : value;
}

// ---- the same sizes, other places ----
void fst_lower_flip(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  int axes[FST_MAX_RANK], rank = rank_of(lo, 0), count = fst_args_axes(&in, "dims", rank, axes);
  fst_kx index[FST_MAX_RANK];
  if (count < 0) return;
  index_copy(lo, index, rank);
  for (int i = 0; i < count; i++) {
    fst_kx last = kx_sub(lo, fst_lower_size(lo, 0, (uint32_t)axes[i]), kx_int(lo, 1));
    index[axes[i]] = kx_sub(lo, last, lo->index[axes[i]]);
  }
  lo->value = fst_lower_load(lo, 0, index);
}

// (at - shift) mod size, where shift mod size is taken as an expression once.
static fst_kx rolled(fst_lower *lo, fst_kx at, fst_dim shift, fst_dim size) {
  fst_dims *d = lo->graph->dims;
  if (size == 0) return at;
  fst_dim back = fst_dim_sub(d, size, fst_dim_mod(d, shift, size));
  return wrapped(lo, kx_add(lo, at, fst_lower_dim(lo, back)), fst_lower_dim(lo, size));
}

static fst_kx index_linear(fst_lower *lo, const fst_type_data *type, const fst_kx *index) {
  fst_kx linear = kx_int(lo, 0);
  for (int i = 0; i < type->rank; i++) linear = kx_add(lo, kx_mul(lo, linear, fst_lower_dim(lo, type->dims[i])), index[i]);
  return linear;
}

static void index_split(fst_lower *lo, const fst_type_data *type, fst_kx linear, fst_kx *index) {
  for (int i = type->rank; i-- > 0;) {
    fst_kx size = fst_lower_dim(lo, type->dims[i]);
    index[i] = i ? wrapped(lo, linear, size) : linear;
    linear = kx_is_int(lo, size, 1) ? linear : kx_div(lo, linear, size);
  }
}

static fst_dim numel_of(const fst_lower *lo, const fst_type_data *type) {
  fst_dim numel = fst_dim_const(lo->graph->dims, 1);
  for (int i = 0; i < type->rank; i++) numel = fst_dim_mul(lo->graph->dims, numel, type->dims[i]);
  return numel;
}

void fst_lower_roll(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *x = fst_lower_type(lo, 0);
  int axes[FST_MAX_RANK], count = fst_args_axes(&in, "dims", x->rank, axes);
  fst_dim shifts[FST_MAX_RANK];
  fst_kx index[FST_MAX_RANK];
  if (count < 0 || fst_lower_int_list(lo, 1, shifts, FST_MAX_RANK) < 0) return;
  index_copy(lo, index, x->rank);
  for (int i = 0; i < (count ? count : 1); i++)
    if (!fst_dim_is_known(shifts[i])) return;
  for (int i = 0; i < count; i++) index[axes[i]] = rolled(lo, index[axes[i]], shifts[i], x->dims[axes[i]]);
  if (count == 0) index_split(lo, x, rolled(lo, index_linear(lo, x, lo->index), shifts[0], numel_of(lo, x)), index);
  lo->value = fst_lower_load(lo, 0, index);
}

void fst_lower_clone(fst_lower *lo) { lo->value = fst_lower_load(lo, 0, lo->index); }

// ---- repeating ----
void fst_lower_repeat(fst_lower *lo) {
  int rank = rank_of(lo, 0), lead = fst_lower_result_type(lo, 0)->rank - rank;
  fst_kx index[FST_MAX_RANK];
  for (int i = 0; i < rank; i++) index[i] = wrapped(lo, lo->index[lead + i], fst_lower_size(lo, 0, (uint32_t)i));
  lo->value = fst_lower_load(lo, 0, index);
}

void fst_lower_repeat_interleave(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *x = fst_lower_type(lo, 0);
  fst_kx index[FST_MAX_RANK], repeats = fst_lower_scalar(lo, 1, FST_I64);
  int64_t axis;
  if (!fst_args_int(&in, "dim", 0, &axis)) return;
  if (!fst_args_has(&in, "dim")) {
    index_split(lo, x, kx_div(lo, lo->index[0], repeats), index);
  } else {
    index_copy(lo, index, x->rank);
    int dim = (int)(axis < 0 ? axis + x->rank : axis);
    if (x->rank) index[dim] = kx_div(lo, index[dim], repeats);
  }
  lo->value = fst_lower_load(lo, 0, index);
}

// ---- writing over ----
void fst_lower_copy(fst_lower *lo) { lo->value = fst_lower_broadcast_as(lo, 1, fst_lower_result_type(lo, 0)->dtype); }

void fst_lower_fill(fst_lower *lo) {
  fst_dtype dtype = fst_lower_result_type(lo, 0)->dtype;
  const fst_type_data *value = fst_lower_type(lo, 1);
  if (value && value->kind == FST_TY_TENSOR) lo->value = kx_load_as(lo, 1, NULL, dtype);
  else lo->value = fst_lower_scalar(lo, 1, dtype);
}

void fst_lower_zero(fst_lower *lo) { lo->value = kx_zero(lo, fst_lower_result_type(lo, 0)->dtype); }

void fst_lower_select_scatter(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *self = fst_lower_type(lo, 0);
  int64_t axis;
  fst_dim at = fst_args_dim(&in, "index", FST_DIM_UNKNOWN);
  fst_kx index[FST_MAX_RANK];
  if (!fst_args_int(&in, "dim", 0, &axis) || !fst_dim_is_known(at)) return;
  int dim = (int)(axis < 0 ? axis + self->rank : axis);
  at = fst_infer_from_front(&in, at, self->dims[dim]);
  for (int d = 0; d < self->rank; d++)
    if (d != dim) index[d - (d > dim)] = lo->index[d];
  fst_kx src = kx_load_as(lo, 1, index, self->dtype);
  lo->value = kx_select(lo, kx_eq(lo, lo->index[dim], fst_lower_dim(lo, at)), src, fst_lower_load(lo, 0, lo->index));
}

void fst_lower_slice_scatter(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *self = fst_lower_type(lo, 0);
  fst_dim start, length, step;
  fst_kx index[FST_MAX_RANK];
  int dim;
  if (!fst_slice_read(&in, self, &dim, &start, &length, &step)) return;
  index_copy(lo, index, self->rank);
  fst_kx offset = kx_sub(lo, lo->index[dim], fst_lower_dim(lo, start)), stride = fst_lower_dim(lo, step);
  index[dim] = kx_div(lo, offset, stride);
  fst_kx inside = kx_and(lo, kx_le(lo, kx_int(lo, 0), offset), kx_lt(lo, index[dim], fst_lower_dim(lo, length)));
  if (!kx_is_int(lo, stride, 1)) inside = kx_and(lo, inside, kx_eq(lo, kx_rem(lo, offset, stride), kx_int(lo, 0)));
  lo->value = kx_select(lo, inside, kx_load_as(lo, 1, index, self->dtype), fst_lower_load(lo, 0, lo->index));
}

// Position on the diagonal `offset` of dims a and b, its condition, and the index without these two dims.
static fst_kx diagonal_at(fst_lower *lo, int rank, int a, int b, int64_t offset, fst_kx *rest, int *out_rest, fst_kx *out_at) {
  int count = 0;
  for (int d = 0; d < rank; d++)
    if (d != a && d != b) rest[count++] = lo->index[d];
  *out_rest = count;
  *out_at = offset < 0 ? lo->index[b] : lo->index[a];
  return kx_eq(lo, kx_sub(lo, lo->index[b], lo->index[a]), kx_int(lo, offset));
}

static bool diagonal_read(fst_infer *in, int rank, int64_t dim1, int64_t dim2, int64_t *offset, int *a, int *b) {
  if (!fst_args_int(in, "offset", 0, offset) || !fst_args_int(in, "dim1", dim1, &dim1) || !fst_args_int(in, "dim2", dim2, &dim2)) return false;
  *a = (int)(dim1 < 0 ? dim1 + rank : dim1);
  *b = (int)(dim2 < 0 ? dim2 + rank : dim2);
  return true;
}

void fst_lower_diag_embed(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *out = fst_lower_result_type(lo, 0);
  int a, b, count;
  int64_t offset;
  fst_kx rest[FST_MAX_RANK], at;
  if (!diagonal_read(&in, out->rank, -2, -1, &offset, &a, &b)) return;
  fst_kx on = diagonal_at(lo, out->rank, a, b, offset, rest, &count, &at);
  rest[count] = at;
  lo->value = kx_select(lo, on, fst_lower_load(lo, 0, rest), kx_zero(lo, out->dtype));
}

void fst_lower_diagonal_scatter(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *out = fst_lower_result_type(lo, 0);
  int a, b, count;
  int64_t offset;
  fst_kx rest[FST_MAX_RANK], at;
  if (!diagonal_read(&in, out->rank, 0, 1, &offset, &a, &b)) return;
  fst_kx on = diagonal_at(lo, out->rank, a, b, offset, rest, &count, &at);
  rest[count] = at;
  lo->value = kx_select(lo, on, kx_load_as(lo, 1, rest, out->dtype), fst_lower_load(lo, 0, lo->index));
}

// ---- shuffles ----
void fst_lower_pixel_shuffle(fst_lower *lo) {
  int rank = rank_of(lo, 0), c = rank - 3;
  fst_kx index[FST_MAX_RANK], r = fst_lower_scalar(lo, 1, FST_I64);
  index_copy(lo, index, rank);
  fst_kx row = kx_rem(lo, lo->index[c + 1], r), column = kx_rem(lo, lo->index[c + 2], r);
  index[c] = kx_add(lo, kx_mul(lo, kx_add(lo, kx_mul(lo, lo->index[c], r), row), r), column);
  index[c + 1] = kx_div(lo, lo->index[c + 1], r);
  index[c + 2] = kx_div(lo, lo->index[c + 2], r);
  lo->value = fst_lower_load(lo, 0, index);
}

void fst_lower_pixel_unshuffle(fst_lower *lo) {
  int rank = rank_of(lo, 0), c = rank - 3;
  fst_kx index[FST_MAX_RANK], r = fst_lower_scalar(lo, 1, FST_I64);
  index_copy(lo, index, rank);
  fst_kx pixel = kx_div(lo, lo->index[c], r);
  index[c] = kx_div(lo, pixel, r);
  index[c + 1] = kx_add(lo, kx_mul(lo, lo->index[c + 1], r), kx_rem(lo, pixel, r));
  index[c + 2] = kx_add(lo, kx_mul(lo, lo->index[c + 2], r), kx_rem(lo, lo->index[c], r));
  lo->value = fst_lower_load(lo, 0, index);
}

void fst_lower_channel_shuffle(fst_lower *lo) {
  int rank = rank_of(lo, 0);
  fst_kx index[FST_MAX_RANK], groups = fst_lower_scalar(lo, 1, FST_I64);
  fst_kx each = kx_div(lo, fst_lower_size(lo, 0, 1), groups);
  index_copy(lo, index, rank);
  index[1] = kx_add(lo, kx_mul(lo, kx_rem(lo, lo->index[1], groups), each), kx_div(lo, lo->index[1], groups));
  lo->value = fst_lower_load(lo, 0, index);
}
