"""What PyTorch refuses, we refuse, with its text: wrong shapes at inference, wrong indices when the kernel runs."""
import os
import re

import pytest
import torch

import harness

pytestmark = pytest.mark.skipif("FST_CONFORMANCE_LIB" not in os.environ, reason="FST_CONFORMANCE_LIB names no library")

f = lambda *sizes: torch.arange(1.0, 1.0 + torch.Size(sizes).numel()).reshape(sizes)
i = lambda *values: torch.tensor(values)
aten = torch.ops.aten

# name: (op call over %0, %1, ..., the same in PyTorch, tensors)
CASES = {
    "mm": ("aten::mm(%0, %1)", aten.mm, [f(2, 3), f(4, 5)]),
    "mm_rank": ("aten::mm(%0, %1)", aten.mm, [f(2, 3, 1), f(4, 5)]),
    "linear": ("aten::linear(%0, %1, None)", lambda x, w: aten.linear(x, w, None), [f(2, 3), f(5, 4)]),
    "linear_batch": ("aten::linear(%0, %1, None)", lambda x, w: aten.linear(x, w, None), [f(2, 2, 3), f(5, 4)]),
    "matmul_vectors": ("aten::matmul(%0, %1)", aten.matmul, [f(2), f(3)]),
    "matmul_matrix_vector": ("aten::matmul(%0, %1)", aten.matmul, [f(2, 3), f(4)]),
    "matmul_vector_matrix": ("aten::matmul(%0, %1)", aten.matmul, [f(3), f(4, 2)]),
    "matmul_folded": ("aten::matmul(%0, %1)", aten.matmul, [f(2, 2, 3), f(4, 5)]),
    "matmul_batch": ("aten::matmul(%0, %1)", aten.matmul, [f(2, 2, 3), f(2, 4, 5)]),
    "bmm": ("aten::bmm(%0, %1)", aten.bmm, [f(2, 2, 3), f(2, 4, 5)]),
    "conv_channels": ("aten::conv2d(%0, %1, None, [1, 1], [0, 0], [1, 1], 1)", lambda x, w: aten.conv2d(x, w), [f(1, 5, 8, 8), f(4, 3, 3, 3)]),
    "conv_rank": ("aten::conv2d(%0, %1, None, [1, 1], [0, 0], [1, 1], 1)", lambda x, w: aten.conv2d(x, w), [f(5, 8), f(4, 3, 3, 3)]),
    "cat_sizes": ("aten::cat(%l, 1)", lambda a, b: aten.cat([a, b], 1), [f(2, 3), f(3, 3)]),
    "cat_ranks": ("aten::cat(%l, 0)", lambda a, b: aten.cat([a, b], 0), [f(2, 3), f(2, 3, 1)]),
    "cat_dim": ("aten::cat(%l, 2)", lambda a, b: aten.cat([a, b], 2), [f(2, 3), f(2, 3)]),
    "stack": ("aten::stack(%l, 0)", lambda a, b: aten.stack([a, b], 0), [f(2, 3), f(3, 3)]),
    "layer_norm": ("aten::layer_norm(%0, [3], None, None, 1e-05, true)", lambda x: aten.layer_norm(x, [3]), [f(2, 4)]),
    "group_norm": ("aten::group_norm(%0, 3, None, None, 1e-05, true)", lambda x: aten.group_norm(x, 3), [f(2, 4, 2)]),
    "batch_norm": ("aten::batch_norm(%0, None, None, %1, %1, false, 0.1, 1e-05, true)",
                   lambda x, m: aten.batch_norm(x, None, None, m, m, False, 0.1, 1e-5, True), [f(2, 4, 2), f(3)]),
    "max_pool_padding": ("aten::max_pool2d(%0, [2, 2], [2, 2], [2, 2], [1, 1], false)", lambda x: aten.max_pool2d(x, [2, 2], [2, 2], [2, 2]), [f(1, 1, 4, 4)]),
    "pixel_shuffle": ("aten::pixel_shuffle(%0, 2)", lambda x: aten.pixel_shuffle(x, 2), [f(1, 3, 2, 2)]),
    "one_hot": ("aten::one_hot(%0, 4)", lambda x: aten.one_hot(x, 4), [f(2, 3)]),
    "repeat": ("aten::repeat(%0, [2])", lambda x: aten.repeat(x, [2]), [f(2, 3)]),
    "copy": ("aten::copy_(%0, %1, false)", aten.copy_, [f(2, 3), f(2, 4)]),
    "embedding_index": ("aten::embedding(%0, %1, -1, false, false)", aten.embedding, [f(3, 2), i(0, 3)]),
    "embedding_negative": ("aten::embedding(%0, %1, -1, false, false)", aten.embedding, [f(3, 2), i(-1, 0)]),
    "embedding_dtype": ("aten::embedding(%0, %1, -1, false, false)", aten.embedding, [f(3, 2), f(2)]),
    "index_select": ("aten::index_select(%0, 0, %1)", lambda x, n: aten.index_select(x, 0, n), [f(3, 2), i(0, 5)]),
    "gather": ("aten::gather(%0, 0, %1, false)", lambda x, n: aten.gather(x, 0, n), [f(3), i(0, 7)]),
    "gather_negative": ("aten::gather(%0, 0, %1, false)", lambda x, n: aten.gather(x, 0, n), [f(3), i(0, -1)]),
    "take": ("aten::take(%0, %1)", aten.take, [f(3), i(0, 3)]),
    "index": ("aten::index.Tensor_hacked_twin(%0, %t)", lambda x, n: aten.index(x, [n]), [f(3, 2), i(1, 3)]),
    "index_negative": ("aten::index.Tensor_hacked_twin(%0, %t)", lambda x, n: aten.index(x, [n]), [f(3, 2), i(1, -4)]),
    "index_put": ("aten::index_put.hacked_twin(%0, %t, %2, false)", lambda x, n, v: aten.index_put(x, [n], v), [f(3, 2), i(1, 3), f(2)]),
    "scatter": ("aten::scatter.src(%0, 0, %1, %2)", lambda x, n, v: aten.scatter(x, 0, n, v), [f(3), i(1, 3), f(2)]),
    "scatter_add": ("aten::scatter_add(%0, 0, %1, %2)", lambda x, n, v: aten.scatter_add(x, 0, n, v), [f(3), i(1, 3), f(2)]),
    "index_add_count": ("aten::index_add(%0, 0, %1, %2, 1)", lambda x, n, v: aten.index_add(x, 0, n, v), [f(5), i(0, 1, 2, 3), f(1)]),
    "nll_class": ("aten::nll_loss(%0, %1, None, 1, -100)", aten.nll_loss, [f(2, 3), i(0, 3)]),
    "topk": ("aten::topk(%0, 5, 0, true, true)", lambda x: aten.topk(x, 5, 0), [f(3)]),
}
# Ours says the same otherwise: the part of the call that is wrong has no name left in the composition.
OTHER_TEXT = {
    "index_add_count": "Number of indices (4) should be equal to source.size(dim): (1)",   # index_copy's too
    "nll_class": "index 3 is out of bounds for dimension 1 with size 3",
}


def our_text(call, tensors):
    params = ", ".join("%%%s : %s" % (chr(97 + n), harness.tensor_type(t)) for n, t in enumerate(tensors))
    lists = ""
    for n in range(len(tensors)):
        call = call.replace("%%%d" % n, "%" + chr(97 + n))
    if "%l" in call:
        lists = "  %l : List[Tensor] = prim::ListConstruct(%a, %b)\n"
    if "%t" in call:
        lists = "  %t : List[Tensor] = prim::ListConstruct(%b)\n"
    results = 2 if call.startswith("aten::topk") else 1
    names = ", ".join("%%r%d : Tensor" % n for n in range(results))
    types = ", ".join(["Tensor"] * results)
    returned = ", ".join("%%r%d" % n for n in range(results))
    return 'firesteel.module 1\nfunction "f" typed (%s) -> (%s) {\n%s  %s = %s\n  return %s\n}\n' % (params, types, lists, names, call, returned)


def filled(detail):
    """The text of a check with its numbers in place, as the host code fills them in."""
    return detail.split("raises: ", 1)[1]


@pytest.mark.parametrize("name", sorted(CASES))
def test_refusal(name):
    library = harness.load_library()
    harness.read_rows(library)
    call, function, tensors = CASES[name]
    with pytest.raises(Exception) as theirs:
        function(*tensors)
    _, outcome = harness.run_text(library, our_text(call, tensors), tensors)
    assert outcome is not None and outcome.detail.startswith("raises: "), outcome
    expected = OTHER_TEXT.get(name) or str(theirs.value).split("\n")[0]
    numbers = re.escape(filled(outcome.detail).replace("{}", "@")).replace("@", "-?\\d+")
    assert re.fullmatch(numbers, expected), "ours %r, PyTorch's %r" % (filled(outcome.detail), expected)
