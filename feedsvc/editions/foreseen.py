"""What will be otherwise at a moment to come: articles published, pauses over, mails arrived.

Numbers are given as publishing gives them, and pauses end as they do when their day has come; but
nothing is written.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.cohorts import ReaderGroup
from feedsvc.editions.compose import ArticleFacts
from feedsvc.editions.composing import filter_of
from feedsvc.editions.readers import UNREACHABLE, Audience, load_groups
from feedsvc.model import article as articles
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.delivery import HAS_OPEN_WINDOW, OPEN_STATES, Delivery, DeliveryState
from feedsvc.model.edition import CohortItem, ItemOutcome
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.subscriber import Resume, Subscriber, Subscription, SubscriptionState

_SHOWN = (ItemOutcome.MAILED, ItemOutcome.AND_MORE)
_ARRIVING = (DeliveryState.SENT, DeliveryState.HELD, *OPEN_STATES)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The articles there will be, and their numbers."""

    now: datetime
    #: The newest number given so far.
    newest_seq: int
    #: When the articles that are scheduled come, earliest first: those of all newsletters.
    times: tuple[datetime, ...] = ()
    #: Those of them that the newsletter announces, as they will be.
    facts: tuple[ArticleFacts, ...] = ()

    def newest_at(self, when: datetime) -> int:
        """The newest number that will have been given then."""
        return self.newest_seq + bisect_right(self.times, when)

    def facts_between(self, from_seq: int, cut_seq: int) -> list[ArticleFacts]:
        """Of the scheduled articles those with numbers of a window."""
        return [one for one in self.facts if from_seq < one.seq <= cut_seq]


async def load_foreseen(
    session: AsyncSession, newsletter: Newsletter, now: datetime, until: datetime
) -> Foreseen:
    """The articles that are scheduled for publication by an instant."""
    newest = await session.scalar(
        select(col(articles.Counter.value)).where(col(articles.Counter.name) == "seq")
    )
    due = (col(Article.state) == ArticleState.SCHEDULED, col(Article.published_at) <= until)
    rows = await session.execute(
        select(col(Article.id), col(Article.published_at))
        .where(*due)
        .order_by(col(Article.published_at), col(Article.id))
    )
    numbers: dict[int | None, int] = {}
    times = []
    for number, (article_id, published_at) in enumerate(rows.all(), (newest or 0) + 1):
        numbers[article_id] = number
        times.append(published_at)
    dialect = session.get_bind().dialect.name
    matching = await session.execute(
        select(Article).where(
            *due, col(Article.announce).is_(True), *filter_of(newsletter).to_sql(dialect)
        )
    )
    facts = [_as_published(one, numbers[one.id]) for one in matching.scalars()]
    return Foreseen(now, newest or 0, tuple(times), tuple(facts))


def _as_published(article: Article, seq: int) -> ArticleFacts:
    # A copy: the row itself stays as it is.
    copy = Article(**(article.model_dump() | {"seq": seq, "state": ArticleState.PUBLISHED}))
    return ArticleFacts.of(copy)


async def load_groups_at(
    session: AsyncSession, audience: Audience, foreseen: Foreseen, at: datetime
) -> list[ReaderGroup]:
    """The readers of a wave as they will stand at an instant, by group.

    For the present: those that composing finds. For later: mails that are on their way are taken
    to arrive by then.
    """
    groups = await load_groups(session, audience)
    if at <= foreseen.now:
        return groups
    readers = Counter({replace(group, readers=0): group.readers for group in groups})
    for group, stands_at, had, count in await _load_arriving(session, audience):
        readers[group] -= count
        if stands_at < audience.cut_seq:
            readers[replace(group, from_seq=stands_at, carried=0, had=had)] += count
    for group, resume, until, count in await _load_resuming(session, audience, at):
        moved = group
        if resume is Resume.NOW:
            from_seq = max(group.from_seq, foreseen.newest_at(max(until, foreseen.now)))
            moved = replace(group, from_seq=from_seq, carried=0)
        if moved.from_seq < audience.cut_seq:
            readers[moved] += count
    return [replace(group, readers=count) for group, count in readers.items() if count > 0]


async def count_resuming(session: AsyncSession, audience: Audience, at: datetime) -> int:
    """How many of those who have paused will have gone on by an instant."""
    count = await session.scalar(
        select(func.count())
        .select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(
            audience.subscribed(),
            _resumes_by(at),
            col(Subscriber.state).not_in(UNREACHABLE),
        )
    )
    return count or 0


def _group_columns(audience: Audience) -> list[Any]:
    return [
        col(Subscription.cursor),
        col(Subscription.topics),
        col(Subscription.language),
        audience.carried().label("carried"),
        audience.had().label("had"),
    ]


def _group(row: Sequence[Any]) -> ReaderGroup:
    cursor, topics, language, carried, had = row
    return ReaderGroup(cursor or 0, tuple(topics), language, carried, had)


async def _load_arriving(
    session: AsyncSession, audience: Audience
) -> list[tuple[ReaderGroup, int, int, int]]:
    """Readers with a mail on its way: group, where they will stand, what they will have had."""
    columns = _group_columns(audience)
    rows = await session.execute(
        select(
            *columns, col(Delivery.cut_seq), _will_have_had(audience).label("will"), func.count()
        )
        .select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Delivery, col(Delivery.subscription_id) == col(Subscription.id))
        .where(
            audience.holds(),
            audience.lacks(),
            HAS_OPEN_WINDOW,
            col(Delivery.from_seq) == col(Subscription.cursor),
        )
        .group_by(*columns[:3], text("4"), text("5"), col(Delivery.cut_seq), text("7"))
    )
    return [(_group(row[:5]), row[5] or 0, row[6], row[7]) for row in rows.all()]


def _will_have_had(audience: Audience) -> ColumnElement[int]:
    """As `Audience.had`, with what is on its way."""
    bits: ColumnElement[int] = literal(0)
    for bit, article_id in enumerate(audience.told):
        got = (
            select(col(CohortItem.article_id))
            .select_from(CohortItem)
            .where(
                col(CohortItem.article_id) == article_id,
                col(CohortItem.outcome).in_(_SHOWN),
                col(CohortItem.cohort_id).in_(
                    select(_their_mail.c.cohort_id)
                    .where(
                        _their_mail.c.subscription_id == col(Subscription.id),
                        _their_mail.c.state.in_(_ARRIVING),
                    )
                    .correlate(Subscription)
                ),
            )
            .correlate(Subscription)
            .exists()
        )
        bits = bits + case((got, 1 << bit), else_=0)
    return bits


#: The mails of a reader, apart from the one that is on its way.
_their_mail = Delivery.__table__.alias("their_mail")  # type: ignore[attr-defined]


async def _load_resuming(
    session: AsyncSession, audience: Audience, at: datetime
) -> list[tuple[ReaderGroup, Resume, datetime, int]]:
    """Readers whose pause will be over: group, from where they go on, when, and how many."""
    columns = _group_columns(audience)
    rows = await session.execute(
        select(*columns, col(Subscription.resume), col(Subscription.paused_until), func.count())
        .select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(audience.subscribed(), _resumes_by(at), audience.lacks())
        .group_by(
            *columns[:3],
            text("4"),
            text("5"),
            col(Subscription.resume),
            col(Subscription.paused_until),
        )
    )
    return [(_group(row[:5]), row[5], row[6], row[7]) for row in rows.all()]


def _resumes_by(at: datetime) -> ColumnElement[bool]:
    resumes: ColumnElement[bool] = (col(Subscription.state) == SubscriptionState.PAUSED) & (
        col(Subscription.paused_until) <= at
    )
    return resumes
