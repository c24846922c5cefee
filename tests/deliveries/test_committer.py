"""Marks and results reach the disk in groups, and a failed commit is never taken for either."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import pytest
from delivery_world import NOW, FakeRelay, World, only_postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from feedsvc.db.engine import Database
from feedsvc.db.journal import Script
from feedsvc.deliveries.claim import Claim, claim_batch
from feedsvc.deliveries.committer import Committer
from feedsvc.deliveries.outcomes import Policy, decide_outcome
from feedsvc.deliveries.workers import OwnWorker
from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import SendResult, Verdict
from feedsvc.model.subscriber import AddressState

pytestmark = pytest.mark.anyio
S = DeliveryState
CAROL = "carol@example.com"
T = TypeVar("T")


class FaultyDatabase(Database):
    """Fails so many commits, before or after they are on disk."""

    before = 0
    after = 0
    #: Scripts that were run, and what is done when one is.
    runs = 0
    at_commit: Callable[[], None] | None = None

    async def run(self, script: Script[T]) -> T:
        """As `write`, which it goes through on PostgreSQL."""
        if self.kind == "sqlite" and self.before:
            self.before -= 1
            raise DatabaseUnavailable("lost before the commit")
        result = await super().run(script)
        self.runs += 1
        if self.at_commit is not None:
            self.at_commit()
        if self.kind == "sqlite" and self.after:
            self.after -= 1
            raise DatabaseUnavailable("lost after the commit")
        return result

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        async with super().write() as session:
            yield session
            if self.before:
                self.before -= 1
                raise DatabaseUnavailable("lost before the commit")
        if self.after:
            self.after -= 1
            raise DatabaseUnavailable("lost after the commit")


class Bench:
    """A committer at work for one worker."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database = FaultyDatabase(world.database.url.render_as_string(hide_password=False))
        self.worker = OwnWorker(self.database, "test", 10, world.clock.monotonic)
        self.committer = Committer(self.database, self.worker, world.clock)

    async def claim(self) -> list[Claim]:
        async with self.database.write() as session:
            return (await claim_batch(session, self.worker.id, NOW, 100)).claims

    def record(self, claim: Claim, result: SendResult) -> None:
        policy = Policy(timedelta(minutes=5), "carry", "resend")
        outcome = decide_outcome(claim.facts, result, NOW, policy)
        self.committer.record(claim, outcome, result)


@pytest.fixture
async def bench(world: World) -> AsyncIterator[Bench]:
    bench = Bench(world)
    await bench.worker.register()
    running = asyncio.create_task(bench.committer.run())
    yield bench
    running.cancel()
    await bench.database.dispose()


ACCEPTED = SendResult(Verdict.ACCEPTED, 250, "2.0.0 ok")
REFUSED = SendResult(Verdict.REFUSED, 552, "5.2.2 full")


async def test_what_is_asked_together_is_committed_together(world: World, bench: Bench) -> None:
    await world.add(*(f"p{number}@example.com" for number in range(50)))
    claims = await bench.claim()
    answers = await asyncio.gather(*(bench.committer.ask_dot(one, NOW) for one in claims))
    assert answers == [True] * 50
    assert bench.database.runs == 1
    for one in claims:
        bench.record(one, ACCEPTED)
    await bench.committer.flush()
    assert bench.database.runs == 2
    assert await world.states() == {S.SENT: 50}


async def test_a_dot_is_on_disk_when_its_permit_is_given(world: World, bench: Bench) -> None:
    (delivery,) = await world.add(CAROL)
    (claim,) = await bench.claim()
    assert await bench.committer.ask_dot(claim, NOW)
    row = await world.row(delivery)
    assert (row.state, row.date_at, row.address) == (S.DOT, NOW, CAROL)


async def test_a_result_is_never_committed_after_the_next_dot(world: World, bench: Bench) -> None:
    await world.add("alice@example.com", CAROL)
    first, second = await bench.claim()
    assert await bench.committer.ask_dot(first, NOW)
    bench.record(first, ACCEPTED)
    assert await bench.committer.ask_dot(second, NOW)
    assert await world.states() == {S.SENT: 1, S.DOT: 1}


async def test_asking_twice_gives_one_permit(world: World, bench: Bench) -> None:
    await world.add(CAROL)
    (claim,) = await bench.claim()
    assert await bench.committer.ask_dot(claim, NOW)
    assert not await bench.committer.ask_dot(claim, NOW)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_dot_whose_commit_failed_is_not_written(
    world: World, bench: Bench, when: str
) -> None:
    await world.add(CAROL)
    (claim,) = await bench.claim()
    setattr(bench.database, when, 1)
    assert not await bench.committer.ask_dot(claim, NOW)
    bench.record(claim, SendResult(Verdict.WITHHELD))
    await bench.committer.flush()
    assert await world.states() == {S.PENDING: 1}
    assert bench.committer.problem is None


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_result_whose_commit_failed_is_written_once(
    world: World, bench: Bench, when: str
) -> None:
    await world.add("alice@example.com", CAROL)
    alice, carol = await bench.claim()
    await asyncio.gather(*(bench.committer.ask_dot(one, NOW) for one in (alice, carol)))
    setattr(bench.database, when, 2)
    bench.record(alice, ACCEPTED)
    bench.record(carol, REFUSED)
    with capture_logs() as logs:
        await bench.committer.flush()
    told = [log["event"] for log in logs if "commit" not in log["event"]]
    assert sorted(told) == ["deliveries sent", "delivery"]
    assert await world.states() == {S.SENT: 1, S.FAILED: 1}
    assert await world.cursor("alice@example.com") == 20
    person, _ = await world.person(CAROL)
    assert (person.state, person.failures) == (AddressState.FAILING, 1)


@only_postgresql
async def test_a_worker_that_could_not_beat_writes_no_dots(world: World, bench: Bench) -> None:
    await world.add(CAROL)
    (claim,) = await bench.claim()
    world.clock.monotonic_seconds += 5.1
    assert not await bench.committer.ask_dot(claim, NOW)
    assert await world.states() == {S.CLAIMED: 1}
    assert await bench.worker.beat()
    assert await bench.committer.ask_dot(claim, NOW)


@only_postgresql
async def test_a_worker_that_slept_through_its_commit_writes_no_dots(
    world: World, bench: Bench
) -> None:
    await world.add(CAROL)
    (claim,) = await bench.claim()

    def sleep() -> None:
        world.clock.monotonic_seconds += 20

    bench.database.at_commit = sleep
    assert not await bench.committer.ask_dot(claim, NOW)
    assert await world.states() == {S.DOT: 1}


async def test_hostile_replies_are_stored(world: World, bench: Bench) -> None:
    (delivery,) = await world.add(CAROL)
    (claim,) = await bench.claim()
    bench.record(
        claim, SendResult(Verdict.REFUSED, 550, "no\x00\x1b[2J \udcff 用户不存在" + "x" * 9999)
    )
    await bench.committer.flush()
    row = await world.row(delivery)
    assert row.state is S.FAILED
    assert (row.reply_text or "").startswith("no??[2J ? 用户不存在")


async def test_a_database_that_is_away_for_a_while_costs_nobody_their_mail(
    world: World, relay: FakeRelay
) -> None:
    faulty = FaultyDatabase(world.database.url.render_as_string(hide_password=False))
    people = [f"p{number}@example.com" for number in range(20)]
    await world.add(*people)
    sound, world.database = world.database, faulty

    async def fail(_recipient: str) -> None:
        if len(relay.taken) == 7:
            faulty.after = 2

    relay.after_permit = fail
    relay.connections = 2
    async with world.sender(relay) as sender:
        accepted = 0
        for _ in range(10):
            try:
                accepted += await sender.drain()
            except DatabaseUnavailable:
                continue
            world.clock.forward(seconds=10)
            await sender.worker.beat()
    world.database = sound
    assert sorted(relay.recipients()) == sorted(people)
    assert await world.states() == {S.SENT: 20}
    await faulty.dispose()
