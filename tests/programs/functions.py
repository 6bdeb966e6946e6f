"""Functions to script, each with the arguments of its calls, for the tests of programs:

    case = Cases()

    @case((1, 2), raises("division by 0", 1, 0))
    def quotient(a: int, b: int):
        return a // b

    @case.parametrize
    def test_quotients(function, calls, tmp_path):
        check(function, calls, tmp_path)
"""
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import side_by_side  # noqa: E402
import zoo  # noqa: E402


class Cases(list):
    def __call__(self, *calls):
        def register(function):
            self.append((function, calls))
            return function
        return register

    @property
    def parametrize(self):
        return pytest.mark.parametrize("function,calls", list(self), ids=[f.__name__ for f, _ in self])


def raises(text, *args):
    """The arguments of a call that must fail with this in its text."""
    return zoo.Call(args, error=text)


def check(function, calls, tmp_path, falls_back=()):
    """Every call gives in memory what PyTorch's gives. Returns the module."""
    path = tmp_path / "function.pt"
    torch.jit.script(function).save(str(path))
    return side_by_side.in_memory(path, [c if isinstance(c, zoo.Call) else zoo.Call(c) for c in calls], falls_back=falls_back)
