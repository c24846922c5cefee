"""docs/reliability.md has a row for each promise, and names tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from reliability import PROMISES, ROOT, write_table

_ROW = re.compile(r"^\| (R\d\d) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_TEST = re.compile(r"`([^`]+\.py::[^`]+)`")
PROMISED = [*range(1, 31), *range(32, 38), 45, 48]


@cache
def _rows() -> dict[str, tuple[str, str, str]]:
    """Promise -> its words, tests and figures."""
    document = (ROOT / "docs/reliability.md").read_text("utf-8")
    return {row[0]: row[1:] for row in _ROW.findall(document)}


@cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def _exists(test: str) -> bool:
    path, _, name = test.partition("::")
    return (ROOT / "tests" / path).exists() and name in _functions(ROOT / "tests" / path)


def test_each_promise_has_a_row_with_its_words() -> None:
    assert list(PROMISES) == [f"R{number:02}" for number in PROMISED]
    assert {promise: row[0] for promise, row in _rows().items()} == PROMISES


@pytest.mark.parametrize("promise", PROMISES)
def test_a_row_names_tests_that_exist_or_says_that_there_is_none(promise: str) -> None:
    _, tests, figures = _rows()[promise]
    named = _TEST.findall(tests)
    assert [test for test in named if not _exists(test)] == []
    assert named or (tests == "not tested yet" and figures == "–")
    assert "**" not in figures, "the last run found a promise broken"


def test_the_table_sums_the_cases_of_a_test_and_shows_what_is_broken() -> None:
    test = "tests/faults/test_x.py::test_y"
    counts = {"kills": 5, "frozen": 2000, "uncertain": 3, "lost": 0, "foreign": 0}
    counts["minutes"] = 3
    record = {"promises": ["R02"], "injected": "kill -9", "passed": True, "figures": counts}
    records = [record | {"test": f"{test}[{one}]", "case": one} for one in "ab"]
    table = write_table(records, {test: True})
    figures = "kill -9 (a; b): 10 kills, 4,000 recipients, 0 lost, 6 in doubt, minutes: 3"
    assert f"| `faults/test_x.py::test_y` | {figures} |" in table
    assert "| not tested yet | – |" in table
    worse = record | {"test": test, "case": "", "figures": counts | {"foreign": 1}}
    assert "**1 with another's name or link**" in write_table([worse], {test: True})
    assert "**failed**" in write_table(records, {test: False})
