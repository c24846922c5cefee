"""The short form of the `send` benchmark runs, and says what it is said to say."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.bench

PROJECT = Path(__file__).resolve().parents[2]
UNITS = {
    "messages_per_s": "msg/s",
    "rss_mb": "MB",
    "rss_growth": "x",
    "vs_naive": "x",
    "cpu_ms_per_message": "ms",
    "other_writer_max_ms": "ms",
    "transport_vs_smtp_source": "x",
    "rows_vs_smtp_source": "x",
    "latency_50ms_vs_sendmail": "x",
    "postfix_messages_per_s": "msg/s",
}
#: Peers that need not be installed.
MAY_BE_MISSING = {
    "transport_vs_smtp_source",
    "rows_vs_smtp_source",
    "postfix_messages_per_s",
}


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "send", "--quick", "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "send"
    return {one["name"]: one for one in report["results"]}


def test_every_agreed_name_is_reported_once_with_its_unit(
    results: dict[str, dict[str, Any]],
) -> None:
    assert {name: one["unit"] for name, one in results.items()} == UNITS


def test_only_a_missing_peer_leaves_a_figure_out_and_the_reason_is_given(
    results: dict[str, dict[str, Any]],
) -> None:
    missing = {name: one for name, one in results.items() if one["value"] is None}
    assert missing.keys() <= MAY_BE_MISSING
    assert all(one["note"] for one in missing.values())


def test_figures_are_of_a_possible_size(results: dict[str, dict[str, Any]]) -> None:
    value = {name: one["value"] for name, one in results.items()}
    assert 20 < value["messages_per_s"] < 100_000
    assert 20 < value["rss_mb"] < 1000
    assert 0.8 < value["rss_growth"] < 3
    assert 1 < value["vs_naive"] < 1000
    assert 0.01 < value["cpu_ms_per_message"] < 50
    assert 0 < value["other_writer_max_ms"] < 60_000
    assert 0.1 < value["latency_50ms_vs_sendmail"] < 10


def test_the_large_mail_is_signed_and_of_about_a_hundred_kilobytes(
    results: dict[str, dict[str, Any]],
) -> None:
    note = results["messages_per_s"]["note"]
    assert note.startswith("signed (RSA, 2048 bits)")
    kilobytes = int(note.partition(" kB")[0].split()[-1])
    assert 90 <= kilobytes <= 115
    # Nobody signs with RSA for less than this: it was done.
    signing = float(results["cpu_ms_per_message"]["note"].rpartition(" ")[2])
    assert 0.1 < signing < 20


def test_a_real_postfix_is_used_where_one_can_be_started(
    results: dict[str, dict[str, Any]],
) -> None:
    postfix = results["postfix_messages_per_s"]
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    if shutil.which("postfix", path=path) is None or os.geteuid() != 0:
        assert postfix["value"] is None
        return
    assert 5 < postfix["value"] < 100_000
    assert "every recipient once" in postfix["note"]
