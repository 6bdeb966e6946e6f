// cse: of equal pure nodes that see each other, the first serves for all.
//
// Any stage. Numbers, strings and other immutable values always; tensors once `functional`, and only those whose
// memory nothing writes and nobody outside sees (two results of a call stay two tensors). Lists that are made for one op
// and never written count as what they hold. Cost: linear.
//
// Before:                                     After:
//   %1 : bool = aten::eq.int(%sr, 16000)         %1 : bool = aten::eq.int(%sr, 16000)
//   %2 : bool = aten::eq.int(%sr, 16000)         ... %1 for %2
#include "ir/infer.h"
#include "passes/alias.h"
#include "passes/pass.h"

typedef struct {
  fst_pass_ctx *pc;
  fst_graph *g;
  const fst_alias *alias;   // NULL before `functional`: tensors may still be written in place
  fst_map seen;     // hash -> node id; entries of closed blocks stay and are checked for dominance
} eliminator;

static uint64_t node_hash(const fst_graph *g, const fst_node *n) {
  uint64_t h = fst_hash_mix((uint64_t)n->op << 32 | n->operand_count, (uint64_t)n->name << 32 | n->attr_type.id);
  h = fst_hash_mix(h, (uint64_t)n->attr_int);
  for (uint32_t i = 0; i < n->operand_count; i++) {
    const fst_node *list = fst_list_items(g, n->operands[i]);
    h = fst_hash_mix(h, list ? list->operand_count : n->operands[i].id);
    for (uint32_t k = 0; list && k < list->operand_count; k++) h = fst_hash_mix(h, list->operands[k].id);
  }
  return h;
}

static bool same_operand(const fst_graph *g, fst_value_id a, fst_value_id b) {
  if (fst_value_eq(a, b)) return true;
  const fst_node *x = fst_list_items(g, a), *y = fst_list_items(g, b);
  if (!x || !y || x->operand_count != y->operand_count || !fst_type_eq(fst_value_type(g, a), fst_value_type(g, b))) return false;
  for (uint32_t i = 0; i < x->operand_count; i++)
    if (!fst_value_eq(x->operands[i], y->operands[i])) return false;
  return true;
}

static bool equal(const fst_graph *g, const fst_node *a, const fst_node *b) {
  if (a->op != b->op || a->operand_count != b->operand_count || a->result_count != b->result_count || a->name != b->name ||
      !fst_type_eq(a->attr_type, b->attr_type) || a->attr_int != b->attr_int)
    return false;
  for (uint32_t i = 0; i < a->operand_count; i++)
    if (!same_operand(g, a->operands[i], b->operands[i])) return false;
  for (uint32_t i = 0; i < a->result_count; i++)
    if (!fst_type_eq(fst_value_type(g, a->results[i]), fst_value_type(g, b->results[i])) ||
        fst_value_get(g, a->results[i])->sym != fst_value_get(g, b->results[i])->sym)
      return false;
  return true;
}

static bool reads_written(eliminator *e, fst_value_id tensor) {
  return !e->alias || tensor.id >= e->alias->count || fst_alias_info(e->alias, tensor)->written;
}

// A list that nothing writes, of things that nothing writes.
static bool is_fixed(eliminator *e, fst_value_id list) {
  const fst_const_data *c = fst_value_const(e->g, list);
  const fst_node *made = fst_list_items(e->g, list);
  for (uint32_t i = 0; made && i < made->operand_count; i++) {
    fst_type_kind kind = fst_value_type_data(e->g, made->operands[i])->kind;
    if (kind == FST_TY_LIST || kind == FST_TY_DICT || (kind == FST_TY_TENSOR && reads_written(e, made->operands[i]))) return false;
  }
  return made || (c && c->kind == FST_CONST_TUPLE);
}

static bool may_share(eliminator *e, const fst_node *n) {
  if (n->op == FST_OP_UNKNOWN || n->block_count || !n->result_count) return false;
  const fst_op_info *info = fst_op_get(n->op);
  if ((info->effect != FST_PURE && info->effect != FST_RAISES) || n->op == FST_OP_LIST_CONSTRUCT || fst_node_trains(e->g, n)) return false;
  for (uint32_t r = 0; r < n->result_count; r++) {
    fst_type type = fst_value_type(e->g, n->results[r]);
    fst_type_kind kind = fst_type_kind_of(e->g->module->types, type);
    if (kind == FST_TY_INT || kind == FST_TY_FLOAT || kind == FST_TY_BOOL || kind == FST_TY_STR || kind == FST_TY_NONE || kind == FST_TY_DEVICE) continue;
    if (kind != FST_TY_TENSOR || !e->alias || n->results[r].id >= e->alias->count) return false;
    const fst_alias_class *cls = fst_alias_info(e->alias, n->results[r]);
    if (cls->written || cls->escapes || cls->external) return false;
  }
  // Reading memory that may change between the two.
  for (uint32_t i = 0; i < n->operand_count; i++) {
    fst_type_kind kind = fst_value_type_data(e->g, n->operands[i])->kind;
    if (kind == FST_TY_TENSOR && reads_written(e, n->operands[i])) return false;
    if ((kind == FST_TY_LIST || kind == FST_TY_DICT) && !is_fixed(e, n->operands[i])) return false;
  }
  return true;
}

static void eliminate_block(eliminator *e, fst_block_id block) {
  for (FST_EACH_NODE(e->g, block, id)) {
    const fst_node *n = fst_node_get(e->g, id);
    if (n->op == FST_OP_GROUP) continue;
    for (uint32_t b = 0; b < n->block_count; b++) eliminate_block(e, n->blocks[b]);
    if (!may_share(e, n)) continue;
    uint64_t h = node_hash(e->g, n), known;
    for (; fst_map_get(&e->seen, h, &known); h++) {
      fst_node_id first = {(uint32_t)known};
      const fst_node *f = fst_node_get(e->g, first);
      if (!f->block.id || !equal(e->g, f, n)) continue;
      if (!fst_value_dominates(e->g, f->results[0], id)) continue;
      if (!fst_pass_allow(e->pc)) break;
      for (uint32_t r = 0; r < n->result_count; r++) fst_value_replace(e->g, n->results[r], f->results[r]);
      fst_node_erase(e->g, id);
      id.id = 0;
      break;
    }
    if (!id.id) continue;
    while (fst_map_get(&e->seen, h, &known)) h++;
    fst_map_set(&e->seen, h, id.id);
  }
}

fst_status fst_pass_cse(fst_pass_ctx *pc, fst_graph *graph) {
  eliminator e = {.pc = pc, .g = graph, .alias = graph->stage >= FST_STAGE_FUNCTIONAL ? pc->alias : NULL};
  eliminate_block(&e, graph->entry);
  fst_map_deinit(&e.seen);
  return NULL;
}
