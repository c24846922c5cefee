"""The short form of the `compose` benchmark runs, and says what it is said to say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.bench

PROJECT = Path(__file__).resolve().parents[2]
UNITS = {
    "seconds_1m_sqlite": "s",
    "seconds_1m_postgresql": "s",
    "rss_mb": "MB",
    "growth": "x",
    "longest_write_lock_ms": "ms",
    "vs_naive": "x",
    "cpu_seconds_1m": "s",
}


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "compose", "--quick", "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "compose"
    return {one["name"]: one for one in report["results"]}


def test_every_agreed_name_is_reported_once_with_its_unit(
    results: dict[str, dict[str, Any]],
) -> None:
    assert {name: one["unit"] for name, one in results.items()} == UNITS


def test_every_figure_was_taken(results: dict[str, dict[str, Any]]) -> None:
    assert [name for name, one in results.items() if not (one["value"] or 0) > 0] == []


def test_all_readers_were_composed_for(results: dict[str, dict[str, Any]]) -> None:
    assert "4000 deliveries" in results["seconds_1m_sqlite"]["note"]
