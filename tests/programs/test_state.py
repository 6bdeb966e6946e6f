"""State that is no tensor: counters, members of enums, devices; what a call leaves is what the next one finds."""
import pathlib
import sys
from enum import Enum

import torch
from torch import Tensor, nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import side_by_side  # noqa: E402


class Mode(Enum):
    OFF = 1
    ON = 2


class Switch(nn.Module):
    def __init__(self):
        super().__init__()
        self.mode = Mode.OFF
        self.where = torch.device("cpu")
        self.calls = 0
        self.down = 100

    def forward(self, x: Tensor):
        self.calls += 1
        self.down = self.down - 3 * self.calls
        was = self.mode
        if self.calls % 3 == 2:
            self.mode = Mode.ON if self.mode == Mode.OFF else Mode.OFF
        self.where = x.device
        return x * self.calls, was.value, was.name, self.mode == Mode.ON, self.down

    @torch.jit.export
    def count(self) -> int:
        return self.calls


def saved(tmp_path):
    path = tmp_path / "switch.pt"
    torch.jit.script(Switch().eval()).save(str(path))
    return path


CALLS = [side_by_side.Call((torch.ones(2),)) for _ in range(12)] + [side_by_side.Call((), "count")]


def test_in_memory(tmp_path):
    side_by_side.in_memory(saved(tmp_path), CALLS)


def test_ahead_of_time(tmp_path):
    side_by_side.ahead_of_time(saved(tmp_path), CALLS, tmp_path)


def test_a_counter_is_compiled_once(tmp_path):
    ours = side_by_side.in_memory(saved(tmp_path), CALLS[:6])
    forms = [s for s in ours.report()["signatures"] if s["method"] == "forward"]
    assert len(forms) <= 2 and ours.report()["compiles"] == 1
