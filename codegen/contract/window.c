// Sums whose right side slides along with the rows: depthwise convolutions. No operand serves several rows as it is, but
// neighbouring rows read almost the same vectors. So a tile takes some rows of one vector of columns, each vector that any of
// its rows reads is loaded once, and used for all products that it belongs to. The taps are few and known: there is no
// loop, and every address is the tile's place and a number.
#include <string.h>

#include "codegen/contract/plan.h"

enum { WINDOW_TAPS = 64, WINDOW_PRODUCTS = 256, WINDOW_ROWS = 8 };

static int64_t taps_of(const fst_product *product) {
  int64_t taps = 1;
  for (uint32_t i = 0; i < product->depth_count; i++) {
    if (product->depth[i].count < 1 || product->depth[i].count > WINDOW_TAPS) return WINDOW_TAPS + 1;
    taps *= product->depth[i].count;
  }
  return taps;
}

// ---- the plan ----

bool fst_window_plan(const fst_emit *e, fst_plan *p) {
  const fst_product *product = &p->products[0];
  int best = -1;
  if (p->product_count != 1 || p->row >= 0 || taps_of(product) > WINDOW_TAPS) return false;
  for (uint32_t i = 0; i < p->outer_count; i++) {
    uint32_t var = p->stmt->vars[p->outer[i]];
    if (fst_plan_depends(e, p, false, var) || !fst_copy_shares_index(e, p, product, var) || fst_plan_extent(e, p, p->outer[i]) < 2) continue;
    best = (int)i;
  }
  if (best < 0) return false;
  p->window = true;
  p->row = (int)p->outer[best];
  memmove(&p->outer[best], &p->outer[best + 1], (p->outer_count - (uint32_t)best - 1) * sizeof *p->outer);
  p->outer_count--;
  p->rows = p->row_extent = fst_plan_extent(e, p, (uint32_t)p->row);
  return true;
}

// Rows of equal tiles, so that none is left with few.
double fst_window_tile(fst_plan *p) {
  int64_t taps = taps_of(&p->products[0]), most = p->target->vector_registers / 4;
  while (most > 1 && most * taps > WINDOW_PRODUCTS) most--;
  int64_t tiles = (p->rows + most - 1) / most;
  p->tile_rows = (uint32_t)((p->rows + tiles - 1) / tiles);
  p->vectors = 1;
  p->group_count = p->group_size = p->group_heads = p->lefts = p->rights = 1;
  p->products[0].group = 0;
  int64_t vectors = p->columns < 0 ? 12 : (p->columns + p->lanes - 1) / p->lanes;
  return (double)(p->rows * vectors) * 0.75;  // for one tap: half a cycle, and its share of the loads
}

bool fst_window_operand(const fst_emit *e, const fst_plan *p) {
  const fst_product *product = &p->products[0];
  const fst_side *side = &product->right;
  if (side->leaf_count != 1) return false;
  if (side->leaves[0].kind == FST_LEAF_COPY) return true;
  const fst_kx_data *load = fst_emit_get(e, side->factors[0]);
  if (side->leaves[0].kind != FST_LEAF_MEMORY || side->count != 1 || load->kind != FST_KX_LOAD || load->dtype != product->dtype) return false;
  for (uint32_t i = 0; i < product->depth_count; i++)
    if (fst_emit_access_step(e, load->index, load->args, product->depth[i].var).kind != FST_STEP_CONST) return false;
  return fst_emit_access_step(e, load->index, load->args, p->stmt->vars[p->row]).kind == FST_STEP_CONST;
}

// ---- code ----

typedef struct window {
  const fst_plan *p;
  const fst_product *product;
  const fst_panel *panel;
  uint32_t rows;
  LLVMValueRef start;          // of row 0 and tap 0
  LLVMValueRef mask;           // of the columns; NULL: whole vectors may be read
  int64_t taps;
  int64_t offset[WINDOW_TAPS]; // elements from there, for row 0
  int64_t row_step;
} window;

static LLVMValueRef window_start(fst_emit *e, window *w) {
  const fst_leaf *leaf = &w->product->right.leaves[0];
  fst_lanes_enter(e, w->p, w->panel->column, NULL);
  LLVMValueRef start;
  if (leaf->kind == FST_LEAF_COPY) {
    start = fst_copy_pointer(e, w->p, &w->p->copies[leaf->number], w->product);
  } else {
    const fst_kx_data *load = fst_emit_get(e, leaf->expr);
    start = fst_emit_element_ptr(e, e->buffers[load->index], load->dtype, fst_emit_offset(e, load->index, load->args));
    w->mask = fst_panel_mask(e, w->p, w->panel, 0);
  }
  fst_lanes_leave(e, w->p);
  return start;
}

static int64_t step_of(const fst_emit *e, const window *w, uint32_t var, int64_t at, bool inner) {
  const fst_leaf *leaf = &w->product->right.leaves[0];
  const fst_kx_data *load = leaf->kind == FST_LEAF_COPY ? NULL : fst_emit_get(e, leaf->expr);
  if (load) return at * fst_emit_access_step(e, load->index, load->args, var).value;
  const fst_copy *copy = &w->p->copies[leaf->number];
  return inner ? fst_copy_tap(copy, var, at) : at * fst_copy_step(copy, var);
}

// Numbers of a tap's summed variables, the innermost fastest.
static void tap_numbers(const fst_product *product, int64_t tap, int64_t *out) {
  for (uint32_t i = product->depth_count; i-- > 0;) {
    out[i] = tap % product->depth[i].count;
    tap /= product->depth[i].count;
  }
}

static void window_offsets(const fst_emit *e, window *w) {
  for (int64_t tap = 0; tap < w->taps; tap++) {
    int64_t at[FST_PLAN_DEPTH];
    tap_numbers(w->product, tap, at);
    w->offset[tap] = 0;
    for (uint32_t i = 0; i < w->product->depth_count; i++)
      w->offset[tap] += step_of(e, w, w->product->depth[i].var, at[i], i + 1 == w->product->depth_count);
  }
}

static LLVMValueRef window_load(fst_emit *e, const window *w, int64_t offset) {
  LLVMTypeRef element = fst_llvm_memory_type(e->unit, w->product->dtype), type = fst_emit_vector_type(element, w->p->lanes);
  LLVMValueRef ptr = fst_emit_element_ptr(e, w->start, w->product->dtype, fst_emit_int(e, offset));
  unsigned size = (unsigned)fst_dtype_size(w->product->dtype);
  if (w->mask) {
    LLVMTypeRef types[] = {type, e->unit->ptr};
    LLVMValueRef args[] = {ptr, LLVMConstInt(e->unit->i32, size, 0), w->mask, LLVMConstNull(type)};
    return fst_llvm_intrinsic(e->unit, "llvm.masked.load", types, 2, args, 4);
  }
  LLVMValueRef value = LLVMBuildLoad2(e->b, type, ptr, "");
  LLVMSetAlignment(value, size);
  return value;
}

static LLVMValueRef tap_factor(fst_emit *e, const window *w, int64_t tap) {
  int64_t at[FST_PLAN_DEPTH];
  size_t mark = fst_emit_scope_open(e);
  tap_numbers(w->product, tap, at);
  for (uint32_t i = 0; i < w->product->depth_count; i++) fst_emit_var_bind(e, w->product->depth[i].var, fst_emit_int(e, at[i]), false);
  LLVMValueRef value = fst_emit_splat(e, fst_side_value(e, &w->product->left), w->p->lanes);
  for (uint32_t i = 0; i < w->product->depth_count; i++) fst_emit_var_unbind(e, w->product->depth[i].var);
  fst_emit_scope_close(e, mark);
  return value;
}

// The next place after `after` that a row reads for one of the taps.
static bool next_place(const window *w, const int64_t *taps, uint32_t count, int64_t after, bool first, int64_t *out) {
  bool found = false;
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t r = 0; r < w->rows; r++) {
      int64_t place = w->offset[taps[i]] + (int64_t)r * w->row_step;
      if ((!first && place <= after) || (found && place >= *out)) continue;
      *out = place;
      found = true;
    }
  return found;
}

// Taps that read a column of places: the same place for a later row of one and an earlier of the other. What is loaded for
// them is used up before the next column.
static void column_run(fst_emit *e, const window *w, const int64_t *taps, uint32_t count, LLVMValueRef *acc) {
  LLVMValueRef factors[WINDOW_TAPS];
  int64_t place = 0;
  bool first = true;
  for (uint32_t i = 0; i < count; i++) factors[i] = tap_factor(e, w, taps[i]);
  while (next_place(w, taps, count, place, first, &place)) {
    first = false;
    LLVMValueRef value = window_load(e, w, place);
    for (uint32_t i = 0; i < count; i++)
      for (uint32_t r = 0; r < w->rows; r++)
        if (w->offset[taps[i]] + (int64_t)r * w->row_step == place) acc[r] = fst_emit_fma(e, factors[i], value, acc[r]);
  }
}

void fst_window_run(fst_emit *e, const fst_plan *p, const fst_panel *panel, uint32_t rows, LLVMValueRef *acc) {
  const fst_product *product = &p->products[0];
  window w = {.p = p, .product = product, .panel = panel, .rows = rows, .taps = taps_of(product)};
  size_t mark = fst_emit_scope_open(e);
  for (uint32_t i = 0; i < rows; i++) acc[i] = LLVMConstNull(fst_emit_vector_type(fst_llvm_value_type(e->unit, product->dtype), p->lanes));
  for (uint32_t i = 0; i < product->still_count; i++) fst_emit_var_bind(e, product->still[i], fst_emit_int(e, 0), false);
  for (uint32_t i = 0; i < product->depth_count; i++) fst_emit_var_bind(e, product->depth[i].var, fst_emit_int(e, 0), false);
  w.start = window_start(e, &w);
  for (uint32_t i = 0; i < product->depth_count; i++) fst_emit_var_unbind(e, product->depth[i].var);
  fst_emit_scope_close(e, mark);
  w.row_step = step_of(e, &w, p->stmt->vars[p->row], 1, false);
  window_offsets(e, &w);
  bool done[WINDOW_TAPS] = {0};
  for (int64_t tap = 0; tap < w.taps; tap++) {
    int64_t taps[WINDOW_TAPS];
    uint32_t count = 0;
    for (int64_t other = tap; other < w.taps && !done[tap]; other++)
      if (w.row_step && (w.offset[other] - w.offset[tap]) % w.row_step == 0 && !done[other]) taps[count++] = other;
    if (!count && !done[tap]) taps[count++] = tap;
    for (uint32_t i = 0; i < count; i++) done[taps[i]] = true;
    if (count) column_run(e, &w, taps, count, acc);
  }
  for (uint32_t i = 0; i < product->still_count; i++) fst_emit_var_unbind(e, product->still[i]);
}
