"""Scripted LSTM, GRU and RNN modules: sequences of every length, short and long, known and not, are native."""
import pathlib
import sys

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import firesteel  # noqa: E402
import side_by_side  # noqa: E402
from side_by_side import Call  # noqa: E402

FORMS = {"plain": {}, "batch first": {"batch_first": True}, "two layers both ways": {"num_layers": 2, "bidirectional": True}, "no biases": {"bias": False}}
LENGTHS = ((5, 2), (7, 3), (1, 1), (40, 2), (16, 1), (17, 2))


class Sequence(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.layer = kind(4, 6, **options)

    def forward(self, x: Tensor):
        return self.layer(x)


def saved(kind, form, tmp_path):
    path = tmp_path / "sequence.pt"
    torch.manual_seed(0)
    torch.jit.script(Sequence(kind, **FORMS[form]).eval()).save(str(path))
    return path


def calls(form):
    return [Call((torch.randn(*(size[::-1] if form == "batch first" else size), 4),)) for size in LENGTHS]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_in_memory(kind, form, tmp_path):
    side_by_side.in_memory(saved(kind, form, tmp_path), calls(form) + [Call((torch.randn(25, 4),)), Call((torch.randn(3, 4),))])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_ahead_of_time(kind, tmp_path):
    path = saved(kind, "two layers both ways", tmp_path)
    empty = Call((torch.randn(0, 2, 4),), error="Expected sequence length to be larger than 0")
    side_by_side.ahead_of_time(path, [*calls("plain"), empty, *calls("plain")], tmp_path, methods={"forward": {"x": "f32[t, b, 4]"}})


class Known(nn.Module):
    """A state that is given, and a length that is known and long."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(4, 6), nn.GRU(6, 5)

    def forward(self, x: Tensor, h: Tensor, c: Tensor):
        y, state = self.lstm(x, (h, c))
        z, last = self.gru(y)
        return y, state, z * 2, last


def test_a_given_state(tmp_path):
    path = tmp_path / "known.pt"
    torch.jit.script(Known().eval()).save(str(path))
    side_by_side.in_memory(path, [Call((torch.randn(t, 2, 4), torch.randn(1, 2, 6), torch.randn(1, 2, 6))) for t in (100, 30, 2)])
