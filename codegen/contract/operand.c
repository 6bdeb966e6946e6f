// How operands are read.
//
// Right sides: constants are packed when the kernel is compiled, so that a tile reads them front to back; others must
// lie in columns already. Left sides: read where they lie if a pointer can walk them, else (padding,
// arithmetic before the product) computed once into scratch memory.
#include <string.h>

#include "codegen/contract/plan.h"

enum { PACK_MAX_BYTES = 1 << 30, WIDEST_VECTOR = 16, STAGED_TILES = 8, TURNED_STEP = 16 };

// ---- leaves: loads that stand for themselves, not for an index, and not behind a select ----

typedef struct leaf_walk {
  const fst_emit *e;
  fst_kx loads[FST_PLAN_LEAVES];
  uint32_t count;
  bool too_many, behind_select;
} leaf_walk;

static void leaf_visit(leaf_walk *w, fst_kx x, bool guarded) {
  const fst_kx_data *data = fst_emit_get(w->e, x);
  if (data->kind != FST_KX_LOAD) {
    for (uint32_t i = 0; i < data->arg_count; i++)
      leaf_visit(w, data->args[i], guarded || (data->kind == FST_KX_PRIM && data->prim == FST_PRIM_SELECT && i > 0));
    return;
  }
  if (guarded && !fst_emit_in_bounds(w->e, data->index, data->args)) w->behind_select = true;
  for (uint32_t i = 0; i < w->count; i++)
    if (fst_kx_eq(w->loads[i], x)) return;
  if (w->count == FST_PLAN_LEAVES) w->too_many = true;
  else w->loads[w->count++] = x;
}

static leaf_walk leaves_of(const fst_emit *e, const fst_side *side) {
  leaf_walk w = {.e = e};
  for (uint32_t i = 0; i < side->count; i++) leaf_visit(&w, side->factors[i], side->mask.id != 0);
  return w;
}

static void leaf_add(fst_side *side, fst_leaf_kind kind, fst_kx expr, uint32_t number) {
  side->leaves[side->leaf_count++] = (fst_leaf){kind, expr, number};
}

static fst_step step_of(const fst_emit *e, fst_kx load, uint32_t var) {
  const fst_kx_data *data = fst_emit_get(e, load);
  return fst_emit_access_step(e, data->index, data->args, var);
}

static uint32_t inner_var(const fst_product *p) { return p->depth[p->depth_count - 1].var; }

// ---- packing ----

// The value of an index where all variables are 0.
static bool index_base(const fst_emit *e, fst_kx x, int64_t *out) {
  const fst_kx_data *data = fst_emit_get(e, x);
  int64_t a, b = 0;
  if (fst_emit_const(e, x, out)) return true;
  if (data->kind == FST_KX_VAR) {
    *out = 0;
    return true;
  }
  if (data->kind != FST_KX_PRIM || data->dtype != FST_I64 || data->arg_count > 2 || !index_base(e, data->args[0], &a)) return false;
  if (data->arg_count == 2 && !index_base(e, data->args[1], &b)) return false;
  switch (data->prim) {
    case FST_PRIM_ADD: return !__builtin_add_overflow(a, b, out);
    case FST_PRIM_SUB: return !__builtin_sub_overflow(a, b, out);
    case FST_PRIM_MUL: return !__builtin_mul_overflow(a, b, out);
    case FST_PRIM_NEG: return !__builtin_sub_overflow(0, a, out);
    default: return false;
  }
}

static bool pack_base(const fst_emit *e, const fst_kx_data *load, int64_t *out) {
  const fst_kbuf *buffer = &e->kernel->buffers.data[load->index];
  *out = 0;
  for (uint32_t d = 0; d < buffer->rank; d++) {
    int64_t base, stride, scaled;
    if (!index_base(e, load->args[d], &base) || !fst_emit_const(e, buffer->strides[d], &stride)) return false;
    if (__builtin_mul_overflow(base, stride, &scaled) || __builtin_add_overflow(*out, scaled, out)) return false;
  }
  return true;
}

static bool const_step(const fst_emit *e, fst_kx load, uint32_t var, int64_t *out) {
  fst_step step = step_of(e, load, var);
  *out = step.value;
  return step.kind == FST_STEP_CONST;
}

static bool pack_batches(const fst_emit *e, const fst_plan *p, fst_kx load, fst_pack *pack) {
  for (uint32_t i = 0; i < p->outer_count; i++) {
    int64_t step, extent = fst_plan_extent(e, p, p->outer[i]);
    if (!const_step(e, load, p->stmt->vars[p->outer[i]], &step)) return false;
    if (!step) continue;
    if (extent < 1 || pack->batch_count == FST_PACK_MAX_DIMS) return false;
    pack->batch[pack->batch_count] = extent;
    pack->batch_step[pack->batch_count++] = step;
  }
  return true;
}

// A row of a panel is what the widest tile reads at once. No vector of any target crosses the end of a panel: vectors are powers
// of two and begin at multiples of themselves.
static int64_t panel_columns(int64_t columns) {
  if (columns >= FST_PACK_PANEL) return FST_PACK_PANEL;
  int64_t panel = WIDEST_VECTOR;
  while (panel > 1 && panel / 2 >= columns) panel /= 2;
  return (columns + panel - 1) / panel * panel;
}

// `var` runs over the columns.
static bool pack_make(const fst_emit *e, const fst_plan *p, const fst_product *product, fst_kx load, uint32_t var, int64_t columns, int64_t panel, fst_pack *out) {
  const fst_kx_data *data = fst_emit_get(e, load);
  memset(out, 0, sizeof *out);
  out->buffer = data->index;
  out->element_bytes = (uint32_t)fst_dtype_size(data->dtype);
  if (columns < 1) return false;
  out->columns = columns;
  out->panel = panel;
  if (!e->constants || !e->constants[data->index] || !pack_base(e, data, &out->base)) return false;
  if (!const_step(e, load, var, &out->column_step) || !out->column_step) return false;
  for (uint32_t i = 0; i < product->depth_count; i++) {
    if (product->depth[i].count < 1 || !const_step(e, load, product->depth[i].var, &out->depth_step[i])) return false;
    out->depth[out->depth_count++] = product->depth[i].count;
  }
  if (!pack_batches(e, p, load, out)) return false;
  return fst_pack_elements(out) <= PACK_MAX_BYTES / (int64_t)out->element_bytes;
}

static bool pack_equal(const fst_pack *a, const fst_pack *b) {
  fst_pack x = *a;
  x.offset = b->offset;
  return !memcmp(&x, b, sizeof x);
}

static uint32_t pack_add(fst_emit *e, fst_pack *pack) {
  for (size_t i = 0; i < e->packs.len; i++)
    if (pack_equal(pack, &e->packs.data[i])) return (uint32_t)i;
  pack->offset = e->packed_bytes[pack->buffer];
  e->packed_bytes[pack->buffer] += ((uint64_t)fst_pack_elements(pack) * pack->element_bytes + 63) / 64 * 64;
  fst_vec_push(&e->packs, *pack);
  return (uint32_t)e->packs.len - 1;
}

// ---- both sides ----

static bool right_leaf(fst_emit *e, const fst_plan *p, fst_product *product, fst_kx load) {
  fst_pack pack;
  uint32_t lane = p->stmt->vars[p->lane];
  if (!fst_emit_depends(e, load, lane)) return true;  // a scalar, read as it stands
  if (pack_make(e, p, product, load, lane, p->columns, panel_columns(p->columns), &pack)) {
    leaf_add(&product->right, FST_LEAF_PACKED, load, pack_add(e, &pack));
    return true;
  }
  fst_step column = step_of(e, load, lane);
  if (column.kind != FST_STEP_CONST || column.value != 1 || step_of(e, load, inner_var(product)).kind == FST_STEP_NONE) return false;
  bool whole = p->columns > 0 && p->columns % p->lanes == 0;
  if (!whole && fst_dtype_size(fst_emit_get(e, load)->dtype) < 4 && e->unit->target->vector_bytes < 64) return false;
  leaf_add(&product->right, FST_LEAF_MEMORY, load, 0);
  return true;
}

static bool right_in_place(fst_emit *e, const fst_plan *p, fst_product *product) {
  leaf_walk w = leaves_of(e, &product->right);
  if (w.too_many || w.behind_select || product->right.mask.id) return false;
  for (uint32_t i = 0; i < w.count; i++)
    if (!right_leaf(e, p, product, w.loads[i])) return false;
  return true;
}

// Rows of a panel that the first cache holds at once: it has eight places for lines whose addresses are equal but for pages.
static int64_t rows_held(const fst_plan *p, const fst_product *product, int64_t step) {
  enum { LINE = 64, PAGE = 4096, WAYS = 8 };
  int64_t bytes = step * (int64_t)fst_dtype_size(product->dtype), lines = (int64_t)p->lanes * p->vectors * (int64_t)fst_dtype_size(product->dtype) / LINE;
  int64_t places = PAGE;
  while (bytes % places) places /= 2;
  int64_t starts = PAGE / places, room = PAGE / LINE / (lines ? lines : 1);
  return WAYS * (starts < room ? starts : room);
}

// A panel that the first cache does not hold and whose rows lie far apart is read faster where it has been brought together,
// if there are tiles enough to read it.
static bool right_is_scattered(const fst_emit *e, const fst_plan *p, const fst_product *product) {
  int64_t rows = 1;
  bool scattered = false;
  if (p->window) return false;
  for (uint32_t i = 0; i < product->depth_count; i++) rows *= product->depth[i].count < 0 ? 1 : product->depth[i].count;
  if (p->rows < STAGED_TILES * p->tile_rows) return false;
  for (uint32_t i = 0; i < product->right.leaf_count; i++) {
    const fst_leaf *leaf = &product->right.leaves[i];
    if (leaf->kind != FST_LEAF_MEMORY) continue;
    fst_step step = step_of(e, leaf->expr, inner_var(product));
    scattered |= step.kind == FST_STEP_CONST && step.value > p->lanes * p->vectors && rows > rows_held(p, product, step.value);
  }
  return scattered;
}

static bool right_operand(fst_emit *e, fst_plan *p, uint32_t number) {
  fst_product *product = &p->products[number];
  if (!right_in_place(e, p, product)) {
    product->right.leaf_count = 0;
    return fst_copy_make(e, p, number, true) || (!p->window && fst_stage_make(e, p, product));
  }
  if (right_is_scattered(e, p, product)) fst_stage_make(e, p, product);
  return true;
}

static bool left_is_plain(const fst_emit *e, const fst_product *product, const leaf_walk *w) {
  if (w->too_many || w->behind_select || product->left.mask.id) return false;
  for (uint32_t i = 0; i < w->count; i++)
    if (step_of(e, w->loads[i], inner_var(product)).kind == FST_STEP_NONE) return false;
  uint32_t weight = 0;
  for (uint32_t i = 0; i < product->left.count; i++) {
    const fst_kx_data *data = fst_emit_get(e, product->left.factors[i]);
    if (data->kind == FST_KX_PRIM) weight += fst_emit_weight(e, product->left.factors[i]);
  }
  return weight < 24;
}

// A constant whose summed index leads from line to line is turned, so that each row is read front to back: panels of one column.
static bool left_pack(fst_emit *e, const fst_plan *p, const fst_product *product, fst_kx load, uint32_t *out_number) {
  int64_t step;
  fst_pack pack;
  if (p->row < 0 || p->row2 >= 0 || !const_step(e, load, inner_var(product), &step) || step < TURNED_STEP) return false;
  for (uint32_t i = 0; i < p->inner_count; i++)
    if (fst_emit_depends(e, load, p->stmt->vars[p->inner[i]])) return false;
  if (!pack_make(e, p, product, load, p->stmt->vars[p->row], p->row_extent, 1, &pack)) return false;
  *out_number = pack_add(e, &pack);
  return true;
}

static void left_operand(fst_emit *e, fst_plan *p, uint32_t number) {
  fst_product *product = &p->products[number];
  leaf_walk w = leaves_of(e, &product->left);
  bool plain = left_is_plain(e, product, &w);
  if (!plain && fst_copy_make(e, p, number, false)) return;
  if (w.too_many || w.behind_select || product->left.mask.id) return;  // evaluated as it is written
  for (uint32_t i = 0; i < w.count; i++) {
    uint32_t pack;
    if (left_pack(e, p, product, w.loads[i], &pack)) leaf_add(&product->left, FST_LEAF_PACKED, w.loads[i], pack);
    else if (step_of(e, w.loads[i], inner_var(product)).kind != FST_STEP_NONE) leaf_add(&product->left, FST_LEAF_MEMORY, w.loads[i], 0);
  }
}

bool fst_plan_operands(fst_emit *e, fst_plan *p) {
  size_t packs = e->packs.len;
  uint64_t scratch = e->scratch_bytes;
  uint32_t buffers = (uint32_t)e->kernel->buffers.len;
  uint64_t *packed = FST_NEW_ARRAY(e->arena, uint64_t, buffers + 1);
  memcpy(packed, e->packed_bytes, buffers * sizeof *packed);
  fst_copy_outer(e, p);
  for (uint32_t i = 0; i < p->product_count; i++) {
    if (!right_operand(e, p, i) || (p->window && !fst_window_operand(e, p))) {
      e->packs.len = packs;
      e->scratch_bytes = scratch;
      memcpy(e->packed_bytes, packed, buffers * sizeof *packed);
      return false;
    }
    if (!p->window) left_operand(e, p, i);
  }
  fst_plan_regroup(p);
  return true;
}
