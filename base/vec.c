#include "base/vec.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/status.h"

void fst_vec_grow(void **data, size_t *cap, size_t len, size_t extra, size_t elem) {
  size_t wanted = len + extra;
  FST_ASSERT(wanted >= len && wanted <= SIZE_MAX / 2 / elem, "array of %zu + %zu elements", len, extra);
  size_t grown = *cap ? *cap * 2 : 8;
  if (grown < wanted) grown = wanted;
  void *moved = realloc(*data, grown * elem);
  FST_ASSERT(moved, "out of memory (%zu bytes)", grown * elem);
  *data = moved;
  *cap = grown;
}

void fst_vec_free_data(void *data) { free(data); }
