// Plain launches: one thread for each point of a MAP and each row of a SCAN or SORT; one thread for everything where the order
// of points matters. Correct for every kernel; schedules replace them where they know better.
//
// The threads of the grid share the points among themselves whatever the grid's size is, so extents that the host
// cannot compute (they are read from memory) need no launch of their own.
#include "codegen/cuda/schedule.h"

enum { THREADS = 256, MOST_BLOCKS = 1 << 20, BLOCKS_FOR_UNKNOWN = 1024 };

typedef struct plain {
  const fst_kstmt *stmt;
  uint32_t parallel;   // variables, from the outermost, whose points go to threads
  uint32_t serial_end; // the variables up to here are loops in a thread; the body binds the rest
  bool moves;          // values that do not depend on a loop's variable may be evaluated before it
  void (*point)(fst_cu *c, const fst_kstmt *stmt);
} plain;

static void hoist_stores(fst_cu *c, const fst_kstmt *stmt) {
  for (uint32_t i = 0; i < stmt->store_count; i++)
    if (stmt->stores[i].value.id) fst_cu_hoist(c, stmt->stores[i].value, true);
}

static void serial_loops(fst_cu *c, const plain *p, uint32_t level) {
  if (level == p->serial_end) {
    p->point(c, p->stmt);
    return;
  }
  if (p->moves) hoist_stores(c, p->stmt);
  const char *index = fst_cu_name(c, "x"), *end = fst_cu_expr(c, p->stmt->extents[level]);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 %s = 0; %s < %s; ++%s)", index, index, end, index);
  fst_cu_bind(c, p->stmt->vars[level], index);
  serial_loops(c, p, level + 1);
  fst_cu_unbind(c, p->stmt->vars[level]);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

// Binds the parallel variables from the number of a point, innermost first.
static void bind_point(fst_cu *c, const plain *p, const char *const *extents, const char *at) {
  if (!p->parallel) return;
  const char *rest = fst_cu_name(c, "rest");
  if (p->parallel > 1) fst_cu_line(c, "i64 %s = %s;", rest, at);
  for (uint32_t i = p->parallel; i-- > 0;) {
    const char *index = fst_cu_name(c, "x");
    if (p->parallel == 1) fst_cu_line(c, "const i64 %s = %s;", index, at);
    else if (i) fst_cu_line(c, "const i64 %s = %s %% %s; %s /= %s;", index, rest, extents[i], rest, extents[i]);
    else fst_cu_line(c, "const i64 %s = %s;", index, rest);
    fst_cu_bind(c, p->stmt->vars[i], index);
  }
}

static void plain_body(fst_cu *c, const void *context) {
  const plain *p = context;
  const char *extents[FST_KERNEL_MAX_DIMS], *total = "1";
  for (uint32_t i = 0; i < p->parallel; i++) {
    extents[i] = fst_cu_expr(c, p->stmt->extents[i]);
    total = i ? fst_cu_format(c, "%s * %s", total, extents[i]) : extents[i];
  }
  const char *name = fst_cu_name(c, "total"), *at = fst_cu_name(c, "at");
  fst_cu_line(c, "const i64 %s = %s;", name, total);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 %s = (i64)blockIdx.x * %d + threadIdx.x; %s < %s; %s += (i64)gridDim.x * %d)", at, THREADS, at, name, at, THREADS);
  bind_point(c, p, extents, at);
  serial_loops(c, p, p->parallel);
  for (uint32_t i = 0; i < p->parallel; i++) fst_cu_unbind(c, p->stmt->vars[i]);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static fst_kx blocks_of(fst_cu_kernel *m, const plain *p) {
  fst_kx total = fst_cu_points(m, p->stmt->extents, p->parallel);
  if (!total.id) return fst_kx_int(m->sizes, BLOCKS_FOR_UNKNOWN);
  return fst_kx_prim2(m->sizes, FST_PRIM_MIN, fst_cu_ceil_div(m, total, THREADS), fst_kx_int(m->sizes, MOST_BLOCKS));
}

static void plain_launch(fst_cu_kernel *m, const plain *p) {
  fst_kx one = fst_kx_int(m->sizes, 1), grid[] = {blocks_of(m, p), one, one};
  fst_cu_launch_add(m, THREADS, grid, 0, plain_body, p);
}

// ---- points ----

// All values before any store: a store may overwrite what another value reads.
static void map_point(fst_cu *c, const fst_kstmt *stmt) {
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
}

static void scatter_point(fst_cu *c, const fst_kstmt *stmt) {
  static const fst_prim prims[] = {[FST_COMBINE_ADD] = FST_PRIM_ADD, [FST_COMBINE_MUL] = FST_PRIM_MUL, [FST_COMBINE_MAX] = FST_PRIM_MAX, [FST_COMBINE_MIN] = FST_PRIM_MIN};
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    const fst_kstore *store = &stmt->stores[i];
    fst_dtype dtype = c->k->buffers.data[store->buffer].dtype;
    const char *element = fst_cu_element(c, store->buffer, store->indices), *value = values[i];
    const char *old = dtype == FST_BOOL ? fst_cu_format(c, "(%s != 0)", element) : element;
    if (stmt->combine != FST_COMBINE_SET) value = fst_cu_prim(c->arena, prims[stmt->combine], dtype, dtype, (const char *[]){old, value});
    fst_cu_line(c, "%s = %s;", element, value);
  }
}

static void scan_row(fst_cu *c, const fst_kstmt *stmt) {
  uint32_t last = stmt->var_count - 1, count = stmt->carry_count;
  const char **carries = FST_NEW_ARRAY(c->arena, const char *, count + 1), **next = FST_NEW_ARRAY(c->arena, const char *, count + 1);
  for (uint32_t i = 0; i < count; i++) {
    const char *start = fst_cu_expr(c, stmt->carry_init[i]);
    carries[i] = fst_cu_name(c, "carry");
    fst_cu_line(c, "%s %s = %s;", fst_cu_type(c->k->vars.data[stmt->carries[i]]), carries[i], start);
  }
  const char *index = fst_cu_name(c, "x"), *end = fst_cu_expr(c, stmt->extents[last]);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 %s = 0; %s < %s; ++%s)", index, index, end, index);
  fst_cu_bind(c, stmt->vars[last], index);
  for (uint32_t i = 0; i < count; i++) fst_cu_bind(c, stmt->carries[i], carries[i]);
  for (uint32_t i = 0; i < count; i++) {
    next[i] = fst_cu_name(c, "next");
    fst_cu_line(c, "const %s %s = %s;", fst_cu_type(c->k->vars.data[stmt->carries[i]]), next[i], fst_cu_expr(c, stmt->carry_next[i]));
  }
  for (uint32_t i = 0; i < count; i++) fst_cu_line(c, "%s = %s;", carries[i], next[i]);
  fst_cu_forget(c, scope);  // stores see the carries of this step's end
  map_point(c, stmt);
  for (uint32_t i = 0; i < count; i++) fst_cu_unbind(c, stmt->carries[i]);
  fst_cu_unbind(c, stmt->vars[last]);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

// ---- COMPACT ----

static void compact_point(fst_cu *c, const fst_kstmt *stmt) {
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "if (%s)", fst_cu_expr(c, stmt->condition));
  if (stmt->carry_count) fst_cu_bind(c, stmt->carries[0], "found");
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, fst_cu_expr(c, stmt->stores[i].value));
  if (stmt->carry_count) fst_cu_unbind(c, stmt->carries[0]);
  fst_cu_line(c, "++found;");
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static void compact_body(fst_cu *c, const void *context) {
  const plain *p = context;
  fst_cu_open(c, "if (blockIdx.x == 0 && threadIdx.x == 0)");
  fst_cu_line(c, "i64 found = 0;");
  serial_loops(c, p, 0);
  fst_cu_line(c, "b%u[0] = found;", p->stmt->count_buffer);
  fst_cu_close(c);
}

static void compact_launch(fst_cu_kernel *m, const plain *p) {
  fst_kx one = fst_kx_int(m->sizes, 1), grid[] = {one, one, one};
  fst_cu_launch_add(m, 32, grid, 0, compact_body, p);
}

void fst_cu_statement(fst_cu_kernel *m, const fst_kstmt *stmt) {
  plain p = {.stmt = stmt, .serial_end = stmt->var_count};
  if (fst_cu_pointwise(m, stmt) || fst_cu_gemm(m, stmt) || fst_cu_rows(m, stmt)) return;
  switch (stmt->kind) {
    case FST_KSTMT_MAP:
      p.parallel = fst_cu_box(m->k, stmt, stmt->var_count);
      p.moves = true;
      p.point = map_point;
      break;
    case FST_KSTMT_SCATTER: p.point = scatter_point; break;
    case FST_KSTMT_SCAN:
      p.parallel = fst_cu_box(m->k, stmt, stmt->var_count - 1);
      p.serial_end = stmt->var_count - 1;
      p.point = scan_row;
      break;
    case FST_KSTMT_SORT:
      p.parallel = fst_cu_box(m->k, stmt, stmt->var_count - 1);
      p.serial_end = stmt->var_count - 1;
      p.point = fst_cu_sort;
      break;
    case FST_KSTMT_COMPACT:
      p.point = compact_point;
      compact_launch(m, &p);
      return;
  }
  plain_launch(m, &p);
}
