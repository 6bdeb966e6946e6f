// Prints the arrays of pickled test data, a line each: name, kind, dtype, sizes, and the elements' bytes or texts in
// hexadecimal. Run by test_pickle.py.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/file.h"
#include "driver/test_data.h"

static void hex_print(const void *bytes, size_t len) {
  for (size_t i = 0; i < len; i++) printf("%02x", ((const unsigned char *)bytes)[i]);
}

static size_t element_bytes(const char *dtype) {
  size_t known = fst_dtype_size(fst_dtype_from_name(dtype, strlen(dtype)));
  return known ? known : strtoul(dtype + strlen("uint"), NULL, 10) / 8;  // uint16 and its like are no dtypes of models
}

static void array_print(const fst_test_array *a) {
  hex_print(a->name, strlen(a->name));
  printf(" %s %s (", a->is_expected ? "output" : "input", a->dtype);
  for (uint32_t d = 0; d < a->rank; d++) printf("%" PRId64 ",", a->sizes[d]);
  printf(") ");
  if (!a->texts) hex_print(a->data, a->count * element_bytes(a->dtype));
  for (uint64_t i = 0; a->texts && i < a->count; i++) {
    hex_print(a->texts[i].bytes, a->texts[i].len);
    printf(",");
  }
  printf("\n");
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  char *bytes;
  size_t len;
  fst_arena arena;
  fst_test_arrays arrays = {0};
  fst_status status = fst_file_read(argv[1], &bytes, &len);
  if (!status) {
    fst_arena_init(&arena);
    status = fst_test_data_read(bytes, len, &arena, &arrays);
    for (size_t i = 0; !status && i < arrays.len; i++) array_print(&arrays.data[i]);
    fst_vec_free(&arrays);
    fst_arena_deinit(&arena);
    free(bytes);
  }
  if (!status) return 0;
  fprintf(stderr, "%s\n", status->message);
  fst_error_free(status);
  return 1;
}
