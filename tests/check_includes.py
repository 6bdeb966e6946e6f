"""The parts may include each other only downwards (see docs): every other include fails.

check_includes.py SOURCE_TREE
"""
import pathlib
import re
import sys

# folder -> folders of ours it may include (itself always). The longest matching folder counts.
ALLOWED = {
    "base": [],
    "ir": ["base"],
    "codegen": ["ir", "base"],
    "passes": ["codegen", "ir", "base"],
    "frontend": ["ir", "base"],
    "frontend/torch": ["base"],
    "driver": ["passes", "codegen", "frontend", "ir", "base"],
    "driver/worker": ["driver", "base"],
    "runtime": ["base", "include"],
    "neuropod": ["base", "include"],
    "neuropod/host": ["neuropod", "base", "include"],
    "cli": ["runtime", "base", "include"],
    "python": ["base", "include"],
    "include": [],
}
# The compiler's C API is one header, opened at run time; the bridge's is one header too. cJSON and libzip are
# the compiler's; only codegen/llvm sees LLVM.
HEADERS = {
    "driver/compiler.h": ["cli", "driver/worker", "driver"],
    "frontend/torch/bridge.h": ["frontend", "frontend/torch", "cli", "driver"],
}
FOREIGN = {
    "llvm-c/": ["codegen/llvm"],
    "zip.h": ["driver", "frontend"],
    "cjson/": ["driver", "frontend"],
    "torch/": ["frontend/torch"],
    "ATen/": ["frontend/torch"],
    "c10/": ["frontend/torch"],
    "caffe2/": ["frontend/torch"],
    "Python.h": ["python"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(path):
    """The longest listed folder that holds `path`."""
    parts = path.split("/")
    for n in range(len(parts) - 1, 0, -1):
        if "/".join(parts[:n]) in ALLOWED:
            return "/".join(parts[:n])
    return None


def problem(source, quote, name):
    folder = folder_of(source)
    for prefix, users in FOREIGN.items():
        if name.startswith(prefix):
            return None if any(source.startswith(u + "/") for u in users) else f"only {', '.join(users)} may include <{prefix}...>"
    if name.startswith(("firesteel/", "neuropod/bindings/")):
        name = "include/" + name
    elif quote == "<":
        return None
    target = folder_of(name)
    if target is None:
        return "includes name a path from the root of the source tree"
    if name.endswith("_internal.h") and target.split("/")[0] != folder.split("/")[0]:
        return "private header of another folder"
    if name in HEADERS:
        return None if folder in HEADERS[name] else f"only {', '.join(HEADERS[name])} may include it"
    if target == folder or target in ALLOWED[folder] or folder.startswith(target + "/") and target in ALLOWED[folder]:
        return None
    return f"{folder} may include only {', '.join([folder] + ALLOWED[folder])}"


def check(root):
    found = count = 0
    for path in sorted(root.rglob("*")):
        source = path.relative_to(root).as_posix()
        if path.suffix not in (".c", ".h", ".cc", ".def") or folder_of(source) is None:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            why = match and problem(source, match[1], match[2])
            count += bool(match)
            if why:
                print(f"{source}:{number}: {match[2]}: {why}")
                found += 1
    print(f"{count} includes, {found} against the rules")
    return 1 if found or not count else 0


def self_test():
    """The check itself must be able to fail."""
    bad = [("runtime/a.c", '"', "ir/graph.h"), ("ir/a.c", '"', "passes/pass.h"), ("cli/a.c", '"', "driver/compile.h"),
           ("passes/a.c", "<", "llvm-c/Core.h"), ("ir/a.c", '"', "graph.h"), ("passes/a.c", '"', "ir/type_internal.h")]
    good = [("ir/a.c", '"', "base/arena.h"), ("cli/a.c", '"', "driver/compiler.h"), ("ir/kernel/a.c", '"', "ir/kernel/kernel.h"),
            ("codegen/llvm/a.c", "<", "llvm-c/Core.h"), ("runtime/a.c", '"', "firesteel/firesteel.h"), ("ir/a.c", "<", "stdio.h")]
    assert all(problem(*case) for case in bad), [case for case in bad if not problem(*case)]
    assert not any(problem(*case) for case in good), [problem(*case) for case in good]


if __name__ == "__main__":
    self_test()
    sys.exit(check(pathlib.Path(sys.argv[1])))
