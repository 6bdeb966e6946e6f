"""Lists, dicts, tuples and strings of scripted programs: what their methods give, and what they raise."""
import math
import pathlib
import sys
from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from functions import Cases, check, raises, side_by_side  # noqa: E402

case = Cases()
BIG, NAN = 2**62, math.nan


# ---- lists ----

@case(([1, 2, 1], 1), ([1], 1), raises("'2' is not in list", [1], 2), raises("'1' is not in list", [], 1))
def index_and_count(a: List[int], b: int):
    return a.count(b), a.index(b)


@case((["a", "b"], "b", [1.5], 1.5), raises("'c' is not in list", ["a"], "c", [1.5], 1.5), raises("'2.5' is not in list", ["a"], "a", [1.5], 2.5))
def index_others(a: List[str], b: str, c: List[float], d: float):
    return a.index(b), c.index(d), a.count(b), c.count(d)


@case(([1, 2, 1], 1), raises("list.remove(x): x not in list", [1], 2), raises("list.remove(x): x not in list", [], 2))
def remove(a: List[int], b: int):
    a.remove(b)
    return a


@case(([3, 1, -2], [2.5, NAN, -1.0], [True, False]), ([1], [NAN, 1.0, 2.0], [True]), ([2], [0.0, -0.0], [False]),
      raises("max() arg is an empty sequence", [], [1.0], [True]), raises("max() arg is an empty sequence", [1], [], [True]))
def extremes(a: List[int], b: List[float], c: List[bool]):
    return max(a), max(b), max(c), min(a), min(b), min(c)


@case(([], ), ([1],))
def smallest(a: List[int]):
    return min(a) if len(a) > 0 else -1


@case(([1, 2], [1, 3], [1.0], [0.5, 2.0]), ([1], [1, 0], [], [NAN]), ([], [1], [], []), ([2], [1, 5], [1.0, 2.0], [1.0]))
def extremes_of_lists(a: List[int], b: List[int], c: List[float], d: List[float]):
    return min(a, b), max(a, b), min(c, d), max(c, d)


@case(([1, 2], [0.1, 0.2], [True, True]), ([], [], []), ([2**30, 5], [1e308, 1e308], [False]))
def sums(a: List[int], b: List[float], c: List[bool]):
    return sum(a), sum(b), sum(c)


@case(([1, 0], [0.0, NAN], [True, False]), ([], [], []), ([3], [1.0], [True]))
def truths(a: List[int], b: List[float], c: List[bool]):
    return all(a), any(a), all(b), any(b), all(c), any(c)


@case(([3, 1, 2], [2.5, -1.0], ["b", "a", "B", ""], [True, False, True]), ([], [], [], []))
def ordered(a: List[int], b: List[float], c: List[str], d: List[bool]):
    e = a.copy()
    e.sort(reverse=True)
    a.sort()
    c.sort(reverse=True)
    return a, e, sorted(b), c, sorted(c), sorted(d)


@case(([3, 1, 1, 2], ["a", "z", "b", ""]), ([], []))
def ordered_tuples(numbers: List[int], names: List[str]):
    a: List[Tuple[int, str]] = []
    b: List[Tuple[float, Tuple[bool, int]]] = []
    for number, name in zip(numbers, names):
        a.append((number, name))
        b.append((number / 2, (name > "b", len(name))))
    a.sort()
    c = sorted(b)
    b.sort(reverse=True)
    return a, b, c


@case(([1], [1], ["a"], ["b"]), ([], [], [], []), ([1, 2], [1], ["a"], ["a"]))
def compared(a: List[int], b: List[int], c: List[str], d: List[str]):
    return a == b, a != b, c == d, c != d


@case(([1.0, 2.0], [1.0, 2.0], [True], [True]), ([NAN], [NAN], [True], [False]))
def compared_others(a: List[float], b: List[float], c: List[bool], d: List[bool]):
    return a == b, a != b, c == d, c != d


@case(([1, 2], 1, ["a"], "b", [1.0], 1.0), ([], 1, [], "", [NAN], NAN))
def contained(a: List[int], b: int, c: List[str], d: str, e: List[float], f: float):
    return b in a, b not in a, d in c, d not in c, f in e, f not in e


@case(([1, 2], 2), ([1], 0), ([], 3))
def repeated(a: List[int], n: int):
    b = a * n
    c = n * a
    a *= n
    return a, b, c, [0] * n


@case(([1, 2], -1), ([1, 2], -9), ([1, 2], 9), ([1, 2], 1), ([], 0))
def inserted(a: List[int], i: int):
    a.insert(i, 99)
    return a


@case(([1, 2], -1), raises("list index out of range", [1, 2], -3), raises("list index out of range", [1, 2], 2), raises("pop from empty list", [], 0))
def popped(a: List[int], i: int):
    return a.pop(i), a


@case(([1, 2], -1), raises("list index out of range", [1, 2], -3), raises("list index out of range", [1, 2], 2))
def deleted(a: List[int], i: int):
    del a[i]
    return a


@case(([1, 2], -1), raises("list index out of range", [1, 2], -3), raises("list index out of range", [1, 2], 2), raises("list index out of range", [], 0))
def assigned(a: List[int], i: int):
    a[i] = 5
    a[i] += 2
    return a


@case(([1, 2, 3, 4, 5], 1, 4, 2), ([1, 2, 3], -2, 9, 1), ([1, 2, 3, 4], 3, 0, -1), ([1, 2, 3, 4], -1, -9, -2), ([], 0, 3, 1), ([1, 2], BIG, -BIG, -BIG),
      raises("non-zero step", [1, 2], 0, 1, 0))
def sliced(a: List[int], i: int, j: int, step: int):
    return a[i:j:step], a[::step], a[i::step], a[:j:step], a[i:j], a[:-1]


@case(([1, 2], [3]), ([], []))
def grown(a: List[int], b: List[int]):
    c = a + b
    a.extend(b)
    a.extend(a)
    b += c
    a.append(7)
    c.reverse()
    d = list(a)
    a.clear()
    return a, b, c, d


@case((5,), (0,), (1,))
def ranges(n: int):
    return list(range(n)), list(range(2, n, 3)), [i for i in range(n, -n, -2)]


@case(([1, 2, 3],), raises("Expected 3 elements in a list but found 2", [1, 2]))
def unpacked(a: List[int]):
    x, y, z = a
    return x * 100 + y * 10 + z


@case(([[1], [2, 3]],), ([],))
def nested(a: List[List[int]]):
    total = 0
    for inner in a:
        inner.append(0)
        total += len(inner)
    b = [x + [1] for x in a]
    return a, b, total


@case(([torch.ones(2), torch.zeros(1)],))
def of_tensors(a: List[Tensor]):
    b = a[::-1]
    b.append(a[0] + 1)
    a.pop()
    return a, b, len(b)


@case((torch.arange(6.0).view(2, 3), torch.tensor([[1], [2]]), torch.tensor(True)), (torch.zeros(0, 3), torch.zeros(0, 4, dtype=torch.long), torch.tensor(False)),
      raises("Output annotation element type and runtime tensor element type must match", torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[1]]), torch.tensor(True)),
      raises("Output annotation list dimension and runtime tensor dimension must match", torch.zeros(2), torch.tensor([[1]]), torch.tensor(True)),
      raises("Output annotation list dimension and runtime tensor dimension must match", torch.zeros(2, 2), torch.tensor([[1]]), torch.tensor([True])))
def to_lists(x: Tensor, n: Tensor, flag: Tensor):
    a: List[List[float]] = x.tolist()
    b: List[List[int]] = n.tolist()
    c: bool = flag.tolist()
    return a, b, c, len(a)


# ---- tensors of lists of a length that only the call knows ----

@case((torch.arange(3.0), 3), (torch.arange(3.0), 1), raises("stack expects a non-empty TensorList", torch.arange(3.0), 0))
def stacked(x: Tensor, n: int):
    rows: List[Tensor] = []
    for i in range(n):
        rows.append(x * float(i))
    return torch.stack(rows) + 1, torch.stack(rows, 1), torch.stack(rows, -1).sum(0)


@case((torch.arange(6.0).view(2, 3), 3), (torch.arange(6).view(2, 3), 2), raises("expected a non-empty list of Tensors", torch.zeros(1, 1), 0))
def joined(x: Tensor, n: int):
    rows: List[Tensor] = []
    for i in range(n):
        rows.append(x[:, i:])
    return torch.cat(rows, 1) * 2, torch.cat(rows, -1)


@case((torch.arange(3.0), 1), raises("stack expects each tensor to be equal size, but got [3] at entry 0 and [2] at entry 1", torch.arange(3.0), 2))
def stacked_unequal(x: Tensor, n: int):
    rows: List[Tensor] = []
    for i in range(n):
        rows.append(x[i:])
    return torch.stack(rows)


@case((torch.zeros(2, 3), 1), raises("Sizes of tensors must match except in dimension 1", torch.zeros(2, 3), 2))
def joined_unequal(x: Tensor, n: int):
    rows: List[Tensor] = []
    for i in range(n):
        rows.append(x[i:])
    return torch.cat(rows, 1)


@case((torch.arange(4.0), 3), (torch.zeros(0), 3), (torch.zeros(1), 1))
def joined_twice(x: Tensor, n: int):
    rows: List[Tensor] = [x]
    for i in range(n):
        rows.append(torch.cat(rows))
    return rows, torch.cat(rows).sum()


@case((torch.randn(4, 3), torch.tensor([0, 2, 1])), (torch.randn(2, 3), torch.tensor([0])))
def rows_kept_elsewhere(x: Tensor, order: Tensor):
    rows: List[Tensor] = []
    last = x[0]
    for i in range(order.size(0)):
        last = last * x[int(order[i])]
        rows.append(last)
        rows.append(x[0].t())
    out = torch.stack(rows)
    rows[0].add_(1)
    return out, rows


# ---- dicts ----

@case(({"a": 1}, "a"), ({"a": 1}, "b"), ({}, ""))
def looked_up(a: Dict[str, int], b: str):
    return a.get(b), a.get(b, 5), a.setdefault(b, 7), a, b in a, len(a)


@case(({"a": 1}, "a"), ({"a": 1}, "b"))
def popped_default(a: Dict[str, int], b: str):
    return a.pop(b, 9), a


@case(({3: "x"}, 3), raises("KeyError", {4: "x"}, 3))
def popped_key(a: Dict[int, str], b: int):
    return a.pop(b), a


@case(({"a": 1, "b": 2},), raises("popitem(): dictionary is empty", {}))
def popped_item(a: Dict[str, int]):
    return a.popitem(), a


@case((["a", "b", "a"], torch.ones(2)), ([], torch.ones(1)))
def from_pairs(names: List[str], x: Tensor):
    a = [(name, i) for i, name in enumerate(names)]
    b = [(i, x * i) for i in range(len(names))]
    return dict(a), dict(b)


@case(({"a": 1, "b": 2},), ({},))
def copied(a: Dict[str, int]):
    b = dict(a)
    c = a.copy()
    b["z"] = 0
    c.update(b)
    a.clear()
    return a, b, c, {k: v * 2 for k, v in c.items()}, list(c.keys()), list(c), list(c.values())


@case(({1.5: 1}, 1.5, {True: "t"}, True), raises("KeyError", {1.5: 1}, 2.5, {True: "t"}, True), raises("KeyError", {1.5: 1}, 1.5, {True: "t"}, False))
def other_keys(a: Dict[float, int], b: float, c: Dict[bool, str], d: bool):
    return a[b], c[d]


@case(({"a": 1}, "a"), raises("KeyError", {"a": 1}, "b"))
def deleted_key(a: Dict[str, int], b: str):
    del a[b]
    return a


@case(({"a": torch.ones(2)}, "a"), ({"a": torch.ones(2)}, "b"))
def of_tensors_by_name(a: Dict[str, Tensor], b: str):
    if b in a:
        a[b] = a[b] + 1
    else:
        a[b] = torch.zeros(2)
    total = torch.zeros(2)
    for name, value in a.items():
        total = total + value * len(name)
    return a, total


@case((3,), (0,))
def empty_dict(n: int):
    a: Dict[str, List[int]] = {}
    for i in range(n):
        key = str(i % 2)
        if key not in a:
            a[key] = torch.jit.annotate(List[int], [])
        a[key].append(i)
    return a


# ---- tuples, numbers, strings ----

@case(((1, "a"), (2, "b")),)
def tuples(a: Tuple[int, str], b: Tuple[int, str]):
    c = a + b
    x, y = a
    return c, c[1:3], c[-1], len(c), (x, (y, b)), x < b[0]


@case((7, 2), (-7, 2), (7, -2), (-7, -2), (0, 5), raises("ZeroDivisionError: integer division or modulo by zero", 1, 0))
def divided(a: int, b: int):
    return divmod(a, b)


@case((7.5, 2.0), (-7.5, 2.0), (7.0, -2.5), (0.0, 1.0), raises("float divmod()", 1.0, 0.0))
def divided_floats(a: float, b: float):
    return divmod(a, b)


@case((7, 2.5), (-7, 2.5))
def divided_mixed(a: int, b: float):
    return divmod(a, b), divmod(b, a)


@case((2, 3), (-2, 3), (2, -1), (0, 0), (10, 15), raises("0.0 cannot be raised to a negative power", 0, -1))
def powers(a: int, b: int):
    return a**b, pow(a, b), float(a) ** b


@case((2.5, -3.5), (-0.5, 1e300), (0.5, 1.5))
def rounded(a: float, b: float):
    return round(a), round(b), abs(a), math.floor(a), math.ceil(a), min(a, b), max(a, b)


@case((1.75,), (-3.0,), (0.0,), (1e300,))
def parts(x: float):
    return math.modf(x), math.ldexp(x, -3), math.fmod(x, 0.5)


@case((65,), (97,), raises("chr() arg not in range(0x110000)", -5))
def codes(a: int):
    return chr(a), ord(chr(a)), hex(a), bin(a), oct(a), str(a)


@case(("abcdef", 1, 2), ("", 0, 1), ("xy", -1, -1), raises("non-zero step", "ab", 0, 0))
def slices_of_strings(s: str, i: int, step: int):
    return s[::step], s[i:], s[:i], s[i::step], s[:-1]


@case(("abc", 1), ("abc", -1), raises("string index out of range", "abc", 3))
def letters(s: str, i: int):
    return s[i], [c for c in s], len(s)


@case(("a,b,,c", ","), ("", ","), ("abc", "bc"))
def taken_apart(s: str, by: str):
    return s.split(by), s.partition(by), s.rsplit(by, 1), by.join([s, s]), s.find(by), s.count(by), s.replace(by, "--"), by in s, s.startswith(by), s.endswith(by)


@case(("  Ab c\t",), ("",), ("xYz1",))
def changed(s: str):
    return s.strip(), s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase(), s.zfill(8), s.ljust(9, "."), s.rjust(9), s.center(9, "*"), s.isalpha(), s.isdigit()


@case(("12", "1.5"), ("-7", "nan"), raises("invalid literal for int()", "x", "1.0"), raises("could not convert string to float", "1", "x"))
def numbers_of_text(a: str, b: str):
    return int(a) + 1, float(b) * 2


@case((1, 2.5, "x", [1, 2], None), (0, 1e-7, "", [], "y"))
def formatted(i: int, f: float, s: str, items: List[int], maybe: Optional[str]):
    return "{} {} {} {} {}".format(i, f, s, items, maybe), f"{i}:{f}", "%s %s" % (i, s)


@case((torch.ones(3),), (torch.ones(0),))
def an_empty_dict_that_is_filled(x: Tensor):
    out = dict()
    out["once"] = x * 2
    out["twice"] = torch.cat([x, x])
    return out["once"] + 1, out["twice"] * 2, out


@case.parametrize
def test_container(function, calls, tmp_path):
    check(function, calls, tmp_path)


class Named(torch.nn.Module):
    """Parts that are named in a table, as torchvision's feature extractors do it: the table is known."""

    def __init__(self):
        super().__init__()
        self.table = {"0": "low", "2": "high"}
        self.parts = torch.nn.ModuleDict({str(i): torch.nn.Conv2d(3, 3, 3) for i in range(3)})

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        out: Dict[str, Tensor] = {}
        for name, part in self.parts.items():
            x = part(x)
            if name in self.table:
                out[self.table[name]] = x
        return {"sum": out["low"].sum() + out["high"].relu()}


def test_parts_by_name(tmp_path):
    path = tmp_path / "named.pt"
    torch.jit.script(Named().eval()).save(str(path))
    side_by_side.in_memory(path, [side_by_side.Call((torch.randn(size),)) for size in ((1, 3, 8, 8), (2, 3, 9, 7))])
