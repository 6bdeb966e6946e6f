"""IR files as tests. A file with RUN lines does what they say; one without is a round trip: what `firesteel opt`
prints for it must parse back to the same module.

Tools in RUN lines: `firesteel`, `FileCheck`, `not`. FST_BUILD and FST_FILECHECK say where they are.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from lit_ir import IrTest  # noqa: E402

build = os.environ["FST_BUILD"]
firesteel = os.path.join(build, "bin", "firesteel")

config.name = "firesteel"
config.suffixes = [".ir"]
config.excludes = ["Inputs"]
config.test_format = IrTest(firesteel)
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(build, "tests", "lit")
config.environment["FILECHECK_OPTS"] = "--enable-var-scope --dump-input=fail"
config.substitutions += [
    (r"(?<![\w./-])firesteel\b(?=\s)", firesteel.replace("\\", "/")),
    (r"(?<![\w./-])FileCheck\b", os.environ.get("FST_FILECHECK", "FileCheck")),
]
