#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/model.h"

static char out_of_memory_text[] = "out of memory";
static fst_failure out_of_memory = {.code = FST_FAILED_RESOURCE, .message = out_of_memory_text, .is_static = true};

fst_failure *fst_failure_memory(void) { return &out_of_memory; }

fst_failure *fst_failure_make(int code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fst_status status = fst_error_makev(__FILE__, __LINE__, (fst_code)code, fmt, args);
  va_end(args);
  return fst_failure_of(status);
}

fst_failure *fst_failure_new(int code, const char *message) { return fst_failure_make(code, "%s", message ? message : ""); }

_Static_assert((int)FST_FAILED_INVALID == FST_ERR_INVALID && (int)FST_FAILED_INTERNAL == FST_ERR_INTERNAL, "one numbering of errors");

fst_failure *fst_failure_of(fst_status status) {
  if (!status) return NULL;
  fst_failure *failure = calloc(1, sizeof *failure);
  fst_buf text = {0};
  fst_buf_puts(&text, status->message);
  int code = status->code;
  fst_error_free(status);
  char *message = fst_buf_take(&text);
  if (!failure || !message) {
    free(failure);
    free(message);
    return &out_of_memory;
  }
  failure->code = code;
  failure->message = message;
  return failure;
}

static void location_print(fst_buf *buf, const fst_plan *plan, uint32_t loc) {
  for (int depth = 0; loc; depth++) {
    const fst_plan_loc *at = &plan->locs[loc];
    fst_buf_printf(buf, "%s%s:%u", depth ? " (called from " : "", fst_plan_text(plan, at->file), at->line);
    if (depth) fst_buf_putc(buf, ')');
    loc = at->caller;
  }
}

static char *text_copy(const char *text) {
  fst_buf buf = {0};
  fst_buf_puts(&buf, text);
  return fst_buf_take(&buf);
}

fst_failure *fst_failure_raised(const fst_plan *plan, const fst_raised *raised) {
  if (raised->is_memory) return &out_of_memory;
  fst_failure *failure = calloc(1, sizeof *failure);
  if (!failure) return &out_of_memory;
  fst_buf where = {0}, all = {0};
  if (plan) location_print(&where, plan, raised->loc);
  fst_buf_printf(&all, "%s: %s", raised->cls, raised->message);
  if (where.len) fst_buf_printf(&all, "\n  at %s", where.data);
  failure->code = raised->code ? raised->code : FST_FAILED_MODEL;
  failure->cls = text_copy(raised->cls);
  failure->text = text_copy(raised->message);
  failure->location = fst_buf_take(&where);
  failure->message = fst_buf_take(&all);
  if (failure->message) return failure;
  fst_failure_free(failure);
  return &out_of_memory;
}

int fst_failure_code(const fst_failure *failure) { return failure->code; }
const char *fst_failure_message(const fst_failure *failure) { return failure->message; }
const char *fst_failure_class(const fst_failure *failure) { return failure->cls ? failure->cls : ""; }
const char *fst_failure_text(const fst_failure *failure) { return failure->text ? failure->text : failure->message; }
const char *fst_failure_location(const fst_failure *failure) { return failure->location ? failure->location : ""; }

void fst_failure_free(fst_failure *failure) {
  if (!failure || failure->is_static) return;
  free(failure->message);
  free(failure->cls);
  free(failure->text);
  free(failure->location);
  free(failure);
}
