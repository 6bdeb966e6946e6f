// What a normalisation asks for, read once for inference and lowering.
#ifndef FST_IR_NORM_H
#define FST_IR_NORM_H

#include "ir/infer.h"

// First normalised dim of layer_norm and rms_norm; -1 when the shape is not known.
int fst_layer_norm_axis(fst_infer *in, const fst_type_data *x);
// Statistics from the input (training, or instance_norm) or kept ones? False when not a constant.
bool fst_batch_norm_read(fst_infer *in, bool *out_from_input);

#endif
