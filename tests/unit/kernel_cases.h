// Kernels of every kind for every target: statements, reductions, dtypes, sizes around the vector width, strided and
// offset views, NaN and infinities, and random kernels. Included after the target's runner.
#ifndef FST_TESTS_KERNEL_CASES_H
#define FST_TESTS_KERNEL_CASES_H

#include "kernel_maker.h"

static const int64_t lengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 67};
enum { LENGTHS = sizeof lengths / sizeof *lengths };
static const fst_dtype all_dtypes[] = {FST_U8, FST_I8, FST_I16, FST_I32, FST_I64, FST_F16, FST_F32, FST_F64, FST_BOOL, FST_BF16};
enum { DTYPES = sizeof all_dtypes / sizeof *all_dtypes };

// ---- maps ----

static void test_map_lengths(void **state) {
  (void)state;
  for (int d = 0; d < DTYPES; d++) {
    for (int i = 0; i < LENGTHS; i++) {
      maker m = maker_begin("map_length");
      fst_dtype dtype = all_dtypes[d];
      uint32_t a = maker_buffer(&m, dtype, 1, &lengths[i], false), b = maker_buffer(&m, dtype, 1, &lengths[i], false), y = maker_buffer(&m, dtype, 1, &lengths[i], true);
      fst_kx j = var(&m);
      map_to(&m, &j, &lengths[i], 1, y, fst_kx_prim2(m.k, FST_PRIM_MAX, fst_kx_load(m.k, a, &j), fst_kx_load(m.k, b, &j)));
      maker_run(&m, 0);
    }
  }
}

static void test_convert(void **state) {
  (void)state;
  for (int from = 0; from < DTYPES; from++) {
    for (int to = 0; to < DTYPES; to++) {
      maker m = maker_begin("convert");
      m.special = HUGE_TOO;
      int64_t n = 43;
      uint32_t a = maker_buffer(&m, all_dtypes[from], 1, &n, false), y = maker_buffer(&m, all_dtypes[to], 1, &n, true);
      fst_kx j = var(&m);
      map_to(&m, &j, &n, 1, y, fst_kx_convert(m.k, fst_kx_load(m.k, a, &j), all_dtypes[to]));
      maker_run(&m, 0);
    }
  }
}

static bool prim_takes(fst_prim prim, fst_dtype dtype) {
  bool is_float = fst_dtype_is_float(dtype), is_bool = dtype == FST_BOOL;
  switch (prim) {
    case FST_PRIM_SELECT:
    case FST_PRIM_CONVERT:
    case FST_PRIM_BITCAST:
    case FST_PRIM_SHL:
    case FST_PRIM_SHR: return false;  // tested apart
    case FST_PRIM_FMA:
    case FST_PRIM_SQRT:
    case FST_PRIM_FLOOR:
    case FST_PRIM_CEIL:
    case FST_PRIM_TRUNC:
    case FST_PRIM_RINT: return is_float;
    case FST_PRIM_AND:
    case FST_PRIM_OR:
    case FST_PRIM_XOR:
    case FST_PRIM_NOT: return !is_float;
    case FST_PRIM_POPCNT:
    case FST_PRIM_CLZ: return !is_float && !is_bool;
    case FST_PRIM_MIN:
    case FST_PRIM_MAX:
    case FST_PRIM_EQ:
    case FST_PRIM_NE:
    case FST_PRIM_LT:
    case FST_PRIM_LE: return true;
    default: return !is_bool;
  }
}

// Every primitive on every dtype it takes, with special values; divisors are made nonzero.
static void test_prims(void **state) {
  (void)state;
  static const uint32_t arity[] = {
#define PRIM(id, name, n, doc) n,
#include "ir/kernel/scalar.def"
#undef PRIM
  };
  for (int p = 0; p < FST_PRIM_COUNT; p++) {
    for (int d = 0; d < DTYPES; d++) {
      fst_prim prim = (fst_prim)p;
      fst_dtype dtype = all_dtypes[d];
      if (!prim_takes(prim, dtype)) continue;
      maker m = maker_begin(fst_prim_name(prim));
      m.special = HUGE_TOO;
      int64_t n = 75;
      fst_kx j = var(&m), args[3];
      for (uint32_t i = 0; i < arity[p]; i++) {
        uint32_t buffer = maker_buffer(&m, dtype, 1, &n, false);
        args[i] = fst_kx_load(m.k, buffer, &j);
      }
      bool divides = prim == FST_PRIM_DIV || prim == FST_PRIM_REM;
      if (divides && !fst_dtype_is_float(dtype)) args[1] = fst_kx_prim2(m.k, FST_PRIM_OR, args[1], fst_kx_number(m.k, dtype, 1, 1));
      fst_kx value = fst_kx_prim(m.k, prim, args, arity[p]);
      uint32_t y = maker_buffer(&m, fst_kx_get(m.k, value)->dtype, 1, &n, true);
      map_to(&m, &j, &n, 1, y, value);
      maker_run(&m, 0);
    }
  }
}

static void test_shifts(void **state) {
  (void)state;
  for (int d = 0; d < 5; d++) {
    maker m = maker_begin("shift");
    m.special = HUGE_TOO;
    fst_dtype dtype = all_dtypes[d];
    int64_t n = 37;
    uint32_t a = maker_buffer(&m, dtype, 1, &n, false), b = maker_buffer(&m, dtype, 1, &n, false), y = maker_buffer(&m, dtype, 1, &n, true), z = maker_buffer(&m, dtype, 1, &n, true);
    fst_kx j = var(&m), x = fst_kx_load(m.k, a, &j);
    fst_kx by = fst_kx_prim2(m.k, FST_PRIM_AND, fst_kx_load(m.k, b, &j), fst_kx_number(m.k, dtype, 7, 7));
    map_to(&m, &j, &n, 1, y, fst_kx_prim2(m.k, FST_PRIM_SHL, x, by));
    map_to(&m, &j, &n, 1, z, fst_kx_prim2(m.k, FST_PRIM_SHR, x, by));
    maker_run(&m, 0);
  }
}

static void test_bitcast(void **state) {
  (void)state;
  const fst_dtype pairs[][2] = {{FST_F32, FST_I32}, {FST_I32, FST_F32}, {FST_F64, FST_I64}, {FST_F16, FST_I16}, {FST_I16, FST_BF16}, {FST_U8, FST_I8}};
  for (int p = 0; p < 6; p++) {
    maker m = maker_begin("bitcast");
    int64_t n = 19;
    uint32_t a = maker_buffer(&m, pairs[p][0], 1, &n, false), y = maker_buffer(&m, pairs[p][1], 1, &n, true);
    fst_kx j = var(&m);
    map_to(&m, &j, &n, 1, y, fst_kx_bitcast(m.k, fst_kx_load(m.k, a, &j), pairs[p][1]));
    maker_run(&m, 0);
  }
}

// Transposed, reversed, strided, broadcast and offset reads and writes.
static void test_views(void **state) {
  (void)state;
  for (int d = 0; d < DTYPES; d++) {
    for (int64_t n = 1; n < 20; n += 3) {
      fst_dtype dtype = all_dtypes[d];
      maker m = maker_begin("views");
      int64_t rows = 5, sizes[] = {rows, n}, swapped[] = {n, rows}, wide[] = {rows, 3 * n + 2};
      uint32_t t = maker_buffer(&m, dtype, 2, swapped, false), s = maker_buffer(&m, dtype, 2, wide, false), v = maker_buffer(&m, dtype, 1, &n, false);
      uint32_t y = maker_buffer(&m, dtype, 2, sizes, true), z = maker_buffer(&m, dtype, 2, swapped, true), w = maker_buffer(&m, dtype, 2, wide, true);
      fst_kx i = var(&m), j = var(&m), vars[] = {i, j}, back = add(&m, num(&m, n - 1), mul(&m, j, num(&m, -1)));
      fst_kx strided[] = {i, add(&m, mul(&m, j, num(&m, 3)), num(&m, 2))}, turned[] = {j, i};
      fst_kx value = fst_kx_prim2(m.k, FST_PRIM_MAX, fst_kx_load(m.k, t, turned), fst_kx_load(m.k, s, strided));
      value = fst_kx_prim2(m.k, FST_PRIM_MIN, value, fst_kx_load(m.k, v, &back));
      map_to(&m, vars, sizes, 2, y, value);
      fst_kx ext[] = {num(&m, rows), num(&m, n)}, other[] = {back, i};
      fst_kstore stores[] = {{z, value, 2, turned}, {w, fst_kx_load(m.k, t, other), 2, strided}};
      fst_kernel_map(m.k, vars, ext, 2, stores, 2);
      maker_run(&m, 0);
    }
  }
}

// The same with sizes and strides that are parameters.
static void test_symbolic(void **state) {
  (void)state;
  for (int i = 0; i < LENGTHS; i++) {
    maker m = maker_begin("symbolic");
    fst_kx rows = fst_kernel_param(m.k, FST_I64), n = fst_kernel_param(m.k, FST_I64), pitch = fst_kernel_param(m.k, FST_I64), scale = fst_kernel_param(m.k, FST_F32);
    int64_t r = 6, len = lengths[i];
    fst_kbuf in = {.dtype = FST_F32, .rank = 2, .sizes = {rows, n}, .strides = {n, num(&m, 1)}, .is_read = true};
    fst_kbuf out = {.dtype = FST_F32, .rank = 2, .sizes = {rows, n}, .strides = {n, num(&m, 1)}, .is_written = true};
    fst_kbuf spread = {.dtype = FST_F32, .rank = 2, .sizes = {rows, n}, .strides = {num(&m, 1), pitch}, .is_read = true};
    uint32_t a = fst_kernel_buffer(m.k, &in), b = fst_kernel_buffer(m.k, &spread), y = fst_kernel_buffer(m.k, &out), z = fst_kernel_buffer(m.k, &out);
    size_t counts[] = {(size_t)(r * len), (size_t)(7 * len), (size_t)(r * len), (size_t)(r * len)};
    for (uint32_t k = 0; k < 4; k++) {
      m.c.initial[k] = random_bytes(FST_F32, counts[k], PLAIN);
      m.c.bytes[k] = counts[k] * 4;
    }
    m.c.params[0] = (uint64_t)r;
    m.c.params[1] = (uint64_t)len;
    m.c.params[2] = 7;
    m.c.params[3] = fst_kx_get(m.k, fst_kx_float(m.k, FST_F32, 1.5))->bits;
    fst_kx vi = var(&m), vj = var(&m), vars[] = {vi, vj}, ext[] = {rows, n};
    fst_kx value = add(&m, fst_kx_load(m.k, a, vars), scale);
    fst_kstore flat = {y, value, 2, vars}, mixed = {z, mul(&m, value, fst_kx_load(m.k, b, vars)), 2, vars};
    fst_kernel_map(m.k, vars, ext, 2, &flat, 1);
    fst_kernel_map(m.k, vars, ext, 2, &mixed, 1);
    maker_run(&m, 0);
  }
}

// A select that protects loads: padding, with scalar and with varying conditions, and indices read from memory.
static void test_guarded(void **state) {
  (void)state;
  for (int d = 0; d < DTYPES; d++) {
    for (int i = 0; i < LENGTHS; i++) {
      fst_dtype dtype = all_dtypes[d];
      int64_t n = lengths[i], padded[] = {3, n + 5};
      maker m = maker_begin("guarded");
      uint32_t a = maker_buffer(&m, dtype, 1, &n, false), g = maker_buffer(&m, FST_I64, 1, &padded[1], false), y = maker_buffer(&m, dtype, 2, padded, true), z = maker_buffer(&m, dtype, 2, padded, true);
      fst_kx r = var(&m), j = var(&m), vars[] = {r, j}, zero = num(&m, 0), size = num(&m, n), back = add(&m, j, num(&m, -2));
      fst_kx inside = fst_kx_prim2(m.k, FST_PRIM_AND, fst_kx_prim2(m.k, FST_PRIM_LE, zero, back), fst_kx_prim2(m.k, FST_PRIM_LT, back, size));
      fst_kx none = fst_kx_number(m.k, dtype, 1, 1);
      map_to(&m, vars, padded, 2, y, fst_kx_prim3(m.k, FST_PRIM_SELECT, inside, fst_kx_load(m.k, a, &back), none));
      fst_kx at = fst_kx_load(m.k, g, &j), fits = fst_kx_prim2(m.k, FST_PRIM_AND, fst_kx_prim2(m.k, FST_PRIM_LE, zero, at), fst_kx_prim2(m.k, FST_PRIM_LT, at, size));
      fst_kx row_fits = fst_kx_prim2(m.k, FST_PRIM_LT, r, size);  // uniform in the vector
      fst_kx inner = fst_kx_prim3(m.k, FST_PRIM_SELECT, row_fits, fst_kx_load(m.k, a, &r), none);
      map_to(&m, vars, padded, 2, z, fst_kx_prim3(m.k, FST_PRIM_SELECT, fits, fst_kx_load(m.k, a, &at), inner));
      maker_run(&m, 0);
    }
  }
}

// ---- reductions ----

static const fst_reduce all_reduces[] = {FST_REDUCE_SUM, FST_REDUCE_PROD, FST_REDUCE_MAX, FST_REDUCE_MIN, FST_REDUCE_ARGMAX, FST_REDUCE_ARGMIN, FST_REDUCE_ANY, FST_REDUCE_ALL};

static bool reduce_takes(fst_reduce op, fst_dtype dtype) {
  if (op == FST_REDUCE_ANY || op == FST_REDUCE_ALL) return dtype == FST_BOOL;
  if (dtype == FST_BOOL) return false;
  if (op == FST_REDUCE_SUM || op == FST_REDUCE_PROD) return dtype != FST_F16 && dtype != FST_BF16;
  return true;
}

// y[i] = op over k of x[i, k], of x[k, i], and of all of x.
static void reduce_case(fst_reduce op, fst_dtype dtype, int64_t rows, int64_t n, variety special) {
  maker m = maker_begin("reduce");
  m.special = special;
  int64_t sizes[] = {rows, n};
  fst_dtype result = op == FST_REDUCE_ARGMAX || op == FST_REDUCE_ARGMIN ? FST_I64 : dtype;
  uint32_t x = maker_buffer(&m, dtype, 2, sizes, false), y = maker_buffer(&m, result, 1, &rows, true), z = maker_buffer(&m, result, 1, &n, true), t = maker_buffer(&m, result, 0, NULL, true);
  fst_kx i = var(&m), k = var(&m), along[] = {i, k}, en = num(&m, n), er = num(&m, rows), both[] = {er, en};
  if (n > 0 || op < FST_REDUCE_ARGMAX || op > FST_REDUCE_ARGMIN)
    map_to(&m, &i, &rows, 1, y, fst_kx_reduce(m.k, op, &k, &en, 1, fst_kx_load(m.k, x, along)));
  fst_kx j = var(&m), q = var(&m), across[] = {q, j};
  map_to(&m, &j, &n, 1, z, fst_kx_reduce(m.k, op, &q, &er, 1, fst_kx_load(m.k, x, across)));
  fst_kx u = var(&m), v = var(&m), all[] = {u, v};
  if (n > 0 || op < FST_REDUCE_ARGMAX || op > FST_REDUCE_ARGMIN)
    map_to(&m, NULL, NULL, 0, t, fst_kx_reduce(m.k, op, all, both, 2, fst_kx_load(m.k, x, all)));
  maker_run(&m, dtype == FST_F64 ? 1e-12 : 1e-4);
}

static void test_reduce(void **state) {
  (void)state;
  for (int op = 0; op < 8; op++)
    for (int d = 0; d < DTYPES; d++)
      if (reduce_takes(all_reduces[op], all_dtypes[d]))
        for (int i = 0; i < LENGTHS; i += 3) reduce_case(all_reduces[op], all_dtypes[d], 5, lengths[i], op < 2 ? SPECIAL : HUGE_TOO);
}

// Softmax along the last and along the first dim, layer norm: reductions inside expressions, one inside another.
static fst_kx softmax_of(maker *m, uint32_t x, fst_kx i, fst_kx j, bool last, fst_kx n) {
  fst_kx k1 = var(m), k2 = var(m), at[] = {i, j}, first[] = {last ? i : k1, last ? k1 : j}, second[] = {last ? i : k2, last ? k2 : j};
  fst_kx most = fst_kx_reduce(m->k, FST_REDUCE_MAX, &k1, &n, 1, fst_kx_load(m->k, x, first));
  fst_kx two = fst_kx_float(m->k, FST_F32, 2);
  fst_kx weight = fst_kx_prim2(m->k, FST_PRIM_SUB, fst_kx_load(m->k, x, second), most);
  weight = fst_kx_prim2(m->k, FST_PRIM_DIV, two, fst_kx_prim2(m->k, FST_PRIM_SUB, two, weight));
  fst_kx own = fst_kx_prim2(m->k, FST_PRIM_SUB, fst_kx_load(m->k, x, at), most);
  own = fst_kx_prim2(m->k, FST_PRIM_DIV, two, fst_kx_prim2(m->k, FST_PRIM_SUB, two, own));
  return fst_kx_prim2(m->k, FST_PRIM_DIV, own, fst_kx_reduce(m->k, FST_REDUCE_SUM, &k2, &n, 1, weight));
}

static void test_softmax(void **state) {
  (void)state;
  for (int i = 1; i < LENGTHS; i++) {
    maker m = maker_begin("softmax");
    int64_t sizes[] = {6, lengths[i]};
    uint32_t x = maker_buffer(&m, FST_F32, 2, sizes, false), y = maker_buffer(&m, FST_F32, 2, sizes, true), z = maker_buffer(&m, FST_F32, 2, sizes, true);
    fst_kx a = var(&m), b = var(&m), vars[] = {a, b}, c = var(&m), d = var(&m), others[] = {c, d};
    map_to(&m, vars, sizes, 2, y, softmax_of(&m, x, a, b, true, num(&m, lengths[i])));
    map_to(&m, others, sizes, 2, z, softmax_of(&m, x, c, d, false, num(&m, 6)));
    maker_run(&m, 1e-5);
  }
}

// Lengths that are read from memory: integer powers.
static void test_ragged(void **state) {
  (void)state;
  for (int i = 0; i < LENGTHS; i++) {
    maker m = maker_begin("ragged");
    int64_t sizes[] = {3, lengths[i]};
    uint32_t x = maker_buffer(&m, FST_I64, 2, sizes, false), p = maker_buffer(&m, FST_I64, 1, &sizes[1], false), y = maker_buffer(&m, FST_I64, 2, sizes, true);
    fst_kx r = var(&m), j = var(&m), k = var(&m), at[] = {r, j}, extent = fst_kx_load(m.k, p, &j);
    map_to(&m, at, sizes, 2, y, fst_kx_reduce(m.k, FST_REDUCE_PROD, &k, &extent, 1, add(&m, fst_kx_load(m.k, x, at), k)));
    maker_run(&m, 0);
  }
}

// ---- other statements ----

static void test_scatter(void **state) {
  (void)state;
  for (int combine = FST_COMBINE_SET; combine <= FST_COMBINE_MIN; combine++) {
    for (int d = 0; d < DTYPES; d++) {
      maker m = maker_begin("scatter");
      fst_dtype dtype = all_dtypes[d];
      int64_t n = 29, sizes[] = {4, n}, target[] = {15};
      uint32_t at = maker_buffer(&m, FST_I64, 2, sizes, false), x = maker_buffer(&m, dtype, 2, sizes, false), y = maker_buffer(&m, dtype, 1, target, true);
      fst_kx i = var(&m), j = var(&m), vars[] = {i, j};
      fst_kx where = add(&m, fst_kx_load(m.k, at, vars), num(&m, 7));
      fst_kstmt *s = fst_kernel_add_stmt(m.k, FST_KSTMT_SCATTER, 2, 1, 0);
      s->vars[0] = number_of(&m, i);
      s->vars[1] = number_of(&m, j);
      s->extents[0] = num(&m, 4);
      s->extents[1] = num(&m, n);
      s->combine = (fst_combine)combine;
      s->stores[0] = (fst_kstore){y, fst_kx_load(m.k, x, vars), 1, FST_NEW(&m.k->arena, fst_kx)};
      s->stores[0].indices[0] = where;
      maker_run(&m, 0);
    }
  }
}

// Running sum and running maximum with its position, along rows and along columns.
static void scan_case(fst_dtype dtype, int64_t rows, int64_t n, bool along_rows) {
  maker m = maker_begin("scan");
  int64_t sizes[] = {rows, n};
  uint32_t x = maker_buffer(&m, dtype, 2, sizes, false), y = maker_buffer(&m, dtype, 2, sizes, true), p = maker_buffer(&m, FST_I64, 2, sizes, true);
  fst_kx i = var(&m), j = var(&m), at[] = {i, j}, value = fst_kx_load(m.k, x, at);
  fst_kx best = fst_kernel_var(m.k, dtype), place = fst_kernel_var(m.k, FST_I64), last = along_rows ? j : i, first = along_rows ? i : j;
  fst_kx better = fst_kx_prim2(m.k, FST_PRIM_LT, best, value);
  fst_kstmt *s = fst_kernel_add_stmt(m.k, FST_KSTMT_SCAN, 2, 2, 2);
  s->vars[0] = number_of(&m, first);
  s->vars[1] = number_of(&m, last);
  s->extents[0] = num(&m, along_rows ? rows : n);
  s->extents[1] = num(&m, along_rows ? n : rows);
  s->carries[0] = number_of(&m, best);
  s->carries[1] = number_of(&m, place);
  s->carry_init[0] = fst_kx_number(m.k, dtype, -100, dtype == FST_U8 ? 0 : -100);
  s->carry_init[1] = num(&m, -1);
  s->carry_next[0] = fst_kx_prim3(m.k, FST_PRIM_SELECT, better, value, best);
  s->carry_next[1] = fst_kx_prim3(m.k, FST_PRIM_SELECT, better, last, place);
  fst_kx carried[] = {best, place};
  for (int k = 0; k < 2; k++) {
    s->stores[k] = (fst_kstore){k ? p : y, carried[k], 2, FST_NEW_ARRAY(&m.k->arena, fst_kx, 2)};
    memcpy(s->stores[k].indices, at, sizeof at);
  }
  maker_run(&m, 0);
}

static void test_scan(void **state) {
  (void)state;
  const fst_dtype dtypes[] = {FST_U8, FST_I64, FST_F32, FST_F64, FST_F16};
  for (int d = 0; d < 5; d++)
    for (int i = 0; i < LENGTHS; i += 2)
      for (int along = 0; along < 2; along++) scan_case(dtypes[d], 4, lengths[i], along);
}

static void test_sort(void **state) {
  (void)state;
  for (int d = 0; d < DTYPES; d++) {
    for (int i = 0; i < LENGTHS; i += 2) {
      for (int descending = 0; descending < 2; descending++) {
        maker m = maker_begin("sort");
        m.special = HUGE_TOO;
        int64_t sizes[] = {3, lengths[i]};
        uint32_t x = maker_buffer(&m, all_dtypes[d], 2, sizes, false), y = maker_buffer(&m, all_dtypes[d], 2, sizes, true), p = maker_buffer(&m, FST_I64, 2, sizes, true);
        fst_kx r = var(&m), j = var(&m), at[] = {r, j};
        fst_kstmt *s = fst_kernel_add_stmt(m.k, FST_KSTMT_SORT, 2, 2, 0);
        for (int k = 0; k < 2; k++) {
          s->vars[k] = number_of(&m, at[k]);
          s->extents[k] = num(&m, sizes[k]);
          s->stores[k] = (fst_kstore){k ? p : y, k ? j : fst_kx_load(m.k, x, at), 2, FST_NEW_ARRAY(&m.k->arena, fst_kx, 2)};
          memcpy(s->stores[k].indices, at, sizeof at);
        }
        s->descending = descending;
        maker_run(&m, 0);
      }
    }
  }
}

static void test_compact(void **state) {
  (void)state;
  for (int i = 0; i < LENGTHS; i++) {
    maker m = maker_begin("compact");
    int64_t sizes[] = {3, lengths[i]}, most = 3 * lengths[i], one = 1;
    uint32_t x = maker_buffer(&m, FST_BOOL, 2, sizes, false), y = maker_buffer(&m, FST_I64, 1, &most, true), z = maker_buffer(&m, FST_I64, 1, &most, true), n = maker_buffer(&m, FST_I64, 1, &one, true);
    fst_kx r = var(&m), j = var(&m), at[] = {r, j}, found = fst_kernel_var(m.k, FST_I64);
    fst_kstmt *s = fst_kernel_add_stmt(m.k, FST_KSTMT_COMPACT, 2, 2, 1);
    s->condition = fst_kx_load(m.k, x, at);
    s->count_buffer = n;
    s->carries[0] = number_of(&m, found);
    s->carry_init[0] = s->carry_next[0] = num(&m, 0);
    for (int k = 0; k < 2; k++) {
      s->vars[k] = number_of(&m, at[k]);
      s->extents[k] = num(&m, sizes[k]);
      s->stores[k] = (fst_kstore){k ? z : y, at[k], 1, FST_NEW(&m.k->arena, fst_kx)};
      s->stores[k].indices[0] = found;
    }
    maker_run(&m, 0);
  }
}

// ---- random kernels ----
// Expressions of floats, ints and bools over loads by any view, selects that guard loads, and reductions.

enum { RANDOM_RANK = 3 };
typedef struct grower {
  maker *m;
  int64_t extents[RANDOM_RANK];
  fst_kx vars[RANDOM_RANK];
  uint32_t buffers;
  int depth;
} grower;

static fst_kx grow(grower *g, fst_dtype dtype);

static fst_kx grow_load(grower *g, fst_dtype dtype) {
  int64_t sizes[RANDOM_RANK];
  fst_kx index[RANDOM_RANK];
  uint32_t rank = (uint32_t)random_below(RANDOM_RANK + 1);
  for (uint32_t d = 0; d < rank; d++) {
    uint32_t v = (uint32_t)random_below(RANDOM_RANK);
    int64_t scale = random_below(3) == 0 ? 2 : 1, shift = (int64_t)random_below(2);
    index[d] = add(g->m, mul(g->m, g->vars[v], num(g->m, scale)), num(g->m, shift));
    sizes[d] = g->extents[v] * scale + shift;
    if (sizes[d] < 1) sizes[d] = 1;
  }
  if (g->buffers >= RUNNER_MAX_BUFFERS - 2) return fst_kx_number(g->m->k, dtype, 2, 2);
  g->buffers++;
  return fst_kx_load(g->m->k, maker_buffer(g->m, dtype, rank, sizes, false), index);
}

static fst_kx grow_reduce(grower *g, fst_dtype dtype) {
  const fst_reduce ops[] = {FST_REDUCE_SUM, FST_REDUCE_MAX, FST_REDUCE_MIN};
  uint32_t v = (uint32_t)random_below(RANDOM_RANK);
  fst_kx outer = g->vars[v], own = var(g->m), extent = num(g->m, g->extents[v]);
  g->vars[v] = own;
  fst_kx body = grow(g, dtype);
  g->vars[v] = outer;
  return fst_kx_reduce(g->m->k, ops[random_below(3)], &own, &extent, 1, body);
}

static fst_kx grow_select(grower *g, fst_dtype dtype) {
  fst_kx condition = grow(g, FST_BOOL), a = grow(g, dtype), b = grow(g, dtype);
  return fst_kx_prim3(g->m->k, FST_PRIM_SELECT, condition, a, b);
}

// A load whose index comes from memory, guarded.
static fst_kx grow_gather(grower *g, fst_dtype dtype) {
  int64_t size = 11;
  if (g->buffers >= RUNNER_MAX_BUFFERS - 3) return grow_load(g, dtype);
  fst_kx at = grow(g, FST_I64), zero = num(g->m, 0);
  g->buffers++;
  uint32_t table = maker_buffer(g->m, dtype, 1, &size, false);
  fst_kx inside = fst_kx_prim2(g->m->k, FST_PRIM_AND, fst_kx_prim2(g->m->k, FST_PRIM_LE, zero, at), fst_kx_prim2(g->m->k, FST_PRIM_LT, at, num(g->m, size)));
  return fst_kx_prim3(g->m->k, FST_PRIM_SELECT, inside, fst_kx_load(g->m->k, table, &at), grow(g, dtype));
}

static fst_kx grow_bool(grower *g) {
  const fst_dtype dtypes[] = {FST_F32, FST_I64, FST_F32};
  const fst_prim prims[] = {FST_PRIM_LT, FST_PRIM_LE, FST_PRIM_EQ, FST_PRIM_NE};
  fst_dtype dtype = dtypes[random_below(3)];
  return fst_kx_prim2(g->m->k, prims[random_below(4)], grow(g, dtype), grow(g, dtype));
}

static fst_kx grow(grower *g, fst_dtype dtype) {
  const fst_prim prims[] = {FST_PRIM_ADD, FST_PRIM_SUB, FST_PRIM_MUL, FST_PRIM_MIN, FST_PRIM_MAX};
  const fst_dtype others[] = {FST_F32, FST_I64, FST_F64, FST_I32};
  if (g->depth <= 0) return dtype == FST_I64 && random_below(2) ? g->vars[random_below(RANDOM_RANK)] : grow_load(g, dtype);
  g->depth--;
  fst_kx value;
  if (dtype == FST_BOOL) value = grow_bool(g);
  else switch (random_below(8)) {
    case 0: value = grow_load(g, dtype); break;
    case 1: value = grow_select(g, dtype); break;
    case 2: value = grow_reduce(g, dtype); break;
    case 3: value = fst_kx_convert(g->m->k, grow(g, others[random_below(4)]), dtype); break;
    case 4: value = grow_gather(g, dtype); break;
    default: value = fst_kx_prim2(g->m->k, prims[random_below(5)], grow(g, dtype), grow(g, dtype));
  }
  g->depth++;
  return value;
}

static void random_case(uint64_t seed) {
  const fst_dtype dtypes[] = {FST_F32, FST_F32, FST_F64, FST_I32, FST_I64, FST_I16};
  random_state = seed * 77777 + 5;
  maker m = maker_begin("random");
  fst_dtype dtype = dtypes[random_below(6)];
  grower g = {.m = &m, .depth = 4};
  for (int d = 0; d < RANDOM_RANK; d++) {
    g.extents[d] = (int64_t)random_below(d == RANDOM_RANK - 1 ? 20 : 5) + (random_below(8) != 0);
    g.vars[d] = var(&m);
  }
  fst_kx value = grow(&g, dtype);
  uint32_t y = maker_buffer(&m, dtype, RANDOM_RANK, g.extents, true);
  map_to(&m, g.vars, g.extents, RANDOM_RANK, y, value);
  maker_run(&m, dtype == FST_F64 ? 1e-9 : 1e-3);
}

static void test_random(void **state) {
  (void)state;
  const char *only = getenv("FST_TEST_SEED"), *count = getenv("FST_TEST_COUNT");
  if (only) {
    random_case((uint64_t)atoll(only));
    return;
  }
  for (uint64_t seed = 1; seed <= (uint64_t)(count ? atoll(count) : 150); seed++) {
    if (count) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    random_case(seed);
  }
}

#define KERNEL_CASES(TEST) \
  TEST(test_map_lengths) \
  TEST(test_convert) \
  TEST(test_prims) \
  TEST(test_shifts) \
  TEST(test_bitcast) \
  TEST(test_views) \
  TEST(test_symbolic) \
  TEST(test_guarded) \
  TEST(test_reduce) \
  TEST(test_softmax) \
  TEST(test_ragged) \
  TEST(test_scatter) \
  TEST(test_scan) \
  TEST(test_sort) \
  TEST(test_compact) \
  TEST(test_random)

#endif
