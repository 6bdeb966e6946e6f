// SORT in one thread: heap sort of the row where it is stored, stable because equal keys are ordered by position.
#include "codegen/cuda/emit.h"

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

// Puts `held` into the heap below `root`, whose cell is free.
static void sift(fst_cu *c, const sorter *s, const char *root, const char *end, item held) {
  const char *hole = fst_cu_name(c, "hole"), *child = fst_cu_name(c, "child");
  fst_cu_line(c, "i64 %s = %s;", hole, root);
  fst_cu_open(c, "for (i64 %s = 2 * %s + 1; %s < %s; %s = 2 * %s + 1)", child, hole, child, end, child, hole);
  fst_cu_open(c, "if (%s + 1 < %s)", child, end);
  item left = item_load(c, s, child), right = item_load(c, s, fst_cu_format(c, "(%s + 1)", child));
  fst_cu_line(c, "if (%s) ++%s;", before(c, s, left, right), child);
  fst_cu_close(c);
  item last = item_load(c, s, child);
  fst_cu_line(c, "if (!%s) break;", before(c, s, held, last));
  item_store(c, s, hole, last);
  fst_cu_line(c, "%s = %s;", hole, child);
  fst_cu_close(c);
  item_store(c, s, hole, held);
}

static void fill(fst_cu *c, const sorter *s) {
  uint32_t var = s->stmt->vars[s->stmt->var_count - 1];
  const char *at = fst_cu_name(c, "x");
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "for (i64 %s = 0; %s < %s; ++%s)", at, at, s->end, at);
  fst_cu_bind(c, var, at);
  item value = {fst_cu_expr(c, s->stmt->stores[0].value), s->has_positions ? fst_cu_expr(c, s->stmt->stores[1].value) : NULL};
  fst_cu_unbind(c, var);
  fst_cu_forget(c, scope);
  item_store(c, s, at, value);
  fst_cu_close(c);
}

void fst_cu_sort(fst_cu *c, const fst_kstmt *stmt) {
  sorter s = {stmt, c->k->buffers.data[stmt->stores[0].buffer].dtype, stmt->store_count > 1, fst_cu_expr(c, stmt->extents[stmt->var_count - 1])};
  fill(c, &s);
  const char *root = fst_cu_name(c, "root"), *end = fst_cu_name(c, "end");
  fst_cu_open(c, "for (i64 %s = %s / 2 - 1; %s >= 0; --%s)", root, s.end, root, root);
  sift(c, &s, root, s.end, item_load(c, &s, root));
  fst_cu_close(c);
  // Take the last in order from the root to the end, again and again.
  fst_cu_open(c, "for (i64 %s = %s - 1; %s > 0; --%s)", end, s.end, end, end);
  item held = item_load(c, &s, end);
  item_store(c, &s, end, item_load(c, &s, "0"));
  sift(c, &s, "0", end, held);
  fst_cu_close(c);
}
