// Writes by index: the result starts as a copy of self, then a SCATTER statement goes over the source in row-major
// order, so that of two writes to one element the last one wins. An index out of range makes the call raise; until
// then it writes to element 0, and an empty target is not written at all.
#include <string.h>

#include "ir/args.h"
#include "ir/gather.h"
#include "ir/lower_build.h"
#include "ir/rows_structured.h"

static int rank_of(const fst_lower *lo, uint32_t arg) { return fst_lower_type(lo, arg)->rank; }

static uint32_t var_number(fst_lower *lo, fst_kx var) { return fst_kx_get(lo->kernel, var)->index; }

static int axis_of(fst_lower *lo, int rank) {
  fst_infer in = fst_infer_reader(lo);
  int64_t axis;
  if (!fst_args_int(&in, "dim", 0, &axis)) return -1;
  return (int)(axis < 0 ? axis + (rank ? rank : 1) : axis);
}

typedef struct space {
  uint32_t count;
  fst_kx vars[FST_MAX_RANK], extents[FST_MAX_RANK];
} space;

static space space_of(fst_lower *lo, int rank, const fst_dim *dims) {
  space s = {.count = (uint32_t)rank};
  for (int i = 0; i < rank; i++) {
    s.vars[i] = kx_var(lo);
    s.extents[i] = fst_lower_dim(lo, dims[i]);
  }
  return s;
}

static void result_starts_as_self(fst_lower *lo) {
  const fst_type_data *out = fst_lower_result_type(lo, 0);
  space s = space_of(lo, out->rank, out->dims);
  fst_kstore store = {fst_lower_result_buffer(lo, 0), fst_lower_load(lo, 0, s.vars), s.count, s.vars};
  fst_kernel_map(lo->kernel, s.vars, s.extents, s.count, &store, 1);
}

// result[indices] = combine(result[indices], value) over the space.
static void scatter(fst_lower *lo, const space *s, const fst_kx *indices, fst_kx value, fst_combine combine) {
  const fst_type_data *out = fst_lower_result_type(lo, 0);
  fst_kx zero = kx_int(lo, 0);
  fst_kstmt *stmt = fst_kernel_add_stmt(lo->kernel, FST_KSTMT_SCATTER, s->count ? s->count : 1, 1, 0);
  fst_kx empty = fst_kx_bool(lo->kernel, false);
  for (int d = 0; d < out->rank; d++) empty = kx_or(lo, empty, kx_eq(lo, fst_lower_dim(lo, out->dims[d]), zero));
  if (s->count == 0) {
    stmt->vars[0] = var_number(lo, kx_var(lo));
    stmt->extents[0] = kx_select(lo, empty, zero, kx_int(lo, 1));
  }
  for (uint32_t i = 0; i < s->count; i++) {
    stmt->vars[i] = var_number(lo, s->vars[i]);
    stmt->extents[i] = i ? s->extents[i] : kx_select(lo, empty, zero, s->extents[i]);
  }
  stmt->combine = combine;
  stmt->stores[0] = (fst_kstore){fst_lower_result_buffer(lo, 0), kx_convert(lo, value, out->dtype), (uint32_t)out->rank, NULL};
  stmt->stores[0].indices = FST_NEW_ARRAY(&lo->kernel->arena, fst_kx, out->rank + 1);
  if (out->rank > 0) memcpy(stmt->stores[0].indices, indices, sizeof *indices * (size_t)out->rank);
}

static const char *axis_text(fst_lower *lo, int dim) {
  return fst_arena_printf(&lo->kernel->arena, "index {} is out of bounds for dimension %d with size {}", dim);
}

static fst_kx size_along(fst_lower *lo, int dim) { return rank_of(lo, 0) ? fst_lower_size(lo, 0, (uint32_t)dim) : kx_int(lo, 1); }

static fst_kx clamped(fst_lower *lo, fst_kx index, fst_kx size) {
  return kx_select(lo, kx_in_bounds(lo, index, size), index, kx_int(lo, 0));
}

static fst_kx negated_from_end(fst_lower *lo, fst_kx index, fst_kx size) {
  return kx_select(lo, kx_lt(lo, index, kx_int(lo, 0)), kx_add(lo, index, size), index);
}

// ---- scatter: index and source have self's rank ----
static fst_kx source_value(fst_lower *lo, uint32_t arg, const fst_kx *at, fst_dtype dtype) {
  const fst_type_data *type = fst_lower_type(lo, arg);
  return type && type->kind == FST_TY_TENSOR ? kx_load_as(lo, arg, at, dtype) : fst_lower_scalar(lo, arg, dtype);
}

static bool scatter_places(fst_lower *lo, space *s, fst_kx *indices) {
  const fst_type_data *index = fst_lower_type(lo, 2);
  int rank = rank_of(lo, 0), dim = axis_of(lo, rank);
  if (dim < 0) return false;
  fst_kx size = size_along(lo, dim);
  fst_lower_check_index(lo, 2, -1, size, false, "builtins.RuntimeError", axis_text(lo, dim));
  *s = space_of(lo, index->rank, index->dims);
  for (int d = 0; d < rank; d++) indices[d] = d < index->rank ? s->vars[d] : kx_int(lo, 0);
  if (rank > 0) indices[dim] = clamped(lo, kx_load_as(lo, 2, s->vars, FST_I64), size);
  return true;
}

static void scatter_with(fst_lower *lo, fst_combine combine) {
  space s;
  fst_kx indices[FST_MAX_RANK];
  result_starts_as_self(lo);
  if (scatter_places(lo, &s, indices)) scatter(lo, &s, indices, source_value(lo, 3, s.vars, fst_lower_result_type(lo, 0)->dtype), combine);
}

static bool combine_of(const char *name, fst_combine *out) {
  static const struct { const char *name; fst_combine combine; } names[] = {
      {"sum", FST_COMBINE_ADD}, {"add", FST_COMBINE_ADD}, {"prod", FST_COMBINE_MUL}, {"multiply", FST_COMBINE_MUL},
      {"amax", FST_COMBINE_MAX}, {"amin", FST_COMBINE_MIN}};
  for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i].name, name)) return *out = names[i].combine, true;
  return false;
}

void fst_lower_scatter(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_combine combine = FST_COMBINE_SET;
  if (fst_args_find(&in, "reduce") >= 0 && !combine_of(fst_args_str(&in, "reduce"), &combine)) return;
  scatter_with(lo, combine);
}

void fst_lower_scatter_add(fst_lower *lo) { scatter_with(lo, FST_COMBINE_ADD); }

// What a reduction starts from where self does not take part.
static fst_kx combine_neutral(fst_lower *lo, fst_combine combine, fst_dtype dtype) {
  fst_kx none = kx_int(lo, 0), nothing;
  switch (combine) {
    case FST_COMBINE_ADD: return kx_zero(lo, dtype);
    case FST_COMBINE_MUL: return kx_number(lo, dtype, 1.0);
    default:
      nothing = fst_kx_reduce(lo->kernel, combine == FST_COMBINE_MAX ? FST_REDUCE_MAX : FST_REDUCE_MIN, (fst_kx[]){kx_var(lo)}, &none, 1, kx_zero(lo, dtype));
      return nothing;
  }
}

void fst_lower_scatter_reduce(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_combine combine;
  bool with_self;
  fst_dtype dtype = fst_lower_result_type(lo, 0)->dtype;
  if (!combine_of(fst_args_str(&in, "reduce"), &combine) || !fst_args_bool(&in, "include_self", true, &with_self)) return;
  result_starts_as_self(lo);
  for (int pass = with_self; pass < 2; pass++) {
    space s;
    fst_kx indices[FST_MAX_RANK];
    if (!scatter_places(lo, &s, indices)) return;
    if (pass == 0) scatter(lo, &s, indices, combine_neutral(lo, combine, dtype), FST_COMBINE_SET);
    else scatter(lo, &s, indices, source_value(lo, 3, s.vars, dtype), combine);
  }
}

// ---- along one dim: a vector of places, whole slices of the source ----
static void index_write(fst_lower *lo, fst_combine combine, int alpha) {
  const fst_type_data *x = fst_lower_type(lo, 0), *index = fst_lower_type(lo, 2);
  int dim = axis_of(lo, x->rank);
  if (dim < 0) return;
  fst_kx size = size_along(lo, dim), indices[FST_MAX_RANK], zero = kx_int(lo, 0);
  result_starts_as_self(lo);
  fst_lower_check_index(lo, 2, -1, size, combine == FST_COMBINE_SET && alpha == -2, "builtins.IndexError", "index out of range in self");
  fst_dim dims[FST_MAX_RANK], one = fst_dim_const(lo->graph->dims, 1);
  for (int d = 0; d < x->rank; d++) dims[d] = d != dim ? x->dims[d] : index->rank ? index->dims[0] : one;
  if (x->rank == 0) dims[0] = index->rank ? index->dims[0] : one;
  space s = space_of(lo, x->rank ? x->rank : 1, dims);
  fst_kx place = kx_load_as(lo, 2, index->rank ? &s.vars[dim] : NULL, FST_I64);
  memcpy(indices, s.vars, sizeof indices);
  if (x->rank > 0) indices[dim] = clamped(lo, negated_from_end(lo, place, size), size);
  const fst_type_data *source = fst_lower_type(lo, 3);
  bool is_tensor = source && source->kind == FST_TY_TENSOR;
  fst_kx value = source_value(lo, 3, is_tensor && source->rank == 0 ? &zero : s.vars, x->dtype);
  if (alpha >= 0) value = kx_mul(lo, value, fst_lower_scalar(lo, (uint32_t)alpha, x->dtype));
  scatter(lo, &s, indices, value, combine);
}

void fst_lower_index_add(fst_lower *lo) { index_write(lo, FST_COMBINE_ADD, 4); }
void fst_lower_index_copy(fst_lower *lo) { index_write(lo, FST_COMBINE_SET, -1); }
void fst_lower_index_fill(fst_lower *lo) { index_write(lo, FST_COMBINE_SET, -2); }

// ---- x[i, :, j] = values ----
void fst_lower_index_put(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_index_spec spec;
  bool accumulate;
  int status = fst_index_read(&in, &spec);
  fst_vec_free(&in.guards);
  if (status != FST_INFER_OK || !fst_args_bool(&in, "accumulate", false, &accumulate)) return;
  const fst_type_data *values = fst_lower_type(lo, 2);
  result_starts_as_self(lo);
  space s = space_of(lo, spec.out_rank, spec.out_dims);
  fst_kx target[FST_MAX_RANK], at[FST_MAX_RANK];
  int next = 0;
  for (int d = 0; d < spec.rank; d++) {
    if (spec.item[d] < 0) {
      if (next == spec.at) next += spec.index_rank;
      target[d] = s.vars[next++];
      continue;
    }
    fst_kx size = fst_lower_size(lo, 0, (uint32_t)d), where[FST_MAX_RANK];
    fst_lower_check_index(lo, 1, spec.item[d], size, true, "builtins.IndexError", axis_text(lo, d));
    for (int i = 0; i < spec.type[d]->rank; i++)
      where[i] = fst_lower_fit(lo, spec.type[d]->dims[i], spec.index_dims[spec.index_rank - spec.type[d]->rank + i], s.vars[spec.at + spec.index_rank - spec.type[d]->rank + i]);
    fst_kx index = kx_convert(lo, fst_lower_load_item(lo, 1, (uint32_t)spec.item[d], where), FST_I64);
    target[d] = clamped(lo, negated_from_end(lo, index, size), size);
  }
  for (int i = 0; i < values->rank; i++) at[i] = fst_lower_fit(lo, values->dims[i], spec.out_dims[spec.out_rank - values->rank + i], s.vars[spec.out_rank - values->rank + i]);
  scatter(lo, &s, target, fst_lower_load(lo, 2, at), accumulate ? FST_COMBINE_ADD : FST_COMBINE_SET);
}

// ---- coordinates of the elements that are not 0, row by row ----
// One walk over all elements with two carries: how many were found, and where the last one was. Every step writes
// the last one's coordinates to its row, so the steps in between change nothing; they are kept off an empty result.
static fst_kx is_nonzero(fst_lower *lo, fst_kx linear) {
  const fst_type_data *x = fst_lower_type(lo, 0);
  fst_kx index[FST_MAX_RANK];
  for (int d = x->rank; d-- > 0;) {
    fst_kx size = fst_lower_size(lo, 0, (uint32_t)d);
    index[d] = d ? kx_rem(lo, linear, size) : linear;
    linear = kx_div(lo, linear, size);
  }
  return kx_ne(lo, fst_lower_load(lo, 0, index), kx_zero(lo, x->dtype));
}

static void result_is_filled(fst_lower *lo, const fst_type_data *out, fst_kx fill) {
  space s = space_of(lo, out->rank, out->dims);
  fst_kstore store = {fst_lower_result_buffer(lo, 0), fill, s.count, s.vars};
  fst_kernel_map(lo->kernel, s.vars, s.extents, s.count, &store, 1);
}

void fst_lower_nonzero_static(fst_lower *lo) {
  const fst_type_data *x = fst_lower_type(lo, 0), *out = fst_lower_result_type(lo, 0);
  fst_kx zero = kx_int(lo, 0), one = kx_int(lo, 1), at = kx_var(lo), found = kx_var(lo), last = kx_var(lo);
  fst_kx rows = fst_lower_dim(lo, out->dims[0]), fill, count = one;
  fst_infer in = fst_infer_reader(lo);
  int fill_arg = fst_args_find(&in, "fill_value");
  fill = fill_arg < 0 ? zero : fst_lower_scalar(lo, (uint32_t)fill_arg, FST_I64);
  result_is_filled(lo, out, fill);
  if (x->rank == 0) return;  // rows without columns
  for (int d = 0; d < x->rank; d++) count = kx_mul(lo, count, fst_lower_size(lo, 0, (uint32_t)d));
  fst_kx take = kx_select(lo, kx_lt(lo, found, rows), is_nonzero(lo, at), fst_kx_bool(lo->kernel, false));
  fst_kx next[2] = {kx_select(lo, take, kx_add(lo, found, one), found), kx_select(lo, take, at, last)};
  fst_kx row = kx_max(lo, kx_sub(lo, found, one), zero), none_yet = kx_eq(lo, found, zero), rest = last;
  fst_kstmt *stmt = fst_kernel_add_stmt(lo->kernel, FST_KSTMT_SCAN, 1, (uint32_t)x->rank, 2);
  stmt->vars[0] = var_number(lo, at);
  stmt->extents[0] = kx_select(lo, kx_eq(lo, rows, zero), zero, count);
  for (int i = 0; i < 2; i++) {
    stmt->carries[i] = var_number(lo, i ? last : found);
    stmt->carry_init[i] = zero;
    stmt->carry_next[i] = next[i];
  }
  for (int d = x->rank; d-- > 0;) {
    fst_kx size = fst_lower_size(lo, 0, (uint32_t)d), coordinate = d ? kx_rem(lo, rest, size) : rest;
    fst_kx indices[2] = {row, kx_int(lo, d)};
    stmt->stores[d] = (fst_kstore){fst_lower_result_buffer(lo, 0), kx_select(lo, none_yet, fill, coordinate), 2, fst_arena_memdup(&lo->kernel->arena, indices, sizeof indices)};
    rest = kx_div(lo, rest, size);
  }
}
