// What a reduction's node asks for, read once for inference and lowering.
#ifndef FST_IR_REDUCTION_INTERNAL_H
#define FST_IR_REDUCTION_INTERNAL_H

#include "ir/infer.h"

typedef struct fst_reduction {
  const fst_type_data *self;
  int rank;
  fst_dtype dtype;                // self's
  bool reduced[FST_MAX_RANK];
  bool is_full;                   // no dim was named
  bool keepdim;
  int dim;                        // the one dim of ops that take one (the last of a list)
  bool has_asked;
  fst_dtype asked;                // the `dtype` argument
} fst_reduction;

int fst_reduction_read(fst_infer *in, fst_reduction *out);  // FST_INFER_*

#endif
