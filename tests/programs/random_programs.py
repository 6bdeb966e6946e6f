"""Random TorchScript methods over tensors, numbers, lists, state and control flow, as source text.

A seed gives one program. Values live in pools by kind, so that nearly every statement is legal for all sizes:
  v  f32[n]      m  f32[n, m]    s  f32[]        u  f32 of any sizes, often a view
  iv i64[n]      bv bool[n]      int, bool       li List[int]    lt List[Tensor] of f32[n]
What all of them hold in the end goes into the results, so that a wrong value anywhere shows.
"""
import random

HEADER = """import torch
from torch import Tensor
from typing import List, Tuple


class Program(torch.nn.Module):
    n: int

    def __init__(self):
        super().__init__()
        self.n = 0
        self.register_buffer("buf", torch.tensor([0.0, 1.0, 2.0, 3.0]))

    def forward(self, x: Tensor, y: Tensor, k: int, z: Tensor) -> Tuple[Tensor, Tensor, int, Tensor, float, int]:
"""


class Program:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines, self.indent, self.names = [], 2, 0
        self.blocks, self.loops = 0, 0
        self.pools = {"v": ["x"], "m": ["y"], "int": ["k"], "iv": ["z"], "u": [], "s": [], "bv": [], "bool": [], "li": [], "lt": []}

    # ---- text
    def write(self, text):
        self.lines.append("    " * self.indent + text)

    def name(self):
        self.names += 1
        return f"a{self.names}"

    def one_of(self, *choices):
        return self.random.choice(choices)

    def pick(self, kind):
        return self.random.choice(self.pools[kind]) if self.pools[kind] else None

    def bind(self, kind, value):
        name = self.name()
        self.write(f"{name} = {value}")
        self.pools[kind].append(name)

    # ---- expressions, at most `depth` deep
    def integer(self, depth=2):
        kind = self.random.randrange(9)
        a_list = self.pick("li") or self.pick("lt")
        if depth <= 0 or kind < 2:
            return self.one_of("0", "1", "2", "3", "-1", "5")
        if kind == 5:
            return f"({self.integer(depth - 1)} {self.one_of(*'+-*')} {self.integer(depth - 1)})"
        if kind == 6 and a_list:
            return f"len({a_list})"
        if kind == 7:
            return f"{self.pick('v')}.size(0)"
        if kind == 8:
            return self.one_of(f"int({self.vector(1)}.sum() > 0)", f"({self.integer(depth - 1)} % 3)", f"min({self.integer(depth - 1)}, 4)", f"abs({self.integer(depth - 1)})")
        return self.pick("int")

    def truth(self, depth=2):
        kind = self.random.randrange(8)
        if kind < 3:
            return f"({self.integer(1)} {self.one_of('<', '>', '==', '!=', '<=')} {self.integer(1)})"
        if kind == 3:
            return f"bool({self.vector(1)}.sum() > {self.one_of('0', '1.5', '-1')})"
        if kind == 4 and depth:
            return f"({self.truth(depth - 1)} {self.one_of('and', 'or')} {self.truth(depth - 1)})"
        if kind == 5 and self.pools["bool"]:
            return self.pick("bool")
        if kind == 6 and self.pools["li"]:
            return f"({self.integer(1)} in {self.pick('li')})"
        if kind == 7 and depth:
            return f"(not {self.truth(depth - 1)})"
        return f"{self.pick('v')}.size(0) > 2"

    def vector(self, depth=2):
        kind = self.random.randrange(14)
        if depth <= 0 or kind < 4:
            return self.pick("v")
        inner = self.vector(depth - 1)
        if kind < 6:
            return f"({inner} {self.one_of(*'+-*')} {self.vector(depth - 1)})"
        if kind == 6:
            return f"{inner}.{self.one_of('relu', 'tanh', 'abs', 'neg', 'clone', 'sigmoid', 'contiguous')}()"
        if kind == 7:
            return f"({inner} * {self.one_of('0.5', '2', '-1.0', self.integer(1))})"
        if kind == 8:
            return f"{self.matrix(depth - 1)}.{self.one_of('sum', 'mean')}(1)"
        if kind == 9:
            return f"{self.matrix(depth - 1)}[:, 0]"
        if kind == 10:
            return f"torch.where({self.mask(depth - 1)}, {inner}, {self.vector(depth - 1)})"
        if kind == 11:
            return f"({inner} + {self.scalar(depth - 1)})"
        return f"{self.integers(depth - 1)}.to(torch.float32)" if kind == 12 else f"{inner}.flip(0)"

    def matrix(self, depth=2):
        kind = self.random.randrange(9)
        if depth <= 0 or kind < 4:
            return self.pick("m")
        inner = self.matrix(depth - 1)
        if kind == 4:
            return f"({inner} {self.one_of(*'+-*')} {self.matrix(depth - 1)})"
        if kind == 5:
            return f"({inner} * {self.vector(depth - 1)}.unsqueeze(1))"
        if kind == 6:
            return f"{inner}.{self.one_of('relu', 'tanh', 'clone', 'exp', 'neg')}()"
        return f"{inner}.t().contiguous().t()" if kind == 7 else f"torch.softmax({inner}, {self.one_of(0, 1)})"

    def scalar(self, depth=2):
        kind = self.random.randrange(4)
        if kind == 0 and self.pools["s"]:
            return self.pick("s")
        if kind == 1:
            return f"{self.vector(depth - 1)}.max()"
        return f"{self.one_of(self.vector, self.matrix)(depth - 1)}.{self.one_of('sum', 'mean')}()"

    def integers(self, depth=1):
        kind = self.random.randrange(4)
        if depth <= 0 or kind < 2:
            return self.pick("iv")
        return f"({self.integers(depth - 1)} {self.one_of(*'+*-')} {self.integer(1)})" if kind == 2 else f"({self.vector(depth - 1)} > 0).to(torch.int64)"

    def mask(self, depth=1):
        if self.pools["bv"] and self.random.randrange(2):
            return self.pick("bv")
        return f"({self.vector(depth - 1)} {self.one_of('>', '<=')} {self.one_of(self.vector(depth - 1), '0.1')})"

    def view(self):
        return self.one_of(f"{self.vector(1)}[1:]", f"{self.vector(1)}[::2]", f"{self.matrix(1)}.t()", f"{self.matrix(1)}[:, 1:]", f"{self.matrix(1)}.reshape(-1)",
                           f"{self.vector(1)}[{self.mask(1)}]", f"{self.vector(1)}.unsqueeze(0)")

    # ---- statements
    def statement(self):
        choose = self.random.randrange
        kind = choose(34)
        if kind < 5:
            self.bind("v", self.vector()) if kind < 3 else self.bind("m", self.matrix())
        elif kind < 11:
            self.bind(*[("s", self.scalar()), ("int", self.integer()), ("bool", self.truth()), ("iv", self.integers()), ("bv", self.mask()), ("u", self.view())][kind - 5])
        elif kind < 13:
            kind, item, of = [("li", self.integer, "int"), ("lt", self.vector, "Tensor")][kind - 11]
            name = self.name()
            self.write(f"{name}: List[{of}] = [{', '.join(item(1) for _ in range(choose(3)))}]")
            self.pools[kind].append(name)
        elif kind < 17:
            self.list_statement()
        elif kind < 25:
            self.tensor_write()
        elif kind == 25:
            self.write(f"self.n = self.n + {self.integer(1)}")
        elif kind == 26:
            self.write(self.one_of(f"self.buf.add_({self.scalar(1)})", "self.buf = self.buf * 0.5", f"self.buf[0] = {self.scalar(1)}"))
        elif kind == 27:
            self.bind(*self.one_of(("int", f"self.n + {self.integer(1)}"), ("s", "self.buf.sum()")))
        elif kind < 30 and self.blocks < 3:
            self.branch()
        elif kind == 30 and self.blocks < 2:
            self.for_loop()
        elif kind == 31 and self.blocks < 2:
            self.while_loop()
        elif kind == 32 and self.loops:
            self.write(f"if {self.truth(1)}:")
            self.write("    " + self.one_of("break", "continue"))
        else:
            kind, value = self.one_of(("v", self.vector), ("m", self.matrix), ("int", self.integer))
            self.write(f"{self.pick(kind)} = {value()}")

    def list_statement(self):
        numbers, tensors = self.pick("li"), self.pick("lt")
        forms = []
        if numbers:
            forms += [lambda: self.write(f"{numbers}.append({self.integer()})"), lambda: self.bind("int", f"({numbers}[{self.one_of(0, -1)}] if len({numbers}) > 0 else 7)"),
                      lambda: self.bind("int", f"int(torch.tensor({numbers}, dtype=torch.int64).sum())")]
        if tensors:
            total = self.one_of(f"{tensors}[{self.one_of(0, -1)}].sum()", f"torch.stack({tensors}).sum()", f"torch.cat({tensors}).sum()")
            forms += [lambda: self.write(f"{tensors}.append({self.vector()})"), lambda: self.bind("s", f"{total} if len({tensors}) > 0 else x.sum()")]
        if forms:
            self.random.choice(forms)()

    def tensor_write(self):
        v, m, u = self.pick("v"), self.pick("m"), self.pick("u")
        forms = [f"{v}.{self.one_of('add_', 'mul_', 'copy_', 'sub_')}({self.vector(1)})", f"{v}[{self.one_of(0, 1)}:] = {self.one_of('0', '1.5', self.scalar(1))}",
                 f"{m}[:, {self.one_of(0, -1)}] = {self.vector(1)}", f"{v}[0] += {self.one_of('1', self.scalar(1))}"]
        if u:
            forms += [f"{u}.mul_(2)", f"{u}.add_(1)", f"{u}.zero_()"]
        self.write(self.random.choice(forms))

    def block(self, most):
        outside = {kind: list(names) for kind, names in self.pools.items()}
        self.indent, self.blocks, start = self.indent + 1, self.blocks + 1, len(self.lines)
        for _ in range(self.random.randrange(1, most)):
            self.statement()
        if len(self.lines) == start:
            self.write("pass")
        self.indent, self.blocks, self.pools = self.indent - 1, self.blocks - 1, outside

    def branch(self):
        self.write(f"if {self.truth()}:")
        end = self.random.randrange(16)
        if end < 3:
            self.write("    " + ('raise ValueError("stop {}".format(k))', f'assert {self.truth(1)}, "odd"', "return x * 2, y, k, z, 0.5, self.n")[end])
            return
        self.block(4)
        if self.random.randrange(2):
            self.write("else:")
            self.block(4)

    def for_loop(self):
        i = self.name()
        self.write(f"for {i} in range({self.one_of('3', 'k', 'x.size(0)', f'min({self.integer(1)}, 5)')}):")
        self.pools["int"].append(i)
        self.loops += 1
        self.block(5)
        self.loops -= 1
        self.pools["int"].remove(i)

    def while_loop(self):
        i = self.name()
        self.write(f"{i} = 0")
        self.write(f"while {i} < {self.random.randrange(1, 5)} and {self.truth(1)}:")
        self.write(f"    {i} += 1")
        self.loops += 1
        self.block(4)
        self.loops -= 1

    # ---- the whole
    def results(self):
        self.write("acc, cnt = x.sum(), 0")
        for name in self.pools["v"] + self.pools["m"] + self.pools["s"] + self.pools["u"]:
            self.write(f"acc = acc + {name}.sum()")
        for name in self.pools["int"]:
            self.write(f"cnt = cnt * 3 + {name}")
        for name in self.pools["bool"] + [f"{mask}.sum()" for mask in self.pools["bv"]] + [f"{numbers}.sum()" for numbers in self.pools["iv"]]:
            self.write(f"cnt = cnt * 2 + int({name})")
        for name in self.pools["li"]:
            self.write(f"for q in {name}:")
            self.write("    cnt = cnt * 5 + q")
        for name in self.pools["lt"]:
            self.write(f"for t in {name}:")
            self.write("    acc = acc + t.sum() * 0.5")
        self.write(f"return {self.pick('v')}, {self.pick('m')}, cnt, {self.pick('iv')}, float(acc), self.n")


def source(seed):
    program = Program(seed)
    for _ in range(program.random.randrange(4, 14)):
        program.statement()
    program.results()
    return HEADER + "\n".join(program.lines) + "\n"
