"""Takes requests to the hub into rows. What follows from them is done later, by rows.py."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.config_feeds import WebSubSettings
from feedsvc.errors import HubRequestRefused
from feedsvc.feeds.hub.hosts import is_spent
from feedsvc.feeds.hub.requests import HubMode, SubscriptionRequest, grant_lease
from feedsvc.feeds.hub.topics import Topic, Topics
from feedsvc.feeds.hub.versions import find_etag
from feedsvc.model.hub import HubState, HubSubscription

#: Requests that wait to be confirmed, by whomever.
MOST_WAITING = 1000
#: Subscriptions of one host to all topics together, and of all hosts.
MOST_OF_A_HOST = 5000
MOST_OF_ALL = 50_000


async def take_request(
    session: AsyncSession,
    request: SubscriptionRequest,
    topics: Topics,
    settings: WebSubSettings,
    now: datetime,
) -> None:
    """Note what is asked for; the callback is asked about it soon. A repeated request is fine.

    What a subscription is does not change before its callback has confirmed (WebSub §5.1).

    Args:
        session: a write transaction.
        request: as it was read.
        topics: what can be subscribed to.
        settings: the limits.
        now: the present.

    Raises:
        HubRequestRefused: the topic is none of ours (404), or there are too many (429, 503).
    """
    topic = topics.read_url(request.topic)
    etag = await find_etag(session, topic) if topic else None
    if topic is None or etag is None:
        raise HubRequestRefused(
            404, 'hub.topic is not the address of a feed of this site (its rel="self" link)'
        )
    if await is_spent(session, request.callback_host, now):
        raise HubRequestRefused(429, "too many requests for this host were not confirmed")
    row = await _find(session, topic.path, request.callback)
    if row is None or row.state is HubState.ENDED:
        if request.mode is HubMode.UNSUBSCRIBE:
            return  # there is nothing to end, and nobody to be asked
        await _check_room(session, topic, request.callback_host, settings)
        row = row or await _insert(session, topic.path, request, now)
        row.state, row.delivered, row.owed, row.attempt = HubState.VERIFYING, etag, None, 0
        row.lease_until = row.reply = None
    row.asked_mode = request.mode.value
    row.asked_secret = request.secret
    row.asked_lease_seconds = grant_lease(request.lease_seconds, settings.lease_days)
    row.next_at = now


async def _find(session: AsyncSession, path: str, callback: str) -> HubSubscription | None:
    found = await session.execute(
        select(HubSubscription)
        .where(col(HubSubscription.topic) == path, col(HubSubscription.callback) == callback)
        .with_for_update()
    )
    return found.scalar_one_or_none()


async def _insert(
    session: AsyncSession, path: str, request: SubscriptionRequest, now: datetime
) -> HubSubscription:
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    await session.execute(
        make(HubSubscription)
        .values(
            topic=path,
            callback=request.callback,
            callback_host=request.callback_host,
            state=HubState.VERIFYING,
            attempt=0,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["topic", "callback"])
    )
    row = await _find(session, path, request.callback)
    assert row is not None
    return row


async def _check_room(
    session: AsyncSession, topic: Topic, host: str, settings: WebSubSettings
) -> None:
    """SECURITY: what strangers may have us keep and do is bounded, one by one and together."""
    row = HubSubscription
    alive = col(row.state) != HubState.ENDED
    of_host = alive & (col(row.callback_host) == host)
    counts = (
        await session.execute(
            select(
                func.count().filter(of_host & (col(row.topic) == topic.path)),
                func.count().filter(of_host),
                func.count().filter(col(row.state) == HubState.VERIFYING),
                func.count().filter(alive),
            ).select_from(row)
        )
    ).one()
    if counts[0] >= settings.callbacks_per_host or counts[1] >= MOST_OF_A_HOST:
        raise HubRequestRefused(429, "this host has as many subscriptions as it may have")
    if counts[2] >= MOST_WAITING or counts[3] >= MOST_OF_ALL:
        raise HubRequestRefused(503, "the hub has its hands full; try again later")
