"""The archive: which editions anybody may read, and which mail stands for each. Reads only.

An edition may be read by anybody when it went out on a schedule of a public newsletter, or was an
announcement to all of its subscribers. What was sent by hand, to a part of them, or as a greeting
or correction, was for those who got it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.registry import NewsletterRow
from feedsvc.editions.stored_mail import load_gone
from feedsvc.editions.stored_page import GoneArticle
from feedsvc.kit.texts import negotiate
from feedsvc.model.edition import (
    Cohort,
    Edition,
    EditionKind,
    EditionState,
    Letter,
    ReaderGroupRow,
    Wave,
)
from feedsvc.model.newsletter import Newsletter, Schedule


@dataclass(frozen=True, slots=True)
class ArchivedEdition:
    """An edition as the archive knows it, with the mail that stands for it."""

    id: int
    kind: EditionKind
    #: Label of its schedule; None for an announcement.
    schedule: str | None
    due_at: datetime
    #: When it was complete.
    frozen_at: datetime
    #: When its newest wave was composed: which mail stands for it may have changed then.
    composed_at: datetime
    created_at: datetime
    cohort_id: int
    language: str
    #: Of the mail; not to be shown when something is gone, since it may tell of that.
    subject: str
    gone: tuple[GoneArticle, ...]

    @property
    def changed_at(self) -> datetime:
        """When it last became another text for those who read it."""
        withdrawn = [one.withdrawn_at for one in self.gone if one.withdrawn_at]
        return max([self.frozen_at, *withdrawn])


@dataclass(frozen=True, slots=True)
class CohortChoice:
    """A cohort of an edition, as far as it matters for standing for the edition."""

    id: int
    language: str
    subject: str = ""
    #: Readers who get it, and those of them who have all topics.
    readers: int = 0
    all_topics: int = 0


def choose_cohort(cohorts: Iterable[CohortChoice], language: str) -> CohortChoice:
    """The cohort that stands for its edition: in the newsletter's language, to the most readers
    who have all topics, else to the most; of several the first.
    """
    wanted = negotiate([language])
    return max(
        cohorts,
        key=lambda one: (
            negotiate([one.language]) == wanted,
            one.all_topics,
            one.readers,
            -one.id,
        ),
    )


async def find_public(session: AsyncSession, key: str) -> NewsletterRow | None:
    """A public newsletter with its schedules in use; also one that is retired. None: no such."""
    newsletter = await session.scalar(
        select(Newsletter).where(col(Newsletter.key) == key, col(Newsletter.public).is_(True))
    )
    if newsletter is None:
        return None
    schedules = await session.execute(
        select(Schedule)
        .where(
            col(Schedule.newsletter_id) == newsletter.id,
            col(Schedule.retired).is_(False),
        )
        .order_by(col(Schedule.key))
    )
    return NewsletterRow(newsletter, tuple(schedules.scalars()))


async def list_archived(
    session: AsyncSession, newsletter: Newsletter, limit: int, before: int | None = None
) -> list[ArchivedEdition]:
    """The newest editions anybody may read; those with a lower id than `before`."""
    query = _archived(newsletter).order_by(col(Edition.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(Edition.id) < before)
    return await _complete(session, newsletter, (await session.execute(query)).all())


async def find_archived(
    session: AsyncSession, newsletter: Newsletter, edition_id: int
) -> ArchivedEdition | None:
    """One edition anybody may read; None when it is not one, or not one of this newsletter."""
    query = _archived(newsletter).where(col(Edition.id) == edition_id)
    found = await _complete(session, newsletter, (await session.execute(query)).all())
    return found[0] if found else None


async def find_neighbours(
    session: AsyncSession, newsletter: Newsletter, edition_id: int
) -> tuple[int | None, int | None]:
    """The editions before and after one in the archive."""
    number = col(Edition.id)
    ids = select(number).where(*_is_archived(newsletter)).limit(1)
    older = await session.scalar(ids.where(number < edition_id).order_by(number.desc()))
    newer = await session.scalar(ids.where(number > edition_id).order_by(number))
    return older, newer


async def load_letters(session: AsyncSession, edition_ids: Sequence[int]) -> dict[int, str]:
    """The Markdown of announcements, by edition."""
    query = select(col(Letter.edition_id), col(Letter.body)).where(
        col(Letter.edition_id).in_(edition_ids)
    )
    return {row[0]: row[1] for row in (await session.execute(query)).all()}


def _is_archived(newsletter: Newsletter) -> tuple[ColumnElement[bool], ...]:
    to_everybody = exists().where(
        col(Letter.edition_id) == col(Edition.id), col(Letter.audience) == {}
    )
    return (
        col(Edition.newsletter_id) == newsletter.id,
        col(Edition.state).in_((EditionState.SENDING, EditionState.DONE)),
        or_(
            (col(Edition.kind) == EditionKind.DIGEST) & col(Edition.schedule_id).is_not(None),
            (col(Edition.kind) == EditionKind.ANNOUNCEMENT) & to_everybody,
        ),
        # It went to somebody.
        exists().where(col(Cohort.edition_id) == col(Edition.id)),
    )


def _archived(newsletter: Newsletter) -> Any:
    composed = (
        select(func.max(col(Wave.composed_at)))
        .where(col(Wave.edition_id) == col(Edition.id))
        .correlate(Edition)
        .scalar_subquery()
    )
    frozen = func.coalesce(col(Edition.frozen_at), col(Edition.created_at))
    return (
        select(
            col(Edition.id),
            col(Edition.kind),
            col(Schedule.label),
            func.coalesce(col(Edition.due_at), frozen),
            frozen,
            func.coalesce(composed, frozen),
            col(Edition.created_at),
        )
        .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
        .where(*_is_archived(newsletter))
    )


async def _complete(
    session: AsyncSession, newsletter: Newsletter, rows: Sequence[Any]
) -> list[ArchivedEdition]:
    """Editions with the mail that stands for each."""
    ids = [row[0] for row in rows]
    cohorts = await _load_cohorts(session, ids)
    chosen = {
        edition_id: choose_cohort(found, newsletter.language)
        for edition_id, found in cohorts.items()
    }
    gone = await load_gone(session, [one.id for one in chosen.values()])
    editions = []
    for edition_id, kind, schedule, due_at, frozen_at, composed_at, created_at in rows:
        mail = chosen[edition_id]
        editions.append(
            ArchivedEdition(
                id=edition_id,
                kind=kind,
                schedule=schedule,
                due_at=due_at,
                frozen_at=frozen_at,
                composed_at=composed_at,
                created_at=created_at,
                cohort_id=mail.id,
                language=mail.language,
                subject=mail.subject,
                gone=gone.get(mail.id, ()),
            )
        )
    return editions


async def _load_cohorts(
    session: AsyncSession, edition_ids: Sequence[int]
) -> dict[int, list[CohortChoice]]:
    """The cohorts of editions, by edition."""
    group = ReaderGroupRow
    readers = await session.execute(
        select(
            col(group.cohort_id),
            func.sum(col(group.readers)),
            func.sum(case((col(group.topics) == [], col(group.readers)), else_=0)),
        )
        .join(Wave, col(Wave.id) == col(group.wave_id))
        .where(col(Wave.edition_id).in_(edition_ids), col(group.cohort_id).is_not(None))
        .group_by(col(group.cohort_id))
    )
    counts = {row[0]: (int(row[1]), int(row[2])) for row in readers.all()}
    rows = await session.execute(
        select(
            col(Cohort.edition_id), col(Cohort.id), col(Cohort.language), col(Cohort.subject)
        ).where(col(Cohort.edition_id).in_(edition_ids))
    )
    found: dict[int, list[CohortChoice]] = {}
    for edition_id, cohort_id, language, subject in rows.all():
        choice = CohortChoice(cohort_id or 0, language, subject, *counts.get(cohort_id, (0, 0)))
        found.setdefault(edition_id, []).append(choice)
    return found
