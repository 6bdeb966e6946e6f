// Compositions: terms, tokens and expressions (ir/compose.h says what they mean).
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/compose_internal.h"

static term term_of_int(fst_dim i) { return (term){.kind = TERM_INT, .i = i}; }

// A text that does not parse is a bug of the table, not of the user's model.
void text_wrong(const composer *c, const char *what) {
  FST_UNREACHABLE("compose text of %s: expected %s at: %.40s", fst_op_name(fst_node_get(c->graph, c->in->node)->op), what, c->at);
}

bool is_live(const composer *c) { return c->status == FST_INFER_OK && !c->done; }

void compose_stop(composer *c, int status, const char *message) {
  if (c->status != FST_INFER_OK) return;
  c->status = status;
  c->in->message = message;
}

// ---- tokens ----
void skip_space(composer *c) {
  while (isspace((unsigned char)*c->at)) c->at++;
}

static bool is_word_char(char ch) { return isalnum((unsigned char)ch) || ch == '_'; }

bool take(composer *c, const char *token) {
  skip_space(c);
  size_t len = strlen(token);
  if (strncmp(c->at, token, len)) return false;
  if (is_word_char(token[len - 1]) && is_word_char(c->at[len])) return false;
  c->at += len;
  return true;
}

void expect(composer *c, const char *token) {
  if (!take(c, token)) text_wrong(c, token);
}

const char *take_name(composer *c, size_t *out_len) {
  expect(c, "%");
  const char *name = c->at;
  while (is_word_char(*c->at)) c->at++;
  *out_len = (size_t)(c->at - name);
  return name;
}

term *name_find(composer *c, const char *name, size_t len) {
  for (int i = c->name_count; i-- > 0;)
    if (c->names[i].len == len && !memcmp(c->names[i].name, name, len)) return &c->names[i].value;
  return NULL;
}

void name_bind(composer *c, const char *name, size_t len, term value) {
  term *known = name_find(c, name, len);
  if (!known) {
    FST_ASSERT(c->name_count < COMPOSE_NAMES, "too many names in a composition");
    c->names[c->name_count].name = name;
    c->names[c->name_count].len = len;
    known = &c->names[c->name_count++].value;
  }
  *known = value;
}

// ---- from terms to values and back ----
static fst_const const_of(composer *c, const term *t);

static fst_const const_list(composer *c, const term *t) {
  fst_module *m = c->graph->module;
  fst_const *items = FST_NEW_ARRAY(c->in->arena, fst_const, t->count + 1);
  fst_type elem = fst_type_simple(m->types, FST_TY_INT);
  for (uint32_t i = 0; i < t->count; i++) {
    items[i] = const_of(c, &t->items[i]);
    if (!items[i].id) return (fst_const){0};
    if (i == 0) elem = fst_const_get(m, items[i])->type;
  }
  return fst_const_tuple(m, fst_type_list(m->types, elem), items, t->count);
}

// The literal a term is, or none.
static fst_const const_of(composer *c, const term *t) {
  fst_module *m = c->graph->module;
  int64_t i;
  switch (t->kind) {
    case TERM_INT: return fst_dim_is_const(c->in->dims, t->i, &i) ? fst_const_int(m, i) : (fst_const){0};
    case TERM_FLOAT: return fst_const_float(m, t->f);
    case TERM_BOOL: return fst_const_bool(m, t->b);
    case TERM_STR: return fst_const_str(m, t->text, strlen(t->text));
    case TERM_NONE: return fst_const_none(m);
    case TERM_LIST: return const_list(c, t);
    case TERM_VALUE: {
      const fst_value *v = fst_value_get(c->graph, t->value);
      return v->kind == FST_VALUE_CONST && fst_value_const(c->graph, t->value)->kind != FST_CONST_TENSOR ? v->constant : (fst_const){0};
    }
    default: return (fst_const){0};
  }
}

fst_node_id node_insert(composer *c, fst_op op, const fst_value_id *operands, uint32_t count, uint32_t results) {
  fst_loc loc = fst_node_get(c->graph, c->in->node)->loc;
  fst_node_id node = fst_node_create(c->graph, op, operands, count, results, loc);
  if (c->body.id) fst_node_append(c->graph, c->body, node);
  else fst_node_insert_before(c->graph, c->in->node, node);
  fst_vec_push(&c->made, node);
  return node;
}

static fst_value_id list_of(composer *c, const term *t) {
  fst_value_id items[COMPOSE_ITEMS];
  fst_types *types = c->graph->module->types;
  fst_type elem = FST_NO_TYPE;
  for (uint32_t i = 0; i < t->count; i++) {
    items[i] = value_of(c, &t->items[i]);
    if (!is_live(c)) return FST_NO_VALUE;
    fst_type type = fst_type_erase(types, fst_value_type(c->graph, items[i]));
    elem = elem.id ? fst_type_join(types, elem, type) : type;
  }
  fst_node_id node = node_insert(c, FST_OP_LIST_CONSTRUCT, items, t->count, 1);
  fst_value_id list = fst_node_result(fst_node_get(c->graph, node), 0);
  fst_value_set_type(c->graph, list, fst_type_list(types, elem));
  return list;
}

static fst_value_id dim_of(composer *c, fst_dim dim) {
  fst_node_id node = node_insert(c, FST_OP_DIM, NULL, 0, 1);
  fst_value_id value = fst_node_result(fst_node_get(c->graph, node), 0);
  fst_value_set_type(c->graph, value, fst_type_simple(c->graph->module->types, FST_TY_INT));
  fst_value_get(c->graph, value)->sym = dim;
  return value;
}

fst_value_id value_of(composer *c, const term *t) {
  if (t->kind == TERM_VALUE) return t->value;
  fst_const literal = const_of(c, t);
  if (literal.id) return fst_graph_const(c->graph, literal);
  if (t->kind == TERM_LIST) return list_of(c, t);
  if (t->kind == TERM_INT && fst_dim_is_known(t->i)) return dim_of(c, t->i);
  compose_stop(c, FST_INFER_UNKNOWN, "a part of the composition needs a value that is not known");
  return FST_NO_VALUE;
}

static term term_of_const(composer *c, const fst_const_data *data);

static term term_of_items(composer *c, uint32_t count, const fst_const *consts, const fst_value_id *values) {
  term *items = FST_NEW_ARRAY(c->in->arena, term, count + 1);
  for (uint32_t i = 0; i < count; i++) {
    const fst_const_data *item = consts ? fst_const_get(c->graph->module, consts[i]) : NULL;
    if (item && item->kind != FST_CONST_TENSOR) items[i] = term_of_const(c, item);
    else items[i] = (term){.kind = TERM_VALUE, .value = item ? fst_graph_const(c->graph, consts[i]) : values[i]};
  }
  return (term){.kind = TERM_LIST, .count = count, .items = items};
}

static term term_of_const(composer *c, const fst_const_data *data) {
  switch (data->kind) {
    case FST_CONST_INT: return term_of_int(fst_dim_const(c->in->dims, data->i));
    case FST_CONST_FLOAT: return (term){.kind = TERM_FLOAT, .f = data->f};
    case FST_CONST_BOOL: return (term){.kind = TERM_BOOL, .b = data->b};
    case FST_CONST_STR: return (term){.kind = TERM_STR, .text = fst_sym_text(&c->graph->module->strings, data->str)};
    case FST_CONST_NONE: return (term){.kind = TERM_NONE};
    case FST_CONST_TUPLE: return term_of_items(c, data->count, data->items, NULL);
    default: return (term){.kind = TERM_UNKNOWN};
  }
}

// What is known of a value when the template runs. Lists open only when nothing writes them.
term term_known(composer *c, const term *t) {
  if (t->kind != TERM_VALUE) return *t;
  const fst_const_data *data = fst_value_const(c->graph, t->value);
  const fst_value *value = fst_value_get(c->graph, t->value);
  if (data && data->kind != FST_CONST_TENSOR) return term_of_const(c, data);
  if (fst_value_is_none(c->graph, t->value)) return (term){.kind = TERM_NONE};
  if (fst_type_is(c->graph->module->types, value->type, FST_TY_INT) && fst_dim_is_known(value->sym)) return term_of_int(value->sym);
  return (term){.kind = TERM_UNKNOWN};
}

term list_known(composer *c, const term *t) {
  if (t->kind != TERM_VALUE) return *t;
  term known = term_known(c, t);
  const fst_node *list = known.kind == TERM_LIST ? NULL : fst_list_items(c->graph, t->value);
  return list ? term_of_items(c, list->operand_count, NULL, list->operands) : known;
}

// ---- expressions ----
static term parse_number(composer *c) {
  char *int_end, *float_end;
  long long whole = strtoll(c->at, &int_end, 10);
  double real = strtod(c->at, &float_end);
  if (float_end == c->at) text_wrong(c, "an expression");
  bool is_int = float_end == int_end;
  c->at = float_end;
  return is_int ? term_of_int(fst_dim_const(c->in->dims, whole)) : (term){.kind = TERM_FLOAT, .f = real};
}

term parse_string(composer *c) {
  const char *begin = ++c->at;
  while (*c->at && *c->at != '"' && *c->at != '\'') c->at++;
  const char *text = fst_arena_strndup(c->in->arena, begin, (size_t)(c->at - begin));
  c->at++;
  return (term){.kind = TERM_STR, .text = text};
}

static uint32_t parse_items(composer *c, const char *close, term *items) {
  uint32_t count = 0;
  if (take(c, close)) return 0;
  do {
    FST_ASSERT(count < COMPOSE_ITEMS, "too many operands in a composition");
    items[count++] = parse_expr(c);
  } while (take(c, ","));
  expect(c, close);
  return count;
}

static term term_list(composer *c, const term *items, uint32_t count) {
  return (term){.kind = TERM_LIST, .count = count, .items = fst_arena_memdup(c->in->arena, items, sizeof *items * (count + 1))};
}

static term parse_list(composer *c) {
  term items[COMPOSE_ITEMS + 1] = {{0}};
  uint32_t count = parse_items(c, "]", items);
  return term_list(c, items, count);
}

static const fst_type_data *tensor_type(composer *c, const term *t) {
  if (t->kind != TERM_VALUE) return NULL;
  const fst_type_data *type = fst_value_type_data(c->graph, t->value);
  return type && type->kind == FST_TY_TENSOR && type->rank >= 0 ? type : NULL;
}

static term meta_size(composer *c, const term *args) {
  const fst_type_data *type = tensor_type(c, &args[0]);
  term at = term_known(c, &args[1]);
  int64_t d;
  if (!type || at.kind != TERM_INT || !fst_dim_is_const(c->in->dims, at.i, &d)) return (term){0};
  if (d < 0) d += type->rank;
  return d >= 0 && d < type->rank ? term_of_int(type->dims[d]) : (term){0};
}

static term meta_range(composer *c, const term *args) {
  term a = term_known(c, &args[0]), b = term_known(c, &args[1]), items[COMPOSE_ITEMS + 1] = {{0}};
  int64_t low, high;
  if (a.kind != TERM_INT || b.kind != TERM_INT || !fst_dim_is_const(c->in->dims, a.i, &low) || !fst_dim_is_const(c->in->dims, b.i, &high)) return (term){0};
  if (high - low > COMPOSE_ITEMS) return (term){0};
  uint32_t count = 0;
  for (int64_t i = low; i < high; i++) items[count++] = term_of_int(fst_dim_const(c->in->dims, i));
  return term_list(c, items, count);
}

static term meta_item(composer *c, const term *args) {
  term list = list_known(c, &args[0]), at = term_known(c, &args[1]);
  int64_t i;
  if (list.kind != TERM_LIST || at.kind != TERM_INT || !fst_dim_is_const(c->in->dims, at.i, &i)) return (term){0};
  if (i < 0) i += list.count;
  return i >= 0 && i < (int64_t)list.count ? list.items[i] : (term){0};
}

// An int that only the call can tell, as a size of its own name.
static term meta_fresh(composer *c, const term *t) {
  if (t->kind == TERM_VALUE && term_known(c, t).kind == TERM_UNKNOWN) fst_value_get(c->graph, t->value)->sym = fst_infer_fresh(c->in);
  return *t;
}

static double number_of(composer *c, const term *t) {
  int64_t i;
  if (t->kind == TERM_FLOAT) return t->f;
  if (t->kind == TERM_BOOL) return t->b;
  return t->kind == TERM_INT && fst_dim_is_const(c->in->dims, t->i, &i) ? (double)i : NAN;
}

static term meta_function(composer *c, const char *name, size_t len, const term *args) {
#define IS(text) (len == strlen(text) && !memcmp(name, text, len))
  const fst_type_data *type = tensor_type(c, &args[0]);
  if (IS("rank")) return type ? term_of_int(fst_dim_const(c->in->dims, type->rank)) : (term){0};
  if (IS("dtype")) return type && type->dtype != FST_DTYPE_UNKNOWN ? term_of_int(fst_dim_const(c->in->dims, type->dtype)) : (term){0};
  if (IS("size")) return meta_size(c, args);
  if (IS("range")) return meta_range(c, args);
  if (IS("item")) return meta_item(c, args);
  if (IS("fresh")) return meta_fresh(c, &args[0]);
  if (IS("len")) {
    term list = list_known(c, &args[0]);
    return list.kind == TERM_LIST ? term_of_int(fst_dim_const(c->in->dims, list.count)) : (term){0};
  }
  term known = term_known(c, &args[0]), other = term_known(c, &args[1]);
  if (IS("min")) return known.kind == TERM_INT && other.kind == TERM_INT ? term_of_int(fst_dim_min(c->in->dims, known.i, other.i)) : (term){0};
  double number = number_of(c, &known);
  if (isnan(number)) return (term){0};
  if (IS("sqrt")) return (term){.kind = TERM_FLOAT, .f = sqrt(number)};
  if (IS("int")) return term_of_int(fst_dim_const(c->in->dims, (int64_t)number));
  if (IS("float")) return (term){.kind = TERM_FLOAT, .f = number};
#undef IS
  text_wrong(c, "a function of compositions");
  return (term){0};
}

// ---- calls ----
static bool is_list_type(const fst_schema_arg *arg) { return strchr(arg->type, '[') != NULL; }

term term_default(composer *c, const fst_schema_arg *arg) {
  if (!arg->default_text) return (term){.kind = TERM_NONE};
  const char *resume = c->at;
  c->at = arg->default_text;
  term value = parse_expr(c);
  c->at = resume;
  return value;
}

// One int for an int[2] argument stands for both.
static term term_spread(composer *c, const fst_schema_arg *arg, term value) {
  term items[COMPOSE_ITEMS + 1] = {{0}};
  if (!is_list_type(arg) || value.kind != TERM_INT || arg->fixed_size == 0 || arg->fixed_size > COMPOSE_ITEMS) return value;
  for (uint32_t i = 0; i < arg->fixed_size; i++) items[i] = value;
  return term_list(c, items, arg->fixed_size);
}

static bool mentions_from(const fst_dims *dims, fst_dim d, uint32_t first) {
  if (!fst_dim_is_known(d)) return false;
  fst_dim_view v = fst_dim_open(dims, d);
  if (v.kind == FST_DIM_SYMBOL) return v.symbol >= first;
  for (uint32_t i = 0; i < v.count; i++)
    if (mentions_from(dims, v.operands[i], first)) return true;
  return false;
}

// Guards are checked before the composition. What a part asks of a loop's step the text answers for.
static bool is_step_guard(const composer *c, const fst_infer_guard *g) {
  return c->body.id && (mentions_from(c->in->dims, g->a, c->body_symbols) || mentions_from(c->in->dims, g->b, c->body_symbols));
}

// One above the newest symbol.
static uint32_t symbols_in(const fst_dims *dims, fst_dim d) {
  fst_dim_view v = fst_dim_open(dims, d);
  uint32_t newest = v.kind == FST_DIM_SYMBOL ? v.symbol + 1 : 0;
  for (uint32_t i = 0; i < v.count; i++) {
    uint32_t inner = symbols_in(dims, v.operands[i]);
    if (inner > newest) newest = inner;
  }
  return newest;
}

static uint32_t guard_symbols(const composer *c, const fst_infer_guard *guard) {
  uint32_t a = symbols_in(c->in->dims, guard->a), b = symbols_in(c->in->dims, guard->b);
  return a > b ? a : b;
}

static void guard_insert(composer *c, fst_node_id node, const fst_infer_guard *guard) {
  fst_node_id before = fst_node_get(c->graph, node)->prev;
  fst_guard_place(c->graph, node, guard);
  fst_node_id id = before.id ? fst_node_get(c->graph, before)->next : fst_block_get(c->graph, fst_node_get(c->graph, node)->block)->first;
  for (; !fst_node_eq(id, node); id = fst_node_get(c->graph, id)->next) fst_vec_push(&c->made, id);
}

static bool node_infer(composer *c, fst_node_id node) {
  fst_infer part = {0};
  uint32_t symbols = fst_dims_symbol_count(c->in->dims);
  int status = fst_infer_node(c->graph, node, c->in->arena, &part);
  for (size_t i = 0; i < part.guards.len; i++) {
    const fst_infer_guard *guard = &part.guards.data[i];
    if (is_step_guard(c, guard)) continue;
    uint32_t newest = guard_symbols(c, guard);   // of what the part itself brings, its own composition speaks
    if (newest <= c->symbols) fst_vec_push(&c->in->guards, *guard);
    else if (newest <= symbols && c->builds) guard_insert(c, node, guard);
  }
  fst_vec_free(&part.guards);
  if (status != FST_INFER_OK) compose_stop(c, status, part.message);
  return status == FST_INFER_OK;
}

// Numbers have the type that the schema declares; tensors wait for inference.
static void results_declare(composer *c, fst_node_id node, const fst_schema *schema) {
  static const struct { const char *name; fst_type_kind kind; } names[] = {{"int", FST_TY_INT}, {"float", FST_TY_FLOAT}, {"bool", FST_TY_BOOL}};
  for (uint32_t r = 0; r < schema->ret_count; r++)
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (!strcmp(schema->rets[r].type, names[i].name))
        fst_value_set_type(c->graph, fst_node_result(fst_node_get(c->graph, node), r), fst_type_simple(c->graph->module->types, names[i].kind));
}

static fst_node_id call_build(composer *c, fst_op op, term *args, uint32_t count) {
  const fst_schema *schema = fst_op_schema(op);
  fst_value_id operands[COMPOSE_ITEMS];
  FST_ASSERT(count <= schema->arg_count && schema->arg_count <= COMPOSE_ITEMS, "operands of %s in a composition", schema->name);
  for (uint32_t i = 0; i < schema->arg_count && is_live(c); i++) {
    term arg = term_spread(c, &schema->args[i], i < count ? args[i] : term_default(c, &schema->args[i]));
    operands[i] = value_of(c, &arg);
  }
  if (!is_live(c)) return FST_NO_NODE;
  fst_node_id node = node_insert(c, op, operands, schema->arg_count, schema->ret_count);
  results_declare(c, node, schema);
  return node_infer(c, node) ? node : FST_NO_NODE;
}

fst_node_id parse_call(composer *c) {
  skip_space(c);
  const char *name = c->at;
  while (is_word_char(*c->at) || *c->at == ':' || *c->at == '.') c->at++;
  fst_op op = fst_op_find(name, (size_t)(c->at - name));
  if (op == FST_OP_UNKNOWN) text_wrong(c, "an op of the table before");
  term args[COMPOSE_ITEMS + 1] = {{0}};
  expect(c, "(");
  uint32_t count = parse_items(c, ")", args);
  return is_live(c) ? call_build(c, op, args, count) : FST_NO_NODE;
}

static term parse_word(composer *c) {
  const char *word = c->at;
  while (is_word_char(*c->at)) c->at++;
  size_t len = (size_t)(c->at - word);
  if (c->at[0] == ':' && c->at[1] == ':') {
    c->at = word;
    fst_node_id node = parse_call(c);
    return node.id ? (term){.kind = TERM_VALUE, .value = fst_node_result(fst_node_get(c->graph, node), 0)} : (term){0};
  }
  if (len == 4 && !memcmp(word, "None", 4)) return (term){.kind = TERM_NONE};
  if (len == 4 && (!memcmp(word, "true", 4) || !memcmp(word, "True", 4))) return (term){.kind = TERM_BOOL, .b = true};
  if (len == 5 && (!memcmp(word, "false", 5) || !memcmp(word, "False", 5))) return (term){.kind = TERM_BOOL};
  if (len == 3 && !memcmp(word, "inf", 3)) return (term){.kind = TERM_FLOAT, .f = INFINITY};
  if (fst_dtype_from_name(word, len) != FST_DTYPE_UNKNOWN) return term_of_int(fst_dim_const(c->in->dims, fst_dtype_from_name(word, len)));
  term args[COMPOSE_ITEMS + 1] = {{0}};
  expect(c, "(");
  parse_items(c, ")", args);
  return meta_function(c, word, len, args);
}

static term parse_factor(composer *c) {
  skip_space(c);
  if (take(c, "[")) return parse_list(c);
  if (take(c, "(")) {
    term inner = parse_expr(c);
    expect(c, ")");
    return inner;
  }
  if (*c->at == '"' || *c->at == '\'') return parse_string(c);
  if (*c->at == '%') {
    size_t len;
    const char *name = take_name(c, &len);
    term *found = name_find(c, name, len);
    if (!found && is_live(c)) text_wrong(c, "a bound name before");
    return found ? *found : (term){0};
  }
  if (*c->at == '-' && !isdigit((unsigned char)c->at[1])) {
    c->at++;
    term inner = parse_factor(c), known = term_known(c, &inner);
    if (known.kind == TERM_FLOAT) return (term){.kind = TERM_FLOAT, .f = -known.f};
    return known.kind == TERM_INT ? term_of_int(fst_dim_sub(c->in->dims, fst_dim_const(c->in->dims, 0), known.i)) : (term){0};
  }
  return isalpha((unsigned char)*c->at) || *c->at == '_' ? parse_word(c) : parse_number(c);
}

static term lists_join(composer *c, const term *a, const term *b) {
  term items[2 * COMPOSE_ITEMS + 1] = {{0}};
  FST_ASSERT(a->count + b->count <= 2 * COMPOSE_ITEMS, "a list in a composition is too long");
  if (a->count) memcpy(items, a->items, a->count * sizeof *items);
  if (b->count) memcpy(items + a->count, b->items, b->count * sizeof *items);
  return term_list(c, items, a->count + b->count);
}

static term arithmetic(composer *c, char op, const term *left, const term *right) {
  term a = list_known(c, left), b = list_known(c, right);
  if (op == '+' && a.kind == TERM_LIST && b.kind == TERM_LIST) return lists_join(c, &a, &b);
  fst_dims *d = c->in->dims;
  if (a.kind == TERM_INT && b.kind == TERM_INT && op != '/') {
    switch (op) {
      case '+': return term_of_int(fst_dim_add(d, a.i, b.i));
      case '-': return term_of_int(fst_dim_sub(d, a.i, b.i));
      case '*': return term_of_int(fst_dim_mul(d, a.i, b.i));
      default: return term_of_int(fst_dim_floordiv(d, a.i, b.i));
    }
  }
  double x = number_of(c, &a), y = number_of(c, &b);
  if (isnan(x) || isnan(y) || op == 'f') return (term){0};
  return (term){.kind = TERM_FLOAT, .f = op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y};
}

static term parse_product(composer *c) {
  term left = parse_factor(c);
  for (;;) {
    char op = take(c, "//") ? 'f' : take(c, "*") ? '*' : take(c, "/") ? '/' : 0;
    if (!op) return left;
    term right = parse_factor(c);
    left = arithmetic(c, op, &left, &right);
  }
}

term parse_expr(composer *c) {
  term left = parse_product(c);
  for (;;) {
    char op = take(c, "+") ? '+' : take(c, "-") ? '-' : 0;
    if (!op) return left;
    term right = parse_product(c);
    left = arithmetic(c, op, &left, &right);
  }
}

// ---- conditions ----
static bool may_be_negative(const composer *c, fst_dim d) {
  int64_t low, high;
  fst_dim_bounds(c->in->dims, d, &low, &high);
  return low < 0;
}

static bool compare_terms(composer *c, const char *op, const term *left, const term *right) {
  term a = term_known(c, left), b = term_known(c, right);
  bool negated = op[0] == '!';
  if (a.kind == TERM_STR && b.kind == TERM_STR) return !strcmp(a.text, b.text) != negated;
  if (a.kind == TERM_BOOL && b.kind == TERM_BOOL) return (a.b == b.b) != negated;
  if (a.kind == TERM_INT && b.kind == TERM_INT) {
    fst_dims *d = c->in->dims;
    if ((op[0] == '=' || negated) && fst_dim_equal(d, a.i, b.i) < 0 && (may_be_negative(c, a.i) || may_be_negative(c, b.i)))
      compose_stop(c, FST_INFER_UNKNOWN, "a number that comes with the call decides what the op does");
    switch (op[0]) {
      case '=': return fst_dim_equal(d, a.i, b.i) == 1;
      case '!': return fst_dim_equal(d, a.i, b.i) == 0;
      case '<': return op[1] ? fst_dim_less(d, b.i, a.i) == 0 : fst_dim_less(d, a.i, b.i) == 1;
      default: return op[1] ? fst_dim_less(d, a.i, b.i) == 0 : fst_dim_less(d, b.i, a.i) == 1;
    }
  }
  double x = number_of(c, &a), y = number_of(c, &b);
  switch (op[0]) {  // NaN, that is "not known", makes all of them false
    case '=': return x == y;
    case '!': return x < y || x > y;
    case '<': return op[1] ? x <= y : x < y;
    default: return op[1] ? x >= y : x > y;
  }
}

static bool parse_comparison(composer *c) {
  static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">"};
  term left = parse_expr(c);
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    if (!take(c, ops[i])) continue;
    term right = parse_expr(c);
    return compare_terms(c, ops[i], &left, &right);
  }
  term known = term_known(c, &left);
  return known.kind == TERM_BOOL && known.b;
}

static bool parse_predicate(composer *c, bool (*holds)(composer *, const term *)) {
  expect(c, "(");
  term arg = parse_expr(c);
  expect(c, ")");
  return holds(c, &arg);
}
static bool is_none(composer *c, const term *t) { return term_known(c, t).kind == TERM_NONE; }
static bool is_known(composer *c, const term *t) { return list_known(c, t).kind != TERM_UNKNOWN; }
static bool is_floating(composer *c, const term *t) {
  const fst_type_data *type = tensor_type(c, t);
  return type && fst_dtype_is_float(type->dtype);
}

// Are two names of the template one value?
static bool parse_same(composer *c) {
  expect(c, "(");
  term a = parse_expr(c);
  expect(c, ",");
  term b = parse_expr(c);
  expect(c, ")");
  return a.kind == TERM_VALUE && b.kind == TERM_VALUE && fst_value_eq(a.value, b.value);
}

static bool parse_condition(composer *c) {
  if (take(c, "not")) return !parse_condition(c);
  if (take(c, "same")) return parse_same(c);
  if (take(c, "none")) return parse_predicate(c, is_none);
  if (take(c, "known")) return parse_predicate(c, is_known);
  if (take(c, "floating")) return parse_predicate(c, is_floating);
  if (!take(c, "(")) return parse_comparison(c);
  bool inner = parse_cond(c);
  expect(c, ")");
  return inner;
}

static bool parse_conjunction(composer *c) {
  bool all = parse_condition(c);
  while (take(c, "and")) all = parse_condition(c) && all;
  return all;
}

bool parse_cond(composer *c) {
  bool any = parse_conjunction(c);
  while (take(c, "or")) any = parse_conjunction(c) || any;
  return any;
}
