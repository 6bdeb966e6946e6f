// What a plan costs, in cycles for the whole statement: the tile of a plan is the one with the fewest, and so is the lane
// variable. Counts that are known at run time only are guessed.
#include <string.h>

#include "codegen/contract/plan.h"

enum { GUESSED_EXTENT = 64, KEPT_CONSTANTS = 2 };
static const double IMPOSSIBLE = 1e100;

static bool depths_equal(const fst_product *a, const fst_product *b) {
  if (a->depth_count != b->depth_count || a->dtype != b->dtype) return false;
  for (uint32_t i = 0; i < a->depth_count; i++) {
    if (a->depth[i].count != b->depth[i].count) return false;
    if (a->depth[i].count < 0 && !fst_kx_eq(a->depth[i].extent, b->depth[i].extent)) return false;
  }
  return true;
}

// One expression up to the names of the variables summed over.
static bool same_but_depth(const fst_emit *e, const fst_product *a, fst_kx x, const fst_product *b, fst_kx y) {
  const fst_kx_data *dx = fst_emit_get(e, x), *dy = fst_emit_get(e, y);
  if (fst_kx_eq(x, y)) return true;
  if (dx->kind != dy->kind || dx->prim != dy->prim || dx->dtype != dy->dtype || dx->arg_count != dy->arg_count || dx->bits != dy->bits) return false;
  if (dx->kind == FST_KX_VAR) {
    for (uint32_t i = 0; i < a->depth_count; i++)
      if (a->depth[i].var == dx->index) return b->depth[i].var == dy->index;
    return false;
  }
  if (dx->index != dy->index || dx->kind == FST_KX_REDUCE) return false;
  for (uint32_t i = 0; i < dx->arg_count; i++)
    if (!same_but_depth(e, a, dx->args[i], b, dy->args[i])) return false;
  return dx->arg_count > 0;
}

bool fst_plan_same_side(const fst_emit *e, const fst_product *a, const fst_product *b, bool right) {
  const fst_side *x = right ? &a->right : &a->left, *y = right ? &b->right : &b->left;
  bool same = x->count == y->count && a->dtype == b->dtype && !x->mask.id == !y->mask.id && depths_equal(a, b);
  for (uint32_t i = 0; i < x->count && same; i++) same = same_but_depth(e, a, x->factors[i], b, y->factors[i]);
  return same && (!x->mask.id || same_but_depth(e, a, x->mask, b, y->mask));
}

// Products of the largest group that read a side of their own.
static uint32_t sides_of_group(const fst_emit *e, const fst_plan *p, bool right) {
  uint32_t sizes[FST_PLAN_PRODUCTS] = {0}, group = 0, count = 0;
  for (uint32_t i = 0; i < p->product_count; i++)
    if (++sizes[p->products[i].group] > sizes[group]) group = p->products[i].group;
  for (uint32_t i = 0; i < p->product_count; i++) {
    bool is_new = p->products[i].group == group;
    for (uint32_t k = 0; k < i && is_new; k++) is_new = p->products[k].group != group || !fst_plan_same_side(e, &p->products[k], &p->products[i], right);
    count += is_new;
  }
  return count;
}

static uint32_t heads_of_group(const fst_plan *p) {
  uint32_t most = 0;
  for (uint32_t group = 0; group < p->group_count; group++) {
    bool seen[FST_PLAN_PRODUCTS] = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->product_count; i++) {
      if (p->products[i].group != group || seen[p->products[i].head]) continue;
      seen[p->products[i].head] = true;
      count++;
    }
    if (count > most) most = count;
  }
  return most;
}

static void products_group(const fst_emit *e, fst_plan *p, uint32_t most) {
  uint32_t sizes[FST_PLAN_PRODUCTS] = {0};
  p->group_count = p->group_size = 0;
  for (uint32_t i = 0; i < p->product_count; i++) {
    uint32_t group = p->group_count;
    for (uint32_t k = 0; k < i && group == p->group_count; k++)
      if (depths_equal(&p->products[i], &p->products[k]) && sizes[p->products[k].group] < most) group = p->products[k].group;
    p->products[i].group = group;
    if (group == p->group_count) p->group_count++;
    if (++sizes[group] > p->group_size) p->group_size = sizes[group];
  }
  p->group_heads = heads_of_group(p);
  p->lefts = sides_of_group(e, p, false);
  p->rights = sides_of_group(e, p, true);
}

// ---- the tile ----
// Cycles of all tiles together for one step of the sum, for every tile that fits the registers: two fused
// multiply-adds or two loads a cycle, right sides from the second-level cache at a vector in most cycles, no less
// than the latency of one addition to each accumulator, and the loop's own instructions.

static double tile_cycles(const fst_plan *p, int64_t rows, int64_t vectors) {
  double right = (double)(vectors * p->rights), left = (double)(rows * p->lefts), adds = (double)(rows * vectors * p->group_size) / 2, loads = (left + right) / 2;
  double most = adds > loads ? adds : loads;
  if (most < 0.8 * right) most = 0.8 * right;
  return (most > 4 ? most : 4) + 0.6 + 0.05 * loads;
}

static double tiling_cycles(const fst_plan *p, int64_t rows, int64_t vectors, int64_t all_rows, int64_t all_vectors) {
  int64_t full_r = all_rows / rows, rest_r = all_rows % rows, full_v = all_vectors / vectors, rest_v = all_vectors % vectors;
  double total = (double)(full_r * full_v) * tile_cycles(p, rows, vectors) * (p->packed && FST_PACK_PANEL % (vectors * p->lanes) ? 1.06 : 1);
  if (rest_r) total += (double)full_v * tile_cycles(p, rest_r, vectors);
  if (rest_v) total += (double)full_r * tile_cycles(p, rows, rest_v);
  if (rest_r && rest_v) total += tile_cycles(p, rest_r, rest_v);
  return total;
}

static bool tile_fits(const fst_plan *p, int64_t rows, int64_t vectors) {
  int64_t registers = p->target->vector_registers, accumulators = rows * vectors * p->group_heads;
  int64_t operands = rows == 1 ? 2 : vectors * p->rights + 1;
  // Tall narrow tiles make the scheduler hoist their many broadcasts.
  // What finishes the sums keeps a few constants in registers all the same: zero, whole numbers.
  if (p->far_constants) registers -= KEPT_CONSTANTS;
  return accumulators + operands <= registers && (rows <= 6 || (vectors >= 3 && rows <= 9));
}

// Cycles for one point of the inner variables.
static double plan_tile(fst_plan *p) {
  int64_t all_rows = p->rows < 0 ? 60 : p->rows, columns = p->columns < 0 ? 192 : p->columns;
  int64_t all_vectors = (columns + p->lanes - 1) / p->lanes;
  double best = 1e300;
  p->tile_rows = p->vectors = 1;
  for (int64_t r = 1; r <= 12 && r <= all_rows; r++) {
    for (int64_t v = 1; v <= 12 && v <= all_vectors; v++) {
      if (!tile_fits(p, r, v)) continue;
      double cycles = tiling_cycles(p, r, v, all_rows, all_vectors);
      if (cycles >= best) continue;
      best = cycles;
      p->tile_rows = (uint32_t)r;
      p->vectors = (uint32_t)v;
    }
  }
  return best * p->group_count;
}

void fst_plan_regroup(fst_plan *p) {
  for (uint32_t i = 0; i < p->product_count; i++)
    for (uint32_t k = 0; k < i; k++) {
      if (p->products[k].group != p->products[i].group) continue;
      if (!depths_equal(&p->products[k], &p->products[i])) p->products[i].group = p->group_count++;
      break;
    }
}

// All sums in one loop read the left side once; fewer at a time leave registers for more rows.
static double plan_groups(const fst_emit *e, fst_plan *p) {
  uint32_t most = (uint32_t)p->target->vector_registers * 3 / 4;
  const uint32_t limits[] = {most, 4, 2, 1};
  fst_plan best = *p;
  double best_cycles = 1e300;
  for (int i = 0; i < 4; i++) {
    fst_plan attempt = *p;
    products_group(e, &attempt, limits[i]);
    double cycles = plan_tile(&attempt);
    if (cycles >= best_cycles * 0.97) continue;
    best_cycles = cycles;
    best = attempt;
  }
  *p = best;
  return best_cycles;
}

// The inner variable with most values joins the rows if that saves tiles. Rows through two variables cost an
// address each, so it has to save something.
static double plan_rows(const fst_emit *e, fst_plan *p) {
  double alone = plan_groups(e, p);
  int64_t best = 1;
  uint32_t at = 0;
  for (uint32_t i = 0; i < p->inner_count; i++) {
    int64_t extent = fst_plan_extent(e, p, p->inner[i]);
    if (extent < best || !fst_plan_depends(e, p, false, p->stmt->vars[p->inner[i]])) continue;
    best = extent;
    at = i;
  }
  if (best < 2 || p->row < 0 || p->rows < 2) return alone;
  fst_plan joined = *p;
  joined.row2 = (int)p->inner[at];
  memmove(&joined.inner[at], &joined.inner[at + 1], (joined.inner_count - at - 1) * sizeof *joined.inner);
  joined.inner_count--;
  joined.rows = p->rows * best;
  double together = plan_groups(e, &joined) / (double)best;
  if (together >= 0.93 * alone) return alone;
  *p = joined;
  return together;
}

static void plan_lanes(fst_plan *p) {
  p->lanes = (uint32_t)p->target->vector_bytes / 4;
  for (uint32_t i = 0; i < p->product_count; i++)
    if (p->products[i].dtype == FST_F64) p->lanes = (uint32_t)p->target->vector_bytes / 8;
  while (p->columns > 0 && p->lanes / 2 >= (uint64_t)p->columns) p->lanes /= 2;
}

// ---- all of it ----

static double guessed(int64_t count) { return count < 0 ? GUESSED_EXTENT : (double)count; }

static double extents_of(const fst_emit *e, const fst_plan *p, const uint32_t *positions, uint32_t count) {
  double total = 1;
  for (uint32_t i = 0; i < count; i++) total *= guessed(fst_plan_extent(e, p, positions[i]));
  return total;
}

double fst_plan_steps(const fst_product *product) {
  double total = 1;
  for (uint32_t i = 0; i < product->depth_count; i++) total *= guessed(product->depth[i].count);
  return total;
}

static double vectors_of(const fst_plan *p) { return ((p->columns < 0 ? 192 : (double)p->columns) + p->lanes - 1) / p->lanes; }

// Constants that the results are finished with.
static uint32_t constants_visit(const fst_emit *e, bool *seen, fst_kx x) {
  const fst_kx_data *data = fst_emit_get(e, x);
  uint32_t count = 0;
  if (seen[x.id] || data->kind == FST_KX_REDUCE || data->kind == FST_KX_LOAD) return 0;
  seen[x.id] = true;
  if (data->kind == FST_KX_CONST) return fst_dtype_is_float(data->dtype);
  for (uint32_t i = 0; i < data->arg_count; i++) count += constants_visit(e, seen, data->args[i]);
  return count;
}

static uint32_t constants_of(const fst_emit *e, const fst_plan *p) {
  fst_arena arena;
  fst_arena_init(&arena);
  bool *seen = FST_NEW_ARRAY(&arena, bool, e->kernel->exprs.len);
  uint32_t count = 0;
  for (uint32_t i = 0; i < p->root_count; i++) count += constants_visit(e, seen, p->roots[i]);
  fst_arena_deinit(&arena);
  return count;
}

bool fst_plan_packs_right(const fst_emit *e, const fst_plan *p) {
  bool found = false;
  for (uint32_t i = 0; i < p->product_count; i++) {
    fst_accesses accesses = {0};
    fst_emit_accesses(e, p->products[i].right.factors, p->products[i].right.count, &accesses);
    for (size_t a = 0; a < accesses.len; a++) found |= e->constants && e->constants[accesses.data[a].buffer];
    fst_vec_free(&accesses);
  }
  return found;
}

double fst_tile_choose(const fst_emit *e, fst_plan *p) {
  p->far_constants = constants_of(e, p) > 1;
  p->packed = fst_plan_packs_right(e, p) && fst_plan_steps(&p->products[0]) * FST_PACK_PANEL * 4 <= (double)p->target->l2_bytes * FST_AHEAD_SHARE;
  plan_lanes(p);
  double inner = extents_of(e, p, p->inner, p->inner_count), step = p->window ? fst_window_tile(p) : plan_rows(e, p), depth = 0;
  for (uint32_t i = 0; i < p->product_count; i++)
    if (fst_plan_steps(&p->products[i]) > depth) depth = fst_plan_steps(&p->products[i]);
  return step * depth * inner * extents_of(e, p, p->outer, p->outer_count);
}

// A vector of neighbours is one access, of others one each, and of others whose addresses are equal but for whole pages
// one miss each: they all fall into one set of the cache.
static double access_cycles(const fst_emit *e, const fst_plan *p, const fst_access *access) {
  fst_step step = fst_emit_access_step(e, access->buffer, access->indices, p->stmt->vars[p->lane]);
  if (step.kind == FST_STEP_CONST && (step.value == 0 || step.value == 1)) return (double)step.value;
  bool pages = step.kind == FST_STEP_CONST && step.value * 4 % 4096 == 0;
  return p->lanes * (pages ? 12 : access->is_store ? 1 : 1.5);
}

static double finish_cycles(const fst_emit *e, const fst_plan *p) {
  fst_accesses accesses = {0};
  double cycles = 0;
  fst_emit_accesses(e, p->roots, p->root_count, &accesses);
  for (uint32_t i = 0; i < p->stmt->store_count; i++) {
    fst_access access = {p->stmt->stores[i].buffer, p->stmt->stores[i].indices, FST_NO_KX, 0, true};
    uint32_t beside[FST_INTERLEAVE_MOST], count = fst_emit_stores_beside(e, p->stmt, i, p->stmt->vars[p->lane], beside);
    if (!count) fst_vec_push(&accesses, access);
    cycles += 3 * count;
  }
  for (size_t i = 0; i < accesses.len; i++)
    if (!accesses.data[i].depth) cycles += access_cycles(e, p, &accesses.data[i]);
  fst_vec_free(&accesses);
  return cycles;
}

// What has to be copied is, an element each; where there is no copy, each panel is brought together for its tiles.
static double copy_cycles(fst_emit *e, const fst_plan *p, uint32_t number, bool right) {
  fst_plan attempt = *p;
  uint64_t scratch = e->scratch_bytes;
  fst_copy_outer(e, &attempt);
  bool made = fst_copy_make(e, &attempt, number, right);
  e->scratch_bytes = scratch;
  if (!made) return p->window ? IMPOSSIBLE : -1;
  const fst_copy *c = &attempt.copies[0];
  double vectors = (double)((c->size[c->dim_count - 1] + p->lanes - 1) / p->lanes);
  for (uint32_t d = 0; d + 1 < c->dim_count; d++) vectors *= (double)c->size[d];
  return vectors * extents_of(e, &attempt, attempt.outer, c->level) * (c->split > 1 ? 5 : 3);
}

static double right_cycles(fst_emit *e, const fst_plan *p, uint32_t number) {
  const fst_product *product = &p->products[number];
  fst_accesses accesses = {0};
  uint32_t lane = p->stmt->vars[p->lane];
  double cycles = product->right.mask.id ? 3 : 0;
  fst_emit_accesses(e, product->right.factors, product->right.count, &accesses);
  for (size_t i = 0; i < accesses.len; i++) {
    const fst_access *access = &accesses.data[i];
    fst_step step = fst_emit_access_step(e, access->buffer, access->indices, lane);
    if (step.kind == FST_STEP_CONST && (step.value == 0 || step.value == 1 || (e->constants && e->constants[access->buffer]))) continue;
    cycles += step.kind == FST_STEP_CONST && step.value == 2 ? 3 : 2 + p->lanes / 4;
  }
  fst_vec_free(&accesses);
  if (!cycles) return 0;
  double copy = copy_cycles(e, p, number, true);
  return copy >= 0 ? copy : cycles * fst_plan_steps(product) * vectors_of(p) * extents_of(e, p, p->outer, p->outer_count);
}

// Scalars far apart are a line of the cache each, which no prefetcher foresees if they are in different pages soon.
static double left_cycles(fst_emit *e, const fst_plan *p, uint32_t number) {
  const fst_product *product = &p->products[number];
  fst_accesses accesses = {0};
  double tiles = vectors_of(p) / p->vectors * guessed(p->rows) / p->tile_rows * extents_of(e, p, p->inner, p->inner_count) * extents_of(e, p, p->outer, p->outer_count), cycles = 0;
  if (product->left.mask.id) {
    double copy = copy_cycles(e, p, number, false);
    return copy >= 0 ? copy : 20 * fst_plan_steps(product) * tiles * p->tile_rows;
  }
  fst_emit_accesses(e, product->left.factors, product->left.count, &accesses);
  for (size_t i = 0; i < accesses.len; i++) {
    if (p->row >= 0 && e->constants && e->constants[accesses.data[i].buffer]) continue;  // turned
    fst_step step = fst_emit_access_step(e, accesses.data[i].buffer, accesses.data[i].indices, product->depth[product->depth_count - 1].var);
    if (step.kind != FST_STEP_CONST || step.value >= 64) cycles += 5;
    else if (step.value >= 16) cycles += 1;
  }
  fst_vec_free(&accesses);
  return cycles * fst_plan_steps(product) * tiles;
}

double fst_plan_other_cycles(fst_emit *e, const fst_plan *p) {
  double points = vectors_of(p) * guessed(p->rows) * extents_of(e, p, p->inner, p->inner_count) * extents_of(e, p, p->outer, p->outer_count);
  double cycles = finish_cycles(e, p) * points;
  for (uint32_t i = 0; i < p->product_count; i++) cycles += right_cycles(e, p, i) + left_cycles(e, p, i);
  return cycles;
}
