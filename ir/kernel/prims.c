// The scalar semantics on constants: what the folder and the interpreter compute, and what generated code must.
//
// Values travel as 64 bits: bool 0 or 1, integers sign- or zero-extended from their width, floats by their
// representation. 16-bit floats compute in float and round once.
#include <math.h>
#include <string.h>

#include "ir/kernel/kernel.h"

const char *fst_prim_name(fst_prim prim) {
  static const char *const names[] = {
#define PRIM(id, name, arity, doc) name,
#include "ir/kernel/scalar.def"
#undef PRIM
  };
  return names[prim];
}

uint32_t fst_prim_arity(fst_prim prim) {
  static const uint8_t arity[] = {
#define PRIM(id, name, n, doc) n,
#include "ir/kernel/scalar.def"
#undef PRIM
  };
  return arity[prim];
}

bool fst_prim_is_compare(fst_prim prim) { return prim == FST_PRIM_EQ || prim == FST_PRIM_NE || prim == FST_PRIM_LT || prim == FST_PRIM_LE; }

bool fst_prim_takes(fst_prim prim, fst_dtype dtype) {
  fst_dtype_kind kind = fst_dtype_kind_of(dtype);
  if (kind == FST_KIND_NONE || kind == FST_KIND_COMPLEX) return false;
  switch (prim) {
    case FST_PRIM_FMA: case FST_PRIM_SQRT: case FST_PRIM_FLOOR: case FST_PRIM_CEIL: case FST_PRIM_TRUNC: case FST_PRIM_RINT: return kind == FST_KIND_FLOAT;
    case FST_PRIM_AND: case FST_PRIM_OR: case FST_PRIM_XOR: case FST_PRIM_NOT: return kind != FST_KIND_FLOAT;
    case FST_PRIM_SHL: case FST_PRIM_SHR: case FST_PRIM_POPCNT: case FST_PRIM_CLZ: return kind == FST_KIND_INT || kind == FST_KIND_UINT;
    case FST_PRIM_SELECT: return dtype == FST_BOOL;   // of the condition; the sides may be anything
    default: return true;
  }
}

// ---- 16-bit floats ---------------------------------------------------------------------------------

static uint32_t float_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}
static float bits_float(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

static float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  if (exponent == 31) return bits_float(sign | 0x7f800000u | fraction << 13);
  float magnitude = exponent ? bits_float((exponent + 112) << 23 | fraction << 13) : (float)fraction * 0x1p-24f;
  return bits_float(float_bits(magnitude) | sign);
}

static uint16_t float_to_half(float f) {
  uint32_t u = float_bits(f), sign = u >> 16 & 0x8000, rest = u & 0x7fffffffu;
  if (rest > 0x7f800000u) return (uint16_t)(sign | 0x7e00);
  if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7c00);   // rounds to infinity
  if (rest < 0x38800000u)                                       // subnormal: let the addition round
    return (uint16_t)(sign | (float_bits(bits_float(rest) + 0.5f) - float_bits(0.5f)));
  rest += 0xfff + (rest >> 13 & 1);                             // to nearest, ties to even
  return (uint16_t)(sign | (rest - 0x38000000u) >> 13);
}

static uint16_t float_to_bfloat(float f) {
  uint32_t u = float_bits(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

// ---- conversions -----------------------------------------------------------------------------------

static double to_double(fst_dtype dtype, uint64_t bits) {
  double d;
  switch (dtype) {
    case FST_F64: memcpy(&d, &bits, sizeof d); return d;
    case FST_F32: return bits_float((uint32_t)bits);
    case FST_F16: return half_to_float((uint16_t)bits);
    case FST_BF16: return bits_float((uint32_t)bits << 16);
    default: return (double)(int64_t)bits;
  }
}

static uint64_t from_double(fst_dtype dtype, double d) {
  uint64_t bits;
  switch (dtype) {
    case FST_F64: memcpy(&bits, &d, sizeof bits); return bits;
    case FST_F32: return float_bits((float)d);
    case FST_F16: return float_to_half((float)d);
    default: return float_to_bfloat((float)d);
  }
}

// An integer in its dtype's range, wrapped.
static uint64_t wrap(fst_dtype dtype, uint64_t v) {
  switch (dtype) {
    case FST_U8: return (uint8_t)v;
    case FST_I8: return (uint64_t)(int64_t)(int8_t)v;
    case FST_I16: return (uint64_t)(int64_t)(int16_t)v;
    case FST_I32: return (uint64_t)(int64_t)(int32_t)v;
    case FST_BOOL: return v != 0;
    default: return v;
  }
}

// As x86's cvttsd2si, which PyTorch's conversions are: through 32 bits to signed integers of at most as many, else through
// 64; what does not fit becomes the lowest integer.
static int64_t truncate(double d, fst_dtype to) {
  bool narrow = to == FST_I8 || to == FST_I16 || to == FST_I32;
  if (narrow) return d > -0x1p31 - 1 && d < 0x1p31 ? (int64_t)d : INT32_MIN;
  return d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : INT64_MIN;
}

uint64_t fst_convert_eval(fst_dtype from, fst_dtype to, uint64_t bits) {
  bool from_float = fst_dtype_is_float(from), to_float = fst_dtype_is_float(to);
  if (from == to) return bits;
  if (to == FST_BOOL) return from_float ? to_double(from, bits) != 0 : bits != 0;
  if (!from_float && !to_float) return wrap(to, bits);
  if (!to_float) return wrap(to, (uint64_t)truncate(to_double(from, bits), to));
  // Integers to float round once: through double they would round twice for F32.
  if (!from_float && to == FST_F32) return float_bits((float)(int64_t)bits);
  if (!from_float && to != FST_F64) return from_double(to, (double)(float)(int64_t)bits);
  return from_double(to, to_double(from, bits));
}

// ---- primitives ------------------------------------------------------------------------------------

static uint64_t float_prim(fst_prim prim, fst_dtype dtype, const uint64_t *v) {
  double a = to_double(dtype, v[0]), b = 0, r;
  bool single = dtype != FST_F64;
  if (fst_prim_arity(prim) > 1) b = to_double(dtype, v[1]);
  switch (prim) {
    case FST_PRIM_ADD: r = single ? (float)a + (float)b : a + b; break;
    case FST_PRIM_SUB: r = single ? (float)a - (float)b : a - b; break;
    case FST_PRIM_MUL: r = single ? (float)a * (float)b : a * b; break;
    case FST_PRIM_DIV: r = single ? (float)a / (float)b : a / b; break;
    case FST_PRIM_REM: r = fmod(a, b); break;
    case FST_PRIM_FMA: r = single ? fmaf((float)a, (float)b, (float)to_double(dtype, v[2])) : fma(a, b, to_double(dtype, v[2])); break;
    case FST_PRIM_NEG: return v[0] ^ UINT64_C(1) << (fst_dtype_size(dtype) * 8 - 1);
    case FST_PRIM_ABS: return v[0] & ~(UINT64_C(1) << (fst_dtype_size(dtype) * 8 - 1));
    case FST_PRIM_MIN: return a != a ? v[0] : b != b ? v[1] : a < b ? v[0] : v[1];
    case FST_PRIM_MAX: return a != a ? v[0] : b != b ? v[1] : a > b ? v[0] : v[1];
    case FST_PRIM_EQ: return a == b;
    case FST_PRIM_NE: return a != b;
    case FST_PRIM_LT: return a < b;
    case FST_PRIM_LE: return a <= b;
    case FST_PRIM_SQRT: r = single ? sqrtf((float)a) : sqrt(a); break;
    case FST_PRIM_FLOOR: r = floor(a); break;
    case FST_PRIM_CEIL: r = ceil(a); break;
    case FST_PRIM_TRUNC: r = trunc(a); break;
    case FST_PRIM_RINT: r = rint(a); break;
    default: FST_UNREACHABLE("%s of floats", fst_prim_name(prim));
  }
  return from_double(dtype, r);
}

static uint64_t int_prim(fst_prim prim, fst_dtype dtype, const uint64_t *v) {
  uint64_t a = v[0], b = v[1];
  int64_t sa = (int64_t)a, sb = (int64_t)b;
  unsigned width = (unsigned)fst_dtype_size(dtype) * 8;
  uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
  switch (prim) {
    case FST_PRIM_ADD: return wrap(dtype, a + b);
    case FST_PRIM_SUB: return wrap(dtype, a - b);
    case FST_PRIM_MUL: return wrap(dtype, a * b);
    case FST_PRIM_DIV: return sb == 0 ? 0 : wrap(dtype, sb == -1 ? 0 - a : (uint64_t)(sa / sb));
    case FST_PRIM_REM: return sb == 0 || sb == -1 ? 0 : wrap(dtype, (uint64_t)(sa % sb));
    case FST_PRIM_NEG: return wrap(dtype, 0 - a);
    case FST_PRIM_ABS: return wrap(dtype, sa < 0 ? 0 - a : a);
    case FST_PRIM_MIN: return sa < sb ? a : b;
    case FST_PRIM_MAX: return sa > sb ? a : b;
    case FST_PRIM_EQ: return a == b;
    case FST_PRIM_NE: return a != b;
    case FST_PRIM_LT: return sa < sb;
    case FST_PRIM_LE: return sa <= sb;
    case FST_PRIM_AND: return wrap(dtype, a & b);
    case FST_PRIM_OR: return wrap(dtype, a | b);
    case FST_PRIM_XOR: return wrap(dtype, a ^ b);
    case FST_PRIM_NOT: return dtype == FST_BOOL ? !a : wrap(dtype, ~a);
    case FST_PRIM_SHL: return wrap(dtype, b < 64 ? a << b : 0);
    case FST_PRIM_SHR: return dtype == FST_U8 ? (a & 0xff) >> (b < 8 ? b : 7) : wrap(dtype, (uint64_t)(sa >> (b < 64 ? b : 63)));
    case FST_PRIM_POPCNT: return (uint64_t)__builtin_popcountll(a & mask);
    case FST_PRIM_CLZ: return (a & mask) ? (uint64_t)__builtin_clzll(a & mask) - (64 - width) : width;
    default: FST_UNREACHABLE("%s of integers", fst_prim_name(prim));
  }
}

uint64_t fst_prim_eval(fst_prim prim, fst_dtype dtype, const uint64_t *args) {
  return fst_dtype_is_float(dtype) ? float_prim(prim, dtype, args) : int_prim(prim, dtype, args);
}
