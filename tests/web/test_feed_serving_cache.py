"""What is stored is served, by whichever node it was stored; nothing newer is lost to it."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest
from feed_desk import BASE_URL, BODY, TAG, ask, document
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.model.feed import FeedDocument, ServedDocument
from feedsvc.web.feeds import cache as feed_cache
from feedsvc.web.feeds.cache import FeedCache
from feedsvc.web.feeds.policy import ServingPolicy

pytestmark = pytest.mark.anyio

CHINESE = "topics/科技"


@pytest.fixture
def cache() -> FeedCache:
    return FeedCache(ServingPolicy(BASE_URL))


def row(key: str, feed_format: str = "rss", **changed: object) -> FeedDocument:
    served = document(key)
    values = {
        "feed": key,
        "format": feed_format,
        "etag": served.etag,
        "last_modified": served.last_modified,
        "body": served.body,
        "body_gzip": served.body_gzip,
    }
    return FeedDocument(**{**values, **changed})


async def store(database: Database, *rows: FeedDocument) -> None:
    async with database.write() as session:
        session.add_all(rows)


async def change(database: Database, key: str, **values: object) -> None:
    async with database.write() as session:
        here = col(FeedDocument.feed) == key
        await session.execute(update(FeedDocument).where(here).values(**values))


def paths(cache: FeedCache) -> set[str]:
    return {one.path for one in cache.endpoint.documents()}


async def test_what_another_node_stored_is_served(database: Database, cache: FeedCache) -> None:
    await store(database, row("all"), row(CHINESE, "atom"))
    await cache.refresh(database)
    assert paths(cache) == {"feeds/all/rss.xml", f"feeds/{CHINESE}/atom.xml"}
    answer = await ask(cache.endpoint, path=f"/feeds/{CHINESE}/atom.xml")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer["content-type"] == "application/atom+xml; charset=utf-8"
    assert "/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml>" in answer.all("link")[-1]


async def test_a_new_version_comes_and_what_is_deleted_goes(
    database: Database, cache: FeedCache
) -> None:
    await store(database, row("all"), row(CHINESE))
    await cache.refresh(database)
    later = document().last_modified + timedelta(seconds=1)
    await change(database, "all", version=2, etag="f" * 32, body=b"<rss/>", last_modified=later)
    async with database.write() as session:
        await session.execute(delete(FeedDocument).where(col(FeedDocument.feed) == CHINESE))
    await cache.refresh(database)
    assert paths(cache) == {"feeds/all/rss.xml"}
    assert (await ask(cache.endpoint, if_none_match=f'"{TAG}"')).body == b"<rss/>"


async def test_smaller_codings_come_without_a_new_version(
    database: Database, cache: FeedCache
) -> None:
    await store(database, row("all"))
    await cache.refresh(database)
    assert (await ask(cache.endpoint, accept_encoding="br"))["content-encoding"] is None
    await change(database, "all", dense=True, body_br=document().body_br)
    await cache.refresh(database)
    answer = await ask(cache.endpoint, accept_encoding="br")
    assert (answer["content-encoding"], answer["etag"]) == ("br", f'"{TAG}-br"')


async def test_only_feeds_that_changed_are_loaded(
    database: Database, cache: FeedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[set[str]] = []
    load = feed_cache.load_documents

    async def watched(
        session: AsyncSession, base_url: str, keys: Collection[str] | None = None
    ) -> list[ServedDocument]:
        loaded.append(set(keys or ()))
        return await load(session, base_url, keys)

    monkeypatch.setattr(feed_cache, "load_documents", watched)
    await store(database, row("all"), row(CHINESE))
    await cache.refresh(database)
    await cache.refresh(database)
    await change(database, CHINESE, version=2)
    await cache.refresh(database)
    assert loaded == [{"all", CHINESE}, {CHINESE}]


async def test_what_was_published_while_rows_were_read_stays(
    database: Database, cache: FeedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published here after the rows were read: a new version of one feed, and a new feed."""
    await store(database, row("all"))
    newer = replace(
        document(body=b"<rss>new</rss>"),
        etag="f" * 32,
        last_modified=document().last_modified + timedelta(seconds=1),
        version=2,
    )
    load = feed_cache.load_documents

    async def interrupted(
        session: AsyncSession, base_url: str, keys: Collection[str] | None = None
    ) -> list[ServedDocument]:
        found = await load(session, base_url, keys)
        cache.take([newer, document(CHINESE)])
        return found

    monkeypatch.setattr(feed_cache, "load_documents", interrupted)
    await cache.refresh(database)
    assert (await ask(cache.endpoint)).body == b"<rss>new</rss>"
    assert (await ask(cache.endpoint, path=f"/feeds/{CHINESE}/rss.xml")).status == 200
    # The next look finds the new feed in no row: it was deleted meanwhile.
    await cache.refresh(database)
    assert paths(cache) == {"feeds/all/rss.xml"}


async def test_a_format_of_a_later_version_is_left_to_nodes_that_know_it(
    database: Database, cache: FeedCache
) -> None:
    await store(database, row("all"), row("all", "cbor"))
    await cache.refresh(database)
    assert paths(cache) == {"feeds/all/rss.xml"}
    assert cache.endpoint.documents()[0].media_type.startswith("application/rss+xml")
