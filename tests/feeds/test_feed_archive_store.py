"""Archive pages follow the articles, at the cost of what has changed."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, text, update
from sqlmodel import col

from feedsvc.articles.labels import save_labels
from feedsvc.db.engine import Database
from feedsvc.feeds.archive import store as archive_store
from feedsvc.feeds.archive.pages import ArchiveMoved, list_pages, open_archive
from feedsvc.feeds.archive.store import (
    ArchiveRenewal,
    archive_links,
    prune_archives,
    renew_archives,
    touched_archives,
)
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.select import select_window
from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.feeds.writing.entries import Links
from feedsvc.kit.filters import from_selection
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import ArchiveName, Feed, FeedFormat
from feedsvc.model.ports import Selection

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TRAMS = from_selection(Selection(topics=frozenset({"trams"})))


async def save(database: Database, *articles: Article) -> None:
    """Store articles, many at once."""
    async with database.write() as session:
        await session.execute(insert(Article), [one.model_dump() for one in articles])
        await save_labels(session, col(Article.seq).in_([one.seq for one in articles]))


async def change(database: Database, *seqs: int, **values: Any) -> None:
    async with database.write() as session:
        chosen = update(Article).where(col(Article.seq).in_(seqs))
        await session.execute(chosen.values(**values))
        await save_labels(session, col(Article.seq).in_(seqs))


async def renew(
    database: Database, spec: FeedSpec, *touched: int, at: int = 0, unknown: bool = False
) -> ArchiveRenewal:
    """Renew `at` seconds after noon, once."""
    now = NOON + timedelta(seconds=at)
    async with database.write() as session:
        return await renew_archives(session, spec, now, None if unknown else touched)


async def pages(database: Database, spec: FeedSpec) -> dict[ArchiveName, list[int]]:
    """Numbers of the articles on each page, as a reader sees them."""
    found = {}
    async with database.read() as session:
        for name in await list_pages(session, spec):
            page = await open_archive(session, spec, name, FeedFormat.JSON, FragmentCache())
            assert not isinstance(page, ArchiveMoved)
            assert page is not None
            ids = [item["url"].rpartition("-")[2] for item in json.loads(page.body)["items"]]
            found[name] = sorted(map(int, ids))
    return found


def numbers(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


@pytest.fixture
def spec(make_spec: SpecBuilder) -> FeedSpec:
    return make_spec(window=Window(20), hubs=("https://hub.example/",))


async def test_a_feed_without_pages_links_to_none(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    await save(database, *(make_article(number) for number in numbers(1, 20)))
    assert await renew(database, spec) == ArchiveRenewal()
    async with database.read() as session:
        links = await archive_links(session, spec)
    assert links == {one: Links(hubs=("https://hub.example/",)) for one in FeedFormat}


async def test_the_feed_links_to_its_newest_page(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    await save(database, *(make_article(number) for number in numbers(1, 41)))
    renewal = await renew(database, spec)
    assert renewal.renewed == (ArchiveName(1, 1), ArchiveName(2, 1))
    assert renewal.is_link_changed
    assert not renewal.is_unfinished
    async with database.read() as session:
        links = await archive_links(session, spec)
    assert links[FeedFormat.RSS] == Links(
        hubs=("https://hub.example/",),
        previous_archive="https://news.example/feeds/all/archive/2-1/rss.xml",
    )
    assert await renew(database, spec, *numbers(1, 41), at=5) == ArchiveRenewal()


async def test_articles_of_other_feeds_are_neither_on_pages_nor_in_their_way(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    spec = replace(spec, filter=TRAMS)
    await save(
        database,
        *(
            make_article(number, topics=["trams"] if number % 3 == 0 else ["Geld"])
            for number in numbers(1, 90)
        ),
    )
    await renew(database, spec)
    of_trams = [number for number in numbers(1, 60) if number % 3 == 0]
    assert await pages(database, spec) == {ArchiveName(1, 1): of_trams}


async def test_articles_that_leave_by_their_age_stand_on_a_page_that_grows(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    spec = replace(spec, window=Window(20, max_age=timedelta(days=30)))
    dates = {1: NOON - timedelta(days=31), 2: NOON - timedelta(days=400)}
    await save(
        database,
        *(make_article(one, published_at=dates.get(one, NOON)) for one in numbers(1, 4)),
    )
    await renew(database, spec)
    # With the two that are too old, all that were there: they will be on it when their time comes.
    assert await pages(database, spec) == {ArchiveName(1, 1): numbers(1, 4)}
    await save(database, *(make_article(one, published_at=NOON) for one in numbers(5, 21)))
    assert (await renew(database, spec, at=3600)).renewed == ()
    assert (await renew(database, spec, at=31 * 86400)).renewed == (
        ArchiveName(1, 2),
        ArchiveName(2, 1),
    )
    assert await pages(database, spec) == {
        ArchiveName(1, 2): numbers(1, 20),
        ArchiveName(2, 1): [21],
    }


async def test_young_articles_kept_beyond_the_window_need_no_page(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    spec = replace(spec, window=Window(20, keep=timedelta(hours=3)))
    articles = (make_article(one, stored_at=NOON) for one in numbers(1, 60))
    await save(database, *articles)
    assert await renew(database, spec) == ArchiveRenewal()
    await renew(database, spec, at=4 * 3600)
    assert list((await pages(database, spec)).values()) == [numbers(1, 20), numbers(21, 40)]


async def test_an_article_tagged_anew_moves_between_the_pages_of_feeds(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    trams = replace(spec, key="topics/trams", filter=TRAMS)
    await save(database, *(make_article(one) for one in numbers(1, 60)))
    await change(database, 7, topics=["money"])
    await renew(database, spec)
    await renew(database, trams)
    await change(database, 7, topics=["trams"], revision=2)
    await change(database, 9, topics=["money"], revision=2)
    async with database.read() as session:
        # Number 7 is on no page of the trams yet, but they match it.
        holding = await touched_archives(session, {7, 9, 60})
    assert holding == {"all": {7, 9}, "topics/trams": {9}}
    renewal = await renew(database, trams, 7, 9, at=1)
    assert renewal.renewed == (ArchiveName(1, 2),)
    assert (await pages(database, trams))[ArchiveName(1, 2)] == [*numbers(1, 8), *numbers(10, 21)]
    assert (await renew(database, spec, 7, 9, at=1)).renewed == (ArchiveName(1, 2),)


async def test_changes_that_nobody_named_are_found_by_their_count(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    await save(database, *(make_article(one, changed=1) for one in numbers(1, 60)))
    async with database.write() as session:
        session.add(Feed(key="all", basis=1, guid="x", created_at=NOON))
    await renew(database, spec, unknown=True)
    assert await renew(database, spec, unknown=True, at=1) == ArchiveRenewal()
    await change(database, 33, revision=2, changed=2)
    await change(database, 5, revision=2)  # seen to before
    assert (await renew(database, spec, unknown=True, at=2)).renewed == (ArchiveName(2, 2),)


async def test_a_mass_of_touched_articles_is_looked_through_in_one_pass(
    database: Database,
    spec: FeedSpec,
    make_article: ArticleBuilder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_store, "_MOST_TOUCHED", 10)
    await save(database, *(make_article(one) for one in numbers(1, 90)))
    await renew(database, spec)
    await change(database, 25, revision=2)
    await change(database, 70, state=ArticleState.WITHDRAWN)
    # The feed itself is not known: whatever there is may have changed.
    assert (await renew(database, spec, unknown=True, at=1)).renewed == (
        ArchiveName(2, 2),
        ArchiveName(4, 2),
    )
    assert await renew(database, spec, unknown=True, at=2) == ArchiveRenewal()


async def test_an_address_never_has_other_bytes_when_the_feed_is_described_otherwise(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    await save(database, *(make_article(one) for one in numbers(1, 60)))
    await renew(database, spec)
    renamed = replace(spec, title="新标题")
    renewal = await renew(database, renamed, at=1)
    assert renewal.replaced == (ArchiveName(1, 1), ArchiveName(2, 1))
    assert renewal.renewed == (ArchiveName(3, 1), ArchiveName(4, 1))
    assert list((await pages(database, renamed)).values()) == [numbers(1, 20), numbers(21, 40)]
    async with database.read() as session:
        for gone in (ArchiveName(1, 1), ArchiveName(2, 1), ArchiveName(2, 7)):
            moved = await open_archive(session, renamed, gone, FeedFormat.RSS, FragmentCache())
            # From the newest page on, a reader finds everything.
            assert moved == ArchiveMoved(ArchiveName(4, 1))
        oldest = await open_archive(
            session, renamed, ArchiveName(3, 1), FeedFormat.JSON, FragmentCache()
        )
    assert oldest is not None
    assert not isinstance(oldest, ArchiveMoved)
    assert "next_url" not in json.loads(oldest.body)
    # What does not show on pages leaves them alone.
    other = replace(renamed, window=Window(30), formats=(FeedFormat.RSS,), hubs=())
    assert await renew(database, other, at=2) == ArchiveRenewal()


async def test_an_archive_that_is_switched_off_and_on_again_begins_under_new_numbers(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    await save(database, *(make_article(one) for one in numbers(1, 30)))
    await renew(database, spec)
    off = replace(spec, archive=False)
    renewal = await renew(database, off, at=1)
    assert renewal == ArchiveRenewal(replaced=(ArchiveName(1, 1),), is_link_changed=True)
    assert await renew(database, off, at=2) == ArchiveRenewal()
    async with database.read() as session:
        assert (await archive_links(session, off))[FeedFormat.RSS].previous_archive is None
        assert await touched_archives(session, {1, 2}) == {}
    assert (await renew(database, spec, at=3)).renewed == (ArchiveName(2, 1),)


async def test_pages_of_feeds_that_are_published_no_more_go(
    database: Database, spec: FeedSpec, make_article: ArticleBuilder
) -> None:
    await save(database, *(make_article(one) for one in numbers(1, 30)))
    await renew(database, spec)
    await renew(database, replace(spec, key="old"))
    async with database.write() as session:
        assert await prune_archives(session, {"all"}) == 1
        assert await prune_archives(session, {"all"}) == 0
    assert len(await pages(database, spec)) == 1
    assert await pages(database, replace(spec, key="old")) == {}


async def test_a_long_history_is_put_on_pages_in_rounds(
    database: Database,
    spec: FeedSpec,
    make_article: ArticleBuilder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_store, "ARTICLES_A_ROUND", 50)
    await save(database, *(make_article(one) for one in numbers(1, 110)))
    rounds = [await renew(database, spec) for _ in range(4)]
    assert [len(one.renewed) for one in rounds] == [2, 2, 1, 0]
    assert [one.is_unfinished for one in rounds] == [True, True, False, False]
    assert [one.is_link_changed for one in rounds] == [True, True, True, False]


async def test_more_edits_than_a_round_bears_make_the_pages_anew(
    database: Database,
    spec: FeedSpec,
    make_article: ArticleBuilder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_store, "PAGES_A_ROUND", 2)
    await save(database, *(make_article(one) for one in numbers(1, 90)))
    await renew(database, spec)
    await change(database, *numbers(1, 90), revision=2)
    assert (await renew(database, spec, *numbers(1, 90), at=1)).renewed == tuple(
        ArchiveName(number, 1) for number in numbers(5, 8)
    )
    assert list((await pages(database, spec)).values()) == [
        numbers(1, 20),
        numbers(21, 40),
        numbers(41, 60),
        numbers(61, 80),
    ]


async def test_a_page_whose_range_comes_to_match_too_much_is_parted(
    database: Database,
    spec: FeedSpec,
    make_article: ArticleBuilder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_store, "MOST_ON_A_PAGE", 40)
    spec = replace(spec, filter=TRAMS)
    await save(
        database,
        *(
            make_article(one, topics=["trams"] if one % 3 == 0 else ["money"])
            for one in numbers(1, 120)
        ),
    )
    await renew(database, spec)
    await change(database, *numbers(1, 60), topics=["trams"], revision=2)
    await renew(database, spec, *numbers(1, 60), at=1)
    assert max(len(held) for held in (await pages(database, spec)).values()) == 20


@pytest.mark.parametrize("max_age", [None, timedelta(days=3650)])
async def test_an_ordinary_publication_reads_through_indexes_and_writes_nothing(
    database: Database,
    spec: FeedSpec,
    make_article: ArticleBuilder,
    max_age: timedelta | None,
) -> None:
    spec = replace(spec, window=Window(20, max_age=max_age))
    await save(database, *(make_article(one) for one in numbers(1, 1000)))
    await renew(database, spec)
    async with database.write() as session:
        await session.execute(text("ANALYZE"))
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            statements.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await renew(database, spec, 1000, at=1)
    async with database.read() as session:
        await touched_archives(session, {1000})
    event.remove(engine, "before_cursor_execute", note)
    assert all(statement.startswith("SELECT") for statement, _ in statements)
    assert 3 <= len(statements) <= 8
    explain = "EXPLAIN QUERY PLAN " if database.kind == "sqlite" else "EXPLAIN "
    async with database.engine.connect() as connection:
        if database.kind == "postgresql":
            # A thousand rows are read as quickly without an index: is there one for many?
            await connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in statements:
            plan = await connection.exec_driver_sql(explain + statement, parameters)
            steps = "\n".join(str(tuple(row)) for row in plan)
            # PostgreSQL rightly scans the few rows of pages and feeds.
            assert "SCAN article" not in steps, steps
            assert "Seq Scan on article" not in steps, steps
            if database.kind == "sqlite":
                assert "SCAN" not in steps, steps


ACTIONS = ["publish", "publish", "edit", "withdraw", "tag", "window", "title", "filter"]


class Simulation:
    """A feed of one database, and what its readers are to find."""

    def __init__(self, database: Database, spec: FeedSpec, build: ArticleBuilder) -> None:
        self.database, self.spec, self.build = database, spec, build
        self.now, self.count = NOON, 0
        self.articles: dict[int, dict[str, Any]] = {}

    async def step(self, action: str, number: int, amount: int) -> None:
        """Do something, then bring the pages in line; every article is to be found."""
        self.now += timedelta(hours=1)
        touched = set[int]()
        if action == "publish":
            for seq in range(self.count + 1, self.count + amount + 1):
                at = self.now - timedelta(days=number % 7)
                self.articles[seq] = {"revision": 1, "state": "published", "topics": ["trams"]}
                await save(self.database, self.build(seq, published_at=at, stored_at=self.now))
                touched.add(seq)
            self.count += amount
        elif action == "window":
            max_age = timedelta(days=number % 5) if number % 5 else None
            self.spec = replace(self.spec, window=Window(amount, max_age=max_age))
        elif action == "title":
            self.spec = replace(self.spec, title=f"News {number}")
        elif action == "filter":
            self.spec = replace(
                self.spec, filter=TRAMS if number % 2 else from_selection(Selection())
            )
        elif self.count:
            for seq in {number * step % self.count + 1 for step in range(1, amount // 8 + 2)}:
                self.edit(action, seq)
                touched.add(seq)
                await change(self.database, seq, **self.articles[seq])
        async with self.database.write() as session:
            while True:
                renewal = await renew_archives(session, self.spec, self.now, touched)
                if not renewal.is_unfinished:
                    break
                touched.clear()
        assert await self.found() == self.expected()

    def edit(self, action: str, seq: int) -> None:
        """Change an article that readers may have."""
        values = self.articles[seq]
        values["revision"] += 1
        if action == "withdraw":
            back = values["state"] == "withdrawn"
            values["state"] = ArticleState.PUBLISHED if back else ArticleState.WITHDRAWN
        elif action == "tag":
            values["topics"] = ["money"] if values["topics"] == ["trams"] else ["trams"]
        values["title"] = f"Article {seq}, revision {values['revision']}"

    def expected(self) -> dict[int, str]:
        """Titles of all articles that belong to the feed, as they are."""
        narrow = self.spec.filter == TRAMS
        return {
            seq: values.get("title", f"Article {seq}")
            for seq, values in self.articles.items()
            if values["state"] == "published" and not (narrow and values["topics"] != ["trams"])
        }

    async def found(self) -> dict[int, str]:
        """Titles of all articles in the window and on the pages that are linked from it."""
        found: dict[int, str] = {}
        async with self.database.read() as session:
            window = await select_window(session, self.spec.filter, self.spec.window, self.now)
            for row in window.rows:
                found[row.seq] = self.articles[row.seq].get("title", f"Article {row.seq}")
            links = await archive_links(session, self.spec)
            url = links[FeedFormat.JSON].previous_archive
            while url:
                number, _, version = url.split("/")[-2].partition("-")
                name: ArchiveName = ArchiveName(int(number), int(version))
                page = await self.open(session, name)
                if isinstance(page, ArchiveMoved):
                    page = await self.open(session, page.name)
                document = json.loads(page.body)
                for item in document["items"]:
                    found[int(item["url"].rpartition("-")[2])] = item["title"]
                url = document.get("next_url")
        return found

    async def open(self, session: Any, name: ArchiveName) -> Any:
        return await open_archive(session, self.spec, name, FeedFormat.JSON, FragmentCache())


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(ACTIONS),
            st.integers(0, 1000),
            st.integers(1, 45),
        ),
        min_size=3,
        max_size=8,
    )
)
@settings(max_examples=10, deadline=None)
def test_whatever_happens_the_links_lead_to_every_article_as_it_is(
    sqlite_schema: Path,
    make_spec: SpecBuilder,
    make_article: ArticleBuilder,
    steps: list[tuple[str, int, int]],
) -> None:
    async def run(folder: str) -> None:
        path = Path(folder) / "feedsvc.db"
        shutil.copy(sqlite_schema, path)
        database = Database(f"sqlite:///{path}")
        spec = make_spec(window=Window(5), formats=(FeedFormat.JSON,), content="summary")
        simulation = Simulation(database, spec, make_article)
        for step in steps:
            await simulation.step(*step)
        await database.dispose()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
