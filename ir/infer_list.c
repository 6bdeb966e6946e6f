// Views that come as lists (unbind, chunk, split, broadcast_tensors, meshgrid) and lists of sizes.
//
// A list type has one element type, so the items' own sizes live only here: inference joins them, and
// fst_list_build makes single views (aten::select, aten::slice, aten::expand) and ints, which keep everything.
#include <string.h>

#include "ir/infer.h"
#include "ir/layout.h"
#include "ir/rows_basic.h"
#include "ir/view_internal.h"

typedef enum { LIST_SELECTS, LIST_PARTS, LIST_EXPANDS, LIST_GRID, LIST_INTS } list_kind;

typedef struct list_plan {
  list_kind kind;
  int count;
  int dim;                 // SELECTS, PARTS
  fst_dim *starts, *ends;  // PARTS
  const fst_dim *ints;     // INTS
  fst_shape common;        // EXPANDS, GRID: the shape of every item
  bool copies;             // the items are fresh tensors, not views
  bool swaps;              // GRID with indexing="xy": the first two items' dims are exchanged
} list_plan;

typedef int (*list_planner)(fst_infer *in, list_plan *plan);

static const char *op_short_name(const fst_infer *in) { return strchr(fst_op_name(fst_node_get(in->graph, in->node)->op), ':') + 2; }

static int list_dim(fst_infer *in, uint32_t arg, const fst_shape *shape, list_plan *plan) {
  int64_t dim = 0;
  if (shape->rank == 0) return fst_infer_raise(in, "%s expects at least a 1-dimensional tensor", op_short_name(in));
  if (arg < fst_infer_arg_count(in) && !fst_infer_const_int(in, arg, &dim)) return fst_infer_give_up(in, "dim is not a constant");
  plan->dim = fst_infer_wrap_dim(in, dim, shape->rank);
  return plan->dim < 0 ? FST_INFER_RAISES : FST_INFER_OK;
}

static int list_self(fst_infer *in, uint32_t dim_arg, fst_shape *shape, list_plan *plan) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  *shape = fst_shape_of(in->dims, self);
  return list_dim(in, dim_arg, shape, plan);
}

static void plan_alloc(fst_infer *in, list_plan *plan, int64_t count) {
  plan->kind = LIST_PARTS;
  plan->count = (int)count;
  plan->starts = FST_NEW_ARRAY(in->arena, fst_dim, count + 1);
  plan->ends = FST_NEW_ARRAY(in->arena, fst_dim, count + 1);
}

enum { LIST_MOST = 1 << 16 };  // longer lists are left to run time

static int plan_unbind(fst_infer *in, list_plan *plan) {
  fst_shape shape;
  int64_t count;
  int result = list_self(in, 1, &shape, plan);
  if (result) return result;
  if (!fst_dim_is_const(in->dims, shape.dims[plan->dim], &count) || count > LIST_MOST) return fst_infer_give_up(in, "the length of the list is not known");
  plan->kind = LIST_SELECTS;
  plan->count = (int)count;
  return FST_INFER_OK;
}

// Pieces of `piece` elements each, the last one shorter; `at_least` pieces even if empty.
static int plan_pieces(fst_infer *in, list_plan *plan, int64_t size, int64_t piece) {
  int64_t count = piece > 0 ? (size + piece - 1) / piece : 1;
  if (count < 1) count = 1;
  if (count > LIST_MOST) return fst_infer_give_up(in, "the list is too long");
  plan_alloc(in, plan, count);
  for (int64_t i = 0; i < count; i++) {
    int64_t end = (i + 1) * piece;
    plan->starts[i] = fst_dim_const(in->dims, i * piece);
    plan->ends[i] = fst_dim_const(in->dims, end < size ? end : size);
  }
  return FST_INFER_OK;
}

static void plan_even(fst_infer *in, list_plan *plan, fst_dim piece, int64_t count) {
  plan_alloc(in, plan, count);
  for (int64_t i = 0; i < count; i++) {
    plan->starts[i] = fst_dim_mul(in->dims, piece, fst_dim_const(in->dims, i));
    plan->ends[i] = fst_dim_mul(in->dims, piece, fst_dim_const(in->dims, i + 1));
  }
}

static int plan_chunk(fst_infer *in, list_plan *plan) {
  fst_shape shape;
  int64_t chunks, size;
  int result = list_self(in, 2, &shape, plan);
  if (result) return result;
  if (!fst_infer_const_int(in, 1, &chunks)) return fst_infer_give_up(in, "chunks is not a constant");
  if (chunks <= 0) return fst_infer_raise(in, "chunk expects `chunks` to be greater than 0, got: %lld", (long long)chunks);
  if (fst_dim_is_const(in->dims, shape.dims[plan->dim], &size)) {
    if (size == 0) {
      plan_even(in, plan, fst_dim_const(in->dims, 0), chunks);
      return FST_INFER_OK;
    }
    return plan_pieces(in, plan, size, (size + chunks - 1) / chunks);
  }
  if (fst_dim_divisor(in->dims, shape.dims[plan->dim]) % chunks != 0) return fst_infer_give_up(in, "the length of the list is not known");
  plan_even(in, plan, fst_dim_floordiv(in->dims, shape.dims[plan->dim], fst_dim_const(in->dims, chunks)), chunks);
  return FST_INFER_OK;
}

static int plan_split_size(fst_infer *in, list_plan *plan) {
  fst_shape shape;
  int64_t piece, size, last, first;
  int result = list_self(in, 2, &shape, plan);
  if (result) return result;
  fst_dim whole = shape.dims[plan->dim], part = fst_infer_int(in, 1), zero = fst_dim_const(in->dims, 0);
  if (!fst_dim_is_known(part)) return fst_infer_give_up(in, "split_size is not known");
  if (fst_dim_is_const(in->dims, whole, &size) && fst_dim_is_const(in->dims, part, &piece)) {
    if (piece < 0 || (piece == 0 && size > 0)) return fst_infer_raise(in, "split expects split_size be non-negative, but got split_size=%lld", (long long)piece);
    return plan_pieces(in, plan, size, piece);
  }
  // Symbolic: a whole that is a constant multiple of the part has that many pieces.
  fst_dim count = fst_dim_floordiv(in->dims, whole, part);
  fst_dim_bounds(in->dims, count, &first, &last);
  for (int64_t n = 1; n <= 64; n++) {
    if (fst_dim_equal(in->dims, fst_dim_mul(in->dims, part, fst_dim_const(in->dims, n)), whole) != 1) continue;
    plan_even(in, plan, part, n);
    return FST_INFER_OK;
  }
  if (fst_dim_equal(in->dims, whole, zero) == 1) return plan_pieces(in, plan, 0, 1);
  return fst_infer_give_up(in, "the length of the list is not known");
}

static int plan_split_sizes(fst_infer *in, list_plan *plan) {
  enum { MOST = 256 };
  fst_shape shape;
  fst_dim sizes[MOST], at = fst_dim_const(in->dims, 0);
  int result = list_self(in, 2, &shape, plan);
  if (result) return result;
  int count = fst_infer_int_list(in, 1, sizes, MOST);
  if (count < 0) return fst_infer_give_up(in, "split_sizes is not known");
  plan_alloc(in, plan, count);
  for (int i = 0; i < count; i++) {
    if (!fst_dim_is_known(sizes[i])) return fst_infer_give_up(in, "split_sizes is not known");
    plan->starts[i] = at;
    plan->ends[i] = at = fst_dim_add(in->dims, at, sizes[i]);
  }
  const char *given = fst_infer_shape_text(in, sizes, count);
  const char *text = fst_arena_printf(in->arena, "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=%s", given);
  for (int i = 0; i < count; i++)
    if (!fst_infer_require_at_least(in, sizes[i], 0, text)) return FST_INFER_RAISES;
  text = fst_arena_printf(in->arena, "split_with_sizes expects split_sizes to sum exactly to %s (input tensor's size at dimension %d), but got split_sizes=%s",
                          fst_infer_dim_text(in, shape.dims[plan->dim]), plan->dim, given);
  return fst_infer_require_equal(in, at, shape.dims[plan->dim], text) ? FST_INFER_OK : FST_INFER_RAISES;
}

// numpy's split: the first size % sections pieces are one longer.
static int plan_sections(fst_infer *in, list_plan *plan, int64_t sections, fst_dim whole, bool exact) {
  int64_t size, at = 0;
  if (sections <= 0) return fst_infer_raise(in, "number of sections must be larger than 0, got %lld", (long long)sections);
  if (!fst_dim_is_const(in->dims, whole, &size)) {
    if (fst_dim_divisor(in->dims, whole) % sections != 0) return fst_infer_give_up(in, "the sizes of the pieces are not known");
    plan_even(in, plan, fst_dim_floordiv(in->dims, whole, fst_dim_const(in->dims, sections)), sections);
    return FST_INFER_OK;
  }
  if (exact && size % sections) return fst_infer_raise(in, "%s attempted to split along dimension %d, but the size of the dimension %lld is not divisible by the split_size %lld!", op_short_name(in), plan->dim, (long long)size, (long long)sections);
  plan_alloc(in, plan, sections);
  for (int64_t i = 0; i < sections; i++) {
    plan->starts[i] = fst_dim_const(in->dims, at);
    at += size / sections + (i < size % sections);
    plan->ends[i] = fst_dim_const(in->dims, at);
  }
  return FST_INFER_OK;
}

static int plan_indices(fst_infer *in, list_plan *plan, uint32_t arg, fst_dim whole) {
  enum { MOST = 256 };
  fst_dim indices[MOST], start = fst_dim_const(in->dims, 0);
  int count = fst_infer_int_list(in, arg, indices, MOST);
  if (count < 0) return fst_infer_give_up(in, "indices are not known");
  plan_alloc(in, plan, count + 1);
  for (int i = 0; i <= count; i++) {
    if (i < count && !fst_dim_is_known(indices[i])) return fst_infer_give_up(in, "indices are not known");
    plan->starts[i] = start;
    plan->ends[i] = i < count ? indices[i] : whole;
    start = plan->ends[i];
  }
  return FST_INFER_OK;
}

static int plan_tensor_split(fst_infer *in, list_plan *plan) {
  fst_shape shape;
  int64_t sections;
  int result = list_self(in, 2, &shape, plan);
  if (result) return result;
  if (fst_infer_type(in, 1)->kind == FST_TY_LIST) return plan_indices(in, plan, 1, shape.dims[plan->dim]);
  if (!fst_infer_const_int(in, 1, &sections)) return fst_infer_give_up(in, "sections is not known");
  return plan_sections(in, plan, sections, shape.dims[plan->dim], false);
}

// hsplit, vsplit, dsplit: the second, first, third dim (hsplit of a vector: its only one).
static int plan_named_split(fst_infer *in, list_plan *plan) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  int64_t sections;
  if (!self) return FST_INFER_UNKNOWN;
  char kind = op_short_name(in)[0];
  int needs = kind == 'h' ? 1 : kind == 'v' ? 2 : 3;
  if (self->rank < needs) return fst_infer_raise(in, "torch.%csplit requires a tensor with at least %d dimension%s, but got a tensor with %d dimensions!", kind, needs, needs > 1 ? "s" : "", self->rank);
  plan->dim = kind == 'h' ? (self->rank > 1 ? 1 : 0) : kind == 'v' ? 0 : 2;
  if (fst_infer_type(in, 1)->kind == FST_TY_LIST) return plan_indices(in, plan, 1, self->dims[plan->dim]);
  if (!fst_infer_const_int(in, 1, &sections)) return fst_infer_give_up(in, "sections is not known");
  return plan_sections(in, plan, sections, self->dims[plan->dim], true);
}

enum { LIST_TENSORS = 64 };

static int plan_broadcast(fst_infer *in, list_plan *plan) {
  const fst_type_data *types[LIST_TENSORS];
  plan->kind = LIST_EXPANDS;
  plan->count = fst_infer_tensor_list(in, 0, types, LIST_TENSORS);
  if (plan->count < 0) return fst_infer_give_up(in, "the tensors of the list are not known");
  for (int i = 0; i < plan->count; i++) {
    fst_shape joined = {0};
    if (!fst_infer_broadcast(in, plan->common.dims, plan->common.rank, types[i]->dims, types[i]->rank, joined.dims, &joined.rank)) return FST_INFER_RAISES;
    plan->common = joined;
  }
  return FST_INFER_OK;
}

static int plan_meshgrid(fst_infer *in, list_plan *plan) {
  const fst_type_data *types[LIST_TENSORS];
  const char *indexing = "ij";
  plan->kind = LIST_GRID;
  plan->count = fst_infer_tensor_list(in, 0, types, LIST_TENSORS);
  if (plan->count < 0 || plan->count > FST_MAX_RANK) return fst_infer_give_up(in, "the tensors of the list are not known");
  if (plan->count == 0) return fst_infer_raise(in, "meshgrid expects a non-empty TensorList");
  if (fst_infer_arg_count(in) > 1 && !fst_infer_const_str(in, 1, &indexing)) return fst_infer_give_up(in, "indexing is not a constant");
  for (int i = 0; i < plan->count; i++) {
    if (types[i]->rank > 1) return fst_infer_raise(in, "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got a tensor of rank %d", types[i]->rank);
    plan->common.dims[i] = types[i]->rank ? types[i]->dims[0] : fst_dim_const(in->dims, 1);
  }
  plan->common.rank = plan->count;
  plan->swaps = !strcmp(indexing, "xy") && plan->count >= 2;
  return FST_INFER_OK;
}

static int plan_sizes(fst_infer *in, list_plan *plan) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  plan->kind = LIST_INTS;
  plan->count = self->rank;
  plan->ints = self->dims;
  return FST_INFER_OK;
}

static int plan_strides(fst_infer *in, list_plan *plan) {
  int result = plan_sizes(in, plan);
  if (result) return result;
  if (!fst_infer_type(in, 0)->has_strides) return fst_infer_give_up(in, "strides are not known");
  plan->ints = fst_infer_type(in, 0)->strides;
  return FST_INFER_OK;
}

static list_planner planner_find(const char *name) {
  static const struct { const char *name; list_planner planner; } planners[] = {
      {"unbind.int", plan_unbind}, {"chunk", plan_chunk}, {"unsafe_chunk", plan_chunk}, {"split.Tensor", plan_split_size},
      {"unsafe_split.Tensor", plan_split_size}, {"split", plan_split_sizes}, {"split.sizes", plan_split_sizes},
      {"split_with_sizes", plan_split_sizes}, {"unsafe_split_with_sizes", plan_split_sizes},
      {"tensor_split.sections", plan_tensor_split}, {"tensor_split.indices", plan_tensor_split},
      {"hsplit.int", plan_named_split}, {"hsplit.array", plan_named_split}, {"vsplit.int", plan_named_split},
      {"vsplit.array", plan_named_split}, {"dsplit.int", plan_named_split}, {"dsplit.array", plan_named_split},
      {"unbind_copy.int", plan_unbind}, {"split_copy.Tensor", plan_split_size}, {"split_with_sizes_copy", plan_split_sizes},
      {"broadcast_tensors", plan_broadcast}, {"meshgrid", plan_meshgrid}, {"meshgrid.indexing", plan_meshgrid},
      {"size", plan_sizes}, {"sym_size", plan_sizes}, {"stride", plan_strides}, {"sym_stride", plan_strides}};
  for (size_t i = 0; i < sizeof planners / sizeof *planners; i++)
    if (!strcmp(planners[i].name, name)) return planners[i].planner;
  return NULL;
}

static fst_type tensor_type(const fst_infer *in, fst_dtype dtype, const fst_shape *shape) {
  return fst_type_tensor(in->types, dtype, shape->rank, shape->dims, shape->strides, FST_DEVICE_CPU, 0);
}

static fst_type part_type(fst_infer *in, const list_plan *plan, int item) {
  const fst_type_data *self = fst_infer_type(in, 0);
  fst_shape shape = fst_shape_of(in->dims, self), out = shape;
  if (plan->kind == LIST_PARTS) {
    out.dims[plan->dim] = fst_dim_sub(in->dims, plan->ends[item], plan->starts[item]);
    return tensor_type(in, self->dtype, &out);
  }
  out.rank--;
  for (int i = plan->dim; i < out.rank; i++) out.dims[i] = shape.dims[i + 1], out.strides[i] = shape.strides[i + 1];
  return tensor_type(in, self->dtype, &out);
}

static fst_type plan_item_type(fst_infer *in, const list_plan *plan, int item) {
  const fst_type_data *types[LIST_TENSORS];
  if (plan->kind == LIST_INTS) return fst_type_simple(in->types, FST_TY_INT);
  if (plan->kind == LIST_SELECTS || plan->kind == LIST_PARTS) return part_type(in, plan, item);
  if (fst_infer_tensor_list(in, 0, types, LIST_TENSORS) < 0) return fst_type_tensor_any(in->types);
  return fst_type_tensor(in->types, types[item]->dtype, plan->common.rank, plan->common.dims, NULL, FST_DEVICE_CPU, 0);
}

int fst_infer_list(fst_infer *in) {
  list_plan plan = {0};
  list_planner planner = planner_find(op_short_name(in));
  FST_ASSERT(planner, "no plan for %s", op_short_name(in));
  int result = planner(in, &plan);
  if (result) return result;
  fst_type elem = plan.kind == LIST_INTS ? fst_type_simple(in->types, FST_TY_INT) : FST_NO_TYPE;
  for (int i = 0; i < plan.count; i++) {
    fst_type item = plan_item_type(in, &plan, i);
    elem = i && elem.id ? fst_type_join(in->types, elem, item) : item;
  }
  if (!elem.id) elem = fst_type_tensor_any(in->types);
  in->results[0] = fst_type_list(in->types, elem);
  bool is_view_row = fst_op_get(fst_node_get(in->graph, in->node)->op)->cls == FST_CLASS_VIEW;
  in->is_view = is_view_row && plan.kind != LIST_INTS;   // the items share storages, each from its own offset
  in->view_offset = FST_DIM_UNKNOWN;
  return FST_INFER_OK;
}

// ---- expansion -------------------------------------------------------------------------------------

typedef struct list_builder {
  fst_graph *graph;
  fst_infer *in;
  fst_node_id at;   // new nodes go before it
  fst_loc loc;
} list_builder;

static fst_value_id build_int(list_builder *b, fst_dim d) {
  int64_t value;
  if (fst_dim_is_const(b->graph->dims, d, &value)) return fst_graph_const_int(b->graph, value);
  fst_node_id node = fst_node_create(b->graph, fst_op_find("fst::dim", 8), NULL, 0, 1, b->loc);
  fst_value_id result = fst_node_result(fst_node_get(b->graph, node), 0);
  fst_value_set_type(b->graph, result, fst_type_simple(b->graph->module->types, FST_TY_INT));
  fst_value_get(b->graph, result)->sym = d;
  fst_node_insert_before(b->graph, b->at, node);
  return result;
}

static fst_value_id build_op(list_builder *b, const char *name, const fst_value_id *operands, uint32_t count) {
  fst_infer done = {0};
  fst_node_id node = fst_node_create(b->graph, fst_op_find(name, strlen(name)), operands, count, 1, b->loc);
  fst_value_id result = fst_node_result(fst_node_get(b->graph, node), 0);
  fst_value_set_type(b->graph, result, fst_type_tensor_any(b->graph->module->types));
  fst_node_insert_before(b->graph, b->at, node);
  fst_infer_node(b->graph, node, b->in->arena, &done);
  fst_vec_free(&done.guards);
  return result;
}

static fst_value_id build_list(list_builder *b, fst_type elem, const fst_value_id *items, uint32_t count) {
  fst_op op = fst_op_find("prim::ListConstruct", 19);
  fst_node_id node = fst_node_create(b->graph, op, items, count, 1, b->loc);
  fst_value_id result = fst_node_result(fst_node_get(b->graph, node), 0);
  fst_value_set_type(b->graph, result, fst_type_list(b->graph->module->types, elem));
  fst_node_insert_before(b->graph, b->at, node);
  return result;
}

static fst_value_id build_sizes(list_builder *b, const fst_shape *shape) {
  fst_value_id items[FST_MAX_RANK];
  fst_const literals[FST_MAX_RANK];
  fst_module *module = b->graph->module;
  fst_type elem = fst_type_simple(module->types, FST_TY_INT);
  int64_t value;
  int constants = 0;
  for (int i = 0; i < shape->rank; i++) {
    items[i] = build_int(b, shape->dims[i]);
    if (fst_value_const_int(b->graph, items[i], &value)) literals[constants++] = fst_const_int(module, value);
  }
  if (constants < shape->rank) return build_list(b, elem, items, (uint32_t)shape->rank);
  return fst_graph_const(b->graph, fst_const_tuple(module, fst_type_list(module->types, elem), literals, (uint32_t)constants));
}

// The tensors of a Tensor[] operand made by a ListConstruct.
static const fst_value_id *list_operands(const fst_infer *in) {
  fst_node_id def = fst_value_def(in->graph, fst_infer_arg(in, 0));
  return def.id ? fst_node_get(in->graph, def)->operands : NULL;
}

static fst_value_id build_grid_item(list_builder *b, const list_plan *plan, fst_value_id tensor, int item) {
  fst_shape line = {.rank = plan->count};
  for (int i = 0; i < plan->count; i++) line.dims[i] = fst_dim_const(b->graph->dims, 1);
  line.dims[item] = plan->common.dims[item];
  fst_value_id viewed = build_op(b, "aten::view", (fst_value_id[]){tensor, build_sizes(b, &line)}, 2);
  fst_value_id no = fst_graph_const_bool(b->graph, false);
  fst_value_id grid = build_op(b, "aten::expand", (fst_value_id[]){viewed, build_sizes(b, &plan->common), no}, 3);
  if (!plan->swaps) return grid;
  return build_op(b, "aten::transpose.int", (fst_value_id[]){grid, fst_graph_const_int(b->graph, 0), fst_graph_const_int(b->graph, 1)}, 3);
}

static fst_value_id build_item(list_builder *b, const list_plan *plan, int item) {
  fst_value_id self = fst_infer_arg(b->in, 0), dim = fst_graph_const_int(b->graph, plan->dim);
  switch (plan->kind) {
    case LIST_SELECTS: return build_op(b, plan->copies ? "aten::select_copy.int" : "aten::select.int", (fst_value_id[]){self, dim, fst_graph_const_int(b->graph, item)}, 3);
    case LIST_PARTS: {
      fst_value_id start = build_int(b, plan->starts[item]), end = build_int(b, plan->ends[item]);
      return build_op(b, plan->copies ? "aten::slice_copy.Tensor" : "aten::slice.Tensor", (fst_value_id[]){self, dim, start, end, fst_graph_const_int(b->graph, 1)}, 5);
    }
    case LIST_EXPANDS: {
      fst_value_id sizes = build_sizes(b, &plan->common), no = fst_graph_const_bool(b->graph, false);
      return build_op(b, "aten::expand", (fst_value_id[]){list_operands(b->in)[item], sizes, no}, 3);
    }
    case LIST_GRID: return build_grid_item(b, plan, list_operands(b->in)[item], item);
    case LIST_INTS: return build_int(b, plan->ints[item]);
  }
  FST_UNREACHABLE("list kind %d", (int)plan->kind);
}

static bool plan_can_build(const fst_infer *in, const list_plan *plan) {
  if (plan->kind == LIST_EXPANDS || plan->kind == LIST_GRID) return list_operands(in) != NULL || plan->count == 0;
  for (int i = 0; plan->kind == LIST_INTS && i < plan->count; i++)
    if (!fst_dim_is_known(plan->ints[i])) return false;
  return true;
}

// A planned list's items as values before the node.
static const fst_value_id *list_items_build(list_builder *b, const list_plan *plan, fst_arena *arena) {
  fst_value_id *items = FST_NEW_ARRAY(arena, fst_value_id, plan->count + 1);
  for (int i = 0; i < plan->count; i++) items[i] = build_item(b, plan, i);
  return items;
}

int fst_list_build(fst_graph *graph, fst_node_id node, int most, fst_arena *arena, const fst_value_id **out_items) {
  fst_node *n = fst_node_get(graph, node);
  const char *name = fst_op_name(n->op);
  list_planner planner = !strncmp(name, "aten::", 6) ? planner_find(name + 6) : NULL;
  if (!planner) return -1;
  fst_arena scratch;
  fst_arena_init(&scratch);
  list_plan plan = {0};
  fst_infer in = {.graph = graph, .node = node, .dims = graph->dims, .types = graph->module->types, .arena = &scratch};
  plan.copies = fst_op_get(n->op)->cls == FST_CLASS_COPY;
  bool done = planner(&in, &plan) == FST_INFER_OK && plan.count <= most && plan_can_build(&in, &plan);
  if (done) {
    list_builder b = {graph, &in, node, n->loc};
    *out_items = list_items_build(&b, &plan, arena);
  }
  fst_vec_free(&in.guards);
  fst_arena_deinit(&scratch);
  return done ? plan.count : -1;
}
