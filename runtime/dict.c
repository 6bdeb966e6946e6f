// Insertion-ordered dicts: entries lie in order in `keys` and `values`, `index` is an open-addressing table
// of entry numbers + 1. A removed entry keeps its place (its key has tag UINT32_MAX) until the next rebuild,
// so index slots that lead to it act as tombstones.
#include <stdlib.h>
#include <string.h>

#include "runtime/object.h"

static uint64_t mix(uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdull;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ull;
  return h ^ (h >> 33);
}

static uint64_t double_hash(double value) {
  uint64_t bits;
  if (value == 0) value = 0;  // -0.0 equals 0.0
  memcpy(&bits, &value, sizeof bits);
  return mix(bits);
}

uint64_t fst_val_hash(const fst_val *key) {
  switch (key->tag) {
    case FST_TAG_STR: {
      const fst_str_obj *s = (const fst_str_obj *)key->p;
      uint64_t h = 0xcbf29ce484222325ull;
      for (int64_t i = 0; i < s->len; i++) h = (h ^ (unsigned char)s->bytes[i]) * 0x100000001b3ull;
      return mix(h);
    }
    case FST_TAG_FLOAT: return double_hash(key->f);
    case FST_TAG_COMPLEX: {
      const fst_complex_obj *c = (const fst_complex_obj *)key->p;
      return double_hash(c->re) * 31 + double_hash(c->im);
    }
    case FST_TAG_NONE: return 0;
    default: return mix((uint64_t)key->i);  // ints, and objects by identity
  }
}

int64_t fst_dict_find(const fst_dict_obj *dict, const fst_val *key) {
  if (!dict->index_cap) return -1;
  uint64_t mask = (uint64_t)dict->index_cap - 1;
  for (uint64_t at = fst_val_hash(key) & mask;; at = (at + 1) & mask) {
    uint32_t entry = dict->index[at];
    if (!entry) return -1;
    if (fst_dict_is_live(dict, entry - 1) && fst_val_equal(&dict->keys[entry - 1], key)) return entry - 1;
  }
}

static void index_insert(uint32_t *index, uint64_t mask, const fst_val *key, int64_t entry) {
  uint64_t at = fst_val_hash(key) & mask;
  while (index[at]) at = (at + 1) & mask;
  index[at] = (uint32_t)entry + 1;
}

// Drops removed entries and makes room for at least one more.
static bool dict_rebuild(fst_dict_obj *dict) {
  if (dict->len >= INT32_MAX / 4) return false;
  int64_t cap = dict->len < 4 ? 8 : dict->len * 2;
  int64_t index_cap = 16;
  while (index_cap < cap * 2) index_cap *= 2;
  fst_val *keys = malloc((size_t)cap * sizeof *keys);
  fst_val *values = malloc((size_t)cap * sizeof *values);
  uint32_t *index = calloc((size_t)index_cap, sizeof *index);
  if (!keys || !values || !index) {
    free(keys);
    free(values);
    free(index);
    return false;
  }
  int64_t used = 0;
  for (int64_t i = 0; i < dict->used; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    keys[used] = dict->keys[i];
    values[used] = dict->values[i];
    index_insert(index, (uint64_t)index_cap - 1, &keys[used], used);
    used++;
  }
  free(dict->keys);
  free(dict->values);
  free(dict->index);
  dict->keys = keys;
  dict->values = values;
  dict->index = index;
  dict->used = used;
  dict->cap = cap;
  dict->index_cap = index_cap;
  return true;
}

bool fst_dict_put(fst_dict_obj *dict, const fst_val *key, const fst_val *val, fst_val *out_old) {
  *out_old = fst_val_none();
  int64_t at = fst_dict_find(dict, key);
  if (at >= 0) {
    *out_old = dict->values[at];
    dict->values[at] = *val;
    fst_val_retain(val);
    return true;
  }
  if (dict->used == dict->cap && !dict_rebuild(dict)) return false;
  at = dict->used++;
  dict->keys[at] = *key;
  dict->values[at] = *val;
  fst_val_retain(key);
  fst_val_retain(val);
  dict->len++;
  index_insert(dict->index, (uint64_t)dict->index_cap - 1, key, at);
  return true;
}

void fst_dict_take(fst_dict_obj *dict, int64_t at, fst_val *out_key, fst_val *out_val) {
  *out_key = dict->keys[at];
  *out_val = dict->values[at];
  dict->keys[at].tag = UINT32_MAX;
  dict->values[at] = fst_val_none();
  dict->len--;
}
