// Values of a graph as LLVM values: literals, sizes, boxing and unboxing.
#include <stddef.h>
#include <string.h>

#include "codegen/llvm/method_internal.h"

static const fst_type_data *type_of(const method *m, fst_type type) { return fst_type_get(m->g->module->types, type); }

static bool is_enum(const method *m, const fst_type_data *t) {
  fst_class_id cls = fst_module_find_class(m->g->module, t->name);
  return cls.id && fst_module_class(m->g->module, cls)->kind == FST_CLASS_ENUM;
}

ll_form method_form(const method *m, fst_type type) {
  const fst_type_data *t = type_of(m, type);
  switch (t->kind) {
    case FST_TY_NONE: case FST_TY_UNINIT: return LL_NOTHING;
    case FST_TY_INT: case FST_TY_FLOAT: case FST_TY_BOOL: case FST_TY_DEVICE: return LL_SCALAR;
    case FST_TY_TENSOR: return t->rank >= 0 && t->dtype != FST_DTYPE_UNKNOWN ? LL_TENSOR : LL_OBJECT;
    case FST_TY_CLASS: return is_enum(m, t) ? LL_DYNAMIC : LL_OBJECT;   // an enum's value is its tag and member
    case FST_TY_STR: case FST_TY_LIST: case FST_TY_DICT: case FST_TY_TUPLE: case FST_TY_COMPLEX: case FST_TY_OPAQUE: return LL_OBJECT;
    default: return LL_DYNAMIC;
  }
}

LLVMValueRef method_i64(const method *m, int64_t value) { return LLVMConstInt(m->u->i64, (uint64_t)value, 1); }

LLVMValueRef method_address(method *m, LLVMValueRef base, int64_t byte_offset) {
  if (!byte_offset) return base;
  LLVMValueRef index = method_i64(m, byte_offset);
  return LLVMBuildInBoundsGEP2(m->b, m->u->i8, base, &index, 1, "");
}

LLVMValueRef method_load(method *m, LLVMTypeRef type, LLVMValueRef base, int64_t byte_offset) {
  return LLVMBuildLoad2(m->b, type, method_address(m, base, byte_offset), "");
}

LLVMValueRef method_alloca(method *m, LLVMTypeRef type, uint32_t count) {
  LLVMValueRef a = LLVMBuildArrayAlloca(m->allocas, type, LLVMConstInt(m->u->i32, count ? count : 1, 0), "");
  LLVMSetAlignment(a, 16);
  return a;
}

// ---- sizes -----------------------------------------------------------------------------------------

bool method_wants_symbol(const method *m, fst_dim d) {
  uint32_t symbol;
  return fst_dim_is_known(d) && fst_dim_is_symbol(m->g->dims, d, &symbol) && !m->symbols[symbol];
}

void method_define_symbol(method *m, fst_dim d, LLVMValueRef value) {
  uint32_t symbol;
  if (method_wants_symbol(m, d) && fst_dim_is_symbol(m->g->dims, d, &symbol)) m->symbols[symbol] = value;
}

// Python's floor: one below the truncated quotient when signs differ and it is not exact.
static LLVMValueRef floor_divide(method *m, LLVMValueRef a, LLVMValueRef b, bool want_remainder) {
  // -2**63 by -1 would trap: x by -1 is -x with nothing left, whatever x is.
  LLVMValueRef zero = method_i64(m, 0), by_minus = LLVMBuildICmp(m->b, LLVMIntEQ, b, method_i64(m, -1), ""), safe = LLVMBuildSelect(m->b, by_minus, method_i64(m, 1), b, "");
  LLVMValueRef q = LLVMBuildSDiv(m->b, a, safe, ""), r = LLVMBuildSRem(m->b, a, safe, "");
  q = LLVMBuildSelect(m->b, by_minus, LLVMBuildNeg(m->b, a, ""), q, "");
  LLVMValueRef inexact = LLVMBuildICmp(m->b, LLVMIntNE, r, zero, "");
  LLVMValueRef differ = LLVMBuildICmp(m->b, LLVMIntSLT, LLVMBuildXor(m->b, r, b, ""), zero, "");
  LLVMValueRef fix = LLVMBuildAnd(m->b, inexact, differ, "");
  return want_remainder ? LLVMBuildSelect(m->b, fix, LLVMBuildAdd(m->b, r, b, ""), r, "")
                        : LLVMBuildSelect(m->b, fix, LLVMBuildSub(m->b, q, method_i64(m, 1), ""), q, "");
}

// A step, stride or size that comes with the call may be 0 where it divides.
static void check_divisor(method *m, fst_dim d, LLVMValueRef divisor) {
  int64_t low, high;
  fst_dim_bounds(m->g->dims, d, &low, &high);
  if (low > 0 || high < 0) return;
  LLVMValueRef zero = method_i64(m, 0);
  method_raise_text(m, LLVMBuildICmp(m->b, LLVMIntEQ, divisor, zero, ""), "a step, stride or size of 0 divides a size", NULL, 0, m->loc);
}

LLVMValueRef method_dim(method *m, fst_dim d) {
  FST_ASSERT(fst_dim_is_known(d), "a size of %s is not known", fst_sym_text(&m->g->module->strings, m->g->name));
  fst_dim_view v = fst_dim_open(m->g->dims, d);
  LLVMValueRef x, y;
  switch (v.kind) {
    case FST_DIM_CONST: return method_i64(m, v.constant);
    case FST_DIM_SYMBOL:
      FST_ASSERT(v.symbol < m->symbol_count && m->symbols[v.symbol], "symbol s%u is used before it is defined", v.symbol);
      return m->symbols[v.symbol];
    case FST_DIM_SUM:
      x = method_i64(m, v.constant);
      for (uint32_t i = 0; i < v.count; i++) {
        y = method_dim(m, v.operands[i]);
        if (v.coefficients[i] != 1) y = LLVMBuildMul(m->b, y, method_i64(m, v.coefficients[i]), "");
        x = LLVMBuildAdd(m->b, x, y, "");
      }
      return x;
    case FST_DIM_PRODUCT:
      x = method_dim(m, v.operands[0]);
      for (uint32_t i = 1; i < v.count; i++) x = LLVMBuildMul(m->b, x, method_dim(m, v.operands[i]), "");
      return x;
    default: break;
  }
  x = method_dim(m, v.operands[0]);
  y = method_dim(m, v.operands[1]);
  switch (v.kind) {
    case FST_DIM_FLOORDIV: case FST_DIM_MOD:
      check_divisor(m, v.operands[1], y);
      return floor_divide(m, x, y, v.kind == FST_DIM_MOD);
    case FST_DIM_MIN: return LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, x, y, ""), x, y, "");
    default: return LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSGT, x, y, ""), x, y, "");
  }
}

// About `d`, and never wrapped.
static LLVMValueRef dim_magnitude(method *m, fst_dim d) {
  fst_dim_view v = fst_dim_open(m->g->dims, d);
  if (v.kind != FST_DIM_SUM && v.kind != FST_DIM_PRODUCT) return LLVMBuildSIToFP(m->b, method_dim(m, d), m->u->f64, "");
  LLVMValueRef total = LLVMConstReal(m->u->f64, v.kind == FST_DIM_SUM ? (double)v.constant : 1);
  for (uint32_t i = 0; i < v.count; i++) {
    LLVMValueRef x = dim_magnitude(m, v.operands[i]);
    if (v.kind == FST_DIM_PRODUCT) total = LLVMBuildFMul(m->b, total, x, "");
    else total = LLVMBuildFAdd(m->b, total, LLVMBuildFMul(m->b, x, LLVMConstReal(m->u->f64, (double)v.coefficients[i]), ""), "");
  }
  return total;
}

LLVMValueRef method_dim_bytes(method *m, fst_dim bytes) {
  int64_t number;
  LLVMValueRef exact = method_dim(m, bytes);
  if (fst_dim_is_const(m->g->dims, bytes, &number)) return exact;
  LLVMValueRef fits = LLVMBuildFCmp(m->b, LLVMRealOLT, dim_magnitude(m, bytes), LLVMConstReal(m->u->f64, (double)METHOD_MOST_BYTES), "");
  return LLVMBuildSelect(m->b, fits, exact, method_i64(m, METHOD_MOST_BYTES), "");
}

LLVMValueRef method_bytes(method *m, fst_value_id tensor) {
  return method_dim_bytes(m, fst_type_bytes(m->g->dims, m->g->module->types, fst_value_type(m->g, tensor)));
}

// ---- literals --------------------------------------------------------------------------------------

const void *method_literal_bytes(const method *m, fst_value_id value, uint64_t *out_len) {
  const fst_const_data *c = fst_value_const(m->g, value);
  if (!c || c->kind != FST_CONST_TENSOR) return NULL;
  fst_type type = m->g->module->tensors.data[c->index].type;
  const fst_type_data *t = type_of(m, type);
  if (!fst_type_is_contiguous(m->g->dims, m->g->module->types, type)) return NULL;
  uint64_t bytes = fst_dtype_size(t->dtype);
  for (int i = 0; i < t->rank; i++) bytes *= (uint64_t)t->dims[i];
  *out_len = bytes;
  return fst_module_tensor_data(m->g->module, c->index);
}

// A tensor's storage, whole, in weights.bin: views of one storage keep sharing it.
static uint32_t const_tensor(method *m, uint32_t index) {
  fst_module *module = m->g->module;
  const fst_tensor_info *info = &module->tensors.data[index];
  const fst_storage_info *storage = &module->storages.data[info->storage];
  const fst_type_data *t = type_of(m, info->type);
  uint64_t at = fst_blob_add(m->blob, storage->data, storage->bytes);
  uint32_t s = fst_plan_storage_add(m->tables, at, storage->bytes);
  int64_t sizes[FST_MAX_RANK], strides[FST_MAX_RANK];
  for (int i = 0; i < t->rank; i++) {
    sizes[i] = t->dims[i];
    strides[i] = t->strides[i];
  }
  return fst_plan_const_tensor(m->tables, s, info->offset * (int64_t)fst_dtype_size(t->dtype), (uint32_t)t->dtype, (uint32_t)t->rank, sizes, strides);
}

uint32_t method_const(method *m, fst_const id) {
  uint64_t known;
  if (fst_map_get(&m->consts_index, id.id, &known)) return (uint32_t)known;
  fst_module *module = m->g->module;
  const fst_const_data *c = fst_const_get(module, id);
  const fst_strings *s = &module->strings;
  uint32_t out = 0;
  switch (c->kind) {
    case FST_CONST_NONE: case FST_CONST_UNINIT: out = fst_plan_const_scalar(m->tables, FST_TAG_NONE, 0); break;
    case FST_CONST_BOOL: out = fst_plan_const_scalar(m->tables, FST_TAG_BOOL, c->b); break;
    case FST_CONST_INT: out = fst_plan_const_scalar(m->tables, FST_TAG_INT, c->i); break;
    case FST_CONST_FLOAT: out = fst_plan_const_double(m->tables, c->f); break;
    case FST_CONST_COMPLEX: out = fst_plan_const_complex(m->tables, c->c.re, c->c.im); break;
    case FST_CONST_STR: out = fst_plan_const_str(m->tables, fst_sym_text(s, c->str), fst_sym_len(s, c->str)); break;
    case FST_CONST_DEVICE: out = fst_plan_const_scalar(m->tables, FST_TAG_DEVICE, fst_device_bits(fst_sym_text(s, c->str))); break;
    case FST_CONST_TENSOR: out = const_tensor(m, c->index); break;
    case FST_CONST_ENUM: {
      fst_class_id cls = fst_module_find_class(module, c->str);
      const fst_class *e = fst_module_class(module, cls);
      uint32_t *names = FST_NEW_ARRAY(&m->arena, uint32_t, e->member_count + 1), *values = FST_NEW_ARRAY(&m->arena, uint32_t, e->member_count + 1), member = 0;
      for (uint32_t i = 0; i < e->member_count; i++) {
        names[i] = fst_plan_cstring_add(m->tables, fst_sym_text(s, e->member_names[i]));
        values[i] = method_const(m, e->member_values[i]);
        if (e->member_names[i] == c->member) member = i;
      }
      uint32_t number = fst_plan_class_add(m->tables, fst_sym_text(s, e->name), FST_PLAN_CLASS_ENUM, names, values, e->member_count);
      out = fst_plan_const_scalar(m->tables, FST_TAG_ENUM, (int64_t)number << 32 | member);
      break;
    }
    case FST_CONST_TUPLE: case FST_CONST_LIST: {
      uint32_t count = c->kind == FST_CONST_TUPLE ? c->count : module->lists.data[c->index].count;
      const fst_const *from = c->kind == FST_CONST_TUPLE ? c->items : module->lists.data[c->index].items;
      uint32_t *items = FST_NEW_ARRAY(&m->arena, uint32_t, count + 1);
      for (uint32_t i = 0; i < count; i++) items[i] = method_const(m, from[i]);
      bool list = c->kind == FST_CONST_LIST || type_of(m, c->type)->kind == FST_TY_LIST;
      out = fst_plan_const_items(m->tables, list ? FST_TAG_LIST : FST_TAG_TUPLE, items, count);
      break;
    }
    case FST_CONST_DICT: {
      const fst_dict_info *d = &module->dicts.data[c->index];
      uint32_t *keys = FST_NEW_ARRAY(&m->arena, uint32_t, d->count + 1), *values = FST_NEW_ARRAY(&m->arena, uint32_t, d->count + 1);
      for (uint32_t i = 0; i < d->count; i++) {
        keys[i] = method_const(m, d->keys[i]);
        values[i] = method_const(m, d->values[i]);
      }
      out = fst_plan_const_dict(m->tables, keys, values, d->count);
      break;
    }
    case FST_CONST_OBJECT: {
      const fst_object_info *o = &module->objects.data[c->index];
      const fst_class *cls = fst_module_class(module, o->cls);
      uint32_t *items = FST_NEW_ARRAY(&m->arena, uint32_t, cls->attr_count + 1), *names = FST_NEW_ARRAY(&m->arena, uint32_t, cls->attr_count + 1);
      for (uint32_t i = 0; i < cls->attr_count; i++) {
        items[i] = method_const(m, o->attrs[i]);
        names[i] = fst_plan_cstring_add(m->tables, fst_sym_text(s, cls->attr_names[i]));
      }
      uint32_t number = fst_plan_class_add(m->tables, fst_sym_text(s, cls->name), FST_PLAN_CLASS_PLAIN, names, NULL, cls->attr_count);
      out = fst_plan_const_object(m->tables, number, items, cls->attr_count);
      break;
    }
  }
  fst_map_set(&m->consts_index, id.id, out);
  return out;
}

static LLVMValueRef const_object(method *m, fst_const c) {
  return method_load(m, m->u->ptr, m->consts, (int64_t)method_const(m, c) * (int64_t)sizeof(fst_val) + (int64_t)offsetof(fst_val, p));
}

static ll_value literal(method *m, const fst_value *v) {
  const fst_const_data *c = fst_const_get(m->g->module, v->constant);
  ll_value out = {.set = true};
  switch (c->kind) {
    case FST_CONST_BOOL: out.a = LLVMConstInt(m->u->i1, c->b, 0); break;
    case FST_CONST_INT: out.a = method_i64(m, c->i); break;
    case FST_CONST_FLOAT: out.a = LLVMConstReal(m->u->f64, c->f); break;
    case FST_CONST_DEVICE: out.a = method_i64(m, fst_device_bits(fst_sym_text(&m->g->module->strings, c->str))); break;
    case FST_CONST_ENUM:
      out.a = LLVMConstInt(m->u->i32, FST_TAG_ENUM, 0);
      out.b = method_load(m, m->u->i64, m->consts, (int64_t)method_const(m, v->constant) * (int64_t)sizeof(fst_val) + (int64_t)offsetof(fst_val, i));
      break;
    case FST_CONST_NONE: case FST_CONST_UNINIT: break;
    case FST_CONST_TENSOR: {
      out.c = const_object(m, v->constant);
      out.a = method_load(m, m->u->ptr, out.c, offsetof(fst_tensor_obj, data));
      out.b = method_load(m, m->u->ptr, out.c, offsetof(fst_tensor_obj, storage));
      break;
    }
    default: out.a = const_object(m, v->constant); break;
  }
  return out;
}

// A literal None or uninit where a value of another form is expected.
ll_value method_value(method *m, fst_value_id value) {
  const fst_value *v = fst_value_get(m->g, value);
  if (v->kind == FST_VALUE_CONST) return literal(m, v);
  FST_ASSERT(m->values[value.id].set, "value %%%u of %s has no code", value.id, fst_sym_text(&m->g->module->strings, m->g->name));
  return m->values[value.id];
}

void method_set(method *m, fst_value_id value, ll_value v) {
  v.set = true;
  m->values[value.id] = v;
  const fst_value *data = fst_value_get(m->g, value);
  if (type_of(m, data->type)->kind == FST_TY_INT && fst_dim_is_known(data->sym)) method_define_symbol(m, data->sym, v.a);
}

// ---- boxing ----------------------------------------------------------------------------------------

static uint32_t tag_of(const method *m, fst_type type) {
  switch (type_of(m, type)->kind) {
    case FST_TY_INT: return FST_TAG_INT;
    case FST_TY_FLOAT: return FST_TAG_FLOAT;
    case FST_TY_BOOL: return FST_TAG_BOOL;
    case FST_TY_DEVICE: return FST_TAG_DEVICE;
    case FST_TY_STR: return FST_TAG_STR;
    case FST_TY_TENSOR: return FST_TAG_TENSOR;
    case FST_TY_LIST: return FST_TAG_LIST;
    case FST_TY_DICT: return FST_TAG_DICT;
    case FST_TY_TUPLE: return FST_TAG_TUPLE;
    case FST_TY_CLASS: return FST_TAG_OBJECT;
    case FST_TY_COMPLEX: return FST_TAG_COMPLEX;
    case FST_TY_OPAQUE: return FST_TAG_OPAQUE;
    default: return FST_TAG_NONE;
  }
}

static LLVMValueRef box_tensor(method *m, fst_value_id value) {
  ll_value v = method_value(m, value);
  if (v.c) return v.c;
  const fst_type_data *t = fst_value_type_data(m->g, value);
  LLVMValueRef shape = method_alloca(m, m->u->i64, (uint32_t)t->rank * 2);
  for (int i = 0; i < t->rank; i++) {
    LLVMBuildStore(m->b, method_dim(m, t->dims[i]), method_address(m, shape, i * 8));
    LLVMBuildStore(m->b, method_dim(m, t->strides[i]), method_address(m, shape, (t->rank + i) * 8));
  }
  LLVMValueRef args[] = {v.b, v.a, method_i64(m, t->dtype), method_i64(m, t->rank), shape};
  LLVMValueRef object = method_call(m, METHOD_CALL_tensor_new, args, 5);
  method_check_pointer(m, object);
  return object;
}

LLVMValueRef method_object(method *m, fst_value_id value) {
  ll_form form = method_form(m, fst_value_type(m->g, value));
  if (form == LL_TENSOR) return box_tensor(m, value);
  ll_value v = method_value(m, value);
  if (form == LL_DYNAMIC) return LLVMBuildIntToPtr(m->b, v.b, m->u->ptr, "");
  return v.a ? v.a : LLVMConstNull(m->u->ptr);
}

// Tag and payload of any value, as i32 and i64.
static void dynamic_of(method *m, fst_value_id value, LLVMValueRef *out_tag, LLVMValueRef *out_payload) {
  fst_type type = fst_value_type(m->g, value);
  ll_form form = method_form(m, type);
  const fst_const_data *c = fst_value_const(m->g, value);
  if (c && c->kind == FST_CONST_NONE) form = LL_NOTHING;
  *out_tag = LLVMConstInt(m->u->i32, tag_of(m, type), 0);
  if (form == LL_NOTHING) {
    *out_tag = LLVMConstInt(m->u->i32, FST_TAG_NONE, 0);
    *out_payload = method_i64(m, 0);
    return;
  }
  if (form == LL_TENSOR || form == LL_OBJECT) {
    LLVMValueRef object = method_object(m, value);
    // What is a tensor only for libtorch (sparse, quantized) says so itself.
    if (form == LL_OBJECT && type_of(m, type)->kind == FST_TY_TENSOR)
      *out_tag = LLVMBuildZExt(m->b, method_load(m, LLVMIntTypeInContext(m->u->context, 8 * sizeof(((fst_obj *)0)->tag)), object, offsetof(fst_obj, tag)), m->u->i32, "");
    *out_payload = LLVMBuildPtrToInt(m->b, object, m->u->i64, "");
    return;
  }
  ll_value v = method_value(m, value);
  if (form == LL_DYNAMIC) {
    *out_tag = v.a;
    *out_payload = v.b;
    return;
  }
  fst_type_kind kind = type_of(m, type)->kind;
  *out_payload = kind == FST_TY_FLOAT ? LLVMBuildBitCast(m->b, v.a, m->u->i64, "")
                 : kind == FST_TY_BOOL ? LLVMBuildZExt(m->b, v.a, m->u->i64, "") : v.a;
}

void method_store_val(method *m, fst_value_id value, LLVMValueRef at) {
  LLVMValueRef tag, payload;
  dynamic_of(m, value, &tag, &payload);
  LLVMBuildStore(m->b, LLVMBuildZExt(m->b, tag, m->u->i64, ""), at);   // tag and padding
  LLVMBuildStore(m->b, payload, method_address(m, at, offsetof(fst_val, i)));
}

LLVMValueRef method_vals(method *m, const fst_value_id *values, uint32_t count) {
  LLVMValueRef at = method_alloca(m, m->u->i64, count * 2);
  for (uint32_t i = 0; i < count; i++) method_store_val(m, values[i], method_address(m, at, (int64_t)i * (int64_t)sizeof(fst_val)));
  return at;
}

LLVMValueRef method_box(method *m, fst_value_id value) { return method_vals(m, &value, 1); }

ll_value method_coerce(method *m, fst_value_id value, fst_type type) {
  ll_form to = method_form(m, type), from = method_form(m, fst_value_type(m->g, value));
  const fst_const_data *c = fst_value_const(m->g, value);
  if (c && (c->kind == FST_CONST_NONE || c->kind == FST_CONST_UNINIT)) from = LL_NOTHING;
  ll_value v = {.set = true};
  if (to == LL_DYNAMIC) {
    dynamic_of(m, value, &v.a, &v.b);
  } else if (to == LL_OBJECT) {
    v.a = from == LL_NOTHING ? LLVMConstNull(m->u->ptr) : method_object(m, value);
  } else if (from != LL_NOTHING) {
    v = method_value(m, value);
  } else if (to == LL_TENSOR) {   // never read on a live path, but a tuple may be made of it
    v.a = v.b = LLVMConstNull(m->u->ptr);
  } else if (to == LL_SCALAR) {
    fst_type_kind kind = type_of(m, type)->kind;
    v.a = LLVMConstNull(kind == FST_TY_FLOAT ? m->u->f64 : kind == FST_TY_BOOL ? m->u->i1 : m->u->i64);
  }
  return v;
}

ll_value method_open_tensor(method *m, fst_type type, LLVMValueRef object) {
  const fst_type_data *t = type_of(m, type);
  ll_value v = {.set = true, .c = object};
  v.a = method_load(m, m->u->ptr, object, offsetof(fst_tensor_obj, data));
  v.b = method_load(m, m->u->ptr, object, offsetof(fst_tensor_obj, storage));
  for (int i = 0; i < t->rank; i++) {
    int64_t at = (int64_t)offsetof(fst_tensor_obj, shape) + i * 8;
    if (method_wants_symbol(m, t->dims[i])) method_define_symbol(m, t->dims[i], method_load(m, m->u->i64, object, at));
  }
  for (int i = 0; i < t->rank && t->has_strides; i++) {
    int64_t at = (int64_t)offsetof(fst_tensor_obj, shape) + (t->rank + i) * 8;
    if (method_wants_symbol(m, t->strides[i])) method_define_symbol(m, t->strides[i], method_load(m, m->u->i64, object, at));
  }
  return v;
}

ll_value method_unbox(method *m, fst_type type, LLVMValueRef val) {
  ll_value v = {.set = true};
  switch (method_form(m, type)) {
    case LL_NOTHING: return v;
    case LL_TENSOR: return method_open_tensor(m, type, method_load(m, m->u->ptr, val, offsetof(fst_val, p)));
    case LL_OBJECT: v.a = method_load(m, m->u->ptr, val, offsetof(fst_val, p)); return v;
    case LL_DYNAMIC:
      v.a = method_load(m, m->u->i32, val, offsetof(fst_val, tag));
      v.b = method_load(m, m->u->i64, val, offsetof(fst_val, i));
      return v;
    case LL_SCALAR: break;
  }
  fst_type_kind kind = type_of(m, type)->kind;
  if (kind == FST_TY_FLOAT) v.a = method_load(m, m->u->f64, val, offsetof(fst_val, f));
  else v.a = method_load(m, m->u->i64, val, offsetof(fst_val, i));
  if (kind == FST_TY_BOOL) v.a = LLVMBuildICmp(m->b, LLVMIntNE, v.a, method_i64(m, 0), "");
  return v;
}
