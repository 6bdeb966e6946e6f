"""Real networks through both roads, native throughout: torchvision's, transformers', torch.nn's."""
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import networks  # noqa: E402
import side_by_side  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", networks.names())
def test_in_memory(name, tmp_path):
    side_by_side.in_memory(networks.save(name, tmp_path), networks.calls(name), is_deep=True)


@pytest.mark.parametrize("name", networks.names())
def test_ahead_of_time(name, tmp_path):
    side_by_side.ahead_of_time(networks.save(name, tmp_path), networks.calls(name), tmp_path, compiling={"target": "native"}, is_deep=True)
