"""Limits as they come out at the relay, and what is stopped when too much is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from delivery_world import NOW, FakeRelay, World, build, only_sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.config_sending import SendingSettings
from feedsvc.deliveries.sender import Route
from feedsvc.deliveries.throttles import Throttles
from feedsvc.editions.control import pause_edition, resume_edition
from feedsvc.errors import DatabaseUnavailable, MessageUnbuildable
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.relay import Meaning, SendResult, Verdict

pytestmark = pytest.mark.anyio
S = DeliveryState
DEAD = SendResult(
    Verdict.REFUSED, 550, "5.1.1 no such user", address_dead=True, meaning=Meaning.DEAD_ADDRESS
)
BLOCKED = SendResult(Verdict.BLOCKED, 550, "5.7.1 spam", meaning=Meaning.POLICY)


def people(count: int, domain: str = "example.com") -> list[str]:
    return [f"p{number}@{domain}" for number in range(count)]


def throttled(**limits: list[str]) -> dict[str, Any]:
    relays = {
        name: SmtpRelaySettings(type="smtp", host="127.0.0.1", limits=given)
        for name, given in limits.items()
    }
    return {"throttles": Throttles(relays, SendingSettings(look_up_providers=False))}


class Times:
    """When a relay was given its mails, in seconds."""

    def __init__(self, world: World, relay: FakeRelay) -> None:
        self.at: list[float] = []
        self.world, relay.after_permit = world, self.note

    async def note(self, _recipient: str) -> None:
        self.at.append((self.world.clock.now - NOW).total_seconds())

    def most_in(self, seconds: float) -> int:
        return max(sum(1 for one in self.at if at <= one <= at + seconds) for at in self.at)


@pytest.mark.parametrize(
    ("limit", "seconds", "most", "count", "at_most_seconds"),
    [
        # As much as the limit lets go, less what is kept back so that it always holds.
        ("10/second", 1, 10, 60, 60 / 7 + 2),
        ("60/minute", 60, 60, 75, 75 / 55 * 60 + 5),
    ],
)
@only_sqlite
async def test_a_limit_is_kept_and_nearly_used_up(
    world: World, limit: str, seconds: float, most: int, count: int, at_most_seconds: float
) -> None:
    relay = FakeRelay("slow")
    times = Times(world, relay)
    await world.add(*people(count))
    options = {**throttled(slow=[limit]), "wait": world.clock.wait}
    async with world.sender(relay, options=options) as sender:
        accepted = 0
        while accepted < count:
            accepted += await sender.drain()
            await world.clock.wait(asyncio.Event(), 1)  # until it is looked again
    assert times.most_in(seconds) <= most
    assert times.at[-1] <= at_most_seconds


@only_sqlite
async def test_a_drain_ends_when_the_next_mail_may_only_go_much_later(world: World) -> None:
    relay = FakeRelay("slow")
    await world.add(*people(10))
    options = {**throttled(slow=["60/hour"]), "wait": world.clock.wait}
    async with world.sender(relay, options=options) as sender:
        accepted, begun = await sender.drain(), world.clock.now
        assert 1 <= accepted <= 2
        assert world.clock.now - begun < timedelta(seconds=1)
        rows = [row for row in await world.rows() if row.state is S.PENDING]
        assert len({row.next_at for row in rows}) == len(rows)
        while (await world.states()).get(S.PENDING):
            world.clock.forward(seconds=20)
            accepted += await sender.drain()
    assert accepted == 10
    assert timedelta(minutes=8) < world.clock.now - NOW < timedelta(minutes=14)


@only_sqlite
async def test_a_limit_on_one_relay_leaves_the_other_its_own_pace(world: World) -> None:
    slow, fast = FakeRelay("slow"), FakeRelay("fast")
    await world.add(*people(100))
    options = throttled(slow=["2/minute"], fast=[])
    async with world.sender([Route(slow), Route(fast)], options=options) as sender:
        await sender.drain()
    assert len(slow.taken) == 1
    assert len(fast.taken) > 30
    assert len(slow.taken) + len(fast.taken) == (await world.states())[S.SENT]


async def spare_unsubscribed(world: World, _relay: FakeRelay) -> None:
    async def leave(recipient: str) -> None:
        if recipient == "p0@example.com":
            await world.unsubscribe(recipient)

    _relay.before_permit = leave


async def spare_unmade(world: World, _relay: FakeRelay) -> None:
    world.spoil = "p0@example.com"  # type: ignore[attr-defined]


@pytest.mark.parametrize("spare", [spare_unsubscribed, spare_unmade], ids=["withheld", "unmade"])
@only_sqlite
async def test_the_token_of_a_mail_that_did_not_go_is_for_the_next(
    world: World, spare: Callable[[World, FakeRelay], Awaitable[None]]
) -> None:
    relay = FakeRelay("slow")
    await world.add("p0@example.com")
    await world.add("p1@example.com", next_at=NOW + timedelta(seconds=1))
    await spare(world, relay)

    async def prepare(_: Any) -> Any:

        def make(claim: Any, date: datetime) -> Any:
            if claim.address == getattr(world, "spoil", None):
                raise MessageUnbuildable("no name")
            return build(claim, date)

        return make

    async with world.sender(relay, prepare, options=throttled(slow=["1/hour"])) as sender:
        assert await sender.drain() == 0
        world.clock.forward(seconds=2)
        assert await sender.drain() == 1
    assert relay.recipients() == ["p1@example.com"]


@only_sqlite
async def test_tokens_of_mail_that_a_stop_gave_back_are_there_for_the_next_drain(
    world: World,
) -> None:
    """The limit of a day is not used up by stopping and starting."""
    relay = FakeRelay("slow", connections=1)
    await world.add(*people(400))
    options = throttled(slow=["100000/day"])

    async with world.sender(relay, options=options) as sender:
        accepted = 0
        for _ in range(4):
            stop = asyncio.Event()

            async def halt(_recipient: str, stop: asyncio.Event = stop) -> None:
                stop.set()
                await asyncio.sleep(0)

            relay.after_permit = halt
            accepted += await sender.drain(stop)
        async with world.database.read() as session:
            states = await options["throttles"].load_states(session, world.clock.now)
        (tokens,) = [one.tokens for one in states]
        async with world.database.read() as session:
            throttles = throttled(slow=["100000/day"])["throttles"]
            (pace,) = throttles._limits.find("relay", "slow", NOW)
    assert accepted >= 4
    assert tokens == pytest.approx(pace.burst - accepted, abs=0.01)


@asynccontextmanager
async def breaking(world: World, relay: Any, **options: Any) -> AsyncIterator[Any]:
    """A sender whose breaker judges early, and pauses real editions."""
    breaker = {"at_least": 20, "pause_minutes": 30}
    given = {"pause_edition": pause_edition, **options}
    async with world.sender(relay, options=given, breaker=breaker) as sender:
        yield sender


async def edition(world: World, edition_id: int | None = None) -> Edition:
    async with world.database.read() as session:
        found = await session.get(Edition, edition_id or world.edition_id)
        assert found is not None
        return found


async def test_an_edition_to_dead_addresses_is_paused_and_its_queue_given_back(
    world: World,
) -> None:
    relay = FakeRelay(connections=2)
    await world.change(Edition, world.edition_id, frozen_at=NOW)
    await world.add(*people(300))
    for one in people(300):
        relay.answer(one, DEAD)
    other = await world.add_edition("other")
    good = await world.add("good@example.org", edition=other)
    notice = await world.add_notice("new@example.org")
    async with breaking(world, relay) as sender:
        assert await sender.drain() == 2
        stopped = await edition(world)
        assert stopped.state is EditionState.PAUSED
        assert "20 of the last 20 mails were refused" in (stopped.reason or "")
        states = await world.states()
        # Those that were on their way when it tripped come in still.
        assert 20 <= states[S.FAILED] <= 24
        assert states[S.PENDING] == 300 - states[S.FAILED]
        assert {(await world.row(one)).state for one in (*good, notice)} == {S.SENT}
        relay.answers.clear()
        async with world.database.write() as session:
            await resume_edition(session, world.edition_id)
        assert await sender.drain() == states[S.PENDING]


async def test_a_provider_that_refuses_us_is_left_alone_and_the_others_go_on(
    world: World,
) -> None:
    relay = FakeRelay(connections=2)
    await world.add(*people(100, "blocks.example"), *people(100, "takes.example"))
    for one in people(100, "blocks.example"):
        relay.answer(one, BLOCKED)
    async with breaking(world, relay) as sender:
        assert await sender.drain() == 100
        assert (await edition(world)).state is EditionState.SENDING
        waiting = [row for row in await world.rows() if row.state is S.PENDING]
        assert len(waiting) > 60
        assert min(row.next_at for row in waiting) >= NOW + timedelta(minutes=14)
        relay.answers.clear()
        world.clock.forward(minutes=31)
        accepted = await sender.drain()
        while (await world.states()).get(S.PENDING):
            world.clock.forward(minutes=10)
            accepted += await sender.drain()
        assert accepted == len(waiting)
    domains = Counter(one.partition("@")[2] for one in relay.recipients())
    assert domains["takes.example"] == 100


@only_sqlite
async def test_what_a_provider_said_is_known_to_the_next_process(world: World) -> None:
    relay = FakeRelay(connections=1)
    await world.add(*people(60, "blocks.example"))
    for one in people(60, "blocks.example"):
        relay.answer(one, BLOCKED)
    async with breaking(world, relay) as sender:
        await sender.drain()
    failed = (await world.states())[S.FAILED]
    await world.add("late@blocks.example")
    async with breaking(world, relay) as sender:
        assert await sender.drain() == 0
    assert await world.states() == {S.FAILED: failed, S.PENDING: 61 - failed}


@only_sqlite
async def test_a_pause_that_could_not_be_written_is_written_before_more_is_claimed(
    world: World,
) -> None:
    relay = FakeRelay(connections=2)
    await world.add(*people(300))
    for one in people(300):
        relay.answer(one, DEAD)
    refusals = [DatabaseUnavailable("away"), DatabaseUnavailable("still away")]

    async def pause(session: AsyncSession, edition_id: int, reason: str, now: datetime) -> bool:
        if refusals:
            raise refusals.pop()
        return await pause_edition(session, edition_id, reason, now)

    async with breaking(world, relay, pause_edition=pause) as sender:
        for _ in range(4):
            try:
                await sender.drain()
            except DatabaseUnavailable:
                continue
        assert refusals == []
        assert (await edition(world)).state is EditionState.PAUSED
        assert (await world.states())[S.FAILED] <= 24
