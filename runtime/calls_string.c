// Strings. They are bytes, as TorchScript's are: indices count bytes, case and character classes are ASCII.
// Where TorchScript's methods differ from Python's (a range whose end lies before its start, zfill after a
// sign, split by blanks with a limit, splitlines), these differ in the same way; the record that the test
// holds them against is PyTorch's own.
#include <string.h>

#include "base/strops.h"
#include "runtime/buf.h"
#include "runtime/call.h"
#include "runtime/calls.h"
#include "runtime/format.h"
#include "runtime/object.h"

// The text of a finished buffer as a pooled string object.
static fst_str_obj *buf_own(fst_ctx *ctx, fst_buf *buf) {
  fst_str_obj *str = buf->failed ? NULL : fst_str_make(fst_buf_text(buf), (int64_t)buf->len);
  fst_buf_deinit(buf);
  return fst_ctx_own(ctx, str, FST_TAG_STR, sizeof *str + 1);
}

static fst_str_obj *bytes_own(fst_ctx *ctx, const char *bytes, int64_t len) {
  return fst_ctx_own(ctx, fst_str_make(bytes, len), FST_TAG_STR, sizeof(fst_str_obj) + 1);
}

void *fst_call_str_concat(fst_call *call, void *a, void *b) {
  const fst_str_obj *x = a, *y = b;
  fst_str_obj *out = fst_str_make(NULL, x->len + y->len);
  if (out) {
    memcpy(out->bytes, x->bytes, (size_t)x->len);
    memcpy(out->bytes + x->len, y->bytes, (size_t)y->len);
  }
  return fst_ctx_own(fst_ctx_of(call), out, FST_TAG_STR, sizeof *out + 1);
}

int64_t fst_call_str_compare(fst_call *call, void *a, void *b) {
  (void)call;
  fst_val x = fst_val_obj(a), y = fst_val_obj(b);
  int order = 0;
  fst_val_compare(&x, &y, &order);
  return order;
}

void *fst_call_format(fst_call *call, void *fmt, int64_t count, const void *vals) {
  fst_ctx *ctx = fst_ctx_of(call);
  const fst_str_obj *form = fmt;
  const fst_val *v = vals;
  fst_buf buf = {0};
  int64_t used = 0, from = 0;
  for (int64_t i = 0; i + 1 < form->len; i++) {
    if (form->bytes[i] != '{' || form->bytes[i + 1] != '}') continue;
    fst_buf_add(&buf, form->bytes + from, (size_t)(i - from));
    if (used == count) {
      fst_ctx_raise(ctx, "RuntimeError", 0, "Too few arguments for format string: %.200s", form->bytes);
      break;
    }
    fst_format_val(&buf, ctx->plan, &v[used++]);
    from = ++i + 1;
  }
  fst_buf_add(&buf, form->bytes + from, (size_t)(form->len - from));
  return buf_own(ctx, &buf);
}

void *fst_call_str_of(fst_call *call, const void *val) {
  fst_ctx *ctx = fst_ctx_of(call);
  fst_buf buf = {0};
  fst_format_val(&buf, ctx->plan, val);
  return buf_own(ctx, &buf);
}

// ---- the methods of str_op: each gets its operands and fills *out ----

typedef struct op_args {
  fst_ctx *ctx;
  const fst_val *v;
  int64_t count;
  fst_val *out;
} op_args;

static const fst_str_obj *arg_str(const op_args *a, int i) { return (const fst_str_obj *)a->v[i].p; }

static int32_t give_bytes(op_args *a, const char *bytes, int64_t len) {
  *a->out = fst_val_obj(bytes_own(a->ctx, bytes, len));
  return a->ctx->raised.set;
}

static int32_t give_buf(op_args *a, fst_buf *buf) {
  *a->out = fst_val_obj(buf_own(a->ctx, buf));
  return a->ctx->raised.set;
}

static int32_t give_int(op_args *a, int64_t i) {
  *a->out = fst_val_int(i);
  return 0;
}

static int32_t give_bool(op_args *a, bool b) {
  *a->out = fst_val_bool(b);
  return 0;
}

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_alpha(char c) { return is_lower(c) || is_upper(c); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static char to_lower(char c) { return is_upper(c) ? (char)(c + 32) : c; }
static char to_upper(char c) { return is_lower(c) ? (char)(c - 32) : c; }

// ---- searching ----

// First (or last) position of `what` in [from, to), or -1.
static int64_t bytes_find(const char *bytes, int64_t from, int64_t to, const fst_str_obj *what, bool last) {
  int64_t n = to - from - what->len;
  if (n < 0) return -1;
  for (int64_t k = 0; k <= n; k++) {
    int64_t at = last ? from + n - k : from + k;
    if (memcmp(bytes + at, what->bytes, (size_t)what->len) == 0) return at;
  }
  return -1;
}

// start and end as these methods take them: -1 is the end itself.
static void range_clamp(const fst_str_obj *s, int64_t *start, int64_t *end) {
  if (*start < 0) *start = *start < -s->len ? 0 : *start + s->len;
  if (*end < 0) *end = *end < -s->len - 1 ? 0 : *end + s->len + 1;
  if (*end > s->len) *end = s->len;
}

static int32_t range_error(op_args *a) { return fst_ctx_raise(a->ctx, "IndexError", 0, "the start lies beyond the end of the string"); }

static int32_t op_find(op_args *a, bool last, bool must) {
  const fst_str_obj *s = arg_str(a, 0), *what = arg_str(a, 1);
  int64_t start = a->v[2].i, end = a->v[3].i;
  range_clamp(s, &start, &end);
  if (start > s->len) return range_error(a);
  int64_t at = bytes_find(s->bytes, start, end < start ? start : end, what, last);
  if (at < 0 && must) return fst_ctx_raise(a->ctx, "ValueError", 0, "substring not found");
  return give_int(a, at);
}

static int32_t op_count(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0), *what = arg_str(a, 1);
  int64_t start = a->v[2].i, end = a->v[3].i, n = 0;
  range_clamp(s, &start, &end);
  if (start > end) return give_int(a, 0);
  if (what->len == 0) return give_int(a, end - start + 1);
  // As TorchScript has it, an occurrence counts when it starts before the end.
  for (int64_t at; (at = bytes_find(s->bytes, start, s->len, what, false)) >= 0 && at < end; start = at + what->len) n++;
  return give_int(a, n);
}

static int32_t op_affix(op_args *a, bool suffix) {
  const fst_str_obj *s = arg_str(a, 0), *what = arg_str(a, 1);
  int64_t start = a->v[2].i, end = a->v[3].i;
  range_clamp(s, &start, &end);
  if (start > s->len) return range_error(a);
  if (end < start) end = s->len;
  if (what->len > end - start) return give_bool(a, false);
  return give_bool(a, memcmp(s->bytes + (suffix ? end - what->len : start), what->bytes, (size_t)what->len) == 0);
}

// ---- classes ----

static int32_t op_all(op_args *a, bool (*is)(char)) {
  const fst_str_obj *s = arg_str(a, 0);
  for (int64_t i = 0; i < s->len; i++)
    if (!is(s->bytes[i])) return give_bool(a, false);
  return give_bool(a, s->len > 0);
}

static bool is_alnum(char c) { return is_alpha(c) || is_digit(c); }
static bool is_print(char c) { return c >= ' ' && c <= '~'; }

static int32_t op_isprintable(op_args *a) { return arg_str(a, 0)->len ? op_all(a, is_print) : give_bool(a, true); }

// Some letter, and none of the other case.
static int32_t op_iscase(op_args *a, bool (*wanted)(char), bool (*unwanted)(char)) {
  const fst_str_obj *s = arg_str(a, 0);
  bool any = false;
  for (int64_t i = 0; i < s->len; i++) {
    if (unwanted(s->bytes[i])) return give_bool(a, false);
    any |= wanted(s->bytes[i]);
  }
  return give_bool(a, any);
}

static int32_t op_isidentifier(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  for (int64_t i = 0; i < s->len; i++)
    if (!is_alpha(s->bytes[i]) && (i == 0 || !is_digit(s->bytes[i]))) return give_bool(a, false);
  return give_bool(a, s->len > 0);
}

static int32_t op_istitle(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  bool inside = false, any = false;
  for (int64_t i = 0; i < s->len; i++) {
    char c = s->bytes[i];
    if ((is_upper(c) && inside) || (is_lower(c) && !inside)) return give_bool(a, false);
    inside = is_alpha(c);
    any |= inside;
  }
  return give_bool(a, any);
}

// ---- case ----

static int32_t op_map(op_args *a, char (*map)(char)) {
  const fst_str_obj *s = arg_str(a, 0);
  fst_buf buf = {0};
  for (int64_t i = 0; i < s->len; i++) fst_buf_putc(&buf, map(s->bytes[i]));
  return give_buf(a, &buf);
}

static char swap_case(char c) { return is_lower(c) ? to_upper(c) : to_lower(c); }

// Upper case where a word starts, lower elsewhere; `once`: only the first character of the string.
static int32_t op_title(op_args *a, bool once) {
  const fst_str_obj *s = arg_str(a, 0);
  fst_buf buf = {0};
  bool inside = false;
  for (int64_t i = 0; i < s->len; i++) {
    char c = s->bytes[i];
    fst_buf_putc(&buf, inside ? to_lower(c) : to_upper(c));
    inside = once || is_alpha(c);
  }
  return give_buf(a, &buf);
}

// ---- padding and trimming ----

static int32_t op_pad(op_args *a, int left_share, int shares) {
  const fst_str_obj *s = arg_str(a, 0), *fill = arg_str(a, 2);
  int64_t width = a->v[1].i;
  if (fill->len != 1) return fst_ctx_raise(a->ctx, "TypeError", 0, "The fill character must be exactly one character long");
  if (width <= s->len) return give_bytes(a, s->bytes, s->len);
  // Python centers with the odd blank on the left only when the width is odd.
  int64_t total = width - s->len, left = shares == 2 ? total / 2 + (total & width & 1) : total * left_share;
  fst_buf buf = {0};
  fst_buf_fill(&buf, fill->bytes[0], (size_t)left);
  fst_buf_add(&buf, s->bytes, (size_t)s->len);
  fst_buf_fill(&buf, fill->bytes[0], (size_t)(total - left));
  return give_buf(a, &buf);
}

static int32_t op_zfill(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  int64_t width = a->v[1].i;
  fst_buf buf = {0};
  if (width > s->len) fst_buf_fill(&buf, '0', (size_t)(width - s->len));
  fst_buf_add(&buf, s->bytes, (size_t)s->len);
  return give_buf(a, &buf);
}

static int32_t op_strip(op_args *a, bool left, bool right) {
  const fst_str_obj *s = arg_str(a, 0), *chars = arg_str(a, 1);
  int64_t from = 0, to = s->len;
  while (left && from < to && memchr(chars->bytes, s->bytes[from], (size_t)chars->len)) from++;
  while (right && to > from && memchr(chars->bytes, s->bytes[to - 1], (size_t)chars->len)) to--;
  return give_bytes(a, s->bytes + from, to - from);
}

static int32_t op_expandtabs(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  int64_t tab = a->v[1].i, column = 0;
  fst_buf buf = {0};
  for (int64_t i = 0; i < s->len; i++) {
    char c = s->bytes[i];
    if (c != '\t') {
      fst_buf_putc(&buf, c);
      column++;
    } else if (tab > 0) {
      fst_buf_fill(&buf, ' ', (size_t)(tab - column % tab));
      column += tab - column % tab;
    }
  }
  return give_buf(a, &buf);
}

// ---- pieces ----

static fst_list_obj *pieces_begin(op_args *a) {
  fst_list_obj *list = fst_ctx_own(a->ctx, fst_list_make(0, NULL), FST_TAG_LIST, sizeof *list);
  *a->out = fst_val_obj(list);
  return list;
}

static void piece_add(op_args *a, fst_list_obj *list, const char *bytes, int64_t len) {
  fst_str_obj *piece = fst_str_make(bytes, len);
  fst_val v = piece ? fst_val_obj(piece) : fst_val_none();
  if (a->ctx->raised.set || !piece || !fst_list_push(list, &v)) fst_ctx_raise_memory(a->ctx);
  fst_obj_release((fst_obj *)piece);
}

static int32_t split_blanks(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  fst_list_obj *list = pieces_begin(a);
  for (int64_t i = 0; i < s->len;) {
    int64_t from = i;
    while (i < s->len && !is_space(s->bytes[i])) i++;
    if (i > from) piece_add(a, list, s->bytes + from, i - from);
    while (i < s->len && is_space(s->bytes[i])) i++;
  }
  return a->ctx->raised.set;
}

static int32_t op_split(op_args *a) {
  if (a->v[1].tag == FST_TAG_NONE) return split_blanks(a);
  const fst_str_obj *s = arg_str(a, 0), *by = arg_str(a, 1);
  int64_t max = a->v[2].i, from = 0;
  if (by->len == 0) return fst_ctx_raise(a->ctx, "ValueError", 0, "empty separator");
  fst_list_obj *list = pieces_begin(a);
  for (int64_t at; (max < 0 || list->len < max) && (at = bytes_find(s->bytes, from, s->len, by, false)) >= 0; from = at + by->len)
    piece_add(a, list, s->bytes + from, at - from);
  piece_add(a, list, s->bytes + from, s->len - from);
  return a->ctx->raised.set;
}

static int32_t op_rsplit(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0), *by = arg_str(a, 1);
  int64_t max = a->v[2].i, to = s->len;
  if (by->len == 0) return fst_ctx_raise(a->ctx, "ValueError", 0, "empty separator");
  fst_list_obj *list = pieces_begin(a);
  for (int64_t at; (max < 0 || list->len < max) && (at = bytes_find(s->bytes, 0, to, by, true)) >= 0; to = at)
    piece_add(a, list, s->bytes + at + by->len, to - at - by->len);
  piece_add(a, list, s->bytes, to);
  if (!a->ctx->raised.set) fst_call_list_reverse(&a->ctx->call, list);
  return a->ctx->raised.set;
}

// Every \n and \r ends a line of its own, and is a piece of its own when kept.
static int32_t op_splitlines(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  bool keep = a->v[1].i;
  fst_list_obj *list = pieces_begin(a);
  for (int64_t from = 0, i = 0; from < s->len; from = i) {
    while (i < s->len && s->bytes[i] != '\n' && s->bytes[i] != '\r') i++;
    piece_add(a, list, s->bytes + from, i - from);
    if (i < s->len && keep) piece_add(a, list, s->bytes + i, 1);
    i++;
  }
  return a->ctx->raised.set;
}

static int32_t op_partition(op_args *a, bool last) {
  const fst_str_obj *s = arg_str(a, 0), *by = arg_str(a, 1);
  if (by->len == 0) return fst_ctx_raise(a->ctx, "ValueError", 0, "empty separator");
  int64_t at = bytes_find(s->bytes, 0, s->len, by, last), by_len = at < 0 ? 0 : by->len;
  if (at < 0) at = last ? 0 : s->len;
  fst_val parts[3] = {
    fst_val_obj(bytes_own(a->ctx, s->bytes, at)),
    fst_val_obj(bytes_own(a->ctx, s->bytes + at, by_len)),
    fst_val_obj(bytes_own(a->ctx, s->bytes + at + by_len, s->len - at - by_len)),
  };
  if (a->ctx->raised.set) return 1;
  *a->out = fst_val_obj(fst_call_tuple_new(&a->ctx->call, 3, parts));
  return a->ctx->raised.set;
}

static int32_t op_list(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  fst_list_obj *list = pieces_begin(a);
  for (int64_t i = 0; i < s->len; i++) piece_add(a, list, s->bytes + i, 1);
  return a->ctx->raised.set;
}

static int32_t op_join(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  const fst_list_obj *list = (const fst_list_obj *)a->v[1].p;
  fst_buf buf = {0};
  for (int64_t i = 0; i < list->len; i++) {
    const fst_str_obj *piece = (const fst_str_obj *)list->items[i].p;
    if (i) fst_buf_add(&buf, s->bytes, (size_t)s->len);
    fst_buf_add(&buf, piece->bytes, (size_t)piece->len);
  }
  return give_buf(a, &buf);
}

static int32_t op_replace(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0), *old = arg_str(a, 1), *now = arg_str(a, 2);
  int64_t max = a->v[3].i, from = 0, done = 0;
  fst_buf buf = {0};
  while (max < 0 || done < max) {
    int64_t at = bytes_find(s->bytes, from, s->len, old, false);
    if (at < 0 || (old->len == 0 && from >= s->len)) break;
    fst_buf_add(&buf, s->bytes + from, (size_t)(at - from));
    fst_buf_add(&buf, now->bytes, (size_t)now->len);
    from = at + old->len;
    if (old->len == 0) fst_buf_putc(&buf, s->bytes[from++]);  // an empty text stands between all bytes
    done++;
  }
  fst_buf_add(&buf, s->bytes + from, (size_t)(s->len - from));
  if (old->len == 0 && (max < 0 || done < max)) fst_buf_add(&buf, now->bytes, (size_t)now->len);
  return give_buf(a, &buf);
}

// ---- single characters and numbers ----

static int32_t op_getitem(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  int64_t at = a->v[1].i < 0 ? a->v[1].i + s->len : a->v[1].i;
  if (at < 0 || at >= s->len) return fst_ctx_raise(a->ctx, "IndexError", 0, "string index out of range");
  return give_bytes(a, s->bytes + at, 1);
}

static int32_t op_slice(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  const int64_t *start = a->v[1].tag == FST_TAG_NONE ? NULL : &a->v[1].i, *end = a->v[2].tag == FST_TAG_NONE ? NULL : &a->v[2].i;
  int64_t step = a->v[3].i;
  if (step == 0) return fst_ctx_raise(a->ctx, "RuntimeError", 0, "List slice should have non-zero step");
  fst_slice slice = fst_slice_resolve(s->len, start, end, step);
  if (step == 1) return give_bytes(a, s->bytes + (slice.from < slice.to ? slice.from : 0), slice.from < slice.to ? slice.to - slice.from : 0);
  fst_buf buf = {0};
  for (int64_t i = slice.from; step > 0 ? i < slice.to : i > slice.to;) {
    fst_buf_putc(&buf, s->bytes[i]);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return give_buf(a, &buf);
}

static int32_t op_ord(op_args *a) {
  const fst_str_obj *s = arg_str(a, 0);
  if (s->len != 1) return fst_ctx_raise(a->ctx, "RuntimeError", 0, "String for ord() must be 1 character, found %lld", (long long)s->len);
  return give_int(a, (unsigned char)s->bytes[0]);
}

static int32_t op_chr(op_args *a) {
  int64_t i = a->v[0].i;
  if (i < 0 || i >= 0x110000) return fst_ctx_raise(a->ctx, "RuntimeError", 0, "chr() arg not in range(0x110000), found %lld", (long long)i);
  char c = (char)i;
  return give_bytes(a, &c, 1);
}

static int32_t op_radix(op_args *a, const char *prefix, unsigned bits) {
  uint64_t rest = a->v[0].i < 0 ? 0 - (uint64_t)a->v[0].i : (uint64_t)a->v[0].i;
  char digits[64];
  int at = 64;
  do digits[--at] = "0123456789abcdef"[rest & ((1u << bits) - 1)];
  while (rest >>= bits);
  fst_buf buf = {0};
  if (a->v[0].i < 0) fst_buf_putc(&buf, '-');
  fst_buf_puts(&buf, prefix);
  fst_buf_add(&buf, digits + at, (size_t)(64 - at));
  return give_buf(a, &buf);
}

// `%` formatting: %d %i %f %e %g %s %c and %%, without widths, as TorchScript has it.
static bool percent_put(op_args *a, fst_buf *buf, char kind, const fst_val *v) {
  bool is_number = v->tag == FST_TAG_INT || v->tag == FST_TAG_FLOAT || v->tag == FST_TAG_BOOL;
  double f = v->tag == FST_TAG_FLOAT ? v->f : (double)v->i;
  switch (kind) {
    case 's': fst_format_val(buf, a->ctx->plan, v); return true;
    case 'c':
      if (v->tag == FST_TAG_INT) fst_buf_putc(buf, (char)v->i);
      else fst_format_val(buf, a->ctx->plan, v);
      return true;
    case 'd': case 'i':
      if (is_number) fst_buf_printf(buf, "%lld", (long long)(v->tag == FST_TAG_FLOAT ? (f > -9.2e18 && f < 9.2e18 ? (int64_t)f : 0) : v->i));
      return is_number;
    case 'f': if (is_number) fst_buf_printf(buf, "%f", f); return is_number;
    case 'e': if (is_number) fst_buf_printf(buf, "%e", f); return is_number;
    case 'g': if (is_number) fst_buf_printf(buf, "%g", f); return is_number;
    default: return false;
  }
}

static int32_t op_percent(op_args *a) {
  const fst_str_obj *form = arg_str(a, 0);
  // The right side is one value, or a tuple of several.
  bool many = a->count == 2 && a->v[1].tag == FST_TAG_TUPLE;
  const fst_tuple_obj *tuple = many ? (const fst_tuple_obj *)(const void *)a->v[1].p : NULL;
  const fst_val *args = many ? tuple->items : a->v + 1;
  int64_t used = 0, count = many ? tuple->len : a->count - 1;
  fst_buf buf = {0};
  for (int64_t i = 0; i < form->len; i++) {
    char c = form->bytes[i], kind = i + 1 < form->len ? form->bytes[i + 1] : '\0';
    if (c != '%') {
      fst_buf_putc(&buf, c);
    } else if (kind == '%') {
      fst_buf_putc(&buf, '%');
      i++;
    } else if (used >= count) {
      fst_ctx_raise(a->ctx, "RuntimeError", 0, "Too few arguments for format string: %.200s", form->bytes);
      break;
    } else if (!percent_put(a, &buf, kind, &args[used++])) {
      fst_ctx_raise(a->ctx, "RuntimeError", 0, "The specifier %%%c is not supported in TorchScript format strings", kind);
      break;
    } else {
      i++;
    }
  }
  if (!a->ctx->raised.set && used < count) fst_ctx_raise(a->ctx, "RuntimeError", 0, "Too many arguments for format string: %.200s", form->bytes);
  return give_buf(a, &buf);
}


int32_t fst_call_str_op(fst_call *call, int64_t op, int64_t count, const void *vals, void *out) {
  op_args args = {fst_ctx_of(call), vals, count, out}, *a = &args;
  *args.out = fst_val_none();
  switch ((fst_str_op)op) {
    case FST_STR_OP_LEN: return give_int(a, arg_str(a, 0)->len);
    case FST_STR_OP_GETITEM: return op_getitem(a);
    case FST_STR_OP_SLICE: return op_slice(a);
    case FST_STR_OP_LIST: return op_list(a);
    case FST_STR_OP_ORD: return op_ord(a);
    case FST_STR_OP_CHR: return op_chr(a);
    case FST_STR_OP_BIN: return op_radix(a, "0b", 1);
    case FST_STR_OP_HEX: return op_radix(a, "0x", 4);
    case FST_STR_OP_OCT: return op_radix(a, "0o", 3);
    case FST_STR_OP_CAPITALIZE: return op_title(a, true);
    case FST_STR_OP_CENTER: return op_pad(a, 0, 2);
    case FST_STR_OP_COUNT: return op_count(a);
    case FST_STR_OP_ENDSWITH: return op_affix(a, true);
    case FST_STR_OP_EXPANDTABS: return op_expandtabs(a);
    case FST_STR_OP_FIND: return op_find(a, false, false);
    case FST_STR_OP_INDEX: return op_find(a, false, true);
    case FST_STR_OP_ISALNUM: return op_all(a, is_alnum);
    case FST_STR_OP_ISALPHA: return op_all(a, is_alpha);
    case FST_STR_OP_ISDECIMAL: case FST_STR_OP_ISDIGIT: case FST_STR_OP_ISNUMERIC: return op_all(a, is_digit);
    case FST_STR_OP_ISIDENTIFIER: return op_isidentifier(a);
    case FST_STR_OP_ISLOWER: return op_iscase(a, is_lower, is_upper);
    case FST_STR_OP_ISPRINTABLE: return op_isprintable(a);
    case FST_STR_OP_ISSPACE: return op_all(a, is_space);
    case FST_STR_OP_ISTITLE: return op_istitle(a);
    case FST_STR_OP_ISUPPER: return op_iscase(a, is_upper, is_lower);
    case FST_STR_OP_JOIN: return op_join(a);
    case FST_STR_OP_LJUST: return op_pad(a, 0, 1);
    case FST_STR_OP_LOWER: return op_map(a, to_lower);
    case FST_STR_OP_LSTRIP: return op_strip(a, true, false);
    case FST_STR_OP_PARTITION: return op_partition(a, false);
    case FST_STR_OP_PERCENT: return op_percent(a);
    case FST_STR_OP_REPLACE: return op_replace(a);
    case FST_STR_OP_RFIND: return op_find(a, true, false);
    case FST_STR_OP_RINDEX: return op_find(a, true, true);
    case FST_STR_OP_RJUST: return op_pad(a, 1, 1);
    case FST_STR_OP_RPARTITION: return op_partition(a, true);
    case FST_STR_OP_RSPLIT: return op_rsplit(a);
    case FST_STR_OP_RSTRIP: return op_strip(a, false, true);
    case FST_STR_OP_SPLIT: return op_split(a);
    case FST_STR_OP_SPLITLINES: return op_splitlines(a);
    case FST_STR_OP_STARTSWITH: return op_affix(a, false);
    case FST_STR_OP_STRIP: return op_strip(a, true, true);
    case FST_STR_OP_SWAPCASE: return op_map(a, swap_case);
    case FST_STR_OP_TITLE: return op_title(a, false);
    case FST_STR_OP_UPPER: return op_map(a, to_upper);
    case FST_STR_OP_ZFILL: return op_zfill(a);
    case FST_STR_OPS: break;
  }
  return fst_ctx_raise(a->ctx, "RuntimeError", 0, "unknown string operation");
}
