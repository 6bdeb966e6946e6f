"""The command line: what it does, and how it refuses: exit code, one clear line, nothing half-written."""
import json
import os
import re
import pathlib
import sys
import zipfile
from html.parser import HTMLParser

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import ADD, SAME, fail, run, succeed, write  # noqa: E402

TYPES = ("--input", "x: f32[N]", "--input", "y: f32[N]")
COMMANDS = ["run", "compile", "bench", "check", "dump", "inspect", "opt"]


@pytest.fixture
def add(tmp_path):
    return write(tmp_path / "add.ir", ADD)


@pytest.fixture
def compiled(add):
    out = add.with_suffix(".fst")
    succeed("compile", add, "-o", out, *TYPES)
    return out


@pytest.fixture
def arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.array([1, 2, 3], np.float32))
    np.save(tmp_path / "y.npy", np.array([10, 20, 30], np.float32))
    return "--input", f"x={tmp_path}/x.npy", "--input", f"y={tmp_path}/y.npy"


# ---- help and usage ----

def test_help_names_every_command():
    text = succeed("--help")
    for command in COMMANDS:
        assert f"firesteel {command}" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each(command):
    assert succeed(command, "--help").startswith(f"firesteel {command}")


@pytest.mark.parametrize("args, part", [
    (("nonsense",), "unknown command 'nonsense'"),
    (("run",), "missing argument"),
    (("run", "a", "b"), "unexpected argument 'b'"),
    (("run", "a", "--nonsense"), "unknown option '--nonsense'"),
    (("run", "a", "--input"), "needs a value"),
    (("run", "a", "--repeat", "many"), "needs a number"),
    (("run", "a", "--report=1"), "takes no value"),
    (("compile", "a"), "missing -o FILE"),
    (("opt",), "missing argument"),
])
def test_usage(args, part):
    assert part in fail(*args, code=2)


# ---- what works ----

def test_run_in_memory(add, arrays):
    assert succeed("run", add, *arrays) == "result = f32[3] [11, 22, 33]\n"


def test_run_compiled(compiled, arrays):
    assert succeed("run", compiled, "--no-compile", *arrays) == "result = f32[3] [11, 22, 33]\n"


def test_positional_and_npz(compiled, tmp_path):
    np.savez(tmp_path / "in.npz", x=np.float32([1, 2]), y=np.float32([[3], [4]])[:, 0])
    assert succeed("run", compiled, "--inputs", tmp_path / "in.npz") == "result = f32[2] [4, 6]\n"
    assert "missing" in fail("run", compiled, "--input", "f32[2]")


def test_output_file(compiled, arrays, tmp_path):
    succeed("run", compiled, *arrays, "--output", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.float32([11, 22, 33]))


@pytest.mark.parametrize("array", [
    np.arange(6, dtype=np.int64).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    np.array(3, np.int32), np.zeros((0, 4), np.float32), np.array([True, False]), np.arange(3, dtype=np.uint8), np.float16([0.5, -2]),
], ids=lambda a: f"{a.dtype}{list(a.shape)}")
def test_arrays_keep_their_values(array, tmp_path):
    model = write(tmp_path / "same.ir", SAME % ("Tensor", "Tensor"))
    np.save(tmp_path / "in.npy", array)
    succeed("run", model, "--input", f"x={tmp_path}/in.npy", "--output", tmp_path / "out.npy")
    out = np.load(tmp_path / "out.npy")
    assert out.dtype == array.dtype
    np.testing.assert_array_equal(out, array)


@pytest.mark.parametrize("kind, value, shown", [
    ("int", "16000", "result = 16000"), ("int", "-3", "result = -3"), ("float", "1.5", "result = 1.5"), ("float", "1e-3", "result = 0.001"),
    ("bool", "true", "result = True"), ("str", '"a b"', "result = a b"), ("List[int]", "[1, 2]", "result[0] = 1\nresult[1] = 2"),
    ("Tuple[int, str]", "(1, 'x')", "result[0] = 1\nresult[1] = x"), ("Dict[str, int]", '{"a": 1}', 'result["a"] = 1'), ("Optional[int]", "none", "result = None"),
])
def test_literals(kind, value, shown, tmp_path):
    model = write(tmp_path / "same.ir", SAME % (kind, kind))
    assert succeed("run", model, "--input", f"x={value}") == shown + "\n"


def test_same_input_same_bytes(add, tmp_path):
    for name in ("one.fst", "two.fst"):
        succeed("compile", add, "-o", tmp_path / name, *TYPES)
    assert (tmp_path / "one.fst").read_bytes() == (tmp_path / "two.fst").read_bytes()


def test_artifact_is_a_stored_zip_with_aligned_members(compiled):
    with zipfile.ZipFile(compiled) as z:
        assert z.testzip() is None
        names = z.namelist()
        assert {"0/compiled/plan.bin", "0/compiled/x86-64-v3/code.bin", "0/compiled/x86-64-v4/code.bin", "0/compiled/weights.bin"} <= set(names)
        for info in z.infolist():
            assert info.compress_type == zipfile.ZIP_STORED and info.date_time == (2000, 1, 1, 0, 0, 0)
            with open(compiled, "rb") as f:
                f.seek(info.header_offset + 26)
                name_len, extra_len = int.from_bytes(f.read(2), "little"), int.from_bytes(f.read(2), "little")
            start = info.header_offset + 30 + name_len + extra_len
            if info.filename.endswith("code.bin"):
                assert start % 4096 == 0
            if info.filename.endswith("weights.bin"):
                assert start % 65536 == 0


def test_inspect(compiled):
    told = json.loads(succeed("inspect", compiled))
    assert [t["name"] for t in told["targets"]] == ["x86-64-v3", "x86-64-v4"] and all(t["intact"] for t in told["targets"])
    assert told["methods"][0]["name"] == "forward"
    assert told["methods"][0]["signatures"][0]["arguments"] == {"x": "f32[s0]", "y": "f32[s0]"}
    assert told["fallback_ops"] == [] and told["weights"]["damaged_megabytes"] == 0


def lines(text):
    return [line for line in text.splitlines() if line]


def test_dump_parses_back(add, tmp_path):
    for stage in ("imported", "inlined", "typed", "functional", "fused", "planned"):
        text = succeed("dump", add, "--stage", stage, *TYPES)
        assert f'function "forward" {stage} (' in text
        write(tmp_path / "again.ir", text)
        without_places = re.sub(r"  # .*", "", text)
        assert lines(succeed("opt", tmp_path / "again.ir", "--round-trip")) == lines(without_places)
    assert "define " in succeed("dump", add, "--stage", "llvm", *TYPES)
    assert ".text" in succeed("dump", add, "--stage", "asm", *TYPES)


class Page(HTMLParser):
    """The text of a page and its boxes: (classes, summary) with the depth they stand at."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.boxes, self.values = [], "", [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag in ("meta", "input"):
            return
        self.open.append((tag, dict(attributes).get("class", "")))
        if tag == "details":
            self.boxes.append((dict(attributes)["class"].split()[1], sum(t == "details" for t, _ in self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if any(tag == "main" for tag, _ in self.open):
            self.text += data
            if self.open[-1] == ("span", "v"):
                self.values.append(data)


BRANCHES = """firesteel.module 1
file 0 "code/a<b>.py"
function "forward" imported (%x : Tensor, %c : bool) -> (Tensor) {
  %r : Tensor = prim::If(%c) {  @0:3
    %a : Tensor = aten::relu(%x)  @0:4
    yield %a
  } {
    yield %x
  }
  return %r
}
"""


def test_dump_as_a_page(add, tmp_path):
    text = succeed("dump", add, "--stage", "planned", *TYPES)
    page = Page(succeed("dump", add, "--stage", "planned", "--html", *TYPES))
    assert not page.open
    assert [kind for kind, _ in page.boxes] == ["tables", "function"] + ["group"] * text.count("fst::group(")
    assert page.values == re.findall(r"%\w+", text)
    without_braces = lambda s: re.sub(r"\s+|[{}]", "", s.replace("Files, storages and tensors", ""))  # noqa: E731
    assert without_braces(page.text) == without_braces(text)


def test_a_page_nests_as_the_regions_do(tmp_path):
    page = succeed("dump", write(tmp_path / "branches.ir", BRANCHES), "--html")
    assert Page(page).boxes == [("tables", 1), ("function", 1), ("branch", 2), ("branch", 2)]
    assert "otherwise" in Page(page).text and "code/a&lt;b&gt;.py" in page and "<b>" not in page
    assert '<span class=at title="code/a&lt;b&gt;.py">@0:4</span>' in page
    fail("dump", tmp_path / "branches.ir", "--html", "--stage", "asm", code=2)


def test_opt_lists_and_runs_passes(add):
    names = [line.split()[0] for line in succeed("opt", "--list").splitlines()]
    assert {"inline", "dce", "cse", "canonicalize"} <= set(names)
    assert "aten::add.Tensor" in succeed("opt", add, "--passes", "cse,dce", "--verify-each")
    assert "nonsense" in fail("opt", add, "--passes", "nonsense")


def test_check(add, compiled, tmp_path):
    inputs = ("--input", "x: f32[5]", "--input", "y: f32[5]")
    assert succeed("check", add, compiled, *inputs).startswith("equal")
    other = write(tmp_path / "sub.ir", ADD.replace("(%x, %y, 1)", "(%x, %y, 2)"))
    said = run("check", add, other, *inputs)
    assert said.returncode == 1 and "the results differ" in said.stderr


# ---- refusals ----

def test_missing_and_wrong_files(tmp_path):
    assert "no such file" in fail("run", tmp_path / "none.pt")
    assert "directory" in fail("run", tmp_path)
    assert "no such file" in fail("compile", tmp_path / "none.pt", "-o", tmp_path / "out.fst")
    garbage = tmp_path / "garbage.pt"
    garbage.write_bytes(b"\x00garbage" * 100)
    for command in (("run", garbage), ("dump", garbage), ("compile", garbage, "-o", tmp_path / "out.fst"), ("inspect", garbage)):
        assert "garbage.pt" in fail(*command)
    empty = tmp_path / "empty.pt"
    empty.write_bytes(b"")
    fail("run", empty)
    hollow = tmp_path / "hollow.pt"
    with zipfile.ZipFile(hollow, "w") as z:
        z.writestr("hollow/readme", "nothing")
    fail("run", hollow)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.pt", "garbage.pt", "hollow.pt"]


def test_output_that_exists(add, compiled):
    before = compiled.read_bytes()
    assert "exists" in fail("compile", add, "-o", compiled, "--input", "x: f64[N]", "--input", "y: f64[N]")
    assert compiled.read_bytes() == before
    succeed("compile", add, "-o", compiled, "--force", "--input", "x: f64[N]", "--input", "y: f64[N]")
    assert compiled.read_bytes() != before


def test_output_that_cannot_be(add, tmp_path):
    assert "no such file or directory" in fail("compile", add, "-o", tmp_path / "no/such/out.fst", *TYPES)
    assert "is a directory" in fail("compile", add, "-o", tmp_path, *TYPES)
    assert "the disk is full" in fail("compile", add, "-o", "/dev/full", *TYPES)
    assert [p.name for p in tmp_path.iterdir()] == ["add.ir"]


def test_failed_compilation_leaves_nothing(add, tmp_path):
    assert "'z'" in fail("compile", add, "-o", tmp_path / "out.fst", "--input", "z: f32[N]")
    fail("compile", add, "-o", tmp_path / "out.fst", "--input", "x: f32[N", "--input", "y: f32[N]")
    fail("compile", add, "-o", tmp_path / "out.fst", "--target", "pdp-11", *TYPES)
    assert [p.name for p in tmp_path.iterdir()] == ["add.ir"]


@pytest.mark.parametrize("inputs, parts", [
    (("x: f64[3]", "y: f32[3]"), ["x", "f32", "f64"]),
    (("x: f32[3, 1]", "y: f32[3]"), ["x", "f32[3, 1]"]),
    (("x: f32[3]", "y: f32[4]"), ["y", "4"]),
    (("x: f32[3]",), ["y", "missing"]),
    (("x: f32[3]", "y: f32[3]", "z: f32[3]"), ["z"]),
    (("x=3", "y: f32[3]"), ["x"]),
    (("x=[1", "y=2"), ["[1"]),
    (("x=none.npy",), ["none.npy"]),
])
def test_wrong_arguments(compiled, inputs, parts):
    said = fail("run", compiled, *(word for text in inputs for word in ("--input", text)))
    for part in parts:
        assert part in said


def test_unknown_method(compiled, add):
    for model in (compiled, add):
        assert "backward" in fail("run", model, "--method", "backward", "--input", "x: f32[1]", "--input", "y: f32[1]")


def test_no_compile(add):
    fail("run", add, "--no-compile", "--input", "x: f32[1]", "--input", "y: f32[1]")


def member_range(path, name):
    with zipfile.ZipFile(path) as z:
        info = z.getinfo(name)
    data = path.read_bytes()
    at = info.header_offset
    start = at + 30 + int.from_bytes(data[at + 26:at + 28], "little") + int.from_bytes(data[at + 28:at + 30], "little")
    return start, start + info.file_size


def flip(path, at, out):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    out.write_bytes(bytes(data))
    return out


def test_damaged_artifacts_are_refused(compiled, arrays, tmp_path):
    bad = tmp_path / "bad.fst"
    for name in ("0/compiled/plan.bin", "0/compiled/x86-64-v3/code.bin"):
        start, end = member_range(compiled, name)
        for at in {start, start + (end - start) // 2, end - 1}:
            flip(compiled, at, bad)
            assert "bad.fst" in fail("run", bad, "--target", "x86-64-v3", *arrays)
            said = run("inspect", bad)
            assert said.returncode == 1 and said.stderr
    whole = compiled.read_bytes()
    for length in (0, 10, 1000, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:length])
        fail("run", bad, *arrays)


def test_damaged_weights_are_found(tmp_path):
    torch = pytest.importorskip("torch")
    if not (pathlib.Path(os.environ.get("FST_BUILD", "build")) / "lib" / "libfiresteel_torch.so").exists():
        pytest.skip("built without libtorch")
    torch.jit.save(torch.jit.script(torch.nn.Linear(64, 64)), str(tmp_path / "linear.pt"))
    out = tmp_path / "linear.fst"
    succeed("compile", tmp_path / "linear.pt", "-o", out, "--input", "input: f32[N, 64]")
    start, end = member_range(out, "0/compiled/weights.bin")
    bad = flip(out, start + 100, tmp_path / "bad.fst")
    assert "the weights are damaged" in run("inspect", bad).stderr
    assert json.loads(run("inspect", bad).stdout)["weights"]["damaged_megabytes"] == 1
    assert run("run", bad, "--input", "input: f32[2, 64]").returncode in (0, 1)
    assert run("run", out, "--input", "input: f32[2, 64]").returncode == 0


def test_every_flipped_byte_of_the_directory(compiled, arrays, tmp_path):
    """The end of the file holds the zip directory: any change is refused or harmless, never a crash."""
    size = compiled.stat().st_size
    directory = compiled.read_bytes().rfind(b"PK\x05\x06")
    with zipfile.ZipFile(compiled) as z:
        start = z.start_dir
    good = succeed("run", compiled, *arrays)
    bad = tmp_path / "bad.fst"
    assert start < directory < size
    for at in range(start, size, 3):
        said = run("run", flip(compiled, at, bad), *arrays)
        assert said.returncode in (0, 1), (at, said)
        assert said.stdout in ("", good)
