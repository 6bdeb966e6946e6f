"""silero-vad: the real archive."""
import importlib.util
import pathlib
from typing import Dict

import torch
from torch import Tensor, nn

from side_by_side import Call
from zoo.programs import case


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
