"""What the hub does next, what answers mean, and when it tries again."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from feedsvc.feeds.hub.delivery import (
    Outcome,
    Step,
    choose_step,
    delivery_headers,
    denial_url,
    is_confirmed,
    next_delivery_at,
    read_outcome,
    verification_url,
)
from feedsvc.model.hub import HubState

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LATER, BEFORE = NOW + timedelta(days=1), NOW - timedelta(seconds=1)
FAILED = Outcome(ok=False, reply="answered 500")


@pytest.mark.parametrize(
    ("state", "asked", "owed", "has_topic", "lease_until", "step"),
    [
        (HubState.VERIFYING, True, False, True, None, Step.VERIFY),
        (HubState.VERIFYING, True, False, False, None, Step.END),
        (HubState.VERIFYING, False, False, True, None, Step.END),
        (HubState.ACTIVE, True, True, True, LATER, Step.VERIFY),
        (HubState.ACTIVE, True, True, True, BEFORE, Step.VERIFY),
        (HubState.ACTIVE, False, True, True, LATER, Step.DELIVER),
        (HubState.ACTIVE, False, True, True, BEFORE, Step.END),
        (HubState.ACTIVE, False, True, True, NOW, Step.END),
        (HubState.ACTIVE, False, False, True, LATER, Step.WAIT),
        (HubState.ACTIVE, True, True, False, LATER, Step.DENY),
        (HubState.ENDED, True, True, True, LATER, Step.FORGET),
    ],
)
def test_what_comes_next(
    state: HubState,
    asked: bool,
    owed: bool,
    has_topic: bool,
    lease_until: datetime | None,
    step: Step,
) -> None:
    chosen = choose_step(
        state, asked=asked, owed=owed, has_topic=has_topic, lease_until=lease_until, now=NOW
    )
    assert chosen is step


@pytest.mark.parametrize(
    ("callback", "start"),
    [
        ("https://r.example/c", "https://r.example/c?hub.mode="),
        ("https://r.example/c?", "https://r.example/c?hub.mode="),
        ("https://r.example/c?a=b", "https://r.example/c?a=b&hub.mode="),
        ("https://r.example/c?a=b&", "https://r.example/c?a=b&hub.mode="),
        ("https://r.example", "https://r.example?hub.mode="),
    ],
)
def test_what_a_callback_has_stays_and_the_question_is_added(callback: str, start: str) -> None:
    topic = "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80/rss.xml"
    url = verification_url(callback, "subscribe", topic, "c&c", 600)
    assert url.startswith(start)
    assert url.endswith("&hub.challenge=c%26c&hub.lease_seconds=600")
    assert "lease" not in verification_url(callback, "unsubscribe", topic, "c", 600)
    assert denial_url(callback, topic).startswith(f"{start}denied&hub.topic=https%3A%2F%2Fnews")


@pytest.mark.parametrize(
    ("status", "body", "confirmed"),
    [
        (200, b"abc", True),
        (299, b"abc", True),
        (200, b"abc\n", False),
        (200, b"ABC", False),
        (200, b"", False),
        (404, b"abc", False),
        (302, b"abc", False),
    ],
)
def test_only_the_challenge_itself_confirms(status: int, body: bytes, confirmed: bool) -> None:
    assert is_confirmed(status, body, "abc") is confirmed


@pytest.mark.parametrize(
    ("status", "ok", "gone"),
    [(200, True, False), (204, True, False), (410, False, True), (404, False, False)]
    + [(status, False, False) for status in (301, 307, 308, 400, 429, 500, 503)],
)
def test_what_an_answer_means(status: int, ok: bool, gone: bool) -> None:
    outcome = read_outcome(status, None, NOW)
    assert (outcome.ok, outcome.gone, outcome.retry_after) == (ok, gone, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 22 Nov 2026 00:01:00 GMT", 60),
        ("Sun, 22 Nov 2020 00:01:00 GMT", 0),
        ("9" * 40, 86400),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: int | None) -> None:
    outcome = read_outcome(503, text, NOW)
    assert outcome.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_waits_grow_for_about_a_day_and_then_end() -> None:
    at, attempt, waits = NOW, 0, []
    while True:
        attempt += 1
        again = next_delivery_at(attempt, FAILED, at)
        if again is None:
            break
        waits.append(again - at)
        at = again
    assert waits[:4] == [timedelta(minutes=one) for one in (1, 5, 15, 60)]
    assert waits == sorted(waits)
    assert timedelta(hours=20) < at - NOW < timedelta(hours=24)


def test_what_was_asked_for_is_heeded_within_reason() -> None:
    def wait(attempt: int, asked: timedelta) -> timedelta:
        outcome = Outcome(ok=False, reply="", retry_after=asked)
        again = next_delivery_at(attempt, outcome, NOW)
        assert again is not None
        return again - NOW

    assert wait(1, timedelta(minutes=30)) == timedelta(minutes=30)
    assert wait(4, timedelta(minutes=30)) == timedelta(hours=1)
    assert wait(1, timedelta(days=9)) == timedelta(hours=6)


def test_what_may_not_be_asked_is_not_asked_again() -> None:
    assert next_delivery_at(1, Outcome(ok=False, reply="", refused=True), NOW) is None


def test_a_signature_is_that_of_the_bytes_sent() -> None:
    body = "<rss>新闻</rss>".encode()
    headers = delivery_headers("application/rss+xml", "https://h", "https://t", body, "钥匙")
    expected = hmac.new("钥匙".encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature"] == f"sha256={expected}"
    assert headers["Link"] == '<https://h>; rel="hub", <https://t>; rel="self"'
    assert "X-Hub-Signature" not in delivery_headers("a/b", "https://h", "https://t", body, None)
