"""A model through both roads, compiled in memory and ahead of time, beside PyTorch: results (values, dtypes, sizes,
strides), what is written into arguments, exceptions and state.

    ours = side_by_side.in_memory(path, calls)             # the firesteel.Model, after the calls
    ours = side_by_side.ahead_of_time(path, calls, folder) # a compiled file, with no op falling back
"""
import pathlib
from typing import NamedTuple

import pytest
import torch

import firesteel


class Call(NamedTuple):
    args: tuple
    method: str = "forward"
    error: str = ""  # what the exception's text holds


def as_calls(items):
    return [item if isinstance(item, Call) else Call(tuple(item)) for item in items]


def copied(value, dtype=None):
    """Both sides in one form, and a copy: tuples and objects become lists. `dtype`: what floats become."""
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.size(), strides_of(value), dtype=(value.is_floating_point() and dtype) or value.dtype).copy_(value.detach())
    if isinstance(value, dict):
        return {k: copied(v, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(v, dtype) for v in value]
    return value


def strides_of(x):
    return x.stride() if all(step or size < 2 for size, step in zip(x.size(), x.stride())) else row_major(x.size())


def check_close(got, want, exact, where):
    """As torch.testing has it; or, for results of long sums in 32 bits, with no more than twice PyTorch's own error, which
    is the distance from the result in 64 bits."""
    if exact is not None and exact.is_floating_point() and got.dtype == want.dtype and got.size() == want.size() and want.numel():
        error, accepted = ((side.double() - exact).norm().item() for side in (got, want))
        if error <= 2 * accepted:
            return
    torch.testing.assert_close(got, want, equal_nan=True, msg=lambda text: f"{where}: {text}")


def check(got, want, where="result", exact=None):
    if isinstance(want, torch.Tensor):
        got = torch.as_tensor(got)
        check_close(got, want, exact, where)
        if want.numel():
            assert got.stride() == want.stride(), f"{where}: strides {got.stride()}, expected {want.stride()}"
    elif isinstance(want, dict):
        assert list(got) == list(want), where
        for k in want:
            check(got[k], want[k], f"{where}[{k!r}]", exact and exact[k])
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), where
        for i, (g, w) in enumerate(zip(got, want)):
            check(g, w, f"{where}[{i}]", exact and exact[i])
    elif isinstance(want, float):
        assert got == pytest.approx(want, nan_ok=True), where
    else:
        assert got == want and type(got) is type(want), where


def arguments_of(call, dtype=None):
    """Copies, so that a model that writes into its inputs writes into each side's own."""
    def argument(value):
        return tuple(argument(v) for v in value) if isinstance(value, tuple) else copied(value, dtype)
    return [argument(a) for a in call.args]


def reference_call(module, call, args):
    # Calling the module, not its forward: that is what runs a root's hooks.
    with torch.no_grad():
        return module(*args) if call.method == "forward" else getattr(module, call.method)(*args)


def run(ours, path, calls, is_deep=False, falls_back=()):
    """The calls on both. `is_deep`: see check_close. `falls_back`: ops that may."""
    theirs = torch.jit.load(str(path))
    exact = torch.jit.load(str(path)).double() if is_deep else None
    for n, call in enumerate(calls):
        mine, reference = arguments_of(call), arguments_of(call)
        if call.error:
            with pytest.raises(Exception):
                reference_call(theirs, call, reference)
            with pytest.raises(firesteel.Error) as raised:
                ours.method(call.method)(*mine)
            assert call.error in str(raised.value)
            continue
        want = copied(reference_call(theirs, call, reference))
        in_64_bits = None
        try:
            in_64_bits = copied(reference_call(exact, call, arguments_of(call, torch.float64))) if exact else None
        except RuntimeError:  # a dtype is part of the program: then torch.testing's bounds are the measure
            exact = None
        check(copied(ours.method(call.method)(*mine)), want, f"call {n}", in_64_bits)
        check(mine, reference, f"arguments of call {n}")
    assert set(ours.report()["fallback_ops"]) <= set(falls_back)


def in_memory(path, calls, device="cpu", **options):
    ours = firesteel.load(str(path), device=device)
    run(ours, path, calls, **options)
    return ours


# ---- signatures for compiling ahead of time: what the calls have in common ----

DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.int64: "i64", torch.int32: "i32", torch.bool: "b8", torch.float16: "f16", torch.bfloat16: "bf16", torch.uint8: "u8"}
UNKNOWN = ""  # the declared type has to say it


def row_major(sizes):
    strides, step = [], 1
    for size in reversed(sizes):
        strides.insert(0, step)
        step *= max(size, 1)
    return tuple(strides)


def kind(value):
    """What must be equal for two calls to share a signature."""
    if isinstance(value, torch.Tensor):
        return (value.dtype, value.dim(), value.stride() if not value.is_contiguous() else None)
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *({kind(v) for v in value} if isinstance(value, list) else [kind(v) for v in value]))
    if isinstance(value, dict):
        return tuple((k, kind(v)) for k, v in value.items())
    return type(value).__name__


def type_text(values, fresh):
    """The type of an argument that was `values` in several calls; a size that varies is what `fresh` makes of it."""
    first = values[0]
    if isinstance(first, torch.Tensor):
        sizes = [s.pop() if len(s) == 1 else fresh() for s in map(set, zip(*(v.size() for v in values)))]
        strides = "" if first.is_contiguous() else "{" + ", ".join(map(str, first.stride())) + "}"
        return f"{DTYPES[first.dtype]}[{', '.join(map(str, sizes))}]{strides}"
    if isinstance(first, tuple):
        return f"Tuple[{', '.join(type_text(items, fresh) for items in zip(*values))}]"
    if isinstance(first, list):
        items = [item for value in values for item in value]
        inner = type_text(items, lambda: "?") if items else UNKNOWN
        return f"List[{inner}]" if inner else UNKNOWN
    if isinstance(first, dict):
        items = [item for value in values for item in value.values()]
        inner = type_text(items, lambda: "?") if items else UNKNOWN
        return f"Dict[str, {inner}]" if inner else UNKNOWN
    return "None" if first is None else type(first).__name__


def signatures(model, calls):
    """[(method, [entry, ...])]: one for each kind of call."""
    groups = {}
    for call in calls:
        groups.setdefault((call.method, tuple(kind(a) for a in call.args)), []).append(call.args)
    out = []
    for (method, _), group in groups.items():
        names, counter = [a[0] for a in model.method(method).arguments], iter(range(1000))
        texts = [type_text(values, lambda: f"N{next(counter)}") for values in zip(*group)]
        entries = [f"{name}: {text}" for name, text in zip(names, texts) if text]
        out.append((method, entries))
    return out


def ahead_of_time(path, calls, folder, methods=None, compiling=None, **options):
    out = pathlib.Path(folder) / (pathlib.Path(path).stem + ".fst")
    firesteel.compile(path, methods=methods or signatures(firesteel.load(str(path)), calls), out=out, **compiling or {})
    ours = firesteel.load(str(out), allow_compile=False)
    run(ours, path, calls, **options)
    return ours
