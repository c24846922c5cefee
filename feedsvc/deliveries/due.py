"""When there will be something to send. Reads only."""

from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.deliveries.claim import WAITING
from feedsvc.model.delivery import Delivery
from feedsvc.model.edition import Edition, EditionState


async def next_due_at(session: AsyncSession) -> datetime | None:
    """When the next delivery is due, which may be past; None when none waits.

    Deliveries of an edition that is not sending do not count.
    """
    found = await session.execute(
        select(func.min(col(Delivery.next_at)))
        .outerjoin(Edition, col(Edition.id) == col(Delivery.edition_id))
        .where(
            WAITING,
            or_(col(Delivery.notice_id).is_not(None), col(Edition.state) == EditionState.SENDING),
        )
    )
    due_at: datetime | None = found.scalar_one()
    return due_at
