// Expressions to values: memoised, and lazily where a SELECT protects a load.
#include "codegen/llvm/emit.h"

bool fst_emit_is_varying(const fst_emit *e, fst_kx x) { return fst_set_meets(fst_emit_deps(e, x), e->varying, e->words); }

// ---- memo ----

size_t fst_emit_scope_open(const fst_emit *e) { return e->trail.len; }

void fst_emit_remember(fst_emit *e, fst_kx x, LLVMValueRef value) {
  fst_undo undo = {x.id, e->memo[x.id]};
  fst_vec_push(&e->trail, undo);
  e->memo[x.id] = value;
}

void fst_emit_scope_close(fst_emit *e, size_t mark) {
  while (e->trail.len > mark) {
    fst_undo undo = fst_vec_pop(&e->trail);
    e->memo[undo.expr] = undo.value;
  }
}

// A mask opens no block: what was computed under it holds outside too, unless it read memory that only the
// mask allowed. Keeping it matters, because nested selects share most of their operands.
static void mask_scope_close(fst_emit *e, size_t mark) {
  size_t kept = mark, end = e->trail.len;
  for (size_t i = end; i > mark; i--) {
    fst_undo undo = e->trail.data[i - 1];
    if (e->may_fault[undo.expr]) e->memo[undo.expr] = undo.value;
  }
  for (size_t i = mark; i < end; i++)
    if (!e->may_fault[e->trail.data[i].expr]) e->trail.data[kept++] = e->trail.data[i];
  e->trail.len = kept;
}

// ---- selects ----

static bool is_all_true(LLVMValueRef mask) { return LLVMIsConstant(mask) && mask == LLVMConstAllOnes(LLVMTypeOf(mask)); }

static bool is_all_false(LLVMValueRef mask) { return LLVMIsConstant(mask) && LLVMIsNull(mask); }

static LLVMValueRef select_masked(fst_emit *e, const fst_kx_data *data, LLVMValueRef condition) {
  uint32_t lanes = fst_emit_lane_count(condition);
  if (is_all_true(condition)) return fst_emit_splat(e, fst_emit_expr(e, data->args[1]), lanes);
  if (is_all_false(condition)) return fst_emit_splat(e, fst_emit_expr(e, data->args[2]), lanes);
  LLVMValueRef outer = e->lane.chosen, sides[2];
  for (int i = 0; i < 2; i++) {
    size_t mark = fst_emit_scope_open(e);
    LLVMValueRef own = i ? LLVMBuildNot(e->b, condition, "") : condition;
    e->lane.chosen = outer ? LLVMBuildAnd(e->b, outer, own, "") : own;
    sides[i] = fst_emit_expr(e, data->args[1 + i]);
    e->lane.chosen = outer;
    mask_scope_close(e, mark);
  }
  LLVMValueRef args[] = {condition, sides[0], sides[1]};
  return fst_emit_prim(e, FST_PRIM_SELECT, data->dtype, args, 3);
}

// `then` where the condition, one for all lanes, holds, else `other`.
typedef LLVMValueRef (*side_fn)(fst_emit *e, const void *context);

static LLVMValueRef branch_side(fst_emit *e, LLVMBasicBlockRef block, LLVMBasicBlockRef join, side_fn side, const void *context, uint32_t lanes, LLVMBasicBlockRef *out_end) {
  LLVMPositionBuilderAtEnd(e->b, block);
  size_t mark = fst_emit_scope_open(e);
  LLVMValueRef value = fst_emit_splat(e, side(e, context), lanes);
  fst_emit_scope_close(e, mark);
  *out_end = LLVMGetInsertBlock(e->b);
  LLVMBuildBr(e->b, join);
  return value;
}

static LLVMValueRef branch(fst_emit *e, LLVMValueRef condition, side_fn then, side_fn other, const void *context, uint32_t lanes) {
  LLVMBasicBlockRef yes = fst_emit_block(e, "then"), no = fst_emit_block(e, "else"), join = fst_emit_block(e, "join"), ends[2];
  LLVMBuildCondBr(e->b, condition, yes, no);
  LLVMValueRef values[2];
  values[0] = branch_side(e, yes, join, then, context, lanes, &ends[0]);
  values[1] = branch_side(e, no, join, other, context, lanes, &ends[1]);
  LLVMPositionBuilderAtEnd(e->b, join);
  LLVMValueRef phi = LLVMBuildPhi(e->b, LLVMTypeOf(values[0]), "");
  LLVMAddIncoming(phi, values, ends, 2);
  return phi;
}

// A condition as conjunctions: what is one for all lanes (the row of a padded image is inside), and the rest. Testing
// the first by a branch keeps the masks of the second near their use, in the width of the data.
enum { MAX_PARTS = 16 };
typedef struct condition_parts { fst_kx uniform[MAX_PARTS], varying[MAX_PARTS]; uint32_t uniform_count, varying_count; } condition_parts;

static void condition_split(const fst_emit *e, fst_kx x, condition_parts *out) {
  const fst_kx_data *data = fst_emit_get(e, x);
  if (data->kind == FST_KX_PRIM && data->prim == FST_PRIM_AND && fst_emit_is_varying(e, x) && out->varying_count + out->uniform_count + 2 < MAX_PARTS) {
    condition_split(e, data->args[0], out);
    condition_split(e, data->args[1], out);
  } else if (fst_emit_is_varying(e, x)) {
    out->varying[out->varying_count++] = x;
  } else {
    out->uniform[out->uniform_count++] = x;
  }
}

static LLVMValueRef conjunction(fst_emit *e, const fst_kx *parts, uint32_t count) {
  LLVMValueRef all = fst_emit_expr(e, parts[0]);
  for (uint32_t i = 1; i < count; i++) all = LLVMBuildAnd(e->b, all, fst_emit_expr(e, parts[i]), "");
  return all;
}

typedef struct select_context { const fst_kx_data *data; const condition_parts *parts; } select_context;

static LLVMValueRef select_then(fst_emit *e, const void *context) {
  const select_context *c = context;
  if (!c->parts) return fst_emit_expr(e, c->data->args[1]);
  return select_masked(e, c->data, conjunction(e, c->parts->varying, c->parts->varying_count));
}

static LLVMValueRef select_other(fst_emit *e, const void *context) { return fst_emit_expr(e, ((const select_context *)context)->data->args[2]); }

static LLVMValueRef emit_select(fst_emit *e, const fst_kx_data *data) {
  bool faults = e->may_fault[data->args[1].id] || e->may_fault[data->args[2].id];
  bool heavy = e->has_reduce[data->args[1].id] || e->has_reduce[data->args[2].id];
  bool varying = fst_emit_is_varying(e, data->args[1]) || fst_emit_is_varying(e, data->args[2]);
  select_context context = {data, NULL};
  if ((faults || heavy) && !fst_emit_is_varying(e, data->args[0]))
    return branch(e, fst_emit_expr(e, data->args[0]), select_then, select_other, &context, varying ? e->lane.lanes : 1);
  if (faults) {
    condition_parts parts = {.uniform_count = 0};
    condition_split(e, data->args[0], &parts);
    if (!parts.uniform_count) return select_masked(e, data, fst_emit_expr(e, data->args[0]));
    context.parts = &parts;
    return branch(e, conjunction(e, parts.uniform, parts.uniform_count), select_then, select_other, &context, e->lane.lanes);
  }
  LLVMValueRef args[] = {fst_emit_expr(e, data->args[0]), fst_emit_expr(e, data->args[1]), fst_emit_expr(e, data->args[2])};
  return fst_emit_prim(e, FST_PRIM_SELECT, data->dtype, args, 3);
}

// ---- a value where a condition holds, else 0 ----

typedef struct where_context { fst_value_fn value; const void *context; const condition_parts *parts; LLVMTypeRef type; bool faults; } where_context;

static LLVMValueRef where_masked(fst_emit *e, const where_context *w, LLVMValueRef holds) {
  if (is_all_true(holds)) return fst_emit_splat(e, w->value(e, w->context), fst_emit_lane_count(holds));
  LLVMValueRef outer = e->lane.chosen;
  size_t mark = fst_emit_scope_open(e);
  if (w->faults) e->lane.chosen = outer ? LLVMBuildAnd(e->b, outer, holds, "") : holds;
  LLVMValueRef result = w->value(e, w->context);
  e->lane.chosen = outer;
  mask_scope_close(e, mark);
  result = fst_emit_splat(e, result, fst_emit_lane_count(holds));
  return LLVMBuildSelect(e->b, holds, result, LLVMConstNull(LLVMTypeOf(result)), "");
}

static LLVMValueRef where_then(fst_emit *e, const void *context) {
  const where_context *w = context;
  if (!w->parts->varying_count) return w->value(e, w->context);
  return where_masked(e, w, conjunction(e, w->parts->varying, w->parts->varying_count));
}

static LLVMValueRef where_other(fst_emit *e, const void *context) {
  (void)e;
  return LLVMConstNull(((const where_context *)context)->type);
}

LLVMValueRef fst_emit_where(fst_emit *e, fst_kx condition, fst_dtype dtype, bool faults, fst_value_fn value, const void *context) {
  condition_parts parts = {.uniform_count = 0};
  where_context w = {value, context, &parts, fst_llvm_value_type(e->unit, dtype), faults};
  condition_split(e, condition, &parts);
  if (!faults || !parts.uniform_count) return where_masked(e, &w, fst_emit_expr(e, condition));
  return branch(e, conjunction(e, parts.uniform, parts.uniform_count), where_then, where_other, &w, e->lane.lanes);
}

// ---- everything else ----

// Comparisons of indices (padding, causal masks) are about the difference of two numbers that both move
// evenly: a scalar and a constant vector, for which 32 bits do, and these masks fit the data's lanes.
enum { NARROW_STEP = 1 << 20, NARROW_BOUND = 1 << 30 };

static bool compares_evenly(const fst_emit *e, const fst_kx_data *data) {
  if (e->lane.lanes == 1 || data->dtype != FST_BOOL || data->arg_count != 2 || fst_emit_get(e, data->args[0])->dtype != FST_I64) return false;
  bool varies = false;
  for (int i = 0; i < 2; i++) {
    if (!fst_emit_is_even(e, data->args[i])) return false;
    if (!fst_emit_is_varying(e, data->args[i])) continue;
    fst_step step = fst_emit_step(e, data->args[i], e->lane.var);
    if (step.kind != FST_STEP_CONST || step.value > NARROW_STEP || step.value < -NARROW_STEP) return false;
    varies = true;
  }
  return varies;
}

static int64_t even_step(const fst_emit *e, fst_kx x) { return fst_emit_is_varying(e, x) ? fst_emit_step(e, x, e->lane.var).value : 0; }

static LLVMValueRef clamp(fst_emit *e, LLVMIntPredicate order, LLVMValueRef value, int64_t bound) {
  LLVMValueRef limit = fst_emit_int(e, bound);
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, order, value, limit, ""), limit, value, "");
}

// 1: true in all lanes, 0: false in all, -1: not known. Compares bounds of the two sides.
static int compare_known(const fst_emit *e, const fst_kx_data *data) {
  int64_t al, ah, bl, bh;
  if (!fst_emit_range_here(e, data->args[0], &al, &ah) || !fst_emit_range_here(e, data->args[1], &bl, &bh)) return -1;
  switch (data->prim) {
    case FST_PRIM_LT: return ah < bl ? 1 : al >= bh ? 0 : -1;
    case FST_PRIM_LE: return ah <= bl ? 1 : al > bh ? 0 : -1;
    case FST_PRIM_EQ: return ah < bl || bh < al ? 0 : -1;
    default: return ah < bl || bh < al ? 1 : -1;
  }
}

static LLVMValueRef compare_evenly(fst_emit *e, const fst_kx_data *data) {
  int known = compare_known(e, data);
  if (known >= 0) return fst_emit_splat(e, LLVMConstInt(e->unit->i1, (unsigned)known, 0), e->lane.lanes);
  LLVMValueRef base[] = {fst_emit_at_base(e, data->args[0]), fst_emit_at_base(e, data->args[1])}, lanes[FST_EMIT_MAX_LANES];
  LLVMTypeRef type = e->unit->i64;
  LLVMValueRef difference = fst_llvm_intrinsic(e->unit, "llvm.ssub.sat", &type, 1, base, 2);
  difference = clamp(e, LLVMIntSLT, clamp(e, LLVMIntSGT, difference, NARROW_BOUND), -NARROW_BOUND);
  int64_t step = even_step(e, data->args[0]) - even_step(e, data->args[1]);
  for (uint32_t i = 0; i < e->lane.lanes; i++) lanes[i] = LLVMConstInt(e->unit->i32, (uint64_t)(-step * i), 1);
  LLVMValueRef args[] = {fst_emit_splat(e, LLVMBuildTrunc(e->b, difference, e->unit->i32, ""), e->lane.lanes), LLVMConstVector(lanes, e->lane.lanes)};
  return fst_emit_prim(e, data->prim, FST_I32, args, 2);
}

static LLVMValueRef emit_prim(fst_emit *e, const fst_kx_data *data) {
  LLVMValueRef args[3];
  if (compares_evenly(e, data)) return compare_evenly(e, data);
  fst_dtype from = fst_emit_get(e, data->args[0])->dtype;
  if (data->prim == FST_PRIM_SELECT) return emit_select(e, data);
  for (uint32_t i = 0; i < data->arg_count; i++) args[i] = fst_emit_expr(e, data->args[i]);
  if (data->prim == FST_PRIM_CONVERT) return fst_emit_convert(e, args[0], from, data->dtype);
  if (data->prim == FST_PRIM_BITCAST) return fst_emit_bitcast(e, args[0], data->dtype);
  return fst_emit_prim(e, data->prim, from, args, data->arg_count);
}

static LLVMValueRef emit_var(fst_emit *e, const fst_kx_data *data) {
  FST_ASSERT(e->vars[data->index], "kernel %s: variable %u is not bound here", e->kernel->name, data->index);
  if (data->index != e->lane.var || !fst_set_has(e->varying, data->index)) return e->vars[data->index];
  LLVMValueRef base = fst_emit_splat(e, e->lane.base, e->lane.lanes);
  return LLVMBuildAdd(e->b, base, fst_emit_iota(e, e->lane.lanes), "");
}

// A scalar computation that only some lanes ask for, and that could fault: done when at least one does.
static LLVMValueRef emit_if_any(fst_emit *e, fst_kx x) {
  LLVMValueRef any = fst_emit_any(e, e->lane.chosen);
  LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b), wanted = fst_emit_block(e, "any"), join = fst_emit_block(e, "join");
  fst_lane_state saved = e->lane;
  LLVMBuildCondBr(e->b, any, wanted, join);
  LLVMPositionBuilderAtEnd(e->b, wanted);
  size_t mark = fst_emit_scope_open(e);
  e->lane = (fst_lane_state){.var = FST_NO_VAR, .lanes = 1};
  LLVMValueRef value = fst_emit_expr(e, x);
  e->lane = saved;
  fst_emit_scope_close(e, mark);
  LLVMBasicBlockRef end = LLVMGetInsertBlock(e->b);
  LLVMBuildBr(e->b, join);
  LLVMPositionBuilderAtEnd(e->b, join);
  LLVMValueRef phi = LLVMBuildPhi(e->b, LLVMTypeOf(value), ""), none = LLVMConstNull(LLVMTypeOf(value));
  LLVMAddIncoming(phi, &none, &here, 1);
  LLVMAddIncoming(phi, &value, &end, 1);
  return phi;
}

// A reduction that is the same in all lanes is scalar code, free to use lanes of its own.
static LLVMValueRef emit_uniform_reduce(fst_emit *e, fst_kx x) {
  fst_lane_state saved = e->lane;
  e->lane = (fst_lane_state){.var = FST_NO_VAR, .lanes = 1};
  LLVMValueRef value = fst_emit_reduce(e, x);
  e->lane = saved;
  return value;
}

static LLVMValueRef expr_value(fst_emit *e, fst_kx x) {
  const fst_kx_data *data = fst_emit_get(e, x);
  bool varying = fst_emit_is_varying(e, x);
  if (!varying && e->lane.chosen && e->may_fault[x.id]) return emit_if_any(e, x);
  switch (data->kind) {
    case FST_KX_CONST: return fst_emit_const_value(e, data->dtype, data->bits);
    case FST_KX_PARAM: return e->params[data->index];
    case FST_KX_VAR: return emit_var(e, data);
    case FST_KX_PRIM: return emit_prim(e, data);
    case FST_KX_LOAD: return fst_emit_load(e, data->index, data->args);
    case FST_KX_REDUCE: return varying ? fst_emit_reduce(e, x) : emit_uniform_reduce(e, x);
  }
  FST_UNREACHABLE("expression kind %d", (int)data->kind);
}

LLVMValueRef fst_emit_expr(fst_emit *e, fst_kx x) {
  x = e->twin[x.id];
  if (e->memo[x.id]) return e->memo[x.id];
  LLVMValueRef value = expr_value(e, x);
  fst_emit_remember(e, x, value);
  return value;
}

// ---- hoisting ----

static bool hoist_is_worth(const fst_emit *e, const fst_kx_data *data, uint32_t id) {
  if (e->has_reduce[id]) return true;
  return data->kind == FST_KX_LOAD || (data->kind == FST_KX_PRIM && data->dtype != FST_I64);
}

static void hoist_visit(fst_emit *e, uint8_t *seen, fst_kx x, bool conditional) {
  // Seen conditionally only: a second, unconditional visit may do more.
  uint8_t flag = conditional ? 1 : 3;
  if ((seen[x.id] & flag) == flag) return;
  seen[x.id] |= flag;
  const fst_kx_data *data = fst_emit_get(e, x);
  if (fst_set_within(fst_emit_deps(e, x), e->bound, e->words)) {
    if (hoist_is_worth(e, data, x.id) && !(conditional && e->may_fault[x.id])) fst_emit_expr(e, x);
    return;
  }
  bool below = conditional;
  for (uint32_t i = 0; i < data->var_count; i++) {
    int64_t extent;
    if (!fst_emit_const(e, data->extents[i], &extent) || extent < 1) below = true;
  }
  for (uint32_t i = 0; i < data->arg_count; i++) {
    bool side = data->kind == FST_KX_PRIM && data->prim == FST_PRIM_SELECT && i > 0;
    hoist_visit(e, seen, data->args[i], below || side);
  }
}

void fst_emit_hoist(fst_emit *e, fst_kx root, bool conditional) {
  fst_arena arena;
  fst_arena_init(&arena);
  hoist_visit(e, FST_NEW_ARRAY(&arena, uint8_t, e->kernel->exprs.len), root, conditional);
  fst_arena_deinit(&arena);
}
