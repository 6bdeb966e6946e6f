#include <string.h>

#include "ir/parse_internal.h"

enum { BLOCK_DEPTH = 1000 };

// ---- values ----------------------------------------------------------------------------------------

// %name: the name's symbol.
static fst_status parse_label(fst_parser *p, fst_sym *out) {
  FST_TRY(fst_scan_expect(&p->at, "%"));
  const char *word = p->at;
  size_t len = fst_scan_word(&p->at, &word);
  if (!len || word[-1] != '%') return FST_BAD("expected a value's name after %%");
  *out = fst_intern_n(&p->m->strings, word, len);
  return NULL;
}

static fst_status define(fst_parser *p, fst_sym label, fst_value_id value) {
  if (fst_map_get(&p->names, label, NULL)) return FST_BAD("%%%s is defined twice", fst_sym_text(&p->m->strings, label));
  fst_map_set(&p->names, label, value.id);
  fst_vec_push(&p->scope, label);
  return NULL;
}

static void leave_scope(fst_parser *p, size_t mark) {
  while (p->scope.len > mark) fst_map_remove(&p->names, fst_vec_pop(&p->scope));
}

static fst_status parse_value(fst_parser *p, fst_value_id *out) {
  fst_scan_blanks(&p->at);
  if (*p->at != '%') {
    fst_const c;
    FST_TRY(fst_parse_literal(p, &c));
    *out = fst_graph_const(p->g, c);
    return NULL;
  }
  const char *start = p->at;
  fst_sym label;
  uint64_t value;
  FST_TRY(parse_label(p, &label));
  if (!fst_map_get(&p->names, label, &value)) {
    p->at = start;
    return FST_BAD("%%%s is not defined here", fst_sym_text(&p->m->strings, label));
  }
  *out = (fst_value_id){(uint32_t)value};
  return NULL;
}

// `: T` or `: T(expression)`
static fst_status parse_value_type(fst_parser *p, fst_type *out, fst_dim *out_sym) {
  FST_TRY(fst_scan_expect(&p->at, ":"));
  FST_TRY(fst_parse_type(p, out));
  *out_sym = FST_DIM_UNKNOWN;
  if (*p->at != '(') return NULL;
  p->at++;
  FST_TRY(fst_dim_parse(p->g->dims, &p->at, out_sym));
  return fst_scan_expect(&p->at, ")");
}

// A parameter: its name is kept when it is one.
static fst_status parse_param(fst_parser *p, fst_block_id block) {
  fst_sym label;
  fst_type type;
  fst_dim sym;
  FST_TRY(parse_label(p, &label));
  FST_TRY(parse_value_type(p, &type, &sym));
  char first = fst_sym_text(&p->m->strings, label)[0];
  fst_value_id value = fst_block_add_param(p->g, block, type, first >= '0' && first <= '9' ? 0 : label);
  fst_value_get(p->g, value)->sym = sym;
  return define(p, label, value);
}

// ---- nodes -----------------------------------------------------------------------------------------

typedef FST_VEC(fst_value_id) value_vec;
typedef struct {
  fst_sym label;
  fst_type type;
  fst_dim sym;
} result_def;
typedef FST_VEC(result_def) result_vec;

typedef struct {
  fst_op op;
  fst_sym name;
  fst_type type;
  int64_t number;
  fst_loc loc;
  value_vec operands;
  result_vec results;
} node_text;

static void node_text_deinit(node_text *n) {
  fst_vec_free(&n->operands);
  fst_vec_free(&n->results);
}

static fst_status parse_results(fst_parser *p, node_text *n) {
  do {
    result_def r;
    FST_TRY(parse_label(p, &r.label));
    FST_TRY(parse_value_type(p, &r.type, &r.sym));
    fst_vec_push(&n->results, r);
  } while (fst_scan_char(&p->at, ','));
  return fst_scan_expect(&p->at, "=");
}

// op["schema"]: a row after all when the table knows the name.
static fst_status parse_schema_op(fst_parser *p, node_text *n) {
  FST_TRY(fst_scan_expect(&p->at, "["));
  FST_TRY(fst_parse_sym(p, &n->name));
  fst_arena scratch;
  fst_arena_init(&scratch);
  fst_schema schema;
  fst_status status = fst_schema_parse(&scratch, fst_sym_text(&p->m->strings, n->name), &schema);
  if (!status) n->op = fst_op_find(schema.name, strlen(schema.name));
  fst_arena_deinit(&scratch);
  if (n->op != FST_OP_UNKNOWN) n->name = 0;
  return status ? status : fst_scan_expect(&p->at, "]");
}

static fst_status parse_op(fst_parser *p, node_text *n) {
  fst_scan_blanks(&p->at);
  const char *start = p->at;
  while ((*p->at >= 'a' && *p->at <= 'z') || (*p->at >= 'A' && *p->at <= 'Z') || (*p->at >= '0' && *p->at <= '9') || (*p->at && strchr("_.:", *p->at))) p->at++;
  size_t len = (size_t)(p->at - start);
  if (!len) return FST_BAD("expected an op");
  if (len == 2 && !memcmp(start, "op", 2)) return parse_schema_op(p, n);
  n->op = fst_op_find(start, len);
  if (n->op != FST_OP_UNKNOWN) return NULL;
  p->at = start;
  return FST_BAD("'%.*s' is no op we know; one without a row is written op[\"its schema\"]", (int)len, start);
}

static fst_status parse_attributes(fst_parser *p, node_text *n) {
  if (!fst_scan_char(&p->at, '[')) return NULL;
  do {
    if (fst_scan_is_word(&p->at, "name")) {
      FST_TRY(fst_scan_expect(&p->at, "="));
      if (n->op == FST_OP_UNKNOWN) return FST_BAD("an op without a row has no name attribute");
      FST_TRY(fst_parse_sym(p, &n->name));
    } else if (fst_scan_is_word(&p->at, "type")) {
      FST_TRY(fst_scan_expect(&p->at, "="));
      FST_TRY(fst_parse_type(p, &n->type));
    } else if (fst_scan_is_word(&p->at, "int")) {
      FST_TRY(fst_scan_expect(&p->at, "="));
      FST_TRY(fst_parse_i64(p, &n->number));
    } else {
      return FST_BAD("expected name=, type= or int=");
    }
  } while (fst_scan_char(&p->at, ','));
  return fst_scan_expect(&p->at, "]");
}

static fst_status parse_operands(fst_parser *p, value_vec *operands) {
  do {
    fst_value_id v = FST_NO_VALUE;
    FST_TRY(parse_value(p, &v));
    fst_vec_push(operands, v);
  } while (fst_scan_char(&p->at, ','));
  return NULL;
}

static fst_status parse_loc_tail(fst_parser *p, uint32_t depth, fst_loc *out) {
  uint32_t file, line;
  if (depth > FST_SCAN_DEPTH) return FST_BAD("a location with too many callers");
  FST_TRY(fst_parse_u32(p, (uint32_t)p->m->files.len, "file", &file));
  FST_TRY(fst_scan_expect(&p->at, ":"));
  FST_TRY(fst_parse_u32(p, UINT32_MAX, "line", &line));
  fst_loc caller = FST_NO_LOC;
  if (*p->at == '<') {
    p->at++;
    FST_TRY(parse_loc_tail(p, depth + 1, &caller));
  }
  *out = fst_loc_make(p->m, file, line, caller);
  return NULL;
}

static fst_status parse_loc(fst_parser *p, fst_loc *out) { return fst_scan_char(&p->at, '@') ? parse_loc_tail(p, 0, out) : NULL; }

// Operands that are left out at the end have their schema's defaults.
static void fill_defaults(fst_parser *p, node_text *n) {
  if (n->op == FST_OP_UNKNOWN) return;
  const fst_schema *s = fst_op_schema(n->op);
  if (s->is_vararg) return;
  for (uint32_t i = (uint32_t)n->operands.len; i < s->arg_count; i++) {
    fst_const c;
    if (!fst_schema_default(p->m, &s->args[i], &c)) return;
    fst_vec_push(&n->operands, fst_graph_const(p->g, c));
  }
}

static fst_status parse_block(fst_parser *p, fst_block_id block);

static fst_status parse_blocks(fst_parser *p, fst_node_id node) {
  if (!fst_scan_char(&p->at, '{')) return NULL;
  fst_loc *loc = &fst_node_get(p->g, node)->loc;
  FST_TRY(parse_loc(p, loc));
  do {
    if (p->block_depth >= BLOCK_DEPTH) return FST_BAD("blocks nested too deeply");
    p->block_depth++;
    size_t mark = p->scope.len;
    FST_TRY(parse_block(p, fst_node_add_block(p->g, node)));
    leave_scope(p, mark);
    p->block_depth--;
  } while (fst_scan_char(&p->at, '{'));
  return NULL;
}

static fst_status place_node(fst_parser *p, fst_block_id block, node_text *t) {
  fst_node_id id = fst_node_create(p->g, t->op, t->operands.data, (uint32_t)t->operands.len, 0, t->loc);
  fst_node *n = fst_node_get(p->g, id);
  n->name = t->name;
  n->attr_type = t->type;
  n->attr_int = t->number;
  fst_node_append(p->g, block, id);
  FST_TRY(parse_blocks(p, id));
  for (size_t i = 0; i < t->results.len; i++) {
    result_def r = t->results.data[i];
    fst_value_id v = fst_node_add_result(p->g, id, r.type);
    fst_value_get(p->g, v)->sym = r.sym;
    FST_TRY(define(p, r.label, v));
  }
  return NULL;
}

static fst_status parse_node_text(fst_parser *p, node_text *n) {
  fst_scan_blanks(&p->at);
  if (*p->at == '%') FST_TRY(parse_results(p, n));
  FST_TRY(parse_op(p, n));
  FST_TRY(parse_attributes(p, n));
  FST_TRY(fst_scan_expect(&p->at, "("));
  if (!fst_scan_char(&p->at, ')')) {
    FST_TRY(parse_operands(p, &n->operands));
    FST_TRY(fst_scan_expect(&p->at, ")"));
  }
  FST_TRY(parse_loc(p, &n->loc));
  fill_defaults(p, n);
  return NULL;
}

static fst_status parse_node(fst_parser *p, fst_block_id block) {
  node_text n = {0};
  fst_status status = parse_node_text(p, &n);
  if (!status) status = place_node(p, block, &n);
  node_text_deinit(&n);
  return status;
}

static fst_status parse_terminator(fst_parser *p, fst_block_id block, fst_op op) {
  value_vec operands = {0};
  fst_scan_blanks(&p->at);
  fst_status status = *p->at == '}' ? NULL : parse_operands(p, &operands);
  if (!status) fst_node_append(p->g, block, fst_node_create(p->g, op, operands.data, (uint32_t)operands.len, 0, FST_NO_LOC));
  fst_vec_free(&operands);
  return status;
}

// After '{', up to and with '}'.
static fst_status parse_block(fst_parser *p, fst_block_id block) {
  fst_scan_blanks(&p->at);
  if (*p->at == '^') {
    p->at++;
    FST_TRY(fst_scan_expect(&p->at, "("));
    do FST_TRY(parse_param(p, block));
    while (fst_scan_char(&p->at, ','));
    FST_TRY(fst_scan_expect(&p->at, ")"));
  }
  for (;;) {
    fst_scan_blanks(&p->at);
    bool ends = true;
    if (fst_scan_is_word(&p->at, "yield")) FST_TRY(parse_terminator(p, block, FST_OP_YIELD));
    else if (fst_scan_is_word(&p->at, "return")) FST_TRY(parse_terminator(p, block, FST_OP_RETURN));
    else ends = false;
    if (ends) return fst_scan_expect(&p->at, "}");
    if (!*p->at || *p->at == '}') return FST_BAD("a block ends in yield or return");
    FST_TRY(parse_node(p, block));
  }
}

// ---- functions -------------------------------------------------------------------------------------

static fst_status parse_stage(fst_parser *p) {
  const char *word;
  size_t len = fst_scan_word(&p->at, &word);
  char name[16] = {0};
  if (len < sizeof name) memcpy(name, word, len);
  if (fst_stage_from_name(name, &p->g->stage)) return NULL;
  p->at = word;
  return FST_BAD("expected a stage: imported, inlined, typed, functional, fused or planned");
}

static fst_status parse_signature(fst_parser *p) {
  fst_graph *g = p->g;
  FST_TRY(fst_scan_expect(&p->at, "("));
  while (!fst_scan_char(&p->at, ')')) {
    FST_TRY(parse_param(p, g->entry));
    if (fst_scan_char(&p->at, '=')) {
      fst_value_id param = fst_vec_last(&fst_block_get(g, g->entry)->params);
      FST_TRY(fst_parse_literal_of(p, fst_value_type(g, param), &fst_vec_last(&g->defaults)));
    }
    fst_scan_blanks(&p->at);
    if (*p->at != ')') FST_TRY(fst_scan_expect(&p->at, ","));
  }
  FST_TRY(fst_scan_expect(&p->at, "->"));
  FST_TRY(fst_scan_expect(&p->at, "("));
  while (!fst_scan_char(&p->at, ')')) {
    fst_type type;
    FST_TRY(fst_parse_type(p, &type));
    fst_vec_push(&g->result_types, type);
    fst_scan_blanks(&p->at);
    if (*p->at != ')') FST_TRY(fst_scan_expect(&p->at, ","));
  }
  return fst_scan_expect(&p->at, "{");
}

static fst_status parse_body(fst_parser *p) {
  FST_TRY(parse_stage(p));
  FST_TRY(parse_signature(p));
  return parse_block(p, p->g->entry);
}

fst_status fst_parse_function(fst_parser *p) {
  fst_sym name;
  FST_TRY(fst_parse_sym(p, &name));
  if (fst_module_find_function(p->m, name)) return FST_BAD("function \"%s\" is defined twice", fst_sym_text(&p->m->strings, name));
  fst_dims *outside = p->dims;
  p->g = fst_graph_create(p->m, name);
  p->dims = p->g->dims;
  p->depth = p->block_depth = 0;
  fst_module_add_function(p->m, p->g);   // the module owns it, whatever comes
  fst_status status = parse_body(p);
  leave_scope(p, 0);
  p->dims = outside;
  p->g = NULL;
  return status;
}
