"""`subscribers`, `rehearse` and `send`: who would get what, and sending it once."""

import shutil
from collections.abc import Sequence
from email import message_from_bytes, policy

import pytest
from command_line import CONFIG, Newsroom, Starter


def add(newsroom: Newsroom, name: str, *more: str) -> str:
    """Subscribe somebody at the command line; what it says."""
    return newsroom.do("subscribers", "add", f"{name}@example.com", "-n", "daily", *more).out


def states(newsroom: Newsroom) -> dict[str, str]:
    listed = newsroom.do("subscribers", "list", "--json").json["subscriptions"]
    return {one["address"]: one["state"] for one in listed}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Newsroom:
    """Alice and 李雷 are subscribed, Bob has not confirmed, and there is one article for them."""
    newsroom = Newsroom(tmp_path_factory.mktemp("example"), starter)
    newsroom.configure()
    (newsroom.folder / "articles").mkdir()
    newsroom.do("ingest")
    add(newsroom, "alice", "--confirmed")
    add(newsroom, "li.lei", "--name", "李雷", "--language", "zh", "--confirmed")
    add(newsroom, "bob")
    newsroom.publish("night.md", "夜市回来了")
    return newsroom


@pytest.fixture
def audience(bare: Newsroom, example: Newsroom) -> Newsroom:
    """A copy of the example, to do things to."""
    shutil.copytree(example.folder, bare.folder, dirs_exist_ok=True)
    return bare


# Subscribers


def test_who_is_added_waits_for_their_own_confirmation(newsroom: Newsroom) -> None:
    assert "asked to confirm" in add(newsroom, "bob")
    assert states(newsroom) == {"bob@example.com": "pending"}
    assert newsroom.rows("SELECT count(*) FROM notice") == [(1,)]


def test_who_is_vouched_for_is_subscribed_at_once_and_the_reason_is_kept(
    newsroom: Newsroom,
) -> None:
    assert add(newsroom, "alice", "--confirmed").startswith("Subscribed to daily, yearly.")
    assert states(newsroom) == {"alice@example.com": "active"}
    assert newsroom.rows("SELECT count(*) FROM notice") == [(0,)]
    evidence = "\n".join(line for line in newsroom.dump() if "subscription_change" in line)
    assert "The operator states that this person agreed" in evidence


@pytest.mark.parametrize("more", [(), ("--confirmed",)], ids=["asked", "vouched for"])
def test_nobody_is_added_twice(newsroom: Newsroom, more: Sequence[str]) -> None:
    add(newsroom, "bob", *more)
    assert "othing was changed" in add(newsroom, "bob", *more)
    assert len(states(newsroom)) == 1
    assert newsroom.rows("SELECT count(*) FROM notice") == [(0 if more else 1,)]


def test_vouching_for_somebody_who_was_asked_makes_them_a_subscriber(newsroom: Newsroom) -> None:
    add(newsroom, "bob")
    add(newsroom, "bob", "--confirmed")
    assert states(newsroom) == {"bob@example.com": "active"}


def test_the_list_has_counts_and_subscriptions(audience: Newsroom) -> None:
    listed = audience.do("subscribers", "list", "--newsletter", "daily", "--json").json
    assert listed.keys() == {"counts", "subscriptions"}
    assert listed["counts"] == {"pending": 1, "active": 2, "paused": 0, "unsubscribed": 0}
    assert all(
        one.keys()
        == {
            "id",
            "address",
            "address_state",
            "name",
            "newsletter",
            "schedule",
            "state",
            "requested_at",
            "confirmed_at",
        }
        for one in listed["subscriptions"]
    )
    pending = audience.do("subscribers", "list", "--state", "pending", "--json").json
    assert [one["address"] for one in pending["subscriptions"]] == ["bob@example.com"]
    rest = audience.do("subscribers", "list", "--limit", "1", "--after", "1", "--json").json
    assert [one["id"] for one in rest["subscriptions"]] == [2]


def test_the_list_for_people_has_one_line_a_subscription(audience: Newsroom) -> None:
    long = "a-rather-long-name.of-somebody.who-reads-everything"
    add(audience, long, "--name", "一个名字很长很长很长很长很长很长的人", "--confirmed")
    lines = audience.do("subscribers", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["1", "2", "3", "4"]
    assert "李雷" in lines[2]
    assert f"{long}@example.com" in lines[4]
    assert lines[-1] == "1 pending, 3 active"
    assert newsletterless(audience).startswith("Nobody yet.")


def newsletterless(newsroom: Newsroom) -> str:
    return newsroom.do("subscribers", "list", "--state", "paused").out


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("subscribers", "add", "a@example.com", "-n", "weekly"), "newsletter"),
        (("subscribers", "list", "-n", "weekly"), "newsletter"),
        (("rehearse", "weekly"), "newsletter"),
        (("send", "weekly"), "newsletter"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_newsletter_that_does_not_exist_is_answered_with_those_there_are(
    newsroom: Newsroom, command: tuple[str, ...], answer: str
) -> None:
    outcome = newsroom.run(*command)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"feedsvc: no {answer} is named 'weekly' (there are: daily)\n"


def test_a_schedule_that_does_not_exist_is_answered_with_those_there_are(
    newsroom: Newsroom,
) -> None:
    outcome = newsroom.run("subscribers", "add", "a@example.com", "-n", "daily", "-s", "hourly")
    assert outcome.code == 1
    assert outcome.err == "feedsvc: daily has no schedule 'hourly' (there are: yearly)\n"
    assert states(newsroom) == {}


@pytest.mark.parametrize("address", ["", "nobody", "a@@example.com", "a b@example.com"])
def test_what_is_no_address_is_refused(bare: Newsroom, address: str) -> None:
    bare.configure()
    outcome = bare.run("subscribers", "add", address, "-n", "daily")
    assert outcome.code == 1
    assert outcome.err.startswith("feedsvc: ")
    assert not (bare.folder / "data").exists()


def test_a_state_that_does_not_exist_is_answered_with_those_there_are(newsroom: Newsroom) -> None:
    outcome = newsroom.run("subscribers", "list", "--state", "asleep")
    assert outcome.code == 2
    assert "'asleep'" in outcome.err
    for state in ("pending", "active", "paused", "unsubscribed"):
        assert state in outcome.err


# Rehearsals


def test_a_rehearsal_tells_who_would_get_what_and_why_not_the_others(audience: Newsroom) -> None:
    (rehearsal,) = audience.do("rehearse", "daily", "--json").json
    assert rehearsal.keys() == {
        "newsletter",
        "schedule",
        "next_due_at",
        "edition",
        "edition_state",
        "before",
        "cut_seq",
        "readers",
        "waves",
        "cohorts",
        "articles",
        "left_out",
    }
    assert (rehearsal["newsletter"], rehearsal["schedule"]) == ("daily", "yearly")
    assert rehearsal["readers"] == 2
    assert [(one["title"], one["mailed_to"]) for one in rehearsal["articles"]] == [
        ("夜市回来了", 2)
    ]
    assert rehearsal["left_out"] == {"not confirmed": 1}
    said = audience.do("rehearse", "daily").out
    assert "would go to 2 subscribers as 2 different mails\n" in said
    assert "夜市回来了  (to 2)\n" in said
    assert "  not to 1: not confirmed\n" in said


def test_a_rehearsal_changes_nothing(audience: Newsroom) -> None:
    before = audience.dump()
    audience.do("rehearse", "daily")
    audience.do("rehearse", "daily", "--at", "2100-01-01", "--show", "html", "--output", "mails")
    assert audience.dump() == before
    assert audience.mails() == []


def test_a_rehearsal_after_sending_says_that_nothing_is_new(audience: Newsroom) -> None:
    audience.do("send", "daily")
    (rehearsal,) = audience.do("rehearse", "daily", "--json").json
    assert (rehearsal["readers"], rehearsal["articles"]) == (0, [])
    assert rehearsal["left_out"] == {"not confirmed": 1, "nothing new since their last mail": 2}


# Sending


def test_sending_twice_sends_once(audience: Newsroom) -> None:
    report = audience.do("send", "daily", "--json").json
    assert report.keys() == {
        "edition",
        "state",
        "reason",
        "deliveries",
        "left_out",
        "relay_problem",
    }
    assert (report["state"], report["deliveries"]) == ("done", {"sent": 2})
    assert report["left_out"] == {"not confirmed": 1}
    digests = [mail for mail in audience.mails() if is_digest(mail.read_bytes())]
    assert len(digests) == 2

    again = audience.do("send", "daily", "--json").json
    assert (again["state"], again["deliveries"]) == ("skipped", {})
    assert again["reason"].startswith("nothing to send: ")
    assert [mail for mail in audience.mails() if is_digest(mail.read_bytes())] == digests


def is_digest(mail: bytes) -> bool:
    return "夜市回来了" in str(message_from_bytes(mail, policy=policy.default)["Subject"])


def test_sending_says_in_words_what_became_of_it(audience: Newsroom) -> None:
    said = audience.do("send", "daily").out.splitlines()
    assert said == ["edition 1: done", "  2 sent", "  not to 1: not confirmed"]
    again = audience.do("send", "daily").out.splitlines()
    assert again[0] == "edition 2: skipped"
    assert again[1].startswith("  nothing to send: ")


def test_a_relay_that_is_away_is_said_and_the_mail_waits(audience: Newsroom) -> None:
    audience.configure(
        CONFIG + '[relay]\ntype = "smtp"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\n'
    )
    outcome = audience.run("send", "daily")
    assert "edition 1: sending" in outcome.out
    assert "What is pending goes out while feedsvc serves." in outcome.err
    audience.configure()
    audience.do("send", "daily")
    assert len([mail for mail in audience.mails() if is_digest(mail.read_bytes())]) == 2
