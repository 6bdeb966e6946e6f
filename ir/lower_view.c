// Views as index maps: an element of the result is an element of operand 0 at a computed index.
#include <string.h>

#include "ir/args.h"
#include "ir/layout.h"
#include "ir/lower.h"
#include "ir/lower_build.h"
#include "ir/rows_basic.h"
#include "ir/view_internal.h"

static fst_dims *dims_of(const fst_lower *lo) { return lo->graph->dims; }

static fst_shape self_shape(const fst_lower *lo) { return fst_shape_of(dims_of(lo), fst_lower_type(lo, 0)); }

static void load_self(fst_lower *lo, const fst_kx *index) { lo->value = kx_load_as(lo, 0, index, fst_lower_result_type(lo, 0)->dtype); }

// The same element, converted where the op converts.
void fst_lower_same(fst_lower *lo) { load_self(lo, lo->index); }

void fst_lower_bits(fst_lower *lo) {
  if (fst_dtype_is_complex(fst_lower_type(lo, 0)->dtype) != fst_dtype_is_complex(fst_lower_result_type(lo, 0)->dtype)) return;
  fst_kx value = fst_lower_load(lo, 0, lo->index);
  if (value.id) lo->value = fst_kx_bitcast(lo->kernel, value, fst_lower_result_type(lo, 0)->dtype);
}

void fst_lower_expand(fst_lower *lo) { lo->value = fst_lower_broadcast(lo, 0); }

// ---- reshape ---------------------------------------------------------------------------------------
//
// Dims are matched in groups of equal products, from the right, so that a split or a merge of dims stays
// affine and only what really changes divides: [a, b, c] -> [a, b*c] is (i0, i1 / c, i1 % c), never a
// division by c*b.

static bool dim_is_one(const fst_lower *lo, fst_dim d) {
  int64_t value;
  return fst_dim_is_const(dims_of(lo), d, &value) && value == 1;
}

// Row-major position of the result's dims [from, to) in their group.
static fst_kx group_position(fst_lower *lo, const fst_type_data *result, int from, int to) {
  fst_kx position = FST_NO_KX;
  for (int i = from; i < to; i++) {
    if (dim_is_one(lo, result->dims[i])) continue;
    fst_kx here = lo->index[i];
    position = position.id ? kx_add(lo, kx_mul(lo, position, fst_lower_dim(lo, result->dims[i])), here) : here;
  }
  return position.id ? position : kx_int(lo, 0);
}

// Splits a position over the operand's dims [from, to).
static void group_split(fst_lower *lo, const fst_type_data *self, int from, int to, fst_kx position, fst_kx *index) {
  int first = from;
  while (first < to && dim_is_one(lo, self->dims[first])) first++;
  for (int i = to - 1; i >= from; i--) {
    index[i] = kx_int(lo, 0);
    if (i < first || dim_is_one(lo, self->dims[i])) continue;
    fst_kx size = fst_lower_dim(lo, self->dims[i]);
    index[i] = i == first ? position : kx_rem(lo, position, size);
    if (i > first) position = kx_div(lo, position, size);
  }
}

static void reshape_index(fst_lower *lo, const fst_type_data *self, const fst_type_data *result, fst_kx *index) {
  fst_dims *dims = dims_of(lo);
  int a = self->rank, b = result->rank;
  while (a > 0 || b > 0) {
    int a_end = a, b_end = b;
    fst_dim a_size = fst_dim_const(dims, 1), b_size = a_size;
    do {
      bool take_a = b == 0 || (a > 0 && fst_dim_typical(dims, a_size) <= fst_dim_typical(dims, b_size));
      if (take_a) a--, a_size = fst_dim_mul(dims, a_size, self->dims[a]);
      else b--, b_size = fst_dim_mul(dims, b_size, result->dims[b]);
    } while ((a > 0 || b > 0) && fst_dim_equal(dims, a_size, b_size) != 1);
    group_split(lo, self, a, a_end, group_position(lo, result, b, b_end), index);
  }
}

void fst_lower_reshape(fst_lower *lo) {
  const fst_type_data *self = fst_lower_type(lo, 0), *result = fst_lower_result_type(lo, 0);
  fst_kx index[FST_MAX_RANK];
  for (int i = 0; i < result->rank; i++) {
    int64_t size;
    if (!fst_dim_is_const(dims_of(lo), result->dims[i], &size) || size != 0) continue;
    lo->value = kx_zero(lo, result->dtype);  // no element: keeps divisions by 0 out of the kernel
    return;
  }
  reshape_index(lo, self, result, index);
  load_self(lo, index);
}

// ---- orders and parts ------------------------------------------------------------------------------

// Runs a reader of view parameters, which may note guards that inference has placed already.
static bool reader_ok(fst_infer *in, int result) {
  fst_vec_free(&in->guards);
  return result == FST_INFER_OK;
}

void fst_lower_permute(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_kx index[FST_MAX_RANK];
  int order[FST_MAX_RANK], rank = fst_lower_type(lo, 0)->rank;
  if (!reader_ok(&in, fst_view_order(&in, rank, order))) return;
  for (int i = 0; i < rank; i++) index[order[i]] = lo->index[i];
  load_self(lo, index);
}

static bool reader_dim(fst_lower *lo, uint32_t arg, int rank, int *out) {
  int64_t dim;
  if (!fst_lower_const_int(lo, arg, &dim) || rank == 0) return false;
  *out = (int)(dim < 0 ? dim + rank : dim);
  return *out >= 0 && *out < rank;
}

// An index that may count from the end.
static fst_kx index_from_front(fst_lower *lo, fst_kx value, fst_kx size) {
  return kx_select(lo, kx_lt(lo, value, kx_int(lo, 0)), kx_add(lo, value, size), value);
}

void fst_lower_select(fst_lower *lo) {
  fst_kx index[FST_MAX_RANK];
  int dim, rank = fst_lower_type(lo, 0)->rank;
  if (!reader_dim(lo, 1, rank, &dim)) return;
  for (int i = 0; i < rank; i++)
    if (i != dim) index[i] = lo->index[i < dim ? i : i - 1];
  index[dim] = index_from_front(lo, fst_lower_scalar(lo, 2, FST_I64), fst_lower_size(lo, 0, (uint32_t)dim));
  load_self(lo, index);
}

static void load_part(fst_lower *lo, const fst_view_part *part) {
  fst_kx index[FST_MAX_RANK];
  if (!fst_dim_is_known(part->start) || !fst_dim_is_known(part->step)) return;
  memcpy(index, lo->index, sizeof(fst_kx) * (size_t)fst_lower_type(lo, 0)->rank);
  fst_kx step = fst_lower_dim(lo, part->step), start = fst_lower_dim(lo, part->start);
  index[part->dim] = kx_add(lo, kx_mul(lo, index[part->dim], step), start);
  load_self(lo, index);
}

void fst_lower_slice(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_shape shape = self_shape(lo);
  fst_view_part part;
  if (reader_ok(&in, fst_view_slice_part(&in, &shape, &part))) load_part(lo, &part);
}

void fst_lower_narrow(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_shape shape = self_shape(lo);
  fst_view_part part;
  if (reader_ok(&in, fst_view_narrow_part(&in, &shape, &part))) load_part(lo, &part);
}

void fst_lower_diagonal(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_shape shape = self_shape(lo);
  fst_view_diagonal part;
  fst_kx index[FST_MAX_RANK];
  int next = 0;
  if (!reader_ok(&in, fst_view_diagonal_part(&in, &shape, &part))) return;
  for (int i = 0; i < shape.rank; i++)
    if (i != part.dim1 && i != part.dim2) index[i] = lo->index[next++];
  fst_kx at = lo->index[next];
  index[part.dim1] = kx_add(lo, at, kx_int(lo, part.offset < 0 ? -part.offset : 0));
  index[part.dim2] = kx_add(lo, at, kx_int(lo, part.offset > 0 ? part.offset : 0));
  load_self(lo, index);
}

void fst_lower_unfold_view(fst_lower *lo) {
  fst_kx index[FST_MAX_RANK];
  int dim, rank = fst_lower_type(lo, 0)->rank;
  if (rank == 0) {
    load_self(lo, NULL);
    return;
  }
  if (!reader_dim(lo, 1, rank, &dim)) return;
  memcpy(index, lo->index, sizeof(fst_kx) * (size_t)rank);
  fst_kx step = fst_lower_scalar(lo, 3, FST_I64);
  index[dim] = kx_add(lo, kx_mul(lo, index[dim], step), lo->index[rank]);
  load_self(lo, index);
}

// Only over a contiguous operand is the element at a storage position known by its index.
void fst_lower_as_strided(fst_lower *lo) {
  fst_shape shape = self_shape(lo);
  fst_dim strides[FST_MAX_RANK], offset;
  fst_kx index[FST_MAX_RANK];
  const fst_type_data *result = fst_lower_result_type(lo, 0);
  int rank = fst_lower_int_list(lo, 2, strides, FST_MAX_RANK);
  bool is_known = fst_view_start(lo->graph, lo->node, &offset);
  if (rank != result->rank || !is_known || !fst_shape_is_contiguous(dims_of(lo), &shape)) return;
  fst_kx position = fst_lower_dim(lo, offset);
  for (int i = 0; i < rank; i++) position = kx_add(lo, position, kx_mul(lo, lo->index[i], fst_lower_dim(lo, strides[i])));
  group_split(lo, fst_lower_type(lo, 0), 0, shape.rank, position, index);
  load_self(lo, index);
}
