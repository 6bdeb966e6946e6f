// Native code against the interpreter: every kind of statement and reduction, every dtype, sizes around the vector
// width, strided and offset views, NaN and infinities, and random kernels.
#include "kernel_runner.h"

#include "kernel_cases.h"

// ---- units ----

static fst_kernel *doubling_kernel(int64_t n, const char *name) {
  fst_kernel *k = fst_kernel_create(name);
  fst_kbuf buffer = {.dtype = FST_F32, .rank = 1, .sizes = {fst_kx_int(k, n)}, .strides = {fst_kx_int(k, 1)}, .is_read = true};
  uint32_t x = fst_kernel_buffer(k, &buffer);
  buffer.is_read = false;
  buffer.is_written = true;
  uint32_t y = fst_kernel_buffer(k, &buffer);
  fst_kx j = fst_kernel_var(k, FST_I64), extent = fst_kx_int(k, n), value = fst_kx_load(k, x, &j);
  fst_kstore store = {y, fst_kx_prim2(k, FST_PRIM_ADD, value, value), 1, &j};
  fst_kernel_map(k, &j, &extent, 1, &store, 1);
  return k;
}

static void test_shared(void **state) {
  (void)state;
  fst_llvm_unit *unit;
  fst_blob *blob = fst_blob_create();
  runner_check(fst_llvm_unit_create(fst_target_find("x86-64-v3"), "test", &unit));
  const fst_llvm_kernel *kernels[3];
  for (int i = 0; i < 3; i++) {
    fst_kernel *k = doubling_kernel(i < 2 ? 10 : 11, i ? "second" : "first");
    runner_check(fst_llvm_kernel_emit(unit, k, NULL, blob, &kernels[i]));
    fst_kernel_destroy(k);
  }
  assert_ptr_equal(kernels[0]->function, kernels[1]->function);
  assert_ptr_not_equal(kernels[0]->function, kernels[2]->function);
  assert_int_equal(fst_llvm_unit_kernels(unit), 2);
  fst_llvm_unit_destroy(unit);
  fst_blob_destroy(blob);
}

static void test_refuses_complex(void **state) {
  (void)state;
  fst_llvm_unit *unit;
  fst_blob *blob = fst_blob_create();
  runner_check(fst_llvm_unit_create(fst_target_find("x86-64-v3"), "test", &unit));
  fst_kernel *k = fst_kernel_create("complex");
  fst_kbuf buffer = {.dtype = FST_C64, .rank = 0, .is_read = true};
  fst_kernel_buffer(k, &buffer);
  const fst_llvm_kernel *kernel = NULL;
  fst_status status = fst_llvm_kernel_emit(unit, k, NULL, blob, &kernel);
  assert_non_null(status);
  assert_non_null(strstr(status->message, "c64"));
  fst_error_free(status);
  fst_kernel_destroy(k);
  fst_llvm_unit_destroy(unit);
  fst_blob_destroy(blob);
}

static void test_text(void **state) {
  (void)state;
  const char *targets[] = {"x86-64-v3", "x86-64-v4"}, *registers[] = {"%ymm", "%zmm"};
  for (int t = 0; t < 2; t++) {
    fst_llvm_unit *unit;
    fst_blob *blob = fst_blob_create();
    fst_kernel *k = doubling_kernel(1000, "doubling");
    runner_check(fst_llvm_unit_create(fst_target_find(targets[t]), "test", &unit));
    const fst_llvm_kernel *kernel;
    runner_check(fst_llvm_kernel_emit(unit, k, NULL, blob, &kernel));
    LLVMSetLinkage(fst_llvm_kernel_function(kernel), LLVMExternalLinkage);
    fst_text ir = {0}, assembly = {0};
    runner_check(fst_llvm_unit_text(unit, false, &ir));
    runner_check(fst_llvm_unit_text(unit, true, &assembly));
    assert_non_null(strstr(fst_text_cstr(&ir), t ? "<16 x float>" : "<8 x float>"));
    assert_non_null(strstr(fst_text_cstr(&assembly), registers[t]));
    fst_text_deinit(&ir);
    fst_text_deinit(&assembly);
    fst_kernel_destroy(k);
    fst_llvm_unit_destroy(unit);
    fst_blob_destroy(blob);
  }
  assert_null(fst_target_find("x86-64-v9"));
}

static void test_blob(void **state) {
  (void)state;
  fst_blob *blob = fst_blob_create();
  uint64_t a = fst_blob_add(blob, "abc", 3), b = fst_blob_add(blob, "abd", 3), c = fst_blob_add(blob, "abc", 3), len;
  assert_true(a == c);
  assert_true(a != b);
  assert_true(a % 64 == 0 && b % 64 == 0);
  const char *bytes = fst_blob_data(blob, &len);
  assert_memory_equal(bytes + b, "abd", 3);
  assert_true(len % 64 == 0);
  fst_blob_destroy(blob);
}

int main(void) {
  if (!fst_target_runs_here(fst_target_find("x86-64-v3"))) return 77;  // skipped

#define TEST(name) cmocka_unit_test(name),
  const struct CMUnitTest tests[] = {
      TEST(test_blob) TEST(test_shared) TEST(test_refuses_complex) TEST(test_text) KERNEL_CASES(TEST)
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
