// Neuropod's way of calling: tensors by name in and out, over the same calls as everything else. The rules of what becomes
// an argument and what an output, and the texts, are those of Neuropod's TorchScript backend.
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/format.h"
#include "runtime/match.h"
#include "runtime/model.h"
#include "runtime/spec_check.h"

typedef struct map_call {
  fst_model *model;
  const fst_plan *plan;
  const fst_plan_method *method;
  fst_map_options options;
  bool is_package;
  fst_named_val *inputs;        // borrowed from the caller
  size_t input_count;
  fst_named_val *outputs;       // with references
  size_t output_count, output_cap;
  fst_symbol_table symbols;
} map_call;

// ---- inputs ----------------------------------------------------------------------------------------

static const fst_plan_type *type_at(const map_call *c, uint32_t type) { return &c->plan->types[type]; }

static bool is_str_list(const map_call *c, uint32_t type) {
  const fst_plan_type *t = type_at(c, type);
  return t->kind == FST_PLAN_TY_LIST && type_at(c, c->plan->words[t->first])->kind == FST_PLAN_TY_STR;
}

// May an item of the dict argument be of this kind?
static bool dict_takes(const map_call *c, uint32_t value_type, const fst_val *val) {
  const fst_plan_type *t = type_at(c, value_type);
  if (t->kind == FST_PLAN_TY_ANY) return val->tag == FST_TAG_TENSOR || val->tag == FST_TAG_LIST;
  if (t->kind == FST_PLAN_TY_TENSOR) return val->tag == FST_TAG_TENSOR;
  for (uint32_t i = 0; t->kind == FST_PLAN_TY_UNION && i < t->count; i++)
    if (dict_takes(c, c->plan->words[t->first + i], val)) return true;
  return is_str_list(c, value_type) && val->tag == FST_TAG_LIST;
}

static fst_failure *dict_call(map_call *c, fst_var **out) {
  uint32_t value_type = c->plan->words[type_at(c, c->plan->args[c->method->args].type)->first + 1];
  fst_var *dict = fst_var_dict();
  bool ok = dict != NULL;
  for (size_t i = 0; ok && i < c->input_count; i++) {
    if (!dict_takes(c, value_type, &c->inputs[i].val)) continue;  // Neuropod drops these silently
    fst_var *key = fst_var_str(c->inputs[i].name, strlen(c->inputs[i].name)), value = {c->inputs[i].val};
    ok = key && fst_var_dict_set(dict, key, &value);
    fst_var_free(key);
  }
  fst_failure *failure = ok ? fst_model_invoke(c->model, &(fst_arguments){c->options.method, 1, 1, NULL, (const fst_var *const *)&dict}, out) : fst_failure_memory();
  fst_var_free(dict);
  return failure;
}

static fst_failure *unknown_input(const map_call *c, const char *name) {
  fst_buf schema = {0};
  fst_buf_printf(&schema, "%s(", c->options.method ? c->options.method : "forward");
  for (uint32_t i = 0; i < c->method->arg_count; i++) {
    const fst_plan_arg *arg = &c->plan->args[c->method->args + i];
    if (i) fst_buf_puts(&schema, ", ");
    fst_describe_type(&schema, c->plan, arg->type);
    fst_buf_printf(&schema, " %s", fst_plan_text(c->plan, arg->name));
  }
  fst_buf_puts(&schema, ") -> ");
  fst_describe_type(&schema, c->plan, c->plan->words[c->method->results]);
  fst_failure *failure = fst_failure_make(FST_FAILED_INVALID, "An tensor named '%s' was provided, but does not exist in the input schema of the TorchScript model. "
                                          "Please ensure your model expects an input with that name. Schema: %s", name, fst_buf_text(&schema));
  fst_buf_deinit(&schema);
  return failure;
}

// A tensor of one element for an argument that is a number.
static void number_from_tensor(const map_call *c, uint32_t type, fst_val *val) {
  const fst_plan_type *t = type_at(c, type);
  if (t->kind == FST_PLAN_TY_OPTIONAL) number_from_tensor(c, c->plan->words[t->first], val);
  if (val->tag != FST_TAG_TENSOR || (t->kind != FST_PLAN_TY_INT && t->kind != FST_PLAN_TY_FLOAT && t->kind != FST_PLAN_TY_BOOL)) return;
  const fst_tensor_obj *tensor = (const fst_tensor_obj *)val->p;
  bool is_float = fst_dtype_is_float((fst_dtype)tensor->dtype);
  if (fst_tensor_numel(tensor) != 1 || fst_dtype_kind_of((fst_dtype)tensor->dtype) == FST_KIND_COMPLEX) return;
  if (t->kind == FST_PLAN_TY_FLOAT) *val = fst_val_float(is_float ? fst_tensor_double_at(tensor, 0) : (double)fst_tensor_int_at(tensor, 0));
  else if (is_float) return;
  else if (t->kind == FST_PLAN_TY_INT) *val = fst_val_int(fst_tensor_int_at(tensor, 0));
  else *val = fst_val_bool(fst_tensor_int_at(tensor, 0) != 0);
}

static const fst_named_val *input_find(const map_call *c, const char *name) {
  for (size_t i = 0; i < c->input_count; i++)
    if (!strcmp(c->inputs[i].name, name)) return &c->inputs[i];
  return NULL;
}

// By name; what is left out is None where that is allowed, else its default.
static fst_failure *named_call(map_call *c, fst_var **out) {
  uint32_t arg_count = c->method->arg_count;
  fst_var *values = malloc((arg_count + 1) * sizeof *values);
  const fst_var **args = malloc((arg_count + 1) * sizeof *args);
  const char **names = malloc((arg_count + 1) * sizeof *names);
  size_t count = 0;
  for (uint32_t i = 0; values && args && names && i < arg_count; i++) {
    const fst_plan_arg *arg = &c->plan->args[c->method->args + i];
    const fst_named_val *input = input_find(c, fst_plan_text(c->plan, arg->name));
    if (!input && (arg->initial || type_at(c, arg->type)->kind != FST_PLAN_TY_OPTIONAL)) continue;
    values[count].val = input ? input->val : fst_val_none();
    number_from_tensor(c, arg->type, &values[count].val);
    args[count] = &values[count];
    names[count++] = fst_plan_text(c->plan, arg->name);
  }
  fst_failure *failure = values && args && names ? fst_model_invoke(c->model, &(fst_arguments){c->options.method, 0, count, names, args}, out) : fst_failure_memory();
  free(values);
  free(args);
  free(names);
  return failure;
}

static fst_failure *model_call(map_call *c, fst_var **out) {
  for (size_t i = 0; i < c->input_count; i++) {
    const fst_val *val = &c->inputs[i].val;
    if (val->tag == FST_TAG_TENSOR && fst_dtype_kind_of((fst_dtype)((fst_tensor_obj *)val->p)->dtype) == FST_KIND_NONE)
      return fst_failure_make(FST_FAILED_INVALID, "TorchScript does not support type: %s", fst_tensor_type_name(val));
  }
  if (c->method->arg_count == 1 && type_at(c, c->plan->args[c->method->args].type)->kind == FST_PLAN_TY_DICT) return dict_call(c, out);
  for (size_t i = 0; i < c->input_count; i++) {
    bool known = false;
    for (uint32_t a = 0; a < c->method->arg_count && !known; a++) known = !strcmp(fst_plan_text(c->plan, c->plan->args[c->method->args + a].name), c->inputs[i].name);
    if (!known) return unknown_input(c, c->inputs[i].name);
  }
  return named_call(c, out);
}

// ---- outputs ---------------------------------------------------------------------------------------

static const char *list_item_word(const fst_list_obj *list) {
  static const char *const words[] = {[FST_TAG_NONE] = "NoneType", [FST_TAG_BOOL] = "bool", [FST_TAG_INT] = "int", [FST_TAG_FLOAT] = "float", [FST_TAG_COMPLEX] = "complex",
                                      [FST_TAG_STR] = "str", [FST_TAG_TENSOR] = "Tensor", [FST_TAG_LIST] = "List", [FST_TAG_DICT] = "Dict", [FST_TAG_TUPLE] = "Tuple"};
  uint32_t tag = list->len ? list->items[0].tag : (uint32_t)FST_TAG_STR;
  return tag < sizeof words / sizeof *words && words[tag] ? words[tag] : "object";
}

static const char *spec_dtype(const map_call *c, const char *name) {
  const fst_names *names = c->model->program->names;
  for (size_t i = 0; i < names->spec_count; i++)
    if ((c->plan->specs[i].flags & FST_PLAN_SPEC_OUTPUT) && !strcmp(names->specs[i].name, name)) return names->specs[i].dtype;
  return NULL;
}

static fst_failure *output_check(const map_call *c, const char *name, const fst_val *val) {
  if (!c->is_package) return NULL;
  if (val->tag == FST_TAG_LIST) {
    const fst_list_obj *list = (const fst_list_obj *)val->p;
    const char *dtype = spec_dtype(c, name);
    bool is_text = true;
    for (int64_t i = 0; i < list->len; i++) is_text &= list->items[i].tag == FST_TAG_STR;
    if (is_text && (!dtype || !strcmp(dtype, "string"))) return NULL;
    return fst_failure_make(FST_FAILED_INVALID, "Neuropod got a list of type '%s' for tensor '%s'.Only tensors or lists of strings are supported", list_item_word(list), name);
  }
  if (val->tag != FST_TAG_TENSOR) return fst_failure_make(FST_FAILED_INVALID, "Torchscript model output type not supported in neuropod");
  int dtype = ((const fst_tensor_obj *)val->p)->dtype;
  bool known = dtype == FST_F32 || dtype == FST_F64 || fst_dtype_is_integral((fst_dtype)dtype, false);
  return known ? NULL : fst_failure_make(FST_FAILED_INVALID, "Neuropod does not support type: %s", fst_dtype_word((fst_dtype)dtype));
}

// Takes the value, borrowed; what is kept is row-major and has a reference.
static fst_failure *output_add(map_call *c, const char *name, const fst_val *val) {
  for (size_t i = 0; i < c->output_count; i++)
    if (!strcmp(c->outputs[i].name, name))
      return fst_failure_make(FST_FAILED_INVALID, "An item with name `%s` was already returned by this model. Please ensure your model does not have duplicate outputs", name);
  fst_failure *failure = output_check(c, name, val);
  if (failure) return failure;
  if (c->output_count == c->output_cap) {
    size_t cap = c->output_cap ? 2 * c->output_cap : 8;
    fst_named_val *grown = realloc(c->outputs, cap * sizeof *grown);
    if (!grown) return fst_failure_memory();
    c->outputs = grown;
    c->output_cap = cap;
  }
  fst_named_val output = {name, *val};
  if (val->tag == FST_TAG_TENSOR && !fst_tensor_is_contiguous((fst_tensor_obj *)val->p)) {
    fst_tensor_obj *copy = fst_tensor_contiguous_copy((fst_tensor_obj *)val->p);
    if (!copy) return fst_failure_memory();
    output.val = fst_val_obj(copy);
  } else {
    fst_val_retain(val);
  }
  c->outputs[c->output_count++] = output;
  return NULL;
}

static fst_failure *dict_outputs(map_call *c, const fst_dict_obj *dict) {
  fst_failure *failure = NULL;
  for (int64_t i = 0; !failure && i < dict->used; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    if (dict->keys[i].tag != FST_TAG_STR) return fst_failure_make(FST_FAILED_INVALID, "Torchscript model output type not supported in neuropod");
    failure = output_add(c, ((const fst_str_obj *)dict->keys[i].p)->bytes, &dict->values[i]);
  }
  return failure;
}

static fst_failure *tuple_outputs(map_call *c, const fst_tuple_obj *tuple) {
  const fst_plan_type *t = c->method->result_count == 1 ? type_at(c, c->plan->words[c->method->results]) : NULL;
  bool is_named = t && t->kind == FST_PLAN_TY_TUPLE && fst_plan_text_len(c->plan, t->name) && t->count == tuple->len;
  fst_failure *failure = NULL;
  for (int64_t i = 0; !failure && i < tuple->len; i++) {
    const fst_val *item = &tuple->items[i];
    if (is_named) failure = output_add(c, fst_plan_text(c->plan, c->plan->words[t->fields + (uint32_t)i]), item);
    else if (item->tag == FST_TAG_DICT) failure = dict_outputs(c, (const fst_dict_obj *)item->p);
    else failure = fst_failure_make(FST_FAILED_INVALID, "When returning a tuple, each item must be a dict. Got %s", item->tag == FST_TAG_TENSOR ? "Tensor" : item->tag == FST_TAG_LIST ? "List" : "another type");
  }
  return failure;
}

static fst_failure *single_output(map_call *c, const fst_val *val) {
  const char *name = NULL;
  size_t count = 0;
  for (uint32_t i = 0; i < c->plan->specs_count; i++) {
    if (!(c->plan->specs[i].flags & FST_PLAN_SPEC_OUTPUT)) continue;
    name = fst_plan_text(c->plan, c->plan->specs[i].name);
    count++;
  }
  if (!c->is_package) return output_add(c, "output", val);
  if (val->tag != FST_TAG_TENSOR && val->tag != FST_TAG_LIST) return fst_failure_make(FST_FAILED_INVALID, "Torchscript model output type not supported in neuropod");
  if (!count) return fst_failure_make(FST_FAILED_INVALID, "Model did not return dict and output spec is empty");
  if (count != 1) return fst_failure_make(FST_FAILED_INVALID, "Model did not return dict and output spec is not size 1");
  return output_add(c, name, val);
}

static fst_failure *outputs_collect(map_call *c, const fst_val *result) {
  if (result->tag == FST_TAG_DICT) return dict_outputs(c, (const fst_dict_obj *)result->p);
  if (result->tag == FST_TAG_TUPLE) return tuple_outputs(c, (const fst_tuple_obj *)result->p);
  return single_output(c, result);
}

// Puts the wanted ones in front, in their order, and drops the others.
static fst_failure *outputs_select(map_call *c) {
  for (size_t want = 0; want < c->options.output_count; want++) {
    size_t at = want;
    while (at < c->output_count && strcmp(c->outputs[at].name, c->options.outputs[want]) != 0) at++;
    if (at == c->output_count) return fst_failure_make(FST_FAILED_INVALID, "Tried to request a tensor that does not exist: %s", c->options.outputs[want]);
    fst_named_val found = c->outputs[at];
    c->outputs[at] = c->outputs[want];
    c->outputs[want] = found;
  }
  while (c->options.output_count && c->output_count > c->options.output_count) fst_val_release(&c->outputs[--c->output_count].val);
  return NULL;
}

// Copies outputs into tensors of the caller's.
static fst_failure *outputs_place(map_call *c) {
  for (size_t i = 0; c->options.results && i < c->options.output_count; i++) {
    const fst_var *place = c->options.results[i];
    if (!place) continue;
    fst_val *val = &c->outputs[i].val;
    const fst_tensor_obj *from = val->tag == FST_TAG_TENSOR ? (const fst_tensor_obj *)val->p : NULL;
    fst_tensor_obj *to = place->val.tag == FST_TAG_TENSOR ? (fst_tensor_obj *)place->val.p : NULL;
    bool fits = from && to && from->dtype == to->dtype && from->rank == to->rank && !memcmp(from->shape, to->shape, from->rank * sizeof *from->shape);
    if (!fits || (to->storage->head.flags & FST_OBJ_READONLY)) {
      fst_buf want = {0}, found = {0};
      fst_describe_val(&want, c->plan, val);
      fst_describe_val(&found, c->plan, &place->val);
      fst_failure *failure = fst_failure_make(FST_FAILED_INVALID, "output '%s' is %s and cannot be put into the %s that was provided for it", c->outputs[i].name, fst_buf_text(&want),
                                              fits ? "read-only memory" : fst_buf_text(&found));
      fst_buf_deinit(&want);
      fst_buf_deinit(&found);
      return failure;
    }
    fst_tensor_copy_elements(to, from);
    fst_val_retain(&place->val);
    fst_val_release(val);
    *val = place->val;
  }
  return NULL;
}

static fst_failure *outputs_dict(const map_call *c, fst_var **out) {
  fst_var *dict = fst_var_dict();
  bool ok = dict != NULL;
  for (size_t i = 0; ok && i < c->output_count; i++) {
    fst_var *key = fst_var_str(c->outputs[i].name, strlen(c->outputs[i].name)), value = {c->outputs[i].val};
    ok = key && fst_var_dict_set(dict, key, &value);
    fst_var_free(key);
  }
  if (!ok) {
    fst_var_free(dict);
    return fst_failure_memory();
  }
  *out = dict;
  return NULL;
}

// ---- the call --------------------------------------------------------------------------------------

static fst_failure *map_run(map_call *c, fst_var **out) {
  const fst_names *names = c->model->program->names;
  bool check = c->is_package && !c->options.no_check;
  fst_failure *failure = check ? fst_spec_check(c->plan, names, false, c->inputs, c->input_count, &c->symbols) : NULL;
  if (!c->options.strict_symbols) c->symbols.count = 0;
  fst_var *result = NULL;
  if (!failure) failure = model_call(c, &result);
  if (!failure) failure = outputs_collect(c, &result->val);
  if (!failure) failure = outputs_select(c);
  if (!failure && check) failure = fst_spec_check(c->plan, names, true, c->outputs, c->output_count, &c->symbols);
  if (!failure) failure = outputs_place(c);
  if (!failure) failure = outputs_dict(c, out);
  fst_var_free(result);
  return failure;
}

static fst_failure *inputs_take(map_call *c, const char *const *names, const fst_var *const *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!names[i] || !values[i]) return fst_failure_make(FST_FAILED_INVALID, "fst_infer_map: input %zu has no name or no value", i);
    for (size_t k = 0; k < i; k++)
      if (!strcmp(names[i], names[k])) return fst_failure_make(FST_FAILED_INVALID, "fst_infer_map: input '%s' is given twice", names[i]);
    c->inputs[i] = (fst_named_val){names[i], values[i]->val};
  }
  c->input_count = count;
  return NULL;
}

static fst_failure *method_find(map_call *c) {
  const char *name = c->options.method ? c->options.method : "forward";
  uint32_t number = fst_plan_method_find(c->plan, name);
  if (number == UINT32_MAX) return fst_failure_make(FST_FAILED_NOT_FOUND, "the model has no method '%s'", name);
  c->method = &c->plan->methods[number];
  return NULL;
}

static fst_failure *options_take(map_call *c, const fst_map_options *given) {
  if (!given) return NULL;
  if (given->size < sizeof given->size || given->size > 65536) return fst_failure_make(FST_FAILED_INVALID, "fst_map_options.size is not set");
  memcpy(&c->options, given, given->size < sizeof c->options ? given->size : sizeof c->options);
  return c->options.output_count && !c->options.outputs ? fst_failure_make(FST_FAILED_INVALID, "fst_map_options.outputs is not set") : NULL;
}

fst_failure *fst_infer_map(fst_model *model, const char *const *names, const fst_var *const *values, size_t count, const fst_map_options *options, fst_var **out) {
  if (!model || !out || (count && (!names || !values))) return fst_failure_make(FST_FAILED_INVALID, "fst_infer_map: model, names, values and out_outputs must be given");
  map_call c = {.model = model, .plan = fst_program_plan(model->program)};
  c.is_package = fst_plan_text_len(c.plan, c.plan->header->package) != 0;
  size_t dims = 0;
  for (uint32_t i = 0; i < c.plan->specs_count; i++) dims += c.plan->specs[i].count;
  c.inputs = malloc((count + 1) * sizeof *c.inputs);
  c.symbols.rows = malloc((dims + 1) * sizeof *c.symbols.rows);
  fst_failure *failure = c.inputs && c.symbols.rows ? options_take(&c, options) : fst_failure_memory();
  if (!failure) failure = method_find(&c);
  if (!failure) failure = inputs_take(&c, names, values, count);
  if (!failure) failure = map_run(&c, out);
  for (size_t i = 0; i < c.output_count; i++) fst_val_release(&c.outputs[i].val);
  free(c.outputs);
  free(c.inputs);
  free(c.symbols.rows);
  return failure;
}
