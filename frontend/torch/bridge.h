// The bridge to libtorch: a library of its own, libfiresteel_torch.so, C++ behind this C header. It reads
// archives (in the compiler worker), runs single ops that have no code of ours and, for comparison or as the
// last resort, whole archives. Only base/bridge_open.h opens it, and it is never closed: libtorch cannot be.
//
// Functions return 0, or an fst_code with *out_error set to a text that the caller frees with free(). No C++
// exception leaves them.
#ifndef FST_FRONTEND_TORCH_BRIDGE_H
#define FST_FRONTEND_TORCH_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bridge_abi.h"
#include "base/meta.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fst_torch_import_options {
  uint32_t size;                   // sizeof this struct
  bool eval;                       // switch every module to evaluation mode first
  const char *const *libraries;    // custom op libraries to open before the archive
  uint32_t library_count;
} fst_torch_import_options;

// The module as text of docs/ir.md, stage `imported`. Tensors whose bytes lie in the archive as they are in
// memory name their place there; the bytes of all others are in the side file, a memory file whose descriptor
// is the caller's. *out_text is freed with free(). `options` may be NULL.
typedef int32_t (*fst_torch_import_fn)(const char *archive_path, const fst_torch_import_options *options, char **out_text, size_t *out_len, int *out_side_fd, char **out_error);
#define FST_TORCH_IMPORT "fst_torch_import"

// What the op gives for arguments of these types and sizes, see base/meta.h. Threads: any.
typedef int32_t (*fst_torch_try_fn)(const char *schema, uint32_t count, const fst_meta_val *args, uint32_t results, fst_meta_val *out, char **out_error);
#define FST_TORCH_TRY "fst_torch_try"

// ---- whole archives in libtorch ----
typedef struct fst_torch_model fst_torch_model;
typedef enum {
  FST_TORCH_AS_IS,
  FST_TORCH_FROZEN,      // eval() and torch::jit::freeze
  FST_TORCH_OPTIMIZED,   // and optimize_for_inference
} fst_torch_mode;

typedef int32_t (*fst_torch_model_open_fn)(const char *archive_path, fst_torch_mode mode, const fst_torch_import_options *options, fst_torch_model **out, char **out_error);
#define FST_TORCH_MODEL_OPEN "fst_torch_model_open"
typedef void (*fst_torch_model_close_fn)(fst_torch_model *model);  // NULL is allowed
#define FST_TORCH_MODEL_CLOSE "fst_torch_model_close"
// Calls a method; the module's own hooks run around its forward. `names[i]` NULL: positional; `names` NULL:
// all are. *out gets a reference for the caller. Lists and dicts that the method wrote are written back.
// An exception of the model is FST_ERR_MODEL with "ClassName: text". Threads: several at once, as in libtorch.
typedef int32_t (*fst_torch_call_method_fn)(fst_torch_model *model, const fst_bridge_host *host, const char *method, int64_t count, const fst_val *args, const char *const *names, fst_val *out, char **out_error);
#define FST_TORCH_CALL_METHOD "fst_torch_call_method"
// Threads inside one op, of the whole process.
typedef void (*fst_torch_set_threads_fn)(int threads);
#define FST_TORCH_SET_THREADS "fst_torch_set_threads"
// Opens a library that registers custom ops.
typedef int32_t (*fst_torch_load_library_fn)(const char *path, char **out_error);
#define FST_TORCH_LOAD_LIBRARY "fst_torch_load_library"

#ifdef __cplusplus
}
#endif

#endif
