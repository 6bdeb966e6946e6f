/* Neuropod's C API: what a package says of its inputs and outputs. */
#ifndef NEUROPOD_BINDINGS_C_NP_TENSOR_SPEC_H
#define NEUROPOD_BINDINGS_C_NP_TENSOR_SPEC_H

#include "neuropod/bindings/c/np_tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A size, or -1 for any, or -2 for a symbol, whose name is then not NULL. */
typedef struct NP_Dimension {
  int64_t value;
  const char *symbol;
} NP_Dimension;

typedef struct NP_TensorSpec {
  const char *name;
  NP_TensorType type;
  size_t num_dims;
#if defined(__cplusplus)
  NP_Dimension dims[1];  /* num_dims of them */
#else
  NP_Dimension dims[];
#endif
} NP_TensorSpec;

/* The texts in it live as long as the model. */
NP_API void NP_FreeTensorSpec(NP_TensorSpec *spec);

#ifdef __cplusplus
}
#endif

#endif
