// Simplifications of expressions as they are built.
//
// Laws: the value at every point stays the same, bit for bit, up to the payload of a NaN (so nothing is dropped or
// reordered on floats except what IEEE 754 makes exact); constants go right; a rule makes the expression strictly
// smaller or moves it towards that form. Index arithmetic may be regrouped: integers wrap.
#include "ir/kernel/rules.h"

#include <math.h>
#include <string.h>

static bool is_const(const fst_kernel *k, fst_kx x) { return fst_kx_get(k, x)->kind == FST_KX_CONST; }

// An integer or bool constant of this value?
static bool is_value(const fst_kernel *k, fst_kx x, int64_t value) {
  const fst_kx_data *d = fst_kx_get(k, x);
  return d->kind == FST_KX_CONST && !fst_dtype_is_float(d->dtype) && (int64_t)d->bits == value;
}

static bool is_number(const fst_kernel *k, fst_kx x, double *out) {
  const fst_kx_data *d = fst_kx_get(k, x);
  if (d->kind != FST_KX_CONST || !fst_dtype_is_float(d->dtype)) return false;
  uint64_t bits = fst_convert_eval(d->dtype, FST_F64, d->bits);
  memcpy(out, &bits, sizeof *out);
  return true;
}

static const fst_kx_data *prim_of(const fst_kernel *k, fst_kx x, fst_prim prim) {
  const fst_kx_data *d = fst_kx_get(k, x);
  return d->kind == FST_KX_PRIM && d->prim == prim ? d : NULL;
}

static fst_kx zero_of(fst_kernel *k, fst_dtype dtype) { return fst_kx_const_bits(k, dtype, 0); }

// ---- integers and bools ----------------------------------------------------------------------------

static fst_kx rule_add(fst_kernel *k, const fst_kx *a) {
  const fst_kx_data *inner;
  if (is_value(k, a[1], 0)) return a[0];
  if (is_const(k, a[1]) && (inner = prim_of(k, a[0], FST_PRIM_ADD)) && is_const(k, inner->args[1])) {   // (x + c) + d
    fst_kx x = inner->args[0], c = inner->args[1];
    return fst_kx_prim2(k, FST_PRIM_ADD, x, fst_kx_prim2(k, FST_PRIM_ADD, c, a[1]));
  }
  if ((inner = prim_of(k, a[0], FST_PRIM_SUB)) && fst_kx_eq(inner->args[1], a[1])) return inner->args[0];   // (x - y) + y
  if ((inner = prim_of(k, a[1], FST_PRIM_SUB)) && fst_kx_eq(inner->args[1], a[0])) return inner->args[0];
  if ((inner = prim_of(k, a[1], FST_PRIM_NEG))) return fst_kx_prim2(k, FST_PRIM_SUB, a[0], inner->args[0]);
  if ((inner = prim_of(k, a[0], FST_PRIM_NEG))) return fst_kx_prim2(k, FST_PRIM_SUB, a[1], inner->args[0]);
  return FST_NO_KX;
}

static fst_kx rule_sub(fst_kernel *k, fst_dtype dtype, const fst_kx *a) {
  const fst_kx_data *inner;
  if (is_value(k, a[1], 0)) return a[0];
  if (is_value(k, a[0], 0)) return fst_kx_prim1(k, FST_PRIM_NEG, a[1]);
  if (fst_kx_eq(a[0], a[1])) return zero_of(k, dtype);
  if (is_const(k, a[1])) return fst_kx_prim2(k, FST_PRIM_ADD, a[0], fst_kx_prim1(k, FST_PRIM_NEG, a[1]));
  if ((inner = prim_of(k, a[1], FST_PRIM_NEG))) return fst_kx_prim2(k, FST_PRIM_ADD, a[0], inner->args[0]);
  if ((inner = prim_of(k, a[0], FST_PRIM_ADD))) {   // (x + y) - x
    if (fst_kx_eq(inner->args[0], a[1])) return inner->args[1];
    if (fst_kx_eq(inner->args[1], a[1])) return inner->args[0];
  }
  return FST_NO_KX;
}

static fst_kx rule_mul(fst_kernel *k, const fst_kx *a) {
  const fst_kx_data *inner;
  if (is_value(k, a[1], 1)) return a[0];
  if (is_value(k, a[1], 0)) return a[1];
  if (is_const(k, a[1]) && (inner = prim_of(k, a[0], FST_PRIM_MUL)) && is_const(k, inner->args[1])) {
    fst_kx x = inner->args[0], c = inner->args[1];
    return fst_kx_prim2(k, FST_PRIM_MUL, x, fst_kx_prim2(k, FST_PRIM_MUL, c, a[1]));
  }
  return FST_NO_KX;
}

// min(min(x, c), d), and the same of max.
static fst_kx rule_extreme(fst_kernel *k, fst_prim prim, const fst_kx *a) {
  const fst_kx_data *inner;
  if (fst_kx_eq(a[0], a[1])) return a[0];
  if (is_const(k, a[1]) && (inner = prim_of(k, a[0], prim)) && is_const(k, inner->args[1])) {
    fst_kx x = inner->args[0], c = inner->args[1];
    return fst_kx_prim2(k, prim, x, fst_kx_prim2(k, prim, c, a[1]));
  }
  return FST_NO_KX;
}

static bool is_opposite(const fst_kernel *k, fst_kx a, fst_kx b) {
  const fst_kx_data *inner = prim_of(k, b, FST_PRIM_NOT);
  return inner && fst_kx_eq(inner->args[0], a);
}

static fst_kx rule_bits(fst_kernel *k, fst_prim prim, fst_dtype dtype, const fst_kx *a) {
  int64_t ones = dtype == FST_BOOL ? 1 : dtype == FST_U8 ? 255 : -1;
  bool same = fst_kx_eq(a[0], a[1]), opposite = is_opposite(k, a[0], a[1]) || is_opposite(k, a[1], a[0]);
  fst_kx all = fst_kx_const_bits(k, dtype, (uint64_t)ones);
  switch (prim) {
    case FST_PRIM_AND:
      if (same || is_value(k, a[1], ones)) return a[0];
      if (opposite || is_value(k, a[1], 0)) return zero_of(k, dtype);
      break;
    case FST_PRIM_OR:
      if (same || is_value(k, a[1], 0)) return a[0];
      if (opposite || is_value(k, a[1], ones)) return all;
      break;
    default:   // XOR
      if (is_value(k, a[1], 0)) return a[0];
      if (same) return zero_of(k, dtype);
      if (opposite) return all;
      if (is_value(k, a[1], ones)) return fst_kx_prim1(k, FST_PRIM_NOT, a[0]);
  }
  return FST_NO_KX;
}

// Comparisons of a bool with a constant are the bool or its opposite, also through a conversion: `b != 0`.
static fst_kx rule_truth(fst_kernel *k, fst_prim prim, const fst_kx *a) {
  const fst_kx_data *d = fst_kx_get(k, a[0]), *inner = prim_of(k, a[0], FST_PRIM_CONVERT);
  fst_kx b = d->dtype == FST_BOOL ? a[0] : inner && fst_kx_get(k, inner->args[0])->dtype == FST_BOOL ? inner->args[0] : FST_NO_KX;
  if (!b.id || (prim != FST_PRIM_EQ && prim != FST_PRIM_NE) || !(is_value(k, a[1], 0) || is_value(k, a[1], 1))) return FST_NO_KX;
  bool is_same = is_value(k, a[1], 1) == (prim == FST_PRIM_EQ);
  return is_same ? b : fst_kx_prim1(k, FST_PRIM_NOT, b);
}

static fst_kx rule_compare(fst_kernel *k, fst_prim prim, const fst_kx *a) {
  if (fst_kx_eq(a[0], a[1])) return fst_kx_bool(k, prim == FST_PRIM_EQ || prim == FST_PRIM_LE);
  return rule_truth(k, prim, a);
}

// Opposites of comparisons; of < and <= for integers only, where nothing is unordered.
static fst_kx rule_not(fst_kernel *k, fst_kx a) {
  const fst_kx_data *d = fst_kx_get(k, a);
  if (d->kind != FST_KX_PRIM) return FST_NO_KX;
  fst_kx x = d->args[0], y = d->arg_count > 1 ? d->args[1] : FST_NO_KX;
  bool is_ordered = y.id && !fst_dtype_is_float(fst_kx_get(k, y)->dtype);
  switch (d->prim) {
    case FST_PRIM_NOT: return x;
    case FST_PRIM_EQ: return fst_kx_prim2(k, FST_PRIM_NE, x, y);
    case FST_PRIM_NE: return fst_kx_prim2(k, FST_PRIM_EQ, x, y);
    case FST_PRIM_LT: return is_ordered ? fst_kx_prim2(k, FST_PRIM_LE, y, x) : FST_NO_KX;
    case FST_PRIM_LE: return is_ordered ? fst_kx_prim2(k, FST_PRIM_LT, y, x) : FST_NO_KX;
    default: return FST_NO_KX;
  }
}

static fst_kx rule_int(fst_kernel *k, fst_prim prim, fst_dtype dtype, const fst_kx *a) {
  const fst_kx_data *inner;
  bool arithmetic = dtype != FST_BOOL;   // of bools, + is or and * is and
  switch (prim) {
    case FST_PRIM_ADD: return arithmetic ? rule_add(k, a) : FST_NO_KX;
    case FST_PRIM_SUB: return arithmetic ? rule_sub(k, dtype, a) : FST_NO_KX;
    case FST_PRIM_MUL: return rule_mul(k, a);
    case FST_PRIM_DIV: return is_value(k, a[1], 1) ? a[0] : FST_NO_KX;
    case FST_PRIM_REM: return is_value(k, a[1], 1) ? zero_of(k, dtype) : FST_NO_KX;
    case FST_PRIM_NEG: return arithmetic && (inner = prim_of(k, a[0], FST_PRIM_NEG)) ? inner->args[0] : FST_NO_KX;
    case FST_PRIM_MIN: case FST_PRIM_MAX: return rule_extreme(k, prim, a);
    case FST_PRIM_AND: case FST_PRIM_OR: case FST_PRIM_XOR: return rule_bits(k, prim, dtype, a);
    case FST_PRIM_NOT: return rule_not(k, a[0]);
    case FST_PRIM_SHL: case FST_PRIM_SHR: return is_value(k, a[1], 0) ? a[0] : FST_NO_KX;
    case FST_PRIM_EQ: case FST_PRIM_NE: case FST_PRIM_LT: case FST_PRIM_LE: return rule_compare(k, prim, a);
    default: return FST_NO_KX;
  }
}

// ---- floats ----------------------------------------------------------------------------------------

// x / c is x * (1 / c) where c is a power of two whose inverse is normal too.
static bool exact_inverse(fst_dtype dtype, double c, double *out) {
  int exponent, limit = dtype == FST_F64 ? 1000 : dtype == FST_F16 ? 13 : 120;
  if (!isfinite(c) || c == 0 || fabs(frexp(c, &exponent)) != 0.5 || exponent < -limit || exponent > limit) return false;
  *out = 1 / c;
  return true;
}

static fst_kx rule_float(fst_kernel *k, fst_prim prim, fst_dtype dtype, const fst_kx *a) {
  const fst_kx_data *inner;
  double c = 0;
  bool has_number = prim != FST_PRIM_NEG && prim != FST_PRIM_ABS && fst_prim_arity(prim) == 2 && is_number(k, a[1], &c);
  switch (prim) {
    case FST_PRIM_ADD:   // x + 0 is not x where x is -0
      if (has_number && c == 0 && signbit(c)) return a[0];
      if ((inner = prim_of(k, a[1], FST_PRIM_NEG))) return fst_kx_prim2(k, FST_PRIM_SUB, a[0], inner->args[0]);
      return (inner = prim_of(k, a[0], FST_PRIM_NEG)) ? fst_kx_prim2(k, FST_PRIM_SUB, a[1], inner->args[0]) : FST_NO_KX;
    case FST_PRIM_SUB:
      if (has_number && c == 0 && !signbit(c)) return a[0];
      if ((inner = prim_of(k, a[1], FST_PRIM_NEG))) return fst_kx_prim2(k, FST_PRIM_ADD, a[0], inner->args[0]);
      return FST_NO_KX;
    case FST_PRIM_MUL:
      if (has_number && c == 1) return a[0];
      return has_number && c == -1 ? fst_kx_prim1(k, FST_PRIM_NEG, a[0]) : FST_NO_KX;
    case FST_PRIM_DIV:
      if (has_number && c == 1) return a[0];
      return has_number && exact_inverse(dtype, c, &c) ? fst_kx_prim2(k, FST_PRIM_MUL, a[0], fst_kx_float(k, dtype, c)) : FST_NO_KX;
    case FST_PRIM_NEG: return (inner = prim_of(k, a[0], FST_PRIM_NEG)) ? inner->args[0] : FST_NO_KX;
    case FST_PRIM_ABS:
      if (prim_of(k, a[0], FST_PRIM_ABS)) return a[0];
      return (inner = prim_of(k, a[0], FST_PRIM_NEG)) ? fst_kx_prim1(k, FST_PRIM_ABS, inner->args[0]) : FST_NO_KX;
    case FST_PRIM_MIN: case FST_PRIM_MAX: return rule_extreme(k, prim, a);
    default: return FST_NO_KX;
  }
}

// ---- choices and conversions -----------------------------------------------------------------------

static fst_kx rule_select(fst_kernel *k, fst_dtype dtype, const fst_kx *a) {
  const fst_kx_data *c = fst_kx_get(k, a[0]), *inner;
  if (c->kind == FST_KX_CONST) return c->bits ? a[1] : a[2];
  if (fst_kx_eq(a[1], a[2])) return a[1];
  // A mask, `select(m, x, 0)`, keeps its form.
  if (!is_const(k, a[2]) && (inner = prim_of(k, a[0], FST_PRIM_NOT))) return fst_kx_prim3(k, FST_PRIM_SELECT, inner->args[0], a[2], a[1]);
  if (dtype == FST_BOOL && is_value(k, a[1], 1) && is_value(k, a[2], 0)) return a[0];
  if (dtype == FST_BOOL && is_value(k, a[1], 0) && is_value(k, a[2], 1)) return fst_kx_prim1(k, FST_PRIM_NOT, a[0]);
  // The same question asked again inside has its answer.
  if ((inner = prim_of(k, a[1], FST_PRIM_SELECT)) && fst_kx_eq(inner->args[0], a[0])) return fst_kx_prim3(k, FST_PRIM_SELECT, a[0], inner->args[1], a[2]);
  if ((inner = prim_of(k, a[2], FST_PRIM_SELECT)) && fst_kx_eq(inner->args[0], a[0])) return fst_kx_prim3(k, FST_PRIM_SELECT, a[0], a[1], inner->args[2]);
  return FST_NO_KX;
}

// Bits of the integers that a dtype holds exactly, sign apart.
static int exact_bits(fst_dtype dtype) {
  switch (dtype) {
    case FST_BOOL: return 1;
    case FST_I8: return 7;
    case FST_U8: case FST_BF16: return 8;
    case FST_F16: return 11;
    case FST_I16: return 15;
    case FST_F32: return 24;
    case FST_I32: return 31;
    case FST_F64: return 53;
    default: return 63;
  }
}

static bool is_lossless(fst_dtype from, fst_dtype to) {
  if (from == to) return true;
  if (fst_dtype_is_float(from)) return to == FST_F64 || (to == FST_F32 && from != FST_F64);
  if (to == FST_BOOL || to == FST_U8) return to == FST_U8 && from == FST_BOOL;
  return exact_bits(from) <= exact_bits(to);
}

// What went through a dtype that holds all of its values need not have gone.
fst_kx fst_rules_convert(fst_kernel *k, fst_kx a, fst_dtype dtype) {
  const fst_kx_data *inner = prim_of(k, a, FST_PRIM_CONVERT);
  if (!inner) return FST_NO_KX;
  fst_kx x = inner->args[0];
  return is_lossless(fst_kx_get(k, x)->dtype, inner->dtype) ? fst_kx_convert(k, x, dtype) : FST_NO_KX;
}

fst_kx fst_rules_prim(fst_kernel *k, fst_prim prim, fst_dtype dtype, const fst_kx *args) {
  if (prim == FST_PRIM_SELECT) return rule_select(k, dtype, args);
  return fst_dtype_is_float(dtype) ? rule_float(k, prim, dtype, args) : rule_int(k, prim, dtype, args);
}
