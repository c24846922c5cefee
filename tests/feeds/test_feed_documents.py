"""Documents are stored when they differ, with validators that readers can rely on."""

import gzip
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from feedsvc.db.engine import Database
from feedsvc.feeds.documents import (
    FeedSpec,
    RenderedFeed,
    compress,
    load_documents,
    load_versions,
    next_last_modified,
    prune_documents,
    render_documents,
    store_documents,
)
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat, ServedDocument

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

NOON = datetime(2026, 3, 2, 12, 0, 0, 700_000, tzinfo=UTC)


def feed(text: str) -> RenderedFeed:
    return RenderedFeed({FeedFormat.RSS: text.encode(), FeedFormat.JSON: b"{}"})


async def store(database: Database, rendered: RenderedFeed, now: datetime) -> list[ServedDocument]:
    async with database.write() as session:
        return await store_documents(session, "all", rendered, now)


async def test_what_is_stored_is_what_is_served(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    rendered = render_documents(make_spec(), [make_article(language="zh-CN", title="北京")])
    stored = await store(database, rendered, NOON)
    async with database.read() as session:
        loaded = await load_documents(session)
    assert sorted(loaded, key=lambda one: one.path) == sorted(stored, key=lambda one: one.path)
    assert {one.path: one.media_type for one in loaded} == {
        "feeds/all/rss.xml": "application/rss+xml; charset=utf-8",
        "feeds/all/atom.xml": "application/atom+xml; charset=utf-8",
        "feeds/all/feed.json": "application/feed+json; charset=utf-8",
    }
    for one in loaded:
        assert gzip.decompress(one.body_gzip) == one.body
        assert len(one.etag) == 32


async def test_the_same_bytes_are_not_stored_again(database: Database) -> None:
    await store(database, feed("a"), NOON)
    assert await store(database, feed("a"), NOON + timedelta(hours=1)) == []
    async with database.read() as session:
        assert await load_versions(session) == {("all", "rss"): 1, ("all", "json"): 1}
        assert {one.last_modified for one in await load_documents(session)} == {
            NOON.replace(microsecond=0)
        }


async def test_only_the_document_that_changed_gets_a_new_version(database: Database) -> None:
    [before, _] = await store(database, feed("a"), NOON)
    [changed] = await store(database, feed("b"), NOON + timedelta(minutes=5))
    assert changed.path == "feeds/all/rss.xml"
    assert changed.etag != before.etag
    assert changed.last_modified == datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
    async with database.read() as session:
        assert await load_versions(session) == {("all", "rss"): 2, ("all", "json"): 1}


async def test_two_versions_in_one_second_have_two_dates(database: Database) -> None:
    [first, _] = await store(database, feed("a"), NOON)
    [second] = await store(database, feed("b"), NOON + timedelta(milliseconds=100))
    assert second.last_modified - first.last_modified == timedelta(seconds=1)


async def test_going_back_to_old_bytes_is_a_new_version_with_a_later_date(
    database: Database,
) -> None:
    [first, _] = await store(database, feed("a"), NOON)
    await store(database, feed("b"), NOON + timedelta(seconds=5))
    [third] = await store(database, feed("a"), NOON + timedelta(seconds=10))
    assert third.etag == first.etag
    assert third.last_modified > first.last_modified


def test_a_clock_set_back_does_not_set_the_date_back() -> None:
    previous = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    later = next_last_modified(previous, previous - timedelta(hours=1))
    assert later == previous + timedelta(seconds=1)


def test_at_most_one_version_a_second_is_never_dated_in_the_future() -> None:
    last_modified, now = None, NOON
    for _ in range(50):
        last_modified = next_last_modified(last_modified, now)
        assert last_modified <= now
        now += timedelta(seconds=1)


def test_the_gzip_form_depends_on_the_body_alone() -> None:
    packed = compress(b"abc" * 1000)
    assert packed == compress(b"abc" * 1000)
    assert packed[4:8] == bytes(4)  # RFC 1952 §2.3: no time
    assert packed[3] == 0  # no file name
    whole = zlib.decompressobj(31)
    assert whole.decompress(packed) == b"abc" * 1000
    assert whole.eof
    assert whole.unused_data == b""


async def test_documents_published_no_more_can_be_pruned(database: Database) -> None:
    await store(database, feed("a"), NOON)
    async with database.write() as session:
        assert await prune_documents(session, [("all", "rss"), ("other", "json")]) == 1
    async with database.read() as session:
        assert set(await load_versions(session)) == {("all", "rss")}
    async with database.write() as session:
        assert await prune_documents(session, []) == 1


async def test_a_publication_rolled_back_never_happened(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as session:
            await store_documents(session, "all", feed("a"), NOON)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with database.read() as session:
        assert await load_documents(session) == []
