"""The feed, the articles and the databases that the feeds benchmark works with."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from feedsvc.db.engine import Database
from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.feeds.writing.entries import read_entry
from feedsvc.feeds.writing.syndication import full_document
from feedsvc.kit.filters import Filter
from feedsvc.model import metadata
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import FeedFormat

ARTICLE_BYTES = 3000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
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
    window=Window(50),
    filter=Filter(),
    base_url="https://news.example",
    site_title="The News",
)


def full_run(articles: Sequence[Article]) -> dict[FeedFormat, bytes]:
    """What a service without fragments would do: every entry through feedgen, in each format."""
    entries = [read_entry(article, SPEC.base_url, SPEC.content) for article in articles]
    updated_at = max(entry.updated_at for entry in entries)
    return {
        name: full_document(name, SPEC.head(name, updated_at), entries) for name in SPEC.formats
    }


#: How long a side goes on before it is the other's turn.
_TURN_SECONDS = 0.05


def timed_in_turn(
    sides: Sequence[Callable[[], object]], rounds: int, prepare: Callable[[], None] | None = None
) -> list[float]:
    """As report.median_seconds, each side in a thread of its own, as the service renders.

    A thread has its own part of the heap: neither side works in the other's rubble. A turn lasts
    as long for the quick side as for the slow one, so that neither is measured on caches that the
    other has filled. What a side answered is kept until its next time, as documents are while they
    are served.

    Args:
        prepare: called before each measurement, in its thread.
    """
    threads = [ThreadPoolExecutor(1) for _ in sides]
    taken: list[list[float]] = [[] for _ in sides]
    kept: list[object] = [None for _ in sides]

    def timed(number: int) -> None:
        end = time.perf_counter() + _TURN_SECONDS
        is_over = False
        while not is_over:
            if prepare is not None:
                prepare()
            begin = time.perf_counter()
            answer = sides[number]()
            taken[number].append(time.perf_counter() - begin)
            kept[number] = answer
            is_over = time.perf_counter() >= end

    for _ in range(rounds):
        for number, thread in enumerate(threads):
            thread.submit(timed, number).result()
    for thread in threads:
        thread.shutdown()
    return [statistics.median(times) for times in taken]


async def open_empty(folder: Path) -> Database:
    """A new SQLite file with the present tables."""
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return database


async def store_articles(database: Database, count: int) -> None:
    """Store articles 0 to `count` - 1, all with the text of the first: only its length matters."""
    text = _html(random.Random(0))
    for begin in range(0, count, _BATCH):
        numbers = range(begin, min(begin + _BATCH, count))
        rows = [_values(number, text) for number in numbers]
        async with database.write() as session:
            await session.execute(insert(Article), rows)


def make_article(number: int) -> Article:
    """Article `number`, always the same: English and Chinese with markup, about 3 kB."""
    return Article(**_values(number))


def _values(number: int, content: str | None = None) -> dict[str, Any]:
    random_ = random.Random(number)
    at = BEGIN + timedelta(minutes=number)
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
