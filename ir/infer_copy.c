// Result types of ops that move elements: joining, padding, repeating, rearranging, writing over.
#include <string.h>

#include "ir/args.h"
#include "ir/layout.h"
#include "ir/moves.h"
#include "ir/rows_structured.h"

// ---- joining ----
enum { JOIN_MAX = 256 };

static bool is_skipped(const fst_type_data *type) { return type->rank == 1 && type->dims[0] == 0; }

// A list may hold more or less at run time only where its items are not known; then nothing is inferred.
static int join_operands(fst_infer *in, const fst_type_data **types) {
  int count = fst_infer_tensor_list(in, 0, types, JOIN_MAX);
  for (int i = 0; i < count; i++)
    if (types[i]->rank < 0 || types[i]->dtype == FST_DTYPE_UNKNOWN) count = -1;
  if (count < 0) fst_infer_give_up(in, "the tensors to join are not known one by one");
  return count;
}

static fst_dtype dtype_promote(fst_dtype a, fst_dtype b) {
  fst_dtype_kind ka = fst_dtype_kind_of(a), kb = fst_dtype_kind_of(b);
  if (a == b) return a;
  if (ka == FST_KIND_COMPLEX || kb == FST_KIND_COMPLEX) return FST_DTYPE_UNKNOWN;
  if (ka == FST_KIND_FLOAT || kb == FST_KIND_FLOAT) {
    if (ka != FST_KIND_FLOAT) return b;
    if (kb != FST_KIND_FLOAT) return a;
    if (fst_dtype_size(a) == fst_dtype_size(b)) return FST_F32;  // f16 with bf16
    return fst_dtype_size(a) > fst_dtype_size(b) ? a : b;
  }
  if (ka == FST_KIND_BOOL) return b;
  if (kb == FST_KIND_BOOL) return a;
  if (ka == FST_KIND_UINT) return b == FST_I8 ? FST_I16 : b;
  if (kb == FST_KIND_UINT) return a == FST_I8 ? FST_I16 : a;
  return fst_dtype_size(a) > fst_dtype_size(b) ? a : b;
}

static bool join_agree(fst_infer *in, const fst_type_data *first, const fst_type_data *other, int dim, int number) {
  if (first->rank != other->rank) {
    in->message = fst_arena_printf(in->arena, "Tensors must have same number of dimensions: got %d and %d", first->rank, other->rank);
    return false;
  }
  for (int d = 0; d < first->rank; d++) {
    if (d == dim) continue;
    const char *text = fst_arena_printf(in->arena, "Sizes of tensors must match except in dimension %d. Expected size %s but got size %s for tensor number %d in the list.", dim,
                                        fst_infer_dim_text(in, first->dims[d]), fst_infer_dim_text(in, other->dims[d]), number);
    if (!fst_infer_require_equal(in, first->dims[d], other->dims[d], text)) return false;
  }
  return true;
}

static bool is_row_major(const fst_infer *in, fst_type type) {
  const fst_type_data *t = fst_type_get(in->types, type);
  bool open = t->has_strides;   // there but not known: whatever the sizes
  for (int d = 0; d < t->rank; d++) open = open && !fst_dim_is_known(t->strides[d]);
  return open || fst_type_is_contiguous(in->dims, in->types, type);
}

// A list whose length only the call can tell, of tensors that are alike: what they share, and a size that only the call
// can tell along the dimension. Tensors of images whose layout is not row-major would decide on the result's.
static int join_open(fst_infer *in, bool stacks) {
  const fst_type_data *list = fst_infer_type(in, 0), *t = fst_type_get(in->types, list->elem);
  int64_t axis;
  if (list->kind != FST_TY_LIST || t->kind != FST_TY_TENSOR || t->rank < 0 || t->dtype == FST_DTYPE_UNKNOWN || t->rank + stacks >= FST_MAX_RANK || (!stacks && !t->rank)) return FST_INFER_UNKNOWN;
  in->message = NULL;
  if (t->rank > 3 && !is_row_major(in, list->elem)) return FST_INFER_UNKNOWN;
  int rank = t->rank + stacks, dim = fst_args_int(in, "dim", 0, &axis) ? fst_infer_wrap_dim(in, axis, rank) : -1;
  fst_dim dims[FST_MAX_RANK];
  if (dim < 0) return in->message ? FST_INFER_RAISES : FST_INFER_UNKNOWN;
  for (int d = 0; d < rank; d++) {
    fst_dim known = d == dim ? FST_DIM_UNKNOWN : t->dims[d - (stacks && d > dim)];
    dims[d] = fst_dim_is_known(known) ? known : fst_infer_fresh(in);
  }
  fst_infer_set_tensor(in, 0, t->dtype, rank, dims);
  return FST_INFER_OK;
}

int fst_infer_cat(fst_infer *in) {
  const fst_type_data *types[JOIN_MAX], *first = NULL;
  int count = join_operands(in, types), format = -1;
  int64_t axis;
  if (count < 0) return join_open(in, false);
  if (count == 0) return fst_infer_raise(in, "torch.cat(): expected a non-empty list of Tensors");
  if (!fst_args_int(in, "dim", 0, &axis)) return fst_infer_give_up(in, "dim is not a constant");
  fst_dtype dtype = types[0]->dtype;
  for (int i = 0; i < count; i++) {
    dtype = dtype_promote(dtype, types[i]->dtype);
    if (types[i]->rank == 0) return fst_infer_raise(in, "zero-dimensional tensor (at position %d) cannot be concatenated", i);
    if (!first && !is_skipped(types[i])) first = types[i];
  }
  if (!first) first = types[0];
  if (dtype == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "complex tensors");
  int dim = fst_infer_wrap_dim(in, axis, first->rank);
  if (dim < 0) return FST_INFER_RAISES;
  fst_dim dims[FST_MAX_RANK];
  memcpy(dims, first->dims, sizeof(fst_dim) * (size_t)first->rank);
  dims[dim] = fst_dim_const(in->dims, 0);
  for (int i = 0; i < count; i++) {
    if (is_skipped(types[i]) && first->rank != 1) continue;
    if (!join_agree(in, first, types[i], dim, i)) return FST_INFER_RAISES;
    dims[dim] = fst_dim_add(in->dims, dims[dim], types[i]->dims[dim]);
    int own = fst_infer_format(in, types[i]);
    format = format < 0 || format == own ? own : FST_FORMAT_CONTIGUOUS;
  }
  fst_infer_set_format(in, 0, dtype, first->rank, dims, format < 0 ? FST_FORMAT_CONTIGUOUS : format);
  return FST_INFER_OK;
}

int fst_infer_stack(fst_infer *in) {
  const fst_type_data *types[JOIN_MAX];
  int count = join_operands(in, types);
  int64_t axis;
  if (count < 0) return join_open(in, true);
  if (count == 0) return fst_infer_raise(in, "stack expects a non-empty TensorList");
  if (!fst_args_int(in, "dim", 0, &axis)) return fst_infer_give_up(in, "dim is not a constant");
  int rank = types[0]->rank, dim = fst_infer_wrap_dim(in, axis, rank + 1);
  if (dim < 0) return FST_INFER_RAISES;
  fst_dtype dtype = types[0]->dtype;
  for (int i = 1; i < count; i++) {
    dtype = dtype_promote(dtype, types[i]->dtype);
    const char *text = fst_arena_printf(in->arena, "stack expects each tensor to be equal size, but got %s at entry 0 and %s at entry %d",
                                        fst_infer_shape_text(in, types[0]->dims, rank), fst_infer_shape_text(in, types[i]->dims, types[i]->rank), i);
    if (types[i]->rank != rank) return fst_infer_raise(in, "%s", text);
    for (int d = 0; d < rank; d++)
      if (!fst_infer_require_equal(in, types[0]->dims[d], types[i]->dims[d], text)) return FST_INFER_RAISES;
  }
  if (dtype == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "complex tensors");
  fst_dim dims[FST_MAX_RANK];
  if (rank >= FST_MAX_RANK) return fst_infer_give_up(in, "too many dimensions");
  for (int d = 0; d < rank; d++) dims[d + (d >= dim)] = types[0]->dims[d];
  dims[dim] = fst_dim_const(in->dims, count);
  fst_infer_set_tensor(in, 0, dtype, rank + 1, dims);
  return FST_INFER_OK;
}

// ---- padding ----
static fst_pad_mode pad_mode_of(const fst_infer *in) {
  const char *mode = fst_args_str(in, "mode"), *name = fst_op_name(fst_node_get(in->graph, in->node)->op);
  if (mode) {
    if (!strcmp(mode, "reflect")) return FST_PAD_REFLECT;
    if (!strcmp(mode, "replicate")) return FST_PAD_REPLICATE;
    return !strcmp(mode, "circular") ? FST_PAD_CIRCULAR : FST_PAD_CONSTANT;
  }
  if (strstr(name, "reflection")) return FST_PAD_REFLECT;
  return strstr(name, "replication") ? FST_PAD_REPLICATE : FST_PAD_CONSTANT;
}

bool fst_pad_read(fst_infer *in, fst_pad *p) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dim list[2 * FST_MAX_RANK];
  int count = fst_infer_int_list(in, 1, list, 2 * FST_MAX_RANK);
  if (!x) return false;
  if (count < 0) return in->message = "the padding is not known", false;
  p->mode = pad_mode_of(in);
  p->count = count / 2;
  if (count % 2 || p->count > x->rank) return in->message = "Length of pad should be no more than twice the number of dimensions of the input", false;
  p->first = x->rank - p->count;
  for (int i = 0; i < p->count; i++) {
    p->before[i] = list[2 * (p->count - 1 - i)];
    p->after[i] = list[2 * (p->count - 1 - i) + 1];
    if (!fst_dim_is_known(p->before[i]) || !fst_dim_is_known(p->after[i])) return in->message = "the padding is not known", false;
  }
  return true;
}

static bool pad_fits(fst_infer *in, const fst_pad *p, const fst_type_data *x) {
  if (p->mode != FST_PAD_REFLECT) return true;
  for (int i = 0; i < p->count; i++) {
    fst_dim size = x->dims[p->first + i];
    if (fst_dim_less(in->dims, p->before[i], size) != 0 && fst_dim_less(in->dims, p->after[i], size) != 0) continue;
    in->message = fst_arena_printf(in->arena, "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding at dimension %d of input %s",
                                   p->first + i, fst_infer_shape_text(in, x->dims, x->rank));
    return false;
  }
  return true;
}

int fst_infer_pad(fst_infer *in) {
  fst_pad p;
  if (!fst_pad_read(in, &p)) return FST_INFER_UNKNOWN;
  const fst_type_data *x = fst_infer_tensor(in, 0);
  if (!pad_fits(in, &p, x)) return FST_INFER_RAISES;
  fst_dim dims[FST_MAX_RANK];
  memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)x->rank);
  for (int i = 0; i < p.count; i++) {
    dims[p.first + i] = fst_dim_add(in->dims, dims[p.first + i], fst_dim_add(in->dims, p.before[i], p.after[i]));
    int64_t low, high;
    fst_dim_bounds(in->dims, dims[p.first + i], &low, &high);
    if (high < 0 || (p.mode != FST_PAD_CONSTANT && high < 1))
      return fst_infer_raise(in, "The input size %s, plus negative padding, resulted in a negative output size, which is invalid. Check dimension %d of your input.",
                             fst_infer_shape_text(in, x->dims, x->rank), p.first + i);
  }
  int format = p.mode == FST_PAD_CONSTANT || p.count == 2 ? fst_infer_format(in, x) : FST_FORMAT_CONTIGUOUS;
  fst_infer_set_format(in, 0, x->dtype, x->rank, dims, format);
  return FST_INFER_OK;
}

// ---- the same sizes, other places ----
int fst_infer_rearranged(fst_infer *in) {  // roll, flip
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int axes[FST_MAX_RANK];
  if (!x) return FST_INFER_UNKNOWN;
  int count = fst_args_axes(in, "dims", x->rank, axes);
  if (count < 0) return in->message && strstr(in->message, "out of range") ? FST_INFER_RAISES : fst_infer_give_up(in, "dims are not constants");
  fst_dim shifts[FST_MAX_RANK];
  if (fst_args_find(in, "shifts") >= 0) {
    int given = fst_infer_int_list(in, (uint32_t)fst_args_find(in, "shifts"), shifts, FST_MAX_RANK);
    if (given < 0) return fst_infer_give_up(in, "shifts are not known");
    if (given == 0) return fst_infer_raise(in, "`shifts` required");
    if (count ? given != count : given != 1) return fst_infer_raise(in, "shifts and dimensions must align. shifts: %d, dims:%d", given, count);
    fst_infer_set_tensor(in, 0, x->dtype, x->rank, x->dims);
    return FST_INFER_OK;
  }
  fst_infer_set_like(in, 0, x->dtype, x);
  return FST_INFER_OK;
}

int fst_infer_clone(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int64_t format;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_int(in, "memory_format", FST_FORMAT_PRESERVE, &format)) return fst_infer_give_up(in, "the memory format is not known");
  if (format == FST_FORMAT_PRESERVE) fst_infer_set_like(in, 0, x->dtype, x);
  else fst_infer_set_format(in, 0, x->dtype, x->rank, x->dims, (int)format);
  return FST_INFER_OK;
}

// ---- repeating ----
int fst_infer_repeat(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dim repeats[FST_MAX_RANK], dims[FST_MAX_RANK];
  if (!x) return FST_INFER_UNKNOWN;
  int count = fst_infer_int_list(in, 1, repeats, FST_MAX_RANK);
  if (count < 0) return fst_infer_give_up(in, "the repeats are not known");
  if (count < x->rank)
    return fst_infer_raise(in, "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor");
  for (int i = 0; i < count; i++) {
    int from = i - (count - x->rank);
    dims[i] = from < 0 ? repeats[i] : fst_dim_mul(in->dims, repeats[i], x->dims[from]);
    const char *text = fst_arena_printf(in->arena, "Trying to create tensor with negative dimension %s", fst_infer_dim_text(in, dims[i]));
    if (!fst_infer_require_at_least(in, repeats[i], 0, text)) return FST_INFER_RAISES;
  }
  fst_infer_set_tensor(in, 0, x->dtype, count, dims);
  return FST_INFER_OK;
}

int fst_infer_repeat_interleave(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dim dims[FST_MAX_RANK], repeats = fst_infer_int(in, 1);
  int64_t axis = 0;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_dim_is_known(repeats)) return fst_infer_give_up(in, "the repeats are not known");
  bool flat = !fst_args_has(in, "dim");
  if (!fst_args_int(in, "dim", 0, &axis)) return fst_infer_give_up(in, "dim is not a constant");
  if (!fst_infer_require_at_least(in, repeats, 0, "Repeats must be non-negative")) return FST_INFER_RAISES;
  int rank = flat ? 1 : x->rank, dim = flat ? 0 : fst_infer_wrap_dim(in, axis, x->rank);
  if (dim < 0) return FST_INFER_RAISES;
  if (flat) dims[0] = fst_shape_numel(in->dims, x->rank, x->dims);
  else memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)rank);
  if (rank == 0) {
    fst_infer_set_tensor(in, 0, x->dtype, 1, &repeats);
    return FST_INFER_OK;
  }
  dims[dim] = fst_dim_mul(in->dims, dims[dim], repeats);
  fst_infer_set_tensor(in, 0, x->dtype, rank, dims);
  return FST_INFER_OK;
}

// ---- writing over ----
static int infer_overwritten(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  fst_infer_set_like(in, 0, self->dtype, self);
  return FST_INFER_OK;
}

// `a` must broadcast to exactly the sizes of `to`.
static bool expands_to(fst_infer *in, const fst_type_data *a, int rank, const fst_dim *to) {
  for (int i = 0; i < a->rank; i++) {
    int d = rank - a->rank + i;
    fst_dim want = d < 0 ? fst_dim_const(in->dims, 1) : to[d];
    const char *text = fst_arena_printf(in->arena, "The size of tensor a (%s) must match the size of tensor b (%s) at non-singleton dimension %d",
                                        fst_infer_dim_text(in, want), fst_infer_dim_text(in, a->dims[i]), d < 0 ? 0 : d);
    if (!fst_infer_require_fits(in, a->dims[i], want, text)) return false;
  }
  return true;
}

int fst_infer_copy(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0), *src = fst_infer_tensor(in, 1);
  if (!self || !src) return FST_INFER_UNKNOWN;
  if (!expands_to(in, src, self->rank, self->dims)) return FST_INFER_RAISES;
  return infer_overwritten(in);
}

int fst_infer_copy_(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0), *src = fst_infer_tensor(in, 1);
  if (!self || !src) return FST_INFER_UNKNOWN;
  if (!expands_to(in, src, self->rank, self->dims)) return FST_INFER_RAISES;
  return fst_infer_inplace(in);
}

int fst_infer_fill(fst_infer *in) {
  const fst_type_data *value = fst_infer_arg_count(in) > 1 ? fst_infer_type(in, 1) : NULL;
  if (value && value->kind == FST_TY_TENSOR && value->rank > 0)
    return fst_infer_raise(in, "fill_ only supports 0-dimension value tensor but got tensor with %d dimensions.", value->rank);
  return infer_overwritten(in);
}

static bool select_scatter_fits(fst_infer *in, const fst_type_data *self, const fst_type_data *src) {
  int64_t axis;
  fst_dim index = fst_args_dim(in, "index", FST_DIM_UNKNOWN), sizes[FST_MAX_RANK];
  if (self->rank == 0 || !fst_args_int(in, "dim", 0, &axis) || !fst_dim_is_known(index)) return false;
  int dim = fst_infer_wrap_dim(in, axis, self->rank), kept = 0;
  if (dim < 0) return false;
  fst_dim size = self->dims[dim];
  const char *whole = fst_infer_shape_text(in, self->dims, self->rank);
  const char *text = fst_arena_printf(in->arena, "select(): index %s out of range for tensor of size %s at dimension %d", fst_infer_dim_text(in, index), whole, dim);
  for (int d = 0; d < self->rank; d++)
    if (d != dim) sizes[kept++] = self->dims[d];
  const char *other = fst_arena_printf(in->arena, "expected src to have a size equal to the slice of self. src size = %s, slice size = %s", fst_infer_shape_text(in, src->dims, src->rank), fst_infer_shape_text(in, sizes, kept));
  if (!fst_infer_require_at_most(in, fst_dim_sub(in->dims, fst_dim_const(in->dims, 0), size), index, text) ||
      !fst_infer_require_at_most(in, index, fst_dim_sub(in->dims, size, fst_dim_const(in->dims, 1)), text))
    return false;
  if (src->rank != kept) return in->message = other, false;
  for (int d = 0; d < kept; d++)
    if (!fst_infer_require_equal(in, src->dims[d], sizes[d], other)) return false;
  return true;
}

int fst_infer_part_scatter(fst_infer *in) {  // select_scatter, slice_scatter, diagonal_scatter
  const fst_type_data *self = fst_infer_tensor(in, 0), *src = fst_infer_tensor(in, 1);
  if (!self || !src) return FST_INFER_UNKNOWN;
  if (fst_args_find(in, "index") >= 0 && !select_scatter_fits(in, self, src)) return in->message ? FST_INFER_RAISES : FST_INFER_UNKNOWN;
  fst_infer_set_like(in, 0, self->dtype, self);
  return FST_INFER_OK;
}

bool fst_slice_read(fst_infer *in, const fst_type_data *x, int *out_dim, fst_dim *out_start, fst_dim *out_length, fst_dim *out_step) {
  int64_t axis;
  fst_dims *d = in->dims;
  fst_dim zero = fst_dim_const(d, 0), one = fst_dim_const(d, 1);
  if (!fst_args_int(in, "dim", 0, &axis) || (*out_dim = fst_infer_wrap_dim(in, axis, x->rank)) < 0) return false;
  fst_dim size = x->dims[*out_dim], start = fst_args_dim(in, "start", zero), end = fst_args_dim(in, "end", size), step = fst_args_dim(in, "step", one);
  if (!fst_dim_is_known(start) || !fst_dim_is_known(end) || !fst_dim_is_known(step)) return in->message = "the slice is not known", false;
  int64_t low, high;
  fst_dim_bounds(d, start, &low, &high);
  if (high < 0) start = fst_dim_add(d, start, size);
  else if (low < 0) return in->message = "the sign of a slice's start is not known", false;
  fst_dim_bounds(d, end, &low, &high);
  if (high < 0) end = fst_dim_add(d, end, size);
  else if (low < 0) return in->message = "the sign of a slice's end is not known", false;
  start = fst_dim_max(d, zero, fst_dim_min(d, start, size));
  end = fst_dim_max(d, start, fst_dim_min(d, end, size));
  *out_start = start;
  *out_step = step;
  *out_length = fst_dim_floordiv(d, fst_dim_sub(d, fst_dim_add(d, fst_dim_sub(d, end, start), step), one), step);
  return true;
}

// ---- shuffles ----
int fst_infer_pixel_shuffle(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  bool un = strstr(fst_op_name(fst_node_get(in->graph, in->node)->op), "unshuffle") != NULL;
  int64_t r;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_infer_const_int(in, 1, &r)) return fst_infer_give_up(in, "the factor is not a constant");
  if (x->rank < 3)
    return fst_infer_raise(in, "%s expects input to have at least 3 dimensions, but got input with %d dimension(s)", un ? "pixel_unshuffle" : "pixel_shuffle", x->rank);
  if (r <= 0) return fst_infer_raise(in, "%s expects a positive %s, but got %lld", un ? "pixel_unshuffle" : "pixel_shuffle", un ? "downscale_factor" : "upscale_factor", (long long)r);
  fst_dims *d = in->dims;
  fst_dim dims[FST_MAX_RANK], f = fst_dim_const(d, r), f2 = fst_dim_const(d, r * r), zero = fst_dim_const(d, 0);
  memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)x->rank);
  fst_dim *c = &dims[x->rank - 3];
  static const char *const parts[] = {"its input's 'channel' dimension", "height", "width"};
  for (int i = un ? 1 : 0; i < (un ? 3 : 1); i++) {
    const char *by = un ? "downscale_factor" : "the square of upscale_factor", *size = fst_infer_dim_text(in, c[i]);
    const char *text = fst_arena_printf(in->arena, "%s expects %s to be divisible by %s, but input.size(%d)=%s is not divisible by %lld", un ? "pixel_unshuffle" : "pixel_shuffle",
                                        parts[i], by, i - 3, size, (long long)(un ? r : r * r));
    if (!fst_infer_require_equal(in, fst_dim_mod(d, c[i], un ? f : f2), zero, text)) return FST_INFER_RAISES;
  }
  c[0] = un ? fst_dim_mul(d, c[0], f2) : fst_dim_floordiv(d, c[0], f2);
  for (int i = 1; i < 3; i++) c[i] = un ? fst_dim_floordiv(d, c[i], f) : fst_dim_mul(d, c[i], f);
  fst_infer_set_format(in, 0, x->dtype, x->rank, dims, fst_infer_format(in, x));
  return FST_INFER_OK;
}

int fst_infer_channel_shuffle(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int64_t groups;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_infer_const_int(in, 1, &groups)) return fst_infer_give_up(in, "groups is not a constant");
  if (x->rank < 3) return fst_infer_raise(in, "channel_shuffle expects input with > 2 dims, but got input with sizes %s", fst_infer_shape_text(in, x->dims, x->rank));
  if (groups <= 0) return fst_infer_raise(in, "Number of groups to divide channels in must be positive. Value of groups:%lld", (long long)groups);
  const char *text = fst_arena_printf(in->arena, "Number of channels must be divisible by groups. Got %s channels and %lld groups.", fst_infer_dim_text(in, x->dims[1]), (long long)groups);
  if (!fst_infer_require_equal(in, fst_dim_mod(in->dims, x->dims[1], fst_dim_const(in->dims, groups)), fst_dim_const(in->dims, 0), text)) return FST_INFER_RAISES;
  fst_infer_set_format(in, 0, x->dtype, x->rank, x->dims, fst_infer_format(in, x));
  return FST_INFER_OK;
}

int fst_infer_diag_embed(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int64_t offset, d1, d2;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_int(in, "offset", 0, &offset) || !fst_args_int(in, "dim1", -2, &d1) || !fst_args_int(in, "dim2", -1, &d2)) return fst_infer_give_up(in, "the diagonal is not a constant");
  if (x->rank < 1) return fst_infer_raise(in, "Dimension specified as -1 but tensor has no dimensions");
  int rank = x->rank + 1, a = fst_infer_wrap_dim(in, d1, rank), b = fst_infer_wrap_dim(in, d2, rank);
  if (a < 0 || b < 0) return FST_INFER_RAISES;
  if (a == b) return fst_infer_raise(in, "diagonal dimensions cannot be identical %lld, %lld", (long long)d1, (long long)d2);
  fst_dim dims[FST_MAX_RANK], size = fst_dim_add(in->dims, x->dims[x->rank - 1], fst_dim_const(in->dims, offset < 0 ? -offset : offset));
  for (int i = 0, from = 0; i < rank; i++) dims[i] = i == a || i == b ? size : x->dims[from++];
  fst_infer_set_tensor(in, 0, x->dtype, rank, dims);
  return FST_INFER_OK;
}
