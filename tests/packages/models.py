"""Small models of the kinds that Neuropods are made of, with their specs and test data."""
from typing import Any, Dict, List, NamedTuple, Optional, Union

import numpy as np
import torch


def spec(name, dtype, *shape):
    return {"name": name, "dtype": dtype, "shape": shape}


class Addition(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor):
        return {"out": x + y}


class Join(torch.nn.Module):
    def forward(self, x: List[str], y: List[str]):
        out: List[str] = []
        for i in range(len(x)):
            out.append(x[i] + " " + y[i])
        return out


class DictOfTensors(torch.nn.Module):
    def forward(self, inputs: Dict[str, torch.Tensor]):
        return {"out": inputs["x"] * inputs["y"]}


class DictOfStrings(torch.nn.Module):
    def forward(self, inputs: Dict[str, List[str]]):
        x, y = inputs["x"], inputs["y"]
        out: List[str] = []
        for i in range(len(x)):
            out.append(x[i] + y[i])
        return {"out": out}


class DictOfUnion(torch.nn.Module):
    """Tensors and lists of strings in one dict, told apart by what they are; a dict of both out."""

    def forward(self, inputs: Dict[str, Union[List[str], torch.Tensor]]):
        words, b = inputs["a"], inputs["b"]
        assert isinstance(words, List[str])
        assert isinstance(b, torch.Tensor)
        out: Dict[str, Union[List[str], torch.Tensor]] = {"c": torch.cat([b, b * len(words)], 1)}
        named: List[str] = []
        for i in range(len(words)):
            named.append(words[i] + "!")
        out["d"] = named
        return out


class DictOfAny(torch.nn.Module):
    def forward(self, inputs: Dict[str, Any]):
        x, words = inputs["x"], inputs["words"]
        out: Dict[str, torch.Tensor] = {}
        if isinstance(x, torch.Tensor):
            out["total"] = x.sum()
        if isinstance(words, List[str]):
            out["count"] = torch.full([2], len(words))
        return out


class Detector(torch.nn.Module):
    """An uint8 image in; as many boxes as there are bright pixels, and the names of the classes, out."""

    def __init__(self):
        super().__init__()
        self.names = ["cat", "dog", "other"]

    def forward(self, image: torch.Tensor):
        bright = torch.nonzero(image.to(torch.float32).mean(2) > 200).to(torch.float32)
        boxes = torch.stack([bright[:, 1], bright[:, 0], bright[:, 1] + 1, bright[:, 0] + 1], 1)
        probability = torch.ones(bright.shape[0], 3) / 3
        return {"boxes": boxes, "object_class_probability": probability}, {"supported_object_classes": self.names}


class Pair(NamedTuple):
    total: torch.Tensor
    words: List[str]


class Named(torch.nn.Module):
    def forward(self, x: torch.Tensor, bias: Optional[torch.Tensor]):
        if bias is not None:
            x = x + bias
        return Pair(x.sum(0), ["a", "b\0c"])


class Counter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x: torch.Tensor, step: int):
        self.count += step
        return x + self.count


def image():
    out = np.zeros((1200, 1920, 3), np.uint8)
    out[5, 7] = out[100, 200] = out[1199, 1919] = 255
    return out


F32 = np.float32
# name: model, inputs' specs, outputs' specs, inputs, what must come out
CASES = {
    "addition": (Addition, [spec("x", "float32", "N"), spec("y", "float32", "N")], [spec("out", "float32", None)],
                 {"x": np.arange(5, dtype=F32), "y": np.ones(5, F32)}, {"out": np.arange(5) + 1}),
    "strings": (Join, [spec("x", "string", "N"), spec("y", "string", "N")], [spec("out", "string", "N")],
                {"x": np.array(["a", "nul\0in"]), "y": np.array(["\u00e4\u20ac", "\U0001f600"])}, {"out": np.array(["a \u00e4\u20ac", "nul\0in \U0001f600"])}),
    "dict": (DictOfTensors, [spec("x", "float64", "N", 2), spec("y", "float64", "N", 2)], [spec("out", "float64", "N", 2)],
             {"x": np.full((3, 2), 2.0), "y": np.full((3, 2), 4.0)}, {"out": np.full((3, 2), 8.0)}),
    "dict_of_strings": (DictOfStrings, [spec("x", "string", None), spec("y", "string", None)], [spec("out", "string", None)],
                        {"x": np.array(["a", "b"]), "y": np.array(["c", ""])}, {"out": np.array(["ac", "b"])}),
    "dict_of_union": (DictOfUnion, [spec("a", "string", None), spec("b", "float32", None, 1)], [spec("c", "float32", None, 2), spec("d", "string", None)],
                      {"a": np.array(["x", "y\0z", ""]), "b": F32([[1], [2]])}, {"c": F32([[1, 3], [2, 6]]), "d": np.array(["x!", "y\0z!", "!"])}),
    "dict_of_any": (DictOfAny, [spec("x", "float64", "N", "N"), spec("words", "string", None)], [spec("total", "float64"), spec("count", "int64", 2)],
                    {"x": np.ones((2, 2)), "words": np.array(["a", "b", "c"])}, {"total": np.array(4.0), "count": np.array([3, 3])}),
    "detector": (Detector, [spec("image", "uint8", 1200, 1920, 3)],
                 [spec("boxes", "float32", "num_detections", 4), spec("supported_object_classes", "string", "num_classes"),
                  spec("object_class_probability", "float32", "num_detections", "num_classes")],
                 {"image": image()}, {"boxes": F32([[7, 5, 8, 6], [200, 100, 201, 101], [1919, 1199, 1920, 1200]]), "supported_object_classes": np.array(["cat", "dog", "other"]),
                                      "object_class_probability": np.full((3, 3), 1 / 3, F32)}),
    "named": (Named, [spec("x", "float32", "N", 3), spec("bias", "float32", 3)], [spec("total", "float32", 3), spec("words", "string", None)],
              {"x": np.ones((2, 3), F32), "bias": np.zeros(3, F32)}, {"total": np.full(3, 2, F32), "words": np.array(["a", "b\0c"])}),
    "counter": (Counter, [spec("x", "int64", "N"), spec("step", "int64")], [spec("out", "int64", "N")],
                {"x": np.array([1, 2]), "step": np.array(3)}, {"out": np.array([4, 5])}),
}
