// base/: arenas, vectors, maps, interned strings, text, dtypes, statuses, checksums.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/dtype.h"
#include "base/map.h"
#include "base/text.h"
#include "base/vec.h"

// ---- status ----------------------------------------------------------------------------------------

static fst_status fail_with(int number) { return FST_FAIL(FST_ERR_INVALID, "number %d", number); }

static fst_status try_twice(int *reached) {
  FST_TRY(NULL);
  ++*reached;
  FST_TRY(fail_with(7));
  ++*reached;
  return NULL;
}

static void test_status(void **state) {
  (void)state;
  int reached = 0;
  fst_status status = try_twice(&reached);
  assert_non_null(status);
  assert_int_equal(reached, 1);
  assert_int_equal(status->code, FST_ERR_INVALID);
  assert_string_equal(status->message, "number 7");
  status = fst_error_prefix(status, "file '%s'", "x");
  assert_string_equal(status->message, "file 'x': number 7");
  assert_int_equal(status->code, FST_ERR_INVALID);
  fst_error_free(status);
  fst_error_free(NULL);
  assert_null(fst_error_prefix(NULL, "anything"));
  assert_string_equal(fst_code_name(FST_ERR_CORRUPT), "corrupt");
}

// ---- arenas ----------------------------------------------------------------------------------------

static void test_arena(void **state) {
  (void)state;
  fst_arena arena;
  fst_arena_init(&arena);
  char *last = NULL;
  for (size_t size = 0; size < 5000; size += 7) {
    char *at = fst_arena_alloc(&arena, size);
    assert_int_equal((uintptr_t)at % 16, 0);
    assert_ptr_not_equal(at, last);
    for (size_t i = 0; i < size; i++) assert_int_equal(at[i], 0);
    memset(at, 0xee, size);  // whoever gets this memory again must see zeros
    last = at;
  }
  char *large = fst_arena_alloc(&arena, 3 << 20);
  assert_int_equal(large[(3 << 20) - 1], 0);
  memset(large, 0xee, 3 << 20);
  fst_arena_reset(&arena);
  assert_int_equal(arena.bytes, 0);
  char *again = fst_arena_alloc(&arena, 1000);
  for (size_t i = 0; i < 1000; i++) assert_int_equal(again[i], 0);
  assert_string_equal(fst_arena_strdup(&arena, "text"), "text");
  assert_string_equal(fst_arena_strndup(&arena, "text", 2), "te");
  assert_string_equal(fst_arena_printf(&arena, "%d-%s", 12, "x"), "12-x");
  assert_memory_equal(fst_arena_memdup(&arena, "\0a\0", 3), "\0a\0", 3);
  fst_arena_deinit(&arena);
  fst_arena_reset(&arena);  // an empty one
  fst_arena_deinit(&arena);
}

static void test_vec(void **state) {
  (void)state;
  FST_VEC(int) v = {0};
  for (int i = 0; i < 1000; i++) fst_vec_push(&v, i * i);
  assert_int_equal(v.len, 1000);
  for (int i = 0; i < 1000; i++) assert_int_equal(v.data[i], i * i);
  assert_int_equal(fst_vec_pop(&v), 999 * 999);
  assert_int_equal(fst_vec_last(&v), 998 * 998);
  fst_vec_reserve(&v, 5000);
  assert_true(v.cap >= 5999);
  fst_vec_clear(&v);
  assert_int_equal(v.len, 0);
  fst_vec_free(&v);
  assert_null(v.data);
}

// ---- maps ------------------------------------------------------------------------------------------

// Against an array that is searched from end to end.
enum { KEYS = 300, STEPS = 20000 };

static uint32_t next_random(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

static void test_map_random(void **state) {
  (void)state;
  fst_map map = {0};
  uint64_t values[KEYS];
  bool present[KEYS] = {false};
  size_t count = 0;
  uint32_t seed = 1;
  for (int step = 0; step < STEPS; step++) {
    uint32_t r = next_random(&seed) >> 8, key = r % KEYS;
    if (r % 3 == 0) {
      assert_int_equal(fst_map_remove(&map, key), present[key]);
      count -= present[key];
      present[key] = false;
    } else {
      values[key] = step;
      fst_map_set(&map, key, values[key]);
      count += !present[key];
      present[key] = true;
    }
    assert_int_equal(map.len, count);
    uint32_t probe = (next_random(&seed) >> 8) % KEYS;
    uint64_t found = 0;
    assert_int_equal(fst_map_get(&map, probe, &found), present[probe]);
    if (present[probe]) assert_int_equal(found, values[probe]);
  }
  for (uint32_t key = 0; key < KEYS; key++) assert_int_equal(fst_map_get(&map, key, NULL), present[key]);
  fst_map_clear(&map);
  assert_false(fst_map_get(&map, 1, NULL));
  assert_false(fst_map_remove(&map, 1));
  fst_map_deinit(&map);
  assert_false(fst_map_get(&map, 1, NULL));
}

static void test_map_extreme_keys(void **state) {
  (void)state;
  fst_map map = {0};
  const uint64_t keys[] = {0, UINT64_MAX, 1ull << 63, 1};
  for (uint64_t i = 0; i < 4; i++) fst_map_set(&map, keys[i], ~i);
  for (uint64_t i = 0; i < 4; i++) {
    uint64_t value;
    assert_true(fst_map_get(&map, keys[i], &value));
    assert_true(value == ~i);
  }
  fst_map_deinit(&map);
}

static void test_strings(void **state) {
  (void)state;
  fst_strings strings;
  fst_strings_init(&strings);
  assert_int_equal(fst_intern(&strings, ""), 0);
  fst_sym first = fst_intern(&strings, "first"), nul = fst_intern_n(&strings, "a\0b", 3), shorter = fst_intern(&strings, "a");
  assert_int_not_equal(nul, shorter);
  assert_int_equal(fst_sym_len(&strings, nul), 3);
  assert_memory_equal(fst_sym_text(&strings, nul), "a\0b", 4);
  char text[32];
  for (int i = 0; i < 2000; i++) {
    snprintf(text, sizeof text, "name%d", i);
    fst_intern(&strings, text);
  }
  size_t count = strings.len;
  for (int i = 0; i < 2000; i++) {
    snprintf(text, sizeof text, "name%d", i);
    assert_string_equal(fst_sym_text(&strings, fst_intern(&strings, text)), text);
  }
  assert_int_equal(strings.len, count);
  assert_int_equal(fst_intern(&strings, "first"), first);
  fst_strings_deinit(&strings);
}

// ---- text ------------------------------------------------------------------------------------------

static void expect_double(double value, const char *expected) {
  fst_text text = {0};
  fst_text_double(&text, value);
  assert_string_equal(fst_text_cstr(&text), expected);
  if (!isnan(value)) assert_true(strtod(text.data, NULL) == value);
  fst_text_deinit(&text);
}

static void test_text(void **state) {
  (void)state;
  fst_text text = {0};
  assert_string_equal(fst_text_cstr(&text), "");
  fst_text_puts(&text, "a");
  fst_text_putc(&text, 'b');
  fst_text_printf(&text, "%d", 42);
  char wide[3000];
  memset(wide, 'x', sizeof wide - 1);
  wide[sizeof wide - 1] = 0;
  fst_text_printf(&text, "%s!", wide);
  assert_int_equal(text.len, 4 + sizeof wide - 1 + 1);
  assert_memory_equal(text.data, "ab42xxx", 7);
  assert_int_equal(text.data[text.len - 1], '!');
  assert_int_equal(text.data[text.len], 0);
  fst_text_deinit(&text);
  fst_text_quote(&text, "q\"\\\n\r\t\1\x7f\xc3\xa9", 10);
  assert_string_equal(text.data, "\"q\\\"\\\\\\n\\r\\t\\x01\\x7f\xc3\xa9\"");
  fst_text_deinit(&text);
}

static void test_doubles(void **state) {
  (void)state;
  expect_double(0, "0.0");
  expect_double(-0.0, "-0.0");
  expect_double(1, "1.0");
  expect_double(0.1, "0.1");
  expect_double(1e-5, "1e-05");
  expect_double(1e22, "1e+22");
  expect_double(123456789.125, "123456789.125");
  expect_double(0.1 + 0.2, "0.30000000000000004");
  expect_double(INFINITY, "inf");
  expect_double(-INFINITY, "-inf");
  expect_double(NAN, "nan");
  expect_double(-NAN, "nan");
  expect_double(5e-324, "5e-324");
  expect_double(1.7976931348623157e308, "1.7976931348623157e+308");
}

// ---- dtypes ----------------------------------------------------------------------------------------

static void test_dtypes(void **state) {
  (void)state;
  assert_int_equal(fst_dtype_size(FST_F32), 4);
  assert_int_equal(fst_dtype_size(FST_C128), 16);
  assert_int_equal(fst_dtype_size(FST_DTYPE_UNKNOWN), 0);
  assert_int_equal(fst_dtype_from_name("f32", 3), FST_F32);
  assert_int_equal(fst_dtype_from_name("torch.int64", 11), FST_I64);
  assert_int_equal(fst_dtype_from_name("bfloat16", 8), FST_BF16);
  assert_int_equal(fst_dtype_from_name("f3", 2), FST_DTYPE_UNKNOWN);
  assert_int_equal(fst_dtype_from_name("f320", 3), FST_F32);
  assert_string_equal(fst_dtype_name(FST_BOOL), "b8");
  assert_string_equal(fst_dtype_name(FST_DTYPE_UNKNOWN), "?");
  assert_true(fst_dtype_is_float(FST_BF16));
  assert_false(fst_dtype_is_float(FST_C64));
  assert_true(fst_dtype_is_integral(FST_U8, false));
  assert_false(fst_dtype_is_integral(FST_BOOL, false));
  assert_true(fst_dtype_is_integral(FST_BOOL, true));
}

// ---- checksums -------------------------------------------------------------------------------------

static void test_crc32c(void **state) {
  (void)state;
  // Test vectors of RFC 3720, B.4.
  unsigned char bytes[32];
  memset(bytes, 0, 32);
  assert_int_equal(fst_crc32c(0, bytes, 32), 0x8a9136aa);
  memset(bytes, 0xff, 32);
  assert_int_equal(fst_crc32c(0, bytes, 32), 0x62a8ab43);
  for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
  assert_int_equal(fst_crc32c(0, bytes, 32), 0x46dd794e);
  assert_int_equal(fst_crc32c(0, "", 0), 0);
}

// Sizes around those where the hardware form changes its way.
static void test_crc32c_forms_agree(void **state) {
  (void)state;
  enum { SIZE = 3 * 8192 * 3 + 100 };
  unsigned char *bytes = malloc(SIZE);
  uint32_t seed = 3;
  for (int i = 0; i < SIZE; i++) bytes[i] = (unsigned char)(next_random(&seed) >> 24);
  const size_t sizes[] = {1, 7, 8, 9, 63, 3 * 8192 - 1, 3 * 8192, 3 * 8192 + 13, 6 * 8192 + 5, SIZE - 3};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint32_t whole = fst_crc32c(0, bytes + 3, sizes[i]);
    assert_int_equal(whole, fst_crc32c_portable(0, bytes + 3, sizes[i]));
    size_t half = sizes[i] / 2;
    assert_int_equal(whole, fst_crc32c(fst_crc32c(0, bytes + 3, half), bytes + 3 + half, sizes[i] - half));
  }
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_status),  cmocka_unit_test(test_arena),   cmocka_unit_test(test_vec),
      cmocka_unit_test(test_map_random), cmocka_unit_test(test_map_extreme_keys), cmocka_unit_test(test_strings),
      cmocka_unit_test(test_text),    cmocka_unit_test(test_doubles), cmocka_unit_test(test_dtypes),
      cmocka_unit_test(test_crc32c),  cmocka_unit_test(test_crc32c_forms_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
