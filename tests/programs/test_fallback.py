"""Ops that only PyTorch runs: they alone go there, and what follows them is native."""
import pathlib
import sys

import firesteel
import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from functions import Cases, check  # noqa: E402

R = torch.randn
case = Cases()


def square(n):
    return R(n, n) + 3 * torch.eye(n)


@case((square(4), R(4)), (square(5), R(5)), (square(2), R(1)), (square(1), R(3)))
def linalg_inv_ex(x: Tensor, y: Tensor):
    return (torch.linalg.inv_ex(x)[0].contiguous() + y).relu() * 2


@case((R(4, 4), R(4, 2)), (R(7, 4), R(4, 3)), (R(3, 6), R(3, 1)), (R(1, 1), R(1, 1)), (R(0, 2), R(0, 2)))
def linalg_qr(x: Tensor, y: Tensor):
    """The number of columns is the smaller of two sizes; one result is column-major, and stays so."""
    q, r = torch.linalg.qr(x)
    return q @ y, q * 2, r + 1


@case((R(3, 4), R(4)), (R(2, 5), R(5)), (R(0, 3), R(1)), (R(1, 1), R(6)))
def special_bessel_j0(x: Tensor, y: Tensor):
    return torch.special.bessel_j0(x * 2) + torch.relu(y)


@case((R(5), R(8)), (R(4), R(6)), (R(3), R(1)))
def fft_hfft(x: Tensor, y: Tensor):
    """Cannot be tried without computing: its rank and dtype are found with zeros."""
    return torch.fft.hfft(x) * y + 1


@case((R(3, 4), 1), (R(3, 5), 0), (R(3, 6), -1))
def fft_rfft(x: Tensor, dim: int):
    """An argument that only the call knows: nothing is believed."""
    return torch.abs(torch.fft.rfft(x, None, dim)) + 1


@case((torch.zeros(5),), (R(5),), (torch.ones(2, 3),))
def _unique2(x: Tensor):
    """The size of the result is in the data."""
    return torch._unique2(x)[0] * 2


NOTHING_BELIEVED = {"fft_rfft": ["aten::abs", "aten::add.Scalar"]}
NATIVE = ["_unique2"]


@case.parametrize
def test_alone(function, calls, tmp_path):
    name = function.__name__
    module = check(function, calls, tmp_path, falls_back=["aten::" + name, *NOTHING_BELIEVED.get(name, [])])
    assert ("aten::" + name in module.report()["fallback_ops"]) != (name in NATIVE)


def test_refused_by_name_alone(tmp_path):
    path, out = tmp_path / "model.pt", tmp_path / "model.fst"
    torch.jit.script(linalg_qr).save(str(path))
    inputs = {"x": "f32[n, m]", "y": "f32[m, k]"}
    with pytest.raises(firesteel.Error) as raised:
        firesteel.compile(path, inputs=inputs, out=out)
    assert str(raised.value).count("aten::") == 1 and "aten::linalg_qr" in str(raised.value)
    firesteel.compile(path, inputs=inputs, out=out, allow_fallback=True)
    model, args = firesteel.load(out, allow_compile=False), (R(6, 4), R(4, 2))
    for got, wanted in zip(model(*args), linalg_qr(*args)):
        torch.testing.assert_close(got, wanted)
    assert list(model.report()["fallback_ops"]) == ["aten::linalg_qr"]
