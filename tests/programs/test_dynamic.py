"""Values whose rank or dtype truly varies: right, by way of libtorch, and said so in the report."""
import pathlib
import sys
from typing import List

import firesteel
import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from functions import Cases, check  # noqa: E402

case = Cases()
X = torch.tensor([1.0, -2.0, 3.0])


@case((X, 0), (X, 1), (X, 4))
def rank_grows_each_round(x: Tensor, n: int):
    for _ in range(n):
        x = x.unsqueeze(0) * 2
    return x, x.dim()


@case((X, 0), (X, 1), (X, 2), (X, 5))
def dtype_changes_in_turn(x: Tensor, n: int):
    for i in range(n):
        if i % 2 == 0:
            x = x.to(torch.int64) + 1
        else:
            x = x.to(torch.float64) / 2
    return x


@case((X,), (-X,), (torch.zeros(3),))
def one_of_two_ranks(x: Tensor):
    y = x
    for _ in range(int(x.sum() > 0)):
        y = y.sum()
    return y * 2, y.dim()


@case(([torch.ones(2)], torch.ones(2, 3)), ([torch.ones(1)], torch.tensor([1, 2])))
def other_kinds_put_into_an_argument(items: List[Tensor], x: Tensor):
    items.append(x)
    return items[-1] * 2, items[0] + 1, len(items)


@case(([torch.ones(2), torch.ones(2, 2), torch.tensor([1, 2])],))
def a_list_of_several_kinds(items: List[Tensor]):
    return [item * 2 for item in items], sum([item.dim() for item in items])


@case((X, 0), (X, 2), (X, 12))
def ranks_spread_slowly(a: Tensor, n: int):
    b = c = d = e = f = g = h = i = j = a
    for _ in range(n):
        j, i, h, g, f, e, d, c = i, h, g, f, e, d, c, b
        b = b.unsqueeze(0)
    return b, c, d, e, f, g, h, i, j, j * 2


@case((X, 0), (X, 2), (X, 5))
def items_of_growing_rank(x: Tensor, n: int):
    items = [x]
    for _ in range(n):
        items.append(items[-1].unsqueeze(0))
    return items, items[-1] * 2, items[-1].dim()


@case((X, 0), (X, 1), (X, 12))
def ranks_spread_slowly_over_lists(x: Tensor, n: int):
    a, b, c, d, e, f, g, h = [x], [x], [x], [x], [x], [x], [x], [x]
    for _ in range(n):
        h.append(g[-1])
        g.append(f[-1])
        f.append(e[-1])
        e.append(d[-1])
        d.append(c[-1])
        c.append(b[-1])
        b.append(a[-1])
        a.append(torch.sum(x))
    return a[-1] * 2, h[-1] * 2


@case.parametrize
def test_dynamic(function, calls, tmp_path):
    everything = ["aten::" + name for name in ("unsqueeze", "mul.Scalar", "mul.Tensor", "add.Scalar", "sum", "dim", "to.dtype", "div.Scalar")]
    module = check(function, calls, tmp_path, falls_back=everything)
    assert module.report()["fallback_ops"]


def test_refused_ahead_of_time(tmp_path):
    """A loop whose tensor has another rank each round: named, with its line."""
    path, out = tmp_path / "model.pt", tmp_path / "model.fst"
    torch.jit.script(rank_grows_each_round).save(str(path))
    with pytest.raises(firesteel.Error, match=r"(?s)aten::unsqueeze.*aten::mul.Scalar"):
        firesteel.compile(str(path), inputs={"x": X, "n": 3}, out=str(out))
    assert not out.exists()
    firesteel.compile(str(path), inputs={"x": X, "n": 3}, out=str(out), allow_fallback=True)
    torch.testing.assert_close(firesteel.load(str(out), allow_compile=False)(X, 4), rank_grows_each_round(X, 4))
