// Building kernels: hash-consed expressions, folded here and simplified by rules.c as they are made.
#include "ir/kernel/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fst_kernel *fst_kernel_create(const char *name) {
  fst_kernel *k = calloc(1, sizeof *k);
  FST_ASSERT(k, "out of memory");
  fst_arena_init(&k->arena);
  k->name = fst_arena_strdup(&k->arena, name);
  fst_kx_data none = {0};
  fst_vec_push(&k->exprs, none);
  return k;
}

void fst_kernel_destroy(fst_kernel *k) {
  if (!k) return;
  fst_vec_free(&k->exprs);
  fst_map_deinit(&k->expr_index);
  fst_vec_free(&k->buffers);
  fst_vec_free(&k->params);
  fst_vec_free(&k->vars);
  fst_vec_free(&k->stmts);
  fst_arena_deinit(&k->arena);
  free(k);
}

const fst_kx_data *fst_kx_get(const fst_kernel *k, fst_kx x) {
  FST_ASSERT(x.id && x.id < k->exprs.len, "no expression in kernel %s", k->name);
  return &k->exprs.data[x.id];
}

// ---- hash-consing ----------------------------------------------------------------------------------

static uint64_t data_hash(const fst_kx_data *d) {
  uint64_t h = fst_hash_mix((uint64_t)d->kind << 32 | (uint64_t)d->dtype << 16 | (uint64_t)d->prim << 8 | d->reduce, d->bits);
  h = fst_hash_mix(h, (uint64_t)d->index << 32 | d->arg_count);
  for (uint32_t i = 0; i < d->arg_count; i++) h = fst_hash_mix(h, d->args[i].id);
  for (uint32_t i = 0; i < d->var_count; i++) h = fst_hash_mix(h, (uint64_t)d->vars[i] << 32 | d->extents[i].id);
  return h;
}

static bool data_equal(const fst_kx_data *a, const fst_kx_data *b) {
  if (a->kind != b->kind || a->dtype != b->dtype || a->prim != b->prim || a->reduce != b->reduce || a->index != b->index || a->bits != b->bits ||
      a->arg_count != b->arg_count || a->var_count != b->var_count)
    return false;
  for (uint32_t i = 0; i < a->arg_count; i++)
    if (!fst_kx_eq(a->args[i], b->args[i])) return false;
  for (uint32_t i = 0; i < a->var_count; i++)
    if (a->vars[i] != b->vars[i] || !fst_kx_eq(a->extents[i], b->extents[i])) return false;
  return true;
}

// The expression that is there already, or none and the key for it.
static fst_kx find(const fst_kernel *k, const fst_kx_data *d, uint64_t *out_key) {
  uint64_t at;
  for (*out_key = data_hash(d); fst_map_get(&k->expr_index, *out_key, &at); ++*out_key)
    if (data_equal(&k->exprs.data[at], d)) return (fst_kx){(uint32_t)at};
  return FST_NO_KX;
}

static fst_kx intern(fst_kernel *k, fst_kx_data d) {
  uint64_t key;
  fst_kx x = find(k, &d, &key);
  if (x.id) return x;
  d.args = d.arg_count ? fst_arena_memdup(&k->arena, d.args, d.arg_count * sizeof *d.args) : NULL;
  d.vars = d.var_count ? fst_arena_memdup(&k->arena, d.vars, d.var_count * sizeof *d.vars) : NULL;
  d.extents = d.var_count ? fst_arena_memdup(&k->arena, d.extents, d.var_count * sizeof *d.extents) : NULL;
  x.id = (uint32_t)k->exprs.len;
  fst_vec_push(&k->exprs, d);
  fst_map_set(&k->expr_index, key, x.id);
  return x;
}

// ---- leaves ----------------------------------------------------------------------------------------

fst_kx fst_kx_const_bits(fst_kernel *k, fst_dtype dtype, uint64_t bits) {
  return intern(k, (fst_kx_data){.kind = FST_KX_CONST, .dtype = dtype, .bits = bits});
}
fst_kx fst_kx_int(fst_kernel *k, int64_t value) { return fst_kx_const_bits(k, FST_I64, (uint64_t)value); }
fst_kx fst_kx_bool(fst_kernel *k, bool value) { return fst_kx_const_bits(k, FST_BOOL, value); }
fst_kx fst_kx_float(fst_kernel *k, fst_dtype dtype, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return fst_kx_const_bits(k, dtype, fst_convert_eval(FST_F64, dtype, bits));
}
fst_kx fst_kx_number(fst_kernel *k, fst_dtype dtype, double f, int64_t i) {
  return fst_dtype_is_float(dtype) ? fst_kx_float(k, dtype, f) : fst_kx_const_bits(k, dtype, fst_convert_eval(FST_I64, dtype, (uint64_t)i));
}

fst_kx fst_kernel_param(fst_kernel *k, fst_dtype dtype) {
  fst_vec_push(&k->params, dtype);
  return intern(k, (fst_kx_data){.kind = FST_KX_PARAM, .dtype = dtype, .index = (uint32_t)k->params.len - 1});
}
fst_kx fst_kernel_var(fst_kernel *k, fst_dtype dtype) {
  fst_vec_push(&k->vars, dtype);
  return intern(k, (fst_kx_data){.kind = FST_KX_VAR, .dtype = dtype, .index = (uint32_t)k->vars.len - 1});
}
uint32_t fst_kernel_buffer(fst_kernel *k, const fst_kbuf *buffer) {
  fst_vec_push(&k->buffers, *buffer);
  return (uint32_t)k->buffers.len - 1;
}

fst_kx fst_kx_load(fst_kernel *k, uint32_t buffer, const fst_kx *indices) {
  k->buffers.data[buffer].is_read = true;
  return intern(k, (fst_kx_data){.kind = FST_KX_LOAD, .dtype = k->buffers.data[buffer].dtype, .index = buffer, .args = indices, .arg_count = k->buffers.data[buffer].rank});
}

bool fst_kx_is_int(const fst_kernel *k, fst_kx x, int64_t *out) {
  const fst_kx_data *d = fst_kx_get(k, x);
  if (d->kind != FST_KX_CONST || d->dtype != FST_I64) return false;
  *out = (int64_t)d->bits;
  return true;
}

// ---- primitives ------------------------------------------------------------------------------------

// f(a, b) is f(b, a), for floats up to the payload of a NaN.
static bool commutes(fst_prim prim) {
  return prim == FST_PRIM_ADD || prim == FST_PRIM_MUL || prim == FST_PRIM_EQ || prim == FST_PRIM_NE || prim == FST_PRIM_AND || prim == FST_PRIM_OR || prim == FST_PRIM_XOR;
}
static bool is_const(const fst_kernel *k, fst_kx x) { return fst_kx_get(k, x)->kind == FST_KX_CONST; }

// Operands stay in the order they were given in, which is what the text shows; but where the swapped form is there
// already, that is taken.
static fst_kx make_prim(fst_kernel *k, fst_prim prim, fst_dtype dtype, const fst_kx *args, uint32_t count) {
  if (count == 2 && commutes(prim)) {
    fst_kx swapped[] = {args[1], args[0]};
    fst_kx_data d = {.kind = FST_KX_PRIM, .prim = prim, .dtype = dtype, .args = swapped, .arg_count = 2};
    uint64_t key;
    fst_kx x = find(k, &d, &key);
    if (x.id) return x;
  }
  return intern(k, (fst_kx_data){.kind = FST_KX_PRIM, .prim = prim, .dtype = dtype, .args = args, .arg_count = count});
}

static fst_kx select_prim(fst_kernel *k, const fst_kx *a) {
  fst_dtype dtype = fst_kx_get(k, a[1])->dtype;
  FST_ASSERT(fst_kx_get(k, a[0])->dtype == FST_BOOL, "select in %s needs a bool", k->name);
  FST_ASSERT(dtype == fst_kx_get(k, a[2])->dtype, "the sides of a select in %s differ", k->name);
  fst_kx simpler = fst_rules_prim(k, FST_PRIM_SELECT, dtype, a);
  return simpler.id ? simpler : make_prim(k, FST_PRIM_SELECT, dtype, a, 3);
}

fst_kx fst_kx_prim(fst_kernel *k, fst_prim prim, const fst_kx *args, uint32_t count) {
  FST_ASSERT(count == fst_prim_arity(prim), "%s takes %u operands", fst_prim_name(prim), fst_prim_arity(prim));
  FST_ASSERT(prim != FST_PRIM_CONVERT && prim != FST_PRIM_BITCAST, "%s names a dtype", fst_prim_name(prim));
  if (prim == FST_PRIM_SELECT) return select_prim(k, args);
  fst_kx a[3] = {args[0], count > 1 ? args[1] : FST_NO_KX, count > 2 ? args[2] : FST_NO_KX};
  fst_dtype dtype = fst_kx_get(k, a[0])->dtype;
  bool constant = true;
  uint64_t bits[3] = {0};
  for (uint32_t i = 0; i < count; i++) {
    const fst_kx_data *d = fst_kx_get(k, a[i]);
    FST_ASSERT(d->dtype == dtype, "operands of %s in %s are %s and %s", fst_prim_name(prim), k->name, fst_dtype_name(dtype), fst_dtype_name(d->dtype));
    constant = constant && d->kind == FST_KX_CONST;
    bits[i] = d->bits;
  }
  fst_dtype result = fst_prim_is_compare(prim) ? FST_BOOL : dtype;
  bool by_zero = (prim == FST_PRIM_DIV || prim == FST_PRIM_REM) && !fst_dtype_is_float(dtype) && !bits[1];
  if (constant && !by_zero) return fst_kx_const_bits(k, result, fst_prim_eval(prim, dtype, bits));
  if (count == 2 && commutes(prim) && is_const(k, a[0])) {
    fst_kx t = a[0];
    a[0] = a[1];
    a[1] = t;
  }
  fst_kx simpler = fst_rules_prim(k, prim, dtype, a);
  return simpler.id ? simpler : make_prim(k, prim, result, a, count);
}

fst_kx fst_kx_prim1(fst_kernel *k, fst_prim prim, fst_kx a) { return fst_kx_prim(k, prim, &a, 1); }
fst_kx fst_kx_prim2(fst_kernel *k, fst_prim prim, fst_kx a, fst_kx b) { return fst_kx_prim(k, prim, (fst_kx[]){a, b}, 2); }
fst_kx fst_kx_prim3(fst_kernel *k, fst_prim prim, fst_kx a, fst_kx b, fst_kx c) { return fst_kx_prim(k, prim, (fst_kx[]){a, b, c}, 3); }

fst_kx fst_kx_convert(fst_kernel *k, fst_kx a, fst_dtype dtype) {
  const fst_kx_data *d = fst_kx_get(k, a);
  if (d->dtype == dtype) return a;
  if (d->kind == FST_KX_CONST) return fst_kx_const_bits(k, dtype, fst_convert_eval(d->dtype, dtype, d->bits));
  fst_kx simpler = fst_rules_convert(k, a, dtype);
  return simpler.id ? simpler : make_prim(k, FST_PRIM_CONVERT, dtype, &a, 1);
}

fst_kx fst_kx_bitcast(fst_kernel *k, fst_kx a, fst_dtype dtype) {
  const fst_kx_data *d = fst_kx_get(k, a);
  FST_ASSERT(fst_dtype_size(d->dtype) == fst_dtype_size(dtype), "bitcast of %s to %s", fst_dtype_name(d->dtype), fst_dtype_name(dtype));
  if (d->dtype == dtype) return a;
  if (d->kind == FST_KX_CONST) {
    uint64_t bits = dtype == FST_I32 ? (uint64_t)(int64_t)(int32_t)d->bits : dtype == FST_I16 ? (uint64_t)(int64_t)(int16_t)d->bits
                    : dtype == FST_F32 ? (uint32_t)d->bits : dtype == FST_F16 || dtype == FST_BF16 ? (uint16_t)d->bits : d->bits;
    return fst_kx_const_bits(k, dtype, bits);
  }
  return make_prim(k, FST_PRIM_BITCAST, dtype, &a, 1);
}

fst_kx fst_kx_reduce(fst_kernel *k, fst_reduce op, const fst_kx *vars, const fst_kx *extents, uint32_t count, fst_kx body) {
  uint32_t numbers[FST_KERNEL_MAX_DIMS];
  FST_ASSERT(count <= FST_KERNEL_MAX_DIMS, "a reduction over %u variables", count);
  for (uint32_t i = 0; i < count; i++) numbers[i] = fst_kx_get(k, vars[i])->index;
  bool is_arg = op == FST_REDUCE_ARGMAX || op == FST_REDUCE_ARGMIN;
  if (!count && !is_arg) return body;
  fst_dtype dtype = is_arg ? FST_I64 : fst_kx_get(k, body)->dtype;
  return intern(k, (fst_kx_data){.kind = FST_KX_REDUCE, .reduce = op, .dtype = dtype, .args = &body, .arg_count = 1, .vars = numbers, .extents = extents, .var_count = count});
}

// ---- statements ------------------------------------------------------------------------------------

fst_kstmt *fst_kernel_add_stmt(fst_kernel *k, fst_kstmt_kind kind, uint32_t var_count, uint32_t store_count, uint32_t carry_count) {
  fst_kstmt s = {.kind = kind, .var_count = var_count, .store_count = store_count, .carry_count = carry_count};
  s.vars = FST_NEW_ARRAY(&k->arena, uint32_t, var_count + 1);
  s.extents = FST_NEW_ARRAY(&k->arena, fst_kx, var_count + 1);
  s.stores = FST_NEW_ARRAY(&k->arena, fst_kstore, store_count + 1);
  s.carries = FST_NEW_ARRAY(&k->arena, uint32_t, carry_count + 1);
  s.carry_init = FST_NEW_ARRAY(&k->arena, fst_kx, carry_count + 1);
  s.carry_next = FST_NEW_ARRAY(&k->arena, fst_kx, carry_count + 1);
  fst_vec_push(&k->stmts, s);
  return &fst_vec_last(&k->stmts);
}

void fst_kernel_map(fst_kernel *k, const fst_kx *vars, const fst_kx *extents, uint32_t count, const fst_kstore *stores, uint32_t store_count) {
  fst_kstmt *s = fst_kernel_add_stmt(k, FST_KSTMT_MAP, count, store_count, 0);
  for (uint32_t i = 0; i < count; i++) {
    s->vars[i] = fst_kx_get(k, vars[i])->index;
    s->extents[i] = extents[i];
  }
  for (uint32_t i = 0; i < store_count; i++) {
    s->stores[i] = stores[i];
    s->stores[i].indices = FST_NEW_ARRAY(&k->arena, fst_kx, stores[i].index_count + 1);
    for (uint32_t d = 0; d < stores[i].index_count; d++) s->stores[i].indices[d] = stores[i].indices[d];
    k->buffers.data[stores[i].buffer].is_written = true;
  }
}

// ---- walking ---------------------------------------------------------------------------------------

fst_kx fst_kx_rebuild(fst_kernel *k, fst_kx x, const fst_kx *args) {
  fst_kx_data d = *fst_kx_get(k, x);
  if (!d.arg_count) return x;
  if (d.kind == FST_KX_LOAD) return fst_kx_load(k, d.index, args);
  if (d.kind == FST_KX_REDUCE) {
    d.args = args;
    return intern(k, d);
  }
  if (d.prim == FST_PRIM_CONVERT) return fst_kx_convert(k, args[0], d.dtype);
  if (d.prim == FST_PRIM_BITCAST) return fst_kx_bitcast(k, args[0], d.dtype);
  return fst_kx_prim(k, d.prim, args, d.arg_count);
}

typedef struct { const uint32_t *vars; const fst_kx *by; uint32_t count; fst_map done; } substitution;

static fst_kx substitute(fst_kernel *k, fst_kx x, substitution *s) {
  uint64_t known;
  fst_kx_data d = *fst_kx_get(k, x);
  if (d.kind == FST_KX_VAR) {
    for (uint32_t i = 0; i < s->count; i++)
      if (s->vars[i] == d.index) return s->by[i];
    return x;
  }
  if (!d.arg_count && !d.var_count) return x;
  if (fst_map_get(&s->done, x.id, &known)) return (fst_kx){(uint32_t)known};
  fst_kx *args = FST_NEW_ARRAY(&k->arena, fst_kx, d.arg_count + 1), out;
  for (uint32_t i = 0; i < d.arg_count; i++) args[i] = substitute(k, d.args[i], s);
  if (d.kind == FST_KX_REDUCE) {
    fst_kx *extents = FST_NEW_ARRAY(&k->arena, fst_kx, d.var_count + 1);
    for (uint32_t i = 0; i < d.var_count; i++) extents[i] = substitute(k, d.extents[i], s);
    d.args = args;
    d.extents = extents;
    out = intern(k, d);
  } else out = fst_kx_rebuild(k, x, args);
  fst_map_set(&s->done, x.id, out.id);
  return out;
}

fst_kx fst_kx_substitute(fst_kernel *k, fst_kx x, const uint32_t *vars, const fst_kx *by, uint32_t count) {
  substitution s = {vars, by, count, {0}};
  fst_kx out = substitute(k, x, &s);
  fst_map_deinit(&s.done);
  return out;
}

static bool depends(const fst_kernel *k, fst_kx x, uint32_t var, fst_map *seen) {
  uint64_t one;
  const fst_kx_data *d = fst_kx_get(k, x);
  if (d->kind == FST_KX_VAR) return d->index == var;
  if ((!d->arg_count && !d->var_count) || fst_map_get(seen, x.id, &one)) return false;
  fst_map_set(seen, x.id, 1);
  for (uint32_t i = 0; i < d->var_count; i++) {
    if (d->vars[i] == var) return false;   // bound here
    if (depends(k, d->extents[i], var, seen)) return true;
  }
  for (uint32_t i = 0; i < d->arg_count; i++)
    if (depends(k, d->args[i], var, seen)) return true;
  return false;
}

bool fst_kx_depends(const fst_kernel *k, fst_kx x, uint32_t var) {
  fst_map seen = {0};
  bool out = depends(k, x, var, &seen);
  fst_map_deinit(&seen);
  return out;
}

uint64_t *fst_kernel_free_vars(const fst_kernel *k, fst_arena *arena, uint32_t *out_words) {
  uint32_t words = *out_words = (uint32_t)k->vars.len / 64 + 1;
  uint64_t *sets = FST_NEW_ARRAY(arena, uint64_t, k->exprs.len * words);
  for (uint32_t x = 1; x < k->exprs.len; x++) {   // operands have smaller ids
    const fst_kx_data *d = &k->exprs.data[x];
    uint64_t *set = sets + (size_t)x * words;
    if (d->kind == FST_KX_VAR) set[d->index / 64] |= UINT64_C(1) << d->index % 64;
    for (uint32_t i = 0; i < d->arg_count; i++)
      for (uint32_t w = 0; w < words; w++) set[w] |= sets[(size_t)d->args[i].id * words + w];
    for (uint32_t i = 0; i < d->var_count; i++) set[d->vars[i] / 64] &= ~(UINT64_C(1) << d->vars[i] % 64);
    for (uint32_t i = 0; i < d->var_count; i++)
      for (uint32_t w = 0; w < words; w++) set[w] |= sets[(size_t)d->extents[i].id * words + w];
  }
  return sets;
}
