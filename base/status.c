#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_formatv(const char *fmt, va_list args) {
  va_list copy;
  va_copy(copy, args);
  int len = vsnprintf(NULL, 0, fmt, copy);
  va_end(copy);
  if (len < 0) return NULL;
  char *text = malloc((size_t)len + 1);
  if (text) vsnprintf(text, (size_t)len + 1, fmt, args);
  return text;
}

// Reporting that memory is out needs memory: this stands in when there is none. It is never written to and
// never freed. Each of our libraries has its own copy, and statuses pass between them, so it is known by
// its line, which no real one has.
static char out_of_memory_text[] = "out of memory";
static fst_error out_of_memory = {FST_ERR_RESOURCE, out_of_memory_text, __FILE__, 0};
static int is_static(const fst_error *error) { return error->line == 0; }

fst_status fst_error_makev(const char *file, int line, fst_code code, const char *fmt, va_list args) {
  fst_error *error = malloc(sizeof *error);
  char *message = text_formatv(fmt, args);
  if (!error || !message) {
    free(error);
    free(message);
    return &out_of_memory;
  }
  *error = (fst_error){code, message, file, line};
  return error;
}

fst_status fst_error_make(const char *file, int line, fst_code code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fst_status status = fst_error_makev(file, line, code, fmt, args);
  va_end(args);
  return status;
}

fst_status fst_error_prefix(fst_status status, const char *fmt, ...) {
  if (!status || is_static(status)) return status;
  va_list args;
  va_start(args, fmt);
  char *prefix = text_formatv(fmt, args);
  va_end(args);
  if (!prefix) return status;
  size_t prefix_len = strlen(prefix), message_len = strlen(status->message);
  char *joined = malloc(prefix_len + 2 + message_len + 1);
  if (joined) {
    memcpy(joined, prefix, prefix_len);
    memcpy(joined + prefix_len, ": ", 2);
    memcpy(joined + prefix_len + 2, status->message, message_len + 1);
    free(status->message);
    status->message = joined;
  }
  free(prefix);
  return status;
}

void fst_error_free(fst_status status) {
  if (!status || is_static(status)) return;
  free(status->message);
  free(status);
}

const char *fst_code_name(fst_code code) {
  switch (code) {
    case FST_OK: return "ok";
    case FST_ERR_INVALID: return "invalid argument";
    case FST_ERR_NOT_FOUND: return "not found";
    case FST_ERR_CORRUPT: return "corrupt";
    case FST_ERR_UNSUPPORTED: return "unsupported";
    case FST_ERR_IO: return "i/o error";
    case FST_ERR_RESOURCE: return "out of resources";
    case FST_ERR_MODEL: return "model error";
    case FST_ERR_INTERNAL: return "internal error";
  }
  return "unknown";
}

_Noreturn void fst_assert_fail(const char *file, int line, const char *expr, const char *fmt, ...) {
  fprintf(stderr, "firesteel: internal error at %s:%d: %s: ", file, line, expr);
  va_list args;
  va_start(args, fmt);
  vfprintf(stderr, fmt, args);
  va_end(args);
  fputc('\n', stderr);
  abort();
}
