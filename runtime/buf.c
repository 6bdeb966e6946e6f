#include "runtime/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fst_buf_deinit(fst_buf *buf) {
  free(buf->data);
  *buf = (fst_buf){0};
}

static bool buf_reserve(fst_buf *buf, size_t extra) {
  if (buf->failed || extra > SIZE_MAX / 4 - buf->len) {
    buf->failed = true;
    return false;
  }
  if (buf->len + extra + 1 <= buf->cap) return true;
  size_t cap = buf->cap ? buf->cap * 2 : 64;
  if (cap < buf->len + extra + 1) cap = buf->len + extra + 1;
  char *data = realloc(buf->data, cap);
  if (!data) {
    buf->failed = true;
    return false;
  }
  buf->data = data;
  buf->cap = cap;
  return true;
}

void fst_buf_add(fst_buf *buf, const char *bytes, size_t len) {
  if (!buf_reserve(buf, len)) return;
  if (len) memcpy(buf->data + buf->len, bytes, len);
  buf->len += len;
  buf->data[buf->len] = '\0';
}

void fst_buf_puts(fst_buf *buf, const char *text) { fst_buf_add(buf, text, strlen(text)); }

void fst_buf_putc(fst_buf *buf, char c) { fst_buf_add(buf, &c, 1); }

void fst_buf_fill(fst_buf *buf, char c, size_t count) {
  if (!buf_reserve(buf, count)) return;
  memset(buf->data + buf->len, c, count);
  buf->len += count;
  buf->data[buf->len] = '\0';
}

void fst_buf_printf(fst_buf *buf, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int need = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  if (need >= 0 && buf_reserve(buf, (size_t)need)) {
    vsnprintf(buf->data + buf->len, (size_t)need + 1, fmt, again);
    buf->len += (size_t)need;
  }
  va_end(again);
}

void fst_buf_json(fst_buf *buf, const char *bytes, size_t len) {
  fst_buf_putc(buf, '"');
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)bytes[i];
    if (c == '"' || c == '\\') fst_buf_printf(buf, "\\%c", c);
    else if (c == '\n') fst_buf_puts(buf, "\\n");
    else if (c < 0x20) fst_buf_printf(buf, "\\u%04x", c);
    else fst_buf_putc(buf, (char)c);
  }
  fst_buf_putc(buf, '"');
}

const char *fst_buf_text(const fst_buf *buf) { return buf->data ? buf->data : ""; }

char *fst_buf_take(fst_buf *buf) {
  if (!buf->failed && !buf->data) fst_buf_add(buf, "", 0);
  char *text = buf->failed ? NULL : buf->data;
  if (buf->failed) free(buf->data);
  *buf = (fst_buf){0};
  return text;
}
