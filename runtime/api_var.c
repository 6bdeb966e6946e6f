// Values of the public interface: a handle is one fst_val with a reference on its object.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/device.h"
#include "runtime/format.h"
#include "runtime/model.h"

_Static_assert((int)FST_DT_U8 == FST_U8 && (int)FST_DT_I64 == FST_I64 && (int)FST_DT_F16 == FST_F16 && (int)FST_DT_F32 == FST_F32 &&
               (int)FST_DT_C128 == FST_C128 && (int)FST_DT_BOOL == FST_BOOL && (int)FST_DT_BF16 == FST_BF16, "one numbering of element types");

fst_var *fst_var_of(const fst_val *val) {
  fst_var *var = malloc(sizeof *var);
  if (!var) return NULL;
  var->val = *val;
  fst_val_retain(val);
  return var;
}

// Takes the reference of a fresh object; NULL: memory was out.
static fst_var *var_take(void *obj) {
  if (!obj) return NULL;
  fst_val val = fst_val_obj(obj);
  fst_var *var = fst_var_of(&val);
  fst_obj_release(obj);
  return var;
}

static fst_var *var_scalar(fst_val val) { return fst_var_of(&val); }

fst_var *fst_var_none(void) { return var_scalar(fst_val_none()); }
fst_var *fst_var_bool(int value) { return var_scalar(fst_val_bool(value != 0)); }
fst_var *fst_var_int(int64_t value) { return var_scalar(fst_val_int(value)); }
fst_var *fst_var_float(double value) { return var_scalar(fst_val_float(value)); }
fst_var *fst_var_complex(double re, double im) { return var_take(fst_complex_make(re, im)); }
fst_var *fst_var_str(const char *bytes, size_t len) { return var_take(fst_str_make(bytes, (int64_t)len)); }
fst_var *fst_var_list(void) { return var_take(fst_list_make(0, NULL)); }
fst_var *fst_var_dict(void) { return var_take(fst_dict_make()); }

fst_var *fst_var_tuple(const fst_var *const *items, size_t count) {
  fst_tuple_obj *tuple = fst_tuple_make((int64_t)count, NULL);
  for (size_t i = 0; tuple && i < count; i++) {
    tuple->items[i] = items[i]->val;
    fst_val_retain(&items[i]->val);
  }
  return var_take(tuple);
}

int fst_var_list_add(fst_var *list, const fst_var *item) {
  return list && item && list->val.tag == FST_TAG_LIST && fst_list_push((fst_list_obj *)list->val.p, &item->val);
}

int fst_var_dict_set(fst_var *dict, const fst_var *key, const fst_var *value) {
  if (!dict || !key || !value || dict->val.tag != FST_TAG_DICT) return 0;
  fst_val old;
  if (!fst_dict_put((fst_dict_obj *)dict->val.p, &key->val, &value->val, &old)) return 0;
  fst_val_release(&old);
  return 1;
}

// ---- tensors ----

typedef struct lender { void (*release)(void *owner); void *owner; } lender;

static void lender_drop(fst_storage_obj *storage) {
  lender *l = storage->owner;
  if (l->release) l->release(l->owner);
  free(l);
}

enum { RANK_MAX = 64 };

// Checks sizes and strides and finds the reach of the elements, in elements from element 0.
static fst_status shape_check(int dtype, size_t rank, const int64_t *sizes, const int64_t *strides, const void *data, int64_t *shape, int64_t *out_low, int64_t *out_high) {
  size_t elem = dtype >= 0 && dtype < 128 ? fst_dtype_size((fst_dtype)dtype) : 0;
  if (!elem) return FST_FAIL(FST_ERR_INVALID, "%d is no element type", dtype);
  if (rank > RANK_MAX) return FST_FAIL(FST_ERR_INVALID, "a tensor of %zu dimensions; at most %d can be handled", rank, RANK_MAX);
  int64_t numel = 1, low = 0, high = 0, step = 1, reach, bytes;
  for (size_t i = rank; i-- > 0;) {
    shape[i] = sizes[i];
    shape[rank + i] = strides ? strides[i] : step;
    if (sizes[i] < 0) return FST_FAIL(FST_ERR_INVALID, "size %lld of dimension %zu is negative", (long long)sizes[i], i);
    bool ok = !__builtin_mul_overflow(numel, sizes[i], &numel) && !__builtin_mul_overflow(step, sizes[i] ? sizes[i] : 1, &step);
    if (ok && sizes[i]) ok = !__builtin_mul_overflow(sizes[i] - 1, shape[rank + i], &reach) && !__builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high);
    if (!ok || __builtin_mul_overflow(numel, (int64_t)elem, &bytes)) return FST_FAIL(FST_ERR_INVALID, "the tensor's sizes and strides are too large");
  }
  if (__builtin_mul_overflow(high - low, (int64_t)elem, &bytes)) return FST_FAIL(FST_ERR_INVALID, "the tensor's sizes and strides are too large");
  if (!numel) low = high = 0;
  if (numel && !data) return FST_FAIL(FST_ERR_INVALID, "a tensor with %lld elements needs data", (long long)numel);
  size_t align = elem > 8 ? 8 : elem;
  if ((uintptr_t)data % align) return FST_FAIL(FST_ERR_INVALID, "the data of a %s tensor must be aligned to %zu bytes", fst_dtype_name((fst_dtype)dtype), align);
  *out_low = low;
  *out_high = numel ? high + 1 : 0;
  return NULL;
}

fst_failure *fst_var_tensor(int dtype, size_t rank, const int64_t *sizes, const int64_t *strides, void *data, void (*release)(void *owner), void *owner, fst_var **out) {
  static _Alignas(64) char nothing[64];  // an empty tensor may come without data
  int64_t shape[2 * RANK_MAX], low, high;
  fst_status status = shape_check(dtype, rank, sizes, strides, data, shape, &low, &high);
  if (status) return fst_failure_of(status);
  if (!data) data = nothing;
  int64_t elem = (int64_t)fst_dtype_size((fst_dtype)dtype);
  lender *l = malloc(sizeof *l);
  fst_storage_obj *storage = l ? fst_storage_wrap((char *)data + low * elem, (high - low) * elem, NULL, l) : NULL;
  fst_tensor_obj *t = storage ? fst_tensor_make(storage, data, dtype, (int)rank, shape) : NULL;
  fst_var *var = var_take(t);
  if (!var) {  // the storage still has no drop function, so the caller's memory stays the caller's
    free(l);
    fst_obj_release((fst_obj *)storage);
    return fst_failure_memory();
  }
  *l = (lender){release, owner};
  storage->drop = lender_drop;
  fst_obj_release(&storage->head);
  *out = var;
  return NULL;
}

typedef struct device_lender { void (*release)(void *owner); void *owner; } device_lender;

static void device_lender_drop(void *context) {
  device_lender *l = context;
  if (l->release) l->release(l->owner);
  free(l);
}

static fst_status tensor_lend(fst_accel *accel, int dtype, size_t rank, const int64_t *shape, int64_t low, int64_t high, void *data, device_lender *lender, fst_var **out) {
  int64_t elem = (int64_t)fst_dtype_size((fst_dtype)dtype);
  fst_storage_obj *storage;
  FST_TRY(fst_device_storage_lend(accel, (char *)data + low * elem, (high - low) * elem, device_lender_drop, lender, &storage));
  fst_var *var = var_take(fst_tensor_make(storage, data, dtype, (int)rank, shape));
  if (!var) lender->release = NULL;   // the caller's memory stays the caller's
  fst_obj_release(&storage->head);
  if (!var) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  *out = var;
  return NULL;
}

fst_failure *fst_var_tensor_cuda(int device, int dtype, size_t rank, const int64_t *sizes, const int64_t *strides, void *data, void (*release)(void *owner), void *owner, fst_var **out) {
  int64_t shape[2 * RANK_MAX], low, high;
  char name[32];
  fst_accel *accel;
  fst_status status = shape_check(dtype, rank, sizes, strides, data, shape, &low, &high);
  snprintf(name, sizeof name, "cuda:%d", device);
  if (!status) status = fst_accel_open(name, &accel);
  if (status) return fst_failure_of(status);
  device_lender *l = malloc(sizeof *l);
  if (l) *l = (device_lender){release, owner};
  status = l ? tensor_lend(accel, dtype, rank, shape, low, high, data, l, out) : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_accel_release(accel);   // the storage holds it
  return fst_failure_of(status);
}

int fst_var_device(const fst_var *var) {
  const fst_tensor_obj *t = var->val.tag == FST_TAG_TENSOR ? (const fst_tensor_obj *)var->val.p : NULL;
  return t && fst_storage_on_device(t->storage) ? t->device_index : -1;
}

fst_failure *fst_var_host(const fst_var *var, fst_var **out) {
  if (fst_var_device(var) < 0) {
    *out = fst_var_ref(var);
  } else {
    fst_storage_obj *storage;
    const fst_tensor_obj *t = (const fst_tensor_obj *)var->val.p;
    fst_status status = fst_device_storage_home(t->storage, &storage);
    if (status) return fst_failure_of(status);
    *out = var_take(fst_tensor_make(storage, storage->data + (t->data - t->storage->data), t->dtype, t->rank, t->shape));
    fst_obj_release(&storage->head);
  }
  return *out ? NULL : fst_failure_memory();
}

fst_failure *fst_var_tensor_new(int dtype, size_t rank, const int64_t *sizes, fst_var **out) {
  static _Alignas(64) char nothing[64];
  int64_t shape[2 * RANK_MAX], low, high;
  fst_status status = shape_check(dtype, rank, sizes, NULL, nothing, shape, &low, &high);
  if (status) return fst_failure_of(status);
  int64_t bytes = high * (int64_t)fst_dtype_size((fst_dtype)dtype);
  fst_storage_obj *storage = fst_storage_make(bytes);
  if (storage && bytes) memset(storage->data, 0, (size_t)bytes);
  fst_var *var = storage ? var_take(fst_tensor_make(storage, storage->data, dtype, (int)rank, shape)) : NULL;
  fst_obj_release((fst_obj *)storage);
  if (!var) return fst_failure_memory();
  *out = var;
  return NULL;
}

fst_var *fst_var_ref(const fst_var *var) { return fst_var_of(&var->val); }

void fst_var_free(fst_var *var) {
  if (!var) return;
  fst_val_release(&var->val);
  free(var);
}

// ---- reading ----

int fst_var_kind(const fst_var *var) {
  static const uint8_t kinds[] = {
    [FST_TAG_NONE] = FST_VAR_NONE, [FST_TAG_BOOL] = FST_VAR_BOOL, [FST_TAG_INT] = FST_VAR_INT, [FST_TAG_FLOAT] = FST_VAR_FLOAT,
    [FST_TAG_COMPLEX] = FST_VAR_COMPLEX, [FST_TAG_STR] = FST_VAR_STR, [FST_TAG_TENSOR] = FST_VAR_TENSOR, [FST_TAG_LIST] = FST_VAR_LIST,
    [FST_TAG_DICT] = FST_VAR_DICT, [FST_TAG_TUPLE] = FST_VAR_TUPLE, [FST_TAG_OBJECT] = FST_VAR_OBJECT, [FST_TAG_DEVICE] = FST_VAR_DEVICE,
    [FST_TAG_ENUM] = FST_VAR_ENUM, [FST_TAG_OPAQUE] = FST_VAR_OPAQUE,
  };
  return kinds[var->val.tag];
}

int fst_var_as_bool(const fst_var *var) { return var->val.tag == FST_TAG_BOOL && var->val.i; }

int64_t fst_var_as_int(const fst_var *var) {
  uint32_t tag = var->val.tag;
  return tag == FST_TAG_BOOL || tag == FST_TAG_INT || tag == FST_TAG_DEVICE || tag == FST_TAG_ENUM ? var->val.i : 0;
}

double fst_var_as_float(const fst_var *var) {
  if (var->val.tag == FST_TAG_FLOAT) return var->val.f;
  if (var->val.tag == FST_TAG_COMPLEX) return ((fst_complex_obj *)var->val.p)->re;
  return (double)fst_var_as_int(var);
}

double fst_var_imag(const fst_var *var) { return var->val.tag == FST_TAG_COMPLEX ? ((fst_complex_obj *)var->val.p)->im : 0; }

const char *fst_var_as_str(const fst_var *var, size_t *out_len) {
  const fst_str_obj *s = var->val.tag == FST_TAG_STR ? (const fst_str_obj *)var->val.p : NULL;
  if (out_len) *out_len = s ? (size_t)s->len : 0;
  return s ? s->bytes : "";
}

size_t fst_var_count(const fst_var *var) {
  switch (var->val.tag) {
    case FST_TAG_LIST: return (size_t)((fst_list_obj *)var->val.p)->len;
    case FST_TAG_TUPLE: return (size_t)((fst_tuple_obj *)var->val.p)->len;
    case FST_TAG_DICT: return (size_t)((fst_dict_obj *)var->val.p)->len;
    case FST_TAG_OBJECT: return ((fst_object_obj *)var->val.p)->len;
    default: return 0;
  }
}

// Entry number `index` counted over live entries.
static int64_t dict_entry(const fst_dict_obj *dict, size_t index) {
  if (dict->len == dict->used) return index < (size_t)dict->len ? (int64_t)index : -1;
  for (int64_t i = 0; i < dict->used; i++)
    if (fst_dict_is_live(dict, i) && index-- == 0) return i;
  return -1;
}

fst_var *fst_var_item(const fst_var *var, size_t index) {
  if (var->val.tag == FST_TAG_DICT) {
    const fst_dict_obj *dict = (const fst_dict_obj *)var->val.p;
    int64_t at = dict_entry(dict, index);
    return at < 0 ? NULL : fst_var_of(&dict->values[at]);
  }
  if (index >= fst_var_count(var)) return NULL;
  switch (var->val.tag) {
    case FST_TAG_LIST: return fst_var_of(&((fst_list_obj *)var->val.p)->items[index]);
    case FST_TAG_TUPLE: return fst_var_of(&((fst_tuple_obj *)var->val.p)->items[index]);
    default: return fst_var_of(&((fst_object_obj *)var->val.p)->slots[index]);
  }
}

fst_var *fst_var_key(const fst_var *var, size_t index) {
  if (var->val.tag != FST_TAG_DICT) return NULL;
  const fst_dict_obj *dict = (const fst_dict_obj *)var->val.p;
  int64_t at = dict_entry(dict, index);
  return at < 0 ? NULL : fst_var_of(&dict->keys[at]);
}

fst_var *fst_var_get(const fst_var *var, const char *key) {
  if (var->val.tag != FST_TAG_DICT) return NULL;
  fst_var *name = fst_var_str(key, strlen(key));
  if (!name) return NULL;
  const fst_dict_obj *dict = (const fst_dict_obj *)var->val.p;
  int64_t at = fst_dict_find(dict, &name->val);
  fst_var_free(name);
  return at < 0 ? NULL : fst_var_of(&dict->values[at]);
}

static const fst_tensor_obj *var_tensor(const fst_var *var) { return var->val.tag == FST_TAG_TENSOR ? (const fst_tensor_obj *)var->val.p : NULL; }

int fst_var_dtype(const fst_var *var) { return var_tensor(var) ? var_tensor(var)->dtype : -1; }
size_t fst_var_rank(const fst_var *var) { return var_tensor(var) ? var_tensor(var)->rank : 0; }
const int64_t *fst_var_sizes(const fst_var *var) { return var_tensor(var) ? fst_tensor_sizes(var_tensor(var)) : NULL; }
const int64_t *fst_var_strides(const fst_var *var) { return var_tensor(var) ? fst_tensor_strides(var_tensor(var)) : NULL; }
// Whoever sees an address on a device works with it in streams of theirs.
void *fst_var_data(const fst_var *var) {
  if (!var_tensor(var)) return NULL;
  fst_storage_obj *storage = var_tensor(var)->storage;
  if (fst_storage_on_device(storage)) __atomic_fetch_or(&storage->head.flags, FST_OBJ_LENT, __ATOMIC_RELAXED);
  return var_tensor(var)->data;
}
const void *fst_var_storage(const fst_var *var) { return var_tensor(var) ? var_tensor(var)->storage : NULL; }

const void *fst_var_identity(const fst_var *var) { return fst_val_is_obj(&var->val) ? var->val.p : NULL; }

void fst_var_set_readonly(fst_var *tensor) {
  if (var_tensor(tensor)) var_tensor(tensor)->storage->head.flags |= FST_OBJ_READONLY;
}

int fst_var_is_readonly(const fst_var *tensor) { return var_tensor(tensor) && (var_tensor(tensor)->storage->head.flags & FST_OBJ_READONLY); }

void *fst_var_owner(const fst_var *var, void (*release)(void *owner)) {
  const fst_tensor_obj *t = var_tensor(var);
  if (!t || t->storage->drop != lender_drop) return NULL;
  const lender *l = t->storage->owner;
  return l->release == release ? l->owner : NULL;
}

char *fst_var_format(const fst_var *var) {
  fst_buf buf = {0};
  fst_format_val(&buf, NULL, &var->val);
  return fst_buf_take(&buf);
}

void fst_string_free(char *text) { free(text); }
