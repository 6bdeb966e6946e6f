"""Neuropod's names over firesteel.neuropod, so that code written for Neuropod runs as it is."""

from firesteel.neuropod import load_neuropod

__all__ = ["load_neuropod"]
