// From ops to kernel IR, by pulling: a lowering says what one element of a result is, in terms of
// elements of its operands; asking for an operand's element either loads it or continues into the
// operand's own lowering when that op is part of the same fused group. So every op is written once and
// fuses with every other.
#ifndef FST_IR_LOWER_H
#define FST_IR_LOWER_H

#include "ir/graph.h"
#include "ir/kernel/kernel.h"

typedef struct fst_lower {
  fst_kernel *kernel;
  const fst_graph *graph;
  fst_node_id node;
  uint32_t result;       // which result of the node
  const fst_kx *index;   // [rank of that result] i64 expressions
  fst_kx part;           // of a complex result: which of the element's two floats is meant, 0 or 1 (i64); none for others
  fst_kx value;          // to be set by the lowering, of the result's dtype; none: no lowering for these operands
  void *context;         // of whoever builds the kernel
  struct fst_lowered *lowered;  // the kernel's arguments so far; checks add to them
} fst_lower;

// Kernels know no complex numbers: a complex tensor is a buffer of floats with one more dim, of 2, and a lowering that only moves
// elements (see lower.c for the classes) is asked for one part at a time. What it loads of complex operands is the same
// part, and the real part where its result is not complex.
// Element of tensor operand `arg` at `index`. Broadcasting is the caller's business: see fst_lower_broadcast.
fst_kx fst_lower_load(fst_lower *lo, uint32_t arg, const fst_kx *index);
// Element of item `item` of a Tensor[] operand.
fst_kx fst_lower_load_item(fst_lower *lo, uint32_t arg, uint32_t item, const fst_kx *index);
// The same, with the result's index right-aligned onto the operand's shape (sizes of 1 read element 0).
fst_kx fst_lower_broadcast(fst_lower *lo, uint32_t arg);
// Where index `index` over `to` elements lies in a dim of `from` that broadcasts to them.
fst_kx fst_lower_fit(fst_lower *lo, fst_dim from, fst_dim to, fst_kx index);
// The same, converted as PyTorch's `to` does: a complex number has no imaginary part as a real one, and is true unless both parts are 0.
fst_kx fst_lower_load_as(fst_lower *lo, uint32_t arg, const fst_kx *index, fst_dtype dtype);
fst_kx fst_lower_broadcast_as(fst_lower *lo, uint32_t arg, fst_dtype dtype);
fst_kx fst_lower_size(fst_lower *lo, uint32_t arg, uint32_t dim);    // size of an operand, i64
fst_kx fst_lower_result_size(fst_lower *lo, uint32_t dim);
fst_kx fst_lower_dim(fst_lower *lo, fst_dim d);                      // any size expression of the graph
fst_kx fst_lower_scalar(fst_lower *lo, uint32_t arg, fst_dtype dtype);  // int/float/bool operand, converted
fst_kx fst_lower_value(fst_lower *lo, fst_value_id value, fst_dtype dtype);   // any int/float/bool value of the graph, converted
const fst_type_data *fst_lower_type(const fst_lower *lo, uint32_t arg);
const fst_type_data *fst_lower_result_type(const fst_lower *lo, uint32_t result);
// Per dim of the node's result, which are all 1 before: elements so many apart are computed alike, those between in other ways.
void fst_lower_periods(fst_lower *lo, int64_t *periods);
// Inside `lower_stmt`: the kernel buffer of result `result`, of the sizes and strides of its type.
uint32_t fst_lower_result_buffer(fst_lower *lo, uint32_t result);
// Constants of the node, with the same meaning as in ir/infer.h.
bool fst_lower_const_int(const fst_lower *lo, uint32_t arg, int64_t *out);
bool fst_lower_const_bool(const fst_lower *lo, uint32_t arg, bool *out);
bool fst_lower_const_str(const fst_lower *lo, uint32_t arg, const char **out);
bool fst_lower_is_none(const fst_lower *lo, uint32_t arg);
int fst_lower_int_list(const fst_lower *lo, uint32_t arg, fst_dim *out, int max);
int fst_lower_list_length(const fst_lower *lo, uint32_t arg);

// ---- run-time checks ----
// A kernel stays within bounds by itself (a select around the load); to make the call raise, as PyTorch does, it
// reports into a buffer of its own that the host code looks at afterwards. A node that asks with the same `key`
// again, for another element, gets the check it has.
// The call raises where `bad` holds at any point of the space; `a` (the largest offender) and `b` fill the text's `{}`.
void fst_lower_check(fst_lower *lo, uint32_t key, const fst_kx *vars, const fst_kx *extents, uint32_t count, fst_kx bad, fst_kx a, fst_kx b, const char *cls, const char *text);
// Every element of integer tensor operand `arg` (item `item` of a Tensor[]; -1 when it is no list) lies in [0, size),
// or in [-size, size) when negative ones count from the end.
void fst_lower_check_index(fst_lower *lo, uint32_t arg, int item, fst_kx size, bool wraps, const char *cls, const char *text);

// ---- what a group of nodes computes, as one kernel ----
// Where the kernel's arguments come from, so that the caller can pass them.
typedef struct fst_kernel_arg {
  fst_value_id value;   // buffer: tensor value; param: int/float/bool value, or none when `dim` says it
  fst_dim dim;          // param: a size expression
  bool is_output;
  // A check's buffer (no value, is_output, i64[3]): unless element 0 is 0 after the kernel, the call raises an
  // exception of this class with this text, whose `{}` are elements 1 and 2. NULL for other arguments.
  const char *check_class, *check_text;
  fst_node_id check_node;  // who asked, and its number for it: asked again, it is the same check
  uint32_t check_key;
} fst_kernel_arg;
typedef struct fst_lowered {
  fst_kernel *kernel;
  FST_VEC(fst_kernel_arg) buffers;   // one per kernel buffer
  FST_VEC(fst_kernel_arg) params;    // one per kernel param
} fst_lowered;
// `nodes` in order; values defined by them and used elsewhere (`outputs`) become written buffers, with the
// strides of their type; everything they use from outside becomes read buffers and params. Fails with the name of
// the op that has no lowering.
fst_status fst_lower_group(const fst_graph *graph, const fst_node_id *nodes, uint32_t node_count, const fst_value_id *outputs, uint32_t output_count, fst_lowered *out);
// An op on numbers (class SCALAR) as a kernel of one point: params are its operands, buffers its results.
fst_status fst_lower_scalar_node(const fst_graph *graph, fst_node_id node, fst_lowered *out);
enum { FST_LOWER_NUMBERS = 2 };   // most results of a scalar op
// Does a scalar op that may raise do so for its operands? One bool; its buffer has no value.
fst_status fst_lower_refusal(const fst_graph *graph, fst_node_id node, fst_lowered *out);
void fst_lowered_deinit(fst_lowered *lowered);
bool fst_op_has_lowering(fst_op op);

#endif
