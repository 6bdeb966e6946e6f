"""What is not as it should be, through every door: an exit code or an error, one clear message, nothing half-written, and the
process and the models that it holds go on."""
import contextlib
import ctypes
import os
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import BUILD, FIRESTEEL, fail, run, succeed  # noqa: E402

torch = pytest.importorskip("torch")
if not (BUILD / "lib" / "libfiresteel_torch.so").exists():
    pytest.skip("built without libtorch", allow_module_level=True)
import firesteel  # noqa: E402

TYPES = ("--input", "x: f32[N, 4]", "--input", "y: f32[N, 4]")
INPUTS = ("--input", "x: f32[2, 4]", "--input", "y: f32[2, 4]")


class Add(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x, y):
        return self.linear(x) + y


class Hangs(torch.nn.Module):
    """Its loading never ends."""

    def __init__(self):
        super().__init__()
        self.n = 3

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return self.n, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]):
        self.training = state[1]
        i = 0
        while state[0] == 3:
            i += 1
        self.n = i

    def forward(self, x):
        return x + self.n


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    torch.manual_seed(0)
    torch.jit.script(Add().eval()).save(str(folder / "good.pt"))
    torch.jit.script(Hangs()).save(str(folder / "hangs.pt"))
    succeed("compile", folder / "good.pt", "-o", folder / "good.fst", *TYPES)
    return folder


@pytest.fixture(scope="module")
def good(folder):
    """A model that was loaded before: it has to answer all the time."""
    return firesteel.load(folder / "good.fst")


@pytest.fixture(autouse=True)
def goes_on(good):
    x = np.ones((3, 4), np.float32)
    before = good(x, x)
    yield
    np.testing.assert_array_equal(good(x, x), before)


# ---- files that are not models, through every door ----

def flipped(data, at):
    data = bytearray(data)
    data[at] ^= 0x10
    return bytes(data)


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as z:
        for name, text in members.items():
            z.writestr(name.replace("__", "/"), text)


def member(path, name):
    with zipfile.ZipFile(path) as z:
        info = z.getinfo(name)
    data = path.read_bytes()
    start = info.header_offset + 30 + sum(struct.unpack_from("<HH", data, info.header_offset + 26))
    return start, start + info.file_size


def make_missing(path, folder):
    pass


def make_folder(path, folder):
    path.mkdir()


def make_text(path, folder):
    path.write_text("echo hello\n" * 10)


def make_script(path, folder):
    """IR text may begin with a comment, too."""
    path.write_text("#!/bin/sh\nexit 0\n")


def make_empty(path, folder):
    path.write_bytes(b"")


def make_hollow(path, folder):
    zipped(path, readme="nothing")


def make_code_only(path, folder):
    zipped(path, m__version="3", m__constants_pkl="")


def make_cut_archive(path, folder):
    data = (folder / "good.pt").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def make_cut_artifact(path, folder):
    data = (folder / "good.fst").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def make_no_plan(path, folder):
    zipped(path, **{"0__compiled__weights.bin": "x" * 64})


def make_flipped_plan(path, folder):
    start, end = member(folder / "good.fst", "0/compiled/plan.bin")
    path.write_bytes(flipped((folder / "good.fst").read_bytes(), (start + end) // 2))


def make_flipped_code(path, folder):
    data = (folder / "good.fst").read_bytes()
    for level in ("x86-64-v3", "x86-64-v4"):
        data = flipped(data, member(folder / "good.fst", f"0/compiled/{level}/code.bin")[0] + 600)
    path.write_bytes(data)


def make_short_weights(path, folder):
    """The directory says less than the plan."""
    data = bytearray((folder / "good.fst").read_bytes())
    at = data.rfind(b"0/compiled/weights.bin") - 46
    size = struct.unpack_from("<I", data, at + 24)[0]
    struct.pack_into("<II", data, at + 20, size - 64, size - 64)
    path.write_bytes(bytes(data))


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def make_other_cpu(path, folder):
    """An artifact for feature levels that no CPU of today has."""
    data = bytearray((folder / "good.fst").read_bytes().replace(b"x86-64-v3", b"x86-64-v8").replace(b"x86-64-v4", b"x86-64-v9"))
    start, end = member(folder / "good.fst", "0/compiled/plan.bin")
    struct.pack_into("<I", data, start + 12, crc32c(bytes(data[start + 16:end])))
    path.write_bytes(bytes(data))


def make_other_version(path, folder):
    data = bytearray((folder / "good.fst").read_bytes())
    start, end = member(folder / "good.fst", "0/compiled/plan.bin")
    struct.pack_into("<I", data, start + 24, 999)
    struct.pack_into("<I", data, start + 12, crc32c(bytes(data[start + 16:end])))
    path.write_bytes(bytes(data))


BAD = [  # how it is made, and what every door says about it
    (make_missing, "no such file"), (make_folder, "directory"), (make_text, "not a zip file"), (make_script, "neither a TorchScript archive"), (make_empty, "not a zip file"), (make_hollow, "not a TorchScript archive"),
    (make_code_only, "not a TorchScript archive"), (make_cut_archive, "damaged"), (make_cut_artifact, "damaged"), (make_no_plan, "not a TorchScript archive"),
    (make_flipped_plan, "damaged"), (make_flipped_code, "damaged"), (make_short_weights, "weights"), (make_other_cpu, "x86-64-v8"), (make_other_version, "version"),
]


@pytest.fixture(params=BAD, ids=lambda p: p[0].__name__[5:])
def bad(request, folder, tmp_path):
    make, part = request.param
    path = tmp_path / "bad.fst"
    make(path, folder)
    return path, part


def test_the_command(bad):
    path, part = bad
    said = fail("run", path, *INPUTS)
    assert part in said and "bad.fst" in said


def test_python(bad):
    path, part = bad
    with pytest.raises(firesteel.Error) as raised:
        firesteel.load(path)
    assert part in str(raised.value) and "bad.fst" in str(raised.value)


def test_c(bad):
    path, part = bad
    code, text = c_open(path)
    assert 1 <= code <= 6 and part in text and "bad.fst" in text


def test_compile_leaves_nothing(bad, tmp_path):
    before = sorted(p.name for p in tmp_path.iterdir())
    assert "bad.fst" in fail("compile", bad[0], "-o", tmp_path / "out.fst", *TYPES)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", [("dump", "{}"), ("inspect", "{}"), ("bench", "{}", *INPUTS), ("check", "{}", "{}", *INPUTS)], ids=lambda c: c[0])
def test_other_commands(bad, command):
    if command[0] == "inspect" and bad[1] in ("damaged", "weights", "x86-64-v8", "version"):
        pytest.skip("inspect shows what it can of damaged ones: see below")
    assert "bad.fst" in fail(*(word.replace("{}", str(bad[0])) for word in command))


# ---- the C interface, as a C program would use it ----

@contextlib.contextmanager
def c_library():
    lib = ctypes.CDLL(str(BUILD / "lib" / "libfiresteel_rt.so"))
    for name in ("fst_open", "fst_infer"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.fst_failure_message.restype = ctypes.c_char_p
    lib.fst_failure_message.argtypes = lib.fst_failure_code.argtypes = lib.fst_failure_free.argtypes = lib.fst_close.argtypes = [ctypes.c_void_p]
    yield lib


def c_open(path):
    """(failure's code, its text); (0, "") when it opens."""
    with c_library() as lib:
        model = ctypes.c_void_p()
        failure = lib.fst_open(str(path).encode(), None, ctypes.byref(model))
        if not failure:
            lib.fst_close(model)
            return 0, ""
        told = lib.fst_failure_code(failure), lib.fst_failure_message(failure).decode()
        lib.fst_failure_free(failure)
        assert not model.value
        return told


def test_c_takes_nothing_for_granted(folder):
    with c_library() as lib:
        model, result = ctypes.c_void_p(), ctypes.c_void_p()
        for call in (lambda: lib.fst_open(None, None, ctypes.byref(model)), lambda: lib.fst_open(b"x", None, None), lambda: lib.fst_infer(None, None, None, ctypes.c_size_t(0), ctypes.byref(result))):
            failure = call()
            assert failure and lib.fst_failure_code(failure) == 1
            lib.fst_failure_free(failure)
        assert not lib.fst_open(str(folder / "good.fst").encode(), None, ctypes.byref(model))
        failure = lib.fst_infer(model, b"forward", None, ctypes.c_size_t(0), ctypes.byref(result))
        assert b"'x' is missing" in lib.fst_failure_message(failure)
        lib.fst_failure_free(failure)
        lib.fst_close(model)


# ---- cut anywhere ----

@pytest.mark.parametrize("name, steps", [("good.fst", 150), ("good.pt", 40)])
def test_cut_anywhere(folder, tmp_path, name, steps):
    data, path = (folder / name).read_bytes(), tmp_path / "cut.fst"
    for length in sorted({len(data) * i // steps for i in range(steps)} | {len(data) - k for k in (1, 2, 21, 22, 23, 60)}):
        path.write_bytes(data[:length])
        with pytest.raises(firesteel.Error, match="cut.fst"):
            firesteel.load(path)


def test_a_file_that_shrinks_while_it_is_used(folder, tmp_path):
    """Replacing the file is safe: the model goes on with the old one."""
    path = tmp_path / "model.fst"
    path.write_bytes((folder / "good.fst").read_bytes())
    model = firesteel.load(path)
    x = np.ones((1, 4), np.float32)
    before = model(x, x)
    other = tmp_path / "other.fst"
    other.write_bytes(b"short")
    os.replace(other, path)
    np.testing.assert_array_equal(model(x, x), before)
    with pytest.raises(firesteel.Error, match="model.fst"):
        firesteel.load(path)


# ---- arguments ----

ONES = np.ones((2, 4), np.float32)


@pytest.mark.parametrize("args, named, parts", [
    ((ONES.astype(np.float64), ONES), {}, ["'x'", "f32", "f64"]),
    ((ONES[0], ONES), {}, ["'x'", "f32[4]"]),
    ((np.ones((2, 5), np.float32), ONES), {}, ["'x'", "f32[2, 5]"]),
    ((ONES, np.ones((3, 4), np.float32)), {}, ["'y'", "3", "2"]),
    ((ONES,), {}, ["'y'", "missing"]),
    ((ONES, ONES, ONES), {}, ["takes 2 arguments, 3"]),
    ((ONES,), {"z": ONES}, ["no argument 'z'", "x, y"]),
    ((ONES,), {"x": ONES}, ["'x' is given twice"]),
    ((ONES, None), {}, ["'y'", "None"]),
    ((ONES, "text"), {}, ["'y'", "str"]),
    ((ONES, [ONES]), {}, ["'y'", "List of 1"]),
    ((ONES, np.array(["a"])), {}, ["'y'"]),
    ((ONES, object()), {}, ["'y'", "object"]),
    ((), {"x": ONES, "y": {1, 2}}, ["'y'", "set"]),
])
def test_arguments(good, args, named, parts):
    with pytest.raises(firesteel.Error) as raised:
        good(*args, **named)
    for part in parts:
        assert part in str(raised.value), str(raised.value)


def test_methods(good):
    with pytest.raises(firesteel.Error, match="no method 'backward'"):
        good.method("backward")


# ---- archives that we cannot run ----

def test_an_unknown_op(tmp_path):
    library = torch.library.Library("firesteel_tests", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")

    class Twice(torch.nn.Module):
        def forward(self, x):
            return torch.ops.firesteel_tests.twice(x)

    torch.jit.script(Twice()).save(str(tmp_path / "twice.pt"))
    del library
    for said in (fail("run", tmp_path / "twice.pt", "--input", "x: f32[2]"), fail("compile", tmp_path / "twice.pt", "-o", tmp_path / "out.fst", "--input", "x: f32[2]")):
        assert "firesteel_tests::twice" in said
    with pytest.raises(firesteel.Error, match="firesteel_tests::twice"):
        firesteel.load(tmp_path / "twice.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["twice.pt"]


def test_ops_without_native_code_are_named_all_at_once(tmp_path):
    class Two(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x), torch.linalg.qr(x)[1]

    torch.jit.script(Two()).save(str(tmp_path / "two.pt"))
    said = fail("compile", tmp_path / "two.pt", "-o", tmp_path / "out.fst", "--input", "x: f32[4, 4]")
    assert "linalg_svdvals" in said and "linalg_qr" in said and "code/__torch__" in said and "--allow-fallback" in said
    assert [p.name for p in tmp_path.iterdir()] == ["two.pt"]


# ---- time, workers, disks ----

def test_loading_that_hangs(folder, tmp_path):
    assert "--time-limit" in fail("run", folder / "hangs.pt", "--input", "x: f32[2]", "--time-limit", "1", timeout=60)
    assert "1 seconds" in fail("compile", folder / "hangs.pt", "-o", tmp_path / "out.fst", "--input", "x: f32[2]", "--time-limit", "1", timeout=60)
    with pytest.raises(firesteel.Error, match="longer than the limit of 1 seconds"):
        firesteel.load(folder / "hangs.pt", time_limit=1)
    assert not list(tmp_path.iterdir())


def workers():
    found = []
    for children in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in children.read_text().split() if "firesteel-work" in pathlib.Path(f"/proc/{pid}/comm").read_text()]
    return found


def test_a_worker_killed_at_work(folder):
    told = []

    def load():
        try:
            firesteel.load(folder / "hangs.pt", time_limit=60)
        except firesteel.Error as e:
            told.append(str(e))

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    deadline = time.time() + 30
    while time.time() < deadline and not told:
        time.sleep(1)  # it has begun, and will not end
        for pid in workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert not thread.is_alive() and "hangs.pt" in told[0] and "Killed" in told[0]
    again = firesteel.load(folder / "good.pt")
    assert again(ONES, ONES).shape == (2, 4)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_killed_compilation_leaves_nothing(folder, tmp_path, how):
    p = subprocess.Popen([str(FIRESTEEL), "compile", str(folder / "hangs.pt"), "-o", str(tmp_path / "out.fst"), "--input", "x: f32[2]"], stderr=subprocess.DEVNULL)
    time.sleep(0.7)
    assert p.poll() is None
    p.send_signal(how)
    assert p.wait(20) != 0
    assert not list(tmp_path.iterdir())


def limited_files(size):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return limit


def test_a_disk_that_fills_up(folder, tmp_path):
    out = tmp_path / "out.fst"
    command = [str(FIRESTEEL), "compile", str(folder / "good.pt"), "-o", str(out), *TYPES]
    done = subprocess.run(command, preexec_fn=limited_files(20000), capture_output=True, text=True)
    assert done.returncode == 1 and "out.fst" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
    out.write_text("before")
    done = subprocess.run([*command, "--force"], preexec_fn=limited_files(20000), capture_output=True, text=True)
    assert done.returncode == 1 and out.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["out.fst"]


def test_no_room_for_results_of_the_command(folder):
    done = subprocess.run([str(FIRESTEEL), "run", str(folder / "good.fst"), *INPUTS], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "cannot write the output" in done.stderr


def test_out_that_exists_from_python(folder, tmp_path):
    out = tmp_path / "out.fst"
    firesteel.compile(folder / "good.pt", inputs={"x": "f32[N, 4]", "y": "f32[N, 4]"}, out=out)
    before = out.read_bytes()
    with pytest.raises(firesteel.Error, match="exists"):
        firesteel.compile(folder / "good.pt", inputs={"x": "f32[N, 4]", "y": "f32[N, 4]"}, out=out)
    assert out.read_bytes() == before


def test_damaged_weights_never_crash_and_are_found(folder, tmp_path):
    start, end = member(folder / "good.fst", "0/compiled/weights.bin")
    data, path = (folder / "good.fst").read_bytes(), tmp_path / "bad.fst"
    for at in range(start, end, max(1, (end - start) // 40)):
        path.write_bytes(flipped(data, at))
        assert firesteel.load(path)(ONES, ONES).shape == (2, 4)
        with pytest.raises(firesteel.Error, match="weights"):
            firesteel.load(path, verify_weights=True)
    found = run("inspect", path)
    assert found.returncode == 1 and "the weights are damaged" in found.stderr


def test_inspect_finds_what_is_damaged(folder, tmp_path):
    for make, part in ((make_flipped_plan, "damaged"), (make_flipped_code, "code.bin"), (make_short_weights, "weights.bin")):
        path = tmp_path / "bad.fst"
        make(path, folder)
        done = run("inspect", path)
        assert done.returncode == 1 and part in done.stderr and "bad.fst" in done.stderr, done.stderr
