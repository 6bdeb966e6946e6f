// The laws of ir/graph.h. One walk in order: a value is visible from its definition to the end of the block
// it is defined in, so dominance needs no tree. Types are compared without sizes and strides: whether two
// expressions are equal may rest on a guard that was passed on the way.
#include <stdio.h>
#include <string.h>

#include "ir/graph.h"

enum { MAX_OFFENCES = 30 };

typedef struct {
  const fst_graph *g;
  const fst_module *m;
  fst_arena arena;
  fst_text report;
  uint32_t offences;
  bool *visible;        // by value id
  bool *placed;         // by node id
  uint32_t *counted;    // by value id: uses found
  FST_VEC(fst_value_id) scope;
  bool *defined;        // by symbol, from `typed` on
  FST_VEC(uint32_t) symbols;   // those of the open blocks
} verifier;

static void offence(verifier *v, fst_node_id node, const char *fmt, ...) FST_PRINTF(3, 4);
static void offence(verifier *v, fst_node_id node, const char *fmt, ...) {
  if (++v->offences > MAX_OFFENCES) return;
  if (v->report.len) fst_text_putc(&v->report, '\n');
  fst_text_printf(&v->report, "function \"%s\": ", fst_sym_text(&v->m->strings, v->g->name));
  if (node.id) {
    const fst_node *n = fst_node_get(v->g, node);
    fst_text_puts(&v->report, fst_op_name(n->op));
    if (n->loc.id) {
      fst_text_puts(&v->report, " (");
      fst_loc_print(v->m, n->loc, &v->report);
      fst_text_putc(&v->report, ')');
    }
    fst_text_puts(&v->report, ": ");
  }
  va_list args;
  va_start(args, fmt);
  char line[512];
  vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  fst_text_puts(&v->report, line);
}

static const char *type_text(verifier *v, fst_type type) {
  fst_text text = {0};
  fst_type_print(v->m->types, v->g->dims, type, &text);
  const char *kept = fst_arena_strdup(&v->arena, fst_text_cstr(&text));
  fst_text_deinit(&text);
  return kept;
}

// ---- types -----------------------------------------------------------------------------------------

// May a value of type `have` stand where `want` is declared? Lenient where a type does not say enough:
// interfaces, opaque libtorch types, and containers whose elements were refined.
static bool type_fits(const fst_types *types, fst_type have, fst_type want) {
  const fst_type_data *a = fst_type_get(types, have), *b = fst_type_get(types, want);
  if (a->kind == FST_TY_ANY || a->kind == FST_TY_OPAQUE || b->kind == FST_TY_OPAQUE || a->kind == FST_TY_UNINIT) return true;
  if (b->kind == FST_TY_ANY || (a->kind == FST_TY_CLASS && b->kind == FST_TY_CLASS)) return true;
  if (a->kind == FST_TY_TENSOR && b->kind == FST_TY_TENSOR) {
    bool dtypes = a->dtype == FST_DTYPE_UNKNOWN || b->dtype == FST_DTYPE_UNKNOWN || a->dtype == b->dtype;
    return dtypes && (a->rank < 0 || b->rank < 0 || a->rank == b->rank);
  }
  if (b->kind == FST_TY_OPTIONAL) return a->kind == FST_TY_NONE || type_fits(types, a->kind == FST_TY_OPTIONAL ? a->elem : have, b->elem);
  if (a->kind == FST_TY_LIST && b->kind == FST_TY_LIST) return type_fits(types, a->elem, b->elem);
  if (a->kind == FST_TY_FUTURE && b->kind == FST_TY_FUTURE) return type_fits(types, a->elem, b->elem);
  if (a->kind == FST_TY_DICT && b->kind == FST_TY_DICT) return type_fits(types, a->key, b->key) && type_fits(types, a->elem, b->elem);
  if (a->kind == FST_TY_UNION || b->kind == FST_TY_UNION) {
    const fst_type_data *u = b->kind == FST_TY_UNION ? b : a;
    for (uint32_t i = 0; i < u->count; i++)
      if (u == b ? type_fits(types, have, b->items[i]) : type_fits(types, a->items[i], want)) return true;
    return u == b && a->kind == FST_TY_OPTIONAL && type_fits(types, a->elem, want);
  }
  if (a->kind == FST_TY_TUPLE && b->kind == FST_TY_TUPLE) {
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++)
      if (!type_fits(types, a->items[i], b->items[i])) return false;
    return true;
  }
  return fst_type_is_subtype(types, have, want);
}

static void check_flow(verifier *v, fst_node_id node, const char *what, uint32_t index, fst_value_id have, fst_type want) {
  if (!have.id || have.id >= v->g->values.len) return;   // reported as an operand
  fst_type type = fst_value_type(v->g, have);
  if (type.id && want.id && !type_fits(v->m->types, type, want))
    offence(v, node, "%s %u is %s where %s is declared", what, index, type_text(v, type), type_text(v, want));
}

static void check_kind(verifier *v, fst_node_id node, uint32_t operand, fst_type_kind kind, const char *name) {
  const fst_node *n = fst_node_get(v->g, node);
  if (operand >= n->operand_count || !n->operands[operand].id) return;
  fst_type_kind have = fst_value_type_data(v->g, n->operands[operand])->kind;
  if (have != kind && have != FST_TY_UNINIT && have != FST_TY_INVALID) offence(v, node, "operand %u is %s, not %s", operand, type_text(v, fst_value_type(v->g, n->operands[operand])), name);
}

// ---- nodes -----------------------------------------------------------------------------------------

static bool is_terminator(fst_op op) { return op == FST_OP_YIELD || op == FST_OP_RETURN; }

static const fst_node *block_yield(verifier *v, fst_block_id block) {
  fst_node_id last = fst_block_get(v->g, block)->last;
  return last.id && is_terminator(fst_node_get(v->g, last)->op) ? fst_node_get(v->g, last) : NULL;
}

static void check_yield(verifier *v, fst_node_id node, fst_block_id block, uint32_t first) {
  const fst_node *n = fst_node_get(v->g, node), *yield = block_yield(v, block);
  if (!yield) return;   // reported with the block
  if (yield->operand_count != n->result_count + first) {
    offence(v, node, "a block yields %u values for %u results", yield->operand_count, n->result_count + first);
    return;
  }
  for (uint32_t i = first; i < yield->operand_count; i++) check_flow(v, node, "yielded value", i, yield->operands[i], fst_value_type(v->g, n->results[i - first]));
}

static void check_if(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  if (n->operand_count != 1 || n->block_count != 2) {
    offence(v, node, "an If has a condition and two blocks");
    return;
  }
  check_kind(v, node, 0, FST_TY_BOOL, "bool");
  for (uint32_t b = 0; b < 2; b++) {
    if (fst_block_get(v->g, n->blocks[b])->params.len) offence(v, node, "a block of an If has no parameters");
    check_yield(v, node, n->blocks[b], 0);
  }
}

static void check_loop(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  if (n->block_count != 1 || n->operand_count < 2 || n->result_count != n->operand_count - 2 ||
      fst_block_get(v->g, n->blocks[0])->params.len != n->result_count + 1) {
    offence(v, node, "a Loop is (trips, condition, carried...) with a body that takes (i, carried...) and a result for each carried value");
    return;
  }
  check_kind(v, node, 0, FST_TY_INT, "int");
  check_kind(v, node, 1, FST_TY_BOOL, "bool");
  const fst_block *body = fst_block_get(v->g, n->blocks[0]);
  if (fst_value_type_data(v->g, body->params.data[0])->kind != FST_TY_INT) offence(v, node, "the body's first parameter is the iteration, an int");
  for (uint32_t i = 0; i < n->result_count; i++) {
    fst_type carried = fst_value_type(v->g, body->params.data[i + 1]);
    check_flow(v, node, "carried value", i, n->operands[i + 2], carried);
    const fst_node *yield = block_yield(v, n->blocks[0]);
    if (yield && yield->operand_count == n->result_count + 1) check_flow(v, node, "yielded value", i + 1, yield->operands[i + 1], carried);
  }
  check_yield(v, node, n->blocks[0], 1);
  const fst_node *yield = block_yield(v, n->blocks[0]);
  if (yield && yield->operand_count && yield->operands[0].id && fst_value_type_data(v->g, yield->operands[0])->kind != FST_TY_BOOL)
    offence(v, node, "a Loop's body yields a bool first");
}

static void check_arity(verifier *v, fst_node_id node, const fst_schema *s) {
  const fst_node *n = fst_node_get(v->g, node);
  uint32_t needed = 0;
  for (uint32_t i = 0; i < s->arg_count; i++)
    if (!s->args[i].default_text) needed = i + 1;
  if (n->operand_count < needed || (!s->is_vararg && n->operand_count > s->arg_count))
    offence(v, node, "%u operands for the %u of its schema", n->operand_count, s->arg_count);
  if (!s->is_varret && n->result_count != s->ret_count) offence(v, node, "%u results for the %u of its schema", n->result_count, s->ret_count);
}

// An operand whose schema type is a plain name must be of that kind.
static void check_operands(verifier *v, fst_node_id node, const fst_schema *s) {
  static const struct { const char *text; fst_type_kind kind; } plain[] = {
      {"Tensor", FST_TY_TENSOR}, {"int", FST_TY_INT}, {"float", FST_TY_FLOAT}, {"bool", FST_TY_BOOL}, {"str", FST_TY_STR}};
  const fst_node *n = fst_node_get(v->g, node);
  for (uint32_t i = 0; i < s->arg_count && i < n->operand_count; i++) {
    for (size_t k = 0; k < sizeof plain / sizeof *plain; k++) {
      if (strcmp(s->args[i].type, plain[k].text)) continue;
      fst_type_kind have = fst_value_type_data(v->g, n->operands[i])->kind;
      // dtypes, layouts and memory formats are ints for us, and what a value is may not be known.
      bool open = have == FST_TY_ANY || have == FST_TY_NUMBER || have == FST_TY_UNINIT || have == FST_TY_OPAQUE || have == FST_TY_INVALID || have == FST_TY_UNION;
      if (have != plain[k].kind && !open) offence(v, node, "operand %u (%s) is %s, not %s", i, s->args[i].name, type_text(v, fst_value_type(v->g, n->operands[i])), plain[k].text);
    }
  }
}

static void check_unknown(verifier *v, fst_node_id node) {
  fst_schema schema;
  fst_status status = fst_schema_parse(&v->arena, fst_sym_text(&v->m->strings, fst_node_get(v->g, node)->name), &schema);
  if (status) offence(v, node, "%s", status->message);
  else check_arity(v, node, &schema);
  fst_error_free(status);
}

static void check_stage(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  const fst_op_info *info = fst_op_get(n->op);
  fst_stage stage = v->g->stage;
  if (info->cls == FST_CLASS_CALL && stage > FST_STAGE_IMPORTED) offence(v, node, "a call is legal only in a graph that is `imported`, not `%s`", fst_stage_name(stage));
  if ((n->op == FST_OP_STATE_GET || n->op == FST_OP_STATE_SET) && stage < FST_STAGE_INLINED) offence(v, node, "state slots exist only from `inlined` on");
  if (n->op == FST_OP_GROUP && stage < FST_STAGE_FUSED) offence(v, node, "a group is legal only from `fused` on");
}

static void check_group(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  if (n->block_count != 1 || n->operand_count) offence(v, node, "a group has one block and no operands");
  else check_yield(v, node, n->blocks[0], 0);
}

static void check_terminator(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  bool entry = fst_block_eq(n->block, v->g->entry);
  if ((n->op == FST_OP_RETURN) != entry) offence(v, node, entry ? "a function ends in return" : "a nested block ends in yield");
  if (n->next.id) offence(v, node, "nodes follow the end of the block");
  if (n->op != FST_OP_RETURN || !entry) return;
  if (n->operand_count != v->g->result_types.len) {
    offence(v, node, "%u values returned for %zu result types", n->operand_count, v->g->result_types.len);
    return;
  }
  for (uint32_t i = 0; i < n->operand_count; i++) check_flow(v, node, "returned value", i, n->operands[i], v->g->result_types.data[i]);
}

// The function a call names, when the module has it: a dump of one function has no others.
static const fst_graph *callee_of(verifier *v, const fst_node *n) {
  if (n->op == FST_OP_CALL_FUNCTION) return fst_module_find_function(v->m, n->name);
  const fst_type_data *t = n->operand_count ? fst_value_type_data(v->g, n->operands[0]) : NULL;
  fst_class_id cls = t && t->kind == FST_TY_CLASS ? fst_module_find_class(v->m, t->name) : (fst_class_id){0};
  return cls.id ? fst_class_method(v->m, &v->m->classes.data[cls.id], n->name) : NULL;
}

// Sizes are left out: the callee's are expressions in a table of its own.
static void check_call(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  const fst_graph *callee = callee_of(v, n);
  if (n->op == FST_OP_CALL_METHOD && !n->operand_count) offence(v, node, "a method is called on an object");
  if (!callee) return;
  const fst_block *entry = fst_block_get(callee, callee->entry);
  const char *name = fst_sym_text(&v->m->strings, callee->name);
  for (size_t i = n->operand_count; i < entry->params.len; i++)
    if (i >= callee->defaults.len || !callee->defaults.data[i].id) offence(v, node, "\"%s\" is called without its argument %zu", name, i);
  if (n->operand_count > entry->params.len) offence(v, node, "\"%s\" takes %zu arguments, not %u", name, entry->params.len, n->operand_count);
  for (uint32_t i = 0; i < n->operand_count && i < entry->params.len; i++) check_flow(v, node, "argument", i, n->operands[i], fst_type_erase(v->m->types, fst_value_type(callee, entry->params.data[i])));
  if (n->result_count != 1 || callee->result_types.len > 1) {
    if (n->result_count != callee->result_types.len) offence(v, node, "%u results of \"%s\", which gives %zu", n->result_count, name, callee->result_types.len);
    return;
  }
  fst_type given = callee->result_types.len ? fst_type_erase(v->m->types, callee->result_types.data[0]) : fst_type_simple(v->m->types, FST_TY_NONE);
  if (!type_fits(v->m->types, given, fst_value_type(v->g, n->results[0])))
    offence(v, node, "\"%s\" gives %s where %s is declared", name, type_text(v, given), type_text(v, fst_value_type(v->g, n->results[0])));
}

static void check_node(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  check_stage(v, node);
  switch (n->op) {
    case FST_OP_IF: check_if(v, node); return;
    case FST_OP_LOOP: check_loop(v, node); return;
    case FST_OP_GROUP: check_group(v, node); return;
    case FST_OP_YIELD: case FST_OP_RETURN: check_terminator(v, node); return;
    case FST_OP_UNKNOWN: check_unknown(v, node); return;
    case FST_OP_CALL_METHOD: case FST_OP_CALL_FUNCTION: check_call(v, node); break;
    default: break;
  }
  if (n->block_count) offence(v, node, "has blocks");
  check_arity(v, node, fst_op_schema(n->op));
  check_operands(v, node, fst_op_schema(n->op));
}

// ---- structure -------------------------------------------------------------------------------------

// A symbol is defined by the first value whose type shows it bare; until then nobody could say what it is.
typedef void (*dim_visitor)(verifier *v, fst_node_id node, fst_dim d);

static void each_dim(verifier *v, fst_node_id node, fst_value_id value, dim_visitor visit) {
  if (!value.id || value.id >= v->g->values.len || v->g->stage < FST_STAGE_TYPED) return;
  const fst_type_data *t = fst_value_type_data(v->g, value);
  visit(v, node, fst_value_get(v->g, value)->sym);
  for (int i = 0; t->kind == FST_TY_TENSOR && i < t->rank; i++) {
    visit(v, node, t->dims[i]);
    if (t->has_strides) visit(v, node, t->strides[i]);
  }
}

static void define_symbol(verifier *v, fst_node_id node, fst_dim d) {
  uint32_t symbol;
  (void)node;
  if (!fst_dim_is_known(d) || !fst_dim_is_symbol(v->g->dims, d, &symbol) || v->defined[symbol]) return;
  v->defined[symbol] = true;
  fst_vec_push(&v->symbols, symbol);
}

static void check_symbols(verifier *v, fst_node_id node, fst_dim d) {
  if (!fst_dim_is_known(d)) return;
  fst_dim_view view = fst_dim_open(v->g->dims, d);
  if (view.kind == FST_DIM_SYMBOL && !v->defined[view.symbol]) offence(v, node, "the size s%u is used before anything defines it", view.symbol);
  for (uint32_t i = 0; i < view.count; i++) check_symbols(v, node, view.operands[i]);
}

static void check_sizes(verifier *v, fst_node_id node, const fst_value_id *values, size_t count) {
  for (size_t i = 0; i < count; i++) each_dim(v, node, values[i], define_symbol);
  for (size_t i = 0; i < count; i++) each_dim(v, node, values[i], check_symbols);
}

static void make_visible(verifier *v, fst_value_id value) {
  v->visible[value.id] = true;
  fst_vec_push(&v->scope, value);
}

static void check_definition(verifier *v, fst_node_id node, fst_value_id value, bool right_place) {
  if (!value.id || value.id >= v->g->values.len) {
    offence(v, node, "a value that does not exist");
    return;
  }
  if (!right_place) offence(v, node, "value %u does not know where it is defined", value.id);
  if (!fst_value_type(v->g, value).id) offence(v, node, "value %u has no type", value.id);
  if (v->visible[value.id]) offence(v, node, "value %u is defined twice", value.id);
  make_visible(v, value);
}

static bool check_uses_of(verifier *v, fst_node_id node) {
  const fst_node *n = fst_node_get(v->g, node);
  bool sound = true;
  for (uint32_t i = 0; i < n->operand_count; i++) {
    fst_value_id value = n->operands[i];
    bool exists = value.id && value.id < v->g->values.len;
    if (exists) v->counted[value.id]++;
    sound = sound && exists;
    if (!exists) offence(v, node, "operand %u does not exist", i);
    else if (fst_value_get(v->g, value)->kind != FST_VALUE_CONST && !v->visible[value.id]) offence(v, node, "operand %u (value %u) is not defined before it", i, value.id);
  }
  return sound;
}

static void check_block(verifier *v, fst_block_id block, fst_node_id owner);

static void walk_node(verifier *v, fst_node_id node, fst_block_id block, fst_node_id prev) {
  const fst_node *n = fst_node_get(v->g, node);
  if (!fst_block_eq(n->block, block) || !fst_node_eq(n->prev, prev)) offence(v, node, "is linked into a block it does not belong to");
  v->placed[node.id] = true;
  bool sound = check_uses_of(v, node);
  for (uint32_t i = 0; i < n->block_count; i++) check_block(v, n->blocks[i], node);
  for (uint32_t i = 0; i < n->result_count; i++) {
    const fst_value *r = n->results[i].id && n->results[i].id < v->g->values.len ? fst_value_get(v->g, n->results[i]) : NULL;
    check_definition(v, node, n->results[i], r && r->kind == FST_VALUE_RESULT && fst_node_eq(r->node, node) && r->index == i);
  }
  check_sizes(v, node, n->results, n->result_count);
  if (sound) check_node(v, node);
}

static void check_block(verifier *v, fst_block_id block, fst_node_id owner) {
  const fst_block *b = fst_block_get(v->g, block);
  if (!fst_node_eq(b->owner, owner)) offence(v, owner, "a block belongs to another node");
  size_t mark = v->scope.len, symbols = v->symbols.len;
  for (size_t i = 0; i < b->params.len; i++) {
    const fst_value *p = b->params.data[i].id && b->params.data[i].id < v->g->values.len ? fst_value_get(v->g, b->params.data[i]) : NULL;
    check_definition(v, owner, b->params.data[i], p && p->kind == FST_VALUE_PARAM && fst_block_eq(p->block, block) && p->index == i);
  }
  check_sizes(v, owner, b->params.data, b->params.len);
  fst_node_id prev = FST_NO_NODE;
  for (fst_node_id n = b->first; n.id; n = fst_node_get(v->g, n)->next) {
    if (v->placed[n.id]) {
      offence(v, n, "stands in two places");
      break;
    }
    walk_node(v, n, block, prev);
    prev = n;
  }
  if (!fst_node_eq(prev, b->last)) offence(v, owner, "a block's last node is not its last");
  if (!prev.id || !is_terminator(fst_node_get(v->g, prev)->op)) offence(v, owner, "a block ends in yield or return");
  while (v->scope.len > mark) v->visible[fst_vec_pop(&v->scope).id] = false;
  while (v->symbols.len > symbols) v->defined[fst_vec_pop(&v->symbols)] = false;
}

static void check_use_lists(verifier *v) {
  for (uint32_t i = 1; i < v->g->values.len; i++) {
    const fst_value *value = v->g->values.data[i];
    bool exact = value->uses.len == v->counted[i];
    for (size_t k = 0; k < value->uses.len && exact; k++) {
      fst_use use = value->uses.data[k];
      const fst_node *user = use.user.id < v->g->nodes.len ? fst_node_get(v->g, use.user) : NULL;
      exact = user && v->placed[use.user.id] && use.index < user->operand_count && user->operands[use.index].id == i;
    }
    if (!exact) offence(v, FST_NO_NODE, "the uses of value %u are not listed exactly (%zu listed, %u found)", i, value->uses.len, v->counted[i]);
  }
}

fst_status fst_graph_verify(const fst_graph *graph) {
  verifier v = {.g = graph, .m = graph->module};
  fst_arena_init(&v.arena);
  v.visible = FST_NEW_ARRAY(&v.arena, bool, graph->values.len);
  v.counted = FST_NEW_ARRAY(&v.arena, uint32_t, graph->values.len);
  v.placed = FST_NEW_ARRAY(&v.arena, bool, graph->nodes.len);
  v.defined = FST_NEW_ARRAY(&v.arena, bool, fst_dims_symbol_count(graph->dims) + 1);
  check_block(&v, graph->entry, FST_NO_NODE);
  check_use_lists(&v);
  if (v.offences > MAX_OFFENCES) fst_text_printf(&v.report, "\n... and %u more", v.offences - MAX_OFFENCES);
  fst_status status = v.offences ? FST_FAIL(FST_ERR_INVALID, "%s", fst_text_cstr(&v.report)) : NULL;
  fst_text_deinit(&v.report);
  fst_vec_free(&v.scope);
  fst_vec_free(&v.symbols);
  fst_arena_deinit(&v.arena);
  return status;
}

fst_status fst_module_verify(const fst_module *module) {
  for (size_t i = 0; i < module->functions.len; i++) FST_TRY(fst_graph_verify(module->functions.data[i]));
  return NULL;
}
