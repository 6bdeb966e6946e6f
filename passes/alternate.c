#include "passes/alternate.h"

#include "ir/kernel_node.h"
#include "passes/alias.h"

typedef struct {
  const fst_graph *g;
  fst_value_id param;
  fst_value_list *makers;
  FST_VEC(fst_use) handed_on;   // operands of yields by which the value reaches the next round
} alternation;

static fst_node_id group_of(const fst_graph *g, fst_node_id node) {
  fst_node_id owner = fst_block_get(g, fst_node_get(g, node)->block)->owner;
  return owner.id && fst_node_get(g, owner)->op == FST_OP_GROUP ? owner : FST_NO_NODE;
}

static bool is_number(const fst_graph *g, fst_value_id v) {
  fst_type_kind kind = fst_value_type_data(g, v)->kind;
  return kind == FST_TY_INT || kind == FST_TY_FLOAT || kind == FST_TY_BOOL || kind == FST_TY_NUMBER;
}

static bool is_handed_on(const alternation *a, fst_use use) {
  for (size_t i = 0; i < a->handed_on.len; i++)
    if (fst_node_eq(a->handed_on.data[i].user, use.user) && a->handed_on.data[i].index == use.index) return true;
  return false;
}

static bool only_read(const alternation *a, fst_value_id v);

// Is the value's memory read by this use, and by nothing later that the use makes?
static bool use_reads(const alternation *a, fst_use use) {
  const fst_graph *g = a->g;
  const fst_node *n = fst_node_get(g, use.user);
  if (n->op == FST_OP_YIELD) return is_handed_on(a, use);
  if (n->op == FST_OP_UNKNOWN || n->block_count) return false;
  const fst_op_info *info = fst_op_get(n->op);
  if (group_of(g, use.user).id) return info->effect != FST_WRITES || use.index != 0;
  if (n->op == FST_OP_REFINE || (n->result_count == 1 && use.index == 0 && info->cls == FST_CLASS_VIEW && fst_result_is_view(g, n, 0)) ||
      (n->op == FST_OP_LIST_CONSTRUCT && fst_list_is_literal(g, use.user)))
    return only_read(a, n->results[0]);
  bool reads = info->effect == FST_PURE || info->effect == FST_READS || info->effect == FST_RAISES;
  for (uint32_t r = 0; r < n->result_count && reads; r++) reads = is_number(g, n->results[r]);
  return reads && info->cls != FST_CLASS_CONTAINER && info->cls != FST_CLASS_ATTRIBUTE;
}

static bool only_read(const alternation *a, fst_value_id v) {
  const fst_value *value = fst_value_get(a->g, v);
  for (size_t i = 0; i < value->uses.len; i++)
    if (!use_reads(a, value->uses.data[i])) return false;
  return true;
}

// Follows what a yield of `block` hands on to where it is made.
static bool find_makers(alternation *a, fst_block_id block, uint32_t operand) {
  const fst_graph *g = a->g;
  fst_use use = {fst_block_terminator(g, block), operand};
  fst_value_id v = fst_node_get(g, use.user)->operands[operand];
  fst_vec_push(&a->handed_on, use);
  if (fst_value_eq(v, a->param)) return true;
  fst_node_id def = fst_value_def(g, v);
  if (!def.id || !fst_block_eq(fst_node_get(g, def)->block, block)) return false;
  const fst_node *n = fst_node_get(g, def);
  uint32_t r = fst_value_get(g, v)->index;
  bool found = n->op == FST_OP_IF || n->op == FST_OP_GROUP;
  if (n->op == FST_OP_IF) {
    for (uint32_t b = 0; b < n->block_count && found; b++) found = find_makers(a, n->blocks[b], r);
  } else if (found) {
    fst_node_id inner = fst_value_def(g, fst_node_get(g, fst_block_terminator(g, n->blocks[0]))->operands[r]);
    found = inner.id && fst_op_get(fst_node_get(g, inner)->op)->effect != FST_WRITES;
    fst_vec_push(a->makers, v);
  }
  return found && only_read(a, v);
}

bool fst_loop_alternates(const fst_graph *graph, fst_node_id loop, uint32_t index, fst_value_list *makers) {
  fst_block_id body = fst_node_get(graph, loop)->blocks[0];
  alternation a = {.g = graph, .param = fst_block_get(graph, body)->params.data[index + 1], .makers = makers};
  fst_vec_clear(makers);
  bool alternates = find_makers(&a, body, index + 1) && only_read(&a, a.param) && makers->len;
  fst_vec_free(&a.handed_on);
  return alternates;
}
