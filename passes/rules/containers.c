#include "ir/infer.h"
#include "passes/fold.h"
#include "passes/rules/rules.h"

// Item `i` of a tuple or list whose items are known; none when they are not. *out_count is their number, or -1.
static fst_value_id item_of(fst_rewrite *rw, fst_value_id sequence, int64_t i, int64_t *out_count) {
  fst_graph *g = rw->g;
  const fst_const_data *c = fst_value_const(g, sequence);
  const fst_node *made = fst_rewrite_def(rw, sequence, FST_OP_TUPLE_CONSTRUCT);
  if (!made && fst_value_def(g, sequence).id) made = fst_list_items(g, sequence);
  *out_count = -1;
  if (c && c->kind == FST_CONST_TUPLE) *out_count = c->count;
  else if (made) *out_count = made->operand_count;
  if (i < 0) i += *out_count;
  if (*out_count < 0 || i < 0 || i >= *out_count) return FST_NO_VALUE;
  return made ? made->operands[i] : fst_graph_const(g, c->items[i]);
}

bool fst_rule_item(fst_rewrite *rw, fst_value_id *out) {
  int64_t index, count;
  if (!fst_value_const_int(rw->g, rw->node->operands[1], &index)) return false;
  out[0] = item_of(rw, rw->node->operands[0], index, &count);
  return out[0].id;
}

bool fst_rule_length(fst_rewrite *rw, fst_value_id *out) {
  int64_t count;
  item_of(rw, rw->node->operands[0], 0, &count);
  out[0] = count >= 0 ? fst_graph_const_int(rw->g, count) : FST_NO_VALUE;
  return out[0].id;
}

bool fst_rule_contains(fst_rewrite *rw, fst_value_id *out) {
  int64_t count;
  bool unsure = false;
  item_of(rw, rw->node->operands[0], 0, &count);
  if (count < 0) return false;
  for (int64_t i = 0; i < count; i++) {
    int equal = fst_literals_equal(rw->g, item_of(rw, rw->node->operands[0], i, &count), rw->node->operands[1]);
    if (equal == 1) {
      out[0] = fst_graph_const_bool(rw->g, true);
      return true;
    }
    unsure = unsure || equal < 0;
  }
  out[0] = fst_graph_const_bool(rw->g, false);
  return !unsure;
}

bool fst_rule_unpack(fst_rewrite *rw, fst_value_id *out) {
  int64_t count;
  item_of(rw, rw->node->operands[0], 0, &count);
  if (count != rw->node->result_count) return false;
  for (uint32_t r = 0; r < rw->node->result_count; r++) out[r] = item_of(rw, rw->node->operands[0], r, &count);
  return true;
}

bool fst_rule_repack(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node, *unpack = n->operand_count ? fst_rewrite_def(rw, n->operands[0], FST_OP_TUPLE_UNPACK) : NULL;
  if (!unpack || unpack->result_count != n->operand_count) return false;
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (!fst_value_eq(n->operands[i], unpack->results[i])) return false;
  out[0] = unpack->operands[0];
  return fst_type_eq(fst_value_type(rw->g, out[0]), fst_value_type(rw->g, n->results[0]));   // (x, y) is no NamedTuple
}
