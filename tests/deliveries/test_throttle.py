"""Limits as buckets of tokens: the promise where the mail arrives, and places in line."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.config_relays import WarmUpSettings
from feedsvc.config_values import Rate, read_rate
from feedsvc.deliveries.throttle import (
    Bucket,
    Pace,
    Wish,
    choose_later,
    pace_of,
    paces_of,
    refill,
    warm_up_count,
)

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
RELAY = "smarthost"


@dataclass
class Node:
    """A sender under some limits, and the server that it hands its mails to."""

    limits: Sequence[str]
    now: datetime = NOW
    in_hand: int = 0
    arrived: list[datetime] = field(default_factory=list)
    paces: tuple[Pace, ...] = ()
    rows: dict[int, tuple[float, datetime]] = field(default_factory=dict)
    lines: dict[int, tuple[datetime, datetime]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.paces = paces_of(self.limits)
        self.rows = {pace.rate.seconds: (float(pace.burst), self.now) for pace in self.paces}

    def admit(self, ids: Sequence[int]) -> dict[int, datetime]:
        """Take tokens for as many as may go; when to ask again for the others."""
        buckets = {}
        for pace in self.paces:
            period = pace.rate.seconds
            tokens, at = refill(*self.rows[period], pace.burst, pace.per_second, self.now)
            self.rows[period] = (tokens, at)
            bucket = Bucket(tokens, pace.per_second, room=pace.in_hand - self.in_hand)
            head, line = self.lines.get(period, (self.now, self.now))
            bucket.head_seconds = (head - self.now).total_seconds()
            bucket.line_seconds = (line - self.now).total_seconds()
            buckets[period] = bucket
        wishes = [Wish(one, RELAY, "example.com", "qq") for one in ids]
        later = choose_later(wishes, {RELAY: tuple(buckets.values())}, {}, {}, self.now)
        for period, bucket in buckets.items():
            self.rows[period] = (bucket.tokens, self.rows[period][1])
            head = self.now + timedelta(seconds=bucket.head_seconds)
            self.lines[period] = (head, self.now + timedelta(seconds=bucket.line_seconds))
        self.in_hand += len(ids) - len(later)
        return later

    def hand_over(self, count: int) -> None:
        for _ in range(min(count, self.in_hand)):
            self.in_hand -= 1
            self.arrived.append(self.now)

    def give_back(self, count: int) -> None:
        given = min(count, self.in_hand)
        self.in_hand -= given
        for pace in self.paces:
            tokens, at = refill(
                *self.rows[pace.rate.seconds], pace.burst, pace.per_second, self.now
            )
            self.rows[pace.rate.seconds] = (min(tokens + given, pace.burst), at)

    def die(self, handed_over: int) -> None:
        """Be killed: some of what was in hand has gone, the rest is lost; rows and time stay."""
        self.hand_over(handed_over)
        self.in_hand = 0
        self.lines = {}


def most_in_a_window(arrived: Sequence[datetime], seconds: float) -> int:
    """The most arrivals in any window of that length, both ends included."""
    most = first = 0
    for last, at in enumerate(arrived):
        while arrived[first] < at - timedelta(seconds=seconds):
            first += 1
        most = max(most, last - first + 1)
    return most


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 40)),
    st.tuples(st.just("hand over"), st.integers(1, 40)),
    st.tuples(
        st.just("wait"), st.sampled_from([1e-6, 0.01, 0.2, 0.999999, 1.0, 7.3, 60.0, 3599.9])
    ),
    st.tuples(st.just("wait"), st.floats(0, 4000)),
    st.tuples(st.just("give back"), st.integers(1, 5)),
    st.tuples(st.just("die"), st.integers(0, 40)),
)
LIMITS = [
    ["10/second", "500/hour", "20000/day"],
    ["2/second"],
    ["3/minute", "2/second"],
    ["4/hour"],
    ["100/second", "40/minute"],
    ["25/minute", "7/second"],
]


@pytest.mark.parametrize("limits", LIMITS, ids=", ".join)
@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEPS, max_size=150))
def test_no_window_sees_more_than_its_limit(
    limits: list[str], steps: list[tuple[str, float]]
) -> None:
    node = Node(limits)
    for what, amount in steps:
        match what:
            case "ask":
                node.admit(range(int(amount)))
            case "hand over":
                node.hand_over(int(amount))
            case "give back":
                node.give_back(int(amount))
            case "die":
                node.die(int(amount))
            case _:
                node.now += timedelta(seconds=amount)
    for rate in map(read_rate, limits):
        assert most_in_a_window(node.arrived, rate.seconds) <= rate.count


@pytest.mark.parametrize("limit", ["2/second", "10/second", "60/minute", "4/hour", "500/hour"])
def test_the_worst_moment_for_mails_in_hand_keeps_the_limit_and_uses_nearly_all_of_it(
    limit: str,
) -> None:
    """All that is in hand is kept until the bucket is full again, and goes with what follows."""
    rate = read_rate(limit)
    node = Node([limit])
    some = range(node.paces[0].burst + 1)
    node.admit(some)
    node.now += timedelta(seconds=rate.seconds)
    node.hand_over(len(some))
    step = timedelta(seconds=rate.seconds / (50 * rate.count))
    for _ in range(75 * rate.count):
        node.admit(some)
        node.hand_over(len(some))
        node.now += step
    most = most_in_a_window(node.arrived, rate.seconds)
    assert rate.count - 1 <= most <= rate.count


@pytest.mark.parametrize(
    ("limit", "share"),
    [("10/second", 0.6), ("2/second", 0.4), ("60/minute", 0.85), ("500/hour", 0.97)],
)
def test_little_of_a_limit_is_lost_when_a_handover_takes_a_while(limit: str, share: float) -> None:
    """Mails ask when they are told to; the sender looks every tenth of a second."""
    rate = read_rate(limit)
    node = Node([limit])
    count = 3 * rate.count
    waiting = [(NOW, one) for one in range(count)]
    under_way: list[datetime] = []
    asked = 0
    handover = timedelta(seconds=0.15)
    while waiting or under_way:
        while under_way and under_way[0] <= node.now:
            under_way.pop(0)
            node.hand_over(1)
        due = []
        while waiting and waiting[0][0] <= node.now:
            due.append(heapq.heappop(waiting)[1])
        if due:
            asked += len(due)
            later = node.admit(due)
            under_way += [node.now + handover] * (len(due) - len(later))
            for one, at in later.items():
                heapq.heappush(waiting, (at, one))
        node.now += timedelta(seconds=0.1)
        assert node.now < NOW + timedelta(seconds=rate.seconds * 30)
    seconds = (node.arrived[-1] - node.arrived[0]).total_seconds()
    assert count / seconds >= share * rate.count / rate.seconds
    assert most_in_a_window(node.arrived, rate.seconds) <= rate.count
    assert asked <= 6 * count


def test_who_waits_far_back_is_not_asked_about_for_a_quarter_of_an_hour() -> None:
    node = Node(["500/hour"])
    later = node.admit(range(5000))
    waits = sorted((at - NOW).total_seconds() for at in later.values())
    # In line as far as half an hour goes, and the others spread over the second half of it.
    assert 0.1 <= waits[0] < 8
    assert all(900 <= wait <= 1800 for wait in waits[255:])
    assert waits[-1] == pytest.approx(1800, abs=1)
    fullest = most_in_a_window([NOW + timedelta(seconds=wait) for wait in waits], 9)
    assert fullest <= 1.2 * 5000 * 9 / 900


def test_what_is_put_off_later_stands_further_back() -> None:
    node = Node(["60/minute"])
    first, second = node.admit(range(50)), node.admit(range(50, 100))
    assert max(first.values()) < min(second.values())


def test_who_is_waited_for_does_not_stand_in_line() -> None:
    bucket = Bucket(0.0, 0.1, line_seconds=600, head_seconds=10)
    wishes = [Wish(1, "r", "d", "qq"), Wish(2, "r", "d", "qq", is_urgent=True)]
    later = choose_later(wishes, {}, {}, {"qq": (bucket,)}, NOW)
    assert later == {1: NOW + timedelta(seconds=600), 2: NOW + timedelta(seconds=10)}


def test_one_providers_limit_takes_nothing_from_the_others_behind_it() -> None:
    relay, slow = Bucket(2.0, 1.0), Bucket(0.0, 0.001)
    wishes = [Wish(one, "r", "d", "qq" if one < 50 else "gmail") for one in range(53)]
    later = choose_later(wishes, {"r": (relay,)}, {}, {"qq": (slow,)}, NOW)
    assert set(range(53)) - set(later) == {50, 51}
    # Nor do they stand in the relay's line: the next one's turn is the next token's.
    assert later[52] == NOW + timedelta(seconds=1)


def test_no_more_mails_are_taken_in_hand_than_there_is_room_for() -> None:
    bucket = Bucket(5.0, 1.0, room=2)
    wishes = [Wish(one, "r", "d", "qq") for one in range(4)]
    assert set(choose_later(wishes, {"r": (bucket,)}, {}, {}, NOW)) == {2, 3}


def test_a_mail_goes_only_under_all_of_its_limits() -> None:
    relay, domain, provider = Bucket(5.0, 1.0), Bucket(1.0, 1.0), Bucket(5.0, 1.0)
    wishes = [Wish(one, "r", "d", "qq") for one in range(3)]
    later = choose_later(wishes, {"r": (relay,)}, {"d": (domain,)}, {"qq": (provider,)}, NOW)
    assert set(later) == {1, 2}
    assert (relay.tokens, domain.tokens, provider.tokens) == (4, 0, 4)


def test_a_clock_that_jumps_forward_brings_one_bucket_and_one_that_jumps_back_none() -> None:
    pace = pace_of(Rate(500, 3600))
    rest = (pace.burst, pace.per_second)
    assert refill(0.0, NOW, *rest, NOW + timedelta(days=40)) == (
        pace.burst,
        NOW + timedelta(days=40),
    )
    back = NOW - timedelta(days=3)
    tokens, at = refill(1.0, NOW, *rest, back)
    assert (tokens, at) == (1.0, back)
    assert refill(tokens, at, *rest, back + timedelta(hours=1))[0] == pace.burst


def test_nodes_whose_clocks_differ_by_seconds_get_no_token_twice() -> None:
    tokens, at, got = 0.0, NOW, 0
    for step in range(100):
        now = NOW + timedelta(seconds=0.01 * step) - timedelta(seconds=5 * (step % 2))
        tokens, at = refill(tokens, at, 10, 1.0, now)
        got += int(tokens)
        tokens -= int(tokens)
    assert got <= 1


@pytest.mark.parametrize(
    ("day", "count"),
    [
        (date(2026, 10, 1), 200),
        (date(2026, 11, 20), 200),
        (date(2026, 11, 21), 300),
        (date(2026, 11, 23), 675),
        (date(2026, 12, 19), 25_566_807),
        (date(2026, 12, 20), None),
    ],
    ids=str,
)
def test_a_warming_relay_may_do_more_every_day(day: date, count: int | None) -> None:
    warm_up = WarmUpSettings(since=date(2026, 11, 20))
    assert warm_up_count(warm_up, day) == count


def test_a_warm_up_without_end_stays_a_number() -> None:
    warm_up = WarmUpSettings(since=date(2026, 1, 1), growth=10, days=365)
    assert warm_up_count(warm_up, date(2026, 12, 31)) == 999_999_999


def test_the_lowest_limit_of_a_period_holds() -> None:
    warm_up = WarmUpSettings(since=date(2026, 11, 22), first_day=50)
    paces = paces_of(["90/day", "3/second", "2/second"], warm_up, date(2026, 11, 22))
    assert [pace.text for pace in paces] == ["2/second", "50/day"]
    paces = paces_of(["90/day", "3/second", "2/second"], warm_up, date(2026, 11, 24))
    assert [pace.text for pace in paces] == ["2/second", "90/day"]


@given(count=st.integers(1, 999_999_999), seconds=st.sampled_from([1, 60, 3600, 86400]))
def test_every_limit_can_be_kept_and_lets_something_through(count: int, seconds: int) -> None:
    pace = pace_of(Rate(count, seconds))
    assert pace.per_second > 0
    assert pace.burst >= 1
    assert pace.in_hand >= 1
    if count > 1:
        assert int(pace.burst + pace.per_second * seconds) + pace.in_hand <= count
