"""Neuropod's packagers, with its arguments. The package itself is written by `firesteel pack`, so there is one writer."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

from firesteel._compile import _command

_DTYPES = ("float32", "float64", "string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


# ---- specs ----


def _dtype(name, dtype):
    if isinstance(dtype, str) and dtype == "string":
        return dtype
    try:
        canonical = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"{dtype} is not an allowed data type!") from None
    word = "string" if canonical.kind in "US" else canonical.name
    if word not in _DTYPES:
        raise ValueError(f"{dtype} is not an allowed data type! '{name}' must be of one of {', '.join(_DTYPES)}")
    return word


def _dim(name, dim):
    if dim is None or isinstance(dim, str):
        return dim
    if isinstance(dim, (int, np.integer)) and not isinstance(dim, bool) and dim > 0:
        return int(dim)
    raise ValueError(f"All items in 'shape' must be either None, a string, or a positive integer. Got {dim!r} in the shape of '{name}'")


def _spec(items):
    out = []
    for item in items:
        name, shape = item["name"], item["shape"]
        if not isinstance(name, str):
            raise ValueError(f"Field 'name' must be a string! Got value {name!r} of type {type(name).__name__}")
        if not isinstance(shape, (list, tuple)):
            raise ValueError(f"Field 'shape' must be a tuple! Got value {shape!r} of type {type(shape).__name__}")
        out.append({"name": name, "dtype": _dtype(name, item["dtype"]), "shape": [_dim(name, dim) for dim in shape]})
    return out


def _devices(input_spec, given, default):
    names = [item["name"] for item in input_spec]
    devices = {name: default for name in names} | dict(given or {})
    for name, device in devices.items():
        if name not in names:
            raise ValueError(f"The device of '{name}' is given, but the input spec has no such tensor")
        if device not in ("GPU", "CPU"):
            raise ValueError(f"Device must either be 'GPU' or 'CPU'. Got {device!r} for '{name}'")
    return devices


# ---- test data ----


def _arrays(data):
    return {name: np.asarray(value) for name, value in data.items()}


def _matches(found, want):
    if np.asarray(want).dtype.kind in "USO":
        return np.array_equal(np.asarray(found).astype(np.str_), np.asarray(want).astype(np.str_))
    return np.allclose(found, want)


_TRY_PYTHON = "from firesteel.neuropod.packagers import _try_python; import sys; _try_python(sys.argv[1], sys.argv[2])"


def _try_python(package, data):
    """In a process of its own: the package's entry point on the pickled inputs (ours, not a stranger's: they were just made)."""
    with open(data, "rb") as file:
        tests = pickle.load(file)
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
        if os.path.isdir(package):
            shutil.copytree(package, folder, dirs_exist_ok=True)
        else:
            with zipfile.ZipFile(package) as archive:
                archive.extractall(folder)
        with open(os.path.join(folder, "0", "config.json")) as file:
            config = json.load(file)
        sys.path[:0] = [os.path.join(folder, "0", "ops"), os.path.join(folder, "0", "code")]
        module = __import__(config["entrypoint_package"], fromlist=[config["entrypoint"]])
        model = getattr(module, config["entrypoint"])(os.path.join(folder, "0", "data"))
        found = model(**tests["test_input"])
        for name, want in (tests["test_output"] or {}).items():
            if name not in found or not _matches(found[name], want):
                sys.exit(f"{name} does not match expected value!")


def _run(command, package):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode == 0:
        return
    if package:
        shutil.rmtree(package) if os.path.isdir(package) else os.path.exists(package) and os.remove(package)
    lines = [line.removeprefix("firesteel: ") for line in done.stderr.strip().splitlines()] or [f"it ended with code {done.returncode}"]
    raise ValueError("\n".join(lines))


# ---- packing ----


def _pack(platform, neuropod_path, model_name, input_spec, output_spec, files, *, model_path=None, platform_version_semver="*", input_tensor_device=None,
          default_input_tensor_device="GPU", custom_ops=(), package_as_zip=True, zip_compression=zipfile.ZIP_DEFLATED, test_input_data=None,
          test_expected_out=None, persist_test_data=True, neuropod_load_args=None, **_):
    path = os.fspath(neuropod_path)
    if os.path.exists(path):
        raise ValueError(f"The specified neuropod path ({path}) already exists! Aborting...")
    if not isinstance(model_name, str):
        raise ValueError(f"Field 'name' must be a string! Got value {model_name!r} of type {type(model_name).__name__}")
    if test_expected_out is not None and test_input_data is None:
        raise ValueError("test_expected_out needs test_input_data")
    if zip_compression not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("zip_compression must be ZIP_STORED or ZIP_DEFLATED: no other can be read by Neuropod")
    inputs, outputs = _spec(input_spec), _spec(output_spec)
    spec = {"input_spec": inputs, "output_spec": outputs, "input_tensor_device": _devices(inputs, input_tensor_device, default_input_tensor_device)}
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
        spec_path, data_path, root = (os.path.join(folder, name) for name in ("spec.json", "test_data.pkl", "root"))
        with open(spec_path, "w") as file:
            json.dump(spec, file)
        os.makedirs(root)
        files(root)
        command = [_command(), "pack", "-o", path, "--name", model_name, "--spec", spec_path, "--platform", platform, "--platform-version", platform_version_semver, "--root", root]
        command += [] if package_as_zip else ["--folder"]
        command += ["--compression", "stored"] if zip_compression == zipfile.ZIP_STORED else []
        for op in custom_ops or ():
            command += ["--custom-op", os.fspath(op)]
        if test_input_data is not None:
            tests = {"test_input": _arrays(test_input_data), "test_output": None if test_expected_out is None else _arrays(test_expected_out)}
            with open(data_path, "wb") as file:
                pickle.dump(tests, file, protocol=2)
            command += ["--test-data", data_path] + ([] if persist_test_data else ["--no-persist"])
        if model_path is not None:
            command += ["--", os.fspath(model_path)]
        _run(command, None)
        if test_input_data is not None and platform == "python":
            _run([sys.executable, "-c", _TRY_PYTHON, path, data_path], path)


def create_torchscript_neuropod(*, neuropod_path, model_name, input_spec, output_spec, module=None, module_path=None, **kwargs):
    """Packages a ScriptModule, or an archive that was saved from one. With `test_input_data` the package is tried at once, in a process
    of its own; one that fails is removed and a ValueError says why."""
    if (module is None) == (module_path is None):
        raise ValueError("Exactly one of 'module' and 'module_path' must be provided.")
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
        path = module_path
        if module is not None:
            path = os.path.join(folder, "model.pt")
            module.save(path)
        _pack("torchscript", neuropod_path, model_name, input_spec, output_spec, lambda root: None, model_path=path, **kwargs)


def _copy_code(python_root, package, target):
    source = os.path.join(python_root, package)
    if not os.path.isdir(source):
        raise ValueError(f"code_path_spec names {source}, which is no folder")
    shutil.copytree(source, os.path.join(target, package), dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pyc", "__pycache__"))


def _add_init_files(code):
    for folder, _, names in os.walk(code):
        if "__init__.py" not in names:
            open(os.path.join(folder, "__init__.py"), "w").close()


def _lock(requirements):
    """Pinned requirements; pip-tools resolves what is not pinned yet."""
    lines = [line.strip() for line in requirements.splitlines() if line.strip() and not line.strip().startswith("#")]
    if all("==" in line for line in lines):
        return "\n".join(lines) + "\n"
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
        source, locked = os.path.join(folder, "requirements.txt"), os.path.join(folder, "requirements.lock")
        with open(source, "w") as file:
            file.write(requirements)
        _run([sys.executable, "-m", "piptools", "compile", "--no-header", "--no-annotate", "--quiet", "--output-file", locked, source], None)
        with open(locked) as file:
            return file.read()


def _python_files(root, data_paths, code_path_spec, entrypoint_package, entrypoint, requirements):
    code, data = os.path.join(root, "0", "code"), os.path.join(root, "0", "data")
    os.makedirs(code)
    os.makedirs(data)
    for item in data_paths or ():
        source, target = os.fspath(item["path"]), os.path.join(data, item["packaged_name"])
        if not os.path.exists(source):
            raise ValueError(f"data_paths names {source}, which does not exist")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copytree(source, target) if os.path.isdir(source) else shutil.copyfile(source, target)
    for item in code_path_spec:
        for package in item["dirs_to_package"]:
            _copy_code(os.fspath(item["python_root"]), package, code)
    _add_init_files(code)
    with open(os.path.join(root, "0", "config.json"), "w") as file:
        json.dump({"entrypoint": entrypoint, "entrypoint_package": entrypoint_package}, file)
    if requirements is not None:
        with open(os.path.join(root, "0", "requirements.lock"), "w") as file:
            file.write(_lock(requirements))


def _scripted(root, entrypoint_package, entrypoint):
    """The module that the entry point returns, scripted; its code is imported as a package's would be."""
    import torch

    before, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, os.path.join(root, "0", "code"))
    try:
        module = getattr(__import__(entrypoint_package, fromlist=[entrypoint]), entrypoint)(os.path.join(root, "0", "data"))
        if not isinstance(module, torch.nn.Module):
            raise ValueError(f"compile_to='torchscript' needs an entry point that returns a torch.nn.Module, not a {type(module).__name__}")
        return module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module)
    finally:
        sys.path[:] = before
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__file__", None) and sys.modules[name].__file__.startswith(root):
                del sys.modules[name]


def create_python_neuropod(*, neuropod_path, model_name, input_spec, output_spec, code_path_spec, entrypoint_package, entrypoint, data_paths=(), requirements=None,
                           compile_to=None, **kwargs):
    """Packages Python code whose entry point, called with the folder of the data, returns the model as a function.

    With `compile_to="torchscript"` the entry point returns a torch.nn.Module, which is scripted and packaged instead of the code.
    """
    if compile_to not in (None, "torchscript"):
        raise ValueError(f"compile_to must be None or 'torchscript', not {compile_to!r}")
    for item in code_path_spec:
        inside = os.path.relpath(os.path.realpath(neuropod_path), os.path.realpath(item["python_root"]))
        if any(d == "" for d in item["dirs_to_package"]) and not inside.startswith(".."):
            raise ValueError(f"The package cannot be written to {neuropod_path}: that is within the code to be packaged")
    parts = (data_paths, code_path_spec, entrypoint_package, entrypoint, requirements)
    if compile_to is None:
        _pack("python", neuropod_path, model_name, input_spec, output_spec, lambda root: _python_files(root, *parts), **kwargs)
        return
    with tempfile.TemporaryDirectory(prefix="firesteel-") as root:
        _python_files(root, *parts)
        create_torchscript_neuropod(neuropod_path=neuropod_path, model_name=model_name, input_spec=input_spec, output_spec=output_spec,
                                    module=_scripted(root, entrypoint_package, entrypoint), **kwargs)


def create_pytorch_neuropod(**kwargs):
    """create_python_neuropod, for code that uses PyTorch."""
    create_python_neuropod(**kwargs)
