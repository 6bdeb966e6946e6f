// Single ops through the bridge: values to libtorch and back, with what is shared still shared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bridge_abi.h"
#include "base/bridge_open.h"
#include "base/dtype.h"
#include "base/file.h"
#include "runtime/object.h"

static int32_t dict_put(fst_dict_obj *dict, const fst_val *key, const fst_val *val) {
  fst_val old;
  if (!fst_dict_put(dict, key, val, &old)) return 1;
  fst_val_release(&old);
  return 0;
}

static int32_t list_assign(fst_list_obj *list, int64_t count, const fst_val *items) {
  for (int64_t i = 0; i < count; i++) fst_val_retain(&items[i]);
  for (int64_t i = 0; i < list->len; i++) fst_val_release(&list->items[i]);
  list->len = 0;
  if (!fst_list_reserve(list, count)) return 1;
  memcpy(list->items, items, (size_t)count * sizeof *items);
  list->len = count;
  return 0;
}

static int32_t dict_assign(fst_dict_obj *dict, int64_t count, const fst_val *keys, const fst_val *vals) {
  for (int64_t i = 0; i < dict->used; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    fst_val key, val;
    fst_dict_take(dict, i, &key, &val);
    fst_val_release(&key);
    fst_val_release(&val);
  }
  for (int64_t i = 0; i < count; i++)
    if (dict_put(dict, &keys[i], &vals[i])) return 1;
  return 0;
}

static const fst_bridge_host host = {
    .version = FST_BRIDGE_VERSION, .abi_version = FST_ABI_VERSION, .retain = fst_obj_retain, .release = fst_obj_release,
    .storage_wrap = fst_storage_wrap, .tensor_make = fst_tensor_make, .str_make = fst_str_make, .complex_make = fst_complex_make,
    .list_make = fst_list_make, .tuple_make = fst_tuple_make, .dict_make = fst_dict_make, .dict_put = dict_put,
    .list_assign = list_assign, .opaque_make = fst_opaque_make, .dict_assign = dict_assign};

static fst_bridge_call_fn bridge;

static int open_bridge(void **state) {
  (void)state;
  char path[4096];
  const char *build = getenv("FST_BUILD");
  snprintf(path, sizeof path, "%s/lib/libfiresteel_torch.so", build ? build : "build");
  if (!fst_file_exists(path)) return 0;  // built without libtorch
  void *library;
  union { void *at; fst_bridge_call_fn call; } symbol;
  fst_status status = fst_bridge_open(path, &library);
  if (!status) status = fst_bridge_symbol(library, FST_BRIDGE_CALL, &symbol.at);
  if (status) {
    fprintf(stderr, "%s\n", status->message);
    fst_error_free(status);
    return 1;
  }
  bridge = symbol.call;
  return 0;
}

#define NEED_BRIDGE() \
  if (!bridge) skip()

static fst_val run1(const char *schema, int64_t count, const fst_val *args) {
  fst_val out = fst_val_none();
  char *error = NULL;
  int32_t code = bridge(&host, schema, count, args, 1, &out, &error);
  if (code) fail_msg("%s", error);
  return out;
}
#define RUN(schema, ...) run1(schema, (int64_t)(sizeof((fst_val[]){__VA_ARGS__}) / sizeof(fst_val)), (fst_val[]){__VA_ARGS__})

static void refused(const char *schema, int64_t count, const fst_val *args, const char *text) {
  fst_val out[2];
  char *error = NULL;
  assert_int_not_equal(bridge(&host, schema, count, args, 1, out, &error), 0);
  if (!strstr(error, text)) fail_msg("\"%s\" lacks \"%s\"", error, text);
  free(error);
}
#define REFUSED(schema, text, ...) refused(schema, (int64_t)(sizeof((fst_val[]){__VA_ARGS__}) / sizeof(fst_val)), (fst_val[]){__VA_ARGS__}, text)

static fst_val floats(int rank, const int64_t *shape, const float *values, size_t count) {
  fst_storage_obj *storage = fst_storage_make((int64_t)(count * sizeof(float)));
  memcpy(storage->data, values, count * sizeof(float));
  fst_val out = fst_val_obj(fst_tensor_make(storage, storage->data, FST_F32, rank, shape));
  fst_obj_release(&storage->head);
  return out;
}

static fst_val floats2x3(void) { return floats(2, (int64_t[]){2, 3, 3, 1}, (float[]){1, -2, 3, -4, 5, -6}, 6); }
static fst_tensor_obj *tensor_of(fst_val val) {
  assert_int_equal(val.tag, FST_TAG_TENSOR);
  return (fst_tensor_obj *)val.p;
}
static fst_list_obj *list_of(fst_val val) {
  assert_int_equal(val.tag, FST_TAG_LIST);
  return (fst_list_obj *)val.p;
}
static float at(fst_val val, int64_t i) { return ((float *)(void *)tensor_of(val)->data)[i]; }
static fst_val str(const char *text) { return fst_val_obj(fst_str_make(text, (int64_t)strlen(text))); }
static void drop(fst_val val) { fst_val_release(&val); }

static const char add[] = "aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor";

static void test_tensors(void **state) {
  (void)state;
  NEED_BRIDGE();
  fst_val a = floats2x3(), b = floats2x3();
  fst_val c = RUN(add, a, b, fst_val_int(2));
  assert_int_equal(tensor_of(c)->rank, 2);
  assert_int_equal(tensor_of(c)->dtype, FST_F32);
  assert_int_equal(tensor_of(c)->shape[0], 2);
  assert_int_equal(tensor_of(c)->shape[2], 3);
  for (int64_t i = 0; i < 6; i++) assert_float_equal(at(c, i), 3 * at(a, i), 0);
  fst_val d = RUN(add, a, b);  // alpha by default
  assert_float_equal(at(d, 5), -12, 0);
  assert_int_equal(a.p->refs, 1);
  assert_int_equal(tensor_of(a)->storage->head.refs, 1);
  drop(a), drop(b), drop(c), drop(d);
}

static void test_views_share_storage(void **state) {
  (void)state;
  NEED_BRIDGE();
  fst_val a = floats2x3();
  fst_val row = RUN("aten::select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)", a, fst_val_int(0), fst_val_int(1));
  assert_ptr_equal(tensor_of(row)->storage, tensor_of(a)->storage);
  assert_ptr_equal(tensor_of(row)->data, tensor_of(a)->data + 3 * sizeof(float));
  // libtorch's own memory, to us and back
  fst_val b = RUN("aten::relu(Tensor self) -> Tensor", a);
  fst_val t = RUN("aten::t(Tensor(a) self) -> Tensor(a)", b);
  assert_ptr_equal(tensor_of(t)->storage, tensor_of(b)->storage);
  assert_int_equal(tensor_of(t)->shape[2], 1);
  drop(b);
  assert_float_equal(at(t, 4), 5, 0);  // the storage lives on
  drop(a), drop(row), drop(t);
}

static void test_writes_in_place(void **state) {
  (void)state;
  NEED_BRIDGE();
  fst_val a = floats2x3(), b = floats2x3();
  fst_val c = RUN("aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)", a, b, fst_val_int(1));
  assert_ptr_equal(c.p, a.p);
  assert_float_equal(at(a, 2), 6, 0);
  // Other sizes or strides would be news to the code around the op.
  REFUSED("aten::t_(Tensor(a!) self) -> Tensor(a!)", "other sizes, strides", a);
  REFUSED("aten::unsqueeze_(Tensor(a!) self, int dim) -> Tensor(a!)", "other sizes, strides", a, fst_val_int(0));
  assert_int_equal(tensor_of(a)->rank, 2);
  assert_int_equal(tensor_of(a)->shape[0], 2);
  assert_int_equal(tensor_of(a)->shape[2], 3);
  fst_val fresh = RUN("aten::relu(Tensor self) -> Tensor", b);
  fst_list_obj *sizes = fst_list_make(1, (fst_val[]){fst_val_int(1000)});
  REFUSED("aten::resize_(Tensor(a!) self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor(a!)", "not resizable", fresh, fst_val_obj(sizes), fst_val_none());
  drop(a), drop(b), drop(c), drop(fresh);
  fst_obj_release(&sizes->head);
}

static void test_lists(void **state) {
  (void)state;
  NEED_BRIDGE();
  fst_val a = floats2x3(), b = floats2x3();
  fst_val list = fst_val_obj(fst_list_make(2, (fst_val[]){a, b}));
  fst_val cat = RUN("aten::cat(Tensor[] tensors, int dim=0) -> Tensor", list, fst_val_int(1));
  assert_int_equal(tensor_of(cat)->shape[1], 6);
  fst_val same = RUN("aten::append.t(t[](a!) self, t(c -> *) el) -> t[](a!)", list, cat);
  assert_ptr_equal(same.p, list.p);
  assert_int_equal(list_of(list)->len, 3);
  assert_ptr_equal(list_of(list)->items[0].p, a.p);  // items keep their identity
  assert_ptr_equal(list_of(list)->items[2].p, cat.p);
  fst_val chunks = RUN("aten::chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]", cat, fst_val_int(2), fst_val_int(1));
  assert_int_equal(list_of(chunks)->len, 2);
  assert_ptr_equal(tensor_of(list_of(chunks)->items[1])->storage, tensor_of(cat)->storage);
  fst_val ints = fst_val_obj(fst_list_make(3, (fst_val[]){fst_val_int(3), fst_val_int(1), fst_val_int(2)}));
  fst_val none = fst_val_none();
  char *error = NULL;
  assert_int_equal(bridge(&host, "aten::sort.int(int[](a!) self, bool reverse=False) -> ()", 1, &ints, 0, &none, &error), 0);
  assert_int_equal(list_of(ints)->items[0].i, 1);
  fst_val popped = RUN("aten::pop.t(t[](a!) self, int idx=-1) -> t(*)", ints);
  assert_int_equal(popped.i, 3);
  assert_int_equal(list_of(ints)->len, 2);
  // [[float]]: two dimensions, elements of type number 1
  fst_val rows = RUN("prim::tolist(...) -> ...", a, fst_val_int(2), fst_val_int(1));
  assert_int_equal(list_of(rows)->len, 2);
  assert_float_equal(list_of(list_of(rows)->items[1])->items[1].f, 5, 0);
  drop(a), drop(b), drop(list), drop(cat), drop(same), drop(chunks), drop(ints), drop(rows);
}

static void test_dicts_and_strings(void **state) {
  (void)state;
  NEED_BRIDGE();
  fst_val dict = fst_val_obj(fst_dict_make()), x = str("x"), y = str("y"), none = fst_val_none();
  fst_val one = fst_val_int(1), two = fst_val_int(2);
  assert_int_equal(dict_put((fst_dict_obj *)dict.p, &x, &one), 0);
  assert_int_equal(dict_put((fst_dict_obj *)dict.p, &y, &two), 0);
  char *error = NULL;
  assert_int_equal(bridge(&host, "aten::Delete.Dict_str(Dict(str, t)(a!) self, str key) -> ()", 2, (fst_val[]){dict, x}, 0, &none, &error), 0);
  assert_int_equal(((fst_dict_obj *)dict.p)->len, 1);
  assert_int_equal(fst_dict_find((fst_dict_obj *)dict.p, &x), -1);
  fst_val keys = RUN("aten::keys.str(Dict(str, t) self) -> str[](*)", dict);
  assert_int_equal(list_of(keys)->len, 1);
  fst_val format = str("{} and {}");
  fst_val text = RUN("aten::format(str self, ...) -> str", format, y, fst_val_float(1.5));
  assert_string_equal(((fst_str_obj *)text.p)->bytes, "y and 1.5");
  drop(dict), drop(x), drop(y), drop(keys), drop(format), drop(text);
}

static void test_other_values(void **state) {
  (void)state;
  NEED_BRIDGE();
  fst_val a = floats2x3();
  fst_val device = RUN("prim::device(Tensor a) -> Device", a);
  assert_int_equal(device.tag, FST_TAG_DEVICE);
  assert_int_equal(device.i & 255, 0);
  // A tensor that no descriptor can describe stays libtorch's, and goes back.
  fst_val sparse = RUN("aten::to_sparse(Tensor self, *, Layout? layout=None, SymInt[2]? blocksize=None, int? dense_dim=None) -> Tensor", a);
  assert_int_equal(sparse.tag, FST_TAG_OPAQUE);
  fst_val dense = RUN("aten::to_dense(Tensor self, ScalarType? dtype=None, *, bool? masked_grad=None) -> Tensor", sparse);
  assert_float_equal(at(dense, 4), 5, 0);
  fst_val out[2];
  char *error = NULL;
  assert_int_equal(bridge(&host, "aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", 2, (fst_val[]){a, fst_val_int(1)}, 2, out, &error), 0);
  assert_float_equal(at(out[0], 1), 5, 0);
  assert_int_equal(tensor_of(out[1])->dtype, FST_I64);
  fst_val complex = fst_val_obj(fst_complex_make(3, 4));
  assert_float_equal(RUN("prim::abs.complex(complex a) -> float", complex).f, 5, 0);
  drop(a), drop(sparse), drop(dense), drop(out[0]), drop(out[1]), drop(complex);
}

static void test_refusals(void **state) {
  (void)state;
  NEED_BRIDGE();
  fst_val a = floats2x3();
  REFUSED("aten::mm(Tensor self, Tensor mat2) -> Tensor", "aten::mm: ", a, a);
  REFUSED("nowhere::nothing(Tensor self) -> Tensor", "nowhere::nothing: this libtorch has no such op", a);
  REFUSED("aten::mm(Tensor self, Tensor mat2) -> Tensor", "'mat2' is missing", a);
  REFUSED("aten::relu(Tensor self) -> Tensor", "more arguments", a, a);
  REFUSED("relu", "namespace", a);
  tensor_of(a)->storage->head.flags |= FST_OBJ_IMMORTAL;
  REFUSED("aten::relu_(Tensor(a!) self) -> Tensor(a!)", "would write a constant", a);
  fst_val b = RUN("aten::relu(Tensor self) -> Tensor", a);
  assert_float_equal(at(a, 1), -2, 0);
  tensor_of(a)->storage->head.flags = 0;
  drop(b);
  assert_int_equal(a.p->refs, 1);  // failures leave nothing behind
  drop(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tensors),           cmocka_unit_test(test_views_share_storage), cmocka_unit_test(test_writes_in_place), cmocka_unit_test(test_lists),
      cmocka_unit_test(test_dicts_and_strings), cmocka_unit_test(test_other_values),        cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, open_bridge, NULL);
}
