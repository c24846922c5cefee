"""Limits and lessons in the database, shared by nodes and kept over a restart."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from feedsvc.config_relays import EmlFolderRelaySettings, WarmUpSettings
from feedsvc.config_sending import SendingSettings
from feedsvc.config_values import read_rate
from feedsvc.db.engine import Database
from feedsvc.deliveries.throttles import Throttles, Wish, prune
from feedsvc.model.relay import Meaning, SendResult, Verdict
from feedsvc.model.throttle import ThrottleKind

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
FINE = SendResult(Verdict.ACCEPTED, 250, "2.0.0 ok")
TOO_MUCH = SendResult(
    Verdict.DEFERRED,
    550,
    "Ip frequency limited 发信超限 <li@qq.com>",
    meaning=Meaning.THROTTLED,
)
RELAY, DOMAIN, PROVIDER = ThrottleKind.RELAY, ThrottleKind.DOMAIN, ThrottleKind.PROVIDER


def throttles(*limits: str, warm_up: WarmUpSettings | None = None, **sending: Any) -> Throttles:
    relay = EmlFolderRelaySettings(type="eml_folder", limits=list(limits), warm_up=warm_up)
    return Throttles({"out": relay}, SendingSettings(**sending))


def wishes(count: int, provider: str = "qq", first: int = 0, **changes: Any) -> list[Wish]:
    values = {"relay": "out", "domain": "example.com", "provider": provider} | changes
    return [Wish(first + one, **values) for one in range(count)]


@dataclass
class Node:
    """A process that sends: some mails in hand, some time passing, sometimes killed."""

    database: Database
    throttles: Throttles
    now: datetime = NOW
    in_hand: list[Wish] = field(default_factory=list)
    arrived: list[datetime] = field(default_factory=list)

    async def ask(self, asked: Sequence[Wish]) -> dict[int, datetime]:
        async with self.database.write() as session:
            later = await self.throttles.admit(session, asked, self.held(), self.now)
        self.in_hand += [wish for wish in asked if wish.id not in later]
        return later

    def held(self) -> Counter[tuple[ThrottleKind, str]]:
        keys: Counter[tuple[ThrottleKind, str]] = Counter()
        for wish in self.in_hand:
            keys.update([(RELAY, wish.relay), (DOMAIN, wish.domain), (PROVIDER, wish.provider)])
        return keys

    def hand_over(self, count: int = 10**6, result: SendResult = FINE) -> None:
        for wish in self.in_hand[:count]:
            self.arrived.append(self.now)
            self.throttles.note(wish, result, self.now)
        del self.in_hand[:count]

    async def give_back(self, count: int) -> None:
        async with self.database.write() as session:
            await self.throttles.give_back(session, self.in_hand[:count], self.now)
        del self.in_hand[:count]

    async def save(self) -> None:
        async with self.database.write() as session:
            await self.throttles.save(session, self.now)

    async def load(self) -> None:
        async with self.database.read() as session:
            await self.throttles.load(session)

    def wait(self, **by: float) -> None:
        self.now += timedelta(**by)


def most_in_a_window(arrived: Sequence[datetime], seconds: float) -> int:
    most = first = 0
    for last, at in enumerate(arrived):
        while arrived[first] < at - timedelta(seconds=seconds):
            first += 1
        most = max(most, last - first + 1)
    return most


async def test_no_limit_costs_nothing(database: Database) -> None:
    node = Node(database, throttles())
    assert node.throttles.is_free
    assert await node.ask(wishes(1000)) == {}
    async with database.read() as session:
        assert await node.throttles.load_states(session, NOW) == []


@pytest.mark.parametrize(
    "limits",
    [["10/second", "500/hour", "20000/day"], ["1/minute"], ["1/second", "3/minute"], ["2/hour"]],
    ids=", ".join,
)
async def test_limits_hold_over_kills_at_any_moment(database: Database, limits: list[str]) -> None:
    chance = random.Random(str(limits))
    periods = [read_rate(limit).seconds for limit in limits]
    node = Node(database, throttles(*limits))
    for step in range(300):
        match chance.randrange(6):
            case 0 | 1:
                await node.ask(wishes(chance.randrange(1, 30), first=100 * step))
            case 2 | 3:
                node.hand_over(chance.randrange(1, 10))
            case 4:
                node.wait(seconds=chance.choice(periods) * chance.choice([0.01, 0.2, 0.5, 1, 1]))
            case _ if chance.random() < 0.3:
                node.hand_over(chance.randrange(0, 10))
                node.in_hand.clear()
                node.throttles = throttles(*limits)
            case _:
                await node.give_back(1)
    assert len(node.arrived) >= 5
    for rate in map(read_rate, limits):
        assert most_in_a_window(node.arrived, rate.seconds) <= rate.count


async def test_what_is_rolled_back_has_taken_nothing(database: Database) -> None:
    node = Node(database, throttles("4/hour"))
    async with database.read() as session:  # which keeps nothing
        assert await node.throttles.admit(session, wishes(1), {}, NOW) == {}
    assert await node.ask(wishes(1)) == {}
    node.hand_over()
    assert set(await node.ask(wishes(1))) == {0}


async def test_a_mail_given_back_leaves_its_place_to_another(database: Database) -> None:
    node = Node(database, throttles("4/hour"))
    await node.ask(wishes(1))
    await node.give_back(1)
    assert await node.ask(wishes(1, first=5)) == {}
    node = Node(database, throttles("1/hour"), now=NOW + timedelta(days=1))
    await node.ask(wishes(1))
    await node.give_back(1)
    assert await node.ask(wishes(1, first=5)) == {}


async def test_nodes_share_a_limit(database: Database) -> None:
    one, two = (Node(database, throttles("60/minute")) for _ in range(2))
    assert len(await one.ask(wishes(10))) == 7
    one.hand_over()
    assert len(await two.ask(wishes(10))) == 10


async def test_nodes_that_ask_at_once_neither_wait_for_ever_nor_take_a_token_twice(
    database: Database,
) -> None:
    nodes = [Node(database, throttles("600/hour", provider_limits={"default": ["60/hour"]}))
             for _ in range(4)]  # fmt: skip
    providers = [f"firm{number}.cn" for number in range(8)]

    async def work(node: Node, seed: int) -> None:
        chance = random.Random(seed)
        for step in range(12):
            chance.shuffle(providers)
            asked = [
                Wish(100 * step + place, "out", "example.com", provider)
                for place, provider in enumerate(providers)
            ]
            await node.ask(asked)
            node.hand_over(result=TOO_MUCH if step == 9 else FINE)
            await node.save()

    await asyncio.gather(*(work(node, seed) for seed, node in enumerate(nodes)))
    assert 1 <= sum(len(node.arrived) for node in nodes) <= 2


async def test_each_provider_without_limits_of_its_own_has_the_default(database: Database) -> None:
    node = Node(
        database,
        throttles(provider_limits={"default": ["4/hour"], "gmail": ["1000/second"], "firm.cn": []}),
    )
    asked = [
        *wishes(3, "qq"),
        *wishes(3, "netease", first=10),
        *wishes(3, "gmail", first=20),
        *wishes(3, "firm.cn", first=30),
    ]
    assert set(await node.ask(asked)) == {1, 2, 11, 12}


async def test_a_domain_that_mail_is_from_has_a_limit(database: Database) -> None:
    node = Node(database, throttles(domain_limits={"example.com": ["4/hour"]}))
    asked = [*wishes(2), *wishes(2, first=10, domain="example.cn")]
    assert set(await node.ask(asked)) == {1}


async def test_a_warming_relay_sends_what_the_day_allows(database: Database) -> None:
    warm_up = WarmUpSettings(since=date(2026, 11, 22), first_day=10, growth=2.0, days=3)
    node = Node(database, throttles(warm_up=warm_up), now=NOW.replace(hour=0))
    sent = []
    for _ in range(4):
        for _ in range(72):
            await node.ask(wishes(20))
            node.hand_over()
            node.wait(minutes=20)
        sent.append(len(node.arrived) - sum(sent))
    assert 7 <= sent[0] <= 10
    assert 14 <= sent[1] <= 20
    assert 33 <= sent[2] <= 40
    assert sent[3] == 72 * 20


async def test_a_provider_that_says_too_much_rests_on_every_node_and_comes_back_by_itself(
    database: Database,
) -> None:
    one, two = (Node(database, throttles()) for _ in range(2))
    await one.ask(wishes(40))
    one.hand_over(30)
    one.wait(seconds=10)
    one.hand_over(result=TOO_MUCH)
    assert one.throttles.needs_saving
    await one.save()
    assert not one.throttles.needs_saving
    await two.load()
    assert not two.throttles.is_free
    two.now = one.now
    later = await two.ask([*wishes(3), *wishes(3, "gmail", first=10)])
    assert set(later) == {0, 1, 2}
    assert min(later.values()) >= one.now + timedelta(seconds=59)
    async with database.read() as session:
        (state,) = await two.throttles.load_states(session, two.now)
    assert (state.kind, state.name, state.limit) == (PROVIDER, "qq", None)
    assert state.reason == "550 Ip frequency limited 发信超限 …"
    assert state.rests_until == one.now + timedelta(minutes=1)
    # 31 mails in ten seconds were seen; it gets half of that.
    two.wait(minutes=1)
    assert len(await two.ask(wishes(20))) == 17
    assert state.learnt_per_second == pytest.approx(1.55)
    two.wait(hours=1)
    assert await two.ask(wishes(500)) == {}
    assert two.throttles.is_free


async def test_a_reply_is_believed_before_it_is_saved(database: Database) -> None:
    node = Node(database, throttles())
    node.throttles.note(wishes(1)[0], TOO_MUCH, NOW)
    assert set(await node.ask(wishes(1))) == {0}
    assert node.throttles.rests_until(wishes(1)[0], NOW) == NOW + timedelta(minutes=1)
    assert node.throttles.rests_until(wishes(1, "gmail")[0], NOW) is None


async def test_a_relay_that_says_too_much_to_all_providers_rests_itself(database: Database) -> None:
    node = Node(database, throttles())
    for number, provider in enumerate(["qq", "gmail", "netease"]):
        assert set(await node.ask(wishes(1, "firm.cn", first=number))) == set()
        node.throttles.note(wishes(1, provider)[0], TOO_MUCH, NOW)
    assert set(await node.ask(wishes(1, "firm.cn"))) == {0}
    assert await node.ask(wishes(1, "firm.cn", relay="other")) == {}


async def test_a_relay_that_refuses_the_session_as_too_much_rests(database: Database) -> None:
    node = Node(database, throttles())
    full = SendResult(Verdict.UNAVAILABLE, 421, "4.7.0 too many", meaning=Meaning.THROTTLED)
    node.throttles.note(wishes(1)[0], full, NOW)
    assert set(await node.ask(wishes(1, "gmail"))) == {0}


async def test_greylisting_slows_nobody_down(database: Database) -> None:
    node = Node(database, throttles())
    grey = SendResult(Verdict.DEFERRED, 451, "4.7.1 greylisted", meaning=Meaning.GREYLISTED)
    node.throttles.note(wishes(1)[0], grey, NOW)
    assert node.throttles.is_free
    assert not node.throttles.needs_saving


async def test_lessons_of_several_nodes_are_kept_side_by_side(database: Database) -> None:
    one, two = (Node(database, throttles()) for _ in range(2))
    one.throttles.note(wishes(1)[0], TOO_MUCH, NOW)
    two.throttles.rest(PROVIDER, "qq", NOW + timedelta(hours=1), "blocked: 5.7.1")
    two.throttles.rest(PROVIDER, "gmail", NOW + timedelta(hours=1), "blocked: 5.7.1")
    await two.save()
    await one.save()
    three = Node(database, throttles())
    await three.load()
    assert set(await three.ask([*wishes(1), *wishes(1, "gmail", first=1)])) == {0, 1}
    async with database.read() as session:
        states = await three.throttles.load_states(session, NOW)
    assert [state.name for state in states] == ["gmail", "qq"]
    assert [state.rests_until for state in states] == [NOW + timedelta(hours=1)] * 2
    assert [state.learnt_per_second for state in states] == [None, pytest.approx(0.5)]


async def test_a_longer_rest_of_another_node_is_found_when_a_mail_asks(database: Database) -> None:
    one, two = (Node(database, throttles()) for _ in range(2))
    one.throttles.rest(PROVIDER, "qq", NOW + timedelta(hours=1), "blocked: 5.7.1")
    await one.save()
    two.throttles.note(wishes(1)[0], TOO_MUCH, NOW)
    later = await two.ask(wishes(1))
    assert later[0] > NOW + timedelta(minutes=2)


async def test_a_lesson_whose_saving_failed_is_saved_the_next_time(database: Database) -> None:
    node = Node(database, throttles())
    node.throttles.note(wishes(1)[0], TOO_MUCH, NOW)
    async with database.read() as session:  # which keeps nothing
        await node.throttles.save(session, NOW)
    assert node.throttles.needs_saving
    await node.save()
    other = Node(database, throttles())
    await other.load()
    assert not other.throttles.is_free


async def test_what_is_learnt_while_a_lesson_is_written_is_written_too(database: Database) -> None:
    node = Node(database, throttles())
    node.throttles.note(wishes(1)[0], TOO_MUCH, NOW)
    async with database.write() as session:
        await node.throttles.save(session, NOW)
        node.throttles.rest(PROVIDER, "qq", NOW + timedelta(hours=5), "blocked")
    assert node.throttles.needs_saving
    await node.save()
    async with database.read() as session:
        (state,) = await node.throttles.load_states(session, NOW)
    assert state.rests_until == NOW + timedelta(hours=5)


async def test_a_clock_that_goes_back_stops_neither_limits_nor_lessons_for_long(
    database: Database,
) -> None:
    node = Node(database, throttles("60/minute"))
    node.throttles.rest(PROVIDER, "gmail", NOW + timedelta(minutes=5), "blocked")
    await node.save()
    await node.ask(wishes(10))
    node.hand_over()
    node.wait(days=-3)
    assert len(await node.ask([*wishes(9), *wishes(1, "gmail", first=9)])) == 10
    node.wait(minutes=5)
    assert await node.ask([*wishes(1), *wishes(1, "gmail", first=9)]) == {}


async def test_a_rest_from_before_the_clock_went_back_ends_for_the_next_process_too(
    database: Database,
) -> None:
    node = Node(database, throttles())
    node.throttles.rest(PROVIDER, "qq", NOW + timedelta(minutes=5), "blocked")
    await node.save()
    for _ in range(3):
        node = Node(database, throttles(), now=NOW - timedelta(days=3))
        await node.load()
        assert set(await node.ask(wishes(1))) == {0}
    node = Node(database, throttles(), now=NOW - timedelta(days=3) + timedelta(minutes=5))
    await node.load()
    assert await node.ask(wishes(1)) == {}


async def test_a_limit_of_one_waits_for_the_mail_before_it(database: Database) -> None:
    node = Node(database, throttles("1/minute"))
    await node.ask(wishes(1))
    node.wait(seconds=59)
    node.hand_over()
    node.wait(seconds=2)
    later = await node.ask(wishes(1))
    assert NOW + timedelta(seconds=119) < later[0] < NOW + timedelta(seconds=119.1)
    node.now = later[0]
    assert await node.ask(wishes(1)) == {}
    # Nobody knows when the mail of a process that is gone was handed over.
    node = Node(database, throttles("1/minute"), now=node.now + timedelta(seconds=61))
    later = await node.ask(wishes(1))
    assert later[0] > node.now + timedelta(minutes=1)
    node = Node(database, throttles("1/minute"), now=node.now + timedelta(hours=2))
    assert await node.ask(wishes(1)) == {}


async def test_what_says_nothing_any_more_is_pruned(database: Database) -> None:
    node = Node(database, throttles("2/hour", "60/minute"))
    await node.ask(wishes(1))
    node.hand_over(result=TOO_MUCH)
    node.throttles.rest(PROVIDER, "gmail", NOW + timedelta(days=7), "blocked")
    await node.save()
    async with database.write() as session:
        assert await prune(session, NOW + timedelta(minutes=50)) == 0
        assert await prune(session, NOW + timedelta(hours=3)) == 3
        assert await prune(session, NOW + timedelta(days=8)) == 1
    node.wait(days=9)
    assert len(await node.ask(wishes(2))) == 1


async def test_limits_are_shown_as_they_are_written(database: Database) -> None:
    node = Node(database, throttles("60/minute", provider_limits={"qq": ["500/hour"]}))
    await node.ask(wishes(1))
    async with database.read() as session:
        states = await node.throttles.load_states(session, NOW + timedelta(seconds=1))
        assert [(state.kind, state.name, state.limit) for state in states] == [
            (PROVIDER, "qq", "500/hour"),
            (RELAY, "out", "60/minute"),
        ]
        assert states[1].tokens == pytest.approx(2.9167, abs=0.001)
        assert await throttles().load_states(session, NOW) == []
