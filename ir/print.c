// Graphs and modules as text (docs/ir.md). One walk numbers the values, another writes. The same writer,
// with value names, locations and function names left out, is what hashing reads: so graphs that print
// alike hash alike, and nothing that prints is forgotten by the hash.
#include <ctype.h>
#include <string.h>

#include "ir/memory_plan.h"
#include "ir/print_internal.h"

typedef struct {
  const fst_module *m;
  const fst_graph *g;
  fst_text *out;
  bool canonical;     // for hashing
  fst_map numbers;    // value id -> number
  fst_map name_uses;  // name -> parameters that have it
  fst_map labels;     // value id -> its name, when it has one of its own
} printer;

static const char *const stage_names[] = {
#define X(id, name) [FST_STAGE_##id] = name,
    FST_STAGES(X)
#undef X
};

const char *fst_stage_name(fst_stage stage) { return stage_names[stage]; }

bool fst_stage_from_name(const char *name, fst_stage *out) {
  for (size_t i = 0; i < sizeof stage_names / sizeof *stage_names; i++) {
    if (strcmp(name, stage_names[i])) continue;
    *out = (fst_stage)i;
    return true;
  }
  return false;
}

static void put_quoted(printer *p, fst_sym sym) { fst_text_quote(p->out, fst_sym_text(&p->m->strings, sym), fst_sym_len(&p->m->strings, sym)); }
static void put_type(printer *p, fst_type type) { fst_type_print(p->m->types, p->g ? p->g->dims : NULL, type, p->out); }

// ---- literals --------------------------------------------------------------------------------------

static void put_const(printer *p, fst_const c);

static void put_items(printer *p, const fst_const *items, uint32_t count, const char *brackets) {
  fst_text_putc(p->out, brackets[0]);
  for (uint32_t i = 0; i < count; i++) {
    if (i) fst_text_puts(p->out, ", ");
    put_const(p, items[i]);
  }
  fst_text_putc(p->out, brackets[1]);
}

static bool all_of_kind(const fst_module *m, const fst_const *items, uint32_t count, fst_const_kind kind) {
  for (uint32_t i = 0; i < count; i++)
    if (fst_const_get(m, items[i])->kind != kind) return false;
  return true;
}

// Is the type the one its items give, so that the literal needs no type in front?
static bool is_plain_tuple(const fst_module *m, const fst_const_data *c) {
  const fst_type_data *t = fst_type_get(m->types, c->type);
  if (t->fields || t->count != c->count) return false;
  for (uint32_t i = 0; i < c->count; i++)
    if (!fst_type_eq(t->items[i], fst_const_get(m, c->items[i])->type)) return false;
  return true;
}

static void put_sequence(printer *p, const fst_const_data *c) {
  const fst_type_data *t = fst_type_get(p->m->types, c->type);
  if (t->kind != FST_TY_LIST) {
    if (!is_plain_tuple(p->m, c)) put_type(p, c->type);
    put_items(p, c->items, c->count, "()");
    return;
  }
  bool plain = c->count && fst_type_is(p->m->types, t->elem, FST_TY_INT) && all_of_kind(p->m, c->items, c->count, FST_CONST_INT);
  if (!plain) put_type(p, t->elem);
  put_items(p, c->items, c->count, "[]");
}

static void put_const(printer *p, fst_const id) {
  const fst_const_data *c = fst_const_get(p->m, id);
  switch (c->kind) {
    case FST_CONST_NONE: fst_text_puts(p->out, "None"); return;
    case FST_CONST_BOOL: fst_text_puts(p->out, c->b ? "true" : "false"); return;
    case FST_CONST_INT: fst_text_printf(p->out, "%lld", (long long)c->i); return;
    case FST_CONST_FLOAT: fst_text_double(p->out, c->f); return;
    case FST_CONST_COMPLEX:
      fst_text_puts(p->out, "complex(");
      fst_text_double(p->out, c->c.re);
      fst_text_puts(p->out, ", ");
      fst_text_double(p->out, c->c.im);
      fst_text_putc(p->out, ')');
      return;
    case FST_CONST_STR: put_quoted(p, c->str); return;
    case FST_CONST_DEVICE: case FST_CONST_ENUM:
      fst_text_puts(p->out, c->kind == FST_CONST_DEVICE ? "device(" : "enum(");
      put_quoted(p, c->str);
      if (c->kind == FST_CONST_ENUM) {
        fst_text_puts(p->out, ", ");
        put_quoted(p, c->member);
      }
      fst_text_putc(p->out, ')');
      return;
    case FST_CONST_TENSOR: fst_text_printf(p->out, "tensor %u", c->index); return;
    case FST_CONST_OBJECT: fst_text_printf(p->out, "object %u", c->index); return;
    case FST_CONST_LIST: fst_text_printf(p->out, "list %u", c->index); return;
    case FST_CONST_DICT: fst_text_printf(p->out, "dict %u", c->index); return;
    case FST_CONST_TUPLE: put_sequence(p, c); return;
    case FST_CONST_UNINIT:
      fst_text_puts(p->out, "uninit");
      if (fst_type_is(p->m->types, c->type, FST_TY_UNINIT)) return;
      fst_text_putc(p->out, '(');
      put_type(p, c->type);
      fst_text_putc(p->out, ')');
      return;
  }
}

// ---- numbering -------------------------------------------------------------------------------------

static bool is_label(const char *name) {
  if (!isalpha((unsigned char)*name) && *name != '_') return false;
  for (; *name; name++)
    if (!isalnum((unsigned char)*name) && *name != '_' && *name != '.') return false;
  return true;
}

static void count_names(printer *p, fst_block_id block) {
  const fst_block *b = fst_block_get(p->g, block);
  for (size_t i = 0; i < b->params.len; i++) {
    uint64_t uses = 0;
    fst_sym name = fst_value_get(p->g, b->params.data[i])->name;
    fst_map_get(&p->name_uses, name, &uses);
    fst_map_set(&p->name_uses, name, uses + 1);
  }
  for (fst_node_id n = b->first; n.id; n = fst_node_get(p->g, n)->next)
    for (uint32_t i = 0; i < fst_node_get(p->g, n)->block_count; i++) count_names(p, fst_node_get(p->g, n)->blocks[i]);
}

static void number_value(printer *p, fst_value_id value) {
  const fst_value *v = fst_value_get(p->g, value);
  uint64_t uses = 0;
  bool named = !p->canonical && v->kind == FST_VALUE_PARAM && v->name && is_label(fst_sym_text(&p->m->strings, v->name)) &&
               fst_map_get(&p->name_uses, v->name, &uses) && uses == 1;
  if (named) fst_map_set(&p->labels, value.id, v->name);
  else fst_map_set(&p->numbers, value.id, p->numbers.len);
}

static void number_block(printer *p, fst_block_id block) {
  const fst_block *b = fst_block_get(p->g, block);
  for (size_t i = 0; i < b->params.len; i++) number_value(p, b->params.data[i]);
  for (fst_node_id id = b->first; id.id;) {
    const fst_node *n = fst_node_get(p->g, id);
    for (uint32_t i = 0; i < n->result_count; i++) number_value(p, n->results[i]);
    for (uint32_t i = 0; i < n->block_count; i++) number_block(p, n->blocks[i]);
    id = n->next;
  }
}

// ---- nodes -----------------------------------------------------------------------------------------

static void put_value(printer *p, fst_value_id value) {
  const fst_value *v = fst_value_get(p->g, value);
  uint64_t found;
  if (v->kind == FST_VALUE_CONST) put_const(p, v->constant);
  else if (fst_map_get(&p->labels, value.id, &found)) fst_text_printf(p->out, "%%%s", fst_sym_text(&p->m->strings, (fst_sym)found));
  else if (fst_map_get(&p->numbers, value.id, &found)) fst_text_printf(p->out, "%%%llu", (unsigned long long)found);
  else fst_text_printf(p->out, "%%<value %u, defined nowhere>", value.id);   // only in a graph that does not verify
}

static void put_definition(printer *p, fst_value_id value) {
  const fst_value *v = fst_value_get(p->g, value);
  put_value(p, value);
  fst_text_puts(p->out, " : ");
  put_type(p, v->type);
  if (!fst_dim_is_known(v->sym)) return;
  fst_text_putc(p->out, '(');
  fst_dim_print(p->g->dims, v->sym, p->out);
  fst_text_putc(p->out, ')');
}

static void put_values(printer *p, const fst_value_id *values, size_t count, void (*put)(printer *, fst_value_id)) {
  for (size_t i = 0; i < count; i++) {
    if (i) fst_text_puts(p->out, ", ");
    put(p, values[i]);
  }
}

static void put_loc(printer *p, fst_loc loc) {
  if (p->canonical || !loc.id) return;
  fst_text_puts(p->out, "  @");
  for (bool first = true; loc.id; first = false) {
    const fst_loc_info *l = &p->m->locs.data[loc.id];
    fst_text_printf(p->out, first ? "%u:%u" : "<%u:%u", l->file, l->line);
    loc = l->caller;
  }
}

static void put_attributes(printer *p, const fst_node *n) {
  bool name = n->name && n->op != FST_OP_UNKNOWN, type = n->attr_type.id != 0;
  bool number = n->attr_int || n->op == FST_OP_STATE_GET || n->op == FST_OP_STATE_SET;
  if (!name && !type && !number) return;
  const char *separator = "[";
  if (name) {
    fst_text_puts(p->out, "[name=");
    put_quoted(p, n->name);
    separator = ", ";
  }
  if (type) {
    fst_text_printf(p->out, "%stype=", separator);
    put_type(p, n->attr_type);
    separator = ", ";
  }
  if (number) fst_text_printf(p->out, "%sint=%lld", separator, (long long)n->attr_int);
  fst_text_putc(p->out, ']');
}

// ---- places: comments, since parsed text is planned anew ----

static void put_slot(printer *p, uint32_t slot) {
  const fst_arena_slot *s = &fst_graph_plan(p->g)->slots[slot];
  int64_t bytes;
  fst_text_puts(p->out, "arena ");
  if (fst_dim_is_const(p->g->dims, s->bytes, &bytes)) fst_text_printf(p->out, "%lld..%lld", (long long)s->offset, (long long)(s->offset + bytes));
  else fst_dim_print(p->g->dims, s->bytes, p->out);
}

static void put_carried(printer *p, const fst_carried *carried) {
  if (carried->kind == FST_CARRIED_TURNS_HEAP) {
    fst_text_puts(p->out, "storages in turn");
    return;
  }
  put_slot(p, carried->slot);
  if (carried->kind == FST_CARRIED_MOVED) return;
  fst_text_puts(p->out, " and ");
  put_slot(p, carried->other);
  fst_text_puts(p->out, " in turn");
}

static void put_place(printer *p, fst_value_id value) {
  static const char *const kinds[] = {[FST_PLACE_NONE] = "none", [FST_PLACE_SCRATCH] = "scratch", [FST_PLACE_HEAP] = "storage", [FST_PLACE_TURN] = "in turn"};
  const fst_plan *plan = fst_graph_plan(p->g);
  if (value.id >= plan->value_count) fst_text_puts(p->out, kinds[FST_PLACE_NONE]);
  else if (plan->places[value.id].kind == FST_PLACE_ARENA) put_slot(p, plan->places[value.id].slot);
  else if (plan->carried[value.id].kind) put_carried(p, &plan->carried[value.id]);
  else fst_text_puts(p->out, kinds[plan->places[value.id].kind]);
}

static void put_places(printer *p, const fst_value_id *values, size_t count) {
  if (p->canonical || !p->g->plan || !count) return;
  fst_text_puts(p->out, "  # ");
  put_values(p, values, count, put_place);
}

static void put_block(printer *p, fst_block_id block, int indent);
static void put_indent(printer *p, int indent) { fst_text_printf(p->out, "%*s", indent, ""); }

static void put_terminator(printer *p, const fst_node *n) {
  fst_text_puts(p->out, n->op == FST_OP_YIELD ? "yield" : "return");
  if (n->operand_count) fst_text_putc(p->out, ' ');
  put_values(p, n->operands, n->operand_count, put_value);
  fst_text_putc(p->out, '\n');
}

static void put_node(printer *p, fst_node_id id, int indent) {
  const fst_node *n = fst_node_get(p->g, id);
  put_indent(p, indent);
  if (n->op == FST_OP_YIELD || n->op == FST_OP_RETURN) {
    put_terminator(p, n);
    return;
  }
  put_values(p, n->results, n->result_count, put_definition);
  if (n->result_count) fst_text_puts(p->out, " = ");
  if (n->op == FST_OP_UNKNOWN) {
    fst_text_puts(p->out, "op[");
    put_quoted(p, n->name);
    fst_text_putc(p->out, ']');
  } else {
    fst_text_puts(p->out, fst_op_name(n->op));
  }
  put_attributes(p, n);
  fst_text_putc(p->out, '(');
  put_values(p, n->operands, n->operand_count, put_value);
  fst_text_putc(p->out, ')');
  if (n->block_count) {   // at the end of the line that opens the block
    fst_text_puts(p->out, " {");
    put_loc(p, n->loc);
  }
  for (uint32_t i = 0; i < n->block_count; i++) {
    if (i) fst_text_puts(p->out, " {");
    fst_text_putc(p->out, '\n');
    put_block(p, n->blocks[i], indent + 2);
    put_indent(p, indent);
    fst_text_putc(p->out, '}');
  }
  if (n->op == FST_OP_GROUP) put_places(p, n->results, n->result_count);
  if (!n->block_count) put_loc(p, n->loc);
  fst_text_putc(p->out, '\n');
}

static void put_block(printer *p, fst_block_id block, int indent) {
  const fst_block *b = fst_block_get(p->g, block);
  if (b->params.len && !fst_block_eq(block, p->g->entry)) {
    put_indent(p, indent);
    fst_text_puts(p->out, "^(");
    put_values(p, b->params.data, b->params.len, put_definition);
    fst_text_putc(p->out, ')');
    put_places(p, b->params.data, b->params.len);
    fst_text_putc(p->out, '\n');
  }
  for (fst_node_id n = b->first; n.id; n = fst_node_get(p->g, n)->next) put_node(p, n, indent);
}

static void put_signature(printer *p) {
  const fst_graph *g = p->g;
  const fst_block *entry = fst_block_get(g, g->entry);
  fst_text_putc(p->out, '(');
  for (size_t i = 0; i < entry->params.len; i++) {
    if (i) fst_text_puts(p->out, ", ");
    put_definition(p, entry->params.data[i]);
    if (i >= g->defaults.len || !g->defaults.data[i].id) continue;
    fst_text_puts(p->out, " = ");
    put_const(p, g->defaults.data[i]);
  }
  fst_text_puts(p->out, ") -> (");
  for (size_t i = 0; i < g->result_types.len; i++) {
    if (i) fst_text_puts(p->out, ", ");
    put_type(p, g->result_types.data[i]);
  }
  fst_text_putc(p->out, ')');
}

static void put_function(printer *p, const fst_graph *g) {
  p->g = g;
  count_names(p, g->entry);
  number_block(p, g->entry);
  fst_text_puts(p->out, "function ");
  if (!p->canonical) {
    put_quoted(p, g->name);
    fst_text_putc(p->out, ' ');
  }
  fst_text_printf(p->out, "%s ", fst_stage_name(g->stage));
  put_signature(p);
  fst_text_puts(p->out, " {");
  if (g->plan && !p->canonical) fst_text_printf(p->out, "  # arena of %lld bytes, %lld in use at once", (long long)fst_graph_plan(g)->fixed_bytes, (long long)fst_graph_plan(g)->lower_bound);
  fst_text_putc(p->out, '\n');
  put_block(p, g->entry, 2);
  fst_text_puts(p->out, "}\n");
  fst_map_deinit(&p->numbers);
  fst_map_deinit(&p->name_uses);
  fst_map_deinit(&p->labels);
  p->g = NULL;
}

// ---- records ---------------------------------------------------------------------------------------

static void put_class(printer *p, const fst_class *c) {
  static const char *const kinds[] = {[FST_CLASS_MODULE] = "module", [FST_CLASS_PLAIN] = "plain", [FST_CLASS_ENUM] = "enum", [FST_CLASS_INTERFACE] = "interface"};
  fst_text_puts(p->out, "class ");
  put_quoted(p, c->name);
  fst_text_printf(p->out, " %s", kinds[c->kind]);
  if (c->kind == FST_CLASS_ENUM) {
    fst_text_putc(p->out, ' ');
    put_type(p, c->enum_type);
  }
  fst_text_puts(p->out, " {\n");
  for (uint32_t i = 0; i < c->attr_count; i++) {
    fst_text_puts(p->out, "  attr ");
    put_quoted(p, c->attr_names[i]);
    fst_text_puts(p->out, " : ");
    put_type(p, c->attr_types[i]);
    fst_text_putc(p->out, '\n');
  }
  for (uint32_t i = 0; i < c->method_count; i++) {
    fst_text_puts(p->out, "  method ");
    put_quoted(p, c->method_names[i]);
    fst_text_puts(p->out, " = ");
    put_quoted(p, c->method_functions[i]);
    fst_text_putc(p->out, '\n');
  }
  for (uint32_t i = 0; i < c->member_count; i++) {
    fst_text_puts(p->out, "  member ");
    put_quoted(p, c->member_names[i]);
    fst_text_puts(p->out, " = ");
    put_const(p, c->member_values[i]);
    fst_text_putc(p->out, '\n');
  }
  fst_text_puts(p->out, "}\n");
}

static void put_storage(printer *p, uint32_t index) {
  const fst_storage_info *s = &p->m->storages.data[index];
  fst_text_printf(p->out, "storage %u bytes %llu ", index, (unsigned long long)s->bytes);
  if (s->where != FST_BYTES_MEMORY) {
    fst_text_printf(p->out, "%s %llu\n", s->where == FST_BYTES_ARCHIVE ? "archive" : "side", (unsigned long long)s->offset);
    return;
  }
  if (!s->data || s->bytes > FST_PRINT_HEX_BYTES) {
    fst_text_puts(p->out, "memory\n");
    return;
  }
  fst_text_puts(p->out, "hex ");
  for (uint64_t i = 0; i < s->bytes; i++) fst_text_printf(p->out, "%02x", ((const unsigned char *)s->data)[i]);
  fst_text_putc(p->out, '\n');
}

static void put_tensor(printer *p, uint32_t index) {
  const fst_tensor_info *t = &p->m->tensors.data[index];
  fst_text_printf(p->out, "tensor %u ", index);
  put_type(p, t->type);
  fst_text_printf(p->out, " storage %u offset %lld%s\n", t->storage, (long long)t->offset, t->requires_grad ? " grad" : "");
}

static void put_list(printer *p, uint32_t index) {
  const fst_list_info *l = &p->m->lists.data[index];
  fst_text_printf(p->out, "list %u ", index);
  put_type(p, l->type);
  fst_text_puts(p->out, " = ");
  put_items(p, l->items, l->count, "[]");
  fst_text_putc(p->out, '\n');
}

static void put_dict(printer *p, uint32_t index) {
  const fst_dict_info *d = &p->m->dicts.data[index];
  fst_text_printf(p->out, "dict %u ", index);
  put_type(p, d->type);
  fst_text_puts(p->out, " = {");
  for (uint32_t i = 0; i < d->count; i++) {
    if (i) fst_text_puts(p->out, ", ");
    put_const(p, d->keys[i]);
    fst_text_puts(p->out, ": ");
    put_const(p, d->values[i]);
  }
  fst_text_puts(p->out, "}\n");
}

static void put_object(printer *p, uint32_t index) {
  const fst_object_info *o = &p->m->objects.data[index];
  const fst_class *c = &p->m->classes.data[o->cls.id];
  fst_text_printf(p->out, "object %u ", index);
  put_quoted(p, c->name);
  fst_text_puts(p->out, " {\n");
  for (uint32_t i = 0; i < c->attr_count; i++) {
    if (!o->attrs[i].id) continue;
    fst_text_puts(p->out, "  ");
    put_quoted(p, c->attr_names[i]);
    fst_text_puts(p->out, " = ");
    put_const(p, o->attrs[i]);
    fst_text_putc(p->out, '\n');
  }
  fst_text_puts(p->out, "}\n");
}

static void put_records(printer *p, const fst_print_set *set) {
  const fst_module *m = p->m;
  fst_text_puts(p->out, "firesteel.module 1\n");
  if (m->source) {
    fst_text_puts(p->out, "source ");
    put_quoted(p, m->source);
    fst_text_putc(p->out, '\n');
  }
  for (uint32_t i = 0; i < m->files.len && !p->canonical; i++) {
    if (!fst_print_set_has(set, FST_PRINT_FILE, i)) continue;
    fst_text_printf(p->out, "file %u ", i);
    put_quoted(p, m->files.data[i]);
    fst_text_putc(p->out, '\n');
  }
  for (uint32_t i = 1; i < m->classes.len; i++)
    if (fst_print_set_has(set, FST_PRINT_CLASS, i)) put_class(p, &m->classes.data[i]);
  for (uint32_t i = 0; i < m->storages.len; i++)
    if (fst_print_set_has(set, FST_PRINT_STORAGE, i)) put_storage(p, i);
  for (uint32_t i = 0; i < m->tensors.len; i++)
    if (m->tensors.data[i].type.id && fst_print_set_has(set, FST_PRINT_TENSOR, i)) put_tensor(p, i);
  for (uint32_t i = 0; i < m->lists.len; i++)
    if (m->lists.data[i].type.id && fst_print_set_has(set, FST_PRINT_LIST, i)) put_list(p, i);
  for (uint32_t i = 0; i < m->dicts.len; i++)
    if (m->dicts.data[i].type.id && fst_print_set_has(set, FST_PRINT_DICT, i)) put_dict(p, i);
  for (uint32_t i = 0; i < m->objects.len; i++)
    if (m->objects.data[i].cls.id && fst_print_set_has(set, FST_PRINT_OBJECT, i)) put_object(p, i);
  if (m->root != UINT32_MAX && fst_print_set_has(set, FST_PRINT_OBJECT, m->root)) fst_text_printf(p->out, "root object %u\n", m->root);
}

// ---- entry points ----------------------------------------------------------------------------------

void fst_graph_print(const fst_graph *graph, fst_text *out) {
  printer p = {.m = graph->module, .out = out};
  fst_print_set set;
  fst_print_set_init(&set, graph->module);
  fst_print_set_add_graph(&set, graph);
  put_records(&p, &set);
  put_function(&p, graph);
  fst_print_set_deinit(&set);
}

void fst_module_print(const fst_module *module, fst_text *out) {
  printer p = {.m = module, .out = out};
  put_records(&p, NULL);
  for (size_t i = 0; i < module->functions.len; i++) {
    fst_text_putc(out, '\n');
    put_function(&p, module->functions.data[i]);
  }
}

void fst_const_print(const fst_module *module, fst_const c, fst_text *out) {
  printer p = {.m = module, .out = out};
  put_const(&p, c);
}

uint64_t fst_graph_hash(const fst_graph *graph) {
  fst_text text = {0};
  printer p = {.m = graph->module, .out = &text, .canonical = true};
  put_function(&p, graph);
  uint64_t hash = fst_hash_bytes(fst_text_cstr(&text), text.len, 0);
  fst_text_deinit(&text);
  return hash;
}

uint64_t fst_module_hash(const fst_module *module) {
  fst_text text = {0};
  printer p = {.m = module, .out = &text, .canonical = true};
  put_records(&p, NULL);
  uint64_t hash = fst_hash_bytes(fst_text_cstr(&text), text.len, 0);
  fst_text_deinit(&text);
  for (size_t i = 0; i < module->functions.len; i++) {
    const char *name = fst_sym_text(&module->strings, module->functions.data[i]->name);
    hash = fst_hash_mix(hash, fst_hash_bytes(name, strlen(name), 0));   // functions call each other by name
    hash = fst_hash_mix(hash, fst_graph_hash(module->functions.data[i]));
  }
  return hash;
}
