// container_op of base/calls.def: the methods of lists and dicts that have no call of their own.
#include "base/container_ops.h"
#include "runtime/buf.h"
#include "runtime/call.h"
#include "runtime/calls.h"
#include "runtime/format.h"
#include "runtime/object.h"

typedef struct arguments {
  fst_call *call;
  fst_ctx *ctx;
  int64_t count, loc;
  const fst_val *vals;
  fst_val *out;
} arguments;

static fst_list_obj *list_arg(const arguments *a, int i) { return (fst_list_obj *)(void *)a->vals[i].p; }
static fst_dict_obj *dict_arg(const arguments *a) { return (fst_dict_obj *)(void *)a->vals[0].p; }
static bool flag_arg(const arguments *a, int i) { return a->count > i && a->vals[i].i != 0; }

// ---- lists -----------------------------------------------------------------------------------------

static int32_t op_sorted(const arguments *a) {
  fst_list_obj *from = list_arg(a, 0), *list = fst_call_list_new(a->call, from->len, from->items);
  if (fst_call_failed(a->call)) return 1;
  *a->out = fst_val_obj(list);
  return fst_call_list_sort(a->call, list, 0);
}

static int32_t op_count(const arguments *a) {
  const fst_list_obj *list = list_arg(a, 0);
  int64_t found = 0;
  for (int64_t i = 0; i < list->len; i++) found += fst_val_equal(&list->items[i], &a->vals[1]);
  *a->out = fst_val_int(found);
  return 0;
}

static int32_t op_index(const arguments *a) {
  int64_t at = fst_call_list_find(a->call, list_arg(a, 0), &a->vals[1]);
  *a->out = fst_val_int(at);
  if (at >= 0) return 0;
  fst_buf text = {0};
  fst_format_val(&text, a->ctx->plan, &a->vals[1]);
  if (text.failed) fst_ctx_raise_memory(a->ctx);
  else fst_ctx_raise(a->ctx, "ValueError", a->loc, "'%s' is not in list", fst_buf_text(&text));
  fst_buf_deinit(&text);
  return 1;
}

// Of floats, or of ints and bools: an empty list has no items to tell.
static int32_t op_sum(const arguments *a) {
  const fst_list_obj *list = list_arg(a, 0);
  double real = 0;
  uint64_t whole = 0;   // wraps
  for (int64_t i = 0; i < list->len; i++) {
    if (list->items[i].tag == FST_TAG_FLOAT) real += list->items[i].f;
    else whole += (uint64_t)list->items[i].i;
  }
  // The result's own type reads the field that it wants: zero bits are 0 and 0.0.
  *a->out = list->len && list->items[0].tag == FST_TAG_FLOAT ? fst_val_float(real) : fst_val_int((int64_t)whole);
  return 0;
}

static bool is_true(const fst_val *v) { return v->tag == FST_TAG_FLOAT ? v->f != 0 : v->i != 0; }

static int32_t op_any(const arguments *a, bool wanted) {
  const fst_list_obj *list = list_arg(a, 0);
  bool found = false;
  for (int64_t i = 0; i < list->len && !found; i++) found = is_true(&list->items[i]) == wanted;
  *a->out = fst_val_bool(found == wanted);
  return 0;
}

// As C++'s `<`: nothing is less than a NaN, nor a NaN less than anything.
static bool number_less(const fst_val *x, const fst_val *y) { return x->tag == FST_TAG_FLOAT ? x->f < y->f : x->i < y->i; }

// Of the items of one list, or of two lists in the order of words.
static int32_t op_best(const arguments *a, bool largest) {
  const fst_list_obj *list = list_arg(a, 0);
  if (a->count == 1) {
    if (!list->len) return fst_ctx_raise(a->ctx, "ValueError", a->loc, "%s() arg is an empty sequence", largest ? "max" : "min");
    *a->out = list->items[0];
    for (int64_t i = 1; i < list->len; i++)
      if (largest ? number_less(a->out, &list->items[i]) : number_less(&list->items[i], a->out)) *a->out = list->items[i];
    return 0;
  }
  const fst_list_obj *other = list_arg(a, 1);
  int64_t at = 0, shorter = list->len < other->len ? list->len : other->len;
  while (at < shorter && fst_val_equal(&list->items[at], &other->items[at])) at++;
  bool second = at < shorter ? number_less(&other->items[at], &list->items[at]) : other->len <= list->len;
  if (largest) second = at < shorter ? number_less(&list->items[at], &other->items[at]) : other->len >= list->len;
  *a->out = a->vals[second];
  return 0;
}

static int32_t op_list_equal(const arguments *a, bool wanted) {
  *a->out = fst_val_bool(fst_val_equal(&a->vals[0], &a->vals[1]) == wanted);
  return 0;
}

static int32_t op_repeat(const arguments *a) {
  fst_list_obj *list = list_arg(a, 0);
  int64_t len = list->len, times = a->vals[1].i;
  *a->out = a->vals[0];
  if (times < 1) {
    fst_call_list_clear(a->call, list);
    return fst_call_failed(a->call);
  }
  fst_list_obj *once = fst_call_list_new(a->call, len, list->items);
  for (int64_t t = 1; t < times && len && !fst_call_failed(a->call); t++) fst_call_list_extend(a->call, list, once);
  return fst_call_failed(a->call);
}

// Pairs of key and value; a later pair replaces an earlier one.
static int32_t op_to_dict(const arguments *a) {
  const fst_list_obj *list = list_arg(a, 0);
  void *dict = fst_call_dict_new(a->call, 0, NULL);
  *a->out = fst_val_obj(dict);
  for (int64_t i = 0; i < list->len && !fst_call_failed(a->call); i++) {
    const fst_tuple_obj *pair = (const fst_tuple_obj *)(const void *)list->items[i].p;
    fst_call_dict_set(a->call, dict, &pair->items[0], &pair->items[1]);
  }
  return fst_call_failed(a->call);
}

// ---- dicts -----------------------------------------------------------------------------------------

// The value under a key, else the third operand.
static int32_t op_get(const arguments *a) {
  if (!fst_call_dict_find(a->call, dict_arg(a), &a->vals[1], a->out) && a->count > 2) *a->out = a->vals[2];
  return 0;
}

static int32_t op_setdefault(const arguments *a) {
  if (fst_call_dict_find(a->call, dict_arg(a), &a->vals[1], a->out)) return 0;
  *a->out = a->vals[2];
  return fst_call_dict_set(a->call, dict_arg(a), &a->vals[1], &a->vals[2]);
}

static int32_t op_pop(const arguments *a) {
  bool found = fst_call_dict_find(a->call, dict_arg(a), &a->vals[1], a->out);
  if (found || a->count < 3) return fst_call_dict_del(a->call, dict_arg(a), &a->vals[1], a->loc);
  *a->out = a->vals[2];
  return 0;
}

// The oldest entry, as TorchScript takes it (Python takes the newest).
static int32_t op_popitem(const arguments *a) {
  fst_dict_obj *dict = dict_arg(a);
  int64_t at = 0;
  if (!dict->len) return fst_ctx_raise(a->ctx, "KeyError", a->loc, "popitem(): dictionary is empty");
  while (!fst_dict_is_live(dict, at)) at++;
  fst_val pair[2] = {dict->keys[at], dict->values[at]};
  *a->out = fst_val_obj(fst_call_tuple_new(a->call, 2, pair));
  return fst_call_failed(a->call) ? 1 : fst_call_dict_del(a->call, dict, &pair[0], a->loc);
}

int32_t fst_call_container_op(fst_call *call, int64_t op, int64_t count, const void *vals, int64_t loc, void *out) {
  const arguments all = {call, fst_ctx_of(call), count, loc, vals, out}, *a = &all;
  *a->out = fst_val_none();
  switch ((fst_container_op)op) {
    case FST_CONTAINER_OP_LIST_SORT: return fst_call_list_sort(call, list_arg(a, 0), flag_arg(a, 1));
    case FST_CONTAINER_OP_LIST_SORTED: return op_sorted(a);
    case FST_CONTAINER_OP_LIST_COUNT: return op_count(a);
    case FST_CONTAINER_OP_LIST_INDEX: return op_index(a);
    case FST_CONTAINER_OP_LIST_REMOVE: return fst_call_list_remove(call, list_arg(a, 0), &a->vals[1], loc);
    case FST_CONTAINER_OP_LIST_SUM: return op_sum(a);
    case FST_CONTAINER_OP_LIST_ALL: return op_any(a, false);
    case FST_CONTAINER_OP_LIST_ANY: return op_any(a, true);
    case FST_CONTAINER_OP_LIST_MIN: return op_best(a, false);
    case FST_CONTAINER_OP_LIST_MAX: return op_best(a, true);
    case FST_CONTAINER_OP_LIST_EQ: return op_list_equal(a, true);
    case FST_CONTAINER_OP_LIST_NE: return op_list_equal(a, false);
    case FST_CONTAINER_OP_LIST_CONTAINS: *a->out = fst_val_bool(fst_call_list_find(call, list_arg(a, 0), &a->vals[1]) >= 0); return 0;
    case FST_CONTAINER_OP_LIST_REPEAT: return op_repeat(a);
    case FST_CONTAINER_OP_LIST_TO_DICT: return op_to_dict(a);
    case FST_CONTAINER_OP_DICT_GET: return op_get(a);
    case FST_CONTAINER_OP_DICT_SETDEFAULT: return op_setdefault(a);
    case FST_CONTAINER_OP_DICT_POP: return op_pop(a);
    case FST_CONTAINER_OP_DICT_POPITEM: return op_popitem(a);
    case FST_CONTAINER_OPS: break;
  }
  return fst_ctx_raise(a->ctx, "RuntimeError", loc, "unknown container operation");
}
