#include "ir/infer.h"
#include "passes/rules/rules.h"

// The node that makes the viewed tensor, where that is a view itself; NULL otherwise.
static const fst_node *viewed(const fst_rewrite *rw) {
  fst_node_id def = fst_value_def(rw->g, rw->node->operands[0]);
  if (!fst_infer_is_view(rw->g, rw->id) || !def.id || !fst_infer_is_view(rw->g, def)) return NULL;
  return fst_node_get(rw->g, def);
}

static int rank_of(const fst_rewrite *rw, fst_value_id tensor) { return fst_value_type_data(rw->g, tensor)->rank; }

// A literal dimension of something of that rank.
static bool dim_of(const fst_rewrite *rw, fst_value_id value, int rank, int64_t *out) {
  if (!fst_value_const_int(rw->g, value, out)) return false;
  if (*out < 0) *out += rank;
  return *out >= 0 && *out < rank;
}

static bool size_of(const fst_rewrite *rw, fst_value_id tensor, int64_t dim, int64_t *out) {
  return fst_dim_is_const(rw->g->dims, fst_value_type_data(rw->g, tensor)->dims[dim], out);
}

bool fst_rule_view_nothing(fst_rewrite *rw, fst_value_id *out) {
  fst_dim offset;
  out[0] = rw->node->operands[0];
  return fst_infer_is_view(rw->g, rw->id) && fst_view_offset(rw->g, rw->id, &offset) && offset == fst_dim_const(rw->g->dims, 0);
}

bool fst_rule_squeeze_unsqueeze(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node, *inner = viewed(rw);
  int64_t outer_dim, inner_dim, index = 0;
  if (!inner || inner->op != FST_OP_UNSQUEEZE) return false;
  int rank = rank_of(rw, n->operands[0]);
  if (!dim_of(rw, n->operands[1], rank, &outer_dim) || !dim_of(rw, inner->operands[1], rank, &inner_dim) || outer_dim != inner_dim) return false;
  out[0] = inner->operands[0];
  return n->op == FST_OP_SQUEEZE_DIM || (fst_value_const_int(rw->g, n->operands[2], &index) && (index == 0 || index == -1));
}

bool fst_rule_unsqueeze_squeeze(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node, *inner = viewed(rw);
  int64_t outer_dim, inner_dim;
  if (!inner || inner->op != FST_OP_SQUEEZE_DIM) return false;
  int rank = rank_of(rw, inner->operands[0]);
  if (rank != rank_of(rw, n->results[0]) || !dim_of(rw, n->operands[1], rank, &outer_dim) || !dim_of(rw, inner->operands[1], rank, &inner_dim)) return false;
  out[0] = inner->operands[0];
  return outer_dim == inner_dim;
}

// Which dimension of its operand each dimension of a permuting node is.
static bool permutation(fst_rewrite *rw, fst_node_id id, int64_t *out) {
  const fst_node *n = fst_node_get(rw->g, id);
  int rank = rank_of(rw, n->operands[0]);
  int64_t a = 0, b = 1;
  for (int i = 0; i < rank; i++) out[i] = i;
  if (n->op == FST_OP_PERMUTE) {
    fst_infer in = {.graph = rw->g, .node = id, .dims = rw->g->dims, .types = rw->g->module->types, .arena = rw->arena};
    fst_dim dims[FST_MAX_RANK];
    if (fst_infer_int_list(&in, 1, dims, FST_MAX_RANK) != rank) return false;
    for (int i = 0; i < rank; i++) {
      if (!fst_dim_is_const(rw->g->dims, dims[i], &out[i])) return false;
      if (out[i] < 0) out[i] += rank;
    }
    return true;
  }
  if (n->op != FST_OP_T && n->op != FST_OP_TRANSPOSE_INT) return false;
  if (rank < 2) return true;
  if (n->op == FST_OP_TRANSPOSE_INT && (!dim_of(rw, n->operands[1], rank, &a) || !dim_of(rw, n->operands[2], rank, &b))) return false;
  out[a] = b;
  out[b] = a;
  return true;
}

bool fst_rule_permute_permute(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *inner = viewed(rw);
  int64_t first[FST_MAX_RANK], second[FST_MAX_RANK];
  if (!inner || !permutation(rw, fst_value_def(rw->g, rw->node->operands[0]), first) || !permutation(rw, rw->id, second)) return false;
  int rank = rank_of(rw, inner->operands[0]);
  fst_const dims[FST_MAX_RANK];
  bool identity = true;
  for (int i = 0; i < rank; i++) {
    dims[i] = fst_const_int(rw->g->module, first[second[i]]);
    identity = identity && first[second[i]] == i;
  }
  out[0] = inner->operands[0];
  if (identity) return true;
  fst_type list = fst_type_list(rw->g->module->types, fst_type_simple(rw->g->module->types, FST_TY_INT));
  fst_value_id operands[2] = {inner->operands[0], fst_graph_const(rw->g, fst_const_tuple(rw->g->module, list, dims, (uint32_t)rank))};
  out[0] = fst_rewrite_make(rw, FST_OP_PERMUTE, operands, 2);
  return true;
}

// The node's own op on what the viewed tensor is a view of; none unless that is a view, too.
static fst_value_id skip_viewed(fst_rewrite *rw, const fst_node *inner) {
  fst_value_id *operands = fst_arena_memdup(rw->arena, rw->node->operands, rw->node->operand_count * sizeof *operands);
  operands[0] = inner->operands[0];
  fst_value_id made = fst_rewrite_make(rw, rw->node->op, operands, rw->node->operand_count);
  return made.id && fst_infer_is_view(rw->g, fst_value_def(rw->g, made)) ? made : FST_NO_VALUE;
}

bool fst_rule_view_view(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *inner = viewed(rw);
  if (!inner) return false;
  switch (inner->op) {   // those that keep the order of elements
    case FST_OP_VIEW: case FST_OP_RESHAPE: case FST_OP__UNSAFE_VIEW: case FST_OP_FLATTEN_USING_INTS: case FST_OP_UNFLATTEN_INT: case FST_OP_SQUEEZE: case FST_OP_SQUEEZE_DIM: case FST_OP_UNSQUEEZE:
      out[0] = skip_viewed(rw, inner);
      return out[0].id;
    default: return false;
  }
}

bool fst_rule_expand_expand(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *inner = viewed(rw);
  if (!inner || inner->op != FST_OP_EXPAND) return false;
  out[0] = skip_viewed(rw, inner);
  return out[0].id;
}

// A slice along a literal dimension of a literal size, of at least one element.
typedef struct { int64_t dim, start, step, count; } part;

static bool part_of(const fst_rewrite *rw, const fst_node *slice, part *out) {
  int64_t size;
  int rank = rank_of(rw, slice->operands[0]);
  if (slice->op != FST_OP_SLICE_TENSOR || !dim_of(rw, slice->operands[1], rank, &out->dim) || !size_of(rw, slice->operands[0], out->dim, &size)) return false;
  out->start = 0;
  if (!fst_value_is_none(rw->g, slice->operands[2]) && !fst_value_const_int(rw->g, slice->operands[2], &out->start)) return false;
  if (out->start < 0) out->start = out->start + size < 0 ? 0 : out->start + size;
  return fst_value_const_int(rw->g, slice->operands[4], &out->step) && size_of(rw, slice->results[0], out->dim, &out->count) && out->count > 0;
}

bool fst_rule_select_slice(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *n = rw->node, *inner = viewed(rw);
  int64_t dim, index;
  part p;
  if (!inner || !part_of(rw, inner, &p) || !dim_of(rw, n->operands[1], rank_of(rw, n->operands[0]), &dim) || dim != p.dim || !fst_value_const_int(rw->g, n->operands[2], &index)) return false;
  if (index < 0) index += p.count;
  if (index < 0 || index >= p.count) return false;
  fst_value_id operands[3] = {inner->operands[0], fst_graph_const_int(rw->g, dim), fst_graph_const_int(rw->g, p.start + index * p.step)};
  out[0] = fst_rewrite_make(rw, FST_OP_SELECT_INT, operands, 3);
  return true;
}

bool fst_rule_slice_slice(fst_rewrite *rw, fst_value_id *out) {
  const fst_node *inner = viewed(rw);
  part of, p;
  if (!inner || !part_of(rw, inner, &of) || !part_of(rw, rw->node, &p) || of.dim != p.dim) return false;
  int64_t start = of.start + p.start * of.step, step = of.step * p.step;
  fst_value_id operands[5] = {inner->operands[0], fst_graph_const_int(rw->g, p.dim), fst_graph_const_int(rw->g, start), fst_graph_const_int(rw->g, start + (p.count - 1) * step + 1), fst_graph_const_int(rw->g, step)};
  out[0] = fst_rewrite_make(rw, FST_OP_SLICE_TENSOR, operands, 5);
  return true;
}
