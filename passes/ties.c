// ties: what depends on the order in which PyTorch leaves equal elements asks, when it runs, whether there are any.
//
// Expects `typed`, and that ops may fall back. torch.sort, argsort, topk, kthvalue and median(dim) give positions, and
// among equal elements theirs follow from PyTorch's algorithm, in part from the CPU's instructions. Where no two
// neighbours in sorted order are equal there is one answer, and our stable sort gives it; where some are, the op runs
// through libtorch. Leaves alone: stable sorts, rows so short that PyTorch sorts them stably, positions that nobody
// uses. (Ahead of time, where nothing may fall back, ties keep the order of a stable sort.) Cost: linear.
//
// Before:                                              After:
//   %1 : f32[50], %2 : i64[50] = aten::sort(%x, 0)       %1 : f32[50], %2 : i64[50] = aten::sort.stable(%x, true, 0)
//                                                        %3 : bool = (any neighbours in %1 are equal)
//                                                        %4 : f32[50], %5 : i64[50] = prim::If(%3) {
//                                                          %6, %7 = fst::fallback[name="aten::sort(..."](%x, 0)
//                                                          yield %6, %7
//                                                        } {
//                                                          yield %1, %2
//                                                        }
#include "ir/args.h"
#include "ir/compose.h"
#include "ir/infer.h"
#include "passes/pass.h"

enum { ALWAYS_STABLE = 16 };   // PyTorch sorts rows up to this length stably

typedef struct {
  fst_pass_ctx *pc;
  fst_graph *g;
  fst_node_id at;      // new nodes go before it
  bool failed;         // something could not be typed
} splitter;

static fst_value_id build(splitter *s, fst_op op, const fst_value_id *operands, uint32_t count) {
  fst_graph *g = s->g;
  uint32_t results = fst_op_schema(op)->ret_count;
  fst_node_id node = fst_node_create(g, op, operands, count, results, fst_node_get(g, s->at)->loc);
  fst_node_insert_before(g, s->at, node);
  fst_infer in = {0};
  if (fst_infer_node(g, node, s->pc->arena, &in) != FST_INFER_OK) s->failed = true;
  fst_vec_free(&in.guards);
  return fst_node_result(fst_node_get(g, node), 0);
}

// Are any two of the first `pairs` + 1 elements of `sorted` equal? What does not compare (NaN) counts as equal.
static fst_value_id build_has_ties(splitter *s, fst_value_id sorted, int64_t dim, fst_dim pairs) {
  fst_value_id axis = fst_graph_const_int(s->g, dim), count = fst_graph_dim_before(s->g, s->at, pairs);
  fst_value_id first = build(s, FST_OP_NARROW, (fst_value_id[]){sorted, axis, fst_graph_const_int(s->g, 0), count}, 4);
  fst_value_id second = build(s, FST_OP_NARROW, (fst_value_id[]){sorted, axis, fst_graph_const_int(s->g, 1), count}, 4);
  fst_value_id less = build(s, FST_OP_LT_TENSOR, (fst_value_id[]){first, second}, 2);
  fst_value_id greater = build(s, FST_OP_GT_TENSOR, (fst_value_id[]){first, second}, 2);
  fst_value_id differ = build(s, FST_OP_LOGICAL_OR, (fst_value_id[]){less, greater}, 2);
  fst_value_id equal = build(s, FST_OP_LOGICAL_NOT, &differ, 1);
  fst_value_id any = build(s, FST_OP_ANY, &equal, 1);
  return build(s, FST_OP_BOOL_TENSOR, &any, 1);
}

static void yield(fst_graph *g, fst_block_id block, const fst_value_id *values, uint32_t count) {
  fst_node_append(g, block, fst_node_create(g, FST_OP_YIELD, values, count, 0, FST_NO_LOC));
}

// The node itself, for libtorch.
static void build_fallback(fst_graph *g, fst_block_id block, const fst_node *node) {
  fst_node_id made = fst_node_create(g, FST_OP_FALLBACK, node->operands, node->operand_count, node->result_count, node->loc);
  const char *schema = fst_op_get(node->op)->schema;
  fst_node_get(g, made)->name = fst_intern(&g->module->strings, schema);
  for (uint32_t r = 0; r < node->result_count; r++) fst_value_set_type(g, fst_node_get(g, made)->results[r], fst_value_type(g, node->results[r]));
  fst_node_append(g, block, made);
  yield(g, block, fst_node_get(g, made)->results, node->result_count);
}

static void replace_by_choice(splitter *s, fst_value_id has_ties, const fst_value_id *native) {
  fst_graph *g = s->g;
  const fst_node *node = fst_node_get(g, s->at);
  fst_node_id choice = fst_node_create(g, FST_OP_IF, &has_ties, 1, node->result_count, node->loc);
  fst_node_insert_before(g, s->at, choice);
  build_fallback(g, fst_node_add_block(g, choice), node);
  yield(g, fst_node_add_block(g, choice), native, node->result_count);
  for (uint32_t r = 0; r < node->result_count; r++) {
    fst_value_id result = fst_node_get(g, choice)->results[r];
    fst_value_set_type(g, result, fst_value_type(g, node->results[r]));
    fst_value_replace(g, node->results[r], result);
  }
  fst_node_erase(g, s->at);
}

static bool positions_are_used(const fst_graph *g, const fst_node *n) {
  return n->result_count && fst_value_get(g, n->results[n->result_count - 1])->uses.len > 0;
}

typedef struct request {
  int64_t dim;     // as the op has it, so that what the op is composed of is found to be the same
  bool largest;    // first
  fst_dim length;  // of a row
  fst_dim pairs;   // of neighbours that matter
} request;

// False: the op's order is known, or its operands are not.
static bool request_read(splitter *s, fst_infer *in, request *out) {
  const fst_node *n = fst_node_get(s->g, s->at);
  const fst_type_data *x = fst_value_type_data(s->g, n->operands[0]);
  int64_t size;
  bool sorted = true;
  *out = (request){.dim = -1};
  if (x->kind != FST_TY_TENSOR || x->rank < 1 || x->dtype == FST_DTYPE_UNKNOWN || !x->has_strides || !positions_are_used(s->g, n)) return false;
  if (!fst_args_int(in, "dim", -1, &out->dim) || !fst_args_bool(in, "descending", false, &out->largest) || !fst_args_bool(in, "sorted", true, &sorted) || !sorted) return false;
  if (n->op == FST_OP_TOPK && !fst_args_bool(in, "largest", true, &out->largest)) return false;
  out->length = x->dims[out->dim < 0 ? out->dim + x->rank : out->dim];
  bool is_short = fst_dim_is_const(s->g->dims, out->length, &size) && size <= ALWAYS_STABLE;
  if (is_short && (n->op == FST_OP_SORT || n->op == FST_OP_ARGSORT)) return false;
  fst_dim one = fst_dim_const(s->g->dims, 1), zero = fst_dim_const(s->g->dims, 0), pairs = fst_dim_sub(s->g->dims, out->length, one);
  if (n->op == FST_OP_TOPK) pairs = fst_dim_min(s->g->dims, pairs, fst_args_dim(in, "k", FST_DIM_UNKNOWN));
  out->pairs = fst_dim_is_known(pairs) ? fst_dim_max(s->g->dims, pairs, zero) : pairs;
  return fst_dim_is_known(out->pairs);
}

static void split(splitter *s) {
  fst_graph *g = s->g;
  const fst_node *n = fst_node_get(g, s->at);
  fst_infer in = {.graph = g, .node = s->at, .dims = g->dims, .types = g->module->types, .arena = s->pc->arena};
  request r;
  if (!request_read(s, &in, &r) || !fst_pass_allow(s->pc)) return;
  fst_node_id before = n->prev;
  fst_value_id native[2], operands[4] = {n->operands[0], fst_graph_const_bool(g, true), fst_graph_const_int(g, r.dim), fst_graph_const_bool(g, r.largest)};
  fst_value_id sorted = build(s, FST_OP_SORT_STABLE, operands, 4);
  const fst_node *sort = fst_node_get(g, fst_value_def(g, sorted));
  if (n->op == FST_OP_SORT) native[0] = sort->results[0], native[1] = sort->results[1];
  else if (n->op == FST_OP_ARGSORT) native[0] = sort->results[1];
  else if (fst_compose_build(&in, native) != FST_INFER_OK) s->failed = true;
  fst_vec_free(&in.guards);
  fst_value_id has_ties = s->failed ? sorted : build_has_ties(s, sorted, r.dim, r.pairs);
  if (!s->failed) {
    replace_by_choice(s, has_ties, native);
    return;
  }
  while (!fst_node_eq(fst_node_get(g, s->at)->prev, before)) fst_node_erase(g, fst_node_get(g, s->at)->prev);
}

static void visit_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  fst_node_id next;
  for (fst_node_id id = fst_block_get(g, block)->first; id.id; id = next) {
    const fst_node *n = fst_node_get(g, id);
    next = n->next;
    for (uint32_t b = 0; b < n->block_count; b++) visit_block(pc, g, n->blocks[b]);
    if (n->op != FST_OP_SORT && n->op != FST_OP_ARGSORT && n->op != FST_OP_TOPK && n->op != FST_OP_KTHVALUE && n->op != FST_OP_MEDIAN_DIM) continue;
    splitter s = {.pc = pc, .g = g, .at = id};
    split(&s);
  }
}

fst_status fst_pass_ties(fst_pass_ctx *pc, fst_graph *graph) {
  visit_block(pc, graph, graph->entry);
  return NULL;
}
