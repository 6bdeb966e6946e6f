// Runs one kernel twice, interpreted and as native code, and compares every written byte. Shared by the
// tests of native code.
#ifndef FST_TESTS_KERNEL_RUNNER_H
#define FST_TESTS_KERNEL_RUNNER_H

#include "kernel_maker.h"

#include "base/abi.h"
#include "codegen/llvm/unit_internal.h"

// Native code of one kernel: image, and `void entry(void **buffers, const uint64_t *params, void *scratch)`.
typedef struct runner_code {
  fst_llvm_unit *unit;
  fst_blob *blob;
  const fst_llvm_kernel *kernel;
  char *image;
  size_t image_bytes;
  void (*entry)(void **buffers, const uint64_t *params, void *scratch);
} runner_code;

static inline void runner_trampoline(fst_llvm_unit *u, const fst_kernel *k, const fst_llvm_kernel *kernel) {
  LLVMTypeRef params[] = {u->ptr, u->ptr, u->ptr};
  LLVMValueRef entry = fst_llvm_function_add(u, "entry", LLVMFunctionType(u->void_type, params, 3, 0));
  LLVMSetLinkage(entry, LLVMExternalLinkage);
  LLVMSetVisibility(entry, LLVMHiddenVisibility);
  LLVMPositionBuilderAtEnd(u->builder, LLVMAppendBasicBlockInContext(u->context, entry, "entry"));
  LLVMValueRef args[64];
  unsigned count = 0;
  for (size_t i = 0; i < k->buffers.len; i++) {
    LLVMValueRef at = LLVMConstInt(u->i64, i, 0);
    args[count++] = LLVMBuildLoad2(u->builder, u->ptr, LLVMBuildGEP2(u->builder, u->ptr, LLVMGetParam(entry, 0), &at, 1, ""), "");
  }
  for (size_t i = 0; i < k->params.len; i++) {
    LLVMValueRef at = LLVMConstInt(u->i64, i, 0), slot = LLVMBuildGEP2(u->builder, u->i64, LLVMGetParam(entry, 1), &at, 1, "");
    args[count++] = LLVMBuildLoad2(u->builder, fst_llvm_value_type(u, k->params.data[i]), slot, "");
  }
  if (kernel->scratch_bytes) args[count++] = LLVMGetParam(entry, 2);
  LLVMBuildCall2(u->builder, fst_llvm_kernel_type(kernel), fst_llvm_kernel_function(kernel), args, count, "");
  LLVMBuildRetVoid(u->builder);
}

static inline void runner_map(runner_code *code) {
  void *object = NULL, *image = NULL;
  size_t object_len = 0, image_len = 0;
  const char *names[] = {"entry"};
  runner_check(fst_llvm_unit_object(code->unit, &object, &object_len));
  runner_check(fst_link_image(object, object_len, names, 1, &image, &image_len));
  code->image_bytes = (image_len + RUNNER_PAGE - 1) / RUNNER_PAGE * RUNNER_PAGE;
  code->image = mmap(NULL, code->image_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(code->image != MAP_FAILED);
  memcpy(code->image, image, image_len);
  assert_int_equal(mprotect(code->image, code->image_bytes, PROT_READ | PROT_EXEC), 0);
  void *at = code->image + ((fst_code_header *)(void *)code->image)->entries[0];
  memcpy(&code->entry, &at, sizeof at);
  free(object);
  free(image);
}

static inline void runner_compile(runner_code *code, const char *target, const fst_kernel *k, const void *const *constants) {
  memset(code, 0, sizeof *code);
  code->blob = fst_blob_create();
  runner_check(fst_llvm_unit_create(fst_target_find(target), "test", &code->unit));
  runner_check(fst_llvm_kernel_emit(code->unit, k, constants, code->blob, &code->kernel));
  runner_trampoline(code->unit, k, code->kernel);
  if (getenv("FST_TEST_DUMP")) {
    fst_text text = {0};
    runner_check(fst_llvm_unit_text(code->unit, getenv("FST_TEST_DUMP")[0] == 'a', &text));
    fprintf(stderr, "%s\n", fst_text_cstr(&text));
    fst_text_deinit(&text);
  }
  runner_map(code);
}

static inline void runner_free_code(runner_code *code) {
  munmap(code->image, code->image_bytes);
  fst_llvm_unit_destroy(code->unit);
  fst_blob_destroy(code->blob);
}

// The pointers that a call passes: the caller's, or packed constants.
static inline void runner_pointers(const runner_code *code, size_t count, const runner_memory *memory, void **out) {
  uint64_t len;
  const char *packed = fst_blob_data(code->blob, &len);
  for (size_t i = 0; i < count; i++) {
    int64_t offset = code->kernel->constant_offset.data[i];
    out[i] = offset >= 0 ? (void *)(uintptr_t)(packed + offset) : memory[i].data;
  }
}

static inline void runner_call(const runner_code *code, size_t count, const runner_memory *memory, const uint64_t *params) {
  void *pointers[RUNNER_MAX_BUFFERS], *scratch = NULL;
  runner_pointers(code, count, memory, pointers);
  if (code->kernel->scratch_bytes) {
    scratch = aligned_alloc(64, (code->kernel->scratch_bytes + 63) / 64 * 64);
    memset(scratch, 0xff, code->kernel->scratch_bytes);  // NaN: nothing may read what it has not written
  }
  code->entry(pointers, params, scratch);
  free(scratch);
}

static void runner_run(const runner_case *c) {
  const fst_kernel *k = c->kernel;
  size_t count = k->buffers.len;
  runner_code code;
  const void *constants[RUNNER_MAX_BUFFERS] = {0};
  for (size_t i = 0; i < count; i++) constants[i] = c->constant[i] ? c->initial[i] : NULL;
  runner_compile(&code, "x86-64-v3", k, constants);
  for (int at_end = 0; at_end < 2; at_end++) {
    runner_memory expected[RUNNER_MAX_BUFFERS], found[RUNNER_MAX_BUFFERS];
    void *pointers[RUNNER_MAX_BUFFERS];
    for (size_t i = 0; i < count; i++) {
      expected[i] = runner_alloc(c->bytes[i], at_end);
      found[i] = runner_alloc(c->bytes[i], at_end);
      memcpy(expected[i].data, c->initial[i], c->bytes[i]);
      memcpy(found[i].data, c->initial[i], c->bytes[i]);
      pointers[i] = expected[i].data;
    }
    fst_kargs args = {pointers, c->params};
    runner_check(fst_kernel_run(k, &args));
    runner_call(&code, count, found, c->params);
    for (size_t i = 0; i < count; i++) {
      runner_compare(c->name, i, k->buffers.data[i].dtype, &expected[i], &found[i], c->tolerance);
      runner_free(&expected[i]);
      runner_free(&found[i]);
    }
  }
  runner_free_code(&code);
  runner_done(c);
}

#endif
