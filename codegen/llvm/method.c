// A planned graph as one native function: `int32_t entry(fst_call *, const fst_val *args, fst_val *results)`.
//
// Control flow, scalars, sizes and views become LLVM values and blocks; groups become calls of kernels;
// lists, dicts, strings and errors become calls through the table that the fst_call points at. Nothing
// else is called. A failing call has recorded its error: the function returns 1 at once.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "codegen/llvm/method_internal.h"
#include "ir/effects.h"

// ---- calls and errors ------------------------------------------------------------------------------

typedef struct { const char *name; char ret; const char *letters; } call_row;
static const call_row call_rows[] = {
#define CALL(name, ret, params, args, doc) {#name, #ret[0], args},
#include "base/calls.def"
#undef CALL
};

static LLVMTypeRef letter_type(const method *m, char letter) {
  switch (letter) {
    case 'v': return m->u->void_type;
    case 's': case 'b': return m->u->i32;
    case 'i': return m->u->i64;
    case 'f': return m->u->f64;
    default: return m->u->ptr;
  }
}

LLVMValueRef method_call(method *m, method_call_id id, LLVMValueRef *args, uint32_t count) {
  enum { MOST = 8 };
  const call_row *row = &call_rows[id];
  LLVMTypeRef types[MOST];
  LLVMValueRef all[MOST];
  uint32_t letters = (uint32_t)strlen(row->letters);
  FST_ASSERT(letters == count + 1 && letters <= MOST, "call %s takes %u arguments", row->name, letters - 1);
  for (uint32_t i = 0; i < letters; i++) {
    types[i] = letter_type(m, row->letters[i]);
    all[i] = i ? args[i - 1] : m->call;
  }
  LLVMTypeRef type = LLVMFunctionType(letter_type(m, row->ret), types, letters, 0);
  int64_t at = (int64_t)sizeof(uint64_t) + (int64_t)id * (int64_t)sizeof(void *);
  return LLVMBuildCall2(m->b, type, method_load(m, m->u->ptr, m->calls, at), all, letters, "");
}

LLVMBasicBlockRef method_new_block(method *m, const char *name) { return LLVMAppendBasicBlockInContext(m->u->context, m->fn, name); }

static void leave_when(method *m, LLVMValueRef condition) {
  LLVMBasicBlockRef go_on = method_new_block(m, "ok"), here = LLVMGetInsertBlock(m->b);
  LLVMValueRef loc = method_loc(m, m->loc);
  LLVMBuildCondBr(m->b, condition, m->call_failed, go_on);
  LLVMAddIncoming(m->failed_at, &loc, &here, 1);
  LLVMPositionBuilderAtEnd(m->b, go_on);
}

void method_check(method *m, LLVMValueRef status) { leave_when(m, LLVMBuildICmp(m->b, LLVMIntNE, status, LLVMConstInt(m->u->i32, 0, 0), "")); }
void method_check_pointer(method *m, LLVMValueRef pointer) { leave_when(m, LLVMBuildIsNull(m->b, pointer, "")); }

LLVMValueRef method_loc(method *m, fst_loc loc) {
  const fst_module *module = m->g->module;
  if (!loc.id) return method_i64(m, 0);
  const fst_loc_info *info = &module->locs.data[loc.id];
  uint32_t caller = 0;
  if (info->caller.id) caller = (uint32_t)LLVMConstIntGetZExtValue(method_loc(m, info->caller));
  const char *file = info->file < module->files.len ? fst_sym_text(&module->strings, module->files.data[info->file]) : "";
  return method_i64(m, fst_plan_loc_add(m->tables, file, info->line, caller));
}

void method_raise_text(method *m, LLVMValueRef condition, const char *text, const LLVMValueRef *numbers, uint32_t count, fst_loc loc) {
  LLVMBasicBlockRef bad = method_new_block(m, "raise"), good = method_new_block(m, "ok");
  LLVMBuildCondBr(m->b, condition, bad, good);
  LLVMPositionBuilderAtEnd(m->b, bad);
  LLVMValueRef all = method_alloca(m, m->u->i64, count);
  for (uint32_t i = 0; i < count; i++) LLVMBuildStore(m->b, numbers[i], method_address(m, all, (int64_t)i * 8));
  LLVMValueRef args[] = {method_i64(m, fst_plan_message_add(m->tables, text)), method_i64(m, count), all, method_loc(m, loc)};
  method_call(m, METHOD_CALL_raise_text, args, 4);
  LLVMBuildBr(m->b, m->fail);
  LLVMPositionBuilderAtEnd(m->b, good);
}

// ---- joins -----------------------------------------------------------------------------------------

// The phis of one joined value: what each incoming edge must supply.
typedef struct joined {
  fst_value_id value;
  ll_form form;
  LLVMValueRef a, b;
  LLVMValueRef dims[2 * FST_MAX_RANK];   // phis of the symbols that the type of the value defines
} joined;

static LLVMTypeRef scalar_type(const method *m, fst_type type) {
  switch (fst_type_kind_of(m->g->module->types, type)) {
    case FST_TY_FLOAT: return m->u->f64;
    case FST_TY_BOOL: return m->u->i1;
    default: return m->u->i64;
  }
}

static joined join_open(method *m, fst_value_id value) {
  joined j = {.value = value};
  fst_type type = fst_value_type(m->g, value);
  const fst_type_data *t = fst_type_get(m->g->module->types, type);
  j.form = method_form(m, type);
  if (j.form == LL_SCALAR) j.a = LLVMBuildPhi(m->b, scalar_type(m, type), "");
  if (j.form == LL_OBJECT) j.a = LLVMBuildPhi(m->b, m->u->ptr, "");
  if (j.form == LL_DYNAMIC) {
    j.a = LLVMBuildPhi(m->b, m->u->i32, "");
    j.b = LLVMBuildPhi(m->b, m->u->i64, "");
  }
  if (j.form == LL_TENSOR) {
    j.a = LLVMBuildPhi(m->b, m->u->ptr, "");
    j.b = LLVMBuildPhi(m->b, m->u->ptr, "");
    for (int i = 0; i < 2 * t->rank; i++) {
      fst_dim d = i < t->rank ? t->dims[i] : t->strides[i - t->rank];
      if (!method_wants_symbol(m, d)) continue;
      j.dims[i] = LLVMBuildPhi(m->b, m->u->i64, "");
      method_define_symbol(m, d, j.dims[i]);
    }
  }
  ll_value v = {.a = j.a, .b = j.b};
  method_set(m, value, v);
  return j;
}

// What the edge from the builder's block brings.
typedef struct incoming { LLVMValueRef a, b, dims[2 * FST_MAX_RANK]; } incoming;

static incoming join_supply(method *m, const joined *j, fst_value_id from) {
  incoming in = {0};
  const fst_type_data *t = fst_value_type_data(m->g, j->value), *s = fst_value_type_data(m->g, from);
  ll_value v = method_coerce(m, from, fst_value_type(m->g, j->value));
  in.a = v.a;
  in.b = v.b;
  if (j->form != LL_TENSOR) return in;
  for (int i = 0; i < 2 * t->rank; i++) {
    if (!j->dims[i]) continue;
    bool known = s->kind == FST_TY_TENSOR && s->rank == t->rank;
    in.dims[i] = known ? method_dim(m, i < t->rank ? s->dims[i] : s->strides[i - t->rank]) : method_i64(m, 0);
  }
  return in;
}

static void join_add(joined *j, const incoming *in, LLVMBasicBlockRef from) {
  LLVMBasicBlockRef blocks[1] = {from};
  LLVMValueRef a = in->a, b = in->b;
  if (j->a) LLVMAddIncoming(j->a, &a, blocks, 1);
  if (j->b) LLVMAddIncoming(j->b, &b, blocks, 1);
  for (int i = 0; i < 2 * FST_MAX_RANK; i++) {
    LLVMValueRef d = in->dims[i];
    if (j->dims[i]) LLVMAddIncoming(j->dims[i], &d, blocks, 1);
  }
}

// ---- If --------------------------------------------------------------------------------------------

// Symbols that a branch or a body defines are gone behind it: another path does not define them.
static LLVMValueRef *save_symbols(method *m) { return fst_arena_memdup(&m->arena, m->symbols, (m->symbol_count + 1) * sizeof *m->symbols); }
static void restore_symbols(method *m, const LLVMValueRef *saved) { memcpy(m->symbols, saved, m->symbol_count * sizeof *saved); }

static fst_status emit_if(method *m, const fst_node *n) {
  LLVMBasicBlockRef blocks[2] = {method_new_block(m, "then"), method_new_block(m, "else")}, after = method_new_block(m, "endif"), ends[2];
  LLVMBuildCondBr(m->b, method_value(m, n->operands[0]).a, blocks[0], blocks[1]);
  LLVMValueRef *saved = save_symbols(m);
  LLVMPositionBuilderAtEnd(m->b, after);
  joined *joins = FST_NEW_ARRAY(&m->arena, joined, n->result_count + 1);
  for (uint32_t r = 0; r < n->result_count; r++) joins[r] = join_open(m, n->results[r]);
  LLVMValueRef *joined_symbols = save_symbols(m);
  for (uint32_t k = 0; k < 2; k++) {
    restore_symbols(m, saved);
    LLVMPositionBuilderAtEnd(m->b, blocks[k]);
    FST_TRY(method_block(m, n->blocks[k]));
    const fst_node *yield = fst_node_get(m->g, fst_block_terminator(m->g, n->blocks[k]));
    bool ends_here = LLVMGetBasicBlockTerminator(LLVMGetInsertBlock(m->b)) != NULL;   // raised
    incoming *in = FST_NEW_ARRAY(&m->arena, incoming, n->result_count + 1);
    for (uint32_t r = 0; r < n->result_count && !ends_here; r++) in[r] = join_supply(m, &joins[r], yield->operands[r]);
    ends[k] = LLVMGetInsertBlock(m->b);
    if (ends_here) continue;
    LLVMBuildBr(m->b, after);
    for (uint32_t r = 0; r < n->result_count; r++) join_add(&joins[r], &in[r], ends[k]);
  }
  restore_symbols(m, joined_symbols);
  LLVMPositionBuilderAtEnd(m->b, after);
  return NULL;
}

// ---- Loop ------------------------------------------------------------------------------------------

// Copies eight bytes at a time, then the rest: generated code may not call memmove. The two do not overlap, or are the
// same.
static void copy_bytes(method *m, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes) {
  if (m->device) {
    LLVMValueRef args[] = {to, from, bytes};
    method_check(m, method_call(m, METHOD_CALL_move, args, 3));
    return;
  }
  static const int64_t widths[] = {32, 8, 1};
  LLVMValueRef done = method_i64(m, 0);
  for (int i = 0; i < 3; i++) {
    LLVMTypeRef unit = widths[i] == 32 ? LLVMVectorType(m->u->i64, 4) : widths[i] == 8 ? m->u->i64 : m->u->i8;
    LLVMBasicBlockRef from_block = LLVMGetInsertBlock(m->b), head = method_new_block(m, "copy"), body = method_new_block(m, "copying"), after = method_new_block(m, "copied");
    LLVMBuildBr(m->b, head);
    LLVMPositionBuilderAtEnd(m->b, head);
    LLVMValueRef at = LLVMBuildPhi(m->b, m->u->i64, ""), next = LLVMBuildAdd(m->b, at, method_i64(m, widths[i]), "");
    LLVMBuildCondBr(m->b, LLVMBuildICmp(m->b, LLVMIntSLE, next, bytes, ""), body, after);
    LLVMPositionBuilderAtEnd(m->b, body);
    LLVMValueRef loaded = LLVMBuildLoad2(m->b, unit, LLVMBuildInBoundsGEP2(m->b, m->u->i8, from, &at, 1, ""), "");
    LLVMValueRef store = LLVMBuildStore(m->b, loaded, LLVMBuildInBoundsGEP2(m->b, m->u->i8, to, &at, 1, ""));
    LLVMSetAlignment(loaded, 1);
    LLVMSetAlignment(store, 1);
    LLVMBuildBr(m->b, head);
    LLVMAddIncoming(at, &done, &from_block, 1);
    LLVMAddIncoming(at, &next, &body, 1);
    LLVMPositionBuilderAtEnd(m->b, after);
    done = at;
  }
}

LLVMValueRef method_slot(method *m, uint32_t slot) { return LLVMBuildInBoundsGEP2(m->b, m->u->i8, m->memory, &m->slot_offset[slot], 1, ""); }

// A carried tensor that owns a slot: whatever arrives is moved there, and the pointer stays the slot's.
// A source that is the slot itself costs nothing. When one carried value is handed to another (a swap), the
// sources are copied aside first, so that none is overwritten before it is read.
static fst_status supply_carried(method *m, joined *joins, incoming *in, const fst_value_id *from, uint32_t count, const fst_block *body) {
  bool *moves = FST_NEW_ARRAY(&m->arena, bool, count + 1);
  for (uint32_t i = 0; i < count; i++) {
    fst_value_id param = body->params.data[i + 1];
    moves[i] = m->plan->carried[param.id].kind == FST_CARRIED_MOVED;
    if (!moves[i]) continue;
    const fst_value *v = fst_value_get(m->g, from[i]);
    bool is_param = v->kind == FST_VALUE_PARAM && fst_block_get(m->g, v->block) == body;
    if (is_param && !fst_value_eq(from[i], param)) {
      LLVMValueRef size = method_bytes(m, from[i]), aside = method_call(m, METHOD_CALL_scratch, &size, 1);
      method_check_pointer(m, aside);
      copy_bytes(m, aside, in[i].a, size);
      in[i].a = aside;
    }
  }
  for (uint32_t i = 0; i < count; i++) {
    if (!moves[i]) continue;
    LLVMValueRef home = method_slot(m, m->plan->carried[body->params.data[i + 1].id].slot);
    if (!fst_value_eq(from[i], body->params.data[i + 1])) copy_bytes(m, home, in[i].a, method_bytes(m, joins[i].value));
    in[i].a = home;
    in[i].b = LLVMConstNull(m->u->ptr);
  }
  return NULL;
}

// Every run of the loop has storages of its own: what an earlier run left in them may be in use.
static void open_turns(method *m, const fst_block *body) {
  for (size_t i = 0; i < body->params.len; i++) {
    uint32_t param = body->params.data[i].id;
    if (m->plan->carried[param].kind != FST_CARRIED_TURNS_HEAP) continue;
    for (int k = 0; k < 2; k++) {
      m->turns[param][k] = method_alloca(m, m->u->ptr, 1);
      LLVMBuildStore(m->b, LLVMConstNull(m->u->ptr), m->turns[param][k]);
    }
  }
}

static fst_status emit_loop(method *m, const fst_node *n) {
  const fst_block *body = fst_block_get(m->g, n->blocks[0]);
  const fst_node *yield = fst_node_get(m->g, fst_block_terminator(m->g, n->blocks[0]));
  uint32_t count = n->result_count;
  LLVMBasicBlockRef before = LLVMGetInsertBlock(m->b), head = method_new_block(m, "loop"), inside = method_new_block(m, "body"), after = method_new_block(m, "endloop");
  LLVMValueRef limit = method_value(m, n->operands[0]).a, cond0 = method_value(m, n->operands[1]).a;
  LLVMValueRef *saved = save_symbols(m);
  open_turns(m, body);

  // The head joins the carried values; the results of the node are what they are when the head leaves.
  LLVMPositionBuilderAtEnd(m->b, head);
  LLVMValueRef trip = LLVMBuildPhi(m->b, m->u->i64, ""), go = LLVMBuildPhi(m->b, m->u->i1, "");
  joined *joins = FST_NEW_ARRAY(&m->arena, joined, count + 1);
  for (uint32_t i = 0; i < count; i++) joins[i] = join_open(m, body->params.data[i + 1]);
  ll_value t = {.a = trip};
  method_set(m, body->params.data[0], t);
  LLVMValueRef runs = LLVMBuildAnd(m->b, go, LLVMBuildICmp(m->b, LLVMIntSLT, trip, limit, ""), "");
  LLVMBuildCondBr(m->b, runs, inside, after);
  LLVMValueRef *inner_symbols = save_symbols(m);

  LLVMPositionBuilderAtEnd(m->b, before);   // from outside
  restore_symbols(m, saved);
  incoming *in = FST_NEW_ARRAY(&m->arena, incoming, count + 1);
  for (uint32_t i = 0; i < count; i++) in[i] = join_supply(m, &joins[i], n->operands[i + 2]);
  FST_TRY(supply_carried(m, joins, in, n->operands + 2, count, body));
  LLVMBasicBlockRef from = LLVMGetInsertBlock(m->b);
  LLVMBuildBr(m->b, head);
  LLVMValueRef zero = method_i64(m, 0);
  LLVMAddIncoming(trip, &zero, &from, 1);
  LLVMAddIncoming(go, &cond0, &from, 1);
  for (uint32_t i = 0; i < count; i++) join_add(&joins[i], &in[i], from);

  restore_symbols(m, inner_symbols);
  LLVMPositionBuilderAtEnd(m->b, inside);
  FST_TRY(method_block(m, n->blocks[0]));
  if (!LLVMGetBasicBlockTerminator(LLVMGetInsertBlock(m->b))) {
    LLVMValueRef goes_on = method_value(m, yield->operands[0]).a;
    for (uint32_t i = 0; i < count; i++) in[i] = join_supply(m, &joins[i], yield->operands[i + 1]);
    FST_TRY(supply_carried(m, joins, in, yield->operands + 1, count, body));
    LLVMValueRef next = LLVMBuildNSWAdd(m->b, trip, method_i64(m, 1), "");   // below the limit
    from = LLVMGetInsertBlock(m->b);
    LLVMBuildBr(m->b, head);
    LLVMAddIncoming(trip, &next, &from, 1);
    LLVMAddIncoming(go, &goes_on, &from, 1);
    for (uint32_t i = 0; i < count; i++) join_add(&joins[i], &in[i], from);
  }

  LLVMPositionBuilderAtEnd(m->b, after);
  restore_symbols(m, saved);
  for (uint32_t i = 0; i < count; i++) {
    const fst_type_data *t0 = fst_value_type_data(m->g, body->params.data[i + 1]), *t1 = fst_value_type_data(m->g, n->results[i]);
    for (int k = 0; joins[i].form == LL_TENSOR && k < 2 * t1->rank; k++) {
      fst_dim d = k < t1->rank ? t1->dims[k] : t1->strides[k - t1->rank], was = k < t1->rank ? t0->dims[k] : t0->strides[k - t1->rank];
      uint32_t symbol;
      if (!method_wants_symbol(m, d)) continue;
      LLVMValueRef value = joins[i].dims[k];
      if (!value && fst_dim_is_symbol(m->g->dims, was, &symbol)) value = inner_symbols[symbol];
      method_define_symbol(m, d, value ? value : method_dim(m, was));
    }
    ll_value v = {.a = joins[i].a, .b = joins[i].b};
    method_set(m, n->results[i], v);
  }
  return NULL;
}

// ---- leaving ---------------------------------------------------------------------------------------

static fst_status emit_raise(method *m, const fst_node *n) {
  const fst_const_data *cls = n->operand_count > 1 ? fst_value_const(m->g, n->operands[1]) : NULL;
  const char *name = cls && cls->kind == FST_CONST_STR ? fst_sym_text(&m->g->module->strings, cls->str) : "builtins.RuntimeError";
  LLVMValueRef args[] = {method_i64(m, fst_plan_exception_add(m->tables, name)), method_object(m, n->operands[0]), method_loc(m, n->loc)};
  method_call(m, METHOD_CALL_raise, args, 3);
  LLVMBuildBr(m->b, m->fail);
  return NULL;
}

static void emit_return(method *m, const fst_node *n) {
  for (uint32_t i = 0; i < n->operand_count; i++)
    method_store_val(m, n->operands[i], method_address(m, m->results, (int64_t)i * (int64_t)sizeof(fst_val)));
  LLVMBuildRet(m->b, LLVMConstInt(m->u->i32, 0, 0));
}

fst_status method_block(method *m, fst_block_id block) {
  for (FST_EACH_NODE(m->g, block, id)) {
    const fst_node *n = fst_node_get(m->g, id);
    if (LLVMGetBasicBlockTerminator(LLVMGetInsertBlock(m->b))) return NULL;   // raised: the rest is dead
    m->loc = n->loc;
    switch (n->op) {
      case FST_OP_YIELD: return NULL;
      case FST_OP_IF: FST_TRY(emit_if(m, n)); break;
      case FST_OP_LOOP: FST_TRY(emit_loop(m, n)); break;
      case FST_OP_RAISE: FST_TRY(emit_raise(m, n)); break;
      case FST_OP_RETURN: emit_return(m, n); break;
      default: FST_TRY(method_node(m, id)); break;
    }
  }
  return NULL;
}

// ---- the function ----------------------------------------------------------------------------------

static void emit_arguments(method *m) {
  const fst_block *entry = fst_block_get(m->g, m->g->entry);
  for (size_t i = 0; i < entry->params.len; i++) {
    fst_value_id p = entry->params.data[i];
    method_set(m, p, method_unbox(m, fst_value_type(m->g, p), method_address(m, m->args, (int64_t)i * (int64_t)sizeof(fst_val))));
  }
}

// The arena: constant slots at planned offsets, then slots of sizes known from the arguments, then scratch.
static void emit_arena(method *m) {
  m->slot_offset = FST_NEW_ARRAY(&m->arena, LLVMValueRef, m->plan->slot_count + 1);
  LLVMValueRef at = method_i64(m, m->plan->fixed_bytes);
  for (uint32_t i = 0; i < m->plan->slot_count; i++) {
    const fst_arena_slot *slot = &m->plan->slots[i];
    int64_t fixed;
    if (fst_dim_is_const(m->g->dims, slot->bytes, &fixed)) {
      m->slot_offset[i] = method_i64(m, slot->offset);
      continue;
    }
    m->slot_offset[i] = at;
    LLVMValueRef padded = LLVMBuildAnd(m->b, LLVMBuildAdd(m->b, method_dim_bytes(m, slot->bytes), method_i64(m, 63), ""), method_i64(m, -64), "");
    at = LLVMBuildAdd(m->b, at, padded, "");
  }
  m->scratch_at = at;
  m->arena_call = method_call(m, METHOD_CALL_arena, &at, 1);   // finish_arena completes the size
  m->memory = m->arena_call;
  method_check_pointer(m, m->memory);
}

static void finish_arena(method *m) {
  LLVMBuilderRef b = LLVMCreateBuilderInContext(m->u->context);
  LLVMPositionBuilderBefore(b, m->arena_call);
  LLVMSetOperand(m->arena_call, 1, LLVMBuildAdd(b, m->scratch_at, method_i64(m, (int64_t)m->scratch_bytes), ""));
  LLVMDisposeBuilder(b);
}

static void open_function(method *m, uint32_t number) {
  char name[32];
  snprintf(name, sizeof name, "fst_entry_%u", number);
  LLVMTypeRef params[] = {m->u->ptr, m->u->ptr, m->u->ptr};
  m->fn = fst_llvm_function_add(m->u, name, LLVMFunctionType(m->u->i32, params, 3, 0));
  LLVMSetLinkage(m->fn, LLVMExternalLinkage);
  m->call = LLVMGetParam(m->fn, 0);
  m->args = LLVMGetParam(m->fn, 1);
  m->results = LLVMGetParam(m->fn, 2);
  LLVMBasicBlockRef head = method_new_block(m, "allocas"), start = method_new_block(m, "entry");
  m->fail = method_new_block(m, "fail");
  m->allocas = LLVMCreateBuilderInContext(m->u->context);
  m->b = LLVMCreateBuilderInContext(m->u->context);
  LLVMPositionBuilderAtEnd(m->b, m->fail);
  LLVMBuildRet(m->b, LLVMConstInt(m->u->i32, 1, 0));
  LLVMPositionBuilderAtEnd(m->b, head);
  LLVMPositionBuilderBefore(m->allocas, LLVMBuildBr(m->b, start));
  LLVMPositionBuilderAtEnd(m->b, start);
  m->calls = method_load(m, m->u->ptr, m->call, offsetof(fst_call, calls));
  m->weights = method_load(m, m->u->ptr, m->call, offsetof(fst_call, weights));
  m->state = method_load(m, m->u->ptr, m->call, offsetof(fst_call, state));
  m->consts = method_load(m, m->u->ptr, m->call, offsetof(fst_call, consts));
  m->call_failed = method_new_block(m, "call_failed");
  LLVMPositionBuilderAtEnd(m->b, m->call_failed);
  m->failed_at = LLVMBuildPhi(m->b, m->u->i64, "");
  method_call(m, METHOD_CALL_located, &m->failed_at, 1);
  LLVMBuildBr(m->b, m->fail);
  LLVMPositionBuilderAtEnd(m->b, start);
}

fst_status fst_llvm_method_emit(fst_llvm_unit *unit, struct fst_cuda_unit *device, const fst_graph *graph, uint32_t number, fst_blob *blob, fst_plan_tables *tables, fst_text *fallbacks) {
  method m = {.u = unit, .device = device, .g = graph, .plan = fst_graph_plan(graph), .blob = blob, .tables = tables, .fallbacks = fallbacks};
  if (!m.plan) return FST_FAIL(FST_ERR_INTERNAL, "%s has no memory plan", fst_sym_text(&graph->module->strings, graph->name));
  fst_arena_init(&m.arena);
  m.symbol_count = fst_dims_symbol_count(graph->dims);
  m.symbols = FST_NEW_ARRAY(&m.arena, LLVMValueRef, m.symbol_count + 1);
  m.values = FST_NEW_ARRAY(&m.arena, ll_value, graph->values.len + 1);
  m.turns = (LLVMValueRef(*)[2])FST_NEW_ARRAY(&m.arena, LLVMValueRef, 2 * graph->values.len + 2);
  m.has_effects = fst_graph_effects(graph) & FST_EFFECTS_LAST;
  open_function(&m, number);
  emit_arguments(&m);
  emit_arena(&m);
  fst_status status = method_block(&m, graph->entry);
  if (!status) finish_arena(&m);
  if (!LLVMGetBasicBlockTerminator(LLVMGetInsertBlock(m.b))) LLVMBuildUnreachable(m.b);
  LLVMDisposeBuilder(m.b);
  LLVMDisposeBuilder(m.allocas);
  fst_map_deinit(&m.consts_index);
  fst_arena_deinit(&m.arena);
  return status;
}
