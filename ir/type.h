// Interned types. A tensor type says what is known of dtype, rank, sizes, strides and device; the sizes
// are expressions in the symbol table of the graph the type is used in.
#ifndef FST_IR_TYPE_H
#define FST_IR_TYPE_H

#include "base/arena.h"
#include "base/dtype.h"
#include "base/map.h"
#include "ir/dim.h"
#include "ir/ids.h"

//        id, text of the simple ones ("" when it has parameters)
#define FST_TYPE_KINDS(X)                                                              \
  X(NONE, "None") X(INT, "int") X(FLOAT, "float") X(BOOL, "bool") X(COMPLEX, "complex") \
  X(STR, "str") X(DEVICE, "Device") X(NUMBER, "Scalar") X(ANY, "Any")                   \
  X(GENERATOR, "Generator") X(UNINIT, "Uninit") X(TENSOR, "") X(LIST, "") X(DICT, "")   \
  X(TUPLE, "") X(OPTIONAL, "") X(UNION, "") X(CLASS, "") X(FUTURE, "") X(OPAQUE, "")
typedef enum {
  FST_TY_INVALID,
#define X(id, text) FST_TY_##id,
  FST_TYPE_KINDS(X)
#undef X
} fst_type_kind;

enum { FST_MAX_RANK = 16, FST_RANK_UNKNOWN = -1 };
enum { FST_DEVICE_CPU = 0, FST_DEVICE_CUDA = 1, FST_DEVICE_UNKNOWN = -1 };
int64_t fst_device_bits(const char *text);   // "cuda:1" as the payload of a fst_val: kind | index << 8

typedef struct fst_type_data {
  fst_type_kind kind;
  // TENSOR
  fst_dtype dtype;          // FST_DTYPE_UNKNOWN allowed
  int rank;                 // FST_RANK_UNKNOWN allowed
  bool has_strides;         // `strides` holds expressions; else nothing is known of them
  int8_t device_kind;       // FST_DEVICE_*; importing leaves it unknown, `typed` fixes it
  int8_t device_index;
  const fst_dim *dims;      // [rank]
  const fst_dim *strides;   // [rank], in elements
  // LIST (elem), DICT (key, elem), OPTIONAL (elem), FUTURE (elem), TUPLE and UNION (items), DICT with known entries (items)
  fst_type elem, key;
  uint32_t count;
  const fst_type *items;
  // CLASS: qualified name; TUPLE: class name of a NamedTuple, else 0; OPAQUE: libtorch's own text
  fst_sym name;
  const fst_sym *fields;    // [count] of a NamedTuple; the keys of a DICT with known entries; else NULL
} fst_type_data;

typedef struct fst_types fst_types;  // owned by a module
fst_types *fst_types_create(fst_arena *arena, fst_strings *strings);

fst_type fst_type_simple(fst_types *types, fst_type_kind kind);
fst_type fst_type_tensor_any(fst_types *types);  // nothing known: `Tensor`
// dims may be NULL when rank is unknown; strides NULL when unknown.
fst_type fst_type_tensor(fst_types *types, fst_dtype dtype, int rank, const fst_dim *dims, const fst_dim *strides, int device_kind, int device_index);
fst_type fst_type_list(fst_types *types, fst_type elem);
fst_type fst_type_dict(fst_types *types, fst_type key, fst_type elem);
// A dict of texts that has exactly these keys when a call begins, and what each then holds. No keys: nothing is known of them.
fst_type fst_type_dict_entries(fst_types *types, fst_type key, fst_type elem, const fst_sym *keys, const fst_type *items, uint32_t count);
fst_type fst_type_optional(fst_types *types, fst_type elem);  // Optional[Optional[T]] and Optional[None] collapse
fst_type fst_type_future(fst_types *types, fst_type elem);
fst_type fst_type_tuple(fst_types *types, const fst_type *items, uint32_t count);
fst_type fst_type_named_tuple(fst_types *types, fst_sym name, const fst_sym *fields, const fst_type *items, uint32_t count);
fst_type fst_type_union(fst_types *types, const fst_type *items, uint32_t count);  // keeps order, drops duplicates
fst_type fst_type_class(fst_types *types, fst_sym name);
fst_type fst_type_opaque(fst_types *types, fst_sym text);

const fst_type_data *fst_type_get(const fst_types *types, fst_type type);
fst_type_kind fst_type_kind_of(const fst_types *types, fst_type type);
static inline bool fst_type_is(const fst_types *types, fst_type type, fst_type_kind kind) { return fst_type_kind_of(types, type) == kind; }

// Is every value of `sub` a value of `super`? Tensor facts only narrow; Optional, Union, Any and Scalar widen.
bool fst_type_is_subtype(const fst_types *types, fst_type sub, fst_type super);
// What two control-flow paths have in common. Sizes that differ become FST_DIM_UNKNOWN, a differing rank
// or dtype becomes unknown, None joined with T is Optional[T]; FST_NO_TYPE when nothing but Any fits.
fst_type fst_type_join(fst_types *types, fst_type a, fst_type b);
// Forgets sizes, strides, dtype and rank everywhere inside (what the archive's own annotation would say).
fst_type fst_type_erase(fst_types *types, fst_type type);
bool fst_type_has_tensor(const fst_types *types, fst_type type);
bool fst_type_is_contiguous(fst_dims *dims, const fst_types *types, fst_type type);  // proven row-major
// What memory of its own a tensor of known sizes takes, from its first element to its last: its strides may leave holes.
fst_dim fst_type_bytes(fst_dims *dims, const fst_types *types, fst_type type);
void fst_contiguous_strides(fst_dims *dims, int rank, const fst_dim *sizes, fst_dim *out_strides);

// Text: `f32[8, s0]{64, 1}@cuda0`, `f32[...]`, `?[?, 3]`, `Tensor`, `List[int]`, `Tuple[int, Tensor]`,
// `NamedTuple["__torch__.P", x: Tensor]`, `Class["__torch__.M"]`, `Dict[str, Any, "x": f32[3], "n": int]`. CPU and unknown devices print nothing.
void fst_type_print(const fst_types *types, const fst_dims *dims, fst_type type, fst_text *out);
fst_status fst_type_parse(fst_types *types, fst_dims *dims, const char **cursor, fst_type *out);

#endif
