// What a schedule must know about a kernel's expressions before code is emitted: which variables each depends
// on, how memory is walked when a variable grows by one, what cannot fault.
#include "codegen/llvm/emit.h"

#include <string.h>

bool fst_set_meets(const uint64_t *a, const uint64_t *b, uint32_t words) {
  for (uint32_t i = 0; i < words; i++)
    if (a[i] & b[i]) return true;
  return false;
}

bool fst_set_within(const uint64_t *a, const uint64_t *b, uint32_t words) {
  for (uint32_t i = 0; i < words; i++)
    if (a[i] & ~b[i]) return false;
  return true;
}

static void set_join(uint64_t *into, const uint64_t *from, uint32_t words) {
  for (uint32_t i = 0; i < words; i++) into[i] |= from[i];
}

bool fst_emit_const(const fst_emit *e, fst_kx x, int64_t *out) {
  const fst_kx_data *data = fst_emit_get(e, x);
  if (data->kind != FST_KX_CONST || data->dtype != FST_I64) return false;
  *out = (int64_t)data->bits;
  return true;
}

// ---- bounds ----

// `here`: with what is known of the variables where code is being emitted.
static bool range_of(const fst_emit *e, fst_kx x, bool here, int64_t *out_low, int64_t *out_high);

static bool range_of_prim(const fst_emit *e, const fst_kx_data *data, bool here, int64_t *out_low, int64_t *out_high) {
  int64_t al, ah, bl, bh, low, high;
  if (data->arg_count == 3) {  // select
    if (data->prim != FST_PRIM_SELECT || !range_of(e, data->args[1], here, &al, &ah) || !range_of(e, data->args[2], here, &bl, &bh)) return false;
    *out_low = al < bl ? al : bl;
    *out_high = ah > bh ? ah : bh;
    return true;
  }
  if (!range_of(e, data->args[0], here, &al, &ah)) return false;
  if (data->arg_count == 1) {
    if (data->prim != FST_PRIM_NEG || al == INT64_MIN) return false;
    *out_low = -ah;
    *out_high = -al;
    return true;
  }
  if (!range_of(e, data->args[1], here, &bl, &bh)) return false;
  switch (data->prim) {
    case FST_PRIM_ADD: return !__builtin_add_overflow(al, bl, out_low) && !__builtin_add_overflow(ah, bh, out_high);
    case FST_PRIM_SUB: return !__builtin_sub_overflow(al, bh, out_low) && !__builtin_sub_overflow(ah, bl, out_high);
    case FST_PRIM_MUL:
      if (bl != bh || __builtin_mul_overflow(al, bl, &low) || __builtin_mul_overflow(ah, bl, &high)) return false;
      *out_low = low < high ? low : high;
      *out_high = low < high ? high : low;
      return true;
    case FST_PRIM_DIV:
      if (bl != bh || bl <= 0) return false;
      *out_low = al / bl;
      *out_high = ah / bl;
      return true;
    case FST_PRIM_REM:
      if (bl != bh || bl <= 0 || al < 0) return false;
      *out_low = 0;
      *out_high = ah < bl - 1 ? ah : bl - 1;
      return true;
    case FST_PRIM_MIN:
      *out_low = al < bl ? al : bl;
      *out_high = ah < bh ? ah : bh;
      return true;
    case FST_PRIM_MAX:
      *out_low = al > bl ? al : bl;
      *out_high = ah > bh ? ah : bh;
      return true;
    default: return false;
  }
}

static bool range_of_var(const fst_emit *e, uint32_t var, bool here, int64_t *out_low, int64_t *out_high) {
  int64_t extent;
  if (here && var == e->lane.var && e->lane.low <= e->lane.high) {
    *out_low = e->lane.low;
    *out_high = e->lane.high;
    return true;
  }
  if (here && var != e->lane.var && e->vars[var] && LLVMIsAConstantInt(e->vars[var])) {
    *out_low = *out_high = LLVMConstIntGetSExtValue(e->vars[var]);
    return true;
  }
  // A variable without iterations has no value at all, so any bounds hold.
  if (!e->extents[var].id || !fst_emit_const(e, e->extents[var], &extent) || extent < 1) return false;
  *out_low = 0;
  *out_high = extent - 1;
  return true;
}

static bool range_of(const fst_emit *e, fst_kx x, bool here, int64_t *out_low, int64_t *out_high) {
  const fst_kx_data *data = fst_emit_get(e, x);
  if (data->dtype != FST_I64) return false;
  switch (data->kind) {
    case FST_KX_CONST:
      *out_low = *out_high = (int64_t)data->bits;
      return true;
    case FST_KX_VAR: return range_of_var(e, data->index, here, out_low, out_high);
    case FST_KX_PRIM: return range_of_prim(e, data, here, out_low, out_high);
    default: return false;
  }
}

bool fst_emit_range(const fst_emit *e, fst_kx x, int64_t *out_low, int64_t *out_high) { return range_of(e, x, false, out_low, out_high); }

bool fst_emit_range_here(const fst_emit *e, fst_kx x, int64_t *out_low, int64_t *out_high) { return range_of(e, x, true, out_low, out_high); }

static bool index_is_safe(const fst_emit *e, fst_kx index, fst_kx size) {
  const fst_kx_data *data = fst_emit_get(e, index);
  if (data->kind == FST_KX_VAR && fst_kx_eq(e->extents[data->index], size)) return true;
  int64_t low, high, count;
  return fst_emit_const(e, size, &count) && fst_emit_range(e, index, &low, &high) && low >= 0 && high < count;
}

bool fst_emit_in_bounds(const fst_emit *e, uint32_t buffer, const fst_kx *indices) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  for (uint32_t d = 0; d < data->rank; d++)
    if (!index_is_safe(e, indices[d], data->sizes[d])) return false;
  return true;
}

// ---- facts by expression ----

static void analyse_expr(fst_emit *e, uint32_t id) {
  const fst_kx_data *data = &e->kernel->exprs.data[id];
  uint64_t *deps = e->deps + (size_t)id * e->words;
  for (uint32_t i = 0; i < data->arg_count; i++) {
    uint32_t arg = data->args[i].id;
    set_join(deps, e->deps + (size_t)arg * e->words, e->words);
    e->may_fault[id] |= e->may_fault[arg];
    e->has_reduce[id] |= e->has_reduce[arg];
  }
  if (data->kind == FST_KX_VAR) fst_set_add(deps, data->index);
  if (data->kind == FST_KX_LOAD && !fst_emit_in_bounds(e, data->index, data->args)) e->may_fault[id] = true;
  if (data->kind != FST_KX_REDUCE) return;
  e->has_reduce[id] = true;
  for (uint32_t i = 0; i < data->var_count; i++) {
    set_join(deps, e->deps + (size_t)data->extents[i].id * e->words, e->words);
    set_join(e->ragged, e->deps + (size_t)data->extents[i].id * e->words, e->words);
    fst_set_remove(deps, data->vars[i]);
  }
}

// ---- equal reductions ----
// A value that several results are made of is lowered once for each, with fresh variables every time.

typedef struct renaming {
  const fst_kx_data *from, *to;  // the reductions whose variables correspond
  const struct renaming *outer;
} renaming;
typedef struct twin_search { const fst_emit *e; uint32_t budget; } twin_search;

static bool renames(const fst_emit *e, const renaming *r, fst_kx x) {
  for (; r; r = r->outer)
    for (uint32_t i = 0; i < r->from->var_count; i++)
      if (fst_emit_depends(e, x, r->from->vars[i]) || fst_emit_depends(e, x, r->to->vars[i])) return true;
  return false;
}

static bool var_is_same(const renaming *r, uint32_t a, uint32_t b) {
  for (; r; r = r->outer)
    for (uint32_t i = 0; i < r->from->var_count; i++)
      if (r->from->vars[i] == a || r->to->vars[i] == b) return r->from->vars[i] == a && r->to->vars[i] == b;
  return a == b;
}

static bool is_same(twin_search *t, const renaming *r, fst_kx a, fst_kx b) {
  if (fst_kx_eq(a, b) && !renames(t->e, r, a)) return true;
  const fst_kx_data *x = fst_emit_get(t->e, a), *y = fst_emit_get(t->e, b);
  if (!t->budget || x->kind != y->kind || x->dtype != y->dtype || x->arg_count != y->arg_count || x->var_count != y->var_count) return false;
  t->budget--;
  if (x->kind == FST_KX_VAR) return var_is_same(r, x->index, y->index);
  if (x->kind == FST_KX_CONST || x->kind == FST_KX_PARAM) return fst_kx_eq(a, b);
  if (x->prim != y->prim || x->index != y->index || x->reduce != y->reduce) return false;
  for (uint32_t i = 0; i < x->var_count; i++)
    if (!is_same(t, r, x->extents[i], y->extents[i])) return false;
  renaming inner = {x, y, r};
  for (uint32_t i = 0; i < x->arg_count; i++)
    if (!is_same(t, x->kind == FST_KX_REDUCE ? &inner : r, x->args[i], y->args[i])) return false;
  return true;
}

static void analyse_twins(fst_emit *e) {
  e->twin = FST_NEW_ARRAY(e->arena, fst_kx, e->kernel->exprs.len + 1);
  FST_VEC(fst_kx) firsts = {0};
  for (uint32_t id = 1; id < e->kernel->exprs.len; id++) {
    fst_kx x = {id};
    e->twin[id] = x;
    if (e->kernel->exprs.data[id].kind != FST_KX_REDUCE) continue;
    for (size_t i = 0; i < firsts.len && fst_kx_eq(e->twin[id], x); i++) {
      twin_search search = {e, 4096};
      if (is_same(&search, NULL, firsts.data[i], x)) e->twin[id] = firsts.data[i];
    }
    if (fst_kx_eq(e->twin[id], x)) fst_vec_push(&firsts, x);
  }
  fst_vec_free(&firsts);
}

static void extent_note(fst_emit *e, bool *seen, uint32_t var, fst_kx extent) {
  if (seen[var] && !fst_kx_eq(e->extents[var], extent)) e->extents[var] = FST_NO_KX;
  else if (!seen[var]) e->extents[var] = extent;
  seen[var] = true;
}

static void analyse_extents(fst_emit *e) {
  const fst_kernel *k = e->kernel;
  bool *seen = FST_NEW_ARRAY(e->arena, bool, k->vars.len + 1);
  e->extents = FST_NEW_ARRAY(e->arena, fst_kx, k->vars.len + 1);
  for (size_t s = 0; s < k->stmts.len; s++)
    for (uint32_t i = 0; i < k->stmts.data[s].var_count; i++) extent_note(e, seen, k->stmts.data[s].vars[i], k->stmts.data[s].extents[i]);
  for (size_t id = 1; id < k->exprs.len; id++) {
    const fst_kx_data *data = &k->exprs.data[id];
    if (data->kind != FST_KX_REDUCE) continue;
    for (uint32_t i = 0; i < data->var_count; i++) extent_note(e, seen, data->vars[i], data->extents[i]);
  }
}

// Operands are built before what uses them, so one walk by number sees every operand first.
void fst_emit_analyse(fst_emit *e) {
  size_t count = e->kernel->exprs.len;
  e->words = (uint32_t)(e->kernel->vars.len / 64 + 1);
  e->deps = FST_NEW_ARRAY(e->arena, uint64_t, count * e->words + 1);
  e->may_fault = FST_NEW_ARRAY(e->arena, bool, count + 1);
  e->has_reduce = FST_NEW_ARRAY(e->arena, bool, count + 1);
  e->ragged = FST_NEW_ARRAY(e->arena, uint64_t, e->words);
  e->bound = FST_NEW_ARRAY(e->arena, uint64_t, e->words);
  e->varying = FST_NEW_ARRAY(e->arena, uint64_t, e->words);
  e->vars = FST_NEW_ARRAY(e->arena, LLVMValueRef, e->kernel->vars.len + 1);
  e->memo = FST_NEW_ARRAY(e->arena, LLVMValueRef, count + 1);
  analyse_extents(e);
  for (uint32_t id = 1; id < count; id++) analyse_expr(e, id);
  analyse_twins(e);
}

// ---- steps ----

static fst_step step_of(fst_step_kind kind, int64_t value) { return (fst_step){kind, value}; }

static fst_step step_add(fst_step a, fst_step b, int64_t sign) {
  int64_t scaled, value;
  if (a.kind == FST_STEP_NONE || b.kind == FST_STEP_NONE) return step_of(FST_STEP_NONE, 0);
  if (a.kind == FST_STEP_SYMBOLIC || b.kind == FST_STEP_SYMBOLIC) return step_of(FST_STEP_SYMBOLIC, 0);
  if (__builtin_mul_overflow(b.value, sign, &scaled) || __builtin_add_overflow(a.value, scaled, &value)) return step_of(FST_STEP_NONE, 0);
  return step_of(FST_STEP_CONST, value);
}

// `a` moves, the factor does not.
static fst_step step_scale(const fst_emit *e, fst_step a, fst_kx factor) {
  int64_t constant, value;
  if (a.kind == FST_STEP_NONE || (a.kind == FST_STEP_CONST && !a.value)) return a;
  if (a.kind != FST_STEP_CONST || !fst_emit_const(e, factor, &constant)) return step_of(FST_STEP_SYMBOLIC, 0);
  return __builtin_mul_overflow(a.value, constant, &value) ? step_of(FST_STEP_NONE, 0) : step_of(FST_STEP_CONST, value);
}

fst_step fst_emit_step(const fst_emit *e, fst_kx x, uint32_t var) {
  if (!fst_emit_depends(e, x, var)) return step_of(FST_STEP_CONST, 0);
  const fst_kx_data *data = fst_emit_get(e, x);
  if (data->kind == FST_KX_VAR) return step_of(FST_STEP_CONST, 1);
  if (data->kind != FST_KX_PRIM || data->dtype != FST_I64) return step_of(FST_STEP_NONE, 0);
  switch (data->prim) {
    case FST_PRIM_ADD: return step_add(fst_emit_step(e, data->args[0], var), fst_emit_step(e, data->args[1], var), 1);
    case FST_PRIM_SUB: return step_add(fst_emit_step(e, data->args[0], var), fst_emit_step(e, data->args[1], var), -1);
    case FST_PRIM_NEG: return step_add(step_of(FST_STEP_CONST, 0), fst_emit_step(e, data->args[0], var), -1);
    case FST_PRIM_MUL:
      if (!fst_emit_depends(e, data->args[1], var)) return step_scale(e, fst_emit_step(e, data->args[0], var), data->args[1]);
      if (!fst_emit_depends(e, data->args[0], var)) return step_scale(e, fst_emit_step(e, data->args[1], var), data->args[0]);
      return step_of(FST_STEP_NONE, 0);
    default: return step_of(FST_STEP_NONE, 0);
  }
}

fst_step fst_emit_access_step(const fst_emit *e, uint32_t buffer, const fst_kx *indices, uint32_t var) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  fst_step sum = step_of(FST_STEP_CONST, 0);
  for (uint32_t d = 0; d < data->rank; d++) {
    fst_step step = step_scale(e, fst_emit_step(e, indices[d], var), data->strides[d]);
    sum = step_add(sum, step, 1);
  }
  return sum;
}

// ---- accesses, lanes, costs ----

void fst_emit_accesses(const fst_emit *e, const fst_kx *roots, uint32_t count, fst_accesses *out) {
  uint32_t top = 0;
  for (uint32_t i = 0; i < count; i++) top = roots[i].id > top ? roots[i].id : top;
  fst_arena arena;
  fst_arena_init(&arena);
  uint32_t *depth = FST_NEW_ARRAY(&arena, uint32_t, top + 1);  // + 1, 0: not reached
  for (uint32_t i = 0; i < count; i++) depth[roots[i].id] = 1;
  for (uint32_t id = top; id > 0; id--) {  // users before operands
    if (!depth[id]) continue;
    const fst_kx_data *data = &e->kernel->exprs.data[id];
    uint32_t below = depth[id] + (data->kind == FST_KX_REDUCE);
    for (uint32_t i = 0; i < data->arg_count; i++)
      if (depth[data->args[i].id] < below) depth[data->args[i].id] = below;
    if (data->kind != FST_KX_LOAD) continue;
    fst_access access = {data->index, data->args, {id}, depth[id] - 1, false};
    fst_vec_push(out, access);
  }
  fst_arena_deinit(&arena);
}

static uint32_t value_bytes(fst_dtype dtype) {
  // Halves are computed with as floats.
  return dtype == FST_F16 || dtype == FST_BF16 ? 4 : (uint32_t)fst_dtype_size(dtype);
}

typedef struct width_walk {
  const fst_emit *e;
  bool *seen;
  uint32_t widest, narrowest;
} width_walk;

static void width_note(width_walk *w, fst_dtype memory) {
  uint32_t bytes = value_bytes(memory), stored = (uint32_t)fst_dtype_size(memory);
  if (bytes > w->widest) w->widest = bytes;
  if (stored < w->narrowest) w->narrowest = stored;
}

// Index arithmetic does not count: it is scalar wherever memory is walked evenly.
static void width_visit(width_walk *w, fst_kx x) {
  if (w->seen[x.id]) return;
  w->seen[x.id] = true;
  const fst_kx_data *data = fst_emit_get(w->e, x);
  if (data->kind == FST_KX_LOAD) {
    width_note(w, data->dtype);
    return;
  }
  if (fst_dtype_is_float(data->dtype) && data->kind == FST_KX_PRIM && value_bytes(data->dtype) > w->widest) w->widest = value_bytes(data->dtype);
  for (uint32_t i = 0; i < data->arg_count; i++) width_visit(w, data->args[i]);
}

static width_walk widths_of(const fst_emit *e, const fst_kx *roots, uint32_t count) {
  fst_arena arena;
  fst_arena_init(&arena);
  width_walk w = {e, FST_NEW_ARRAY(&arena, bool, e->kernel->exprs.len), 1, 64};
  for (uint32_t i = 0; i < count; i++) width_visit(&w, roots[i]);
  fst_arena_deinit(&arena);
  w.seen = NULL;
  return w;
}

uint32_t fst_emit_lanes_for(const fst_emit *e, const fst_kx *roots, uint32_t count, fst_dtype also) {
  width_walk w = widths_of(e, roots, count);
  if (value_bytes(also) > w.widest) w.widest = value_bytes(also);
  return (uint32_t)e->unit->target->vector_bytes / w.widest;
}

bool fst_emit_masks_tails(const fst_emit *e, const fst_kx *roots, uint32_t count) {
  if (e->unit->target->vector_bytes >= 64) return true;
  return widths_of(e, roots, count).narrowest >= 4;
}

static double access_cost(const fst_emit *e, const fst_access *access, uint32_t var, uint32_t lanes) {
  if (var == FST_NO_VAR) return lanes;
  fst_step step = fst_emit_access_step(e, access->buffer, access->indices, var);
  if (step.kind == FST_STEP_CONST && step.value == 0) return access->is_store ? lanes : 0.25;
  if (step.kind == FST_STEP_CONST && step.value == 1) return 1;
  if (step.kind == FST_STEP_CONST && step.value == -1) return 1.5;
  if (step.kind == FST_STEP_CONST && step.value == 2 && !access->is_store) return 3;
  return access->is_store ? 1.5 * lanes : 1.2 * lanes;
}

// A reduction is worth about this many of its surroundings.
static double depth_weight(uint32_t depth) {
  double weight = 1;
  while (depth-- > 0) weight *= 16;
  return weight;
}

double fst_emit_lane_cost(const fst_emit *e, const fst_accesses *accesses, uint32_t var, uint32_t lanes) {
  double cost = 1;
  int64_t extent;
  for (size_t i = 0; i < accesses->len; i++) cost += depth_weight(accesses->data[i].depth) * access_cost(e, &accesses->data[i], var, lanes);
  // Part of a short variable's last vector is idle.
  if (var != FST_NO_VAR && e->extents[var].id && fst_emit_const(e, e->extents[var], &extent) && extent > 0) {
    double vectors = (double)((extent + lanes - 1) / lanes);
    cost *= vectors * lanes / (double)extent;
  }
  return cost;
}

int fst_emit_reduce_lane(const fst_emit *e, const fst_kx_data *reduce, uint32_t lanes, double *out_cost) {
  fst_accesses accesses = {0};
  fst_emit_accesses(e, reduce->args, 1, &accesses);
  int best = -1;
  double best_cost = fst_emit_lane_cost(e, &accesses, FST_NO_VAR, lanes);
  for (uint32_t i = 0; i < reduce->var_count; i++) {
    int64_t extent;
    if (fst_set_has(e->ragged, reduce->vars[i]) || (fst_emit_const(e, reduce->extents[i], &extent) && extent < 4)) continue;
    double cost = fst_emit_lane_cost(e, &accesses, reduce->vars[i], lanes);
    if (cost > best_cost || (cost == best_cost && best < 0)) continue;  // the inner one of equals
    best = (int)i;
    best_cost = cost;
  }
  fst_vec_free(&accesses);
  if (out_cost) *out_cost = best_cost;
  return best;
}

static uint32_t weight_visit(const fst_emit *e, bool *seen, fst_kx x) {
  if (seen[x.id]) return 0;
  seen[x.id] = true;
  const fst_kx_data *data = fst_emit_get(e, x);
  uint32_t weight = 1;
  for (uint32_t i = 0; i < data->arg_count; i++) weight += weight_visit(e, seen, data->args[i]);
  return weight;
}

uint32_t fst_emit_weight(const fst_emit *e, fst_kx x) {
  fst_arena arena;
  fst_arena_init(&arena);
  uint32_t weight = weight_visit(e, FST_NEW_ARRAY(&arena, bool, e->kernel->exprs.len), x);
  fst_arena_deinit(&arena);
  return weight;
}

// ---- collapsing ----

// Whether `x` uses a variable other than through the offsets of accesses.
typedef struct use_walk {
  const fst_emit *e;
  bool *seen;
  uint32_t var;
} use_walk;

static bool used_directly(use_walk *w, fst_kx x) {
  const fst_kx_data *data = fst_emit_get(w->e, x);
  if (!fst_emit_depends(w->e, x, w->var) || w->seen[x.id]) return false;
  w->seen[x.id] = true;
  if (data->kind == FST_KX_LOAD) return fst_emit_access_step(w->e, data->index, data->args, w->var).kind == FST_STEP_NONE;
  if (data->kind == FST_KX_VAR) return true;
  for (uint32_t i = 0; i < data->var_count; i++)
    if (fst_emit_depends(w->e, data->extents[i], w->var)) return true;
  for (uint32_t i = 0; i < data->arg_count; i++)
    if (used_directly(w, data->args[i])) return true;
  return false;
}

static bool var_only_walks(const fst_emit *e, uint32_t var, const fst_kx *roots, uint32_t count) {
  fst_arena arena;
  fst_arena_init(&arena);
  use_walk w = {e, FST_NEW_ARRAY(&arena, bool, e->kernel->exprs.len), var};
  bool direct = false;
  for (uint32_t i = 0; i < count && !direct; i++) direct = used_directly(&w, roots[i]);
  fst_arena_deinit(&arena);
  return !direct;
}

// The one dimension of an access whose index is `var` itself, the rest not depending on it; -1 when not so.
static int plain_dim(const fst_emit *e, const fst_access *access, uint32_t var) {
  const fst_kbuf *buffer = &e->kernel->buffers.data[access->buffer];
  int found = -1;
  for (uint32_t d = 0; d < buffer->rank; d++) {
    if (!fst_emit_depends(e, access->indices[d], var)) continue;
    if (found >= 0 || fst_emit_get(e, access->indices[d])->kind != FST_KX_VAR) return -1;
    found = (int)d;
  }
  return found;
}

static bool is_product(const fst_emit *e, fst_kx x, fst_kx a, fst_kx b) {
  const fst_kx_data *data = fst_emit_get(e, x);
  int64_t one;
  if (fst_emit_const(e, b, &one) && one == 1) return fst_kx_eq(x, a);
  if (data->kind != FST_KX_PRIM || data->prim != FST_PRIM_MUL) return false;
  return (fst_kx_eq(data->args[0], a) && fst_kx_eq(data->args[1], b)) || (fst_kx_eq(data->args[0], b) && fst_kx_eq(data->args[1], a));
}

// offset(outer + 1) == offset(inner + extent)?
static bool walks_as_one(const fst_emit *e, const fst_access *access, uint32_t outer, uint32_t inner, fst_kx extent) {
  fst_step a = fst_emit_access_step(e, access->buffer, access->indices, outer);
  fst_step b = fst_emit_access_step(e, access->buffer, access->indices, inner);
  int64_t count, product;
  if (a.kind == FST_STEP_CONST && b.kind == FST_STEP_CONST) {
    if (!a.value && !b.value) return true;
    return fst_emit_const(e, extent, &count) && !__builtin_mul_overflow(b.value, count, &product) && product == a.value;
  }
  // Symbolic strides: only the plain case, where both are an index of their own dimension.
  int da = plain_dim(e, access, outer), db = plain_dim(e, access, inner);
  if (da < 0 || db < 0) return false;
  const fst_kbuf *buffer = &e->kernel->buffers.data[access->buffer];
  fst_kx outer_stride = buffer->strides[da], inner_stride = buffer->strides[db];
  if (fst_emit_const(e, inner_stride, &count) && count == 1) return fst_kx_eq(outer_stride, extent);
  return is_product(e, outer_stride, inner_stride, extent);
}

void fst_emit_collapse(const fst_emit *e, const uint32_t *vars, const fst_kx *extents, uint32_t count, const fst_kx *roots, uint32_t root_count, const fst_kstore *stores, uint32_t store_count, bool *merged) {
  fst_accesses accesses = {0};
  fst_emit_accesses(e, roots, root_count, &accesses);
  for (uint32_t i = 0; i < store_count; i++) {
    fst_access access = {stores[i].buffer, stores[i].indices, FST_NO_KX, 0, true};
    fst_vec_push(&accesses, access);
  }
  memset(merged, 0, count * sizeof *merged);
  for (uint32_t i = 0; i + 1 < count; i++) {
    bool ok = var_only_walks(e, vars[i], roots, root_count) && var_only_walks(e, vars[i + 1], roots, root_count);
    for (uint32_t d = i + 1; d < count && ok; d++) ok = !fst_emit_depends(e, extents[d], vars[i]);
    for (size_t a = 0; a < accesses.len && ok; a++) ok = walks_as_one(e, &accesses.data[a], vars[i], vars[i + 1], extents[i + 1]);
    merged[i] = ok;
  }
  fst_vec_free(&accesses);
}
