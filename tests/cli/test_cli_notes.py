"""`feedsvc notes`: a few words above the articles of a newsletter."""

import re

import pytest
from command_line import Newsroom


def test_a_note_is_pinned_listed_and_removed(newsroom: Newsroom) -> None:
    said = newsroom.do("notes", "add", "daily", "**放假**到十月七日", "--until", "2099-10-07").out
    assert re.fullmatch(
        r"Note 1 stands in editions of daily from \d{4}-\d\d-\d\d \d\d:\d\d Asia/Shanghai"
        r" before 2099-10-08 00:00 Asia/Shanghai\.\n",
        said,
    )
    added = newsroom.do(
        "notes", "add", "daily", "x", "--language", "EN_gb", "--from", "2099-01-01", "--json"
    ).json
    assert (added["id"], added["language"], added["ends_at"]) == (2, "en-GB", None)
    listed = newsroom.do("notes", "list", "--json").json["notes"]
    assert [(one["id"], one["text"], one["stands"]) for one in listed] == [
        (1, "**放假**到十月七日", "now"),
        (2, "x", "to come"),
    ]
    heading, *rows = newsroom.do("notes", "list", "--newsletter", "daily").out.splitlines()
    assert heading.split()[:4] == ["id", "newsletter", "language", "stands"]
    assert "**放假**到十月七日" in rows[0]
    assert "until it is removed" in rows[1]
    assert newsroom.do("notes", "remove", "1").out == "Note 1 is removed.\n"
    assert newsroom.run("notes", "remove", "1").err == (
        "feedsvc: there is no note 1; feedsvc notes list shows them\n"
    )


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        ("2099-10-01", "2099-10-07", ("2099-10-01T00:00:00+08:00", "2099-10-08T00:00:00+08:00")),
        ("2099-10-01T08:00", None, ("2099-10-01T08:00:00+08:00", None)),
        (
            "2099-10-01T08:00Z",
            "2099-10-01 20:00+00:00",
            ("2099-10-01T16:00:00+08:00", "2099-10-02T04:00:00+08:00"),
        ),
    ],
    ids=["days", "time", "another zone"],
)
def test_its_time_is_a_day_or_a_time_in_the_zone_of_the_service(
    newsroom: Newsroom, begins: str, ends: str | None, expected: tuple[str, str | None]
) -> None:
    until = ("--until", ends) if ends else ()
    added = newsroom.do("notes", "add", "daily", "x", "--from", begins, *until, "--json").json
    assert (added["starts_at"], added["ends_at"]) == expected


def test_a_note_is_read_from_a_file(newsroom: Newsroom) -> None:
    (newsroom.folder / "note.md").write_text("大家好\n", encoding="utf-8")
    assert newsroom.do("notes", "add", "daily", "-f", "note.md", "--json").json["text"] == "大家好"


@pytest.mark.parametrize(
    ("call", "code", "problem"),
    [
        (("daily", " "), 1, "the note says nothing"),
        (("daily", "x", "--until", "2020-01-01"), 1, "ends before an edition could hold it"),
        (("daily", "x", "--from", "tomorrow"), 1, "'tomorrow' is not a day (2026-12-24)"),
        (("daily", "x", "--file", "y"), 2, "give either the text or --file"),
        (("daily", "x", "--language", "中文"), 2, "a language is written like zh or en-GB"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_note_that_cannot_be_pinned_is_answered_with_why(
    newsroom: Newsroom, call: tuple[str, ...], code: int, problem: str
) -> None:
    outcome = newsroom.run("notes", "add", *call)
    assert outcome.code == code
    assert problem in " ".join(re.sub(r"[│╭╮╰╯─]", " ", outcome.err).split())
    assert newsroom.rows("SELECT * FROM pinned_note") == []


def test_no_note_is_answered_with_how_to_pin_one(newsroom: Newsroom) -> None:
    assert newsroom.do("notes", "list").out == (
        "No note is pinned. Pin one with: feedsvc notes add NEWSLETTER TEXT\n"
    )
