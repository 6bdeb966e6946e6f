// Sorting as a statement: along one dim, stable, NaN last (first when descending), as PyTorch orders them.
//
// PyTorch's sort is not stable unless asked to be, beyond 16 elements, and which of equal elements comes first is its
// own affair. Among floats there are few; of other dtypes such a sort is left to the fallback when anyone looks at
// the positions.
#include <string.h>

#include "ir/args.h"
#include "ir/lower_build.h"
#include "ir/rows_structured.h"

enum { SORT_ALWAYS_STABLE = 16 };

// Does anyone look at this result? A group yields all results of a statement, looked at or not.
static bool is_seen(const fst_graph *g, fst_value_id value) {
  const fst_value *v = fst_value_get(g, value);
  for (size_t i = 0; i < v->uses.len; i++) {
    const fst_node *user = fst_node_get(g, v->uses.data[i].user);
    fst_node_id owner = fst_block_get(g, user->block)->owner;
    bool yields = user->op == FST_OP_YIELD && owner.id && fst_node_get(g, owner)->op == FST_OP_GROUP;
    if (!yields || is_seen(g, fst_node_get(g, owner)->results[v->uses.data[i].index])) return true;
  }
  return false;
}

static bool order_is_ours(fst_lower *lo, const fst_type_data *x, bool stable, int dim) {
  int64_t size = 1;
  bool is_short = x->rank == 0 || (fst_dim_is_const(lo->graph->dims, x->dims[dim], &size) && size <= SORT_ALWAYS_STABLE);
  bool unseen = !is_seen(lo->graph, fst_node_get(lo->graph, lo->node)->results[1]);
  return stable || is_short || unseen || fst_dtype_is_float(x->dtype);
}

void fst_lower_sort(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  const fst_type_data *x = fst_lower_type(lo, 0);
  int64_t axis;
  bool descending, stable;
  if (!fst_args_int(&in, "dim", -1, &axis) || !fst_args_bool(&in, "descending", false, &descending)) return;
  uint32_t count = x->rank ? (uint32_t)x->rank : 1, dim = (uint32_t)(axis < 0 ? axis + count : axis);
  if (!fst_args_bool(&in, "stable", false, &stable) || !order_is_ours(lo, x, stable, (int)dim)) return;
  uint32_t buffers[2] = {fst_lower_result_buffer(lo, 0), fst_lower_result_buffer(lo, 1)};
  fst_kx index[FST_MAX_RANK], extents[FST_MAX_RANK];
  for (uint32_t d = 0; d < count; d++) {
    index[d] = kx_var(lo);
    extents[d] = x->rank ? fst_lower_size(lo, 0, d) : kx_int(lo, 1);
  }
  fst_kx keys = fst_lower_load(lo, 0, index);
  fst_kstmt *stmt = fst_kernel_add_stmt(lo->kernel, FST_KSTMT_SORT, count, 2, 0);
  for (uint32_t d = 0, at = 0; d < count; d++) {
    uint32_t place = d == dim ? count - 1 : at++;  // the sorted dim runs innermost
    stmt->vars[place] = fst_kx_get(lo->kernel, index[d])->index;
    stmt->extents[place] = extents[d];
  }
  stmt->descending = descending;
  for (uint32_t r = 0; r < 2; r++) {
    stmt->stores[r] = (fst_kstore){buffers[r], r ? index[dim] : keys, (uint32_t)x->rank, FST_NEW_ARRAY(&lo->kernel->arena, fst_kx, count)};
    memcpy(stmt->stores[r].indices, index, sizeof *index * count);
  }
}
