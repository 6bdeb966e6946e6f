// What inference and lowering of views share: the parameters of a view, read from its node.
#ifndef FST_IR_VIEW_INTERNAL_H
#define FST_IR_VIEW_INTERNAL_H

#include "ir/infer.h"
#include "ir/layout.h"

typedef struct fst_view_part {   // elements start, start + step, ... of one dim
  int dim;
  fst_dim start, length, step;
} fst_view_part;

typedef struct fst_view_diagonal {
  int dim1, dim2;
  int64_t offset;
  fst_dim length;
} fst_view_diagonal;

// All return FST_INFER_*; operand 0 of the node has this shape.
int fst_view_order(fst_infer *in, int rank, int *order);          // result dim i is operand dim order[i]
int fst_view_move_order(fst_infer *in, int rank, int *order);     // the same, of movedim
int fst_view_squeezed(fst_infer *in, const fst_shape *shape, bool *removed);
int fst_view_select_start(fst_infer *in, const fst_shape *shape, int dim, fst_dim *out);
int fst_view_slice_part(fst_infer *in, const fst_shape *shape, fst_view_part *out);
int fst_view_narrow_part(fst_infer *in, const fst_shape *shape, fst_view_part *out);
int fst_view_diagonal_part(fst_infer *in, const fst_shape *shape, fst_view_diagonal *out);

// fst_view_offset for rows that copy what they would view, as well.
bool fst_view_start(const fst_graph *graph, fst_node_id node, fst_dim *out_elements);
// The value of a 0-d integer tensor as an expression, where it was made from one: traced models carry sizes
// through NumToTensor, tensor arithmetic and Int. Unknown otherwise.
fst_dim fst_tensor_int(const fst_graph *graph, fst_value_id value, fst_dims *dims);

#endif
