#include <stdio.h>
#include <string.h>

#include "runtime/call.h"
#include "runtime/calls.h"
#include "runtime/format.h"
#include "runtime/object.h"

int32_t fst_call_raise(fst_call *call, int64_t cls, void *message, int64_t loc) {
  fst_ctx *ctx = fst_ctx_of(call);
  const fst_str_obj *text = message;
  bool known = ctx->plan && cls >= 0 && cls < (int64_t)ctx->plan->exceptions_count;
  const char *name = known ? fst_plan_text(ctx->plan, ctx->plan->exceptions[cls]) : "RuntimeError";
  // Archives carry the qualified name; people know the short one.
  const char *builtins = "builtins.";
  if (strncmp(name, builtins, strlen(builtins)) == 0) name += strlen(builtins);
  return fst_ctx_raise_text(ctx, name, loc, text->bytes, (size_t)text->len);
}

int32_t fst_call_raise_text(fst_call *call, int64_t text, int64_t count, const void *numbers, int64_t loc) {
  fst_ctx *ctx = fst_ctx_of(call);
  bool known = ctx->plan && text >= 0 && text < (int64_t)ctx->plan->messages_count;
  const char *form = known ? fst_plan_text(ctx->plan, ctx->plan->messages[text]) : "an operation failed";
  fst_buf buf = {0};
  const int64_t *next = numbers, *end = next ? next + count : next;
  while (*form) {
    if (next < end && form[0] == '{' && form[1] == '}') {
      fst_buf_printf(&buf, "%lld", (long long)*next++);
      form += 2;
    } else {
      fst_buf_putc(&buf, *form++);
    }
  }
  // "IndexError: text" names its own class.
  const char *all = fst_buf_text(&buf), *colon = strstr(all, "Error: ");
  char cls[64] = "RuntimeError";
  size_t skip = 0, word = colon ? (size_t)(colon - all) + 5 : 0;
  if (word && word < sizeof cls && strcspn(all, " ") > word) {
    memcpy(cls, all, word);
    cls[word] = '\0';
    skip = word + 2;
  }
  int32_t status = buf.failed ? fst_ctx_raise_memory(ctx) : fst_ctx_raise_text(ctx, cls, loc, all + skip, strlen(all + skip));
  fst_buf_deinit(&buf);
  return status;
}

void fst_call_located(fst_call *call, int64_t loc) {
  fst_ctx *ctx = fst_ctx_of(call);
  bool known = loc > 0 && ctx->plan && loc < (int64_t)ctx->plan->locs_count;
  if (ctx->raised.set && !ctx->raised.loc && known) ctx->raised.loc = (uint32_t)loc;
}

void fst_call_print(fst_call *call, int64_t count, const void *vals) {
  const fst_val *v = vals;
  fst_buf buf = {0};
  for (int64_t i = 0; i < count; i++) {
    if (i) fst_buf_putc(&buf, ' ');
    fst_format_val(&buf, fst_ctx_of(call)->plan, &v[i]);
  }
  fst_buf_putc(&buf, '\n');
  // One write, so that lines of concurrent calls do not mix.
  if (!buf.failed) fwrite(buf.data, 1, buf.len, stdout);
  fflush(stdout);
  fst_buf_deinit(&buf);
}

void fst_call_warn(fst_call *call, void *message, int64_t stacklevel, int64_t loc) {
  (void)stacklevel;  // the model's own line is what the user can look up
  fst_ctx *ctx = fst_ctx_of(call);
  const fst_str_obj *text = message;
  fst_buf buf = {0};
  if (ctx->plan && loc > 0 && loc < (int64_t)ctx->plan->locs_count) {
    const fst_plan_loc *at = &ctx->plan->locs[loc];
    fst_buf_printf(&buf, "%s:%u: ", fst_plan_text(ctx->plan, at->file), at->line);
  }
  fst_buf_puts(&buf, "UserWarning: ");
  fst_buf_add(&buf, text->bytes, (size_t)text->len);
  fst_buf_putc(&buf, '\n');
  if (!buf.failed) fwrite(buf.data, 1, buf.len, stderr);
  fst_buf_deinit(&buf);
}
