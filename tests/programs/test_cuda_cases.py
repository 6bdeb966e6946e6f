"""The cases of tests/gpu without a GPU: small ones run with the CPU as the device (tests/cuda/device.c); large ones are compiled for
an architecture, which needs NVRTC (FIRESTEEL_NVRTC, or nvidia-cuda-nvrtc in the environment)."""
import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest
import torch

BUILD = pathlib.Path(os.environ["FST_BUILD"])
GPU = pathlib.Path(__file__).resolve().parents[1] / "gpu"
os.environ["FIRESTEEL_CUDA_LIBRARY"] = str(BUILD / "tests" / "libfst_shim_device.so")
os.environ.setdefault("VIRTUAL_ENV", sys.prefix)   # where the compiler looks for NVRTC


def part(name):
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", GPU / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(GPU))
import firesteel  # noqa: E402

check, build = part("check"), part("build")
check.firesteel = firesteel
LARGE = ["resnet18", "mobilenet_v2", "minilm"]


@pytest.mark.parametrize("name", [name for name in build.cases.CASES if name not in LARGE])
def test_case(name, tmp_path):
    build.build(tmp_path, name, build.cases.CASES[name], "cuda:source")
    base = tmp_path / build.file_name(name)
    case = torch.load(base.with_suffix(".pt"), weights_only=False)
    model = firesteel.load(base.with_suffix(".fst"), device="cuda", allow_compile=False)
    clone = model.clone()
    check.run(model, case, "cpu")
    check.run(clone, case, "cpu")
    assert not model.report()["fallback_ops"]


STATEFUL = ["control flow and state", "silero"]


@pytest.mark.parametrize("name", [name for name in build.cases.CASES if name not in LARGE + STATEFUL and "f64" not in name and "float64" not in name])
def test_case_as_a_graph(name, tmp_path):
    """Five times, so that all but the first two are recorded and replayed where they can be."""
    build.build(tmp_path, name, build.cases.CASES[name], "cuda:source")
    base = tmp_path / build.file_name(name)
    case = torch.load(base.with_suffix(".pt"), weights_only=False)
    model = firesteel.load(base.with_suffix(".fst"), device="cuda", graphs=True)
    for _ in range(5):
        check.run(model, case, "cpu")
    assert model.report()["graph"] == (name not in ("sizes from data",))


@pytest.fixture(scope="module")
def nvrtc(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nvrtc")
    path = folder / "model.pt"
    torch.jit.script(build.cases.Adds()).save(str(path))
    try:
        firesteel.compile(path, inputs={"x": "f32[4]", "y": "f32[4]"}, target="cuda:sm_90", out=folder / "model.fst")
    except firesteel.Error as error:
        if "needs NVRTC, which was not found" not in str(error):
            raise
        pytest.skip("NVRTC is not installed")


@pytest.mark.parametrize("name", LARGE + ["silero", "lstm_loop", "control flow and state"])
def test_compiled_for_an_architecture(name, nvrtc, tmp_path):
    if name not in build.cases.CASES:
        pytest.skip(f"{name} is not installed")
    build.build(tmp_path, name, build.cases.CASES[name], "cuda:sm_90,cuda:compute_80")
    found = subprocess.run([BUILD / "bin" / "firesteel", "inspect", (tmp_path / build.file_name(name)).with_suffix(".fst")], check=True, capture_output=True, text=True).stdout
    assert '"fallback_ops": []' in found and '"name": "sm_90.cubin"' in found and '"name": "compute_80.ptx"' in found


def test_images_are_kept_and_damaged_ones_made_again(nvrtc, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.pt"
    torch.jit.script(build.cases.Adds()).save(str(path))

    def compiled():
        out = firesteel.compile(path, inputs={"x": "f32[4]", "y": "f32[4]"}, target="cuda:sm_90", out=tmp_path / "model.fst", force=True)
        return pathlib.Path(out).read_bytes()
    first = compiled()
    kept, = (tmp_path / "cache" / "firesteel").iterdir()
    assert kept.name.endswith("sm_90.cubin")
    before = kept.stat().st_mtime_ns
    assert compiled() == first and kept.stat().st_mtime_ns == before
    kept.write_bytes(kept.read_bytes()[:-10])
    assert compiled() == first
    assert kept.stat().st_mtime_ns != before
