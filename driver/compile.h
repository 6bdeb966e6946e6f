// From a module to the parts of an artifact: code per target, weights, plan.
#ifndef FST_DRIVER_COMPILE_H
#define FST_DRIVER_COMPILE_H

#include "base/plan_write.h"
#include "codegen/codegen.h"
#include "passes/pipeline.h"

typedef struct fst_compile_signature {
  const char *method;      // "forward"
  const char *arguments;   // driver/signature.h; NULL: nothing is said
} fst_compile_signature;

typedef struct fst_compile_request {
  fst_module *module;                            // storages mapped
  const fst_compile_signature *signatures;       // several of one method are tried in this order
  uint32_t signature_count;
  const char *const *methods;                    // every method that callers may use on one instance, compiled or
  uint32_t method_count;                         // not: they decide what is state. 0: all the archive exports
  const char *state;                             // types of the state slots as they are now, `;`-separated; NULL: as saved
  const fst_target *const *targets;
  uint32_t target_count;
  const char *const *archs;                      // CUDA architectures ("sm_90"; "source": the kernels' text); with any of
  uint32_t arch_count;                           // them there is code for a device, too
  bool skips_unknown_archs;                      // that NVRTC does not know
  bool allow_fallback;                           // false: ops without native code are an error that names them all
  bool describe_all;                             // methods without a signature are in the plan too, with nothing to run
  const fst_pipeline_options *options;
} fst_compile_request;

typedef struct fst_code_image { const char *target; void *bytes; size_t len; } fst_code_image;   // of a target, or a file name
typedef FST_VEC(fst_code_image) fst_code_images;
typedef struct fst_compiled {
  fst_plan_tables *tables;    // weights and targets are noted; the caller may add specs, then writes it
  fst_blob *weights;
  fst_code_images images;
  fst_code_images device_images;   // members of FST_PLAN_DEVICE_TARGET, by name
  uint32_t kernel_count, entry_count;
  uint64_t arena_bytes;       // the largest constant part
  fst_text fallbacks;         // a line each, see codegen.h
} fst_compiled;

fst_status fst_compile(const fst_compile_request *request, fst_compiled *out);
void fst_compiled_deinit(fst_compiled *compiled);

// The graph of one method at a stage, for dumps: imported is the archive's own.
fst_status fst_compile_dump(const fst_compile_request *request, const char *method, fst_stage stage, fst_text *out);
// The kernels of the whole module as CUDA C.
fst_status fst_compile_device_text(const fst_compile_request *request, fst_text *out);
// LLVM IR or assembly of the whole module for the request's first target.
fst_status fst_compile_text(const fst_compile_request *request, bool assembly, fst_text *out);
// Names of the methods that may be called from outside, in the archive's order.
void fst_module_methods(const fst_module *module, fst_text *out_comma_separated);

#endif
