// The scalar functions of ir/kernel/expand.kir against libm in wider precision: dense and special inputs, through
// the interpreter. Bounds are in units in the last place of the result; NaN, infinities and signs of zero must be
// libm's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/kernel/kernel.h"

static void check(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

static uint64_t random_state = 12345;
static uint64_t random_next(void) {
  random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return random_state ^ random_state >> 31;
}

// ---- running a function over many points ----

enum { POINTS = 12000, OPERANDS = 3 };

static void run(const char *function, fst_dtype dtype, fst_dtype result, uint32_t operands, const void *const *in, void *out, int64_t count) {
  fst_kernel *k = fst_kernel_create(function);
  fst_kx i = fst_kernel_var(k, FST_I64), extent = fst_kx_int(k, count), args[OPERANDS];
  void *buffers[OPERANDS + 1];
  fst_kbuf b = {.dtype = dtype, .rank = 1, .sizes = {extent}, .strides = {fst_kx_int(k, 1)}};
  for (uint32_t a = 0; a < operands; a++) {
    args[a] = fst_kx_load(k, fst_kernel_buffer(k, &b), &i);
    buffers[a] = (void *)(uintptr_t)in[a];
  }
  b.dtype = result;
  fst_kstore store = {fst_kernel_buffer(k, &b), fst_kx_call(k, function, args, operands), 1, &i};
  buffers[operands] = out;
  assert_int_not_equal(store.value.id, 0);
  fst_kernel_map(k, &i, &extent, 1, &store, 1);
  check(fst_kernel_verify(k));
  check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
  fst_kernel_destroy(k);
}

// ---- comparing ----

typedef struct {
  const char *name;
  fst_dtype dtype;
  double worst, at, beside;
  int failures;
} tally;

static void complain(tally *t, double a, double b, double found, long double expected) {
  if (t->failures++ < 5) fprintf(stderr, "%s.%s(%a, %a) is %a, not %La\n", t->name, fst_dtype_name(t->dtype), a, b, found, expected);
}

// `found` against the exact value rounded to the dtype.
static void compare(tally *t, double a, double b, double found, long double expected) {
  bool is_single = t->dtype == FST_F32;
  double rounded = is_single ? (double)(float)expected : (double)expected;
  int exponent, least = is_single ? -149 : -1074;
  if (isnan(rounded) || isnan(found)) {
    if (isnan(rounded) != isnan(found)) complain(t, a, b, found, expected);
    return;
  }
  if (isinf(rounded) || isinf(found)) {   // the largest number may round either way
    long double edge = (is_single ? (long double)FLT_MAX : (long double)DBL_MAX) * 0.999999L;
    if (rounded != found && !(fabsl(expected) > edge && fabs(found) > (double)edge && (found < 0) == (expected < 0))) complain(t, a, b, found, expected);
    return;
  }
  if (rounded == 0 && found == 0) {
    if (!signbit(rounded) != !signbit(found)) complain(t, a, b, found, expected);
    return;
  }
  frexpl(expected, &exponent);
  exponent -= is_single ? 24 : 53;
  if (expected == 0 || exponent < least) exponent = least;
  double ulp = (double)fabsl(((long double)found - expected) / ldexpl(1, exponent));
  if (ulp <= t->worst) return;
  t->worst = ulp;
  t->at = a;
  t->beside = b;
}

static void judge(const tally *t, double bound) {
  if (t->worst > bound) fail_msg("%s.%s: %.3f ULP at %a, %a; at most %.2f are allowed", t->name, fst_dtype_name(t->dtype), t->worst, t->at, t->beside, bound);
  if (t->failures) fail_msg("%s.%s: %d special values differ", t->name, fst_dtype_name(t->dtype), t->failures);
}

// ---- inputs ----

static const double specials[] = {0.0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, INFINITY, -INFINITY, NAN, FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_MIN, 0x1p-149, -0x1p-149,
                                  DBL_MAX, -DBL_MAX, DBL_MIN, 0x1p-1074, 0x1p24, 0x1p52, 0x1p53, 1e9, 88.7, 89, -87.4, -103.9, -104.1, 709.7, 710, -745.1, 100, -100, 0.99999994, 1.0000001};
enum { SPECIALS = sizeof specials / sizeof *specials };

static void store_number(fst_dtype dtype, void *at, int64_t i, double value) {
  if (dtype == FST_F32) ((float *)at)[i] = (float)value;
  else ((double *)at)[i] = value;
}
static double load_number(fst_dtype dtype, const void *at, int64_t i) { return dtype == FST_F32 ? (double)((const float *)at)[i] : ((const double *)at)[i]; }

// Specials, then every exponent there is, then [low, high] densely.
static void fill(fst_dtype dtype, void *at, int64_t count, double low, double high) {
  for (int64_t i = 0; i < count; i++) {
    uint64_t bits = random_next();
    double value = low + (high - low) * (double)(bits >> 11) * 0x1p-53;
    if (i % 3 == 0) {
      float single;
      uint32_t half = (uint32_t)(bits >> 16);
      memcpy(&single, &half, sizeof single);
      if (dtype == FST_F32) value = single;
      else memcpy(&value, &bits, sizeof value);
    }
    store_number(dtype, at, i, i < SPECIALS ? specials[i] : value);
  }
}

// ---- functions of one operand ----

typedef struct {
  const char *name;
  long double (*exact)(long double x);
  double low, high;         // where it is measured densely
  double single, twice;     // bounds for f32 and f64; 0: not measured
  double limit;             // |x| beyond which f64 is not measured; 0: everywhere
} unary;

static long double exact_sigmoid(long double x) { return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)); }
static long double exact_silu(long double x) { return x / (1 + expl(-x)); }
static long double exact_log_sigmoid(long double x) { return x < 0 ? x - log1pl(expl(x)) : 0 - log1pl(expl(-x)); }
static long double exact_rsqrt(long double x) { return 1 / sqrtl(x); }
static long double exact_gelu(long double x) { return x > 0 ? x * (1 - 0.5L * erfcl(x * sqrtl(0.5L))) : 0.5L * x * erfcl(-x * sqrtl(0.5L)); }
static long double exact_erf_inverse(long double x) {   // Newton's iteration on libm's erfc
  if (!(fabsl(x) < 1)) return fabsl(x) == 1 ? x * INFINITY : NAN;
  long double a = fabsl(x), y = a < 0.9L ? a : sqrtl(-logl(1 - a)) * 0.9L;
  for (int i = 0; i < 60; i++) {
    long double error = a < 0.5L ? erfl(y) - a : (1 - a) - erfcl(y), slope = 2 / sqrtl(acosl(-1)) * expl(-y * y);
    y -= error / slope;
  }
  return copysignl(y, x);
}
// Bessel functions by their integrals, for which the trapezoid rule converges geometrically; all terms have one sign.
static long double bessel_i(int order, long double x, bool scaled) {
  enum { STEPS = 48 };
  long double sum = 0, a = fabsl(x);
  for (int k = 0; k < STEPS; k++) {
    long double c = cosl(acosl(-1) * (k + 0.5L) / STEPS);
    sum += (order ? c * sinhl(c * a) : expl(c * a)) * (scaled ? expl(-a) : 1);
  }
  return (order && x < 0 ? -sum : sum) / STEPS;
}
static long double bessel_k(int order, long double x, bool scaled) {
  long double h = 1.0L / 32, sum = 0;
  if (!(x > 0) || isinf(x)) return x == 0 ? INFINITY : isinf(x) && x > 0 ? 0 : NAN;
  for (int k = 0; k < 32 * 24; k++) {
    long double c = coshl(k * h), term = expl(-x * (c - scaled)) * (order ? c : 1);
    sum += k ? term : term / 2;
    if (x * c > 12000) break;
  }
  return sum * h;
}
static long double exact_i0(long double x) { return isinf(x) ? NAN : bessel_i(0, x, false); }   // as PyTorch's
static long double exact_i1(long double x) { return isinf(x) ? NAN : bessel_i(1, x, false); }
static long double exact_i0e(long double x) { return isinf(x) ? 0 : bessel_i(0, x, true); }
static long double exact_i1e(long double x) { return isinf(x) ? copysignl(0, x) : bessel_i(1, x, true); }
static long double exact_k0(long double x) { return bessel_k(0, x, false); }
static long double exact_k1(long double x) { return bessel_k(1, x, false); }
static long double exact_k0e(long double x) { return bessel_k(0, x, true); }
static long double exact_k1e(long double x) { return bessel_k(1, x, true); }
static long double exact_digamma(long double x) {
  if (x == 0) return copysignl(INFINITY, -x);
  if (isnan(x) || x == -INFINITY) return NAN;
  long double sum = 0;
  if (x < 0) {
    if (x == truncl(x)) return NAN;
    long double part = x - rintl(x);
    sum = -acosl(-1) / tanl(acosl(-1) * part);
    x = 1 - x;
  }
  for (; x < 20; x++) sum -= 1 / x;
  long double z = 1 / (x * x);
  return sum + logl(x) - 0.5L / x - z * (1 / 12.0L - z * (1 / 120.0L - z * (1 / 252.0L - z * (1 / 240.0L - z * (1 / 132.0L - z * 691 / 32760.0L)))));
}

static const unary unaries[] = {
    {"exp", expl, -104, 89, 1, 1, 0},
    {"exp2", exp2l, -150, 128, 1, 1, 0},
    {"expm1", expm1l, -20, 20, 2, 2, 0},
    {"log", logl, 0, 4, 1, 1, 0},
    {"log2", log2l, 0, 4, 2, 2, 0},
    {"log10", log10l, 0, 4, 2, 2, 0},
    {"log1p", log1pl, -1, 4, 2, 2, 0},
    {"sigmoid", exact_sigmoid, -90, 20, 2, 2, 0},
    {"tanh", tanhl, -10, 10, 2, 3, 0},
    {"erf", erfl, -4, 4, 2, 2, 0},
    {"erfc", erfcl, -3, 12, 1, 4, 0},
    {"sin", sinl, -20, 20, 2, 2, 1e14},
    {"cos", cosl, -20, 20, 2, 2, 1e14},
    {"tan", tanl, -20, 20, 4, 4, 1e14},
    {"asin", asinl, -1, 1, 3, 3, 0},
    {"acos", acosl, -1, 1, 2, 2, 0},
    {"atan", atanl, -5, 5, 2, 3, 0},
    {"sinh", sinhl, -10, 10, 3, 3, 0},
    {"cosh", coshl, -10, 10, 2, 2, 0},
    {"asinh", asinhl, -10, 10, 3, 3, 0},
    {"acosh", acoshl, 1, 10, 3, 3, 0},
    {"atanh", atanhl, -1, 1, 3, 3, 0},
    {"silu", exact_silu, -90, 20, 4, 4, 100},
    {"log_sigmoid", exact_log_sigmoid, -20, 16, 3, 3, 30},
    {"rsqrt", exact_rsqrt, 0, 10, 2, 2, 0},
    {"erfinv", exact_erf_inverse, -1, 1, 1, 4, 0},
    {"lgamma", lgammal, 0, 20, 0, 6, 0},
    {"bessel_i0", exact_i0, -20, 20, 1, 6, 0},
    {"bessel_i1", exact_i1, -20, 20, 1, 6, 0},
    {"bessel_i0e", exact_i0e, -20, 20, 1, 6, 0},
    {"bessel_i1e", exact_i1e, -20, 20, 1, 6, 0},
    {"bessel_k0", exact_k0, 0.01, 60, 1, 24, 0},
    {"bessel_k1", exact_k1, 0.01, 60, 1, 8, 0},
    {"bessel_k0e", exact_k0e, 0.01, 60, 1, 24, 0},
    {"bessel_k1e", exact_k1e, 0.01, 60, 1, 8, 0},
};

// What libm's function does elsewhere is not what is asked for there.
static bool is_measured(const unary *u, fst_dtype dtype, double x) {
  if (!strcmp(u->name, "silu") && x == -INFINITY) return false;   // NaN, as in PyTorch
  if (!strcmp(u->name, "log_sigmoid") && fabs(x) > 16) return false;
  if (!strncmp(u->name, "bessel_", 7) && isfinite(x) && !(x >= u->low && x <= u->high)) return false;   // too far for the integrals
  if (!strcmp(u->name, "lgamma") && x < 0) return false;         // no relative precision near its zeros there
  return !isfinite(x) || dtype == FST_F32 || u->limit == 0 || fabs(x) <= u->limit;
}

static void measure(const unary *u, fst_dtype dtype, double bound) {
  void *in = malloc(POINTS * sizeof(double)), *out = malloc(POINTS * sizeof(double));
  tally t = {.name = u->name, .dtype = dtype};
  fill(dtype, in, POINTS, u->low, u->high);
  run(u->name, dtype, dtype, 1, (const void *const[]){in}, out, POINTS);
  for (int64_t i = 0; i < POINTS; i++) {
    double x = load_number(dtype, in, i);
    if (is_measured(u, dtype, x)) compare(&t, x, 0, load_number(dtype, out, i), u->exact((long double)x));
  }
  free(in);
  free(out);
  judge(&t, bound);
}

static void test_unary_f32(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++)
    if (unaries[i].single > 0) measure(&unaries[i], FST_F32, unaries[i].single);
}

static void test_unary_f64(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++) measure(&unaries[i], FST_F64, unaries[i].twice);
}

// Functions that cancel by their definition: the error counts against a scale, as a float32 computation has it.
static void measure_absolute(const char *name, long double (*exact)(long double), double low, double high, double bound) {
  float *in = malloc(POINTS * sizeof *in), *out = malloc(POINTS * sizeof *out);
  fill(FST_F32, in, POINTS, low, high);
  run(name, FST_F32, FST_F32, 1, (const void *const[]){in}, out, POINTS);
  for (int64_t i = 0; i < POINTS; i++) {
    long double expected = exact((long double)in[i]);
    double scale = fabs((double)in[i]) > 1 ? fabs((double)in[i]) : 1;
    if (!(in[i] >= (float)low && in[i] <= (float)high)) continue;
    if (fabs((double)out[i] - (double)expected) > bound * 0x1p-24 * scale) fail_msg("%s(%a) is %a, not %La", name, (double)in[i], (double)out[i], expected);
  }
  free(in);
  free(out);
}

static long double exact_gelu_tanh(long double x) { return 0.5L * x * (1 + tanhl(0.7978845608028653558799L * (x + 0.044715L * x * x * x))); }
static long double exact_mish(long double x) { return x * tanhl(log1pl(expl(x))); }
static long double exact_hardswish(long double x) { return x * fminl(fmaxl(x + 3, 0), 6) / 6; }
static long double exact_selu(long double x) { return 1.0507009873554804934193L * (x > 0 ? x : 1.6732632423543772848170L * expm1l(x)); }
static long double exact_frac(long double x) { return x - truncl(x); }
static long double exact_sinc(long double x) { return x == 0 ? 1 : sinl(acosl(-1) * x) / (acosl(-1) * x); }

static void test_activations(void **state) {
  (void)state;
  measure_absolute("gelu", exact_gelu, -8, 8, 4);
  measure_absolute("gelu_tanh", exact_gelu_tanh, -8, 8, 6);
  measure_absolute("mish", exact_mish, -20, 30, 4);
  measure_absolute("hardswish", exact_hardswish, -10, 10, 4);
  measure_absolute("selu", exact_selu, -20, 20, 4);
  measure_absolute("frac", exact_frac, -100, 100, 1);
  measure_absolute("sinc", exact_sinc, -4, 4, 8);
  measure_absolute("log_sigmoid", exact_log_sigmoid, -90, 20, 3);
  measure_absolute("digamma", exact_digamma, 0.05, 30, 40);
}

// ---- functions of two operands ----

typedef struct {
  const char *name;
  long double (*exact)(long double a, long double b);
  double low, high;
  double single, twice;
} binary;

// PyTorch's floor division: fmod first, the quotient corrected to an integer.
static long double exact_pymod(long double a, long double b) {
  long double m = fmodl(a, b);
  return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}
static long double exact_logaddexp(long double a, long double b) {
  if (a == b && isinf(a)) return a;
  return isnan(a) || isnan(b) ? NAN : fmaxl(a, b) + log1pl(expl(-fabsl(a - b)));
}
static long double exact_xlogy(long double a, long double b) { return isnan(b) ? NAN : a == 0 ? 0 : a * logl(b); }

static const binary binaries[] = {
    {"pow", powl, -20, 20, 1, 2},      {"atan2", atan2l, -5, 5, 3, 3},    {"hypot", hypotl, -5, 5, 1, 2},
    {"fmod", fmodl, -50, 50, 0.5, 0.5}, {"xlogy", exact_xlogy, 0, 10, 2, 2},
    {"copysign", copysignl, -5, 5, 0, 0}, {"fmax", fmaxl, -5, 5, 0, 0},      {"fmin", fminl, -5, 5, 0, 0},
};

// fmax and fmin of zeros of both signs may give either.
static bool is_either_zero(const binary *f, double a, double b) { return a == 0 && b == 0 && f->name[0] == 'f' && f->name[2] != 'o'; }

static void measure_binary(const binary *f, fst_dtype dtype, double bound) {
  void *a = malloc(POINTS * sizeof(double)), *b = malloc(POINTS * sizeof(double)), *out = malloc(POINTS * sizeof(double));
  tally t = {.name = f->name, .dtype = dtype};
  fill(dtype, a, POINTS, f->low, f->high);
  fill(dtype, b, POINTS, f->low, f->high);
  for (int64_t i = 0; i < SPECIALS * SPECIALS; i++) {   // every pair of specials
    store_number(dtype, a, i, specials[i % SPECIALS]);
    store_number(dtype, b, i, specials[i / SPECIALS]);
  }
  run(f->name, dtype, dtype, 2, (const void *const[]){a, b}, out, POINTS);
  for (int64_t i = 0; i < POINTS; i++) {
    double x = load_number(dtype, a, i), y = load_number(dtype, b, i);
    if (!is_either_zero(f, x, y)) compare(&t, x, y, load_number(dtype, out, i), f->exact((long double)x, (long double)y));
  }
  free(a);
  free(b);
  free(out);
  judge(&t, bound);
}

static void test_binary(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++) {
    measure_binary(&binaries[i], FST_F32, binaries[i].single);
    measure_binary(&binaries[i], FST_F64, binaries[i].twice);
  }
}

static void test_logaddexp(void **state) {
  (void)state;
  static const double pairs[][2] = {{0, 0}, {INFINITY, INFINITY}, {-INFINITY, -INFINITY}, {INFINITY, -INFINITY}, {1, 2}, {-100, 3}, {88, 88}, {NAN, 1}, {1, NAN}, {-5.5, -5.25}};
  double a[10], b[10], out[10];
  for (int i = 0; i < 10; i++) {
    a[i] = pairs[i][0];
    b[i] = pairs[i][1];
  }
  run("logaddexp", FST_F64, FST_F64, 2, (const void *const[]){a, b}, out, 10);
  tally t = {.name = "logaddexp", .dtype = FST_F64};
  for (int i = 0; i < 10; i++) compare(&t, a[i], b[i], out[i], exact_logaddexp(a[i], b[i]));
  judge(&t, 2);
}

// Python's remainder and floor division on floats, as PyTorch computes them.
static void test_python_division(void **state) {
  (void)state;
  static const double cases[][4] = {   // a, b, a % b, a // b
      {5, 3, 2, 1}, {-5, 3, 1, -2}, {5, -3, -1, -2}, {-5, -3, -2, 1}, {6, 3, 0, 2}, {-6, 3, -0.0, -2}, {0.0, 3, 0.0, 0.0}, {-0.0, 3, -0.0, -0.0},
      {1, 0.1, 0.09999999999999995, 9}, {5, INFINITY, 5, 0}, {-5, INFINITY, INFINITY, -1}, {5, 0, NAN, INFINITY}, {-5, 0, NAN, -INFINITY}, {0, 0, NAN, NAN},
      {INFINITY, 3, NAN, NAN}, {NAN, 3, NAN, NAN}, {7.5, 2.5, 0, 3}, {1e300, 7, 6, 1.4285714285714285e299}};
  enum { CASES = sizeof cases / sizeof *cases };
  double a[CASES], b[CASES], mod[CASES], quotient[CASES];
  for (int i = 0; i < CASES; i++) {
    a[i] = cases[i][0];
    b[i] = cases[i][1];
  }
  run("pymod", FST_F64, FST_F64, 2, (const void *const[]){a, b}, mod, CASES);
  run("floordiv", FST_F64, FST_F64, 2, (const void *const[]){a, b}, quotient, CASES);
  tally t = {.name = "division", .dtype = FST_F64};
  for (int i = 0; i < CASES; i++) {
    if (i + 1 < CASES) compare(&t, a[i], b[i], mod[i], cases[i][2]);
    if (i + 1 == CASES) assert_true(mod[i] == (double)exact_pymod((long double)a[i], 7));
    compare(&t, a[i], b[i], quotient[i], cases[i][3]);
  }
  judge(&t, 1);
}

// PyTorch: NaN wherever any operand is NaN, and min(max(x, low), high) otherwise.
static void test_clamp(void **state) {
  (void)state;
  static const float x[] = {-1, 0.5f, 3, NAN, 1, 1, 1, -INFINITY}, low[] = {0, 0, 0, 0, NAN, 0, 2, 0}, high[] = {1, 1, 1, 1, 1, NAN, 0, 1};
  static const float expected[] = {0, 0.5f, 1, NAN, NAN, NAN, 0, 0};
  float out[8];
  run("clamp", FST_F32, FST_F32, 3, (const void *const[]){x, low, high}, out, 8);
  for (int i = 0; i < 8; i++) assert_true(isnan(expected[i]) ? isnan(out[i]) : out[i] == expected[i]);
}

// ---- integers: every pair of small values, against the plainest C ----

static int64_t wrap(fst_dtype dtype, int64_t v) { return (int64_t)fst_convert_eval(FST_I64, dtype, (uint64_t)v); }

static int64_t c_floordiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static int64_t c_pymod(int64_t a, int64_t b) { return a - b * c_floordiv(a, b); }
static int64_t c_gcd(int64_t a, int64_t b) {
  a = a < 0 ? -a : a;
  b = b < 0 ? -b : b;
  while (b) {
    int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}
static int64_t c_lcm(int64_t a, int64_t b) {
  int64_t g = c_gcd(a, b), l = g ? a / g * b : 0;
  return l < 0 ? -l : l;
}
static int64_t c_pow(fst_dtype dtype, int64_t a, int64_t b) {
  int64_t r = 1;
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  for (int64_t i = 0; i < b; i++) r = wrap(dtype, (int64_t)((uint64_t)r * (uint64_t)a));
  return r;
}

static int64_t expected_integer(const char *name, fst_dtype dtype, int64_t a, int64_t b) {
  if (!strcmp(name, "floordiv")) return wrap(dtype, c_floordiv(a, b));
  if (!strcmp(name, "pymod")) return wrap(dtype, c_pymod(a, b));
  if (!strcmp(name, "fmod")) return a % b;
  if (!strcmp(name, "div_trunc")) return wrap(dtype, a / b);
  if (!strcmp(name, "gcd")) return wrap(dtype, c_gcd(a, b));
  if (!strcmp(name, "lcm")) return wrap(dtype, dtype == FST_I32 || dtype == FST_I64 ? c_lcm(a, b) : (int64_t)(int32_t)c_lcm(a, b));
  if (!strcmp(name, "pow")) return c_pow(dtype, a, b);
  if (!strcmp(name, "lshift")) return b < 0 || b >= 64 ? 0 : wrap(dtype, (int64_t)((uint64_t)a << b));
  return a >> (b < 0 || b >= 64 ? 63 : b);   // rshift
}

static void check_integers(const char *name, fst_dtype dtype, const int64_t *values, int count) {
  size_t size = fst_dtype_size(dtype), total = (size_t)count * (size_t)count;
  char *a = malloc(total * size), *b = malloc(total * size), *out = malloc(total * size);
  bool divides = strcmp(name, "gcd") && strcmp(name, "lcm") && strcmp(name, "pow") && !strstr(name, "shift");
  for (int i = 0; i < count * count; i++) {
    int64_t x = values[i / count], y = values[i % count];
    if (divides && y == 0) y = 1;
    memcpy(a + (size_t)i * size, &x, size);
    memcpy(b + (size_t)i * size, &y, size);
  }
  run(name, dtype, dtype, 2, (const void *const[]){a, b}, out, count * count);
  for (int i = 0; i < count * count; i++) {
    int64_t x = values[i / count], y = values[i % count], found = 0;
    if (divides && y == 0) y = 1;
    memcpy(&found, out + (size_t)i * size, size);
    found = wrap(dtype, found);
    int64_t expected = expected_integer(name, dtype, x, y);
    if (found != expected) fail_msg("%s.%s(%lld, %lld) is %lld, not %lld", name, fst_dtype_name(dtype), (long long)x, (long long)y, (long long)found, (long long)expected);
  }
  free(a);
  free(b);
  free(out);
}

static void test_integers(void **state) {
  (void)state;
  static const char *const names[] = {"floordiv", "pymod", "fmod", "div_trunc", "gcd", "lcm", "pow", "lshift", "rshift"};
  static const int64_t is_signed[] = {0, 1, -1, 2, -2, 3, -3, 5, 6, 7, -7, 8, 12, -15, 21, 36, 63, -64, 100, 127, -128};
  static const int64_t is_unsigned[] = {0, 1, 2, 3, 5, 6, 8, 12, 21, 63, 64, 100, 128, 255};
  static const int64_t wide[] = {0, 1, -1, 2, 3, 12, 46368, 75025, 1836311903, -1836311903, INT64_C(2971215073), INT64_C(4052739537881), INT64_C(7540113804746346429), INT64_C(4660046610375530309)};
  static const fst_dtype dtypes[] = {FST_I8, FST_I16, FST_I32, FST_I64};
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    for (size_t d = 0; d < 4; d++) check_integers(names[n], dtypes[d], is_signed, sizeof is_signed / sizeof *is_signed - (dtypes[d] == FST_I8 && n < 6));
    check_integers(names[n], FST_U8, is_unsigned, sizeof is_unsigned / sizeof *is_unsigned);
  }
  // Fibonacci numbers take Euclid's algorithm the longest.
  check_integers("gcd", FST_I64, wide, sizeof wide / sizeof *wide);
  check_integers("pymod", FST_I64, wide, sizeof wide / sizeof *wide);
}

// ---- predicates and choices ----

static void test_predicates(void **state) {
  (void)state;
  static const struct { const char *name; bool of[6]; } cases[] = {
      {"isnan", {0, 0, 0, 0, 0, 1}}, {"isinf", {0, 0, 0, 1, 1, 0}}, {"isfinite", {1, 1, 1, 0, 0, 0}}, {"isposinf", {0, 0, 0, 1, 0, 0}},
      {"isneginf", {0, 0, 0, 0, 1, 0}}, {"signbit", {0, 1, 1, 0, 1, 0}}, {"logical_not", {1, 1, 0, 0, 0, 0}}};
  static const double values[] = {0.0, -0.0, -3, INFINITY, -INFINITY, NAN};
  static const fst_dtype dtypes[] = {FST_F32, FST_F64};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
    for (int d = 0; d < 2; d++) {
      double in[6];
      uint8_t out[6];
      for (int i = 0; i < 6; i++) store_number(dtypes[d], in, i, values[i]);
      run(cases[c].name, dtypes[d], FST_BOOL, 1, (const void *const[]){in}, out, 6);
      for (int i = 0; i < 6; i++)
        if (out[i] != cases[c].of[i]) fail_msg("%s.%s(%g) is %d", cases[c].name, fst_dtype_name(dtypes[d]), values[i], out[i]);
    }
}

// ---- the language ----

// 16-bit floats are computed in f32 and rounded once.
static void test_half(void **state) {
  (void)state;
  static const fst_dtype dtypes[] = {FST_F16, FST_BF16};
  for (int d = 0; d < 2; d++) {
    uint16_t in[1000], out[1000];
    float wide[1000], exact[1000];
    for (int i = 0; i < 1000; i++) {
      uint64_t bits = fst_convert_eval(dtypes[d], FST_F32, in[i] = (uint16_t)(i * 65 + 1));
      uint32_t single = (uint32_t)bits;
      memcpy(&wide[i], &single, sizeof wide[i]);
    }
    run("exp", dtypes[d], dtypes[d], 1, (const void *const[]){in}, out, 1000);
    run("exp", FST_F32, FST_F32, 1, (const void *const[]){wide}, exact, 1000);
    for (int i = 0; i < 1000; i++) {
      uint32_t single;
      memcpy(&single, &exact[i], sizeof single);
      assert_int_equal(out[i], (uint16_t)fst_convert_eval(FST_F32, dtypes[d], single));
    }
  }
}

extern const char fst_expand_kir[];
extern const unsigned fst_expand_kir_len;

static bool has_dtype(const char *kind, fst_dtype dtype) {
  if (!strcmp(kind, "any")) return true;
  if (!strcmp(kind, "float")) return dtype == FST_F32 || dtype == FST_F64;
  if (!strcmp(kind, "int")) return fst_dtype_is_integral(dtype, false);
  return !strcmp(kind, fst_dtype_name(dtype));
}

// Every function of the file can be called with every dtype that it names, and what it gives verifies.
static void test_all_functions(void **state) {
  (void)state;
  static const fst_dtype dtypes[] = {FST_F32, FST_F64, FST_I64, FST_I32, FST_I16, FST_I8, FST_U8};
  int functions = 0;
  for (const char *at = fst_expand_kir; at; at = strstr(at + 1, "\nfn ")) {
    char name[40], kind[8], operands[80];
    const char *line = *at == '\n' ? at + 1 : at;
    if (sscanf(line, "fn %39[a-z0-9_].%7[a-z0-9](%79[^)])", name, kind, operands) != 3) continue;
    uint32_t count = 1;
    for (const char *c = operands; *c; c++) count += *c == ',';
    functions++;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
      if (!has_dtype(kind, dtypes[d])) continue;
      fst_kernel *k = fst_kernel_create(name);
      fst_kx args[4];
      for (uint32_t i = 0; i < count; i++) args[i] = fst_kernel_param(k, dtypes[d]);
      assert_true(fst_kx_has_function(name, dtypes[d]));
      assert_int_not_equal(fst_kx_call(k, name, args, count).id, 0);
      check(fst_kernel_verify(k));
      fst_kernel_destroy(k);
    }
  }
  assert_true(functions > 150);
}

static uint32_t primitives(const char *function, fst_dtype dtype) {
  fst_kernel *k = fst_kernel_create(function);
  fst_kx x = fst_kernel_param(k, dtype), y = fst_kx_call(k, function, &x, 1);
  uint8_t *needed = calloc(k->exprs.len, 1);
  uint32_t count = 0;
  needed[y.id] = 1;
  for (uint32_t i = y.id; i > 0; i--) {
    const fst_kx_data *d = &k->exprs.data[i];
    if (!needed[i] || d->kind != FST_KX_PRIM) continue;
    count += d->prim != FST_PRIM_BITCAST;
    for (uint32_t a = 0; a < d->arg_count; a++) needed[d->args[a].id] = 1;
  }
  free(needed);
  fst_kernel_destroy(k);
  return count;
}

// What generated loops pay for: these may only get shorter.
static void test_lengths(void **state) {
  (void)state;
  assert_in_range(primitives("exp", FST_F32), 1, 22);
  assert_in_range(primitives("sigmoid", FST_F32), 1, 27);
  assert_in_range(primitives("tanh", FST_F32), 1, 31);
  assert_in_range(primitives("erf", FST_F32), 1, 36);
  assert_in_range(primitives("log", FST_F32), 1, 32);
}

static fst_kx lookup(void *context, const char *name) { return strcmp(name, "self") ? FST_NO_KX : *(fst_kx *)context; }

static void test_expression(void **state) {
  (void)state;
  fst_kernel *k = fst_kernel_create("expression");
  fst_kx self = fst_kernel_param(k, FST_F32), half = fst_kx_float(k, FST_F32, 0.5);
  fst_kx x = fst_kx_expression(k, "mul(add(self, 0.5), self)", FST_F32, lookup, &self);
  assert_true(fst_kx_eq(x, fst_kx_prim2(k, FST_PRIM_MUL, fst_kx_prim2(k, FST_PRIM_ADD, self, half), self)));
  assert_true(fst_kx_eq(fst_kx_expression(k, "self", FST_F32, lookup, &self), self));
  assert_true(fst_kx_eq(fst_kx_expression(k, "select(lt(self, -inf), 1e-2, 0x1p-3)", FST_F32, lookup, &self),
                        fst_kx_prim3(k, FST_PRIM_SELECT, fst_kx_prim2(k, FST_PRIM_LT, self, fst_kx_float(k, FST_F32, -INFINITY)), fst_kx_float(k, FST_F32, 1e-2), fst_kx_float(k, FST_F32, 0.125))));
  fst_kx whole = fst_kernel_param(k, FST_I64);
  assert_int_equal(fst_kx_expression(k, "hypot(self, self)", FST_I64, lookup, &whole).id, 0);
  assert_int_equal(fst_kx_expression(k, "add(1, sqrt(self))", FST_I64, lookup, &whole).id, 0);
  assert_false(fst_kx_has_function("no_such_function", FST_F32));
  assert_false(fst_kx_has_function("exp", FST_I32));
  assert_true(fst_kx_has_function("exp", FST_BF16));
  assert_int_equal(fst_kx_call(k, "no_such_function", &self, 1).id, 0);
  fst_kernel_destroy(k);
}

// Powers with a fixed exponent are what PyTorch makes of them.
static void test_fixed_powers(void **state) {
  (void)state;
  fst_kernel *k = fst_kernel_create("powers");
  fst_kx x = fst_kernel_param(k, FST_F32), one = fst_kx_float(k, FST_F32, 1), square = fst_kx_prim2(k, FST_PRIM_MUL, x, x);
  static const double exponents[] = {0, 1, 2, 3, -1, -2, 0.5, -0.5};
  fst_kx expected[] = {one, x, square, fst_kx_prim2(k, FST_PRIM_MUL, square, x), fst_kx_prim2(k, FST_PRIM_DIV, one, x), fst_kx_prim2(k, FST_PRIM_DIV, one, square),
                       fst_kx_prim1(k, FST_PRIM_SQRT, x), fst_kx_prim2(k, FST_PRIM_DIV, one, fst_kx_prim1(k, FST_PRIM_SQRT, x))};
  for (size_t i = 0; i < sizeof exponents / sizeof *exponents; i++) {
    fst_kx args[] = {x, fst_kx_float(k, FST_F32, exponents[i])};
    assert_true(fst_kx_eq(fst_kx_call(k, "pow", args, 2), expected[i]));
  }
  fst_kernel_destroy(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unary_f32),  cmocka_unit_test(test_unary_f64),       cmocka_unit_test(test_activations), cmocka_unit_test(test_binary),
      cmocka_unit_test(test_logaddexp),  cmocka_unit_test(test_python_division), cmocka_unit_test(test_clamp),       cmocka_unit_test(test_integers),
      cmocka_unit_test(test_predicates), cmocka_unit_test(test_half),            cmocka_unit_test(test_all_functions), cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_expression), cmocka_unit_test(test_fixed_powers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
