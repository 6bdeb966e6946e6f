"""Cases that OpInfo samples do not reach: layouts, promotion, views of views, in-place writes, queries.

name -> (function of tensors, inputs as a function, so that each use makes fresh ones)"""
import torch

A = torch.ops.aten


def t(*sizes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(sizes) + len(sizes))
    if dtype == torch.bool:
        return torch.rand(sizes, generator=generator) > 0.5
    if dtype.is_floating_point:
        return torch.randn(sizes, generator=generator).to(dtype)
    return torch.randint(-9, 10, sizes, generator=generator).to(dtype)


def channels_last(*sizes):
    return t(*sizes).contiguous(memory_format=torch.channels_last)


CASES = {
    # ---- layouts of pointwise results
    "add channels_last": (lambda x, y: x + y, lambda: (channels_last(2, 3, 4, 5), channels_last(2, 3, 4, 5))),
    "add channels_last and bias": (lambda x, y: x + y, lambda: (channels_last(2, 3, 4, 5), t(3, 1, 1))),
    "add channels_last and number": (lambda x: x + 1, lambda: (channels_last(2, 3, 4, 5),)),
    "add transposed": (lambda x, y: x + y, lambda: (t(4, 3).t(), t(4, 3).t())),
    "add transposed and plain": (lambda x, y: x + y, lambda: (t(4, 3).t(), t(3, 4))),
    "add plain and transposed": (lambda x, y: x + y, lambda: (t(3, 4), t(4, 3).t())),
    "add expanded": (lambda x, y: x + y, lambda: (t(1, 4).expand(3, 4), t(3, 1).expand(3, 4))),
    "relu permuted": (lambda x: x.relu(), lambda: (t(2, 3, 4).permute(2, 0, 1),)),
    "relu strided": (lambda x: x.relu(), lambda: (t(4, 6)[:, ::2],)),
    "relu sizes of one": (lambda x: x.relu(), lambda: (t(3, 1, 2).permute(1, 2, 0),)),
    "where permuted": (lambda c, x, y: torch.where(c, x, y), lambda: (t(3, 4, dtype=torch.bool), t(4, 3).t(), t(4, 3).t())),
    "relu empty permuted": (lambda x: x.relu(), lambda: (t(0, 3, 2).permute(2, 1, 0),)),
    # ---- promotion
    "int plus float number": (lambda x: x + 1.5, lambda: (t(3, dtype=torch.int64),)),
    "bool plus int number": (lambda x: x + 2, lambda: (t(3, dtype=torch.bool),)),
    "bool plus bool": (lambda x, y: x + y, lambda: (t(3, dtype=torch.bool), t(3, dtype=torch.bool))),
    "bool times bool": (lambda x, y: x * y, lambda: (t(3, dtype=torch.bool), t(3, dtype=torch.bool))),
    "f32 plus 0-d f64": (lambda x, y: x + y, lambda: (t(3), torch.tensor(2.5, dtype=torch.float64))),
    "i32 plus 0-d f64": (lambda x, y: x + y, lambda: (t(3, dtype=torch.int32), torch.tensor(2.5, dtype=torch.float64))),
    "f16 plus f32": (lambda x, y: x + y, lambda: (t(3, dtype=torch.float16), t(3))),
    "u8 plus i8": (lambda x, y: x + y, lambda: (t(3).abs().to(torch.uint8), t(3, dtype=torch.int8))),
    "f16 sums": (lambda x: x.sum(1), lambda: (t(3, 50, dtype=torch.float16),)),
    "bf16 exp": (lambda x: x.exp(), lambda: (t(30, dtype=torch.bfloat16),)),
    "int true division": (lambda x, y: x / y, lambda: (t(9, dtype=torch.int64), t(9, dtype=torch.int64).abs() + 1)),
    "int floor division": (lambda x, y: x // y, lambda: (t(9, dtype=torch.int64), t(9, dtype=torch.int64).abs() + 1)),
    "float floor division": (lambda x, y: x // y, lambda: (t(9) * 7, t(9))),
    "int remainder": (lambda x, y: x % y, lambda: (t(9, dtype=torch.int64), t(9, dtype=torch.int64).abs() + 1)),
    "compare int with float number": (lambda x: x > 0.5, lambda: (t(9, dtype=torch.int64),)),
    "where numbers": (lambda c: torch.where(c, 1, 2.5), lambda: (t(3, dtype=torch.bool),)),
    "clamp of int by float": (lambda x: x.clamp(min=0.5), lambda: (t(9, dtype=torch.int64),)),
    "alpha": (lambda x, y: torch.sub(x, y, alpha=3), lambda: (t(4), t(4))),
    # ---- complex elements, moved part by part
    "to complex": (lambda x: x.to(torch.complex64), lambda: (t(3, 4).t(),)),
    "int to complex": (lambda x: x.to(torch.complex128), lambda: (t(3, dtype=torch.int64),)),
    "0-d to complex": (lambda x: x.to(torch.complex64), lambda: (t(),)),
    "complex to real": (lambda x: x.to(torch.float64), lambda: (t(3, 4).to(torch.complex64) * 1j + 2,)),
    "complex to int": (lambda x: x.to(torch.int64), lambda: (torch.tensor([1.5 + 7j, -2.5 - 3j]),)),
    "complex to bool": (lambda x: x.to(torch.bool), lambda: (torch.tensor([0j, 1j, 1 + 0j, complex(0, float("nan")), 2 + 3j]),)),
    "complex to complex": (lambda x: x.to(torch.complex128), lambda: (torch.tensor([[1.5 + 7j], [-2.5 - 3j]]),)),
    "complex copied": (lambda x: x[1:].t().contiguous(), lambda: (t(3, 4).to(torch.complex64) * (1 + 2j),)),
    "complex joined": (lambda x, y: (torch.cat([x, y], 1), torch.stack([x, x])), lambda: (t(3, 4).to(torch.complex64) * 1j, t(3, 2).to(torch.complex64))),
    "complex padded": (lambda x: torch.nn.functional.pad(x.flip(0), (1, 2)), lambda: (t(3, 4).to(torch.complex64) * (1 - 1j),)),
    "complex selected": (lambda x, i: (x[i], x.index_select(1, i)), lambda: (t(3, 4).to(torch.complex64) * (1 - 1j), torch.tensor([2, 0]))),
    "complex written": (lambda x, y: x.clone().copy_(y), lambda: (t(3, 4).to(torch.complex64), t(4))),
    # ---- views
    "view of transposed part": (lambda x: x.transpose(0, 1)[1:].select(0, 1), lambda: (t(4, 5, 6),)),
    "slice step": (lambda x: x[1:9:3], lambda: (t(10, 2),)),
    "slice beyond": (lambda x: x[5:100], lambda: (t(10, 2),)),
    "slice negative": (lambda x: x[-3:-1], lambda: (t(10, 2),)),
    "slice to nothing": (lambda x: x[7:3], lambda: (t(10, 2),)),
    "reshape of permuted": (lambda x: x.permute(0, 2, 1).reshape(2, 12), lambda: (t(2, 3, 4),)),
    "reshape of slice": (lambda x: x[:, :2].reshape(-1), lambda: (t(3, 4),)),
    "view merges rows": (lambda x: x[:, :, :2].view(6, 2), lambda: (t(2, 3, 4),)),
    "view splits strided": (lambda x: x[:, ::2].view(3, 2, 2), lambda: (t(3, 8),)),
    "view with ones": (lambda x: x.view(1, 6, 1, 1), lambda: (t(2, 3),)),
    "flatten channels_last": (lambda x: x.flatten(1), lambda: (channels_last(2, 3, 4, 5),)),
    "expand new dims": (lambda x: x.expand(2, 1, 3, 4), lambda: (t(3, 1),)),
    "expand keeps": (lambda x: x.expand(5, -1), lambda: (t(1, 4),)),
    "unfold windows": (lambda x: x.unfold(1, 3, 2), lambda: (t(2, 9),)),
    "diagonal above": (lambda x: x.diagonal(1, 0, 2), lambda: (t(3, 2, 5),)),
    "diagonal below": (lambda x: x.diagonal(-1), lambda: (t(4, 3),)),
    "as_strided": (lambda x: x.as_strided((2, 3), (1, 2), 1), lambda: (t(4, 4),)),
    "as_strided of a part": (lambda x: x.clone()[1].as_strided((2,), (2,), 5), lambda: (t(4, 4),)),
    "contiguous copies": (lambda x: x.t().contiguous(), lambda: (t(3, 4),)),
    "contiguous keeps": (lambda x: x.contiguous(), lambda: (t(3, 4),)),
    "contiguous channels_last": (lambda x: x.contiguous(memory_format=torch.channels_last), lambda: (t(2, 3, 4, 5),)),
    "to same dtype": (lambda x: x.to(torch.float32), lambda: (t(3, 4).t(),)),
    "to other dtype permuted": (lambda x: x.to(torch.float64), lambda: (t(3, 4).t(),)),
    "to int of large": (lambda x: x.to(torch.int32), lambda: (torch.tensor([1.9, -1.9, 2e5]),)),
    "to bool": (lambda x: x.to(torch.bool), lambda: (torch.tensor([0.0, -0.0, 0.5, float("nan")]),)),
    "to dtype with copy": (lambda x: x.to(torch.float32, copy=True), lambda: (t(3, 4).t(),)),
    "type_as": (lambda x, y: x.type_as(y), lambda: (t(3), t(3, dtype=torch.int64))),
    "chunk uneven": (lambda x: x.chunk(3, 1), lambda: (t(2, 7),)),
    "split sizes": (lambda x: x.split([1, 4, 2], 1), lambda: (t(2, 7),)),
    "tensor_split": (lambda x: x.tensor_split(3, 1), lambda: (t(2, 7),)),
    "unbind": (lambda x: x.unbind(1), lambda: (t(2, 3),)),
    "meshgrid xy": (lambda x, y: torch.meshgrid(x, y, indexing="xy"), lambda: (t(2), t(3))),
    "broadcast_tensors": (lambda x, y: torch.broadcast_tensors(x, y), lambda: (t(2, 1), t(3))),
    "movedim list": (lambda x: x.movedim((0, 2), (1, 0)), lambda: (t(2, 3, 4),)),
    "squeeze dims": (lambda x: x.squeeze((0, 2)), lambda: (t(1, 3, 1, 1),)),
    "zero-size reshape": (lambda x: x.reshape(0, 5), lambda: (t(3, 0),)),
    # ---- writes
    "add_ into view": (lambda x: x.clone()[1:].add_(1), lambda: (t(3, 4),)),
    "mul_ converts": (lambda x: x.clone().mul_(2), lambda: (t(3, 4, dtype=torch.int32),)),
    "write through a view": (lambda x: (lambda y: (y[1].zero_(), y)[1])(x.clone()), lambda: (t(3, 4),)),
    "add_ float to f16": (lambda x, y: x.clone().add_(y), lambda: (t(3, dtype=torch.float16), t(3))),
    # ---- creation
    "zeros_like permuted": (lambda x: torch.zeros_like(x), lambda: (t(2, 3, 4).permute(2, 0, 1),)),
    "ones_like of expanded": (lambda x: torch.ones_like(x), lambda: (t(1, 3, 1).expand(2, 3, 4),)),
    "full_like dtype": (lambda x: torch.full_like(x, 3.7, dtype=torch.int64), lambda: (t(3),)),
    "arange float": (lambda x: x + torch.arange(0, 1, 0.1), lambda: (t(10),)),
    "arange down": (lambda x: x + torch.arange(10, 0, -3), lambda: (t(4, dtype=torch.int64),)),
    "linspace": (lambda x: x + torch.linspace(-3, 7, 11), lambda: (t(11),)),
    "tensor of list": (lambda x: x + torch.tensor([1.5, 2.0, -1.0]), lambda: (t(3),)),
    "eye": (lambda x: x + torch.eye(3, 4), lambda: (t(3, 4),)),
    "tril": (lambda x: x.tril(1), lambda: (t(2, 4, 5),)),
    "triu": (lambda x: x.triu(-1), lambda: (t(4, 5),)),
    "tril_indices": (lambda x: x + torch.tril_indices(3, 4, 1), lambda: (t(2, 9, dtype=torch.int64),)),
    # ---- sizes as numbers
    "sizes reshape": (lambda x: x.view(x.size(0), x.size(1) // 2, -1), lambda: (t(2, 6, 5),)),
    "item": (lambda x, y: x * y.sum().item(), lambda: (t(3), t(4))),
    # ---- reductions
    "sum of bools": (lambda x: x.sum(), lambda: (t(9, dtype=torch.bool),)),
    "sum of int32 dim": (lambda x: x.sum(0, keepdim=True), lambda: (t(9, 2, dtype=torch.int32),)),
    "sum with dtype": (lambda x: x.sum(1, dtype=torch.float64), lambda: (t(9, 2),)),
    "sum of nothing": (lambda x: x.sum(0), lambda: (t(0, 2),)),
    "mean of 0-d": (lambda x: x.mean(0), lambda: (torch.tensor(2.0),)),
    "max with nan": (lambda x: x.max(0), lambda: (torch.tensor([1.0, float("nan"), 2.0, float("nan")]),)),
    "argmax ties": (lambda x: x.argmax(), lambda: (torch.tensor([[1, 3], [3, 2]]),)),
    "min of bools": (lambda x: x.min(0), lambda: (t(5, 2, dtype=torch.bool),)),
    "var dims": (lambda x: x.var((0, 2), correction=0, keepdim=True), lambda: (t(3, 4, 5),)),
    "var of one": (lambda x: x.var(), lambda: (t(1),)),
    "norm inf": (lambda x: torch.linalg.vector_norm(x, float("inf"), 1), lambda: (t(3, 4),)),
    "norm 3": (lambda x: x.norm(3), lambda: (t(3, 4),)),
    "softmax channels_last": (lambda x: x.softmax(1), lambda: (channels_last(2, 3, 4, 5),)),
    "softmax dtype": (lambda x: x.softmax(1, dtype=torch.float64), lambda: (t(2, 3),)),
    "logsumexp of infinities": (lambda x: x.logsumexp(1), lambda: (torch.tensor([[-float("inf")] * 2, [float("inf"), 0.0]]),)),
    "cummax with nan": (lambda x: x.cummax(0), lambda: (torch.tensor([1.0, float("nan"), 3.0, float("nan"), 1.0]),)),
    "cumsum of bools": (lambda x: x.cumsum(1), lambda: (t(2, 5, dtype=torch.bool),)),
    "all of u8": (lambda x: x.all(0), lambda: (t(3, 2).abs().to(torch.uint8),)),
    "any over dims": (lambda x: A.any.dims(x, [0, 2], True), lambda: (t(2, 3, 4, dtype=torch.bool),)),
    "matrix norm 1": (lambda x: torch.linalg.norm(x, 1), lambda: (t(3, 4),)),
}
