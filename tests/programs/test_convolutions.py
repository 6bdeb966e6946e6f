"""Convolutions of all forms, native for both feature levels, beside PyTorch: sizes around the tiles, strides, dilation, groups,
padding that differs between the ends, transposed ones and what follows them. One archive holds them all."""
import copy
import os
import subprocess

import firesteel
import numpy as np
import pytest
import torch
from torch import nn

LEVELS = ["x86-64-v3", "x86-64-v4"]


def conv(size, i, o, kernel, **options):
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(size)]
    return (1, i, *size), kind(i, o, kernel, **options)


def transposed(size, i, o, kernel, **options):
    kind = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[len(size)]
    return (1, i, *size), kind(i, o, kernel, **options)


def then(layer, *rest):
    shape, module = layer
    return shape, nn.Sequential(module, *rest)


def batch(layer, count):
    shape, module = layer
    return (count, *shape[1:]), module


def padded(layer, *ends):
    shape, module = layer
    return shape, nn.Sequential(nn.ZeroPad2d(ends), module)


class Residual(nn.Module):
    def __init__(self, channels, kernel):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x):
        return torch.relu(self.conv(x) + x)


class Joined(nn.Module):
    """Sums that are only added to each other."""

    def __init__(self, stride):
        super().__init__()
        self.a, self.b = nn.Conv2d(10, 20, 1, stride), nn.Conv2d(10, 20, 3, stride, 1)

    def forward(self, x):
        return torch.relu(self.a(x) + self.b(x) + 1)


class Upsampled(nn.Module):
    """A transposed convolution beside what skips it."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(6, 5, 2, 2)

    def forward(self, x):
        y = self.up(x)
        return torch.cat([y, torch.sigmoid(y)], 1)


PLAIN = {
    "1x1": conv((9, 11), 5, 7, 1),
    "1x1, pixels of whole vectors": conv((16, 16), 40, 33, 1),
    "1x1, a deep sum": conv((14, 14), 600, 70, 1),
    "1x1, stride": conv((15, 13), 20, 33, 1, stride=2),
    "1x1, stride 3": conv((15, 13), 4, 9, 1, stride=3),
    "3x3, wide": conv((33, 67), 3, 8, 3, padding=1),
    "3x3, wide, deep": batch(conv((20, 64), 24, 10, 3, padding=1), 2),
    "3x3, narrow": conv((7, 7), 40, 36, 3, padding=1),
    "3x3, stride": conv((32, 65), 3, 17, 3, stride=2, padding=1),
    "3x3, stride, no padding": conv((33, 66), 4, 6, 3, stride=2),
    "3x3, stride 4": conv((37, 131), 3, 6, 3, stride=4, padding=1),
    "3x3, other strides": conv((31, 70), 3, 5, 3, stride=(1, 2), padding=(1, 0)),
    "3x3, dilation": conv((25, 70), 3, 9, 3, dilation=2, padding=2),
    "3x3, dilation, stride": conv((25, 70), 3, 9, 3, dilation=2, stride=2, padding=1),
    "7x7, stride": batch(conv((40, 71), 3, 13, 7, stride=2, padding=3), 2),
    "9x9, stride": conv((40, 71), 2, 5, 9, stride=2, padding=4),
    "kernel of even size": conv((17, 40), 3, 6, 4, padding="same"),
    "padding of one side": padded(conv((17, 40), 3, 6, 3, stride=2), 0, 1, 0, 1),
    "rows only": conv((1, 50), 6, 18, (1, 3), padding=(0, 1)),
    "columns only": conv((50, 5), 6, 18, (3, 1), padding=(1, 0)),
    "groups": conv((13, 34), 12, 24, 3, padding=1, groups=4),
    "groups, stride": conv((13, 34), 12, 6, 3, padding=1, groups=3, stride=2),
    "1d": conv((77,), 6, 20, 5, padding=2),
    "1d, stride": conv((200,), 1, 18, 16, stride=8),
    "3d": conv((4, 9, 20), 3, 6, 3, padding=1, stride=(1, 2, 1)),
    "residual": ((1, 18, 12, 40), Residual(18, 3)),
    "two branches": ((1, 10, 15, 33), Joined(1)),
    "two branches, stride": ((2, 10, 14, 14), Joined(2)),
    "residual, narrow": ((1, 33, 7, 7), Residual(33, 3)),
}

DEPTHWISE = {
    "3x3": conv((14, 14), 6, 6, 3, padding=1, groups=6),
    "3x3, long rows": batch(conv((11, 113), 5, 5, 3, padding=1, groups=5), 2),
    "3x3, short rows": conv((7, 7), 9, 9, 3, padding=1, groups=9),
    "3x3, stride": then(conv((29, 57), 6, 6, 3, stride=2, padding=1, groups=6), nn.ReLU6()),
    "3x3, stride 3": conv((29, 57), 6, 6, 3, stride=3, padding=1, groups=6),
    "3x3, no padding": conv((16, 34), 6, 6, 3, groups=6),
    "3x3, padding of one side": padded(conv((16, 34), 6, 6, 3, stride=2, groups=6), 0, 1, 0, 1),
    "3x3, dilation": conv((19, 40), 5, 5, 3, padding=2, dilation=2, groups=5),
    "5x5": then(conv((28, 28), 7, 7, 5, padding=2, groups=7), nn.SiLU()),
    "5x5, stride": conv((23, 50), 4, 4, 5, stride=2, padding=2, groups=4),
    "7x7": conv((20, 20), 4, 4, 7, padding=3, groups=4),
    "two outputs a channel": conv((15, 20), 4, 8, 3, padding=1, groups=4),
    "kernel of even size": conv((15, 20), 4, 4, 4, padding="same", groups=4),
    "rows before the product": ((1, 4, 9, 37), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Hardswish())),
    "1d": conv((90,), 8, 8, 3, padding=1, groups=8),
    "one row": conv((1, 40), 6, 6, 3, padding=1, groups=6),
}

TRANSPOSED = {
    "2x2": transposed((16, 17), 8, 6, 2, stride=2),
    "2x2, deep": then(batch(transposed((5, 33), 30, 9, 2, stride=2), 2), nn.ReLU()),
    "3x3": transposed((9, 17), 5, 7, 3, stride=2, padding=1, output_padding=1),
    "3x3, odd": transposed((9, 17), 5, 7, 3, stride=2, padding=1),
    "3x3, stride 1": transposed((9, 17), 5, 7, 3, padding=1),
    "4x4": transposed((11, 35), 6, 8, 4, stride=2, padding=1),
    "4x4, stride 4": transposed((5, 20), 6, 8, 4, stride=4),
    "2x2, stride 3": transposed((5, 20), 6, 8, 2, stride=3),
    "5x5, stride 3": transposed((5, 20), 6, 8, 5, stride=3, padding=2),
    "other strides": transposed((6, 20), 4, 5, (3, 4), stride=(1, 2), padding=(1, 1)),
    "dilation": transposed((9, 17), 5, 7, 3, stride=2, padding=1, dilation=2),
    "groups": transposed((9, 20), 6, 8, 4, stride=2, padding=1, groups=2),
    "1d": transposed((30,), 8, 6, 16, stride=8, padding=4),
    "3d": transposed((3, 4, 18), 3, 4, 2, stride=2),
    "beside what skips it": ((1, 6, 8, 20), Upsampled()),
}


class All(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs):
        return tuple(layer(x) for layer, x in zip(self.layers, inputs))


def compare(cases, level, folder, free_sizes=False):
    torch.manual_seed(0)
    module = All([layer for _, layer in cases.values()]).eval()
    inputs = [torch.randn(shape) for shape, _ in cases.values()]
    archive, artifact = folder / "model.pt", folder / f"model.{level}.fst"
    with torch.no_grad():
        torch.jit.trace(module, inputs).save(str(archive))
    words = []
    for i, x in enumerate(inputs):
        sizes = [f"{'NCHWD'[d]}{i}" if free_sizes and d != 1 else str(size) for d, size in enumerate(x.shape)]
        words += ["--input", f"f32[{', '.join(sizes)}]"]
    command = [os.path.join(os.environ["FST_BUILD"], "bin", "firesteel"), "compile", archive, *words, "--target", level, "-o", artifact, "--quiet"]
    subprocess.run([str(word) for word in command], check=True)
    try:
        model = firesteel.load(str(artifact))
    except firesteel.Error as refused:
        pytest.skip(f"not the CPU for it: {refused}")
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(*[x.double() for x in inputs])
    for name, ours, exact in zip(cases, model(*[x.numpy() for x in inputs]), expected):
        assert ours.shape == tuple(exact.shape), name
        error = np.abs(np.asarray(ours, np.float64) - exact.numpy()).max() / np.abs(exact.numpy()).max()
        assert error < 2e-6, f"{name}: relative error {error:.3g}"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cases", [PLAIN, DEPTHWISE, TRANSPOSED], ids=["plain", "depthwise", "transposed"])
def test_convolutions(cases, level, tmp_path):
    compare(cases, level, tmp_path)


@pytest.mark.parametrize("level", LEVELS)
def test_sizes_known_at_run_time(level, tmp_path):
    chosen = [(PLAIN, ["1x1", "3x3, wide", "3x3, stride", "groups"]), (DEPTHWISE, ["3x3", "5x5, stride"]), (TRANSPOSED, ["2x2", "3x3, odd", "1d"])]
    cases = {f"{kind} {name}": group[name] for kind, (group, names) in enumerate(chosen) for name in names}
    compare(cases, level, tmp_path, free_sizes=True)
