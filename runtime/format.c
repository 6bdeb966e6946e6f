#include "runtime/format.h"

#include <inttypes.h>
#include <math.h>

#include "runtime/object.h"

void fst_format_double(fst_buf *buf, double value) {
  // Whole numbers that an int64 holds print as `2.`; everything else with all digits.
  if (isfinite(value) && fabs(value) < 9223372036854775808.0 && (double)(int64_t)value == value)
    fst_buf_printf(buf, "%" PRId64 ".", (int64_t)value);
  else
    fst_buf_printf(buf, "%.17g", value);
}

static void format_complex(fst_buf *buf, const fst_complex_obj *c) {
  fst_format_double(buf, c->re);
  if (!signbit(c->im)) fst_buf_putc(buf, '+');
  fst_format_double(buf, c->im);
  fst_buf_putc(buf, 'j');
}

static void format_enum(fst_buf *buf, const fst_plan *plan, int64_t bits) {
  uint64_t cls = (uint64_t)bits >> 32, member = (uint64_t)bits & UINT32_MAX;
  if (!plan || cls >= plan->classes_count || member >= plan->classes[cls].count) {
    fst_buf_printf(buf, "Enum<%" PRIu64 ".%" PRIu64 ">", cls, member);
    return;
  }
  const fst_plan_class *c = &plan->classes[cls];
  fst_buf_printf(buf, "Enum<%s.%s>", fst_plan_text(plan, c->name), fst_plan_text(plan, plan->words[c->first + member]));
}

static void format_device(fst_buf *buf, int64_t device) {
  int64_t kind = device & 255, index = (int64_t)(int8_t)(device >> 8);
  fst_buf_puts(buf, kind == 0 ? "cpu" : "cuda");
  if (kind != 0) fst_buf_printf(buf, ":%" PRId64, index);
}

static void format_object(fst_buf *buf, const fst_plan *plan, const fst_object_obj *object) {
  if (plan && object->cls < plan->classes_count) fst_buf_printf(buf, "<%s object>", fst_plan_text(plan, plan->classes[object->cls].name));
  else fst_buf_puts(buf, "<object>");
}

// ---- containers: a cycle, or nesting beyond all use, ends in `...` ----

enum { FORMAT_DEPTH = 200 };

static void format_nested(fst_buf *buf, const fst_plan *plan, const fst_val *val, int depth);

static void format_items(fst_buf *buf, const fst_plan *plan, const fst_val *items, int64_t count, int depth) {
  for (int64_t i = 0; i < count && !buf->failed; i++) {
    if (i) fst_buf_puts(buf, ", ");
    format_nested(buf, plan, &items[i], depth + 1);
  }
}

static void format_dict(fst_buf *buf, const fst_plan *plan, const fst_dict_obj *dict, int depth) {
  bool first = true;
  fst_buf_putc(buf, '{');
  for (int64_t i = 0; i < dict->used && !buf->failed; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    if (!first) fst_buf_puts(buf, ", ");
    first = false;
    format_nested(buf, plan, &dict->keys[i], depth + 1);
    fst_buf_puts(buf, ": ");
    format_nested(buf, plan, &dict->values[i], depth + 1);
  }
  fst_buf_putc(buf, '}');
}

static void format_nested(fst_buf *buf, const fst_plan *plan, const fst_val *val, int depth) {
  if (depth > FORMAT_DEPTH) {
    fst_buf_puts(buf, "...");
    return;
  }
  switch (val->tag) {
    case FST_TAG_NONE: fst_buf_puts(buf, "None"); return;
    case FST_TAG_BOOL: fst_buf_puts(buf, val->i ? "True" : "False"); return;
    case FST_TAG_INT: fst_buf_printf(buf, "%" PRId64, val->i); return;
    case FST_TAG_FLOAT: fst_format_double(buf, val->f); return;
    case FST_TAG_COMPLEX: format_complex(buf, (const fst_complex_obj *)val->p); return;
    case FST_TAG_STR: fst_buf_add(buf, ((fst_str_obj *)val->p)->bytes, (size_t)((fst_str_obj *)val->p)->len); return;
    case FST_TAG_TENSOR: fst_format_tensor(buf, (const fst_tensor_obj *)val->p); return;
    case FST_TAG_DEVICE: format_device(buf, val->i); return;
    case FST_TAG_ENUM: format_enum(buf, plan, val->i); return;
    case FST_TAG_OBJECT: format_object(buf, plan, (const fst_object_obj *)val->p); return;
    case FST_TAG_DICT: format_dict(buf, plan, (const fst_dict_obj *)val->p, depth); return;
    case FST_TAG_LIST:
      fst_buf_putc(buf, '[');
      format_items(buf, plan, ((fst_list_obj *)val->p)->items, ((fst_list_obj *)val->p)->len, depth);
      fst_buf_putc(buf, ']');
      return;
    case FST_TAG_TUPLE: {
      const fst_tuple_obj *tuple = (const fst_tuple_obj *)val->p;
      fst_buf_putc(buf, '(');
      format_items(buf, plan, tuple->items, tuple->len, depth);
      fst_buf_puts(buf, tuple->len == 1 ? ",)" : ")");
      return;
    }
    default: fst_buf_puts(buf, "<object>"); return;
  }
}

void fst_format_val(fst_buf *buf, const fst_plan *plan, const fst_val *val) { format_nested(buf, plan, val, 0); }
