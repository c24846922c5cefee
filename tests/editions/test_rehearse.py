"""A rehearsal decides as composing does, for now and for later, and changes nothing."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from composer import compose
from house import DAY, MORNING, House
from sqlalchemy import select
from sqlmodel import col

from feedsvc.articles.publish import publish_due
from feedsvc.audience.choices import resume_due
from feedsvc.db.engine import Database
from feedsvc.editions.fire import fire_due
from feedsvc.editions.registry import find_newsletter
from feedsvc.editions.rehearsal import Rehearsal
from feedsvc.editions.rehearse import choose_cohort, rehearse
from feedsvc.errors import NotFound
from feedsvc.model import metadata
from feedsvc.model.article import ArticleState
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Cohort, CohortItem, Curation, Edition, EditionState
from feedsvc.model.newsletter import DroppedArticle, Newsletter, PinnedNote, Schedule
from feedsvc.model.subscriber import AddressState, Resume, Subscriber, SubscriptionState

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
NEXT = MORNING + DAY


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    await house.open()
    return house


async def look(house: House, at: datetime | None = None, **choices: Any) -> Rehearsal:
    async with house.database.read() as session:
        row = await find_newsletter(session, "daily")
        (found,) = await rehearse(session, row, house.now, at=at, **choices)
        return found


def mailed(found: Rehearsal) -> dict[int, int]:
    """Article -> how many would get it."""
    return {one.id: one.outcomes["mailed"] for one in found.articles if "mailed" in one.outcomes}


async def dump(database: Database) -> dict[str, list[Any]]:
    """Every row there is."""
    async with database.read() as session:
        return {
            name: [tuple(map(repr, row)) for row in (await session.execute(select(table))).all()]
            for name, table in metadata.tables.items()
        }


# As composing does it


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_rehearsed_for_now_is_what_is_composed_then(house: House, seed: int) -> None:
    chance = random.Random(seed)
    await _live(house, chance)
    house.now += DAY
    before = await dump(house.database)
    rehearsed = await look(house, house.now)
    assert await dump(house.database) == before
    await _compose_and_compare(house, rehearsed)


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_rehearsed_for_later_is_what_comes_if_all_goes_as_foreseen(
    house: House, seed: int
) -> None:
    chance = random.Random(seed)
    await _live(house, chance)
    under_way = await house.edition(send=False)
    hours_of_change = (2, 8, 14)
    for hours in hours_of_change:
        at = house.now + hours * HOUR
        scheduled: dict[str, Any] = {"state": ArticleState.SCHEDULED, "published_at": at}
        await house.publish(topics=["夜市"], story=chance.choice((None, "a", "c")), **scheduled)
        paused: dict[str, Any] = {"state": SubscriptionState.PAUSED, "paused_until": at + HOUR}
        await house.join(**paused, resume=chance.choice(list(Resume)))
    rehearsed = await look(house)
    await house.end(under_way, DeliveryState.SENT)
    began = house.now
    for hours in hours_of_change:
        async with house.database.write() as session:
            await publish_due(session, began + hours * HOUR)
        async with house.database.write() as session:
            await resume_due(session, began + (hours + 1) * HOUR, 100)
    house.now += DAY
    await _compose_and_compare(house, rehearsed)


async def _compose_and_compare(house: House, rehearsed: Rehearsal) -> None:
    async with house.database.write() as session:
        (edition_id,) = await fire_due(session, house.now)
    await compose(house.database, edition_id, now=house.now)
    made, readers = await _composed(house.database, edition_id)
    assert rehearsed.readers == readers
    assert sorted((one.readers, *_items(one)) for one in rehearsed.cohorts) == sorted(made)
    async with house.database.read() as session:
        edition = await session.get_one(Edition, edition_id)
    assert rehearsed.left_out == edition.counters["left_out"]


async def _live(house: House, chance: random.Random) -> None:
    """A few days of articles and readers of all kinds."""
    topics = ["京剧", "公交", "夜市"]
    await house.change(Schedule, house.schedule_id, max_items=3, min_items=chance.choice((1, 2)))
    for _ in range(3):
        for _ in range(chance.randint(1, 3)):
            state = chance.choice([SubscriptionState.ACTIVE] * 3 + [SubscriptionState.UNSUBSCRIBED])
            await house.join(
                topics=chance.sample(topics, chance.randint(0, 2)),
                language=chance.choice(("zh", "en")),
                state=state,
            )
        for _ in range(chance.randint(0, 4)):
            article = await house.publish(
                topics=chance.sample(topics, 1),
                announce=chance.random() > 0.1,
                story=chance.choice((None, None, "a", "b")),
                state=chance.choice([ArticleState.PUBLISHED] * 5 + [ArticleState.WITHDRAWN]),
            )
            if chance.random() < 0.1:
                await house.add(
                    DroppedArticle(
                        newsletter_id=house.newsletter_id,
                        article_id=article,
                        at=house.now,
                        by="operator",
                    )
                )
        edition = await house.edition(send=False)
        came_to = chance.choice((DeliveryState.SENT, DeliveryState.SENT, DeliveryState.FAILED))
        await house.end(edition, came_to)
    for _ in range(4):
        await house.publish(topics=chance.sample(topics, 2), story=chance.choice((None, "a", "c")))


def _items(cohort: Any) -> tuple[Any, ...]:
    items = tuple((item.article_id, item.outcome.value) for item in cohort.plan.items)
    return cohort.plan.language, items


async def _composed(database: Database, edition_id: int) -> tuple[list[Any], int]:
    """What each cohort got, with how many they are; and how many there are in all."""
    async with database.read() as session:
        rows = await session.execute(select(Delivery).where(col(Delivery.edition_id) == edition_id))
        readers = Counter(one.cohort_id for one in rows.scalars())
        made = []
        for cohort_id, count in readers.items():
            items = await session.execute(
                select(CohortItem)
                .where(col(CohortItem.cohort_id) == cohort_id)
                .order_by(col(CohortItem.position))
            )
            language = (await session.get_one(Cohort, cohort_id)).language
            listed = tuple((one.article_id, one.outcome.value) for one in items.scalars())
            made.append((count, language, listed))
        return made, readers.total()


# A moment to come


async def test_without_a_moment_it_is_the_next_due_time(house: House) -> None:
    await house.join()
    article = await house.publish()
    found = await look(house)
    assert (found.next_due_at, found.waves[0].due_at) == (NEXT, NEXT)
    assert (found.readers, mailed(found)) == (1, {article: 1})


async def test_articles_scheduled_before_then_are_counted_and_no_later_ones(house: House) -> None:
    await house.join()
    scheduled = {"state": ArticleState.SCHEDULED}
    before = await house.publish("元旦", **scheduled, published_at=NEXT - HOUR)
    after = await house.publish("春节", **scheduled, published_at=NEXT + HOUR)
    await house.publish("存档", **scheduled, published_at=NEXT - HOUR, announce=False)
    found = await look(house)
    assert mailed(found) == {before: 1}
    (article,) = found.articles
    assert (article.title, article.scheduled) == ("元旦", True)
    later = await look(house, NEXT + DAY)
    assert mailed(later) == {before: 1, after: 1}
    assert later.before == 1


async def test_who_pauses_until_before_then_is_counted_by_their_rule(house: House) -> None:
    paused: dict[str, Any] = {
        "state": SubscriptionState.PAUSED,
        "paused_until": NEXT - 2 * HOUR,
    }
    await house.join(**paused, resume=Resume.CATCH_UP)
    await house.join(**paused, resume=Resume.NOW)
    await house.join(**(paused | {"paused_until": NEXT + HOUR}))
    missed = await house.publish("早")
    scheduled = {"state": ArticleState.SCHEDULED}
    also_missed = await house.publish("中", **scheduled, published_at=NEXT - 3 * HOUR)
    theirs = await house.publish("晚", **scheduled, published_at=NEXT - HOUR)
    found = await look(house)
    assert mailed(found) == {missed: 1, also_missed: 1, theirs: 2}
    assert found.left_out == {"paused": 1}
    assert (await look(house, house.now)).left_out == {"paused": 3}


async def test_a_mail_on_its_way_is_taken_to_arrive(house: House) -> None:
    await house.join()
    await house.publish(story="s")
    await house.edition(send=False)
    assert (await look(house)).left_out == {"nothing new since their last mail": 1}
    await house.publish(story="s")
    other = await house.publish()
    found = await look(house)
    assert mailed(found) == {other: 1}
    assert found.articles[1].outcomes == {"duplicate": 1}


async def test_a_moment_without_a_zone_is_in_that_of_the_schedule(house: House) -> None:
    found = await look(house, datetime.fromisoformat("2026-12-01 08:00"))
    assert found.waves[0].due_at == datetime.fromisoformat("2026-12-01T00:00+00:00")
    assert found.before == 8
    assert (await look(house, found.waves[0].due_at)).waves[0].due_at == found.waves[0].due_at


async def test_a_moment_that_is_past_is_refused(house: House) -> None:
    with pytest.raises(NotFound, match="past"):
        await look(house, house.now - HOUR)
    with pytest.raises(NotFound, match="no schedule 'hourly'"):
        await look(house, schedule="hourly")


async def test_own_zones_have_their_due_times_and_counts(house: House) -> None:
    await house.change(Schedule, house.schedule_id, own_zone=True)
    for zone in ("Europe/Madrid", "", "", "America/New_York"):
        await house.join(zone=zone)
    article = await house.publish(
        state=ArticleState.SCHEDULED, published_at=MORNING + timedelta(hours=8)
    )
    await house.publish()
    found = await look(house)
    # It is 02:00 in Madrid: there it is still this morning's.
    assert [(wave.zone, wave.due_at, wave.readers) for wave in found.waves] == [
        ("Europe/Madrid", MORNING + timedelta(hours=7), 1),
        ("America/New_York", MORNING + timedelta(hours=13), 1),
        ("Asia/Shanghai", NEXT, 2),
    ]
    assert found.next_due_at == MORNING + timedelta(hours=7)
    assert mailed(found)[article] == 3
    local = await look(house, datetime.fromisoformat("2026-12-01 08:00"))
    assert [f"{wave.composing.day}" for wave in local.waves] == ["2026-12-01"] * 3


async def test_each_article_is_due_when_it_has_settled(house: House) -> None:
    await house.change(Schedule, house.schedule_id, cron="", settle_minutes=10)
    await house.join()
    assert (await look(house)).next_due_at is None
    article = await house.publish()
    found = await look(house)
    assert found.next_due_at == house.now + timedelta(minutes=10)
    assert mailed(found) == {article: 1}


async def test_a_draft_is_rehearsed_with_its_cut_and_what_was_taken_out(house: House) -> None:
    await house.join()
    first, second = await house.publish(), await house.publish()
    await house.publish()
    draft = Edition(
        newsletter_id=house.newsletter_id,
        schedule_id=house.schedule_id,
        period="2026-11-23T00:00:00Z",
        state=EditionState.DRAFT,
        due_at=NEXT,
        cut_seq=2,
        curation=Curation(dropped=(first,), intro="各位早。").stored(),
        created_at=house.now,
    )
    await house.add(draft)
    found = await look(house)
    assert found.edition_state is EditionState.DRAFT
    assert mailed(found) == {second: 1}
    assert found.cohorts[0].wave.composing.curation.intro == "各位早。"
    # By a later moment it has gone.
    assert (await look(house, NEXT + HOUR)).edition_id is None


async def test_notes_make_mails_by_language(house: House) -> None:
    await house.join()
    await house.join(language="en")
    await house.publish()
    note = PinnedNote(
        newsletter_id=house.newsletter_id,
        text="停电通知",
        language="zh",
        starts_at=MORNING,
        created_at=house.now,
        created_by="operator",
    )
    await house.add(note)
    found = await look(house)
    assert found.waves[0].notes == {"en": [], "zh": ["停电通知"]}
    assert len(found.cohorts) == 2


async def test_too_few_are_told_as_carried_over(house: House) -> None:
    await house.change(Schedule, house.schedule_id, min_items=2)
    await house.join()
    await house.publish()
    found = await look(house)
    assert (found.readers, found.cohorts) == (0, ())
    assert found.articles[0].outcomes == {"carried": 1}
    assert found.left_out == {"too few new articles, carried over": 1}


async def test_addresses_that_cannot_be_mailed_are_told(house: House) -> None:
    await house.join()
    await house.join()
    await house.change(Subscriber, 1, state=AddressState.DEAD)
    await house.publish()
    assert (await look(house)).left_out == {"address dead": 1}


# The mail of a reader


async def test_the_mail_of_a_reader_with_given_choices_can_be_had(house: House) -> None:
    await house.join()
    opera = await house.publish(topics=["京剧"])
    await house.publish(topics=["公交"])
    found = await look(house)
    chosen = choose_cohort(found, "en", ["京剧"])
    assert _items(chosen) == ("en", ((opera, "mailed"),))
    with pytest.raises(NotFound, match="no mail"):
        choose_cohort(found, None, ["足球"])


async def test_what_the_newsletter_does_not_hold_is_not_rehearsed(house: House) -> None:
    await house.change(Newsletter, house.newsletter_id, filter='section = "科技"')
    await house.join()
    await house.publish(section="体育")
    await house.publish(section="体育", state=ArticleState.SCHEDULED, published_at=house.now + HOUR)
    found = await look(house)
    assert found.articles == ()
    assert found.left_out == {"nothing new that matches their choices": 1}
