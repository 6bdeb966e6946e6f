from firesteel.neuropod.packagers import create_python_neuropod, create_pytorch_neuropod, create_torchscript_neuropod

__all__ = ["create_python_neuropod", "create_pytorch_neuropod", "create_torchscript_neuropod"]
