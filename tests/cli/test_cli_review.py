"""`feedsvc editions approve|skip|drop|undrop|order|intro|refresh`: a draft, and what is decided."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_line import CONFIG, Newsroom, Starter

from feedsvc.cli.editions_review import read_text
from feedsvc.errors import TextUnusable

REVIEWED = CONFIG.replace(
    "[newsletters.daily.schedules", 'review = "draft"\n[newsletters.daily.schedules', 1
)
TITLES = ("旧闻", "夜市回来了", "Night buses", "屋顶花园")
#: What the sweep makes of a schedule whose hour comes within review_minutes.
DRAFT = (
    "INSERT INTO edition (newsletter_id, schedule_id, kind, period, state, due_at, cut_seq,"
    " curation, counters, created_at) SELECT newsletter_id, id, 'digest', '{period}', 'draft',"
    " '2099-01-01 00:00:00.000000', 4, '{{}}', '{{}}', '2026-11-22 00:00:00.000000'"
    " FROM schedule",
    "INSERT INTO wave (edition_id, zone, due_at, cut_seq, waiting) SELECT max(id),"
    " 'Asia/Shanghai', '2099-01-01 00:00:00.000000', 4, 0 FROM edition",
)


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Newsroom:
    """A draft with three articles for 李雷, and one that he has."""
    newsroom = Newsroom(tmp_path_factory.mktemp("drafted"), starter)
    newsroom.configure(REVIEWED)
    (newsroom.folder / "articles").mkdir()
    newsroom.do("ingest")
    newsroom.publish("1.md", TITLES[0])
    newsroom.do("subscribers", "add", "li.lei@example.com", "-n", "daily", "--confirmed")
    for number, title in enumerate(TITLES[1:], start=2):
        newsroom.write_article(f"{number}.md", title)
    newsroom.do("ingest")
    newsroom.do("publish")
    change(newsroom, *(one.format(period="1") for one in DRAFT))
    return newsroom


@pytest.fixture
def room(bare: Newsroom, drafted: Newsroom) -> Newsroom:
    """A copy of it, to do things to."""
    shutil.copytree(drafted.folder, bare.folder, dirs_exist_ok=True)
    return bare


def change(room: Newsroom, *statements: str) -> None:
    with closing(sqlite3.connect(room.folder / "data" / "feedsvc.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def show(room: Newsroom) -> Any:
    return room.do("editions", "show", "1", "--json").json


def articles(found: Any, outcome: str = "mailed") -> list[str]:
    return [one["title"] for one in found["articles"] if outcome in one["outcomes"]]


def test_a_draft_is_listed_with_its_deadline_in_its_own_zone(room: Newsroom) -> None:
    line = room.do("editions", "list").out.splitlines()[1]
    assert "draft" in line
    assert "waits for approval; unless approved it goes as it is on Thu 2099-01-01 08:00" in line
    room.configure(REVIEWED.replace('"draft"', '"draft"\nunapproved = "skip"'))
    said = room.do("editions", "show", "1").out
    assert "it is skipped on Thu 2099-01-01 08:00 (Asia/Shanghai)\n" in said


def test_a_draft_is_shown_with_its_articles_and_what_can_be_done(room: Newsroom) -> None:
    found = show(room)
    assert set(articles(found)) == set(TITLES[1:])
    assert (found["state"], found["readers"], found["cut_seq"]) == ("draft", 1, 4)
    assert [one["zone"] for one in found["waves"]] == ["Asia/Shanghai"]
    said = room.do("editions", "show", "1").out
    assert said.startswith("edition 1 of daily, yearly: draft\n")
    assert "  for 1 reader if it went now\n" in said
    assert "3 articles:\n" in said
    assert "to 1\n" in said
    assert "feedsvc editions approve 1 " in said
    assert "feedsvc test daily YOU --edition 1\n" in said


def test_a_draft_is_put_together_and_approved(room: Newsroom) -> None:
    ids = {one["title"]: str(one["id"]) for one in show(room)["articles"]}
    dropped = room.do("editions", "drop", "1", ids["屋顶花园"], "--json").json
    assert articles(dropped, "dropped") == ["屋顶花园"]
    said = room.do("editions", "order", "1", ids["Night buses"], ids["夜市回来了"]).out
    assert said.index("Night buses") < said.index("夜市回来了")
    assert "put first, to 1\n" in said
    assert "dropped, for 1\n" in said
    said = room.do("editions", "intro", "1", "大家好，*本周*").out
    assert "  with the intro:\n    大家好，*本周*\n" in said
    assert articles(room.do("editions", "undrop", "1", ids["屋顶花园"], "--json").json) == [
        "Night buses",
        "夜市回来了",
        "屋顶花园",
    ]
    said = room.do("editions", "approve", "1").out
    assert said == (
        "Edition 1 is approved: it goes on Thu 2099-01-01 08:00 (Asia/Shanghai),"
        " while feedsvc serves.\n"
    )
    assert room.do("editions", "approve", "1").out.startswith("Edition 1 was approved already")
    assert "by operator\n" in room.do("editions", "show", "1").out
    outcome = room.run("editions", "drop", "1", ids["屋顶花园"])
    assert (outcome.code, outcome.err) == (
        1,
        "feedsvc: edition 1 is composing: it is no draft any more, and cannot be changed\n",
    )


def test_an_approved_draft_whose_hour_has_come_goes_now(room: Newsroom) -> None:
    change(room, "UPDATE wave SET due_at = '2026-11-22 00:00:00.000000'")
    assert room.do("editions", "approve", "1").out == (
        "Edition 1 is approved: it goes now, while feedsvc serves.\n"
    )


def test_an_article_is_dropped_for_good_by_its_slug(room: Newsroom) -> None:
    change(room, *(one.format(period="2") for one in DRAFT))
    slug = room.rows("SELECT slug FROM article WHERE title = 'Night buses'")[0][0]
    said = room.do("editions", "drop", "1", slug, "--for-good").out
    assert "dropped, for 1, out of later editions too\n" in said
    assert "out of later editions too\n" in room.do("editions", "show", "2").out
    assert articles(room.do("editions", "undrop", "1", slug, "--json").json, "dropped") == []


def test_an_article_that_nobody_knows_is_named(room: Newsroom) -> None:
    before = room.dump()
    outcome = room.run("editions", "drop", "1", "2", "no-such")
    assert outcome.code == 1
    assert "'no-such'" in outcome.err
    outcome = room.run("editions", "order", "1", "1")
    assert outcome.err == (
        "feedsvc: not in edition 1: 1; feedsvc editions show 1 lists its articles\n"
    )
    assert room.dump() == before


def test_an_intro_is_read_from_a_file_and_taken_away(room: Newsroom) -> None:
    (room.folder / "intro.md").write_text("\ufeff# 大家好\r\n\r\n本周。\n", encoding="utf-8")
    found = room.do("editions", "intro", "1", "--file", "intro.md", "--json").json
    assert found["curation"]["intro"] == "# 大家好\n\n本周。"
    assert "with the intro" not in room.do("editions", "intro", "1", "").out


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "it.md: No such file or directory"),
        ("好".encode("gb18030"), "it.md: is not written in UTF-8"),
        (b"x" * 1_000_001, "it.md: is larger than 1000000 bytes"),
    ],
    ids=["missing", "gb18030", "huge"],
)
def test_a_file_that_holds_no_text_is_named(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "it.md").write_bytes(content)
    with pytest.raises(TextUnusable, match=problem):
        read_text(None, tmp_path / "it.md")


def test_an_intro_that_is_too_long_or_missing_is_refused(room: Newsroom) -> None:
    outcome = room.run("editions", "intro", "1", "x" * 10_001)
    assert (outcome.code, outcome.err) == (
        1,
        "feedsvc: the intro has 10001 characters; at most 10000 are taken\n",
    )
    assert room.run("editions", "intro", "1").code == 2


def test_a_refreshed_draft_has_what_came_since(room: Newsroom) -> None:
    room.publish("5.md", "刚刚")
    assert "刚刚" not in articles(show(room))
    assert "刚刚" in articles(room.do("editions", "refresh", "1", "--json").json)


def test_a_draft_is_skipped_with_a_reason(room: Newsroom) -> None:
    assert room.do("editions", "skip", "1", "--reason", "假期").out == (
        "Edition 1 is skipped: 假期\n"
    )
    assert room.do("editions", "skip", "1").out == "Edition 1 was skipped: 假期\n"
    outcome = room.run("editions", "approve", "1")
    assert outcome.err == "feedsvc: edition 1 is skipped: it does not wait for approval\n"


def test_a_draft_is_not_paused_but_may_be_cancelled_with_its_articles(room: Newsroom) -> None:
    outcome = room.run("editions", "pause", "1")
    assert outcome.err == (
        "feedsvc: edition 1 is draft: feedsvc editions approve lets it go, editions skip does not\n"
    )
    said = room.do("editions", "cancel", "1", "--drop").out
    assert "Its articles were dropped for 1 subscribers.\n" in said
    assert room.rows("SELECT cursor FROM subscription") == [(4,)]


@pytest.mark.parametrize("command", ["approve", "drop 2"])
def test_a_draft_that_does_not_exist_is_answered_with_where_they_are_listed(
    room: Newsroom, command: str
) -> None:
    name, *more = command.split()
    outcome = room.run("editions", name, "9", *more)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "feedsvc: there is no edition 9; feedsvc editions list shows them\n"


def test_what_the_operator_wrote_is_shown_and_waits_for_their_word(room: Newsroom) -> None:
    change(
        room,
        "UPDATE edition SET kind = 'announcement', schedule_id = NULL, due_at = NULL,"
        " cut_seq = NULL",
        "INSERT INTO letter (edition_id, subject, body, audience, created_by)"
        " VALUES (1, '放假', '十月七日**回来**', '{}', 'operator')",
    )
    assert room.do("editions", "list").out.rstrip().endswith("waits for approval")
    said = room.do("editions", "show", "1").out
    assert "  announcement: 放假\n" in said
    assert "  waits for approval\n  for 1 reader if it went now\n" in said
    assert "  with the text:\n    十月七日**回来**\n" in said
    room.do("test", "daily", "me@example.com", "--edition", "1")
    assert len(room.mails()) == 1
    assert room.do("editions", "skip", "1").out == (
        "Edition 1 is skipped: skipped by the operator\n"
    )
