// Result types of indexing: reading by index, writing by index, and what depends on data (nonzero).
#include <string.h>

#include "ir/args.h"
#include "ir/gather.h"
#include "ir/layout.h"
#include "ir/rows_structured.h"

static bool is_index(const fst_type_data *type) { return type->dtype == FST_I64 || type->dtype == FST_I32; }

// Constant `dim` wrapped for a tensor that may be 0-d (which counts as 1-d here); -1 after setting a message.
static int axis_of(fst_infer *in, const fst_type_data *x, int *out_status) {
  int64_t axis;
  *out_status = FST_INFER_UNKNOWN;
  if (!fst_args_int(in, "dim", 0, &axis)) return fst_infer_give_up(in, "dim is not a constant"), -1;
  int dim = fst_infer_wrap_dim(in, axis, x->rank ? x->rank : 1);
  if (dim < 0) *out_status = FST_INFER_RAISES;
  return dim;
}

// ---- along one dim ----
int fst_infer_index_select(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *index = fst_infer_tensor(in, 2);
  int status, dim;
  if (!x || !index) return FST_INFER_UNKNOWN;
  if ((dim = axis_of(in, x, &status)) < 0) return status;
  if (index->rank > 1) return fst_infer_raise(in, "index_select(): Index is supposed to be a vector");
  if (!is_index(index)) return fst_infer_raise(in, "index_select(): Expected dtype int32 or int64 for index");
  if (x->rank == 0) {
    fst_infer_set_tensor(in, 0, x->dtype, 0, NULL);
    return FST_INFER_OK;
  }
  fst_dim dims[FST_MAX_RANK];
  memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)x->rank);
  dims[dim] = index->rank ? index->dims[0] : fst_dim_const(in->dims, 1);
  fst_infer_set_tensor(in, 0, x->dtype, x->rank, dims);
  return FST_INFER_OK;
}

int fst_infer_gather(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *index = fst_infer_tensor(in, 2);
  int status, dim;
  if (!x || !index) return FST_INFER_UNKNOWN;
  if ((dim = axis_of(in, x, &status)) < 0) return status;
  bool empty = false;
  for (int d = 0; d < index->rank; d++) empty = empty || index->dims[d] == 0;
  if (!is_index(index) && !empty) return fst_infer_raise(in, "gather(): Expected dtype int32/int64 for index");
  if (empty) {  // whatever its rank
    fst_infer_set_tensor(in, 0, x->dtype, index->rank, index->dims);
    return FST_INFER_OK;
  }
  int x_rank = x->rank ? x->rank : 1, index_rank = index->rank ? index->rank : 1;
  if (x_rank != index_rank) return fst_infer_raise(in, "Index tensor must have the same number of dimensions as input tensor");
  for (int d = 0; d < index->rank && d < x->rank; d++)
    if (d != dim && !fst_infer_require_at_most(in, index->dims[d], x->dims[d], fst_arena_printf(
                        in->arena, "Size does not match at dimension %d expected index %s to be no larger than self %s apart from dimension %d", d,
                        fst_infer_shape_text(in, index->dims, index->rank), fst_infer_shape_text(in, x->dims, x->rank), dim)))
      return FST_INFER_RAISES;
  fst_infer_set_tensor(in, 0, x->dtype, index->rank, index->dims);
  return FST_INFER_OK;
}

int fst_infer_take(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *index = fst_infer_tensor(in, 1);
  if (!x || !index) return FST_INFER_UNKNOWN;
  if (index->dtype != FST_I64) return fst_infer_raise(in, "take(): Expected a long tensor for index, but got %s", fst_dtype_torch_name(index->dtype));
  fst_infer_set_tensor(in, 0, x->dtype, index->rank, index->dims);
  return FST_INFER_OK;
}

int fst_infer_embedding(fst_infer *in) {
  const fst_type_data *w = fst_infer_tensor(in, 0), *index = fst_infer_tensor(in, 1);
  if (!w || !index) return FST_INFER_UNKNOWN;
  if (w->rank != 2) return fst_infer_raise(in, "'weight' must be 2-D");
  if (!is_index(index)) return fst_infer_raise(in, "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.%sTensor instead (while checking arguments for embedding)", fst_dtype_word(index->dtype));
  fst_dim dims[FST_MAX_RANK];
  if (index->rank >= FST_MAX_RANK) return fst_infer_give_up(in, "too many dimensions");
  if (index->rank > 0) memcpy(dims, index->dims, sizeof(fst_dim) * (size_t)index->rank);
  dims[index->rank] = w->dims[1];
  fst_infer_set_tensor(in, 0, w->dtype, index->rank + 1, dims);
  return FST_INFER_OK;
}

int fst_infer_one_hot(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dim dims[FST_MAX_RANK], classes = fst_infer_int(in, 1);
  int64_t low, high;
  if (!x) return FST_INFER_UNKNOWN;
  if (x->dtype != FST_I64) return fst_infer_raise(in, "one_hot is only applicable to index tensor of type LongTensor.");
  if (!fst_dim_is_known(classes) || x->rank >= FST_MAX_RANK) return fst_infer_give_up(in, "the number of classes is not known");
  fst_dim_bounds(in->dims, classes, &low, &high);
  if (high == -1 && low == -1) return fst_infer_compose(in);
  if (high < 1) return fst_infer_raise(in, "num_classes should be positive");
  if (low < 0) return fst_infer_give_up(in, "the number of classes is not known");
  if (x->rank > 0) memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)x->rank);
  dims[x->rank] = classes;
  fst_infer_set_tensor(in, 0, FST_I64, x->rank + 1, dims);
  return FST_INFER_OK;
}

// ---- x[i, :, j] ----
static int index_items(fst_infer *in, fst_index_spec *spec) {
  fst_value_id items[FST_MAX_RANK];
  int count = fst_args_items(in, 1, items, FST_MAX_RANK), first = -1, last = -1;
  bool gap = false;
  if (count < 0) return fst_infer_give_up(in, "the indices are not known one by one");
  if (count > spec->rank) return fst_infer_raise(in, "too many indices for tensor of dimension %d (got %d)", spec->rank, count);
  for (int d = 0; d < spec->rank; d++) spec->item[d] = -1;
  for (int i = 0; i < count; i++) {
    if (fst_value_is_none(in->graph, items[i])) continue;
    const fst_type_data *type = fst_value_type_data(in->graph, items[i]);
    if (!type || type->kind != FST_TY_TENSOR || type->rank < 0 || type->dtype == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "an index is not known to be a tensor of a rank");
    if (type->dtype == FST_BOOL || type->dtype == FST_U8) return fst_infer_give_up(in, "an index is a mask");
    if (!is_index(type)) return fst_infer_raise(in, "tensors used as indices must be long, int, byte or bool tensors");
    gap |= last >= 0 && last != i - 1;
    if (first < 0) first = i;
    last = i;
    spec->item[i] = i;
    spec->type[i] = type;
  }
  if (first < 0) return fst_infer_give_up(in, "no index at all");
  spec->at = gap ? 0 : first;
  return FST_INFER_OK;
}

static int index_shape(fst_infer *in, fst_index_spec *spec) {
  spec->index_rank = 0;
  for (int d = 0; d < spec->rank; d++) {
    if (spec->item[d] < 0) continue;
    fst_dim joined[FST_MAX_RANK];
    int rank;
    if (!fst_infer_broadcast(in, spec->index_dims, spec->index_rank, spec->type[d]->dims, spec->type[d]->rank, joined, &rank)) {
      in->message = fst_arena_printf(in->arena, "shape mismatch: indexing tensors could not be broadcast together with shapes %s", fst_infer_shape_text(in, spec->type[d]->dims, spec->type[d]->rank));
      return FST_INFER_RAISES;
    }
    spec->index_rank = rank;
    if (rank > 0) memcpy(spec->index_dims, joined, sizeof(fst_dim) * (size_t)rank);
  }
  return FST_INFER_OK;
}

int fst_index_read(fst_infer *in, fst_index_spec *spec) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  if (!x) return FST_INFER_UNKNOWN;
  *spec = (fst_index_spec){.rank = x->rank};
  int status = index_items(in, spec);
  if (status == FST_INFER_OK) status = index_shape(in, spec);
  if (status != FST_INFER_OK) return status;
  int kept = 0;
  for (int d = 0; d < x->rank; d++) kept += spec->item[d] < 0;
  if (kept + spec->index_rank > FST_MAX_RANK) return fst_infer_give_up(in, "too many dimensions");
  for (int d = 0; d < x->rank; d++) {
    if (spec->item[d] >= 0) continue;
    if (spec->out_rank == spec->at) spec->out_rank += spec->index_rank;
    spec->out_dims[spec->out_rank++] = x->dims[d];
  }
  if (spec->out_rank < spec->at + spec->index_rank) spec->out_rank = spec->at + spec->index_rank;
  if (spec->index_rank > 0) memcpy(spec->out_dims + spec->at, spec->index_dims, sizeof(fst_dim) * (size_t)spec->index_rank);
  return FST_INFER_OK;
}

static bool has_mask(fst_infer *in) {
  fst_value_id items[FST_MAX_RANK];
  int count = fst_args_items(in, 1, items, FST_MAX_RANK);
  for (int i = 0; i < count; i++) {
    const fst_type_data *type = fst_value_type_data(in->graph, items[i]);
    if (type && type->kind == FST_TY_TENSOR && (type->dtype == FST_BOOL || type->dtype == FST_U8)) return true;
  }
  return false;
}

int fst_infer_index(fst_infer *in) {
  fst_index_spec spec;
  if (has_mask(in)) return fst_infer_compose(in);
  int status = fst_index_read(in, &spec);
  if (status != FST_INFER_OK) return status;
  fst_infer_set_tensor(in, 0, fst_infer_tensor(in, 0)->dtype, spec.out_rank, spec.out_dims);
  return FST_INFER_OK;
}

int fst_infer_index_put(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *values = fst_infer_tensor(in, 2);
  fst_index_spec spec;
  if (!x || !values) return FST_INFER_UNKNOWN;
  if (x->dtype != values->dtype)
    return fst_infer_raise(in, "Index put requires the source and destination dtypes match, got %s for the destination and %s for the source.",
                           fst_dtype_torch_name(x->dtype), fst_dtype_torch_name(values->dtype));
  if (has_mask(in)) return fst_infer_compose(in);
  int status = fst_index_read(in, &spec);
  if (status != FST_INFER_OK) return status;
  const char *text = fst_arena_printf(in->arena, "shape mismatch: value tensor of shape %s cannot be broadcast to indexing result of shape %s",
                                      fst_infer_shape_text(in, values->dims, values->rank), fst_infer_shape_text(in, spec.out_dims, spec.out_rank));
  if (values->rank > spec.out_rank) return fst_infer_raise(in, "%s", text);
  for (int i = 0; i < values->rank; i++)
    if (!fst_infer_require_fits(in, values->dims[i], spec.out_dims[spec.out_rank - values->rank + i], text)) return FST_INFER_RAISES;
  fst_infer_set_like(in, 0, x->dtype, x);
  return FST_INFER_OK;
}

// ---- writing along one dim: the result is like self ----
static int infer_like_self(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  if (!x) return FST_INFER_UNKNOWN;
  fst_infer_set_like(in, 0, x->dtype, x);
  return FST_INFER_OK;
}

int fst_infer_scatter(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *index = fst_infer_tensor(in, 2), *src = fst_infer_type(in, 3);
  int status, dim;
  if (!x || !index) return FST_INFER_UNKNOWN;
  if ((dim = axis_of(in, x, &status)) < 0) return status;
  if (!is_index(index)) return fst_infer_raise(in, "scatter(): Expected dtype int32/int64 for index");
  if (src && src->kind == FST_TY_TENSOR) {
    src = fst_infer_tensor(in, 3);
    if (!src) return FST_INFER_UNKNOWN;
    if (src->dtype != x->dtype) return fst_infer_raise(in, "scatter(): Expected self.dtype to be equal to src.dtype");
    if ((src->rank ? src->rank : 1) != (index->rank ? index->rank : 1)) return fst_infer_raise(in, "Index tensor must have the same number of dimensions as src tensor");
  }
  if ((x->rank ? x->rank : 1) != (index->rank ? index->rank : 1)) return fst_infer_raise(in, "Index tensor must have the same number of dimensions as self tensor");
  for (int d = 0; d < index->rank && d < x->rank; d++) {
    bool has_src = src && src->kind == FST_TY_TENSOR && d < src->rank;
    const char *text = fst_arena_printf(in->arena, "Expected index %s to be no larger than self %s apart from dimension %d", fst_infer_shape_text(in, index->dims, index->rank), fst_infer_shape_text(in, x->dims, x->rank), dim);
    if (has_src) text = fst_arena_printf(in->arena, "%s and to be no larger size than src %s", text, fst_infer_shape_text(in, src->dims, src->rank));
    if ((d != dim && !fst_infer_require_at_most(in, index->dims[d], x->dims[d], text)) || (has_src && !fst_infer_require_at_most(in, index->dims[d], src->dims[d], text))) return FST_INFER_RAISES;
  }
  return infer_like_self(in);
}

// What is written along `dim`: one slice of self an index.
static bool require_slices(fst_infer *in, const fst_type_data *x, int dim, const fst_type_data *index, const fst_type_data *source) {
  fst_dim count = index->rank ? index->dims[0] : fst_dim_const(in->dims, 1);
  fst_dim slices = source->rank ? source->dims[dim] : fst_dim_const(in->dims, 1);
  if (!fst_infer_require_equal(in, count, slices, fst_arena_printf(in->arena, "Number of indices (%s) should be equal to source.size(dim): (%s)", fst_infer_dim_text(in, count), fst_infer_dim_text(in, slices)))) return false;
  const char *text = fst_arena_printf(in->arena, "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = %s source.shape = %s",
                                      fst_infer_shape_text(in, x->dims, x->rank), fst_infer_shape_text(in, source->dims, source->rank));
  for (int d = 0; d < source->rank; d++)
    if (d != dim && !fst_infer_require_equal(in, x->dims[d], source->dims[d], text)) return false;
  return true;
}

int fst_infer_index_write(fst_infer *in) {  // index_add, index_copy, index_fill
  const fst_type_data *x = fst_infer_tensor(in, 0), *index = fst_infer_tensor(in, 2), *source = fst_infer_type(in, 3);
  int status, dim;
  if (!x || !index) return FST_INFER_UNKNOWN;
  if ((dim = axis_of(in, x, &status)) < 0) return status;
  if (index->rank > 1) return fst_infer_raise(in, "Index should have dimension 1 or 0 (got %d)", index->rank);
  if (!is_index(index)) return fst_infer_raise(in, "Expected a long tensor for index, but got %s", fst_dtype_torch_name(index->dtype));
  bool fills = source && (source->kind != FST_TY_TENSOR || strstr(fst_op_name(fst_node_get(in->graph, in->node)->op), "index_fill"));
  if (!fills) {
    source = fst_infer_tensor(in, 3);
    if (!source) return FST_INFER_UNKNOWN;
    if (source->dtype != x->dtype) return fst_infer_raise(in, "self and source expected to have the same dtype, but got (self) %s and (source) %s",
                                                          fst_dtype_torch_name(x->dtype), fst_dtype_torch_name(source->dtype));
    if (source->rank == x->rank && !require_slices(in, x, dim, index, source)) return FST_INFER_RAISES;
    if (source->rank != x->rank && (source->rank > 1 || x->rank > 1)) return fst_infer_raise(in, "source and self must have the same number of dimensions, got %d and %d", source->rank, x->rank);
  }
  return infer_like_self(in);
}

// ---- sizes that depend on data ----
int fst_infer_nonzero_static(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dim size = fst_args_dim(in, "size", FST_DIM_UNKNOWN);
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_dim_is_known(size)) return fst_infer_give_up(in, "the number of rows is not known");
  fst_dim one = fst_dim_const(in->dims, 1), dims[2] = {size, fst_dim_const(in->dims, x->rank)};
  if (fst_args_find(in, "fill_value") >= 0) fst_infer_set_tensor(in, 0, FST_I64, 2, dims);
  else fst_infer_set_strided(in, 0, FST_I64, 2, dims, (fst_dim[]){one, size});
  return FST_INFER_OK;
}

// ---- places in a sorted row ----
int fst_infer_searchsorted(fst_infer *in) {
  int sorted = fst_args_find(in, "sorted_sequence"), values = fst_args_find(in, "self");
  if (sorted < 0) sorted = fst_args_find(in, "boundaries");
  const fst_type_data *b = fst_infer_tensor(in, (uint32_t)sorted), *v = fst_infer_type(in, (uint32_t)values);
  bool narrow;
  if (!b) return FST_INFER_UNKNOWN;
  if (v && v->kind == FST_TY_TENSOR) v = fst_infer_tensor(in, (uint32_t)values);
  if (!v || !fst_args_bool(in, "out_int32", false, &narrow)) return fst_infer_give_up(in, "the values or their form are not known");
  fst_dtype dtype = narrow ? FST_I32 : FST_I64;
  if (v->kind != FST_TY_TENSOR) fst_infer_set_tensor(in, 0, dtype, 0, NULL);
  else fst_infer_set_tensor(in, 0, dtype, v->rank, v->dims);
  if (b->rank == 0) return fst_infer_raise(in, "boundaries tensor should have positive dimension");
  if (b->rank == 1) return FST_INFER_OK;
  if (v->kind != FST_TY_TENSOR || v->rank != b->rank)
    return fst_infer_raise(in, "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match");
  for (int d = 0; d + 1 < b->rank; d++)
    if (!fst_infer_require_equal(in, b->dims[d], v->dims[d], "torch.searchsorted(): the first N-1 dimensions of boundaries tensor and input value tensor must match")) return FST_INFER_RAISES;
  return FST_INFER_OK;
}
