"""State, views and aliasing."""
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from collection import script
from side_by_side import Call
from zoo.programs import case


class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("history", torch.zeros(4, 3))
        self.register_buffer("row", self.history[1])  # shares its storage
        self.register_buffer("columns", self.history.t())
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.history[self.count % 4] = x
        self.count += 1
        return self.history[:2]  # a view: changes at the next call

    @torch.jit.export
    def read(self) -> Tuple[Tensor, Tensor, int]:
        return self.row, self.columns, self.count

    @torch.jit.export
    def reset(self) -> None:
        self.history.zero_()
        self.count = 0


@case(lambda: [(torch.tensor([1.0, 2.0, 3.0]),), (torch.tensor([4.0, 5.0, 6.0]),), Call((), "read"), Call((torch.zeros(2),), error="must match the size"), Call((), "reset"), Call((), "read"),
               (torch.ones(3),), Call((), "read")])
def buffers():
    return script(Buffers())


class Training(nn.Module):
    """Norms in training mode move their running statistics, which no schema says."""

    def __init__(self):
        super().__init__()
        self.batch = nn.BatchNorm2d(3, momentum=0.3)
        self.instance = nn.InstanceNorm2d(3, track_running_stats=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.instance(self.batch(x) + 1)

    @torch.jit.export
    def read(self) -> List[Tensor]:
        return [self.batch.running_mean, self.batch.running_var, self.instance.running_mean, self.instance.running_var, self.batch.num_batches_tracked]


@case(lambda: [(torch.randn(2, 3, 4, 4),), Call((), "read"), (torch.randn(1, 3, 5, 7) * 3 + 1,), (torch.randn(2, 3, 4, 4),), Call((), "read"),
               Call((torch.randn(1, 3, 1, 1),), error="Expected more than 1")])
def training():
    return torch.jit.script(Training())


class Slices(nn.Module):
    """Writes into views whose bounds are data, and whose rows lie apart."""

    def forward(self, x: Tensor, cuts: List[int], n: int) -> Tuple[Tensor, Tensor]:
        grid = x.new_zeros((9, 9))
        grid[-4:-cuts[0], 0:-4] = 2
        grid[-cuts[0]:, -cuts[1]:] = 3
        part = grid[:n, 1:4]
        part += 1
        rows = (x * 2)[:, :n]
        rows.mul_(3)
        return grid, rows


@case(lambda: [(torch.randn(5, 6), [2, 3], 4), (torch.randn(5, 6), [4, 1], 0), (torch.randn(2, 20), [1, 9], 17)])
def slices():
    return script(Slices())


class Inputs(nn.Module):
    """Writes into what it is given and returns parts of it."""

    def forward(self, x: Tensor, items: List[Tensor]) -> Tuple[Tensor, List[Tensor], Tensor]:
        x[0].add_(1)
        items.append(x)
        items[0] = items[0] * 2
        y = x.reshape(-1)
        y.mul_(2)
        return x[1:], items, y


@case(lambda: [(torch.ones(3, 2), [torch.ones(1)]), (torch.ones(2, 3).t(), [torch.zeros(2)])])
def inputs():
    return script(Inputs())


class SharedPart(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x)


class Shared(nn.Module):
    """One submodule under two names, one weight in two modules, one list in two attributes."""

    def __init__(self):
        super().__init__()
        self.first = script(SharedPart())  # scripted once: scripting a part twice would make two of it
        self.second = self.first
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.first.linear.weight
        self.sizes = [1, 2, 3]
        self.table = {"a": 1, "b": 2}
        self.names = ["x", "y"]
        self.pair = (1, "two")

    def forward(self, x: Tensor, key: str) -> Tuple[Tensor, int]:
        self.sizes.append(self.table[key])
        self.table[key] += 1
        return self.tied(self.second(self.first(x))) * self.pair[0], len(self.sizes) + self.table["a"]


@case(lambda: [(torch.randn(2, 4), "a"), (torch.randn(1, 4), "b"), Call((torch.randn(1, 4), "c"), error="c"), (torch.randn(1, 4), "a")])
def shared():
    return script(Shared())


class Counter(nn.Module):
    """Several methods, with state between them, and one that fails half-way."""

    def __init__(self):
        super().__init__()
        self.total = torch.zeros(2)
        self.calls = 0
        self.last = torch.jit.Attribute(None, Optional[Tensor])

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.total = self.total + x
        last = self.last
        self.last = x
        if last is not None:
            return self.total + last
        return self.total

    @torch.jit.export
    def mean(self) -> Tensor:
        if self.calls == 0:
            raise ValueError("no calls yet")
        return self.total / self.calls

    @torch.jit.export
    def checked(self, x: Tensor, limit: float = 10.0) -> int:
        self.calls += 100
        if bool((x > limit).any()):
            raise RuntimeError("over the limit of {}".format(limit))
        self.total += x
        return self.calls


@case(lambda: [Call((), "mean", "no calls yet"), (torch.ones(2),), (torch.full((2,), 3.0),), Call((), "mean"), Call((torch.full((2,), 20.0),), "checked", "over the limit of 10"),
               Call((torch.ones(2), 2.5), "checked"), Call((), "mean")])
def multi_method():
    return script(Counter())
