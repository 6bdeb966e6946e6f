"""Random programs (random_programs.py) through load, call after call, beside PyTorch: results, state, and what is written into arguments.

FST_RANDOM_PROGRAMS=1000:3000 tries other seeds than those of every run. A failing seed's source is in the test's temporary folder.
"""
import importlib.util
import math
import os
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import random_programs  # noqa: E402

import firesteel  # noqa: E402

SEEDS = range(*map(int, os.environ.get("FST_RANDOM_PROGRAMS", "0:120").split(":")))
SIZES = [(4, 3, 2), (4, 3, 2), (2, 5, 3), (1, 1, 0), (6, 2, 1)]   # n, m, k of each call


def build(seed, folder):
    file = folder / f"random_{seed}.py"
    file.write_text(random_programs.source(seed))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    archive = str(folder / "program.pt")
    torch.jit.script(module.Program()).save(archive)
    return archive


def arguments(call):
    n, m, k = SIZES[call]
    generator = torch.Generator().manual_seed(call)
    return torch.randn(n, generator=generator), torch.randn(n, m, generator=generator), k, torch.randint(-3, 4, (n,), generator=generator)


def check(got, want, what):
    """dtype, sizes and values. (Strides that only the call knows are row-major here, where PyTorch's may not be.)"""
    if isinstance(want, torch.Tensor):
        # Sums of sums in another order: wider than one op's.
        torch.testing.assert_close(torch.as_tensor(got), want, equal_nan=True, rtol=2e-4, atol=2e-4, check_stride=False, msg=lambda text: f"{what}: {text}")
    elif isinstance(want, float):
        assert (math.isnan(got) and math.isnan(want)) or got == pytest.approx(want, rel=2e-3, abs=2e-3), what
    else:
        assert got == want and type(got) is type(want), what


def outcome(call, args):
    try:
        # PyTorch's optimizer shares two stacks of one list though an item of it was written in between.
        with torch.no_grad(), torch.jit.optimized_execution(False):
            return call(*args), None
    except Exception as error:
        return None, error


def compare(seed, folder, device="cpu"):
    archive = build(seed, folder)
    theirs, ours = torch.jit.load(archive), firesteel.load(archive, device=device)
    for call in range(len(SIZES)):
        reference, mine = arguments(call), arguments(call)
        want, refused = outcome(theirs, reference)
        got, failed = outcome(ours, mine)
        assert (refused is None) == (failed is None), f"call {call}: PyTorch {refused!r}, Firesteel {failed!r}"
        for i, (g, w) in enumerate(zip(got or (), want or ())):
            check(g, w, f"call {call}, result {i}")
        for i in (0, 1, 3):
            check(mine[i], reference[i], f"call {call}, argument {i} afterwards")


@pytest.mark.parametrize("seed", SEEDS)
def test_program(seed, tmp_path):
    compare(seed, tmp_path)
