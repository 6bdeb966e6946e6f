// A Neuropod's config.json: reading it, and writing it byte for byte as Neuropod does.
#ifndef FST_DRIVER_CONFIG_H
#define FST_DRIVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "base/vec.h"

enum { FST_SPEC_RANK_MAX = 16 };
typedef struct fst_config_dim {
  int64_t size;        // -1: any
  const char *symbol;  // or NULL
} fst_config_dim;

typedef struct fst_config_spec {
  const char *name;
  const char *dtype;   // Neuropod's word: "float32", "string"
  uint32_t rank;
  fst_config_dim dims[FST_SPEC_RANK_MAX];
  const char *device;  // inputs: "GPU" or "CPU"; NULL: none was given, which means "GPU"
} fst_config_spec;
typedef FST_VEC(fst_config_spec) fst_config_specs;

typedef struct fst_config {
  const char *name, *platform;
  const char *version_range;            // platform_version_semver; "*" when there is none
  fst_config_specs inputs, outputs;
  FST_VEC(const char *) custom_ops;     // base names below 0/ops/, in loading order
} fst_config;

// Unknown keys are ignored, comments accepted. Texts live in the arena; the lists are freed by fst_config_deinit. On
// failure `out` may be half filled.
fst_status fst_config_read(const char *json, size_t len, fst_arena *arena, fst_config *out);
// {"input_spec": [...], "output_spec": [...]} of a file, and its input_tensor_device; the rest of `out` is left alone.
fst_status fst_config_read_specs(const char *json, size_t len, fst_arena *arena, fst_config *out);
void fst_config_deinit(fst_config *config);  // zeroed ones too

// Python's json.dumps(config, indent=4, sort_keys=True).
void fst_config_print(const fst_config *config, fst_text *out);
// A text as json.dumps writes it: non-ASCII characters as \uXXXX.
void fst_config_quote(fst_text *out, const char *text);

#endif
