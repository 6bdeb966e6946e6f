"""`firesteel bench`: what it prints, that it checks results before it times anything, and how it refuses."""
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import ADD, fail, succeed, write  # noqa: E402

INPUTS = ("--input", "x: f32[64]", "--input", "y: f32[64]")


@pytest.fixture
def compiled(tmp_path):
    out = tmp_path / "add.fst"
    succeed("compile", write(tmp_path / "add.ir", ADD), "-o", out, "--input", "x: f32[64]", "--input", "y: f32[64]")
    return out


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("bench") / "mlp.pt"
    torch.jit.trace(torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU()).eval(), torch.randn(4, 64)).save(str(path))
    return path


def test_alone_the_table_has_one_row(compiled):
    text = succeed("bench", compiled, *INPUTS, "--rounds", "2")
    assert len([line for line in text.splitlines() if line.startswith("Firesteel")]) == 1
    assert "GFLOP/s" in text


def test_json_says_the_same_for_programs(compiled):
    answer = json.loads(succeed("bench", compiled, *INPUTS, "--rounds", "3", "--buffers", "5", "--json"))
    ours = answer["contestants"][0]
    assert answer["rounds"] == 3 and answer["buffers"] == 5
    assert len(ours["turn_medians_us"]) == 3
    assert 0 < ours["min_us"] <= ours["p50_us"] <= ours["p99_us"]
    assert 0 < ours["artifact_bytes"] <= compiled.stat().st_size
    assert answer["roof"]["gflops"] > 1 and answer["roof"]["read_gbs"] > 0.1


def test_against_torch(archive):
    answer = json.loads(succeed("bench", archive, "--input", "f32[4, 64]", "--vs", "torch", "--rounds", "2", "--json"))
    rows = {row["name"]: row for row in answer["contestants"]}
    assert {"Firesteel", "PyTorch, as it is", "PyTorch, frozen", "PyTorch, optimized"} <= set(rows)
    assert all("refusal" not in row and row["largest_difference"] < 1e-5 for row in rows.values()), rows
    assert rows["Firesteel"]["peak_mb"] < rows["PyTorch, as it is"]["peak_mb"]
    assert answer["ratio"]["low"] <= answer["ratio"]["p50"] <= answer["ratio"]["high"]


def test_other_results_are_no_contest(compiled, archive):
    """An archive that answers something else is found before anything is timed."""
    import torch

    other = archive.with_name("subtract.pt")

    class Subtract(torch.nn.Module):
        def forward(self, x, y):
            return x - y

    torch.jit.script(Subtract()).save(str(other))
    assert "answer differently" in fail("bench", compiled, *INPUTS, "--vs", "torch", "--archive", other, "--rounds", "2")


def test_what_pytorch_says_of_arguments(compiled, archive):
    import torch

    other = archive.with_name("counts.pt")

    class Counts(torch.nn.Module):
        def forward(self, x, y: int):
            return x + y

    torch.jit.script(Counts()).save(str(other))
    said = succeed("bench", compiled, *INPUTS, "--vs", "torch", "--archive", other, "--rounds", "2")
    assert "Expected a value of type 'int' for argument 'y' but instead found type 'Tensor'" in said


@pytest.mark.parametrize("args, part", [
    (("no.fst",), "no.fst"),
    (("{fst}", "--input", "x: f32[64]"), "argument 'y' is missing"),
    (("{fst}", *INPUTS, "--vs", "nothing"), "expected torch"),
    (("{fst}", *INPUTS, "--vs", "torch"), "--archive"),
    (("{fst}", *INPUTS, "--vs", "torch", "--archive", "no.pt"), "no.pt"),
    ((), "needs a MODEL"),
])
def test_refusals(args, part, compiled):
    assert part in fail("bench", *[a.replace("{fst}", str(compiled)) for a in args])


def test_roof_depends_on_the_level():
    wide, narrow = (json.loads(succeed("bench", "--roof", "--target", level)) for level in ("native", "x86-64-v3"))
    assert narrow["level"] == "x86-64-v3" and narrow["gflops"] > 1 and wide["gflops"] > 1


def test_no_files_are_left(compiled, tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    succeed("bench", compiled, *INPUTS, "--rounds", "1", env={"TMPDIR": str(folder)})
    fail("bench", compiled, *INPUTS, "--vs", "torch", env={"TMPDIR": str(folder)})
    assert not list(folder.iterdir())


def work_of(*args):
    answer = json.loads(succeed("bench", *args, "--rounds", "1", "--json"))
    return answer["call"]["flops"], answer["contestants"][0]


def test_the_work_of_a_call_is_counted(archive, tmp_path):
    """A multiply-add is two; with open sizes the count is of the sizes that were given."""
    assert work_of(archive, "--input", "f32[4, 64]")[0] == 2 * 4 * 64 * 32
    succeed("compile", archive, "--input", "f32[N, 64]", "-o", tmp_path / "open.fst")
    for n in (1, 7):
        assert work_of(tmp_path / "open.fst", "--input", f"f32[{n}, 64]")[0] == 2 * n * 64 * 32


def test_the_work_of_branches_and_loops_is_what_was_done(tmp_path):
    import torch

    class Loop(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.linear = torch.nn.Linear(16, 16)

        def forward(self, x, image, times: int):
            if times < 0:
                return self.conv(image).sum()
            for _ in range(times):
                x = torch.relu(self.linear(x))
            return x.sum()

    torch.manual_seed(0)
    torch.jit.script(Loop().eval()).save(str(tmp_path / "loop.pt"))
    inputs = ("--input", "f32[2, 16]", "--input", "f32[1, 3, 10, 10]", "--input")
    assert work_of(tmp_path / "loop.pt", *inputs, "5")[0] == 5 * 2 * 2 * 16 * 16
    assert work_of(tmp_path / "loop.pt", *inputs, "0")[0] == 0
    assert work_of(tmp_path / "loop.pt", *inputs, "-1")[0] == 2 * 10 * 10 * 8 * 3 * 9
