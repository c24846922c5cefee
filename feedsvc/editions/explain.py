"""What is stored about a reader and an article; `why` says what it means. Reads only."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.calendar import Rhythm, next_due_at, next_local_period
from feedsvc.editions.composing import filter_of
from feedsvc.editions.explain_history import Chosen, History
from feedsvc.editions.explain_looks import Asked, load_looks, load_under_way
from feedsvc.editions.wall_clock import find_zone
from feedsvc.editions.why.facts import AskedArticle, AskedReader, Dropped, Facts
from feedsvc.errors import NotFound
from feedsvc.kit.filters import Filter
from feedsvc.model.article import Article, Source
from feedsvc.model.newsletter import DroppedArticle, Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionChange


async def load_facts(
    session: AsyncSession,
    article: Article,
    subscriber_id: int,
    now: datetime,
    newsletter: str | None = None,
) -> list[Facts]:
    """What tells why a person got an article, or did not: by newsletter that they have or had.

    Args:
        article: a stored one.
        newsletter: key of the only one that is asked about.

    Raises:
        NotFound: they have never asked for a newsletter, or not for this one.
    """
    query = (
        select(Subscription, Subscriber, Newsletter, Schedule)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .where(col(Subscription.subscriber_id) == subscriber_id)
        .order_by(col(Newsletter.key))
    )
    if newsletter is not None:
        query = query.where(col(Newsletter.key) == newsletter)
    rows = (await session.execute(query)).all()
    if not rows:
        raise NotFound(f"subscriber {subscriber_id} has never asked for {newsletter or 'anything'}")
    asked = await _load_article(session, article)
    return [await _load_one(session, article, asked, row, now) for row in rows]


async def _load_article(session: AsyncSession, article: Article) -> AskedArticle:
    source = await session.get(Source, article.source)
    return AskedArticle(
        id=article.id or 0,
        title=article.title,
        state=article.state,
        seq=article.seq,
        announce=article.announce,
        source=article.source,
        section=article.section,
        topics=tuple(article.topics),
        language=article.language,
        published_at=article.published_at,
        stored_at=article.stored_at,
        revised_at=article.revised_at,
        withdrawn_at=article.withdrawn_at,
        first_scan_at=source.first_complete_scan_at if source else None,
    )


async def _load_one(
    session: AsyncSession, article: Article, asked: AskedArticle, row: Any, now: datetime
) -> Facts:
    subscription, person, newsletter, schedule = row
    history = await _load_history(session, subscription, schedule)
    zone = find_zone(subscription.zone, schedule.zone).key if schedule.own_zone else schedule.zone
    looks = await load_looks(
        session, Asked(article, subscription, newsletter, schedule, zone, history)
    )
    dropped = await session.get(DroppedArticle, (newsletter.id, article.id))
    return Facts(
        article=asked,
        reader=_describe(subscription, person, newsletter, schedule, zone, history),
        now=now,
        refused_by=_refusals(newsletter, article),
        dropped=Dropped(dropped.at, dropped.by) if dropped else None,
        looks=looks,
        jumps=history.jumps,
        under_way=await load_under_way(session, subscription.id or 0),
        next_due_at=_next_due_at(schedule, zone, now),
        each_article=schedule.is_each_article,
    )


async def _load_history(
    session: AsyncSession, subscription: Subscription, schedule: Schedule
) -> History:
    rows = await session.execute(
        select(SubscriptionChange)
        .where(col(SubscriptionChange.subscription_id) == subscription.id)
        .order_by(col(SubscriptionChange.id))
    )
    present = Chosen(
        schedule.key, tuple(subscription.topics), subscription.language, subscription.zone
    )
    return History(present, rows.scalars().all())


def _describe(
    subscription: Subscription,
    person: Subscriber,
    newsletter: Newsletter,
    schedule: Schedule,
    zone: str,
    history: History,
) -> AskedReader:
    confirmed = history.beginnings[-1][1] if history.beginnings else None
    return AskedReader(
        subscriber_id=person.id or 0,
        subscription_id=subscription.id or 0,
        newsletter=newsletter.key,
        newsletter_retired=newsletter.retired,
        schedule=schedule.key,
        schedule_retired=schedule.retired,
        zone=zone,
        state=subscription.state,
        address_state=person.state,
        cursor=subscription.cursor,
        topics=tuple(subscription.topics),
        topics_since=history.topics_since,
        state_since=history.state_since,
        paused_until=subscription.paused_until,
        resume=subscription.resume,
        confirmed_at=subscription.confirmed_at,
        confirmed_seq=confirmed,
        carry_max=newsletter.carry_max,
        min_items=schedule.min_items,
    )


def _refusals(newsletter: Newsletter, article: Article) -> tuple[str, ...]:
    """The parts of the newsletter's choice that do not hold for the article, as a filter's text."""
    parts = (Filter(part) for part in filter_of(newsletter).parts)
    return tuple(str(part) for part in parts if not part.matches(article))


def _next_due_at(schedule: Schedule, zone: str, now: datetime) -> datetime | None:
    rhythm = Rhythm.of(schedule)
    if not schedule.own_zone:
        return next_due_at(rhythm, now)
    period = next_local_period(rhythm, zone, now)
    return period.due_at if period else None
