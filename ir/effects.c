#include "ir/effects.h"

#include "ir/ops.h"

static unsigned node_effects(const fst_node *n) {
  if (n->op == FST_OP_UNKNOWN || n->op == FST_OP_FALLBACK) return FST_EFFECTS_LAST;
  if (n->op == FST_OP_STATE_GET) return FST_EFFECTS_STATE;
  switch (fst_op_get(n->op)->effect) {
    case FST_PURE: case FST_MAKES: case FST_READS: case FST_RAISES: case FST_CONTROL: return 0;
    default: break;
  }
  bool only_raises = n->op == FST_OP_RAISE || n->op == FST_OP_GUARD_EQUAL || n->op == FST_OP_GUARD_AT_MOST;
  return only_raises ? 0 : FST_EFFECTS_LAST;
}

static unsigned block_effects(const fst_graph *g, fst_block_id block) {
  unsigned effects = 0;
  for (FST_EACH_NODE(g, block, id)) {
    const fst_node *n = fst_node_get(g, id);
    effects |= node_effects(n);
    for (uint32_t b = 0; b < n->block_count; b++) effects |= block_effects(g, n->blocks[b]);
  }
  return effects;
}

unsigned fst_graph_effects(const fst_graph *graph) { return block_effects(graph, graph->entry); }
