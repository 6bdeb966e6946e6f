// libfiresteel_cuda.so: the table of base/device_abi.h over the CUDA driver.
//
// The device's primary context is used, the one that PyTorch and every CUDA runtime use, so pointers of theirs are
// good here. Streams do not wait for the default stream on their own: calls of several threads run side by side.
// Memory comes from the device's own pool in stream order. The driver's errors become statuses here and in driver.c.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/device_abi.h"
#include "runtime/cuda/driver.h"

enum { STAGE_BYTES = 4096 };   // page-locked memory of a stream: results of a few numbers come back through it

struct fst_device {
  const fst_cuda_driver *cu;
  CUdevice id;
  CUcontext context;
  CUmemoryPool pool;
  CUstream cleaner;     // where memory without a stream is freed
  int capability;       // 90 for 9.0
  fst_device_facts facts;
};

struct fst_stream {
  fst_device *device;
  CUstream at;
  CUevent joined;
  void *stage;
};

static CUdeviceptr address(const void *memory) { return (CUdeviceptr)(uintptr_t)memory; }

static fst_status check(const fst_device *d, CUresult result, const char *what) { return fst_cuda_status(d->cu, result, what); }

// ---- devices ---------------------------------------------------------------------------------------

static fst_status cuda_enter(fst_device *d) { return check(d, d->cu->CtxPushCurrent(d->context), "cannot use the device"); }

static void cuda_leave(fst_device *d) {
  CUcontext gone;
  d->cu->CtxPopCurrent(&gone);
}

static fst_status stream_make(const fst_device *d, CUstream *out) { return check(d, d->cu->StreamCreate(out, CU_STREAM_NON_BLOCKING), "cannot make a stream"); }

static fst_status facts_read(fst_device *d) {
  int major, minor, has_pools = 0;
  size_t bytes;
  FST_TRY(check(d, d->cu->DeviceGetName(d->facts.name, (int)sizeof d->facts.name, d->id), "cannot ask for the device's name"));
  FST_TRY(check(d, d->cu->DeviceGetAttribute(&major, CU_ATTRIBUTE_CAPABILITY_MAJOR, d->id), "cannot ask for the device's architecture"));
  FST_TRY(check(d, d->cu->DeviceGetAttribute(&minor, CU_ATTRIBUTE_CAPABILITY_MINOR, d->id), "cannot ask for the device's architecture"));
  FST_TRY(check(d, d->cu->DeviceGetAttribute(&has_pools, CU_ATTRIBUTE_MEMORY_POOLS, d->id), "cannot ask what the device can"));
  FST_TRY(check(d, d->cu->DeviceTotalMem(&bytes, d->id), "cannot ask for the device's memory"));
  if (!has_pools) return FST_FAIL(FST_ERR_UNSUPPORTED, "%s has no memory pools, which a driver from CUDA 11.2 on offers where the system lets it", d->facts.name);
  d->capability = major * 10 + minor;
  d->facts.memory_bytes = (int64_t)bytes;
  snprintf(d->facts.arch, sizeof d->facts.arch, "sm_%d", d->capability);
  return NULL;
}

static fst_status pool_init(fst_device *d) {
  uint64_t keep = UINT64_MAX;   // what is freed stays in the pool for the next call
  FST_TRY(check(d, d->cu->DeviceGetDefaultMemPool(&d->pool, d->id), "cannot use the device's memory pool"));
  FST_TRY(check(d, d->cu->MemPoolSetAttribute(d->pool, CU_POOL_RELEASE_THRESHOLD, &keep), "cannot use the device's memory pool"));
  FST_TRY(cuda_enter(d));
  fst_status status = stream_make(d, &d->cleaner);
  cuda_leave(d);
  return status;
}

static void cuda_close(fst_device *d) {
  if (!d) return;
  if (d->context && !d->cu->CtxPushCurrent(d->context)) {
    if (d->cleaner) {
      d->cu->StreamSynchronize(d->cleaner);
      d->cu->StreamDestroy(d->cleaner);
    }
    if (d->pool) d->cu->MemPoolTrimTo(d->pool, 0);
    cuda_leave(d);
  }
  if (d->context) d->cu->DevicePrimaryCtxRelease(d->id);
  free(d);
}

static fst_status device_fill(fst_device *d, int index) {
  int count = 0;
  FST_TRY(check(d, d->cu->DeviceGetCount(&count), "cannot count the devices"));
  if (index < 0 || index >= count) return FST_FAIL(FST_ERR_NOT_FOUND, "there is no device cuda:%d: the driver shows %d%s", index, count, count ? "" : " (CUDA_VISIBLE_DEVICES may hide them)");
  FST_TRY(check(d, d->cu->DeviceGet(&d->id, index), "cannot open the device"));
  FST_TRY(facts_read(d));
  FST_TRY(check(d, d->cu->DevicePrimaryCtxRetain(&d->context, d->id), "cannot open the device"));
  return pool_init(d);
}

static fst_status cuda_open(int index, fst_device **out) {
  const fst_cuda_driver *cu;
  FST_TRY(fst_cuda_driver_get(&cu));
  fst_device *d = calloc(1, sizeof *d);
  if (!d) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  d->cu = cu;
  fst_status status = device_fill(d, index);
  if (status) {
    cuda_close(d);
    return status;
  }
  *out = d;
  return NULL;
}

static const fst_device_facts *cuda_facts(const fst_device *d) { return &d->facts; }

// ---- streams ---------------------------------------------------------------------------------------

static void cuda_stream_destroy(fst_stream *s) {
  if (!s) return;
  fst_device *d = s->device;
  if (!d->cu->CtxPushCurrent(d->context)) {
    if (s->at) {
      d->cu->StreamSynchronize(s->at);
      d->cu->StreamDestroy(s->at);
    }
    if (s->joined) d->cu->EventDestroy(s->joined);
    if (s->stage) d->cu->MemFreeHost(s->stage);
    cuda_leave(d);
  }
  free(s);
}

static fst_status cuda_stream_create(fst_device *d, fst_stream **out) {
  fst_stream *s = calloc(1, sizeof *s);
  if (!s) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  s->device = d;
  fst_status status = cuda_enter(d);
  if (!status) {
    status = stream_make(d, &s->at);
    if (!status) status = check(d, d->cu->EventCreate(&s->joined, CU_EVENT_DISABLE_TIMING), "cannot make an event");
    if (!status) status = check(d, d->cu->MemHostAlloc(&s->stage, STAGE_BYTES, 0), "cannot get page-locked memory");
    cuda_leave(d);
  }
  if (status) cuda_stream_destroy(s);
  else *out = s;
  return status;
}

static fst_status cuda_stream_wait(fst_stream *s) { return check(s->device, s->device->cu->StreamSynchronize(s->at), "the device failed"); }

static fst_status cuda_stream_join(fst_stream *s) {
  const fst_cuda_driver *cu = s->device->cu;
  FST_TRY(check(s->device, cu->EventRecord(s->joined, NULL), "cannot wait for the default stream"));
  return check(s->device, cu->StreamWaitEvent(s->at, s->joined, 0), "cannot wait for the default stream");
}

// ---- memory ----------------------------------------------------------------------------------------

static fst_status out_of_memory(const fst_device *d, size_t bytes) {
  size_t left = 0, total = 0;
  d->cu->MemGetInfo(&left, &total);
  return FST_FAIL(FST_ERR_RESOURCE, "CUDA out of memory: %zu bytes were asked for, %zu of the %zu of %s are free (CUDA_ERROR_OUT_OF_MEMORY)", bytes, left, total, d->facts.name);
}

static fst_status cuda_alloc(fst_device *d, fst_stream *s, size_t bytes, void **out) {
  CUdeviceptr at = 0;
  FST_TRY(cuda_enter(d));
  CUresult result = d->cu->MemAllocAsync(&at, bytes ? bytes : 1, s ? s->at : d->cleaner);
  // Other threads may use what has no stream at once.
  if (!result && !s) result = d->cu->StreamSynchronize(d->cleaner);
  fst_status status = result == CU_OUT_OF_MEMORY ? out_of_memory(d, bytes) : check(d, result, "cannot get memory of the device");
  cuda_leave(d);
  if (!status) *out = (void *)(uintptr_t)at;
  return status;
}

static void cuda_release(fst_device *d, fst_stream *s, void *memory, int is_lent) {
  if (!memory || d->cu->CtxPushCurrent(d->context)) return;
  d->cu->MemFreeAsync(address(memory), s ? s->at : is_lent ? NULL : d->cleaner);
  cuda_leave(d);
}

static fst_status cuda_upload(fst_stream *s, void *to, const void *from, size_t bytes) {
  if (!bytes) return NULL;
  // Of pageable memory the driver makes a copy before it returns.
  return check(s->device, s->device->cu->MemcpyHtoDAsync(address(to), from, bytes, s->at), "cannot copy to the device");
}

static fst_status cuda_download(fst_stream *s, void *to, const void *from, size_t bytes) {
  if (!bytes) return NULL;
  void *by = bytes <= STAGE_BYTES ? s->stage : to;
  FST_TRY(check(s->device, s->device->cu->MemcpyDtoHAsync(by, address(from), bytes, s->at), "cannot copy from the device"));
  FST_TRY(cuda_stream_wait(s));
  if (by != to) memcpy(to, by, bytes);
  return NULL;
}

static fst_status cuda_copy(fst_stream *s, void *to, size_t to_step, const void *from, size_t from_step, size_t bytes, size_t rows) {
  const fst_cuda_driver *cu = s->device->cu;
  if (!bytes || !rows) return NULL;
  if (rows == 1 || (to_step == bytes && from_step == bytes)) return check(s->device, cu->MemcpyDtoDAsync(address(to), address(from), bytes * rows, s->at), "cannot copy on the device");
  CUDA_MEMCPY2D c = {.src_type = CU_MEMORYTYPE_DEVICE, .src_device = address(from), .src_pitch = from_step, .dst_type = CU_MEMORYTYPE_DEVICE, .dst_device = address(to), .dst_pitch = to_step, .width = bytes, .height = rows};
  return check(s->device, cu->Memcpy2DAsync(&c, s->at), "cannot copy on the device");
}

static fst_status cuda_clear(fst_stream *s, void *to, size_t bytes) {
  return bytes ? check(s->device, s->device->cu->MemsetD8Async(address(to), 0, bytes, s->at), "cannot clear memory of the device") : NULL;
}

// ---- kernels ---------------------------------------------------------------------------------------

// Cubins run on their own major architecture from their own minor one on ("sm_90a": nowhere else); PTX, which the
// driver compiles, on all that are newer.
static int cuda_suits(const fst_device *d, const char *name) {
  char *end;
  bool is_ptx = !strncmp(name, "compute_", 8);
  if (!is_ptx && strncmp(name, "sm_", 3)) return 0;
  int arch = (int)strtol(name + (is_ptx ? 8 : 3), &end, 10);
  bool is_exact = *end == 'a';
  end += is_exact;
  if (strcmp(end, is_ptx ? ".ptx" : ".cubin") || (is_exact && arch != d->capability) || arch > d->capability) return 0;
  if (is_ptx) return arch;
  return arch / 10 == d->capability / 10 ? 2000 + 2 * arch + is_exact : 0;
}

static fst_status cuda_load(fst_device *d, const void *bytes, size_t len, fst_image **out) {
  char log[2048] = "";
  int options[] = {CU_JIT_ERROR_LOG, CU_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)sizeof log};
  CUmodule module = NULL;
  (void)len;   // an image knows its own size; PTX ends with a NUL
  FST_TRY(cuda_enter(d));
  fst_status status = check(d, d->cu->ModuleLoadDataEx(&module, bytes, 2, options, values), "the driver cannot load the kernels");
  cuda_leave(d);
  if (status) return *log ? fst_error_prefix(status, "%s", log) : status;
  *out = (fst_image *)module;
  return NULL;
}

static void cuda_unload(fst_device *d, fst_image *image) {
  if (!image || d->cu->CtxPushCurrent(d->context)) return;
  d->cu->ModuleUnload((CUmodule)image);
  cuda_leave(d);
}

static fst_status cuda_find(fst_device *d, fst_image *image, const char *name, uint32_t shared_bytes, fst_function **out) {
  enum { WITHOUT_ASKING = 48 << 10 };
  CUfunction function = NULL;
  FST_TRY(cuda_enter(d));
  fst_status status = check(d, d->cu->ModuleGetFunction(&function, (CUmodule)image, name), name);
  if (!status && shared_bytes > WITHOUT_ASKING) status = check(d, d->cu->FuncSetAttribute(function, CU_FUNC_MAX_DYNAMIC_SHARED, (int)shared_bytes), name);
  cuda_leave(d);
  if (!status) *out = (fst_function *)function;
  return status;
}

static fst_status cuda_launch(fst_stream *s, fst_function *function, const uint32_t grid[3], const uint32_t block[3], uint32_t shared_bytes, void **args, uint32_t arg_count) {
  (void)arg_count;
  return check(s->device, s->device->cu->LaunchKernel((CUfunction)function, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared_bytes, s->at, args, NULL), "cannot launch the kernel");
}

// ---- recordings ------------------------------------------------------------------------------------

static fst_status cuda_record(fst_stream *s) { return check(s->device, s->device->cu->StreamBeginCapture(s->at, CU_CAPTURE_RELAXED), "cannot record a graph"); }

static fst_status cuda_recorded(fst_stream *s, fst_recording **out) {
  const fst_cuda_driver *cu = s->device->cu;
  CUgraph graph = NULL;
  CUgraphExec ready = NULL;
  fst_status status = check(s->device, cu->StreamEndCapture(s->at, &graph), "cannot record a graph");
  if (!status && out) status = check(s->device, cu->GraphInstantiateWithFlags(&ready, graph, 0), "cannot make a graph ready");
  if (graph) cu->GraphDestroy(graph);
  if (!status && out) *out = (fst_recording *)ready;
  return status;
}

static fst_status cuda_replay(fst_stream *s, fst_recording *recording) { return check(s->device, s->device->cu->GraphLaunch((CUgraphExec)recording, s->at), "cannot launch the graph"); }

static void cuda_forget(fst_device *d, fst_recording *recording) {
  if (!recording || d->cu->CtxPushCurrent(d->context)) return;
  d->cu->GraphExecDestroy((CUgraphExec)recording);
  cuda_leave(d);
}

__attribute__((visibility("default"))) const fst_device_api *fst_device_library(void);
const fst_device_api *fst_device_library(void) {
  static const fst_device_api api = {
      .version = FST_DEVICE_VERSION, .open = cuda_open, .close = cuda_close, .facts = cuda_facts, .enter = cuda_enter, .leave = cuda_leave,
      .stream_create = cuda_stream_create, .stream_destroy = cuda_stream_destroy, .stream_wait = cuda_stream_wait, .stream_join = cuda_stream_join,
      .alloc = cuda_alloc, .release = cuda_release, .upload = cuda_upload, .download = cuda_download, .copy = cuda_copy, .clear = cuda_clear,
      .suits = cuda_suits, .load = cuda_load, .unload = cuda_unload, .find = cuda_find, .launch = cuda_launch, .record = cuda_record, .recorded = cuda_recorded, .replay = cuda_replay, .forget = cuda_forget,
  };
  return &api;
}
