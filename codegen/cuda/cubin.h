// What a cubin says of itself: registers, local memory (a stack, or registers that did not fit), shared memory.
#ifndef FST_CODEGEN_CUDA_CUBIN_H
#define FST_CODEGEN_CUDA_CUBIN_H

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "base/vec.h"

typedef struct fst_cubin_kernel {
  const char *name;
  uint32_t registers;      // per thread
  uint32_t local_bytes;    // per thread: 0 where nothing spills
  uint32_t shared_bytes;   // static, per block
  uint32_t code_bytes;
} fst_cubin_kernel;
typedef FST_VEC(fst_cubin_kernel) fst_cubin_kernels;

// Names live in the arena. Any bytes may be given: what is no cubin is FST_ERR_CORRUPT.
fst_status fst_cubin_read(const void *bytes, size_t len, fst_arena *arena, fst_cubin_kernels *out);
// One line for each kernel.
void fst_cubin_print(const fst_cubin_kernels *kernels, fst_text *out);

#endif
