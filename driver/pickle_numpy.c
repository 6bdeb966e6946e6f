// How NumPy pickles: `_reconstruct` makes an empty array that `__setstate__` fills, `scalar` and `_frombuffer` (protocol 5) make
// one at once; a dtype is made of its letter and width, and its `__setstate__` brings the byte order. Both modules'
// names, before and after NumPy 2, are known.
#include <stdlib.h>
#include <string.h>

#include "driver/pickle_internal.h"

typedef fst_pickle_value value;

static fst_status wrong(const char *what) { return FST_FAIL(FST_ERR_CORRUPT, "the pickle is damaged: numpy's %s is made otherwise", what); }

static bool is_text(const value *v) { return v->kind == FST_PICKLE_STR || v->kind == FST_PICKLE_BYTES; }

// ---- dtypes ----------------------------------------------------------------------------------------

static fst_status dtype_call(fst_arena *arena, const value *args, value **out) {
  if (!args->count || !is_text(args->items[0]) || !args->items[0]->len) return wrong("dtype");
  const char *text = args->items[0]->bytes;
  value *v = fst_pickle_make(arena, FST_PICKLE_DTYPE);
  v->order = '|';
  if (strchr("<>|=", *text)) v->order = *text++;
  if (v->order == '=') v->order = '<';
  if (!*text || !strchr("fiubUSO", *text)) return FST_FAIL(FST_ERR_UNSUPPORTED, "the pickle holds an array of dtype '%s'; numbers, bools and texts can be read", args->items[0]->bytes);
  v->type = *text;
  char *end;
  long width = strtol(text + 1, &end, 10);
  if (*end || width < 0 || width > 1 << 28) return wrong("dtype");
  v->width = v->type == 'U' ? 4 * width : v->type == 'O' ? 8 : width;
  static const char numbers[] = "fiub";
  bool is_number = strchr(numbers, v->type) != NULL;
  if (is_number && width != 1 && width != 2 && width != 4 && width != 8) return FST_FAIL(FST_ERR_UNSUPPORTED, "the pickle holds an array of dtype '%s'", args->items[0]->bytes);
  *out = v;
  return NULL;
}

// (version, byte order, subarray, names, fields, width, alignment, flags); -1: the type's own.
static fst_status dtype_build(value *dtype, const value *state) {
  if (state->kind != FST_PICKLE_TUPLE || state->count < 6 || !is_text(state->items[1]) || state->items[1]->len != 1) return wrong("dtype");
  char order = state->items[1]->bytes[0];
  if (!strchr("<>|=", order)) return wrong("dtype");
  for (int i = 2; i < 5; i++)
    if (state->items[i]->kind != FST_PICKLE_NONE) return FST_FAIL(FST_ERR_UNSUPPORTED, "the pickle holds an array of records");
  dtype->order = order == '=' ? '<' : order;
  int64_t width = state->items[5]->kind == FST_PICKLE_INT ? state->items[5]->i : -1;
  if (width >= 0 && (dtype->type == 'U' || dtype->type == 'S')) {
    if (width > 1 << 30 || (dtype->type == 'U' && width % 4)) return wrong("dtype");
    dtype->width = width;
  }
  return NULL;
}

// ---- arrays ----------------------------------------------------------------------------------------

static fst_status shape_read(fst_arena *arena, const value *shape, value *array, int64_t *out_count) {
  bool is_scalar = shape->kind == FST_PICKLE_INT;
  if (!is_scalar && (shape->kind != FST_PICKLE_TUPLE || shape->count > FST_PICKLE_RANK_MAX)) return wrong("shape");
  array->rank = is_scalar ? 1 : (int)shape->count;
  array->sizes = FST_NEW_ARRAY(arena, int64_t, array->rank + 1);
  *out_count = 1;
  for (int d = 0; d < array->rank; d++) {
    const value *size = is_scalar ? shape : shape->items[d];
    if (size->kind != FST_PICKLE_INT || size->i < 0 || __builtin_mul_overflow(*out_count, size->i, out_count)) return wrong("shape");
    array->sizes[d] = size->i;
  }
  return NULL;
}

// Python 2 wrote text where Python 3 reads bytes: a code point is a byte.
static fst_status bytes_of(fst_arena *arena, const value *text, const char **out, size_t *out_len) {
  *out = text->bytes;
  *out_len = text->len;
  if (text->kind == FST_PICKLE_BYTES) return NULL;
  if (text->kind != FST_PICKLE_STR) return wrong("data");
  char *bytes = fst_arena_alloc(arena, text->len + 1);
  size_t len = 0;
  for (size_t i = 0; i < text->len; i++) {
    unsigned char c = (unsigned char)text->bytes[i];
    if (c >= 0x80) {
      if ((c & 0xfc) != 0xc0 || ++i == text->len) return wrong("data");
      c = (unsigned char)(c << 6 | ((unsigned char)text->bytes[i] & 0x3f));
    }
    bytes[len++] = (char)c;
  }
  bytes[len] = 0;
  *out = bytes;
  *out_len = len;
  return NULL;
}

static fst_status array_fill(fst_arena *arena, value *array, const value *shape, const value *dtype, const value *data) {
  int64_t count, bytes;
  if (dtype->kind != FST_PICKLE_DTYPE) return wrong("array");
  FST_TRY(shape_read(arena, shape, array, &count));
  if (dtype->type == 'O') {
    if (data->kind != FST_PICKLE_LIST || data->count != (uint64_t)count) return wrong("array");
    array->items = data->items;
    array->count = data->count;
  } else {
    FST_TRY(bytes_of(arena, data, &array->bytes, &array->len));
    if (__builtin_mul_overflow(count, dtype->width, &bytes) || (uint64_t)bytes != array->len) return wrong("array");
  }
  value *own = fst_pickle_make(arena, FST_PICKLE_DTYPE);  // a dtype may be built further after the array is made
  own->type = dtype->type;
  own->order = dtype->order;
  own->width = dtype->width;
  array->dtype = own;
  return NULL;
}

static fst_status reconstruct_call(fst_arena *arena, const value *args, value **out) {
  if (args->count != 3 || args->items[0]->kind != FST_PICKLE_GLOBAL || strcmp(args->items[0]->bytes, "numpy ndarray") != 0) return wrong("array");
  *out = fst_pickle_make(arena, FST_PICKLE_ARRAY);
  return NULL;
}

// (version, shape, dtype, is Fortran, data)
static fst_status array_build(fst_arena *arena, value *array, const value *state) {
  if (state->kind != FST_PICKLE_TUPLE || state->count != 5 || array->dtype) return wrong("array");
  const value *order = state->items[3];
  if (order->kind != FST_PICKLE_BOOL && order->kind != FST_PICKLE_INT) return wrong("array");
  array->is_fortran = order->i != 0;
  return array_fill(arena, array, state->items[1], state->items[2], state->items[4]);
}

static fst_status frombuffer_call(fst_arena *arena, const value *args, value **out) {
  if (args->count != 4 || !is_text(args->items[3]) || args->items[3]->len != 1) return wrong("array");
  value *v = fst_pickle_make(arena, FST_PICKLE_ARRAY);
  v->is_fortran = args->items[3]->bytes[0] == 'F';
  *out = v;
  return array_fill(arena, v, args->items[2], args->items[1], args->items[0]);
}

static fst_status scalar_call(fst_arena *arena, const value *args, value **out) {
  if (args->count != 2) return wrong("scalar");
  value *none = fst_pickle_make(arena, FST_PICKLE_TUPLE);
  *out = fst_pickle_make(arena, FST_PICKLE_ARRAY);
  return array_fill(arena, *out, none, args->items[0], args->items[1]);
}

// ---- what else data needs --------------------------------------------------------------------------

// encode(text, "latin1"): how protocols 0 to 2 write bytes.
static fst_status encode_call(fst_arena *arena, const value *args, value **out) {
  if (args->count != 2 || args->items[0]->kind != FST_PICKLE_STR || !is_text(args->items[1]) || strcmp(args->items[1]->bytes, "latin1") != 0) return wrong("bytes");
  value *v = fst_pickle_make(arena, FST_PICKLE_BYTES);
  *out = v;
  return bytes_of(arena, args->items[0], &v->bytes, &v->len);
}

// bytes() or bytearray(bytes).
static fst_status bytes_call(fst_arena *arena, const value *args, value **out) {
  value *v = fst_pickle_make(arena, FST_PICKLE_BYTES);
  v->bytes = "";
  *out = v;
  if (!args->count) return NULL;
  return bytes_of(arena, args->items[0], &v->bytes, &v->len);
}

static fst_status dict_call(fst_arena *arena, const value *args, value **out) {
  value *v = fst_pickle_make(arena, FST_PICKLE_DICT);
  *out = v;
  if (!args->count) return NULL;
  const value *pairs = args->items[0];  // Python 2 passes a list of pairs
  if (pairs->kind != FST_PICKLE_LIST) return wrong("dict");
  v->items = FST_NEW_ARRAY(arena, value *, 2 * pairs->count + 1);
  v->count = v->cap = 2 * pairs->count;
  for (size_t i = 0; i < pairs->count; i++) {
    const value *pair = pairs->items[i];
    if ((pair->kind != FST_PICKLE_LIST && pair->kind != FST_PICKLE_TUPLE) || pair->count != 2) return wrong("dict");
    memcpy(v->items + 2 * i, pair->items, 2 * sizeof *v->items);
  }
  return NULL;
}

fst_pickle_call_fn fst_pickle_call_find(const char *name) {
  static const struct { const char *name; fst_pickle_call_fn call; } calls[] = {
    {"numpy dtype", dtype_call},
    {"numpy.core.multiarray _reconstruct", reconstruct_call}, {"numpy._core.multiarray _reconstruct", reconstruct_call},
    {"numpy.core.multiarray scalar", scalar_call},            {"numpy._core.multiarray scalar", scalar_call},
    {"numpy.core.numeric _frombuffer", frombuffer_call},      {"numpy._core.numeric _frombuffer", frombuffer_call},
    {"_codecs encode", encode_call},
    {"__builtin__ bytes", bytes_call}, {"builtins bytes", bytes_call}, {"__builtin__ bytearray", bytes_call}, {"builtins bytearray", bytes_call},
    {"collections OrderedDict", dict_call},
  };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (!strcmp(name, calls[i].name)) return calls[i].call;
  return NULL;
}

fst_status fst_pickle_build(fst_arena *arena, value *object, const value *state) {
  if (object->kind == FST_PICKLE_DTYPE) return dtype_build(object, state);
  if (object->kind == FST_PICKLE_ARRAY) return array_build(arena, object, state);
  return wrong("object");
}
