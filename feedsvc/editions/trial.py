"""What a test mail shows: the next edition as most of its readers would get it. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.calendar import Rhythm, next_due_at
from feedsvc.editions.compose import Item, arrange, count_new, select_items
from feedsvc.editions.composing import Composing, ids_of, load_announced, load_articles
from feedsvc.editions.drafts import Span, as_if_composing, load_span
from feedsvc.editions.notes import load_notes
from feedsvc.editions.progress import load_edition
from feedsvc.editions.readers import is_reader
from feedsvc.editions.registry import NewsletterRow
from feedsvc.errors import NotFound
from feedsvc.kit.texts import negotiate
from feedsvc.model.article import Article, Counter
from feedsvc.model.delivery import Delivery
from feedsvc.model.edition import (
    Cohort,
    Edition,
    EditionKind,
    EditionState,
    ItemOutcome,
    Letter,
    Wave,
)
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription

#: Articles beyond the limit that a page lists.
_MOST_LISTED = 200
#: States of editions that are not composed yet.
_AHEAD = (EditionState.DRAFT, EditionState.COMPOSING)
#: Places where readers stand that are looked at.
_MOST_PLACES = 50


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest to be rendered."""

    schedule: Schedule | None
    articles: tuple[Article, ...]
    more: tuple[Article, ...]
    more_count: int
    due_at: datetime
    #: Its nominal day, where each reader has it at an hour of their own zone.
    day: date | None
    intro: str
    notes: tuple[str, ...]
    #: It has fewer articles than make a mail: they would wait for more.
    too_few: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What a test mail shows; one of `digest`, `letter` and `stored`."""

    newsletter: Newsletter
    kind: EditionKind
    language: str
    #: None: it has not been made yet.
    edition_id: int | None
    digest: Digest | None = None
    letter: Letter | None = None
    #: Of a correction: what is corrected.
    article: Article | None = None
    #: As it was, or is, mailed.
    stored: Cohort | None = None


async def plan_next(
    session: AsyncSession,
    row: NewsletterRow,
    schedule_key: str | None,
    now: datetime,
    language: str | None,
) -> Trial:
    """The next edition of a schedule: its draft, if there is one, or what there would be now.

    Args:
        schedule_key: may be None where a newsletter has one.

    Raises:
        NotFound: there is no such schedule, or nothing new for an edition to hold.
    """
    newsletter, schedule = row.newsletter, _choose(row, schedule_key)
    draft = await session.scalar(
        select(Edition)
        .where(col(Edition.schedule_id) == schedule.id, col(Edition.state) == EditionState.DRAFT)
        .order_by(col(Edition.id))
        .limit(1)
    )
    if draft is not None:
        return await plan_edition(session, row, draft.id or 0, now, language)
    newest = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    # Never added to the session: the same questions, no row.
    edition = Edition(
        newsletter_id=newsletter.id or 0,
        schedule_id=schedule.id,
        period="",
        due_at=next_due_at(Rhythm.of(schedule), now) if schedule.cron else now,
        cut_seq=newest or 0,
        created_at=now,
    )
    return await _plan_digest(session, edition, newsletter, now, language)


async def plan_edition(
    session: AsyncSession, row: NewsletterRow, edition_id: int, now: datetime, language: str | None
) -> Trial:
    """An edition as it stands: a draft as it would go now, others as they were composed.

    Raises:
        NotFound: the newsletter has no such edition, or it has nothing to show.
    """
    newsletter, edition = row.newsletter, await load_edition(session, edition_id)
    if edition.newsletter_id != newsletter.id:
        raise NotFound(f"edition {edition_id} is none of {newsletter.key}")
    stored = await _load_stored(session, edition_id, language)
    if stored is not None:
        return Trial(newsletter, edition.kind, stored.language, edition_id, stored=stored)
    if edition.state not in _AHEAD:
        raise NotFound(f"edition {edition_id} is {edition.state}, and holds no mail")
    letter = await session.get(Letter, edition_id)
    if letter is not None:
        article = await session.get(Article, letter.article_id) if letter.article_id else None
        spoken = negotiate([language or newsletter.language])
        return Trial(newsletter, edition.kind, spoken, edition_id, letter=letter, article=article)
    return await _plan_digest(session, edition, newsletter, now, language)


async def _plan_digest(
    session: AsyncSession,
    edition: Edition,
    newsletter: Newsletter,
    now: datetime,
    language: str | None,
) -> Trial:
    due_at = edition.due_at or now
    cut_seq = edition.cut_seq
    if cut_seq is None:
        waves = select(func.max(col(Wave.cut_seq))).where(col(Wave.edition_id) == edition.id)
        cut_seq = await session.scalar(waves) or 0
    composing = await as_if_composing(session, edition, newsletter, due_at, cut_seq)
    items = await _select(session, composing)
    spoken = negotiate([language or newsletter.language])
    schedule, newsletter_id = composing.schedule, newsletter.id or 0
    more = ids_of(items, ItemOutcome.AND_MORE)
    digest = Digest(
        schedule=schedule,
        articles=tuple(await load_articles(session, ids_of(items, ItemOutcome.MAILED))),
        more=tuple(await load_articles(session, more[:_MOST_LISTED])),
        more_count=len(more),
        due_at=due_at,
        day=date.fromisoformat(edition.period[:10]) if _is_local(schedule, edition) else None,
        intro=composing.curation.intro,
        notes=tuple(await load_notes(session, newsletter_id, due_at, spoken)),
        too_few=count_new(items) < composing.rules().min_items,
    )
    return Trial(newsletter, edition.kind, spoken, edition.id, digest=digest)


def _is_local(schedule: Schedule | None, edition: Edition) -> bool:
    return schedule is not None and schedule.own_zone and bool(edition.period)


async def _select(session: AsyncSession, composing: Composing) -> Sequence[Item]:
    """What most readers get who get something; without readers, all since the edition before."""
    edition, cut_seq, rules = composing.edition, composing.wave.cut_seq, composing.rules()
    span = await load_span(session, edition.newsletter_id, edition.schedule_id, cut_seq)
    places = _by_readers(span)
    if not places and not await _has_readers(session, edition):
        places = [await _load_last_cut(session, composing)]
    lowest = min(places, default=cut_seq)
    facts = await load_announced(session, composing.newsletter, lowest, cut_seq)
    arranged = arrange(facts, rules)
    for from_seq in places:
        items = select_items(arranged, rules, from_seq=from_seq, cut_seq=cut_seq)
        if count_new(items):
            return items
    raise NotFound(
        f"{composing.newsletter.key} has nothing new for its readers yet, so there is no mail to"
        " test; articles that were there at a source's first scan are not mailed"
    )


def _by_readers(span: Span) -> list[int]:
    """Where readers stand: first where most do, then where they lack least."""
    places = sorted(span.standing.items(), key=lambda one: (-one[1], -one[0]))
    return [cursor for cursor, _ in places[:_MOST_PLACES]]


async def _has_readers(session: AsyncSession, edition: Edition) -> bool:
    anybody = (
        select(col(Subscription.id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(is_reader(edition.newsletter_id, edition.schedule_id))
        .limit(1)
    )
    return (await session.execute(anybody)).first() is not None


async def _load_last_cut(session: AsyncSession, composing: Composing) -> int:
    schedule = composing.schedule
    gone = (EditionState.DRAFT, EditionState.CANCELLED, EditionState.SKIPPED)
    newest = (
        select(func.max(col(Wave.cut_seq)))
        .join(Edition, col(Edition.id) == col(Wave.edition_id))
        .where(
            col(Edition.newsletter_id) == composing.edition.newsletter_id,
            col(Edition.kind) == EditionKind.DIGEST,
            col(Edition.state).not_in(gone),
            col(Edition.id) != (composing.edition.id or 0),
        )
    )
    if schedule is None:
        return await session.scalar(newest) or 0
    # What is sent by hand is for all schedules.
    for_it = or_(col(Edition.schedule_id) == schedule.id, col(Edition.schedule_id).is_(None))
    last = await session.scalar(newest.where(for_it))
    return max(last or 0, schedule.since_seq)


async def _load_stored(
    session: AsyncSession, edition_id: int, language: str | None
) -> Cohort | None:
    """The rendered mail of an edition that goes to most, in a language if that is asked for."""
    mails = (
        select(func.count())
        .where(col(Delivery.cohort_id) == col(Cohort.id), col(Delivery.edition_id) == edition_id)
        .correlate(Cohort)
        .scalar_subquery()
    )
    query = select(Cohort).where(col(Cohort.edition_id) == edition_id)
    if language is not None:
        spoken = negotiate([language])
        query = query.where(func.substr(col(Cohort.language), 1, 2) == spoken)
    return await session.scalar(query.order_by(mails.desc(), col(Cohort.id)).limit(1))


def _choose(row: NewsletterRow, key: str | None) -> Schedule:
    if key is None and len(row.schedules) == 1:
        return row.schedules[0]
    for schedule in row.schedules:
        if schedule.key == key:
            return schedule
    names = ", ".join(schedule.key for schedule in row.schedules) or "none"
    if key is None:
        raise NotFound(f"{row.newsletter.key} has several schedules: name one of {names}")
    raise NotFound(f"{row.newsletter.key} has no schedule {key!r} (there are: {names})")
