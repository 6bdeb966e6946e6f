// Kernels as the method runs them: functions that it calls, or launches on a device.
#include <stddef.h>
#include <string.h>

#include "codegen/cuda/cuda.h"
#include "codegen/llvm/method_internal.h"

// A number of the graph as a kernel parameter of `dtype`.
static LLVMValueRef number_as(method *m, fst_value_id value, fst_dtype dtype) {
  LLVMValueRef v = method_value(m, value).a;
  fst_type_kind kind = fst_value_type_data(m->g, value)->kind;
  LLVMTypeRef to = fst_llvm_value_type(m->u, dtype);
  if (kind == FST_TY_FLOAT) return dtype == FST_F64 ? v : fst_dtype_is_float(dtype) ? LLVMBuildFPTrunc(m->b, v, to, "") : LLVMBuildFPToSI(m->b, v, to, "");
  if (kind == FST_TY_BOOL) {
    if (dtype == FST_BOOL) return v;
    return fst_dtype_is_float(dtype) ? LLVMBuildUIToFP(m->b, v, to, "") : LLVMBuildZExt(m->b, v, to, "");
  }
  if (dtype == FST_BOOL) return LLVMBuildICmp(m->b, LLVMIntNE, v, method_i64(m, 0), "");
  if (fst_dtype_is_float(dtype)) return LLVMBuildSIToFP(m->b, v, to, "");
  return LLVMBuildIntCast2(m->b, v, to, 1, "");
}

static LLVMValueRef host_scratch(method *m, uint64_t bytes) {
  if (bytes > m->scratch_bytes) m->scratch_bytes = bytes;
  return LLVMBuildInBoundsGEP2(m->b, m->u->i8, m->memory, &m->scratch_at, 1, "");
}

// A check's buffer after the kernel: unless its flag is 0, the call raises with what the kernel reported.
static void raise_check(method *m, const fst_kernel_arg *arg, LLVMValueRef report, fst_loc loc) {
  LLVMBasicBlockRef bad = LLVMAppendBasicBlockInContext(m->u->context, m->fn, "check"), good = LLVMAppendBasicBlockInContext(m->u->context, m->fn, "ok");
  LLVMBuildCondBr(m->b, LLVMBuildICmp(m->b, LLVMIntNE, method_load(m, m->u->i64, report, 0), method_i64(m, 0), ""), bad, good);
  LLVMPositionBuilderAtEnd(m->b, bad);
  LLVMValueRef vals = method_alloca(m, m->u->i64, 4);
  for (int i = 0; i < 2; i++) {
    LLVMBuildStore(m->b, method_i64(m, FST_TAG_INT), method_address(m, vals, i * (int64_t)sizeof(fst_val)));
    LLVMBuildStore(m->b, method_load(m, m->u->i64, report, 8 * (i + 1)), method_address(m, vals, i * (int64_t)sizeof(fst_val) + (int64_t)offsetof(fst_val, i)));
  }
  uint32_t text = fst_plan_const_str(m->tables, arg->check_text, strlen(arg->check_text));
  LLVMValueRef format[] = {method_load(m, m->u->ptr, m->consts, (int64_t)text * (int64_t)sizeof(fst_val) + (int64_t)offsetof(fst_val, p)), method_i64(m, 2), vals};
  LLVMValueRef message = method_call(m, METHOD_CALL_format, format, 3);
  LLVMValueRef raise[] = {method_i64(m, fst_plan_exception_add(m->tables, arg->check_class)), message, method_loc(m, loc)};
  method_call(m, METHOD_CALL_raise, raise, 3);
  LLVMBuildBr(m->b, m->fail);
  LLVMPositionBuilderAtEnd(m->b, good);
}

// ---- arguments -------------------------------------------------------------------------------------

typedef struct running {
  method *m;
  const fst_lowered *low;
  const fst_value_id *outputs;
  const LLVMValueRef *place;
  uint32_t output_count;
  LLVMValueRef *args;       // buffers, then params
  LLVMValueRef *reports;    // by buffer: where a check reports, on the host; NULL: no check's buffer
  fst_loc loc;
  bool has_reports;         // on a device, where they are looked at later
} running;

// The bytes of every buffer that is a literal.
static const void **literal_buffers(method *m, const fst_lowered *low) {
  uint32_t buffers = (uint32_t)low->buffers.len;
  const void **constants = FST_NEW_ARRAY(&m->arena, const void *, buffers + 1);
  for (uint32_t i = 0; i < buffers; i++) {
    uint64_t len;
    constants[i] = low->buffers.data[i].is_output || !low->buffers.data[i].value.id ? NULL : method_literal_bytes(m, low->buffers.data[i].value, &len);
    low->kernel->buffers.data[i].is_constant = constants[i] != NULL;
  }
  return constants;
}

static LLVMValueRef output_place(const running *r, fst_value_id value) {
  uint32_t k = 0;
  while (k < r->output_count && !fst_value_eq(r->outputs[k], value)) k++;
  FST_ASSERT(k < r->output_count, "an output of the kernel is not one of the group's");
  return r->place[k];
}

// The runtime keeps what to say; "IndexError: text" names the class.
static LLVMValueRef device_report(method *m, const fst_kernel_arg *arg, fst_loc loc) {
  static const char builtins[] = "builtins.";
  const char *cls = strncmp(arg->check_class, builtins, sizeof builtins - 1) ? arg->check_class : arg->check_class + sizeof builtins - 1;
  const char *text = fst_arena_printf(&m->arena, "%s: %s", cls, arg->check_text);
  LLVMValueRef args[] = {method_i64(m, fst_plan_message_add(m->tables, text)), method_loc(m, loc)};
  LLVMValueRef report = method_call(m, METHOD_CALL_report, args, 2);
  method_check_pointer(m, report);
  return report;
}

static void fill_args(running *r, const int64_t *constant_offset) {
  method *m = r->m;
  uint32_t at = 0;
  for (uint32_t i = 0; i < r->low->buffers.len; i++) {
    const fst_kernel_arg *arg = &r->low->buffers.data[i];
    if (constant_offset[i] >= 0) {
      r->args[at++] = method_address(m, m->weights, constant_offset[i]);
    } else if (arg->check_text && m->device) {
      r->has_reports = true;
      r->args[at++] = device_report(m, arg, r->loc);
    } else if (arg->check_text) {
      r->reports[i] = method_alloca(m, m->u->i64, 3);
      LLVMBuildStore(m->b, method_i64(m, 0), r->reports[i]);
      r->args[at++] = r->reports[i];
    } else {
      r->args[at++] = arg->is_output ? output_place(r, arg->value) : method_value(m, arg->value).a;
    }
  }
  for (uint32_t i = 0; i < r->low->params.len; i++) {
    const fst_kernel_arg *arg = &r->low->params.data[i];
    r->args[at++] = arg->value.id ? number_as(m, arg->value, r->low->kernel->params.data[i]) : method_dim(m, arg->dim);
  }
}

// ---- on the host -----------------------------------------------------------------------------------

static fst_status call_kernel(running *r, const void *const *constants, bool is_inlined) {
  method *m = r->m;
  const fst_llvm_kernel *kernel;
  uint32_t count = (uint32_t)(r->low->buffers.len + r->low->params.len);
  FST_TRY(fst_llvm_kernel_emit(m->u, r->low->kernel, constants, m->blob, &kernel));
  fill_args(r, kernel->constant_offset.data);
  method_count_work(m, r->low->kernel, r->args + r->low->buffers.len, kernel->constant_bytes);
  if (kernel->scratch_bytes) r->args[count++] = host_scratch(m, kernel->scratch_bytes);
  LLVMValueRef call = LLVMBuildCall2(m->b, fst_llvm_kernel_type(kernel), fst_llvm_kernel_function(kernel), r->args, count, "");
  if (is_inlined) fst_llvm_call_inline(m->u, call);
  return NULL;
}

// ---- on a device -----------------------------------------------------------------------------------

void method_fetch(method *m, LLVMValueRef to, LLVMValueRef from, uint64_t bytes) {
  LLVMValueRef args[] = {to, from, method_i64(m, (int64_t)bytes)};
  method_check(m, method_call(m, METHOD_CALL_fetch, args, 3));
}

static fst_status launch_kernel(running *r, const void *const *constants, fst_loc loc) {
  method *m = r->m;
  const fst_cuda_kernel *kernel;
  uint32_t count = (uint32_t)(r->low->buffers.len + r->low->params.len);
  FST_TRY(fst_cuda_kernel_emit(m->device, r->low->kernel, constants, m->blob, &kernel));
  if (count >= FST_PLAN_MAX_KERNEL_ARGS) return FST_FAIL(FST_ERR_UNSUPPORTED, "a kernel of %u arguments", count);
  fill_args(r, kernel->constant_offset.data);
  const LLVMValueRef *params = r->args + r->low->buffers.len;
  method_count_work(m, r->low->kernel, params, kernel->constant_bytes);
  if (kernel->scratch_bytes.id) {
    LLVMValueRef bytes = method_size_value(m, kernel->sizes, params, kernel->scratch_bytes), memory = method_call(m, METHOD_CALL_kernel_scratch, &bytes, 1);
    method_check_pointer(m, memory);
    r->args[count++] = memory;
  }
  LLVMValueRef slots = method_alloca(m, m->u->i64, count);
  for (uint32_t i = 0; i < count; i++) {
    LLVMValueRef arg = r->args[i];
    if (LLVMTypeOf(arg) == m->u->i1) arg = LLVMBuildZExt(m->b, arg, m->u->i8, "");
    LLVMBuildStore(m->b, arg, method_address(m, slots, 8 * (int64_t)i));
  }
  for (uint32_t l = 0; l < kernel->launch_count; l++) {
    const fst_cuda_launch *launch = &kernel->launches[l];
    LLVMValueRef args[6] = {method_i64(m, fst_plan_kernel_add(m->tables, launch->entry, count, launch->threads, launch->shared_bytes))};
    for (int d = 0; d < 3; d++) {
      args[1 + d] = method_size_value(m, kernel->sizes, params, launch->grid[d]);
      FST_ASSERT(args[1 + d], "the grid of %s is not an expression of its parameters", launch->entry);
    }
    args[4] = slots;
    args[5] = method_loc(m, loc);
    method_check(m, method_call(m, METHOD_CALL_launch, args, 6));
  }
  // Where nothing that the call does outlives its failure, reports can wait until it ends.
  if (r->has_reports && m->has_effects) method_check(m, method_call(m, METHOD_CALL_settle, NULL, 0));
  return NULL;
}

fst_status method_kernel(method *m, const fst_lowered *low, const fst_value_id *outputs, const LLVMValueRef *place, uint32_t output_count, fst_loc loc, bool is_inlined) {
  uint32_t buffers = (uint32_t)low->buffers.len, params = (uint32_t)low->params.len;
  running r = {m, low, outputs, place, output_count, FST_NEW_ARRAY(&m->arena, LLVMValueRef, buffers + params + 2), FST_NEW_ARRAY(&m->arena, LLVMValueRef, buffers + 1), loc, false};
  const void **constants = literal_buffers(m, low);
  // Numbers are the host's, and so is arithmetic on them.
  FST_TRY(m->device && !is_inlined ? launch_kernel(&r, constants, loc) : call_kernel(&r, constants, is_inlined));
  for (uint32_t i = 0; i < buffers; i++)
    if (r.reports[i]) raise_check(m, &low->buffers.data[i], r.reports[i], loc);
  return NULL;
}
