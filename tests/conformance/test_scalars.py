"""Every op on ints, floats and bools (rows of class SCALAR) against PyTorch, over values that hurt.

`firesteel opt --passes=canonicalize` computes them with the interpreter on the expressions that native code uses, too. Where
PyTorch raises or its C++ has no defined result (dividing the lowest integer by -1, shifting by 64), nothing is asked.
"""
import itertools
import math
import os
import pathlib
import re
import subprocess

import pytest
import torch

BUILD = pathlib.Path(os.environ.get("FST_BUILD", "build"))
ROWS = pathlib.Path(__file__).parents[2] / "ir" / "ops" / "scalar.def"
INTS = [0, 1, -1, 2, -7, 10, 63, 12345678901, -(2**63), 2**63 - 1]
FLOATS = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, -1e10, 1e-300, 1e300, math.inf, -math.inf, math.nan]
BOOLS = [False, True]
ULPS = {"lgamma": 400}  # of the expansions in f64; the others are better than 4


def rows():
    schema = re.compile(r'"((?:aten|prim)::[^"]*-> \w+)"')  # one result: folding knows no others
    return [m.group(1) for m in map(schema.search, ROWS.read_text().splitlines()) if m]


def parse(schema):
    name, args, result = re.fullmatch(r"([\w:.]+)\((.*)\) -> (\w+)", schema).groups()
    return name, [a.split()[0] for a in args.split(", ")], result


def operator(name):
    namespace, rest = name.split("::")
    op, _, overload = rest.partition(".")
    packet = getattr(getattr(torch.ops, namespace), op)
    return getattr(packet, overload or "default")


def literal(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return repr(value) if "." in repr(value) or "e" in repr(value) or "n" in repr(value) else repr(value) + ".0"


def undefined(name, args):
    """Where C++ itself, and so PyTorch, has no answer."""
    op = name.split("::")[1].split(".")[0]
    ints = [a for a in args if isinstance(a, int) and not isinstance(a, bool)]
    if op in ("__lshift__", "__rshift__"):
        return not 0 <= args[1] < 64 or (op == "__lshift__" and (args[0] < 0 or args[0] << args[1] >= 2**63))
    if op in ("floordiv", "remainder", "__round_to_zero_floordiv") and len(ints) == 2:
        overflows = op == "remainder" and abs(args[1]) > 2**62  # it adds the divisor
        return args[1] in (0, -1) or abs(args[0]) == 2**63 or overflows  # a trap, not an exception
    if op in ("neg", "abs", "__range_length", "__derive_index"):
        return -(2**63) in ints or (op.startswith("__") and any(abs(a) > 2**62 for a in ints)) or (op == "__range_length" and args[2] == 0)
    if op == "Int" or (op in ("floor", "ceil") and not ints):
        return any(isinstance(a, float) and not abs(a) < 2**63 for a in args)
    if op == "ldexp":
        return abs(args[1]) > 2**31 - 1  # C's takes an int
    if op in ("sin", "cos", "tan"):
        return abs(args[0]) > 2**60  # our reduction of f64 arguments ends there
    return name == "aten::pow.int_to_int" and (args[1] < 0 or abs(float(args[0])) ** args[1] >= 2**53)


def expected(name, args):
    try:
        if undefined(name, args):
            return None
        return (operator(name)(*args),)
    except (RuntimeError, OverflowError, ZeroDivisionError, ValueError):
        return None


def samples(types):
    pools = {"int": INTS, "float": FLOATS, "bool": BOOLS, "Scalar": [3, -2, 2.5, -0.75]}
    return itertools.product(*(pools[t] for t in types))


def wrap(value):
    return value if isinstance(value, (bool, float)) else (value + 2**63) % 2**64 - 2**63


def collect():
    cases = []
    for schema in rows():
        name, types, result = parse(schema)
        if result == "Scalar" or "Scalar" in types:
            continue  # typed by the specializer, where their operands' kinds are known
        for args in samples(types):
            try:
                value = expected(name, args)
            except AttributeError:
                continue
            if value is not None:
                cases.append((name, args, result, value[0]))
    return cases


def fold(cases, tmp_path):
    lines = ["firesteel.module 1"]
    for i, (name, args, result, _) in enumerate(cases):
        lines += [f'function "f{i}" inlined () -> ({result}) {{', f"  %0 : {result} = {name}({', '.join(map(literal, args))})", "  return %0", "}"]
    path = tmp_path / "scalars.ir"
    path.write_text("\n".join(lines))
    out = subprocess.run([BUILD / "bin" / "firesteel", "opt", path, "--passes=canonicalize"], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    found = {}
    for m in re.finditer(r'function "f(\d+)" inlined \(\) -> \(\w+\) \{\n(?:  %0 : [^\n]*\n)?  return ([^\n]*)\n', out.stdout):
        found[int(m.group(1))] = m.group(2)
    return found


def same(name, got, want):
    if isinstance(want, bool):
        return got == ("true" if want else "false")
    if isinstance(want, int):
        return got == str(want)
    if got.startswith("%"):
        return False
    got = float(got)
    if math.isnan(want) or math.isnan(got):
        return math.isnan(want) and math.isnan(got)
    if math.isinf(want) or want == 0:
        return got == want
    return abs(got - want) <= ULPS.get(name.split("::")[1].split(".")[0], 4) * math.ulp(want)


@pytest.mark.skipif(not (BUILD / "bin" / "firesteel").exists(), reason="no build")
def test_scalar_rows(tmp_path):
    cases = collect()
    assert len(cases) > 5000 and len({c[0] for c in cases}) > 120
    found = fold(cases, tmp_path)
    wrong = [f"{name}{args}: {found[i]}, not {want}" for i, (name, args, _, want) in enumerate(cases) if not same(name, found[i], want)]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:40])
