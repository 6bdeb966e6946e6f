"""Objects of user classes that exist at run time: what their attributes hold is known, also across loops and methods."""
import pathlib
import sys
from typing import Dict, List, Optional

import torch
from torch import Tensor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from functions import Cases, check  # noqa: E402

case = Cases()
X = torch.tensor([1.0, -2.0, 3.0])


@torch.jit.script
class Queue:
    def __init__(self, first: Tensor):
        self.items: List[Tensor] = [first]
        self.last = first
        self.names: Dict[str, Tensor] = {}
        self.total = torch.jit.annotate(Optional[Tensor], None)

    def put(self, x: Tensor, name: str) -> int:
        self.items.append(x)
        self.names[name] = x * 2
        self.last = x
        total = self.total
        self.total = x if total is None else total + x
        return len(self.items)


@case((X, 0), (X, 1), (X, 5))
def filled_in_a_loop(x: Tensor, n: int):
    queue = Queue(x)
    for i in range(n):
        queue.put(x * i, str(i % 2))
    out = queue.last + 1
    for item in queue.items:
        out = out + item
    return out, queue.items, queue.total, len(queue.names)


@case((X, 0), (X, 3))
def two_of_them(x: Tensor, n: int):
    a, b = Queue(x), Queue(torch.ones(2, 2))
    for i in range(n):
        if i % 2 == 0:
            a.put(x + i, "a")
        else:
            b.put(torch.ones(2, 2) * i, "b")
    return a.last, b.last, [t.dim() for t in a.items + b.items]


@case((X, 4), (X, 0))
def a_list_known_by_two_names(x: Tensor, n: int):
    queue = Queue(x)
    items = queue.items
    for i in range(n):
        items.append(torch.cat([x, x]))
        queue.items.append(x * i)
    return queue.items[-1] * 2, items[0] + items[-1], len(items)


@case((X, 3),)
def a_list_that_takes_another_rank(x: Tensor, n: int):
    queue = Queue(x)
    for i in range(n):
        queue.items.append(x.sum())
    return queue.items[0] * 2, queue.items[-1] * 2


FALLS_BACK = {"two_of_them": ["aten::dim", "aten::add.Tensor"], "a_list_that_takes_another_rank": ["aten::mul.Scalar"]}


@case.parametrize
def test_objects(function, calls, tmp_path):
    check(function, calls, tmp_path, falls_back=FALLS_BACK.get(function.__name__, ()))
