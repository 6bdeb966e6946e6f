"""pip install of the tree: a wheel for any CPython from 3.11 on that loads, calls and packs from where it is put."""
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "cli"), str(pathlib.Path(__file__).resolve().parent)]
from support import BUILD, succeed  # noqa: E402
from test_packagers import make  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"), pytest.mark.filterwarnings("ignore")]

USE = """
import sys
import numpy as np
import firesteel
from neuropod.loader import load_neuropod
assert firesteel.__file__.startswith(sys.argv[1]), firesteel.__file__
for isolate in (False, True):
    model = load_neuropod(sys.argv[2], isolate=isolate, allow_compile=False)
    assert model.infer({"x": np.float32([1]), "y": np.float32([2])})["out"].tolist() == [3]
try:
    load_neuropod(sys.argv[3]).infer({"x": np.float32([1]), "y": np.float32([2])})
except firesteel.Error as error:  # the bridge finds the torch that it was built with only where both are installed together
    assert "libtorch" in str(error), error
"""


def test_pip_install(tmp_path):
    target = tmp_path / "site"
    env = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, "FST_BUILD": str(BUILD), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, ROOT], capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    (info,) = target.glob("firesteel-*.dist-info")
    assert "Tag: cp311-abi3-linux_x86_64" in (info / "WHEEL").read_text()
    package = make("addition", tmp_path / "p")
    succeed("compile", package, "-o", tmp_path / "fast")
    subprocess.run([sys.executable, "-c", USE, str(target), tmp_path / "fast", package], check=True, timeout=120, cwd=tmp_path, env={**env, "PYTHONPATH": str(target)})
