// What the files of Neuropod's C API share.
#ifndef FST_NEUROPOD_C_INTERNAL_H
#define FST_NEUROPOD_C_INTERNAL_H

#include <stdbool.h>

#include "base/status.h"
#include "firesteel/pod.h"
#include "neuropod/bindings/c/c_api.h"

struct NP_Status {
  NP_Code code;
  char *message;  // with the prefix; NULL with NEUROPOD_ERROR: memory was out
};
void np_status_set(NP_Status *status, const char *fmt, ...) FST_PRINTF(2, 3);  // `fmt` NULL: it is OK

typedef struct np_row { char *name; NP_NeuropodTensor *tensor; } np_row;
struct NP_NeuropodValueMap {
  np_row *rows;
  size_t count, cap;
};
bool np_map_set(NP_NeuropodValueMap *map, const char *name, NP_NeuropodTensor *tensor);  // shares the tensor; false: memory is out

NP_TensorType np_type_of_word(const char *dtype);
NP_NeuropodTensor *np_tensor_of(const fst_var *value);  // NULL: memory is out
fst_failure *np_tensor_value(const NP_NeuropodTensor *tensor, fst_var **out);

#endif
