// The loops that fill a copy: over the drivers of its indices, which run on beyond their extents.
#include "codegen/contract/plan.h"

enum { FETCHED_AHEAD = 128 << 10, FETCHED_NEAR = 8 << 10, SPLIT_MOST = 4 };

typedef struct copy_loop {
  const fst_plan *p;
  const fst_copy *c;
  LLVMValueRef at;    // elements from the copy's start to where the last dim's values go
  uint32_t dim, var;  // the variable along the lanes
  LLVMValueRef value; // of copy_take
} copy_loop;

static void copy_dim(fst_emit *e, copy_loop *l);

// Copies follow each other, each used up at once: the reads of the next one begin while this one is made, into the first
// cache if that has room for them.
static void fetch_next(fst_emit *e, const copy_loop *l) {
  const fst_kx_data *load = fst_emit_get(e, fst_copy_side(l->p, l->c)->factors[0]);
  if (load->kind != FST_KX_LOAD || !l->c->level) return;
  fst_step step = fst_emit_access_step(e, load->index, load->args, l->p->stmt->vars[l->p->outer[l->c->level - 1]]);
  int64_t bytes = step.value * (int64_t)fst_dtype_size(load->dtype);
  if (step.kind != FST_STEP_CONST || bytes <= 0 || bytes > FETCHED_AHEAD) return;
  LLVMValueRef at = LLVMBuildAdd(e->b, fst_emit_offset(e, load->index, load->args), fst_emit_int(e, step.value), "");
  LLVMValueRef ptr = LLVMBuildGEP2(e->b, fst_llvm_memory_type(e->unit, load->dtype), e->buffers[load->index], &at, 1, "");
  fst_emit_prefetch(e, ptr, false, bytes <= FETCHED_NEAR ? 1 : 2);
}

static void copy_take(fst_emit *e, void *context) {
  copy_loop *l = context;
  fetch_next(e, l);
  l->value = fst_emit_splat(e, fst_side_value(e, fst_copy_side(l->p, l->c)), e->lane.lanes);
}

static LLVMValueRef copy_ptr(fst_emit *e, const copy_loop *l, LLVMValueRef shift) {
  return fst_emit_element_ptr(e, fst_emit_scratch(e, l->c->offset), l->c->dtype, LLVMBuildAdd(e->b, l->at, shift, ""));
}

static void copy_store(fst_emit *e, void *context) {
  copy_loop *l = context;
  copy_take(e, l);
  LLVMValueRef ptr = copy_ptr(e, l, e->lane.lanes > 1 ? e->lane.base : e->vars[l->var]);
  if (e->lane.tail) {
    LLVMTypeRef types[] = {LLVMTypeOf(l->value), e->unit->ptr};
    LLVMValueRef args[] = {l->value, ptr, LLVMConstInt(e->unit->i32, fst_dtype_size(l->c->dtype), 0), e->lane.tail};
    fst_llvm_intrinsic(e->unit, "llvm.masked.store", types, 2, args, 4);
    return;
  }
  LLVMSetAlignment(LLVMBuildStore(e->b, l->value, ptr), (unsigned)fst_dtype_size(l->c->dtype));
}

static fst_lane_loop lanes_of(fst_emit *e, copy_loop *l, uint32_t var, fst_lane_body body) {
  const fst_side *side = fst_copy_side(l->p, l->c);
  uint32_t lanes = (uint32_t)e->unit->target->vector_bytes / (uint32_t)fst_dtype_size(l->c->dtype);
  l->var = var;
  return (fst_lane_loop){var, lanes, fst_emit_masks_tails(e, side->factors, side->count), side->mask.id != 0, body, l};
}

// ---- split copies ----

// Element i*count + k of the vectors put together becomes element i of vector k.
static void part(fst_emit *e, const LLVMValueRef *from, uint32_t count, LLVMValueRef *to) {
  uint32_t lanes = fst_emit_lane_count(from[0]);
  if (count == 1) {
    to[0] = from[0];
    return;
  }
  LLVMValueRef halves[2][SPLIT_MOST] = {{0}}, parts[SPLIT_MOST] = {0};
  for (uint32_t odd = 0; odd < 2; odd++) {
    LLVMValueRef order[FST_EMIT_MAX_LANES];
    for (uint32_t i = 0; i < lanes; i++) order[i] = LLVMConstInt(e->unit->i32, 2 * i + odd, 0);
    for (uint32_t i = 0; i < count / 2; i++) halves[odd][i] = LLVMBuildShuffleVector(e->b, from[2 * i], from[2 * i + 1], LLVMConstVector(order, lanes), "");
    part(e, halves[odd], count / 2, parts);
    for (uint32_t i = 0; i < count / 2; i++) to[2 * i + odd] = parts[i];
  }
}

// As many neighbouring vectors as there are parts, from `first` on (at least `low`, at most `high`); `left` values are left there.
static void split_block(fst_emit *e, copy_loop *l, const fst_lane_loop *loop, LLVMValueRef first, int64_t low, int64_t high, int64_t left) {
  uint32_t count = (uint32_t)l->c->split;
  LLVMValueRef values[SPLIT_MOST] = {0}, parts[SPLIT_MOST] = {0};
  for (int64_t i = 0; i < count; i++) {
    int64_t shift = i * loop->lanes, own = left - shift;
    if (own <= 0) {
      values[i] = LLVMConstNull(fst_emit_vector_type(fst_llvm_value_type(e->unit, l->c->dtype), loop->lanes));
      continue;
    }
    LLVMValueRef tail = own < loop->lanes ? fst_emit_tail_mask(e, fst_emit_int(e, own), loop->lanes) : NULL;
    fst_emit_lanes_at(e, loop, LLVMBuildAdd(e->b, first, fst_emit_int(e, shift), ""), loop->lanes, tail, low + shift, high + shift);
    values[i] = l->value;
  }
  part(e, values, count, parts);
  LLVMValueRef at = LLVMBuildUDiv(e->b, first, fst_emit_int(e, count), "");
  for (int64_t i = 0; i < count; i++) {
    LLVMValueRef ptr = copy_ptr(e, l, LLVMBuildAdd(e->b, at, fst_emit_int(e, i * l->c->part), ""));
    LLVMSetAlignment(LLVMBuildStore(e->b, parts[i], ptr), (unsigned)fst_dtype_size(l->c->dtype));
  }
}

// Parts have room for a last vector that is not whole.
static void copy_blocks(fst_emit *e, copy_loop *l, uint32_t driver, int64_t size) {
  fst_lane_loop lanes = lanes_of(e, l, driver, copy_take);
  int64_t split = l->c->split;
  while (lanes.lanes > 4 && lanes.lanes / 2 * split >= size) lanes.lanes /= 2;
  int64_t block = lanes.lanes * split, full = size / block * block;
  if (full > 0) {
    fst_loop loop;
    fst_loop_begin(e, &loop, fst_emit_int(e, 0), fst_emit_int(e, full), block, false, NULL, 0);
    split_block(e, l, &lanes, loop.iv, 0, full - block, block);
    fst_loop_end(e, &loop, NULL);
  }
  if (full < size) split_block(e, l, &lanes, fst_emit_int(e, full), full, full, size - full);
}

// Part by part: the driver says which, the lane variable runs through it.
static void copy_parts(fst_emit *e, copy_loop *l, uint32_t driver, int64_t size) {
  const fst_copy *c = l->c;
  LLVMValueRef start = l->at;
  for (int64_t number = 0; number < c->split && number < size; number++) {
    size_t mark = fst_emit_scope_open(e);
    fst_lane_loop loop = lanes_of(e, l, c->movers[c->mover_count - 1].var, copy_store);
    fst_emit_var_bind(e, driver, fst_emit_int(e, number), false);
    l->at = LLVMBuildAdd(e->b, start, fst_emit_int(e, number * c->part), "");
    fst_emit_lane_loop(e, &loop, fst_emit_int(e, (size - number + c->split - 1) / c->split));
    l->at = start;
    fst_emit_var_unbind(e, driver);
    fst_emit_scope_close(e, mark);
  }
}

// ---- loops ----

static void copy_last(fst_emit *e, copy_loop *l) {
  const fst_copy *c = l->c;
  uint32_t last = c->dim_count - 1, driver = c->movers[c->driver[last]].var;
  fst_lane_loop loop = lanes_of(e, l, driver, copy_store);
  if (c->split == 1) fst_emit_lane_loop(e, &loop, fst_emit_int(e, c->size[last]));
  else if ((c->split == 2 || c->split == 4) && loop.mask_tail) copy_blocks(e, l, driver, c->size[last]);
  else copy_parts(e, l, driver, c->size[last]);
}

static void copy_dim(fst_emit *e, copy_loop *l) {
  const fst_copy *c = l->c;
  uint32_t d = l->dim, var = c->movers[c->driver[d]].var;
  if (d + 1 == c->dim_count) {
    copy_last(e, l);
    return;
  }
  fst_loop loop;
  LLVMValueRef outer = l->at;
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), fst_emit_int(e, c->size[d]), 1, false, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, var, loop.iv, false);
  l->at = LLVMBuildAdd(e->b, outer, LLVMBuildMul(e->b, loop.iv, fst_emit_int(e, c->pitch[d]), ""), "");
  l->dim = d + 1;
  copy_dim(e, l);
  l->dim = d;
  l->at = outer;
  fst_emit_var_unbind(e, var);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

static bool drives(const fst_copy *c, uint32_t mover) {
  for (uint32_t d = 0; d < c->dim_count; d++)
    if (c->driver[d] == mover) return true;
  return false;
}

// Variables that drive no index stand at 0 meanwhile, and so do the sum's that have no loop.
void fst_copy_emit(fst_emit *e, const fst_plan *p, const fst_copy *c) {
  const fst_product *product = &p->products[c->product];
  size_t mark = fst_emit_scope_open(e);
  fst_kx extents[FST_COPY_MOVERS];
  for (uint32_t i = 0; i < c->mover_count; i++) {  // drivers run on beyond what their extents say
    extents[i] = e->extents[c->movers[i].var];
    e->extents[c->movers[i].var] = FST_NO_KX;
  }
  for (uint32_t i = 0; i < c->mover_count; i++)
    if (!drives(c, i)) fst_emit_var_bind(e, c->movers[i].var, fst_emit_int(e, 0), false);
  for (uint32_t i = 0; i < product->still_count; i++) fst_emit_var_bind(e, product->still[i], fst_emit_int(e, 0), false);
  copy_loop l = {.p = p, .c = c, .at = fst_emit_int(e, 0)};
  copy_dim(e, &l);
  for (uint32_t i = 0; i < product->still_count; i++) fst_emit_var_unbind(e, product->still[i]);
  for (uint32_t i = 0; i < c->mover_count; i++) {
    fst_emit_var_unbind(e, c->movers[i].var);
    e->extents[c->movers[i].var] = extents[i];
  }
  fst_emit_scope_close(e, mark);
}
