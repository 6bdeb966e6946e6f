// What an infer function sees: the operands of one node as abstract values, and a place for result types.
#ifndef FST_IR_INFER_H
#define FST_IR_INFER_H

#include "ir/graph.h"

typedef enum {
  FST_INFER_OK = 0,
  FST_INFER_UNKNOWN = 1,  // an operand's dtype, rank or a needed constant is not known: in->message says which
  FST_INFER_RAISES = 2,   // PyTorch raises for these operands: in->message is its text
} fst_infer_result;

enum { FST_GUARD_NUMBERS = 32 };   // the most sizes that a text has

// A condition that only the call can tell. Texts that are raised, by guards and by fst_infer_raise, may hold sizes as
// `{s0 + 1}` (fst_infer_dim_text writes them): the call puts in its numbers.
typedef struct fst_infer_guard {
  fst_dim a, b;          // at run time a == b, or a <= b ...
  bool at_most;
  const char *message;   // ... or the call raises this, which is PyTorch's text
} fst_infer_guard;

// The check as a node before another one, and a text with the call's numbers as a value that is made there.
void fst_guard_place(fst_graph *graph, fst_node_id before, const fst_infer_guard *guard);
fst_value_id fst_message_value(fst_graph *graph, fst_node_id before, const char *message);

typedef struct fst_infer {
  fst_graph *graph;
  fst_node_id node;
  fst_dims *dims;
  fst_types *types;
  fst_arena *arena;        // scratch, for messages and arrays
  fst_type *results;       // [result_count], to be filled
  fst_dim *result_syms;    // [result_count]: value of an int result, as an expression (default unknown)
  fst_const *result_consts;  // [result_count]: a result that is a constant (dim(), dtype()), id 0 when not
  const char *message;
  FST_VEC(fst_infer_guard) guards;
  // VIEW rows: does result 0 share operand 0's storage, and from which element on? `reshape`, `contiguous`
  // or `to` that must copy leave is_view false. An unknown offset depends on a value only known at run time.
  bool is_view;
  fst_dim view_offset;   // elements after operand 0's first
} fst_infer;

// Operand `arg` is its number in the schema. All of these return false / unknown rather than fail.
uint32_t fst_infer_arg_count(const fst_infer *in);
fst_value_id fst_infer_arg(const fst_infer *in, uint32_t arg);
const fst_type_data *fst_infer_type(const fst_infer *in, uint32_t arg);
// A tensor with known dtype and rank? Otherwise sets in->message and returns NULL.
const fst_type_data *fst_infer_tensor(fst_infer *in, uint32_t arg);
bool fst_infer_is_none(const fst_infer *in, uint32_t arg);
bool fst_infer_const_int(const fst_infer *in, uint32_t arg, int64_t *out);
bool fst_infer_const_bool(const fst_infer *in, uint32_t arg, bool *out);
bool fst_infer_const_float(const fst_infer *in, uint32_t arg, double *out);
bool fst_infer_const_str(const fst_infer *in, uint32_t arg, const char **out);
fst_dim fst_infer_int(const fst_infer *in, uint32_t arg);  // an int as a constant or symbolic expression, or unknown
// An int[] operand as expressions (a list literal, or a ListConstruct that nothing writes). -1 when its
// length is unknown; items may be FST_DIM_UNKNOWN.
int fst_infer_int_list(const fst_infer *in, uint32_t arg, fst_dim *out, int max);
// The ListConstruct whose operands are the items of `list` wherever it is used: nothing writes or keeps it. NULL
// when there is none.
const fst_node *fst_list_items(const fst_graph *graph, fst_value_id list);
// The same for a list that is item `item` of one found by this: used there only, and that by one reader only.
const fst_node *fst_list_inner(const fst_graph *graph, const fst_node *outer, uint32_t item);
// A Tensor[] operand whose items are known; -1 when not.
int fst_infer_tensor_list(const fst_infer *in, uint32_t arg, const fst_type_data **out, int max);
bool fst_infer_device_is_here(const fst_infer *in, const char *device);   // do tensors of the device of this name live where all do?
fst_dtype fst_infer_dtype(const fst_infer *in, uint32_t arg, fst_dtype otherwise);  // `ScalarType? dtype` operand
// Dimension argument wrapped into [0, rank); -1 after setting a PyTorch IndexError text.
int fst_infer_wrap_dim(fst_infer *in, int64_t dim, int rank);
fst_dim fst_infer_from_front(fst_infer *in, fst_dim index, fst_dim size);   // a negative index counts from the end
fst_dim fst_infer_fresh(fst_infer *in);        // a size known only at run time
// a == b, a <= b: nothing where that is proven, a guard where only the call can tell. False where it can never hold: then
// in->message is `text`, and PyTorch raises.
bool fst_infer_require_equal(fst_infer *in, fst_dim a, fst_dim b, const char *text) FST_MUST_USE;
bool fst_infer_require_at_most(fst_infer *in, fst_dim a, fst_dim b, const char *text) FST_MUST_USE;
bool fst_infer_require_at_least(fst_infer *in, fst_dim a, int64_t least, const char *text) FST_MUST_USE;
// For texts, in the scratch arena: a number, or an expression in braces for the call to fill in; "[2, 3]" and "2x3".
const char *fst_infer_dim_text(fst_infer *in, fst_dim d);
const char *fst_infer_shape_text(fst_infer *in, const fst_dim *dims, int rank);
const char *fst_infer_times_text(fst_infer *in, const fst_dim *dims, int rank);
const char *fst_infer_by_text(fst_infer *in, const fst_dim *dims, int rank);   // "2 x 3"
int fst_infer_raise(fst_infer *in, const char *fmt, ...) FST_PRINTF(2, 3);    // returns FST_INFER_RAISES
int fst_infer_give_up(fst_infer *in, const char *fmt, ...) FST_PRINTF(2, 3);  // returns FST_INFER_UNKNOWN
// The sizes hold at most `most` elements, for the ints among them that come with the call.
bool fst_infer_require_count(fst_infer *in, const fst_dim *dims, int rank, int64_t most, const char *text) FST_MUST_USE;
// The elements that a window of `taps`, `dilation` apart, spans can be counted: no input has as many as that.
bool fst_infer_require_reach(fst_infer *in, fst_dim dilation, fst_dim taps, const char *text) FST_MUST_USE;
// `from` broadcasts to `to`: it is 1 or equal. False and in->message as above.
bool fst_infer_require_fits(fst_infer *in, fst_dim from, fst_dim to, const char *text) FST_MUST_USE;
// PyTorch's broadcasting of two shapes (right-aligned). False after a raise.
bool fst_infer_broadcast(fst_infer *in, const fst_dim *a, int a_rank, const fst_dim *b, int b_rank, fst_dim *out, int *out_rank);
// Sets result `r`: contiguous CPU tensor of this dtype and shape.
void fst_infer_set_tensor(fst_infer *in, uint32_t r, fst_dtype dtype, int rank, const fst_dim *dims);
void fst_infer_set_strided(fst_infer *in, uint32_t r, fst_dtype dtype, int rank, const fst_dim *dims, const fst_dim *strides);
// torch.result_type over the operands: dimensioned tensors, then 0-d tensors, then Python numbers.
fst_dtype fst_infer_result_type(const fst_infer *in, const uint32_t *args, uint32_t count);
fst_dtype fst_dtype_promote(fst_dtype a, fst_dtype b);   // torch.promote_types

// Runs the row's infer function on a node (grouped result arrays are set up and the types stored on success).
int fst_infer_node(fst_graph *graph, fst_node_id node, fst_arena *scratch, fst_infer *out);

// The dtype a POINTWISE node's `scalar` is evaluated in (`promote` of its row, or of the functional row of
// an in-place one); unknown when an operand's is.
fst_dtype fst_pointwise_dtype(const fst_infer *in, const char *promote);
// Does the result of this VIEW node share operand 0's storage, given the types as they stand? False for
// other nodes, for those whose types are not known, and where PyTorch would copy.
bool fst_infer_is_view(const fst_graph *graph, fst_node_id node);
// Elements between the first element of operand 0 and that of the view; false when not a view or not known.
bool fst_view_offset(const fst_graph *graph, fst_node_id node, fst_dim *out_elements);
// Views that give a list of tensors (unbind, chunk, split, broadcast_tensors, ...), and `size` and `stride`: the
// items as single views (or ints) before the node, in `arena`; the node stays. Returns how many; -1, with nothing
// changed, when that is not known or more than `most`.
int fst_list_build(fst_graph *graph, fst_node_id node, int most, fst_arena *arena, const fst_value_id **out_items);

#endif
