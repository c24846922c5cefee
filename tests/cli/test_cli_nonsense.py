"""What makes no sense is answered with why, never with a fault of the program."""

import re
import sqlite3
from contextlib import closing

import pytest
from command_line import Newsroom

BEYOND = str(2**31)
#: As a terminal in another encoding gives it.
NOT_UTF8 = "\udcff"


@pytest.mark.parametrize(
    "call",
    [
        *(("editions", one, BEYOND) for one in ("show", "approve", "skip", "refresh", "cancel")),
        ("editions", "drop", BEYOND, "x"),
        ("editions", "intro", BEYOND, "x"),
        ("notes", "remove", BEYOND),
        ("test", "daily", "you@example.com", "--edition", BEYOND),
        ("subscribers", "list", "--after", BEYOND),
        ("replay", BEYOND),
        ("deliveries", "uncertain", "list", "--edition", BEYOND),
        ("deliveries", "uncertain", "arrived", BEYOND),
        ("articles", "had", NOT_UTF8),
        ("trace", NOT_UTF8),
        ("announce", "daily", "--subject", "x", "--file", "letter.md", "--topic", NOT_UTF8),
        ("subscribers", "add", "a@example.com", "-n", "daily", "--name", NOT_UTF8, "--confirmed"),
        ("subscribers", "add", "a@example.com", "-n", "daily", "--name", "a\nb", "--confirmed"),
        ("subscribers", "add", "a@example.com", "-n", "daily", "--name", "a" * 201, "--confirmed"),
        ("subscribers", "add", "a@example.com", "-n", "daily", "--language", "zh-" + "a" * 40),
        ("notes", "add", "daily", "x", "--language", "fr"),
    ],
    ids=lambda call: ascii(" ".join(call))[:60],
)
def test_what_cannot_be_is_answered_with_why(newsroom: Newsroom, call: tuple[str, ...]) -> None:
    (newsroom.folder / "letter.md").write_text("x", encoding="utf-8")
    outcome = newsroom.run(*call)
    assert outcome.code in (1, 2)
    assert "fault of the program" not in outcome.err
    assert len(re.sub(r"\W", "", outcome.err)) > 20
    if (newsroom.folder / "data" / "feedsvc.db").exists():
        assert newsroom.rows("SELECT * FROM subscription") == []
        assert newsroom.rows("SELECT * FROM pinned_note") == []


def test_a_person_whose_zone_is_gone_can_be_paused(newsroom: Newsroom) -> None:
    newsroom.do("subscribers", "add", "a@example.com", "-n", "daily", "--confirmed")
    with closing(sqlite3.connect(newsroom.folder / "data" / "feedsvc.db")) as connection:
        connection.execute("UPDATE subscription SET zone = 'Gone/Island'")
        connection.commit()
    said = newsroom.do("subscribers", "pause", "a@example.com", "daily", "--until", "2028-01-01")
    assert said.out.startswith("Paused until 2027-12-31 16:00")


def test_somebody_who_paused_is_not_said_to_be_subscribed_anew(newsroom: Newsroom) -> None:
    add = ("subscribers", "add", "a@example.com", "-n", "daily", "--confirmed")
    newsroom.do(*add)
    assert newsroom.do(*add).out == "They are subscribed already; nothing was changed.\n"
    newsroom.do("subscribers", "pause", "a@example.com", "daily")
    said = newsroom.do(*add).out
    assert said.startswith("They are subscribed, and pause; nothing was changed.")
    assert "feedsvc subscribers resume a@example.com daily" in said
    shown = newsroom.do("subscribers", "show", "a@example.com", "--json").json
    assert shown["subscriptions"][0]["state"] == "paused"
