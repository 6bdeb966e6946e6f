// The objects of base/abi.h: making, counting, copying, comparing. Everything that makes an object returns
// it with one reference, or NULL when memory is out. Counting is atomic, so objects may be shared between
// threads; the contents of lists and dicts are not guarded, as in PyTorch.
#ifndef FST_RUNTIME_OBJECT_H
#define FST_RUNTIME_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/abi.h"

// ---- values ----
static inline fst_val fst_val_none(void) { return (fst_val){.tag = FST_TAG_NONE}; }
static inline fst_val fst_val_bool(bool b) { return (fst_val){.tag = FST_TAG_BOOL, .i = b}; }
static inline fst_val fst_val_int(int64_t i) { return (fst_val){.tag = FST_TAG_INT, .i = i}; }
static inline fst_val fst_val_float(double f) { return (fst_val){.tag = FST_TAG_FLOAT, .f = f}; }
static inline fst_val fst_val_obj(void *obj) { return (fst_val){.tag = ((fst_obj *)obj)->tag, .p = obj}; }
// Does the value hold an object? (All tags from COMPLEX on but DEVICE and ENUM.)
bool fst_val_is_obj(const fst_val *val);

// ---- counting ----
void fst_obj_retain(fst_obj *obj);
// Destroys at zero, without recursion however deep the nesting.
void fst_obj_release(fst_obj *obj);
static inline void fst_val_retain(const fst_val *val) {
  if (fst_val_is_obj(val) && val->p) fst_obj_retain(val->p);   // no object: a value of a path that was not taken
}
static inline void fst_val_release(const fst_val *val) {
  if (fst_val_is_obj(val)) fst_obj_release(val->p);
}

// ---- making ----
fst_storage_obj *fst_storage_make(int64_t bytes);  // 64-byte aligned, not zeroed
fst_storage_obj *fst_storage_wrap(void *data, int64_t bytes, void (*drop)(fst_storage_obj *self), void *owner);
// Takes its own reference on the storage. `shape`: rank sizes, then rank strides.
fst_tensor_obj *fst_tensor_make(fst_storage_obj *storage, void *data, int dtype, int rank, const int64_t *shape);
fst_str_obj *fst_str_make(const char *bytes, int64_t len);  // `bytes` NULL: to be filled by the caller
fst_complex_obj *fst_complex_make(double re, double im);
fst_list_obj *fst_list_make(int64_t count, const fst_val *items);   // takes references on the items
fst_tuple_obj *fst_tuple_make(int64_t count, const fst_val *items); // `items` NULL: all None
fst_object_obj *fst_object_make(uint32_t cls, uint32_t slots);
fst_dict_obj *fst_dict_make(void);
fst_opaque_obj *fst_opaque_make(void *handle, void (*drop)(void *handle));

// ---- lists ----
bool fst_list_push(fst_list_obj *list, const fst_val *val);   // takes a reference; false: memory is out
bool fst_list_reserve(fst_list_obj *list, int64_t len);

// Python's slice of a sequence: first position, and the one to stop before. NULL: an absent bound; step not 0.
typedef struct fst_slice { int64_t from, to; } fst_slice;
fst_slice fst_slice_resolve(int64_t len, const int64_t *start, const int64_t *end, int64_t step);

// ---- dicts ----
// Entry number or -1. Keys are str, int, float, bool, complex by value, tensors by identity.
int64_t fst_dict_find(const fst_dict_obj *dict, const fst_val *key);
// Takes references. *out_old is the value that was replaced (its reference goes to the caller) or None.
bool fst_dict_put(fst_dict_obj *dict, const fst_val *key, const fst_val *val, fst_val *out_old);
// Takes entry `at` out; the references on key and value go to the caller.
void fst_dict_take(fst_dict_obj *dict, int64_t at, fst_val *out_key, fst_val *out_val);
static inline bool fst_dict_is_live(const fst_dict_obj *dict, int64_t at) { return dict->keys[at].tag != UINT32_MAX; }

// ---- tensors ----
static inline const int64_t *fst_tensor_sizes(const fst_tensor_obj *t) { return t->shape; }
static inline const int64_t *fst_tensor_strides(const fst_tensor_obj *t) { return t->shape + t->rank; }
int64_t fst_tensor_numel(const fst_tensor_obj *t);
bool fst_tensor_is_contiguous(const fst_tensor_obj *t);
// A copy of one on a device, with all of its storage, in the host's memory; NULL: memory is out, or the device failed.
fst_tensor_obj *fst_tensor_home(const fst_tensor_obj *t);
// A row-major copy in a storage of its own, in the host's memory.
fst_tensor_obj *fst_tensor_contiguous_copy(const fst_tensor_obj *t);
// Copies elements between tensors of one dtype and shape, any strides.
void fst_tensor_copy_elements(fst_tensor_obj *to, const fst_tensor_obj *from);

// ---- comparing ----
bool fst_val_equal(const fst_val *a, const fst_val *b);     // Python's ==; tensors and objects by identity
// Python's < on ints, floats, bools, strs and tuples of them: -1, 0, 1; NaN is largest. False: no order.
bool fst_val_compare(const fst_val *a, const fst_val *b, int *out_order);
uint64_t fst_val_hash(const fst_val *key);

// ---- copying ----
// Copies of object graphs that keep what is shared shared: one memory for all fst_copy_val calls of a job.
typedef struct fst_copy {
  const void **from;
  void **to;
  size_t len, cap;     // open addressing; cap a power of two
  bool only_immortal;  // copy constants of the artifact, leave counted objects alone (but look into them)
  bool failed;         // memory ran out
  // What stands for a storage in the copy, with a reference for the caller (NULL: failed); NULL: a copy of its bytes.
  fst_storage_obj *(*place)(void *context, fst_storage_obj *from);
  void *context;
} fst_copy;
void fst_copy_init(fst_copy *copy, bool only_immortal);
void fst_copy_deinit(fst_copy *copy);
// A counted copy of the value with all it holds; None after a failure. Strings and complex numbers, being
// immutable, are shared unless immortal.
fst_val fst_copy_val(fst_copy *copy, const fst_val *val);
// Replaces every immortal object that `val` reaches by a counted copy: what leaves an artifact must not
// point into it.
bool fst_val_detach(fst_val *val);

#endif
