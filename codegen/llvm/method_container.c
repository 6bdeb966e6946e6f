// Lists, dicts, tuples, strings and objects: calls into the runtime.
#include <stddef.h>
#include <string.h>

#include "base/container_ops.h"
#include "codegen/llvm/method_internal.h"
#include "ir/kernel_node.h"

static void set_object(method *m, const fst_node *n, LLVMValueRef object) {
  method_check_pointer(m, object);
  ll_value v = {.a = object};
  if (method_form(m, fst_value_type(m->g, n->results[0])) == LL_TENSOR) v = method_open_tensor(m, fst_value_type(m->g, n->results[0]), object);
  method_set(m, n->results[0], v);
}

// A call that fills one fst_val.
static LLVMValueRef out_val(method *m) { return method_alloca(m, m->u->i64, 2); }
static void set_val(method *m, const fst_node *n, LLVMValueRef val) {
  method_set(m, n->results[0], method_unbox(m, fst_value_type(m->g, n->results[0]), val));
}

// The items of a tuple as the node's results.
static void unpack_tuple(method *m, const fst_node *n, LLVMValueRef tuple) {
  for (uint32_t r = 0; r < n->result_count; r++) {
    LLVMValueRef at = method_address(m, tuple, (int64_t)offsetof(fst_tuple_obj, items) + (int64_t)r * (int64_t)sizeof(fst_val));
    method_set(m, n->results[r], method_unbox(m, fst_value_type(m->g, n->results[r]), at));
  }
}

static LLVMValueRef int_of(method *m, fst_value_id value, int64_t when_none) {
  return fst_value_is_none(m->g, value) ? method_i64(m, when_none) : method_value(m, value).a;
}

static void set_bool(method *m, const fst_node *n, LLVMValueRef flag, bool negate) {
  ll_value v = {.a = LLVMBuildICmp(m->b, negate ? LLVMIntEQ : LLVMIntNE, flag, LLVMConstInt(m->u->i32, 0, 0), "")};
  method_set(m, n->results[0], v);
}

static void construct(method *m, const fst_node *n, method_call_id call, uint32_t count) {
  LLVMValueRef args[] = {method_i64(m, count), method_vals(m, n->operands, n->operand_count)};
  set_object(m, n, method_call(m, call, args, 2));
}

// ---- lists -----------------------------------------------------------------------------------------

// The frequent ones inline: an index that is in bounds is a load.
static void list_get(method *m, const fst_node *n) {
  LLVMValueRef list = method_object(m, n->operands[0]), index = method_value(m, n->operands[1]).a;
  LLVMValueRef len = method_load(m, m->u->i64, list, offsetof(fst_list_obj, len));
  LLVMValueRef wrapped = LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, index, method_i64(m, 0), ""), LLVMBuildAdd(m->b, index, len, ""), index, "");
  method_raise_text(m, LLVMBuildICmp(m->b, LLVMIntUGE, wrapped, len, ""), "list index out of range", NULL, 0, n->loc);
  LLVMValueRef offset = LLVMBuildMul(m->b, wrapped, method_i64(m, sizeof(fst_val)), "");
  LLVMValueRef items = method_load(m, m->u->ptr, list, offsetof(fst_list_obj, items));
  set_val(m, n, LLVMBuildInBoundsGEP2(m->b, m->u->i8, items, &offset, 1, ""));
}

static bool list_op(method *m, const fst_node *n) {
  if (fst_op_get(n->op)->cls != FST_CLASS_CONTAINER) return false;
  LLVMValueRef list = method_object(m, n->operands[0]), loc = method_loc(m, n->loc);
  switch (n->op) {
    case FST_OP_LEN_T: {
      ll_value v = {.a = method_load(m, m->u->i64, list, offsetof(fst_list_obj, len))};
      method_set(m, n->results[0], v);
      return true;
    }
    case FST_OP___GETITEM___T: list_get(m, n); return true;
    case FST_OP_APPEND_T: {
      LLVMValueRef args[] = {list, method_box(m, n->operands[1])};
      method_call(m, METHOD_CALL_list_append, args, 2);
      break;
    }
    case FST_OP__SET_ITEM_T: {
      LLVMValueRef args[] = {list, method_value(m, n->operands[1]).a, loc, method_box(m, n->operands[2])};
      method_check(m, method_call(m, METHOD_CALL_list_set, args, 4));
      break;
    }
    case FST_OP_INSERT_T: {
      LLVMValueRef args[] = {list, method_value(m, n->operands[1]).a, method_box(m, n->operands[2])};
      method_call(m, METHOD_CALL_list_insert, args, 3);
      break;
    }
    case FST_OP_POP_T: {
      LLVMValueRef out = out_val(m), args[] = {list, int_of(m, n->operands[1], -1), loc, out};
      method_check(m, method_call(m, METHOD_CALL_list_pop, args, 4));
      set_val(m, n, out);
      return true;
    }
    case FST_OP_DELETE_T: {
      LLVMValueRef args[] = {list, method_value(m, n->operands[1]).a, loc};
      method_check(m, method_call(m, METHOD_CALL_list_del, args, 3));
      break;
    }
    case FST_OP_EXTEND_T: {
      LLVMValueRef args[] = {list, method_object(m, n->operands[1])};
      method_call(m, METHOD_CALL_list_extend, args, 2);
      break;
    }
    case FST_OP_ADD_T: {
      LLVMValueRef args[] = {list, method_object(m, n->operands[1])};
      set_object(m, n, method_call(m, METHOD_CALL_list_concat, args, 2));
      return true;
    }
    case FST_OP_ADD__T: {
      LLVMValueRef args[] = {list, method_object(m, n->operands[1])};
      method_call(m, METHOD_CALL_list_extend, args, 2);
      break;
    }
    case FST_OP_MUL_LEFT_T: {
      LLVMValueRef args[] = {list, method_value(m, n->operands[1]).a};
      set_object(m, n, method_call(m, METHOD_CALL_list_repeat, args, 2));
      return true;
    }
    case FST_OP_SLICE_T: {
      LLVMValueRef args[] = {list, int_of(m, n->operands[1], INT64_MIN), int_of(m, n->operands[2], INT64_MAX), method_value(m, n->operands[3]).a};
      set_object(m, n, method_call(m, METHOD_CALL_list_slice, args, 4));
      return true;
    }
    case FST_OP_LIST_T: case FST_OP_COPY_T: {
      LLVMValueRef args[] = {list, method_i64(m, 0), method_i64(m, INT64_MAX), method_i64(m, 1)};
      set_object(m, n, method_call(m, METHOD_CALL_list_slice, args, 4));
      return true;
    }
    case FST_OP_CLEAR_T: method_call(m, METHOD_CALL_list_clear, &list, 1); break;
    case FST_OP_REVERSE_T: method_call(m, METHOD_CALL_list_reverse, &list, 1); break;
    default: return false;
  }
  if (n->result_count) {   // returns its list
    ll_value v = {.a = list};
    method_set(m, n->results[0], v);
  }
  return true;
}

// ---- methods without a call of their own ------------------------------------------------------------

static const struct { fst_type_kind kind; const char *name; } container_ops[] = {
#define CONTAINER_OP(id, kind, name) {FST_TY_##kind, name},
#include "base/container_ops.def"
#undef CONTAINER_OP
};

// Has the runtime an order for values of this type? Instances of classes bring their own.
static bool is_ordered(const method *m, fst_type type) {
  const fst_type_data *t = fst_type_get(m->g->module->types, type);
  bool ordered = t->kind == FST_TY_INT || t->kind == FST_TY_FLOAT || t->kind == FST_TY_BOOL || t->kind == FST_TY_STR || t->kind == FST_TY_TUPLE;
  for (uint32_t i = 0; t->kind == FST_TY_TUPLE && i < t->count; i++) ordered = ordered && is_ordered(m, t->items[i]);
  return ordered;
}

static bool container_op(method *m, const fst_node *n) {
  const char *call = fst_op_get(n->op)->call;
  if (!call || strcmp(call, "container_op")) return false;
  const fst_type_data *t = fst_value_type_data(m->g, n->operands[0]);
  const char *name = strchr(fst_op_name(n->op), ':') + 2;
  size_t len = strcspn(name, "."), i = 0, count = sizeof container_ops / sizeof *container_ops;
  while (i < count && (container_ops[i].kind != t->kind || strlen(container_ops[i].name) != len || memcmp(container_ops[i].name, name, len))) i++;
  if (i == count) return false;
  if ((i == FST_CONTAINER_OP_LIST_SORT || i == FST_CONTAINER_OP_LIST_SORTED) && !is_ordered(m, t->elem)) return false;
  LLVMValueRef out = out_val(m);
  LLVMValueRef args[] = {method_i64(m, (int64_t)i), method_i64(m, n->operand_count), method_vals(m, n->operands, n->operand_count), method_loc(m, n->loc), out};
  method_check(m, method_call(m, METHOD_CALL_container_op, args, 5));
  if (n->result_count) set_val(m, n, out);
  return true;
}

// ---- dicts -----------------------------------------------------------------------------------------

// Overloads differ in the type of the key only: they are told apart by what they do.
static bool dict_op(method *m, const fst_node *n) {
  if (!n->operand_count || fst_value_type_data(m->g, n->operands[0])->kind != FST_TY_DICT) return false;
  const char *name = fst_op_name(n->op);
  LLVMValueRef dict = method_object(m, n->operands[0]), loc = method_loc(m, n->loc), out = out_val(m);
  const char *verb = strchr(name, ':') + 2;
  size_t len = strcspn(verb, ".");
#define IS(text) (len == sizeof(text) - 1 && !memcmp(verb, text, len))
  if (IS("__getitem__")) {
    LLVMValueRef args[] = {dict, method_box(m, n->operands[1]), loc, out};
    method_check(m, method_call(m, METHOD_CALL_dict_get, args, 4));
    set_val(m, n, out);
  } else if (IS("_set_item")) {
    LLVMValueRef args[] = {dict, method_box(m, n->operands[1]), method_box(m, n->operands[2])};
    method_check(m, method_call(m, METHOD_CALL_dict_set, args, 3));
  } else if (IS("__contains__")) {
    LLVMValueRef args[] = {dict, method_box(m, n->operands[1]), out};
    set_bool(m, n, method_call(m, METHOD_CALL_dict_find, args, 3), false);
  } else if (IS("len")) {
    ll_value v = {.a = method_load(m, m->u->i64, dict, offsetof(fst_dict_obj, len))};
    method_set(m, n->results[0], v);
  } else if (IS("get") && n->operand_count == 2) {
    LLVMValueRef args[] = {dict, method_box(m, n->operands[1]), out};
    method_call(m, METHOD_CALL_dict_find, args, 3);
    set_val(m, n, out);
  } else if (IS("keys") || IS("values") || IS("items")) {
    LLVMValueRef args[] = {dict, method_i64(m, IS("keys") ? 0 : IS("values") ? 1 : 2)};
    set_object(m, n, method_call(m, METHOD_CALL_dict_list, args, 2));
  } else if (IS("copy") || IS("dict")) {
    set_object(m, n, method_call(m, METHOD_CALL_dict_copy, &dict, 1));
  } else if (IS("clear")) {
    method_call(m, METHOD_CALL_dict_clear, &dict, 1);
  } else if (IS("update")) {
    LLVMValueRef args[] = {dict, method_object(m, n->operands[1])};
    method_call(m, METHOD_CALL_dict_update, args, 2);
  } else if (IS("Delete")) {
    LLVMValueRef args[] = {dict, method_box(m, n->operands[1]), loc};
    method_check(m, method_call(m, METHOD_CALL_dict_del, args, 3));
  } else {
    return false;
  }
#undef IS
  return true;
}

// ---- strings ---------------------------------------------------------------------------------------

static const char *const str_ops[] = {
#define STR_OP(id, name, operands) name,
#include "base/strops.def"
#undef STR_OP
};

static bool string_op(method *m, const fst_node *n) {
  const char *name = fst_op_name(n->op);
  if (n->op == FST_OP_FORMAT) {
    LLVMValueRef args[] = {method_object(m, n->operands[0]), method_i64(m, n->operand_count - 1), method_vals(m, n->operands + 1, n->operand_count - 1)};
    set_object(m, n, method_call(m, METHOD_CALL_format, args, 3));
    return true;
  }
  if (n->op == FST_OP_INT_STR || n->op == FST_OP_FLOAT_STR) {
    LLVMValueRef out = out_val(m), args[] = {method_object(m, n->operands[0]), method_i64(m, n->op == FST_OP_INT_STR ? FST_TAG_INT : FST_TAG_FLOAT), method_loc(m, n->loc), out};
    method_check(m, method_call(m, METHOD_CALL_to_number, args, 4));
    set_val(m, n, out);
    return true;
  }
  if (n->op == FST_OP_ADD_STR) {
    LLVMValueRef args[] = {method_object(m, n->operands[0]), method_object(m, n->operands[1])};
    set_object(m, n, method_call(m, METHOD_CALL_str_concat, args, 2));
    return true;
  }
  if (n->op == FST_OP_STR) {
    LLVMValueRef val = method_box(m, n->operands[0]);
    set_object(m, n, method_call(m, METHOD_CALL_str_of, &val, 1));
    return true;
  }
  if (n->op == FST_OP_EQ_STR || n->op == FST_OP_NE_STR || n->op == FST_OP_LT_STR || n->op == FST_OP_GT_STR || n->op == FST_OP_LE_STR || n->op == FST_OP_GE_STR) {
    LLVMValueRef args[] = {method_object(m, n->operands[0]), method_object(m, n->operands[1])};
    LLVMIntPredicate p = n->op == FST_OP_EQ_STR ? LLVMIntEQ : n->op == FST_OP_NE_STR ? LLVMIntNE : n->op == FST_OP_LT_STR ? LLVMIntSLT
                         : n->op == FST_OP_GT_STR ? LLVMIntSGT : n->op == FST_OP_LE_STR ? LLVMIntSLE : LLVMIntSGE;
    ll_value v = {.a = LLVMBuildICmp(m->b, p, method_call(m, METHOD_CALL_str_compare, args, 2), method_i64(m, 0), "")};
    method_set(m, n->results[0], v);
    return true;
  }
  for (uint32_t i = 0; i < sizeof str_ops / sizeof *str_ops; i++) {
    if (strcmp(str_ops[i], name)) continue;
    LLVMValueRef out = out_val(m), args[] = {method_i64(m, i), method_i64(m, n->operand_count), method_vals(m, n->operands, n->operand_count), out};
    method_check(m, method_call(m, METHOD_CALL_str_op, args, 4));
    if (n->result_count == 1) set_val(m, n, out);
    else unpack_tuple(m, n, method_load(m, m->u->ptr, out, offsetof(fst_val, p)));
    return true;
  }
  return false;
}

// ---- objects and the rest --------------------------------------------------------------------------

static bool object_op(method *m, const fst_node *n) {
  const fst_module *module = m->g->module;
  if (n->op == FST_OP_CREATE_OBJECT) {
    const fst_class *cls = &module->classes.data[fst_module_find_class(module, n->name).id];
    uint32_t *names = FST_NEW_ARRAY(&m->arena, uint32_t, cls->attr_count + 1);
    for (uint32_t i = 0; i < cls->attr_count; i++) names[i] = fst_plan_cstring_add(m->tables, fst_sym_text(&module->strings, cls->attr_names[i]));
    uint32_t number = fst_plan_class_add(m->tables, fst_sym_text(&module->strings, n->name), FST_PLAN_CLASS_PLAIN, names, NULL, cls->attr_count);
    LLVMValueRef args[] = {method_i64(m, number), method_i64(m, cls->attr_count)};
    set_object(m, n, method_call(m, METHOD_CALL_object_new, args, 2));
    return true;
  }
  if (n->op != FST_OP_GET_ATTR && n->op != FST_OP_SET_ATTR) return false;
  const fst_type_data *t = fst_value_type_data(m->g, n->operands[0]);
  const fst_class *cls = &module->classes.data[fst_module_find_class(module, t->name).id];
  int attr = fst_class_attr(cls, n->name);
  if (attr < 0) return false;
  LLVMValueRef object = method_object(m, n->operands[0]);
  if (n->op == FST_OP_GET_ATTR) {
    set_val(m, n, method_address(m, object, (int64_t)offsetof(fst_object_obj, slots) + attr * (int64_t)sizeof(fst_val)));
  } else {
    LLVMValueRef args[] = {object, method_i64(m, attr), method_box(m, n->operands[1])};
    method_call(m, METHOD_CALL_object_set, args, 3);
  }
  return true;
}

static bool tuple_op(method *m, const fst_node *n) {
  LLVMValueRef tuple;
  int64_t index;
  switch (n->op) {
    case FST_OP_TUPLE_CONSTRUCT: construct(m, n, METHOD_CALL_tuple_new, n->operand_count); return true;
    case FST_OP_TUPLE_UNPACK:
    case FST_OP_LIST_UNPACK: {
      tuple = method_object(m, n->operands[0]);
      bool list = n->op == FST_OP_LIST_UNPACK;
      int64_t at = list ? 0 : (int64_t)offsetof(fst_tuple_obj, items);
      if (list) {
        LLVMValueRef len = method_load(m, m->u->i64, tuple, offsetof(fst_list_obj, len)), want = method_i64(m, n->result_count);
        method_raise_text(m, LLVMBuildICmp(m->b, LLVMIntNE, len, want, ""), "Expected {} elements in a list but found {}", (LLVMValueRef[]){want, len}, 2, n->loc);
        tuple = method_load(m, m->u->ptr, tuple, offsetof(fst_list_obj, items));
      }
      for (uint32_t r = 0; r < n->result_count; r++)
        method_set(m, n->results[r], method_unbox(m, fst_value_type(m->g, n->results[r]), method_address(m, tuple, at + (int64_t)r * (int64_t)sizeof(fst_val))));
      return true;
    }
    case FST_OP_TUPLE_INDEX: {
      const fst_type_data *t = fst_value_type_data(m->g, n->operands[0]);
      if (!fst_value_const_int(m->g, n->operands[1], &index)) return false;
      if (index < 0) index += t->count;
      tuple = method_object(m, n->operands[0]);
      set_val(m, n, method_address(m, tuple, (int64_t)offsetof(fst_tuple_obj, items) + index * (int64_t)sizeof(fst_val)));
      return true;
    }
    default: return false;
  }
}

// Name or value of an enum member: a choice among the literals of its class.
static bool enum_op(method *m, const fst_node *n) {
  fst_module *module = m->g->module;
  if (n->op == FST_OP_EQ_ENUM || n->op == FST_OP_NE_ENUM) {
    ll_value v = {.a = LLVMBuildICmp(m->b, n->op == FST_OP_EQ_ENUM ? LLVMIntEQ : LLVMIntNE, method_value(m, n->operands[0]).b, method_value(m, n->operands[1]).b, "")};
    method_set(m, n->results[0], v);
    return true;
  }
  if (n->op != FST_OP_ENUM_NAME && n->op != FST_OP_ENUM_VALUE_INT && n->op != FST_OP_ENUM_VALUE_FLOAT && n->op != FST_OP_ENUM_VALUE_STR) return false;
  fst_class_id id = fst_module_find_class(module, fst_value_type_data(m->g, n->operands[0])->name);
  if (!id.id) return false;
  fst_class cls = *fst_module_class(module, id);
  LLVMValueRef member = LLVMBuildAnd(m->b, method_value(m, n->operands[0]).b, method_i64(m, UINT32_MAX), "");
  LLVMValueRef at = NULL;
  for (uint32_t i = 0; i < cls.member_count; i++) {
    fst_const literal = cls.member_values[i];
    if (n->op == FST_OP_ENUM_NAME) literal = fst_const_str(module, fst_sym_text(&module->strings, cls.member_names[i]), fst_sym_len(&module->strings, cls.member_names[i]));
    LLVMValueRef val = method_address(m, m->consts, (int64_t)method_const(m, literal) * (int64_t)sizeof(fst_val));
    at = at ? LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntEQ, member, method_i64(m, i), ""), val, at, "") : val;
  }
  if (!at) return false;
  set_val(m, n, at);
  return true;
}

static bool other_op(method *m, const fst_node *n) {
  LLVMValueRef tag;
  switch (n->op) {
    case FST_OP_PRINT: {
      LLVMValueRef args[] = {method_i64(m, n->operand_count), method_vals(m, n->operands, n->operand_count)};
      method_call(m, METHOD_CALL_print, args, 2);
      return true;
    }
    case FST_OP_WARN: {
      LLVMValueRef args[] = {method_object(m, n->operands[0]), n->operand_count > 1 ? method_value(m, n->operands[1]).a : method_i64(m, 2), method_loc(m, n->loc)};
      method_call(m, METHOD_CALL_warn, args, 3);
      return true;
    }
    case FST_OP___IS__: case FST_OP___ISNOT__: {
      // One side is None; the other may be.
      fst_value_id other = fst_value_is_none(m->g, n->operands[1]) ? n->operands[0] : n->operands[1];
      if (method_form(m, fst_value_type(m->g, other)) != LL_DYNAMIC) return false;
      tag = method_value(m, other).a;
      ll_value v = {.a = LLVMBuildICmp(m->b, n->op == FST_OP___IS__ ? LLVMIntEQ : LLVMIntNE, tag, LLVMConstInt(m->u->i32, FST_TAG_NONE, 0), "")};
      method_set(m, n->results[0], v);
      return true;
    }
    default: return false;
  }
}

// Joins the tensors of a list that exists; those of known lists are kernels.
static bool join_op(method *m, const fst_node *n) {
  if (n->op != FST_OP_STACK && n->op != FST_OP_CAT) return false;
  const fst_type_data *list = fst_value_type_data(m->g, n->operands[0]);
  if (list->kind != FST_TY_LIST || method_form(m, list->elem) != LL_TENSOR || method_form(m, fst_value_type(m->g, n->results[0])) != LL_TENSOR) return false;
  LLVMValueRef out = out_val(m), dim = n->operand_count > 1 ? method_value(m, n->operands[1]).a : method_i64(m, 0);
  LLVMValueRef args[] = {method_object(m, n->operands[0]), dim, method_i64(m, n->op == FST_OP_STACK), method_loc(m, n->loc), out};
  method_check(m, method_call(m, METHOD_CALL_tensor_join, args, 5));
  set_val(m, n, out);
  return true;
}

// The tensor's elements as lists in lists, as deep as the result's type, which names the elements' type too.
static bool tolist_op(method *m, const fst_node *n) {
  if (n->op != FST_OP_TOLIST) return false;
  const fst_type_data *t = fst_value_type_data(m->g, n->results[0]);
  int64_t depth = 0;
  for (; t->kind == FST_TY_LIST; depth++) t = fst_type_get(m->g->module->types, t->elem);
  if (t->kind != FST_TY_INT && t->kind != FST_TY_FLOAT && t->kind != FST_TY_BOOL) return false;
  int64_t tag = t->kind == FST_TY_INT ? FST_TAG_INT : t->kind == FST_TY_FLOAT ? FST_TAG_FLOAT : FST_TAG_BOOL;
  LLVMValueRef out = out_val(m), args[] = {method_object(m, n->operands[0]), method_i64(m, depth), method_i64(m, tag), method_loc(m, n->loc), out};
  method_check(m, method_call(m, METHOD_CALL_tensor_list, args, 5));
  set_val(m, n, out);
  return true;
}

fst_status method_container(method *m, fst_node_id id, bool *out_done) {
  const fst_node *n = fst_node_get(m->g, id);
  *out_done = true;
  if (n->op == FST_OP_UNKNOWN) {
    *out_done = false;
    return NULL;
  }
  if (n->op == FST_OP_LIST_CONSTRUCT) {
    if (!fst_list_is_literal(m->g, id)) construct(m, n, METHOD_CALL_list_new, n->operand_count);
    return NULL;
  }
  if (n->op == FST_OP_DICT_CONSTRUCT || n->op == FST_OP_DICT) {
    construct(m, n, METHOD_CALL_dict_new, n->operand_count / 2);
    return NULL;
  }
  if (n->op == FST_OP_MUL_RIGHT_) {
    LLVMValueRef args[] = {method_object(m, n->operands[1]), method_value(m, n->operands[0]).a};
    set_object(m, n, method_call(m, METHOD_CALL_list_repeat, args, 2));
    return NULL;
  }
  if (n->op == FST_OP_RANGELIST) {
    set_object(m, n, method_call(m, METHOD_CALL_list_range, (LLVMValueRef[]){method_value(m, n->operands[0]).a}, 1));
    return NULL;
  }
  bool is_list = n->operand_count && fst_value_type_data(m->g, n->operands[0])->kind == FST_TY_LIST;
  *out_done = join_op(m, n) || tolist_op(m, n) || container_op(m, n) || (is_list && list_op(m, n)) || dict_op(m, n) || tuple_op(m, n) || object_op(m, n) || string_op(m, n) || enum_op(m, n) || other_op(m, n);
  return NULL;
}
