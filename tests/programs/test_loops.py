"""Scripted control flow: loops that carry tensors in every way, branches, ways out, and exceptions inside of them."""
import pathlib
import sys
from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from functions import Cases, check, raises  # noqa: E402

case = Cases()

X, Y = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, 0.25, -1.0])


# ---- carried tensors ----

@case((X, 0), (X, 1), (X, 2), (X, 7))
def returned(x: Tensor, n: int):
    for _ in range(n):
        x = torch.relu(x * 0.5 + 1)
    return x


@case((X, 0), (X, 5))
def reduced(x: Tensor, n: int):
    for _ in range(n):
        x = torch.cumsum(x, 0) * 0.5
    return x.sum()


@case((X, Y, 0), (X, Y, 1), (X, Y, 6))
def exchanged(a: Tensor, b: Tensor, n: int):
    for _ in range(n):
        a, b = b, a + b
    return a, b


@case((X, Y, 0), (X, Y, 1), (X, Y, 6))
def both_the_same(a: Tensor, b: Tensor, n: int):
    for _ in range(n):
        a = a * b
        b = a
    return a, b


@case((X, 0), (X, 1), (X, 6))
def sometimes(x: Tensor, n: int):
    for i in range(n):
        if i % 3 == 1:
            x = x * 2
        elif i % 3 == 2:
            x = torch.flip(x, [0])
    return x + 1


@case((X, 6))
def twice_a_round(x: Tensor, n: int):
    for i in range(n):
        if i % 2 == 0:
            x = torch.flip(x, [0]) + 1
        if i % 3 == 0:
            x = torch.flip(x, [0]) * 2
    return x


@case((X, 0), (X, 4))
def all_kept(x: Tensor, n: int):
    kept: List[Tensor] = []
    for _ in range(n):
        x = x * 2 + 1
        kept.append(x)
    return kept, x


@case((X, 0), (X, 4))
def first_kept(x: Tensor, n: int):
    first = x
    for i in range(n):
        x = x * 2 + 1
        if i == 0:
            first = x
    return first, x


@case((X, 0), (X, 3))
def view_kept(x: Tensor, n: int):
    head = x[:1]
    for _ in range(n):
        x = x * 2 + 1
        head = x[:1]
    return head, x


@case((X, 0), (X, 1), (X, 4))
def written_after(x: Tensor, n: int):
    x = x + 1
    for _ in range(n):
        x = x * 2
    y = x
    x.add_(1)
    return y, x


@case((X, 0), (X, 4))
def written_inside(x: Tensor, n: int):
    for i in range(n):
        y = x * 2
        y[0] = float(i)
        x = y
    return x


@case((X, 0), (X, 1), (X, 3))
def argument_written(x: Tensor, n: int):
    for _ in range(n):
        x.mul_(2)
    return x


@case((X, 0), (X, 4))
def grows(x: Tensor, n: int):
    for _ in range(n):
        x = torch.cat([x, x[:2] * 2])
    return x


@case((torch.arange(12.0), 0), (torch.arange(12.0), 3))
def shrinks(x: Tensor, n: int):
    for _ in range(n):
        x = x[1:] + x[:-1]
    return x


@case((torch.randn(3, 4), 0), (torch.randn(3, 4), 1), (torch.randn(4, 4), 3))
def transposed(x: Tensor, n: int):
    for _ in range(n):
        x = (x.t() @ x) * 0.1
    return x


@case((X, 0, 3), (X, 3, 0), (X, 2, 3))
def nested(x: Tensor, n: int, k: int):
    for i in range(n):
        y = x
        for j in range(k):
            y = torch.flip(y, [0]) * 0.5 + x
        x = y + float(i)
    return x


@case((X, 2, 3), (X, 3, 1))
def nested_results_kept(x: Tensor, n: int, k: int):
    kept: List[Tensor] = []
    for i in range(n):
        y = x + float(i)
        for j in range(k):
            y = y * 2
        kept.append(y)
    return kept


@case((X, 0), (X, 3))
def made_inside_each_round(x: Tensor, n: int):
    total = torch.zeros(3)
    for i in range(n):
        y = torch.zeros(3)
        while bool(y.sum() < 5):
            y = y + x.abs()
            total = total + y
    return total


@case((X, 4), (X, 0))
def read_after_the_next_is_made(x: Tensor, n: int):
    seen = torch.zeros(3)
    for _ in range(n):
        y = torch.flip(x, [0]) * 2
        seen = seen + x * y
        x = y
    return seen, x


@case((X, 5), (X, 0))
def three_in_a_ring(x: Tensor, n: int):
    a, b, c = x, x * 2, x * 3
    for _ in range(n):
        a, b, c = b, c, a + 1
    return a, b, c


@case((X, torch.zeros(3), 3), (X, torch.zeros(3), 0))
def carried_of_state(h: Tensor, c: Tensor, n: int):
    for _ in range(n):
        i = torch.sigmoid(h)
        c = i * c + torch.tanh(h)
        h = torch.tanh(c) * i
    return h, c


# ---- ways out ----

@case((0,), (3,), (12,), (100,))
def early_return(n: int) -> int:
    total = 0
    for i in range(n):
        if i == 7:
            return -total
        for j in range(i):
            if j > 3:
                break
            if (i + j) % 2 == 0:
                continue
            if total > 40:
                return total * 1000
            total += j
    return total


@case((X, 3), (X * 100, 3), (X, 0))
def return_a_tensor(x: Tensor, n: int):
    for i in range(n):
        x = x * 2
        if bool(x.max() > 50):
            return x - 1
    return x


@case((5, 0), (5, 2), (0, 1), (-3, 1), (2**62, 2**62))
def while_with_else(a: int, b: int):
    rounds = 0
    while a > b:
        a = a // 2 - 1
        rounds += 1
        if rounds > 100:
            break
    return a, rounds


@case((X, 2), raises("round 3 of 5", X, 5), (X, 3))
def raised_inside(x: Tensor, n: int):
    for i in range(n):
        if i == 3:
            raise ValueError("round {} of {}".format(i, n))
        x = x + 1
    return x


@case((torch.zeros(4), 2), raises("index 0 out of range", torch.zeros(4), 6), raises("index 0 out of range", torch.zeros(0), 1))
def fails_inside(x: Tensor, n: int):
    for i in range(n):
        x = x[1:]
        x = x * x[0]
    return x


@case(([3, 1, 2], 5), ([1], 0), ([], 0), raises("division by 0", [3, 0, 4], 9), raises("list index out of range", [1, 2], 6))
def integers(items: List[int], n: int):
    total = 0
    for i in range(n % 7 if n > 5 else len(items)):
        total += (n * 100) // items[i] + items[-i - 1] % 5
    return total


@case((0, 10, 3), (10, 0, -3), (5, 5, 1), (0, 10, -1), (-(2**62), 2**62, 2**61), raises("range() arg 3 must not be zero", 0, 10, 0))
def ranges(start: int, stop: int, step: int):
    found: List[int] = []
    for i in range(start, stop, step):
        found.append(i)
    return found


@case((5,), (0,))
def comprehension(n: int):
    squares = [i * i for i in range(n)]
    table = {i: str(i) for i in squares}
    return squares, table, [len(t) for t in table.values()]


@case(([1, 2, 3], ["a", "b"]), ([], []), ([1], ["a", "b"]))
def together(numbers: List[int], names: List[str]):
    out: List[str] = []
    for i, (number, name) in enumerate(zip(numbers, names)):
        out.append("{}{}{}".format(i, number, name))
    for name in names[::-1]:
        out.append(name)
    return out


@case((X, None, 3), (X, Y, 3), (X, None, 0))
def optional_carried(x: Tensor, last: Optional[Tensor], n: int):
    for _ in range(n):
        if last is None:
            last = x * 2
        else:
            last = last + x
    return last


@case((3,), (0,))
def several_types(n: int):
    count, ratio, flag, text = 0, 1.0, False, ""
    for i in range(n):
        count += 1
        ratio = ratio / 2 + count
        flag = not flag
        text = text + str(flag)
    return count, ratio, flag, text


@case((X, 3), (torch.ones(2, 2), 4))
def pairs(x: Tensor, n: int):
    pair: Tuple[Tensor, int] = (x, 0)
    for _ in range(n):
        pair = (pair[0] + pair[1], pair[1] + 1)
    return pair


@case((["a", "b", "a"],), ([],))
def counted(words: List[str]):
    found: Dict[str, int] = {}
    for w in words:
        if w in found:
            found[w] += 1
        else:
            found[w] = 1
    return found


# ---- types that take many rounds to settle ----

@case((X, 0), (X, 1), (X, 12))
def sizes_spread_slowly(a: Tensor, n: int):
    b = c = d = e = f = g = h = i = j = a
    for k in range(n):
        j, i, h, g, f, e, d, c = i, h, g, f, e, d, c, b
        if k < 3:
            b = torch.cat([b, b])
    return a, b, c, d, e, f, g, h, i, j


@case((X, 0), (X, 1), (X, 12))
def numbers_spread_slowly(a: Tensor, n: int):
    b, c, d, e, f, g, h, i, j = 0, 0, 0, 0, 0, 0, 0, 0, 0
    for _ in range(n):
        j, i, h, g, f, e, d, c, b = i, h, g, f, e, d, c, b, b + 1
    return a + j, b, c, d, e, f, g, h, i, j


@case((X, 0), (X, 1), (X, 12))
def items_spread_slowly(x: Tensor, n: int):
    a, b, c, d, e, f, g, h, i, j = [x], [x], [x], [x], [x], [x], [x], [x], [x], [x]
    for _ in range(n):
        j.append(i[-1])
        i.append(h[-1])
        h.append(g[-1])
        g.append(f[-1])
        f.append(e[-1])
        e.append(d[-1])
        d.append(c[-1])
        c.append(b[-1])
        b.append(a[-1])
        a.append(torch.cat([x, x]))
    return a[-1] * 2, j[-1] * 2


def pair_or_none(x: Tensor, some: bool) -> Optional[Tuple[Tensor, Tensor]]:
    return (x, x * 2) if some else None


@case((X, 0), (X, 1), (X, 7))
def pair_that_goes_and_comes(x: Tensor, n: int):
    pair = pair_or_none(x, True)
    for i in range(n):
        now = pair
        if now is not None:
            x = x + now[0] - now[1]
        pair = pair_or_none(x + i, i % 3 != 1)
    return x, pair


@case.parametrize
def test_loop(function, calls, tmp_path):
    check(function, calls, tmp_path)
