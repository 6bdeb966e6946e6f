// Short names for building kernel expressions inside lowerings, and loads that compute 16-bit floats wide.
// Private to ir/lower_*.c; everything is inline and without state.
#ifndef FST_IR_LOWER_BUILD_H
#define FST_IR_LOWER_BUILD_H

#include "ir/lower.h"

static inline fst_kx kx_int(fst_lower *lo, int64_t v) { return fst_kx_int(lo->kernel, v); }
static inline fst_kx kx_prim(fst_lower *lo, fst_prim prim, fst_kx a, fst_kx b) { return fst_kx_prim2(lo->kernel, prim, a, b); }
static inline fst_kx kx_add(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_ADD, a, b); }
static inline fst_kx kx_sub(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_SUB, a, b); }
static inline fst_kx kx_mul(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_MUL, a, b); }
// Index arithmetic: truncating, so operands must not be negative where floor is meant.
static inline fst_kx kx_div(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_DIV, a, b); }
static inline fst_kx kx_rem(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_REM, a, b); }
static inline fst_kx kx_min(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_MIN, a, b); }
static inline fst_kx kx_max(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_MAX, a, b); }
static inline fst_kx kx_eq(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_EQ, a, b); }
static inline fst_kx kx_ne(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_NE, a, b); }
static inline fst_kx kx_lt(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_LT, a, b); }
static inline fst_kx kx_le(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_LE, a, b); }
static inline fst_kx kx_and(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_AND, a, b); }
static inline fst_kx kx_or(fst_lower *lo, fst_kx a, fst_kx b) { return kx_prim(lo, FST_PRIM_OR, a, b); }
static inline fst_kx kx_not(fst_lower *lo, fst_kx a) { return fst_kx_prim1(lo->kernel, FST_PRIM_NOT, a); }
static inline fst_kx kx_select(fst_lower *lo, fst_kx c, fst_kx a, fst_kx b) { return fst_kx_prim3(lo->kernel, FST_PRIM_SELECT, c, a, b); }
static inline fst_kx kx_convert(fst_lower *lo, fst_kx a, fst_dtype dtype) { return fst_kx_convert(lo->kernel, a, fst_dtype_part(dtype)); }
static inline fst_dtype kx_dtype(fst_lower *lo, fst_kx a) { return fst_kx_get(lo->kernel, a)->dtype; }
static inline fst_kx kx_number(fst_lower *lo, fst_dtype dtype, double v) { return fst_kx_number(lo->kernel, fst_dtype_part(dtype), v, (int64_t)v); }
static inline fst_kx kx_zero(fst_lower *lo, fst_dtype dtype) { return fst_kx_number(lo->kernel, fst_dtype_part(dtype), 0.0, 0); }
static inline fst_kx kx_call1(fst_lower *lo, const char *function, fst_kx a) { return fst_kx_call(lo->kernel, function, &a, 1); }
static inline fst_kx kx_call2(fst_lower *lo, const char *function, fst_kx a, fst_kx b) {
  return fst_kx_call(lo->kernel, function, (fst_kx[]){a, b}, 2);
}
static inline fst_kx kx_var(fst_lower *lo) { return fst_kernel_var(lo->kernel, FST_I64); }
static inline bool kx_is_int(fst_lower *lo, fst_kx a, int64_t value) {
  int64_t got;
  return fst_kx_is_int(lo->kernel, a, &got) && got == value;
}
static inline fst_kx kx_sum(fst_lower *lo, const fst_kx *vars, const fst_kx *extents, uint32_t count, fst_kx body) {
  return count ? fst_kx_reduce(lo->kernel, FST_REDUCE_SUM, vars, extents, count, body) : body;
}

// 16-bit floats are computed in f32 and rounded once, where the result is stored.
static inline fst_dtype fst_dtype_wide(fst_dtype dtype) { return dtype == FST_F16 || dtype == FST_BF16 ? FST_F32 : dtype; }
static inline fst_kx kx_load_as(fst_lower *lo, uint32_t arg, const fst_kx *index, fst_dtype dtype) {
  return fst_lower_load_as(lo, arg, index, dtype);
}
static inline fst_kx kx_load_wide(fst_lower *lo, uint32_t arg, const fst_kx *index) {
  return kx_load_as(lo, arg, index, fst_dtype_wide(fst_lower_type(lo, arg)->dtype));
}
static inline void lower_finish(fst_lower *lo, fst_kx value) {
  if (value.id) lo->value = kx_convert(lo, value, fst_lower_result_type(lo, lo->result)->dtype);
}
// 0 <= index < size
static inline fst_kx kx_in_bounds(fst_lower *lo, fst_kx index, fst_kx size) {
  return kx_and(lo, kx_le(lo, kx_int(lo, 0), index), kx_lt(lo, index, size));
}
// True only for the operand of a row with this argument, and not None.
bool fst_lower_has_arg(const fst_lower *lo, int arg);

#endif
