"""Reads and writes the rows of archive pages, and the articles as far as pages depend on them."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.feeds.archive.plan import PageEntry, PlannedPage
from feedsvc.feeds.numbers import find_lead, select_numbers
from feedsvc.kit.filters import Filter
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import ArchiveName, FeedArchive

_PIECE = 500  # numbers named in one statement
_CHUNK = 5000  # articles read at once
_GONE = ""


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page as it is stored; see FeedArchive. A gone one holds nothing."""

    number: int
    from_seq: int
    to_seq: int
    version: int
    seqs: tuple[int, ...]
    digest: str
    made_with: str
    last_modified: datetime
    previous_version: int

    @property
    def name(self) -> ArchiveName:
        """Its number and present version."""
        return ArchiveName(self.number, self.version)

    @property
    def is_gone(self) -> bool:
        """Whether only its number is left."""
        return self.made_with == _GONE

    @property
    def planned(self) -> PlannedPage:
        """What it holds."""
        return PlannedPage(self.number, self.from_seq, self.to_seq, self.seqs)


@dataclass(frozen=True, slots=True)
class PageRow:
    """What is to be written of a page."""

    page: PlannedPage
    version: int
    previous_version: int
    digest: str
    made_with: str
    last_modified: datetime


async def find_newest(session: AsyncSession, feed_key: str) -> StoredPage | None:
    """The page with the highest number, which may be gone; None before the first."""
    newest = _pages(feed_key).order_by(col(FeedArchive.number).desc()).limit(1)
    row = (await session.execute(newest)).one_or_none()
    return _stored(row) if row else None


async def find_page(session: AsyncSession, feed_key: str, number: int) -> StoredPage | None:
    """A page by its number, which may be gone."""
    one = _pages(feed_key).where(col(FeedArchive.number) == number)
    row = (await session.execute(one)).one_or_none()
    return _stored(row) if row else None


async def load_pages(
    session: AsyncSession, feed_key: str, low: int = 1, high: int | None = None
) -> list[StoredPage]:
    """The pages that hold one of the numbers `low` to `high`, both included, oldest first."""
    meeting = _pages(feed_key).where(col(FeedArchive.to_seq) >= low)
    if high is not None:
        meeting = meeting.where(col(FeedArchive.from_seq) < high)
    rows = await session.execute(meeting.order_by(col(FeedArchive.to_seq)))
    return [page for row in rows if not (page := _stored(row)).is_gone]


async def load_versions(
    session: AsyncSession, feed_key: str, numbers: Collection[int]
) -> dict[int, int]:
    """The present versions of those of these pages that are not gone."""
    versions: dict[int, int] = {}
    columns = select(col(FeedArchive.number), col(FeedArchive.version))
    there = columns.where(col(FeedArchive.feed) == feed_key, col(FeedArchive.made_with) != _GONE)
    for piece in pieces(numbers):
        rows = await session.execute(there.where(col(FeedArchive.number).in_(piece)))
        versions |= {row.number: row.version for row in rows}
    return versions


async def load_names(session: AsyncSession, feed_key: str) -> list[ArchiveName]:
    """Numbers and versions of a feed's pages, oldest first."""
    columns = select(col(FeedArchive.number), col(FeedArchive.version))
    there = columns.where(col(FeedArchive.feed) == feed_key, col(FeedArchive.made_with) != _GONE)
    rows = await session.execute(there.order_by(col(FeedArchive.number)))
    return [ArchiveName(number, version) for number, version in rows]


async def insert_pages(session: AsyncSession, feed_key: str, rows: Sequence[PageRow]) -> None:
    """Store new pages."""
    if rows:
        values = [{"feed": feed_key, "number": row.page.number, **_values(row)} for row in rows]
        await session.execute(insert(FeedArchive), values)


async def update_pages(session: AsyncSession, feed_key: str, rows: Sequence[PageRow]) -> None:
    """Store new versions of pages that are there."""
    if rows:
        here = (
            col(FeedArchive.feed) == bindparam("the_feed"),
            col(FeedArchive.number) == bindparam("the_number"),
        )
        values = [
            {"the_feed": feed_key, "the_number": row.page.number, **_values(row)} for row in rows
        ]
        connection = await session.connection()
        await connection.execute(update(FeedArchive).where(*here), values)


async def retire_pages(session: AsyncSession, feed_key: str) -> list[ArchiveName]:
    """Take all pages of a feed away; which they were. Their numbers are not given again."""
    gone = await load_names(session, feed_key)
    if gone:
        of_feed, newest = col(FeedArchive.feed) == feed_key, gone[-1].number
        await session.execute(delete(FeedArchive).where(of_feed, col(FeedArchive.number) < newest))
        nothing: dict[str, Any] = {
            "from_seq": 0,
            "to_seq": 0,
            "previous_version": 0,
            "seqs": [],
            "digest": "",
            "made_with": _GONE,
        }
        await session.execute(
            update(FeedArchive).where(of_feed, col(FeedArchive.number) == newest).values(nothing)
        )
    return gone


async def load_changed(
    session: AsyncSession, basis: int | None, upto: int, limit: int
) -> list[int]:
    """Numbers up to `upto` of articles that have changed since; not more than so many.

    Args:
        basis: the number of article changes that is known; None: all articles have changed.
    """
    since = -1 if basis is None else basis
    changed = select(col(Article.seq)).where(col(Article.changed) > since)
    numbers = await session.scalars(changed.where(col(Article.seq) <= upto).limit(limit))
    return [seq for seq in numbers if seq is not None]


async def load_entries(
    session: AsyncSession, admitted: Filter, seqs: Collection[int]
) -> dict[int, PageEntry]:
    """Those of these articles that belong to the feed now, by their number."""
    found: dict[int, PageEntry] = {}
    belongs = belonging(session, admitted)
    for piece in pieces(seqs):
        rows = await session.execute(_entries().where(*belongs, col(Article.seq).in_(piece)))
        found |= {row.seq: PageEntry(*row) for row in rows}
    return found


async def load_waiting(
    session: AsyncSession, admitted: Filter, above: int, limit: int
) -> list[PageEntry]:
    """The feed's articles above a number, lowest first."""
    found: list[PageEntry] = []
    async for chunk in walk_entries(session, admitted, above, chunk=min(limit, _CHUNK)):
        found += chunk[: limit - len(found)]
        if len(found) == limit:
            break
    return found


async def find_newest_but(session: AsyncSession, admitted: Filter, count: int) -> int | None:
    """Number of the feed's newest article but `count`; None when there are not so many."""
    lead = await find_lead(session, admitted)
    numbers = select_numbers(session, admitted, lead, newest_first=True)
    number: int | None = await session.scalar(numbers.offset(count).limit(1))
    return number


async def is_waiting(session: AsyncSession, admitted: Filter, above: int, below: int) -> bool:
    """Whether an article of the feed has a number between these two, both excluded."""
    if above + 1 >= below:
        return False
    lead = await find_lead(session, admitted)
    between = select_numbers(session, admitted, lead, above=above, below=below)
    return await session.scalar(between.limit(1)) is not None


async def walk_entries(
    session: AsyncSession,
    admitted: Filter,
    above: int,
    upto: int | None = None,
    chunk: int = _CHUNK,
) -> AsyncIterator[list[PageEntry]]:
    """The feed's articles with above < seq <= upto in ascending order, so many at a time."""
    lead, below = await find_lead(session, admitted), None if upto is None else upto + 1
    while True:
        ahead = select_numbers(session, admitted, lead, above=above, below=below).limit(chunk)
        rows = await session.execute(_entries().where(col(Article.seq).in_(ahead)))
        entries = sorted(PageEntry(*row) for row in rows)
        if entries:
            yield entries
            above = entries[-1].seq
        if len(entries) < chunk:
            return


def pieces(numbers: Iterable[int]) -> Iterable[list[int]]:
    """Numbers in ascending order, so many at a time as one statement may name."""
    rest = iter(sorted(numbers))
    while piece := list(islice(rest, _PIECE)):
        yield piece


def belonging(session: AsyncSession, admitted: Filter) -> list[ColumnElement[bool]]:
    """The conditions on rows of `article` that are published and belong to a feed."""
    dialect = session.get_bind().dialect.name
    return [col(Article.state) == ArticleState.PUBLISHED, *admitted.to_sql(dialect)]


def _entries() -> Any:
    return select(
        col(Article.seq),
        col(Article.revision),
        col(Article.content_hash),
        col(Article.published_at),
        col(Article.updated_at),
    )


def _pages(feed_key: str) -> Any:
    page = FeedArchive
    return select(
        col(page.number),
        col(page.from_seq),
        col(page.to_seq),
        col(page.version),
        col(page.seqs),
        col(page.digest),
        col(page.made_with),
        col(page.last_modified),
        col(page.previous_version),
    ).where(col(page.feed) == feed_key)


def _stored(row: Row[Any]) -> StoredPage:
    number, from_seq, to_seq, version, seqs, *rest = tuple(row)
    return StoredPage(number, from_seq, to_seq, version, tuple(seqs), *rest)


def _values(row: PageRow) -> dict[str, Any]:
    return {
        "from_seq": row.page.from_seq,
        "to_seq": row.page.to_seq,
        "version": row.version,
        "previous_version": row.previous_version,
        "seqs": list(row.page.seqs),
        "digest": row.digest,
        "made_with": row.made_with,
        "last_modified": row.last_modified,
    }
