"""Hooks, tracing and tasks."""
from typing import List, Tuple

import torch
from torch import Tensor, nn

from collection import script
from zoo.control import TensorLoop
from zoo.state import SharedPart
from zoo.programs import case


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
