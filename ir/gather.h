// What an indexing node asks for, read once for inference and lowering.
#ifndef FST_IR_GATHER_H
#define FST_IR_GATHER_H

#include "ir/infer.h"

// x[i, :, j]: which dims of x are indexed by which items, and where the broadcast index shape stands in the result.
typedef struct fst_index_spec {
  int rank;                                  // of x
  int item[FST_MAX_RANK];                    // item that indexes a dim, or -1
  const fst_type_data *type[FST_MAX_RANK];   // its type
  int index_rank;                            // of the broadcast index shape
  fst_dim index_dims[FST_MAX_RANK];
  int at;                                    // first result dim of the index shape
  int out_rank;
  fst_dim out_dims[FST_MAX_RANK];
} fst_index_spec;
// FST_INFER_OK, or UNKNOWN or RAISES after setting in->message. Masks (bool items) are UNKNOWN here.
int fst_index_read(fst_infer *in, fst_index_spec *spec);

#endif
