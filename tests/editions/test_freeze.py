"""An edition's deliveries on real databases: complete or invisible, and never two for one."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from newsroom import NOW, Newsroom
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.editions.cohorts import group_readers
from feedsvc.editions.fire import fire_due
from feedsvc.editions.freeze import (
    RenderedCohort,
    load_announced,
    load_composing,
    store_chunk,
    store_cohort,
)
from feedsvc.editions.progress import find_unfinished, finish_sent, freeze_edition, start_frozen
from feedsvc.editions.readers import load_groups
from feedsvc.model.article import ArticleState
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import CohortItem, Edition, EditionState, ItemOutcome, Wave
from feedsvc.model.subscriber import Subscription, SubscriptionState

pytestmark = pytest.mark.anyio
OpenNewsroom = Callable[[AsyncSession], Awaitable[Newsroom]]


async def compose(database: Database, edition_id: int, *, until_group: int = 99) -> None:
    """Compose as the pipeline does; `until_group` stops early, as a crash would."""
    async with database.read() as session:
        composing = await load_composing(session, edition_id)
        assert composing is not None
        cut = composing.wave.cut_seq
        groups = await load_groups(session, composing.edition, cut)
        facts = await load_announced(session, composing.selection, 0, cut)
    grouping = group_readers(groups, facts, cut_seq=cut, max_items=30, theme="plain")
    for number, group in enumerate(groups):
        if number >= until_group:
            return
        async with database.write() as session:
            key = grouping.cohort_of.get(group)
            cohort_id = None
            if key is not None:
                plan = grouping.cohorts[key]
                rendered = RenderedCohort("头条", "<p></p>", "", "", len(plan.items))
                cohort_id = await store_cohort(session, edition_id, plan, "plain", rendered)
            after: int | None = 0
            while after is not None:
                after = await store_chunk(
                    session,
                    composing,
                    group,
                    cohort_id,
                    after_id=after,
                    now=NOW,
                    expires_after=timedelta(hours=24),
                )
    async with database.write() as session:
        assert await freeze_edition(session, composing, NOW) is not None


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
            "nothing new since their last mail": 1,
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
        assert edition.reason == "nothing to send: 1 nothing new since their last mail"
        assert (await session.execute(select(Delivery))).first() is None


async def test_composing_again_after_a_crash_completes_without_doubling(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        await newsroom.publish(topics=("科技",))
        for topics in ((), ("科技",), ("科技", "体育")):
            await newsroom.join(topics=topics)
    edition_id = await fire(database)
    await compose(database, edition_id, until_group=1)
    async with database.write() as session:
        assert await start_frozen(session) == []
        assert await find_unfinished(session) == {EditionState.COMPOSING: [edition_id]}
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
    await compose(database, first + 1)
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
    await compose(database, second)
    async with database.write() as session:
        wave = (await session.execute(select(Wave).where(col(Wave.edition_id) == second))).scalar()
        assert wave is not None
        assert wave.waiting == 1
        # The first mail arrives: its window is settled, and the follow-up holds the rest.
        await session.execute(update(Delivery).values(state=DeliveryState.SENT))
        await session.execute(update(Subscription).values(cursor=1))
        await start_frozen(session)
        assert await finish_sent(session, NOW) == 1  # the first; the second waits for somebody
    await compose(database, second)
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
