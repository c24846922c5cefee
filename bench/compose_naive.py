"""Composing as one would write it first: reader by reader, a query and a row for each.

It knows nothing of open mails, crashes or stories, and renders each different mail once, as ours.
"""

import asyncio
import time

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from bench.compose_world import AT, World
from feedsvc.app import App
from feedsvc.config_file import load_settings
from feedsvc.messages.digests import DigestRenderer
from feedsvc.model.article import Article
from feedsvc.model.delivery import Delivery
from feedsvc.model.edition import Cohort, Edition, EditionState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

#: Readers in one transaction.
_TOGETHER = 100


def run_naive(world: World) -> float:
    """Seconds it took for all readers of a world."""
    return asyncio.run(_run(world))


async def _run(world: World) -> float:
    loaded = load_settings(world.config, {}, world.folder)
    async with App.open(loaded, clock=lambda: AT) as app:
        settings = app.settings
        digests = DigestRenderer(
            app.templates, settings.base_url, settings.title, settings.time_zone
        )
        begin = time.perf_counter()
        async with app.database.write() as session:
            newsletter = (await session.execute(select(Newsletter))).scalar_one()
            edition = Edition(
                newsletter_id=newsletter.id or 0,
                period="naive",
                state=EditionState.SENDING,
                created_at=AT,
            )
            session.add(edition)
            await session.flush()
        async with app.database.read() as session:
            rows = await session.execute(select(col(Subscription.id)))
            ids = [row[0] or 0 for row in rows.all()]
        mails: dict[tuple[object, ...], int] = {}
        for start in range(0, len(ids), _TOGETHER):
            async with app.database.write() as session:
                for subscription_id in ids[start : start + _TOGETHER]:
                    await _mail(digests, session, newsletter, edition, subscription_id, mails)
        return time.perf_counter() - begin


async def _mail(
    digests: DigestRenderer,
    session: AsyncSession,
    newsletter: Newsletter,
    edition: Edition,
    subscription_id: int,
    mails: dict[tuple[object, ...], int],
) -> None:
    subscription = await session.get_one(Subscription, subscription_id)
    subscriber = await session.get_one(Subscriber, subscription.subscriber_id)
    if subscription.state is not SubscriptionState.ACTIVE:
        return
    found = await session.execute(
        select(Article)
        .where(col(Article.seq) > (subscription.cursor or 0), col(Article.announce).is_(True))
        .order_by(col(Article.published_at).desc())
    )
    wanted = set(subscription.topics)
    articles = [one for one in found.scalars() if not wanted or wanted & set(one.topics)]
    if not articles:
        return
    key = (subscription.schedule_id, subscription.language, *(one.id for one in articles))
    if key not in mails:
        schedule = await session.get(Schedule, subscription.schedule_id)
        limit = newsletter.max_items
        mail = digests.render(
            newsletter,
            schedule,
            articles[:limit],
            language=subscription.language,
            more=articles[limit:],
            more_count=len(articles[limit:]),
            due_at=AT,
        )
        cohort = Cohort(
            edition_id=edition.id or 0,
            content_key=str(len(mails)),
            language=subscription.language,
            theme="plain",
            subject=mail.subject,
            html=mail.html,
            text=mail.text,
            page=mail.page,
        )
        session.add(cohort)
        await session.flush()
        mails[key] = cohort.id or 0
    session.add(
        Delivery(
            edition_id=edition.id,
            subscriber_id=subscriber.id or 0,
            subscription_id=subscription.id,
            cohort_id=mails[key],
            from_seq=subscription.cursor,
            cut_seq=max(one.seq or 0 for one in articles),
            next_at=AT,
            expires_at=AT,
            changed_at=AT,
        )
    )
