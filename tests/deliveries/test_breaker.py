"""When so many mails are refused that going on would do harm, the sending is stopped."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from delivery_world import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.config_sending import BreakerSettings
from feedsvc.deliveries.breaker import Breaker, Trip
from feedsvc.kit.replies import Phase, classify
from feedsvc.model.relay import SendResult, Verdict

TAKEN = classify(Phase.DOT, 250, "2.0.0 Ok: queued")
DEAD = classify(Phase.RCPT, 550, "5.1.1 <carol@example.com>: User unknown")
NO_DOMAIN = classify(Phase.RCPT, 550, "5.1.2 <carol@example.com>: Host unknown")
NOT_PLAIN = classify(Phase.RCPT, 550, "42")
BLOCKED = classify(Phase.DOT, 554, "5.7.1 <news@example.com> 192.0.2.1 blocked using a block list")
SAY_NOTHING = {
    "deferred": classify(Phase.RCPT, 451, "4.3.0 later"),
    "throttled": classify(Phase.RCPT, 550, "Ip frequency limited"),
    "throttled for now": classify(Phase.DOT, 421, "4.7.28 unusual rate"),
    "greylisted": classify(Phase.RCPT, 450, "4.2.0 Greylisted"),
    "full": classify(Phase.RCPT, 552, "5.2.2 mailbox full"),
    "full for now": classify(Phase.RCPT, 452, "4.2.2 mailbox full"),
    "no reply": SendResult(Verdict.UNKNOWN),
    "withheld": SendResult(Verdict.WITHHELD),
    "relay away": SendResult(Verdict.UNAVAILABLE, 421, "closing"),
    "not offered": SendResult(Verdict.BLOCKED, text="the relay does not offer SMTPUTF8"),
}
#: By default: an edition is judged from 50 mails on, a provider from 10.
DEFAULT = BreakerSettings()


def _note(
    breaker: Breaker,
    results: Iterable[tuple[str, SendResult]],
    edition: int | None = 1,
    now: datetime = NOW,
) -> list[Trip]:
    trips = (breaker.note(edition, provider, result, now) for provider, result in results)
    return [trip for trip in trips if trip]


def _spread(result: SendResult, count: int) -> list[tuple[str, SendResult]]:
    """As many mails to as many providers."""
    return [(f"domain{number}.example", result) for number in range(count)]


def test_an_old_list_stops_its_edition() -> None:
    breaker = Breaker(DEFAULT)
    assert not _note(breaker, [*_spread(TAKEN, 48), *_spread(DEAD, 8)])
    (trip,) = _note(breaker, _spread(DEAD, 1)[:1])
    assert (trip.edition_id, trip.provider, trip.until) == (1, None, None)
    assert trip.reason.startswith(
        "9 of the last 57 mails were refused because their addresses do not exist: the list may"
    )
    assert "resume or cancel" in trip.reason
    assert "550 5.1.1" in trip.reason
    assert "@" not in trip.reason


@pytest.mark.parametrize("result", [DEAD, NO_DOMAIN, NOT_PLAIN], ids=["dead", "domain", "unclear"])
def test_too_few_mails_are_not_judged(result: SendResult) -> None:
    breaker = Breaker(DEFAULT)
    assert not _note(breaker, _spread(result, 49))
    (trip,) = _note(breaker, _spread(TAKEN, 1))
    assert trip.edition_id == 1


def test_refusals_nobody_understands_stop_an_edition_and_say_so() -> None:
    (trip,) = _note(Breaker(DEFAULT), _spread(NOT_PLAIN, 50))
    assert "not plain" in trip.reason
    assert "550 42" in trip.reason


def test_dead_domains_and_dead_addresses_count_together() -> None:
    mixed = [*_spread(TAKEN, 42), *_spread(DEAD, 4), *_spread(NO_DOMAIN, 3), *_spread(NOT_PLAIN, 1)]
    (trip,) = _note(Breaker(DEFAULT), mixed)
    assert "8 of the last 50 mails" in trip.reason


def test_a_provider_that_blocks_us_is_left_alone_and_the_edition_goes_on() -> None:
    breaker = Breaker(DEFAULT)
    assert not _note(breaker, [("qq", BLOCKED)] * 9)
    (trip,) = _note(breaker, [("qq", BLOCKED)])
    assert (trip.edition_id, trip.provider) == (None, "qq")
    assert trip.until == NOW + timedelta(minutes=60)
    assert trip.reason.startswith("10 of the last 10 mails to qq were refused because of us")
    assert "554 5.7.1 … 192.0.2.1 blocked using a block list" in trip.reason
    assert "ask to be removed" in trip.reason
    # What was on its way, and all that goes elsewhere.
    assert not _note(breaker, [("qq", BLOCKED)] * 30)
    assert not _note(breaker, [("gmail", TAKEN)] * 500)


def test_a_provider_that_goes_on_blocking_is_left_alone_again() -> None:
    breaker = Breaker(DEFAULT)
    (trip,) = _note(breaker, [("qq", BLOCKED)] * 10)
    assert trip.until is not None
    assert not _note(breaker, [("qq", BLOCKED)] * 9, now=trip.until)
    (again,) = _note(breaker, [("qq", BLOCKED)], now=trip.until)
    assert again.until == trip.until + timedelta(minutes=60)


def test_a_person_who_blocks_us_is_not_their_provider() -> None:
    assert not _note(Breaker(DEFAULT), [*[("qq", TAKEN)] * 8, *[("qq", BLOCKED)] * 2])


def test_blocks_everywhere_stop_the_edition() -> None:
    breaker = Breaker(DEFAULT)
    assert not _note(breaker, _spread(BLOCKED, 49))
    (trip,) = _note(breaker, [("another.example", BLOCKED)])
    assert trip.edition_id == 1
    assert "50 of the last 50 mails were refused because of us, by several providers" in trip.reason


def test_one_bad_provider_stops_no_edition_before_it_is_found_out() -> None:
    """Nine of nine to it, of fifty in all, is a large share, and still one provider's affair."""
    breaker = Breaker(DEFAULT)
    assert not _note(breaker, [("qq", BLOCKED)] * 9)
    assert not _note(breaker, _spread(TAKEN, 60))


def test_two_bad_providers_stop_no_edition_for_the_others() -> None:
    breaker = Breaker(DEFAULT)
    one_of_each = [("qq", BLOCKED), ("netease", BLOCKED), ("gmail", TAKEN), ("sina", TAKEN)]
    trips = _note(breaker, one_of_each * 200)
    assert {trip.provider for trip in trips} == {"qq", "netease"}


def test_after_a_trip_and_after_a_resume_counting_begins_anew() -> None:
    breaker = Breaker(DEFAULT)
    assert len(_note(breaker, _spread(DEAD, 50))) == 1
    assert not _note(breaker, _spread(DEAD, 49))
    breaker.forget(1)
    assert not _note(breaker, _spread(DEAD, 49))
    assert len(_note(breaker, _spread(DEAD, 1))) == 1


def test_editions_are_judged_apart_and_notices_not_at_all() -> None:
    breaker = Breaker(DEFAULT)
    assert not _note(breaker, _spread(DEAD, 49), edition=1)
    assert not _note(breaker, _spread(DEAD, 49), edition=2)
    assert not _note(breaker, _spread(DEAD, 500), edition=None)
    (trip,) = _note(breaker, [("qq", BLOCKED)] * 10, edition=None)
    assert trip.provider == "qq"


def test_what_was_long_ago_is_forgotten() -> None:
    breaker = Breaker(DEFAULT)
    later = NOW + timedelta(hours=7)
    assert not _note(breaker, _spread(DEAD, 49))
    assert not _note(breaker, [("qq", BLOCKED)] * 9, edition=None)
    assert not _note(breaker, _spread(DEAD, 1), now=later)
    assert not _note(breaker, [("qq", BLOCKED)], edition=None, now=later)


def test_a_list_that_goes_bad_late_is_noticed() -> None:
    breaker = Breaker(DEFAULT)
    assert not _note(breaker, _spread(TAKEN, 20_000))
    trips = _note(breaker, _spread(DEAD, 75))
    assert [trip.edition_id for trip in trips] == [1]


@pytest.mark.parametrize("result", SAY_NOTHING.values(), ids=SAY_NOTHING.keys())
def test_what_says_nothing_about_list_or_sender_never_trips(result: SendResult) -> None:
    assert not _note(Breaker(DEFAULT), [("qq", result)] * 2000)


@pytest.mark.parametrize("result", SAY_NOTHING.values(), ids=SAY_NOTHING.keys())
def test_what_says_nothing_hides_no_refusal(result: SendResult) -> None:
    breaker = Breaker(DEFAULT)
    (trip,) = _note(breaker, [*[("a.example", result)] * 1000, *_spread(DEAD, 50)])
    assert "50 of the last 50" in trip.reason


def test_memory_is_bounded() -> None:
    breaker = Breaker(DEFAULT)
    for number in range(5000):
        breaker.note(number, f"domain{number}.example", DEAD, NOW)
    assert len(breaker._editions) <= 64
    assert len(breaker._providers) <= 2000
    _note(breaker, [("qq", TAKEN)] * 5000, edition=7)
    assert len(breaker._editions[7].mails) == 500
    assert len(breaker._providers["qq"].mails) == 100


def test_a_mail_that_is_taken_costs_next_to_nothing() -> None:
    breaker, taken = Breaker(DEFAULT), []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(5_000):
            breaker.note(1, "qq", TAKEN, NOW)
        taken.append((time.process_time() - begun) / 5_000)
    # Two millionths of a second at rest; the rest is for slower machines.
    assert min(taken) < 10e-6


results = st.sampled_from([TAKEN, TAKEN, TAKEN, DEAD, NO_DOMAIN, NOT_PLAIN])
quiet = st.sampled_from(sorted(SAY_NOTHING))


@given(
    st.lists(results | quiet, max_size=120),
    st.integers(1, 40),
    st.floats(0.01, 1, allow_nan=False),
)
@settings(max_examples=200, deadline=None)
def test_a_trip_comes_when_the_share_is_reached_and_not_before(
    history: list[SendResult | str], at_least: int, share: float
) -> None:
    """As one who counts since the start would have it, as long as that is within the span."""
    breaker = Breaker(BreakerSettings(at_least=at_least, refused_share=share))
    mails = refused = 0
    for number, one in enumerate(history):
        result = SAY_NOTHING[one] if isinstance(one, str) else one
        trip = breaker.note(1, f"domain{number}.example", result, NOW)
        if isinstance(one, str):
            assert trip is None
            continue
        mails, refused = mails + 1, refused + (result is not TAKEN)
        if mails > at_least * 10:
            break
        is_due = mails >= at_least and refused > 0 and refused >= mails * share
        assert (trip is not None) == is_due
        if trip:
            mails = refused = 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=150),
    st.integers(1, 60),
    st.floats(0.01, 1, allow_nan=False),
)
@settings(max_examples=200, deadline=None)
def test_a_provider_is_left_alone_when_its_share_is_reached_and_once(
    history: list[tuple[str, bool]], at_least: int, share: float
) -> None:
    breaker = Breaker(BreakerSettings(at_least=at_least, blocked_share=share))
    seen: dict[str, list[bool]] = {}
    resting: set[str] = set()
    for name, is_blocked in history:
        trip = breaker.note(None, name, BLOCKED if is_blocked else TAKEN, NOW)
        mails = seen.setdefault(name, [])
        mails.append(is_blocked)
        if name in resting:
            assert trip is None
            continue
        few = max(1, at_least // 5)
        recent = mails[-2 * at_least :]
        is_due = (
            len(recent) >= few and sum(recent) >= min(3, few) and sum(recent) >= len(recent) * share
        )
        assert (trip is not None) == is_due
        if trip:
            resting.add(name)
