// What the runtime and libfiresteel_torch.so share for ops that run through libtorch: the functions each
// offers the other. The runtime opens the library on the first such op (RTLD_LOCAL), looks FST_BRIDGE_CALL up
// and passes its own functions along, because the bridge makes objects that the runtime then owns.
#ifndef FST_BASE_BRIDGE_ABI_H
#define FST_BASE_BRIDGE_ABI_H

#include "base/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FST_BRIDGE_VERSION 1

// Making functions return an object with one reference, or NULL when memory is out. Containers take references
// of their own on their items.
typedef struct fst_bridge_host {
  uint32_t version;  // FST_BRIDGE_VERSION
  uint32_t abi_version;
  void (*retain)(fst_obj *obj);
  void (*release)(fst_obj *obj);
  fst_storage_obj *(*storage_wrap)(void *data, int64_t bytes, void (*drop)(fst_storage_obj *self), void *owner);
  fst_tensor_obj *(*tensor_make)(fst_storage_obj *storage, void *data, int dtype, int rank, const int64_t *shape);  // sizes, then strides
  fst_str_obj *(*str_make)(const char *bytes, int64_t len);
  fst_complex_obj *(*complex_make)(double re, double im);
  fst_list_obj *(*list_make)(int64_t count, const fst_val *items);
  fst_tuple_obj *(*tuple_make)(int64_t count, const fst_val *items);
  fst_dict_obj *(*dict_make)(void);
  // Replaces the value of an equal key; nonzero when memory is out.
  int32_t (*dict_put)(fst_dict_obj *dict, const fst_val *key, const fst_val *val);
  // Makes the list hold exactly these items (write-back of a list that the op changed); nonzero: memory is out.
  int32_t (*list_assign)(fst_list_obj *list, int64_t count, const fst_val *items);
  fst_opaque_obj *(*opaque_make)(void *handle, void (*drop)(void *handle));
  // Makes the dict hold exactly these keys and values, in this order (write-back); nonzero: memory is out.
  // NULL: ops that remove keys are refused.
  int32_t (*dict_assign)(fst_dict_obj *dict, int64_t count, const fst_val *keys, const fst_val *vals);
} fst_bridge_host;

// Runs one op by its full schema text on `count` arguments in schema order. On success returns 0 and fills
// `results` values, each with a reference for the caller. Otherwise returns nonzero and *out_error is a malloc'ed
// text of what libtorch said. Threads: any, several at once.
typedef int32_t (*fst_bridge_call_fn)(const fst_bridge_host *host, const char *schema, int64_t count, const fst_val *args, int64_t results, fst_val *out, char **out_error);
#define FST_BRIDGE_CALL "fst_torch_call"

#ifdef __cplusplus
}
#endif

#endif
