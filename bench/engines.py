"""The engines that Firesteel is compared with: how each is built from a model, and how it runs in a process of its own.

  engines.py prepare MODEL DIR            the archive, the inputs and eager's results, which every engine is checked against
  engines.py build MODEL ENGINE DIR       what the engine runs, into DIR/ENGINE/, and build.json about it
  engines.py serve ENGINE DIR --started NS    a contestant: answers on standard input, as cli/contestant.h says

An engine that takes only Python source (torch.export) gets the source; the others get the archive where they take it.
"""
import json
import os
import pathlib
import re
import sys
import time
import traceback

UNTUNED = {"lstm_scripted_loop"}  # it unrolls to 200 products: autotuning each would take longer than a build may


def oneline(e):
    text = re.sub(r"\x1b\[[0-9;]*m", "", " ".join((str(e) or repr(e)).split()))
    text = f"{type(e).__name__}: {text}"[:300]
    return text + (" <- " + oneline(e.__cause__) if e.__cause__ is not None else "")


def flat(o):
    return [x for y in o for x in flat(y)] if isinstance(o, (tuple, list)) else [o]


def bytes_of(path):
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


# ---- inputs: arrays in files, whole numbers as they are ----

def inputs_save(folder, inputs):
    import numpy as np

    told = []
    for i, v in enumerate(inputs):
        if isinstance(v, int):
            told.append(v)
        else:
            np.save(folder / f"input{i}.npy", v.numpy())
            told.append(f"input{i}.npy")
    (folder / "inputs.json").write_text(json.dumps(told))


def inputs_load(folder):
    import numpy as np

    return [v if isinstance(v, int) else np.load(folder / v) for v in json.loads((folder / "inputs.json").read_text())]


def results_save(path, arrays):
    import numpy as np

    with open(path, "wb") as f:
        for a in arrays:
            np.save(f, np.ascontiguousarray(a).reshape(np.shape(a)))


def results_load(path):
    import numpy as np

    arrays = []
    with open(path, "rb") as f:
        while f.peek(1):
            arrays.append(np.load(f))
    return arrays


# ---- building ----

def archive_of(name, module, inputs):
    import torch
    import zoo

    if zoo.HOW[name] == "archive":
        return module
    return torch.jit.script(module) if zoo.HOW[name] == "script" else torch.jit.trace(module, inputs, check_trace=False)


def prepare(name, folder):
    import torch
    import zoo

    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    module, inputs = zoo.MODELS[name]()
    inputs_save(folder, inputs)
    with torch.no_grad():
        archive = archive_of(name, module, inputs)
        archive.save(str(folder / "model.pt"))
        fresh = torch.jit.load(str(folder / "model.pt"))
        results_save(folder / "reference.npy", [t.numpy() for t in flat(fresh(*inputs) if zoo.HOW[name] == "archive" else module(*inputs))])
    counted = zoo.MODELS["silero_rebuilt"]() if zoo.HOW[name] == "archive" else (module, inputs)  # the half of it that runs
    return {"macs": zoo.macs(*counted), "parameters": sum(p.numel() for p in counted[0].parameters()), "artifact_bytes": bytes_of(folder / "model.pt")}


def first_that_works(tries):
    """(name of the way, what became of each); raises when none does."""
    told = {}
    for way, attempt in tries:
        try:
            attempt()
            return way, {**told, way: "ok"}
        except Exception as e:
            told[way] = oneline(e)
    raise RuntimeError("; ".join(f"{way}: {why}" for way, why in told.items()))


def build_eager(name, module, inputs, folder):
    import torch

    torch.save(module, folder / "model.pt")


def build_aoti(name, module, inputs, folder):
    import torch

    program = torch.export.export(module, inputs)
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"), inductor_configs={"freezing": True, "max_autotune": name not in UNTUNED})


def build_onnxruntime(name, module, inputs, folder):
    import onnxruntime
    import torch
    import zoo

    path = str(folder / "model.onnx")

    def exported(**how):
        source = torch.jit.script(module) if zoo.HOW[name] == "script" and not how["dynamo"] else module
        torch.onnx.export(source, inputs, path, **how)
        onnxruntime.InferenceSession(path)

    return first_that_works([("dynamo", lambda: exported(dynamo=True, external_data=True)), ("legacy", lambda: exported(dynamo=False, opset_version=17))])


def build_openvino(name, module, inputs, folder):
    import openvino
    import zoo

    path = str(folder / "model.xml")

    def converted(source):
        made = openvino.convert_model(source, example_input=inputs)
        if all(not isinstance(i, int) for i in inputs):
            made.reshape({made.inputs[k]: list(i.shape) for k, i in enumerate(inputs)})
        openvino.save_model(made, path, compress_to_fp16=False)
        openvino.Core().compile_model(path, "CPU")

    ways = [("archive", lambda: converted(archive_of(name, module, inputs)))]
    if zoo.HOW[name] == "trace":
        ways.insert(0, ("module", lambda: converted(module)))  # it traces: loops would be frozen to the example's data
    return first_that_works(ways)


def build(name, engine, folder):
    import torch
    import zoo

    out = folder / engine
    out.mkdir(exist_ok=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(out / "cache")
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(engine == "eager")
    module, inputs = zoo.MODELS[name]()
    start = time.monotonic()
    with torch.no_grad():
        told = globals()[f"build_{engine}"](name, module, inputs, out)
    took = time.monotonic() - start
    made = [f for f in out.iterdir() if f.name.startswith("model.")]
    return {"build_s": took, "artifact_bytes": sum(bytes_of(f) for f in made), **({"way": told[0], "ways": told[1]} if told else {})}


# ---- running ----

def open_eager(folder, inputs):
    import torch
    import zoo  # noqa: F401  (its classes are in the file)

    torch.set_num_threads(1)
    torch.inference_mode().__enter__()
    module = torch.load(folder / "model.pt", weights_only=False)
    tensors = [i if isinstance(i, int) else torch.from_numpy(i) for i in inputs]
    return lambda: module(*tensors), lambda o: [t.numpy() for t in flat(o)]


def open_aoti(folder, inputs):
    import torch

    torch.set_num_threads(1)
    torch.inference_mode().__enter__()
    module = torch._inductor.aoti_load_package(str(folder / "model.pt2"))
    tensors = [torch.from_numpy(i) for i in inputs]
    return lambda: module(*tensors), lambda o: [t.numpy() for t in flat(o)]


def open_onnxruntime(folder, inputs):
    import onnxruntime as ort

    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    o.intra_op_num_threads = o.inter_op_num_threads = 1
    o.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    o.log_severity_level = 3
    session = ort.InferenceSession(str(folder / "model.onnx"), o, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for wanted, given in zip(session.get_inputs(), inputs):
        binding.bind_cpu_input(wanted.name, given)
    for result in session.get_outputs():
        binding.bind_output(result.name, "cpu")
    return lambda: session.run_with_iobinding(binding), lambda _: binding.copy_outputs_to_cpu()


def open_openvino(folder, inputs):
    import openvino as ov

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = ov.Core().compile_model(str(folder / "model.xml"), "CPU", settings)
    request = model.create_infer_request()
    for k, given in enumerate(inputs):
        request.set_input_tensor(k, ov.Tensor(given))
    return request.infer, lambda _: [request.get_output_tensor(k).data for k in range(len(model.outputs))]


def memory():
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
    system = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux", "libstdc++.so", "libgcc_s.so")
    files = {line.split(maxsplit=5)[5].strip() for line in open("/proc/self/maps") if "/" in line}
    return {"peak_kb": peak, "runtime_bytes": sum(os.path.getsize(f) for f in files if ".so" in os.path.basename(f) and not os.path.basename(f).startswith(system) and os.path.exists(f))}


def serve(engine, folder, started):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**answer):
        print(json.dumps(answer), file=answers, flush=True)

    try:
        inputs = inputs_load(folder)
        opening = time.monotonic_ns()
        call, get = globals()[f"open_{engine}"](folder / engine, inputs)
        ready = time.monotonic_ns()
        first = call()
        done = time.monotonic_ns()
        first = [a.copy() for a in get(first)]
    except Exception as e:
        say(error=oneline(e))
        return
    say(open_us=(ready - opening) / 1e3, first_us=(done - ready) / 1e3, start_us=(done - started) / 1e3)
    import gc

    gc.collect()
    gc.disable()
    clock = time.perf_counter_ns
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "time":
            took = []
            for _ in range(int(rest)):
                begin = clock()
                call()
                took.append(clock() - begin)
            say(ns=took)
        elif word == "results":
            results_save(rest, first)
            say()
        elif word == "memory":
            say(**memory())
        else:
            say(error=f"cannot do '{word}'")


def main():
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    command, *words = sys.argv[1:]
    if command == "serve":
        serve(words[0], pathlib.Path(words[1]), int(words[words.index("--started") + 1]))
    else:
        folder = pathlib.Path(words[-1])
        out = folder / "prepare.json" if command == "prepare" else folder / words[1] / "build.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            told = prepare(words[0], folder) if command == "prepare" else build(words[0], words[1], folder)
        except BaseException as e:
            traceback.print_exc()
            told = {"error": oneline(e)}
        out.write_text(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # the frameworks' own ends crash now and then


if __name__ == "__main__":
    main()
