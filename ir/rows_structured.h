// Infer and lower functions of the families contraction, norm, pool, gather, sort and copy (ir/ops/*.def).
#ifndef FST_IR_ROWS_STRUCTURED_H
#define FST_IR_ROWS_STRUCTURED_H

struct fst_infer;
struct fst_lower;

//        name of fst_infer_<name>
#define FST_STRUCTURED_INFERS(X)                                                                                 \
  X(compose) X(linear) X(mm) X(bmm) X(mv) X(dot) X(matmul) X(tensordot) X(einsum) X(conv) X(cell)                \
  X(bilinear) X(cdist) X(kron) X(cat) X(stack) X(pad) X(rearranged) X(clone) X(repeat) X(repeat_interleave)      \
  X(copy) X(copy_) X(fill) X(part_scatter) X(pixel_shuffle) X(channel_shuffle) X(diag_embed) X(index_select)     \
  X(gather) X(take) X(embedding) X(one_hot) X(index) X(index_put) X(scatter) X(index_write)                      \
  X(nonzero_static) X(searchsorted) X(layer_norm) X(group_norm) X(batch_norm) X(instance_norm) X(dropout)        \
  X(pool) X(adaptive_pool) X(resize) X(im2col) X(col2im) X(grid_sample) X(sort) X(pick)
//        name of fst_lower_<name>
#define FST_STRUCTURED_LOWERS(X)                                                                                 \
  X(linear) X(matmul) X(tensordot) X(einsum) X(conv) X(lstm_cell) X(gru_cell) X(rnn_tanh_cell)                   \
  X(rnn_relu_cell) X(bilinear) X(cdist) X(kron) X(cat) X(stack) X(pad) X(flip) X(roll) X(clone) X(repeat)        \
  X(repeat_interleave) X(copy) X(fill) X(zero) X(select_scatter) X(slice_scatter) X(diag_embed)                  \
  X(diagonal_scatter) X(pixel_shuffle) X(pixel_unshuffle) X(channel_shuffle) X(index_select) X(gather)           \
  X(take) X(embedding) X(one_hot) X(index) X(searchsorted) X(layer_norm) X(rms_norm) X(group_norm)               \
  X(batch_norm) X(instance_norm) X(max_pool) X(avg_pool) X(adaptive_avg_pool) X(adaptive_max_pool) X(im2col)     \
  X(col2im) X(resize) X(resize_aa) X(grid_sample) X(scatter) X(scatter_add) X(scatter_reduce) X(index_add)       \
  X(index_copy) X(index_fill) X(index_put) X(nonzero_static) X(sort)

int fst_infer_inplace(struct fst_infer *in);  // the basic families' in-place form: the result is self
#define X(name) int fst_infer_##name(struct fst_infer *in);
FST_STRUCTURED_INFERS(X)
#undef X
#define X(name) void fst_lower_##name(struct fst_lower *lo);
FST_STRUCTURED_LOWERS(X)
#undef X

#endif
