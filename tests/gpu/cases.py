"""What runs on a GPU in the tests: CASES[name] = Case(module or archive, calls, types). Built where there is a compiler
(build.py), run where there is a GPU (check.py)."""
import pathlib
import sys
from typing import Dict, List, NamedTuple

import torch
from torch import Tensor, nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench" / "gpu"))
sys.path.insert(0, str(HERE.parent))
import models  # noqa: E402


class Case(NamedTuple):
    module: object        # a module to script, or the path of an archive
    calls: list           # [(method, arguments)]; the first argument lists decide the types where `types` is None
    types: object = None  # as firesteel.compile takes: inputs, or methods
    tolerance: tuple = (1.3e-6, 1e-5)   # relative, absolute


CASES = {}


def case(name, module, arguments, types=None, **options):
    """`arguments`: one tuple, or a list of them for several calls."""
    calls = [("forward", a) for a in (arguments if isinstance(arguments, list) else [arguments])]
    CASES[name] = Case(module, calls, types, **options)


def expression(text, *arguments, types=None, name=None, **options):
    """`text` over x, y, z; its own name is the expression."""
    names = ["x", "y", "z"][:len(arguments)]
    code = f"def forward(self, {', '.join(f'{n}: {kind(a)}' for n, a in zip(names, arguments))}):\n    return {text}\n"
    scripted = torch.jit.script(type(f"Expression{len(CASES)}", (nn.Module,), {})())   # a class of its own
    scripted.define(code)
    case(name or text, scripted, tuple(arguments), types, **options)


def kind(value):
    return "Tensor" if isinstance(value, torch.Tensor) else type(value).__name__


def reals(*sizes, dtype=torch.float32):
    return torch.randn(*sizes).to(dtype)


def special(x):
    """With NaN, infinities and zeros of both signs in it."""
    flat = x.reshape(-1)
    for i, value in enumerate([float("nan"), float("inf"), -float("inf"), 0.0, -0.0]):
        flat[i * 7 % len(flat)] = value
    return x


torch.manual_seed(1)

# ---- one kernel kind each, at sizes that fit nothing ------------------------------------------------

for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    wide = (1e-2, 1e-2) if dtype in (torch.float16, torch.bfloat16) else (1e-5, 1e-5)
    d = str(dtype).split(".")[1]
    expression("torch.tanh(x) * torch.sigmoid(y) + torch.exp(-x.abs())", special(reals(1003, dtype=dtype)), reals(1003, dtype=dtype), name=f"pointwise {d}", tolerance=wide)
    expression("torch.softmax(x, 1), x.sum(0), x.amax(1), x.mean()", reals(37, 1029, dtype=dtype), name=f"reductions {d}", tolerance=wide)
    expression("x @ y, torch.relu(x @ y + 1)", reals(65, 130, dtype=dtype), reals(130, 77, dtype=dtype), name=f"matmul {d}", tolerance=(wide[0], 1e-3) if wide[0] < 1e-2 else (2e-2, 2e-1))
for dtype in (torch.int64, torch.int32, torch.uint8, torch.bool):
    x = torch.randint(0, 100, (999,)).to(dtype)
    text = "x ^ y, x & y, ~x" if dtype == torch.bool else "x * 3 + y, x // 7, x % 5, torch.maximum(x, y), x.sum()"
    expression(text, x, x.flip(0), name=f"integers {str(dtype).split('.')[1]}")
expression("x + y, x * y.sum(1, True), x[:, 1:].contiguous(), torch.cat([x, x * 2], 1), x.t().contiguous()", reals(31, 17), reals(31, 17), types={"x": "f32[N, M]", "y": "f32[N, M]"}, name="open sizes")
expression("x + y", reals(0, 5), reals(0, 5), types={"x": "f32[N, M]", "y": "f32[N, M]"}, name="empty")
expression("torch.layer_norm(x, [x.size(1)]), torch._C._nn.gelu(x), x.var(1), torch.log_softmax(x, 0)", reals(13, 768), name="norms")
expression("torch.cumsum(x, 1), torch.cummax(x, 0)[0], torch.cumprod(x, 1)", reals(9, 301), name="scans", tolerance=(1e-4, 1e-4))
expression("torch.sort(x, stable=True, dim=1, descending=False), torch.topk(x, 5, 1)[0], x.argmax(1)", torch.randperm(7 * 129).reshape(7, 129).float(), name="sorts")
expression("x[y], torch.gather(x, 1, y.unsqueeze(1)), torch.index_select(x, 1, y[:3]), torch.embedding(x, y)", reals(20, 20), torch.randint(0, 20, (20,)), name="gathers")
expression("torch.zeros_like(x).index_add(0, y, x), torch.zeros_like(x).scatter(0, y.unsqueeze(1).expand(-1, 8), x), x.masked_fill(x > 0, -1.0)", reals(20, 8), torch.randperm(20), name="scatters")
expression("torch.nonzero(x > 1), x[x > 0.5]", reals(40, 30), name="sizes from data")
expression("torch.max_pool2d(x, [3, 3], [2, 2], [1, 1]), torch._C._nn.avg_pool2d(x, [2, 2]), torch._C._nn.adaptive_avg_pool2d(x, [3, 3])", reals(2, 5, 23, 19), name="pools")
for groups, stride, k in ((1, 1, 3), (1, 2, 1), (2, 2, 5), (8, 1, 3)):
    expression(f"torch.conv2d(x, y, None, [{stride}, {stride}], [1, 1], [1, 1], {groups})", reals(2, 8, 21, 17), reals(16, 8 // groups, k, k), name=f"conv2d groups={groups} stride={stride} k={k}", tolerance=(1e-4, 1e-4))
expression("torch.conv1d(x, y), torch.conv_transpose1d(x, y.transpose(0, 1), None, [2])", reals(2, 6, 50), reals(9, 6, 3), name="conv1d", tolerance=(1e-4, 1e-4))
expression("torch._C._nn.scaled_dot_product_attention(x, y, y)", reals(2, 3, 33, 16), reals(2, 3, 33, 16), name="attention", tolerance=(1e-4, 1e-4))

# ---- programs ------------------------------------------------------------------------------------------


class Adds(nn.Module):
    def forward(self, x, y):
        return x + y


class Chooses(nn.Module):
    """Control flow that reads values, lists, dicts, strings, state."""
    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(6, 6)
        self.total = torch.zeros(6)
        self.calls = 0

    def forward(self, x: Tensor, n: int):
        self.calls += 1
        rows: List[Tensor] = []
        for i in range(n):
            x = torch.relu(self.weight(x)) + i
            if bool(x.sum() > 10):
                x = x * 0.5
                rows.append(x[0])
        while float(x.max()) < 4:
            x = x + 1
        self.total = self.total + x.sum(0)
        joined = torch.stack(rows) if len(rows) > 0 else torch.zeros(0, 6)
        best: List[int] = x.argmax(1).tolist()
        shown: Dict[str, Tensor] = {"x": x, "total": self.total.clone(), "joined": joined}
        return shown, best, self.calls, f"{n} rounds"


case("addition", Adds(), [(reals(3), reals(3)), (reals(5), reals(5))], {"x": "f32[N]", "y": "f32[N]"})
case("control flow and state", Chooses(), [(reals(4, 6), 5), (reals(2, 6), 0), (reals(4, 6) * 3, 3)], {"x": "f32[N, 6]", "n": "int"}, tolerance=(1e-4, 1e-4))
for name, tolerance in (("lstm_loop", (1e-4, 1e-4)), ("resnet18", (1e-3, 1e-3)), ("mobilenet_v2", (1e-3, 1e-3)), ("minilm", (1e-3, 1e-4))):
    module, arguments = models.BUILD[name]()
    case(name, module if isinstance(module, torch.jit.ScriptModule) else torch.jit.trace(module, arguments), arguments, tolerance=tolerance)


def silero():
    try:
        import silero_vad
    except ImportError:
        return
    archive = pathlib.Path(silero_vad.__file__).parent / "data" / "silero_vad.jit"
    torch.manual_seed(3)
    calls = [("forward", (torch.randn(1, 512) * 0.1, 16000)) for _ in range(8)] + [("reset_states", ())] + [("forward", (torch.randn(3, 256) * 0.1, 8000)) for _ in range(4)]
    CASES["silero"] = Case(archive, calls, {"forward": {"x": "f32[n, s]", "sr": "int"}, "reset_states": None}, (1e-3, 1e-4))


silero()
