"""Carry out what a person decides about mail in doubt.

    held       no reply came, and it waits for a person; its window counts as mailed
    uncertain  no reply came, and policy was carried out; its window, if it has one, stays open

Rows change beside whoever is sending; what is decided, and why not, stands in doubts.py.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Row, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.deliveries.doubts import Change, Doubt, Settling, choose_change
from feedsvc.model.delivery import HAS_OPEN_WINDOW, IS_TROUBLED, Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.subscriber import Subscriber, Subscription

#: Mails decided about in one transaction at most.
PIECE = 500
_IN_DOUBT = (DeliveryState.HELD, DeliveryState.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class DoubtfulDelivery:
    """A mail that may have arrived; `since` is when it was last looked at or decided about."""

    id: int
    state: DeliveryState
    address: str
    edition_id: int | None
    notice_id: int | None
    since: datetime
    #: How often it was handed over without a reply.
    doubts: int
    relay: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The mails that were decided about, and why the others were not."""

    done: list[int] = field(default_factory=list)
    left_out: dict[int, str] = field(default_factory=dict)

    def __add__(self, other: "Settled") -> "Settled":
        return Settled(self.done + other.done, self.left_out | other.left_out)


async def load_doubtful(
    session: AsyncSession, limit: int, edition_id: int | None = None
) -> list[DoubtfulDelivery]:
    """Mails in doubt: first those that wait for a person, then the others; newest first."""
    query = (
        select(
            col(Delivery.id),
            col(Delivery.state),
            col(Subscriber.address),
            col(Delivery.edition_id),
            col(Delivery.notice_id),
            col(Delivery.changed_at),
            col(Delivery.doubts),
            col(Delivery.relay),
            col(Delivery.reason),
        )
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .where(IS_TROUBLED, col(Delivery.state).in_(_IN_DOUBT))
        .order_by(col(Delivery.state), col(Delivery.id).desc())
        .limit(limit)
    )
    if edition_id is not None:
        query = query.where(col(Delivery.edition_id) == edition_id)
    rows = (await session.execute(query)).all()
    return [DoubtfulDelivery(row[0] or 0, *row[1:]) for row in rows]


async def find_doubtful(
    session: AsyncSession, how: Settling, edition_id: int | None = None
) -> list[int]:
    """All mails, or all of an edition, that such a decision can be about; newest first."""
    states = (DeliveryState.HELD,) if how is Settling.CARRY else _IN_DOUBT
    query = select(col(Delivery.id)).where(IS_TROUBLED, col(Delivery.state).in_(states))
    if edition_id is not None:
        query = query.where(col(Delivery.edition_id) == edition_id)
    rows = await session.execute(query.order_by(col(Delivery.id).desc()))
    return [row[0] or 0 for row in rows.all()]


async def settle_doubts(
    session: AsyncSession,
    how: Settling,
    ids: Sequence[int],
    now: datetime,
    *,
    digests_expire_after: timedelta,
    notices_expire_after: timedelta,
) -> Settled:
    """Decide about mails in doubt; for more than `PIECE`, in a transaction for each piece.

    The newest of a person goes first, and the others see what became of it. Editions that were
    through are opened again for mail that goes once more. May run twice.
    """
    settled = Settled(left_out=dict.fromkeys(ids, "there is no such mail"))
    opened: set[int] = set()
    seen: dict[int, tuple[int | None, bool]] = {}
    for row, found in await _load(session, ids):
        cursor, under_way = seen.get(found.subscription_id or 0, (found.cursor, found.under_way))
        doubt = replace(found, cursor=cursor, under_way=under_way)
        change = choose_change(how, doubt)
        if isinstance(change, Change) and not await _apply(
            session,
            doubt,
            change,
            now,
            notices_expire_after if doubt.is_notice else digests_expire_after,
        ):
            change = "decided about by somebody else at this moment"
        if not isinstance(change, Change):
            settled.left_out[doubt.id] = change
            continue
        del settled.left_out[doubt.id]
        settled.done.append(doubt.id)
        again = change.state is DeliveryState.PENDING
        if doubt.subscription_id is not None:
            cursor = cursor if change.cursor is None else change.cursor
            seen[doubt.subscription_id] = (cursor, under_way or (again and doubt.has_window))
        if again and row.edition_id is not None:
            opened.add(row.edition_id)
    await _reopen(session, opened)
    return settled


async def _load(
    session: AsyncSession, ids: Sequence[int]
) -> list[tuple[Row[*tuple[Any, ...]], Doubt]]:
    # First the subscriptions are held, so that nobody is composed for between look and change.
    # Nobody is waited for: who is being composed for this moment is told to be busy.
    theirs = select(col(Delivery.subscription_id)).where(col(Delivery.id).in_(ids))
    held = await session.execute(
        select(col(Subscription.id))
        .where(col(Subscription.id).in_(theirs))
        .with_for_update(key_share=True, skip_locked=True)
    )
    ours = {row[0] for row in held.all()}
    open_ones = await session.execute(
        select(col(Delivery.subscription_id)).where(
            col(Delivery.subscription_id).in_(ours), HAS_OPEN_WINDOW
        )
    )
    under_way = {row[0] for row in open_ones.all()}
    rows = (await session.execute(_standing(ids))).all()
    return [(row, _doubt(row, ours, under_way)) for row in rows]


def _standing(ids: Sequence[int]) -> Any:
    return (
        select(
            col(Delivery.id),
            col(Delivery.state),
            col(Delivery.reason),
            col(Delivery.doubts),
            col(Delivery.edition_id),
            col(Delivery.subscription_id),
            col(Delivery.from_seq),
            col(Delivery.cut_seq),
            col(Subscriber.state).label("address_state"),
            col(Subscription.state).label("subscription_state"),
            col(Subscription.cursor),
            col(Edition.state).label("edition_state"),
        )
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .outerjoin(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .outerjoin(Edition, col(Edition.id) == col(Delivery.edition_id))
        .where(col(Delivery.id).in_(ids))
        .order_by(col(Delivery.cut_seq).desc(), col(Delivery.id).desc())
    )


def _doubt(
    row: Row[*tuple[Any, ...]], ours: Collection[int | None], under_way: Collection[int | None]
) -> Doubt:
    return Doubt(
        id=row.id,
        state=row.state,
        reason=row.reason,
        doubts=row.doubts,
        address=row.address_state,
        subscription_id=row.subscription_id,
        subscription=row.subscription_state,
        edition=row.edition_state,
        cursor=row.cursor,
        from_seq=row.from_seq,
        cut_seq=row.cut_seq,
        under_way=row.subscription_id in under_way,
        is_ours=row.subscription_id in ours,
    )


async def _apply(
    session: AsyncSession, doubt: Doubt, change: Change, now: datetime, expires_after: timedelta
) -> bool:
    """Write a change; False when the row is not as it was seen any more."""
    values: dict[str, Any] = {"state": change.state, "reason": change.reason, "changed_at": now}
    if change.state is DeliveryState.PENDING:
        values |= {"next_at": now, "expires_at": now + expires_after, "worker": None}
    result = await session.execute(
        update(Delivery)
        .where(col(Delivery.id) == doubt.id, col(Delivery.state) == doubt.state)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    if result.rowcount and change.cursor is not None:
        await session.execute(
            update(Subscription)
            .where(col(Subscription.id) == doubt.subscription_id)
            .values(cursor=change.cursor)
            .execution_options(synchronize_session=False)
        )
    return result.rowcount > 0


async def _reopen(session: AsyncSession, edition_ids: Iterable[int]) -> None:
    if ids := sorted(edition_ids):
        # Held: one that is being closed this moment has been when this goes on.
        held = select(col(Edition.id)).where(col(Edition.id).in_(ids)).order_by(col(Edition.id))
        await session.execute(held.with_for_update(key_share=True))
        await session.execute(
            update(Edition)
            .where(col(Edition.id).in_(ids), col(Edition.state) == EditionState.DONE)
            .values(state=EditionState.SENDING, done_at=None)
            .execution_options(synchronize_session=False)
        )
