// decompose: replaces ops that are compositions of others by those others (ir/compose.h).
//
// Expects a typed graph: a composition looks at ranks, sizes and constants. A node whose row has a `compose` text
// that applies to it is replaced by the text's nodes, types included; what they are composed of is decomposed as
// well. An in-place op whose functional form is composed becomes that form and a copy into self, so that what is
// left to functionalise is the copy. Nodes whose text does not apply stay. Conditions that inference raises or guards on were made explicit when
// the node was typed, so the parts' own guards are not repeated.
//
//   %3 : f32[2, 4] = aten::addmm(%b, %x, %w, 1, 1)
// becomes
//   %3 : f32[2, 4] = aten::mm(%x, %w)
//   %4 : f32[2, 4] = aten::add.Tensor(%3, %b, 1)
//
// Cost: linear in the nodes that are made.
#include <string.h>

#include "ir/compose.h"
#include "passes/pass.h"

// A size that only the call can tell has the name that the rest of the graph knows it by.
typedef struct renaming {
  uint32_t first, count;  // symbols first .. first + count - 1 are new
  fst_dim *map;           // [first + count]
} renaming;

static void renaming_note(fst_graph *g, renaming *r, fst_dim made, fst_dim known) {
  uint32_t symbol;
  if (made != known && fst_dim_is_known(known) && fst_dim_is_symbol(g->dims, made, &symbol) && symbol >= r->first && symbol < r->first + r->count)
    r->map[symbol] = known;
}

static renaming renaming_make(fst_pass_ctx *pc, fst_graph *g, const fst_node *node, const fst_value_id *results, uint32_t before) {
  uint32_t now = fst_dims_symbol_count(g->dims);
  renaming r = {before, now - before, FST_NEW_ARRAY(pc->arena, fst_dim, now + 1)};
  for (uint32_t i = 0; i < now; i++) r.map[i] = FST_DIM_UNKNOWN;
  for (uint32_t i = 0; i < node->result_count; i++) {
    const fst_type_data *made = fst_value_type_data(g, results[i]), *known = fst_value_type_data(g, node->results[i]);
    if (made->kind != FST_TY_TENSOR || known->kind != FST_TY_TENSOR || made->rank != known->rank) continue;
    for (int d = 0; d < made->rank; d++) renaming_note(g, &r, made->dims[d], known->dims[d]);
  }
  return r;
}

static void value_rename(fst_graph *g, const renaming *r, fst_value_id id) {
  uint32_t count = r->first + r->count;
  fst_value *value = fst_value_get(g, id);
  const fst_type_data *type = fst_value_type_data(g, id);
  if (fst_dim_is_known(value->sym)) value->sym = fst_dim_substitute(g->dims, value->sym, r->map, count);
  if (type->kind != FST_TY_TENSOR || type->rank < 0) return;
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  for (int d = 0; d < type->rank; d++) {
    dims[d] = fst_dim_substitute(g->dims, type->dims[d], r->map, count);
    if (type->has_strides) strides[d] = fst_dim_substitute(g->dims, type->strides[d], r->map, count);
  }
  fst_value_set_type(g, id, fst_type_tensor(g->module->types, type->dtype, type->rank, dims, type->has_strides ? strides : NULL, type->device_kind, type->device_index));
}

static void nodes_rename(fst_graph *g, const renaming *r, fst_node_id from, fst_node_id end) {
  for (fst_node_id id = from; !fst_node_eq(id, end); id = fst_node_get(g, id)->next) {
    const fst_node *n = fst_node_get(g, id);
    for (uint32_t i = 0; i < n->result_count; i++) value_rename(g, r, n->results[i]);
    for (uint32_t b = 0; b < n->block_count; b++) {
      const fst_block *block = fst_block_get(g, n->blocks[b]);
      for (size_t i = 0; i < block->params.len; i++) value_rename(g, r, block->params.data[i]);
      nodes_rename(g, r, block->first, FST_NO_NODE);
    }
  }
}

static fst_node_id first_after(fst_graph *g, fst_node_id before, fst_block_id block) {
  return before.id ? fst_node_get(g, before)->next : fst_block_get(g, block)->first;
}

// Puts the composition in the node's place. False, with nothing changed, when it does not apply.
static bool node_compose(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  const fst_node *node = fst_node_get(g, id);
  fst_node_id before = node->prev;
  uint32_t symbols = fst_dims_symbol_count(g->dims);
  fst_value_id *results = FST_NEW_ARRAY(pc->arena, fst_value_id, node->result_count + 1);
  fst_infer in = {.graph = g, .node = id, .dims = g->dims, .types = g->module->types, .arena = pc->arena};
  int status = fst_compose_build(&in, results);
  fst_vec_free(&in.guards);
  if (status != FST_INFER_OK) return false;
  if (!fst_pass_allow(pc)) {
    while (!fst_node_eq(fst_node_get(g, id)->prev, before)) fst_node_erase(g, fst_node_get(g, id)->prev);
    return false;
  }
  renaming r = renaming_make(pc, g, node, results, symbols);
  nodes_rename(g, &r, first_after(g, before, node->block), id);
  for (uint32_t i = 0; i < node->result_count; i++) fst_value_replace(g, node->results[i], results[i]);
  fst_node_erase(g, id);
  return true;
}

// addmm_(self, ...) as copy_(self, addmm(self, ...)), if the functional form is composed for these operands.
static bool write_compose(fst_pass_ctx *pc, fst_graph *g, fst_node_id id, fst_op functional) {
  static const char copy[] = "aten::copy_";
  const fst_node *node = fst_node_get(g, id);
  fst_node_id made = fst_node_create(g, functional, node->operands, node->operand_count, 1, node->loc);
  fst_value_id made_result = fst_node_result(fst_node_get(g, made), 0);
  fst_node_insert_before(g, id, made);
  fst_infer in = {0};
  int status = fst_infer_node(g, made, pc->arena, &in);
  fst_vec_free(&in.guards);
  fst_value_id operands[3] = {fst_node_operand(node, 0), made_result, fst_graph_const_bool(g, false)};
  fst_node_id write = fst_node_create(g, fst_op_find(copy, sizeof copy - 1), operands, 3, 1, node->loc);
  fst_node_insert_before(g, id, write);
  fst_value_id written = fst_node_result(fst_node_get(g, write), 0), own = fst_node_result(node, 0);
  fst_value_set_type(g, written, fst_value_type(g, own));
  if (status == FST_INFER_OK && node_compose(pc, g, made)) {
    fst_value_replace(g, own, written);
    fst_node_erase(g, id);
    return true;
  }
  fst_node_erase(g, write);
  fst_node_erase(g, made);
  return false;
}

static bool node_decompose(fst_pass_ctx *pc, fst_graph *g, fst_node_id id) {
  fst_op op = fst_node_get(g, id)->op;
  if (op == FST_OP_UNKNOWN) return false;
  const fst_op_info *info = fst_op_get(op);
  if (info->compose) return node_compose(pc, g, id);
  if (!info->inplace_of || fst_node_get(g, id)->result_count != 1) return false;
  fst_op functional = fst_op_find(info->inplace_of, strlen(info->inplace_of));
  return functional != FST_OP_UNKNOWN && fst_op_get(functional)->compose && write_compose(pc, g, id, functional);
}

static void block_decompose(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  fst_node_id n = fst_block_get(g, block)->first;
  while (n.id) {
    const fst_node *node = fst_node_get(g, n);
    fst_node_id before = node->prev, next = node->next;
    for (uint32_t i = 0; i < node->block_count; i++) block_decompose(pc, g, node->blocks[i]);
    n = node_decompose(pc, g, n) ? first_after(g, before, block) : next;  // the parts come next
  }
}

fst_status fst_pass_decompose(fst_pass_ctx *pc, fst_graph *graph) {
  block_decompose(pc, graph, graph->entry);
  return NULL;
}
