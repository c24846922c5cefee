"""How many deliveries of an edition stand where. Reads only."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.delivery import Delivery, DeliveryState


async def edition_totals(session: AsyncSession, edition_id: int) -> dict[DeliveryState, int]:
    """Deliveries of an edition by state; states that none is in are left out."""
    found = await session.execute(
        select(col(Delivery.state), func.count())
        .where(col(Delivery.edition_id) == edition_id)
        .group_by(col(Delivery.state))
    )
    return {row[0]: row[1] for row in found}
