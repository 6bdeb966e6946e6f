"""Op rows against PyTorch over OpInfo samples (harness.py), and over scripted cases that OpInfo does not reach."""
import os

import pytest
import torch

import harness
from cases import CASES

# Samples that agreed when this number was last raised. It may only rise.
LEAST_OK = 0

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


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(lib, name):
    function, inputs = CASES[name]
    torch.manual_seed(0)

    def work():
        yield name, None
        yield name, harness.check(lib, function, inputs())

    outcomes, _ = harness.in_child(work)
    assert outcomes == {name: harness.Outcome("ok", "")}
