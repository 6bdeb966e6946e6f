// Elements of normalised tensors: (x - mean) * rstd * weight + bias, with mean and rstd as reductions over the
// dims that share them. Two passes over x (mean, then squared differences), as accurate as PyTorch's.
#include <float.h>
#include <string.h>

#include "ir/args.h"
#include "ir/lower_build.h"
#include "ir/norm.h"
#include "ir/rows_structured.h"

enum { NORM_VARS = FST_MAX_RANK };
// The elements that share their statistics with the one at hand.
typedef struct norm_span {
  uint32_t count;
  fst_kx vars[NORM_VARS], extents[NORM_VARS];
  fst_kx index[FST_MAX_RANK];  // of x, in terms of vars
} norm_span;

typedef struct norm_stats {
  fst_kx mean, rstd;
} norm_stats;

static void span_dim(fst_lower *lo, norm_span *span, int dim) {
  fst_kx var = kx_var(lo);
  span->vars[span->count] = span->index[dim] = var;
  span->extents[span->count++] = fst_lower_size(lo, 0, (uint32_t)dim);
}

static fst_kx span_mean(fst_lower *lo, const norm_span *span, fst_kx body) {
  fst_kx n = kx_int(lo, 1);
  for (uint32_t i = 0; i < span->count; i++) n = kx_mul(lo, n, span->extents[i]);
  fst_kx sum = kx_sum(lo, span->vars, span->extents, span->count, body);
  return kx_div(lo, sum, kx_convert(lo, n, kx_dtype(lo, sum)));
}

static fst_kx reciprocal_root(fst_lower *lo, fst_kx variance, double eps) {
  fst_dtype dtype = kx_dtype(lo, variance);
  fst_kx root = fst_kx_prim1(lo->kernel, FST_PRIM_SQRT, kx_add(lo, variance, kx_number(lo, dtype, eps)));
  return kx_div(lo, kx_number(lo, dtype, 1.0), root);
}

// The same elements under variables of their own: a reduction inside another one binds its own.
static norm_span span_again(fst_lower *lo, const norm_span *span, int rank) {
  norm_span again = *span;
  uint32_t old[NORM_VARS];
  for (uint32_t i = 0; i < span->count; i++) {
    old[i] = fst_kx_get(lo->kernel, span->vars[i])->index;
    again.vars[i] = kx_var(lo);
  }
  for (int d = 0; d < rank; d++) again.index[d] = fst_kx_substitute(lo->kernel, span->index[d], old, again.vars, span->count);
  return again;
}

static norm_stats span_stats(fst_lower *lo, const norm_span *span, double eps) {
  norm_stats stats;
  norm_span again = span_again(lo, span, fst_lower_type(lo, 0)->rank);
  stats.mean = span_mean(lo, span, kx_load_wide(lo, 0, span->index));
  fst_kx difference = kx_sub(lo, kx_load_wide(lo, 0, again.index), stats.mean);
  stats.rstd = reciprocal_root(lo, span_mean(lo, &again, kx_mul(lo, difference, difference)), eps);
  return stats;
}

static bool has_named(fst_lower *lo, const fst_infer *in, const char *name) { return fst_lower_has_arg(lo, fst_args_find(in, name)); }

static fst_kx load_named(fst_lower *lo, const fst_infer *in, const char *name, const fst_kx *index, fst_dtype dtype) {
  return kx_load_as(lo, (uint32_t)fst_args_find(in, name), index, dtype);
}

// ((x - mean) * rstd) * weight + bias at lo->index; weights are indexed by `at`.
static void norm_finish(fst_lower *lo, const fst_infer *in, norm_stats stats, const fst_kx *at) {
  fst_dtype dtype = kx_dtype(lo, stats.rstd);
  fst_kx value = kx_convert(lo, fst_lower_load(lo, 0, lo->index), dtype);
  if (stats.mean.id) value = kx_sub(lo, value, stats.mean);
  value = kx_mul(lo, value, stats.rstd);
  if (has_named(lo, in, "weight")) value = kx_mul(lo, value, load_named(lo, in, "weight", at, dtype));
  if (has_named(lo, in, "bias")) value = kx_add(lo, value, load_named(lo, in, "bias", at, dtype));
  lower_finish(lo, value);
}

// Result 0 is the normalised tensor; native forms also give the statistics.
static void norm_result(fst_lower *lo, const fst_infer *in, norm_stats stats, const fst_kx *at) {
  if (lo->result == 1) lower_finish(lo, stats.mean);
  else if (lo->result == 2) lower_finish(lo, stats.rstd);
  else norm_finish(lo, in, stats, at);
}

static norm_span trailing_span(fst_lower *lo, int rank, int axis) {
  norm_span span = {0};
  for (int d = 0; d < axis; d++) span.index[d] = lo->index[d];
  for (int d = axis; d < rank; d++) span_dim(lo, &span, d);
  return span;
}

void fst_lower_layer_norm(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *x = fst_lower_type(lo, 0);
  int axis = fst_layer_norm_axis(&in, x);
  double eps;
  if (axis < 0 || !fst_args_float(&in, "eps", 1e-5, &eps)) return;
  norm_span span = trailing_span(lo, x->rank, axis);
  norm_result(lo, &in, span_stats(lo, &span, eps), lo->index + axis);
}

void fst_lower_rms_norm(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *x = fst_lower_type(lo, 0);
  int axis = fst_layer_norm_axis(&in, x);
  double eps, standard = x->dtype == FST_F64 ? DBL_EPSILON : FLT_EPSILON;  // of the dtype it is computed in
  if (axis < 0 || !fst_args_float(&in, "eps", standard, &eps)) return;
  norm_span span = trailing_span(lo, x->rank, axis);
  fst_kx value = kx_load_wide(lo, 0, span.index);
  norm_stats stats = {.rstd = reciprocal_root(lo, span_mean(lo, &span, kx_mul(lo, value, value)), eps)};
  norm_finish(lo, &in, stats, lo->index + axis);
}

void fst_lower_group_norm(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *x = fst_lower_type(lo, 0);
  int64_t groups;
  double eps;
  if (!fst_args_int(&in, fst_args_find(&in, "group") >= 0 ? "group" : "num_groups", 1, &groups) || !fst_args_float(&in, "eps", 1e-5, &eps)) return;
  fst_kx each = kx_div(lo, fst_lower_size(lo, 0, 1), kx_int(lo, groups));
  fst_kx group = lo->result ? lo->index[1] : kx_div(lo, lo->index[1], each);
  norm_span span = {0};
  span.index[0] = lo->index[0];
  span.vars[0] = kx_var(lo);
  span.extents[span.count++] = each;
  span.index[1] = kx_add(lo, kx_mul(lo, group, each), span.vars[0]);
  for (int d = 2; d < x->rank; d++) span_dim(lo, &span, d);
  norm_result(lo, &in, span_stats(lo, &span, eps), lo->index + 1);
}

// Kept statistics: x * scale + shift with scale and shift of the channel alone.
static void batch_norm_kept(fst_lower *lo, const fst_infer *in, double eps) {
  const fst_kx *at = lo->index + 1;
  fst_dtype dtype = fst_dtype_wide(fst_lower_type(lo, 0)->dtype);
  if (lo->result) {  // without elements
    lower_finish(lo, kx_zero(lo, dtype));
    return;
  }
  fst_kx scale = reciprocal_root(lo, load_named(lo, in, "running_var", at, dtype), eps);
  if (has_named(lo, in, "weight")) scale = kx_mul(lo, scale, load_named(lo, in, "weight", at, dtype));
  fst_kx shift = fst_kx_prim1(lo->kernel, FST_PRIM_NEG, kx_mul(lo, load_named(lo, in, "running_mean", at, dtype), scale));
  if (has_named(lo, in, "bias")) shift = kx_add(lo, shift, load_named(lo, in, "bias", at, dtype));
  lower_finish(lo, kx_add(lo, kx_mul(lo, kx_convert(lo, fst_lower_load(lo, 0, lo->index), dtype), scale), shift));
}

// Training that also updates running statistics is left to the fallback: its writes are not this op's result.
void fst_lower_batch_norm(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  bool from_input;
  double eps;
  if (!fst_batch_norm_read(&in, &from_input) || !fst_args_float(&in, "eps", 1e-5, &eps)) return;
  if (!from_input) {
    batch_norm_kept(lo, &in, eps);
    return;
  }
  if (has_named(lo, &in, "running_mean")) return;
  norm_span span = {0};
  span.index[1] = lo->result ? lo->index[0] : lo->index[1];
  for (int d = 0; d < fst_lower_type(lo, 0)->rank; d++)
    if (d != 1) span_dim(lo, &span, d);
  norm_result(lo, &in, span_stats(lo, &span, eps), lo->index + 1);
}

void fst_lower_instance_norm(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  bool from_input;
  double eps;
  if (!fst_batch_norm_read(&in, &from_input) || !fst_args_float(&in, "eps", 1e-5, &eps)) return;
  if (!from_input) {
    batch_norm_kept(lo, &in, eps);
    return;
  }
  if (has_named(lo, &in, "running_mean")) return;
  norm_span span = {0};
  span.index[0] = lo->index[0];
  span.index[1] = lo->index[1];
  for (int d = 2; d < fst_lower_type(lo, 0)->rank; d++) span_dim(lo, &span, d);
  norm_result(lo, &in, span_stats(lo, &span, eps), lo->index + 1);
}
