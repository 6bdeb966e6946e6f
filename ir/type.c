#include "ir/type.h"

#include <string.h>

#include "ir/type_internal.h"

fst_types *fst_types_create(fst_arena *arena, fst_strings *strings) {
  fst_types *types = FST_NEW(arena, fst_types);
  types->arena = arena;
  types->strings = strings;
  return types;
}

// ---- interning -------------------------------------------------------------------------------------

static bool is_composite(fst_type_kind kind) { return kind == FST_TY_TUPLE || kind == FST_TY_UNION || kind == FST_TY_DICT; }

static uint64_t type_hash(const fst_type_data *t) {
  uint64_t h = fst_hash_mix(t->kind, t->name);
  h = fst_hash_mix(h, (uint64_t)t->elem.id << 32 | t->key.id);
  if (t->kind == FST_TY_TENSOR) {
    h = fst_hash_mix(h, (uint64_t)t->dtype << 32 | (uint32_t)t->rank);
    h = fst_hash_mix(h, (uint64_t)(uint8_t)t->device_kind << 8 | (uint8_t)t->device_index);
    for (int i = 0; i < t->rank; i++) h = fst_hash_mix(h, fst_hash_mix((uint64_t)t->dims[i], t->has_strides ? (uint64_t)t->strides[i] : 7));
  }
  for (uint32_t i = 0; i < t->count; i++) h = fst_hash_mix(h, (uint64_t)t->items[i].id << 32 | (t->fields ? t->fields[i] : 0));
  return h;
}

static bool same_array(const void *a, const void *b, size_t bytes) { return bytes == 0 || (a && b && !memcmp(a, b, bytes)); }

static bool type_same(const fst_type_data *a, const fst_type_data *b) {
  if (a->kind != b->kind || a->name != b->name || !fst_type_eq(a->elem, b->elem) || !fst_type_eq(a->key, b->key) || a->count != b->count) return false;
  if (a->kind == FST_TY_TENSOR) {
    if (a->dtype != b->dtype || a->rank != b->rank || a->has_strides != b->has_strides) return false;
    if (a->device_kind != b->device_kind || a->device_index != b->device_index) return false;
    size_t bytes = a->rank > 0 ? (size_t)a->rank * sizeof *a->dims : 0;
    return same_array(a->dims, b->dims, bytes) && (!a->has_strides || same_array(a->strides, b->strides, bytes));
  }
  if (!a->fields != !b->fields || !same_array(a->items, b->items, a->count * sizeof *a->items)) return false;
  return !a->fields || same_array(a->fields, b->fields, a->count * sizeof *a->fields);
}

static void types_grow_table(fst_types *types) {
  types->table_cap = types->table_cap ? types->table_cap * 2 : 128;
  types->table = FST_NEW_ARRAY(types->arena, uint32_t, types->table_cap);
  for (uint32_t i = 0; i < types->len; i++) {
    uint32_t at = (uint32_t)types->hashes[i] & (types->table_cap - 1);
    while (types->table[at]) at = (at + 1) & (types->table_cap - 1);
    types->table[at] = i + 1;
  }
}

static void types_grow(fst_types *types) {
  uint32_t cap = types->cap ? types->cap * 2 : 64;
  fst_type_data **data = FST_NEW_ARRAY(types->arena, fst_type_data *, cap);
  uint64_t *hashes = FST_NEW_ARRAY(types->arena, uint64_t, cap);
  if (types->len) {
    memcpy(data, types->data, types->len * sizeof *data);
    memcpy(hashes, types->hashes, types->len * sizeof *hashes);
  }
  types->data = data;
  types->hashes = hashes;
  types->cap = cap;
}

static const void *kept(fst_types *types, const void *array, size_t bytes) { return array && bytes ? fst_arena_memdup(types->arena, array, bytes) : array ? "" : NULL; }

static fst_type type_intern(fst_types *types, const fst_type_data *wanted) {
  uint64_t hash = type_hash(wanted);
  if (2 * (types->len + 1) > types->table_cap) types_grow_table(types);
  uint32_t at = (uint32_t)hash & (types->table_cap - 1);
  for (; types->table[at]; at = (at + 1) & (types->table_cap - 1)) {
    uint32_t index = types->table[at] - 1;
    if (types->hashes[index] == hash && type_same(types->data[index], wanted)) return (fst_type){index + 1};
  }
  if (types->len == types->cap) types_grow(types);
  fst_type_data *t = fst_arena_memdup(types->arena, wanted, sizeof *wanted);
  if (t->kind == FST_TY_TENSOR && t->rank > 0) {
    t->dims = kept(types, t->dims, (size_t)t->rank * sizeof *t->dims);
    t->strides = t->has_strides ? kept(types, t->strides, (size_t)t->rank * sizeof *t->strides) : NULL;
  } else if (t->kind == FST_TY_TENSOR) {
    t->dims = t->strides = NULL;
  }
  if (is_composite(t->kind)) {
    static const fst_type none[1] = {{0}};
    static const fst_sym no_field[1] = {0};
    bool named = t->fields != NULL;
    t->items = t->count ? kept(types, t->items, t->count * sizeof *t->items) : none;
    t->fields = !named ? NULL : t->count ? kept(types, t->fields, t->count * sizeof *t->fields) : no_field;
  }
  types->data[types->len] = t;
  types->hashes[types->len] = hash;
  types->table[at] = ++types->len;
  return (fst_type){types->len};
}

// ---- constructors ----------------------------------------------------------------------------------

fst_type fst_type_simple(fst_types *types, fst_type_kind kind) {
  FST_ASSERT(kind > FST_TY_INVALID && kind < FST_TY_TENSOR, "type kind %d has parameters", (int)kind);
  return type_intern(types, &(fst_type_data){.kind = kind});
}

fst_type fst_type_tensor_any(fst_types *types) {
  return fst_type_tensor(types, FST_DTYPE_UNKNOWN, FST_RANK_UNKNOWN, NULL, NULL, FST_DEVICE_UNKNOWN, 0);
}

fst_type fst_type_tensor(fst_types *types, fst_dtype dtype, int rank, const fst_dim *dims, const fst_dim *strides, int device_kind, int device_index) {
  FST_ASSERT(rank <= FST_MAX_RANK && rank >= FST_RANK_UNKNOWN, "rank %d", rank);
  fst_type_data t = {.kind = FST_TY_TENSOR, .dtype = dtype, .rank = rank, .device_kind = (int8_t)device_kind};
  if (device_kind == FST_DEVICE_CUDA) t.device_index = (int8_t)device_index;   // there is one CPU
  t.dims = dims;
  t.strides = strides;
  t.has_strides = rank == 0 || (rank > 0 && strides);   // nothing is left to know of a 0-d tensor's strides
  return type_intern(types, &t);
}

fst_type fst_type_list(fst_types *types, fst_type elem) { return type_intern(types, &(fst_type_data){.kind = FST_TY_LIST, .elem = elem}); }
fst_type fst_type_dict(fst_types *types, fst_type key, fst_type elem) {
  return type_intern(types, &(fst_type_data){.kind = FST_TY_DICT, .elem = elem, .key = key});
}
fst_type fst_type_dict_entries(fst_types *types, fst_type key, fst_type elem, const fst_sym *keys, const fst_type *items, uint32_t count) {
  return type_intern(types, &(fst_type_data){.kind = FST_TY_DICT, .elem = elem, .key = key, .count = count, .items = items, .fields = count ? keys : NULL});
}
fst_type fst_type_future(fst_types *types, fst_type elem) { return type_intern(types, &(fst_type_data){.kind = FST_TY_FUTURE, .elem = elem}); }

fst_type fst_type_optional(fst_types *types, fst_type elem) {
  fst_type_kind kind = fst_type_kind_of(types, elem);
  if (kind == FST_TY_OPTIONAL || kind == FST_TY_NONE || kind == FST_TY_ANY) return elem;
  return type_intern(types, &(fst_type_data){.kind = FST_TY_OPTIONAL, .elem = elem});
}

fst_type fst_type_tuple(fst_types *types, const fst_type *items, uint32_t count) {
  return type_intern(types, &(fst_type_data){.kind = FST_TY_TUPLE, .count = count, .items = items});
}
fst_type fst_type_named_tuple(fst_types *types, fst_sym name, const fst_sym *fields, const fst_type *items, uint32_t count) {
  static const fst_sym no_field[1] = {0};
  return type_intern(types, &(fst_type_data){.kind = FST_TY_TUPLE, .name = name, .count = count, .items = items, .fields = count ? fields : no_field});
}

fst_type fst_type_union(fst_types *types, const fst_type *items, uint32_t count) {
  fst_arena scratch;
  fst_arena_init(&scratch);
  fst_type *kept_items = FST_NEW_ARRAY(&scratch, fst_type, count + 1);
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    bool seen = false;
    for (uint32_t k = 0; k < n; k++) seen = seen || fst_type_eq(kept_items[k], items[i]);
    if (!seen) kept_items[n++] = items[i];
  }
  fst_type result = n == 1 ? kept_items[0] : type_intern(types, &(fst_type_data){.kind = FST_TY_UNION, .count = n, .items = kept_items});
  fst_arena_deinit(&scratch);
  return result;
}

fst_type fst_type_class(fst_types *types, fst_sym name) { return type_intern(types, &(fst_type_data){.kind = FST_TY_CLASS, .name = name}); }
fst_type fst_type_opaque(fst_types *types, fst_sym text) { return type_intern(types, &(fst_type_data){.kind = FST_TY_OPAQUE, .name = text}); }

const fst_type_data *fst_type_get(const fst_types *types, fst_type type) {
  static const fst_type_data invalid = {.kind = FST_TY_INVALID};
  if (type.id == 0) return &invalid;
  FST_ASSERT(type.id <= types->len, "type %u of %u", type.id, types->len);
  return types->data[type.id - 1];
}
fst_type_kind fst_type_kind_of(const fst_types *types, fst_type type) { return fst_type_get(types, type)->kind; }

// ---- order -----------------------------------------------------------------------------------------

static bool dims_narrow(const fst_dim *sub, const fst_dim *super, int rank) {
  for (int i = 0; i < rank; i++)
    if (fst_dim_is_known(super[i]) && sub[i] != super[i]) return false;
  return true;
}

static bool tensor_narrows(const fst_type_data *a, const fst_type_data *b) {
  if (b->dtype != FST_DTYPE_UNKNOWN && a->dtype != b->dtype) return false;
  bool both = a->device_kind != FST_DEVICE_UNKNOWN && b->device_kind != FST_DEVICE_UNKNOWN;
  if (both && (a->device_kind != b->device_kind || a->device_index != b->device_index)) return false;
  if (b->rank < 0) return true;
  if (a->rank != b->rank || !dims_narrow(a->dims, b->dims, b->rank)) return false;
  return !b->has_strides || (a->has_strides && dims_narrow(a->strides, b->strides, b->rank));
}

// Containers are invariant but for what is known of the tensors in them.
static bool type_narrows(const fst_types *types, fst_type sub, fst_type super) {
  if (fst_type_eq(sub, super)) return true;
  const fst_type_data *a = fst_type_get(types, sub), *b = fst_type_get(types, super);
  if (a->kind != b->kind) return false;
  switch (a->kind) {
    case FST_TY_TENSOR: return tensor_narrows(a, b);
    case FST_TY_LIST: case FST_TY_OPTIONAL: case FST_TY_FUTURE: return type_narrows(types, a->elem, b->elem);
    case FST_TY_DICT:
      if (!type_narrows(types, a->key, b->key) || !type_narrows(types, a->elem, b->elem) || (b->count && a->count != b->count)) return false;
      for (uint32_t i = 0; i < b->count; i++)
        if (a->fields[i] != b->fields[i] || !type_narrows(types, a->items[i], b->items[i])) return false;
      return true;
    case FST_TY_TUPLE: case FST_TY_UNION:
      if (a->count != b->count || a->name != b->name) return false;
      for (uint32_t i = 0; i < a->count; i++)
        if (!type_narrows(types, a->items[i], b->items[i])) return false;
      return true;
    default: return false;
  }
}

bool fst_type_is_subtype(const fst_types *types, fst_type sub, fst_type super) {
  if (fst_type_eq(sub, super)) return true;
  const fst_type_data *a = fst_type_get(types, sub), *b = fst_type_get(types, super);
  if (b->kind == FST_TY_ANY || a->kind == FST_TY_UNINIT) return true;
  if (a->kind == FST_TY_UNION) {
    for (uint32_t i = 0; i < a->count; i++)
      if (!fst_type_is_subtype(types, a->items[i], super)) return false;
    return true;
  }
  if (b->kind == FST_TY_NUMBER) return a->kind == FST_TY_INT || a->kind == FST_TY_FLOAT || a->kind == FST_TY_BOOL || a->kind == FST_TY_COMPLEX;
  if (a->kind == FST_TY_OPTIONAL && b->kind == FST_TY_OPTIONAL) return fst_type_is_subtype(types, a->elem, b->elem);
  if (b->kind == FST_TY_OPTIONAL) return a->kind == FST_TY_NONE || fst_type_is_subtype(types, sub, b->elem);
  if (b->kind == FST_TY_UNION) {
    bool none = a->kind != FST_TY_OPTIONAL, rest = false;
    for (uint32_t i = 0; i < b->count; i++) {
      none = none || fst_type_kind_of(types, b->items[i]) == FST_TY_NONE;
      rest = rest || fst_type_is_subtype(types, a->kind == FST_TY_OPTIONAL ? a->elem : sub, b->items[i]);
    }
    return none && rest;
  }
  if (a->kind == FST_TY_TUPLE && b->kind == FST_TY_TUPLE) {
    if (a->count != b->count || (b->name && a->name != b->name)) return false;
    for (uint32_t i = 0; i < a->count; i++)
      if (!fst_type_is_subtype(types, a->items[i], b->items[i])) return false;
    return true;
  }
  if (a->kind == FST_TY_FUTURE && b->kind == FST_TY_FUTURE) return fst_type_is_subtype(types, a->elem, b->elem);
  return type_narrows(types, sub, super);
}

// ---- join ------------------------------------------------------------------------------------------

static fst_type tensor_join(fst_types *types, const fst_type_data *a, const fst_type_data *b) {
  fst_dtype dtype = a->dtype == b->dtype ? a->dtype : FST_DTYPE_UNKNOWN;
  bool same_device = a->device_kind == b->device_kind && a->device_index == b->device_index;
  int device = same_device ? a->device_kind : FST_DEVICE_UNKNOWN;
  if (a->rank < 0 || a->rank != b->rank) return fst_type_tensor(types, dtype, FST_RANK_UNKNOWN, NULL, NULL, device, a->device_index);
  fst_dim dims[FST_MAX_RANK];
  bool same = a->has_strides && b->has_strides;
  for (int i = 0; i < a->rank; i++) {
    dims[i] = a->dims[i] == b->dims[i] ? a->dims[i] : FST_DIM_UNKNOWN;
    same = same && a->strides[i] == b->strides[i];
  }
  return fst_type_tensor(types, dtype, a->rank, dims, same ? a->strides : NULL, device, a->device_index);
}

// Elements of a container both paths may hold: the same but for facts on tensors.
static fst_type elem_join(fst_types *types, fst_type a, fst_type b) {
  if (fst_type_eq(a, b)) return a;
  if (!fst_type_eq(fst_type_erase(types, a), fst_type_erase(types, b))) return FST_NO_TYPE;
  return fst_type_join(types, a, b);
}

static fst_type tuple_join(fst_types *types, const fst_type_data *a, const fst_type_data *b) {
  if (a->count != b->count) return FST_NO_TYPE;
  fst_arena scratch;
  fst_arena_init(&scratch);
  fst_type *items = FST_NEW_ARRAY(&scratch, fst_type, a->count + 1);
  bool ok = true;
  for (uint32_t i = 0; i < a->count && ok; i++) {
    items[i] = fst_type_join(types, a->items[i], b->items[i]);
    ok = items[i].id != 0;
  }
  fst_type result = FST_NO_TYPE;
  if (ok) result = a->fields && a->name == b->name ? fst_type_named_tuple(types, a->name, a->fields, items, a->count) : fst_type_tuple(types, items, a->count);
  fst_arena_deinit(&scratch);
  return result;
}

static bool is_number(fst_type_kind kind) {
  return kind == FST_TY_INT || kind == FST_TY_FLOAT || kind == FST_TY_BOOL || kind == FST_TY_COMPLEX || kind == FST_TY_NUMBER;
}

fst_type fst_type_join(fst_types *types, fst_type a, fst_type b) {
  if (!a.id || !b.id) return FST_NO_TYPE;
  if (fst_type_is_subtype(types, a, b)) return b;
  if (fst_type_is_subtype(types, b, a)) return a;
  const fst_type_data *x = fst_type_get(types, a), *y = fst_type_get(types, b);
  if (x->kind == FST_TY_NONE || y->kind == FST_TY_NONE) return fst_type_optional(types, x->kind == FST_TY_NONE ? b : a);
  if (x->kind == FST_TY_OPTIONAL || y->kind == FST_TY_OPTIONAL) {
    fst_type elem = fst_type_join(types, x->kind == FST_TY_OPTIONAL ? x->elem : a, y->kind == FST_TY_OPTIONAL ? y->elem : b);
    return elem.id ? fst_type_optional(types, elem) : FST_NO_TYPE;
  }
  if (is_number(x->kind) && is_number(y->kind)) return fst_type_simple(types, FST_TY_NUMBER);
  if (x->kind != y->kind) return FST_NO_TYPE;
  fst_type elem = FST_NO_TYPE;
  switch (x->kind) {
    case FST_TY_TENSOR: return tensor_join(types, x, y);
    case FST_TY_TUPLE: return tuple_join(types, x, y);
    case FST_TY_LIST: case FST_TY_DICT: case FST_TY_FUTURE: elem = elem_join(types, x->elem, y->elem); break;
    default: return FST_NO_TYPE;
  }
  if (!elem.id) return FST_NO_TYPE;
  if (x->kind == FST_TY_LIST) return fst_type_list(types, elem);
  if (x->kind == FST_TY_FUTURE) return fst_type_future(types, elem);
  return fst_type_eq(x->key, y->key) ? fst_type_dict(types, x->key, elem) : FST_NO_TYPE;
}

// ---- the rest --------------------------------------------------------------------------------------

static fst_type items_erase(fst_types *types, const fst_type_data *t) {
  fst_arena scratch;
  fst_arena_init(&scratch);
  fst_type *items = FST_NEW_ARRAY(&scratch, fst_type, t->count + 1);
  for (uint32_t i = 0; i < t->count; i++) items[i] = fst_type_erase(types, t->items[i]);
  fst_type result = t->kind == FST_TY_UNION ? fst_type_union(types, items, t->count)
                    : t->fields ? fst_type_named_tuple(types, t->name, t->fields, items, t->count)
                                : fst_type_tuple(types, items, t->count);
  fst_arena_deinit(&scratch);
  return result;
}

fst_type fst_type_erase(fst_types *types, fst_type type) {
  const fst_type_data *t = fst_type_get(types, type);
  switch (t->kind) {
    case FST_TY_TENSOR: return fst_type_tensor_any(types);
    case FST_TY_LIST: return fst_type_list(types, fst_type_erase(types, t->elem));
    case FST_TY_OPTIONAL: return fst_type_optional(types, fst_type_erase(types, t->elem));
    case FST_TY_FUTURE: return fst_type_future(types, fst_type_erase(types, t->elem));
    case FST_TY_DICT: return fst_type_dict(types, fst_type_erase(types, t->key), fst_type_erase(types, t->elem));
    case FST_TY_TUPLE: case FST_TY_UNION: return items_erase(types, t);
    default: return type;
  }
}

int64_t fst_device_bits(const char *text) {
  int64_t kind = strncmp(text, "cuda", 4) == 0 ? FST_DEVICE_CUDA : FST_DEVICE_CPU, index = 0;
  for (const char *c = strchr(text, ':'); c && c[1] >= '0' && c[1] <= '9'; c++) index = index * 10 + (c[1] - '0');
  return kind | index << 8;
}

bool fst_type_has_tensor(const fst_types *types, fst_type type) {
  const fst_type_data *t = fst_type_get(types, type);
  if (t->kind == FST_TY_TENSOR) return true;
  if (t->elem.id && fst_type_has_tensor(types, t->elem)) return true;
  if (t->key.id && fst_type_has_tensor(types, t->key)) return true;
  for (uint32_t i = 0; i < t->count; i++)
    if (fst_type_has_tensor(types, t->items[i])) return true;
  return false;
}

// As PyTorch's: a size of 0 counts as 1. For a symbolic size the plain product stands, which differs only
// in tensors that turn out empty, where no element is read.
void fst_contiguous_strides(fst_dims *dims, int rank, const fst_dim *sizes, fst_dim *out_strides) {
  fst_dim stride = 1;
  for (int i = rank - 1; i >= 0; i--) {
    out_strides[i] = stride;
    if (sizes[i] != 0) stride = fst_dim_mul(dims, stride, sizes[i]);
  }
}

bool fst_type_is_contiguous(fst_dims *dims, const fst_types *types, fst_type type) {
  const fst_type_data *t = fst_type_get(types, type);
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || !t->has_strides) return false;
  for (int i = 0; i < t->rank; i++)
    if (t->dims[i] == 0) return true;
  fst_dim stride = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    if (t->dims[i] == 1) continue;
    if (fst_dim_equal(dims, t->strides[i], stride) != 1) return false;
    stride = fst_dim_mul(dims, stride, t->dims[i]);
  }
  return true;
}

fst_dim fst_type_bytes(fst_dims *dims, const fst_types *types, fst_type type) {
  const fst_type_data *t = fst_type_get(types, type);
  fst_dim size = fst_dim_const(dims, (int64_t)fst_dtype_size(t->dtype)), count = fst_dim_const(dims, 1), last = fst_dim_const(dims, 0);
  bool known = t->has_strides;
  for (int i = 0; i < t->rank; i++) {
    count = fst_dim_mul(dims, count, t->dims[i]);
    known &= t->has_strides && t->strides[i] != FST_DIM_UNKNOWN;
    if (known) last = fst_dim_add(dims, last, fst_dim_mul(dims, fst_dim_add(dims, t->dims[i], fst_dim_const(dims, -1)), t->strides[i]));
  }
  if (!known || fst_type_is_contiguous(dims, types, type)) return fst_dim_mul(dims, size, count);
  fst_dim span = fst_dim_max(dims, fst_dim_add(dims, last, fst_dim_const(dims, 1)), fst_dim_const(dims, 0));
  return fst_dim_mul(dims, size, span);
}
