// The runtime's objects: counting, containers, copies that keep sharing, comparing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "runtime/object.h"

static fst_val str(const char *text) { return fst_val_obj(fst_str_make(text, (int64_t)strlen(text))); }

static int dropped;
static void count_drop(fst_storage_obj *storage) {
  (void)storage;
  dropped++;
}

static void deep_nesting_is_freed_without_recursion(void **state) {
  (void)state;
  dropped = 0;
  fst_storage_obj *storage = fst_storage_wrap(NULL, 0, count_drop, NULL);
  int64_t shape[2] = {0, 1};
  fst_val inner = fst_val_obj(fst_tensor_make(storage, NULL, FST_F32, 1, shape));
  fst_obj_release(&storage->head);
  for (int i = 0; i < 300000; i++) {
    fst_val outer;
    if (i % 4 == 0) outer = fst_val_obj(fst_list_make(1, &inner));
    else if (i % 4 == 1) outer = fst_val_obj(fst_tuple_make(1, &inner));
    else if (i % 4 == 2) {
      fst_object_obj *object = fst_object_make(0, 2);
      object->slots[1] = inner;
      fst_val_retain(&inner);
      outer = fst_val_obj(object);
    } else {
      fst_dict_obj *dict = fst_dict_make();
      fst_val key = str("k"), old;
      assert_true(fst_dict_put(dict, &key, &inner, &old));
      fst_val_release(&key);
      outer = fst_val_obj(dict);
    }
    fst_val_release(&inner);
    inner = outer;
  }
  assert_int_equal(dropped, 0);
  fst_val_release(&inner);
  assert_int_equal(dropped, 1);
}

static void shared_items_live_as_long_as_one_owner(void **state) {
  (void)state;
  dropped = 0;
  fst_storage_obj *storage = fst_storage_wrap(NULL, 0, count_drop, NULL);
  int64_t shape[2] = {0, 1};
  fst_val t = fst_val_obj(fst_tensor_make(storage, NULL, FST_F32, 1, shape));
  fst_obj_release(&storage->head);
  fst_val items[3] = {t, t, t};
  fst_list_obj *a = fst_list_make(3, items);
  fst_tuple_obj *b = fst_tuple_make(2, items);
  fst_val_release(&t);
  fst_obj_release(&a->head);
  assert_int_equal(dropped, 0);
  fst_obj_release(&b->head);
  assert_int_equal(dropped, 1);
}

static void dict_keeps_order_through_removals(void **state) {
  (void)state;
  fst_dict_obj *dict = fst_dict_make();
  for (int64_t i = 0; i < 1000; i++) {
    fst_val key = fst_val_int(i * 7), val = fst_val_int(i), old;
    assert_true(fst_dict_put(dict, &key, &val, &old));
    assert_int_equal(old.tag, FST_TAG_NONE);
  }
  for (int64_t i = 0; i < 1000; i += 2) {
    fst_val key = fst_val_int(i * 7), k, v;
    fst_dict_take(dict, fst_dict_find(dict, &key), &k, &v);
    assert_int_equal(v.i, i);
    assert_int_equal(fst_dict_find(dict, &key), -1);
  }
  fst_val back = fst_val_int(0), val = fst_val_int(-1), old;
  assert_true(fst_dict_put(dict, &back, &val, &old));  // a removed key comes back at the end
  assert_int_equal(dict->len, 501);
  int64_t expect = 1;
  for (int64_t i = 0; i < dict->used; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    if (expect < 1000) assert_int_equal(dict->values[i].i, expect);
    else assert_int_equal(dict->values[i].i, -1);
    expect += 2;
  }
  assert_int_equal(expect, 1003);
  fst_obj_release(&dict->head);
}

static void keys_compare_as_in_python(void **state) {
  (void)state;
  fst_dict_obj *dict = fst_dict_make();
  fst_val zero = fst_val_float(0.0), minus = fst_val_float(-0.0), one = fst_val_int(1), old;
  assert_true(fst_dict_put(dict, &zero, &one, &old));
  assert_int_equal(fst_dict_find(dict, &minus), 0);
  fst_val a = str("key"), b = str("key"), c = str("kez");
  assert_true(fst_dict_put(dict, &a, &one, &old));
  assert_int_equal(fst_dict_find(dict, &b), 1);
  assert_int_equal(fst_dict_find(dict, &c), -1);
  fst_val_release(&a);
  fst_val_release(&b);
  fst_val_release(&c);
  fst_obj_release(&dict->head);
}

static fst_val tensor_over(fst_storage_obj *storage, int64_t offset, int64_t n) {
  int64_t shape[2] = {n, 1};
  return fst_val_obj(fst_tensor_make(storage, storage->data + offset * 4, FST_F32, 1, shape));
}

static void copies_keep_what_is_shared_shared(void **state) {
  (void)state;
  fst_storage_obj *storage = fst_storage_make(16);
  memcpy(storage->data, (float[]){1, 2, 3, 4}, 16);
  fst_val whole = tensor_over(storage, 0, 4), part = tensor_over(storage, 2, 2);
  fst_list_obj *list = fst_list_make(0, NULL);
  fst_val self = fst_val_obj(list);
  assert_true(fst_list_push(list, &whole) && fst_list_push(list, &part) && fst_list_push(list, &whole));
  assert_true(fst_list_push(list, &self));  // a cycle
  fst_copy copy;
  fst_copy_init(&copy, false);
  fst_val twin = fst_copy_val(&copy, &self), again = fst_copy_val(&copy, &part);
  assert_false(copy.failed);
  fst_copy_deinit(&copy);
  fst_list_obj *t = (fst_list_obj *)twin.p;
  assert_ptr_not_equal(t, list);
  assert_int_equal(t->len, 4);
  assert_ptr_equal(t->items[0].p, t->items[2].p);
  assert_ptr_equal(t->items[3].p, t);
  fst_tensor_obj *w = (fst_tensor_obj *)t->items[0].p, *p = (fst_tensor_obj *)t->items[1].p;
  assert_ptr_equal(again.p, p);
  assert_ptr_equal(w->storage, p->storage);
  assert_ptr_not_equal(w->storage, storage);
  ((float *)(void *)w->data)[3] = 40;
  assert_true(((float *)(void *)p->data)[1] == 40);
  assert_true(((float *)(void *)storage->data)[3] == 4);
  // Break the cycles: counting alone cannot.
  fst_val none = fst_val_none();
  fst_val_release(&list->items[3]);
  list->items[3] = none;
  fst_val_release(&t->items[3]);
  t->items[3] = none;
  fst_val_release(&again);
  fst_val_release(&twin);
  fst_val_release(&self);
  fst_val_release(&whole);
  fst_val_release(&part);
  fst_obj_release(&storage->head);
}

static void detaching_leaves_no_constant_behind(void **state) {
  (void)state;
  fst_storage_obj *weights = fst_storage_make(16);
  memcpy(weights->data, (float[]){1, 2, 3, 4}, 16);
  weights->head.flags = FST_OBJ_IMMORTAL;
  fst_val fixed = str("constant"), view = tensor_over(weights, 1, 2);
  fixed.p->flags = FST_OBJ_IMMORTAL;
  fst_val items[3] = {fixed, view, fixed};
  fst_val list = fst_val_obj(fst_list_make(3, items));
  fst_obj *before = list.p;
  assert_true(fst_val_detach(&list));
  assert_ptr_equal(list.p, before);  // counted objects stay the same objects
  fst_list_obj *l = (fst_list_obj *)list.p;
  assert_ptr_not_equal(l->items[0].p, fixed.p);
  assert_ptr_equal(l->items[0].p, l->items[2].p);
  assert_true(fst_val_equal(&l->items[0], &fixed));
  fst_tensor_obj *t = (fst_tensor_obj *)l->items[1].p;
  assert_ptr_not_equal(t->storage, weights);
  assert_true(((float *)(void *)t->data)[0] == 2 && ((float *)(void *)t->data)[1] == 3);
  fst_val_release(&view);
  fst_val_release(&list);
  fixed.p->flags = weights->head.flags = 0;
  fst_val_release(&fixed);
  fst_obj_release(&weights->head);
}

static void contiguous_copy_follows_strides(void **state) {
  (void)state;
  fst_storage_obj *storage = fst_storage_make(24);
  memcpy(storage->data, (float[]){0, 1, 2, 3, 4, 5}, 24);
  int64_t transposed[4] = {3, 2, 1, 3}, reversed[2] = {6, -1}, empty[4] = {0, 3, 7, 9};
  fst_tensor_obj *t = fst_tensor_make(storage, storage->data, FST_F32, 2, transposed);
  assert_false(fst_tensor_is_contiguous(t));
  fst_tensor_obj *c = fst_tensor_contiguous_copy(t);
  assert_true(fst_tensor_is_contiguous(c));
  assert_memory_equal(c->data, ((float[]){0, 3, 1, 4, 2, 5}), 24);
  fst_tensor_obj *r = fst_tensor_make(storage, storage->data + 20, FST_F32, 1, reversed);
  fst_tensor_obj *rc = fst_tensor_contiguous_copy(r);
  assert_memory_equal(rc->data, ((float[]){5, 4, 3, 2, 1, 0}), 24);
  fst_tensor_obj *e = fst_tensor_make(storage, storage->data, FST_F32, 2, empty);
  assert_true(fst_tensor_is_contiguous(e));
  fst_tensor_obj *all[5] = {t, c, r, rc, e};
  for (int i = 0; i < 5; i++) fst_obj_release(&all[i]->head);
  fst_obj_release(&storage->head);
}

static void ordering_is_pythons(void **state) {
  (void)state;
  int order;
  fst_val a = str("ab"), b = str("abc"), one = fst_val_int(1), two = fst_val_float(2.0), yes = fst_val_bool(true), nan = fst_val_float(0.0 / 0.0);
  assert_true(fst_val_compare(&a, &b, &order) && order == -1);
  assert_true(fst_val_compare(&two, &one, &order) && order == 1);
  assert_true(fst_val_compare(&nan, &two, &order) && order == 1);
  assert_false(fst_val_compare(&a, &one, &order));
  assert_true(fst_val_equal(&one, &yes));
  assert_false(fst_val_equal(&nan, &nan));
  fst_val p[2] = {one, a}, q[2] = {one, b};
  fst_val x = fst_val_obj(fst_tuple_make(2, p)), y = fst_val_obj(fst_tuple_make(2, q));
  assert_true(fst_val_compare(&x, &y, &order) && order == -1);
  assert_false(fst_val_equal(&x, &y));
  fst_val_release(&x);
  fst_val_release(&y);
  fst_val_release(&a);
  fst_val_release(&b);
}

static void impossible_sizes_are_refused(void **state) {
  (void)state;
  assert_null(fst_storage_make(-1));
  assert_null(fst_storage_make(INT64_MAX));
  assert_null(fst_str_make(NULL, INT64_MAX));
  fst_list_obj *list = fst_list_make(0, NULL);
  assert_false(fst_list_reserve(list, INT64_MAX / 2));
  fst_obj_release(&list->head);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(deep_nesting_is_freed_without_recursion),
    cmocka_unit_test(shared_items_live_as_long_as_one_owner),
    cmocka_unit_test(dict_keeps_order_through_removals),
    cmocka_unit_test(keys_compare_as_in_python),
    cmocka_unit_test(copies_keep_what_is_shared_shared),
    cmocka_unit_test(detaching_leaves_no_constant_behind),
    cmocka_unit_test(contiguous_copy_follows_strides),
    cmocka_unit_test(ordering_is_pythons),
    cmocka_unit_test(impossible_sizes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
