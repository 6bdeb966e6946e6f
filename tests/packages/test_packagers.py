"""Writing packages: byte for byte what Neuropod writes, deterministic, tried at once; and that they run, compiled or not."""
import hashlib
import json
import pathlib
import pickle
import sys
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "cli"), str(pathlib.Path(__file__).resolve().parent)]
import firesteel  # noqa: E402
from firesteel.neuropod import create_python_neuropod, create_pytorch_neuropod, create_torchscript_neuropod, load_neuropod  # noqa: E402
from models import CASES, Addition, spec  # noqa: E402
from support import BUILD, fail, succeed  # noqa: E402

pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"), pytest.mark.filterwarnings("ignore")]


def equal(found, want):
    assert list(found) == list(want) or set(found) == set(want)
    for name, value in want.items():
        if np.asarray(value).dtype.kind == "U":
            assert found[name].tolist() == value.tolist()
        else:
            np.testing.assert_allclose(found[name], value)


def make(name, path, **more):
    model, inputs, outputs, data, expected = CASES[name]
    create_torchscript_neuropod(neuropod_path=path, model_name=name, module=torch.jit.script(model()), input_spec=inputs, output_spec=outputs,
                                test_input_data=data, test_expected_out=expected, **more)
    return path


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_round_trip(name, as_zip, tmp_path):
    """Packed, loaded, called, tested, compiled, and all of that again."""
    _, inputs, outputs, data, expected = CASES[name]
    package = make(name, tmp_path / "p", package_as_zip=as_zip)
    assert package.is_file() == as_zip
    compiled = tmp_path / "fast.neuropod"
    succeed("compile", package, "-o", compiled)
    succeed("compile", package, "-o", tmp_path / "stripped.neuropod", "--strip-source")
    for path, ahead in ((package, False), (compiled, True), (tmp_path / "stripped.neuropod", True)):
        with load_neuropod(path, allow_compile=not ahead) as model:
            assert (model.name, model.platform) == (name, "torchscript")
            assert model.inputs == [{**s, "shape": list(s["shape"])} for s in inputs] and model.outputs == [{**s, "shape": list(s["shape"])} for s in outputs]
            equal(model.infer(data), expected)
        said = succeed("test", path)
        assert f"{len(expected)} of {len(expected)} outputs" in said and ("equal to PyTorch" in said) == ("stripped" not in str(path))


def digest(data):
    return hashlib.sha256(data).hexdigest()


GOLDEN = "0309cf2117d887218e7edb4c918097a6a427fffcbf0a948115d32414b2b6e144"
PLATFORM_GOLDEN = "a52f77051501f426b04f865580ee81ad1c242e47c45dcc4108c673a95f12b755"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def code(tmp_path):
    root = tmp_path / "code"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "addition_model.py").write_text("def get_model(data_root):\n    return lambda x, y: {'out': x + y + float(open(data_root + '/offset.txt').read())}\n")
    (root / "deep" / "er" / "thing.py").write_text("")
    (root / "old.pyc").write_text("")
    (tmp_path / "offset.txt").write_text("0")
    return {"code_path_spec": [{"python_root": str(root), "dirs_to_package": [""]}], "entrypoint_package": "addition_model", "entrypoint": "get_model",
            "data_paths": [{"path": str(tmp_path / "offset.txt"), "packaged_name": "offset.txt"}]}


SPECS = {"input_spec": [spec("x", "float32", "batch_size"), spec("y", "float32", "batch_size")], "output_spec": [spec("out", "float32", "batch_size")]}
DATA = {"x": np.float32([1, 2]), "y": np.float32([3, 4])}


@pytest.mark.parametrize("create", [create_python_neuropod, create_pytorch_neuropod])
def test_python_packages_are_neuropods_own(create, code, tmp_path):
    create(neuropod_path=tmp_path / "p", model_name="addition_model", **SPECS, **code, test_input_data=DATA, test_expected_out={"out": np.float32([4, 6])},
           requirements="# pinned\nnumpy==2.0.0\n")
    with zipfile.ZipFile(tmp_path / "p") as z:
        names = z.namelist()
        assert names == sorted(names) and "0/code/old.pyc" not in names
        assert {"0/code/__init__.py", "0/code/deep/__init__.py", "0/code/deep/er/__init__.py", "0/data/offset.txt", "0/requirements.lock", "test_data.pkl"} < set(names)
        assert digest(z.read("config.json")) == GOLDEN
        assert digest(z.read("0/config.json")) == PLATFORM_GOLDEN
        assert digest(z.read("0/code/__init__.py")) == EMPTY
        assert z.read("0/requirements.lock") == b"numpy==2.0.0\n"
        manifest = json.loads(z.read("manifest.json"))
        assert manifest == {"files": {name: digest(z.read(name)) for name in names if name != "manifest.json"}, "manifest_version": 1}
        assert all(info.date_time == (2000, 1, 1, 0, 0, 0) for info in z.infolist())
    with pytest.raises(RuntimeError, match="Neuropod Error: .*is for the platform 'python'"):
        load_neuropod(tmp_path / "p")


def test_config_with_everything(tmp_path):
    """As json.dumps(indent=4, sort_keys=True) writes it, names that are not ASCII included."""
    (tmp_path / "op.so").write_bytes(b"no library")
    inputs = [spec("z\u00e4h\"l", "double"), spec("a\U0001f600", np.int8, 3, None, "N\n")]
    create_torchscript_neuropod(neuropod_path=tmp_path / "p", model_name="m\\", module=torch.jit.script(Addition()), input_spec=inputs, output_spec=[spec("o", "str", 1)],
                                custom_ops=[tmp_path / "op.so"], input_tensor_device={"z\u00e4h\"l": "CPU"}, default_input_tensor_device="GPU", platform_version_semver="^1.10")
    want = {"name": "m\\", "platform": "torchscript", "platform_version_semver": "^1.10", "custom_ops": ["op.so"],
            "input_spec": [{"name": "z\u00e4h\"l", "dtype": "float64", "shape": []}, {"name": "a\U0001f600", "dtype": "int8", "shape": [3, None, "N\n"]}],
            "output_spec": [{"name": "o", "dtype": "string", "shape": [1]}], "input_tensor_device": {"z\u00e4h\"l": "CPU", "a\U0001f600": "GPU"}}
    with zipfile.ZipFile(tmp_path / "p") as z:
        assert z.read("config.json").decode() == json.dumps(want, indent=4, sort_keys=True)
        assert z.read("0/ops/op.so") == b"no library"


def test_the_same_input_gives_the_same_bytes(tmp_path):
    torch.jit.save(torch.jit.script(Addition()), str(tmp_path / "m.pt"))
    for path in ("a", "b"):
        create_torchscript_neuropod(neuropod_path=tmp_path / path, model_name="m", module_path=tmp_path / "m.pt", **SPECS, test_input_data=DATA)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as z:
        assert z.read("0/data/model.pt") == (tmp_path / "m.pt").read_bytes()
        assert all(info.compress_type == zipfile.ZIP_DEFLATED or info.file_size < 10 for info in z.infolist() if info.filename == "0/data/model.pt")
    create_torchscript_neuropod(neuropod_path=tmp_path / "stored", model_name="m", module_path=tmp_path / "m.pt", **SPECS, zip_compression=zipfile.ZIP_STORED)
    with zipfile.ZipFile(tmp_path / "stored") as z:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in z.infolist())


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_package_that_fails_is_removed(code, tmp_path, as_zip):
    torchscript = {"module": torch.jit.script(Addition()), **SPECS, "neuropod_path": tmp_path / "p", "model_name": "m", "package_as_zip": as_zip}
    with pytest.raises(ValueError, match="out does not match expected value!"):
        create_torchscript_neuropod(**torchscript, test_input_data=DATA, test_expected_out={"out": np.float32([4, 7])})
    assert not (tmp_path / "p").exists()
    with pytest.raises(ValueError, match="All dims with symbol 'batch_size'"):
        create_torchscript_neuropod(**torchscript, test_input_data={**DATA, "y": np.float32([1])})
    assert not (tmp_path / "p").exists()
    with pytest.raises(ValueError, match="out does not match expected value!"):
        create_python_neuropod(neuropod_path=tmp_path / "p", model_name="m", **SPECS, **code, package_as_zip=as_zip, test_input_data=DATA, test_expected_out={"out": np.float32([4, 7])})
    assert not (tmp_path / "p").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["code", "offset.txt"]  # nothing half made is left


def test_test_data_need_not_be_kept(tmp_path):
    make("addition", tmp_path / "p", persist_test_data=False)
    with zipfile.ZipFile(tmp_path / "p") as z:
        assert "test_data.pkl" not in z.namelist()
    assert "holds no test data" in fail("test", tmp_path / "p")


@pytest.mark.parametrize("changes, text", [
    ({"module_path": "x"}, "Exactly one of 'module' and 'module_path'"),
    ({"model_name": 3}, "Field 'name' must be a string! Got value 3 of type int"),
    ({"input_spec": [spec("x", "complex128", 1)]}, "complex128 is not an allowed data type!"),
    ({"input_spec": [spec("x", "no such", 1)]}, "no such is not an allowed data type!"),
    ({"input_spec": [{"name": "x", "dtype": "float32", "shape": None}]}, "Field 'shape' must be a tuple! Got value None of type NoneType"),
    ({"input_spec": [spec(1, "float32")]}, "Field 'name' must be a string!"),
    *(({"input_spec": [spec("x", "float32", dim)]}, "All items in 'shape' must be either None, a string, or a positive integer.") for dim in (0, -1, 1.5, True)),
    ({"input_tensor_device": {"x": "TPU"}}, "Device must either be 'GPU' or 'CPU'"),
    ({"default_input_tensor_device": "gpu"}, "Device must either be 'GPU' or 'CPU'"),
    ({"input_tensor_device": {"q": "GPU"}}, "the input spec has no such tensor"),
    ({"zip_compression": zipfile.ZIP_LZMA}, "no other can be read by Neuropod"),
    ({"platform_version_semver": "a.b"}, "The provided platform version (a.b) was not a valid semver version or range."),
    ({"custom_ops": ["/no/such/op.so"]}, "op.so"),
    ({"test_expected_out": DATA}, "test_expected_out needs test_input_data"),
])
def test_refusals(changes, text, tmp_path):
    arguments = {"neuropod_path": tmp_path / "p", "model_name": "m", "module": torch.jit.script(Addition()), **SPECS, **changes}
    with pytest.raises(ValueError) as caught:
        create_torchscript_neuropod(**arguments)
    assert text in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_an_existing_path_is_never_replaced(tmp_path):
    (tmp_path / "p").write_text("mine")
    with pytest.raises(ValueError, match="already exists! Aborting..."):
        make("addition", tmp_path / "p")
    assert "already exists! Aborting..." in fail("pack", tmp_path / "p", "-o", tmp_path / "p", "--name", "m")
    assert (tmp_path / "p").read_text() == "mine"


def test_code_that_makes_a_module_can_be_scripted(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "model.py").write_text("import torch\nclass M(torch.nn.Module):\n    def forward(self, x, y):\n        return {'out': x + y}\n"
                                                "def get_model(data_root):\n    return M()\ndef nothing(data_root):\n    return 3\n")
    given = {"neuropod_path": tmp_path / "p", "model_name": "m", **SPECS, "code_path_spec": [{"python_root": tmp_path / "code", "dirs_to_package": [""]}], "entrypoint_package": "model"}
    create_pytorch_neuropod(**given, entrypoint="get_model", compile_to="torchscript", test_input_data=DATA, test_expected_out={"out": np.float32([4, 6])})
    assert load_neuropod(tmp_path / "p").platform == "torchscript"
    assert not [m for m in sys.modules if m == "model"]
    with pytest.raises(ValueError, match="returns a torch.nn.Module, not a int"):
        create_pytorch_neuropod(**{**given, "neuropod_path": tmp_path / "q"}, entrypoint="nothing", compile_to="torchscript")
    with pytest.raises(ValueError, match="within the code to be packaged"):
        create_python_neuropod(**{**given, "neuropod_path": tmp_path / "code" / "p"}, entrypoint="get_model")


def test_the_command(tmp_path):
    torch.jit.save(torch.jit.script(Addition()), str(tmp_path / "m.pt"))
    np.savez(tmp_path / "in.npz", **DATA)
    np.savez(tmp_path / "out.npz", out=np.float32([4, 6]))
    specs = ("--input", "x: float32[batch_size]", "--input", " y : float32[ batch_size ] ", "--output", "out: float32[?]")
    tests = ("--test-input", tmp_path / "in.npz", "--test-output", tmp_path / "out.npz")
    succeed("pack", tmp_path / "m.pt", "-o", tmp_path / "p", "--name", "m", *specs, *tests)
    with zipfile.ZipFile(tmp_path / "p") as z:
        stored = pickle.loads(z.read("test_data.pkl"))
        equal(stored["test_input"], DATA)
        assert stored["test_output"]["out"].dtype == np.float32
        assert json.loads(z.read("config.json"))["output_spec"] == [{"name": "out", "dtype": "float32", "shape": [None]}]
    (tmp_path / "spec.json").write_text(json.dumps(SPECS))
    succeed("pack", tmp_path / "m.pt", "-o", tmp_path / "f", "--name", "m", "--spec", tmp_path / "spec.json", "--folder", "--test-data", write_pickle(tmp_path))
    assert "equal to PyTorch" in succeed("test", tmp_path / "f") and (tmp_path / "f" / "0" / "ops").is_dir()
    for words, part in [(("--input", "x float32[3]"), "cannot read the spec"), (("--input", "x: float32[3"), "cannot read the spec"), (("--input", "x: floaty[3]"), "'floaty' is invalid"),
                        (("--input", "x: float32[0]"), "positive integer"), (("--compression", "lzma"), "'stored' or 'deflated'"), (("--spec", tmp_path / "spec.json", *specs), "not both"),
                        (("--test-output", tmp_path / "out.npz"), "needs --test-input"), (("--platform-version", "x.y.z.w"), "not a valid semver")]:
        assert part in fail("pack", tmp_path / "m.pt", "-o", tmp_path / "q", "--name", "m", *words)
    assert "needs -o PACKAGE and --name" in fail("pack", tmp_path / "m.pt", "-o", tmp_path / "q")
    assert "needs a MODEL" in fail("pack", "-o", tmp_path / "q", "--name", "m")
    assert not (tmp_path / "q").exists()


def write_pickle(tmp_path):
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"test_input": DATA, "test_output": {"out": np.float32([4, 6])}}))
    return tmp_path / "t.pkl"


def test_test_compares_as_numpy_does(tmp_path):
    """Broadcasting, tolerances, NaN, strings; what differs is named."""
    def pack(**arrays):
        path = tmp_path / f"p{len(list(tmp_path.iterdir()))}"
        torch.jit.save(torch.jit.script(Addition()), str(tmp_path / "m.pt"))
        (tmp_path / "t.pkl").write_bytes(pickle.dumps({"test_input": DATA, "test_output": arrays}))
        succeed("pack", tmp_path / "m.pt", "-o", path, "--name", "m", "--spec", spec_file, "--root", staged(arrays))
        return path

    def staged(arrays):
        root = tmp_path / f"root{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        (root / "test_data.pkl").write_bytes(pickle.dumps({"test_input": DATA, "test_output": arrays}))
        return root

    spec_file = tmp_path / "spec.json"
    spec_file.write_text(json.dumps(SPECS))
    succeed("test", pack(out=np.float32([[4], [4.00003]]) + np.float32([[0, 2]])), "--native-only")
    assert "4 where 4.1" in fail("test", pack(out=np.array([4.1, 6])), "--native-only")
    succeed("test", pack(out=np.array([4.1, 6])), "--native-only", "--rtol", "0.1")
    assert "out does not match expected value!" in fail("test", pack(out=np.array([np.nan, 6])), "--native-only")
    assert "their sizes cannot be broadcast" in fail("test", pack(out=np.zeros(3)), "--native-only")
    assert "returned no such output" in fail("test", pack(other=np.zeros(3)), "--native-only")
    assert "out does not match expected value!" in fail("test", pack(out=np.array(["a", "b"])), "--native-only")
    assert "not negative" in fail("test", pack(out=np.zeros(2)), "--rtol", "x")


def test_the_names_of_neuropods_modules():
    from neuropod.backends.python.packager import create_python_neuropod as python
    from neuropod.backends.pytorch.packager import create_pytorch_neuropod as pytorch
    from neuropod.backends.torchscript.packager import create_torchscript_neuropod as script
    from neuropod.loader import load_neuropod as load
    from neuropod.packagers import create_torchscript_neuropod as again

    assert (load, script, again, python, pytorch) == (load_neuropod, create_torchscript_neuropod, create_torchscript_neuropod, create_python_neuropod, create_pytorch_neuropod)


def test_several_targets_and_signatures(tmp_path):
    package = make("dict", tmp_path / "p")
    succeed("compile", package, "-o", tmp_path / "both", "--target", "x86-64-v3,x86-64-v4")
    assert {t["name"] for t in json.loads(succeed("inspect", tmp_path / "both"))["targets"]} == {"x86-64-v3", "x86-64-v4"}
    package = make("addition", tmp_path / "q")
    types = [("--method", "forward", "--input", f"x: {t}", "--input", f"y: {t}") for t in ("f32[N]", "f64[2, M]")]
    succeed("compile", package, "-o", tmp_path / "two", *types[0], *types[1])
    model = firesteel.load(tmp_path / "two", allow_compile=False)
    assert model(np.float32([1]), np.float32([2]))["out"].tolist() == [3]
    assert model(np.ones((2, 3)), np.ones((2, 3)))["out"].tolist() == [[2.0] * 3] * 2


def test_inspect_says_what_is_inside(tmp_path):
    """Licences and notes that came with the archive, sizes, targets and the hash of the source."""
    torch.jit.save(torch.jit.script(Addition()), str(tmp_path / "m.pt"), _extra_files={"LICENSE": "Do what you like. \u00a9", "binary": b"\x00\xff", "long": "x" * 20000})
    create_torchscript_neuropod(neuropod_path=tmp_path / "p", model_name="m", module_path=tmp_path / "m.pt", **SPECS)
    for source in ("m.pt", "p"):
        types = ("--input", "x: f32[N]", "--input", "y: f32[N]") if source == "m.pt" else ()
        succeed("compile", tmp_path / source, "-o", tmp_path / f"{source}.fst", *types)
        told = json.loads(succeed("inspect", tmp_path / f"{source}.fst"))
        info = json.loads(told["info"])
        assert info["extra_files"] == {"LICENSE": "Do what you like. \u00a9", "binary": "2 bytes", "long": "20000 bytes"}
        assert info["kernels"] == 1 and told["source"] == source and len(told["source_hash"]) == 16
        assert all(t["intact"] and t["code_bytes"] > 0 for t in told["targets"]) and told["methods"][0]["signatures"][0]["arena_bytes"] is not None
