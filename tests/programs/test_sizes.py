"""Fifty sizes, 0 and 1 among them: at most two compilations for each dtype, rank and None pattern, all results right."""
import pathlib
import sys
from typing import List, Optional

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import side_by_side  # noqa: E402


def pointwise(x: Tensor, y: Tensor):
    return torch.relu(x * y + 1) - y, x > y


def reductions(x: Tensor, y: Tensor):
    return x.sum(), x.sum(0), x.mean(1), (x * 2).softmax(-1), y.sum(1, keepdim=True)


def joined(x: Tensor, y: Tensor):
    return torch.cat([x, y], 0), torch.stack([x.sum(), y.sum()]), torch.cat([x[:1], y], 0)


def loop(x: Tensor, y: Tensor):
    rows: List[Tensor] = []
    total = torch.zeros(x.size(1))
    for i in range(x.size(0)):
        total = total * 0.5 + x[i]
        rows.append(total)
    if len(rows) == 0:
        return y, total
    return torch.stack(rows), total


def products(x: Tensor, y: Tensor):
    return x @ y.t(), torch.mm(x, y.t()).sum(1)


def views(x: Tensor, y: Tensor):
    return x.t().reshape(-1), x[1:, ::2], y.unsqueeze(1).expand(y.size(0), 2, y.size(1)).sum(1), x.view(-1).cumsum(0)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 3, 3, padding=1)
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor, y: Tensor):
        h = torch.relu(self.conv(x.unsqueeze(1)))
        return self.linear(h.transpose(1, 2)), h.amax(1)


def maybe(x: Tensor, y: Optional[Tensor]):
    return x * 2 if y is None else x + y


def same_columns(count):
    """Pairs of sizes: rows vary apart, columns together."""
    sizes = [(r, q, c) for r in (0, 1, 2, 5, 17) for q in (1, 3, 0, 8, 33) for c in (1, 4)]
    return [((r, c), (q, c)) for r, q, c in sizes][:count]


def broadcast(count):
    """Pairs that broadcast, ones and zeros included."""
    pairs = []
    for r in (0, 1, 2, 5, 16, 33):
        for c in (0, 1, 3, 8, 40):
            pairs += [((r, c), (r, c)), ((r, c), (1, c)), ((r, 1), (r, c))]
    return pairs[:count]


MODELS = [(pointwise, broadcast), (reductions, same_columns), (joined, same_columns), (loop, same_columns), (products, same_columns), (views, same_columns)]


def scripted(model):
    return torch.jit.script(model().eval() if isinstance(model, type) else model)


def run(model, calls, tmp_path):
    path = tmp_path / "model.pt"
    with torch.no_grad():
        scripted(model).save(str(path))
    return side_by_side.in_memory(path, [side_by_side.Call(c) for c in calls])


@pytest.mark.parametrize("model,sizes", MODELS, ids=[m.__name__ for m, _ in MODELS])
def test_two_compilations(model, sizes, tmp_path):
    torch.manual_seed(0)
    pairs = sizes(50)
    assert len(pairs) == 50 and any(0 in a + b for a, b in pairs) and any(1 in a + b for a, b in pairs)
    module = run(model, [(torch.randn(a), torch.randn(b)) for a, b in pairs], tmp_path)
    assert module.report()["compiles"] <= 2


def test_a_network(tmp_path):
    torch.manual_seed(0)
    pairs = [(n, c) for n in (1, 0, 2, 3, 9) for c in (1, 2, 3, 4, 7, 8, 15, 16, 31, 64)]
    module = run(Network, [(torch.randn(n, c), torch.randn(1)) for n, c in pairs], tmp_path)
    assert module.report()["compiles"] <= 2


def test_each_dtype_rank_and_none_has_its_own(tmp_path):
    torch.manual_seed(0)
    calls = []
    for size in range(12):
        calls += [(torch.randn(size), None), (torch.randn(size), torch.randn(1)), (torch.randn(size, 2), torch.randn(2)),
                  (torch.arange(size), torch.arange(size))]
    module = run(maybe, calls, tmp_path)
    assert module.report()["compiles"] <= 2 * 4
