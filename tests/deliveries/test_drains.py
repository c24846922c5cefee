"""A drain brings everything that is due to an outcome, once, and leaves nothing in hand."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from delivery_world import NOW, FakeRelay, World, build, only_postgresql, only_sqlite, prepare
from sqlalchemy import func, select
from structlog.testing import capture_logs

from feedsvc.deliveries.sender import Build
from feedsvc.errors import DatabaseUnavailable, MessageUnbuildable
from feedsvc.model.delivery import ClaimedDelivery, Delivery, DeliveryState, Worker
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.relay import Envelope, Message, SendResult, Verdict
from feedsvc.model.subscriber import AddressState, Subscriber

pytestmark = pytest.mark.anyio

ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
LILEI = "lilei@xn--fsqu00a.xn--4rr70v"
DEFERRED = SendResult(Verdict.DEFERRED, 451, "4.7.1 greylisted")
REFUSED = SendResult(Verdict.REFUSED, 552, "5.2.2 mailbox full")
DEAD = SendResult(Verdict.REFUSED, 550, "5.1.1 <c@example.com>: no such user", address_dead=True)
BLOCKED = SendResult(Verdict.BLOCKED, 550, "5.7.1 spam")
GONE = SendResult(Verdict.UNAVAILABLE, None, "connection lost")
SILENCE = SendResult(Verdict.UNKNOWN, None, "no reply to the final dot")
S = DeliveryState


async def test_everyone_gets_their_mail_and_the_cursor_moves(
    world: World, relay: FakeRelay
) -> None:
    ids = await world.add(ALICE, CAROL, LILEI)
    notice = await world.add_notice(BOB)
    async with world.sender(relay) as sender:
        assert await sender.drain() == 4
        assert await sender.drain() == 0
    assert sorted(relay.recipients()) == [ALICE, BOB, CAROL, LILEI]
    assert await world.states() == {S.SENT: 4}
    assert await world.cursor(LILEI) == 20
    row = await world.row(ids[0])
    assert (row.reply_code, row.reply_text, row.relay) == (250, "2.0.0 ok", "fake")
    assert (row.worker, row.attempt, row.date_at, row.address) == (None, 1, NOW, ALICE)
    assert row.renderer
    assert (await world.row(notice)).state is S.SENT
    assert relay.opened == relay.closed


async def test_a_4xx_is_tried_again_and_a_5xx_is_not(world: World, relay: FakeRelay) -> None:
    deferred, refused = await world.add(ALICE, CAROL)
    relay.answer(ALICE, DEFERRED)
    relay.answer(CAROL, REFUSED)
    async with world.sender(relay) as sender:
        assert await sender.drain() == 0
        row = await world.row(deferred)
        assert (row.state, row.reply_code) == (S.DEFERRED, 451)
        assert NOW + timedelta(minutes=5) <= row.next_at <= NOW + timedelta(minutes=7.5)
        assert await world.cursor(ALICE) == 10
        assert await sender.drain() == 0
        world.clock.forward(minutes=10)
        assert await sender.drain() == 1
    assert (await world.row(deferred)).state is S.SENT
    row = await world.row(refused)
    assert (row.state, row.attempt, row.reply_text) == (S.FAILED, 1, "5.2.2 mailbox full")
    assert await world.cursor(CAROL) == 10


@only_sqlite
async def test_a_mail_deferred_to_its_end_expires(world: World, relay: FakeRelay) -> None:
    (delivery,) = await world.add(ALICE)
    relay.answer(ALICE, *[DEFERRED] * 50)
    async with world.sender(relay) as sender:
        for _ in range(30):
            await sender.drain()
            world.clock.forward(hours=1)
    row = await world.row(delivery)
    assert row.state is S.EXPIRED
    assert 8 <= row.attempt <= 15
    assert await world.cursor(ALICE) == 10
    assert relay.taken == []


@pytest.mark.parametrize(
    ("result", "state", "failures"),
    [
        (DEAD, AddressState.DEAD, 1),
        (REFUSED, AddressState.FAILING, 1),
        (BLOCKED, AddressState.GOOD, 0),
        (DEFERRED, AddressState.GOOD, 0),
        (SILENCE, AddressState.GOOD, 0),
    ],
    ids=["dead", "refused", "blocked", "deferred", "silence"],
)
async def test_only_what_speaks_against_the_address_is_counted(
    world: World, relay: FakeRelay, result: SendResult, state: AddressState, failures: int
) -> None:
    await world.add(CAROL)
    relay.answer(CAROL, result)
    async with world.sender(relay) as sender:
        await sender.drain()
    person, _ = await world.person(CAROL)
    assert (person.state, person.failures) == (state, failures)


async def test_a_taken_mail_ends_the_failing(world: World, relay: FakeRelay) -> None:
    await world.add(CAROL)
    await world.change(Subscriber, 1, state=AddressState.FAILING, failures=2)
    async with world.sender(relay) as sender:
        await sender.drain()
    person, _ = await world.person(CAROL)
    assert (person.state, person.failures) == (AddressState.GOOD, 0)


async def test_a_verdict_on_an_old_address_spares_the_new_one(
    world: World, relay: FakeRelay
) -> None:
    await world.add(CAROL, address="old@example.com", date_at=NOW)
    relay.answer("old@example.com", DEAD)
    async with world.sender(relay) as sender:
        await sender.drain()
    person, _ = await world.person(CAROL)
    assert person.state is AddressState.GOOD


@pytest.mark.parametrize(
    ("policy", "state", "copies", "cursor"),
    [("carry", S.UNCERTAIN, 1, 10), ("resend", S.SENT, 2, 20), ("hold", S.HELD, 1, 20)],
)
async def test_a_lost_reply_ends_as_the_policy_says(
    world: World, relay: FakeRelay, policy: str, state: S, copies: int, cursor: int
) -> None:
    (delivery,) = await world.add(ALICE)
    relay.answer(ALICE, SILENCE)
    async with world.sender(relay, uncertain_digests=policy) as sender:
        await sender.drain()
        world.clock.forward(minutes=1)
        await sender.drain()
    row = await world.row(delivery)
    assert (row.state, row.doubts) == (state, 1)
    assert await world.cursor(ALICE) == cursor
    assert relay.recipients() == [ALICE] * copies
    assert len({message for _, message in relay.taken}) == 1


@only_sqlite
async def test_a_second_lost_reply_is_final(world: World, relay: FakeRelay) -> None:
    (delivery,) = await world.add(ALICE)
    relay.answer(ALICE, SILENCE, SILENCE)
    async with world.sender(relay, uncertain_digests="resend") as sender:
        await sender.drain()
        await sender.drain()
    row = await world.row(delivery)
    assert (row.state, row.doubts, row.attempt) == (S.UNCERTAIN, 2, 2)
    assert len(relay.taken) == 2


async def test_nothing_is_mailed_after_an_unsubscribe_is_committed(
    world: World, relay: FakeRelay
) -> None:
    (delivery,) = await world.add(ALICE)

    async def leave(_recipient: str) -> None:
        await world.unsubscribe(ALICE)

    relay.before_permit = leave
    async with world.sender(relay) as sender:
        assert await sender.drain() == 0
    assert relay.taken == []
    row = await world.row(delivery)
    assert (row.state, row.reason) == (S.SKIPPED, "unsubscribed before it was sent")
    assert await world.cursor(ALICE) == 10


@only_sqlite
async def test_an_edition_paused_in_the_middle_keeps_the_rest(
    world: World, relay: FakeRelay
) -> None:
    relay.connections = 1
    await world.add(*(f"p{number}@example.com" for number in range(10)))

    async def pause(_recipient: str) -> None:
        if len(relay.taken) == 4:
            await world.change(Edition, world.edition_id, state=EditionState.PAUSED)

    relay.before_permit = pause
    async with world.sender(relay) as sender:
        assert await sender.drain() == 4
        assert await world.states() == {S.SENT: 4, S.PENDING: 6}
        await world.change(Edition, world.edition_id, state=EditionState.SENDING)
        relay.before_permit = None
        assert await sender.drain() == 6


@pytest.mark.parametrize(
    "stolen", [{"worker": "other"}, {"attempt": 2}, {"worker": "other", "attempt": 2}], ids=str
)
async def test_a_row_taken_by_another_worker_is_not_touched_by_a_late_250(
    world: World, relay: FakeRelay, stolen: dict[str, Any]
) -> None:
    (delivery,) = await world.add(ALICE)

    async def steal(_recipient: str) -> None:
        await world.change(Delivery, delivery, **stolen)

    relay.after_permit = steal
    with capture_logs() as logs:
        async with world.sender(relay) as sender:
            assert await sender.drain() == 1
            row = await world.row(delivery)
            assert row.state is S.DOT
            assert await world.cursor(ALICE) == 10
    assert [entry["delivery"] for entry in logs if entry["event"] == "known repeat"] == [delivery]


async def test_each_outcome_is_one_line_without_an_address(world: World, relay: FakeRelay) -> None:
    ids = await world.add(ALICE, CAROL, LILEI)
    relay.answer(CAROL, DEAD)
    relay.answer(LILEI, DEFERRED)
    with capture_logs() as logs:
        async with world.sender(relay) as sender:
            await sender.drain()
    lines = {entry["delivery"]: entry for entry in logs if entry["event"] == "delivery"}
    assert sorted(lines) == ids[1:]
    assert [lines[number]["state"] for number in ids[1:]] == ["failed", "deferred"]
    sent = [entry["deliveries"] for entry in logs if entry["event"] == "deliveries sent"]
    assert sent == [str(ids[0])]
    assert lines[ids[1]]["reply"] == "550 5.1.1 … no such user"
    assert "@" not in str(logs)


async def test_a_row_taken_by_another_worker_is_not_sent(world: World, relay: FakeRelay) -> None:
    (delivery,) = await world.add(ALICE)

    async def steal(_recipient: str) -> None:
        await world.change(Delivery, delivery, worker="other", attempt=2)

    relay.before_permit = steal
    async with world.sender(relay) as sender:
        assert await sender.drain() == 0
    assert relay.taken == []
    assert (await world.row(delivery)).worker == "other"


async def test_a_cursor_that_moved_elsewhere_is_left_alone(world: World, relay: FakeRelay) -> None:
    await world.add(ALICE)
    _, subscription = await world.person(ALICE)
    await world.change(type(subscription), subscription.id, cursor=15)
    async with world.sender(relay) as sender:
        assert await sender.drain() == 1
    assert await world.cursor(ALICE) == 15


async def test_many_connections_send_each_row_once(world: World, relay: FakeRelay) -> None:
    relay.connections = 10
    people = [f"p{number}@example.com" for number in range(250)]
    await world.add(*people)

    async def wait(_recipient: str) -> None:
        await asyncio.sleep(0)

    relay.after_permit = wait
    async with world.sender(relay) as sender:
        assert await sender.drain() == 250
    assert sorted(relay.recipients()) == sorted(people)
    assert await world.states() == {S.SENT: 250}
    assert relay.opened <= 10


@only_postgresql
async def test_two_senders_at_once_send_each_row_once(world: World, relay: FakeRelay) -> None:
    people = [f"p{number}@example.com" for number in range(300)]
    await world.add(*people)
    async with world.sender(relay) as one, world.sender(relay) as other:
        assert sum(await asyncio.gather(one.drain(), other.drain())) == 300
    assert sorted(relay.recipients()) == sorted(people)


@only_sqlite
async def test_concurrent_drains_of_one_sender_run_one_after_the_other(
    world: World, relay: FakeRelay
) -> None:
    await world.add(ALICE, CAROL)
    async with world.sender(relay) as sender:
        assert sum(await asyncio.gather(*(sender.drain() for _ in range(4)))) == 2
    assert len(relay.taken) == 2


@only_sqlite
async def test_work_that_comes_during_a_drain_is_sent_by_it(world: World, relay: FakeRelay) -> None:
    await world.add(ALICE)

    async def add_carol(recipient: str) -> None:
        if recipient == ALICE:
            await world.add(CAROL)

    relay.after_permit = add_carol
    async with world.sender(relay) as sender:
        assert await sender.drain() == 2


@only_sqlite
async def test_a_relay_that_is_down_consumes_no_row_and_is_asked_less_and_less(
    world: World, relay: FakeRelay
) -> None:
    (delivery,) = await world.add(ALICE)
    relay.open_problem = "user name or password refused: 535"
    pauses = []
    async with world.sender(relay) as sender:
        for _ in range(4):
            assert await sender.drain() == 0
            assert sender.relay_problem is not None
            assert sender.relay_problem.startswith(relay.open_problem)
            assert sender.paused_until is not None
            pauses.append((sender.paused_until - world.clock.now).total_seconds())
            assert await sender.drain() == 0  # paused: does not even try
            world.clock.forward(seconds=pauses[-1])
        row = await world.row(delivery)
        assert (row.state, row.attempt) == (S.PENDING, 0)
        relay.open_problem = None
        assert await sender.drain() == 1
        assert (sender.relay_problem, sender.paused_until) == (None, None)
    assert pauses == [1, 2, 4, 8]


@only_sqlite
async def test_a_relay_that_goes_down_gives_the_rest_back(world: World, relay: FakeRelay) -> None:
    relay.connections = 2
    people = [f"p{number}@example.com" for number in range(50)]
    await world.add(*people)

    async def fall(_recipient: str) -> None:
        if len(relay.taken) >= 10:
            relay.open_problem = "connection refused"
            for person in people:
                relay.answers[person] = [GONE]

    relay.before_permit = fall
    async with world.sender(relay) as sender:
        accepted = await sender.drain()
        assert accepted >= 10
        assert await world.states() == {S.SENT: accepted, S.PENDING: 50 - accepted}
        assert sender.paused_until is not None
        touched = [
            row for row in await world.rows() if row.reason and "not available" in row.reason
        ]
        assert 1 <= len(touched) <= 2
        relay.before_permit, relay.open_problem = None, None
        relay.answers.clear()
        world.clock.forward(minutes=10)
        assert await sender.drain() == 50 - accepted
    assert sorted(relay.recipients()) == sorted(people)


@only_sqlite
async def test_one_connection_that_fails_leaves_the_work_to_the_others(
    world: World, relay: FakeRelay
) -> None:
    relay.connections = 4
    people = [f"p{number}@example.com" for number in range(30)]
    await world.add(*people)
    relay.answer("p9@example.com", GONE)
    async with world.sender(relay) as sender:
        assert await sender.drain() == 29
        assert sender.paused_until is None
        world.clock.forward(seconds=5)
        assert await sender.drain() == 1
    assert sorted(relay.recipients()) == sorted(people)


@only_sqlite
async def test_one_mail_that_cannot_be_made_stops_nobody(world: World, relay: FakeRelay) -> None:
    ids = await world.add(ALICE, CAROL, LILEI)

    def build_some(claim: ClaimedDelivery, date: datetime) -> Message:
        if claim.address == CAROL:
            raise MessageUnbuildable("no greeting for her")
        return build(claim, date)

    async def prepare_some(_: Sequence[ClaimedDelivery]) -> Build:
        return build_some

    async with world.sender(relay, prepare_some) as sender:
        assert await sender.drain() == 2
    row = await world.row(ids[1])
    assert (row.state, row.reason) == (S.FAILED, "cannot be made: no greeting for her")
    assert await world.cursor(CAROL) == 10
    assert (await world.person(CAROL))[0].failures == 0


@only_sqlite
async def test_a_mail_made_for_somebody_else_is_not_sent(world: World, relay: FakeRelay) -> None:
    (delivery,) = await world.add(ALICE)

    async def prepare_wrong(_: Sequence[ClaimedDelivery]) -> Build:
        return lambda claim, date: replace(
            build(claim, date), envelope=Envelope("b@example.com", BOB)
        )

    async with world.sender(relay, prepare_wrong) as sender:
        assert await sender.drain() == 0
    assert relay.taken == []
    row = await world.row(delivery)
    assert (row.state, row.reason) == (
        S.FAILED,
        "cannot be made: the message was made for another address",
    )


@only_sqlite
async def test_a_mail_whose_making_fails_for_reasons_nobody_thought_of_is_made_again(
    world: World, relay: FakeRelay
) -> None:
    (delivery,) = await world.add(ALICE)
    faults = [KeyError("greeting")]

    def build_later(claim: ClaimedDelivery, date: datetime) -> Message:
        if faults:
            raise faults.pop()
        return build(claim, date)

    async def prepare_later(_: Sequence[ClaimedDelivery]) -> Build:
        return build_later

    async with world.sender(relay, prepare_later) as sender:
        assert await sender.drain() == 0
        row = await world.row(delivery)
        assert (row.state, row.reason) == (S.DEFERRED, "could not be made: KeyError: 'greeting'")
        world.clock.forward(minutes=10)
        assert await sender.drain() == 1


async def test_a_batch_that_cannot_be_prepared_is_tried_singly(
    world: World, relay: FakeRelay
) -> None:
    ids = await world.add(ALICE, CAROL, LILEI)

    async def prepare_some(claims: Sequence[ClaimedDelivery]) -> Build:
        if any(claim.address == CAROL for claim in claims):
            raise ValueError("bad \x00 cohort \udcff")
        return build

    async with world.sender(relay, prepare_some) as sender:
        assert await sender.drain() == 2
    row = await world.row(ids[1])
    assert row.state is S.DEFERRED
    assert "could not be made: ValueError: bad ? cohort" in (row.reason or "")


@only_sqlite
async def test_being_told_to_stop_finishes_what_is_on_the_wire_and_gives_back_the_rest(
    world: World, relay: FakeRelay
) -> None:
    relay.connections = 1
    await world.add(*(f"p{number}@example.com" for number in range(20)))
    stop = asyncio.Event()

    async def stop_at_third(_recipient: str) -> None:
        if len(relay.taken) == 2:
            stop.set()
            await asyncio.sleep(0)

    relay.after_permit = stop_at_third
    async with world.sender(relay) as sender:
        accepted = await sender.drain(stop)
        assert accepted in (3, 4)
        assert await world.states() == {S.SENT: accepted, S.PENDING: 20 - accepted}
        assert await sender.drain(stop) == 0
    assert all(row.worker is None and row.crashes == 0 for row in await world.rows())


async def test_a_drain_that_is_cut_off_leaves_only_the_wire_in_doubt(
    world: World, relay: FakeRelay
) -> None:
    relay.connections = 1
    await world.add(*(f"p{number}@example.com" for number in range(20)))
    reached = asyncio.Event()

    async def hang_at_third(_recipient: str) -> None:
        if len(relay.taken) == 2:
            reached.set()
            await asyncio.Event().wait()

    relay.after_permit = hang_at_third
    async with world.sender(relay) as sender:
        draining = asyncio.create_task(sender.drain())
        await reached.wait()
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
    assert await world.states() == {S.SENT: 2, S.UNCERTAIN: 1, S.PENDING: 17}
    async with world.sender(relay) as sender:
        relay.after_permit = None
        assert await sender.drain() == 17


@only_sqlite
async def test_a_relay_whose_code_fails_is_doubted_only_after_the_permit(
    world: World, relay: FakeRelay
) -> None:
    before, after = await world.add(ALICE, CAROL)

    async def fail_alice(recipient: str) -> None:
        if recipient == ALICE:
            raise RuntimeError("bug before")

    async def fail_carol(recipient: str) -> None:
        if recipient == CAROL:
            raise RuntimeError("bug after")

    relay.connections, relay.before_permit, relay.after_permit = 1, fail_alice, fail_carol
    async with world.sender(relay) as sender:
        await sender.drain()
        world.clock.forward(seconds=1)
        await sender.drain()
    assert (await world.row(before)).state is S.PENDING
    assert (await world.row(after)).state is S.UNCERTAIN


async def test_closing_removes_the_worker(world: World, relay: FakeRelay) -> None:
    async with world.sender(relay):
        pass
    async with world.database.read() as session:
        assert (await session.execute(select(func.count()).select_from(Worker))).scalar() == 0


async def test_a_database_that_fails_while_claiming_leaves_nothing_claimed(
    world: World, relay: FakeRelay
) -> None:
    await world.add(ALICE)

    async def prepare_without_database(_: Sequence[ClaimedDelivery]) -> Build:
        raise DatabaseUnavailable("gone")

    async with world.sender(relay, prepare_without_database) as sender:
        with pytest.raises(DatabaseUnavailable):
            await sender.drain()
        assert await world.states() in ({S.PENDING: 1}, {S.CLAIMED: 1})
    assert await world.states() == {S.PENDING: 1}
    async with world.sender(relay, prepare) as sender:
        assert await sender.drain() == 1
