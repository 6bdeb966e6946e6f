// Expressions as C variables: one line for each primitive and load, in the innermost scope that needs it.
#include "codegen/cuda/emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// ---- facts ----

bool fst_cu_is_const(const fst_cu *c, fst_kx x, int64_t *out) { return fst_kx_is_int(c->k, x, out); }

// Proven inclusive bounds of an i64 expression of variables with constant extents.
static bool range_of(const fst_cu *c, fst_kx x, int64_t *low, int64_t *high) {
  const fst_kx_data *d = fst_cu_get(c, x);
  int64_t al, ah, bl, bh;
  if (fst_cu_is_const(c, x, low)) {
    *high = *low;
    return true;
  }
  if (d->kind == FST_KX_VAR) {
    if (d->dtype != FST_I64 || !c->extents[d->index].id || !fst_cu_is_const(c, c->extents[d->index], high)) return false;
    *low = 0;
    return --*high >= 0;
  }
  if (d->kind != FST_KX_PRIM || d->dtype != FST_I64 || d->arg_count != 2) return false;
  if (!range_of(c, d->args[0], &al, &ah) || !range_of(c, d->args[1], &bl, &bh)) return false;
  switch (d->prim) {
    case FST_PRIM_ADD: return !__builtin_add_overflow(al, bl, low) && !__builtin_add_overflow(ah, bh, high);
    case FST_PRIM_SUB: return !__builtin_sub_overflow(al, bh, low) && !__builtin_sub_overflow(ah, bl, high);
    case FST_PRIM_MUL:
      if (bl != bh || __builtin_mul_overflow(al, bl, low) || __builtin_mul_overflow(ah, bl, high)) return false;
      if (*low > *high) {
        int64_t swap = *low;
        *low = *high;
        *high = swap;
      }
      return true;
    case FST_PRIM_DIV:
      if (bl != bh || bl <= 0 || al < 0) return false;
      *low = al / bl;
      *high = ah / bl;
      return true;
    case FST_PRIM_REM:
      if (bl != bh || bl <= 0 || al < 0) return false;
      *low = 0;
      *high = ah < bl - 1 ? ah : bl - 1;
      return true;
    default: return false;
  }
}

static bool in_bounds(const fst_cu *c, const fst_kx_data *load) {
  const fst_kbuf *buffer = &c->k->buffers.data[load->index];
  for (uint32_t i = 0; i < buffer->rank; i++) {
    const fst_kx_data *index = fst_cu_get(c, load->args[i]);
    int64_t low, high, size;
    if (index->kind == FST_KX_VAR && c->extents[index->index].id && fst_kx_eq(c->extents[index->index], buffer->sizes[i])) continue;
    if (!fst_cu_is_const(c, buffer->sizes[i], &size) || !range_of(c, load->args[i], &low, &high) || low < 0 || high >= size) return false;
  }
  return true;
}

static void binder(fst_cu *c, bool *seen, uint32_t var, fst_kx extent) {
  if (!seen[var]) c->extents[var] = extent;
  else if (!fst_kx_eq(c->extents[var], extent)) c->extents[var] = FST_NO_KX;
  seen[var] = true;
}

static void facts_of_vars(fst_cu *c) {
  bool *seen = FST_NEW_ARRAY(c->arena, bool, c->k->vars.len + 1);
  for (size_t s = 0; s < c->k->stmts.len; s++)
    for (uint32_t i = 0; i < c->k->stmts.data[s].var_count; i++) binder(c, seen, c->k->stmts.data[s].vars[i], c->k->stmts.data[s].extents[i]);
  for (size_t id = 1; id < c->k->exprs.len; id++)
    for (uint32_t i = 0; i < c->k->exprs.data[id].var_count; i++) binder(c, seen, c->k->exprs.data[id].vars[i], c->k->exprs.data[id].extents[i]);
}

enum { MOST_WEIGHT = 100000 };

void fst_cu_begin(fst_cu *c) {
  size_t count = c->k->exprs.len, vars = c->k->vars.len;
  c->deps = fst_kernel_free_vars(c->k, c->arena, &c->words);
  c->may_fault = FST_NEW_ARRAY(c->arena, bool, count);
  c->has_reduce = FST_NEW_ARRAY(c->arena, bool, count);
  c->weight = FST_NEW_ARRAY(c->arena, uint32_t, count);
  c->extents = FST_NEW_ARRAY(c->arena, fst_kx, vars + 1);
  c->bound = FST_NEW_ARRAY(c->arena, uint64_t, c->words);
  c->vars = FST_NEW_ARRAY(c->arena, const char *, vars + 1);
  c->memo = FST_NEW_ARRAY(c->arena, const char *, count);
  facts_of_vars(c);
  for (uint32_t id = 1; id < count; id++) {
    const fst_kx_data *d = &c->k->exprs.data[id];
    c->weight[id] = d->kind >= FST_KX_PRIM;
    for (uint32_t i = 0; i < d->arg_count; i++) {
      c->may_fault[id] |= c->may_fault[d->args[i].id];
      c->has_reduce[id] |= c->has_reduce[d->args[i].id];
      c->weight[id] += c->weight[d->args[i].id];
    }
    if (c->weight[id] > MOST_WEIGHT) c->weight[id] = MOST_WEIGHT;
    if (d->kind == FST_KX_LOAD && !in_bounds(c, d)) c->may_fault[id] = true;
    if (d->kind == FST_KX_REDUCE) c->has_reduce[id] = true;
  }
}

void fst_cu_end(fst_cu *c) { fst_vec_free(&c->trail); }

// ---- text ----

static const char *format_list(fst_arena *arena, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, again);
  va_end(again);
  char *text = fst_arena_alloc(arena, (size_t)len + 1);
  vsnprintf(text, (size_t)len + 1, format, args);
  return text;
}

static void line(fst_cu *c, const char *text) { fst_text_printf(c->out, "%*s%s\n", 2 * c->depth, "", text); }

void fst_cu_line(fst_cu *c, const char *format, ...) {
  va_list args;
  va_start(args, format);
  line(c, format_list(c->arena, format, args));
  va_end(args);
}

void fst_cu_open(fst_cu *c, const char *format, ...) {
  va_list args;
  va_start(args, format);
  line(c, fst_arena_printf(c->arena, "%s {", format_list(c->arena, format, args)));
  va_end(args);
  c->depth++;
}

void fst_cu_close(fst_cu *c) {
  c->depth--;
  line(c, "}");
}

const char *fst_cu_name(fst_cu *c, const char *prefix) { return fst_arena_printf(c->arena, "%s%u", prefix, c->next++); }

const char *fst_cu_format(fst_cu *c, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *text = format_list(c->arena, format, args);
  va_end(args);
  return text;
}

// ---- scopes ----

size_t fst_cu_scope(const fst_cu *c) { return c->trail.len; }

void fst_cu_forget(fst_cu *c, size_t scope) {
  while (c->trail.len > scope) {
    fst_cu_undo undo = c->trail.data[--c->trail.len];
    c->memo[undo.expr] = undo.name;
  }
}

void fst_cu_remember(fst_cu *c, fst_kx x, const char *name) {
  fst_cu_undo undo = {x.id, c->memo[x.id]};
  fst_vec_push(&c->trail, undo);
  c->memo[x.id] = name;
}

void fst_cu_bind(fst_cu *c, uint32_t var, const char *text) {
  c->bound[var / 64] |= UINT64_C(1) << (var % 64);
  c->vars[var] = text;
}

void fst_cu_unbind(fst_cu *c, uint32_t var) {
  c->bound[var / 64] &= ~(UINT64_C(1) << (var % 64));
  c->vars[var] = NULL;
}

bool fst_cu_is_bound(const fst_cu *c, fst_kx x) {
  const uint64_t *deps = c->deps + (size_t)x.id * c->words;
  for (uint32_t i = 0; i < c->words; i++)
    if (deps[i] & ~c->bound[i]) return false;
  return true;
}

// ---- memory ----

const char *fst_cu_offset(fst_cu *c, uint32_t buffer, const fst_kx *indices) {
  const fst_kbuf *b = &c->k->buffers.data[buffer];
  const char *sum = NULL;
  for (uint32_t d = 0; d < b->rank; d++) {
    int64_t index, stride;
    if (fst_cu_is_const(c, indices[d], &index) && index == 0) continue;
    const char *term = fst_cu_expr(c, indices[d]);
    if (!strcmp(term, "0ll")) continue;   // a variable that stands at 0
    if (!fst_cu_is_const(c, b->strides[d], &stride) || stride != 1) term = fst_cu_format(c, "%s * %s", term, fst_cu_expr(c, b->strides[d]));
    sum = sum ? fst_cu_format(c, "%s + %s", sum, term) : term;
  }
  return sum ? sum : "0";
}

const char *fst_cu_element(fst_cu *c, uint32_t buffer, const fst_kx *indices) {
  return fst_cu_format(c, "b%u[%s]", buffer, fst_cu_offset(c, buffer, indices));
}

void fst_cu_store(fst_cu *c, uint32_t buffer, const fst_kx *indices, const char *value) {
  fst_cu_line(c, "%s = %s;", fst_cu_element(c, buffer, indices), value);
}

// ---- expressions ----

static const char *define(fst_cu *c, fst_kx x, const char *value) {
  const char *name = fst_cu_name(c, "v");
  fst_cu_line(c, "const %s %s = %s;", fst_cu_type(fst_cu_get(c, x)->dtype), name, value);
  return name;
}

static const char *load(fst_cu *c, fst_kx x) {
  const fst_kx_data *d = fst_cu_get(c, x);
  const char *element = fst_cu_element(c, d->index, d->args);
  return define(c, x, d->dtype == FST_BOOL ? fst_cu_format(c, "%s != 0", element) : element);
}

// A side of a SELECT that may be evaluated whether it is chosen or not.
enum { CHEAP_SIDE = 24 };
static bool is_harmless(const fst_cu *c, fst_kx x) {
  return c->memo[x.id] || (!c->may_fault[x.id] && !c->has_reduce[x.id] && c->weight[x.id] < CHEAP_SIDE);
}

static void side(fst_cu *c, const char *name, fst_kx x) {
  size_t scope = fst_cu_scope(c);
  fst_cu_line(c, "%s = %s;", name, fst_cu_expr(c, x));
  fst_cu_forget(c, scope);
}

static const char *select_side(fst_cu *c, fst_kx x, const fst_kx_data *d) {
  const char *condition = fst_cu_expr(c, d->args[0]);
  if (is_harmless(c, d->args[1]) && is_harmless(c, d->args[2])) {
    const char *a = fst_cu_expr(c, d->args[1]), *b = fst_cu_expr(c, d->args[2]);
    return define(c, x, fst_cu_format(c, "%s ? %s : %s", condition, a, b));
  }
  const char *name = fst_cu_name(c, "v");
  fst_cu_line(c, "%s %s;", fst_cu_type(d->dtype), name);
  fst_cu_open(c, "if (%s)", condition);
  side(c, name, d->args[1]);
  c->depth--;
  fst_cu_open(c, "} else");
  side(c, name, d->args[2]);
  fst_cu_close(c);
  return name;
}

static const char *prim(fst_cu *c, fst_kx x, const fst_kx_data *d) {
  const char *args[3] = {0};
  if (d->prim == FST_PRIM_SELECT) return select_side(c, x, d);
  for (uint32_t i = 0; i < d->arg_count; i++) args[i] = fst_cu_expr(c, d->args[i]);
  return define(c, x, fst_cu_prim(c->arena, d->prim, fst_cu_get(c, d->args[0])->dtype, d->dtype, args));
}

const char *fst_cu_expr(fst_cu *c, fst_kx x) {
  const fst_kx_data *d = fst_cu_get(c, x);
  const char *name = NULL;
  if (c->memo[x.id]) return c->memo[x.id];
  switch (d->kind) {
    case FST_KX_CONST: return fst_cu_literal(c->arena, d->dtype, d->bits);
    case FST_KX_PARAM: return fst_cu_format(c, "p%u", d->index);
    case FST_KX_VAR: FST_ASSERT(c->vars[d->index], "kernel %s: v%u is not bound here", c->k->name, d->index); return c->vars[d->index];
    case FST_KX_PRIM: name = prim(c, x, d); break;
    case FST_KX_LOAD: name = load(c, x); break;
    case FST_KX_REDUCE: name = fst_cu_reduce(c, x); break;
  }
  fst_cu_remember(c, x, name);
  return name;
}

// ---- what does not change in a loop ----

static void hoist(fst_cu *c, bool *seen, fst_kx x, bool lazy) {
  const fst_kx_data *d = fst_cu_get(c, x);
  if (c->memo[x.id] || d->kind < FST_KX_PRIM || (seen[x.id] && lazy)) return;
  seen[x.id] = true;
  if (fst_cu_is_bound(c, x)) {
    if (!lazy || (!c->may_fault[x.id] && !c->has_reduce[x.id])) fst_cu_expr(c, x);
    return;
  }
  bool is_select = d->kind == FST_KX_PRIM && d->prim == FST_PRIM_SELECT;
  for (uint32_t i = 0; i < d->var_count; i++) hoist(c, seen, d->extents[i], lazy);
  for (uint32_t i = 0; i < d->arg_count; i++) hoist(c, seen, d->args[i], lazy || (is_select && i > 0) || d->kind == FST_KX_REDUCE);
}

void fst_cu_hoist(fst_cu *c, fst_kx root, bool conditional) {
  bool *seen = FST_NEW_ARRAY(c->arena, bool, c->k->exprs.len);
  hoist(c, seen, root, conditional);
}
