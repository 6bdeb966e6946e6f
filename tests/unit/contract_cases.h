// Matrix products, convolutions and cells at sizes around the tile. Included after the target's runner.
#ifndef FST_TESTS_CONTRACT_CASES_H
#define FST_TESTS_CONTRACT_CASES_H

#include "kernel_maker.h"

static fst_kx sum_of(maker *m, fst_kx k, int64_t extent, fst_kx body) {
  fst_kx e = num(m, extent);
  return fst_kx_reduce(m->k, FST_REDUCE_SUM, &k, &e, 1, body);
}

// ---- matrix products ----

typedef enum { PLAIN_B, TRANSPOSED_B, CONSTANT_B, CONSTANT_TRANSPOSED_B } right_form;

// y[i, j] = relu(sum over k of a[i, k] b[k, j] + c[j])
static fst_kernel *matmul_make(maker *m, fst_dtype in, fst_dtype dtype, int64_t rows, int64_t columns, int64_t depth, right_form form) {
  bool turned = form == TRANSPOSED_B || form == CONSTANT_TRANSPOSED_B;
  int64_t a_sizes[] = {rows, depth}, b_sizes[] = {turned ? columns : depth, turned ? depth : columns}, y_sizes[] = {rows, columns};
  uint32_t a = maker_buffer(m, in, 2, a_sizes, false), b = maker_buffer(m, in, 2, b_sizes, false), c = maker_buffer(m, dtype, 1, &columns, false), y = maker_buffer(m, dtype, 2, y_sizes, true);
  m->c.constant[b] = form >= CONSTANT_B;
  m->k->buffers.data[b].is_constant = form >= CONSTANT_B;
  fst_kx i = var(m), j = var(m), k = var(m), at[] = {i, j}, left[] = {i, k}, right[] = {turned ? j : k, turned ? k : j};
  fst_kx product = mul(m, fst_kx_convert(m->k, fst_kx_load(m->k, a, left), dtype), fst_kx_convert(m->k, fst_kx_load(m->k, b, right), dtype));
  fst_kx value = add(m, sum_of(m, k, depth, product), fst_kx_load(m->k, c, &j));
  value = fst_kx_prim2(m->k, FST_PRIM_MAX, value, fst_kx_number(m->k, dtype, 0, 0));
  map_to(m, at, y_sizes, 2, y, value);
  return m->k;
}

static void matmul_case(fst_dtype in, fst_dtype dtype, int64_t rows, int64_t columns, int64_t depth, right_form form) {
  maker m = maker_begin("matmul");
  matmul_make(&m, in, dtype, rows, columns, depth, form);
  maker_run(&m, dtype == FST_F64 ? 1e-12 : 1e-4);
}

static void test_matmul(void **state) {
  (void)state;
  const int64_t rows[] = {1, 2, 5, 6, 7, 13}, columns[] = {2, 3, 8, 15, 16, 17, 24, 50}, depths[] = {2, 7, 8, 9, 33};
  for (int form = PLAIN_B; form <= CONSTANT_TRANSPOSED_B; form++)
    for (int r = 0; r < 6; r++)
      for (int c = 0; c < 8; c++) matmul_case(FST_F32, FST_F32, rows[r], columns[c], depths[(r + c) % 5], (right_form)form);
}

static void test_matmul_dtypes(void **state) {
  (void)state;
  const fst_dtype in[] = {FST_F16, FST_BF16, FST_F32, FST_F64, FST_I8}, out[] = {FST_F32, FST_F32, FST_F64, FST_F64, FST_F32};
  for (int d = 0; d < 5; d++)
    for (int form = PLAIN_B; form <= CONSTANT_TRANSPOSED_B; form++) {
      matmul_case(in[d], out[d], 7, 19, 12, (right_form)form);
      matmul_case(in[d], out[d], 1, 64, 40, (right_form)form);
    }
}

// Infinities and NaN in either operand come out where they must.
static void test_matmul_special(void **state) {
  (void)state;
  for (int form = PLAIN_B; form <= CONSTANT_TRANSPOSED_B; form++) {
    maker m = maker_begin("matmul_special");
    m.special = SPECIAL;
    matmul_make(&m, FST_F32, FST_F32, 9, 21, 5, (right_form)form);
    maker_run(&m, 1e-4);
  }
}

// Batches, with a matrix of weights each or one for all.
static void test_batched(void **state) {
  (void)state;
  for (int form = 0; form < 4; form++) {
    maker m = maker_begin("batched");
    bool constant = form & 1, shared = form & 2;
    int64_t a_sizes[] = {3, 2, 7, 10}, b_sizes[] = {3, 10, 18}, y_sizes[] = {3, 2, 7, 18};
    uint32_t a = maker_buffer(&m, FST_F32, 4, a_sizes, false), b = maker_buffer(&m, FST_F32, 3, b_sizes, false), y = maker_buffer(&m, FST_F32, 4, y_sizes, true);
    m.c.constant[b] = constant;
    m.k->buffers.data[b].is_constant = constant;
    fst_kx at[4], k = var(&m);
    for (int i = 0; i < 4; i++) at[i] = var(&m);
    fst_kx left[] = {at[0], at[1], at[2], k}, right[] = {shared ? num(&m, 1) : at[0], k, at[3]};
    map_to(&m, at, y_sizes, 4, y, sum_of(&m, k, 10, mul(&m, fst_kx_load(m.k, a, left), fst_kx_load(m.k, b, right))));
    maker_run(&m, 1e-4);
  }
}

// Sizes that are parameters: rows, columns and depth.
static void symbolic_case(int64_t rows, int64_t columns, int64_t depth, bool constant) {
  maker m = maker_begin("matmul_symbolic");
  int64_t sizes[] = {rows, columns, depth};
  fst_kx p[3];
  for (int i = 0; i < 3; i++) {
    p[i] = constant && i ? num(&m, sizes[i]) : fst_kernel_param(m.k, FST_I64);
    m.c.params[i] = (uint64_t)sizes[i];
  }
  fst_kbuf a = {.dtype = FST_F32, .rank = 2, .sizes = {p[0], p[2]}, .strides = {p[2], num(&m, 1)}, .is_read = true};
  fst_kbuf b = {.dtype = FST_F32, .rank = 2, .sizes = {p[2], p[1]}, .strides = {p[1], num(&m, 1)}, .is_read = true, .is_constant = constant};
  fst_kbuf y = {.dtype = FST_F32, .rank = 2, .sizes = {p[0], p[1]}, .strides = {p[1], num(&m, 1)}, .is_written = true};
  uint32_t ids[] = {fst_kernel_buffer(m.k, &a), fst_kernel_buffer(m.k, &b), fst_kernel_buffer(m.k, &y)};
  size_t counts[] = {(size_t)(rows * depth), (size_t)(depth * columns), (size_t)(rows * columns)};
  for (int i = 0; i < 3; i++) {
    m.c.initial[ids[i]] = random_bytes(FST_F32, counts[i], PLAIN);
    m.c.bytes[ids[i]] = counts[i] * 4;
  }
  m.c.constant[1] = constant;
  fst_kx i = var(&m), j = var(&m), k = var(&m), at[] = {i, j}, left[] = {i, k}, right[] = {k, j}, ext[] = {p[0], p[1]};
  fst_kx value = fst_kx_reduce(m.k, FST_REDUCE_SUM, &k, &p[2], 1, mul(&m, fst_kx_load(m.k, 0, left), fst_kx_load(m.k, 1, right)));
  fst_kstore store = {2, value, 2, at};
  fst_kernel_map(m.k, at, ext, 2, &store, 1);
  maker_run(&m, 1e-4);
}

static void test_matmul_symbolic(void **state) {
  (void)state;
  const int64_t sizes[][3] = {{0, 9, 4}, {1, 16, 5}, {5, 8, 0}, {6, 17, 3}, {13, 31, 8}, {7, 1, 6}, {12, 48, 20}, {3, 0, 4}};
  for (int i = 0; i < 8; i++) symbolic_case(sizes[i][0], sizes[i][1], sizes[i][2], false);
  for (int i = 0; i < 7; i++)
    if (sizes[i][2]) symbolic_case(sizes[i][0], sizes[i][1], sizes[i][2], true);
}

// ---- convolutions ----

typedef struct conv { int64_t batch, in, out, height, width, kh, kw, stride, pad, dilation, groups; bool constant; } conv;

static fst_kx inside(maker *m, fst_kx at, int64_t size) {
  fst_kx low = fst_kx_prim2(m->k, FST_PRIM_LE, num(m, 0), at), high = fst_kx_prim2(m->k, FST_PRIM_LT, at, num(m, size));
  return fst_kx_prim2(m->k, FST_PRIM_AND, low, high);
}

static void conv_make(maker *m, const conv *c, bool relu_before) {
  int64_t oh = (c->height + 2 * c->pad - c->dilation * (c->kh - 1) - 1) / c->stride + 1, ow = (c->width + 2 * c->pad - c->dilation * (c->kw - 1) - 1) / c->stride + 1;
  int64_t per_in = c->in / c->groups, per_out = c->out / c->groups;
  int64_t x_sizes[] = {c->batch, c->in, c->height, c->width}, w_sizes[] = {c->out, per_in, c->kh, c->kw}, y_sizes[] = {c->batch, c->out, oh, ow};
  uint32_t x = maker_buffer(m, FST_F32, 4, x_sizes, false), w = maker_buffer(m, FST_F32, 4, w_sizes, false), b = maker_buffer(m, FST_F32, 1, &c->out, false), y = maker_buffer(m, FST_F32, 4, y_sizes, true);
  m->c.constant[w] = c->constant;
  m->k->buffers.data[w].is_constant = c->constant;
  fst_kx at[4], taps[] = {var(m), var(m), var(m)}, extents[] = {num(m, per_in), num(m, c->kh), num(m, c->kw)};
  for (int i = 0; i < 4; i++) at[i] = var(m);
  fst_kx channel = c->groups == 1 ? taps[0] : add(m, mul(m, fst_kx_prim2(m->k, FST_PRIM_DIV, at[1], num(m, per_out)), num(m, per_in)), taps[0]);
  fst_kx place[2];
  for (int i = 0; i < 2; i++)
    place[i] = add(m, add(m, mul(m, at[2 + i], num(m, c->stride)), mul(m, taps[1 + i], num(m, c->dilation))), num(m, -c->pad));
  fst_kx xs[] = {at[0], channel, place[0], place[1]}, ws[] = {at[1], taps[0], taps[1], taps[2]};
  fst_kx element = fst_kx_load(m->k, x, xs), zero = fst_kx_float(m->k, FST_F32, 0);
  if (relu_before) element = fst_kx_prim2(m->k, FST_PRIM_MAX, element, zero);
  fst_kx body = mul(m, element, fst_kx_load(m->k, w, ws));
  if (c->pad) body = fst_kx_prim3(m->k, FST_PRIM_SELECT, fst_kx_prim2(m->k, FST_PRIM_AND, inside(m, place[0], c->height), inside(m, place[1], c->width)), body, zero);
  fst_kx sum = fst_kx_reduce(m->k, FST_REDUCE_SUM, taps, extents, 3, body);
  map_to(m, at, y_sizes, 4, y, add(m, sum, fst_kx_load(m->k, b, &at[1])));
}

static void test_conv(void **state) {
  (void)state;
  const conv cases[] = {
      {1, 3, 8, 9, 11, 3, 3, 1, 1, 1, 1, true},   {2, 5, 20, 7, 7, 3, 3, 1, 1, 1, 1, true},  {1, 4, 9, 12, 10, 3, 3, 2, 1, 1, 1, true},
      {1, 3, 16, 14, 13, 7, 7, 2, 3, 1, 1, true}, {2, 6, 10, 5, 6, 1, 1, 1, 0, 1, 1, true},  {1, 6, 10, 9, 8, 1, 1, 2, 0, 1, 1, true},
      {1, 4, 12, 11, 9, 3, 3, 1, 2, 2, 1, true},  {1, 8, 8, 9, 10, 3, 3, 1, 1, 1, 8, true},  {1, 8, 12, 6, 7, 3, 3, 1, 1, 1, 4, true},
      {1, 3, 8, 9, 11, 3, 3, 1, 1, 1, 1, false},  {1, 5, 16, 1, 4, 1, 3, 1, 0, 1, 1, true},  {1, 9, 16, 1, 4, 1, 3, 1, 1, 1, 1, true},
      {1, 1, 18, 1, 40, 1, 16, 8, 0, 1, 1, true}, {1, 2, 3, 5, 33, 3, 3, 1, 1, 1, 1, false}, {1, 4, 6, 8, 8, 2, 2, 3, 1, 1, 1, true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int relu = 0; relu < 2; relu++) {
      maker m = maker_begin(relu ? "conv_relu" : "conv");
      conv_make(&m, &cases[i], relu);
      maker_run(&m, 1e-4);
    }
}

// ---- cells: many sums at one point, shared by two results ----

static fst_kx squash(maker *m, fst_kx x) {  // x / (1 + |x|)
  fst_kx one = fst_kx_float(m->k, FST_F32, 1);
  return fst_kx_prim2(m->k, FST_PRIM_DIV, x, add(m, one, fst_kx_prim1(m->k, FST_PRIM_ABS, x)));
}

typedef struct cell_buffers { uint32_t x, h, c, wi, wh, b; int64_t in, hidden; } cell_buffers;

static fst_kx cell_gate(maker *m, const cell_buffers *s, int gate, fst_kx n, fst_kx j) {
  fst_kx row = add(m, j, num(m, gate * s->hidden)), k = var(m), q = var(m);
  fst_kx xi[] = {n, k}, wi[] = {row, k}, hi[] = {n, q}, wh[] = {row, q};
  fst_kx input = sum_of(m, k, s->in, mul(m, fst_kx_load(m->k, s->x, xi), fst_kx_load(m->k, s->wi, wi)));
  fst_kx recurrent = sum_of(m, q, s->hidden, mul(m, fst_kx_load(m->k, s->h, hi), fst_kx_load(m->k, s->wh, wh)));
  return add(m, add(m, input, fst_kx_load(m->k, s->b, &row)), recurrent);
}

static fst_kx cell_next(maker *m, const cell_buffers *s, fst_kx n, fst_kx j) {
  fst_kx at[] = {n, j}, keep = squash(m, cell_gate(m, s, 1, n, j)), in = squash(m, cell_gate(m, s, 0, n, j)), fresh = squash(m, cell_gate(m, s, 2, n, j));
  return add(m, mul(m, keep, fst_kx_load(m->k, s->c, at)), mul(m, in, fresh));
}

static void cell_make(maker *m, int64_t batch, int64_t in, int64_t hidden, bool constant) {
  int64_t xs[] = {batch, in}, hs[] = {batch, hidden}, wis[] = {4 * hidden, in}, whs[] = {4 * hidden, hidden}, bs = 4 * hidden;
  cell_buffers s = {.in = in, .hidden = hidden};
  s.x = maker_buffer(m, FST_F32, 2, xs, false);
  s.h = maker_buffer(m, FST_F32, 2, hs, false);
  s.c = maker_buffer(m, FST_F32, 2, hs, false);
  s.wi = maker_buffer(m, FST_F32, 2, wis, false);
  s.wh = maker_buffer(m, FST_F32, 2, whs, false);
  s.b = maker_buffer(m, FST_F32, 1, &bs, false);
  uint32_t yh = maker_buffer(m, FST_F32, 2, hs, true), yc = maker_buffer(m, FST_F32, 2, hs, true);
  m->c.constant[s.wi] = m->c.constant[s.wh] = constant;
  fst_kx n = var(m), j = var(m), at[] = {n, j}, extents[] = {num(m, batch), num(m, hidden)};
  fst_kx out = squash(m, cell_gate(m, &s, 3, n, j)), state = cell_next(m, &s, n, j);
  // The second result is lowered on its own, with variables of its own for the same sums.
  fst_kstore stores[] = {{yh, mul(m, out, squash(m, cell_next(m, &s, n, j))), 2, at}, {yc, state, 2, at}};
  fst_kernel_map(m->k, at, extents, 2, stores, 2);
}

static void test_cell(void **state) {
  (void)state;
  const int64_t sizes[][3] = {{1, 16, 16}, {1, 12, 20}, {3, 9, 33}, {7, 8, 8}};
  for (int i = 0; i < 4; i++)
    for (int constant = 0; constant < 2; constant++) {
      maker m = maker_begin("cell");
      cell_make(&m, sizes[i][0], sizes[i][1], sizes[i][2], constant);
      maker_run(&m, 1e-3);
    }
}

// A constant that is also read as it is: the packed form carries the original behind it.
static void test_packed_and_raw(void **state) {
  (void)state;
  maker m = maker_begin("packed_and_raw");
  int64_t sizes[] = {9, 9};
  uint32_t a = maker_buffer(&m, FST_F32, 2, sizes, false), b = maker_buffer(&m, FST_F32, 2, sizes, false), y = maker_buffer(&m, FST_F32, 2, sizes, true), z = maker_buffer(&m, FST_F32, 2, sizes, true);
  m.c.constant[b] = true;
  fst_kx i = var(&m), j = var(&m), k = var(&m), at[] = {i, j}, left[] = {i, k}, right[] = {j, k};
  map_to(&m, at, sizes, 2, y, sum_of(&m, k, 9, mul(&m, fst_kx_load(m.k, a, left), fst_kx_load(m.k, b, right))));
  map_to(&m, at, sizes, 2, z, add(&m, fst_kx_load(m.k, b, at), fst_kx_load(m.k, y, at)));
  m.k->buffers.data[y].is_read = true;
  maker_run(&m, 1e-4);
}

#define CONTRACT_CASES(TEST) \
  TEST(test_matmul) \
  TEST(test_matmul_dtypes) \
  TEST(test_matmul_special) \
  TEST(test_batched) \
  TEST(test_matmul_symbolic) \
  TEST(test_conv) \
  TEST(test_cell) \
  TEST(test_packed_and_raw)

#endif
