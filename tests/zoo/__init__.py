"""Archives for the tests: small scripted and traced programs. networks.py has real networks."""
from side_by_side import Call  # noqa: F401
from zoo import basics, control, state, classes, hooks, silero  # noqa: F401  (each adds its programs)
from zoo.programs import PROGRAMS
from zoo.silero import silero_path  # noqa: F401

names, build, save, calls = PROGRAMS.names, PROGRAMS.build, PROGRAMS.save, PROGRAMS.calls
