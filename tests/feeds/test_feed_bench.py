"""The feeds benchmark runs, and says what it promises to say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench


def test_the_short_form_names_every_result() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "feeds", "--quick", "--json"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["bench"] == "feeds"
    assert found["machine"]["cores"] >= 1
    values = {result["name"]: result["value"] for result in found["results"]}
    assert values["bytes_equal"] == 1
    assert values["store_growth"] > 0
    for window in (20, 100, 1000):
        assert values[f"one_post_vs_full_{window}"] > 1
        assert values[f"cold_vs_full_{window}"] > 0
        assert values[f"prepare_ms_{window}"] > 0
        assert values[f"store_ms_{window}"] > 0
