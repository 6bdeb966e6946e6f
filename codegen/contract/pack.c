#include "codegen/contract/pack.h"

#include <string.h>

int64_t fst_pack_matrix_elements(const fst_pack *pack) {
  int64_t elements = (pack->columns + pack->panel - 1) / pack->panel * pack->panel;
  for (uint32_t i = 0; i < pack->depth_count; i++) elements *= pack->depth[i];
  return elements;
}

int64_t fst_pack_elements(const fst_pack *pack) {
  int64_t elements = fst_pack_matrix_elements(pack);
  for (uint32_t i = 0; i < pack->batch_count; i++) elements *= pack->batch[i];
  return elements;
}

// Advances a mixed-radix counter and the offset that follows it; false after the last combination.
static int counter_next(int64_t *counter, const int64_t *sizes, const int64_t *steps, uint32_t count, int64_t *offset) {
  for (uint32_t i = count; i-- > 0;) {
    *offset += steps[i];
    if (++counter[i] < sizes[i]) return 1;
    *offset -= steps[i] * sizes[i];
    counter[i] = 0;
  }
  return 0;
}

// One row of a panel: its columns at one combination of summed indices.
static char *pack_row(const fst_pack *pack, const char *from, int64_t first, char *to) {
  for (int64_t c = 0; c < pack->panel; c++, to += pack->element_bytes) {
    if (first + c >= pack->columns) memset(to, 0, pack->element_bytes);
    else memcpy(to, from + (first + c) * pack->column_step * (int64_t)pack->element_bytes, pack->element_bytes);
  }
  return to;
}

static char *pack_matrix(const fst_pack *pack, const char *from, char *to) {
  for (int64_t first = 0; first < pack->columns; first += pack->panel) {
    int64_t counter[FST_PACK_MAX_DIMS] = {0}, offset = 0;
    do to = pack_row(pack, from + offset * (int64_t)pack->element_bytes, first, to);
    while (counter_next(counter, pack->depth, pack->depth_step, pack->depth_count, &offset));
  }
  return to;
}

void fst_pack_run(const fst_pack *pack, const void *from, void *to) {
  if (!fst_pack_elements(pack)) return;
  int64_t counter[FST_PACK_MAX_DIMS] = {0}, offset = pack->base;
  char *at = to;
  do at = pack_matrix(pack, (const char *)from + offset * (int64_t)pack->element_bytes, at);
  while (counter_next(counter, pack->batch, pack->batch_step, pack->batch_count, &offset));
}
