"""Models in a process of their own: the same results and errors; a process that dies or stands still is an error, and the next call goes on."""
import os
import pathlib
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "cli"), str(pathlib.Path(__file__).resolve().parent)]
from firesteel.neuropod import load_neuropod  # noqa: E402
from models import CASES  # noqa: E402
from support import BUILD, succeed  # noqa: E402
from test_packagers import equal, make  # noqa: E402

pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"), pytest.mark.filterwarnings("ignore")]
LOST = "Neuropod Error: OPE lost communication with the other process. See logs for more details."


def hosts():
    """Processes of models that this one has started, whichever thread did."""
    out = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            out += [int(pid) for pid in (task / "children").read_text().split() if pathlib.Path(f"/proc/{pid}/comm").read_text() == "firesteel-host\n"]
        except OSError:
            pass  # it ended meanwhile
    return out


@pytest.mark.parametrize("name", CASES)
def test_same_results(name, tmp_path):
    package = make(name, tmp_path / "p")
    _, inputs, _, data, expected = CASES[name]
    before = len(hosts())
    with load_neuropod(package, isolate=True) as model:
        assert model.name == name and model.inputs == [{**s, "shape": list(s["shape"])} for s in inputs]
        assert len(hosts()) == before + 1
        equal(model.infer(data), expected)
        first = list(expected)[-1]
        assert list(model.infer(data, [first])) == [first]
    del model
    assert len(hosts()) == before


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    folder = tmp_path_factory.mktemp("isolated")
    succeed("compile", make("addition", folder / "p"), "-o", folder / "fast")
    return folder / "fast"


def test_same_errors(fast, tmp_path):
    model = load_neuropod(fast, isolate=True)
    with pytest.raises(RuntimeError) as caught:
        model.infer({"x": np.float32([1]), "y": np.float32([1, 2])})
    assert str(caught.value).startswith("Neuropod Error: All dims with symbol 'N' should be the same size.")
    (tmp_path / "wrong").write_text("no package")
    with pytest.raises(RuntimeError, match="Neuropod Error: "):
        load_neuropod(tmp_path / "wrong", isolate=True)
    with pytest.raises(RuntimeError, match="no-such-host"):
        load_neuropod(fast, isolate=True, host="/no-such-host")
    unchecked = load_neuropod(fast, isolate=True, disable_shape_and_type_checking=True)
    with pytest.raises(RuntimeError, match="was not compiled for these arguments"):
        unchecked.infer({"x": np.float64([1]), "y": np.float64([1])})


def test_a_process_killed_at_random_100_times(fast):
    """Every call is right or an error; the next one is right again."""
    model, stop, lost, right = load_neuropod(fast, isolate=True), threading.Event(), 0, 0
    rng = random.Random(1)

    def killer():
        killed = 0
        while killed < 100 and not stop.is_set():
            time.sleep(rng.random() * 0.02)
            for pid in hosts():
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
        stop.set()

    thread = threading.Thread(target=killer, daemon=True)
    thread.start()
    x = np.arange(1000, dtype=np.float32)
    while not stop.is_set() and thread.is_alive():
        try:
            out = model.infer({"x": x, "y": x})["out"]
            assert np.array_equal(out, 2 * x)
            right += 1
        except RuntimeError as error:
            assert str(error) == LOST
            lost += 1
    thread.join()
    assert stop.is_set() and right > 0 and lost > 10
    try:  # the last one killed may not have been noticed yet
        model.infer({"x": x, "y": x})
    except RuntimeError:
        pass
    assert np.array_equal(model.infer({"x": x, "y": x})["out"], 2 * x)


def test_a_process_that_stands_still_is_lost(fast):
    before = set(hosts())
    model = load_neuropod(fast, isolate=True)
    (pid,) = set(hosts()) - before
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(RuntimeError) as caught:
        model.infer({"x": np.float32([1]), "y": np.float32([1])})
    assert str(caught.value) == LOST and 4 < time.monotonic() - start < 20
    assert model.infer({"x": np.float32([1]), "y": np.float32([1])})["out"].tolist() == [2]
    assert pid not in hosts()


def test_the_process_ends_with_its_parent(fast):
    import subprocess

    code = f"from firesteel.neuropod import load_neuropod; m = load_neuropod({str(fast)!r}, isolate=True); print(open('/proc/self/task/%d/children' % __import__('os').getpid()).read()); __import__('os')._exit(0)"
    pid = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout)
    for _ in range(100):
        if not pathlib.Path(f"/proc/{pid}").exists() or "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the host outlived its parent")
