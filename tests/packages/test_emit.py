"""Models as shared objects and object files: the same results as the artifact, the same bytes each time, in a program without dlopen."""
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "cli"), str(pathlib.Path(__file__).resolve().parent)]
import firesteel  # noqa: E402
from firesteel.neuropod import load_neuropod  # noqa: E402
from models import CASES  # noqa: E402
from support import BUILD, fail, succeed  # noqa: E402
from test_packagers import equal, make  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"),
              pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler"), pytest.mark.filterwarnings("ignore")]


class Affine(torch.nn.Module):
    """Large enough to have weights, with state and a second method."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 8)
        self.calls = 0

    def forward(self, x: torch.Tensor, scale: float):
        self.calls += 1
        return self.linear(x) * scale

    @torch.jit.export
    def count(self) -> int:
        return self.calls


SIGNATURE = ("--method", "forward", "--input", "x: f32[N, 64]", "--method", "count")


@pytest.fixture(scope="module")
def affine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emit")
    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(Affine()), str(folder / "affine.pt"))
    for kind, name in (("fst", "model.fst"), ("so", "model.so"), ("obj", "model.o")):
        succeed("compile", folder / "affine.pt", "-o", folder / name, "--emit", kind, *SIGNATURE)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_shared_object_is_a_model(name, tmp_path):
    _, _, _, data, expected = CASES[name]
    succeed("compile", make(name, tmp_path / "p"), "-o", tmp_path / "out.so", "--emit", "so")
    with load_neuropod(tmp_path / "out.so", allow_compile=False) as model:
        assert model.name == name
        equal(model.infer(data), expected)


def test_same_results(affine):
    x = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    want = firesteel.load(affine / "model.fst")(x, 2.0)
    model = firesteel.load(affine / "model.so")
    assert np.array_equal(model(x, 2.0), want)
    assert model.method("count")() == 1 and model.clone().method("count")() == 1
    np.testing.assert_allclose(want, torch.jit.load(str(affine / "affine.pt"))(torch.from_numpy(x), 2.0).detach(), rtol=1e-5, atol=1e-6)


PROGRAM = r"""
#include <stdio.h>
#include "model.h"

int main(void) {
  float x[2 * 64];
  const int64_t sizes[] = {2, 64}, wrong[] = {64, 2};
  for (int i = 0; i < 128; i++) x[i] = (float)i / 128;
  for (int round = 0; round < 2; round++) {
    fst_var *y = NULL;
    fst_failure *failure = model_infer(x, sizes, 0.5, &y);
    if (failure) return printf("%s\n", fst_failure_message(failure)), 1;
    for (int i = 0; i < 16; i++) printf("%.9g ", ((float *)fst_var_data(y))[i]);
    fst_var_free(y);
  }
  fst_var *calls = NULL, *unused = NULL;
  if (model_count(&calls)) return 1;
  printf("\n%lld\n", (long long)fst_var_as_int(calls));
  fst_var_free(calls);
  fst_failure *failure = model_infer(x, wrong, 0.5, &unused);
  printf("%d %s\n", unused == NULL, fst_failure_message(failure));
  fst_failure_free(failure);
  failure = model_infer((float *)((char *)x + 1), sizes, 0.5, &unused);
  printf("%s\n", fst_failure_message(failure));
  fst_failure_free(failure);
  fst_model *own = NULL;
  if (fst_open_embedded(&model_model, NULL, &own)) return 1;
  fst_close(own);
  return 0;
}
"""


@pytest.mark.parametrize("kind", ["obj", "so"])
def test_a_program_with_the_model_in_it(affine, tmp_path, kind):
    """Linked with the object and the static runtime, or with nothing but the shared object."""
    (tmp_path / "main.c").write_text(PROGRAM)
    models = [affine / "model.o", BUILD / "lib" / "libfiresteel_rt.a", "-lm", "-ldl", "-lpthread"] if kind == "obj" else [affine / "model.so", f"-Wl,-rpath,{affine}"]
    flags = ["-fsanitize=address,undefined"] if any("asan" in line for line in os.environ.get("LD_PRELOAD", "").split()) else []
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", *flags, f"-I{ROOT}/include", f"-I{affine}", tmp_path / "main.c", *models, "-o", tmp_path / "main"], check=True, timeout=120)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    numbers, calls, wrong, *_, misaligned = done.stdout.splitlines()
    x = (np.arange(128, dtype=np.float32) / 128).reshape(2, 64)
    want = firesteel.load(affine / "model.fst")(x, 0.5)
    assert np.array_equal(np.array(numbers.split(), np.float32).reshape(2, 2, 8), np.stack([want, want]))
    assert calls == "2" and wrong.startswith("1 forward() was not compiled for these arguments") and "misaligned" in misaligned
    needed = subprocess.run(["ldd", tmp_path / "main"], check=True, capture_output=True, text=True).stdout
    assert "firesteel" not in needed and "torch" not in needed


def test_the_same_bytes(affine, tmp_path):
    for kind, name in (("so", "model.so"), ("obj", "model.o")):
        succeed("compile", affine / "affine.pt", "-o", tmp_path / name, "--emit", kind, *SIGNATURE)
        assert (tmp_path / name).read_bytes() == (affine / name).read_bytes()
    assert (tmp_path / "model.h").read_text() == (affine / "model.h").read_text()


def test_refusals(affine, tmp_path, monkeypatch):
    arguments = ("compile", affine / "affine.pt", *SIGNATURE)
    assert "fst, so or obj" in fail(*arguments, "-o", tmp_path / "m.o", "--emit", "exe")
    assert "no word of C" in fail(*arguments, "-o", tmp_path / "3d.o", "--emit", "obj")
    assert "set CC" in fail(*arguments, "-o", tmp_path / "m.o", "--emit", "obj", env={"CC": "/no/such/cc"})
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.c").write_text("int nothing;\n")
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "empty.c", "-o", tmp_path / "empty.so"], check=True)
    with pytest.raises(firesteel.Error, match="holds no model"):
        firesteel.load(tmp_path / "empty.so")
    (tmp_path / "cut.so").write_bytes((affine / "model.so").read_bytes()[:5000])
    with pytest.raises(firesteel.Error, match="cannot open the shared object"):
        firesteel.load(tmp_path / "cut.so")
