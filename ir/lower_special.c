// Special functions that are series or products rather than expressions.
#include <math.h>

#include "ir/lower.h"
#include "ir/lower_build.h"
#include "ir/rows_basic.h"

static fst_kx f64(fst_lower *lo, double value) { return fst_kx_float(lo->kernel, FST_F64, value); }

// x to a small positive integer power, by squaring.
static fst_kx power(fst_lower *lo, fst_kx x, int64_t n) {
  fst_kx result = f64(lo, 1.0);
  for (; n > 0; n >>= 1) {
    if (n & 1) result = kx_mul(lo, result, x);
    x = kx_mul(lo, x, x);
  }
  return result;
}

// Hurwitz zeta(s, q) for q > 0 and an integer s > 1, by Euler-Maclaurin after nine terms.
static fst_kx zeta_positive(fst_lower *lo, int64_t s, fst_kx q) {
  enum { TERMS = 9, CORRECTIONS = 10 };
  // (2k)! / B(2k)
  static const double inverse[CORRECTIONS] = {12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9, 7.47242496e10,
                                              -2.950130727918164224e12, 1.1646782814350067249e14, -4.5979787224074726105e15};
  fst_kx sum = f64(lo, 0.0), one = f64(lo, 1.0);
  for (int i = 0; i < TERMS; i++) sum = kx_add(lo, sum, kx_prim(lo, FST_PRIM_DIV, one, power(lo, kx_add(lo, q, f64(lo, i)), s)));
  fst_kx w = kx_add(lo, q, f64(lo, TERMS)), last = kx_prim(lo, FST_PRIM_DIV, one, power(lo, w, s));
  sum = kx_add(lo, sum, kx_prim(lo, FST_PRIM_DIV, kx_mul(lo, last, w), f64(lo, (double)s - 1.0)));
  sum = kx_add(lo, sum, kx_mul(lo, last, f64(lo, 0.5)));
  fst_kx per_square = kx_prim(lo, FST_PRIM_DIV, one, kx_mul(lo, w, w)), term = kx_prim(lo, FST_PRIM_DIV, last, w);
  double rising = (double)s;
  for (int k = 0; k < CORRECTIONS; k++) {
    sum = kx_add(lo, sum, kx_mul(lo, term, f64(lo, rising / inverse[k])));
    rising *= ((double)s + 2 * k + 1) * ((double)s + 2 * k + 2);
    term = kx_mul(lo, term, per_square);
  }
  return sum;
}

// For q <= 0 the terms form part of a two-sided lattice: with f = q - floor(q),
// zeta(s, q) = zeta(s, f) + (-1)^s (zeta(s, 1 - f) - zeta(s, 1 - q)), infinite at the poles.
static fst_kx zeta(fst_lower *lo, int64_t s, fst_kx q) {
  fst_kx one = f64(lo, 1.0), f = kx_sub(lo, q, fst_kx_prim1(lo->kernel, FST_PRIM_FLOOR, q));
  fst_kx below = kx_sub(lo, zeta_positive(lo, s, kx_sub(lo, one, f)), zeta_positive(lo, s, kx_sub(lo, one, q)));
  fst_kx left = kx_prim(lo, s % 2 ? FST_PRIM_SUB : FST_PRIM_ADD, zeta_positive(lo, s, f), below);
  left = kx_select(lo, kx_eq(lo, f, f64(lo, 0.0)), f64(lo, INFINITY), left);
  return kx_select(lo, kx_lt(lo, f64(lo, 0.0), q), zeta_positive(lo, s, q), left);
}

static fst_kx constant(fst_lower *lo, fst_kx like, double value) { return fst_kx_float(lo->kernel, kx_dtype(lo, like), value); }

// polygamma(1, x), in x's own precision as PyTorch does: at the poles it shows how far sin(pi x) is from 0.
// Below 1/2 by reflection; then six steps up to where the asymptotic series is good.
static fst_kx trigamma(fst_lower *lo, fst_kx x) {
  const double pi = 3.14159265358979323846;
  fst_kx one = constant(lo, x, 1.0), is_low = kx_lt(lo, x, constant(lo, x, 0.5)), sum = constant(lo, x, 0.0);
  fst_kx sine = kx_call1(lo, "sin", kx_mul(lo, x, constant(lo, x, pi)));
  fst_kx reflected = kx_prim(lo, FST_PRIM_DIV, constant(lo, x, pi * pi), kx_mul(lo, sine, sine));
  x = kx_select(lo, is_low, kx_sub(lo, one, x), x);
  for (int i = 0; i < 6; i++) {
    sum = kx_add(lo, sum, kx_prim(lo, FST_PRIM_DIV, one, kx_mul(lo, x, x)));
    x = kx_add(lo, x, one);
  }
  fst_kx square = kx_prim(lo, FST_PRIM_DIV, one, kx_mul(lo, x, x));
  fst_kx series = kx_sub(lo, constant(lo, x, 1.0 / 30), kx_mul(lo, square, constant(lo, x, 1.0 / 42)));
  series = kx_mul(lo, square, kx_sub(lo, constant(lo, x, 1.0 / 6), kx_mul(lo, square, series)));
  series = kx_add(lo, kx_add(lo, one, kx_prim(lo, FST_PRIM_DIV, constant(lo, x, 0.5), x)), series);
  sum = kx_add(lo, sum, kx_prim(lo, FST_PRIM_DIV, series, x));
  return kx_select(lo, is_low, kx_sub(lo, reflected, sum), sum);
}

// polygamma(n, x) = (-1)^(n+1) n! zeta(n+1, x); n = 0 is digamma.
void fst_lower_polygamma(fst_lower *lo) {
  int64_t n;
  if (!fst_lower_const_int(lo, 0, &n) || n < 0 || n > 32) return;
  fst_kx x = fst_lower_broadcast(lo, 1);
  if (n <= 1) {
    x = kx_convert(lo, x, fst_dtype_wide(fst_lower_result_type(lo, 0)->dtype));
    lower_finish(lo, n == 0 ? kx_call1(lo, "digamma", x) : trigamma(lo, x));
    return;
  }
  double factor = n % 2 ? 1.0 : -1.0;
  for (int64_t i = 2; i <= n; i++) factor *= (double)i;
  lower_finish(lo, kx_mul(lo, f64(lo, factor), zeta(lo, n + 1, kx_convert(lo, x, FST_F64))));
}

// ---- greatest common divisors ----------------------------------------------------------------------
//
// Euclid's steps one after another: consecutive Fibonacci numbers take the most, 90 for 64 bits. A step with
// nothing left to divide by keeps what it has.

static int euclid_steps(fst_dtype dtype) {
  switch (fst_dtype_size(dtype)) {
    case 1: return 13;
    case 2: return 24;
    case 4: return 47;
    default: return 93;
  }
}

static fst_kx common_divisor(fst_lower *lo, fst_dtype dtype, fst_kx a, fst_kx b) {
  fst_kx zero = kx_zero(lo, dtype), one = fst_kx_number(lo->kernel, dtype, 1.0, 1);
  bool is_signed = dtype != FST_U8;
  if (is_signed) a = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, a), b = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, b);
  for (int i = euclid_steps(dtype); i > 0; i--) {
    fst_kx done = kx_eq(lo, b, zero), rest = kx_rem(lo, a, kx_select(lo, done, one, b));
    a = kx_select(lo, done, a, b);
    b = kx_select(lo, done, zero, rest);
  }
  return a;
}

static bool two_integers(fst_lower *lo, fst_dtype *out_dtype, fst_kx *out_a, fst_kx *out_b) {
  *out_dtype = fst_lower_result_type(lo, 0)->dtype;
  if (!fst_dtype_is_integral(*out_dtype, false)) return false;
  *out_a = kx_convert(lo, fst_lower_broadcast(lo, 0), *out_dtype);
  *out_b = kx_convert(lo, fst_lower_broadcast(lo, 1), *out_dtype);
  return true;
}

void fst_lower_gcd(fst_lower *lo) {
  fst_dtype dtype;
  fst_kx a, b;
  if (two_integers(lo, &dtype, &a, &b)) lower_finish(lo, common_divisor(lo, dtype, a, b));
}

// |a / gcd * b|, 0 where both are 0.
void fst_lower_lcm(fst_lower *lo) {
  fst_dtype dtype;
  fst_kx a, b;
  if (!two_integers(lo, &dtype, &a, &b)) return;
  fst_kx divisor = common_divisor(lo, dtype, a, b), zero = kx_zero(lo, dtype), none = kx_eq(lo, divisor, zero);
  fst_kx multiple = kx_mul(lo, kx_div(lo, a, kx_select(lo, none, fst_kx_number(lo->kernel, dtype, 1.0, 1), divisor)), b);
  if (dtype != FST_U8) multiple = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, multiple);
  lower_finish(lo, kx_select(lo, none, zero, multiple));
}
