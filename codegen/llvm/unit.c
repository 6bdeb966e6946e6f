// The life of an LLVM module: created for a target, filled by others, verified, optimised, written out.
//
// The optimiser's job is small, because kernels arrive vectorised and tiled: it shares common
// subexpressions, hoists invariants, divides what counts up from zero without regard to signs, and folds. The loop
// and SLP vectorisers and the unroller stay off: they would undo the tiles. Idiom recognition is off as well (no-builtins): an image may not call memset.
#include "codegen/llvm/unit_internal.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

static const char passes[] =
    "always-inline,"
    "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),gvn,"
    "correlated-propagation,instcombine<no-verify-fixpoint>,loop-mssa(licm),early-cse<memssa>,simplifycfg,adce),globaldce";

// LLVM's two kinds of error, converted here and nowhere else.
static fst_status status_from_error(LLVMErrorRef error, const char *what) {
  if (!error) return NULL;
  char *text = LLVMGetErrorMessage(error);
  fst_status status = FST_FAIL(FST_ERR_INTERNAL, "LLVM: %s: %s", what, text);
  LLVMDisposeErrorMessage(text);
  return status;
}

static fst_status status_from_message(LLVMBool failed, char *message, const char *what) {
  fst_status status = failed ? FST_FAIL(FST_ERR_INTERNAL, "LLVM: %s: %s", what, message ? message : "unknown error") : NULL;
  if (message) LLVMDisposeMessage(message);
  return status;
}

static void unit_types_init(fst_llvm_unit *unit) {
  LLVMContextRef c = unit->context;
  unit->void_type = LLVMVoidTypeInContext(c);
  unit->i1 = LLVMInt1TypeInContext(c);
  unit->i8 = LLVMInt8TypeInContext(c);
  unit->i16 = LLVMInt16TypeInContext(c);
  unit->i32 = LLVMInt32TypeInContext(c);
  unit->i64 = LLVMInt64TypeInContext(c);
  unit->f16 = LLVMHalfTypeInContext(c);
  unit->f32 = LLVMFloatTypeInContext(c);
  unit->f64 = LLVMDoubleTypeInContext(c);
  unit->ptr = LLVMPointerTypeInContext(c, 0);
}

// "native" is a name of ours; LLVM wants this CPU's name and features spelled out.
static void unit_cpu(const fst_target *target, fst_text *out_cpu, fst_text *out_features) {
  if (strcmp(target->cpu, "native")) {
    fst_text_puts(out_cpu, target->cpu);
    fst_text_puts(out_features, target->features);
    return;
  }
  char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
  fst_text_puts(out_cpu, cpu);
  fst_text_printf(out_features, "%s%s%s", features, *target->features ? "," : "", target->features);
  LLVMDisposeMessage(cpu);
  LLVMDisposeMessage(features);
}

static fst_status unit_machine_create(fst_llvm_unit *unit) {
  static const char triple[] = "x86_64-unknown-linux-gnu";
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeX86AsmParser();  // for the memory functions' inline assembly
  LLVMTargetRef found = NULL;
  char *message = NULL;
  LLVMBool failed = LLVMGetTargetFromTriple(triple, &found, &message);
  FST_TRY(status_from_message(failed, message, "no x86-64 target"));
  fst_text cpu = {0}, features = {0};
  unit_cpu(unit->target, &cpu, &features);
  unit->machine = LLVMCreateTargetMachine(found, triple, fst_text_cstr(&cpu), fst_text_cstr(&features),
                                          LLVMCodeGenLevelAggressive, LLVMRelocPIC, LLVMCodeModelSmall);
  fst_text_deinit(&cpu);
  fst_text_deinit(&features);
  if (!unit->machine) return FST_FAIL(FST_ERR_INTERNAL, "LLVM: no code generator for %s", unit->target->name);
  unit->layout = LLVMCreateTargetDataLayout(unit->machine);
  LLVMSetTarget(unit->module, triple);
  LLVMSetModuleDataLayout(unit->module, unit->layout);
  return NULL;
}

fst_status fst_llvm_unit_create(const fst_target *target, const char *name, fst_llvm_unit **out) {
  fst_llvm_unit *unit = calloc(1, sizeof *unit);
  if (!unit) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  unit->target = target;
  fst_arena_init(&unit->arena);
  unit->context = LLVMContextCreate();
  unit->module = LLVMModuleCreateWithNameInContext(name, unit->context);
  unit->builder = LLVMCreateBuilderInContext(unit->context);
  unit_types_init(unit);
  fst_status status = unit_machine_create(unit);
  if (status) {
    fst_llvm_unit_destroy(unit);
    return status;
  }
  *out = unit;
  return NULL;
}

void fst_llvm_unit_destroy(fst_llvm_unit *unit) {
  if (!unit) return;
  for (size_t i = 0; i < unit->results.len; i++) fst_vec_free(&unit->results.data[i]->constant_offset);
  fst_vec_free(&unit->results);
  fst_vec_free(&unit->kernels);
  if (unit->layout) LLVMDisposeTargetData(unit->layout);
  if (unit->machine) LLVMDisposeTargetMachine(unit->machine);
  LLVMDisposeBuilder(unit->builder);
  LLVMDisposeModule(unit->module);
  LLVMContextDispose(unit->context);
  fst_arena_deinit(&unit->arena);
  free(unit);
}

// ---- building blocks ----

LLVMTypeRef fst_llvm_memory_type(const fst_llvm_unit *unit, fst_dtype dtype) {
  return dtype == FST_BOOL ? unit->i8 : fst_llvm_value_type(unit, dtype);
}

LLVMTypeRef fst_llvm_value_type(const fst_llvm_unit *unit, fst_dtype dtype) {
  switch (dtype) {
    case FST_BOOL: return unit->i1;
    case FST_U8:
    case FST_I8: return unit->i8;
    case FST_I16:
    case FST_F16:
    case FST_BF16: return unit->i16;
    case FST_I32: return unit->i32;
    case FST_I64: return unit->i64;
    case FST_F32: return unit->f32;
    case FST_F64: return unit->f64;
    default: FST_UNREACHABLE("no LLVM type for %s", fst_dtype_name(dtype));
  }
}

void fst_llvm_attribute_add(fst_llvm_unit *unit, LLVMValueRef function, unsigned index, const char *name, uint64_t value) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  FST_ASSERT(kind, "LLVM has no attribute %s", name);
  LLVMAddAttributeAtIndex(function, index, LLVMCreateEnumAttribute(unit->context, kind, value));
}

void fst_llvm_call_inline(fst_llvm_unit *unit, LLVMValueRef call) {
  static const char name[] = "alwaysinline";
  LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(unit->context, LLVMGetEnumAttributeKindForName(name, sizeof name - 1), 0));
}

void fst_llvm_attribute_add_text(fst_llvm_unit *unit, LLVMValueRef function, const char *name, const char *value) {
  LLVMAttributeRef attribute = LLVMCreateStringAttribute(unit->context, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, attribute);
}

LLVMValueRef fst_llvm_function_add(fst_llvm_unit *unit, const char *name, LLVMTypeRef type) {
  LLVMValueRef function = LLVMAddFunction(unit->module, name, type);
  LLVMSetLinkage(function, LLVMInternalLinkage);
  fst_llvm_attribute_add(unit, function, LLVMAttributeFunctionIndex, "nounwind", 0);
  fst_llvm_attribute_add_text(unit, function, "no-builtins", "");
  fst_llvm_attribute_add_text(unit, function, "prefer-vector-width", unit->target->vector_bytes == 64 ? "512" : "256");
  return function;
}

LLVMValueRef fst_llvm_intrinsic(fst_llvm_unit *unit, const char *name, LLVMTypeRef *types, unsigned type_count, LLVMValueRef *args, unsigned arg_count) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  FST_ASSERT(id, "LLVM has no intrinsic %s", name);
  LLVMValueRef function = LLVMGetIntrinsicDeclaration(unit->module, id, types, type_count);
  LLVMTypeRef type = LLVMIntrinsicGetType(unit->context, id, types, type_count);
  return LLVMBuildCall2(unit->builder, type, function, args, arg_count, "");
}

// ---- memory functions ----
// LLVM may lower a copy or fill of a large struct to a call of these names, whatever the attributes say.
// They are defined here, so that the image stays closed; the string instructions are fast where it matters.

static void memory_function_add(fst_llvm_unit *unit, const char *name, const char *code, const char *constraints, LLVMTypeRef second) {
  if (LLVMGetNamedFunction(unit->module, name)) return;
  LLVMTypeRef params[] = {unit->ptr, second, unit->i64};
  LLVMValueRef function = fst_llvm_function_add(unit, name, LLVMFunctionType(unit->ptr, params, 3, 0));
  LLVMSetLinkage(function, LLVMExternalLinkage);
  LLVMSetVisibility(function, LLVMHiddenVisibility);
  LLVMPositionBuilderAtEnd(unit->builder, LLVMAppendBasicBlockInContext(unit->context, function, "entry"));
  // Every register that the instruction changes is an output: destination, source where there is one, count.
  bool has_source = second == unit->ptr;
  LLVMTypeRef results[] = {unit->ptr, has_source ? unit->ptr : unit->i64, unit->i64};
  LLVMTypeRef result = LLVMStructTypeInContext(unit->context, results, has_source ? 3 : 2, 0);
  LLVMTypeRef type = LLVMFunctionType(result, params, 3, 0);
  LLVMValueRef assembly = LLVMGetInlineAsm(type, code, strlen(code), constraints, strlen(constraints), 1, 0, LLVMInlineAsmDialectATT, 0);
  LLVMValueRef args[] = {LLVMGetParam(function, 0), LLVMGetParam(function, 1), LLVMGetParam(function, 2)};
  LLVMBuildCall2(unit->builder, type, assembly, args, 3, "");
  LLVMBuildRet(unit->builder, args[0]);
}

static fst_status unit_finish(fst_llvm_unit *unit) {
  if (unit->finished) return NULL;
  memory_function_add(unit, "memcpy", "rep movsb", "=&{di},=&{si},=&{cx},0,1,2,~{memory},~{dirflag},~{fpsr},~{flags}", unit->ptr);
  memory_function_add(unit, "memset", "rep stosb", "=&{di},=&{cx},0,{ax},1,~{memory},~{dirflag},~{fpsr},~{flags}", unit->i32);
  char *message = NULL;
  LLVMBool broken = LLVMVerifyModule(unit->module, LLVMReturnStatusAction, &message);
  FST_TRY(status_from_message(broken, message, "the generated module is malformed"));
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  LLVMPassBuilderOptionsSetLoopVectorization(options, 0);
  LLVMPassBuilderOptionsSetSLPVectorization(options, 0);
  LLVMPassBuilderOptionsSetLoopInterleaving(options, 0);
  LLVMPassBuilderOptionsSetLoopUnrolling(options, 0);
  LLVMErrorRef error = LLVMRunPasses(unit->module, passes, unit->machine, options);
  LLVMDisposePassBuilderOptions(options);
  FST_TRY(status_from_error(error, "optimising"));
  unit->finished = true;
  return NULL;
}

// Code generation rewrites the module it is given, so it gets a copy.
static fst_status unit_emit(fst_llvm_unit *unit, LLVMCodeGenFileType kind, LLVMMemoryBufferRef *out_buffer) {
  FST_TRY(unit_finish(unit));
  LLVMModuleRef copy = LLVMCloneModule(unit->module);
  char *message = NULL;
  LLVMBool failed = LLVMTargetMachineEmitToMemoryBuffer(unit->machine, copy, kind, &message, out_buffer);
  LLVMDisposeModule(copy);
  return status_from_message(failed, message, "emitting");
}

fst_status fst_llvm_unit_text(fst_llvm_unit *unit, bool assembly, fst_text *out) {
  if (!assembly) {
    FST_TRY(unit_finish(unit));
    char *text = LLVMPrintModuleToString(unit->module);
    fst_text_puts(out, text);
    LLVMDisposeMessage(text);
    return NULL;
  }
  LLVMMemoryBufferRef buffer = NULL;
  FST_TRY(unit_emit(unit, LLVMAssemblyFile, &buffer));
  fst_text_append(out, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
  LLVMDisposeMemoryBuffer(buffer);
  return NULL;
}

fst_status fst_llvm_unit_object(fst_llvm_unit *unit, void **out_bytes, size_t *out_len) {
  LLVMMemoryBufferRef buffer = NULL;
  FST_TRY(unit_emit(unit, LLVMObjectFile, &buffer));
  size_t len = LLVMGetBufferSize(buffer);
  void *bytes = malloc(len ? len : 1);
  if (bytes) memcpy(bytes, LLVMGetBufferStart(buffer), len);
  LLVMDisposeMemoryBuffer(buffer);
  if (!bytes) return FST_FAIL(FST_ERR_RESOURCE, "out of memory for an object of %zu bytes", len);
  *out_bytes = bytes;
  *out_len = len;
  return NULL;
}
