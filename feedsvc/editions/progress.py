"""An edition's way from composing to done: each step one conditional update of its row."""

from datetime import datetime

from sqlalchemy import CursorResult, exists, func, not_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.control import is_unfinished_cancel, no_edition
from feedsvc.editions.freeze import Composing
from feedsvc.editions.readers import count_left_out, count_waiting
from feedsvc.errors import NotFound
from feedsvc.model.delivery import IS_OPEN, Delivery
from feedsvc.model.edition import Edition, EditionState, Wave


async def freeze_edition(
    session: AsyncSession, composing: Composing, now: datetime
) -> EditionState | None:
    """Make a composed edition visible to workers, or record why there is nothing to send.

    Returns:
        The new state; None when some readers still lack their delivery and composing must go on,
        or when another node was quicker.
    """
    edition, wave = composing.edition, composing.wave
    locked = await session.scalar(
        select(col(Edition.state)).where(col(Edition.id) == edition.id).with_for_update()
    )
    if locked not in (EditionState.COMPOSING, EditionState.FROZEN, EditionState.SENDING):
        return None
    left, waiting = await count_waiting(session, edition, wave.cut_seq)
    if left != waiting:
        return None
    await session.execute(
        update(Wave).where(col(Wave.id) == wave.id).values(waiting=waiting, composed_at=now)
    )
    deliveries = await session.scalar(
        select(func.count()).select_from(Delivery).where(col(Delivery.edition_id) == edition.id)
    )
    if locked is not EditionState.COMPOSING:
        return locked
    left_out = await count_left_out(session, edition, wave.cut_seq)
    counters = {"deliveries": deliveries or 0, "waiting": waiting, "left_out": left_out}
    empty = not deliveries and not waiting
    state = EditionState.SKIPPED if empty else EditionState.FROZEN
    await session.execute(
        update(Edition)
        .where(col(Edition.id) == edition.id, col(Edition.state) == EditionState.COMPOSING)
        .values(
            state=state,
            counters=counters,
            reason=_why_empty(left_out) if empty else None,  # and no fault of an earlier try
            frozen_at=now,
            done_at=now if empty else None,
        )
    )
    return state


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


async def finish_sent(session: AsyncSession, now: datetime) -> int:
    """Close editions whose every delivery has ended and for whom nobody waits; how many."""
    still_open = exists().where(col(Delivery.edition_id) == col(Edition.id), IS_OPEN)
    waited_for = exists().where(col(Wave.edition_id) == col(Edition.id), col(Wave.waiting) > 0)
    result = await session.execute(
        update(Edition)
        .where(col(Edition.state) == EditionState.SENDING, not_(still_open), not_(waited_for))
        .values(state=EditionState.DONE, done_at=now)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


async def find_unfinished(session: AsyncSession) -> dict[EditionState, list[int]]:
    """Editions that need a step: composing and frozen ones, sending ones that are through or wait,
    and cancelled ones of which something is left to end.

    Read at start and by the sweep behind the jobs: memory may forget, the rows do not.
    """
    still_open = exists().where(col(Delivery.edition_id) == col(Edition.id), IS_OPEN)
    rows = await session.execute(
        select(col(Edition.state), col(Edition.id))
        .join(Wave, col(Wave.edition_id) == col(Edition.id))
        .where(
            col(Edition.state).in_([EditionState.COMPOSING, EditionState.FROZEN])
            | (
                (col(Edition.state) == EditionState.SENDING)
                & ((col(Wave.waiting) > 0) | not_(still_open))
            )
            | is_unfinished_cancel()
        )
        .order_by(col(Edition.id))
    )
    found: dict[EditionState, list[int]] = {}
    for state, edition_id in rows.all():
        found.setdefault(state, []).append(edition_id or 0)
    return found


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
