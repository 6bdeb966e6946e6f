"""Makes what bench.py takes to a machine with a GPU: build.py FOLDER [--target cuda:sm_90]. Beside what tests/gpu/build.py puts
there (the runtime, and the models, which both use)."""
import argparse
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import kernels  # noqa: E402

import firesteel  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--target", default="cuda:sm_90")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    refused = 0
    for i, name in enumerate(kernels.LOOPS):
        loop = kernels.LOOPS[name]
        with tempfile.TemporaryDirectory() as scratch:
            archive = pathlib.Path(scratch) / "loop.pt"
            kernels.scripted(name).save(str(archive))
            try:
                firesteel.compile(archive, inputs={"x": loop.arguments[0], "w": loop.arguments[1], "n": 1}, target=options.target, out=options.folder / f"loop_{i}.fst", force=True)
                print(f"{name}: built", flush=True)
            except firesteel.Error as error:
                refused += 1
                print(f"{name}: NOT built: {str(error)[:400]}", flush=True)
    try:
        import silero_vad
        shutil.copy(pathlib.Path(silero_vad.__file__).parent / "data" / "silero_vad.jit", options.folder / "silero.jit")
    except ImportError:
        pass
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
