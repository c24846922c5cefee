"""Confirmation notices: the mail that asks, and the wish it holds until it is answered.

The wish is kept in the notice and not in the rows of the person, so that a form sent by somebody
else changes nothing of theirs. Every notice has its delivery row; sending it is not done here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.audience.consent import WEEK
from feedsvc.model.delivery import PRIORITY_NOTICE, Delivery, DeliveryState
from feedsvc.model.notice import Notice, NoticeKind
from feedsvc.model.subscriber import Subscription


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for; becomes true when it is confirmed.

    `requested_at` is in epoch seconds, as in the confirmation link. `newsletter` and `schedule`
    are keys; `name`, `language` and `zone` are for the person; `how` and `consent_text` say where
    and under which words it was asked.
    """

    newsletter: str
    schedule: str
    topics: list[str]
    name: str
    language: str
    zone: str | None
    how: str
    consent_text: str
    requested_at: int


def confirmation_numbers(notice: Notice) -> tuple[int, int]:
    """What the link of a confirmation carries: subscription id, and epoch seconds of the wish."""
    return notice.subscription_id or 0, int(notice.payload["requested_at"])


async def load_asked_at(
    session: AsyncSession, subscriber_id: int, now: datetime
) -> Sequence[datetime]:
    """When this person was asked within the last week, and has not confirmed what was asked.

    What was confirmed was wanted: after a minute it does not keep them from asking again.
    """
    rows = await session.execute(
        select(col(Notice.created_at))
        .outerjoin(Subscription, col(Subscription.id) == col(Notice.subscription_id))
        .where(
            col(Notice.subscriber_id) == subscriber_id,
            col(Notice.kind) == NoticeKind.CONFIRMATION,
            col(Notice.created_at) > now - WEEK,
            col(Subscription.confirmed_at).is_(None)
            | (col(Subscription.confirmed_at) < col(Notice.created_at))
            | (col(Notice.created_at) > now - timedelta(minutes=1)),
        )
    )
    return rows.scalars().all()


async def save_confirmation(
    session: AsyncSession,
    subscriber_id: int,
    subscription_id: int,
    wish: Wish,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Write the notice and its delivery; one of before that has not left is given up.

    Args:
        session: a write transaction that holds the subscriber's row.
        subscriber_id: whom it goes to.
        subscription_id: what it is about.
        wish: what is asked for.
        now: the present.
        expires_at: when the mail is no longer worth sending.
    """
    await session.execute(
        update(Delivery)
        .where(
            col(Delivery.subscriber_id) == subscriber_id,  # which has an index
            col(Delivery.subscription_id) == subscription_id,
            col(Delivery.notice_id).is_not(None),
            col(Delivery.state).in_([DeliveryState.PENDING, DeliveryState.DEFERRED]),
        )
        .values(
            state=DeliveryState.SUPERSEDED,
            reason="asked again: a newer confirmation",
            changed_at=now,
        )
    )
    notice = Notice(
        kind=NoticeKind.CONFIRMATION,
        subject=_subject(subscription_id, wish.requested_at),
        subscriber_id=subscriber_id,
        subscription_id=subscription_id,
        language=wish.language,
        payload=asdict(wish),
        created_at=now,
    )
    session.add(notice)
    await session.flush()
    session.add(
        Delivery(
            notice_id=notice.id,
            subscriber_id=subscriber_id,
            subscription_id=subscription_id,
            priority=PRIORITY_NOTICE,
            next_at=now,
            expires_at=expires_at,
            changed_at=now,
        )
    )
    await session.flush()


async def load_wish(
    session: AsyncSession, subscription_id: int, requested_at: datetime
) -> tuple[Wish, datetime] | None:
    """The wish a confirmation link is about, and when it was asked; None if there is none."""
    notice = (
        await session.execute(
            select(Notice).where(
                col(Notice.kind) == NoticeKind.CONFIRMATION,
                col(Notice.subject)
                == _subject(subscription_id, int(requested_at.astimezone(UTC).timestamp())),
            )
        )
    ).scalar_one_or_none()
    if notice is None:
        return None
    return Wish(**notice.payload), notice.created_at


def _subject(subscription_id: int, requested_at: int) -> str:
    return f"{subscription_id}:{requested_at}"
