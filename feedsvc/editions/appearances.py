"""Where an article went: the editions that had it in a reader's window, with their outcomes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.delivery import Delivery
from feedsvc.model.edition import Cohort, CohortItem, Edition, Wave
from feedsvc.model.newsletter import Newsletter, Schedule


@dataclass(frozen=True, slots=True)
class Appearance:
    """One edition with the article: at which revision, with what outcome, to how many."""

    edition_id: int
    newsletter: str
    schedule: str | None
    period: str
    state: str
    reason: str | None
    due_at: datetime
    outcome: str
    revision: int
    #: Delivery state -> how many deliveries of the cohorts with this outcome.
    deliveries: dict[str, int]


async def load_appearances(session: AsyncSession, article_id: int) -> list[Appearance]:
    """Every edition whose windows had this article, oldest first."""
    rows = await session.execute(
        select(
            col(Edition.id),
            col(Newsletter.key),
            col(Schedule.key),
            col(Edition.period),
            col(Edition.state),
            col(Edition.reason),
            func.min(col(Wave.due_at)),
            col(CohortItem.outcome),
            col(CohortItem.revision),
            col(Delivery.state),
            func.count(col(Delivery.id)),
        )
        .select_from(CohortItem)
        .join(Cohort, col(Cohort.id) == col(CohortItem.cohort_id))
        .join(Edition, col(Edition.id) == col(Cohort.edition_id))
        .join(Wave, col(Wave.edition_id) == col(Edition.id))
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
        .outerjoin(Delivery, col(Delivery.cohort_id) == col(Cohort.id))
        .where(col(CohortItem.article_id) == article_id)
        .group_by(
            col(Edition.id),
            col(Newsletter.key),
            col(Schedule.key),
            col(Edition.period),
            col(Edition.state),
            col(Edition.reason),
            col(CohortItem.outcome),
            col(CohortItem.revision),
            col(Delivery.state),
        )
        .order_by(col(Edition.id), col(CohortItem.revision))
    )
    found: dict[tuple[int, str, int], Appearance] = {}
    for row in rows.all():
        key = (row[0] or 0, str(row[7]), row[8])
        if key not in found:
            found[key] = Appearance(
                key[0], row[1], row[2], row[3], str(row[4]), row[5], row[6], str(row[7]), row[8], {}
            )
        if row[9] is not None:
            counts = found[key].deliveries
            counts[str(row[9])] = counts.get(str(row[9]), 0) + row[10]
    return list(found.values())
