"""Neuropod's C and C++ APIs on packages as they are and compiled, in this process and in one of their own."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "cli"), str(pathlib.Path(__file__).resolve().parent)]
from support import BUILD, succeed  # noqa: E402
from test_packagers import make  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    out = {}
    for name in ("addition", "strings", "dict_of_union"):
        make(name, folder / name)
        make(name, folder / f"{name}_folder", package_as_zip=False)
        succeed("compile", folder / name, "-o", folder / f"{name}_fast")
        out[name] = [folder / name, folder / f"{name}_folder", folder / f"{name}_fast"]
    return list(zip(*out.values()))


@pytest.mark.parametrize("program", ["neuropod_c_api", "neuropod_cpp_api"])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_program(program, kind, packages):
    binary = BUILD / "tests" / program
    if not binary.exists():
        pytest.skip("there is no C++ compiler")
    done = subprocess.run([binary, *packages[kind]], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_the_39_functions():
    """What the headers declare is what the library shows, no more and no less."""
    declared = set()
    for header in (ROOT / "include" / "neuropod" / "bindings" / "c").glob("*.h"):
        declared |= set(re.findall(r"NP_API [^;]*?\b(NP_\w+)\(", header.read_text()))
    pods = set(re.findall(r"FST_API [^;]*?\b(fst_\w+)\(", (ROOT / "include" / "firesteel" / "pod.h").read_text()))
    shown = {line.split()[-1] for line in subprocess.run(["nm", "-D", "--defined-only", BUILD / "lib" / "libneuropod.so"], check=True, capture_output=True, text=True).stdout.splitlines()}
    assert len(declared) == 39 and shown == declared | pods
