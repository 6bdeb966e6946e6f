// Tiles: the loops over a sum with all accumulators in registers, and what is done with them afterwards.
//
// Inside the innermost loop there is nothing but loads, spreads and fused multiply-adds. Every operand that a
// pointer can walk gets one before the loop; rows a constant distance apart share one, so that the loop needs few
// registers for addresses.
#include "codegen/contract/contract.h"
#include "codegen/contract/plan.h"

enum { UNROLLED_DEPTH = 8, EPILOGUE_COPIES = 420 };
_Static_assert((int)FST_SPLIT_TAPS <= (int)UNROLLED_DEPTH, "steps through a split copy are known numbers");

typedef struct tile {
  const fst_plan *p;
  const fst_panel *panel;
  uint32_t rows, vectors, lanes;
  LLVMValueRef row;    // the first
  LLVMValueRef *acc;   // [product][row][vector]
} tile;

static LLVMValueRef *tile_acc(const tile *t, uint32_t product, uint32_t row, uint32_t vector) {
  return &t->acc[(t->p->products[product].head * t->rows + row) * t->vectors + vector];
}

static uint32_t var_of(const fst_plan *p, int position) { return p->stmt->vars[position]; }

static LLVMValueRef plus(fst_emit *e, LLVMValueRef a, int64_t b) { return b ? LLVMBuildNSWAdd(e->b, a, fst_emit_int(e, b), "") : a; }

static LLVMValueRef gep(fst_emit *e, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef at) {
  return LLVMBuildInBoundsGEP2(e->b, element, base, &at, 1, "");
}

// ---- sides ----

typedef struct factors_context { const fst_side *side; } factors_context;

static LLVMValueRef factors_value(fst_emit *e, const void *context) {
  const fst_side *side = ((const factors_context *)context)->side;
  fst_dtype dtype = fst_emit_get(e, side->factors[0])->dtype;
  LLVMValueRef value = fst_emit_expr(e, side->factors[0]);
  for (uint32_t i = 1; i < side->count; i++) {
    LLVMValueRef args[] = {value, fst_emit_expr(e, side->factors[i])};
    value = fst_emit_prim(e, FST_PRIM_MUL, dtype, args, 2);
  }
  return value;
}

LLVMValueRef fst_side_value(fst_emit *e, const fst_side *side) {
  factors_context context = {side};
  bool faults = false;
  if (!side->mask.id) return factors_value(e, &context);
  for (uint32_t i = 0; i < side->count; i++) faults |= e->may_fault[side->factors[i].id];
  return fst_emit_where(e, side->mask, fst_emit_get(e, side->factors[0])->dtype, faults, factors_value, &context);
}

// ---- walking pointers ----

static uint32_t inner_of(const fst_product *product) { return product->depth[product->depth_count - 1].var; }

typedef struct walker {
  LLVMValueRef ptr;      // with the innermost summed variable at 0
  LLVMValueRef step;     // bytes per step of it
  LLVMTypeRef type;      // of one element in memory
  fst_dtype dtype;
  bool shared;           // of a left side: rows lie `row_step` bytes apart from one pointer
  int64_t row_step;
  // Of a packed right side: columns of a panel, and elements between a row of one panel and that of the next.
  int64_t panel, panel_pitch;
  LLVMValueRef *vectors; // where each vector begins, if the tile's columns are no whole panels; NULL: all from `ptr`
  const fst_copy *split; // a split copy: steps lead from part to part
  uint32_t inner;        // the innermost summed variable
} walker;

static LLVMValueRef bytes_of(fst_emit *e, LLVMValueRef elements, fst_dtype dtype) {
  return LLVMBuildNSWMul(e->b, elements, fst_emit_int(e, (int64_t)fst_dtype_size(dtype)), "");
}

static fst_step load_step(const fst_emit *e, fst_kx load, uint32_t var) {
  const fst_kx_data *data = fst_emit_get(e, load);
  return fst_emit_access_step(e, data->index, data->args, var);
}

static LLVMValueRef load_offset(fst_emit *e, fst_kx load) {
  const fst_kx_data *data = fst_emit_get(e, load);
  return fst_emit_offset(e, data->index, data->args);
}

// Distance that an unknown step makes: the offset at 1 less the offset at 0.
static LLVMValueRef symbolic_step(fst_emit *e, fst_kx load, uint32_t var, LLVMValueRef at_zero) {
  size_t mark = fst_emit_scope_open(e);
  LLVMValueRef before = e->vars[var];
  e->vars[var] = fst_emit_int(e, 1);
  LLVMValueRef at_one = load_offset(e, load);
  e->vars[var] = before;
  fst_emit_scope_close(e, mark);
  return LLVMBuildSub(e->b, at_one, at_zero, "");
}

static walker memory_walker(fst_emit *e, const tile *t, fst_kx load, uint32_t inner) {
  const fst_kx_data *data = fst_emit_get(e, load);
  walker w = {.dtype = data->dtype, .type = fst_llvm_memory_type(e->unit, data->dtype)};
  size_t mark = fst_emit_scope_open(e);
  LLVMValueRef offset = load_offset(e, load);
  fst_emit_scope_close(e, mark);
  fst_step step = load_step(e, load, inner);
  w.ptr = gep(e, w.type, e->buffers[data->index], offset);
  w.step = bytes_of(e, step.kind == FST_STEP_CONST ? fst_emit_int(e, step.value) : symbolic_step(e, load, inner, offset), w.dtype);
  fst_step row = t->p->row >= 0 ? load_step(e, load, var_of(t->p, t->p->row)) : (fst_step){FST_STEP_CONST, 0};
  w.shared = row.kind == FST_STEP_CONST && t->p->row2 < 0;
  w.row_step = row.value * (int64_t)fst_dtype_size(w.dtype);
  return w;
}

static walker copy_walker(fst_emit *e, const tile *t, const fst_product *product, const fst_leaf *leaf) {
  const fst_copy *c = &t->p->copies[leaf->number];
  uint32_t inner = inner_of(&t->p->products[c->product]);
  walker w = {.dtype = c->dtype, .type = fst_llvm_memory_type(e->unit, c->dtype), .shared = t->p->row2 < 0, .inner = inner};
  w.ptr = fst_copy_pointer(e, t->p, c, product);
  w.step = bytes_of(e, fst_emit_int(e, fst_copy_step(c, inner)), c->dtype);
  if (t->p->row >= 0) w.row_step = fst_copy_step(c, var_of(t->p, t->p->row)) * (int64_t)fst_dtype_size(c->dtype);
  if (c->split > 1) w.split = c;
  return w;
}

// Flat position of the outer summed variables and of the outer variables with a matrix each.
static LLVMValueRef packed_rows(fst_emit *e, const fst_product *product) {
  LLVMValueRef at = fst_emit_int(e, 0);
  for (uint32_t i = 0; i < product->depth_count; i++) {
    at = LLVMBuildNSWMul(e->b, at, fst_emit_int(e, product->depth[i].count), "");
    at = LLVMBuildNSWAdd(e->b, at, e->vars[product->depth[i].var], "");
  }
  return at;
}

static LLVMValueRef packed_batch(fst_emit *e, const tile *t, fst_kx load) {
  LLVMValueRef at = fst_emit_int(e, 0);
  for (uint32_t i = 0; i < t->p->outer_count; i++) {
    uint32_t var = var_of(t->p, (int)t->p->outer[i]);
    if (load_step(e, load, var).value == 0) continue;
    at = LLVMBuildNSWMul(e->b, at, fst_emit_int(e, fst_plan_extent(e, t->p, t->p->outer[i])), "");
    at = LLVMBuildNSWAdd(e->b, at, e->vars[var], "");
  }
  return at;
}

// Elements from the first panel's row to the same row at this column.
static LLVMValueRef packed_column(fst_emit *e, const walker *w, LLVMValueRef column) {
  LLVMValueRef panel = fst_emit_int(e, w->panel), number = LLVMBuildUDiv(e->b, column, panel, "");
  return LLVMBuildNSWAdd(e->b, LLVMBuildNSWMul(e->b, number, fst_emit_int(e, w->panel_pitch), ""), LLVMBuildURem(e->b, column, panel, ""), "");
}

// The packed form's pointer at the summed indices where we are, in its first panel.
static walker packed_start(fst_emit *e, const tile *t, const fst_product *product, const fst_leaf *leaf) {
  const fst_pack *pack = &e->packs.data[leaf->number];
  fst_dtype dtype = fst_emit_get(e, leaf->expr)->dtype;
  walker w = {.dtype = dtype, .type = fst_llvm_memory_type(e->unit, dtype), .shared = true, .panel = pack->panel, .panel_pitch = pack->panel};
  for (uint32_t i = 0; i < pack->depth_count; i++) w.panel_pitch *= pack->depth[i];
  LLVMValueRef at = LLVMBuildNSWMul(e->b, packed_batch(e, t, leaf->expr), fst_emit_int(e, fst_pack_matrix_elements(pack)), "");
  at = LLVMBuildNSWAdd(e->b, at, LLVMBuildNSWMul(e->b, packed_rows(e, product), fst_emit_int(e, w.panel), ""), "");
  w.ptr = gep(e, w.type, gep(e, e->unit->i8, e->packed[pack->buffer], fst_emit_int(e, (int64_t)pack->offset)), at);
  w.step = bytes_of(e, fst_emit_int(e, w.panel), dtype);
  return w;
}

// A row of a left side is a panel.
static walker turned_walker(fst_emit *e, const tile *t, const fst_product *product, const fst_leaf *leaf) {
  walker w = packed_start(e, t, product, leaf);
  w.ptr = gep(e, w.type, w.ptr, LLVMBuildNSWMul(e->b, e->vars[var_of(t->p, t->p->row)], fst_emit_int(e, w.panel_pitch), ""));
  w.row_step = w.panel_pitch * (int64_t)fst_dtype_size(w.dtype);
  return w;
}

static walker packed_walker(fst_emit *e, const tile *t, const fst_product *product, const fst_leaf *leaf) {
  walker w = packed_start(e, t, product, leaf);
  LLVMValueRef start = w.ptr;
  int64_t width = (int64_t)t->p->lanes * t->p->vectors;
  if (width % w.panel == 0) {
    w.ptr = gep(e, w.type, start, LLVMBuildNSWMul(e->b, t->panel->number, fst_emit_int(e, width / w.panel * w.panel_pitch), ""));
    return w;
  }
  w.vectors = FST_NEW_ARRAY(e->arena, LLVMValueRef, t->vectors);
  for (uint32_t v = 0; v < t->vectors; v++) w.vectors[v] = gep(e, w.type, start, packed_column(e, &w, plus(e, t->panel->column, (int64_t)v * t->lanes)));
  return w;
}

static walker staged_walker(fst_emit *e, const tile *t, const fst_product *product) {
  walker w = {.dtype = product->dtype, .type = fst_llvm_memory_type(e->unit, product->dtype), .shared = true};
  LLVMValueRef width = fst_emit_int(e, (int64_t)t->p->lanes * t->p->vectors);
  w.ptr = gep(e, w.type, fst_emit_scratch(e, product->staged), LLVMBuildNSWMul(e->b, packed_rows(e, product), width, ""));
  w.step = bytes_of(e, width, product->dtype);
  return w;
}

// ---- one step of the sum ----

typedef struct step {
  const tile *t;
  const fst_product *product;
  uint32_t number;                              // of the product
  walker left[FST_PLAN_LEAVES][16], right[FST_PLAN_LEAVES];  // left: one for all rows, or one each
} step;

static void row_set(fst_emit *e, const fst_plan *p, LLVMValueRef row) {
  if (p->row < 0) return;
  if (p->row2 >= 0) {
    LLVMValueRef extent = fst_emit_int(e, p->row_extent);
    fst_emit_var_bind(e, var_of(p, p->row2), LLVMBuildUDiv(e->b, row, extent, ""), false);
    row = LLVMBuildURem(e->b, row, extent, "");
  }
  fst_emit_var_bind(e, var_of(p, p->row), row, false);
}

static void row_bind(fst_emit *e, const void *context, uint32_t row) {
  const tile *t = context;
  row_set(e, t->p, plus(e, t->row, row));
}

static void row_unbind(fst_emit *e, const void *context) {
  const tile *t = context;
  if (t->p->row >= 0) fst_emit_var_unbind(e, var_of(t->p, t->p->row));
  if (t->p->row2 >= 0) fst_emit_var_unbind(e, var_of(t->p, t->p->row2));
}

// The lane variable is bound only while something that depends on it is evaluated.
void fst_lanes_enter(fst_emit *e, const fst_plan *p, LLVMValueRef base, LLVMValueRef mask) {
  uint32_t lane = var_of(p, p->lane);
  if (p->lanes > 1) e->lane = (fst_lane_state){lane, p->lanes, base, 1, 0, mask, NULL};
  fst_emit_var_bind(e, lane, base, p->lanes > 1);
}

void fst_lanes_leave(fst_emit *e, const fst_plan *p) {
  fst_emit_var_unbind(e, var_of(p, p->lane));
  e->lane = (fst_lane_state){.var = FST_NO_VAR, .lanes = 1};
}

LLVMValueRef fst_panel_mask(fst_emit *e, const fst_plan *p, const fst_panel *panel, uint32_t vector) {
  if (!panel->left_columns || vector + 1 < panel->vectors || p->lanes == 1) return NULL;
  return fst_emit_tail_mask(e, plus(e, panel->left_columns, -(int64_t)vector * p->lanes), p->lanes);
}

static LLVMValueRef vector_mask(fst_emit *e, const tile *t, uint32_t vector) { return fst_panel_mask(e, t->p, t->panel, vector); }

static void left_walkers(fst_emit *e, step *s) {
  const tile *t = s->t;
  uint32_t inner = inner_of(s->product);
  for (uint32_t i = 0; i < s->product->left.leaf_count; i++) {
    const fst_leaf *leaf = &s->product->left.leaves[i];
    for (uint32_t r = 0; r < t->rows; r++) {
      row_bind(e, t, r);
      switch (leaf->kind) {
        case FST_LEAF_COPY: s->left[i][r] = copy_walker(e, t, s->product, leaf); break;
        case FST_LEAF_PACKED: s->left[i][r] = turned_walker(e, t, s->product, leaf); break;
        default: s->left[i][r] = memory_walker(e, t, leaf->expr, inner); break;
      }
      row_unbind(e, t);
      if (s->left[i][r].shared) break;
    }
  }
}

static void right_walkers(fst_emit *e, step *s) {
  const tile *t = s->t;
  for (uint32_t i = 0; i < s->product->right.leaf_count; i++) {
    const fst_leaf *leaf = &s->product->right.leaves[i];
    if (leaf->kind == FST_LEAF_PACKED || leaf->kind == FST_LEAF_STAGED) {
      s->right[i] = leaf->kind == FST_LEAF_PACKED ? packed_walker(e, t, s->product, leaf) : staged_walker(e, t, s->product);
      continue;
    }
    fst_lanes_enter(e, t->p, t->panel->column, NULL);
    s->right[i] = leaf->kind == FST_LEAF_COPY ? copy_walker(e, t, s->product, leaf) : memory_walker(e, t, leaf->expr, inner_of(s->product));
    fst_lanes_leave(e, t->p);
  }
}

static LLVMValueRef walker_at(fst_emit *e, const walker *w, LLVMValueRef at) {
  if (w->split) return gep(e, w->type, w->ptr, fst_emit_int(e, fst_copy_tap(w->split, w->inner, LLVMConstIntGetSExtValue(at))));
  return gep(e, e->unit->i8, w->ptr, LLVMBuildNSWMul(e->b, at, w->step, ""));
}

static LLVMValueRef left_value(fst_emit *e, const step *s, uint32_t row, LLVMValueRef at) {
  const fst_side *side = &s->product->left;
  LLVMValueRef result = NULL;
  size_t mark = fst_emit_scope_open(e);
  row_bind(e, s->t, row);
  for (uint32_t i = 0; i < side->leaf_count; i++) {
    const walker *w = &s->left[i][0];
    if (!w->shared) w = &s->left[i][row];
    LLVMValueRef ptr = walker_at(e, w, at);
    if (w->shared) ptr = gep(e, e->unit->i8, ptr, fst_emit_int(e, (int64_t)row * w->row_step));
    LLVMValueRef value = fst_emit_load_at(e, w->dtype, ptr);
    if (side->leaves[i].kind == FST_LEAF_COPY) result = value;
    else fst_emit_remember(e, side->leaves[i].expr, value);
  }
  if (!result) result = fst_side_value(e, side);
  row_unbind(e, s->t);
  fst_emit_scope_close(e, mark);
  return result;
}

static LLVMValueRef right_address(fst_emit *e, const walker *w, uint32_t vector, uint32_t lanes, LLVMValueRef at) {
  walker from = *w;
  int64_t column = (int64_t)vector * lanes;
  if (w->vectors) from.ptr = w->vectors[vector];
  LLVMValueRef ptr = walker_at(e, &from, at);
  if (w->vectors) return ptr;
  return gep(e, w->type, ptr, fst_emit_int(e, w->panel ? column / w->panel * w->panel_pitch + column % w->panel : column));
}

static LLVMValueRef right_load(fst_emit *e, const step *s, const walker *w, fst_leaf_kind kind, uint32_t vector, LLVMValueRef at) {
  const tile *t = s->t;
  LLVMTypeRef type = fst_emit_vector_type(w->type, t->lanes);
  unsigned size = (unsigned)fst_dtype_size(w->dtype);
  LLVMValueRef ptr = right_address(e, w, vector, t->lanes, at);
  LLVMValueRef mask = kind == FST_LEAF_MEMORY ? vector_mask(e, t, vector) : NULL, raw;
  if (mask) {
    LLVMTypeRef types[] = {type, e->unit->ptr};
    LLVMValueRef args[] = {ptr, LLVMConstInt(e->unit->i32, size, 0), mask, LLVMConstNull(type)};
    raw = fst_llvm_intrinsic(e->unit, "llvm.masked.load", types, 2, args, 4);
  } else {
    raw = LLVMBuildLoad2(e->b, type, ptr, "");
    LLVMSetAlignment(raw, size);
  }
  return w->dtype == FST_BOOL ? LLVMBuildICmp(e->b, LLVMIntNE, raw, LLVMConstNull(type), "") : raw;
}

static LLVMValueRef right_value(fst_emit *e, const step *s, uint32_t vector, LLVMValueRef at) {
  const tile *t = s->t;
  const fst_side *side = &s->product->right;
  if (side->leaf_count && (side->leaves[0].kind == FST_LEAF_STAGED || side->leaves[0].kind == FST_LEAF_COPY))
    return right_load(e, s, &s->right[0], side->leaves[0].kind, vector, at);
  size_t mark = fst_emit_scope_open(e);
  fst_lanes_enter(e, t->p, plus(e, t->panel->column, (int64_t)vector * t->lanes), vector_mask(e, t, vector));
  for (uint32_t i = 0; i < side->leaf_count; i++)
    fst_emit_remember(e, side->leaves[i].expr, right_load(e, s, &s->right[i], side->leaves[i].kind, vector, at));
  LLVMValueRef value = fst_emit_splat(e, fst_side_value(e, side), t->lanes);
  fst_lanes_leave(e, t->p);
  fst_emit_scope_close(e, mark);
  return value;
}

static void step_emit(fst_emit *e, const step *s, LLVMValueRef at) {
  const tile *t = s->t;
  LLVMValueRef right[16];
  fst_emit_var_bind(e, inner_of(s->product), at, false);
  for (uint32_t v = 0; v < t->vectors; v++) right[v] = right_value(e, s, v, at);
  for (uint32_t r = 0; r < t->rows; r++) {
    LLVMValueRef left = fst_emit_splat(e, left_value(e, s, r, at), t->lanes);
    for (uint32_t v = 0; v < t->vectors; v++) {
      LLVMValueRef *acc = tile_acc(t, s->number, r, v);
      *acc = fst_emit_fma(e, left, right[v], *acc);
    }
  }
  fst_emit_var_unbind(e, inner_of(s->product));
}

// ---- the loops of one group ----

typedef struct group { const tile *t; uint32_t products[FST_PLAN_PRODUCTS], count; } group;

static const fst_product *group_first(const group *g) { return &g->t->p->products[g->products[0]]; }

// Whether an earlier product of the group has the same accumulators.
static bool group_has(const group *g, uint32_t number) {
  for (uint32_t i = 0; i < number; i++)
    if (g->t->p->products[g->products[i]].head == g->t->p->products[g->products[number]].head) return true;
  return false;
}

static uint32_t group_carries(const group *g, LLVMValueRef *out) {
  const tile *t = g->t;
  uint32_t used = 0;
  for (uint32_t i = 0; i < g->count; i++)
    for (uint32_t k = 0; k < t->rows * t->vectors && !group_has(g, i); k++) out[used++] = *tile_acc(t, g->products[i], k / t->vectors, k % t->vectors);
  return used;
}

static void group_take(const group *g, const LLVMValueRef *from) {
  const tile *t = g->t;
  uint32_t used = 0;
  for (uint32_t i = 0; i < g->count; i++)
    for (uint32_t k = 0; k < t->rows * t->vectors && !group_has(g, i); k++) *tile_acc(t, g->products[i], k / t->vectors, k % t->vectors) = from[used++];
}

static LLVMValueRef depth_count_value(fst_emit *e, const fst_depth *depth) {
  return depth->count >= 0 ? fst_emit_int(e, depth->count) : fst_emit_expr(e, depth->extent);
}

static void group_bind(fst_emit *e, const group *g, uint32_t level, LLVMValueRef value) {
  for (uint32_t i = 0; i < g->count; i++) fst_emit_var_bind(e, g->t->p->products[g->products[i]].depth[level].var, value, false);
}

static void group_unbind(fst_emit *e, const group *g, uint32_t level) {
  for (uint32_t i = 0; i < g->count; i++) fst_emit_var_unbind(e, g->t->p->products[g->products[i]].depth[level].var);
}

// ---- the next panel of weights ----
// Where rows are few, a panel is used up before it could be read from memory again: while one is used, the lines of the next are
// fetched, shared out among the tiles that use it.
typedef struct ahead { LLVMValueRef ptr[4], step; uint32_t count; } ahead;

static int64_t tiles_of(const tile *t, const fst_emit *e) {
  int64_t tiles = (t->p->rows + t->p->tile_rows - 1) / t->p->tile_rows;
  for (uint32_t i = 0; i < t->p->inner_count; i++) tiles *= fst_plan_extent(e, t->p, t->p->inner[i]);
  return tiles;
}

static ahead ahead_make(fst_emit *e, const tile *t, const step *s) {
  enum { LEAST_BYTES = 256 << 10, MOST_TILES = 40, LINE = 64 };
  ahead a = {.count = 0};
  const fst_side *side = &s->product->right;
  if (!t->p->packed || side->leaf_count != 1 || side->leaves[0].kind != FST_LEAF_PACKED || t->p->rows < 0 || t->p->row < 0) return a;
  const fst_pack *pack = &e->packs.data[side->leaves[0].number];
  int64_t size = (int64_t)pack->element_bytes, width = (int64_t)t->p->lanes * t->p->vectors, tiles = tiles_of(t, e);
  int64_t lines = width * size / LINE, each = (lines + tiles - 1) / (tiles ? tiles : 1);
  if (fst_pack_matrix_elements(pack) * size < LEAST_BYTES || tiles < 2 || tiles > MOST_TILES || !lines || each > 4 || pack->panel % width) return a;
  const walker *w = &s->right[0];
  LLVMValueRef start = w->vectors ? w->vectors[0] : w->ptr;
  int64_t next = (width == w->panel ? w->panel_pitch : width) * size;
  LLVMValueRef number = LLVMBuildUDiv(e->b, t->row, fst_emit_int(e, t->p->tile_rows), "");
  a.step = w->step;
  for (a.count = 0; a.count < each; a.count++) {
    LLVMValueRef line = LLVMBuildURem(e->b, plus(e, LLVMBuildNSWMul(e->b, number, fst_emit_int(e, each), ""), a.count), fst_emit_int(e, lines), "");
    LLVMValueRef at = plus(e, LLVMBuildNSWMul(e->b, line, fst_emit_int(e, LINE), ""), next);
    a.ptr[a.count] = LLVMBuildGEP2(e->b, e->unit->i8, start, &at, 1, "");
  }
  return a;
}

static void ahead_emit(fst_emit *e, const ahead *a, LLVMValueRef at) {
  for (uint32_t i = 0; i < a->count; i++) {
    LLVMValueRef shift = LLVMBuildNSWMul(e->b, at, a->step, "");
    fst_emit_prefetch(e, LLVMBuildGEP2(e->b, e->unit->i8, a->ptr[i], &shift, 1, ""), false, 2);
  }
}

static void group_innermost(fst_emit *e, const group *g, uint32_t level) {
  const fst_depth *depth = &group_first(g)->depth[level];
  step *steps = FST_NEW_ARRAY(e->arena, step, g->count);
  group_bind(e, g, level, fst_emit_int(e, 0));
  for (uint32_t i = 0; i < g->count; i++) {
    steps[i] = (step){.t = g->t, .product = &g->t->p->products[g->products[i]], .number = g->products[i]};
    left_walkers(e, &steps[i]);
    right_walkers(e, &steps[i]);
  }
  group_unbind(e, g, level);
  if (depth->count >= 0 && depth->count <= UNROLLED_DEPTH) {
    for (int64_t k = 0; k < depth->count; k++)
      for (uint32_t i = 0; i < g->count; i++) step_emit(e, &steps[i], fst_emit_int(e, k));
    return;
  }
  fst_loop loop;
  LLVMValueRef carries[FST_LOOP_MAX_CARRIES];
  uint32_t used = group_carries(g, carries);
  ahead next = g->count == 1 ? ahead_make(e, g->t, &steps[0]) : (ahead){.count = 0};
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), depth_count_value(e, depth), 1, depth->count < 0, carries, used);
  group_take(g, loop.phis);
  ahead_emit(e, &next, loop.iv);
  for (uint32_t i = 0; i < g->count; i++) step_emit(e, &steps[i], loop.iv);
  group_carries(g, carries);
  fst_loop_end(e, &loop, carries);
  group_take(g, carries);
}

static void group_level(fst_emit *e, const group *g, uint32_t level) {
  const fst_depth *depth = &group_first(g)->depth[level];
  if (level + 1 == group_first(g)->depth_count) {
    group_innermost(e, g, level);
    return;
  }
  fst_loop loop;
  LLVMValueRef carries[FST_LOOP_MAX_CARRIES];
  uint32_t used = group_carries(g, carries);
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), depth_count_value(e, depth), 1, depth->count < 0, carries, used);
  group_take(g, loop.phis);
  size_t mark = fst_emit_scope_open(e);
  group_bind(e, g, level, loop.iv);
  group_level(e, g, level + 1);
  group_unbind(e, g, level);
  fst_emit_scope_close(e, mark);
  group_carries(g, carries);
  fst_loop_end(e, &loop, carries);
  group_take(g, carries);
}

static void group_run(fst_emit *e, const tile *t, uint32_t number) {
  group g = {.t = t};
  for (uint32_t i = 0; i < t->p->product_count; i++)
    if (t->p->products[i].group == number) g.products[g.count++] = i;
  size_t mark = fst_emit_scope_open(e);
  for (uint32_t i = 0; i < g.count; i++) {
    const fst_product *product = &t->p->products[g.products[i]];
    for (uint32_t k = 0; k < product->still_count; k++) fst_emit_var_bind(e, product->still[k], fst_emit_int(e, 0), false);
  }
  group_level(e, &g, 0);
  for (uint32_t i = 0; i < g.count; i++)
    for (uint32_t k = 0; k < t->p->products[g.products[i]].still_count; k++) fst_emit_var_unbind(e, t->p->products[g.products[i]].still[k]);
  fst_emit_scope_close(e, mark);
}

// ---- after the sums ----

static void finish_point(fst_emit *e, const tile *t, LLVMValueRef row, LLVMValueRef column, LLVMValueRef mask, const LLVMValueRef *sums) {
  size_t mark = fst_emit_scope_open(e);
  row_set(e, t->p, row);
  fst_lanes_enter(e, t->p, column, mask);
  for (uint32_t i = 0; i < t->p->product_count; i++) fst_emit_remember(e, t->p->products[i].sum, sums[i]);
  fst_emit_stores(e, t->p->stmt);
  fst_lanes_leave(e, t->p);
  row_unbind(e, t);
  fst_emit_scope_close(e, mark);
}

// What stands for a product's own sum when another has it in its accumulators.
static LLVMValueRef product_sum(const tile *t, uint32_t product, LLVMValueRef acc) {
  return t->p->products[product].head == product ? acc : LLVMConstNull(LLVMTypeOf(acc));
}

static void finish_straight(fst_emit *e, const tile *t) {
  LLVMValueRef sums[FST_PLAN_PRODUCTS];
  for (uint32_t r = 0; r < t->rows; r++)
    for (uint32_t v = 0; v < t->vectors; v++) {
      for (uint32_t i = 0; i < t->p->product_count; i++) sums[i] = product_sum(t, i, *tile_acc(t, i, r, v));
      finish_point(e, t, plus(e, t->row, r), plus(e, t->panel->column, (int64_t)v * t->lanes), vector_mask(e, t, v), sums);
    }
}

// A long epilogue is emitted once, in a loop over the tile's vectors, which go through memory.
static void finish_looped(fst_emit *e, const tile *t) {
  uint32_t each = t->rows * t->vectors;
  LLVMTypeRef types[FST_PLAN_PRODUCTS];
  LLVMValueRef slots[FST_PLAN_PRODUCTS], sums[FST_PLAN_PRODUCTS];
  for (uint32_t i = 0; i < t->p->product_count; i++) {
    types[i] = LLVMTypeOf(*tile_acc(t, i, 0, 0));
    if (t->p->products[i].head != i) continue;
    slots[i] = fst_emit_alloca(e, LLVMArrayType2(types[i], each), 64);
    for (uint32_t k = 0; k < each; k++)
      LLVMBuildStore(e->b, *tile_acc(t, i, k / t->vectors, k % t->vectors), gep(e, types[i], slots[i], fst_emit_int(e, k)));
  }
  fst_loop rows, vectors;
  fst_loop_begin(e, &rows, fst_emit_int(e, 0), fst_emit_int(e, t->rows), 1, false, NULL, 0);
  fst_loop_begin(e, &vectors, fst_emit_int(e, 0), fst_emit_int(e, t->vectors), 1, false, NULL, 0);
  LLVMValueRef at = LLVMBuildAdd(e->b, LLVMBuildMul(e->b, rows.iv, fst_emit_int(e, t->vectors), ""), vectors.iv, "");
  for (uint32_t i = 0; i < t->p->product_count; i++)
    sums[i] = t->p->products[i].head == i ? LLVMBuildLoad2(e->b, types[i], gep(e, types[i], slots[i], at), "") : LLVMConstNull(types[i]);
  LLVMValueRef shift = LLVMBuildMul(e->b, vectors.iv, fst_emit_int(e, t->lanes), ""), mask = NULL;
  if (t->panel->left_columns && t->lanes > 1) {
    // Whole vectors have more columns left than lanes; the comparison is in 32 bits, so bound them.
    LLVMValueRef left = LLVMBuildSub(e->b, t->panel->left_columns, shift, ""), whole = fst_emit_int(e, t->lanes);
    left = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, left, whole, ""), whole, left, "");
    mask = fst_emit_tail_mask(e, left, t->lanes);
  }
  finish_point(e, t, LLVMBuildAdd(e->b, t->row, rows.iv, ""), LLVMBuildAdd(e->b, t->panel->column, shift, ""), mask, sums);
  fst_loop_end(e, &vectors, NULL);
  fst_loop_end(e, &rows, NULL);
}

static uint32_t epilogue_weight(const fst_emit *e, const fst_plan *p) {
  uint32_t weight = 0;
  for (uint32_t i = 0; i < p->root_count; i++) weight += fst_emit_weight(e, p->roots[i]);
  for (uint32_t i = 0; i < p->product_count; i++) {
    uint32_t own = fst_emit_weight(e, p->products[i].sum);
    weight -= own < weight ? own : weight;
  }
  return weight;
}

static void tile_run(fst_emit *e, const fst_plan *p, const fst_panel *panel, uint32_t rows, LLVMValueRef row) {
  tile t = {p, panel, rows, panel->vectors, p->lanes, row, NULL};
  t.acc = FST_NEW_ARRAY(e->arena, LLVMValueRef, p->product_count * rows * panel->vectors);
  fst_fetch_results(e, p, panel, rows, row_bind, row_unbind, &t);
  if (p->window) {
    row_bind(e, &t, 0);
    fst_window_run(e, p, panel, rows, t.acc);
    row_unbind(e, &t);
  }
  for (uint32_t i = 0; i < p->product_count; i++)
    for (uint32_t k = 0; k < rows * t.vectors && !p->window; k++)
      *tile_acc(&t, i, k / t.vectors, k % t.vectors) = LLVMConstNull(fst_emit_vector_type(fst_llvm_value_type(e->unit, p->products[i].dtype), t.lanes));
  for (uint32_t i = 0; i < p->group_count && !p->window; i++) group_run(e, &t, i);
  fst_emit_constants_far(e, p->far_constants);
  if (epilogue_weight(e, p) * rows * panel->vectors > EPILOGUE_COPIES) finish_looped(e, &t);
  else finish_straight(e, &t);
  fst_emit_constants_far(e, false);
}

// ---- rows and panels ----

static void rows_range(fst_emit *e, const fst_plan *p, const fst_panel *n, LLVMValueRef start, LLVMValueRef end, uint32_t rows, bool guarded) {
  fst_loop loop;
  fst_loop_begin(e, &loop, start, end, rows, guarded, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  tile_run(e, p, n, rows, loop.iv);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

static void rows_run(fst_emit *e, const fst_plan *p, const fst_panel *n) {
  LLVMValueRef zero = fst_emit_int(e, 0);
  if (p->rows >= 0) {
    int64_t full = p->rows / p->tile_rows * p->tile_rows;
    if (full == p->tile_rows) tile_run(e, p, n, p->tile_rows, zero);
    else if (full) rows_range(e, p, n, zero, fst_emit_int(e, full), p->tile_rows, false);
    if (p->rows > full) tile_run(e, p, n, (uint32_t)(p->rows - full), fst_emit_int(e, full));
    return;
  }
  LLVMValueRef count = fst_emit_expr(e, p->stmt->extents[p->row]);
  LLVMValueRef rest = LLVMBuildURem(e->b, count, fst_emit_int(e, p->tile_rows), ""), full = LLVMBuildSub(e->b, count, rest, "");
  rows_range(e, p, n, zero, full, p->tile_rows, true);
  if (p->tile_rows > 1) rows_range(e, p, n, full, count, 1, true);
}

static LLVMValueRef position_count(fst_emit *e, const fst_plan *p, uint32_t position) {
  int64_t known = fst_plan_extent(e, p, position);
  return known >= 0 ? fst_emit_int(e, known) : fst_emit_expr(e, p->stmt->extents[position]);
}

static void inner_run(fst_emit *e, const fst_plan *p, const fst_panel *n, uint32_t level) {
  if (level == p->inner_count) {
    rows_run(e, p, n);
    return;
  }
  fst_loop loop;
  uint32_t position = p->inner[level];
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), position_count(e, p, position), 1, fst_plan_extent(e, p, position) < 0, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, var_of(p, (int)position), loop.iv, false);
  inner_run(e, p, n, level + 1);
  fst_emit_var_unbind(e, var_of(p, (int)position));
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

static void panel_run(fst_emit *e, const fst_plan *p, const fst_panel *n) {
  for (uint32_t i = 0; i < p->product_count; i++)
    if (p->products[i].right.leaf_count && p->products[i].right.leaves[0].kind == FST_LEAF_STAGED) fst_stage_emit(e, p, &p->products[i], n);
  inner_run(e, p, n, 0);
}

static void panels_range(fst_emit *e, const fst_plan *p, LLVMValueRef start, LLVMValueRef end, uint32_t vectors, bool guarded, bool masked) {
  fst_loop loop;
  int64_t width = (int64_t)vectors * p->lanes;
  fst_loop_begin(e, &loop, start, end, width, guarded, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_panel n = {vectors, loop.iv, LLVMBuildUDiv(e->b, loop.iv, fst_emit_int(e, width), ""), masked ? LLVMBuildSub(e->b, end, loop.iv, "") : NULL};
  panel_run(e, p, &n);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

static void panels_known(fst_emit *e, const fst_plan *p) {
  int64_t width = (int64_t)p->vectors * p->lanes, full = p->columns / width * width, rest = p->columns - full;
  if (full) panels_range(e, p, fst_emit_int(e, 0), fst_emit_int(e, full), p->vectors, false, false);
  if (!rest) return;
  uint32_t vectors = (uint32_t)((rest + p->lanes - 1) / p->lanes);
  fst_panel n = {vectors, fst_emit_int(e, full), fst_emit_int(e, full / width), rest % p->lanes ? fst_emit_int(e, rest) : NULL};
  panel_run(e, p, &n);
}

// Of an unknown number of columns the last, incomplete panel is done vector by vector.
static void panels_unknown(fst_emit *e, const fst_plan *p) {
  LLVMValueRef count = fst_emit_expr(e, p->stmt->extents[p->lane]), width = fst_emit_int(e, (int64_t)p->vectors * p->lanes);
  LLVMValueRef full = LLVMBuildSub(e->b, count, LLVMBuildURem(e->b, count, width, ""), "");
  panels_range(e, p, fst_emit_int(e, 0), full, p->vectors, true, false);
  fst_loop loop;
  fst_loop_begin(e, &loop, full, count, p->lanes, true, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  LLVMValueRef left = LLVMBuildSub(e->b, count, loop.iv, ""), whole = fst_emit_int(e, p->lanes);
  left = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, left, whole, ""), whole, left, "");
  fst_panel n = {1, loop.iv, fst_emit_int(e, 0), left};
  panel_run(e, p, &n);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

static void outer_run(fst_emit *e, const fst_plan *p, uint32_t level) {
  for (uint32_t i = 0; i < p->root_count; i++) fst_emit_hoist(e, p->roots[i], p->conditional);
  for (uint32_t i = 0; i < p->copy_count; i++)
    if (p->copies[i].level == level) fst_copy_emit(e, p, &p->copies[i]);
  if (level == p->outer_count) {
    if (p->columns >= 0) panels_known(e, p);
    else panels_unknown(e, p);
    return;
  }
  fst_loop loop;
  uint32_t position = p->outer[level];
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), position_count(e, p, position), 1, fst_plan_extent(e, p, position) < 0, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, var_of(p, (int)position), loop.iv, false);
  outer_run(e, p, level + 1);
  fst_emit_var_unbind(e, var_of(p, (int)position));
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

bool fst_contract_emit(fst_emit *e, const fst_kstmt *stmt) {
  fst_plan *p = FST_NEW(e->arena, fst_plan);
  if (!fst_plan_make(e, stmt, p)) return false;
  for (uint32_t i = 0; i < stmt->var_count; i++)
    if (fst_plan_extent(e, p, i) == 0) return true;  // no point at all
  for (uint32_t i = 0; i < stmt->var_count; i++)
    if (p->merged[i]) fst_emit_var_bind(e, stmt->vars[i], fst_emit_int(e, 0), false);
  outer_run(e, p, 0);
  for (uint32_t i = 0; i < stmt->var_count; i++)
    if (p->merged[i]) fst_emit_var_unbind(e, stmt->vars[i]);
  return true;
}
