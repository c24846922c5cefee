"""What a draft would hold if it went as it is now: decided as composing decides it. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.compose import ArticleFacts, Item, arrange, select_items
from feedsvc.editions.composing import Composing, load_announced, load_dropped
from feedsvc.editions.readers import is_reader
from feedsvc.model.edition import Edition, Wave
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription


@dataclass(frozen=True, slots=True)
class Span:
    """How far the readers of an edition have got, up to its cut."""

    cut_seq: int
    #: Cursor -> how many stand there; those who have all up to the cut are left out.
    standing: dict[int, int]

    @property
    def from_seq(self) -> int:
        """Where the one who lacks most stands."""
        return min(self.standing, default=self.cut_seq)

    @property
    def readers(self) -> int:
        """How many lack something."""
        return sum(self.standing.values())

    def count_lacking(self, seq: int) -> int:
        """How many have not been mailed what has this number."""
        return sum(count for cursor, count in self.standing.items() if cursor < seq)


@dataclass(frozen=True, slots=True)
class Draft:
    """An edition's articles before it is composed."""

    span: Span
    #: By id; all that its readers may lack.
    articles: dict[int, ArticleFacts]
    #: What a reader gets who lacks all of it and has chosen no topics, in mail order.
    items: tuple[Item, ...]
    #: Of the newsletter's articles: those kept out of it for good.
    dropped: frozenset[int]


async def load_span(
    session: AsyncSession, newsletter_id: int, schedule_id: int | None, cut_seq: int
) -> Span:
    """Where the readers of a schedule stand below a cut; of all schedules, for None."""
    rows = await session.execute(
        select(col(Subscription.cursor), func.count())
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(is_reader(newsletter_id, schedule_id), col(Subscription.cursor) < cut_seq)
        .group_by(col(Subscription.cursor))
    )
    return Span(cut_seq, {cursor or 0: count for cursor, count in rows.all()})


async def load_draft(session: AsyncSession, edition: Edition) -> Draft:
    """What a draft's readers would get."""
    newsletter = await session.get_one(Newsletter, edition.newsletter_id)
    cut_seq = edition.cut_seq or 0
    span = await load_span(session, edition.newsletter_id, edition.schedule_id, cut_seq)
    composing = await as_if_composing(session, edition, newsletter, edition.created_at, cut_seq)
    facts, rules = (
        await load_announced(session, newsletter, span.from_seq, cut_seq),
        composing.rules(),
    )
    items = select_items(arrange(facts, rules), rules, from_seq=span.from_seq, cut_seq=cut_seq)
    return Draft(span, {one.id: one for one in facts}, tuple(items), composing.dropped)


async def as_if_composing(
    session: AsyncSession,
    edition: Edition,
    newsletter: Newsletter,
    due_at: datetime,
    cut_seq: int,
) -> Composing:
    """An edition as it is seen when it is composed, with a wave that is no row."""
    schedule = None
    if edition.schedule_id is not None:
        schedule = await session.get_one(Schedule, edition.schedule_id)
    wave = Wave(edition_id=0, zone="", due_at=due_at, cut_seq=cut_seq)
    dropped = await load_dropped(session, edition.newsletter_id)
    return Composing(edition, wave, newsletter, schedule, dropped=dropped)
