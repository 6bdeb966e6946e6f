"""Ahead-of-time compilation, through the command: the compiler never lives in the caller's process."""

import os
import shutil
import subprocess
import sys
import tempfile

from firesteel._firesteel import Error

_TYPES = {"uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "float16": "f16", "float32": "f32",
          "float64": "f64", "complex64": "c64", "complex128": "c128", "bool": "b8", "bfloat16": "bf16"}


def _command():
    given = os.environ.get("FIRESTEEL_COMMAND")
    here = os.path.dirname(os.path.abspath(__file__))
    for place in [given, os.path.join(here, "bin", "firesteel"), os.path.join(here, "..", "..", "bin", "firesteel"), shutil.which("firesteel")]:
        if place and os.access(place, os.X_OK):
            return place
    raise Error("cannot compile: the command 'firesteel' is not beside the module and not on the path (set FIRESTEEL_COMMAND)")


def _type_of(value):
    """An example as the type it stands for; a text is a type already."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if value is None:
        return "None"
    if isinstance(value, list) and value:
        return f"List[{_type_of(value[0])}]"
    if isinstance(value, tuple):
        return f"Tuple[{', '.join(_type_of(v) for v in value)}]"
    if isinstance(value, dict) and value:
        kinds = {_type_of(v) for v in value.values()}
        return f"Dict[{_type_of_key(next(iter(value)))}, {kinds.pop() if len(kinds) == 1 else 'Tensor'}]"
    dtype = str(getattr(value, "dtype", "")).replace("torch.", "")
    if dtype in _TYPES and hasattr(value, "shape"):
        return f"{_TYPES[dtype]}[{', '.join(str(int(size)) for size in value.shape)}]"
    raise Error(f"an example of type {type(value).__name__} says nothing about an input; pass an array or a type such as 'f32[N, 3]'")


def _type_of_key(key):
    return "str" if isinstance(key, str) else _type_of(key)


def _inputs(inputs):
    if inputs is None:
        return []
    if isinstance(inputs, dict):
        return [f"{name}: {_type_of(value)}" for name, value in inputs.items()]
    if isinstance(inputs, str):
        return [inputs]
    return [value if isinstance(value, str) else _type_of(value) for value in inputs]


def _arguments(source, inputs, out, target, methods, options):
    command = [_command(), "compile", source, "-o", out]
    if methods and inputs is not None:
        raise Error("pass inputs, or methods with the inputs of each, not both")
    for name, given in methods.items() if isinstance(methods, dict) else methods or []:
        command += ["--method", name]
        for text in _inputs(given):
            command += ["--input", text]
    for text in _inputs(inputs):
        command += ["--input", text]
    if target:
        command += ["--target", target if isinstance(target, str) else ",".join(target)]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            command.append(flag)
        elif value not in (None, False):
            command += [flag, str(value)]
    return command


def compile(path_or_module, inputs=None, out="model.fst", target=None, methods=None, **options):
    """Compiles an archive, a package, or a scripted module in memory, to an artifact; returns its path.

    `inputs`: {"x": "f32[N, 3, 224, 224]", "k": 3}: types, or examples that stand for theirs. `methods` instead of it:
    {"encode": {"x": ...}, "reset": None}, or pairs of a name and inputs, where a method has several signatures.
    Options are the command's: method="encode", allow_fallback=True, eval=True, ...
    """
    out = os.fspath(out)
    if hasattr(path_or_module, "save") and not isinstance(path_or_module, (str, os.PathLike)):
        with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
            source = os.path.join(folder, "model.pt")
            path_or_module.save(source)
            return _run(_arguments(source, inputs, out, target, methods, options), out)
    return _run(_arguments(os.fspath(path_or_module), inputs, out, target, methods, options), out)


def _run(command, out):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode != 0:
        text = done.stderr.strip() or f"the compiler ended with code {done.returncode}"
        raise Error(text.removeprefix("firesteel: "))
    if done.stderr.strip():
        print(done.stderr.strip(), file=sys.stderr)
    return out
