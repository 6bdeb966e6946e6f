// Files: mapped and read whole; written completely or not at all.
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"

typedef struct folder { char path[64]; } folder;

static int folder_make(void **state) {
  folder *f = malloc(sizeof *f);
  strcpy(f->path, "/tmp/fst_file_XXXXXX");
  *state = f;
  return mkdtemp(f->path) ? 0 : -1;
}

static char *path_in(const folder *f, const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", f->path, name);
  return path;
}

// Names in the folder but for . and ..
static int entries(const folder *f) {
  DIR *dir = opendir(f->path);
  int count = -2;
  while (readdir(dir)) count++;
  closedir(dir);
  return count;
}

static int folder_remove(void **state) {
  folder *f = *state;
  DIR *dir = opendir(f->path);
  for (struct dirent *e; (e = readdir(dir));)
    if (e->d_name[0] != '.') remove(path_in(f, e->d_name));
  closedir(dir);
  rmdir(f->path);
  free(f);
  return 0;
}

static void expect_failure(fst_status status, fst_code code, const char *part) {
  assert_non_null(status);
  assert_int_equal(status->code, code);
  if (!strstr(status->message, part)) fail_msg("'%s' does not say '%s'", status->message, part);
  fst_error_free(status);
}

static void test_write_and_read(void **state) {
  const folder *f = *state;
  char *bytes;
  size_t len;
  fst_mapping mapping;
  assert_null(fst_file_write_atomic(path_in(f, "a"), "one\0two", 7));
  assert_null(fst_file_read(path_in(f, "a"), &bytes, &len));
  assert_int_equal(len, 7);
  assert_memory_equal(bytes, "one\0two", 8);
  free(bytes);
  assert_null(fst_file_map(path_in(f, "a"), &mapping));
  assert_int_equal(mapping.size, 7);
  assert_memory_equal(mapping.data, "one\0two", 7);
  fst_mapping_deinit(&mapping);
  assert_int_equal(entries(f), 1);
}

static void test_replaces_whole(void **state) {
  const folder *f = *state;
  fst_mapping old;
  assert_null(fst_file_write_atomic(path_in(f, "a"), "old contents", 12));
  assert_null(fst_file_map(path_in(f, "a"), &old));
  assert_null(fst_file_write_atomic(path_in(f, "a"), "new", 3));
  assert_memory_equal(old.data, "old contents", 12);  // who had it open keeps it
  fst_mapping_deinit(&old);
  char *bytes;
  size_t len;
  assert_null(fst_file_read(path_in(f, "a"), &bytes, &len));
  assert_string_equal(bytes, "new");
  free(bytes);
  struct stat info;
  mode_t mask = umask(027);
  assert_null(fst_file_write_atomic(path_in(f, "b"), "", 0));
  umask(mask);
  assert_int_equal(stat(path_in(f, "b"), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0640);
}

static void test_empty(void **state) {
  const folder *f = *state;
  fst_mapping mapping;
  assert_null(fst_file_write_atomic(path_in(f, "empty"), "", 0));
  assert_null(fst_file_map(path_in(f, "empty"), &mapping));
  assert_int_equal(mapping.size, 0);
  assert_non_null(mapping.data);
  fst_mapping_deinit(&mapping);
}

static void test_abandoned(void **state) {
  const folder *f = *state;
  fst_file_writer writer;
  assert_null(fst_file_write_atomic(path_in(f, "a"), "before", 6));
  assert_null(fst_file_writer_begin(&writer, path_in(f, "a")));
  assert_null(fst_file_writer_write(&writer, "half", 4));
  assert_int_equal(entries(f), 2);
  fst_file_writer_abandon(&writer);
  fst_file_writer_abandon(&writer);
  assert_int_equal(entries(f), 1);
  char *bytes;
  size_t len;
  assert_null(fst_file_read(path_in(f, "a"), &bytes, &len));
  assert_string_equal(bytes, "before");
  free(bytes);
}

static void test_refusals(void **state) {
  const folder *f = *state;
  char *bytes;
  size_t len;
  fst_mapping mapping;
  expect_failure(fst_file_map(path_in(f, "none"), &mapping), FST_ERR_NOT_FOUND, "no such file");
  expect_failure(fst_file_read(path_in(f, "none"), &bytes, &len), FST_ERR_NOT_FOUND, "none");
  expect_failure(fst_file_map(f->path, &mapping), FST_ERR_INVALID, "directory");
  expect_failure(fst_file_write_atomic(f->path, "x", 1), FST_ERR_INVALID, "directory");
  expect_failure(fst_file_write_atomic(path_in(f, "no/such"), "x", 1), FST_ERR_NOT_FOUND, "no such file or directory");
  assert_int_equal(entries(f), 0);
}

// A file size limit stands in for a disk that fills up in the middle.
static void test_no_room(void **state) {
  const folder *f = *state;
  struct rlimit old, small = {1000, 1000};
  signal(SIGXFSZ, SIG_IGN);
  assert_null(fst_file_write_atomic(path_in(f, "a"), "before", 6));
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small.rlim_max = old.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  static char large[5000];
  fst_status status = fst_file_write_atomic(path_in(f, "a"), large, sizeof large);
  setrlimit(RLIMIT_FSIZE, &old);
  expect_failure(status, FST_ERR_RESOURCE, "limit");
  assert_int_equal(entries(f), 1);
  char *bytes;
  size_t len;
  assert_null(fst_file_read(path_in(f, "a"), &bytes, &len));
  assert_string_equal(bytes, "before");
  free(bytes);
}

// Devices are written to, never replaced.
static void test_devices(void **state) {
  (void)state;
  struct stat info;
  assert_null(fst_file_write_atomic("/dev/null", "x", 1));
  assert_int_equal(stat("/dev/null", &info), 0);
  assert_true(S_ISCHR(info.st_mode));
  expect_failure(fst_file_write_atomic("/dev/full", "x", 1), FST_ERR_RESOURCE, "the disk is full");
}

static void test_names(void **state) {
  (void)state;
  assert_string_equal(fst_path_base("a/b/c.pt"), "c.pt");
  assert_string_equal(fst_path_base("c.pt"), "c.pt");
  assert_string_equal(fst_path_base("a/"), "");
  assert_true(fst_file_is_directory("/"));
  assert_false(fst_file_is_directory("/dev/null"));
  assert_true(fst_file_exists("/dev/null"));
  assert_false(fst_file_exists("/no/such/file"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(test_write_and_read), IN_FOLDER(test_replaces_whole), IN_FOLDER(test_empty), IN_FOLDER(test_abandoned),
      IN_FOLDER(test_refusals), IN_FOLDER(test_no_room), cmocka_unit_test(test_devices), cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
