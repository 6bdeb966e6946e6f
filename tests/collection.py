"""Models by name, each with calls to try: what zoo/ and networks.py are made of.

    path = models.save("lstm_loop", folder)   # torch.jit.save; cached by name in the folder
    for call in models.calls("lstm_loop"):    # in this order, on one instance: models may have state
        module.<call.method>(*call.args)      # or raises call.error

Everything is deterministic: weights and inputs come from seeds.
"""
import pathlib
import warnings

import torch

from side_by_side import as_calls

for category in (DeprecationWarning, FutureWarning, UserWarning):
    warnings.filterwarnings("ignore", category=category)


class Collection:
    def __init__(self):
        self.builders = {}

    def case(self, calls):
        """Registers a builder of a scripted or traced module with `calls()`, its calls."""
        def register(build):
            self.builders[build.__name__] = (build, calls)
            return build
        return register

    def names(self):
        return list(self.builders)

    def build(self, name):
        torch.manual_seed(0)
        with torch.no_grad():
            return self.builders[name][0]()

    def save(self, name, folder):
        path = pathlib.Path(folder) / f"{name}.pt"
        if not path.exists():
            self.build(name).save(str(path))
        return path

    def calls(self, name):
        torch.manual_seed(1)
        return as_calls(self.builders[name][1]())


def script(module):
    return torch.jit.script(module.eval())
