#!/usr/bin/env python3
"""Firesteel and its peers on the same models: one process each, one CPU, in turns.

  peers.py [MODEL...] [--engines A,B] [--rounds 8] [--out build/bench/peers] [--build build] [--limit 240]
  peers.py --list

For every model: the archive is made, Firesteel compiles that ahead of time, every peer gets its best form of the model; all stay
loaded, each in a process of its own pinned to one CPU, and take turns, so that what slows the machine slows all. Outputs are
compared with eager PyTorch's before anything is timed; a wrong one does not count. The roof is measured before and after each
model. What was built is kept in --out; results.json, table.md and index.html are written there.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BUILT = ["eager", "aoti", "onnxruntime", "openvino"]           # by engines.py
SERVED = ["firesteel", "as-is", "frozen", "optimized"]          # by `firesteel bench --serve`
AOTI_CPP = "aoti-c++"                                           # aoti's package, without Python
ENGINES = ["firesteel", "as-is", "frozen", "optimized", "eager", "aoti", AOTI_CPP, "onnxruntime", "openvino"]
TURN_S, WARM_S = 0.25, 0.3


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def limited(command, log, seconds):
    """Why it did not end well, or None."""
    with open(log, "w") as out:
        p = subprocess.Popen(command, env=environment(), stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            code = p.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            return f"over the limit of {seconds} s"
    lines = [line.strip() for line in pathlib.Path(log).read_text(errors="replace").splitlines() if line.strip()]
    return None if code == 0 else f"exit status {code}: {lines[-1][:250] if lines else ''}"


def built(folder, engine, command, options):
    """What build.json says; made when it is not there."""
    told = folder / engine / "build.json"
    if not told.exists():
        told.parent.mkdir(parents=True, exist_ok=True)
        why = limited(command, told.parent / "build.log", options.limit)
        if why and not told.exists():
            told.write_text(json.dumps({"error": why}))
    return json.loads(told.read_text())


def type_of(value):
    import numpy as np

    if isinstance(value, int):
        return "int"
    names = {"float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "bool": "b8"}
    a = np.load(value, mmap_mode="r")
    return f"{names[str(a.dtype)]}[{', '.join(map(str, a.shape))}]"


def inputs_of(folder):
    return [v if isinstance(v, int) else str(folder / v) for v in json.loads((folder / "inputs.json").read_text())]


def firesteel_build(folder, firesteel, options):
    """Always anew: it is what is being worked on."""
    artifact, words = folder / "firesteel" / "model.fst", []
    artifact.parent.mkdir(exist_ok=True)
    for value in inputs_of(folder):
        words += ["--input", type_of(value)]
    start = time.monotonic()
    command = [firesteel, "compile", folder / "model.pt", *words, "--target", "native", "-o", artifact, "--force", "--quiet"]
    why = limited([str(w) for w in command], artifact.with_name("build.log"), options.limit)
    return {"error": why} if why else {"build_s": time.monotonic() - start, "artifact_bytes": artifact.stat().st_size}


class Contestant:
    """A process that speaks the protocol of cli/contestant.h."""

    def __init__(self, engine, command):
        self.engine, self.times, self.medians, self.log = engine, [], [], []
        words = [str(w) for w in command] + ["--started", str(time.monotonic_ns())]
        self.process = subprocess.Popen(words, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.told = self.hear()

    def hear(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer
        raise RuntimeError("its process ended without an answer")

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.hear()

    def time(self, calls):
        return [ns / 1e6 for ns in self.ask(f"time {calls}")["ns"]]

    def warm_up(self):
        start, last = time.monotonic(), [self.told["first_us"] / 1e3]
        while time.monotonic() - start < WARM_S or len(last) < 3 and time.monotonic() - start < 5:
            last = self.time(3)
        self.turn = max(3, min(2000, int(TURN_S * 1e3 / max(statistics.median(last), 1e-4))))

    def take_turn(self):
        took = self.time(self.turn)
        self.times += took
        self.medians.append(statistics.median(took))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def command_of(engine, folder, firesteel, python, runner):
    words = []
    for value in inputs_of(folder):
        words += ["--input", value]
    if engine in SERVED:
        return [firesteel, "bench", folder / "firesteel" / "model.fst" if engine == "firesteel" else folder / "model.pt", "--serve", engine, *words]
    if engine == AOTI_CPP:
        return [runner, folder / "aoti" / "model.pt2", *inputs_of(folder)]
    return [python, HERE / "engines.py", "serve", engine, folder]


def compare(contestant, folder):
    """(relative error, is it right) against eager's results."""
    import numpy as np
    from engines import results_load

    path = folder / "results.npy"
    contestant.ask(f"results {path}")
    worst = 0.0
    reference, got = results_load(folder / "reference.npy"), results_load(path)
    if len(got) < len(reference):
        return float("inf"), False
    right = True
    for a, b in zip(reference, got):
        if a.size != b.size:
            return float("inf"), False
        if not a.size:
            continue
        a, b = a.astype("f8").ravel(), b.astype("f8").ravel()
        scale = float(np.abs(a).max()) + 1e-30
        worst = max(worst, float(np.abs(a - b).max()) / scale)
        right &= bool(np.allclose(b, a, rtol=1e-3, atol=1e-4 * scale))
    return worst, right


def roof(firesteel, count_bytes):
    return json.loads(subprocess.run([firesteel, "bench", "--roof", "--roof-bytes", str(max(count_bytes, 4096))], check=True, stdout=subprocess.PIPE).stdout)


def best_of(before, after):
    return {**before, **{k: max(before[k], after[k]) for k in ("gflops", "read_gbs")}}


def measure(name, folder, firesteel, python, runner, options):
    told, running = {}, []
    prepared = json.loads((folder / "prepare.json").read_text())
    for engine in options.engines:
        if engine in SERVED:
            made = firesteel_build(folder, firesteel, options) if engine == "firesteel" else {"artifact_bytes": prepared["artifact_bytes"]}
        elif engine == AOTI_CPP:
            made = json.loads((folder / "aoti" / "build.json").read_text()) if (folder / "aoti" / "build.json").exists() else {"error": "aoti was not built"}
            if "error" not in made and any(isinstance(v, int) for v in inputs_of(folder)):
                made = {"error": "its runner takes tensors only"}
        else:
            made = built(folder, engine, [str(python), str(HERE / "engines.py"), "build", name, engine, str(folder)], options)
        told[engine] = {"build": made}
        if "error" in made:
            continue
        try:
            Contestant(engine, command_of(engine, folder, firesteel, python, runner)).end()  # so that its files are warm
            c = Contestant(engine, command_of(engine, folder, firesteel, python, runner))
            told[engine].update(c.told)
            told[engine]["relative_error"], told[engine]["right"] = compare(c, folder)
            if told[engine]["right"]:
                running.append(c)
            else:
                c.end()
        except (RuntimeError, OSError) as e:
            told[engine]["error"] = str(e)[:300]
    before = roof(firesteel, prepared["parameters"] * 4)
    for c in running:
        c.warm_up()
    for _ in range(options.rounds):
        for c in running:
            c.take_turn()
    for c in running:
        row = told[c.engine]
        row.update(c.ask("memory"))
        c.end()
        ordered = sorted(c.times)
        row.update(min_ms=ordered[0], p50_ms=ordered[len(ordered) // 2], p99_ms=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], turn_medians_ms=c.medians,
                   spread=(max(c.medians) - min(c.medians)) / statistics.median(c.medians))
    return {"macs": prepared["macs"], "parameters": prepared["parameters"], "roof": best_of(before, roof(firesteel, prepared["parameters"] * 4)), "engines": told}


def runner_build(out, python):
    """The C++ process that runs AOTInductor's packages, against the peers' own torch. None when it does not build."""
    runner, source = out / "aoti_runner", HERE / "aoti_runner.cpp"
    if runner.exists() and runner.stat().st_mtime > source.stat().st_mtime:
        return runner
    torch = subprocess.run([str(python), "-c", "import os, torch; print(os.path.dirname(torch.__file__))"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    command = ["g++", "-O2", "-std=c++20", f"-I{torch}/include", f"-I{torch}/include/torch/csrc/api/include", source, "-o", runner, f"-L{torch}/lib", "-ltorch", "-ltorch_cpu", "-lc10",
               f"-Wl,-rpath,{torch}/lib"]
    why = limited([str(w) for w in command], out / "aoti_runner.log", 300)
    if why:
        print(f"aoti_runner: {why}", file=sys.stderr)
    return None if why else runner


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--limit", type=int, default=240)
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--out")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    import report

    known = report.model_names()
    if options.list:
        print("\n".join(known))
        return
    options.engines = options.engines.split(",")
    for what, given, allowed in (("engine", options.engines, ENGINES), ("model", options.models, known)):
        for word in given:
            if word not in allowed:
                sys.exit(f"unknown {what} '{word}'; there are {', '.join(allowed)}")
    out = pathlib.Path(options.out or pathlib.Path(options.build) / "bench" / "peers").resolve()
    out.mkdir(parents=True, exist_ok=True)
    firesteel = pathlib.Path(options.build).resolve() / "bin" / "firesteel"
    python = ROOT / ".venv-peers" / "bin" / "python"
    if not python.exists():
        sys.exit("there is no .venv-peers; bench/setup.sh makes it")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    runner = runner_build(out, python) if AOTI_CPP in options.engines else None
    if AOTI_CPP in options.engines and not runner:
        options.engines.remove(AOTI_CPP)
    results = json.loads((out / "results.json").read_text()) if (out / "results.json").exists() else {}
    for name in options.models or known:
        folder = out / name
        folder.mkdir(exist_ok=True)
        if not (folder / "prepare.json").exists():
            why = limited([str(python), str(HERE / "engines.py"), "prepare", name, str(folder)], folder / "prepare.log", options.limit)
            if why and not (folder / "prepare.json").exists():
                sys.exit(f"{name}: {why}")
        error = json.loads((folder / "prepare.json").read_text()).get("error")
        if error:
            (folder / "prepare.json").unlink()
            sys.exit(f"{name}: {error}")
        before = results.get(name, {}).get("engines", {})
        results[name] = measure(name, folder, firesteel, python, runner, options)
        results[name]["engines"] = {**{k: v for k, v in before.items() if k not in options.engines}, **results[name]["engines"]}
        part = out / "results.json.part"
        part.write_text(json.dumps(results, indent=1))
        part.replace(out / "results.json")
        print(report.line(name, results[name]), flush=True)
    (out / "table.md").write_text(report.tables(results))
    (out / "index.html").write_text(report.page(results))
    print(report.tables(results))


if __name__ == "__main__":
    main()
