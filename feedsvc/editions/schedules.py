"""The schedules in use, with how many people are on each."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A schedule of a newsletter, and its subscribers: those who get mail, and those who pause."""

    newsletter: str
    schedule: Schedule
    active: int
    paused: int


async def list_schedules(
    session: AsyncSession, newsletter_id: int | None = None
) -> list[ListedSchedule]:
    """All schedules in use, or those of one newsletter, by newsletter and key."""
    query = (
        select(col(Newsletter.key), Schedule)
        .join(Schedule, col(Schedule.newsletter_id) == col(Newsletter.id))
        .where(col(Schedule.retired).is_(False), col(Newsletter.retired).is_(False))
        .order_by(col(Newsletter.key), col(Schedule.key))
    )
    if newsletter_id is not None:
        query = query.where(col(Newsletter.id) == newsletter_id)
    rows = (await session.execute(query)).all()
    people = await _count_people(session)
    return [
        ListedSchedule(
            newsletter=key,
            schedule=one,
            active=people.get((one.id, SubscriptionState.ACTIVE), 0),
            paused=people.get((one.id, SubscriptionState.PAUSED), 0),
        )
        for key, one in rows
    ]


async def _count_people(
    session: AsyncSession,
) -> dict[tuple[int | None, SubscriptionState], int]:
    rows = await session.execute(
        select(col(Subscription.schedule_id), col(Subscription.state), func.count())
        .where(col(Subscription.state).in_((SubscriptionState.ACTIVE, SubscriptionState.PAUSED)))
        .group_by(col(Subscription.schedule_id), col(Subscription.state))
    )
    return {(schedule_id, state): count for schedule_id, state, count in rows.all()}
