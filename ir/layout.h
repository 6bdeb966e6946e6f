// Sizes with strides, and the strides PyTorch gives fresh results.
//
// Where PyTorch compares strides or sizes that are symbolic here, the comparison is made for sizes in
// general position (large, different from each other, not 0 or 1). Elements never depend on that choice,
// only the strides a caller could look at when a symbolic size happens to be 0 or 1.
#ifndef FST_IR_LAYOUT_H
#define FST_IR_LAYOUT_H

#include "ir/type.h"

typedef struct fst_shape {
  int rank;
  bool has_strides;
  fst_dim dims[FST_MAX_RANK];
  fst_dim strides[FST_MAX_RANK];
} fst_shape;

// MemoryFormat numbers as models carry them.
enum { FST_FORMAT_CONTIGUOUS = 0, FST_FORMAT_PRESERVE = 1, FST_FORMAT_CHANNELS_LAST = 2, FST_FORMAT_CHANNELS_LAST_3D = 3 };

// The value of a size in general position: what comparisons of symbolic sizes go by here.
int64_t fst_dim_typical(const fst_dims *dims, fst_dim d);
// The shape of a tensor type of known rank; unknown strides are taken as contiguous.
fst_shape fst_shape_of(fst_dims *dims, const fst_type_data *type);
fst_dim fst_shape_numel(fst_dims *dims, int rank, const fst_dim *sizes);
// Row-major, or dense in `format` (PyTorch's is_contiguous(memory_format)); strides of sizes 1 do not count.
bool fst_shape_is_contiguous(fst_dims *dims, const fst_shape *shape);
bool fst_shape_is_format(fst_dims *dims, const fst_shape *shape, int format);
bool fst_shape_is_dense(fst_dims *dims, const fst_shape *shape);  // non-overlapping and dense in some order
// PyTorch's suggest_memory_format.
int fst_shape_format(fst_dims *dims, const fst_shape *shape);

// Fills strides of `out` (its sizes are set) for `format`; PRESERVE gives contiguous ones.
void fst_layout_format(fst_dims *dims, int format, fst_shape *out);
// As empty_like(like, memory_format=preserve) for a result of like's sizes.
void fst_layout_like(fst_dims *dims, const fst_shape *like, fst_shape *out);
// TensorIterator's choice for a pointwise result of out's sizes; operands broadcast to it. Fewer than three
// comparisons matter in practice: all contiguous stays so, all of one dense layout keeps it, else the
// dims are ordered by the operands' strides, first operand first.
void fst_layout_pointwise(fst_dims *dims, const fst_shape *operands, int count, fst_shape *out);

#endif
