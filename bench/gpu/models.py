"""Models that need nothing but torch, for machines with a GPU where little else is installed. BUILD[name]() -> (module in
evaluation mode, arguments). Weights come from a fixed seed and take few values, so that files with them pack well."""
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BUILD = {}


def model(build):
    def ready():
        torch.manual_seed(0)
        module, arguments = build()
        for p in module.parameters():
            scale = p.detach().abs().max().clamp_min(1e-6) / 15
            p.requires_grad_(False).copy_((p / scale).round() * scale)
        return module.eval(), arguments
    BUILD[build.__name__] = ready
    return build


# ---- resnet18 and mobilenet_v2, as torchvision builds them ------------------------------------------


class Basic(nn.Module):
    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.down = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)) if stride != 1 or channels != out else nn.Identity()

    def forward(self, x: Tensor):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.down(x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        sizes = [64, 64, 128, 256, 512]
        self.layers = nn.Sequential(*[nn.Sequential(Basic(sizes[i], sizes[i + 1], 1 if i == 0 else 2), Basic(sizes[i + 1], sizes[i + 1], 1)) for i in range(4)])
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor):
        return self.fc(self.layers(self.stem(x)).mean([2, 3]))


class Inverted(nn.Module):
    def __init__(self, channels: int, out: int, stride: int, expand: int):
        super().__init__()
        wide = channels * expand
        steps: List[nn.Module] = [] if expand == 1 else [nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        self.steps = nn.Sequential(*steps, nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
                                   nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out))
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor):
        y = self.steps(x)
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        channels, steps = 32, [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
        for expand, out, count, stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
            for i in range(count):
                steps.append(Inverted(channels, out, stride if i == 0 else 1, expand))
                channels = out
        self.steps = nn.Sequential(*steps, nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6())
        self.fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor):
        return self.fc(self.steps(x).mean([2, 3]))


def settled(module, x):
    """Statistics of its norms from one batch, so that values keep a scale."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for m in norms:
        m.momentum = 1.0
    module.train()
    with torch.no_grad():
        module(x)
    for m in norms:
        m.momentum = 0.1
    return module.eval()


@model
def resnet18():
    return settled(ResNet18(), torch.randn(4, 3, 224, 224)), (torch.randn(1, 3, 224, 224),)


@model
def mobilenet_v2():
    return settled(MobileNetV2(), torch.randn(4, 3, 224, 224)), (torch.randn(1, 3, 224, 224),)


# ---- MiniLM-L6-H384 ------------------------------------------------------------------------------


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.q, self.k, self.v, self.o = [nn.Linear(width, width) for _ in range(4)]
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.heads = heads

    def forward(self, x: Tensor, mask: Tensor):
        n, s, w = x.size(0), x.size(1), x.size(2)
        q, k, v = [p(x).view(n, s, self.heads, w // self.heads).transpose(1, 2) for p in (self.q, self.k, self.v)]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.o(y.transpose(1, 2).reshape(n, s, w)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class MiniLM(nn.Module):
    def __init__(self, words: int = 30522, width: int = 384, heads: int = 12, layers: int = 6):
        super().__init__()
        self.words, self.places, self.kinds = nn.Embedding(words, width), nn.Embedding(512, width), nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList([Layer(width, heads, 4 * width) for _ in range(layers)])

    def forward(self, ids: Tensor, mask: Tensor):
        at = torch.arange(ids.size(1), device=ids.device)
        x = self.norm(self.words(ids) + self.places(at) + self.kinds(torch.zeros_like(ids)))
        added = (1.0 - mask.to(x.dtype)).unsqueeze(1).unsqueeze(1) * -10000.0
        for layer in self.layers:
            x = layer(x, added)
        wide = mask.to(x.dtype).unsqueeze(2)
        return F.normalize((x * wide).sum(1) / wide.sum(1).clamp_min(1e-9), dim=1)


@model
def minilm():
    return MiniLM(), (torch.randint(0, 30522, (1, 128)), torch.ones(1, 128, dtype=torch.int64))


# ---- a recurrent network as a loop --------------------------------------------------------------------


class LoopedLSTM(nn.Module):
    def __init__(self, n: int = 256):
        super().__init__()
        self.x, self.h = nn.Linear(n, 4 * n), nn.Linear(n, 4 * n)

    def forward(self, x: Tensor, state: Optional[Tuple[Tensor, Tensor]] = None):
        h, c = torch.zeros(x.size(1), x.size(2)), torch.zeros(x.size(1), x.size(2))
        if state is not None:
            h, c = state
        out: List[Tensor] = []
        for t in range(x.size(0)):
            i, f, g, o = (self.x(x[t]) + self.h(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            out.append(h)
        return torch.stack(out), h, c


@model
def lstm_loop():
    return torch.jit.script(LoopedLSTM()), (torch.randn(20, 1, 256),)
