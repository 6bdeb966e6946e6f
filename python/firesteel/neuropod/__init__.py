"""Neuropod's Python API: loading and calling packages, and making them.

    with load_neuropod("addition.neuropod") as model:
        out = model.infer({"x": np.float32([1, 2]), "y": np.float32([3, 4])})["out"]
"""

from firesteel.neuropod.loader import NeuropodError, NeuropodExecutor, load_neuropod
from firesteel.neuropod.packagers import create_python_neuropod, create_pytorch_neuropod, create_torchscript_neuropod

__all__ = ["load_neuropod", "NeuropodExecutor", "NeuropodError", "create_torchscript_neuropod", "create_python_neuropod", "create_pytorch_neuropod"]
