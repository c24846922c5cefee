"""Editions for lists and pages: their lines, and the cohorts of one. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, not_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.control import no_edition
from feedsvc.errors import NotFound
from feedsvc.model.delivery import Delivery
from feedsvc.model.edition import (
    OPEN_EDITIONS,
    Cohort,
    CohortItem,
    Edition,
    EditionState,
    ItemOutcome,
    Wave,
)
from feedsvc.model.newsletter import Newsletter, Schedule


@dataclass(frozen=True, slots=True)
class ListedEdition:
    """One line of a list of editions; `schedule` None: it was made by hand."""

    id: int
    newsletter: str
    schedule: str | None
    state: EditionState
    reason: str | None
    created_at: datetime
    frozen_at: datetime | None
    paused_at: datetime | None
    done_at: datetime | None
    #: Readers whose mail is made when an earlier one to them has ended.
    waiting: int
    left_out: dict[str, int]
    #: Readers whose articles were dropped with it; None: it was not cancelled so.
    dropped: int | None


@dataclass(frozen=True, slots=True)
class ListedCohort:
    """Subscribers of an edition who get the same mail."""

    id: int
    language: str
    subject: str
    #: Articles shown in it.
    articles: int
    deliveries: int


async def list_editions(
    session: AsyncSession, limit: int, newsletter: str | None = None
) -> list[ListedEdition]:
    """All editions that are open, and the latest of the others, newest first."""
    query = _listed().order_by(col(Edition.id).desc())
    if newsletter is not None:
        query = query.where(col(Newsletter.key) == newsletter)
    is_open = col(Edition.state).in_(OPEN_EDITIONS)
    found = [
        *(await session.execute(query.where(is_open))).all(),
        *(await session.execute(query.where(not_(is_open)).limit(limit))).all(),
    ]
    return sorted((_line(*row) for row in found), key=lambda one: -one.id)


async def list_edition(session: AsyncSession, edition_id: int) -> ListedEdition:
    """The line of one edition. Raises NotFound."""
    row = (await session.execute(_listed().where(col(Edition.id) == edition_id))).first()
    if row is None:
        raise NotFound(no_edition(edition_id))
    return _line(*row)


async def list_cohorts(session: AsyncSession, edition_id: int) -> list[ListedCohort]:
    """An edition's different mails, the one to most subscribers first. Looks at every delivery."""
    sizes = (
        select(col(Delivery.cohort_id).label("cohort_id"), func.count().label("deliveries"))
        .where(col(Delivery.edition_id) == edition_id)
        .group_by(col(Delivery.cohort_id))
        .subquery()
    )
    shown = (
        select(func.count())
        .select_from(CohortItem)
        .where(
            col(CohortItem.cohort_id) == col(Cohort.id),
            col(CohortItem.outcome) == ItemOutcome.MAILED,
        )
        .correlate(Cohort)
        .scalar_subquery()
    )
    count = func.coalesce(sizes.c.deliveries, 0)
    rows = await session.execute(
        select(col(Cohort.id), col(Cohort.language), col(Cohort.subject), shown, count)
        .outerjoin(sizes, sizes.c.cohort_id == col(Cohort.id))
        .where(col(Cohort.edition_id) == edition_id)
        .order_by(count.desc(), col(Cohort.id))
    )
    return [ListedCohort(row[0] or 0, *row[1:]) for row in rows.all()]


def _listed() -> Any:
    waiting = (
        select(func.coalesce(func.sum(col(Wave.waiting)), 0))
        .where(col(Wave.edition_id) == col(Edition.id))
        .correlate(Edition)
        .scalar_subquery()
    )
    return (
        select(Edition, col(Newsletter.key), col(Schedule.key), waiting)
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
    )


def _line(edition: Edition, newsletter: str, schedule: str | None, waiting: int) -> ListedEdition:
    return ListedEdition(
        edition.id or 0,
        newsletter,
        schedule,
        edition.state,
        edition.reason,
        edition.created_at,
        edition.frozen_at,
        edition.paused_at,
        edition.done_at,
        waiting,
        edition.counters.get("left_out", {}),
        edition.counters.get("dropped"),
    )
