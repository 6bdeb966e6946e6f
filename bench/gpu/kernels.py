"""Kernels to time: LOOPS[name] = Loop(what a round does, arguments, bytes a round must move, operations of a round). A round's result
is the next one's argument, so the time of a round is what more rounds take longer, without calls and copies."""
from typing import NamedTuple

import torch

MEGABYTES = 64


class Loop(NamedTuple):
    text: str          # over x and w
    arguments: tuple   # x, w
    bytes: int
    flops: int = 0


def reals(*sizes, dtype=torch.float32):
    return torch.randn(*sizes, dtype=torch.float32).to(dtype)


def loops():
    n = MEGABYTES << 18   # f32
    side, w = 4096, torch.zeros(1)
    moved = 2 * MEGABYTES << 20
    yield "pointwise", Loop("torch.tanh(x) * 0.5 + 0.1", (reals(n), w), moved)
    yield "pointwise f16", Loop("torch.relu(x) * 0.5 - 0.1", (reals(2 * n, dtype=torch.float16), w), moved)
    yield "softmax, rows of 64", Loop("torch.softmax(x, 1)", (reals(n // 64, 64), w), moved)
    yield "softmax, rows of 4096", Loop("torch.softmax(x, 1)", (reals(side, side), w), moved)
    yield "softmax, rows of 262144", Loop("torch.softmax(x, 1)", (reals(64, n // 64), w), moved)
    yield "layer norm, rows of 1024", Loop("torch.layer_norm(x, [1024])", (reals(n // 1024, 1024), w), moved)
    yield "less the mean, rows of 4096", Loop("x - x.mean(1, True)", (reals(side, side), w), moved)
    yield "transposed copy", Loop("x.t().contiguous()", (reals(side, side), w), moved)
    for dtype, name in ((torch.float16, "f16"), (torch.bfloat16, "bf16"), (torch.float32, "f32")):
        yield f"product {name}", Loop("x @ w", (reals(side, side, dtype=dtype), (reals(side, side) / 64).to(dtype)), 3 * side * side * reals(1, dtype=dtype).element_size(), 2 * side ** 3)


LOOPS = dict(loops())


def scripted(name):
    module = torch.jit.script(type(f"Loop{list(LOOPS).index(name)}", (torch.nn.Module,), {})())
    module.define(f"def forward(self, x: Tensor, w: Tensor, n: int):\n    for i in range(n):\n        x = {LOOPS[name].text}\n    return x\n")
    return module
