// simplify-cf: an If whose condition is a literal becomes the branch it takes, a Loop that never runs its inputs.
//
// Any stage before `fused`. Unrolling and splitting by path are the specializer's. Cost: linear.
//
// Before:                                              After:
//   %1 : int = prim::If(true) {                           ... 1 for %1
//     yield 1
//   } {
//     yield 2
//   }
#include "passes/pass.h"

static void simplify_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) {
    fst_node *n = fst_node_get(g, id);
    bool known;
    int64_t trips = 1;
    for (uint32_t b = 0; b < n->block_count; b++) simplify_block(pc, g, n->blocks[b]);
    if (n->op == FST_OP_IF && fst_value_const_bool(g, n->operands[0], &known)) {
      if (!fst_pass_allow(pc)) continue;
      fst_block_id taken = n->blocks[known ? 0 : 1];
      const fst_node *yield = fst_node_get(g, fst_block_terminator(g, taken));
      for (uint32_t r = 0; r < n->result_count; r++) fst_value_replace(g, n->results[r], yield->operands[r]);
      for (FST_EACH_NODE(g, taken, inner))
        if (fst_node_get(g, inner)->op != FST_OP_YIELD) fst_node_move_before(g, id, inner);
      fst_node_erase(g, id);
    } else if (n->op == FST_OP_LOOP) {
      bool runs = true;
      fst_value_const_bool(g, n->operands[1], &runs);
      fst_value_const_int(g, n->operands[0], &trips);
      if ((runs && trips > 0) || !fst_pass_allow(pc)) continue;
      for (uint32_t r = 0; r < n->result_count; r++) fst_value_replace(g, n->results[r], n->operands[r + 2]);
      fst_node_erase(g, id);
    }
  }
}

fst_status fst_pass_simplify_cf(fst_pass_ctx *pc, fst_graph *graph) {
  simplify_block(pc, graph, graph->entry);
  return NULL;
}
