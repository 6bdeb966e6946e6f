#include <stdlib.h>
#include <string.h>

#include "ir/parse_internal.h"

typedef struct {
  FST_VEC(fst_const) v;
} const_list;

fst_status fst_parse_sym(fst_parser *p, fst_sym *out) { return fst_scan_sym(&p->at, &p->m->strings, out); }

static bool has_symbols(const fst_types *types, fst_type type) {
  const fst_type_data *t = fst_type_get(types, type);
  for (int i = 0; t->kind == FST_TY_TENSOR && i < t->rank; i++) {
    if (t->dims[i] < 0 && fst_dim_is_known(t->dims[i])) return true;
    if (t->has_strides && t->strides[i] < 0 && fst_dim_is_known(t->strides[i])) return true;
  }
  if ((t->elem.id && has_symbols(types, t->elem)) || (t->key.id && has_symbols(types, t->key))) return true;
  for (uint32_t i = 0; i < t->count; i++)
    if (has_symbols(types, t->items[i])) return true;
  return false;
}

fst_status fst_parse_type(fst_parser *p, fst_type *out) {
  FST_TRY(fst_type_parse(p->m->types, p->dims, &p->at, out));
  if (!p->g && has_symbols(p->m->types, *out)) return FST_BAD("sizes outside of functions must be numbers");
  return NULL;
}

fst_status fst_parse_i64(fst_parser *p, int64_t *out) {
  fst_scan_blanks(&p->at);
  bool negative = *p->at == '-';
  if (negative) p->at++;
  if (*p->at < '0' || *p->at > '9') return FST_BAD("expected a number");
  uint64_t value;
  FST_TRY(fst_scan_u64(&p->at, &value));
  if (value > (uint64_t)INT64_MAX + negative) return FST_BAD("a number that does not fit 64 bits");
  *out = negative ? (int64_t)(0 - value) : (int64_t)value;
  return NULL;
}

fst_status fst_parse_u32(fst_parser *p, uint32_t limit, const char *what, uint32_t *out) {
  uint64_t value;
  FST_TRY(fst_scan_u64(&p->at, &value));
  if (value >= limit) return FST_BAD("%s %llu: there is none", what, (unsigned long long)value);
  *out = (uint32_t)value;
  return NULL;
}

// ---- numbers ---------------------------------------------------------------------------------------

static fst_status parse_double(fst_parser *p, double *out) {
  fst_scan_blanks(&p->at);
  const char *digits = p->at + (*p->at == '-');
  bool number = (*digits >= '0' && *digits <= '9') || !strncmp(digits, "inf", 3) || !strncmp(digits, "nan", 3);
  if (!number || digits[1] == 'x' || digits[1] == 'X') return FST_BAD("expected a number");   // strtod reads hex, too
  char *end;
  *out = strtod(p->at, &end);
  p->at = end;
  return NULL;
}

static fst_status parse_number(fst_parser *p, fst_const *out) {
  const char *at = p->at + (*p->at == '-');
  if (*at >= '0' && *at <= '9') {
    while (*at >= '0' && *at <= '9') at++;
    if (*at != '.' && *at != 'e') {
      int64_t value;
      FST_TRY(fst_parse_i64(p, &value));
      *out = fst_const_int(p->m, value);
      return NULL;
    }
  }
  double value;
  FST_TRY(parse_double(p, &value));
  *out = fst_const_float(p->m, value);
  return NULL;
}

static fst_status parse_complex(fst_parser *p, fst_const *out) {
  fst_const_data c = {.kind = FST_CONST_COMPLEX, .type = fst_type_simple(p->m->types, FST_TY_COMPLEX)};
  FST_TRY(fst_scan_expect(&p->at, "("));
  FST_TRY(parse_double(p, &c.c.re));
  FST_TRY(fst_scan_expect(&p->at, ","));
  FST_TRY(parse_double(p, &c.c.im));
  FST_TRY(fst_scan_expect(&p->at, ")"));
  *out = fst_const_intern(p->m, &c);
  return NULL;
}

// ---- sequences -------------------------------------------------------------------------------------

// Items after the opening bracket, up to and with `close`. `type` is theirs, or none: any.
static fst_status parse_items(fst_parser *p, char close, fst_type type, const_list *items) {
  if (fst_scan_char(&p->at, close)) return NULL;
  do {
    fst_const c;
    FST_TRY(type.id ? fst_parse_literal_of(p, type, &c) : fst_parse_literal(p, &c));
    fst_vec_push(&items->v, c);
  } while (fst_scan_char(&p->at, ','));
  if (fst_scan_char(&p->at, close)) return NULL;
  return FST_BAD("expected ',' or '%c'", close);
}

static fst_status list_literal(fst_parser *p, fst_type elem, const_list *items, fst_const *out) {
  p->at++;
  bool plain = !elem.id;
  if (plain) elem = fst_type_simple(p->m->types, FST_TY_INT);
  FST_TRY(parse_items(p, ']', elem, items));
  if (plain && !items->v.len) return FST_BAD("an empty list needs its type in front: int[]");
  *out = fst_const_tuple(p->m, fst_type_list(p->m->types, elem), items->v.data, (uint32_t)items->v.len);
  return NULL;
}

static fst_status tuple_literal(fst_parser *p, fst_type type, const_list *items, fst_const *out) {
  p->at++;
  FST_TRY(parse_items(p, ')', FST_NO_TYPE, items));
  uint32_t count = (uint32_t)items->v.len;
  fst_arena scratch;
  fst_arena_init(&scratch);
  fst_type *types = FST_NEW_ARRAY(&scratch, fst_type, count + 1);
  for (uint32_t i = 0; i < count; i++) types[i] = fst_const_get(p->m, items->v.data[i])->type;
  fst_type plain = fst_type_tuple(p->m->types, types, count);
  fst_arena_deinit(&scratch);
  if (type.id && fst_type_get(p->m->types, type)->count != count) return FST_BAD("%u items for a tuple of %u", count, fst_type_get(p->m->types, type)->count);
  *out = fst_const_tuple(p->m, type.id ? type : plain, items->v.data, count);
  return NULL;
}

// `[..]` is a list of `type`s (of ints without one), `(..)` a tuple that is a `type`.
static fst_status parse_bracketed(fst_parser *p, fst_type type, fst_const *out) {
  const_list items = {0};
  fst_status status;
  if (*p->at == '[') status = list_literal(p, type, &items, out);
  else if (*p->at == '(' && (!type.id || fst_type_is(p->m->types, type, FST_TY_TUPLE))) status = tuple_literal(p, type, &items, out);
  else status = FST_BAD("expected '[' or '(' after a type");
  fst_vec_free(&items.v);
  return status;
}

// ---- references ------------------------------------------------------------------------------------

static fst_status parse_reference(fst_parser *p, fst_const_kind kind, fst_const *out) {
  fst_module *m = p->m;
  fst_const_data c = {.kind = kind};
  switch (kind) {
    case FST_CONST_TENSOR:
      FST_TRY(fst_parse_u32(p, (uint32_t)m->tensors.len, "tensor", &c.index));
      c.type = m->tensors.data[c.index].type;
      break;
    case FST_CONST_LIST:
      FST_TRY(fst_parse_u32(p, (uint32_t)m->lists.len, "list", &c.index));
      c.type = m->lists.data[c.index].type;
      break;
    case FST_CONST_DICT:
      FST_TRY(fst_parse_u32(p, (uint32_t)m->dicts.len, "dict", &c.index));
      c.type = m->dicts.data[c.index].type;
      break;
    default:
      FST_TRY(fst_parse_u32(p, (uint32_t)m->objects.len, "object", &c.index));
      if (m->objects.data[c.index].cls.id) c.type = fst_type_class(m->types, m->classes.data[m->objects.data[c.index].cls.id].name);
      break;
  }
  if (!c.type.id) return FST_BAD("number %u is not defined", c.index);
  *out = fst_const_intern(m, &c);
  return NULL;
}

static fst_status parse_device(fst_parser *p, fst_const *out) {
  fst_const_data c = {.kind = FST_CONST_DEVICE, .type = fst_type_simple(p->m->types, FST_TY_DEVICE)};
  FST_TRY(fst_scan_expect(&p->at, "("));
  FST_TRY(fst_parse_sym(p, &c.str));
  FST_TRY(fst_scan_expect(&p->at, ")"));
  *out = fst_const_intern(p->m, &c);
  return NULL;
}

static fst_status parse_enum(fst_parser *p, fst_const *out) {
  fst_const_data c = {.kind = FST_CONST_ENUM};
  FST_TRY(fst_scan_expect(&p->at, "("));
  FST_TRY(fst_parse_sym(p, &c.str));
  FST_TRY(fst_scan_expect(&p->at, ","));
  FST_TRY(fst_parse_sym(p, &c.member));
  FST_TRY(fst_scan_expect(&p->at, ")"));
  c.type = fst_type_class(p->m->types, c.str);
  *out = fst_const_intern(p->m, &c);
  return NULL;
}

static fst_status parse_uninit(fst_parser *p, fst_const *out) {
  fst_const_data c = {.kind = FST_CONST_UNINIT, .type = fst_type_simple(p->m->types, FST_TY_UNINIT)};
  if (*p->at == '(') {
    p->at++;
    FST_TRY(fst_parse_type(p, &c.type));
    FST_TRY(fst_scan_expect(&p->at, ")"));
  }
  *out = fst_const_intern(p->m, &c);
  return NULL;
}

// ---- literals --------------------------------------------------------------------------------------

static fst_status parse_string(fst_parser *p, fst_const *out) {
  fst_sym text;
  FST_TRY(fst_parse_sym(p, &text));
  fst_const_data c = {.kind = FST_CONST_STR, .type = fst_type_simple(p->m->types, FST_TY_STR), .str = text};
  *out = fst_const_intern(p->m, &c);
  return NULL;
}

static fst_status parse_typed(fst_parser *p, fst_const *out) {
  fst_type type;
  FST_TRY(fst_parse_type(p, &type));
  return parse_bracketed(p, type, out);
}

static fst_status parse_word(fst_parser *p, fst_const *out) {
  static const struct { const char *word; fst_const_kind kind; } references[] = {
      {"tensor", FST_CONST_TENSOR}, {"list", FST_CONST_LIST}, {"dict", FST_CONST_DICT}, {"object", FST_CONST_OBJECT}};
  const char *start = p->at, *word;
  size_t len = fst_scan_word(&p->at, &word);
  bool type_follows = *p->at == '[' || !len;   // `int[]`, `f32[2][...]`, `?[...][]`
  p->at = start;
  if (type_follows) return parse_typed(p, out);
  if (fst_scan_is_word(&p->at, "None")) *out = fst_const_none(p->m);
  else if (fst_scan_is_word(&p->at, "true")) *out = fst_const_bool(p->m, true);
  else if (fst_scan_is_word(&p->at, "false")) *out = fst_const_bool(p->m, false);
  else if (fst_scan_is_word(&p->at, "complex")) return parse_complex(p, out);
  else if (fst_scan_is_word(&p->at, "device")) return parse_device(p, out);
  else if (fst_scan_is_word(&p->at, "enum")) return parse_enum(p, out);
  else if (fst_scan_is_word(&p->at, "uninit")) return parse_uninit(p, out);
  else if (!strncmp(p->at, "inf", len) || !strncmp(p->at, "nan", len)) return parse_number(p, out);
  else {
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
      if (fst_scan_is_word(&p->at, references[i].word)) return parse_reference(p, references[i].kind, out);
    return parse_typed(p, out);
  }
  return NULL;
}

static fst_status parse_inner(fst_parser *p, fst_const *out) {
  fst_scan_blanks(&p->at);
  char c = *p->at;
  if (c == '"') return parse_string(p, out);
  if (c == '-' || (c >= '0' && c <= '9')) return parse_number(p, out);
  if (c == '(' || c == '[') return parse_bracketed(p, FST_NO_TYPE, out);
  if (c == '?' || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return parse_word(p, out);
  return FST_BAD("expected a literal");
}

fst_status fst_parse_literal(fst_parser *p, fst_const *out) {
  if (p->depth >= FST_SCAN_DEPTH) return FST_BAD("a literal nested too deeply");
  p->depth++;
  FST_TRY(parse_inner(p, out));
  p->depth--;
  return NULL;
}

// Objects are taken as they are: whether a class implements an interface is not said in a type.
static bool literal_fits(const fst_types *types, fst_type have, fst_type want) {
  fst_type_kind kind = fst_type_kind_of(types, have);
  if (kind == FST_TY_CLASS || kind == FST_TY_OPAQUE) return true;
  const fst_type_data *w = fst_type_get(types, want);
  if (w->kind == FST_TY_OPAQUE || w->kind == FST_TY_FUTURE) return true;
  return fst_type_is_subtype(types, have, want);
}

fst_status fst_parse_literal_of(fst_parser *p, fst_type type, fst_const *out) {
  fst_scan_blanks(&p->at);
  const char *start = p->at;
  FST_TRY(fst_parse_literal(p, out));
  fst_type have = fst_const_get(p->m, *out)->type;
  if (literal_fits(p->m->types, have, type)) return NULL;
  fst_text text = {0};
  fst_text_puts(&text, "a literal of type ");
  fst_type_print(p->m->types, p->dims, have, &text);
  fst_text_puts(&text, " where ");
  fst_type_print(p->m->types, p->dims, type, &text);
  fst_text_puts(&text, " is wanted");
  fst_status status = FST_BAD("%s", fst_text_cstr(&text));
  fst_text_deinit(&text);
  p->at = start;
  return status;
}
