// Statements as loop nests.
//
// A nest has its variables in an order of its own (points of a MAP are independent): variables that some
// reduction does not depend on go inside, so that the reduction is done once for all of them, and the lane
// variable goes as far inside as that allows. Before each loop everything is evaluated that only depends on the
// loops around it. A nest runs under one test that no extent is zero, so what is hoisted out of its loops is
// needed by some point.
#include "codegen/llvm/emit.h"

#include "codegen/contract/contract.h"

typedef void (*nest_body)(fst_emit *e, void *context);

typedef struct nest {
  const fst_kstmt *stmt;
  uint32_t var_count;       // of the statement's, from the outermost
  const fst_kx *roots;      // what the body will need
  uint32_t root_count;
  uint32_t order[FST_KERNEL_MAX_DIMS];
  bool merged[FST_KERNEL_MAX_DIMS];
  int lane;                 // position in the statement's vars, -1: none
  uint32_t lanes;
  bool mask_tail, peel, conditional;
  nest_body body;
  void *context;
} nest;

typedef struct nest_level { const nest *n; uint32_t level; } nest_level;

static void nest_run(fst_emit *e, const nest *n, uint32_t level);

static void nest_next(fst_emit *e, void *context) {
  const nest_level *at = context;
  nest_run(e, at->n, at->level);
}

static LLVMValueRef nest_count(fst_emit *e, const nest *n, uint32_t position) {
  LLVMValueRef count = fst_emit_expr(e, n->stmt->extents[position]);
  for (uint32_t i = position; i > 0 && n->merged[i - 1]; i--) count = LLVMBuildMul(e->b, count, fst_emit_expr(e, n->stmt->extents[i - 1]), "");
  return count;
}

static void nest_scalar_loop(fst_emit *e, const nest *n, uint32_t level, uint32_t var, LLVMValueRef count, bool guarded) {
  fst_loop loop;
  bool once = LLVMIsAConstantInt(count) && LLVMConstIntGetSExtValue(count) == 1;
  if (!once) fst_loop_begin(e, &loop, fst_emit_int(e, 0), count, 1, guarded, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, var, once ? fst_emit_int(e, 0) : loop.iv, false);
  nest_run(e, n, level + 1);
  fst_emit_var_unbind(e, var);
  fst_emit_scope_close(e, mark);
  if (!once) fst_loop_end(e, &loop, NULL);
}

static bool extent_is_ragged(const fst_emit *e, const nest *n, uint32_t position) {
  return fst_set_meets(fst_emit_deps(e, n->stmt->extents[position]), e->bound, e->words);
}

static void nest_run(fst_emit *e, const nest *n, uint32_t level) {
  for (uint32_t i = 0; i < n->root_count; i++) fst_emit_hoist(e, n->roots[i], n->conditional);
  if (level == n->var_count) {
    n->body(e, n->context);
    return;
  }
  uint32_t position = n->order[level], var = n->stmt->vars[position];
  if (n->merged[position]) {
    size_t mark = fst_emit_scope_open(e);
    fst_emit_var_bind(e, var, fst_emit_int(e, 0), false);
    nest_run(e, n, level + 1);
    fst_emit_var_unbind(e, var);
    fst_emit_scope_close(e, mark);
    return;
  }
  LLVMValueRef count = nest_count(e, n, position);
  nest_level next = {n, level + 1};
  fst_lane_loop lanes = {var, n->lanes, n->mask_tail, n->peel, nest_next, &next};
  if ((int)position == n->lane) fst_emit_lane_loop(e, &lanes, count);
  else nest_scalar_loop(e, n, level, var, count, extent_is_ragged(e, n, position));
}

// The whole nest behind `every extent is positive`; extents that depend on outer variables guard themselves.
static void nest_guarded(fst_emit *e, nest *n) {
  LLVMValueRef all = NULL;
  size_t mark = fst_emit_scope_open(e);
  for (uint32_t i = 0; i < n->var_count; i++) {
    bool ragged = false;
    for (uint32_t k = 0; k < n->var_count; k++) ragged |= fst_emit_depends(e, n->stmt->extents[i], n->stmt->vars[k]);
    n->conditional |= ragged;
    if (ragged) continue;
    LLVMValueRef count = fst_emit_expr(e, n->stmt->extents[i]);
    LLVMValueRef positive = LLVMBuildICmp(e->b, LLVMIntSGT, count, fst_emit_int(e, 0), "");
    all = all ? LLVMBuildAnd(e->b, all, positive, "") : positive;
  }
  bool is_known = !all || LLVMIsAConstantInt(all);
  if (all && is_known && !LLVMConstIntGetZExtValue(all)) {
    fst_emit_scope_close(e, mark);
    return;
  }
  LLVMBasicBlockRef done = NULL;
  if (!is_known) {
    LLVMBasicBlockRef run = fst_emit_block(e, "run");
    done = fst_emit_block(e, "done");
    LLVMBuildCondBr(e->b, all, run, done);
    LLVMPositionBuilderAtEnd(e->b, run);
  }
  nest_run(e, n, 0);
  fst_emit_scope_close(e, mark);
  if (!done) return;
  LLVMBuildBr(e->b, done);
  LLVMPositionBuilderAtEnd(e->b, done);
}

static void nest_plain_order(nest *n) {
  for (uint32_t i = 0; i < n->var_count; i++) n->order[i] = i;
}

// ---- MAP ----

typedef struct outer_reduces { fst_kx items[64]; uint32_t count; } outer_reduces;

static void reduces_visit(const fst_emit *e, bool *seen, fst_kx x, outer_reduces *out) {
  const fst_kx_data *data = fst_emit_get(e, x);
  if (seen[x.id] || !e->has_reduce[x.id]) return;
  seen[x.id] = true;
  if (data->kind == FST_KX_REDUCE) {
    if (out->count < sizeof out->items / sizeof *out->items) out->items[out->count++] = x;
    return;
  }
  for (uint32_t i = 0; i < data->arg_count; i++) reduces_visit(e, seen, data->args[i], out);
}

// Reductions that are not inside another one.
static outer_reduces reduces_of(const fst_emit *e, const fst_kx *roots, uint32_t count) {
  outer_reduces out = {.count = 0};
  fst_arena arena;
  fst_arena_init(&arena);
  bool *seen = FST_NEW_ARRAY(&arena, bool, e->kernel->exprs.len);
  for (uint32_t i = 0; i < count; i++) reduces_visit(e, seen, roots[i], &out);
  fst_arena_deinit(&arena);
  return out;
}

static uint32_t reduces_depending(const fst_emit *e, const outer_reduces *reduces, uint32_t var) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < reduces->count; i++) count += fst_emit_depends(e, reduces->items[i], var);
  return count;
}

// Variables by how many reductions need them, most first; among equals as written, the lane variable last.
static void map_order(const fst_emit *e, nest *n, const outer_reduces *reduces) {
  uint32_t rank[FST_KERNEL_MAX_DIMS];
  for (uint32_t i = 0; i < n->var_count; i++)
    rank[i] = 2 * reduces_depending(e, reduces, n->stmt->vars[i]) + ((int)i != n->lane);
  // A merged variable must be bound where its run is: give the run one rank.
  for (uint32_t i = n->var_count; i-- > 1;)
    if (n->merged[i - 1]) rank[i - 1] = rank[i];
  uint32_t used = 0;
  for (uint32_t r = 2 * reduces->count + 2; r-- > 0;)
    for (uint32_t i = 0; i < n->var_count; i++)
      if (rank[i] == r) n->order[used++] = i;
}

static double scalar_cost(const fst_emit *e, const fst_accesses *accesses, const outer_reduces *reduces, uint32_t lanes) {
  double cost = 1;
  for (size_t i = 0; i < accesses->len; i++) cost += accesses->data[i].depth ? 0 : lanes;
  for (uint32_t i = 0; i < reduces->count; i++) {
    double each = 0;
    fst_emit_reduce_lane(e, fst_emit_get(e, reduces->items[i]), lanes, &each);
    cost += 16 * each + lanes;
  }
  return cost;
}

static bool may_be_lane(const fst_emit *e, const nest *n, uint32_t position) {
  int64_t extent;
  fst_kx own = n->stmt->extents[position];
  if (n->merged[position] || fst_set_has(e->ragged, n->stmt->vars[position])) return false;
  bool joined = position > 0 && n->merged[position - 1];
  if (!joined && fst_emit_const(e, own, &extent) && extent < 2) return false;
  for (uint32_t i = 0; i < n->var_count; i++) {
    if (fst_emit_depends(e, own, n->stmt->vars[i])) return false;
    if (fst_emit_depends(e, n->stmt->extents[i], n->stmt->vars[position])) return false;
  }
  return true;
}

// A reduction counts among the lane's accesses only if it depends on the lane variable; the others are done outside.
static void choose_lane(const fst_emit *e, nest *n, fst_accesses *accesses, const outer_reduces *reduces) {
  double best = scalar_cost(e, accesses, reduces, n->lanes);
  n->lane = -1;
  for (uint32_t i = 0; i < n->var_count; i++) {
    if (!may_be_lane(e, n, i)) continue;
    double cost = fst_emit_lane_cost(e, accesses, n->stmt->vars[i], n->lanes);
    if (cost > best || (cost == best && n->lane < 0)) continue;
    best = cost;
    n->lane = (int)i;
  }
}

static fst_kx *stmt_roots(fst_emit *e, const fst_kstmt *stmt, uint32_t *out_count) {
  fst_kx *roots = FST_NEW_ARRAY(e->arena, fst_kx, stmt->store_count + 2 * stmt->carry_count + 2);
  uint32_t count = 0;
  for (uint32_t i = 0; i < stmt->store_count; i++) roots[count++] = stmt->stores[i].value;
  for (uint32_t i = 0; i < stmt->carry_count; i++) {
    roots[count++] = stmt->carry_init[i];
    roots[count++] = stmt->carry_next[i];
  }
  if (stmt->condition.id) roots[count++] = stmt->condition;
  *out_count = count;
  return roots;
}

static void stmt_accesses(const fst_emit *e, const nest *n, fst_accesses *out) {
  fst_emit_accesses(e, n->roots, n->root_count, out);
  for (uint32_t i = 0; i < n->stmt->store_count; i++) {
    fst_access access = {n->stmt->stores[i].buffer, n->stmt->stores[i].indices, FST_NO_KX, 0, true};
    fst_vec_push(out, access);
  }
}

static fst_dtype widest_store(const fst_emit *e, const fst_kstmt *stmt) {
  fst_dtype widest = FST_U8;
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    fst_dtype dtype = e->kernel->buffers.data[stmt->stores[i].buffer].dtype;
    if (fst_dtype_size(dtype) > fst_dtype_size(widest)) widest = dtype;
  }
  return widest;
}

static bool stores_mask_tails(const fst_emit *e, const fst_kstmt *stmt) {
  for (uint32_t i = 0; i < stmt->store_count; i++)
    if (e->unit->target->vector_bytes < 64 && fst_dtype_size(e->kernel->buffers.data[stmt->stores[i].buffer].dtype) < 4) return false;
  return true;
}

// Selects that protect loads by a condition on the lane variable: padding. Away from the edges it is known.
static bool guards_lanes(const fst_emit *e, const nest *n) {
  uint32_t top = 0, weight = 0;
  for (uint32_t i = 0; i < n->root_count; i++) {
    top = n->roots[i].id > top ? n->roots[i].id : top;
    weight += fst_emit_weight(e, n->roots[i]);
  }
  for (uint32_t id = 1; id <= top && n->lane >= 0 && weight < 200; id++) {
    const fst_kx_data *data = &e->kernel->exprs.data[id];
    if (data->kind == FST_KX_PRIM && data->prim == FST_PRIM_SELECT && e->may_fault[id] && fst_emit_depends(e, data->args[0], n->stmt->vars[n->lane])) return true;
  }
  return false;
}

static void nest_vectorise(fst_emit *e, nest *n) {
  fst_accesses accesses = {0};
  stmt_accesses(e, n, &accesses);
  outer_reduces reduces = reduces_of(e, n->roots, n->root_count);
  n->lanes = fst_emit_lanes_for(e, n->roots, n->root_count, widest_store(e, n->stmt));
  n->mask_tail = fst_emit_masks_tails(e, n->roots, n->root_count) && stores_mask_tails(e, n->stmt);
  choose_lane(e, n, &accesses, &reduces);
  for (uint32_t i = 0; i < n->stmt->carry_count; i++)
    if (fst_set_has(e->ragged, n->stmt->carries[i])) n->lane = -1;
  if (n->lane < 0) n->lanes = 1;
  n->peel = guards_lanes(e, n);
  map_order(e, n, &reduces);
  fst_vec_free(&accesses);
}

// Stores that lie between each other become whole vectors.
static bool stores_together(fst_emit *e, const fst_kstmt *stmt, uint32_t first, const LLVMValueRef *values, bool *done) {
  uint32_t beside[FST_INTERLEAVE_MOST], count = e->lane.lanes > 1 ? fst_emit_stores_beside(e, stmt, first, e->lane.var, beside) : 0;
  LLVMValueRef parts[FST_INTERLEAVE_MOST];
  const fst_kstore *store = &stmt->stores[first];
  if (!count || (e->lane.tail && e->unit->target->vector_bytes < 64 && fst_dtype_size(e->kernel->buffers.data[store->buffer].dtype) < 4)) return false;
  for (uint32_t i = 0; i < count; i++) {
    if (done[beside[i]]) return false;
    parts[i] = values[beside[i]];
  }
  for (uint32_t i = 0; i < count; i++) done[beside[i]] = true;
  fst_emit_store_interleaved(e, store->buffer, store->indices, parts, count);
  return true;
}

// All values before any store: a store may overwrite what another value reads.
void fst_emit_stores(fst_emit *e, const fst_kstmt *stmt) {
  LLVMValueRef *values = FST_NEW_ARRAY(e->arena, LLVMValueRef, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_emit_expr(e, stmt->stores[i].value);
  bool *done = FST_NEW_ARRAY(e->arena, bool, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    if (!done[i] && !stores_together(e, stmt, i, values, done)) fst_emit_store(e, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
  }
}

static void map_body(fst_emit *e, void *context) { fst_emit_stores(e, context); }

static void emit_map(fst_emit *e, const fst_kstmt *stmt) {
  nest n = {.stmt = stmt, .var_count = stmt->var_count, .body = map_body, .context = (void *)(uintptr_t)stmt, .lane = -1, .lanes = 1};
  n.roots = stmt_roots(e, stmt, &n.root_count);
  fst_emit_collapse(e, stmt->vars, stmt->extents, stmt->var_count, n.roots, n.root_count, stmt->stores, stmt->store_count, n.merged);
  nest_vectorise(e, &n);
  nest_guarded(e, &n);
}

// ---- SCATTER: in order, one point at a time, because two points may meet in one element ----

static LLVMValueRef combine_scattered(fst_emit *e, fst_combine combine, fst_dtype dtype, LLVMValueRef old, LLVMValueRef value) {
  LLVMValueRef args[] = {old, value};
  switch (combine) {
    case FST_COMBINE_SET: return value;
    case FST_COMBINE_ADD: return fst_emit_prim(e, FST_PRIM_ADD, dtype, args, 2);
    case FST_COMBINE_MUL: return fst_emit_prim(e, FST_PRIM_MUL, dtype, args, 2);
    case FST_COMBINE_MAX: return fst_emit_prim(e, FST_PRIM_MAX, dtype, args, 2);
    case FST_COMBINE_MIN: return fst_emit_prim(e, FST_PRIM_MIN, dtype, args, 2);
  }
  FST_UNREACHABLE("combination %d", (int)combine);
}

static void scatter_body(fst_emit *e, void *context) {
  const fst_kstmt *stmt = context;
  LLVMValueRef *values = FST_NEW_ARRAY(e->arena, LLVMValueRef, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_emit_expr(e, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    const fst_kstore *store = &stmt->stores[i];
    fst_dtype dtype = e->kernel->buffers.data[store->buffer].dtype;
    LLVMValueRef value = values[i];
    LLVMValueRef ptr = fst_emit_element_ptr(e, e->buffers[store->buffer], dtype, fst_emit_offset(e, store->buffer, store->indices));
    if (stmt->combine != FST_COMBINE_SET) value = combine_scattered(e, stmt->combine, dtype, fst_emit_load_at(e, dtype, ptr), value);
    fst_emit_store_at(e, dtype, ptr, value);
  }
}

// Values that read a buffer of the statement must not move out of its loops.
static bool reads_what_it_writes(const fst_emit *e, const fst_kstmt *stmt, const fst_kx *roots, uint32_t root_count) {
  fst_accesses accesses = {0};
  bool found = false;
  fst_emit_accesses(e, roots, root_count, &accesses);
  for (size_t a = 0; a < accesses.len; a++)
    for (uint32_t i = 0; i < stmt->store_count; i++) found |= accesses.data[a].buffer == stmt->stores[i].buffer;
  fst_vec_free(&accesses);
  return found;
}

static void emit_scatter(fst_emit *e, const fst_kstmt *stmt) {
  nest n = {.stmt = stmt, .var_count = stmt->var_count, .body = scatter_body, .context = (void *)(uintptr_t)stmt, .lane = -1, .lanes = 1};
  n.roots = stmt_roots(e, stmt, &n.root_count);
  if (reads_what_it_writes(e, stmt, n.roots, n.root_count)) n.root_count = 0;
  nest_plain_order(&n);
  nest_guarded(e, &n);
}

// ---- SCAN: carried values along the last variable, lanes (if any) across another ----

static void scan_body(fst_emit *e, void *context) {
  const fst_kstmt *stmt = context;
  uint32_t last = stmt->var_count - 1, count = stmt->carry_count;
  LLVMValueRef values[FST_LOOP_MAX_CARRIES], end = fst_emit_expr(e, stmt->extents[last]);
  fst_loop loop;
  for (uint32_t i = 0; i < count; i++) values[i] = fst_emit_splat(e, fst_emit_expr(e, stmt->carry_init[i]), e->lane.lanes);
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), end, 1, true, values, count);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, stmt->vars[last], loop.iv, false);
  for (uint32_t i = 0; i < count; i++) fst_emit_var_bind(e, stmt->carries[i], loop.phis[i], e->lane.lanes > 1);
  for (uint32_t i = 0; i < count; i++) values[i] = fst_emit_splat(e, fst_emit_expr(e, stmt->carry_next[i]), e->lane.lanes);
  // Stores come after the step: they see the carried values of this step's end.
  fst_emit_scope_close(e, mark);
  for (uint32_t i = 0; i < count; i++) fst_emit_var_bind(e, stmt->carries[i], values[i], e->lane.lanes > 1);
  fst_emit_stores(e, stmt);
  for (uint32_t i = 0; i < count; i++) fst_emit_var_unbind(e, stmt->carries[i]);
  fst_emit_var_unbind(e, stmt->vars[last]);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, values);
}

static void emit_scan(fst_emit *e, const fst_kstmt *stmt) {
  nest n = {.stmt = stmt, .var_count = stmt->var_count - 1, .body = scan_body, .context = (void *)(uintptr_t)stmt, .lane = -1, .lanes = 1};
  n.roots = stmt_roots(e, stmt, &n.root_count);
  nest_vectorise(e, &n);
  if (reads_what_it_writes(e, stmt, n.roots, n.root_count)) n.root_count = 0;
  nest_guarded(e, &n);
}

void fst_emit_statement(fst_emit *e, const fst_kstmt *stmt) {
  FST_ASSERT(stmt->var_count <= FST_KERNEL_MAX_DIMS, "kernel %s: %u variables", e->kernel->name, stmt->var_count);
  size_t mark = fst_emit_scope_open(e);
  e->lane = (fst_lane_state){.var = FST_NO_VAR, .lanes = 1};
  switch (stmt->kind) {
    case FST_KSTMT_MAP:
      if (!fst_contract_emit(e, stmt)) emit_map(e, stmt);
      break;
    case FST_KSTMT_SCATTER: emit_scatter(e, stmt); break;
    case FST_KSTMT_SCAN: emit_scan(e, stmt); break;
    case FST_KSTMT_SORT: fst_emit_sort(e, stmt); break;
    case FST_KSTMT_COMPACT: fst_emit_compact(e, stmt); break;
  }
  fst_emit_scope_close(e, mark);
}
