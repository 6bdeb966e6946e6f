// functionalize: in-place ops become values where that is proven, and explicit writes where it is not.
//
// Expects `typed`. Afterwards the only node that writes tensor memory is fst::write(self, value), which
// stores elements of `value` into the memory of `self`; and unknown ops. An in-place op turns into its
// functional form (column inplace_of) alone, with no write left, when its operand was made in the same
// block by this call, nothing else is a view of it, and it escapes nowhere before: then every later use
// reads the new value instead. Leaves alone: in-place ops without a functional form, and containers.
// Cost: linear in nodes and uses.
//
// Before:                                           After:
//   %1 : f32[8] = aten::mul.Tensor(%x, %x)            %1 : f32[8] = aten::mul.Tensor(%x, %x)
//   %2 : f32[8] = aten::relu_(%1)                     %2 : f32[8] = aten::relu(%1)
//   %3 : f32[8] = aten::add_.Tensor(%y, %2, 1)        %3 : f32[8] = aten::add.Tensor(%y, %2, 1)
//                                                     %4 : f32[8] = fst::write(%y, %3)
#include <string.h>

#include "ir/infer.h"
#include "passes/alias.h"
#include "passes/pass.h"

typedef struct {
  fst_pass_ctx *pc;
  fst_graph *g;
  fst_alias alias;
} functionalizer;

static bool infer_into(functionalizer *f, fst_node_id node) {
  fst_infer in = {0};
  bool ok = fst_infer_node(f->g, node, f->pc->arena, &in) == FST_INFER_OK;
  fst_vec_free(&in.guards);
  return ok;
}

// Members of the class besides the value itself: views, joins, containers make it ineligible.
static bool sole_member(const functionalizer *f, fst_value_id value) {
  uint32_t cls = fst_alias_of(&f->alias, value);
  for (uint32_t v = 1; v < f->alias.count; v++) {
    if (v == value.id || fst_alias_of(&f->alias, (fst_value_id){v}) != cls) continue;
    const fst_value *other = f->g->values.data[v];
    if (other->kind != FST_VALUE_RESULT || !fst_node_get(f->g, other->node)->block.id) continue;  // erased
    const fst_node *n = fst_node_get(f->g, other->node);
    // Results of other in-place ops on the same value are the same tensor again.
    if (n->op == FST_OP_UNKNOWN || fst_op_get(n->op)->effect != FST_WRITES) return false;
  }
  return true;
}

static bool is_fresh(const functionalizer *f, fst_value_id value, fst_block_id block) {
  fst_node_id def = fst_value_def(f->g, value);
  if (!def.id) return false;
  const fst_node *n = fst_node_get(f->g, def);
  if (!fst_block_eq(n->block, block) || n->block_count || n->op == FST_OP_UNKNOWN) return false;
  const fst_alias_class *cls = fst_alias_info(&f->alias, value);
  return !cls->external && !fst_result_is_view(f->g, n, fst_value_get(f->g, value)->index) && sole_member(f, value);
}

static bool after(const fst_graph *g, fst_node_id node, fst_node_id user) {
  fst_block_id block = fst_node_get(g, node)->block;
  while (user.id && !fst_block_eq(fst_node_get(g, user)->block, block)) user = fst_block_get(g, fst_node_get(g, user)->block)->owner;
  for (fst_node_id id = fst_node_get(g, node)->next; id.id; id = fst_node_get(g, id)->next)
    if (fst_node_eq(id, user)) return true;
  return false;
}

// Kept by a container or state before the write: the write would be visible there.
static bool kept_before(const functionalizer *f, fst_value_id value, fst_node_id node) {
  const fst_value *v = fst_value_get(f->g, value);
  for (size_t i = 0; i < v->uses.len; i++) {
    fst_node_id user = v->uses.data[i].user;
    if (fst_node_eq(user, node) || after(f->g, node, user)) continue;
    const fst_node *n = fst_node_get(f->g, user);
    if (n->op == FST_OP_UNKNOWN || n->op == FST_OP_YIELD || n->op == FST_OP_STATE_SET) return true;
    fst_op_class cls = fst_op_get(n->op)->cls;
    if (cls == FST_CLASS_CONTAINER || cls == FST_CLASS_ATTRIBUTE) return true;
  }
  return false;
}

static void replace_later_uses(functionalizer *f, fst_value_id from, fst_value_id to, fst_node_id node) {
  for (size_t i = 0; i < fst_value_get(f->g, from)->uses.len;) {
    fst_use use = fst_value_get(f->g, from)->uses.data[i];
    if (after(f->g, node, use.user)) fst_node_set_operand(f->g, use.user, use.index, to);
    else i++;
  }
}

// The functional form as a node before `id`, of self's dtype and shape; none when it cannot be.
static fst_node_id functional_form(functionalizer *f, fst_node_id id) {
  fst_graph *g = f->g;
  const fst_node *n = fst_node_get(g, id);
  const fst_op_info *info = fst_op_get(n->op);
  fst_op op = info->inplace_of ? fst_op_find(info->inplace_of, strlen(info->inplace_of)) : FST_OP_UNKNOWN;
  if (op == FST_OP_UNKNOWN || fst_op_schema(op)->ret_count != 1) return FST_NO_NODE;
  uint32_t count = n->operand_count < fst_op_schema(op)->arg_count ? n->operand_count : fst_op_schema(op)->arg_count;
  fst_node_id made = fst_node_create(g, op, n->operands, count, 1, n->loc);
  fst_node_insert_before(g, id, made);
  fst_value_id value = fst_node_get(g, made)->results[0];
  fst_value_set_type(g, value, fst_type_tensor_any(g->module->types));
  const fst_type_data *self = fst_value_type_data(g, n->operands[0]);
  if (!infer_into(f, made) || fst_value_type_data(g, value)->rank != self->rank) {
    fst_node_erase(g, made);
    return FST_NO_NODE;
  }
  if (fst_value_type_data(g, value)->dtype == self->dtype) return made;
  fst_value_id operands[5] = {value, fst_graph_const_int(g, self->dtype), fst_graph_const_bool(g, false), fst_graph_const_bool(g, false), fst_graph_const_none(g)};
  fst_node_id cast = fst_node_create(g, FST_OP_TO_DTYPE, operands, 5, 1, n->loc);
  fst_node_insert_before(g, id, cast);
  fst_value_set_type(g, fst_node_get(g, cast)->results[0], fst_type_tensor_any(g->module->types));
  return infer_into(f, cast) ? cast : FST_NO_NODE;
}

static void functionalize_node(functionalizer *f, fst_node_id id) {
  fst_graph *g = f->g;
  fst_value_id self = fst_node_get(g, id)->operands[0];
  const fst_type_data *t = fst_value_type_data(g, self);
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || t->dtype == FST_DTYPE_UNKNOWN || !fst_pass_allow(f->pc)) return;
  if (f->alias.count != g->values.len) fst_alias_compute(g, f->pc->arena, &f->alias);   // earlier rewrites made values
  bool fresh = is_fresh(f, self, fst_node_get(g, id)->block) && !kept_before(f, self, id);
  fst_node_id made = functional_form(f, id);
  if (!made.id) return;
  fst_value_id value = fst_node_get(g, made)->results[0];
  if (!fresh) {
    fst_value_id operands[2] = {self, value};
    fst_node_id write = fst_node_create(g, FST_OP_WRITE, operands, 2, 1, fst_node_get(g, id)->loc);
    fst_node_insert_before(g, id, write);
    value = fst_node_get(g, write)->results[0];
    fst_value_set_type(g, value, fst_value_type(g, self));
  }
  if (fst_node_get(g, id)->result_count) fst_value_replace(g, fst_node_get(g, id)->results[0], value);
  if (fresh) replace_later_uses(f, self, value, id);
  fst_node_erase(g, id);
}

static void functionalize_block(functionalizer *f, fst_block_id block) {
  for (FST_EACH_NODE(f->g, block, id)) {
    const fst_node *n = fst_node_get(f->g, id);
    for (uint32_t b = 0; b < n->block_count; b++) functionalize_block(f, n->blocks[b]);
    if (n->op == FST_OP_UNKNOWN || n->op == FST_OP_WRITE || !n->operand_count) continue;
    const fst_op_info *info = fst_op_get(n->op);
    if (info->effect == FST_WRITES && info->inplace_of && info->cls != FST_CLASS_VIEW) functionalize_node(f, id);
  }
}

fst_status fst_pass_functionalize(fst_pass_ctx *pc, fst_graph *graph) {
  functionalizer f = {.pc = pc, .g = graph, .alias = *pc->alias};
  functionalize_block(&f, graph->entry);
  if (graph->stage < FST_STAGE_FUNCTIONAL) graph->stage = FST_STAGE_FUNCTIONAL;
  return NULL;
}
