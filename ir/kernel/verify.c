// What every kernel keeps to, checked: dtypes, ranks, and that variables are bound where they are used. That reads
// and writes stay in bounds is a promise of whoever builds a kernel.
#include <string.h>

#include "ir/kernel/kernel.h"

typedef struct {
  const fst_kernel *k;
  size_t statement;
  uint32_t words;
  const uint64_t *free;   // per expression: the variables it depends on
  uint64_t *bound;        // by the statement
} verifier;

#define EXPECT(condition, ...)                                        \
  do {                                                                \
    if (!(condition)) return FST_FAIL(FST_ERR_INVALID, __VA_ARGS__);  \
  } while (0)

static fst_dtype dtype_of(const fst_kernel *k, fst_kx x) { return fst_kx_get(k, x)->dtype; }

// ---- expressions: each by itself -------------------------------------------------------------------

static fst_status check_prim(const fst_kernel *k, const fst_kx_data *d) {
  EXPECT(d->prim < FST_PRIM_COUNT && d->arg_count == fst_prim_arity(d->prim), "kernel %s: a primitive with too few or too many operands", k->name);
  const char *name = fst_prim_name(d->prim);
  fst_dtype first = dtype_of(k, d->args[0]), last = dtype_of(k, d->args[d->arg_count - 1]);
  for (uint32_t i = d->prim == FST_PRIM_SELECT ? 2 : 1; i < d->arg_count; i++)
    EXPECT(dtype_of(k, d->args[i]) == dtype_of(k, d->args[i - 1]), "kernel %s: %s of %s and %s", k->name, name, fst_dtype_name(dtype_of(k, d->args[i - 1])), fst_dtype_name(dtype_of(k, d->args[i])));
  EXPECT(fst_prim_takes(d->prim, first), "kernel %s: %s of %s", k->name, name, fst_dtype_name(first));
  if (d->prim == FST_PRIM_CONVERT) return NULL;
  if (d->prim == FST_PRIM_BITCAST) EXPECT(fst_dtype_size(first) == fst_dtype_size(d->dtype), "kernel %s: bitcast of %s to %s", k->name, fst_dtype_name(first), fst_dtype_name(d->dtype));
  else EXPECT(d->dtype == (fst_prim_is_compare(d->prim) ? FST_BOOL : last), "kernel %s: %s gives %s", k->name, name, fst_dtype_name(d->dtype));
  return NULL;
}

static fst_status check_reduce(const fst_kernel *k, const fst_kx_data *d) {
  EXPECT(d->arg_count == 1 && d->var_count <= FST_KERNEL_MAX_DIMS, "kernel %s: a malformed reduction", k->name);
  for (uint32_t i = 0; i < d->var_count; i++) {
    EXPECT(d->vars[i] < k->vars.len && k->vars.data[d->vars[i]] == FST_I64, "kernel %s: a reduction binds what is no index variable", k->name);
    EXPECT(dtype_of(k, d->extents[i]) == FST_I64, "kernel %s: a reduction's extent is not i64", k->name);
  }
  fst_dtype body = dtype_of(k, d->args[0]);
  bool is_truth = d->reduce == FST_REDUCE_ANY || d->reduce == FST_REDUCE_ALL, is_arg = d->reduce == FST_REDUCE_ARGMAX || d->reduce == FST_REDUCE_ARGMIN;
  EXPECT(!is_truth || body == FST_BOOL, "kernel %s: any or all of %s", k->name, fst_dtype_name(body));
  EXPECT(d->dtype == (is_arg ? FST_I64 : body), "kernel %s: a reduction of %s gives %s", k->name, fst_dtype_name(body), fst_dtype_name(d->dtype));
  return NULL;
}

static fst_status check_load(const fst_kernel *k, const fst_kx_data *d) {
  EXPECT(d->index < k->buffers.len, "kernel %s: a load of b%u, which is none of its buffers", k->name, d->index);
  const fst_kbuf *b = &k->buffers.data[d->index];
  EXPECT(d->arg_count == b->rank && d->dtype == b->dtype && b->is_read, "kernel %s: a load does not fit b%u", k->name, d->index);
  for (uint32_t i = 0; i < d->arg_count; i++) EXPECT(dtype_of(k, d->args[i]) == FST_I64, "kernel %s: an index into b%u is not i64", k->name, d->index);
  return NULL;
}

static fst_status check_exprs(const fst_kernel *k) {
  for (uint32_t x = 1; x < k->exprs.len; x++) {
    const fst_kx_data *d = &k->exprs.data[x];
    for (uint32_t i = 0; i < d->arg_count; i++) EXPECT(d->args[i].id && d->args[i].id < x, "kernel %s: an expression stands before its operand", k->name);
    for (uint32_t i = 0; i < d->var_count; i++) EXPECT(d->extents[i].id && d->extents[i].id < x, "kernel %s: a reduction stands before its extent", k->name);
    switch (d->kind) {
      case FST_KX_PARAM: EXPECT(d->index < k->params.len && d->dtype == k->params.data[d->index], "kernel %s: there is no such p%u", k->name, d->index); break;
      case FST_KX_VAR: EXPECT(d->index < k->vars.len && d->dtype == k->vars.data[d->index], "kernel %s: there is no such variable %u", k->name, d->index); break;
      case FST_KX_PRIM: FST_TRY(check_prim(k, d)); break;
      case FST_KX_LOAD: FST_TRY(check_load(k, d)); break;
      case FST_KX_REDUCE: FST_TRY(check_reduce(k, d)); break;
      case FST_KX_CONST: break;
    }
  }
  return NULL;
}

// ---- statements ------------------------------------------------------------------------------------

static fst_status check_used(const verifier *v, fst_kx x, fst_dtype dtype, const char *what) {
  EXPECT(x.id && x.id < v->k->exprs.len, "kernel %s, statement %zu: %s is missing", v->k->name, v->statement, what);
  EXPECT(dtype_of(v->k, x) == dtype, "kernel %s, statement %zu: %s is %s, not %s", v->k->name, v->statement, what, fst_dtype_name(dtype_of(v->k, x)), fst_dtype_name(dtype));
  for (uint32_t w = 0; w < v->words; w++)
    EXPECT(!(v->free[(size_t)x.id * v->words + w] & ~v->bound[w]), "kernel %s, statement %zu: %s uses a variable that nothing binds there", v->k->name, v->statement, what);
  return NULL;
}

static fst_status bind(verifier *v, uint32_t var, bool is_index) {
  EXPECT(var < v->k->vars.len && (!is_index || v->k->vars.data[var] == FST_I64), "kernel %s, statement %zu: binds what is no index variable", v->k->name, v->statement);
  v->bound[var / 64] |= UINT64_C(1) << var % 64;
  return NULL;
}

static fst_status check_store(const verifier *v, const fst_kstmt *s, uint32_t number) {
  const fst_kstore *st = &s->stores[number];
  EXPECT(st->buffer < v->k->buffers.len, "kernel %s, statement %zu: a store into b%u, which is none of its buffers", v->k->name, v->statement, st->buffer);
  const fst_kbuf *b = &v->k->buffers.data[st->buffer];
  EXPECT(st->index_count == b->rank && b->is_written, "kernel %s, statement %zu: a store does not fit b%u", v->k->name, v->statement, st->buffer);
  for (uint32_t i = 0; i < st->index_count; i++) FST_TRY(check_used(v, st->indices[i], FST_I64, "an index of a store"));
  if (s->kind == FST_KSTMT_SORT && number == 1) {
    EXPECT(b->dtype == FST_I64, "kernel %s, statement %zu: positions are i64", v->k->name, v->statement);
    return NULL;
  }
  return check_used(v, st->value, b->dtype, "a stored value");
}

static fst_status check_carries(verifier *v, const fst_kstmt *s) {
  for (uint32_t i = 0; i < s->carry_count; i++) {
    FST_TRY(bind(v, s->carries[i], s->kind == FST_KSTMT_COMPACT));
    if (s->kind == FST_KSTMT_COMPACT) continue;
    fst_dtype dtype = v->k->vars.data[s->carries[i]];
    FST_TRY(check_used(v, s->carry_init[i], dtype, "a carry's first value"));
  }
  for (uint32_t i = 0; i < s->carry_count && s->kind != FST_KSTMT_COMPACT; i++)
    FST_TRY(check_used(v, s->carry_next[i], v->k->vars.data[s->carries[i]], "a carry's next value"));
  return NULL;
}

static fst_status check_shape(const verifier *v, const fst_kstmt *s) {
  const char *name = v->k->name;
  bool along = s->kind == FST_KSTMT_SCAN || s->kind == FST_KSTMT_SORT;
  EXPECT(s->var_count <= FST_KERNEL_MAX_DIMS, "kernel %s, statement %zu: more than %d variables", name, v->statement, FST_KERNEL_MAX_DIMS);
  EXPECT(!along || s->var_count, "kernel %s, statement %zu: scans and sorts need a variable", name, v->statement);
  EXPECT(s->kind != FST_KSTMT_SORT || (s->store_count >= 1 && s->store_count <= 2), "kernel %s, statement %zu: a sort stores values and perhaps positions", name, v->statement);
  EXPECT(s->kind == FST_KSTMT_SCAN || !s->carry_count || (s->kind == FST_KSTMT_COMPACT && s->carry_count == 1), "kernel %s, statement %zu: carries without a scan", name, v->statement);
  EXPECT((s->kind == FST_KSTMT_COMPACT) == (s->condition.id != 0), "kernel %s, statement %zu: compact has a condition, and nothing else has", name, v->statement);
  if (s->kind != FST_KSTMT_COMPACT) return NULL;
  EXPECT(s->count_buffer < v->k->buffers.len && v->k->buffers.data[s->count_buffer].dtype == FST_I64 && v->k->buffers.data[s->count_buffer].is_written, "kernel %s, statement %zu: compact needs a written i64 buffer for the count", name, v->statement);
  return check_used(v, s->condition, FST_BOOL, "the condition");
}

static fst_status check_stmt(verifier *v, const fst_kstmt *s) {
  memset(v->bound, 0, v->words * sizeof *v->bound);
  for (uint32_t i = 0; i < s->var_count; i++) FST_TRY(check_used(v, s->extents[i], FST_I64, "an extent"));   // before any is bound
  for (uint32_t i = 0; i < s->var_count; i++) FST_TRY(bind(v, s->vars[i], true));
  FST_TRY(check_carries(v, s));
  FST_TRY(check_shape(v, s));
  for (uint32_t i = 0; i < s->store_count; i++) FST_TRY(check_store(v, s, i));
  return NULL;
}

static fst_status check_buffers(verifier *v) {
  memset(v->bound, 0, v->words * sizeof *v->bound);
  for (size_t i = 0; i < v->k->buffers.len; i++) {
    const fst_kbuf *b = &v->k->buffers.data[i];
    EXPECT(b->rank <= FST_KERNEL_MAX_DIMS, "kernel %s: b%zu has more than %d dims", v->k->name, i, FST_KERNEL_MAX_DIMS);
    for (uint32_t d = 0; d < b->rank; d++) {
      FST_TRY(check_used(v, b->sizes[d], FST_I64, "a buffer's size"));
      FST_TRY(check_used(v, b->strides[d], FST_I64, "a buffer's stride"));
    }
  }
  return NULL;
}

fst_status fst_kernel_verify(const fst_kernel *k) {
  verifier v = {.k = k};
  fst_arena arena;
  FST_TRY(check_exprs(k));
  fst_arena_init(&arena);
  v.free = fst_kernel_free_vars(k, &arena, &v.words);
  v.bound = FST_NEW_ARRAY(&arena, uint64_t, v.words);
  fst_status status = check_buffers(&v);
  for (size_t i = 0; i < k->stmts.len && !status; i++) {
    v.statement = i;
    status = check_stmt(&v, &k->stmts.data[i]);
  }
  fst_arena_deinit(&arena);
  return status;
}
