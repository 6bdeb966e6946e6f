// Tensors and maps of Neuropod's C API. A tensor of numbers is a value of the runtime; one of strings is an array of texts, which
// becomes a list when the model is called.
#include <stdlib.h>
#include <string.h>

#include "neuropod/c_internal.h"

typedef struct np_text { char *bytes; size_t len; } np_text;
struct NP_NeuropodTensor {
  uint32_t refs;       // atomic
  NP_TensorType type;
  fst_var *var;        // numbers
  np_text *texts;      // strings, `count` of them
  size_t count, rank;
  int64_t *dims;
};

static const struct { const char *word; int dtype; } types[] = {
  [FLOAT_TENSOR] = {"float32", FST_DT_F32}, [DOUBLE_TENSOR] = {"float64", FST_DT_F64}, [STRING_TENSOR] = {"string", -1},
  [INT8_TENSOR] = {"int8", FST_DT_I8},      [INT16_TENSOR] = {"int16", FST_DT_I16},    [INT32_TENSOR] = {"int32", FST_DT_I32}, [INT64_TENSOR] = {"int64", FST_DT_I64},
  [UINT8_TENSOR] = {"uint8", FST_DT_U8},    [UINT16_TENSOR] = {"uint16", FST_DT_U16},  [UINT32_TENSOR] = {"uint32", FST_DT_U32}, [UINT64_TENSOR] = {"uint64", FST_DT_U64},
};
enum { TYPE_COUNT = sizeof types / sizeof *types };

NP_TensorType np_type_of_word(const char *dtype) {
  for (int i = 0; i < TYPE_COUNT; i++)
    if (!strcmp(types[i].word, dtype)) return (NP_TensorType)i;
  return FLOAT_TENSOR;  // packages have no others
}

static NP_TensorType type_of_dtype(int dtype) {
  for (int i = 0; i < TYPE_COUNT; i++)
    if (types[i].dtype == dtype) return (NP_TensorType)i;
  return FLOAT_TENSOR;  // fst_infer_map refuses outputs of others
}

// ---- making ----------------------------------------------------------------------------------------

static NP_NeuropodTensor *tensor_make(NP_TensorType type, size_t rank, const int64_t *dims) {
  NP_NeuropodTensor *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  *t = (NP_NeuropodTensor){.refs = 1, .type = type, .count = 1, .rank = rank, .dims = malloc((rank + 1) * sizeof *dims)};
  bool ok = t->dims != NULL;
  for (size_t d = 0; ok && d < rank; d++) {
    t->dims[d] = dims[d];
    ok = dims[d] >= 0 && !__builtin_mul_overflow(t->count, (size_t)dims[d], &t->count);
  }
  if (ok && type == STRING_TENSOR) ok = t->count <= SIZE_MAX / 2 / sizeof *t->texts && (t->texts = calloc(t->count + 1, sizeof *t->texts)) != NULL;
  if (ok) return t;
  NP_FreeTensor(t);
  return NULL;
}

static NP_NeuropodTensor *tensor_finish(NP_NeuropodTensor *t, fst_failure *failure) {
  if (!failure) return t;
  fst_failure_free(failure);
  NP_FreeTensor(t);
  return NULL;
}

static bool arguments_ok(size_t num_dims, const int64_t *dims, NP_TensorType type) { return (unsigned)type < TYPE_COUNT && (!num_dims || dims); }

NP_NeuropodTensor *NP_AllocateTensor(NP_TensorAllocator *allocator, size_t num_dims, const int64_t *dims, NP_TensorType type) {
  (void)allocator;
  NP_NeuropodTensor *t = arguments_ok(num_dims, dims, type) ? tensor_make(type, num_dims, dims) : NULL;
  if (!t || type == STRING_TENSOR) return t;
  return tensor_finish(t, fst_var_tensor_new(types[type].dtype, num_dims, dims, &t->var));
}

typedef struct lent { void (*deleter)(void *, void *); void *data, *arg; } lent;

static void lent_release(void *owner) {
  lent *l = owner;
  if (l->deleter) l->deleter(l->data, l->arg);
  free(l);
}

NP_NeuropodTensor *NP_TensorFromMemory(NP_TensorAllocator *allocator, size_t num_dims, const int64_t *dims, NP_TensorType type, void *data, void (*deleter)(void *, void *), void *arg) {
  (void)allocator;
  if (!arguments_ok(num_dims, dims, type) || type == STRING_TENSOR) return NULL;
  NP_NeuropodTensor *t = tensor_make(type, num_dims, dims);
  lent *l = t ? malloc(sizeof *l) : NULL;
  if (!l) {
    NP_FreeTensor(t);
    return NULL;
  }
  *l = (lent){deleter, data, arg};
  t = tensor_finish(t, fst_var_tensor(types[type].dtype, num_dims, dims, NULL, data, lent_release, l, &t->var));
  if (!t) free(l);
  return t;
}

void NP_FreeTensor(NP_NeuropodTensor *t) {
  if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL)) return;
  for (size_t i = 0; t->texts && i < t->count; i++) free(t->texts[i].bytes);
  free(t->texts);
  free(t->dims);
  fst_var_free(t->var);
  free(t);
}

// The allocators differ in nothing.
struct NP_TensorAllocator { char unused; };
static NP_TensorAllocator *allocator_new(void) { return calloc(1, sizeof(NP_TensorAllocator)); }
NP_TensorAllocator *NP_GetGenericAllocator(void) { return allocator_new(); }
NP_TensorAllocator *NP_GetAllocator(NP_Neuropod *model) {
  (void)model;
  return allocator_new();
}
void NP_FreeAllocator(NP_TensorAllocator *allocator) { free(allocator); }

// ---- reading and writing ---------------------------------------------------------------------------

void NP_GetDims(const NP_NeuropodTensor *t, size_t *num_dims, const int64_t **dims) {
  if (num_dims) *num_dims = t ? t->rank : 0;
  if (dims) *dims = t ? t->dims : NULL;
}

NP_TensorType NP_GetType(const NP_NeuropodTensor *t) { return t ? t->type : FLOAT_TENSOR; }
size_t NP_GetNumElements(const NP_NeuropodTensor *t) { return t ? t->count : 0; }
void *NP_GetData(NP_NeuropodTensor *t) { return t && t->var ? fst_var_data(t->var) : NULL; }
const void *NP_GetDataReadOnly(const NP_NeuropodTensor *t) { return t && t->var ? fst_var_data(t->var) : NULL; }

static bool text_set(np_text *text, const char *bytes, size_t len) {
  char *copy = malloc(len + 1);
  if (!copy) return false;
  if (len) memcpy(copy, bytes, len);
  copy[len] = 0;
  free(text->bytes);
  *text = (np_text){copy, len};
  return true;
}

static bool element_ok(const NP_NeuropodTensor *t, size_t index, NP_Status *status) {
  if (!t || !t->texts) np_status_set(status, "Expected a string tensor");
  else if (index >= t->count) np_status_set(status, "Element %zu was asked for, but the tensor has %zu", index, t->count);
  else np_status_set(status, NULL);
  return t && t->texts && index < t->count;
}

void NP_SetStringElement(NP_NeuropodTensor *t, size_t index, const char *item, NP_Status *status) {
  if (!element_ok(t, index, status)) return;
  if (!item) np_status_set(status, "NP_SetStringElement: item must be given");
  else if (!text_set(&t->texts[index], item, strlen(item))) np_status_set(status, "out of memory");
}

void NP_GetStringElementSize(const NP_NeuropodTensor *t, size_t index, size_t *size, NP_Status *status) {
  if (element_ok(t, index, status) && size) *size = t->texts[index].len + 1;
}

void NP_GetStringElement(const NP_NeuropodTensor *t, size_t index, char *buffer, size_t buffer_size, NP_Status *status) {
  if (!element_ok(t, index, status)) return;
  const np_text *text = &t->texts[index];
  if (!buffer || buffer_size < text->len + 1) {
    np_status_set(status, "The element takes %zu bytes, the buffer has %zu", text->len + 1, buffer ? buffer_size : 0);
    return;
  }
  if (text->len) memcpy(buffer, text->bytes, text->len);
  buffer[text->len] = 0;
}

// ---- to the model and back -------------------------------------------------------------------------

NP_NeuropodTensor *np_tensor_of(const fst_var *value) {
  if (fst_var_kind(value) == FST_VAR_TENSOR) {
    NP_NeuropodTensor *t = tensor_make(type_of_dtype(fst_var_dtype(value)), fst_var_rank(value), fst_var_sizes(value));
    if (t && !(t->var = fst_var_ref(value))) {
      NP_FreeTensor(t);
      return NULL;
    }
    return t;
  }
  int64_t count = (int64_t)fst_var_count(value);
  NP_NeuropodTensor *t = tensor_make(STRING_TENSOR, 1, &count);
  bool ok = t != NULL;
  for (size_t i = 0; ok && i < t->count; i++) {
    fst_var *item = fst_var_item(value, i);
    size_t len = 0;
    const char *bytes = item ? fst_var_as_str(item, &len) : "";
    ok = item && text_set(&t->texts[i], bytes, len);
    fst_var_free(item);
  }
  if (ok) return t;
  NP_FreeTensor(t);
  return NULL;
}

fst_failure *np_tensor_value(const NP_NeuropodTensor *t, fst_var **out) {
  if (t->type == STRING_TENSOR && t->rank != 1) return fst_failure_new(FST_FAILED_INVALID, "Only 1D TorchScript string tensors are supported");
  fst_var *list = t->texts ? fst_var_list() : fst_var_ref(t->var);
  bool ok = list != NULL;
  for (size_t i = 0; ok && t->texts && i < t->count; i++) {
    fst_var *text = fst_var_str(t->texts[i].bytes ? t->texts[i].bytes : "", t->texts[i].len);
    ok = text && fst_var_list_add(list, text);
    fst_var_free(text);
  }
  if (ok) {
    *out = list;
    return NULL;
  }
  fst_var_free(list);
  return fst_failure_new(FST_FAILED_RESOURCE, "out of memory");
}

// ---- maps ------------------------------------------------------------------------------------------

NP_NeuropodValueMap *NP_NewValueMap(void) { return calloc(1, sizeof(NP_NeuropodValueMap)); }

static void row_free(np_row *row) {
  NP_FreeTensor(row->tensor);
  free(row->name);
}

void NP_FreeValueMap(NP_NeuropodValueMap *map) {
  for (size_t i = 0; map && i < map->count; i++) row_free(&map->rows[i]);
  if (map) free(map->rows);
  free(map);
}

static np_row *row_find(const NP_NeuropodValueMap *map, const char *name) {
  for (size_t i = 0; map && name && i < map->count; i++)
    if (!strcmp(map->rows[i].name, name)) return &map->rows[i];
  return NULL;
}

bool np_map_set(NP_NeuropodValueMap *map, const char *name, NP_NeuropodTensor *tensor) {
  np_row *row = row_find(map, name);
  __atomic_add_fetch(&tensor->refs, 1, __ATOMIC_RELAXED);
  if (row) {
    NP_FreeTensor(row->tensor);
    row->tensor = tensor;
    return true;
  }
  if (map->count == map->cap) {
    size_t cap = map->cap ? 2 * map->cap : 8;
    np_row *grown = realloc(map->rows, cap * sizeof *grown);
    if (grown) map->rows = grown, map->cap = cap;
  }
  char *copy = map->count < map->cap ? strdup(name) : NULL;
  if (copy) map->rows[map->count++] = (np_row){copy, tensor};
  else NP_FreeTensor(tensor);
  return copy != NULL;
}

void NP_InsertTensor(NP_NeuropodValueMap *map, const char *name, NP_NeuropodTensor *tensor) {
  if (map && name && tensor) np_map_set(map, name, tensor);
}

NP_NeuropodTensor *NP_GetTensor(const NP_NeuropodValueMap *map, const char *name) {
  np_row *row = row_find(map, name);
  if (row) __atomic_add_fetch(&row->tensor->refs, 1, __ATOMIC_RELAXED);
  return row ? row->tensor : NULL;
}

void NP_RemoveTensor(NP_NeuropodValueMap *map, const char *name) {
  np_row *row = row_find(map, name);
  if (!row) return;
  row_free(row);
  memmove(row, row + 1, (size_t)(map->rows + map->count - row - 1) * sizeof *row);
  map->count--;
}

NP_TensorNameList *NP_GetTensorNames(const NP_NeuropodValueMap *map) {
  size_t count = map ? map->count : 0, bytes = 0, at = 0;
  for (size_t i = 0; i < count; i++) bytes += strlen(map->rows[i].name) + 1;
  NP_TensorNameList *list = malloc(sizeof *list + (count + 1) * sizeof *list->tensor_names + bytes);
  if (!list) return NULL;
  char *texts = (char *)(list->tensor_names + count + 1);
  list->num_tensors = count;
  for (size_t i = 0; i < count; i++) {
    size_t len = strlen(map->rows[i].name) + 1;
    memcpy(texts + at, map->rows[i].name, len);
    list->tensor_names[i] = texts + at;
    at += len;
  }
  return list;
}

void NP_FreeTensorNameList(NP_TensorNameList *list) { free(list); }
