// What follows from how far the variables run: divisions, remainders, comparisons and extremes of indices.
//
// An i64 expression is taken apart into a linear form, sum(coefficient * atom) + constant, whose atoms are variables,
// parameters, products of those and whatever is opaque. A form has bounds: a variable lies in [0, extent), so its
// extent, less one, may stand for it, which makes `v - p` of a variable that runs to p at most -1; a parameter that is
// an extent or a buffer's size is not negative. Bounds are computed without wrapping or not at all, so that what is
// proven of a form holds of the 64-bit value; only sums and products of sizes and indices are taken not to
// overflow, as the memory they describe could not exist.
//
// Law: the value stays the same at every point that is evaluated. Every rule removes an operation.
#include <string.h>

#include "ir/kernel/kernel.h"

enum { MOST_TERMS = 12, MOST_STEPS = 64 };   // of a form, and of taking an expression apart
#define BELOW INT64_MIN   // no lower bound
#define ABOVE INT64_MAX   // no upper bound

typedef struct { fst_kx atom; int64_t factor; } term;
typedef struct { term terms[MOST_TERMS]; uint32_t count, steps; int64_t constant; } linear;
typedef struct { int64_t low, high; } range;

typedef struct {
  fst_kernel *k;
  fst_arena arena;
  fst_kx *extents;     // by variable; none when it has no single one
  bool *is_size;       // by parameter
  fst_map done;        // expression -> its simpler form
  fst_map known;       // expression -> position in `ranges` + 1
  FST_VEC(range) ranges;
} simplifier;

static const fst_kx_data *get(const simplifier *s, fst_kx x) { return fst_kx_get(s->k, x); }
static bool is_prim(const simplifier *s, fst_kx x, fst_prim prim) { return get(s, x)->kind == FST_KX_PRIM && get(s, x)->prim == prim; }

// ---- linear forms ----------------------------------------------------------------------------------

static bool linear_add(linear *l, fst_kx atom, int64_t factor) {
  for (uint32_t i = 0; i < l->count; i++) {
    if (!fst_kx_eq(l->terms[i].atom, atom)) continue;
    if (__builtin_add_overflow(l->terms[i].factor, factor, &l->terms[i].factor)) return false;
    if (!l->terms[i].factor) {
      memmove(l->terms + i, l->terms + i + 1, (l->count - i - 1) * sizeof *l->terms);
      l->count--;
    }
    return true;
  }
  if (l->count == MOST_TERMS) return false;
  l->terms[l->count++] = (term){atom, factor};
  return true;
}

// l += by * x. Operands of ADD, SUB, NEG and MUL by a constant are entered; a product of a sum and one atom is spread.
static bool linear_take(simplifier *s, linear *l, fst_kx x, int64_t by) {
  fst_kx_data d = *get(s, x);
  int64_t number;
  if (++l->steps > MOST_STEPS) return false;
  if (d.kind == FST_KX_CONST) return !__builtin_mul_overflow((int64_t)d.bits, by, &number) && !__builtin_add_overflow(l->constant, number, &l->constant);
  if (d.kind != FST_KX_PRIM) return linear_add(l, x, by);
  switch (d.prim) {
    case FST_PRIM_ADD: return linear_take(s, l, d.args[0], by) && linear_take(s, l, d.args[1], by);
    case FST_PRIM_SUB: return by != INT64_MIN && linear_take(s, l, d.args[0], by) && linear_take(s, l, d.args[1], -by);
    case FST_PRIM_NEG: return by != INT64_MIN && linear_take(s, l, d.args[0], -by);
    case FST_PRIM_MUL: {
      if (fst_kx_is_int(s->k, d.args[1], &number)) return !__builtin_mul_overflow(by, number, &number) && linear_take(s, l, d.args[0], number);
      bool left = is_prim(s, d.args[0], FST_PRIM_ADD) || is_prim(s, d.args[0], FST_PRIM_SUB) || is_prim(s, d.args[0], FST_PRIM_MUL);
      fst_kx sum = d.args[left ? 0 : 1], factor = d.args[left ? 1 : 0];
      linear inner = {.steps = l->steps};
      if (!linear_take(s, &inner, sum, 1) || (inner.count == 1 && !inner.constant && inner.terms[0].factor == 1)) return linear_add(l, x, by);
      for (uint32_t i = 0; i < inner.count; i++)
        if (__builtin_mul_overflow(by, inner.terms[i].factor, &number) || !linear_add(l, fst_kx_prim2(s->k, FST_PRIM_MUL, inner.terms[i].atom, factor), number)) return false;
      return __builtin_mul_overflow(by, inner.constant, &number) == 0 && (!number || linear_add(l, factor, number));
    }
    default: return linear_add(l, x, by);
  }
}

static bool linear_of(simplifier *s, fst_kx x, linear *out) {
  memset(out, 0, sizeof *out);
  return linear_take(s, out, x, 1);
}

static bool linear_difference(simplifier *s, fst_kx a, fst_kx b, linear *out) { return linear_of(s, a, out) && linear_take(s, out, b, -1); }

static fst_kx linear_build(simplifier *s, const linear *l) {
  fst_kx sum = FST_NO_KX;
  for (uint32_t i = 0; i < l->count; i++) {
    fst_kx product = fst_kx_prim2(s->k, FST_PRIM_MUL, l->terms[i].atom, fst_kx_int(s->k, l->terms[i].factor));
    sum = sum.id ? fst_kx_prim2(s->k, FST_PRIM_ADD, sum, product) : product;
  }
  fst_kx constant = fst_kx_int(s->k, l->constant);
  return sum.id ? fst_kx_prim2(s->k, FST_PRIM_ADD, sum, constant) : constant;
}

// ---- bounds ----------------------------------------------------------------------------------------

static range bounds(simplifier *s, fst_kx x);

// One end of factor * [low, high]: the upper one when `upper`.
static bool scaled_end(range r, int64_t factor, bool upper, int64_t *out) {
  int64_t end = (factor > 0) == upper ? r.high : r.low;
  return end != BELOW && end != ABOVE && !__builtin_mul_overflow(end, factor, out);
}

static bool plain_end(simplifier *s, const linear *l, bool upper, int64_t *out) {
  *out = l->constant;
  for (uint32_t i = 0; i < l->count; i++) {
    int64_t end;
    if (!scaled_end(bounds(s, l->terms[i].atom), l->terms[i].factor, upper, &end) || __builtin_add_overflow(*out, end, out)) return false;
  }
  return true;
}

// The variable whose end `v <= extent - 1` is only known as an expression.
static bool runs_to_expression(const simplifier *s, fst_kx atom, fst_kx *out_extent) {
  const fst_kx_data *d = get(s, atom);
  if (d->kind != FST_KX_VAR || !s->extents[d->index].id || get(s, s->extents[d->index])->kind == FST_KX_CONST) return false;
  *out_extent = s->extents[d->index];
  return true;
}

// An end of a form; where a variable is only bounded by an expression, that takes its place: 64*v - 64*p <= -64.
static bool linear_end(simplifier *s, const linear *l, bool upper, int64_t *out) {
  if (plain_end(s, l, upper, out)) return true;
  linear replaced = {.constant = l->constant};   // its own steps: the form was found
  for (uint32_t i = 0; i < l->count; i++) {
    fst_kx extent;
    term t = l->terms[i];
    if ((t.factor > 0) == upper && runs_to_expression(s, t.atom, &extent)) {
      if (!linear_take(s, &replaced, extent, t.factor) || __builtin_sub_overflow(replaced.constant, t.factor, &replaced.constant)) return false;
    } else if (!linear_add(&replaced, t.atom, t.factor)) return false;
  }
  return plain_end(s, &replaced, upper, out);
}

static range linear_bounds(simplifier *s, const linear *l) {
  range r = {BELOW, ABOVE};
  int64_t end;
  if (linear_end(s, l, false, &end)) r.low = end;
  if (linear_end(s, l, true, &end)) r.high = end;
  return r;
}

static range product_bounds(range a, range b) {
  range r = {a.low >= 0 && b.low >= 0 ? 0 : BELOW, ABOVE};
  if (r.low == 0 && a.high != ABOVE && b.high != ABOVE && __builtin_mul_overflow(a.high, b.high, &r.high)) r.high = ABOVE;
  return r;
}

static range bounds_of_prim(simplifier *s, fst_kx x) {
  const range unknown = {BELOW, ABOVE};
  fst_kx_data d = *get(s, x);
  int64_t number;
  linear l;
  switch (d.prim) {
    case FST_PRIM_ADD: case FST_PRIM_SUB: case FST_PRIM_NEG: return linear_of(s, x, &l) ? linear_bounds(s, &l) : unknown;
    case FST_PRIM_MUL:
      if (linear_of(s, x, &l) && !(l.count == 1 && fst_kx_eq(l.terms[0].atom, x))) return linear_bounds(s, &l);
      return product_bounds(bounds(s, d.args[0]), bounds(s, d.args[1]));
    case FST_PRIM_DIV: case FST_PRIM_REM: {
      range a = bounds(s, d.args[0]);
      if (a.low < 0 || !fst_kx_is_int(s->k, d.args[1], &number) || number <= 0) return unknown;
      if (d.prim == FST_PRIM_DIV) return (range){a.low / number, a.high == ABOVE ? ABOVE : a.high / number};
      return (range){0, a.high < number - 1 ? a.high : number - 1};
    }
    case FST_PRIM_MIN: case FST_PRIM_MAX: case FST_PRIM_SELECT: {
      bool is_min = d.prim == FST_PRIM_MIN, is_max = d.prim == FST_PRIM_MAX;
      range a = bounds(s, d.args[d.arg_count - 2]), b = bounds(s, d.args[d.arg_count - 1]);
      bool low_of_a = is_max ? a.low > b.low : a.low < b.low, high_of_a = is_min ? a.high < b.high : a.high > b.high;
      return (range){low_of_a ? a.low : b.low, high_of_a ? a.high : b.high};
    }
    case FST_PRIM_CONVERT:
      if (get(s, d.args[0])->dtype == FST_BOOL) return (range){0, 1};
      return get(s, d.args[0])->dtype == FST_U8 ? (range){0, 255} : unknown;
    default: return unknown;
  }
}

static range find_bounds(simplifier *s, fst_kx x) {
  const fst_kx_data *d = get(s, x);
  fst_kx extent;
  range of;
  if (d->dtype != FST_I64) return (range){BELOW, ABOVE};
  switch (d->kind) {
    case FST_KX_CONST: return (range){(int64_t)d->bits, (int64_t)d->bits};
    case FST_KX_PARAM: return (range){s->is_size[d->index] ? 0 : BELOW, ABOVE};
    case FST_KX_VAR:
      extent = s->extents[d->index];
      if (!extent.id) return (range){BELOW, ABOVE};
      of = bounds(s, extent);
      return (range){0, of.high == ABOVE || of.high < 1 ? ABOVE : of.high - 1};
    case FST_KX_PRIM: return bounds_of_prim(s, x);
    default: return (range){BELOW, ABOVE};
  }
}

static range bounds(simplifier *s, fst_kx x) {
  uint64_t at;
  if (fst_map_get(&s->known, x.id, &at)) return s->ranges.data[at - 1];
  range r = find_bounds(s, x);
  fst_vec_push(&s->ranges, r);
  fst_map_set(&s->known, x.id, s->ranges.len);
  return r;
}

// ---- rules -----------------------------------------------------------------------------------------

static bool divides(int64_t by, int64_t number) { return number % by == 0; }
static int64_t common_divisor(int64_t a, int64_t b) {
  a = a < 0 ? -a : a;
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// a = whole * c + rest, with 0 <= rest where that is proven; both not negative.
static bool split_by_number(simplifier *s, const linear *a, int64_t c, linear *whole, linear *rest) {
  memset(whole, 0, sizeof *whole);
  memset(rest, 0, sizeof *rest);
  for (uint32_t i = 0; i < a->count; i++)
    if (divides(c, a->terms[i].factor)) whole->terms[whole->count++] = (term){a->terms[i].atom, a->terms[i].factor / c};
    else rest->terms[rest->count++] = a->terms[i];
  int64_t left = a->constant % c, end;
  whole->constant = a->constant / c - (left < 0);
  rest->constant = left + (left < 0 ? c : 0);
  return linear_end(s, a, false, &end) && end >= 0 && linear_end(s, rest, false, &end) && end >= 0;
}

// The same for a divisor that is an expression: what is a product with it, and a rest below it.
static bool split_by_expression(simplifier *s, const linear *a, fst_kx c, linear *whole, linear *rest) {
  memset(whole, 0, sizeof *whole);
  memset(rest, 0, sizeof *rest);
  rest->constant = a->constant;
  for (uint32_t i = 0; i < a->count; i++) {
    fst_kx_data d = *get(s, a->terms[i].atom);
    bool is_product = d.kind == FST_KX_PRIM && d.prim == FST_PRIM_MUL;
    if (fst_kx_eq(a->terms[i].atom, c)) whole->constant = a->terms[i].factor;
    else if (is_product && fst_kx_eq(d.args[1], c)) whole->terms[whole->count++] = (term){d.args[0], a->terms[i].factor};
    else if (is_product && fst_kx_eq(d.args[0], c)) whole->terms[whole->count++] = (term){d.args[1], a->terms[i].factor};
    else rest->terms[rest->count++] = a->terms[i];
  }
  int64_t end;
  linear over = *rest;
  return linear_end(s, whole, false, &end) && end >= 0 && linear_end(s, rest, false, &end) && end >= 0 && linear_take(s, &over, c, -1) &&
         linear_end(s, &over, true, &end) && end < 0;
}

// Divisor and dividend share a factor that the rest cannot reach: (64*x + r) / 768 = x / 12 for r < 64.
static fst_kx divide_by_common(simplifier *s, const linear *a, int64_t c) {
  int64_t factor = c;
  for (uint32_t i = 0; i < a->count; i++) {
    int64_t shared = common_divisor(a->terms[i].factor, factor);
    if (shared > 1) factor = shared;
  }
  linear whole, rest;
  int64_t end;
  if (factor <= 1 || factor == c || !split_by_number(s, a, factor, &whole, &rest) || !whole.count || !linear_end(s, &rest, true, &end) || end >= factor) return FST_NO_KX;
  return fst_kx_prim2(s->k, FST_PRIM_DIV, linear_build(s, &whole), fst_kx_int(s->k, c / factor));
}

static fst_kx simplify_division(simplifier *s, fst_prim prim, fst_kx x, fst_kx by) {
  linear a, whole, rest;
  int64_t c, end;
  bool is_rem = prim == FST_PRIM_REM;
  if (!linear_of(s, x, &a)) return FST_NO_KX;
  if (!fst_kx_is_int(s->k, by, &c))
    return split_by_expression(s, &a, by, &whole, &rest) ? linear_build(s, is_rem ? &rest : &whole) : FST_NO_KX;
  if (c <= 0) return FST_NO_KX;
  if (split_by_number(s, &a, c, &whole, &rest)) {
    if (linear_end(s, &rest, true, &end) && end < c) return linear_build(s, is_rem ? &rest : &whole);
    if (whole.count || whole.constant) {
      fst_kx left = fst_kx_prim2(s->k, prim, linear_build(s, &rest), by);
      return is_rem ? left : fst_kx_prim2(s->k, FST_PRIM_ADD, linear_build(s, &whole), left);
    }
  }
  return is_rem ? FST_NO_KX : divide_by_common(s, &a, c);
}

static fst_kx simplify_comparison(simplifier *s, fst_prim prim, fst_kx a, fst_kx b) {
  linear l;
  if (!linear_difference(s, a, b, &l)) return FST_NO_KX;
  range r = linear_bounds(s, &l);
  bool never_equal = r.low > 0 || r.high < 0, always_equal = r.low == 0 && r.high == 0;
  switch (prim) {
    case FST_PRIM_LT:
      if (r.high != ABOVE && r.high < 0) return fst_kx_bool(s->k, true);
      return r.low >= 0 ? fst_kx_bool(s->k, false) : FST_NO_KX;
    case FST_PRIM_LE:
      if (r.high <= 0) return fst_kx_bool(s->k, true);
      return r.low > 0 ? fst_kx_bool(s->k, false) : FST_NO_KX;
    default:
      if (!never_equal && !always_equal) return FST_NO_KX;
      return fst_kx_bool(s->k, always_equal == (prim == FST_PRIM_EQ));
  }
}

static fst_kx simplify_extreme(simplifier *s, fst_prim prim, fst_kx a, fst_kx b) {
  linear l;
  if (!linear_difference(s, a, b, &l)) return FST_NO_KX;
  range r = linear_bounds(s, &l);
  if (r.high <= 0) return prim == FST_PRIM_MIN ? a : b;
  return r.low >= 0 ? prim == FST_PRIM_MIN ? b : a : FST_NO_KX;
}

static fst_kx simplify_prim(simplifier *s, fst_prim prim, const fst_kx *args, uint32_t count) {
  if (count != 2 || get(s, args[0])->dtype != FST_I64) return FST_NO_KX;
  switch (prim) {
    case FST_PRIM_DIV: case FST_PRIM_REM: return simplify_division(s, prim, args[0], args[1]);
    case FST_PRIM_LT: case FST_PRIM_LE: case FST_PRIM_EQ: case FST_PRIM_NE: return simplify_comparison(s, prim, args[0], args[1]);
    case FST_PRIM_MIN: case FST_PRIM_MAX: return simplify_extreme(s, prim, args[0], args[1]);
    default: return FST_NO_KX;
  }
}

// ---- the walk --------------------------------------------------------------------------------------

static fst_kx simplify(simplifier *s, fst_kx x) {
  uint64_t known;
  fst_kx_data d = *get(s, x);
  if (!d.arg_count && !d.var_count) return x;
  if (fst_map_get(&s->done, x.id, &known)) return (fst_kx){(uint32_t)known};
  fst_kx *args = FST_NEW_ARRAY(&s->arena, fst_kx, d.arg_count + 1);
  for (uint32_t i = 0; i < d.arg_count; i++) args[i] = simplify(s, d.args[i]);
  fst_kx out = fst_kx_rebuild(s->k, x, args);
  d = *get(s, out);
  if (d.kind == FST_KX_PRIM) {
    fst_kx simpler = simplify_prim(s, d.prim, d.args, d.arg_count);
    if (simpler.id) out = simpler;
  }
  fst_map_set(&s->done, x.id, out.id);
  return out;
}

// A variable that is bound twice, to different extents, has none.
static void note_extent(simplifier *s, bool *seen, uint32_t var, fst_kx extent) {
  if (seen[var] && !fst_kx_eq(s->extents[var], extent)) extent = FST_NO_KX;
  seen[var] = true;
  s->extents[var] = extent;
}

static void note_size(simplifier *s, fst_kx x) {
  if (get(s, x)->kind == FST_KX_PARAM) s->is_size[get(s, x)->index] = true;
}

static void note_extents(simplifier *s) {
  const fst_kernel *k = s->k;
  bool *seen = FST_NEW_ARRAY(&s->arena, bool, k->vars.len + 1);
  for (uint32_t x = 1; x < k->exprs.len; x++)
    for (uint32_t i = 0; i < k->exprs.data[x].var_count; i++) note_extent(s, seen, k->exprs.data[x].vars[i], k->exprs.data[x].extents[i]);
  for (size_t n = 0; n < k->stmts.len; n++)
    for (uint32_t i = 0; i < k->stmts.data[n].var_count; i++) note_extent(s, seen, k->stmts.data[n].vars[i], k->stmts.data[n].extents[i]);
  for (size_t b = 0; b < k->buffers.len; b++)
    for (uint32_t i = 0; i < k->buffers.data[b].rank; i++) note_size(s, k->buffers.data[b].sizes[i]);
  for (uint32_t v = 0; v < k->vars.len; v++)
    if (s->extents[v].id) note_size(s, s->extents[v]);
}

void fst_kernel_simplify(fst_kernel *k) {
  simplifier s = {.k = k};
  fst_arena_init(&s.arena);
  s.extents = FST_NEW_ARRAY(&s.arena, fst_kx, k->vars.len + 1);
  s.is_size = FST_NEW_ARRAY(&s.arena, bool, k->params.len + 1);
  note_extents(&s);
  for (size_t n = 0; n < k->stmts.len; n++) {
    fst_kstmt *stmt = &k->stmts.data[n];
    for (uint32_t i = 0; i < stmt->store_count; i++) {
      if (stmt->stores[i].value.id) stmt->stores[i].value = simplify(&s, stmt->stores[i].value);
      for (uint32_t d = 0; d < stmt->stores[i].index_count; d++) stmt->stores[i].indices[d] = simplify(&s, stmt->stores[i].indices[d]);
    }
    for (uint32_t i = 0; i < stmt->carry_count; i++) {
      if (stmt->carry_init[i].id) stmt->carry_init[i] = simplify(&s, stmt->carry_init[i]);
      if (stmt->carry_next[i].id) stmt->carry_next[i] = simplify(&s, stmt->carry_next[i]);
    }
    if (stmt->condition.id) stmt->condition = simplify(&s, stmt->condition);
  }
  fst_map_deinit(&s.done);
  fst_map_deinit(&s.known);
  fst_vec_free(&s.ranges);
  fst_arena_deinit(&s.arena);
}
