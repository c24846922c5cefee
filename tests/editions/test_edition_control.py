"""Pausing, resuming and cancelling take effect at once, last, and lose nobody's articles."""

from datetime import timedelta

import pytest
from edition_desk import NOW, Desk
from sqlalchemy import select
from sqlmodel import col

from feedsvc.editions.composing import find_waves, load_composing
from feedsvc.editions.control import (
    cancel_edition,
    finish_cancelled,
    pause_edition,
    resume_edition,
)
from feedsvc.editions.progress import (
    Unfinished,
    find_unfinished,
    finish_sent,
    freeze_wave,
    start_frozen,
)
from feedsvc.editions.readers import load_standing
from feedsvc.errors import EditionOver, NotFound
from feedsvc.model.delivery import Delivery, is_mailable
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionState as E
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import Subscription

pytestmark = pytest.mark.anyio
ENDED = (E.DONE, E.SKIPPED, E.CANCELLED)


async def pause(desk: Desk, edition_id: int, reason: str = "模板有错") -> bool:
    async with desk.database.write() as session:
        return await pause_edition(session, edition_id, reason, NOW)


async def resume(desk: Desk, edition_id: int) -> bool:
    async with desk.database.write() as session:
        return await resume_edition(session, edition_id)


async def cancel(desk: Desk, edition_id: int, *, drop: bool = False) -> bool:
    async with desk.database.write() as session:
        return await cancel_edition(session, edition_id, drop=drop)


async def finish(desk: Desk, limit: int = 500) -> list[int]:
    """End what is left of cancelled editions; how many rows in each transaction."""
    pieces = []
    while True:
        async with desk.database.write() as session:
            pieces.append(await finish_cancelled(session, limit, NOW))
        if not pieces[-1]:
            return pieces[:-1]


async def unfinished(desk: Desk) -> Unfinished:
    async with desk.database.read() as session:
        return await find_unfinished(session, NOW)


# Pause and resume


@pytest.mark.parametrize("state", [E.COMPOSING, E.FROZEN, E.SENDING])
async def test_an_edition_that_is_paused_sends_nothing_and_says_why(desk: Desk, state: E) -> None:
    edition_id = await desk.add_edition(state, frozen=state is not E.COMPOSING)
    await desk.add_mail(edition_id, "alice")
    assert await pause(desk, edition_id)
    edition = await desk.edition(edition_id)
    assert (edition.state, edition.reason, edition.paused_at) == (E.PAUSED, "模板有错", NOW)
    async with desk.database.write() as session:
        assert (await session.execute(select(Delivery).where(is_mailable()))).first() is None
        assert await start_frozen(session) == []
        assert await finish_sent(session, NOW) == 0
    assert await unfinished(desk) == Unfinished()


@pytest.mark.parametrize("state", [E.FROZEN, E.SENDING])
async def test_a_resumed_edition_sends_the_rest(desk: Desk, state: E) -> None:
    edition_id = await desk.add_edition(state)
    await desk.add_mail(edition_id, "alice", S.SENT)
    rest = await desk.add_mail(edition_id, "li.lei")
    await pause(desk, edition_id)
    assert await resume(desk, edition_id)
    edition = await desk.edition(edition_id)
    assert (edition.state, edition.reason, edition.paused_at) == (E.SENDING, None, None)
    async with desk.database.read() as session:
        rows = await session.execute(
            select(col(Delivery.id)).where(is_mailable(), col(Delivery.state) == S.PENDING)
        )
        assert rows.scalars().all() == [rest]


async def test_an_edition_that_is_paused_while_it_is_composed_is_completed_when_resumed(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition(E.COMPOSING, frozen=False)
    await desk.join("alice")
    async with desk.database.read() as session:
        (wave_id,) = await find_waves(session, edition_id, NOW)
        composing = await load_composing(session, wave_id)
    assert composing is not None
    await pause(desk, edition_id)
    await desk.add_mail(edition_id, "alice")  # the composer had not heard of it
    async with desk.database.write() as session:
        standing = await load_standing(session, composing.audience, wave_id)
        assert await freeze_wave(session, composing, standing, NOW) is None
        assert await load_composing(session, wave_id) is None
    assert await resume(desk, edition_id)
    assert await unfinished(desk) == Unfinished(compose=(edition_id,))
    async with desk.database.write() as session:
        assert await freeze_wave(session, composing, standing, NOW) is E.FROZEN


async def test_an_edition_that_ended_while_it_was_paused_is_closed_when_resumed(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition()
    await desk.add_mail(edition_id, "alice", S.SENT)
    await pause(desk, edition_id)
    await resume(desk, edition_id)
    assert await unfinished(desk) == Unfinished(deliver=True)
    async with desk.database.write() as session:
        assert await finish_sent(session, NOW) == 1


async def test_saying_it_twice_changes_nothing(desk: Desk) -> None:
    edition_id = await desk.add_edition()
    assert await resume(desk, edition_id) is False
    await pause(desk, edition_id, "first")
    assert await pause(desk, edition_id, "second") is False
    assert (await desk.edition(edition_id)).reason == "first"
    await cancel(desk, edition_id)
    assert await cancel(desk, edition_id) is False


@pytest.mark.parametrize("command", [pause, resume, cancel])
async def test_nothing_is_done_to_an_edition_that_is_over(desk: Desk, command) -> None:
    for state in ENDED[: 2 if command is cancel else 3]:
        edition_id = await desk.add_edition(state, reason="was so")
        with pytest.raises(EditionOver, match=f"edition {edition_id} is {state}"):
            await command(desk, edition_id)
        assert (await desk.edition(edition_id)).reason == "was so"
    with pytest.raises(NotFound, match="no edition 999"):
        await command(desk, 999)


# Cancel


async def test_a_cancelled_edition_ends_in_pieces_and_leaves_its_articles_to_the_next(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition()
    await desk.add_mail(edition_id, "sent", S.SENT)
    for number in range(5):
        state = S.DEFERRED if number % 2 else S.PENDING
        await desk.add_mail(edition_id, f"reader{number}", state)
    assert await cancel(desk, edition_id)
    edition = await desk.edition(edition_id)
    assert (edition.state, edition.done_at) == (E.CANCELLED, None)
    assert "next edition" in (edition.reason or "")
    assert await unfinished(desk) == Unfinished(cancelled=True)
    assert await finish(desk, limit=2) == [2, 2, 1]
    assert await desk.states(edition_id) == [S.SENT, *[S.SKIPPED] * 5]
    assert (await desk.mail(2)).reason == "its edition was cancelled before it was sent"
    assert await desk.cursor("reader0") == 10
    assert (await desk.edition(edition_id)).done_at == NOW
    assert await unfinished(desk) == Unfinished()


async def test_what_a_worker_has_in_hand_is_left_to_it(desk: Desk) -> None:
    edition_id = await desk.add_edition()
    claimed = await desk.add_mail(edition_id, "alice", S.CLAIMED, worker="w", attempt=1)
    await desk.add_mail(edition_id, "bob", S.DOT, worker="w", attempt=1)
    await cancel(desk, edition_id)
    assert await finish(desk) == []
    assert await desk.states(edition_id) == [S.CLAIMED, S.DOT]
    assert await unfinished(desk) == Unfinished(cancelled=True)
    # The dot of the first is refused, the second arrives.
    await desk.change(Delivery, claimed, state=S.PENDING, worker=None)
    await desk.change(Delivery, claimed + 1, state=S.SENT, worker=None)
    assert await finish(desk) == [1]
    assert await desk.states(edition_id) == [S.SKIPPED, S.SENT]
    assert await unfinished(desk) == Unfinished()


async def test_what_a_composer_writes_late_is_ended_too(desk: Desk) -> None:
    edition_id = await desk.add_edition(E.COMPOSING, frozen=False)
    await cancel(desk, edition_id)
    assert await finish(desk) == []
    assert (await desk.edition(edition_id)).done_at == NOW
    await desk.add_mail(edition_id, "alice")
    assert await unfinished(desk) == Unfinished(cancelled=True)
    assert await finish(desk) == [1]


async def test_a_cancel_that_drops_moves_the_cursor_of_everybody_who_was_not_mailed(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition(counters={"deliveries": 4})
    await desk.join("sent", cursor=20)
    await desk.add_mail(edition_id, "sent", S.SENT)
    await desk.add_mail(edition_id, "waiting")
    await desk.add_mail(edition_id, "refused", S.FAILED)
    await desk.join("not.composed.yet", cursor=3)
    await desk.join("ahead", cursor=25)
    assert await cancel(desk, edition_id, drop=True)
    assert await finish(desk, limit=2) == [1, 2, 1]
    cursors = {name: await desk.cursor(name) for name in desk.readers}
    assert cursors == {
        "sent": 20,
        "waiting": 20,
        "refused": 20,
        "not.composed.yet": 20,
        "ahead": 25,
    }
    edition = await desk.edition(edition_id)
    assert (edition.done_at, edition.counters) == (NOW, {"deliveries": 4, "dropped": 3})


async def test_dropping_waits_for_a_mail_that_is_under_way(desk: Desk) -> None:
    earlier = await desk.add_edition(cut_seq=15)
    on_the_wire = await desk.add_mail(earlier, "alice", S.DOT, cut_seq=15, worker="w")
    edition_id = await desk.add_edition(cut_seq=20)
    await cancel(desk, edition_id, drop=True)
    assert await finish(desk) == []
    assert await desk.cursor("alice") == 10
    assert (await desk.edition(edition_id)).done_at is None
    # It arrives, and its window is settled.
    await desk.change(Delivery, on_the_wire, state=S.SENT, worker=None)
    await desk.change(Subscription, desk.readers["alice"], cursor=15)
    assert await finish(desk) == [1]
    assert await desk.cursor("alice") == 20


async def test_other_schedules_lose_nothing_by_a_drop(desk: Desk) -> None:
    edition_id = await desk.add_edition()
    await desk.join("alice")
    weekly, desk.schedule_id = desk.schedule_id, await other_schedule(desk)
    await desk.join("li.lei")
    desk.schedule_id = weekly
    await cancel(desk, edition_id, drop=True)
    await finish(desk)
    assert (await desk.cursor("alice"), await desk.cursor("li.lei")) == (20, 10)


async def other_schedule(desk: Desk) -> int:
    async with desk.database.write() as session:
        schedule = Schedule(
            newsletter_id=desk.newsletter_id,
            key="weekly",
            label="每周一",
            cron="0 8 * * 1",
            zone="Asia/Shanghai",
            since=NOW,
        )
        session.add(schedule)
        await session.flush()
        return schedule.id or 0


async def test_a_cancelled_edition_can_be_dropped_afterwards(desk: Desk) -> None:
    edition_id = await desk.add_edition()
    await desk.add_mail(edition_id, "alice")
    await cancel(desk, edition_id)
    await finish(desk)
    assert await desk.cursor("alice") == 10
    assert await cancel(desk, edition_id, drop=True)
    assert await cancel(desk, edition_id, drop=True) is False
    await finish(desk)
    assert await desk.cursor("alice") == 20


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_rows_that_somebody_changes_are_neither_waited_for_nor_forgotten(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition()
    mine = await desk.add_mail(edition_id, "alice")
    await desk.add_mail(edition_id, "bob")
    await cancel(desk, edition_id)
    async with desk.database.write() as other:
        await other.get_one(Delivery, mine, with_for_update=True)
        assert await finish(desk) == [1]
        assert (await desk.edition(edition_id)).done_at is None
    assert await finish(desk) == [1]
    assert (await desk.edition(edition_id)).done_at == NOW


async def test_cancelled_editions_that_are_through_are_not_looked_at_again(desk: Desk) -> None:
    edition_id = await desk.add_edition(E.CANCELLED, done_at=NOW - timedelta(days=1))
    await desk.add_mail(edition_id, "alice", S.SKIPPED)
    assert await unfinished(desk) == Unfinished()
    assert await finish(desk) == []
    assert (await desk.edition(edition_id)).done_at == NOW - timedelta(days=1)
