// Reading kernels back (docs/kernel-ir.md). The text is anybody's: everything that building would assert is checked
// here first, and errors name line, column and what was expected.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/kernel/kernel.h"
#include "ir/kernel/text_internal.h"

static const char *const reduce_names[] = FST_REDUCE_NAMES;
static const char *const stmt_names[] = FST_KSTMT_NAMES;
static const char *const combine_names[] = FST_COMBINE_NAMES;

enum { MOST_STORES = 64, MOST_CARRIES = 16, MOST_NESTED = 64, MOST_VARS = 1 << 16 };

typedef struct {
  const char *start, *at, *end;
  fst_kernel *k;
  FST_VEC(fst_kx) exprs, vars, params;   // by printed number; an expression that is not finished yet is none
  int nested;                            // open reductions
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
  return *out == FST_DTYPE_UNKNOWN || fst_dtype_kind_of(*out) == FST_KIND_COMPLEX ? expected(p, "a dtype of elements before this") : NULL;
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
  if (!strncmp(text, "0x", 2) && fst_dtype_is_float(type)) {   // a NaN
    *out = fst_kx_const_bits(p->k, type, strtoull(text, &stop, 16) & (UINT64_MAX >> (64 - 8 * fst_dtype_size(type))));
  } else if (fst_dtype_is_float(type)) {
    *out = fst_kx_float(p->k, type, strtod(text, &stop));
  } else {
    *out = fst_kx_const_bits(p->k, type, fst_convert_eval(FST_I64, type, (uint64_t)strtoll(text, &stop, 10)));
  }
  if (*stop) return expected(p, "a number");
  p->at += len;
  return NULL;
}

static fst_status variable(parser *p, fst_kx *out) {
  uint32_t n;
  FST_TRY(number(p, "v", MOST_VARS, &n));
  while (p->vars.len <= n) fst_vec_push(&p->vars, FST_NO_KX);
  if (!p->vars.data[n].id) p->vars.data[n] = fst_kernel_var(p->k, FST_I64);
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
    return out->id ? NULL : expected(p, "an expression that is finished before this");
  }
  if (*p->at == 'v' && p->at + 1 < p->end && isdigit((unsigned char)p->at[1])) return variable(p, out);
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
    FST_TRY(variable(p, &vars[*out_count]));
    if (fst_kx_get(p->k, vars[*out_count])->dtype != FST_I64) return expected(p, "an index variable before this");
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

// After a name that is both a reduction's and a primitive's: `(v0 < ...` or `()`, not operands.
static bool is_space_ahead(const parser *p) {
  if (p->end - p->at < 2 || *p->at != '(') return false;
  const char *at = p->at + 1;
  while (at < p->end && (isalnum((unsigned char)*at) || *at == ' ')) at++;
  return at < p->end && (*at == '<' || p->at[1] == ')');
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
  if (count != fst_prim_arity((fst_prim)prim)) return expected(p, "another number of operands before this");
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
  if (!fst_prim_takes((fst_prim)prim, first)) return expected(p, "operands of a dtype that the primitive takes before this");
  *out = fst_kx_prim(p->k, (fst_prim)prim, args, count);
  return NULL;
}

static fst_status definition(parser *p);

// `sum (v2 < 4) { definitions yield %n }`
static fst_status reduction(parser *p, fst_reduce op, fst_kx *out) {
  fst_kx vars[FST_KERNEL_MAX_DIMS], extents[FST_KERNEL_MAX_DIMS], body;
  uint32_t count;
  if (++p->nested > MOST_NESTED) return expected(p, "fewer reductions inside each other");
  FST_TRY(space(p, vars, extents, &count));
  FST_TRY(need(p, "{"));
  while (!accept(p, "yield")) FST_TRY(definition(p));
  FST_TRY(ref(p, &body));
  FST_TRY(need(p, "}"));
  p->nested--;
  fst_dtype dtype = fst_kx_get(p->k, body)->dtype;
  if ((op == FST_REDUCE_ANY || op == FST_REDUCE_ALL) && dtype != FST_BOOL) return expected(p, "a bool yielded before this");
  *out = fst_kx_reduce(p->k, op, vars, extents, count, body);
  return NULL;
}

static fst_status load(parser *p, fst_kx *out) {
  fst_kx indices[FST_KERNEL_MAX_DIMS];
  uint32_t buffer, count;
  FST_TRY(number(p, "b", (uint32_t)p->k->buffers.len, &buffer));
  FST_TRY(need(p, "["));
  FST_TRY(refs(p, "]", indices, FST_KERNEL_MAX_DIMS, &count));
  if (count != p->k->buffers.data[buffer].rank) return expected(p, "an index per dim before this");
  *out = fst_kx_load(p->k, buffer, indices);
  return NULL;
}

// `%n : dtype = ...`, numbers in order.
static fst_status definition(parser *p) {
  uint32_t n;
  fst_dtype type;
  char name[32];
  fst_kx x = FST_NO_KX;
  FST_TRY(number(p, "%", (uint32_t)p->exprs.len + 1, &n));
  if (n != p->exprs.len) return expected(p, "the next number before this");
  fst_vec_push(&p->exprs, x);
  FST_TRY(need(p, ":"));
  FST_TRY(dtype(p, &type));
  FST_TRY(need(p, "="));
  FST_TRY(word(p, name, sizeof name));
  int reduce = name_index(name, reduce_names, 8);
  skip(p);
  // `max (v0 < 4) {` reduces, `max(v0, %1)` does not
  if (!strcmp(name, "load")) FST_TRY(load(p, &x));
  else if (reduce >= 0 && is_space_ahead(p)) FST_TRY(reduction(p, (fst_reduce)reduce, &x));
  else FST_TRY(prim_definition(p, name, type, &x));
  if (fst_kx_get(p->k, x)->dtype != type) return expected(p, "the dtype of the expression before this");
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

// A statement being read.
typedef struct {
  fst_kstmt_kind kind;
  fst_combine combine;
  bool descending;
  uint32_t count, carries, store_count, count_buffer;
  fst_kx vars[FST_KERNEL_MAX_DIMS], extents[FST_KERNEL_MAX_DIMS];
  fst_kx carry[MOST_CARRIES], first[MOST_CARRIES], next[MOST_CARRIES], condition;
  fst_kstore stores[MOST_STORES];
} reading;

static fst_status store_line(parser *p, reading *r) {
  fst_kx indices[FST_KERNEL_MAX_DIMS];
  if (r->store_count == MOST_STORES) return expected(p, "fewer stores");
  fst_kstore *out = &r->stores[r->store_count++];
  FST_TRY(number(p, "b", (uint32_t)p->k->buffers.len, &out->buffer));
  FST_TRY(need(p, "["));
  FST_TRY(refs(p, "]", indices, FST_KERNEL_MAX_DIMS, &out->index_count));
  if (out->index_count != p->k->buffers.data[out->buffer].rank) return expected(p, "an index per dim before this");
  if (accept(p, "=")) FST_TRY(ref(p, &out->value));
  out->indices = FST_NEW_ARRAY(&p->k->arena, fst_kx, out->index_count + 1);
  memcpy(out->indices, indices, out->index_count * sizeof *indices);
  return NULL;
}

static fst_status suffix(parser *p, reading *r) {
  char name[32];
  if (!accept(p, ".")) return NULL;
  if (r->kind == FST_KSTMT_COMPACT) return number(p, "b", (uint32_t)p->k->buffers.len, &r->count_buffer);
  FST_TRY(word(p, name, sizeof name));
  r->descending = r->kind == FST_KSTMT_SORT && !strcmp(name, "descending");
  int combine = name_index(name, combine_names, 5);
  if (!r->descending && (r->kind != FST_KSTMT_SCATTER || combine < 0)) return expected(p, "a known suffix before this");
  r->combine = r->descending ? FST_COMBINE_SET : (fst_combine)combine;
  return NULL;
}

static fst_status carry_list(parser *p, reading *r) {
  if (!accept(p, "carry")) return NULL;
  do {
    fst_dtype type;
    uint32_t n;
    if (r->carries == MOST_CARRIES) return expected(p, "fewer carries");
    FST_TRY(number(p, "v", MOST_VARS, &n));
    FST_TRY(need(p, ":"));
    FST_TRY(dtype(p, &type));
    while (p->vars.len <= n) fst_vec_push(&p->vars, FST_NO_KX);
    if (!p->vars.data[n].id) p->vars.data[n] = fst_kernel_var(p->k, type);
    if (fst_kx_get(p->k, p->vars.data[n])->dtype != type) return expected(p, "a variable of another dtype before this");
    r->carry[r->carries++] = p->vars.data[n];
  } while (accept(p, ","));
  return NULL;
}

// `v4 = %2` behind `first` or `next`
static fst_status carry_line(parser *p, const reading *r, fst_kx *by_carry) {
  fst_kx v;
  FST_TRY(variable(p, &v));
  FST_TRY(need(p, "="));
  for (uint32_t c = 0; c < r->carries; c++)
    if (fst_kx_eq(r->carry[c], v)) return ref(p, &by_carry[c]);
  return expected(p, "a carry before this");
}

static fst_status body_line(parser *p, reading *r) {
  skip(p);
  if (p->at == p->end) return expected(p, "'}'");
  if (*p->at == '%') return definition(p);
  if (accept(p, "where")) return ref(p, &r->condition);
  if (accept(p, "first")) return carry_line(p, r, r->first);
  if (accept(p, "next")) return carry_line(p, r, r->next);
  return store_line(p, r);
}

static void finish_statement(parser *p, const reading *r) {
  fst_kstmt *s = fst_kernel_add_stmt(p->k, r->kind, r->count, r->store_count, r->carries);
  for (uint32_t i = 0; i < r->count; i++) {
    s->vars[i] = fst_kx_get(p->k, r->vars[i])->index;
    s->extents[i] = r->extents[i];
  }
  for (uint32_t i = 0; i < r->store_count; i++) s->stores[i] = r->stores[i];
  for (uint32_t i = 0; i < r->carries; i++) {
    s->carries[i] = fst_kx_get(p->k, r->carry[i])->index;
    s->carry_init[i] = r->first[i];
    s->carry_next[i] = r->next[i];
  }
  s->combine = r->combine;
  s->descending = r->descending;
  s->condition = r->condition;
  s->count_buffer = r->count_buffer;
}

static fst_status statement(parser *p, fst_kstmt_kind kind) {
  reading *r = FST_NEW(&p->k->arena, reading);
  r->kind = kind;
  FST_TRY(suffix(p, r));
  FST_TRY(space(p, r->vars, r->extents, &r->count));
  FST_TRY(carry_list(p, r));
  FST_TRY(need(p, "{"));
  while (!accept(p, "}")) FST_TRY(body_line(p, r));
  finish_statement(p, r);
  return NULL;
}

static fst_status quoted(parser *p, char *out, size_t size) {
  size_t len = 0;
  FST_TRY(need(p, "\""));
  for (; p->at < p->end && *p->at != '"' && *p->at != '\n'; p->at++)
    if (len + 1 < size) out[len++] = *p->at;
  out[len] = 0;
  return need(p, "\"");
}

static fst_status parameters(parser *p) {
  FST_TRY(need(p, "("));
  if (accept(p, ")")) return NULL;
  do {
    uint32_t n;
    fst_dtype type;
    FST_TRY(number(p, "p", (uint32_t)p->params.len + 1, &n));
    if (n != p->params.len) return expected(p, "the next number before this");
    FST_TRY(need(p, ":"));
    FST_TRY(dtype(p, &type));
    fst_kx x = fst_kernel_param(p->k, type);
    fst_vec_push(&p->params, x);
  } while (accept(p, ","));
  return need(p, ")");
}

static fst_status kernel_text(parser *p) {
  char name[256];
  FST_TRY(need(p, "kernel"));
  FST_TRY(quoted(p, name, sizeof name));
  p->k = fst_kernel_create(name);
  FST_TRY(parameters(p));
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
  skip(p);
  if (p->at != p->end) return expected(p, "the end of the text");
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
