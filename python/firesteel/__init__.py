"""Run TorchScript archives, Neuropod packages and compiled models as native code.

    m = firesteel.load("model.pt")        # archive, Neuropod (zip or folder), or .fst
    y = m(x)                              # numpy in, numpy out; torch in, torch out
    firesteel.compile("model.pt", inputs={"x": "f32[N, 3, 224, 224]"}, out="model.fst")
"""

from firesteel import _firesteel, _results
from firesteel._firesteel import Error, Tensor
from firesteel._compile import compile
from firesteel._model import Method, Model, load
from firesteel._results import EnumMember, Object

__version__ = _firesteel.version()
__all__ = ["load", "compile", "Model", "Method", "Error", "Tensor", "Object", "EnumMember"]

_firesteel.set_make_object(_results.make_object)
