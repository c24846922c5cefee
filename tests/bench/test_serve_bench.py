"""The serve benchmark runs, and says what it promises to say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.bench

PROJECT = Path(__file__).resolve().parents[2]
UNITS = {
    "gzip_200_vs_nginx": "x",
    "gzip_200_per_s": "req/s",
    "etag_304_vs_nginx": "x",
    "etag_304_per_s": "req/s",
    "rss_mb": "MB",
}


def run_short() -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "serve", "--quick", "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "serve"
    return {one["name"]: one for one in report["results"]}


def test_every_agreed_name_is_reported_and_what_is_missing_says_why() -> None:
    results = run_short()
    assert {name: one["unit"] for name, one in results.items()} == UNITS
    assert 20 < results["rss_mb"]["value"] < 1000
    missing = [tool for tool in ("wrk", "nginx") if not _is_installed(tool)]
    for name in UNITS.keys() - {"rss_mb"}:
        one = results[name]
        if missing:
            assert one["value"] is None
            assert missing[0] in one["note"]
        else:
            assert one["value"] > (1000 if one["unit"] == "req/s" else 0.05)


def _is_installed(tool: str) -> bool:
    return bool(shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/usr/local/sbin"))
