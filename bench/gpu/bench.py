"""Times compiled models and kernels on this machine's GPU beside PyTorch:

    bench.py FOLDER [--device cuda:0] [--json FILE] [--only TEXT] [--profile N]

FOLDER is what tests/gpu/build.py and bench/gpu/build.py made. Kernels: the time of a round (kernels.py), as a share of what a copy
reaches (or, products, of what PyTorch's take). Models: one call at a time, results ready, arguments and results on the device;
PyTorch eager, TorchScript, and Inductor where it works. Outputs are compared first.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import kernels  # noqa: E402
import models  # noqa: E402

ROWS = []


def row(**values):
    ROWS.append(values)
    print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()), flush=True)


def seconds(call, repeats):
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times


def round_seconds(run, few, many, repeats=7):
    """What a round takes: the least time of many less the least of few."""
    for n in (few, many):
        run(n)
    return (min(seconds(lambda: run(many), repeats)) - min(seconds(lambda: run(few), repeats))) / (many - few)


def copy_rate():
    x = torch.empty(kernels.MEGABYTES << 18, device=DEVICE)
    y = torch.empty_like(x)

    def run(n):
        for _ in range(n // 2):
            y.copy_(x)
            x.copy_(y)
    return 2 * x.numel() * 4 / round_seconds(run, 20, 120)


def theirs_rounds(text, x, w):
    body = compile(text, "round", "eval")

    def run(n):
        y = x
        for _ in range(n):
            y = eval(body, {"torch": torch, "x": y, "w": w})
        return y
    return run


def kernel_rows(folder, only):
    rate = copy_rate()
    row(kernel="copy", tb_s=rate / 1e12)
    for i, (name, loop) in enumerate(kernels.LOOPS.items()):
        file = folder / f"loop_{i}.fst"
        if only not in name or not file.exists():
            continue
        x, w = (a.to(DEVICE) for a in loop.arguments)
        model, theirs = firesteel.load(file, device=DEVICE), theirs_rounds(loop.text, x, w)
        with torch.no_grad():
            got, want = model(x, w, 2).float(), theirs(2).float()
            error = ((got - want).norm() / want.norm().clamp_min(1e-30)).item()
            few, many = (2, 12) if loop.flops else (5, 55)
            ours, other = round_seconds(lambda n: model(x, w, n), few, many), round_seconds(theirs, few, many)
        values = {"kernel": name, "error": error, "us": ours * 1e6, "torch_us": other * 1e6}
        if loop.flops:
            values |= {"tflops": loop.flops / ours / 1e12, "of_torch": other / ours}
        else:
            values |= {"tb_s": loop.bytes / ours / 1e12, "of_copy": loop.bytes / ours / rate, "torch_of_copy": loop.bytes / other / rate}
        row(**values)


def latency(call):
    for _ in range(10):
        call()
    return statistics.median(seconds(call, 100)) * 1e6


def profile_rows(name, ours, arguments, repeats=20):
    """Where the time of a model goes: its kernels by the time of a call, as PyTorch's profiler sees them."""
    ours(*arguments)
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(repeats):
            ours(*arguments)
        torch.cuda.synchronize()
    events = sorted(profile.key_averages(), key=lambda e: -e.device_time_total)
    total = sum(e.device_time_total for e in events) / repeats
    row(profile=name, kernels_us=total, launches=sum(e.count for e in events) / repeats)
    for event in events[:PROFILE]:
        row(of=name, kernel=event.key[:90], us=event.device_time_total / repeats, calls=event.count / repeats)


def model_row(name, ours, contestants, arguments):
    with torch.no_grad():
        mine = ours.clone()(*arguments)   # before the state of any has changed
        mine = mine[0] if isinstance(mine, tuple) else mine
        values = {"model": name, "ours_us": latency(lambda: ours(*arguments)), "launches": ours.report()["launches"], "graph": ours.report()["graph"]}
        want = None
        for who, make in contestants:
            try:
                call = make()
                got = call(*arguments)
                got = got[0] if isinstance(got, tuple) else got
                if want is None:
                    want = got
                    values["error"] = ((mine - want).norm() / want.norm()).item()
                values[f"{who}_us"] = latency(lambda: call(*arguments))
            except Exception as error:  # noqa: BLE001 - Inductor needs Triton and a C compiler, which may not be there
                values[who] = f"({type(error).__name__})"
    row(**values)
    if PROFILE:
        profile_rows(name, ours, arguments)


def model_rows(folder, only):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False   # f32 is f32 on both sides
    for name in ("resnet18", "minilm", "mobilenet_v2"):
        file = folder / f"{name}.fst"
        if only not in name or not file.exists():
            continue
        module, arguments = models.BUILD[name]()
        module, arguments = module.to(DEVICE), tuple(a.to(DEVICE) for a in arguments)
        ours = firesteel.load(file, device=DEVICE, graphs=True)

        def traced(module=module, arguments=arguments):
            return torch.jit.optimize_for_inference(torch.jit.trace(module, arguments, check_trace=False))

        def inductor(module=module):
            return torch.compile(module, mode="reduce-overhead")
        model_row(name, ours, [("eager", lambda module=module: module), ("torchscript", traced), ("inductor", inductor)], arguments)
    if (folder / "silero.jit").exists() and (folder / "silero.fst").exists() and only in "silero":
        archive = torch.jit.load(str(folder / "silero.jit"), map_location=DEVICE).eval()
        model_row("silero", firesteel.load(folder / "silero.fst", device=DEVICE, graphs=True), [("torchscript", lambda: archive)], (torch.randn(1, 512, device=DEVICE) * 0.1, 16000))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="show the N kernels that a model spends most time in")
    options = parser.parse_args()
    sys.path.insert(0, str(options.folder))
    global firesteel, DEVICE, PROFILE
    import firesteel
    DEVICE, PROFILE = options.device, options.profile
    print(f"{torch.cuda.get_device_name(DEVICE)}, torch {torch.__version__}")
    kernel_rows(options.folder, options.only)
    model_rows(options.folder, options.only)
    if options.json:
        options.json.write_text(json.dumps({"device": torch.cuda.get_device_name(DEVICE), "torch": torch.__version__, "rows": ROWS}, indent=1))


if __name__ == "__main__":
    main()
