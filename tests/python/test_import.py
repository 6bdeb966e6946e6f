"""Import: what the archive holds is in the module text, and its tensors' bytes are where the text says."""
import collections
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import zoo  # noqa: E402

BUILD = pathlib.Path(os.environ.get("FST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
CLI = BUILD / "bin" / "firesteel"
BRIDGE = BUILD / "lib" / "libfiresteel_torch.so"
pytestmark = [pytest.mark.skipif(not BRIDGE.exists(), reason="built without libtorch"), pytest.mark.filterwarnings("ignore")]

DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32, "b8": np.bool_, "u8": np.uint8, "f16": np.float16}


class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("eval", ctypes.c_bool), ("libraries", ctypes.c_void_p), ("library_count", ctypes.c_uint32)]


def bridge():
    return ctypes.CDLL(str(BRIDGE))


def raw_import(path, evaluate=False):
    """The importer's own text and the bytes of its side file."""
    text, length, side, error = ctypes.c_char_p(), ctypes.c_size_t(), ctypes.c_int(-1), ctypes.c_char_p()
    options = Options(ctypes.sizeof(Options), evaluate, None, 0)
    code = bridge().fst_torch_import(os.fsencode(path), ctypes.byref(options), ctypes.byref(text), ctypes.byref(length), ctypes.byref(side), ctypes.byref(error))
    if code:
        raise RuntimeError(error.value.decode())
    data = os.pread(side.value, os.fstat(side.value).st_size, 0)
    os.close(side.value)
    assert length.value == len(text.value)
    return text.value.decode(), data


def cli(*args):
    return subprocess.run([str(CLI), *map(str, args)], capture_output=True, text=True, timeout=120)


def dump(path):
    done = cli("dump", path, "--stage", "imported")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    return lambda name: zoo.silero_path() if name == "silero" else zoo.save(name, folder)


NAMES = zoo.names() + (["silero"] if zoo.silero_path() else [])


# ---- reading the text back, independently of the parser in C ----

class Text:
    def __init__(self, text):
        self.text = text
        self.files = re.findall(r'^file \d+ "(.*)"$', text, re.M)
        self.functions = dict(re.findall(r'^function "([^"]*)" imported (.*?)^}$', text, re.M | re.S))
        self.objects = {int(n): (cls, dict(re.findall(r'^  "([^"]*)" = (.*)$', body, re.M)))
                        for n, cls, body in re.findall(r'^object (\d+) "([^"]*)" {\n(.*?)^}$', text, re.M | re.S)}
        self.classes = {name: (kind, body) for name, kind, body in re.findall(r'^class "([^"]*)" (\w+[ \w]*) {\n(.*?)^}$', text, re.M | re.S)}
        self.storages = {int(n): (int(size), where, int(offset)) for n, size, where, offset in re.findall(r"^storage (\d+) bytes (\d+) (archive|side) (\d+)$", text, re.M)}
        self.tensors = {}
        for n, dtype, sizes, strides, storage, offset, grad in re.findall(r"^tensor (\d+) (\w+)\[([^\]]*)\](?:{([^}]*)})? storage (\d+) offset (\d+)( grad)?$", text, re.M):
            numbers = [tuple(map(int, x.split(", "))) if x else () for x in (sizes, strides)]
            self.tensors[int(n)] = (dtype, *numbers, int(storage), int(offset), bool(grad))
        self.root = int(re.search(r"^root object (\d+)$", text, re.M)[1])

    def attribute(self, path):
        """`a.b.c` from the root, as text: `tensor 3`."""
        value = f"object {self.root}"
        for name in path.split("."):
            value = self.objects[int(value.split()[1])][1][name]
        return value

    def tensor(self, path, archive, side):
        kind, number = self.attribute(path).split()
        assert kind == "tensor"
        dtype, sizes, strides, storage, offset, _ = self.tensors[int(number)]
        size, where, start = self.storages[storage]
        data = (archive if where == "archive" else side)[start:start + size]
        assert len(data) == size
        flat = np.frombuffer(data, DTYPES[dtype])
        return np.lib.stride_tricks.as_strided(flat[offset:], sizes, [s * flat.itemsize for s in strides])


def ops_of_text(body):
    """Names of the ops of a function's text, with how often they stand there."""
    found = collections.Counter(re.findall(r'op\["([^(]*)\(', body))
    found.update(re.findall(r"(?:= |^ +)(prim::\w+)[\[(]", body, re.M))
    return found


def ops_of_graph(block):
    found = collections.Counter()
    for node in block.nodes():
        kind = node.kind()
        schema = node.schema()
        name = schema.split("(")[0] if schema != "(no schema)" else kind
        if kind not in ("prim::Constant", "prim::Uninitialized", "prim::fork", "aten::wait"):
            found[name] += 1
        for inner in node.blocks():
            found.update(ops_of_graph(inner))
    return found


def methods(module, text):
    """The body, as text and as torch's graph, of every method of the module and its submodules."""
    for path, part in module.named_modules():
        number = int(text.attribute(path).split()[1]) if path else text.root
        written = dict(re.findall(r'^  method "([^"]*)" = "([^"]*)"$', text.classes[text.objects[number][0]][1], re.M))
        for name in part._c._method_names():
            yield text.functions[written[name].removesuffix("(hooked)")], part._c._get_method(name).graph


# ---- every model ----

@pytest.mark.parametrize("name", NAMES)
def test_accepted_by_parser_and_verifier(archive, name):
    out = dump(archive(name))
    assert out.startswith("firesteel.module 1\n")
    module = torch.jit.load(str(archive(name)))
    root = Text(out).root
    cls = Text(out).objects[root][0]
    written = Text(out).classes[cls][1]
    for method in module._c._method_names():
        assert f'method "{method}" = ' in written


@pytest.mark.parametrize("name", NAMES)
def test_ops_are_those_of_the_archive(archive, name):
    text = Text(raw_import(archive(name))[0])
    compared = 0
    for body, graph in methods(torch.jit.load(str(archive(name))), text):
        want = ops_of_graph(graph)
        got = ops_of_text(body)
        if name == "tasks":
            got -= collections.Counter(["prim::CallFunction"])
        assert got == want
        compared += sum(want.values())
    assert compared > 0


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_torchs_own(archive, name):
    known = {str(s) for s in torch._C._jit_get_all_schemas()}
    used = {s.replace('\\"', '"') for s in re.findall(r'op\["((?:[^"\\]|\\.)*)"\]', raw_import(archive(name))[0])}
    assert used - known == set()


@pytest.mark.parametrize("name", NAMES)
def test_tensors_lie_where_the_text_says(archive, name):
    text, side = raw_import(archive(name))
    data = archive(name).read_bytes()
    parsed = Text(text)
    module = torch.jit.load(str(archive(name)))
    tensors = list(module.named_parameters()) + list(module.named_buffers())
    for path, tensor in tensors:
        want = tensor.detach().numpy()
        got = parsed.tensor(path, data, side)
        assert got.dtype == want.dtype and got.strides == want.strides or tensor.numel() == 0
        np.testing.assert_array_equal(got, want, err_msg=path)
    used = [s for s in parsed.storages.values() if s[0]]
    if tensors:
        assert sum(s[1] == "archive" for s in used) > 0.9 * len(used)


@pytest.mark.parametrize("name", NAMES)
def test_import_is_deterministic_and_names_no_place(archive, name, tmp_path):
    elsewhere = tmp_path / archive(name).name
    shutil.copy(archive(name), elsewhere)
    text = raw_import(archive(name))[0]
    assert text == raw_import(elsewhere)[0]
    assert str(archive(name).parent) not in text
    for file in Text(text).files:
        assert file.startswith("code/") and not os.path.isabs(file)


@pytest.mark.parametrize("name", NAMES)
def test_locations_are_lines_of_the_archive(archive, name):
    text = Text(raw_import(archive(name))[0])
    with zipfile.ZipFile(archive(name)) as z:
        root = z.namelist()[0].split("/")[0]
        sources = [z.read(f"{root}/{file}").decode().splitlines() for file in text.files]
    checked = 0
    for body in text.functions.values():
        for op, file, line in re.findall(r'op\["aten::(\w+)[.(].*@(\d+):(\d+)$', body, re.M):
            assert 1 <= int(line) <= len(sources[int(file)])
            if op in ("relu", "conv2d", "linear", "lstm_cell", "batch_norm", "append", "stack", "cat"):
                assert op in sources[int(file)][int(line) - 1]
                checked += 1
    if name in ("resnet", "silero", "stack_loop"):
        assert checked > 0


# ---- what must not get lost ----

def test_sharing(archive):
    text = Text(raw_import(archive("shared"))[0])
    assert text.attribute("first") == text.attribute("second")
    assert text.attribute("first.linear.weight") == text.attribute("tied.weight")
    assert text.attribute("sizes").startswith("list ") and text.attribute("table").startswith("dict ")
    assert text.attribute("pair") == '(1, "two")'
    assert re.search(r'^list \d+ List\[int\] = \[1, 2, 3\]$', text.text, re.M)
    assert re.search(r'^list \d+ List\[str\] = \["x", "y"\]$', text.text, re.M)
    assert re.search(r'^dict \d+ Dict\[str, int\] = {"a": 1, "b": 2}$', text.text, re.M)


def test_views_share_their_storage(archive):
    text = Text(raw_import(archive("buffers"))[0])
    history, row, columns = (text.tensors[int(text.attribute(name).split()[1])] for name in ("history", "row", "columns"))
    assert history[3] == row[3] == columns[3]
    assert row[4] == 3 and row[1] == (3,)
    assert columns[1] == (3, 4) and columns[2] == (1, 3)


def test_parameters_require_grad(archive):
    text = Text(raw_import(archive("no_grad"))[0])
    assert text.tensors[int(text.attribute("weight").split()[1])][5]
    body = text.functions["__torch__.zoo.hooks.NoGrad.forward"]
    assert body.index("prim::Enter(") < body.index("aten::mul") < body.index("prim::Exit(")


def test_control_flow(archive):
    body = Text(raw_import(archive("beam_search"))[0]).functions["__torch__.zoo.control.BeamSearch.forward"]
    assert "prim::Loop(" in body and "prim::If(" in body
    assert 'op["prim::RaiseException(str msg, str? cls=None) -> ()"]' in body or "prim::RaiseException(" in body
    assert '"builtins.ValueError"' in body
    assert re.search(r"\^\(%\d+ : int, .*\)$", body, re.M)  # a loop's counter and what it carries


def test_classes_and_tuples(archive):
    text = Text(raw_import(archive("classes"))[0])
    kind, body = text.classes["__torch__.zoo.classes.Accumulator"]
    assert kind == "plain"
    assert 'attr "items" : List[Tensor]' in body
    assert 'method "__len__" = "__torch__.zoo.classes.Accumulator.__len__"' in body
    assert 'NamedTuple["__torch__.zoo.classes.Point", x: Tensor, weight: float, label: str]' in text.text
    assert 'prim::CreateObject[name="__torch__.zoo.classes.Accumulator"]' in text.text


def test_enums(archive):
    text = Text(raw_import(archive("enums"))[0])
    kind, body = text.classes["__torch__.zoo.classes.Color"]
    assert kind == "enum int"
    assert body.splitlines() == ['  member "RED" = 1', '  member "GREEN" = 2', '  member "BLUE" = 7']
    assert text.attribute("color") == 'enum("__torch__.zoo.classes.Color", "GREEN")'
    assert 'enum("__torch__.zoo.classes.Color", "BLUE")' in text.functions["__torch__.zoo.classes.Enums.forward"]


def test_interfaces(archive):
    text = Text(raw_import(archive("interfaces"))[0])
    assert text.classes["__torch__.zoo.classes.Step"][0] == "interface"
    assert text.objects[int(text.attribute("step").split()[1])][0] == "__torch__.zoo.classes.Twice"


def test_hooks_run_once(archive):
    """Hooks of a part are calls in its caller's code; the root's are calls around its forward."""
    # Names are made unique where Python has scripted the same class before.
    text = Text(re.sub(r"___torch_mangle_\d+\.", "", raw_import(archive("hooks"))[0]))
    inner = text.functions["__torch__.zoo.hooks.Hooked.forward"]
    assert re.findall(r'prim::Call\w+\[name="([^"]*)"', inner) == ["__torch__.zoo.state.SharedPart.double_inputs", "forward", "__torch__.zoo.state.SharedPart.add_inputs"]
    outer = text.functions["__torch__.zoo.hooks.Hooked.forward(hooked)"]
    assert re.findall(r'prim::Call\w+\[name="([^"]*)"', outer) == ["__torch__.zoo.hooks.Hooked.watch", "__torch__.zoo.hooks.Hooked.double_inputs", "__torch__.zoo.hooks.Hooked.forward", "__torch__.zoo.hooks.Hooked.add_inputs"]
    assert 'method "forward" = "__torch__.zoo.hooks.Hooked.forward(hooked)"' in text.classes["__torch__.zoo.hooks.Hooked"][1]


def test_tasks_become_calls(archive):
    text = Text(raw_import(archive("tasks"))[0])
    assert "fork" not in re.sub(r'"[^"]*"', "", text.text) and "aten::wait" not in text.text
    assert 'prim::CallFunction[name="__torch__.zoo.hooks.Tasks.forward.fork0"]' in text.functions["__torch__.zoo.hooks.Tasks.forward"]
    assert 'prim::CallFunction[name="__torch__.zoo.hooks.scaled"]' in text.functions["__torch__.zoo.hooks.Tasks.forward.fork0"]


def test_types_asked_for(archive):
    text = raw_import(archive("unions"))[0]
    assert "prim::isinstance[type=Tuple[str]](" in text
    union = re.search(r"%value : Union\[(.*)\]\) ->", text)[1]
    assert sorted(union.split(", ")) == ["List[int]", "float", "int"]
    assert "Optional[int]" in text


def test_defaults(archive):
    assert "%limit : float = 10.0" in Text(raw_import(archive("multi_method"))[0]).functions["__torch__.zoo.state.Counter.checked"]


def test_evaluation_mode(tmp_path):
    path = tmp_path / "training.pt"
    torch.jit.script(torch.nn.Dropout()).save(str(path))
    assert Text(raw_import(path)[0]).attribute("training") == "true"
    assert Text(raw_import(path, evaluate=True)[0]).attribute("training") == "false"


@pytest.mark.skipif(not zoo.silero_path(), reason="no silero-vad")
def test_old_format(archive):
    with zipfile.ZipFile(archive("silero")) as z:
        assert int(z.read(next(n for n in z.namelist() if n.endswith("/version")))) == 3
    text = Text(raw_import(archive("silero"))[0])
    assert text.attribute("sample_rates").startswith("list ")
    assert text.attribute("_model") != text.attribute("_model_8k")
    assert any("lstm_cell" in body for body in text.functions.values())


class Values(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.floats = [0.1, 1e300, float("inf"), float("-inf"), 3.0]
        self.empty = torch.jit.Attribute([], list[torch.Tensor])
        self.nothing = torch.jit.Attribute(None, torch.Tensor | None)
        self.text = 'quote " backslash \\ line\nbell\x07 grüß'
        self.z = 1 + 2j
        self.device = torch.device("cpu")
        self.nested = {"a": [1, 2], "b": [3]}
        self.register_buffer("small", torch.arange(3, dtype=torch.float16))
        self.register_buffer("scalar", torch.tensor(5))
        self.register_buffer("none", torch.zeros(0, 3))
        self.register_buffer("strided", torch.arange(12.0).view(3, 4)[:, ::2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.floats[0]


def test_values(tmp_path):
    path = tmp_path / "values.pt"
    torch.jit.script(Values()).save(str(path))
    raw, side = raw_import(path)
    for text in (raw, dump(path)):
        assert "[0.1, 1e+300, inf, -inf, 3.0]" in text
        assert re.search(r"^list \d+ List\[Tensor\] = \[\]$", text, re.M)
        assert r'"text" = "quote \" backslash \\ line\nbell\x07 grüß"' in text
        assert '"z" = complex(1.0, 2.0)' in text
        assert '"device" = device("cpu")' in text
        assert '"nothing" = None' in text
        parsed = Text(text)
        assert parsed.tensors[int(parsed.attribute("scalar").split()[1])][:3] == ("i64", (), ())
        assert parsed.tensors[int(parsed.attribute("none").split()[1])][1] == (0, 3)
        np.testing.assert_array_equal(parsed.tensor("strided", path.read_bytes(), side), np.arange(12.0).reshape(3, 4)[:, ::2])
        np.testing.assert_array_equal(parsed.tensor("small", path.read_bytes(), side), np.arange(3, dtype=np.float16))


class Restored(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.ones(3)
        self.k = 1

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.w * 2, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.w = state[0] + 1
        self.training = state[1]
        self.k = 7

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.w * self.k


def test_state_restored_by_the_model(tmp_path):
    """What __setstate__ makes at loading is what is imported, though the archive holds something else."""
    path = tmp_path / "restored.pt"
    torch.jit.script(Restored()).save(str(path))
    raw, side = raw_import(path)
    text = Text(raw)
    np.testing.assert_array_equal(text.tensor("w", path.read_bytes(), side), np.full(3, 3, np.float32))
    assert text.attribute("k") == "7"


class Special(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_buffer("conjugate", torch.tensor([1 + 2j]).conj())
        self.register_buffer("small", torch.ones(3).to(torch.float8_e4m3fn))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conjugate


def test_tensors_of_other_kinds_are_named(tmp_path):
    path = tmp_path / "special.pt"
    torch.jit.script(Special()).save(str(path))
    raw, side = raw_import(path)
    text = Text(dump(path))
    assert text.attribute("sparse") == 'uninit(Opaque["a tensor of dtype Float and layout Sparse on cpu"])'
    assert text.attribute("small").startswith('uninit(Opaque["a tensor of dtype Float8_e4m3fn')
    storage = Text(raw).storages[Text(raw).tensors[int(Text(raw).attribute("conjugate").split()[1])][3]]
    assert storage[1] == "side" and np.frombuffer(side[storage[2]:storage[2] + 8], np.complex64)[0] == 1 - 2j


class Lazy(torch.nn.Module):
    def part(self, x: torch.Tensor, n: int) -> torch.Tensor:
        return x + n

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.jit._awaitable_wait(torch.jit._awaitable(self.part, x, 2)) * 2


def test_awaitables_become_calls(tmp_path):
    path = tmp_path / "lazy.pt"
    torch.jit.script(Lazy()).save(str(path))
    text = dump(path)
    assert "await" not in text
    assert 'prim::CallMethod[name="part"]' in text


def test_scripted_function(tmp_path):
    path = tmp_path / "function.pt"

    def scaled(x: torch.Tensor, by: int = 3) -> torch.Tensor:
        return x * by

    torch.jit.script(scaled).save(str(path))
    text = Text(dump(path))
    assert 'method "forward" = ' in text.classes[text.objects[text.root][0]][1]
    assert "%by : int" in text.text  # torch.jit.save drops a function's defaults


def test_frozen(tmp_path):
    path = tmp_path / "frozen.pt"
    torch.jit.freeze(zoo.build("resnet")).save(str(path))
    raw, side = raw_import(path)
    text = Text(raw)
    assert text.objects[text.root][1] == {}
    (body,) = text.functions.values()
    assert body.count("aten::conv2d") == 20 and "batch_norm" not in body  # folded by torch
    weights = re.findall(r"tensor \d+", body)
    assert len(weights) >= 40 and all(int(w.split()[1]) in text.tensors for w in weights)


def test_compressed_members_go_to_the_side_file(archive, tmp_path):
    """A zip that was packed again with compression has no weights that could be mapped."""
    path = tmp_path / "packed.pt"
    with zipfile.ZipFile(archive("resnet")) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for member in source.namelist():
            out.writestr(member, source.read(member))
    text, side = raw_import(path)
    parsed = Text(text)
    assert {where for size, where, _ in parsed.storages.values() if size} == {"side"}
    np.testing.assert_array_equal(parsed.tensor("conv1.weight", b"", side), torch.jit.load(str(path)).conv1.weight.detach().numpy())


# ---- bad input ----

def refused(path, *words):
    done = cli("dump", path, "--stage", "imported")
    assert done.returncode != 0
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr, done.stderr
    assert len(done.stderr) < 2000 and "frame #" not in done.stderr


def test_missing_file(tmp_path):
    refused(tmp_path / "none.pt", "none.pt")


def test_directory(tmp_path):
    refused(tmp_path, "directory")


def test_no_zip(tmp_path):
    path = tmp_path / "text.pt"
    path.write_text("this is no archive")
    refused(path, "text.pt")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.pt"
    path.write_bytes(b"")
    refused(path, "empty.pt")


def test_zip_without_the_members(tmp_path):
    path = tmp_path / "other.pt"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a/readme.txt", "hello")
    refused(path, "data.pkl")


def test_weights_only(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.ones(3)}, path)
    refused(path, "weights only", "torch.jit.save")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_truncated(archive, tmp_path, part):
    data = archive("resnet").read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(data[:int(len(data) * part)])
    refused(path, "truncated")


def test_flipped_code(archive, tmp_path):
    """Damage that only libtorch can see comes back as its message, not as a crash."""
    data = bytearray(archive("int_loop").read_bytes())
    with zipfile.ZipFile(archive("int_loop")) as z:
        member = next(m for m in z.infolist() if m.filename.endswith(".py"))
    name_length, extra_length = data[member.header_offset + 26], int.from_bytes(data[member.header_offset + 28:member.header_offset + 30], "little")
    start = member.header_offset + 30 + name_length + extra_length
    data[start + member.compress_size // 2] ^= 0xff
    path = tmp_path / "flipped.pt"
    path.write_bytes(data)
    refused(path, "flipped.pt")


def test_unknown_custom_op(tmp_path):
    script = """
import torch
lib = torch.library.Library("nowhere", "DEF")
lib.define("special(Tensor x) -> Tensor")
lib.impl("special", lambda x: x, "CPU")
@torch.jit.script
def f(x: torch.Tensor) -> torch.Tensor:
    return torch.ops.nowhere.special(x)
class M(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.nowhere.special(x)
torch.jit.script(M()).save("custom.pt")
"""
    (tmp_path / "make.py").write_text(script)
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path, check=True, capture_output=True)
    refused(tmp_path / "custom.pt", "nowhere::special")


# ---- whole archives in libtorch ----

class Val(ctypes.Structure):
    class Payload(ctypes.Union):
        _fields_ = [("i", ctypes.c_int64), ("f", ctypes.c_double), ("p", ctypes.c_void_p)]
    _anonymous_ = ("u",)
    _fields_ = [("tag", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("u", Payload)]


NONE, BOOL, INT, FLOAT = range(4)


class Model:
    """A model run by the bridge, on values that need no objects."""

    def __init__(self, path, mode=0):
        self.lib = bridge()
        self.handle, error = ctypes.c_void_p(), ctypes.c_char_p()
        code = self.lib.fst_torch_model_open(os.fsencode(path), mode, None, ctypes.byref(self.handle), ctypes.byref(error))
        if code:
            raise RuntimeError(error.value.decode())
        # The functions that make and count objects are not called for plain values.
        self.host = ctypes.create_string_buffer(256)

    def __call__(self, method, *args, **named):
        values = list(args) + list(named.values())
        array = (Val * (len(values) or 1))()
        for slot, value in zip(array, values):
            slot.tag = BOOL if isinstance(value, bool) else INT if isinstance(value, int) else FLOAT
            if isinstance(value, float):
                slot.f = value
            else:
                slot.i = value
        names = (ctypes.c_char_p * (len(values) or 1))(*[None] * len(args), *[n.encode() for n in named])
        out, error = Val(), ctypes.c_char_p()
        code = self.lib.fst_torch_call_method(self.handle, self.host, method.encode(), ctypes.c_int64(len(values)), array, names, ctypes.byref(out), ctypes.byref(error))
        if code:
            raise RuntimeError(f"{code} {error.value.decode()}")
        return {NONE: None, BOOL: bool(out.i), INT: out.i, FLOAT: out.f}[out.tag]

    def close(self):
        self.lib.fst_torch_model_close(self.handle)


class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, n: int, by: float = 0.5) -> float:
        if n < 0:
            raise ValueError("n is {}".format(n))
        self.count += n
        return self.count * by

    @torch.jit.export
    def is_odd(self) -> bool:
        return self.count % 2 == 1


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_model_in_libtorch(tmp_path, mode):
    path = tmp_path / "plain.pt"
    torch.jit.script(Plain()).save(str(path))
    model = Model(path, mode)
    assert model("forward", 3) == 1.5
    assert model("forward", 4, by=2.0) == 14.0
    assert model("forward", by=1.0, n=1) == 8.0
    assert model("is_odd") is False
    with pytest.raises(RuntimeError, match="^7 ValueError: n is -1$"):
        model("forward", -1)
    with pytest.raises(RuntimeError, match="'n' is missing"):
        model("forward")
    with pytest.raises(RuntimeError, match="no argument named 'm'"):
        model("forward", m=1)
    with pytest.raises(RuntimeError, match="given twice"):
        model("forward", 1, n=1)
    with pytest.raises(RuntimeError, match="no such method"):
        model("backward", 1)
    assert model("forward", 1, 1.0) == 9.0
    model.close()
