// MAPs without reductions: memory at full width.
//
// Variables that walk memory as one are merged. A thread takes `vector` neighbours along the innermost variable as one
// access of up to 16 bytes, and `unroll` of these a block apart, all loaded before any is used. That needs aligned
// pointers and, where several variables are left, rows and strides that are multiples of the vector; both are tested
// when the kernel starts, and points that fail the test, or are left over at the end, are done one at a time.
#include "codegen/cuda/schedule.h"

enum { THREADS = 256, MOST_BLOCKS = 1 << 20, VECTOR_BYTES = 16, MOST_VECTOR = 8, LOADS_IN_FLIGHT = 4, MOST_CODE = 3000 };

typedef struct pointwise {
  const fst_kstmt *stmt;
  fst_kx *roots;
  fst_cu_space space;
  uint32_t vector, unroll;
  fst_cu_list wide;            // loads that are done as vectors
  fst_cu_list multiples;       // what must be a multiple of the vector and is not known
} pointwise;

// ---- the plan ----

static bool is_wide(fst_kernel *k, pointwise *p, const fst_cu_access *a) {
  const fst_cu_space *space = &p->space;
  return fst_cu_is_wide(k, &space, 1, a, p->vector, &p->multiples);
}

static uint32_t lane_of(const pointwise *p) { return p->space.vars[p->space.count - 1]; }

static bool stores_are_wide(fst_kernel *k, pointwise *p) {
  for (uint32_t i = 0; i < p->stmt->store_count; i++) {
    fst_cu_access store = {p->stmt->stores[i].buffer, p->stmt->stores[i].indices, FST_NO_KX, false};
    if (!is_wide(k, p, &store)) return false;
  }
  return true;
}

static void plan_vector(fst_kernel *k, pointwise *p) {
  size_t widest = 1;
  for (uint32_t i = 0; i < p->stmt->store_count; i++) {
    size_t size = fst_dtype_size(k->buffers.data[p->stmt->stores[i].buffer].dtype);
    if (size > widest) widest = size;
  }
  p->vector = (uint32_t)(VECTOR_BYTES / widest);
  if (p->vector > MOST_VECTOR) p->vector = MOST_VECTOR;
  if (!stores_are_wide(k, p)) p->vector = 1;
}

// Where no load gains from vectors, neighbouring threads at neighbouring points are better than neighbours in one thread.
static void plan_loads(fst_kernel *k, pointwise *p, uint32_t cost) {
  fst_cu_accesses loads = {0};
  uint32_t moving = 0;
  fst_cu_loads(k, p->roots, p->stmt->store_count, &loads);
  for (size_t i = 0; i < loads.len; i++) {
    bool wide = is_wide(k, p, &loads.data[i]);
    moving += wide || fst_kx_depends(k, loads.data[i].load, lane_of(p));
    if (wide) fst_vec_push(&p->wide, loads.data[i].load);
  }
  fst_vec_free(&loads);
  if (moving && !p->wide.len) p->vector = 1;
  p->unroll = moving && moving <= LOADS_IN_FLIGHT ? LOADS_IN_FLIGHT / moving : 1;
  while (p->unroll > 1 && cost * p->vector * p->unroll > MOST_CODE) p->unroll /= 2;
}

// ---- the code ----

static void scalar_point(fst_cu *c, const pointwise *p, const char *at) {
  const fst_kstmt *stmt = p->stmt;
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  size_t scope = fst_cu_scope(c);
  fst_cu_space_bind(c, &p->space, at);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
  fst_cu_space_unbind(c, &p->space);
  fst_cu_forget(c, scope);
}

typedef struct wide_load { fst_kx load; const char *name; } wide_load;

static void wide_loads(fst_cu *c, const pointwise *p, const wide_load *loads, uint32_t count) {
  size_t scope = fst_cu_scope(c);
  for (uint32_t i = 0; i < count; i++) {
    const fst_kx_data *d = fst_cu_get(c, loads[i].load);
    const char *type = fst_cu_vector_type(c, d->index, p->vector);
    fst_cu_line(c, "%s[u] = *(const %s *)&%s;", loads[i].name, type, fst_cu_element(c, d->index, d->args));
  }
  fst_cu_forget(c, scope);
}

static void wide_values(fst_cu *c, const pointwise *p, const wide_load *loads, uint32_t count) {
  const fst_kstmt *stmt = p->stmt;
  uint32_t var = lane_of(p);
  const char *first = c->vars[var], **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  fst_cu_unbind(c, var);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_hoist(c, stmt->stores[i].value, false);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    values[i] = fst_cu_name(c, "out");
    fst_cu_line(c, "%s %s;", fst_cu_vector_type(c, stmt->stores[i].buffer, p->vector), values[i]);
  }
  fst_cu_line(c, "#pragma unroll");
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (int e = 0; e < %u; ++e)", p->vector);
  fst_cu_bind(c, var, fst_cu_format(c, "(%s + e)", first));
  for (uint32_t i = 0; i < count; i++) {
    bool is_bool = fst_cu_get(c, loads[i].load)->dtype == FST_BOOL;
    fst_cu_remember(c, loads[i].load, fst_cu_format(c, is_bool ? "(%s[u].e[e] != 0)" : "%s[u].e[e]", loads[i].name));
  }
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_line(c, "%s.e[e] = %s;", values[i], fst_cu_expr(c, stmt->stores[i].value));
  fst_cu_close(c);
  fst_cu_forget(c, scope);
  fst_cu_bind(c, var, first);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    const char *type = fst_cu_vector_type(c, stmt->stores[i].buffer, p->vector);
    fst_cu_line(c, "*(%s *)&%s = %s;", type, fst_cu_element(c, stmt->stores[i].buffer, stmt->stores[i].indices), values[i]);
  }
}

static uint32_t wide_declare(fst_cu *c, const pointwise *p, wide_load *loads) {
  fst_cu_accesses all = {0};
  uint32_t count = 0;
  fst_cu_loads(c->k, p->roots, p->stmt->store_count, &all);
  for (size_t i = 0; i < p->wide.len; i++) {
    bool lazy = false;
    for (size_t a = 0; a < all.len; a++)
      if (fst_kx_eq(all.data[a].load, p->wide.data[i])) lazy = all.data[a].is_lazy;
    if (lazy && c->may_fault[p->wide.data[i].id]) continue;
    loads[count] = (wide_load){p->wide.data[i], fst_cu_name(c, "t")};
    fst_cu_line(c, "%s %s[%u];", fst_cu_vector_type(c, fst_cu_get(c, p->wide.data[i])->index, p->vector), loads[count].name, p->unroll);
    count++;
  }
  fst_vec_free(&all);
  return count;
}

static void wide_loop(fst_cu *c, const pointwise *p) {
  wide_load *loads = FST_NEW_ARRAY(c->arena, wide_load, p->wide.len + 1);
  fst_cu_line(c, "const i64 chunks = total / %u;", p->vector);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 c = (i64)blockIdx.x * %u + threadIdx.x; c < chunks; c += (i64)gridDim.x * %u)", THREADS * p->unroll, THREADS * p->unroll);
  uint32_t count = wide_declare(c, p, loads);
  if (count) {
    fst_cu_line(c, "#pragma unroll");
    fst_cu_open(c, "for (int u = 0; u < %u; ++u)", p->unroll);
    fst_cu_line(c, "const i64 at = fst_min(c + u * %d, chunks - 1) * %u;", THREADS, p->vector);
    fst_cu_space_bind(c, &p->space, "at");
    wide_loads(c, p, loads, count);
    fst_cu_space_unbind(c, &p->space);
    fst_cu_close(c);
    fst_cu_forget(c, scope);
  }
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int u = 0; u < %u; ++u)", p->unroll);
  fst_cu_open(c, "if (c + u * %d < chunks)", THREADS);
  fst_cu_line(c, "const i64 at = (c + u * %d) * %u;", THREADS, p->vector);
  fst_cu_space_bind(c, &p->space, "at");
  wide_values(c, p, loads, count);
  fst_cu_space_unbind(c, &p->space);
  fst_cu_close(c);
  fst_cu_close(c);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static void wide_part(fst_cu *c, const pointwise *p) {
  bool *buffers = FST_NEW_ARRAY(c->arena, bool, c->k->buffers.len + 1);
  for (size_t i = 0; i < p->wide.len; i++) buffers[fst_cu_get(c, p->wide.data[i])->index] = true;
  for (uint32_t i = 0; i < p->stmt->store_count; i++) buffers[p->stmt->stores[i].buffer] = true;
  const char *fits = fst_cu_space_is_flat(&p->space) ? "" : fst_cu_format(c, " && %s %% %u == 0", p->space.sizes[p->space.count - 1], p->vector);
  fst_cu_line(c, "i64 done = 0;");
  fst_cu_open(c, "if (%s%s)", fst_cu_wide_condition(c, &p->multiples, buffers, p->vector), fits);
  wide_loop(c, p);
  fst_cu_line(c, "done = chunks * %u;", p->vector);
  fst_cu_close(c);
}

static void pointwise_body(fst_cu *c, const void *context) {
  pointwise p = *(const pointwise *)context;
  fst_cu_space_declare(c, &p.space);
  fst_cu_line(c, "const i64 total = %s;", p.space.total);
  if (p.vector > 1) wide_part(c, &p);
  fst_cu_open(c, "for (i64 at = %s(i64)blockIdx.x * %d + threadIdx.x; at < total; at += (i64)gridDim.x * %d)", p.vector > 1 ? "done + " : "", THREADS, THREADS);
  scalar_point(c, &p, "at");
  fst_cu_close(c);
}

bool fst_cu_pointwise(fst_cu_kernel *m, const fst_kstmt *stmt) {
  pointwise p = {.stmt = stmt, .space = fst_cu_space_of(stmt->vars, stmt->extents, stmt->var_count)};
  uint32_t cost = 0;
  if (stmt->kind != FST_KSTMT_MAP || !stmt->var_count || fst_cu_box(m->k, stmt, stmt->var_count) < stmt->var_count) return false;
  p.roots = FST_NEW_ARRAY(&m->k->arena, fst_kx, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    p.roots[i] = stmt->stores[i].value;
    if (fst_cu_reduces(m->k, p.roots[i])) return false;
    cost += fst_cu_cost(m->k, p.roots[i]);
  }
  fst_kx points = fst_cu_points(m, stmt->extents, stmt->var_count);
  if (!points.id) return false;
  fst_cu_collapse(m->k, stmt->vars, stmt->extents, stmt->var_count, p.roots, stmt->store_count, stmt->stores, stmt->store_count, p.space.merged);
  plan_vector(m->k, &p);
  plan_loads(m->k, &p, cost);
  fst_kx one = fst_kx_int(m->sizes, 1), blocks = fst_cu_ceil_div(m, points, (int64_t)THREADS * p.vector * p.unroll);
  fst_kx grid[] = {fst_kx_prim2(m->sizes, FST_PRIM_MIN, blocks, fst_kx_int(m->sizes, MOST_BLOCKS)), one, one};
  fst_cu_launch_add(m, THREADS, 0, grid, 0, pointwise_body, &p);
  fst_vec_free(&p.wide);
  fst_vec_free(&p.multiples);
  return true;
}
