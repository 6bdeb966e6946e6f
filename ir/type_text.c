#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "ir/scan_internal.h"
#include "ir/type_internal.h"

static const char *const simple_names[] = {
    [FST_TY_INVALID] = "",
#define X(id, text) [FST_TY_##id] = text,
    FST_TYPE_KINDS(X)
#undef X
};

// ---- printing --------------------------------------------------------------------------------------

static void print_dims(const fst_dims *dims, const fst_dim *list, int count, const char *brackets, fst_text *out) {
  fst_text_putc(out, brackets[0]);
  for (int i = 0; i < count; i++) {
    if (i) fst_text_puts(out, ", ");
    fst_dim_print(dims, list[i], out);
  }
  fst_text_putc(out, brackets[1]);
}

static void print_tensor(const fst_dims *dims, const fst_type_data *t, fst_text *out) {
  if (t->dtype == FST_DTYPE_UNKNOWN && t->rank < 0) fst_text_puts(out, "Tensor");
  else fst_text_puts(out, fst_dtype_name(t->dtype));
  if (t->rank >= 0) print_dims(dims, t->dims, t->rank, "[]", out);
  else if (t->dtype != FST_DTYPE_UNKNOWN) fst_text_puts(out, "[...]");
  if (t->rank > 0 && t->has_strides) print_dims(dims, t->strides, t->rank, "{}", out);
  if (t->device_kind == FST_DEVICE_CUDA) fst_text_printf(out, "@cuda%d", t->device_index);
}

static void print_items(const fst_types *types, const fst_dims *dims, const fst_type_data *t, bool first, fst_text *out) {
  for (uint32_t i = 0; i < t->count; i++) {
    if (!first) fst_text_puts(out, ", ");
    first = false;
    if (t->fields) {
      fst_text_puts(out, fst_sym_text(types->strings, t->fields[i]));
      fst_text_puts(out, ": ");
    }
    fst_type_print(types, dims, t->items[i], out);
  }
  fst_text_putc(out, ']');
}

static void print_name(const fst_types *types, const char *open, fst_sym name, fst_text *out) {
  fst_text_puts(out, open);
  fst_text_quote(out, fst_sym_text(types->strings, name), fst_sym_len(types->strings, name));
}

static void print_elem(const fst_types *types, const fst_dims *dims, const char *open, fst_type elem, fst_text *out) {
  fst_text_puts(out, open);
  fst_type_print(types, dims, elem, out);
  fst_text_putc(out, ']');
}

void fst_type_print(const fst_types *types, const fst_dims *dims, fst_type type, fst_text *out) {
  const fst_type_data *t = fst_type_get(types, type);
  switch (t->kind) {
    case FST_TY_INVALID: fst_text_puts(out, "<no type>"); return;
    case FST_TY_TENSOR: print_tensor(dims, t, out); return;
    case FST_TY_LIST: print_elem(types, dims, "List[", t->elem, out); return;
    case FST_TY_OPTIONAL: print_elem(types, dims, "Optional[", t->elem, out); return;
    case FST_TY_FUTURE: print_elem(types, dims, "Future[", t->elem, out); return;
    case FST_TY_DICT:
      fst_text_puts(out, "Dict[");
      fst_type_print(types, dims, t->key, out);
      fst_text_puts(out, ", ");
      fst_type_print(types, dims, t->elem, out);
      for (uint32_t i = 0; i < t->count; i++) {
        print_name(types, ", ", t->fields[i], out);
        fst_text_puts(out, ": ");
        fst_type_print(types, dims, t->items[i], out);
      }
      fst_text_putc(out, ']');
      return;
    case FST_TY_TUPLE:
      if (t->fields) print_name(types, "NamedTuple[", t->name, out);
      else fst_text_puts(out, "Tuple[");
      print_items(types, dims, t, !t->fields, out);
      return;
    case FST_TY_UNION:
      fst_text_puts(out, "Union[");
      print_items(types, dims, t, true, out);
      return;
    case FST_TY_CLASS: case FST_TY_OPAQUE:
      print_name(types, t->kind == FST_TY_CLASS ? "Class[" : "Opaque[", t->name, out);
      fst_text_putc(out, ']');
      return;
    default: fst_text_puts(out, simple_names[t->kind]); return;
  }
}

// ---- parsing ---------------------------------------------------------------------------------------

typedef struct {
  fst_types *types;
  fst_dims *dims;
  const char *at;
  uint32_t depth;
} type_parser;

static fst_status parse_type(type_parser *p, fst_type *out);

static fst_status parse_dims(type_parser *p, char close, fst_dim *out, int *out_count) {
  int count = 0;
  if (!fst_scan_char(&p->at, close)) {
    do {
      if (count == FST_MAX_RANK) return FST_FAIL(FST_ERR_CORRUPT, "a tensor of more than %d dimensions", FST_MAX_RANK);
      fst_scan_blanks(&p->at);
      FST_TRY(fst_dim_parse(p->dims, &p->at, &out[count]));
      count++;
    } while (fst_scan_char(&p->at, ','));
    char expected[2] = {close, 0};
    FST_TRY(fst_scan_expect(&p->at, expected));
  }
  *out_count = count;
  return NULL;
}

static fst_status parse_device(type_parser *p, int *kind, int *index) {
  if (*p->at != '@') return NULL;
  p->at++;
  FST_TRY(fst_scan_expect(&p->at, "cuda"));
  uint64_t number;
  FST_TRY(fst_scan_u64(&p->at, &number));
  if (number > INT8_MAX) return FST_FAIL(FST_ERR_CORRUPT, "a device number below 128 is expected");
  *kind = FST_DEVICE_CUDA;
  *index = (int)number;
  return NULL;
}

static fst_status parse_tensor(type_parser *p, fst_dtype dtype, fst_type *out) {
  int rank = FST_RANK_UNKNOWN, stride_count = 0, kind = FST_DEVICE_UNKNOWN, index = 0;
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  bool has_strides = false;
  FST_TRY(fst_scan_expect(&p->at, "["));
  fst_scan_blanks(&p->at);
  if (!strncmp(p->at, "...", 3)) {
    p->at += 3;
    FST_TRY(fst_scan_expect(&p->at, "]"));
  } else {
    FST_TRY(parse_dims(p, ']', dims, &rank));
    if (dtype != FST_DTYPE_UNKNOWN) kind = FST_DEVICE_CPU;
  }
  if (*p->at == '{' && rank > 0) {
    p->at++;
    has_strides = true;
    FST_TRY(parse_dims(p, '}', strides, &stride_count));
    if (stride_count != rank) return FST_FAIL(FST_ERR_CORRUPT, "%d strides for %d sizes", stride_count, rank);
  }
  FST_TRY(parse_device(p, &kind, &index));
  *out = fst_type_tensor(p->types, dtype, rank, dims, has_strides ? strides : NULL, kind, index);
  return NULL;
}

typedef FST_VEC(fst_type) type_vec;
typedef FST_VEC(fst_sym) sym_vec;

static fst_status parse_field_name(type_parser *p, sym_vec *fields) {
  const char *word;
  size_t len = fst_scan_word(&p->at, &word);
  if (!len) return FST_FAIL(FST_ERR_CORRUPT, "expected a field name");
  fst_vec_push(fields, fst_intern_n(p->types->strings, word, len));
  return fst_scan_expect(&p->at, ":");
}

// Items up to the closing bracket; `fields` is NULL but for a NamedTuple's.
static fst_status parse_items(type_parser *p, type_vec *items, sym_vec *fields) {
  if (fst_scan_char(&p->at, ']')) return NULL;
  do {
    if (fields) FST_TRY(parse_field_name(p, fields));
    fst_type item;
    FST_TRY(parse_type(p, &item));
    fst_vec_push(items, item);
  } while (fst_scan_char(&p->at, ','));
  return fst_scan_expect(&p->at, "]");
}

static fst_status parse_tuple(type_parser *p, fst_type_kind kind, bool named, fst_type *out) {
  type_vec items = {0};
  sym_vec fields = {0};
  fst_sym name = 0;
  fst_status status = NULL;
  if (named) {
    status = fst_scan_sym(&p->at, p->types->strings, &name);
    if (!status && !fst_scan_char(&p->at, ',')) {
      fst_scan_blanks(&p->at);
      if (*p->at != ']') status = FST_FAIL(FST_ERR_CORRUPT, "expected ',' or ']'");
    }
  }
  if (!status) status = parse_items(p, &items, named ? &fields : NULL);
  if (!status && kind == FST_TY_UNION && !items.len) status = FST_FAIL(FST_ERR_CORRUPT, "a Union of nothing");
  if (!status) {
    uint32_t count = (uint32_t)items.len;
    *out = named ? fst_type_named_tuple(p->types, name, fields.data, items.data, count)
           : kind == FST_TY_UNION ? fst_type_union(p->types, items.data, count)
                                  : fst_type_tuple(p->types, items.data, count);
  }
  fst_vec_free(&items);
  fst_vec_free(&fields);
  return status;
}

static fst_status parse_entry(type_parser *p, fst_type key, fst_type elem, sym_vec *keys, type_vec *items) {
  fst_sym name;
  fst_type item;
  FST_TRY(fst_scan_sym(&p->at, p->types->strings, &name));
  FST_TRY(fst_scan_expect(&p->at, ":"));
  FST_TRY(parse_type(p, &item));
  if (!fst_type_is(p->types, key, FST_TY_STR)) return FST_FAIL(FST_ERR_CORRUPT, "entries are named only in a dict whose keys are str");
  const char *text = fst_sym_text(p->types->strings, name);
  for (size_t i = 0; i < keys->len; i++)
    if (keys->data[i] == name) return FST_FAIL(FST_ERR_CORRUPT, "two entries '%s' in one dict", text);
  if (!fst_type_is_subtype(p->types, fst_type_erase(p->types, item), fst_type_erase(p->types, elem)))
    return FST_FAIL(FST_ERR_CORRUPT, "entry '%s' is of a type that the dict does not hold", text);
  fst_vec_push(keys, name);
  fst_vec_push(items, item);
  return NULL;
}

static fst_status parse_dict(type_parser *p, fst_type *out) {
  fst_type key, elem;
  sym_vec keys = {0};
  type_vec items = {0};
  FST_TRY(parse_type(p, &key));
  FST_TRY(fst_scan_expect(&p->at, ","));
  FST_TRY(parse_type(p, &elem));
  fst_status status = NULL;
  while (!status && fst_scan_char(&p->at, ',')) status = parse_entry(p, key, elem, &keys, &items);
  if (!status) status = fst_scan_expect(&p->at, "]");
  if (!status) *out = fst_type_dict_entries(p->types, key, elem, keys.data, items.data, (uint32_t)keys.len);
  fst_vec_free(&keys);
  fst_vec_free(&items);
  return status;
}

static fst_status parse_elem(type_parser *p, fst_type_kind kind, fst_type *out) {
  fst_type elem;
  FST_TRY(parse_type(p, &elem));
  FST_TRY(fst_scan_expect(&p->at, "]"));
  *out = kind == FST_TY_LIST ? fst_type_list(p->types, elem)
         : kind == FST_TY_FUTURE ? fst_type_future(p->types, elem)
                                 : fst_type_optional(p->types, elem);
  return NULL;
}

static fst_status parse_named(type_parser *p, fst_type_kind kind, fst_type *out) {
  fst_sym name;
  FST_TRY(fst_scan_sym(&p->at, p->types->strings, &name));
  FST_TRY(fst_scan_expect(&p->at, "]"));
  *out = kind == FST_TY_CLASS ? fst_type_class(p->types, name) : fst_type_opaque(p->types, name);
  return NULL;
}

static bool is_text(const char *word, size_t len, const char *text) { return len == strlen(text) && !memcmp(word, text, len); }

static fst_status parse_parametric(type_parser *p, const char *word, size_t len, fst_type *out) {
  static const struct { const char *name; fst_type_kind kind; } forms[] = {
      {"List", FST_TY_LIST}, {"Dict", FST_TY_DICT}, {"Optional", FST_TY_OPTIONAL}, {"Future", FST_TY_FUTURE}, {"Tuple", FST_TY_TUPLE},
      {"NamedTuple", FST_TY_TUPLE}, {"Union", FST_TY_UNION}, {"Class", FST_TY_CLASS}, {"Opaque", FST_TY_OPAQUE}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    if (!is_text(word, len, forms[i].name)) continue;
    FST_TRY(fst_scan_expect(&p->at, "["));
    switch (forms[i].kind) {
      case FST_TY_TUPLE: case FST_TY_UNION: return parse_tuple(p, forms[i].kind, word[0] == 'N', out);
      case FST_TY_DICT: return parse_dict(p, out);
      case FST_TY_CLASS: case FST_TY_OPAQUE: return parse_named(p, forms[i].kind, out);
      default: return parse_elem(p, forms[i].kind, out);
    }
  }
  p->at = word;
  return FST_FAIL(FST_ERR_CORRUPT, len ? "'%.*s' is no type" : "expected a type", (int)len, word);
}

static fst_status parse_type_inner(type_parser *p, fst_type *out) {
  fst_scan_blanks(&p->at);
  if (*p->at == '?') {
    p->at++;
    return parse_tensor(p, FST_DTYPE_UNKNOWN, out);
  }
  const char *word;
  size_t len = fst_scan_word(&p->at, &word);
  if (is_text(word, len, "Tensor")) {
    int kind = FST_DEVICE_UNKNOWN, index = 0;
    FST_TRY(parse_device(p, &kind, &index));
    *out = fst_type_tensor(p->types, FST_DTYPE_UNKNOWN, FST_RANK_UNKNOWN, NULL, NULL, kind, index);
    return NULL;
  }
  for (int kind = FST_TY_INVALID + 1; kind < FST_TY_TENSOR; kind++) {
    if (!is_text(word, len, simple_names[kind])) continue;
    *out = fst_type_simple(p->types, (fst_type_kind)kind);
    return NULL;
  }
  fst_dtype dtype = len && *p->at == '[' ? fst_dtype_from_name(word, len) : FST_DTYPE_UNKNOWN;
  if (dtype != FST_DTYPE_UNKNOWN) return parse_tensor(p, dtype, out);
  return parse_parametric(p, word, len, out);
}

static fst_status parse_type(type_parser *p, fst_type *out) {
  if (p->depth >= FST_SCAN_DEPTH) return FST_FAIL(FST_ERR_CORRUPT, "a type nested too deeply");
  p->depth++;
  FST_TRY(parse_type_inner(p, out));
  p->depth--;
  return NULL;
}

fst_status fst_type_parse(fst_types *types, fst_dims *dims, const char **cursor, fst_type *out) {
  type_parser p = {types, dims, *cursor, 0};
  fst_type type = FST_NO_TYPE;
  fst_status status = parse_type(&p, &type);
  *cursor = p.at;   // where it went wrong, too
  if (!status) *out = type;
  return status;
}
