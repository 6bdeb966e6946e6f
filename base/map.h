// One hash map (64-bit key to 64-bit value) and one string interner; nothing else hashes.
#ifndef FST_BASE_MAP_H
#define FST_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

// Zero-initialised is empty. Iteration order is unspecified: never iterate a map into output.
typedef struct fst_map {
  uint64_t *keys, *values;
  uint8_t *used;
  size_t len, cap;
} fst_map;
void fst_map_deinit(fst_map *map);
void fst_map_clear(fst_map *map);
void fst_map_set(fst_map *map, uint64_t key, uint64_t value);
bool fst_map_get(const fst_map *map, uint64_t key, uint64_t *out_value);
bool fst_map_remove(fst_map *map, uint64_t key);

// Interned strings: equal texts have equal ids. Id 0 is the empty string. May hold embedded NULs.
typedef uint32_t fst_sym;
typedef struct fst_strings {
  fst_arena arena;
  struct fst_string {
    const char *text;  // NUL-terminated
    size_t len;
    uint64_t hash;
  } *items;
  size_t len, cap;
  uint32_t *table;
  size_t table_cap;
} fst_strings;
void fst_strings_init(fst_strings *strings);
void fst_strings_deinit(fst_strings *strings);
fst_sym fst_intern(fst_strings *strings, const char *text);
fst_sym fst_intern_n(fst_strings *strings, const char *text, size_t len);
const char *fst_sym_text(const fst_strings *strings, fst_sym sym);
size_t fst_sym_len(const fst_strings *strings, fst_sym sym);

uint64_t fst_hash_bytes(const void *bytes, size_t len, uint64_t seed);
static inline uint64_t fst_hash_mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
  h *= 0xff51afd7ed558ccdu;
  return h ^ (h >> 33);
}

#endif
