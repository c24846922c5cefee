"""What is stored tells why somebody got an article, or did not: read back from real editions."""

from dataclasses import replace

import pytest
from house import DAY, House

from feedsvc.db.engine import Database
from feedsvc.editions.control import cancel_edition, finish_cancelled
from feedsvc.editions.explain import load_facts
from feedsvc.editions.why import Explanation, Fate, explain
from feedsvc.editions.why.facts import Facts
from feedsvc.errors import NotFound
from feedsvc.model.article import Article, ArticleState, Source
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import Curation, Edition, EditionState, GroupOutcome, ItemOutcome
from feedsvc.model.newsletter import DroppedArticle, Newsletter, Schedule
from feedsvc.model.subscriber import Resume, Subscription, SubscriptionState

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    await house.open()
    return house


async def facts(house: House, subscription_id: int, article_id: int) -> Facts:
    async with house.database.read() as session:
        subscription = await session.get_one(Subscription, subscription_id)
        article = await session.get_one(Article, article_id)
        (found,) = await load_facts(session, article, subscription.subscriber_id, house.now)
        return found


async def ask(house: House, subscription_id: int, article_id: int) -> Explanation:
    return explain(await facts(house, subscription_id, article_id))


async def test_what_they_got_is_told_with_its_edition_and_the_reply(house: House) -> None:
    reader = await house.join()
    article = await house.publish()
    edition = await house.edition()
    answer = await ask(house, reader, article)
    assert (answer.outcome, answer.edition_id) == (Fate.ARRIVED, edition)
    assert f"in edition {edition} (Mon 2026-11-23 08:00 Asia/Shanghai), sent" in answer.sentence
    assert answer.sentence.endswith(": 250 ok.")


async def test_what_was_beyond_the_limit_is_told(house: House) -> None:
    await house.change(Schedule, house.schedule_id, max_items=1)
    reader = await house.join()
    older = await house.publish()
    house.now += DAY / 24
    await house.publish()
    await house.edition()
    assert (await ask(house, reader, older)).outcome is Fate.AND_MORE


async def test_a_mail_under_way_is_told_with_the_state_of_its_row(house: House) -> None:
    reader = await house.join()
    article = await house.publish()
    edition = await house.edition(send=False)
    assert (await ask(house, reader, article)).outcome is Fate.ON_ITS_WAY
    refused = {"reply_code": 550, "reply_text": "<reader1@example.com>: no such user here"}
    await house.end(edition, DeliveryState.FAILED, reason="refused", **refused)
    answer = await ask(house, reader, article)
    assert answer.outcome is Fate.FAILED
    assert "no such user here" in answer.sentence
    assert "@example.com" not in answer.sentence
    assert "Tue 2026-11-24 08:00 Asia/Shanghai" in answer.sentence


async def test_before_any_edition_the_next_one_is_told(house: House) -> None:
    reader = await house.join()
    article = await house.publish()
    answer = await ask(house, reader, article)
    assert answer.outcome is Fate.COMES_NEXT
    assert answer.sentence.endswith("at Mon 2026-11-23 08:00 Asia/Shanghai.")


async def test_other_topics_are_told_by_the_edition_that_passed_them_over(house: House) -> None:
    opera = await house.join(topics=["京剧"])
    await house.publish(topics=["体育"])
    await house.edition()
    # Their cursor has moved without a mail: it is followed from one edition to the next.
    bus = await house.publish(topics=["公交"])
    passed_over = await house.edition()
    await house.publish(topics=["京剧"])
    await house.edition()
    answer = await ask(house, opera, bus)
    assert (answer.outcome, answer.edition_id) == (Fate.OTHER_TOPICS, passed_over)
    (look,) = (await facts(house, opera, bus)).looks
    assert (look.group, look.topics) == (GroupOutcome.NOTHING, ("京剧",))


async def test_topics_are_those_of_the_time_of_the_edition(house: House) -> None:
    reader = await house.join(topics=["京剧"])
    bus = await house.publish(topics=["公交"])
    await house.publish(topics=["京剧"])
    edition = await house.edition()
    house.now += DAY / 24
    await house.choose(reader, "公交")
    answer = await ask(house, reader, bus)
    assert (answer.outcome, answer.edition_id) == (Fate.OTHER_TOPICS, edition)
    assert "topics then, 京剧" in answer.sentence
    assert "to 公交 on Mon 2026-11-23 10:00 Asia/Shanghai" in answer.sentence


async def test_a_change_of_topics_reaches_back_to_the_cursor(house: House) -> None:
    reader = await house.join(topics=["京剧"])
    bus = await house.publish(topics=["公交"])
    assert (await ask(house, reader, bus)).outcome is Fate.OTHER_TOPICS
    await house.choose(reader)
    assert (await ask(house, reader, bus)).outcome is Fate.COMES_NEXT


async def test_too_few_articles_are_told_as_carried_over(house: House) -> None:
    await house.change(Schedule, house.schedule_id, min_items=2)
    reader = await house.join()
    article = await house.publish()
    await house.edition()
    second = await house.edition()
    answer = await ask(house, reader, article)
    assert (answer.outcome, answer.edition_id) == (Fate.CARRIED, second)
    assert "fewer than 2 articles" in answer.sentence
    assert "(2 of at most 3 times)" in answer.sentence


async def test_what_the_newsletter_does_not_hold_is_told_by_the_part_that_fails(
    house: House,
) -> None:
    reader = await house.join()
    article = await house.publish(section="体育")
    await house.change(
        Newsletter,
        house.newsletter_id,
        selection={"sections": ["科技"], "sources": ["folder"]},
        filter='not topic = "京剧"',
    )
    found = await facts(house, reader, article)
    assert found.refused_by == ('section = "科技"',)
    assert explain(found).outcome is Fate.NOT_SELECTED


async def test_what_an_operator_dropped_is_told(house: House) -> None:
    reader = await house.join()
    article, other = await house.publish(), await house.publish()
    dropped = DroppedArticle(
        newsletter_id=house.newsletter_id, article_id=article, at=house.now, by="operator"
    )
    await house.add(dropped)
    answer = await ask(house, reader, article)
    assert answer.outcome is Fate.DROPPED_FROM_NEWSLETTER
    assert "since Sun 2026-11-22 09:00 Asia/Shanghai, by operator" in answer.sentence
    await house.edition()
    assert (await ask(house, reader, other)).outcome is Fate.ARRIVED
    assert (await ask(house, reader, article)).outcome is Fate.DROPPED_FROM_NEWSLETTER


async def test_a_draft_is_told_with_what_its_operator_took_out(house: House) -> None:
    reader = await house.join()
    article, other = await house.publish(), await house.publish()
    draft = Edition(
        newsletter_id=house.newsletter_id,
        schedule_id=house.schedule_id,
        period="2026-11-23T00:00:00Z",
        state=EditionState.DRAFT,
        due_at=house.now + DAY,
        cut_seq=2,
        curation=Curation(dropped=(article,)).stored(),
        created_at=house.now,
    )
    await house.add(draft)
    assert (await ask(house, reader, other)).outcome is Fate.IN_DRAFT
    assert (await ask(house, reader, article)).outcome is Fate.DROPPED_FROM_EDITION


async def test_a_story_they_got_is_told_with_the_article_they_got(house: House) -> None:
    reader = await house.join()
    first = await house.publish("夜市重开", story="s")
    edition = await house.edition()
    second = await house.publish("夜市回来了", story="s")
    await house.publish("夜班公交")
    await house.edition()
    answer = await ask(house, reader, second)
    assert answer.outcome is Fate.DUPLICATE
    assert f'article {first}, "夜市重开", in edition {edition}' in answer.sentence


async def test_a_cancelled_edition_is_told_with_what_became_of_its_articles(house: House) -> None:
    reader = await house.join()
    article = await house.publish()
    edition = await house.edition(send=False)
    async with house.database.write() as session:
        await cancel_edition(session, edition)
        while await finish_cancelled(session, 100, house.now):
            pass
    assert (await ask(house, reader, article)).outcome is Fate.CANCELLED
    async with house.database.write() as session:
        await cancel_edition(session, edition, drop=True)
        while await finish_cancelled(session, 100, house.now):
            pass
    assert (await ask(house, reader, article)).outcome is Fate.CANCELLED_DROPPED


async def test_a_pause_is_told_while_it_lasts_and_after_it(house: House) -> None:
    reader = await house.join()
    article = await house.publish()
    paused = {"state": SubscriptionState.PAUSED, "paused_until": house.now + DAY}
    await house.change(Subscription, reader, resume=Resume.NOW, **paused)
    await house.log(reader, "paused", {})
    assert (await ask(house, reader, article)).outcome is Fate.PAUSED
    await house.change(
        Subscription, reader, state=SubscriptionState.ACTIVE, paused_until=None, cursor=1
    )
    await house.log(reader, "resumed", {"how": "now", "from": 0, "to": 1})
    answer = await ask(house, reader, article)
    assert answer.outcome is Fate.SKIPPED_BY_PAUSE
    assert "numbers 1 to 1" in answer.sentence


async def test_who_comes_later_is_told_since_when(house: House) -> None:
    article = await house.publish()
    reader = await house.join()
    answer = await ask(house, reader, article)
    assert answer.outcome is Fate.BEFORE_CONFIRMATION
    assert "confirmed Sun 2026-11-22 09:00 Asia/Shanghai" in answer.sentence


async def test_what_is_not_announced_or_not_published_is_told(house: House) -> None:
    reader = await house.join()
    await house.add(Source(key="folder", first_complete_scan_at=house.now))
    archived = await house.publish(announce=False)
    planned = await house.publish(state=ArticleState.SCHEDULED, published_at=house.now + DAY)
    assert "when it was first read" in (await ask(house, reader, archived)).sentence
    assert (await ask(house, reader, planned)).outcome is Fate.SCHEDULED


async def test_times_are_those_of_the_readers_own_zone(house: House) -> None:
    await house.change(Schedule, house.schedule_id, own_zone=True)
    reader = await house.join(zone="Europe/Madrid")
    article = await house.publish()
    answer = await ask(house, reader, article)
    assert answer.sentence.endswith("at Sun 2026-11-22 08:00 Europe/Madrid.")
    edition = await house.edition()
    answer = await ask(house, reader, article)
    assert (answer.outcome, answer.edition_id) == (Fate.ARRIVED, edition)
    assert f"edition {edition} (Sun 2026-11-22 08:00 Europe/Madrid)" in answer.sentence


async def test_every_newsletter_they_have_is_answered_for(house: House) -> None:
    reader = await house.join()
    article = await house.publish()
    async with house.database.write() as session:
        weekly = Newsletter(
            key="weekly",
            title="Weekly",
            language="en",
            from_name="News",
            from_address="news@example.com",
            sender="Example",
            postal_address="1 Example Road",
        )
        session.add(weekly)
        await session.flush()
        schedule = Schedule(
            newsletter_id=weekly.id or 0,
            key="monday",
            label="Mondays",
            cron="0 8 * * mon",
            zone="Europe/Madrid",
            since=house.now,
        )
        session.add(schedule)
        await session.flush()
        subscriber_id = (await session.get_one(Subscription, reader)).subscriber_id
        session.add(
            Subscription(
                subscriber_id=subscriber_id,
                newsletter_id=weekly.id or 0,
                schedule_id=schedule.id or 0,
                state=SubscriptionState.UNSUBSCRIBED,
                cursor=0,
                requested_at=house.now,
            )
        )
    async with house.database.read() as session:
        row = await session.get_one(Article, article)
        found = await load_facts(session, row, subscriber_id, house.now)
        assert [explain(one).outcome for one in found] == [Fate.COMES_NEXT, Fate.UNSUBSCRIBED]
        (only,) = await load_facts(session, row, subscriber_id, house.now, "weekly")
        assert only.reader.newsletter == "weekly"
        with pytest.raises(NotFound, match="never asked for monthly"):
            await load_facts(session, row, subscriber_id, house.now, "monthly")


async def test_outcomes_of_a_window_are_those_of_their_own_mail(house: House) -> None:
    reader = await house.join()
    article = await house.publish(state=ArticleState.WITHDRAWN, withdrawn_at=house.now)
    await house.publish()
    await house.edition()
    found = await facts(house, reader, article)
    assert [look.outcome for look in found.looks] == [ItemOutcome.WITHDRAWN]
    assert explain(found).outcome is Fate.WITHDRAWN
    assert explain(replace(found, looks=())).outcome is Fate.UNKNOWN
