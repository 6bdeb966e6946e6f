// Calling the functions of expand.kir: a small reader that builds expressions straight from the text. Numbers
// take their dtype from what they stand beside, so an argument list is read twice: first what has a dtype.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/kernel/kernel.h"

extern const char fst_expand_kir[];   // generated from ir/kernel/expand.kir
extern const unsigned fst_expand_kir_len;

enum { MOST_LOCALS = 48, MOST_ARGS = 4, NAME = 32 };

typedef struct scope {
  fst_kernel *k;
  fst_dtype type;                       // T
  fst_kx (*lookup)(void *context, const char *name);   // names that are no locals; may be NULL
  void *context;
  bool is_row;                          // not a function of the file: of dtypes that it may not be for
  bool missing;                         // and indeed is not
  char names[MOST_LOCALS][NAME];
  fst_kx values[MOST_LOCALS];
  uint32_t count;
} scope;

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

static const char *line_end(const char *at) {
  const char *end = fst_expand_kir + fst_expand_kir_len, *found = memchr(at, '\n', (size_t)(end - at));
  return found ? found : end;
}
static const char *next_line(const char *at) {
  at = line_end(at);
  return at < fst_expand_kir + fst_expand_kir_len ? at + 1 : at;
}

static bool kind_fits(const char *kind, size_t len, fst_dtype dtype) {
  const char *name = fst_dtype_name(dtype);
  if (len == 3 && !memcmp(kind, "any", 3)) return true;
  if (len == 5 && !memcmp(kind, "float", 5)) return fst_dtype_is_float(dtype);
  if (len == 3 && !memcmp(kind, "int", 3)) return fst_dtype_is_integral(dtype, false);
  return strlen(name) == len && !memcmp(kind, name, len);
}

// The text behind `fn name.kind`, at its '('; NULL when no function of that name takes the dtype.
static const char *find(const char *name, fst_dtype dtype) {
  size_t len = strlen(name);
  const char *end = fst_expand_kir + fst_expand_kir_len;
  for (const char *at = fst_expand_kir; at < end; at = next_line(at)) {
    if (end - at < 4 || memcmp(at, "fn ", 3) || (size_t)(end - at) < len + 5 || memcmp(at + 3, name, len) || at[3 + len] != '.') continue;
    const char *kind = at + 4 + len;
    size_t kind_len = 0;
    while (is_word(kind[kind_len])) kind_len++;
    if (kind_fits(kind, kind_len, dtype)) return kind + kind_len;
  }
  return NULL;
}

static int prim_index(const char *name) {
  for (int i = 0; i < FST_PRIM_COUNT; i++)
    if (!strcmp(name, fst_prim_name((fst_prim)i))) return i;
  return -1;
}

static bool is_built_in(const char *function, fst_dtype dtype);

bool fst_kx_has_function(const char *function, fst_dtype dtype) {
  if (dtype == FST_F16 || dtype == FST_BF16) dtype = FST_F32;
  return prim_index(function) >= 0 || is_built_in(function, dtype) || find(function, dtype);
}

// ---- expressions -----------------------------------------------------------------------------------

static fst_kx read_expr(scope *s, const char **at, fst_dtype number_type);

static void spaces(const char **at) {
  while (**at == ' ') ++*at;
}

static bool is_number(const char *at) {
  if (*at == '-') at++;
  return isdigit((unsigned char)*at) || ((!strncmp(at, "inf", 3) || !strncmp(at, "nan", 3)) && !is_word(at[3]));
}

static fst_kx read_number(scope *s, const char **at, fst_dtype type) {
  char text[64];
  size_t len = 0;
  const char *p = *at;
  // Signs belong to the number at its start and behind an exponent only.
  while (len + 1 < sizeof text && (is_word(p[len]) || p[len] == '.' || (p[len] == '-' && !len) || ((p[len] == '-' || p[len] == '+') && strchr("pe", p[len - 1])))) {
    text[len] = p[len];
    len++;
  }
  text[len] = 0;
  *at += len;
  if (fst_dtype_is_float(type)) return fst_kx_float(s->k, type, strtod(text, NULL));
  return fst_kx_const_bits(s->k, type, fst_convert_eval(FST_I64, type, (uint64_t)strtoll(text, NULL, 10)));
}

static const char *skip_expr(const char *at) {
  for (int depth = 0;; at++) {
    if (*at == '(') depth++;
    if (*at == ')' && depth-- == 0) return at;
    if (*at == ',' && depth == 0) return at;
    if (*at == '\n' || !*at) return at;
  }
}

static fst_kx call(scope *s, const char *name, const fst_kx *args, uint32_t count);

// `to_D`, `bits_D`: what follows the prefix, or unknown.
static fst_dtype cast_target(const scope *s, const char *name, const char *prefix) {
  size_t len = strlen(prefix);
  if (strncmp(name, prefix, len)) return FST_DTYPE_UNKNOWN;
  return !strcmp(name + len, "T") ? s->type : fst_dtype_from_name(name + len, strlen(name + len));
}

static fst_kx read_call(scope *s, const char *name, const char **at, fst_dtype number_type) {
  const char *starts[MOST_ARGS];
  fst_kx args[MOST_ARGS] = {{0}};
  uint32_t count = 0;
  fst_dtype beside = FST_DTYPE_UNKNOWN, cast = cast_target(s, name, "to_"), bits = cast_target(s, name, "bits_");
  bool is_select = !strcmp(name, "select");
  const char *p = *at + 1;
  for (;; p++) {
    spaces(&p);
    FST_ASSERT(count < MOST_ARGS, "expand.kir: too many operands of %s", name);
    starts[count++] = p;
    p = skip_expr(p);
    if (*p != ',') break;
  }
  FST_ASSERT(*p == ')', "expand.kir: ')' expected after the operands of %s", name);
  *at = p + 1;
  if (cast != FST_DTYPE_UNKNOWN) {
    // A number is of the dtype it is converted to at once.
    const char *q = starts[0];
    if (is_number(q)) return read_number(s, &q, cast);
    return fst_kx_convert(s->k, read_expr(s, &q, s->type), cast);
  }
  for (uint32_t i = 0; i < count; i++) {
    const char *q = starts[i];
    if (is_number(q)) continue;
    args[i] = read_expr(s, &q, number_type);
    if (!(is_select && i == 0) && beside == FST_DTYPE_UNKNOWN) beside = fst_kx_get(s->k, args[i])->dtype;
  }
  if (beside == FST_DTYPE_UNKNOWN) beside = number_type;
  for (uint32_t i = 0; i < count; i++) {
    const char *q = starts[i];
    if (!args[i].id) args[i] = read_number(s, &q, beside);
  }
  if (bits != FST_DTYPE_UNKNOWN) return fst_kx_bitcast(s->k, args[0], bits);
  return call(s, name, args, count);
}

static fst_kx read_expr(scope *s, const char **at, fst_dtype number_type) {
  char name[NAME];
  size_t len = 0;
  spaces(at);
  if (is_number(*at)) return read_number(s, at, number_type);
  while (is_word((*at)[len]) && len + 1 < sizeof name) {
    name[len] = (*at)[len];
    len++;
  }
  name[len] = 0;
  FST_ASSERT(len, "expand.kir: an expression expected at '%.20s'", *at);
  *at += len;
  if (**at == '(') return read_call(s, name, at, number_type);
  for (uint32_t i = s->count; i-- > 0;)
    if (!strcmp(s->names[i], name)) return s->values[i];
  fst_kx x = s->lookup ? s->lookup(s->context, name) : FST_NO_KX;
  if (x.id) return x;
  FST_UNREACHABLE("expand.kir: '%s' is not defined", name);
}

// ---- functions -------------------------------------------------------------------------------------

static void add_local(scope *s, const char *name, size_t len, fst_kx value) {
  FST_ASSERT(s->count < MOST_LOCALS && len < NAME, "expand.kir: too many locals at '%.*s'", (int)len, name);
  memcpy(s->names[s->count], name, len);
  s->names[s->count][len] = 0;
  s->values[s->count++] = value;
}

static fst_kx run_body(fst_kernel *k, const char *at, const fst_kx *args, uint32_t count, fst_dtype type) {
  scope s = {.k = k, .type = type};
  for (uint32_t i = 0; i < count; i++) {   // "(a, b)"
    at++;
    spaces(&at);
    size_t len = 0;
    while (is_word(at[len])) len++;
    add_local(&s, at, len, args[i]);
    at += len;
    FST_ASSERT(*at == (i + 1 == count ? ')' : ','), "expand.kir: a function is called with %u operands", count);
  }
  for (at = next_line(at);; at = next_line(at)) {
    spaces(&at);
    if (*at == '#' || *at == '\n') continue;
    if (!strncmp(at, "ret ", 4)) {
      at += 4;
      return read_expr(&s, &at, type);
    }
    size_t len = 0;
    const char *name = at;
    while (is_word(at[len])) len++;
    at += len;
    spaces(&at);
    FST_ASSERT(len && *at == '=', "expand.kir: 'name = expression' expected at '%.20s'", name);
    at++;
    add_local(&s, name, len, read_expr(&s, &at, type));
  }
}

fst_kx fst_kx_expression(fst_kernel *k, const char *text, fst_dtype type, fst_kx (*lookup)(void *context, const char *name), void *context) {
  scope s = {.k = k, .type = type, .lookup = lookup, .context = context, .is_row = true};
  fst_kx x = read_expr(&s, &text, type);
  return s.missing ? FST_NO_KX : x;
}

// base^exponent of integers wraps: a product of `exponent` factors. A negative one is 1 / that, truncated.
static fst_kx integer_power(fst_kernel *k, fst_kx base, fst_kx exponent) {
  fst_dtype type = fst_kx_get(k, base)->dtype;
  int64_t fixed;
  fst_kx e = fst_kx_convert(k, exponent, FST_I64), one = fst_kx_number(k, type, 1, 1), zero = fst_kx_number(k, type, 0, 0);
  if (type == FST_BOOL) return fst_kx_prim2(k, FST_PRIM_OR, base, fst_kx_prim2(k, FST_PRIM_EQ, e, fst_kx_int(k, 0)));
  if (fst_kx_is_int(k, e, &fixed) && fixed >= 0 && fixed <= 64) {
    fst_kx r = one, square = base;
    for (; fixed; fixed >>= 1) {
      if (fixed & 1) r = fst_kx_prim2(k, FST_PRIM_MUL, r, square);
      if (fixed > 1) square = fst_kx_prim2(k, FST_PRIM_MUL, square, square);
    }
    return r;
  }
  // By squaring, one bit of the exponent after the other.
  fst_kx up = one, square = base;
  for (int bit = 0; bit < 63; bit++) {
    fst_kx is_set = fst_kx_prim2(k, FST_PRIM_AND, fst_kx_prim2(k, FST_PRIM_SHR, e, fst_kx_int(k, bit)), fst_kx_int(k, 1));
    up = fst_kx_prim2(k, FST_PRIM_MUL, up, fst_kx_prim3(k, FST_PRIM_SELECT, fst_kx_prim2(k, FST_PRIM_NE, is_set, fst_kx_int(k, 0)), square, one));
    square = fst_kx_prim2(k, FST_PRIM_MUL, square, square);
  }
  fst_kx minus = fst_kx_number(k, type, -1, -1), odd = fst_kx_prim2(k, FST_PRIM_NE, fst_kx_prim2(k, FST_PRIM_REM, e, fst_kx_int(k, 2)), fst_kx_int(k, 0));
  fst_kx down = fst_kx_prim3(k, FST_PRIM_SELECT, fst_kx_prim2(k, FST_PRIM_EQ, base, one), one,
                             fst_kx_prim3(k, FST_PRIM_SELECT, fst_kx_prim2(k, FST_PRIM_EQ, base, minus), fst_kx_prim3(k, FST_PRIM_SELECT, odd, minus, one), zero));
  return fst_kx_prim3(k, FST_PRIM_SELECT, fst_kx_prim2(k, FST_PRIM_LT, e, fst_kx_int(k, 0)), down, up);
}

// PyTorch's special cases of x to a fixed power, which other libraries' pow computes too.
static fst_kx fixed_power(fst_kernel *k, fst_kx x, fst_kx exponent) {
  const fst_kx_data *d = fst_kx_get(k, exponent);
  if (d->kind != FST_KX_CONST) return FST_NO_KX;
  uint64_t bits = fst_convert_eval(d->dtype, FST_F64, d->bits);
  fst_kx one = fst_kx_float(k, d->dtype, 1), square = fst_kx_prim2(k, FST_PRIM_MUL, x, x);
  double e;
  memcpy(&e, &bits, sizeof e);
  if (e == 0) return one;
  if (e == 1) return x;
  if (e == 2) return square;
  if (e == 3) return fst_kx_prim2(k, FST_PRIM_MUL, square, x);
  if (e == -1) return fst_kx_prim2(k, FST_PRIM_DIV, one, x);
  if (e == -2) return fst_kx_prim2(k, FST_PRIM_DIV, one, square);
  if (e == 0.5) return fst_kx_prim1(k, FST_PRIM_SQRT, x);
  if (e == -0.5) return fst_kx_prim2(k, FST_PRIM_DIV, one, fst_kx_prim1(k, FST_PRIM_SQRT, x));
  return FST_NO_KX;
}

// Euclid's algorithm with remainders of least absolute value, which shrink at least by 1 + sqrt(2) from step to step,
// so that the width bounds their number; done steps change nothing.
static fst_kx greatest_divisor(fst_kernel *k, fst_kx a, fst_kx b) {
  fst_dtype type = fst_kx_get(k, a)->dtype;
  fst_kx one = fst_kx_number(k, type, 1, 1), zero = fst_kx_number(k, type, 0, 0);
  int steps = (int)fst_dtype_size(type) * 8 * 4 / 5 + 1;   // log2(1 + sqrt(2)) is 1.27
  a = fst_kx_prim1(k, FST_PRIM_ABS, a);
  b = fst_kx_prim1(k, FST_PRIM_ABS, b);
  for (int i = 0; i < steps; i++) {
    fst_kx done = fst_kx_prim2(k, FST_PRIM_EQ, b, zero);
    fst_kx r = fst_kx_prim2(k, FST_PRIM_REM, a, fst_kx_prim3(k, FST_PRIM_SELECT, done, one, b));
    fst_kx least = fst_kx_prim2(k, FST_PRIM_MIN, r, fst_kx_prim2(k, FST_PRIM_SUB, b, r));
    a = fst_kx_prim3(k, FST_PRIM_SELECT, done, a, b);
    b = fst_kx_prim3(k, FST_PRIM_SELECT, done, zero, least);
  }
  return a;
}

static fst_kx least_multiple(fst_kernel *k, fst_kx a, fst_kx b) {
  fst_dtype type = fst_kx_get(k, a)->dtype;
  fst_kx one = fst_kx_number(k, type, 1, 1), zero = fst_kx_number(k, type, 0, 0), g = greatest_divisor(k, a, b);
  fst_kx none = fst_kx_prim2(k, FST_PRIM_EQ, g, zero), safe = fst_kx_prim3(k, FST_PRIM_SELECT, none, one, g);
  fst_kx product = fst_kx_prim2(k, FST_PRIM_MUL, fst_kx_prim2(k, FST_PRIM_DIV, a, safe), b);
  return fst_kx_prim3(k, FST_PRIM_SELECT, none, zero, fst_kx_prim1(k, FST_PRIM_ABS, product));
}

// ---- functions that need loops or depend on constants, which the text cannot say ----

static bool is_built_in(const char *function, fst_dtype dtype) {
  if (!strcmp(function, "gcd") || !strcmp(function, "lcm")) return fst_dtype_is_integral(dtype, false);
  return !strcmp(function, "pow");
}

static fst_kx built_in(fst_kernel *k, const char *function, const fst_kx *args) {
  fst_dtype type = fst_kx_get(k, args[0])->dtype;
  if (!is_built_in(function, type)) return FST_NO_KX;
  if (strcmp(function, "pow")) {   // narrow integers are ints here, as in C
    fst_dtype wide = type == FST_I64 ? FST_I64 : FST_I32;
    fst_kx a = fst_kx_convert(k, args[0], wide), b = fst_kx_convert(k, args[1], wide);
    return fst_kx_convert(k, !strcmp(function, "gcd") ? greatest_divisor(k, a, b) : least_multiple(k, a, b), type);
  }
  return fst_dtype_is_float(type) ? fixed_power(k, args[0], args[1]) : integer_power(k, args[0], args[1]);
}

static fst_kx call(scope *s, const char *name, const fst_kx *args, uint32_t count) {
  int prim = prim_index(name);
  bool takes = prim < 0 || fst_prim_takes((fst_prim)prim, fst_kx_get(s->k, args[0])->dtype);
  fst_kx x = takes ? fst_kx_call(s->k, name, args, count) : FST_NO_KX;
  if (!x.id && s->is_row) {
    s->missing = true;
    return args[0];
  }
  FST_ASSERT(x.id, "expand.kir: no function '%s' for %s", name, fst_dtype_name(fst_kx_get(s->k, args[0])->dtype));
  return x;
}

fst_kx fst_kx_call(fst_kernel *k, const char *function, const fst_kx *args, uint32_t count) {
  int prim = prim_index(function);
  if (prim >= 0) return fst_kx_prim(k, (fst_prim)prim, args, count);
  fst_dtype type = fst_kx_get(k, args[0])->dtype;
  if (type == FST_F16 || type == FST_BF16) {   // wide, and rounded once
    fst_kx wide[MOST_ARGS];
    for (uint32_t i = 0; i < count && i < MOST_ARGS; i++) wide[i] = fst_kx_convert(k, args[i], FST_F32);
    fst_kx x = fst_kx_call(k, function, wide, count);
    return x.id && fst_kx_get(k, x)->dtype == FST_F32 ? fst_kx_convert(k, x, type) : x;
  }
  if (count == 2) {
    fst_kx x = built_in(k, function, args);
    if (x.id) return x;
  }
  // Python's power of two floats: without the shortcuts that tensors take (sqrt for 0.5), which differ at -inf.
  if (!strcmp(function, "number_pow")) function = "pow";
  const char *body = find(function, type);
  return body ? run_body(k, body, args, count, type) : FST_NO_KX;
}
