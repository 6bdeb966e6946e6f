"""Numbers that only the call knows (run_time_numbers.py), beside PyTorch: the same results, or an error where PyTorch has one.

Everything runs in a child process, with a limit on memory and time, so that a crash is the failure of one case.
"""
import importlib.util
import math
import multiprocessing
import pathlib
import resource
import sys
from typing import NamedTuple, Optional, Tuple

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import run_time_numbers  # noqa: E402

CASES = run_time_numbers.cases()
MEMORY = 12 << 30         # bytes of address space, for the child and for its compiler
SECONDS = 10              # for one call
MOST = 1 << 16            # elements that are compared one by one


class Described(NamedTuple):
    """Of a tensor, what is sent and compared: of a huge view, that is its form. Strides that nothing steps along say nothing."""
    dtype: str
    sizes: Tuple[int, ...]
    strides: Tuple[int, ...]
    values: Optional[list]


def described(value):
    if hasattr(value, "__array__"):
        value = torch.as_tensor(value)
        sizes, few = tuple(value.size()), value.numel() <= MOST
        strides = tuple(step for step, size in zip(value.stride(), sizes) if size > 1) if value.numel() else ()
        return Described(str(value.dtype), sizes, strides, value.detach().to(torch.float64).flatten().tolist() if few else None)
    if isinstance(value, (list, tuple)):
        return [described(v) for v in value]
    return value


def outcome(function, args):
    try:
        with torch.no_grad():
            return "gives", described(function(*args))
    except Exception as error:
        text = getattr(error, "text", None) or str(error).strip()
        return "raises", text.split("\nRuntimeError: ")[-1].split("\nException raised from")[0]


def script(folder, name):
    spec = importlib.util.spec_from_file_location("run_time_numbers_source", folder / "source.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = folder / f"{name}.pt"
    torch.jit.script(getattr(module, name)).save(str(path))
    return path


def serve(pipe, folder):
    """The child: (name, side, which, k) in, an outcome out."""
    import firesteel
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    opened = {}
    while True:
        name, side, which, k = pipe.recv()
        if (name, side) not in opened:
            path = folder / f"{name}.pt" if (folder / f"{name}.pt").exists() else script(folder, name)
            opened[name, side] = torch.jit.load(str(path)) if side == "theirs" else firesteel.load(str(path))
            # Only now: the compiler ends with the last open model, and starting another costs more than a case.
            opened = {key: model for key, model in opened.items() if key[0] == name}
        tensors = run_time_numbers.tensors(which)
        pipe.send(outcome(opened[name, side], [tensors[t] for t in CASES[name][1]] + [k]))


class Child:
    """Runs calls; a new process after each one that did not come back."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        (folder / "source.py").write_text(run_time_numbers.source(CASES))

    def __call__(self, *call):
        if not self.process:
            self.pipe, theirs = multiprocessing.Pipe()
            self.process = multiprocessing.get_context("fork").Process(target=serve, args=(theirs, self.folder), daemon=True)
            self.process.start()
            theirs.close()
        try:
            self.pipe.send(call)
            if self.pipe.poll(SECONDS):
                return self.pipe.recv()
            end = "does not end"
        except (EOFError, ConnectionError):
            self.process.join()
            end = f"dies ({self.process.exitcode})"
        self.stop()
        return end, None

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.join()
        self.process = None


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    child = Child(tmp_path_factory.mktemp("numbers"))
    yield child
    child.stop()


def close(got, want):
    return got == want or (math.isnan(got) and math.isnan(want)) or math.isclose(got, want, rel_tol=1e-4, abs_tol=1e-5)


def same(got, want):
    if isinstance(want, Described):
        return got[:3] == want[:3] and (want.values is None or all(map(close, got.values, want.values)))
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(same, got, want))
    return type(got) is type(want) and (close(got, want) if isinstance(want, float) else got == want)


@pytest.mark.parametrize("name", CASES)
def test_numbers(name, child):
    wrong = []
    for which in (0, 1):
        for k in run_time_numbers.NUMBERS:
            got = child(name, "ours", which, k)
            peculiar = k in run_time_numbers.PECULIAR.get(name, ()) and got[0] in ("raises", "gives")
            want = got if peculiar else child(name, "theirs", which, k)
            # PyTorch died, or below -2**62 took the number for a handle of its own: then anything else is as good.
            if (want[0] not in ("raises", "gives") or "concrete integers" in str(want[1])) and got[0] in ("raises", "gives"):
                want = got
            if got[0] != want[0] or "worker" in str(got[1]) or (got[0] == "gives" and not same(got[1], want[1])):
                wrong.append(f"k = {k}, sizes {which}: PyTorch {want[0]} {want[1]}, Firesteel {got[0]} {got[1]}")
    assert not wrong, "\n".join(wrong)
