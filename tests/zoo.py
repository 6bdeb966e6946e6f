"""Archives for the tests: small scripted and traced programs, each with calls to try. networks.py has real networks.

    path = zoo.save("lstm_loop", folder)      # torch.jit.save; cached by name in the folder
    for call in zoo.calls("lstm_loop"):       # in this order, on one instance: models may have state
        module.<call.method>(*call.args)      # or raises call.error

Everything is deterministic: weights and inputs come from seeds.
"""
import importlib.util
import pathlib
import warnings
from enum import Enum
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor, nn

from side_by_side import Call, as_calls

warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=FutureWarning)
warnings.filterwarnings("ignore", category=UserWarning)


BUILDERS = {}


def case(calls):
    """Registers a builder of a scripted module with `calls()`, its calls."""
    def register(build):
        BUILDERS[build.__name__] = (build, calls)
        return build
    return register


def names():
    return list(BUILDERS)


def build(name):
    torch.manual_seed(0)
    with torch.no_grad():
        return BUILDERS[name][0]()


def save(name, folder):
    path = pathlib.Path(folder) / f"{name}.pt"
    if not path.exists():
        build(name).save(str(path))
    return path


def calls(name):
    torch.manual_seed(1)
    return as_calls(BUILDERS[name][1]())


def script(module):
    return torch.jit.script(module.eval())


# ---- the addition models ----

class Addition(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Dict[str, Tensor]:
        return {"out": x + y}


class AdditionBare(nn.Module):
    def forward(self, x: Tensor, y: Tensor):
        return x + y


class AdditionDict(nn.Module):
    def forward(self, inputs: Dict[str, Tensor]) -> Dict[str, Tensor]:
        return {"out": inputs["x"] + inputs["y"], "difference": inputs["x"] - inputs["y"]}


def two_vectors():
    return [(torch.arange(4.0), torch.full((4,), 0.5)), (torch.randn(3, 1), torch.randn(1, 5)), (torch.zeros(0), torch.zeros(0))]


@case(two_vectors)
def addition():
    return script(Addition())


@case(two_vectors)
def addition_bare():
    return script(AdditionBare())


@case(lambda: [({"x": x, "y": y},) for x, y in two_vectors()] + [Call(({"x": torch.ones(2)},), error="y")])
def addition_dict():
    return script(AdditionDict())


# ---- strings ----

class StringConcat(nn.Module):
    def forward(self, x: List[str], y: List[str]) -> Dict[str, List[str]]:
        out: List[str] = []
        for i in range(len(x)):
            out.append(x[i] + y[i])
        return {"out": out}


@case(lambda: [(["a", "b", "grü"], ["1", "", "ß"]), ([], []), Call((["a"], torch.jit.annotate(List[str], [])), error="index")])
def string_concat():
    return script(StringConcat())


class StringFormat(nn.Module):
    def forward(self, n: int, x: float, name: str, items: List[int]) -> str:
        text = "{}: {} of {} {}".format(name, n, x, items)
        if name.startswith("x"):
            text = text.upper()
        return ",".join([text, str(n == 3), name + name])


@case(lambda: [(3, 0.1, "abc", [1, 2]), (-1, 1e20, "xyz", [])])
def string_format():
    return script(StringFormat())


# ---- networks ----

class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: Optional[nn.Module] = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """resnet18's shape; `width` 64 is the real one."""

    def __init__(self, width=8, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        layers = []
        for stage, inputs in enumerate([width, width, 2 * width, 4 * width]):
            outputs = width << stage
            layers += [BasicBlock(inputs, outputs, 1 if stage == 0 else 2), BasicBlock(outputs, outputs, 1)]
        self.layers = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width, classes)
        for module in self.modules():  # statistics that matter
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.8, 1.2)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.avgpool(self.layers(x))
        return self.fc(torch.flatten(x, 1))


@case(lambda: [(torch.randn(1, 3, 64, 64),), (torch.randn(2, 3, 64, 48),)])
def resnet():
    return script(ResNet())


class Attention(nn.Module):
    def __init__(self, width: int = 16, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x, mask: Optional[Tensor] = None):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None, :] == 0, float("-inf"))
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(y)
        return x + self.mlp(x)


@case(lambda: [(torch.randn(2, 5, 16),), (torch.randn(1, 7, 16), torch.tensor([[1, 1, 1, 1, 1, 0, 0]]))])
def attention():
    return script(Attention())


class LstmLoop(nn.Module):
    """An LSTM as a scripted loop over time steps."""

    def __init__(self, inputs: int = 5, hidden: int = 8):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.LSTMCell(inputs, hidden)
        self.w = nn.Linear(inputs + hidden, 4 * hidden)

    def step(self, x: Tensor, state: Tuple[Tensor, Tensor]) -> Tuple[Tensor, Tensor]:
        i, f, g, o = self.w(torch.cat([x, state[0]], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def forward(self, x: Tensor, state: Optional[Tuple[Tensor, Tensor]] = None) -> Tuple[Tensor, Tuple[Tensor, Tensor]]:
        if state is None:
            zeros = torch.zeros(x.size(1), self.hidden)
            state = (zeros, zeros)
        outputs: List[Tensor] = []
        for t in range(x.size(0)):
            state = self.step(x[t], state)
            state = self.cell(x[t], state)
            outputs.append(state[0])
        return torch.stack(outputs), state


@case(lambda: [(torch.randn(4, 2, 5),), (torch.randn(1, 3, 5), (torch.randn(3, 8), torch.randn(3, 8)))])
def lstm_loop():
    return script(LstmLoop())


# ---- control flow ----

class BeamSearch(nn.Module):
    def __init__(self, vocabulary: int = 11, width: int = 6):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.output = nn.Linear(width, vocabulary)
        self.end = 0

    def forward(self, start: int, beams: int, steps: int) -> Tuple[List[int], float]:
        if beams <= 0:
            raise ValueError("beams must be positive, got {}".format(beams))
        sequences: List[List[int]] = [[start]]
        scores: List[float] = [0.0]
        if steps == 0:
            return sequences[0], scores[0]
        for step in range(steps):
            candidates: List[Tuple[float, int, int]] = []
            for b in range(len(sequences)):
                last = sequences[b][-1]
                if last == self.end and step > 0:
                    candidates.append((scores[b], b, -1))
                    continue
                logits = self.output(self.embedding(torch.tensor([last]))).log_softmax(1)[0]
                values, indices = logits.topk(beams)
                for k in range(beams):
                    candidates.append((scores[b] + float(values[k]), b, int(indices[k])))
            candidates.sort(reverse=True)
            new_sequences: List[List[int]] = []
            new_scores: List[float] = []
            for score, b, token in candidates[:beams]:
                sequence = sequences[b].copy()
                if token >= 0:
                    sequence.append(token)
                new_sequences.append(sequence)
                new_scores.append(score)
            sequences = new_sequences
            scores = new_scores
            done = True
            for sequence in sequences:
                if sequence[-1] != self.end:
                    done = False
                    break
            if done:
                break
        return sequences[0], scores[0]


@case(lambda: [(3, 2, 5), (1, 3, 8), Call((1, 0, 8), error="beams must be positive, got 0"), (4, 1, 0)])
def beam_search():
    return script(BeamSearch())


class IntLoop(nn.Module):
    def forward(self, n: int) -> int:
        total = 0
        for i in range(n):
            if i % 3 == 0:
                total += i
            elif i % 5 == 0:
                total -= 2
            else:
                total = total ^ i
        return total


@case(lambda: [(0,), (10,), (1000,)])
def int_loop():
    return script(IntLoop())


class TensorLoop(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        y = x
        for _ in range(n):
            y = torch.relu(y * 0.5 + x)
        return y


@case(lambda: [(torch.randn(64), 0), (torch.randn(64), 10), (torch.randn(64), 1000)])
def tensor_loop():
    return script(TensorLoop())


class StackLoop(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        rows: List[Tensor] = []
        for i in range(n):
            rows.append(x * float(i))
        return torch.stack(rows)


@case(lambda: [(torch.randn(64), 10), (torch.randn(3), 1), Call((torch.randn(3), 0), error="non-empty")])
def stack_loop():
    return script(StackLoop())


class ReadWhileAppending(nn.Module):
    """A list that one round appends to and the next one reads, and that are indices at the end."""

    def forward(self, x: Tensor, n: int) -> Tuple[Tensor, Tensor, int]:
        keep: List[int] = [1]
        total = torch.zeros(3)
        for i in range(n):
            total = total + len(keep) + torch.tensor(keep).sum()
            if bool(x[i] > 0):
                keep.append(i + 1)
        return total, x[torch.tensor(keep)], len(keep)


@case(lambda: [(torch.tensor([0.5, -1.0, 2.0, 3.0, -0.5, 1.0]), n) for n in (0, 1, 3, 5)])
def read_while_appending():
    return script(ReadWhileAppending())


class GreedyNms(nn.Module):
    """Boxes above a score, best first, each dropping those that overlap it: lengths and rounds depend on the data."""

    def forward(self, boxes: Tensor, scores: Tensor) -> Tuple[Tensor, Tensor]:
        idx = torch.nonzero(scores > 0.3).squeeze(1)
        s, order = scores[idx].topk(min(20, idx.numel()))
        b = boxes[idx[order]]
        area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        alive = torch.ones(b.size(0), dtype=torch.bool)
        keep: List[int] = []
        for i in range(b.size(0)):
            if bool(alive[i]):
                keep.append(i)
                size = (torch.minimum(b[i, 2:], b[i + 1:, 2:]) - torch.maximum(b[i, :2], b[i + 1:, :2])).clamp(min=0.0)
                inter = size[:, 0] * size[:, 1]
                alive[i + 1:] = alive[i + 1:] & ~(inter / (area[i] + area[i + 1:] - inter) > 0.5)
        kept = torch.tensor(keep, dtype=torch.int64)
        return b[kept], s[kept]


def some_boxes(n):
    corner = torch.rand(n, 2) * 50
    return torch.cat([corner, corner + 10 + torch.rand(n, 2) * 30], 1), torch.rand(n)


@case(lambda: [some_boxes(50), some_boxes(7), some_boxes(1)])
def greedy_nms():
    return script(GreedyNms())


class EarlyTuples(nn.Module):
    """A tuple with containers in it, returned from the middle of a loop: on the other ways there is none."""

    def forward(self, x: Tensor, n: int) -> Tuple[Tensor, List[str], Tuple[int, List[int]], Optional[Tuple[int, Tensor]]]:
        names: List[str] = []
        inner: List[int] = []
        best: Optional[Tuple[int, Tensor]] = None
        while n > 0:
            n -= 1
            names.append("n" + str(n))
            inner.append(n)
            if n == 5:
                best = (n, x + n)
            if n == 3:
                return x.view(-1, 1), names, (n, inner), best
        return x, names, (n, inner), best


@case(lambda: [(torch.arange(4.0), n) for n in (0, 1, 3, 4, 9)])
def early_tuples():
    return script(EarlyTuples())


class SizesOfZero(nn.Module):
    """Steps and sizes that come with the call and are 0 where PyTorch divides by them, or are beyond all memory."""

    def forward(self, x: Tensor, k: int, how: str) -> Tensor:
        if how == "unfold":
            return x.unfold(0, 2, k)
        if how == "view":
            return x.view(k, -1)
        return torch.zeros([k, k])


@case(lambda: [(torch.arange(8.0), 2, "unfold"), Call((torch.arange(8.0), 0, "unfold"), error="of 0"), Call((torch.arange(8.0), 0, "view"), error="of 0"),
               Call((torch.arange(8.0), 1 << 40, "zeros"), error="memory"), (torch.arange(8.0), 4, "view"), (torch.arange(8.0), 3, "zeros")])
def sizes_of_zero():
    return script(SizesOfZero())


class WhileLoop(nn.Module):
    def forward(self, x: Tensor, limit: float) -> Tuple[Tensor, int]:
        n = 0
        while True:
            if bool(x.sum() > limit):
                break
            x = x + x.abs() + 1
            n += 1
            if n == 7:
                return x * 0, -1
            if n % 2 == 0:
                continue
            x = x * 1.5
        assert n < 6, "took {} rounds".format(n)
        return x, n


@case(lambda: [(torch.ones(3), 50.0), (torch.ones(3), 1e9), (torch.ones(3), 0.0), Call((torch.ones(1), 300.0), error="took 6 rounds")])
def while_loop():
    return script(WhileLoop())


class Dynamic(nn.Module):
    """Ranks, dtypes and sizes that depend on the data."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, int]:
        positive = x[x > 0]
        where = torch.nonzero(x > 0)
        y = x
        if positive.numel() > 2:
            y = x.to(torch.int64).unsqueeze(0)
        return positive, y, where.size(0)


@case(lambda: [(torch.tensor([1.0, -2.0, 3.5, 4.0]),), (torch.tensor([1.0, -2.0]),), (torch.zeros(2, 2),)])
def dynamic():
    return script(Dynamic())


# ---- state, views, aliasing ----

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


# ---- classes, tuples, enums, interfaces ----

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


# ---- hooks, tracing, tasks ----

def double_inputs(self, inputs: Tuple[Tensor]) -> Tuple[Tensor]:
    return (inputs[0] * 2,)


def add_inputs(self, inputs: Tuple[Tensor], result: Tensor) -> Tensor:
    return result + inputs[0]


def watch(self, inputs: Tuple[Tensor]) -> None:
    pass


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = SharedPart()
        self.part.register_forward_pre_hook(double_inputs)
        self.part.register_forward_hook(add_inputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x) - 1


@case(lambda: [(torch.randn(2, 4),)])
def hooks():
    module = Hooked()
    module.register_forward_pre_hook(watch)
    module.register_forward_pre_hook(double_inputs)
    module.register_forward_hook(add_inputs)
    return script(module)


class Traced(nn.Module):
    """Calls scripted code while it is traced."""

    def __init__(self):
        super().__init__()
        self.loop = script(TensorLoop())
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return self.linear(self.loop(x.view(x.size(0), -1), 3)) * torch.tensor(2.0)


@case(lambda: [(torch.randn(2, 3, 2),), (torch.randn(5, 3, 2),)])
def traced_calls_scripted():
    return torch.jit.trace(Traced().eval(), torch.randn(2, 3, 2))


class ScriptedAround(nn.Module):
    def __init__(self):
        super().__init__()
        self.traced = torch.jit.trace(SharedPart().eval(), torch.randn(2, 4))

    def forward(self, x: Tensor, n: int) -> Tensor:
        for _ in range(n):
            x = self.traced(x)
        return x


@case(lambda: [(torch.randn(2, 4), 2), (torch.randn(3, 4), 0)])
def scripted_calls_traced():
    return script(ScriptedAround())


def scaled(x: Tensor, by: float) -> Tensor:
    return x * by


class Tasks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        futures: List[torch.jit.Future[Tensor]] = []
        for i in range(3):
            futures.append(torch.jit.fork(scaled, x, float(i)))
        out = torch.zeros_like(x)
        for future in futures:
            out = out + torch.jit.wait(future)
        return out


@case(lambda: [(torch.arange(4.0),)])
def tasks():
    return script(Tasks())


class NoGrad(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x * self.weight
            y += 1
        return y


@case(lambda: [(torch.arange(2.0),)])
def no_grad():
    return script(NoGrad())


# ---- silero-vad: the real archive ----

def silero_path():
    spec = importlib.util.find_spec("silero_vad")
    return pathlib.Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.jit" if spec else None


class SileroWrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.vad = torch.jit.load(str(silero_path()))

    def forward(self, x: Tensor, sr: Tensor) -> Dict[str, Tensor]:
        return {"probability": self.vad(x, int(sr.item()))}

    @torch.jit.export
    def reset_states(self) -> None:
        self.vad.reset_states()


def silero_calls():
    calls = []
    for rate, length, batch in [(16000, 512, 1), (16000, 512, 3), (8000, 256, 1)]:
        calls += [Call((torch.randn(batch, length) * 0.1, torch.tensor([rate]))) for _ in range(3)]
    calls.append(Call((torch.randn(1, 100), torch.tensor([16000])), error="Input audio chunk is too short"))
    calls.append(Call((torch.randn(1, 600), torch.tensor([16000])), error="Provided number of samples is 600"))
    calls.append(Call((torch.randn(1, 512), torch.tensor([16000]))))
    calls.append(Call((), "reset_states"))
    calls.append(Call((torch.randn(1, 512), torch.tensor([16000]))))
    return calls


if silero_path():
    @case(silero_calls)
    def silero_wrapper():
        return torch.jit.script(SileroWrapper())
