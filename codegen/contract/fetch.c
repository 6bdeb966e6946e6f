// What a tile will want from memory that no prefetcher of the machine foresees: the lines of its results, and of what they are
// added to, before the sums begin.
#include "codegen/contract/plan.h"

enum { FETCH_LEAST_STEPS = 48, FETCH_MOST_LINES = 64 };

// What the second cache may still hold is not worth an instruction.
static bool is_large(const fst_emit *e, const fst_plan *p, uint32_t buffer) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  int64_t bytes = (int64_t)fst_dtype_size(data->dtype), size;
  for (uint32_t d = 0; d < data->rank; d++) bytes *= fst_emit_const(e, data->sizes[d], &size) ? size : 0;
  return bytes > 2 * p->target->l2_bytes;
}

static bool is_fetched(const fst_emit *e, const fst_plan *p, const fst_access *access) {
  if (!is_large(e, p, access->buffer)) return false;
  fst_step step = fst_emit_access_step(e, access->buffer, access->indices, p->stmt->vars[p->lane]);
  bool known = e->constants && e->constants[access->buffer];
  return !access->depth && !known && step.kind == FST_STEP_CONST && step.value == 1;
}

static void fetch_access(fst_emit *e, const fst_plan *p, const fst_panel *panel, const fst_access *access) {
  for (uint32_t v = 0; v < panel->vectors; v++) {
    size_t mark = fst_emit_scope_open(e);
    LLVMValueRef column = LLVMBuildNSWAdd(e->b, panel->column, fst_emit_int(e, (int64_t)v * p->lanes), "");
    fst_lanes_enter(e, p, column, NULL);
    LLVMValueRef at = fst_emit_offset(e, access->buffer, access->indices);
    LLVMValueRef ptr = LLVMBuildGEP2(e->b, fst_llvm_memory_type(e->unit, e->kernel->buffers.data[access->buffer].dtype), e->buffers[access->buffer], &at, 1, "");
    fst_emit_prefetch(e, ptr, access->is_store, 1);
    fst_lanes_leave(e, p);
    fst_emit_scope_close(e, mark);
  }
}

void fst_fetch_results(fst_emit *e, const fst_plan *p, const fst_panel *panel, uint32_t rows, void (*bind)(fst_emit *e, const void *tile, uint32_t row), void (*unbind)(fst_emit *e, const void *tile), const void *tile) {
  double steps = 0;
  fst_accesses accesses = {0};
  for (uint32_t i = 0; i < p->product_count; i++) steps += fst_plan_steps(&p->products[i]);
  if (steps < FETCH_LEAST_STEPS) return;
  fst_emit_accesses(e, p->roots, p->root_count, &accesses);
  for (uint32_t i = 0; i < p->stmt->store_count; i++) {
    fst_access access = {p->stmt->stores[i].buffer, p->stmt->stores[i].indices, FST_NO_KX, 0, true};
    fst_vec_push(&accesses, access);
  }
  uint32_t lines = 0;
  for (size_t i = 0; i < accesses.len; i++) lines += is_fetched(e, p, &accesses.data[i]) * rows * panel->vectors;
  for (uint32_t r = 0; r < rows && lines <= FETCH_MOST_LINES; r++) {
    size_t mark = fst_emit_scope_open(e);
    bind(e, tile, r);
    for (size_t i = 0; i < accesses.len; i++)
      if (is_fetched(e, p, &accesses.data[i])) fetch_access(e, p, panel, &accesses.data[i]);
    unbind(e, tile);
    fst_emit_scope_close(e, mark);
  }
  fst_vec_free(&accesses);
}
