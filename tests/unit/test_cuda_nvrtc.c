// NVRTC compiles every kernel that the shim runs, and nothing spills: each case for one of the architectures that artifacts
// carry, in turns, or with FST_ALL_ARCHS for all of them, which takes minutes.
//
// Division of floats calls a function for its rare cases, around which the assembler saves up to a few registers: so
// much local memory is no spill.
#include "kernel_maker.h"

#include "codegen/cuda/cubin.h"
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/nvrtc.h"

enum { SAVED_AROUND_CALLS = 64 };

static fst_nvrtc *nvrtc;
static fst_cuda_unit *unit;

static void runner_run(const runner_case *c) {
  const fst_cuda_kernel *kernel;
  fst_blob *blob = fst_blob_create();
  if (!unit) unit = fst_cuda_unit_create();
  runner_check(fst_cuda_kernel_emit(unit, c->kernel, NULL, blob, &kernel));
  fst_blob_destroy(blob);
  runner_done(c);
}

static void cubin_check(const void *bytes, size_t len, uint32_t arch) {
  fst_arena arena;
  fst_cubin_kernels kernels = {0};
  fst_arena_init(&arena);
  runner_check(fst_cubin_read(bytes, len, &arena, &kernels));
  assert_true(kernels.len >= fst_cuda_unit_kernels(unit));
  for (size_t i = 0; i < kernels.len; i++) {
    assert_true(kernels.data[i].registers > 0 && kernels.data[i].registers <= 255);
    if (kernels.data[i].local_bytes > SAVED_AROUND_CALLS) fail_msg("%s: %u bytes of local memory on sm_%u", kernels.data[i].name, kernels.data[i].local_bytes, arch);
  }
  fst_vec_free(&kernels);
  fst_arena_deinit(&arena);
}

static int compile_all(void **state) {
  (void)state;
  static const uint32_t archs[] = {80, 86, 89, 90, 100};
  static uint32_t turn;
  if (!unit) return 0;
  turn++;
  fst_text source = {0};
  fst_cuda_unit_source(unit, &source);
  for (int i = 0; i < 5; i++) {
    void *bytes = NULL;
    size_t len = 0;
    if (!fst_nvrtc_knows(nvrtc, archs[i]) || (!getenv("FST_ALL_ARCHS") && turn % 5 != (uint32_t)i)) continue;
    runner_check(fst_nvrtc_compile(nvrtc, fst_text_cstr(&source), archs[i], false, &bytes, &len, NULL));
    cubin_check(bytes, len, archs[i]);
    free(bytes);
  }
  fst_text_deinit(&source);
  fst_cuda_unit_destroy(unit);
  unit = NULL;
  return 0;
}

#include "contract_cases.h"
#include "cuda_cases.h"
#include "kernel_cases.h"

static void test_ptx(void **state) {
  (void)state;
  void *bytes = NULL;
  size_t len = 0;
  runner_check(fst_nvrtc_compile(nvrtc, "extern \"C\" __global__ void nothing() {}", 90, true, &bytes, &len, NULL));
  assert_non_null(strstr(bytes, ".target sm_90"));
  assert_non_null(strstr(bytes, "nothing"));
  free(bytes);
}

static void test_errors(void **state) {
  (void)state;
  void *bytes = NULL;
  size_t len = 0;
  fst_text log = {0};
  fst_status status = fst_nvrtc_compile(nvrtc, "__global__ void f() { wrong }", 90, false, &bytes, &len, &log);
  assert_non_null(status);
  assert_non_null(strstr(status->message, "wrong"));
  assert_non_null(strstr(fst_text_cstr(&log), "wrong"));
  fst_error_free(status);
  status = fst_nvrtc_compile(nvrtc, "", 20, false, &bytes, &len, NULL);
  assert_non_null(status);
  assert_non_null(strstr(status->message, "does not compile for sm_20"));
  fst_error_free(status);
  fst_text_deinit(&log);
}

int main(void) {
  fst_status status = fst_nvrtc_open(getenv("VIRTUAL_ENV"), &nvrtc);
  if (status) {
    fprintf(stderr, "skipped: %s\n", status->message);
    fst_error_free(status);
    return 77;
  }
#define TEST(name) cmocka_unit_test_teardown(name, compile_all),
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ptx), cmocka_unit_test(test_errors), KERNEL_CASES(TEST) CONTRACT_CASES(TEST) CUDA_CASES(TEST)
  };
  if (getenv("FST_TEST_FILTER")) cmocka_set_test_filter(getenv("FST_TEST_FILTER"));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
