// Size expressions: whatever is built, proved, printed or substituted agrees with plain arithmetic.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/dim.h"

enum { SYMBOLS = 4 };   // s0, s1, s2 and i3

typedef struct {
  fst_arena arena;
  fst_dims *dims;
  fst_dim s0, s1, s2, i3;
} fixture;

static void fixture_init(fixture *f) {
  fst_arena_init(&f->arena);
  f->dims = fst_dims_create(&f->arena);
  f->s0 = fst_dim_symbol(f->dims, 0, false);
  f->s1 = fst_dim_symbol(f->dims, 1, false);
  f->s2 = fst_dim_symbol(f->dims, 2, false);
  f->i3 = fst_dim_symbol(f->dims, 3, true);
}

static void expect_text(const fixture *f, fst_dim d, const char *expected) {
  fst_text text = {0};
  fst_dim_print(f->dims, d, &text);
  assert_string_equal(fst_text_cstr(&text), expected);
  fst_text_deinit(&text);
}

static void test_canonical(void **state) {
  (void)state;
  fixture f;
  fixture_init(&f);
  fst_dims *d = f.dims;
  fst_dim sum = fst_dim_add(d, f.s0, 64);
  assert_true(sum == fst_dim_add(d, 64, f.s0));
  expect_text(&f, sum, "s0 + 64");
  assert_true(fst_dim_sub(d, sum, 64) == f.s0);
  assert_int_equal(fst_dim_sub(d, sum, f.s0), 64);
  // (s0 + 1)(s1 - 1) = s0 s1 - s0 + s1 - 1, in any order of building
  fst_dim product = fst_dim_mul(d, fst_dim_add(d, f.s0, 1), fst_dim_sub(d, f.s1, 1));
  fst_dim by_hand = fst_dim_sub(d, fst_dim_add(d, fst_dim_sub(d, fst_dim_mul(d, f.s1, f.s0), 1), f.s1), f.s0);
  assert_true(product == by_hand);
  expect_text(&f, product, "-s0 + s1 + s0*s1 - 1");
  expect_text(&f, fst_dim_mul(d, fst_dim_const(d, -3), f.i3), "-3*i3");
  assert_int_equal(fst_dim_mul(d, 0, f.s0), 0);
  assert_int_equal(fst_dim_sub(d, f.i3, f.i3), 0);
  expect_text(&f, fst_dim_const(d, -7), "-7");
  expect_text(&f, fst_dim_mul(d, fst_dim_floordiv(d, f.s0, 2), f.s1), "s1*(s0 // 2)");
  assert_true(fst_dim_is_symbol(d, f.i3, NULL));
  assert_int_equal(fst_dims_symbol_count(d), 4);
  uint32_t index;
  assert_true(fst_dim_is_symbol(d, fst_dim_fresh(d, true), &index));
  assert_int_equal(index, 4);
  fst_arena_deinit(&f.arena);
}

static void test_division(void **state) {
  (void)state;
  fixture f;
  fixture_init(&f);
  fst_dims *d = f.dims;
  fst_dim four = fst_dim_add(d, fst_dim_mul(d, f.s0, 4), 8);
  expect_text(&f, fst_dim_floordiv(d, four, 4), "s0 + 2");
  assert_int_equal(fst_dim_mod(d, four, 4), 0);
  expect_text(&f, fst_dim_floordiv(d, fst_dim_add(d, four, 3), 4), "s0 + 2");          // the rest is below 4
  expect_text(&f, fst_dim_floordiv(d, fst_dim_add(d, fst_dim_mul(d, f.s0, 4), 3), 8), "s0 // 2");
  expect_text(&f, fst_dim_floordiv(d, fst_dim_floordiv(d, f.s0, 2), 3), "s0 // 6");
  assert_true(fst_dim_floordiv(d, fst_dim_mul(d, f.s0, f.s1), f.s1) == f.s0);
  assert_int_equal(fst_dim_floordiv(d, f.s0, f.s0), 1);
  fst_dim two = fst_dim_add(d, f.s0, f.s1);
  assert_true(fst_dim_floordiv(d, fst_dim_mul(d, two, f.s2), two) == f.s2);
  assert_int_equal(fst_dim_mod(d, fst_dim_mul(d, two, f.s2), two), 0);
  assert_true(fst_dim_floordiv(d, f.s0, 0) == FST_DIM_UNKNOWN);
  assert_true(fst_dim_mod(d, f.s0, 0) == FST_DIM_UNKNOWN);
  assert_int_equal(fst_dim_floordiv(d, 7, fst_dim_const(d, -2)) + 0, fst_dim_const(d, -4));
  assert_int_equal(fst_dim_mod(d, 7, fst_dim_const(d, -2)), fst_dim_const(d, -1));
  assert_true(fst_dim_floordiv(d, FST_DIM_UNKNOWN, 3) == FST_DIM_UNKNOWN);
  fst_arena_deinit(&f.arena);
}

static void test_proofs(void **state) {
  (void)state;
  fixture f;
  fixture_init(&f);
  fst_dims *d = f.dims;
  fst_dim twice = fst_dim_mul(d, f.s0, 2);
  assert_int_equal(fst_dim_equal(d, f.s0, f.s0), 1);
  assert_int_equal(fst_dim_equal(d, f.s0, f.s1), -1);
  assert_int_equal(fst_dim_equal(d, f.s0, fst_dim_add(d, f.s0, 1)), 0);
  assert_int_equal(fst_dim_equal(d, twice, fst_dim_add(d, fst_dim_mul(d, f.i3, 2), 1)), 0);   // even and odd
  assert_int_equal(fst_dim_equal(d, FST_DIM_UNKNOWN, FST_DIM_UNKNOWN), -1);
  assert_int_equal(fst_dim_less(d, f.s0, fst_dim_add(d, f.s0, 1)), 1);
  assert_int_equal(fst_dim_less(d, fst_dim_const(d, -1), f.s0), 1);
  assert_int_equal(fst_dim_less(d, f.s0, 0), 0);
  assert_int_equal(fst_dim_less(d, f.i3, 0), -1);
  assert_int_equal(fst_dim_less(d, fst_dim_mod(d, f.i3, 8), 8), 1);
  assert_int_equal(fst_dim_less(d, f.s0, fst_dim_add(d, fst_dim_add(d, f.s0, f.s1), 1)), 1);
  assert_int_equal(fst_dim_divisor(d, fst_dim_add(d, fst_dim_mul(d, f.s0, 12), fst_dim_mul(d, f.s1, 18))), 6);
  assert_int_equal(fst_dim_divisor(d, fst_dim_mul(d, twice, fst_dim_mul(d, f.s1, 3))), 6);
  assert_int_equal(fst_dim_divisor(d, 0), 0);
  assert_true(fst_dim_min(d, f.s0, fst_dim_add(d, f.s0, f.s1)) == f.s0);
  assert_true(fst_dim_max(d, f.s0, 0) == f.s0);
  int64_t low, high;
  fst_dim_bounds(d, fst_dim_min(d, f.s0, 3), &low, &high);
  assert_int_equal(low, 0);
  assert_int_equal(high, 3);
  fst_dim_bounds(d, fst_dim_sub(d, 5, fst_dim_mod(d, f.s0, 4)), &low, &high);
  assert_int_equal(low, 2);
  assert_int_equal(high, 5);
  fst_arena_deinit(&f.arena);
}

static void test_overflow_is_unknown(void **state) {
  (void)state;
  fixture f;
  fixture_init(&f);
  fst_dims *d = f.dims;
  fst_dim big = fst_dim_mul(d, f.s0, INT64_MAX);
  assert_true(fst_dim_is_known(big));
  assert_true(fst_dim_mul(d, big, 2) == FST_DIM_UNKNOWN);
  assert_true(fst_dim_add(d, big, big) == FST_DIM_UNKNOWN);
  assert_true(fst_dim_add(d, fst_dim_const(d, INT64_MAX), 1) == FST_DIM_UNKNOWN);
  int64_t value, symbols[1] = {3};
  assert_false(fst_dim_evaluate(d, big, symbols, 1, &value));
  fst_dim deep = f.s0;   // towers end somewhere
  for (int i = 0; i < 500 && fst_dim_is_known(deep); i++) deep = fst_dim_mod(d, fst_dim_add(d, deep, f.s1), f.s2);
  assert_true(deep == FST_DIM_UNKNOWN);
  fst_arena_deinit(&f.arena);
}

// ---- random expressions against arithmetic ---------------------------------------------------------

static uint64_t seed = 0x9e3779b97f4a7c15u;
static int64_t random_below(int64_t n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (int64_t)(seed % (uint64_t)n);
}

static int64_t floor_of(int64_t a, int64_t b) { return a / b - (a % b && (a < 0) != (b < 0)); }

typedef struct {
  fst_dim d;
  int64_t value[3];   // at three points; meaningful where `sound`
  bool sound[3];      // no division by zero on the way
} sample;

static int64_t points[3][SYMBOLS] = {{0, 1, 7, -5}, {12, 5, 3, 4}, {1, 1, 1, 0}};

static sample leaf(fixture *f) {
  sample s = {.sound = {true, true, true}};
  int64_t pick = random_below(7);
  int64_t number = random_below(13) - 4;
  fst_dim symbols[SYMBOLS] = {f->s0, f->s1, f->s2, f->i3};
  s.d = pick < SYMBOLS ? symbols[pick] : fst_dim_const(f->dims, number);
  for (int i = 0; i < 3; i++) s.value[i] = pick < SYMBOLS ? points[i][pick] : number;
  return s;
}

static sample combine(fixture *f, sample a, sample b) {
  sample s;
  int64_t op = random_below(8);
  fst_dims *d = f->dims;
  switch (op) {
    case 0: case 1: s.d = fst_dim_add(d, a.d, b.d); break;
    case 2: s.d = fst_dim_sub(d, a.d, b.d); break;
    case 3: s.d = fst_dim_mul(d, a.d, b.d); break;
    case 4: s.d = fst_dim_floordiv(d, a.d, b.d); break;
    case 5: s.d = fst_dim_mod(d, a.d, b.d); break;
    case 6: s.d = fst_dim_min(d, a.d, b.d); break;
    default: s.d = fst_dim_max(d, a.d, b.d); break;
  }
  for (int i = 0; i < 3; i++) {
    int64_t x = a.value[i], y = b.value[i];
    s.sound[i] = a.sound[i] && b.sound[i] && !((op == 4 || op == 5) && y == 0);
    s.value[i] = 0;
    if (!s.sound[i]) continue;
    s.value[i] = op < 2 ? x + y : op == 2 ? x - y : op == 3 ? x * y : op == 4 ? floor_of(x, y) : op == 5 ? x - floor_of(x, y) * y : op == 6 ? (x < y ? x : y) : x > y ? x : y;
    if (s.value[i] > 1000000 || s.value[i] < -1000000) s.sound[i] = false;   // keep plain arithmetic exact
  }
  return s;
}

static sample random_sample(fixture *f, int depth) {
  if (depth == 0 || random_below(4) == 0) return leaf(f);
  sample a = random_sample(f, depth - 1), b = random_sample(f, depth - 1);
  return combine(f, a, b);
}

static void check_values(const fixture *f, const sample *s) {
  int64_t low, high, value, divisor = fst_dim_divisor(f->dims, s->d);
  fst_dim_bounds(f->dims, s->d, &low, &high);
  for (int i = 0; i < 3; i++) {
    if (!s->sound[i]) continue;
    if (!fst_dim_evaluate(f->dims, s->d, points[i], SYMBOLS, &value)) continue;   // a larger division by zero may have come in
    assert_int_equal(value, s->value[i]);
    assert_true(low <= value && value <= high);
    if (divisor) assert_int_equal(value % divisor, 0);
    else assert_int_equal(value, 0);
  }
}

static void check_text(fixture *f, fst_dim d) {
  fst_text text = {0}, again = {0};
  fst_dim_print(f->dims, d, &text);
  const char *at = fst_text_cstr(&text);
  fst_dim parsed;
  fst_status status = fst_dim_parse(f->dims, &at, &parsed);
  if (status) fail_msg("%s: %s", fst_text_cstr(&text), status->message);
  assert_string_equal(at, "");
  if (parsed != d) {
    fst_dim_print(f->dims, parsed, &again);
    fail_msg("%s parses as %s", fst_text_cstr(&text), fst_text_cstr(&again));
  }
  fst_text_deinit(&text);
}

static void check_proofs(fixture *f, const sample *a, const sample *b) {
  int equal = fst_dim_equal(f->dims, a->d, b->d), less = fst_dim_less(f->dims, a->d, b->d);
  for (int i = 0; i < 3; i++) {
    if (!a->sound[i] || !b->sound[i]) continue;
    if (equal >= 0) assert_int_equal(a->value[i] == b->value[i], equal);
    if (less >= 0) assert_int_equal(a->value[i] < b->value[i], less);
  }
}

// Constants for symbols: the expression becomes its value.
static void check_substitution(fixture *f, const sample *s) {
  for (int i = 0; i < 3; i++) {
    fst_dim map[SYMBOLS];
    for (int k = 0; k < SYMBOLS; k++) map[k] = fst_dim_const(f->dims, points[i][k]);
    fst_dim r = fst_dim_substitute(f->dims, s->d, map, SYMBOLS);
    int64_t value;
    if (s->sound[i] && fst_dim_is_const(f->dims, r, &value)) assert_int_equal(value, s->value[i]);
    else assert_true(!s->sound[i] || r == FST_DIM_UNKNOWN);
  }
}

// Another table, filled in another order, says the same.
static void check_import(fixture *f, fst_dim d) {
  fst_arena arena;
  fst_arena_init(&arena);
  fst_dims *other = fst_dims_create(&arena);
  fst_dim_symbol(other, 3, true);
  fst_dim there = fst_dim_import(other, f->dims, d, NULL, 0);
  fst_text a = {0}, b = {0};
  fst_dim_print(f->dims, d, &a);
  fst_dim_print(other, there, &b);
  assert_string_equal(fst_text_cstr(&a), fst_text_cstr(&b));
  assert_true(fst_dim_import(f->dims, other, there, NULL, 0) == d);
  fst_text_deinit(&a);
  fst_text_deinit(&b);
  fst_arena_deinit(&arena);
}

static void test_random(void **state) {
  (void)state;
  fixture f;
  fixture_init(&f);
  int known = 0;
  for (int round = 0; round < 20000; round++) {
    sample a = random_sample(&f, 4), b = random_sample(&f, 3);
    if (!fst_dim_is_known(a.d) || !fst_dim_is_known(b.d)) continue;
    known++;
    check_values(&f, &a);
    check_text(&f, a.d);
    check_proofs(&f, &a, &b);
    check_substitution(&f, &a);
    check_import(&f, a.d);
  }
  assert_true(known > 15000);
  fst_arena_deinit(&f.arena);
}

static void test_bad_text(void **state) {
  (void)state;
  static const char *const bad[] = {"", "s", "s0 +", "(s0", "min(s0)", "min(s0, 1", "s0 / 2", "99999999999999999999", "+", "s0 // ", "s9999999999", "x"};
  fixture f;
  fixture_init(&f);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *at = bad[i];
    fst_dim d = 42;
    fst_status status = fst_dim_parse(f.dims, &at, &d);
    if (!status) fail_msg("accepted: %s", bad[i]);
    assert_int_equal(d, 42);
    fst_error_free(status);
  }
  const char *mixed = "i0";
  fst_dim d;
  fst_status status = fst_dim_parse(f.dims, &mixed, &d);
  assert_non_null(status);
  assert_non_null(strstr(status->message, "both as s0 and as i0"));
  fst_error_free(status);
  fst_arena_deinit(&f.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_canonical), cmocka_unit_test(test_division), cmocka_unit_test(test_proofs),
      cmocka_unit_test(test_overflow_is_unknown), cmocka_unit_test(test_random), cmocka_unit_test(test_bad_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
