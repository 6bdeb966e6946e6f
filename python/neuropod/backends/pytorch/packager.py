from firesteel.neuropod.packagers import create_pytorch_neuropod

__all__ = ["create_pytorch_neuropod"]
