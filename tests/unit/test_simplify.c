// fst_kernel_simplify: what follows from how far variables run, as text; and random index arithmetic before and after.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/kernel/kernel.h"

static void check(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

// `body` computes an i64, in its last line, of v0 < 12, v1 < p0, v2 < 64; what is left is one line a primitive, and the value stored.
static void becomes(const char *body, const char *expected) {
  char text[1024], full[512], value[8] = "";
  static const char *frame =
      "kernel \"k\" (p0 : i64, p1 : i64) {\n"
      "  buffer b0 : i64[12, p0, 64]{p1, 64, 1} written\n"
      "  map (v0 < 12, v1 < p0, v2 < 64) {\n%s    b0[v0, v1, v2] = %s\n  }\n}\n";
  fst_kernel *k = NULL, *e = NULL;
  fst_text out = {0}, wanted = {0};
  for (const char *at = body; *at; at = strchr(at, '\n') + 1) snprintf(value, sizeof value, "%.*s", (int)strcspn(at, " "), at);
  snprintf(text, sizeof text, frame, body, value);
  check(fst_kernel_parse(text, strlen(text), &k));
  fst_kernel_simplify(k);
  check(fst_kernel_verify(k));
  fst_kernel_print(k, &out);
  const char *last = strrchr(expected, '\n');
  snprintf(full, sizeof full, "%.*s", last ? (int)(last - expected) + 1 : 0, expected);
  snprintf(text, sizeof text, frame, full, last ? last + 1 : expected);
  check(fst_kernel_parse(text, strlen(text), &e));
  fst_kernel_print(e, &wanted);
  assert_string_equal(fst_text_cstr(&out), fst_text_cstr(&wanted));
  fst_text_deinit(&out);
  fst_text_deinit(&wanted);
  fst_kernel_destroy(k);
  fst_kernel_destroy(e);
}

static void test_division(void **state) {
  (void)state;
  // (64*v0 + v2) / 64 and % 64
  becomes("%0 : i64 = mul(v0, 64)\n%1 : i64 = add(%0, v2)\n%2 : i64 = div(%1, 64)\n", "v0");
  becomes("%0 : i64 = mul(v0, 64)\n%1 : i64 = add(%0, v2)\n%2 : i64 = rem(%1, 64)\n", "v2");
  // the rest reaches over: only the whole part leaves
  becomes("%0 : i64 = mul(v0, 32)\n%1 : i64 = add(%0, v2)\n%2 : i64 = rem(%1, 32)\n", "%0 : i64 = rem(v2, 32)\n%0");
  becomes("%0 : i64 = mul(v0, 32)\n%1 : i64 = add(%0, v2)\n%2 : i64 = div(%1, 32)\n", "%0 : i64 = div(v2, 32)\n%1 : i64 = add(v0, %0)\n%1");
  // a factor that dividend and divisor share
  becomes("%0 : i64 = mul(v1, 64)\n%1 : i64 = add(%0, v2)\n%2 : i64 = div(%1, 768)\n", "%0 : i64 = div(v1, 12)\n%0");
  // by a size
  becomes("%0 : i64 = mul(v0, p0)\n%1 : i64 = add(%0, v1)\n%2 : i64 = div(%1, p0)\n", "v0");
  becomes("%0 : i64 = mul(v0, p0)\n%1 : i64 = add(%0, v1)\n%2 : i64 = rem(%1, p0)\n", "v1");
  // what may be negative truncates towards zero, so it stays
  becomes("%0 : i64 = sub(v2, 64)\n%1 : i64 = div(%0, 64)\n", "%0 : i64 = add(v2, -64)\n%1 : i64 = div(%0, 64)\n%1");
  // a parameter that is no size may be anything
  becomes("%0 : i64 = mul(v0, p1)\n%1 : i64 = add(%0, v1)\n%2 : i64 = div(%1, p1)\n", "%0 : i64 = mul(v0, p1)\n%1 : i64 = add(%0, v1)\n%2 : i64 = div(%1, p1)\n%2");
}

static void test_comparison(void **state) {
  (void)state;
  becomes("%0 : b8 = lt(v2, 64)\n%1 : i64 = select(%0, v0, v1)\n", "v0");
  becomes("%0 : b8 = lt(v1, p0)\n%1 : i64 = select(%0, v0, v1)\n", "v0");
  becomes("%0 : b8 = le(p0, v1)\n%1 : i64 = select(%0, v0, v1)\n", "v1");
  becomes("%0 : b8 = eq(v2, 64)\n%1 : i64 = select(%0, v0, v1)\n", "v1");
  becomes("%0 : b8 = lt(v2, 63)\n%1 : i64 = select(%0, v0, v1)\n", "%0 : b8 = lt(v2, 63)\n%1 : i64 = select(%0, v0, v1)\n%1");
  becomes("%0 : b8 = lt(v1, p1)\n%1 : i64 = select(%0, v0, v1)\n", "%0 : b8 = lt(v1, p1)\n%1 : i64 = select(%0, v0, v1)\n%1");
}

static void test_extreme(void **state) {
  (void)state;
  becomes("%0 : i64 = max(v0, 0)\n", "v0");
  becomes("%0 : i64 = min(v2, 63)\n", "v2");
  becomes("%0 : i64 = sub(p0, 1)\n%1 : i64 = min(v1, %0)\n", "v1");
  becomes("%0 : i64 = min(v2, 62)\n", "%0 : i64 = min(v2, 62)\n%0");
}

// ---- random index arithmetic ----

static uint64_t random_state;
static uint64_t random_below(uint64_t n) {
  random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (random_state >> 33) % n;
}

typedef struct { fst_kernel *k; fst_kx vars[3], params[2]; } scope;

static fst_kx leaf(scope *s) {
  switch (random_below(3)) {
    case 0: return fst_kx_int(s->k, (int64_t)random_below(9) - 2);
    case 1: return s->params[random_below(2)];
    default: return s->vars[random_below(3)];
  }
}

static fst_kx grow(scope *s, int depth) {
  static const fst_prim prims[] = {FST_PRIM_ADD, FST_PRIM_SUB, FST_PRIM_MUL, FST_PRIM_MIN, FST_PRIM_MAX, FST_PRIM_DIV, FST_PRIM_REM, FST_PRIM_LT, FST_PRIM_LE, FST_PRIM_EQ};
  if (!depth || random_below(6) == 0) return leaf(s);
  fst_prim prim = prims[random_below(sizeof prims / sizeof *prims)];
  fst_kx a = grow(s, depth - 1);
  if (prim == FST_PRIM_DIV || prim == FST_PRIM_REM) return fst_kx_prim2(s->k, prim, a, random_below(3) ? fst_kx_int(s->k, 1 + (int64_t)random_below(9)) : s->params[0]);
  fst_kx b = prim == FST_PRIM_MUL && random_below(3) ? fst_kx_int(s->k, 1 + (int64_t)random_below(8)) : grow(s, depth - 1);
  fst_kx x = fst_kx_prim2(s->k, prim, a, b);
  return fst_prim_is_compare(prim) ? fst_kx_prim3(s->k, FST_PRIM_SELECT, x, leaf(s), grow(s, depth - 1)) : x;
}

enum { SIZE_A = 6, MOST_POINTS = SIZE_A * 7 * 8 };

static void run(const fst_kernel *k, int64_t size, int64_t number, int64_t *out) {
  void *buffers[] = {out};
  uint64_t params[] = {(uint64_t)size, (uint64_t)number};
  memset(out, 0, MOST_POINTS * sizeof *out);
  check(fst_kernel_run(k, &(fst_kargs){buffers, params}));
}

static void test_random(void **state) {
  (void)state;
  static int64_t before[3][MOST_POINTS], after[MOST_POINTS];
  static const int64_t sizes[3] = {1, 4, 7}, numbers[3] = {0, -3, 5};
  int smaller = 0;
  for (uint64_t seed = 0; seed < 4000; seed++) {
    random_state = seed * 7919 + 1;
    scope s = {.k = fst_kernel_create("k")};
    for (int i = 0; i < 2; i++) s.params[i] = fst_kernel_param(s.k, FST_I64);
    for (int i = 0; i < 3; i++) s.vars[i] = fst_kernel_var(s.k, FST_I64);
    fst_kx extents[3] = {fst_kx_int(s.k, SIZE_A), s.params[0], fst_kx_int(s.k, 8)};
    fst_kbuf b = {.dtype = FST_I64, .rank = 3, .is_written = true, .sizes = {extents[0], extents[1], extents[2]}};
    b.strides[2] = fst_kx_int(s.k, 1);
    b.strides[1] = extents[2];
    b.strides[0] = fst_kx_prim2(s.k, FST_PRIM_MUL, extents[1], extents[2]);
    fst_kstore store = {fst_kernel_buffer(s.k, &b), grow(&s, 5), 3, s.vars};
    fst_kernel_map(s.k, s.vars, extents, 3, &store, 1);
    for (int i = 0; i < 3; i++) run(s.k, sizes[i], numbers[i], before[i]);
    fst_kernel_simplify(s.k);
    smaller += !fst_kx_eq(s.k->stmts.data[0].stores[0].value, store.value);
    check(fst_kernel_verify(s.k));
    for (int i = 0; i < 3; i++) {
      run(s.k, sizes[i], numbers[i], after);
      if (memcmp(before[i], after, sizeof after)) fail_msg("seed %d, sizes %d: differs after simplifying", (int)seed, i);
    }
    fst_kernel_destroy(s.k);
  }
  assert_true(smaller > 1000);   // the rules are tried, not passed by
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_division), cmocka_unit_test(test_comparison), cmocka_unit_test(test_extreme), cmocka_unit_test(test_random)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
