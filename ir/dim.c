// Canonical forms. A SUM holds a constant and terms with nonzero coefficients; a term is an atom or a PRODUCT of
// at least two atoms; an atom is a symbol, FLOORDIV, MOD, MIN or MAX. Terms and factors are ordered by
// structure (expr_compare), never by the time they were made, so that a table filled from text prints the
// same. Every constructor below returns such a form, so equality is identity. Coefficients that overflow
// and sums of more than MAX_TERMS terms become unknown: less is known then, nothing wrong.
#include "ir/dim.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

enum { MAX_TERMS = 128, MAX_DEPTH = 64, MAX_SYMBOLS = 1 << 20 };

typedef struct {
  fst_dim_kind kind;
  bool is_signed;
  uint32_t symbol, count, depth;
  int64_t constant;
  const fst_dim *operands;
  const int64_t *coefficients;
  int64_t low, high;
  uint64_t hash;
} expr;

struct fst_dims {
  fst_arena *arena;
  expr *exprs;
  uint32_t len, cap;
  uint32_t *table;      // open addressing: index + 1
  uint32_t table_cap;
  fst_dim *symbols;     // by symbol index; FST_DIM_UNKNOWN: not in use
  uint32_t symbol_count, symbol_cap;
};

fst_dims *fst_dims_create(fst_arena *arena) {
  fst_dims *dims = FST_NEW(arena, fst_dims);
  dims->arena = arena;
  return dims;
}

// ---- the table -------------------------------------------------------------------------------------

static bool is_ref(fst_dim d) { return d < 0 && d != FST_DIM_UNKNOWN; }
static const expr *expr_of(const fst_dims *dims, fst_dim d) {
  FST_ASSERT(is_ref(d) && -(d + 1) < (int64_t)dims->len, "not an expression of this table: %lld", (long long)d);
  return &dims->exprs[-(d + 1)];
}

static uint64_t expr_hash(const expr *e) {
  uint64_t h = fst_hash_mix((uint64_t)e->kind, (uint64_t)e->constant);
  h = fst_hash_mix(h, e->symbol);
  for (uint32_t i = 0; i < e->count; i++) {
    h = fst_hash_mix(h, (uint64_t)e->operands[i]);
    if (e->coefficients) h = fst_hash_mix(h, (uint64_t)e->coefficients[i]);
  }
  return h;
}

static bool expr_same(const expr *a, const expr *b) {
  if (a->hash != b->hash || a->kind != b->kind || a->constant != b->constant || a->symbol != b->symbol || a->count != b->count) return false;
  if (a->count && memcmp(a->operands, b->operands, a->count * sizeof *a->operands)) return false;
  return !a->coefficients || !memcmp(a->coefficients, b->coefficients, a->count * sizeof *a->coefficients);
}

// Bounds are saturated: INT64_MIN and INT64_MAX stand for "no bound".
static int64_t bound_product(int64_t x, int64_t y) {
  int64_t result;
  if (x == 0 || y == 0) return 0;
  bool open = x == INT64_MIN || x == INT64_MAX || y == INT64_MIN || y == INT64_MAX;
  if (!open && !__builtin_mul_overflow(x, y, &result)) return result;
  return (x < 0) == (y < 0) ? INT64_MAX : INT64_MIN;
}
static void bounds_multiply(int64_t *low, int64_t *high, int64_t l, int64_t h) {
  int64_t all[4] = {bound_product(*low, l), bound_product(*low, h), bound_product(*high, l), bound_product(*high, h)};
  *low = *high = all[0];
  for (int i = 1; i < 4; i++) {
    if (all[i] < *low) *low = all[i];
    if (all[i] > *high) *high = all[i];
  }
}
static int64_t bound_sum(int64_t a, int64_t b, int64_t open) {
  int64_t result;
  if (a == open || b == open) return open;
  if (__builtin_add_overflow(a, b, &result)) return a < 0 ? INT64_MIN : INT64_MAX;
  return result;
}

static int64_t floor_div(int64_t a, int64_t b) {
  int64_t q = a / b;
  return a % b && (a < 0) != (b < 0) ? q - 1 : q;
}

static void sum_bounds(const fst_dims *dims, expr *e) {
  e->low = e->high = e->constant;
  for (uint32_t i = 0; i < e->count; i++) {
    int64_t low, high;
    fst_dim_bounds(dims, e->operands[i], &low, &high);
    bounds_multiply(&low, &high, e->coefficients[i], e->coefficients[i]);
    e->low = bound_sum(e->low, low, INT64_MIN);
    e->high = bound_sum(e->high, high, INT64_MAX);
  }
}
static void product_bounds(const fst_dims *dims, expr *e) {
  e->low = e->high = 1;
  for (uint32_t i = 0; i < e->count; i++) {
    int64_t low, high;
    fst_dim_bounds(dims, e->operands[i], &low, &high);
    bounds_multiply(&e->low, &e->high, low, high);
  }
}
static void pair_bounds(const fst_dims *dims, expr *e) {
  int64_t al, ah, bl, bh;
  fst_dim_bounds(dims, e->operands[0], &al, &ah);
  fst_dim_bounds(dims, e->operands[1], &bl, &bh);
  e->low = INT64_MIN;
  e->high = INT64_MAX;
  switch (e->kind) {
    case FST_DIM_MIN:
      e->low = al < bl ? al : bl;
      e->high = ah < bh ? ah : bh;
      break;
    case FST_DIM_MAX:
      e->low = al > bl ? al : bl;
      e->high = ah > bh ? ah : bh;
      break;
    case FST_DIM_MOD:   // has the divisor's sign
      if (bl > 0) {
        e->low = 0;
        e->high = bh == INT64_MAX ? bh : bh - 1;
        if (al >= 0 && ah < e->high) e->high = ah;
      } else if (bl == 0 && al >= 0) {   // 0 raises
        e->low = 0;
        e->high = ah;
      }
      break;
    default:            // FLOORDIV; a divisor of 0 raises, so 0 counts as 1
      if (bl < 0) break;
      if (bl == 0) bl = 1;
      if (al != INT64_MIN) e->low = al >= 0 ? (bh == INT64_MAX ? 0 : floor_div(al, bh)) : floor_div(al, bl);
      if (ah != INT64_MAX) e->high = ah >= 0 ? floor_div(ah, bl) : bh == INT64_MAX ? -1 : floor_div(ah, bh);
      break;
  }
}

static void expr_bounds(const fst_dims *dims, expr *e) {
  switch (e->kind) {
    case FST_DIM_CONST: e->low = e->high = e->constant; break;
    case FST_DIM_SYMBOL:
      e->low = e->is_signed ? INT64_MIN : 0;
      e->high = INT64_MAX;
      break;
    case FST_DIM_SUM: sum_bounds(dims, e); break;
    case FST_DIM_PRODUCT: product_bounds(dims, e); break;
    default: pair_bounds(dims, e); break;
  }
}

static void table_grow(fst_dims *dims) {
  dims->table_cap = dims->table_cap ? dims->table_cap * 2 : 64;
  dims->table = FST_NEW_ARRAY(dims->arena, uint32_t, dims->table_cap);
  for (uint32_t i = 0; i < dims->len; i++) {
    uint32_t at = (uint32_t)dims->exprs[i].hash & (dims->table_cap - 1);
    while (dims->table[at]) at = (at + 1) & (dims->table_cap - 1);
    dims->table[at] = i + 1;
  }
}

// The reference of an equal expression, made if there is none. Operand arrays are copied.
static fst_dim expr_intern(fst_dims *dims, expr e) {
  e.depth = 0;
  for (uint32_t i = 0; i < e.count; i++)
    if (is_ref(e.operands[i]) && expr_of(dims, e.operands[i])->depth >= e.depth) e.depth = expr_of(dims, e.operands[i])->depth + 1;
  if (e.depth > MAX_DEPTH) return FST_DIM_UNKNOWN;
  e.hash = expr_hash(&e);
  if (2 * (dims->len + 1) > dims->table_cap) table_grow(dims);
  uint32_t at = (uint32_t)e.hash & (dims->table_cap - 1);
  for (; dims->table[at]; at = (at + 1) & (dims->table_cap - 1))
    if (expr_same(&dims->exprs[dims->table[at] - 1], &e)) return -(fst_dim)dims->table[at];
  if (dims->len == dims->cap) {
    uint32_t cap = dims->cap ? dims->cap * 2 : 32;
    expr *moved = FST_NEW_ARRAY(dims->arena, expr, cap);
    if (dims->len) memcpy(moved, dims->exprs, dims->len * sizeof *moved);
    dims->exprs = moved;
    dims->cap = cap;
  }
  if (e.count) e.operands = fst_arena_memdup(dims->arena, e.operands, e.count * sizeof *e.operands);
  if (e.coefficients) e.coefficients = fst_arena_memdup(dims->arena, e.coefficients, e.count * sizeof *e.coefficients);
  expr_bounds(dims, &e);
  dims->exprs[dims->len++] = e;
  dims->table[at] = dims->len;
  return -(fst_dim)dims->len;
}

// ---- leaves ----------------------------------------------------------------------------------------

fst_dim fst_dim_const(fst_dims *dims, int64_t value) {
  if (value >= 0) return value;
  return expr_intern(dims, (expr){.kind = FST_DIM_CONST, .constant = value});
}

bool fst_dim_is_const(const fst_dims *dims, fst_dim d, int64_t *out_value) {
  if (d == FST_DIM_UNKNOWN) return false;
  if (d < 0 && expr_of(dims, d)->kind != FST_DIM_CONST) return false;
  if (out_value) *out_value = d >= 0 ? d : expr_of(dims, d)->constant;
  return true;
}

bool fst_dim_is_known(fst_dim d) { return d != FST_DIM_UNKNOWN; }

fst_dim fst_dim_symbol(fst_dims *dims, uint32_t index, bool is_signed) {
  FST_ASSERT(index < MAX_SYMBOLS, "symbol s%u", index);
  if (index >= dims->symbol_cap) {
    uint32_t cap = dims->symbol_cap ? dims->symbol_cap : 16;
    while (cap <= index) cap *= 2;
    fst_dim *moved = FST_NEW_ARRAY(dims->arena, fst_dim, cap);
    for (uint32_t i = 0; i < cap; i++) moved[i] = i < dims->symbol_cap ? dims->symbols[i] : FST_DIM_UNKNOWN;
    dims->symbols = moved;
    dims->symbol_cap = cap;
  }
  if (dims->symbols[index] != FST_DIM_UNKNOWN) return dims->symbols[index];
  if (index >= dims->symbol_count) dims->symbol_count = index + 1;
  return dims->symbols[index] = expr_intern(dims, (expr){.kind = FST_DIM_SYMBOL, .symbol = index, .is_signed = is_signed});
}

fst_dim fst_dim_fresh(fst_dims *dims, bool is_signed) { return fst_dim_symbol(dims, dims->symbol_count, is_signed); }
uint32_t fst_dims_symbol_count(const fst_dims *dims) { return dims->symbol_count; }

bool fst_dim_is_symbol(const fst_dims *dims, fst_dim d, uint32_t *out_index) {
  if (!is_ref(d) || expr_of(dims, d)->kind != FST_DIM_SYMBOL) return false;
  if (out_index) *out_index = expr_of(dims, d)->symbol;
  return true;
}

fst_dim_view fst_dim_open(const fst_dims *dims, fst_dim d) {
  FST_ASSERT(d != FST_DIM_UNKNOWN, "an unknown size has no form");
  if (d >= 0) return (fst_dim_view){.kind = FST_DIM_CONST, .constant = d};
  const expr *e = expr_of(dims, d);
  return (fst_dim_view){e->kind, e->constant, e->symbol, e->is_signed, e->count, e->operands, e->coefficients};
}

void fst_dim_bounds(const fst_dims *dims, fst_dim d, int64_t *out_low, int64_t *out_high) {
  *out_low = d == FST_DIM_UNKNOWN ? INT64_MIN : d >= 0 ? d : expr_of(dims, d)->low;
  *out_high = d == FST_DIM_UNKNOWN ? INT64_MAX : d >= 0 ? d : expr_of(dims, d)->high;
}

// ---- structural order ------------------------------------------------------------------------------

static int compare_ints(int64_t a, int64_t b) { return a < b ? -1 : a > b; }

static int expr_compare(const fst_dims *dims, fst_dim a, fst_dim b) {
  if (a == b) return 0;
  fst_dim_view x = fst_dim_open(dims, a), y = fst_dim_open(dims, b);
  int by = compare_ints(x.kind, y.kind);
  if (!by) by = compare_ints(x.symbol, y.symbol);
  if (!by) by = compare_ints(x.count, y.count);
  for (uint32_t i = 0; i < x.count && !by; i++) by = expr_compare(dims, x.operands[i], y.operands[i]);
  for (uint32_t i = 0; i < x.count && x.coefficients && !by; i++) by = compare_ints(x.coefficients[i], y.coefficients[i]);
  return by ? by : compare_ints(x.constant, y.constant);
}

// ---- sums ------------------------------------------------------------------------------------------

typedef struct {
  fst_dim term;
  int64_t coefficient;
} term;
typedef struct {
  int64_t constant;
  uint32_t count;
  bool lost;               // overflow, or too many terms
  term terms[MAX_TERMS];   // ordered
} poly;

static void poly_of(const fst_dims *dims, fst_dim d, poly *out) {
  out->constant = 0;
  out->count = 0;
  out->lost = false;
  fst_dim_view v = fst_dim_open(dims, d);
  if (v.kind == FST_DIM_CONST) {
    out->constant = v.constant;
  } else if (v.kind == FST_DIM_SUM) {
    out->constant = v.constant;
    out->count = v.count;
    for (uint32_t i = 0; i < v.count; i++) out->terms[i] = (term){v.operands[i], v.coefficients[i]};
  } else {
    out->count = 1;
    out->terms[0] = (term){d, 1};
  }
}

static void poly_add_constant(poly *p, int64_t c) { p->lost = __builtin_add_overflow(p->constant, c, &p->constant) || p->lost; }

static void poly_add_term(const fst_dims *dims, poly *p, fst_dim t, int64_t coefficient) {
  if (coefficient == 0) return;
  uint32_t at = 0;
  int order = -1;
  while (at < p->count && (order = expr_compare(dims, p->terms[at].term, t)) < 0) at++;
  if (at < p->count && order == 0) {
    p->lost = __builtin_add_overflow(p->terms[at].coefficient, coefficient, &p->terms[at].coefficient) || p->lost;
    if (p->terms[at].coefficient) return;
    memmove(&p->terms[at], &p->terms[at + 1], (p->count - at - 1) * sizeof *p->terms);
    p->count--;
    return;
  }
  if (p->count == MAX_TERMS) {
    p->lost = true;
    return;
  }
  memmove(&p->terms[at + 1], &p->terms[at], (p->count - at) * sizeof *p->terms);
  p->terms[at] = (term){t, coefficient};
  p->count++;
}

static fst_dim poly_intern(fst_dims *dims, const poly *p) {
  if (p->lost) return FST_DIM_UNKNOWN;
  if (p->count == 0) return fst_dim_const(dims, p->constant);
  if (p->count == 1 && p->constant == 0 && p->terms[0].coefficient == 1) return p->terms[0].term;
  fst_dim operands[MAX_TERMS];
  int64_t coefficients[MAX_TERMS];
  for (uint32_t i = 0; i < p->count; i++) {
    operands[i] = p->terms[i].term;
    coefficients[i] = p->terms[i].coefficient;
  }
  return expr_intern(dims, (expr){.kind = FST_DIM_SUM, .constant = p->constant, .count = p->count, .operands = operands, .coefficients = coefficients});
}

static fst_dim add_scaled(fst_dims *dims, fst_dim a, fst_dim b, int64_t scale) {
  if (a == FST_DIM_UNKNOWN || b == FST_DIM_UNKNOWN) return FST_DIM_UNKNOWN;
  poly p, q;
  poly_of(dims, a, &p);
  poly_of(dims, b, &q);
  int64_t scaled;
  p.lost = __builtin_mul_overflow(q.constant, scale, &scaled);
  poly_add_constant(&p, scaled);
  for (uint32_t i = 0; i < q.count && !p.lost; i++) {
    p.lost = __builtin_mul_overflow(q.terms[i].coefficient, scale, &scaled);
    poly_add_term(dims, &p, q.terms[i].term, scaled);
  }
  return poly_intern(dims, &p);
}

fst_dim fst_dim_add(fst_dims *dims, fst_dim a, fst_dim b) { return add_scaled(dims, a, b, 1); }
fst_dim fst_dim_sub(fst_dims *dims, fst_dim a, fst_dim b) { return add_scaled(dims, a, b, -1); }

// ---- products --------------------------------------------------------------------------------------

// Factors of a term, in order; their count.
static uint32_t term_factors(const fst_dims *dims, const fst_dim *t, const fst_dim **out) {
  fst_dim_view v = fst_dim_open(dims, *t);
  *out = v.kind == FST_DIM_PRODUCT ? v.operands : t;
  return v.kind == FST_DIM_PRODUCT ? v.count : 1;
}

static fst_dim factors_intern(fst_dims *dims, const fst_dim *factors, uint32_t count) {
  if (count == 0) return 1;
  if (count == 1) return factors[0];
  return expr_intern(dims, (expr){.kind = FST_DIM_PRODUCT, .count = count, .operands = factors});
}

static fst_dim term_multiply(fst_dims *dims, fst_dim a, fst_dim b) {
  const fst_dim *x, *y;
  uint32_t n = term_factors(dims, &a, &x), m = term_factors(dims, &b, &y);
  if (n + m > MAX_TERMS) return FST_DIM_UNKNOWN;
  fst_dim merged[MAX_TERMS];
  for (uint32_t i = 0, j = 0; i + j < n + m;) {
    bool left = j == m || (i < n && expr_compare(dims, x[i], y[j]) <= 0);
    merged[i + j] = left ? x[i] : y[j];
    *(left ? &i : &j) += 1;
  }
  return factors_intern(dims, merged, n + m);
}

// a / b for terms, when every factor of b is one of a; else unknown.
static fst_dim term_divide(fst_dims *dims, fst_dim a, fst_dim b) {
  const fst_dim *x, *y;
  uint32_t n = term_factors(dims, &a, &x), m = term_factors(dims, &b, &y), kept = 0, j = 0;
  fst_dim left[MAX_TERMS];
  for (uint32_t i = 0; i < n; i++) {
    if (j < m && x[i] == y[j]) j++;
    else left[kept++] = x[i];
  }
  return j == m ? factors_intern(dims, left, kept) : FST_DIM_UNKNOWN;
}

fst_dim fst_dim_mul(fst_dims *dims, fst_dim a, fst_dim b) {
  if (a == FST_DIM_UNKNOWN || b == FST_DIM_UNKNOWN) return FST_DIM_UNKNOWN;
  int64_t value;
  if (fst_dim_is_const(dims, a, &value)) return add_scaled(dims, 0, b, value);
  if (fst_dim_is_const(dims, b, &value)) return add_scaled(dims, 0, a, value);
  poly p, q;
  poly_of(dims, a, &p);
  poly_of(dims, b, &q);
  fst_dim sum = add_scaled(dims, 0, b, p.constant);
  for (uint32_t i = 0; i < p.count && sum != FST_DIM_UNKNOWN; i++) {
    int64_t scaled;
    if (__builtin_mul_overflow(p.terms[i].coefficient, q.constant, &scaled)) return FST_DIM_UNKNOWN;
    sum = add_scaled(dims, sum, p.terms[i].term, scaled);
    for (uint32_t j = 0; j < q.count && sum != FST_DIM_UNKNOWN; j++) {
      int64_t coefficient;
      fst_dim t = term_multiply(dims, p.terms[i].term, q.terms[j].term);
      if (t == FST_DIM_UNKNOWN || __builtin_mul_overflow(p.terms[i].coefficient, q.terms[j].coefficient, &coefficient)) return FST_DIM_UNKNOWN;
      sum = add_scaled(dims, sum, t, coefficient);
    }
  }
  return sum;
}

// ---- floordiv and mod ------------------------------------------------------------------------------

static int64_t gcd(int64_t a, int64_t b) {
  uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
  while (y) {
    uint64_t r = x % y;
    x = y;
    y = r;
  }
  return x > INT64_MAX ? 1 : (int64_t)x;
}

// gcd of the constant and all coefficients.
static int64_t poly_content(const poly *p) {
  int64_t g = p->constant;
  for (uint32_t i = 0; i < p->count; i++) g = gcd(g, p->terms[i].coefficient);
  return gcd(g, 0);
}

// a = divisor * quotient + rest, with the coefficients of the rest in [0, divisor).
static void split_by(fst_dims *dims, fst_dim a, int64_t divisor, fst_dim *out_quotient, fst_dim *out_rest) {
  poly p, q = {0}, r = {0};
  poly_of(dims, a, &p);
  q.constant = floor_div(p.constant, divisor);
  r.constant = p.constant - q.constant * divisor;
  for (uint32_t i = 0; i < p.count; i++) {
    int64_t part = floor_div(p.terms[i].coefficient, divisor), left = p.terms[i].coefficient - part * divisor;
    if (part) q.terms[q.count++] = (term){p.terms[i].term, part};
    if (left) r.terms[r.count++] = (term){p.terms[i].term, left};
  }
  *out_quotient = poly_intern(dims, &q);
  *out_rest = poly_intern(dims, &r);
}

static fst_dim divide_exactly(fst_dims *dims, fst_dim a, int64_t by) {
  poly p;
  poly_of(dims, a, &p);
  p.constant /= by;
  for (uint32_t i = 0; i < p.count; i++) p.terms[i].coefficient /= by;
  return poly_intern(dims, &p);
}

static fst_dim pair_intern(fst_dims *dims, fst_dim_kind kind, fst_dim a, fst_dim b) {
  fst_dim operands[2] = {a, b};
  return expr_intern(dims, (expr){.kind = kind, .count = 2, .operands = operands});
}

// a / b when b divides a as a polynomial in an obvious way: b is one term (with coefficient and no
// constant) that divides each term of a, or a is a multiple of b. Else unknown.
static fst_dim quotient_of(fst_dims *dims, fst_dim a, fst_dim b) {
  poly p, q;
  poly_of(dims, a, &p);
  poly_of(dims, b, &q);
  if (p.count == 0 && p.constant == 0) return 0;
  if (q.count == 1 && q.constant == 0) {
    poly r = {0};
    if (p.constant) return FST_DIM_UNKNOWN;
    for (uint32_t i = 0; i < p.count; i++) {
      fst_dim t = term_divide(dims, p.terms[i].term, q.terms[0].term);
      if (t == FST_DIM_UNKNOWN || p.terms[i].coefficient % q.terms[0].coefficient) return FST_DIM_UNKNOWN;
      int64_t c = p.terms[i].coefficient / q.terms[0].coefficient;
      if (t == 1) poly_add_constant(&r, c);
      else poly_add_term(dims, &r, t, c);
    }
    return poly_intern(dims, &r);
  }
  if (p.count == q.count && q.count && p.terms[0].coefficient % q.terms[0].coefficient == 0) {
    int64_t scale = p.terms[0].coefficient / q.terms[0].coefficient;
    if (add_scaled(dims, 0, b, scale) == a) return fst_dim_const(dims, scale);
  }
  // a = t * b for a term t: try the quotient of the first terms.
  if (p.count && q.count && p.terms[p.count - 1].coefficient % q.terms[q.count - 1].coefficient == 0) {
    fst_dim t = term_divide(dims, p.terms[p.count - 1].term, q.terms[q.count - 1].term);
    if (t != FST_DIM_UNKNOWN) t = add_scaled(dims, 0, t, p.terms[p.count - 1].coefficient / q.terms[q.count - 1].coefficient);
    if (t != FST_DIM_UNKNOWN && fst_dim_mul(dims, t, b) == a) return t;
  }
  return FST_DIM_UNKNOWN;
}

static fst_dim floordiv_const(fst_dims *dims, fst_dim a, int64_t divisor) {
  if (divisor == INT64_MIN) return FST_DIM_UNKNOWN;
  if (divisor < 0) return floordiv_const(dims, fst_dim_sub(dims, 0, a), -divisor);
  if (divisor == 1 || a == FST_DIM_UNKNOWN) return a;
  fst_dim quotient, rest;
  split_by(dims, a, divisor, &quotient, &rest);
  if (quotient == FST_DIM_UNKNOWN || rest == FST_DIM_UNKNOWN) return FST_DIM_UNKNOWN;
  int64_t low, high;
  fst_dim_bounds(dims, rest, &low, &high);
  if (low >= 0 && high < divisor) return quotient;
  poly p;
  poly_of(dims, rest, &p);
  // The constant may be rounded down to a multiple of what divides everything else: (4x + 3) // 8 = x // 2.
  int64_t c = p.constant, g = divisor;
  for (uint32_t i = 0; i < p.count; i++) g = gcd(g, p.terms[i].coefficient);
  p.constant = c - c % g;
  rest = divide_exactly(dims, poly_intern(dims, &p), g);
  divisor /= g;
  if (divisor == 1) return fst_dim_add(dims, quotient, rest);
  fst_dim_view v = fst_dim_open(dims, rest);
  int64_t inner;
  if (v.kind == FST_DIM_FLOORDIV && fst_dim_is_const(dims, v.operands[1], &inner) && inner > 0 && !__builtin_mul_overflow(inner, divisor, &inner))
    return fst_dim_add(dims, quotient, floordiv_const(dims, v.operands[0], inner));
  return fst_dim_add(dims, quotient, pair_intern(dims, FST_DIM_FLOORDIV, rest, divisor));
}

fst_dim fst_dim_floordiv(fst_dims *dims, fst_dim a, fst_dim b) {
  if (a == FST_DIM_UNKNOWN || b == FST_DIM_UNKNOWN || b == 0) return FST_DIM_UNKNOWN;
  int64_t divisor;
  if (fst_dim_is_const(dims, b, &divisor)) return floordiv_const(dims, a, divisor);
  fst_dim exact = quotient_of(dims, a, b);
  if (exact != FST_DIM_UNKNOWN) return exact;
  int64_t al, ah, bl, bh;
  fst_dim_bounds(dims, a, &al, &ah);
  fst_dim_bounds(dims, b, &bl, &bh);
  if (al >= 0 && bl >= 0 && fst_dim_less(dims, a, b) == 1) return 0;
  return pair_intern(dims, FST_DIM_FLOORDIV, a, b);
}

static fst_dim mod_const(fst_dims *dims, fst_dim a, int64_t divisor) {
  if (divisor == INT64_MIN) return FST_DIM_UNKNOWN;
  if (divisor < 0) return fst_dim_sub(dims, 0, mod_const(dims, fst_dim_sub(dims, 0, a), -divisor));
  if (divisor == 1) return 0;
  if (a == FST_DIM_UNKNOWN) return a;
  fst_dim quotient, rest;
  split_by(dims, a, divisor, &quotient, &rest);
  if (rest == FST_DIM_UNKNOWN) return rest;
  int64_t low, high;
  fst_dim_bounds(dims, rest, &low, &high);
  if (low >= 0 && high < divisor) return rest;
  poly p;
  poly_of(dims, rest, &p);
  int64_t g = gcd(poly_content(&p), divisor);
  if (g > 1) return add_scaled(dims, 0, mod_const(dims, divide_exactly(dims, rest, g), divisor / g), g);
  return pair_intern(dims, FST_DIM_MOD, rest, divisor);
}

fst_dim fst_dim_mod(fst_dims *dims, fst_dim a, fst_dim b) {
  if (a == FST_DIM_UNKNOWN || b == FST_DIM_UNKNOWN || b == 0) return FST_DIM_UNKNOWN;
  int64_t divisor;
  if (fst_dim_is_const(dims, b, &divisor)) return mod_const(dims, a, divisor);
  if (quotient_of(dims, a, b) != FST_DIM_UNKNOWN) return 0;
  int64_t al, ah, bl, bh;
  fst_dim_bounds(dims, a, &al, &ah);
  fst_dim_bounds(dims, b, &bl, &bh);
  if (al >= 0 && bl >= 0 && fst_dim_less(dims, a, b) == 1) return a;
  return pair_intern(dims, FST_DIM_MOD, a, b);
}

// ---- min, max and questions ------------------------------------------------------------------------

static fst_dim extreme(fst_dims *dims, fst_dim_kind kind, fst_dim a, fst_dim b) {
  if (a == FST_DIM_UNKNOWN || b == FST_DIM_UNKNOWN) return FST_DIM_UNKNOWN;
  if (a == b) return a;
  fst_dim difference = fst_dim_sub(dims, a, b);
  if (difference != FST_DIM_UNKNOWN) {
    int64_t low, high;
    fst_dim_bounds(dims, difference, &low, &high);
    if (low >= 0) return kind == FST_DIM_MIN ? b : a;
    if (high <= 0) return kind == FST_DIM_MIN ? a : b;
  }
  bool swap = expr_compare(dims, a, b) > 0;
  // A constant goes right.
  if (fst_dim_is_const(dims, a, NULL)) swap = true;
  if (fst_dim_is_const(dims, b, NULL)) swap = false;
  return swap ? pair_intern(dims, kind, b, a) : pair_intern(dims, kind, a, b);
}
fst_dim fst_dim_min(fst_dims *dims, fst_dim a, fst_dim b) { return extreme(dims, FST_DIM_MIN, a, b); }
fst_dim fst_dim_max(fst_dims *dims, fst_dim a, fst_dim b) { return extreme(dims, FST_DIM_MAX, a, b); }

int fst_dim_equal(fst_dims *dims, fst_dim a, fst_dim b) {
  if (a == FST_DIM_UNKNOWN || b == FST_DIM_UNKNOWN) return -1;
  if (a == b) return 1;
  fst_dim difference = fst_dim_sub(dims, a, b);
  if (difference == FST_DIM_UNKNOWN) return -1;
  if (difference == 0) return 1;
  int64_t low, high;
  fst_dim_bounds(dims, difference, &low, &high);
  if (low > 0 || high < 0) return 0;
  // k + (multiple of g) is not 0 when g does not divide k.
  fst_dim_view v = fst_dim_open(dims, difference);
  if (v.kind == FST_DIM_SUM && v.constant) {
    int64_t g = fst_dim_divisor(dims, fst_dim_sub(dims, difference, fst_dim_const(dims, v.constant)));
    if (g && v.constant % g) return 0;
  }
  return -1;
}

int fst_dim_less(fst_dims *dims, fst_dim a, fst_dim b) {
  if (a == FST_DIM_UNKNOWN || b == FST_DIM_UNKNOWN) return -1;
  int64_t al, ah, bl, bh;
  fst_dim_bounds(dims, a, &al, &ah);
  fst_dim_bounds(dims, b, &bl, &bh);
  if (ah < bl) return 1;
  if (al >= bh) return 0;
  fst_dim difference = fst_dim_sub(dims, b, a);
  if (difference == FST_DIM_UNKNOWN) return -1;
  int64_t low, high;
  fst_dim_bounds(dims, difference, &low, &high);
  return low >= 1 ? 1 : high <= 0 ? 0 : -1;
}

int64_t fst_dim_divisor(const fst_dims *dims, fst_dim d) {
  if (d == FST_DIM_UNKNOWN) return 1;
  fst_dim_view v = fst_dim_open(dims, d);
  int64_t g = 0;
  switch (v.kind) {
    case FST_DIM_CONST: return gcd(v.constant, 0);
    case FST_DIM_SUM:
      g = v.constant;
      for (uint32_t i = 0; i < v.count; i++) {
        int64_t part;
        if (__builtin_mul_overflow(v.coefficients[i], fst_dim_divisor(dims, v.operands[i]), &part)) part = v.coefficients[i];
        g = gcd(g, part);
      }
      return g;
    case FST_DIM_PRODUCT:
      g = 1;
      for (uint32_t i = 0; i < v.count; i++) {
        int64_t part = fst_dim_divisor(dims, v.operands[i]);
        if (__builtin_mul_overflow(g, part, &part)) return g;
        g = part;
      }
      return g;
    case FST_DIM_MOD: case FST_DIM_MIN: case FST_DIM_MAX:
      return gcd(fst_dim_divisor(dims, v.operands[0]), fst_dim_divisor(dims, v.operands[1]));
    default: return 1;
  }
}

// ---- rebuilding ------------------------------------------------------------------------------------

typedef struct {
  fst_dims *to;
  const fst_dims *from;
  const fst_dim *map;
  uint32_t count;
} rebuild;

static fst_dim rebuilt(const rebuild *r, fst_dim d) {
  if (d >= 0 || d == FST_DIM_UNKNOWN) return d;
  fst_dim_view v = fst_dim_open(r->from, d);   // arrays stay where they are when tables grow
  fst_dim acc;
  switch (v.kind) {
    case FST_DIM_CONST: return fst_dim_const(r->to, v.constant);
    case FST_DIM_SYMBOL:
      if (v.symbol < r->count && r->map[v.symbol] != FST_DIM_UNKNOWN) return r->map[v.symbol];
      return fst_dim_symbol(r->to, v.symbol, v.is_signed);
    case FST_DIM_SUM:
      acc = fst_dim_const(r->to, v.constant);
      for (uint32_t i = 0; i < v.count; i++) acc = add_scaled(r->to, acc, rebuilt(r, v.operands[i]), v.coefficients[i]);
      return acc;
    case FST_DIM_PRODUCT:
      acc = 1;
      for (uint32_t i = 0; i < v.count; i++) acc = fst_dim_mul(r->to, acc, rebuilt(r, v.operands[i]));
      return acc;
    default: break;
  }
  fst_dim a = rebuilt(r, v.operands[0]), b = rebuilt(r, v.operands[1]);
  switch (v.kind) {
    case FST_DIM_FLOORDIV: return fst_dim_floordiv(r->to, a, b);
    case FST_DIM_MOD: return fst_dim_mod(r->to, a, b);
    case FST_DIM_MIN: return fst_dim_min(r->to, a, b);
    default: return fst_dim_max(r->to, a, b);
  }
}

fst_dim fst_dim_substitute(fst_dims *dims, fst_dim d, const fst_dim *map, uint32_t count) {
  return rebuilt(&(rebuild){dims, dims, map, count}, d);
}
fst_dim fst_dim_import(fst_dims *to, const fst_dims *from, fst_dim d, const fst_dim *map, uint32_t count) {
  return rebuilt(&(rebuild){to, from, map, count}, d);
}

bool fst_dim_evaluate(const fst_dims *dims, fst_dim d, const int64_t *symbols, uint32_t count, int64_t *out_value) {
  if (d == FST_DIM_UNKNOWN) return false;
  fst_dim_view v = fst_dim_open(dims, d);
  int64_t acc = v.kind == FST_DIM_PRODUCT ? 1 : v.constant, part, other;
  switch (v.kind) {
    case FST_DIM_CONST: break;
    case FST_DIM_SYMBOL:
      if (v.symbol >= count) return false;
      acc = symbols[v.symbol];
      break;
    case FST_DIM_SUM:
    case FST_DIM_PRODUCT:
      for (uint32_t i = 0; i < v.count; i++) {
        if (!fst_dim_evaluate(dims, v.operands[i], symbols, count, &part)) return false;
        if (v.kind == FST_DIM_PRODUCT ? __builtin_mul_overflow(acc, part, &acc)
                                      : __builtin_mul_overflow(part, v.coefficients[i], &part) || __builtin_add_overflow(acc, part, &acc))
          return false;
      }
      break;
    default:
      if (!fst_dim_evaluate(dims, v.operands[0], symbols, count, &part) || !fst_dim_evaluate(dims, v.operands[1], symbols, count, &other)) return false;
      if (v.kind == FST_DIM_MIN) acc = part < other ? part : other;
      else if (v.kind == FST_DIM_MAX) acc = part > other ? part : other;
      else if (other == 0 || (part == INT64_MIN && other == -1)) return false;
      else acc = v.kind == FST_DIM_FLOORDIV ? floor_div(part, other) : part - floor_div(part, other) * other;
      break;
  }
  *out_value = acc;
  return true;
}

// ---- text ------------------------------------------------------------------------------------------

static void print_operand(const fst_dims *dims, fst_dim d, fst_text *out) {
  fst_dim_kind kind = fst_dim_open(dims, d).kind;
  bool bare = kind == FST_DIM_SYMBOL || kind == FST_DIM_MIN || kind == FST_DIM_MAX || d >= 0;
  if (!bare) fst_text_putc(out, '(');
  fst_dim_print(dims, d, out);
  if (!bare) fst_text_putc(out, ')');
}

static void print_term(const fst_dims *dims, fst_dim t, fst_text *out) {
  const fst_dim *factors;
  uint32_t count = term_factors(dims, &t, &factors);
  for (uint32_t i = 0; i < count; i++) {
    if (i) fst_text_putc(out, '*');
    print_operand(dims, factors[i], out);
  }
}

static void print_sum(const fst_dims *dims, const fst_dim_view *v, fst_text *out) {
  for (uint32_t i = 0; i < v->count; i++) {
    int64_t c = v->coefficients[i];
    if (i) fst_text_puts(out, c < 0 ? " - " : " + ");
    else if (c < 0) fst_text_putc(out, '-');
    uint64_t magnitude = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
    if (magnitude != 1) fst_text_printf(out, "%llu*", (unsigned long long)magnitude);
    print_term(dims, v->operands[i], out);
  }
  uint64_t magnitude = v->constant < 0 ? 0 - (uint64_t)v->constant : (uint64_t)v->constant;
  if (v->constant) fst_text_printf(out, " %c %llu", v->constant < 0 ? '-' : '+', (unsigned long long)magnitude);
}

void fst_dim_print(const fst_dims *dims, fst_dim d, fst_text *out) {
  if (d == FST_DIM_UNKNOWN) {
    fst_text_putc(out, '?');
    return;
  }
  fst_dim_view v = fst_dim_open(dims, d);
  switch (v.kind) {
    case FST_DIM_CONST: fst_text_printf(out, "%lld", (long long)v.constant); return;
    case FST_DIM_SYMBOL: fst_text_printf(out, "%c%u", v.is_signed ? 'i' : 's', v.symbol); return;
    case FST_DIM_SUM: print_sum(dims, &v, out); return;
    case FST_DIM_PRODUCT: print_term(dims, d, out); return;
    case FST_DIM_MIN: case FST_DIM_MAX:
      fst_text_puts(out, v.kind == FST_DIM_MIN ? "min(" : "max(");
      fst_dim_print(dims, v.operands[0], out);
      fst_text_puts(out, ", ");
      fst_dim_print(dims, v.operands[1], out);
      fst_text_putc(out, ')');
      return;
    default:
      print_operand(dims, v.operands[0], out);
      fst_text_puts(out, v.kind == FST_DIM_FLOORDIV ? " // " : " % ");
      print_operand(dims, v.operands[1], out);
      return;
  }
}

typedef struct {
  fst_dims *dims;
  const char *at;
  uint32_t depth;
} dim_parser;

static fst_status parse_sum(dim_parser *p, fst_dim *out);

static void skip_blanks(dim_parser *p) { while (*p->at == ' ') p->at++; }

static fst_status parse_number(dim_parser *p, uint64_t *out) {
  uint64_t value = 0;
  if (*p->at < '0' || *p->at > '9') return FST_FAIL(FST_ERR_CORRUPT, "expected a number");
  for (; *p->at >= '0' && *p->at <= '9'; p->at++)
    if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t)(*p->at - '0'), &value))
      return FST_FAIL(FST_ERR_CORRUPT, "a size that does not fit 64 bits");
  *out = value;
  return NULL;
}

static fst_status parse_symbol(dim_parser *p, fst_dim *out) {
  bool is_signed = *p->at++ == 'i';
  uint64_t index;
  FST_TRY(parse_number(p, &index));
  if (index >= MAX_SYMBOLS) return FST_FAIL(FST_ERR_CORRUPT, "a symbol number below %d is expected", MAX_SYMBOLS);
  *out = fst_dim_symbol(p->dims, (uint32_t)index, is_signed);
  if (fst_dim_open(p->dims, *out).is_signed == is_signed) return NULL;
  return FST_FAIL(FST_ERR_CORRUPT, "symbol %u is used both as s%u and as i%u", (unsigned)index, (unsigned)index, (unsigned)index);
}

static fst_status parse_extreme(dim_parser *p, fst_dim *out) {
  bool is_min = p->at[1] == 'i';
  fst_dim a, b;
  p->at += 4;
  FST_TRY(parse_sum(p, &a));
  if (*p->at != ',') return FST_FAIL(FST_ERR_CORRUPT, "expected ',' in a min or max");
  p->at++;
  FST_TRY(parse_sum(p, &b));
  if (*p->at != ')') return FST_FAIL(FST_ERR_CORRUPT, "expected ')' after a min or max");
  p->at++;
  *out = is_min ? fst_dim_min(p->dims, a, b) : fst_dim_max(p->dims, a, b);
  return NULL;
}

static fst_status parse_primary(dim_parser *p, bool negative, fst_dim *out) {
  skip_blanks(p);
  uint64_t value;
  if (*p->at >= '0' && *p->at <= '9') {
    FST_TRY(parse_number(p, &value));
    if (value > (uint64_t)INT64_MAX + negative) return FST_FAIL(FST_ERR_CORRUPT, "a size that does not fit 64 bits");
    *out = negative ? fst_dim_const(p->dims, (int64_t)(0 - value)) : (fst_dim)value;
    return NULL;
  }
  if (negative) {
    FST_TRY(parse_primary(p, false, out));
    *out = fst_dim_sub(p->dims, 0, *out);
    return NULL;
  }
  if ((*p->at == 's' || *p->at == 'i') && p->at[1] >= '0' && p->at[1] <= '9') return parse_symbol(p, out);
  if (!strncmp(p->at, "min(", 4) || !strncmp(p->at, "max(", 4)) return parse_extreme(p, out);
  if (*p->at == '(') {
    p->at++;
    FST_TRY(parse_sum(p, out));
    if (*p->at != ')') return FST_FAIL(FST_ERR_CORRUPT, "expected ')' in a size");
    p->at++;
    return NULL;
  }
  return FST_FAIL(FST_ERR_CORRUPT, "expected a size (a number, s0, i0, min(..), max(..) or '?')");
}

static fst_status parse_product(dim_parser *p, bool negative, fst_dim *out) {
  FST_TRY(parse_primary(p, negative, out));
  for (;;) {
    skip_blanks(p);
    char op = *p->at;
    if (op == '/' && p->at[1] != '/') return FST_FAIL(FST_ERR_CORRUPT, "expected '//'");
    if (op != '*' && op != '/' && op != '%') return NULL;
    p->at += op == '/' ? 2 : 1;
    fst_dim right;
    FST_TRY(parse_primary(p, false, &right));
    *out = op == '*' ? fst_dim_mul(p->dims, *out, right) : op == '/' ? fst_dim_floordiv(p->dims, *out, right) : fst_dim_mod(p->dims, *out, right);
  }
}

static fst_status parse_sum(dim_parser *p, fst_dim *out) {
  if (++p->depth > 2 * MAX_DEPTH) return FST_FAIL(FST_ERR_CORRUPT, "a size nested too deeply");
  skip_blanks(p);
  bool negative = *p->at == '-';
  if (negative) p->at++;
  skip_blanks(p);
  FST_TRY(parse_product(p, negative, out));
  for (;;) {
    skip_blanks(p);
    char op = *p->at;
    if (op != '+' && op != '-') break;
    p->at++;
    fst_dim right;
    FST_TRY(parse_product(p, false, &right));
    *out = op == '+' ? fst_dim_add(p->dims, *out, right) : fst_dim_sub(p->dims, *out, right);
  }
  p->depth--;
  return NULL;
}

fst_status fst_dim_parse(fst_dims *dims, const char **cursor, fst_dim *out) {
  dim_parser p = {dims, *cursor, 0};
  skip_blanks(&p);
  fst_status status = NULL;
  fst_dim d = FST_DIM_UNKNOWN;
  if (*p.at == '?') p.at++;
  else status = parse_sum(&p, &d);
  *cursor = p.at;   // where it went wrong, too
  if (!status) *out = d;
  return status;
}
