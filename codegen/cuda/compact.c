// COMPACT: one block goes through the points in order, as many at a time as it has threads. A point that is kept goes behind
// those kept before, which the warps count together.
#include "codegen/cuda/schedule.h"

enum { THREADS = 1024, WARP = 32 };

// `rank`: how many kept points of this round come before this thread's; `all`: how many there are.
static void rank_in_block(fst_cu *c) {
  fst_cu_line(c, "const u32 votes = __ballot_sync(0xffffffffu, keep);");
  fst_cu_line(c, "if (threadIdx.x %% %d == 0) counts[threadIdx.x / %d] = __popc((int)votes);", WARP, WARP);
  fst_cu_line(c, "__syncthreads();");
  fst_cu_line(c, "int rank = __popc((int)(votes & ((1u << threadIdx.x %% %d) - 1))), all = 0;", WARP);
  fst_cu_open(c, "for (int warp = 0; warp < %d; ++warp)", THREADS / WARP);
  fst_cu_line(c, "if (warp < threadIdx.x / %d) rank += counts[warp];", WARP);
  fst_cu_line(c, "all += counts[warp];");
  fst_cu_close(c);
}

static void keep_point(fst_cu *c, const fst_kstmt *stmt) {
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "if (keep)");
  fst_cu_line(c, "const i64 place = found + rank;");
  if (stmt->carry_count) fst_cu_bind(c, stmt->carries[0], "place");
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, fst_cu_expr(c, stmt->stores[i].value));
  if (stmt->carry_count) fst_cu_unbind(c, stmt->carries[0]);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static void compact_body(fst_cu *c, const void *context) {
  const fst_kstmt *stmt = context;
  fst_cu_space space = fst_cu_space_of(stmt->vars, stmt->extents, stmt->var_count);
  fst_cu_line(c, "FST_SHARED(shared);");
  fst_cu_line(c, "int *const counts = (int *)shared;");
  fst_cu_space_declare(c, &space);
  fst_cu_line(c, "i64 found = 0;");
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 base = 0; base < %s; base += %d)", space.total, THREADS);
  fst_cu_line(c, "const i64 at = fst_min(base + (i64)threadIdx.x, %s - 1);", space.total);
  fst_cu_space_bind(c, &space, "at");
  fst_cu_line(c, "const bool keep = base + (i64)threadIdx.x < %s && %s;", space.total, fst_cu_expr(c, stmt->condition));
  rank_in_block(c);
  keep_point(c, stmt);
  fst_cu_space_unbind(c, &space);
  fst_cu_line(c, "found += all;");
  fst_cu_line(c, "__syncthreads();");
  fst_cu_close(c);
  fst_cu_forget(c, scope);
  fst_cu_line(c, "if (threadIdx.x == 0) b%u[0] = found;", stmt->count_buffer);
}

void fst_cu_compact(fst_cu_kernel *m, const fst_kstmt *stmt) {
  FST_ASSERT(fst_cu_box(m->k, stmt, stmt->var_count) == stmt->var_count, "kernel %s compacts rows of different lengths", m->k->name);
  fst_kx one = fst_kx_int(m->sizes, 1), grid[] = {one, one, one};
  fst_cu_launch_add(m, THREADS, 0, grid, THREADS / WARP * sizeof(int), compact_body, stmt);
}
