// dce: nodes whose results nobody uses and that do nothing else go, and so do unused results of If and Loop.
//
// Any stage. Leaves alone: writes, random numbers, I/O, state, ops that may raise in a way PyTorch would show,
// and ops without a row. Cost: linear; blocks are visited last node first, so chains go in one visit.
//
// Before:                                              After:
//   %1 : f32[8] = aten::mul.Tensor(%x, %x)               return %x
//   return %x
#include "passes/pass.h"

static void dce_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block);

static bool unused(const fst_graph *g, fst_value_id v) { return !fst_value_get(g, v)->uses.len; }

static bool has_effect(const fst_graph *g, const fst_node *n) {
  if (n->op == FST_OP_UNKNOWN) return true;
  fst_effect effect = fst_op_get(n->op)->effect;
  if (n->block_count) {
    for (uint32_t b = 0; b < n->block_count; b++)
      for (FST_EACH_NODE(g, n->blocks[b], id)) {
        const fst_node *inner = fst_node_get(g, id);
        if (inner->op != FST_OP_YIELD && has_effect(g, inner)) return true;
      }
    return false;
  }
  return effect == FST_WRITES || effect == FST_RANDOM || effect == FST_IO || effect == FST_CONTROL || effect == FST_RAISES;
}

// A Loop's carried value that only feeds itself.
static bool only_feeds_itself(const fst_graph *g, const fst_node *loop, uint32_t i) {
  const fst_block *body = fst_block_get(g, loop->blocks[0]);
  const fst_value *param = fst_value_get(g, body->params.data[i + 1]);
  for (size_t u = 0; u < param->uses.len; u++) {
    fst_use use = param->uses.data[u];
    if (!fst_node_eq(use.user, body->last) || use.index != i + 1) return false;
  }
  return true;
}

static void drop_results(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  fst_node *n = fst_node_get(g, id);
  for (uint32_t r = n->result_count; r-- > 0;) {
    if (!unused(g, n->results[r])) continue;
    bool loop = n->op == FST_OP_LOOP;
    if ((loop && !only_feeds_itself(g, n, r)) || n->op == FST_OP_GROUP || !fst_pass_allow(pc)) continue;
    for (uint32_t b = 0; b < n->block_count; b++) fst_node_remove_operand(g, fst_block_get(g, n->blocks[b])->last, r + (loop ? 1 : 0));
    if (loop) {
      fst_block_remove_param(g, n->blocks[0], r + 1);
      fst_node_remove_operand(g, id, r + 2);
    }
    fst_node_remove_result(g, id, r);
  }
}

static void dce_node(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  fst_node *n = fst_node_get(g, id);
  if (n->op == FST_OP_YIELD || n->op == FST_OP_RETURN) return;
  if (n->op == FST_OP_IF || n->op == FST_OP_LOOP) drop_results(pc, g, id);
  for (uint32_t b = 0; b < n->block_count; b++) dce_block(pc, g, n->blocks[b]);
  for (uint32_t r = 0; r < n->result_count; r++)
    if (!unused(g, n->results[r])) return;
  if (has_effect(g, n) || !fst_pass_allow(pc)) return;
  fst_node_erase(g, id);
}

static void dce_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  for (fst_node_id id = fst_block_get(g, block)->last; id.id;) {
    fst_node_id prev = fst_node_get(g, id)->prev;
    dce_node(pc, g, id);
    id = prev;
  }
}

fst_status fst_pass_dce(fst_pass_ctx *pc, fst_graph *graph) {
  dce_block(pc, graph, graph->entry);
  return NULL;
}
