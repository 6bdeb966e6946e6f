// Copying object graphs: a shell per object first, its contents from a work list, so that neither depth
// nor cycles matter and whatever was shared stays shared.
#include <stdlib.h>
#include <string.h>

#include "runtime/device.h"
#include "runtime/object.h"

void fst_copy_init(fst_copy *copy, bool only_immortal) { *copy = (fst_copy){.only_immortal = only_immortal}; }

void fst_copy_deinit(fst_copy *copy) {
  free(copy->from);
  free(copy->to);
  *copy = (fst_copy){0};
}

static size_t slot_of(const fst_copy *copy, const void *from) {
  uint64_t h = (uint64_t)(uintptr_t)from * 0x9e3779b97f4a7c15ull;
  size_t at = (size_t)(h >> 20) & (copy->cap - 1);
  while (copy->from[at] && copy->from[at] != from) at = (at + 1) & (copy->cap - 1);
  return at;
}

static void *copy_lookup(const fst_copy *copy, const void *from) {
  return copy->cap ? copy->to[slot_of(copy, from)] : NULL;
}

static bool copy_grow(fst_copy *copy) {
  fst_copy bigger = {.cap = copy->cap ? copy->cap * 2 : 64, .len = copy->len};
  bigger.from = calloc(bigger.cap, sizeof *bigger.from);
  bigger.to = calloc(bigger.cap, sizeof *bigger.to);
  if (!bigger.from || !bigger.to) {
    free(bigger.from);
    free(bigger.to);
    return false;
  }
  for (size_t i = 0; i < copy->cap; i++) {
    if (!copy->from[i]) continue;
    size_t at = slot_of(&bigger, copy->from[i]);
    bigger.from[at] = copy->from[i];
    bigger.to[at] = copy->to[i];
  }
  free(copy->from);
  free(copy->to);
  copy->from = bigger.from;
  copy->to = bigger.to;
  copy->cap = bigger.cap;
  return true;
}

static bool copy_record(fst_copy *copy, const void *from, void *to) {
  if ((copy->len + 1) * 2 > copy->cap && !copy_grow(copy)) {
    copy->failed = true;
    return false;
  }
  size_t at = slot_of(copy, from);
  copy->from[at] = from;
  copy->to[at] = to;
  copy->len++;
  return true;
}

// The work list: containers whose items are still to be copied (`from` is NULL: look into `to` in place).
typedef struct work {
  struct { fst_obj *from, *to; } *items;
  size_t len, cap;
} work;

static bool work_push(fst_copy *copy, work *w, fst_obj *from, fst_obj *to) {
  if (w->len == w->cap) {
    size_t cap = w->cap ? w->cap * 2 : 16;
    void *items = realloc(w->items, cap * sizeof *w->items);
    if (!items) {
      copy->failed = true;
      return false;
    }
    w->items = items;
    w->cap = cap;
  }
  w->items[w->len].from = from;
  w->items[w->len++].to = to;
  return true;
}

static fst_storage_obj *bytes_copy(fst_storage_obj *from) {
  fst_storage_obj *to = NULL;
  if (from->head.flags & FST_OBJ_DEVICE) {
    fst_status status = fst_device_storage_copy(from, &to);
    fst_error_free(status);   // most likely its memory is out
    return to;
  }
  to = fst_storage_make(from->bytes);
  if (to && from->bytes) memcpy(to->data, from->data, (size_t)from->bytes);
  return to;
}

// A counted storage with the same bytes; one per original and job. Returns a new reference.
static fst_storage_obj *storage_copy(fst_copy *copy, fst_storage_obj *from) {
  fst_storage_obj *to = copy_lookup(copy, from);
  if (to) {
    fst_obj_retain(&to->head);
    return to;
  }
  to = copy->place ? copy->place(copy->context, from) : bytes_copy(from);
  if (!to) {
    copy->failed = true;
    return NULL;
  }
  if (!copy_record(copy, from, to)) {
    fst_obj_release(&to->head);
    return NULL;
  }
  return to;
}

static fst_tensor_obj *tensor_copy(fst_copy *copy, const fst_tensor_obj *from) {
  fst_storage_obj *storage = storage_copy(copy, from->storage);
  if (!storage) return NULL;
  fst_tensor_obj *to = fst_tensor_make(storage, storage->data + (from->data - from->storage->data), from->dtype, from->rank, from->shape);
  fst_obj_release(&storage->head);
  if (!to) copy->failed = true;
  return to;
}

static bool is_container(const fst_obj *obj) {
  return obj->tag == FST_TAG_LIST || obj->tag == FST_TAG_DICT || obj->tag == FST_TAG_TUPLE || obj->tag == FST_TAG_OBJECT;
}

static fst_obj *shell_make(fst_copy *copy, fst_obj *from) {
  void *to = NULL;
  switch (from->tag) {
    case FST_TAG_TENSOR: return (fst_obj *)tensor_copy(copy, (fst_tensor_obj *)from);
    case FST_TAG_STR: to = fst_str_make(((fst_str_obj *)from)->bytes, ((fst_str_obj *)from)->len); break;
    case FST_TAG_COMPLEX: to = fst_complex_make(((fst_complex_obj *)from)->re, ((fst_complex_obj *)from)->im); break;
    case FST_TAG_LIST: to = fst_list_make(0, NULL); break;
    case FST_TAG_DICT: to = fst_dict_make(); break;
    case FST_TAG_TUPLE: to = fst_tuple_make(((fst_tuple_obj *)from)->len, NULL); break;
    case FST_TAG_OBJECT: to = fst_object_make(((fst_object_obj *)from)->cls, ((fst_object_obj *)from)->len); break;
    default: break;
  }
  if (!to) copy->failed = true;
  return to;
}

// Is this object to be replaced by a copy?
static bool wants_copy(const fst_copy *copy, const fst_obj *obj) {
  bool immortal = obj->flags & FST_OBJ_IMMORTAL;
  if (obj->tag == FST_TAG_OPAQUE) return false;
  if (copy->only_immortal) return immortal;
  return is_container(obj) || obj->tag == FST_TAG_TENSOR;
}

// Memory that its users outlive: the artifact's weights, the call's arena.
static bool storage_is_passing(const fst_storage_obj *storage) { return storage->head.flags & (FST_OBJ_IMMORTAL | FST_OBJ_ARENA); }

// A counted tensor may still be a view into such memory.
static void tensor_detach(fst_copy *copy, fst_tensor_obj *t) {
  if (!storage_is_passing(t->storage)) return;
  fst_storage_obj *storage = storage_copy(copy, t->storage);
  if (!storage) return;
  t->data = storage->data + (t->data - t->storage->data);
  fst_obj_release(&t->storage->head);
  t->storage = storage;
}

// What stands for `val` in the copy, with a reference of its own. Contents may still be on the work list.
static fst_val shell_of(fst_copy *copy, work *w, const fst_val *val) {
  if (!fst_val_is_obj(val)) return *val;
  fst_obj *to = copy_lookup(copy, val->p);
  if (to) {
    fst_obj_retain(to);
    return (fst_val){.tag = val->tag, .p = to};
  }
  if (!wants_copy(copy, val->p)) {
    fst_obj_retain(val->p);
    if (copy->only_immortal && val->tag == FST_TAG_TENSOR) tensor_detach(copy, (fst_tensor_obj *)val->p);
    if (copy->only_immortal && is_container(val->p) && copy_record(copy, val->p, val->p)) work_push(copy, w, NULL, val->p);
    return *val;
  }
  to = shell_make(copy, val->p);
  if (!to) return fst_val_none();
  if (!copy_record(copy, val->p, to) || (is_container(to) && !work_push(copy, w, val->p, to))) {
    // The map must not keep a pointer to what is freed; the job has failed and nothing is looked up again.
    fst_obj_release(to);
    return fst_val_none();
  }
  return (fst_val){.tag = val->tag, .p = to};
}

static void items_fill(fst_copy *copy, work *w, const fst_val *from, fst_val *to, int64_t count) {
  for (int64_t i = 0; i < count && !copy->failed; i++) to[i] = shell_of(copy, w, &from[i]);
}

static void dict_fill(fst_copy *copy, work *w, const fst_dict_obj *from, fst_dict_obj *to) {
  for (int64_t i = 0; i < from->used && !copy->failed; i++) {
    if (!fst_dict_is_live(from, i)) continue;
    fst_val key = shell_of(copy, w, &from->keys[i]), val = shell_of(copy, w, &from->values[i]), old;
    if (!copy->failed && !fst_dict_put(to, &key, &val, &old)) copy->failed = true;
    fst_val_release(&key);
    fst_val_release(&val);
  }
}

static void contents_copy(fst_copy *copy, work *w, fst_obj *from, fst_obj *to) {
  switch (to->tag) {
    case FST_TAG_LIST: {
      fst_list_obj *f = (fst_list_obj *)from, *t = (fst_list_obj *)to;
      if (!fst_list_reserve(t, f->len)) {
        copy->failed = true;
        return;
      }
      for (int64_t i = 0; i < f->len; i++) t->items[i] = fst_val_none();
      t->len = f->len;
      items_fill(copy, w, f->items, t->items, f->len);
      return;
    }
    case FST_TAG_TUPLE: items_fill(copy, w, ((fst_tuple_obj *)from)->items, ((fst_tuple_obj *)to)->items, ((fst_tuple_obj *)to)->len); return;
    case FST_TAG_OBJECT: items_fill(copy, w, ((fst_object_obj *)from)->slots, ((fst_object_obj *)to)->slots, ((fst_object_obj *)to)->len); return;
    default: dict_fill(copy, w, (fst_dict_obj *)from, (fst_dict_obj *)to); return;
  }
}

static void items_detach(fst_copy *copy, work *w, fst_val *items, int64_t count) {
  for (int64_t i = 0; i < count && !copy->failed; i++) {
    if (!fst_val_is_obj(&items[i])) continue;
    fst_val old = items[i], now = shell_of(copy, w, &old);
    if (copy->failed) {
      fst_val_release(&now);
      return;
    }
    items[i] = now;
    fst_val_release(&old);
  }
}

static void contents_detach(fst_copy *copy, work *w, fst_obj *obj) {
  switch (obj->tag) {
    case FST_TAG_LIST: items_detach(copy, w, ((fst_list_obj *)obj)->items, ((fst_list_obj *)obj)->len); return;
    case FST_TAG_TUPLE: items_detach(copy, w, ((fst_tuple_obj *)obj)->items, ((fst_tuple_obj *)obj)->len); return;
    case FST_TAG_OBJECT: items_detach(copy, w, ((fst_object_obj *)obj)->slots, ((fst_object_obj *)obj)->len); return;
    default: {
      fst_dict_obj *dict = (fst_dict_obj *)obj;
      for (int64_t i = 0; i < dict->used; i++) {
        if (!fst_dict_is_live(dict, i)) continue;
        // A string key's copy hashes alike; a tensor key is its identity and must stay.
        if (dict->keys[i].tag != FST_TAG_TENSOR) items_detach(copy, w, &dict->keys[i], 1);
        items_detach(copy, w, &dict->values[i], 1);
      }
      return;
    }
  }
}

fst_val fst_copy_val(fst_copy *copy, const fst_val *val) {
  work w = {0};
  fst_val out = shell_of(copy, &w, val);
  while (w.len && !copy->failed) {
    w.len--;
    if (w.items[w.len].from) contents_copy(copy, &w, w.items[w.len].from, w.items[w.len].to);
    else contents_detach(copy, &w, w.items[w.len].to);
  }
  free(w.items);
  if (!copy->failed) return out;
  fst_val_release(&out);
  return fst_val_none();
}

bool fst_val_detach(fst_val *val) {
  if (!fst_val_is_obj(val)) return true;
  // The common cases need no map: a fresh tensor, a fresh string.
  bool immortal = val->p->flags & FST_OBJ_IMMORTAL;
  if (!immortal && val->tag == FST_TAG_TENSOR && !storage_is_passing(((fst_tensor_obj *)val->p)->storage)) return true;
  if (!immortal && (val->tag == FST_TAG_STR || val->tag == FST_TAG_COMPLEX || val->tag == FST_TAG_OPAQUE)) return true;
  fst_copy copy;
  fst_copy_init(&copy, true);
  fst_val now = fst_copy_val(&copy, val);
  bool ok = !copy.failed;
  fst_copy_deinit(&copy);
  if (!ok) return false;
  fst_val_release(val);
  *val = now;
  return true;
}
