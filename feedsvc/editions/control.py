"""What a person, or the circuit breaker, does to an edition: pause, resume, cancel.

Each changes rows only, beside whoever is sending: an edition that is not `sending` gets no dot, so
the next one is refused as soon as the change is committed. What has its dot, or is in a worker's
hands, is left alone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    and_,
    case,
    exists,
    literal,
    not_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.readers import is_reader, load_zones
from feedsvc.editions.wall_clock import find_zone
from feedsvc.errors import EditionOver, NotFound
from feedsvc.model.delivery import (
    HAS_OPEN_WINDOW,
    IS_OPEN,
    IS_WAITING,
    Delivery,
    DeliveryState,
)
from feedsvc.model.edition import OPEN_EDITIONS, Edition, EditionKind, EditionState, Wave
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import Subscriber, Subscription

#: Rows changed in one transaction at most.
PIECE = 500

_RUNNING = (EditionState.COMPOSING, EditionState.FROZEN, EditionState.SENDING)
_CARRIED_OVER = "cancelled by the operator; its articles come with the next edition"
_FOR_GOOD = "cancelled by the operator; who has not got it will not"
_DROPPED = "cancelled by the operator, its articles too: who has not got them will not"


async def pause_edition(session: AsyncSession, edition_id: int, reason: str, now: datetime) -> bool:
    """Stop an edition from the next dot on; False when it was paused already.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it has ended, or is a draft.
    """
    values = {"state": EditionState.PAUSED, "reason": reason, "paused_at": now}
    if await _move(session, edition_id, col(Edition.state).in_(_RUNNING), **values):
        return True
    await _expect(session, edition_id, (EditionState.PAUSED,), "it cannot be paused")
    return False


async def resume_edition(session: AsyncSession, edition_id: int) -> bool:
    """Have a paused edition go on where it was: composed to its end first, if it was not.

    Returns:
        False when it was not paused.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it has ended, or is a draft.
    """
    paused, frozen_at = col(Edition.state) == EditionState.PAUSED, col(Edition.frozen_at)
    values: dict[str, Any] = {"reason": None, "paused_at": None}
    if await _move(
        session, edition_id, paused, frozen_at.is_(None), state=EditionState.COMPOSING, **values
    ) or await _move(session, edition_id, paused, state=EditionState.SENDING, **values):
        return True
    await _expect(session, edition_id, _RUNNING, "it cannot go on")
    return False


async def cancel_edition(
    session: AsyncSession, edition_id: int, *, drop: bool = False, reason: str | None = None
) -> bool:
    """Give an edition up; what was not sent of it is ended piece by piece by `finish_cancelled`.

    Args:
        drop: its articles are not carried over: the cursor of everybody whom it was for, and who
            has not been mailed, is moved to its cut. Otherwise the next edition takes them over.
            May be said of an edition that was cancelled without.
        reason: why, where the operator did not say it.

    Returns:
        False when it was cancelled like that already.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it has ended otherwise; or its articles are to be dropped, and it settles
            nobody's.
    """
    edition = await hold_edition(session, edition_id)
    is_digest = edition.kind is EditionKind.DIGEST
    if drop and not is_digest:
        raise EditionOver(f"edition {edition_id} is no digest: it has no articles to be dropped")
    was_cancelled = edition.state is EditionState.CANCELLED
    if was_cancelled and (not drop or "dropped" in edition.counters):
        return False
    if edition.state not in OPEN_EDITIONS and not was_cancelled:
        raise edition_over(edition, "it cannot be cancelled")
    await _move(
        session,
        edition_id,
        state=EditionState.CANCELLED,
        reason=reason or (_DROPPED if drop else _CARRIED_OVER if is_digest else _FOR_GOOD),
        counters=edition.counters | ({"dropped": 0} if drop else {}),
        paused_at=None,
        done_at=None,
    )
    return True


async def finish_cancelled(session: AsyncSession, limit: int, now: datetime) -> int:
    """End some more of what cancelled editions have not sent; how many rows, 0 when none is left.

    Mail that is in a worker's hands is left to it; what comes back of it is ended when this is
    called again. An edition has its `done_at` when all is through.
    """
    limit = min(limit, PIECE)
    for edition in await _load_cancelled(session):
        ended = await _skip_waiting(session, edition.id or 0, limit, now)
        if not ended and "dropped" in edition.counters:
            ended = await _drop_windows(session, edition, limit)
        if ended:
            return ended
        if edition.done_at is None and await _is_through(session, edition):
            await _move(session, edition.id or 0, done_at=now)
    return 0


def is_unfinished_cancel() -> ColumnElement[bool]:
    """Whether `finish_cancelled` has something to do for an edition, as an SQL condition."""
    # A composer that had not heard of it may have written rows after the last look.
    return and_(
        col(Edition.state) == EditionState.CANCELLED,
        col(Edition.done_at).is_(None)
        | exists().where(col(Delivery.edition_id) == col(Edition.id), IS_WAITING),
    )


async def _load_cancelled(session: AsyncSession) -> Sequence[Edition]:
    rows = await session.execute(
        select(Edition)
        .where(is_unfinished_cancel())
        .order_by(col(Edition.id))
        .with_for_update(of=Edition, key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return rows.scalars().all()


async def _skip_waiting(session: AsyncSession, edition_id: int, limit: int, now: datetime) -> int:
    # Rows that somebody is changing are for the next time: nobody waits for us, nor we for them.
    rows = await session.execute(
        select(col(Delivery.id))
        .where(col(Delivery.edition_id) == edition_id, IS_WAITING)
        .limit(limit)
        .with_for_update(of=Delivery, skip_locked=True)
    )
    ids = [row[0] for row in rows.all()]
    if not ids:
        return 0
    return await _count(
        session,
        update(Delivery)
        .where(col(Delivery.id).in_(ids))
        .values(
            state=DeliveryState.SKIPPED,
            reason="its edition was cancelled before it was sent",
            changed_at=now,
        ),
    )


async def _drop_windows(session: AsyncSession, edition: Edition, limit: int) -> int:
    """Move the cursors of some who were not mailed, but not while a mail to them is under way."""
    cut_seq = await _load_cut(session, edition)
    rows = await session.execute(
        select(col(Subscription.id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(_lacks(edition, cut_seq), not_(_is_under_way()))
        .limit(limit)
        .with_for_update(of=Subscription, key_share=True, skip_locked=True)
    )
    ids = [row[0] for row in rows.all()]
    if not ids:
        return 0
    # Held now; who got a mail since the look keeps their cursor, which that mail will move.
    moved = await _count(
        session,
        update(Subscription)
        .where(col(Subscription.id).in_(ids), not_(_is_under_way()))
        .values(cursor=cut_seq),
    )
    counters = edition.counters | {"dropped": edition.counters["dropped"] + moved}
    await _move(session, edition.id or 0, counters=counters)
    return moved


async def _is_through(session: AsyncSession, edition: Edition) -> bool:
    is_open = exists().where(col(Delivery.edition_id) == edition.id, IS_OPEN)
    if await session.scalar(select(is_open)):
        return False
    if "dropped" not in edition.counters:
        return True
    cut_seq = await _load_cut(session, edition)
    lacking = (
        select(col(Subscription.id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(_lacks(edition, cut_seq))
        .limit(1)
    )
    return (await session.execute(lacking)).first() is None


def _lacks(edition: Edition, cut_seq: ColumnElement[int]) -> ColumnElement[bool]:
    was_mailed = (
        select(col(Delivery.id))
        .where(
            col(Delivery.edition_id) == edition.id,
            col(Delivery.subscriber_id) == col(Subscription.subscriber_id),
            col(Delivery.state).in_([DeliveryState.SENT, DeliveryState.HELD]),
        )
        .correlate(Subscription)
        .exists()
    )
    return and_(
        is_reader(edition.newsletter_id, edition.schedule_id),
        col(Subscription.cursor) < cut_seq,
        not_(was_mailed),
    )


def _is_under_way() -> ColumnElement[bool]:
    return (
        select(col(Delivery.id))
        .where(col(Delivery.subscription_id) == col(Subscription.id), HAS_OPEN_WINDOW)
        .correlate(Subscription)
        .exists()
    )


async def _load_cut(session: AsyncSession, edition: Edition) -> ColumnElement[int]:
    """The newest article that a subscription's mail of an edition held, or would have held.

    That of the wave of its zone; of any wave where that has not come, and of a draft before there
    is one.
    """
    rows = await session.execute(
        select(col(Wave.zone), col(Wave.cut_seq)).where(col(Wave.edition_id) == edition.id)
    )
    cuts = {row[0]: row[1] for row in rows.all()}
    newest = max([edition.cut_seq or 0, *cuts.values()])
    if edition.open_until is None or edition.schedule_id is None:
        return literal(newest)
    schedule = await session.get_one(Schedule, edition.schedule_id)
    there = await load_zones(session, edition.newsletter_id, edition.schedule_id)
    of_zone = {one: cuts.get(find_zone(one, schedule.zone).key, newest) for one in there}
    older = {zone: cut_seq for zone, cut_seq in of_zone.items() if cut_seq < newest}
    return case(older, value=col(Subscription.zone), else_=newest) if older else literal(newest)


async def hold_edition(session: AsyncSession, edition_id: int) -> Edition:
    """An edition, against everybody else who would change it. Raises NotFound."""
    edition = await session.get(
        Edition, edition_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if edition is None:
        raise NotFound(no_edition(edition_id))
    return edition


async def _expect(
    session: AsyncSession, edition_id: int, states: Sequence[EditionState], so: str
) -> None:
    edition = await session.get(Edition, edition_id, populate_existing=True)
    if edition is None:
        raise NotFound(no_edition(edition_id))
    if edition.state is EditionState.DRAFT:
        raise edition_over(edition, "feedsvc editions approve lets it go, editions skip does not")
    if edition.state not in states:
        raise edition_over(edition, so)


def no_edition(edition_id: int) -> str:
    """What is said when there is none of this id."""
    return f"there is no edition {edition_id}; feedsvc editions list shows them"


def edition_over(edition: Edition, so: str) -> EditionOver:
    """The error that says in which state an edition is, and what that means."""
    return EditionOver(f"edition {edition.id} is {edition.state}: {so}")


async def _move(
    session: AsyncSession, edition_id: int, *conditions: ColumnElement[bool], **values: Any
) -> bool:
    """Change an edition's row where it is as the conditions say; whether it was."""
    changed = update(Edition).where(col(Edition.id) == edition_id, *conditions).values(**values)
    return await _count(session, changed) > 0


async def _count(session: AsyncSession, statement: Any) -> int:
    result = await session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount
