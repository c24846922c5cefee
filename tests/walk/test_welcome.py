"""Newcomers are greeted with the newest articles, once; their cursor stays where it was."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from letter_desk import (
    add_readers,
    count_states,
    cursor_of,
    end_everything,
    letters_of,
    load_editions,
    open_walk,
    text_to,
)
from newsroom_walk import Inbox, Walk
from sqlalchemy import select, update
from sqlmodel import col

from feedsvc.editions.control import cancel_edition
from feedsvc.editions.dropped import keep_out
from feedsvc.editions.registry import find_newsletter
from feedsvc.editions.welcome import has_due
from feedsvc.model.article import Article
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionKind, EditionState
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

pytestmark = pytest.mark.anyio
ALICE, LILEI = "alice@example.com", "lilei@example.com"


@pytest.fixture
async def house(empty_database_url: str, tmp_path: Path, inbox: Inbox) -> AsyncIterator[Walk]:
    """A newsletter that greets with two articles; four are there, in an archive."""
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    async with open_walk(tmp_path, empty_database_url, inbox, start, "welcome_items = 2") as walk:
        for day, (name, title, topics) in enumerate(
            [
                ("a", "老新闻", "[文化]"),
                ("b", "夜市回来了", "[文化]"),
                ("c", "图书馆重开", "[城市]"),
                ("d", "地铁通车", "[城市]"),
            ]
        ):
            walk.write(f"{name}.md", title, topics=topics, date=f"2026-11-1{day}T08:00:00Z")
        await walk.ingest()
        yield walk


async def owe(walk: Walk, *names: str, language: str = "zh", **values: object) -> list[str]:
    """Active readers to whom a welcome is owed."""
    addresses = await add_readers(walk, names, language)
    ids = select(col(Subscriber.id)).where(col(Subscriber.address).in_(addresses))
    async with walk.app.database.write() as session:
        await session.execute(
            update(Subscription)
            .where(col(Subscription.subscriber_id).in_(ids))
            .values(welcome_at=walk.now, **values)
            .execution_options(synchronize_session=False)
        )
    return addresses


async def greet(walk: Walk) -> None:
    letters = letters_of(walk)
    while await letters.welcome():
        pass
    await walk.app.pipeline.deliver()
    async with walk.app.database.read() as session:
        assert not await has_due(session)


def articles_in(text: str) -> set[str]:
    return {
        one for one in ("老新闻", "夜市回来了", "图书馆重开", "地铁通车", "新消息") if one in text
    }


async def test_who_confirms_gets_the_newest_articles_and_not_the_backlog(
    house: Walk, inbox: Inbox
) -> None:
    await house.subscribe(LILEI, inbox)
    before = len(inbox.to(LILEI))
    await greet(house)
    (welcome,) = text_to(inbox, LILEI)[before:]
    assert articles_in(welcome) == {"图书馆重开", "地铁通车"}
    assert await cursor_of(house, LILEI) == 4
    house.write("e.md", "新消息")
    await house.ingest()
    await house.next_morning()
    (digest,) = text_to(inbox, LILEI)[before + 1 :]
    assert articles_in(digest) == {"新消息"}


async def test_each_gets_it_by_their_topics_in_their_language(house: Walk, inbox: Inbox) -> None:
    await owe(house, "alice", language="en", topics=["文化"])
    await owe(house, "lilei", topics=["城市", "文化"])
    await owe(house, "nothing", topics=["体育"])
    await greet(house)
    (english,), (chinese,) = text_to(inbox, ALICE), text_to(inbox, LILEI)
    assert articles_in(english) == {"老新闻", "夜市回来了"}
    assert articles_in(chinese) == {"图书馆重开", "地铁通车"}
    assert "welcome" in english.lower()
    assert inbox.to("nothing@example.com") == []  # and nothing is owed to them any more
    assert await cursor_of(house, ALICE) == await cursor_of(house, LILEI)


async def test_all_who_come_between_two_articles_share_an_edition_that_is_opened_again(
    house: Walk, inbox: Inbox
) -> None:
    await owe(house, "alice")
    await greet(house)
    await end_everything(house)
    (edition,) = await load_editions(house, EditionKind.WELCOME)
    assert edition.state is EditionState.DONE
    await owe(house, "lilei")
    await greet(house)
    (edition,) = await load_editions(house, EditionKind.WELCOME)
    assert edition.counters["deliveries"] == 2
    assert await count_states(house, edition.id or 0) == {S.SENT: 2}
    await end_everything(house)
    house.write("e.md", "新消息")
    await house.ingest()
    await owe(house, "later")
    await greet(house)
    assert [one.state for one in await load_editions(house, EditionKind.WELCOME)] == [
        EditionState.DONE,
        EditionState.DONE,
    ]
    assert articles_in(text_to(inbox, "later@example.com")[0]) == {"地铁通车", "新消息"}


async def test_who_came_twice_is_greeted_once(house: Walk, inbox: Inbox) -> None:
    await owe(house, "alice")
    await greet(house)
    async with house.app.database.write() as session:
        await session.execute(update(Subscription).values(welcome_at=house.now))
    await greet(house)
    assert len(inbox.to(ALICE)) == 1


async def test_who_left_or_cannot_be_reached_meanwhile_gets_nothing(
    house: Walk, inbox: Inbox
) -> None:
    gone = await owe(house, "gone", state=SubscriptionState.UNSUBSCRIBED)
    rests = await owe(house, "rests", state=SubscriptionState.PAUSED)
    (dead,) = await owe(house, "dead")
    async with house.app.database.write() as session:
        await session.execute(
            update(Subscriber)
            .where(col(Subscriber.address) == dead)
            .values(state=AddressState.DEAD)
        )
    await greet(house)
    assert [inbox.to(one) for one in (*gone, *rests, dead)] == [[], [], []]
    assert await load_editions(house, EditionKind.WELCOME) == []


async def test_without_any_article_there_is_no_mail(
    empty_database_url: str, tmp_path: Path, inbox: Inbox
) -> None:
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    async with open_walk(tmp_path, empty_database_url, inbox, start, "welcome_items = 2") as walk:
        await owe(walk, "alice")
        await greet(walk)
        assert inbox.to(ALICE) == []
        assert await load_editions(walk, EditionKind.WELCOME) == []


async def test_of_a_story_the_newest_is_shown_and_what_was_kept_out_is_not(
    house: Walk, inbox: Inbox
) -> None:
    async with house.app.database.write() as session:
        row = await find_newsletter(session, "daily")
        for title in ("地铁通车", "图书馆重开"):
            article = (
                await session.execute(select(Article).where(col(Article.title) == title))
            ).scalar_one()
            article.story = "one"
        await session.flush()
    await owe(house, "alice")
    await greet(house)
    assert articles_in(text_to(inbox, ALICE)[0]) == {"夜市回来了", "地铁通车"}
    async with house.app.database.write() as session:
        await keep_out(session, row.newsletter.id or 0, article.id or 0, "operator", house.now)
    await owe(house, "lilei")
    await greet(house)
    assert articles_in(text_to(inbox, LILEI)[0]) == {"夜市回来了", "地铁通车"}


async def test_a_welcome_edition_that_was_given_up_greets_nobody_else(
    house: Walk, inbox: Inbox
) -> None:
    await owe(house, "alice")
    assert await letters_of(house).welcome() == 1
    (edition,) = await load_editions(house, EditionKind.WELCOME)
    async with house.app.database.write() as session:
        assert await cancel_edition(session, edition.id or 0)
    await owe(house, "lilei")
    await greet(house)
    await end_everything(house)
    assert inbox.to(ALICE) == []
    assert len(inbox.to(LILEI)) == 1  # in another edition
    states = [one.state for one in await load_editions(house, EditionKind.WELCOME)]
    assert states == [EditionState.CANCELLED, EditionState.DONE]


async def test_a_newsletter_whose_welcome_cannot_be_made_waits_and_holds_up_nobody(
    house: Walk, inbox: Inbox
) -> None:
    await owe(house, "alice")
    async with house.app.database.write() as session:
        row = await find_newsletter(session, "daily")
        newsletter = await session.merge(row.newsletter)
        newsletter.filter = "((("
        await session.flush()
    letters = letters_of(house)
    assert await letters.welcome() == 1
    assert await letters.welcome() == 0
    async with house.app.database.read() as session:
        assert await has_due(session)
    async with house.app.database.write() as session:
        newsletter = await session.merge(newsletter)
        newsletter.filter = ""
        await session.flush()
    house.now += timedelta(seconds=31)
    assert await letters.welcome() == 1
    await house.app.pipeline.deliver()
    assert len(inbox.to(ALICE)) == 1


async def test_a_crowd_is_greeted_in_pieces(house: Walk) -> None:
    names = [f"r{number}" for number in range(620)]
    await owe(house, *names)
    letters, looks = letters_of(house), []
    while looked := await letters.welcome():
        looks.append(looked)
    assert looks == [500, 120]
    (edition,) = await load_editions(house, EditionKind.WELCOME)
    assert await count_states(house, edition.id or 0) == {S.PENDING: 620}
