"""`feedsvc editions` and `deliveries uncertain`: looking at editions, and taking a hand in them."""

import shutil
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from command_line import CONFIG, Newsroom, Starter

#: A relay that nobody answers for.
AWAY = CONFIG + '[relay]\ntype = "smtp"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\n'
PEOPLE = ("alice", "bob", "li.lei")


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Newsroom:
    """An edition whose three mails cannot go: the relay is away."""
    newsroom = Newsroom(tmp_path_factory.mktemp("stuck"), starter)
    newsroom.configure(AWAY)
    (newsroom.folder / "articles").mkdir()
    newsroom.do("ingest")
    for name in PEOPLE:
        address = f"{name}@example.com"
        newsroom.do("subscribers", "add", address, "-n", "daily", "--confirmed")
    newsroom.publish("night.md", "夜市回来了")
    assert newsroom.run("send", "daily").code == 1
    return newsroom


@pytest.fixture
def room(bare: Newsroom, stuck: Newsroom) -> Newsroom:
    """A copy of it, to do things to."""
    shutil.copytree(stuck.folder, bare.folder, dirs_exist_ok=True)
    return bare


def change(room: Newsroom, *statements: str) -> None:
    """What a sender has written."""
    with closing(sqlite3.connect(room.folder / "data" / "feedsvc.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def json_of(room: Newsroom, *command: str) -> Any:
    return room.do(*command, "--json").json


def states(room: Newsroom) -> list[str]:
    return [row[0] for row in room.rows("SELECT state FROM delivery ORDER BY id")]


REFUSED = (
    "UPDATE delivery SET state = 'failed', reply_code = 550,"
    " reason = 'refused: 550 5.1.1 <x@example.com>: no such user here',"
    " reply_text = '5.1.1 <x@example.com>: no such user here' WHERE id = {}"
)
SENT = "UPDATE delivery SET state = 'sent', relay = 'main' WHERE id = {}"
MOVED = "UPDATE subscription SET cursor = 1 WHERE id = {}"
HELD = "UPDATE delivery SET state = 'held', doubts = 1, reason = 'no reply' WHERE id = {}"

#: A fourth reader, and their mail.
ANOTHER = (
    "INSERT INTO subscriber (address, address_key, state, failures, name, language, created_at)"
    " SELECT 'x@example.com', 'x@example.com', state, failures, '李雷', language, created_at"
    " FROM subscriber WHERE id = 1",
    "INSERT INTO subscription (subscriber_id, newsletter_id, schedule_id, topics, state, cursor,"
    " requested_at, consent_text, consent_how) SELECT 4, newsletter_id, schedule_id, topics,"
    " state, cursor, requested_at, '', '' FROM subscription WHERE id = 1",
    "INSERT INTO delivery (edition_id, subscriber_id, subscription_id, cohort_id, priority,"
    " from_seq, cut_seq, state, attempt, crashes, doubts, next_at, expires_at, changed_at) SELECT"
    " edition_id, 4, 4, cohort_id, priority, from_seq, cut_seq, 'pending', 0, 0, 0, next_at,"
    " expires_at, changed_at FROM delivery WHERE id = 1",
)


# Looking


def test_editions_are_listed_with_what_became_of_them(room: Newsroom) -> None:
    change(room, SENT.format(1), REFUSED.format(2))
    (line,) = json_of(room, "editions", "list")["editions"]
    assert line.keys() == {
        "id",
        "newsletter",
        "schedule",
        "kind",
        "state",
        "reason",
        "due_at",
        "zone",
        "unapproved",
        "created_at",
        "frozen_at",
        "paused_at",
        "done_at",
        "waiting",
        "left_out",
        "dropped",
        "deliveries",
    }
    assert (line["newsletter"], line["schedule"], line["state"]) == ("daily", None, "sending")
    assert line["deliveries"] == {"pending": 1, "sent": 1, "failed": 1}
    heading, row = room.do("editions", "list", "--newsletter", "daily").out.splitlines()
    assert heading.split()[:3] == ["id", "newsletter", "schedule"]
    assert row.split()[:4] == ["1", "daily", "by", "hand"]
    assert row.split()[-4:] == ["sending", "3", "1", "1"]


def test_no_edition_is_answered_with_how_to_make_one(newsroom: Newsroom) -> None:
    assert newsroom.do("editions", "list").out.startswith("No edition yet. Make one with: ")
    assert newsroom.do("deliveries", "uncertain", "list").out == "No mail is in doubt.\n"


def test_an_edition_is_shown_with_reasons_but_without_addresses(room: Newsroom) -> None:
    change(room, SENT.format(1), REFUSED.format(2), REFUSED.format(3).replace("x@", "y@"))
    change(room, *ANOTHER, HELD.format(4))
    found = json_of(room, "editions", "show", "1")
    assert found["deliveries"] == {"sent": 1, "failed": 2, "held": 1}
    assert found["relays"] == {"main": 1}
    assert found["not_sent"] == [
        {
            "state": "failed",
            "reason": "refused",
            "meaning": "dead address",
            "count": 2,
            "examples": ["550 5.1.1 … no such user here"],
        },
        {"state": "held", "reason": "no reply", "meaning": None, "count": 1, "examples": []},
    ]
    assert [(one["deliveries"], one["articles"]) for one in found["cohorts"]] == [(4, 1)]
    said = room.do("editions", "show", "1").out
    assert "  4 mails: 1 sent, 2 failed, 1 held\n" in said
    assert "  1 went by main\n" in said
    assert "  2 failed: refused (dead address)\n      550 5.1.1 … no such user here\n" in said
    assert "夜市回来了" in said
    assert "Send again to those it did not reach: feedsvc editions retry 1\n" in said
    assert "feedsvc deliveries uncertain list --edition 1\n" in said
    assert "@" not in said


def test_an_edition_that_does_not_exist_is_answered_with_where_they_are_listed(
    newsroom: Newsroom,
) -> None:
    for command in ("show", "pause", "resume", "cancel", "retry"):
        outcome = newsroom.run("editions", command, "9")
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err == "feedsvc: there is no edition 9; feedsvc editions list shows them\n"


# Pausing, cancelling, trying again


def test_a_paused_edition_stays_paused_until_it_is_resumed(room: Newsroom) -> None:
    said = room.do("editions", "pause", "1", "--reason", "标题有错").out
    assert said == (
        "Edition 1 is paused. 0 of 3 mails are sent, 3 wait.\n"
        "Go on with: feedsvc editions resume 1\n"
    )
    assert "was paused already: 标题有错" in room.do("editions", "pause", "1").out
    shown = room.do("editions", "show", "1").out
    assert "  标题有错\n" in shown
    assert "\n  paused    " in shown
    found = json_of(room, "editions", "resume", "1")
    assert (found["changed"], found["state"], found["too_late"]) == (True, "sending", 0)
    assert "was not paused" in room.do("editions", "resume", "1").out
    room.configure()
    assert room.mails() == []
    room.do("send", "daily")
    assert len(room.mails()) == 3


def test_what_became_too_old_in_a_pause_is_told(room: Newsroom) -> None:
    room.do("editions", "pause", "1")
    change(room, "UPDATE delivery SET expires_at = '2020-01-01 00:00:00.000000' WHERE id = 1")
    said = room.do("editions", "resume", "1").out
    assert "1 of them waited for too long" in said
    assert "feedsvc editions retry 1" in said


def test_a_cancelled_edition_leaves_its_articles_to_the_next(room: Newsroom) -> None:
    change(room, SENT.format(1), MOVED.format(1))
    found = json_of(room, "editions", "cancel", "1")
    assert (found["changed"], found["state"], found["dropped"]) == (True, "cancelled", None)
    assert found["deliveries"] == {"sent": 1, "skipped": 2}
    again = room.do("editions", "cancel", "1").out
    assert again.startswith("Edition 1 was cancelled already: 1 of 3 mails were sent, 2 will not")
    outcome = room.run("editions", "resume", "1")
    assert (outcome.code, outcome.err) == (1, "feedsvc: edition 1 is cancelled: it cannot go on\n")
    room.configure()
    assert json_of(room, "send", "daily")["deliveries"] == {"sent": 2}


def test_a_cancel_can_drop_the_articles_too(room: Newsroom) -> None:
    said = room.do("editions", "cancel", "1", "--drop").out
    assert "Its articles were dropped for 3 subscribers." in said
    room.configure()
    assert json_of(room, "send", "daily")["state"] == "skipped"


def test_only_the_failed_are_tried_again(room: Newsroom) -> None:
    change(room, SENT.format(1), MOVED.format(1), REFUSED.format(2), REFUSED.format(3))
    change(room, "UPDATE subscriber SET state = 'dead' WHERE id = 3")
    change(room, "UPDATE edition SET state = 'done'")
    said = room.do("editions", "retry", "1").out
    assert said == "1 mail goes again while feedsvc serves.\n  not to 1: address dead\n"
    assert states(room) == ["sent", "pending", "failed"]
    found = json_of(room, "editions", "retry", "1")
    assert (found["again"], found["not_again"]) == (0, {"address dead": 1})
    assert found["state"] == "sending"


def test_a_send_that_is_paused_meanwhile_says_so(room: Newsroom) -> None:
    room.configure()
    change(
        room,
        "CREATE TRIGGER stop AFTER UPDATE OF state ON edition WHEN NEW.state = 'sending'"
        " BEGIN UPDATE edition SET state = 'paused', reason = '停' WHERE id = NEW.id; END",
    )
    outcome = room.run("send", "daily")
    assert outcome.code == 1
    assert outcome.out.splitlines()[:2] == ["edition 2: paused", "  停"]
    assert "it goes on with: feedsvc editions resume 2" in outcome.err


# Mail in doubt


def test_mail_in_doubt_is_listed_and_decided_about(room: Newsroom) -> None:
    change(room, *(HELD.format(number) for number in (1, 2, 3)), MOVED.format("1 OR 1"))
    found = json_of(room, "deliveries", "uncertain", "list")["uncertain"]
    assert [(one["id"], one["state"], one["reason"]) for one in found] == [
        (number, "held", "no reply") for number in (3, 2, 1)
    ]
    assert found[0]["address"] == "li.lei@example.com"
    row = room.do("deliveries", "uncertain", "list", "--edition", "1").out.splitlines()[1]
    assert row.split()[:2] == ["3", "held"]
    assert row.endswith("edition 1  li.lei@example.com  no reply")
    said = room.do("deliveries", "uncertain", "arrived", "1", "99").out
    assert said == "1 of 2 taken as arrived.\n  not 1: there is no such mail\n"
    decided = json_of(room, "deliveries", "uncertain", "again", "2")
    assert decided == {"decided": [2], "left_out": []}
    assert (
        "1 of 1 left to the next digest" in room.do("deliveries", "uncertain", "carry", "--all").out
    )
    assert states(room) == ["sent", "pending", "uncertain"]
    assert room.rows("SELECT cursor FROM subscription WHERE id = 3") == [(0,)]
    room.do("deliveries", "uncertain", "arrived", "--edition", "1")
    assert states(room)[2] == "sent"


def test_nothing_done_to_the_mails_named_is_a_failure(room: Newsroom) -> None:
    outcome = room.run("deliveries", "uncertain", "again", "1", "99", "--json")
    assert outcome.code == 1
    assert outcome.json == {
        "decided": [],
        "left_out": [
            {"id": 1, "reason": "not in doubt (any more)"},
            {"id": 99, "reason": "there is no such mail"},
        ],
    }
    assert room.do("deliveries", "uncertain", "again", "--all").out.startswith("0 of 0")


@pytest.mark.parametrize("call", [(), ("1", "--all"), ("--all", "--edition", "1")])
def test_mails_are_named_in_one_way(bare: Newsroom, call: tuple[str, ...]) -> None:
    outcome = bare.run("deliveries", "uncertain", "arrived", *call)
    assert (outcome.code, outcome.out) == (2, "")
    assert "one of them" in outcome.err
    assert list(bare.folder.iterdir()) == []


# What rests, and what waits


def test_relays_limits_and_what_waits_are_shown(room: Newsroom) -> None:
    room.configure(AWAY + 'limits = ["500/hour"]\n')
    change(
        room,
        "INSERT INTO throttle (kind, name, period_seconds, tokens, refilled_at, rests_until,"
        " rests, reason) VALUES ('provider', 'qq', 0, 0, '2020-01-01 00:00:00.000000',"
        " '2099-01-01 00:00:00.000000', 1, 'frequency limited')",
        HELD.format(1),
    )
    found = json_of(room, "sending")
    assert [(one["type"], one["to"], one["limits"]) for one in found["relays"]] == [
        ("smtp", "127.0.0.1:1", ["500/hour"])
    ]
    resting = [one for one in found["limits"] if one["rests_until"]]
    assert [(one["kind"], one["name"], one["reason"]) for one in resting] == [
        ("provider", "qq", "frequency limited")
    ]
    waiting = found["waiting"]
    assert (waiting["digests"], waiting["in_doubt"]) == ({"sending": 2}, {"held": 1})
    said = room.do("sending").out
    assert "provider qq: rests until 2099-01-01 00:00 UTC (frequency limited)\n" in said
    assert "Waiting: 2 mails of 1 edition sending.\n" in said
    assert "In doubt: 1 held. See feedsvc deliveries uncertain list\n" in said


def test_an_idle_service_says_that_nothing_waits(newsroom: Newsroom) -> None:
    assert newsroom.do("sending").out.splitlines()[-2:] == ["Nothing rests.", "No mail waits."]
