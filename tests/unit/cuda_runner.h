// Runs kernels as CUDA C on the CPU (tests/cuda/shim.h) and compares with the interpreter. Cases are collected and
// compiled together: runner_flush does that, and reports all that differ.
#ifndef FST_TESTS_CUDA_RUNNER_H
#define FST_TESTS_CUDA_RUNNER_H

#include "kernel_maker.h"

#include <dlfcn.h>
#include <unistd.h>

#include "codegen/cuda/cuda.h"

typedef struct cuda_case { runner_case c; const fst_cuda_kernel *kernel; } cuda_case;
static FST_VEC(cuda_case) cuda_cases;
static fst_cuda_unit *cuda_unit;

static void runner_run(const runner_case *c) {
  cuda_case item = {.c = *c};
  const void *constants[RUNNER_MAX_BUFFERS] = {0};
  for (size_t i = 0; i < c->kernel->buffers.len; i++) constants[i] = c->constant[i] ? c->initial[i] : NULL;
  if (!cuda_unit) cuda_unit = fst_cuda_unit_create();
  fst_blob *blob = fst_blob_create();
  runner_check(fst_cuda_kernel_emit(cuda_unit, c->kernel, constants, blob, &item.kernel));
  fst_blob_destroy(blob);
  fst_vec_push(&cuda_cases, item);
}

// ---- building ----

static void shim_source(fst_text *out) {
  fst_cuda_unit_source(cuda_unit, out);
  fst_text_puts(out, "\n");
  for (size_t i = 0; i < cuda_cases.len; i++) {
    const fst_cuda_kernel *k = cuda_cases.data[i].kernel;
    bool seen = false;
    for (size_t j = 0; j < i && !seen; j++) seen = cuda_cases.data[j].kernel == k;
    for (uint32_t l = 0; l < k->launch_count && !seen; l++)
      fst_text_printf(out, "extern \"C\" void shim_%s(const unsigned *grid, const unsigned *threads, void **args) { shim_launch(%s, grid, threads, args); }\n", k->launches[l].entry, k->launches[l].entry);
  }
}

static void *shim_build(void) {
  char source[] = "/tmp/fst_shim_XXXXXX.cc", library[64];
  fst_text text = {0}, command = {0};
  shim_source(&text);
  int fd = mkstemps(source, 3);
  assert_true(fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len);
  close(fd);
  snprintf(library, sizeof library, "%s.so", source);
  const char *compiler = getenv("CXX"), *keep = getenv("FST_TEST_DUMP");
  fst_text_printf(&command, "%s -std=c++17 -O1 -w -fPIC -shared -ffp-contract=off -include %s/cuda/shim.h -o %s %s", compiler ? compiler : "c++", FST_TEST_DATA, library, source);
  if (system(fst_text_cstr(&command))) fail_msg("the C++ compiler refuses %s:\n%s", source, fst_text_cstr(&command));
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) fail_msg("%s", dlerror());
  unlink(library);
  if (keep) fprintf(stderr, "%s\n", source);
  else unlink(source);
  fst_text_deinit(&text);
  fst_text_deinit(&command);
  return handle;
}

// ---- running ----

static uint64_t size_of(const fst_kernel *k, const uint64_t *params, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(k, x);
  uint64_t args[3];
  if (d->kind == FST_KX_CONST) return d->bits;
  if (d->kind == FST_KX_PARAM) return params[d->index];
  assert_int_equal(d->kind, FST_KX_PRIM);
  for (uint32_t i = 0; i < d->arg_count; i++) args[i] = size_of(k, params, d->args[i]);
  return fst_prim_eval(d->prim, FST_I64, args);
}

static void launch_run(void *handle, const cuda_case *item, const fst_cuda_launch *launch, void **args) {
  unsigned grid[3];
  char name[300];
  for (int d = 0; d < 3; d++) {
    int64_t blocks = (int64_t)size_of(item->kernel->sizes, item->c.params, launch->grid[d]);
    assert_true(blocks >= 0 && blocks <= (d ? 65535 : INT32_MAX));
    grid[d] = (unsigned)blocks;
  }
  if (!grid[0] || !grid[1] || !grid[2]) return;
  snprintf(name, sizeof name, "shim_%s", launch->entry);
  void (*entry)(const unsigned *, const unsigned *, void **);
  void *at = dlsym(handle, name);
  assert_non_null(at);
  memcpy(&entry, &at, sizeof at);
  entry(grid, launch->threads, args);
}

static void case_run(void *handle, const cuda_case *item, const runner_memory *memory) {
  const fst_kernel *k = item->c.kernel;
  void *pointers[RUNNER_MAX_BUFFERS + 1], *args[64];
  size_t count = 0;
  for (size_t i = 0; i < k->buffers.len; i++) {
    pointers[i] = memory[i].data;
    args[count++] = &pointers[i];
  }
  for (size_t i = 0; i < k->params.len; i++) args[count++] = (void *)(uintptr_t)&item->c.params[i];
  if (item->kernel->scratch_bytes.id) {
    size_t bytes = (size_t)size_of(item->kernel->sizes, item->c.params, item->kernel->scratch_bytes);
    pointers[RUNNER_MAX_BUFFERS] = aligned_alloc(256, (bytes + 256) / 256 * 256);
    memset(pointers[RUNNER_MAX_BUFFERS], 0xff, bytes);  // NaN: nothing may read what it has not written
    args[count++] = &pointers[RUNNER_MAX_BUFFERS];
  }
  for (uint32_t l = 0; l < item->kernel->launch_count; l++) launch_run(handle, item, &item->kernel->launches[l], args);
  if (item->kernel->scratch_bytes.id) free(pointers[RUNNER_MAX_BUFFERS]);
}

static void case_compare(void *handle, const cuda_case *item, int at_end) {
  const runner_case *c = &item->c;
  size_t count = c->kernel->buffers.len;
  runner_memory expected[RUNNER_MAX_BUFFERS], found[RUNNER_MAX_BUFFERS];
  void *pointers[RUNNER_MAX_BUFFERS];
  for (size_t i = 0; i < count; i++) {
    expected[i] = runner_alloc(c->bytes[i], at_end);
    found[i] = runner_alloc(c->bytes[i], at_end);
    memcpy(expected[i].data, c->initial[i], c->bytes[i]);
    memcpy(found[i].data, c->initial[i], c->bytes[i]);
    pointers[i] = expected[i].data;
  }
  fst_kargs args = {pointers, c->params};
  runner_check(fst_kernel_run(c->kernel, &args));
  case_run(handle, item, found);
  for (size_t i = 0; i < count; i++) {
    runner_compare(item->kernel->launches[0].entry, i, c->kernel->buffers.data[i].dtype, &expected[i], &found[i], c->tolerance);
    runner_free(&expected[i]);
    runner_free(&found[i]);
  }
}

// What has been collected is let go of even where a case fails.
static int runner_flush(void **state) {
  (void)state;
  if (!cuda_cases.len) return 0;
  void *handle = shim_build();
  cuda_case *cases = cuda_cases.data;
  size_t count = cuda_cases.len;
  fst_cuda_unit *unit = cuda_unit;
  memset(&cuda_cases, 0, sizeof cuda_cases);
  cuda_unit = NULL;
  for (size_t i = 0; i < count; i++) {
    for (int at_end = 0; at_end < 2; at_end++) case_compare(handle, &cases[i], at_end);
    runner_done(&cases[i].c);
  }
  dlclose(handle);
  fst_vec_free_data(cases);
  fst_cuda_unit_destroy(unit);
  return 0;
}

#endif
