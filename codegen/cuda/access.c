// What schedules ask of a statement before they choose.
#include "codegen/cuda/schedule.h"

#include <string.h>

static fst_kx flat_offset(fst_kernel *k, uint32_t buffer, const fst_kx *indices) {
  fst_kx sum = fst_kx_int(k, 0);
  for (uint32_t d = 0; d < k->buffers.data[buffer].rank; d++)
    sum = fst_kx_prim2(k, FST_PRIM_ADD, sum, fst_kx_prim2(k, FST_PRIM_MUL, indices[d], k->buffers.data[buffer].strides[d]));
  return sum;
}

bool fst_cu_coefficient(fst_kernel *k, uint32_t buffer, const fst_kx *indices, uint32_t var, fst_kx *out) {
  fst_kx rest;
  return fst_kx_affine(k, flat_offset(k, buffer, indices), &var, 1, out, &rest);
}

// ---- loads ----

typedef struct collector { const fst_kernel *k; uint8_t *seen; fst_cu_accesses *out; } collector;  // seen: 1 lazily, 2 outright

static void collect(collector *c, fst_kx x, bool lazy) {
  const fst_kx_data *d = fst_kx_get(c->k, x);
  if (d->kind < FST_KX_PRIM || c->seen[x.id] >= (lazy ? 1 : 2)) return;
  bool first = !c->seen[x.id];
  c->seen[x.id] = lazy ? 1 : 2;
  if (d->kind == FST_KX_LOAD && first) {
    fst_cu_access access = {d->index, d->args, x, lazy};
    fst_vec_push(c->out, access);
  } else if (d->kind == FST_KX_LOAD) {
    for (size_t i = 0; i < c->out->len; i++)
      if (fst_kx_eq(c->out->data[i].load, x)) c->out->data[i].is_lazy = false;
  }
  bool is_select = d->kind == FST_KX_PRIM && d->prim == FST_PRIM_SELECT;
  for (uint32_t i = 0; i < d->var_count; i++) collect(c, d->extents[i], lazy);
  for (uint32_t i = 0; i < d->arg_count; i++) collect(c, d->args[i], lazy || (is_select && i > 0));
}

void fst_cu_loads(const fst_kernel *k, const fst_kx *roots, uint32_t count, fst_cu_accesses *out) {
  fst_arena arena;
  fst_arena_init(&arena);
  collector c = {k, FST_NEW_ARRAY(&arena, uint8_t, k->exprs.len), out};
  for (uint32_t i = 0; i < count; i++) collect(&c, roots[i], false);
  fst_arena_deinit(&arena);
}

// ---- merging variables ----

// Whether `var` matters only as what moves affine accesses. Asked of expressions that there are; affine makes new ones.
static bool only_walks(fst_kernel *k, fst_map *seen, fst_kx x, uint32_t var) {
  const fst_kx_data d = *fst_kx_get(k, x);
  uint64_t known;
  fst_kx coefficient;
  if (d.kind == FST_KX_VAR) return d.index != var;
  if (d.kind < FST_KX_PRIM || fst_map_get(seen, x.id, &known)) return true;
  fst_map_set(seen, x.id, 1);
  if (d.kind == FST_KX_LOAD && fst_cu_coefficient(k, d.index, d.args, var, &coefficient)) return true;
  for (uint32_t i = 0; i < d.var_count; i++)
    if (!only_walks(k, seen, d.extents[i], var)) return false;
  for (uint32_t i = 0; i < d.arg_count; i++)
    if (!only_walks(k, seen, d.args[i], var)) return false;
  return true;
}

static bool walks_as_one(fst_kernel *k, const fst_cu_access *a, uint32_t outer, uint32_t inner, fst_kx extent) {
  fst_kx co, ci;
  if (!fst_cu_coefficient(k, a->buffer, a->indices, outer, &co) || !fst_cu_coefficient(k, a->buffer, a->indices, inner, &ci)) return false;
  return fst_kx_eq(co, fst_kx_prim2(k, FST_PRIM_MUL, ci, extent)) || fst_kx_eq(co, fst_kx_prim2(k, FST_PRIM_MUL, extent, ci));
}

static bool var_only_walks(fst_kernel *k, uint32_t var, const fst_kx *roots, uint32_t count) {
  fst_map seen = {0};
  bool ok = true;
  for (uint32_t i = 0; i < count && ok; i++) ok = only_walks(k, &seen, roots[i], var);
  fst_map_deinit(&seen);
  return ok;
}

void fst_cu_collapse(fst_kernel *k, const uint32_t *vars, const fst_kx *extents, uint32_t count, const fst_kx *roots, uint32_t root_count, const fst_kstore *stores, uint32_t store_count, bool *merged) {
  fst_cu_accesses all = {0};
  fst_cu_loads(k, roots, root_count, &all);
  for (uint32_t i = 0; i < store_count; i++) {
    fst_cu_access access = {stores[i].buffer, stores[i].indices, FST_NO_KX, false};
    fst_vec_push(&all, access);
  }
  memset(merged, 0, count * sizeof *merged);
  for (uint32_t i = 0; i + 1 < count; i++) {
    bool ok = var_only_walks(k, vars[i], roots, root_count) && var_only_walks(k, vars[i + 1], roots, root_count);
    for (size_t a = 0; a < all.len && ok; a++) ok = walks_as_one(k, &all.data[a], vars[i], vars[i + 1], extents[i + 1]);
    merged[i] = ok;
  }
  fst_vec_free(&all);
}

// ---- the rest ----

static bool extent_is_independent(const fst_kernel *k, const fst_kstmt *stmt, uint32_t position) {
  for (uint32_t i = 0; i < stmt->var_count; i++)
    if (fst_kx_depends(k, stmt->extents[position], stmt->vars[i])) return false;
  return true;
}

uint32_t fst_cu_box(const fst_kernel *k, const fst_kstmt *stmt, uint32_t most) {
  uint32_t count = 0;
  while (count < most && extent_is_independent(k, stmt, count)) count++;
  return count;
}

bool fst_cu_reads_its_stores(const fst_kernel *k, const fst_kstmt *stmt) {
  fst_cu_accesses loads = {0};
  bool found = false;
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    fst_cu_loads(k, &stmt->stores[i].value, 1, &loads);
    fst_cu_loads(k, stmt->stores[i].indices, stmt->stores[i].index_count, &loads);
  }
  fst_cu_loads(k, stmt->carry_next, stmt->carry_count, &loads);
  for (size_t l = 0; l < loads.len; l++)
    for (uint32_t i = 0; i < stmt->store_count; i++) found |= loads.data[l].buffer == stmt->stores[i].buffer;
  fst_vec_free(&loads);
  return found;
}

bool fst_cu_reduces(const fst_kernel *k, fst_kx x) {
  fst_arena arena;
  fst_arena_init(&arena);
  bool *has = FST_NEW_ARRAY(&arena, bool, x.id + 1);
  for (uint32_t id = 1; id <= x.id; id++) {   // operands have smaller ids
    const fst_kx_data *d = &k->exprs.data[id];
    has[id] = d->kind == FST_KX_REDUCE;
    for (uint32_t i = 0; i < d->arg_count; i++) has[id] |= has[d->args[i].id];
  }
  bool out = has[x.id];
  fst_arena_deinit(&arena);
  return out;
}

enum { MOST_COST = 100000 };

uint32_t fst_cu_cost(const fst_kernel *k, fst_kx x) {
  fst_arena arena;
  fst_arena_init(&arena);
  uint32_t *cost = FST_NEW_ARRAY(&arena, uint32_t, x.id + 1);
  for (uint32_t id = 1; id <= x.id; id++) {
    const fst_kx_data *d = &k->exprs.data[id];
    cost[id] = d->kind >= FST_KX_PRIM;
    for (uint32_t i = 0; i < d->arg_count; i++) cost[id] += cost[d->args[i].id];
    if (cost[id] > MOST_COST) cost[id] = MOST_COST;
  }
  uint32_t out = cost[x.id];
  fst_arena_deinit(&arena);
  return out;
}

fst_kx fst_cu_ceil_div(fst_cu_kernel *m, fst_kx a, int64_t by) {
  return fst_kx_prim2(m->sizes, FST_PRIM_DIV, fst_kx_prim2(m->sizes, FST_PRIM_ADD, a, fst_kx_int(m->sizes, by - 1)), fst_kx_int(m->sizes, by));
}

fst_kx fst_cu_at_most(fst_cu_kernel *m, fst_kx a, int64_t limit) {
  fst_kernel *s = m->sizes;
  fst_kx left = fst_kx_prim2(s, FST_PRIM_SUB, fst_kx_int(s, limit + 1), a);
  return fst_kx_prim2(s, FST_PRIM_MIN, fst_kx_prim2(s, FST_PRIM_MAX, left, fst_kx_int(s, 0)), fst_kx_int(s, 1));
}

fst_kx fst_cu_points(fst_cu_kernel *m, const fst_kx *extents, uint32_t count) {
  fst_kx total = fst_kx_int(m->sizes, 1), zero = fst_kx_int(m->sizes, 0);
  for (uint32_t i = 0; i < count; i++) {
    fst_kx extent = fst_cu_size(m, extents[i]);
    if (!extent.id) return FST_NO_KX;
    total = fst_kx_prim2(m->sizes, FST_PRIM_MUL, total, fst_kx_prim2(m->sizes, FST_PRIM_MAX, extent, zero));
  }
  return total;
}
