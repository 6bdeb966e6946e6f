#!/usr/bin/env python3
"""Single layers against the machine's roof: products, convolutions and matrix-vector products as models of one op.

  layers.py [--target x86-64-v4,x86-64-v3] [--rounds 12] [--only REGEX] [--buffers 200] [--json FILE] [--keep DIR] [--build build]
  layers.py --list

Each layer is traced, saved, compiled ahead of time for one target, compared with PyTorch in float64, and timed by `firesteel bench`
with 200 sets of inputs in turn (none stays in a cache), in a process of its own, pinned; the roof of that target is measured in the
same run, before and after. Convolutions take and give tensors as PyTorch lays them out, channels first, which is the layout inside
a graph too. All have bias and ReLU.
`goal` is the percent of the roof that the layer should reach; percentages are of p50, and of the fastest call beside it: where
the two are far apart the machine was busy.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
V3_ALLOWANCE = 5  # points that the goals are lower by on x86-64-v3


class Layer(NamedTuple):
    name: str
    make: object      # () -> module
    shape: tuple      # of the input
    macs: int
    goal: int
    is_memory: bool = False   # bound by reading the weights


def linear(m, k, n, goal, is_memory=False):
    import torch

    def make():
        return torch.nn.Sequential(torch.nn.Linear(k, n), torch.nn.ReLU())
    return Layer(f"linear {m}x{k}x{n}", make, (m, k), m * k * n, goal, is_memory)


def conv(size, i, o, kernel, goal, stride=1, groups=1, padding=None, transposed=False):
    import torch

    pad = (0 if transposed else kernel // 2) if padding is None else padding

    def make():
        kind = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
        return torch.nn.Sequential(kind(i, o, kernel, stride, pad, groups=groups), torch.nn.ReLU())

    out = (size + 2 * pad - kernel) // stride + 1
    points = size * size if transposed else out * out
    name = f"{'transposed' if transposed else 'conv'} {kernel}x{kernel} {i}->{o} {size}x{size}"
    name = f"depthwise {kernel}x{kernel} {i} {size}x{size}" if groups == i == o else name if groups == 1 else name + f" g{groups}"
    return Layer(name + (f" s{stride}" if stride > 1 else ""), make, (1, i, size, size), points * o * (i // groups) * kernel * kernel, goal)


def layers():
    return [
        linear(196, 1024, 768, 90), linear(784, 256, 576, 90), linear(128, 768, 3072, 90),
        conv(56, 64, 64, 3, 88), conv(28, 128, 128, 3, 88),
        conv(14, 256, 256, 3, 82), conv(56, 64, 256, 1, 82), conv(14, 256, 1024, 1, 82),
        conv(7, 512, 512, 3, 60),
        conv(56, 128, 128, 3, 65, stride=2), conv(28, 256, 256, 3, 65, stride=2), conv(56, 256, 512, 1, 65, stride=2),
        conv(224, 3, 64, 7, 65, stride=2), conv(224, 3, 32, 3, 65, stride=2),
        conv(112, 32, 32, 3, 35, groups=32), conv(56, 144, 144, 3, 35, groups=144), conv(14, 576, 576, 3, 35, groups=576),
        conv(56, 144, 144, 3, 35, stride=2, groups=144), conv(28, 240, 240, 5, 35, groups=240),
        conv(16, 512, 256, 2, 65, stride=2, transposed=True), conv(128, 64, 32, 2, 65, stride=2, transposed=True), conv(32, 128, 64, 4, 65, stride=2, padding=1, transposed=True),
        conv(256, 32, 32, 3, 88), conv(32, 256, 256, 3, 82),
        linear(1, 768, 3072, 75, is_memory=True), linear(1, 8192, 8192, 85, is_memory=True),
        linear(2, 768, 3072, 75, is_memory=True), linear(5, 768, 3072, 75, is_memory=True), linear(16, 768, 3072, 75),
    ]


def build(layer, target, folder, firesteel):
    """Compiles it and returns (artifact, relative error against float64)."""
    import numpy as np
    import torch
    import firesteel as fst

    stem = folder / re.sub(r"\W+", "_", layer.name)
    archive, artifact = stem.with_suffix(".pt"), stem.with_name(f"{stem.name}.{target}.fst")
    torch.manual_seed(0)
    module = layer.make().eval()
    x = torch.randn(layer.shape)
    if not archive.exists():
        with torch.no_grad():
            torch.jit.trace(module, x).save(str(archive))
    subprocess.run([firesteel, "compile", archive, "--input", f"f32[{', '.join(map(str, layer.shape))}]", "--target", target, "-o", artifact, "--force", "--quiet"], check=True)
    with torch.no_grad():
        exact = module.double()(x.double()).numpy()
    got = np.asarray(fst.load(str(artifact))(x.numpy()))
    error = float(np.abs(got - exact).max() / np.abs(exact).max())
    if got.shape != exact.shape or not error < 1e-4:
        sys.exit(f"{layer.name}, {target}: wrong result, relative error {error:.3g}")
    return artifact, error


def measure(layer, target, artifact, firesteel, options):
    command = [firesteel, "bench", artifact, "--input", f"f32[{', '.join(map(str, layer.shape))}]", "--target", target, "--json", "--rounds", str(options.rounds),
               "--buffers", str(options.buffers)]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    ours, roof = answer["contestants"][0], answer["roof"]
    if layer.is_memory:
        weights = layer.macs // layer.shape[0] * 4
        limit = weights / roof["read_gbs"] / 1e3
    else:
        limit = 2 * layer.macs / roof["gflops"] / 1e3
    return {"layer": layer.name, "target": target, "p50_us": ours["p50_us"], "min_us": ours["min_us"], "limit_us": limit, "percent": 100 * limit / ours["p50_us"],
            "percent_min": 100 * limit / ours["min_us"], "gflops": 2 * layer.macs / ours["p50_us"] / 1e3, "goal": layer.goal - (V3_ALLOWANCE if target == "x86-64-v3" else 0),
            "bound": "memory" if layer.is_memory else "arithmetic", "roof": roof}


def show(row):
    print(f"{row['layer']:30s} {row['target'][-2:]} {row['p50_us']:10.1f} us {row['gflops']:7.1f} GF/s {row['percent']:6.1f} % ({row['percent_min']:.1f} % at its fastest) "
          f"of {row['bound']}, goal {row['goal']} %{'' if row['percent'] >= row['goal'] else '  missed'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="x86-64-v4,x86-64-v3")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--buffers", type=int, default=200)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--keep")
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    chosen = [layer for layer in layers() if re.search(options.only, layer.name)]
    if options.list:
        print("\n".join(layer.name for layer in chosen))
        return
    folder = pathlib.Path(options.keep or pathlib.Path(options.build) / "bench" / "layers").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(pathlib.Path(options.build) / "python"))
    firesteel = pathlib.Path(options.build).resolve() / "bin" / "firesteel"
    rows = []
    for target in options.target.split(","):
        for layer in chosen:
            artifact, error = build(layer, target, folder, firesteel)
            rows.append({**measure(layer, target, artifact, firesteel, options), "relative_error": error})
            show(rows[-1])
    print("\nfarthest from their goals:")
    for row in sorted(rows, key=lambda r: r["percent"] / r["goal"])[:10]:
        show(row)
    missed = sum(row["percent"] < row["goal"] for row in rows)
    print(f"\n{len(rows) - missed} of {len(rows)} reach their goals")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"cpus": os.cpu_count(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
