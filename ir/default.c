// Default values of schema arguments, from PyTorch's literal text.
#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"
#include "ir/scan_internal.h"

static bool is_type(const fst_schema_arg *arg, const char *base) {
  size_t len = strlen(base);
  return !strncmp(arg->type, base, len) && (arg->type[len] == 0 || arg->type[len] == '?' || arg->type[len] == '[');
}

static bool read_string(fst_module *m, const char **at, fst_const *out) {
  fst_text text = {0};
  for (++*at; **at && **at != '"'; ++*at) {
    char c = **at;
    if (c == '\\') {
      ++*at;
      c = **at == 'n' ? '\n' : **at == 't' ? '\t' : **at == 'f' ? '\f' : **at == 'v' ? '\v' : **at == 'r' ? '\r' : **at;
    }
    fst_text_putc(&text, c);
  }
  bool ok = **at == '"';
  if (ok) ++*at;
  *out = fst_const_str(m, fst_text_cstr(&text), text.len);
  fst_text_deinit(&text);
  return ok;
}

static bool read_scalar(fst_module *m, const fst_schema_arg *arg, const char **at, fst_const *out) {
  fst_scan_blanks(at);
  if (**at == '"') return read_string(m, at, out);
  if (fst_scan_is_word(at, "None")) *out = fst_const_none(m);
  else if (fst_scan_is_word(at, "True")) *out = fst_const_bool(m, true);
  else if (fst_scan_is_word(at, "False")) *out = fst_const_bool(m, false);
  else {
    char *end;
    double number = strtod(*at, &end);
    if (end == *at) return false;
    bool whole = !memchr(*at, '.', (size_t)(end - *at)) && !memchr(*at, 'e', (size_t)(end - *at)) && !memchr(*at, 'n', (size_t)(end - *at));
    if (whole && !is_type(arg, "float")) *out = fst_const_int(m, strtoll(*at, NULL, 10));
    else *out = fst_const_float(m, number);
    *at = end;
  }
  return true;
}

static fst_type elem_type(fst_module *m, const fst_schema_arg *arg) {
  static const struct { const char *text; fst_type_kind kind; } kinds[] = {
      {"int", FST_TY_INT}, {"float", FST_TY_FLOAT}, {"bool", FST_TY_BOOL}, {"str", FST_TY_STR}, {"Scalar", FST_TY_NUMBER}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (is_type(arg, kinds[i].text)) return fst_type_simple(m->types, kinds[i].kind);
  return is_type(arg, "Tensor") ? fst_type_tensor_any(m->types) : FST_NO_TYPE;
}

static bool read_list(fst_module *m, const fst_schema_arg *arg, const char **at, fst_const *out) {
  fst_const items[32];
  uint32_t count = 0;
  ++*at;
  fst_type elem = elem_type(m, arg);
  while (!fst_scan_char(at, ']')) {
    if (count == 32 || !read_scalar(m, arg, at, &items[count++])) return false;
    fst_scan_char(at, ',');
  }
  if (!elem.id) return false;
  *out = fst_const_tuple(m, fst_type_list(m->types, elem), items, count);
  return true;
}

bool fst_schema_default(fst_module *module, const fst_schema_arg *arg, fst_const *out) {
  if (!arg->default_text) return false;
  const char *at = arg->default_text;
  fst_const c;
  bool is_list = *at == '[';
  if (is_list ? !read_list(module, arg, &at, &c) : !read_scalar(module, arg, &at, &c)) return false;
  if (!is_list && arg->fixed_size && fst_const_get(module, c)->kind != FST_CONST_NONE) {   // one number stands for all
    fst_const items[32];
    fst_type elem = elem_type(module, arg);
    if (!elem.id || arg->fixed_size > 32) return false;
    for (uint32_t i = 0; i < arg->fixed_size; i++) items[i] = c;
    c = fst_const_tuple(module, fst_type_list(module->types, elem), items, arg->fixed_size);
  }
  fst_scan_blanks(&at);
  if (*at) return false;
  *out = c;
  return true;
}
