// Reductions over values that need reductions of their own, as a mean over a convolution's result: a thread would have to
// do the inner ones alone. Their values become a MAP of its own, which has a schedule of its own, and pass through scratch
// memory to the statement that reduces them. So do the results of few long rows that many points read, as of a softmax: one
// block would have to do a row alone, where parts of a row can go to several.
#include "codegen/cuda/schedule.h"

enum { SMALL_WORK = 16, LONG_ROW = 1 << 16, FEW_ROWS = 64, MOST_VARS = 2 * FST_KERNEL_MAX_DIMS };

// Variables that are bound where a value stands: the statement's, then those of the reductions around it.
typedef struct context { uint32_t count; fst_kx vars[MOST_VARS], extents[MOST_VARS]; } context;

typedef struct stager {
  fst_cu_kernel *m;
  fst_kernel *k;
  fst_map vars;      // number in the context and extent -> a variable, so that equal values have one place
  fst_map staged;    // value -> load of it
} stager;

// The rewriting of one expression in one context.
typedef struct rewrite { stager *s; const context *at; const fst_kx_data *around; fst_map done; } rewrite;

static bool depends_on_any(const fst_kernel *k, fst_kx x, const uint32_t *vars, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (fst_kx_depends(k, x, vars[i])) return true;
  return false;
}

// -1: not known.
static int64_t points_of(const fst_kernel *k, const fst_kx *extents, uint32_t count) {
  int64_t points = 1, extent;
  for (uint32_t i = 0; i < count; i++)
    if (!fst_kx_is_int(k, extents[i], &extent) || extent < 0 || __builtin_mul_overflow(points, extent, &points)) return -1;
  return points;
}

static bool is_small(const fst_kernel *k, const fst_kx *extents, uint32_t count) {
  int64_t points = points_of(k, extents, count);
  return points >= 0 && points <= SMALL_WORK;
}

typedef enum { DEPENDENT, LARGE_DEPENDENT, INDEPENDENT } sought;

// Is there below x a reduction that depends on the variables of the one around it, or one that does not?
static bool has(const fst_kernel *k, fst_kx x, const fst_kx_data *around, sought what, fst_map *seen) {
  const fst_kx_data *d = fst_kx_get(k, x);
  uint64_t known;
  if (d->kind < FST_KX_PRIM || fst_map_get(seen, x.id, &known)) return false;
  fst_map_set(seen, x.id, 1);
  if (d->kind == FST_KX_REDUCE) {
    bool dependent = depends_on_any(k, x, around->vars, around->var_count);
    if (what == INDEPENDENT ? !dependent : dependent && !(what == LARGE_DEPENDENT && is_small(k, d->extents, d->var_count))) return true;
    if (what == INDEPENDENT) return false;
  }
  for (uint32_t i = 0; i < d->arg_count; i++)
    if (has(k, d->args[i], around, what, seen)) return true;
  return false;
}

static bool has_any(const fst_kernel *k, fst_kx x, const fst_kx_data *around, sought what) {
  fst_map seen = {0};
  bool out = has(k, x, around, what, &seen);
  fst_map_deinit(&seen);
  return out;
}

// ---- a place for a value ----

// The variable along which most is read stands last, so that reads and writes go along memory.
static void put_last(fst_kernel *k, context *own, fst_kx value) {
  fst_cu_accesses loads = {0};
  uint32_t most = 0, last = own->count - 1;
  fst_kx coefficient;
  int64_t step;
  fst_cu_loads(k, &value, 1, &loads);
  for (size_t i = 0; i < loads.len; i++) {
    uint32_t count = 0, along = own->count;
    for (uint32_t v = 0; v < own->count; v++) {
      uint32_t var = fst_kx_get(k, own->vars[v])->index;
      count += fst_kx_depends(k, loads.data[i].load, var);
      if (fst_cu_coefficient(k, loads.data[i].buffer, loads.data[i].indices, var, &coefficient) && fst_kx_is_int(k, coefficient, &step) && step == 1) along = v;
    }
    if (count <= most || along == own->count) continue;
    most = count;
    last = along;
  }
  fst_vec_free(&loads);
  fst_kx var = own->vars[last], extent = own->extents[last];
  for (uint32_t i = last; i + 1 < own->count; i++) {
    own->vars[i] = own->vars[i + 1];
    own->extents[i] = own->extents[i + 1];
  }
  own->vars[own->count - 1] = var;
  own->extents[own->count - 1] = extent;
}

static uint32_t buffer_for(stager *s, const context *own, fst_dtype dtype) {
  fst_kbuf buffer = {.dtype = dtype, .rank = own->count, .is_read = true, .is_written = true};
  fst_kx stride = fst_kx_int(s->k, 1);
  for (uint32_t i = own->count; i-- > 0;) {
    buffer.sizes[i] = own->extents[i];
    buffer.strides[i] = stride;
    stride = fst_kx_prim2(s->k, FST_PRIM_MUL, stride, own->extents[i]);
  }
  return fst_kernel_buffer(s->k, &buffer);
}

static fst_kx staged(stager *s, const context *at, fst_kx value);

static context own_of(const fst_kernel *k, const context *at, fst_kx value) {
  context own = {0};
  for (uint32_t i = 0; i < at->count; i++) {
    if (!fst_kx_depends(k, value, fst_kx_get(k, at->vars[i])->index)) continue;
    own.vars[own.count] = at->vars[i];
    own.extents[own.count++] = at->extents[i];
  }
  return own;
}

// A value in the variables of `at` as a load of what a statement before computes; none where that cannot be.
static fst_kx place(stager *s, const context *at, fst_kx value) {
  context own = own_of(s->k, at, value);
  uint64_t known;
  if (fst_map_get(&s->staged, value.id, &known)) return (fst_kx){(uint32_t)known};
  if (!own.count || own.count > FST_KERNEL_MAX_DIMS) return FST_NO_KX;
  for (uint32_t i = 0; i < own.count; i++)
    if (!fst_cu_size(s->m, own.extents[i]).id) return FST_NO_KX;
  fst_kx computed = staged(s, &own, value);
  put_last(s->k, &own, computed);
  uint32_t buffer = buffer_for(s, &own, fst_kx_get(s->k, value)->dtype);
  fst_kstore store = {buffer, computed, own.count, own.vars};
  fst_kernel_map(s->k, own.vars, own.extents, own.count, &store, 1);
  fst_kx load = fst_kx_load(s->k, buffer, own.vars);
  fst_map_set(&s->staged, value.id, load.id);
  return load;
}

// ---- the statements' expressions ----

static fst_kx with_args(rewrite *r, fst_kx x, fst_kx (*of)(rewrite *r, fst_kx x)) {
  const fst_kx_data d = *fst_kx_get(r->s->k, x);
  fst_kx *args = FST_NEW_ARRAY(&r->s->k->arena, fst_kx, d.arg_count + 1);
  bool is_select = d.kind == FST_KX_PRIM && d.prim == FST_PRIM_SELECT, changed = false;
  for (uint32_t i = 0; i < d.arg_count; i++) {
    args[i] = is_select && i > 0 ? d.args[i] : of(r, d.args[i]);   // sides that may not be asked for stay as they are
    changed |= !fst_kx_eq(args[i], d.args[i]);
  }
  return changed ? fst_kx_rebuild(r->s->k, x, args) : x;
}

// The body of a reduction: what depends on its variables by reductions, and on no other reduction, is taken out.
static fst_kx pieces(rewrite *r, fst_kx x) {
  fst_kernel *k = r->s->k;
  uint64_t known;
  if (fst_map_get(&r->done, x.id, &known)) return (fst_kx){(uint32_t)known};
  fst_kx out = x;
  if (has_any(k, x, r->around, DEPENDENT)) {
    bool whole = fst_kx_get(k, x)->kind == FST_KX_REDUCE || !has_any(k, x, r->around, INDEPENDENT);
    out = whole ? place(r->s, r->at, x) : with_args(r, x, pieces);
    if (!out.id) out = x;
  }
  fst_map_set(&r->done, x.id, out.id);
  return out;
}

static fst_kx stage_var(stager *s, uint32_t number, fst_kx extent) {
  uint64_t key = (uint64_t)number << 32 | extent.id, known;
  if (fst_map_get(&s->vars, key, &known)) return (fst_kx){(uint32_t)known};
  fst_kx var = fst_kernel_var(s->k, FST_I64);
  fst_map_set(&s->vars, key, var.id);
  return var;
}

static fst_kx outside(rewrite *r, fst_kx x);

// Few long rows, and more points than rows: what the reduction of a row needs is placed first.
static fst_kx long_row(rewrite *r, fst_kx x) {
  fst_kernel *k = r->s->k;
  const fst_kx_data d = *fst_kx_get(k, x);
  context own = own_of(k, r->at, x);
  int64_t rows = points_of(k, own.extents, own.count);
  if (own.count == r->at->count || rows < 1 || rows > FEW_ROWS || points_of(k, d.extents, d.var_count) < LONG_ROW || has_any(k, d.args[0], &d, DEPENDENT)) return FST_NO_KX;
  fst_kx body = outside(r, d.args[0]);
  return place(r->s, r->at, fst_kx_rebuild(k, x, &body));
}

static fst_kx outer_reduce(rewrite *r, fst_kx x) {
  fst_kernel *k = r->s->k;
  fst_kx placed = long_row(r, x);
  if (placed.id) return placed;
  const fst_kx_data d = *fst_kx_get(k, x);
  context inside = *r->at;
  if (is_small(k, d.extents, d.var_count) || inside.count + d.var_count > MOST_VARS || !has_any(k, d.args[0], &d, LARGE_DEPENDENT)) return x;
  fst_kx_data renamed = d;
  uint32_t vars[FST_KERNEL_MAX_DIMS];
  renamed.vars = vars;
  for (uint32_t i = 0; i < d.var_count; i++) {
    for (uint32_t v = 0; v < r->at->count; v++)
      if (fst_kx_depends(k, d.extents[i], fst_kx_get(k, r->at->vars[v])->index)) return x;
    fst_kx var = stage_var(r->s, inside.count, d.extents[i]);
    vars[i] = fst_kx_get(k, var)->index;
    inside.vars[inside.count] = var;
    inside.extents[inside.count++] = d.extents[i];
  }
  rewrite body = {.s = r->s, .at = &inside, .around = &renamed};
  fst_kx before = fst_kx_substitute(k, d.args[0], d.vars, inside.vars + r->at->count, d.var_count), out = pieces(&body, before);
  fst_map_deinit(&body.done);
  if (fst_kx_eq(out, before)) return x;
  return fst_kx_reduce(k, d.reduce, inside.vars + r->at->count, d.extents, d.var_count, out);
}

static fst_kx outside(rewrite *r, fst_kx x) {
  uint64_t known;
  const fst_kx_data *d = fst_kx_get(r->s->k, x);
  if (d->kind < FST_KX_PRIM) return x;
  if (fst_map_get(&r->done, x.id, &known)) return (fst_kx){(uint32_t)known};
  fst_kx out = d->kind == FST_KX_REDUCE ? outer_reduce(r, x) : with_args(r, x, outside);
  fst_map_set(&r->done, x.id, out.id);
  return out;
}

static fst_kx staged(stager *s, const context *at, fst_kx value) {
  rewrite r = {.s = s, .at = at};
  fst_kx out = outside(&r, value);
  fst_map_deinit(&r.done);
  return out;
}

static void statement(fst_cu_kernel *m, fst_kstmt stmt) {
  stager s = {.m = m, .k = m->k};
  context at = {.count = stmt.var_count};
  for (uint32_t i = 0; i < stmt.var_count; i++) {
    at.extents[i] = stmt.extents[i];
    for (uint32_t id = 1; id < m->k->exprs.len; id++)
      if (m->k->exprs.data[id].kind == FST_KX_VAR && m->k->exprs.data[id].index == stmt.vars[i]) at.vars[i] = (fst_kx){id};
    if (!at.vars[i].id) return;   // nothing depends on it
  }
  for (uint32_t i = 0; i < stmt.store_count; i++) stmt.stores[i].value = staged(&s, &at, stmt.stores[i].value);
  fst_map_deinit(&s.vars);
  fst_map_deinit(&s.staged);
}

void fst_cu_stage(fst_cu_kernel *m) {
  fst_kernel *k = m->k;
  size_t count = k->stmts.len;
  fst_kstmt *from = fst_arena_memdup(&k->arena, k->stmts.data, count * sizeof *from);
  k->stmts.len = 0;
  for (size_t i = 0; i < count; i++) {
    if (from[i].kind == FST_KSTMT_MAP && fst_cu_box(k, &from[i], from[i].var_count) == from[i].var_count && !fst_cu_reads_its_stores(k, &from[i])) statement(m, from[i]);
    fst_vec_push(&k->stmts, from[i]);
  }
}
