from firesteel.neuropod.loader import load_neuropod

__all__ = ["load_neuropod"]
