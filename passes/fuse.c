// fuse: nodes that become one kernel move into an fst::group.
//
// Expects: `functional`. Every node with a kernel of ours ends up in exactly one group; views of memory stay
// outside (they are pointer arithmetic), except where what they view is computed in the group: then they are
// index maps. Leaves alone: everything without a lowering, and nodes on dynamic tensors.
// A producer joins its consumer's group when the consumer is its only reader, nothing between the two
// writes memory that the producer reads, and computing it in place costs no more than storing it would:
//   pointwise, creation, copies and affine views into pointwise consumers and single-pass reductions;
//   reductions and contractions into pointwise consumers of the same shape (an epilogue).
// Cost: linear in nodes and uses.
//
// Before:                                        After:
//   %1 : f32[8] = aten::mul.Tensor(%x, %x)         %3 : f32[8] = fst::group() {
//   %2 : f32[8] = aten::relu(%1)                     %1 : f32[8] = aten::mul.Tensor(%x, %x)
//                                                    %2 : f32[8] = aten::relu(%1)
//                                                    yield %2
//                                                  }
#include <string.h>

#include "base/vec.h"
#include "ir/infer.h"
#include "ir/kernel_node.h"
#include "ir/lower.h"
#include "passes/alias.h"
#include "passes/pass.h"

typedef struct {
  fst_pass_ctx *pc;
  fst_graph *g;
  const fst_alias *alias;
  fst_map group_of;     // node id -> id of the last node of its group
} fuser;

static bool static_tensor(const fst_graph *g, fst_value_id v) {
  const fst_type_data *t = fst_value_type_data(g, v);
  return t->kind == FST_TY_TENSOR && t->rank >= 0 && t->dtype != FST_DTYPE_UNKNOWN && t->has_strides;
}

// Index maps that are a permutation, an offset or a stride: free wherever they are applied.
static bool is_affine_view(const fst_graph *g, fst_node_id id) {
  switch (fst_node_get(g, id)->op) {
    case FST_OP_UNSQUEEZE: case FST_OP_SQUEEZE: case FST_OP_SQUEEZE_DIM: case FST_OP_TRANSPOSE_INT: case FST_OP_PERMUTE:
    case FST_OP_T: case FST_OP_EXPAND: case FST_OP_SELECT_INT: case FST_OP_SLICE_TENSOR: case FST_OP_DETACH:
      return fst_infer_is_view(g, id);
    default: return false;
  }
}

static bool same_shape(const fst_graph *g, fst_value_id a, fst_value_id b) {
  const fst_type_data *x = fst_value_type_data(g, a), *y = fst_value_type_data(g, b);
  return x->rank == y->rank && (x->rank == 0 || !memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims));
}

static fst_op_class class_of(const fst_graph *g, fst_node_id id) { return fst_op_get(fst_node_get(g, id)->op)->cls; }

// May `producer`, whose result `value` this node reads, be computed where the node wants its elements?
static bool worth_fusing(const fst_graph *g, fst_node_id producer, fst_value_id value, fst_node_id consumer) {
  const fst_op_info *to = fst_op_get(fst_node_get(g, consumer)->op);
  if (to->lower_stmt || fst_op_get(fst_node_get(g, producer)->op)->lower_stmt) return false;
  fst_op_class from_class = class_of(g, producer), to_class = class_of(g, consumer);
  bool view = is_affine_view(g, producer), cheap = view || from_class == FST_CLASS_POINTWISE || from_class == FST_CLASS_CREATE;
  bool elementwise = to_class == FST_CLASS_POINTWISE && same_shape(g, value, fst_node_get(g, consumer)->results[0]);
  if (from_class == FST_CLASS_REDUCTION || from_class == FST_CLASS_CONTRACTION || from_class == FST_CLASS_COPY || from_class == FST_CLASS_GATHER)
    return elementwise;
  if (!cheap) return false;
  if (to_class == FST_CLASS_POINTWISE) return elementwise || view || from_class == FST_CLASS_CREATE;
  if (is_affine_view(g, consumer)) return true;
  // One pass over the operand: each element is asked for once.
  return to_class == FST_CLASS_REDUCTION && to->single_pass;
}

// The group a value's only reader belongs to, if the reader is in `block`.
static fst_node_id only_reader(const fuser *f, fst_node_id producer, fst_value_id value) {
  const fst_value *v = fst_value_get(f->g, value);
  fst_node_id reader = FST_NO_NODE;
  for (size_t i = 0; i < v->uses.len; i++) {
    fst_node_id user = v->uses.data[i].user;
    if (reader.id && !fst_node_eq(reader, user)) return FST_NO_NODE;
    reader = user;
  }
  if (!reader.id || !fst_block_eq(fst_node_get(f->g, reader)->block, fst_node_get(f->g, producer)->block)) return FST_NO_NODE;
  return reader;
}

static bool reads_survive(const fuser *f, fst_node_id producer, fst_node_id until) {
  const fst_node *p = fst_node_get(f->g, producer);
  for (fst_node_id id = p->next; id.id && !fst_node_eq(id, until); id = fst_node_get(f->g, id)->next)
    for (uint32_t i = 0; i < p->operand_count; i++)
      if (fst_value_type_data(f->g, p->operands[i])->kind == FST_TY_TENSOR && fst_alias_writes(f->g, f->alias, fst_node_get(f->g, id), p->operands[i]))
        return false;
  return true;
}

static void choose_groups(fuser *f, fst_block_id block) {
  for (fst_node_id id = fst_block_get(f->g, block)->last; id.id; id = fst_node_get(f->g, id)->prev) {
    const fst_node *n = fst_node_get(f->g, id);
    for (uint32_t b = 0; b < n->block_count; b++) choose_groups(f, n->blocks[b]);
    bool kernel = fst_node_is_kernel(f->g, id), view = !kernel && n->op != FST_OP_UNKNOWN && is_affine_view(f->g, id) && static_tensor(f->g, n->results[0]);
    if (!kernel && !view) continue;
    if (kernel) fst_map_set(&f->group_of, id.id, id.id);
    uint64_t root;
    if (n->result_count != 1) continue;
    if (kernel && fst_op_get(n->op)->effect == FST_WRITES) continue;
    fst_node_id reader = only_reader(f, id, n->results[0]);
    if (!reader.id || !fst_map_get(&f->group_of, reader.id, &root)) continue;
    if (fst_op_get(fst_node_get(f->g, reader)->op)->effect == FST_WRITES) continue;
    if (!worth_fusing(f->g, id, n->results[0], reader) || !reads_survive(f, id, (fst_node_id){(uint32_t)root})) continue;
    if (!fst_pass_allow(f->pc)) continue;
    fst_map_set(&f->group_of, id.id, root);
  }
}

// Views at the head of a group whose operand is not computed in it read memory: they stay outside.
static void drop_outer_views(fuser *f, fst_block_id block) {
  for (FST_EACH_NODE(f->g, block, id)) {
    uint64_t root, producer_root;
    if (!fst_map_get(&f->group_of, id.id, &root) || fst_node_is_kernel(f->g, id)) continue;
    fst_node_id def = fst_value_def(f->g, fst_node_get(f->g, id)->operands[0]);
    if (!def.id || !fst_map_get(&f->group_of, def.id, &producer_root) || producer_root != root) fst_map_remove(&f->group_of, id.id);
  }
}

static void build_group(fuser *f, fst_block_id block, fst_node_id root) {
  fst_graph *g = f->g;
  fst_node_id group = fst_node_create(g, FST_OP_GROUP, NULL, 0, 0, fst_node_get(g, root)->loc);
  fst_node_insert_before(g, root, group);
  fst_block_id body = fst_node_add_block(g, group);
  fst_node_id yield = fst_node_create(g, FST_OP_YIELD, NULL, 0, 0, FST_NO_LOC);
  fst_node_append(g, body, yield);
  for (FST_EACH_NODE(g, block, id)) {
    uint64_t of;
    if (!fst_map_get(&f->group_of, id.id, &of) || of != root.id) continue;
    fst_node_move_before(g, yield, id);
    if (fst_node_eq(id, root)) break;
  }
  const fst_node *last = fst_node_get(g, root);
  bool writes_all = fst_op_get(last->op)->lower_stmt != NULL;   // the statement has a place for each result
  for (uint32_t r = 0; r < last->result_count; r++) {
    fst_value_id inner = last->results[r];
    if (!fst_value_get(g, inner)->uses.len && last->result_count > 1 && !writes_all) continue;
    fst_value_id outer = fst_node_add_result(g, group, fst_value_type(g, inner));
    fst_value_get(g, outer)->sym = fst_value_get(g, inner)->sym;
    fst_value_replace(g, inner, outer);
    fst_node_add_operand(g, yield, inner);
  }
}

static void build_groups(fuser *f, fst_block_id block) {
  for (FST_EACH_NODE(f->g, block, id)) {
    uint64_t root;
    const fst_node *n = fst_node_get(f->g, id);
    for (uint32_t b = 0; b < n->block_count; b++)
      if (n->op != FST_OP_GROUP) build_groups(f, n->blocks[b]);
    if (fst_map_get(&f->group_of, id.id, &root) && root == id.id) build_group(f, block, id);
  }
}

static void drop_views_everywhere(fuser *f, fst_block_id block) {
  drop_outer_views(f, block);
  for (FST_EACH_NODE(f->g, block, id)) {
    const fst_node *n = fst_node_get(f->g, id);
    for (uint32_t b = 0; b < n->block_count; b++) drop_views_everywhere(f, n->blocks[b]);
  }
}

fst_status fst_pass_fuse(fst_pass_ctx *pc, fst_graph *graph) {
  fuser f = {.pc = pc, .g = graph, .alias = pc->alias};
  choose_groups(&f, graph->entry);
  drop_views_everywhere(&f, graph->entry);
  build_groups(&f, graph->entry);
  fst_map_deinit(&f.group_of);
  if (graph->stage < FST_STAGE_FUSED) graph->stage = FST_STAGE_FUSED;
  return NULL;
}
