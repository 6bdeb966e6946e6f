"""Loading and calling."""

import json
import os
import zipfile

from firesteel import _firesteel
from firesteel._firesteel import Error
from firesteel._results import rebuilder


def load(path, device="cpu", threads=1, method="forward", *, target=None, worker=None, options=None, copy_weights=False,
         verify_weights=False, allow_compile=True, dynamic_shapes=False, time_limit=0, graphs=False):
    """Opens an archive, a Neuropod package (zip or folder) or a compiled .fst.

    Archives are compiled when a method is first called with arguments of a new kind. `method` is what calling
    the model calls; `options` goes on to the compiler ("name=value ..."); `time_limit`: seconds that reading or compiling
    an archive may take each time, 0 is 600. `device`: "cpu", "cuda" or "cuda:1"; results are where the arguments were.
    `graphs`: there, calls with sizes seen before run as one CUDA graph, where the model allows it; each takes memory.
    """
    if not isinstance(threads, int) or threads < 1:
        raise Error(f"threads must be a positive int, not {threads!r}")
    if threads > 1:
        options = f"threads={threads} {options or ''}".strip()
    path = os.fspath(path)
    native = _firesteel.Model(path, target=target, worker=worker, compile_options=options, copy_weights=copy_weights,
                              verify_weights=verify_weights, no_compile=not allow_compile, dynamic_shapes=dynamic_shapes, time_limit=time_limit,
                              device=str(device), graphs=graphs)
    return Model(native, path, method)


class Method:
    """One method of a model: call it as the model's own."""

    __slots__ = ("name", "arguments", "result_type", "has_state", "_native", "_rebuild")

    def __init__(self, native, row):
        self.name, self.arguments, self.result_type, self.has_state = row
        self._native = native
        self._rebuild = rebuilder(self.result_type)

    def __call__(self, *args, **kwargs):
        result = self._native.infer(self.name, args, kwargs)
        return self._rebuild(result) if self._rebuild else result

    def __repr__(self):
        arguments = ", ".join(f"{name}: {type_text}" + (" = ..." if optional else "") for name, type_text, optional in self.arguments)
        return f"<firesteel method {self.name}({arguments}) -> {self.result_type}>"


class Model:
    """An instance of a model, with state of its own. May be called from several threads."""

    def __init__(self, native, path, method="forward"):
        self._native, self._path = native, path
        self._methods = {row[0]: Method(native, row) for row in native.methods()}
        self._default = method
        if method != "forward" or not self._methods:
            self.method(method)

    def __call__(self, *args, **kwargs):
        return self.method(self._default)(*args, **kwargs)

    def method(self, name):
        found = self._methods.get(name)
        if found is None:
            raise Error(f"the model has no method '{name}'; it has {', '.join(self._methods) or 'none'}")
        return found

    @property
    def methods(self):
        return list(self._methods)

    def infer(self, inputs, outputs=(), *, check=True, strict_symbols=False):
        """By name, Neuropod's way: a dict of inputs, a dict of outputs (all, or those named in `outputs`).

        What goes in and out of a package is compared with its specs unless `check` is false; `strict_symbols`: a symbol of
        the specs is one size in inputs and outputs together.
        """
        if not isinstance(inputs, dict):
            raise Error(f"infer() takes a dict of inputs by name, not a {type(inputs).__name__}")
        self.method(self._default)
        return self._native.infer_map(self._default, inputs, list(outputs), not check, strict_symbols)

    def specs(self):
        """Neuropod's specs: {"inputs": [(name, dtype, dims)], "outputs": [...]}."""
        return {"inputs": self._native.specs(False), "outputs": self._native.specs(True)}

    @property
    def package_name(self):
        """The name in a Neuropod's config; "" for a plain archive."""
        return self._native.package_name()

    def clone(self):
        """An instance with a copy of the state, sharing code and weights."""
        return Model(self._native.clone(), self._path, self._default)

    def report(self):
        return json.loads(self._native.report())

    def dump(self, stage="fused", method=None):
        """The IR at a stage; from "typed" on, of the arguments that were compiled last."""
        return self._native.dump(method or self._default, stage)

    @property
    def graph(self):
        return self.dump("imported")

    @property
    def inlined_graph(self):
        return self.dump("inlined")

    @property
    def code(self):
        """The archive's own source text, all its files."""
        if not zipfile.is_zipfile(self._path):
            raise Error(f"{self._path} holds no source")
        with zipfile.ZipFile(self._path) as archive:
            files = [name for name in archive.namelist() if "/code/" in name and name.endswith(".py")]
            if not files:
                raise Error(f"{self._path} holds no source")
            return "\n".join(f"# {name.split('/', 1)[1]}\n{archive.read(name).decode()}" for name in sorted(files))

    def __repr__(self):
        return f"<firesteel model {self._path}: {', '.join(repr(m)[len('<firesteel method '):-1] for m in self._methods.values())}>"
