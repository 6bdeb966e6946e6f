// Nodes that are not control flow: groups, views, scalars, state, fallback.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "codegen/llvm/method_internal.h"
#include "ir/infer.h"
#include "ir/lower.h"

// ---- groups ---------------------------------------------------------------------------------------

static ll_value place_storage(method *m, LLVMValueRef storage) {
  ll_value v = {.set = true, .b = storage};
  v.a = method_load(m, m->u->ptr, storage, offsetof(fst_storage_obj, data));
  return v;
}

static LLVMValueRef new_storage(method *m, LLVMValueRef bytes) {
  LLVMValueRef storage = method_call(m, METHOD_CALL_storage_new, &bytes, 1);
  method_check_pointer(m, method_load(m, m->u->ptr, storage, offsetof(fst_storage_obj, data)));   // a stand-in has none
  return storage;
}

// Of a carried tensor's two storages the one that its present value is not in; made when it is not there or too small.
static LLVMValueRef turn_storage(method *m, fst_value_id param, LLVMValueRef bytes) {
  LLVMValueRef *kept = m->turns[param.id], present = method_value(m, param).b;
  LLVMValueRef first = LLVMBuildLoad2(m->b, m->u->ptr, kept[0], ""), second = LLVMBuildLoad2(m->b, m->u->ptr, kept[1], "");
  LLVMValueRef takes_second = LLVMBuildICmp(m->b, LLVMIntEQ, present, first, "");
  LLVMValueRef spare = LLVMBuildSelect(m->b, takes_second, second, first, "");
  LLVMBasicBlockRef there = method_new_block(m, "spare"), make = method_new_block(m, "make"), go_on = method_new_block(m, "turn");
  LLVMBuildCondBr(m->b, LLVMBuildIsNull(m->b, spare, ""), make, there);
  LLVMPositionBuilderAtEnd(m->b, there);
  LLVMValueRef fits = LLVMBuildICmp(m->b, LLVMIntSGE, method_load(m, m->u->i64, spare, offsetof(fst_storage_obj, bytes)), bytes, "");
  LLVMBuildCondBr(m->b, fits, go_on, make);
  LLVMPositionBuilderAtEnd(m->b, make);
  LLVMValueRef made = new_storage(m, bytes);
  LLVMBuildStore(m->b, LLVMBuildSelect(m->b, takes_second, first, made, ""), kept[0]);
  LLVMBuildStore(m->b, LLVMBuildSelect(m->b, takes_second, made, second, ""), kept[1]);
  LLVMBasicBlockRef from[2] = {there, LLVMGetInsertBlock(m->b)};
  LLVMBuildBr(m->b, go_on);
  LLVMPositionBuilderAtEnd(m->b, go_on);
  LLVMValueRef storage = LLVMBuildPhi(m->b, m->u->ptr, ""), values[2] = {spare, made};
  LLVMAddIncoming(storage, values, from, 2);
  return storage;
}

static ll_value turn_place(method *m, fst_value_id param, LLVMValueRef bytes) {
  const fst_carried *carried = &m->plan->carried[param.id];
  if (carried->kind == FST_CARRIED_TURNS_HEAP) return place_storage(m, turn_storage(m, param, bytes));
  LLVMValueRef slot = method_slot(m, carried->slot), other = method_slot(m, carried->other);
  ll_value v = {.set = true, .b = LLVMConstNull(m->u->ptr)};
  v.a = LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntEQ, method_value(m, param).a, slot, ""), other, slot, "");
  return v;
}

// Memory for a value that a kernel is about to make.
static ll_value make_place(method *m, fst_value_id value) {
  const fst_place *place = &m->plan->places[value.id];
  ll_value v = {.set = true, .b = LLVMConstNull(m->u->ptr)};
  LLVMValueRef bytes;
  switch (place->kind) {
    case FST_PLACE_ARENA:
      v.a = method_slot(m, place->slot);
      break;
    case FST_PLACE_SCRATCH:
      bytes = method_bytes(m, value);
      v.a = method_call(m, METHOD_CALL_scratch, &bytes, 1);
      method_check_pointer(m, v.a);
      break;
    case FST_PLACE_TURN: return turn_place(m, place->param, method_bytes(m, value));
    default: return place_storage(m, new_storage(m, method_bytes(m, value)));
  }
  return v;
}

static fst_status emit_group(method *m, const fst_node *n) {
  const fst_block *body = fst_block_get(m->g, n->blocks[0]);
  const fst_node *yield = fst_node_get(m->g, body->last);
  FST_VEC(fst_node_id) nodes = {0};
  for (FST_EACH_NODE(m->g, n->blocks[0], id))
    if (fst_node_get(m->g, id)->op != FST_OP_YIELD) fst_vec_push(&nodes, id);
  LLVMValueRef *place = FST_NEW_ARRAY(&m->arena, LLVMValueRef, n->result_count + 1);
  for (uint32_t r = 0; r < n->result_count; r++) {
    const fst_node *def = fst_node_get(m->g, fst_value_def(m->g, yield->operands[r]));
    ll_value v;
    if (fst_op_get(def->op)->effect == FST_WRITES) v = method_value(m, def->operands[0]);   // its memory
    else v = make_place(m, n->results[r]);
    v.c = NULL;
    method_set(m, n->results[r], v);
    place[r] = v.a;
  }
  fst_lowered low = {0};
  fst_status status = fst_lower_group(m->g, nodes.data, (uint32_t)nodes.len, yield->operands, n->result_count, &low);
  if (!status) status = method_kernel(m, &low, yield->operands, place, n->result_count, n->loc, false);
  fst_lowered_deinit(&low);
  fst_vec_free(&nodes);
  return status;
}

// Scalar ops have the same expressions as tensors: kernels of one point, inlined. `out[i]`: the i-th result.
static fst_status emit_numbers(method *m, const fst_lowered *low, const fst_value_id *values, uint32_t count, fst_loc loc, LLVMValueRef *out) {
  LLVMValueRef place[FST_LOWER_NUMBERS] = {0};
  for (uint32_t r = 0; r < count; r++) place[r] = method_alloca(m, m->u->i64, 1);
  FST_TRY(method_kernel(m, low, values, place, count, loc, true));
  for (uint32_t r = 0; r < count; r++) {
    fst_dtype dtype = low->kernel->buffers.data[r].dtype;
    out[r] = LLVMBuildLoad2(m->b, fst_llvm_memory_type(m->u, dtype), place[r], "");
    if (dtype == FST_BOOL) out[r] = LLVMBuildICmp(m->b, LLVMIntNE, out[r], LLVMConstInt(m->u->i8, 0, 0), "");
  }
  return NULL;
}

static fst_status emit_refusal(method *m, fst_node_id id) {
  const fst_node *n = fst_node_get(m->g, id);
  const char *text = fst_op_get(n->op)->refusal;
  LLVMValueRef raises;
  fst_value_id none = FST_NO_VALUE;
  fst_lowered low = {0};
  if (!text) return NULL;
  fst_status status = fst_lower_refusal(m->g, id, &low);
  if (!status) status = emit_numbers(m, &low, &none, 1, n->loc, &raises);
  fst_lowered_deinit(&low);
  if (!status) method_raise_text(m, raises, text, NULL, 0, n->loc);
  return status;
}

static fst_status emit_scalar(method *m, fst_node_id id) {
  const fst_node *n = fst_node_get(m->g, id);
  LLVMValueRef out[FST_LOWER_NUMBERS];
  fst_lowered low = {0};
  FST_TRY(emit_refusal(m, id));
  fst_status status = fst_lower_scalar_node(m->g, id, &low);
  if (!status) status = emit_numbers(m, &low, n->results, n->result_count, n->loc, out);
  fst_lowered_deinit(&low);
  for (uint32_t r = 0; r < n->result_count && !status; r++) method_set(m, n->results[r], (ll_value){.a = out[r]});
  return status;
}

// ---- views, queries --------------------------------------------------------------------------------

static void emit_view(method *m, const fst_node *n, fst_dim offset) {
  ll_value v = method_value(m, n->operands[0]);
  v.c = NULL;
  LLVMValueRef bytes = LLVMBuildMul(m->b, method_dim(m, offset), method_i64(m, (int64_t)fst_dtype_size(fst_value_type_data(m->g, n->operands[0])->dtype)), "");
  v.a = LLVMBuildInBoundsGEP2(m->b, m->u->i8, v.a, &bytes, 1, "");
  method_set(m, n->results[0], v);
}

// item() and the casts of tensors to numbers: the one element.
static fst_status emit_item(method *m, const fst_node *n) {
  const fst_type_data *t = fst_value_type_data(m->g, n->operands[0]);
  LLVMValueRef one = method_i64(m, 1), count = method_i64(m, 1);
  for (int i = 0; i < t->rank; i++) count = LLVMBuildMul(m->b, count, method_dim(m, t->dims[i]), "");
  if (t->rank) method_raise_text(m, LLVMBuildICmp(m->b, LLVMIntNE, count, one, ""), "a Tensor with {} elements cannot be converted to Scalar", &count, 1, n->loc);
  fst_type_kind to = fst_value_type_data(m->g, n->results[0])->kind;
  LLVMValueRef at = method_value(m, n->operands[0]).a;
  if (m->device) {
    LLVMValueRef here = method_alloca(m, m->u->i64, 2);
    method_fetch(m, here, at, fst_dtype_size(t->dtype));
    at = here;
  }
  LLVMValueRef e = LLVMBuildLoad2(m->b, fst_llvm_memory_type(m->u, t->dtype), at, "");
  bool real = fst_dtype_is_float(t->dtype);
  if (real && t->dtype != FST_F32 && t->dtype != FST_F64) return FST_FAIL(FST_ERR_UNSUPPORTED, "%s of a %s tensor", fst_op_name(n->op), fst_dtype_torch_name(t->dtype));
  if (real) e = LLVMBuildFPCast(m->b, e, m->u->f64, "");
  else e = LLVMBuildIntCast2(m->b, e, m->u->i64, t->dtype != FST_U8 && t->dtype != FST_BOOL, "");
  ll_value v = {.a = e};
  if (to == FST_TY_FLOAT && !real) v.a = LLVMBuildSIToFP(m->b, e, m->u->f64, "");
  if (to == FST_TY_INT && real) v.a = LLVMBuildFPToSI(m->b, e, m->u->i64, "");
  if (to == FST_TY_BOOL) v.a = real ? LLVMBuildFCmp(m->b, LLVMRealUNE, e, LLVMConstReal(m->u->f64, 0), "") : LLVMBuildICmp(m->b, LLVMIntNE, e, method_i64(m, 0), "");
  if (to == FST_TY_NUMBER || to == FST_TY_ANY) {
    v.a = LLVMConstInt(m->u->i32, real ? FST_TAG_FLOAT : t->dtype == FST_BOOL ? FST_TAG_BOOL : FST_TAG_INT, 0);
    v.b = real ? LLVMBuildBitCast(m->b, e, m->u->i64, "") : e;
  }
  method_set(m, n->results[0], v);
  return NULL;
}

static void emit_list_numbers(method *m, const fst_node *n) {
  ll_value v = make_place(m, n->results[0]);
  LLVMValueRef args[] = {method_value(m, n->operands[0]).a, method_i64(m, fst_value_type_data(m->g, n->results[0])->dtype), v.a};
  method_call(m, METHOD_CALL_list_numbers, args, 3);
  v.c = NULL;
  method_set(m, n->results[0], v);
}

// ---- state, checks ---------------------------------------------------------------------------------

static void emit_state_get(method *m, const fst_node *n) {
  LLVMValueRef at = method_address(m, m->state, n->attr_int * (int64_t)sizeof(fst_val));
  method_set(m, n->results[0], method_unbox(m, fst_value_type(m->g, n->results[0]), at));
}

static void emit_guard(method *m, const fst_node *n) {
  LLVMValueRef a = method_value(m, n->operands[0]).a, b = method_value(m, n->operands[1]).a, numbers[FST_GUARD_NUMBERS];
  uint32_t count = n->operand_count - 2 < FST_GUARD_NUMBERS ? n->operand_count - 2 : FST_GUARD_NUMBERS;
  for (uint32_t i = 0; i < count; i++) numbers[i] = method_value(m, n->operands[2 + i]).a;
  LLVMIntPredicate fails = n->op == FST_OP_GUARD_EQUAL ? LLVMIntNE : LLVMIntSGT;
  method_raise_text(m, LLVMBuildICmp(m->b, fails, a, b, ""), fst_sym_text(&m->g->module->strings, n->name), numbers, count, n->loc);
}

// ---- fallback --------------------------------------------------------------------------------------

static bool known_tensor(const method *m, fst_value_id v) { return method_form(m, fst_value_type(m->g, v)) == LL_TENSOR && fst_value_type_data(m->g, v)->kind == FST_TY_TENSOR; }

// Does the tensor that came back have the dtype, rank, sizes and strides that the code after it goes by?
static void check_result(method *m, const fst_node *n, fst_value_id value) {
  const fst_type_data *t = fst_value_type_data(m->g, value);
  LLVMValueRef object = method_value(m, value).c, zero = method_i64(m, 0);
  LLVMValueRef dtype = method_load(m, m->u->i8, object, offsetof(fst_tensor_obj, dtype)), rank = method_load(m, m->u->i8, object, offsetof(fst_tensor_obj, rank));
  LLVMValueRef differs = LLVMBuildOr(m->b, LLVMBuildICmp(m->b, LLVMIntNE, dtype, LLVMConstInt(m->u->i8, t->dtype, 0), ""),
                                     LLVMBuildICmp(m->b, LLVMIntNE, rank, LLVMConstInt(m->u->i8, (unsigned)t->rank, 0), ""), "");
  method_raise_text(m, differs, "an op that PyTorch ran gave a tensor of another dtype or rank than expected", NULL, 0, n->loc);
  LLVMValueRef sizes_differ = LLVMConstInt(m->u->i1, 0, 0), strides_differ = sizes_differ, numel = method_i64(m, 1);
  for (int i = 0; i < t->rank; i++) {
    int64_t at = (int64_t)offsetof(fst_tensor_obj, shape) + i * 8;
    LLVMValueRef size = method_load(m, m->u->i64, object, at), stride = method_load(m, m->u->i64, object, at + t->rank * 8);
    sizes_differ = LLVMBuildOr(m->b, sizes_differ, LLVMBuildICmp(m->b, LLVMIntNE, size, method_dim(m, t->dims[i]), ""), "");
    LLVMValueRef steps = LLVMBuildICmp(m->b, LLVMIntSGT, size, method_i64(m, 1), ""), other = LLVMBuildICmp(m->b, LLVMIntNE, stride, method_dim(m, t->strides[i]), "");
    strides_differ = LLVMBuildOr(m->b, strides_differ, LLVMBuildAnd(m->b, steps, other, ""), "");
    numel = LLVMBuildMul(m->b, numel, size, "");
  }
  // Strides that nothing steps along say nothing.
  differs = LLVMBuildOr(m->b, sizes_differ, LLVMBuildAnd(m->b, strides_differ, LLVMBuildICmp(m->b, LLVMIntNE, numel, zero, ""), ""), "");
  method_raise_text(m, differs, "an op that PyTorch ran gave a tensor of other sizes or strides than expected", NULL, 0, n->loc);
}

static fst_status emit_fallback(method *m, const fst_node *n) {
  bool is_named = n->op == FST_OP_UNKNOWN || n->op == FST_OP_FALLBACK;
  const char *schema = is_named ? fst_sym_text(&m->g->module->strings, n->name) : fst_op_get(n->op)->schema;
  fst_text_printf(m->fallbacks, "  %s  (", is_named ? schema : fst_op_name(n->op));
  fst_loc_print(m->g->module, n->loc, m->fallbacks);
  fst_text_puts(m->fallbacks, ")\n");
  LLVMValueRef out = method_alloca(m, m->u->i64, n->result_count * 2);
  LLVMValueRef args[] = {method_i64(m, fst_plan_fallback_add(m->tables, schema)), method_i64(m, n->operand_count),
                         method_vals(m, n->operands, n->operand_count), method_i64(m, n->result_count), out};
  method_check(m, method_call(m, METHOD_CALL_fallback, args, 5));
  for (uint32_t r = 0; r < n->result_count; r++) {
    LLVMValueRef val = method_address(m, out, (int64_t)r * (int64_t)sizeof(fst_val));
    if (known_tensor(m, n->results[r])) {
      LLVMValueRef is_other = LLVMBuildICmp(m->b, LLVMIntNE, method_load(m, m->u->i32, val, offsetof(fst_val, tag)), LLVMConstInt(m->u->i32, FST_TAG_TENSOR, 0), "");
      method_raise_text(m, is_other, "an op that PyTorch ran gave something else than a dense tensor", NULL, 0, n->loc);
    }
    method_set(m, n->results[r], method_unbox(m, fst_value_type(m->g, n->results[r]), val));
    if (known_tensor(m, n->results[r])) check_result(m, n, n->results[r]);
  }
  return NULL;
}

// ---- dispatch --------------------------------------------------------------------------------------

static bool is_item(fst_op op) {
  return op == FST_OP_ITEM || op == FST_OP_INT_TENSOR || op == FST_OP_FLOAT_TENSOR || op == FST_OP_BOOL_TENSOR ||
         op == FST_OP_INTIMPLICIT || op == FST_OP_FLOATIMPLICIT || op == FST_OP_SCALARIMPLICIT;
}

// All operands and results of a scalar op are numbers of a known kind.
static bool is_plain_scalar(const method *m, const fst_node *n) {
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (method_form(m, fst_value_type(m->g, n->operands[i])) != LL_SCALAR) return false;
  for (uint32_t r = 0; r < n->result_count; r++)
    if (method_form(m, fst_value_type(m->g, n->results[r])) != LL_SCALAR) return false;
  return true;
}

fst_status method_node(method *m, fst_node_id id) {
  const fst_node *n = fst_node_get(m->g, id);
  ll_value v = {0};
  switch (n->op) {
    case FST_OP_GROUP: return emit_group(m, n);
    case FST_OP_STATE_GET: emit_state_get(m, n); return NULL;
    case FST_OP_STATE_SET: {
      LLVMValueRef args[] = {method_i64(m, n->attr_int), method_box(m, n->operands[0])};
      method_call(m, METHOD_CALL_state_set, args, 2);
      return NULL;
    }
    case FST_OP_DIM:
      v.a = method_dim(m, fst_value_get(m->g, n->results[0])->sym);
      method_set(m, n->results[0], v);
      return NULL;
    case FST_OP_GUARD_EQUAL: case FST_OP_GUARD_AT_MOST: emit_guard(m, n); return NULL;
    case FST_OP_LIST_NUMBERS: emit_list_numbers(m, n); return NULL;
    case FST_OP_REFINE: method_set(m, n->results[0], method_value(m, n->operands[0])); return NULL;
    case FST_OP_UNCHECKED_CAST:
      method_set(m, n->results[0], method_unbox(m, fst_value_type(m->g, n->results[0]), method_box(m, n->operands[0])));
      return NULL;
    default: break;
  }
  const fst_op_info *info = n->op == FST_OP_UNKNOWN ? NULL : fst_op_get(n->op);
  if (info && info->cls == FST_CLASS_SCALAR && info->scalar && is_plain_scalar(m, n)) return emit_scalar(m, id);
  if (n->operand_count && known_tensor(m, n->operands[0])) {
    if (is_item(n->op)) return emit_item(m, n);
    fst_dim offset;
    if (info && info->cls == FST_CLASS_VIEW && fst_infer_is_view(m->g, id) && fst_view_offset(m->g, id, &offset)) {
      emit_view(m, n, offset);
      return NULL;
    }
  }
  bool done = false;
  FST_TRY(method_container(m, id, &done));
  return done ? NULL : emit_fallback(m, n);
}
