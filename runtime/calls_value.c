#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/call.h"
#include "runtime/calls.h"
#include "runtime/format.h"
#include "runtime/object.h"

// ---- tuples, objects ----

void *fst_call_tuple_new(fst_call *call, int64_t count, const void *vals) {
  return fst_ctx_own(fst_ctx_of(call), fst_tuple_make(count, vals), FST_TAG_TUPLE, sizeof(fst_tuple_obj) + (size_t)count * sizeof(fst_val));
}

void *fst_call_object_new(fst_call *call, int64_t cls, int64_t slots) {
  fst_object_obj *object = fst_object_make((uint32_t)cls, (uint32_t)slots);
  return fst_ctx_own(fst_ctx_of(call), object, FST_TAG_OBJECT, sizeof *object + (size_t)slots * sizeof(fst_val));
}

void fst_call_object_set(fst_call *call, void *object, int64_t slot, const void *val) {
  fst_object_obj *o = object;
  fst_val old = o->slots[slot];
  fst_val_retain(val);
  o->slots[slot] = *(const fst_val *)val;
  fst_ctx_keep_val(fst_ctx_of(call), &old);
}

void *fst_call_complex_new(fst_call *call, double re, double im) {
  return fst_ctx_own(fst_ctx_of(call), fst_complex_make(re, im), FST_TAG_COMPLEX, sizeof(fst_complex_obj));
}

int32_t fst_call_val_equal(fst_call *call, const void *a, const void *b) {
  (void)call;
  return fst_val_equal(a, b);
}

// ---- int(str), float(str) ----

static int32_t number_error(fst_call *call, bool is_int, const fst_str_obj *s, int64_t loc) {
  fst_buf buf = {0};
  fst_buf_puts(&buf, is_int ? "invalid literal for int() with base 10: '" : "could not convert string to float: '");
  fst_buf_add(&buf, s->bytes, (size_t)s->len);
  fst_buf_putc(&buf, '\'');
  if (buf.failed) fst_ctx_raise_memory(fst_ctx_of(call));
  else fst_ctx_raise_text(fst_ctx_of(call), "ValueError", loc, buf.data, buf.len);
  fst_buf_deinit(&buf);
  return 1;
}

int32_t fst_call_to_number(fst_call *call, void *str, int64_t tag, int64_t loc, void *out) {
  const fst_str_obj *s = str;
  char *end = NULL;
  errno = 0;
  bool is_int = tag == FST_TAG_INT;
  // Leading blanks are taken, trailing ones are not: as the C library reads numbers, which is what PyTorch does.
  fst_val v = is_int ? fst_val_int(strtoll(s->bytes, &end, 10)) : fst_val_float(strtod(s->bytes, &end));
  if (end == s->bytes || end != s->bytes + s->len || (errno == ERANGE && is_int)) return number_error(call, is_int, s, loc);
  *(fst_val *)out = v;
  return 0;
}

// ---- tolist ----

static fst_val element_at(const fst_tensor_obj *t, int64_t index, int64_t tag) {
  if (tag == FST_TAG_FLOAT) return fst_val_float(fst_tensor_double_at(t, index));
  int64_t i = fst_tensor_int_at(t, index);
  return tag == FST_TAG_BOOL ? fst_val_bool(i != 0) : fst_val_int(i);
}

// Lists of dimension `d` onwards; a tensor's rank bounds the depth. One reference to the caller, or NULL.
static fst_list_obj *nested_list(const fst_tensor_obj *t, int d, int64_t index, int64_t tag) {
  fst_list_obj *list = fst_list_make(0, NULL);
  if (!list || !fst_list_reserve(list, t->shape[d])) {
    fst_obj_release((fst_obj *)list);
    return NULL;
  }
  for (int64_t i = 0; i < t->shape[d]; i++, index += t->shape[t->rank + d]) {
    if (d == t->rank - 1) {
      list->items[list->len++] = element_at(t, index, tag);
      continue;
    }
    fst_list_obj *inner = nested_list(t, d + 1, index, tag);
    if (!inner) {
      fst_obj_release(&list->head);
      return NULL;
    }
    list->items[list->len++] = fst_val_obj(inner);
  }
  return list;
}

static bool dtype_gives(const fst_tensor_obj *t, int64_t tag) {
  fst_dtype_kind kind = fst_dtype_kind_of((fst_dtype)t->dtype);
  if (tag == FST_TAG_FLOAT) return kind == FST_KIND_FLOAT;
  if (tag == FST_TAG_BOOL) return kind == FST_KIND_BOOL;
  return t->dtype == FST_I64;
}

int32_t fst_call_tensor_list(fst_call *call, void *tensor, int64_t depth, int64_t tag, int64_t loc, void *out) {
  fst_ctx *ctx = fst_ctx_of(call);
  const fst_tensor_obj *t = tensor;
  if (depth != t->rank)
    return fst_ctx_raise(ctx, "RuntimeError", loc, "Output annotation list dimension and runtime tensor dimension must match for tolist()");
  if (!dtype_gives(t, tag))
    return fst_ctx_raise(ctx, "RuntimeError", loc, "Output annotation element type and runtime tensor element type must match for tolist(): %s vs %s",
                         fst_dtype_word(tag == FST_TAG_INT ? FST_I64 : tag == FST_TAG_FLOAT ? FST_F32 : FST_BOOL), fst_dtype_word((fst_dtype)t->dtype));
  if (t->rank == 0) {
    *(fst_val *)out = element_at(t, 0, tag);
    return 0;
  }
  fst_list_obj *list = nested_list(t, 0, 0, tag);
  if (!list) return fst_ctx_raise_memory(ctx);
  fst_ctx_keep(ctx, &list->head);
  *(fst_val *)out = fst_val_obj(list);
  return 0;
}

// ---- the rest ----

int32_t fst_call_fallback(fst_call *call, int64_t op, int64_t count, const void *vals, int64_t results, void *out) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (!ctx->fallback) return fst_ctx_raise(ctx, "RuntimeError", 0, "an op needs libtorch, which this call was started without");
  return ctx->fallback(ctx, op, count, vals, results, out);
}

// Keys become order-preserving unsigned or signed numbers once, then a bottom-up merge moves (key, position).
typedef struct cell { int64_t rank; int64_t at; } cell;

static int64_t float_rank(double value) {
  int64_t bits;
  if (value != value) return INT64_MAX;  // NaN is largest
  if (value == 0) value = 0;             // -0.0 and 0.0 are equal
  memcpy(&bits, &value, sizeof bits);
  return bits < 0 ? INT64_MIN - bits : bits;
}

static void cells_merge(cell *cells, cell *spare, int64_t n, bool descending) {
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t low = 0; low < n; low += 2 * width) {
      int64_t mid = low + width < n ? low + width : n, high = mid + width < n ? mid + width : n;
      int64_t a = low, b = mid;
      for (int64_t k = low; k < high; k++) {
        bool left = b >= high || (a < mid && (descending ? cells[a].rank >= cells[b].rank : cells[a].rank <= cells[b].rank));
        spare[k] = left ? cells[a++] : cells[b++];
      }
    }
    memcpy(cells, spare, (size_t)n * sizeof *cells);
  }
}

int32_t fst_call_cells_sort(fst_call *call, void *keys, void *payload, int64_t n, int64_t dtype, int64_t descending) {
  fst_ctx *ctx = fst_ctx_of(call);
  size_t elem = fst_dtype_size((fst_dtype)dtype);
  if (n < 2) return 0;
  cell *cells = malloc(2 * (size_t)n * sizeof *cells);
  char *sorted = malloc((size_t)n * (elem + sizeof(int64_t)));
  if (!cells || !sorted) {
    free(cells);
    free(sorted);
    return fst_ctx_raise_memory(ctx);
  }
  fst_tensor_obj view = {.dtype = (uint8_t)dtype, .data = keys};
  bool is_float = fst_dtype_is_float((fst_dtype)dtype);
  for (int64_t i = 0; i < n; i++) cells[i] = (cell){is_float ? float_rank(fst_tensor_double_at(&view, i)) : fst_tensor_int_at(&view, i), i};
  cells_merge(cells, cells + n, n, descending != 0);
  int64_t *positions = (int64_t *)(void *)sorted;
  char *values = sorted + (size_t)n * sizeof(int64_t);
  for (int64_t i = 0; i < n; i++) {
    positions[i] = ((int64_t *)payload)[cells[i].at];
    memcpy(values + (size_t)i * elem, (char *)keys + (size_t)cells[i].at * elem, elem);
  }
  memcpy(payload, positions, (size_t)n * sizeof(int64_t));
  memcpy(keys, values, (size_t)n * elem);
  free(cells);
  free(sorted);
  return 0;
}
