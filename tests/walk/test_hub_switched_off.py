"""A hub that is switched off keeps nobody's secret for longer than it was lent."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.feeds.hub.rows import forget_over
from feedsvc.model.hub import HubState, HubSubscription

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def subscription(name: str, **values: object) -> HubSubscription:
    plain: dict[str, object] = {
        "topic": "feeds/all/atom.xml",
        "callback": f"https://{name}.example/",
        "callback_host": f"{name}.example",
        "state": HubState.ACTIVE,
        "secret": "geheim",
        "lease_until": NOW + timedelta(days=1),
        "created_at": NOW - timedelta(days=2),
    }
    return HubSubscription(**{**plain, **values})


async def test_who_is_told_no_more_is_forgotten(database: Database) -> None:
    async with database.write() as session:
        session.add_all(
            [
                subscription("alice"),
                subscription("bob", lease_until=NOW),
                subscription("carol", state=HubState.ENDED),
                subscription("dora", state=HubState.VERIFYING, lease_until=None),
                subscription("emil", state=HubState.VERIFYING, lease_until=None, created_at=NOW),
            ]
        )
    async with database.write() as session:
        assert await forget_over(session, NOW) == 3
    async with database.read() as session:
        kept = await session.scalars(select(col(HubSubscription.callback_host)))
        assert set(kept) == {"alice.example", "emil.example"}
