// Tuples, lists and dicts in the specializer: what never escapes never exists.
#include <string.h>

#include "passes/specialize_internal.h"

// ---- making --------------------------------------------------------------------------------------

binding new_tuple(specializer *sp, fst_type type, const binding *items, uint32_t count) {
  tuple *t = FST_NEW(&sp->arena, tuple);
  *t = (tuple){type, count, items};
  return (binding){.kind = BOUND_TUPLE, .tuple = t};
}

binding new_list(specializer *sp, world *w, fst_type type, uint32_t site, const binding *items, uint32_t count) {
  (void)sp;
  heap_cell cell = {.type = type, .site = site, .count = count, .items = items};
  WORLD_PUSH(sp, &w->heap, cell);
  return (binding){.kind = BOUND_HEAP, .heap = (uint32_t)w->heap.len - 1};
}

uint32_t site_of(specializer *sp, fst_value_id made) { return made.id < sp->made_site.len ? sp->made_site.data[made.id] : 0; }

void note_site(specializer *sp, fst_value_id made, uint32_t site) {
  while (sp->made_site.len <= made.id) fst_vec_push(&sp->made_site, 0);
  sp->made_site.data[made.id] = site;
}

// Lists change after they are made, so the type of their items is a property of the place that made them,
// found by walking until it no longer grows.
void site_store(specializer *sp, uint32_t site, fst_type elem) {
  if (!site || !elem.id) return;
  fst_type *known = &sp->site_elem[site - 1], kept = generalize(sp, elem);
  fst_type joined = known->id ? join_types(sp, *known, kept, sp->out->entry) : kept;
  if (fst_type_eq(joined, *known)) return;
  *known = sp->round < WIDEN_ROUNDS ? joined : open_sizes(sp, joined);
  sp->again = true;
}

fst_type site_load(specializer *sp, const world *w, uint32_t site, fst_type otherwise) {
  fst_type type = site && sp->site_elem[site - 1].id ? sp->site_elem[site - 1] : otherwise;
  return type.id ? instantiate(sp, w, type) : type;
}

static bool is_object(specializer *sp, const heap_cell *cell) { return fst_type_is(sp->src->module->types, cell->type, FST_TY_CLASS); }

fst_value_id make_heap(specializer *sp, world *w, uint32_t heap, fst_loc loc) {
  heap_cell cell = w->heap.data[heap];
  if (cell.made.id) return cell.made;
  fst_types *types = sp->out->module->types;
  if (is_object(sp, &cell)) {
    fst_value_id object = emit(sp, w, FST_OP_CREATE_OBJECT, NULL, 0, cell.type, loc);
    fst_sym name = fst_type_get(types, cell.type)->name;
    fst_node_get(sp->out, fst_value_def(sp->out, object))->name = name;
    w->heap.data[heap].made = object;   // first: attributes may lead back to it
    const fst_class *cls = fst_module_class(sp->out->module, fst_module_find_class(sp->out->module, name));
    for (uint32_t i = 0; i < cell.count; i++) {
      fst_value_id operands[2] = {object, residual(sp, w, cell.items[i], loc)};
      const fst_const_data *c = fst_value_const(sp->out, operands[1]);
      if (c && c->kind == FST_CONST_UNINIT) continue;
      attr_store(sp, w, attr_site(sp, name, cls->attr_names[i]), operands[1]);
      fst_node_id set = emit_node(sp, w, FST_OP_SET_ATTR, operands, 2, 0, loc);
      fst_node_get(sp->out, set)->name = cls->attr_names[i];
    }
    return object;
  }
  fst_value_id *items = FST_NEW_ARRAY(&sp->arena, fst_value_id, cell.count + 1);
  fst_type elem = fst_type_get(types, cell.type)->elem;
  for (uint32_t i = 0; i < cell.count; i++) {
    items[i] = residual(sp, w, cell.items[i], loc);
    site_store(sp, cell.site, fst_value_type(sp->out, items[i]));
  }
  if (cell.site && sp->site_elem[cell.site - 1].id) elem = sp->site_elem[cell.site - 1];
  fst_value_id list = emit(sp, w, FST_OP_LIST_CONSTRUCT, items, cell.count, fst_type_list(types, elem), loc);
  fst_vec_push(&sp->open_lists, emit_node(sp, w, FST_OP_OPEN_LIST, &list, 1, 0, loc));
  w->heap.data[heap].made = list;
  note_site(sp, list, cell.site);
  return list;
}

fst_value_id operand_list(specializer *sp, world *w, binding b, fst_loc loc) {
  heap_cell cell = w->heap.data[b.heap];
  if (cell.made.id) return cell.made;
  if (is_object(sp, &cell)) return make_heap(sp, w, b.heap, loc);
  fst_module *m = sp->out->module;
  fst_value_id *items = FST_NEW_ARRAY(&sp->arena, fst_value_id, cell.count + 1);
  fst_const *literals = FST_NEW_ARRAY(&sp->arena, fst_const, cell.count + 1);
  bool literal = true;
  fst_type elem = fst_type_get(m->types, cell.type)->elem;
  for (uint32_t i = 0; i < cell.count; i++) {
    items[i] = residual(sp, w, cell.items[i], loc);
    const fst_value *v = fst_value_get(sp->out, items[i]);
    if (v->kind == FST_VALUE_CONST) literals[i] = v->constant;
    else literal = false;
  }
  if (literal) return fst_graph_const(sp->out, fst_const_tuple(m, cell.type, literals, cell.count));
  return emit(sp, w, FST_OP_LIST_CONSTRUCT, items, cell.count, fst_type_list(m->types, elem), loc);
}

bool known_items(specializer *sp, world *w, binding b, const binding **out, uint32_t *out_count) {
  if (b.kind == BOUND_TUPLE) {
    *out = b.tuple->items;
    *out_count = b.tuple->count;
    return true;
  }
  if (b.kind == BOUND_HEAP) {
    const heap_cell *cell = &w->heap.data[b.heap];
    if (cell->made.id) return false;
    *out = cell->items;
    *out_count = cell->count;
    return true;
  }
  const fst_const_data *c = b.kind == BOUND_VALUE ? fst_value_const(sp->out, b.value) : NULL;
  if (!c || c->kind != FST_CONST_TUPLE) return false;
  binding *items = FST_NEW_ARRAY(&sp->arena, binding, c->count + 1);
  for (uint32_t i = 0; i < c->count; i++) items[i] = bind_value(fst_graph_const(sp->out, c->items[i]));
  *out_count = c->count;
  *out = items;
  return true;
}

// ---- helpers for list ops --------------------------------------------------------------------------

static bool const_index(specializer *sp, world *w, fst_value_id old, int64_t count, int64_t *out) {
  int64_t i;
  if (!fst_dim_is_const(sp->out->dims, int_value(sp, w, world_get(sp, w, old)), &i)) return false;
  if (i < 0) i += count;
  *out = i;
  return i >= 0 && i < count;
}

binding *copy_items(specializer *sp, const binding *items, uint32_t count, uint32_t room) {
  binding *copy = FST_NEW_ARRAY(&sp->arena, binding, count + room + 1);
  if (count) memcpy(copy, items, count * sizeof *copy);
  return copy;
}

void set_items(world *w, uint32_t heap, const binding *items, uint32_t count) {
  w->heap.data[heap].items = items;
  w->heap.data[heap].count = count;
}

// Equality of two bindings as far as literals and size expressions tell: 1, 0, or -1.
static int bindings_equal(specializer *sp, world *w, binding a, binding b) {
  fst_dim da = int_value(sp, w, a), db = int_value(sp, w, b);
  if (fst_dim_is_known(da) && fst_dim_is_known(db)) return fst_dim_equal(sp->out->dims, da, db);
  if (a.kind != BOUND_VALUE || b.kind != BOUND_VALUE) return -1;
  const fst_value *va = fst_value_get(sp->out, a.value), *vb = fst_value_get(sp->out, b.value);
  if (va->kind != FST_VALUE_CONST || vb->kind != FST_VALUE_CONST) return -1;
  const fst_const_data *ca = fst_const_get(sp->out->module, va->constant), *cb = fst_const_get(sp->out->module, vb->constant);
  return ca->kind == cb->kind && ca->kind <= FST_CONST_STR ? va->constant.id == vb->constant.id : -1;
}

// ---- ops on lists whose items are known ------------------------------------------------------------

// Reductions of a list, an item at a time: result = step(item, result). `test`: what an item is compared with 0 by first.
enum { FROM_FIRST, FROM_ZERO, FROM_FALSE, FROM_TRUE };
static const struct { fst_op op, step, test; int from; } list_reductions[] = {
    {FST_OP_SUM_INT, FST_OP_ADD_INT, FST_OP_UNKNOWN, FROM_ZERO},
    {FST_OP_SUM_FLOAT, FST_OP_ADD_FLOAT, FST_OP_UNKNOWN, FROM_ZERO},
    {FST_OP_ALL_BOOL, FST_OP___AND___BOOL, FST_OP_UNKNOWN, FROM_TRUE},
    {FST_OP_ALL_INT, FST_OP___AND___BOOL, FST_OP_NE_INT, FROM_TRUE},
    {FST_OP_ANY_BOOL, FST_OP___OR___BOOL, FST_OP_UNKNOWN, FROM_FALSE},
    {FST_OP_ANY_INT, FST_OP___OR___BOOL, FST_OP_NE_INT, FROM_FALSE},
    {FST_OP_PRIM_MIN_SELF_INT, FST_OP_PRIM_MIN_INT, FST_OP_UNKNOWN, FROM_FIRST},
    {FST_OP_PRIM_MAX_SELF_INT, FST_OP_PRIM_MAX_INT, FST_OP_UNKNOWN, FROM_FIRST},
    {FST_OP_PRIM_MIN_SELF_FLOAT, FST_OP_PRIM_MIN_FLOAT, FST_OP_UNKNOWN, FROM_FIRST},
    {FST_OP_PRIM_MAX_SELF_FLOAT, FST_OP_PRIM_MAX_FLOAT, FST_OP_UNKNOWN, FROM_FIRST},
};

static bool eval_reduction(specializer *sp, world *w, const fst_node *n, const binding *items, uint32_t count) {
  size_t r = 0, rows = sizeof list_reductions / sizeof *list_reductions;
  while (r < rows && list_reductions[r].op != n->op) r++;
  if (r == rows || (!count && list_reductions[r].from == FROM_FIRST)) return false;
  fst_type type = import_type(sp, fst_value_type(sp->src, n->results[0])), truth = fst_type_simple(sp->out->module->types, FST_TY_BOOL);
  fst_value_id zero = fst_graph_const_int(sp->out, 0), result = zero;
  if (fst_type_is(sp->out->module->types, type, FST_TY_FLOAT)) result = fst_graph_const_float(sp->out, 0);
  if (list_reductions[r].from >= FROM_FALSE) result = fst_graph_const_bool(sp->out, list_reductions[r].from == FROM_TRUE);
  for (uint32_t i = 0; i < count; i++) {
    fst_value_id item = residual(sp, w, items[i], n->loc);
    if (list_reductions[r].test != FST_OP_UNKNOWN) item = emit_scalar(sp, w, list_reductions[r].test, item, zero, truth, n->loc);
    bool first = !i && list_reductions[r].from == FROM_FIRST;
    result = first ? item : emit_scalar(sp, w, list_reductions[r].step, item, result, type, n->loc);
  }
  world_set(w, n->results[0], bind_value(result));
  return true;
}

static bool eval_known_list(specializer *sp, world *w, const fst_node *n) {
  if (!n->operand_count) return false;
  binding list = world_get(sp, w, n->operands[0]);
  const binding *items;
  uint32_t count;
  int64_t at;
  if (!known_items(sp, w, list, &items, &count)) return false;
  fst_type type = fst_value_type(sp->src, n->operands[0]);
  bool is_cell = list.kind == BOUND_HEAP;
  switch (n->op) {
    case FST_OP_LEN_T:
      world_set(w, n->results[0], bind_value(fst_graph_const_int(sp->out, count)));
      return true;
    case FST_OP___GETITEM___T:
      if (!const_index(sp, w, n->operands[1], count, &at)) return false;
      world_set(w, n->results[0], items[at]);
      return true;
    case FST_OP_LIST_UNPACK:
      if (n->result_count != count) return false;
      for (uint32_t i = 0; i < count; i++) world_set(w, n->results[i], items[i]);
      return true;
    case FST_OP_APPEND_T: {
      if (!is_cell) return false;
      binding *more = copy_items(sp, items, count, 1);
      more[count] = world_get(sp, w, n->operands[1]);
      set_items(w, list.heap, more, count + 1);
      if (n->result_count) world_set(w, n->results[0], list);
      return true;
    }
    case FST_OP__SET_ITEM_T: {
      if (!is_cell || !const_index(sp, w, n->operands[1], count, &at)) return false;
      binding *changed = copy_items(sp, items, count, 0);
      changed[at] = world_get(sp, w, n->operands[2]);
      set_items(w, list.heap, changed, count);
      if (n->result_count) world_set(w, n->results[0], list);
      return true;
    }
    case FST_OP_ADD_T:
    case FST_OP_EXTEND_T: {
      const binding *more;
      uint32_t more_count;
      if (!known_items(sp, w, world_get(sp, w, n->operands[1]), &more, &more_count)) return false;
      if (n->op == FST_OP_EXTEND_T && !is_cell) return false;
      binding *all = copy_items(sp, items, count, more_count);
      if (more_count) memcpy(all + count, more, more_count * sizeof *all);
      if (n->op == FST_OP_EXTEND_T) set_items(w, list.heap, all, count + more_count);
      else world_set(w, n->results[0], new_list(sp, w, type, 0, all, count + more_count));
      return true;
    }
    case FST_OP_LIST_T:
    case FST_OP_COPY_T:
      world_set(w, n->results[0], new_list(sp, w, type, 0, items, count));
      return true;
    case FST_OP_SLICE_T: {
      int64_t bound[3] = {0, count, 1};
      for (uint32_t i = 0; i < 3; i++) {
        binding b = world_get(sp, w, n->operands[i + 1]);
        if (b.kind == BOUND_VALUE && fst_value_is_none(sp->out, b.value)) continue;
        if (!fst_dim_is_const(sp->out->dims, int_value(sp, w, b), &bound[i])) return false;
      }
      if (bound[2] < 1) return false;
      for (int i = 0; i < 2; i++) {
        if (bound[i] < 0) bound[i] += count;
        bound[i] = bound[i] < 0 ? 0 : bound[i] > count ? count : bound[i];
      }
      binding *part = copy_items(sp, NULL, 0, count);
      uint32_t taken = 0;
      for (int64_t i = bound[0]; i < bound[1]; i += bound[2]) part[taken++] = items[i];
      world_set(w, n->results[0], new_list(sp, w, type, 0, part, taken));
      return true;
    }
    case FST_OP___CONTAINS___INT_LIST:
    case FST_OP___CONTAINS___STR_LIST: {
      int found = 0;
      for (uint32_t i = 0; i < count && found != 1; i++) {
        int equal = bindings_equal(sp, w, items[i], world_get(sp, w, n->operands[1]));
        if (equal == 1) found = 1;
        else if (equal < 0) found = -1;
      }
      if (found < 0) return false;
      world_set(w, n->results[0], bind_value(fst_graph_const_bool(sp->out, found == 1)));
      return true;
    }
    case FST_OP_EQ_INT_LIST:
    case FST_OP_NE_INT_LIST: {
      const binding *other;
      uint32_t other_count;
      if (!known_items(sp, w, world_get(sp, w, n->operands[1]), &other, &other_count)) return false;
      int equal = count == other_count;
      for (uint32_t i = 0; i < count && equal == 1; i++) equal = bindings_equal(sp, w, items[i], other[i]);
      if (equal < 0) return false;
      world_set(w, n->results[0], bind_value(fst_graph_const_bool(sp->out, (equal == 1) == (n->op == FST_OP_EQ_INT_LIST))));
      return true;
    }
    default: return eval_reduction(sp, w, n, items, count);
  }
}

// What a dict literal, which nothing writes, holds under a key that is known.
static bool eval_known_dict(specializer *sp, world *w, const fst_node *n) {
  bool asks = n->op == FST_OP___CONTAINS___STR || n->op == FST_OP___CONTAINS___INT, takes = n->op == FST_OP___GETITEM___DICT_STR || n->op == FST_OP___GETITEM___DICT_INT;
  if (!asks && !takes) return false;
  binding dict = world_get(sp, w, n->operands[0]), key = world_get(sp, w, n->operands[1]);
  const fst_const_data *d = dict.kind == BOUND_VALUE ? fst_value_const(sp->out, dict.value) : NULL;
  if (!d || d->kind != FST_CONST_DICT) return false;
  const fst_dict_info *held = &sp->out->module->dicts.data[d->index];
  for (uint32_t i = 0; i < held->count; i++) {
    int equal = bindings_equal(sp, w, bind_value(fst_graph_const(sp->out, held->keys[i])), key);
    if (equal < 0) return false;
    if (!equal) continue;
    world_set(w, n->results[0], bind_value(asks ? fst_graph_const_bool(sp->out, true) : fst_graph_const(sp->out, held->values[i])));
    return true;
  }
  if (asks) world_set(w, n->results[0], bind_value(fst_graph_const_bool(sp->out, false)));
  return asks;
}

// ---- lists that exist ------------------------------------------------------------------------------

typedef enum { ROLE_NONE, ROLE_STORES, ROLE_MERGES, ROLE_TAKES, ROLE_TAKES_OR_NONE, ROLE_COPIES, ROLE_ITEMS } container_role;

// What an op does with the items of its first operand, by its name: overloads differ in types only.
static container_role role_of(const fst_node *n) {
  static const struct { const char *name; container_role role; } roles[] = {
      {"append", ROLE_STORES}, {"_set_item", ROLE_STORES}, {"insert", ROLE_STORES}, {"extend", ROLE_MERGES}, {"add_", ROLE_MERGES}, {"add", ROLE_MERGES},
      {"update", ROLE_MERGES}, {"__getitem__", ROLE_TAKES}, {"select", ROLE_TAKES}, {"pop", ROLE_TAKES}, {"setdefault", ROLE_TAKES}, {"get", ROLE_TAKES_OR_NONE},
      {"slice", ROLE_COPIES}, {"copy", ROLE_COPIES}, {"list", ROLE_COPIES}, {"mul", ROLE_COPIES}, {"mul_", ROLE_COPIES}, {"sorted", ROLE_COPIES}, {"values", ROLE_ITEMS}, {"items", ROLE_ITEMS}};
  const char *name = strchr(fst_op_name(n->op), ':') + 2;
  size_t len = strcspn(name, ".");
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
    if (strlen(roles[i].name) == len && !memcmp(roles[i].name, name, len)) return roles[i].role;
  return ROLE_NONE;
}

// Is all that the type says true for good? The items of lists, dicts and objects may change.
static bool is_lasting(const fst_types *types, fst_type type) {
  const fst_type_data *t = fst_type_get(types, type);
  if (t->kind == FST_TY_OPTIONAL) return is_lasting(types, t->elem);
  for (uint32_t i = 0; t->kind == FST_TY_TUPLE && i < t->count; i++)
    if (!is_lasting(types, t->items[i])) return false;
  return t->kind != FST_TY_LIST && t->kind != FST_TY_DICT && t->kind != FST_TY_CLASS;
}

fst_type taken_type(specializer *sp, const world *w, fst_type elem, fst_type declared) {
  fst_types *types = sp->out->module->types;
  return is_lasting(types, elem) && fst_type_is_subtype(types, elem, declared) ? instantiate(sp, w, elem) : declared;
}

static fst_type result_type(specializer *sp, const world *w, container_role role, fst_type elem, fst_type declared) {
  fst_types *types = sp->out->module->types;
  const fst_type_data *t = fst_type_get(types, declared);
  if (role == ROLE_TAKES) return taken_type(sp, w, elem, declared);
  if (role == ROLE_TAKES_OR_NONE) return fst_type_optional(types, taken_type(sp, w, elem, t->kind == FST_TY_OPTIONAL ? t->elem : declared));
  bool is_pair = role == ROLE_ITEMS && t->kind == FST_TY_LIST && fst_type_is(types, t->elem, FST_TY_TUPLE) && !fst_type_is(types, elem, FST_TY_TUPLE);
  if (is_pair) {   // items(): key and value
    fst_type pair[2] = {fst_type_get(types, t->elem)->items[0], is_lasting(types, elem) ? elem : fst_type_get(types, t->elem)->items[1]};
    return fst_type_list(types, fst_type_tuple(types, pair, 2));
  }
  bool is_list = role == ROLE_STORES || role == ROLE_MERGES || role == ROLE_COPIES || (role == ROLE_ITEMS && is_lasting(types, elem));
  return is_list && t->kind == FST_TY_LIST ? fst_type_list(types, elem) : declared;
}

// Does the method only ask what a parameter holds? Another name for it, in a loop or an object, may be written.
static bool is_only_read(const fst_graph *g, fst_value_id param) {
  const fst_value *v = fst_value_get(g, param);
  if (v->kind != FST_VALUE_PARAM || fst_block_get(g, v->block)->owner.id) return false;
  for (size_t i = 0; i < v->uses.len; i++) {
    switch (fst_node_get(g, v->uses.data[i].user)->op) {
      case FST_OP___GETITEM___DICT_STR: case FST_OP___CONTAINS___STR: case FST_OP_GET_STR: case FST_OP_LEN_DICT_STR: case FST_OP_KEYS_STR: break;
      default: return false;
    }
  }
  return true;
}

// A question to a dict whose entries the signature names: whether a key is there, and what is under it.
static bool eval_known_entry(specializer *sp, world *w, const fst_node *n) {
  bool asks = n->op == FST_OP___CONTAINS___STR;
  if ((!asks && n->op != FST_OP___GETITEM___DICT_STR) || !is_only_read(sp->src, n->operands[0])) return false;
  fst_types *types = sp->out->module->types;
  fst_value_id operands[2] = {residual_of(sp, w, n->operands[0], n->loc), residual_of(sp, w, n->operands[1], n->loc)};
  const fst_type_data *dict = fst_value_type_data(sp->out, operands[0]);
  const fst_const_data *key = fst_value_const(sp->out, operands[1]);
  if (!dict->count || !key) return false;
  uint32_t at = 0;
  while (at < dict->count && dict->fields[at] != key->str) at++;
  if (asks) {
    world_set(w, n->results[0], bind_value(fst_graph_const_bool(sp->out, at < dict->count)));
    return true;
  }
  if (at == dict->count) return false;   // the call says what is missing
  fst_type type = is_lasting(types, dict->items[at]) ? instantiate(sp, w, dict->items[at]) : fst_type_erase(types, dict->items[at]);
  world_set(w, n->results[0], open_tuple(sp, w, emit(sp, w, n->op, operands, 2, type, n->loc)));
  return true;
}

static bool eval_made_list(specializer *sp, world *w, fst_node_id id) {
  const fst_node *n = fst_node_get(sp->src, id);
  if (n->op == FST_OP_UNKNOWN || fst_op_get(n->op)->cls != FST_CLASS_CONTAINER || !n->operand_count) return false;
  fst_type_kind kind = fst_type_kind_of(sp->src->module->types, fst_value_type(sp->src, n->operands[0]));
  if (kind != FST_TY_LIST && kind != FST_TY_DICT) return false;
  fst_value_id *operands = FST_NEW_ARRAY(&sp->arena, fst_value_id, n->operand_count + 1);
  for (uint32_t i = 0; i < n->operand_count; i++) operands[i] = residual_of(sp, w, n->operands[i], n->loc);
  uint32_t site = site_of(sp, operands[0]);
  container_role role = role_of(n);
  fst_type elem = fst_value_type_data(sp->out, operands[0])->elem;
  fst_value_id last = operands[n->operand_count - 1];
  bool takes_default = (role == ROLE_TAKES || role == ROLE_TAKES_OR_NONE) && kind == FST_TY_DICT && n->operand_count == 3;
  if (role == ROLE_STORES || takes_default) site_store(sp, site, fst_value_type(sp->out, last));   // a default may be stored
  if (role == ROLE_MERGES) {
    fst_type other = site_load(sp, w, site_of(sp, last), fst_value_type_data(sp->out, last)->elem);
    site_store(sp, site, other);
    if (!site) elem = join_types(sp, elem, other, sp->out->entry);
  }
  if (takes_default && !site) elem = join_types(sp, elem, fst_value_type(sp->out, last), sp->out->entry);
  if (takes_default) role = ROLE_TAKES;
  if (site) elem = site_load(sp, w, site, elem);
  fst_node_id made = emit_node(sp, w, n->op, operands, n->operand_count, n->result_count, n->loc);
  for (uint32_t r = 0; r < n->result_count; r++) {
    fst_value_id v = fst_node_get(sp->out, made)->results[r];
    fst_type declared = import_type(sp, fst_value_type(sp->src, n->results[r]));
    fst_value_set_type(sp->out, v, result_type(sp, w, role, elem, declared));
    fst_type_kind result = fst_type_kind_of(sp->out->module->types, declared);
    if (result == FST_TY_LIST && (role == ROLE_STORES || role == ROLE_MERGES || role == ROLE_COPIES)) note_site(sp, v, site);
    if (result == FST_TY_INT) fst_value_get(sp->out, v)->sym = fresh_symbol(sp, w, n->op != FST_OP_LEN_T);
    world_set(w, n->results[r], open_tuple(sp, w, v));
  }
  return true;
}

static void eval_dict_construct(specializer *sp, world *w, fst_node_id id) {
  const fst_node *n = fst_node_get(sp->src, id);
  fst_types *types = sp->out->module->types;
  fst_value_id *operands = FST_NEW_ARRAY(&sp->arena, fst_value_id, n->operand_count + 1);
  uint32_t site = id.id + 1;
  for (uint32_t i = 0; i < n->operand_count; i++) {
    operands[i] = residual_of(sp, w, n->operands[i], n->loc);
    if (i % 2) site_store(sp, site, fst_value_type(sp->out, operands[i]));
  }
  const fst_type_data *declared = fst_value_type_data(sp->src, n->results[0]);
  fst_type elem = sp->site_elem[id.id].id ? sp->site_elem[id.id] : declared->elem;
  fst_value_id v = emit(sp, w, FST_OP_DICT_CONSTRUCT, operands, n->operand_count, fst_type_dict(types, declared->key, elem), n->loc);
  note_site(sp, v, site);
  world_set(w, n->results[0], bind_value(v));
}

// ---- questions about types -------------------------------------------------------------------------

// Can a value of this type be None: 1 always, 0 never, -1 sometimes.
static int noneness(specializer *sp, binding b) {
  if (b.kind != BOUND_VALUE) return 0;
  if (fst_value_is_none(sp->out, b.value)) return 1;
  fst_type_kind kind = fst_type_kind_of(sp->out->module->types, fst_value_type(sp->out, b.value));
  return kind == FST_TY_OPTIONAL || kind == FST_TY_ANY || kind == FST_TY_UNION ? -1 : 0;
}

// Views that are objects of their own whatever they are of; others may hand back what they are given.
static bool makes_view(fst_op op) {
  switch (op) {
    case FST_OP_VIEW: case FST_OP_TRANSPOSE_INT: case FST_OP_PERMUTE: case FST_OP_SELECT_INT: case FST_OP_SLICE_TENSOR: case FST_OP_UNSQUEEZE: return true;
    default: return false;
  }
}

// Is the value a tensor that a node of this call made, and no other name of one?
static bool is_fresh(const fst_graph *g, fst_value_id v) {
  fst_node_id def = fst_value_def(g, v);
  const fst_node *n = def.id ? fst_node_get(g, def) : NULL;
  if (!n || n->op == FST_OP_UNKNOWN || n->block_count) return false;
  const fst_op_info *info = fst_op_get(n->op);
  const fst_schema *schema = fst_op_schema(n->op);
  uint32_t result = fst_value_get(g, v)->index;
  return info->cls != FST_CLASS_CONTAINER && info->cls != FST_CLASS_ATTRIBUTE && info->cls != FST_CLASS_INTERNAL && info->cls != FST_CLASS_CALL &&
         info->cls != FST_CLASS_CONTROL && result < schema->ret_count && (!schema->rets[result].alias || makes_view(n->op));
}

// Are the two tensors one object: 1, 0, -1 not known.
static int sameness(specializer *sp, binding a, binding b) {
  if (a.kind != BOUND_VALUE || b.kind != BOUND_VALUE) return -1;
  if (fst_value_eq(a.value, b.value)) return 1;
  bool a_fresh = is_fresh(sp->out, a.value), b_fresh = is_fresh(sp->out, b.value);
  bool a_given = fst_value_get(sp->out, a.value)->kind == FST_VALUE_PARAM, b_given = fst_value_get(sp->out, b.value)->kind == FST_VALUE_PARAM;
  bool inner = (a_given && fst_block_get(sp->out, fst_value_get(sp->out, a.value)->block)->owner.id) ||
               (b_given && fst_block_get(sp->out, fst_value_get(sp->out, b.value)->block)->owner.id);   // of a loop: any of the others
  return !inner && ((a_fresh && (b_fresh || b_given)) || (b_fresh && a_given)) ? 0 : -1;
}

// `is` and `is not`: of None, and of tensors.
static bool eval_is(specializer *sp, world *w, const fst_node *n) {
  binding a = world_get(sp, w, n->operands[0]), b = world_get(sp, w, n->operands[1]);
  int na = noneness(sp, a), nb = noneness(sp, b), same = na && nb;
  if (na < 0 || nb < 0) return false;
  if (!na && !nb) same = sameness(sp, a, b);
  if (same < 0) return false;
  world_set(w, n->results[0], bind_value(fst_graph_const_bool(sp->out, same == (n->op == FST_OP___IS__))));
  return true;
}

static fst_type bound_type(specializer *sp, const world *w, binding b) {
  if (b.kind == BOUND_TUPLE) return b.tuple->type;
  if (b.kind == BOUND_HEAP) return w->heap.data[b.heap].type;
  return fst_value_type(sp->out, b.value);
}

static bool eval_isinstance(specializer *sp, world *w, const fst_node *n) {
  fst_types *types = sp->out->module->types;
  binding b = world_get(sp, w, n->operands[0]);
  fst_type type = fst_type_erase(types, bound_type(sp, w, b));
  const fst_type_data *asked = fst_type_get(types, n->attr_type);
  fst_type one = n->attr_type;
  bool many = asked->kind == FST_TY_TUPLE && !asked->fields;
  bool is = false;
  for (uint32_t i = 0; i < (many ? asked->count : 1); i++)
    if (fst_type_is_subtype(types, type, many ? asked->items[i] : one)) is = true;
  fst_type_kind kind = fst_type_kind_of(types, type);
  if (!is && (kind == FST_TY_ANY || kind == FST_TY_UNION || kind == FST_TY_OPTIONAL || kind == FST_TY_NUMBER)) return false;
  world_set(w, n->results[0], bind_value(fst_graph_const_bool(sp->out, is)));
  return true;
}

static void eval_cast(specializer *sp, world *w, const fst_node *n) {
  binding b = world_get(sp, w, n->operands[0]);
  fst_types *types = sp->out->module->types;
  if (b.kind == BOUND_VALUE && !fst_value_const(sp->out, b.value)) {
    const fst_type_data *from = fst_value_type_data(sp->out, b.value);
    if (from->kind == FST_TY_OPTIONAL || from->kind == FST_TY_ANY || from->kind == FST_TY_UNION || from->kind == FST_TY_NUMBER) {
      fst_type asked = import_type(sp, fst_value_type(sp->src, n->results[0]));
      if (from->kind == FST_TY_OPTIONAL && fst_type_is_subtype(types, from->elem, asked)) asked = from->elem;
      fst_value_id v = emit(sp, w, FST_OP_UNCHECKED_CAST, &b.value, 1, instantiate(sp, w, asked), n->loc);
      if (fst_type_is(types, asked, FST_TY_INT)) fst_value_get(sp->out, v)->sym = fresh_symbol(sp, w, true);
      if (site_of(sp, b.value)) note_site(sp, v, site_of(sp, b.value));
      b = bind_value(v);
    }
  }
  world_set(w, n->results[0], b);
}

// torch.tensor of a list whose items only the call knows: its numbers as they are, then the dtype.
static fst_status eval_list_tensor(specializer *sp, world *w, fst_node_id id, bool *out_done) {
  const fst_node *n = fst_node_get(sp->src, id);
  const binding *items;
  uint32_t count;
  int64_t asked = FST_F32;
  fst_types *types = sp->out->module->types;
  binding list = world_get(sp, w, n->operands[0]), dtype = world_get(sp, w, n->operands[1]);
  fst_type elem = fst_type_get(types, fst_value_type(sp->src, n->operands[0]))->elem;
  bool is_int = fst_type_is(types, elem, FST_TY_INT), is_bool = fst_type_is(types, elem, FST_TY_BOOL), is_float = fst_type_is(types, elem, FST_TY_FLOAT);
  *out_done = false;
  if (known_items(sp, w, list, &items, &count) || !(is_int || is_bool || is_float) || dtype.kind != BOUND_VALUE) return NULL;
  fst_dtype as_is = is_int ? FST_I64 : is_bool ? FST_BOOL : FST_F64;
  bool has_dtype = !fst_value_is_none(sp->out, dtype.value);
  if (has_dtype && !fst_value_const_int(sp->out, dtype.value, &asked)) return NULL;
  for (uint32_t i = 2; i < n->operand_count; i++) {   // device, requires_grad
    binding rest = world_get(sp, w, n->operands[i]);
    bool truth;
    const fst_const_data *c = rest.kind == BOUND_VALUE ? fst_value_const(sp->out, rest.value) : NULL;
    bool is_cpu = c && c->kind == FST_CONST_DEVICE && !strcmp(fst_sym_text(&sp->out->module->strings, c->str), "cpu");
    if (!is_cpu && !(rest.kind == BOUND_VALUE && fst_value_is_none(sp->out, rest.value)) && !(const_bool(sp, rest, &truth) && !truth)) return NULL;
  }
  fst_dim size = fresh_symbol(sp, w, false), one = 1;
  fst_value_id operands[2] = {residual(sp, w, list, n->loc)};
  operands[1] = emit(sp, w, FST_OP_LEN_T, operands, 1, fst_type_simple(types, FST_TY_INT), n->loc);
  fst_value_get(sp->out, operands[1])->sym = size;
  fst_value_id out = emit(sp, w, FST_OP_LIST_NUMBERS, operands, 2, fst_type_tensor(types, as_is, 1, &size, &one, FST_DEVICE_CPU, 0), n->loc);
  fst_dtype wanted = has_dtype || is_float ? (fst_dtype)asked : as_is;
  if (wanted != as_is) {
    fst_value_id no = fst_graph_const_bool(sp->out, false), none = fst_graph_const_none(sp->out);
    fst_value_id to[5] = {out, fst_graph_const_int(sp->out, wanted), no, no, none};
    out = emit(sp, w, FST_OP_TO_DTYPE, to, 5, fst_type_tensor(types, wanted, 1, &size, &one, FST_DEVICE_CPU, 0), n->loc);
  }
  world_set(w, n->results[0], bind_value(out));
  *out_done = true;
  return NULL;
}

// ---- dispatch --------------------------------------------------------------------------------------

// The tuple that an op takes apart: one that comes as a value (out of an Optional, from round to round) is opened here.
static binding tuple_operand(specializer *sp, world *w, const fst_node *n) {
  binding b = world_get(sp, w, n->operands[0]);
  if (b.kind != BOUND_VALUE || fst_value_const(sp->out, b.value) || fst_value_type_data(sp->out, b.value)->kind != FST_TY_TUPLE) return b;
  b = open_tuple(sp, w, b.value);
  world_set(w, n->operands[0], b);
  return b;
}

static bool eval_tuple(specializer *sp, world *w, const fst_node *n) {
  const binding *items;
  uint32_t count;
  int64_t at;
  switch (n->op) {
    case FST_OP_TUPLE_CONSTRUCT: {
      binding *made = FST_NEW_ARRAY(&sp->arena, binding, n->operand_count + 1);
      for (uint32_t i = 0; i < n->operand_count; i++) made[i] = world_get(sp, w, n->operands[i]);
      world_set(w, n->results[0], new_tuple(sp, fst_value_type(sp->src, n->results[0]), made, n->operand_count));
      return true;
    }
    case FST_OP_TUPLE_UNPACK:
      if (!known_items(sp, w, tuple_operand(sp, w, n), &items, &count) || count != n->result_count) return false;
      for (uint32_t i = 0; i < count; i++) world_set(w, n->results[i], items[i]);
      return true;
    case FST_OP_TUPLE_INDEX:
      if (!known_items(sp, w, tuple_operand(sp, w, n), &items, &count) || !const_index(sp, w, n->operands[1], count, &at)) return false;
      world_set(w, n->results[0], items[at]);
      return true;
    default: return false;
  }
}

fst_status eval_data(specializer *sp, world *w, fst_node_id id, bool *out_done) {
  const fst_node *n = fst_node_get(sp->src, id);
  *out_done = true;
  switch (n->op) {
    case FST_OP_TUPLE_CONSTRUCT: case FST_OP_TUPLE_UNPACK: case FST_OP_TUPLE_INDEX:
      if (eval_tuple(sp, w, n)) return NULL;
      break;
    case FST_OP_LIST_CONSTRUCT: {
      binding *items = FST_NEW_ARRAY(&sp->arena, binding, n->operand_count + 1);
      for (uint32_t i = 0; i < n->operand_count; i++) items[i] = world_get(sp, w, n->operands[i]);
      world_set(w, n->results[0], new_list(sp, w, fst_value_type(sp->src, n->results[0]), id.id + 1, items, n->operand_count));
      return NULL;
    }
    case FST_OP_DICT: case FST_OP_DICT_CONSTRUCT: eval_dict_construct(sp, w, id); return NULL;
    case FST_OP_CREATE_OBJECT: case FST_OP_GET_ATTR: case FST_OP_SET_ATTR:
      if (eval_object(sp, w, n)) return NULL;
      break;
    case FST_OP___IS__: case FST_OP___ISNOT__:
      if (eval_is(sp, w, n)) return NULL;
      break;
    case FST_OP_ISINSTANCE:
      if (eval_isinstance(sp, w, n)) return NULL;
      break;
    case FST_OP_UNCHECKED_CAST: eval_cast(sp, w, n); return NULL;
    case FST_OP_TENSOR: case FST_OP_AS_TENSOR_LIST: return eval_list_tensor(sp, w, id, out_done);
    default:
      if (eval_known_list(sp, w, n) || eval_known_dict(sp, w, n) || eval_known_entry(sp, w, n)) return NULL;
      if (eval_made_list(sp, w, id)) return NULL;
      break;
  }
  *out_done = false;
  return NULL;
}
