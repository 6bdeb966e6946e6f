// Packages: what is read of good ones, and that damaged ones are refused or harmless.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "driver/artifact.h"
#include "driver/package.h"

#define CONFIG                                                                                                       \
  "{\"name\": \"m\", \"platform\": \"torchscript\", \"custom_ops\": [\"a.so\"], \"input_spec\": [{\"name\": \"x\", "    \
  "\"dtype\": \"float32\", \"shape\": [\"batch\", null, 3]}], \"output_spec\": [{\"name\": \"y\", \"dtype\": \"string\", \"shape\": []}]}"

static char path[] = "/tmp/fst_package_XXXXXX";

static int path_make(void **state) {
  (void)state;
  int fd = mkstemp(path);
  close(fd);
  return fd >= 0 ? 0 : -1;
}
static int path_remove(void **state) {
  (void)state;
  return unlink(path);
}

static void package_bytes(const char *config, char **out_bytes, size_t *out_len) {
  const fst_member members[] = {
      {"config.json", config, strlen(config), 0}, {"0/data/model.pt", "model bytes", 11, 0}, {"0/ops/a.so", "library", 7, 0},
      {"0/compiled/plan.bin", "old plan", 8, 0},
  };
  void *bytes;
  assert_null(fst_artifact_pack(members, 4, &bytes, out_len));
  *out_bytes = bytes;
}

static fst_status open_config(const char *config, fst_package *out) {
  char *bytes;
  size_t len;
  package_bytes(config, &bytes, &len);
  assert_null(fst_file_write_atomic(path, bytes, len));
  free(bytes);
  return fst_package_open(path, out);
}

static void test_good(void **state) {
  (void)state;
  fst_package p;
  assert_null(open_config(CONFIG, &p));
  assert_true(fst_package_is(path));
  assert_string_equal(p.config.name, "m");
  assert_int_equal(p.config.inputs.len, 1);
  const fst_config_spec *x = &p.config.inputs.data[0];
  assert_string_equal(x->name, "x");
  assert_string_equal(x->dtype, "float32");
  assert_int_equal(x->rank, 3);
  assert_string_equal(x->dims[0].symbol, "batch");
  assert_int_equal(x->dims[1].size, -1);
  assert_null(x->dims[1].symbol);
  assert_int_equal(x->dims[2].size, 3);
  assert_int_equal(p.config.outputs.data[0].rank, 0);
  assert_string_equal(p.config.custom_ops.data[0], "a.so");
  assert_int_equal(p.files.len, 3);  // by name, without what was compiled before
  assert_string_equal(p.files.data[0].name, "0/data/model.pt");
  assert_string_equal(p.files.data[2].name, "config.json");
  assert_int_equal(fst_package_file_find(&p, "0/DATA/model.pt")->len, 11);  // in any case
  assert_memory_equal(fst_package_file_find(&p, "0/data/model.pt")->bytes, "model bytes", 11);
  fst_package_deinit(&p);
  fst_package_deinit(&p);
}

// Every spelling of a config with one byte changed or left out.
static void test_changed_configs(void **state) {
  (void)state;
  char config[sizeof CONFIG];
  int refused = 0, taken = 0;
  for (size_t at = 0; at < sizeof CONFIG - 1; at++) {
    for (int way = 0; way < 4; way++) {
      memcpy(config, CONFIG, sizeof CONFIG);
      if (way == 0) memmove(config + at, config + at + 1, sizeof CONFIG - at - 1);
      else config[at] = "\"[7"[way - 1];
      fst_package p = {0};
      fst_status status = open_config(config, &p);
      if (status) refused++;
      else taken++;
      fst_error_free(status);
      if (!status) fst_package_deinit(&p);
    }
  }
  assert_true(refused > 100);
  assert_true(taken > 10);  // names may change
}

// Every byte of the file flipped, and the file cut everywhere.
static void test_damaged_files(void **state) {
  (void)state;
  char *bytes, *copy;
  size_t len;
  int refused = 0;
  package_bytes(CONFIG, &bytes, &len);
  copy = malloc(len);
  for (size_t at = 0; at < len; at++) {
    for (int way = 0; way < 3; way++) {
      memcpy(copy, bytes, len);
      if (way) copy[at] = (char)(copy[at] ^ (way == 1 ? 0x80 : 0xff));
      assert_null(fst_file_write_atomic(path, copy, way ? len : at));
      fst_package p;
      fst_package_is(path);
      fst_status status = fst_package_open(path, &p);
      refused += status != NULL;
      fst_error_free(status);
      if (!status) fst_package_deinit(&p);
    }
  }
  assert_true(refused > (int)len);
  free(copy);
  free(bytes);
}

static void test_not_packages(void **state) {
  (void)state;
  assert_null(fst_file_write_atomic(path, "text", 4));
  assert_false(fst_package_is(path));
  assert_false(fst_package_is("/no/such/file"));
  assert_false(fst_package_is("/dev"));
  fst_package p;
  fst_status status = fst_package_open("/no/such/file", &p);
  assert_int_equal(status->code, FST_ERR_NOT_FOUND);
  fst_error_free(status);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_changed_configs), cmocka_unit_test(test_damaged_files), cmocka_unit_test(test_not_packages)};
  return cmocka_run_group_tests(tests, path_make, path_remove);
}
