"""The test format of IR files. In a module of its own because lit hands tests to worker processes."""
import os

import lit.formats
import lit.Test
import lit.util


class IrTest(lit.formats.ShTest):
    def __init__(self, firesteel):
        super().__init__(execute_external=False)
        self.firesteel = firesteel

    def execute(self, test, lit_config):
        with open(test.getSourcePath(), encoding="utf-8", errors="replace") as f:
            has_run = "RUN:" in f.read()
        if has_run:
            return super().execute(test, lit_config)
        _, err, code = lit.util.executeCommand([self.firesteel, "opt", test.getSourcePath(), "--round-trip", "-o", os.devnull])
        return (lit.Test.PASS, "") if code == 0 else (lit.Test.FAIL, err)
