"""OpInfo samples through the whole road (native.py): traced, saved, loaded, compiled, called, compared with PyTorch."""
import pytest
import torch

import first_ops
import native

# Shares of the samples that PyTorch reproduces, in percent, when they were last raised. They may only rise.
LEAST_RIGHT = 98.6
LEAST_NATIVE = 84.1


@pytest.fixture(scope="module")
def outcomes():
    found = native.sweep()
    print("\n" + native.summary(found))
    return found


def lines(outcomes, kind):
    return ["%s: %s" % (label, o.detail) for label, o in outcomes.items() if o.kind == kind]


def test_no_sample_is_wrong(outcomes):
    assert lines(outcomes, "wrong") == []


def test_no_sample_crashes(outcomes):
    assert lines(outcomes, "crash") == []


def test_shares_only_rise(outcomes):
    counts = native.count(outcomes)
    assert 100 * counts["right"] >= LEAST_RIGHT * counts["reproduced"], native.summary(outcomes)
    assert 100 * counts["native"] >= LEAST_NATIVE * counts["reproduced"], native.summary(outcomes)


# ---- equal elements ---------------------------------------------------------------------------------------

ORDERS = {
    "sort": lambda x: torch.sort(x, -1, descending=True), "argsort": lambda x: torch.argsort(x, 0), "topk": lambda x: torch.topk(x, 5), "smallest": lambda x: torch.topk(x, 40, largest=False),
    "any order": lambda x: torch.topk(x, 5, sorted=False), "kthvalue": lambda x: torch.kthvalue(x, 5), "median": lambda x: torch.median(x, 1), "values": lambda x: torch.sort(x)[0],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize("order", ORDERS)
def test_positions_are_those_of_pytorch(order, dtype, tmp_path):
    """Also among equal elements, where they are PyTorch's own affair; without such, natively."""
    path = str(tmp_path / "order.pt")
    generator = torch.Generator().manual_seed(1)
    distinct, equal = torch.randperm(10000, generator=generator).reshape(100, 100).to(dtype), torch.randint(0, 5, (100, 100), generator=generator).to(dtype)
    torch.jit.trace(ORDERS[order], distinct, check_trace=False).save(path)
    theirs = torch.jit.load(path)
    for x in (distinct, equal):
        results, fallbacks, outcome = native.run_archive(path, [x])
        assert outcome is None
        for mine, reference in zip(results, native.harness.results_of(theirs(x)), strict=True):
            assert torch.equal(mine, reference)
        if x is distinct and (order in ("sort", "argsort", "values") or (dtype == torch.float32 and order != "any order")):
            assert fallbacks == {}


# ---- the operator kinds that come first --------------------------------------------------------------------

def used(block):
    """Names with overloads of all ops of a graph."""
    names = set()
    for node in block.nodes():
        schema = node.schema()
        names.add(node.kind() if schema == "(no schema)" else schema.split("(")[0])
        for inner in node.blocks():
            names |= used(inner)
    return names


def archive(program, path):
    function, arguments, traced = program
    with torch.no_grad():
        made = torch.jit.trace(function, arguments()) if traced else torch.jit.script(function)
        torch.jit.save(made, path)
        return torch.jit.load(path)


@pytest.mark.parametrize("program", first_ops.PROGRAMS, ids=lambda p: getattr(p[0], "__name__", type(p[0]).__name__))
def test_first_ops_are_native(program, tmp_path):
    path = str(tmp_path / "program.pt")
    theirs, ours = program[1](), program[1]()
    with torch.no_grad():
        expected = native.harness.results_of(archive(program, path)(*theirs))
    results, fallbacks, outcome = native.run_archive(path, ours)
    assert outcome is None
    assert native.compare("", None, [], results, expected) is None
    for left, right in zip(ours, theirs):
        assert native.harness.difference(left, right) is None
    assert fallbacks == {}


def test_programs_use_all_first_ops(tmp_path):
    names = set()
    for program in first_ops.PROGRAMS:
        names |= used(archive(program, str(tmp_path / "program.pt")).inlined_graph) | used(archive(program, str(tmp_path / "program.pt")).graph)
    assert [name for name in first_ops.NAMES if name not in names] == []


def test_first_ops_never_fall_back(outcomes):
    """Nor in any sample of the sweep."""
    fell = {op: label for label, outcome in outcomes.items() if outcome.kind == "fallback" for op in outcome.detail.split()}
    assert {op: label for op, label in fell.items() if op in first_ops.NAMES} == {}


# ---- complex elements --------------------------------------------------------------------------------------

MOVES = {
    "from real": lambda x: x.to(torch.complex64), "to complex128": lambda x: x.to(torch.complex128), "to real": lambda x: x.to(torch.complex64).to(torch.float32),
    "to bool": lambda x: x.to(torch.complex64).to(torch.bool), "copied": lambda x: x.to(torch.complex64).t().contiguous(), "joined": lambda x: torch.cat([x.to(torch.complex64), x.to(torch.complex64)[:1]]),
    "padded": lambda x: torch.nn.functional.pad(x.to(torch.complex64), (1, 2)), "indexed": lambda x: x.to(torch.complex64)[torch.tensor([1, 0])],
}


@pytest.mark.parametrize("move", MOVES)
def test_complex_elements_move_natively(move, tmp_path):
    path = str(tmp_path / "move.pt")
    torch.jit.trace(MOVES[move], torch.ones(2, 3), check_trace=False).save(path)
    for sizes in ((2, 3), (5, 7), (4, 1)):
        x = torch.randn(sizes)
        results, fallbacks, outcome = native.run_archive(path, [x])
        assert outcome is None and fallbacks == {}
        assert native.harness.difference(results[0], torch.jit.load(path)(x)) is None


# ---- orthogonal polynomials --------------------------------------------------------------------------------

POLYNOMIALS = ["%schebyshev_polynomial_%s" % (shifted, kind) for shifted in ("", "shifted_") for kind in "tuvw"] + [
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"]


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name, tmp_path):
    """Orders and points that are numbers, orders in a tensor, of which none may be above 1, and those beyond what a type holds. (Of NaN, PyTorch
    takes some for points of size 1.)"""
    path, function = str(tmp_path / "polynomial.pt"), getattr(torch.special, name)
    torch.jit.trace(lambda x, n: (function(x, 7), function(x, -1), function(0.5, n), function(x, n), function(x, n.clamp_max(1)), function(x.double(), 200)),
                    (torch.ones(2), torch.ones(2, 1, dtype=torch.int64)), check_trace=False).save(path)
    for x, n in ((torch.tensor([-1.0, -0.3, 0.0, 0.9, 1.0]), torch.tensor([[-2], [0], [1], [6]])), (torch.rand(0), torch.ones(3, 1, dtype=torch.int64))):
        results, fallbacks, outcome = native.run_archive(path, [x, n])
        assert outcome is None and fallbacks == {}
        for mine, theirs in zip(results, torch.jit.load(path)(x, n), strict=True):
            assert native.harness.difference(mine, theirs) is None


# ---- what only libtorch can hold ---------------------------------------------------------------------------

@pytest.mark.parametrize("function", [lambda x: (torch.complex(x, x).conj() * 2).abs(), lambda x: torch.fft.ifft(x), lambda x: x.to_sparse().to_dense() + 1,
                                      lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize()], ids=["conjugate", "ifft", "sparse", "quantized"])
def test_tensors_of_other_kinds_on_the_way(function, tmp_path):
    path = str(tmp_path / "other.pt")
    torch.jit.trace(function, torch.ones(4), check_trace=False).save(path)
    for _ in range(3):
        x = torch.randn(4)
        results, _, outcome = native.run_archive(path, [x])
        assert outcome is None
        torch.testing.assert_close(results[0], torch.jit.load(path)(x))


def test_a_conjugate_view_is_no_result(tmp_path):
    path = str(tmp_path / "conjugate.pt")
    torch.jit.trace(lambda x: torch.complex(x, x).conj(), torch.ones(4), check_trace=False).save(path)
    assert native.run_archive(path, [torch.ones(4)])[2].kind == "refused"
