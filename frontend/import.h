// From an archive on disk to a module whose tensors are mapped.
#ifndef FST_FRONTEND_IMPORT_H
#define FST_FRONTEND_IMPORT_H

#include <stdbool.h>

#include "base/file.h"
#include "base/meta.h"
#include "base/status.h"
#include "base/text.h"

struct fst_module;

typedef struct fst_import_options {
  const char *bridge;               // libfiresteel_torch.so; NULL: beside this library
  bool eval;                        // switch to evaluation mode
  const char *const *libraries;     // custom op libraries to open first
  uint32_t library_count;
} fst_import_options;

typedef struct fst_import {
  struct fst_module *module;        // stage `imported`, verified, storages mapped
  fst_mapping archive, side;        // outlive the module
  fst_meta_trial trial;             // of ops, by the bridge that imported; run NULL: there is none
} fst_import;

// `options` may be NULL. The file must not change while the import lives.
fst_status fst_import_archive(const char *path, const fst_import_options *options, fst_import *out);
void fst_import_deinit(fst_import *import);  // half-made and zeroed ones too

// The importer's text as it is, before it is parsed, for tests and for looking at failures.
fst_status fst_import_text(const char *path, const fst_import_options *options, fst_text *out_text, fst_mapping *out_side);

#endif
