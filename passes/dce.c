// dce: nodes whose results nobody uses and that do nothing else go, and so do unused results of If and Loop.
//
// So does a list or dict that is only ever added to. Any stage. Leaves alone: other writes, random numbers, I/O, state,
// ops that may raise in a way PyTorch would show, and ops without a row. Cost: linear; blocks are visited last node
// first, so chains go in one visit.
//
// Before:                                              After:
//   %1 : f32[8] = aten::mul.Tensor(%x, %x)               return %x
//   return %x
//
// A size known only at run time is defined by the value whose type shows it first. Such a value stays while any
// other type or fst::dim still speaks of the size.
#include "passes/fold.h"
#include "passes/pass.h"

typedef struct {
  fst_pass_ctx *pc;
  fst_graph *g;
  bool *needed;        // by symbol: a value in use speaks of it
  uint32_t symbols;
} eliminator;

static void dce_block(eliminator *e, fst_block_id block);

static void need_dim(eliminator *e, fst_dim d) {
  if (!fst_dim_is_known(d)) return;
  fst_dim_view v = fst_dim_open(e->g->dims, d);
  if (v.kind == FST_DIM_SYMBOL && v.symbol < e->symbols) e->needed[v.symbol] = true;
  for (uint32_t i = 0; i < v.count; i++) need_dim(e, v.operands[i]);
}

static void need_symbols(eliminator *e) {
  e->symbols = fst_dims_symbol_count(e->g->dims);
  e->needed = FST_NEW_ARRAY(e->pc->arena, bool, e->symbols + 1);
  for (size_t v = 1; v < e->g->values.len; v++) {
    const fst_value *value = e->g->values.data[v];
    if (!value->uses.len) continue;
    need_dim(e, value->sym);
    const fst_type_data *t = fst_type_get(e->g->module->types, value->type);
    for (int i = 0; t->kind == FST_TY_TENSOR && i < t->rank; i++) {
      need_dim(e, t->dims[i]);
      if (t->has_strides) need_dim(e, t->strides[i]);
    }
  }
}

static bool is_needed(const eliminator *e, fst_dim d) {
  uint32_t symbol;
  return fst_dim_is_known(d) && fst_dim_is_symbol(e->g->dims, d, &symbol) && symbol < e->symbols && e->needed[symbol];
}

// May the node be what defines a size that others speak of? A node made of its operands' sizes is not.
static bool defines_sizes(const eliminator *e, const fst_node *n) {
  if (n->op == FST_OP_DIM || n->op == FST_OP_REFINE) return false;
  for (uint32_t r = 0; r < n->result_count; r++) {
    const fst_value *value = fst_value_get(e->g, n->results[r]);
    const fst_type_data *t = fst_type_get(e->g->module->types, value->type);
    if (t->kind == FST_TY_INT && is_needed(e, value->sym)) return true;
    for (int i = 0; t->kind == FST_TY_TENSOR && i < t->rank; i++)
      if (is_needed(e, t->dims[i]) || (t->has_strides && is_needed(e, t->strides[i]))) return true;
  }
  return false;
}

static bool unused(const fst_graph *g, fst_value_id v) { return !fst_value_get(g, v)->uses.len; }

// An op on numbers may raise unless its condition is known not to hold: what the condition asks is literal.
static bool may_raise(const fst_graph *g, fst_node_id id) {
  return fst_op_get(fst_node_get(g, id)->op)->cls != FST_CLASS_SCALAR || fst_fold_refuses(g, id);
}

static bool has_effect(const fst_graph *g, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  if (n->op == FST_OP_UNKNOWN) return true;
  fst_effect effect = fst_op_get(n->op)->effect;
  if (n->block_count) {
    for (uint32_t b = 0; b < n->block_count; b++)
      for (FST_EACH_NODE(g, n->blocks[b], inner))
        if (fst_node_get(g, inner)->op != FST_OP_YIELD && has_effect(g, inner)) return true;
    return false;
  }
  if (effect == FST_RAISES) return may_raise(g, id);
  return effect == FST_WRITES || effect == FST_RANDOM || effect == FST_IO || effect == FST_CONTROL || fst_node_trains(g, n);
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

static void drop_results(eliminator *e, fst_node_id id) {
  fst_graph *g = e->g;
  fst_node *n = fst_node_get(g, id);
  for (uint32_t r = n->result_count; r-- > 0;) {
    if (!unused(g, n->results[r])) continue;
    bool loop = n->op == FST_OP_LOOP;
    if ((loop && !only_feeds_itself(g, n, r)) || n->op == FST_OP_GROUP || !fst_pass_allow(e->pc)) continue;
    for (uint32_t b = 0; b < n->block_count; b++) fst_node_remove_operand(g, fst_block_get(g, n->blocks[b])->last, r + (loop ? 1 : 0));
    if (loop) {
      fst_block_remove_param(g, n->blocks[0], r + 1);
      fst_node_remove_operand(g, id, r + 2);
    }
    fst_node_remove_result(g, id, r);
  }
}

// Adds to its operand 0 and cannot raise; nobody looks at what it gives.
static bool only_adds(const fst_graph *g, const fst_node *n) {
  switch (n->op) {
    case FST_OP_APPEND_T: case FST_OP_EXTEND_T: case FST_OP_INSERT_T: case FST_OP_CLEAR_T: case FST_OP_REVERSE_T: case FST_OP_ADD__T:
    case FST_OP__SET_ITEM_STR: case FST_OP__SET_ITEM_INT: return !n->result_count || unused(g, n->results[0]);
    default: return false;
  }
}

// A container made here that every use only adds to.
static void drop_dead_container(eliminator *e, fst_node_id id) {
  fst_graph *g = e->g;
  const fst_node *n = fst_node_get(g, id);
  if (n->result_count != 1 || fst_op_get(n->op)->effect != FST_MAKES || unused(g, n->results[0])) return;
  const fst_value *v = fst_value_get(g, n->results[0]);
  for (size_t u = 0; u < v->uses.len; u++)
    if (v->uses.data[u].index != 0 || !only_adds(g, fst_node_get(g, v->uses.data[u].user))) return;
  while (v->uses.len && fst_pass_allow(e->pc)) fst_node_erase(g, fst_vec_last(&v->uses).user);
}

// Before anything else, since what adds may be all that keeps a loop.
static void drop_dead_containers(eliminator *e, fst_block_id block) {
  for (fst_node_id id = fst_block_get(e->g, block)->last; id.id; id = fst_node_get(e->g, id)->prev) {   // what goes stands after `id`
    const fst_node *n = fst_node_get(e->g, id);
    for (uint32_t b = 0; b < n->block_count; b++) drop_dead_containers(e, n->blocks[b]);
    drop_dead_container(e, id);
  }
}

static void dce_node(eliminator *e, fst_node_id id) {
  fst_graph *g = e->g;
  fst_node *n = fst_node_get(g, id);
  if (n->op == FST_OP_YIELD || n->op == FST_OP_RETURN) return;
  if (n->op == FST_OP_IF || n->op == FST_OP_LOOP) drop_results(e, id);
  for (uint32_t b = 0; b < n->block_count; b++) dce_block(e, n->blocks[b]);
  for (uint32_t r = 0; r < n->result_count; r++)
    if (!unused(g, n->results[r])) return;
  if (has_effect(g, id) || defines_sizes(e, n) || !fst_pass_allow(e->pc)) return;
  fst_node_erase(g, id);
}

static void dce_block(eliminator *e, fst_block_id block) {
  for (fst_node_id id = fst_block_get(e->g, block)->last; id.id;) {
    fst_node_id prev = fst_node_get(e->g, id)->prev;
    dce_node(e, id);
    id = prev;
  }
}

fst_status fst_pass_dce(fst_pass_ctx *pc, fst_graph *graph) {
  eliminator e = {.pc = pc, .g = graph};
  need_symbols(&e);
  drop_dead_containers(&e, graph->entry);
  dce_block(&e, graph->entry);
  return NULL;
}
