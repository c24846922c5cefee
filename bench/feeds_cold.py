"""The first publication of a fresh process: its fragments are in a SQLite file, none in memory.

Runs in a process of its own, which has written none of the fragments. Before each measurement it
closes its connections and forgets what it holds in memory. The very first one is told apart: then
SQLAlchemy has not compiled a statement yet, and feedgen has not run.
"""

import asyncio
import gc
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select
from sqlmodel import col

from bench.feeds_world import BEGIN, SPEC, full_run, make_article, timed_in_turn
from feedsvc.db.engine import Database
from feedsvc.feeds.fragment_store import save_fragments
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.render import RenderedFeed, render_feed, render_rows
from feedsvc.feeds.select import light_row
from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.kit.allocator import keep_freed_memory
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

#: Articles that are new one after the other before it begins anew; none of them is ever stored as
#: a fragment.
_SUPPLY = 100


@dataclass(frozen=True, slots=True)
class ColdTimes:
    """Medians in seconds, of publishing and of writing everything anew."""

    #: From loaded rows: light ones here, whole ones there.
    publish_s: float
    full_s: float
    #: Reading the rows included.
    whole_publish_s: float
    whole_full_s: float
    #: The very first of the process, reading the rows included.
    first_publish_s: float
    first_full_s: float
    is_equal: bool


async def fill(database: Database, window: int) -> None:
    """Store the articles of a window, and their fragments."""
    async with database.write() as session:
        session.add_all([make_article(number) for number in range(window)])
    await _publish_and_save(database, replace(SPEC, window=Window(window)))


def measure(folder: str, window: int, rounds: int) -> ColdTimes:
    """Publish one new article after the other; for a process of its own."""
    keep_freed_memory()  # as the service does
    return asyncio.run(_measure(Path(folder), window, rounds))


async def _measure(folder: Path, window: int, rounds: int) -> ColdTimes:
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    spec = replace(SPEC, window=Window(window))
    taken: list[tuple[float, float]] = []
    is_equal = True
    for number in range(window, window + rounds + 1):
        async with database.write() as session:
            session.add(make_article(number))
        publish_s, published = await _time_publishing(database, spec)
        full_s, full = await _time_full(database, window)
        taken.append((publish_s, full_s))
        is_equal = is_equal and published == full
        await _publish_and_save(database, spec)
    whole_publish_s, whole_full_s = map(statistics.median, zip(*taken[1:], strict=True))
    publish_s, full_s, same = await _time_from_rows(database, spec, rounds)
    await database.dispose()
    is_equal = is_equal and same
    return ColdTimes(publish_s, full_s, whole_publish_s, whole_full_s, *taken[0], is_equal)


async def _time_publishing(
    database: Database, spec: FeedSpec
) -> tuple[float, dict[FeedFormat, bytes]]:
    await _forget(database)
    begin = time.perf_counter()
    async with database.read() as session:
        rendered = await render_feed(session, spec, FragmentCache(), BEGIN)
    end = time.perf_counter()
    assert len(rendered.fresh) == 1
    return end - begin, rendered.documents


async def _time_full(database: Database, window: int) -> tuple[float, dict[FeedFormat, bytes]]:
    await _forget(database)
    begin = time.perf_counter()
    documents = await asyncio.to_thread(full_run, await _load_newest(database, window))
    return time.perf_counter() - begin, documents


async def _time_from_rows(
    database: Database, spec: FeedSpec, rounds: int
) -> tuple[float, float, bool]:
    """As `one_post_vs_full`: the rows are there, and each round has its own new article."""
    older = (await _load_newest(database, spec.window.count))[:-1]
    number = (older[0].seq or 0) + 1
    async with database.write() as session:
        session.add_all([make_article(one) for one in range(number, number + _SUPPLY)])
    newer = await _load_newest(database, _SUPPLY)
    older_rows = [light_row(article) for article in older]
    newer_rows = [light_row(article) for article in newer]
    reader, turn = database.direct, 0
    assert reader is not None

    def prepare() -> None:
        reader.close()
        reader.open()

    def publish() -> RenderedFeed:
        nonlocal turn
        turn = (turn + 1) % _SUPPLY
        rows = [newer_rows[turn], *older_rows]
        return render_rows(
            spec, rows, lambda _: newer[turn : turn + 1], FragmentCache(), reader=reader
        )

    def write_all() -> dict[FeedFormat, bytes]:
        return full_run([newer[turn], *older])

    publish_s, full_s = timed_in_turn((publish, write_all), rounds, prepare)
    last = publish()
    assert len(last.fresh) == 1
    return publish_s, full_s, last.documents == write_all()


async def _load_newest(database: Database, count: int) -> list[Article]:
    newest = select(Article).order_by(col(Article.seq).desc()).limit(count)
    async with database.read() as session:
        return list((await session.execute(newest)).scalars())


async def _forget(database: Database) -> None:
    """Start without a connection's page cache, and without garbage of the other side."""
    await database.dispose()
    await database.check()
    gc.collect()


async def _publish_and_save(database: Database, spec: FeedSpec) -> None:
    async with database.read() as session:
        rendered = await render_feed(session, spec, FragmentCache(), BEGIN)
    async with database.write() as session:
        await save_fragments(session, spec.key, rendered)
