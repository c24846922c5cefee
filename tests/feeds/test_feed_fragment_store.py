"""A fresh process reads entries from the database, and writes only those that are missing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.feeds import fragments as written_module
from feedsvc.feeds.fragment_store import (
    find_feeds,
    fragments_for,
    gather,
    prune_fragments,
    save_fragments,
)
from feedsvc.feeds.fragments import FragmentCache, rendering_of
from feedsvc.feeds.render import RenderedFeed, render_documents, render_feed
from feedsvc.feeds.select import select_window
from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.kit.filters import from_selection
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import FeedDocument, FeedEntry, FeedFragment
from feedsvc.model.ports import Selection

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

NOW = datetime(2026, 6, 1, tzinfo=UTC)


async def save(database: Database, *articles: Article) -> None:
    async with database.write() as session:
        session.add_all(articles)


async def edit(database: Database, number: int, **values: Any) -> None:
    async with database.write() as session:
        await session.execute(update(Article).where(col(Article.id) == number).values(**values))


async def publish(
    database: Database, spec: FeedSpec, cache: FragmentCache | None = None
) -> RenderedFeed:
    """One publication, as far as fragments have to do with it; a fresh process has no cache."""
    cache = FragmentCache() if cache is None else cache
    async with database.read() as session:
        rendered = await render_feed(session, spec, cache, NOW)
    async with database.write() as session:
        await save_fragments(session, spec.key, rendered)
    return rendered


async def missing(database: Database, spec: FeedSpec, cache: FragmentCache) -> list[int]:
    """Ids of the articles that a publication would have to load whole."""
    async with database.read() as session:
        window = await select_window(session, spec.filter, spec.window, NOW)
        found = await gather(session, rendering_of(spec), window.rows, cache, spec.key)
    return sorted(article.id or 0 for article in found.articles)


async def entries(database: Database) -> dict[tuple[str, int], str]:
    async with database.read() as session:
        rows = (await session.execute(select(FeedEntry))).scalars().all()
    return {(row.feed, row.article): row.fragment for row in rows}


async def fragment_keys(database: Database) -> set[str]:
    async with database.read() as session:
        return set((await session.execute(select(col(FeedFragment.key)))).scalars())


async def test_a_fresh_process_writes_only_what_is_new(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    await save(database, make_article(1, title="北京"), make_article(2))
    first = await publish(database, make_spec())
    assert len(first.fresh) == 2
    await save(database, make_article(3))
    assert await missing(database, make_spec(), FragmentCache()) == [3]
    second = await publish(database, make_spec())
    assert len(second.fresh) == 1
    whole = [make_article(3), make_article(2), make_article(1, title="北京")]
    assert second.documents == render_documents(make_spec(), whole).documents
    assert second.entries[1:] == first.entries


async def test_a_running_process_asks_the_database_for_nothing_it_has(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    cache = FragmentCache()
    await save(database, make_article(1), make_article(2))
    await publish(database, make_spec(), cache)
    async with database.write() as session:
        await session.execute(delete(FeedFragment))
    assert await missing(database, make_spec(), cache) == []
    # Another feed is written the same way, so it shares what the first one wrote.
    assert await missing(database, make_spec(key="city"), cache) == []
    assert await missing(database, make_spec(content="summary"), cache) == [1, 2]


async def test_an_edited_article_is_written_again_and_no_other(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    cache = FragmentCache()
    await save(database, make_article(1), make_article(2))
    await publish(database, make_spec(), cache)
    await edit(database, 1, revision=2, title="改过的标题", content_hash="e" * 64)
    assert await missing(database, make_spec(), cache) == [1]
    rendered = await publish(database, make_spec(), cache)
    assert all("改过的标题".encode() in body for body in rendered.documents.values())


async def test_entries_follow_the_documents(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    spec = make_spec(window=Window(2))
    await save(database, make_article(1), make_article(2))
    await publish(database, spec)
    before = await entries(database)
    await save(database, make_article(3))
    await edit(database, 2, revision=2)
    rendered = await publish(database, spec)
    after = await entries(database)
    assert after == {("all", one.article_id): one.fragment_key for one in rendered.entries}
    assert after.keys() == {("all", 3), ("all", 2)}
    assert after["all", 2] != before["all", 2]


async def test_an_article_is_found_in_the_feeds_that_hold_it(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    city = from_selection(Selection(sections=frozenset({"城市"})))
    await save(database, make_article(1, section="城市"), make_article(2))
    await publish(database, make_spec())
    await publish(database, make_spec(key="sections/城市", filter=city))
    async with database.read() as session:
        assert await find_feeds(session, 1) == ["all", "sections/城市"]
        assert await find_feeds(session, 2) == ["all"]
        assert await find_feeds(session, 3) == []


async def test_fragments_go_when_no_feed_holds_them(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    spec, gone = make_spec(window=Window(1)), make_spec(key="gone", content="summary")
    await save(database, make_article(1))
    await publish(database, spec)
    await publish(database, gone)
    await save(database, make_article(2))
    rendered = await publish(database, spec)
    async with database.write() as session:
        session.add(
            FeedDocument(
                feed="all",
                format="rss",
                etag="e",
                last_modified=NOW,
                body=b"",
                body_gzip=b"",
            )
        )
    async with database.write() as session:
        assert await prune_fragments(session) == 2
        assert await prune_fragments(session) == 0
    assert await fragment_keys(database) == {rendered.entries[0].fragment_key}
    assert (await entries(database)).keys() == {("all", 2)}


async def test_what_was_not_committed_is_stored_the_next_time(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    cache = FragmentCache()
    await save(database, make_article(1))
    async with database.read() as session:
        rendered = await render_feed(session, make_spec(), cache, NOW)
    async with database.write() as session:
        await save_fragments(session, "all", rendered)
        await session.rollback()
        session.info.clear()  # as when an exception ends the transaction
    assert await fragment_keys(database) == set()
    await publish(database, make_spec(), cache)
    assert len(await fragment_keys(database)) == 1
    assert (await publish(database, make_spec(), cache)).fresh == {}


async def test_storing_the_same_twice_changes_nothing(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    await save(database, make_article(1))
    # Two processes that have seen the same, neither what the other wrote.
    async with database.read() as session:
        both = [await render_feed(session, make_spec(), FragmentCache(), NOW) for _ in range(2)]
    for rendered in both:
        async with database.write() as session:
            await save_fragments(session, "all", rendered)
    assert len(await fragment_keys(database)) == len(await entries(database)) == 1


async def test_one_poisonous_article_stops_no_feed(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    half = [{"url": "https://news.example/a.mp3"}]
    await save(database, make_article(1), make_article(2, enclosures=half), make_article(3))
    rendered = await publish(database, make_spec())
    assert list(rendered.set_aside) == [2]
    assert [one.article_id for one in rendered.entries] == [3, 1]
    assert [row.id for row in rendered.rows] == [3, 2, 1]
    assert await missing(database, make_spec(), FragmentCache()) == [2]
    # A correction brings it in.
    await edit(database, 2, enclosures=[], revision=2)
    rendered = await publish(database, make_spec())
    assert not rendered.set_aside
    assert [one.article_id for one in rendered.entries] == [3, 2, 1]


async def test_an_article_that_goes_while_it_is_looked_for_is_left_out(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    await save(database, make_article(1), make_article(2))
    spec = make_spec()
    async with database.read() as session:
        window = await select_window(session, spec.filter, spec.window, NOW)
    await edit(database, 2, state=ArticleState.WITHDRAWN)
    async with database.read() as session:
        found = await fragments_for(session, rendering_of(spec), window.rows, FragmentCache())
    assert [row.id for row in found.rows] == [1]
    assert found.set_aside == {}


async def test_an_article_edited_while_it_is_looked_for_is_known_by_its_new_version(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    await save(database, make_article(1))
    spec, cache = make_spec(), FragmentCache()
    async with database.read() as session:
        window = await select_window(session, spec.filter, spec.window, NOW)
    await edit(database, 1, title="新的", revision=2)
    async with database.read() as session:
        found = await fragments_for(session, rendering_of(spec), window.rows, cache)
    assert "新的".encode() in (found.fragments[0].rss or b"")
    rendered = await publish(database, spec)
    assert [one.fragment_key for one in rendered.entries] == [found.fragments[0].key]


async def test_a_newer_way_of_writing_leaves_the_older_fragments_alone(
    database: Database,
    make_article: ArticleBuilder,
    make_spec: SpecBuilder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await save(database, make_article(1))
    before = await publish(database, make_spec())
    monkeypatch.setattr(written_module, "JSON_RENDERER", "next")
    after = await publish(database, make_spec())
    assert after.entries[0].fragment_key != before.entries[0].fragment_key
    assert after.documents == before.documents


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(["insert", "edit", "withdraw", "restart", "summary"]),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=8,
    )
)
async def test_where_fragments_come_from_never_shows_in_the_bytes(
    database: Database,
    make_article: ArticleBuilder,
    make_spec: SpecBuilder,
    changes: Sequence[tuple[str, int]],
) -> None:
    async with database.write() as session:
        for table in (Article, FeedEntry, FeedFragment):
            await session.execute(delete(table))
    spec, cache, there = make_spec(window=Window(3)), FragmentCache(), dict[int, dict[str, Any]]()
    for number, (change, which) in enumerate(changes, 1):
        chosen = sorted(there)[which % len(there)] if there else 0
        if change == "insert":
            there[number] = {"published_at": NOW - timedelta(hours=which, minutes=number)}
            await save(database, make_article(number, **there[number]))
        elif change == "edit" and there:
            new = {"title": f"改 {number}", "revision": number + 1}
            there[chosen] |= new
            await edit(database, chosen, **new)
        elif change == "withdraw" and there:
            del there[chosen]
            await edit(database, chosen, state=ArticleState.WITHDRAWN)
        elif change == "restart":
            cache = FragmentCache()
        elif change == "summary":
            spec = replace(spec, content="summary")
        rendered = await publish(database, spec, cache)
        newest = [make_article(one, **there[one]) for one in sorted(there)[-3:]]
        newest.sort(key=lambda one: (one.published_at, one.seq), reverse=True)
        assert rendered.documents == render_documents(spec, newest).documents
