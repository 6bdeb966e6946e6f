// Alias classes, see passes/alias.h. Cost: linear, up to the union-find.
#include "passes/alias.h"

#include "ir/infer.h"
#include "ir/kernel_node.h"

static uint32_t find(const fst_alias *a, uint32_t v) {
  while (a->parent[v] != v) v = a->parent[v] = a->parent[a->parent[v]];
  return v;
}

static void unite(fst_alias *a, fst_value_id x, fst_value_id y) {
  uint32_t rx = find(a, x.id), ry = find(a, y.id);
  if (rx == ry) return;
  if (ry < rx) {
    uint32_t t = rx;
    rx = ry;
    ry = t;
  }
  a->parent[ry] = rx;
  fst_alias_class *into = &a->classes[rx], *from = &a->classes[ry];
  into->written |= from->written;
  into->escapes |= from->escapes;
  into->external |= from->external;
  into->constant |= from->constant;
}

uint32_t fst_alias_of(const fst_alias *alias, fst_value_id value) { return find(alias, value.id); }
const fst_alias_class *fst_alias_info(const fst_alias *alias, fst_value_id value) { return &alias->classes[find(alias, value.id)]; }

static bool holds_tensor(const fst_graph *g, fst_value_id v) { return fst_type_has_tensor(g->module->types, fst_value_type(g, v)) ||
  fst_type_is(g->module->types, fst_value_type(g, v), FST_TY_CLASS) || fst_type_is(g->module->types, fst_value_type(g, v), FST_TY_ANY); }

bool fst_result_is_view(const fst_graph *graph, const fst_node *node, uint32_t result) {
  if (node->op == FST_OP_UNKNOWN) return false;
  const fst_op_info *info = fst_op_get(node->op);
  if (info->effect == FST_WRITES) {
    const fst_schema *schema = fst_op_schema(node->op);
    return result < schema->ret_count && schema->rets[result].alias && info->cls != FST_CLASS_CONTAINER;
  }
  return info->cls == FST_CLASS_VIEW && fst_infer_is_view(graph, fst_value_def(graph, node->results[result]));
}

static void visit_block(const fst_graph *g, fst_alias *a, fst_block_id block);

static void keep_all(const fst_graph *g, fst_alias *a, const fst_node *n) {
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (holds_tensor(g, n->operands[i])) a->classes[find(a, n->operands[i].id)].escapes = true;
}

static void visit_control(const fst_graph *g, fst_alias *a, const fst_node *n) {
  for (uint32_t b = 0; b < n->block_count; b++) {
    visit_block(g, a, n->blocks[b]);
    const fst_node *yield = fst_node_get(g, fst_block_terminator(g, n->blocks[b]));
    const fst_block *body = fst_block_get(g, n->blocks[b]);
    uint32_t skip = n->op == FST_OP_LOOP ? 1 : 0;
    for (uint32_t r = 0; r < n->result_count; r++) {
      if (!holds_tensor(g, n->results[r])) continue;
      if (r + skip < yield->operand_count) unite(a, n->results[r], yield->operands[r + skip]);
      if (n->op == FST_OP_LOOP) {
        unite(a, n->results[r], n->operands[r + 2]);
        unite(a, n->results[r], body->params.data[r + 1]);
      }
    }
  }
}

static void visit_node(const fst_graph *g, fst_alias *a, fst_node_id id) {
  const fst_node *n = fst_node_get(g, id);
  if (n->block_count) {
    visit_control(g, a, n);
    return;
  }
  if (n->op == FST_OP_YIELD) return;
  const fst_op_info *info = n->op == FST_OP_UNKNOWN ? NULL : fst_op_get(n->op);
  const fst_schema *schema = info ? fst_op_schema(n->op) : NULL;
  bool keeps = !info || info->cls == FST_CLASS_CONTAINER || info->cls == FST_CLASS_ATTRIBUTE || n->op == FST_OP_RETURN ||
               info->cls == FST_CLASS_IO || info->cls == FST_CLASS_OPAQUE || n->op == FST_OP_UNCHECKED_CAST || n->op == FST_OP_LIST_CONSTRUCT ||
               n->op == FST_OP_TUPLE_CONSTRUCT || n->op == FST_OP_DICT_CONSTRUCT;
  if (n->op == FST_OP_LIST_CONSTRUCT && fst_list_is_literal(g, id)) keeps = false;   // only names operands
  // What PyTorch runs may hand its operands back.
  if (info && info->cls == FST_CLASS_VIEW && !fst_infer_is_view(g, id) && !fst_node_is_kernel(g, id)) keeps = true;
  if (keeps) {
    keep_all(g, a, n);
    for (uint32_t r = 0; r < n->result_count; r++) {
      if (!holds_tensor(g, n->results[r])) continue;
      a->classes[find(a, n->results[r].id)].external = true;
      for (uint32_t i = 0; i < n->operand_count; i++)
        if (holds_tensor(g, n->operands[i])) unite(a, n->results[r], n->operands[i]);
    }
  }
  if (n->op == FST_OP_REFINE) unite(a, n->results[0], n->operands[0]);
  for (uint32_t r = 0; r < n->result_count; r++)
    if (n->operand_count && fst_result_is_view(g, n, r)) unite(a, n->results[r], n->operands[0]);
  if (info && schema && (info->effect == FST_WRITES || fst_node_trains(g, n)))
    for (uint32_t i = 0; i < n->operand_count; i++)
      if (fst_node_writes(g, n, i)) a->classes[find(a, n->operands[i].id)].written = true;
}

static void visit_block(const fst_graph *g, fst_alias *a, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) visit_node(g, a, id);
}

void fst_alias_compute(const fst_graph *graph, fst_arena *arena, fst_alias *out) {
  out->count = (uint32_t)graph->values.len;
  out->parent = FST_NEW_ARRAY(arena, uint32_t, out->count);
  out->classes = FST_NEW_ARRAY(arena, fst_alias_class, out->count);
  for (uint32_t v = 1; v < out->count; v++) {
    out->parent[v] = v;
    const fst_value *value = graph->values.data[v];
    if (value->kind == FST_VALUE_CONST) out->classes[v].constant = true;
    if (value->kind == FST_VALUE_PARAM && fst_block_eq(value->block, graph->entry)) out->classes[v].external = true;
  }
  visit_block(graph, out, graph->entry);
  // What one slot holds is one class, whoever loads or stores it; all of it is external already.
}

bool fst_alias_writes(const fst_graph *graph, const fst_alias *alias, const fst_node *node, fst_value_id value) {
  if (node->op != FST_OP_UNKNOWN && !node->block_count && fst_op_get(node->op)->effect != FST_WRITES && !fst_node_trains(graph, node)) return false;
  if (node->op == FST_OP_UNKNOWN) {
    for (uint32_t i = 0; i < node->operand_count; i++)
      if (fst_alias_of(alias, node->operands[i]) == fst_alias_of(alias, value)) return true;
    return fst_alias_info(alias, value)->external || fst_alias_info(alias, value)->escapes;
  }
  if (!node->block_count) {
    const fst_alias_class *mine = fst_alias_info(alias, value);
    for (uint32_t i = 0; i < node->operand_count; i++) {
      if (!fst_node_writes(graph, node, i)) continue;
      const fst_alias_class *theirs = fst_alias_info(alias, node->operands[i]);
      if (fst_alias_of(alias, node->operands[i]) == fst_alias_of(alias, value)) return true;
      // Two things that came from outside may be the same thing.
      if ((mine->external || mine->escapes) && (theirs->external || theirs->escapes)) return true;
    }
    return false;
  }
  for (uint32_t b = 0; b < node->block_count; b++)
    for (FST_EACH_NODE(graph, node->blocks[b], id))
      if (fst_alias_writes(graph, alias, fst_node_get(graph, id), value)) return true;
  return false;
}
