"""Publishing one new article into a window, against writing the whole feed anew with feedgen.

Both sides make the identity bytes of RSS and Atom from loaded rows. Compression and storing are
measured beside them, and what a publication takes when many articles are stored.
"""

import asyncio
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from bench.report import Result, median_seconds
from feedsvc.db.engine import Database
from feedsvc.feeds.documents import (
    FeedSpec,
    RenderedFeed,
    compress,
    render_documents,
    store_documents,
)
from feedsvc.feeds.entries import read_entry
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.select import select_articles
from feedsvc.feeds.syndication import full_document
from feedsvc.model import metadata
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import FeedFormat
from feedsvc.model.ports import Selection

WINDOWS = (20, 100, 1000)
ARTICLE_BYTES = 3000
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = tuple(
    f"the city council met on {kind} & budgets while <em>readers</em>" for kind in ("trams", "tax")
)
_CHINESE = "北京地铁新开一条线路市民可以换乘早晨新闻上海股市天气晴朗"
_BATCH = 5000

SPEC = FeedSpec(
    key="all",
    title="Morning News",
    description="What happened",
    language="en",
    formats=(FeedFormat.RSS, FeedFormat.ATOM),
    content="full",
    window=50,
    selection=Selection(),
    base_url="https://news.example",
    site_title="The News",
)


def run(quick: bool) -> list[Result]:
    """All results of this benchmark."""
    results, equal = [], True
    beside: list[Result] = []
    for window in WINDOWS:
        rounds = max(5 if quick else 25, (300 if quick else 3000) // window)
        ratio, timings, same = _one_post(window, rounds)
        results.append(ratio)
        beside += timings
        equal = equal and same
    for window in WINDOWS:
        reason = "fragments are kept in memory only: a fresh process writes every entry anew"
        results.append(Result(f"cold_vs_full_{window}", None, "x", reason))
    results.append(Result("bytes_equal", float(equal), "", "joined documents equal full ones"))
    sizes = (1000, 10_000) if quick else (1000, 200_000)
    growth = asyncio.run(_store_growth(*sizes, rounds=15 if quick else 60))
    return [*results, *growth, *beside]


def _one_post(window: int, rounds: int) -> tuple[Result, list[Result], bool]:
    articles = [Article(**_values(number)) for number in range(window + rounds + 1)]
    cache, position = FragmentCache(), 0
    render_documents(SPEC, _window(articles, position, window), cache)

    def publish_one() -> RenderedFeed:
        nonlocal position
        position += 1
        return render_documents(SPEC, _window(articles, position, window), cache)

    def write_all() -> dict[FeedFormat, bytes]:
        return _full_run(_window(articles, position, window))

    joined_s, full_s = median_seconds((publish_one, write_all), rounds)
    documents = render_documents(SPEC, _window(articles, position, window), cache).documents
    [gzip_s] = median_seconds((lambda: [compress(body) for body in documents.values()],), 3)
    kilobytes = sum(map(len, documents.values())) / 1000
    note = f"{full_s * 1000:.3g} ms / {joined_s * 1000:.3g} ms, {kilobytes:.0f} kB"
    beside = [
        Result(f"gzip_ms_{window}", gzip_s * 1000, "ms", "compressing both documents"),
        asyncio.run(_storing(window, documents)),
    ]
    ratio = Result(f"one_post_vs_full_{window}", full_s / joined_s, "x", note)
    return ratio, beside, documents == write_all()


def _full_run(articles: list[Article]) -> dict[FeedFormat, bytes]:
    """What a service without fragments would do: every entry through feedgen, in each format."""
    entries = [read_entry(article, SPEC.base_url, SPEC.content) for article in articles]
    updated_at = max(entry.updated_at for entry in entries)
    return {
        name: full_document(name, SPEC.head(name, updated_at), entries) for name in SPEC.formats
    }


def _window(articles: list[Article], position: int, window: int) -> list[Article]:
    """The articles in the window after `position` publications, newest first."""
    return articles[position : position + window][::-1]


async def _storing(window: int, documents: dict[FeedFormat, bytes]) -> Result:
    """Time to store changed documents, compressing included."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        database = await _open(Path(folder))
        for version in range(5):
            changed = {name: body + b" " * version for name, body in documents.items()}
            begin = time.perf_counter()
            async with database.write() as session:
                await store_documents(
                    session, "all", RenderedFeed(changed), _BEGIN + timedelta(seconds=version)
                )
            taken.append(time.perf_counter() - begin)
        await database.dispose()
    note = "compressing and storing both documents, SQLite"
    return Result(f"store_ms_{window}", statistics.median(taken) * 1000, "ms", note)


async def _store_growth(few: int, many: int, rounds: int) -> list[Result]:
    """What a whole publication takes beside `many` stored articles, against `few`."""
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for stored in (few, many):
            database = await _open(Path(folder) / str(stored))
            await _fill(database, stored)
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
    async with database.write() as session:
        session.add(Article(**_values(number)))
    async with database.read() as session:
        articles = await select_articles(session, SPEC.selection, SPEC.window)
    rendered = render_documents(SPEC, articles, cache)
    async with database.write() as session:
        changed = await store_documents(
            session, SPEC.key, rendered, _BEGIN + timedelta(hours=number)
        )
    assert len(changed) == len(SPEC.formats)


async def _open(folder: Path) -> Database:
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return database


async def _fill(database: Database, count: int) -> None:
    text = _html(random.Random(0))  # its length matters here, not its words
    for begin in range(0, count, _BATCH):
        numbers = range(begin, min(begin + _BATCH, count))
        rows = [_values(number, text) for number in numbers]
        async with database.write() as session:
            await session.execute(insert(Article), rows)


def _values(number: int, content: str | None = None) -> dict[str, Any]:
    """Article `number`, always the same: English and Chinese with markup, about 3 kB."""
    random_ = random.Random(number)
    at = _BEGIN + timedelta(minutes=number)
    return {
        "id": number + 1,
        "source": "bench",
        "source_key": f"{number}.md",
        "fingerprint": f"{number:064x}",
        "seq": number + 1,
        "revision": 1,
        "guid": f"urn:uuid:{UUID(int=number)}",
        "slug": f"article-{number}",
        "title": f"Article {number} & 新闻",
        "authors": ["Alice", "李雷"],
        "section": "city",
        "topics": ["trams", "money"],
        "language": "zh-CN" if number % 2 else "en",
        "published_at": at,
        "updated_at": at,
        "content": content or _html(random_),
        "summary": " ".join(random_.choices(_WORDS, k=3)),
        "enclosures": [],
        "content_hash": f"{number:064x}",
        "announce": True,
        "state": ArticleState.PUBLISHED,
        "stored_at": at,
    }


def _html(random_: random.Random) -> str:
    parts: list[str] = []
    size = 0
    while size < ARTICLE_BYTES:
        words = " ".join(random_.choices(_WORDS, k=4))
        chinese = "".join(random_.choices(_CHINESE, k=30))
        parts.append(f'<p>{words} <a href="https://news.example/?a=1&amp;b=2">{chinese}</a></p>')
        size += len(parts[-1].encode())
    return "\n".join(parts)
