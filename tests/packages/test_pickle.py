"""Reading pickles of numpy data, of every protocol, as Python's own module reads them; and refusing all else."""
import collections
import os
import pathlib
import pickle
import struct
import subprocess

import numpy as np
import pytest

BUILD = pathlib.Path(os.environ.get("FST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
ARRAYS = {
    "floats": np.array([[1.5, -2, np.inf], [np.nan, 0.0, -0.0]], np.float32),
    "doubles": np.linspace(0, 1, 5),
    "bytes": np.arange(256, dtype=np.uint8),
    "wide": np.array([-(2**63), 2**63 - 1]),
    **{f"i{n}": np.array([[1, -2]], f"int{n}") for n in (8, 16, 32)},
    **{f"u{n}": np.array([7, 2 ** (n - 1)], f"uint{n}") for n in (16, 32, 64)},
    "flags": np.array([True, False]),
    "halves": np.array([0.5], np.float16),
    "scalar": np.array(3, np.int64),
    "numpy_scalar": np.float32(2.5),
    "empty": np.zeros((0, 4), np.float32),
    "fortran": np.asfortranarray(np.arange(24, dtype=np.int32).reshape(2, 3, 4)),
    "sliced": np.arange(20, dtype=np.float64)[::3],
    "big_endian": np.array([1, 2, 3], ">i4"),
    "texts": np.array([["a", "", "bcd"], ["\u00e4\u20ac", "\U0001f600", "nul\0in"]]),
    "byte_texts": np.array([b"ab", b"\xff\xfe", b""]),
    "objects": np.array(["one", "zw\u00f6lf"], object),
    "n\u00e4me": np.array([1], np.int8),
}


def read(tmp_path, data):
    (tmp_path / "data.pkl").write_bytes(data)
    return subprocess.run([str(BUILD / "tests" / "read_pickle"), str(tmp_path / "data.pkl")], capture_output=True, text=True, timeout=60)


def line(name, array, kind="input"):
    array = np.asarray(array)
    word, sizes = array.dtype.newbyteorder("=").name, "".join(f"{n}," for n in array.shape)
    if array.dtype.kind in "USO":
        texts = [t if isinstance(t, bytes) else t.encode() for t in array.ravel().tolist()]
        return f"{name.encode().hex()} {kind} string ({sizes}) " + "".join(t.hex() + "," for t in texts)
    return f"{name.encode().hex()} {kind} {word} ({sizes}) {array.astype(array.dtype.newbyteorder('<')).tobytes().hex()}"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("expected", [None, {"out": np.arange(3)}])
def test_every_protocol(tmp_path, protocol, expected):
    done = read(tmp_path, pickle.dumps({"test_input": ARRAYS, "test_output": expected}, protocol))
    assert done.returncode == 0, done.stderr
    want = [line(k, v) for k, v in ARRAYS.items()] + [line(k, v, "output") for k, v in (expected or {}).items()]
    assert done.stdout.splitlines() == want


@pytest.mark.parametrize("protocol", range(6))
def test_older_and_other_spellings(tmp_path, protocol):
    data = pickle.dumps({"test_input": collections.OrderedDict(x=np.arange(4, dtype=np.int16)), "test_output": None}, protocol)
    for change in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy.core")):
        changed = data.replace(*change) if protocol < 4 else data  # later protocols count the letters
        done = read(tmp_path, changed)
        assert done.stdout.splitlines() == [line("x", np.arange(4, dtype=np.int16))], done.stderr


def test_python_2(tmp_path):
    """What Python 2.7 with numpy 1.16 wrote for {"test_input": {"x": np.array([1, 2], "<i4")}, "test_output": None}, protocol 0 and 2."""
    old = (b"(dp0\nS'test_input'\np1\n(dp2\nS'x'\np3\ncnumpy.core.multiarray\n_reconstruct\np4\n(cnumpy\nndarray\np5\n(I0\ntp6\nS'b'\np7\ntp8\nRp9\n"
           b"(I1\n(I2\ntp10\ncnumpy\ndtype\np11\n(S'i4'\np12\nI0\nI1\ntp13\nRp14\n(I3\nS'<'\np15\nNNNI-1\nI-1\nI0\ntp16\nbI00\n"
           b"S'\\x01\\x00\\x00\\x00\\x02\\x00\\x00\\x00'\np17\ntp18\nbssS'test_output'\np19\nNs.")
    assert pickle.loads(old, encoding="latin1")["test_input"]["x"].tolist() == [1, 2]
    assert read(tmp_path, old).stdout.splitlines() == [line("x", np.array([1, 2], np.int32))]


class Calls:
    def __init__(self, function, *args):
        self.what = function, args

    def __reduce__(self):
        return self.what


class Plain:
    pass


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value, part", [
    (Calls(os.system, "touch WITNESS"), "system'"),
    (Calls(eval, "open('WITNESS', 'w')"), "eval'"),
    (Calls(print, "x"), "print'"),
    ({1, 2}, "not numpy data only"),
    (Plain(), "not numpy data only"),
    (2**70, "64 bits"),
    (np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]), "V8"),
    (np.array(["2020-01-01"], "datetime64[D]"), "M8"),
    (np.array([1j]), "c16"),
    (np.array([1, "x"], object), "no texts"),
])
def test_refuses_all_else(tmp_path, monkeypatch, protocol, value, part):
    monkeypatch.chdir(tmp_path)
    done = read(tmp_path, pickle.dumps({"test_input": {"x": value}, "test_output": None}, protocol))
    assert done.returncode == 1 and part in done.stderr, (done.returncode, done.stderr)
    assert not (tmp_path / "WITNESS").exists()


def test_other_protocols_and_damage(tmp_path):
    assert "protocol 6" in read(tmp_path, b"\x80\x06}.").stderr
    assert "no dict" in read(tmp_path, pickle.dumps([1])).stderr
    assert "no dict 'test_input'" in read(tmp_path, pickle.dumps({})).stderr
    assert "no numpy array" in read(tmp_path, pickle.dumps({"test_input": {"x": [1]}})).stderr
    whole = pickle.dumps({"test_input": {"x": np.arange(6).reshape(2, 3)}, "test_output": None}, 4)
    for cut in range(len(whole)):
        assert read(tmp_path, whole[:cut]).returncode == 1


def test_few_bytes_take_no_memory(tmp_path):
    """A short file that mentions one large array often, or numbers its memo wildly, is refused."""
    array = np.zeros(100000, ">f8")
    bomb = pickle.dumps({"test_input": {str(i): array for i in range(5000)}, "test_output": None}, 4)
    assert "more memory" in read(tmp_path, bomb).stderr
    assert "memo" in read(tmp_path, b"\x80\x02}" + b"r" + struct.pack("<I", 2**31) + b".").stderr
