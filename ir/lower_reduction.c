// Reductions: REDUCE expressions over the reduced dims; scans: statements with carries.
#include <math.h>
#include <string.h>

#include "ir/args.h"
#include "ir/lower.h"
#include "ir/lower_build.h"
#include "ir/reduction_internal.h"
#include "ir/rows_basic.h"

// One reduction over the reduced dims of operand 0, at the result's index.
typedef struct reducer {
  fst_reduction red;
  fst_dtype wide;                      // dtype to compute in
  fst_kx index[FST_MAX_RANK];          // of operand 0: variables for the reduced dims
  fst_kx vars[FST_MAX_RANK], extents[FST_MAX_RANK];
  uint32_t count;
} reducer;

static fst_dtype result_dtype(const fst_lower *lo) { return fst_lower_result_type(lo, lo->result)->dtype; }

static bool reducer_read(fst_lower *lo, reducer *r) {
  fst_infer in = fst_infer_reader(lo);
  int result = fst_reduction_read(&in, &r->red);
  fst_vec_free(&in.guards);
  return result == FST_INFER_OK;
}

// Fresh variables for the reduced dims, so that one lowering can reduce several times.
static void reducer_vars(fst_lower *lo, reducer *r) {
  int at = 0;
  r->count = 0;
  for (int i = 0; i < r->red.rank; i++) {
    if (r->red.reduced[i]) {
      r->vars[r->count] = r->index[i] = kx_var(lo);
      r->extents[r->count++] = fst_lower_size(lo, 0, (uint32_t)i);
      at += r->red.keepdim;
    } else {
      r->index[i] = lo->index[at++];
    }
  }
}

static bool reducer_init(fst_lower *lo, reducer *r, fst_dtype dtype) {
  if (!reducer_read(lo, r)) return false;
  r->wide = fst_dtype_wide(dtype);
  reducer_vars(lo, r);
  return true;
}

static fst_kx reducer_load(fst_lower *lo, const reducer *r) { return kx_load_as(lo, 0, r->index, r->wide); }

static fst_kx reducer_reduce(fst_lower *lo, const reducer *r, fst_reduce op, fst_kx body) {
  return r->count && body.id ? fst_kx_reduce(lo->kernel, op, r->vars, r->extents, r->count, body) : body;
}

// Number of elements reduced, in `dtype`.
static fst_kx reducer_numel(fst_lower *lo, const reducer *r, fst_dtype dtype) {
  fst_kx numel = kx_int(lo, 1);
  for (uint32_t i = 0; i < r->count; i++) numel = kx_mul(lo, numel, r->extents[i]);
  return kx_convert(lo, numel, dtype);
}

static void lower_reduced(fst_lower *lo, fst_reduce op) {
  reducer r;
  if (reducer_init(lo, &r, result_dtype(lo))) lower_finish(lo, reducer_reduce(lo, &r, op, reducer_load(lo, &r)));
}
void fst_lower_sum(fst_lower *lo) { lower_reduced(lo, FST_REDUCE_SUM); }
void fst_lower_prod(fst_lower *lo) { lower_reduced(lo, FST_REDUCE_PROD); }

// bool has no MAX of its own: it is ANY, and MIN is ALL.
static void lower_extreme(fst_lower *lo, bool is_max) {
  bool is_bool = result_dtype(lo) == FST_BOOL;
  lower_reduced(lo, is_bool ? (is_max ? FST_REDUCE_ANY : FST_REDUCE_ALL) : is_max ? FST_REDUCE_MAX : FST_REDUCE_MIN);
}
void fst_lower_amax(fst_lower *lo) { lower_extreme(lo, true); }
void fst_lower_amin(fst_lower *lo) { lower_extreme(lo, false); }
void fst_lower_aminmax(fst_lower *lo) { lower_extreme(lo, lo->result == 1); }

void fst_lower_nansum(fst_lower *lo) {
  reducer r;
  if (!reducer_init(lo, &r, result_dtype(lo))) return;
  fst_kx x = reducer_load(lo, &r);
  if (fst_dtype_is_float(r.wide)) x = kx_select(lo, kx_eq(lo, x, x), x, kx_zero(lo, r.wide));
  lower_finish(lo, reducer_reduce(lo, &r, FST_REDUCE_SUM, x));
}

void fst_lower_mean(fst_lower *lo) {
  reducer r;
  if (!reducer_init(lo, &r, result_dtype(lo))) return;
  fst_kx sum = reducer_reduce(lo, &r, FST_REDUCE_SUM, reducer_load(lo, &r));
  lower_finish(lo, kx_prim(lo, FST_PRIM_DIV, sum, reducer_numel(lo, &r, r.wide)));
}

void fst_lower_nanmean(fst_lower *lo) {
  reducer r;
  if (!reducer_init(lo, &r, result_dtype(lo))) return;
  fst_kx x = reducer_load(lo, &r), zero = kx_zero(lo, r.wide), one = kx_number(lo, r.wide, 1.0);
  fst_kx sum = reducer_reduce(lo, &r, FST_REDUCE_SUM, kx_select(lo, kx_eq(lo, x, x), x, zero));
  reducer_vars(lo, &r);
  x = reducer_load(lo, &r);
  fst_kx count = reducer_reduce(lo, &r, FST_REDUCE_SUM, kx_select(lo, kx_eq(lo, x, x), one, zero));
  lower_finish(lo, kx_prim(lo, FST_PRIM_DIV, sum, count));
}

// ---- positions -------------------------------------------------------------------------------------

static fst_kx arg_extreme(fst_lower *lo, bool is_max) {
  reducer r;
  if (!reducer_init(lo, &r, fst_lower_type(lo, 0)->dtype)) return FST_NO_KX;
  if (r.wide == FST_BOOL) r.wide = FST_U8;  // ordered like numbers
  if (r.count == 0) return kx_int(lo, 0);
  return reducer_reduce(lo, &r, is_max ? FST_REDUCE_ARGMAX : FST_REDUCE_ARGMIN, reducer_load(lo, &r));
}
void fst_lower_argmax(fst_lower *lo) { lower_finish(lo, arg_extreme(lo, true)); }
void fst_lower_argmin(fst_lower *lo) { lower_finish(lo, arg_extreme(lo, false)); }

static void extreme_dim(fst_lower *lo, bool is_max) {
  if (lo->result == 0) lower_extreme(lo, is_max);
  else lower_finish(lo, arg_extreme(lo, is_max));
}
void fst_lower_max_dim(fst_lower *lo) { extreme_dim(lo, true); }
void fst_lower_min_dim(fst_lower *lo) { extreme_dim(lo, false); }

// ---- truth -----------------------------------------------------------------------------------------

static fst_kx is_nonzero(fst_lower *lo, const reducer *r) { return kx_load_as(lo, 0, r->index, FST_BOOL); }

static void lower_truth(fst_lower *lo, fst_reduce op) {
  reducer r;
  if (reducer_init(lo, &r, FST_BOOL)) lower_finish(lo, reducer_reduce(lo, &r, op, is_nonzero(lo, &r)));
}
void fst_lower_any(fst_lower *lo) { lower_truth(lo, FST_REDUCE_ANY); }
void fst_lower_all(fst_lower *lo) { lower_truth(lo, FST_REDUCE_ALL); }

void fst_lower_count_nonzero(fst_lower *lo) {
  reducer r;
  if (reducer_init(lo, &r, FST_I64)) lower_finish(lo, reducer_reduce(lo, &r, FST_REDUCE_SUM, kx_convert(lo, is_nonzero(lo, &r), FST_I64)));
}

// ---- moments and norms -----------------------------------------------------------------------------

// Divisor n - correction, at least 0: `unbiased` is a correction of 1.
static fst_kx var_divisor(fst_lower *lo, const reducer *r) {
  const fst_schema *schema = fst_op_schema(fst_node_get(lo->graph, lo->node)->op);
  int unbiased = fst_schema_arg_index(schema, "unbiased"), correction = fst_schema_arg_index(schema, "correction");
  fst_kx n = reducer_numel(lo, r, r->wide), by = kx_number(lo, r->wide, 1.0);
  bool is_unbiased = true;
  if (unbiased >= 0) {
    if (!fst_lower_const_bool(lo, (uint32_t)unbiased, &is_unbiased)) return FST_NO_KX;
    by = kx_number(lo, r->wide, is_unbiased ? 1.0 : 0.0);
  } else if (correction >= 0 && !fst_lower_is_none(lo, (uint32_t)correction)) {
    by = fst_lower_scalar(lo, (uint32_t)correction, r->wide);
  }
  return kx_max(lo, kx_sub(lo, n, by), kx_zero(lo, r->wide));
}

// Two passes: the mean, then squared distances from it.
void fst_lower_var(fst_lower *lo) {
  reducer r;
  const char *name = fst_op_name(fst_node_get(lo->graph, lo->node)->op);
  if (!reducer_init(lo, &r, result_dtype(lo))) return;
  fst_kx mean = kx_prim(lo, FST_PRIM_DIV, reducer_reduce(lo, &r, FST_REDUCE_SUM, reducer_load(lo, &r)), reducer_numel(lo, &r, r.wide));
  if (lo->result == 1) {
    lower_finish(lo, mean);
    return;
  }
  fst_kx divisor = var_divisor(lo, &r);
  if (!divisor.id) return;
  reducer_vars(lo, &r);
  fst_kx distance = kx_sub(lo, reducer_load(lo, &r), mean);
  fst_kx var = kx_prim(lo, FST_PRIM_DIV, reducer_reduce(lo, &r, FST_REDUCE_SUM, kx_mul(lo, distance, distance)), divisor);
  bool is_std = !strncmp(name, "aten::std", 9);
  lower_finish(lo, is_std ? fst_kx_prim1(lo->kernel, FST_PRIM_SQRT, var) : var);
}

static bool norm_order(fst_lower *lo, double *out) {
  const fst_schema *schema = fst_op_schema(fst_node_get(lo->graph, lo->node)->op);
  fst_infer in = fst_infer_reader(lo);
  int p = fst_schema_arg_index(schema, "p"), ord = fst_schema_arg_index(schema, "ord");
  int arg = p >= 0 ? p : ord;
  int64_t integer;
  *out = 2.0;
  if (arg < 0 || fst_lower_is_none(lo, (uint32_t)arg)) return true;
  if (fst_infer_const_float(&in, (uint32_t)arg, out)) return true;
  if (!fst_infer_const_int(&in, (uint32_t)arg, &integer)) return false;
  *out = (double)integer;
  return true;
}

void fst_lower_norm(fst_lower *lo) {
  reducer r;
  double p;
  if (!reducer_init(lo, &r, result_dtype(lo)) || !norm_order(lo, &p)) return;
  fst_kx x = reducer_load(lo, &r), size = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, x), zero = kx_zero(lo, r.wide);
  if (p == 2.0) {
    fst_kx sum = reducer_reduce(lo, &r, FST_REDUCE_SUM, kx_mul(lo, x, x));
    lower_finish(lo, fst_kx_prim1(lo->kernel, FST_PRIM_SQRT, sum));
  } else if (p == 1.0) {
    lower_finish(lo, reducer_reduce(lo, &r, FST_REDUCE_SUM, size));
  } else if (p == 0.0) {
    lower_finish(lo, reducer_reduce(lo, &r, FST_REDUCE_SUM, kx_select(lo, kx_ne(lo, x, zero), kx_number(lo, r.wide, 1.0), zero)));
  } else if (isinf(p)) {
    lower_finish(lo, reducer_reduce(lo, &r, p > 0 ? FST_REDUCE_MAX : FST_REDUCE_MIN, size));
  } else {
    fst_kx power = kx_call2(lo, "pow", size, fst_kx_float(lo->kernel, r.wide, p));
    fst_kx sum = reducer_reduce(lo, &r, FST_REDUCE_SUM, power);
    lower_finish(lo, kx_call2(lo, "pow", sum, fst_kx_float(lo->kernel, r.wide, 1.0 / p)));
  }
}

// ---- softmax ---------------------------------------------------------------------------------------

// The largest element along the reduced dims.
static fst_kx reducer_max(fst_lower *lo, reducer *r) {
  reducer_vars(lo, r);
  return reducer_reduce(lo, r, FST_REDUCE_MAX, reducer_load(lo, r));
}

// Sum of exp(x - max).
static fst_kx reducer_exp_sum(fst_lower *lo, reducer *r, fst_kx max) {
  reducer_vars(lo, r);
  return reducer_reduce(lo, r, FST_REDUCE_SUM, kx_call1(lo, "exp", kx_sub(lo, reducer_load(lo, r), max)));
}

// An infinite maximum is left out of the difference: inf - inf would be NaN.
void fst_lower_logsumexp(fst_lower *lo) {
  reducer r;
  if (!reducer_init(lo, &r, result_dtype(lo))) return;
  fst_kx max = reducer_max(lo, &r), infinity = fst_kx_float(lo->kernel, r.wide, INFINITY);
  max = kx_select(lo, kx_eq(lo, fst_kx_prim1(lo->kernel, FST_PRIM_ABS, max), infinity), kx_zero(lo, r.wide), max);
  lower_finish(lo, kx_add(lo, kx_call1(lo, "log", reducer_exp_sum(lo, &r, max)), max));
}

// For softmax the result keeps the reduced dim, so the operand's index is the result's but for that one.
static bool softmax_init(fst_lower *lo, reducer *r) {
  if (!reducer_read(lo, r)) return false;
  r->red.keepdim = true;
  r->wide = fst_dtype_wide(result_dtype(lo));
  return true;
}

void fst_lower_softmax(fst_lower *lo) {
  reducer r;
  if (!softmax_init(lo, &r)) return;
  fst_kx max = reducer_max(lo, &r), sum = reducer_exp_sum(lo, &r, max);
  fst_kx x = kx_load_as(lo, 0, lo->index, r.wide);
  lower_finish(lo, kx_prim(lo, FST_PRIM_DIV, kx_call1(lo, "exp", kx_sub(lo, x, max)), sum));
}

// Rows of nothing but -inf give 0 instead of NaN.
void fst_lower_safe_softmax(fst_lower *lo) {
  reducer r;
  fst_lower_softmax(lo);
  if (!lo->value.id || !softmax_init(lo, &r)) return;
  fst_kx max = reducer_max(lo, &r), masked = kx_eq(lo, max, fst_kx_float(lo->kernel, r.wide, -INFINITY));
  lo->value = kx_select(lo, masked, kx_zero(lo, kx_dtype(lo, lo->value)), lo->value);
}

void fst_lower_log_softmax(fst_lower *lo) {
  reducer r;
  if (!softmax_init(lo, &r)) return;
  fst_kx max = reducer_max(lo, &r), sum = reducer_exp_sum(lo, &r, max);
  fst_kx x = kx_load_as(lo, 0, lo->index, r.wide);
  lower_finish(lo, kx_sub(lo, kx_sub(lo, x, max), kx_call1(lo, "log", sum)));
}

// Sums the dims that the sizes asked for do not have, or have as 1.
void fst_lower_sum_to_size(fst_lower *lo) {
  reducer r = {.red = {.self = fst_lower_type(lo, 0), .keepdim = true}};
  const fst_type_data *result = fst_lower_result_type(lo, 0);
  r.red.rank = r.red.self->rank;
  r.wide = fst_dtype_wide(result->dtype);
  int lead = r.red.rank - result->rank;
  for (int i = 0; i < r.red.rank; i++) {
    bool kept = i >= lead && fst_dim_equal(lo->graph->dims, r.red.self->dims[i], result->dims[i - lead]) == 1;
    if (kept) {
      r.index[i] = lo->index[i - lead];
      continue;
    }
    r.vars[r.count] = r.index[i] = kx_var(lo);
    r.extents[r.count++] = fst_lower_size(lo, 0, (uint32_t)i);
  }
  lower_finish(lo, reducer_reduce(lo, &r, FST_REDUCE_SUM, reducer_load(lo, &r)));
}

// ---- scans -----------------------------------------------------------------------------------------
//
// A SCAN runs along its last variable with carries: carry = next(carry), stored after each step.

typedef struct scanner {
  fst_reduction red;
  fst_dtype wide;
  uint32_t vars[FST_MAX_RANK];
  fst_kx index[FST_MAX_RANK];     // of the element that a step reads and writes
  fst_kx extents[FST_MAX_RANK];
  uint32_t count;
} scanner;

static uint32_t var_number(fst_lower *lo, fst_kx var) { return fst_kx_get(lo->kernel, var)->index; }

// Variables for all dims, the scanned one last; a 0-d tensor scans one element.
static bool scanner_init(fst_lower *lo, scanner *s, fst_dtype dtype) {
  fst_infer in = fst_infer_reader(lo);
  int result = fst_reduction_read(&in, &s->red);
  fst_vec_free(&in.guards);
  if (result != FST_INFER_OK) return false;
  s->wide = fst_dtype_wide(dtype);
  s->count = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < s->red.rank; i++) {
      if ((i == s->red.dim) != (pass == 1)) continue;
      s->index[i] = kx_var(lo);
      s->vars[s->count] = var_number(lo, s->index[i]);
      s->extents[s->count++] = fst_lower_size(lo, 0, (uint32_t)i);
    }
  }
  if (s->red.rank > 0) return true;
  s->vars[s->count] = var_number(lo, kx_var(lo));
  s->extents[s->count++] = kx_int(lo, 1);
  return true;
}

static fst_kx scanner_load(fst_lower *lo, const scanner *s) { return kx_load_as(lo, 0, s->index, s->wide); }

static fst_kstmt *scanner_stmt(fst_lower *lo, const scanner *s, uint32_t stores, uint32_t carries) {
  fst_kstmt *stmt = fst_kernel_add_stmt(lo->kernel, FST_KSTMT_SCAN, s->count, stores, carries);
  memcpy(stmt->vars, s->vars, sizeof *s->vars * s->count);
  memcpy(stmt->extents, s->extents, sizeof *s->extents * s->count);
  return stmt;
}

static void scanner_store(fst_lower *lo, const scanner *s, fst_kstmt *stmt, uint32_t result, fst_kx value) {
  fst_kstore *store = &stmt->stores[result];
  *store = (fst_kstore){.buffer = fst_lower_result_buffer(lo, result), .index_count = (uint32_t)s->red.rank,
                        .value = kx_convert(lo, value, fst_lower_result_type(lo, result)->dtype)};
  store->indices = FST_NEW_ARRAY(&lo->kernel->arena, fst_kx, s->red.rank + 1);
  memcpy(store->indices, s->index, sizeof(fst_kx) * (size_t)s->red.rank);
}

static void scanner_carry(fst_lower *lo, fst_kstmt *stmt, uint32_t number, fst_kx carry, fst_kx init, fst_kx next) {
  stmt->carries[number] = var_number(lo, carry);
  stmt->carry_init[number] = init;
  stmt->carry_next[number] = next;
}

static void lower_running(fst_lower *lo, fst_prim prim, int64_t neutral) {
  scanner s;
  if (!scanner_init(lo, &s, fst_lower_result_type(lo, 0)->dtype)) return;
  fst_kx carry = fst_kernel_var(lo->kernel, s.wide);
  fst_kx next = kx_prim(lo, prim, carry, scanner_load(lo, &s));
  fst_kstmt *stmt = scanner_stmt(lo, &s, 1, 1);
  scanner_carry(lo, stmt, 0, carry, fst_kx_number(lo->kernel, s.wide, (double)neutral, neutral), next);
  scanner_store(lo, &s, stmt, 0, carry);
}
void fst_lower_cumsum(fst_lower *lo) { lower_running(lo, FST_PRIM_ADD, 0); }
void fst_lower_cumprod(fst_lower *lo) { lower_running(lo, FST_PRIM_MUL, 1); }

// carry = max + log1p(exp(min - max)); two equal infinities give themselves.
void fst_lower_logcumsumexp(fst_lower *lo) {
  scanner s;
  if (!scanner_init(lo, &s, fst_lower_result_type(lo, 0)->dtype)) return;
  fst_kx carry = fst_kernel_var(lo->kernel, s.wide), x = scanner_load(lo, &s);
  fst_kx low = kx_min(lo, carry, x), high = kx_max(lo, carry, x);
  fst_kx added = kx_add(lo, high, kx_call1(lo, "log1p", kx_call1(lo, "exp", kx_sub(lo, low, high))));
  fst_kx infinity = fst_kx_float(lo->kernel, s.wide, INFINITY);
  fst_kx open = kx_and(lo, kx_eq(lo, low, high), kx_eq(lo, fst_kx_prim1(lo->kernel, FST_PRIM_ABS, high), infinity));
  fst_kstmt *stmt = scanner_stmt(lo, &s, 1, 1);
  scanner_carry(lo, stmt, 0, carry, fst_kx_float(lo->kernel, s.wide, -INFINITY), kx_select(lo, open, high, added));
  scanner_store(lo, &s, stmt, 0, carry);
}

// The value so far and its position: later equals win, and so does NaN, the last one too.
static void lower_cumextreme(fst_lower *lo, bool is_max) {
  scanner s;
  fst_dtype dtype = fst_lower_result_type(lo, 0)->dtype;
  if (!scanner_init(lo, &s, dtype == FST_BOOL ? FST_U8 : dtype)) return;
  fst_kx value = fst_kernel_var(lo->kernel, s.wide), at = fst_kernel_var(lo->kernel, FST_I64);
  fst_kx x = scanner_load(lo, &s), here = s.red.rank ? s.index[s.red.dim] : kx_int(lo, 0);
  fst_kx better = is_max ? kx_le(lo, value, x) : kx_le(lo, x, value);
  fst_kx takes = kx_or(lo, kx_or(lo, better, kx_ne(lo, x, x)), kx_eq(lo, here, kx_int(lo, 0)));
  fst_kstmt *stmt = scanner_stmt(lo, &s, 2, 2);
  scanner_carry(lo, stmt, 0, value, kx_zero(lo, s.wide), kx_select(lo, takes, x, value));
  scanner_carry(lo, stmt, 1, at, kx_int(lo, 0), kx_select(lo, takes, here, at));
  scanner_store(lo, &s, stmt, 0, value);
  scanner_store(lo, &s, stmt, 1, at);
}
void fst_lower_cummax(fst_lower *lo) { lower_cumextreme(lo, true); }
void fst_lower_cummin(fst_lower *lo) { lower_cumextreme(lo, false); }
