"""A past edition is told from what is stored of it."""

import pytest
from house import House

from feedsvc.db.engine import Database
from feedsvc.editions.replay import load_rendered, load_replay
from feedsvc.errors import NotFound
from feedsvc.model.article import Article
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import GroupOutcome, ItemOutcome
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import Subscription

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    await house.open()
    return house


async def test_what_each_cohort_got_is_told_with_what_came_of_it(house: House) -> None:
    await house.change(Schedule, house.schedule_id, max_items=1)
    for _ in range(2):
        await house.join()
    await house.join(topics=["公交"])
    await house.join(topics=["京剧"])
    market, bus = await house.publish("夜市"), await house.publish("公交", topics=["公交"])
    edition = await house.edition()
    await house.change(Article, market, revision=2)
    async with house.database.read() as session:
        found = await load_replay(session, edition)
    assert (found.newsletter, found.schedule, found.zone) == ("daily", "morning", "Asia/Shanghai")
    both, only = found.cohorts
    assert (both.readers, dict(both.deliveries)) == (2, {DeliveryState.SENT: 2})
    outcomes = [(item.article_id, item.outcome, item.changed) for item in both.items]
    assert outcomes == [(bus, ItemOutcome.MAILED, False), (market, ItemOutcome.AND_MORE, True)]
    assert [item.article_id for item in only.items] == [bus]
    (wave,) = found.waves
    assert (wave.cut_seq, dict(wave.without_mail)) == (2, {GroupOutcome.NOTHING: 1})


async def test_the_mail_of_one_person_is_that_of_their_cohort(house: House) -> None:
    await house.join()
    reader = await house.join(topics=["公交"])
    passed_over = await house.join(topics=["京剧"])
    await house.publish("夜市")
    await house.publish("公交", topics=["公交"])
    edition = await house.edition()
    async with house.database.read() as session:
        person = (await session.get_one(Subscription, reader)).subscriber_id
        (cohort,) = (await load_replay(session, edition, person)).cohorts
        assert [item.title for item in cohort.items] == ["公交"]
        assert (await load_rendered(session, cohort.id)).subject == "头条"
        nobody = (await session.get_one(Subscription, passed_over)).subscriber_id
        with pytest.raises(NotFound, match="no mail to subscriber"):
            await load_replay(session, edition, nobody)
        with pytest.raises(NotFound, match="no edition 99"):
            await load_replay(session, 99)
