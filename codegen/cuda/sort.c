// SORT: a block sorts a row where it is stored, by a bitonic network, which any length fits. It becomes stable because equal
// keys are ordered by position.
#include "codegen/cuda/schedule.h"

enum { THREADS = 512, MOST_BLOCKS = 1 << 16 };

typedef struct sorter {
  const fst_kstmt *stmt;
  fst_dtype dtype;
  bool has_positions;
  const char *end;
} sorter;

static const char *cell(fst_cu *c, const sorter *s, uint32_t store, const char *at) {
  uint32_t var = s->stmt->vars[s->stmt->var_count - 1];
  size_t scope = fst_cu_scope(c);
  fst_cu_bind(c, var, at);
  const char *element = fst_cu_element(c, s->stmt->stores[store].buffer, s->stmt->stores[store].indices);
  fst_cu_unbind(c, var);
  fst_cu_forget(c, scope);
  return element;
}

typedef struct item { const char *key, *position; } item;

static item item_load(fst_cu *c, const sorter *s, const char *at) {
  item out = {fst_cu_name(c, "key"), fst_cu_name(c, "at")};
  const char *element = cell(c, s, 0, at);
  fst_cu_line(c, "%s %s = %s%s;", fst_cu_type(s->dtype), out.key, element, s->dtype == FST_BOOL ? " != 0" : "");
  if (s->has_positions) fst_cu_line(c, "i64 %s = %s;", out.position, cell(c, s, 1, at));
  return out;
}

static void item_store(fst_cu *c, const sorter *s, const char *at, item value) {
  fst_cu_line(c, "%s = %s;", cell(c, s, 0, at), value.key);
  if (s->has_positions) fst_cu_line(c, "%s = %s;", cell(c, s, 1, at), value.position);
}

// a < b with NaN above every number.
static const char *key_less(fst_cu *c, fst_dtype dtype, const char *a, const char *b) {
  const char *less = fst_cu_prim(c->arena, FST_PRIM_LT, dtype, FST_BOOL, (const char *[]){a, b});
  if (!fst_dtype_is_float(dtype)) return fst_cu_format(c, "(%s)", less);
  const char *ordered = fst_cu_prim(c->arena, FST_PRIM_EQ, dtype, FST_BOOL, (const char *[]){a, a});
  const char *is_nan = fst_cu_prim(c->arena, FST_PRIM_NE, dtype, FST_BOOL, (const char *[]){b, b});
  return fst_cu_format(c, "(%s || (%s && %s))", less, ordered, is_nan);
}

static const char *before(fst_cu *c, const sorter *s, item a, item b) {
  bool down = s->stmt->descending;
  const char *first = key_less(c, s->dtype, down ? b.key : a.key, down ? a.key : b.key);
  if (!s->has_positions) return first;
  const char *after = key_less(c, s->dtype, down ? a.key : b.key, down ? b.key : a.key);
  return fst_cu_format(c, "(%s || (!%s && %s < %s))", first, after, a.position, b.position);
}

static void fill(fst_cu *c, const sorter *s) {
  uint32_t var = s->stmt->vars[s->stmt->var_count - 1];
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 at = threadIdx.x; at < %s; at += %d)", s->end, THREADS);
  fst_cu_bind(c, var, "at");
  item value = {fst_cu_expr(c, s->stmt->stores[0].value), s->has_positions ? fst_cu_expr(c, s->stmt->stores[1].value) : NULL};
  fst_cu_unbind(c, var);
  fst_cu_forget(c, scope);
  item_store(c, s, "at", value);
  fst_cu_close(c);
  fst_cu_line(c, "__syncthreads();");
}

// Runs of `run` elements become sorted: two sorted halves are laid mirrored against each other once, then halves of
// halves side by side. Every exchange moves the earlier item to the lower place, so places beyond the end, thought to hold the
// last items of all, take no part.
static void merge_steps(fst_cu *c, const sorter *s) {
  fst_cu_line(c, "i64 pairs = 1;");
  fst_cu_line(c, "while (2 * pairs < %s) pairs *= 2;", s->end);
  fst_cu_open(c, "for (i64 run = 2; run / 2 < %s; run *= 2)", s->end);
  fst_cu_open(c, "for (i64 half = run / 2; half; half /= 2)");
  fst_cu_open(c, "for (i64 p = threadIdx.x; p < pairs; p += %d)", THREADS);
  fst_cu_line(c, "const i64 in = p & (half - 1), low = 2 * (p - in) + in, high = 2 * half == run ? 2 * (p - in) + run - 1 - in : low + half;");
  fst_cu_open(c, "if (high < %s)", s->end);
  item a = item_load(c, s, "low"), b = item_load(c, s, "high");
  fst_cu_open(c, "if (%s)", before(c, s, b, a));
  item_store(c, s, "low", b);
  item_store(c, s, "high", a);
  fst_cu_close(c);
  fst_cu_close(c);
  fst_cu_close(c);
  fst_cu_line(c, "__syncthreads();");
  fst_cu_close(c);
  fst_cu_close(c);
}

typedef struct sorting { const fst_kstmt *stmt; fst_cu_space rows; } sorting;

static void sort_body(fst_cu *c, const void *context) {
  sorting x = *(const sorting *)context;
  const fst_kstmt *stmt = x.stmt;
  fst_cu_space_declare(c, &x.rows);
  sorter s = {stmt, c->k->buffers.data[stmt->stores[0].buffer].dtype, stmt->store_count > 1, fst_cu_expr(c, stmt->extents[stmt->var_count - 1])};
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 row = blockIdx.x; row < %s; row += gridDim.x)", x.rows.total);
  fst_cu_space_bind(c, &x.rows, "row");
  fill(c, &s);
  merge_steps(c, &s);
  fst_cu_space_unbind(c, &x.rows);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

void fst_cu_sort(fst_cu_kernel *m, const fst_kstmt *stmt) {
  FST_ASSERT(fst_cu_box(m->k, stmt, stmt->var_count) == stmt->var_count, "kernel %s sorts rows of different lengths", m->k->name);
  sorting s = {stmt, fst_cu_space_of(stmt->vars, stmt->extents, stmt->var_count - 1)};
  fst_kx rows = fst_cu_points(m, stmt->extents, stmt->var_count - 1), one = fst_kx_int(m->sizes, 1), most = fst_kx_int(m->sizes, MOST_BLOCKS);
  fst_kx grid[] = {rows.id ? fst_kx_prim2(m->sizes, FST_PRIM_MIN, rows, most) : most, one, one};
  fst_cu_launch_add(m, THREADS, 0, grid, 0, sort_body, &s);
}
