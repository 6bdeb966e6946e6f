"""Whole models as code for a CUDA device, where there is none: the device is the CPU (tests/cuda/device.c), kernels are their
CUDA C, and memory of the device kills a host that touches it. On a machine with a GPU tests/gpu does the same there."""
import ctypes
import os
import pathlib
import sys
from typing import Dict, List

import numpy as np
import pytest
import torch
from torch import Tensor, nn

BUILD = pathlib.Path(os.environ["FST_BUILD"])
os.environ["FIRESTEEL_CUDA_LIBRARY"] = str(BUILD / "tests" / "libfst_shim_device.so")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import firesteel  # noqa: E402
import random_programs  # noqa: E402
import side_by_side  # noqa: E402
import test_containers  # noqa: E402
import test_loops  # noqa: E402
import test_random_programs  # noqa: E402
import test_silero  # noqa: E402
import zoo  # noqa: E402
from zoo import Call  # noqa: E402

SEEDS = range(*map(int, os.environ.get("FST_RANDOM_PROGRAMS", "0:24").split(":")))
X, Y = torch.arange(12.0).reshape(3, 4) - 5, torch.linspace(-1, 2, 12).reshape(3, 4)


def saved(module, tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.script(module.eval()).save(str(path))
    return path


def on_device(module, calls, tmp_path, **options):
    return side_by_side.in_memory(saved(module, tmp_path), [c if isinstance(c, Call) else Call(c) for c in calls], device="cuda", **options)


# ---- what programs do -----------------------------------------------------------------------------


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.calls = 0
        self.seen = torch.zeros(3, 4)

    def forward(self, x: Tensor, y: Tensor):
        self.calls += 1
        z = torch.softmax(self.linear(x) + y, 1)
        self.seen = self.seen + z
        while bool(z.sum() < 20):
            z = z * 2
        best: List[int] = z.argmax(1).tolist()
        return {"z": z, "t": z.t(), "seen": self.seen}, best, float(z.max()), self.calls


def test_control_flow_reads_values_where_the_model_does(tmp_path):
    torch.manual_seed(0)
    ours = on_device(Mixed(), [(X, Y), (Y, X), (X, X), (X.t().contiguous().t(), Y)], tmp_path)
    report = ours.report()
    assert report["target"] == "cuda" and report["device"] == "cuda:0" and report["launches"] > 0
    assert report["copies_in"] == 2 and report["copies_out"] > 3


def test_clones_share_weights_and_not_state(tmp_path):
    torch.manual_seed(0)
    model = Mixed()
    ours, theirs = firesteel.load(saved(model, tmp_path), device="cuda"), torch.jit.load(str(tmp_path / "model.pt"))
    side_by_side.check(side_by_side.copied(ours(X, Y)), side_by_side.copied(theirs(X, Y)))
    clone, copy = ours.clone(), torch.jit.load(str(tmp_path / "model.pt"))
    copy(X, Y)
    for _ in range(2):
        side_by_side.check(side_by_side.copied(clone(Y, Y)), side_by_side.copied(copy(Y, Y)))
    side_by_side.check(side_by_side.copied(ours(X, X)), side_by_side.copied(theirs(X, X)))


class Writes(nn.Module):
    def forward(self, x: Tensor, items: List[Tensor], table: Dict[str, Tensor]):
        x += 1
        items[0].mul_(2)
        items.append(x * 3)
        table["new"] = items[0] + x
        return x, items[0], x[1:]


def test_arguments_are_written_and_results_share_their_memory(tmp_path):
    ours, theirs = firesteel.load(saved(Writes(), tmp_path), device="cuda"), torch.jit.load(str(tmp_path / "model.pt"))
    mine, reference = X.clone(), X.clone()
    items, others = [Y.clone()], [Y.clone()]
    got, want = ours(mine, items, {"a": X}), theirs(reference, others, {"a": X})
    side_by_side.check(list(got), list(want))
    torch.testing.assert_close(mine, reference)
    torch.testing.assert_close(items[0], others[0])
    assert got[0].data_ptr() == mine.data_ptr() and got[2].data_ptr() == mine[1:].data_ptr()


class Prints(nn.Module):
    def forward(self, x: Tensor):
        print("x is", x)
        return "%s and %s" % (x[0], [x[0, 0]]), str(x.sum()), torch.tensor([1, 2, int(x[0, 0])]), x.device.type, x.is_cuda


def test_text_shows_values(tmp_path, capfd):
    got = firesteel.load(saved(Prints(), tmp_path), device="cuda")(X)
    want = torch.jit.script(Prints())(X)
    shown = capfd.readouterr().out.split("x is ")
    assert shown[1].replace("CUDA", "CPU") == shown[2]
    assert got[0].replace("CUDA", "CPU") == want[0] and got[1].replace("CUDA", "CPU") == want[1]
    assert torch.equal(got[2], want[2]) and got[3:] == ("cuda", True)


class Picks(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.last = 0

    def forward(self, at: Tensor):
        rows = self.table(at)
        self.last = int(at[0])
        return rows, rows[at > 1], self.last


def test_wrong_indices_raise_and_the_model_goes_on(tmp_path):
    calls = [Call((torch.tensor([1, 4, 0]),)), Call((torch.tensor([1, 5, 0]),), error="index out of range"), Call((torch.tensor([3, 3]),))]
    on_device(Picks(), calls, tmp_path)


class Looks(nn.Module):
    """Nothing that it does outlives a failure, so wrong indices are told when the call ends, or before another error."""
    def forward(self, x: Tensor, at: Tensor, n: int):
        rows = x[at]
        if n > 0:
            raise ValueError("n is positive")
        for i in range(-n):
            rows = rows + x[at + i]
        return rows


def test_the_first_error_is_the_one_that_is_raised(tmp_path):
    fine, wrong = torch.tensor([2, 0]), torch.tensor([1, 3])
    text = "index 3 is out of bounds"
    calls = [Call((X, fine, -1)), Call((X, wrong, 0), error=text), Call((X, wrong, 1), error=text), Call((X, fine, 1), error="n is positive"), Call((X, wrong, -200), error=text),
             Call((X, torch.tensor([0, 0]), -2)), Call((X, torch.tensor([0, 0]), -200), error="index 3 is out of bounds")]
    ours = on_device(Looks(), calls, tmp_path)
    ours(X, fine, 0)
    assert ours.report()["copies_out"] == 2   # the report, and the result


class Repeats(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 5)
        self.table = nn.Embedding(6, 5)

    def forward(self, x: Tensor, at: Tensor, n: int, scale: float = 1.0):
        y = torch.relu(self.linear(x)) + self.table(at)
        for _ in range(n):
            y = y * scale + y.mean(0)
        return {"y": y, "t": y.t(), "sizes": [x.size(0), n]}, y.sum()


def test_calls_that_repeat_become_graphs(tmp_path):
    torch.manual_seed(0)
    path = saved(Repeats(), tmp_path)
    ours, theirs = firesteel.load(path, device="cuda", graphs=True), torch.jit.load(str(path))
    seen = []
    for n in range(40):
        arguments = (torch.randn(3 + n % 2, 4), torch.randint(0, 6, (3 + n % 2,)), n % 3 // 2, 0.5 + n % 5 // 4)
        got, want = ours(*arguments), theirs(*arguments)
        kept = side_by_side.copied(got)
        side_by_side.check(side_by_side.copied(got), side_by_side.copied(want), f"call {n}")
        report = ours.report()
        seen.append(report["graph"])
        ours(*(torch.ones_like(a) if isinstance(a, Tensor) else a for a in arguments))
        side_by_side.check(side_by_side.copied(got), kept, "a result after the next call")
    assert not any(seen[:2]) and sum(seen) > 20
    wrong = (torch.randn(3, 4), torch.tensor([1, 6, 0]), 0, 0.5)
    for _ in range(4):
        with pytest.raises(firesteel.Error, match="index out of range"):
            ours(*wrong)
        fine = (torch.randn(3, 4), torch.tensor([1, 5, 0]), 0, 0.5)
        side_by_side.check(side_by_side.copied(ours(*fine)), side_by_side.copied(theirs(*fine)))
    assert ours.report()["graph"]


def test_what_needs_the_host_is_no_graph(tmp_path):
    torch.manual_seed(0)
    for module, arguments in ((Mixed(), (X, Y)), (Writes(), (X.clone(), [Y.clone()], {"a": X}))):
        (tmp_path / type(module).__name__).mkdir()
        ours = firesteel.load(saved(module, tmp_path / type(module).__name__), device="cuda", graphs=True)
        for _ in range(6):
            ours(*side_by_side.arguments_of(Call(arguments)))
            assert not ours.report()["graph"]


class Joins(nn.Module):
    def forward(self, x: Tensor, n: int):
        rows = [x]
        for i in range(n):
            rows.append(torch.relu(rows[-1] - i))
        return torch.cat(rows, 1), torch.stack(rows, 1), torch.cat([r.t() for r in rows], 0)


def test_lists_of_any_length_are_joined(tmp_path):
    on_device(Joins(), [(X, 0), (X, 1), (X, 5), (X[:0], 2), (X[:1], 3)], tmp_path)


class Falls(nn.Module):
    def forward(self, x: Tensor):
        y = torch.linalg.matrix_exp(x[:3, :3] * 0.1)
        return y + 1, y


def test_ops_of_libtorch_are_counted(tmp_path):
    ours = on_device(Falls(), [(X,)], tmp_path, falls_back=["aten::linalg_matrix_exp"])
    report = ours.report()
    assert report["fallback_ops"]["aten::linalg_matrix_exp"] == 1 and report["copies_in"] == 2


@pytest.mark.parametrize("function,calls", list(test_loops.case), ids=[f.__name__ for f, _ in test_loops.case])
def test_loops_of_any_kind(function, calls, tmp_path):
    path = tmp_path / "function.pt"
    torch.jit.script(function).save(str(path))
    side_by_side.in_memory(path, [c if isinstance(c, Call) else Call(c) for c in calls], device="cuda")


@pytest.mark.parametrize("function,calls", list(test_containers.case), ids=[f.__name__ for f, _ in test_containers.case])
def test_containers(function, calls, tmp_path):
    path = tmp_path / "function.pt"
    torch.jit.script(function).save(str(path))
    side_by_side.in_memory(path, [c if isinstance(c, Call) else Call(c) for c in calls], device="cuda")


@pytest.mark.parametrize("seed", SEEDS)
def test_programs_at_random(seed, tmp_path):
    test_random_programs.compare(seed, tmp_path, device="cuda")


@pytest.mark.skipif(test_silero.ARCHIVE is None, reason="silero-vad is not installed")
def test_silero_ahead_of_time(tmp_path):
    compiled = firesteel.compile(test_silero.ARCHIVE, methods={"forward": {"x": "f32[n, s]", "sr": "int"}, "reset_states": None}, target="cuda:source", out=tmp_path / "silero.fst")
    torch.manual_seed(3)
    calls = test_silero.chunks(16000, 1, 6) + test_silero.chunks(16000, 3, 2) + [test_silero.RESET] + test_silero.chunks(8000, 1, 3)
    ours = firesteel.load(compiled, device="cuda", allow_compile=False)
    side_by_side.run(ours, test_silero.ARCHIVE, calls)
    side_by_side.run(ours.clone(), test_silero.ARCHIVE, [test_silero.RESET] + calls[:2])


# ---- devices and files ----------------------------------------------------------------------------


class Add(nn.Module):
    def forward(self, x, y):
        return x + y


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("add")
    path = saved(Add(), folder)
    inputs = {"x": "f32[N, 4]", "y": "f32[N, 4]"}
    return {name: firesteel.compile(path, inputs=inputs, target=target, out=folder / f"{name}.fst") for name, target in
            {"device": "cuda:source", "both": "x86-64-v3,cuda:source", "cpu": "x86-64-v3"}.items()} | {"archive": path}


def test_one_file_may_hold_code_for_both(files):
    for name, device in [("device", "cuda"), ("device", "cuda:1"), ("both", "cuda:0"), ("both", "cpu"), ("archive", "cuda")]:
        ours = firesteel.load(files[name], device=device)
        np.testing.assert_array_equal(ours(X.numpy(), Y.numpy()), (X + Y).numpy())
        assert ours.report().get("device", "cpu") == ("cuda:0" if device == "cuda" else device)


def test_what_a_file_lacks_is_named(files):
    with pytest.raises(firesteel.Error, match="holds no code for a CUDA device; compile it with --target cuda"):
        firesteel.load(files["cpu"], device="cuda")
    with pytest.raises(firesteel.Error, match='holds code for a CUDA device only; open it with device="cuda"'):
        firesteel.load(files["device"])
    with pytest.raises(firesteel.Error, match="unknown device 'tpu': expected cpu, cuda, or cuda:N"):
        firesteel.load(files["device"], device="tpu")
    with pytest.raises(firesteel.Error, match="there is no device cuda:7: the driver shows 2"):
        firesteel.load(files["device"], device="cuda:7")
    with pytest.raises(firesteel.Error, match="a target .* is for the CPU"):
        firesteel.load(files["both"], device="cuda", target="x86-64-v3")


def test_memory_that_runs_out_is_an_error_and_nothing_more(files):
    ours = firesteel.load(files["device"], device="cuda")
    large = np.ones((40 << 20, 4), np.float32)   # 640 MB three times, of 2 GB
    lent = [np.lib.stride_tricks.as_strided(large, large.shape, large.strides), large]
    with pytest.raises(firesteel.Error, match=r"CUDA out of memory: \d+ bytes were asked for"):
        ours(np.concatenate(lent), np.concatenate(lent))
    np.testing.assert_array_equal(ours(X.numpy(), Y.numpy()), (X + Y).numpy())


def test_memory_of_the_device_goes_in_and_out(files):
    """Through the C interface, where no tensor of a GPU can be had from PyTorch."""
    shim, rt = ctypes.CDLL(os.environ["FIRESTEEL_CUDA_LIBRARY"]), ctypes.CDLL(str(BUILD / "lib" / "libfiresteel_rt.so"))
    shim.shim_put.restype = rt.fst_failure_message.restype = rt.fst_var_data.restype = ctypes.c_void_p
    for name in ("fst_open", "fst_var_tensor_cuda", "fst_infer", "fst_var_host"):
        getattr(rt, name).restype = ctypes.c_void_p

    def checked(failure):
        assert not failure, ctypes.string_at(rt.fst_failure_message(ctypes.c_void_p(failure)))

    class Options(ctypes.Structure):
        _fields_ = [("size", ctypes.c_size_t), ("texts", ctypes.c_char_p * 4), ("flags", ctypes.c_int * 5), ("device", ctypes.c_char_p)]

    options, model, out, host = Options(device=b"cuda:1"), ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    options.size = ctypes.sizeof(options)
    checked(rt.fst_open(str(files["device"]).encode(), ctypes.byref(options), ctypes.byref(model)))
    released, args = [], (ctypes.c_void_p * 2)()
    release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda owner: released.append(owner))
    sizes = (ctypes.c_int64 * 2)(3, 4)
    for i, x in enumerate((X.numpy(), Y.numpy())):
        address = shim.shim_put(1, x.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(x.nbytes))
        var = ctypes.c_void_p()
        checked(rt.fst_var_tensor_cuda(1, 6, ctypes.c_size_t(2), sizes, None, ctypes.c_void_p(address), release, ctypes.c_void_p(address), ctypes.byref(var)))
        args[i] = var.value
    checked(rt.fst_infer(model, None, args, ctypes.c_size_t(2), ctypes.byref(out)))
    assert rt.fst_var_device(out) == 1
    checked(rt.fst_var_host(out, ctypes.byref(host)))
    assert rt.fst_var_device(host) == -1
    got = np.ctypeslib.as_array(ctypes.cast(rt.fst_var_data(host), ctypes.POINTER(ctypes.c_float)), (3, 4))
    np.testing.assert_array_equal(got, (X + Y).numpy())
    wrong = ctypes.c_void_p()
    checked(rt.fst_open(str(files["both"]).encode(), None, ctypes.byref(wrong)))
    failure = rt.fst_infer(wrong, None, args, ctypes.c_size_t(2), ctypes.byref(out))
    assert b"a tensor lies on another device; this model runs on the CPU" in ctypes.string_at(rt.fst_failure_message(ctypes.c_void_p(failure)))
    for var in (ctypes.c_void_p(args[0]), ctypes.c_void_p(args[1]), out, host):
        rt.fst_var_free(var)
    assert len(released) == 2
    for address in released:
        shim.shim_take(1, ctypes.c_void_p(address))
    rt.fst_close(model)
    rt.fst_close(wrong)
