"""Whoever is named in strangers' requests is asked a few times in vain, and then left alone."""

from datetime import UTC, datetime, timedelta

import pytest

from feedsvc.db.engine import Database
from feedsvc.feeds.hub.hosts import (
    HITS_PER_ADDRESS,
    HITS_PER_HOST,
    PERIOD,
    count_question,
    forgive_question,
    is_spent,
    prune_hosts,
)
from feedsvc.model.hub import HubState, HubSubscription

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def test_a_host_is_asked_so_often_in_a_period(database: Database) -> None:
    async with database.write() as session:
        asked = [await count_question(session, "victim.test", ["10.0.0.1"], NOW) for _ in range(99)]
        assert asked == [True] * HITS_PER_HOST + [False] * (99 - HITS_PER_HOST)
        assert await is_spent(session, "victim.test", NOW + PERIOD / 2)
        assert not await is_spent(session, "other.test", NOW)
        assert not await is_spent(session, "victim.test", NOW + PERIOD)
        assert await count_question(session, "victim.test", [], NOW + PERIOD)
        assert not await is_spent(session, "victim.test", NOW + PERIOD)


async def test_many_names_of_one_address_are_one_victim(database: Database) -> None:
    async with database.write() as session:
        asked = [
            await count_question(session, f"a{n}.victim.test", ["192.0.2.1", "2001:db8::1"], NOW)
            for n in range(HITS_PER_ADDRESS + 20)
        ]
    assert sum(asked) == HITS_PER_ADDRESS


async def test_what_is_confirmed_does_not_count(database: Database) -> None:
    async with database.write() as session:
        for _ in range(HITS_PER_HOST * 3):
            assert await count_question(session, "reader.test", ["192.0.2.1"], NOW)
            await forgive_question(session, ["reader.test", "192.0.2.1"])
        assert not await is_spent(session, "reader.test", NOW)


async def test_a_host_that_has_confirmed_is_not_shut_out_by_what_others_ask(
    database: Database,
) -> None:
    async with database.write() as session:
        session.add(
            HubSubscription(
                topic="feeds/all/rss.xml",
                callback="https://reader.test/c",
                callback_host="reader.test",
                state=HubState.ACTIVE,
                created_at=NOW,
            )
        )
        await session.flush()
        for _ in range(HITS_PER_HOST * 2):
            assert await count_question(session, "reader.test", ["192.0.2.1"], NOW)
        assert not await is_spent(session, "reader.test", NOW)


async def test_counts_that_are_over_are_forgotten(database: Database) -> None:
    async with database.write() as session:
        await count_question(session, "victim.test", ["192.0.2.1"], NOW)
        await prune_hosts(session, NOW + PERIOD - timedelta(seconds=1))
        for _ in range(HITS_PER_HOST - 1):
            assert await count_question(session, "victim.test", [], NOW)
        assert await is_spent(session, "victim.test", NOW)
        await prune_hosts(session, NOW + PERIOD)
        assert not await is_spent(session, "victim.test", NOW)
