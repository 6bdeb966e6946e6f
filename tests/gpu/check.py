"""Runs what build.py made on this machine's GPU and compares with what PyTorch gave on the CPU:

    check.py FOLDER [--device cuda:0] [--only TEXT]

needs Python, torch and the files, nothing else. Prints a line a check and a summary; returns 1 when anything differs.
tests/gpu/test_gpu.py runs the same checks under pytest.
"""
import argparse
import gc
import pathlib
import sys
import threading
import time

import numpy as np
import torch

DEVICE = "cuda:0"


def use(folder):
    """The module of the folder, before any other."""
    sys.path.insert(0, str(folder))
    global firesteel
    import firesteel


def close(got, want, tolerance, where):
    if isinstance(want, torch.Tensor):
        got = torch.as_tensor(got).cpu()
        assert got.dtype == want.dtype and got.shape == want.shape, f"{where}: {got.dtype} {tuple(got.shape)}, expected {want.dtype} {tuple(want.shape)}"
        if want.dtype.is_floating_point:
            torch.testing.assert_close(got, want, rtol=max(tolerance[0], 1e-6), atol=tolerance[1], equal_nan=True, msg=lambda text: f"{where}: {text}")
        else:
            assert torch.equal(got, want), f"{where}: integers differ in {(got != want).sum()} of {want.numel()} places"
    elif isinstance(want, dict):
        assert list(got) == list(want), where
        for key in want:
            close(got[key], want[key], tolerance, f"{where}[{key!r}]")
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), where
        for i, (g, w) in enumerate(zip(got, want)):
            close(g, w, tolerance, f"{where}[{i}]")
    elif isinstance(want, float):
        assert abs(got - want) <= max(tolerance[1], tolerance[0] * abs(want)) or got == want, f"{where}: {got}, expected {want}"
    else:
        assert got == want, f"{where}: {got!r}, expected {want!r}"


def moved(value, device):
    if isinstance(value, torch.Tensor):
        return value.to(device, copy=True)
    if isinstance(value, (list, tuple)):
        return type(value)(moved(v, device) for v in value)
    if isinstance(value, dict):
        return {k: moved(v, device) for k, v in value.items()}
    return value


def run(model, case, device):
    for n, (method, arguments, want) in enumerate(case["calls"]):
        got = model.method(method)(*moved(arguments, device))
        close(got, want, case["tolerance"], f"call {n}")


# ---- checks: each a function of the folder --------------------------------------------------------------

def case_check(base):
    """Arguments from the host, then from the device, then in two threads with a clone each."""
    def check(folder):
        case = torch.load(base.with_suffix(".pt"), weights_only=False)
        model = firesteel.load(base.with_suffix(".fst"), device=DEVICE)
        clones = [model.clone(), model.clone(), model.clone()]
        run(model, case, "cpu")
        run(clones[0], case, DEVICE)
        if len(case["calls"]) == 1:   # no state: the same again and again, from the third time on as a graph where that can be
            replayed = firesteel.load(base.with_suffix(".fst"), device=DEVICE, graphs=True)
            for device in (DEVICE, DEVICE, DEVICE, "cpu", DEVICE, DEVICE):
                run(replayed, case, device)
            graph = replayed.report()["graph"]
        else:
            graph = False
        report = clones[0].report()
        assert not report["fallback_ops"], report["fallback_ops"]
        errors = []

        def worker(clone):
            try:
                for device in (DEVICE, "cpu"):
                    run(clone.clone(), case, device)
            except Exception as error:  # noqa: BLE001 - told by the thread that waits
                errors.append(error)
        threads = [threading.Thread(target=worker, args=(clone,)) for clone in clones[1:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return f"{report['launches']} launches, {report['copies_out']} reads{', as a graph' if graph else ''}"
    return check


def tensors_stay_on_the_device(folder):
    model = firesteel.load(folder / "addition.fst", device=DEVICE)
    x, y = torch.randn(1000, device=DEVICE), torch.randn(1000, device=DEVICE)
    got = model(x, y)
    assert got.device == x.device and torch.equal(got, x + y)
    report = model.report()
    assert report["copies_in"] == 0 and report["copies_out"] == 0, report
    got = model(x.cpu().numpy(), y.cpu().numpy())
    assert isinstance(got, np.ndarray) and np.array_equal(got, (x + y).cpu().numpy())
    mixed = model(x, y.cpu())
    assert mixed.is_cuda and torch.equal(mixed, x + y)


def work_of_others_is_waited_for(folder):
    """What PyTorch has only queued when a call begins, and what it queues on results that are gone."""
    model = firesteel.load(folder / "addition.fst", device=DEVICE)
    a = torch.randn(4096, 4096, device=DEVICE) / 64
    for _ in range(10):
        b = a
        for _ in range(20):
            b = b @ a
        x = b.reshape(-1)[:100000] + 1
        got = model(x, x)
        twice = got * 2
        del got
        assert torch.equal(twice, x * 4)


def results_outlive_their_model(folder):
    model = firesteel.load(folder / "addition.fst", device=DEVICE)
    x = torch.randn(1000, device=DEVICE)
    got = model(x, x)
    del model
    gc.collect()
    assert torch.equal(got, x + x)


def memory_that_runs_out_is_an_error(folder):
    model = firesteel.load(folder / "addition.fst", device=DEVICE)
    free, _ = torch.cuda.mem_get_info()
    large = torch.empty(int(free * 0.6) // 4, device=DEVICE)
    try:
        model(large, large)
    except firesteel.Error as error:
        assert "CUDA out of memory" in str(error) and "CUDA_ERROR_OUT_OF_MEMORY" in str(error), error
    else:
        raise AssertionError("a result larger than what is free was made")
    del large
    torch.cuda.empty_cache()
    x = torch.randn(1000, device=DEVICE)
    assert torch.equal(model(x, x), x + x)


def nothing_is_left(folder):
    """Calls and models come and go; the device's free memory stays."""
    def rounds(count):
        for _ in range(count):
            model = firesteel.load(folder / "control_flow_and_state.fst", device=DEVICE)
            for _ in range(20):
                model(torch.randn(64, 6, device=DEVICE), 5)
            del model
        gc.collect()
        torch.cuda.synchronize()
        return torch.cuda.mem_get_info()[0]
    rounds(2)
    before = rounds(2)
    after = rounds(20)
    assert before - after < 4 << 20, f"{(before - after) >> 20} MB are gone"


def devices_that_are_not_there_are_named(folder):
    count = torch.cuda.device_count()
    try:
        firesteel.load(folder / "addition.fst", device=f"cuda:{count}")
    except firesteel.Error as error:
        assert f"there is no device cuda:{count}" in str(error), error
    else:
        raise AssertionError("a device that is not there was opened")


OTHERS = [tensors_stay_on_the_device, work_of_others_is_waited_for, results_outlive_their_model, memory_that_runs_out_is_an_error, nothing_is_left, devices_that_are_not_there_are_named]


def checks(folder):
    """(name, function of the folder)"""
    for file in sorted(folder.glob("*.pt")):
        yield torch.load(file, weights_only=False)["name"], case_check(file.with_suffix(""))
    for function in OTHERS:
        yield function.__name__.replace("_", " "), function


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--device", default=DEVICE)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    globals()["DEVICE"] = options.device
    use(options.folder)
    print(f"{torch.cuda.get_device_name(options.device)}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    failed = []
    for name, check in checks(options.folder):
        if options.only not in name:
            continue
        start = time.time()
        try:
            note = check(options.folder) or ""
            print(f"ok      {name}  ({time.time() - start:.1f} s) {note}", flush=True)
        except Exception as error:  # noqa: BLE001 - all checks run
            failed.append(name)
            print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:700]}", flush=True)
    print(f"{len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
