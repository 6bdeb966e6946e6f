// Right sides whose columns do not lie side by side: one panel of them at a time is brought into scratch memory
// in the order in which tiles read it. Every row of the statement uses it from there.
//
// Usually the summed index is the one that walks memory evenly (keys of attention, weights that are not
// constant): then blocks of as many steps as there are lanes are read along it and turned in registers.
#include "codegen/contract/plan.h"

enum { STAGE_LEAST_ROWS = 4, STAGE_MAX_BYTES = 1 << 26 };

static int64_t rows_served(const fst_emit *e, const fst_plan *p) {
  int64_t rows = p->rows;
  for (uint32_t i = 0; i < p->inner_count && rows >= 0; i++) rows *= fst_plan_extent(e, p, p->inner[i]);
  return rows;
}

bool fst_stage_make(fst_emit *e, const fst_plan *p, fst_product *product) {
  int64_t elements = (int64_t)p->lanes * p->vectors, rows = rows_served(e, p);
  if (rows >= 0 && rows < STAGE_LEAST_ROWS) return false;
  for (uint32_t i = 0; i < product->depth_count; i++) {
    if (product->depth[i].count < 1) return false;
    elements *= product->depth[i].count;
    if (elements > STAGE_MAX_BYTES / 8) return false;
  }
  product->staged = (e->scratch_bytes + 63) / 64 * 64;
  e->scratch_bytes = product->staged + (uint64_t)elements * fst_dtype_size(product->dtype);
  product->right.leaf_count = 1;
  product->right.leaves[0] = (fst_leaf){FST_LEAF_STAGED, FST_NO_KX, 0};
  return true;
}

typedef struct stage {
  const fst_plan *p;
  const fst_product *product;
  const fst_panel *panel;
  LLVMValueRef row;      // flat position of the summed variables bound so far
} stage;

static const fst_depth *innermost(const stage *s) { return &s->product->depth[s->product->depth_count - 1]; }

static LLVMValueRef stage_ptr(fst_emit *e, const stage *s, LLVMValueRef row, uint32_t vector) {
  LLVMValueRef at = LLVMBuildNSWMul(e->b, row, fst_emit_int(e, (int64_t)s->p->lanes * s->p->vectors), "");
  at = LLVMBuildNSWAdd(e->b, at, fst_emit_int(e, (int64_t)vector * s->p->lanes), "");
  return fst_emit_element_ptr(e, fst_emit_scratch(e, s->product->staged), s->product->dtype, at);
}

static void stage_store(fst_emit *e, const stage *s, LLVMValueRef row, uint32_t vector, LLVMValueRef value) {
  LLVMSetAlignment(LLVMBuildStore(e->b, value, stage_ptr(e, s, row, vector)), (unsigned)fst_dtype_size(s->product->dtype));
}

static LLVMValueRef vector_column(fst_emit *e, const stage *s, uint32_t vector) {
  return LLVMBuildNSWAdd(e->b, s->panel->column, fst_emit_int(e, (int64_t)vector * s->p->lanes), "");
}

// ---- one summed index at a time ----

static void stage_point(fst_emit *e, const stage *s, LLVMValueRef inner) {
  LLVMValueRef row = LLVMBuildNSWAdd(e->b, LLVMBuildNSWMul(e->b, s->row, fst_emit_int(e, innermost(s)->count), ""), inner, "");
  fst_emit_var_bind(e, innermost(s)->var, inner, false);
  for (uint32_t v = 0; v < s->panel->vectors; v++) {
    size_t mark = fst_emit_scope_open(e);
    fst_lanes_enter(e, s->p, vector_column(e, s, v), fst_panel_mask(e, s->p, s->panel, v));
    LLVMValueRef value = fst_emit_splat(e, fst_side_value(e, &s->product->right), s->p->lanes);
    fst_lanes_leave(e, s->p);
    fst_emit_scope_close(e, mark);
    stage_store(e, s, row, v, value);
  }
  fst_emit_var_unbind(e, innermost(s)->var);
}

static void stage_points(fst_emit *e, const stage *s, int64_t from) {
  fst_loop loop;
  if (from >= innermost(s)->count) return;
  fst_loop_begin(e, &loop, fst_emit_int(e, from), fst_emit_int(e, innermost(s)->count), 1, false, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  stage_point(e, s, loop.iv);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

// ---- blocks ----

// A plain load whose summed index is a step of one element, in whole vectors of columns.
static bool may_turn(const fst_emit *e, const stage *s) {
  const fst_side *side = &s->product->right;
  if (side->mask.id || side->count != 1 || s->panel->left_columns) return false;
  const fst_kx_data *data = fst_emit_get(e, side->factors[0]);
  if (data->kind != FST_KX_LOAD || data->dtype != s->product->dtype || innermost(s)->count < s->p->lanes) return false;
  fst_step inner = fst_emit_access_step(e, data->index, data->args, innermost(s)->var);
  fst_step column = fst_emit_access_step(e, data->index, data->args, s->p->stmt->vars[s->p->lane]);
  return inner.kind == FST_STEP_CONST && inner.value == 1 && column.kind != FST_STEP_NONE;
}

// Swaps what two vectors hold at distance `width` across the diagonal of each 2*width block.
static void turn_pair(fst_emit *e, LLVMValueRef *a, LLVMValueRef *b, uint32_t lanes, uint32_t width) {
  LLVMValueRef low[FST_EMIT_MAX_LANES], high[FST_EMIT_MAX_LANES];
  for (uint32_t i = 0; i < lanes; i++) {
    bool upper = i & width;
    low[i] = LLVMConstInt(e->unit->i32, upper ? lanes + i - width : i, 0);
    high[i] = LLVMConstInt(e->unit->i32, upper ? lanes + i : i + width, 0);
  }
  LLVMValueRef first = LLVMBuildShuffleVector(e->b, *a, *b, LLVMConstVector(low, lanes), "");
  *b = LLVMBuildShuffleVector(e->b, *a, *b, LLVMConstVector(high, lanes), "");
  *a = first;
}

static void turn(fst_emit *e, LLVMValueRef *rows, uint32_t lanes) {
  for (uint32_t width = lanes / 2; width > 0; width /= 2)
    for (uint32_t i = 0; i < lanes; i++)
      if (!(i & width)) turn_pair(e, &rows[i], &rows[i + width], lanes, width);
}

static void stage_block(fst_emit *e, const stage *s, LLVMValueRef inner, uint32_t vector) {
  uint32_t lanes = s->p->lanes, lane = s->p->stmt->vars[s->p->lane];
  const fst_kx_data *load = fst_emit_get(e, s->product->right.factors[0]);
  LLVMValueRef columns[FST_EMIT_MAX_LANES], first = vector_column(e, s, vector);
  fst_emit_var_bind(e, innermost(s)->var, inner, false);
  for (uint32_t i = 0; i < lanes; i++) {
    size_t mark = fst_emit_scope_open(e);
    fst_emit_var_bind(e, lane, LLVMBuildNSWAdd(e->b, first, fst_emit_int(e, i), ""), false);
    LLVMValueRef ptr = fst_emit_element_ptr(e, e->buffers[load->index], load->dtype, fst_emit_offset(e, load->index, load->args));
    columns[i] = LLVMBuildLoad2(e->b, LLVMVectorType(fst_llvm_memory_type(e->unit, load->dtype), lanes), ptr, "");
    LLVMSetAlignment(columns[i], (unsigned)fst_dtype_size(load->dtype));
    fst_emit_var_unbind(e, lane);
    fst_emit_scope_close(e, mark);
  }
  fst_emit_var_unbind(e, innermost(s)->var);
  turn(e, columns, lanes);
  LLVMValueRef row = LLVMBuildNSWAdd(e->b, LLVMBuildNSWMul(e->b, s->row, fst_emit_int(e, innermost(s)->count), ""), inner, "");
  for (uint32_t i = 0; i < lanes; i++) stage_store(e, s, LLVMBuildNSWAdd(e->b, row, fst_emit_int(e, i), ""), vector, columns[i]);
}

static void stage_blocks(fst_emit *e, const stage *s) {
  fst_loop loop;
  int64_t full = innermost(s)->count / s->p->lanes * s->p->lanes;
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), fst_emit_int(e, full), s->p->lanes, false, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  for (uint32_t v = 0; v < s->panel->vectors; v++) stage_block(e, s, loop.iv, v);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
  stage_points(e, s, full);
}

static void stage_level(fst_emit *e, stage *s, uint32_t level) {
  if (level + 1 == s->product->depth_count) {
    if (may_turn(e, s)) stage_blocks(e, s);
    else stage_points(e, s, 0);
    return;
  }
  fst_loop loop;
  const fst_depth *depth = &s->product->depth[level];
  LLVMValueRef outer = s->row;
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), fst_emit_int(e, depth->count), 1, false, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, depth->var, loop.iv, false);
  s->row = LLVMBuildNSWAdd(e->b, LLVMBuildNSWMul(e->b, outer, fst_emit_int(e, depth->count), ""), loop.iv, "");
  stage_level(e, s, level + 1);
  s->row = outer;
  fst_emit_var_unbind(e, depth->var);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

void fst_stage_emit(fst_emit *e, const fst_plan *p, const fst_product *product, const fst_panel *panel) {
  stage s = {p, product, panel, fst_emit_int(e, 0)};
  size_t mark = fst_emit_scope_open(e);
  for (uint32_t i = 0; i < product->still_count; i++) fst_emit_var_bind(e, product->still[i], fst_emit_int(e, 0), false);
  stage_level(e, &s, 0);
  for (uint32_t i = 0; i < product->still_count; i++) fst_emit_var_unbind(e, product->still[i]);
  fst_emit_scope_close(e, mark);
}
