"""The rows of feeds: what each feed's documents were made from, and whether they are behind."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.configured import ConfiguredFeeds
from feedsvc.feeds.fragments import rendering_of
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.feed import Feed

#: In place of a digest, of a feed that has no documents.
NOT_MADE = ""
_PIECE = 500


@dataclass(frozen=True, slots=True)
class FeedState:
    """What a feed's documents were made from. `basis` counts article changes."""

    made_with: str
    basis: int
    renew_at: datetime | None
    problem: str | None


def made_with(spec: FeedSpec) -> str:
    """Digest of all that decides a feed's documents beside the articles: settings and our code."""
    return hashlib.sha256(f"{spec!r} {rendering_of(spec).key}".encode()).hexdigest()


async def load_states(session: AsyncSession, keys: Collection[str]) -> dict[str, FeedState]:
    """The states of feeds that have a row, by key."""
    wanted = sorted(keys)
    found: dict[str, FeedState] = {}
    columns = select(
        col(Feed.key),
        col(Feed.made_with),
        col(Feed.basis),
        col(Feed.renew_at),
        col(Feed.problem),
    )
    for start in range(0, len(wanted), _PIECE):
        rows = await session.execute(
            columns.where(col(Feed.key).in_(wanted[start : start + _PIECE]))
        )
        for key, made, basis, renew_at, problem in rows:
            found[key] = FeedState(made, basis, renew_at, problem)
    return found


async def find_behind(
    session: AsyncSession, configured: ConfiguredFeeds, change: int, now: datetime
) -> list[str]:
    """The feeds that lack changes, are to age, were never made, or could not be made."""
    by_newsletter = [one.key for one in configured.families if one.each == "newsletter"]
    others = [one.key for one in configured.families if one.each != "newsletter"]
    ours = or_(
        col(Feed.key).in_([spec.key for spec in configured.specs]),
        col(Feed.family).in_(others),
        # The row of one that was for a newsletter that is gone stays, and is behind for ever.
        and_(
            col(Feed.family).in_(by_newsletter),
            col(Feed.value).in_(list(configured.newsletters or {})),
        ),
    )
    behind = or_(
        col(Feed.basis) < change,
        col(Feed.renew_at) <= now,
        col(Feed.problem).is_not(None),
        col(Feed.made_with) == NOT_MADE,
    )
    return list(await session.scalars(select(col(Feed.key)).where(ours, behind)))


async def pass_over(session: AsyncSession, bases: Mapping[str, int], change: int) -> None:
    """Note that the changes up to this one do not touch these feeds.

    One that another process has made meanwhile, or is just storing, is left as it is: it may hold
    by now what has changed, and is looked at again.

    Args:
        session: a write transaction.
        bases: by key, the basis that each feed had when it was found untouched.
    """
    keys: dict[int, list[str]] = {}
    for key, basis in sorted(bases.items()):
        if basis < change:
            keys.setdefault(basis, []).append(key)
    for basis, several in keys.items():
        for start in range(0, len(several), _PIECE):
            some = col(Feed.key).in_(several[start : start + _PIECE])
            free = select(col(Feed.key)).where(some, col(Feed.basis) == basis)
            await session.execute(
                update(Feed)
                .where(col(Feed.key).in_(free.with_for_update(skip_locked=True)))
                .values(basis=change)
                .execution_options(synchronize_session=False)
            )


async def save_made(
    session: AsyncSession, spec: FeedSpec, basis: int, renew_at: datetime | None
) -> None:
    """Note what a feed's documents were made from. `store_documents` keeps out older makings.

    The basis may go back. Another process then found the feed untouched by later changes, when it
    did not hold yet what it holds now; so these are looked at again.
    """
    await session.execute(
        update(Feed)
        .where(col(Feed.key) == spec.key)
        .values(made_with=made_with(spec), basis=basis, renew_at=renew_at, problem=None)
    )


async def forget_others(session: AsyncSession, keep: Collection[str]) -> None:
    """Note that other feeds have no documents any more, so that they get some if they come back."""
    made = await session.scalars(select(col(Feed.key)).where(col(Feed.made_with) != NOT_MADE))
    gone = sorted(set(made).difference(keep))
    for start in range(0, len(gone), _PIECE):
        here = col(Feed.key).in_(gone[start : start + _PIECE])
        await session.execute(update(Feed).where(here).values(made_with=NOT_MADE, problem=None))


async def save_problem(session: AsyncSession, key: str, problem: str) -> None:
    """Note why a feed's documents could not be renewed; the good ones stay served."""
    await session.execute(update(Feed).where(col(Feed.key) == key).values(problem=problem))
