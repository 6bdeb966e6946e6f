"""The operator kinds that programs use first (of 14,000 TorchScript programs and 127 model families, in the order that
completes most programs soonest), and scripted functions that use each of them.

PROGRAMS: (function or module, its arguments as a function, whether it is traced). Each must run natively; together
they must use all of NAMES."""
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor

NAMES = """
prim::Constant prim::ListConstruct prim::GetAttr prim::TupleConstruct aten::to.dtype aten::add.Tensor aten::_convolution aten::mul.Tensor
aten::avg_pool2d aten::pad aten::linear aten::convolution aten::scatter_reduce.two aten::select.int aten::view aten::add.Scalar
aten::new_ones aten::new_zeros aten::tensor.int prim::ListUnpack prim::TupleUnpack aten::slice.Tensor aten::index.Tensor aten::mul.Scalar
aten::full_like aten::chunk aten::pow.Tensor_Tensor aten::_convolution_mode aten::__getitem__.t aten::matmul aten::new_full aten::size
prim::If aten::sum.dim_IntList aten::batch_norm aten::cat aten::relu aten::sub.Tensor aten::ones aten::max_pool2d_with_indices
aten::max_pool3d_with_indices aten::remainder.Tensor aten::avg_pool1d aten::div.Tensor_mode aten::flatten.using_ints aten::add_.Tensor
aten::adaptive_avg_pool2d aten::hardtanh aten::max_pool2d aten::linalg_vector_norm aten::IntImplicit aten::conv2d aten::dropout aten::relu_
aten::mean.dim aten::hardsigmoid aten::sigmoid aten::size.int aten::div.Tensor aten::zeros_like aten::new_empty aten::fill_.Scalar
aten::transpose.int aten::gelu aten::addcmul aten::index_put_ aten::add.int prim::Loop aten::append.t aten::len.t prim::RaiseException
aten::gt.int aten::eq.int prim::isinstance prim::unchecked_cast aten::Int.Tensor aten::sub.int aten::add_.Scalar aten::mul.int aten::format
aten::hardtanh_ aten::floordiv.int aten::contiguous aten::dropout_ aten::hardswish_ prim::dtype aten::reshape aten::layer_norm aten::permute
aten::softmax.int aten::expand aten::tanh aten::unsqueeze aten::split_with_sizes prim::NumToTensor.Scalar aten::scaled_dot_product_attention
aten::floor_divide aten::unbind.int aten::silu_ aten::as_strided aten::zeros aten::mm aten::neg aten::upsample_bilinear2d aten::tensor
aten::lt.float aten::gt.float aten::full aten::arange aten::ScalarImplicit aten::embedding aten::arange.start aten::arange.start_step
aten::polygamma aten::addmm aten::unfold aten::baddbmm aten::avg_pool3d aten::norm.ScalarOpt_dim aten::__is__
""".split()

PROGRAMS = []


def program(*sizes, traced=False, **others):
    """Arguments: f32 tensors of these sizes, and others by name; a function is called."""
    def note(function):
        def arguments():
            torch.manual_seed(len(sizes))
            return tuple(torch.randn(s) for s in sizes) + tuple(v() if callable(v) else v for v in others.values())
        PROGRAMS.append((function, arguments, traced))
        return function
    return note


def ints(*sizes, high=4):
    return lambda: torch.randint(0, high, sizes)


# ---- arithmetic ----
@program((2, 3), (3,))
def arithmetic(x: Tensor, y: Tensor):
    return x + y, x * y, x - y, x / y, x + 2, x * 3, -x, torch.addcmul(x, y, y, value=0.5), torch.pow(x.abs(), y)


@program((2, 3), (3,), n=ints(2, 3))
def whole_quotients(x: Tensor, y: Tensor, n: Tensor):
    return torch.remainder(x, y), torch.div(x, y, rounding_mode="floor"), torch.floor_divide(n, n + 1)


@program((2, 3))
def written_in_place(x: Tensor):
    y = x.clone()
    y += x
    y += 1
    y.relu_()
    z = x.clone().fill_(2)
    return y, z, torch.nn.functional.silu(x.clone(), True), torch.nn.functional.hardswish(x.clone(), True), torch.nn.functional.hardtanh_(x.clone())


@program((2, 30))
def activations(x: Tensor):
    return (x.relu(), x.sigmoid(), x.tanh(), torch.nn.functional.gelu(x), torch.nn.functional.gelu(x, approximate="tanh"), torch.nn.functional.hardtanh(x),
            torch.nn.functional.hardsigmoid(x), torch.nn.functional.dropout(x, 0.5, False), torch.nn.functional.dropout(x.clone(), 0.5, False, True))


@program((2, 3))
def derivatives_of_gamma(x: Tensor):
    return torch.polygamma(1, x.abs() + 0.5), torch.polygamma(0, x.abs() + 0.5)


# ---- reductions and norms ----
@program((2, 3, 4))
def reductions(x: Tensor):
    return x.sum([0, 2]), x.mean([1], keepdim=True), x.softmax(-1), torch.linalg.vector_norm(x, 2.0, [1]), x.norm(2, [2], True), torch.norm(x, 3, [0])


@program((2, 3, 4), (3, 4), (3, 4))
def layer_norm(x: Tensor, w: Tensor, b: Tensor):
    return torch.layer_norm(x, [3, 4], w, b)


@program((2, 3, 4, 4), (3,), (3,))
def batch_norm(x: Tensor, m: Tensor, w: Tensor):
    return torch.batch_norm(x, w, m, m, w.abs() + 1, False, 0.1, 1e-5, False)


@program((2, 3, 4, 4), (3,), (3,))
def batch_norm_in_training(x: Tensor, m: Tensor, v: Tensor):
    return torch.batch_norm(x, None, None, m, v, True, 0.1, 1e-5, False), m, v


# ---- products ----
@program((2, 3, 4), (5, 4), (5,))
def linear(x: Tensor, w: Tensor, b: Tensor):
    return torch.nn.functional.linear(x, w, b), torch.matmul(x, w.t()), torch.mm(x[0], w.t()), torch.addmm(b, x[1], w.t()), torch.baddbmm(x, x @ x.transpose(1, 2), x)


@program((2, 4, 9, 8), (6, 2, 3, 3), (6,))
def convolutions(x: Tensor, w: Tensor, b: Tensor):
    y = torch.nn.functional.conv2d(x, w, b, [2, 1], [1, 0], [1, 1], 2)
    z = torch.convolution(x, w, b, [1, 1], [1, 1], [2, 1], False, [0, 0], 2)
    u = torch._convolution(x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 2, False, False, True, True)
    return y, z, u, torch.nn.functional.conv2d(x, w, b, [1, 1], "same", [1, 1], 2)


@program((2, 4, 9), (4, 3, 3), (2, 4, 5, 4), (4, 3, 2, 3))
def transposed_convolutions(x: Tensor, w: Tensor, y: Tensor, v: Tensor):
    return (torch.convolution(x, w, None, [2], [1], [1], True, [1], 1),
            torch._convolution(y, v, None, [1, 2], [0, 1], [1, 1], True, [0, 0], 1, False, False, True, True))


@program((2, 4), (2, 4, 6), (3, 4, 3))
def convolution_by_name(x: Tensor, y: Tensor, w: Tensor):
    return torch.ops.aten._convolution_mode(y, w, None, [1], "valid", [1], 1)


@program((2, 2, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8))
def attention(q: Tensor, k: Tensor, v: Tensor):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v), torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


# ---- pooling and resizing ----
@program((2, 3, 8, 9), (2, 3, 9), (1, 2, 6, 6, 6))
def pooling(x: Tensor, y: Tensor, z: Tensor):
    return (torch.nn.functional.avg_pool2d(x, [3, 2], [2, 2], [1, 1], True), torch.nn.functional.max_pool2d(x, [2, 3], [2, 1], [1, 1], [1, 1]),
            torch.ops.aten.max_pool2d_with_indices(x, [2, 3], [2, 1], [1, 1]), torch.nn.functional.adaptive_avg_pool2d(x, [3, 4]),
            torch.nn.functional.avg_pool1d(y, [3], [2], [1]), torch.nn.functional.avg_pool3d(z, [2, 2, 2]), torch.ops.aten.max_pool3d_with_indices(z, [2, 2, 2]))


@program((1, 2, 4, 5))
def resizing(x: Tensor):
    return torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False), torch.nn.functional.interpolate(x, size=[3, 7], mode="bilinear", align_corners=True)


@program((1, 2, 4, 5))
def resizing_by_op(x: Tensor):
    return torch.ops.aten.upsample_bilinear2d(x, [8, 6], True, None, None)


@program((1, 2, 4, 5))
def padding(x: Tensor):
    return torch.nn.functional.pad(x, [1, 2, 0, 1], "constant", 2.5), torch.nn.functional.pad(x, [1, 2, 1, 0], "reflect"), torch.nn.functional.pad(x, [1, 2, 2, 1], "replicate")


# ---- views, sizes, creation ----
@program((2, 6, 4))
def views(x: Tensor):
    a, b = x.chunk(2, 1)
    c, d, e = x.split_with_sizes([1, 2, 3], 1)
    f, g = x.unbind(0)
    parts = [x.select(1, -1), x[:, 1:5:2], x.view(2, 3, 8), x.flatten(1), x.transpose(0, 2), x.permute(2, 0, 1).contiguous(), x.reshape(-1, 3), x.unsqueeze(1).expand(2, 3, 6, 4)]
    return a + b, c, d, e, f - g, parts, x.unfold(1, 3, 2), torch.as_strided(x, [2, 2], [1, 4], 3)


@program((2, 6))
def sizes(x: Tensor):
    s = x.size()
    n = x.size(0) * s[1] - len(s) + x.size(1) // 4
    return n, s, n > 3, n == 8, x.view(s[1], s[0])


@program((2, 3))
def creation(x: Tensor):
    n = x.size(1)
    return (torch.zeros([n, 2]), torch.ones([n]), torch.full([2, n], 7), torch.arange(n), torch.arange(1, n + 3), torch.arange(0, 2 * n, 2), torch.zeros_like(x), torch.full_like(x, 0.5),
            x.new_ones([2]), x.new_zeros([n]), x.new_full([n], 2.5), x.new_empty([n, 1]).fill_(1), torch.tensor(n), torch.tensor([1.5, 2.5]), torch.tensor([n, 2]))


@program((2, 3))
def joined(x: Tensor):
    return torch.cat([x, x], 1), torch.cat([x, x * 2], -2)


@program((2, 3))
def converted(x: Tensor):
    return x.to(torch.float64), x.to(torch.int64), x.to(x.dtype), (x > 0).to(x.dtype), x.dtype == torch.float32


# ---- indexing ----
@program((5, 3), n=ints(4), m=ints(2, 2, high=3))
def indexed(x: Tensor, n: Tensor, m: Tensor):
    y = x.clone()
    y[n, :] = 1.0
    y[1, 2] = -1.0
    return x[n], x[n, m[0, 0]], x[:, m], x[x > 0].sum(), y, torch.embedding(x, m)


@program((3, 5), n=ints(3, 5, high=3))
def scattered(x: Tensor, n: Tensor):
    z = torch.zeros(3, 5)
    return torch.scatter_reduce(z, 0, n, x, "sum"), torch.scatter_reduce(z, 0, n, x, "amax", include_self=False), torch.scatter_reduce(z, 0, n, x, "mean")


# ---- numbers, control flow, containers ----
@program((3,), n=3, f=0.5)
def numbers(x: Tensor, n: int, f: float):
    k = (n + 4) * 2 - n // 2
    if n > 2 and f < 0.75:
        k = k + 1
    if f > 0.25:
        x = x * f
    return k, x, k == 12


@program((3,), n=lambda: torch.tensor([3]))
def numbers_from_tensors(x: Tensor, n: Tensor):
    k = int(n)
    return x * k, x.sum().to(torch.float64) + k, torch.zeros(int(n.max()))


@program((4, 3))
def loops(x: Tensor):
    rows: List[Tensor] = []
    total = 0
    for i in range(x.size(0)):
        rows.append(x[i] * i)
        total += i
    while total > 2:
        total -= 2
    return torch.stack(rows), total, len(rows), rows[1]


@program((4, 3), n=2)
def raises_not(x: Tensor, n: int):
    if n > 5:
        raise ValueError("n is {}, of {} rows".format(n, x.size(0)))
    return x * n, "{}: {}".format(n, x.size(1))


@program((4, 3), y=None)
def optional(x: Tensor, y: Optional[Tensor]):
    if y is None:
        y = x
    return x + y


@program((4, 3))
def tuples(x: Tensor):
    if x.size(0) > 2:
        t = (x, x.size(0))
    else:
        t = (x + 1, 2)
    d: Dict[str, Tensor] = {"x": x}
    a, n = t
    return a * n, t, d["x"]


@program((4, 3), n=lambda: torch.tensor(2))
def implicit_numbers(x: Tensor, n: Tensor):
    return x.select(0, n), torch.full([2, 3], n.to(torch.float64))


@program((4, 3), traced=True)
def traced_sizes(x):
    n = x.size(0) * x.size(1) // 2
    return x.view(2, n), x.sum() * n, torch.zeros(n, x.shape[1])


class Weighted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)
        self.scale = 2

    def forward(self, x: Tensor):
        return self.linear(x) * self.scale


program((2, 3))(Weighted())


def kind_of(v: Any) -> Tuple[int, str]:
    if isinstance(v, int):
        return v + 1, "int"
    if isinstance(v, str):
        return len(v), v
    return 0, "other"


@program(n=7)
def of_any_kind(n: int):
    return kind_of(n), kind_of("text"), kind_of(2.5)
