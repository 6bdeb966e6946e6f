"""Control flow."""
from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from collection import script
from side_by_side import Call
from zoo.programs import case


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


@case(lambda: [(torch.arange(8.0), 2, "unfold"), Call((torch.arange(8.0), 0, "unfold"), error="step is 0 but must be > 0"), Call((torch.arange(8.0), 0, "view"), error="of 0"),
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
