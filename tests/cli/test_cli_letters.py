"""`feedsvc announce`, `correct` and `articles had`."""

import pytest
from command_line import Newsroom

LETTER = "亲爱的读者，\n\n我们搬到 **新** 址：[地图](https://example.com/map)。\n"


@pytest.fixture
def readers(newsroom: Newsroom) -> Newsroom:
    """李雷 reads Chinese; Alice reads English in New York; Bob has not confirmed."""
    for address, *more in (
        ("li.lei@example.com", "--language", "zh", "--confirmed"),
        ("alice@example.com", "--language", "en", "--zone", "America/New_York", "--confirmed"),
    ):
        newsroom.do("subscribers", "add", address, "-n", "daily", *more)
    newsroom.do("ingest")  # what is there at the first look is no news
    (newsroom.folder / "letter.md").write_text(LETTER, encoding="utf-8")
    return newsroom


def announce(newsroom: Newsroom, *more: str) -> tuple[str, ...]:
    return ("announce", "daily", "--subject", "我们搬家了", "--file", "letter.md", *more)


def changes(newsroom: Newsroom) -> int:
    return newsroom.rows("SELECT count(*) FROM edition")[0][0]  # type: ignore[no-any-return]


def test_an_announcement_is_sent_to_everybody_once_it_is_agreed_to(readers: Newsroom) -> None:
    sent = readers.do(*announce(readers, "--yes"))
    assert "2 sent" in sent.out
    subjects = [one.read_text("utf-8") for one in readers.mails()]
    assert len(subjects) == 2
    listed = readers.do("editions", "list", "--json").json["editions"]
    assert [one["state"] for one in listed] == ["done"]


def test_without_anybody_to_ask_nothing_is_sent(readers: Newsroom) -> None:
    refused = readers.run(*announce(readers))
    assert refused.code == 1
    assert "say --yes" in refused.err
    as_json = readers.run(*announce(readers, "--json"))
    assert as_json.code == 1
    assert readers.mails() == []
    assert changes(readers) == 0


def test_a_rehearsal_tells_who_gets_what_and_changes_nothing(readers: Newsroom) -> None:
    before = readers.dump()
    shown = readers.do(*announce(readers, "--language", "zh", "--rehearse"))
    assert "to 1 subscriber" in shown.out
    assert "by language: 1 zh" in shown.out
    assert "not to 1: read another language" in shown.out
    assert "我们搬到" in shown.out
    facts = readers.do(*announce(readers, "--rehearse", "--json")).json
    assert facts["recipients"] == 2
    assert facts["languages"] == {"zh": 1, "en": 1}
    assert facts["zones"]["America/New_York"] == 1
    assert facts["kind"] == "announcement"
    assert "<strong" in facts["mail"]["html"]
    assert readers.dump() == before


def test_a_draft_and_one_for_later_are_made_and_not_sent(readers: Newsroom) -> None:
    draft = readers.do(*announce(readers, "--draft"))
    assert "feedsvc editions approve 1" in draft.out
    later = readers.do(*announce(readers, "--at", "2091-12-01 08:00", "--yes"))
    assert "2091-12-01 08:00 Asia/Shanghai" in later.out
    due_at = readers.rows("SELECT due_at FROM wave ORDER BY id DESC LIMIT 1")[0][0]
    assert str(due_at).startswith("2091-12-01 00:00:00")
    states = [one["state"] for one in readers.do("editions", "list", "--json").json["editions"]]
    assert states == ["composing", "draft"]
    assert readers.mails() == []


def test_a_test_goes_to_one_address_and_leaves_no_trace(readers: Newsroom) -> None:
    before = readers.dump()
    tested = readers.do(*announce(readers, "--test", "me@example.com"))
    assert "me@example.com" in tested.out
    (mail,) = readers.mails()
    assert "me@example.com" in mail.read_text("utf-8")
    assert readers.dump() == before


@pytest.mark.parametrize(
    ("more", "why", "code"),
    [
        (("--schedule", "hourly"), "has no schedule 'hourly' (it has: yearly)", 1),
        (("--zone", "Mars/Base"), "no time zone 'Mars/Base'", 1),
        (("--language", "fr"), "nobody would get it", 1),
        (("--at", "tomorrow"), "is not like", 2),
        (("--at", "2001-01-01 08:00"), "is over", 2),
        (("--test", "nobody"), "", 1),
        (("--subject", " "), "needs a subject", 1),
        (("--file", "none.md"), "none.md: it cannot be read: No such file", 1),
    ],
)
def test_what_cannot_be_meant_is_said(
    readers: Newsroom, more: tuple[str, ...], why: str, code: int
) -> None:
    refused = readers.run(*announce(readers, "--yes", *more))
    assert refused.code == code
    assert why in refused.err.replace("\n", " ").replace("│", "")
    assert changes(readers) == 0


def test_a_file_that_is_no_text_is_refused_with_the_place(readers: Newsroom) -> None:
    (readers.folder / "letter.md").write_bytes(b"hello \xff")
    refused = readers.run(*announce(readers, "--yes"))
    assert refused.code == 1
    assert "letter.md: byte 7 is not UTF-8" in refused.err


def test_a_correction_goes_to_those_who_had_the_article(readers: Newsroom) -> None:
    nobody = readers.run("correct", "letter.md", "--file", "letter.md", "--yes")
    assert nobody.code == 1
    readers.publish("night.md", "夜市回来了")
    readers.do("send", "daily")
    readers.do("subscribers", "add", "new@example.com", "-n", "daily", "--confirmed")
    command = ("correct", "night.md", "--file", "letter.md")
    shown = readers.do(*command, "--rehearse")
    assert "更正：夜市回来了" in shown.out
    assert "not to 1: were not mailed the article" in shown.out
    refused = readers.run(*command)
    assert refused.code == 1
    assert "say --yes" in refused.err
    before = len(readers.mails())
    assert "2 sent" in readers.do(*command, "--yes").out
    assert len(readers.mails()) == before + 2
    facts = readers.do(*command, "--subject", "又错了", "--draft", "--json").json
    (correction,) = facts["corrections"]
    assert (correction["subject"], correction["kind"]) == ("又错了", "correction")
    assert correction["recipients"] == 2


def test_who_had_an_article_is_listed_with_their_addresses(readers: Newsroom) -> None:
    readers.publish("night.md", "夜市回来了")
    assert "mailed to nobody" in readers.do("articles", "had", "night.md").out
    readers.do("send", "daily")
    had = readers.do("articles", "had", "night.md", "--newsletter", "daily")
    assert "2 sent" in had.out
    assert "li.lei@example.com" in had.out
    facts = readers.do("articles", "had", "night.md", "--json").json
    assert [one["address"] for one in facts["subscribers"]] == [
        "alice@example.com",
        "li.lei@example.com",
    ]
    assert facts["editions"][0]["sent"] == 2
    assert readers.run("articles", "had", "nothing").code == 1
    assert readers.run("articles", "had", "night.md", "-n", "none").code == 1
