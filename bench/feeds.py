"""Publishing one new article into a window, against writing the whole feed anew with feedgen.

Both sides make the identity bytes of RSS and Atom from loaded rows; `feeds_cold` does so where the
fragments are in the database alone. Coding and storing are measured beside them, and what a
publication takes when many articles are stored.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

from bench.feeds_cold import fill, measure
from bench.feeds_world import (
    BEGIN,
    SPEC,
    full_run,
    make_article,
    open_empty,
    store_articles,
    timed_in_turn,
)
from bench.report import Result
from feedsvc.db.engine import Database
from feedsvc.feeds.documents.store import load_etags, prepare_documents, store_documents
from feedsvc.feeds.fragment_store import save_fragments
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.render import RenderedFeed, render_feed, render_rows
from feedsvc.feeds.select import light_row
from feedsvc.kit.allocator import keep_freed_memory
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

WINDOWS = (20, 100, 1000)
#: Articles that are published one after the other before it begins anew.
_SUPPLY = 500


def run(quick: bool) -> list[Result]:
    """All results of this benchmark."""
    keep_freed_memory()  # as the service does
    results, beside, equal = list[Result](), list[Result](), True
    for window in WINDOWS:
        ratio, timings, same = _one_post(window, rounds=5 if quick else 25)
        results.append(ratio)
        beside += timings
        equal = equal and same
    for window in WINDOWS:
        ratio, timings, same = _cold(window, rounds=3 if quick else 15)
        results.append(ratio)
        beside += timings
        equal = equal and same
    results.append(Result("bytes_equal", float(equal), "", "joined documents equal full ones"))
    sizes = (1000, 10_000) if quick else (1000, 200_000)
    growth = asyncio.run(_store_growth(*sizes, rounds=15 if quick else 60))
    return [*results, *growth, *beside]


def _one_post(window: int, rounds: int) -> tuple[Result, list[Result], bool]:
    articles = [make_article(number) for number in range(window + _SUPPLY)]
    rows = [light_row(article) for article in articles]
    cache, position = FragmentCache(), 0

    def load(ids: Sequence[int]) -> list[Article]:
        return [articles[one - 1] for one in ids]

    def publish_one() -> RenderedFeed:
        nonlocal position
        position = (position + 1) % _SUPPLY
        return render_rows(SPEC, rows[position : position + window][::-1], load, cache)

    def write_all() -> dict[FeedFormat, bytes]:
        return full_run(articles[position : position + window][::-1])

    render_rows(SPEC, rows[:window][::-1], load, cache)
    joined_s, full_s = timed_in_turn((publish_one, write_all), rounds)
    rendered = render_rows(SPEC, rows[position : position + window][::-1], load, cache)
    kilobytes = sum(map(len, rendered.documents.values())) / 1000
    note = f"{full_s * 1000:.3g} ms / {joined_s * 1000:.3g} ms, {kilobytes:.0f} kB"
    ratio = Result(f"one_post_vs_full_{window}", full_s / joined_s, "x", note)
    return ratio, asyncio.run(_storing(window, rendered)), rendered.documents == write_all()


def _cold(window: int, rounds: int) -> tuple[Result, list[Result], bool]:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_fill(Path(folder), window))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            times = fresh.submit(measure, folder, window, rounds).result()
    note = (
        f"{times.full_s * 1000:.3g} ms / {times.publish_s * 1000:.3g} ms; a process that wrote "
        "none of them, a new connection and an empty cache each time, code that has run before"
    )
    whole_note = (
        f"{times.whole_full_s * 1000:.3g} ms / {times.whole_publish_s * 1000:.3g} ms: "
        "the same, reading the rows included"
    )
    first_note = (
        f"{times.first_full_s * 1000:.3g} ms / {times.first_publish_s * 1000:.3g} ms: "
        "reading the rows included, the very first publication of a process"
    )
    beside = [
        Result(
            f"cold_with_rows_vs_full_{window}",
            times.whole_full_s / times.whole_publish_s,
            "x",
            whole_note,
        ),
        Result(
            f"first_vs_full_{window}", times.first_full_s / times.first_publish_s, "x", first_note
        ),
    ]
    ratio = Result(f"cold_vs_full_{window}", times.full_s / times.publish_s, "x", note)
    return ratio, beside, times.is_equal


async def _fill(folder: Path, window: int) -> None:
    database = await open_empty(folder)
    await fill(database, window)
    await database.dispose()


async def _storing(window: int, rendered: RenderedFeed) -> list[Result]:
    """Time to check, code and store documents that have changed."""
    preparing, storing = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        database = await open_empty(Path(folder))
        for version in range(5):
            changed = {
                name: body.replace(b"Morning News", b"Morning News %d" % version, 1)
                for name, body in rendered.documents.items()
            }
            one = RenderedFeed(changed, entries=rendered.entries, fresh=rendered.fresh)
            begin = time.perf_counter()
            prepared = await asyncio.to_thread(prepare_documents, SPEC, one, {})
            checked = time.perf_counter()
            async with database.write() as session:
                now = BEGIN + timedelta(hours=version)
                await store_documents(session, SPEC, prepared, now, version)
                await save_fragments(session, SPEC.key, one)
            preparing.append(checked - begin)
            storing.append(time.perf_counter() - checked)
        await database.dispose()
    prepare_ms, store_ms = (statistics.median(taken) * 1000 for taken in (preparing, storing))
    coded = "checking both documents, coding them in gzip, br and zstd"
    return [
        Result(f"prepare_ms_{window}", prepare_ms, "ms", coded),
        Result(f"store_ms_{window}", store_ms, "ms", "storing both with their codings, SQLite"),
    ]


async def _store_growth(few: int, many: int, rounds: int) -> list[Result]:
    """What a whole publication takes beside `many` stored articles, against `few`."""
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for stored in (few, many):
            place = Path(folder) / str(stored)
            database = await open_empty(place)
            await store_articles(database, stored)
            sides.append((database, stored, FragmentCache(), list[float]()))
        for number in range(rounds + 1):
            for database, stored, cache, taken in sides:
                begin = time.perf_counter()
                await _publish(database, stored + number, cache)
                if number:  # the first fills the cache
                    taken.append(time.perf_counter() - begin)
        for database, *_ in sides:
            await database.dispose()
    base_s, grown_s = (statistics.median(taken) for *_, taken in sides)
    note = f"{grown_s * 1000:.3g} ms beside {many} articles / {base_s * 1000:.3g} ms beside {few}"
    return [Result("store_growth", grown_s / base_s, "x", note)]


async def _publish(database: Database, number: int, cache: FragmentCache) -> None:
    """Store one article, and the documents that now hold it."""
    now = BEGIN + timedelta(hours=number)
    async with database.write() as session:
        session.add(make_article(number))
    async with database.read() as session:
        rendered = await render_feed(session, SPEC, cache, now)
        etags = await load_etags(session, SPEC.key)
    prepared = await asyncio.to_thread(prepare_documents, SPEC, rendered, etags)
    async with database.write() as session:
        outcome = await store_documents(session, SPEC, prepared, now, number)
        await save_fragments(session, SPEC.key, rendered)
    assert len(outcome.changed) == len(SPEC.formats)
