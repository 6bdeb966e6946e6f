// Kernels as CUDA C: one translation unit for a set of methods, compiled by NVRTC (codegen/cuda/nvrtc.h), launched by
// native host code. Nothing here knows the driver.
//
// A kernel becomes one or more launches, which are made in the order of the list, on one stream. All of them take the
// same arguments: a pointer for each buffer, then the parameters (each by its dtype's size: i64 and f64 8 bytes, f32 and
// i32 4, f16, bf16 and i16 2, i8, u8 and bool 1), then, where the kernel has scratch_bytes, a pointer to that much device
// memory, 256-byte aligned, whose contents do not matter. A launch whose grid has a 0 in any direction is left out: that is
// how empty work is skipped, and how one of two schedules is chosen by size.
#ifndef FST_CODEGEN_CUDA_CUDA_H
#define FST_CODEGEN_CUDA_CUDA_H

#include "codegen/codegen.h"

typedef struct fst_cuda_launch {
  const char *entry;        // the symbol in the cubin
  uint32_t threads[3];      // per block
  fst_kx grid[3];           // i64, in fst_cuda_kernel.sizes; never negative
  uint32_t shared_bytes;    // dynamic; above 48 KB the function's limit has to be raised first
} fst_cuda_launch;

typedef struct fst_cuda_kernel {
  FST_VEC(int64_t) constant_offset;  // per buffer: offset of the bytes to pass in the blob, -1: pass the caller's pointer
  uint64_t constant_bytes;           // all that the offsets stand for
  // The expressions of grids and scratch live in a kernel of their own with the same parameters: i64 CONST and PARAM, and
  // ADD, SUB, MUL, MIN, MAX of them, and DIV by a positive CONST.
  const fst_kernel *sizes;
  fst_kx scratch_bytes;              // none: there is no such argument
  const fst_cuda_launch *launches;
  uint32_t launch_count;
} fst_cuda_kernel;

typedef struct fst_cuda_unit fst_cuda_unit;
fst_cuda_unit *fst_cuda_unit_create(void);
void fst_cuda_unit_destroy(fst_cuda_unit *unit);
uint32_t fst_cuda_unit_kernels(const fst_cuda_unit *unit);  // different kernels emitted so far
// As fst_llvm_kernel_emit: equal kernels share their launches; `out` lives as long as the unit. `constants[i]`: bytes of
// buffer i when it is constant and contiguous, else NULL; the array may be NULL.
fst_status fst_cuda_kernel_emit(fst_cuda_unit *unit, const fst_kernel *kernel, const void *const *constants, fst_blob *blob, const fst_cuda_kernel **out);
// The whole unit as CUDA C++ that includes nothing. Equal units give equal text, so its hash is a key for caches.
void fst_cuda_unit_source(const fst_cuda_unit *unit, fst_text *out);

#endif
