"""Documents are stored when they differ, with validators that readers can rely on."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from types import MappingProxyType

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.errors import DocumentRefused
from feedsvc.feeds.documents.store import (
    load_document,
    load_documents,
    load_etags,
    load_versions,
    next_last_modified,
    prepare_documents,
    prune_documents,
    save_set_aside,
    store_documents,
)
from feedsvc.feeds.documents.versions import PreparedFeed, StoreOutcome
from feedsvc.feeds.render import RenderedFeed, render_documents
from feedsvc.feeds.select import light_row
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedDocument, FeedFormat, ServedDocument

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]
#: A feed of one article with this title.
Feed = Callable[[str], RenderedFeed]

BASE_URL = "https://news.example"
NOON = datetime(2026, 3, 2, 12, 0, 0, 700_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NONE = MappingProxyType[FeedFormat, str]({})
RSS, JSON = FeedFormat.RSS, FeedFormat.JSON


@pytest.fixture(scope="session")
def spec(make_spec: SpecBuilder) -> FeedSpec:
    return make_spec(formats=(RSS, JSON))


@pytest.fixture(scope="session")
def feed(spec: FeedSpec, make_article: ArticleBuilder) -> Feed:
    def build(title: str) -> RenderedFeed:
        return render_documents(spec, [make_article(title=title)])

    return build


async def store(
    database: Database, spec: FeedSpec, rendered: RenderedFeed, now: datetime, basis: int = 0
) -> StoreOutcome:
    """As a publication does it: tags, then codings, then the transaction."""
    async with database.read() as session:
        known = await load_etags(session, spec.key)
    prepared = prepare_documents(spec, rendered, known)
    async with database.write() as session:
        return await store_documents(session, spec, prepared, now, basis)


async def load(database: Database, *keys: str) -> dict[str, ServedDocument]:
    async with database.read() as session:
        loaded = await load_documents(session, BASE_URL, keys or None)
    return {one.path: one for one in loaded}


async def test_what_is_stored_is_what_is_served(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    spec = make_spec(key="topics/科技")
    rendered = render_documents(spec, [make_article(language="zh-CN", title="北京")])
    outcome = await store(database, spec, rendered, NOON)
    loaded = await load(database)
    assert loaded == {one.path: one for one in outcome.changed}
    assert {one.path: (one.media_type, one.url) for one in loaded.values()} == {
        "feeds/topics/科技/rss.xml": (
            "application/rss+xml; charset=utf-8",
            "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80/rss.xml",
        ),
        "feeds/topics/科技/atom.xml": (
            "application/atom+xml; charset=utf-8",
            "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml",
        ),
        "feeds/topics/科技/feed.json": (
            "application/feed+json; charset=utf-8",
            "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80/feed.json",
        ),
    }
    for one in loaded.values():
        assert one.feed == "topics/科技"
        assert not one.is_archive
        assert len(one.etag) == 32
        assert "北京" in one.body.decode()
        assert gzip.decompress(one.body_gzip) == one.body
        assert brotli.decompress(one.body_br or b"") == one.body
        assert zstandard.decompress(one.body_zstd or b"") == one.body


async def test_the_same_bytes_are_neither_coded_nor_stored_again(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    await store(database, spec, feed("a"), NOON)
    async with database.read() as session:
        known = await load_etags(session, "all")
    assert {one.variants for one in prepare_documents(spec, feed("a"), known)} == {None}
    assert await store(database, spec, feed("a"), NOON + timedelta(hours=1)) == StoreOutcome()
    async with database.read() as session:
        versions = await load_versions(session)
    assert versions == {("all", "rss"): (1, False), ("all", "json"): (1, False)}
    dates = {one.last_modified for one in (await load(database)).values()}
    assert dates == {NOON.replace(microsecond=0)}


async def test_only_the_document_that_changed_gets_a_new_version(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    before, after = feed("a"), feed("b")
    first = await store(database, spec, before, NOON)
    half = replace(before, documents={**before.documents, RSS: after.documents[RSS]})
    [changed] = (await store(database, spec, half, NOON + timedelta(minutes=5))).changed
    assert changed.path == "feeds/all/rss.xml"
    assert changed.etag not in {one.etag for one in first.changed}
    assert changed.last_modified == datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
    async with database.read() as session:
        versions = await load_versions(session)
    assert versions == {("all", "rss"): (2, False), ("all", "json"): (1, False)}


async def test_a_second_version_within_a_second_has_to_wait(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    await store(database, spec, feed("a"), NOON)
    before = await load(database)
    outcome = await store(database, spec, feed("b"), NOON + timedelta(milliseconds=200))
    assert outcome == StoreOutcome(come_again_at=datetime(2026, 3, 2, 12, 0, 1, tzinfo=UTC))
    assert await load(database) == before
    assert outcome.come_again_at is not None
    again = await store(database, spec, feed("b"), outcome.come_again_at)
    assert {one.last_modified for one in again.changed} == {outcome.come_again_at}


async def test_documents_that_must_wait_hold_up_the_other_formats(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    a, b, c = feed("a"), feed("b"), feed("c")
    await store(database, spec, a, NOON)
    half = replace(a, documents={**a.documents, RSS: b.documents[RSS]})
    await store(database, spec, half, NOON + 5 * SECOND)
    before = await load(database)
    outcome = await store(database, spec, c, NOON + 5 * SECOND)
    assert outcome.come_again_at == datetime(2026, 3, 2, 12, 0, 6, tzinfo=UTC)
    # Each of them would have to wait, for another time.
    outcome = await store(database, spec, c, NOON - timedelta(minutes=30))
    assert outcome.come_again_at == datetime(2026, 3, 2, 12, 0, 6, tzinfo=UTC)
    assert await load(database) == before


async def test_with_the_clock_set_back_the_good_documents_stay_until_it_has_caught_up(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    await store(database, spec, feed("a"), NOON)
    before = await load(database)
    outcome = await store(database, spec, feed("b"), NOON - timedelta(hours=1))
    assert outcome == StoreOutcome(come_again_at=datetime(2026, 3, 2, 12, 0, 1, tzinfo=UTC))
    assert await load(database) == before


async def test_going_back_to_old_bytes_is_a_new_version_with_a_later_date(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    first = await store(database, spec, feed("a"), NOON)
    await store(database, spec, feed("b"), NOON + 5 * SECOND)
    third = await store(database, spec, feed("a"), NOON + 10 * SECOND)
    assert [one.etag for one in third.changed] == [one.etag for one in first.changed]
    assert all(one.last_modified > NOON for one in third.changed)


async def test_an_older_making_never_overwrites_a_newer_one(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    await store(database, spec, feed("newer"), NOON, basis=7)
    before = await load(database)
    late = await store(database, spec, feed("older"), NOON + 5 * SECOND, basis=6)
    assert late == StoreOutcome(is_outdated=True)
    assert await load(database) == before


async def test_the_same_documents_made_after_later_changes_say_so(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    await store(database, spec, feed("a"), NOON, basis=3)
    assert await store(database, spec, feed("a"), NOON + 5 * SECOND, basis=9) == StoreOutcome()
    outcome = await store(database, spec, feed("b"), NOON + 10 * SECOND, basis=8)
    assert outcome.is_outdated


async def test_what_was_not_coded_because_it_was_stored_is_made_again_when_it_is_no_more(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    await store(database, spec, feed("a"), NOON)
    async with database.read() as session:
        known = await load_etags(session, "all")
    prepared = prepare_documents(spec, feed("a"), known)
    await store(database, spec, feed("b"), NOON + 5 * SECOND)
    now = NOON + 10 * SECOND
    async with database.write() as session:
        outcome = await store_documents(session, spec, prepared, now, 0)
    assert outcome == StoreOutcome(come_again_at=now)
    assert (await store(database, spec, feed("a"), now)).changed


async def test_a_document_that_lost_an_entry_is_never_stored_over_a_good_one(
    database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    spec = make_spec()
    articles = [make_article(2, title="夜市"), make_article(1)]
    whole = render_documents(spec, articles)
    await store(database, spec, whole, NOON)
    before = await load(database)
    lost = replace(render_documents(spec, articles[:1]), entries=whole.entries)
    with pytest.raises(DocumentRefused, match=r"feed all: its rss document .* lacks the entry"):
        await store(database, spec, lost, NOON + 5 * SECOND)
    torn = replace(whole, documents={**whole.documents, FeedFormat.ATOM: b"<feed"})
    with pytest.raises(DocumentRefused, match=r"feed all: its atom document .* does not parse"):
        await store(database, spec, torn, NOON + 5 * SECOND)
    assert await load(database) == before


async def test_a_document_that_misses_a_new_entry_is_refused_though_it_is_what_is_stored(
    database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    spec = make_spec()
    await store(database, spec, render_documents(spec, [make_article(1)]), NOON)
    newer = render_documents(spec, [make_article(2), make_article(1)])
    forgotten = replace(render_documents(spec, [make_article(1)]), entries=newer.entries)
    with pytest.raises(DocumentRefused):
        await store(database, spec, forgotten, NOON + 5 * SECOND)


async def test_nodes_that_store_the_first_version_together_do_not_fail(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    nodes = [Database(str(database.url.render_as_string(hide_password=False))) for _ in range(4)]
    prepared = {title: prepare_documents(spec, feed(title), NONE) for title in ("a", "b")}

    async def publish(node: Database, one: PreparedFeed) -> StoreOutcome:
        async with node.write() as session:
            return await store_documents(session, spec, one, NOON, 1)

    try:
        outcomes = await asyncio.gather(
            *(publish(node, prepared["ab"[at % 2]]) for at, node in enumerate(nodes))
        )
    finally:
        for node in nodes:
            await node.dispose()
    [first] = [one for one in outcomes if one.changed]
    assert len(first.changed) == 2
    # Who wrote the same has nothing to do, who wrote something else comes again.
    others = [one for one in outcomes if one is not first]
    assert sorted(one.come_again_at is not None for one in others) == [False, True, True]
    assert await load(database) == {one.path: one for one in first.changed}


# SQLite has one writer at a time: there is nothing to wait for within a transaction.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_first_version_waits_for_the_node_that_is_storing_one(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    prepared = {title: prepare_documents(spec, feed(title), NONE) for title in ("a", "b")}

    async def publish() -> StoreOutcome:
        async with database.write() as session:
            return await store_documents(session, spec, prepared["b"], NOON + 5 * SECOND, 1)

    async with database.write() as session:
        first = await store_documents(session, spec, prepared["a"], NOON, 1)
        second = asyncio.create_task(publish())
        while not await _is_waited_for(database):
            assert not second.done()
    assert len(first.changed) == 2
    assert len((await second).changed) == 2
    async with database.read() as session:
        versions = await load_versions(session)
    assert versions == {("all", "rss"): (2, False), ("all", "json"): (2, False)}


async def _is_waited_for(database: Database) -> bool:
    async with database.read() as session:
        return bool(await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


async def test_documents_of_some_feeds_can_be_loaded(
    database: Database, make_spec: SpecBuilder, feed: Feed
) -> None:
    for key in ("all", "topics/trams", "topics/科技"):
        await store(database, make_spec(key=key), feed(key), NOON)
    loaded = await load(database, "topics/科技", "nothing")
    assert set(loaded) == {"feeds/topics/科技/rss.xml", "feeds/topics/科技/feed.json"}
    async with database.read() as session:
        assert (
            await load_document(session, "topics/科技", JSON, BASE_URL)
            == loaded["feeds/topics/科技/feed.json"]
        )
        assert await load_document(session, "topics/科技", FeedFormat.ATOM) is None
    many = await load(database, "all", *(f"topics/{number}" for number in range(1200)))
    assert set(many) == {"feeds/all/rss.xml", "feeds/all/feed.json"}


async def test_a_document_in_a_format_of_a_later_version_is_left_alone(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    await store(database, spec, feed("a"), NOON)
    async with database.write() as session:
        session.add(
            FeedDocument(
                feed="all", format="odd.package:Form", etag="0" * 32, last_modified=NOON,
                body=b"?", body_gzip=b"?",
            )
        )  # fmt: skip
    assert len(await load(database)) == 2
    async with database.read() as session:
        assert set(await load_etags(session, "all")) == {RSS, JSON}
    assert (await store(database, spec, feed("b"), NOON + 5 * SECOND)).changed


async def test_documents_published_no_more_can_be_pruned(
    database: Database, make_spec: SpecBuilder, feed: Feed
) -> None:
    for key in ("all", "topics/trams"):
        await store(database, make_spec(key=key), feed(key), NOON)
    many = [(f"topics/{number}", "rss") for number in range(20_000)]
    async with database.write() as session:
        keep = [("all", "rss"), ("topics/trams", "json"), *many]
        assert await prune_documents(session, keep) == 2
    async with database.read() as session:
        assert set(await load_versions(session)) == {("all", "rss"), ("topics/trams", "json")}
    async with database.write() as session:
        assert await prune_documents(session, []) == 2


async def test_a_publication_rolled_back_never_happened(
    database: Database, spec: FeedSpec, feed: Feed
) -> None:
    prepared = prepare_documents(spec, feed("a"), NONE)

    async def fail() -> None:
        async with database.write() as session:
            await store_documents(session, spec, prepared, NOON, 0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await load(database) == {}


async def test_an_article_that_cannot_be_written_says_why_until_it_can(
    database: Database, make_article: ArticleBuilder
) -> None:
    async with database.write() as session:
        session.add_all([make_article(1), make_article(2)])

    async def note(set_aside: dict[int, str]) -> dict[int | None, str | None]:
        async with database.write() as session:
            await save_set_aside(session, await _rows(session), set_aside)
        async with database.read() as session:
            return {row.id: row.set_aside for row in await _rows(session)}

    assert await note({2: "no guid"}) == {1: None, 2: "no guid"}
    assert await note({1: "other"}) == {1: "other", 2: None}


async def _rows(session: AsyncSession) -> list[Article]:
    articles = (await session.execute(select(Article).order_by(col(Article.id)))).scalars()
    return [light_row(one) for one in articles]


# Over any sequence of publications


_keys = count(1)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(-3, 5), st.integers(-1, 1)),
        min_size=2,
        max_size=8,
    )
)
async def test_dates_and_versions_only_go_up_whatever_the_clock_does(
    database: Database,
    make_spec: SpecBuilder,
    feed: Feed,
    steps: list[tuple[str, float, int]],
) -> None:
    spec = make_spec(key=f"feed-{next(_keys)}", formats=(RSS, JSON))
    now, basis = NOON, 5
    history = [await _state(database, spec.key)]
    for title, seconds, more_changes in steps:
        now, basis = now + timedelta(seconds=seconds), basis + more_changes
        outcome = await store(database, spec, feed(title), now, basis)
        after = await _state(database, spec.key)
        assert {one.etag for one in outcome.changed} == {
            etag for name, (_, etag, _, _) in after.items() if after[name] != history[-1].get(name)
        }
        if outcome.changed:
            assert all(one.last_modified <= now for one in outcome.changed)
            assert {one.body for one in outcome.changed} <= set(feed(title).documents.values())
        if outcome.come_again_at is not None:
            assert outcome.come_again_at > now
        history.append(after)
    for before, after in pairwise(history):
        for name, (version, etag, last_modified, body) in before.items():
            later_version, later_etag, later, later_body = after[name]
            assert (later_etag == etag) == (later_body == body)
            if later_version == version:
                assert (later_etag, later) == (etag, last_modified)
            else:
                assert later_version == version + 1
                assert later >= last_modified + SECOND


async def _state(database: Database, key: str) -> dict[str, tuple[int, str, datetime, bytes]]:
    async with database.read() as session:
        rows = await session.execute(select(FeedDocument).where(col(FeedDocument.feed) == key))
        return {
            row.format: (row.version, row.etag, row.last_modified, row.body)
            for row in rows.scalars()
        }


def test_a_new_version_is_dated_a_second_later_at_least() -> None:
    previous = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    assert next_last_modified(None, NOON) == previous
    assert next_last_modified(previous, NOON) == previous + SECOND
    assert next_last_modified(previous, NOON + 9 * SECOND) == previous + 9 * SECOND
    assert next_last_modified(previous, NOON - timedelta(hours=1)) == previous + SECOND


async def test_after_a_clock_that_was_years_ahead_a_feed_goes_on_at_once(
    database: Database, make_spec: SpecBuilder, feed: Feed
) -> None:
    spec = make_spec()
    await store(database, spec, feed("a"), NOON + timedelta(days=4000))
    outcome = await store(database, spec, feed("b"), NOON)
    second = NOON.replace(microsecond=0)
    assert {(one.last_modified, one.version) for one in outcome.changed} == {(second, 2)}


async def test_after_a_clock_that_was_minutes_ahead_a_feed_waits(
    database: Database, make_spec: SpecBuilder, feed: Feed
) -> None:
    spec = make_spec()
    await store(database, spec, feed("a"), NOON + timedelta(minutes=40))
    outcome = await store(database, spec, feed("b"), NOON)
    assert not outcome.changed
    assert outcome.come_again_at is not None
