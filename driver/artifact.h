// Writing artifacts: zip files of stored members at chosen alignments, the same bytes for the same input.
#ifndef FST_DRIVER_ARTIFACT_H
#define FST_DRIVER_ARTIFACT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { FST_ALIGN_CODE = 4096, FST_ALIGN_WEIGHTS = 65536 };

typedef struct fst_member {
  const char *name;
  const void *bytes;
  uint64_t len;
  uint32_t align;  // its bytes start at a multiple of this in the file; 0 or 1: anywhere
} fst_member;

// The members in this order as one file in memory; free() it.
fst_status fst_artifact_pack(const fst_member *members, size_t count, void **out_bytes, size_t *out_len);

#endif
