#include "driver/test_data.h"

#include <string.h>

#include "driver/pickle_internal.h"

typedef fst_pickle_value value;

// What a pickle's few bytes may become: memory for conversions is bounded by its length, however often it mentions an array.
enum { LARGEST_RATIO = 64, SMALL = 1 << 20 };
typedef struct reading {
  fst_arena *arena;
  uint64_t left;       // bytes that may still be made
} reading;

// ---- elements --------------------------------------------------------------------------------------

// Position in the pickle's memory of the element at a row-major position.
static int64_t source_index(const value *array, int64_t position) {
  if (!array->is_fortran) return position;
  int64_t index = 0, stride = 1, strides[FST_PICKLE_RANK_MAX];
  for (int d = 0; d < array->rank; d++) {
    strides[d] = stride;
    stride *= array->sizes[d];
  }
  for (int d = array->rank - 1; d >= 0; d--) {
    index += position % array->sizes[d] * strides[d];
    position /= array->sizes[d];
  }
  return index;
}

static const char *numbers_copy(fst_arena *arena, const value *array, int64_t count) {
  int64_t width = array->dtype->width;
  if (!array->is_fortran && (array->dtype->order != '>' || width == 1)) return array->bytes;
  char *out = fst_arena_alloc(arena, (size_t)(count * width) + 1);
  for (int64_t i = 0; i < count; i++) {
    const char *from = array->bytes + source_index(array, i) * width;
    for (int64_t b = 0; b < width; b++) out[i * width + b] = from[array->dtype->order == '>' ? width - 1 - b : b];
  }
  return out;
}

// UTF-32 with NULs behind, as UTF-8.
static void wide_text(fst_arena *arena, const char *bytes, int64_t width, bool is_big, fst_test_text *out) {
  fst_text text = {0};
  size_t len = 0;
  for (int64_t i = 0; i + 4 <= width; i += 4) {
    uint32_t c = 0;
    for (int b = 0; b < 4; b++) c |= (uint32_t)(unsigned char)bytes[i + b] << 8 * (is_big ? 3 - b : b);
    fst_pickle_utf8(&text, c > 0x10ffff ? 0xfffd : c);
    if (c) len = text.len;
  }
  *out = (fst_test_text){fst_arena_strndup(arena, fst_text_cstr(&text), len), len};
  fst_text_deinit(&text);
}

static fst_status texts_copy(fst_arena *arena, const value *array, int64_t count, fst_test_text **out) {
  fst_test_text *texts = FST_NEW_ARRAY(arena, fst_test_text, count + 1);
  int64_t width = array->dtype->width;
  for (int64_t i = 0; i < count; i++) {
    int64_t at = source_index(array, i);
    if (array->dtype->type == 'O') {
      const value *item = array->items[at];
      if (item->kind != FST_PICKLE_STR && item->kind != FST_PICKLE_BYTES) return FST_FAIL(FST_ERR_UNSUPPORTED, "it holds objects that are no texts");
      texts[i] = (fst_test_text){item->bytes, item->len};
    } else if (array->dtype->type == 'U') {
      wide_text(arena, array->bytes + at * width, width, array->dtype->order == '>', &texts[i]);
    } else {
      const char *bytes = array->bytes + at * width;
      size_t len = (size_t)width;
      while (len && !bytes[len - 1]) len--;
      texts[i] = (fst_test_text){fst_arena_strndup(arena, bytes, len), len};
    }
  }
  *out = texts;
  return NULL;
}

// ---- arrays ----------------------------------------------------------------------------------------

static const char *dtype_word(fst_arena *arena, const value *dtype) {
  switch (dtype->type) {
    case 'U': case 'S': case 'O': return "string";
    case 'b': return "bool";
    default: return fst_arena_printf(arena, "%s%d", dtype->type == 'f' ? "float" : dtype->type == 'i' ? "int" : "uint", (int)dtype->width * 8);
  }
}

static fst_status array_read(reading *r, const value *name, const value *v, bool is_expected, fst_test_array *out) {
  if (name->kind != FST_PICKLE_STR && name->kind != FST_PICKLE_BYTES) return FST_FAIL(FST_ERR_CORRUPT, "it names an array by what is no text");
  if (v->kind != FST_PICKLE_ARRAY || !v->dtype) return FST_FAIL(FST_ERR_UNSUPPORTED, "'%s' is no numpy array", name->bytes);
  int64_t count = 1;
  for (int d = 0; d < v->rank; d++) count *= v->sizes[d];
  *out = (fst_test_array){.name = name->bytes, .is_expected = is_expected, .dtype = dtype_word(r->arena, v->dtype), .rank = (uint32_t)v->rank, .sizes = v->sizes, .count = (uint64_t)count};
  bool is_text = !strcmp(out->dtype, "string");
  uint64_t cost = sizeof *out + (uint64_t)count * ((uint64_t)v->dtype->width + (is_text ? 2 * sizeof(fst_test_text) : 0));
  if ((uint64_t)count > r->left || cost > r->left) return FST_FAIL(FST_ERR_CORRUPT, "its arrays would take far more memory than the file has bytes");
  r->left -= cost;
  if (!is_text) {
    out->data = numbers_copy(r->arena, v, count);
    return NULL;
  }
  fst_test_text *texts;
  FST_TRY(texts_copy(r->arena, v, count, &texts));
  out->texts = texts;
  return NULL;
}

static fst_status arrays_read(reading *r, const value *dict, const char *key, bool is_expected, fst_test_arrays *out) {
  if (dict && dict->kind == FST_PICKLE_NONE) return NULL;
  if (!dict || dict->kind != FST_PICKLE_DICT) return FST_FAIL(FST_ERR_CORRUPT, "it has no dict '%s'", key);
  for (size_t i = 0; i < dict->count; i += 2) {
    fst_test_array array;
    FST_TRY(array_read(r, dict->items[i], dict->items[i + 1], is_expected, &array));
    fst_vec_push(out, array);
  }
  return NULL;
}

fst_status fst_test_data_read(const void *pickle, size_t len, fst_arena *arena, fst_test_arrays *out) {
  *out = (fst_test_arrays){0};
  reading r = {arena, (uint64_t)len * LARGEST_RATIO + SMALL};
  value *root;
  FST_TRY(fst_pickle_read(pickle, len, arena, &root));
  if (root->kind != FST_PICKLE_DICT) return FST_FAIL(FST_ERR_CORRUPT, "it is no dict");
  FST_TRY(arrays_read(&r, fst_pickle_get(root, "test_input"), "test_input", false, out));
  const value *expected = fst_pickle_get(root, "test_output");
  return expected ? arrays_read(&r, expected, "test_output", true, out) : NULL;
}
