// Kernels as text: printing parses back to an equal kernel that computes the same, and bad text is refused with
// its place.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "ir/kernel/place.h"
#include "kernel_random.h"

static void check(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

static fst_kernel *parse(const char *text) {
  fst_kernel *k = NULL;
  check(fst_kernel_parse(text, strlen(text), &k));
  return k;
}

static void prints(const fst_kernel *k, const char *expected) {
  fst_text text = {0};
  fst_kernel_print(k, &text);
  assert_string_equal(fst_text_cstr(&text), expected);
  fst_text_deinit(&text);
}

static void refused(const char *text, const char *message) {
  fst_kernel *k = NULL;
  fst_status status = fst_kernel_parse(text, strlen(text), &k);
  assert_non_null(status);
  if (!strstr(status->message, message)) fail_msg("'%s' does not say '%s'", status->message, message);
  fst_error_free(status);
}

// ---- the form of the text ----

static const char softmax[] =
    "kernel \"softmax\" (p0 : i64) {\n"
    "  buffer b0 : f32[4, p0]{p0, 1} read\n"
    "  buffer b1 : f32[4, p0]{p0, 1} written\n"
    "  map (v0 < 4, v1 < p0) {\n"
    "    %0 : f32 = load b0[v0, v1]\n"
    "    %1 : f32 = max (v2 < p0) {\n"
    "      %2 : f32 = load b0[v0, v2]\n"
    "      yield %2\n"
    "    }\n"
    "    %3 : f32 = sub(%0, %1)\n"
    "    %4 : f32 = sum (v3 < p0) {\n"
    "      %5 : f32 = load b0[v0, v3]\n"
    "      %6 : f32 = sub(%5, %1)\n"
    "      yield %6\n"
    "    }\n"
    "    %7 : f32 = div(%3, %4)\n"
    "    b1[v0, v1] = %7\n"
    "  }\n"
    "}\n";

static void test_form(void **state) {
  (void)state;
  fst_kernel *k = parse(softmax);
  prints(k, softmax);
  fst_kernel_destroy(k);
}

static const char statements[] =
    "kernel \"all.kinds\" (p0 : i64, p1 : f64) {\n"
    "  buffer b0 : f32[p0]{1} read\n"
    "  %0 : i64 = add(p0, 1)\n"
    "  buffer b1 : f32[%0]{1} read written\n"
    "  buffer b2 : i64[p0]{1} read written constant\n"
    "  buffer b3 : i64[]{} written\n"
    "  scatter.add (v0 < p0) {\n"
    "    %1 : i64 = load b2[v0]\n"
    "    %2 : f32 = load b0[v0]\n"
    "    b1[%1] = %2\n"
    "  }\n"
    "  scan (v1 < p0) carry v2 : f32 {\n"
    "    %3 : f32 = load b0[v1]\n"
    "    %4 : f32 = add(v2, %3)\n"
    "    first v2 = f32(0.0)\n"
    "    next v2 = %4\n"
    "    b1[v1] = v2\n"
    "  }\n"
    "  sort.descending (v3 < p0) {\n"
    "    %5 : f32 = load b0[v3]\n"
    "    b1[v3] = %5\n"
    "    b2[v3]\n"
    "  }\n"
    "  compact.b3 (v4 < p0) carry v5 : i64 {\n"
    "    %6 : f32 = load b0[v4]\n"
    "    %7 : f32 = convert(p1)\n"
    "    %8 : b8 = lt(%6, %7)\n"
    "    where %8\n"
    "    b2[v5] = v4\n"
    "  }\n"
    "}\n";

static void test_statements(void **state) {
  (void)state;
  fst_kernel *k = parse(statements);
  prints(k, statements);
  fst_kernel_destroy(k);
}

// Numbers and spaces are the writer's; the printer brings them into order. Comments are skipped.
static void test_renumbers(void **state) {
  (void)state;
  fst_kernel *a = parse("kernel \"a\" () { buffer b0 : f32[4]{1} read written  # in place\n map (v7 < 4) { %0 : f32 = load b0[v7] %1 : f32 = mul(%0, %0) b0[v7] = %1 } }");
  fst_kernel *b = parse("kernel \"b\" () {\n buffer b0 : f32[4]{1} read written\n map (v0 < 4) { %0 : i64 = add(v0, 1) %1 : f32 = load b0[v0] %2 : f32 = mul(%1, %1) b0[v0] = %2 } }");
  prints(a, "kernel \"a\" () {\n  buffer b0 : f32[4]{1} read written\n  map (v0 < 4) {\n    %0 : f32 = load b0[v0]\n    %1 : f32 = mul(%0, %0)\n    b0[v0] = %1\n  }\n}\n");
  assert_true(fst_kernel_equal(a, b));
  assert_true(fst_kernel_hash(a) == fst_kernel_hash(b));
  fst_kernel_destroy(a);
  fst_kernel_destroy(b);
}

static void test_literals(void **state) {
  (void)state;
  static const char text[] =
      "kernel \"literals\" () {\n"
      "  buffer b0 : f32[2]{1} written\n"
      "  buffer b1 : f16[1]{1} written\n"
      "  buffer b2 : u8[1]{1} written\n"
      "  buffer b3 : b8[2]{1} written\n"
      "  buffer b4 : i64[1]{1} written\n"
      "  buffer b5 : f64[4]{1} written\n"
      "  map () {\n"
      "    b0[0] = f32(0x7fc00001)\n"
      "    b0[1] = f32(0.10000000149011612)\n"
      "    b1[0] = f16(-65504.0)\n"
      "    b2[0] = u8(255)\n"
      "    b3[0] = true\n"
      "    b3[1] = false\n"
      "    b4[0] = -9223372036854775808\n"
      "    b5[0] = f64(-inf)\n"
      "    b5[1] = f64(-0.0)\n"
      "    b5[2] = f64(5e-324)\n"
      "    b5[3] = f64(0x7ff8000000000000)\n"
      "  }\n"
      "}\n";
  fst_kernel *k = parse(text);
  prints(k, text);
  fst_kernel_destroy(k);
}

// ---- round trips ----

static void run(const fst_kernel *k, char *out, size_t bytes) {
  char inputs[RANDOM_BUFFERS][RANDOM_SIZE * RANDOM_SIZE * 8];
  void *buffers[8];
  memset(out, 0, bytes);
  uint64_t state = 99;
  for (size_t b = 0; b < k->buffers.len; b++) {
    buffers[b] = b < RANDOM_BUFFERS ? inputs[b] : out + (b - RANDOM_BUFFERS) * RANDOM_SIZE * RANDOM_SIZE * 8;
    fst_dtype dtype = k->buffers.data[b].dtype;
    for (size_t i = 0; b < RANDOM_BUFFERS && i < RANDOM_SIZE * RANDOM_SIZE; i++) {
      state = state * UINT64_C(6364136223846793005) + 1;
      double d = (double)(int64_t)(state >> 40) / 1e6 - 8;
      uint64_t bits;
      memcpy(&bits, &d, sizeof bits);
      bits = fst_convert_eval(FST_F64, dtype, bits);
      memcpy(inputs[b] + i * fst_dtype_size(dtype), &bits, fst_dtype_size(dtype));
    }
  }
  check(fst_kernel_run(k, &(fst_kargs){buffers, NULL}));
}

static void test_random(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 1500; seed++) {
    fst_kernel *k = kernel_random_make(seed), *back = NULL;
    char expected[2 * RANDOM_SIZE * RANDOM_SIZE * 8], found[2 * RANDOM_SIZE * RANDOM_SIZE * 8];
    fst_text text = {0}, again = {0};
    check(fst_kernel_verify(k));
    fst_kernel_print(k, &text);
    fst_status status = fst_kernel_parse(text.data, text.len, &back);
    if (status) fail_msg("seed %d: %s in\n%s", (int)seed, status->message, text.data);
    fst_kernel_print(back, &again);
    if (strcmp(fst_text_cstr(&again), fst_text_cstr(&text))) {
      fprintf(stderr, "%s\nprints as\n%s\n", text.data, again.data);
      fail_msg("seed %d prints differently after parsing", (int)seed);
    }
    assert_true(fst_kernel_equal(k, back));
    run(k, expected, sizeof expected);
    run(back, found, sizeof found);
    if (memcmp(expected, found, sizeof expected)) fail_msg("seed %d computes something else after parsing\n%s", (int)seed, text.data);
    fst_text_deinit(&text);
    fst_text_deinit(&again);
    fst_kernel_destroy(k);
    fst_kernel_destroy(back);
  }
}

// Any prefix and any flipped byte of a text is a kernel or an error, never a crash.
static void test_damage(void **state) {
  (void)state;
  static const char *const texts[] = {softmax, statements};
  for (size_t t = 0; t < 2; t++) {
    size_t len = strlen(texts[t]);
    char *copy = malloc(len);
    for (size_t i = 0; i < len * 4; i++) {
      static const char with[] = {'0', '%', '(', 'z'};
      fst_kernel *k = NULL;
      memcpy(copy, texts[t], len);
      copy[i % len] = with[i / len];
      fst_status status = fst_kernel_parse(copy, len, &k);
      assert_true((status != NULL) == (k == NULL));
      fst_error_free(status);
      fst_kernel_destroy(k);
      status = fst_kernel_parse(texts[t], i % len, &k);
      if (i % len < len - 1) assert_non_null(status);
      fst_error_free(status);
      if (!status) fst_kernel_destroy(k);
    }
    free(copy);
  }
}

static void test_refusals(void **state) {
  (void)state;
  refused("", "line 1, column 1: 'kernel' expected");
  refused("kernel \"k\" () {\n  buffer b0 : f32[4]{1} read\n  map (v0 < 4) {\n    %0 : f32 = load b0[v0, v0]\n  }\n}\n", "line 4, column 31: an index per dim before this expected");
  refused("kernel \"k\" () { map (v0 < 4) { %0 : i64 = add(v0, f32(1.0)) } }", "operands of one dtype");
  refused("kernel \"k\" () { map (v0 < 4) { %0 : f32 = sqrt(v0) } }", "a dtype that the primitive takes");
  refused("kernel \"k\" () { map (v0 < 4) { %0 : f32 = add(v0, 1) } }", "the dtype of the expression");
  refused("kernel \"k\" () { map (v0 < 4) { %0 : i64 = add(v0, %0) } }", "finished before this");
  refused("kernel \"k\" () { map (v0 < 4) { %1 : i64 = add(v0, 1) } }", "a number in range");
  refused("kernel \"k\" () { buffer b0 : c64[1]{1} }", "a dtype of elements");
  refused("kernel \"k\" () { buffer b0 : i64[4]{1} written map (v0 < 4) { b0[v1] = v0 } }", "uses a variable that nothing binds");
  refused("kernel \"k\" () { buffer b0 : i64[4]{1} written map (v0 < 4) { %0 : i64 = sum (v1 < 3) { yield v1 } %1 : i64 = add(%0, v1) b0[v0] = %1 } }", "uses a variable that nothing binds");
  refused("kernel \"k\" () { buffer b0 : f32[4]{1} written map (v0 < 4) { b0[v0] = v0 } }", "is i64, not f32");
  refused("kernel \"k\" () { buffer b0 : i64[4]{1} read map (v0 < 4) { b0[v0] = v0 } }", "a store does not fit b0");
  refused("kernel \"k\" () { buffer b0 : f32[4]{1} written scan (v0 < 4) carry v1 : f32 { next v1 = v1 b0[v0] = v1 } }", "a carry's first value is missing");
  refused("kernel \"k\" () { buffer b0 : i64[]{} written scan () { b0[] = 1 } }", "need a variable");
}

// ---- placement ----

static void test_place(void **state) {
  (void)state;
  fst_placement place;
  fst_kernel *k = parse(
      "kernel \"place\" () {\n"
      "  buffer b0 : f32[4, 4]{4, 1} read\n"
      "  buffer b1 : f32[4, 4]{4, 1} written\n"
      "  map (v0 < 4, v1 < 4) {\n"
      "    %0 : f32 = load b0[0, 0]\n"
      "    %1 : f32 = load b0[v0, 0]\n"
      "    %2 : f32 = sum (v2 < 4) {\n"
      "      %3 : f32 = load b0[v1, v2]\n"
      "      %4 : f32 = mul(%1, %3)\n"
      "      yield %4\n"
      "    }\n"
      "    %5 : b8 = lt(%0, %1)\n"
      "    %6 : i64 = add(v1, 1)\n"
      "    %7 : f32 = load b0[v0, %6]\n"
      "    %8 : f32 = select(%5, %7, %2)\n"
      "    b1[v0, v1] = %8\n"
      "  }\n"
      "}\n");
  static const struct { uint32_t nest, depth; bool lazy; fst_kx_kind kind; } expected[] = {
      {0, 0, false, FST_KX_LOAD}, {0, 1, false, FST_KX_LOAD}, {0, 1, false, FST_KX_PRIM}, {0, 2, true, FST_KX_PRIM},
      {0, 2, true, FST_KX_LOAD}, {0, 2, true, FST_KX_REDUCE}, {0, 2, false, FST_KX_PRIM},
      {1, 1, false, FST_KX_LOAD}, {1, 1, false, FST_KX_PRIM}};
  fst_kernel_place(k, &k->stmts.data[0], &place);
  assert_int_equal(place.nests.len, 2);
  assert_int_equal(place.nests.data[1].parent, 0);
  assert_int_equal(place.nests.data[0].items.len + place.nests.data[1].items.len, sizeof expected / sizeof *expected);
  size_t at = 0;
  for (uint32_t n = 0; n < 2; n++)
    for (size_t i = 0; i < place.nests.data[n].items.len; i++, at++) {
      const fst_place_item *item = &place.nests.data[n].items.data[i];
      assert_int_equal(n, expected[at].nest);
      assert_int_equal(item->depth, expected[at].depth);
      assert_int_equal(item->is_lazy, expected[at].lazy);
      assert_int_equal(fst_kx_get(k, item->expr)->kind, expected[at].kind);
      assert_int_equal(item->nest, fst_kx_get(k, item->expr)->kind == FST_KX_REDUCE);
    }
  fst_place_deinit(&place);
  fst_kernel_destroy(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_form),     cmocka_unit_test(test_statements), cmocka_unit_test(test_renumbers), cmocka_unit_test(test_literals),
      cmocka_unit_test(test_random),   cmocka_unit_test(test_damage),     cmocka_unit_test(test_refusals),  cmocka_unit_test(test_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
