"""docs/OVERVIEW.md shows real dumps: each ```stage-NAME block is what `firesteel dump` prints today."""
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIRESTEEL = pathlib.Path(os.environ["FST_BUILD"]) / "bin" / "firesteel"


def test_dumps_are_current():
    blocks = re.findall(r"```stage-(\w+)\n(.*?)\n```", (ROOT / "docs" / "OVERVIEW.md").read_text(), re.S)
    assert [name for name, _ in blocks] == ["imported", "inlined", "typed", "functional", "fused"]
    for stage, shown in blocks:
        out = subprocess.run([FIRESTEEL, "dump", "docs/overview.ir", "--stage", stage, "--input", "x: f32[N, 4]", "--input", "weight: f32[4, 4]"],
                             check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
        assert out[out.index("\nfunction ") + 1:].rstrip() == shown, f"stage {stage}: regenerate the block with the command in the document"
