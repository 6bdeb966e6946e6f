// Ops that give a tensor itself other sizes and strides (unsqueeze_, t_, as_strided_): every name of the tensor
// becomes a name of a view of it.
//
// That is exact where all names are known: the tensor was made in this very block, is not kept by a container, an attribute
// or state, and no other value may be the same object. Everywhere else the op stays, and PyTorch's refusal or ours is
// an error by name: a caller's tensor does not change its sizes behind the caller's back.
#include <string.h>

#include "passes/specialize_internal.h"

// Ops whose result is another tensor object than any operand, and which keep none of them.
static bool makes_new_object(const fst_node *n) {
  if (n->op == FST_OP_UNKNOWN || n->block_count) return false;
  const fst_op_info *info = fst_op_get(n->op);
  if (info->effect == FST_WRITES || info->effect == FST_RANDOM || info->effect == FST_IO) return false;
  switch (info->cls) {
    case FST_CLASS_CONTAINER: case FST_CLASS_ATTRIBUTE: case FST_CLASS_CONTROL: case FST_CLASS_CALL: case FST_CLASS_INTERNAL: case FST_CLASS_OPAQUE: return false;
    case FST_CLASS_VIEW: break;
    default: return true;
  }
  switch (n->op) {   // of the views, those that never return self
    case FST_OP_SQUEEZE: case FST_OP_SQUEEZE_DIM: case FST_OP_SQUEEZE_DIMS: case FST_OP_UNSQUEEZE: case FST_OP_T: case FST_OP_TRANSPOSE_INT: case FST_OP_SWAPAXES:
    case FST_OP_SWAPDIMS: case FST_OP_PERMUTE: case FST_OP_VIEW: case FST_OP_SELECT_INT: case FST_OP_SLICE_TENSOR: case FST_OP_AS_STRIDED: return true;
    default: return false;
  }
}

static bool all_names_are_known(specializer *sp, const world *w, fst_value_id value) {
  fst_node_id def = fst_value_def(sp->out, value);
  if (!def.id || !fst_block_eq(fst_node_get(sp->out, def)->block, w->block) || !makes_new_object(fst_node_get(sp->out, def))) return false;
  const fst_value *v = fst_value_get(sp->out, value);
  for (size_t i = 0; i < v->uses.len; i++)
    if (!makes_new_object(fst_node_get(sp->out, v->uses.data[i].user))) return false;
  return true;
}

static binding rename_binding(specializer *sp, binding b, fst_value_id from, fst_value_id to);

// NULL when no item changes.
static binding *rename_items(specializer *sp, const binding *items, uint32_t count, fst_value_id from, fst_value_id to) {
  binding *changed = NULL;
  for (uint32_t i = 0; i < count; i++) {
    binding b = rename_binding(sp, items[i], from, to);
    if (!memcmp(&b, &items[i], sizeof b)) continue;
    if (!changed) changed = fst_arena_memdup(&sp->arena, items, count * sizeof *items);
    changed[i] = b;
  }
  return changed;
}

static binding rename_binding(specializer *sp, binding b, fst_value_id from, fst_value_id to) {
  if (b.kind == BOUND_VALUE && fst_value_eq(b.value, from)) b.value = to;
  if (b.kind != BOUND_TUPLE) return b;
  const binding *items = rename_items(sp, b.tuple->items, b.tuple->count, from, to);
  return items ? new_tuple(sp, b.tuple->type, items, b.tuple->count) : b;
}

static void rename_everywhere(specializer *sp, world *w, fst_value_id from, fst_value_id to) {
  for (size_t v = 0; v < sp->src->values.len; v++) w->bound[v] = rename_binding(sp, w->bound[v], from, to);
  for (size_t h = 0; h < w->heap.len; h++) {
    heap_cell *cell = &w->heap.data[h];
    const binding *items = cell->made.id ? NULL : rename_items(sp, cell->items, cell->count, from, to);
    if (items) cell->items = items;
  }
}

fst_status eval_reshape(specializer *sp, world *w, fst_node_id node, bool *out_done) {
  const fst_node *n = fst_node_get(sp->src, node);
  const fst_op_info *info = fst_op_get(n->op);
  binding self = world_get(sp, w, n->operands[0]);
  *out_done = self.kind == BOUND_VALUE && all_names_are_known(sp, w, self.value);
  if (!*out_done) return NULL;
  FST_TRY(eval_as(sp, w, node, fst_op_find(info->inplace_of, strlen(info->inplace_of))));
  if (w->dead) return NULL;
  binding view = n->result_count ? world_get(sp, w, n->results[0]) : self;
  FST_ASSERT(view.kind == BOUND_VALUE, "%s gives no tensor", info->inplace_of);
  rename_everywhere(sp, w, self.value, view.value);
  return NULL;
}
