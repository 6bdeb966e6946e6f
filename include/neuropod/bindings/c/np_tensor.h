/* Neuropod's C API: tensors. A tensor is counted: each NP_NeuropodTensor that a function returns needs one NP_FreeTensor. Tensors
 * are row-major. They may be read by several threads at once, and written by one. */
#ifndef NEUROPOD_BINDINGS_C_NP_TENSOR_H
#define NEUROPOD_BINDINGS_C_NP_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "neuropod/bindings/c/np_status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum NP_TensorType {
  FLOAT_TENSOR, DOUBLE_TENSOR, STRING_TENSOR,
  INT8_TENSOR, INT16_TENSOR, INT32_TENSOR, INT64_TENSOR,
  UINT8_TENSOR, UINT16_TENSOR, UINT32_TENSOR, UINT64_TENSOR
} NP_TensorType;

typedef struct NP_NeuropodTensor NP_NeuropodTensor;

/* The sizes live as long as the tensor. */
NP_API void NP_GetDims(const NP_NeuropodTensor *tensor, size_t *num_dims, const int64_t **dims);
NP_API NP_TensorType NP_GetType(const NP_NeuropodTensor *tensor);
NP_API size_t NP_GetNumElements(const NP_NeuropodTensor *tensor);

/* The memory of the elements; NULL for string tensors. */
NP_API void *NP_GetData(NP_NeuropodTensor *tensor);
NP_API const void *NP_GetDataReadOnly(const NP_NeuropodTensor *tensor);

/* String tensors: UTF-8 text that ends with its NUL. The element is copied. */
NP_API void NP_SetStringElement(NP_NeuropodTensor *tensor, size_t index, const char *item, NP_Status *status);
/* Bytes that the element takes with the NUL behind it. */
NP_API void NP_GetStringElementSize(const NP_NeuropodTensor *tensor, size_t index, size_t *size, NP_Status *status);
/* Copies the element, NULs within included, and a NUL; fails when the buffer has less room. */
NP_API void NP_GetStringElement(const NP_NeuropodTensor *tensor, size_t index, char *buffer, size_t buffer_size, NP_Status *status);

NP_API void NP_FreeTensor(NP_NeuropodTensor *tensor);

#ifdef __cplusplus
}
#endif

#endif
