"""A drain ends: when it is told to, when it is cut off, and when the database is away; and what
was claimed has then left its hands, each mail once.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from delivery_world import Clock, FakeRelay, World, build, only_sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from feedsvc.db.engine import Database
from feedsvc.db.journal import Script
from feedsvc.deliveries import sender as sender_module
from feedsvc.deliveries.route import Route
from feedsvc.errors import DatabaseUnavailable, MessageUnbuildable, RelayUnavailable
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.relay import Meaning, SendResult, Verdict

pytestmark = pytest.mark.anyio
S = DeliveryState
T = TypeVar("T")


def people(count: int) -> list[str]:
    return [f"p{number}@example.com" for number in range(count)]


class AwayDatabase(Database):
    """Away whenever it is told to be, for whatever wants to write."""

    is_away = False
    #: Only for marks and results.
    is_away_for_scripts = False

    async def run(self, script: Script[T]) -> T:
        if self.is_away or self.is_away_for_scripts:
            raise DatabaseUnavailable("away")
        return await super().run(script)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        if self.is_away:
            raise DatabaseUnavailable("away")
        async with super().write() as session:
            yield session


@pytest.fixture
async def away(world: World) -> AsyncIterator[AwayDatabase]:
    """The world's database, from now on."""
    sound = world.database
    database = AwayDatabase(sound.url.render_as_string(hide_password=False))
    world.database = database
    yield database
    world.database = sound
    await database.dispose()


@only_sqlite
async def test_a_stop_does_not_wait_for_a_connection_that_is_being_opened(
    world: World, relay: FakeRelay
) -> None:
    await world.add(*people(3))
    stop, given_up = asyncio.Event(), asyncio.Event()

    async def never() -> None:
        asyncio.get_running_loop().call_soon(stop.set)
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    relay.before_open = never
    async with world.sender(relay) as sender:
        assert await asyncio.wait_for(sender.drain(stop), 5) == 0
        assert given_up.is_set()
        assert sender.paused_until is None
        relay.before_open = None
        stop.clear()
        assert await sender.drain(stop) == 3


@only_sqlite
async def test_a_stop_does_not_wait_for_a_further_connection(
    world: World, relay: FakeRelay
) -> None:
    await world.add(*people(20))
    stop, reached = asyncio.Event(), asyncio.Event()

    async def only_once() -> None:
        if relay.opened:
            reached.set()
            await asyncio.Event().wait()

    async def stop_then(_recipient: str) -> None:
        if len(relay.taken) >= 3:
            await reached.wait()
            stop.set()
            await asyncio.sleep(0)

    relay.before_open, relay.after_permit = only_once, stop_then
    async with world.sender(relay) as sender:
        accepted = await asyncio.wait_for(sender.drain(stop), 5)
    assert await world.states() == {S.SENT: accepted, S.PENDING: 20 - accepted}


@only_sqlite
async def test_a_stop_does_not_wait_for_a_database_that_is_away(
    world: World, relay: FakeRelay, away: AwayDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_PATIENCE_SECONDS", 0.1)
    await world.add(*people(4))
    stop, fallen = asyncio.Event(), asyncio.Event()

    async def fall(_recipient: str) -> None:
        away.is_away = True
        fallen.set()

    relay.connections, relay.after_permit = 1, fall
    async with world.sender(relay) as sender:
        draining = asyncio.create_task(sender.drain(stop))
        await fallen.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        stop.set()
        assert await asyncio.wait_for(draining, 10) == 1
        away.is_away = False
        relay.after_permit = None
        stop.clear()
        world.clock.forward(minutes=1)
        await sender.worker.beat()
        monkeypatch.undo()  # the next try to write may be some seconds off
        assert await asyncio.wait_for(sender.drain(stop), 10) == 3
    assert await world.states() == {S.SENT: 4}
    assert sorted(relay.recipients()) == people(4)


@only_sqlite
async def test_results_that_cannot_be_written_hold_the_claims_and_are_written_later(
    world: World, relay: FakeRelay, away: AwayDatabase
) -> None:
    relay.connections = 1
    await world.add(*people(150))

    async def fall(_recipient: str) -> None:
        if len(relay.taken) == 20:
            away.is_away_for_scripts = True
            asyncio.get_running_loop().call_later(0.2, come_back)

    def come_back() -> None:
        away.is_away_for_scripts = False

    relay.after_permit = fall
    async with world.sender(relay) as sender:
        assert await asyncio.wait_for(sender.drain(), 20) == 150
    assert await world.states() == {S.SENT: 150}
    assert sorted(relay.recipients()) == sorted(people(150))


@only_sqlite
async def test_a_drain_that_is_cut_off_again_and_again_leaves_nobody_at_work(
    world: World, relay: FakeRelay
) -> None:
    relay.connections = 3
    await world.add(*people(30))
    inside, at_work = asyncio.Event(), 0

    async def stubborn(_recipient: str) -> None:
        """Takes a while to notice that it is to end."""
        nonlocal at_work
        if len(relay.taken) < 3:
            return
        at_work += 1
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            try:
                for _ in range(30):
                    await asyncio.sleep(0)
            finally:
                at_work -= 1

    relay.after_permit = stubborn
    async with world.sender(relay) as sender:
        draining = asyncio.create_task(sender.drain())
        await inside.wait()
        for _ in range(5):
            draining.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await draining
        assert at_work == 0
        relay.after_permit = None
        await sender.drain()
    states = await world.states()
    assert states.keys() == {S.SENT, S.UNCERTAIN}
    assert states[S.UNCERTAIN] <= 3
    assert max(Counter(relay.recipients()).values()) == 1


@only_sqlite
async def test_what_is_asked_after_a_drain_was_cut_off_is_not_gathered_for(
    world: World, relay: FakeRelay
) -> None:
    """Marks of which no result will ever come are not waited for."""
    relay.connections = 2
    await world.add(*people(10))
    inside = asyncio.Event()

    async def hang(_recipient: str) -> None:
        inside.set()
        await asyncio.Event().wait()

    relay.after_permit = hang
    async with world.sender(relay) as sender:
        draining = asyncio.create_task(sender.drain())
        await inside.wait()
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        relay.after_permit = None
        await sender.drain()
        committer: Any = sender._means.committer
        assert committer._out == 0


@only_sqlite
async def test_what_was_being_made_when_a_drain_was_cut_off_is_no_work_of_the_next(
    world: World, relay: FakeRelay
) -> None:
    await world.add(*people(40))
    making, made = threading.Event(), threading.Event()

    async def prepare(_: Any) -> Any:
        def make(claim: Any, date: Any) -> Any:
            making.set()
            assert made.wait(10)
            return build(claim, date)

        return make

    async with world.sender(relay, prepare) as sender:
        draining = asyncio.create_task(sender.drain())
        await asyncio.to_thread(making.wait, 10)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        assert sender.relay_states()[0].queued == 0
        made.set()
        with capture_logs() as logs:
            assert await asyncio.wait_for(sender.drain(), 20) == 40
    assert await world.states() == {S.SENT: 40}
    assert "delivery was no longer ours" not in {entry["event"] for entry in logs}


@only_sqlite
async def test_a_connection_that_opens_as_its_drain_is_cut_off_is_closed_in_the_end(
    world: World, relay: FakeRelay
) -> None:
    await world.add(*people(3))
    draining: asyncio.Task[int]

    async def cut() -> None:
        await asyncio.sleep(0)
        # It is told when it is done with what it does now, which is to give the connection.
        asyncio.get_running_loop().call_soon(draining.cancel)

    relay.before_open = cut
    async with world.sender(relay) as sender:
        draining = asyncio.create_task(sender.drain())
        with pytest.raises(asyncio.CancelledError):
            await draining
        relay.before_open = None
        assert await sender.drain() == 3
    assert relay.opened == relay.closed
    assert sender.relay_states()[0].connections == 0


@only_sqlite
async def test_a_drain_after_the_end_does_nothing(world: World, relay: FakeRelay) -> None:
    await world.add(*people(2))
    async with world.sender(relay) as sender:
        await sender.close()
        assert await sender.drain() == 0
        await sender.start()
        assert await sender.drain() == 2


@only_sqlite
async def test_mail_that_comes_back_while_nothing_else_is_due_is_sent_by_the_same_drain(
    world: World,
) -> None:
    first, second = FakeRelay("first", connections=1), FakeRelay("second", connections=1)
    await world.add(*people(8))

    async def fall(recipient: str) -> None:
        first.open_problem = "connection refused"
        first.answer(recipient, SendResult(Verdict.UNAVAILABLE, 421, "closing"))

    first.before_permit = fall
    async with world.sender([Route(first, rank=1), Route(second, rank=2)]) as sender:
        assert await sender.drain() == 7
    assert await world.states() == {S.SENT: 7, S.PENDING: 1}


class Chaos:
    """Does one thing or another, by a seed; counts what was taken."""

    results = (
        SendResult(Verdict.DEFERRED, 451, "4.7.1 greylisted", meaning=Meaning.GREYLISTED),
        SendResult(Verdict.REFUSED, 550, "5.1.1 nobody", address_dead=True),
        SendResult(Verdict.BLOCKED, 550, "5.7.1 spam", meaning=Meaning.POLICY),
        SendResult(Verdict.UNAVAILABLE, 421, "4.3.2 closing"),
        SendResult(Verdict.UNKNOWN, None, "no reply to the final dot"),
    )

    def __init__(self, seed: int, clock: Clock, relays: list[FakeRelay]) -> None:
        self.random, self.clock = random.Random(seed), clock
        for relay in relays:
            relay.before_open = self.open
            relay.before_permit = self.trouble(relay)
            relay.after_permit = self.dawdle

    async def open(self) -> None:
        await self.dawdle("")
        if self.random.random() < 0.3:
            raise RelayUnavailable("chaos", "not now", self.random.choice([421, None]))

    async def dawdle(self, _recipient: str) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        if self.random.random() < 0.02:
            raise OSError("chaos")

    def trouble(self, relay: FakeRelay) -> Any:
        async def before(recipient: str) -> None:
            self.clock.forward(seconds=self.random.random() / 20)
            if self.random.random() < 0.25:
                relay.answers[recipient] = [self.random.choice(self.results)]
            await self.dawdle(recipient)

        return before


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_every_mail_ends_once_and_nothing_stays_in_hand(
    world: World, seed: int
) -> None:
    relays = [FakeRelay("one", connections=3), FakeRelay("two", connections=2)]
    Chaos(seed, world.clock, relays)
    await world.add(*people(150), expires_at=world.clock.now + timedelta(days=9))
    routes = [Route(relays[0], weight=2, first_connections=1), Route(relays[1], idle_seconds=5)]

    async def prepare(_: Any) -> Any:
        def make(claim: Any, date: Any) -> Any:
            if claim.id % 50 == 7:
                raise MessageUnbuildable("no name")
            return build(claim, date)

        return make

    breaker = {"at_least": 1_000_000}
    async with world.sender(routes, prepare, breaker=breaker) as sender:
        for number in range(200):
            stop = asyncio.Event()
            draining = asyncio.create_task(sender.drain(stop))
            if number % 4 == 1:
                asyncio.get_running_loop().call_later(0.01, stop.set)
            elif number % 4 == 3:
                asyncio.get_running_loop().call_later(0.01, draining.cancel)
            await asyncio.wait_for(asyncio.wait([draining]), 20)
            if not draining.cancelled():
                draining.result()
                in_hand = [row for row in await world.rows() if row.worker]
                assert in_hand == []
            world.clock.forward(minutes=7)
            await sender.worker.beat()
            if not {S.PENDING, S.DEFERRED, S.CLAIMED, S.DOT} & (await world.states()).keys():
                break
    states = await world.states()
    assert not {S.PENDING, S.DEFERRED, S.CLAIMED, S.DOT} & states.keys()
    taken = Counter(relays[0].recipients() + relays[1].recipients())
    assert max(taken.values()) == 1
    rows = await world.rows()
    sent = {row.id for row in rows if row.state is S.SENT}
    doubtful = {row.id for row in rows if row.state is S.UNCERTAIN}
    assert sent <= {int(one[1:].partition("@")[0]) + 1 for one in taken} <= sent | doubtful
    assert sum(state.state is S.FAILED for state in rows) >= 3
    assert opened_and_closed(relays)


def opened_and_closed(relays: list[FakeRelay]) -> bool:
    return all(relay.opened == relay.closed for relay in relays)


@only_sqlite
async def test_a_row_whose_person_was_erased_while_it_was_claimed_ends_too(
    world: World, relay: FakeRelay
) -> None:
    ids = await world.add(*people(3))

    async def erase(recipient: str) -> None:
        if recipient == "p1@example.com":
            async with world.database.write() as session:
                await session.delete(await session.get(Delivery, ids[1]))

    relay.before_permit = erase
    async with world.sender(relay) as sender:
        assert await asyncio.wait_for(sender.drain(), 10) == 2
    assert sorted(relay.recipients()) == ["p0@example.com", "p2@example.com"]
