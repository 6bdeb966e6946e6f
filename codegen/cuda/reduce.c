// Reductions in one thread, and what combines two partial results.
//
// ARGMAX and ARGMIN carry the position beside the value; equal values prefer the smaller position, so partial results may be
// combined in any order.
#include "codegen/cuda/emit.h"

static bool is_max(fst_reduce op) { return op == FST_REDUCE_MAX || op == FST_REDUCE_ARGMAX; }

// The lowest or highest value of a dtype.
static uint64_t extreme(fst_dtype dtype, bool lowest) {
  unsigned width = (unsigned)fst_dtype_size(dtype) * 8;
  switch (dtype) {
    case FST_F16: return lowest ? 0xfc00 : 0x7c00;
    case FST_BF16: return lowest ? 0xff80 : 0x7f80;
    case FST_F32: return lowest ? 0xff800000u : 0x7f800000u;
    case FST_F64: return lowest ? UINT64_C(0xfff) << 52 : UINT64_C(0x7ff) << 52;
    case FST_BOOL: return !lowest;
    case FST_U8: return lowest ? 0 : 255;
    default: return (uint64_t)((lowest ? INT64_MIN : INT64_MAX) >> (64 - width));
  }
}

const char *fst_cu_reduce_start(fst_cu *c, const fst_kx_data *reduce) {
  fst_dtype dtype = fst_cu_get(c, reduce->args[0])->dtype;
  switch (reduce->reduce) {
    case FST_REDUCE_SUM:
    case FST_REDUCE_ANY: return fst_cu_literal(c->arena, dtype, 0);
    case FST_REDUCE_ALL: return "true";
    case FST_REDUCE_PROD: return fst_cu_literal(c->arena, dtype, fst_convert_eval(FST_I64, dtype, 1));
    default: return fst_cu_literal(c->arena, dtype, extreme(dtype, is_max(reduce->reduce)));
  }
}

const char *fst_cu_combine(fst_cu *c, const fst_kx_data *reduce, const char *a, const char *b) {
  static const fst_prim prims[] = {[FST_REDUCE_SUM] = FST_PRIM_ADD, [FST_REDUCE_PROD] = FST_PRIM_MUL, [FST_REDUCE_MAX] = FST_PRIM_MAX,
                                   [FST_REDUCE_MIN] = FST_PRIM_MIN, [FST_REDUCE_ANY] = FST_PRIM_OR,   [FST_REDUCE_ALL] = FST_PRIM_AND};
  FST_ASSERT(!fst_cu_is_arg(reduce), "a position has no plain combination");
  fst_dtype dtype = fst_cu_get(c, reduce->args[0])->dtype;
  return fst_cu_prim(c->arena, prims[reduce->reduce], dtype, dtype, (const char *[]){a, b});
}

// Strictly better; NaN is better than every number.
const char *fst_cu_better(fst_cu *c, const fst_kx_data *reduce, const char *value, const char *best) {
  fst_dtype dtype = fst_cu_get(c, reduce->args[0])->dtype;
  const char *pair[] = {is_max(reduce->reduce) ? best : value, is_max(reduce->reduce) ? value : best};
  const char *less = fst_cu_prim(c->arena, FST_PRIM_LT, dtype, FST_BOOL, pair);
  if (!fst_dtype_is_float(dtype)) return less;
  const char *is_nan = fst_cu_prim(c->arena, FST_PRIM_NE, dtype, FST_BOOL, (const char *[]){value, value});
  const char *ordered = fst_cu_prim(c->arena, FST_PRIM_EQ, dtype, FST_BOOL, (const char *[]){best, best});
  return fst_cu_format(c, "%s || (%s && %s)", less, is_nan, ordered);
}

typedef struct accumulator { const char *value, *position, *at; } accumulator;

// Sums of float products fuse, as they do on every target: one rounding less.
static bool is_product(const fst_cu *c, const fst_kx_data *reduce) {
  const fst_kx_data *body = fst_cu_get(c, reduce->args[0]);
  bool plain_float = body->dtype == FST_F32 || body->dtype == FST_F64;
  return reduce->reduce == FST_REDUCE_SUM && plain_float && body->kind == FST_KX_PRIM && body->prim == FST_PRIM_MUL && !c->memo[reduce->args[0].id];
}

static void round_of(fst_cu *c, const fst_kx_data *reduce, const accumulator *acc) {
  const fst_kx_data *body = fst_cu_get(c, reduce->args[0]);
  if (is_product(c, reduce)) {
    const char *a = fst_cu_expr(c, body->args[0]), *b = fst_cu_expr(c, body->args[1]);
    fst_cu_line(c, "%s = fst_fma(%s, %s, %s);", acc->value, a, b, acc->value);
    return;
  }
  const char *value = fst_cu_expr(c, reduce->args[0]);
  if (!fst_cu_is_arg(reduce)) {
    fst_cu_line(c, "%s = %s;", acc->value, fst_cu_combine(c, reduce, acc->value, value));
    return;
  }
  fst_cu_open(c, "if (%s == 0 || %s)", acc->at, fst_cu_better(c, reduce, value, acc->value));
  fst_cu_line(c, "%s = %s;", acc->value, value);
  fst_cu_line(c, "%s = %s;", acc->position, acc->at);
  fst_cu_close(c);
  fst_cu_line(c, "++%s;", acc->at);
}

static bool may_be_empty(const fst_cu *c, const fst_kx_data *reduce) {
  int64_t extent;
  for (uint32_t i = 0; i < reduce->var_count; i++)
    if (!fst_cu_is_const(c, reduce->extents[i], &extent) || extent < 1) return true;
  return false;
}

const char *fst_cu_reduce(fst_cu *c, fst_kx x) {
  const fst_kx_data *reduce = fst_cu_get(c, x);
  fst_dtype dtype = fst_cu_get(c, reduce->args[0])->dtype;
  bool empty = may_be_empty(c, reduce);
  accumulator acc = {.value = fst_cu_name(c, "acc")};
  fst_cu_hoist(c, reduce->args[0], empty);
  fst_cu_line(c, "%s %s = %s;", fst_cu_type(dtype), acc.value, fst_cu_reduce_start(c, reduce));
  if (fst_cu_is_arg(reduce)) {
    acc.position = fst_cu_name(c, "at");
    acc.at = fst_cu_name(c, "round");
    fst_cu_line(c, "i64 %s = 0, %s = 0;", acc.position, acc.at);
  }
  size_t scope = fst_cu_scope(c);
  for (uint32_t i = 0; i < reduce->var_count; i++) {
    const char *index = fst_cu_name(c, "r"), *end = fst_cu_expr(c, reduce->extents[i]);
    fst_cu_open(c, "for (i64 %s = 0; %s < %s; ++%s)", index, index, end, index);
    fst_cu_bind(c, reduce->vars[i], index);
    if (i + 1 < reduce->var_count) fst_cu_hoist(c, reduce->args[0], empty);
  }
  round_of(c, reduce, &acc);
  for (uint32_t i = 0; i < reduce->var_count; i++) {
    fst_cu_unbind(c, reduce->vars[i]);
    fst_cu_close(c);
  }
  fst_cu_forget(c, scope);
  return fst_cu_is_arg(reduce) ? acc.position : acc.value;
}
