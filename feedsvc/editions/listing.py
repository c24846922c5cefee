"""Editions for lists and pages: their lines, and the waves and cohorts of one. Reads only."""

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
    EditionKind,
    EditionState,
    ItemOutcome,
    Wave,
)
from feedsvc.model.newsletter import CatchUp, Newsletter, Schedule, Unapproved


@dataclass(frozen=True, slots=True)
class ListedEdition:
    """One line of a list of editions; `schedule` None: it was made by hand."""

    id: int
    newsletter: str
    schedule: str | None
    kind: EditionKind
    state: EditionState
    reason: str | None
    #: When its first wave is due; of a draft, until when it waits for approval.
    due_at: datetime | None
    #: IANA zone of its schedule.
    zone: str | None
    #: What becomes of it when nobody approves it in time; None: it is no draft, or waits for ever.
    unapproved: Unapproved | None
    created_at: datetime
    frozen_at: datetime | None
    paused_at: datetime | None
    done_at: datetime | None
    #: Readers whose mail is made when an earlier one to them has ended.
    waiting: int
    left_out: dict[str, int]
    #: Readers whose articles were dropped with it; None: it was not cancelled so.
    dropped: int | None

    @property
    def occasion(self) -> str:
        """Its schedule; without one, how else it came about."""
        is_digest = self.kind is EditionKind.DIGEST
        return self.schedule or ("by hand" if is_digest else self.kind.value)


@dataclass(frozen=True, slots=True)
class ListedWave:
    """An edition's going out in one zone."""

    zone: str
    due_at: datetime
    cut_seq: int
    composed_at: datetime | None
    missed: CatchUp | None
    waiting: int


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


async def list_waves(session: AsyncSession, edition_id: int) -> list[ListedWave]:
    """An edition's waves in the order they are due; of some there may not be a row yet."""
    rows = await session.execute(
        select(Wave)
        .where(col(Wave.edition_id) == edition_id)
        .order_by(col(Wave.due_at), col(Wave.zone))
    )
    return [
        ListedWave(one.zone, one.due_at, one.cut_seq, one.composed_at, one.missed, one.waiting)
        for one in rows.scalars()
    ]


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
        select(Edition, Newsletter, Schedule, waiting)
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
    )


def _line(
    edition: Edition, newsletter: Newsletter, schedule: Schedule | None, waiting: int
) -> ListedEdition:
    # What an operator wrote goes by their word alone.
    decides_itself = edition.state is EditionState.DRAFT and edition.kind is EditionKind.DIGEST
    return ListedEdition(
        id=edition.id or 0,
        newsletter=newsletter.key,
        schedule=schedule.key if schedule else None,
        kind=edition.kind,
        state=edition.state,
        reason=edition.reason,
        due_at=edition.due_at,
        zone=schedule.zone if schedule else None,
        unapproved=newsletter.unapproved if decides_itself and edition.due_at else None,
        created_at=edition.created_at,
        frozen_at=edition.frozen_at,
        paused_at=edition.paused_at,
        done_at=edition.done_at,
        waiting=waiting,
        left_out=edition.counters.get("left_out", {}),
        dropped=edition.counters.get("dropped"),
    )
