"""The checks of check.py under pytest, on a machine with a GPU; FST_GPU_FOLDER is what build.py made."""
import os
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check  # noqa: E402

FOLDER = pathlib.Path(os.environ.get("FST_GPU_FOLDER", "build/gpu"))
if not torch.cuda.is_available():
    pytest.skip("no GPU: PyTorch sees no CUDA device here", allow_module_level=True)
if not FOLDER.is_dir():
    pytest.skip(f"no models for the GPU: make {FOLDER} with tests/gpu/build.py", allow_module_level=True)
check.use(FOLDER)
CHECKS = dict(check.checks(FOLDER))


@pytest.mark.parametrize("name", CHECKS)
def test_gpu(name):
    CHECKS[name](FOLDER)
