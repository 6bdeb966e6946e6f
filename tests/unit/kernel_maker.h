// Kernels and their data for the tests of code generation: what every target is given, and how results are compared.
//
// The test that includes this defines runner_run, which runs the case on its target and on the interpreter.
#ifndef FST_TESTS_KERNEL_MAKER_H
#define FST_TESTS_KERNEL_MAKER_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "codegen/codegen.h"

enum { RUNNER_PAGE = 4096, RUNNER_MAX_BUFFERS = 16 };

// Buffers end where an unreadable page begins (or begin behind one), so that a vector that reaches too far is a crash
// and not luck.
typedef struct runner_memory { char *map; size_t map_bytes; char *data; size_t bytes; } runner_memory;

static inline runner_memory runner_alloc(size_t bytes, int at_end) {
  runner_memory m = {.bytes = bytes};
  size_t pages = (bytes + RUNNER_PAGE - 1) / RUNNER_PAGE * RUNNER_PAGE;
  m.map_bytes = pages + 2 * RUNNER_PAGE;
  m.map = mmap(NULL, m.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(m.map != MAP_FAILED);
  if (pages) assert_int_equal(mprotect(m.map + RUNNER_PAGE, pages, PROT_READ | PROT_WRITE), 0);
  m.data = at_end ? m.map + RUNNER_PAGE + pages - bytes : m.map + RUNNER_PAGE;
  return m;
}

static inline void runner_free(runner_memory *m) { munmap(m->map, m->map_bytes); }

static inline void runner_check(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

static inline double runner_number(fst_dtype dtype, const char *at) {
  uint64_t bits = 0;
  memcpy(&bits, at, fst_dtype_size(dtype));
  uint64_t wide = fst_convert_eval(dtype, FST_F64, bits);
  double value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

// Equal bytes; or, for floats, NaN in the same places and a difference within tolerance * (1 + |value|).
static inline void runner_compare(const char *name, size_t buffer, fst_dtype dtype, const runner_memory *expected, const runner_memory *found, double tolerance) {
  size_t size = fst_dtype_size(dtype);
  for (size_t at = 0; at + size <= expected->bytes; at += size) {
    if (!memcmp(expected->data + at, found->data + at, size)) continue;
    if (fst_dtype_is_float(dtype)) {
      double a = runner_number(dtype, expected->data + at), b = runner_number(dtype, found->data + at);
      if ((isnan(a) && isnan(b)) || a == b || fabs(a - b) <= tolerance * (1 + fabs(a))) continue;
      fail_msg("%s: buffer %zu element %zu: interpreted %.9g, native %.9g", name, buffer, at / size, a, b);
    }
    uint64_t a = 0, b = 0;
    memcpy(&a, expected->data + at, size);
    memcpy(&b, found->data + at, size);
    fail_msg("%s: buffer %zu element %zu: interpreted %llx, native %llx", name, buffer, at / size, (unsigned long long)a, (unsigned long long)b);
  }
}

typedef struct runner_case {
  const char *name;
  const fst_kernel *kernel;
  const void *initial[RUNNER_MAX_BUFFERS];  // contents before the call
  size_t bytes[RUNNER_MAX_BUFFERS];
  bool constant[RUNNER_MAX_BUFFERS];
  uint64_t params[16];
  double tolerance;
} runner_case;

// Runs the case, compares, and lets go of its kernel and data with runner_done, now or later.
static void runner_run(const runner_case *c);

static inline void runner_done(const runner_case *c) {
  for (size_t i = 0; i < c->kernel->buffers.len; i++) free((void *)(uintptr_t)c->initial[i]);
  fst_kernel_destroy((fst_kernel *)(uintptr_t)c->kernel);
}

// ---- making kernels and data ----

static uint64_t random_state = 1;
static inline uint64_t random_next(void) {
  random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return random_state >> 29;
}
static inline uint64_t random_below(uint64_t n) { return random_next() % n; }

// What values hold besides small numbers: zeros of both signs, infinities and NaN; and huge ones, which in a
// sum would make the order of addition matter.
typedef enum { PLAIN, SPECIAL, HUGE_TOO } variety;

static inline uint64_t random_value(fst_dtype dtype, variety special) {
  static const double specials[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 0.5, -2.5, 3e9, 1e30, -1e30};
  double d = (double)(int64_t)random_below(4001) / 500.0 - 4.0;
  uint64_t bits;
  if (dtype == FST_BOOL) return random_below(2);
  if (fst_dtype_is_float(dtype)) {
    if (special && random_below(6) == 0) d = specials[random_below(special == SPECIAL ? 7 : 10)];
    memcpy(&bits, &d, sizeof bits);
    return fst_convert_eval(FST_F64, dtype, bits);
  }
  int64_t i = (int64_t)random_below(15) - 7;
  if (special && random_below(5) == 0) i = (int64_t)(random_next() << 31 ^ random_next());
  return fst_convert_eval(FST_I64, dtype, (uint64_t)i);
}

static inline void *random_bytes(fst_dtype dtype, size_t count, variety special) {
  size_t size = fst_dtype_size(dtype);
  char *bytes = malloc(count * size + 1);
  for (size_t i = 0; i < count; i++) {
    uint64_t value = random_value(dtype, special);
    memcpy(bytes + i * size, &value, size);
  }
  return bytes;
}

typedef struct maker {
  fst_kernel *k;
  runner_case c;
  variety special;
} maker;

static inline maker maker_begin(const char *name) {
  maker m = {.k = fst_kernel_create(name)};
  m.c.name = name;
  return m;
}

static inline uint32_t maker_buffer_strided(maker *m, fst_dtype dtype, uint32_t rank, const int64_t *sizes, const int64_t *strides, size_t elements, bool written) {
  fst_kbuf buffer = {.dtype = dtype, .rank = rank, .is_written = written, .is_read = !written};
  for (uint32_t d = 0; d < rank; d++) {
    buffer.sizes[d] = fst_kx_int(m->k, sizes[d]);
    buffer.strides[d] = fst_kx_int(m->k, strides[d]);
  }
  uint32_t id = fst_kernel_buffer(m->k, &buffer);
  m->c.initial[id] = random_bytes(dtype, elements, m->special);
  m->c.bytes[id] = elements * fst_dtype_size(dtype);
  return id;
}

static inline uint32_t maker_buffer(maker *m, fst_dtype dtype, uint32_t rank, const int64_t *sizes, bool written) {
  int64_t strides[FST_KERNEL_MAX_DIMS], total = 1;
  for (uint32_t d = rank; d-- > 0;) {
    strides[d] = total;
    total *= sizes[d];
  }
  return maker_buffer_strided(m, dtype, rank, sizes, strides, (size_t)total, written);
}

static inline void maker_run(maker *m, double tolerance) {
  m->c.kernel = m->k;
  m->c.tolerance = tolerance;
  runner_check(fst_kernel_verify(m->k));
  runner_run(&m->c);
}

static inline fst_kx var(maker *m) { return fst_kernel_var(m->k, FST_I64); }
static inline fst_kx num(maker *m, int64_t v) { return fst_kx_int(m->k, v); }
static inline fst_kx add(maker *m, fst_kx a, fst_kx b) { return fst_kx_prim2(m->k, FST_PRIM_ADD, a, b); }
static inline fst_kx mul(maker *m, fst_kx a, fst_kx b) { return fst_kx_prim2(m->k, FST_PRIM_MUL, a, b); }
static inline uint32_t number_of(maker *m, fst_kx v) { return fst_kx_get(m->k, v)->index; }

static inline void map_to(maker *m, const fst_kx *vars, const int64_t *extents, uint32_t count, uint32_t buffer, fst_kx value) {
  fst_kx ext[FST_KERNEL_MAX_DIMS], idx[FST_KERNEL_MAX_DIMS];
  for (uint32_t i = 0; i < count; i++) {
    ext[i] = num(m, extents[i]);
    idx[i] = vars[i];
  }
  fst_kstore store = {buffer, value, count, idx};
  fst_kernel_map(m->k, vars, ext, count, &store, 1);
}

#endif
