// The CUDA driver, found at run time: nothing here is linked with it and no header of its own is needed.
#ifndef FST_RUNTIME_CUDA_DRIVER_H
#define FST_RUNTIME_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

// Types and numbers of the driver's interface, as its header has them.
typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct CUDA_MEMCPY2D {
  size_t src_x, src_y;
  unsigned src_type;
  const void *src_host;
  CUdeviceptr src_device;
  void *src_array;
  size_t src_pitch;
  size_t dst_x, dst_y;
  unsigned dst_type;
  void *dst_host;
  CUdeviceptr dst_device;
  void *dst_array;
  size_t dst_pitch;
  size_t width, height;
} CUDA_MEMCPY2D;
enum {
  CU_OUT_OF_MEMORY = 2,
  CU_NO_BINARY_FOR_GPU = 209,
  CU_STREAM_NON_BLOCKING = 1,
  CU_EVENT_DISABLE_TIMING = 2,
  CU_CAPTURE_RELAXED = 2,
  CU_MEMORYTYPE_DEVICE = 2,
  CU_ATTRIBUTE_CAPABILITY_MAJOR = 75,
  CU_ATTRIBUTE_CAPABILITY_MINOR = 76,
  CU_ATTRIBUTE_MEMORY_POOLS = 115,
  CU_POOL_RELEASE_THRESHOLD = 4,
  CU_JIT_ERROR_LOG = 5,
  CU_JIT_ERROR_LOG_BYTES = 6,
  CU_FUNC_MAX_DYNAMIC_SHARED = 8,
};

typedef struct fst_cuda_driver {
#define DRIVER(name, symbol, params) CUresult(*name) params;
#include "runtime/cuda/driver.def"
#undef DRIVER
} fst_cuda_driver;

// Opens libcuda and starts the driver, once a process. What is missing, or too old, and where it was looked for is in the
// status. FIRESTEEL_LIBCUDA names a file to open instead of looking.
fst_status fst_cuda_driver_get(const fst_cuda_driver **out);
// The driver's own name and text for an error; NULL for success. Running out of memory is FST_ERR_RESOURCE.
fst_status fst_cuda_status(const fst_cuda_driver *driver, CUresult result, const char *what);

#endif
