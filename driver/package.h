// Neuropod packages, as folders or zip files: their members and what config.json says.
#ifndef FST_DRIVER_PACKAGE_H
#define FST_DRIVER_PACKAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/vec.h"
#include "driver/config.h"

typedef struct fst_package_file {
  const char *name;    // path within the package, with '/'
  const char *bytes;
  uint64_t len;
} fst_package_file;

typedef struct fst_package {
  fst_arena arena;                      // owns everything here
  fst_config config;
  FST_VEC(fst_package_file) files;      // by name; without 0/compiled/, which is made anew
  bool is_zip;
} fst_package;

// Does the path look like a package (a folder or zip file with config.json)? False for what cannot be read.
bool fst_package_is(const char *path);
// Of any platform. FST_ERR_CORRUPT or FST_ERR_NOT_FOUND with Neuropod's own texts where it has one; a manifest.json is
// verified: a package that differs from it is refused.
fst_status fst_package_open(const char *path, fst_package *out);
void fst_package_deinit(fst_package *package);  // half-made and zeroed ones too
// NULL when there is none. In zip files the case of names does not count.
const fst_package_file *fst_package_file_find(const fst_package *package, const char *name);

#endif
