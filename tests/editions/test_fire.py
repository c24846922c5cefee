"""Which editions come into being, and when: one a schedule and period, a wave a zone."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from composer import compose
from newsroom import NOW, Newsroom
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.editions.fire import fire_due, is_anything_due, load_due_times
from feedsvc.editions.progress import find_unfinished, finish_sent, start_frozen
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState, GroupOutcome, ReaderGroupRow, Wave
from feedsvc.model.newsletter import CatchUp, Newsletter, Review, Schedule
from feedsvc.model.subscriber import Subscription

pytestmark = pytest.mark.anyio
OpenNewsroom = Callable[[AsyncSession], Awaitable[Newsroom]]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: 08:00 in Shanghai; the schedules of these tests begin two days before.
EIGHT = NOW


async def set_up(
    database: Database,
    open_newsroom: OpenNewsroom,
    *,
    zones: tuple[str, ...] = ("",),
    newsletter: dict[str, Any] | None = None,
    articles: int = 1,
    **schedule: Any,
) -> None:
    """A newsletter with a schedule like this, a reader in each zone, and articles."""
    async with database.write() as session:
        newsroom = await open_newsroom(session)
        for name, value in schedule.items():
            setattr(newsroom.schedule, name, value)
        for name, value in (newsletter or {}).items():
            setattr(newsroom.newsletter, name, value)
        for zone in zones:
            await newsroom.join(zone=zone)
        for _ in range(articles):
            await newsroom.publish()


async def fire(database: Database, now: datetime) -> list[int]:
    async with database.read() as session:
        due = await is_anything_due(session, now)
    async with database.write() as session:
        made = await fire_due(session, now)
    assert bool(made) is due
    async with database.read() as session:
        assert not await is_anything_due(session, now)
    return made


async def editions(database: Database) -> list[Edition]:
    async with database.read() as session:
        return list((await session.execute(select(Edition).order_by(col(Edition.id)))).scalars())


async def waves(database: Database) -> dict[str, Wave]:
    async with database.read() as session:
        rows = (await session.execute(select(Wave).order_by(col(Wave.id)))).scalars()
        return {wave.zone: wave for wave in rows}


async def publish(database: Database, title: str, seq: int, at: datetime) -> None:
    async with database.write() as session:
        newsroom = Newsroom(session)
        newsroom.counter.value = seq - 1
        newsroom.counter = await session.merge(newsroom.counter)
        article = await newsroom.publish(title, published_at=at)
        article.stored_at = at


async def test_readers_in_their_own_zones_are_one_edition_and_a_wave_as_each_hour_comes(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database,
        open_newsroom,
        zones=("", "Europe/Madrid", "America/New_York", "No/Such_Zone"),
        own_zone=True,
        since=EIGHT - HOUR,
    )
    # Midnight UTC is 08:00 in Shanghai, where those of no known zone are taken to be.
    assert await fire(database, EIGHT) == [1]
    assert list(await waves(database)) == ["Asia/Shanghai"]
    assert await compose(database, 1) is EditionState.FROZEN
    assert await fire(database, EIGHT + 6 * HOUR) == []
    assert await fire(database, EIGHT + 7 * HOUR) == [1]
    assert await fire(database, EIGHT + 13 * HOUR) == [1]
    assert {zone: wave.due_at for zone, wave in (await waves(database)).items()} == {
        "Asia/Shanghai": EIGHT,
        "Europe/Madrid": EIGHT + 7 * HOUR,
        "America/New_York": EIGHT + 13 * HOUR,
    }
    (edition,) = await editions(database)
    assert (edition.period, edition.due_at) == ("2026-11-22T08:00", EIGHT)
    await compose(database, 1, now=EIGHT + 13 * HOUR)
    async with database.read() as session:
        rows = (await session.execute(select(col(Delivery.subscription_id)))).scalars().all()
    assert sorted(row or 0 for row in rows) == [1, 2, 3, 4]


async def test_a_later_wave_holds_what_has_come_since_the_earlier(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database,
        open_newsroom,
        zones=("Asia/Shanghai", "Europe/Madrid"),
        own_zone=True,
        since=EIGHT - HOUR,
    )
    await fire(database, EIGHT)
    await publish(database, "晚些时候", 2, EIGHT + HOUR)
    await fire(database, EIGHT + 7 * HOUR)
    assert [wave.cut_seq for wave in (await waves(database)).values()] == [1, 2]


async def test_an_edition_for_all_zones_ends_when_the_last_has_had_its_hour(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database, open_newsroom, zones=("Asia/Shanghai",), own_zone=True, since=EIGHT - HOUR
    )
    await fire(database, EIGHT)
    await compose(database, 1)
    async with database.write() as session:
        await start_frozen(session)
        for row in (await session.execute(select(Delivery))).scalars():
            row.state = DeliveryState.SENT
        await session.flush()
        assert await finish_sent(session, EIGHT + HOUR) == 0
        assert not (await find_unfinished(session, EIGHT + HOUR)).deliver
        assert await finish_sent(session, EIGHT + DAY) == 1


async def test_an_edition_for_all_zones_that_had_nothing_is_skipped_at_its_end(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database,
        open_newsroom,
        zones=("Asia/Shanghai",),
        own_zone=True,
        since=EIGHT - HOUR,
        articles=0,
    )
    await fire(database, EIGHT)
    assert await compose(database, 1) is EditionState.COMPOSING
    async with database.write() as session:
        assert await finish_sent(session, EIGHT + DAY) == 1
    (edition,) = await editions(database)
    assert edition.state is EditionState.SKIPPED
    assert edition.reason == "nothing to send: 1 nothing new since their last mail"


async def test_who_comes_to_a_zone_after_its_hour_waits_for_the_next(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database,
        open_newsroom,
        zones=("Asia/Shanghai", "Europe/Madrid"),
        own_zone=True,
        since=EIGHT - 2 * HOUR,
    )
    await fire(database, EIGHT)
    async with database.write() as session:
        row = await session.get_one(Subscription, 2)
        row.zone = "Asia/Tokyo"  # where it was eight an hour before it was in Shanghai
    await fire(database, EIGHT + 2 * HOUR)
    made = await waves(database)
    assert made["Asia/Tokyo"].missed is CatchUp.MERGE
    assert made["Asia/Tokyo"].composed_at == EIGHT + 2 * HOUR
    # The day after they are mailed at their hour, with all that is new to them.
    assert await fire(database, EIGHT + DAY - HOUR) == [2]
    await compose(database, 2, now=EIGHT + DAY - HOUR)
    async with database.read() as session:
        mail = (await session.execute(select(Delivery))).scalar_one()
    assert (mail.subscription_id, mail.from_seq) == (2, 0)


@pytest.mark.parametrize("own_zone", [False, True], ids=["one zone", "own zone"])
async def test_after_weeks_off_one_edition_holds_everything(
    database: Database, open_newsroom: OpenNewsroom, own_zone: bool
) -> None:
    await set_up(database, open_newsroom, own_zone=own_zone)
    back = EIGHT + 23 * DAY + 3 * HOUR
    assert await fire(database, back) == [1]
    assert await compose(database, 1, now=back) is EditionState.FROZEN
    (edition,) = await editions(database)
    assert edition.period.startswith("2026-12-15T0")


@pytest.mark.parametrize("own_zone", [False, True], ids=["one zone", "own zone"])
async def test_a_missed_period_that_is_merged_leaves_its_articles_to_the_next(
    database: Database, open_newsroom: OpenNewsroom, own_zone: bool
) -> None:
    await set_up(database, open_newsroom, catch_up=CatchUp.MERGE, own_zone=own_zone)
    back = EIGHT + 3 * HOUR
    await fire(database, back)
    await compose(database, 1, now=back)
    async with database.write() as session:
        await finish_sent(session, EIGHT + DAY)
    (edition,) = await editions(database)
    assert edition.state is EditionState.SKIPPED
    await fire(database, EIGHT + DAY)
    await compose(database, 2, now=EIGHT + DAY)
    async with database.read() as session:
        mail = (await session.execute(select(Delivery))).scalar_one()
    assert (mail.edition_id, mail.from_seq) == (2, 0)


@pytest.mark.parametrize("own_zone", [False, True], ids=["one zone", "own zone"])
async def test_a_missed_period_that_is_dropped_moves_its_readers_on(
    database: Database, open_newsroom: OpenNewsroom, own_zone: bool
) -> None:
    await set_up(database, open_newsroom, catch_up=CatchUp.DROP, own_zone=own_zone)
    back = EIGHT + 3 * HOUR
    await fire(database, back)
    await compose(database, 1, now=back)
    async with database.write() as session:
        await finish_sent(session, EIGHT + DAY)
        assert (await session.execute(select(Delivery))).first() is None
        assert (await session.get_one(Subscription, 1)).cursor == 1
        group = (await session.execute(select(ReaderGroupRow))).scalar_one()
        assert (group.outcome, group.readers) == (GroupOutcome.DROPPED, 1)
    (edition,) = await editions(database)
    assert edition.reason == "nothing to send: 1 their period was missed and is dropped"


async def test_a_little_late_is_not_missed(database: Database, open_newsroom: OpenNewsroom) -> None:
    await set_up(database, open_newsroom, catch_up=CatchUp.DROP)
    await fire(database, EIGHT + timedelta(minutes=59))
    assert (await waves(database))["Asia/Shanghai"].missed is None


async def test_a_clock_that_goes_back_makes_no_second_edition(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom, own_zone=True, zones=("", "Europe/Madrid"))
    await fire(database, EIGHT + 40 * DAY)
    before = len(await editions(database))
    for days in (0, 1, 2):
        await fire(database, EIGHT + days * DAY)
    made = await editions(database)
    assert len({edition.period for edition in made}) == len(made)
    assert len(made) > before


async def test_a_draft_is_made_ahead_and_holds_what_there_is_then(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database,
        open_newsroom,
        newsletter={"review": Review.DRAFT, "review_minutes": 120},
        since=EIGHT - 3 * HOUR,
    )
    assert await fire(database, EIGHT - 2 * HOUR - timedelta(seconds=1)) == []
    assert await fire(database, EIGHT - 2 * HOUR) == [1]
    (edition,) = await editions(database)
    assert (edition.state, edition.due_at, edition.cut_seq) == (EditionState.DRAFT, EIGHT, 1)
    assert (await waves(database))["Asia/Shanghai"].due_at == EIGHT
    assert await fire(database, EIGHT) == []
    async with database.read() as session:
        assert (await find_unfinished(session, EIGHT)).compose == ()
        assert await load_due_times(session, EIGHT) == {1: EIGHT + DAY - 2 * HOUR}


async def test_a_draft_for_all_zones_gives_them_all_the_same_articles(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database,
        open_newsroom,
        zones=("Asia/Shanghai", "Europe/Madrid"),
        own_zone=True,
        newsletter={"review": Review.DRAFT, "review_minutes": 60},
        since=EIGHT - 3 * HOUR,
    )
    assert await fire(database, EIGHT - HOUR) == [1]
    (edition,) = await editions(database)
    assert (edition.state, edition.due_at) == (EditionState.DRAFT, EIGHT)
    await publish(database, "审稿之后", 2, EIGHT)
    await fire(database, EIGHT)
    await fire(database, EIGHT + 7 * HOUR)
    assert [wave.cut_seq for wave in (await waves(database)).values()] == [1, 1]


async def test_a_draft_that_is_late_can_still_be_looked_at(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom, newsletter={"review": Review.DRAFT, "review_minutes": 30})
    await fire(database, EIGHT + 5 * HOUR)
    (edition,) = await editions(database)
    assert edition.due_at == EIGHT + 5 * HOUR + timedelta(minutes=30)


async def test_each_article_goes_when_it_has_settled(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    minute = timedelta(minutes=1)
    await set_up(
        database, open_newsroom, cron="", settle_minutes=10, settle_max_minutes=30, articles=0
    )
    assert await fire(database, EIGHT) == []
    await publish(database, "快讯", 1, EIGHT)
    assert await fire(database, EIGHT + 9 * minute) == []
    await publish(database, "更新", 2, EIGHT + 9 * minute)
    assert await fire(database, EIGHT + 18 * minute) == []
    assert await fire(database, EIGHT + 19 * minute) == [1]
    (edition,) = await editions(database)
    assert edition.period == "1"
    await publish(database, "另一篇", 3, EIGHT + HOUR)
    assert await fire(database, EIGHT + HOUR + 10 * minute) == [2]
    assert [one.period for one in await editions(database)] == ["1", "3"]


async def test_articles_that_keep_coming_do_not_hold_the_first_up_for_ever(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    minute = timedelta(minutes=1)
    await set_up(
        database, open_newsroom, cron="", settle_minutes=10, settle_max_minutes=30, articles=0
    )
    for seq in range(1, 5):
        at = EIGHT + 9 * seq * minute
        if seq < 4:
            assert await fire(database, at) == []
        await publish(database, f"第 {seq} 条", seq, at)
    assert await fire(database, EIGHT + 39 * minute) == [1]


async def test_what_is_not_announced_or_not_the_newsletters_makes_no_edition(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(
        database,
        open_newsroom,
        cron="",
        newsletter={"filter": 'title contains "地铁"'},
    )
    assert await fire(database, EIGHT + HOUR) == []
    await publish(database, "地铁新线开通", 2, EIGHT)
    assert await fire(database, EIGHT + HOUR) == [1]
    (edition,) = await editions(database)
    assert edition.period == "2"


async def test_a_retired_schedule_or_newsletter_begins_nothing(
    database: Database, open_newsroom: OpenNewsroom
) -> None:
    await set_up(database, open_newsroom, retired=True)
    assert await fire(database, EIGHT) == []
    async with database.write() as session:
        (await session.execute(select(Schedule))).scalar_one().retired = False
        (await session.execute(select(Newsletter))).scalar_one().retired = True
    assert await fire(database, EIGHT) == []
