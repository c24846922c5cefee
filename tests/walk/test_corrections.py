"""Announcements and corrections through the real sender: to exactly those they are for."""

from datetime import timedelta

import pytest
from letter_desk import (
    LATER,
    add_readers,
    count_states,
    cursor_of,
    load_edition,
    make_edition,
    newsletter_of,
    put_off,
    text_to,
)
from newsroom_walk import Inbox, Walk
from sqlalchemy import select, update
from sqlmodel import col

from feedsvc.articles.lookup import find_article
from feedsvc.editions.control import finish_cancelled
from feedsvc.editions.recipients import count_recipients
from feedsvc.editions.writing import Writing, make_letter, read_writing
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import Cohort, CohortItem, EditionKind, EditionState, ItemOutcome
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

pytestmark = pytest.mark.anyio
BODY = "昨天的文章里，日期**写错**了。\n\n[更正](https://example.com/fix) <script>alert(1)</script>"


async def write(walk: Walk, writing: Writing, **how: object) -> int:
    newsletter = await newsletter_of(walk)
    values = {"due_at": walk.now, "now": walk.now, **how}
    async with walk.app.database.write() as session:
        return await make_letter(session, newsletter.id or 0, writing, **values)  # type: ignore[arg-type]


async def send(walk: Walk, writing: Writing) -> int:
    edition_id = await write(walk, writing)
    await walk.app.pipeline.compose(edition_id)
    await walk.app.pipeline.deliver()
    return edition_id


async def article_id(walk: Walk, title: str) -> int:
    async with walk.app.database.read() as session:
        return (await find_article(session, f"{title}.md")).id or 0


async def set_mail(walk: Walk, address: str, edition_id: int, **values: object) -> None:
    theirs = select(col(Subscriber.id)).where(col(Subscriber.address) == address)
    async with walk.app.database.write() as session:
        await session.execute(
            update(Delivery)
            .where(
                col(Delivery.edition_id) == edition_id,
                col(Delivery.subscriber_id) == theirs.scalar_subquery(),
            )
            .values(**values)
            .execution_options(synchronize_session=False)
        )


async def mailed(walk: Walk, names: list[str], *titles: str) -> int:
    """An edition of these articles to these readers; its id."""
    await walk.ingest()
    await add_readers(walk, names)
    for title in titles:
        walk.write(f"{title}.md", title)
    await walk.ingest()
    edition_id = await make_edition(walk)
    await walk.app.pipeline.deliver()
    return edition_id


async def test_an_announcement_comes_beside_the_digest_and_repeats_nothing(
    walk: Walk, inbox: Inbox
) -> None:
    await mailed(walk, ["lilei"], "夜市回来了")
    (before,) = text_to(inbox, "lilei@example.com")
    assert "夜市回来了" in before
    cursor = await cursor_of(walk, "lilei@example.com")
    walk.write("b.md", "图书馆重开")
    await walk.ingest()
    edition_id = await send(walk, read_writing("我们搬家了", BODY))
    assert (await load_edition(walk, edition_id)).state is EditionState.DONE
    _, letter = inbox.to("lilei@example.com")
    assert letter["Subject"] == "我们搬家了"
    assert "List-Unsubscribe" in letter
    html = letter.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<strong" in html
    assert "<script" not in html
    assert "https://example.com/fix" in html
    assert await cursor_of(walk, "lilei@example.com") == cursor
    await walk.next_morning()
    *_, digest = text_to(inbox, "lilei@example.com")
    assert "图书馆重开" in digest
    assert "夜市回来了" not in digest


async def test_it_goes_at_its_time_and_not_before(walk: Walk, inbox: Inbox) -> None:
    await mailed(walk, ["lilei"])
    edition_id = await write(
        walk, read_writing("晚些时候", BODY), due_at=walk.now + timedelta(hours=1)
    )
    assert await walk.app.pipeline.compose(edition_id) is None
    await walk.app.sweep()
    await walk.app.jobs.drain()
    assert inbox.to("lilei@example.com") == []
    walk.now += timedelta(hours=1)
    for _ in range(3):
        await walk.app.sweep()
        await walk.app.jobs.drain()
        walk.now += timedelta(seconds=1)
    assert [one["Subject"] for one in inbox.to("lilei@example.com")] == ["晚些时候"]


async def test_a_correction_goes_to_exactly_those_who_have_the_article_or_may(
    walk: Walk, inbox: Inbox
) -> None:
    names = ["sent", "held", "doubt", "failed", "skipped", "left", "counted", "other"]
    edition_id = await mailed(walk, names, "夜市回来了")
    wrong = await article_id(walk, "夜市回来了")
    for name, state in (
        ("held", S.HELD),
        ("doubt", S.UNCERTAIN),
        ("failed", S.FAILED),
        ("skipped", S.SKIPPED),
    ):
        await set_mail(walk, f"{name}@example.com", edition_id, state=state)
    async with walk.app.database.write() as session:
        # To one of them it was only counted, and another got a mail without it.
        for name, outcome in (("counted", ItemOutcome.AND_MORE), ("other", ItemOutcome.WITHDRAWN)):
            cohort = Cohort(
                edition_id=edition_id,
                content_key=name,
                language="zh",
                theme="plain",
                subject="s",
                html="h",
                text="t",
                page="p",
            )
            session.add(cohort)
            await session.flush()
            session.add(
                CohortItem(
                    cohort_id=cohort.id or 0,
                    article_id=wrong,
                    revision=1,
                    position=0,
                    outcome=outcome,
                )
            )
            person = await session.scalar(
                select(col(Subscriber.id)).where(col(Subscriber.address) == f"{name}@example.com")
            )
            await session.execute(
                update(Delivery)
                .where(col(Delivery.subscriber_id) == person)
                .values(cohort_id=cohort.id)
            )
            await session.flush()
        left = await session.scalar(
            select(col(Subscriber.id)).where(col(Subscriber.address) == "left@example.com")
        )
        await session.execute(
            update(Subscription)
            .where(col(Subscription.subscriber_id) == left)
            .values(state=SubscriptionState.UNSUBSCRIBED)
        )
    await add_readers(walk, ["new"])
    correction = read_writing("更正", BODY, article_id=wrong)
    newsletter = await newsletter_of(walk)
    async with walk.app.database.read() as session:
        counts = await count_recipients(session, correction.recipients(newsletter.id or 0))
    assert counts.total == 3
    assert counts.left_out == {"unsubscribed": 1, "were not mailed the article": 5}
    before = len(inbox.messages)
    sent = await send(walk, correction)
    assert (await load_edition(walk, sent)).kind is EditionKind.CORRECTION
    assert {recipient for recipient, _ in inbox.messages[before:]} == {
        "sent@example.com",
        "held@example.com",
        "doubt@example.com",
    }
    text = inbox.messages[-1][1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "夜市回来了" in text
    assert "写错" in text


async def test_who_is_about_to_get_the_article_gets_the_correction_when_it_is_said_again(
    walk: Walk, inbox: Inbox
) -> None:
    await walk.ingest()
    first, second = await add_readers(walk, ["first", "second"])
    walk.write("夜市回来了.md", "夜市回来了")
    await walk.ingest()
    await make_edition(walk)
    await put_off(walk, [second])
    await walk.app.pipeline.deliver()
    writing = read_writing("更正", BODY, article_id=await article_id(walk, "夜市回来了"))
    await send(walk, writing)
    assert [len(inbox.to(one)) for one in (first, second)] == [2, 0]
    walk.now += LATER
    await walk.app.pipeline.deliver()
    await send(walk, writing)
    assert [len(inbox.to(one)) for one in (first, second)] == [3, 2]


async def test_a_letter_that_was_sent_is_not_composed_again(walk: Walk, inbox: Inbox) -> None:
    await mailed(walk, ["lilei", "hanmeimei"])
    edition_id = await send(walk, read_writing("一", BODY))
    assert await walk.app.pipeline.compose(edition_id) is None
    await walk.app.pipeline.deliver()
    async with walk.app.database.write() as session:
        assert await finish_cancelled(session, 10, walk.now) == 0
    assert await count_states(walk, edition_id) == {S.SENT: 2}
    assert len(inbox.messages) == 2
