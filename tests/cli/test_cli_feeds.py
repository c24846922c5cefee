"""`feeds list` and `feeds show`: which feeds there are, how they are, who reads them."""

import sqlite3
import zlib
from contextlib import closing
from datetime import UTC, datetime, timedelta

from command_line import CONFIG, Newsroom

from feedsvc.cli.feeds import draw_line
from feedsvc.feeds.readers.counts import pack_bits

FEEDS = (
    CONFIG.replace('title = "全部文章"', 'title = "全部文章"\nformerly = ["everything"]')
    + """
[feeds.topics]
each = "topic"
title = "例子新闻：{name}"
"""
).replace('language = "zh-CN"\n', 'language = "zh-CN"\nretired_feeds = ["sport"]\n', 1)


def write_article(newsroom: Newsroom) -> None:
    newsroom.write("night.md", "---\ntitle: 夜市回来了\ntopics: [夜市]\n---\n\n正文第一句。\n")
    newsroom.do("ingest")
    newsroom.do("publish")


def change(newsroom: Newsroom, *statements: tuple[str, tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(newsroom.folder / "data" / "feedsvc.db")) as connection:
        for statement, values in statements:
            connection.execute(statement, values)
        connection.commit()


def add_readers(newsroom: Newsroom) -> None:
    """Feedly with 131 today and 120 two days ago, three clients today, and one at the hub."""
    today = datetime.now(UTC).date()
    before = (today - timedelta(days=2)).isoformat()
    hosted = "INSERT INTO feed_reader (feed, day, agent, subscribers) VALUES (?, ?, ?, ?)"
    clients = "INSERT INTO feed_clients (feed, day, bitmap) VALUES (?, ?, ?)"
    topic = (
        "INSERT INTO hub_subscription (topic, callback, callback_host, state, attempt, created_at)"
        " VALUES ('feeds/all/atom.xml', 'https://a.example/', 'a.example', ?, 0, '2026-11-22')"
    )
    change(
        newsroom,
        (hosted, ("all", today.isoformat(), "Feedly", 131)),
        (hosted, ("all", before, "Feedly", 120)),
        (hosted, ("all", today.isoformat(), "Feedbin#17", 2)),
        (clients, ("all", today.isoformat(), pack_bits([1, 700, 60_000]))),
        (topic, ("active",)),
        (topic.replace("a.example", "b.example"), ("ended",)),
    )


def test_feeds_are_listed_with_their_entries_and_readers(newsroom: Newsroom) -> None:
    newsroom.configure(FEEDS)
    write_article(newsroom)
    add_readers(newsroom)
    facts = newsroom.do("feeds", "list", "--json").json
    assert facts.keys() == {"days", "feeds", "moved", "retired"}
    assert (facts["days"], facts["moved"], facts["retired"]) == (
        7,
        {"everything": "all"},
        ["sport"],
    )
    everything, topic = facts["feeds"]
    assert everything.pop("changed_at").endswith("+00:00")
    assert everything == {
        "key": "all",
        "title": "全部文章",
        "entries": 1,
        "hosted": 133,
        "individuals": 3,
        "subscribers": 1,
        "problem": None,
    }
    assert (topic["key"], topic["title"]) == ("topics/夜市", "例子新闻：夜市")
    assert (topic["hosted"], topic["individuals"]) == (0, 0)


def test_the_list_for_people_names_what_moved_and_what_is_wrong(newsroom: Newsroom) -> None:
    newsroom.configure(FEEDS)
    write_article(newsroom)
    add_readers(newsroom)
    change(newsroom, ("UPDATE feed SET problem = ? WHERE key = 'all'", ("lost an entry",)))
    said = newsroom.do("feeds", "list").out
    assert "last 7 days (UTC)" in said
    lines = {line.split()[0]: line.split() for line in said.splitlines()}
    assert lines["all"][1:6] == ["全部文章", "1", "136", "133", "3"]
    assert "(problem)" in lines["all"][-1]
    assert "all: lost an entry\n" in said
    assert "everything moved to all\n" in said
    assert "sport is retired\n" in said


def test_a_feed_is_shown_with_its_documents_and_who_reads_it(newsroom: Newsroom) -> None:
    newsroom.configure(FEEDS)
    write_article(newsroom)
    add_readers(newsroom)
    facts = newsroom.do("feeds", "show", "all", "--json").json
    assert facts["page"] == "http://127.0.0.1:8000/feeds/all"
    assert (facts["entries"], facts["formerly"], facts["problem"]) == (1, ["everything"], None)
    assert [one["url"] for one in facts["documents"]] == [
        f"http://127.0.0.1:8000/feeds/all/{name}" for name in ("rss.xml", "atom.xml", "feed.json")
    ]
    ((body, packed),) = newsroom.rows(
        "SELECT body, body_gzip FROM feed_document WHERE feed = 'all' AND format = 'atom'"
    )
    atom = facts["documents"][1]
    assert (atom["sizes"]["identity"], atom["sizes"]["gzip"]) == (len(body), len(packed))
    assert zlib.decompress(packed, 31) == body
    assert atom["subscribers"] == 1
    assert facts["readers"]["by_agent"] == {"Feedly": 131, "Feedbin": 2}
    assert [(day["hosted"], day["individuals"]) for day in facts["days"][-3:]] == [
        (120, 0),
        (0, 0),
        (133, 3),
    ]
    said = newsroom.do("feeds", "show", "all").out
    assert said.startswith("全部文章\n")
    assert "136 in the last 7 days (UTC): 133 by hosted readers, 3 other clients" in said
    assert "131  Feedly\n" in said
    assert "▇ █  at most 136\n" in said


def test_a_member_of_a_family_is_shown_by_its_key(newsroom: Newsroom) -> None:
    newsroom.configure(FEEDS)
    write_article(newsroom)
    said = newsroom.do("feeds", "show", "topics/夜市").out
    assert said.startswith("例子新闻：夜市\n")
    assert "http://127.0.0.1:8000/feeds/topics/%E5%A4%9C%E5%B8%82/atom.xml" in said
    assert "0 in the last 7 days (UTC)" in said


def test_a_feed_that_is_not_there_is_an_error(newsroom: Newsroom) -> None:
    outcome = newsroom.run("feeds", "show", "nothing")
    assert outcome.code == 1
    assert "no feed is called 'nothing'" in outcome.err


def test_without_feeds_it_is_said_what_to_do(newsroom: Newsroom) -> None:
    newsroom.configure(CONFIG.replace('[feeds.all]\ntitle = "全部文章"\n', ""))
    assert "There is no feed yet." in newsroom.do("feeds", "list").out
    assert newsroom.do("feeds", "list", "--json").json["feeds"] == []


def test_numbers_are_drawn_from_nothing_to_the_greatest() -> None:
    assert draw_line([0, 1, 4, 8]) == " ▂▅█"
    assert draw_line([0, 0]) == "  "
    assert draw_line([]) == ""
    assert draw_line([1, 1_000_000]) == "▁█"


def test_a_name_that_is_no_feed_is_told_for_what_it_is(newsroom: Newsroom) -> None:
    newsroom.configure(FEEDS)
    for name, said in (
        ("topics", "is a family of feeds"),
        ("everything", "is called 'all' now"),
        ("sport", "is retired"),
    ):
        assert said in newsroom.run("feeds", "show", name).err
