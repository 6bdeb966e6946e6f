// One LLVM module being filled, for one target: what the files of codegen/llvm/ and codegen/contract/ share.
// Only these two folders include llvm-c. A unit owns its context, so units on different threads do not meet.
#ifndef FST_CODEGEN_LLVM_UNIT_INTERNAL_H
#define FST_CODEGEN_LLVM_UNIT_INTERNAL_H

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include "codegen/codegen.h"

// A kernel's function, found again by all that the kernel says: equal kernels share one.
typedef struct fst_llvm_cached {
  uint64_t hash;
  const void *key;
  size_t key_len;
  struct fst_llvm_emitted *emitted;
} fst_llvm_cached;

struct fst_llvm_unit {
  const fst_target *target;
  LLVMContextRef context;
  LLVMModuleRef module;
  LLVMBuilderRef builder;
  LLVMTargetMachineRef machine;
  LLVMTargetDataRef layout;
  LLVMTypeRef void_type, i1, i8, i16, i32, i64, f16, f32, f64, ptr;
  fst_arena arena;            // lives as long as the unit
  FST_VEC(fst_llvm_cached) kernels;
  FST_VEC(fst_llvm_kernel *) results;  // handed out by fst_llvm_kernel_emit
  uint32_t next_number;       // makes symbol names unique
  bool finished;              // verified and optimised: nothing may be added
};

// The LLVM function of an emitted kernel and its type.
static inline LLVMValueRef fst_llvm_kernel_function(const fst_llvm_kernel *kernel) { return (LLVMValueRef)kernel->function; }
LLVMTypeRef fst_llvm_kernel_type(const fst_llvm_kernel *kernel);

// How one element lies in memory or is passed as a parameter: bools are i8 in memory and i1 as values; f16
// and bf16 are i16 everywhere (arithmetic on them goes through float).
LLVMTypeRef fst_llvm_memory_type(const fst_llvm_unit *unit, fst_dtype dtype);
LLVMTypeRef fst_llvm_value_type(const fst_llvm_unit *unit, fst_dtype dtype);

// A new function of this module, internal, with the attributes all our code has.
LLVMValueRef fst_llvm_function_add(fst_llvm_unit *unit, const char *name, LLVMTypeRef type);
void fst_llvm_call_inline(fst_llvm_unit *unit, LLVMValueRef call);   // whatever the callee's size
void fst_llvm_attribute_add(fst_llvm_unit *unit, LLVMValueRef function, unsigned index, const char *name, uint64_t value);
void fst_llvm_attribute_add_text(fst_llvm_unit *unit, LLVMValueRef function, const char *name, const char *value);
// Calls an intrinsic that is overloaded on `types`.
LLVMValueRef fst_llvm_intrinsic(fst_llvm_unit *unit, const char *name, LLVMTypeRef *types, unsigned type_count, LLVMValueRef *args, unsigned arg_count);

#endif
