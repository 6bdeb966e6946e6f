"""Makes what tests/gpu/check.py and bench/gpu/bench.py take to a machine with a GPU, without one here:

    build.py FOLDER [--only TEXT] [--target cuda:sm_90,cuda:compute_80] [--pack]

FOLDER gets, for every case, NAME.fst, compiled ahead of time, and NAME.pt with the arguments of its calls and what PyTorch
returns for them on the CPU; the runtime with its Python module; the scripts; and one file, FOLDER.tar.xz, of all that.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import cases  # noqa: E402

import firesteel  # noqa: E402


def file_name(name):
    return re.sub(r"\W+", "_", name).strip("_")


def copied(value):
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(copied(v) for v in value) if not hasattr(value, "_fields") else tuple(copied(v) for v in value)
    return value


def expected(case, archive):
    module = torch.jit.load(str(archive)).eval()
    out = []
    for method, arguments in case.calls:
        with torch.no_grad():
            result = module(*copied(arguments)) if method == "forward" else getattr(module, method)(*copied(arguments))
        out.append((method, arguments, copied(result)))
    return out


def build(folder, name, case, target):
    base = folder / file_name(name)
    archive = case.module
    if not isinstance(archive, pathlib.Path):
        archive = base.with_suffix(".archive")
        scripted = case.module if isinstance(case.module, torch.jit.ScriptModule) else torch.jit.script(case.module.eval())
        scripted.save(str(archive))
    options = {"force": True, "target": target}
    if isinstance(case.types, dict) and "forward" in case.types:
        options["methods"] = case.types
    else:
        names = [row[0] for row in firesteel.load(archive).method("forward").arguments]
        given = case.calls[0][1]
        options["inputs"] = case.types or {n: a for n, a in zip(names, given)}
    firesteel.compile(archive, out=base.with_suffix(".fst"), **options)
    torch.save({"name": name, "calls": expected(case, archive), "tolerance": case.tolerance}, base.with_suffix(".pt"))
    if archive.suffix == ".archive":
        archive.unlink()


def runtime(folder):
    here = pathlib.Path(firesteel.__file__).parent
    lib = here.parents[1] / "lib"
    shutil.copytree(here, folder / "firesteel", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for name in ("libfiresteel_rt.so", "libfiresteel_cuda.so"):
        shutil.copy(lib / name, folder / "firesteel" / name)   # the module looks beside itself, too
    for script in [HERE / "check.py", HERE / "test_gpu.py", *(HERE.parents[1] / "bench" / "gpu").glob("[!_]*.py")]:
        shutil.copy(script, folder / script.name)
    for file in (folder / "firesteel").glob("*.so"):
        subprocess.run(["strip", "--strip-unneeded", str(file)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--pack", action="store_true", help="write FOLDER.tar.xz, too")
    parser.add_argument("--target", default="cuda:sm_90")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    runtime(options.folder)
    refused = 0
    for name, case in cases.CASES.items():
        if options.only not in name:
            continue
        try:
            build(options.folder, name, case, options.target)
            print(f"{name}: built", flush=True)
        except Exception as error:
            refused += 1
            print(f"{name}: NOT built: {str(error)[:600]}", flush=True)
    if options.pack:
        with tarfile.open(f"{options.folder}.tar.xz", "w:xz", preset=1) as tar:
            tar.add(options.folder, arcname=options.folder.name)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
