// What generated code and the runtime share: value layouts, the call table, the version. Nothing else is
// shared. A change of any layout or of base/calls.def's order raises FST_ABI_VERSION.
//
// Ownership. Objects are reference counted. Every object that generated code creates belongs to the
// call's pool, which drops one reference each when the call ends; results, state and container items
// hold references of their own (the runtime calls that store into them take one). Generated code itself
// never counts.
#ifndef FST_BASE_ABI_H
#define FST_BASE_ABI_H

#include <stdint.h>

#define FST_ABI_VERSION 7

typedef enum {
  FST_TAG_NONE, FST_TAG_BOOL, FST_TAG_INT, FST_TAG_FLOAT,
  FST_TAG_COMPLEX,   // p: fst_complex_obj
  FST_TAG_STR, FST_TAG_TENSOR, FST_TAG_LIST, FST_TAG_DICT, FST_TAG_TUPLE,
  FST_TAG_OBJECT,    // instance of a user class, or an enum member's holder
  FST_TAG_DEVICE,    // i: kind | index << 8
  FST_TAG_ENUM,      // i: class number << 32 | member number
  FST_TAG_OPAQUE,    // p: fst_opaque_obj, a value that only libtorch knows
  FST_TAG_STORAGE,   // object header only, never in a value
} fst_tag;

typedef struct fst_obj {
  uint32_t refs;     // atomic
  uint16_t tag;
  uint16_t flags;    // FST_OBJ_*
} fst_obj;
enum {
  FST_OBJ_IMMORTAL = 1,  // constants of the artifact: never counted
  FST_OBJ_READONLY = 2,  // a storage over memory that its owner keeps unwritten
  FST_OBJ_ARENA = 4,     // a storage in the call's arena: gone when the call ends, so copied where it leaves
  FST_OBJ_DEVICE = 8,    // a storage whose bytes are a device's: the host must not look at them
  FST_OBJ_LENT = 16,     // a storage of a device that others work on in streams of theirs
};

typedef struct fst_val {
  uint32_t tag;
  uint32_t pad;
  union {
    int64_t i;       // INT, BOOL (0/1), DEVICE, ENUM
    double f;
    fst_obj *p;
  };
} fst_val;           // 16 bytes

typedef struct fst_storage_obj {
  fst_obj head;
  char *data;              // 64-byte aligned when ours
  int64_t bytes;
  void (*drop)(struct fst_storage_obj *self);  // releases `data`; NULL: nothing to do
  void *owner;
} fst_storage_obj;

typedef struct fst_tensor_obj {
  fst_obj head;
  uint8_t dtype, rank, device_kind, device_index;
  uint32_t pad;
  fst_storage_obj *storage;
  char *data;              // element 0
  int64_t shape[];         // rank sizes, then rank strides (elements)
} fst_tensor_obj;

typedef struct fst_str_obj { fst_obj head; int64_t len; char bytes[]; } fst_str_obj;      // NUL-terminated as well
typedef struct fst_complex_obj { fst_obj head; double re, im; } fst_complex_obj;
typedef struct fst_list_obj { fst_obj head; int64_t len, cap; fst_val *items; } fst_list_obj;
typedef struct fst_tuple_obj { fst_obj head; int64_t len; fst_val items[]; } fst_tuple_obj;
typedef struct fst_object_obj { fst_obj head; uint32_t cls; uint32_t len; fst_val slots[]; } fst_object_obj;
typedef struct fst_dict_obj {   // insertion ordered
  fst_obj head;
  int64_t len;                  // live entries
  int64_t used, cap;            // slots of `keys`/`values` in use (removed ones have tag UINT32_MAX)
  fst_val *keys, *values;
  uint32_t *index;              // open addressing, entry number + 1
  int64_t index_cap;
} fst_dict_obj;
typedef struct fst_opaque_obj { fst_obj head; void *handle; void (*drop)(void *handle); } fst_opaque_obj;

struct fst_calls;
// One call of one method. The runtime owns it; generated code reads the first fields and passes it on.
typedef struct fst_call {
  const struct fst_calls *calls;
  const char *weights;     // weights.bin, mapped; in code for a device its copy there
  int64_t flops;           // of contractions so far, a multiply-add is two; generated code counts
  fst_val *state;          // slots of the instance
  const fst_val *consts;   // constant objects of the artifact (strings, lists, tensors), immortal
  int64_t weight_bytes;    // weights that contractions have read so far
} fst_call;

// 0: done, results filled. Anything else: an error was recorded with calls->raise (or by a failing call).
typedef int32_t (*fst_entry)(fst_call *call, const fst_val *args, fst_val *results);

// Types in call signatures: v void, s status (int32_t, 0 is OK), b bool (int32_t), i int64_t, f double,
// p pointer to an object or to memory.
#define FST_C_v void
#define FST_C_s int32_t
#define FST_C_b int32_t
#define FST_C_i int64_t
#define FST_C_f double
#define FST_C_p void *

// The table: a version, then one pointer per row of base/calls.def, in order.
typedef struct fst_calls {
  uint64_t version;  // FST_ABI_VERSION
#define CALL(name, ret, params, args, doc) FST_C_##ret(*name) params;
#include "base/calls.def"
#undef CALL
} fst_calls;

// code.bin: a flat image. Its first bytes:
#define FST_CODE_MAGIC 0x31454443545346ull  // "FSTCDE1"
typedef struct fst_code_header {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t entry_count;
  uint64_t image_bytes;
  uint64_t entries[];   // offset of each fst_entry from the start of the image
} fst_code_header;

#endif
