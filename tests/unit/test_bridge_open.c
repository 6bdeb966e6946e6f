// Opening the bridge: refusals that name what is wrong, before anything of libtorch is touched.
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <unistd.h>

#include "base/bridge_open.h"
#include "base/file.h"

static void refused(const char *path, const char *text) {
  void *library = NULL;
  fst_status status = fst_bridge_open(path, &library);
  assert_non_null(status);
  assert_null(library);
  assert_int_equal(status->code, FST_ERR_UNSUPPORTED);
  if (!strstr(status->message, text)) fail_msg("\"%s\" lacks \"%s\"", status->message, text);
  fst_error_free(status);
}

static char folder[64];

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/fst-bridge-XXXXXX");
  return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

// A library of this name and content in the folder; NULL where there is no C compiler.
static const char *library_make(const char *name, const char *source) {
  static char path[256];
  char command[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  snprintf(command, sizeof command, "echo '%s' | cc -shared -fPIC -Wl,-soname,%s -x c -o %s - 2>/dev/null", source, name, path);
  return system(command) == 0 ? path : NULL;
}

static void test_missing(void **state) {
  (void)state;
  refused("/nowhere/libfiresteel_torch.so", "libfiresteel_torch.so is missing");
  refused(NULL, "libfiresteel_torch.so is missing");  // there is none beside this program
}

static void test_not_a_library(void **state) {
  (void)state;
  char path[128];
  snprintf(path, sizeof path, "%s/broken.so", folder);
  fst_status status = fst_file_write_atomic(path, "no library", 10);
  assert_null(status);
  refused(path, "cannot be opened");
}

static void test_missing_symbol(void **state) {
  (void)state;
  const char *path = library_make("empty.so", "int fst_nothing;");
  if (!path) skip();
  void *library = NULL, *symbol = NULL;
  assert_null(fst_bridge_open(path, &library));
  fst_status status = fst_bridge_symbol(library, "fst_torch_call", &symbol);
  assert_non_null(status);
  assert_non_null(strstr(status->message, "fst_torch_call"));
  fst_error_free(status);
  assert_null(fst_bridge_symbol(library, "fst_nothing", &symbol));
  assert_non_null(symbol);
}

// The process holds another libtorch: binding to it would crash later.
static void test_another_libtorch(void **state) {
  (void)state;
  char source[256];
  snprintf(source, sizeof source, "unsigned long long aoti_torch_abi_version(void) { return %dULL << 56 | %dULL << 48; }", FST_TORCH_MAJOR, FST_TORCH_MINOR - 2);
  const char *path = library_make("libtorch_cpu.so", source);
  if (!path) skip();
  void *torch = dlopen(path, RTLD_NOW);
  assert_non_null(torch);
  char loaded[64], own[64];
  snprintf(loaded, sizeof loaded, "has loaded libtorch %d.%d;", FST_TORCH_MAJOR, FST_TORCH_MINOR - 2);
  snprintf(own, sizeof own, "needs %d.%d", FST_TORCH_MAJOR, FST_TORCH_MINOR);
  const char *bridge = library_make("bridge.so", "int fst_torch_call;");
  refused(bridge, loaded);
  refused(bridge, own);
  dlclose(torch);
  void *library = NULL;
  assert_null(fst_bridge_open(bridge, &library));  // once it is gone, nothing is in the way
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_missing), cmocka_unit_test(test_not_a_library), cmocka_unit_test(test_missing_symbol), cmocka_unit_test(test_another_libtorch)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
