"""Editions end, and nobody is forgotten, when something goes wrong on the way."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from newsroom_walk import Inbox, Walk
from sqlalchemy import select, update
from sqlmodel import SQLModel, col

from feedsvc.deliveries.doubts import Settling
from feedsvc.deliveries.settle import settle_doubts
from feedsvc.editions.fire import fire_by_hand
from feedsvc.editions.registry import count_stranded, find_newsletter
from feedsvc.model.delivery import Delivery, DeliveryState, Worker
from feedsvc.model.edition import Cohort, Edition, EditionState

pytestmark = [pytest.mark.anyio, pytest.mark.fault]
ALICE = "alice@example.com"


async def rows(walk: Walk, table: type[SQLModel]) -> list:
    async with walk.app.database.read() as session:
        return list((await session.execute(select(table).order_by(table.id))).scalars())


async def sweep(walk: Walk, times: int = 3) -> None:
    """What the clock asks for every second, and all that follows from it."""
    for _ in range(times):
        walk.now += timedelta(seconds=1)
        await walk.app.sweep()
        await walk.app.jobs.drain()


async def mailed_once(walk: Walk, inbox: Inbox) -> None:
    await walk.ingest()
    await walk.subscribe(ALICE, inbox)
    walk.write("first.md", "第一篇")
    await walk.ingest()
    await walk.next_morning()


async def by_hand(walk: Walk) -> int:
    async with walk.app.database.write() as session:
        row = await find_newsletter(session, "daily")
        return await fire_by_hand(session, row.newsletter, walk.now)


async def test_held_mail_goes_again_after_its_edition_was_through(walk: Walk, inbox: Inbox) -> None:
    await mailed_once(walk, inbox)
    digest = next(one for one in await rows(walk, Delivery) if one.edition_id)
    async with walk.app.database.write() as session:
        await session.execute(
            update(Delivery)
            .where(col(Delivery.id) == digest.id)
            .values(state=DeliveryState.HELD, doubts=1)
        )
        lasts = timedelta(hours=20)
        settled = await settle_doubts(
            session,
            Settling.AGAIN,
            [digest.id],
            walk.now,
            digests_expire_after=lasts,
            notices_expire_after=lasts,
        )
        assert settled.done == [digest.id]
    await sweep(walk)
    assert len(inbox.to(ALICE)) == 3  # the confirmation, the digest, and the digest again
    walk.write("second.md", "第二篇")
    await walk.ingest()
    await walk.next_morning()
    await sweep(walk)
    assert len(inbox.to(ALICE)) == 4
    assert {one.state for one in await rows(walk, Edition)} == {EditionState.DONE}


async def test_an_edition_whose_last_mail_was_left_by_a_dead_worker_ends(
    walk: Walk, inbox: Inbox
) -> None:
    await mailed_once(walk, inbox)
    long_ago = walk.now - timedelta(days=300)
    async with walk.app.database.write() as session:
        session.add(Worker(id="dead", node="n", started_at=long_ago, heartbeat_at=long_ago))
        await session.execute(
            update(Delivery)
            .where(col(Delivery.edition_id).is_not(None))
            .values(state=DeliveryState.DOT, worker="dead")
        )
        await session.execute(update(Edition).values(state=EditionState.SENDING, done_at=None))
    await sweep(walk)
    (edition,) = await rows(walk, Edition)
    assert edition.state is EditionState.DONE


async def test_an_edition_with_the_later_cut_keeps_its_mail_whichever_is_composed_first(
    walk: Walk, inbox: Inbox
) -> None:
    await walk.ingest()
    await walk.subscribe(ALICE, inbox)
    walk.write("first.md", "第一篇")
    await walk.ingest()
    earlier = await by_hand(walk)
    walk.write("second.md", "第二篇")
    await walk.ingest()
    later = await by_hand(walk)
    await walk.app.pipeline.compose(later)
    await walk.app.pipeline.compose(earlier)
    await sweep(walk)
    (digest,) = inbox.to(ALICE)[1:]
    body = digest.get_body(("plain",))
    assert body is not None
    assert "第一篇" in body.get_content()
    assert "第二篇" in body.get_content()
    assert {one.state for one in await rows(walk, Edition)} <= {
        EditionState.DONE,
        EditionState.SKIPPED,
    }


async def test_composing_twice_at_once_makes_one_of_each(walk: Walk, inbox: Inbox) -> None:
    await walk.ingest()
    for number in range(20):
        await walk.subscribe(f"reader{number}@example.com", inbox)
    walk.write("first.md", "第一篇")
    await walk.ingest()
    edition_id = await by_hand(walk)
    await asyncio.gather(*(walk.app.pipeline.compose(edition_id) for _ in range(4)))
    await sweep(walk)
    assert len(await rows(walk, Cohort)) == 1
    assert all(len(inbox.to(f"reader{number}@example.com")) == 2 for number in range(20))


async def test_a_template_that_fails_is_told_on_the_edition_and_tried_again_later(
    empty_database_url: str, tmp_path: Path, inbox: Inbox
) -> None:
    walk = Walk(tmp_path, empty_database_url, inbox.port, datetime(2026, 11, 21, 12, tzinfo=UTC))
    with (tmp_path / "config.toml").open("a", encoding="utf-8") as config:
        config.write('[templates]\nfolder = "mine"\n')
    template = tmp_path / "mine" / "mail" / "plain" / "digest.txt"
    template.parent.mkdir(parents=True)
    template.write_text("{{ nobody_knows_this }}", encoding="utf-8")
    async with walk.open():
        await walk.ingest()
        await walk.subscribe(ALICE, inbox)
        walk.write("first.md", "第一篇")
        await walk.ingest()
        await by_hand(walk)
        await sweep(walk, 5)
        (edition,) = await rows(walk, Edition)
        assert edition.state is EditionState.COMPOSING
        assert "nobody_knows_this" in edition.reason
        first_try = edition.reason
    template.unlink()  # mended
    async with walk.open():
        await sweep(walk)
        (edition,) = await rows(walk, Edition)
        assert (edition.state, edition.reason) == (EditionState.DONE, None), first_try
        assert len(inbox.to(ALICE)) == 2


async def test_a_clock_that_ran_ahead_does_not_stop_the_days_before(
    walk: Walk, inbox: Inbox
) -> None:
    await mailed_once(walk, inbox)
    now = walk.now
    walk.now += timedelta(days=40)
    await sweep(walk)
    walk.now = now
    walk.write("second.md", "第二篇")
    await walk.ingest()
    await walk.next_morning()
    assert len(inbox.to(ALICE)) == 3


async def test_subscribers_of_a_schedule_that_was_renamed_are_told_of_not_forgotten(
    empty_database_url: str, tmp_path: Path, inbox: Inbox
) -> None:
    walk = Walk(tmp_path, empty_database_url, inbox.port, datetime(2026, 11, 21, 12, tzinfo=UTC))
    async with walk.open():
        await walk.ingest()
        await walk.subscribe(ALICE, inbox)
    config = tmp_path / "config.toml"
    original = config.read_text("utf-8")
    config.write_text(original.replace("schedules.morning", "schedules.early"), "utf-8")
    async with walk.open(), walk.app.database.read() as session:
        assert await count_stranded(session) == {"daily.morning": 1}
    config.write_text(original, "utf-8")
    async with walk.open():
        async with walk.app.database.read() as session:
            assert await count_stranded(session) == {}
        walk.write("first.md", "第一篇")
        await walk.ingest()
        await walk.next_morning()
    assert len(inbox.to(ALICE)) == 2
