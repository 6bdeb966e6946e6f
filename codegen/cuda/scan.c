// SCANs whose carries combine what came before with what comes next, the same way for all steps (running sums, products,
// extremes): a block takes a row, as many steps at a time as it has threads. Steps are combined in a tree, so float sums are
// formed in another order than one after the other. Other carries go from step to step in one thread.
#include "codegen/cuda/schedule.h"

enum { THREADS = 512, WARP = 32, MOST_BLOCKS = 1 << 16, MOST_CARRIES = 4, SHORT_ROW = 64, SLOT = 8 };

typedef struct carry { fst_kx value; fst_prim prim; fst_dtype dtype; } carry;   // next = prim(carry, value)
typedef struct scan {
  const fst_kstmt *stmt;
  fst_cu_space rows;
  carry carries[MOST_CARRIES];
} scan;

static bool is_associative(fst_prim prim, fst_dtype dtype) {
  bool half = dtype == FST_F16 || dtype == FST_BF16;   // sums of these round at every step
  switch (prim) {
    case FST_PRIM_ADD:
    case FST_PRIM_MUL: return !half;
    case FST_PRIM_MIN:
    case FST_PRIM_MAX:
    case FST_PRIM_AND:
    case FST_PRIM_OR: return true;
    default: return false;
  }
}

static bool needs_any_carry(const fst_kernel *k, const fst_kstmt *stmt, fst_kx x) {
  for (uint32_t i = 0; i < stmt->carry_count; i++)
    if (fst_kx_depends(k, x, stmt->carries[i])) return true;
  return false;
}

static bool carry_plan(const fst_kernel *k, const fst_kstmt *stmt, uint32_t i, carry *out) {
  const fst_kx_data *next = fst_kx_get(k, stmt->carry_next[i]);
  if (next->kind != FST_KX_PRIM || next->arg_count != 2 || !is_associative(next->prim, next->dtype)) return false;
  for (int side = 0; side < 2; side++) {
    const fst_kx_data *own = fst_kx_get(k, next->args[side]);
    if (own->kind != FST_KX_VAR || own->index != stmt->carries[i] || needs_any_carry(k, stmt, next->args[1 - side])) continue;
    *out = (carry){next->args[1 - side], next->prim, next->dtype};
    return true;
  }
  return false;
}

static const char *combine(fst_cu *c, const carry *x, const char *before, const char *after) {
  return fst_cu_prim(c->arena, x->prim, x->dtype, x->dtype, (const char *[]){before, after});
}

// Everything up to a thread's own step within the warp; then what the warps before have, and the carry of the round.
static const char *across_block(fst_cu *c, const carry *x, uint32_t number, const char *carried) {
  const char *type = fst_cu_type(x->dtype), *own = fst_cu_name(c, "own"), *run = fst_cu_name(c, "run"), *next = fst_cu_name(c, "next"), *result = fst_cu_name(c, "v");
  bool wide = fst_dtype_size(x->dtype) >= 4;
  const char *totals = fst_cu_format(c, "((%s *)(shared + %u))", type, number * (THREADS / WARP) * SLOT);
  fst_cu_line(c, "%s %s = %s;", type, own, fst_cu_expr(c, x->value));
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int d = 1; d < %d; d <<= 1)", WARP);
  fst_cu_line(c, wide ? "const %s other = %s__shfl_up_sync(0xffffffffu, %s, d);" : "const %s other = (%s)__shfl_up_sync(0xffffffffu, (int)%s, d);", type, wide ? "" : type, own);
  fst_cu_line(c, "if (threadIdx.x %% %d >= d) %s = %s;", WARP, own, combine(c, x, "other", own));
  fst_cu_close(c);
  fst_cu_line(c, "if (threadIdx.x %% %d == %d) %s[threadIdx.x / %d] = %s;", WARP, WARP - 1, totals, WARP, own);
  fst_cu_line(c, "__syncthreads();");
  fst_cu_line(c, "%s %s = %s, %s = %s;", type, run, carried, next, carried);
  fst_cu_open(c, "for (int warp = 0; warp < %d; ++warp)", THREADS / WARP);
  fst_cu_line(c, "const %s total = %s[warp];", type, totals);
  fst_cu_line(c, "if (warp < (int)threadIdx.x / %d) %s = %s;", WARP, run, combine(c, x, run, "total"));
  fst_cu_line(c, "%s = %s;", next, combine(c, x, next, "total"));
  fst_cu_close(c);
  fst_cu_line(c, "const %s %s = %s;", type, result, combine(c, x, run, own));
  fst_cu_line(c, "%s = %s;", carried, next);
  return result;
}

static void steps(fst_cu *c, const scan *s, const char *const *carried, const char *end) {
  const fst_kstmt *stmt = s->stmt;
  const char *results[MOST_CARRIES], **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 base = 0; base < %s; base += %d)", end, THREADS);
  // Threads behind the end repeat the last step: nothing that counts comes after them.
  fst_cu_line(c, "const i64 at = fst_min(base + (i64)threadIdx.x, %s - 1);", end);
  fst_cu_bind(c, stmt->vars[stmt->var_count - 1], "at");
  for (uint32_t i = 0; i < stmt->carry_count; i++) results[i] = across_block(c, &s->carries[i], i, carried[i]);
  for (uint32_t i = 0; i < stmt->carry_count; i++) fst_cu_bind(c, stmt->carries[i], results[i]);
  size_t inner = fst_cu_scope(c);
  fst_cu_open(c, "if (base + (i64)threadIdx.x < %s)", end);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
  fst_cu_close(c);
  fst_cu_forget(c, inner);
  for (uint32_t i = 0; i < stmt->carry_count; i++) fst_cu_unbind(c, stmt->carries[i]);
  fst_cu_unbind(c, stmt->vars[stmt->var_count - 1]);
  fst_cu_line(c, "__syncthreads();");
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static void scan_body(fst_cu *c, const void *context) {
  scan s = *(const scan *)context;
  const fst_kstmt *stmt = s.stmt;
  const char *carried[MOST_CARRIES];
  fst_cu_line(c, "FST_SHARED(shared);");
  fst_cu_space_declare(c, &s.rows);
  const char *end = fst_cu_expr(c, stmt->extents[stmt->var_count - 1]);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 row = blockIdx.x; row < %s; row += gridDim.x)", s.rows.total);
  fst_cu_space_bind(c, &s.rows, "row");
  for (uint32_t i = 0; i < stmt->carry_count; i++) {
    const char *start = fst_cu_expr(c, stmt->carry_init[i]);
    carried[i] = fst_cu_name(c, "carry");
    fst_cu_line(c, "%s %s = %s;", fst_cu_type(s.carries[i].dtype), carried[i], start);
  }
  steps(c, &s, carried, end);
  fst_cu_space_unbind(c, &s.rows);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

bool fst_cu_scan(fst_cu_kernel *m, const fst_kstmt *stmt) {
  scan s = {.stmt = stmt, .rows = fst_cu_space_of(stmt->vars, stmt->extents, stmt->var_count - 1)};
  int64_t length;
  if (!stmt->carry_count || stmt->carry_count > MOST_CARRIES || fst_cu_box(m->k, stmt, stmt->var_count) < stmt->var_count || fst_cu_reads_its_stores(m->k, stmt)) return false;
  if (fst_kx_is_int(m->k, stmt->extents[stmt->var_count - 1], &length) && length < SHORT_ROW) return false;
  for (uint32_t i = 0; i < stmt->carry_count; i++)
    if (!carry_plan(m->k, stmt, i, &s.carries[i])) return false;
  fst_kx rows = fst_cu_points(m, stmt->extents, stmt->var_count - 1), one = fst_kx_int(m->sizes, 1), most = fst_kx_int(m->sizes, MOST_BLOCKS);
  fst_kx grid[] = {rows.id ? fst_kx_prim2(m->sizes, FST_PRIM_MIN, rows, most) : most, one, one};
  fst_cu_launch_add(m, THREADS, 0, grid, stmt->carry_count * (THREADS / WARP) * SLOT, scan_body, &s);
  return true;
}
