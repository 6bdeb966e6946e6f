"""Archives of all format versions: what an op meant when its archive was written holds (PyTorch's upgraders)."""
import pathlib
import sys
import zipfile

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import side_by_side  # noqa: E402
from side_by_side import Call  # noqa: E402


class Aged(nn.Module):
    """Ops whose meaning or arguments changed: div (before 4: rounds integers), full (before 5: always floats),
    linspace and logspace (before 8 and 9: steps may be left out), gelu (before 10: no approximation)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))

    def forward(self, x: Tensor, n: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return (torch.div(n, 2), n / n.add(1), torch.full([2], 3, dtype=torch.float32) + x.sum(), torch.linspace(0, 1, steps=4) * x[0, 0],
                nn.functional.gelu(x @ self.weight))


CALLS = [Call((torch.randn(3, 2), torch.tensor([-7, 3, 8]))), Call((torch.randn(1, 2), torch.tensor([5])))]


def with_version(archive, out, version):
    """The same archive as an older PyTorch would have marked it."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            if name.endswith("/.data/version"):
                new.writestr(name.replace("/.data/", "/"), f"{version}\n")
            else:
                new.writestr(name, old.read(name))
    return out


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("versions") / "aged.pt"
    torch.jit.script(Aged()).save(str(path))
    return path


@pytest.mark.parametrize("version", range(3, 11))
def test_both_roads(version, archive, tmp_path):
    path = with_version(archive, tmp_path / "aged.pt", version)
    results = torch.jit.load(str(path))(*CALLS[0].args)
    assert results[0].dtype == (torch.int64 if version < 4 else torch.float32)  # the upgraders were at work
    side_by_side.in_memory(path, CALLS)
    side_by_side.ahead_of_time(path, CALLS, tmp_path)
