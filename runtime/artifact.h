// A compiled model, opened: plan checked, code mapped executable, weights mapped, constants made. Shared by
// all instances of the model; counted; immutable once open, so any number of threads may use it.
#ifndef FST_RUNTIME_ARTIFACT_H
#define FST_RUNTIME_ARTIFACT_H

#include <stdbool.h>

#include "base/abi.h"
#include "base/status.h"
#include "include/firesteel/firesteel.h"
#include "runtime/device.h"
#include "runtime/plan.h"

typedef struct fst_artifact_options {
  const char *target;     // take this one of the artifact's targets; NULL: the best that this CPU runs
  bool copy_weights;      // into memory of huge pages, instead of mapping the file
  bool verify_weights;
  fst_accel *accel;       // take the code for a device and put weights and kernels there; NULL: the CPU. Borrowed
} fst_artifact_options;

typedef struct fst_region { char *base; size_t bytes; } fst_region;  // an mmap, unmapped with the artifact

typedef struct fst_artifact {
  uint32_t refs;           // atomic
  char *name;              // for messages: the file's path
  fst_plan plan;
  void *plan_bytes;
  fst_region code_region, weights_region;
  const fst_code_header *code;
  const char *weights;     // in the host's memory; with a device until they are there
  uint32_t target;         // of the plan's targets
  fst_val *consts;         // immortal
  fst_storage_obj **storages;
  fst_accel *accel;        // held; NULL: the CPU
  fst_storage_obj *device_weights;
  fst_image *image;
  fst_function **functions;  // by row of the plan's kernels
  uint32_t image_row;      // of the plan's images
  void *library;           // of dlopen: a shared object that all the bytes lie in; or NULL
} fst_artifact;

// FST_ERR_NOT_FOUND: the file is there but holds no compiled code (an archive, a package not yet compiled).
// Takes zip files and unpacked packages (folders).
fst_status fst_artifact_open(const char *path, const fst_artifact_options *options, fst_artifact **out);
fst_status fst_artifact_open_fd(int fd, const char *name, const fst_artifact_options *options, fst_artifact **out);
fst_status fst_artifact_open_memory(const void *bytes, size_t len, const char *name, const fst_artifact_options *options, fst_artifact **out);
fst_status fst_artifact_open_embedded(const fst_embedded *embedded, const fst_artifact_options *options, fst_artifact **out);
void fst_artifact_retain(fst_artifact *artifact);
void fst_artifact_release(fst_artifact *artifact);  // NULL is allowed

// Does this CPU run code for the feature level of this name?
bool fst_cpu_runs(const char *target);
static inline fst_entry fst_artifact_entry(const fst_artifact *artifact, uint32_t entry) {
  // From data to code: the one place where an address of the image becomes a function.
  union { const char *at; fst_entry call; } u = {.at = (const char *)artifact->code + artifact->code->entries[entry]};
  return u.call;
}
// Where the code finds weights.bin.
static inline const char *fst_artifact_weights(const fst_artifact *artifact) { return artifact->device_weights ? artifact->device_weights->data : artifact->weights; }
fst_status fst_artifact_check_weights(const fst_artifact *artifact);

#endif
