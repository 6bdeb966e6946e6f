// From planned graphs to machine code: one object per target, one flat image per object.
#ifndef FST_CODEGEN_CODEGEN_H
#define FST_CODEGEN_CODEGEN_H

#include "base/status.h"
#include "ir/graph.h"
#include "ir/kernel/kernel.h"
#include "ir/lower.h"

// A CPU the code is for. The descriptions are data (codegen/target.c), chosen by name.
typedef struct fst_target {
  const char *name;        // "x86-64-v3", "x86-64-v4", "native"
  const char *cpu;         // LLVM's -mcpu
  const char *features;    // LLVM's -mattr
  int vector_bytes;        // 32 or 64
  int vector_registers;    // 16 or 32
  int64_t l1_bytes, l2_bytes;
} fst_target;
const fst_target *fst_target_find(const char *name);  // NULL when unknown
bool fst_target_runs_here(const fst_target *target);

// Bytes that go to weights.bin: constants as they are, and weights packed for a contraction.
typedef struct fst_blob fst_blob;
fst_blob *fst_blob_create(void);
void fst_blob_destroy(fst_blob *blob);
// Adds bytes (deduplicated by content), 64-byte aligned; returns the offset.
uint64_t fst_blob_add(fst_blob *blob, const void *bytes, uint64_t len);
const void *fst_blob_data(const fst_blob *blob, uint64_t *out_len);

// ---- kernels (codegen/llvm/kernel.c): one LLVM function each, deduplicated by structure ----
// `void name(ptr buffer0, ..., <param0>, ...)`: buffers in order, then params (i64, double, float, i32, i1... by dtype),
// then, where the schedule packed a constant buffer, its packed bytes stand in for it.
typedef struct fst_llvm_unit fst_llvm_unit;  // one LLVM module being filled, for one target
fst_status fst_llvm_unit_create(const fst_target *target, const char *name, fst_llvm_unit **out);
void fst_llvm_unit_destroy(fst_llvm_unit *unit);
uint32_t fst_llvm_unit_kernels(const fst_llvm_unit *unit);  // different kernels emitted so far
// `constants[i]`: bytes of buffer i when it is constant (is_constant) and contiguous, else NULL. Packed forms go to `blob`.
typedef struct fst_llvm_kernel {
  void *function;              // LLVMValueRef
  FST_VEC(int64_t) constant_offset;  // per buffer: offset of the bytes to pass (call->weights + offset), -1: pass the caller's pointer
  uint64_t constant_bytes;     // all that the offsets stand for
  uint64_t scratch_bytes;      // the kernel wants this much scratch as a last pointer argument (0: no such argument)
} fst_llvm_kernel;
fst_status fst_llvm_kernel_emit(fst_llvm_unit *unit, const fst_kernel *kernel, const void *const *constants, fst_blob *blob, const fst_llvm_kernel **out);

// ---- whole methods (codegen/llvm/method.c) ----
// Emits `int32_t fst_entry_<number>(fst_call *, const fst_val *args, fst_val *results)` for a planned graph. Messages, classes,
// locations and constants are added to `tables`: for a second target they are found there again.
struct fst_plan_tables;
struct fst_cuda_unit;
// With `device` the function is the host's part of code for a device (docs/decisions.md): all memory of tensors is the
// device's, and kernels go to that unit. NULL: they are functions of this unit.
// Nodes that have no native code become calls of the bridge; each adds a line "  aten::foo  (code/m.py:12)" to `fallbacks`.
fst_status fst_llvm_method_emit(fst_llvm_unit *unit, struct fst_cuda_unit *device, const fst_graph *graph, uint32_t number, fst_blob *blob, struct fst_plan_tables *tables, fst_text *fallbacks);

// ---- finishing ----
fst_status fst_llvm_unit_text(fst_llvm_unit *unit, bool assembly, fst_text *out);      // LLVM IR, or assembly
fst_status fst_llvm_unit_object(fst_llvm_unit *unit, void **out_bytes, size_t *out_len);  // verified ELF object; free() it
// codegen/link/: a relocatable ELF object into a flat image (base/abi.h's fst_code_header first).
fst_status fst_link_image(const void *object, size_t object_len, const char *const *entry_names, uint32_t entry_count, void **out_image, size_t *out_len);

#endif
