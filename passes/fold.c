// fold: what literals and types determine becomes a literal, or the value it comes from.
//
// Any stage. Changes ops on numbers and strings whose operands are literals, questions about None and types that
// the types answer, accesses to tuples and lists made in sight (lists only where nothing writes or keeps them),
// casts to what a value already is. Leaves alone: what would raise (the call must), tensors. Cost: linear.
//
// Before:                                             After:
//   %1 : int = aten::mul.int(3, 4)                      ... 12 for %1
//   %2 : Tuple[int, Tensor] = prim::TupleConstruct(%1, %x)
//   %3 : int, %4 : Tensor = prim::TupleUnpack(%2)       ... 12 for %3, %x for %4
#include "passes/fold.h"

#include "ir/infer.h"
#include "passes/pass.h"

// ---- questions about types -------------------------------------------------------------------------

// Could a value of this type be of more than one kind?
static bool is_open(fst_type_kind kind) {
  return kind == FST_TY_OPTIONAL || kind == FST_TY_ANY || kind == FST_TY_UNION || kind == FST_TY_NUMBER || kind == FST_TY_UNINIT ||
         kind == FST_TY_OPAQUE || kind == FST_TY_INVALID;
}

// 1: None, 0: never None, -1: not known.
static int noneness(const fst_graph *g, fst_value_id v) {
  if (fst_value_is_none(g, v)) return 1;
  fst_type_kind kind = fst_value_type_data(g, v)->kind;
  return is_open(kind) && kind != FST_TY_NUMBER ? -1 : 0;
}

static fst_value_id fold_is(fst_graph *g, const fst_node *n) {
  int a = noneness(g, n->operands[0]), b = noneness(g, n->operands[1]);
  if (a < 0 || b < 0 || (!a && !b)) return FST_NO_VALUE;
  return fst_graph_const_bool(g, (a && b) == (n->op == FST_OP___IS__));
}

static fst_value_id fold_isinstance(fst_graph *g, const fst_node *n) {
  fst_types *types = g->module->types;
  fst_type have = fst_type_erase(types, fst_value_type(g, n->operands[0]));
  const fst_type_data *asked = fst_type_get(types, n->attr_type);
  bool many = asked->kind == FST_TY_TUPLE && !asked->fields, is = false;
  if (!n->attr_type.id || fst_type_is(types, have, FST_TY_UNINIT)) return FST_NO_VALUE;
  for (uint32_t i = 0; i < (many ? asked->count : 1); i++)
    is = is || fst_type_is_subtype(types, have, many ? asked->items[i] : n->attr_type);
  // Whether an object's class implements an interface is not said in its type.
  if (!is && (is_open(fst_type_kind_of(types, have)) || fst_type_is(types, have, FST_TY_CLASS))) return FST_NO_VALUE;
  return fst_graph_const_bool(g, is);
}

// A cast to what the operand already is.
static fst_value_id fold_cast(fst_graph *g, const fst_node *n) {
  fst_type have = fst_value_type(g, n->operands[0]), want = fst_value_type(g, n->results[0]);
  fst_type_kind kind = fst_type_kind_of(g->module->types, have);
  if (is_open(kind) || kind == FST_TY_NONE) return FST_NO_VALUE;
  return fst_type_is_subtype(g->module->types, have, want) ? n->operands[0] : FST_NO_VALUE;
}

// ---- tuples and lists ------------------------------------------------------------------------------

// Item `i` of a tuple or list whose items are known; none when they are not. *out_count is their number, or -1.
static fst_value_id item_of(fst_graph *g, fst_value_id sequence, int64_t i, int64_t *out_count) {
  const fst_const_data *c = fst_value_const(g, sequence);
  fst_node_id def = fst_value_def(g, sequence);
  const fst_node *made = NULL;
  *out_count = -1;
  if (def.id && fst_node_get(g, def)->op == FST_OP_TUPLE_CONSTRUCT) made = fst_node_get(g, def);
  else if (def.id) made = fst_list_items(g, sequence);
  if (c && c->kind == FST_CONST_TUPLE) *out_count = c->count;
  else if (made) *out_count = made->operand_count;
  if (i < 0) i += *out_count;
  if (*out_count < 0 || i < 0 || i >= *out_count) return FST_NO_VALUE;
  return made ? made->operands[i] : fst_graph_const(g, c->items[i]);
}

static fst_value_id fold_item(fst_graph *g, const fst_node *n) {
  int64_t index, count;
  if (!fst_value_const_int(g, n->operands[1], &index)) return FST_NO_VALUE;
  return item_of(g, n->operands[0], index, &count);
}

static fst_value_id fold_len(fst_graph *g, const fst_node *n) {
  int64_t count;
  item_of(g, n->operands[0], 0, &count);
  return count >= 0 ? fst_graph_const_int(g, count) : FST_NO_VALUE;
}

// Are two literals equal to Python's ==? -1: not known.
static int literals_equal(const fst_graph *g, fst_value_id a, fst_value_id b) {
  const fst_const_data *x = fst_value_const(g, a), *y = fst_value_const(g, b);
  if (!x || !y || x->kind != y->kind) return -1;
  if (x->kind == FST_CONST_STR || x->kind == FST_CONST_DEVICE) return x->str == y->str;
  if (x->kind == FST_CONST_ENUM) return x->str == y->str && x->member == y->member;
  if (x->kind == FST_CONST_INT) return x->i == y->i;
  return x->kind == FST_CONST_BOOL ? x->b == y->b : -1;
}

static fst_value_id fold_contains(fst_graph *g, const fst_node *n) {
  int64_t count;
  bool unsure = false;
  item_of(g, n->operands[0], 0, &count);
  if (count < 0) return FST_NO_VALUE;
  for (int64_t i = 0; i < count; i++) {
    int equal = literals_equal(g, item_of(g, n->operands[0], i, &count), n->operands[1]);
    if (equal == 1) return fst_graph_const_bool(g, true);
    unsure = unsure || equal < 0;
  }
  return unsure ? FST_NO_VALUE : fst_graph_const_bool(g, false);
}

// ---- strings and truth -----------------------------------------------------------------------------

static fst_value_id fold_equal(fst_graph *g, const fst_node *n, bool want) {
  int equal = literals_equal(g, n->operands[0], n->operands[1]);
  return equal < 0 ? FST_NO_VALUE : fst_graph_const_bool(g, equal == want);
}

static fst_value_id fold_concat(fst_graph *g, const fst_node *n) {
  fst_strings *strings = &g->module->strings;
  const fst_const_data *a = fst_value_const(g, n->operands[0]), *b = fst_value_const(g, n->operands[1]);
  if (!a || !b || a->kind != FST_CONST_STR || b->kind != FST_CONST_STR) return FST_NO_VALUE;
  fst_text text = {0};
  fst_text_append(&text, fst_sym_text(strings, a->str), fst_sym_len(strings, a->str));
  fst_text_append(&text, fst_sym_text(strings, b->str), fst_sym_len(strings, b->str));
  fst_const c = fst_const_str(g->module, fst_text_cstr(&text), text.len);
  fst_text_deinit(&text);
  return fst_graph_const(g, c);
}

// `and` and `or` with one side known. Both sides are values: nothing is skipped by not looking at one.
static fst_value_id fold_logic(fst_graph *g, const fst_node *n, bool neutral) {
  for (uint32_t i = 0; i < 2; i++) {
    bool known;
    if (fst_value_const_bool(g, n->operands[i], &known)) return known == neutral ? n->operands[1 - i] : n->operands[i];
  }
  return fst_value_eq(n->operands[0], n->operands[1]) ? n->operands[0] : FST_NO_VALUE;
}

// not not x
static fst_value_id fold_not(fst_graph *g, const fst_node *n) {
  fst_node_id def = fst_value_def(g, n->operands[0]);
  return def.id && fst_node_get(g, def)->op == FST_OP___NOT__ ? fst_node_get(g, def)->operands[0] : FST_NO_VALUE;
}

// ---- the pass --------------------------------------------------------------------------------------

static fst_value_id folded(fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  fst_const literal;
  if (fst_fold_node(g, id, &literal)) return fst_graph_const(g, literal);
  switch (n->op) {
    case FST_OP___IS__: case FST_OP___ISNOT__: return fold_is(g, n);
    case FST_OP_ISINSTANCE: return fold_isinstance(g, n);
    case FST_OP_UNCHECKED_CAST: case FST_OP_UNCHECKED_UNWRAP_OPTIONAL: case FST_OP__UNWRAP_OPTIONAL: return fold_cast(g, n);
    case FST_OP_TUPLE_INDEX: case FST_OP___GETITEM___T: return fold_item(g, n);
    case FST_OP_LEN_T: return fold_len(g, n);
    case FST_OP___CONTAINS___INT_LIST: case FST_OP___CONTAINS___STR_LIST: return fold_contains(g, n);
    case FST_OP_EQ_STR: case FST_OP_EQ_ENUM: case FST_OP_EQ_DEVICE: return fold_equal(g, n, true);
    case FST_OP_NE_STR: case FST_OP_NE_ENUM: case FST_OP_NE_DEVICE: return fold_equal(g, n, false);
    case FST_OP_ADD_STR: return fold_concat(g, n);
    case FST_OP___AND___BOOL: return fold_logic(g, n, true);
    case FST_OP___OR___BOOL: return fold_logic(g, n, false);
    case FST_OP___NOT__: return fold_not(g, n);
    case FST_OP_IS_SCRIPTING: return fst_graph_const_bool(g, true);
    case FST_OP_IS_GRAD_ENABLED: return fst_graph_const_bool(g, false);
    default: return FST_NO_VALUE;
  }
}

static void fold_unpack(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  int64_t count;
  item_of(g, n->operands[0], 0, &count);
  if (count != n->result_count) return;
  for (uint32_t r = 0; r < n->result_count; r++)
    if (!fst_value_may_replace(g, n->results[r], item_of(g, n->operands[0], r, &count))) return;
  if (!fst_pass_allow(pc)) return;
  for (uint32_t r = 0; r < n->result_count; r++) fst_value_replace(g, n->results[r], item_of(g, n->operands[0], r, &count));
  fst_node_erase(g, id);
}

static void fold_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) {
    const fst_node *n = fst_node_get(g, id);
    for (uint32_t b = 0; b < n->block_count; b++) fold_block(pc, g, n->blocks[b]);
    if (n->op == FST_OP_TUPLE_UNPACK || n->op == FST_OP_LIST_UNPACK) {
      fold_unpack(pc, g, id);
      continue;
    }
    fst_value_id v = n->result_count == 1 ? folded(g, id) : FST_NO_VALUE;
    if (!v.id || !fst_value_may_replace(g, n->results[0], v) || !fst_pass_allow(pc)) continue;
    fst_value_replace(g, n->results[0], v);
    fst_node_erase(g, id);
  }
}

fst_status fst_pass_fold(fst_pass_ctx *pc, fst_graph *graph) {
  fold_block(pc, graph, graph->entry);
  return NULL;
}
