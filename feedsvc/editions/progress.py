"""An edition's way from composing to done: each step one conditional update of its row."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, and_, exists, func, not_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.composing import UNDER_WAY, Composing
from feedsvc.editions.control import hold_edition, is_unfinished_cancel, no_edition
from feedsvc.editions.readers import Standing
from feedsvc.errors import NotFound
from feedsvc.model.delivery import IS_OPEN, Delivery
from feedsvc.model.edition import Edition, EditionState, Wave
from feedsvc.model.newsletter import CatchUp

#: Why an edition is skipped of which all waves were missed.
MERGED = "missed by more than its schedule allows; its articles come with the next edition"


async def freeze_wave(
    session: AsyncSession, composing: Composing, standing: Standing, now: datetime
) -> EditionState | None:
    """Note that a wave is composed, and make its edition visible to workers if it was not.

    An edition that has come to its end without a mail is skipped, and says why.

    Returns:
        The state of the edition; None when some readers still lack their delivery and composing
        must go on, or when the edition does not go on.
    """
    if standing.left != standing.waiting:
        return None
    edition_id, wave = composing.edition.id or 0, composing.wave
    edition = await hold_edition(session, edition_id)
    if edition.state not in UNDER_WAY:
        return None
    first_time = await session.scalar(
        update(Wave)
        .where(col(Wave.id) == wave.id, col(Wave.composed_at).is_(None))
        .values(composed_at=now)
        .returning(col(Wave.id))
    )
    await session.execute(
        update(Wave).where(col(Wave.id) == wave.id).values(waiting=standing.waiting)
    )
    waiting = await session.scalar(
        select(func.sum(col(Wave.waiting))).where(col(Wave.edition_id) == edition_id)
    )
    counters = edition.counters | {"deliveries": standing.deliveries, "waiting": waiting or 0}
    if first_time is not None:
        counters["left_out"] = _added(edition.counters.get("left_out", {}), standing.left_out)
    values: dict[str, Any] = {"counters": counters}
    if edition.state is EditionState.COMPOSING:
        values["reason"] = None  # and no fault of an earlier try
        if standing.deliveries or waiting:
            values |= {"state": EditionState.FROZEN, "frozen_at": now}
        elif await _awaits_nothing(session, edition, now):
            values |= _skipped(counters, now)
    await session.execute(update(Edition).where(col(Edition.id) == edition_id).values(**values))
    state: EditionState = values.get("state", edition.state)
    return state


def _added(before: dict[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {
        reason: before.get(reason, 0) + more.get(reason, 0)
        for reason in before.keys() | more.keys()
    }


def _skipped(counters: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "state": EditionState.SKIPPED,
        "reason": _why_empty(counters.get("left_out", {})),
        "frozen_at": now,
        "done_at": now,
    }


async def _awaits_nothing(session: AsyncSession, edition: Edition, now: datetime) -> bool:
    """Whether no wave of an edition is still to come."""
    if edition.open_until is not None and edition.open_until > now:
        return False
    ahead = select(col(Wave.id)).where(
        col(Wave.edition_id) == edition.id, col(Wave.composed_at).is_(None)
    )
    return (await session.execute(ahead.limit(1))).first() is None


def _why_empty(left_out: dict[str, int]) -> str:
    if not left_out:
        return "no subscribers"
    return "nothing to send: " + ", ".join(
        f"{count} {reason}" for reason, count in sorted(left_out.items())
    )


async def start_frozen(session: AsyncSession) -> list[int]:
    """Let workers claim the deliveries of frozen editions; their ids."""
    rows = await session.execute(
        update(Edition)
        .where(col(Edition.state) == EditionState.FROZEN)
        .values(state=EditionState.SENDING)
        .returning(col(Edition.id))
    )
    return [row[0] or 0 for row in rows.all()]


def _is_through(now: datetime) -> ColumnElement[bool]:
    """Whether every wave of an edition has been composed, and no mail of it is open."""
    still_open = exists().where(col(Delivery.edition_id) == col(Edition.id), IS_OPEN)
    ahead = exists().where(
        col(Wave.edition_id) == col(Edition.id),
        (col(Wave.waiting) > 0) | col(Wave.composed_at).is_(None),
    )
    over = col(Edition.open_until).is_(None) | (col(Edition.open_until) <= now)
    return and_(over, not_(ahead), not_(still_open))


async def finish_sent(session: AsyncSession, now: datetime) -> int:
    """Close editions whose every delivery has ended and for whom nobody waits; how many.

    One whose last zone has come and gone without a mail is skipped.
    """
    held = await session.execute(
        select(col(Edition.id))
        .where(col(Edition.state) == EditionState.SENDING, _is_through(now))
        .with_for_update(key_share=True, skip_locked=True)
    )
    # Asked again of editions that are held: who gives one more mails holds it meanwhile, too.
    result = await session.execute(
        update(Edition)
        .where(col(Edition.id).in_([row[0] for row in held.all()]), _is_through(now))
        .values(state=EditionState.DONE, done_at=now)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    empty = await session.execute(
        select(Edition)
        .where(
            col(Edition.state) == EditionState.COMPOSING,
            col(Edition.open_until).is_not(None),
            _is_through(now),
        )
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    skipped = empty.scalars().all()
    for edition in skipped:
        values = _skipped(edition.counters, now)
        if await _is_merged(session, edition):
            values["reason"] = MERGED
        await session.execute(update(Edition).where(col(Edition.id) == edition.id).values(**values))
    return result.rowcount + len(skipped)


async def _is_merged(session: AsyncSession, edition: Edition) -> bool:
    """Whether all zones of an edition were missed, and wait for the next."""
    waves = select(col(Wave.missed)).where(col(Wave.edition_id) == edition.id)
    missed = (await session.execute(waves)).scalars().all()
    return bool(missed) and all(one is CatchUp.MERGE for one in missed)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Editions that need a step."""

    #: With waves to be composed, or followed up.
    compose: tuple[int, ...] = ()
    #: With readers who wait for a follow-up.
    waited_for: tuple[int, ...] = ()
    #: Whether one is frozen, or through.
    deliver: bool = False
    #: Whether one was cancelled and is not at its end.
    cancelled: bool = False


async def find_unfinished(session: AsyncSession, now: datetime) -> Unfinished:
    """Editions that need a step.

    Read at start and by the sweep behind the jobs: memory may forget, the rows do not.
    """
    due = exists().where(
        col(Wave.edition_id) == col(Edition.id),
        col(Wave.composed_at).is_(None),
        col(Wave.due_at) <= now,
    )
    waits = exists().where(col(Wave.edition_id) == col(Edition.id), col(Wave.waiting) > 0)
    through = _is_through(now)
    rows = await session.execute(
        select(col(Edition.id), col(Edition.state), due, waits, through)
        .where(
            (col(Edition.state).in_(UNDER_WAY) & (due | waits | through))
            | (col(Edition.state) == EditionState.FROZEN)
            | is_unfinished_cancel()
        )
        .order_by(col(Edition.id))
    )
    compose, waited_for, deliver, cancelled = [], [], False, False
    for edition_id, state, is_due, is_waited_for, is_through in rows.all():
        if state is EditionState.CANCELLED:
            cancelled = True
            continue
        if is_due:
            compose.append(edition_id or 0)
        if is_waited_for:
            waited_for.append(edition_id or 0)
        deliver = deliver or is_through or is_waited_for or state is EditionState.FROZEN
    return Unfinished(tuple(compose), tuple(waited_for), deliver, cancelled)


async def note_fault(session: AsyncSession, edition_id: int, fault: str) -> None:
    """Keep why an edition could not be composed, for people to see; it is tried again."""
    await session.execute(
        update(Edition)
        .where(col(Edition.id) == edition_id, col(Edition.state) == EditionState.COMPOSING)
        .values(reason=fault)
    )


async def load_edition(session: AsyncSession, edition_id: int) -> Edition:
    """An edition by its id. Raises NotFound."""
    edition = await session.get(Edition, edition_id)
    if edition is None:
        raise NotFound(no_edition(edition_id))
    return edition


async def load_latest_done(session: AsyncSession) -> Edition | None:
    """The edition that was finished last; None when none has been yet."""
    return await session.scalar(
        select(Edition)
        .where(col(Edition.state) == EditionState.DONE)
        .order_by(col(Edition.done_at).desc())
        .limit(1)
    )
