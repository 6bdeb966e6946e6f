"""The runtime is small and needs libc and libm only, and shows nothing but its public functions.

check_runtime.py LIBFIRESTEEL_RT
"""
import pathlib
import re
import subprocess
import sys

ALLOWED = re.compile(r"(linux-vdso|libc|libm|libdl|libpthread|ld-linux[\w-]*|ld64)\.so")
LARGEST = 200 * 1024  # bytes of code and constants


def lines(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def main(library):
    wrong = []
    needed = [line.split()[0] for line in lines("ldd", library)]
    if not needed:
        wrong.append("ldd names no library: is this a shared library?")
    wrong += [f"it needs {name}" for name in needed if not ALLOWED.match(pathlib.Path(name).name)]
    exported = [line.split()[-1].split("@")[0] for line in lines("nm", "-D", "--defined-only", library)]
    if "fst_open" not in exported:
        wrong.append("it does not export fst_open")
    header = (pathlib.Path(__file__).parent.parent / "include/firesteel/firesteel.h").read_text()
    declared = set(re.findall(r"FST_API [^;]*?\b(fst_\w+)\(", header)) | set(re.findall(r"\b(NP_\w+)\(", header))
    wrong += [f"it exports {name}, which include/firesteel/firesteel.h does not declare" for name in exported if name not in declared and not name.startswith("NP_")]
    wrong += [f"it does not export {name}" for name in sorted(declared) if name not in exported]
    text, data = (int(n) for n in lines("size", library)[1].split()[:2])
    print(f"{text + data} bytes of code and data, {pathlib.Path(library).stat().st_size} with symbols; needs {', '.join(needed)}")
    if text + data > LARGEST:
        wrong.append(f"it is larger than {LARGEST} bytes")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
