"""Which feeds there are is read from the rows, and is what publishing makes of them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from feedsvc.config import Settings
from feedsvc.db.engine import Database
from feedsvc.feeds import families
from feedsvc.feeds.catalogue import find_feed, find_members, load_catalogue, load_specs
from feedsvc.feeds.configured import read_feeds
from feedsvc.feeds.details import count_hub_subscriptions, load_details
from feedsvc.model.article import Article, Counter
from feedsvc.model.feed import FeedDocument
from feedsvc.model.hub import HubState, HubSubscription

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NEWSLETTER = {
    "title": "晨报",
    "from": "晨报 <news@example.com>",
    "sender": "示例报社",
    "postal_address": "上海市示例路 1 号",
    "schedules": {"daily": {"label": "每天", "cron": "0 8 * * *"}},
}
SETTINGS: dict[str, Any] = {
    "feeds": {
        "all": {"title": "全部文章"},
        "topics": {"title": "{name}", "each": "topic"},
        "letters": {"title": "{name}", "each": "newsletter"},
    },
    "newsletters": {"daily": NEWSLETTER, "weekly": {**NEWSLETTER, "title": "周报"}},
}


async def test_the_feeds_found_are_those_that_are_published(
    database: Database, make_article: Any
) -> None:
    configured = read_feeds(Settings.model_validate(SETTINGS))
    article: Article = make_article(1, topics=["科技", "夜市"], changed=1)
    async with database.write() as session:
        session.add_all([article, Counter(name="article changes", value=1)])
        await session.flush()
        published = await families.load_specs(
            session, configured.specs, configured.families, configured.newsletters, NOW
        )
        for spec in published:
            session.add(
                FeedDocument(
                    feed=spec.key,
                    format="rss",
                    etag="e",
                    last_modified=NOW,
                    body=b"b",
                    body_gzip=b"g",
                )
            )
    assert {spec.key for spec in published} == {
        *("all", "topics/科技", "topics/夜市", "letters/daily", "letters/weekly")
    }
    async with database.read() as session:
        found = await load_specs(session, configured)
        assert {one.key: one for one in found} == {one.key: one for one in published}
        for spec in published:
            assert await find_feed(session, configured, spec.key) == spec
        assert await find_feed(session, configured, "topics/体育") is None
        members = await find_members(session, configured, {"topic": ["夜市", "体育", "科技"]})
        assert [one.title for one in members] == ["夜市", "科技"]
        rows = await load_catalogue(session, configured)
        assert {(row.changed_at, row.problem) for row in rows} == {(NOW, None)}
        # A newsletter that is no more has no feed any more.
        fewer = {**SETTINGS, "newsletters": {"daily": NEWSLETTER}}
        left = await load_specs(session, read_feeds(Settings.model_validate(fewer)))
        assert "letters/weekly" not in {one.key for one in left}


async def test_what_is_stored_of_a_feed_is_told_without_its_bytes(database: Database) -> None:
    configured = read_feeds(Settings.model_validate(SETTINGS))
    async with database.write() as session:
        session.add(
            FeedDocument(
                feed="all",
                format="atom",
                version=3,
                etag="e",
                last_modified=NOW,
                body="文".encode(),
                body_gzip=b"gz",
                body_br=b"b",
            )
        )
        for number, state in enumerate(HubState):
            topic, callback = "feeds/all/atom.xml", f"https://reader.example/{number}"
            session.add(
                HubSubscription(
                    topic=topic,
                    callback=callback,
                    callback_host="reader.example",
                    state=state,
                    created_at=NOW,
                )
            )
    async with database.read() as session:
        details = await load_details(session, configured.specs[0])
        assert await count_hub_subscriptions(session) == {"all": 1}
    (document,) = details.documents
    assert document.url == "http://127.0.0.1:8000/feeds/all/atom.xml"
    assert document.sizes == {"identity": 3, "gzip": 2, "br": 1, "zstd": None}
    assert (document.version, document.subscribers, document.dense) == (3, 1, False)
