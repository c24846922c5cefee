"""An edition that is given up: what was not sent of it ends by itself, and its articles go on."""

from datetime import timedelta

import pytest
from newsroom_walk import Inbox, Walk
from sqlalchemy import select

from feedsvc.editions.control import cancel_edition
from feedsvc.editions.fire import fire_by_hand
from feedsvc.editions.registry import find_newsletter
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState

pytestmark = pytest.mark.anyio
PEOPLE = ["alice@example.com", "lilei@example.com", "carol@example.com"]


async def give_up(walk: Walk, *, drop: bool) -> int:
    """An edition for everybody, composed and cancelled before any of it is sent; its id."""
    async with walk.app.database.write() as session:
        row = await find_newsletter(session, "daily")
        edition_id = await fire_by_hand(session, row.newsletter, walk.now)
    await walk.app.pipeline.compose(edition_id)
    async with walk.app.database.write() as session:
        assert await cancel_edition(session, edition_id, drop=drop)
    return edition_id


@pytest.mark.parametrize(("drop", "copies"), [(False, 1), (True, 0)], ids=["carried", "dropped"])
async def test_the_sweep_ends_what_a_cancelled_edition_has_not_sent(
    walk: Walk, inbox: Inbox, drop: bool, copies: int
) -> None:
    await walk.ingest()
    for one in PEOPLE:
        await walk.subscribe(one, inbox)
    walk.write("first.md", "第一篇")
    await walk.ingest()
    edition_id = await give_up(walk, drop=drop)
    for _ in range(3):
        walk.now += timedelta(seconds=1)
        await walk.app.sweep()
        await walk.app.jobs.drain()
    async with walk.app.database.read() as session:
        edition = await session.get(Edition, edition_id)
        states = (
            await session.execute(select(Delivery.state).where(Delivery.edition_id == edition_id))
        ).scalars()
        assert set(states) == {DeliveryState.SKIPPED}
    assert edition is not None
    assert edition.state is EditionState.CANCELLED
    assert edition.done_at is not None
    walk.write("second.md", "第二篇")
    await walk.ingest()
    await walk.next_morning()
    for one in PEOPLE:
        (digest,) = inbox.to(one)[1:]
        text = digest.get_body(("plain",)).get_content()
        assert text.count("第二篇") >= 1
        assert ("第一篇" in text) == bool(copies)


async def test_a_process_that_ends_leaves_the_rest_of_a_cancelled_edition_to_the_next(
    walk: Walk, inbox: Inbox
) -> None:
    await walk.ingest()
    await walk.subscribe(PEOPLE[0], inbox)
    walk.write("first.md", "第一篇")
    await walk.ingest()
    edition_id = await give_up(walk, drop=False)
    walk.app.pipeline.stopping.set()
    await walk.app.sweep()
    await walk.app.jobs.drain()
    walk.app.pipeline.stopping.clear()
    async with walk.app.database.read() as session:
        states = select(Delivery.state).where(Delivery.edition_id == edition_id)
        assert (await session.execute(states)).scalars().all() == [DeliveryState.PENDING]
    await walk.app.sweep()
    await walk.app.jobs.drain()
    async with walk.app.database.read() as session:
        assert (await session.execute(states)).scalars().all() == [DeliveryState.SKIPPED]
