// What a moving node asks for, read once for inference and lowering.
#ifndef FST_IR_MOVES_H
#define FST_IR_MOVES_H

#include "ir/infer.h"

typedef enum { FST_PAD_CONSTANT, FST_PAD_REFLECT, FST_PAD_REPLICATE, FST_PAD_CIRCULAR } fst_pad_mode;
typedef struct fst_pad {
  fst_pad_mode mode;
  int first, count;   // dims first .. first + count - 1 are padded
  fst_dim before[FST_MAX_RANK], after[FST_MAX_RANK];
} fst_pad;
bool fst_pad_read(fst_infer *in, fst_pad *p);  // false: in->message says why

// The slice that arguments dim, start, end and step pick from `x`.
bool fst_slice_read(fst_infer *in, const fst_type_data *x, int *out_dim, fst_dim *out_start, fst_dim *out_length, fst_dim *out_step);

#endif
