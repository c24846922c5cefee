"""Where editions, zones, drafts and operators meet: nothing is lost, repeated or left lying."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from composer import compose
from edition_desk import Desk
from newsroom import NOW, Newsroom
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.deliveries.doubts import Settling
from feedsvc.deliveries.settle import settle_doubts
from feedsvc.editions import welcome
from feedsvc.editions.cohort_store import RenderedCohort
from feedsvc.editions.control import (
    cancel_edition,
    finish_cancelled,
    pause_edition,
    resume_edition,
)
from feedsvc.editions.fire import fire_due
from feedsvc.editions.progress import finish_sent, start_frozen
from feedsvc.editions.retry import retry_failed
from feedsvc.editions.welcome import choose_welcome, load_newcomers
from feedsvc.editions.withdrawals import Moved, find_affected, move_mails
from feedsvc.editions.without import Affected
from feedsvc.model.article import Article
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import CohortItem, Edition, ItemOutcome, Wave
from feedsvc.model.edition import EditionState as E
from feedsvc.model.newsletter import CatchUp, Newsletter, Review, Schedule
from feedsvc.model.subscriber import Subscription

pytestmark = pytest.mark.anyio
OpenNewsroom = Callable[[AsyncSession], Awaitable[Newsroom]]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: 08:00 in Shanghai; in Madrid it is that seven hours later, in New York thirteen.
EIGHT, MADRID, NEW_YORK = NOW, NOW + 7 * HOUR, NOW + 13 * HOUR
ZONES = ("Asia/Shanghai", "Europe/Madrid", "America/New_York")
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def set_up(
    database: Database,
    open_newsroom: OpenNewsroom,
    newsletter: dict[str, Any] | None = None,
    **schedule: Any,
) -> None:
    """A reader in each zone, who gets the newsletter at 08:00 there, and one article."""
    values = {"own_zone": True, "since": EIGHT - HOUR, **schedule}
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        for name, value in values.items():
            setattr(newsroom.schedule, name, value)
        for name, value in (newsletter or {}).items():
            setattr(newsroom.newsletter, name, value)
        for zone in ZONES:
            await newsroom.join(zone=zone)
        await newsroom.publish()


async def publish(database: Database, seq: int) -> None:
    async with database.write() as session:
        newsroom = Newsroom(session)
        newsroom.counter.value = seq - 1
        newsroom.counter = await session.merge(newsroom.counter)
        await newsroom.publish(f"第{seq}篇")


async def fire(database: Database, now: datetime) -> list[int]:
    async with database.write() as session:
        return await fire_due(session, now)


async def change(database: Database, table: type[Any], key: int, **values: Any) -> None:
    async with database.write() as session:
        row = await session.get_one(table, key)
        for name, value in values.items():
            setattr(row, name, value)


async def edition(database: Database, number: int = 1) -> Edition:
    async with database.read() as session:
        return await session.get_one(Edition, number)


async def waves(database: Database) -> dict[str, Wave]:
    async with database.read() as session:
        rows = (await session.execute(select(Wave).order_by(col(Wave.id)))).scalars()
        return {wave.zone: wave for wave in rows}


async def cursors(database: Database) -> list[int | None]:
    async with database.read() as session:
        rows = await session.execute(
            select(col(Subscription.cursor)).order_by(col(Subscription.id))
        )
        return list(rows.scalars())


async def mails(database: Database) -> list[tuple[int | None, S]]:
    """Whose there are, and how they stand."""
    async with database.read() as session:
        rows = await session.execute(
            select(col(Delivery.subscription_id), col(Delivery.state)).order_by(
                col(Delivery.subscription_id), col(Delivery.id)
            )
        )
        return [(row[0], row[1]) for row in rows.all()]


async def send_all(database: Database) -> None:
    """What is sending has been accepted."""
    async with database.write() as session:
        await start_frozen(session)
        for mail in (await session.execute(select(Delivery))).scalars():
            if mail.state is S.PENDING:
                mail.state = S.SENT
                subscription = await session.get_one(Subscription, mail.subscription_id)
                if subscription.cursor == mail.from_seq:
                    subscription.cursor = mail.cut_seq


async def test_zones_to_come_are_reviewed_though_the_first_was_missed(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database, open_newsroom, {"review": Review.DRAFT}, catch_up=CatchUp.MERGE, grace_minutes=60
    )
    # The service was off until four hours after it was eight in Shanghai.
    await fire(database, EIGHT + 4 * HOUR)
    assert (await edition(database)).state is E.DRAFT
    await fire(database, MADRID)
    await compose(database, 1, now=MADRID)
    assert await mails(database) == []
    assert (await waves(database))["Asia/Shanghai"].missed is CatchUp.MERGE


async def test_zones_that_come_while_an_edition_is_paused_get_it_when_it_goes_on(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom, catch_up=CatchUp.DROP, grace_minutes=60)
    await fire(database, EIGHT)
    await compose(database, 1)
    await send_all(database)
    async with database.write() as session:
        await pause_edition(session, 1, "stopped by the operator", EIGHT + HOUR)
    await fire(database, MADRID)
    await compose(database, 1, now=MADRID)
    assert len(await mails(database)) == 1
    await publish(database, 2)
    async with database.write() as session:
        await resume_edition(session, 1)
    later = MADRID + 3 * HOUR
    await fire(database, later)
    await compose(database, 1, now=later)
    assert (await waves(database))["Europe/Madrid"].cut_seq == 1
    assert await mails(database) == [(1, S.SENT), (2, S.PENDING)]
    assert await cursors(database) == [1, 0, 0]


async def test_a_period_that_is_dropped_takes_no_earlier_mail_back(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom, own_zone=False, catch_up=CatchUp.DROP, grace_minutes=60)
    await fire(database, EIGHT)
    await compose(database, 1)
    async with database.write() as session:
        await start_frozen(session)
        for mail in (await session.execute(select(Delivery))).scalars():
            # Refused for now, but for one.
            mail.state = S.DEFERRED if mail.subscription_id != 3 else S.FAILED
    await publish(database, 2)
    missed_at = EIGHT + DAY + 2 * HOUR
    await fire(database, missed_at)
    assert await compose(database, 2, now=missed_at) is E.FROZEN
    assert await mails(database) == [(1, S.DEFERRED), (2, S.DEFERRED), (3, S.FAILED)]
    assert await cursors(database) == [0, 0, 2]
    async with database.write() as session:
        for mail in (await session.execute(select(Delivery))).scalars():
            mail.state = {1: S.SENT, 2: S.EXPIRED}.get(mail.subscription_id or 0, mail.state)
        (await session.get_one(Subscription, 1)).cursor = 1
        await start_frozen(session)
    await compose(database, 2, now=missed_at + HOUR)
    assert await cursors(database) == [2, 2, 2]
    async with database.write() as session:
        await finish_sent(session, missed_at + HOUR)
    assert (await edition(database, 2)).state is E.DONE


async def test_a_cancel_drops_for_each_zone_what_its_wave_held(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom)
    async with database.write() as session:
        # Another in Shanghai whom the relay refused.
        newsroom = Newsroom(session)
        newsroom.newsletter = await session.get_one(Newsletter, 1)
        newsroom.schedule, newsroom.people = await session.get_one(Schedule, 1), 3
        await newsroom.join(zone="Asia/Shanghai")
    await fire(database, EIGHT)
    await compose(database, 1)
    async with database.write() as session:
        for mail in (await session.execute(select(Delivery))).scalars():
            if mail.subscription_id == 4:
                mail.state = S.FAILED
    await send_all(database)
    await publish(database, 2)
    await fire(database, MADRID)
    await compose(database, 1, now=MADRID)
    await publish(database, 3)
    async with database.write() as session:
        await cancel_edition(session, 1, drop=True)
    while True:
        async with database.write() as session:
            if not await finish_cancelled(session, 500, MADRID):
                break
    # Shanghai's held the first; Madrid's two, and New York would have had them too.
    assert await cursors(database) == [1, 2, 2, 1]
    assert (await edition(database)).done_at is not None
    assert (await edition(database)).counters["dropped"] == 3


async def test_who_was_mailed_and_moved_on_to_a_later_zone_loses_nothing_by_a_drop(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom)
    await fire(database, EIGHT)
    await compose(database, 1)
    await send_all(database)
    await publish(database, 2)
    await fire(database, MADRID)
    await change(database, Subscription, 1, zone="Europe/Madrid")
    async with database.write() as session:
        await cancel_edition(session, 1, drop=True)
        while await finish_cancelled(session, 500, MADRID):
            pass
    assert await cursors(database) == [1, 2, 2]
    assert (await edition(database)).done_at is not None


async def test_a_wave_stays_that_of_its_zone_when_the_schedule_gets_one_zone_for_all(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom, catch_up=CatchUp.DROP, grace_minutes=60)
    await fire(database, MADRID + 2 * HOUR)
    assert {wave.missed for wave in (await waves(database)).values()} == {CatchUp.DROP}
    await change(database, Schedule, 1, own_zone=False, since=MADRID + 2 * HOUR)
    await compose(database, 1, now=MADRID + 2 * HOUR)
    # New York's hour had not come.
    assert await cursors(database) == [1, 1, 0]


async def test_an_edition_of_which_every_zone_is_merged_says_so(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom, catch_up=CatchUp.MERGE, grace_minutes=60)
    late = NEW_YORK + 5 * HOUR
    await fire(database, late)
    async with database.write() as session:
        await finish_sent(session, late + DAY)
    skipped = await edition(database)
    assert skipped.state is E.SKIPPED
    assert "come with the next edition" in (skipped.reason or "")
    assert await cursors(database) == [0, 0, 0]


async def test_mails_of_an_edition_being_composed_are_searched_for_what_was_withdrawn(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition(E.COMPOSING, frozen=False)
    await desk.add_mail(edition_id, "lilei")
    async with desk.database.write() as session:
        newsroom = Newsroom(session)
        session.add(newsroom.counter)
        number = (await newsroom.publish()).id or 0
        session.add(
            CohortItem(
                cohort_id=desk.cohorts[edition_id],
                article_id=number,
                revision=1,
                position=0,
                outcome=ItemOutcome.MAILED,
            )
        )
        (await session.get_one(Article, number)).withdrawn_at = NOW
        await session.flush()
        assert await find_affected(session, [number]) == [edition_id]


async def test_a_welcome_edition_that_was_through_goes_on_with_the_mail_of_who_comes_later(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        newsroom.newsletter.welcome_items = 1
        await newsroom.publish()
        (await newsroom.join()).welcome_at = NOW
    await greet(database)
    await send_all(database)
    async with database.write() as session:
        assert await finish_sent(session, NOW) == 1
        newsroom = Newsroom(session)
        newsroom.newsletter = await session.get_one(Newsletter, 1)
        newsroom.schedule, newsroom.people = await session.get_one(Schedule, 1), 1
        (await newsroom.join()).welcome_at = NOW
    await greet(database)
    # Whatever comes after this transaction, it is sent.
    assert await mails(database) == [(1, S.SENT), (2, S.PENDING)]
    assert (await edition(database)).state is E.SENDING


async def greet(database: Database) -> None:
    async with database.write() as session:
        for newcomers in await load_newcomers(session):
            chosen = await choose_welcome(session, newcomers, NOW)
            mail = RenderedCohort("欢迎", "<p></p>", "", "", len(chosen.items))
            assert await welcome.greet(session, chosen, mail, NOW, DAY) == 1


@on_postgresql
async def test_a_mail_that_is_sent_again_while_its_edition_is_closed_keeps_it_open(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition()
    await desk.add_mail(edition_id, "alice", S.FAILED)

    async def close() -> None:
        async with desk.database.write() as session:
            await finish_sent(session, NOW)

    async with desk.database.write() as session:
        retried = await retry_failed(session, edition_id, NOW, DAY)
        assert retried.again == 1
        await asyncio.wait_for(close(), 5)
    assert (await desk.edition(edition_id)).state is E.SENDING


@on_postgresql
async def test_a_mail_in_doubt_that_goes_again_while_its_edition_is_closed_opens_it_again(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition()
    mail = await desk.add_mail(edition_id, "alice", S.UNCERTAIN, doubts=1)

    async def send_again() -> None:
        async with desk.database.write() as session:
            lasts = {"digests_expire_after": DAY, "notices_expire_after": DAY}
            settled = await settle_doubts(session, Settling.AGAIN, [mail], NOW, **lasts)
            assert settled.done == [mail]

    async with desk.database.write() as session:
        assert await finish_sent(session, NOW) == 1
        sending = asyncio.create_task(send_again())
        await until_it_waits(desk.database, sending)
    await sending
    assert (await desk.edition(edition_id)).state is E.SENDING


async def until_it_waits(database: Database, task: asyncio.Task[None]) -> None:
    """Until a task is done, or somebody waits for a lock."""
    waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    while not task.done():
        async with database.engine.connect() as connection:
            if await connection.scalar(waits):
                return


@on_postgresql
async def test_a_cancel_outlasts_the_end_of_an_edition_without_mails(desk: Desk) -> None:
    edition_id = await desk.add_edition(E.COMPOSING, open_until=NOW - HOUR)

    async def close() -> None:
        async with desk.database.write() as session:
            await finish_sent(session, NOW)

    async with desk.database.write() as session:
        await cancel_edition(session, edition_id, drop=True)
        await asyncio.wait_for(close(), 5)
    assert (await desk.edition(edition_id)).state is E.CANCELLED


@on_postgresql
async def test_who_is_composed_for_is_not_waited_for_with_their_emptied_mail_in_hand(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition()
    await desk.add_mail(edition_id, "alice")
    cohort = Affected(desk.cohorts[edition_id], "zh-CN", "plain", "k", (), {})

    async def move() -> Moved:
        async with desk.database.write() as session:
            return await move_mails(session, cohort, edition_id, None, NOW)

    async with desk.database.write() as session:
        await session.execute(select(col(Subscription.id)).with_for_update(key_share=True))
        assert await asyncio.wait_for(move(), 5) == Moved()
    assert await move() == Moved(emptied=1)
