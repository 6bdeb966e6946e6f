"""What is printed means the same: every IR file of the tests and the documentation, and every model of the zoo, at every stage.

`round_trip` (round_trip.c) takes each through all stages; each stage's text must parse to the same structural hash and compile
to the same bytes. Whole artifacts are compared for the imported stage, by the command line.
"""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["FST_BUILD"])
sys.path.insert(0, str(ROOT / "tests"))
import networks  # noqa: E402
import zoo  # noqa: E402

FILES = sorted([*(ROOT / "tests").rglob("*.ir"), *(ROOT / "docs").glob("*.ir")])
DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.int64: "i64", torch.int32: "i32", torch.bool: "b8", torch.uint8: "u8"}


def type_of(value):
    """A signature's word for an argument, or None to leave it as the archive declares it."""
    if not isinstance(value, torch.Tensor) or not value.is_contiguous():
        return None
    return f"{DTYPES[value.dtype]}[{', '.join(map(str, value.shape))}]"


def signature(call):
    """By position, up to the first argument that says nothing; [] if that is the first."""
    words = []
    for arg in call.args:
        if not (word := type_of(arg)):
            break
        words.append(word)
    return [f"{call.method}={'; '.join(words)}"] if words else []


def round_trip(path, *signatures):
    out = subprocess.run([BUILD / "tests" / "round_trip", path, *signatures], capture_output=True, text=True,
                         env={**os.environ, "FST_BRIDGE": str(BUILD / "lib" / "libfiresteel_torch.so")})
    assert out.returncode == 0, out.stderr
    return int(out.stdout)


def test_ir_files():
    assert sum(round_trip(file) for file in FILES) > 400   # graphs at their stages


# All networks with FST_ALL_NETWORKS=1: their code is made six times each.
NETWORKS = networks.names() if os.environ.get("FST_ALL_NETWORKS") else ["resnet18", "bert"]
MODELS = [(zoo, name) for name in zoo.names()] + [(networks, name) for name in NETWORKS]


@pytest.mark.parametrize("collection, name", MODELS, ids=[name for _, name in MODELS])
def test_model(collection, name, tmp_path):
    path = collection.save(name, tmp_path)
    signatures = {call.method: signature(call) for call in reversed(collection.calls(name)) if not call.error}
    assert round_trip(path, *sum(signatures.values(), [])) > 4


@pytest.mark.parametrize("name", ["addition", "buffers", "classes"])
def test_whole_artifact(name, tmp_path):
    path = zoo.save(name, tmp_path)
    firesteel = BUILD / "bin" / "firesteel"
    inputs = ["--allow-fallback"]
    for word in signature(zoo.calls(name)[0])[0].split("=")[1].split("; "):
        inputs += ["--input", word]
    text = tmp_path / "model.ir"
    text.write_text(subprocess.run([firesteel, "dump", path, "--stage", "imported"], check=True, capture_output=True, text=True).stdout)
    artifacts = []
    for i, source in enumerate(([path], [text, "--archive", path])):
        out = tmp_path / f"{i}.fst"
        run = subprocess.run([firesteel, "compile", *source, *inputs, "-o", out], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        artifacts.append(out.read_bytes())
    assert artifacts[0] == artifacts[1]
