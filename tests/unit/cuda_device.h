// Kernels on a GPU for tests and measurements: the driver, cubins that are compiled once and kept, launches.
//
// A folder in FST_CUBIN_DIR keeps cubins by the hash of their source, so that a machine with a GPU and without NVRTC can
// run what was compiled elsewhere.
#ifndef FST_TESTS_CUDA_DEVICE_H
#define FST_TESTS_CUDA_DEVICE_H

#include "kernel_maker.h"

#include <dlfcn.h>

#include "codegen/cuda/cuda.h"
#include "codegen/cuda/nvrtc.h"

typedef unsigned long long device_pointer;
#define DEVICE_SYMBOLS(X) \
  X(cuInit, (unsigned)) X(cuDeviceGet, (int *, int)) X(cuDeviceGetAttribute, (int *, int, int)) X(cuDeviceGetName, (char *, int, int)) \
  X(cuDevicePrimaryCtxRetain, (void **, int)) X(cuCtxSetCurrent, (void *)) X(cuCtxSynchronize, (void)) \
  X(cuModuleLoadData, (void **, const void *)) X(cuModuleUnload, (void *)) X(cuModuleGetFunction, (void **, void *, const char *)) \
  X(cuFuncSetAttribute, (void *, int, int)) X(cuMemAlloc_v2, (device_pointer *, size_t)) X(cuMemFree_v2, (device_pointer)) \
  X(cuMemcpyHtoD_v2, (device_pointer, const void *, size_t)) X(cuMemcpyDtoH_v2, (void *, device_pointer, size_t)) X(cuMemsetD8_v2, (device_pointer, unsigned char, size_t)) \
  X(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **)) \
  X(cuEventCreate, (void **, unsigned)) X(cuEventRecord, (void *, void *)) X(cuEventSynchronize, (void *)) X(cuEventElapsedTime, (float *, void *, void *)) \
  X(cuGetErrorName, (int, const char **))

typedef struct device {
#define X(name, parameters) int(*name) parameters;
  DEVICE_SYMBOLS(X)
#undef X
  fst_nvrtc *nvrtc;
  uint32_t arch;
  bool is_there;
  char name[100];
} device;

static device gpu;

#define DEVICE_CHECK(call)                                                        \
  do {                                                                            \
    int device_result_ = (call);                                                  \
    const char *device_error_ = "?";                                              \
    if (device_result_ && gpu.cuGetErrorName) gpu.cuGetErrorName(device_result_, &device_error_); \
    if (device_result_) fail_msg("%s: %s", #call, device_error_);                 \
  } while (0)

// Without a GPU, sources can still be compiled for sm_90 and kept.
static inline void device_open(void) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW), *context = NULL;
  int major = 0, minor = 0, number = 0;
  bool complete = library != NULL;
#define X(symbol, parameters)                                  \
  {                                                            \
    void *at = library ? dlsym(library, #symbol) : NULL;       \
    memcpy(&gpu.symbol, &at, sizeof at);                       \
    complete &= at != NULL;                                    \
  }
  DEVICE_SYMBOLS(X)
#undef X
  gpu.arch = 90;
  gpu.is_there = complete && !gpu.cuInit(0) && !gpu.cuDeviceGet(&number, 0);
  fst_error_free(fst_nvrtc_open(getenv("VIRTUAL_ENV"), &gpu.nvrtc));
  if (!gpu.is_there) return;
  DEVICE_CHECK(gpu.cuDeviceGetAttribute(&major, 75, number));
  DEVICE_CHECK(gpu.cuDeviceGetAttribute(&minor, 76, number));
  DEVICE_CHECK(gpu.cuDeviceGetName(gpu.name, sizeof gpu.name, number));
  DEVICE_CHECK(gpu.cuDevicePrimaryCtxRetain(&context, number));
  DEVICE_CHECK(gpu.cuCtxSetCurrent(context));
  gpu.arch = (uint32_t)(10 * major + minor);
}

static inline void cubin_path(char *out, size_t len, const char *source) {
  snprintf(out, len, "%s/%016llx_sm_%u.cubin", getenv("FST_CUBIN_DIR"), (unsigned long long)fst_hash_bytes(source, strlen(source), 0), gpu.arch);
}

static inline void *cubin_read(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  long len = ftell(file);
  rewind(file);
  char *bytes = malloc((size_t)len + 1);
  assert_true(fread(bytes, 1, (size_t)len, file) == (size_t)len);
  fclose(file);
  return bytes;
}

static inline void *cubin_of(const char *source) {
  char path[4096] = "";
  void *bytes = NULL;
  size_t len = 0;
  if (getenv("FST_CUBIN_DIR")) {
    cubin_path(path, sizeof path, source);
    bytes = cubin_read(path);
  }
  if (bytes) return bytes;
  if (!gpu.nvrtc) fail_msg("no NVRTC, and no cubin for this source in FST_CUBIN_DIR (%s)", path);
  runner_check(fst_nvrtc_compile(gpu.nvrtc, source, gpu.arch, false, &bytes, &len, NULL));
  FILE *file = *path ? fopen(path, "wb") : NULL;
  if (file) {
    assert_true(fwrite(bytes, 1, len, file) == len);
    fclose(file);
  }
  return bytes;
}

static inline uint64_t device_size(const fst_kernel *k, const uint64_t *params, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(k, x);
  uint64_t args[3];
  if (d->kind == FST_KX_CONST) return d->bits;
  if (d->kind == FST_KX_PARAM) return params[d->index];
  assert_int_equal(d->kind, FST_KX_PRIM);
  for (uint32_t i = 0; i < d->arg_count; i++) args[i] = device_size(k, params, d->args[i]);
  return fst_prim_eval(d->prim, FST_I64, args);
}

// All launches of a kernel; `pointers` are of its buffers, and one more if it wants scratch.
static inline void device_launch(void *module, const fst_cuda_kernel *kernel, size_t buffers, size_t params, device_pointer *pointers, const uint64_t *values) {
  void *args[64];
  size_t count = 0;
  for (size_t i = 0; i < buffers; i++) args[count++] = &pointers[i];
  for (size_t i = 0; i < params; i++) args[count++] = (void *)(uintptr_t)&values[i];
  if (kernel->scratch_bytes.id) args[count++] = &pointers[buffers];
  for (uint32_t l = 0; l < kernel->launch_count; l++) {
    const fst_cuda_launch *launch = &kernel->launches[l];
    void *function = NULL;
    unsigned grid[3];
    for (int d = 0; d < 3; d++) grid[d] = (unsigned)device_size(kernel->sizes, values, launch->grid[d]);
    if (!grid[0] || !grid[1] || !grid[2]) continue;
    DEVICE_CHECK(gpu.cuModuleGetFunction(&function, module, launch->entry));
    if (launch->shared_bytes > 48 << 10) DEVICE_CHECK(gpu.cuFuncSetAttribute(function, 8, (int)launch->shared_bytes));
    DEVICE_CHECK(gpu.cuLaunchKernel(function, grid[0], grid[1], grid[2], launch->threads[0], launch->threads[1], launch->threads[2], launch->shared_bytes, NULL, args, NULL));
  }
}

#endif
