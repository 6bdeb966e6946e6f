// Values as the compiler knows them, for trying what an op gives without computing it: tensors are dtype, sizes and strides only.
#ifndef FST_BASE_META_H
#define FST_BASE_META_H

#include <stdbool.h>
#include <stdint.h>

#include "base/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FST_META_RANK = 16 };

typedef struct fst_meta_val {
  uint32_t tag;       // FST_TAG_NONE, BOOL, INT, FLOAT, STR, DEVICE, LIST, TENSOR; a result that is neither is NONE
  uint32_t count;     // LIST: items; TENSOR: rank
  union {
    int64_t i;        // BOOL, INT
    double f;
    const char *text; // STR, DEVICE
    const struct fst_meta_val *items;
    int32_t dtype;    // TENSOR
  };
  int64_t sizes[FST_META_RANK], strides[FST_META_RANK];   // of a result: -1 where they are not known
} fst_meta_val;

// Tries an op, by its full schema text, on arguments in schema order. False when that cannot be told: the op raises for
// them, its results depend on data, or it cannot be tried without computing.
typedef struct fst_meta_trial {
  bool (*run)(void *context, const char *schema, uint32_t count, const fst_meta_val *args, uint32_t results, fst_meta_val *out);
  void *context;
} fst_meta_trial;

#ifdef __cplusplus
}
#endif

#endif
