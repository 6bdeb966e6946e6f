"""Loading packages and calling them as Neuropod does: numpy arrays by name in, numpy arrays by name out."""

import os
import warnings

import numpy as np

import firesteel
from firesteel import _firesteel


class NeuropodError(firesteel.Error):
    """A failure with Neuropod's prefix; a RuntimeError, as there."""


def _failure(error):
    return NeuropodError(f"Neuropod Error: {error}")


def _decoded(array):
    """A list of texts of an array of them. UTF-8 that is none survives the way to the model and back."""
    if array.ndim != 1:
        raise _failure(f"Only 1D TorchScript string tensors are supported. Got a tensor with {array.ndim} dimensions")
    return [text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text for text in array.tolist()]


def _input(name, value):
    array = np.asarray(value)
    if array.dtype.kind in "US":
        return _decoded(array)
    if array.dtype.kind not in "biufc":
        raise _failure(f"Unsupported array type in python bindings: {array.dtype.char}")
    if not array.flags.c_contiguous:
        warnings.warn(f"The input '{name}' is not contiguous and is copied", stacklevel=4)
        array = np.ascontiguousarray(array).reshape(array.shape)
    return array


def _output(value):
    if isinstance(value, list):
        return np.array(value, dtype=np.str_)
    return value if isinstance(value, np.ndarray) else np.asarray(value)


class _Here:
    """A model in this process."""

    def __init__(self, path, check, strict_symbols, kwargs):
        self._model, self._checks = firesteel.load(path, **kwargs), {"check": check, "strict_symbols": strict_symbols}
        self.name, self.specs = self._model.package_name, self._model.specs()

    def infer(self, inputs, outputs):
        return self._model.infer(inputs, outputs, **self._checks)


class _There:
    """A model in a process of its own."""

    def __init__(self, path, check, strict_symbols, kwargs):
        kwargs = dict(kwargs)
        if kwargs.pop("device", "cpu") != "cpu":
            raise firesteel.Error("isolate=True runs models on the CPU")
        if "options" in kwargs:
            kwargs["compile_options"] = kwargs.pop("options")
        self._pod = _firesteel.Pod(path, no_compile=not kwargs.pop("allow_compile", True), no_check=not check, strict_symbols=strict_symbols, **kwargs)
        self.name, self.specs = self._pod.package_name(), {"inputs": self._pod.specs(False), "outputs": self._pod.specs(True)}

    def infer(self, inputs, outputs):
        return self._pod.infer(inputs, list(outputs))


class NeuropodExecutor:
    """A loaded package. Use it as a context manager, or not at all so."""

    def __init__(self, model):
        self._model = model
        self.name, self.platform = model.name, "torchscript"
        specs = model.specs
        self.inputs, self.outputs = ([{"name": name, "dtype": dtype, "shape": list(dims)} for name, dtype, dims in specs[key]] for key in ("inputs", "outputs"))

    def infer(self, inputs, requested_outputs=()):
        """A dict of arrays by name; all outputs, or the requested ones. The caller's dict and arrays stay as they are."""
        given = {name: _input(name, value) for name, value in inputs.items()}
        try:
            result = self._model.infer(given, requested_outputs)
        except firesteel.Error as error:
            raise _failure(error) from error
        return {name: _output(value) for name, value in result.items()}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False


def load_neuropod(neuropod_path, _always_use_native=True, *, visible_gpu=0, disable_shape_and_type_checking=False, strict_symbols=False, isolate=False, **kwargs):
    """Opens a package, a file or a folder, compiled or not.

    `visible_gpu` is the number of a GPU, or None for the CPU; without a GPU models run on the CPU, as with Neuropod.
    `isolate=True` runs it in a process of its own: if that dies, the call fails, and the next one starts it again.
    Further arguments are firesteel.load's.
    """
    if not _always_use_native:
        raise ValueError("`_always_use_native` must be True: there is no other way to load a package")
    if visible_gpu is not None and (isinstance(visible_gpu, bool) or not isinstance(visible_gpu, int) or visible_gpu < 0):
        raise ValueError(f"visible_gpu must be None or the number of a GPU, not {visible_gpu!r}")
    if "load_custom_ops" in kwargs:
        raise ValueError("Got unexpected keyword argument load_custom_ops")
    path = os.fspath(neuropod_path)
    if not os.path.exists(path):
        raise _failure(f"Error loading Neuropod. No file or directory at '{path}'")
    try:
        model = (_There if isolate else _Here)(path, not disable_shape_and_type_checking, strict_symbols, kwargs)
    except firesteel.Error as error:
        raise _failure(error) from error
    if not model.name:
        raise _failure(f"Error loading config file for neuropod '{path}'")
    return NeuropodExecutor(model)
