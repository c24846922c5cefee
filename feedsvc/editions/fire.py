"""Bring editions into being: the unique rows of schedule and period, edition and zone decide who
fires."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.firings import DueWave, Firing, find_firings, load_due_times
from feedsvc.editions.progress import MERGED
from feedsvc.model.article import Counter
from feedsvc.model.edition import Edition, EditionKind, EditionState, Wave
from feedsvc.model.newsletter import CatchUp, Newsletter

__all__ = [
    "find_firings",
    "fire_by_hand",
    "fire_due",
    "is_anything_due",
    "load_due_times",
    "make_firing",
]


async def fire_due(session: AsyncSession, now: datetime) -> list[int]:
    """Make what has come due; ids of the editions that were made, or given waves, here.

    May run any number of times, on any number of nodes: each period, and zone, is made once.
    """
    made = [await make_firing(session, firing, now) for firing in await find_firings(session, now)]
    return [edition_id for edition_id in made if edition_id is not None]


async def is_anything_due(session: AsyncSession, now: datetime) -> bool:
    """Whether fire_due would make something: the same question, without a write transaction."""
    return bool(await find_firings(session, now))


async def fire_by_hand(session: AsyncSession, newsletter: Newsletter, now: datetime) -> int:
    """Make an edition for all of a newsletter's subscribers, now, outside any schedule."""
    period = now.isoformat()
    firing = Firing(newsletter.id or 0, None, period, (DueWave("UTC", now),), now)
    edition_id = await make_firing(session, firing, now)
    if edition_id is None:
        raise RuntimeError("an edition without schedule is always made")
    return edition_id


async def make_firing(session: AsyncSession, firing: Firing, now: datetime) -> int | None:
    """Make an edition and its waves, as far as nobody else has; None when all was there.

    What it was found by may have changed meanwhile: the unique rows decide.
    """
    newest = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    edition, made_id = await _find(session, firing), None
    if edition is None:
        made_id = await _insert(session, _edition_values(firing, newest or 0, now))
        edition = await session.get(Edition, made_id) if made_id else await _find(session, firing)
    if edition is None:
        return None
    cut_seq = edition.cut_seq if edition.cut_seq is not None else newest or 0
    waves = await _make_waves(session, edition.id or 0, firing.waves, cut_seq, now)
    return edition.id if made_id is not None or waves else None


def _edition_values(firing: Firing, newest: int, now: datetime) -> dict[str, object]:
    is_draft = firing.draft_until is not None
    # Where zones may still come to their hour, the end decides whether there was anything.
    is_merged = firing.open_until is None and all(
        wave.missed is CatchUp.MERGE for wave in firing.waves
    )
    state = EditionState.DRAFT if is_draft else EditionState.COMPOSING
    return {
        "newsletter_id": firing.newsletter_id,
        "schedule_id": firing.schedule_id,
        "kind": EditionKind.DIGEST,
        "period": firing.period,
        "state": EditionState.SKIPPED if is_merged else state,
        "reason": MERGED if is_merged else None,
        "due_at": firing.draft_until or firing.due_at,
        "open_until": firing.open_until,
        # Nothing that nobody has seen comes into what somebody approves.
        "cut_seq": newest if is_draft else None,
        "curation": {},
        "counters": {},
        "created_at": now,
        "done_at": now if is_merged else None,
    }


async def _find(session: AsyncSession, firing: Firing) -> Edition | None:
    """The edition of a schedule's period, if there is one."""
    if firing.schedule_id is None:
        return None
    query = select(Edition).where(
        col(Edition.schedule_id) == firing.schedule_id, col(Edition.period) == firing.period
    )
    return await session.scalar(query.execution_options(populate_existing=True))


async def _insert(session: AsyncSession, values: dict[str, object]) -> int | None:
    """The new edition's id; None when another node was quicker."""
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    made_id: int | None = await session.scalar(
        make(Edition)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["schedule_id", "period"])
        .returning(col(Edition.id))
    )
    return made_id


async def _make_waves(
    session: AsyncSession, edition_id: int, waves: Sequence[DueWave], cut_seq: int, now: datetime
) -> int:
    """Make the waves that are not there; how many."""
    if not waves:
        return 0
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    rows = [
        {
            "edition_id": edition_id,
            "zone": one.zone,
            "due_at": one.due_at,
            "cut_seq": cut_seq,
            "missed": one.missed,
            "composed_at": now if one.missed is CatchUp.MERGE else None,
            "waiting": 0,
        }
        for one in waves
    ]
    made = await session.execute(
        make(Wave)
        .values(rows)
        .on_conflict_do_nothing(index_elements=["edition_id", "zone"])
        .returning(col(Wave.id))
    )
    return len(made.all())
