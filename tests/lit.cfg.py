"""IR files as tests. A file with RUN lines does what they say; one without is a round trip: what `firesteel opt`
prints for it must parse back to the same module.

Tools in RUN lines: `firesteel`, `FileCheck`, `not`. FST_BUILD and FST_FILECHECK say where they are.
"""
import os

import lit.formats
import lit.Test
import lit.util

build = os.environ["FST_BUILD"]
firesteel = os.path.join(build, "bin", "firesteel")


class IrTest(lit.formats.ShTest):
    def execute(self, test, lit_config):
        with open(test.getSourcePath(), encoding="utf-8", errors="replace") as f:
            has_run = "RUN:" in f.read()
        if has_run:
            return super().execute(test, lit_config)
        _, err, code = lit.util.executeCommand([firesteel, "opt", test.getSourcePath(), "--round-trip", "-o", os.devnull])
        return (lit.Test.PASS, "") if code == 0 else (lit.Test.FAIL, err)


config.name = "firesteel"
config.suffixes = [".ir"]
config.excludes = ["Inputs"]
config.test_format = IrTest(execute_external=False)
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(build, "tests", "lit")
config.environment["FILECHECK_OPTS"] = "--enable-var-scope --dump-input=fail"
config.substitutions += [
    (r"(?<![\w./-])firesteel\b(?=\s)", firesteel.replace("\\", "/")),
    (r"(?<![\w./-])FileCheck\b", os.environ.get("FST_FILECHECK", "FileCheck")),
]
