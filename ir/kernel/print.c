// Kernels as text (docs/kernel-ir.md). Expressions and variables are numbered afresh, in the order in which
// they appear, and appear where fst_kernel_place puts them: equal kernels print equal.
#include <stdlib.h>
#include <string.h>

#include "ir/kernel/place.h"
#include "ir/kernel/text_internal.h"

static const char *const reduce_names[] = FST_REDUCE_NAMES;
static const char *const stmt_names[] = FST_KSTMT_NAMES;
static const char *const combine_names[] = FST_COMBINE_NAMES;

typedef struct {
  const fst_kernel *k;
  fst_text *out;
  const fst_placement *place;               // of the statement being printed; NULL outside
  uint32_t *expr_number, *var_number;   // 0: not yet
  uint32_t exprs, vars;
  uint32_t indent;
} printer;

static void start_line(printer *p) {
  for (uint32_t i = 0; i < p->indent; i++) fst_text_puts(p->out, "  ");
}

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

// ---- definitions -----------------------------------------------------------------------------------

static void print_nest(printer *p, uint32_t nest);

static void forget_nest(printer *p, uint32_t nest, uint32_t mark) {
  const fst_place_nest *n = &p->place->nests.data[nest];
  for (size_t i = 0; i < n->items.len; i++)
    if (p->expr_number[n->items.data[i].expr.id] > mark) p->expr_number[n->items.data[i].expr.id] = 0;
}

// A reduction with what it evaluates inside. The numbers of its nest hold until it ends: what it shares with
// another nest is printed in both.
static void print_reduce(printer *p, const fst_kx_data *d, uint32_t nest) {
  uint32_t mark = p->exprs;
  fst_text_printf(p->out, "%s ", reduce_names[d->reduce]);
  print_space(p, d->vars, d->extents, d->var_count);
  fst_text_puts(p->out, " {\n");
  p->indent++;
  print_nest(p, nest);
  start_line(p);
  fst_text_puts(p->out, "yield ");
  print_ref(p, d->args[0]);
  p->indent--;
  fst_text_putc(p->out, '\n');
  start_line(p);
  fst_text_puts(p->out, "}\n");
  forget_nest(p, nest, mark);
}

// `%n : dtype = ...`
static void print_definition(printer *p, fst_kx x, uint32_t nest) {
  const fst_kx_data *d = fst_kx_get(p->k, x);
  uint32_t number = ++p->exprs;
  start_line(p);
  fst_text_printf(p->out, "%%%u : %s = ", number - 1, fst_dtype_name(d->dtype));
  if (d->kind == FST_KX_LOAD) {
    fst_text_printf(p->out, "load b%u[", d->index);
    print_refs(p, d->args, d->arg_count);
    fst_text_puts(p->out, "]\n");
  } else if (d->kind == FST_KX_REDUCE) {
    print_reduce(p, d, nest);
  } else {
    fst_text_printf(p->out, "%s(", fst_prim_name(d->prim));
    print_refs(p, d->args, d->arg_count);
    fst_text_puts(p->out, ")\n");
  }
  p->expr_number[x.id] = number;
}

static void print_nest(printer *p, uint32_t nest) {
  const fst_place_nest *n = &p->place->nests.data[nest];
  for (size_t i = 0; i < n->items.len; i++)
    if (!p->expr_number[n->items.data[i].expr.id]) print_definition(p, n->items.data[i].expr, n->items.data[i].nest);
}

// Definitions of what stands outside all statements: sizes, strides and extents.
static void define(printer *p, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(p->k, x);
  if (d->kind < FST_KX_PRIM || p->expr_number[x.id]) return;
  for (uint32_t i = 0; i < d->arg_count; i++) define(p, d->args[i]);
  FST_ASSERT(d->kind == FST_KX_PRIM, "a size or an extent of kernel %s reads memory", p->k->name);
  print_definition(p, x, 0);
}

// ---- statements ------------------------------------------------------------------------------------

static void print_header(printer *p, const fst_kstmt *s) {
  fst_text_printf(p->out, "  %s", stmt_names[s->kind]);
  if (s->kind == FST_KSTMT_SCATTER) fst_text_printf(p->out, ".%s", combine_names[s->combine]);
  if (s->kind == FST_KSTMT_SORT && s->descending) fst_text_puts(p->out, ".descending");
  if (s->kind == FST_KSTMT_COMPACT) fst_text_printf(p->out, ".b%u", s->count_buffer);
  fst_text_putc(p->out, ' ');
  print_space(p, s->vars, s->extents, s->var_count);
  for (uint32_t i = 0; i < s->carry_count; i++) {
    fst_text_puts(p->out, i ? ", " : " carry ");
    print_var(p, s->carries[i]);
    fst_text_printf(p->out, " : %s", fst_dtype_name(p->k->vars.data[s->carries[i]]));
  }
  fst_text_puts(p->out, " {\n");
}

static void print_line(printer *p, const char *word, uint32_t var, const char *then, fst_kx x) {
  fst_text_printf(p->out, "    %s ", word);
  if (then) {
    print_var(p, var);
    fst_text_puts(p->out, then);
  }
  print_ref(p, x);
  fst_text_putc(p->out, '\n');
}

static void print_stmt(printer *p, const fst_kstmt *s) {
  fst_placement place;
  p->indent = 1;
  for (uint32_t i = 0; i < s->var_count; i++) define(p, s->extents[i]);
  print_header(p, s);
  uint32_t mark = p->exprs;
  fst_kernel_place(p->k, s, &place);
  p->place = &place;
  p->indent = 2;
  print_nest(p, 0);
  if (s->condition.id) print_line(p, "where", 0, NULL, s->condition);
  for (uint32_t i = 0; i < s->carry_count; i++) {
    if (s->carry_init[i].id) print_line(p, "first", s->carries[i], " = ", s->carry_init[i]);
    if (s->carry_next[i].id) print_line(p, "next", s->carries[i], " = ", s->carry_next[i]);
  }
  for (uint32_t i = 0; i < s->store_count; i++) {
    const fst_kstore *st = &s->stores[i];
    fst_text_printf(p->out, "    b%u[", st->buffer);
    print_refs(p, st->indices, st->index_count);
    fst_text_puts(p->out, "]");
    if (st->value.id) {
      fst_text_puts(p->out, " = ");
      print_ref(p, st->value);
    }
    fst_text_putc(p->out, '\n');
  }
  fst_text_puts(p->out, "  }\n");
  forget_nest(p, 0, mark);
  fst_place_deinit(&place);
  p->place = NULL;
}

static void print_buffer(printer *p, size_t number) {
  const fst_kbuf *b = &p->k->buffers.data[number];
  p->indent = 1;
  for (uint32_t d = 0; d < b->rank; d++) {
    define(p, b->sizes[d]);
    define(p, b->strides[d]);
  }
  fst_text_printf(p->out, "  buffer b%zu : %s[", number, fst_dtype_name(b->dtype));
  print_refs(p, b->sizes, b->rank);
  fst_text_puts(p->out, "]{");
  print_refs(p, b->strides, b->rank);
  fst_text_printf(p->out, "}%s%s%s\n", b->is_read ? " read" : "", b->is_written ? " written" : "", b->is_constant ? " constant" : "");
}

// From the parameters on: all that a kernel is but its name.
static void print_unnamed(const fst_kernel *k, fst_text *out) {
  printer p = {.k = k, .out = out};
  uint32_t *numbers = calloc(k->exprs.len + k->vars.len + 2, sizeof *numbers);
  FST_ASSERT(numbers, "out of memory");
  p.expr_number = numbers;
  p.var_number = numbers + k->exprs.len + 1;
  fst_text_putc(out, '(');
  for (size_t i = 0; i < k->params.len; i++) fst_text_printf(out, "%sp%zu : %s", i ? ", " : "", i, fst_dtype_name(k->params.data[i]));
  fst_text_puts(out, ") {\n");
  for (size_t i = 0; i < k->buffers.len; i++) print_buffer(&p, i);
  for (size_t i = 0; i < k->stmts.len; i++) print_stmt(&p, &k->stmts.data[i]);
  fst_text_puts(out, "}\n");
  free(numbers);
}

void fst_kernel_print(const fst_kernel *k, fst_text *out) {
  fst_text_puts(out, "kernel ");
  fst_text_quote(out, k->name, strlen(k->name));
  fst_text_putc(out, ' ');
  print_unnamed(k, out);
}

// ---- structure -------------------------------------------------------------------------------------
// Kernels are equal when they print equal: the text has all of them but the order in which they were built.

uint64_t fst_kernel_hash(const fst_kernel *k) {
  fst_text text = {0};
  print_unnamed(k, &text);
  uint64_t h = fst_hash_bytes(fst_text_cstr(&text), text.len, 0);
  fst_text_deinit(&text);
  return h;
}

bool fst_kernel_equal(const fst_kernel *a, const fst_kernel *b) {
  fst_text ta = {0}, tb = {0};
  print_unnamed(a, &ta);
  print_unnamed(b, &tb);
  bool equal = !strcmp(fst_text_cstr(&ta), fst_text_cstr(&tb));
  fst_text_deinit(&ta);
  fst_text_deinit(&tb);
  return equal;
}
