// What a pooling, resizing or sliding op asks for, read once for inference and lowering.
#ifndef FST_IR_POOL_H
#define FST_IR_POOL_H

#include "ir/infer.h"

enum { FST_POOL_MAX = 3 };
typedef struct fst_pool {
  int spatial, first;        // number of pooled dims, and the first of them
  bool ceil_mode, counts_padding;
  fst_dim kernel[FST_POOL_MAX], stride[FST_POOL_MAX], padding[FST_POOL_MAX], dilation[FST_POOL_MAX];
  fst_dim divisor;           // unknown: the window's own count
} fst_pool;
bool fst_pool_read(fst_infer *in, fst_pool *p);  // false: in->message says why
fst_dim fst_pool_out_size(fst_infer *in, const fst_pool *p, int i, fst_dim size);

typedef enum { FST_RESIZE_NEAREST, FST_RESIZE_NEAREST_EXACT, FST_RESIZE_LINEAR, FST_RESIZE_CUBIC } fst_resize_mode;
typedef struct fst_resize {
  int spatial;               // the last dims; the two before them are batch and channel
  fst_resize_mode mode;
  bool align_corners;
  fst_dim out[FST_POOL_MAX];
  double scale[FST_POOL_MAX];  // 0: from the sizes
} fst_resize;
bool fst_resize_read(fst_infer *in, fst_resize *r);

#endif
