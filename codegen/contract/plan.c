#include "codegen/contract/plan.h"

#include <string.h>

// ---- products ----

static bool side_add(fst_side *side, fst_kx factor) {
  if (side->count == FST_PLAN_FACTORS) return false;
  side->factors[side->count++] = factor;
  return true;
}

static bool factors_split(const fst_emit *e, fst_product *p, fst_kx x, uint32_t lane) {
  const fst_kx_data *data = fst_emit_get(e, x);
  if (data->kind == FST_KX_PRIM && data->prim == FST_PRIM_MUL && fst_emit_depends(e, x, lane))
    return factors_split(e, p, data->args[0], lane) && factors_split(e, p, data->args[1], lane);
  return side_add(fst_emit_depends(e, x, lane) ? &p->right : &p->left, x);
}

static bool is_zero(const fst_emit *e, fst_kx x) {
  const fst_kx_data *data = fst_emit_get(e, x);
  return data->kind == FST_KX_CONST && data->bits == 0;
}

static bool may_fault(const fst_emit *e, const fst_side *side) {
  for (uint32_t i = 0; i < side->count; i++)
    if (e->may_fault[side->factors[i].id]) return true;
  return false;
}

// SELECT(mask, product, 0) masks one operand: 0 times a finite weight is the 0 that is meant. It is the one that the mask
// belongs to: that is read outside its buffer otherwise.
static bool body_split(const fst_emit *e, fst_product *p, fst_kx body, uint32_t lane) {
  const fst_kx_data *data = fst_emit_get(e, body);
  fst_kx mask = FST_NO_KX;
  if (data->kind == FST_KX_PRIM && data->prim == FST_PRIM_SELECT && is_zero(e, data->args[2])) {
    mask = data->args[0];
    data = fst_emit_get(e, body = data->args[1]);
  }
  if (data->kind != FST_KX_PRIM || data->prim != FST_PRIM_MUL) return false;
  if (!factors_split(e, p, body, lane) || !p->right.count || !p->left.count) return false;
  if (!mask.id) return true;
  bool right = fst_emit_depends(e, mask, lane) || (may_fault(e, &p->right) && !may_fault(e, &p->left));
  *(right ? &p->right.mask : &p->left.mask) = mask;
  return true;
}

static bool side_has_reduce(const fst_emit *e, const fst_side *side) {
  bool found = side->mask.id && e->has_reduce[side->mask.id];
  for (uint32_t i = 0; i < side->count; i++) found |= e->has_reduce[side->factors[i].id];
  return found;
}

// The innermost summed variable takes most iterations, and no mask depends on it if that can be helped.
static void depth_order(const fst_emit *e, fst_product *p) {
  uint32_t best = p->depth_count - 1;
  double best_score = -1;
  for (uint32_t i = 0; i < p->depth_count; i++) {
    double score = p->depth[i].count < 0 ? 64 : (double)p->depth[i].count;
    fst_kx mask = p->left.mask.id ? p->left.mask : p->right.mask;
    if (mask.id && fst_emit_depends(e, mask, p->depth[i].var)) score /= 1000;
    if (score < best_score) continue;
    best_score = score;
    best = i;
  }
  fst_depth inner = p->depth[best];
  memmove(&p->depth[best], &p->depth[best + 1], (p->depth_count - best - 1) * sizeof inner);
  p->depth[p->depth_count - 1] = inner;
}

static bool depth_make(const fst_emit *e, const fst_kx_data *sum, fst_product *p) {
  bool merged[FST_KERNEL_MAX_DIMS] = {0};
  if (!sum->var_count || sum->var_count > FST_PLAN_DEPTH) return false;
  fst_emit_collapse(e, sum->vars, sum->extents, sum->var_count, sum->args, 1, NULL, 0, merged);
  int64_t carried = 1;
  for (uint32_t i = 0; i < sum->var_count; i++) {
    fst_depth depth = {sum->vars[i], -1, sum->extents[i]};
    for (uint32_t w = 0; w < e->words; w++)
      if (fst_emit_deps(e, sum->extents[i])[w]) return false;  // every point would have a length of its own
    if (!fst_emit_const(e, sum->extents[i], &depth.count)) depth.count = -1;
    // Merging needs numbers; a run with an unknown extent stays as it is.
    if (merged[i] && (depth.count < 0 || !fst_emit_const(e, sum->extents[i + 1], &(int64_t){0}))) merged[i] = false;
    if (depth.count == 0) return false;
    if (merged[i]) {
      carried *= depth.count;
      p->still[p->still_count++] = depth.var;
      continue;
    }
    if (depth.count >= 0) depth.count *= carried;
    carried = 1;
    if (depth.count == 1) p->still[p->still_count++] = depth.var;
    else p->depth[p->depth_count++] = depth;
  }
  if (!p->depth_count) return false;  // one term is no sum
  depth_order(e, p);
  return true;
}

static bool product_make(const fst_emit *e, fst_kx sum, uint32_t lane, fst_product *out) {
  const fst_kx_data *data = fst_emit_get(e, sum);
  memset(out, 0, sizeof *out);
  out->sum = sum;
  out->dtype = data->dtype;
  if (data->reduce != FST_REDUCE_SUM || (data->dtype != FST_F32 && data->dtype != FST_F64)) return false;
  if (!body_split(e, out, data->args[0], lane)) return false;
  if (side_has_reduce(e, &out->left) || side_has_reduce(e, &out->right)) return false;
  return depth_make(e, data, out);
}

// ---- the reductions of the statement ----

static bool products_visit(const fst_emit *e, fst_plan *p, bool *seen, fst_kx x, uint32_t lane) {
  x = e->twin[x.id];
  const fst_kx_data *data = fst_emit_get(e, x);
  if (seen[x.id] || !e->has_reduce[x.id]) return true;
  seen[x.id] = true;
  if (data->kind == FST_KX_REDUCE) {
    if (!fst_emit_depends(e, x, lane)) return true;
    return p->product_count < FST_PLAN_PRODUCTS && product_make(e, x, lane, &p->products[p->product_count++]);
  }
  for (uint32_t i = 0; i < data->arg_count; i++)
    if (!products_visit(e, p, seen, data->args[i], lane)) return false;
  return true;
}

static bool plan_products(const fst_emit *e, fst_plan *p, uint32_t lane) {
  fst_arena arena;
  fst_arena_init(&arena);
  bool *seen = FST_NEW_ARRAY(&arena, bool, e->kernel->exprs.len), ok = true;
  p->product_count = 0;
  for (uint32_t i = 0; i < p->root_count && ok; i++) ok = products_visit(e, p, seen, p->roots[i], lane);
  fst_arena_deinit(&arena);
  return ok && p->product_count;
}

// ---- sums of sums ----
// Products that are only added to each other (the branches of a residual block, the two parts of a gate) share their
// accumulators: the first of them has them, the others go on where it ended and count for 0 afterwards.

static int product_of(const fst_emit *e, const fst_plan *p, fst_kx x) {
  for (uint32_t i = 0; i < p->product_count; i++)
    if (fst_kx_eq(p->products[i].sum, e->twin[x.id])) return (int)i;
  return -1;
}

enum { JOINED_STEPS = 1024 };

typedef struct sums_walk { const fst_emit *e; fst_plan *p; uint32_t *uses; bool *seen, *joined; } sums_walk;

// How often each expression above the sums is used.
static void uses_count(sums_walk *w, fst_kx x) {
  x = w->e->twin[x.id];
  if (w->uses[x.id]++ || product_of(w->e, w->p, x) >= 0) return;
  const fst_kx_data *data = fst_emit_get(w->e, x);
  for (uint32_t i = 0; i < data->arg_count; i++) uses_count(w, data->args[i]);
}

// Sums below an addition, through additions that nothing else uses; the first is `*head` (-1: none yet).
static void sums_join(sums_walk *w, fst_kx x, int *head) {
  x = w->e->twin[x.id];
  const fst_kx_data *data = fst_emit_get(w->e, x);
  int number = product_of(w->e, w->p, x);
  if (w->uses[x.id] != 1) return;
  if (number >= 0) {
    if (*head < 0) *head = number;
    const fst_product *first = &w->p->products[*head], *own = &w->p->products[number];
    bool is_short = fst_plan_steps(first) + fst_plan_steps(own) <= JOINED_STEPS;  // the longer a sum, the less exact
    if (first->dtype == own->dtype && (is_short || *head == number)) w->p->products[number].head = (uint32_t)*head;
    return;
  }
  if (data->kind != FST_KX_PRIM || data->prim != FST_PRIM_ADD) return;
  w->joined[x.id] = true;
  for (uint32_t i = 0; i < data->arg_count; i++) sums_join(w, data->args[i], head);
}

static void sums_visit(sums_walk *w, fst_kx x) {
  x = w->e->twin[x.id];
  const fst_kx_data *data = fst_emit_get(w->e, x);
  if (w->seen[x.id] || product_of(w->e, w->p, x) >= 0) return;
  w->seen[x.id] = true;
  int head = -1;
  bool is_top = data->kind == FST_KX_PRIM && data->prim == FST_PRIM_ADD && !w->joined[x.id];
  for (uint32_t i = 0; i < data->arg_count && is_top; i++) sums_join(w, data->args[i], &head);
  for (uint32_t i = 0; i < data->arg_count; i++) sums_visit(w, data->args[i]);
}

static void plan_sums(const fst_emit *e, fst_plan *p) {
  fst_arena arena;
  fst_arena_init(&arena);
  size_t count = e->kernel->exprs.len;
  sums_walk w = {e, p, FST_NEW_ARRAY(&arena, uint32_t, count), FST_NEW_ARRAY(&arena, bool, count), FST_NEW_ARRAY(&arena, bool, count)};
  for (uint32_t i = 0; i < p->product_count; i++) p->products[i].head = i;
  for (uint32_t i = 0; i < p->root_count; i++) uses_count(&w, p->roots[i]);
  for (uint32_t i = 0; i < p->root_count; i++) sums_visit(&w, p->roots[i]);
  fst_arena_deinit(&arena);
}

// Reductions that are no products of this plan must be done outside its loops: they may depend on outer
// variables only.
static bool others_visit(const fst_emit *e, const fst_plan *p, bool *seen, fst_kx x, const uint64_t *outer) {
  x = e->twin[x.id];
  const fst_kx_data *data = fst_emit_get(e, x);
  if (seen[x.id] || !e->has_reduce[x.id]) return true;
  seen[x.id] = true;
  if (data->kind == FST_KX_REDUCE) {
    for (uint32_t i = 0; i < p->product_count; i++)
      if (fst_kx_eq(p->products[i].sum, x)) return true;
    return fst_set_within(fst_emit_deps(e, x), outer, e->words);
  }
  for (uint32_t i = 0; i < data->arg_count; i++)
    if (!others_visit(e, p, seen, data->args[i], outer)) return false;
  return true;
}

static bool others_are_outside(const fst_emit *e, const fst_plan *p) {
  fst_arena arena;
  fst_arena_init(&arena);
  uint64_t *outer = FST_NEW_ARRAY(&arena, uint64_t, e->words);
  bool *seen = FST_NEW_ARRAY(&arena, bool, e->kernel->exprs.len), ok = true;
  for (uint32_t i = 0; i < p->outer_count; i++) fst_set_add(outer, p->stmt->vars[p->outer[i]]);
  for (uint32_t i = 0; i < p->stmt->var_count; i++)
    if (p->merged[i]) fst_set_add(outer, p->stmt->vars[i]);
  for (uint32_t i = 0; i < p->root_count && ok; i++) ok = others_visit(e, p, seen, p->roots[i], outer);
  fst_arena_deinit(&arena);
  return ok;
}

// ---- roles of variables ----

static bool side_depends(const fst_emit *e, const fst_side *side, uint32_t var) {
  bool found = side->mask.id && fst_emit_depends(e, side->mask, var);
  for (uint32_t i = 0; i < side->count; i++) found |= fst_emit_depends(e, side->factors[i], var);
  return found;
}

bool fst_plan_depends(const fst_emit *e, const fst_plan *p, bool right, uint32_t var) {
  for (uint32_t i = 0; i < p->product_count; i++)
    if (side_depends(e, right ? &p->products[i].right : &p->products[i].left, var)) return true;
  return false;
}

int64_t fst_plan_extent(const fst_emit *e, const fst_plan *p, uint32_t position) {
  int64_t extent, total = 1;
  for (uint32_t i = position;; i--) {
    if (!fst_emit_const(e, p->stmt->extents[i], &extent)) return -1;
    total *= extent;
    if (!i || !p->merged[i - 1]) return total;
  }
}

static void plan_roles(const fst_emit *e, fst_plan *p, int lane) {
  p->lane = lane;
  p->row = p->row2 = -1;
  p->outer_count = p->inner_count = 0;
  int64_t best = 1;
  for (uint32_t i = 0; i < p->stmt->var_count; i++) {
    uint32_t var = p->stmt->vars[i];
    if ((int)i == lane || p->merged[i] || fst_plan_depends(e, p, true, var) || !fst_plan_depends(e, p, false, var)) continue;
    int64_t extent = fst_plan_extent(e, p, i);
    if (extent < 0) extent = 64;
    if (extent < best || (extent == best && extent == 1)) continue;
    best = extent;
    p->row = (int)i;
  }
  for (uint32_t i = 0; i < p->stmt->var_count; i++) {
    if ((int)i == lane || (int)i == p->row || p->merged[i]) continue;
    // What runs inside the panels belongs to copies of left sides, whose sizes must be known.
    bool outside = fst_plan_depends(e, p, true, p->stmt->vars[i]) || fst_plan_extent(e, p, i) < 0;
    if (outside) p->outer[p->outer_count++] = i;
    else p->inner[p->inner_count++] = i;
  }
  p->columns = fst_plan_extent(e, p, (uint32_t)lane);
  p->rows = p->row_extent = p->row >= 0 ? fst_plan_extent(e, p, (uint32_t)p->row) : 1;
}

// ---- choosing the lane variable ----

static bool lane_is_possible(const fst_emit *e, const fst_plan *p, uint32_t position) {
  int64_t extent = fst_plan_extent(e, p, position);
  if (p->merged[position] || extent == 0 || extent == 1) return false;
  for (uint32_t i = 0; i < p->stmt->var_count; i++)
    for (uint32_t k = 0; k < p->stmt->var_count; k++)
      if (fst_emit_depends(e, p->stmt->extents[i], p->stmt->vars[k])) return false;
  return true;
}

static bool plan_try(fst_emit *e, const fst_plan *base, int lane, fst_plan *out) {
  *out = *base;
  if (!lane_is_possible(e, out, (uint32_t)lane) || !plan_products(e, out, out->stmt->vars[lane])) return false;
  plan_sums(e, out);
  plan_roles(e, out, lane);
  return others_are_outside(e, out);
}

// Lanes are neighbours in memory where the results are, or in the weights, which are packed for them. Others, such as the
// images of a batch, have to be brought together and taken apart again, and often there are too few of them.
static bool lane_is_near(const fst_emit *e, const fst_plan *p) {
  bool near = true;
  for (uint32_t i = 0; i < p->stmt->store_count; i++) {
    fst_step step = fst_emit_access_step(e, p->stmt->stores[i].buffer, p->stmt->stores[i].indices, p->stmt->vars[p->lane]);
    near &= step.kind == FST_STEP_CONST && step.value == 1;
  }
  return near || fst_plan_packs_right(e, p);
}

static bool plan_finish(fst_emit *e, const fst_plan *base, int lane, bool window, fst_plan *out) {
  if (!plan_try(e, base, lane, out) || (window && !fst_window_plan(e, out))) return false;
  fst_tile_choose(e, out);
  return fst_plan_operands(e, out);
}

// Merging needs numbers here as well, since rows and columns are counted in them.
static void plan_merge(const fst_emit *e, fst_plan *p) {
  fst_emit_collapse(e, p->stmt->vars, p->stmt->extents, p->stmt->var_count, p->roots, p->root_count, p->stmt->stores, p->stmt->store_count, p->merged);
  for (uint32_t i = p->stmt->var_count; i-- > 0;) {
    int64_t extent;
    if (!fst_emit_const(e, p->stmt->extents[i], &extent)) {
      p->merged[i] = false;
      if (i) p->merged[i - 1] = false;
      p->conditional = true;
    }
  }
}

bool fst_plan_make(fst_emit *e, const fst_kstmt *stmt, fst_plan *out) {
  fst_plan base = {.stmt = stmt, .lane = -1, .row = -1, .row2 = -1}, attempt;
  fst_kx *roots = FST_NEW_ARRAY(e->arena, fst_kx, stmt->store_count + 1);
  bool reduces = false;
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    roots[i] = stmt->stores[i].value;
    reduces |= e->has_reduce[roots[i].id];
  }
  if (!reduces) return false;
  base.roots = roots;
  base.root_count = stmt->store_count;
  plan_merge(e, &base);
  // The form is chosen for one target whatever the target, so that all levels of an artifact read one packing.
  base.target = fst_target_find("x86-64-v4");
  double best = 1e300;
  int lane = -1;
  bool window = false, best_is_near = false;
  for (uint32_t i = 0; i < 2 * stmt->var_count; i++) {
    bool slides = i & 1;
    if (!plan_try(e, &base, (int)i / 2, &attempt) || (slides && !fst_window_plan(e, &attempt))) continue;
    double cycles = fst_tile_choose(e, &attempt) + fst_plan_other_cycles(e, &attempt);
    bool is_near = lane_is_near(e, &attempt);
    if (lane >= 0 && is_near == best_is_near ? cycles >= best : lane >= 0 && best_is_near) continue;
    best = cycles;
    best_is_near = is_near;
    lane = (int)i / 2;
    window = slides;
  }
  if (lane < 0) return false;
  base.target = e->unit->target;
  return (window && plan_finish(e, &base, lane, true, out)) || plan_finish(e, &base, lane, false, out);
}
