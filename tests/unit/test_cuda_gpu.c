// Every kernel that the shim runs, on a GPU against the interpreter.
#include "cuda_device.h"

typedef struct gpu_case { runner_case c; const fst_cuda_kernel *kernel; } gpu_case;
static FST_VEC(gpu_case) cases;
static fst_cuda_unit *unit;

static void runner_run(const runner_case *c) {
  gpu_case item = {.c = *c};
  fst_blob *blob = fst_blob_create();
  if (!unit) unit = fst_cuda_unit_create();
  runner_check(fst_cuda_kernel_emit(unit, c->kernel, NULL, blob, &item.kernel));
  fst_blob_destroy(blob);
  fst_vec_push(&cases, item);
}

#include "contract_cases.h"
#include "cuda_cases.h"
#include "kernel_cases.h"

enum { APART = 256 };

// Buffers that are aligned, or an element away from that.
static void case_run(void *module, const gpu_case *item, bool aligned) {
  const runner_case *c = &item->c;
  size_t count = c->kernel->buffers.len;
  device_pointer memory[RUNNER_MAX_BUFFERS + 1] = {0}, pointers[RUNNER_MAX_BUFFERS + 1] = {0};
  runner_memory expected[RUNNER_MAX_BUFFERS], found[RUNNER_MAX_BUFFERS];
  void *host[RUNNER_MAX_BUFFERS];
  for (size_t i = 0; i < count; i++) {
    DEVICE_CHECK(gpu.cuMemAlloc_v2(&memory[i], c->bytes[i] + 2 * APART));
    pointers[i] = memory[i] + APART - (aligned ? 0 : fst_dtype_size(c->kernel->buffers.data[i].dtype));
    if (c->bytes[i]) DEVICE_CHECK(gpu.cuMemcpyHtoD_v2(pointers[i], c->initial[i], c->bytes[i]));
    expected[i] = runner_alloc(c->bytes[i], 0);
    found[i] = runner_alloc(c->bytes[i], 0);
    memcpy(expected[i].data, c->initial[i], c->bytes[i]);
    host[i] = expected[i].data;
  }
  if (item->kernel->scratch_bytes.id) {
    size_t bytes = (size_t)device_size(item->kernel->sizes, c->params, item->kernel->scratch_bytes);
    DEVICE_CHECK(gpu.cuMemAlloc_v2(&memory[count], bytes + 1));
    DEVICE_CHECK(gpu.cuMemsetD8_v2(memory[count], 0xff, bytes));
    pointers[count] = memory[count];
  }
  fst_kargs args = {host, c->params};
  runner_check(fst_kernel_run(c->kernel, &args));
  device_launch(module, item->kernel, count, c->kernel->params.len, pointers, c->params);
  DEVICE_CHECK(gpu.cuCtxSynchronize());
  for (size_t i = 0; i < count; i++) {
    if (c->bytes[i]) DEVICE_CHECK(gpu.cuMemcpyDtoH_v2(found[i].data, pointers[i], c->bytes[i]));
    runner_compare(item->kernel->launches[0].entry, i, c->kernel->buffers.data[i].dtype, &expected[i], &found[i], c->tolerance);
    runner_free(&expected[i]);
    runner_free(&found[i]);
  }
  for (size_t i = 0; i <= count; i++)
    if (memory[i]) DEVICE_CHECK(gpu.cuMemFree_v2(memory[i]));
}

static int flush(void **state) {
  (void)state;
  if (!cases.len) return 0;
  fst_text source = {0};
  fst_cuda_unit_source(unit, &source);
  void *bytes = cubin_of(fst_text_cstr(&source)), *module = NULL;
  gpu_case *all = cases.data;
  size_t count = cases.len;
  fst_cuda_unit *own = unit;
  memset(&cases, 0, sizeof cases);
  unit = NULL;
  if (gpu.is_there) DEVICE_CHECK(gpu.cuModuleLoadData(&module, bytes));
  for (size_t i = 0; i < count; i++) {
    for (int aligned = 0; aligned < 2 && gpu.is_there; aligned++) case_run(module, &all[i], aligned);
    runner_done(&all[i].c);
  }
  if (module) DEVICE_CHECK(gpu.cuModuleUnload(module));
  fst_vec_free_data(all);
  fst_cuda_unit_destroy(own);
  fst_text_deinit(&source);
  free(bytes);
  return 0;
}

int main(void) {
  device_open();
  if (!gpu.is_there && !(gpu.nvrtc && getenv("FST_CUBIN_DIR"))) {
    fprintf(stderr, "skipped: no NVIDIA GPU or driver here\n");
    return 77;
  }
  if (gpu.is_there) fprintf(stderr, "on %s, sm_%u\n", gpu.name, gpu.arch);
#define TEST(name) cmocka_unit_test_teardown(name, flush),
  const struct CMUnitTest tests[] = {
      KERNEL_CASES(TEST) CONTRACT_CASES(TEST) CUDA_CASES(TEST)
  };
  if (getenv("FST_TEST_FILTER")) cmocka_set_test_filter(getenv("FST_TEST_FILTER"));
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed ? failed : gpu.is_there ? 0 : 77;
}
