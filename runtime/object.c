#include "runtime/object.h"

#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/device.h"

bool fst_val_is_obj(const fst_val *val) {
  switch (val->tag) {
    case FST_TAG_COMPLEX: case FST_TAG_STR: case FST_TAG_TENSOR: case FST_TAG_LIST: case FST_TAG_DICT:
    case FST_TAG_TUPLE: case FST_TAG_OBJECT: case FST_TAG_OPAQUE:
      return true;
    default: return false;
  }
}

// ---- counting ----

void fst_obj_retain(fst_obj *obj) {
  if (!(obj->flags & FST_OBJ_IMMORTAL)) __atomic_fetch_add(&obj->refs, 1, __ATOMIC_RELAXED);
}

// True when this was the last reference.
static bool obj_drop_ref(fst_obj *obj) {
  if (obj->flags & FST_OBJ_IMMORTAL) return false;
  return __atomic_fetch_sub(&obj->refs, 1, __ATOMIC_ACQ_REL) == 1;
}

static void storage_release(fst_storage_obj *storage) {
  if (!storage || !obj_drop_ref(&storage->head)) return;
  if (storage->drop) storage->drop(storage);
  free(storage);
}

static bool obj_is_container(const fst_obj *obj) {
  return obj->tag == FST_TAG_LIST || obj->tag == FST_TAG_DICT || obj->tag == FST_TAG_TUPLE || obj->tag == FST_TAG_OBJECT;
}

static void leaf_destroy(fst_obj *obj) {
  if (obj->tag == FST_TAG_STORAGE) {
    fst_storage_obj *storage = (fst_storage_obj *)obj;
    if (storage->drop) storage->drop(storage);
  } else if (obj->tag == FST_TAG_TENSOR) {
    storage_release(((fst_tensor_obj *)obj)->storage);
  } else if (obj->tag == FST_TAG_OPAQUE) {
    fst_opaque_obj *opaque = (fst_opaque_obj *)obj;
    if (opaque->drop) opaque->drop(opaque->handle);
  }
  free(obj);
}

// The last item of a dying container, which shrinks; NULL when none is left. The slot stays writable
// until the next call.
static fst_val *container_pop(fst_obj *obj) {
  switch (obj->tag) {
    case FST_TAG_LIST: {
      fst_list_obj *list = (fst_list_obj *)obj;
      return list->len ? &list->items[--list->len] : NULL;
    }
    case FST_TAG_TUPLE: {
      fst_tuple_obj *tuple = (fst_tuple_obj *)obj;
      return tuple->len ? &tuple->items[--tuple->len] : NULL;
    }
    case FST_TAG_OBJECT: {
      fst_object_obj *object = (fst_object_obj *)obj;
      return object->len ? &object->slots[--object->len] : NULL;
    }
    default: {
      fst_dict_obj *dict = (fst_dict_obj *)obj;
      while (dict->used) {
        dict->used--;
        if (!fst_dict_is_live(dict, dict->used)) continue;
        fst_val_release(&dict->keys[dict->used]);  // keys hold no containers
        return &dict->values[dict->used];
      }
      return NULL;
    }
  }
}

// The slot that container_pop returned last.
static fst_val *container_popped(fst_obj *obj) {
  switch (obj->tag) {
    case FST_TAG_LIST: return &((fst_list_obj *)obj)->items[((fst_list_obj *)obj)->len];
    case FST_TAG_TUPLE: return &((fst_tuple_obj *)obj)->items[((fst_tuple_obj *)obj)->len];
    case FST_TAG_OBJECT: return &((fst_object_obj *)obj)->slots[((fst_object_obj *)obj)->len];
    default: return &((fst_dict_obj *)obj)->values[((fst_dict_obj *)obj)->used];
  }
}

static void container_free(fst_obj *obj) {
  if (obj->tag == FST_TAG_LIST) free(((fst_list_obj *)obj)->items);
  if (obj->tag == FST_TAG_DICT) {
    fst_dict_obj *dict = (fst_dict_obj *)obj;
    free(dict->keys);
    free(dict->values);
    free(dict->index);
  }
  free(obj);
}

// Pointer reversal: going down into a child, the slot it was in keeps the way back up.
static void container_destroy(fst_obj *current) {
  fst_obj *parent = NULL;
  for (;;) {
    fst_val *slot = container_pop(current);
    if (!slot) {
      fst_obj *done = current;
      current = parent;
      container_free(done);
      if (!current) return;
      parent = container_popped(current)->p;
      continue;
    }
    if (!fst_val_is_obj(slot) || !slot->p || !obj_drop_ref(slot->p)) continue;
    fst_obj *child = slot->p;
    if (!obj_is_container(child)) {
      leaf_destroy(child);
      continue;
    }
    slot->p = parent;
    parent = current;
    current = child;
  }
}

void fst_obj_release(fst_obj *obj) {
  if (!obj || !obj_drop_ref(obj)) return;
  if (obj_is_container(obj)) container_destroy(obj);
  else leaf_destroy(obj);
}

// ---- making ----

static void *obj_make(size_t bytes, fst_tag tag) {
  fst_obj *obj = malloc(bytes);
  if (obj) *obj = (fst_obj){.refs = 1, .tag = (uint16_t)tag};
  return obj;
}

fst_storage_obj *fst_storage_make(int64_t bytes) {
  if (bytes < 0 || bytes > INT64_MAX / 2) return NULL;
  // One block: the header, then the data at the next multiple of 64. malloc with room to spare is several times as
  // fast as aligned_alloc, and rows that a loop makes are many.
  fst_storage_obj *storage = malloc(sizeof *storage + 63 + ((size_t)bytes + 63) / 64 * 64);
  if (!storage) return NULL;
  *storage = (fst_storage_obj){.head = {.refs = 1, .tag = FST_TAG_STORAGE}, .bytes = bytes};
  storage->data = (char *)(((uintptr_t)(storage + 1) + 63) / 64 * 64);
  return storage;
}

fst_storage_obj *fst_storage_wrap(void *data, int64_t bytes, void (*drop)(fst_storage_obj *self), void *owner) {
  fst_storage_obj *storage = obj_make(sizeof *storage, FST_TAG_STORAGE);
  if (!storage) return NULL;
  storage->data = data;
  storage->bytes = bytes;
  storage->drop = drop;
  storage->owner = owner;
  return storage;
}

fst_tensor_obj *fst_tensor_make(fst_storage_obj *storage, void *data, int dtype, int rank, const int64_t *shape) {
  size_t words = 2 * (size_t)rank;
  fst_tensor_obj *t = obj_make(sizeof *t + words * sizeof(int64_t), FST_TAG_TENSOR);
  if (!t) return NULL;
  t->dtype = (uint8_t)dtype;
  t->rank = (uint8_t)rank;
  bool on_device = storage->head.flags & FST_OBJ_DEVICE;
  t->device_kind = on_device;   // FST_DEVICE_CUDA
  t->device_index = on_device ? (uint8_t)fst_storage_accel(storage)->index : 0;
  t->pad = 0;
  t->storage = storage;
  t->data = data;
  if (words) memcpy(t->shape, shape, words * sizeof(int64_t));
  fst_obj_retain(&storage->head);
  return t;
}

fst_str_obj *fst_str_make(const char *bytes, int64_t len) {
  if (len < 0 || len > INT64_MAX / 2) return NULL;
  fst_str_obj *str = obj_make(sizeof *str + (size_t)len + 1, FST_TAG_STR);
  if (!str) return NULL;
  str->len = len;
  if (bytes && len) memcpy(str->bytes, bytes, (size_t)len);
  str->bytes[len] = '\0';
  return str;
}

fst_complex_obj *fst_complex_make(double re, double im) {
  fst_complex_obj *c = obj_make(sizeof *c, FST_TAG_COMPLEX);
  if (!c) return NULL;
  c->re = re;
  c->im = im;
  return c;
}

fst_list_obj *fst_list_make(int64_t count, const fst_val *items) {
  fst_list_obj *list = obj_make(sizeof *list, FST_TAG_LIST);
  if (!list) return NULL;
  list->len = list->cap = 0;
  list->items = NULL;
  if (!fst_list_reserve(list, count)) {
    free(list);
    return NULL;
  }
  for (int64_t i = 0; i < count; i++) {
    list->items[i] = items[i];
    fst_val_retain(&items[i]);
  }
  list->len = count;
  return list;
}

fst_tuple_obj *fst_tuple_make(int64_t count, const fst_val *items) {
  if (count < 0 || count > INT32_MAX) return NULL;
  fst_tuple_obj *tuple = obj_make(sizeof *tuple + (size_t)count * sizeof(fst_val), FST_TAG_TUPLE);
  if (!tuple) return NULL;
  tuple->len = count;
  for (int64_t i = 0; i < count; i++) {
    tuple->items[i] = items ? items[i] : fst_val_none();
    fst_val_retain(&tuple->items[i]);
  }
  return tuple;
}

fst_object_obj *fst_object_make(uint32_t cls, uint32_t slots) {
  fst_object_obj *object = obj_make(sizeof *object + slots * sizeof(fst_val), FST_TAG_OBJECT);
  if (!object) return NULL;
  object->cls = cls;
  object->len = slots;
  for (uint32_t i = 0; i < slots; i++) object->slots[i] = fst_val_none();
  return object;
}

fst_dict_obj *fst_dict_make(void) {
  fst_dict_obj *dict = obj_make(sizeof *dict, FST_TAG_DICT);
  if (!dict) return NULL;
  fst_obj head = dict->head;
  *dict = (fst_dict_obj){.head = head};
  return dict;
}

fst_opaque_obj *fst_opaque_make(void *handle, void (*drop)(void *handle)) {
  fst_opaque_obj *opaque = obj_make(sizeof *opaque, FST_TAG_OPAQUE);
  if (!opaque) return NULL;
  opaque->handle = handle;
  opaque->drop = drop;
  return opaque;
}

// ---- lists ----

bool fst_list_reserve(fst_list_obj *list, int64_t len) {
  if (len <= list->cap) return true;
  if (len > INT64_MAX / 64) return false;
  int64_t cap = list->cap > INT64_MAX / 128 ? len : list->cap * 2;
  if (cap < len) cap = len < 4 ? 4 : len;
  fst_val *items = realloc(list->items, (size_t)cap * sizeof *items);
  if (!items) return false;
  list->items = items;
  list->cap = cap;
  return true;
}

bool fst_list_push(fst_list_obj *list, const fst_val *val) {
  fst_val item = *val;  // `val` may lie in the items that move
  if (!fst_list_reserve(list, list->len + 1)) return false;
  list->items[list->len++] = item;
  fst_val_retain(&item);
  return true;
}

static int64_t bound_clamp(int64_t bound, int64_t len, bool forward) {
  int64_t low = forward ? 0 : -1, high = forward ? len : len - 1;
  if (bound < 0) bound = bound < -len ? low : bound + len;
  return bound < low ? low : bound > high ? high : bound;
}

fst_slice fst_slice_resolve(int64_t len, const int64_t *start, const int64_t *end, int64_t step) {
  bool forward = step > 0;
  return (fst_slice){start ? bound_clamp(*start, len, forward) : forward ? 0 : len - 1, end ? bound_clamp(*end, len, forward) : forward ? len : -1};
}

// ---- tensors ----

int64_t fst_tensor_numel(const fst_tensor_obj *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= t->shape[i];
  return n;
}

bool fst_tensor_is_contiguous(const fst_tensor_obj *t) {
  const int64_t *sizes = fst_tensor_sizes(t), *strides = fst_tensor_strides(t);
  if (fst_tensor_numel(t) == 0) return true;
  int64_t expected = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    if (sizes[i] != 1 && strides[i] != expected) return false;
    expected *= sizes[i];
  }
  return true;
}

static void row_copy(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t count, size_t elem) {
  if (to_stride == 1 && from_stride == 1) {
    memcpy(to, from, (size_t)count * elem);
    return;
  }
  for (int64_t i = 0; i < count; i++) memcpy(to + i * to_stride * (int64_t)elem, from + i * from_stride * (int64_t)elem, elem);
}

void fst_tensor_copy_elements(fst_tensor_obj *to, const fst_tensor_obj *from) {
  size_t elem = fst_dtype_size((fst_dtype)from->dtype);
  int rank = from->rank;
  const int64_t *sizes = fst_tensor_sizes(from);
  const int64_t *fs = fst_tensor_strides(from), *ts = fst_tensor_strides(to);
  if (fst_tensor_numel(from) == 0) return;
  if (rank == 0) {
    memcpy(to->data, from->data, elem);
    return;
  }
  if (fst_tensor_is_contiguous(from) && fst_tensor_is_contiguous(to)) {
    memcpy(to->data, from->data, (size_t)fst_tensor_numel(from) * elem);
    return;
  }
  int64_t index[256] = {0};
  const char *src = from->data;
  char *dst = to->data;
  for (;;) {
    row_copy(dst, ts[rank - 1], src, fs[rank - 1], sizes[rank - 1], elem);
    int d = rank - 2;
    for (; d >= 0; d--) {
      src += fs[d] * (int64_t)elem;
      dst += ts[d] * (int64_t)elem;
      if (++index[d] < sizes[d]) break;
      src -= fs[d] * sizes[d] * (int64_t)elem;
      dst -= ts[d] * sizes[d] * (int64_t)elem;
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

fst_tensor_obj *fst_tensor_home(const fst_tensor_obj *t) {
  fst_storage_obj *storage;
  fst_status status = fst_device_storage_home(t->storage, &storage);
  if (status) {
    fst_error_free(status);
    return NULL;
  }
  fst_tensor_obj *home = fst_tensor_make(storage, storage->data + (t->data - t->storage->data), t->dtype, t->rank, t->shape);
  fst_obj_release(&storage->head);
  return home;
}

fst_tensor_obj *fst_tensor_contiguous_copy(const fst_tensor_obj *t) {
  if (t->storage->head.flags & FST_OBJ_DEVICE) {
    fst_tensor_obj *home = fst_tensor_home(t), *copy = home ? fst_tensor_contiguous_copy(home) : NULL;
    fst_obj_release((fst_obj *)home);
    return copy;
  }
  int64_t shape[2 * 255];
  int64_t stride = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    shape[i] = t->shape[i];
    shape[t->rank + i] = stride;
    stride *= t->shape[i] > 0 ? t->shape[i] : 1;
  }
  fst_storage_obj *storage = fst_storage_make(fst_tensor_numel(t) * (int64_t)fst_dtype_size((fst_dtype)t->dtype));
  if (!storage) return NULL;
  fst_tensor_obj *copy = fst_tensor_make(storage, storage->data, t->dtype, t->rank, shape);
  fst_obj_release(&storage->head);
  if (copy) fst_tensor_copy_elements(copy, t);
  return copy;
}
