"""Somebody left and came back while the clock was wrong: what is told of them is still right."""

from datetime import timedelta

import pytest
from newsroom_walk import Inbox, Walk
from sqlalchemy import select

from feedsvc.audience.subscriptions import unsubscribe
from feedsvc.editions.explain import load_facts
from feedsvc.editions.why import Fate, explain
from feedsvc.model.article import Article
from feedsvc.model.subscriber import Subscription

pytestmark = pytest.mark.anyio


async def test_whoever_came_back_after_the_clock_was_set_back_has_nothing_from_before(
    walk: Walk, inbox: Inbox
) -> None:
    await walk.ingest()
    await walk.subscribe("lilei@example.com", inbox)
    walk.write("first.md", "第一篇")
    await walk.ingest()
    walk.now -= timedelta(days=8)
    async with walk.app.database.write() as session:
        row = (await session.execute(select(Subscription))).scalar_one()
        await unsubscribe(session, row.id or 0, walk.now, "one-click")
    walk.now += timedelta(minutes=5)
    await walk.subscribe("lilei@example.com", inbox)
    async with walk.app.database.read() as session:
        article = (await session.execute(select(Article))).scalar_one()
        facts = await load_facts(session, article, row.subscriber_id, walk.now)
        assert explain(facts[0]).outcome is Fate.BEFORE_CONFIRMATION
