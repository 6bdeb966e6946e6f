// Building text: a growable, always NUL-terminated buffer, and the quoting shared by all our formats.
#ifndef FST_BASE_TEXT_H
#define FST_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct fst_text {
  char *data;  // NULL while empty
  size_t len, cap;
} fst_text;

void fst_text_deinit(fst_text *text);
void fst_text_append(fst_text *text, const char *bytes, size_t len);
void fst_text_puts(fst_text *text, const char *string);
void fst_text_printf(fst_text *text, const char *fmt, ...) FST_PRINTF(2, 3);
void fst_text_putc(fst_text *text, char c);
// "..." with \" \\ \n \r \t and \xHH for other bytes below 0x20 and 0x7f; UTF-8 passes through.
void fst_text_quote(fst_text *text, const char *bytes, size_t len);
// The shortest decimal that reads back to the same double, always with '.', 'e', "inf" or "nan" in it.
void fst_text_double(fst_text *text, double value);
const char *fst_text_cstr(const fst_text *text);  // "" while empty

#endif
