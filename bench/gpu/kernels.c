// Single kernels on a GPU against what the machine can do: bytes moved against a copy, products against the peak.
//
//   gpu_kernels            every kernel, one line each: time, GB/s and TFLOP/s
//
// Without a GPU, and with FST_CUBIN_DIR set, it compiles for sm_90 and keeps the cubins for a machine that has one.
#include "tests/unit/cuda_device.h"

static void runner_run(const runner_case *c) { (void)c; }  // cases are not compared here, but timed

enum { ROUNDS = 20 };

typedef struct bench { const char *name; fst_kernel *k; size_t bytes[RUNNER_MAX_BUFFERS]; double moved, flops; } bench;

static uint32_t buffer(bench *b, fst_dtype dtype, int64_t rows, int64_t columns, bool written) {
  fst_kbuf buf = {.dtype = dtype, .rank = 2, .sizes = {fst_kx_int(b->k, rows), fst_kx_int(b->k, columns)}, .strides = {fst_kx_int(b->k, columns), fst_kx_int(b->k, 1)}, .is_written = written};
  uint32_t id = fst_kernel_buffer(b->k, &buf);
  b->bytes[id] = (size_t)(rows * columns) * fst_dtype_size(dtype);
  b->moved += (double)b->bytes[id];
  return id;
}

static bench begin(const char *name) { return (bench){.name = name, .k = fst_kernel_create(name)}; }

static void store(bench *b, fst_kx i, fst_kx j, int64_t rows, int64_t columns, uint32_t to, fst_kx value) {
  fst_kx at[] = {i, j}, extents[] = {fst_kx_int(b->k, rows), fst_kx_int(b->k, columns)};
  fst_kstore s = {to, value, 2, at};
  fst_kernel_map(b->k, at, extents, 2, &s, 1);
}

static fst_kx load(bench *b, uint32_t from, fst_kx i, fst_kx j) { return fst_kx_convert(b->k, fst_kx_load(b->k, from, (fst_kx[]){i, j}), FST_F32); }

static fst_kx call(bench *b, const char *function, fst_kx x) { return fst_kx_call(b->k, function, &x, 1); }

static bench pointwise(fst_dtype dtype, int64_t n, const char *function, uint32_t inputs) {
  bench b = begin(fst_dtype_size(dtype) == 2 ? function ? "gelu f16" : "add f16" : function ? "gelu f32" : inputs > 1 ? "add f32" : "copy f32");
  fst_kx i = fst_kernel_var(b.k, FST_I64), j = fst_kernel_var(b.k, FST_I64), value = FST_NO_KX;
  for (uint32_t k = 0; k < inputs; k++) {
    fst_kx one = load(&b, buffer(&b, dtype, n / 4096, 4096, false), i, j);
    value = k ? fst_kx_prim2(b.k, FST_PRIM_ADD, value, one) : one;
  }
  if (function) value = fst_kx_prim2(b.k, FST_PRIM_MUL, value, call(&b, function, value));
  store(&b, i, j, n / 4096, 4096, buffer(&b, dtype, n / 4096, 4096, true), fst_kx_convert(b.k, value, dtype));
  return b;
}

static fst_kx along(bench *b, fst_reduce op, fst_kx k, int64_t n, fst_kx body) {
  fst_kx extent = fst_kx_int(b->k, n);
  return fst_kx_reduce(b->k, op, &k, &extent, 1, body);
}

static bench softmax(fst_dtype dtype, int64_t rows, int64_t n) {
  bench b = begin(dtype == FST_F32 ? "softmax f32" : "softmax f16");
  uint32_t x = buffer(&b, dtype, rows, n, false), y = buffer(&b, dtype, rows, n, true);
  fst_kx i = fst_kernel_var(b.k, FST_I64), j = fst_kernel_var(b.k, FST_I64), k = fst_kernel_var(b.k, FST_I64), l = fst_kernel_var(b.k, FST_I64);
  fst_kx most = along(&b, FST_REDUCE_MAX, k, n, load(&b, x, i, k));
  fst_kx sum = along(&b, FST_REDUCE_SUM, l, n, call(&b, "exp", fst_kx_prim2(b.k, FST_PRIM_SUB, load(&b, x, i, l), most)));
  fst_kx value = fst_kx_prim2(b.k, FST_PRIM_DIV, call(&b, "exp", fst_kx_prim2(b.k, FST_PRIM_SUB, load(&b, x, i, j), most)), sum);
  store(&b, i, j, rows, n, y, fst_kx_convert(b.k, value, dtype));
  return b;
}

static bench layer_norm(fst_dtype dtype, int64_t rows, int64_t n) {
  bench b = begin(dtype == FST_F32 ? "layer norm f32" : "layer norm f16");
  uint32_t x = buffer(&b, dtype, rows, n, false), g = buffer(&b, dtype, 1, n, false), y = buffer(&b, dtype, rows, n, true);
  fst_kx i = fst_kernel_var(b.k, FST_I64), j = fst_kernel_var(b.k, FST_I64), k = fst_kernel_var(b.k, FST_I64), l = fst_kernel_var(b.k, FST_I64);
  fst_kx count = fst_kx_float(b.k, FST_F32, (double)n), mean = fst_kx_prim2(b.k, FST_PRIM_DIV, along(&b, FST_REDUCE_SUM, k, n, load(&b, x, i, k)), count);
  fst_kx apart = fst_kx_prim2(b.k, FST_PRIM_SUB, load(&b, x, i, l), mean);
  fst_kx spread = fst_kx_prim2(b.k, FST_PRIM_DIV, along(&b, FST_REDUCE_SUM, l, n, fst_kx_prim2(b.k, FST_PRIM_MUL, apart, apart)), count);
  fst_kx scale = fst_kx_prim2(b.k, FST_PRIM_DIV, fst_kx_float(b.k, FST_F32, 1), fst_kx_prim1(b.k, FST_PRIM_SQRT, fst_kx_prim2(b.k, FST_PRIM_ADD, spread, fst_kx_float(b.k, FST_F32, 1e-5))));
  fst_kx value = fst_kx_prim2(b.k, FST_PRIM_MUL, fst_kx_prim2(b.k, FST_PRIM_MUL, fst_kx_prim2(b.k, FST_PRIM_SUB, load(&b, x, i, j), mean), scale), load(&b, g, fst_kx_int(b.k, 0), j));
  store(&b, i, j, rows, n, y, fst_kx_convert(b.k, value, dtype));
  return b;
}

static bench sum_rows(int64_t rows, int64_t n) {
  bench b = begin(rows == 1 ? "sum of all f32" : "sum of rows f32");
  uint32_t x = buffer(&b, FST_F32, rows, n, false), y = buffer(&b, FST_F32, rows, 1, true);
  fst_kx i = fst_kernel_var(b.k, FST_I64), j = fst_kernel_var(b.k, FST_I64), k = fst_kernel_var(b.k, FST_I64);
  store(&b, i, j, rows, 1, y, along(&b, FST_REDUCE_SUM, k, n, load(&b, x, i, k)));
  return b;
}

static bench product(const char *name, fst_dtype dtype, int64_t rows, int64_t columns, int64_t depth, bool turned) {
  bench b = begin(name);
  uint32_t x = buffer(&b, dtype, rows, depth, false), w = buffer(&b, dtype, turned ? columns : depth, turned ? depth : columns, false), y = buffer(&b, dtype, rows, columns, true);
  fst_kx i = fst_kernel_var(b.k, FST_I64), j = fst_kernel_var(b.k, FST_I64), k = fst_kernel_var(b.k, FST_I64);
  fst_kx body = fst_kx_prim2(b.k, FST_PRIM_MUL, load(&b, x, i, k), turned ? load(&b, w, j, k) : load(&b, w, k, j));
  store(&b, i, j, rows, columns, y, fst_kx_convert(b.k, along(&b, FST_REDUCE_SUM, k, depth, body), dtype));
  b.flops = 2.0 * (double)rows * (double)columns * (double)depth;
  return b;
}

// ---- timing ----

static float time_of(void *module, const fst_cuda_kernel *kernel, const bench *b, device_pointer *pointers) {
  void *start = NULL, *end = NULL;
  float best = 1e30f, ms;
  DEVICE_CHECK(gpu.cuEventCreate(&start, 0));
  DEVICE_CHECK(gpu.cuEventCreate(&end, 0));
  for (int r = 0; r < ROUNDS; r++) {
    DEVICE_CHECK(gpu.cuEventRecord(start, NULL));
    device_launch(module, kernel, b->k->buffers.len, 0, pointers, NULL);
    DEVICE_CHECK(gpu.cuEventRecord(end, NULL));
    DEVICE_CHECK(gpu.cuEventSynchronize(end));
    DEVICE_CHECK(gpu.cuEventElapsedTime(&ms, start, end));
    if (ms < best) best = ms;
  }
  return best;
}

static void bench_run(bench b) {
  fst_cuda_unit *unit = fst_cuda_unit_create();
  fst_blob *blob = fst_blob_create();
  const fst_cuda_kernel *kernel;
  fst_text source = {0};
  device_pointer pointers[RUNNER_MAX_BUFFERS + 1] = {0};
  size_t count = b.k->buffers.len;
  void *module = NULL;
  runner_check(fst_cuda_kernel_emit(unit, b.k, NULL, blob, &kernel));
  fst_cuda_unit_source(unit, &source);
  void *bytes = cubin_of(fst_text_cstr(&source));
  if (gpu.is_there) {
    DEVICE_CHECK(gpu.cuModuleLoadData(&module, bytes));
    for (size_t i = 0; i < count; i++) {
      DEVICE_CHECK(gpu.cuMemAlloc_v2(&pointers[i], b.bytes[i]));
      void *values = random_bytes(b.k->buffers.data[i].dtype, b.bytes[i] / fst_dtype_size(b.k->buffers.data[i].dtype), PLAIN);
      DEVICE_CHECK(gpu.cuMemcpyHtoD_v2(pointers[i], values, b.bytes[i]));
      free(values);
    }
    if (kernel->scratch_bytes.id) DEVICE_CHECK(gpu.cuMemAlloc_v2(&pointers[count], (size_t)device_size(kernel->sizes, NULL, kernel->scratch_bytes)));
    float ms = time_of(module, kernel, &b, pointers);
    printf("%-24s %9.4f ms %8.0f GB/s", b.name, (double)ms, b.moved / (double)ms * 1e-6);
    if (b.flops > 0) printf(" %8.1f TFLOP/s", b.flops / (double)ms * 1e-9);
    printf("\n");
    for (size_t i = 0; i <= count; i++)
      if (pointers[i]) DEVICE_CHECK(gpu.cuMemFree_v2(pointers[i]));
    DEVICE_CHECK(gpu.cuModuleUnload(module));
  }
  free(bytes);
  fst_text_deinit(&source);
  fst_kernel_destroy(b.k);
  fst_cuda_unit_destroy(unit);
  fst_blob_destroy(blob);
}

int main(void) {
  device_open();
  if (!gpu.is_there && !(gpu.nvrtc && getenv("FST_CUBIN_DIR"))) {
    fprintf(stderr, "no NVIDIA GPU or driver here\n");
    return 77;
  }
  printf("%s, sm_%u\n", gpu.is_there ? gpu.name : "no GPU: compiling only", gpu.arch);
  const int64_t mega = 1 << 20;
  bench_run(pointwise(FST_F32, 128 * mega, NULL, 1));
  bench_run(pointwise(FST_F32, 16 * mega, NULL, 2));
  bench_run(pointwise(FST_F16, 64 * mega, NULL, 2));
  bench_run(pointwise(FST_F32, 64 * mega, "sigmoid", 1));
  bench_run(pointwise(FST_F16, 64 * mega, "sigmoid", 1));
  bench_run(softmax(FST_F32, 16384, 1024));
  bench_run(softmax(FST_F32, 4096, 8192));
  bench_run(softmax(FST_F16, 8192, 4096));
  bench_run(softmax(FST_F32, 1024, 32768));
  bench_run(layer_norm(FST_F32, 16384, 1024));
  bench_run(layer_norm(FST_F16, 16384, 4096));
  bench_run(sum_rows(16384, 4096));
  bench_run(sum_rows(1, 64 * mega));
  bench_run(product("matmul f32 4096", FST_F32, 4096, 4096, 4096, false));
  bench_run(product("matmul f32 4096 turned", FST_F32, 4096, 4096, 4096, true));
  bench_run(product("matmul f16 4096", FST_F16, 4096, 4096, 4096, false));
  bench_run(product("matmul f16 4096 turned", FST_F16, 4096, 4096, 4096, true));
  bench_run(product("linear f32 128x1536x384", FST_F32, 128, 1536, 384, true));
  bench_run(product("linear f32 1x4096x4096", FST_F32, 1, 4096, 4096, true));
  return 0;
}
