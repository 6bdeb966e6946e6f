#include "driver/plan_classes.h"

#include "base/abi.h"

static uint32_t member_value(fst_plan_tables *t, const fst_module *module, fst_const value) {
  const fst_const_data *d = fst_const_get(module, value);
  switch (d->kind) {
    case FST_CONST_INT: return fst_plan_const_scalar(t, FST_TAG_INT, d->i);
    case FST_CONST_BOOL: return fst_plan_const_scalar(t, FST_TAG_BOOL, d->b);
    case FST_CONST_FLOAT: return fst_plan_const_double(t, d->f);
    case FST_CONST_STR: return fst_plan_const_str(t, fst_sym_text(&module->strings, d->str), fst_sym_len(&module->strings, d->str));
    default: return fst_plan_const_scalar(t, FST_TAG_NONE, 0);  // TorchScript's enums hold nothing else
  }
}

static void class_add(fst_plan_tables *t, const fst_module *module, const fst_class *cls) {
  bool is_enum = cls->kind == FST_CLASS_ENUM;
  uint32_t count = is_enum ? cls->member_count : cls->attr_count;
  const fst_sym *from = is_enum ? cls->member_names : cls->attr_names;
  FST_VEC(uint32_t) names = {0}, values = {0};
  for (uint32_t i = 0; i < count; i++) {
    fst_vec_push(&names, fst_plan_string_add(t, fst_sym_text(&module->strings, from[i]), fst_sym_len(&module->strings, from[i])));
    if (is_enum) fst_vec_push(&values, member_value(t, module, cls->member_values[i]));
  }
  fst_plan_class_add(t, fst_sym_text(&module->strings, cls->name), is_enum ? FST_PLAN_CLASS_ENUM : FST_PLAN_CLASS_PLAIN, names.data, values.data, count);
  fst_vec_free(&names);
  fst_vec_free(&values);
}

void fst_plan_classes_add(fst_plan_tables *tables, const fst_module *module) {
  for (size_t i = 1; i < module->classes.len; i++) {
    const fst_class *cls = &module->classes.data[i];
    if (cls->kind == FST_CLASS_PLAIN || cls->kind == FST_CLASS_ENUM) class_add(tables, module, cls);
  }
}
