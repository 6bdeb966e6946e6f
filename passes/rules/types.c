#include "passes/rules/rules.h"

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

bool fst_rule_none(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node;
  int a = noneness(rw->g, n->operands[0]), b = noneness(rw->g, n->operands[1]);
  if (a < 0 || b < 0 || (!a && !b)) return false;
  out[0] = fst_graph_const_bool(rw->g, (a && b) == (n->op == FST_OP___IS__));
  return true;
}

bool fst_rule_isinstance(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node;
  fst_types *types = rw->g->module->types;
  fst_type have = fst_type_erase(types, fst_value_type(rw->g, n->operands[0]));
  const fst_type_data *asked = fst_type_get(types, n->attr_type);
  bool many = asked->kind == FST_TY_TUPLE && !asked->fields, is = false;
  if (!n->attr_type.id || fst_type_is(types, have, FST_TY_UNINIT)) return false;
  for (uint32_t i = 0; i < (many ? asked->count : 1); i++)
    is = is || fst_type_is_subtype(types, have, many ? asked->items[i] : n->attr_type);
  // Whether an object's class implements an interface is not said in its type.
  if (!is && (is_open(fst_type_kind_of(types, have)) || fst_type_is(types, have, FST_TY_CLASS))) return false;
  out[0] = fst_graph_const_bool(rw->g, is);
  return true;
}

bool fst_rule_cast(fst_rewrite *rw, fst_value_id *out) {
  fst_value_id from = rw->node->operands[0];
  fst_type have = fst_value_type(rw->g, from), want = fst_value_type(rw->g, rw->node->results[0]);
  fst_type_kind kind = fst_type_kind_of(rw->g->module->types, have);
  if (is_open(kind) || kind == FST_TY_NONE || !fst_type_is_subtype(rw->g->module->types, have, want)) return false;
  out[0] = from;
  return true;
}

bool fst_rule_number_cast(fst_rewrite *rw, fst_value_id *out) {
  fst_value_id from = rw->node->operands[0];
  fst_type_kind kind = fst_value_type_data(rw->g, from)->kind;
  const fst_node *number = fst_rewrite_def(rw, from, FST_OP_INT_BOOL);
  if (rw->node->op == FST_OP_BOOL_INT && !number) return false;
  if (rw->node->op == FST_OP_INT_SCALAR && kind != FST_TY_INT) return false;
  if (rw->node->op == FST_OP_FLOAT_SCALAR && kind != FST_TY_FLOAT) return false;
  out[0] = rw->node->op == FST_OP_BOOL_INT ? number->operands[0] : from;
  return true;
}

bool fst_rule_mode(fst_rewrite *rw, fst_value_id *out) {
  out[0] = fst_graph_const_bool(rw->g, rw->node->op == FST_OP_IS_SCRIPTING);
  return true;
}
