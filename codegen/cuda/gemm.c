// Which statements are products of matrices, and the tile; see gemm.h.
#include "codegen/cuda/gemm.h"

enum { MOST_FACTORS = 8, FEW_BLOCKS = 132, SMALLEST_SIDE = 9, THREADS = 256, SHORTEST_PART = 48, MOST_PARTS = 32, RESIDENT = 2 };

// ---- the product ----

typedef struct finding { fst_kernel *k; fst_map seen; fst_gemms *to; bool ok; } finding;

static void find_sums(finding *f, fst_kx x) {
  const fst_kx_data d = *fst_kx_get(f->k, x);
  uint64_t known;
  if (d.kind < FST_KX_PRIM || !f->ok || fst_map_get(&f->seen, x.id, &known)) return;
  fst_map_set(&f->seen, x.id, 1);
  for (uint32_t i = 0; i < d.arg_count && d.kind != FST_KX_REDUCE; i++) find_sums(f, d.args[i]);
  if (d.kind != FST_KX_REDUCE) return;
  f->ok = f->to->count < FST_GEMM_SUMS && fst_kx_is_contraction(f->k, x) && !fst_cu_reduces(f->k, d.args[0]) && (d.dtype == FST_F32 || d.dtype == FST_F64);
  if (f->ok) f->to->items[f->to->count++] = (fst_gemm){.sum = x, .dtype = d.dtype};
}

// The reductions of the statement, if all of them are sums of products.
static bool sums_of(fst_kernel *k, const fst_kstmt *stmt, fst_gemms *out) {
  finding f = {.k = k, .to = out, .ok = true};
  for (uint32_t i = 0; i < stmt->store_count; i++) find_sums(&f, stmt->stores[i].value);
  fst_map_deinit(&f.seen);
  return f.ok && out->count;
}

static bool factors_of(const fst_kernel *k, fst_kx x, fst_kx *out, uint32_t *count) {
  const fst_kx_data *d = fst_kx_get(k, x);
  if (d->kind == FST_KX_PRIM && d->prim == FST_PRIM_MUL) return factors_of(k, d->args[0], out, count) && factors_of(k, d->args[1], out, count);
  if (*count == MOST_FACTORS) return false;
  out[(*count)++] = x;
  return true;
}

static void side_multiply(fst_kernel *k, fst_gemm_side *side, fst_kx factor) {
  side->value = side->value.id ? fst_kx_prim2(k, FST_PRIM_MUL, side->value, factor) : factor;
}

// 0 times a finite operand is the 0 that a mask means.
static void side_mask(fst_kernel *k, fst_gemm_side *side, fst_kx mask) {
  fst_kx zero = fst_kx_number(k, fst_kx_get(k, side->value)->dtype, 0, 0);
  side->value = fst_kx_prim3(k, FST_PRIM_SELECT, mask, side->value, zero);
}

static bool split(fst_kernel *k, fst_gemm *g, uint32_t column) {
  fst_kx body = fst_kx_get(k, g->sum)->args[0], mask = FST_NO_KX, factors[MOST_FACTORS];
  uint32_t count = 0;
  const fst_kx_data *d = fst_kx_get(k, body);
  if (d->prim == FST_PRIM_SELECT) {
    mask = d->args[0];
    body = d->args[1];
  }
  g->left.value = g->right.value = FST_NO_KX;
  if (!factors_of(k, body, factors, &count)) return false;
  for (uint32_t i = 0; i < count; i++) side_multiply(k, fst_kx_depends(k, factors[i], column) ? &g->right : &g->left, factors[i]);
  if (!g->left.value.id || !g->right.value.id) return false;
  if (mask.id) side_mask(k, fst_kx_depends(k, mask, column) ? &g->right : &g->left, mask);
  return true;
}

// ---- roles of variables ----

static void space_add(fst_cu_space *s, uint32_t var, fst_kx extent) {
  s->vars[s->count] = var;
  s->extents[s->count++] = extent;
}

static bool roles(fst_kernel *k, fst_gemm *g) {
  const fst_kstmt *stmt = g->stmt;
  const fst_kx_data sum = *fst_kx_get(k, g->sum);
  g->batch.count = g->left.own.count = g->right.own.count = 0;
  for (uint32_t i = 0; i < stmt->var_count; i++) {
    bool left = fst_kx_depends(k, g->left.value, stmt->vars[i]), right = fst_kx_depends(k, g->right.value, stmt->vars[i]);
    space_add(left == right ? &g->batch : left ? &g->left.own : &g->right.own, stmt->vars[i], stmt->extents[i]);
    for (uint32_t d = 0; d < sum.var_count; d++)
      if (fst_kx_depends(k, sum.extents[d], stmt->vars[i])) return false;
  }
  g->depth = fst_cu_space_of(sum.vars, sum.extents, sum.var_count);
  bool depth_left = false, depth_right = false;
  for (uint32_t d = 0; d < sum.var_count; d++) {
    depth_left |= fst_kx_depends(k, g->left.value, sum.vars[d]);
    depth_right |= fst_kx_depends(k, g->right.value, sum.vars[d]);
  }
  return g->left.own.count && g->right.own.count && depth_left && depth_right;
}

static int64_t known_points(const fst_kernel *k, const fst_cu_space *s) {
  int64_t points = 1, extent;
  for (uint32_t i = 0; i < s->count; i++) {
    if (!fst_kx_is_int(k, s->extents[i], &extent)) return -1;
    points *= extent;
  }
  return points;
}

// Where one side is a vector, or nearly, nothing is gained from tiles.
static bool is_worth_it(const fst_kernel *k, const fst_gemm *g) {
  int64_t rows = known_points(k, &g->left.own), columns = known_points(k, &g->right.own), depth = known_points(k, &g->depth);
  return (rows < 0 || rows >= SMALLEST_SIDE) && (columns < 0 || columns >= SMALLEST_SIDE) && (depth < 0 || depth >= 4);
}

// The stores' fastest variable, or the last one.
static uint32_t column_of(fst_kernel *k, const fst_kstmt *stmt) {
  fst_kx coefficient;
  int64_t value, extent;
  for (uint32_t i = stmt->var_count; i-- > 0;)
    if (!(fst_kx_is_int(k, stmt->extents[i], &extent) && extent == 1) && fst_cu_coefficient(k, stmt->stores[0].buffer, stmt->stores[0].indices, stmt->vars[i], &coefficient) &&
        fst_kx_is_int(k, coefficient, &value) && value == 1)
      return stmt->vars[i];
  return stmt->vars[stmt->var_count - 1];
}

// ---- operands ----

// CONVERT of a 16-bit float to f32: the tensor cores take it as it is.
static fst_dtype half_under(const fst_kernel *k, fst_kx x, fst_kx *out) {
  const fst_kx_data *d = fst_kx_get(k, x);
  if (d->kind != FST_KX_PRIM || d->prim != FST_PRIM_CONVERT || d->dtype != FST_F32) return FST_DTYPE_UNKNOWN;
  *out = d->args[0];
  fst_dtype dtype = fst_kx_get(k, *out)->dtype;
  return dtype == FST_F16 || dtype == FST_BF16 ? dtype : FST_DTYPE_UNKNOWN;
}

static fst_dtype half_side(fst_kernel *k, fst_kx value, fst_kx *out) {
  const fst_kx_data d = *fst_kx_get(k, value);
  if (d.kind != FST_KX_PRIM || d.prim != FST_PRIM_SELECT) return half_under(k, value, out);
  const fst_kx_data *zero = fst_kx_get(k, d.args[2]);
  fst_kx inner = FST_NO_KX;
  fst_dtype dtype = half_under(k, d.args[1], &inner);
  if (dtype == FST_DTYPE_UNKNOWN || zero->kind != FST_KX_CONST || zero->bits) return FST_DTYPE_UNKNOWN;
  *out = fst_kx_prim3(k, FST_PRIM_SELECT, d.args[0], inner, fst_kx_number(k, dtype, 0, 0));
  return dtype;
}

static void plan_tensor(fst_kernel *k, fst_gemm *g) {
  fst_kx left = FST_NO_KX, right = FST_NO_KX;
  fst_dtype a = half_side(k, g->left.value, &left), b = half_side(k, g->right.value, &right);
  g->tensor = g->dtype == FST_F32 && a == b && a != FST_DTYPE_UNKNOWN;
  g->left.dtype = g->right.dtype = g->tensor ? a : g->dtype;
  if (!g->tensor) return;
  g->left.value = left;
  g->right.value = right;
}

static bool has_unit_step(fst_kernel *k, const fst_cu_accesses *loads, uint32_t var) {
  fst_kx coefficient;
  int64_t value;
  for (size_t i = 0; i < loads->len; i++)
    if (fst_cu_coefficient(k, loads->data[i].buffer, loads->data[i].indices, var, &coefficient) && fst_kx_is_int(k, coefficient, &value) && value == 1) return true;
  return false;
}

// A picture's rows move with the columns and, by a few elements, with the filter: the longer way is the one to read along.
static bool is_along_depth(fst_kernel *k, const fst_gemm_side *side, const fst_cu_accesses *loads) {
  uint32_t own = side->own.count - 1, deep = side->depth.count - 1;
  int64_t width, length;
  if (!has_unit_step(k, loads, side->depth.vars[deep])) return false;
  if (!has_unit_step(k, loads, side->own.vars[own]) || !fst_kx_is_int(k, side->depth.extents[deep], &length)) return true;
  return fst_kx_is_int(k, side->own.extents[own], &width) && width < length;
}

static void plan_side(fst_kernel *k, fst_gemm *g, fst_gemm_side *side) {
  fst_cu_accesses loads = {0};
  fst_cu_loads(k, &side->value, 1, &loads);
  side->depth = g->depth;
  fst_cu_collapse(k, side->depth.vars, side->depth.extents, side->depth.count, &side->value, 1, NULL, 0, side->depth.merged);
  side->along_depth = is_along_depth(k, side, &loads);
  const fst_cu_space *spaces[] = {&g->batch, side->along_depth ? &side->own : &side->depth, side->along_depth ? &side->depth : &side->own};
  side->vector = (uint32_t)(16 / fst_dtype_size(side->dtype));
  side->wide = FST_NO_KX;
  // Only a load by itself, of just these elements.
  if (loads.len == 1 && fst_kx_eq(loads.data[0].load, side->value) && fst_cu_is_wide(k, spaces, 3, &loads.data[0], side->vector, &side->multiples)) side->wide = side->value;
  fst_vec_free(&loads);
  // Element by element, neighbouring threads take neighbours in memory.
  if (!side->wide.id) side->vector = 1;
}

static void plan_merge(fst_kernel *k, fst_gemm *g) {
  const fst_kstmt *stmt = g->stmt;
  fst_kx *roots = FST_NEW_ARRAY(&k->arena, fst_kx, stmt->store_count + 2);
  for (uint32_t i = 0; i < stmt->store_count; i++) roots[i] = stmt->stores[i].value;
  roots[stmt->store_count] = g->left.value;
  roots[stmt->store_count + 1] = g->right.value;
  fst_cu_space *spaces[] = {&g->batch, &g->left.own, &g->right.own};
  for (int i = 0; i < 3; i++) fst_cu_collapse(k, spaces[i]->vars, spaces[i]->extents, spaces[i]->count, roots, stmt->store_count + 2, stmt->stores, stmt->store_count, spaces[i]->merged);
}

// ---- the tile ----

static void plan_tile(const fst_kernel *k, fst_gemm *g) {
  int64_t rows = known_points(k, &g->left.own), columns = known_points(k, &g->right.own), batch = known_points(k, &g->batch);
  uint32_t tile = g->dtype == FST_F64 ? 64 : 128;
  int64_t blocks = rows < 0 || columns < 0 || batch < 0 ? INT64_MAX : (rows + 127) / 128 * ((columns + 127) / 128) * batch;
  if (blocks < FEW_BLOCKS || (rows > 0 && rows <= 64) || (columns > 0 && columns <= 64)) tile = 64;
  g->left.tile = g->right.tile = tile;
  g->threads = THREADS;
  g->depth_tile = g->tensor ? 32 : 16;
  // Tiles that leave most of the GPU idle. A round of a tile waits for memory, so few rounds matter more than what the join reads.
  int64_t depth = known_points(k, &g->depth);
  g->parts = 1;
  if (blocks == INT64_MAX || depth < 0) return;
  blocks = (rows + tile - 1) / tile * ((columns + tile - 1) / tile) * batch;
  while (blocks > 0 && blocks * g->parts * 2 <= RESIDENT * FEW_BLOCKS && depth / (g->parts * 2) >= SHORTEST_PART && g->parts < MOST_PARTS) g->parts *= 2;
}

static bool spaces_equal(const fst_cu_space *a, const fst_cu_space *b) {
  if (a->count != b->count) return false;
  for (uint32_t i = 0; i < a->count; i++)
    if (a->vars[i] != b->vars[i]) return false;
  return true;
}

static bool plan(fst_kernel *k, fst_gemm *g, const fst_kstmt *stmt, uint32_t column, const fst_gemm *like) {
  g->stmt = stmt;
  if (!split(k, g, column) || !roles(k, g) || !is_worth_it(k, g)) return false;
  if (g->dtype != like->dtype || !spaces_equal(&g->batch, &like->batch) || !spaces_equal(&g->left.own, &like->left.own) || !spaces_equal(&g->right.own, &like->right.own)) return false;
  plan_tensor(k, g);
  plan_merge(k, g);
  plan_tile(k, g);
  plan_side(k, g, &g->left);
  plan_side(k, g, &g->right);
  return true;
}

static void launch(fst_cu_kernel *m, fst_gemms *all, fst_kx rows, fst_kx columns, fst_kx batch) {
  fst_kernel *s = m->sizes;
  fst_kx one = fst_kx_int(s, 1), points = fst_kx_prim2(s, FST_PRIM_MUL, fst_kx_prim2(s, FST_PRIM_MUL, rows, columns), batch);
  uint32_t parts = 0;
  for (uint32_t i = 0; i < all->count; i++) {
    all->items[i].first_part = parts;
    all->items[i].leaves = all->count > 1 || all->items[i].parts > 1;
    parts += all->items[i].parts;
  }
  bool leaves = all->items[0].leaves;
  if (leaves) fst_cu_scratch(m, fst_kx_prim2(s, FST_PRIM_MUL, points, fst_kx_int(s, parts * (int64_t)fst_dtype_size(all->items[0].dtype))));
  for (uint32_t i = 0; i < all->count; i++) {
    const fst_gemm *g = &all->items[i];
    fst_kx tiles = fst_kx_prim2(s, FST_PRIM_MUL, fst_cu_ceil_div(m, rows, g->left.tile), fst_cu_ceil_div(m, columns, g->right.tile));
    fst_kx grid[] = {fst_kx_prim2(s, FST_PRIM_MUL, fst_kx_prim2(s, FST_PRIM_MUL, tiles, batch), fst_kx_int(s, g->parts)), one, one};
    // Where sizes are symbols, addresses take more registers than two blocks leave.
    uint32_t resident = known_points(m->k, &g->left.own) >= 0 && known_points(m->k, &g->right.own) >= 0 && known_points(m->k, &g->depth) >= 0 ? RESIDENT : 0;
    fst_cu_launch_add(m, g->threads, resident, grid, fst_gemm_shared(g), fst_gemm_body, g);
  }
  fst_kx join[] = {fst_cu_ceil_div(m, points, FST_GEMM_JOIN_THREADS), one, one};
  if (leaves) fst_cu_launch_add(m, FST_GEMM_JOIN_THREADS, 0, join, 0, fst_gemm_join, all);
}

bool fst_cu_gemm(fst_cu_kernel *m, const fst_kstmt *stmt) {
  fst_gemms all = {.count = 0};
  if (stmt->kind != FST_KSTMT_MAP || stmt->var_count < 2 || fst_cu_box(m->k, stmt, stmt->var_count) < stmt->var_count || !sums_of(m->k, stmt, &all)) return false;
  uint32_t column = column_of(m->k, stmt);
  bool ok = true;
  for (uint32_t i = 0; i < all.count && ok; i++) ok = plan(m->k, &all.items[i], stmt, column, &all.items[0]);
  const fst_gemm *g = &all.items[0];
  fst_kx rows = fst_cu_points(m, g->left.own.extents, g->left.own.count), columns = fst_cu_points(m, g->right.own.extents, g->right.own.count);
  fst_kx batch = fst_cu_points(m, g->batch.extents, g->batch.count);
  ok = ok && rows.id && columns.id && batch.id;
  if (ok) launch(m, &all, rows, columns, batch);
  for (uint32_t i = 0; i < all.count; i++) {
    fst_vec_free(&all.items[i].left.multiples);
    fst_vec_free(&all.items[i].right.multiples);
  }
  return ok;
}
