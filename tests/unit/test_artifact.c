// Artifacts as files: members lie where they must, the same input gives the same bytes, and other readers of
// zip files agree with what was written.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zip.h>

#include "driver/artifact.h"

static void pack(const fst_member *members, size_t count, char **out_bytes, size_t *out_len) {
  void *bytes;
  fst_status status = fst_artifact_pack(members, count, &bytes, out_len);
  if (status) fail_msg("%s", status->message);
  *out_bytes = bytes;
}

// Position of a member's bytes, found by walking the local headers: all members are stored.
static size_t member_start(const char *bytes, size_t len, const char *name) {
  for (size_t at = 0; at + 30 <= len && !memcmp(bytes + at, "PK\3\4", 4);) {
    const unsigned char *h = (const unsigned char *)bytes + at;
    size_t name_len = h[26] | h[27] << 8, extra = h[28] | h[29] << 8;
    size_t size = h[22] | h[23] << 8 | h[24] << 16 | (size_t)h[25] << 24;
    assert_int_equal(h[8] | h[9] << 8, 0);  // stored
    if (name_len == strlen(name) && !memcmp(bytes + at + 30, name, name_len)) return at + 30 + name_len + extra;
    at += 30 + name_len + extra + size;
  }
  fail_msg("no member %s", name);
  return 0;
}

static void expect_member(const char *bytes, size_t len, const fst_member *m) {
  zip_error_t error;
  zip_error_init(&error);
  zip_t *zip = zip_open_from_source(zip_source_buffer_create(bytes, len, 0, &error), ZIP_CHECKCONS, &error);
  assert_non_null(zip);
  zip_file_t *file = zip_fopen(zip, m->name, 0);
  assert_non_null(file);
  char *copy = malloc(m->len + 1);
  assert_int_equal(zip_fread(file, copy, m->len + 1), m->len);
  assert_memory_equal(copy, m->bytes, m->len);
  free(copy);
  zip_fclose(file);
  zip_discard(zip);
}

static void test_alignment(void **state) {
  (void)state;
  static char code[10000], weights[70000];
  memset(code, 'c', sizeof code);
  memset(weights, 'w', sizeof weights);
  const fst_member members[] = {
      {"config.json", "{}", 2, 0},
      {"0/compiled/plan.bin", "plan", 4, 8},
      {"0/compiled/x86-64-v3/code.bin", code, sizeof code, FST_ALIGN_CODE},
      {"0/compiled/x86-64-v4/code.bin", code, sizeof code - 1, FST_ALIGN_CODE},
      {"0/compiled/weights.bin", weights, sizeof weights, FST_ALIGN_WEIGHTS},
      {"0/data/model.pt", "source", 6, 0},
  };
  char *bytes;
  size_t len;
  pack(members, 6, &bytes, &len);
  for (size_t i = 0; i < 6; i++) {
    size_t start = member_start(bytes, len, members[i].name);
    if (members[i].align) assert_int_equal(start % members[i].align, 0);
    assert_memory_equal(bytes + start, members[i].bytes, members[i].len);
    expect_member(bytes, len, &members[i]);
  }
  free(bytes);
}

// Every distance to the next multiple of 64 KB, those that no extra field can bridge included.
static void test_every_gap(void **state) {
  (void)state;
  static char before[65536];
  for (size_t size = 65536 - 200; size <= 65536; size++) {
    const fst_member members[] = {{"a", before, size, 0}, {"0/compiled/weights.bin", "weights", 7, FST_ALIGN_WEIGHTS}};
    char *bytes;
    size_t len;
    pack(members, 2, &bytes, &len);
    size_t start = member_start(bytes, len, members[1].name);
    assert_int_equal(start % FST_ALIGN_WEIGHTS, 0);
    assert_true(start <= size + 2 * 65536);
    free(bytes);
  }
}

static void test_same_bytes(void **state) {
  (void)state;
  const fst_member members[] = {{"config.json", "{}", 2, 0}, {"0/compiled/weights.bin", "w", 1, FST_ALIGN_WEIGHTS}};
  char *a, *b;
  size_t a_len, b_len;
  pack(members, 2, &a, &a_len);
  pack(members, 2, &b, &b_len);
  assert_int_equal(a_len, b_len);
  assert_memory_equal(a, b, a_len);
  free(a);
  free(b);
}

static void test_empty_members(void **state) {
  (void)state;
  const fst_member members[] = {{"0/compiled/weights.bin", "", 0, FST_ALIGN_WEIGHTS}, {"empty", "", 0, 0}};
  char *bytes;
  size_t len;
  pack(members, 2, &bytes, &len);
  expect_member(bytes, len, &members[0]);
  expect_member(bytes, len, &members[1]);
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alignment), cmocka_unit_test(test_every_gap), cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_empty_members)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
