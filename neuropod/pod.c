#include "firesteel/pod.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "neuropod/failure.h"
#include "neuropod/remote.h"
#include "neuropod/specs.h"

struct fst_pod {
  fst_specs specs;
  fst_model *model;      // here,
  fst_remote *remote;    // or there
  bool no_check, strict_symbols;
  int is_loaded;         // atomic
};

static fst_failure *model_open(fst_pod *pod, const char *path, const fst_pod_options *o) {
  fst_failure *failure = fst_open(path, o->open, &pod->model);
  if (failure) return failure;
  if (!*fst_package_name(pod->model)) {
    fst_text text = {0};
    fst_text_printf(&text, "Error loading config file for neuropod '%s'", path);
    failure = fst_failure_new(FST_FAILED_NOT_FOUND, fst_text_cstr(&text));
    fst_text_deinit(&text);
    return failure;
  }
  fst_text words = {0};
  fst_specs_print(pod->model, &words);
  return fst_failure_from(fst_specs_parse(words.data, words.len, &pod->specs));
}

static fst_failure *remote_open(fst_pod *pod, const char *path, const fst_pod_options *o) {
  char *words;
  size_t len;
  fst_status status = fst_remote_open(path, o, &pod->remote, &words, &len);
  if (!status) status = fst_specs_parse(words, len, &pod->specs);
  return fst_failure_from(status);
}

static fst_failure *missing(const char *path) {
  fst_text text = {0};
  fst_text_printf(&text, "Error loading Neuropod. No file or directory at '%s'", path);
  fst_failure *failure = fst_failure_new(FST_FAILED_NOT_FOUND, fst_text_cstr(&text));
  fst_text_deinit(&text);
  return failure;
}

fst_failure *fst_pod_open(const char *path, const fst_pod_options *options, fst_pod **out) {
  fst_pod_options o = {0};
  struct stat info;
  if (!path || !out) return fst_failure_new(FST_FAILED_INVALID, "fst_pod_open: path and out_pod must be given");
  if (options && (options->size < sizeof options->size || options->size > 65536)) return fst_failure_new(FST_FAILED_INVALID, "fst_pod_options.size is not set");
  if (options) memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
  if (stat(path, &info) != 0) return missing(path);
  fst_pod *pod = calloc(1, sizeof *pod);
  if (!pod) return fst_failure_new(FST_FAILED_RESOURCE, "out of memory");
  pod->no_check = o.no_check;
  pod->strict_symbols = o.strict_symbols;
  pod->is_loaded = !o.load_later;
  fst_failure *failure = o.isolate ? remote_open(pod, path, &o) : model_open(pod, path, &o);
  if (failure) fst_pod_close(pod);
  else *out = pod;
  return failure;
}

fst_failure *fst_pod_load(fst_pod *pod) {
  if (!pod) return fst_failure_new(FST_FAILED_INVALID, "fst_pod_load: pod must be given");
  if (!__atomic_exchange_n(&pod->is_loaded, 1, __ATOMIC_RELAXED)) return NULL;
  return fst_failure_new(FST_FAILED_INVALID, "The model has already been loaded. This usually means that `load_model_at_construction` was set to true (default) or `load_model()` was already explicitly called");
}

void fst_pod_close(fst_pod *pod) {
  if (!pod) return;
  fst_close(pod->model);
  fst_remote_close(pod->remote);
  fst_specs_deinit(&pod->specs);
  free(pod);
}

const char *fst_pod_name(const fst_pod *pod) { return pod->specs.name; }
const char *fst_pod_platform(const fst_pod *pod) {
  (void)pod;
  return "torchscript";  // the compiler opens no others
}
size_t fst_pod_spec_count(const fst_pod *pod, int outputs) { return pod->specs.count[outputs != 0]; }

int fst_pod_spec_get(const fst_pod *pod, int outputs, size_t index, fst_spec *out) {
  if (index >= fst_pod_spec_count(pod, outputs)) return 0;
  *out = pod->specs.rows[outputs != 0][index];
  return 1;
}

fst_failure *fst_pod_infer(fst_pod *pod, const char *const *names, const fst_var *const *values, size_t count, const char *const *outputs, size_t output_count, fst_var **out) {
  if (!pod || !out || (count && (!names || !values)) || (output_count && !outputs)) return fst_failure_new(FST_FAILED_INVALID, "fst_pod_infer: pod, names, values, outputs and out_outputs must be given");
  if (!__atomic_load_n(&pod->is_loaded, __ATOMIC_RELAXED))
    return fst_failure_new(FST_FAILED_INVALID, "The model was not loaded before calling `infer`. This usually means that `load_model_at_construction` was set to false and `load_model()` was not explicitly called");
  if (pod->remote) return fst_failure_from(fst_remote_infer(pod->remote, names, values, count, outputs, output_count, out));
  fst_map_options o = {.size = sizeof o, .no_check = pod->no_check, .strict_symbols = pod->strict_symbols, .outputs = outputs, .output_count = output_count};
  return fst_infer_map(pod->model, names, values, count, &o, out);
}
