"""Compares op rows with PyTorch: traces a function, writes its graph as our IR, runs it through inference,
lowering and the kernel interpreter, and compares dtype, sizes, strides and values.

The library is run_ops.c linked with the compiler; FST_CONFORMANCE_LIB names it. Outcomes of a case:
  ok           equal to PyTorch
  unsupported  an op has no row, no lowering for these operands, or something is not known
  wrong        an answer that differs, or a refusal where PyTorch answers
  crash        the process ended
"""
import ctypes
import io
import math
import os
import re
import sys
import types
import unittest
import warnings
from collections import namedtuple

import torch
from torch.utils import _pytree as pytree

warnings.filterwarnings("ignore")

DTYPES = {
    torch.uint8: "u8", torch.int8: "i8", torch.int16: "i16", torch.int32: "i32", torch.int64: "i64",
    torch.float16: "f16", torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.bool: "b8",
    torch.complex64: "c64", torch.complex128: "c128", torch.complex32: "c32",
}
BY_NAME = {name: dtype for dtype, name in DTYPES.items()}

Outcome = namedtuple("Outcome", "kind detail")


# ---- the library ----------------------------------------------------------------------------------------

def load_library(path=None):
    path = path or os.environ["FST_CONFORMANCE_LIB"]
    lib = ctypes.CDLL(path)
    lib.conf_open.restype = ctypes.c_void_p
    lib.conf_open.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    for name in ("conf_error", "conf_rows"):
        getattr(lib, name).restype = ctypes.c_char_p
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    for name in ("conf_result_text", "conf_result_strides"):
        getattr(lib, name).restype = ctypes.c_char_p
        getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.conf_result_data.restype = ctypes.c_void_p
    lib.conf_result_data.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.conf_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
    lib.conf_symbols.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64), ctypes.c_int]
    for name in ("conf_close", "conf_is_unsupported", "conf_result_count"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    return lib


# ---- torch graphs to IR text ----------------------------------------------------------------------------

class CannotWrite(Exception):
    """The graph has something the IR text has no form for."""


class Symbols:
    """Sizes as symbols: equal sizes share one, as after the checks that a call begins with. Sizes 0 and 1 are
    symbols like any other."""

    def __init__(self):
        self.numbers = {}

    def name(self, size):
        return "s%d" % self.numbers.setdefault(size, len(self.numbers))

    def values(self):
        return list(self.numbers)

    def tensor_type(self, t):
        if t.dim() == 0 or not t.is_contiguous():
            return tensor_type(t)
        sizes = [self.name(n) for n in t.shape]
        strides = ["*".join(sizes[i + 1:]) or "1" for i in range(len(sizes))]
        return "%s[%s]{%s}" % (DTYPES[t.dtype], ", ".join(sizes), ", ".join(strides))


def tensor_type(t):
    if t.layout != torch.strided:
        raise CannotWrite("sparse tensor")
    if t.dim() == 0:
        return "%s[]" % DTYPES[t.dtype]
    return "%s[%s]{%s}" % (DTYPES[t.dtype], ", ".join(map(str, t.shape)), ", ".join(map(str, t.stride())))


def literal(value):
    if value is None or isinstance(value, bool):
        return {None: "None", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        return text if any(c in text for c in ".einf") else text + ".0"
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')
    if isinstance(value, torch.device):
        return 'device("%s")' % value
    if isinstance(value, (list, tuple)):
        if value and all(type(v) is int for v in value):
            return "[%s]" % ", ".join(map(str, value))
        kind = type(value[0]).__name__ if value else "int"
        if kind not in ("int", "float", "bool"):
            raise CannotWrite("list of " + kind)
        return "%s[%s]" % (kind, ", ".join(map(literal, value)))
    raise CannotWrite("constant of type " + type(value).__name__)


def type_text(t):
    text = t.annotation_str
    if text in ("number", "Union[complex, float, int]", "Union[int, float, complex]"):
        return "Scalar"
    text = text.replace("Device", "Device").replace("torch.device", "Device")
    if re.search(r"Tuple|Dict|Future|Class|__torch__|Storage|Stream|Generator", text):
        raise CannotWrite("type " + text)
    return text


# PyTorch's executor turns a constant 0-d tensor into a number here, which promotes differently.
NUMBER_FORMS = {"aten::%s.Tensor" % op: "aten::%s.Scalar" % op for op in ("add", "sub", "mul", "div")}


class Writer:
    """One torch graph as one IR function. Tensor constants become further parameters."""

    def __init__(self, graph, tensors, symbols=None):
        self.tensor_type = symbols.tensor_type if symbols else tensor_type
        self.names = {}
        self.lines = []
        self.params = []
        self.extra = []
        self.numbers = {}  # 0-d constant tensors, as literals
        inputs = list(graph.inputs())
        for value, tensor in zip(inputs[len(inputs) - len(tensors):], tensors):  # a module's graph takes self first
            self.param(value.debugName(), tensor)
        for node in graph.nodes():
            self.node(node)
        results = list(graph.outputs())
        if len(results) == 1 and results[0].node().kind() in ("prim::TupleConstruct", "prim::ListConstruct"):
            results = list(results[0].node().inputs())
        self.returns = [self.operand(v) for v in results]
        if not results:
            raise CannotWrite("no results")
        self.types = [type_text(v.type()) for v in results]

    def param(self, name, tensor):
        self.names[name] = "%%p%d" % len(self.params)
        self.params.append("%s : %s" % (self.names[name], self.tensor_type(tensor)))

    def operand(self, value):
        if value.debugName() not in self.names:
            raise CannotWrite("value " + value.debugName())
        return self.names[value.debugName()]

    def constant(self, node):
        out = node.output()
        value = out.toIValue() if out.type().kind() != "NoneType" else None
        if out.type().kind() == "TensorType" and value is not None:
            # A number that tracing made a 0-d tensor comes as a number here.
            value = torch.as_tensor(value, dtype=out.type().dtype())
            self.extra.append(value)
            self.param(out.debugName(), value)
            if value.dim() == 0 and not value.is_complex():
                self.numbers[self.names[out.debugName()]] = literal(value.item())
        else:
            self.names[out.debugName()] = literal(value)

    def node(self, node):
        kind = node.kind()
        if kind == "prim::Constant":
            return self.constant(node)
        if kind == "prim::TupleConstruct":
            return None
        if kind.startswith("prim::") and kind not in ("prim::ListConstruct", "prim::ListUnpack", "prim::NumToTensor",
                                                      "prim::dtype", "prim::device", "prim::layout"):
            raise CannotWrite(kind)
        if list(node.blocks()):
            raise CannotWrite("control flow")
        schema = node.schema()
        name = schema.split("(")[0] if schema != "(no schema)" else kind
        operands = [self.operand(v) for v in node.inputs()]
        if name in NUMBER_FORMS and operands[1] in self.numbers:
            name, operands[1] = NUMBER_FORMS[name], self.numbers[operands[1]]
        operands = ", ".join(operands)
        results = []
        for value in node.outputs():
            self.names[value.debugName()] = "%%v%d" % len(self.names)
            results.append("%s : %s" % (self.names[value.debugName()], type_text(value.type())))
        op = name if name in self.rows() or schema == "(no schema)" else '%s["%s"]' % ("op", schema.replace('"', '\\"'))
        self.lines.append("  %s = %s(%s)" % (", ".join(results), op, operands))

    @staticmethod
    def rows():
        return ROWS

    def text(self):
        return 'firesteel.module 1\nfunction "f" typed (%s) -> (%s) {\n%s\n  return %s\n}\n' % (
            ", ".join(self.params), ", ".join(self.types), "\n".join(self.lines), ", ".join(self.returns))


ROWS = {}


def read_rows(lib):
    """Row names with what they have: i(nference), l(owering), p (in place), c(omposition)."""
    session = lib.conf_open(b"firesteel.module 1\n", 19)
    text = lib.conf_rows(session).decode()
    ROWS.update(line.split(" ") for line in text.splitlines())
    return ROWS


# ---- one case -------------------------------------------------------------------------------------------

def flatten(inputs):
    """(tensors, rebuild): the tensors of a nested structure, and the structure over others."""
    leaves, spec = pytree.tree_flatten(inputs)
    at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[i] for i in at]

    def rebuild(others):
        filled = list(leaves)
        for i, other in zip(at, others):
            filled[i] = other
        return pytree.tree_unflatten(filled, spec)

    return tensors, rebuild


def copies(tensors):
    """Equal tensors with the same strides in memory of their own."""
    out = []
    for t in tensors:
        base = torch.empty_strided(t.size(), t.stride(), dtype=t.dtype)
        overlapping = any(size > 1 and stride == 0 for size, stride in zip(t.size(), t.stride()))
        out.append(t.detach() if overlapping else base.copy_(t.detach()))
    return out


def results_of(value):
    leaves = pytree.tree_leaves(value)
    return [v for v in leaves if v is not None]


def read_result(lib, session, index):
    text = lib.conf_result_text(session, index).decode()
    if text.startswith("= "):
        return eval(text[2:], {"inf": math.inf, "nan": math.nan})
    match = re.match(r"(\w+)\[([\d, ]*)\]", text)
    if not match:
        raise ValueError("result of type " + text)
    dtype = BY_NAME[match.group(1)]
    sizes = [int(n) for n in match.group(2).split(",") if n.strip()]
    strides = [int(n) for n in lib.conf_result_strides(session, index).decode().split()]
    reach = 1 + sum((n - 1) * s for n, s in zip(sizes, strides)) if all(sizes) else 0
    if reach == 0:
        return torch.empty_strided(sizes, strides, dtype=dtype)
    width = torch.empty(0, dtype=dtype).element_size()
    raw = (ctypes.c_char * (reach * width)).from_address(lib.conf_result_data(session, index))
    return torch.frombuffer(bytearray(raw), dtype=dtype).as_strided(sizes, strides)


def difference(ours, theirs, undefined=False, strides=True):
    """What differs between a result and PyTorch's, or None. `undefined`: the elements may be anything."""
    if not isinstance(theirs, torch.Tensor):
        if isinstance(ours, torch.Tensor) and ours.dim() == 0:  # tracing turns sizes into 0-d tensors
            ours = ours.item()
        same = ours == theirs or (ours != ours and theirs != theirs)
        return None if same and type(ours) is type(theirs) else "%r instead of %r" % (ours, theirs)
    if not isinstance(ours, torch.Tensor):
        return "%r instead of a tensor" % (ours,)
    if ours.dtype != theirs.dtype:
        return "dtype %s instead of %s" % (ours.dtype, theirs.dtype)
    if ours.shape != theirs.shape:
        return "sizes %s instead of %s" % (list(ours.shape), list(theirs.shape))
    if strides and ours.stride() != theirs.stride():
        return "strides %s instead of %s of sizes %s" % (ours.stride(), theirs.stride(), list(theirs.shape))
    if undefined:
        return None
    try:
        torch.testing.assert_close(ours, theirs.detach(), equal_nan=True)
    except AssertionError as error:
        return "values: " + str(error).strip().replace("\n", " ")
    return None


def agrees_in_double(call, tensors, results):
    """Are the results what PyTorch gets in double, to a few roundings of the largest element? Its own float
    kernels are further off now and then, and sums that cancel are off by the roundings of what cancelled."""
    wide = [t.double() if t.is_floating_point() else t for t in copies(tensors)]
    try:
        exact = results_of(call(*wide))
    except Exception:
        return False
    if len(exact) != len(results):
        return False
    for ours, theirs in zip(results, exact):
        if not isinstance(ours, torch.Tensor) or not ours.is_floating_point():
            continue
        finite = theirs[theirs.isfinite()]
        largest = finite.abs().max().item() if finite.numel() else 0.0
        slack = 4 * torch.finfo(ours.dtype).eps * largest
        if not torch.allclose(ours.double(), theirs.double(), rtol=1.3e-6, atol=max(1e-5, slack), equal_nan=True):
            return False
    return True


def run_text(lib, text, tensors, symbols=()):
    """Runs IR text; (results, None) or (None, outcome). `symbols`: what s0, s1, ... are."""
    data = text.encode()
    session = lib.conf_open(data, len(data))
    lib.conf_symbols(session, (ctypes.c_int64 * (len(symbols) + 1))(*symbols), len(symbols))
    empty = ctypes.create_string_buffer(64)
    pointers = (ctypes.c_void_p * (len(tensors) + 1))(*[t.data_ptr() or ctypes.addressof(empty) for t in tensors])
    try:
        if not lib.conf_run(session, pointers):
            kind = "unsupported" if lib.conf_is_unsupported(session) else "wrong"
            return None, Outcome(kind, lib.conf_error(session).decode(errors="replace"))
        return [read_result(lib, session, i) for i in range(lib.conf_result_count(session))], None
    finally:
        lib.conf_close(session)


def reload(traced):
    """The traced function as an archive gives it back: a number that met a tensor is a 0-d tensor there, and
    promotes as one."""
    archive = io.BytesIO()
    torch.jit.save(traced, archive)
    archive.seek(0)
    return torch.jit.load(archive)


# Results whose elements PyTorch leaves open: fresh memory, and positions of equal elements.
UNDEFINED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted"}
OPEN_POSITIONS = {"sort", "argsort", "topk", "kthvalue", "mode", "median", "nanmedian", "msort"}


def check(lib, function, inputs, show=False, name="", symbolic=False):
    """Runs function(*inputs) in PyTorch and here. `name` is the OpInfo's. `symbolic`: with every size of the inputs
    a symbol, and strides of the results left open (they may follow sizes in general position)."""
    symbols = Symbols() if symbolic else None
    tensors, rebuild = flatten(inputs)
    call = lambda *ts: function(*rebuild(ts))
    with torch.no_grad():
        try:
            again = results_of(call(*copies(tensors)))
            traced = reload(torch.jit.trace(call, tuple(copies(tensors)), check_trace=False))
            expected = results_of(traced(*copies(tensors)))
        except Exception as error:  # PyTorch itself refuses: nothing to compare
            return Outcome("skipped", str(error))
        if name not in UNDEFINED and any(difference(a, b) for a, b in zip(expected, again)):
            return Outcome("skipped", "random")
        ours = copies(tensors)
        try:
            writer = Writer(traced.inlined_graph, ours, symbols)
        except CannotWrite as error:
            return Outcome("unsupported", "graph: %s" % error)
        text = writer.text()
        if show:
            print(text)
        results, outcome = run_text(lib, text, ours + writer.extra, symbols.values() if symbols else ())
    if outcome:
        return outcome
    if len(results) != len(expected):
        return Outcome("wrong", "%d results instead of %d" % (len(results), len(expected)))
    for i, (a, b) in enumerate(zip(results, expected)):
        has_ties = name in OPEN_POSITIONS and not tensors[0].is_floating_point() and b.dtype == torch.int64
        is_position = has_ties and (i == 1 or name == "argsort")
        found = difference(a, b, undefined=name in UNDEFINED or is_position, strides=not symbolic)
        if found and not (found.startswith("values") and agrees_in_double(call, tensors, results)):
            return Outcome("wrong", "result %d: %s" % (i, found))
    return Outcome("ok", "")


def in_child(work):
    """work() in a forked child. It yields (label, outcome) and, before each, (label, None); the case that was
    begun when the child died is a crash. Returns ({label: outcome}, died)."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:  # an exception must not go on in the child as if it were the parent
            os.close(read_end)
            with os.fdopen(write_end, "w") as out:
                for label, outcome in work():
                    parts = (label,) if outcome is None else (label, outcome.kind, outcome.detail)
                    out.write("\t".join(re.sub(r"[\n\t]", " ", part) for part in parts) + "\n")
                    out.flush()
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    outcomes, begun = {}, None
    with os.fdopen(read_end) as source:
        for line in source:
            label, *rest = line.rstrip("\n").split("\t")
            begun = label
            if rest:
                outcomes[label] = Outcome(*rest)
    _, status = os.waitpid(pid, 0)
    if status and begun is not None and begun not in outcomes:
        outcomes[begun] = Outcome("crash", "wait status %d" % status)
    return outcomes, bool(status)


# ---- OpInfo ---------------------------------------------------------------------------------------------

SAMPLES = 3  # of each variant
SAMPLE_DTYPES = (torch.float32, torch.int64, torch.bool)


def op_infos():
    """torch.testing's table. It is imported with torch's whole test machinery, of which one part (expecttest) is
    no dependence of ours and is only inherited from."""
    if "expecttest" not in sys.modules:
        try:
            import expecttest  # noqa: F401
        except ImportError:
            stand_in = types.ModuleType("expecttest")
            stand_in.TestCase = unittest.TestCase
            stand_in.assert_expected_inline = stand_in.ACCEPT = None
            sys.modules["expecttest"] = stand_in
    from torch.testing._internal.common_methods_invocations import op_db
    return op_db


def op_cases(op, dtype):
    """(label, function, inputs) of an OpInfo's first samples."""
    if dtype not in op.supported_dtypes("cpu"):
        return
    torch.manual_seed(0)
    for number, sample in enumerate(op.sample_inputs("cpu", dtype)):
        if number == SAMPLES:
            return
        inputs = (sample.input, sample.args, sample.kwargs)
        yield "%s %s #%d" % (op.formatted_name, DTYPES[dtype], number), lambda x, a, k: op.op(x, *a, **k), inputs
        if op.inplace_variant and isinstance(sample.input, torch.Tensor):
            # The written tensor is the result; it must be a copy of the sample inside the traced function.
            inplace = lambda x, a, k, f=op.inplace_variant: f(x, *a, **k)
            yield "%s_ %s #%d" % (op.formatted_name, DTYPES[dtype], number), inplace, inputs


def in_children(work):
    """work(done) in a child, and after a crash in another one, told what is done: {label: outcome}."""
    outcomes, died = {}, True
    while died:
        found, died = in_child(lambda: work(outcomes))
        if died and not found:
            raise RuntimeError("a child died before its first case")
        outcomes.update(found)
    return outcomes


def sweep(lib, names=None, symbolic=False, dtypes=SAMPLE_DTYPES):
    """Outcomes of all OpInfo samples."""
    ops = [op for op in op_infos() if not names or op.name in names or op.formatted_name in names]

    def work(done):
        for op in ops:
            for dtype in dtypes:
                try:
                    for label, function, inputs in op_cases(op, dtype):
                        if label in done:
                            continue
                        yield label, None
                        yield label, check(lib, function, inputs, name=op.name, symbolic=symbolic)
                except Exception as error:
                    yield "%s %s" % (op.formatted_name, DTYPES[dtype]), Outcome("skipped", "samples: %s" % error)

    return in_children(work)


def run_cases(lib, cases, symbolic=False):
    """Outcomes of {label: (function, inputs as a function)}."""

    def work(done):
        for label, (function, inputs) in cases.items():
            if label in done:
                continue
            torch.manual_seed(0)
            yield label, None
            yield label, check(lib, function, inputs(), symbolic=symbolic)

    return in_children(work)


def main(names):
    lib = load_library()
    read_rows(lib)
    symbolic = "--symbolic" in names
    names = [name for name in names if name != "--symbolic"]
    outcomes = sweep(lib, set(names), symbolic, SAMPLE_DTYPES[:1] if symbolic else SAMPLE_DTYPES)
    counts = {}
    for label, outcome in outcomes.items():
        counts[outcome.kind] = counts.get(outcome.kind, 0) + 1
        if outcome.kind in ("wrong", "crash") or (names and outcome.kind != "ok"):
            print("%-11s %s: %s" % (outcome.kind, label, outcome.detail[:300]))
    print(counts)
    if not names:
        missing = {}
        for outcome in outcomes.values():
            if outcome.kind == "unsupported":
                missing[outcome.detail[:90]] = missing.get(outcome.detail[:90], 0) + 1
        for detail, count in sorted(missing.items(), key=lambda item: -item[1])[:100]:
            print("%4d %s" % (count, detail))


if __name__ == "__main__":
    main(sys.argv[1:])
