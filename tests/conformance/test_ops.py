"""Op rows against PyTorch over OpInfo samples (harness.py), and over scripted cases that OpInfo does not reach."""
import os

import pytest
import torch

import harness
from cases import CASES

# Samples that agreed when this number was last raised. It may only rise.
LEAST_OK = 3550
LEAST_OK_SYMBOLIC = 1540

# Ops that look for a size, which a symbol does not tell.
NEEDS_SIZES = {"cross f32 #0", "take_along_dim f32 #2", "tensordot f32 #2"}

pytestmark = pytest.mark.skipif("FST_CONFORMANCE_LIB" not in os.environ, reason="FST_CONFORMANCE_LIB names no library")


@pytest.fixture(scope="session")
def lib():
    library = harness.load_library()
    harness.read_rows(library)
    return library


@pytest.fixture(scope="session")
def outcomes(lib):
    return harness.sweep(lib)


def lines(outcomes, kind):
    return ["%s: %s" % (label, o.detail) for label, o in outcomes.items() if o.kind == kind]


def test_no_sample_is_wrong(outcomes):
    assert lines(outcomes, "wrong") == []


def test_no_sample_crashes(outcomes):
    assert lines(outcomes, "crash") == []


def test_samples_that_agree_only_rise(outcomes):
    assert sum(o.kind == "ok" for o in outcomes.values()) >= LEAST_OK


@pytest.fixture(scope="session")
def symbolic_outcomes(lib):
    return harness.sweep(lib, symbolic=True, dtypes=[torch.float32])


def test_symbolic_sizes_are_right(symbolic_outcomes):
    wrong = lines(symbolic_outcomes, "wrong") + lines(symbolic_outcomes, "crash")
    assert [line for line in wrong if line.split(":")[0] not in NEEDS_SIZES] == []


def test_symbolic_samples_that_agree_only_rise(symbolic_outcomes):
    assert sum(o.kind == "ok" for o in symbolic_outcomes.values()) >= LEAST_OK_SYMBOLIC


@pytest.fixture(scope="session")
def case_outcomes(lib):
    return harness.run_cases(lib, CASES)


@pytest.fixture(scope="session")
def symbolic_case_outcomes(lib):
    return harness.run_cases(lib, CASES, symbolic=True)


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(case_outcomes, name):
    assert case_outcomes[name] == harness.Outcome("ok", "")


@pytest.mark.parametrize("name", sorted(CASES))
def test_case_of_symbolic_sizes(symbolic_case_outcomes, name):
    """A list whose length depends on a size, and the like, may stay for run time; nothing may be wrong."""
    assert symbolic_case_outcomes[name].kind in ("ok", "unsupported"), symbolic_case_outcomes[name]
