// The compiler as a library, libfiresteel.so: one table of functions, found by name once the library is
// opened. The command line and the worker use it; so nothing that runs models is linked with LLVM.
//
// Texts and artifacts are returned in malloc'ed memory, to be freed with free(); statuses are the caller's.
// One opened source belongs to one thread at a time.
#ifndef FST_DRIVER_COMPILER_H
#define FST_DRIVER_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FST_COMPILER_VERSION 2

typedef struct fst_source fst_source;

typedef struct fst_compiler_open_options {
  const char *bridge;               // libfiresteel_torch.so; NULL: beside the compiler
  bool eval;                        // switch to evaluation mode first
  const char *const *libraries;     // custom op libraries
  uint32_t library_count;
  const char *archive;              // for IR text: the archive that holds its tensors
} fst_compiler_open_options;

typedef struct fst_compiler_signature {
  const char *method;
  const char *arguments;  // `x: f32[N, 3]; n: int`; NULL: the package's spec, or the declared types
} fst_compiler_signature;

// How passes are run and what is shown of it.
typedef struct fst_compiler_passes {
  bool verify_each, time, stats;
  const char *dump_after;   // comma-separated pass names, or "all"
  const char *stop_after;   // pass or stage
  const char *limit_pass;   // with `limit`: that pass makes only so many changes
  int64_t limit;
  void (*dump)(void *context, const char *pass, const char *text);  // NULL: standard error
  void *dump_context;
} fst_compiler_passes;

typedef struct fst_compiler_options {
  const fst_compiler_signature *signatures;  // none: forward, and every method that takes no tensors
  uint32_t signature_count;
  const char *state;        // as fst_compile_request
  const char *targets;      // comma-separated; NULL: "native"
  bool allow_fallback;
  bool strip_source;        // leave the package's own members out
  fst_compiler_passes passes;
} fst_compiler_options;

// One array of a package's test_data.pkl.
typedef struct fst_test_text { const char *bytes; size_t len; } fst_test_text;
typedef struct fst_test_array {
  const char *name;
  bool is_expected;         // a result, not an input
  const char *dtype;        // "float32", "string", ...
  uint32_t rank;
  const int64_t *sizes;
  uint64_t count;           // elements
  const void *data;         // row-major, native byte order, at any alignment; NULL for strings
  const fst_test_text *texts;
} fst_test_array;
typedef struct fst_test_data {
  const fst_test_array *arrays;  // inputs, then results
  uint32_t count;
  void *owner;
} fst_test_data;

// What `firesteel pack` puts together.
typedef struct fst_pack_options {
  const char *path;             // of the package; must not exist
  const char *name, *platform;  // "torchscript", "python"
  const char *version_range;    // NULL: "*"
  const char *spec;             // JSON with input_spec, output_spec and perhaps input_tensor_device
  size_t spec_len;
  const char *default_device;   // NULL: "GPU"
  const char *model;            // becomes 0/data/model.pt; NULL: none
  const char *root;             // a folder whose files go in as they are; NULL: none
  const char *const *custom_ops;
  uint32_t custom_op_count;
  const char *test_pickle;      // becomes test_data.pkl; or `tests` do
  const fst_test_array *tests;
  uint32_t test_count;
  bool as_folder, stored;       // a folder; or a zip file, compressed unless `stored`
} fst_pack_options;

typedef struct fst_compiler_api {
  uint32_t version;         // FST_COMPILER_VERSION
  const char *description;  // "firesteel 0.1.0, LLVM 19.1.7"

  // An archive, a Neuropod (file or folder) or IR text.
  fst_status (*open)(const char *path, const fst_compiler_open_options *options, fst_source **out);
  void (*close)(fst_source *source);  // NULL is allowed
  fst_status (*compile)(fst_source *source, const fst_compiler_options *options, void **out_artifact, size_t *out_len);
  // A plan without code: methods, their arguments, state.
  fst_status (*describe)(fst_source *source, void **out_artifact, size_t *out_len);
  // `stage`: imported ... planned, llvm, asm. `method` NULL: all of them where the stage is `imported`, else forward.
  fst_status (*dump)(fst_source *source, const fst_compiler_options *options, const char *method, const char *stage, char **out_text);
  // Names of the methods, comma-separated.
  fst_status (*methods)(fst_source *source, char **out_text);

  // What a package's test_data.pkl holds; no arrays when there is none. Not by opening the model: nothing is executed.
  fst_status (*test_data)(const char *package, fst_test_data *out);
  void (*test_data_free)(fst_test_data *data);
  // The bytes of a package's file; FST_ERR_NOT_FOUND.
  fst_status (*package_file)(const char *package, const char *name, void **out_bytes, size_t *out_len);
  fst_status (*pack)(const fst_pack_options *options);

  // Runs named passes over every function of IR text; with `round_trip` also checks that what is printed means the
  // same. `file_name` is for messages.
  fst_status (*opt)(const char *text, size_t len, const char *file_name, const char *pass_names, const fst_compiler_passes *passes, bool round_trip, char **out_text);
  // Name and one line about the pass of this number; false past the last.
  bool (*pass_info)(uint32_t index, const char **out_name, const char **out_doc);
  // The same for the rules of the canonicaliser.
  bool (*rule_info)(uint32_t index, const char **out_name, const char **out_doc);
} fst_compiler_api;

#define FST_COMPILER_SYMBOL "fst_compiler"
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const fst_compiler_api *fst_compiler(void);
typedef const fst_compiler_api *(*fst_compiler_fn)(void);

#endif
