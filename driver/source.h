// What is compiled, opened: an archive, a Neuropod around one, or IR text.
#ifndef FST_DRIVER_SOURCE_H
#define FST_DRIVER_SOURCE_H

#include "base/plan_write.h"
#include "driver/package.h"
#include "frontend/import.h"
#include "ir/graph.h"

typedef struct fst_source {
  const char *name;         // base name, for the plan and for messages
  fst_import import;        // module and mappings; the module alone for IR text
  fst_package package;      // zeroed when the source is not a Neuropod
  bool is_package;
  int model_fd;             // memory file that holds the package's archive, or -1
  fst_arena arena;
} fst_source;

typedef struct fst_source_options {
  const char *bridge;               // libfiresteel_torch.so; NULL: beside the compiler
  bool eval;
  const char *const *libraries;     // custom op libraries
  uint32_t library_count;
  const char *archive;              // for IR text: where the bytes of its tensors are; NULL: it has none
} fst_source_options;

fst_status fst_source_open(const char *path, const fst_source_options *options, fst_source *out);
void fst_source_deinit(fst_source *source);  // half-made and zeroed ones too

// The signature text (driver/signature.h) of `method` as the package's input spec has it, in `out`; nothing is
// added when the source is no package or the method is not `forward`.
fst_status fst_source_signature(const fst_source *source, const char *method, fst_text *out);
// The archive's `_extra_files` (licences, notes) as a JSON object: short texts whole, of others their size.
void fst_source_extra_files(const fst_source *source, fst_text *out);
// The package's specs into the plan.
void fst_source_specs(const fst_source *source, fst_plan_tables *tables);

// The function behind an exported method, or NULL.
fst_graph *fst_source_method(const fst_source *source, const char *method);
// May the method be called with no tensors at all: is each argument an int, a float, a bool, a string, or has it a
// default? Such methods need no signature to be compiled ahead of time.
bool fst_source_method_is_plain(const fst_source *source, const char *method);

#endif
