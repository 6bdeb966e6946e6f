// Values, patterns and types in words, for messages and reports.
#include <inttypes.h>

#include "base/dtype.h"
#include "runtime/format.h"
#include "runtime/match.h"
#include "runtime/object.h"

static const char *tag_word(uint32_t tag) {
  switch (tag) {
    case FST_TAG_NONE: return "None";
    case FST_TAG_BOOL: return "bool";
    case FST_TAG_INT: return "int";
    case FST_TAG_FLOAT: return "float";
    case FST_TAG_COMPLEX: return "complex";
    case FST_TAG_STR: return "str";
    case FST_TAG_TENSOR: return "Tensor";
    case FST_TAG_LIST: return "List";
    case FST_TAG_DICT: return "Dict";
    case FST_TAG_TUPLE: return "Tuple";
    case FST_TAG_DEVICE: return "Device";
    case FST_PLAN_ANY: return "Any";
    default: return "object";
  }
}

static void class_print(fst_buf *buf, const fst_plan *plan, uint64_t cls) {
  bool known = plan && cls < plan->classes_count;
  fst_buf_puts(buf, known ? fst_plan_text(plan, plan->classes[cls].name) : "object");
}

static void dim_print(fst_buf *buf, int64_t dim) {
  if (dim >= 0) fst_buf_printf(buf, "%" PRId64, dim);
  else if (dim == FST_PLAN_DIM_ANY) fst_buf_putc(buf, '?');
  else fst_buf_printf(buf, "s%" PRId64, -1 - dim);
}

static void dims_print(fst_buf *buf, const int64_t *dims, int count, char open, char close) {
  fst_buf_putc(buf, open);
  for (int d = 0; d < count; d++) {
    if (d) fst_buf_puts(buf, ", ");
    dim_print(buf, dims[d]);
  }
  fst_buf_putc(buf, close);
}

void fst_describe_val(fst_buf *buf, const fst_plan *plan, const fst_val *val) {
  switch (val->tag) {
    case FST_TAG_TENSOR: {
      const fst_tensor_obj *t = (const fst_tensor_obj *)val->p;
      fst_buf_puts(buf, fst_dtype_name((fst_dtype)t->dtype));
      dims_print(buf, t->shape, t->rank, '[', ']');
      if (fst_tensor_is_contiguous(t)) return;
      fst_buf_puts(buf, " with strides ");
      fst_buf_putc(buf, '{');
      for (int d = 0; d < t->rank; d++) fst_buf_printf(buf, d ? ", %" PRId64 : "%" PRId64, t->shape[t->rank + d]);
      fst_buf_putc(buf, '}');
      return;
    }
    case FST_TAG_LIST: fst_buf_printf(buf, "List of %" PRId64, ((fst_list_obj *)val->p)->len); return;
    case FST_TAG_TUPLE: fst_buf_printf(buf, "Tuple of %" PRId64, ((fst_tuple_obj *)val->p)->len); return;
    case FST_TAG_DICT: {
      const fst_dict_obj *dict = (const fst_dict_obj *)val->p;
      fst_buf_puts(buf, "Dict with keys {");
      for (int64_t i = 0, n = 0; i < dict->used && n < 16; i++) {
        if (!fst_dict_is_live(dict, i)) continue;
        if (n++) fst_buf_puts(buf, ", ");
        fst_format_val(buf, plan, &dict->keys[i]);
      }
      fst_buf_putc(buf, '}');
      return;
    }
    case FST_TAG_OBJECT: class_print(buf, plan, ((fst_object_obj *)val->p)->cls); return;
    case FST_TAG_ENUM: class_print(buf, plan, (uint64_t)val->i >> 32); return;
    case FST_TAG_INT: fst_buf_printf(buf, "int %" PRId64, val->i); return;
    default: fst_buf_puts(buf, tag_word(val->tag)); return;
  }
}

static void tensor_pattern(fst_buf *buf, const fst_plan *plan, const fst_plan_pattern *p) {
  bool any = p->dtype == FST_DTYPE_UNKNOWN;
  if (any && p->rank == FST_PLAN_RANK_ANY) {
    fst_buf_puts(buf, "Tensor");
    return;
  }
  fst_buf_puts(buf, any ? "?" : fst_dtype_name((fst_dtype)p->dtype));
  if (p->rank == FST_PLAN_RANK_ANY) {
    fst_buf_puts(buf, "[...]");
    return;
  }
  dims_print(buf, plan->ints + p->first, p->rank, '[', ']');
  if (p->flags & FST_PLAN_PAT_STRIDED) dims_print(buf, plan->ints + p->first + p->rank, p->rank, '{', '}');
}

static void items_pattern(fst_buf *buf, const fst_plan *plan, const char *word, uint32_t first, uint32_t count) {
  fst_buf_printf(buf, "%s[", word);
  for (uint32_t i = 0; i < count; i++) {
    if (i) fst_buf_puts(buf, ", ");
    fst_describe_pattern(buf, plan, plan->words[first + i]);
  }
  fst_buf_putc(buf, ']');
}

static void keys_pattern(fst_buf *buf, const fst_plan *plan, const fst_plan_pattern *p) {
  fst_buf_puts(buf, "Dict{");
  for (uint32_t i = 0; i < p->count; i++) {
    const fst_plan_const *key = &plan->consts[plan->words[p->first + i]];
    if (i) fst_buf_puts(buf, ", ");
    if (key->tag == FST_TAG_STR) fst_buf_json(buf, fst_plan_text(plan, key->aux), fst_plan_text_len(plan, key->aux));
    else fst_buf_printf(buf, "%" PRId64, key->bits);
    fst_buf_puts(buf, ": ");
    fst_describe_pattern(buf, plan, plan->words[p->first + p->count + i]);
  }
  fst_buf_putc(buf, '}');
}

void fst_describe_pattern(fst_buf *buf, const fst_plan *plan, uint32_t pattern) {
  const fst_plan_pattern *p = &plan->patterns[pattern];
  switch (p->tag) {
    case FST_TAG_TENSOR: tensor_pattern(buf, plan, p); return;
    case FST_TAG_INT:
      fst_buf_puts(buf, "int");
      if (p->number < 0) return;
      fst_buf_printf(buf, " %" PRId64, p->number);
      return;
    case FST_TAG_LIST:
      items_pattern(buf, plan, "List", p->first, 1);
      if (p->number >= 0) fst_buf_printf(buf, " of %" PRId64, p->number);
      return;
    case FST_TAG_TUPLE: items_pattern(buf, plan, "Tuple", p->first, p->count); return;
    case FST_TAG_OBJECT: class_print(buf, plan, p->aux); return;
    case FST_TAG_DICT:
      if (p->flags & FST_PLAN_PAT_KEYS) keys_pattern(buf, plan, p);
      else items_pattern(buf, plan, "Dict", p->first, 2);
      return;
    default:
      fst_buf_puts(buf, tag_word(p->tag));
      if (!(p->flags & FST_PLAN_PAT_VALUE)) return;
      const fst_plan_const *c = &plan->consts[p->aux];
      if (c->tag == FST_TAG_BOOL) fst_buf_puts(buf, c->bits ? " True" : " False");
      if (c->tag == FST_TAG_STR) fst_buf_printf(buf, " '%s'", fst_plan_text(plan, c->aux));
      return;
  }
}

void fst_describe_type(fst_buf *buf, const fst_plan *plan, uint32_t type) {
  static const char *const words[FST_PLAN_TY_COUNT] = {
    "Any", "None", "int", "float", "bool", "complex", "Scalar", "str", "Device", "Tensor",
    "List", "Dict", "Tuple", "Optional", "Union", "", "",
  };
  const fst_plan_type *t = &plan->types[type];
  const char *name = fst_plan_text(plan, t->name);
  if (t->kind == FST_PLAN_TY_CLASS || t->kind == FST_PLAN_TY_OPAQUE) {
    fst_buf_puts(buf, name);
    return;
  }
  bool named = t->kind == FST_PLAN_TY_TUPLE && *name;
  fst_buf_puts(buf, named ? name : words[t->kind]);
  if (t->kind < FST_PLAN_TY_LIST) return;
  fst_buf_putc(buf, named ? '(' : '[');
  for (uint32_t i = 0; i < t->count; i++) {
    if (i) fst_buf_puts(buf, ", ");
    if (named) fst_buf_printf(buf, "%s: ", fst_plan_text(plan, plan->words[t->fields + i]));
    fst_describe_type(buf, plan, plan->words[t->first + i]);
  }
  fst_buf_putc(buf, named ? ')' : ']');
}
