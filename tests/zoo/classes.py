"""Classes, tuples, enums, interfaces, unions and containers."""
from enum import Enum
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor, nn

from collection import script
from side_by_side import Call
from zoo.programs import case


class Point(NamedTuple):
    x: Tensor
    weight: float
    label: str


@torch.jit.script
class Accumulator:
    def __init__(self, scale: float):
        self.scale = scale
        self.items: List[Tensor] = []

    def add(self, x: Tensor) -> int:
        self.items.append(x * self.scale)
        return len(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def total(self) -> Tensor:
        out = self.items[0]
        for i in range(1, len(self.items)):
            out = out + self.items[i]
        return out


class Color(Enum):
    RED = 1
    GREEN = 2
    BLUE = 7


class Classes(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tuple[Tensor, Point, int]:
        acc = Accumulator(0.5)
        for i in range(n):
            acc.add(x + i)
        point = Point(x=acc.total(), weight=acc.scale, label="n={}".format(len(acc)))
        other = Point(point.x * 2, 1.0, point.label)
        return point.x + other.x, other, len(acc)


@case(lambda: [(torch.arange(3.0), 2), (torch.ones(2, 2), 1), Call((torch.ones(2), 0), error="index")])
def classes():
    return script(Classes())


def shade(x: Tensor, color: Color) -> Tensor:
    if color == Color.RED:
        return x
    return x * color.value


class Enums(nn.Module):
    def __init__(self):
        super().__init__()
        self.color = Color.GREEN

    def forward(self, x: Tensor, flag: bool) -> Tuple[Tensor, str]:
        color = Color.BLUE if flag else self.color
        return shade(x, color) + shade(x, Color.RED), color.name


@case(lambda: [(torch.arange(3.0), True), (torch.arange(3.0), False)])
def enums():
    return script(Enums())


@torch.jit.interface
class Step(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class PlusOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Interfaces(nn.Module):
    step: Step

    def __init__(self):
        super().__init__()
        self.step = Twice()
        self.other = PlusOne()
        self.parts = nn.ModuleList([Twice(), PlusOne(), Twice()])
        self.by_name = nn.ModuleDict({"a": PlusOne(), "b": Twice()})

    def forward(self, x: Tensor) -> Tensor:
        x = self.step(x) + self.other(x)
        for part in self.parts:
            x = part(x)
        for name, part in self.by_name.items():
            x = part(x) + len(name)
        return x


@case(lambda: [(torch.arange(3.0),)])
def interfaces():
    return script(Interfaces())


class Unions(nn.Module):
    def size(self, value: Union[int, float, List[int]]) -> float:
        if isinstance(value, int):
            return float(value)
        elif isinstance(value, float):
            return value * 10
        return float(len(value))

    def forward(self, x: Tensor, value: Optional[int], other: Any) -> Tuple[float, int]:
        n = 0 if value is None else value + 1
        kind = 0
        if isinstance(other, str):
            kind = len(other)
        elif isinstance(other, Tensor):
            kind = other.dim() + 100
        return self.size(n) + self.size(0.5) + self.size([1, 2]) + x.dim(), kind


@case(lambda: [(torch.ones(2), None, "abc"), (torch.ones(2, 2), 4, torch.ones(1)), (torch.ones(2), 1, 3)])
def unions():
    return script(Unions())


class Containers(nn.Module):
    def forward(self, keys: List[str], values: List[int]) -> Dict[str, List[int]]:
        out: Dict[str, List[int]] = {}
        for key, value in zip(keys, values):
            if key not in out:
                empty: List[int] = []
                out[key] = empty
            out[key].append(value)
        for key in out:
            out[key].sort(reverse=True)
        if "gone" in out:
            del out["gone"]
        squares = [v * v for v in values]
        squares.reverse()
        out["squares"] = squares[1:]
        first, second = values[0], values[-1]
        out["ends"] = [min(first, second), max(first, second), len(values), first // 2, -7 // 2, -7 % 3]
        return out


@case(lambda: [(["b", "a", "b", "gone"], [1, 5, 3, 2]), (["a"], [4])])
def containers():
    return script(Containers())


class Reductions(nn.Module):
    """Of lists that are known, item by item, when the program is compiled."""

    def forward(self, x: Tensor, n: int, f: float) -> Tuple[List[int], List[float], List[bool]]:
        sizes = [x.size(0), n, x.dim(), 3]
        floats = [f, 2.5, -f]
        empty: List[int] = []
        text = "sizes"
        return ([sum(sizes), min(sizes), max(sizes), sum(empty), len(text), sum([n, -n])], [min(floats), max(floats), sum(floats)],
                [all(sizes), any(sizes), all(empty), any(empty), all([n > 1, f > 0.0]), any([n > 1, f > 0.0]), any([0, 0])])


@case(lambda: [(torch.ones(2, 3), 4, 0.5), (torch.ones(5), 0, -3.0), (torch.ones(0), 1, float("nan"))])
def reductions():
    return script(Reductions())


class JoinedLists(nn.Module):
    """Lists that both ways of a branch make, beside others that only one way needs."""

    def forward(self, x: Tensor, flag: bool) -> Tuple[List[Tensor], int]:
        if flag:
            column = x.reshape([3, 1])
            out = [column.sum(1), x, x + 1]
        else:
            row = x.reshape([1, 3])
            sizes = [x.size(0), 7]
            out = [row.sum(0), x * 2, x * sizes[1]]
        out.append(out[0] + out[2])
        return out, len(out)


@case(lambda: [(torch.arange(3.0), True), (torch.arange(3.0), False)])
def joined_lists():
    return script(JoinedLists())


class Same(nn.Module):
    """`is` between tensors."""

    def is_same(self, a: Tensor, b: Tensor) -> bool:
        return a is b

    def forward(self, x: Tensor, y: Tensor) -> List[bool]:
        made = x + 1
        alike = x + 2
        return [self.is_same(made, made), self.is_same(made, alike), self.is_same(x, made), self.is_same(x, x), made is not alike, made is not y]


@case(lambda: [(torch.ones(2), torch.ones(2))])
def same():
    return script(Same())


class ToList(nn.Module):
    def forward(self, x: Tensor, n: Tensor) -> Tuple[List[List[float]], int, List[int]]:
        rows: List[List[float]] = x.tolist()
        number: int = n.sum().tolist()
        sizes: List[int] = []
        for row in rows:
            sizes.append(len(row))
        return rows, number, sizes + torch.jit.annotate(List[int], n.tolist())


@case(lambda: [(torch.arange(6.0).view(2, 3) / 4, torch.tensor([3, 4])), (torch.zeros(0, 3), torch.tensor([1]))])
def to_list():
    return script(ToList())
