// Building, simplifying and running kernels.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ir/kernel/kernel.h"

static void check(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

static fst_kernel *parse(const char *text) {
  fst_kernel *k = NULL;
  check(fst_kernel_parse(text, strlen(text), &k));
  return k;
}

// ---- sharing and simplification: an expression over p0, p1 : i64, p2, p3 : f32, p4 : b8, p5 : u8, p6 : f16 ----

// Statements of a kernel whose last definition is printed as `expected`.
static void becomes(const char *dtype, const char *definitions, const char *expected) {
  char text[1024];
  fst_text out = {0};
  snprintf(text, sizeof text, "kernel \"k\" (p0 : i64, p1 : i64, p2 : f32, p3 : f32, p4 : b8, p5 : u8, p6 : f16, p7 : f64) { buffer b0 : %s[]{} written map () { %s } }", dtype, definitions);
  fst_kernel *k = parse(text);
  fst_kernel_print(k, &out);
  const char *body = strstr(fst_text_cstr(&out), "map () {\n");
  assert_non_null(body);
  body += strlen("map () {\n");
  if (strncmp(body, expected, strlen(expected)) || strcmp(body + strlen(expected), "  }\n}\n")) fail_msg("%s becomes\n%s", definitions, body);
  fst_text_deinit(&out);
  fst_kernel_destroy(k);
}

static void test_integer_rules(void **state) {
  (void)state;
  becomes("i64", "%0 : i64 = add(p0, 0) b0[] = %0", "    b0[] = p0\n");
  becomes("i64", "%0 : i64 = add(3, p0) %1 : i64 = add(4, %0) b0[] = %1", "    %0 : i64 = add(p0, 7)\n    b0[] = %0\n");
  becomes("i64", "%0 : i64 = mul(p0, 4) %1 : i64 = mul(%0, 5) b0[] = %1", "    %0 : i64 = mul(p0, 20)\n    b0[] = %0\n");
  becomes("i64", "%0 : i64 = sub(p0, 3) b0[] = %0", "    %0 : i64 = add(p0, -3)\n    b0[] = %0\n");
  becomes("i64", "%0 : i64 = add(p0, p1) %1 : i64 = sub(%0, p1) b0[] = %1", "    b0[] = p0\n");
  becomes("i64", "%0 : i64 = sub(p0, p1) %1 : i64 = add(%0, p1) b0[] = %1", "    b0[] = p0\n");
  becomes("i64", "%0 : i64 = neg(p1) %1 : i64 = add(p0, %0) b0[] = %1", "    %0 : i64 = sub(p0, p1)\n    b0[] = %0\n");
  becomes("i64", "%0 : i64 = mul(p0, 0) %1 : i64 = add(%0, p1) b0[] = %1", "    b0[] = p1\n");
  becomes("i64", "%0 : i64 = min(p0, 7) %1 : i64 = min(%0, 5) b0[] = %1", "    %0 : i64 = min(p0, 5)\n    b0[] = %0\n");
  becomes("i64", "%0 : i64 = div(p0, 1) %1 : i64 = rem(p1, 1) %2 : i64 = add(%0, %1) b0[] = %2", "    b0[] = p0\n");
  becomes("i64", "%0 : i64 = xor(p0, -1) b0[] = %0", "    %0 : i64 = not(p0)\n    b0[] = %0\n");
  // A division by 0 is left for whoever runs it.
  becomes("i64", "%0 : i64 = div(7, 0) b0[] = %0", "    %0 : i64 = div(7, 0)\n    b0[] = %0\n");
}

static void test_truth_rules(void **state) {
  (void)state;
  becomes("b8", "%0 : b8 = eq(p0, p1) %1 : b8 = not(%0) b0[] = %1", "    %0 : b8 = ne(p0, p1)\n    b0[] = %0\n");
  becomes("b8", "%0 : b8 = lt(p0, p1) %1 : b8 = not(%0) b0[] = %1", "    %0 : b8 = le(p1, p0)\n    b0[] = %0\n");
  becomes("b8", "%0 : b8 = lt(p2, p3) %1 : b8 = not(%0) b0[] = %1", "    %0 : b8 = lt(p2, p3)\n    %1 : b8 = not(%0)\n    b0[] = %1\n");   // NaN
  becomes("b8", "%0 : b8 = ne(p4, false) b0[] = %0", "    b0[] = p4\n");
  becomes("b8", "%0 : i64 = convert(p4) %1 : b8 = eq(%0, 0) b0[] = %1", "    %0 : b8 = not(p4)\n    b0[] = %0\n");
  becomes("b8", "%0 : b8 = not(p4) %1 : b8 = and(p4, %0) b0[] = %1", "    b0[] = false\n");
  becomes("b8", "%0 : b8 = eq(p0, p0) b0[] = %0", "    b0[] = true\n");
  becomes("b8", "%0 : b8 = eq(p2, p2) b0[] = %0", "    %0 : b8 = eq(p2, p2)\n    b0[] = %0\n");   // false for NaN
}

static void test_float_rules(void **state) {
  (void)state;
  becomes("f32", "%0 : f32 = mul(p2, f32(1.0)) b0[] = %0", "    b0[] = p2\n");
  becomes("f32", "%0 : f32 = div(p2, f32(8.0)) b0[] = %0", "    %0 : f32 = mul(p2, f32(0.125))\n    b0[] = %0\n");
  becomes("f32", "%0 : f32 = div(p2, f32(3.0)) b0[] = %0", "    %0 : f32 = div(p2, f32(3.0))\n    b0[] = %0\n");
  becomes("f32", "%0 : f32 = add(p2, f32(-0.0)) b0[] = %0", "    b0[] = p2\n");
  becomes("f32", "%0 : f32 = add(p2, f32(0.0)) b0[] = %0", "    %0 : f32 = add(p2, f32(0.0))\n    b0[] = %0\n");   // -0 + 0 is 0
  becomes("f32", "%0 : f32 = mul(p2, f32(0.0)) b0[] = %0", "    %0 : f32 = mul(p2, f32(0.0))\n    b0[] = %0\n");   // NaN, infinity, -0
  becomes("f32", "%0 : f32 = sub(p2, p2) b0[] = %0", "    %0 : f32 = sub(p2, p2)\n    b0[] = %0\n");               // NaN, infinity
  becomes("f32", "%0 : f32 = neg(p3) %1 : f32 = add(p2, %0) b0[] = %1", "    %0 : f32 = sub(p2, p3)\n    b0[] = %0\n");
  becomes("f32", "%0 : f32 = neg(p2) %1 : f32 = abs(%0) b0[] = %1", "    %0 : f32 = abs(p2)\n    b0[] = %0\n");
  becomes("f32", "%0 : f32 = add(p2, f32(1.0)) %1 : f32 = add(%0, f32(1.0)) b0[] = %1",
          "    %0 : f32 = add(p2, f32(1.0))\n    %1 : f32 = add(%0, f32(1.0))\n    b0[] = %1\n");   // rounding
}

static void test_choice_rules(void **state) {
  (void)state;
  becomes("f32", "%0 : b8 = not(p4) %1 : f32 = select(%0, p2, p3) b0[] = %1", "    %0 : f32 = select(p4, p3, p2)\n    b0[] = %0\n");
  becomes("f32", "%0 : f32 = select(p4, p2, p2) b0[] = %0", "    b0[] = p2\n");
  becomes("f32", "%0 : f32 = select(p4, p2, p3) %1 : f32 = select(p4, %0, f32(1.0)) b0[] = %1", "    %0 : f32 = select(p4, p2, f32(1.0))\n    b0[] = %0\n");
  becomes("b8", "%0 : b8 = select(p4, false, true) b0[] = %0", "    %0 : b8 = not(p4)\n    b0[] = %0\n");
  becomes("f32", "%0 : f32 = select(true, p2, p3) b0[] = %0", "    b0[] = p2\n");
}

static void test_conversion_rules(void **state) {
  (void)state;
  becomes("f16", "%0 : f32 = convert(p6) %1 : f16 = convert(%0) b0[] = %1", "    b0[] = p6\n");
  becomes("f32", "%0 : f64 = convert(p2) %1 : f32 = convert(%0) b0[] = %1", "    b0[] = p2\n");
  becomes("f32", "%0 : i64 = convert(p5) %1 : f32 = convert(%0) b0[] = %1", "    %0 : f32 = convert(p5)\n    b0[] = %0\n");
  becomes("f64", "%0 : f32 = convert(p7) %1 : f64 = convert(%0) b0[] = %1", "    %0 : f32 = convert(p7)\n    %1 : f64 = convert(%0)\n    b0[] = %1\n");
  becomes("i64", "%0 : f32 = convert(p0) %1 : i64 = convert(%0) b0[] = %1", "    %0 : f32 = convert(p0)\n    %1 : i64 = convert(%0)\n    b0[] = %1\n");
}

static void test_sharing(void **state) {
  (void)state;
  fst_kernel *k = fst_kernel_create("k");
  fst_kx a = fst_kernel_param(k, FST_F32), b = fst_kernel_param(k, FST_F32);
  fst_kx sum = fst_kx_prim2(k, FST_PRIM_ADD, a, b);
  assert_true(fst_kx_eq(sum, fst_kx_prim2(k, FST_PRIM_ADD, b, a)));
  assert_false(fst_kx_eq(fst_kx_prim2(k, FST_PRIM_SUB, a, b), fst_kx_prim2(k, FST_PRIM_SUB, b, a)));
  assert_false(fst_kx_eq(fst_kx_float(k, FST_F32, 0.0), fst_kx_float(k, FST_F32, -0.0)));
  assert_true(fst_kx_eq(fst_kx_number(k, FST_I32, 2.5, 2), fst_kx_const_bits(k, FST_I32, 2)));
  fst_kernel_destroy(k);
}

// ---- variables ----

static void test_substitute(void **state) {
  (void)state;
  fst_kernel *k = fst_kernel_create("k");
  fst_kbuf buffer = {.dtype = FST_F32, .rank = 1, .sizes = {fst_kx_int(k, 8)}, .strides = {fst_kx_int(k, 1)}};
  uint32_t b = fst_kernel_buffer(k, &buffer);
  fst_kx i = fst_kernel_var(k, FST_I64), j = fst_kernel_var(k, FST_I64), four = fst_kx_int(k, 4);
  fst_kx at = fst_kx_prim2(k, FST_PRIM_ADD, i, j), sum = fst_kx_reduce(k, FST_REDUCE_SUM, &j, &four, 1, fst_kx_load(k, b, &at));
  uint32_t var = fst_kx_get(k, i)->index, bound = fst_kx_get(k, j)->index;
  assert_true(fst_kx_depends(k, sum, var));
  assert_false(fst_kx_depends(k, sum, bound));
  fst_kx zero = fst_kx_int(k, 0), replaced = fst_kx_substitute(k, sum, &var, &zero, 1);
  assert_true(fst_kx_eq(replaced, fst_kx_reduce(k, FST_REDUCE_SUM, &j, &four, 1, fst_kx_load(k, b, &j))));
  assert_false(fst_kx_depends(k, replaced, var));
  fst_kernel_destroy(k);
}

static void test_affine(void **state) {
  (void)state;
  fst_kernel *k = fst_kernel_create("k");
  fst_kx i = fst_kernel_var(k, FST_I64), j = fst_kernel_var(k, FST_I64), n = fst_kernel_param(k, FST_I64), out[2], rest;
  uint32_t vars[] = {fst_kx_get(k, i)->index, fst_kx_get(k, j)->index};
  // (i * n + j) * 3 - 5
  fst_kx x = fst_kx_prim2(k, FST_PRIM_ADD, fst_kx_prim2(k, FST_PRIM_MUL, i, n), j);
  x = fst_kx_prim2(k, FST_PRIM_SUB, fst_kx_prim2(k, FST_PRIM_MUL, x, fst_kx_int(k, 3)), fst_kx_int(k, 5));
  assert_true(fst_kx_affine(k, x, vars, 2, out, &rest));
  assert_true(fst_kx_eq(out[0], fst_kx_prim2(k, FST_PRIM_MUL, n, fst_kx_int(k, 3))));
  assert_true(fst_kx_eq(out[1], fst_kx_int(k, 3)));
  assert_true(fst_kx_eq(rest, fst_kx_int(k, -5)));
  assert_false(fst_kx_affine(k, fst_kx_prim2(k, FST_PRIM_MUL, i, j), vars, 2, out, &rest));
  assert_false(fst_kx_affine(k, fst_kx_prim2(k, FST_PRIM_DIV, i, n), vars, 2, out, &rest));
  assert_true(fst_kx_affine(k, fst_kx_prim2(k, FST_PRIM_MUL, i, j), vars, 1, out, &rest));   // in i alone
  assert_true(fst_kx_eq(out[0], j));
  fst_kernel_destroy(k);
}

static void test_contraction(void **state) {
  (void)state;
  fst_kernel *k = fst_kernel_create("k");
  fst_kx i = fst_kernel_var(k, FST_I64), n = fst_kx_int(k, 4), a = fst_kernel_param(k, FST_F32), b = fst_kx_convert(k, i, FST_F32);
  fst_kx product = fst_kx_prim2(k, FST_PRIM_MUL, a, b), mask = fst_kx_prim2(k, FST_PRIM_LT, i, fst_kx_int(k, 2));
  assert_true(fst_kx_is_contraction(k, fst_kx_reduce(k, FST_REDUCE_SUM, &i, &n, 1, product)));
  assert_true(fst_kx_is_contraction(k, fst_kx_reduce(k, FST_REDUCE_SUM, &i, &n, 1, fst_kx_prim3(k, FST_PRIM_SELECT, mask, product, fst_kx_float(k, FST_F32, 0)))));
  assert_false(fst_kx_is_contraction(k, fst_kx_reduce(k, FST_REDUCE_SUM, &i, &n, 1, b)));
  assert_false(fst_kx_is_contraction(k, fst_kx_reduce(k, FST_REDUCE_MAX, &i, &n, 1, product)));
  fst_kernel_destroy(k);
}

// ---- primitives and conversions: what the folder, the interpreter and generated code must agree on ----

static uint64_t bits_of(double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits;
}

static void test_conversions(void **state) {
  (void)state;
  static const struct { fst_dtype to; double from; uint64_t bits; } cases[] = {
      {FST_U8, -1, 255}, {FST_U8, 300, 44}, {FST_I8, 200, (uint64_t)-56}, {FST_I32, 3e9, (uint64_t)INT32_MIN}, {FST_I32, -0x1p31 - 0.5, (uint64_t)INT32_MIN}, {FST_I16, 70000, 4464}, {FST_I16, 3e9, 0}, {FST_U8, 3e9 + 7, 7},
      {FST_I64, 1e300, (uint64_t)INT64_MIN}, {FST_I64, NAN, (uint64_t)INT64_MIN}, {FST_I32, NAN, (uint64_t)INT32_MIN}, {FST_I64, -2.9, (uint64_t)-2},
      {FST_BOOL, NAN, 1}, {FST_BOOL, -0.0, 0}, {FST_BOOL, 0.25, 1},
      {FST_F16, 65519, 0x7bff}, {FST_F16, 65520, 0x7c00}, {FST_F16, 0x1p-24, 1}, {FST_F16, 0x1p-25, 0}, {FST_F16, 0x1.8p-25, 1}, {FST_F16, -0.0, 0x8000},
      {FST_F16, 1 + 0x1p-11, 0x3c00}, {FST_F16, 1 + 0x1.8p-10, 0x3c02}, {FST_F16, NAN, 0x7e00},
      {FST_BF16, 1 + 0x1p-8, 0x3f80}, {FST_BF16, 1 + 0x1.8p-7, 0x3f82}, {FST_BF16, 3.4e38, 0x7f80}, {FST_BF16, NAN, 0x7fc0}, {FST_BF16, 1e-40, 0x0001},
      {FST_F32, 0x1p-150, 0}, {FST_F32, 0x1.1p-150, 1}, {FST_F32, 1e39, 0x7f800000}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t found = fst_convert_eval(FST_F64, cases[i].to, bits_of(cases[i].from));
    if (found != cases[i].bits) fail_msg("%g as %s is 0x%llx", cases[i].from, fst_dtype_name(cases[i].to), (unsigned long long)found);
  }
  // Every 16-bit float but NaN comes back from f32 as it was.
  static const fst_dtype halves[] = {FST_F16, FST_BF16};
  for (int d = 0; d < 2; d++)
    for (uint64_t h = 0; h < 65536; h++) {
      uint64_t back = fst_convert_eval(FST_F32, halves[d], fst_convert_eval(halves[d], FST_F32, h));
      bool is_nan = (h & 0x7fff) > (d ? 0x7f80u : 0x7c00u);
      if (!is_nan && back != h) fail_msg("%s 0x%llx comes back as 0x%llx", fst_dtype_name(halves[d]), (unsigned long long)h, (unsigned long long)back);
    }
  assert_int_equal(fst_convert_eval(FST_I64, FST_F32, 16777217), 0x4b800000);           // rounds once, to even
  assert_int_equal(fst_convert_eval(FST_I64, FST_F32, (UINT64_C(1) << 54) + (1u << 30) + 1), 0x5a800001);   // not through f64
  assert_int_equal(fst_convert_eval(FST_BOOL, FST_BF16, 1), 0x3f80);
}

static void test_primitives(void **state) {
  (void)state;
  static const struct { fst_prim prim; fst_dtype dtype; uint64_t a, b, expected; } cases[] = {
      {FST_PRIM_ADD, FST_U8, 200, 100, 44}, {FST_PRIM_SUB, FST_U8, 0, 1, 255}, {FST_PRIM_MUL, FST_I8, 100, 2, (uint64_t)-56}, {FST_PRIM_DIV, FST_I64, (uint64_t)-7, 2, (uint64_t)-3},
      {FST_PRIM_REM, FST_I64, (uint64_t)-7, 2, (uint64_t)-1}, {FST_PRIM_DIV, FST_I64, (uint64_t)INT64_MIN, (uint64_t)-1, (uint64_t)INT64_MIN},
      {FST_PRIM_REM, FST_I64, (uint64_t)INT64_MIN, (uint64_t)-1, 0}, {FST_PRIM_LT, FST_U8, 200, 100, 0}, {FST_PRIM_SHR, FST_I8, (uint64_t)-128, 7, (uint64_t)-1},
      {FST_PRIM_SHR, FST_U8, 128, 7, 1}, {FST_PRIM_SHL, FST_I8, 1, 7, (uint64_t)-128}, {FST_PRIM_POPCNT, FST_I8, (uint64_t)-1, 0, 8}, {FST_PRIM_CLZ, FST_I16, 1, 0, 15},
      {FST_PRIM_CLZ, FST_I32, 0, 0, 32}, {FST_PRIM_NOT, FST_U8, 1, 0, 254}, {FST_PRIM_NOT, FST_BOOL, 1, 0, 0}, {FST_PRIM_ADD, FST_BOOL, 1, 1, 1}, {FST_PRIM_MUL, FST_BOOL, 1, 0, 0},
      {FST_PRIM_ABS, FST_I8, (uint64_t)-128, 0, (uint64_t)-128}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t args[2] = {cases[i].a, cases[i].b}, found = fst_prim_eval(cases[i].prim, cases[i].dtype, args);
    if (found != cases[i].expected) fail_msg("%s.%s gives 0x%llx", fst_prim_name(cases[i].prim), fst_dtype_name(cases[i].dtype), (unsigned long long)found);
  }
  uint64_t nan = bits_of(NAN), one = bits_of(1), fma[3] = {bits_of(1 + 0x1p-52), bits_of(1 - 0x1p-52), bits_of(-1)};
  double out;
  static const fst_prim extremes[] = {FST_PRIM_MIN, FST_PRIM_MAX};
  for (int i = 0; i < 2; i++)
    for (int side = 0; side < 2; side++) {
      uint64_t args[2] = {side ? nan : one, side ? one : nan}, found = fst_prim_eval(extremes[i], FST_F64, args);
      memcpy(&out, &found, sizeof out);
      assert_true(isnan(out));
    }
  uint64_t once = fst_prim_eval(FST_PRIM_FMA, FST_F64, fma);
  memcpy(&out, &once, sizeof out);
  assert_true(out == -0x1p-104);
}

// ---- the interpreter ----

static void test_map_and_reduce(void **state) {
  (void)state;
  fst_kernel *k = parse(
      "kernel \"matmul\" (p0 : i64) {\n"
      "  buffer b0 : f32[2, p0]{p0, 1} read\n"
      "  buffer b1 : f32[p0, 2]{1, p0} read\n"   // transposed
      "  buffer b2 : f32[2, 2]{2, 1} written\n"
      "  map (v0 < 2, v1 < 2) {\n"
      "    %0 : f32 = sum (v2 < p0) {\n"
      "      %1 : f32 = load b0[v0, v2]\n"
      "      %2 : f32 = load b1[v2, v1]\n"
      "      %3 : f32 = mul(%1, %2)\n"
      "      yield %3\n"
      "    }\n"
      "    b2[v0, v1] = %0\n"
      "  }\n"
      "}\n");
  float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, -1, 2, 1, 0}, c[4];
  uint64_t params[] = {3};
  void *buffers[] = {a, b, c};
  check(fst_kernel_run(k, &(fst_kargs){buffers, params}));
  static const float expected[] = {-2, 4, -2, 13};
  assert_memory_equal(c, expected, sizeof c);
  params[0] = 0;   // an empty sum
  check(fst_kernel_run(k, &(fst_kargs){buffers, params}));
  for (int i = 0; i < 4; i++) assert_true(c[i] == 0);
  fst_kernel_destroy(k);
}

static void test_reductions(void **state) {
  (void)state;
  static const struct { const char *name, *dtype; double expected; } cases[] = {
      {"sum", "f32", NAN}, {"max", "f32", NAN}, {"min", "f32", NAN}, {"argmax", "i64", 2}, {"argmin", "i64", 2}};
  float in[] = {3, -1, NAN, 7, NAN};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[400];
    snprintf(text, sizeof text, "kernel \"r\" () { buffer b0 : f32[5]{1} read buffer b1 : %s[]{} written map () { %%0 : %s = %s (v0 < 5) { %%1 : f32 = load b0[v0] yield %%1 } b1[] = %%0 } }",
             cases[i].dtype, cases[i].dtype, cases[i].name);
    fst_kernel *k = parse(text);
    int64_t number = 0;
    float single;
    void *buffers[] = {in, cases[i].dtype[0] == 'i' ? (void *)&number : (void *)&single};
    check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
    if (cases[i].dtype[0] == 'i') assert_int_equal(number, (int64_t)cases[i].expected);
    else assert_true(isnan(single));
    fst_kernel_destroy(k);
  }
}

static void test_empty_reductions(void **state) {
  (void)state;
  fst_kernel *k = parse(
      "kernel \"empty\" () { buffer b0 : f32[4]{1} written buffer b1 : i8[2]{1} written buffer b2 : b8[2]{1} written map () {\n"
      "  %0 : f32 = sum (v0 < 0) { yield f32(1.0) } %1 : f32 = prod (v1 < 0) { yield f32(2.0) }\n"
      "  %2 : f32 = max (v2 < 0) { yield f32(3.0) } %3 : f32 = min (v3 < 0) { yield f32(4.0) }\n"
      "  %4 : i8 = max (v4 < 0) { yield i8(1) } %5 : i8 = min (v5 < 0) { yield i8(1) }\n"
      "  %6 : b8 = any (v6 < 0) { yield true } %7 : b8 = all (v7 < 0) { yield false }\n"
      "  b0[0] = %0 b0[1] = %1 b0[2] = %2 b0[3] = %3 b1[0] = %4 b1[1] = %5 b2[0] = %6 b2[1] = %7 } }");
  float f[4];
  int8_t i[2];
  uint8_t b[2];
  void *buffers[] = {f, i, b};
  check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
  assert_true(f[0] == 0 && f[1] == 1 && f[2] == -INFINITY && f[3] == INFINITY);
  assert_true(i[0] == -128 && i[1] == 127 && b[0] == 0 && b[1] == 1);
  fst_kernel_destroy(k);
}

static void test_scatter_and_scan(void **state) {
  (void)state;
  fst_kernel *k = parse(
      "kernel \"s\" () { buffer b0 : f32[4]{1} read buffer b1 : i64[4]{1} read buffer b2 : f32[3]{1} read written buffer b3 : f32[4]{1} written\n"
      "  scatter.add (v0 < 4) { %0 : i64 = load b1[v0] %1 : f32 = load b0[v0] b2[%0] = %1 }\n"
      "  scan (v1 < 4) carry v2 : f32, v3 : f32 { %2 : f32 = load b0[v1] %3 : f32 = add(v2, %2) first v2 = f32(10.0) next v2 = %3 first v3 = f32(0.0) next v3 = v2 %4 : f32 = add(v2, v3) b3[v1] = %4 } }");
  float in[] = {1, 2, 3, 4}, sums[] = {0.5, 0, 0}, scan[4];
  int64_t at[] = {0, 2, 0, 2};
  void *buffers[] = {in, at, sums, scan};
  check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
  static const float expected_sums[] = {4.5, 0, 6}, expected_scan[] = {11 + 10, 13 + 11, 16 + 13, 20 + 16};
  assert_memory_equal(sums, expected_sums, sizeof sums);
  assert_memory_equal(scan, expected_scan, sizeof scan);
  fst_kernel_destroy(k);
}

static void test_sort_and_compact(void **state) {
  (void)state;
  fst_kernel *k = parse(
      "kernel \"s\" () { buffer b0 : f32[2, 4]{4, 1} read buffer b1 : f32[2, 4]{4, 1} written buffer b2 : i64[2, 4]{4, 1} written\n"
      "  buffer b3 : i64[8, 2]{2, 1} written buffer b4 : i64[1]{1} written\n"
      "  sort.descending (v0 < 2, v1 < 4) { %0 : f32 = load b0[v0, v1] b1[v0, v1] = %0 b2[v0, v1] }\n"
      "  compact.b4 (v2 < 2, v3 < 4) carry v4 : i64 { %1 : f32 = load b0[v2, v3] %2 : b8 = lt(f32(1.0), %1) where %2 b3[v4, 0] = v2 b3[v4, 1] = v3 } }");
  float in[] = {1, NAN, 2, 1, 3, 3, -INFINITY, 5}, sorted[8];
  int64_t positions[8], found[16] = {0}, count;
  void *buffers[] = {in, sorted, positions, found, &count};
  check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
  static const int64_t expected_positions[] = {1, 2, 0, 3, 3, 0, 1, 2}, expected_found[] = {0, 2, 1, 0, 1, 1, 1, 3};
  assert_true(isnan(sorted[0]) && sorted[1] == 2 && sorted[2] == 1 && sorted[3] == 1 && sorted[4] == 5 && sorted[7] == -INFINITY);
  assert_memory_equal(positions, expected_positions, sizeof positions);
  assert_int_equal(count, 4);
  assert_memory_equal(found, expected_found, sizeof expected_found);
  fst_kernel_destroy(k);
}

// Only the chosen side of a select is evaluated: the other may not even be there.
static void test_lazy_select(void **state) {
  (void)state;
  fst_kernel *k = parse(
      "kernel \"pad\" () { buffer b0 : f32[2]{1} read buffer b1 : f32[4]{1} written\n"
      "  map (v0 < 4) { %0 : i64 = add(v0, -1) %1 : b8 = le(1, v0) %2 : b8 = lt(v0, 3) %3 : b8 = and(%1, %2) %4 : i64 = mul(%0, 1000000000) %5 : b8 = eq(%0, 1000)\n"
      "    %6 : i64 = select(%5, %4, %0) %7 : f32 = load b0[%6] %8 : f32 = select(%3, %7, f32(9.0)) b1[v0] = %8 } }");
  float in[] = {1, 2}, out[4];
  static const float expected[] = {9, 1, 2, 9};
  void *buffers[] = {in, out};
  check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
  assert_memory_equal(out, expected, sizeof out);
  fst_kernel_destroy(k);
}

// A statement sees the stores of those before it, also of what it had loaded already.
static void test_statements_in_order(void **state) {
  (void)state;
  fst_kernel *k = parse(
      "kernel \"order\" () { buffer b0 : i64[2]{1} read written\n"
      "  map (v0 < 2) { %0 : i64 = load b0[v0] %1 : i64 = add(%0, 1) b0[v0] = %1 }\n"
      "  map (v0 < 2) { %2 : i64 = load b0[v0] %3 : i64 = add(%2, 1) b0[v0] = %3 } }");
  int64_t data[] = {5, 7};
  void *buffers[] = {data};
  check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
  assert_true(data[0] == 7 && data[1] == 9);
  fst_kernel_destroy(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_integer_rules),     cmocka_unit_test(test_truth_rules),      cmocka_unit_test(test_float_rules),     cmocka_unit_test(test_choice_rules),
      cmocka_unit_test(test_conversion_rules),  cmocka_unit_test(test_sharing),          cmocka_unit_test(test_substitute),      cmocka_unit_test(test_affine),
      cmocka_unit_test(test_contraction),       cmocka_unit_test(test_conversions),      cmocka_unit_test(test_primitives),      cmocka_unit_test(test_map_and_reduce),
      cmocka_unit_test(test_reductions),        cmocka_unit_test(test_empty_reductions), cmocka_unit_test(test_scatter_and_scan), cmocka_unit_test(test_sort_and_compact),
      cmocka_unit_test(test_lazy_select),       cmocka_unit_test(test_statements_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
