"""An edition of the past, from what is stored of it: what each cohort got, and how it ended.

Reads only. Nothing is decided or rendered anew: articles may have changed since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.control import no_edition
from feedsvc.errors import NotFound
from feedsvc.model.article import Article
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import (
    Cohort,
    CohortItem,
    Edition,
    EditionKind,
    EditionState,
    GroupOutcome,
    ItemOutcome,
    ReaderGroupRow,
    Wave,
)
from feedsvc.model.newsletter import CatchUp, Newsletter, Schedule

#: Ids in one query.
_PIECE = 500


@dataclass(frozen=True, slots=True)
class ReplayedItem:
    """An article in a cohort's mail; `changed`: it has been edited since."""

    article_id: int
    title: str
    outcome: ItemOutcome
    revision: int
    changed: bool


@dataclass(frozen=True, slots=True)
class ReplayedCohort:
    """Subscribers who got the same mail, and how many of these mails came to what."""

    id: int
    language: str
    subject: str
    deliveries: Mapping[DeliveryState, int]
    items: tuple[ReplayedItem, ...] = ()

    @property
    def readers(self) -> int:
        """How many there are."""
        return sum(self.deliveries.values())


@dataclass(frozen=True, slots=True)
class ReplayedWave:
    """A wave: when it was due where, how far it reached, and who of it got no mail."""

    zone: str
    due_at: datetime
    cut_seq: int
    composed_at: datetime | None
    missed: CatchUp | None
    waiting: int
    without_mail: Mapping[GroupOutcome, int]


@dataclass(frozen=True, slots=True)
class Replay:
    """What is stored of an edition."""

    id: int
    newsletter: str
    #: None: it was made by hand.
    schedule: str | None
    kind: EditionKind
    period: str
    #: IANA name of the zone its times are told in.
    zone: str
    state: EditionState
    reason: str | None
    waves: tuple[ReplayedWave, ...]
    #: The one with most subscribers first.
    cohorts: tuple[ReplayedCohort, ...]
    left_out: Mapping[str, int]


async def load_replay(
    session: AsyncSession, edition_id: int, subscriber_id: int | None = None
) -> Replay:
    """What an edition was.

    Args:
        subscriber_id: only the cohort of this person.

    Raises:
        NotFound: there is no such edition, or no mail of it to this person.
    """
    row = (
        await session.execute(
            select(Edition, col(Newsletter.key), Schedule)
            .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
            .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
            .where(col(Edition.id) == edition_id)
        )
    ).first()
    if row is None:
        raise NotFound(no_edition(edition_id))
    edition, newsletter, schedule = row
    return Replay(
        id=edition_id,
        newsletter=newsletter,
        schedule=schedule.key if schedule else None,
        kind=edition.kind,
        period=edition.period,
        zone=schedule.zone if schedule else "UTC",
        state=edition.state,
        reason=edition.reason,
        waves=await _load_waves(session, edition_id),
        cohorts=await _load_cohorts(session, edition_id, subscriber_id),
        left_out=edition.counters.get("left_out", {}),
    )


async def load_rendered(session: AsyncSession, cohort_id: int) -> Cohort:
    """A cohort with its rendered parts, slots and all."""
    return await session.get_one(Cohort, cohort_id)


async def _load_waves(session: AsyncSession, edition_id: int) -> tuple[ReplayedWave, ...]:
    without: dict[int, dict[GroupOutcome, int]] = {}
    groups = await session.execute(
        select(
            col(ReaderGroupRow.wave_id),
            col(ReaderGroupRow.outcome),
            func.sum(col(ReaderGroupRow.readers)),
        )
        .join(Wave, col(Wave.id) == col(ReaderGroupRow.wave_id))
        .where(
            col(Wave.edition_id) == edition_id,
            col(ReaderGroupRow.outcome) != GroupOutcome.MAILED,
        )
        .group_by(col(ReaderGroupRow.wave_id), col(ReaderGroupRow.outcome))
    )
    for wave_id, outcome, readers in groups.all():
        without.setdefault(wave_id, {})[outcome] = int(readers)
    waves = await session.execute(
        select(Wave)
        .where(col(Wave.edition_id) == edition_id)
        .order_by(col(Wave.due_at), col(Wave.zone))
    )
    return tuple(
        ReplayedWave(
            one.zone,
            one.due_at,
            one.cut_seq,
            one.composed_at,
            one.missed,
            one.waiting,
            without.get(one.id or 0, {}),
        )
        for one in waves.scalars()
    )


async def _load_cohorts(
    session: AsyncSession, edition_id: int, subscriber_id: int | None
) -> tuple[ReplayedCohort, ...]:
    counted = await session.execute(
        select(col(Delivery.cohort_id), col(Delivery.state), func.count())
        .where(col(Delivery.edition_id) == edition_id)
        .group_by(col(Delivery.cohort_id), col(Delivery.state))
    )
    deliveries: dict[int, dict[DeliveryState, int]] = {}
    for cohort_id, state, count in counted.all():
        deliveries.setdefault(cohort_id or 0, {})[state] = count
    query = select(col(Cohort.id), col(Cohort.language), col(Cohort.subject)).where(
        col(Cohort.edition_id) == edition_id
    )
    if subscriber_id is not None:
        theirs = await session.scalar(
            select(col(Delivery.cohort_id)).where(
                col(Delivery.edition_id) == edition_id,
                col(Delivery.subscriber_id) == subscriber_id,
            )
        )
        if theirs is None:
            raise NotFound(f"edition {edition_id} has no mail to subscriber {subscriber_id}")
        query = query.where(col(Cohort.id) == theirs)
    rows = [(row[0] or 0, row[1], row[2]) for row in (await session.execute(query)).all()]
    items = await _load_items(session, [row[0] for row in rows])
    cohorts = [
        ReplayedCohort(number, language, subject, deliveries.get(number, {}), items[number])
        for number, language, subject in rows
    ]
    return tuple(sorted(cohorts, key=lambda one: (-one.readers, one.id)))


async def _load_items(
    session: AsyncSession, cohort_ids: Sequence[int]
) -> dict[int, tuple[ReplayedItem, ...]]:
    items: dict[int, list[ReplayedItem]] = {cohort_id: [] for cohort_id in cohort_ids}
    for start in range(0, len(cohort_ids), _PIECE):
        rows = await session.execute(
            select(CohortItem, col(Article.title), col(Article.revision))
            .join(Article, col(Article.id) == col(CohortItem.article_id))
            .where(col(CohortItem.cohort_id).in_(cohort_ids[start : start + _PIECE]))
            .order_by(col(CohortItem.cohort_id), col(CohortItem.position))
        )
        for item, title, revision in rows.all():
            items[item.cohort_id].append(
                ReplayedItem(
                    item.article_id, title, item.outcome, item.revision, item.revision != revision
                )
            )
    return {cohort_id: tuple(found) for cohort_id, found in items.items()}
