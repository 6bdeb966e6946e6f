#include "driver/signature.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const char *trim(const char *at, const char **end) {
  while (at < *end && isspace((unsigned char)*at)) at++;
  while (*end > at && isspace((unsigned char)(*end)[-1])) --*end;
  return at;
}

// Names of sizes become symbols of the graph: `N` -> `s0`. Only inside [ ] of a tensor type, and not the
// functions and symbols that the type language has itself.
static void name_sizes(fst_graph *graph, fst_size_names *names, const char *text, size_t len, fst_text *out) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < len;) {
    char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\' && i + 1 < len) {
      fst_text_append(out, text + i, 2);
      i += 2;
      continue;
    }
    if (!in_string && c == '[') depth++;
    if (!in_string && c == ']') depth--;
    if (in_string || !(isalpha((unsigned char)c) || c == '_')) {
      fst_text_putc(out, c);
      i++;
      continue;
    }
    size_t start = i;
    while (i < len && (isalnum((unsigned char)text[i]) || text[i] == '_')) i++;
    size_t word = i - start;
    const char *w = text + start;
    bool is_type = i < len && text[i] == '[';
    bool is_known = (word == 3 && (!memcmp(w, "min", 3) || !memcmp(w, "max", 3))) || (w[0] == 's' && word > 1 && strspn(w + 1, "0123456789") >= word - 1);
    // Inside `List[int]` a word is a type; inside `f32[N]` it is a size. Types of the language are never sizes.
    fst_type probe;
    char copy[64];
    snprintf(copy, sizeof copy, "%.*s", (int)word, w);
    const char *cursor = copy;
    fst_status status = fst_type_parse(graph->module->types, graph->dims, &cursor, &probe);
    bool parses = !status && !*cursor;
    fst_error_free(status);
    if (!depth || is_type || is_known || parses) {
      fst_text_append(out, w, word);
      continue;
    }
    fst_sym name = fst_intern_n(&graph->module->strings, w, word);
    size_t at = 0;
    while (at < names->names.len && names->names.data[at] != name) at++;
    if (at == names->names.len) fst_vec_push(&names->names, name);
    fst_text_printf(out, "s%zu", at);
  }
}

static fst_type row_major(fst_graph *graph, fst_type type) {
  fst_types *types = graph->module->types;
  const fst_type_data *t = fst_type_get(types, type);
  if (t->kind == FST_TY_LIST) return fst_type_list(types, row_major(graph, t->elem));
  if (t->kind == FST_TY_OPTIONAL) return fst_type_optional(types, row_major(graph, t->elem));
  if (t->kind == FST_TY_DICT) {
    fst_type *items = FST_NEW_ARRAY(&graph->arena, fst_type, t->count + 1);
    for (uint32_t i = 0; i < t->count; i++) items[i] = row_major(graph, t->items[i]);
    return fst_type_dict_entries(types, t->key, row_major(graph, t->elem), t->fields, items, t->count);
  }
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || t->has_strides) return type;
  fst_dim strides[FST_MAX_RANK];
  for (int i = 0; i < t->rank; i++)
    if (!fst_dim_is_known(t->dims[i])) return type;
  fst_contiguous_strides(graph->dims, t->rank, t->dims, strides);
  return fst_type_tensor(types, t->dtype, t->rank, t->dims, strides, t->device_kind, t->device_index);
}

fst_status fst_signature_type(fst_graph *graph, fst_size_names *names, const char *text, size_t len, fst_type *out) {
  fst_text named = {0};
  name_sizes(graph, names, text, len, &named);
  const char *cursor = fst_text_cstr(&named);
  fst_type type;
  fst_status status = fst_type_parse(graph->module->types, graph->dims, &cursor, &type);
  while (!status && isspace((unsigned char)*cursor)) cursor++;
  if (!status && *cursor) status = FST_FAIL(FST_ERR_INVALID, "'%.*s': '%s' follows the type", (int)len, text, cursor);
  fst_text_deinit(&named);
  if (!status) *out = row_major(graph, type);
  return status;
}

static int find_param(const fst_graph *graph, const char *name, size_t len) {
  const fst_block *entry = fst_block_get(graph, graph->entry);
  for (size_t i = 0; i < entry->params.len; i++) {
    const char *p = fst_sym_text(&graph->module->strings, fst_value_get(graph, entry->params.data[i])->name);
    if (strlen(p) == len && !memcmp(p, name, len)) return (int)i;
    // The importer may have made names unique: `x.1` stands for `x`.
    if (!strncmp(p, name, len) && p[len] == '.' && strspn(p + len + 1, "0123456789") == strlen(p + len + 1)) return (int)i;
  }
  return -1;
}

static const char *param_name(const fst_graph *graph, size_t i) {
  return fst_sym_text(&graph->module->strings, fst_value_get(graph, fst_block_get(graph, graph->entry)->params.data[i])->name);
}

static fst_status apply_entry(fst_graph *graph, fst_size_names *names, const char *at, const char *end, size_t position, bool *given) {
  fst_module *m = graph->module;
  const fst_block *entry = fst_block_get(graph, graph->entry);
  const char *colon = at;
  while (colon < end && (isalnum((unsigned char)*colon) || *colon == '_')) colon++;
  int param = (int)position;
  if (colon < end && *colon == ':') {
    param = find_param(graph, at, (size_t)(colon - at));
    if (param < 0) return FST_FAIL(FST_ERR_INVALID, "%s has no argument '%.*s'", fst_sym_text(&m->strings, graph->name), (int)(colon - at), at);
    at = trim(colon + 1, &end);
  }
  if ((size_t)param >= entry->params.len) return FST_FAIL(FST_ERR_INVALID, "%s takes %zu arguments", fst_sym_text(&m->strings, graph->name), entry->params.len);
  fst_type type;
  fst_status status = fst_signature_type(graph, names, at, (size_t)(end - at), &type);
  if (status) return fst_error_prefix(status, "argument '%s'", param_name(graph, (size_t)param));
  fst_value_id value = entry->params.data[param];
  fst_type declared = fst_type_erase(m->types, fst_value_type(graph, value));
  if (!fst_type_is_subtype(m->types, fst_type_erase(m->types, type), declared)) {
    fst_text want = {0};
    fst_type_print(m->types, graph->dims, declared, &want);
    status = FST_FAIL(FST_ERR_INVALID, "argument '%s' is declared as %s, not as '%.*s'", param_name(graph, (size_t)param), fst_text_cstr(&want), (int)(end - at), at);
    fst_text_deinit(&want);
    return status;
  }
  fst_value_set_type(graph, value, type);
  given[param] = true;
  return NULL;
}

// The `;` after an argument, or the end; those in the keys of a dict are no such.
static const char *entry_end(const char *at) {
  bool in_string = false;
  for (; *at && (in_string || *at != ';'); at++) {
    if (*at == '"') in_string = !in_string;
    if (in_string && *at == '\\' && at[1]) at++;
  }
  return at;
}

// What an argument that the signature does not mention is compiled as.
static fst_status complete(fst_graph *graph, size_t i) {
  fst_module *m = graph->module;
  fst_value_id value = fst_block_get(graph, graph->entry)->params.data[i];
  fst_type type = fst_value_type(graph, value);
  const fst_type_data *t = fst_type_get(m->types, type);
  fst_const initial = i < graph->defaults.len ? graph->defaults.data[i] : (fst_const){0};
  if (initial.id && (fst_type_has_tensor(m->types, type) || t->kind == FST_TY_OPTIONAL || t->kind == FST_TY_ANY)) {
    const fst_const_data *c = fst_const_get(m, initial);
    fst_value_set_type(graph, value, c->kind == FST_CONST_TENSOR ? m->tensors.data[c->index].type : c->type);
    return NULL;
  }
  if (fst_type_has_tensor(m->types, type))
    return FST_FAIL(FST_ERR_INVALID, "argument '%s' is a tensor: say what it looks like, as in --input '%s: f32[N, 512]'", param_name(graph, i), param_name(graph, i));
  return NULL;
}

fst_status fst_signature_apply(fst_graph *graph, const char *text) {
  fst_size_names names = {0};
  size_t count = fst_block_get(graph, graph->entry)->params.len, position = 0;
  bool *given = calloc(count + 1, sizeof *given);
  if (!given) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = NULL;
  const char *at = text ? text : "";
  while (*at && !status) {
    const char *end = entry_end(at), *stop = end;
    const char *start = trim(at, &stop);
    if (start < stop) status = apply_entry(graph, &names, start, stop, position, given);
    position++;
    at = *end ? end + 1 : end;
  }
  for (size_t i = 0; i < count && !status; i++)
    if (!given[i]) status = complete(graph, i);
  free(given);
  fst_vec_free(&names.names);
  return status;
}
