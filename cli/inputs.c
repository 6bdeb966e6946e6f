#define _GNU_SOURCE  // strndup
#include "cli/inputs.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/npy.h"

fst_status fst_failure_status(fst_failure *failure) {
  if (!failure) return NULL;
  fst_status status = FST_FAIL((fst_code)fst_failure_code(failure), "%s", fst_failure_message(failure));
  fst_failure_free(failure);
  return status;
}

static fst_status no_memory(void) { return FST_FAIL(FST_ERR_RESOURCE, "out of memory"); }

// ---- literals --------------------------------------------------------------------------------------
// A recursive reader over a cursor. `whole` is the text for messages.

typedef struct literal { const char *at, *whole; int depth; } literal;
enum { DEPTH_MAX = 64 };

static fst_status literal_read(literal *l, fst_var **out);

static void skip_blanks(literal *l) {
  while (isspace((unsigned char)*l->at)) l->at++;
}

static fst_status literal_wrong(const literal *l, const char *expected) {
  return FST_FAIL(FST_ERR_INVALID, "cannot read the value '%s': expected %s at '%.20s'", l->whole, expected, l->at);
}

static bool take(literal *l, const char *word) {
  skip_blanks(l);
  size_t len = strlen(word);
  if (strncmp(l->at, word, len) != 0) return false;
  if (isalpha((unsigned char)*word) && (isalnum((unsigned char)l->at[len]) || l->at[len] == '_')) return false;
  l->at += len;
  return true;
}

static fst_status var_made(fst_var *var, fst_var **out) {
  if (!var) return no_memory();
  *out = var;
  return NULL;
}

static fst_status number_read(literal *l, fst_var **out) {
  char *end;
  errno = 0;
  long long whole = strtoll(l->at, &end, 10);
  if (end != l->at && *end != '.' && !isalpha((unsigned char)*end) && !errno) {
    l->at = end;
    return var_made(fst_var_int(whole), out);
  }
  if (end != l->at && errno == ERANGE && !*end) return literal_wrong(l, "a number of 64 bits");
  double value = strtod(l->at, &end);
  if (end == l->at) return literal_wrong(l, "a number, true, false, none, \"text\", a list, tuple or dict");
  l->at = end;
  return var_made(fst_var_float(value), out);
}

static fst_status string_read(literal *l, char quote, fst_var **out) {
  fst_text text = {0};
  for (; *l->at && *l->at != quote; l->at++) {
    char c = *l->at;
    if (c == '\\' && l->at[1]) {
      c = *++l->at;
      c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
    }
    fst_text_putc(&text, c);
  }
  fst_status status = *l->at ? var_made(fst_var_str(fst_text_cstr(&text), text.len), out) : literal_wrong(l, "the end of the text");
  if (!status) l->at++;
  fst_text_deinit(&text);
  return status;
}

typedef FST_VEC(fst_var *) var_list;

static void vars_free(var_list *vars) {
  for (size_t i = 0; i < vars->len; i++) fst_var_free(vars->data[i]);
  fst_vec_free(vars);
}

// Items up to `close`; for dicts keys and values alternate.
static fst_status items_read(literal *l, char close, bool is_dict, var_list *out) {
  const char end[] = {close, 0};
  while (!take(l, end)) {
    if (out->len && !take(l, ",")) return literal_wrong(l, "',' or the closing bracket");
    if (out->len && take(l, end)) return NULL;
    fst_var *item;
    FST_TRY(literal_read(l, &item));
    fst_vec_push(out, item);
    if (!is_dict) continue;
    if (!take(l, ":")) return literal_wrong(l, "':'");
    FST_TRY(literal_read(l, &item));
    fst_vec_push(out, item);
  }
  return NULL;
}

static fst_status container_make(char open, const var_list *items, fst_var **out) {
  fst_var *var = open == '[' ? fst_var_list() : open == '{' ? fst_var_dict() : fst_var_tuple((const fst_var *const *)items->data, items->len);
  bool ok = var != NULL;
  for (size_t i = 0; ok && open == '[' && i < items->len; i++) ok = fst_var_list_add(var, items->data[i]);
  for (size_t i = 0; ok && open == '{' && i < items->len; i += 2) ok = fst_var_dict_set(var, items->data[i], items->data[i + 1]);
  if (!ok) {
    fst_var_free(var);
    return no_memory();
  }
  *out = var;
  return NULL;
}

static fst_status container_read(literal *l, char open, char close, fst_var **out) {
  if (l->depth++ > DEPTH_MAX) return literal_wrong(l, "less nesting");
  var_list items = {0};
  fst_status status = items_read(l, close, open == '{', &items);
  if (!status) status = container_make(open, &items, out);
  vars_free(&items);
  l->depth--;
  return status;
}

static fst_status literal_read(literal *l, fst_var **out) {
  if (take(l, "true") || take(l, "True")) return var_made(fst_var_bool(1), out);
  if (take(l, "false") || take(l, "False")) return var_made(fst_var_bool(0), out);
  if (take(l, "none") || take(l, "None")) return var_made(fst_var_none(), out);
  if (take(l, "\"")) return string_read(l, '"', out);
  if (take(l, "'")) return string_read(l, '\'', out);
  if (take(l, "[")) return container_read(l, '[', ']', out);
  if (take(l, "(")) return container_read(l, '(', ')', out);
  if (take(l, "{")) return container_read(l, '{', '}', out);
  return number_read(l, out);
}

// ---- arrays ----------------------------------------------------------------------------------------

static void array_release(void *data) { free(data); }

// Takes the array's memory.
static fst_status array_var(fst_npy *array, fst_var **out) {
  fst_status status = fst_failure_status(fst_var_tensor((int)array->dtype, (size_t)array->rank, array->sizes, array->strides, array->data, array_release, array->data, out));
  if (!status) array->data = NULL;
  return status;
}

static fst_status array_file(const char *path, fst_var **out) {
  fst_npy array;
  FST_TRY(fst_npy_read(path, &array));
  fst_status status = array_var(&array, out);
  fst_npy_deinit(&array);
  return status;
}

// Uniform in [-1, 1), from a fixed seed: measuring and comparing need the same numbers each time.
static double random_next(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) / 4503599627370496.0 - 1.0;
}

static void random_fill(void *data, fst_dtype dtype, int64_t count, uint64_t seed) {
  uint64_t state = seed;
  for (int64_t i = 0; i < count; i++) {
    if (dtype == FST_F32) ((float *)data)[i] = (float)random_next(&state);
    else if (dtype == FST_F64) ((double *)data)[i] = random_next(&state);
  }
}

// `f32[1, 512]`: constant sizes only.
static fst_status random_array(const char *text, uint64_t seed, fst_var **out) {
  size_t name_len = strcspn(text, "[");
  fst_dtype dtype = fst_dtype_from_name(text, name_len);
  if (dtype == FST_DTYPE_UNKNOWN || text[name_len] != '[') return FST_FAIL(FST_ERR_INVALID, "cannot make an input of type '%s': expected something like f32[1, 512]", text);
  int64_t sizes[FST_NPY_RANK_MAX], count = 1;
  size_t rank = 0;
  for (const char *at = text + name_len + 1; *at && *at != ']';) {
    char *end;
    long long size = strtoll(at, &end, 10);
    if (end == at || size < 0 || rank == FST_NPY_RANK_MAX || __builtin_mul_overflow(count, size, &count))
      return FST_FAIL(FST_ERR_INVALID, "cannot make an input of type '%s': every size must be a number here", text);
    sizes[rank++] = size;
    at = end + strspn(end, " ,");
  }
  FST_TRY(fst_failure_status(fst_var_tensor_new((int)dtype, rank, sizes, out)));
  random_fill(fst_var_data(*out), dtype, count, seed);
  return NULL;
}

// ---- inputs ----------------------------------------------------------------------------------------

static bool ends_with(const char *text, const char *end) {
  size_t len = strlen(text), end_len = strlen(end);
  return len >= end_len && !strcmp(text + len - end_len, end);
}

static fst_status value_read(const char *text, fst_var **out) {
  if (ends_with(text, ".npy")) return array_file(text, out);
  if (ends_with(text, ".npz")) return FST_FAIL(FST_ERR_INVALID, "'%s' holds several arrays; give it with --inputs", text);
  literal l = {text, text, 0};
  fst_var *var;
  FST_TRY(literal_read(&l, &var));
  skip_blanks(&l);
  if (!*l.at) return var_made(var, out);
  fst_var_free(var);
  return literal_wrong(&l, "the end");
}

static size_t identifier_len(const char *text) {
  size_t len = 0;
  while (isalnum((unsigned char)text[len]) || text[len] == '_') len++;
  return len;
}

static fst_status input_add(fst_inputs *inputs, const char *name, size_t name_len, fst_var *value) {
  fst_vec_push(&inputs->values, value);
  if (!name) {
    if (inputs->names.len) return FST_FAIL(FST_ERR_INVALID, "inputs without a name come before those with one");
    inputs->positional++;
    return NULL;
  }
  char *copy = strndup(name, name_len);
  if (!copy) return no_memory();
  fst_vec_push(&inputs->names, copy);
  return NULL;
}

// `x=value`, `x: type`, `value`, `type`.
static fst_status input_read(fst_inputs *inputs, const char *text, uint64_t seed) {
  size_t len = identifier_len(text), blanks = strspn(text + len, " ");
  char mark = text[len + blanks];
  bool is_named = len && !isdigit((unsigned char)*text) && (mark == '=' || mark == ':');
  const char *rest = is_named ? text + len + blanks + 1 : text;
  rest += strspn(rest, " ");
  bool is_type = (is_named && mark == ':') || (!is_named && text[len] == '[' && len);
  fst_var *value;
  FST_TRY(is_type ? random_array(rest, seed * 1000003 + inputs->values.len + 1, &value) : value_read(rest, &value));
  return input_add(inputs, is_named ? text : NULL, len, value);
}

static fst_status file_read(fst_inputs *inputs, const char *path) {
  fst_npy_list arrays = {0};
  FST_TRY(fst_npz_read(path, &arrays));
  fst_status status = NULL;
  for (size_t i = 0; i < arrays.len && !status; i++) {
    fst_var *value;
    status = array_var(&arrays.data[i], &value);
    if (!status) status = input_add(inputs, arrays.data[i].name, strlen(arrays.data[i].name), value);
  }
  fst_npy_list_deinit(&arrays);
  return status;
}

fst_status fst_inputs_read(const fst_words *texts, const fst_words *files, uint64_t seed, fst_inputs *out) {
  fst_inputs made = {0};
  fst_status status = NULL;
  for (size_t i = 0; i < texts->len && !status; i++) status = fst_error_prefix(input_read(&made, texts->data[i], seed), "--input '%s'", texts->data[i]);
  for (size_t i = 0; i < files->len && !status; i++) status = fst_error_prefix(file_read(&made, files->data[i]), "--inputs");
  if (status) fst_inputs_deinit(&made);
  else *out = made;
  return status;
}

void fst_inputs_deinit(fst_inputs *inputs) {
  for (size_t i = 0; i < inputs->names.len; i++) free(inputs->names.data[i]);
  for (size_t i = 0; i < inputs->values.len; i++) fst_var_free(inputs->values.data[i]);
  fst_vec_free(&inputs->names);
  fst_vec_free(&inputs->values);
  inputs->positional = 0;
}

// ---- signatures ------------------------------------------------------------------------------------

static fst_status type_print(const fst_var *var, fst_text *out);

// A list is declared by its first item; an empty one says nothing about its items.
static fst_status container_print(const fst_var *var, const char *name, size_t items, fst_text *out) {
  fst_text_printf(out, "%s[", name);
  for (size_t i = 0; i < items; i++) {
    fst_var *item = fst_var_item(var, i);
    if (i) fst_text_puts(out, ", ");
    fst_status status = item ? type_print(item, out) : no_memory();
    fst_var_free(item);
    FST_TRY(status);
  }
  fst_text_putc(out, ']');
  return NULL;
}

static fst_status dict_print(const fst_var *var, fst_text *out) {
  fst_var *key = fst_var_key(var, 0), *value = fst_var_item(var, 0);
  fst_text_puts(out, "Dict[");
  fst_status status = key && value ? type_print(key, out) : no_memory();
  fst_text_puts(out, ", ");
  if (!status) status = type_print(value, out);
  fst_text_putc(out, ']');
  fst_var_free(key);
  fst_var_free(value);
  return status;
}

static fst_status type_print(const fst_var *var, fst_text *out) {
  switch (fst_var_kind(var)) {
    case FST_VAR_BOOL: fst_text_puts(out, "bool"); return NULL;
    case FST_VAR_INT: fst_text_puts(out, "int"); return NULL;
    case FST_VAR_FLOAT: fst_text_puts(out, "float"); return NULL;
    case FST_VAR_STR: fst_text_puts(out, "str"); return NULL;
    case FST_VAR_NONE: fst_text_puts(out, "None"); return NULL;
    case FST_VAR_TENSOR:
      fst_text_printf(out, "%s[", fst_dtype_name((fst_dtype)fst_var_dtype(var)));
      for (size_t d = 0; d < fst_var_rank(var); d++) fst_text_printf(out, "%s%lld", d ? ", " : "", (long long)fst_var_sizes(var)[d]);
      fst_text_putc(out, ']');
      return NULL;
    case FST_VAR_LIST: return fst_var_count(var) ? container_print(var, "List", 1, out) : FST_FAIL(FST_ERR_INVALID, "an empty list says nothing about its items");
    case FST_VAR_TUPLE: return container_print(var, "Tuple", fst_var_count(var), out);
    case FST_VAR_DICT: return fst_var_count(var) ? dict_print(var, out) : FST_FAIL(FST_ERR_INVALID, "an empty dict says nothing about its items");
    default: return FST_FAIL(FST_ERR_INVALID, "a value of this kind cannot be described");
  }
}

fst_status fst_inputs_signature(const fst_inputs *inputs, fst_text *out) {
  for (size_t i = 0; i < inputs->values.len; i++) {
    if (i) fst_text_puts(out, "; ");
    if (i >= inputs->positional) fst_text_printf(out, "%s: ", inputs->names.data[i - inputs->positional]);
    FST_TRY(type_print(inputs->values.data[i], out));
  }
  return NULL;
}

// ---- calling ---------------------------------------------------------------------------------------

fst_status fst_inputs_infer(const fst_inputs *inputs, fst_model *model, const char *method, fst_var **out) {
  return fst_failure_status(fst_infer_named(model, method, inputs->positional, (const char *const *)inputs->names.data, (const fst_var *const *)inputs->values.data, inputs->values.len, out));
}
