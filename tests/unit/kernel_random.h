// Random kernels over small buffers, for tests that compare two readings of a kernel. Every kernel verifies,
// and every access is in bounds.
#ifndef FST_TESTS_KERNEL_RANDOM_H
#define FST_TESTS_KERNEL_RANDOM_H

#include <stdlib.h>
#include <string.h>

#include "ir/kernel/kernel.h"

enum { RANDOM_BUFFERS = 3, RANDOM_SIZE = 3 };   // inputs, all RANDOM_SIZE x RANDOM_SIZE; then one output per statement

typedef struct kernel_random {
  uint64_t state;
  fst_kernel *k;
  fst_dtype buffers[RANDOM_BUFFERS];
  fst_kx vars[8];   // in scope
  uint32_t var_count;
  uint32_t budget;
} kernel_random;

static inline uint64_t kernel_random_below(kernel_random *r, uint64_t n) {
  r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (r->state >> 33) % n;
}

static inline fst_dtype kernel_random_dtype(kernel_random *r) {
  static const fst_dtype all[] = {FST_F32, FST_F32, FST_F64, FST_F16, FST_BF16, FST_I64, FST_I32, FST_I16, FST_I8, FST_U8, FST_BOOL};
  return all[kernel_random_below(r, sizeof all / sizeof *all)];
}

static inline fst_kx kernel_random_const(kernel_random *r, fst_dtype dtype) {
  static const double numbers[] = {0, 1, -1, 2, 0.5, 3, -2.5, 8};
  double v = numbers[kernel_random_below(r, 8)];
  return fst_kx_number(r->k, dtype, v, (int64_t)v);
}

static inline fst_kx kernel_random_index(kernel_random *r) {
  return r->var_count && kernel_random_below(r, 4) ? r->vars[kernel_random_below(r, r->var_count)] : fst_kx_int(r->k, (int64_t)kernel_random_below(r, RANDOM_SIZE));
}

static inline fst_kx kernel_random_expr(kernel_random *r, fst_dtype dtype, int depth);

static inline fst_kx kernel_random_load(kernel_random *r, fst_dtype dtype) {
  uint32_t buffer = (uint32_t)kernel_random_below(r, RANDOM_BUFFERS);
  fst_kx at[2] = {kernel_random_index(r), kernel_random_index(r)};
  return fst_kx_convert(r->k, fst_kx_load(r->k, buffer, at), dtype);
}

static inline fst_kx kernel_random_reduce(kernel_random *r, fst_dtype dtype, int depth) {
  fst_reduce op = dtype == FST_BOOL ? (fst_reduce)(FST_REDUCE_ANY + kernel_random_below(r, 2)) : (fst_reduce)kernel_random_below(r, FST_REDUCE_ANY);
  bool is_arg = op == FST_REDUCE_ARGMAX || op == FST_REDUCE_ARGMIN;
  fst_kx vars[2], extents[2];
  uint32_t count = 1 + (uint32_t)kernel_random_below(r, 2), outer = r->var_count;
  for (uint32_t i = 0; i < count; i++) {
    vars[i] = r->vars[r->var_count++] = fst_kernel_var(r->k, FST_I64);
    extents[i] = fst_kx_int(r->k, (int64_t)kernel_random_below(r, RANDOM_SIZE + (is_arg ? 0 : 1)) + (is_arg ? 1 : 0));
  }
  fst_kx body = kernel_random_expr(r, is_arg ? FST_F32 : dtype, depth - 1);
  r->var_count = outer;
  return fst_kx_convert(r->k, fst_kx_reduce(r->k, op, vars, extents, count, body), dtype);
}

static inline fst_kx kernel_random_expr(kernel_random *r, fst_dtype dtype, int depth) {
  fst_kx args[3];
  if (depth <= 0 || !r->budget) return kernel_random_below(r, 3) ? kernel_random_load(r, dtype) : kernel_random_const(r, dtype);
  r->budget--;
  if (kernel_random_below(r, 6) == 0 && r->var_count < 6) return kernel_random_reduce(r, dtype, depth);
  if (kernel_random_below(r, 5) == 0) return fst_kx_convert(r->k, kernel_random_expr(r, kernel_random_dtype(r), depth - 1), dtype);
  fst_prim prim = (fst_prim)kernel_random_below(r, FST_PRIM_COUNT);
  if (fst_prim_is_compare(prim) && dtype != FST_BOOL) prim = FST_PRIM_SELECT;
  fst_dtype operands = fst_prim_is_compare(prim) ? kernel_random_dtype(r) : dtype;
  bool shifts = prim == FST_PRIM_SHL || prim == FST_PRIM_SHR, divides = prim == FST_PRIM_DIV || prim == FST_PRIM_REM;
  if (prim == FST_PRIM_CONVERT || prim == FST_PRIM_BITCAST || (prim != FST_PRIM_SELECT && !fst_prim_takes(prim, operands))) prim = FST_PRIM_MAX;
  if (divides && operands == FST_BOOL) prim = FST_PRIM_AND;
  for (uint32_t i = 0; i < fst_prim_arity(prim); i++) args[i] = kernel_random_expr(r, prim == FST_PRIM_SELECT && i == 0 ? FST_BOOL : operands, depth - 1);
  // What the primitives leave undefined.
  if (shifts && prim != FST_PRIM_MAX) args[1] = fst_kx_number(r->k, operands, 3, 3);
  if (divides && !fst_dtype_is_float(operands) && prim != FST_PRIM_AND) args[1] = fst_kx_number(r->k, operands, 3, 3);
  return fst_kx_prim(r->k, prim, args, fst_prim_arity(prim));
}

static inline uint32_t kernel_random_buffer(kernel_random *r, fst_dtype dtype, bool written) {
  fst_kbuf b = {.dtype = dtype, .rank = 2, .is_written = written, .is_read = !written};
  for (int d = 0; d < 2; d++) {
    b.sizes[d] = fst_kx_int(r->k, RANDOM_SIZE);
    b.strides[d] = fst_kx_int(r->k, d ? 1 : RANDOM_SIZE);
  }
  return fst_kernel_buffer(r->k, &b);
}

static inline fst_kernel *kernel_random_make(uint64_t seed) {
  kernel_random r = {.state = seed * 7919 + 1, .k = fst_kernel_create("random")};
  uint32_t stmts = 1 + (uint32_t)kernel_random_below(&r, 2);
  for (int i = 0; i < RANDOM_BUFFERS; i++) kernel_random_buffer(&r, r.buffers[i] = kernel_random_dtype(&r), false);
  for (uint32_t s = 0; s < stmts; s++) {
    fst_dtype dtype = kernel_random_dtype(&r);
    uint32_t out = kernel_random_buffer(&r, dtype, true);
    fst_kx extents[2];
    for (int i = 0; i < 2; i++) {
      r.vars[i] = fst_kernel_var(r.k, FST_I64);
      extents[i] = fst_kx_int(r.k, RANDOM_SIZE);
    }
    r.var_count = 2;
    r.budget = 24;
    fst_kx at[2] = {r.vars[0], r.vars[1]};
    fst_kstore store = {out, kernel_random_expr(&r, dtype, 6), 2, at};
    fst_kernel_map(r.k, at, extents, 2, &store, 1);
  }
  return r.k;
}

#endif
