// Loops, rotated from the start: the test is at the end and a guard in front where there may be no iteration.
// LLVM need not restructure them, and what lies before a body dominates what follows the loop.
#include "codegen/llvm/emit.h"

LLVMBasicBlockRef fst_emit_block(fst_emit *e, const char *name) { return LLVMAppendBasicBlockInContext(e->unit->context, e->function, name); }

// Stack slots belong to the entry block, or every iteration would take another.
LLVMValueRef fst_emit_alloca(fst_emit *e, LLVMTypeRef type, unsigned align) {
  LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b), entry = LLVMGetEntryBasicBlock(e->function);
  LLVMValueRef first = LLVMGetFirstInstruction(entry);
  if (first) LLVMPositionBuilderBefore(e->b, first);
  else LLVMPositionBuilderAtEnd(e->b, entry);
  LLVMValueRef slot = LLVMBuildAlloca(e->b, type, "");
  LLVMSetAlignment(slot, align);
  LLVMPositionBuilderAtEnd(e->b, here);
  return slot;
}

void fst_loop_begin(fst_emit *e, fst_loop *loop, LLVMValueRef start, LLVMValueRef end, int64_t step, bool guarded, const LLVMValueRef *inits, uint32_t carry_count) {
  FST_ASSERT(carry_count <= FST_LOOP_MAX_CARRIES, "%u carried values", carry_count);
  loop->before = LLVMGetInsertBlock(e->b);
  loop->body = fst_emit_block(e, "loop");
  loop->exit = fst_emit_block(e, "done");
  loop->end = end;
  loop->step = fst_emit_int(e, step);
  loop->guarded = guarded;
  loop->carry_count = carry_count;
  if (guarded) LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, start, end, ""), loop->body, loop->exit);
  else LLVMBuildBr(e->b, loop->body);
  LLVMPositionBuilderAtEnd(e->b, loop->body);
  loop->iv = LLVMBuildPhi(e->b, e->unit->i64, "i");
  LLVMAddIncoming(loop->iv, &start, &loop->before, 1);
  for (uint32_t i = 0; i < carry_count; i++) {
    loop->inits[i] = inits[i];
    loop->phis[i] = LLVMBuildPhi(e->b, LLVMTypeOf(inits[i]), "");
    LLVMAddIncoming(loop->phis[i], &loop->inits[i], &loop->before, 1);
  }
}

void fst_loop_end(fst_emit *e, fst_loop *loop, LLVMValueRef *values) {
  LLVMValueRef next = LLVMBuildNSWAdd(e->b, loop->iv, loop->step, "");
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, loop->end, ""), loop->body, loop->exit);
  LLVMAddIncoming(loop->iv, &next, &latch, 1);
  for (uint32_t i = 0; i < loop->carry_count; i++) LLVMAddIncoming(loop->phis[i], &values[i], &latch, 1);
  LLVMPositionBuilderAtEnd(e->b, loop->exit);
  if (!loop->guarded) return;
  for (uint32_t i = 0; i < loop->carry_count; i++) {
    LLVMValueRef phi = LLVMBuildPhi(e->b, LLVMTypeOf(values[i]), "");
    LLVMAddIncoming(phi, &loop->inits[i], &loop->before, 1);
    LLVMAddIncoming(phi, &values[i], &latch, 1);
    values[i] = phi;
  }
}

void fst_emit_var_bind(fst_emit *e, uint32_t var, LLVMValueRef value, bool varying) {
  e->vars[var] = value;
  fst_set_add(e->bound, var);
  if (varying) fst_set_add(e->varying, var);
}

void fst_emit_var_unbind(fst_emit *e, uint32_t var) {
  e->vars[var] = NULL;
  fst_set_remove(e->bound, var);
  fst_set_remove(e->varying, var);
}

LLVMValueRef fst_emit_tail_mask(fst_emit *e, LLVMValueRef left, uint32_t lanes) {
  // In the width of the data, so that the mask needs no narrowing; lanes are few, so 32 bits are enough.
  LLVMValueRef items[FST_EMIT_MAX_LANES];
  for (uint32_t i = 0; i < lanes; i++) items[i] = LLVMConstInt(e->unit->i32, i, 0);
  LLVMValueRef narrow = LLVMBuildTrunc(e->b, left, e->unit->i32, "");
  return LLVMBuildICmp(e->b, LLVMIntULT, LLVMConstVector(items, lanes), fst_emit_splat(e, narrow, lanes), "");
}

void fst_emit_lanes_at(fst_emit *e, const fst_lane_loop *l, LLVMValueRef base, uint32_t lanes, LLVMValueRef tail, int64_t low, int64_t high) {
  fst_lane_state saved = e->lane;
  size_t mark = fst_emit_scope_open(e);
  if (lanes > 1) e->lane = (fst_lane_state){l->var, lanes, base, low, low <= high ? high + lanes - 1 : high, tail, NULL};
  fst_emit_var_bind(e, l->var, base, lanes > 1);
  l->body(e, l->context);
  fst_emit_var_unbind(e, l->var);
  fst_emit_scope_close(e, mark);
  e->lane = saved;
}

static void lane_body_at(fst_emit *e, const fst_lane_loop *l, int64_t base, uint32_t lanes, LLVMValueRef tail) {
  fst_emit_lanes_at(e, l, fst_emit_int(e, base), lanes, tail, base, base);
}

static void lane_range(fst_emit *e, const fst_lane_loop *l, LLVMValueRef start, LLVMValueRef end, uint32_t lanes, bool guarded, int64_t low, int64_t high) {
  fst_loop loop;
  fst_loop_begin(e, &loop, start, end, lanes, guarded, NULL, 0);
  fst_emit_lanes_at(e, l, loop.iv, lanes, NULL, low, high);
  fst_loop_end(e, &loop, NULL);
}

static uint32_t power_above(uint32_t n) {
  uint32_t power = 1;
  while (power < n) power *= 2;
  return power;
}

// A constant count leaves a constant tail, which gets a vector of its own size.
static void const_tail(fst_emit *e, const fst_lane_loop *l, int64_t start, uint32_t left) {
  uint32_t lanes = power_above(left);
  if (lanes == left) {
    lane_body_at(e, l, start, lanes, NULL);
  } else if (l->mask_tail) {
    lane_body_at(e, l, start, lanes, fst_emit_tail_mask(e, fst_emit_int(e, left), lanes));
  } else {  // the largest vector that fits, then the rest
    lane_body_at(e, l, start, lanes / 2, NULL);
    const_tail(e, l, start + lanes / 2, left - lanes / 2);
  }
}

static void const_vectors(fst_emit *e, const fst_lane_loop *l, int64_t from, int64_t to) {
  if (to - from == l->lanes) lane_body_at(e, l, from, l->lanes, NULL);
  else if (to > from) lane_range(e, l, fst_emit_int(e, from), fst_emit_int(e, to), l->lanes, false, from, to - l->lanes);
}

static void const_lane_loop(fst_emit *e, const fst_lane_loop *l, int64_t count) {
  int64_t full = count / l->lanes * l->lanes, from = 0, to = full;
  if (l->peel && full >= 3 * (int64_t)l->lanes) {
    from = l->lanes;
    to = count > full ? full : full - l->lanes;
    lane_body_at(e, l, 0, l->lanes, NULL);
  }
  const_vectors(e, l, from, to);
  if (to < full) lane_body_at(e, l, to, l->lanes, NULL);
  if (count > full) const_tail(e, l, full, (uint32_t)(count - full));
}

void fst_emit_lane_loop(fst_emit *e, const fst_lane_loop *l, LLVMValueRef count) {
  if (LLVMIsAConstantInt(count)) {
    const_lane_loop(e, l, LLVMConstIntGetSExtValue(count));
    return;
  }
  LLVMValueRef full = LLVMBuildAnd(e->b, count, fst_emit_int(e, -(int64_t)l->lanes), "");
  lane_range(e, l, fst_emit_int(e, 0), full, l->lanes, true, 1, 0);
  if (!l->mask_tail) {
    lane_range(e, l, full, count, 1, true, 1, 0);
    return;
  }
  LLVMBasicBlockRef tail = fst_emit_block(e, "tail"), done = fst_emit_block(e, "done");
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, full, count, ""), tail, done);
  LLVMPositionBuilderAtEnd(e->b, tail);
  LLVMValueRef mask = fst_emit_tail_mask(e, LLVMBuildSub(e->b, count, full, ""), l->lanes);
  fst_emit_lanes_at(e, l, full, l->lanes, mask, 1, 0);
  LLVMBuildBr(e->b, done);
  LLVMPositionBuilderAtEnd(e->b, done);
}
