#include <string.h>

#include "base/dtype.h"
#include "base/text.h"
#include "driver/pack.h"

static void number_put(fst_text *out, uint64_t number, int bytes) {
  for (int i = 0; i < bytes; i++) fst_text_putc(out, (char)(number >> 8 * i));
}

static void str_put(fst_text *out, const char *bytes, size_t len) {
  fst_text_putc(out, 'X');
  number_put(out, len, 4);
  fst_text_append(out, bytes, len);
}

static void cstr_put(fst_text *out, const char *text) { str_put(out, text, strlen(text)); }

static void int_put(fst_text *out, int64_t number) {
  fst_text_puts(out, "\x8a\x08");
  number_put(out, (uint64_t)number, 8);
}

// Python 3 reads bytes of protocol 2 from text: a byte is a code point.
static void bytes_put(fst_text *out, const unsigned char *bytes, size_t len) {
  fst_text text = {0};
  for (size_t i = 0; i < len; i++) {
    if (bytes[i] >= 0x80) fst_text_putc(&text, (char)(0xc0 | bytes[i] >> 6));
    fst_text_putc(&text, (char)(bytes[i] >= 0x80 ? 0x80 | (bytes[i] & 0x3f) : bytes[i]));
  }
  fst_text_puts(out, "c_codecs\nencode\n");
  str_put(out, text.data, text.len);
  cstr_put(out, "latin1");
  fst_text_puts(out, "\x86R");
  fst_text_deinit(&text);
}

// numpy.dtype(word, False, True), then (3, "<", None, None, None, -1, -1, 0).
static void dtype_put(fst_text *out, const char *word) {
  fst_text_puts(out, "cnumpy\ndtype\n");
  cstr_put(out, word);
  fst_text_puts(out, "\x89\x88\x87R(");
  int_put(out, 3);
  cstr_put(out, word[1] == '1' || word[0] == 'O' ? "|" : "<");
  fst_text_puts(out, "NNN");
  int_put(out, -1);
  int_put(out, -1);
  int_put(out, word[0] == 'O' ? 63 : 0);
  fst_text_puts(out, "tb");
}

static fst_status array_put(fst_text *out, const fst_test_array *a) {
  fst_dtype dtype = fst_dtype_from_name(a->dtype, strlen(a->dtype));
  fst_dtype_kind kind = fst_dtype_kind_of(dtype);
  size_t width = fst_dtype_size(dtype);
  const char *letter = kind == FST_KIND_FLOAT ? "f" : kind == FST_KIND_INT ? "i" : kind == FST_KIND_UINT ? "u" : kind == FST_KIND_BOOL ? "b" : NULL;
  if ((!letter && !a->texts) || a->count * (width + 1) > UINT32_MAX / 2) return FST_FAIL(FST_ERR_UNSUPPORTED, "'%s': arrays of %s, or of this size, cannot be kept as test data", a->name, a->dtype);
  fst_text_puts(out, "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n");
  fst_text_putc(out, 'K');
  fst_text_putc(out, 0);
  fst_text_puts(out, "\x85");
  bytes_put(out, (const unsigned char *)"b", 1);
  fst_text_puts(out, "\x87R(K\x01(");
  for (uint32_t d = 0; d < a->rank; d++) int_put(out, a->sizes[d]);
  fst_text_puts(out, "t");
  fst_text word = {0};
  if (a->texts) fst_text_puts(&word, "O8");
  else fst_text_printf(&word, "%s%zu", letter, width);
  dtype_put(out, fst_text_cstr(&word));
  fst_text_deinit(&word);
  fst_text_puts(out, "\x89");
  if (a->texts) {
    fst_text_puts(out, "](");
    for (uint64_t i = 0; i < a->count; i++) str_put(out, a->texts[i].bytes, a->texts[i].len);
    fst_text_puts(out, "e");
  } else {
    bytes_put(out, a->data, a->count * width);
  }
  fst_text_puts(out, "tb");
  return NULL;
}

static fst_status arrays_put(fst_text *out, const fst_test_array *arrays, uint32_t count, bool is_expected) {
  fst_text_puts(out, "}(");
  for (uint32_t i = 0; i < count; i++) {
    if (arrays[i].is_expected != is_expected) continue;
    cstr_put(out, arrays[i].name);
    FST_TRY(array_put(out, &arrays[i]));
  }
  fst_text_puts(out, "u");
  return NULL;
}

fst_status fst_pickle_write_test_data(const fst_test_array *arrays, uint32_t count, fst_text *out) {
  bool has_expected = false;
  for (uint32_t i = 0; i < count; i++) has_expected |= arrays[i].is_expected;
  fst_text_puts(out, "\x80\x02}(");
  cstr_put(out, "test_input");
  FST_TRY(arrays_put(out, arrays, count, false));
  cstr_put(out, "test_output");
  if (has_expected) FST_TRY(arrays_put(out, arrays, count, true));
  else fst_text_puts(out, "N");
  fst_text_puts(out, "u.");
  return NULL;
}
