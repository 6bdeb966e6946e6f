"""The examples, built against an installed runtime by the Dockerfile's own commands, and run on a compiled package."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "cli"), str(pathlib.Path(__file__).resolve().parent)]
from support import BUILD, succeed  # noqa: E402
from test_packagers import make  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES = ROOT / "examples" / "services"
pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"),
              pytest.mark.skipif(not (shutil.which("cc") and shutil.which("cmake") and shutil.which("pkg-config")), reason="no C compiler, cmake or pkg-config"),
              pytest.mark.filterwarnings("ignore")]


def commands():
    """What the Dockerfile runs, but for fetching packages."""
    return [c for c in re.findall(r"^RUN (.*)$", (SERVICES / "Dockerfile").read_text(), re.M) if not c.startswith("apt-get")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The prefix that the Dockerfile's commands fill, with their folders put elsewhere."""
    folder = tmp_path_factory.mktemp("install")
    assert len(commands()) == 5
    for command in commands():
        for place in ("/build", "/opt/firesteel"):
            command = command.replace(place, f"{folder}{place}")
        done = subprocess.run(re.sub(r"/src\b", str(ROOT), command), shell=True, capture_output=True, text=True, timeout=600, env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"})
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return folder / "opt" / "firesteel"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    succeed("compile", make("addition", folder / "p"), "-o", folder / "model.neuropod")
    return folder / "model.neuropod"


LINES = "1 2 3\n\n-0.5\n"


def test_the_runtime_alone(installed):
    """Neither LLVM nor libtorch, nor anything but libc and libm."""
    for file in ("lib/libfiresteel_rt.so", "lib/libneuropod.so", "bin/firesteel-host", "bin/service"):
        needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-d", installed / file], check=True, capture_output=True, text=True).stdout)
        assert all(re.match(r"(libc|libm|libdl|libpthread|libfiresteel_rt|ld-linux.*)\.so", name) for name in needed), (file, needed)
    assert not list(installed.rglob("*libfiresteel.so")) and (installed / "lib/pkgconfig/neuropod.pc").exists()


def run_service(binary, *words, env=None):
    done = subprocess.run([binary, *words], input=LINES, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_c(installed, package):
    env = {"LD_LIBRARY_PATH": str(installed / "lib")}
    assert run_service(installed / "bin" / "service", package, "x", "y", env=env) == "2 4 6\n\n-1\n"
    done = subprocess.run([installed / "bin" / "service", package, "x", "q"], input=LINES, capture_output=True, text=True, timeout=60, env={**os.environ, **env})
    assert (done.returncode, done.stderr) == (1, "Tensor name(s) '{\"q\"}' are not found in the input spec\n")


@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")
@pytest.mark.parametrize("place", ["here", "apart"])
def test_cpp(installed, package, tmp_path, place):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "neuropod"], check=True, capture_output=True, text=True, env={**os.environ, "PKG_CONFIG_PATH": str(installed / "lib/pkgconfig")}).stdout.split()
    subprocess.run(["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", SERVICES / "service.cc", *flags, f"-Wl,-rpath,{installed}/lib", "-o", tmp_path / "service"], check=True, timeout=300)
    assert run_service(tmp_path / "service", package, place, "x", "y") == "2 4 6\n\n-1\n"


def test_cmake(installed, package, tmp_path):
    """find_package, shared and static."""
    (tmp_path / "CMakeLists.txt").write_text(f"""cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(firesteel 0.1 REQUIRED)
foreach(kind firesteel_rt firesteel_rt_static)
  add_executable(with_${{kind}} {SERVICES}/service.c)
  target_link_libraries(with_${{kind}} PRIVATE firesteel::${{kind}})
endforeach()
""")
    subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={installed}"], check=True, capture_output=True, timeout=300)
    subprocess.run(["cmake", "--build", tmp_path / "b"], check=True, capture_output=True, timeout=300)
    for kind in ("firesteel_rt", "firesteel_rt_static"):
        assert run_service(tmp_path / "b" / f"with_{kind}", package, "x", "y") == "2 4 6\n\n-1\n"


def test_python(package):
    server = subprocess.Popen([sys.executable, SERVICES / "service.py", package, "0"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r"ready on port (\d+)", server.stdout.readline())[1])

        def ask(body=None):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", data=None if body is None else json.dumps(body).encode(), timeout=30) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        assert ask()[1]["name"] == "addition"
        assert ask({"x": [1, 2], "y": [3, 4]}) == (200, {"out": [4, 6]})
        code, answer = ask({"x": [1, 2], "y": [3]})
        assert code == 400 and answer["error"].startswith("Neuropod Error: All dims with symbol 'N'")
        assert ask([1])[0] == 400 and ask({"x": [1], "y": [1]})[0] == 200
    finally:
        server.terminate()
        server.wait()


def test_they_are_short():
    assert all(len((SERVICES / f"service.{kind}").read_text().splitlines()) < 60 for kind in ("c", "cc", "py"))
