"""Compares archives with PyTorch over the whole road: a function is traced and saved, the archive is loaded by
firesteel.load and called, and what comes back is compared with what PyTorch's own loaded archive gives.

Outcomes of a sample (the first two are right):
  native       equal to PyTorch, no op fell back
  fallback     equal to PyTorch, some ops ran through libtorch: they are named
  wrong        an answer that differs
  refused      an error where PyTorch answers
  crash        this process or the compiler worker ended
  skipped      PyTorch does not reproduce its own result: nothing to compare with
"""
import collections
import os
import subprocess
import sys
import tempfile

import numpy
import torch

import firesteel
import harness
from harness import Outcome

RIGHT = ("native", "fallback")
KINDS = RIGHT + ("wrong", "refused", "crash", "skipped")
WORKER_DIED = "compiler worker"  # in the text of the error


def run_archive(path, tensors):
    """(results, fallback ops, None) or (None, None, outcome)."""
    try:
        model = firesteel.load(path)
        # Without a torch tensor among the arguments, tensors come back as numpy arrays.
        results = [torch.as_tensor(r) if isinstance(r, (numpy.ndarray, numpy.generic)) else r for r in harness.results_of(model(*tensors))]
        return results, model.report()["fallback_ops"], None
    except firesteel.Error as error:
        text = str(error)
        return None, None, Outcome("crash" if WORKER_DIED in text else "refused", text)


def compare(name, call, tensors, results, expected):
    """What differs, or None. `name` is the OpInfo's."""
    if len(results) != len(expected):
        return "%d results instead of %d" % (len(results), len(expected))
    for i, (ours, theirs) in enumerate(zip(results, expected)):
        found = harness.difference(ours, theirs, name in harness.UNDEFINED)
        if found and not (found.startswith("values") and harness.agrees_in_double(call, tensors, results)):
            return "result %d: %s" % (i, found)
    return None


def check(path, function, inputs, name=""):
    """Traces function(*inputs) into an archive at `path` and runs it on both sides."""
    tensors, rebuild = harness.flatten(inputs)
    call = lambda *ts: function(*rebuild(ts))
    with torch.no_grad():
        try:
            eager = harness.results_of(call(*harness.copies(tensors)))
            torch.jit.trace(call, tuple(harness.copies(tensors)), check_trace=False).save(path)
            archive = torch.jit.load(path)
            theirs = harness.copies(tensors)
            expected = harness.results_of(archive(*theirs))
        except Exception as error:
            return Outcome("skipped", "PyTorch refuses: %s" % error)
        if name not in harness.UNDEFINED and any(harness.difference(a, b) for a, b in zip(expected, eager)):
            return Outcome("skipped", "PyTorch does not reproduce it")
        ours = harness.copies(tensors)
        results, fallbacks, outcome = run_archive(path, ours)
    if outcome:
        return outcome
    found = compare(name, call, tensors, results, expected)
    for argument, left, right in zip(range(len(ours)), ours, theirs):  # what the call wrote into them
        found = found or (name not in harness.UNDEFINED and harness.difference(left, right) and "argument %d afterwards" % argument)
    if found:
        return Outcome("wrong", "%s [%s]" % (found, " ".join(fallbacks)))
    return Outcome("fallback", " ".join(fallbacks)) if fallbacks else Outcome("native", "")


# ---- all samples ----------------------------------------------------------------------------------------

def sweep_part(part, parts, names=None, dtypes=harness.SAMPLE_DTYPES):
    """{label: outcome} of every `parts`-th op."""
    ops = [op for i, op in enumerate(harness.op_infos()) if i % parts == part and (not names or op.name in names or op.formatted_name in names)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sample.pt")

        def work(done):
            torch.set_num_threads(1)
            for op in ops:
                for dtype in dtypes:
                    try:
                        for label, function, inputs in harness.op_cases(op, dtype):
                            if label not in done:
                                yield label, None
                                yield label, check(path, function, inputs, op.name)
                    except Exception as error:
                        yield "%s %s" % (op.formatted_name, dtype), Outcome("skipped", "samples: %s" % error)

        return harness.in_children(work)


def sweep(parts=2):
    """The outcomes of all samples, by as many processes as there are parts."""
    command = [sys.executable, __file__]
    children = [subprocess.Popen(command + ["--part", str(i), str(parts)], stdout=subprocess.PIPE, text=True) for i in range(parts)]
    outcomes = {}
    for child in children:
        for line in child.communicate()[0].splitlines():
            label, kind, detail = line.split("\t", 2)
            outcomes[label] = Outcome(kind, detail)
        if child.returncode:
            raise RuntimeError("a part of the sweep ended with %d" % child.returncode)
    return outcomes


def count(outcomes):
    counts = dict.fromkeys(KINDS, 0)
    for outcome in outcomes.values():
        counts[outcome.kind] += 1
    counts["reproduced"] = len(outcomes) - counts["skipped"]
    counts["right"] = sum(counts[kind] for kind in RIGHT)
    return counts


def summary(outcomes):
    """Counts as text, and the ops that fell back by how many samples they did so in."""
    counts = count(outcomes)
    shares = tuple(100 * counts[kind] / max(counts["reproduced"], 1) for kind in ("right", "native"))
    lines = ["%d samples that PyTorch reproduces: " % counts["reproduced"] + "%.1f %% right, %.1f %% natively" % shares,
             ", ".join("%s %d" % (kind, counts[kind]) for kind in KINDS)]
    ops = collections.Counter(op for outcome in outcomes.values() if outcome.kind == "fallback" for op in outcome.detail.split())
    lines += ["%5d %s" % (n, op) for op, n in ops.most_common()]
    return "\n".join(lines)


def print_outcomes(outcomes):
    for label, outcome in outcomes.items():
        print("\t".join((label, outcome.kind, " ".join(outcome.detail.split()))))


def main(arguments):
    if arguments[:1] == ["--part"]:
        print_outcomes(sweep_part(int(arguments[1]), int(arguments[2])))
    elif arguments:
        print_outcomes(sweep_part(0, 1, set(arguments)))
    else:
        outcomes = sweep()
        print_outcomes({label: o for label, o in outcomes.items() if o.kind not in RIGHT + ("skipped",)})
        print(summary(outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
