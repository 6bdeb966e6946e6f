#include "base/plan_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "base/crc32c.h"

fst_plan_tables *fst_plan_tables_create(void) {
  fst_plan_tables *t = calloc(1, sizeof *t);
  FST_ASSERT(t, "out of memory");
  fst_strings_init(&t->strings);
  fst_vec_push(&t->locs, ((fst_plan_loc){0, 0, 0}));
  return t;
}

void fst_plan_tables_destroy(fst_plan_tables *t) {
  if (!t) return;
  fst_strings_deinit(&t->strings);
  fst_map_deinit(&t->loc_index);
  fst_vec_free(&t->words);
  fst_vec_free(&t->ints);
  fst_vec_free(&t->locs);
  fst_vec_free(&t->exceptions);
  fst_vec_free(&t->messages);
  fst_vec_free(&t->classes);
  fst_vec_free(&t->types);
  fst_vec_free(&t->storages);
  fst_vec_free(&t->consts);
  fst_vec_free(&t->slots);
  fst_vec_free(&t->methods);
  fst_vec_free(&t->args);
  fst_vec_free(&t->patterns);
  fst_vec_free(&t->signatures);
  fst_vec_free(&t->fallbacks);
  fst_vec_free(&t->specs);
  fst_vec_free(&t->targets);
  fst_vec_free(&t->kernels);
  fst_vec_free(&t->images);
  fst_vec_free(&t->crcs);
  free(t);
}

uint32_t fst_plan_string_add(fst_plan_tables *t, const char *text, size_t len) {
  return fst_intern_n(&t->strings, text, len);
}

uint32_t fst_plan_cstring_add(fst_plan_tables *t, const char *text) {
  return fst_plan_string_add(t, text, strlen(text));
}

// ---- slices ----

static uint32_t words_add(fst_plan_tables *t, const uint32_t *words, uint32_t count) {
  uint32_t first = (uint32_t)t->words.len;
  for (uint32_t i = 0; i < count; i++) fst_vec_push(&t->words, words[i]);
  return first;
}

static uint32_t ints_add(fst_plan_tables *t, const int64_t *ints, uint32_t count) {
  uint32_t first = (uint32_t)t->ints.len;
  for (uint32_t i = 0; i < count; i++) fst_vec_push(&t->ints, ints[i]);
  return first;
}

static int words_equal(const fst_plan_tables *t, uint32_t first, const uint32_t *words, uint32_t count) {
  return count == 0 || memcmp(t->words.data + first, words, count * sizeof *words) == 0;
}

// ---- tables of distinct rows ----

uint32_t fst_plan_loc_add(fst_plan_tables *t, const char *file, uint32_t line, uint32_t caller) {
  fst_plan_loc loc = {fst_plan_cstring_add(t, file), line, caller};
  uint64_t key = fst_hash_bytes(&loc, sizeof loc, 0), at;
  // A collision only costs a second row.
  if (fst_map_get(&t->loc_index, key, &at) && memcmp(&t->locs.data[at], &loc, sizeof loc) == 0) return (uint32_t)at;
  fst_map_set(&t->loc_index, key, t->locs.len);
  fst_vec_push(&t->locs, loc);
  return (uint32_t)t->locs.len - 1;
}

uint32_t fst_plan_exception_add(fst_plan_tables *t, const char *class_name) {
  uint32_t text = fst_plan_cstring_add(t, class_name);
  for (size_t i = 0; i < t->exceptions.len; i++)
    if (t->exceptions.data[i] == text) return (uint32_t)i;
  fst_vec_push(&t->exceptions, text);
  return (uint32_t)t->exceptions.len - 1;
}

uint32_t fst_plan_message_add(fst_plan_tables *t, const char *message) {
  uint32_t text = fst_plan_cstring_add(t, message);
  for (size_t i = 0; i < t->messages.len; i++)
    if (t->messages.data[i] == text) return (uint32_t)i;
  fst_vec_push(&t->messages, text);
  return (uint32_t)t->messages.len - 1;
}

uint32_t fst_plan_fallback_add(fst_plan_tables *t, const char *schema) {
  uint32_t text = fst_plan_cstring_add(t, schema);
  t->flags |= FST_PLAN_FLAG_BRIDGE;
  for (size_t i = 0; i < t->fallbacks.len; i++)
    if (t->fallbacks.data[i] == text) return (uint32_t)i;
  fst_vec_push(&t->fallbacks, text);
  return (uint32_t)t->fallbacks.len - 1;
}

uint32_t fst_plan_class_find(const fst_plan_tables *t, const char *name) {
  for (size_t i = 0; i < t->classes.len; i++)
    if (strcmp(fst_sym_text(&t->strings, t->classes.data[i].name), name) == 0) return (uint32_t)i;
  return UINT32_MAX;
}

uint32_t fst_plan_class_add(fst_plan_tables *t, const char *name, fst_plan_class_kind kind, const uint32_t *name_strings, const uint32_t *value_consts, uint32_t count) {
  uint32_t found = fst_plan_class_find(t, name);
  if (found != UINT32_MAX) return found;
  fst_plan_class cls = {.name = fst_plan_cstring_add(t, name), .kind = kind, .count = count};
  cls.first = words_add(t, name_strings, count);
  if (kind == FST_PLAN_CLASS_ENUM) cls.values = words_add(t, value_consts, count);
  fst_vec_push(&t->classes, cls);
  return (uint32_t)t->classes.len - 1;
}

uint32_t fst_plan_type_add(fst_plan_tables *t, fst_plan_type_kind kind, const char *name, const uint32_t *items, const uint32_t *fields, uint32_t count) {
  fst_plan_type type = {.kind = kind, .name = fst_plan_cstring_add(t, name), .count = count};
  for (size_t i = 0; i < t->types.len; i++) {
    const fst_plan_type *o = &t->types.data[i];
    if (o->kind == type.kind && o->name == type.name && o->count == count && words_equal(t, o->first, items, count) &&
        (!fields || words_equal(t, o->fields, fields, count)))
      return (uint32_t)i;
  }
  type.first = words_add(t, items, count);
  type.fields = fields ? words_add(t, fields, count) : type.first;
  fst_vec_push(&t->types, type);
  return (uint32_t)t->types.len - 1;
}

// ---- constants ----

static uint32_t const_push(fst_plan_tables *t, fst_plan_const c) {
  fst_vec_push(&t->consts, c);
  return (uint32_t)t->consts.len - 1;
}

// Scalars and strings are immutable, so equal ones share a row.
static uint32_t const_share(fst_plan_tables *t, fst_plan_const c) {
  for (size_t i = 0; i < t->consts.len; i++)
    if (memcmp(&t->consts.data[i], &c, sizeof c) == 0) return (uint32_t)i;
  return const_push(t, c);
}

uint32_t fst_plan_const_scalar(fst_plan_tables *t, uint32_t tag, int64_t bits) {
  return const_share(t, (fst_plan_const){.tag = tag, .bits = bits});
}

uint32_t fst_plan_const_double(fst_plan_tables *t, double value) {
  int64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return fst_plan_const_scalar(t, FST_TAG_FLOAT, bits);
}

uint32_t fst_plan_const_complex(fst_plan_tables *t, double re, double im) {
  int64_t bits[2];
  memcpy(&bits[0], &re, sizeof re);
  memcpy(&bits[1], &im, sizeof im);
  return const_push(t, (fst_plan_const){.tag = FST_TAG_COMPLEX, .first = ints_add(t, bits, 2), .count = 2});
}

uint32_t fst_plan_const_str(fst_plan_tables *t, const char *text, size_t len) {
  return const_share(t, (fst_plan_const){.tag = FST_TAG_STR, .aux = fst_plan_string_add(t, text, len)});
}

uint32_t fst_plan_storage_add(fst_plan_tables *t, uint64_t offset, uint64_t bytes) {
  for (size_t i = 0; i < t->storages.len; i++)
    if (t->storages.data[i].offset == offset && t->storages.data[i].bytes == bytes && bytes) return (uint32_t)i;
  return fst_plan_storage_new(t, offset, bytes);
}

uint32_t fst_plan_storage_new(fst_plan_tables *t, uint64_t offset, uint64_t bytes) {
  fst_vec_push(&t->storages, ((fst_plan_storage){offset, bytes}));
  return (uint32_t)t->storages.len - 1;
}

uint32_t fst_plan_const_tensor(fst_plan_tables *t, uint32_t storage, int64_t byte_offset, uint32_t dtype, uint32_t rank, const int64_t *sizes, const int64_t *strides) {
  fst_plan_const c = {.tag = FST_TAG_TENSOR, .aux = storage, .bits = byte_offset, .dtype = dtype, .count = rank};
  c.first = ints_add(t, sizes, rank);
  ints_add(t, strides, rank);
  return const_push(t, c);
}

uint32_t fst_plan_const_items(fst_plan_tables *t, uint32_t tag, const uint32_t *items, uint32_t count) {
  return const_push(t, (fst_plan_const){.tag = tag, .first = words_add(t, items, count), .count = count});
}

uint32_t fst_plan_const_dict(fst_plan_tables *t, const uint32_t *keys, const uint32_t *values, uint32_t count) {
  fst_plan_const c = {.tag = FST_TAG_DICT, .count = count};
  c.first = words_add(t, keys, count);
  words_add(t, values, count);
  return const_push(t, c);
}

uint32_t fst_plan_const_object(fst_plan_tables *t, uint32_t cls, const uint32_t *slots, uint32_t count) {
  return const_push(t, (fst_plan_const){.tag = FST_TAG_OBJECT, .aux = cls, .first = words_add(t, slots, count), .count = count});
}

uint32_t fst_plan_slot_add(fst_plan_tables *t, const char *path, uint32_t initial) {
  fst_vec_push(&t->slots, ((fst_plan_slot){fst_plan_cstring_add(t, path), initial}));
  return (uint32_t)t->slots.len - 1;
}

// ---- patterns ----

static uint32_t pattern_push(fst_plan_tables *t, fst_plan_pattern p) {
  fst_vec_push(&t->patterns, p);
  return (uint32_t)t->patterns.len - 1;
}

uint32_t fst_plan_pattern_scalar(fst_plan_tables *t, uint32_t tag) {
  return pattern_push(t, (fst_plan_pattern){.tag = tag, .number = FST_PLAN_DIM_ANY});
}

uint32_t fst_plan_pattern_any(fst_plan_tables *t) {
  return fst_plan_pattern_scalar(t, FST_PLAN_ANY);
}

uint32_t fst_plan_pattern_int(fst_plan_tables *t, int64_t number) {
  return pattern_push(t, (fst_plan_pattern){.tag = FST_TAG_INT, .number = number});
}

uint32_t fst_plan_pattern_value(fst_plan_tables *t, uint32_t tag, uint32_t constant) {
  return pattern_push(t, (fst_plan_pattern){.tag = tag, .flags = FST_PLAN_PAT_VALUE, .aux = constant, .number = FST_PLAN_DIM_ANY});
}

uint32_t fst_plan_pattern_tensor(fst_plan_tables *t, uint32_t dtype, uint32_t rank, const int64_t *sizes, const int64_t *strides, int contiguous) {
  fst_plan_pattern p = {.tag = FST_TAG_TENSOR, .dtype = (uint8_t)dtype, .rank = (uint8_t)rank, .number = FST_PLAN_DIM_ANY};
  uint32_t dims = rank == FST_PLAN_RANK_ANY ? 0 : rank;
  p.first = ints_add(t, sizes, dims);
  p.count = dims;
  if (strides) {
    ints_add(t, strides, dims);
    p.flags = FST_PLAN_PAT_STRIDED;
  } else if (contiguous) {
    p.flags = FST_PLAN_PAT_CONTIGUOUS;
  }
  return pattern_push(t, p);
}

static uint32_t pattern_items(fst_plan_tables *t, uint32_t tag, uint32_t aux, const uint32_t *items, uint32_t count) {
  return pattern_push(t, (fst_plan_pattern){.tag = tag, .aux = aux, .first = words_add(t, items, count), .count = count, .number = FST_PLAN_DIM_ANY});
}

uint32_t fst_plan_pattern_list(fst_plan_tables *t, uint32_t item, int64_t length) {
  uint32_t p = pattern_items(t, FST_TAG_LIST, 0, &item, 1);
  t->patterns.data[p].number = length;
  return p;
}

uint32_t fst_plan_pattern_tuple(fst_plan_tables *t, const uint32_t *items, uint32_t count) {
  return pattern_items(t, FST_TAG_TUPLE, 0, items, count);
}

uint32_t fst_plan_pattern_object(fst_plan_tables *t, uint32_t cls, const uint32_t *items, uint32_t count) {
  return pattern_items(t, FST_TAG_OBJECT, cls, items, count);
}

uint32_t fst_plan_pattern_dict(fst_plan_tables *t, uint32_t key, uint32_t value) {
  return pattern_items(t, FST_TAG_DICT, 0, (uint32_t[]){key, value}, 2);
}

uint32_t fst_plan_pattern_keys(fst_plan_tables *t, const uint32_t *key_consts, const uint32_t *items, uint32_t count) {
  uint32_t p = pattern_items(t, FST_TAG_DICT, 0, key_consts, count);
  words_add(t, items, count);
  t->patterns.data[p].flags = FST_PLAN_PAT_KEYS;
  return p;
}

// ---- methods ----

uint32_t fst_plan_method_add(fst_plan_tables *t, const char *name, uint32_t flags, const uint32_t *result_types, uint32_t result_count) {
  fst_plan_method m = {.name = fst_plan_cstring_add(t, name), .flags = flags, .result_count = result_count};
  m.results = words_add(t, result_types, result_count);
  m.args = (uint32_t)t->args.len;
  m.signatures = (uint32_t)t->signatures.len;
  fst_vec_push(&t->methods, m);
  return (uint32_t)t->methods.len - 1;
}

void fst_plan_arg_add(fst_plan_tables *t, const char *name, uint32_t type, uint32_t initial_plus_1, uint32_t flags) {
  fst_plan_arg arg = {fst_plan_cstring_add(t, name), type, initial_plus_1, flags};
  fst_vec_push(&t->args, arg);
  fst_vec_last(&t->methods).arg_count++;
}

void fst_plan_signature_add(fst_plan_tables *t, const uint32_t *args, const uint32_t *state, uint32_t state_count, uint32_t symbol_count, uint32_t entry, uint32_t result_count, uint64_t arena_bytes) {
  fst_plan_method *m = &fst_vec_last(&t->methods);
  fst_plan_signature s = {.state_count = state_count, .symbol_count = symbol_count, .entry = entry, .result_count = result_count, .arena_bytes = arena_bytes};
  s.args = words_add(t, args, m->arg_count);
  s.state = words_add(t, state, 2 * state_count);
  fst_vec_push(&t->signatures, s);
  m->signature_count++;
}

void fst_plan_spec_add(fst_plan_tables *t, const char *name, const char *dtype, uint32_t flags, const int64_t *dims, uint32_t rank) {
  fst_plan_spec spec = {fst_plan_cstring_add(t, name), fst_plan_cstring_add(t, dtype), flags, ints_add(t, dims, rank), rank};
  fst_vec_push(&t->specs, spec);
}

void fst_plan_target_add(fst_plan_tables *t, const char *name, const void *code, uint64_t bytes) {
  fst_plan_target target = {fst_plan_cstring_add(t, name), fst_crc32c(0, code, bytes), bytes};
  fst_vec_push(&t->targets, target);
}

uint32_t fst_plan_kernel_add(fst_plan_tables *t, const char *name, uint32_t arg_count, const uint32_t threads[3], uint32_t shared_bytes) {
  fst_plan_kernel kernel = {fst_plan_cstring_add(t, name), arg_count, {threads[0], threads[1], threads[2]}, shared_bytes};
  for (uint32_t i = 0; i < t->kernels.len; i++)
    if (!memcmp(&t->kernels.data[i], &kernel, sizeof kernel)) return i;
  fst_vec_push(&t->kernels, kernel);
  return (uint32_t)t->kernels.len - 1;
}

void fst_plan_image_add(fst_plan_tables *t, const char *name, const void *image, uint64_t bytes) {
  fst_plan_image row = {fst_plan_cstring_add(t, name), fst_crc32c(0, image, bytes), bytes};
  fst_vec_push(&t->images, row);
}

void fst_plan_weights_set(fst_plan_tables *t, const void *weights, uint64_t bytes) {
  t->weights_bytes = bytes;
  fst_vec_clear(&t->crcs);
  for (uint64_t at = 0; at < bytes; at += FST_PLAN_CRC_BLOCK) {
    uint64_t len = bytes - at < FST_PLAN_CRC_BLOCK ? bytes - at : FST_PLAN_CRC_BLOCK;
    fst_vec_push(&t->crcs, fst_crc32c(0, (const char *)weights + at, len));
  }
}

// ---- the file ----

typedef struct section_source { const void *data; size_t count, size; } section_source;

static uint8_t *strings_pack(const fst_plan_tables *t, fst_plan_string *out, size_t *out_len) {
  size_t total = 0;
  for (size_t i = 0; i < t->strings.len; i++) total += t->strings.items[i].len + 1;
  uint8_t *bytes = calloc(total + 1, 1);
  FST_ASSERT(bytes, "out of memory");
  size_t at = 0;
  for (size_t i = 0; i < t->strings.len; i++) {
    size_t len = t->strings.items[i].len;
    if (len) memcpy(bytes + at, t->strings.items[i].text, len);
    out[i] = (fst_plan_string){(uint32_t)at, (uint32_t)len};
    at += len + 1;
  }
  *out_len = total;
  return bytes;
}

static fst_status sections_write(const fst_plan_tables *t, const section_source *sections, void **out_bytes, size_t *out_len) {
  fst_plan_header h = {
    .magic = FST_PLAN_MAGIC, .version = FST_PLAN_VERSION, .abi_version = FST_ABI_VERSION, .flags = t->flags,
    .weights_bytes = t->weights_bytes, .source_hash = t->source_hash, .source = t->source, .info = t->info, .package = t->package,
  };
  uint64_t end = sizeof h;
  for (int s = 0; s < FST_PLAN_SECTION_COUNT; s++) {
    end = (end + 7) & ~(uint64_t)7;
    if (end + (uint64_t)sections[s].count * sections[s].size > UINT32_MAX)
      return FST_FAIL(FST_ERR_UNSUPPORTED, "the plan would be larger than 4 GB");
    h.sections[s].offset = (uint32_t)end;
    h.sections[s].count = (uint32_t)sections[s].count;
    end += sections[s].count * sections[s].size;
  }
  h.bytes = end;
  char *file = calloc(end, 1);
  FST_ASSERT(file, "out of memory");
  memcpy(file, &h, sizeof h);
  for (int s = 0; s < FST_PLAN_SECTION_COUNT; s++)
    if (sections[s].count) memcpy(file + h.sections[s].offset, sections[s].data, sections[s].count * sections[s].size);
  size_t covered = offsetof(fst_plan_header, bytes);
  h.crc = fst_crc32c(0, file + covered, end - covered);
  memcpy(file, &h, sizeof h);
  *out_bytes = file;
  *out_len = end;
  return NULL;
}

fst_status fst_plan_write(const fst_plan_tables *t, void **out_bytes, size_t *out_len) {
  fst_plan_string *strings = calloc(t->strings.len + 1, sizeof *strings);
  FST_ASSERT(strings, "out of memory");
  size_t bytes_len;
  uint8_t *bytes = strings_pack(t, strings, &bytes_len);
  section_source sections[FST_PLAN_SECTION_COUNT] = {
    [FST_PLAN_BYTES] = {bytes, bytes_len, 1},
    [FST_PLAN_STRINGS] = {strings, t->strings.len, sizeof *strings},
#define VEC(id, field) [FST_PLAN_##id] = {t->field.data, t->field.len, sizeof *t->field.data}
    VEC(WORDS, words), VEC(INTS, ints), VEC(LOCS, locs), VEC(EXCEPTIONS, exceptions), VEC(MESSAGES, messages),
    VEC(CLASSES, classes), VEC(TYPES, types), VEC(STORAGES, storages), VEC(CONSTS, consts), VEC(SLOTS, slots),
    VEC(METHODS, methods), VEC(ARGS, args), VEC(PATTERNS, patterns), VEC(SIGNATURES, signatures),
    VEC(FALLBACKS, fallbacks), VEC(SPECS, specs), VEC(TARGETS, targets), VEC(KERNELS, kernels), VEC(IMAGES, images), VEC(CRCS, crcs),
#undef VEC
  };
  fst_status status = sections_write(t, sections, out_bytes, out_len);
  free(bytes);
  free(strings);
  return status;
}
