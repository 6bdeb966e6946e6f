// Compositions: statements, and what runs them (ir/compose.h says what they mean).
#include <string.h>

#include "ir/compose_internal.h"

// ---- statements ----
static void skip_block(composer *c) {
  expect(c, "{");
  for (int depth = 1; depth; c->at++) {
    if (!*c->at) text_wrong(c, "}");
    depth += *c->at == '{' ? 1 : *c->at == '}' ? -1 : 0;
  }
}

static void run_statements(composer *c);

static void run_block(composer *c, bool run) {
  const char *begin = c->at;
  if (run) {
    expect(c, "{");
    run_statements(c);
    c->at = begin;
  }
  skip_block(c);
}

static void run_if(composer *c) {
  bool holds = parse_cond(c);
  run_block(c, holds && is_live(c));
  if (!take(c, "else")) return;
  if (!take(c, "if")) {
    run_block(c, !holds && is_live(c));
    return;
  }
  if (!holds) {
    run_if(c);
    return;
  }
  for (;;) {  // the rest of the chain is not looked at
    while (*c->at && *c->at != '{') c->at++;
    skip_block(c);
    if (!take(c, "else")) return;
  }
}

static void run_for(composer *c) {
  size_t len;
  const char *name = take_name(c, &len);
  expect(c, "in");
  term list = parse_expr(c), known = list_known(c, &list);
  if (known.kind != TERM_LIST) compose_stop(c, FST_INFER_UNKNOWN, "the length of a list is not known");
  const char *body = c->at;
  for (uint32_t i = 0; i < known.count && is_live(c); i++) {
    c->at = body;
    name_bind(c, name, len, known.items[i]);
    run_block(c, true);
  }
  c->at = body;
  skip_block(c);
}

// loop %i in STEPS carry %a, %b { ... }: one Loop of the graph; what the names stand for after the body is carried on.
typedef struct { const char *name; size_t len; fst_value_id first, param; } carried;

static term value_term(fst_value_id value) { return (term){.kind = TERM_VALUE, .value = value}; }

static uint32_t parse_carried(composer *c, carried *names) {
  uint32_t count = 0;
  expect(c, "carry");
  do {
    names[count].name = take_name(c, &names[count].len);
    const term *t = name_find(c, names[count].name, names[count].len);
    if (is_live(c)) names[count].first = value_of(c, t);
    FST_ASSERT(++count < COMPOSE_ITEMS, "too many names in a composition");
  } while (take(c, ","));
  return count;
}

// Ends the body. A name that changes its type would need more than one round to be known.
static void loop_end(composer *c, fst_node_id loop, const carried *names, uint32_t count) {
  fst_value_id yields[COMPOSE_ITEMS + 1] = {fst_graph_const_bool(c->graph, true)};
  for (uint32_t k = 0; k < count && is_live(c); k++) {
    yields[k + 1] = value_of(c, name_find(c, names[k].name, names[k].len));
    if (is_live(c) && !fst_type_eq(fst_value_type(c->graph, yields[k + 1]), fst_value_type(c->graph, names[k].param)))
      compose_stop(c, FST_INFER_UNKNOWN, "the form of what a loop carries changes");
  }
  if (is_live(c)) node_insert(c, FST_OP_YIELD, yields, count + 1, 0);
  for (uint32_t k = 0; k < count; k++) {
    fst_value_id result = fst_node_result(fst_node_get(c->graph, loop), k);
    fst_value_set_type(c->graph, result, fst_value_type(c->graph, names[k].first));
    name_bind(c, names[k].name, names[k].len, value_term(result));
  }
}

static void run_loop(composer *c) {
  carried names[COMPOSE_ITEMS];
  size_t len;
  const char *name = take_name(c, &len);
  expect(c, "in");
  term given = parse_expr(c), steps = term_known(c, &given);
  uint32_t count = parse_carried(c, names);
  if (steps.kind != TERM_INT) compose_stop(c, FST_INFER_UNKNOWN, "how often a loop runs is not known");
  const char *text = c->at;
  if (is_live(c)) {
    fst_value_id operands[COMPOSE_ITEMS + 2] = {value_of(c, &steps), fst_graph_const_bool(c->graph, true)};
    for (uint32_t k = 0; k < count; k++) operands[k + 2] = names[k].first;
    fst_node_id loop = node_insert(c, FST_OP_LOOP, operands, count + 2, count);
    fst_block_id outer = c->body;
    c->body = fst_node_add_block(c->graph, loop);
    c->body_symbols = fst_dims_symbol_count(c->in->dims);
    fst_value_id step = fst_block_add_param(c->graph, c->body, fst_type_simple(c->graph->module->types, FST_TY_INT), 0);
    fst_value_get(c->graph, step)->sym = fst_infer_fresh(c->in);
    name_bind(c, name, len, value_term(step));
    for (uint32_t k = 0; k < count; k++) {
      names[k].param = fst_block_add_param(c->graph, c->body, fst_value_type(c->graph, names[k].first), 0);
      name_bind(c, names[k].name, names[k].len, value_term(names[k].param));
    }
    run_block(c, true);
    loop_end(c, loop, names, count);
    c->body = outer;
  }
  c->at = text;
  skip_block(c);
}

static void run_return(composer *c) {
  uint32_t count = fst_node_get(c->graph, c->in->node)->result_count;
  for (uint32_t i = 0; i < count; i++) {
    if (i) expect(c, ",");
    term value = parse_expr(c);
    if (!is_live(c)) return;
    c->results[i] = value_of(c, &value);
  }
  c->done = true;
}

static void run_assignment(composer *c) {
  struct { const char *name; size_t len; } names[COMPOSE_ITEMS];
  uint32_t count = 0;
  do names[count].name = take_name(c, &names[count].len), count++;
  while (take(c, ","));
  expect(c, "=");
  if (count == 1) {
    term value = parse_expr(c);
    if (is_live(c)) name_bind(c, names[0].name, names[0].len, value);
    return;
  }
  fst_node_id node = parse_call(c);
  for (uint32_t i = 0; node.id && i < count; i++)
    name_bind(c, names[i].name, names[i].len, (term){.kind = TERM_VALUE, .value = fst_node_result(fst_node_get(c->graph, node), i)});
}

// A text that is raised. `{expr}` in it is an int, or the sizes of a tensor.
static const char *parse_message(composer *c) {
  skip_space(c);
  const char *raw = parse_string(c).text, *resume = c->at;
  fst_text text = {0};
  while (*raw) {
    if (*raw != '{') {
      fst_text_putc(&text, *raw++);
      continue;
    }
    c->at = raw + 1;
    term value = parse_expr(c), known = term_known(c, &value);
    const fst_type_data *type = value.kind == TERM_VALUE ? fst_value_type_data(c->graph, value.value) : NULL;
    bool is_tensor = type && type->kind == FST_TY_TENSOR && type->rank >= 0;
    fst_text_puts(&text, is_tensor ? fst_infer_shape_text(c->in, type->dims, type->rank) : known.kind == TERM_INT ? fst_infer_dim_text(c->in, known.i) : "?");
    expect(c, "}");
    raw = c->at;
  }
  c->at = resume;
  const char *copy = fst_arena_strdup(c->in->arena, fst_text_cstr(&text));
  fst_text_deinit(&text);
  return copy;
}

static void run_raise(composer *c) { compose_stop(c, FST_INFER_RAISES, parse_message(c)); }

// `require a, b, "text"`: equal sizes; `require a <= b, "text"`. Looked at now if they are known, else when the call is made.
static void run_require(composer *c) {
  term left = parse_expr(c), a = term_known(c, &left);
  bool at_most = take(c, "<=");
  if (!at_most) expect(c, ",");
  term right = parse_expr(c), b = term_known(c, &right);
  expect(c, ",");
  const char *text = parse_message(c);
  if (!is_live(c)) return;
  if (a.kind != TERM_INT || b.kind != TERM_INT) compose_stop(c, FST_INFER_UNKNOWN, "sizes that must be equal are not known");
  else if (!(at_most ? fst_infer_require_at_most(c->in, a.i, b.i, text) : fst_infer_require_equal(c->in, a.i, b.i, text))) compose_stop(c, FST_INFER_RAISES, text);
}

static void run_statements(composer *c) {
  while (is_live(c)) {
    skip_space(c);
    if (!*c->at || *c->at == '}') return;
    if (take(c, "if")) run_if(c);
    else if (take(c, "for")) run_for(c);
    else if (take(c, "loop")) run_loop(c);
    else if (take(c, "return")) run_return(c);
    else if (take(c, "raise")) run_raise(c);
    else if (take(c, "require")) run_require(c);
    else if (take(c, "fail")) compose_stop(c, FST_INFER_UNKNOWN, "this form of the op is not composed");
    else run_assignment(c);
  }
}

static void bind_arguments(composer *c) {
  const fst_node *node = fst_node_get(c->graph, c->in->node);
  const fst_schema *schema = fst_op_schema(node->op);
  for (uint32_t i = 0; i < schema->arg_count; i++) {
    term value = i < node->operand_count ? (term){.kind = TERM_VALUE, .value = fst_node_operand(node, i)} : term_default(c, &schema->args[i]);
    name_bind(c, schema->args[i].name, strlen(schema->args[i].name), value);
  }
}

static void nodes_erase(composer *c) {
  while (c->made.len) fst_node_erase(c->graph, fst_vec_pop(&c->made));
}

static void composer_run(composer *c) {
  const fst_op_info *info = fst_op_get(fst_node_get(c->graph, c->in->node)->op);
  if (!info->compose && info->inplace_of) info = fst_op_get(fst_op_find(info->inplace_of, strlen(info->inplace_of)));
  FST_ASSERT(info->compose, "no composition");
  c->symbols = fst_dims_symbol_count(c->in->dims);
  bind_arguments(c);
  c->start = c->at = info->compose;
  run_statements(c);
  if (c->status == FST_INFER_OK && !c->done) compose_stop(c, FST_INFER_UNKNOWN, "this form of the op is not composed");
  if (c->status != FST_INFER_OK) nodes_erase(c);
}

int fst_compose_build(fst_infer *in, fst_value_id *out_results) {
  composer c = {.in = in, .graph = in->graph, .results = out_results, .builds = true};
  composer_run(&c);
  fst_vec_free(&c.made);
  return c.status;
}

int fst_infer_compose(fst_infer *in) {
  uint32_t count = fst_node_get(in->graph, in->node)->result_count;
  fst_value_id *results = FST_NEW_ARRAY(in->arena, fst_value_id, count + 1);
  composer c = {.in = in, .graph = in->graph, .results = results};
  composer_run(&c);
  for (uint32_t i = 0; c.status == FST_INFER_OK && i < count; i++) {
    const fst_value *value = fst_value_get(in->graph, results[i]);
    in->results[i] = value->type;
    in->result_syms[i] = value->sym;
    if (value->kind == FST_VALUE_CONST) in->result_consts[i] = value->constant;
  }
  nodes_erase(&c);
  fst_vec_free(&c.made);
  return c.status;
}
