// Neuropod packages, as folders or zip files: their members and what config.json says.
#ifndef FST_DRIVER_PACKAGE_H
#define FST_DRIVER_PACKAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/vec.h"

enum { FST_SPEC_RANK_MAX = 16 };
typedef struct fst_package_dim {
  int64_t size;        // -1: any
  const char *symbol;  // or NULL
} fst_package_dim;

typedef struct fst_package_spec {
  const char *name;
  const char *dtype;   // Neuropod's word: "float32", "string"
  uint32_t rank;
  fst_package_dim dims[FST_SPEC_RANK_MAX];
} fst_package_spec;

typedef struct fst_package_file {
  const char *name;    // path within the package, with '/'
  const char *bytes;
  uint64_t len;
} fst_package_file;

typedef struct fst_package {
  fst_arena arena;                // owns everything here
  const char *name;
  FST_VEC(fst_package_spec) inputs, outputs;
  FST_VEC(const char *) custom_ops;     // member names below 0/ops/, in loading order
  FST_VEC(fst_package_file) files;      // by name; without 0/compiled/, which is made anew
  const fst_package_file *model;        // 0/data/model.pt
} fst_package;

// Does the path look like a package (a folder or zip file with config.json)? False for what cannot be read.
bool fst_package_is(const char *path);
// FST_ERR_CORRUPT, FST_ERR_UNSUPPORTED (another platform than torchscript) or FST_ERR_NOT_FOUND with Neuropod's own
// texts where it has one.
fst_status fst_package_open(const char *path, fst_package *out);
void fst_package_deinit(fst_package *package);  // half-made and zeroed ones too

#endif
