"""The two commands of README.md, and .ci/run, which runs the second."""

import os
import re
import stat
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
INSTALL = "python3.11 -m venv .venv && .venv/bin/pip install -c requirements.lock"
START = f"{INSTALL} . && .venv/bin/feedsvc demo"
TEST = f"{INSTALL} -e '.[test]' && .venv/bin/pytest"


def commands() -> list[str]:
    """What stands alone in a block of shell."""
    return [block.strip() for block in re.findall(r"(?ms)^```sh$\n(.*?)^```$", README)]


def test_the_first_command_shows_everything_and_another_one_tests_it() -> None:
    assert commands()[0] == START
    assert commands().count(TEST) == 1


def test_the_start_comes_before_all_other_chapters() -> None:
    chapters = re.findall(r"(?m)^## (.+)$", README)
    assert chapters[0] == "Start"
    assert README.index(START) < README.index(f"## {chapters[1]}")


def test_ci_runs_exactly_the_test_command_of_the_readme() -> None:
    """Done as .ci/run does it: the one block of shell below the mark."""
    marked = re.findall(r"(?ms)^<!-- test command -->\n```sh\n(.*?)^```$", README)
    assert [block.strip() for block in marked] == [TEST]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "sed -n '/<!-- test command -->/,/^```$/p' README.md" in script
    assert 'bash -euo pipefail -c "$command"' in script
    assert "pip install" not in script, "it installs by the README's command alone"


def test_ci_is_one_command_that_stops_at_the_first_fault() -> None:
    path = ROOT / ".ci" / "run"
    assert path.stat().st_mode & stat.S_IXUSR
    assert os.access(path, os.X_OK)
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_what_the_readme_links_to_is_there(name: str) -> None:
    assert (ROOT / name).exists()
