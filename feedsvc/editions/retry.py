"""Send again to those whom an edition did not reach, where that repeats nobody's articles.

"Only the failed": refused and expired mails, and on request those in doubt. Nobody else's mail is
touched.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, case, func, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.control import PIECE, edition_over, hold_edition
from feedsvc.editions.readers import load_on_their_way, why_left_out
from feedsvc.model.delivery import IS_TROUBLED, Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.subscriber import Subscriber, Subscription

_ENDED_UNSENT = (DeliveryState.FAILED, DeliveryState.EXPIRED)
_CAN_SEND = (EditionState.FROZEN, EditionState.SENDING, EditionState.PAUSED, EditionState.DONE)


@dataclass(frozen=True, slots=True)
class Retried:
    """How many go again, and how many do not, by reason."""

    again: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Retried") -> "Retried":
        return Retried(self.again + other.again, self.left_out + other.left_out)


async def find_failed(session: AsyncSession, edition_id: int, uncertain: bool = False) -> list[int]:
    """Deliveries of an edition that ended without being sent; with those in doubt, if wanted."""
    rows = await session.execute(
        select(col(Delivery.id)).where(
            col(Delivery.edition_id) == edition_id,
            IS_TROUBLED,
            col(Delivery.state).in_(_states(uncertain)),
        )
    )
    return sorted(row[0] or 0 for row in rows.all())


async def retry_failed(
    session: AsyncSession,
    edition_id: int,
    now: datetime,
    expires_after: timedelta,
    *,
    uncertain: bool = False,
    among: Sequence[int] | None = None,
) -> Retried:
    """Have an edition's refused and expired mails sent again; one that was through is reopened.

    Those are left out whose articles a later edition has covered or is about to, or who cannot be
    mailed any more. What was refused is made anew, with the person's present address; what is in
    doubt goes again as it was.

    Args:
        uncertain: also mails that may have arrived, which some get twice.
        among: only these deliveries; None is all, which for many takes long in one transaction.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it was cancelled or skipped, or is not composed yet.
    """
    edition = await hold_edition(session, edition_id)
    if edition.state not in _CAN_SEND:
        raise edition_over(edition, "nothing of it can be sent again")
    ids = await find_failed(session, edition_id, uncertain) if among is None else among
    retried = Retried()
    for start in range(0, len(ids), PIECE):
        retried += await _retry(
            session, edition_id, ids[start : start + PIECE], now, expires_after, uncertain
        )
    if retried.again:
        await session.execute(
            update(Edition)
            .where(col(Edition.id) == edition_id, col(Edition.state) == EditionState.DONE)
            .values(state=EditionState.SENDING, done_at=None)
            .execution_options(synchronize_session=False)
        )
    return retried


def choose_left_out(
    row: Row[*tuple[Any, ...]], held: set[int], under_way: set[int], uncertain: bool
) -> str | None:
    """Why a mail is not sent again, in words; None when it is. Pure."""
    if reason := why_left_out(row.subscription_state, row.address_state):
        return reason
    if row.subscription_id not in held:
        return "being changed at this moment; say it again"
    if row.doubts > 1:
        return "in doubt twice, which is final"
    if row.doubts and not uncertain:
        return "an earlier try may have arrived"
    if row.from_seq is None:
        return None  # an announcement or its like: no other mail stands for it
    if row.subscription_id in under_way:
        return "another mail to the same person is under way"
    if row.cursor != row.from_seq:
        return "a later edition has covered its articles"
    return None


async def _retry(
    session: AsyncSession,
    edition_id: int,
    ids: Sequence[int],
    now: datetime,
    expires_after: timedelta,
    uncertain: bool,
) -> Retried:
    held = await _hold_subscriptions(session, ids)
    under_way = await load_on_their_way(session, held)
    rows = await session.execute(_standing(edition_id, ids, _states(uncertain)))
    go, left_out = [], Counter[str]()
    for row in rows.all():
        if (reason := choose_left_out(row, held, under_way, uncertain)) is None:
            go.append(row.id)
        else:
            left_out[reason] += 1
    if go:
        before = func.coalesce(col(Delivery.reason), literal("no reason"))
        unsent = col(Delivery.doubts) == 0
        # A definite no leaves nothing that must be byte for byte the same.
        fixed: dict[str, Any] = {
            name: case((unsent, null()), else_=getattr(Delivery, name))
            for name in ("date_at", "address", "renderer", "signed_with")
        }
        await session.execute(
            update(Delivery)
            .where(col(Delivery.id).in_(go))
            .values(
                state=DeliveryState.PENDING,
                reason=literal("tried again, as the operator says; before: ") + before,
                next_at=now,
                expires_at=now + expires_after,
                worker=None,
                changed_at=now,
                **fixed,
            )
            .execution_options(synchronize_session=False)
        )
    return Retried(len(go), left_out)


async def _hold_subscriptions(session: AsyncSession, ids: Sequence[int]) -> set[int]:
    """Hold the subscriptions of these, so that no edition is composed for them meanwhile.

    Nobody is waited for: who is being composed for this moment is not among the result.
    """
    theirs = select(col(Delivery.subscription_id)).where(col(Delivery.id).in_(ids))
    rows = await session.execute(
        select(col(Subscription.id))
        .where(col(Subscription.id).in_(theirs))
        .with_for_update(key_share=True, skip_locked=True)
    )
    return {row[0] or 0 for row in rows.all()}


def _standing(edition_id: int, ids: Sequence[int], states: Sequence[DeliveryState]) -> Any:
    return (
        select(
            col(Delivery.id),
            col(Delivery.from_seq),
            col(Delivery.doubts),
            col(Subscription.id).label("subscription_id"),
            col(Subscription.cursor),
            col(Subscription.state).label("subscription_state"),
            col(Subscriber.state).label("address_state"),
        )
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .where(
            col(Delivery.id).in_(ids),
            col(Delivery.edition_id) == edition_id,
            col(Delivery.state).in_(states),
        )
        .order_by(col(Delivery.id))
    )


def _states(uncertain: bool) -> tuple[DeliveryState, ...]:
    return (*_ENDED_UNSENT, DeliveryState.UNCERTAIN) if uncertain else _ENDED_UNSENT
