"""Several relays: who carries what, and who stands in when one of them is down."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from delivery_world import NOW, FakeRelay, World, only_sqlite

from feedsvc.deliveries.route import Route, choose_route
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import SendResult, Verdict

pytestmark = pytest.mark.anyio
S = DeliveryState
GONE = SendResult(Verdict.UNAVAILABLE, None, "connection lost")


def people(count: int) -> list[str]:
    return [f"p{number}@example.com" for number in range(count)]


def test_mail_is_shared_by_weight_and_the_same_mail_goes_the_same_way() -> None:
    routes = [Route(FakeRelay("a"), weight=3), Route(FakeRelay("b"), weight=1)]
    chosen = [choose_route(routes, {"a", "b"}, (), number) for number in range(4000)]
    shares = Counter(route.relay.name for route in chosen if route)
    assert 2800 < shares["a"] < 3200
    assert chosen == [choose_route(routes, {"a", "b"}, (), number) for number in range(4000)]


def test_the_lowest_rank_that_is_up_and_may_carry_it_is_chosen() -> None:
    routes = [Route(FakeRelay("a"), rank=1), Route(FakeRelay("b"), rank=2), Route(FakeRelay("c"))]

    def choose(up: set[str], carriers: tuple[str, ...] = ()) -> set[str]:
        found = [choose_route(routes, up, carriers, number) for number in range(50)]
        return {route.relay.name for route in found if route}

    assert choose({"a", "b", "c"}) == {"a", "c"}
    assert choose({"b", "c"}) == {"c"}
    assert choose({"b"}) == {"b"}
    assert choose({"a", "b", "c"}, ("b",)) == {"b"}
    assert choose({"a", "c"}, ("b",)) == set()
    assert choose(set()) == set()


@only_sqlite
async def test_the_second_rank_works_while_the_first_is_down_and_no_longer(world: World) -> None:
    first, second = FakeRelay("first"), FakeRelay("second")
    routes = [Route(first, rank=1), Route(second, rank=2)]
    await world.add(*people(30))
    first.open_problem = "connection refused"
    async with world.sender(routes) as sender:
        assert await sender.drain() == 30
        assert (len(first.taken), len(second.taken)) == (0, 30)
        first.open_problem = None
        world.clock.forward(seconds=2)
        await world.add(*(f"later-{one}" for one in people(30)))
        assert await sender.drain() == 30
        assert (len(first.taken), len(second.taken)) == (30, 30)


@only_sqlite
async def test_the_first_rank_is_waited_for_when_it_is_slower_to_open(world: World) -> None:
    first, second = FakeRelay("first"), FakeRelay("second")
    asked = asyncio.Event()

    async def tell() -> None:
        asked.set()

    async def dawdle() -> None:
        await asked.wait()
        await asyncio.sleep(0.02)

    first.before_open, second.before_open = dawdle, tell
    await world.add(*people(10))
    async with world.sender([Route(second, rank=2), Route(first, rank=1)]) as sender:
        assert await sender.drain() == 10
    assert (len(first.taken), len(second.taken)) == (10, 0)


@only_sqlite
async def test_a_relay_that_falls_in_the_middle_leaves_its_mail_to_the_other(world: World) -> None:
    first, second = FakeRelay("first", connections=2), FakeRelay("second", connections=2)
    everybody = people(60)
    await world.add(*everybody)

    async def fall(_recipient: str) -> None:
        if len(first.taken) >= 10:
            first.open_problem = "connection refused"
            for one in everybody:
                first.answers[one] = [GONE]

    first.before_permit = fall
    async with world.sender([Route(first, rank=1), Route(second, rank=2)]) as sender:
        accepted = await sender.drain()
        # Those that were on the wire when it fell wait a moment.
        assert 58 <= accepted <= 60
        world.clock.forward(seconds=2)
        accepted += await sender.drain()
    assert accepted == 60
    assert sorted(first.recipients() + second.recipients()) == sorted(everybody)
    assert len(second.taken) >= 40


@only_sqlite
async def test_a_relay_comes_back_in_the_middle_of_a_drain(world: World) -> None:
    """Without the drain having to end: another relay keeps it going."""
    first, second = FakeRelay("first", connections=1), FakeRelay("second", connections=1)
    await world.add(*people(400))
    first.open_problem = "connection refused"

    async def rise(_recipient: str) -> None:
        if len(second.taken) == 20:
            first.open_problem = None
            world.clock.forward(seconds=2)

    second.after_permit = rise
    async with world.sender([Route(first, rank=1), Route(second, rank=2)]) as sender:
        assert await sender.drain() == 400
    assert len(first.taken) >= 100
    assert sorted(first.recipients() + second.recipients()) == sorted(people(400))


@only_sqlite
async def test_a_relay_that_falls_again_and_again_loses_nothing(world: World) -> None:
    first, second = FakeRelay("first", connections=2), FakeRelay("second", connections=2)
    await world.add(*people(300))
    first_mails = 0

    async def flap(recipient: str) -> None:
        nonlocal first_mails
        first_mails += 1
        world.clock.forward(seconds=0.05)
        if first_mails % 7 < 2:
            first.answer(recipient, GONE)

    first.before_permit = flap
    async with world.sender([Route(first), Route(second)]) as sender:
        accepted = 0
        for _ in range(40):
            accepted += await sender.drain()
            world.clock.forward(seconds=3)
            await sender.worker.beat()
    assert accepted == 300
    assert sorted(first.recipients() + second.recipients()) == sorted(people(300))
    assert await world.states() == {S.SENT: 300}


@only_sqlite
async def test_only_its_own_newsletter_waits_for_a_relay_that_is_down(world: World) -> None:
    own, other = FakeRelay("own"), FakeRelay("other")
    own.open_problem = "connection refused"
    await world.add(*people(5))
    notice = await world.add_notice("new@example.com")
    routes = [Route(own), Route(other)]
    async with world.sender(routes, options={"carriers": {"news": ["own"]}}) as sender:
        assert await sender.drain() == 1
        assert (await world.row(notice)).state is S.SENT
        rows = [row for row in await world.rows() if row.id != notice]
        assert {row.state for row in rows} == {S.PENDING}
        assert {(row.attempt, row.next_at) for row in rows} == {(0, NOW + timedelta(seconds=5))}
        own.open_problem = None
        world.clock.forward(seconds=5)
        assert await sender.drain() == 5
    assert (len(own.taken), len(other.taken)) == (5, 1)


@only_sqlite
async def test_mail_that_only_a_paused_relay_carries_is_not_looked_at_before_that_is_tried(
    world: World,
) -> None:
    own, other = FakeRelay("own"), FakeRelay("other")
    own.open_problem = "connection refused"
    (delivery,) = await world.add("p@example.com")
    waits = []
    routes = [Route(own), Route(other)]
    async with world.sender(routes, options={"carriers": {"news": ["own"]}}) as sender:
        for _ in range(9):
            await sender.drain()
            row = await world.row(delivery)
            waits.append((row.next_at - world.clock.now).total_seconds())
            world.clock.forward(seconds=waits[-1])
    # It was tried after 64 seconds, and is left alone for 128.
    assert waits == [5, 5, 5, 8, 16, 32, 60, 5, 60]


@only_sqlite
async def test_a_relay_that_never_answers_holds_up_nobody_else(world: World) -> None:
    deaf, other = FakeRelay("deaf"), FakeRelay("other")

    async def never() -> None:
        await asyncio.Event().wait()

    deaf.before_open = never
    await world.add(*people(300))
    waits: list[float] = []

    async def wait(event: asyncio.Event, seconds: float) -> bool:
        waits.append(seconds)
        return await world.clock.wait(event, seconds)

    stop = asyncio.Event()
    async with world.sender([Route(deaf), Route(other)], options={"wait": wait}) as sender:
        accepted = await asyncio.wait_for(sender.drain(stop), 20)
    assert accepted == 300
    assert len(other.taken) == 300


@only_sqlite
async def test_a_relay_whose_code_fails_when_it_is_opened_is_one_that_is_down(
    world: World,
) -> None:
    broken, sound = FakeRelay("broken"), FakeRelay("sound")

    async def fail() -> None:
        raise KeyError("host")

    broken.before_open = fail
    await world.add(*people(10))
    async with world.sender([Route(broken, rank=1), Route(sound, rank=2)]) as sender:
        assert await sender.drain() == 10
        (state, _) = sender.relay_states()
        assert (state.problem or "").startswith("KeyError: 'host'")
        assert state.paused_until == NOW + timedelta(seconds=1)


@only_sqlite
async def test_a_connection_that_cannot_be_closed_stops_nothing(world: World) -> None:
    relay = FakeRelay(connections=2)

    async def fail() -> None:
        raise OSError("already gone")

    relay.before_close = fail
    await world.add(*people(20))
    relay.answer("p7@example.com", GONE)
    async with world.sender(relay) as sender:
        assert await sender.drain() == 19
        world.clock.forward(seconds=2)
        assert await sender.drain() == 1
        assert sender.relay_states()[0].connections == 0


@only_sqlite
async def test_connections_are_kept_while_they_have_no_work_and_then_closed(world: World) -> None:
    relay = FakeRelay(connections=2)
    await world.add(*people(4))
    async with world.sender([Route(relay, idle_seconds=30)]) as sender:
        assert await sender.drain() == 4
        opened = relay.opened
        assert (relay.closed, sender.relay_states()[0].connections) == (0, opened)
        await world.add("later@example.com")
        world.clock.forward(seconds=10)
        assert await sender.drain() == 1
        assert (relay.opened, relay.closed) == (opened, 0)
        world.clock.forward(seconds=31)
        await sender.worker.beat()
        await world.add("last@example.com")
        lane: Any = sender._lanes[0]
        await lane.close_idle()
        assert (relay.closed, sender.relay_states()[0].connections) == (opened, 0)
        assert await sender.drain() == 1
        assert relay.opened == opened + 1
    assert relay.opened == relay.closed
