"""What the next edition would be, from the real rows: decides as composing does, writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.calendar import next_due_at
from feedsvc.editions.cohorts import Grouping, ReaderGroup, group_readers
from feedsvc.editions.freeze import Composing, load_announced
from feedsvc.editions.readers import count_left_out, load_groups
from feedsvc.editions.registry import NewsletterRow
from feedsvc.model.article import Article, Counter
from feedsvc.model.edition import Edition, EditionKind, ItemOutcome, Wave
from feedsvc.model.newsletter import Schedule


@dataclass(frozen=True, slots=True)
class RehearsedArticle:
    """An article the edition would hold, and for how many readers."""

    id: int
    title: str
    section: str | None
    published_at: datetime
    mailed_to: int
    counted_for: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One schedule's next edition, as it would be if it came due now."""

    newsletter: str
    schedule: Schedule
    next_due_at: datetime | None
    cut_seq: int
    readers: int
    cohorts: int
    articles: tuple[RehearsedArticle, ...]
    #: Why the other subscriptions get nothing -> how many.
    left_out: dict[str, int]


async def rehearse(session: AsyncSession, row: NewsletterRow, now: datetime) -> list[Rehearsal]:
    """Rehearse every schedule of a newsletter."""
    return [await _rehearse_schedule(session, row, schedule, now) for schedule in row.schedules]


async def _rehearse_schedule(
    session: AsyncSession, row: NewsletterRow, schedule: Schedule, now: datetime
) -> Rehearsal:
    cut_seq = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    # An edition that is never added to the session: the same questions, no row.
    edition = Edition(
        id=0,
        newsletter_id=row.newsletter.id or 0,
        schedule_id=schedule.id,
        kind=EditionKind.DIGEST,
        period="rehearsal",
        created_at=now,
    )
    wave = Wave(edition_id=0, zone=schedule.zone, due_at=now, cut_seq=cut_seq or 0)
    composing = Composing(edition, wave, row.newsletter, schedule)
    groups = await load_groups(session, edition, wave.cut_seq)
    facts = await load_announced(
        session,
        composing.selection,
        min((group.from_seq for group in groups), default=wave.cut_seq),
        wave.cut_seq,
    )
    grouping = group_readers(
        groups,
        facts,
        cut_seq=wave.cut_seq,
        max_items=row.newsletter.max_items,
        theme=row.newsletter.theme,
    )
    left_out = await count_left_out(session, edition, wave.cut_seq)
    nothing = sum(group.readers for group in grouping.nothing_matched)
    if nothing:
        left_out["nothing new that matches their choices"] = nothing
    return Rehearsal(
        newsletter=row.newsletter.key,
        schedule=schedule,
        next_due_at=next_due_at(schedule.cron, schedule.zone, now),
        cut_seq=wave.cut_seq,
        readers=sum(group.readers for group in grouping.cohort_of),
        cohorts=len(grouping.cohorts),
        articles=await _describe(session, grouping),
        left_out=left_out,
    )


async def _describe(session: AsyncSession, grouping: Grouping) -> tuple[RehearsedArticle, ...]:
    counts = _count_readers(grouping, list(grouping.cohort_of))
    rows = await session.execute(
        select(
            col(Article.id), col(Article.title), col(Article.section), col(Article.published_at)
        ).where(col(Article.id).in_(counts))
    )
    described = [
        RehearsedArticle(article_id or 0, title, section, published_at, *counts[article_id or 0])
        for article_id, title, section, published_at in rows.all()
    ]
    return tuple(sorted(described, key=lambda one: (one.published_at, one.id), reverse=True))


def _count_readers(grouping: Grouping, groups: Sequence[ReaderGroup]) -> dict[int, tuple[int, int]]:
    """Article id -> readers who get it in the mail, readers for whom it is counted as more."""
    counts: dict[int, tuple[int, int]] = {}
    for group in groups:
        for item in grouping.cohorts[grouping.cohort_of[group]].items:
            mailed, counted = counts.get(item.article_id, (0, 0))
            if item.outcome is ItemOutcome.MAILED:
                counts[item.article_id] = (mailed + group.readers, counted)
            elif item.outcome is ItemOutcome.AND_MORE:
                counts[item.article_id] = (mailed, counted + group.readers)
    return counts
