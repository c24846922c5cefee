"""`subscribers set|pause|resume|show`: the operator does what a subscriber could do."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import CONFIG, Newsroom, Starter

LILEI = ("li.lei@example.com", "daily")
WEEKLY = """\
[newsletters.daily.schedules.weekly]
label = "每周一"
cron = "0 8 * * 1"
"""


@pytest.fixture(scope="module")
def peopled(begun: Path, tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Path:
    """Two rhythms, an article about 科技, and 李雷 who came after it."""
    made = Newsroom(tmp_path_factory.mktemp("peopled"), starter)
    shutil.copytree(begun, made.folder, dirs_exist_ok=True)
    made.configure(CONFIG + WEEKLY)
    made.write("a.md", "---\ntitle: 一\ntopics: [科技]\ndate: 2026-01-02\n---\n\n正文第一句。\n")
    made.do("ingest")
    made.do("publish")
    made.do("subscribers", "add", LILEI[0], "-n", "daily", "-s", "yearly", "--name", "李雷",
            "--confirmed")  # fmt: skip
    return made.folder


@pytest.fixture
def house(bare: Newsroom, peopled: Path) -> Newsroom:
    """The same anew for every test."""
    shutil.copytree(peopled, bare.folder, dirs_exist_ok=True)
    return bare


def show(house: Newsroom) -> Any:
    (one,) = house.do("subscribers", "show", LILEI[0], "--json").json["subscriptions"]
    return one


def test_choices_are_set_one_by_one_and_shown(house: Newsroom) -> None:
    said = house.do("subscribers", "set", *LILEI, "--schedule", "weekly", "--topic", "科技").out
    assert said == "schedule: yearly -> weekly; topics: all -> 科技\n"
    house.do("subscribers", "set", *LILEI, "--zone", "europe/madrid", "--language", "zh")
    one = show(house)
    assert (one["schedule"], one["topics"]) == ("weekly", ["科技"])
    assert (one["zone"], one["language"]) == ("Europe/Madrid", "zh")
    assert [entry["what"] for entry in one["changes"]] == ["added", "changed", "changed"]
    again = house.do("subscribers", "set", *LILEI, "--schedule", "weekly").out
    assert "nothing was changed" in again
    changed = house.do("subscribers", "set", *LILEI, "--all-topics", "--zone", "", "--json").json
    assert (changed["topics"], changed["zone"], changed["schedule"]) == ([], "", "weekly")


def test_pausing_and_going_on(house: Newsroom) -> None:
    said = house.do("subscribers", "pause", *LILEI, "--until", "2030-01-02", "--from-now").out
    assert said == "Paused until 2030-01-01 16:00 UTC; the next mail has what comes then.\n"
    before = show(house)["cursor"]
    house.publish("b.md", "二")
    assert "They go on from now" in house.do("subscribers", "resume", *LILEI).out
    assert show(house)["cursor"] == before + 1
    assert "had not paused" in house.do("subscribers", "resume", *LILEI).out
    house.do("subscribers", "pause", *LILEI, "--from-now")
    house.publish("c.md", "三")
    said = house.do("subscribers", "resume", *LILEI, "--catch-up").out
    assert said == f"They go on from article {before + 1}, where they stood.\n"


def test_somebody_is_shown_for_people(house: Newsroom) -> None:
    house.do("subscribers", "set", *LILEI, "--topic", "科技")
    house.do("subscribers", "pause", *LILEI)
    lines = house.do("subscribers", "show", LILEI[0]).out.splitlines()
    assert lines[0].startswith("li.lei@example.com, 李雷: subscriber 1, address good")
    assert "daily: paused until resumed, then catch up" in lines
    assert "  topics: 科技" in lines
    assert "  zone: the schedule's" in lines
    assert "  settled up to article 1 of 1" in lines
    assert any("added by operator: by command line" in line for line in lines)
    assert any("changed by operator: topics all -> 科技" in line for line in lines)
    assert any("paused by operator: state active -> paused" in line for line in lines)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("set", *LILEI, "--schedule", "hourly"), "there is no 'hourly' (there are: weekly,"),
        (("set", *LILEI, "--topic", "sport"), "no article has 'sport'"),
        (("set", *LILEI, "--language", "tlh"), "mails are written in: en, zh"),
        (("set", *LILEI, "--zone", "Shanghai"), "write for example Asia/Shanghai"),
        (("set", *LILEI), "say what to change"),
        (("set", *LILEI, "--topic", "科技", "--all-topics"), "either --topic or --all-topics"),
        (("pause", *LILEI, "--until", "soon"), "not a day: 'soon'"),
        (("pause", *LILEI, "--until", "2001-01-01"), "has come already"),
        (("pause", *LILEI, "--from-now", "--catch-up"), "either --from-now or --catch-up"),
        (("pause", LILEI[0], "monthly"), "no newsletter is named 'monthly'"),
        (("pause", "bob@example.com", "daily"), "nothing to do with the newsletter 'daily'"),
        (("show", "bob@example.com"), "nobody has this address"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_said_and_changes_nothing(
    house: Newsroom, command: tuple[str, ...], said: str
) -> None:
    before = house.rows("SELECT * FROM subscription")
    outcome = house.run("subscribers", *command)
    assert outcome.code != 0
    assert said in " ".join(outcome.err.replace("│", " ").split())
    assert house.rows("SELECT * FROM subscription") == before


def test_who_has_not_confirmed_has_nothing_to_change(house: Newsroom) -> None:
    house.do("subscribers", "add", "bob@example.com", "-n", "daily")
    outcome = house.run("subscribers", "set", "bob@example.com", "daily", "--language", "zh")
    assert outcome.code == 1
    assert "not confirmed yet" in outcome.err


def test_the_log_holds_no_address(house: Newsroom) -> None:
    house.do("subscribers", "set", *LILEI, "--schedule", "weekly")
    house.do("subscribers", "pause", *LILEI)
    assert "example.com" not in json.dumps(show(house)["changes"])
