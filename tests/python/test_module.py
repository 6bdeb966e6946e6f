"""The Python module: values in and out without copies, errors, state, threads, reports, both roads of compiling."""
import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import weakref
import zipfile
from enum import Enum
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import pytest

import firesteel

torch = pytest.importorskip("torch")
BUILD = pathlib.Path(os.environ.get("FST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
pytestmark = [
    pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"),
    pytest.mark.filterwarnings("ignore"),
]


class Scale(torch.nn.Module):
    def forward(self, x: torch.Tensor, k: float = 2.0, offset: Optional[torch.Tensor] = None):
        y = x * k
        if offset is not None:
            y = y + offset
        return y


class Echo(torch.nn.Module):
    @torch.jit.export
    def numbers(self, i: int, f: float, b: bool, s: str):
        return (i, f, b, s)

    @torch.jit.export
    def containers(self, l: List[int], d: Dict[str, float], t: Tuple[int, str]):
        return {"l": l}, d, t

    def forward(self, x: torch.Tensor):
        return x


class Point(NamedTuple):
    x: torch.Tensor
    n: int


class Rich(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Tuple[Point, List[Point]]:
        p = Point(x + 1, 3)
        return p, [p]

    @torch.jit.export
    def write(self, x: torch.Tensor) -> torch.Tensor:
        x += 1
        return x

    @torch.jit.export
    def views(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        return x[1:], x.t()

    @torch.jit.export
    def types(self, x: torch.Tensor) -> List[torch.Tensor]:
        return [x.to(torch.float64), x.to(torch.int64), x > 0, x.to(torch.float16), x.to(torch.bfloat16)]

    @torch.jit.export
    def fails(self, n: int) -> int:
        if n > 2:
            raise ValueError("n is {}, at most 2".format(n))
        return n


class Color(Enum):
    RED = 1
    BLUE = 2


@torch.jit.script
class Box:
    def __init__(self, content: torch.Tensor, n: int):
        self.content = content
        self.n = n


@torch.jit.script
class Crate:
    def __init__(self, label: str):
        self.label = label


class Classes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Box:
        return Box(x + 1, 2)

    @torch.jit.export
    def crate(self, label: str) -> Crate:
        return Crate(label + "!")

    @torch.jit.export
    def color(self, n: int) -> Color:
        if n > 1:
            return Color.BLUE
        return Color.RED


class Foreign(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x) + torch.cholesky_inverse(x)


class Counter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.total = 0
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> int:
        self.total += 1
        self.last = x
        return self.total

    @torch.jit.export
    def latest(self) -> torch.Tensor:
        return self.last


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("module")
    for cls in (Scale, Echo, Rich, Classes, Foreign, Counter):
        torch.jit.script(cls()).save(str(folder / f"{cls.__name__}.pt"))
    return folder


@pytest.fixture(scope="module")
def scale(archives):
    return firesteel.load(archives / "Scale.pt")


@pytest.fixture(scope="module")
def rich(archives):
    return firesteel.load(archives / "Rich.pt")


def test_arguments_by_position_name_and_default(scale):
    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(scale(x), x * 2)
    np.testing.assert_array_equal(scale(x, 3), x * 3)  # an int where a float is declared
    np.testing.assert_array_equal(scale(k=np.float32(0.5), x=x), x * 0.5)
    np.testing.assert_array_equal(scale(x, offset=x), x * 3)
    np.testing.assert_array_equal(scale.infer({"x": x})["output"], x * 2)


def test_wrong_arguments_are_named(scale):
    x = np.zeros(2, np.float32)
    for call, text in [(lambda: scale(), "'x' is missing"), (lambda: scale(x, z=1), "no argument 'z'"), (lambda: scale(x, 1.0, x, x), "takes 3 arguments"),
                       (lambda: scale(object()), "type object"), (lambda: scale(np.array(["a"])), "format"), (lambda: scale.method("nothing"), "no method 'nothing'"),
                       (lambda: scale.infer([x]), "takes a dict")]:
        with pytest.raises(firesteel.Error, match=None) as raised:
            call()
        assert text in str(raised.value)
    with pytest.raises(firesteel.Error):
        scale(torch.empty(2, device="meta"))
    np.testing.assert_array_equal(scale(x + 1), x + 2)  # and the model is as it was


def test_numbers_text_and_containers(archives):
    echo = firesteel.load(archives / "Echo.pt")
    assert echo.method("numbers")(-3, 0.1, True, "grüße\n") == (-3, 0.1, True, "grüße\n")
    got = echo.method("containers")([1, 2], {"a": 1.5, "b": 2}, (7, "x"))
    assert got == ({"l": [1, 2]}, {"a": 1.5, "b": 2.0}, (7, "x"))
    assert echo.method("containers")([], {}, (0, "")) == ({"l": []}, {}, (0, ""))


def test_numpy_memory_goes_through(archives):
    echo = firesteel.load(archives / "Echo.pt")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert echo(x) is x  # the model returns its argument: the caller's own object


def test_torch_in_torch_out(scale, rich):
    x = torch.arange(6.0).reshape(2, 3)
    y = scale(x)
    assert isinstance(y, torch.Tensor) and torch.equal(y, x * 2)
    assert torch.equal(scale(x.clone().requires_grad_()), x * 2)
    assert torch.equal(scale(x.t()), x.t() * 2)
    tail, turned = rich.method("views")(x)
    assert tail.data_ptr() == x[1:].data_ptr() and turned.stride() == x.t().stride()
    tail[0, 0] = 50
    assert x[1, 0] == 50


def test_a_model_that_writes_writes_into_the_callers_memory(rich):
    x = np.zeros(3, np.float32)
    assert rich.method("write")(x) is x
    assert list(x) == [1, 1, 1]
    t = torch.zeros(3)
    rich.method("write")(t)
    assert t.tolist() == [1, 1, 1]
    fixed = np.zeros(3, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(firesteel.Error, match="read-only"):
        rich.method("write")(fixed)
    assert list(fixed) == [0, 0, 0]


def test_other_lenders_of_memory(scale):
    class Interface:
        def __init__(self, array):
            self.array = array
            self.__array_interface__ = array.__array_interface__

    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(scale(Interface(x)), x * 2)
    np.testing.assert_array_equal(scale(memoryview(x)), x * 2)
    np.testing.assert_array_equal(scale(x[::-2]), x[::-2] * 2)
    import array
    np.testing.assert_array_equal(scale(array.array("f", [1, 2])), [2, 4])


def test_results_hold_their_memory(archives):
    x = np.ones(1000, np.float32)
    seen = weakref.ref(x)
    views = firesteel.load(archives / "Rich.pt").method("views")
    tail, turned = views(x.reshape(10, 100))
    del x, views
    gc.collect()
    assert seen() is not None and tail.sum() == 900 and turned.shape == (100, 10)
    del tail, turned
    gc.collect()
    assert seen() is None


def test_element_types(rich):
    x = np.array([-1.5, 0, 2], np.float32)
    double, whole, positive, half, brain = rich.method("types")(x)
    assert (double.dtype, whole.dtype, positive.dtype, half.dtype) == (np.float64, np.int64, np.bool_, np.float16)
    assert list(whole) == [-1, 0, 2] and list(positive) == [False, False, True]
    assert isinstance(brain, firesteel.Tensor) and brain.dtype == "bfloat16" and brain.shape == (3,)
    assert torch.equal(torch.from_dlpack(brain), torch.from_numpy(x).to(torch.bfloat16))
    assert rich.method("types")(torch.from_numpy(x))[4].dtype == torch.bfloat16


def test_named_tuples_come_back(rich):
    point, points = rich(np.zeros(2, np.float32))
    assert point._fields == ("x", "n") and point.n == 3 and list(point.x) == [1, 1]
    assert points[0].n == 3


def test_objects_and_enum_members_come_back(archives):
    model = firesteel.load(archives / "Classes.pt")
    crate = model.method("crate")("pears")  # compiled first: numbers of classes do not depend on that
    box = model(np.zeros(2, np.float32))
    assert repr(crate) == "Crate(label='pears!')" and crate.label == "pears!"
    assert list(box.content) == [1, 1] and box.n == 2 and repr(box).startswith("Box(")
    assert repr(model.method("color")(2)) == "Color.BLUE" and model.method("color")(0).name == "RED"


def test_ops_without_native_code_run_through_libtorch(archives):
    model = firesteel.load(archives / "Foreign.pt")
    x = np.array([[2, 0], [0, 4]], np.float32)
    np.testing.assert_allclose(model(x), np.linalg.inv(x) + torch.cholesky_inverse(torch.from_numpy(x)).numpy())
    model(x)
    fell_back = model.report()["fallback_ops"]
    assert fell_back["aten::linalg_inv"] == 2 and fell_back["aten::cholesky_inverse"] == 2
    with pytest.raises(firesteel.Error, match="aten::linalg_inv") as raised:
        firesteel.compile(archives / "Foreign.pt", inputs={"x": "f32[2, 2]"}, out=archives / "no.fst")
    assert "aten::cholesky_inverse" in str(raised.value)
    with pytest.raises(firesteel.Error, match="singular") as raised:
        model(np.zeros((2, 2), np.float32))
    assert raised.value.location.startswith("code/__torch__/")  # though libtorch, which refused, knows of no model


def test_exceptions_carry_class_text_and_line(rich):
    fails = rich.method("fails")
    assert fails(2) == 2
    with pytest.raises(firesteel.Error, match="n is 3, at most 2") as raised:
        fails(3)
    assert raised.value.kind == "ValueError"
    assert raised.value.text == "n is 3, at most 2"
    assert raised.value.location.startswith("code/__torch__/")
    assert fails(1) == 1


def test_state_is_per_instance(archives):
    one = firesteel.load(archives / "Counter.pt")
    assert [one(np.ones(2, np.float32)) for _ in range(3)] == [1, 2, 3]
    two = one.clone()
    assert one(np.ones(3, np.float32)) == 4
    assert two(np.zeros(2, np.float32)) == 4
    assert list(one.method("latest")()) == [1, 1, 1] and list(two.method("latest")()) == [0, 0]


def test_sizes_cost_two_compilations(archives):
    model = firesteel.load(archives / "Scale.pt")
    sizes = [(4,)] * 3 + [(n % 7,) for n in range(50)]
    for size in sizes:
        x = np.random.rand(*size).astype(np.float32)
        np.testing.assert_array_equal(model(x, 3.0), x * np.float32(3))
    report = model.report()
    assert report["compiles"] == 2 and report["fallback_ops"] == {} and report["kernels"] >= 1
    assert sum(s["calls"] for s in report["signatures"]) == len(sizes)


def test_threads_share_an_instance_and_compile_once(archives):
    model, wrong = firesteel.load(archives / "Scale.pt"), []

    def work(seed):
        for i in range(50):
            x = np.full(16, seed + i, np.float32)
            if not np.array_equal(model(x), x * 2):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and model.report()["compiles"] == 1


def test_it_says_what_it_holds(archives, scale):
    assert scale.methods == ["forward"]
    assert "x: Tensor, k: float = ..., offset: Optional[Tensor] = ..." in repr(scale)
    scale(np.zeros(2, np.float32))
    assert "aten::mul" in scale.graph and "aten::mul" in scale.inlined_graph
    assert "f32[" in scale.dump("typed")
    assert "def forward" in scale.code


def test_ahead_of_time(archives, tmp_path):
    out = tmp_path / "scale.fst"
    assert firesteel.compile(archives / "Scale.pt", inputs={"x": "f32[N, 3]", "offset": "None"}, out=out) == str(out)
    model = firesteel.load(out, allow_compile=False)
    x = np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(model(x), x * 2)
    with pytest.raises(firesteel.Error, match=r"argument 'x': expected f32\[s0, 3\], found f32\[5, 4\]"):
        model(np.ones((5, 4), np.float32))
    with pytest.raises(firesteel.Error):
        firesteel.compile(archives / "Scale.pt", inputs={"x": "f99[N]"}, out=tmp_path / "no.fst")
    assert not (tmp_path / "no.fst").exists()
    scripted = firesteel.load(firesteel.compile(torch.jit.script(Scale()), inputs={"x": x, "offset": None}, out=tmp_path / "s.fst"))
    np.testing.assert_array_equal(scripted(x), x * 2)


def test_what_cannot_be_opened(archives, tmp_path):
    empty = tmp_path / "empty.pt"
    empty.write_bytes(b"")
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as z:
        z.writestr("hello.txt", "x")
    cut = tmp_path / "cut.pt"
    cut.write_bytes((archives / "Scale.pt").read_bytes()[:2000])
    for path in (tmp_path / "absent.pt", empty, other, cut, tmp_path):
        with pytest.raises(firesteel.Error) as raised:
            firesteel.load(path)
        assert "\n" not in str(raised.value) and str(path) in str(raised.value)
    with pytest.raises(firesteel.Error, match="not a compiled artifact"):
        firesteel.load(archives / "Scale.pt", allow_compile=False)
    with pytest.raises(firesteel.Error, match="unknown device 'tpu': expected cpu, cuda, or cuda:N"):
        firesteel.load(archives / "Scale.pt", device="tpu")
    with pytest.raises(firesteel.Error, match="no-such-worker"):
        firesteel.load(archives / "Scale.pt", worker="/no-such-worker")


def children():
    """Process ids of this process's workers."""
    mine = str(os.getpid())
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        name, rest = stat[stat.index("(") + 1:].rsplit(")", 1)
        if rest.split()[1] == mine and name.startswith("firesteel-work"):
            found.append(int(entry.name))
    return found


def test_models_share_one_warm_worker(archives):
    x = np.ones(3, np.float32)
    first = firesteel.load(archives / "Scale.pt")
    mine = children()
    assert len(mine) == 1
    second = firesteel.load(archives / "Echo.pt")
    np.testing.assert_array_equal(first(x), x * 2)
    assert second.method("numbers")(1, 0.5, True, "s") == (1, 0.5, True, "s")
    del first, second
    gc.collect()
    firesteel.load(archives / "Scale.pt")
    assert children() == mine


def test_a_killed_worker_is_replaced(archives):
    model = firesteel.load(archives / "Scale.pt")
    killed = children()
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    x = np.ones(3, np.float32)
    np.testing.assert_array_equal(model(x), x * 2)
    assert children() and not set(killed) & set(children())


def test_a_worker_that_dies_over_its_work_is_an_error(archives, tmp_path):
    fake = tmp_path / "worker"
    fake.write_text("#!/bin/sh\nkill -SEGV $$\n")
    fake.chmod(0o755)
    with pytest.raises(firesteel.Error, match="ended unexpectedly"):
        firesteel.load(archives / "Scale.pt", worker=str(fake))


def test_a_forked_process_has_a_worker_of_its_own(archives):
    model = firesteel.load(archives / "Scale.pt")
    mine = children()
    pid = os.fork()
    if pid == 0:
        try:
            ok = (model(np.ones(3, np.float32)) == 2).all() and children() and not set(children()) & set(mine)
            os._exit(0 if ok else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    np.testing.assert_array_equal(model(np.ones(4, np.float32)), np.full(4, 2))
    assert children() == mine


def test_the_host_stays_small(archives):
    """In a process of its own: numpy in, numpy out, and neither LLVM nor libtorch nor our compiler in its maps."""
    code = f"""
import numpy as np, firesteel
m = firesteel.load({str(archives / 'Scale.pt')!r})
assert (m(np.ones(3, np.float32)) == 2).all()
maps = open('/proc/self/maps').read()
assert 'libfiresteel_rt.so' in maps
for name in ('LLVM', 'libtorch', 'libc10', 'libfiresteel.so', 'libfiresteel_torch.so', 'libstdc++'):
    assert name not in maps or name == 'libstdc++', name
import sys
assert 'torch' not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_without_numpy(archives):
    code = f"""
import sys
sys.modules['numpy'] = None
import array, firesteel
y = firesteel.load({str(archives / 'Scale.pt')!r})(array.array('f', [1, 2]))
assert isinstance(y, firesteel.Tensor) and y.shape == (2,) and y.dtype == 'float32'
assert memoryview(y).tolist() == [2.0, 4.0]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_nothing_leaks(scale):
    x = np.ones(1000, np.float32)
    base = sys.getrefcount(x)
    for _ in range(200):
        scale(x)
        try:
            scale(x, "no")
        except firesteel.Error:
            pass
    gc.collect()
    assert sys.getrefcount(x) == base


def test_a_dict_as_an_example(tmp_path):
    class Sum(torch.nn.Module):
        def forward(self, inputs: dict[str, torch.Tensor]):
            return inputs["x"] + inputs["y"]

    torch.jit.script(Sum()).save(str(tmp_path / "sum.pt"))
    given = {"x": np.ones(3, np.float32), "y": np.full(3, 2, np.float32)}
    out = firesteel.compile(tmp_path / "sum.pt", inputs=[given], out=tmp_path / "sum.fst")
    np.testing.assert_array_equal(firesteel.load(out)(given), np.full(3, 3, np.float32))
