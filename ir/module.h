// A module: what an archive holds. Classes, functions, the object graph with its tensors, and constants.
// One module belongs to one thread. Everything in it lives in its arena and dies with it.
#ifndef FST_IR_MODULE_H
#define FST_IR_MODULE_H

#include "base/arena.h"
#include "base/map.h"
#include "base/vec.h"
#include "ir/dim.h"
#include "ir/ids.h"
#include "ir/type.h"

// ---- literals: scalars, and references into the object graph --------------------------------------
typedef enum {
  FST_CONST_NONE, FST_CONST_BOOL, FST_CONST_INT, FST_CONST_FLOAT, FST_CONST_COMPLEX, FST_CONST_STR,
  FST_CONST_DEVICE,    // str: "cpu", "cuda:0"
  FST_CONST_TENSOR,    // index into module->tensors
  FST_CONST_OBJECT,    // index into module->objects (an instance of a class)
  FST_CONST_LIST,      // index into module->lists: has identity, may be written
  FST_CONST_DICT,      // index into module->dicts
  FST_CONST_TUPLE,     // items, immutable: also a list literal that nothing writes (type says which)
  FST_CONST_ENUM,      // class name in `str`, member name in `member`
  FST_CONST_UNINIT,    // prim::Uninitialized: never read on a live path
} fst_const_kind;

typedef struct fst_const_data {
  fst_const_kind kind;
  fst_type type;
  union {
    bool b;
    int64_t i;
    double f;
    struct { double re, im; } c;
    struct { fst_sym str, member; };
    uint32_t index;
    struct { uint32_t count; const fst_const *items; };
  };
} fst_const_data;

// ---- the object graph ------------------------------------------------------------------------------
typedef enum { FST_BYTES_ARCHIVE, FST_BYTES_SIDE, FST_BYTES_MEMORY } fst_bytes_where;
typedef struct fst_storage_info {
  uint64_t bytes;
  fst_bytes_where where;  // at `offset` of the archive file, of the importer's side file, or at `data`
  uint64_t offset;
  const void *data;       // mapped or owned by the module's arena; NULL until fst_module_map has run
} fst_storage_info;

typedef struct fst_tensor_info {
  fst_type type;       // constant dtype, sizes, strides
  uint32_t storage;    // index into module->storages
  int64_t offset;      // elements
  bool requires_grad;
} fst_tensor_info;

typedef struct fst_object_info {
  fst_class_id cls;
  fst_const *attrs;  // [class attr count]
} fst_object_info;
typedef struct fst_list_info { fst_type type; uint32_t count; fst_const *items; } fst_list_info;
typedef struct fst_dict_info { fst_type type; uint32_t count; fst_const *keys, *values; } fst_dict_info;

typedef enum { FST_CLASS_MODULE, FST_CLASS_PLAIN, FST_CLASS_ENUM, FST_CLASS_INTERFACE } fst_class_kind;
typedef struct fst_class {
  fst_sym name;
  fst_class_kind kind;
  uint32_t attr_count;
  const fst_sym *attr_names;
  const fst_type *attr_types;
  uint32_t method_count;             // methods of the class: short name and function name
  const fst_sym *method_names;
  const fst_sym *method_functions;
  fst_type enum_type;                // ENUM: type of the values
  uint32_t member_count;
  const fst_sym *member_names;
  const fst_const *member_values;
} fst_class;

// ---- source locations ------------------------------------------------------------------------------
typedef struct fst_loc_info {
  uint32_t file;    // index into module->files
  uint32_t line;    // 1-based
  fst_loc caller;   // call site this was inlined into, or none
} fst_loc_info;

struct fst_graph;
typedef struct fst_module {
  fst_arena arena;
  fst_strings strings;
  fst_types *types;
  fst_sym source;               // base name of the archive
  int8_t device_kind;           // FST_DEVICE_*: where the tensors live in what is compiled now; UNKNOWN: here or there
  FST_VEC(fst_sym) files;       // of source locations: the archive's own code/ paths
  FST_VEC(fst_loc_info) locs;   // [0] is "none"; each once
  fst_map loc_index;
  FST_VEC(fst_const_data) consts;  // [0] is invalid; in the arena, pointers stay good: push through fst_const_intern
  fst_map const_index;
  FST_VEC(fst_class) classes;   // [0] is invalid
  FST_VEC(fst_storage_info) storages;
  FST_VEC(fst_tensor_info) tensors;
  FST_VEC(fst_object_info) objects;
  FST_VEC(fst_list_info) lists;
  FST_VEC(fst_dict_info) dicts;
  FST_VEC(struct fst_graph *) functions;  // in file order
  fst_map function_index;       // name -> index
  uint32_t root;                // object index of the archive's module; UINT32_MAX when there is none
} fst_module;

fst_module *fst_module_create(void);
void fst_module_destroy(fst_module *module);  // NULL is allowed

fst_const fst_const_intern(fst_module *module, const fst_const_data *data);
const fst_const_data *fst_const_get(const fst_module *module, fst_const c);
fst_const fst_const_none(fst_module *module);
fst_const fst_const_bool(fst_module *module, bool value);
fst_const fst_const_int(fst_module *module, int64_t value);
fst_const fst_const_float(fst_module *module, double value);
fst_const fst_const_str(fst_module *module, const char *text, size_t len);
fst_const fst_const_tensor(fst_module *module, uint32_t tensor);
// An immutable tuple, or list literal when `type` is a List.
fst_const fst_const_tuple(fst_module *module, fst_type type, const fst_const *items, uint32_t count);

fst_class *fst_module_class(fst_module *module, fst_class_id cls);
fst_class_id fst_module_find_class(const fst_module *module, fst_sym name);
int fst_class_attr(const fst_class *cls, fst_sym name);  // index or -1
struct fst_graph *fst_module_find_function(const fst_module *module, fst_sym name);
void fst_module_add_function(fst_module *module, struct fst_graph *graph);
// The function that implements `method` of the class, or NULL.
struct fst_graph *fst_class_method(const fst_module *module, const fst_class *cls, fst_sym method);

fst_loc fst_loc_make(fst_module *module, uint32_t file, uint32_t line, fst_loc caller);
// The same location, inlined at `caller` (appended at the end of its chain).
fst_loc fst_loc_inline(fst_module *module, fst_loc loc, fst_loc caller);
// `code/__torch__/m.py:12` and, per caller, ` (called from ...:34)`.
void fst_loc_print(const fst_module *module, fst_loc loc, fst_text *out);

// New constant tensor data owned by the module (folded weights and the like). Returns the tensor's index;
// *out_data points at zeroed bytes to fill. The tensor is contiguous.
uint32_t fst_module_new_tensor(fst_module *module, fst_dtype dtype, int rank, const int64_t *sizes, void **out_data);
// Bytes of a tensor's first element; the storage must be mapped.
bool fst_module_tensor_is_mapped(const fst_module *module, uint32_t tensor);   // are its bytes at hand?
const void *fst_module_tensor_data(const fst_module *module, uint32_t tensor);
// Points every storage at its bytes: `archive` and `side` are mappings that outlive the module.
fst_status fst_module_map(fst_module *module, const void *archive, uint64_t archive_bytes, const void *side, uint64_t side_bytes);

#endif
