// The code of a launch in which teams of threads reduce rows; see rows.h.
#include "codegen/cuda/rows.h"

enum { WARP = 32, SHARED_SLOT = 16 };

typedef struct acc { const char *value, *position; } acc;  // arrays of `vector` accumulators

typedef struct coder {
  fst_cu *c;
  fst_rows r;
  uint32_t vector;          // of the part that is being printed: r.vector, or 1
  uint32_t at;              // the space that is being passed over
  const char **arrays;      // per kept load: the array that holds it, once it is read
} coder;

static const fst_kx_data *reduce_of(const coder *o, uint32_t i) { return fst_cu_get(o->c, o->r.reduces[i].reduce); }

static fst_dtype dtype_of(const coder *o, uint32_t i) { return fst_cu_get(o->c, o->r.reduces[i].body)->dtype; }

static uint32_t lanes_of(const fst_rows *r) { return r->team == FST_TEAM_WARP ? r->lanes : r->team == FST_TEAM_BLOCK ? r->threads : r->threads / WARP; }

// Teams beyond the last row work on it, too, and store nothing, because others in their warp or block wait for them.
static bool shares(const fst_rows *r) { return r->team == FST_TEAM_COLUMN || (r->team == FST_TEAM_WARP && r->lanes < WARP); }

// Two slots (a value and a position) for each partial result that others read.
uint32_t fst_rows_shared(const fst_rows *r) {
  if (r->team == FST_TEAM_WARP) return 0;
  return SHARED_SLOT * (r->team == FST_TEAM_BLOCK ? WARP : r->threads);
}

// ---- a pass over the row ----

static const fst_cu_space *space_of(const coder *o) { return &o->r.spaces[o->at]; }

static uint32_t slots_of(const coder *o) { return o->at ? 0 : o->r.slots; }

// `for (...) {` over a thread's part of the row; afterwards `w` is the first of `vector` elements, and `q` counts in kept arrays.
static void pass_open(coder *o) {
  fst_cu *c = o->c;
  uint32_t step = lanes_of(&o->r) * o->vector;
  if (slots_of(o)) {
    fst_cu_line(c, "#pragma unroll");
    fst_cu_open(c, "for (int q = 0; q < %u; ++q)", slots_of(o) / o->vector);
    fst_cu_line(c, "const i64 w = (i64)q * %u + lane * %u;", step, o->vector);
    fst_cu_open(c, "if (w < %s)", space_of(o)->total);
  } else {
    fst_cu_line(c, "#pragma unroll 4");
    const char *start = o->r.parts ? "begin + " : "", *end = o->r.parts ? "end" : space_of(o)->total;
    fst_cu_open(c, "for (i64 w = %slane * %u; w < %s; w += %u)", start, o->vector, end, step);
  }
}

static void pass_close(coder *o) {
  fst_cu_close(o->c);
  if (slots_of(o)) fst_cu_close(o->c);
}

static bool list_has(const fst_cu_list *list, fst_kx x) {
  for (size_t i = 0; i < list->len; i++)
    if (fst_kx_eq(list->data[i], x)) return true;
  return false;
}

static bool reaches(const coder *o, const fst_kx *roots, uint32_t count, fst_kx x) {
  fst_cu_accesses loads = {0};
  bool found = false;
  fst_cu_loads(o->c->k, roots, count, &loads);
  for (size_t i = 0; i < loads.len; i++) found |= fst_kx_eq(loads.data[i].load, x);
  fst_vec_free(&loads);
  return found;
}

static const char *as_value(coder *o, fst_kx load, const char *element) {
  return fst_cu_get(o->c, load)->dtype == FST_BOOL ? fst_cu_format(o->c, "(%s != 0)", element) : element;
}

// Reads what is kept and needed for the first time.
static void read_kept(coder *o, const fst_kx *roots, uint32_t count) {
  fst_cu *c = o->c;
  for (size_t i = 0; i < o->r.kept.len && slots_of(o); i++) {
    fst_kx load = o->r.kept.data[i];
    const fst_kx_data *d = fst_cu_get(c, load);
    if (o->arrays[i] || !reaches(o, roots, count, load)) continue;
    o->arrays[i] = fst_cu_name(c, "row");
    fst_cu_line(c, "%s %s[%u];", fst_cu_memory_type(d->dtype), o->arrays[i], o->r.slots);
    size_t scope = fst_cu_scope(c);
    pass_open(o);
    fst_cu_space_bind(c, space_of(o), "w");
    const char *element = fst_cu_element(c, d->index, d->args);
    if (o->vector > 1 && list_has(&o->r.wide, load)) {
      const char *type = fst_cu_vector_type(c, d->index, o->vector);
      fst_cu_line(c, "const %s t = *(const %s *)&%s;", type, type, element);
      for (uint32_t e = 0; e < o->vector; e++) fst_cu_line(c, "%s[q * %u + %u] = t.e[%u];", o->arrays[i], o->vector, e, e);
    } else {
      for (uint32_t e = 0; e < o->vector; e++) {
        fst_cu_forget(c, scope);
        if (e) fst_cu_space_bind(c, space_of(o), fst_cu_format(c, "(w + %u)", e));
        fst_cu_line(c, "%s[q * %u + %u] = %s;", o->arrays[i], o->vector, e, fst_cu_element(c, d->index, d->args));
      }
    }
    fst_cu_space_unbind(c, space_of(o));
    fst_cu_forget(c, scope);
    pass_close(o);
  }
}

// Opens the loop over the elements of a vector; loads that are kept or done as vectors stand for themselves in it.
static void elements_open(coder *o, const fst_kx *roots, uint32_t count) {
  fst_cu *c = o->c;
  fst_cu_accesses loads = {0};
  fst_cu_loads(c->k, roots, count, &loads);
  const char **names = FST_NEW_ARRAY(c->arena, const char *, loads.len + 1);
  size_t scope = fst_cu_scope(c);
  fst_cu_space_bind(c, space_of(o), "w");
  for (size_t i = 0; i < loads.len; i++) {
    fst_kx load = loads.data[i].load;
    const fst_kx_data *d = fst_cu_get(c, load);
    for (size_t j = 0; j < o->r.kept.len && slots_of(o); j++)
      if (fst_kx_eq(o->r.kept.data[j], load) && o->arrays[j]) names[i] = fst_cu_format(c, "%s[q * %u + e]", o->arrays[j], o->vector);
    if (names[i] || o->vector == 1 || !list_has(&o->r.wide, load) || !fst_cu_is_bound(c, load)) continue;   // others are inside results that are known
    const char *type = fst_cu_vector_type(c, d->index, o->vector), *name = fst_cu_name(c, "t");
    fst_cu_line(c, "const %s %s = *(const %s *)&%s;", type, name, type, fst_cu_element(c, d->index, d->args));
    names[i] = fst_cu_format(c, "%s.e[e]", name);
  }
  fst_cu_space_unbind(c, space_of(o));
  fst_cu_forget(c, scope);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int e = 0; e < %u; ++e)", o->vector);
  fst_cu_space_bind(c, space_of(o), "(w + e)");
  for (size_t i = 0; i < loads.len; i++)
    if (names[i]) fst_cu_remember(c, loads.data[i].load, as_value(o, loads.data[i].load, names[i]));
  fst_vec_free(&loads);
}

static void elements_close(coder *o) {
  fst_cu_space_unbind(o->c, space_of(o));
  fst_cu_close(o->c);
}

// ---- partial results ----

static void take(coder *o, uint32_t i, acc into, const char *value, const char *position) {
  fst_cu *c = o->c;
  const fst_kx_data *d = reduce_of(o, i);
  if (!fst_cu_is_arg(d)) {
    fst_cu_line(c, "%s = %s;", into.value, fst_cu_combine(c, d, into.value, value));
    return;
  }
  const char *better = fst_cu_better(c, d, value, into.value), *worse = fst_cu_better(c, d, into.value, value);
  fst_cu_open(c, "if (%s || (!(%s) && %s < %s))", better, worse, position, into.position);
  fst_cu_line(c, "%s = %s;", into.value, value);
  fst_cu_line(c, "%s = %s;", into.position, position);
  fst_cu_close(c);
}

static acc acc_declare(coder *o, uint32_t i) {
  fst_cu *c = o->c;
  const fst_kx_data *d = reduce_of(o, i);
  acc out = {fst_cu_name(c, "acc"), fst_cu_is_arg(d) ? fst_cu_name(c, "at") : NULL};
  fst_cu_line(c, "%s %s[%u];", fst_cu_type(dtype_of(o, i)), out.value, o->vector);
  if (out.position) fst_cu_line(c, "i64 %s[%u];", out.position, o->vector);
  for (uint32_t e = 0; e < o->vector; e++) {
    fst_cu_line(c, "%s[%u] = %s;", out.value, e, fst_cu_reduce_start(c, d));
    if (out.position) fst_cu_line(c, "%s[%u] = 0x7fffffffffffffffll;", out.position, e);
  }
  return out;
}

static acc acc_element(coder *o, acc a, const char *e) {
  return (acc){fst_cu_format(o->c, "%s[%s]", a.value, e), a.position ? fst_cu_format(o->c, "%s[%s]", a.position, e) : NULL};
}

// One element of the row. Sums of float products fuse, as they do on every target.
static void acc_visit(coder *o, uint32_t i, acc a) {
  fst_cu *c = o->c;
  fst_kx body = o->r.reduces[i].body;
  const fst_kx_data *b = fst_cu_get(c, body);
  bool plain_float = b->dtype == FST_F32 || b->dtype == FST_F64;
  acc own = acc_element(o, a, "e");
  if (reduce_of(o, i)->reduce == FST_REDUCE_SUM && plain_float && b->kind == FST_KX_PRIM && b->prim == FST_PRIM_MUL && !c->memo[body.id]) {
    const char *x = fst_cu_expr(c, b->args[0]), *y = fst_cu_expr(c, b->args[1]);
    fst_cu_line(c, "%s = fst_fma(%s, %s, %s);", own.value, x, y, own.value);
    return;
  }
  take(o, i, own, fst_cu_expr(c, body), "(w + e)");
}

// Shuffles move 4 or 8 bytes.
static const char *shuffled(coder *o, fst_dtype dtype, const char *value, const char *mask) {
  const char *type = fst_cu_type(dtype);
  if (fst_dtype_size(dtype) >= 4) return fst_cu_format(o->c, "__shfl_xor_sync(0xffffffffu, %s, %s)", value, mask);
  return fst_cu_format(o->c, "(%s)__shfl_xor_sync(0xffffffffu, (int)%s, %s)", type, value, mask);
}

static void across_warp(coder *o, uint32_t i, acc a) {
  fst_cu *c = o->c;
  const char *other = fst_cu_name(c, "other"), *where = fst_cu_name(c, "where");
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int d = %u; d; d >>= 1)", (o->r.team == FST_TEAM_WARP ? o->r.lanes : WARP) / 2);
  fst_cu_line(c, "const %s %s = %s;", fst_cu_type(dtype_of(o, i)), other, shuffled(o, dtype_of(o, i), a.value, "d"));
  if (a.position) fst_cu_line(c, "const i64 %s = __shfl_xor_sync(0xffffffffu, %s, d);", where, a.position);
  take(o, i, a, other, where);
  fst_cu_close(c);
}

static void shared_store(coder *o, uint32_t i, acc a, const char *slot) {
  fst_cu_line(o->c, "*(%s *)(shared + (%s) * %d) = %s;", fst_cu_type(dtype_of(o, i)), slot, SHARED_SLOT, a.value);
  if (a.position) fst_cu_line(o->c, "*(i64 *)(shared + (%s) * %d + 8) = %s;", slot, SHARED_SLOT, a.position);
}

static acc shared_load(coder *o, uint32_t i, const char *slot) {
  return (acc){fst_cu_format(o->c, "*(%s *)(shared + (%s) * %d)", fst_cu_type(dtype_of(o, i)), slot, SHARED_SLOT),
               fst_cu_is_arg(reduce_of(o, i)) ? fst_cu_format(o->c, "*(i64 *)(shared + (%s) * %d + 8)", slot, SHARED_SLOT) : NULL};
}

// Every warp's result into shared memory; every warp then combines all of them, so that all threads have the same.
static void across_block(coder *o, uint32_t i, acc a) {
  fst_cu *c = o->c;
  fst_cu_line(c, "if (threadIdx.x %% %d == 0) {", WARP);
  shared_store(o, i, a, fst_cu_format(c, "threadIdx.x / %d", WARP));
  fst_cu_line(c, "}");
  fst_cu_line(c, "__syncthreads();");
  acc others = shared_load(o, i, fst_cu_format(c, "threadIdx.x %% %u", o->r.threads / WARP));
  fst_cu_line(c, "%s = %s;", a.value, others.value);
  if (a.position) fst_cu_line(c, "%s = %s;", a.position, others.position);
  fst_cu_line(c, "__syncthreads();");
  const char *other = fst_cu_name(c, "other"), *where = fst_cu_name(c, "where");
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int d = %u; d; d >>= 1)", o->r.threads / WARP / 2);
  fst_cu_line(c, "const %s %s = %s;", fst_cu_type(dtype_of(o, i)), other, shuffled(o, dtype_of(o, i), a.value, "d"));
  if (a.position) fst_cu_line(c, "const i64 %s = __shfl_xor_sync(0xffffffffu, %s, d);", where, a.position);
  take(o, i, a, other, where);
  fst_cu_close(c);
}

// The threads of a column lie in different warps; each adds up all of its column.
static void across_column(coder *o, uint32_t i, acc a) {
  fst_cu *c = o->c;
  shared_store(o, i, a, "threadIdx.x");
  fst_cu_line(c, "__syncthreads();");
  acc first = shared_load(o, i, fst_cu_format(c, "threadIdx.x %% %d", WARP));
  fst_cu_line(c, "%s = %s;", a.value, first.value);
  if (a.position) fst_cu_line(c, "%s = %s;", a.position, first.position);
  fst_cu_open(c, "for (int d = 1; d < %u; ++d)", o->r.threads / WARP);
  acc other = shared_load(o, i, fst_cu_format(c, "d * %d + threadIdx.x %% %d", WARP, WARP));
  take(o, i, a, other.value, other.position);
  fst_cu_close(c);
  fst_cu_line(c, "__syncthreads();");
}

static const char *part_place(coder *o, const char *part, uint32_t i) {
  return fst_cu_format(o->c, "scratch + ((team * %u + %s) * %u + %u) * %d", o->r.parts, part, o->r.reduce_count, i, FST_ROWS_PART_BYTES);
}

static void part_leave(coder *o, uint32_t i, acc a) {
  fst_cu *c = o->c;
  fst_cu_open(c, "if (lane == 0)");
  fst_cu_line(c, "*(%s *)(%s) = %s;", fst_cu_type(dtype_of(o, i)), part_place(o, "part", i), a.value);
  if (a.position) fst_cu_line(c, "*(i64 *)(%s + 8) = %s;", part_place(o, "part", i), a.position);
  fst_cu_close(c);
}

static void acc_finish(coder *o, uint32_t i, acc a) {
  fst_cu *c = o->c;
  acc first = acc_element(o, a, "0");
  for (uint32_t e = 1; e < o->vector; e++) {
    acc other = acc_element(o, a, fst_cu_format(c, "%u", e));
    take(o, i, first, other.value, other.position);
  }
  if (o->r.team == FST_TEAM_COLUMN) across_column(o, i, first);
  else across_warp(o, i, first);
  if (o->r.team == FST_TEAM_BLOCK) across_block(o, i, first);
  if (o->r.parts && !o->r.joins) {
    part_leave(o, i, first);
    return;
  }
  const char *name = fst_cu_name(c, "v");
  fst_cu_line(c, "const %s %s = %s;", a.position ? "i64" : fst_cu_type(dtype_of(o, i)), name, a.position ? first.position : first.value);
  fst_cu_remember(c, o->r.reduces[i].reduce, name);
}

// The results of the parts instead of the row itself.
static void join_parts(coder *o) {
  fst_cu *c = o->c;
  o->vector = 1;
  for (uint32_t i = 0; i < o->r.reduce_count; i++) {
    acc a = acc_declare(o, i), own = acc_element(o, a, "0");
    fst_cu_open(c, "for (int part = (int)lane; part < %u; part += %d)", o->r.parts, WARP);
    const char *value = fst_cu_format(c, "*(const %s *)(%s)", fst_cu_type(dtype_of(o, i)), part_place(o, "part", i));
    take(o, i, own, value, fst_cu_format(c, "*(const i64 *)(%s + 8)", part_place(o, "part", i)));
    fst_cu_close(c);
    acc_finish(o, i, a);
  }
}

// ---- phases and stores ----

static void pass(coder *o, uint32_t number) {
  fst_cu *c = o->c;
  fst_kx roots[FST_ROWS_REDUCES] = {0};
  uint32_t which[FST_ROWS_REDUCES], count = 0;
  acc accs[FST_ROWS_REDUCES];
  for (uint32_t i = 0; i < o->r.reduce_count; i++) {
    if (o->r.reduces[i].phase != number || o->r.reduces[i].space != o->at) continue;
    which[count] = i;
    roots[count++] = o->r.reduces[i].body;
  }
  if (!count) return;
  for (uint32_t i = 0; i < count; i++) fst_cu_hoist(c, roots[i], true);
  read_kept(o, roots, count);
  for (uint32_t i = 0; i < count; i++) accs[i] = acc_declare(o, which[i]);
  size_t scope = fst_cu_scope(c);
  pass_open(o);
  elements_open(o, roots, count);
  for (uint32_t i = 0; i < count; i++) acc_visit(o, which[i], accs[i]);
  elements_close(o);
  pass_close(o);
  fst_cu_forget(c, scope);
  for (uint32_t i = 0; i < count; i++) acc_finish(o, which[i], accs[i]);
}

static void store_values(coder *o, const char **values) {
  for (uint32_t i = 0; i < o->r.store_count; i++) values[i] = fst_cu_expr(o->c, o->r.stores[i].value);
}

static void store_all(coder *o, const char *const *values) {
  for (uint32_t i = 0; i < o->r.store_count; i++) fst_cu_store(o->c, o->r.stores[i].buffer, o->r.stores[i].indices, values[i]);
}

// One point for a row: one thread has it.
static void stores_single(coder *o) {
  fst_cu *c = o->c;
  const char **values = FST_NEW_ARRAY(c->arena, const char *, o->r.store_count + 1);
  fst_cu_open(c, "if (lane == 0%s)", shares(&o->r) ? " && inside" : "");
  store_values(o, values);
  store_all(o, values);
  fst_cu_close(c);
}

static void stores_elsewhere(coder *o) {
  fst_cu *c = o->c;
  const char **values = FST_NEW_ARRAY(c->arena, const char *, o->r.store_count + 1);
  for (uint32_t i = 0; i < o->r.store_count; i++) fst_cu_hoist(c, o->r.stores[i].value, true);
  fst_cu_open(c, "for (i64 w = lane; w < %s%s; w += %u)", o->r.rest.total, shares(&o->r) ? " && inside" : "", lanes_of(&o->r));
  fst_cu_space_bind(c, &o->r.rest, "w");
  store_values(o, values);
  store_all(o, values);
  fst_cu_space_unbind(c, &o->r.rest);
  fst_cu_close(c);
}

static void stores_along(coder *o) {
  fst_cu *c = o->c;
  uint32_t count = o->r.store_count;
  fst_kx *roots = FST_NEW_ARRAY(c->arena, fst_kx, count + 1);
  const char **values = FST_NEW_ARRAY(c->arena, const char *, count + 1), **outs = FST_NEW_ARRAY(c->arena, const char *, count + 1);
  for (uint32_t i = 0; i < count; i++) roots[i] = o->r.stores[i].value;
  for (uint32_t i = 0; i < count; i++) fst_cu_hoist(c, roots[i], true);
  read_kept(o, roots, count);
  if (shares(&o->r)) fst_cu_open(c, "if (inside)");
  size_t scope = fst_cu_scope(c);
  pass_open(o);
  for (uint32_t i = 0; i < count && o->vector > 1; i++) {
    outs[i] = fst_cu_name(c, "out");
    fst_cu_line(c, "%s %s;", fst_cu_vector_type(c, o->r.stores[i].buffer, o->vector), outs[i]);
  }
  elements_open(o, roots, count);
  store_values(o, values);
  if (o->vector == 1) store_all(o, values);
  for (uint32_t i = 0; i < count && o->vector > 1; i++) fst_cu_line(c, "%s.e[e] = %s;", outs[i], values[i]);
  elements_close(o);
  fst_cu_forget(c, scope);
  for (uint32_t i = 0; i < count && o->vector > 1; i++) {
    const fst_kstore *s = &o->r.stores[i];
    if (!o->r.store_is_wide[i]) {
      fst_cu_line(c, "#pragma unroll");
      fst_cu_open(c, "for (int e = 0; e < %u; ++e)", o->vector);
    }
    fst_cu_space_bind(c, space_of(o), o->r.store_is_wide[i] ? "w" : "(w + e)");
    const char *element = fst_cu_element(c, s->buffer, s->indices);
    if (o->r.store_is_wide[i]) fst_cu_line(c, "*(%s *)&%s = %s;", fst_cu_vector_type(c, s->buffer, o->vector), element, outs[i]);
    else fst_cu_line(c, "%s = %s.e[e];", element, outs[i]);
    fst_cu_space_unbind(c, space_of(o));
    if (!o->r.store_is_wide[i]) fst_cu_close(c);
    fst_cu_forget(c, scope);
  }
  pass_close(o);
  if (shares(&o->r)) fst_cu_close(c);
}

static void row(coder *o, uint32_t vector) {
  size_t scope = fst_cu_scope(o->c);
  o->vector = vector;
  o->arrays = FST_NEW_ARRAY(o->c->arena, const char *, o->r.kept.len + 1);
  if (o->r.joins) join_parts(o);
  for (uint32_t p = 0; p < o->r.phase_count && !o->r.joins; p++)
    for (o->at = 0; o->at < o->r.space_count; o->at++) pass(o, p);
  o->at = 0;
  if (o->r.parts && !o->r.joins) {
    fst_cu_forget(o->c, scope);
    return;
  }
  if (!o->r.spread) stores_single(o);
  else if (o->r.shares_space) stores_along(o);
  else stores_elsewhere(o);
  fst_cu_forget(o->c, scope);
}

static void wide_and_narrow(coder *o) {
  fst_cu *c = o->c;
  bool *buffers = FST_NEW_ARRAY(c->arena, bool, c->k->buffers.len + 1);
  for (size_t i = 0; i < o->r.wide.len; i++) buffers[fst_cu_get(c, o->r.wide.data[i])->index] = true;
  for (uint32_t i = 0; i < o->r.store_count; i++) buffers[o->r.stores[i].buffer] |= o->r.store_is_wide[i];
  const char *fits = fst_cu_wide_condition(c, &o->r.multiples, buffers, o->r.vector);
  for (uint32_t s = 0; s < o->r.space_count; s++) fits = fst_cu_format(c, "%s && %s %% %u == 0", fits, o->r.spaces[s].sizes[o->r.spaces[s].count - 1], o->r.vector);
  fst_cu_open(c, "if (%s)", fits);
  row(o, o->r.vector);
  c->depth--;
  fst_cu_open(c, "} else");
  row(o, 1);
  fst_cu_close(c);
}

static void team_open(coder *o) {
  fst_cu *c = o->c;
  const char *total = o->r.teams.total;
  switch (o->r.team) {
    case FST_TEAM_WARP:
      if (o->r.lanes < WARP) {
        fst_cu_line(c, "const i64 lane = threadIdx.x %% %u, mine = (i64)blockIdx.x * %u + threadIdx.x / %u, team = fst_min(mine, %s - 1);", o->r.lanes, o->r.threads / o->r.lanes, o->r.lanes, total);
        fst_cu_line(c, "const bool inside = mine < %s;", total);
        break;
      }
      fst_cu_line(c, "const i64 lane = threadIdx.x %% %d, team = (i64)blockIdx.x * %u + threadIdx.x / %d;", WARP, o->r.threads / WARP, WARP);
      fst_cu_open(c, "if (team < %s)", total);
      break;
    case FST_TEAM_BLOCK:
      fst_cu_line(c, "FST_SHARED(shared);");
      if (!o->r.parts) fst_cu_line(c, "const i64 lane = threadIdx.x, team = blockIdx.x;");
      else {
        // Parts begin at multiples of 16 elements, whatever the vector is.
        fst_cu_line(c, "const i64 lane = threadIdx.x, team = blockIdx.x / %u, part = blockIdx.x %% %u, length = (%s / %u + 16) / 16 * 16;", o->r.parts, o->r.parts, space_of(o)->total, o->r.parts);
        fst_cu_line(c, "const i64 begin = part * length, end = fst_min(begin + length, %s);", space_of(o)->total);
      }
      break;
    case FST_TEAM_COLUMN:
      fst_cu_line(c, "FST_SHARED(shared);");
      fst_cu_line(c, "const i64 lane = threadIdx.x / %d, mine = (i64)blockIdx.x * %d + threadIdx.x %% %d, team = fst_min(mine, %s - 1);", WARP, WARP, WARP, total);
      fst_cu_line(c, "const bool inside = mine < %s;", total);
      break;
  }
  fst_cu_space_bind(c, &o->r.teams, "team");
}

void fst_rows_body(fst_cu *c, const void *context) {
  coder o = {.c = c, .r = *(const fst_rows *)context};
  fst_cu_space_declare(c, &o.r.teams);
  for (uint32_t s = 0; s < o.r.space_count; s++) fst_cu_space_declare(c, &o.r.spaces[s]);
  if (o.r.spread && !o.r.shares_space) fst_cu_space_declare(c, &o.r.rest);
  team_open(&o);
  if (o.r.vector > 1 && !o.r.joins) wide_and_narrow(&o);
  else row(&o, 1);
  fst_cu_space_unbind(c, &o.r.teams);
  if (o.r.team == FST_TEAM_WARP && !shares(&o.r)) fst_cu_close(c);
}
