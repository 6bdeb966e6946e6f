#include "tests/fuzz/fuzz.h"

#include "driver/test_data.h"

// Every array that is accepted is read from end to end.
static unsigned sum;
static void touch(const void *bytes, size_t len) {
  for (size_t i = 0; i < len; i++) sum += ((const unsigned char *)bytes)[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  fst_arena arena;
  fst_test_arrays arrays;
  fst_arena_init(&arena);
  fst_status status = fst_test_data_read(bytes, len, &arena, &arrays);
  for (size_t i = 0; !status && i < arrays.len; i++) {
    const fst_test_array *a = &arrays.data[i];
    if (!a->texts) touch(a->data, a->count);
    for (uint64_t t = 0; a->texts && t < a->count; t++) touch(a->texts[t].bytes, a->texts[t].len);
  }
  fst_error_free(status);
  fst_vec_free(&arrays);
  fst_arena_deinit(&arena);
  return 0;
}
