// Types of the specializer: sizes and strides through maps, fresh symbols, what two types share, what is learned of sizes.
#include "passes/specialize.h"
#include "passes/specialize_internal.h"

typedef fst_dim (*dim_fn)(specializer *sp, const world *w, fst_dim d);

// Strides that are all unknown but there say: row-major, whatever the sizes turn out to be. Joining two
// row-major tensors of different sizes leaves that; other strides that are all forgotten must go altogether.
static void open_strides(fst_dim *strides) {
  for (int i = 0; i < FST_MAX_RANK; i++) strides[i] = FST_DIM_UNKNOWN;
}
static bool are_open(const fst_dim *strides, int rank) {
  bool open = true;
  for (int i = 0; i < rank; i++) open = open && !fst_dim_is_known(strides[i]);
  return open;
}
static bool is_row_major(specializer *sp, const fst_type_data *t, fst_type type) {
  return t->has_strides && (are_open(t->strides, t->rank) || fst_type_is_contiguous(sp->out->dims, sp->out->module->types, type));
}

// Rebuilds a type with every size and stride mapped through `f`.
static fst_type map_dims(specializer *sp, const world *w, fst_type type, dim_fn f) {
  fst_types *types = sp->out->module->types;
  const fst_type_data *t = fst_type_get(types, type);
  switch (t->kind) {
    case FST_TY_TENSOR: {
      if (t->rank < 0) return type;
      fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
      for (int i = 0; i < t->rank; i++) {
        dims[i] = f(sp, w, t->dims[i]);
        if (t->has_strides) strides[i] = f(sp, w, t->strides[i]);
      }
      bool forgot = t->has_strides && are_open(strides, t->rank) && !are_open(t->strides, t->rank);
      return fst_type_tensor(types, t->dtype, t->rank, dims, t->has_strides && !forgot ? strides : NULL, t->device_kind, t->device_index);
    }
    case FST_TY_LIST: return fst_type_list(types, map_dims(sp, w, t->elem, f));
    case FST_TY_OPTIONAL: return fst_type_optional(types, map_dims(sp, w, t->elem, f));
    case FST_TY_DICT: case FST_TY_TUPLE: {
      fst_type *items = FST_NEW_ARRAY(&sp->arena, fst_type, t->count + 1);
      for (uint32_t i = 0; i < t->count; i++) items[i] = map_dims(sp, w, t->items[i], f);
      if (t->kind == FST_TY_DICT) return fst_type_dict_entries(types, t->key, map_dims(sp, w, t->elem, f), t->fields, items, t->count);
      return t->fields ? fst_type_named_tuple(types, t->name, t->fields, items, t->count) : fst_type_tuple(types, items, t->count);
    }
    default: return type;
  }
}

static fst_dim import_dim(specializer *sp, const world *w, fst_dim d) {
  (void)w;
  return fst_dim_is_known(d) ? fst_dim_import(sp->out->dims, sp->src->dims, d, NULL, 0) : d;
}
fst_type import_type(specializer *sp, fst_type type) { return map_dims(sp, NULL, type, import_dim); }

fst_dim dim_facts(specializer *sp, const world *w, fst_dim d) {
  return fst_dim_is_known(d) ? fst_dim_substitute(sp->out->dims, d, w->facts.data, (uint32_t)w->facts.len) : d;
}
fst_type apply_facts(specializer *sp, const world *w, fst_type type) {
  return w->facts.len ? map_dims(sp, w, type, dim_facts) : type;
}

static fst_block_id moved_block(specializer *sp, fst_block_id block) {
  while (block.id < sp->block_moved.len && sp->block_moved.data[block.id].id) block = sp->block_moved.data[block.id];
  return block;
}

static bool block_encloses(specializer *sp, fst_block_id outer, fst_block_id inner) {
  outer = moved_block(sp, outer);
  for (fst_block_id b = moved_block(sp, inner); b.id;) {
    if (fst_block_eq(outer, b)) return true;
    fst_node_id owner = fst_block_get(sp->out, b)->owner;
    if (!owner.id) return false;
    b = moved_block(sp, fst_node_get(sp->out, owner)->block);
  }
  return false;
}

bool symbol_visible(specializer *sp, fst_dim d, fst_block_id block) {
  fst_dim_view v = fst_dim_open(sp->out->dims, d);
  if (v.kind == FST_DIM_SYMBOL) return v.symbol < sp->first_local_symbol || block_encloses(sp, sp->symbol_block.data[v.symbol], block);
  for (uint32_t i = 0; i < v.count; i++)
    if (!symbol_visible(sp, v.operands[i], block)) return false;
  return true;
}

void adopt_symbols(specializer *sp, fst_block_id block) {
  uint32_t count = fst_dims_symbol_count(sp->out->dims);
  while (sp->symbol_block.len < count) fst_vec_push(&sp->symbol_block, block);
}

fst_dim fresh_symbol(specializer *sp, const world *w, bool is_signed) {
  adopt_symbols(sp, w->block);
  fst_dim d = fst_dim_fresh(sp->out->dims, is_signed);
  adopt_symbols(sp, w->block);
  return d;
}

static fst_dim instantiate_dim(specializer *sp, const world *w, fst_dim d) {
  return fst_dim_is_known(d) && symbol_visible(sp, d, w->block) ? d : fresh_symbol(sp, w, false);
}
// Nothing is left open, and `block` sees all symbols. The strides are then what they are, of sizes 0 and 1 too.
static bool all_visible(specializer *sp, const fst_type_data *t, fst_block_id block) {
  for (int i = 0; i < t->rank; i++) {
    if (!fst_dim_is_known(t->dims[i]) || !symbol_visible(sp, t->dims[i], block)) return false;
    if (!t->has_strides || !fst_dim_is_known(t->strides[i]) || !symbol_visible(sp, t->strides[i], block)) return false;
  }
  return true;
}

// A tensor of known rank gets symbols for the sizes and strides that are not known. Items of containers
// stay open: each is instantiated where it is taken out.
fst_type instantiate(specializer *sp, const world *w, fst_type type) {
  fst_types *types = sp->out->module->types;
  const fst_type_data *t = fst_type_get(types, type);
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || t->dtype == FST_DTYPE_UNKNOWN || (t->rank && all_visible(sp, t, w->block))) return type;
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  bool row_major = is_row_major(sp, t, type);
  for (int i = 0; i < t->rank; i++) dims[i] = instantiate_dim(sp, w, t->dims[i]);
  for (int i = 0; i < t->rank && !row_major; i++) strides[i] = t->has_strides ? instantiate_dim(sp, w, t->strides[i]) : fresh_symbol(sp, w, true);
  if (row_major) fst_contiguous_strides(sp->out->dims, t->rank, dims, strides);
  return fst_type_tensor(types, t->dtype, t->rank, dims, strides, t->device_kind, t->device_index);
}

static fst_dim generalize_dim(specializer *sp, const world *w, fst_dim d) {
  (void)w;
  if (!fst_dim_is_known(d)) return d;
  fst_dim_view v = fst_dim_open(sp->out->dims, d);
  if (v.kind == FST_DIM_SYMBOL && v.symbol >= sp->first_local_symbol) return FST_DIM_UNKNOWN;
  for (uint32_t i = 0; i < v.count; i++)
    if (!fst_dim_is_known(generalize_dim(sp, w, v.operands[i]))) return FST_DIM_UNKNOWN;
  return d;
}
// A size that holds beyond this call: a constant.
static fst_dim constant_dim(specializer *sp, const world *w, fst_dim d) {
  int64_t number;
  (void)w;
  return fst_dim_is_const(sp->out->dims, d, &number) && number >= 0 ? number : FST_DIM_UNKNOWN;
}

// The type with its sizes mapped; a row-major one stays row-major.
static fst_type map_layout(specializer *sp, fst_type type, dim_fn f) {
  const fst_type_data *t = fst_type_get(sp->out->module->types, type);
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || !is_row_major(sp, t, type)) return map_dims(sp, NULL, type, f);
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  bool all_known = true, same = true;
  for (int i = 0; i < t->rank; i++) {
    dims[i] = f(sp, NULL, t->dims[i]);
    all_known = all_known && fst_dim_is_known(dims[i]);
    same = same && dims[i] == t->dims[i] && fst_dim_is_known(t->strides[i]) && f(sp, NULL, t->strides[i]) == t->strides[i];
  }
  if (all_known && same) return type;
  if (all_known) fst_contiguous_strides(sp->out->dims, t->rank, dims, strides);
  else open_strides(strides);
  return fst_type_tensor(sp->out->module->types, t->dtype, t->rank, dims, strides, t->device_kind, t->device_index);
}
fst_type generalize(specializer *sp, fst_type type) { return map_layout(sp, type, generalize_dim); }
fst_type lasting_type(specializer *sp, fst_type type) { return map_layout(sp, type, constant_dim); }

static fst_dim no_dim(specializer *sp, const world *w, fst_dim d) {
  (void)sp, (void)w, (void)d;
  return FST_DIM_UNKNOWN;
}
fst_type open_sizes(specializer *sp, fst_type type) { return map_layout(sp, type, no_dim); }

static fst_dim join_dim(specializer *sp, fst_dim a, fst_dim b, fst_block_id block) {
  return a == b && fst_dim_is_known(a) && symbol_visible(sp, a, block) ? a : FST_DIM_UNKNOWN;
}

fst_type join_types(specializer *sp, fst_type before, fst_type left, fst_block_id block) {
  fst_types *types = sp->out->module->types;
  const fst_type_data *a = fst_type_get(types, before), *b = fst_type_get(types, left);
  if (a->kind == FST_TY_UNINIT && b->kind != FST_TY_UNINIT) return join_types(sp, left, left, block);
  if (b->kind == FST_TY_UNINIT) return before;
  if (a->kind != FST_TY_TENSOR || b->kind != FST_TY_TENSOR || a->rank != b->rank || a->rank < 0 || a->dtype != b->dtype) {
    fst_type type = fst_type_join(types, before, left);
    return type.id ? type : fst_type_simple(types, FST_TY_ANY);
  }
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  bool row_major = is_row_major(sp, a, before) && is_row_major(sp, b, left), has_strides = a->has_strides && b->has_strides;
  for (int i = 0; i < a->rank; i++) {
    dims[i] = join_dim(sp, a->dims[i], b->dims[i], block);
    strides[i] = has_strides ? join_dim(sp, a->strides[i], b->strides[i], block) : FST_DIM_UNKNOWN;
  }
  if (row_major) open_strides(strides);
  else if (are_open(strides, a->rank)) has_strides = false;
  return fst_type_tensor(types, a->dtype, a->rank, dims, has_strides ? strides : NULL, a->device_kind, a->device_index);
}

static bool mentions(const fst_dims *dims, fst_dim d, uint32_t symbol) {
  fst_dim_view v = fst_dim_open(dims, d);
  if (v.kind == FST_DIM_SYMBOL) return v.symbol == symbol;
  for (uint32_t i = 0; i < v.count; i++)
    if (mentions(dims, v.operands[i], symbol)) return true;
  return false;
}

void learn_equal(specializer *sp, world *w, fst_dim a, fst_dim b) {
  a = dim_facts(sp, w, a);
  b = dim_facts(sp, w, b);
  if (!fst_dim_is_known(a) || !fst_dim_is_known(b) || a == b) return;
  uint32_t symbol, other;
  if (!fst_dim_is_symbol(sp->out->dims, a, &symbol)) {
    fst_dim swap = a;
    a = b;
    b = swap;
    if (!fst_dim_is_symbol(sp->out->dims, a, &symbol)) return;
  }
  // Between two symbols keep the older one: it is visible wherever the younger is.
  if (fst_dim_is_symbol(sp->out->dims, b, &other) && other > symbol) {
    b = a;
    symbol = other;
  }
  if (mentions(sp->out->dims, b, symbol)) return;   // s0 == max(s0, 0) bounds it, and replaces nothing
  while (w->facts.len <= symbol) WORLD_PUSH(sp, &w->facts, FST_DIM_UNKNOWN);
  w->facts.data[symbol] = b;
  // Facts stay closed under each other, so that one substitution is enough.
  for (size_t i = 0; i < w->facts.len; i++)
    if (fst_dim_is_known(w->facts.data[i])) w->facts.data[i] = dim_facts(sp, w, w->facts.data[i]);
}
