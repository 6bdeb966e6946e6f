// What a contraction node asks for, read once for inference and lowering.
#ifndef FST_IR_CONTRACTION_H
#define FST_IR_CONTRACTION_H

#include "ir/infer.h"

enum { FST_CONV_MAX = 3 };
typedef struct fst_conv {
  int spatial;          // 1 to 3
  bool transposed, batched;
  fst_dim stride[FST_CONV_MAX], dilation[FST_CONV_MAX], output_padding[FST_CONV_MAX];
  fst_dim padding[FST_CONV_MAX], padding_end[FST_CONV_MAX];  // differ for padding='same' only
  fst_dim groups;
} fst_conv;
bool fst_conv_read(fst_infer *in, fst_conv *c);  // false: in->message says why

typedef struct fst_tensordot {
  int count, a[FST_MAX_RANK], b[FST_MAX_RANK];   // contracted dims, pairwise
} fst_tensordot;
bool fst_tensordot_read(fst_infer *in, fst_tensordot *td);

// Labels are letters' codes; FST_EINSUM_DOTS + i is the i-th dim, from the right, of an ellipsis.
enum { FST_EINSUM_OPERANDS = 8, FST_EINSUM_DOTS = 128, FST_EINSUM_LABELS = FST_EINSUM_DOTS + FST_MAX_RANK };
typedef struct fst_einsum {
  int count;
  int ranks[FST_EINSUM_OPERANDS], labels[FST_EINSUM_OPERANDS][FST_MAX_RANK];
  int out_rank, out[FST_MAX_RANK];
  fst_dim sizes[FST_EINSUM_LABELS];
} fst_einsum;
bool fst_einsum_read(fst_infer *in, fst_einsum *e);

#endif
