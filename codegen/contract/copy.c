// Sides computed into scratch memory before the tiles: padding and whatever arithmetic stands in front of a product are
// done once an element, not once a tile, and the tiles read without masks.
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

const fst_side *fst_copy_side(const fst_plan *p, const fst_copy *c) { return c->right ? &p->products[c->product].right : &p->products[c->product].left; }

static bool position_add(const fst_emit *e, const fst_plan *p, uint32_t position, fst_copy *c) {
  return mover_add(c, p->stmt->vars[position], fst_plan_extent(e, p, position));
}

static bool movers_collect(const fst_emit *e, const fst_plan *p, fst_copy *c) {
  const fst_product *product = &p->products[c->product];
  for (uint32_t i = 0; i < product->depth_count; i++)
    if (!mover_add(c, product->depth[i].var, product->depth[i].count)) return false;
  if (c->right) {
    for (uint32_t i = p->outer_count - p->within; i < p->outer_count; i++)
      if (!position_add(e, p, p->outer[i], c)) return false;
    if (p->window && !position_add(e, p, (uint32_t)p->row, c)) return false;
    return mover_add(c, p->stmt->vars[p->lane], p->columns);
  }
  if (p->row >= 0 && !mover_add(c, p->stmt->vars[p->row], p->row_extent)) return false;
  if (p->row2 >= 0 && !position_add(e, p, (uint32_t)p->row2, c)) return false;
  for (uint32_t i = 0; i < p->inner_count; i++)
    if (!position_add(e, p, p->inner[i], c)) return false;
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

// The lane variable must move by one element. It is the last mover of a right side's copy.
static bool layout_split(fst_copy *c, const fst_product *product) {
  uint32_t last = c->dim_count - 1;
  const fst_copy_mover *lane = &c->movers[c->mover_count - 1];
  int64_t unit = c->movers[c->driver[last]].step[last];
  if (!lane->step[last]) return false;
  c->split = lane->step[last] / unit;
  if (c->split == 1) return true;
  // Of the others only the innermost summed variable, whose steps are unrolled, may lead from part to part.
  for (uint32_t i = 0; i + 1 < c->mover_count; i++) {
    bool unrolled = c->movers[i].var == product->depth[product->depth_count - 1].var && c->movers[i].extent <= FST_SPLIT_TAPS;
    if (c->movers[i].step[last] / unit % c->split && !unrolled) return false;
  }
  c->part = (c->size[last] + c->split - 1) / c->split + FST_EMIT_MAX_LANES / 4;
  return true;
}

static bool copy_layout(fst_emit *e, fst_copy *c, const fst_product *product) {
  int64_t total = 1;
  for (uint32_t d = c->dim_count; d-- > 0;) {
    if (!dim_measure(c, d)) return false;
    if (d + 1 == c->dim_count && c->right && !layout_split(c, product)) return false;
    c->pitch[d] = total;
    total *= c->split > 1 && d + 1 == c->dim_count ? c->split * c->part : c->size[d];
    // Planes a multiple of 4 KB apart would meet in the same few lines of the cache.
    if (d && total * 4 % 4096 == 0) total += 16;
    if (total > COPY_MAX_BYTES / 8) return false;
  }
  uint32_t last = c->dim_count - 1;
  for (uint32_t i = 0; i < c->mover_count; i++)
    for (uint32_t d = 0; d < c->dim_count; d++)
      if (c->movers[i].step[d]) c->movers[i].pitch = c->movers[i].step[d] / c->movers[c->driver[d]].step[d] * c->pitch[d] / (d == last ? c->split : 1);
  c->elements = total + (c->right ? FST_EMIT_MAX_LANES / 4 : 0);  // the last vector is read whole
  c->offset = (e->scratch_bytes + 63) / 64 * 64;
  e->scratch_bytes = c->offset + (uint64_t)c->elements * fst_dtype_size(c->dtype);
  return true;
}

// The summed variable that walks along the lanes goes innermost: its steps read what lies in the first cache already.
static void depth_along_lanes(const fst_emit *e, const fst_plan *p, fst_product *product) {
  fst_accesses accesses = {0};
  fst_emit_accesses(e, product->right.factors, product->right.count, &accesses);
  uint32_t lane = p->stmt->vars[p->lane], best = product->depth_count;
  for (size_t a = 0; a < accesses.len; a++)
    for (uint32_t d = 0; d < e->kernel->buffers.data[accesses.data[a].buffer].rank; d++)
      for (uint32_t i = 0; i < product->depth_count; i++)
        if (fst_emit_depends(e, accesses.data[a].indices[d], lane) && fst_emit_depends(e, accesses.data[a].indices[d], product->depth[i].var)) best = i;
  fst_vec_free(&accesses);
  // As written otherwise, which is channels outside taps.
  fst_depth along = {0};
  if (best < product->depth_count) along = product->depth[best];
  uint32_t used = 0;
  const fst_kx_data *sum = fst_emit_get(e, product->sum);
  fst_depth sorted[FST_PLAN_DEPTH];
  for (uint32_t v = 0; v < sum->var_count; v++)
    for (uint32_t i = 0; i < product->depth_count; i++)
      if (product->depth[i].var == sum->vars[v] && i != best) sorted[used++] = product->depth[i];
  if (best < product->depth_count) sorted[used++] = along;
  memcpy(product->depth, sorted, used * sizeof *sorted);
}

bool fst_copy_shares_index(const fst_emit *e, const fst_plan *p, const fst_product *product, uint32_t var) {
  fst_accesses accesses = {0};
  bool shares = false;
  fst_emit_accesses(e, product->right.factors, product->right.count, &accesses);
  for (size_t a = 0; a < accesses.len; a++)
    for (uint32_t d = 0; d < e->kernel->buffers.data[accesses.data[a].buffer].rank; d++) {
      fst_kx index = accesses.data[a].indices[d];
      bool moved = fst_emit_depends(e, index, p->stmt->vars[p->lane]);
      for (uint32_t i = 0; i < product->depth_count; i++) moved |= fst_emit_depends(e, index, product->depth[i].var);
      shares |= moved && fst_emit_depends(e, index, var);
    }
  fst_vec_free(&accesses);
  return shares;
}

void fst_copy_outer(const fst_emit *e, fst_plan *p) {
  uint32_t before[FST_KERNEL_MAX_DIMS], within[FST_KERNEL_MAX_DIMS], before_count = 0;
  p->within = 0;
  for (uint32_t i = 0; i < p->outer_count; i++) {
    bool shares = false;
    for (uint32_t k = 0; k < p->product_count; k++) shares |= fst_copy_shares_index(e, p, &p->products[k], p->stmt->vars[p->outer[i]]);
    if (shares && fst_plan_extent(e, p, p->outer[i]) > 0) within[p->within++] = p->outer[i];
    else before[before_count++] = p->outer[i];
  }
  memcpy(p->outer, before, before_count * sizeof *before);
  memcpy(p->outer + before_count, within, p->within * sizeof *within);
}

// A copy that another product has made of the same.
static bool copy_share(const fst_emit *e, const fst_plan *p, uint32_t number, fst_side *side, bool right) {
  for (uint32_t i = 0; i < p->copy_count; i++) {
    const fst_copy *c = &p->copies[i];
    if (c->right != right || !fst_plan_same_side(e, &p->products[c->product], &p->products[number], right)) continue;
    side->leaf_count = 1;
    side->leaves[0] = (fst_leaf){FST_LEAF_COPY, FST_NO_KX, i};
    return true;
  }
  return false;
}

bool fst_copy_make(fst_emit *e, fst_plan *p, uint32_t number, bool right) {
  fst_product *product = &p->products[number];
  fst_copy c = {.product = number, .right = right, .level = right ? p->outer_count - p->within : p->outer_count, .dtype = product->dtype, .split = 1};
  fst_depth depth[FST_PLAN_DEPTH];
  memcpy(depth, product->depth, sizeof depth);
  if (right) depth_along_lanes(e, p, product);
  fst_side *side = right ? &product->right : &product->left;
  if (copy_share(e, p, number, side, right)) return true;
  bool ok = movers_collect(e, p, &c);
  for (uint32_t i = 0; i < side->count && ok; i++) ok = indices_collect(e, &c, side->factors[i]);
  ok = ok && c.dim_count && movers_are_apart(&c);
  for (uint32_t i = 0; i < side->count && ok; i++) ok = is_function_of_indices(e, &c, side->factors[i]);
  if (side->mask.id && ok) ok = is_function_of_indices(e, &c, side->mask);
  if (!ok || !copy_layout(e, &c, product)) {
    memcpy(product->depth, depth, sizeof depth);
    return false;
  }
  side->leaf_count = 1;
  side->leaves[0] = (fst_leaf){FST_LEAF_COPY, FST_NO_KX, p->copy_count};
  p->copies[p->copy_count++] = c;
  return true;
}

uint32_t fst_copy_var(const fst_plan *p, const fst_copy *c, const fst_product *reader, uint32_t var) {
  const fst_product *owner = &p->products[c->product];
  for (uint32_t i = 0; i < owner->depth_count; i++)
    if (owner->depth[i].var == var) return reader->depth[i].var;
  return var;
}

int64_t fst_copy_step(const fst_copy *c, uint32_t var) {
  for (uint32_t i = 0; i < c->mover_count; i++)
    if (c->movers[i].var == var) return c->movers[i].pitch;
  return 0;
}

int64_t fst_copy_tap(const fst_copy *c, uint32_t var, int64_t at) {
  uint32_t last = c->dim_count - 1;
  for (uint32_t i = 0; i < c->mover_count && c->split > 1; i++) {
    if (c->movers[i].var != var || !c->movers[i].step[last]) continue;
    int64_t units = at * (c->movers[i].step[last] / c->movers[c->driver[last]].step[last]);
    return units % c->split * c->part + units / c->split;
  }
  return at * fst_copy_step(c, var);
}

LLVMValueRef fst_copy_pointer(fst_emit *e, const fst_plan *p, const fst_copy *c, const fst_product *reader) {
  LLVMValueRef offset = fst_emit_int(e, 0);
  for (uint32_t i = 0; i < c->mover_count; i++) {
    LLVMValueRef at = e->vars[fst_copy_var(p, c, reader, c->movers[i].var)];
    if (c->movers[i].pitch) offset = LLVMBuildNSWAdd(e->b, offset, LLVMBuildNSWMul(e->b, at, fst_emit_int(e, c->movers[i].pitch), ""), "");
  }
  return fst_emit_element_ptr(e, fst_emit_scratch(e, c->offset), c->dtype, offset);
}
