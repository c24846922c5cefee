"""What the next edition would be, or that of a moment to come, from the real rows.

Decides by the functions that composing decides by, and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions import composing, readers
from feedsvc.editions.cohorts import CohortPlan, Grouping, ReaderGroup, Selector, group_readers
from feedsvc.editions.compose import above_of, told_by_story
from feedsvc.editions.composing import Composing
from feedsvc.editions.foreseen import Foreseen, count_resuming, load_foreseen, load_groups_at
from feedsvc.editions.moments import Moment, count_before, plan_moments
from feedsvc.editions.notes import load_notes
from feedsvc.editions.registry import NewsletterRow
from feedsvc.editions.rehearsal import (
    Rehearsal,
    RehearsedArticle,
    RehearsedCohort,
    RehearsedWave,
    add_up,
    count_outcomes,
    join_cohorts,
)
from feedsvc.errors import NotFound
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import Edition, EditionKind, Wave
from feedsvc.model.newsletter import Newsletter, Schedule

#: An id that no edition has, and no reader was dealt with by.
_NO_EDITION = -1
_PIECE = 500
_UP_TO_DATE = "nothing new since their last mail"


async def rehearse(
    session: AsyncSession,
    row: NewsletterRow,
    now: datetime,
    *,
    schedule: str | None = None,
    at: datetime | None = None,
) -> list[Rehearsal]:
    """Rehearse the schedules of a newsletter.

    Args:
        schedule: key of the only one.
        at: when; without a zone in that of each schedule, or of each reader. None: when each
            comes due next; what follows the articles, once they have settled.

    Raises:
        NotFound: there is no such schedule, or the moment is past.
    """
    chosen = [one for one in row.schedules if schedule in (None, one.key)]
    if not chosen:
        names = ", ".join(one.key for one in row.schedules) or "none"
        raise NotFound(f"{row.newsletter.key} has no schedule {schedule!r} (there are: {names})")
    return [await _rehearse(session, row.newsletter, one, now, at) for one in chosen]


async def _rehearse(
    session: AsyncSession,
    newsletter: Newsletter,
    schedule: Schedule,
    now: datetime,
    at: datetime | None,
) -> Rehearsal:
    plans, next_at = await plan_moments(session, schedule, now, at)
    if at is not None and plans and max(plan.due_at for plan in plans) < now:
        raise NotFound(
            "no edition is to come then: it is past; feedsvc replay shows those that were"
        )
    until = max((plan.due_at for plan in plans), default=now)
    foreseen = await load_foreseen(session, newsletter, now, max(until, now))
    waves = [await _decide(session, newsletter, schedule, plan, foreseen) for plan in plans]
    edition = next((plan.edition for plan in plans if plan.edition), None)
    return Rehearsal(
        newsletter=newsletter.key,
        schedule=schedule.key,
        label=schedule.label,
        zone=schedule.zone,
        own_zone=schedule.own_zone,
        next_due_at=next_at,
        edition_id=edition.id if edition else None,
        edition_state=edition.state if edition else None,
        waves=tuple(waves),
        cohorts=join_cohorts(waves),
        articles=await _describe(session, count_outcomes(waves)),
        left_out=add_up(wave.left_out for wave in waves),
        before=count_before(schedule, now, at),
    )


def choose_cohort(
    rehearsal: Rehearsal, language: str | None, topics: Sequence[str]
) -> RehearsedCohort:
    """The mail of a reader with these choices, who stands where most stand that are mailed.

    Raises:
        NotFound: such a reader would get no mail.
    """
    for wave in sorted(rehearsal.waves, key=lambda one: -one.readers):
        mailed = [group for group in wave.groups if group in wave.grouping.cohort_of]
        most = max(mailed, key=lambda one: one.readers, default=None)
        if most is None:
            continue
        one = ReaderGroup(most.from_seq, tuple(sorted(topics)), language or most.language)
        chosen = wave.selector.choose(one)
        if isinstance(chosen, CohortPlan):
            return RehearsedCohort(chosen, wave, 0)
    raise NotFound("a reader with these choices would get no mail of this edition")


async def _decide(
    session: AsyncSession,
    newsletter: Newsletter,
    schedule: Schedule,
    plan: Moment,
    foreseen: Foreseen,
) -> RehearsedWave:
    """Who gets what of a wave; in the order in which composing asks."""
    wave = await _as_composing(session, newsletter, schedule, plan, foreseen)
    audience, cut_seq = wave.audience, wave.wave.cut_seq
    groups = await load_groups_at(session, audience, foreseen, plan.due_at)
    from_seqs = [group.from_seq for group in groups]
    from_seq = min(from_seqs, default=cut_seq)
    facts = await composing.load_announced(session, newsletter, from_seq, cut_seq)
    facts += foreseen.facts_between(from_seq, cut_seq)
    told = await composing.load_told(session, facts, max(from_seqs, default=0))
    if told:
        audience = replace(audience, told=tuple(article_id for _, article_id, _ in told))
        groups = await load_groups_at(session, audience, foreseen, plan.due_at)
    due_at = wave.edition.due_at or plan.due_at
    notes = {
        language: await load_notes(session, newsletter.id or 0, due_at, language)
        for language in sorted({group.language for group in groups})
    }
    rules = wave.rules(above_of(wave.curation.intro, notes), told_by_story(told))
    selector = Selector(facts, rules, cut_seq)
    grouping = group_readers(groups, selector)
    left_out = await _count_left_out(session, wave, foreseen, groups, grouping)
    return RehearsedWave(wave, groups, selector, grouping, left_out, notes)


async def _as_composing(
    session: AsyncSession,
    newsletter: Newsletter,
    schedule: Schedule,
    plan: Moment,
    foreseen: Foreseen,
) -> Composing:
    # Never added to the session: the same questions, no row.
    edition = plan.edition or Edition(
        id=_NO_EDITION,
        newsletter_id=newsletter.id or 0,
        schedule_id=schedule.id,
        kind=EditionKind.DIGEST,
        period=plan.period or "rehearsal",
        due_at=plan.edition_due_at,
        created_at=foreseen.now,
    )
    cut_seq = edition.cut_seq if edition.cut_seq is not None else foreseen.newest_at(plan.due_at)
    wave = Wave(edition_id=edition.id or 0, zone=plan.zone, due_at=plan.due_at, cut_seq=cut_seq)
    dropped = await composing.load_dropped(session, newsletter.id or 0)
    return Composing(edition, wave, newsletter, schedule, plan.zones, dropped)


async def _count_left_out(
    session: AsyncSession,
    wave: Composing,
    foreseen: Foreseen,
    groups: Sequence[ReaderGroup],
    grouping: Grouping,
) -> dict[str, int]:
    """Why the others of a wave's subscribers get no mail -> how many."""
    audience, at = wave.audience, wave.wave.due_at
    counts = await readers.count_left_out(session, audience)
    if at > foreseen.now:
        resuming = await count_resuming(session, audience, at)
        present = await readers.load_groups(session, audience)
        # Who is up to date by then: all who are mailed now and then have nothing to come.
        settled = sum(one.readers for one in present) + resuming - sum(g.readers for g in groups)
        counts["paused"] = counts.get("paused", 0) - resuming
        counts[_UP_TO_DATE] = counts.get(_UP_TO_DATE, 0) + settled
    without = [
        {readers.WHY_NO_MAIL[left_out.outcome]: group.readers}
        for group, left_out in grouping.left_out.items()
    ]
    return add_up([counts, *without])


async def _describe(
    session: AsyncSession, counts: Mapping[int, Mapping[str, int]]
) -> tuple[RehearsedArticle, ...]:
    ids, described = sorted(counts), []
    for start in range(0, len(ids), _PIECE):
        rows = await session.execute(
            select(
                col(Article.id),
                col(Article.title),
                col(Article.section),
                col(Article.published_at),
                col(Article.state),
            ).where(col(Article.id).in_(ids[start : start + _PIECE]))
        )
        described += [
            RehearsedArticle(
                article_id or 0,
                title,
                section,
                published_at,
                state is ArticleState.SCHEDULED,
                counts[article_id or 0],
            )
            for article_id, title, section, published_at, state in rows.all()
        ]
    return tuple(sorted(described, key=lambda one: (one.published_at, one.id), reverse=True))
