"""Every header compiles alone, under gcc and, where it is installed, clang.

check_headers.py SOURCE_TREE [INCLUDE_FOLDER...]
"""
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import sysconfig

FOLDERS = ["base", "ir", "passes", "codegen", "driver", "frontend", "runtime", "cli", "neuropod", "python", "include"]
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", "c", "-"]


def compilers():
    found = [c for c in ("gcc", "clang-19", "clang") if shutil.which(c)]
    return found[:-1] if found[-2:] == ["clang-19", "clang"] else found


def is_c(path):
    return "frontend/torch" not in path or path.endswith("bridge.h")


def compile_alone(job):
    compiler, root, header, folders = job
    # From standard input, so that `#pragma once` in a main file and unused static functions raise no warning.
    run = subprocess.run([compiler, f"-I{root}", f"-I{root}/include"] + [f"-isystem{f}" for f in folders] + FLAGS,
                         input=f'#include "{header}"\nextern int fst_not_empty;\n', text=True, capture_output=True)
    return run.returncode, f"{compiler}: {header} does not compile alone:\n{run.stderr}"


def main(root, folders):
    folders = [*folders, sysconfig.get_paths()["include"]]  # Python.h
    headers = [p.relative_to(root).as_posix() for f in FOLDERS for p in sorted((root / f).rglob("*.h"))]
    jobs = [(c, root, h, folders) for c in compilers() for h in headers if is_c(h)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(compile_alone, jobs))
    failures = [text for code, text in results if code]
    print("\n".join(failures))
    print(f"{len(jobs)} compilations of {len(headers)} headers, {len(failures)} failed")
    return 1 if failures or not jobs else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]))
