from firesteel.neuropod.packagers import create_python_neuropod

__all__ = ["create_python_neuropod"]
