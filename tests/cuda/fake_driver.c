// A libcuda.so that computes nothing: memory is the host's, copies copy, kernels are counted. For tests of what
// libfiresteel_cuda.so makes of a driver and of its errors. The test sets `fake_cuda` (exported).
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/fake_driver.h"

#define EXPORT __attribute__((visibility("default")))
EXPORT fake_cuda_state fake_cuda = {.version = 12040, .devices = 1, .major = 9, .minor = 0, .memory = 1 << 20};

#ifndef FAKE_INCOMPLETE
// The error that the test wants of this function, once.
static CUresult outcome(const char *name) {
  if (!fake_cuda.fails || strcmp(fake_cuda.fails, name)) return 0;
  fake_cuda.fails = NULL;
  return fake_cuda.error;
}
#define GIVE(name) return outcome(name)

static int a_context, a_stream, a_pool, a_module, a_function, an_event, a_graph;

static CUresult made(void **out, void *thing, int *count, const char *name) {
  CUresult result = outcome(name);
  if (result) return result;
  *out = thing;
  ++*count;
  return 0;
}
#endif

EXPORT CUresult cuDriverGetVersion(int *out) { *out = fake_cuda.version; return 0; }
#ifndef FAKE_INCOMPLETE
EXPORT CUresult cuInit(unsigned flags) { (void)flags; GIVE("cuInit"); }
EXPORT CUresult cuGetErrorName(CUresult error, const char **out) {
  *out = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : error == 100 ? "CUDA_ERROR_NO_DEVICE" : error == 209 ? "CUDA_ERROR_NO_BINARY_FOR_GPU" : error == 500 ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_ILLEGAL_ADDRESS";
  return 0;
}
EXPORT CUresult cuGetErrorString(CUresult error, const char **out) {
  *out = error == 2 ? "out of memory" : error == 100 ? "no CUDA-capable device is detected" : error == 209 ? "no kernel image is available for execution on the device"
         : error == 500 ? "named symbol not found" : "an illegal memory access was encountered";
  return 0;
}
EXPORT CUresult cuDeviceGetCount(int *out) { *out = fake_cuda.devices; GIVE("cuDeviceGetCount"); }
EXPORT CUresult cuDeviceGet(CUdevice *out, int index) { *out = index; return 0; }
EXPORT CUresult cuDeviceGetName(char *out, int room, CUdevice device) { (void)device; strncpy(out, "Fake GPU", (size_t)room); return 0; }
EXPORT CUresult cuDeviceGetAttribute(int *out, int attribute, CUdevice device) {
  (void)device;
  *out = attribute == CU_ATTRIBUTE_CAPABILITY_MAJOR ? fake_cuda.major : attribute == CU_ATTRIBUTE_CAPABILITY_MINOR ? fake_cuda.minor : 1;
  return 0;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t *out, CUdevice device) { (void)device; *out = fake_cuda.memory; return 0; }
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device) { (void)device; return made((void **)out, &a_context, &fake_cuda.contexts, "cuDevicePrimaryCtxRetain"); }
EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { (void)device; fake_cuda.contexts--; return 0; }
EXPORT CUresult cuCtxGetCurrent(CUcontext *out) { *out = NULL; return 0; }
EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context) { (void)context; fake_cuda.depth++; return 0; }
EXPORT CUresult cuCtxPopCurrent_v2(CUcontext *out) { *out = NULL; fake_cuda.depth--; return 0; }
EXPORT CUresult cuStreamCreate(CUstream *out, unsigned flags) { (void)flags; return made((void **)out, &a_stream, &fake_cuda.streams, "cuStreamCreate"); }
EXPORT CUresult cuStreamDestroy_v2(CUstream stream) { (void)stream; fake_cuda.streams--; return 0; }
EXPORT CUresult cuStreamSynchronize(CUstream stream) { (void)stream; GIVE("cuStreamSynchronize"); }
EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) { (void)stream, (void)event, (void)flags; GIVE("cuStreamWaitEvent"); }
EXPORT CUresult cuEventCreate(CUevent *out, unsigned flags) { (void)flags; *out = (CUevent)(void *)&an_event; fake_cuda.events++; return 0; }
EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) { (void)event, (void)stream; return 0; }
EXPORT CUresult cuEventDestroy_v2(CUevent event) { (void)event; fake_cuda.events--; return 0; }
EXPORT CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *out, CUdevice device) { (void)device; *out = (CUmemoryPool)(void *)&a_pool; return 0; }
EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value) { (void)pool, (void)attribute, (void)value; return 0; }
EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep) { (void)pool, (void)keep; return 0; }
EXPORT CUresult cuMemAllocAsync(CUdeviceptr *out, size_t bytes, CUstream stream) {
  (void)stream;
  if (bytes > fake_cuda.memory) return CU_OUT_OF_MEMORY;
  *out = (CUdeviceptr)(uintptr_t)malloc(bytes);
  fake_cuda.blocks++;
  GIVE("cuMemAllocAsync");
}
EXPORT CUresult cuMemFreeAsync(CUdeviceptr memory, CUstream stream) {
  fake_cuda.freed_in_default += !stream;
  free((void *)(uintptr_t)memory);
  fake_cuda.blocks--;
  return 0;
}
EXPORT CUresult cuMemGetInfo_v2(size_t *out_free, size_t *out_total) { *out_free = *out_total = fake_cuda.memory; return 0; }
EXPORT CUresult cuMemHostAlloc(void **out, size_t bytes, unsigned flags) { (void)flags; *out = malloc(bytes); fake_cuda.pinned++; return 0; }
EXPORT CUresult cuMemFreeHost(void *memory) { free(memory); fake_cuda.pinned--; return 0; }
EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) { (void)stream; memcpy((void *)(uintptr_t)to, from, bytes); GIVE("cuMemcpyHtoDAsync"); }
EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) { (void)stream; memcpy(to, (void *)(uintptr_t)from, bytes); GIVE("cuMemcpyDtoHAsync"); }
EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) { (void)stream; memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes); return 0; }
EXPORT CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *c, CUstream stream) {
  (void)stream;
  for (size_t i = 0; i < c->height; i++) memmove((char *)(uintptr_t)c->dst_device + i * c->dst_pitch, (char *)(uintptr_t)c->src_device + i * c->src_pitch, c->width);
  return 0;
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) { (void)stream; memset((void *)(uintptr_t)to, value, bytes); return 0; }
EXPORT CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned count, int *options, void **values) {
  (void)image, (void)count, (void)options, (void)values;
  return made((void **)out, &a_module, &fake_cuda.modules, "cuModuleLoadDataEx");
}
EXPORT CUresult cuModuleUnload(CUmodule module) { (void)module; fake_cuda.modules--; return 0; }
EXPORT CUresult cuModuleGetFunction(CUfunction *out, CUmodule module, const char *name) { (void)module; *out = (CUfunction)(void *)&a_function; return strcmp(name, "absent") ? 0 : 500; }
EXPORT CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) { (void)function, (void)attribute; fake_cuda.shared_limit = value; return 0; }
EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **args, void **extra) {
  (void)function, (void)grid_y, (void)grid_z, (void)block_y, (void)block_z, (void)shared_bytes, (void)stream, (void)args, (void)extra;
  fake_cuda.threads += (int)(grid_x * block_x);
  GIVE("cuLaunchKernel");
}
EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) { (void)stream, (void)mode; return 0; }
EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *out) { (void)stream; return made((void **)out, &a_graph, &fake_cuda.graphs, "cuStreamEndCapture"); }
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph, unsigned long long flags) { (void)graph, (void)flags; return made((void **)out, &a_graph, &fake_cuda.graphs, "cuGraphInstantiateWithFlags"); }
EXPORT CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) { (void)graph, (void)stream; fake_cuda.replays++; return 0; }
EXPORT CUresult cuGraphDestroy(CUgraph graph) { (void)graph; fake_cuda.graphs--; return 0; }
EXPORT CUresult cuGraphExecDestroy(CUgraphExec graph) { (void)graph; fake_cuda.graphs--; return 0; }
#endif
