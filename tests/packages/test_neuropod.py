"""Neuropod packages through the compiler: as files and folders, their specs, and what is wrong with bad ones."""
import hashlib
import io
import json
import os
import pathlib
import sys
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from support import BUILD, fail, run, succeed  # noqa: E402

pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"), pytest.mark.filterwarnings("ignore")]


class Addition(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor, y: torch.Tensor):
        self.calls += 1
        return {"out": x + y}

    @torch.jit.export
    def reset(self, to: int = 0):
        self.calls = to


def spec(name, dtype, shape):
    return {"name": name, "dtype": dtype, "shape": shape}


def config(**changes):
    return {"name": "addition", "platform": "torchscript", "input_spec": [spec("x", "float32", ["batch", 3]), spec("y", "float32", ["batch", None])],
            "output_spec": [spec("out", "float32", ["batch", 3])], **changes}


@pytest.fixture(scope="module")
def model():
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(Addition()), out)
    return out.getvalue()


def pack(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, data in members.items():
            z.writestr(name, data)
    return path


def members(model, **changes):
    return {"config.json": json.dumps(config(**changes)), "0/data/model.pt": model, "test_data.pkl": b"pickled"}


def call(package, tmp_path):
    np.savez(tmp_path / "in.npz", x=np.float32([[1, 2, 3]]), y=np.float32([[10, 20, 30]]))
    return succeed("run", package, "--no-compile", "--inputs", tmp_path / "in.npz")


ANSWER = 'result["out"] = f32[1, 3] [[11, 22, 33]]\n'


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_package_stays_a_package(model, tmp_path, compression):
    source = pack(tmp_path / "add.neuropod", members(model), compression)
    out = tmp_path / "fast.neuropod"
    succeed("compile", source, "-o", out)
    assert call(out, tmp_path) == ANSWER
    with zipfile.ZipFile(out) as z, zipfile.ZipFile(source) as old:
        for name in old.namelist():
            assert z.read(name) == old.read(name)
    again = tmp_path / "again.neuropod"  # compiled from the compiled one
    succeed("compile", out, "-o", again)
    assert call(again, tmp_path) == ANSWER


def test_a_folder(model, tmp_path):
    folder = tmp_path / "add"
    for name, data in members(model).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    succeed("compile", folder, "-o", tmp_path / "out.neuropod")
    assert call(tmp_path / "out.neuropod", tmp_path) == ANSWER


def test_stripped(model, tmp_path):
    source = pack(tmp_path / "add.neuropod", members(model))
    succeed("compile", source, "-o", tmp_path / "out.neuropod", "--strip-source")
    with zipfile.ZipFile(tmp_path / "out.neuropod") as z:
        assert "config.json" in z.namelist() and "0/data/model.pt" not in z.namelist()
    assert call(tmp_path / "out.neuropod", tmp_path) == ANSWER


def test_specs_become_signatures(model, tmp_path):
    out = tmp_path / "out.neuropod"
    succeed("compile", pack(tmp_path / "add.neuropod", members(model)), "-o", out)
    told = json.loads(succeed("inspect", out))
    assert told["inputs"] == config()["input_spec"] and told["outputs"] == config()["output_spec"]
    forward, reset = told["methods"]
    assert forward["signatures"][0]["arguments"] == {"x": "f32[s0, 3]", "y": "f32[s0, s1]"}
    assert reset["name"] == "reset" and reset["arguments"] == [{"name": "to", "type": "int", "optional": True, "written": False}]
    assert told["state"] == ["calls"]
    # One symbol is one size.
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 3), np.float32), y=np.zeros((1, 3), np.float32))
    assert "'y'" in fail("run", out, "--inputs", tmp_path / "in.npz")


@pytest.mark.parametrize("changes, part", [
    ({"platform": "tensorflow"}, "is for the platform 'tensorflow', which Firesteel cannot run; it compiles packages of the platform 'torchscript'"),
    ({"platform": "python"}, "is for the platform 'python'"),
    ({"platform": "onnx"}, "requires a Neuropod backend for type 'onnx' and version range '*'. However, a backend satisfying these requirements was not found."),
    ({"platform_version_semver": ">=3"}, "for type 'torchscript' and version range '>=3'. However, a backend satisfying these requirements was not found."),
    ({"platform_version_semver": "a.b.c"}, "Error loading neuropod config! Please check your config file. The provided platform version (a.b.c) was not a valid semver version or range. "
                                           "See https://semver.org/ and https://docs.npmjs.com/misc/semver#ranges"),
    ({"input_tensor_device": {"x": "TPU"}}, "Error loading neuropod config! Please check your config file. Invalid device type: TPU"),
    ({"name": None}, "'name' and 'platform' must be strings."),
    ({"input_spec": [{"name": "x", "shape": [1]}]}, "'dtype' must be a string."),
    ({"input_spec": [spec("x", "float32", None)]}, "'shape' must be an array. Please check your config file"),
    ({"platform": 3}, "'name' and 'platform' must be strings."),
    ({"input_spec": [spec("x", "complex128", [1])]}, "The specified data type 'complex128' is invalid."),
    ({"input_spec": [spec("x", "float32", 3)]}, "'shape' must be an array."),
    ({"input_spec": [spec("x", "float32", [0])]}, "must be either null, a string, or a positive integer."),
    ({"input_spec": [spec("x", "float32", [-1])]}, "must be either null, a string, or a positive integer."),
    ({"input_spec": [spec("x", "float32", [True])]}, "must be either null, a string, or a positive integer."),
    ({"input_spec": [spec("x", "float32", [1.5])]}, "must be either null, a string, or a positive integer."),
    ({"input_spec": [spec("x", "uint32", [1])]}, "uint32"),
    ({"custom_ops": ["missing.so"]}, "missing.so"),
])
def test_bad_configs(model, tmp_path, changes, part):
    source = pack(tmp_path / "bad.neuropod", members(model, **changes))
    assert part in fail("compile", source, "-o", tmp_path / "out.neuropod")
    assert not (tmp_path / "out.neuropod").exists()


def test_bad_packages(model, tmp_path):
    whole = members(model)
    for missing, part in (("0/data/model.pt", "0/data/model.pt"),):
        source = pack(tmp_path / "bad.neuropod", {k: v for k, v in whole.items() if k != missing})
        assert part in fail("compile", source, "-o", tmp_path / "out.neuropod")
    source = pack(tmp_path / "bad.neuropod", {**whole, "config.json": "{nonsense"})
    assert "Error parsing JSON" in fail("compile", source, "-o", tmp_path / "out.neuropod")
    source = pack(tmp_path / "bad.neuropod", {**whole, "0/data/model.pt": b"no archive"})
    assert "0/data/model.pt" in fail("compile", source, "-o", tmp_path / "out.neuropod")
    data = bytearray(pack(tmp_path / "bad.neuropod", whole, zipfile.ZIP_STORED).read_bytes())
    at = data.find(model) + len(model) // 2
    data[at] ^= 0xFF  # the member's checksum no longer fits
    (tmp_path / "bad.neuropod").write_bytes(bytes(data))
    assert "damaged" in fail("compile", tmp_path / "bad.neuropod", "-o", tmp_path / "out.neuropod")
    assert not (tmp_path / "out.neuropod").exists()


def test_text_of_an_archive_compiles_to_the_same_bytes(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2, bias=False))
    torch.jit.save(torch.jit.script(model), str(tmp_path / "m.pt"))
    (tmp_path / "m.ir").write_text(succeed("dump", tmp_path / "m.pt"))
    types = ("--input", "input: f32[N, 8]")
    succeed("compile", tmp_path / "m.pt", "-o", tmp_path / "a.fst", *types)
    assert "--archive" in fail("compile", tmp_path / "m.ir", "-o", tmp_path / "b.fst", *types)
    succeed("compile", tmp_path / "m.ir", "--archive", tmp_path / "m.pt", "-o", tmp_path / "b.fst", *types)
    assert (tmp_path / "a.fst").read_bytes() == (tmp_path / "b.fst").read_bytes()


def manifest(members):
    files = {name: hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest() for name, data in members.items()}
    return {**members, "manifest.json": json.dumps({"files": files, "manifest_version": 1})}


def test_a_manifest_is_verified(model, tmp_path):
    whole = manifest(members(model))
    out = tmp_path / "out.neuropod"
    succeed("compile", pack(tmp_path / "good.neuropod", whole), "-o", out)
    succeed("compile", out, "-o", tmp_path / "again.neuropod")  # the manifest says nothing of what was compiled
    changed = json.dumps({**json.loads(whole["config.json"]), "name": "another"})
    assert "config.json is not the file that its manifest describes" in fail("compile", pack(tmp_path / "bad.neuropod", {**whole, "config.json": changed}), "-o", out, "--force")
    del whole["test_data.pkl"]
    assert "its manifest names test_data.pkl, which is not there" in fail("compile", pack(tmp_path / "bad.neuropod", whole), "-o", out, "--force")
    for wrong, part in (("[]", "lists no files"), ("{", "lists no files"), (json.dumps({"files": {}, "manifest_version": 2}), "another version than 1")):
        assert part in fail("compile", pack(tmp_path / "bad.neuropod", {**members(model), "manifest.json": wrong}), "-o", out, "--force")


def test_names_in_any_case_comments_and_unknown_keys(model, tmp_path):
    text = json.dumps(config(custom_ops=[], input_tensor_device={"x": "CPU"}, platform_version_semver="^1.3.0 || 2.x", surprise=[{"a": None}]))
    source = pack(tmp_path / "odd.neuropod", {"CONFIG.JSON": "// said by hand\n" + text, "0/Data/Model.PT": model})
    succeed("compile", source, "-o", tmp_path / "out.neuropod")
    assert call(tmp_path / "out.neuropod", tmp_path) == ANSWER


def test_the_minimal_config_of_old_packages(model, tmp_path):
    old = {"name": "m", "platform": "torchscript"}  # neither specs, devices, ops nor versions
    succeed("compile", pack(tmp_path / "old.neuropod", {"config.json": json.dumps(old), "0/data/model.pt": model}), "-o", tmp_path / "out.neuropod",
            "--input", "x: f32[N, 3]", "--input", "y: f32[N, 3]")
    assert call(tmp_path / "out.neuropod", tmp_path) == ANSWER


def test_zip64(model, tmp_path):
    """Sizes and offsets in 64-bit fields, as writers leave them that do not know a member's size beforehand."""
    path = tmp_path / "wide.neuropod"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members(model).items():
            with z.open(zipfile.ZipInfo(name), "w", force_zip64=True) as f:
                f.write(data if isinstance(data, bytes) else data.encode())
    succeed("compile", path, "-o", tmp_path / "out.neuropod")
    assert call(tmp_path / "out.neuropod", tmp_path) == ANSWER
