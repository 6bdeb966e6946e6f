"""The models of the comparison with peers: MODELS[name]() -> (nn.Module in eval mode, tuple of example inputs).

No pretrained weights: every model is built from its config with a fixed seed; BatchNorm statistics are calibrated with
one random batch, so that activations keep a sane scale (no overflow, no denormals).
HOW[name] says how TorchScript gets the model: "trace", "script" (control flow that depends on data), or "archive" (it is one).
"""
import importlib.util
import math
import os
from typing import List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# torchvision, which transformers imports too, has a native part for a torch built for GPUs; beside another, its ops have to be
# there when it is imported.
if torch.version.cuda is None:
    _library = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _library.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

HOW = {}
MODELS = {}


def model(how="trace"):
    def deco(fn):
        def build():
            torch.manual_seed(0)
            m, ins = fn()
            m.eval()
            for p in m.parameters():
                p.requires_grad_(False)
            return m, ins
        MODELS[fn.__name__] = build
        HOW[fn.__name__] = how
        return fn
    return deco


def calibrate(m, shape):
    bns = [b for b in m.modules() if isinstance(b, nn.BatchNorm2d)]
    mom = [b.momentum for b in bns]
    for b in bns:
        b.momentum = 1.0
    m.train()
    with torch.no_grad():
        m(torch.randn(shape))
    m.eval()
    for b, k in zip(bns, mom):
        b.momentum = k
    return m


def _tv(name):
    import torchvision.models as tv
    m = getattr(tv, name)(weights=None)
    if name != "vit_b_16":
        calibrate(m, (4, 3, 224, 224))
    else:
        nn.init.normal_(m.heads.head.weight, std=0.02)
    return m, (torch.randn(1, 3, 224, 224),)


@model()
def resnet50():
    return _tv("resnet50")


@model()
def resnet18():
    return _tv("resnet18")


@model()
def mobilenet_v2():
    return _tv("mobilenet_v2")


@model()
def mobilenet_v3_large():
    return _tv("mobilenet_v3_large")


@model()
def efficientnet_b0():
    return _tv("efficientnet_b0")


@model()
def vit_b_16():
    return _tv("vit_b_16")


class DoubleConv(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                         nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class UNet(nn.Module):
    """Four levels, base 32, transposed-convolution upsampling, skip concatenation."""

    def __init__(self, b=32, classes=2):
        super().__init__()
        self.d1, self.d2, self.d3, self.d4 = DoubleConv(3, b), DoubleConv(b, 2 * b), DoubleConv(2 * b, 4 * b), DoubleConv(4 * b, 8 * b)
        self.mid = DoubleConv(8 * b, 16 * b)
        self.u4, self.u3 = nn.ConvTranspose2d(16 * b, 8 * b, 2, 2), nn.ConvTranspose2d(8 * b, 4 * b, 2, 2)
        self.u2, self.u1 = nn.ConvTranspose2d(4 * b, 2 * b, 2, 2), nn.ConvTranspose2d(2 * b, b, 2, 2)
        self.c4, self.c3, self.c2, self.c1 = DoubleConv(16 * b, 8 * b), DoubleConv(8 * b, 4 * b), DoubleConv(4 * b, 2 * b), DoubleConv(2 * b, b)
        self.out = nn.Conv2d(b, classes, 1)

    def forward(self, x):
        d1 = self.d1(x)
        d2 = self.d2(F.max_pool2d(d1, 2))
        d3 = self.d3(F.max_pool2d(d2, 2))
        d4 = self.d4(F.max_pool2d(d3, 2))
        x = self.mid(F.max_pool2d(d4, 2))
        x = self.c4(torch.cat([self.u4(x), d4], 1))
        x = self.c3(torch.cat([self.u3(x), d3], 1))
        x = self.c2(torch.cat([self.u2(x), d2], 1))
        x = self.c1(torch.cat([self.u1(x), d1], 1))
        return self.out(x)


@model()
def unet():
    return calibrate(UNet(), (2, 3, 256, 256)), (torch.randn(1, 3, 256, 256),)


class Bert(nn.Module):
    def __init__(self, **kw):
        super().__init__()
        from transformers import BertConfig, BertModel
        self.m = BertModel(BertConfig(attn_implementation="eager", **kw))

    def forward(self, ids, mask):
        h, p = self.m(input_ids=ids, attention_mask=mask, return_dict=False)[:2]
        return h, p


def _ids():
    return torch.randint(0, 30000, (1, 128)), torch.ones(1, 128, dtype=torch.int64)


@model()
def bert_base():
    return Bert(), _ids()


@model()
def minilm_l6_h384():
    return Bert(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536), _ids()


class GPTBlock(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.h = heads
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj, self.fc, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x, pk, pv):
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).split(d, 2)
        q, k, v = (z.view(b, t, self.h, d // self.h).transpose(1, 2) for z in (q, k, v))
        k, v = torch.cat([pk, k], 2), torch.cat([pv, v], 2)
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d // self.h), -1) @ v
        x = x + self.proj(a.transpose(1, 2).reshape(b, t, d))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh")), k, v


class GPT2Step(nn.Module):
    """GPT-2 124M, one decode step; the KV cache comes in and goes out as 12 K and 12 V tensors (cat, as HF's legacy cache)."""

    def __init__(self, layers=12, d=768, heads=12, vocab=50257, ctx=1024):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, d), nn.Embedding(ctx, d)
        nn.init.normal_(self.wte.weight, std=0.02)
        self.h = nn.ModuleList([GPTBlock(d, heads) for _ in range(layers)])
        self.lnf, self.head = nn.LayerNorm(d), nn.Linear(d, vocab, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, ids, pos, *past):
        x = self.wte(ids) + self.wpe(pos)
        n, new = len(self.h), []
        for i, b in enumerate(self.h):
            x, k, v = b(x, past[i], past[n + i])
            new += [k, v]
        return (self.head(self.lnf(x)), *new)


@model()
def gpt2_decode():
    return GPT2Step(), (torch.randint(0, 50000, (1, 1)), torch.full((1, 1), 128), *[torch.randn(1, 12, 128, 64) for _ in range(24)])


class LSTMLoop(nn.Module):
    """An LSTM layer written as users write it: a Python loop over time, one cell of two matmuls."""

    def __init__(self, n=256):
        super().__init__()
        k = 1 / math.sqrt(n)
        self.w_ih = nn.Parameter(torch.empty(n, 4 * n).uniform_(-k, k))
        self.w_hh = nn.Parameter(torch.empty(n, 4 * n).uniform_(-k, k))
        self.b = nn.Parameter(torch.empty(4 * n).uniform_(-k, k))

    def forward(self, x: Tensor, h: Tensor, c: Tensor):
        outs = []
        for t in range(x.size(0)):
            g = torch.matmul(x[t], self.w_ih) + torch.matmul(h, self.w_hh) + self.b
            i, f, u, o = g.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
            h = torch.sigmoid(o) * torch.tanh(c)
            outs.append(h)
        return torch.stack(outs), h, c


@model("script")
def lstm_scripted_loop():
    return LSTMLoop(), (torch.randn(100, 1, 256), torch.zeros(1, 256), torch.zeros(1, 256))


def silero_dir():
    return os.path.join(os.path.dirname(importlib.util.find_spec("silero_vad").origin), "data")


class SileroRebuilt(nn.Module):
    """silero_vad.jit's 16 kHz half as plain Python, because most peers refuse the archive; weights from the archive.
    Input: 64 context + 512 new samples and the state: no checks, no state of its own, so not the same work."""

    def __init__(self, src):
        super().__init__()
        sd = {k[len("_model."):]: v for k, v in src.state_dict().items() if k.startswith("_model.")}
        self.basis = nn.Parameter(sd["stft.forward_basis_buffer"].clone())
        self.c = nn.ModuleList([nn.Conv1d(129, 128, 3, 1, 1), nn.Conv1d(128, 64, 3, 2, 1), nn.Conv1d(64, 64, 3, 2, 1), nn.Conv1d(64, 128, 3, 1, 1)])
        for i, c in enumerate(self.c):
            c.weight.data, c.bias.data = sd[f"encoder.{i}.reparam_conv.weight"].clone(), sd[f"encoder.{i}.reparam_conv.bias"].clone()
        self.rnn = nn.LSTMCell(128, 128)
        self.rnn.load_state_dict({k[len("decoder.rnn."):]: v for k, v in sd.items() if k.startswith("decoder.rnn.")})
        self.dec = nn.Conv1d(128, 1, 1)
        self.dec.weight.data, self.dec.bias.data = sd["decoder.decoder.2.weight"].clone(), sd["decoder.decoder.2.bias"].clone()

    def forward(self, x, state):
        x = F.conv1d(F.pad(x, (0, 64), "reflect").unsqueeze(1), self.basis, stride=128)
        re, im = x[:, :129], x[:, 129:]
        x = torch.sqrt(re * re + im * im)
        for c in self.c:
            x = torch.relu(c(x))
        h, c = self.rnn(x.squeeze(-1), (state[0], state[1]))
        y = torch.sigmoid(self.dec(torch.relu(h.unsqueeze(-1))))
        return y.squeeze(1).mean(1).unsqueeze(1), torch.stack([h, c])


@model("archive")
def silero_vad():
    m = torch.jit.load(os.path.join(silero_dir(), "silero_vad.jit"), map_location="cpu")
    return m, (torch.randn(1, 512) * 0.1, 16000)


@model()
def silero_rebuilt():
    m, (x, _) = silero_vad()
    r = SileroRebuilt(m).eval().requires_grad_(False)
    return r, (torch.cat([torch.zeros(1, 64), x], 1), torch.zeros(2, 1, 128))


class DLRM(nn.Module):
    def __init__(self, tables=8, rows=2000, d=32):
        super().__init__()
        self.emb = nn.ModuleList([nn.EmbeddingBag(rows, d, mode="sum") for _ in range(tables)])
        self.bot = nn.Sequential(nn.Linear(13, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, d), nn.ReLU())
        f = tables + 1
        i, j = torch.tril_indices(f, f, -1)
        self.register_buffer("pairs", i * f + j)
        self.top = nn.Sequential(nn.Linear(d + f * (f - 1) // 2, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, dense, idx):
        x = self.bot(dense)
        z = torch.stack([x] + [e(idx[k]) for k, e in enumerate(self.emb)], 1)
        s = torch.bmm(z, z.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        return torch.sigmoid(self.top(torch.cat([x, s], 1)))


@model()
def dlrm_small():
    return DLRM(), (torch.randn(1, 13), torch.randint(0, 2000, (8, 1, 4)))


@model()
def mlp_tiny():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)), (torch.randn(1, 64),)


class Pointwise(nn.Module):
    def forward(self, x, y):
        a = x * torch.sigmoid(x) + torch.tanh(y) * 0.5
        return torch.relu(a - y) * torch.exp(-a * a) + y


@model()
def pointwise_chain():
    return Pointwise(), (torch.randn(1 << 20), torch.randn(1 << 20))


@model()
def layernorm_gelu():
    return nn.Sequential(nn.LayerNorm(3072), nn.GELU()), (torch.randn(128, 3072),)


@model()
def softmax():
    return nn.Softmax(-1), (torch.randn(1, 12, 128, 128),)


class DetectionPost(nn.Module):
    """Score threshold, top-k, greedy NMS in a loop: the number of boxes and of iterations depends on the data."""

    def __init__(self, score: float = 0.6, iou: float = 0.5, k: int = 200):
        super().__init__()
        self.score, self.iou, self.k = score, iou, k

    def forward(self, boxes: Tensor, scores: Tensor):
        idx = torch.nonzero(scores > self.score).squeeze(1)
        s, order = scores[idx].topk(min(self.k, idx.numel()))
        idx = idx[order]
        b = boxes[idx]
        area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        alive = torch.ones(b.size(0), dtype=torch.bool)
        keep: List[int] = []
        for i in range(b.size(0)):
            if bool(alive[i]):
                keep.append(i)
                lt = torch.maximum(b[i, :2], b[i + 1:, :2])
                rb = torch.minimum(b[i, 2:], b[i + 1:, 2:])
                wh = (rb - lt).clamp(min=0.0)
                inter = wh[:, 0] * wh[:, 1]
                over = inter / (area[i] + area[i + 1:] - inter) > self.iou
                alive[i + 1:] = alive[i + 1:] & ~over
        kept = torch.tensor(keep, dtype=torch.int64)
        return b[kept], s[kept], idx[kept]


@model("script")
def detection_post():
    xy = torch.rand(2000, 2) * 200
    return DetectionPost(), (torch.cat([xy, xy + 20 + torch.rand(2000, 2) * 60], 1), torch.rand(2000))


ORDER = ["resnet50", "mobilenet_v2", "bert_base", "minilm_l6_h384", "silero_vad", "silero_rebuilt", "lstm_scripted_loop", "pointwise_chain", "layernorm_gelu",
         "mlp_tiny", "gpt2_decode", "unet", "detection_post", "resnet18", "vit_b_16", "mobilenet_v3_large", "efficientnet_b0",
         "dlrm_small", "softmax"]
assert sorted(ORDER) == sorted(MODELS)


def macs(m, ins):
    """Multiply-accumulates of one inference (torch.utils.flop_counter counts 2 flops a MAC)."""
    from torch.utils.flop_counter import FlopCounterMode
    torch.backends.mha.set_fastpath_enabled(False)  # the fused attention op is not counted
    with torch.inference_mode(), FlopCounterMode(display=False) as c:
        m(*ins)
    return c.get_total_flops() // 2
