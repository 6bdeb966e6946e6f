"""The addition models, strings and small networks."""
from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from collection import script
from side_by_side import Call
from zoo.programs import case


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
