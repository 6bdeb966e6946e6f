"""The build backend of pyproject.toml (PEP 517): a wheel out of a CMake build. FST_BUILD names a build that is there already."""
import base64
import hashlib
import os
import pathlib
import subprocess
import sys
import sysconfig
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME, TAG = "firesteel", f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
LIBRARIES = ("libfiresteel_rt.so", "libfiresteel_rt.a", "libfiresteel.so", "libfiresteel_torch.so", "libfiresteel_cuda.so", "libneuropod.so")
PROGRAMS = ("firesteel", "firesteel-worker", "firesteel-host")


def version():
    text = (ROOT / "CMakeLists.txt").read_text()
    return text.split("project(firesteel VERSION ")[1].split()[0]


def built():
    """The build, made when none is given; without the bridge where the Python that builds has no torch."""
    if os.environ.get("FST_BUILD"):
        return pathlib.Path(os.environ["FST_BUILD"])
    build = ROOT / "build-wheel"
    has_torch = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode == 0
    subprocess.run(["cmake", "-S", ROOT, "-B", build, f"-DFST_PYTHON={sys.executable}", f"-DFST_TORCH={'ON' if has_torch else 'OFF'}", "-DBUILD_TESTING=OFF"], check=True)
    subprocess.run(["cmake", "--build", build, "--parallel"], check=True)
    return build


def metadata():
    return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version()}\nSummary: TorchScript archives and Neuropods as native code\nRequires-Python: >=3.11\nRequires-Dist: numpy\n"


def files(build):
    for path in sorted((build / "python").rglob("*")):
        if path.suffix in (".py", ".so"):
            yield path.relative_to(build / "python").as_posix(), path
    for folder, names in (("lib", LIBRARIES), ("bin", PROGRAMS)):
        for name in names:
            if (build / folder / name).exists():
                yield f"{NAME}/{folder}/{name}", build / folder / name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info, name = f"{NAME}-{version()}.dist-info", f"{NAME}-{version()}-{TAG}.whl"
    record = []
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:

        def put(path, data, mode=0o644):
            entry = zipfile.ZipInfo(path, (2000, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}")

        for path, source in files(built()):
            put(path, source.read_bytes(), 0o755 if "/bin/" in path else 0o644)
        put(f"{info}/METADATA", metadata().encode())
        put(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: firesteel\nRoot-Is-Purelib: false\nTag: {TAG}\n".encode())
        record.append(f"{info}/RECORD,,\n")
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD", (2000, 1, 1, 0, 0, 0)), "\n".join(record))
    return name


def get_requires_for_build_wheel(config_settings=None):
    return []
