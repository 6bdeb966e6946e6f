/* A Neuropod as Neuropod's own API has it: tensors by name, checked against the package's specs; in this process, or in one of its
 * own. What neuropod/neuropod.hh and neuropod/bindings/c/c_api.h stand on; in libneuropod.so.
 *
 * Failures, threads and memory are as in firesteel/firesteel.h: a pod may be used by several threads at once. */
#ifndef FIRESTEEL_POD_H
#define FIRESTEEL_POD_H

#include "firesteel/firesteel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fst_pod fst_pod;

typedef struct fst_pod_options {
  size_t size;                   /* sizeof(fst_pod_options); fields beyond it count as zero */
  const fst_open_options *open;  /* NULL: the defaults */
  int isolate;                   /* run the model in a process of its own: a crash there is an error here, and the next call starts it again,
                                  * with the model's saved state */
  int no_check;                  /* do not compare inputs and outputs with the specs */
  int strict_symbols;            /* a symbol stands for one size in inputs and outputs together */
  int load_later;                /* calls fail until fst_pod_load */
  const char *host;              /* path of firesteel-host; NULL: beside this library, or FIRESTEEL_HOST */
} fst_pod_options;

/* The path of a package, a file or a folder; plain archives are refused. */
FST_API fst_failure *fst_pod_open(const char *path, const fst_pod_options *options, fst_pod **out_pod);
FST_API fst_failure *fst_pod_load(fst_pod *pod);
FST_API void fst_pod_close(fst_pod *pod);  /* NULL is allowed; no call may be running */

/* Valid until the pod is closed. */
FST_API const char *fst_pod_name(const fst_pod *pod);
FST_API const char *fst_pod_platform(const fst_pod *pod);
FST_API size_t fst_pod_spec_count(const fst_pod *pod, int outputs);
FST_API int fst_pod_spec_get(const fst_pod *pod, int outputs, size_t index, fst_spec *out_spec);  /* 0: no such spec */

/* Values are tensors, or lists of strings. `outputs`: names of those that are wanted; none: all. *out_outputs is a new dict. */
FST_API fst_failure *fst_pod_infer(fst_pod *pod, const char *const *names, const fst_var *const *values, size_t count, const char *const *outputs, size_t output_count, fst_var **out_outputs);

#ifdef __cplusplus
}
#endif

#endif
