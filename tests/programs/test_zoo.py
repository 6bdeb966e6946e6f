"""Every model of the zoo through the whole road, compiled in memory: results, exceptions and state as PyTorch's."""
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import zoo  # noqa: E402

import firesteel  # noqa: E402


def plain(value):
    """Both sides in one form: tensors stay, named tuples and objects become tuples."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def check(got, want):
    if isinstance(want, torch.Tensor):
        got = torch.as_tensor(got)
        torch.testing.assert_close(got, want, equal_nan=True)
    elif isinstance(want, dict):
        assert list(got) == list(want)
        for k in want:
            check(got[k], want[k])
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            check(g, w)
    elif isinstance(want, float):
        assert got == pytest.approx(want, nan_ok=True)
    else:
        assert got == want and type(got) is type(want)


def same_arguments(args):
    """A copy, so that a model that writes into its inputs writes into both sides' own."""
    return tuple(plain(a) if isinstance(a, torch.Tensor) else [plain(x) for x in a] if isinstance(a, list) else a for a in args)


def reference_call(module, call, args):
    # Calling the module, not its forward: that is what runs a root's hooks.
    return module(*args) if call.method == "forward" else getattr(module, call.method)(*args)


def run_side_by_side(path, calls):
    ours, theirs = firesteel.load(str(path)), torch.jit.load(str(path))
    for call in calls:
        mine, reference = same_arguments(call.args), same_arguments(call.args)
        if call.error:
            with pytest.raises(Exception):
                reference_call(theirs, call, reference)
            with pytest.raises(firesteel.Error) as raised:
                ours.method(call.method)(*mine)
            assert call.error in str(raised.value)
            continue
        with torch.no_grad():
            want = plain(reference_call(theirs, call, reference))
        check(plain(ours.method(call.method)(*mine)), want)
        check(list(mine), list(reference))  # what was written into arguments
    return ours


@pytest.mark.parametrize("name", zoo.names())
def test_in_memory(name, tmp_path):
    run_side_by_side(zoo.save(name, tmp_path), zoo.calls(name))
