// Pointwise ops whose expression depends on constants of the node, which `.scalar` text cannot say: absent
// bounds, rounding modes, approximations, and functions that leave integers alone.
#include <math.h>
#include <string.h>

#include "ir/args.h"
#include "ir/lower.h"
#include "ir/lower_build.h"
#include "ir/rows_basic.h"

static const char *op_short_name(const fst_lower *lo) { return strchr(fst_op_name(fst_node_get(lo->graph, lo->node)->op), ':') + 2; }

static fst_dtype result_dtype(const fst_lower *lo) { return fst_lower_result_type(lo, lo->result)->dtype; }

// The dtype to compute the result's in.
static fst_dtype compute_dtype(const fst_lower *lo) { return fst_dtype_wide(result_dtype(lo)); }

// Operand `arg`, tensor or number, at the result's index.
static fst_kx operand(fst_lower *lo, uint32_t arg, fst_dtype dtype) {
  if (fst_lower_type(lo, arg)->kind != FST_TY_TENSOR) return fst_lower_scalar(lo, arg, dtype);
  return kx_convert(lo, fst_lower_broadcast(lo, arg), dtype);
}

// ---- division of integers ----------------------------------------------------------------------------
//
// PyTorch raises ZeroDivisionError where any divisor is 0; the kernel divides by 1 there, and reports it.

static bool constant_has_no_zero(const fst_lower *lo, uint32_t arg) {
  const fst_const_data *c = fst_value_const(lo->graph, fst_node_operand(fst_node_get(lo->graph, lo->node), arg));
  if (!c || c->kind != FST_CONST_TENSOR) return false;
  const fst_type_data *type = fst_type_get(lo->graph->module->types, c->type);
  const char *data = fst_module_tensor_data(lo->graph->module, c->index);
  size_t size = fst_dtype_size(type->dtype);
  int64_t count = 1, item;
  if (!data || !fst_type_is_contiguous(lo->graph->dims, lo->graph->module->types, c->type)) return false;
  for (int i = 0; i < type->rank; i++) count *= type->dims[i];
  for (int64_t i = 0; i < count; i++) {
    item = 0;
    memcpy(&item, data + (size_t)i * size, size);
    if (item == 0) return false;
  }
  return true;
}

static void check_divisor(fst_lower *lo, uint32_t arg, fst_dtype dtype) {
  const fst_type_data *type = fst_lower_type(lo, arg);
  bool is_tensor = type->kind == FST_TY_TENSOR;
  fst_kx vars[FST_MAX_RANK], extents[FST_MAX_RANK], zero = kx_int(lo, 0);
  uint32_t count = is_tensor ? (uint32_t)type->rank : 0;
  if (constant_has_no_zero(lo, arg)) return;
  for (uint32_t i = 0; i < count; i++) {
    vars[i] = kx_var(lo);
    extents[i] = fst_lower_size(lo, arg, i);
  }
  fst_kx divisor = is_tensor ? kx_load_as(lo, arg, vars, dtype) : fst_lower_scalar(lo, arg, dtype);
  fst_lower_check(lo, arg, vars, extents, count, kx_eq(lo, divisor, kx_zero(lo, dtype)), zero, zero, "builtins.RuntimeError", "ZeroDivisionError");
}

static void divide_by(fst_lower *lo, const char *function) {
  fst_dtype dtype = compute_dtype(lo);
  fst_kx a = operand(lo, 0, dtype), b = operand(lo, 1, dtype);
  if (fst_dtype_is_integral(dtype, false)) {
    check_divisor(lo, 1, dtype);
    b = kx_select(lo, kx_eq(lo, b, kx_zero(lo, dtype)), fst_kx_number(lo->kernel, dtype, 1.0, 1), b);
  }
  lower_finish(lo, kx_call2(lo, function, a, b));
}
void fst_lower_floordiv(fst_lower *lo) { divide_by(lo, "floordiv"); }
void fst_lower_remainder(fst_lower *lo) { divide_by(lo, "pymod"); }
void fst_lower_fmod(fst_lower *lo) { divide_by(lo, "fmod"); }

void fst_lower_div_mode(fst_lower *lo) {
  fst_dtype dtype = compute_dtype(lo);
  const char *mode = NULL;
  if (fst_lower_is_none(lo, 2)) lower_finish(lo, kx_prim(lo, FST_PRIM_DIV, operand(lo, 0, dtype), operand(lo, 1, dtype)));
  else if (fst_lower_const_str(lo, 2, &mode)) divide_by(lo, !strcmp(mode, "floor") ? "floordiv" : "div_trunc");
}

// min(max(self, low), high) in this order: where low > high the result is high. NaN stays, of bounds too.
void fst_lower_clamp(fst_lower *lo) {
  fst_dtype dtype = compute_dtype(lo);
  fst_kx value = operand(lo, 0, dtype);
  if (!fst_lower_is_none(lo, 1)) value = kx_max(lo, value, operand(lo, 1, dtype));
  if (!fst_lower_is_none(lo, 2)) value = kx_min(lo, value, operand(lo, 2, dtype));
  lower_finish(lo, value);
}

// isnan, isinf, isfinite, isposinf, isneginf, signbit: integers are finite and have a sign.
void fst_lower_float_test(fst_lower *lo) {
  const char *name = op_short_name(lo);
  fst_dtype dtype = fst_dtype_wide(fst_lower_type(lo, 0)->dtype);
  fst_kx self = operand(lo, 0, dtype);
  if (fst_dtype_is_integral(dtype, true)) {
    bool is_signed = fst_dtype_kind_of(dtype) == FST_KIND_INT;
    if (!strcmp(name, "signbit") && is_signed) lo->value = kx_lt(lo, self, kx_zero(lo, dtype));
    else lo->value = fst_kx_bool(lo->kernel, !strcmp(name, "isfinite"));
    return;
  }
  if (!strcmp(name, "isposinf")) lo->value = kx_eq(lo, self, fst_kx_float(lo->kernel, dtype, INFINITY));
  else if (!strcmp(name, "isneginf")) lo->value = kx_eq(lo, self, fst_kx_float(lo->kernel, dtype, -INFINITY));
  else lo->value = kx_call1(lo, name, self);
}

// |a - b| <= atol + rtol * |b|, equal infinities, and NaN with NaN if asked for.
void fst_lower_isclose(fst_lower *lo) {
  fst_dtype dtype = fst_lower_type(lo, 0)->dtype;
  fst_dtype wide = fst_dtype_is_float(dtype) ? fst_dtype_wide(dtype) : FST_F64;
  bool equal_nan = false;
  if (!fst_lower_const_bool(lo, 4, &equal_nan)) return;
  fst_kx a = operand(lo, 0, wide), b = operand(lo, 1, wide);
  fst_kx rtol = fst_lower_scalar(lo, 2, wide), atol = fst_lower_scalar(lo, 3, wide);
  fst_kx distance = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, kx_sub(lo, a, b));
  fst_kx allowed = kx_add(lo, atol, kx_mul(lo, rtol, fst_kx_prim1(lo->kernel, FST_PRIM_ABS, b)));
  fst_kx infinity = fst_kx_float(lo->kernel, wide, INFINITY);
  fst_kx close = kx_and(lo, kx_lt(lo, distance, infinity), kx_le(lo, distance, allowed));
  close = kx_or(lo, close, kx_eq(lo, a, b));
  if (equal_nan) close = kx_or(lo, close, kx_and(lo, kx_ne(lo, a, a), kx_ne(lo, b, b)));
  lo->value = close;
}

// round(decimals): 10^decimals as PyTorch scales, rounding half to even.
static fst_kx round_decimals(fst_lower *lo, fst_kx self, fst_dtype dtype, int64_t decimals) {
  fst_kx ten = fst_kx_float(lo->kernel, dtype, pow(10.0, (double)(decimals < 0 ? -decimals : decimals)));
  fst_kx scaled = kx_prim(lo, decimals < 0 ? FST_PRIM_DIV : FST_PRIM_MUL, self, ten);
  fst_kx rounded = fst_kx_prim1(lo->kernel, FST_PRIM_RINT, scaled);
  return kx_prim(lo, decimals < 0 ? FST_PRIM_MUL : FST_PRIM_DIV, rounded, ten);
}

void fst_lower_rounding(fst_lower *lo) {
  static const struct { const char *name; fst_prim prim; } prims[] = {
      {"ceil", FST_PRIM_CEIL}, {"floor", FST_PRIM_FLOOR}, {"trunc", FST_PRIM_TRUNC}, {"fix", FST_PRIM_TRUNC}, {"round", FST_PRIM_RINT}};
  const char *name = op_short_name(lo);
  fst_dtype dtype = compute_dtype(lo);
  int64_t decimals = 0;
  fst_kx self = operand(lo, 0, dtype);
  bool has_decimals = !strcmp(name, "round.decimals") || !strcmp(name, "special_round");
  if (has_decimals && !fst_lower_const_int(lo, 1, &decimals)) return;
  if (!fst_dtype_is_float(dtype)) lower_finish(lo, self);
  else if (decimals != 0) lower_finish(lo, round_decimals(lo, self, dtype, decimals));
  else if (has_decimals) lower_finish(lo, fst_kx_prim1(lo->kernel, FST_PRIM_RINT, self));
  for (size_t i = 0; i < sizeof prims / sizeof *prims && !lo->value.id; i++)
    if (!strcmp(prims[i].name, name)) lower_finish(lo, fst_kx_prim1(lo->kernel, prims[i].prim, self));
}

static double dtype_highest(fst_dtype dtype) {
  switch (dtype) {
    case FST_F16: return 65504.0;
    case FST_BF16: return 0x1.fep127;
    case FST_F32: return 0x1.fffffep127;
    default: return 0x1.fffffffffffffp1023;
  }
}

void fst_lower_nan_to_num(fst_lower *lo) {
  fst_dtype dtype = compute_dtype(lo), exact = result_dtype(lo);
  fst_kx self = operand(lo, 0, dtype);
  if (!fst_dtype_is_float(dtype)) {
    lower_finish(lo, self);
    return;
  }
  double highest = dtype_highest(exact);
  fst_kx nan = fst_lower_is_none(lo, 1) ? kx_zero(lo, dtype) : fst_lower_scalar(lo, 1, dtype);
  fst_kx high = fst_lower_is_none(lo, 2) ? fst_kx_float(lo->kernel, dtype, highest) : fst_lower_scalar(lo, 2, dtype);
  fst_kx low = fst_lower_is_none(lo, 3) ? fst_kx_float(lo->kernel, dtype, -highest) : fst_lower_scalar(lo, 3, dtype);
  fst_kx value = kx_select(lo, kx_eq(lo, self, fst_kx_float(lo->kernel, dtype, INFINITY)), high, self);
  value = kx_select(lo, kx_eq(lo, self, fst_kx_float(lo->kernel, dtype, -INFINITY)), low, value);
  lower_finish(lo, kx_select(lo, kx_ne(lo, self, self), nan, value));
}

// log(x / (1 - x)), x clamped into [eps, 1 - eps] if eps is given.
void fst_lower_logit(fst_lower *lo) {
  fst_dtype dtype = compute_dtype(lo);
  fst_kx x = operand(lo, 0, dtype), one = kx_number(lo, dtype, 1.0);
  if (!fst_lower_is_none(lo, 1)) {
    fst_kx eps = fst_lower_scalar(lo, 1, dtype), high = kx_sub(lo, one, eps);
    x = kx_select(lo, kx_lt(lo, x, eps), eps, kx_select(lo, kx_lt(lo, high, x), high, x));
  }
  lower_finish(lo, kx_call1(lo, "log", kx_prim(lo, FST_PRIM_DIV, x, kx_sub(lo, one, x))));
}

void fst_lower_gelu(fst_lower *lo) {
  const char *approximate;
  if (!fst_lower_const_str(lo, 1, &approximate)) return;
  lower_finish(lo, kx_call1(lo, !strcmp(approximate, "tanh") ? "gelu_tanh" : "gelu", operand(lo, 0, compute_dtype(lo))));
}

void fst_lower_prelu(fst_lower *lo) {
  const fst_type_data *self = fst_lower_type(lo, 0), *weight = fst_lower_type(lo, 1);
  fst_dtype dtype = compute_dtype(lo);
  fst_kx x = operand(lo, 0, dtype), at = kx_int(lo, 0);
  int64_t length = 0;
  if (weight->rank > 1) return;
  bool is_one = weight->rank == 0 || (fst_dim_is_const(lo->graph->dims, weight->dims[0], &length) && length == 1);
  if (!is_one && self->rank >= 2) at = lo->index[1];
  fst_kx slope = kx_load_as(lo, 1, &at, dtype);
  lower_finish(lo, kx_select(lo, kx_lt(lo, kx_zero(lo, dtype), x), x, kx_mul(lo, slope, x)));
}

// First half times the sigmoid of the second.
void fst_lower_glu(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_kx index[FST_MAX_RANK];
  int64_t dim;
  int rank = fst_lower_type(lo, 0)->rank;
  if (!fst_lower_const_int(lo, 1, &dim)) return;
  int at = fst_infer_wrap_dim(&in, dim, rank);
  if (at < 0) return;
  memcpy(index, lo->index, sizeof(fst_kx) * (size_t)rank);
  fst_kx a = kx_load_wide(lo, 0, index);
  index[at] = kx_add(lo, index[at], fst_lower_result_size(lo, (uint32_t)at));
  fst_kx b = kx_load_wide(lo, 0, index);
  lower_finish(lo, kx_mul(lo, a, kx_call1(lo, "sigmoid", b)));
}
