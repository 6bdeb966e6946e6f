"""Small methods with an int `k` that only the call knows, each used in one place where a number matters: sizes, strides, steps, dilations,
padding, dims, indices, counts, divisors. A line is a name and the statements of a method over `k` and these tensors; the last is
its result. test_run_time_numbers.py calls each with every one of NUMBERS.
"""
import re

import torch

NUMBERS = (0, 1, -1, 3, 2**40, 2**63 - 1, -2**63)


def tensors(which):
    """Arguments by name. `which`: 0 or 1, for two sets of sizes; the second makes every size a symbol."""
    n, m = ((6, 4), (5, 3))[which]
    g = torch.Generator().manual_seed(which)
    random = lambda *sizes: torch.randn(sizes, generator=g)
    return {
        "v": random(n), "u": random(m), "m": random(m, n), "a": random(2, m, n), "img": random(1, m, n, n), "vol": random(1, m, n, n, n),
        "w1": random(m, m, 2), "w2": random(m, m, 2, 2), "w3": random(m, m, 2, 2, 2), "iv": torch.arange(n) - 2, "ix": torch.arange(n) % m,
        "bv": random(n) > 0, "bu": random(m) > 0, "one": random(1), "row": random(1, n), "cell": random(1)[0],
    }


CASES = r"""
# ---- convolutions
conv1d_stride: torch.conv1d(a, w1, None, [k])
conv1d_padding: torch.conv1d(a, w1, None, [1], [k])
conv1d_dilation: torch.conv1d(a, w1, None, [1], [0], [k])
conv1d_dilation_padded: torch.conv1d(a, w1, None, [1], [3], [k])
conv1d_groups: torch.conv1d(a, w1, None, [1], [0], [1], k)
conv1d_same: torch.conv1d(a, w1, None, [1], "same", [k])
conv2d_stride: torch.conv2d(img, w2, None, [k, 1])
conv2d_padding: torch.conv2d(img, w2, None, [1, 1], [0, k])
conv2d_dilation: torch.conv2d(img, w2, None, [1, 1], [0, 0], [1, k])
conv2d_all: torch.conv2d(img, w2, None, [k, k], [k, k], [k, k])
conv3d_stride: torch.conv3d(vol, w3, None, [1, 1, k])
conv3d_dilation: torch.conv3d(vol, w3, None, [1, 1, 1], [0, 0, 0], [k, 1, 1])
conv_transpose1d_stride: torch.conv_transpose1d(a, w1, None, [k])
conv_transpose1d_padding: torch.conv_transpose1d(a, w1, None, [1], [k])
conv_transpose1d_output_padding: torch.conv_transpose1d(a, w1, None, [2], [0], [k])
conv_transpose1d_dilation: torch.conv_transpose1d(a, w1, None, [1], [0], [0], 1, [k])
conv_transpose2d_stride: torch.conv_transpose2d(img, w2, None, [k, k])
conv_transpose2d_padding: torch.conv_transpose2d(img, w2, None, [1, 1], [1, k])
# ---- pools
max_pool1d_kernel: torch.max_pool1d(a, [k])
max_pool1d_stride: torch.max_pool1d(a, [2], [k])
max_pool1d_padding: torch.max_pool1d(a, [2], [1], [k])
max_pool1d_dilation: torch.max_pool1d(a, [2], [1], [0], [k])
max_pool2d_kernel: torch.max_pool2d(img, [k, 2])
max_pool2d_stride: torch.max_pool2d(img, [2, 2], [k, 1])
max_pool2d_padding: torch.max_pool2d(img, [2, 2], [1, 1], [k, 0])
max_pool2d_dilation: torch.max_pool2d(img, [2, 2], [1, 1], [0, 0], [1, k])
max_pool2d_ceil: torch.max_pool2d(img, [2, 2], [k, k], [1, 1], [1, 1], True)
avg_pool1d_kernel: torch.avg_pool1d(a, [k])
avg_pool1d_stride: torch.avg_pool1d(a, [2], [k])
avg_pool1d_padding: torch.avg_pool1d(a, [2], [1], [k])
avg_pool2d_kernel: F.avg_pool2d(img, [k, 1])
avg_pool2d_stride: F.avg_pool2d(img, [2, 2], [1, k])
avg_pool2d_padding: F.avg_pool2d(img, [2, 2], [1, 1], [k, k])
avg_pool2d_divisor: F.avg_pool2d(img, [2, 2], divisor_override=k)
avg_pool2d_divisor_fixed: F.avg_pool2d(img, [2, 2], divisor_override=0) + k
avg_pool3d_kernel: F.avg_pool3d(vol, [1, k, 1])
adaptive_avg_pool1d: torch.adaptive_avg_pool1d(a, [k])
adaptive_avg_pool2d: F.adaptive_avg_pool2d(img, [k, 2])
adaptive_max_pool2d: F.adaptive_max_pool2d(img, [k, 2])
lp_pool1d: F.lp_pool1d(a, 2.0, k)
# ---- windows, padding, resizing
unfold_size: v.unfold(0, k, 1)
unfold_step: v.unfold(0, 2, k)
unfold_dim: m.unfold(k, 1, 1)
im2col_kernel: F.unfold(img, [k, 1])
im2col_dilation: F.unfold(img, [2, 2], [k, k])
im2col_padding: F.unfold(img, [2, 2], [1, 1], [k, k])
im2col_stride: F.unfold(img, [2, 2], [1, 1], [0, 0], [k, 1])
pad_right: F.pad(v, [0, k])
pad_left: F.pad(v, [k, 0])
pad_both: F.pad(m, [k, k, 0, 1])
pad_reflect: F.pad(a, [k, 0], mode="reflect")
pad_replicate: F.pad(a, [0, k], mode="replicate")
pad_circular: F.pad(a, [k, 0], mode="circular")
interpolate_nearest: F.interpolate(a, size=[k])
interpolate_linear: F.interpolate(a, size=[k], mode="linear")
interpolate_bilinear: F.interpolate(img, size=[k, 2], mode="bilinear", align_corners=False)
interpolate_fixed: F.interpolate(img, size=[0, 2]) + k
pixel_shuffle: F.pixel_shuffle(torch.cat([img, img, img, img], 1), k)
pixel_unshuffle: F.pixel_unshuffle(img, k)
channel_shuffle: F.channel_shuffle(img, k)
# ---- views
expand_new: v.expand(k, -1)
expand_old: row.expand(k, -1)
expand_full: v.expand(k)
expand_one: one.expand(k)
expand_kept: v.unsqueeze(0).expand(-1, k)
expand_both: v.unsqueeze(0).expand(k, k)
expand_cell: cell.expand(k)
broadcast_to: torch.broadcast_to(row, [k, row.size(1)])
view_one: v.view(k)
view_two: m.view(k, -1)
view_minus: v.view(-1, k)
view_both: m.view(k, m.size(1))
reshape_one: m.reshape(k)
reshape_two: m.t().reshape(k, -1)
reshape_minus: v.reshape(-1, k, 1)
flatten_start: a.flatten(k)
unflatten: m.unflatten(1, [k, -1])
narrow_start: v.narrow(0, k, 1)
narrow_start_zero: v.narrow(0, k, 0)
narrow_length: v.narrow(0, 0, k)
narrow_length_one: v.narrow(0, 1, k)
narrow_both: v.narrow(0, k, k)
narrow_dim: m.narrow(k, 0, 1)
select_index: m.select(0, k)
select_dim: m.select(k, 0)
index_plain: v[k]
index_row: m[k]
index_column: m[:, k]
index_both: m[k, k]
slice_start: v[k:]
slice_end: v[:k]
slice_step: v[::k]
slice_start_step: v[1::k]
slice_inner: v[1:9:k]
slice_all: v[k:k:k]
slice_both: v[k:3]
slice_column: m[:, k:]
slice_of_slice: v[k:][:2]
slice_end_sum: v[:k].sum()
squeeze_dim: row.squeeze(k)
unsqueeze_dim: v.unsqueeze(k)
transpose_dim: m.transpose(0, k)
permute_dim: m.permute(1, k)
movedim: m.movedim(0, k)
swapaxes: m.swapaxes(k, 1)
diagonal_offset: m.diagonal(k)
diagonal_dim: m.diagonal(0, 0, k)
diag_offset: torch.diag(m, k)
diag_make: torch.diag(v, k)
diag_embed: torch.diag_embed(v, k)
as_strided_size: v.as_strided([k], [1])
as_strided_stride: v.as_strided([2], [k])
as_strided_broadcast: v.as_strided([k, k], [0, 0])
as_strided_offset: v.as_strided([1], [1], k)
unbind: torch.stack(m.unbind(k))
chunk: torch.cat(v.chunk(k))
chunk_count: len(v.chunk(k))
split: torch.cat(v.split(k))
split_count: len(v.split(k))
split_first: v.split(k)[0]
split_sizes: v.split([k, v.size(0) - k])[0]
tensor_split: torch.tensor_split(v, k)[0]
hsplit: torch.hsplit(v, k)[0]
ravel_view: m[k:].ravel()
t_slice: m.t()[k:]
# ---- copies by number
repeat: v.repeat(k)
repeat_two: v.repeat(k, 1)
repeat_interleave: v.repeat_interleave(k)
repeat_interleave_dim: m.repeat_interleave(2, dim=k)
tile: torch.tile(v, [k])
roll: v.roll(k)
roll_dim: m.roll(1, k)
flip: m.flip([k])
rot90: torch.rot90(m, k, [0, 1])
rot90_dim: torch.rot90(m, 1, [0, k])
tril: m.tril(k)
triu: m.triu(k)
tril_indices: torch.tril_indices(3, 4, k)
tril_rows: torch.tril_indices(k, 4)
cat_dim: torch.cat([m, m], k)
stack_dim: torch.stack([v, v], k)
cat_slice: torch.cat([v[k:], v[:k]])
gather_dim: torch.gather(m, k, torch.zeros([1, 1], dtype=torch.int64))
index_select_dim: m.index_select(k, torch.tensor([0, 1]))
index_select_index: m.index_select(0, torch.tensor([k]))
take_index: torch.take(m, torch.tensor([0, k]))
# ---- making tensors
zeros: torch.zeros(k)
zeros_two: torch.zeros([k, 2])
zeros_many: torch.zeros([k, k])
zeros_empty: torch.zeros([0, k])
zeros_empty_many: torch.zeros([k, 0, k])
ones: torch.ones([2, k])
full: torch.full([k], 1.5)
full_value: torch.full([2], k)
empty_size: torch.empty([k]).size(0)
new_zeros: v.new_zeros([k])
new_full: v.new_full([1, k], 2.0)
arange_end: torch.arange(k)
arange_start: torch.arange(k, 5)
arange_step: torch.arange(0, 9, k)
arange_float: torch.arange(0.0, 2.0, float(k))
arange_back: torch.arange(5, k, -1)
linspace: torch.linspace(0.0, 1.0, k)
eye: torch.eye(k)
eye_two: torch.eye(2, k)
full_like_int: torch.full_like(iv, k)
tensor_of: torch.tensor(k)
tensor_list: torch.tensor([k, 1])
tensor_float: torch.tensor(float(k))
one_hot: F.one_hot(ix, k)
hann: torch.hann_window(k)
vander: torch.vander(v, k)
meshgrid: torch.meshgrid([torch.arange(k), torch.arange(2)])[0]
bincount: torch.bincount(ix, minlength=k)
histc: torch.histc(v, k)
combinations: torch.combinations(u, k)
rand_size: torch.rand([k]).size(0)
randperm_size: torch.randperm(k).size(0)
randint_high: torch.randint(k, [2]).size(0)
# ---- reductions and their dims
sum_dim: m.sum(k)
sum_dims: m.sum([0, k])
mean_dim: m.mean(k)
amax_dim: m.amax(k)
argmax_dim: m.argmax(k)
max_dim: m.max(k)[0]
min_dim: m.min(k)[1]
prod_dim: m.prod(k)
all_dim: (m > 0).all(k)
any_dim: (m > 0).any(k)
std_dim: m.std(k)
var_correction: torch.var(m, [1], correction=k)
norm_dim: m.norm(2, k)
logsumexp_dim: m.logsumexp(k)
softmax_dim: m.softmax(k)
log_softmax_dim: m.log_softmax(k)
cumsum_dim: m.cumsum(k)
cumprod_dim: m.cumprod(k)
sort_dim: m.sort(k)[0]
argsort_dim: torch.argsort(m, k)
topk_count: v.topk(k)[0]
topk_dim: m.topk(1, k)[0]
kthvalue: v.kthvalue(k)[0]
median_dim: m.median(k)[0]
mode_dim: ix.mode(k)[0]
argmax_bool: bv.argmax() + k
argmin_bool: bv.argmin() + k
max_bool: bv.max()
unique_dim: ix.unique(dim=k)
count_nonzero: torch.count_nonzero(m, k)
diff_n: torch.diff(v, k)
diff_dim: torch.diff(m, 1, k)
trapezoid: torch.trapezoid(m, dim=k)
glu: F.glu(torch.cat([m, m], 1), k)
cross_dim: torch.cross(torch.ones(3, 3), torch.ones(3, 3), dim=k)
renorm: torch.renorm(m, 2, k, 1.0)
# ---- normalizations and losses
layer_norm: F.layer_norm(m, [k])
group_norm: F.group_norm(img, k)
normalize_dim: F.normalize(m, 2.0, k)
cosine_dim: F.cosine_similarity(m, m, k)
local_response: F.local_response_norm(img, k)
nll_ignore: F.nll_loss(m.t().log_softmax(1), ix, ignore_index=k)
cross_entropy: F.cross_entropy(m.t(), ix, ignore_index=k)
embedding_padding: F.embedding(ix, m, k)
cdist: torch.cdist(m, m, float(k))
matrix_power: torch.matrix_power(m @ m.t(), max(k, -4611686018427387904))
tensordot: torch.tensordot(m, m.t(), k)
# ---- indexing and writes
index_tensor: m[torch.tensor([0, k])]
index_pairs: m[torch.tensor([0, 1]), torch.tensor([k, 1])]
index_empty: v[torch.zeros([k], dtype=torch.int64)]
mask_read: v[torch.ones([k], dtype=torch.bool)]
mask_write: y = v.clone(); y[torch.ones([k], dtype=torch.bool)] = -1.0; y
mask_other_size: y = v.clone(); y[bu] = -1.0; y + k
mask_other_read: v[bu] + k
mask_two: m[m > 0] + k
mask_rows: m[bu]
mask_row_write: y = m.clone(); y[bu] = float(k); y
mask_values: y = v.clone(); y[bv] = u; y
mask_too_many: y = v.clone(); y[bv] = torch.ones(k); y
index_put_shape: y = v.clone(); y[iv[:2]] = torch.ones(k); y
index_put_rows: y = m.clone(); y[torch.tensor([0, 1])] = torch.ones([k, y.size(1)]); y
index_put_other: y = m.clone(); y[torch.tensor([0, 1])] = u; y
index_put_op: y = v.clone(); y.index_put_([iv], torch.ones(k)); y
index_put_add: y = v.clone(); y.index_put_([iv], u, accumulate=True); y
index_float: v[v] + k
index_float_write: y = v.clone(); y[v] = 0.0; y
index_many: v[iv, iv] + k
index_short: m[iv.to(torch.int32) * 0] + k
put_cell: y = v.clone(); y[k] = 7.0; y
put_row: y = m.clone(); y[k] = 7.0; y
put_row_values: y = m.clone(); y[k] = v; y
put_slice: y = v.clone(); y[k:] = 7.0; y
put_slice_step: y = v.clone(); y[::k] = 7.0; y
put_slice_values: y = v.clone(); y[:k] = u; y
put_column: y = m.clone(); y[:, k] = u; y
put_narrow: y = v.clone(); y.narrow(0, k, 2).fill_(3.0); y
put_expand: y = v.clone(); y[:] = torch.ones(k); y
copy_into: y = v.clone(); y.copy_(torch.ones(k)); y
add_into: y = v.clone(); y += torch.ones(k); y
fill_int: y = iv.clone(); y.fill_(k); y
scatter_dim: m.scatter(k, torch.zeros([1, 1], dtype=torch.int64), 5.0)
scatter_index: v.scatter(0, torch.tensor([k]), 5.0)
scatter_add: v.scatter_add(0, torch.tensor([k, 0]), torch.ones(2))
index_add: v.index_add(0, torch.tensor([k]), torch.ones(1))
index_fill: v.index_fill(0, torch.tensor([k]), 5.0)
index_copy: v.index_copy(0, torch.tensor([k]), torch.ones(1))
masked_fill: v.masked_fill(bv, float(k))
masked_fill_size: v.masked_fill(torch.ones([k], dtype=torch.bool), 0.0)
masked_select: v.masked_select(torch.ones([k], dtype=torch.bool))
where_size: torch.where(torch.ones([k], dtype=torch.bool), v, v)
slice_scatter: v.slice_scatter(torch.ones(2), 0, k, k + 2)
select_scatter: v.select_scatter(torch.ones([]), 0, k)
# ---- sizes that must agree
add_ones: v + torch.ones(k)
add_rows: m + torch.ones([k, 1])
matmul: m @ torch.ones([k, 2])
mm: torch.mm(m, torch.ones([k, 2]))
mv: torch.mv(m, torch.ones(k))
dot: torch.dot(v, torch.ones(k))
bmm: torch.bmm(a, torch.ones([k, a.size(2), 1]))
baddbmm: torch.baddbmm(torch.ones([2, 1, k]), a[:, :1], a.transpose(1, 2))
addmm: torch.addmm(torch.ones(k), m, m.t())
linear: F.linear(m, torch.ones([2, k]))
linear_bias: F.linear(m, torch.ones([2, m.size(1)]), torch.ones(k))
outer: torch.outer(v, torch.ones(k))
einsum: torch.einsum("ij,j->i", m, torch.ones(k))
cat_sizes: torch.cat([m, torch.ones([k, 2])], 1)
cat_rows: torch.cat([m, torch.ones([2, k])])
stack_sizes: torch.stack([v, torch.ones(k)])
lerp: torch.lerp(v, torch.ones(k), 0.5)
where_other: torch.where(bv, v, torch.ones(k))
mse: F.mse_loss(v, torch.ones(k))
conv1d_channels: torch.conv1d(a, torch.ones([2, k, 2]))
conv1d_weight: torch.conv1d(a, torch.ones([2, a.size(1), k]))
conv2d_bias: torch.conv2d(img, w2, torch.ones(k))
batch_norm: F.batch_norm(img, torch.zeros(k), torch.ones(k))
layer_norm_weight: F.layer_norm(m, [m.size(1)], torch.ones(k))
embedding_rows: F.embedding(ix, torch.ones([k, 2]))
lstm_cell_rows: torch.lstm_cell(m, [torch.ones([k, 2]), torch.ones([k, 2])], torch.ones([8, m.size(1)]), torch.ones([8, 2]))[0]
gru_cell: torch.gru_cell(m, torch.ones([k, 2]), torch.ones([6, m.size(1)]), torch.ones([6, 2]))
attention: F.scaled_dot_product_attention(a, torch.ones([2, k, a.size(2)]), torch.ones([2, k, a.size(2)]))
addcmul: torch.addcmul(v, torch.ones(k), v)
# ---- numbers
shift_left: 1 << k
shift_left_of: k << 2
shift_right: 256 >> k
shift_right_of: k >> 3
divide: 7 // k
divide_of: k // 2
divide_back: k // (0 - 1)
modulo: 7 % k
modulo_of: k % 5
modulo_back: k % (0 - 1)
true_divide: 7 / k
power: 2 ** k
power_of: k ** 2
power_abs: 3 ** abs(k)
power_float: 1.5 ** k
negate: -k
absolute: abs(k)
to_float: float(k)
times: k * 3
plus_one: k + 1
minus_one: k - 1
bits: (k & 12) + (k | 1) + (k ^ 5) + ~k
smaller: min(k, 4) + max(k, 2)
text: str(k) + "{}".format(k)
to_int: int(float(k))
rounded: round(float(k))
square_root: math.sqrt(float(k))
float_mod: 7.5 % float(k)
float_floor: 7.5 // float(k)
gcd: math.gcd(k, 12)
factorial: math.factorial(min(k, 20))
ldexp: math.ldexp(1.0, min(k, 2000))
# ---- numbers against tensors
tensor_add: iv + k
tensor_times: iv * k
tensor_float_times: v * k
tensor_floor: iv // k
tensor_floor_float: v // k
tensor_mod: iv % k
tensor_fmod: torch.fmod(iv, k)
tensor_remainder: torch.remainder(v, k)
tensor_div: iv / k
tensor_div_trunc: torch.div(iv, k, rounding_mode="trunc")
tensor_power: iv ** k
tensor_power_float: v ** k
tensor_power_cell: torch.tensor(k) ** 2
tensor_power_by: 2 ** iv.clamp(min=0) + k
tensor_power_tensor: iv.abs() ** (torch.ones_like(iv) * k).abs()
tensor_shift: iv << k
tensor_shift_right: iv >> k
tensor_floor_cell: torch.tensor(k) // torch.tensor(0 - 1)
tensor_mod_cell: torch.tensor(k) % torch.tensor(0 - 1)
tensor_clamp: iv.clamp(max=k)
tensor_compare: (iv < k, iv == k)
tensor_int32: torch.tensor(k).to(torch.int32)
tensor_u8: torch.tensor(k).to(torch.uint8)
tensor_float_of: torch.tensor(k).to(torch.float32)
tensor_item: int(torch.tensor(k))
tensor_small: iv.to(torch.int32) + k
tensor_abs: torch.abs(torch.tensor(k))
tensor_neg: -torch.tensor(k)
tensor_gcd: torch.gcd(iv, torch.tensor(k))
# ---- lists and loops
list_get: x = [1, 2, 3]; x[k]
list_set: x = [1, 2, 3]; x[k] = 9; x
list_slice: x = [1, 2, 3]; x[k:]
list_slice_end: x = [1, 2, 3]; x[:k]
list_step: x = [1, 2, 3]; x[::k]
list_pop: x = [1, 2, 3]; x.pop(k)
list_insert: x = [1, 2, 3]; x.insert(k, 7); x
list_delete: x = [1, 2, 3]; del x[k]; x
list_times: x = [1, 2, 3] * min(k, 5); x
list_tensors: x = [v, v * 2]; x[k]
text_get: "firesteel"[k]
text_slice: "firesteel"[k:]
text_step: "firesteel"[::k]
text_times: "ab" * min(k, 5)
text_split: "a b c".split(" ", k)
text_center: "ab".center(min(k, 9))
range_end: x = [i for i in range(min(k, 4))]; x
range_step: x = [i for i in range(0, 9, k)]; x
range_back: x = [i for i in range(9, 0, k)]; x
loop_sizes: x = [v[i:i + k].sum() for i in range(3)]; torch.stack(x)
dict_get: x = {1: 5, 3: 6}; x[k]
tuple_list: x = [(k, 1), (2, k)]; x[k][0]
assert_number: assert k > 0, "k is {}".format(k); k
# ---- chains: a number that passed one check goes into the next
zeros_slice: torch.zeros(k)[1:]
zeros_index: torch.zeros(k)[0]
zeros_max: torch.zeros(k).max()
zeros_mean: torch.zeros(k).mean()
zeros_argmax: torch.zeros([2, k]).argmax(1)
zeros_amax: torch.zeros([2, k]).amax(1)
zeros_min: torch.zeros([2, k]).min(1)[0]
zeros_softmax: torch.zeros([2, k]).softmax(1)
zeros_view: torch.zeros([k, 2]).view(-1)
zeros_reshape: torch.zeros([k, 2]).reshape(2, -1)
zeros_infer: torch.zeros([0, 2]).reshape(k, -1)
zeros_pool: F.max_pool1d(torch.zeros([1, 2, k]), 2)
zeros_conv: torch.conv1d(torch.zeros([1, a.size(1), k]), w1)
zeros_interpolate: F.interpolate(torch.zeros([1, 2, k]), size=[3])
zeros_median: torch.zeros(k).median()
zeros_item: torch.zeros(k).item()
zeros_bool: bool(torch.zeros(k))
zeros_stack: torch.stack([torch.zeros(k), torch.zeros(1)])
slice_mean: v[k:].mean()
slice_max: v[k:].max()
slice_reshape: v[k:].reshape(2, -1)
slice_conv: torch.conv1d(a[:, :, k:], w1)
slice_matmul: m[:, :k] @ m[:k]
arange_reshape: torch.arange(6).reshape(k, -1)
window_then_index: v.unfold(0, 2, 1)[k]
flatten_index: m.flatten()[k]
"""


# PyTorch's own arithmetic wraps or is cut to 32 bits here (it hangs, reads elsewhere, or its answer means nothing), or refuses what is
# harmless: ours only has to come back.
PECULIAR = {
    "max_pool1d_kernel": (2**40, 2**63 - 1), "max_pool1d_dilation": (2**40,), "conv1d_same": (2**40, 2**63 - 1), "conv2d_dilation": (2**63 - 1,),
    "conv3d_dilation": (2**63 - 1,), "im2col_dilation": (2**63 - 1,), "im2col_padding": (2**63 - 1,), "modulo": (2**63 - 1,), "ldexp": (-2**63,),
    "list_slice": (2**63 - 1,), "list_step": (-2**63,), "list_times": (-1, -2**63), "text_slice": (2**63 - 1,), "text_step": (-2**63,), "zeros_median": (0,),
    "conv1d_weight": (0,), "einsum": (1,), "text_center": (-1, -2**63),
}


def cases():
    """{name: (lines of the body, names of the tensors it takes)}. All take one, so that results come back as PyTorch's tensors."""
    out = {}
    for line in CASES.splitlines():
        if not line or line.startswith("#"):
            continue
        name, body = line.split(": ", 1)
        *lines, result = body.split("; ")
        out[name] = lines + [f"return {result}"], [t for t in tensors(0) if t == "v" or re.search(rf"\b{t}\b", body)]
    return out


def source(cases):
    """The functions as the text of one Python module: their lines cannot be read from anywhere else."""
    out = ["import math", "import torch", "import torch.nn.functional as F", "from torch import Tensor", ""]
    for name, (body, takes) in cases.items():
        parameters = ", ".join([f"{t}: Tensor" for t in takes] + ["k: int"])
        out += ["", f"def {name}({parameters}):"] + [f"    {line}" for line in body]
    return "\n".join(out) + "\n"
