"""What the tests of the command line share: running it, and small models as IR text."""
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ.get("FST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
FIRESTEEL = BUILD / "bin" / "firesteel"
WORKER = BUILD / "bin" / "firesteel-worker"

ADD = """firesteel.module 1
file 0 "code/m.py"
function "forward" imported (%x : Tensor, %y : Tensor) -> (Tensor) {
  %0 : Tensor = aten::add.Tensor(%x, %y, 1)  @0:3
  return %0
}
"""
SAME = """firesteel.module 1
function "forward" imported (%%x : %s) -> (%s) {
  return %%x
}
"""


def run(*args, env=None, timeout=120):
    return subprocess.run([str(FIRESTEEL), *map(str, args)], capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})


def succeed(*args, **kwargs):
    done = run(*args, **kwargs)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def fail(*args, code=1, **kwargs):
    """What it says: a line, and perhaps indented ones with details; nothing on standard output, no signal."""
    done = run(*args, **kwargs)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    first, *details = done.stderr.splitlines()
    assert first.startswith("firesteel") and all(line.startswith("  ") for line in details), done.stderr
    return done.stderr


def write(path, text):
    path.write_text(text)
    return path
