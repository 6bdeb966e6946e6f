// Reductions: loops that carry accumulators.
//
// Where the result differs by lane, the loops are scalar and the accumulators vectors. Where it does not, one
// of the reduction's own variables may take the lanes (the one that walks memory evenly), accumulators are
// vectors of partial results, and the lanes are combined at the end. Either way the innermost loop is unrolled
// over several accumulators: one chain of additions would wait for itself. Sums are the one place where
// floats are added in another order than written.
//
// ARGMAX and ARGMIN carry the position beside the value. A lane's first element wins over the identity
// because positions start at the largest integer; equal values prefer the smaller position, so the order of
// visiting does not matter.
#include "codegen/llvm/emit.h"

enum { MAX_UNROLL = 8, HEAVY_BODY = 48, WINDOW_POINTS = 12 };

typedef struct reduction {
  const fst_kx_data *data;
  fst_dtype dtype;          // of the values that are combined
  uint32_t order[FST_KERNEL_MAX_DIMS];  // positions in data->vars, outermost first
  uint32_t count;
  bool merged[FST_KERNEL_MAX_DIMS];     // by position in data->vars
  bool conditional;         // some loop may have no iteration
  int lane;                 // position of the lane variable, -1: none
  uint32_t lanes;           // of the accumulators
  bool mask_tail;
  uint32_t unroll;
  bool straight;            // all loops disappear: a small window (pooling, depthwise filters)
} reduction;

typedef struct accumulator { LLVMValueRef value, position; } accumulator;  // position: ARG only

static bool is_arg(const reduction *r) { return r->data->reduce == FST_REDUCE_ARGMAX || r->data->reduce == FST_REDUCE_ARGMIN; }

static bool is_max(fst_reduce op) { return op == FST_REDUCE_MAX || op == FST_REDUCE_ARGMAX; }

static LLVMValueRef extreme_identity(fst_emit *e, fst_dtype dtype, bool lowest) {
  LLVMTypeRef type = fst_llvm_value_type(e->unit, dtype);
  if (dtype == FST_F16) return LLVMConstInt(type, lowest ? 0xfc00 : 0x7c00, 0);
  if (dtype == FST_BF16) return LLVMConstInt(type, lowest ? 0xff80 : 0x7f80, 0);
  if (fst_dtype_is_float(dtype)) return LLVMConstReal(type, lowest ? -__builtin_inf() : __builtin_inf());
  if (dtype == FST_BOOL || dtype == FST_U8) return lowest ? LLVMConstNull(type) : LLVMConstAllOnes(type);
  uint64_t low = UINT64_C(1) << (LLVMGetIntTypeWidth(type) - 1);
  return LLVMConstInt(type, lowest ? low : low - 1, 0);
}

static LLVMValueRef identity(fst_emit *e, const reduction *r) {
  LLVMTypeRef type = fst_llvm_value_type(e->unit, r->dtype);
  switch (r->data->reduce) {
    case FST_REDUCE_SUM:
    case FST_REDUCE_ANY: return LLVMConstNull(type);
    case FST_REDUCE_ALL: return LLVMConstAllOnes(type);
    case FST_REDUCE_PROD:
      if (r->dtype == FST_F16) return LLVMConstInt(type, 0x3c00, 0);
      if (r->dtype == FST_BF16) return LLVMConstInt(type, 0x3f80, 0);
      return fst_dtype_is_float(r->dtype) ? LLVMConstReal(type, 1) : LLVMConstInt(type, 1, 0);
    default: return extreme_identity(e, r->dtype, is_max(r->data->reduce));
  }
}

// ---- combining ----

static LLVMValueRef float_sum(fst_emit *e, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef sum = LLVMBuildFAdd(e->b, a, b, "");
  if (LLVMIsAInstruction(sum)) LLVMSetFastMathFlags(sum, LLVMFastMathAllowReassoc | LLVMFastMathAllowContract);
  // A product that is a term may fuse into the sum, as it would if the terms were written without a mask.
  if (LLVMIsAInstruction(b) && LLVMGetInstructionOpcode(b) == LLVMFMul) LLVMSetFastMathFlags(b, LLVMFastMathAllowContract);
  return sum;
}

// The accumulator is the second operand: a NaN in it stays without a test of its own.
static LLVMValueRef float_extreme(fst_emit *e, bool max, LLVMValueRef best, LLVMValueRef value) {
  LLVMValueRef better = LLVMBuildFCmp(e->b, max ? LLVMRealOGT : LLVMRealOLT, value, best, "");
  LLVMValueRef next = LLVMBuildSelect(e->b, better, value, best, "");
  return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, value, value, ""), value, next, "");
}

static LLVMValueRef combine_value(fst_emit *e, const reduction *r, LLVMValueRef a, LLVMValueRef b) {
  bool plain_float = r->dtype == FST_F32 || r->dtype == FST_F64;
  LLVMValueRef args[] = {a, b};
  switch (r->data->reduce) {
    case FST_REDUCE_SUM: return plain_float ? float_sum(e, a, b) : fst_emit_prim(e, FST_PRIM_ADD, r->dtype, args, 2);
    case FST_REDUCE_PROD: return fst_emit_prim(e, FST_PRIM_MUL, r->dtype, args, 2);
    case FST_REDUCE_ANY: return LLVMBuildOr(e->b, a, b, "");
    case FST_REDUCE_ALL: return LLVMBuildAnd(e->b, a, b, "");
    case FST_REDUCE_MAX:
    case FST_REDUCE_MIN:
      if (plain_float) return float_extreme(e, is_max(r->data->reduce), a, b);
      return fst_emit_prim(e, is_max(r->data->reduce) ? FST_PRIM_MAX : FST_PRIM_MIN, r->dtype, args, 2);
    default: FST_UNREACHABLE("reduction %d has no plain combination", (int)r->data->reduce);
  }
}

// value strictly better than best; NaN is better than every number.
LLVMValueRef fst_emit_better(fst_emit *e, fst_reduce op, fst_dtype dtype, LLVMValueRef value, LLVMValueRef best) {
  LLVMValueRef args[] = {is_max(op) ? best : value, is_max(op) ? value : best};
  LLVMValueRef less = fst_emit_prim(e, FST_PRIM_LT, dtype, args, 2);
  if (!fst_dtype_is_float(dtype)) return less;
  LLVMValueRef self[] = {value, value}, other[] = {best, best};
  LLVMValueRef is_nan = fst_emit_prim(e, FST_PRIM_NE, dtype, self, 2), ordered = fst_emit_prim(e, FST_PRIM_EQ, dtype, other, 2);
  return LLVMBuildOr(e->b, less, LLVMBuildAnd(e->b, is_nan, ordered, ""), "");
}

static accumulator combine_arg(fst_emit *e, const reduction *r, accumulator a, accumulator b) {
  LLVMValueRef better = fst_emit_better(e, r->data->reduce, r->dtype, b.value, a.value);
  LLVMValueRef worse = fst_emit_better(e, r->data->reduce, r->dtype, a.value, b.value);
  LLVMValueRef tie = LLVMBuildNot(e->b, LLVMBuildOr(e->b, better, worse, ""), "");
  LLVMValueRef earlier = LLVMBuildICmp(e->b, LLVMIntSLT, b.position, a.position, "");
  LLVMValueRef take = LLVMBuildOr(e->b, better, LLVMBuildAnd(e->b, tie, earlier, ""), "");
  return (accumulator){LLVMBuildSelect(e->b, take, b.value, a.value, ""), LLVMBuildSelect(e->b, take, b.position, a.position, "")};
}

static accumulator combine(fst_emit *e, const reduction *r, accumulator a, accumulator b) {
  if (is_arg(r)) return combine_arg(e, r, a, b);
  return (accumulator){combine_value(e, r, a.value, b.value), NULL};
}

static accumulator initial(fst_emit *e, const reduction *r, uint32_t lanes) {
  accumulator acc = {fst_emit_splat(e, identity(e, r), lanes), NULL};
  if (is_arg(r)) acc.position = fst_emit_splat(e, fst_emit_int(e, INT64_MAX), lanes);
  return acc;
}

static LLVMValueRef half_of(fst_emit *e, LLVMValueRef value, uint32_t from, uint32_t count) {
  LLVMValueRef order[FST_EMIT_MAX_LANES];
  for (uint32_t i = 0; i < count; i++) order[i] = LLVMConstInt(e->unit->i32, from + i, 0);
  if (count == 1) return LLVMBuildExtractElement(e->b, value, order[0], "");
  return LLVMBuildShuffleVector(e->b, value, LLVMGetPoison(LLVMTypeOf(value)), LLVMConstVector(order, count), "");
}

static accumulator across_lanes(fst_emit *e, const reduction *r, accumulator acc, uint32_t lanes) {
  while (lanes > 1) {
    lanes /= 2;
    accumulator low = {half_of(e, acc.value, 0, lanes), is_arg(r) ? half_of(e, acc.position, 0, lanes) : NULL};
    accumulator high = {half_of(e, acc.value, lanes, lanes), is_arg(r) ? half_of(e, acc.position, lanes, lanes) : NULL};
    acc = combine(e, r, low, high);
  }
  return acc;
}

// ---- one point or vector ----

static LLVMValueRef position_now(fst_emit *e, const reduction *r) {
  LLVMValueRef position = fst_emit_int(e, 0);
  for (uint32_t i = 0; i < r->data->var_count; i++) {
    uint32_t var = r->data->vars[i];
    LLVMValueRef value = e->vars[var];
    if (e->lane.var == var && e->lane.lanes > 1)
      value = LLVMBuildAdd(e->b, fst_emit_splat(e, e->lane.base, e->lane.lanes), fst_emit_iota(e, e->lane.lanes), "");
    LLVMValueRef scaled[] = {position, fst_emit_expr(e, r->data->extents[i])};
    LLVMValueRef sum[] = {fst_emit_prim(e, FST_PRIM_MUL, FST_I64, scaled, 2), value};
    position = fst_emit_prim(e, FST_PRIM_ADD, FST_I64, sum, 2);
  }
  return position;
}

// Sums of float products fuse: one rounding less, twice the speed.
static bool is_product(const fst_emit *e, const reduction *r, const fst_kx_data *body) {
  (void)e;
  return r->data->reduce == FST_REDUCE_SUM && (r->dtype == FST_F32 || r->dtype == FST_F64) &&
         body->kind == FST_KX_PRIM && body->prim == FST_PRIM_MUL;
}

static accumulator visit(fst_emit *e, const reduction *r, accumulator acc) {
  fst_kx body = r->data->args[0];
  const fst_kx_data *data = fst_emit_get(e, body);
  uint32_t lanes = fst_emit_lane_count(acc.value);
  LLVMValueRef tail = r->lane >= 0 ? e->lane.tail : NULL;  // a parallel tail lane may hold anything
  if (is_product(e, r, data) && !tail && !e->memo[body.id]) {
    LLVMValueRef a = fst_emit_splat(e, fst_emit_expr(e, data->args[0]), lanes);
    LLVMValueRef b = fst_emit_splat(e, fst_emit_expr(e, data->args[1]), lanes);
    return (accumulator){fst_emit_fma(e, a, b, acc.value), NULL};
  }
  accumulator one = {fst_emit_splat(e, fst_emit_expr(e, body), lanes), NULL};
  if (is_arg(r)) one.position = fst_emit_splat(e, position_now(e, r), lanes);
  if (tail) {
    accumulator none = initial(e, r, lanes);
    one.value = LLVMBuildSelect(e->b, tail, one.value, none.value, "");
    if (is_arg(r)) one.position = LLVMBuildSelect(e->b, tail, one.position, none.position, "");
  }
  return combine(e, r, acc, one);
}

// ---- loops ----
// Accumulators travel through loops as carried values: value, then position where there is one.

static uint32_t pack_carries(const reduction *r, const accumulator *accs, uint32_t count, LLVMValueRef *out) {
  uint32_t used = 0;
  for (uint32_t i = 0; i < count; i++) {
    out[used++] = accs[i].value;
    if (is_arg(r)) out[used++] = accs[i].position;
  }
  return used;
}

static void unpack_carries(const reduction *r, const LLVMValueRef *carries, accumulator *out, uint32_t count) {
  uint32_t used = 0;
  for (uint32_t i = 0; i < count; i++) {
    out[i].value = carries[used++];
    out[i].position = is_arg(r) ? carries[used++] : NULL;
  }
}

static accumulator visit_at(fst_emit *e, const reduction *r, uint32_t var, LLVMValueRef base, uint32_t lanes, LLVMValueRef tail, accumulator acc) {
  bool own_lanes = r->lane >= 0;
  fst_lane_state saved = e->lane;
  size_t mark = fst_emit_scope_open(e);
  if (own_lanes) e->lane = lanes > 1 ? (fst_lane_state){var, lanes, base, 1, 0, tail, NULL} : (fst_lane_state){.var = FST_NO_VAR, .lanes = 1};
  fst_emit_var_bind(e, var, base, own_lanes && lanes > 1);
  acc = visit(e, r, acc);
  fst_emit_var_unbind(e, var);
  fst_emit_scope_close(e, mark);
  e->lane = saved;
  return acc;
}

// `unroll` accumulators over [start, end), whose length is a multiple of lanes * unroll.
static void run_unrolled(fst_emit *e, const reduction *r, uint32_t var, LLVMValueRef start, LLVMValueRef end, uint32_t lanes, uint32_t unroll, bool guarded, bool single, accumulator *accs) {
  fst_loop loop;
  LLVMValueRef carries[2 * MAX_UNROLL] = {0};
  LLVMValueRef at = start;
  uint32_t used = pack_carries(r, accs, unroll, carries);
  if (!single) {
    fst_loop_begin(e, &loop, start, end, (int64_t)lanes * unroll, guarded, carries, used);
    unpack_carries(r, loop.phis, accs, unroll);
    at = loop.iv;
  }
  for (uint32_t u = 0; u < unroll; u++) {
    LLVMValueRef base = u ? LLVMBuildNSWAdd(e->b, at, fst_emit_int(e, (int64_t)u * lanes), "") : at;
    accs[u] = visit_at(e, r, var, base, lanes, NULL, accs[u]);
  }
  if (single) return;
  pack_carries(r, accs, unroll, carries);
  fst_loop_end(e, &loop, carries);
  unpack_carries(r, carries, accs, unroll);
}

static accumulator join_unrolled(fst_emit *e, const reduction *r, accumulator *accs, uint32_t unroll) {
  for (uint32_t width = unroll; width > 1; width = (width + 1) / 2)
    for (uint32_t i = 0; i < width / 2; i++) accs[i] = combine(e, r, accs[i], accs[width - 1 - i]);
  return accs[0];
}

// What is left after the full vectors: one masked vector, or points.
static accumulator run_tail(fst_emit *e, const reduction *r, uint32_t var, LLVMValueRef start, LLVMValueRef count, accumulator acc) {
  if (!r->mask_tail) {
    // Points go into an accumulator of their own, which joins lane by lane at the end: lane 0 takes it.
    accumulator points = initial(e, r, 1);
    bool known = LLVMIsAConstantInt(start) && LLVMIsAConstantInt(count);
    run_unrolled(e, r, var, start, count, 1, 1, !known, false, &points);
    LLVMValueRef zero = LLVMConstInt(e->unit->i32, 0, 0);
    accumulator rest = initial(e, r, r->lanes);
    rest.value = LLVMBuildInsertElement(e->b, rest.value, points.value, zero, "");
    if (is_arg(r)) rest.position = LLVMBuildInsertElement(e->b, rest.position, points.position, zero, "");
    return combine(e, r, acc, rest);
  }
  LLVMValueRef left = LLVMBuildSub(e->b, count, start, "");
  LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), tail = fst_emit_block(e, "tail"), done = fst_emit_block(e, "done");
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, left, fst_emit_int(e, 0), ""), tail, done);
  LLVMPositionBuilderAtEnd(e->b, tail);
  accumulator after = visit_at(e, r, var, start, r->lanes, fst_emit_tail_mask(e, left, r->lanes), acc);
  LLVMBasicBlockRef end = LLVMGetInsertBlock(e->b);
  LLVMBuildBr(e->b, done);
  LLVMPositionBuilderAtEnd(e->b, done);
  LLVMValueRef from[2], to[2], merged[2];
  uint32_t used = pack_carries(r, &acc, 1, from);
  pack_carries(r, &after, 1, to);
  for (uint32_t i = 0; i < used; i++) {
    merged[i] = LLVMBuildPhi(e->b, LLVMTypeOf(from[i]), "");
    LLVMAddIncoming(merged[i], &from[i], &before, 1);
    LLVMAddIncoming(merged[i], &to[i], &end, 1);
  }
  unpack_carries(r, merged, &acc, 1);
  return acc;
}

static LLVMValueRef round_down(fst_emit *e, LLVMValueRef count, int64_t to) {
  if (to == 1) return count;
  if (LLVMIsAConstantInt(count)) return fst_emit_int(e, LLVMConstIntGetSExtValue(count) / to * to);
  LLVMValueRef rest = LLVMBuildURem(e->b, count, fst_emit_int(e, to), "");
  return LLVMBuildSub(e->b, count, rest, "");
}

static bool is_positive(LLVMValueRef value, int64_t *out) {
  if (!LLVMIsAConstantInt(value)) return false;
  *out = LLVMConstIntGetSExtValue(value);
  return true;
}

static accumulator run_innermost(fst_emit *e, const reduction *r, uint32_t position, LLVMValueRef count, accumulator acc) {
  uint32_t var = r->data->vars[position], lanes = r->lane >= 0 ? r->lanes : 1, unroll = r->unroll;
  int64_t known = 0;
  bool is_known = is_positive(count, &known);
  if (is_known && known / lanes < unroll) unroll = known / lanes ? (uint32_t)(known / lanes) : 1;
  accumulator accs[MAX_UNROLL];
  accs[0] = acc;
  for (uint32_t u = 1; u < unroll; u++) accs[u] = initial(e, r, r->lanes);
  LLVMValueRef zero = fst_emit_int(e, 0), main_end = round_down(e, count, (int64_t)lanes * unroll), full_end = round_down(e, count, lanes);
  int64_t main_count = is_known ? LLVMConstIntGetSExtValue(main_end) : 0, full_count = is_known ? LLVMConstIntGetSExtValue(full_end) : 0;
  if (!is_known || main_count)
    run_unrolled(e, r, var, zero, main_end, lanes, unroll, !is_known, is_known && main_count == (int64_t)lanes * unroll, accs);
  acc = join_unrolled(e, r, accs, unroll);
  if (unroll > 1 && (!is_known || full_count > main_count))
    run_unrolled(e, r, var, main_end, full_end, lanes, 1, !is_known, is_known && full_count == main_count + lanes, &acc);
  if (lanes > 1 && (!is_known || known > full_count)) acc = run_tail(e, r, var, full_end, count, acc);
  return acc;
}

static LLVMValueRef loop_count(fst_emit *e, const reduction *r, uint32_t position) {
  LLVMValueRef count = fst_emit_expr(e, r->data->extents[position]);
  for (uint32_t i = position; i > 0 && r->merged[i - 1]; i--) count = LLVMBuildMul(e->b, count, fst_emit_expr(e, r->data->extents[i - 1]), "");
  LLVMValueRef args[] = {count, fst_emit_int(e, 0)};  // a length that was computed may be negative: nothing then
  return LLVMIsAConstantInt(count) ? count : fst_emit_prim(e, FST_PRIM_MAX, FST_I64, args, 2);
}

static accumulator run_level(fst_emit *e, const reduction *r, uint32_t level, accumulator acc);

static accumulator run_straight(fst_emit *e, const reduction *r, uint32_t level, int64_t count, accumulator acc) {
  uint32_t var = r->data->vars[r->order[level]];
  for (int64_t i = 0; i < count; i++) {
    size_t mark = fst_emit_scope_open(e);
    fst_emit_var_bind(e, var, fst_emit_int(e, i), false);
    acc = run_level(e, r, level + 1, acc);
    fst_emit_var_unbind(e, var);
    fst_emit_scope_close(e, mark);
  }
  return acc;
}

static accumulator run_level(fst_emit *e, const reduction *r, uint32_t level, accumulator acc) {
  uint32_t position = r->order[level], var = r->data->vars[position];
  fst_emit_hoist(e, r->data->args[0], r->conditional);
  if (r->merged[position]) {
    size_t mark = fst_emit_scope_open(e);
    fst_emit_var_bind(e, var, fst_emit_int(e, 0), false);
    acc = run_level(e, r, level + 1, acc);
    fst_emit_var_unbind(e, var);
    fst_emit_scope_close(e, mark);
    return acc;
  }
  LLVMValueRef count = loop_count(e, r, position);
  if (level + 1 == r->count) return run_innermost(e, r, position, count, acc);
  fst_loop loop;
  int64_t known = 0;
  bool guarded = !is_positive(count, &known) || known < 1;
  if (r->straight && known >= 1) return run_straight(e, r, level, known, acc);
  LLVMValueRef carries[2];
  uint32_t used = pack_carries(r, &acc, 1, carries);
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), count, 1, guarded, carries, used);
  unpack_carries(r, loop.phis, &acc, 1);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, var, loop.iv, false);
  acc = run_level(e, r, level + 1, acc);
  fst_emit_var_unbind(e, var);
  fst_emit_scope_close(e, mark);
  pack_carries(r, &acc, 1, carries);
  fst_loop_end(e, &loop, carries);
  unpack_carries(r, carries, &acc, 1);
  return acc;
}

// ---- the plan of one reduction ----

static void plan_order(reduction *r) {
  uint32_t used = 0;
  for (uint32_t i = 0; i < r->data->var_count; i++)
    if ((int)i != r->lane) r->order[used++] = i;
  if (r->lane >= 0) r->order[used++] = (uint32_t)r->lane;
  r->count = used;
}

// Masks that stay within one block keep the width of the data; loops would have them narrowed and widened.
static bool plan_straight(const fst_emit *e, const reduction *r, uint32_t weight) {
  int64_t points = 1, extent;
  for (uint32_t i = 0; i < r->count; i++) {
    if (!fst_emit_const(e, r->data->extents[r->order[i]], &extent) || extent > WINDOW_POINTS) return false;
    points *= extent;
  }
  return r->lane < 0 && r->count > 1 && points <= WINDOW_POINTS && weight < HEAVY_BODY;
}

static uint32_t plan_unroll(const fst_emit *e, const reduction *r, uint32_t weight) {
  int64_t inner;
  // A short inner loop disappears altogether.
  if (r->lane < 0 && fst_emit_const(e, r->data->extents[r->order[r->count - 1]], &inner) && inner > 0 && inner <= MAX_UNROLL && weight < HEAVY_BODY) return (uint32_t)inner;
  if (is_arg(r)) return 1;
  return weight < HEAVY_BODY / 2 ? 4 : weight < HEAVY_BODY ? 2 : 1;
}

static void plan_merge(const fst_emit *e, reduction *r) {
  for (uint32_t i = 0; i < r->data->var_count; i++) {
    int64_t extent;
    if (!fst_emit_const(e, r->data->extents[i], &extent) || extent < 1) r->conditional = true;
  }
  fst_emit_collapse(e, r->data->vars, r->data->extents, r->data->var_count, r->data->args, 1, NULL, 0, r->merged);
}

static reduction plan_reduction(fst_emit *e, fst_kx x) {
  reduction r = {.data = fst_emit_get(e, x), .lane = -1, .lanes = 1};
  r.dtype = fst_emit_get(e, r.data->args[0])->dtype;
  r.mask_tail = true;
  plan_merge(e, &r);
  if (fst_emit_is_varying(e, x)) {
    r.lanes = e->lane.lanes;
  } else {
    uint32_t lanes = fst_emit_lanes_for(e, r.data->args, 1, r.dtype);
    r.lane = fst_emit_reduce_lane(e, r.data, lanes, NULL);
    while (r.lane >= 0 && r.merged[r.lane]) r.lane++;  // a merged run counts in its last variable
    r.lanes = r.lane >= 0 ? lanes : 1;
    r.mask_tail = fst_emit_masks_tails(e, r.data->args, 1);
  }
  plan_order(&r);
  uint32_t weight = fst_emit_weight(e, r.data->args[0]);
  r.unroll = plan_unroll(e, &r, weight);
  r.straight = plan_straight(e, &r, weight);
  return r;
}

LLVMValueRef fst_emit_reduce(fst_emit *e, fst_kx x) {
  reduction r = plan_reduction(e, x);
  accumulator acc = r.count ? run_level(e, &r, 0, initial(e, &r, r.lanes)) : visit(e, &r, initial(e, &r, r.lanes));
  if (r.lane >= 0) acc = across_lanes(e, &r, acc, r.lanes);
  return is_arg(&r) ? acc.position : acc.value;
}
