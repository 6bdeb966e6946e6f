// scalar-operands: constant 0-d tensors that are added, subtracted, multiplied or divided by become numbers.
//
// Expects `imported`, before attributes are literals. PyTorch's executor does this to every graph before it runs it (its
// CanonicalizeOps), and the dtype of the result depends on it: a 0-d f64 tensor makes a sum of integers f64, a
// number makes it f32. Tracing writes such constants for Python's numbers. Leaves alone: in-place forms, complex constants,
// tensors that are attributes. Cost: linear.
//
// Before:                                                 After:
//   %1 : Tensor = aten::mul.Tensor(%x, tensor 0)            %1 : Tensor = aten::mul.Scalar(%x, 0.5)
#include <string.h>

#include "ir/kernel/kernel.h"
#include "passes/pass.h"

static fst_op scalar_form(fst_op op) {
  switch (op) {
    case FST_OP_ADD_TENSOR: return FST_OP_ADD_SCALAR;
    case FST_OP_SUB_TENSOR: return FST_OP_SUB_SCALAR;
    case FST_OP_MUL_TENSOR: return FST_OP_MUL_SCALAR;
    case FST_OP_DIV_TENSOR: return FST_OP_DIV_SCALAR;
    default: return FST_OP_UNKNOWN;
  }
}

// What item() gives; id 0 when the value is no constant 0-d tensor of a number.
static fst_const constant_item(fst_graph *g, fst_value_id value) {
  const fst_const_data *c = fst_value_const(g, value);
  if (!c || c->kind != FST_CONST_TENSOR) return (fst_const){0};
  const fst_type_data *t = fst_type_get(g->module->types, g->module->tensors.data[c->index].type);
  const void *data = t->rank == 0 ? fst_module_tensor_data(g->module, c->index) : NULL;
  fst_dtype_kind kind = fst_dtype_kind_of(t->dtype);
  if (!data || kind == FST_KIND_COMPLEX) return (fst_const){0};
  uint64_t bits = 0;
  memcpy(&bits, data, fst_dtype_size(t->dtype));
  if (kind == FST_KIND_BOOL) return fst_const_bool(g->module, bits != 0);
  if (kind != FST_KIND_FLOAT) return fst_const_int(g->module, (int64_t)fst_convert_eval(FST_I64, t->dtype, bits));   // extends the sign
  double real;
  bits = fst_convert_eval(t->dtype, FST_F64, bits);
  memcpy(&real, &bits, sizeof real);
  return fst_const_float(g->module, real);
}

static void visit_block(fst_pass_ctx *pc, fst_graph *g, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) {
    const fst_node *n = fst_node_get(g, id);
    for (uint32_t b = 0; b < n->block_count; b++) visit_block(pc, g, n->blocks[b]);
    fst_op op = scalar_form(n->op);
    if (op == FST_OP_UNKNOWN) continue;
    fst_const number = constant_item(g, n->operands[1]);
    if (!number.id || !fst_pass_allow(pc)) continue;
    fst_node_set_operand(g, id, 1, fst_graph_const(g, number));
    fst_node_get(g, id)->op = op;
  }
}

fst_status fst_pass_scalar_operands(fst_pass_ctx *pc, fst_graph *graph) {
  visit_block(pc, graph, graph->entry);
  return NULL;
}
