/* Neuropod's C API: making tensors. */
#ifndef NEUROPOD_BINDINGS_C_NP_TENSOR_ALLOCATOR_H
#define NEUROPOD_BINDINGS_C_NP_TENSOR_ALLOCATOR_H

#include "neuropod/bindings/c/np_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct NP_TensorAllocator NP_TensorAllocator;

/* A tensor with memory of its own, zeroed; strings are empty. NULL: sizes that make no tensor, or memory is out. */
NP_API NP_NeuropodTensor *NP_AllocateTensor(NP_TensorAllocator *allocator, size_t num_dims, const int64_t *dims, NP_TensorType tensor_type);
/* A tensor over the caller's memory. `deleter(data, deleter_arg)` is called once, from any thread, when nothing uses it any more;
 * it may be NULL. NULL, and the deleter is not called: a string tensor, sizes that make no tensor, misaligned memory. */
NP_API NP_NeuropodTensor *NP_TensorFromMemory(NP_TensorAllocator *allocator, size_t num_dims, const int64_t *dims, NP_TensorType tensor_type, void *data,
                                              void (*deleter)(void *data, void *deleter_arg), void *deleter_arg);
NP_API void NP_FreeAllocator(NP_TensorAllocator *allocator);

#ifdef __cplusplus
}
#endif

#endif
