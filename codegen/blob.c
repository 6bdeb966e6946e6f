// weights.bin as it grows: byte strings, deduplicated by content.
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/vec.h"
#include "codegen/codegen.h"

enum { BLOB_ALIGN = 64 };

typedef struct blob_entry {
  uint64_t offset, len;
  uint64_t next;  // entry number + 1 of another with the same hash
} blob_entry;

struct fst_blob {
  FST_VEC(char) bytes;
  FST_VEC(blob_entry) entries;
  fst_map by_hash;  // content hash -> entry number + 1
};

fst_blob *fst_blob_create(void) {
  fst_blob *blob = calloc(1, sizeof *blob);
  FST_ASSERT(blob, "out of memory");
  return blob;
}

void fst_blob_destroy(fst_blob *blob) {
  if (!blob) return;
  fst_vec_free(&blob->bytes);
  fst_vec_free(&blob->entries);
  fst_map_deinit(&blob->by_hash);
  free(blob);
}

static bool blob_find(const fst_blob *blob, uint64_t first, const void *bytes, uint64_t len, uint64_t *out_offset) {
  for (uint64_t at = first; at; at = blob->entries.data[at - 1].next) {
    const blob_entry *entry = &blob->entries.data[at - 1];
    if (entry->len != len || memcmp(blob->bytes.data + entry->offset, bytes, len)) continue;
    *out_offset = entry->offset;
    return true;
  }
  return false;
}

uint64_t fst_blob_add(fst_blob *blob, const void *bytes, uint64_t len) {
  if (!len) return 0;
  uint64_t hash = fst_hash_bytes(bytes, len, len), first = 0, offset = 0;
  fst_map_get(&blob->by_hash, hash, &first);
  if (blob_find(blob, first, bytes, len, &offset)) return offset;
  offset = blob->bytes.len;
  uint64_t padded = (len + BLOB_ALIGN - 1) / BLOB_ALIGN * BLOB_ALIGN;
  fst_vec_reserve(&blob->bytes, padded);
  memcpy(blob->bytes.data + offset, bytes, len);
  memset(blob->bytes.data + offset + len, 0, padded - len);
  blob->bytes.len += padded;
  blob_entry entry = {offset, len, first};
  fst_vec_push(&blob->entries, entry);
  fst_map_set(&blob->by_hash, hash, blob->entries.len);
  return offset;
}

const void *fst_blob_data(const fst_blob *blob, uint64_t *out_len) {
  *out_len = blob->bytes.len;
  return blob->bytes.data;
}
