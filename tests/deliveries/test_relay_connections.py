"""How many connections a relay is asked to bear, and what becomes of mail when one goes wrong."""

import asyncio
from typing import Any

import pytest
from delivery_world import FakeConnection, FakeRelay, World, only_postgresql, only_sqlite
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from feedsvc.deliveries.concurrency import Concurrency
from feedsvc.deliveries.route import Route
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import Envelope, Meaning, Permit, SendResult, Verdict

pytestmark = pytest.mark.anyio
S = DeliveryState
TOO_MUCH = SendResult(Verdict.UNAVAILABLE, 421, "4.7.0 too many connections")
THROTTLED = SendResult(Verdict.DEFERRED, 451, "4.7.1 slow down", meaning=Meaning.THROTTLED)
GONE = SendResult(Verdict.UNAVAILABLE, None, "connection lost")


def people(count: int) -> list[str]:
    return [f"p{number}@example.com" for number in range(count)]


def test_connections_grow_with_what_is_taken() -> None:
    concurrency = Concurrency(2, 5)
    grown = []
    for _ in range(100):
        concurrency.note_accepted(0.0)
        grown.append(concurrency.allowed)
    assert (grown[8], grown[9], grown[23], grown[24]) == (2, 3, 3, 4)
    assert grown[-1] == 5


def test_connections_are_halved_once_for_what_is_refused_together() -> None:
    concurrency = Concurrency(16, 16)
    for _ in range(9):
        concurrency.note_throttled(100.0)
    assert concurrency.allowed == 8
    for _ in range(500):
        concurrency.note_accepted(159.0)
    assert concurrency.allowed == 8
    concurrency.note_accepted(160.0)
    assert concurrency.allowed == 9
    for _ in range(500):
        concurrency.note_accepted(161.0)
    assert concurrency.allowed == 9


@given(
    first=st.integers(0, 40),
    most=st.integers(1, 30),
    noted=st.lists(st.tuples(st.booleans(), st.floats(0, 200)), max_size=80),
)
def test_connections_are_never_none_and_never_too_many(
    first: int, most: int, noted: list[tuple[bool, float]]
) -> None:
    concurrency, now = Concurrency(first, most), 0.0
    for is_taken, later in noted:
        now += later
        (concurrency.note_accepted if is_taken else concurrency.note_throttled)(now)
        assert 1 <= concurrency.allowed <= most


class Crowd:
    """Counts how many are with a relay at once."""

    def __init__(self, relay: FakeRelay) -> None:
        self.inside = self.most = 0
        self.relay = relay
        relay.before_permit, relay.after_permit = self.enter, self.leave

    async def enter(self, _recipient: str) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)

    async def leave(self, _recipient: str) -> None:
        await asyncio.sleep(0)
        self.inside -= 1


@only_sqlite
async def test_a_relay_begins_with_few_connections_and_gets_more(world: World) -> None:
    relay = FakeRelay(connections=8)
    crowd = Crowd(relay)
    await world.add(*people(300))
    async with world.sender([Route(relay, first_connections=2)]) as sender:
        assert sender.relay_states()[0].allowed == 2
        assert await sender.drain() == 300
        assert sender.relay_states()[0].allowed == 8
    assert 3 <= crowd.most <= 8


@pytest.mark.parametrize("answer", [TOO_MUCH, THROTTLED], ids=["421", "451"])
@only_sqlite
async def test_too_much_halves_the_connections_and_the_rest_is_sent(
    world: World, answer: SendResult
) -> None:
    relay = FakeRelay(connections=8)
    await world.add(*people(200))
    relay.answer("p20@example.com", answer)
    async with world.sender(relay) as sender:
        accepted = await sender.drain()
        assert sender.relay_states()[0].allowed == 4
        crowd = Crowd(relay)
        await world.add(*(f"later-{one}" for one in people(50)))
        world.clock.forward(seconds=2)
        accepted += await sender.drain()
        assert crowd.most <= 4
        for _ in range(20):
            world.clock.forward(minutes=5)
            accepted += await sender.drain()
    assert accepted == 250


@only_sqlite
async def test_a_relay_that_refuses_further_connections_is_served_by_those_it_took(
    world: World,
) -> None:
    relay = FakeRelay(connections=6)
    await world.add(*people(60))

    async def refuse() -> None:
        if relay.opened:
            relay.open_problem, relay.open_code = "too many connections", 421

    relay.before_open = refuse
    async with world.sender(relay) as sender:
        assert await asyncio.wait_for(sender.drain(), 20) == 60
        assert sender.relay_states()[0].allowed < 6
        assert sender.paused_until is None
    assert relay.opened == 1


class OddRelay(FakeRelay):
    """Its connections do to a recipient's mail what they are told."""

    def __init__(self, odd: str, how: Any, **options: Any) -> None:
        super().__init__(**options)
        self.odd, self.how = odd, how

    async def open(self) -> FakeConnection:
        await super().open()
        return OddConnection(self)


class OddConnection(FakeConnection):
    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        relay = self.relay
        assert isinstance(relay, OddRelay)
        if envelope.recipient == relay.odd:
            result: SendResult = await relay.how(permit)
            return result
        return await super().send(envelope, message, permit)


async def impatient(permit: Permit) -> SendResult:
    """Gives the question for the permit up, and is surprised that it was."""
    asked = asyncio.ensure_future(permit())
    asked.cancel()
    await asked
    raise AssertionError("it was cancelled")


async def timed_out(permit: Permit) -> SendResult:
    asked = asyncio.ensure_future(permit())
    await asyncio.sleep(0)
    asked.cancel()
    raise TimeoutError("permit")


async def gone_while_asking(permit: Permit) -> SendResult:
    """Asks, and answers before it has heard."""
    asyncio.ensure_future(permit())  # noqa: RUF006
    return GONE


@pytest.mark.parametrize(
    "how", [impatient, timed_out, gone_while_asking], ids=lambda how: how.__name__
)
async def test_a_relay_that_gives_its_question_for_the_permit_up_has_sent_nothing(
    world: World, how: Any
) -> None:
    relay = OddRelay("p5@example.com", how, connections=2)
    await world.add(*people(12))
    async with world.sender(relay) as sender:
        accepted = await asyncio.wait_for(sender.drain(), 20)
        assert accepted == 11
        assert (await world.states()) == {S.SENT: 11, S.PENDING: 1}
        relay.odd = ""
        world.clock.forward(seconds=2)
        assert await asyncio.wait_for(sender.drain(), 20) == 1
    assert sorted(relay.recipients()) == sorted(people(12))


@only_sqlite
async def test_what_others_have_on_the_wire_is_finished_when_one_worker_fails(
    world: World,
) -> None:
    begun, failed = asyncio.Event(), asyncio.Event()

    async def nonsense(permit: Permit) -> Any:
        await permit()
        await begun.wait()
        failed.set()
        return "250 OK"  # is no answer

    relay = OddRelay("p1@example.com", nonsense, connections=2)

    async def dawdle(_recipient: str) -> None:
        begun.set()
        await failed.wait()
        for _ in range(20):
            await asyncio.sleep(0)

    await world.add(*people(1))
    async with world.sender(relay) as sender:
        assert await sender.drain() == 1  # proven: both connections work from the start
        relay.after_permit = dawdle
        _, slow, *_ = await world.add("p1@example.com", "slow@example.com", "other@example.com")
        with capture_logs() as logs:
            with pytest.raises(AttributeError):
                await sender.drain()
            relay.after_permit, relay.odd = None, ""
            await sender.drain()
    assert (await world.row(slow)).state is S.SENT
    assert "known repeat" not in {entry["event"] for entry in logs}
    states = await world.states()
    assert states == {S.SENT: 3, S.UNCERTAIN: 1}


@only_sqlite
async def test_a_worker_that_waits_after_a_failure_does_not_hold_up_the_lane(
    world: World,
) -> None:
    """Its pause may be minutes; the relay's is a second, and over before."""
    relay = FakeRelay(connections=2)
    await world.add(*people(40))
    waits: list[float] = []

    async def wait(event: asyncio.Event, seconds: float) -> bool:
        waits.append(seconds)
        await asyncio.wait_for(event.wait(), 10)  # only the end of the lane ends it
        return True

    async def fall(recipient: str) -> None:
        if len(relay.taken) >= 10:
            relay.answer(recipient, GONE)

    relay.before_permit = fall
    async with world.sender(relay, options={"wait": wait}) as sender:
        accepted = await asyncio.wait_for(sender.drain(), 5)
        assert 10 <= accepted <= 11


@only_postgresql
async def test_a_worker_taken_for_dead_does_not_bother_the_relay(world: World) -> None:
    relay = FakeRelay(connections=1)
    await world.add(*people(50))
    asked = 0

    async def stall(_recipient: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            world.clock.forward(seconds=6)

    relay.before_permit = stall
    async with world.sender(relay) as sender:
        accepted = await sender.drain()
        accepted += await sender.drain()
    assert accepted == 50
    assert sorted(relay.recipients()) == sorted(people(50))
    assert asked <= 52


@only_sqlite
async def test_notices_overtake_the_digests_that_are_queued(world: World) -> None:
    relay = FakeRelay(connections=1)
    await world.add(*people(90))
    added = False

    async def ask(_recipient: str) -> None:
        nonlocal added
        if len(relay.taken) == 30 and not added:
            added = True
            await world.add_notice("first@example.com")
            await world.add_notice("second@example.com")

    relay.after_permit = ask
    async with world.sender(relay) as sender:
        assert await sender.drain() == 92
    places = [relay.recipients().index(f"{one}@example.com") for one in ("first", "second")]
    # Not behind those that were claimed with them, only behind what was being handed over.
    assert max(places) < 75
    assert relay.recipients()[-1] in people(90)
