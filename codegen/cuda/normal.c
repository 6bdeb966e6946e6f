// The normal form of a kernel: every value that is lowered several times, with fresh variables each time, becomes one
// expression. A reduction's variables are renamed to those of its height (how many reductions it has inside), its
// position and its extent; two reductions of one height are never inside each other, so no name is taken twice.
#include "codegen/cuda/emit.h"

typedef struct normaliser {
  const fst_kernel *from;
  fst_kernel *to;
  fst_kx *params, *vars;    // their expressions in `to`
  fst_kx *image;            // per expression of `from`
  uint32_t *height;         // per expression of `from`
  fst_map canonical;        // height, position and extent -> expression of the variable
} normaliser;

static fst_kx canonical_var(normaliser *n, uint32_t height, uint32_t position, fst_kx extent) {
  uint64_t key = (uint64_t)height << 48 | (uint64_t)position << 32 | extent.id, found;
  if (fst_map_get(&n->canonical, key, &found)) return (fst_kx){(uint32_t)found};
  fst_kx var = fst_kernel_var(n->to, FST_I64);
  fst_map_set(&n->canonical, key, var.id);
  return var;
}

static fst_kx reduce_image(normaliser *n, const fst_kx_data *d, uint32_t height) {
  fst_kx by[FST_KERNEL_MAX_DIMS], extents[FST_KERNEL_MAX_DIMS];
  for (uint32_t i = 0; i < d->var_count; i++) {
    extents[i] = n->image[d->extents[i].id];
    by[i] = canonical_var(n, height, i, extents[i]);
  }
  fst_kx body = fst_kx_substitute(n->to, n->image[d->args[0].id], d->vars, by, d->var_count);
  return fst_kx_reduce(n->to, d->reduce, by, extents, d->var_count, body);
}

static fst_kx prim_image(normaliser *n, const fst_kx_data *d, const fst_kx *args) {
  if (d->prim == FST_PRIM_CONVERT) return fst_kx_convert(n->to, args[0], d->dtype);
  if (d->prim == FST_PRIM_BITCAST) return fst_kx_bitcast(n->to, args[0], d->dtype);
  return fst_kx_prim(n->to, d->prim, args, d->arg_count);
}

static fst_kx expr_image(normaliser *n, uint32_t id) {
  const fst_kx_data *d = &n->from->exprs.data[id];
  fst_kx *args = FST_NEW_ARRAY(&n->to->arena, fst_kx, d->arg_count + 1);
  for (uint32_t i = 0; i < d->arg_count; i++) {
    args[i] = n->image[d->args[i].id];
    if (n->height[d->args[i].id] > n->height[id]) n->height[id] = n->height[d->args[i].id];
  }
  switch (d->kind) {
    case FST_KX_CONST: return fst_kx_const_bits(n->to, d->dtype, d->bits);
    case FST_KX_PARAM: return n->params[d->index];
    case FST_KX_VAR: return n->vars[d->index];
    case FST_KX_PRIM: return prim_image(n, d, args);
    case FST_KX_LOAD: return fst_kx_load(n->to, d->index, args);
    case FST_KX_REDUCE: return reduce_image(n, d, ++n->height[id]);
  }
  FST_UNREACHABLE("expression of kind %d", (int)d->kind);
}

static void list_image(const normaliser *n, const fst_kx *from, fst_kx *to, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) to[i] = from[i].id ? n->image[from[i].id] : FST_NO_KX;
}

static void statement_image(normaliser *n, const fst_kstmt *s) {
  fst_kstmt *t = fst_kernel_add_stmt(n->to, s->kind, s->var_count, s->store_count, s->carry_count);
  list_image(n, s->extents, t->extents, s->var_count);
  list_image(n, s->carry_init, t->carry_init, s->carry_count);
  list_image(n, s->carry_next, t->carry_next, s->carry_count);
  list_image(n, &s->condition, &t->condition, 1);
  for (uint32_t i = 0; i < s->var_count; i++) t->vars[i] = s->vars[i];
  for (uint32_t i = 0; i < s->carry_count; i++) t->carries[i] = s->carries[i];
  for (uint32_t i = 0; i < s->store_count; i++) {
    const fst_kstore *store = &s->stores[i];
    t->stores[i] = (fst_kstore){.buffer = store->buffer, .index_count = store->index_count};
    t->stores[i].indices = FST_NEW_ARRAY(&n->to->arena, fst_kx, store->index_count + 1);
    list_image(n, &store->value, &t->stores[i].value, 1);
    list_image(n, store->indices, t->stores[i].indices, store->index_count);
  }
  t->combine = s->combine;
  t->descending = s->descending;
  t->count_buffer = s->count_buffer;
}

fst_kernel *fst_cu_normal(const fst_kernel *kernel) {
  normaliser n = {.from = kernel, .to = fst_kernel_create(kernel->name)};
  fst_arena *arena = &n.to->arena;
  n.params = FST_NEW_ARRAY(arena, fst_kx, kernel->params.len + 1);
  n.vars = FST_NEW_ARRAY(arena, fst_kx, kernel->vars.len + 1);
  n.image = FST_NEW_ARRAY(arena, fst_kx, kernel->exprs.len);
  n.height = FST_NEW_ARRAY(arena, uint32_t, kernel->exprs.len);
  for (size_t i = 0; i < kernel->params.len; i++) n.params[i] = fst_kernel_param(n.to, kernel->params.data[i]);
  for (size_t i = 0; i < kernel->vars.len; i++) n.vars[i] = fst_kernel_var(n.to, kernel->vars.data[i]);
  for (size_t i = 0; i < kernel->buffers.len; i++) fst_kernel_buffer(n.to, &kernel->buffers.data[i]);
  for (uint32_t id = 1; id < kernel->exprs.len; id++) n.image[id] = expr_image(&n, id);
  for (size_t i = 0; i < kernel->buffers.len; i++) {
    const fst_kbuf *from = &kernel->buffers.data[i];
    fst_kbuf *to = &n.to->buffers.data[i];
    list_image(&n, from->sizes, to->sizes, from->rank);
    list_image(&n, from->strides, to->strides, from->rank);
    to->is_read = from->is_read;
  }
  for (size_t i = 0; i < kernel->stmts.len; i++) statement_image(&n, &kernel->stmts.data[i]);
  fst_map_deinit(&n.canonical);
  return n.to;
}
