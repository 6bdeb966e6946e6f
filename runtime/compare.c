// Python's == and < on values.
#include <string.h>

#include "runtime/object.h"

static bool val_number(const fst_val *v, double *out) {
  if (v->tag == FST_TAG_INT || v->tag == FST_TAG_BOOL) *out = (double)v->i;
  else if (v->tag == FST_TAG_FLOAT) *out = v->f;
  else return false;
  return true;
}

static bool items_equal(const fst_val *a, const fst_val *b, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (!fst_val_equal(&a[i], &b[i])) return false;
  return true;
}

static bool dict_equal(const fst_dict_obj *a, const fst_dict_obj *b) {
  if (a->len != b->len) return false;
  for (int64_t i = 0; i < a->used; i++) {
    if (!fst_dict_is_live(a, i)) continue;
    int64_t at = fst_dict_find(b, &a->keys[i]);
    if (at < 0 || !fst_val_equal(&a->values[i], &b->values[at])) return false;
  }
  return true;
}

static bool obj_equal(const fst_obj *a, const fst_obj *b, uint32_t tag) {
  switch (tag) {
    case FST_TAG_STR: {
      const fst_str_obj *x = (const fst_str_obj *)a, *y = (const fst_str_obj *)b;
      return x->len == y->len && memcmp(x->bytes, y->bytes, (size_t)x->len) == 0;
    }
    case FST_TAG_COMPLEX: {
      const fst_complex_obj *x = (const fst_complex_obj *)a, *y = (const fst_complex_obj *)b;
      return x->re == y->re && x->im == y->im;
    }
    case FST_TAG_LIST: {
      const fst_list_obj *x = (const fst_list_obj *)a, *y = (const fst_list_obj *)b;
      return x->len == y->len && items_equal(x->items, y->items, x->len);
    }
    case FST_TAG_TUPLE: {
      const fst_tuple_obj *x = (const fst_tuple_obj *)a, *y = (const fst_tuple_obj *)b;
      return x->len == y->len && items_equal(x->items, y->items, x->len);
    }
    case FST_TAG_DICT: return dict_equal((const fst_dict_obj *)a, (const fst_dict_obj *)b);
    default: return a == b;
  }
}

bool fst_val_equal(const fst_val *a, const fst_val *b) {
  if (a->tag == FST_TAG_FLOAT && b->tag == FST_TAG_FLOAT) return a->f == b->f;
  if (a->tag == b->tag) {
    if (a->tag == FST_TAG_NONE) return true;
    return fst_val_is_obj(a) ? obj_equal(a->p, b->p, a->tag) : a->i == b->i;
  }
  double x, y;
  return val_number(a, &x) && val_number(b, &y) && x == y;
}

static bool tuple_compare(const fst_tuple_obj *a, const fst_tuple_obj *b, int *out_order) {
  int64_t count = a->len < b->len ? a->len : b->len;
  for (int64_t i = 0; i < count; i++) {
    if (!fst_val_compare(&a->items[i], &b->items[i], out_order)) return false;
    if (*out_order) return true;
  }
  *out_order = (a->len > b->len) - (a->len < b->len);
  return true;
}

bool fst_val_compare(const fst_val *a, const fst_val *b, int *out_order) {
  double x, y;
  if (a->tag == FST_TAG_INT && b->tag == FST_TAG_INT) {
    *out_order = (a->i > b->i) - (a->i < b->i);
  } else if (val_number(a, &x) && val_number(b, &y)) {
    int nan_x = x != x, nan_y = y != y;
    *out_order = nan_x || nan_y ? nan_x - nan_y : (x > y) - (x < y);
  } else if (a->tag != b->tag) {
    return false;
  } else if (a->tag == FST_TAG_STR) {
    const fst_str_obj *s = (const fst_str_obj *)a->p, *t = (const fst_str_obj *)b->p;
    int c = memcmp(s->bytes, t->bytes, (size_t)(s->len < t->len ? s->len : t->len));
    *out_order = c ? (c > 0) - (c < 0) : (s->len > t->len) - (s->len < t->len);
  } else if (a->tag == FST_TAG_TUPLE) {
    return tuple_compare((const fst_tuple_obj *)a->p, (const fst_tuple_obj *)b->p, out_order);
  } else {
    return false;
  }
  return true;
}
