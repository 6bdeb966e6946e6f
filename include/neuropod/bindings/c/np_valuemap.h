/* Neuropod's C API: tensors by name. */
#ifndef NEUROPOD_BINDINGS_C_NP_VALUEMAP_H
#define NEUROPOD_BINDINGS_C_NP_VALUEMAP_H

#include "neuropod/bindings/c/np_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct NP_NeuropodValueMap NP_NeuropodValueMap;

typedef struct NP_TensorNameList {
  size_t num_tensors;
#if defined(__cplusplus)
  const char *tensor_names[1];  /* num_tensors of them */
#else
  const char *tensor_names[];
#endif
} NP_TensorNameList;

NP_API NP_NeuropodValueMap *NP_NewValueMap(void);
NP_API void NP_FreeValueMap(NP_NeuropodValueMap *map);
/* The map and the caller share the tensor; one that had the name before is taken out. */
NP_API void NP_InsertTensor(NP_NeuropodValueMap *map, const char *name, NP_NeuropodTensor *tensor);
/* A tensor that the caller frees; NULL when there is none of the name. */
NP_API NP_NeuropodTensor *NP_GetTensor(const NP_NeuropodValueMap *map, const char *name);
NP_API void NP_RemoveTensor(NP_NeuropodValueMap *map, const char *name);

/* In the order in which they came. The list is a copy. */
NP_API NP_TensorNameList *NP_GetTensorNames(const NP_NeuropodValueMap *map);
NP_API void NP_FreeTensorNameList(NP_TensorNameList *list);

#ifdef __cplusplus
}
#endif

#endif
