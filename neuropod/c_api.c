// Neuropod's C API (neuropod/bindings/c/c_api.h) over pods and values.
#include "neuropod/bindings/c/c_api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "neuropod/c_internal.h"

struct NP_Neuropod {
  fst_pod *pod;   // NULL: it could not be loaded
};

// ---- status ----------------------------------------------------------------------------------------

NP_Status *NP_NewStatus(void) { return calloc(1, sizeof(NP_Status)); }

void NP_ClearStatus(NP_Status *status) {
  if (!status) return;
  free(status->message);
  *status = (NP_Status){0};
}

void NP_DeleteStatus(NP_Status *status) {
  NP_ClearStatus(status);
  free(status);
}

NP_Code NP_GetCode(const NP_Status *status) { return status ? status->code : NEUROPOD_OK; }
const char *NP_GetMessage(const NP_Status *status) { return !status || status->code == NEUROPOD_OK ? "" : status->message ? status->message : "Neuropod Error: out of memory"; }

void np_status_set(NP_Status *status, const char *fmt, ...) {
  if (!status) return;
  NP_ClearStatus(status);
  if (!fmt) return;
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  static const char prefix[] = "Neuropod Error: ";
  int len = vsnprintf(NULL, 0, fmt, args);
  status->code = NEUROPOD_ERROR;
  status->message = malloc(sizeof prefix + (size_t)len);
  if (status->message) {
    memcpy(status->message, prefix, sizeof prefix);
    vsnprintf(status->message + sizeof prefix - 1, (size_t)len + 1, fmt, again);
  }
  va_end(again);
  va_end(args);
}

// Takes the failure.
static bool status_take(NP_Status *status, fst_failure *failure) {
  if (failure) np_status_set(status, "%s", fst_failure_message(failure));
  else np_status_set(status, NULL);
  fst_failure_free(failure);
  return !failure;
}

// ---- loading ---------------------------------------------------------------------------------------

NP_RuntimeOptions NP_DefaultRuntimeOptions(void) {
  return (NP_RuntimeOptions){.ope_options = {.free_memory_every_cycle = true}, .visible_device = GPU0, .load_model_at_construction = true};
}

void NP_LoadNeuropodWithOpts(const char *path, const NP_RuntimeOptions *given, NP_Neuropod **out, NP_Status *status) {
  NP_RuntimeOptions defaults = NP_DefaultRuntimeOptions();
  const NP_RuntimeOptions *o = given ? given : &defaults;
  if (!path || !out) {
    np_status_set(status, "NP_LoadNeuropod: neuropod_path and model must be given");
    return;
  }
  *out = calloc(1, sizeof **out);
  if (!*out) {
    np_status_set(status, "out of memory");
    return;
  }
  if (o->use_ope && memchr(o->ope_options.control_queue_name, 0, sizeof o->ope_options.control_queue_name) != o->ope_options.control_queue_name) {
    np_status_set(status, "control_queue_name is set, but attaching to a worker that runs already is not supported; leave it empty to start one");
    return;
  }
  fst_pod_options options = {.size = sizeof options, .isolate = o->use_ope, .no_check = o->disable_shape_and_type_checking};
  status_take(status, fst_pod_open(path, &options, &(*out)->pod));
}

void NP_LoadNeuropod(const char *path, NP_Neuropod **out, NP_Status *status) { NP_LoadNeuropodWithOpts(path, NULL, out, status); }

void NP_FreeNeuropod(NP_Neuropod *model) {
  if (!model) return;
  fst_pod_close(model->pod);
  free(model);
}

// ---- calling ---------------------------------------------------------------------------------------

static fst_failure *infer(NP_Neuropod *model, const NP_NeuropodValueMap *inputs, size_t count, const char **names, fst_var **out) {
  const char **input_names = malloc((inputs->count + 1) * sizeof *input_names);
  fst_var **values = calloc(inputs->count + 1, sizeof *values);
  fst_failure *failure = input_names && values ? NULL : fst_failure_new(FST_FAILED_RESOURCE, "out of memory");
  for (size_t i = 0; !failure && i < inputs->count; i++) {
    input_names[i] = inputs->rows[i].name;
    failure = np_tensor_value(inputs->rows[i].tensor, &values[i]);
  }
  if (!failure) failure = fst_pod_infer(model->pod, input_names, (const fst_var *const *)values, inputs->count, names, count, out);
  for (size_t i = 0; values && i < inputs->count; i++) fst_var_free(values[i]);
  free(values);
  free(input_names);
  return failure;
}

static bool outputs_take(const fst_var *dict, NP_NeuropodValueMap *out) {
  bool ok = true;
  for (size_t i = 0; ok && i < fst_var_count(dict); i++) {
    fst_var *key = fst_var_key(dict, i), *value = fst_var_item(dict, i);
    NP_NeuropodTensor *tensor = key && value ? np_tensor_of(value) : NULL;
    ok = tensor && np_map_set(out, fst_var_as_str(key, NULL), tensor);
    NP_FreeTensor(tensor);
    fst_var_free(key);
    fst_var_free(value);
  }
  return ok;
}

void NP_InferWithRequestedOutputs(NP_Neuropod *model, const NP_NeuropodValueMap *inputs, size_t count, const char **names, NP_NeuropodValueMap **out, NP_Status *status) {
  if (!out) {
    np_status_set(status, "NP_Infer: outputs must be given");
    return;
  }
  *out = NP_NewValueMap();
  if (!*out || !model || !inputs || (count && !names)) {
    np_status_set(status, *out ? "NP_Infer: model and inputs must be given" : "out of memory");
    return;
  }
  if (!model->pod) {
    np_status_set(status, "the model could not be loaded, so it cannot be called");
    return;
  }
  fst_var *dict = NULL;
  if (!status_take(status, infer(model, inputs, count, names, &dict))) return;
  if (!outputs_take(dict, *out)) np_status_set(status, "out of memory");
  fst_var_free(dict);
}

void NP_Infer(NP_Neuropod *model, const NP_NeuropodValueMap *inputs, NP_NeuropodValueMap **out, NP_Status *status) {
  NP_InferWithRequestedOutputs(model, inputs, 0, NULL, out, status);
}

// ---- asking ----------------------------------------------------------------------------------------

const char *NP_GetName(NP_Neuropod *model) { return model && model->pod ? fst_pod_name(model->pod) : ""; }
const char *NP_GetPlatform(NP_Neuropod *model) { return model && model->pod ? fst_pod_platform(model->pod) : ""; }
size_t NP_GetNumInputs(NP_Neuropod *model) { return model && model->pod ? fst_pod_spec_count(model->pod, 0) : 0; }
size_t NP_GetNumOutputs(NP_Neuropod *model) { return model && model->pod ? fst_pod_spec_count(model->pod, 1) : 0; }

static NP_TensorSpec *spec_get(NP_Neuropod *model, int outputs, size_t index) {
  fst_spec spec;
  if (!model || !model->pod || !fst_pod_spec_get(model->pod, outputs, index, &spec)) return NULL;
  NP_TensorSpec *out = malloc(sizeof *out + (spec.rank + 1) * sizeof out->dims[0]);
  if (!out) return NULL;
  out->name = spec.name;
  out->type = np_type_of_word(spec.dtype);
  out->num_dims = spec.rank;
  for (size_t d = 0; d < spec.rank; d++) out->dims[d] = (NP_Dimension){spec.symbols[d] ? -2 : spec.dims[d], spec.symbols[d]};
  return out;
}

NP_TensorSpec *NP_GetInputSpec(NP_Neuropod *model, size_t index) { return spec_get(model, 0, index); }
NP_TensorSpec *NP_GetOutputSpec(NP_Neuropod *model, size_t index) { return spec_get(model, 1, index); }
void NP_FreeTensorSpec(NP_TensorSpec *spec) { free(spec); }
