// Compiling a module, see driver/compile.h.
//
// Each requested signature is compiled for every form the state may have when the method is called: it starts
// from the saved state (and the present one), and whatever forms the compiled methods leave behind are
// compiled too, until nothing new turns up. A form that another covers (a size that is not known covers every number) goes.
// Past MAX_FORMS sizes in them stop being constants. A counter is told apart in no form.
#include "driver/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "codegen/cuda/cuda.h"
#include "driver/device_image.h"
#include "driver/plan_classes.h"
#include "driver/signature.h"
#include "driver/slot_form.h"
#include "ir/effects.h"
#include "ir/memory_plan.h"
#include "passes/alias.h"

enum { MAX_FORMS = 8, MAX_METHODS = 64 };

typedef struct {
  char *name;              // short
  fst_sym function;
  fst_graph *imported;     // the module's own
  fst_graph *frozen;
} method_info;

typedef struct {
  const fst_compile_request *rq;
  fst_module *module;
  fst_arena arena;
  FST_VEC(method_info) methods;
  fst_state_layout layout;
  FST_VEC(fst_slot_form) forms;      // vectors of layout.slots.len; sizes are constants or unknown
  FST_VEC(bool) covered;             // by form: another one holds of every such state
  bool *loose;                       // by slot: its forms are too many to tell apart
  fst_graph *form_home;              // whose size table spells them: no symbols, so any will do
} compilation;

// ---- methods ---------------------------------------------------------------------------------------

static const fst_class *root_class(const fst_module *module) {
  if (module->root == UINT32_MAX) return NULL;
  return &module->classes.data[module->objects.data[module->root].cls.id];
}

static bool is_callable(const char *name) { return strncmp(name, "__", 2) != 0; }

// Methods of the archive's object; in IR text without objects the functions. NULL past the last.
static const char *method_name_at(const fst_module *module, size_t i) {
  const fst_class *cls = root_class(module);
  if (cls) return i < cls->method_count ? fst_sym_text(&module->strings, cls->method_names[i]) : NULL;
  return i < module->functions.len ? fst_sym_text(&module->strings, module->functions.data[i]->name) : NULL;
}

void fst_module_methods(const fst_module *module, fst_text *out) {
  const char *name;
  for (size_t i = 0; (name = method_name_at(module, i)); i++) {
    if (!is_callable(name)) continue;
    if (out->len) fst_text_putc(out, ',');
    fst_text_puts(out, name);
  }
}

static fst_status add_method(compilation *c, const char *name) {
  for (size_t i = 0; i < c->methods.len; i++)
    if (!strcmp(c->methods.data[i].name, name)) return NULL;
  const fst_class *cls = root_class(c->module);
  fst_graph *imported = cls ? fst_class_method(c->module, cls, fst_intern(&c->module->strings, name)) : NULL;
  if (!imported && !cls && c->module->functions.len)   // IR text without objects: its functions are the methods
    imported = fst_module_find_function(c->module, fst_intern(&c->module->strings, name));
  if (!imported) {
    fst_text have = {0};
    fst_module_methods(c->module, &have);
    fst_status status = FST_FAIL(FST_ERR_NOT_FOUND, "the model has no method '%s'; it has: %s", name, fst_text_cstr(&have));
    fst_text_deinit(&have);
    return status;
  }
  if (c->methods.len >= MAX_METHODS) return FST_FAIL(FST_ERR_UNSUPPORTED, "more than %d methods", MAX_METHODS);
  method_info m = {.name = fst_arena_strdup(&c->arena, name), .function = imported->name, .imported = imported};
  fst_vec_push(&c->methods, m);
  return NULL;
}

static method_info *find_method(compilation *c, const char *name) {
  for (size_t i = 0; i < c->methods.len; i++)
    if (!strcmp(c->methods.data[i].name, name)) return &c->methods.data[i];
  return NULL;
}

static fst_status inline_methods(compilation *c) {
  for (size_t i = 0; i < c->methods.len; i++) {
    method_info *m = &c->methods.data[i];
    fst_graph_destroy(m->frozen);
    m->frozen = fst_graph_clone(m->imported, m->imported->name);
    fst_status status = fst_pipeline_inline(m->frozen, c->rq->options);
    if (status) return fst_error_prefix(status, "method '%s'", m->name);
  }
  return NULL;
}

// The layout of the state for the methods as they are inlined, and the methods frozen with it.
static fst_status freeze_methods(compilation *c, const fst_map *trained) {
  fst_graph *graphs[MAX_METHODS];
  for (size_t i = 0; i < c->methods.len; i++) graphs[i] = c->methods.data[i].frozen;
  fst_state_layout_deinit(&c->layout);
  FST_TRY(fst_state_layout_init(&c->layout, graphs, (uint32_t)c->methods.len, trained));
  for (size_t i = 0; i < c->methods.len; i++) {
    fst_status status = fst_pipeline_freeze(graphs[i], &c->layout, c->rq->options);
    if (status) return fst_error_prefix(status, "method '%s'", c->methods.data[i].name);
  }
  return NULL;
}

// All methods that may be called, inlined and frozen together: state is what any of them may write. Only frozen
// methods show whether norms train their statistics; where they do, everything is done once more.
static fst_status prepare(compilation *c) {
  const fst_compile_request *rq = c->rq;
  for (uint32_t i = 0; i < rq->signature_count; i++) FST_TRY(add_method(c, rq->signatures[i].method));
  for (uint32_t i = 0; i < rq->method_count; i++) FST_TRY(add_method(c, rq->methods[i]));
  const char *name;
  for (size_t i = 0; !rq->method_count && (name = method_name_at(c->module, i)); i++)
    if (is_callable(name)) FST_TRY(add_method(c, name));
  fst_map trained = {0};
  fst_status status = NULL;
  for (int round = 0; round < 2 && !status; round++) {
    status = inline_methods(c);
    if (!status) status = freeze_methods(c, &trained);
    bool trains = false;
    for (size_t i = 0; i < c->methods.len && !status; i++) trains |= fst_state_trained(c->methods.data[i].frozen, &trained);
    if (!trains) break;
  }
  fst_map_deinit(&trained);
  c->form_home = c->methods.len ? c->methods.data[0].frozen : NULL;
  return status;
}

// ---- forms of the state ----------------------------------------------------------------------------

static fst_type const_type(fst_module *module, fst_const c) {
  const fst_const_data *d = fst_const_get(module, c);
  switch (d->kind) {
    case FST_CONST_TENSOR: return module->tensors.data[d->index].type;
    case FST_CONST_LIST: return module->lists.data[d->index].type;
    case FST_CONST_DICT: return module->dicts.data[d->index].type;
    default: return d->type;
  }
}

static bool covers_all(const compilation *c, const fst_slot_form *general, const fst_slot_form *form) {
  for (size_t s = 0; s < c->layout.slots.len; s++)
    if (!fst_slot_form_covers(c->form_home, general[s], form[s])) return false;
  return true;
}

static void add_form(compilation *c, const fst_slot_form *given) {
  size_t slots = c->layout.slots.len;
  fst_slot_form *form = FST_NEW_ARRAY(&c->arena, fst_slot_form, slots + 1);
  for (size_t s = 0; s < slots; s++) form[s] = c->loose[s] ? fst_slot_form_loosen(c->form_home, given[s]) : given[s];
  for (size_t f = 0; f < c->covered.len; f++)
    if (covers_all(c, &c->forms.data[f * slots], form)) return;
  for (size_t f = 0; f < c->covered.len; f++)
    if (covers_all(c, form, &c->forms.data[f * slots])) c->covered.data[f] = true;
  for (size_t s = 0; s < slots; s++) fst_vec_push(&c->forms, form[s]);
  if (!slots) fst_vec_push(&c->forms, form[0]);   // one form, of nothing
  fst_vec_push(&c->covered, false);
}

// Forms that no other covers.
static size_t form_count(const compilation *c) {
  size_t count = 0;
  for (size_t f = 0; f < c->covered.len; f++) count += !c->covered.data[f];
  return count;
}

// Past MAX_FORMS: the slot with the most different forms is no longer told apart, and everything starts anew.
// False when there is none left.
static bool loosen_worst(compilation *c) {
  size_t slots = c->layout.slots.len, worst = 0, most = 1;
  for (size_t s = 0; s < slots; s++) {
    size_t different = 0;
    for (size_t a = 0; a < c->covered.len; a++) {
      bool seen = false;
      for (size_t b = 0; b < a && !seen; b++) seen = !memcmp(&c->forms.data[a * slots + s], &c->forms.data[b * slots + s], sizeof *c->forms.data);
      different += !seen;
    }
    if (c->loose[s] || different <= most) continue;
    most = different;
    worst = s + 1;
  }
  if (worst) c->loose[worst - 1] = true;
  return worst;
}

static fst_slot_form saved_form(const compilation *c, const fst_state_slot *slot) {
  const fst_const_data *d = fst_const_get(c->module, slot->initial);
  fst_slot_form form = {.type = const_type(c->module, slot->initial)};
  if (d->kind == FST_CONST_INT || d->kind == FST_CONST_BOOL) form.value = slot->initial;
  return form;
}

// "f32[1, 64]", "int=16000", "bool=1"
static fst_status parse_form(compilation *c, const char *text, size_t len, fst_slot_form *out) {
  fst_size_names names = {0};
  const char *equals = memchr(text, '=', len);
  size_t type_len = equals ? (size_t)(equals - text) : len;
  fst_status status = fst_signature_type(c->form_home, &names, text, type_len, &out->type);
  fst_vec_free(&names.names);
  out->value = (fst_const){0};
  if (status || !equals) return status;
  long long value = strtoll(equals + 1, NULL, 10);
  bool is_bool = fst_type_is(c->module->types, out->type, FST_TY_BOOL);
  out->value = is_bool ? fst_const_bool(c->module, value != 0) : fst_const_int(c->module, value);
  return NULL;
}

// Is the value computed, by arithmetic alone, from what the slot holds?
static bool counts_on(const fst_graph *g, fst_value_id value, int64_t slot, int depth) {
  fst_node_id def = fst_value_def(g, value);
  if (!def.id || !depth) return false;
  const fst_node *n = fst_node_get(g, def);
  if (n->op == FST_OP_STATE_GET) return n->attr_int == slot;
  if (n->op == FST_OP_UNKNOWN || fst_op_get(n->op)->cls != FST_CLASS_SCALAR) return false;
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (counts_on(g, n->operands[i], slot, depth - 1)) return true;
  return false;
}

// A counter has a new value at every call: its values are never told apart.
static void loosen_counters(compilation *c) {
  enum { MOST_STEPS = 8 };
  for (size_t i = 0; i < c->methods.len; i++) {
    const fst_graph *g = c->methods.data[i].frozen;
    for (size_t k = 1; k < g->nodes.len; k++) {
      const fst_node *n = g->nodes.data[k];
      if (n->op != FST_OP_STATE_SET || !n->block.id || !fst_type_is(c->module->types, fst_value_type(g, n->operands[0]), FST_TY_INT)) continue;
      if (counts_on(g, n->operands[0], n->attr_int, MOST_STEPS)) c->loose[n->attr_int] = true;
    }
  }
}

static fst_status first_forms(compilation *c) {
  size_t slots = c->layout.slots.len;
  if (!c->loose) {
    c->loose = FST_NEW_ARRAY(&c->arena, bool, slots + 1);
    loosen_counters(c);
  }
  fst_slot_form *form = FST_NEW_ARRAY(&c->arena, fst_slot_form, slots + 1);
  fst_vec_clear(&c->forms);
  fst_vec_clear(&c->covered);
  for (size_t s = 0; s < slots; s++) form[s] = saved_form(c, &c->layout.slots.data[s]);
  add_form(c, form);
  if (!c->rq->state || !c->rq->state[0]) return NULL;
  const char *at = c->rq->state;
  for (size_t s = 0; s < slots; s++) {
    size_t len = strcspn(at, ";");
    FST_TRY(parse_form(c, at, len, &form[s]));
    at += len + (at[len] == ';');
  }
  add_form(c, form);
  return NULL;
}

// ---- plan tables -----------------------------------------------------------------------------------

static uint32_t plan_type(fst_plan_tables *tables, const fst_module *module, fst_type type) {
  const fst_type_data *t = fst_type_get(module->types, type);
  static const uint8_t kinds[] = {
      [FST_TY_NONE] = FST_PLAN_TY_NONE, [FST_TY_INT] = FST_PLAN_TY_INT, [FST_TY_FLOAT] = FST_PLAN_TY_FLOAT, [FST_TY_BOOL] = FST_PLAN_TY_BOOL,
      [FST_TY_COMPLEX] = FST_PLAN_TY_COMPLEX, [FST_TY_NUMBER] = FST_PLAN_TY_NUMBER, [FST_TY_STR] = FST_PLAN_TY_STR, [FST_TY_DEVICE] = FST_PLAN_TY_DEVICE,
      [FST_TY_TENSOR] = FST_PLAN_TY_TENSOR, [FST_TY_LIST] = FST_PLAN_TY_LIST, [FST_TY_DICT] = FST_PLAN_TY_DICT, [FST_TY_TUPLE] = FST_PLAN_TY_TUPLE,
      [FST_TY_OPTIONAL] = FST_PLAN_TY_OPTIONAL, [FST_TY_UNION] = FST_PLAN_TY_UNION, [FST_TY_CLASS] = FST_PLAN_TY_CLASS, [FST_TY_OPAQUE] = FST_PLAN_TY_OPAQUE,
  };
  fst_plan_type_kind kind = t->kind < sizeof kinds ? (fst_plan_type_kind)kinds[t->kind] : FST_PLAN_TY_ANY;
  uint32_t items[64], fields[64], count = 0;
  if (t->kind == FST_TY_DICT) items[count++] = plan_type(tables, module, t->key);
  if (t->kind == FST_TY_LIST || t->kind == FST_TY_DICT || t->kind == FST_TY_OPTIONAL) items[count++] = plan_type(tables, module, t->elem);
  bool is_tuple = t->kind == FST_TY_TUPLE;
  if (is_tuple || t->kind == FST_TY_UNION)
    for (uint32_t i = 0; i < t->count && count < 64; i++) {
      if (is_tuple && t->fields) fields[count] = fst_plan_cstring_add(tables, fst_sym_text(&module->strings, t->fields[i]));
      items[count++] = plan_type(tables, module, t->items[i]);
    }
  bool named = t->kind == FST_TY_CLASS || t->kind == FST_TY_OPAQUE || (is_tuple && t->fields);
  return fst_plan_type_add(tables, kind, named ? fst_sym_text(&module->strings, t->name) : "", items, is_tuple && t->fields ? fields : NULL, count);
}

static int64_t plan_dim(const fst_graph *g, fst_dim d) {
  int64_t number;
  uint32_t symbol;
  if (!fst_dim_is_known(d)) return FST_PLAN_DIM_ANY;
  if (fst_dim_is_const(g->dims, d, &number)) return number;
  return fst_dim_is_symbol(g->dims, d, &symbol) ? fst_plan_dim_symbol(symbol) : FST_PLAN_DIM_ANY;
}

static uint32_t plan_pattern(fst_plan_tables *tables, const fst_graph *g, fst_type type);

static uint32_t keys_pattern(fst_plan_tables *tables, const fst_graph *g, const fst_type_data *dict) {
  const fst_strings *strings = &g->module->strings;
  FST_VEC(uint32_t) keys = {0}, items = {0};
  for (uint32_t i = 0; i < dict->count; i++) {
    fst_vec_push(&keys, fst_plan_const_str(tables, fst_sym_text(strings, dict->fields[i]), fst_sym_len(strings, dict->fields[i])));
    fst_vec_push(&items, plan_pattern(tables, g, dict->items[i]));
  }
  uint32_t out = fst_plan_pattern_keys(tables, keys.data, items.data, dict->count);
  fst_vec_free(&keys);
  fst_vec_free(&items);
  return out;
}

static uint32_t plan_pattern(fst_plan_tables *tables, const fst_graph *g, fst_type type) {
  const fst_type_data *t = fst_type_get(g->module->types, type);
  switch (t->kind) {
    case FST_TY_NONE: return fst_plan_pattern_scalar(tables, FST_TAG_NONE);
    case FST_TY_INT: return fst_plan_pattern_scalar(tables, FST_TAG_INT);
    case FST_TY_FLOAT: return fst_plan_pattern_scalar(tables, FST_TAG_FLOAT);
    case FST_TY_BOOL: return fst_plan_pattern_scalar(tables, FST_TAG_BOOL);
    case FST_TY_STR: return fst_plan_pattern_scalar(tables, FST_TAG_STR);
    case FST_TY_DEVICE: return fst_plan_pattern_scalar(tables, FST_TAG_DEVICE);
    case FST_TY_COMPLEX: return fst_plan_pattern_scalar(tables, FST_TAG_COMPLEX);
    case FST_TY_LIST: return fst_plan_pattern_list(tables, plan_pattern(tables, g, t->elem), FST_PLAN_DIM_ANY);
    case FST_TY_DICT: return t->count ? keys_pattern(tables, g, t) : fst_plan_pattern_dict(tables, plan_pattern(tables, g, t->key), plan_pattern(tables, g, t->elem));
    case FST_TY_TUPLE: {
      uint32_t items[64];
      for (uint32_t i = 0; i < t->count && i < 64; i++) items[i] = plan_pattern(tables, g, t->items[i]);
      return fst_plan_pattern_tuple(tables, items, t->count < 64 ? t->count : 64);
    }
    case FST_TY_TENSOR: {
      int64_t sizes[FST_MAX_RANK], strides[FST_MAX_RANK];
      if (t->rank < 0) return fst_plan_pattern_tensor(tables, FST_DTYPE_UNKNOWN, FST_PLAN_RANK_ANY, NULL, NULL, 0);
      for (int i = 0; i < t->rank; i++) {
        sizes[i] = plan_dim(g, t->dims[i]);
        strides[i] = t->has_strides ? plan_dim(g, t->strides[i]) : FST_PLAN_DIM_ANY;
      }
      bool open = t->has_strides;   // strides there but unknown: row-major, whatever the sizes
      for (int i = 0; i < t->rank; i++) open = open && !fst_dim_is_known(t->strides[i]);
      bool contiguous = open || fst_type_is_contiguous(g->dims, g->module->types, type);
      return fst_plan_pattern_tensor(tables, (uint32_t)t->dtype, (uint32_t)t->rank, sizes, contiguous ? NULL : strides, contiguous);
    }
    default: return fst_plan_pattern_any(tables);
  }
}

static uint32_t form_pattern(fst_plan_tables *tables, const fst_graph *g, fst_slot_form form) {
  const fst_const_data *d = form.value.id ? fst_const_get(g->module, form.value) : NULL;
  if (d && d->kind == FST_CONST_INT) return fst_plan_pattern_int(tables, d->i);
  if (d) return fst_plan_pattern_value(tables, FST_TAG_BOOL, fst_plan_const_scalar(tables, FST_TAG_BOOL, d->b));
  return plan_pattern(tables, g, form.type);
}

// Constants of the plan that exist apart from code: defaults of arguments and saved state.
typedef struct { compilation *c; fst_compiled *out; fst_map made, storages; } const_maker;

static uint32_t plan_const(const_maker *k, fst_const id);

static uint32_t *plan_consts(const_maker *k, const fst_const *from, uint32_t count) {
  uint32_t *out = FST_NEW_ARRAY(&k->c->arena, uint32_t, count + 1);
  for (uint32_t i = 0; i < count; i++) out[i] = plan_const(k, from[i]);
  return out;
}

static uint32_t plan_tensor(const_maker *k, uint32_t index) {
  fst_module *module = k->c->module;
  const fst_tensor_info *info = &module->tensors.data[index];
  const fst_storage_info *storage = &module->storages.data[info->storage];
  const fst_type_data *t = fst_type_get(module->types, info->type);
  uint64_t s;
  if (!fst_map_get(&k->storages, info->storage, &s)) {
    s = fst_plan_storage_new(k->out->tables, fst_blob_add(k->out->weights, storage->data, storage->bytes), storage->bytes);
    fst_map_set(&k->storages, info->storage, s);
  }
  return fst_plan_const_tensor(k->out->tables, (uint32_t)s, info->offset * (int64_t)fst_dtype_size(t->dtype), (uint32_t)t->dtype, (uint32_t)t->rank, t->dims, t->strides);
}

static uint32_t *plan_names(const_maker *k, const fst_sym *names, uint32_t count) {
  uint32_t *out = FST_NEW_ARRAY(&k->c->arena, uint32_t, count + 1);
  for (uint32_t i = 0; i < count; i++) out[i] = fst_plan_cstring_add(k->out->tables, fst_sym_text(&k->c->module->strings, names[i]));
  return out;
}

static uint32_t plan_enum(const_maker *k, const fst_const_data *d) {
  fst_module *module = k->c->module;
  const fst_class cls = *fst_module_class(module, fst_module_find_class(module, d->str));
  uint32_t member = 0;
  for (uint32_t i = 0; i < cls.member_count; i++)
    if (cls.member_names[i] == d->member) member = i;
  uint32_t number = fst_plan_class_add(k->out->tables, fst_sym_text(&module->strings, cls.name), FST_PLAN_CLASS_ENUM, plan_names(k, cls.member_names, cls.member_count),
                                       plan_consts(k, cls.member_values, cls.member_count), cls.member_count);
  return fst_plan_const_scalar(k->out->tables, FST_TAG_ENUM, (int64_t)number << 32 | member);
}

static uint32_t plan_object(const_maker *k, uint32_t index) {
  fst_module *module = k->c->module;
  const fst_object_info object = module->objects.data[index];
  const fst_class cls = *fst_module_class(module, object.cls);
  uint32_t *items = plan_consts(k, object.attrs, cls.attr_count);
  uint32_t number = fst_plan_class_add(k->out->tables, fst_sym_text(&module->strings, cls.name), FST_PLAN_CLASS_PLAIN, plan_names(k, cls.attr_names, cls.attr_count), NULL, cls.attr_count);
  return fst_plan_const_object(k->out->tables, number, items, cls.attr_count);
}

static uint32_t plan_const(const_maker *k, fst_const id) {
  uint64_t known;
  if (fst_map_get(&k->made, id.id, &known)) return (uint32_t)known;
  fst_module *module = k->c->module;
  fst_plan_tables *t = k->out->tables;
  const fst_const_data *d = fst_const_get(module, id);
  const fst_strings *s = &module->strings;
  uint32_t out;
  switch (d->kind) {
    case FST_CONST_BOOL: out = fst_plan_const_scalar(t, FST_TAG_BOOL, d->b); break;
    case FST_CONST_INT: out = fst_plan_const_scalar(t, FST_TAG_INT, d->i); break;
    case FST_CONST_FLOAT: out = fst_plan_const_double(t, d->f); break;
    case FST_CONST_COMPLEX: out = fst_plan_const_complex(t, d->c.re, d->c.im); break;
    case FST_CONST_STR: out = fst_plan_const_str(t, fst_sym_text(s, d->str), fst_sym_len(s, d->str)); break;
    case FST_CONST_TENSOR: out = plan_tensor(k, d->index); break;
    case FST_CONST_DEVICE: out = fst_plan_const_scalar(t, FST_TAG_DEVICE, fst_device_bits(fst_sym_text(s, d->str))); break;
    case FST_CONST_ENUM: out = plan_enum(k, d); break;
    case FST_CONST_OBJECT: out = plan_object(k, d->index); break;
    case FST_CONST_LIST: {
      fst_list_info list = module->lists.data[d->index];
      out = fst_plan_const_items(t, FST_TAG_LIST, plan_consts(k, list.items, list.count), list.count);
      break;
    }
    case FST_CONST_TUPLE: {
      bool list = fst_type_is(module->types, d->type, FST_TY_LIST);
      out = fst_plan_const_items(t, list ? FST_TAG_LIST : FST_TAG_TUPLE, plan_consts(k, d->items, d->count), d->count);
      break;
    }
    case FST_CONST_DICT: {
      fst_dict_info dict = module->dicts.data[d->index];
      out = fst_plan_const_dict(t, plan_consts(k, dict.keys, dict.count), plan_consts(k, dict.values, dict.count), dict.count);
      break;
    }
    default: out = fst_plan_const_scalar(t, FST_TAG_NONE, 0); break;
  }
  fst_map_set(&k->made, id.id, out);
  return out;
}

// ---- emission --------------------------------------------------------------------------------------

typedef struct {
  fst_graph *graph;        // planned
  uint32_t signature;      // index into the request
  size_t form;
} planned_method;
typedef FST_VEC(planned_method) planned_list;

static fst_status lower_one(compilation *c, uint32_t s, size_t form, planned_list *out) {
  size_t slots = c->layout.slots.len;
  const fst_compile_signature *signature = &c->rq->signatures[s];
  method_info *m = find_method(c, signature->method);
  fst_graph *graph = fst_graph_clone(m->frozen, m->frozen->name), *planned = NULL;
  fst_status status = fst_signature_apply(graph, signature->arguments);
  // The vector of forms grows below: the specializer gets a copy.
  fst_state_forms state = {.count = (uint32_t)slots, .entry = fst_arena_memdup(&c->arena, &c->forms.data[form * slots], slots * sizeof(fst_slot_form))};
  if (!status) status = fst_pipeline_lower(graph, &state, FST_STAGE_PLANNED, c->rq->options, &planned);
  fst_graph_destroy(graph);
  if (!status) {
    planned_method p = {planned, s, form};
    fst_vec_push(out, p);
    for (size_t at = 0; slots && at < state.left.len; at += slots) add_form(c, &state.left.data[at]);
  }
  fst_vec_free(&state.left);
  return status ? fst_error_prefix(status, "method '%s'", m->name) : NULL;
}

static void drop_planned(planned_list *list) {
  for (size_t i = 0; i < list->len; i++) fst_graph_destroy(list->data[i].graph);
  fst_vec_clear(list);
}

// What was compiled for forms that turned out to be covered.
static void drop_covered(const compilation *c, planned_list *list) {
  size_t kept = 0;
  for (size_t i = 0; i < list->len; i++) {
    planned_method p = list->data[i];
    if (c->covered.data[p.form]) fst_graph_destroy(p.graph);
    else list->data[kept++] = p;
  }
  list->len = kept;
}

static fst_status lower_all(compilation *c, planned_list *out) {
  for (size_t form = 0; form < c->covered.len; form++) {
    for (uint32_t s = 0; s < c->rq->signature_count && !c->covered.data[form]; s++) FST_TRY(lower_one(c, s, form, out));
    if (form_count(c) <= MAX_FORMS) continue;
    if (!loosen_worst(c)) return FST_FAIL(FST_ERR_UNSUPPORTED, "the state of the model has too many forms");
    drop_planned(out);
    FST_TRY(first_forms(c));
    form = SIZE_MAX;   // from the first again
  }
  drop_covered(c, out);
  return NULL;
}

// May a call write into the argument's memory, or keep it beyond the call?
static uint32_t argument_flags(compilation *c, const planned_list *planned, const method_info *m, size_t argument) {
  uint32_t flags = 0;
  for (size_t p = 0; p < planned->len; p++) {
    const fst_graph *g = planned->data[p].graph;
    if (strcmp(c->rq->signatures[planned->data[p].signature].method, m->name)) continue;
    fst_arena scratch;
    fst_alias alias;
    fst_arena_init(&scratch);
    fst_alias_compute(g, &scratch, &alias);
    const fst_alias_class *cls = fst_alias_info(&alias, fst_block_get(g, g->entry)->params.data[argument]);
    if (cls->written) flags |= FST_PLAN_ARG_WRITTEN;
    if (cls->escapes) flags |= FST_PLAN_ARG_ALIASED;
    fst_arena_deinit(&scratch);
  }
  return flags;
}

static void write_methods(compilation *c, const planned_list *planned, const_maker *k, fst_compiled *out) {
  fst_plan_tables *t = out->tables;
  size_t slots = c->layout.slots.len;
  for (size_t s = 0; s < slots; s++) {
    const fst_state_slot *slot = &c->layout.slots.data[s];
    fst_plan_slot_add(t, fst_sym_text(&c->module->strings, slot->path), plan_const(k, slot->initial));
  }
  for (size_t i = 0; i < c->methods.len; i++) {
    method_info *m = &c->methods.data[i];
    bool compiled = false;
    for (size_t p = 0; p < planned->len; p++) compiled = compiled || !strcmp(c->rq->signatures[planned->data[p].signature].method, m->name);
    if (!compiled && !c->rq->describe_all) continue;
    uint32_t results[16], result_count = 0;
    for (size_t r = 0; r < m->imported->result_types.len && r < 16; r++) results[result_count++] = plan_type(t, c->module, m->imported->result_types.data[r]);
    fst_plan_method_add(t, m->name, slots ? FST_PLAN_METHOD_STATE : 0, results, result_count);
    const fst_block *entry = fst_block_get(m->frozen, m->frozen->entry);
    for (size_t a = 0; a < entry->params.len; a++) {
      const fst_value *v = fst_value_get(m->frozen, entry->params.data[a]);
      fst_const initial = a < m->frozen->defaults.len ? m->frozen->defaults.data[a] : (fst_const){0};
      char name[256];
      snprintf(name, sizeof name, "%s", fst_sym_text(&c->module->strings, v->name));
      name[strcspn(name, ".")] = 0;
      fst_plan_arg_add(t, name, plan_type(t, c->module, v->type), initial.id ? plan_const(k, initial) + 1 : 0, argument_flags(c, planned, m, a));
    }
    for (size_t p = 0; p < planned->len; p++) {
      const planned_method *pm = &planned->data[p];
      if (strcmp(c->rq->signatures[pm->signature].method, m->name)) continue;
      fst_graph *g = pm->graph;
      const fst_block *params = fst_block_get(g, g->entry);
      uint32_t *args = FST_NEW_ARRAY(&c->arena, uint32_t, params->params.len + 1), *state = FST_NEW_ARRAY(&c->arena, uint32_t, 2 * slots + 1);
      for (size_t a = 0; a < params->params.len; a++) args[a] = plan_pattern(t, g, fst_value_type(g, params->params.data[a]));
      for (size_t s = 0; s < slots; s++) {
        state[2 * s] = (uint32_t)s;
        state[2 * s + 1] = form_pattern(t, g, c->forms.data[pm->form * slots + s]);
      }
      fst_plan_signature_add(t, args, state, (uint32_t)slots, fst_dims_symbol_count(g->dims), (uint32_t)p, 1, (uint64_t)fst_graph_plan(g)->fixed_bytes);
      if (!fst_graph_effects(g)) fst_vec_last(&t->signatures).flags = FST_PLAN_SIGNATURE_REPEATS;
    }
  }
}

static fst_status emit_unit(compilation *c, const fst_target *target, fst_cuda_unit *device, const planned_list *planned, fst_compiled *out, fst_llvm_unit **out_unit) {
  fst_llvm_unit *unit;
  FST_TRY(fst_llvm_unit_create(target, fst_sym_text(&c->module->strings, c->module->source), &unit));
  fst_text_deinit(&out->fallbacks);
  memset(&out->fallbacks, 0, sizeof out->fallbacks);
  fst_status status = NULL;
  for (size_t p = 0; p < planned->len && !status; p++)
    status = fst_llvm_method_emit(unit, device, planned->data[p].graph, (uint32_t)p, out->weights, out->tables, &out->fallbacks);
  if (status) {
    fst_llvm_unit_destroy(unit);
    return status;
  }
  *out_unit = unit;
  return NULL;
}

// Code for the CPU as `name`; with `device` the host's part of it.
static fst_status emit_target(compilation *c, const char *name, const fst_target *target, fst_cuda_unit *device, const planned_list *planned, fst_compiled *out) {
  fst_llvm_unit *unit;
  FST_TRY(emit_unit(c, target, device, planned, out, &unit));
  void *object = NULL, *image = NULL;
  size_t object_len = 0, image_len = 0;
  const char **names = FST_NEW_ARRAY(&c->arena, const char *, planned->len + 1);
  for (size_t p = 0; p < planned->len; p++) names[p] = fst_arena_printf(&c->arena, "fst_entry_%zu", p);
  fst_status status = fst_llvm_unit_object(unit, &object, &object_len);
  if (!status) status = fst_link_image(object, object_len, names, (uint32_t)planned->len, &image, &image_len);
  out->kernel_count = device ? fst_cuda_unit_kernels(device) : fst_llvm_unit_kernels(unit);
  fst_llvm_unit_destroy(unit);
  free(object);
  if (status) return status;
  fst_code_image code = {name, image, image_len};
  fst_vec_push(&out->images, code);
  fst_plan_target_add(out->tables, name, image, image_len);
  return NULL;
}

static fst_status refuse_fallbacks(const compilation *c, const fst_compiled *out) {
  if (c->rq->allow_fallback || !out->fallbacks.len) return NULL;
  return FST_FAIL(FST_ERR_UNSUPPORTED, "these ops have no native code yet:\n%.*s\nCompile with --allow-fallback to run them through libtorch.", (int)out->fallbacks.len - 1,
                  fst_text_cstr(&out->fallbacks));
}

// The host's part does little but launch: code for the lowest level will do.
#define DEVICE_HOST_TARGET "x86-64-v3"

static fst_status emit_device(compilation *c, const planned_list *planned, fst_compiled *out) {
  fst_cuda_unit *device = fst_cuda_unit_create();
  fst_text source = {0};
  fst_status status = emit_target(c, FST_PLAN_DEVICE_TARGET, fst_target_find(DEVICE_HOST_TARGET), device, planned, out);
  if (!status) status = refuse_fallbacks(c, out);
  if (!status) fst_cuda_unit_source(device, &source);
  if (!status && out->tables->kernels.len) status = fst_device_images(fst_text_cstr(&source), c->rq->archs, c->rq->arch_count, c->rq->skips_unknown_archs, &out->device_images);
  for (size_t i = 0; i < out->device_images.len && !status; i++) {
    const fst_code_image *image = &out->device_images.data[i];
    fst_plan_image_add(out->tables, image->target, image->bytes, image->len);
  }
  fst_text_deinit(&source);
  fst_cuda_unit_destroy(device);
  return status;
}

static void compilation_deinit(compilation *c, planned_list *planned) {
  drop_planned(planned);
  for (size_t i = 0; i < c->methods.len; i++) fst_graph_destroy(c->methods.data[i].frozen);
  fst_vec_free(planned);
  fst_vec_free(&c->methods);
  fst_vec_free(&c->forms);
  fst_vec_free(&c->covered);
  fst_state_layout_deinit(&c->layout);
  fst_arena_deinit(&c->arena);
}

fst_status fst_compile(const fst_compile_request *request, fst_compiled *out) {
  compilation c = {.rq = request, .module = request->module};
  planned_list planned = {0};
  memset(out, 0, sizeof *out);
  fst_arena_init(&c.arena);
  out->tables = fst_plan_tables_create();
  fst_plan_classes_add(out->tables, c.module);
  out->weights = fst_blob_create();
  fst_status status = prepare(&c);
  if (!status) status = first_forms(&c);
  if (!status) status = lower_all(&c, &planned);
  const_maker k = {.c = &c, .out = out};
  if (!status) write_methods(&c, &planned, &k, out);
  for (uint32_t i = 0; i < request->target_count && !status; i++) {
    status = emit_target(&c, request->targets[i]->name, request->targets[i], NULL, &planned, out);
    if (!status) status = refuse_fallbacks(&c, out);
  }
  if (!status && request->arch_count) status = emit_device(&c, &planned, out);
  for (size_t p = 0; p < planned.len && !status; p++) {
    uint64_t bytes = (uint64_t)fst_graph_plan(planned.data[p].graph)->fixed_bytes;
    if (bytes > out->arena_bytes) out->arena_bytes = bytes;
  }
  out->entry_count = (uint32_t)planned.len;
  uint64_t weight_bytes;
  const void *weights = fst_blob_data(out->weights, &weight_bytes);
  if (!status) fst_plan_weights_set(out->tables, weights, weight_bytes);
  fst_map_deinit(&k.made);
  fst_map_deinit(&k.storages);
  compilation_deinit(&c, &planned);
  if (status) fst_compiled_deinit(out);
  return status;
}

void fst_compiled_deinit(fst_compiled *compiled) {
  for (size_t i = 0; i < compiled->images.len; i++) free(compiled->images.data[i].bytes);
  for (size_t i = 0; i < compiled->device_images.len; i++) free(compiled->device_images.data[i].bytes);
  fst_vec_free(&compiled->images);
  fst_vec_free(&compiled->device_images);
  fst_text_deinit(&compiled->fallbacks);
  if (compiled->tables) fst_plan_tables_destroy(compiled->tables);
  if (compiled->weights) fst_blob_destroy(compiled->weights);
  memset(compiled, 0, sizeof *compiled);
}

// ---- dumps -----------------------------------------------------------------------------------------

static fst_status dump_method(compilation *c, const char *method, fst_stage stage, fst_text *out) {
  FST_TRY(add_method(c, method));
  if (stage == FST_STAGE_IMPORTED) {
    fst_graph_print(find_method(c, method)->imported, out);
    return NULL;
  }
  FST_TRY(prepare(c));
  method_info *m = find_method(c, method);
  if (stage == FST_STAGE_INLINED) {
    fst_graph_print(m->frozen, out);
    return NULL;
  }
  FST_TRY(first_forms(c));
  size_t slots = c->layout.slots.len;
  const char *arguments = NULL;
  for (uint32_t s = 0; s < c->rq->signature_count; s++)
    if (!strcmp(c->rq->signatures[s].method, method)) arguments = c->rq->signatures[s].arguments;
  fst_graph *graph = fst_graph_clone(m->frozen, m->frozen->name), *lowered = NULL;
  fst_status status = fst_signature_apply(graph, arguments);
  fst_state_forms state = {.count = (uint32_t)slots, .entry = c->forms.data};
  if (!status) status = fst_pipeline_lower(graph, &state, stage, c->rq->options, &lowered);
  if (!status) fst_graph_print(lowered, out);
  fst_vec_free(&state.left);
  fst_graph_destroy(graph);
  fst_graph_destroy(lowered);
  return status;
}

fst_status fst_compile_dump(const fst_compile_request *request, const char *method, fst_stage stage, fst_text *out) {
  compilation c = {.rq = request, .module = request->module};
  planned_list planned = {0};
  fst_arena_init(&c.arena);
  fst_status status = dump_method(&c, method, stage, out);
  compilation_deinit(&c, &planned);
  return status;
}

// The planned methods of a request as one unit of LLVM, and with `device` one of CUDA.
static fst_status compile_unit(const fst_compile_request *request, const fst_target *target, fst_cuda_unit *device, bool assembly, fst_text *out) {
  compilation c = {.rq = request, .module = request->module};
  planned_list planned = {0};
  fst_compiled parts = {.tables = fst_plan_tables_create(), .weights = fst_blob_create()};
  fst_llvm_unit *unit = NULL;
  fst_plan_classes_add(parts.tables, c.module);
  fst_arena_init(&c.arena);
  fst_status status = prepare(&c);
  if (!status) status = first_forms(&c);
  if (!status) status = lower_all(&c, &planned);
  if (!status) status = emit_unit(&c, target, device, &planned, &parts, &unit);
  if (!status && !device) status = fst_llvm_unit_text(unit, assembly, out);
  if (!status && device) fst_cuda_unit_source(device, out);
  if (unit) fst_llvm_unit_destroy(unit);
  fst_compiled_deinit(&parts);
  compilation_deinit(&c, &planned);
  return status;
}

fst_status fst_compile_device_text(const fst_compile_request *request, fst_text *out) {
  fst_cuda_unit *device = fst_cuda_unit_create();
  fst_status status = compile_unit(request, fst_target_find(DEVICE_HOST_TARGET), device, false, out);
  fst_cuda_unit_destroy(device);
  return status;
}

fst_status fst_compile_text(const fst_compile_request *request, bool assembly, fst_text *out) { return compile_unit(request, request->targets[0], NULL, assembly, out); }
