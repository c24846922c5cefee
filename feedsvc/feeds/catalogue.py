"""Which feeds there are at run time: those of the configuration, and the members of families.

Reads only; the rows of members are made where feeds are published.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.configured import ConfiguredFeeds
from feedsvc.feeds.families import Family, member_spec
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.feed import Feed, FeedDocument, FeedEntry

_PIECE = 500


@dataclass(frozen=True, slots=True)
class FeedRow:
    """A feed with what is known of its documents."""

    spec: FeedSpec
    entries: int
    #: When a document last changed; None while there is none.
    changed_at: datetime | None
    #: Why the documents could not be renewed.
    problem: str | None


async def find_feed(
    session: AsyncSession, configured: ConfiguredFeeds, key: str
) -> FeedSpec | None:
    """A feed that is published under a key; None if there is none."""
    if "/" in key:
        found = await _members(session, configured, col(Feed.key) == key)
    else:
        found = await _identified(session, [one for one in configured.specs if one.key == key])
    return found[0] if found else None


async def count_members(session: AsyncSession, configured: ConfiguredFeeds, family: Family) -> int:
    """How many members a family has that hold anything."""
    conditions = (*_are_served(configured), col(Feed.family) == family.key, _is_filled())
    return await session.scalar(select(func.count()).select_from(Feed).where(*conditions)) or 0


async def load_members(
    session: AsyncSession,
    configured: ConfiguredFeeds,
    family: Family,
    limit: int | None = None,
    offset: int = 0,
) -> list[FeedSpec]:
    """Members of a family that hold anything, in the order of their values."""
    conditions = (col(Feed.family) == family.key, _is_filled())
    return await _members(session, configured, *conditions, limit=limit, offset=offset)


async def find_members(
    session: AsyncSession, configured: ConfiguredFeeds, values: Mapping[str, Collection[str]]
) -> list[FeedSpec]:
    """Members for certain values, in the order of `values`.

    Args:
        values: what families are made of each (`section`, `topic`, …) -> the wanted values.
    """
    wanted = [
        (family.key, value)
        for each, several in values.items()
        for family in configured.families
        if family.each == each
        for value in several
    ][:_PIECE]
    if not wanted:
        return []
    conditions = [
        and_(col(Feed.family) == family, col(Feed.value) == value) for family, value in wanted
    ]
    found = await _members(session, configured, or_(*conditions))
    return sorted(found, key=lambda spec: wanted.index((spec.family or "", spec.value or "")))


async def load_specs(session: AsyncSession, configured: ConfiguredFeeds) -> list[FeedSpec]:
    """All feeds: those of the configuration in its order, then the members of each family.

    Members that hold nothing at present are among them: they keep answering.
    """
    specs = await _identified(session, configured.specs)
    for family in configured.families:
        specs += await _members(session, configured, col(Feed.family) == family.key)
    return specs


async def load_catalogue(session: AsyncSession, configured: ConfiguredFeeds) -> list[FeedRow]:
    """All feeds, as `load_specs` orders them, with what is known of their documents."""
    specs = await load_specs(session, configured)
    counted = select(col(FeedEntry.feed), func.count()).group_by(col(FeedEntry.feed))
    entries = dict((await session.execute(counted)).fetchall())
    newest = func.max(col(FeedDocument.last_modified))
    dated = select(col(FeedDocument.feed), newest).group_by(col(FeedDocument.feed))
    changes = dict((await session.execute(dated)).fetchall())
    noted = select(col(Feed.key), col(Feed.problem)).where(col(Feed.problem).is_not(None))
    problems = dict((await session.execute(noted)).fetchall())
    return [
        FeedRow(spec, entries.get(spec.key, 0), changes.get(spec.key), problems.get(spec.key))
        for spec in specs
    ]


def _is_filled() -> ColumnElement[bool]:
    return exists().where(col(FeedEntry.feed) == col(Feed.key))


def _are_served(configured: ConfiguredFeeds) -> list[ColumnElement[bool]]:
    """Members of families that are configured, and of newsletters that there are."""
    names = list(configured.newsletters or {})
    by_newsletter = [one.key for one in configured.families if one.each == "newsletter"]
    return [
        col(Feed.family).in_([family.key for family in configured.families]),
        or_(col(Feed.family).not_in(by_newsletter), col(Feed.value).in_(names)),
        exists().where(col(FeedDocument.feed) == col(Feed.key)),
    ]


async def _identified(session: AsyncSession, specs: Sequence[FeedSpec]) -> list[FeedSpec]:
    """Feeds of the configuration, with the identity they were given when first published."""
    keys = [spec.key for spec in specs]
    rows = select(col(Feed.key), col(Feed.guid)).where(col(Feed.key).in_(keys))
    guids = dict((await session.execute(rows)).fetchall())
    return [
        replace(spec, guid=UUID(guids[spec.key])) if spec.key in guids else spec for spec in specs
    ]


async def _members(
    session: AsyncSession,
    configured: ConfiguredFeeds,
    *conditions: ColumnElement[bool],
    limit: int | None = None,
    offset: int = 0,
) -> list[FeedSpec]:
    query = (
        select(col(Feed.key), col(Feed.family), col(Feed.value), col(Feed.guid))
        .where(*_are_served(configured), *conditions)
        .order_by(col(Feed.family), col(Feed.value), col(Feed.key))
        .limit(limit)
        .offset(offset)
    )
    families = {family.key: family for family in configured.families}
    found = [
        member_spec(families[family or ""], key, value or "", configured.newsletters, UUID(guid))
        for key, family, value, guid in await session.execute(query)
    ]
    return [spec for spec in found if spec is not None]
