#include "runtime/spec_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/format.h"
#include "runtime/model.h"

static const struct { const char *word, *name; int dtype; } types[] = {
  {"float32", "FLOAT_TENSOR", FST_F32}, {"float64", "DOUBLE_TENSOR", FST_F64}, {"string", "STRING_TENSOR", -1},
  {"int8", "INT8_TENSOR", FST_I8},      {"int16", "INT16_TENSOR", FST_I16},    {"int32", "INT32_TENSOR", FST_I32}, {"int64", "INT64_TENSOR", FST_I64},
  {"uint8", "UINT8_TENSOR", FST_U8},    {"uint16", "UINT16_TENSOR", FST_U16},  {"uint32", "UINT32_TENSOR", FST_U32}, {"uint64", "UINT64_TENSOR", FST_U64},
};
enum { TYPE_COUNT = sizeof types / sizeof *types };

// -1 for strings; a number of Python's counts as a tensor without dimensions.
static int val_dtype(const fst_val *val) {
  if (val->tag == FST_TAG_TENSOR) return ((const fst_tensor_obj *)val->p)->dtype;
  return val->tag == FST_TAG_LIST ? -1 : val->tag == FST_TAG_FLOAT ? FST_F64 : val->tag == FST_TAG_BOOL ? FST_BOOL : FST_I64;
}

const char *fst_tensor_type_name(const fst_val *val) {
  int dtype = val_dtype(val);
  for (int i = 0; i < TYPE_COUNT; i++)
    if (types[i].dtype == dtype) return types[i].name;
  return fst_dtype_word((fst_dtype)dtype);
}

static const char *spec_type_name(const fst_spec *spec) {
  for (int i = 0; i < TYPE_COUNT; i++)
    if (!strcmp(types[i].word, spec->dtype)) return types[i].name;
  return spec->dtype;
}

static size_t val_sizes(const fst_val *val, const int64_t **out) {
  if (val->tag == FST_TAG_TENSOR) {
    *out = fst_tensor_sizes((const fst_tensor_obj *)val->p);
    return ((const fst_tensor_obj *)val->p)->rank;
  }
  if (val->tag != FST_TAG_LIST) return 0;
  *out = &((const fst_list_obj *)val->p)->len;
  return 1;
}

static int64_t *symbol_size(fst_symbol_table *t, const char *symbol, int64_t size) {
  for (size_t i = 0; i < t->count; i++)
    if (!strcmp(t->rows[i].symbol, symbol)) return &t->rows[i].size;
  t->rows[t->count] = (fst_symbol_size){symbol, size};
  return &t->rows[t->count++].size;
}

// A plain number stands for a tensor of one element, of whatever rank and width the spec says.
static bool is_number(const fst_val *val) { return val->tag != FST_TAG_TENSOR && val->tag != FST_TAG_LIST; }

static bool number_fits(const fst_spec *spec, const fst_val *val) {
  bool wants_float = !strncmp(spec->dtype, "float", 5), wants_int = strstr(spec->dtype, "int") != NULL;
  for (size_t d = 0; d < spec->rank; d++)
    if (spec->dims[d] > 1) return false;
  return val->tag == FST_TAG_FLOAT ? wants_float : wants_int || wants_float;
}

static fst_failure *val_check(const fst_spec *spec, const char *which, const fst_val *val, fst_symbol_table *symbols) {
  if (is_number(val) && number_fits(spec, val)) return NULL;
  const int64_t *sizes = NULL;
  size_t rank = val_sizes(val, &sizes);
  const char *want = spec_type_name(spec), *found = fst_tensor_type_name(val);
  if (strcmp(want, found) != 0) return fst_failure_make(FST_FAILED_INVALID, "Tensor '%s' in the %s is expected to be of type %s, but was of type %s", spec->name, which, want, found);
  if (rank != spec->rank) return fst_failure_make(FST_FAILED_INVALID, "Tensor '%s' in the %s is expected to have %zu dimensions, but had %zu", spec->name, which, spec->rank, rank);
  for (size_t d = 0; d < rank; d++) {
    if (spec->symbols[d]) {
      int64_t size = *symbol_size(symbols, spec->symbols[d], sizes[d]);
      if (size != sizes[d])
        return fst_failure_make(FST_FAILED_INVALID, "All dims with symbol '%s' should be the same size. Dim %zu of tensor '%s' in the %s was expected to be of size %" PRId64 ", but was of size %" PRId64,
                                spec->symbols[d], d, spec->name, which, size, sizes[d]);
    } else if (spec->dims[d] >= 0 && spec->dims[d] != sizes[d]) {
      return fst_failure_make(FST_FAILED_INVALID, "Dim %zu of tensor '%s' in the %s is expected to be of size %" PRId64 ", but was of size %" PRId64, d, spec->name, which, spec->dims[d], sizes[d]);
    }
  }
  return NULL;
}

static int name_order(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static fst_failure *names_unknown(const char *which, const char **unknown, size_t count) {
  fst_buf list = {0};
  qsort(unknown, count, sizeof *unknown, name_order);
  for (size_t i = 0; i < count; i++) fst_buf_printf(&list, "%s\"%s\"", i ? ", " : "", unknown[i]);
  fst_failure *failure = fst_failure_make(FST_FAILED_INVALID, "Tensor name(s) '{%s}' are not found in the %s", fst_buf_text(&list), which);
  fst_buf_deinit(&list);
  return failure;
}

fst_failure *fst_spec_check(const fst_plan *plan, const fst_names *names, bool outputs, const fst_named_val *vals, size_t count, fst_symbol_table *symbols) {
  const char *which = outputs ? "output spec" : "input spec";
  size_t seen = 0;
  for (size_t s = 0; s < names->spec_count; s++) {
    if (!(plan->specs[s].flags & FST_PLAN_SPEC_OUTPUT) == outputs) continue;
    for (size_t i = 0; i < count; i++) {
      if (strcmp(vals[i].name, names->specs[s].name) != 0) continue;
      fst_failure *failure = val_check(&names->specs[s], which, &vals[i].val, symbols);
      if (failure) return failure;
      seen++;
      break;
    }
  }
  if (seen == count) return NULL;
  const char **unknown = malloc(count * sizeof *unknown);
  if (!unknown) return fst_failure_memory();
  size_t unknown_count = 0;
  for (size_t i = 0; i < count; i++) {
    bool found = false;
    for (size_t s = 0; s < names->spec_count && !found; s++)
      found = !(plan->specs[s].flags & FST_PLAN_SPEC_OUTPUT) != outputs && !strcmp(vals[i].name, names->specs[s].name);
    if (!found) unknown[unknown_count++] = vals[i].name;
  }
  fst_failure *failure = unknown_count ? names_unknown(which, unknown, unknown_count) : NULL;
  free(unknown);
  return failure;
}
