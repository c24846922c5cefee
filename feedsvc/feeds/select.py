"""Which articles are in a feed's window: the newest by publication number, within its ages.

Reads light rows: what tells whether an entry has been written before, and no content.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, Select, select, union
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.feeds.numbers import find_lead, select_numbers
from feedsvc.feeds.spec import MOST_ENTRIES, Window
from feedsvc.kit.filters import Filter, parse_filter
from feedsvc.model.article import Article, ArticleState

#: Ages are counted in steps of this, so that a window stays the same for a while.
AGE_STEP = timedelta(minutes=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# QUIRK: written so that SQLite, which thinks that few articles are published, does not walk down
# the numbers of all that are in search of the few that are young.
_NUMBER = col(Article.seq) + 0
_UNPUBLISHED = [state for state in ArticleState if state is not ArticleState.PUBLISHED]

#: What the bytes of an article's entry depend on: the first fields of its row.
Version = tuple[int, str, int, str, datetime, datetime]


class WindowRow(NamedTuple):
    """What a feed needs to know of an article whose entry is written already."""

    id: int
    guid: str
    revision: int
    content_hash: str
    published_at: datetime
    updated_at: datetime
    #: Publication number.
    seq: int
    stored_at: datetime
    #: Why feeds left it out when it was last tried; None when all was well.
    set_aside: str | None


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The articles of a window in the order of its entries."""

    rows: Sequence[WindowRow]
    #: When the window changes though no article does; None when it never will.
    renew_at: datetime | None = None


def light_row(article: Article) -> WindowRow:
    """The row of an article that has been loaded whole."""
    return WindowRow._make(getattr(article, name) for name in WindowRow._fields)


def light_rows() -> Select[Any]:
    """The statement that reads light rows; conditions and order are the caller's."""
    return select(*(col(getattr(Article, name)) for name in WindowRow._fields))


def in_order(rows: Iterable[WindowRow]) -> list[WindowRow]:
    """The rows as their entries stand in documents: newest date first."""
    return sorted(rows, key=lambda row: (row.published_at, row.seq), reverse=True)


async def select_window(
    session: AsyncSession, admitted: Filter, window: Window, now: datetime
) -> WindowRows:
    """The last `window.count` published articles by `seq`, and younger ones that are kept.

    A late or back-dated article enters the window when it is published, and stands in it where
    its date puts it. Articles once set aside are in it: they may be writable by now.
    """
    at = _floor(now)
    if window.max_age is not None:
        # Before they are counted, lest a back catalogue that has just come in drive out the new.
        admitted = admitted & _published_after(at - window.max_age)
    lead = await find_lead(session, admitted)
    newest = select_numbers(session, admitted, lead, newest_first=True).limit(window.count)
    rows = await _read(session, col(Article.seq).in_(newest))
    kept: list[WindowRow] = []
    if window.keep and len(rows) == window.count < MOST_ENTRIES:
        admits = admitted.to_sql(session.get_bind().dialect.name)
        older = min(row.seq for row in rows) > _NUMBER
        young = [col(Article.id).in_(_young(at - window.keep)), col(Article.announce).is_(True)]
        conditions = [*young, older, col(Article.state).not_in(_UNPUBLISHED), *admits]
        ids = select(col(Article.id)).where(*conditions).order_by(_NUMBER.desc())
        kept = await _read(session, col(Article.id).in_(ids.limit(MOST_ENTRIES - window.count)))
    return _within_ages(rows, kept, window, at)


def _published_after(at: datetime) -> Filter:
    return parse_filter(f"published > {at:%Y-%m-%dT%H:%M:%S}Z")


async def _read(session: AsyncSession, chosen: ColumnElement[bool]) -> list[WindowRow]:
    # They are chosen first, so that an index alone answers the search for them where a filter
    # admits few: the rows themselves are spread over as many pages as there are articles.
    found = await session.execute(light_rows().where(chosen))
    return [WindowRow._make(row) for row in found]


def _young(since: datetime) -> CompoundSelect[Any]:
    """Ids of the articles stored or published after `since`: an index for each of the dates."""
    ids = select(col(Article.id))
    is_published = col(Article.state) == ArticleState.PUBLISHED
    return union(
        ids.where(col(Article.stored_at) > since),
        ids.where(is_published, col(Article.published_at) > since),
    )


def _within_ages(
    rows: Sequence[WindowRow], kept: Sequence[WindowRow], window: Window, at: datetime
) -> WindowRows:
    """What a window holds at `at`, and when that changes by itself.

    Args:
        rows: those it holds whatever their youth.
        kept: those it holds for their youth alone.
    """
    ends = [max(row.stored_at, row.published_at) + window.keep for row in kept]
    held = [*rows, *kept]
    if window.max_age is not None:
        held = [row for row in held if row.published_at + window.max_age > at]
        ends += [row.published_at + window.max_age for row in held]
    return WindowRows(in_order(held), _ceil(min(ends)) if ends else None)


def _floor(at: datetime) -> datetime:
    return at - (at - _EPOCH) % AGE_STEP


def _ceil(at: datetime) -> datetime:
    return at + (_EPOCH - at) % AGE_STEP
