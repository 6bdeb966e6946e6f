// SORT (stable, NaN last) and COMPACT: statements whose points are not independent.
//
// Rows are sorted where they are stored, by heap sort: no memory of its own, never worse than n log n. It becomes
// stable because equal keys are ordered by position, which is stored beside them.
#include "codegen/llvm/emit.h"

typedef struct sorter {
  const fst_kstmt *stmt;
  fst_dtype dtype;       // of the keys
  bool has_positions;
} sorter;

typedef struct cell { LLVMValueRef key, position; } cell;

static LLVMValueRef cell_ptr(fst_emit *e, const sorter *s, uint32_t store, LLVMValueRef at) {
  const fst_kstore *st = &s->stmt->stores[store];
  uint32_t var = s->stmt->vars[s->stmt->var_count - 1];
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, var, at, false);
  LLVMValueRef offset = fst_emit_offset(e, st->buffer, st->indices);
  fst_emit_var_unbind(e, var);
  fst_emit_scope_close(e, mark);
  return fst_emit_element_ptr(e, e->buffers[st->buffer], e->kernel->buffers.data[st->buffer].dtype, offset);
}

static cell cell_load(fst_emit *e, const sorter *s, LLVMValueRef at) {
  cell c = {fst_emit_load_at(e, s->dtype, cell_ptr(e, s, 0, at)), NULL};
  if (s->has_positions) c.position = fst_emit_load_at(e, FST_I64, cell_ptr(e, s, 1, at));
  return c;
}

static void cell_store(fst_emit *e, const sorter *s, LLVMValueRef at, cell c) {
  fst_emit_store_at(e, s->dtype, cell_ptr(e, s, 0, at), c.key);
  if (s->has_positions) fst_emit_store_at(e, FST_I64, cell_ptr(e, s, 1, at), c.position);
}

// a < b with NaN above every number.
static LLVMValueRef key_less(fst_emit *e, fst_dtype dtype, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef pair[] = {a, b}, first[] = {a, a}, second[] = {b, b};
  LLVMValueRef less = fst_emit_prim(e, FST_PRIM_LT, dtype, pair, 2);
  if (!fst_dtype_is_float(dtype)) return less;
  LLVMValueRef ordered = fst_emit_prim(e, FST_PRIM_EQ, dtype, first, 2), is_nan = fst_emit_prim(e, FST_PRIM_NE, dtype, second, 2);
  return LLVMBuildOr(e->b, less, LLVMBuildAnd(e->b, ordered, is_nan, ""), "");
}

static LLVMValueRef cell_before(fst_emit *e, const sorter *s, cell a, cell b) {
  bool down = s->stmt->descending;
  LLVMValueRef before = key_less(e, s->dtype, down ? b.key : a.key, down ? a.key : b.key);
  if (!s->has_positions) return before;
  LLVMValueRef after = key_less(e, s->dtype, down ? a.key : b.key, down ? b.key : a.key);
  LLVMValueRef earlier = LLVMBuildICmp(e->b, LLVMIntSLT, a.position, b.position, "");
  LLVMValueRef tie = LLVMBuildAnd(e->b, LLVMBuildNot(e->b, after, ""), earlier, "");
  return LLVMBuildOr(e->b, before, tie, "");
}

static LLVMValueRef phi_of(fst_emit *e, LLVMTypeRef type, LLVMValueRef value, LLVMBasicBlockRef from) {
  LLVMValueRef phi = LLVMBuildPhi(e->b, type, "");
  LLVMAddIncoming(phi, &value, &from, 1);
  return phi;
}

// Of the children `left` and `left + 1` (which exists if below `end`) the one that comes later.
static LLVMValueRef later_child(fst_emit *e, const sorter *s, LLVMValueRef left, LLVMValueRef end) {
  LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b), both = fst_emit_block(e, "both"), join = fst_emit_block(e, "child");
  LLVMValueRef right = LLVMBuildAdd(e->b, left, fst_emit_int(e, 1), "");
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, right, end, ""), both, join);
  LLVMPositionBuilderAtEnd(e->b, both);
  LLVMValueRef before = cell_before(e, s, cell_load(e, s, left), cell_load(e, s, right));
  LLVMValueRef chosen = LLVMBuildSelect(e->b, before, right, left, "");
  LLVMBasicBlockRef both_end = LLVMGetInsertBlock(e->b);
  LLVMBuildBr(e->b, join);
  LLVMPositionBuilderAtEnd(e->b, join);
  LLVMValueRef phi = phi_of(e, e->unit->i64, left, here);
  LLVMAddIncoming(phi, &chosen, &both_end, 1);
  return phi;
}

// Puts `held` into the heap below `root`, whose cell is free: children that come later move up.
static void sift(fst_emit *e, const sorter *s, LLVMValueRef root, LLVMValueRef end, cell held) {
  LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), test = fst_emit_block(e, "sift"), inner = fst_emit_block(e, "children");
  LLVMBasicBlockRef move = fst_emit_block(e, "move"), done = fst_emit_block(e, "placed");
  LLVMBuildBr(e->b, test);
  LLVMPositionBuilderAtEnd(e->b, test);
  LLVMValueRef hole = phi_of(e, e->unit->i64, root, before);
  LLVMValueRef left = LLVMBuildAdd(e->b, LLVMBuildShl(e->b, hole, fst_emit_int(e, 1), ""), fst_emit_int(e, 1), "");
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, left, end, ""), inner, done);
  LLVMPositionBuilderAtEnd(e->b, inner);
  LLVMValueRef child = later_child(e, s, left, end);
  cell c = cell_load(e, s, child);
  LLVMBuildCondBr(e->b, cell_before(e, s, held, c), move, done);
  LLVMPositionBuilderAtEnd(e->b, move);
  cell_store(e, s, hole, c);
  LLVMAddIncoming(hole, &child, &move, 1);
  LLVMBuildBr(e->b, test);
  LLVMPositionBuilderAtEnd(e->b, done);
  cell_store(e, s, hole, held);
}

static void fill_row(fst_emit *e, const sorter *s, LLVMValueRef count) {
  uint32_t var = s->stmt->vars[s->stmt->var_count - 1];
  fst_loop loop;
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), count, 1, true, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, var, loop.iv, false);
  LLVMValueRef key = fst_emit_expr(e, s->stmt->stores[0].value);
  LLVMValueRef position = s->has_positions ? fst_emit_expr(e, s->stmt->stores[1].value) : NULL;
  fst_emit_var_unbind(e, var);
  fst_emit_scope_close(e, mark);
  cell_store(e, s, loop.iv, (cell){key, position});
  fst_loop_end(e, &loop, NULL);
}

static void sort_row(fst_emit *e, const sorter *s) {
  LLVMValueRef count = fst_emit_expr(e, s->stmt->extents[s->stmt->var_count - 1]), zero = fst_emit_int(e, 0), one = fst_emit_int(e, 1);
  fst_loop loop;
  fill_row(e, s, count);
  // Build the heap from its last parent to the root.
  LLVMValueRef parents = LLVMBuildAShr(e->b, count, one, "");
  fst_loop_begin(e, &loop, zero, parents, 1, true, NULL, 0);
  LLVMValueRef root = LLVMBuildSub(e->b, LLVMBuildSub(e->b, parents, one, ""), loop.iv, "");
  sift(e, s, root, count, cell_load(e, s, root));
  fst_loop_end(e, &loop, NULL);
  // Take the last in order from the root to the end, again and again.
  LLVMValueRef last = LLVMBuildSub(e->b, count, one, "");
  fst_loop_begin(e, &loop, zero, last, 1, true, NULL, 0);
  LLVMValueRef end = LLVMBuildSub(e->b, last, loop.iv, "");
  cell held = cell_load(e, s, end);
  cell_store(e, s, end, cell_load(e, s, zero));
  sift(e, s, zero, end, held);
  fst_loop_end(e, &loop, NULL);
}

// One loop around another for all variables but the last `inner`.
static void rows_loop(fst_emit *e, const fst_kstmt *stmt, uint32_t level, uint32_t inner, void (*body)(fst_emit *, void *), void *context) {
  if (level + inner == stmt->var_count) {
    body(e, context);
    return;
  }
  fst_loop loop;
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), fst_emit_expr(e, stmt->extents[level]), 1, true, NULL, 0);
  size_t mark = fst_emit_scope_open(e);
  fst_emit_var_bind(e, stmt->vars[level], loop.iv, false);
  rows_loop(e, stmt, level + 1, inner, body, context);
  fst_emit_var_unbind(e, stmt->vars[level]);
  fst_emit_scope_close(e, mark);
  fst_loop_end(e, &loop, NULL);
}

static void sort_body(fst_emit *e, void *context) { sort_row(e, context); }

void fst_emit_sort(fst_emit *e, const fst_kstmt *stmt) {
  sorter s = {stmt, e->kernel->buffers.data[stmt->stores[0].buffer].dtype, stmt->store_count > 1};
  rows_loop(e, stmt, 0, 1, sort_body, &s);
}

// ---- COMPACT ----

typedef struct compactor { const fst_kstmt *stmt; LLVMValueRef found; } compactor;

static void compact_body(fst_emit *e, void *context) {
  const compactor *c = context;
  const fst_kstmt *stmt = c->stmt;
  LLVMBasicBlockRef keep = fst_emit_block(e, "keep"), next = fst_emit_block(e, "next");
  LLVMBuildCondBr(e->b, fst_emit_expr(e, stmt->condition), keep, next);
  LLVMPositionBuilderAtEnd(e->b, keep);
  size_t mark = fst_emit_scope_open(e);
  LLVMValueRef found = LLVMBuildLoad2(e->b, e->unit->i64, c->found, "");
  if (stmt->carry_count) fst_emit_var_bind(e, stmt->carries[0], found, false);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    const fst_kstore *store = &stmt->stores[i];
    fst_dtype dtype = e->kernel->buffers.data[store->buffer].dtype;
    LLVMValueRef value = fst_emit_expr(e, store->value);
    fst_emit_store_at(e, dtype, fst_emit_element_ptr(e, e->buffers[store->buffer], dtype, fst_emit_offset(e, store->buffer, store->indices)), value);
  }
  if (stmt->carry_count) fst_emit_var_unbind(e, stmt->carries[0]);
  fst_emit_scope_close(e, mark);
  LLVMBuildStore(e->b, LLVMBuildAdd(e->b, found, fst_emit_int(e, 1), ""), c->found);
  LLVMBuildBr(e->b, next);
  LLVMPositionBuilderAtEnd(e->b, next);
}

// The number found so far is the value of the statement's carried variable, where it has one.
void fst_emit_compact(fst_emit *e, const fst_kstmt *stmt) {
  compactor c = {stmt, fst_emit_alloca(e, e->unit->i64, 8)};
  LLVMBuildStore(e->b, fst_emit_int(e, 0), c.found);
  rows_loop(e, stmt, 0, 0, compact_body, &c);
  fst_emit_store_at(e, FST_I64, e->buffers[stmt->count_buffer], LLVMBuildLoad2(e->b, e->unit->i64, c.found, ""));
}
