// One kernel, one function: its signature, its packed constants, and sharing between equal kernels.
#include "codegen/llvm/emit.h"

#include <stdlib.h>
#include <string.h>

#include "codegen/contract/contract.h"
#include "codegen/key.h"

// What stays known about an emitted function, for kernels that turn out equal to it.
struct fst_llvm_emitted {
  LLVMValueRef function, constants;
  uint64_t scratch_bytes;
  uint32_t pack_count;
  const fst_pack *packs;
  // Per buffer: size of its packed forms (0: passed as it is), and size of the constant itself, which follows
  // them where something still reads it unpacked.
  uint64_t *packed_bytes, *raw_bytes;
};

LLVMTypeRef fst_llvm_kernel_type(const fst_llvm_kernel *kernel) { return LLVMGlobalGetValueType(fst_llvm_kernel_function(kernel)); }

uint32_t fst_llvm_unit_kernels(const fst_llvm_unit *unit) { return (uint32_t)unit->kernels.len; }

// ---- sharing ----

static struct fst_llvm_emitted *kernel_find(fst_llvm_unit *unit, uint64_t hash, const fst_text *key) {
  for (size_t i = 0; i < unit->kernels.len; i++) {
    const fst_llvm_cached *cached = &unit->kernels.data[i];
    if (cached->hash == hash && cached->key_len == key->len && !memcmp(cached->key, key->data, key->len)) return cached->emitted;
  }
  return NULL;
}

// ---- the function ----

static char *symbol_name(fst_llvm_unit *unit, const fst_kernel *k) {
  char *name = fst_arena_printf(&unit->arena, "kernel.%u.%s", unit->next_number++, k->name ? k->name : "");
  for (char *c = name; *c; c++)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_')) *c = '.';
  return name;
}

// Written buffers that nothing reads are distinct from all others (the caller promises it), so loads may
// move across their stores.
static void mark_buffer(fst_llvm_unit *unit, LLVMValueRef function, uint32_t index, const fst_kbuf *buffer) {
  if (buffer->is_written && !buffer->is_read) fst_llvm_attribute_add(unit, function, index + 1, "noalias", 0);
  if (!buffer->is_written) fst_llvm_attribute_add(unit, function, index + 1, "readonly", 0);
  fst_llvm_attribute_add(unit, function, index + 1, "nocapture", 0);
}

static LLVMValueRef kernel_function_add(fst_llvm_unit *unit, const fst_kernel *k, bool has_scratch) {
  uint32_t buffers = (uint32_t)k->buffers.len, params = (uint32_t)k->params.len;
  LLVMTypeRef *types = FST_NEW_ARRAY(&unit->arena, LLVMTypeRef, buffers + params + 1);
  for (uint32_t i = 0; i < buffers; i++) types[i] = unit->ptr;
  for (uint32_t i = 0; i < params; i++) types[buffers + i] = fst_llvm_value_type(unit, k->params.data[i]);
  types[buffers + params] = unit->ptr;
  LLVMValueRef function = fst_llvm_function_add(unit, symbol_name(unit, k), LLVMFunctionType(unit->void_type, types, buffers + params + has_scratch, 0));
  if (has_scratch) fst_llvm_attribute_add(unit, function, buffers + params + 1, "noalias", 0);
  for (uint32_t i = 0; i < buffers; i++) mark_buffer(unit, function, i, &k->buffers.data[i]);
  fst_llvm_attribute_add_text(unit, function, "no-trapping-math", "true");
  return function;
}

// Where a constant's own bytes lie behind its packed forms is known at the end only; until then the distance
// is an instruction that stands for it.
static void constant_prologue(fst_emit *e, uint32_t buffer) {
  if (!e->constants || !e->constants[buffer]) return;
  LLVMValueRef unknown = LLVMBuildFreeze(e->b, LLVMGetUndef(e->unit->i64), "raw");
  e->raw_distance[buffer] = unknown;
  e->packed[buffer] = e->buffers[buffer];
  e->buffers[buffer] = LLVMBuildGEP2(e->b, e->unit->i8, e->buffers[buffer], &unknown, 1, "");
}

static void emit_prologue(fst_emit *e, bool has_scratch) {
  const fst_kernel *k = e->kernel;
  uint32_t buffers = (uint32_t)k->buffers.len, params = (uint32_t)k->params.len;
  e->buffers = FST_NEW_ARRAY(e->arena, LLVMValueRef, buffers + 1);
  e->packed = FST_NEW_ARRAY(e->arena, LLVMValueRef, buffers + 1);
  e->raw_distance = FST_NEW_ARRAY(e->arena, LLVMValueRef, buffers + 1);
  e->packed_bytes = FST_NEW_ARRAY(e->arena, uint64_t, buffers + 1);
  e->params = FST_NEW_ARRAY(e->arena, LLVMValueRef, params + 1);
  for (uint32_t i = 0; i < buffers; i++) e->buffers[i] = LLVMGetParam(e->function, i);
  for (uint32_t i = 0; i < params; i++) e->params[i] = LLVMGetParam(e->function, buffers + i);
  LLVMBasicBlockRef entry = fst_emit_block(e, "entry"), body = fst_emit_block(e, "body");
  LLVMPositionBuilderAtEnd(e->b, entry);
  for (uint32_t i = 0; i < buffers; i++) constant_prologue(e, i);
  e->scratch = has_scratch ? LLVMGetParam(e->function, buffers + params) : LLVMGetPoison(e->unit->ptr);
  LLVMBuildBr(e->b, body);
  LLVMPositionBuilderAtEnd(e->b, body);
}

static uint64_t constant_bytes(const fst_emit *e, uint32_t buffer) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  int64_t count = (int64_t)fst_dtype_size(data->dtype), size;
  for (uint32_t d = 0; d < data->rank; d++) count *= fst_emit_const(e, data->sizes[d], &size) ? size : 0;
  return (uint64_t)count;
}

static void emit_epilogue(fst_emit *e, struct fst_llvm_emitted *out) {
  uint32_t buffers = (uint32_t)e->kernel->buffers.len;
  fst_arena *arena = &e->unit->arena;
  out->function = e->function;
  out->scratch_bytes = e->scratch_bytes;
  out->pack_count = (uint32_t)e->packs.len;
  out->packs = fst_arena_memdup(arena, e->packs.data, e->packs.len * sizeof *e->packs.data);
  out->packed_bytes = fst_arena_memdup(arena, e->packed_bytes, (buffers + 1) * sizeof *e->packed_bytes);
  out->raw_bytes = FST_NEW_ARRAY(arena, uint64_t, buffers + 1);
  for (uint32_t i = 0; i < buffers; i++) {
    if (!e->raw_distance[i]) continue;
    bool reads_raw = LLVMGetFirstUse(e->buffers[i]) != NULL;
    if (out->packed_bytes[i] && reads_raw) out->raw_bytes[i] = constant_bytes(e, i);
    LLVMReplaceAllUsesWith(e->raw_distance[i], fst_emit_int(e, (int64_t)out->packed_bytes[i]));
    LLVMInstructionEraseFromParent(e->raw_distance[i]);
  }
}

static void emit_body(fst_emit *e, bool has_scratch) {
  e->function = kernel_function_add(e->unit, e->kernel, has_scratch);
  emit_prologue(e, has_scratch);
  for (size_t i = 0; i < e->kernel->stmts.len; i++) fst_emit_statement(e, &e->kernel->stmts.data[i]);
  LLVMBuildRetVoid(e->b);
}

static void emit_once(fst_llvm_unit *unit, const fst_kernel *k, const void *const *constants, bool has_scratch, struct fst_llvm_emitted *out) {
  fst_arena arena;
  fst_arena_init(&arena);
  fst_emit e = {.unit = unit, .kernel = k, .b = unit->builder, .arena = &arena, .constants = constants};
  fst_emit_analyse(&e);
  emit_body(&e, has_scratch);
  fst_emit_constants_finish(&e);
  out->constants = e.far_table;
  emit_epilogue(&e, out);
  fst_vec_free(&e.far_bits);
  fst_vec_free(&e.trail);
  fst_vec_free(&e.packs);
  fst_arena_deinit(&arena);
}

// Whether a kernel wants scratch memory shows while it is emitted; one that does is emitted again with the
// argument for it.
static void kernel_emit_new(fst_llvm_unit *unit, const fst_kernel *k, const void *const *constants, struct fst_llvm_emitted *out) {
  LLVMBasicBlockRef here = LLVMGetInsertBlock(unit->builder);
  emit_once(unit, k, constants, false, out);
  if (out->scratch_bytes) {
    LLVMDeleteFunction(out->function);
    if (out->constants) LLVMDeleteGlobal(out->constants);
    emit_once(unit, k, constants, true, out);
  }
  if (here) LLVMPositionBuilderAtEnd(unit->builder, here);
}

// ---- constants ----

static uint64_t constants_add(const struct fst_llvm_emitted *emitted, uint32_t buffer, const void *constant, fst_blob *blob) {
  uint64_t bytes = emitted->packed_bytes[buffer] + emitted->raw_bytes[buffer];
  char *packed = calloc(1, bytes);
  FST_ASSERT(packed, "out of memory for %llu bytes of packed weights", (unsigned long long)bytes);
  for (uint32_t i = 0; i < emitted->pack_count; i++)
    if (emitted->packs[i].buffer == buffer) fst_pack_run(&emitted->packs[i], constant, packed + emitted->packs[i].offset);
  memcpy(packed + emitted->packed_bytes[buffer], constant, emitted->raw_bytes[buffer]);
  uint64_t offset = fst_blob_add(blob, packed, bytes);
  free(packed);
  return offset;
}

static fst_llvm_kernel *result_add(fst_llvm_unit *unit, const struct fst_llvm_emitted *emitted, uint32_t buffers, const void *const *constants, fst_blob *blob) {
  fst_llvm_kernel *kernel = FST_NEW(&unit->arena, fst_llvm_kernel);
  kernel->function = emitted->function;
  kernel->scratch_bytes = emitted->scratch_bytes;
  for (uint32_t i = 0; i < buffers; i++) {
    int64_t offset = emitted->packed_bytes[i] ? (int64_t)constants_add(emitted, i, constants[i], blob) : -1;
    fst_vec_push(&kernel->constant_offset, offset);
    if (offset >= 0) kernel->constant_bytes += emitted->packed_bytes[i] + emitted->raw_bytes[i];
  }
  fst_vec_push(&unit->results, kernel);
  return kernel;
}

fst_status fst_llvm_kernel_emit(fst_llvm_unit *unit, const fst_kernel *kernel, const void *const *constants, fst_blob *blob, const fst_llvm_kernel **out) {
  FST_ASSERT(!unit->finished, "the module is finished");
  FST_TRY(fst_kernel_check_dtypes(kernel));
  fst_text key = {0};
  fst_kernel_key(kernel, constants, &key);
  uint64_t hash = fst_hash_bytes(key.data, key.len, 0);
  struct fst_llvm_emitted *emitted = kernel_find(unit, hash, &key);
  if (!emitted) {
    emitted = FST_NEW(&unit->arena, struct fst_llvm_emitted);
    kernel_emit_new(unit, kernel, constants, emitted);
    fst_llvm_cached cached = {hash, fst_arena_memdup(&unit->arena, key.data, key.len), key.len, emitted};
    fst_vec_push(&unit->kernels, cached);
  }
  fst_text_deinit(&key);
  *out = result_add(unit, emitted, (uint32_t)kernel->buffers.len, constants, blob);
  return NULL;
}
