// Kernels at sizes where CUDA's schedules change: rows for a warp, a block, longer than registers hold; rows that lie
// side by side; lengths that are known and lengths that are parameters.
#ifndef FST_TESTS_CUDA_CASES_H
#define FST_TESTS_CUDA_CASES_H

#include "contract_cases.h"
#include "kernel_cases.h"

static uint32_t symbolic_buffer(maker *m, fst_dtype dtype, fst_kx rows, fst_kx n, size_t elements, bool written) {
  fst_kbuf buffer = {.dtype = dtype, .rank = 2, .sizes = {rows, n}, .strides = {n, num(m, 1)}, .is_read = !written, .is_written = written};
  uint32_t id = fst_kernel_buffer(m->k, &buffer);
  m->c.initial[id] = random_bytes(dtype, elements, m->special);
  m->c.bytes[id] = elements * fst_dtype_size(dtype);
  return id;
}

// (x - mean) / (1 + variance) * g + x: three passes over a row, of which two wait for the one before.
static void norm_case(fst_dtype dtype, int64_t rows, int64_t n, bool symbolic, variety special) {
  maker m = maker_begin("norm");
  m.special = special;
  fst_kx er = num(&m, rows), en = num(&m, n);
  if (symbolic) {
    er = fst_kernel_param(m.k, FST_I64);
    en = fst_kernel_param(m.k, FST_I64);
    m.c.params[0] = (uint64_t)rows;
    m.c.params[1] = (uint64_t)n;
  }
  uint32_t x = symbolic_buffer(&m, dtype, er, en, (size_t)(rows * n), false), g = symbolic_buffer(&m, FST_F32, num(&m, 1), en, (size_t)n, false);
  uint32_t y = symbolic_buffer(&m, dtype, er, en, (size_t)(rows * n), true);
  fst_kx i = var(&m), j = var(&m), k1 = var(&m), k2 = var(&m), at[] = {i, j}, first[] = {i, k1}, second[] = {i, k2}, scale[] = {num(&m, 0), j};
  fst_kx count = fst_kx_convert(m.k, en, FST_F32), own = fst_kx_convert(m.k, fst_kx_load(m.k, x, at), FST_F32);
  fst_kx mean = fst_kx_reduce(m.k, FST_REDUCE_SUM, &k1, &en, 1, fst_kx_convert(m.k, fst_kx_load(m.k, x, first), FST_F32));
  mean = fst_kx_prim2(m.k, FST_PRIM_DIV, mean, count);
  fst_kx apart = fst_kx_prim2(m.k, FST_PRIM_SUB, fst_kx_convert(m.k, fst_kx_load(m.k, x, second), FST_F32), mean);
  fst_kx spread = fst_kx_prim2(m.k, FST_PRIM_DIV, fst_kx_reduce(m.k, FST_REDUCE_SUM, &k2, &en, 1, mul(&m, apart, apart)), count);
  fst_kx value = fst_kx_prim2(m.k, FST_PRIM_DIV, fst_kx_prim2(m.k, FST_PRIM_SUB, own, mean), add(&m, spread, fst_kx_float(m.k, FST_F32, 1)));
  value = fst_kx_convert(m.k, add(&m, mul(&m, value, fst_kx_load(m.k, g, scale)), own), dtype);
  fst_kx vars[] = {i, j}, extents[] = {er, en};
  fst_kstore store = {y, value, 2, at};
  fst_kernel_map(m.k, vars, extents, 2, &store, 1);
  maker_run(&m, dtype == FST_F32 ? 1e-4 : 2e-2);
}

static void test_norm_lengths(void **state) {
  (void)state;
  const int64_t lengths_of_rows[] = {5, 33, 64, 100, 256, 1000, 1023, 1024, 1025, 2304, 8192, 8193, 9001, 16384, 17000};
  const fst_dtype dtypes[] = {FST_F32, FST_F16, FST_BF16};
  for (int i = 0; i < 15; i++)
    for (int symbolic = 0; symbolic < 2; symbolic++) norm_case(dtypes[(i + symbolic) % 3], i % 3 + 1, lengths_of_rows[i], symbolic, PLAIN);
  norm_case(FST_F32, 9, 64, false, SPECIAL);
  norm_case(FST_F32, 9, 2000, true, SPECIAL);
  norm_case(FST_F32, 3, 0, true, PLAIN);
  norm_case(FST_F32, 0, 50, true, PLAIN);
}

// Along rows, across rows, and over everything.
static void test_reduce_lengths(void **state) {
  (void)state;
  const int64_t lengths_of_rows[] = {40, 129, 1500, 4100, 20000};
  const fst_dtype dtypes[] = {FST_F32, FST_I64, FST_U8, FST_F16, FST_BF16, FST_I32, FST_F64, FST_BOOL};
  for (int op = 0; op < 8; op++)
    for (int i = 0; i < 5; i++)
      for (int d = 0; d < 8; d++)
        if (reduce_takes(all_reduces[op], dtypes[d]) && (d + i + op) % 3 == 0)
          reduce_case(all_reduces[op], dtypes[d], i == 4 ? 2 : 3 + 32 * (i % 2), lengths_of_rows[i], op < 2 ? PLAIN : HUGE_TOO);
}

// Few rows so long that several blocks share one.
static void test_reduce_parts(void **state) {
  (void)state;
  const fst_reduce ops[] = {FST_REDUCE_SUM, FST_REDUCE_MAX, FST_REDUCE_ARGMAX, FST_REDUCE_ANY};
  const fst_dtype dtypes[] = {FST_F32, FST_F16, FST_F32, FST_BOOL};
  for (int i = 0; i < 4; i++)
    for (int64_t rows = 1; rows < 3; rows++) reduce_case(ops[i], dtypes[i], rows, 70001 - rows, i == 1 ? HUGE_TOO : PLAIN);
}

// Running sums and extremes that a block does together.
static void running_case(fst_prim prim, fst_dtype dtype, int64_t rows, int64_t n, variety special) {
  maker m = maker_begin("running");
  m.special = special;
  int64_t sizes[] = {rows, n};
  uint32_t x = maker_buffer(&m, dtype, 2, sizes, false), y = maker_buffer(&m, dtype, 2, sizes, true), z = maker_buffer(&m, FST_I64, 2, sizes, true);
  fst_kx i = var(&m), j = var(&m), at[] = {i, j}, total = fst_kernel_var(m.k, dtype), count = fst_kernel_var(m.k, FST_I64), carries[] = {total, count};
  fst_kstmt *s = fst_kernel_add_stmt(m.k, FST_KSTMT_SCAN, 2, 2, 2);
  for (int k = 0; k < 2; k++) {
    s->vars[k] = number_of(&m, at[k]);
    s->extents[k] = num(&m, sizes[k]);
    s->carries[k] = number_of(&m, carries[k]);
    s->stores[k] = (fst_kstore){k ? z : y, carries[k], 2, FST_NEW_ARRAY(&m.k->arena, fst_kx, 2)};
    memcpy(s->stores[k].indices, at, sizeof at);
  }
  s->carry_init[0] = fst_kx_number(m.k, dtype, 1, 1);
  s->carry_init[1] = num(&m, 5);
  s->carry_next[0] = fst_kx_prim2(m.k, prim, total, fst_kx_load(m.k, x, at));
  s->carry_next[1] = add(&m, count, add(&m, j, num(&m, 1)));
  maker_run(&m, 1e-4);
}

static void test_running(void **state) {
  (void)state;
  const int64_t lengths_of_rows[] = {64, 65, 511, 512, 513, 2000};
  for (int i = 0; i < 6; i++) {
    running_case(FST_PRIM_ADD, FST_F32, 3, lengths_of_rows[i], PLAIN);
    running_case(FST_PRIM_ADD, FST_I32, 2, lengths_of_rows[i], HUGE_TOO);
    running_case(FST_PRIM_MAX, FST_F16, 2, lengths_of_rows[i], HUGE_TOO);
    running_case(FST_PRIM_MIN, FST_U8, 2, lengths_of_rows[i], HUGE_TOO);
    running_case(FST_PRIM_MUL, FST_I64, 2, lengths_of_rows[i], HUGE_TOO);
  }
}

// y[b, i, j] = x[b, j, i] + z[b, i, j]: read along one variable and written along another.
static void test_transposed(void **state) {
  (void)state;
  const fst_dtype dtypes[] = {FST_F32, FST_F16, FST_I64, FST_BOOL, FST_U8};
  const int64_t shapes[][3] = {{1, 16, 16}, {2, 33, 70}, {3, 64, 32}, {1, 100, 31}, {2, 0, 40}};
  for (int d = 0; d < 5; d++)
    for (int n = 0; n < 5; n++) {
      maker m = maker_begin("transposed");
      int64_t sizes[] = {shapes[n][0], shapes[n][1], shapes[n][2]}, turned[] = {shapes[n][0], shapes[n][2], shapes[n][1]};
      uint32_t x = maker_buffer(&m, dtypes[d], 3, turned, false), z = maker_buffer(&m, dtypes[d], 3, sizes, false), y = maker_buffer(&m, dtypes[d], 3, sizes, true);
      fst_kx b = var(&m), i = var(&m), j = var(&m), at[] = {b, i, j}, other[] = {b, j, i};
      map_to(&m, at, sizes, 3, y, fst_kx_prim2(m.k, FST_PRIM_MAX, fst_kx_load(m.k, x, other), fst_kx_load(m.k, z, at)));
      maker_run(&m, 0);
    }
}

// Softmax along the first dim: rows lie side by side.
static void test_softmax_columns(void **state) {
  (void)state;
  const int64_t rows[] = {33, 100, 300}, columns[] = {1, 31, 32, 65};
  for (int r = 0; r < 3; r++)
    for (int n = 0; n < 4; n++) {
      maker m = maker_begin("columns");
      int64_t sizes[] = {rows[r], columns[n]};
      uint32_t x = maker_buffer(&m, FST_F32, 2, sizes, false), y = maker_buffer(&m, FST_F32, 2, sizes, true);
      fst_kx a = var(&m), b = var(&m), vars[] = {a, b};
      map_to(&m, vars, sizes, 2, y, softmax_of(&m, x, a, b, false, num(&m, rows[r])));
      maker_run(&m, 1e-5);
    }
}

// Tiles that are whole and that are not, on the FMA units and on the tensor cores.
static void test_tiles(void **state) {
  (void)state;
  const fst_dtype in[] = {FST_F32, FST_F16, FST_BF16, FST_F64, FST_I8}, out[] = {FST_F32, FST_F32, FST_F32, FST_F64, FST_F32};
  for (int d = 0; d < 5; d++)
    for (int form = PLAIN_B; form <= TRANSPOSED_B; form++) {
      matmul_case(in[d], out[d], 9, 16, 16, (right_form)form);
      matmul_case(in[d], out[d], 70, 67, 45, (right_form)form);
      matmul_case(in[d], out[d], 64, 128, 64, (right_form)form);
      matmul_case(in[d], out[d], 130, 72, 72, (right_form)form);
    }
}

// Few tiles and long sums: several blocks share one.
static void test_cut_tiles(void **state) {
  (void)state;
  matmul_case(FST_F32, FST_F32, 20, 33, 300, PLAIN_B);
  matmul_case(FST_F16, FST_F32, 16, 24, 1000, TRANSPOSED_B);
  matmul_case(FST_F64, FST_F64, 9, 65, 513, PLAIN_B);
  matmul_case(FST_BF16, FST_F32, 66, 10, 4097, PLAIN_B);
}

// Two products of other lengths in one statement, as a block of a residual network with its shortcut.
static void test_two_products(void **state) {
  (void)state;
  maker m = maker_begin("two_products");
  int64_t sizes[] = {40, 50}, depths[] = {300, 20};
  fst_kx i = var(&m), j = var(&m), at[] = {i, j}, value = fst_kx_float(m.k, FST_F32, 1);
  uint32_t y = maker_buffer(&m, FST_F32, 2, sizes, true);
  for (int p = 0; p < 2; p++) {
    int64_t left[] = {40, depths[p]}, right[] = {depths[p], 50};
    uint32_t a = maker_buffer(&m, FST_F32, 2, left, false), b = maker_buffer(&m, FST_F32, 2, right, false);
    fst_kx k = var(&m), x[] = {i, k}, w[] = {k, j};
    value = add(&m, value, sum_of(&m, k, depths[p], mul(&m, fst_kx_load(m.k, a, x), fst_kx_load(m.k, b, w))));
  }
  map_to(&m, at, sizes, 2, y, fst_kx_prim2(m.k, FST_PRIM_MAX, value, fst_kx_float(m.k, FST_F32, 0)));
  maker_run(&m, 1e-4);
}

// One row of two products, as a gate of a cell: each sum is a warp's or a block's, over a length of its own.
static void test_two_vectors(void **state) {
  (void)state;
  const int64_t pairs[][2] = {{100, 60}, {64, 128}, {1030, 40}, {5000, 36}};
  for (int p = 0; p < 4; p++) {
    maker m = maker_begin("two_vectors");
    int64_t columns = 70;
    fst_kx j = var(&m), value = fst_kx_float(m.k, FST_F32, 1);
    uint32_t y = maker_buffer(&m, FST_F32, 1, &columns, true);
    for (int i = 0; i < 2; i++) {
      int64_t length = pairs[p][i], sizes[] = {columns, length};
      uint32_t x = maker_buffer(&m, FST_F32, 1, &length, false), w = maker_buffer(&m, FST_F32, 2, sizes, false);
      fst_kx k = var(&m), at[] = {j, k};
      value = add(&m, value, sum_of(&m, k, length, mul(&m, fst_kx_load(m.k, x, &k), fst_kx_load(m.k, w, at))));
    }
    map_to(&m, &j, &columns, 1, y, value);
    maker_run(&m, 1e-4);
  }
}

// Sizes that are parameters: a block takes the large tile.
static void large_tile_case(fst_dtype in, int64_t rows, int64_t columns, int64_t depth, bool turned) {
  maker m = maker_begin("large_tile");
  fst_kx er = fst_kernel_param(m.k, FST_I64), ec = fst_kernel_param(m.k, FST_I64), ed = fst_kernel_param(m.k, FST_I64);
  m.c.params[0] = (uint64_t)rows;
  m.c.params[1] = (uint64_t)columns;
  m.c.params[2] = (uint64_t)depth;
  uint32_t a = symbolic_buffer(&m, in, er, ed, (size_t)(rows * depth), false), y = symbolic_buffer(&m, FST_F32, er, ec, (size_t)(rows * columns), true);
  uint32_t b = symbolic_buffer(&m, in, turned ? ec : ed, turned ? ed : ec, (size_t)(columns * depth), false);
  fst_kx i = var(&m), j = var(&m), k = var(&m), at[] = {i, j}, left[] = {i, k}, right[] = {turned ? j : k, turned ? k : j}, extents[] = {er, ec};
  fst_kx product = mul(&m, fst_kx_convert(m.k, fst_kx_load(m.k, a, left), FST_F32), fst_kx_convert(m.k, fst_kx_load(m.k, b, right), FST_F32));
  fst_kstore store = {y, fst_kx_reduce(m.k, FST_REDUCE_SUM, &k, &ed, 1, product), 2, at};
  fst_kernel_map(m.k, at, extents, 2, &store, 1);
  maker_run(&m, 1e-4);
}

static void test_large_tiles(void **state) {
  (void)state;
  const fst_dtype in[] = {FST_F32, FST_F16, FST_BF16};
  for (int d = 0; d < 3; d++)
    for (int turned = 0; turned < 2; turned++) {
      large_tile_case(in[d], 130, 152, 40, turned);
      large_tile_case(in[d], 127, 129, 33, turned);
      large_tile_case(in[d], 256, 8, 8, turned);
      large_tile_case(in[d], 0, 8, 8, turned);
      large_tile_case(in[d], 5, 8, 0, turned);
    }
}

// y = b^T a^T, the left side's neighbours in memory being rows: x[k, i] w[k, j] in f16.
static void test_turned_tiles(void **state) {
  (void)state;
  const fst_dtype in[] = {FST_F16, FST_F32};
  for (int d = 0; d < 2; d++)
    for (int64_t rows = 56; rows <= 72; rows += 8) {
      maker m = maker_begin("turned");
      int64_t depth = 40, columns = 88, a_sizes[] = {depth, rows}, b_sizes[] = {depth, columns}, sizes[] = {rows, columns};
      uint32_t a = maker_buffer(&m, in[d], 2, a_sizes, false), b = maker_buffer(&m, in[d], 2, b_sizes, false), y = maker_buffer(&m, in[d], 2, sizes, true);
      fst_kx i = var(&m), j = var(&m), k = var(&m), at[] = {i, j}, left[] = {k, i}, right[] = {k, j};
      fst_kx product = mul(&m, fst_kx_convert(m.k, fst_kx_load(m.k, a, left), FST_F32), fst_kx_convert(m.k, fst_kx_load(m.k, b, right), FST_F32));
      map_to(&m, at, sizes, 2, y, fst_kx_convert(m.k, sum_of(&m, k, depth, product), in[d]));
      maker_run(&m, d ? 1e-4 : 2e-3);
    }
}

// y[i, c] = mean over j of max(x[i] w[c], 0) + r[i, c, j]: a product under a reduction is a launch of its own.
static void test_mean_of_product(void **state) {
  (void)state;
  const int64_t shapes[][4] = {{1, 40, 49, 30}, {2, 16, 20, 100}, {3, 5, 33, 17}, {1, 1, 64, 64}};
  for (int n = 0; n < 4; n++) {
    maker m = maker_begin("mean_of_product");
    int64_t batch = shapes[n][0], channels = shapes[n][1], places = shapes[n][2], depth = shapes[n][3];
    int64_t x_sizes[] = {batch, depth, places}, w_sizes[] = {channels, depth}, r_sizes[] = {batch, channels, places}, sizes[] = {batch, channels};
    uint32_t x = maker_buffer(&m, FST_F32, 3, x_sizes, false), w = maker_buffer(&m, FST_F32, 2, w_sizes, false), rest = maker_buffer(&m, FST_F32, 3, r_sizes, false), y = maker_buffer(&m, FST_F32, 2, sizes, true);
    fst_kx i = var(&m), c = var(&m), j = var(&m), k = var(&m), at[] = {i, c}, left[] = {i, k, j}, right[] = {c, k}, own[] = {i, c, j};
    fst_kx product = sum_of(&m, k, depth, mul(&m, fst_kx_load(m.k, x, left), fst_kx_load(m.k, w, right)));
    fst_kx value = fst_kx_prim2(m.k, FST_PRIM_MAX, add(&m, product, fst_kx_load(m.k, rest, own)), fst_kx_float(m.k, FST_F32, 0));
    map_to(&m, at, sizes, 2, y, fst_kx_prim2(m.k, FST_PRIM_DIV, sum_of(&m, j, places, value), fst_kx_float(m.k, FST_F32, (double)places)));
    maker_run(&m, 1e-4);
  }
}

// y[b, h] = mean and spread over s of a softmax of x[b, s, :] at h, times a mask: rows inside of rows. Lengths are parameters, too.
static void sequence_case(int64_t batch, int64_t length, int64_t width, bool symbolic) {
  maker m = maker_begin("sequence");
  fst_kx el = num(&m, length);
  if (symbolic) {
    el = fst_kernel_param(m.k, FST_I64);
    m.c.params[0] = (uint64_t)length;
  }
  fst_kbuf shape = {.dtype = FST_F32, .rank = 3, .sizes = {num(&m, batch), el, num(&m, width)}, .strides = {fst_kx_prim2(m.k, FST_PRIM_MUL, el, num(&m, width)), num(&m, width), num(&m, 1)}, .is_read = true};
  uint32_t x = fst_kernel_buffer(m.k, &shape), mask = symbolic_buffer(&m, FST_F32, num(&m, batch), el, (size_t)(batch * length), false);
  m.c.initial[x] = random_bytes(FST_F32, (size_t)(batch * length * width), PLAIN);
  m.c.bytes[x] = (size_t)(batch * length * width) * 4;
  int64_t sizes[] = {batch, width};
  uint32_t y = maker_buffer(&m, FST_F32, 2, sizes, true);
  fst_kx b = var(&m), h = var(&m), at[] = {b, h}, mean = FST_NO_KX;
  for (int pass = 0; pass < 2; pass++) {
    fst_kx s = var(&m), k = var(&m), l = var(&m), most_at[] = {b, s, k}, all_at[] = {b, s, l}, own_at[] = {b, s, h}, mask_at[] = {b, s}, ew = num(&m, width);
    fst_kx most = fst_kx_reduce(m.k, FST_REDUCE_MAX, &k, &ew, 1, fst_kx_load(m.k, x, most_at));
    fst_kx all = fst_kx_load(m.k, x, all_at), own = fst_kx_load(m.k, x, own_at);
    fst_kx apart = fst_kx_prim2(m.k, FST_PRIM_SUB, all, most), total = fst_kx_call(m.k, "exp", &apart, 1);
    total = fst_kx_reduce(m.k, FST_REDUCE_SUM, &l, &ew, 1, total);
    apart = fst_kx_prim2(m.k, FST_PRIM_SUB, own, most);
    fst_kx value = mul(&m, fst_kx_prim2(m.k, FST_PRIM_DIV, fst_kx_call(m.k, "exp", &apart, 1), total), fst_kx_load(m.k, mask, mask_at));
    if (pass) value = fst_kx_prim2(m.k, FST_PRIM_SUB, value, mean);
    fst_kx sum = fst_kx_reduce(m.k, FST_REDUCE_SUM, &s, &el, 1, pass ? mul(&m, value, value) : value);
    mean = pass ? add(&m, mean, sum) : sum;
  }
  map_to(&m, at, sizes, 2, y, mean);
  maker_run(&m, 1e-4);
}

static void test_rows_in_rows(void **state) {
  (void)state;
  sequence_case(1, 40, 64, false);
  sequence_case(2, 18, 33, false);
  sequence_case(2, 130, 50, true);
  sequence_case(1, 0, 40, true);
}

// y[a] = sum over i of u[a, i] * sum over j of (v[i, j] * sum over k of w[j, k]): the innermost depends on the variable of the one
// around it, but on none of the outermost's.
static void test_sums_in_sums(void **state) {
  (void)state;
  enum { ROWS = 40, LENGTH = 200, SHORT = 8 };
  maker m = maker_begin("sums_in_sums");
  int64_t u_sizes[] = {ROWS, LENGTH}, v_sizes[] = {LENGTH, SHORT}, w_sizes[] = {SHORT, SHORT};
  uint32_t u = maker_buffer(&m, FST_F32, 2, u_sizes, false), v = maker_buffer(&m, FST_F32, 2, v_sizes, false), w = maker_buffer(&m, FST_F32, 2, w_sizes, false);
  uint32_t y = maker_buffer(&m, FST_F32, 1, u_sizes, true);
  fst_kx a = var(&m), i = var(&m), j = var(&m), k = var(&m), length = num(&m, LENGTH), few = num(&m, SHORT);
  fst_kx at_jk[] = {j, k}, at_ij[] = {i, j}, at_ai[] = {a, i};
  fst_kx inner = fst_kx_reduce(m.k, FST_REDUCE_SUM, &k, &few, 1, fst_kx_load(m.k, w, at_jk));
  fst_kx middle = fst_kx_reduce(m.k, FST_REDUCE_SUM, &j, &few, 1, mul(&m, fst_kx_load(m.k, v, at_ij), inner));
  map_to(&m, &a, u_sizes, 1, y, fst_kx_reduce(m.k, FST_REDUCE_SUM, &i, &length, 1, mul(&m, fst_kx_load(m.k, u, at_ai), middle)));
  maker_run(&m, 1e-3);
}

// Few rows so long that several blocks share one, and a point for each element.
static void test_long_rows(void **state) {
  (void)state;
  const int64_t rows[] = {2, 3}, lengths_of_rows[] = {65536, 70001};
  for (int n = 0; n < 2; n++) {
    maker m = maker_begin("long_rows");
    int64_t sizes[] = {rows[n], lengths_of_rows[n]};
    uint32_t x = maker_buffer(&m, FST_F32, 2, sizes, false), y = maker_buffer(&m, FST_F32, 2, sizes, true);
    fst_kx a = var(&m), b = var(&m), vars[] = {a, b};
    map_to(&m, vars, sizes, 2, y, softmax_of(&m, x, a, b, true, num(&m, lengths_of_rows[n])));
    maker_run(&m, 1e-4);
  }
}

// Many short rows: a warp takes several, and the last one not all that it could.
static void test_short_rows(void **state) {
  (void)state;
  const int64_t lengths_of_rows[] = {5, 12, 16, 33, 40, 64};
  for (int n = 0; n < 6; n++) norm_case(n % 2 ? FST_F32 : FST_F16, 16387, lengths_of_rows[n], false, PLAIN);
}

// A softmax that is asked for only where the row's extreme is not -inf: its reductions cannot fault, so a team does them.
static void test_chosen_rows(void **state) {
  (void)state;
  const int64_t lengths_of_rows[] = {40, 128, 1500};
  for (int n = 0; n < 3; n++) {
    maker m = maker_begin("chosen_rows");
    int64_t sizes[] = {7, lengths_of_rows[n]};
    uint32_t x = maker_buffer(&m, FST_F32, 2, sizes, false), y = maker_buffer(&m, FST_F32, 2, sizes, true);
    fst_kx a = var(&m), b = var(&m), k = var(&m), vars[] = {a, b}, at[] = {a, k}, extent = num(&m, lengths_of_rows[n]);
    fst_kx most = fst_kx_reduce(m.k, FST_REDUCE_MAX, &k, &extent, 1, fst_kx_load(m.k, x, at)), none = fst_kx_prim2(m.k, FST_PRIM_EQ, most, fst_kx_float(m.k, FST_F32, -INFINITY));
    map_to(&m, vars, sizes, 2, y, fst_kx_prim3(m.k, FST_PRIM_SELECT, none, fst_kx_float(m.k, FST_F32, 0), softmax_of(&m, x, a, b, true, extent)));
    for (int64_t i = 0; i < lengths_of_rows[n]; i++) ((float *)m.c.initial[x])[i] = -INFINITY;
    maker_run(&m, 1e-5);
  }
}

#define CUDA_CASES(TEST) \
  TEST(test_tiles) \
  TEST(test_turned_tiles) \
  TEST(test_cut_tiles) \
  TEST(test_two_products) \
  TEST(test_two_vectors) \
  TEST(test_large_tiles) \
  TEST(test_norm_lengths) \
  TEST(test_reduce_lengths) \
  TEST(test_running) \
  TEST(test_transposed) \
  TEST(test_reduce_parts) \
  TEST(test_softmax_columns) \
  TEST(test_mean_of_product) \
  TEST(test_chosen_rows) \
  TEST(test_short_rows) \
  TEST(test_long_rows) \
  TEST(test_rows_in_rows) \
  TEST(test_sums_in_sums)

#endif
