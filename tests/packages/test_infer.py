"""What Neuropod says of tensors that do not fit, word for word, and what it lets pass."""
import pathlib
import sys
import zipfile
from typing import Dict, List, Optional, Union

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "cli"), str(pathlib.Path(__file__).resolve().parent)]
import firesteel  # noqa: E402
from firesteel.neuropod import create_torchscript_neuropod, load_neuropod  # noqa: E402
from models import CASES, Addition, DictOfTensors, DictOfUnion, Join, spec  # noqa: E402
from support import BUILD  # noqa: E402

pytestmark = [pytest.mark.skipif(not (BUILD / "lib" / "libfiresteel_torch.so").exists(), reason="built without libtorch"), pytest.mark.filterwarnings("ignore")]
F32 = np.float32


def package(folder, model, inputs, outputs):
    path = folder / f"p{len(list(folder.iterdir()))}"
    create_torchscript_neuropod(neuropod_path=path, model_name="m", module=torch.jit.script(model), input_spec=inputs, output_spec=outputs)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def addition(folder):
    """Two inputs that share a symbol; the result's first size is said to be another symbol."""
    return load_neuropod(package(folder, Addition(), [spec("x", "float32", "s", None), spec("y", "float32", "s", 2)], [spec("out", "float32", "s", 2)]))


def said(model, inputs, *args):
    with pytest.raises(RuntimeError) as caught:
        model.infer(inputs, *args)
    text = str(caught.value)
    assert text.startswith("Neuropod Error: ")
    return text[len("Neuropod Error: "):]


def zeros(*shape, dtype=F32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize("inputs, text", [
    ({"x": zeros(1, 2, dtype=np.int64), "y": zeros(1, 2)}, "Tensor 'x' in the input spec is expected to be of type FLOAT_TENSOR, but was of type INT64_TENSOR"),
    ({"x": zeros(1, 2, dtype=np.float64), "y": zeros(1, 2)}, "Tensor 'x' in the input spec is expected to be of type FLOAT_TENSOR, but was of type DOUBLE_TENSOR"),
    ({"x": np.array(["a"]), "y": zeros(1, 2)}, "Tensor 'x' in the input spec is expected to be of type FLOAT_TENSOR, but was of type STRING_TENSOR"),
    *(({"x": zeros(1, 2, dtype=t), "y": zeros(1, 2)}, f"Tensor 'x' in the input spec is expected to be of type FLOAT_TENSOR, but was of type {t.upper()}_TENSOR")
      for t in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")),
    ({"x": zeros(1), "y": zeros(1, 2)}, "Tensor 'x' in the input spec is expected to have 2 dimensions, but had 1"),
    ({"x": F32(1), "y": zeros(1, 2)}, "Tensor 'x' in the input spec is expected to have 2 dimensions, but had 0"),
    ({"x": zeros(1, 2), "y": zeros(1, 1)}, "Dim 1 of tensor 'y' in the input spec is expected to be of size 2, but was of size 1"),
    ({"x": zeros(1, 2), "y": zeros(2, 2)}, "All dims with symbol 's' should be the same size. Dim 0 of tensor 'y' in the input spec was expected to be of size 1, but was of size 2"),
    ({"x": zeros(1, 2), "y": zeros(1, 2), "bogus": zeros(1)}, "Tensor name(s) '{\"bogus\"}' are not found in the input spec"),
    ({"x": zeros(1, 2), "y": zeros(1, 2), "c": zeros(1), "b": zeros(1)}, "Tensor name(s) '{\"b\", \"c\"}' are not found in the input spec"),
    # Specs in their order, each dtype first, then rank, then sizes; unknown names last.
    ({"bogus": zeros(1), "y": zeros(3, 3), "x": zeros(1)}, "Tensor 'x' in the input spec is expected to have 2 dimensions, but had 1"),
    ({"bogus": zeros(1), "y": zeros(3, 3), "x": zeros(1, 1)}, "All dims with symbol 's' should be the same size. Dim 0 of tensor 'y' in the input spec was expected to be of size 1, but was of size 3"),
    ({"x": zeros(1, dtype=np.int8), "y": zeros(1, 2)}, "Tensor 'x' in the input spec is expected to be of type FLOAT_TENSOR, but was of type INT8_TENSOR"),
])
def test_inputs(addition, inputs, text):
    assert said(addition, inputs) == text
    assert addition.infer({"x": zeros(1, 2), "y": zeros(1, 2)})["out"].shape == (1, 2)  # and goes on


def test_requested_outputs(folder):
    _, inputs, outputs, data, _ = CASES["named"]
    model = load_neuropod(package(folder, CASES["named"][0](), inputs, outputs))
    assert list(model.infer(data, ["words"])) == ["words"]
    assert list(model.infer(data, ["words", "total"])) == ["words", "total"]
    assert said(model, data, ["nothing"]) == "Tried to request a tensor that does not exist: nothing"


class Returns(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return {"out": x}


class ReturnsMore(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return {"out": x, "more": x}


class Plain(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return x * 2


class Number(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return 3


class Ints(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return [1, 2]


class Two(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return x, x


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return {"out": x}, {"out": x}


class Half(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return {"out": x.half()}


class Compare(torch.nn.Module):
    def forward(self, x: torch.Tensor):
        return {"out": x > 0}


class Needs(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: Optional[torch.Tensor]):
        return {"out": x if y is None else x + y}


X = [spec("x", "float32", "n")]
OUT = [spec("out", "float32", "n")]


@pytest.mark.parametrize("model, outputs, text", [
    (Returns, [spec("out", "int64", "n")], "Tensor 'out' in the output spec is expected to be of type INT64_TENSOR, but was of type FLOAT_TENSOR"),
    (Returns, [spec("out", "float32", 3, 4)], "Tensor 'out' in the output spec is expected to have 2 dimensions, but had 1"),
    (Returns, [spec("out", "float32", 3)], "Dim 0 of tensor 'out' in the output spec is expected to be of size 3, but was of size 2"),
    (ReturnsMore, OUT, "Tensor name(s) '{\"more\"}' are not found in the output spec"),
    (Plain, [], "Model did not return dict and output spec is empty"),
    (Plain, [*OUT, spec("b", "float32", "n")], "Model did not return dict and output spec is not size 1"),
    (Number, OUT, "Torchscript model output type not supported in neuropod"),
    (Ints, OUT, "Neuropod got a list of type 'int' for tensor 'out'.Only tensors or lists of strings are supported"),
    (Two, OUT, "When returning a tuple, each item must be a dict. Got Tensor"),
    (Twice, OUT, "An item with name `out` was already returned by this model. Please ensure your model does not have duplicate outputs"),
    (Half, OUT, "Neuropod does not support type: Half"),
    (Compare, OUT, "Neuropod does not support type: Bool"),
])
def test_outputs(folder, model, outputs, text):
    assert said(load_neuropod(package(folder, model(), X, outputs)), {"x": zeros(2)}) == text


def test_a_single_output_takes_the_specs_name(folder):
    assert load_neuropod(package(folder, Plain(), X, OUT)).infer({"x": F32([1])})["out"].tolist() == [2]


def test_a_list_is_taken_where_the_spec_says_string(folder):
    strings = [spec("x", "string", None), spec("y", "string", None)]
    given = {"x": np.array(["a"]), "y": np.array(["b"])}
    assert load_neuropod(package(folder, Join(), strings, [spec("out", "string", None)])).infer(given)["out"].tolist() == ["a b"]
    assert said(load_neuropod(package(folder, Join(), strings, OUT)), given) == "Neuropod got a list of type 'str' for tensor 'out'.Only tensors or lists of strings are supported"


def test_what_is_missing_may_be_missing(folder, addition):
    needs = load_neuropod(package(folder, Needs(), [*X, spec("y", "float32", "n")], [*OUT, spec("never", "int8")]))
    assert needs.infer({"x": F32([1])})["out"].tolist() == [1]  # neither y nor the output `never`
    assert "argument 'y' is missing" in said(addition, {"x": zeros(1, 2)})  # the model decides


def test_names_that_the_model_does_not_have(folder):
    model = load_neuropod(package(folder, Plain(), [*X, spec("z", "float32", "n")], OUT))
    assert said(model, {"x": zeros(1), "z": zeros(1)}) == ("An tensor named 'z' was provided, but does not exist in the input schema of the TorchScript model. "
                                                           "Please ensure your model expects an input with that name. Schema: forward(Tensor x) -> Tensor")


def test_types_that_torchscript_does_not_have(folder):
    for bits in (16, 32, 64):
        model = load_neuropod(package(folder, Plain(), [spec("x", f"uint{bits}", "n")], OUT))
        assert said(model, {"x": zeros(1, dtype=f"uint{bits}")}) == f"TorchScript does not support type: UINT{bits}_TENSOR"


def test_numbers_count_as_tensors_of_one_element(folder):
    """For arguments that the model declares as numbers: a number, or a tensor of one element of any rank."""
    class Power(torch.nn.Module):
        def forward(self, x: torch.Tensor, n: int, by: float):
            return {"out": x * n + by}

    path = package(folder, Power(), [*X, spec("n", "int64", 1), spec("by", "float32")], OUT)
    for n, by in ((3, 0.5), (np.array([3]), np.float32(0.5))):
        assert firesteel.load(path).infer({"x": F32([2]), "n": n, "by": by})["out"].tolist() == [6.5]
    assert load_neuropod(path).infer({"x": F32([2]), "n": np.array([3]), "by": F32(0.5)})["out"].tolist() == [6.5]
    with pytest.raises(firesteel.Error, match="Tensor 'n' in the input spec is expected to be of type INT64_TENSOR, but was of type DOUBLE_TENSOR"):
        firesteel.load(path).infer({"x": F32([2]), "n": 3.5, "by": 1})


def test_a_dict_takes_all(folder):
    model = load_neuropod(package(folder, DictOfTensors(), [spec(n, "float32", None) for n in "xyz"], OUT))
    assert model.infer({"x": F32([2]), "y": F32([3]), "z": F32([4])})["out"].tolist() == [6]


def test_a_dict_of_union_takes_what_is_there(folder):
    class Maybe(torch.nn.Module):
        def forward(self, inputs: Dict[str, Union[torch.Tensor, List[str]]]):
            x = inputs["x"]
            assert isinstance(x, torch.Tensor)
            if "bias" in inputs:
                bias = inputs["bias"]
                assert isinstance(bias, torch.Tensor)
                x = x + bias
            return {"out": x}

    names = [*X, spec("bias", "float32"), spec("a; \"b\\", "string", None)]
    model = load_neuropod(package(folder, Maybe(), names, OUT))
    everything = {"x": F32([2, 3]), "bias": F32(1), "a; \"b\\": np.array(["w"])}
    assert model.infer(everything)["out"].tolist() == [3, 4]
    assert model.infer({**everything, "a; \"b\\": np.array([], str)})["out"].tolist() == [3, 4]
    assert model.infer({"x": F32([2, 3])})["out"].tolist() == [2, 3]
    assert "KeyError" in said(model, {"bias": F32(1)})
    wrong = load_neuropod(package(folder, DictOfUnion(), [spec("a", "float32", "n", 1), spec("b", "float32", "n", 1)], [spec("c", "float32", None, 2), spec("d", "string", None)]))
    assert "AssertionError" in said(wrong, {"a": zeros(2, 1), "b": zeros(2, 1)})


def test_symbols_of_inputs_and_outputs(folder):
    class Repeat(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            return {"out": torch.cat([x, x])}

    path = package(folder, Repeat(), X, OUT)
    assert load_neuropod(path).infer({"x": zeros(2)})["out"].shape == (4,)
    assert said(load_neuropod(path, strict_symbols=True), {"x": zeros(2)}) == (
        "All dims with symbol 'n' should be the same size. Dim 0 of tensor 'out' in the output spec was expected to be of size 2, but was of size 4")


def test_checks_can_be_switched_off(folder):
    path = package(folder, Plain(), [spec("x", "float32", 3)], [spec("out", "int8", 7, 7)])
    assert load_neuropod(path, disable_shape_and_type_checking=True).infer({"x": F32([1, 2])})["out"].tolist() == [2, 4]
    assert said(load_neuropod(path), {"x": zeros(2)}) == "Dim 0 of tensor 'x' in the input spec is expected to be of size 3, but was of size 2"
    model = firesteel.load(path)
    assert model.infer({"x": F32([1, 2])}, check=False)["out"].tolist() == [2, 4]


def test_strings(folder):
    model = load_neuropod(package(folder, Join(), [spec("x", "string", "n"), spec("y", "string", "n")], [spec("out", "string", "n")]))
    out = model.infer({"x": np.array(["a\0b", "", "\u00e4"]), "y": np.array(["c\0", "\U0001f600", "d"])})["out"]
    assert out.tolist() == ["a\0b c", " \U0001f600", "\u00e4 d"]  # NULs within are kept, NULs behind are numpy's padding
    assert out.dtype.kind == "U"
    assert model.infer({"x": np.array([b"\xff"]), "y": np.array([b"x"])})["out"].tolist() == ["\udcff x"]
    assert model.infer({"x": np.array([], "U1"), "y": np.array([], "U1")})["out"].shape == (0,)
    assert said(model, {"x": np.array([["a"]]), "y": np.array(["b"])}).startswith("Only 1D TorchScript string tensors are supported.")
    assert said(model, {"x": np.array(["a"], object), "y": np.array(["b"])}) == "Unsupported array type in python bindings: O"


def test_inputs_stay_as_they_are(addition):
    x = np.asfortranarray(np.arange(4, dtype=F32).reshape(2, 2))
    given = {"x": x, "y": np.ones((2, 4), F32)[:, ::2]}
    with pytest.warns(UserWarning, match="not contiguous"):
        assert addition.infer(given)["out"].tolist() == [[1, 2], [3, 4]]
    assert given["x"] is x and not x.flags.c_contiguous


def test_outputs_are_contiguous(folder):
    class Transpose(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            return {"out": x.t()}

    out = load_neuropod(package(folder, Transpose(), [spec("x", "float32", None, None)], [spec("out", "float32", None, None)])).infer({"x": np.arange(6, dtype=F32).reshape(2, 3)})["out"]
    assert out.flags.c_contiguous and out.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_loading(folder, tmp_path):
    path = package(folder, Plain(), X, OUT)
    for device in (None, 0, 3):
        with load_neuropod(str(path), visible_gpu=device) as model:
            assert model.infer({"x": zeros(1)})["out"].tolist() == [0]
    with pytest.raises(ValueError, match="visible_gpu"):
        load_neuropod(path, visible_gpu="0")
    with pytest.raises(ValueError, match="Got unexpected keyword argument load_custom_ops"):
        load_neuropod(path, load_custom_ops=True)
    with pytest.raises(ValueError, match="_always_use_native"):
        load_neuropod(path, False)
    with pytest.raises(RuntimeError) as caught:
        load_neuropod(tmp_path / "missing")
    assert str(caught.value) == f"Neuropod Error: Error loading Neuropod. No file or directory at '{tmp_path / 'missing'}'"
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "no_config", "w") as z:
        z.writestr("0/data/model.pt", "x")
    for wrong in ("empty", "no_config"):
        with pytest.raises(RuntimeError, match="Neuropod Error: "):
            load_neuropod(tmp_path / wrong)
    torch.jit.save(torch.jit.script(Plain()), str(tmp_path / "plain.pt"))
    with pytest.raises(RuntimeError) as caught:
        load_neuropod(tmp_path / "plain.pt")
    assert str(caught.value) == f"Neuropod Error: Error loading config file for neuropod '{tmp_path / 'plain.pt'}'"
