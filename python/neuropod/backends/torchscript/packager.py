from firesteel.neuropod.packagers import create_torchscript_neuropod

__all__ = ["create_torchscript_neuropod"]
