# A contestant of `firesteel bench` in Python: what cli/contestant.h says, through `import firesteel` or `import torch`.
# Words: PATH FORM MODULES METHOD BUFFERS INPUT... --started NS; an input is NAME=FILE.npy, NAME=LITERAL, or these without a name.
import ast
import json
import os
import sys
import time

import numpy as np

path, form, modules, method, buffers, *given = sys.argv[1:]
started = int(given[given.index("--started") + 1])
given = given[: given.index("--started")]
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the model may print


def say(**answer):
    print(json.dumps(answer), file=answers, flush=True)


def value(text):
    if text.endswith(".npy"):
        return np.load(text)
    for theirs, ours in (("true", "True"), ("false", "False"), ("none", "None")):
        text = ours if text == theirs else text
    return ast.literal_eval(text)


def leaves(result):
    """The tensors, numbers and texts in it, as arrays in cli/contestant.c's order."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        return [leaf for item in result for leaf in leaves(item)]
    if isinstance(result, (bool, int)):
        return [np.array(int(result), np.int64)]
    if isinstance(result, float):
        return [np.array(result)]
    if hasattr(result, "detach"):
        result = result.detach()
        result = result.double().numpy() if str(result.dtype) == "torch.bfloat16" else result.numpy()
    if isinstance(result, np.ndarray):
        return [np.ascontiguousarray(result).reshape(result.shape)]
    return [np.frombuffer(str(result).encode(), np.uint8)]


def memory():
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
    system = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux", "libstdc++.so", "libgcc_s.so")
    files = {line.split(maxsplit=5)[5].strip() for line in open("/proc/self/maps") if line.count("/")}
    libraries = [f for f in files if ".so" in os.path.basename(f) and not os.path.basename(f).startswith(system) and os.path.exists(f)]
    say(peak_kb=peak, runtime_bytes=sum(os.path.getsize(f) for f in libraries))


def opened():
    """The model as a function."""
    if form == "firesteel":
        sys.path.insert(0, modules)
        import firesteel

        model = firesteel.load(path)
        return model if method == "forward" else model.method(method)
    import torch

    torch.set_num_threads(1)
    torch.inference_mode().__enter__()
    model = torch.jit.load(path).eval() if form != "as-is" else torch.jit.load(path)
    if form != "as-is":
        others = [name for name in model._c._method_names() if name != "forward"]
        model = torch.jit.freeze(model, preserved_attrs=others)
        if form == "optimized":
            model = torch.jit.optimize_for_inference(model, other_methods=others)
    return getattr(model, method)


def argument(v):
    if form == "firesteel" or not isinstance(v, np.ndarray):
        return v
    import torch

    return torch.from_numpy(v)


def converse():
    opening = time.monotonic_ns()
    call = opened()
    ready = time.monotonic_ns()
    sets = []
    for _ in range(max(1, int(buffers))):
        args, named = [], {}
        for text in given:
            name, mark, rest = text.partition("=")
            v = argument(value(rest if mark and name.isidentifier() else text))
            if mark and name.isidentifier():
                named[name] = v
            else:
                args.append(v)
        sets.append((args, named))
    calling = time.monotonic_ns()
    args, named = sets[0]
    first = call(*args, **named)
    done = time.monotonic_ns()
    say(open_us=(ready - opening) / 1e3, first_us=(done - calling) / 1e3, start_us=(done - started) / 1e3)
    count, clock = 1, time.perf_counter_ns
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "results":
            with open(rest, "wb") as f:
                for leaf in leaves(first):
                    np.save(f, leaf)
            say()
        elif word == "time":
            took = []
            for _ in range(int(rest)):
                args, named = sets[count % len(sets)]
                count += 1
                begin = clock()
                call(*args, **named)
                took.append(clock() - begin)
            say(ns=took)
        elif word == "memory":
            memory()
        else:
            say(error=f"cannot do '{word}'")


try:
    converse()
except Exception as e:
    say(error=f"{type(e).__name__}: {e}".splitlines()[0])
answers.flush()
os._exit(0)
