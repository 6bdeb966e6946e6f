"""silero's voice detector, the archive of its package as it is, through both roads: both sample rates, several batches,
state and its reset, and what a wrong call leaves behind."""
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import firesteel  # noqa: E402
import side_by_side  # noqa: E402
import zoo  # noqa: E402
from side_by_side import Call  # noqa: E402

ARCHIVE = zoo.silero_path()
pytestmark = pytest.mark.skipif(ARCHIVE is None, reason="silero-vad is not installed")
CHUNK = {16000: 512, 8000: 256}
TOO_LONG = "Provided number of samples is {} (Supported values: 256 for 8000 sample rate, 512 for 16000)"


def chunks(rate, batch, count, loudness=0.1):
    return [Call((torch.randn(batch, CHUNK[rate]) * loudness, rate)) for _ in range(count)]


def wrong(samples, rate, text):
    return Call((torch.randn(1, samples), rate), error=text)


RESET = Call((), "reset_states")


def stories():
    torch.manual_seed(3)
    yield "16 kHz", chunks(16000, 1, 30)
    yield "8 kHz", chunks(8000, 1, 30)
    yield "batches of 3", chunks(16000, 3, 10) + [RESET] + chunks(8000, 3, 10)
    yield "a change of batch or rate starts anew", chunks(16000, 1, 3) + chunks(16000, 3, 3) + chunks(8000, 3, 3) + chunks(8000, 1, 3) + chunks(16000, 1, 3)
    yield "a row alone", [Call((torch.randn(512), 16000))] * 2 + [Call((torch.randn(256), 8000))]
    yield "reset", chunks(16000, 1, 4) + [RESET] + chunks(16000, 1, 4) + [RESET, RESET] + chunks(8000, 1, 2)
    yield "errors leave the state as PyTorch does", (
        chunks(16000, 1, 2) + [wrong(600, 16000, TOO_LONG.format(600))] + chunks(16000, 1, 2) + [wrong(512, 8000, TOO_LONG.format(512))] + chunks(8000, 1, 2)
        + [wrong(100, 16000, "Input audio chunk is too short"), wrong(512, 44100, "Supported sampling rates")] + chunks(8000, 1, 1) + chunks(16000, 1, 2))


STORIES = dict(stories())


@pytest.mark.parametrize("story", STORIES)
def test_in_memory(story):
    side_by_side.in_memory(ARCHIVE, STORIES[story])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return firesteel.compile(ARCHIVE, methods={"forward": {"x": "f32[n, s]", "sr": "int"}, "reset_states": None}, out=tmp_path_factory.mktemp("silero") / "silero.fst")


@pytest.mark.parametrize("story", [story for story in STORIES if story != "a row alone"])
def test_ahead_of_time(story, compiled):
    side_by_side.run(firesteel.load(compiled, allow_compile=False), ARCHIVE, STORIES[story])


def test_a_row_alone_ahead_of_time(tmp_path):
    side_by_side.ahead_of_time(ARCHIVE, STORIES["a row alone"], tmp_path, methods={"forward": {"x": "f32[s]", "sr": "int"}})


def rows_and_batches():
    torch.manual_seed(4)
    row, short = (torch.randn(512), 16000), (torch.randn(256), 8000)
    return [Call(row), *chunks(16000, 1, 2), Call(row), *chunks(16000, 3, 2), Call(row), Call(short), *chunks(8000, 1, 2), Call(short), RESET, Call(short), Call(row)]


def test_rows_and_batches_in_memory():
    side_by_side.in_memory(ARCHIVE, rows_and_batches())


def test_rows_and_batches_ahead_of_time(tmp_path):
    """The state that a row leaves is a case of what a batch leaves: no code of its own."""
    both = [("forward", {"x": sizes, "sr": "int"}) for sizes in ("f32[n, s]", "f32[s]")] + [("reset_states", None)]
    ours = side_by_side.ahead_of_time(ARCHIVE, rows_and_batches(), tmp_path, methods=both)
    assert len([s for s in ours.report()["signatures"] if s["method"] == "forward"]) == 6   # two ranks, and three forms of the state


def test_the_error_says_class_text_and_line(compiled):
    for model in (firesteel.load(ARCHIVE), firesteel.load(compiled, allow_compile=False)):
        with pytest.raises(firesteel.Error) as raised:
            model(torch.zeros(1, 600), 16000)
        assert raised.value.kind == "ValueError" and raised.value.text == TOO_LONG.format(600)
        assert raised.value.location.startswith("code/__torch__/vad/model/vad_annotator.py")


def test_a_clone_has_a_state_of_its_own(compiled):
    first, second, third = (call.args for call in chunks(16000, 1, 3))
    one, theirs = firesteel.load(compiled, allow_compile=False), torch.jit.load(str(ARCHIVE))
    one(*first), theirs(*first)
    two = one.clone()
    two(*third)
    side_by_side.check(one(*second), theirs(*second))
    two.method("reset_states")()
    side_by_side.check(one(*third), theirs(*third))
