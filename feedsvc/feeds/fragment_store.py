"""Fragments in the database, so that a fresh process writes no entry a second time.

Also which articles a feed's documents hold, by which fragments are kept.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, delete, exists, null, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from feedsvc.db.direct import DirectReader
from feedsvc.db.engine import after_commit, direct_reader
from feedsvc.feeds.fragments import (
    Fragment,
    FragmentCache,
    Fragments,
    Rendering,
    combine,
    find_known,
    fragment_key,
    version_of,
    write_fragments,
)
from feedsvc.feeds.select import WindowRow
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import FeedDocument, FeedEntry, FeedFormat, FeedFragment

if TYPE_CHECKING:
    from feedsvc.feeds.render import RenderedFeed

_PIECE = 500
_Value = TypeVar("_Value")
_COLUMNS = {
    FeedFormat.RSS: col(FeedFragment.rss),
    FeedFormat.ATOM: col(FeedFragment.atom),
    FeedFormat.JSON: col(FeedFragment.json_item),
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the fragments of some articles are made of: those there are, and whole articles."""

    rendering: Rendering
    rows: Sequence[WindowRow]
    #: One for each row.
    known: Sequence[Fragment | None]
    #: For rows without a known one, by article id.
    found: Mapping[int, Fragment]
    #: Those without either.
    articles: Sequence[Article]

    def write(self) -> Fragments:
        """The fragments, the missing ones written now. Blocking, and without a database."""
        written: dict[int, Fragment | str] = {**self.found}
        if self.articles:
            written |= write_fragments(self.articles, self.rendering)
        return combine(self.rows, self.known, written)


async def fragments_for(
    session: AsyncSession, rendering: Rendering, rows: Sequence[WindowRow], cache: FragmentCache
) -> Fragments:
    """The fragments of articles in their order: from memory, else the database, else written anew.

    An article that cannot be written is set aside; one that has gone since it was selected is
    left out. The cache is only read.
    """
    return await asyncio.to_thread((await gather(session, rendering, rows, cache)).write)


async def gather(
    session: AsyncSession,
    rendering: Rendering,
    rows: Sequence[WindowRow],
    cache: FragmentCache,
    feed_key: str = "",
) -> Gathered:
    """All that `fragments_for` needs of the database.

    Args:
        feed_key: of the feed whose window it is, if it is one's.
    """
    known = find_known(rows, cache.window(feed_key, rendering))
    missing = [row for row, fragment in zip(rows, known, strict=True) if fragment is None]
    found: dict[int, Fragment] = {}
    articles: list[Article] = []
    if missing:
        found = await _find_elsewhere(session, rendering, missing, cache)
        # Where the database shows each statement a newer state, an article may have changed
        # since its row was read. Its fragment is then that of the newer version, and says so.
        absent = [row.id for row in missing if row.id not in found]
        articles = await _load_articles(session, absent)
    return Gathered(rendering, rows, known, found, articles)


async def _find_elsewhere(
    session: AsyncSession, rendering: Rendering, rows: Sequence[WindowRow], cache: FragmentCache
) -> dict[int, Fragment]:
    """Fragments of rows that another feed or the database has, by article id."""
    reader = direct_reader(session)
    if reader is not None:
        return await asyncio.to_thread(find_elsewhere, reader, rendering, rows, cache)
    found, wanted = _look_up(rendering, rows, cache)
    formats = rendering.formats
    bodies = [_COLUMNS[one] if one in formats else null() for one in FeedFormat]
    columns: list[Any] = [col(FeedFragment.key), col(FeedFragment.updated_at), *bodies]
    statement = select(*columns)
    for keys in _pieces(list(wanted)):
        stored = await session.execute(statement.where(col(FeedFragment.key).in_(keys)))
        for key, updated_at, rss, atom, json in stored:
            row = wanted[key]
            found[row.id] = Fragment(key, version_of(row), updated_at, rss, atom, json, True)
    return found


def find_elsewhere(
    reader: DirectReader, rendering: Rendering, rows: Sequence[WindowRow], cache: FragmentCache
) -> dict[int, Fragment]:
    """Fragments of rows that another feed or the SQLite file has, by article id. Blocking.

    No transaction is needed: a fragment never changes, and one that is missing is written anew.
    """
    found, wanted = _look_up(rendering, rows, cache)
    if wanted:
        keys = '["' + '","'.join(wanted) + '"]'  # JSON: they are hexadecimal
        stored = reader.fetch(_direct_select(rendering.formats), [keys])
        for key, at, rss, atom, json in stored:
            row, updated_at = wanted[key], datetime.fromisoformat(f"{at}Z")
            found[row.id] = Fragment(key, version_of(row), updated_at, rss, atom, json, True)
    return found


@lru_cache
def _direct_select(formats: tuple[FeedFormat, ...]) -> str:
    """One statement for however many keys; it leaves formats that are not wanted on the disk."""
    bodies = [f"stored.{one}" if one in formats else "NULL" for one in FeedFormat]
    return (
        f"SELECT stored.key, stored.updated_at, {', '.join(bodies)}"  # noqa: S608 - our own names
        " FROM json_each(?) AS wanted JOIN feed_fragment AS stored ON stored.key = wanted.value"
    )


def _look_up(
    rendering: Rendering, rows: Sequence[WindowRow], cache: FragmentCache
) -> tuple[dict[int, Fragment], dict[str, WindowRow]]:
    """Fragments that another feed has in memory, by article id; the other rows, by key."""
    how, in_memory = rendering.key, not cache.is_empty
    found: dict[int, Fragment] = {}
    wanted: dict[str, WindowRow] = {}
    for row in rows:
        key = fragment_key(how, version_of(row))
        if in_memory and (fragment := cache.find(key)) is not None:
            found[row.id] = fragment
        else:
            wanted[key] = row
    return found, wanted


async def _load_articles(session: AsyncSession, ids: Sequence[int]) -> list[Article]:
    articles: list[Article] = []
    for piece in _pieces(ids):
        found = await session.execute(
            select(Article)
            .where(col(Article.id).in_(piece), col(Article.state) == ArticleState.PUBLISHED)
            .execution_options(populate_existing=True)
        )
        articles += found.scalars()
    return articles


async def save_fragments(session: AsyncSession, feed_key: str, rendered: "RenderedFeed") -> None:
    """Store a feed's new fragments, and what its documents hold; writes only what differs.

    Args:
        session: the write transaction in which its documents are stored.
    """
    fresh = list(rendered.fresh.values())
    if fresh:
        # Another process may have written the same ones.
        statement = _insert(session, FeedFragment).on_conflict_do_nothing()
        values = [_fragment_values(one) for one in fresh]
        await (await session.connection()).execute(statement, values)
        after_commit(session, lambda: _mark_stored(fresh))
    columns = select(col(FeedEntry.article), col(FeedEntry.fragment))
    rows = await session.execute(columns.where(col(FeedEntry.feed) == feed_key))
    stored = dict(rows.all())
    wanted = {entry.article_id: entry.fragment_key for entry in rendered.entries}
    for piece in _pieces(sorted(stored.keys() - wanted.keys())):
        held_no_more = and_(col(FeedEntry.feed) == feed_key, col(FeedEntry.article).in_(piece))
        await session.execute(delete(FeedEntry).where(held_no_more))
    changed = [one for one in sorted(wanted) if stored.get(one) != wanted[one]]
    if changed:
        insert = _insert(session, FeedEntry)
        statement = insert.on_conflict_do_update(
            index_elements=["feed", "article"], set_={"fragment": insert.excluded.fragment}
        )
        values = [{"feed": feed_key, "article": one, "fragment": wanted[one]} for one in changed]
        await (await session.connection()).execute(statement, values)


async def find_feeds(session: AsyncSession, article_id: int) -> list[str]:
    """Keys of the feeds whose documents hold an article."""
    statement = select(col(FeedEntry.feed)).where(col(FeedEntry.article) == article_id)
    return sorted((await session.execute(statement)).scalars())


async def prune_fragments(session: AsyncSession) -> int:
    """Delete fragments that no feed holds any more; how many went.

    Feeds without a stored document hold nothing.
    """
    has_document = exists().where(col(FeedDocument.feed) == col(FeedEntry.feed))
    await session.execute(delete(FeedEntry).where(~has_document))
    is_held = exists().where(col(FeedEntry.fragment) == col(FeedFragment.key))
    result = await session.execute(delete(FeedFragment).where(~is_held))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _fragment_values(fragment: Fragment) -> dict[str, Any]:
    return {
        "key": fragment.key,
        "updated_at": fragment.updated_at,
        "rss": fragment.rss,
        "atom": fragment.atom,
        "json": fragment.json,
    }


def _mark_stored(fragments: Iterable[Fragment]) -> None:
    for fragment in fragments:
        fragment.is_stored = True


def _insert(session: AsyncSession, table: type[SQLModel]) -> Any:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return (sqlite.insert if is_sqlite else postgresql.insert)(table)


def _pieces(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    for start in range(0, len(values), _PIECE):
        yield values[start : start + _PIECE]
