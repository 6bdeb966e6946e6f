"""Every program of the zoo through both roads: results, exceptions and state as PyTorch's."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import firesteel  # noqa: E402
import side_by_side  # noqa: E402
import zoo  # noqa: E402

# Programs with ops that have no native code yet.
FALL_BACK = {"inputs": ["aten::mul.Scalar"]}


@pytest.mark.parametrize("name", zoo.names())
def test_in_memory(name, tmp_path):
    side_by_side.in_memory(zoo.save(name, tmp_path), zoo.calls(name), falls_back=FALL_BACK.get(name, ()))


@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in FALL_BACK])
def test_ahead_of_time(name, tmp_path):
    side_by_side.ahead_of_time(zoo.save(name, tmp_path), zoo.calls(name), tmp_path)


@pytest.mark.parametrize("name", FALL_BACK)
def test_refused_by_name(name, tmp_path):
    with pytest.raises(firesteel.Error) as raised:
        side_by_side.ahead_of_time(zoo.save(name, tmp_path), zoo.calls(name), tmp_path)
    assert all(op in str(raised.value) for op in FALL_BACK[name])
