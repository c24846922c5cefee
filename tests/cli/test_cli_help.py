"""What the command line says of itself."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from command_line import Newsroom

from feedsvc import __version__
from feedsvc.cli import app


def commands(group: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words it is called by."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from commands(one, *above, name)
        else:
            yield (*above, name), one


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_each_command_has_an_example_that_it_accepts(
    bare: Newsroom, words: tuple[str, ...]
) -> None:
    outcome = bare.do(*words, "--help")
    shown = re.search(r"Example: (.+?)\n *\n", outcome.out, re.DOTALL)
    assert shown is not None, outcome.out
    called = shlex.split(shown[1])
    assert called[: len(words) + 1] == ["feedsvc", *words]
    # Raises where an argument is missing or an option unknown; nothing is run.
    COMMANDS[words].make_context(words[-1], called[len(words) + 1 :])
    assert list(bare.folder.iterdir()) == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_option_says_what_it_is_for(words: tuple[str, ...]) -> None:
    for parameter in COMMANDS[words].params:
        assert parameter.help, parameter.name


def test_every_command_that_reports_facts_can_report_them_as_json() -> None:
    with_json = {
        " ".join(words)
        for words, command in COMMANDS.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    speak_to_people = {"version", "serve", "demo", "subscribers add"}
    assert {" ".join(words) for words in COMMANDS} - with_json <= speak_to_people


def test_the_version_is_the_package_version(bare: Newsroom) -> None:
    assert bare.do("version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    "call",
    [("ingst",), ("ingest", "--jsn"), ("rehearse",), ("subscribers", "list", "--limit", "0")],
)
def test_a_call_that_is_wrong_ends_with_2_and_shows_the_way(
    bare: Newsroom, call: tuple[str, ...]
) -> None:
    outcome = bare.run(*call)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--help" in outcome.err
    assert list(bare.folder.iterdir()) == []
