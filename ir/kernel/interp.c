// The interpreter: the plainest reading of a kernel, one point at a time. It is the oracle of the code
// generators and folds small constants; nothing here is meant to be fast.
//
// An expression's value is remembered as long as no variable it depends on was assigned, and nothing stored,
// since it was computed: both have the time of their last change.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/kernel/kernel.h"

enum { MOST_STORES = 64, MOST_CARRIES = 16 };

typedef struct {
  const fst_kernel *k;
  const fst_kargs *args;
  uint64_t *var_value, *var_time;     // by variable
  uint64_t *value, *computed;         // by expression: value, and when it was computed (0: never)
  const uint64_t *free;               // by expression: set of the variables it depends on, `words` each
  uint32_t words;
  uint64_t clock;
  uint64_t store_time;                // what was computed before this is stale
} machine;

static uint64_t eval(machine *m, fst_kx x);

// A variable that keeps its value was not assigned: what depends on outer variables only stays known along inner ones.
static void bind(machine *m, uint32_t var, uint64_t value) {
  if (m->var_time[var] && m->var_value[var] == value) return;
  m->var_value[var] = value;
  m->var_time[var] = ++m->clock;
}

// ---- memory ----------------------------------------------------------------------------------------

static char *element(machine *m, uint32_t buffer, const fst_kx *indices, uint32_t count) {
  const fst_kbuf *b = &m->k->buffers.data[buffer];
  int64_t at = 0;
  for (uint32_t i = 0; i < count; i++) at += (int64_t)eval(m, indices[i]) * (int64_t)eval(m, b->strides[i]);
  return (char *)m->args->buffers[buffer] + at * (int64_t)fst_dtype_size(b->dtype);
}

static uint64_t read_element(fst_dtype dtype, const char *at) {
  uint8_t u8;
  uint16_t u16;
  uint32_t u32;
  uint64_t u64;
  switch (fst_dtype_size(dtype)) {
    case 1:
      memcpy(&u8, at, 1);
      return dtype == FST_BOOL ? u8 != 0 : dtype == FST_I8 ? (uint64_t)(int64_t)(int8_t)u8 : u8;
    case 2:
      memcpy(&u16, at, 2);
      return dtype == FST_I16 ? (uint64_t)(int64_t)(int16_t)u16 : u16;
    case 4:
      memcpy(&u32, at, 4);
      return dtype == FST_I32 ? (uint64_t)(int64_t)(int32_t)u32 : u32;
    default:
      memcpy(&u64, at, 8);
      return u64;
  }
}

static void write_element(fst_dtype dtype, char *at, uint64_t bits) { memcpy(at, &bits, fst_dtype_size(dtype)); }  // little-endian

// ---- reductions ------------------------------------------------------------------------------------

static uint64_t reduce_start(fst_reduce op, fst_dtype dtype) {
  bool real = fst_dtype_is_float(dtype);
  double edge = op == FST_REDUCE_MAX ? -INFINITY : INFINITY;
  uint64_t bits;
  memcpy(&bits, &edge, sizeof bits);
  switch (op) {
    case FST_REDUCE_PROD: return fst_convert_eval(FST_I64, dtype, 1);
    case FST_REDUCE_ALL: return 1;
    case FST_REDUCE_MAX: case FST_REDUCE_MIN:
      if (real) return fst_convert_eval(FST_F64, dtype, bits);
      if (dtype == FST_BOOL) return op == FST_REDUCE_MIN;
      if (dtype == FST_U8) return op == FST_REDUCE_MAX ? 0 : 255;
      {
        int shift = 64 - (int)fst_dtype_size(dtype) * 8;
        return (uint64_t)((op == FST_REDUCE_MAX ? INT64_MIN : INT64_MAX) >> shift);
      }
    default: return 0;
  }
}

static uint64_t reduce_step(fst_reduce op, fst_dtype dtype, uint64_t a, uint64_t b) {
  uint64_t v[2] = {a, b};
  switch (op) {
    case FST_REDUCE_SUM: return fst_prim_eval(FST_PRIM_ADD, dtype, v);
    case FST_REDUCE_PROD: return fst_prim_eval(FST_PRIM_MUL, dtype, v);
    case FST_REDUCE_MAX: return fst_prim_eval(FST_PRIM_MAX, dtype, v);
    case FST_REDUCE_MIN: return fst_prim_eval(FST_PRIM_MIN, dtype, v);
    case FST_REDUCE_ANY: return a || b;
    default: return a && b;
  }
}

// Is b strictly better than a (the first best wins; NaN beats everything but an earlier NaN)?
static bool better(fst_reduce op, fst_dtype dtype, uint64_t a, uint64_t b) {
  if (fst_dtype_is_float(dtype)) {
    uint64_t aa[2] = {a, a}, bb[2] = {b, b};
    if (fst_prim_eval(FST_PRIM_NE, dtype, aa)) return false;
    if (fst_prim_eval(FST_PRIM_NE, dtype, bb)) return true;
  }
  uint64_t v[2] = {op == FST_REDUCE_ARGMAX ? a : b, op == FST_REDUCE_ARGMAX ? b : a};
  return fst_prim_eval(FST_PRIM_LT, dtype, v);
}

// Sets the variables of a nest to point number `at` (row-major).
static void bind_point(machine *m, const uint32_t *vars, const int64_t *extents, uint32_t count, int64_t at) {
  for (uint32_t i = count; i-- > 0;) {
    bind(m, vars[i], (uint64_t)(at % extents[i]));
    at /= extents[i];
  }
}

static int64_t points(machine *m, const fst_kx *extents, uint32_t count, int64_t *out) {
  int64_t total = 1;
  for (uint32_t i = 0; i < count; i++) {
    out[i] = (int64_t)eval(m, extents[i]);
    total *= out[i] > 0 ? out[i] : 0;
  }
  return total;
}

static uint64_t eval_reduce(machine *m, const fst_kx_data *d) {
  int64_t extents[FST_KERNEL_MAX_DIMS], total = points(m, d->extents, d->var_count, extents);
  fst_dtype dtype = fst_kx_get(m->k, d->args[0])->dtype;
  bool is_arg = d->reduce == FST_REDUCE_ARGMAX || d->reduce == FST_REDUCE_ARGMIN;
  uint64_t best = 0, at = 0, acc = is_arg ? 0 : reduce_start(d->reduce, dtype);
  for (int64_t i = 0; i < total; i++) {
    bind_point(m, d->vars, extents, d->var_count, i);
    uint64_t v = eval(m, d->args[0]);
    if (!is_arg) acc = reduce_step(d->reduce, dtype, acc, v);
    else if (i == 0 || better(d->reduce, dtype, best, v)) {
      best = v;
      at = (uint64_t)i;
    }
  }
  return is_arg ? at : acc;
}

// ---- expressions -----------------------------------------------------------------------------------

static bool is_fresh(const machine *m, fst_kx x) {
  uint64_t when = m->computed[x.id];
  if (!when || when < m->store_time) return false;
  for (uint32_t w = 0; w < m->words; w++)
    for (uint64_t set = m->free[(size_t)x.id * m->words + w]; set; set &= set - 1)
      if (m->var_time[w * 64 + (uint32_t)__builtin_ctzll(set)] > when) return false;
  return true;
}

static uint64_t eval_now(machine *m, const fst_kx_data *d) {
  uint64_t v[3];
  switch (d->kind) {
    case FST_KX_CONST: return d->bits;
    case FST_KX_PARAM: return m->args->params[d->index];
    case FST_KX_VAR: return m->var_value[d->index];
    case FST_KX_LOAD: return read_element(d->dtype, element(m, d->index, d->args, d->arg_count));
    case FST_KX_REDUCE: return eval_reduce(m, d);
    case FST_KX_PRIM: break;
  }
  if (d->prim == FST_PRIM_SELECT) return eval(m, d->args[eval(m, d->args[0]) ? 1 : 2]);
  fst_dtype dtype = fst_kx_get(m->k, d->args[0])->dtype;
  for (uint32_t i = 0; i < d->arg_count; i++) v[i] = eval(m, d->args[i]);
  if (d->prim == FST_PRIM_CONVERT) return fst_convert_eval(dtype, d->dtype, v[0]);
  if (d->prim == FST_PRIM_BITCAST) {
    char bytes[8];
    memcpy(bytes, &v[0], sizeof bytes);
    return read_element(d->dtype, bytes);
  }
  return fst_prim_eval(d->prim, dtype, v);
}

static uint64_t eval(machine *m, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(m->k, x);
  if (d->kind < FST_KX_PRIM) return eval_now(m, d);
  if (is_fresh(m, x)) return m->value[x.id];
  uint64_t value = eval_now(m, d);
  m->value[x.id] = value;
  m->computed[x.id] = ++m->clock;
  return value;
}

// ---- statements ------------------------------------------------------------------------------------

static void store(machine *m, const fst_kstore *s, uint64_t bits) {
  write_element(m->k->buffers.data[s->buffer].dtype, element(m, s->buffer, s->indices, s->index_count), bits);
}

static uint64_t combine(fst_combine c, fst_dtype dtype, uint64_t old, uint64_t bits) {
  static const fst_prim prims[] = {[FST_COMBINE_ADD] = FST_PRIM_ADD, [FST_COMBINE_MUL] = FST_PRIM_MUL, [FST_COMBINE_MAX] = FST_PRIM_MAX, [FST_COMBINE_MIN] = FST_PRIM_MIN};
  uint64_t v[2] = {old, bits};
  if (c == FST_COMBINE_SET) return bits;
  if (dtype == FST_BOOL) return c == FST_COMBINE_MUL || c == FST_COMBINE_MIN ? old && bits : old || bits;
  return fst_prim_eval(prims[c], dtype, v);
}

static void run_points(machine *m, const fst_kstmt *s) {
  int64_t extents[FST_KERNEL_MAX_DIMS], total = points(m, s->extents, s->var_count, extents);
  uint64_t values[MOST_STORES];
  for (int64_t i = 0; i < total; i++) {
    bind_point(m, s->vars, extents, s->var_count, i);
    for (uint32_t k = 0; k < s->store_count; k++) values[k] = eval(m, s->stores[k].value);   // before any is stored
    for (uint32_t k = 0; k < s->store_count; k++) {
      uint64_t bits = values[k];
      fst_dtype dtype = m->k->buffers.data[s->stores[k].buffer].dtype;
      if (s->kind == FST_KSTMT_SCATTER)
        bits = combine(s->combine, dtype, read_element(dtype, element(m, s->stores[k].buffer, s->stores[k].indices, s->stores[k].index_count)), bits);
      store(m, &s->stores[k], bits);
    }
    if (s->kind == FST_KSTMT_SCATTER) m->store_time = ++m->clock;
  }
}

static void run_scan(machine *m, const fst_kstmt *s) {
  int64_t extents[FST_KERNEL_MAX_DIMS], total = points(m, s->extents, s->var_count, extents);
  int64_t length = extents[s->var_count - 1];
  uint64_t next[MOST_CARRIES];
  for (int64_t i = 0; i < total; i++) {
    bind_point(m, s->vars, extents, s->var_count, i);
    if (i % length == 0)
      for (uint32_t c = 0; c < s->carry_count; c++) bind(m, s->carries[c], eval(m, s->carry_init[c]));
    for (uint32_t c = 0; c < s->carry_count; c++) next[c] = eval(m, s->carry_next[c]);
    for (uint32_t c = 0; c < s->carry_count; c++) bind(m, s->carries[c], next[c]);
    for (uint32_t k = 0; k < s->store_count; k++) store(m, &s->stores[k], eval(m, s->stores[k].value));
  }
}

typedef struct { uint64_t key; int64_t at; } sort_item;

static bool goes_before(fst_dtype dtype, bool descending, uint64_t a, uint64_t b) {
  bool nan_a = false, nan_b = false;
  uint64_t ab[2] = {a, b}, ba[2] = {b, a}, aa[2] = {a, a}, bb[2] = {b, b};
  if (fst_dtype_is_float(dtype)) {
    nan_a = fst_prim_eval(FST_PRIM_NE, dtype, aa);
    nan_b = fst_prim_eval(FST_PRIM_NE, dtype, bb);
  }
  if (nan_a || nan_b) return descending ? nan_a && !nan_b : nan_b && !nan_a;   // NaN is largest
  return fst_prim_eval(FST_PRIM_LT, dtype, descending ? ba : ab);
}

static fst_status run_sort(machine *m, const fst_kstmt *s) {
  int64_t extents[FST_KERNEL_MAX_DIMS], total = points(m, s->extents, s->var_count, extents);
  int64_t length = extents[s->var_count - 1];
  fst_dtype dtype = fst_kx_get(m->k, s->stores[0].value)->dtype;
  sort_item *items = calloc((size_t)(length > 0 ? length : 1), sizeof *items);
  if (!items) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  for (int64_t row = 0; row < total; row += length) {
    for (int64_t i = 0; i < length; i++) {
      bind_point(m, s->vars, extents, s->var_count, row + i);
      sort_item item = {eval(m, s->stores[0].value), i};
      int64_t at = i;
      for (; at > 0 && goes_before(dtype, s->descending, item.key, items[at - 1].key); at--) items[at] = items[at - 1];
      items[at] = item;
    }
    for (int64_t i = 0; i < length; i++) {
      bind_point(m, s->vars, extents, s->var_count, row + i);
      store(m, &s->stores[0], items[i].key);
      if (s->store_count > 1) store(m, &s->stores[1], (uint64_t)items[i].at);
    }
  }
  free(items);
  return NULL;
}

// The k-th point found is stored at index k of the first dim (the stores' other indices are as they say).
static void run_compact(machine *m, const fst_kstmt *s) {
  int64_t extents[FST_KERNEL_MAX_DIMS], total = points(m, s->extents, s->var_count, extents), found = 0;
  for (int64_t i = 0; i < total; i++) {
    bind_point(m, s->vars, extents, s->var_count, i);
    if (!eval(m, s->condition)) continue;
    if (s->carry_count) bind(m, s->carries[0], (uint64_t)found);
    for (uint32_t k = 0; k < s->store_count; k++) store(m, &s->stores[k], eval(m, s->stores[k].value));
    found++;
  }
  memcpy(m->args->buffers[s->count_buffer], &found, sizeof found);
}

static fst_status run_stmt(machine *m, const fst_kstmt *s) {
  fst_status status = NULL;
  switch (s->kind) {
    case FST_KSTMT_MAP: case FST_KSTMT_SCATTER: run_points(m, s); break;
    case FST_KSTMT_SCAN: run_scan(m, s); break;
    case FST_KSTMT_SORT: status = run_sort(m, s); break;
    case FST_KSTMT_COMPACT: run_compact(m, s); break;
  }
  m->store_time = ++m->clock;
  return status;
}

fst_status fst_kernel_run(const fst_kernel *k, const fst_kargs *args) {
  machine m = {.k = k, .args = args, .store_time = 1, .clock = 1};
  fst_status status = NULL;
  fst_arena arena;
  for (size_t i = 0; i < k->stmts.len; i++)
    if (k->stmts.data[i].store_count > MOST_STORES || k->stmts.data[i].carry_count > MOST_CARRIES)
      return FST_FAIL(FST_ERR_UNSUPPORTED, "kernel %s: a statement with more than %d stores or %d carries", k->name, MOST_STORES, MOST_CARRIES);
  fst_arena_init(&arena);
  m.var_value = FST_NEW_ARRAY(&arena, uint64_t, k->vars.len + 1);
  m.var_time = FST_NEW_ARRAY(&arena, uint64_t, k->vars.len + 1);
  m.value = FST_NEW_ARRAY(&arena, uint64_t, k->exprs.len);
  m.computed = FST_NEW_ARRAY(&arena, uint64_t, k->exprs.len);
  m.free = fst_kernel_free_vars(k, &arena, &m.words);
  for (size_t i = 0; i < k->stmts.len && !status; i++) status = run_stmt(&m, &k->stmts.data[i]);
  fst_arena_deinit(&arena);
  return status;
}
