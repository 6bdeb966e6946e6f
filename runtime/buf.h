// Text under construction in the host process: like fst_text, but running out of memory only marks the
// buffer as failed, because the runtime never ends its host.
#ifndef FST_RUNTIME_BUF_H
#define FST_RUNTIME_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct fst_buf {
  char *data;  // NUL-terminated once anything was added; NULL while empty
  size_t len, cap;
  bool failed;
} fst_buf;

void fst_buf_deinit(fst_buf *buf);
void fst_buf_add(fst_buf *buf, const char *bytes, size_t len);
void fst_buf_puts(fst_buf *buf, const char *text);
void fst_buf_putc(fst_buf *buf, char c);
void fst_buf_fill(fst_buf *buf, char c, size_t count);
void fst_buf_printf(fst_buf *buf, const char *fmt, ...) FST_PRINTF(2, 3);
void fst_buf_json(fst_buf *buf, const char *bytes, size_t len);  // as a quoted JSON string
const char *fst_buf_text(const fst_buf *buf);                     // "" while empty
// The malloc'ed text (NULL after a failure); the buffer is empty again.
char *fst_buf_take(fst_buf *buf);

#endif
