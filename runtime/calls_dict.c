#include "runtime/buf.h"
#include "runtime/call.h"
#include "runtime/calls.h"
#include "runtime/format.h"
#include "runtime/object.h"

static void *dict_own(fst_call *call, fst_dict_obj *dict) { return fst_ctx_own(fst_ctx_of(call), dict, FST_TAG_DICT, sizeof *dict); }

static bool dict_is_writable(fst_call *call, const fst_dict_obj *dict) {
  if (!(dict->head.flags & FST_OBJ_IMMORTAL)) return true;
  fst_ctx_raise(fst_ctx_of(call), "RuntimeError", 0, "a constant dict cannot be written");
  return false;
}

static bool dict_store(fst_call *call, fst_dict_obj *dict, const fst_val *key, const fst_val *val) {
  fst_val old;
  if (!fst_dict_put(dict, key, val, &old)) {
    fst_ctx_raise_memory(fst_ctx_of(call));
    return false;
  }
  fst_ctx_keep_val(fst_ctx_of(call), &old);
  return true;
}

static int32_t key_error(fst_call *call, const fst_val *key, int64_t loc) {
  fst_ctx *ctx = fst_ctx_of(call);
  fst_buf buf = {0};
  fst_format_val(&buf, ctx->plan, key);
  if (buf.failed) fst_ctx_raise_memory(ctx);
  else fst_ctx_raise_text(ctx, "KeyError", loc, fst_buf_text(&buf), buf.len);
  fst_buf_deinit(&buf);
  return 1;
}

void *fst_call_dict_new(fst_call *call, int64_t count, const void *pairs) {
  const fst_val *p = pairs;
  fst_dict_obj *dict = dict_own(call, fst_dict_make());
  for (int64_t i = 0; i < count && !fst_call_failed(call); i++) dict_store(call, dict, &p[2 * i], &p[2 * i + 1]);
  return dict;
}

int32_t fst_call_dict_get(fst_call *call, void *dict, const void *key, int64_t loc, void *out) {
  fst_dict_obj *d = dict;
  int64_t at = fst_dict_find(d, key);
  if (at < 0) return key_error(call, key, loc);
  *(fst_val *)out = d->values[at];
  return 0;
}

int32_t fst_call_dict_find(fst_call *call, void *dict, const void *key, void *out) {
  (void)call;
  fst_dict_obj *d = dict;
  int64_t at = fst_dict_find(d, key);
  *(fst_val *)out = at < 0 ? fst_val_none() : d->values[at];
  return at >= 0;
}

int32_t fst_call_dict_set(fst_call *call, void *dict, const void *key, const void *val) {
  return dict_is_writable(call, dict) && dict_store(call, dict, key, val) ? 0 : 1;
}

static void entry_drop(fst_call *call, fst_dict_obj *dict, int64_t at) {
  fst_val key, val;
  fst_dict_take(dict, at, &key, &val);
  fst_ctx_keep_val(fst_ctx_of(call), &key);
  fst_ctx_keep_val(fst_ctx_of(call), &val);
}

int32_t fst_call_dict_del(fst_call *call, void *dict, const void *key, int64_t loc) {
  if (!dict_is_writable(call, dict)) return 1;
  int64_t at = fst_dict_find(dict, key);
  if (at < 0) return key_error(call, key, loc);
  entry_drop(call, dict, at);
  return 0;
}

void fst_call_dict_clear(fst_call *call, void *dict) {
  fst_dict_obj *d = dict;
  if (!dict_is_writable(call, d)) return;
  for (int64_t i = 0; i < d->used; i++)
    if (fst_dict_is_live(d, i)) entry_drop(call, d, i);
}

static bool listing_push(fst_list_obj *list, const fst_dict_obj *d, int64_t at, int64_t what) {
  if (what == 0) return fst_list_push(list, &d->keys[at]);
  if (what == 1) return fst_list_push(list, &d->values[at]);
  fst_val pair[2] = {d->keys[at], d->values[at]};
  fst_tuple_obj *tuple = fst_tuple_make(2, pair);
  if (!tuple) return false;
  fst_val item = fst_val_obj(tuple);
  bool ok = fst_list_push(list, &item);
  fst_obj_release(&tuple->head);
  return ok;
}

void *fst_call_dict_list(fst_call *call, void *dict, int64_t what) {
  fst_dict_obj *d = dict;
  fst_list_obj *list = fst_list_make(0, NULL);
  for (int64_t i = 0; list && i < d->used; i++)
    if (fst_dict_is_live(d, i) && !listing_push(list, d, i, what)) fst_ctx_raise_memory(fst_ctx_of(call));
  return fst_ctx_own(fst_ctx_of(call), list, FST_TAG_LIST, sizeof *list);
}

void *fst_call_dict_copy(fst_call *call, void *dict) {
  fst_dict_obj *copy = dict_own(call, fst_dict_make());
  if (!fst_call_failed(call)) fst_call_dict_update(call, copy, dict);
  return copy;
}

void fst_call_dict_update(fst_call *call, void *dict, void *other) {
  fst_dict_obj *o = other;
  if (dict == other || !dict_is_writable(call, dict)) return;
  for (int64_t i = 0; i < o->used; i++)
    if (fst_dict_is_live(o, i) && !dict_store(call, dict, &o->keys[i], &o->values[i])) return;
}
