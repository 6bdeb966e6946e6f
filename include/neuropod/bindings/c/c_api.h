/* Neuropod's C API over Firesteel: libneuropod.so, which needs libfiresteel_rt.so. Code written for Neuropod compiles and links as it
 * is; what Neuropod only declares (specs, strings, tensors over memory, names) works here, and options count.
 *
 * A model may be used by several threads at once. No function throws, prints or ends the process. Where a pointer is asked for, NULL
 * in its place is an error in the status, or does nothing. */
#ifndef NEUROPOD_BINDINGS_C_C_API_H
#define NEUROPOD_BINDINGS_C_C_API_H

#include <stdbool.h>

#include "neuropod/bindings/c/np_status.h"
#include "neuropod/bindings/c/np_tensor.h"
#include "neuropod/bindings/c/np_tensor_allocator.h"
#include "neuropod/bindings/c/np_tensor_spec.h"
#include "neuropod/bindings/c/np_valuemap.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct NP_Neuropod NP_Neuropod;

typedef enum NP_Device { CPU = -1, GPU0 = 0, GPU1 = 1, GPU2 = 2, GPU3 = 3, GPU4 = 4, GPU5 = 5, GPU6 = 6, GPU7 = 7 } NP_Device;

typedef struct NP_RuntimeOptions {
  bool use_ope;                            /* run the model in a process of its own */
  struct NP_OPEOptions {
    bool free_memory_every_cycle;          /* accepted; shared memory is given back when the model is freed */
    char control_queue_name[256];          /* accepted when empty: there is no attaching to a worker that runs already */
  } ope_options;
  NP_Device visible_device;                /* models run on the CPU where there is no GPU */
  bool load_model_at_construction;         /* false: the model is loaded by the first call */
  bool disable_shape_and_type_checking;
} NP_RuntimeOptions;

NP_API NP_RuntimeOptions NP_DefaultRuntimeOptions(void);

/* *model is never NULL afterwards, unless memory is out, and has to be freed also after a failure. */
NP_API void NP_LoadNeuropod(const char *neuropod_path, NP_Neuropod **model, NP_Status *status);
NP_API void NP_LoadNeuropodWithOpts(const char *neuropod_path, const NP_RuntimeOptions *options, NP_Neuropod **model, NP_Status *status);
NP_API void NP_FreeNeuropod(NP_Neuropod *model);

/* *outputs is a new map, which the caller frees; it is empty after a failure. */
NP_API void NP_Infer(NP_Neuropod *model, const NP_NeuropodValueMap *inputs, NP_NeuropodValueMap **outputs, NP_Status *status);
NP_API void NP_InferWithRequestedOutputs(NP_Neuropod *model, const NP_NeuropodValueMap *inputs, size_t noutputs, const char **requested_outputs,
                                         NP_NeuropodValueMap **outputs, NP_Status *status);

/* Owned by the model. */
NP_API const char *NP_GetName(NP_Neuropod *model);
NP_API const char *NP_GetPlatform(NP_Neuropod *model);

NP_API size_t NP_GetNumInputs(NP_Neuropod *model);
NP_API size_t NP_GetNumOutputs(NP_Neuropod *model);
/* To be freed with NP_FreeTensorSpec; NULL when there are not so many. */
NP_API NP_TensorSpec *NP_GetInputSpec(NP_Neuropod *model, size_t index);
NP_API NP_TensorSpec *NP_GetOutputSpec(NP_Neuropod *model, size_t index);

/* Both make the same tensors. */
NP_API NP_TensorAllocator *NP_GetAllocator(NP_Neuropod *model);
NP_API NP_TensorAllocator *NP_GetGenericAllocator(void);

#ifdef __cplusplus
}
#endif

#endif
