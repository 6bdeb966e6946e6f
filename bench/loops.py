"""Scripted loops: nanoseconds an iteration beside frozen TorchScript, in one run.

    python bench/loops.py [--rounds N] [--only NAME]

An iteration costs the slope of the time of a call between SHORT and LONG rounds of the loop, so that what a call costs
falls out. Both sides run in turns on one thread, results are compared first, and the smallest time of each counts.
Prints a table; `bound` is what the project promises of the ratio.
"""
import argparse
import pathlib
import sys
import tempfile
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "build" / "python"), str(ROOT / "tests")]
import firesteel  # noqa: E402
from zoo.control import IntLoop, StackLoop, TensorLoop  # noqa: E402

SHORT, LONG = 10, 1000


FLOATS = torch.randn(64, generator=torch.Generator().manual_seed(0))
# Name, module, what it takes before the number of rounds, bound of the ratio.
LOOPS = [("integers, two branches", IntLoop, (), 0.03), ("relu(y*0.5 + x), 64 floats", TensorLoop, (FLOATS,), 0.02), ("append a row, stack", StackLoop, (FLOATS,), 0.10)]


def seconds(call, args, calls):
    start = time.perf_counter()
    for _ in range(calls):
        call(*args)
    return (time.perf_counter() - start) / calls


def measure(module, args, rounds):
    """Nanoseconds an iteration of (ours, TorchScript)."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "loop.pt"
        torch.jit.script(module.eval()).save(str(path))
        ours, theirs = firesteel.load(str(path)), torch.jit.freeze(torch.jit.load(str(path)).eval())
        sides = [ours, theirs]
        best = {}
        with torch.no_grad():
            for n in (SHORT, LONG) * 3:
                torch.testing.assert_close(torch.as_tensor(ours(*args, n)), torch.as_tensor(theirs(*args, n)))
            for _ in range(rounds):
                for side, call in enumerate(sides):
                    for n, calls in ((SHORT, 50), (LONG, 5)):
                        t = seconds(call, (*args, n), calls)
                        best[side, n] = min(best.get((side, n), t), t)
        assert not ours.report()["fallback_ops"], ours.report()["fallback_ops"]
    return [(best[side, LONG] - best[side, SHORT]) / (LONG - SHORT) * 1e9 for side in (0, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'loop':30} {'firesteel':>10} {'TorchScript':>12} {'ratio':>7} {'bound':>6}   ns an iteration")
    for name, model, args, bound in LOOPS:
        if options.only in name:
            ours, theirs = measure(model(), args, options.rounds)
            print(f"{name:30} {ours:10.2f} {theirs:12.1f} {ours / theirs:7.4f} {bound:6.2f}", flush=True)


if __name__ == "__main__":
    main()
