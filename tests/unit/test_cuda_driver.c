// libfiresteel_cuda.so over drivers that are absent, too old, incomplete, or fail.
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

#include "base/device_abi.h"
#include "tests/cuda/fake_driver.h"

static const fst_device_api *api;
static fake_cuda_state *fake;

static int open_libraries(void **state) {
  (void)state;
  void *library = dlopen(FST_CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL), *driver = dlopen(FST_FAKE_DRIVER, RTLD_NOW | RTLD_LOCAL);
  union { void *at; fst_device_library_fn call; } symbol = {.at = library ? dlsym(library, FST_DEVICE_LIBRARY) : NULL};
  if (!symbol.at || !driver) return 1;
  api = symbol.call();
  fake = dlsym(driver, "fake_cuda");
  return !fake;
}

static void refused(fst_status status, fst_code code, const char *text) {
  assert_non_null(status);
  if (!strstr(status->message, text)) fail_msg("\"%s\" lacks \"%s\"", status->message, text);
  assert_int_equal(status->code, code);
  fst_error_free(status);
}

static void fine(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

static void refused_open(const char *library, int index, fst_code code, const char *text) {
  fst_device *device = NULL;
  setenv("FIRESTEEL_LIBCUDA", library, 1);
  refused(api->open(index, &device), code, text);
  assert_null(device);
}

static void nothing_is_left(void) {
  assert_int_equal(fake->contexts, 0);
  assert_int_equal(fake->streams, 0);
  assert_int_equal(fake->events, 0);
  assert_int_equal(fake->blocks, 0);
  assert_int_equal(fake->pinned, 0);
  assert_int_equal(fake->modules, 0);
  assert_int_equal(fake->graphs, 0);
  assert_int_equal(fake->depth, 0);
}

// These come before a driver is open: the first that opens stays.
static void absent_drivers_are_named(void **state) {
  (void)state;
  refused_open("/nowhere/libcuda.so", 0, FST_ERR_NOT_FOUND, "/nowhere/libcuda.so");
  unsetenv("FIRESTEEL_LIBCUDA");
  if (dlopen("libcuda.so.1", RTLD_LAZY)) return;   // a machine with a driver
  refused_open("", 0, FST_ERR_NOT_FOUND, "libcuda.so.1 was looked for where the loader looks");
  refused_open("", 0, FST_ERR_NOT_FOUND, "/usr/lib/wsl/lib");
}

static void old_drivers_are_refused(void **state) {
  (void)state;
  fake->version = 10020;
  refused_open(FST_FAKE_DRIVER, 0, FST_ERR_UNSUPPORTED, "is for CUDA 10.2, at least 11.4 is needed");
  fake->version = 12040;
  refused_open(FST_INCOMPLETE_DRIVER, 0, FST_ERR_UNSUPPORTED, "has no function cuInit");
}

static void errors_at_start_are_named(void **state) {
  (void)state;
  fake->fails = "cuInit";
  fake->error = 100;
  refused_open(FST_FAKE_DRIVER, 0, FST_ERR_IO, "no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)");
  fake->devices = 0;
  refused_open(FST_FAKE_DRIVER, 0, FST_ERR_NOT_FOUND, "CUDA_VISIBLE_DEVICES may hide them");
  fake->devices = 1;
  refused_open(FST_FAKE_DRIVER, 1, FST_ERR_NOT_FOUND, "there is no device cuda:1: the driver shows 1");
  fake->fails = "cuDevicePrimaryCtxRetain";
  fake->error = 2;
  refused_open(FST_FAKE_DRIVER, 0, FST_ERR_RESOURCE, "out of memory");
  fake->fails = "cuStreamCreate";
  refused_open(FST_FAKE_DRIVER, 0, FST_ERR_RESOURCE, "cannot make a stream");
  nothing_is_left();
}

static fst_device *opened(void) {
  fst_device *device = NULL;
  setenv("FIRESTEEL_LIBCUDA", FST_FAKE_DRIVER, 1);
  fine(api->open(0, &device));
  return device;
}

static void memory_moves_and_goes_back(void **state) {
  (void)state;
  fst_device *device = opened();
  fst_stream *stream;
  void *a, *b;
  char from[6000], to[6000];
  for (size_t i = 0; i < sizeof from; i++) from[i] = (char)(i * 7);
  assert_string_equal(api->facts(device)->arch, "sm_90");
  assert_string_equal(api->facts(device)->name, "Fake GPU");
  fine(api->stream_create(device, &stream));
  fine(api->enter(device));
  fine(api->alloc(device, stream, sizeof from, &a));
  fine(api->alloc(device, NULL, sizeof from, &b));
  fine(api->upload(stream, a, from, sizeof from));
  fine(api->copy(stream, b, sizeof from, a, sizeof from, sizeof from, 1));
  fine(api->download(stream, to, b, sizeof to));
  assert_memory_equal(from, to, sizeof to);
  fine(api->clear(stream, b, sizeof from));
  fine(api->copy(stream, b, 10, a, 100, 4, 50));   // rows of 4 bytes
  fine(api->download(stream, to, b, 500));          // a few: through page-locked memory
  for (int i = 0; i < 500; i++) assert_int_equal(to[i], i % 10 < 4 ? from[i / 10 * 100 + i % 10] : 0);
  refused(api->alloc(device, stream, (size_t)2 << 20, &b), FST_ERR_RESOURCE, "CUDA out of memory: 2097152 bytes were asked for, 1048576 of the 1048576 of Fake GPU are free (CUDA_ERROR_OUT_OF_MEMORY)");
  api->leave(device);
  api->release(device, stream, a, 0);
  assert_int_equal(fake->freed_in_default, 0);
  api->release(device, NULL, b, 1);
  assert_int_equal(fake->freed_in_default, 1);
  api->stream_destroy(stream);
  api->close(device);
  nothing_is_left();
}

static void images_are_chosen_by_architecture(void **state) {
  (void)state;
  fst_device *device = opened();
  assert_true(api->suits(device, "sm_90a.cubin") > api->suits(device, "sm_90.cubin"));
  assert_true(api->suits(device, "sm_90.cubin") > api->suits(device, "compute_90.ptx"));
  assert_true(api->suits(device, "compute_90.ptx") > api->suits(device, "compute_80.ptx"));
  assert_true(api->suits(device, "compute_80.ptx") > 0);
  const char *const others[] = {"sm_89.cubin", "sm_80.cubin", "sm_100.cubin", "compute_100.ptx", "sm_100a.cubin", "kernels.cu", "sm_90.ptx", "code.bin"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_int_equal(api->suits(device, others[i]), 0);
  api->close(device);
  fake->major = 8;
  fake->minor = 9;
  device = opened();
  assert_true(api->suits(device, "sm_89.cubin") > api->suits(device, "sm_86.cubin"));
  assert_true(api->suits(device, "sm_86.cubin") > api->suits(device, "compute_80.ptx"));
  assert_int_equal(api->suits(device, "sm_90.cubin"), 0);
  api->close(device);
  fake->major = 9;
  fake->minor = 0;
  nothing_is_left();
}

static void kernels_run_and_their_errors_are_named(void **state) {
  (void)state;
  fst_device *device = opened();
  fst_image *image;
  fst_function *function;
  fst_stream *stream;
  fake->fails = "cuModuleLoadDataEx";
  fake->error = 209;
  refused(api->load(device, "", 0, &image), FST_ERR_IO, "no kernel image is available for execution on the device (CUDA_ERROR_NO_BINARY_FOR_GPU)");
  fine(api->load(device, "", 0, &image));
  refused(api->find(device, image, "absent", 0, &function), FST_ERR_IO, "absent: named symbol not found (CUDA_ERROR_NOT_FOUND)");
  fine(api->find(device, image, "kernel", 1 << 10, &function));
  assert_int_equal(fake->shared_limit, 0);
  fine(api->find(device, image, "kernel", 100 << 10, &function));
  assert_int_equal(fake->shared_limit, 100 << 10);
  fine(api->stream_create(device, &stream));
  fine(api->enter(device));
  const uint32_t grid[3] = {5, 1, 1}, block[3] = {32, 1, 1};
  fine(api->launch(stream, function, grid, block, 0, NULL, 0));
  assert_int_equal(fake->threads, 160);
  fake->fails = "cuLaunchKernel";
  fake->error = 700;
  refused(api->launch(stream, function, grid, block, 0, NULL, 0), FST_ERR_IO, "cannot launch the kernel: an illegal memory access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS)");
  fake->fails = "cuStreamSynchronize";
  refused(api->stream_wait(stream), FST_ERR_IO, "CUDA_ERROR_ILLEGAL_ADDRESS");
  fst_recording *recording = NULL;
  fine(api->record(stream));
  fine(api->launch(stream, function, grid, block, 0, NULL, 0));
  fine(api->recorded(stream, &recording));
  fine(api->replay(stream, recording));
  fine(api->replay(stream, recording));
  assert_int_equal(fake->replays, 2);
  fine(api->record(stream));
  fine(api->recorded(stream, NULL));
  fake->fails = "cuStreamEndCapture";
  refused(api->recorded(stream, NULL), FST_ERR_IO, "cannot record a graph");
  api->forget(device, recording);
  api->leave(device);
  api->stream_destroy(stream);
  api->unload(device, image);
  api->close(device);
  nothing_is_left();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(absent_drivers_are_named), cmocka_unit_test(old_drivers_are_refused), cmocka_unit_test(errors_at_start_are_named),
      cmocka_unit_test(memory_moves_and_goes_back), cmocka_unit_test(images_are_chosen_by_architecture), cmocka_unit_test(kernels_run_and_their_errors_are_named),
  };
  return cmocka_run_group_tests(tests, open_libraries, NULL);
}
