// Plain launches: one thread for each point of a MAP and each row of a SCAN or SORT; one thread for everything where the order
// of points matters. Correct for every kernel; schedules replace them where they know better.
//
// The threads of the grid share the points among themselves whatever the grid's size is, so extents that the host
// cannot compute (they are read from memory) need no launch of their own.
#include "codegen/cuda/schedule.h"

enum { THREADS = 256, MOST_BLOCKS = 1 << 20, BLOCKS_FOR_UNKNOWN = 1024 };

typedef struct plain {
  const fst_kstmt *stmt;
  uint32_t order[FST_KERNEL_MAX_DIMS];  // positions of the variables, outermost first
  uint32_t parallel;   // the first of them, whose points go to threads
  uint32_t serial_end; // those up to here are loops in a thread; the body binds the rest
  bool atomic;         // SCATTER: points may meet in any order
  bool moves;          // values that do not depend on a loop's variable may be evaluated before it
  void (*point)(fst_cu *c, const struct plain *p);
} plain;

static void hoist_stores(fst_cu *c, const fst_kstmt *stmt) {
  for (uint32_t i = 0; i < stmt->store_count; i++)
    if (stmt->stores[i].value.id) fst_cu_hoist(c, stmt->stores[i].value, true);
}

static void serial_loops(fst_cu *c, const plain *p, uint32_t level) {
  if (level == p->serial_end) {
    p->point(c, p);
    return;
  }
  if (p->moves) hoist_stores(c, p->stmt);
  uint32_t position = p->order[level];
  const char *index = fst_cu_name(c, "x"), *end = fst_cu_expr(c, p->stmt->extents[position]);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 %s = 0; %s < %s; ++%s)", index, index, end, index);
  fst_cu_bind(c, p->stmt->vars[position], index);
  serial_loops(c, p, level + 1);
  fst_cu_unbind(c, p->stmt->vars[position]);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static fst_cu_space parallel_space(const plain *p) {
  fst_cu_space space = {.count = p->parallel};
  for (uint32_t i = 0; i < p->parallel; i++) {
    space.vars[i] = p->stmt->vars[p->order[i]];
    space.extents[i] = p->stmt->extents[p->order[i]];
  }
  return space;
}

static void plain_body(fst_cu *c, const void *context) {
  const plain *p = context;
  fst_cu_space space = parallel_space(p);
  const char *at = fst_cu_name(c, "at");
  fst_cu_space_declare(c, &space);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 %s = (i64)blockIdx.x * %d + threadIdx.x; %s < %s; %s += (i64)gridDim.x * %d)", at, THREADS, at, space.total, at, THREADS);
  fst_cu_space_bind(c, &space, at);
  serial_loops(c, p, p->parallel);
  fst_cu_space_unbind(c, &space);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

static fst_kx blocks_of(fst_cu_kernel *m, const plain *p) {
  fst_cu_space space = parallel_space(p);
  fst_kx total = fst_cu_points(m, space.extents, space.count);
  if (!total.id) return fst_kx_int(m->sizes, BLOCKS_FOR_UNKNOWN);
  return fst_kx_prim2(m->sizes, FST_PRIM_MIN, fst_cu_ceil_div(m, total, THREADS), fst_kx_int(m->sizes, MOST_BLOCKS));
}

static void plain_launch(fst_cu_kernel *m, const plain *p) {
  fst_kx one = fst_kx_int(m->sizes, 1), grid[] = {blocks_of(m, p), one, one};
  fst_cu_launch_add(m, THREADS, 0, grid, 0, plain_body, p);
}

// ---- points ----

// All values before any store: a store may overwrite what another value reads.
static void map_point(fst_cu *c, const plain *p) {
  const fst_kstmt *stmt = p->stmt;
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
}

static void scatter_point(fst_cu *c, const plain *p) {
  const fst_kstmt *stmt = p->stmt;
  static const fst_prim prims[] = {[FST_COMBINE_ADD] = FST_PRIM_ADD, [FST_COMBINE_MUL] = FST_PRIM_MUL, [FST_COMBINE_MAX] = FST_PRIM_MAX, [FST_COMBINE_MIN] = FST_PRIM_MIN};
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    const fst_kstore *store = &stmt->stores[i];
    fst_dtype dtype = c->k->buffers.data[store->buffer].dtype;
    const char *element = fst_cu_element(c, store->buffer, store->indices), *value = values[i];
    if (p->atomic) {
      const char *name = stmt->combine == FST_COMBINE_ADD ? "Add" : stmt->combine == FST_COMBINE_MAX ? "Max" : "Min";
      const char *type = dtype == FST_I64 && stmt->combine == FST_COMBINE_ADD ? "u64" : fst_cu_type(dtype);   // sums wrap either way
      fst_cu_line(c, "atomic%s((%s *)&%s, (%s)%s);", name, type, element, type, value);
      continue;
    }
    const char *old = dtype == FST_BOOL ? fst_cu_format(c, "(%s != 0)", element) : element;
    if (stmt->combine != FST_COMBINE_SET) value = fst_cu_prim(c->arena, prims[stmt->combine], dtype, dtype, (const char *[]){old, value});
    fst_cu_line(c, "%s = %s;", element, value);
  }
}

static void scan_row(fst_cu *c, const plain *p) {
  const fst_kstmt *stmt = p->stmt;
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
  map_point(c, p);
  for (uint32_t i = 0; i < count; i++) fst_cu_unbind(c, stmt->carries[i]);
  fst_cu_unbind(c, stmt->vars[last]);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

// ---- SCATTER: which points may go to different threads ----

// A variable that is itself an index of every store, in the same place: points that differ in it never meet.
static bool keeps_apart(const fst_kernel *k, const fst_kstmt *stmt, uint32_t var) {
  for (uint32_t d = 0; d < stmt->stores[0].index_count; d++) {
    bool all = true;
    for (uint32_t i = 0; i < stmt->store_count && all; i++) {
      const fst_kx_data *index = d < stmt->stores[i].index_count ? fst_kx_get(k, stmt->stores[i].indices[d]) : NULL;
      all = index && index->kind == FST_KX_VAR && index->index == var;
    }
    if (all) return true;
  }
  return false;
}

// Integers may be added, and the largest or smallest taken, in any order.
static bool any_order(const fst_kernel *k, const fst_kstmt *stmt) {
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    fst_dtype dtype = k->buffers.data[stmt->stores[i].buffer].dtype;
    if (dtype != FST_I32 && dtype != FST_I64) return false;
  }
  return stmt->combine == FST_COMBINE_ADD || stmt->combine == FST_COMBINE_MAX || stmt->combine == FST_COMBINE_MIN;
}

static void plan_scatter(const fst_kernel *k, plain *p) {
  const fst_kstmt *stmt = p->stmt;
  uint32_t used = 0;
  p->point = scatter_point;
  if (fst_cu_box(k, stmt, stmt->var_count) < stmt->var_count || fst_cu_reads_its_stores(k, stmt)) return;
  p->atomic = any_order(k, stmt);
  for (int serial = 0; serial < 2; serial++)
    for (uint32_t i = 0; i < stmt->var_count; i++) {
      if ((p->atomic || keeps_apart(k, stmt, stmt->vars[i])) == serial) continue;
      p->order[used++] = i;
      p->parallel += !serial;
    }
}

void fst_cu_statement(fst_cu_kernel *m, const fst_kstmt *stmt) {
  plain p = {.stmt = stmt, .serial_end = stmt->var_count};
  for (uint32_t i = 0; i < stmt->var_count; i++) p.order[i] = i;
  switch (stmt->kind) {
    case FST_KSTMT_MAP:
      if (fst_cu_transpose(m, stmt) || fst_cu_pointwise(m, stmt) || fst_cu_gemm(m, stmt) || fst_cu_rows(m, stmt)) return;
      p.parallel = fst_cu_box(m->k, stmt, stmt->var_count);
      p.moves = true;
      p.point = map_point;
      break;
    case FST_KSTMT_SCATTER: plan_scatter(m->k, &p); break;
    case FST_KSTMT_SCAN:
      if (fst_cu_scan(m, stmt)) return;
      p.parallel = fst_cu_box(m->k, stmt, stmt->var_count - 1);
      p.serial_end = stmt->var_count - 1;
      p.point = scan_row;
      break;
    case FST_KSTMT_SORT: fst_cu_sort(m, stmt); return;
    case FST_KSTMT_COMPACT: fst_cu_compact(m, stmt); return;
  }
  plain_launch(m, &p);
}
