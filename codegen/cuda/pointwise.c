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
  bool merged[FST_KERNEL_MAX_DIMS];
  uint32_t lane;               // position of the innermost variable
  bool flat;                   // it is the only one left
  uint32_t vector, unroll;
  FST_VEC(fst_kx) wide;        // loads that are done as vectors
  FST_VEC(fst_kx) multiples;   // what must be a multiple of the vector and is not known
} pointwise;

// ---- the plan ----

// Whether an access moves by one element with the lane variable and starts at a multiple of `vector` elements; conditions that
// only the run shows are added to `multiples`.
static bool is_wide(fst_kernel *k, pointwise *p, const fst_cu_access *a) {
  uint32_t vars[FST_KERNEL_MAX_DIMS], count = 0;
  fst_kx coefficients[FST_KERNEL_MAX_DIMS + 1], offset = fst_kx_int(k, 0);
  int64_t value;
  for (uint32_t i = 0; i < p->stmt->var_count; i++)
    if (!p->merged[i]) vars[count++] = p->stmt->vars[i];
  for (uint32_t d = 0; d < k->buffers.data[a->buffer].rank; d++)
    offset = fst_kx_prim2(k, FST_PRIM_ADD, offset, fst_kx_prim2(k, FST_PRIM_MUL, a->indices[d], k->buffers.data[a->buffer].strides[d]));
  for (uint32_t i = 0; i < p->stmt->var_count; i++) {
    fst_kx zero = fst_kx_int(k, 0);
    if (p->merged[i]) offset = fst_kx_substitute(k, offset, &p->stmt->vars[i], &zero, 1);
  }
  if (!fst_kx_affine(k, offset, vars, count, coefficients, &coefficients[count])) return false;
  if (!fst_kx_is_int(k, coefficients[count - 1], &value) || value != 1) return false;
  for (uint32_t i = 0; i <= count; i++) {
    if (i == count - 1) continue;
    if (fst_kx_is_int(k, coefficients[i], &value)) {
      if (value % p->vector) return false;
    } else fst_vec_push(&p->multiples, coefficients[i]);
  }
  return true;
}

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

static void plan_loads(fst_kernel *k, pointwise *p, uint32_t cost) {
  fst_cu_accesses loads = {0};
  fst_cu_loads(k, p->roots, p->stmt->store_count, &loads);
  for (size_t i = 0; i < loads.len; i++) {
    size_t known = p->multiples.len;
    if (is_wide(k, p, &loads.data[i])) fst_vec_push(&p->wide, loads.data[i].load);
    else p->multiples.len = known;
  }
  fst_vec_free(&loads);
  uint32_t used = (uint32_t)p->wide.len ? (uint32_t)p->wide.len : 1;
  p->unroll = LOADS_IN_FLIGHT / used ? LOADS_IN_FLIGHT / used : 1;
  while (p->unroll > 1 && cost * p->vector * p->unroll > MOST_CODE) p->unroll /= 2;
}

// ---- the code ----

static const char *extent_of(fst_cu *c, const pointwise *p, uint32_t position) {
  const char *all = fst_cu_expr(c, p->stmt->extents[position]);
  for (uint32_t i = position; i > 0 && p->merged[i - 1]; i--) all = fst_cu_format(c, "%s * %s", all, fst_cu_expr(c, p->stmt->extents[i - 1]));
  return all;
}

// The variables at point number `at`. Extents are C variables n0, n1...
static void bind_point(fst_cu *c, const pointwise *p, const char *at) {
  const char *rest = at;
  uint32_t first = 0;
  while (p->merged[first]) first++;
  for (uint32_t i = p->stmt->var_count; i-- > 0;) {
    if (p->merged[i]) {
      fst_cu_bind(c, p->stmt->vars[i], "0ll");
      continue;
    }
    const char *index = fst_cu_name(c, "x"), *above = fst_cu_name(c, "rest");
    if (i == first) {
      fst_cu_line(c, "const i64 %s = %s;", index, rest);
    } else {
      fst_cu_line(c, "const i64 %s = fst_quotient(%s, n%u), %s = %s - %s * n%u;", above, rest, i, index, rest, above, i);
      rest = above;
    }
    fst_cu_bind(c, p->stmt->vars[i], index);
  }
}

static void unbind_point(fst_cu *c, const pointwise *p) {
  for (uint32_t i = 0; i < p->stmt->var_count; i++) fst_cu_unbind(c, p->stmt->vars[i]);
}

static void scalar_point(fst_cu *c, const pointwise *p, const char *at) {
  const fst_kstmt *stmt = p->stmt;
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  size_t scope = fst_cu_scope(c);
  bind_point(c, p, at);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
  unbind_point(c, p);
  fst_cu_forget(c, scope);
}

static const char *vector_type(fst_cu *c, const pointwise *p, uint32_t buffer) {
  return fst_cu_format(c, "fst_vec<%s, %u>", fst_cu_memory_type(c->k->buffers.data[buffer].dtype), p->vector);
}

typedef struct wide_load { fst_kx load; const char *name; } wide_load;

static void wide_loads(fst_cu *c, const pointwise *p, const wide_load *loads, uint32_t count) {
  size_t scope = fst_cu_scope(c);
  for (uint32_t i = 0; i < count; i++) {
    const fst_kx_data *d = fst_cu_get(c, loads[i].load);
    const char *type = vector_type(c, p, d->index);
    fst_cu_line(c, "%s[u] = *(const %s *)&%s;", loads[i].name, type, fst_cu_element(c, d->index, d->args));
  }
  fst_cu_forget(c, scope);
}

static void wide_values(fst_cu *c, const pointwise *p, const wide_load *loads, uint32_t count) {
  const fst_kstmt *stmt = p->stmt;
  uint32_t var = stmt->vars[p->lane];
  const char *first = c->vars[var], **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  fst_cu_unbind(c, var);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_hoist(c, stmt->stores[i].value, false);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    values[i] = fst_cu_name(c, "out");
    fst_cu_line(c, "%s %s;", vector_type(c, p, stmt->stores[i].buffer), values[i]);
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
    const char *type = vector_type(c, p, stmt->stores[i].buffer);
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
    fst_cu_line(c, "%s %s[%u];", vector_type(c, p, fst_cu_get(c, p->wide.data[i])->index), loads[count].name, p->unroll);
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
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int u = 0; u < %u; ++u)", p->unroll);
  fst_cu_line(c, "const i64 at = fst_min(c + u * %d, chunks - 1) * %u;", THREADS, p->vector);
  bind_point(c, p, "at");
  wide_loads(c, p, loads, count);
  unbind_point(c, p);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int u = 0; u < %u; ++u)", p->unroll);
  fst_cu_line(c, "if (c + u * %d >= chunks) break;", THREADS);
  fst_cu_line(c, "const i64 at = (c + u * %d) * %u;", THREADS, p->vector);
  bind_point(c, p, "at");
  wide_values(c, p, loads, count);
  unbind_point(c, p);
  fst_cu_close(c);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static void wide_condition(fst_cu *c, const pointwise *p) {
  bool *seen = FST_NEW_ARRAY(c->arena, bool, c->k->buffers.len + 1);
  const char *all = p->flat ? "true" : fst_cu_format(c, "n%u %% %u == 0", p->lane, p->vector);
  for (size_t i = 0; i < p->multiples.len; i++) all = fst_cu_format(c, "%s && %s %% %u == 0", all, fst_cu_expr(c, p->multiples.data[i]), p->vector);
  for (size_t i = 0; i < p->wide.len; i++) seen[fst_cu_get(c, p->wide.data[i])->index] = true;
  for (uint32_t i = 0; i < p->stmt->store_count; i++) seen[p->stmt->stores[i].buffer] = true;
  for (uint32_t i = 0; i < c->k->buffers.len; i++)
    if (seen[i]) all = fst_cu_format(c, "%s && (u64)b%u %% sizeof(%s) == 0", all, i, vector_type(c, p, i));
  fst_cu_open(c, "if (%s)", all);
}

static void pointwise_body(fst_cu *c, const void *context) {
  const pointwise *p = context;
  const char *total = NULL;
  for (uint32_t i = 0; i < p->stmt->var_count; i++) {
    if (p->merged[i]) continue;
    fst_cu_line(c, "const i64 n%u = %s;", i, extent_of(c, p, i));
    total = total ? fst_cu_format(c, "%s * n%u", total, i) : fst_cu_format(c, "n%u", i);
  }
  fst_cu_line(c, "const i64 total = %s;", total);
  if (p->vector > 1) {
    fst_cu_line(c, "i64 done = 0;");
    wide_condition(c, p);
    wide_loop(c, p);
    fst_cu_line(c, "done = chunks * %u;", p->vector);
    fst_cu_close(c);
  }
  fst_cu_open(c, "for (i64 at = %s(i64)blockIdx.x * %d + threadIdx.x; at < total; at += (i64)gridDim.x * %d)", p->vector > 1 ? "done + " : "", THREADS, THREADS);
  scalar_point(c, p, "at");
  fst_cu_close(c);
}

bool fst_cu_pointwise(fst_cu_kernel *m, const fst_kstmt *stmt) {
  pointwise p = {.stmt = stmt, .lane = stmt->var_count - 1};
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
  fst_cu_collapse(m->k, stmt->vars, stmt->extents, stmt->var_count, p.roots, stmt->store_count, stmt->stores, stmt->store_count, p.merged);
  p.flat = true;
  for (uint32_t i = 0; i + 1 < stmt->var_count; i++) p.flat &= p.merged[i];
  plan_vector(m->k, &p);
  plan_loads(m->k, &p, cost);
  fst_kx one = fst_kx_int(m->sizes, 1), blocks = fst_cu_ceil_div(m, points, (int64_t)THREADS * p.vector * p.unroll);
  fst_kx grid[] = {fst_kx_prim2(m->sizes, FST_PRIM_MIN, blocks, fst_kx_int(m->sizes, MOST_BLOCKS)), one, one};
  fst_cu_launch_add(m, THREADS, grid, 0, pointwise_body, &p);
  fst_vec_free(&p.wide);
  fst_vec_free(&p.multiples);
  return true;
}
