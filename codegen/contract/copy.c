// Left sides computed into scratch memory before the tiles: padding and whatever arithmetic stands in front of a
// product are done once an element, not once a tile, and the tiles read without masks.
//
// The side is a function of its loads' indices alone, and each index moves evenly with variables of its own. One
// of these variables, the driver, with the smallest step, takes the index through all its values if it is
// allowed to run on beyond its extent: the copy is a nest of loops over the drivers.
#include <string.h>

#include "codegen/contract/plan.h"

enum { COPY_MAX_BYTES = 1 << 28 };


static bool mover_add(fst_copy *c, uint32_t var, int64_t extent) {
  if (c->mover_count == FST_COPY_MOVERS) return false;
  c->movers[c->mover_count++] = (fst_copy_mover){.var = var, .extent = extent};
  return true;
}

static bool movers_collect(const fst_emit *e, const fst_plan *p, const fst_product *product, fst_copy *c) {
  for (uint32_t i = 0; i < product->depth_count; i++)
    if (!mover_add(c, product->depth[i].var, product->depth[i].count)) return false;
  if (p->row >= 0 && !mover_add(c, p->stmt->vars[p->row], p->row_extent)) return false;
  if (p->row2 >= 0 && !mover_add(c, p->stmt->vars[p->row2], fst_plan_extent(e, p, (uint32_t)p->row2))) return false;
  for (uint32_t i = 0; i < p->inner_count; i++)
    if (!mover_add(c, p->stmt->vars[p->inner[i]], fst_plan_extent(e, p, p->inner[i]))) return false;
  return true;
}

static bool moves(const fst_emit *e, const fst_copy *c, fst_kx x) {
  for (uint32_t i = 0; i < c->mover_count; i++)
    if (fst_emit_depends(e, x, c->movers[i].var)) return true;
  return false;
}

// ---- indices ----

static bool index_add(const fst_emit *e, fst_copy *c, fst_kx index) {
  for (uint32_t d = 0; d < c->dim_count; d++)
    if (fst_kx_eq(c->index[d], index)) return true;
  if (c->dim_count == FST_COPY_DIMS) return false;
  uint32_t d = c->dim_count++;
  c->index[d] = index;
  for (uint32_t i = 0; i < c->mover_count; i++) {
    fst_step step = fst_emit_step(e, index, c->movers[i].var);
    if (step.kind != FST_STEP_CONST || step.value < 0 || (step.value && c->movers[i].extent < 1)) return false;
    c->movers[i].step[d] = step.value;
  }
  return true;
}

static bool indices_collect(const fst_emit *e, fst_copy *c, fst_kx x) {
  const fst_kx_data *data = fst_emit_get(e, x);
  for (uint32_t i = 0; i < data->arg_count; i++) {
    if (data->kind == FST_KX_LOAD) {
      if (moves(e, c, data->args[i]) && !index_add(e, c, data->args[i])) return false;
    } else if (!indices_collect(e, c, data->args[i])) {
      return false;
    }
  }
  return true;
}

// An integer expression that moves in proportion to one of the indices is a function of it.
static bool is_proportional(const fst_emit *e, const fst_copy *c, fst_kx x) {
  int64_t steps[FST_COPY_MOVERS];
  for (uint32_t i = 0; i < c->mover_count; i++) {
    fst_step step = fst_emit_step(e, x, c->movers[i].var);
    if (step.kind != FST_STEP_CONST) return false;
    steps[i] = step.value;
  }
  for (uint32_t d = 0; d < c->dim_count; d++) {
    bool ok = true;
    for (uint32_t i = 0; i < c->mover_count && ok; i++)
      for (uint32_t k = 0; k < i && ok; k++) ok = steps[i] * c->movers[k].step[d] == steps[k] * c->movers[i].step[d];
    for (uint32_t i = 0; i < c->mover_count && ok; i++) ok = !steps[i] || c->movers[i].step[d];
    if (ok) return true;
  }
  return false;
}

static bool is_function_of_indices(const fst_emit *e, const fst_copy *c, fst_kx x) {
  const fst_kx_data *data = fst_emit_get(e, x);
  if (!moves(e, c, x)) return true;
  for (uint32_t d = 0; d < c->dim_count; d++)
    if (fst_kx_eq(c->index[d], x)) return true;
  if (data->dtype == FST_I64 && data->kind != FST_KX_LOAD && is_proportional(e, c, x)) return true;
  if (data->kind == FST_KX_VAR || data->kind == FST_KX_REDUCE) return false;
  for (uint32_t i = 0; i < data->arg_count; i++)
    if (!is_function_of_indices(e, c, data->args[i])) return false;
  return true;
}

// ---- layout ----

static int64_t greatest_divisor(int64_t a, int64_t b) { return b ? greatest_divisor(b, a % b) : a; }

static bool dim_measure(fst_copy *c, uint32_t d) {
  int64_t divisor = 0, reach = 0;
  for (uint32_t i = 0; i < c->mover_count; i++) {
    divisor = greatest_divisor(divisor, c->movers[i].step[d]);
    if (c->movers[i].step[d]) reach += c->movers[i].step[d] * (c->movers[i].extent - 1);
  }
  if (!divisor) return false;
  c->size[d] = reach / divisor + 1;
  c->driver[d] = UINT32_MAX;
  for (uint32_t i = 0; i < c->mover_count; i++)
    if (c->movers[i].step[d] == divisor) c->driver[d] = i;
  return c->driver[d] != UINT32_MAX;
}

// A variable in two indices would move both at once.
static bool movers_are_apart(const fst_copy *c) {
  for (uint32_t i = 0; i < c->mover_count; i++) {
    uint32_t uses = 0;
    for (uint32_t d = 0; d < c->dim_count; d++) uses += c->movers[i].step[d] != 0;
    if (uses > 1) return false;
  }
  return true;
}

static bool copy_layout(fst_emit *e, fst_copy *c) {
  int64_t total = 1;
  for (uint32_t d = c->dim_count; d-- > 0;) {
    if (!dim_measure(c, d)) return false;
    c->pitch[d] = total;
    total *= c->size[d];
    // Planes a multiple of 4 KB apart would meet in the same few lines of the cache.
    if (d && total * 4 % 4096 == 0) total += 16;
    if (total > COPY_MAX_BYTES / 8) return false;
  }
  for (uint32_t i = 0; i < c->mover_count; i++)
    for (uint32_t d = 0; d < c->dim_count; d++)
      if (c->movers[i].step[d]) c->movers[i].pitch = c->movers[i].step[d] / c->movers[c->driver[d]].step[d] * c->pitch[d];
  c->offset = (e->scratch_bytes + 63) / 64 * 64;
  e->scratch_bytes = c->offset + (uint64_t)total * fst_dtype_size(c->dtype);
  return true;
}

bool fst_copy_make(fst_emit *e, fst_plan *p, uint32_t number) {
  fst_product *product = &p->products[number];
  fst_copy c = {.product = number, .dtype = product->dtype};
  if (!movers_collect(e, p, product, &c)) return false;
  for (uint32_t i = 0; i < product->left.count; i++)
    if (!indices_collect(e, &c, product->left.factors[i])) return false;
  bool ok = c.dim_count && movers_are_apart(&c);
  for (uint32_t i = 0; i < product->left.count && ok; i++) ok = is_function_of_indices(e, &c, product->left.factors[i]);
  if (product->left.mask.id && ok) ok = is_function_of_indices(e, &c, product->left.mask);
  if (!ok || !copy_layout(e, &c)) return false;
  product->left.leaf_count = 1;
  product->left.leaves[0] = (fst_leaf){FST_LEAF_COPY, FST_NO_KX, p->copy_count};
  p->copies[p->copy_count++] = c;
  return true;
}

int64_t fst_copy_step(const fst_copy *c, uint32_t var) {
  for (uint32_t i = 0; i < c->mover_count; i++)
    if (c->movers[i].var == var) return c->movers[i].pitch;
  return 0;
}

// ---- code ----

typedef struct copy_loop { const fst_plan *p; const fst_copy *c; LLVMValueRef at; uint32_t dim; } copy_loop;

static void copy_dim(fst_emit *e, copy_loop *l);

static void copy_store(fst_emit *e, void *context) {
  const copy_loop *l = context;
  const fst_side *side = &l->p->products[l->c->product].left;
  uint32_t last = l->c->dim_count - 1, lanes = e->lane.lanes;
  LLVMValueRef value = fst_emit_splat(e, fst_side_value(e, side), lanes);
  LLVMValueRef base = lanes > 1 ? e->lane.base : e->vars[l->c->movers[l->c->driver[last]].var];
  LLVMValueRef at = LLVMBuildAdd(e->b, l->at, base, "");
  LLVMValueRef ptr = fst_emit_element_ptr(e, fst_emit_scratch(e, l->c->offset), l->c->dtype, at);
  if (e->lane.tail) {
    LLVMTypeRef types[] = {LLVMTypeOf(value), e->unit->ptr};
    LLVMValueRef args[] = {value, ptr, LLVMConstInt(e->unit->i32, fst_dtype_size(l->c->dtype), 0), e->lane.tail};
    fst_llvm_intrinsic(e->unit, "llvm.masked.store", types, 2, args, 4);
    return;
  }
  LLVMSetAlignment(LLVMBuildStore(e->b, value, ptr), (unsigned)fst_dtype_size(l->c->dtype));
}

static void copy_last(fst_emit *e, copy_loop *l) {
  const fst_copy *c = l->c;
  uint32_t last = c->dim_count - 1, lanes = (uint32_t)e->unit->target->vector_bytes / (uint32_t)fst_dtype_size(c->dtype);
  const fst_side *side = &l->p->products[c->product].left;
  bool mask_tail = fst_emit_masks_tails(e, side->factors, side->count);
  fst_lane_loop loop = {c->movers[c->driver[last]].var, lanes, mask_tail, side->mask.id != 0, copy_store, l};
  fst_emit_lane_loop(e, &loop, fst_emit_int(e, c->size[last]));
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
  copy_loop l = {p, c, fst_emit_int(e, 0), 0};
  copy_dim(e, &l);
  for (uint32_t i = 0; i < product->still_count; i++) fst_emit_var_unbind(e, product->still[i]);
  for (uint32_t i = 0; i < c->mover_count; i++) {
    fst_emit_var_unbind(e, c->movers[i].var);
    e->extents[c->movers[i].var] = extents[i];
  }
  fst_emit_scope_close(e, mark);
}
