// Infer and lower functions of the families pointwise, view, create, query and reduction (ir/ops/*.def).
#ifndef FST_IR_ROWS_BASIC_H
#define FST_IR_ROWS_BASIC_H

struct fst_infer;
struct fst_lower;

#define FST_BASIC_INFERS(X) \
  X(addcdiv) X(always) X(any) X(arange) X(arg_extreme) X(as_strided) X(atleast_1d) X(atleast_2d) X(atleast_3d) \
  X(bool_tensor) X(compare_all) X(contiguous) X(count_nonzero) X(cumextreme) X(cumsum) X(device) X(device_type) X(diagonal) \
  X(dim) X(div_mode) X(dtype_query) X(element_size) X(empty_strided) X(expand) X(expand_as) X(extreme) \
  X(extreme_dim) X(eye) X(flatten) X(float_tensor) X(full) X(get_device) X(is_cuda) X(glu) X(identity) X(inplace) \
  X(int_tensor) X(is_complex) X(is_contiguous) X(is_floating_point) X(is_same_size) X(is_signed) X(item) \
  X(layout) X(len_tensor) X(like) X(linspace) X(list) X(logcumsumexp) X(logsumexp) X(mean) X(narrow) X(nbytes) \
  X(neg) X(never) X(new) X(new_empty_strided) X(norm) X(numel) X(permute) X(pointwise) X(pow) X(prelu) \
  X(ravel) X(real_identity) X(reshape) X(reshape_as) X(result_type_query) X(scalar_tensor) X(select) X(size) \
  X(size_int) X(slice) X(softmax) X(squeeze) X(stride) X(stride_int) X(sub) X(sum) X(sum_to_size) \
  X(tensor_list_data) X(to) X(triangle) X(triangle_indices) X(unflatten) X(unfold_view) X(unsqueeze) X(var) \
  X(view) X(view_as) X(view_dtype) X(zeros)
#define FST_BASIC_LOWERS(X) \
  X(all) X(amax) X(amin) X(aminmax) X(any) X(arange) X(argmax) X(argmin) X(as_strided) X(bits) X(clamp) \
  X(count_nonzero) X(cummax) X(cummin) X(cumprod) X(cumsum) X(diagonal) X(div_mode) X(expand) X(eye) \
  X(float_test) X(floordiv) X(fmod) X(full) X(gcd) X(gelu) X(glu) X(isclose) X(lcm) X(linspace) X(log_softmax) \
  X(logcumsumexp) X(logit) X(logspace) X(logsumexp) X(max_dim) X(mean) X(min_dim) X(nan_to_num) X(nanmean) \
  X(nansum) X(narrow) X(new_full) X(norm) X(number) X(ones) X(permute) X(polygamma) X(prelu) X(prod) \
  X(remainder) X(reshape) X(rounding) X(safe_softmax) X(same) X(select) X(slice) X(softmax) X(sum) \
  X(sum_to_size) X(tensor_list_data) X(triangle_indices) X(tril) X(triu) X(unfold_view) X(var) X(zeros)

#define X(name) int fst_infer_##name(struct fst_infer *in);
FST_BASIC_INFERS(X)
#undef X
#define X(name) void fst_lower_##name(struct fst_lower *lo);
FST_BASIC_LOWERS(X)
#undef X

#endif
