#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

void fst_text_deinit(fst_text *text) {
  free(text->data);
  *text = (fst_text){0};
}

// Room for `extra` more bytes and the final NUL.
static void text_reserve(fst_text *text, size_t extra) {
  if (text->cap - text->len > extra) return;
  void *data = text->data;
  fst_vec_grow(&data, &text->cap, text->len, extra + 1, 1);
  text->data = data;
}

void fst_text_append(fst_text *text, const char *bytes, size_t len) {
  text_reserve(text, len);
  if (len) memcpy(text->data + text->len, bytes, len);
  text->len += len;
  text->data[text->len] = 0;
}

void fst_text_puts(fst_text *text, const char *string) { fst_text_append(text, string, strlen(string)); }

void fst_text_putc(fst_text *text, char c) { fst_text_append(text, &c, 1); }

void fst_text_printf(fst_text *text, const char *fmt, ...) {
  text_reserve(text, 64);
  va_list args;
  va_start(args, fmt);
  int len = vsnprintf(text->data + text->len, text->cap - text->len, fmt, args);
  va_end(args);
  FST_ASSERT(len >= 0, "format \"%s\"", fmt);
  if ((size_t)len >= text->cap - text->len) {
    text_reserve(text, (size_t)len);
    va_start(args, fmt);
    vsnprintf(text->data + text->len, text->cap - text->len, fmt, args);
    va_end(args);
  }
  text->len += (size_t)len;
}

static void text_quote_byte(fst_text *text, unsigned char c) {
  switch (c) {
    case '"': fst_text_puts(text, "\\\""); return;
    case '\\': fst_text_puts(text, "\\\\"); return;
    case '\n': fst_text_puts(text, "\\n"); return;
    case '\r': fst_text_puts(text, "\\r"); return;
    case '\t': fst_text_puts(text, "\\t"); return;
  }
  if (c < 0x20 || c == 0x7f) fst_text_printf(text, "\\x%02x", c);
  else fst_text_putc(text, (char)c);
}

void fst_text_quote(fst_text *text, const char *bytes, size_t len) {
  fst_text_putc(text, '"');
  for (size_t i = 0; i < len; i++) text_quote_byte(text, (unsigned char)bytes[i]);
  fst_text_putc(text, '"');
}

// Shortest by trial: 15 digits are often enough, 17 always are.
void fst_text_double(fst_text *text, double value) {
  if (isnan(value)) {
    fst_text_puts(text, "nan");
    return;
  }
  if (isinf(value)) {
    fst_text_puts(text, value < 0 ? "-inf" : "inf");
    return;
  }
  char digits[40];
  for (int precision = 1; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod(digits, NULL) == value) break;
  }
  fst_text_puts(text, digits);
  if (!strpbrk(digits, ".e")) fst_text_puts(text, ".0");
}

const char *fst_text_cstr(const fst_text *text) { return text->data ? text->data : ""; }
