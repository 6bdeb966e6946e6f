// fold: what literals determine becomes a literal.
//
// Any stage. Changes ops on numbers whose operands are all literals, questions whether something is None, and
// tuple accesses on tuples made in sight. Leaves alone: what would raise (the call must), tensors. Cost: linear.
//
// Before:                                     After:
//   %1 : int = aten::mul.int(3, 4)              ... 12 for %1
#include "passes/fold.h"

#include "passes/pass.h"

// 1: None, 0: never None, -1: not known.
static int noneness(const fst_graph *g, fst_value_id v) {
  if (fst_value_is_none(g, v)) return 1;
  fst_type_kind kind = fst_value_type_data(g, v)->kind;
  return kind == FST_TY_OPTIONAL || kind == FST_TY_ANY || kind == FST_TY_UNION || kind == FST_TY_UNINIT ? -1 : 0;
}

static fst_value_id folded(fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  fst_const literal;
  int64_t index;
  switch (n->op) {
    case FST_OP___IS__: case FST_OP___ISNOT__: {
      int a = noneness(g, n->operands[0]), b = noneness(g, n->operands[1]);
      if (a < 0 || b < 0 || (!a && !b)) return FST_NO_VALUE;
      return fst_graph_const_bool(g, (a && b) == (n->op == FST_OP___IS__));
    }
    case FST_OP_TUPLE_INDEX: {
      fst_node_id def = fst_value_def(g, n->operands[0]);
      if (!def.id || fst_node_get(g, def)->op != FST_OP_TUPLE_CONSTRUCT || !fst_value_const_int(g, n->operands[1], &index)) return FST_NO_VALUE;
      const fst_node *tuple = fst_node_get(g, def);
      if (index < 0) index += tuple->operand_count;
      return index >= 0 && index < tuple->operand_count ? tuple->operands[index] : FST_NO_VALUE;
    }
    default: return fst_fold_node(g, id, &literal) ? fst_graph_const(g, literal) : FST_NO_VALUE;
  }
}

static void fold_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) {
    const fst_node *n = fst_node_get(g, id);
    for (uint32_t b = 0; b < n->block_count; b++) fold_block(pc, g, n->blocks[b]);
    if (n->op == FST_OP_TUPLE_UNPACK) {
      fst_node_id def = fst_value_def(g, n->operands[0]);
      const fst_node *tuple = def.id ? fst_node_get(g, def) : NULL;
      if (!tuple || tuple->op != FST_OP_TUPLE_CONSTRUCT || tuple->operand_count != n->result_count || !fst_pass_allow(pc)) continue;
      for (uint32_t r = 0; r < n->result_count; r++) fst_value_replace(g, n->results[r], tuple->operands[r]);
      fst_node_erase(g, id);
      continue;
    }
    fst_value_id v = n->result_count == 1 ? folded(g, id) : FST_NO_VALUE;
    if (!v.id || !fst_pass_allow(pc)) continue;
    fst_value_replace(g, n->results[0], v);
    fst_node_erase(g, id);
  }
}

fst_status fst_pass_fold(fst_pass_ctx *pc, fst_graph *graph) {
  fold_block(pc, graph, graph->entry);
  return NULL;
}
