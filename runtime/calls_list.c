#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/call.h"
#include "runtime/calls.h"
#include "runtime/object.h"

static const char OUT_OF_RANGE[] = "list index out of range";

static void *list_own(fst_call *call, fst_list_obj *list) { return fst_ctx_own(fst_ctx_of(call), list, FST_TAG_LIST, sizeof *list); }

// -1 from the end; false after raising.
static bool index_wrap(fst_call *call, const fst_list_obj *list, int64_t index, int64_t loc, int64_t *out) {
  if (index < 0) index += list->len;
  *out = index;
  if (index >= 0 && index < list->len) return true;
  fst_ctx_raise(fst_ctx_of(call), "IndexError", loc, OUT_OF_RANGE);
  return false;
}

// A stand-in list, given out when memory was out, must not be written.
static bool list_is_writable(fst_call *call, const fst_list_obj *list) {
  if (!(list->head.flags & FST_OBJ_IMMORTAL)) return true;
  fst_ctx_raise(fst_ctx_of(call), "RuntimeError", 0, "a constant list cannot be written");
  return false;
}

void *fst_call_list_new(fst_call *call, int64_t count, const void *vals) { return list_own(call, fst_list_make(count, vals)); }

void *fst_call_list_range(fst_call *call, int64_t count) {
  fst_list_obj *out = fst_list_make(0, NULL);
  if (out && count > 0 && !fst_list_reserve(out, count)) {
    fst_obj_release(&out->head);
    out = NULL;
  }
  for (int64_t i = 0; out && i < count; i++) out->items[i] = fst_val_int(i);
  if (out && count > 0) out->len = count;
  return list_own(call, out);
}

void fst_call_list_append(fst_call *call, void *list, const void *val) {
  if (list_is_writable(call, list) && !fst_list_push(list, val)) fst_ctx_raise_memory(fst_ctx_of(call));
}

int32_t fst_call_list_get(fst_call *call, void *list, int64_t index, int64_t loc, void *out) {
  fst_list_obj *l = list;
  if (!index_wrap(call, l, index, loc, &index)) return 1;
  *(fst_val *)out = l->items[index];
  return 0;
}

int32_t fst_call_list_set(fst_call *call, void *list, int64_t index, int64_t loc, const void *val) {
  fst_list_obj *l = list;
  if (!list_is_writable(call, l) || !index_wrap(call, l, index, loc, &index)) return 1;
  fst_val old = l->items[index];
  fst_val_retain(val);
  l->items[index] = *(const fst_val *)val;
  fst_ctx_keep_val(fst_ctx_of(call), &old);
  return 0;
}

void fst_call_list_insert(fst_call *call, void *list, int64_t index, const void *val) {
  fst_list_obj *l = list;
  if (!list_is_writable(call, l)) return;
  fst_val item = *(const fst_val *)val;
  if (!fst_list_reserve(l, l->len + 1)) {
    fst_ctx_raise_memory(fst_ctx_of(call));
    return;
  }
  if (index < 0) index += l->len;
  if (index < 0) index = 0;
  if (index > l->len) index = l->len;
  memmove(&l->items[index + 1], &l->items[index], (size_t)(l->len - index) * sizeof *l->items);
  l->items[index] = item;
  l->len++;
  fst_val_retain(&item);
}

static void item_remove(fst_list_obj *l, int64_t index) {
  memmove(&l->items[index], &l->items[index + 1], (size_t)(l->len - index - 1) * sizeof *l->items);
  l->len--;
}

int32_t fst_call_list_pop(fst_call *call, void *list, int64_t index, int64_t loc, void *out) {
  fst_list_obj *l = list;
  if (!list_is_writable(call, l)) return 1;
  if (!l->len) return fst_ctx_raise(fst_ctx_of(call), "IndexError", loc, "pop from empty list");
  if (!index_wrap(call, l, index, loc, &index)) return 1;
  fst_val item = l->items[index];
  item_remove(l, index);
  *(fst_val *)out = item;
  fst_ctx_keep_val(fst_ctx_of(call), &item);
  return 0;
}

int32_t fst_call_list_del(fst_call *call, void *list, int64_t index, int64_t loc) {
  fst_list_obj *l = list;
  if (!list_is_writable(call, l) || !index_wrap(call, l, index, loc, &index)) return 1;
  fst_ctx_keep_val(fst_ctx_of(call), &l->items[index]);
  item_remove(l, index);
  return 0;
}

void fst_call_list_extend(fst_call *call, void *list, void *other) {
  fst_list_obj *l = list, *o = other;
  int64_t count = o->len;  // a list may extend itself
  if (!list_is_writable(call, l)) return;
  if (!fst_list_reserve(l, l->len + count)) {
    fst_ctx_raise_memory(fst_ctx_of(call));
    return;
  }
  for (int64_t i = 0; i < count; i++) fst_list_push(l, &o->items[i]);
}

void *fst_call_list_concat(fst_call *call, void *a, void *b) {
  fst_list_obj *x = a, *y = b, *out = fst_list_make(x->len, x->items);
  if (out && !fst_list_reserve(out, x->len + y->len)) {
    fst_obj_release(&out->head);
    out = NULL;
  }
  for (int64_t i = 0; out && i < y->len; i++) fst_list_push(out, &y->items[i]);
  return list_own(call, out);
}

void *fst_call_list_repeat(fst_call *call, void *list, int64_t times) {
  fst_list_obj *l = list, *out = fst_list_make(0, NULL);
  int64_t total = 0;
  if (times < 0) times = 0;
  if (out && (__builtin_mul_overflow(l->len, times, &total) || !fst_list_reserve(out, total))) {
    fst_obj_release(&out->head);
    out = NULL;
  }
  for (int64_t t = 0; out && total && t < times; t++)
    for (int64_t i = 0; i < l->len; i++) fst_list_push(out, &l->items[i]);
  return list_own(call, out);
}

void *fst_call_list_slice(fst_call *call, void *list, int64_t start, int64_t end, int64_t step) {
  fst_list_obj *l = list, *out = fst_list_make(0, NULL);
  if (!out) return list_own(call, NULL);
  if (step == 0) {
    fst_ctx_raise(fst_ctx_of(call), "RuntimeError", 0, "List slice should have non-zero step");
    return list_own(call, out);
  }
  // An absent bound: as far as the step's direction goes.
  bool forward = step > 0;
  fst_slice slice = fst_slice_resolve(l->len, start == INT64_MIN ? NULL : &start, end == INT64_MAX ? NULL : &end, step);
  for (int64_t i = slice.from; forward ? i < slice.to : i > slice.to;) {
    if (!fst_list_push(out, &l->items[i])) {
      fst_ctx_raise_memory(fst_ctx_of(call));
      break;
    }
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return list_own(call, out);
}

void fst_call_list_clear(fst_call *call, void *list) {
  fst_list_obj *l = list;
  if (!list_is_writable(call, l)) return;
  for (int64_t i = 0; i < l->len; i++) fst_ctx_keep_val(fst_ctx_of(call), &l->items[i]);
  l->len = 0;
}

void fst_call_list_reverse(fst_call *call, void *list) {
  fst_list_obj *l = list;
  if (!list_is_writable(call, l)) return;
  for (int64_t i = 0, k = l->len - 1; i < k; i++, k--) {
    fst_val item = l->items[i];
    l->items[i] = l->items[k];
    l->items[k] = item;
  }
}

// Stable merge sort, bottom up. False: items without an order.
static bool items_sort(fst_val *items, fst_val *spare, int64_t len, bool reverse) {
  for (int64_t width = 1; width < len; width *= 2) {
    for (int64_t low = 0; low < len; low += 2 * width) {
      int64_t mid = low + width < len ? low + width : len, high = mid + width < len ? mid + width : len;
      int64_t a = low, b = mid;
      for (int64_t k = low; k < high; k++) {
        int order = 0;
        if (a < mid && b < high && !fst_val_compare(&items[a], &items[b], &order)) return false;
        bool left = b >= high || (a < mid && (reverse ? order >= 0 : order <= 0));
        spare[k] = left ? items[a++] : items[b++];
      }
    }
    memcpy(items, spare, (size_t)len * sizeof *items);
  }
  return true;
}

int32_t fst_call_list_sort(fst_call *call, void *list, int64_t reverse) {
  fst_list_obj *l = list;
  if (!list_is_writable(call, l)) return 1;
  if (l->len < 2) return 0;
  fst_val *spare = malloc((size_t)l->len * sizeof *spare);
  if (!spare) return fst_ctx_raise_memory(fst_ctx_of(call));
  bool ok = items_sort(l->items, spare, l->len, reverse != 0);
  free(spare);
  return ok ? 0 : fst_ctx_raise(fst_ctx_of(call), "RuntimeError", 0, "the items of this list have no order to sort by");
}

int64_t fst_call_list_find(fst_call *call, void *list, const void *val) {
  (void)call;
  const fst_list_obj *l = list;
  for (int64_t i = 0; i < l->len; i++)
    if (fst_val_equal(&l->items[i], val)) return i;
  return -1;
}

int32_t fst_call_list_remove(fst_call *call, void *list, const void *val, int64_t loc) {
  int64_t at = fst_call_list_find(call, list, val);
  if (at < 0) return fst_ctx_raise(fst_ctx_of(call), "ValueError", loc, "list.remove(x): x not in list");
  return fst_call_list_del(call, list, at, loc);
}

void fst_call_list_numbers(fst_call *call, void *list, int64_t dtype, void *out) {
  (void)call;
  const fst_list_obj *l = list;
  for (int64_t k = 0; k < l->len; k++) {
    if (dtype == FST_BOOL) ((char *)out)[k] = l->items[k].i != 0;
    else memcpy((char *)out + 8 * k, &l->items[k].i, 8);   // or the bits of the float that lies there
  }
}
