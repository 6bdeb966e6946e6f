#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

// Both tables are open addressing with linear probing, powers of two, at most 3/4 full.

static void *zeroed_array(size_t count, size_t elem) {
  void *data = calloc(count, elem);
  FST_ASSERT(data, "out of memory (%zu elements)", count);
  return data;
}

// ---- map -------------------------------------------------------------------------------------------

static size_t map_slot(const fst_map *map, uint64_t key) {
  size_t mask = map->cap - 1;
  size_t at = (size_t)fst_hash_mix(0, key) & mask;
  while (map->used[at] && map->keys[at] != key) at = (at + 1) & mask;
  return at;
}

static void map_grow(fst_map *map) {
  fst_map old = *map;
  map->cap = old.cap ? old.cap * 2 : 16;
  map->keys = zeroed_array(map->cap, sizeof *map->keys);
  map->values = zeroed_array(map->cap, sizeof *map->values);
  map->used = zeroed_array(map->cap, sizeof *map->used);
  for (size_t i = 0; i < old.cap; i++) {
    if (!old.used[i]) continue;
    size_t at = map_slot(map, old.keys[i]);
    map->keys[at] = old.keys[i];
    map->values[at] = old.values[i];
    map->used[at] = 1;
  }
  free(old.keys);
  free(old.values);
  free(old.used);
}

void fst_map_deinit(fst_map *map) {
  free(map->keys);
  free(map->values);
  free(map->used);
  *map = (fst_map){0};
}

void fst_map_clear(fst_map *map) {
  if (map->cap) memset(map->used, 0, map->cap);
  map->len = 0;
}

void fst_map_set(fst_map *map, uint64_t key, uint64_t value) {
  if (4 * (map->len + 1) > 3 * map->cap) map_grow(map);
  size_t at = map_slot(map, key);
  map->len += !map->used[at];
  map->used[at] = 1;
  map->keys[at] = key;
  map->values[at] = value;
}

bool fst_map_get(const fst_map *map, uint64_t key, uint64_t *out_value) {
  if (map->len == 0) return false;
  size_t at = map_slot(map, key);
  if (!map->used[at]) return false;
  if (out_value) *out_value = map->values[at];
  return true;
}

bool fst_map_remove(fst_map *map, uint64_t key) {
  if (map->len == 0) return false;
  size_t hole = map_slot(map, key);
  if (!map->used[hole]) return false;
  // Later entries of the probe run move back into the hole where their own run passes over it, so that no
  // tombstones are needed.
  size_t mask = map->cap - 1;
  for (size_t at = (hole + 1) & mask; map->used[at]; at = (at + 1) & mask) {
    size_t home = (size_t)fst_hash_mix(0, map->keys[at]) & mask;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    map->keys[hole] = map->keys[at];
    map->values[hole] = map->values[at];
    hole = at;
  }
  map->used[hole] = 0;
  map->len--;
  return true;
}

// ---- strings ---------------------------------------------------------------------------------------

static void strings_table_grow(fst_strings *strings) {
  free(strings->table);
  strings->table_cap = strings->table_cap ? strings->table_cap * 2 : 64;
  strings->table = zeroed_array(strings->table_cap, sizeof *strings->table);
  size_t mask = strings->table_cap - 1;
  for (size_t i = 0; i < strings->len; i++) {
    size_t at = (size_t)strings->items[i].hash & mask;
    while (strings->table[at]) at = (at + 1) & mask;
    strings->table[at] = (uint32_t)i + 1;
  }
}

static void strings_items_grow(fst_strings *strings) {
  size_t cap = strings->cap ? strings->cap * 2 : 64;
  void *moved = realloc(strings->items, cap * sizeof *strings->items);
  FST_ASSERT(moved, "out of memory (%zu strings)", cap);
  strings->items = moved;
  strings->cap = cap;
}

void fst_strings_init(fst_strings *strings) {
  *strings = (fst_strings){0};
  fst_arena_init(&strings->arena);
  fst_intern_n(strings, "", 0);
}

void fst_strings_deinit(fst_strings *strings) {
  fst_arena_deinit(&strings->arena);
  free(strings->items);
  free(strings->table);
  *strings = (fst_strings){0};
}

fst_sym fst_intern_n(fst_strings *strings, const char *text, size_t len) {
  if (4 * (strings->len + 1) > 3 * strings->table_cap) strings_table_grow(strings);
  uint64_t hash = fst_hash_bytes(text, len, 0);
  size_t mask = strings->table_cap - 1;
  size_t at = (size_t)hash & mask;
  for (; strings->table[at]; at = (at + 1) & mask) {
    fst_sym sym = strings->table[at] - 1;
    const struct fst_string *item = &strings->items[sym];
    if (item->hash == hash && item->len == len && (len == 0 || memcmp(item->text, text, len) == 0)) return sym;
  }
  if (strings->len == strings->cap) strings_items_grow(strings);
  FST_ASSERT(strings->len < UINT32_MAX, "too many strings");
  fst_sym sym = (fst_sym)strings->len++;
  strings->items[sym] = (struct fst_string){fst_arena_strndup(&strings->arena, text, len), len, hash};
  strings->table[at] = sym + 1;
  return sym;
}

fst_sym fst_intern(fst_strings *strings, const char *text) { return fst_intern_n(strings, text, strlen(text)); }

const char *fst_sym_text(const fst_strings *strings, fst_sym sym) {
  FST_ASSERT(sym < strings->len, "symbol %u of %zu", sym, strings->len);
  return strings->items[sym].text;
}

size_t fst_sym_len(const fst_strings *strings, fst_sym sym) {
  FST_ASSERT(sym < strings->len, "symbol %u of %zu", sym, strings->len);
  return strings->items[sym].len;
}

// ---- hashing ---------------------------------------------------------------------------------------

// Eight bytes at a time; the tail is zero-padded and told apart by the length.
uint64_t fst_hash_bytes(const void *bytes, size_t len, uint64_t seed) {
  const unsigned char *at = bytes;
  uint64_t h = fst_hash_mix(seed, len);
  size_t left = len;
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    h = fst_hash_mix(h, word);
  }
  if (left) {
    uint64_t word = 0;
    memcpy(&word, at, left);
    h = fst_hash_mix(h, word);
  }
  return h;
}
