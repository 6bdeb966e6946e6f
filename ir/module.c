#include "ir/module.h"

#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"

// Constants never change, so a pointer to one stays good when the table grows: the old table is left in the arena.
static void const_push(fst_module *m, fst_const_data data) {
  if (m->consts.len == m->consts.cap) {
    size_t cap = m->consts.cap ? m->consts.cap * 2 : 64;
    fst_const_data *moved = FST_NEW_ARRAY(&m->arena, fst_const_data, cap);
    if (m->consts.len) memcpy(moved, m->consts.data, m->consts.len * sizeof *moved);
    m->consts.data = moved;
    m->consts.cap = cap;
  }
  m->consts.data[m->consts.len++] = data;
}

fst_module *fst_module_create(void) {
  fst_module *m = calloc(1, sizeof *m);
  FST_ASSERT(m, "out of memory");
  fst_arena_init(&m->arena);
  fst_strings_init(&m->strings);
  m->types = fst_types_create(&m->arena, &m->strings);
  m->root = UINT32_MAX;
  fst_vec_push(&m->locs, (fst_loc_info){0});
  const_push(m, (fst_const_data){0});
  fst_vec_push(&m->classes, (fst_class){0});
  return m;
}

void fst_module_destroy(fst_module *m) {
  if (!m) return;
  for (size_t i = 0; i < m->functions.len; i++) fst_graph_destroy(m->functions.data[i]);
  fst_vec_free(&m->functions);
  fst_vec_free(&m->files);
  fst_vec_free(&m->locs);
  fst_vec_free(&m->classes);
  fst_vec_free(&m->storages);
  fst_vec_free(&m->tensors);
  fst_vec_free(&m->objects);
  fst_vec_free(&m->lists);
  fst_vec_free(&m->dicts);
  fst_map_deinit(&m->const_index);
  fst_map_deinit(&m->function_index);
  fst_map_deinit(&m->loc_index);
  fst_strings_deinit(&m->strings);
  fst_arena_deinit(&m->arena);
  free(m);
}

// ---- constants -------------------------------------------------------------------------------------

// What tells two constants of one kind and type apart, floats by their bits.
static void const_key(const fst_const_data *c, uint64_t key[2]) {
  key[0] = key[1] = 0;
  switch (c->kind) {
    case FST_CONST_BOOL: key[0] = c->b; break;
    case FST_CONST_INT: key[0] = (uint64_t)c->i; break;
    case FST_CONST_FLOAT: memcpy(&key[0], &c->f, sizeof c->f); break;
    case FST_CONST_COMPLEX:
      memcpy(&key[0], &c->c.re, sizeof c->c.re);
      memcpy(&key[1], &c->c.im, sizeof c->c.im);
      break;
    case FST_CONST_STR: case FST_CONST_DEVICE: case FST_CONST_ENUM: key[0] = (uint64_t)c->str << 32 | c->member; break;
    case FST_CONST_TENSOR: case FST_CONST_OBJECT: case FST_CONST_LIST: case FST_CONST_DICT: key[0] = c->index; break;
    case FST_CONST_TUPLE:
      key[0] = c->count;
      key[1] = c->count ? fst_hash_bytes(c->items, c->count * sizeof *c->items, 0) : 0;
      break;
    default: break;
  }
}

static bool const_same(const fst_const_data *a, const fst_const_data *b) {
  uint64_t x[2], y[2];
  if (a->kind != b->kind || !fst_type_eq(a->type, b->type)) return false;
  const_key(a, x);
  const_key(b, y);
  if (x[0] != y[0] || x[1] != y[1]) return false;
  return a->kind != FST_CONST_TUPLE || a->count == 0 || !memcmp(a->items, b->items, a->count * sizeof *a->items);
}

fst_const fst_const_intern(fst_module *m, const fst_const_data *data) {
  uint64_t key[2], found;
  const_key(data, key);
  uint64_t hash = fst_hash_mix(fst_hash_mix(fst_hash_mix(data->kind, data->type.id), key[0]), key[1]);
  for (; fst_map_get(&m->const_index, hash, &found); hash++)
    if (const_same(&m->consts.data[found], data)) return (fst_const){(uint32_t)found};
  fst_const_data copy = *data;
  if (copy.kind == FST_CONST_TUPLE) copy.items = fst_arena_memdup(&m->arena, data->items, data->count * sizeof *data->items);
  FST_ASSERT(m->consts.len < UINT32_MAX, "too many constants");
  fst_map_set(&m->const_index, hash, m->consts.len);
  const_push(m, copy);
  return (fst_const){(uint32_t)m->consts.len - 1};
}

const fst_const_data *fst_const_get(const fst_module *m, fst_const c) {
  FST_ASSERT(c.id && c.id < m->consts.len, "constant %u of %zu", c.id, m->consts.len);
  return &m->consts.data[c.id];
}

static fst_const const_of(fst_module *m, fst_const_data data, fst_type_kind kind) {
  data.type = fst_type_simple(m->types, kind);
  return fst_const_intern(m, &data);
}
fst_const fst_const_none(fst_module *m) { return const_of(m, (fst_const_data){.kind = FST_CONST_NONE}, FST_TY_NONE); }
fst_const fst_const_bool(fst_module *m, bool value) { return const_of(m, (fst_const_data){.kind = FST_CONST_BOOL, .b = value}, FST_TY_BOOL); }
fst_const fst_const_int(fst_module *m, int64_t value) { return const_of(m, (fst_const_data){.kind = FST_CONST_INT, .i = value}, FST_TY_INT); }
fst_const fst_const_float(fst_module *m, double value) { return const_of(m, (fst_const_data){.kind = FST_CONST_FLOAT, .f = value}, FST_TY_FLOAT); }
fst_const fst_const_str(fst_module *m, const char *text, size_t len) {
  return const_of(m, (fst_const_data){.kind = FST_CONST_STR, .str = fst_intern_n(&m->strings, text, len)}, FST_TY_STR);
}
fst_const fst_const_tensor(fst_module *m, uint32_t tensor) {
  FST_ASSERT(tensor < m->tensors.len, "tensor %u of %zu", tensor, m->tensors.len);
  return fst_const_intern(m, &(fst_const_data){.kind = FST_CONST_TENSOR, .type = m->tensors.data[tensor].type, .index = tensor});
}
fst_const fst_const_tuple(fst_module *m, fst_type type, const fst_const *items, uint32_t count) {
  return fst_const_intern(m, &(fst_const_data){.kind = FST_CONST_TUPLE, .type = type, .count = count, .items = items});
}

// ---- classes and functions -------------------------------------------------------------------------

fst_class *fst_module_class(fst_module *m, fst_class_id cls) {
  FST_ASSERT(cls.id && cls.id < m->classes.len, "class %u of %zu", cls.id, m->classes.len);
  return &m->classes.data[cls.id];
}

fst_class_id fst_module_find_class(const fst_module *m, fst_sym name) {
  for (size_t i = 1; i < m->classes.len; i++)
    if (m->classes.data[i].name == name) return (fst_class_id){(uint32_t)i};
  return (fst_class_id){0};
}

int fst_class_attr(const fst_class *cls, fst_sym name) {
  for (uint32_t i = 0; i < cls->attr_count; i++)
    if (cls->attr_names[i] == name) return (int)i;
  return -1;
}

fst_graph *fst_module_find_function(const fst_module *m, fst_sym name) {
  uint64_t index;
  return fst_map_get(&m->function_index, name, &index) ? m->functions.data[index] : NULL;
}

void fst_module_add_function(fst_module *m, fst_graph *graph) {
  FST_ASSERT(graph->module == m, "a function of another module");
  fst_map_set(&m->function_index, graph->name, m->functions.len);
  fst_vec_push(&m->functions, graph);
}

fst_graph *fst_class_method(const fst_module *m, const fst_class *cls, fst_sym method) {
  for (uint32_t i = 0; i < cls->method_count; i++)
    if (cls->method_names[i] == method) return fst_module_find_function(m, cls->method_functions[i]);
  return NULL;
}

// ---- locations -------------------------------------------------------------------------------------

fst_loc fst_loc_make(fst_module *m, uint32_t file, uint32_t line, fst_loc caller) {
  uint64_t hash = fst_hash_mix(fst_hash_mix(file, line), caller.id), found;
  for (; fst_map_get(&m->loc_index, hash, &found); hash++) {
    const fst_loc_info *l = &m->locs.data[found];
    if (l->file == file && l->line == line && l->caller.id == caller.id) return (fst_loc){(uint32_t)found};
  }
  FST_ASSERT(m->locs.len < UINT32_MAX, "too many locations");
  fst_map_set(&m->loc_index, hash, m->locs.len);
  fst_vec_push(&m->locs, ((fst_loc_info){file, line, caller}));
  return (fst_loc){(uint32_t)m->locs.len - 1};
}

fst_loc fst_loc_inline(fst_module *m, fst_loc loc, fst_loc caller) {
  if (!loc.id) return caller;
  if (!caller.id) return loc;
  fst_loc_info info = m->locs.data[loc.id];
  return fst_loc_make(m, info.file, info.line, fst_loc_inline(m, info.caller, caller));
}

void fst_loc_print(const fst_module *m, fst_loc loc, fst_text *out) {
  for (bool first = true; loc.id; first = false) {
    const fst_loc_info *l = &m->locs.data[loc.id];
    const char *file = l->file < m->files.len ? fst_sym_text(&m->strings, m->files.data[l->file]) : "?";
    fst_text_printf(out, first ? "%s:%u" : " (called from %s:%u)", file, l->line);
    loc = l->caller;
  }
}

// ---- tensor data -----------------------------------------------------------------------------------

enum { DATA_ALIGN = 64 };

uint32_t fst_module_new_tensor(fst_module *m, fst_dtype dtype, int rank, const int64_t *sizes, void **out_data) {
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  int64_t count = 1, step = 1;
  FST_ASSERT(rank >= 0 && rank <= FST_MAX_RANK, "rank %d", rank);
  for (int i = rank - 1; i >= 0; i--) {
    FST_ASSERT(sizes[i] >= 0, "size %lld", (long long)sizes[i]);
    dims[i] = sizes[i];
    strides[i] = step;
    if (sizes[i]) step *= sizes[i];
    count *= sizes[i];
  }
  uint64_t bytes = (uint64_t)count * fst_dtype_size(dtype);
  uintptr_t data = (uintptr_t)fst_arena_alloc(&m->arena, bytes + DATA_ALIGN);
  data = (data + DATA_ALIGN - 1) & ~(uintptr_t)(DATA_ALIGN - 1);
  fst_vec_push(&m->storages, ((fst_storage_info){.bytes = bytes, .where = FST_BYTES_MEMORY, .data = (void *)data}));
  fst_type type = fst_type_tensor(m->types, dtype, rank, dims, strides, FST_DEVICE_CPU, 0);
  fst_vec_push(&m->tensors, ((fst_tensor_info){.type = type, .storage = (uint32_t)m->storages.len - 1}));
  *out_data = (void *)data;
  return (uint32_t)m->tensors.len - 1;
}

bool fst_module_tensor_is_mapped(const fst_module *m, uint32_t tensor) { return tensor < m->tensors.len && m->storages.data[m->tensors.data[tensor].storage].data; }

const void *fst_module_tensor_data(const fst_module *m, uint32_t tensor) {
  FST_ASSERT(tensor < m->tensors.len, "tensor %u of %zu", tensor, m->tensors.len);
  const fst_tensor_info *t = &m->tensors.data[tensor];
  const char *base = m->storages.data[t->storage].data;
  FST_ASSERT(base, "tensor %u is not mapped", tensor);
  return base + t->offset * (int64_t)fst_dtype_size(fst_type_get(m->types, t->type)->dtype);
}

// Do all elements lie inside the storage?
static bool tensor_fits(const fst_module *m, const fst_tensor_info *info) {
  const fst_type_data *t = fst_type_get(m->types, info->type);
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || !t->has_strides || info->storage >= m->storages.len || info->offset < 0) return false;
  int64_t last = info->offset, span;
  for (int i = 0; i < t->rank; i++) {
    if (t->dims[i] == 0) return true;
    if (t->dims[i] < 0 || t->strides[i] < 0) return false;
    if (__builtin_mul_overflow(t->dims[i] - 1, t->strides[i], &span) || __builtin_add_overflow(last, span, &last)) return false;
  }
  uint64_t size = fst_dtype_size(t->dtype), bytes = m->storages.data[info->storage].bytes;
  return size && (uint64_t)last < bytes / size;
}

fst_status fst_module_map(fst_module *m, const void *archive, uint64_t archive_bytes, const void *side, uint64_t side_bytes) {
  for (size_t i = 0; i < m->storages.len; i++) {
    fst_storage_info *s = &m->storages.data[i];
    if (s->where == FST_BYTES_MEMORY) continue;
    bool in_archive = s->where == FST_BYTES_ARCHIVE;
    uint64_t have = in_archive ? archive_bytes : side_bytes;
    const char *base = in_archive ? archive : side;
    if (s->offset > have || s->bytes > have - s->offset)
      return FST_FAIL(FST_ERR_CORRUPT, "storage %zu lies outside the %s (%llu bytes at %llu of %llu)", i, in_archive ? "archive" : "side file",
                      (unsigned long long)s->bytes, (unsigned long long)s->offset, (unsigned long long)have);
    s->data = s->bytes ? base + s->offset : "";
  }
  for (size_t i = 0; i < m->tensors.len; i++) {
    if (m->tensors.data[i].type.id && !tensor_fits(m, &m->tensors.data[i])) return FST_FAIL(FST_ERR_CORRUPT, "tensor %zu reaches outside its storage", i);
  }
  return NULL;
}
