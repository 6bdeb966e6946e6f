"""Nothing in passes.def and passes/rules/ is without a test: by counting what `firesteel opt --stats` reports for the IR files.

Rules: a function "RULE fires ..." of tests/rules/*.ir must make RULE apply, in "RULE stays ..." it must not.
Passes: over the files of tests/passes/PASS/, PASS must change some functions and leave others as they are. The file's own RUN
lines say what comes out; here only that there is such a case.
"""
import os
import re
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
FIRESTEEL = Path(os.environ["FST_BUILD"]) / "bin" / "firesteel"
# What these do is not told by a count of changes: every graph is walked anew, every tensor gets its place.
FILES_DECIDE = {"specialize", "plan"}
FOLDERS = {"canonicalize": TESTS / "rules"}


def firesteel(*args):
    return subprocess.run([FIRESTEEL, "opt", *map(str, args)], capture_output=True, text=True)


def names(option):
    out = firesteel(option)
    assert out.returncode == 0, out.stderr
    return [line.split()[0] for line in out.stdout.splitlines()]


def changes(file, pass_name):
    """{function: how much the pass changed}, {(rule, function): how often it applied}"""
    out = firesteel(file, f"--passes={pass_name}", "--verify-each", "--stats", "-o", os.devnull)
    passes, rules = {}, {}
    for line in out.stderr.splitlines():
        if m := re.match(r"  rule (\S+) +(\d+) changes  (.*)", line):
            rules[m[1], m[3]] = int(m[2])
        elif (m := re.match(r"(\S+) +[\d.]+ ms +(\d+) changes  (.*)", line)) and m[1] == pass_name:
            passes[m[3]] = int(m[2])
    return passes, rules


def test_every_rule_fires_and_stays():
    functions, applied, wrong = set(), {}, []
    for file in sorted((TESTS / "rules").glob("*.ir")):
        passes, rules = changes(file, "canonicalize")
        functions |= set(passes)
        applied.update(rules)
    for rule in names("--rules"):
        fires = [f for f in functions if re.match(rf"{re.escape(rule)} fires\b", f)]
        stays = [f for f in functions if re.match(rf"{re.escape(rule)} stays\b", f)]
        wrong += [f"no function '{rule} {kind}' in tests/rules/" for kind, found in (("fires", fires), ("stays", stays)) if not found]
        wrong += [f"'{f}': the rule does not apply" for f in fires if not applied.get((rule, f))]
        wrong += [f"'{f}': the rule applies" for f in stays if applied.get((rule, f))]
    assert not wrong, "\n".join(wrong)


def test_rule_functions_name_rules():
    known = set(names("--rules"))
    for file in sorted((TESTS / "rules").glob("*.ir")):
        for function in re.findall(r'^function "([^"]*)"', file.read_text(), re.M):
            assert re.match(r"(\S+) (fires|stays)\b", function) and function.split()[0] in known, f"{file.name}: {function}"


@pytest.mark.parametrize("pass_name", names("--list"))
def test_every_pass_fires_and_stays(pass_name):
    files = sorted(FOLDERS.get(pass_name, TESTS / "passes" / pass_name).glob("*.ir"))
    assert files, f"no IR files in tests/passes/{pass_name}"
    for file in files:
        assert re.search(r"^# RUN: .*--passes=\S*\b" + pass_name, file.read_text(), re.M), f"{file} does not run {pass_name}"
    counts = [n for file in files for n in changes(file, pass_name)[0].values()]
    assert any(counts) or pass_name in FILES_DECIDE, f"{pass_name} changes nothing in any of its tests"
    assert any(n == 0 for n in counts) or pass_name in FILES_DECIDE, f"{pass_name} changes everything in all of its tests"
