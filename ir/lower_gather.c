// Elements found by index. An index that is out of range makes the call raise (fst_lower_check_index) and reads
// nothing in the meantime: the load stands in a select.
#include <string.h>

#include "ir/args.h"
#include "ir/gather.h"
#include "ir/lower_build.h"
#include "ir/rows_structured.h"

static int rank_of(const fst_lower *lo, uint32_t arg) { return fst_lower_type(lo, arg)->rank; }

static int axis_of(fst_lower *lo, int rank) {
  fst_infer in = fst_infer_reader(lo);
  int64_t axis;
  if (!fst_args_int(&in, "dim", 0, &axis)) return -1;
  return (int)(axis < 0 ? axis + (rank ? rank : 1) : axis);
}

static fst_kx load_index(fst_lower *lo, uint32_t arg, const fst_kx *at) { return kx_load_as(lo, arg, at, FST_I64); }

// Counts a negative index from the end.
static fst_kx from_end(fst_lower *lo, fst_kx index, fst_kx size) {
  return kx_select(lo, kx_lt(lo, index, kx_int(lo, 0)), kx_add(lo, index, size), index);
}

static fst_kx load_if(fst_lower *lo, fst_kx valid, uint32_t arg, const fst_kx *index) {
  return kx_select(lo, valid, fst_lower_load(lo, arg, index), kx_zero(lo, fst_lower_type(lo, arg)->dtype));
}

static const char *axis_text(fst_lower *lo, int dim) {
  return fst_arena_printf(&lo->kernel->arena, "index {} is out of bounds for dimension %d with size {}", dim);
}

// ---- along one dim ----
void fst_lower_index_select(fst_lower *lo) {
  int rank = rank_of(lo, 0), dim = axis_of(lo, rank);
  fst_kx index[FST_MAX_RANK], zero = kx_int(lo, 0), size = rank ? fst_lower_size(lo, 0, (uint32_t)dim) : kx_int(lo, 1);
  if (dim < 0) return;
  fst_lower_check_index(lo, 2, -1, size, false, "builtins.IndexError", "index out of range in self");
  if (rank > 0) memcpy(index, lo->index, sizeof *index * (size_t)rank);
  fst_kx at = rank_of(lo, 2) == 0 ? load_index(lo, 2, NULL) : load_index(lo, 2, rank ? &lo->index[dim] : &zero);
  if (rank > 0) index[dim] = at;
  lo->value = load_if(lo, kx_in_bounds(lo, at, size), 0, index);
}

void fst_lower_gather(fst_lower *lo) {
  int rank = rank_of(lo, 0), dim = axis_of(lo, rank), index_rank = rank_of(lo, 2);
  fst_kx index[FST_MAX_RANK], size = rank ? fst_lower_size(lo, 0, (uint32_t)dim) : kx_int(lo, 1);
  if (dim < 0) return;
  if (index_rank && rank && index_rank != rank) {  // legal for an empty index only
    lo->value = kx_zero(lo, fst_lower_result_type(lo, 0)->dtype);
    return;
  }
  fst_lower_check_index(lo, 2, -1, size, false, "builtins.RuntimeError", axis_text(lo, dim));
  fst_kx at = load_index(lo, 2, lo->index);
  for (int d = 0; d < rank; d++) index[d] = d == dim ? at : index_rank ? lo->index[d] : kx_int(lo, 0);
  lo->value = load_if(lo, kx_in_bounds(lo, at, size), 0, index);
}

void fst_lower_take(fst_lower *lo) {
  const fst_type_data *x = fst_lower_type(lo, 0);
  fst_kx index[FST_MAX_RANK], count = kx_int(lo, 1);
  for (int d = 0; d < x->rank; d++) count = kx_mul(lo, count, fst_lower_size(lo, 0, (uint32_t)d));
  fst_lower_check_index(lo, 1, -1, count, true, "builtins.IndexError", "out of range: tried to access index {} on a tensor of {} elements.");
  fst_kx linear = from_end(lo, load_index(lo, 1, lo->index), count), valid = kx_in_bounds(lo, linear, count);
  for (int d = x->rank; d-- > 0;) {
    fst_kx size = fst_lower_size(lo, 0, (uint32_t)d);
    index[d] = d ? kx_rem(lo, linear, size) : linear;
    linear = kx_div(lo, linear, size);
  }
  lo->value = load_if(lo, valid, 0, index);
}

void fst_lower_embedding(fst_lower *lo) {
  int rank = rank_of(lo, 1);
  fst_kx size = fst_lower_size(lo, 0, 0), at = load_index(lo, 1, lo->index);
  fst_lower_check_index(lo, 1, -1, size, false, "builtins.IndexError", "index out of range in self");
  lo->value = load_if(lo, kx_in_bounds(lo, at, size), 0, (fst_kx[]){at, lo->index[rank]});
}

void fst_lower_one_hot(fst_lower *lo) {
  int rank = rank_of(lo, 0);
  fst_kx classes = fst_lower_scalar(lo, 1, FST_I64);
  fst_lower_check_index(lo, 0, -1, classes, false, "builtins.RuntimeError", "Class values must be non-negative and smaller than num_classes.");
  lo->value = kx_convert(lo, kx_eq(lo, fst_lower_load(lo, 0, lo->index), lo->index[rank]), FST_I64);
}

// ---- x[i, :, j] ----
static fst_kx spec_index(fst_lower *lo, const fst_index_spec *spec, int dim, const fst_kx *block) {
  const fst_type_data *type = spec->type[dim];
  fst_kx at[FST_MAX_RANK];
  for (int i = 0; i < type->rank; i++) at[i] = type->dims[i] == 1 ? kx_int(lo, 0) : block[spec->index_rank - type->rank + i];
  return kx_convert(lo, fst_lower_load_item(lo, 1, (uint32_t)spec->item[dim], at), FST_I64);
}

// Index into x for the result's index, with its condition; asks for the checks.
static fst_kx spec_source(fst_lower *lo, const fst_index_spec *spec, const fst_kx *out, fst_kx *source) {
  fst_kx valid = fst_kx_bool(lo->kernel, true);
  int at = 0;
  for (int d = 0; d < spec->rank; d++) {
    if (spec->item[d] < 0) {
      if (at == spec->at) at += spec->index_rank;
      source[d] = out[at++];
      continue;
    }
    fst_kx size = fst_lower_size(lo, 0, (uint32_t)d);
    fst_lower_check_index(lo, 1, spec->item[d], size, true, "builtins.IndexError", axis_text(lo, d));
    source[d] = from_end(lo, spec_index(lo, spec, d, out + spec->at), size);
    valid = kx_and(lo, valid, kx_in_bounds(lo, source[d], size));
  }
  return valid;
}

void fst_lower_index(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_index_spec spec;
  fst_kx source[FST_MAX_RANK];
  int status = fst_index_read(&in, &spec);
  fst_vec_free(&in.guards);
  if (status != FST_INFER_OK) return;
  fst_kx valid = spec_source(lo, &spec, lo->index, source);
  lo->value = load_if(lo, valid, 0, source);
}

// ---- places in a sorted row: how many boundaries come before the value ----
typedef struct sorted_row {
  uint32_t arg;
  int sorter;                   // operand that says in which order the row is sorted, or -1
  int rank;
  bool right;
  fst_kx value, at[FST_MAX_RANK];
  fst_dtype dtype;
} sorted_row;

// NaN sorts last: a boundary comes before unless it is proven not to.
static fst_kx comes_before(fst_lower *lo, sorted_row *row, fst_kx place) {
  row->at[row->rank - 1] = place;
  fst_kx size = fst_lower_size(lo, row->arg, (uint32_t)row->rank - 1), boundary;
  if (row->sorter >= 0) {
    fst_kx from = load_index(lo, (uint32_t)row->sorter, row->at);
    row->at[row->rank - 1] = kx_select(lo, kx_in_bounds(lo, from, size), from, kx_int(lo, 0));
  }
  boundary = kx_load_as(lo, row->arg, row->at, row->dtype);
  return kx_not(lo, row->right ? kx_lt(lo, row->value, boundary) : kx_le(lo, row->value, boundary));
}

enum { SEARCH_UNROLL = 1 << 24 };

// Binary search without branches: each step takes the upper half if its lower neighbour still comes before.
static fst_kx search_steps(fst_lower *lo, sorted_row *row, int64_t size) {
  fst_kx place = kx_int(lo, 0);
  int64_t step = 1;
  while (step * 2 <= size) step *= 2;
  for (; size > 0 && step > 0; step /= 2) {
    fst_kx next = kx_add(lo, place, kx_int(lo, step));
    fst_kx fits = kx_le(lo, next, kx_int(lo, size));
    fst_kx before = comes_before(lo, row, kx_sub(lo, next, kx_int(lo, 1)));
    place = kx_select(lo, kx_select(lo, fits, before, fst_kx_bool(lo->kernel, false)), next, place);
  }
  return place;
}

void fst_lower_searchsorted(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  int sorted = fst_args_find(&in, "sorted_sequence"), values = fst_args_find(&in, "self");
  sorted_row row = {.arg = (uint32_t)(sorted < 0 ? fst_args_find(&in, "boundaries") : sorted)};
  const char *side = fst_args_str(&in, "side");
  if (!fst_args_bool(&in, "right", false, &row.right)) return;
  row.sorter = fst_args_has(&in, "sorter") ? fst_args_find(&in, "sorter") : -1;
  if (row.sorter >= 0)
    fst_lower_check_index(lo, (uint32_t)row.sorter, -1, fst_lower_size(lo, row.arg, (uint32_t)fst_lower_type(lo, row.arg)->rank - 1), false, "builtins.RuntimeError",
                          "torch.searchsorted(): sorter index out of range");
  if (side) row.right = !strcmp(side, "right");
  const fst_type_data *b = fst_lower_type(lo, row.arg), *v = fst_lower_type(lo, (uint32_t)values);
  bool is_tensor = v && v->kind == FST_TY_TENSOR;
  row.rank = b->rank;
  row.dtype = fst_dtype_is_float(b->dtype) || (is_tensor && !fst_dtype_is_float(v->dtype)) ? fst_dtype_wide(b->dtype) : is_tensor ? fst_dtype_wide(v->dtype) : FST_F64;
  if (is_tensor && v->dtype == FST_F64) row.dtype = FST_F64;
  row.value = is_tensor ? kx_convert(lo, fst_lower_load(lo, (uint32_t)values, lo->index), row.dtype) : fst_lower_scalar(lo, (uint32_t)values, row.dtype);
  for (int d = 0; d + 1 < row.rank; d++) row.at[d] = lo->index[d];
  fst_kx size = fst_lower_size(lo, row.arg, (uint32_t)row.rank - 1), count;
  int64_t constant;
  if (fst_kx_is_int(lo->kernel, size, &constant) && constant <= SEARCH_UNROLL) {
    count = search_steps(lo, &row, constant);
  } else {
    fst_kx k = kx_var(lo);
    count = kx_sum(lo, &k, &size, 1, kx_convert(lo, comes_before(lo, &row, k), FST_I64));
  }
  lower_finish(lo, count);
}
