"""An edition's deliveries on real databases: complete or invisible, and never two for one."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from composer import compose
from newsroom import NOW, Newsroom
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.editions.fire import fire_due
from feedsvc.editions.progress import find_unfinished, finish_sent, start_frozen
from feedsvc.model.article import ArticleState
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import CohortItem, Edition, EditionState, ItemOutcome, Wave
from feedsvc.model.subscriber import Subscription, SubscriptionState

pytestmark = pytest.mark.anyio
OpenNewsroom = Callable[[AsyncSession], Awaitable[Newsroom]]


async def fire(database: Database) -> int:
    async with database.write() as session:
        (edition_id,) = await fire_due(session, NOW)
        return edition_id


async def test_a_period_is_fired_once_however_often_it_is_tried(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        await open_newsroom(session)
    await fire(database)
    async with database.write() as session:
        assert await fire_due(session, NOW) == []
        assert await fire_due(session, NOW + timedelta(minutes=5)) == []
        assert len(await fire_due(session, NOW + timedelta(days=1))) == 1


async def test_everyone_confirmed_with_something_new_gets_one_delivery(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        await newsroom.publish(topics=("科技",))
        await newsroom.publish(topics=("体育",))
        wants_all = await newsroom.join()
        wants_sport = await newsroom.join(topics=("体育",))
        wants_opera = await newsroom.join(topics=("京剧",))
        await newsroom.join(state=SubscriptionState.PENDING)
        await newsroom.join(state=SubscriptionState.UNSUBSCRIBED)
    edition_id = await fire(database)
    await compose(database, edition_id)
    async with database.write() as session:
        deliveries = (await session.execute(select(Delivery))).scalars().all()
        assert {d.subscription_id for d in deliveries} == {wants_all.id, wants_sport.id}
        moved_on = await session.get(Subscription, wants_opera.id)
        assert moved_on is not None
        assert moved_on.cursor == 2
        edition = await session.get(Edition, edition_id)
        assert edition is not None
        assert edition.state is EditionState.FROZEN
        assert edition.counters["left_out"] == {
            "not confirmed": 1,
            "unsubscribed": 1,
            "nothing new that matches their choices": 1,
        }
        assert await start_frozen(session) == [edition_id]


async def test_an_empty_period_sends_nothing_and_says_why(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        await newsroom.publish(announce=False)
        await newsroom.join()
    edition_id = await fire(database)
    await compose(database, edition_id)
    async with database.read() as session:
        edition = await session.get(Edition, edition_id)
        assert edition is not None
        assert edition.state is EditionState.SKIPPED
        assert edition.reason == "nothing to send: 1 nothing new that matches their choices"
        assert (await session.execute(select(Delivery))).first() is None


async def test_composing_again_after_a_crash_completes_without_doubling(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        await newsroom.publish(topics=("科技",))
        for zone in ("", "Asia/Shanghai", "Europe/Madrid"):
            await newsroom.join(topics=("科技",), zone=zone)
    edition_id = await fire(database)
    await compose(database, edition_id, until_chunk=1)
    async with database.write() as session:
        assert await start_frozen(session) == []
        assert (await session.execute(select(Delivery))).first() is not None
        assert (await find_unfinished(session, NOW)).compose == (edition_id,)
    await compose(database, edition_id)
    async with database.read() as session:
        rows = (await session.execute(select(col(Delivery.subscription_id)))).scalars().all()
        assert len(rows) == len(set(rows)) == 3


async def test_a_later_edition_takes_over_what_an_earlier_one_could_not_send(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        await newsroom.publish()
        await newsroom.join()
    first = await fire(database)
    await compose(database, first)
    async with database.write() as session:
        await start_frozen(session)
        await session.execute(update(Delivery).values(state=DeliveryState.DEFERRED))
        await fire_due(session, NOW + timedelta(days=1))
    await compose(database, first + 1, now=NOW + timedelta(days=1))
    async with database.write() as session:
        rows = (await session.execute(select(Delivery).order_by(Delivery.id))).scalars().all()
        assert [row.state for row in rows] == [DeliveryState.SUPERSEDED, DeliveryState.PENDING]
        assert rows[1].from_seq == 0
        assert await finish_sent(session, NOW) == 1


async def test_a_reader_whose_mail_is_on_its_way_waits_for_a_follow_up(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        await newsroom.publish()
        reader = await newsroom.join()
    first = await fire(database)
    await compose(database, first)
    async with database.write() as session:
        await start_frozen(session)
        await session.execute(update(Delivery).values(state=DeliveryState.DOT))
        counter = await session.get(type(newsroom.counter), "seq")
        assert counter is not None
        newsroom.session, newsroom.counter = session, counter
        await newsroom.publish("第二篇")
        await fire_due(session, NOW + timedelta(days=1))
    second = first + 1
    await compose(database, second, now=NOW + timedelta(days=1))
    async with database.write() as session:
        wave = (await session.execute(select(Wave).where(col(Wave.edition_id) == second))).scalar()
        assert wave is not None
        assert wave.waiting == 1
        # The first mail arrives: its window is settled, and the follow-up holds the rest.
        await session.execute(update(Delivery).values(state=DeliveryState.SENT))
        await session.execute(update(Subscription).values(cursor=1))
        await start_frozen(session)
        assert await finish_sent(session, NOW) == 1  # the first; the second waits for somebody
    await compose(database, second, now=NOW + timedelta(days=1))
    async with database.read() as session:
        follow_up = (
            await session.execute(select(Delivery).where(col(Delivery.edition_id) == second))
        ).scalar_one()
        assert (follow_up.subscription_id, follow_up.from_seq, follow_up.cut_seq) == (
            reader.id,
            1,
            2,
        )


async def test_a_withdrawn_article_is_recorded_and_not_mailed(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        await newsroom.publish()
        gone = await newsroom.publish(state=ArticleState.WITHDRAWN)
        await newsroom.join()
    edition_id = await fire(database)
    await compose(database, edition_id)
    async with database.read() as session:
        item = (
            await session.execute(select(CohortItem).where(col(CohortItem.article_id) == gone.id))
        ).scalar_one()
        assert item.outcome is ItemOutcome.WITHDRAWN
