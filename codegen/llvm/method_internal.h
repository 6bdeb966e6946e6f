// Shared by the files that turn a planned graph into one native function (codegen/llvm/method*.c).
#ifndef FST_CODEGEN_LLVM_METHOD_INTERNAL_H
#define FST_CODEGEN_LLVM_METHOD_INTERNAL_H

#include "base/abi.h"
#include "base/plan_write.h"
#include "codegen/llvm/unit_internal.h"
#include "ir/memory_plan.h"

// How a value of the graph lives in the function, by its type:
//   int, float, bool      `a`: i64, double, i1
//   tensor, known rank    `a`: pointer to element 0, `b`: its storage object or null, `c`: its descriptor or NULL
//   str, list, dict, object, tuple, tensor of unknown rank   `a`: pointer to the object
//   Optional, Any, ...    `a`: i32 tag, `b`: i64 payload, as in a fst_val
//   None                  nothing
typedef enum { LL_NOTHING, LL_SCALAR, LL_TENSOR, LL_OBJECT, LL_DYNAMIC } ll_form;
typedef struct ll_value {
  bool set;
  LLVMValueRef a, b, c;
} ll_value;

typedef struct method {
  fst_llvm_unit *u;
  struct fst_cuda_unit *device;     // NULL: tensors lie in the host's memory
  bool has_effects;                 // the method may write, print or raise by itself: what is wrong before has to be told before
  const fst_graph *g;
  const fst_plan *plan;
  fst_blob *blob;
  fst_plan_tables *tables;
  fst_text *fallbacks;
  fst_arena arena;
  LLVMBuilderRef b, allocas;        // `allocas` stays at the head of the entry block
  LLVMValueRef fn, call, args, results;
  LLVMValueRef calls, weights, state, consts, memory;   // loaded once; `memory` is the arena
  LLVMValueRef arena_call;          // its size operand is set when all kernels are known
  LLVMBasicBlockRef fail;           // returns 1
  LLVMBasicBlockRef call_failed;    // a runtime call failed: its error is told where (`failed_at`), then `fail`
  LLVMValueRef failed_at;           // phi: plan location of the node whose call it was
  fst_loc loc;                      // of the node that code is made for
  ll_value *values;                 // by value id
  LLVMValueRef *symbols;            // by symbol, NULL until defined
  uint32_t symbol_count;
  LLVMValueRef *slot_offset;        // by arena slot
  LLVMValueRef (*turns)[2];         // by value id of a carried tensor: where its two storages are kept, null at first
  uint64_t scratch_bytes;           // most that any kernel wants
  LLVMValueRef scratch_at;          // where it lies in the arena
  fst_map consts_index;             // fst_const -> plan constant
} method;

// ---- values (method_value.c) ----
ll_form method_form(const method *m, fst_type type);
ll_value method_value(method *m, fst_value_id value);             // literals are made on the spot
void method_set(method *m, fst_value_id value, ll_value v);
LLVMValueRef method_dim(method *m, fst_dim d);                    // i64
// An amount of memory; one that no machine has, where sizes are beyond that and their product would wrap.
#define METHOD_MOST_BYTES (INT64_C(1) << 56)
LLVMValueRef method_dim_bytes(method *m, fst_dim bytes);
LLVMValueRef method_bytes(method *m, fst_value_id tensor);        // i64: what memory of its own it takes
void method_define_symbol(method *m, fst_dim d, LLVMValueRef value);  // when d is a bare symbol not yet defined
bool method_wants_symbol(const method *m, fst_dim d);
LLVMValueRef method_i64(const method *m, int64_t value);
LLVMValueRef method_load(method *m, LLVMTypeRef type, LLVMValueRef base, int64_t byte_offset);
LLVMValueRef method_address(method *m, LLVMValueRef base, int64_t byte_offset);
LLVMValueRef method_alloca(method *m, LLVMTypeRef type, uint32_t count);
LLVMValueRef method_vals(method *m, const fst_value_id *values, uint32_t count);   // an array of fst_val
LLVMValueRef method_box(method *m, fst_value_id value);                            // one fst_val
void method_store_val(method *m, fst_value_id value, LLVMValueRef at);
LLVMValueRef method_slot(method *m, uint32_t slot);               // address in the arena
LLVMValueRef method_object(method *m, fst_value_id value);        // pointer to the object of a tensor, str, list...
// The value in the form that `type` has: where paths join, None meets T, a known tensor an unknown one.
ll_value method_coerce(method *m, fst_value_id value, fst_type type);
// The value of `type` held in a fst_val; sizes and strides of a tensor define the symbols of its type.
ll_value method_unbox(method *m, fst_type type, LLVMValueRef val);
ll_value method_open_tensor(method *m, fst_type type, LLVMValueRef object);
uint32_t method_const(method *m, fst_const c);                    // index into call->consts
const void *method_literal_bytes(const method *m, fst_value_id value, uint64_t *out_len);  // of a literal tensor, contiguous; else NULL

// ---- calls and errors (method.c) ----
typedef enum {
#define CALL(name, ret, params, args, doc) METHOD_CALL_##name,
#include "base/calls.def"
#undef CALL
  METHOD_CALL_COUNT
} method_call_id;
LLVMValueRef method_call(method *m, method_call_id id, LLVMValueRef *args, uint32_t count);   // without the fst_call
void method_check(method *m, LLVMValueRef status);                // leaves the function when nonzero
void method_check_pointer(method *m, LLVMValueRef pointer);       // leaves the function when null
LLVMBasicBlockRef method_new_block(method *m, const char *name);
LLVMValueRef method_loc(method *m, fst_loc loc);
// When the condition holds, the call raises `text` with these numbers for the `{}` in it.
void method_raise_text(method *m, LLVMValueRef condition, const char *text, const LLVMValueRef *numbers, uint32_t count, fst_loc loc);
fst_status method_block(method *m, fst_block_id block);           // up to, not including, the terminator

// ---- kernels (method_kernel.c) ----
// `place[i]`: memory of the i-th output, in the order of `outputs`. A kernel of one point on numbers is inlined: it leaves no
// trace in the end, since its memory becomes registers.
fst_status method_kernel(method *m, const fst_lowered *low, const fst_value_id *outputs, const LLVMValueRef *place, uint32_t output_count, fst_loc loc, bool is_inlined);
// On a device: copies to the host, after all that came before.
void method_fetch(method *m, LLVMValueRef to, LLVMValueRef from, uint64_t bytes);

// ---- counting (method_work.c) ----
// An i64 expression of the kernel's parameters as a value of the method; NULL when it depends on anything else.
LLVMValueRef method_size_value(method *m, const fst_kernel *kernel, LLVMValueRef const *params, fst_kx x);
// Adds what the kernel will do to the call's counters. `params` are its scalar arguments.
void method_count_work(method *m, const fst_kernel *kernel, LLVMValueRef const *params, uint64_t constant_bytes);

// ---- nodes (method_node.c, method_container.c) ----
fst_status method_node(method *m, fst_node_id node);
fst_status method_container(method *m, fst_node_id node, bool *out_done);

#endif
