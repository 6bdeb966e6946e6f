// Collecting what goes into plan.bin, and writing it. Used by code generation (constants, locations,
// messages) and the driver (methods, signatures, specs). All functions return the index the plan and
// generated code use; equal strings, locations, messages, classes, types and scalar constants share one.
// One owner; not thread-safe; out of memory aborts, as everywhere in the compiler.
#ifndef FST_BASE_PLAN_WRITE_H
#define FST_BASE_PLAN_WRITE_H

#include <stddef.h>

#include "base/map.h"
#include "base/plan.h"
#include "base/status.h"
#include "base/vec.h"

typedef struct fst_plan_tables {
  fst_strings strings;
  FST_VEC(uint32_t) words;
  FST_VEC(int64_t) ints;
  FST_VEC(fst_plan_loc) locs;
  FST_VEC(uint32_t) exceptions;
  FST_VEC(uint32_t) messages;
  FST_VEC(fst_plan_class) classes;
  FST_VEC(fst_plan_type) types;
  FST_VEC(fst_plan_storage) storages;
  FST_VEC(fst_plan_const) consts;
  FST_VEC(fst_plan_slot) slots;
  FST_VEC(fst_plan_method) methods;
  FST_VEC(fst_plan_arg) args;
  FST_VEC(fst_plan_pattern) patterns;
  FST_VEC(fst_plan_signature) signatures;
  FST_VEC(uint32_t) fallbacks;
  FST_VEC(fst_plan_spec) specs;
  FST_VEC(fst_plan_target) targets;
  FST_VEC(fst_plan_kernel) kernels;
  FST_VEC(fst_plan_image) images;
  FST_VEC(uint32_t) crcs;
  uint32_t flags;
  uint64_t weights_bytes, source_hash;
  uint32_t source, info, package;  // strings
  fst_map loc_index;
} fst_plan_tables;

fst_plan_tables *fst_plan_tables_create(void);
void fst_plan_tables_destroy(fst_plan_tables *t);  // NULL is allowed

uint32_t fst_plan_string_add(fst_plan_tables *t, const char *text, size_t len);
uint32_t fst_plan_cstring_add(fst_plan_tables *t, const char *text);
uint32_t fst_plan_loc_add(fst_plan_tables *t, const char *file, uint32_t line, uint32_t caller);
uint32_t fst_plan_exception_add(fst_plan_tables *t, const char *class_name);  // the `cls` of calls->raise
uint32_t fst_plan_message_add(fst_plan_tables *t, const char *text);          // the `text` of calls->raise_text
uint32_t fst_plan_fallback_add(fst_plan_tables *t, const char *schema);       // the `op` of calls->fallback
uint32_t fst_plan_class_find(const fst_plan_tables *t, const char *name);     // UINT32_MAX when absent
uint32_t fst_plan_class_add(fst_plan_tables *t, const char *name, fst_plan_class_kind kind, const uint32_t *name_strings, const uint32_t *value_consts, uint32_t count);
// `fields` are strings, or NULL; `name` "" where the kind has none.
uint32_t fst_plan_type_add(fst_plan_tables *t, fst_plan_type_kind kind, const char *name, const uint32_t *items, const uint32_t *fields, uint32_t count);

// Constants: the index into fst_call.consts. Containers get an identity of their own at each add.
uint32_t fst_plan_const_scalar(fst_plan_tables *t, uint32_t tag, int64_t bits);  // NONE, BOOL, INT, FLOAT (its bits), DEVICE, ENUM
uint32_t fst_plan_const_double(fst_plan_tables *t, double value);
uint32_t fst_plan_const_complex(fst_plan_tables *t, double re, double im);
uint32_t fst_plan_const_str(fst_plan_tables *t, const char *text, size_t len);
// Bytes of the weights as a storage. `add` shares it with every other of the same bytes, for what nothing writes; `new`
// makes one apart: saved state that is equal is not the same.
uint32_t fst_plan_storage_add(fst_plan_tables *t, uint64_t offset, uint64_t bytes);
uint32_t fst_plan_storage_new(fst_plan_tables *t, uint64_t offset, uint64_t bytes);
uint32_t fst_plan_const_tensor(fst_plan_tables *t, uint32_t storage, int64_t byte_offset, uint32_t dtype, uint32_t rank, const int64_t *sizes, const int64_t *strides);
uint32_t fst_plan_const_items(fst_plan_tables *t, uint32_t tag, const uint32_t *items, uint32_t count);  // LIST, TUPLE
uint32_t fst_plan_const_dict(fst_plan_tables *t, const uint32_t *keys, const uint32_t *values, uint32_t count);
uint32_t fst_plan_const_object(fst_plan_tables *t, uint32_t cls, const uint32_t *slots, uint32_t count);

uint32_t fst_plan_slot_add(fst_plan_tables *t, const char *path, uint32_t initial);

// Patterns. Dims as in base/plan.h; the slices are copied.
uint32_t fst_plan_pattern_any(fst_plan_tables *t);
uint32_t fst_plan_pattern_scalar(fst_plan_tables *t, uint32_t tag);                     // any value of this tag
uint32_t fst_plan_pattern_int(fst_plan_tables *t, int64_t number);
uint32_t fst_plan_pattern_value(fst_plan_tables *t, uint32_t tag, uint32_t constant);   // BOOL, FLOAT, STR
// `strides` NULL: row-major when `contiguous`, else any.
uint32_t fst_plan_pattern_tensor(fst_plan_tables *t, uint32_t dtype, uint32_t rank, const int64_t *sizes, const int64_t *strides, int contiguous);
uint32_t fst_plan_pattern_list(fst_plan_tables *t, uint32_t item, int64_t length);
uint32_t fst_plan_pattern_tuple(fst_plan_tables *t, const uint32_t *items, uint32_t count);
uint32_t fst_plan_pattern_object(fst_plan_tables *t, uint32_t cls, const uint32_t *items, uint32_t count);
uint32_t fst_plan_pattern_dict(fst_plan_tables *t, uint32_t key, uint32_t value);
uint32_t fst_plan_pattern_keys(fst_plan_tables *t, const uint32_t *key_consts, const uint32_t *items, uint32_t count);

// Methods are added one after the other: the method, then its arguments, then its signatures.
uint32_t fst_plan_method_add(fst_plan_tables *t, const char *name, uint32_t flags, const uint32_t *result_types, uint32_t result_count);
void fst_plan_arg_add(fst_plan_tables *t, const char *name, uint32_t type, uint32_t initial_plus_1, uint32_t flags);
// `args`: a pattern per argument; `state`: state_count pairs of slot and pattern.
void fst_plan_signature_add(fst_plan_tables *t, const uint32_t *args, const uint32_t *state, uint32_t state_count, uint32_t symbol_count, uint32_t entry, uint32_t result_count, uint64_t arena_bytes);

void fst_plan_spec_add(fst_plan_tables *t, const char *name, const char *dtype, uint32_t flags, const int64_t *dims, uint32_t rank);
// Takes the crc32c of the finished code image.
void fst_plan_target_add(fst_plan_tables *t, const char *name, const void *code, uint64_t bytes);
// One row for equal rows: the number that calls->launch takes.
uint32_t fst_plan_kernel_add(fst_plan_tables *t, const char *name, uint32_t arg_count, const uint32_t threads[3], uint32_t shared_bytes);
void fst_plan_image_add(fst_plan_tables *t, const char *name, const void *image, uint64_t bytes);
void fst_plan_weights_set(fst_plan_tables *t, const void *weights, uint64_t bytes);

// The finished file in one malloc'ed block; free() it. Fails when a table outgrows its 32-bit indices.
fst_status fst_plan_write(const fst_plan_tables *t, void **out_bytes, size_t *out_len);

#endif
