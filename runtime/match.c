#include "runtime/match.h"

#include <inttypes.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/object.h"

#define SYMBOL_UNSET INT64_MIN

// Where in a nested value the matcher stands; printed only when something does not fit.
typedef struct place {
  const struct place *outer;
  const char *what, *name;  // outermost: "argument", "x"
  const fst_val *key;       // of a dict
  int64_t index;
} place;

void fst_match_begin(fst_match *m, const fst_plan_signature *signature) {
  for (uint32_t i = 0; i < signature->symbol_count; i++) m->symbols[i] = SYMBOL_UNSET;
}

static bool dim_match(fst_match *m, int64_t want, int64_t found) {
  if (want >= 0) return want == found;
  if (want == FST_PLAN_DIM_ANY) return true;
  int64_t *symbol = &m->symbols[-1 - want];
  if (*symbol == SYMBOL_UNSET) *symbol = found;
  return *symbol == found;
}

// ---- saying why not ----

static void place_print(fst_buf *buf, const place *at) {
  if (at->outer) place_print(buf, at->outer);
  if (at->what) {
    fst_buf_printf(buf, "%s '%s'", at->what, at->name);
  } else if (at->key && at->key->tag == FST_TAG_STR) {
    fst_buf_printf(buf, "['%s']", ((const fst_str_obj *)at->key->p)->bytes);
  } else {
    fst_buf_printf(buf, "[%" PRId64 "]", at->key && at->key->tag == FST_TAG_INT ? at->key->i : at->index);
  }
}

static bool misfit(fst_match *m, const place *at, uint32_t pattern, const fst_val *val) {
  if (!m->why || m->why->len) return false;
  place_print(m->why, at);
  fst_buf_puts(m->why, ": expected ");
  fst_describe_pattern(m->why, m->plan, pattern);
  fst_buf_puts(m->why, ", found ");
  fst_describe_val(m->why, m->plan, val);
  return false;
}

static bool misfit_symbol(fst_match *m, const place *at, uint32_t pattern, const fst_val *val, int dim, int64_t want, int64_t found) {
  bool first = m->why && !m->why->len;
  misfit(m, at, pattern, val);
  if (first && want < 0 && want != FST_PLAN_DIM_ANY)
    fst_buf_printf(m->why, "; size %" PRId64 " of dimension %d must equal s%" PRId64 ", which is %" PRId64 " already", found, dim, -1 - want, m->symbols[-1 - want]);
  return false;
}

// ---- matching ----

static bool pattern_match(fst_match *m, uint32_t pattern, const fst_val *val, const place *at);

static bool tensor_match(fst_match *m, uint32_t pattern, const fst_val *val, const place *at) {
  const fst_plan_pattern *p = &m->plan->patterns[pattern];
  const fst_tensor_obj *t = (const fst_tensor_obj *)val->p;
  if (p->dtype != FST_DTYPE_UNKNOWN && p->dtype != t->dtype) return misfit(m, at, pattern, val);
  if (p->rank != FST_PLAN_RANK_ANY && p->rank != t->rank) return misfit(m, at, pattern, val);
  const int64_t *dims = m->plan->ints + p->first;
  if (p->rank != FST_PLAN_RANK_ANY) {
    for (int d = 0; d < t->rank; d++)
      if (!dim_match(m, dims[d], t->shape[d])) return misfit_symbol(m, at, pattern, val, d, dims[d], t->shape[d]);
  }
  if (p->flags & FST_PLAN_PAT_STRIDED) {
    for (int d = 0; d < t->rank; d++) {
      // The stride of a dimension of one element, or of an empty tensor, is never used.
      if (t->shape[d] > 1 && !dim_match(m, dims[t->rank + d], t->shape[t->rank + d])) return misfit(m, at, pattern, val);
    }
  }
  if ((p->flags & FST_PLAN_PAT_CONTIGUOUS) && !m->accept_strided && !fst_tensor_is_contiguous(t)) return misfit(m, at, pattern, val);
  return true;
}

static bool list_match(fst_match *m, uint32_t pattern, const fst_val *val, const place *at) {
  const fst_plan_pattern *p = &m->plan->patterns[pattern];
  const fst_list_obj *list = (const fst_list_obj *)val->p;
  uint32_t item = m->plan->words[p->first];
  if (!dim_match(m, p->number, list->len)) return misfit(m, at, pattern, val);
  if (m->plan->patterns[item].tag == FST_PLAN_ANY) return true;
  for (int64_t i = 0; i < list->len; i++) {
    place here = {.outer = at, .index = i};
    if (!pattern_match(m, item, &list->items[i], &here)) return false;
  }
  return true;
}

static bool items_match(fst_match *m, uint32_t pattern, const fst_val *val, const fst_val *items, int64_t count, const place *at) {
  const fst_plan_pattern *p = &m->plan->patterns[pattern];
  if (count != p->count) return misfit(m, at, pattern, val);
  for (int64_t i = 0; i < count; i++) {
    place here = {.outer = at, .index = i};
    if (!pattern_match(m, m->plan->words[p->first + i], &items[i], &here)) return false;
  }
  return true;
}

static bool dict_match(fst_match *m, uint32_t pattern, const fst_val *val, const place *at) {
  const fst_plan_pattern *p = &m->plan->patterns[pattern];
  const fst_dict_obj *dict = (const fst_dict_obj *)val->p;
  const uint32_t *words = m->plan->words + p->first;
  if (p->flags & FST_PLAN_PAT_KEYS) {
    if (dict->len != p->count) return misfit(m, at, pattern, val);
    for (uint32_t i = 0; i < p->count; i++) {
      const fst_val *key = &m->consts[words[i]];
      int64_t entry = fst_dict_find(dict, key);
      place here = {.outer = at, .key = key};
      if (entry < 0) return misfit(m, at, pattern, val);
      if (!pattern_match(m, words[p->count + i], &dict->values[entry], &here)) return false;
    }
    return true;
  }
  for (int64_t i = 0; i < dict->used; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    place here = {.outer = at, .key = &dict->keys[i]};
    if (!pattern_match(m, words[0], &dict->keys[i], &here) || !pattern_match(m, words[1], &dict->values[i], &here)) return false;
  }
  return true;
}

static bool pattern_match(fst_match *m, uint32_t pattern, const fst_val *val, const place *at) {
  const fst_plan_pattern *p = &m->plan->patterns[pattern];
  if (p->tag == FST_PLAN_ANY) return true;
  if (p->tag != val->tag) return misfit(m, at, pattern, val);
  if ((p->flags & FST_PLAN_PAT_VALUE) && !fst_val_equal(&m->consts[p->aux], val)) return misfit(m, at, pattern, val);
  switch (p->tag) {
    case FST_TAG_INT: return dim_match(m, p->number, val->i) || misfit(m, at, pattern, val);
    case FST_TAG_TENSOR: return tensor_match(m, pattern, val, at);
    case FST_TAG_LIST: return list_match(m, pattern, val, at);
    case FST_TAG_DICT: return dict_match(m, pattern, val, at);
    case FST_TAG_TUPLE: return items_match(m, pattern, val, ((fst_tuple_obj *)val->p)->items, ((fst_tuple_obj *)val->p)->len, at);
    case FST_TAG_OBJECT: {
      const fst_object_obj *object = (const fst_object_obj *)val->p;
      if (object->cls != p->aux) return misfit(m, at, pattern, val);
      return items_match(m, pattern, val, object->slots, object->len, at);
    }
    default: return true;
  }
}

bool fst_match_val(fst_match *m, uint32_t pattern, const fst_val *val, const char *what, const char *name) {
  place at = {.what = what, .name = name};
  return pattern_match(m, pattern, val, &at);
}
