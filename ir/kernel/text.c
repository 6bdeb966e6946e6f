// Kernels as text (docs/kernel-ir.md), both ways. The printer numbers expressions, variables and nothing else
// afresh, in order of appearance: equal kernels print equal.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/kernel/kernel.h"

static const char *const reduce_names[] = {"sum", "prod", "max", "min", "argmax", "argmin", "any", "all"};
static const char *const stmt_names[] = {"map", "scatter", "scan", "sort", "compact"};
static const char *const combine_names[] = {"set", "add", "mul", "max", "min"};

// ---- printing --------------------------------------------------------------------------------------

typedef struct {
  const fst_kernel *k;
  fst_text *out;
  uint32_t *expr_number, *var_number;   // 0: not yet
  uint32_t exprs, vars;
  const char *indent;
} printer;

static void print_var(printer *p, uint32_t var) {
  if (!p->var_number[var]) p->var_number[var] = ++p->vars;
  fst_text_printf(p->out, "v%u", p->var_number[var] - 1);
}

static void print_const(fst_text *out, const fst_kx_data *d) {
  double f = 0;
  if (d->dtype == FST_I64) {
    fst_text_printf(out, "%lld", (long long)d->bits);
    return;
  }
  if (d->dtype == FST_BOOL) {
    fst_text_puts(out, d->bits ? "true" : "false");
    return;
  }
  fst_text_printf(out, "%s(", fst_dtype_name(d->dtype));
  if (fst_dtype_is_float(d->dtype)) {
    uint64_t bits = fst_convert_eval(d->dtype, FST_F64, d->bits);
    memcpy(&f, &bits, sizeof f);
    if (f != f) fst_text_printf(out, "0x%llx", (unsigned long long)d->bits);
    else fst_text_double(out, f);
  } else {
    fst_text_printf(out, "%lld", (long long)d->bits);
  }
  fst_text_putc(out, ')');
}

static void print_ref(printer *p, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(p->k, x);
  if (d->kind == FST_KX_CONST) print_const(p->out, d);
  else if (d->kind == FST_KX_PARAM) fst_text_printf(p->out, "p%u", d->index);
  else if (d->kind == FST_KX_VAR) print_var(p, d->index);
  else fst_text_printf(p->out, "%%%u", p->expr_number[x.id] - 1);
}

static void print_refs(printer *p, const fst_kx *xs, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (i) fst_text_puts(p->out, ", ");
    print_ref(p, xs[i]);
  }
}

static void print_space(printer *p, const uint32_t *vars, const fst_kx *extents, uint32_t count) {
  fst_text_putc(p->out, '(');
  for (uint32_t i = 0; i < count; i++) {
    if (i) fst_text_puts(p->out, ", ");
    print_var(p, vars[i]);
    fst_text_puts(p->out, " < ");
    print_ref(p, extents[i]);
  }
  fst_text_putc(p->out, ')');
}

// Definitions below x that have not been printed, operands first.
static void define(printer *p, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(p->k, x);
  if (d->kind < FST_KX_PRIM || p->expr_number[x.id]) return;
  for (uint32_t i = 0; i < d->var_count; i++) define(p, d->extents[i]);
  for (uint32_t i = 0; i < d->arg_count; i++) define(p, d->args[i]);
  p->expr_number[x.id] = ++p->exprs;
  fst_text_printf(p->out, "%s%%%u : %s = ", p->indent, p->exprs - 1, fst_dtype_name(d->dtype));
  if (d->kind == FST_KX_LOAD) {
    fst_text_printf(p->out, "load b%u[", d->index);
    print_refs(p, d->args, d->arg_count);
    fst_text_puts(p->out, "]\n");
    return;
  }
  if (d->kind == FST_KX_REDUCE) {
    fst_text_puts(p->out, reduce_names[d->reduce]);
    print_space(p, d->vars, d->extents, d->var_count);
    fst_text_putc(p->out, ' ');
    print_ref(p, d->args[0]);
    fst_text_putc(p->out, '\n');
    return;
  }
  fst_text_printf(p->out, "%s(", fst_prim_name(d->prim));
  print_refs(p, d->args, d->arg_count);
  fst_text_puts(p->out, ")\n");
}

static void print_stmt(printer *p, const fst_kstmt *s) {
  p->indent = "  ";
  for (uint32_t i = 0; i < s->var_count; i++) define(p, s->extents[i]);
  for (uint32_t i = 0; i < s->carry_count; i++) define(p, s->carry_init[i]);
  fst_text_printf(p->out, "  %s", stmt_names[s->kind]);
  if (s->kind == FST_KSTMT_SCATTER) fst_text_printf(p->out, ".%s", combine_names[s->combine]);
  if (s->kind == FST_KSTMT_SORT && s->descending) fst_text_puts(p->out, ".descending");
  if (s->kind == FST_KSTMT_COMPACT) fst_text_printf(p->out, ".b%u", s->count_buffer);
  fst_text_putc(p->out, ' ');
  print_space(p, s->vars, s->extents, s->var_count);
  for (uint32_t i = 0; i < s->carry_count; i++) {
    fst_text_puts(p->out, i ? ", " : " carry ");
    print_var(p, s->carries[i]);
    fst_text_printf(p->out, " : %s = ", fst_dtype_name(p->k->vars.data[s->carries[i]]));
    print_ref(p, s->carry_init[i]);
  }
  fst_text_puts(p->out, " {\n");
  p->indent = "    ";
  if (s->kind == FST_KSTMT_COMPACT) {
    define(p, s->condition);
    fst_text_puts(p->out, "    where ");
    print_ref(p, s->condition);
    fst_text_putc(p->out, '\n');
  }
  for (uint32_t i = 0; i < s->carry_count; i++) {
    define(p, s->carry_next[i]);
    fst_text_puts(p->out, "    next ");
    print_var(p, s->carries[i]);
    fst_text_puts(p->out, " = ");
    print_ref(p, s->carry_next[i]);
    fst_text_putc(p->out, '\n');
  }
  for (uint32_t i = 0; i < s->store_count; i++) {
    const fst_kstore *st = &s->stores[i];
    for (uint32_t k = 0; k < st->index_count; k++) define(p, st->indices[k]);
    define(p, st->value);
    fst_text_printf(p->out, "    b%u[", st->buffer);
    print_refs(p, st->indices, st->index_count);
    fst_text_puts(p->out, "] = ");
    print_ref(p, st->value);
    fst_text_putc(p->out, '\n');
  }
  fst_text_puts(p->out, "  }\n");
}

void fst_kernel_print(const fst_kernel *k, fst_text *out) {
  printer p = {.k = k, .out = out, .indent = "  "};
  uint32_t *numbers = calloc(k->exprs.len + k->vars.len + 2, sizeof *numbers);
  FST_ASSERT(numbers, "out of memory");
  p.expr_number = numbers;
  p.var_number = numbers + k->exprs.len + 1;
  fst_text_printf(out, "kernel %s(", k->name);
  for (size_t i = 0; i < k->params.len; i++) fst_text_printf(out, "%sp%zu : %s", i ? ", " : "", i, fst_dtype_name(k->params.data[i]));
  fst_text_puts(out, ") {\n");
  for (size_t i = 0; i < k->buffers.len; i++) {
    const fst_kbuf *b = &k->buffers.data[i];
    for (uint32_t d = 0; d < b->rank; d++) {
      define(&p, b->sizes[d]);
      define(&p, b->strides[d]);
    }
    fst_text_printf(out, "  buffer b%zu : %s[", i, fst_dtype_name(b->dtype));
    print_refs(&p, b->sizes, b->rank);
    fst_text_puts(out, "]{");
    print_refs(&p, b->strides, b->rank);
    fst_text_printf(out, "}%s%s%s\n", b->is_read ? " read" : "", b->is_written ? " written" : "", b->is_constant ? " constant" : "");
  }
  for (size_t i = 0; i < k->stmts.len; i++) print_stmt(&p, &k->stmts.data[i]);
  fst_text_puts(out, "}\n");
  free(numbers);
}

// ---- parsing ---------------------------------------------------------------------------------------

typedef struct {
  const char *start, *at, *end;
  fst_kernel *k;
  FST_VEC(fst_kx) exprs, vars, params;   // by printed number
} parser;

static fst_status expected(const parser *p, const char *what) {
  int line = 1, column = 1;
  for (const char *c = p->start; c < p->at; c++) {
    column = *c == '\n' ? 1 : column + 1;
    line += *c == '\n';
  }
  return FST_FAIL(FST_ERR_INVALID, "kernel text, line %d, column %d: %s expected", line, column, what);
}

static void skip(parser *p) {
  for (; p->at < p->end; p->at++) {
    if (*p->at == '#') {
      while (p->at < p->end && *p->at != '\n') p->at++;
      if (p->at == p->end) return;
    } else if (!isspace((unsigned char)*p->at)) {
      return;
    }
  }
}

static bool accept(parser *p, const char *token) {
  skip(p);
  size_t len = strlen(token);
  if ((size_t)(p->end - p->at) < len || memcmp(p->at, token, len)) return false;
  bool word = isalnum((unsigned char)token[len - 1]) || token[len - 1] == '_';
  if (word && p->at + len < p->end && (isalnum((unsigned char)p->at[len]) || p->at[len] == '_')) return false;
  p->at += len;
  return true;
}

static fst_status need(parser *p, const char *token) {
  char what[32];
  snprintf(what, sizeof what, "'%s'", token);
  return accept(p, token) ? NULL : expected(p, what);
}

static fst_status number(parser *p, const char *prefix, uint32_t limit, uint32_t *out) {
  skip(p);
  size_t len = strlen(prefix);
  if ((size_t)(p->end - p->at) <= len || memcmp(p->at, prefix, len) || !isdigit((unsigned char)p->at[len])) return expected(p, prefix);
  uint64_t v = 0;
  for (p->at += len; p->at < p->end && isdigit((unsigned char)*p->at); p->at++) v = v < limit ? v * 10 + (uint64_t)(*p->at - '0') : v;
  if (v >= limit) return expected(p, "a number in range");
  *out = (uint32_t)v;
  return NULL;
}

static fst_status word(parser *p, char *out, size_t size) {
  skip(p);
  size_t len = 0;
  while (p->at + len < p->end && (isalnum((unsigned char)p->at[len]) || p->at[len] == '_')) len++;
  if (!len || len >= size) return expected(p, "a word");
  memcpy(out, p->at, len);
  out[len] = 0;
  p->at += len;
  return NULL;
}

static fst_status dtype(parser *p, fst_dtype *out) {
  char name[16];
  FST_TRY(word(p, name, sizeof name));
  *out = fst_dtype_from_name(name, strlen(name));
  return *out == FST_DTYPE_UNKNOWN ? expected(p, "a dtype") : NULL;
}

static fst_status literal(parser *p, fst_dtype type, fst_kx *out) {
  char text[64];
  size_t len = 0;
  skip(p);
  while (p->at + len < p->end && len + 1 < sizeof text && (isalnum((unsigned char)p->at[len]) || strchr("+-.", p->at[len]))) {
    text[len] = p->at[len];
    len++;
  }
  text[len] = 0;
  if (!len) return expected(p, "a number");
  char *stop;
  if (!strncmp(text, "0x", 2)) {
    *out = fst_kx_const_bits(p->k, type, strtoull(text, &stop, 16));
  } else if (fst_dtype_is_float(type)) {
    *out = fst_kx_float(p->k, type, strtod(text, &stop));
  } else {
    *out = fst_kx_const_bits(p->k, type, fst_convert_eval(FST_I64, type, (uint64_t)strtoll(text, &stop, 10)));
  }
  if (*stop) return expected(p, "a number");
  p->at += len;
  return NULL;
}

static fst_status variable(parser *p, fst_dtype type, fst_kx *out) {
  uint32_t n;
  FST_TRY(number(p, "v", 1u << 20, &n));
  while (p->vars.len <= n) fst_vec_push(&p->vars, FST_NO_KX);
  if (!p->vars.data[n].id) p->vars.data[n] = fst_kernel_var(p->k, type);
  *out = p->vars.data[n];
  return NULL;
}

static fst_status ref(parser *p, fst_kx *out) {
  uint32_t n;
  skip(p);
  if (p->at == p->end) return expected(p, "an operand");
  if (*p->at == '%') {
    FST_TRY(number(p, "%", (uint32_t)p->exprs.len, &n));
    *out = p->exprs.data[n];
    return NULL;
  }
  if (*p->at == 'v' && p->at + 1 < p->end && isdigit((unsigned char)p->at[1])) return variable(p, FST_I64, out);
  if (*p->at == 'p' && p->at + 1 < p->end && isdigit((unsigned char)p->at[1])) {
    FST_TRY(number(p, "p", (uint32_t)p->params.len, &n));
    *out = p->params.data[n];
    return NULL;
  }
  if (accept(p, "true") || accept(p, "false")) {
    *out = fst_kx_bool(p->k, p->at[-2] == 'u');
    return NULL;
  }
  if (isdigit((unsigned char)*p->at) || *p->at == '-') return literal(p, FST_I64, out);
  fst_dtype type;
  FST_TRY(dtype(p, &type));
  FST_TRY(need(p, "("));
  FST_TRY(literal(p, type, out));
  return need(p, ")");
}

static fst_status refs(parser *p, const char *close, fst_kx *out, uint32_t max, uint32_t *out_count) {
  *out_count = 0;
  if (accept(p, close)) return NULL;
  do {
    if (*out_count == max) return expected(p, "fewer operands");
    FST_TRY(ref(p, &out[(*out_count)++]));
  } while (accept(p, ","));
  return need(p, close);
}

static fst_status space(parser *p, fst_kx *vars, fst_kx *extents, uint32_t *out_count) {
  *out_count = 0;
  FST_TRY(need(p, "("));
  if (accept(p, ")")) return NULL;
  do {
    if (*out_count == FST_KERNEL_MAX_DIMS) return expected(p, "fewer variables");
    FST_TRY(variable(p, FST_I64, &vars[*out_count]));
    FST_TRY(need(p, "<"));
    FST_TRY(ref(p, &extents[(*out_count)++]));
  } while (accept(p, ","));
  return need(p, ")");
}

static int name_index(const char *name, const char *const *names, int count) {
  for (int i = 0; i < count; i++)
    if (!strcmp(name, names[i])) return i;
  return -1;
}

static fst_status prim_definition(parser *p, const char *name, fst_dtype type, fst_kx *out) {
  fst_kx args[3];
  uint32_t count;
  int prim = -1;
  for (int i = 0; i < FST_PRIM_COUNT; i++)
    if (!strcmp(name, fst_prim_name((fst_prim)i))) prim = i;
  if (prim < 0) return expected(p, "the name of a primitive before this");
  FST_TRY(need(p, "("));
  FST_TRY(refs(p, ")", args, 3, &count));
  static const uint8_t arity[] = {
#define PRIM(id, text, n, doc) n,
#include "ir/kernel/scalar.def"
#undef PRIM
  };
  if (count != arity[prim]) return expected(p, "another number of operands before this");
  fst_dtype first = fst_kx_get(p->k, args[0])->dtype;
  if (prim == FST_PRIM_CONVERT) {
    *out = fst_kx_convert(p->k, args[0], type);
    return NULL;
  }
  if (prim == FST_PRIM_BITCAST) {
    if (fst_dtype_size(first) != fst_dtype_size(type)) return expected(p, "a dtype of the operand's size before this");
    *out = fst_kx_bitcast(p->k, args[0], type);
    return NULL;
  }
  for (uint32_t i = prim == FST_PRIM_SELECT ? 2 : 1; i < count; i++)
    if (fst_kx_get(p->k, args[i])->dtype != fst_kx_get(p->k, args[i - 1])->dtype) return expected(p, "operands of one dtype before this");
  if (prim == FST_PRIM_SELECT && first != FST_BOOL) return expected(p, "a bool condition before this");
  *out = fst_kx_prim(p->k, (fst_prim)prim, args, count);
  return NULL;
}

// `%n : dtype = ...`
static fst_status definition(parser *p) {
  uint32_t n, count;
  fst_dtype type;
  char name[32];
  fst_kx x, vars[FST_KERNEL_MAX_DIMS], extents[FST_KERNEL_MAX_DIMS], indices[FST_KERNEL_MAX_DIMS];
  FST_TRY(number(p, "%", (uint32_t)p->exprs.len + 1, &n));
  FST_TRY(need(p, ":"));
  FST_TRY(dtype(p, &type));
  FST_TRY(need(p, "="));
  FST_TRY(word(p, name, sizeof name));
  int reduce = name_index(name, reduce_names, 8);
  skip(p);
  if (!strcmp(name, "load")) {
    uint32_t buffer;
    FST_TRY(number(p, "b", (uint32_t)p->k->buffers.len, &buffer));
    FST_TRY(need(p, "["));
    FST_TRY(refs(p, "]", indices, FST_KERNEL_MAX_DIMS, &count));
    if (count != p->k->buffers.data[buffer].rank) return expected(p, "an index per dim before this");
    x = fst_kx_load(p->k, buffer, indices);
  } else if (reduce >= 0 && p->at + 1 < p->end && (p->at[1] == 'v' || p->at[1] == ')')) {
    FST_TRY(space(p, vars, extents, &count));
    FST_TRY(ref(p, &x));
    x = fst_kx_reduce(p->k, (fst_reduce)reduce, vars, extents, count, x);
  } else {
    FST_TRY(prim_definition(p, name, type, &x));
  }
  if (n == p->exprs.len) fst_vec_push(&p->exprs, x);
  p->exprs.data[n] = x;
  return NULL;
}

static fst_status buffer_line(parser *p) {
  uint32_t n, count;
  fst_kbuf b = {0};
  FST_TRY(number(p, "b", (uint32_t)p->k->buffers.len + 1, &n));
  FST_TRY(need(p, ":"));
  FST_TRY(dtype(p, &b.dtype));
  FST_TRY(need(p, "["));
  FST_TRY(refs(p, "]", b.sizes, FST_KERNEL_MAX_DIMS, &b.rank));
  FST_TRY(need(p, "{"));
  FST_TRY(refs(p, "}", b.strides, FST_KERNEL_MAX_DIMS, &count));
  if (count != b.rank || n != p->k->buffers.len) return expected(p, "a stride per size, and buffers in order");
  b.is_read = accept(p, "read");
  b.is_written = accept(p, "written");
  b.is_constant = accept(p, "constant");
  fst_kernel_buffer(p->k, &b);
  return NULL;
}

static fst_status store_line(parser *p, fst_kstore *out) {
  fst_kx indices[FST_KERNEL_MAX_DIMS];
  FST_TRY(number(p, "b", (uint32_t)p->k->buffers.len, &out->buffer));
  FST_TRY(need(p, "["));
  FST_TRY(refs(p, "]", indices, FST_KERNEL_MAX_DIMS, &out->index_count));
  if (out->index_count != p->k->buffers.data[out->buffer].rank) return expected(p, "an index per dim before this");
  FST_TRY(need(p, "="));
  FST_TRY(ref(p, &out->value));
  out->indices = fst_arena_memdup(&p->k->arena, indices, (out->index_count + 1) * sizeof *indices);
  return NULL;
}

static fst_status statement(parser *p, fst_kstmt_kind kind) {
  enum { MOST = 64, CARRIES = 16 };
  fst_kx vars[FST_KERNEL_MAX_DIMS], extents[FST_KERNEL_MAX_DIMS], carry[CARRIES], init[CARRIES], next[CARRIES] = {{0}}, condition = FST_NO_KX;
  fst_kstore stores[MOST];
  uint32_t count, carries = 0, store_count = 0, count_buffer = 0;
  int combine = 0;
  bool descending = false;
  char name[32];
  if (accept(p, ".")) {
    if (kind == FST_KSTMT_COMPACT) {
      FST_TRY(number(p, "b", (uint32_t)p->k->buffers.len, &count_buffer));
    } else {
      FST_TRY(word(p, name, sizeof name));
      descending = kind == FST_KSTMT_SORT && !strcmp(name, "descending");
      combine = name_index(name, combine_names, 5);
      if (!descending && (kind != FST_KSTMT_SCATTER || combine < 0)) return expected(p, "a known suffix before this");
    }
  }
  FST_TRY(space(p, vars, extents, &count));
  if (accept(p, "carry")) do {
    if (carries == CARRIES) return expected(p, "fewer carries");
    const char *mark = p->at;
    fst_dtype type;
    uint32_t n;
    FST_TRY(number(p, "v", 1u << 20, &n));
    FST_TRY(need(p, ":"));
    FST_TRY(dtype(p, &type));
    FST_TRY(need(p, "="));
    const char *after = p->at;
    p->at = mark;
    FST_TRY(variable(p, type, &carry[carries]));
    p->at = after;
    FST_TRY(ref(p, &init[carries++]));
  } while (accept(p, ","));
  FST_TRY(need(p, "{"));
  while (!accept(p, "}")) {
    skip(p);
    if (p->at == p->end) return expected(p, "'}'");
    if (*p->at == '%') {
      FST_TRY(definition(p));
    } else if (accept(p, "where")) {
      FST_TRY(ref(p, &condition));
    } else if (accept(p, "next")) {
      fst_kx v;
      FST_TRY(variable(p, FST_I64, &v));
      FST_TRY(need(p, "="));
      uint32_t c = 0;
      while (c < carries && !fst_kx_eq(carry[c], v)) c++;
      if (c == carries) return expected(p, "a carry before this");
      FST_TRY(ref(p, &next[c]));
    } else {
      if (store_count == MOST) return expected(p, "fewer stores");
      FST_TRY(store_line(p, &stores[store_count++]));
    }
  }
  fst_kstmt *s = fst_kernel_add_stmt(p->k, kind, count, store_count, carries);
  for (uint32_t i = 0; i < count; i++) {
    s->vars[i] = fst_kx_get(p->k, vars[i])->index;
    s->extents[i] = extents[i];
  }
  memcpy(s->stores, stores, store_count * sizeof *stores);
  for (uint32_t i = 0; i < carries; i++) {
    if (!next[i].id) return expected(p, "a `next` for every carry before this");
    s->carries[i] = fst_kx_get(p->k, carry[i])->index;
    s->carry_init[i] = init[i];
    s->carry_next[i] = next[i];
  }
  s->combine = combine < 0 ? FST_COMBINE_SET : (fst_combine)combine;
  s->descending = descending;
  s->condition = condition;
  s->count_buffer = count_buffer;
  return NULL;
}

static fst_status kernel_text(parser *p) {
  char name[256];
  FST_TRY(need(p, "kernel"));
  FST_TRY(word(p, name, sizeof name));
  p->k = fst_kernel_create(name);
  FST_TRY(need(p, "("));
  while (!accept(p, ")")) {
    uint32_t n;
    fst_dtype type;
    FST_TRY(number(p, "p", (uint32_t)p->params.len + 1, &n));
    FST_TRY(need(p, ":"));
    FST_TRY(dtype(p, &type));
    fst_kx x = fst_kernel_param(p->k, type);
    fst_vec_push(&p->params, x);
    accept(p, ",");
  }
  FST_TRY(need(p, "{"));
  while (!accept(p, "}")) {
    skip(p);
    if (p->at == p->end) return expected(p, "'}'");
    if (*p->at == '%') {
      FST_TRY(definition(p));
      continue;
    }
    if (accept(p, "buffer")) {
      FST_TRY(buffer_line(p));
      continue;
    }
    FST_TRY(word(p, name, sizeof name));
    int kind = name_index(name, stmt_names, 5);
    if (kind < 0) return expected(p, "a statement, a buffer or a definition before this");
    FST_TRY(statement(p, (fst_kstmt_kind)kind));
  }
  return fst_kernel_verify(p->k);
}

fst_status fst_kernel_parse(const char *text, size_t len, fst_kernel **out_kernel) {
  parser p = {.start = text, .at = text, .end = text + len};
  fst_status status = kernel_text(&p);
  fst_vec_free(&p.exprs);
  fst_vec_free(&p.vars);
  fst_vec_free(&p.params);
  if (status) fst_kernel_destroy(p.k);
  else *out_kernel = p.k;
  return status;
}

// ---- verifying -------------------------------------------------------------------------------------

static fst_status verify_stmt(const fst_kernel *k, const fst_kstmt *s, size_t number) {
  for (uint32_t i = 0; i < s->var_count; i++)
    if (fst_kx_get(k, s->extents[i])->dtype != FST_I64) return FST_FAIL(FST_ERR_INVALID, "kernel %s, statement %zu: extent %u is not i64", k->name, number, i);
  for (uint32_t i = 0; i < s->store_count; i++) {
    const fst_kstore *st = &s->stores[i];
    if (st->buffer >= k->buffers.len || st->index_count != k->buffers.data[st->buffer].rank)
      return FST_FAIL(FST_ERR_INVALID, "kernel %s, statement %zu: store %u does not fit its buffer", k->name, number, i);
    bool position = s->kind == FST_KSTMT_SORT && i == 1;
    fst_dtype value = position ? FST_I64 : fst_kx_get(k, st->value)->dtype;
    if (value != k->buffers.data[st->buffer].dtype)
      return FST_FAIL(FST_ERR_INVALID, "kernel %s, statement %zu: b%u holds %s, not %s", k->name, number, st->buffer, fst_dtype_name(k->buffers.data[st->buffer].dtype), fst_dtype_name(value));
    for (uint32_t d = 0; d < st->index_count; d++)
      if (fst_kx_get(k, st->indices[d])->dtype != FST_I64) return FST_FAIL(FST_ERR_INVALID, "kernel %s, statement %zu: an index of store %u is not i64", k->name, number, i);
  }
  for (uint32_t i = 0; i < s->carry_count; i++)
    if (k->vars.data[s->carries[i]] != fst_kx_get(k, s->carry_init[i])->dtype || (s->kind == FST_KSTMT_SCAN && fst_kx_get(k, s->carry_next[i])->dtype != k->vars.data[s->carries[i]]))
      return FST_FAIL(FST_ERR_INVALID, "kernel %s, statement %zu: carry %u changes its dtype", k->name, number, i);
  if (s->kind == FST_KSTMT_COMPACT && (!s->condition.id || fst_kx_get(k, s->condition)->dtype != FST_BOOL || s->count_buffer >= k->buffers.len))
    return FST_FAIL(FST_ERR_INVALID, "kernel %s, statement %zu: compact needs a bool condition and a buffer for the count", k->name, number);
  if (s->kind == FST_KSTMT_SCAN && !s->var_count) return FST_FAIL(FST_ERR_INVALID, "kernel %s, statement %zu: a scan needs a variable", k->name, number);
  return NULL;
}

fst_status fst_kernel_verify(const fst_kernel *k) {
  for (size_t x = 1; x < k->exprs.len; x++) {
    const fst_kx_data *d = &k->exprs.data[x];
    if (d->kind != FST_KX_LOAD) continue;
    for (uint32_t i = 0; i < d->arg_count; i++)
      if (fst_kx_get(k, d->args[i])->dtype != FST_I64) return FST_FAIL(FST_ERR_INVALID, "kernel %s: an index into b%u is not i64", k->name, d->index);
  }
  for (size_t i = 0; i < k->stmts.len; i++) FST_TRY(verify_stmt(k, &k->stmts.data[i], i));
  return NULL;
}
