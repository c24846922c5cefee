"""Which subscriptions are owed a version: of what was just published, and of what was missed."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.hub.topics import Topics
from feedsvc.feeds.hub.versions import find_etag
from feedsvc.model.hub import HubState, HubSubscription

_PIECE = 500


async def find_subscribed(
    session: AsyncSession, topics: Topics, etags: Mapping[str, str]
) -> dict[str, str]:
    """Which topics with subscribers these documents are: entity tag by path of the topic.

    Args:
        session: any.
        topics: says under which paths a document can have been subscribed to.
        etags: entity tag of each document, by its path.
    """
    by_topic: dict[str, str] = {}
    for path, etag in etags.items():
        topic = topics.read_path(path)
        if topic is not None:
            by_topic.update(dict.fromkeys(topics.paths_of(topic), etag))
    paths, row = sorted(by_topic), HubSubscription
    found: dict[str, str] = {}
    for start in range(0, len(paths), _PIECE):
        subscribed = await session.scalars(
            select(col(row.topic))
            .where(
                col(row.topic).in_(paths[start : start + _PIECE]),
                col(row.state) == HubState.ACTIVE,
            )
            .distinct()
        )
        found.update({path: by_topic[path] for path in subscribed})
    return found


async def owe(session: AsyncSession, etags: Mapping[str, str], at: datetime) -> None:
    """Note that versions are there to be delivered.

    A subscription that is being retried keeps its time: a version more is no reason to hurry.

    Args:
        session: a write transaction.
        etags: entity tag of each new version, by path of the topic.
        at: when to deliver.
    """
    row = HubSubscription
    busy = or_(col(row.attempt) > 0, col(row.asked_mode).is_not(None))
    for path, etag in etags.items():
        await session.execute(
            update(row)
            .where(
                col(row.topic) == path,
                col(row.state) == HubState.ACTIVE,
                func.coalesce(col(row.delivered), "") != etag,
                func.coalesce(col(row.owed), "") != etag,
            )
            .values(
                owed=etag,
                next_at=case((busy & col(row.next_at).is_not(None), col(row.next_at)), else_=at),
            )
            .execution_options(synchronize_session=False)
        )


async def owe_missed(session: AsyncSession, topics: Topics, now: datetime) -> None:
    """Note what a process that died did not come to note: versions, and topics that are no more."""
    row = HubSubscription
    active = col(row.state) == HubState.ACTIVE
    for path in await session.scalars(select(col(row.topic)).where(active).distinct()):
        topic = topics.read_path(path)
        etag = await find_etag(session, topic) if topic else None
        missed = active & (col(row.topic) == path)
        if etag is not None:
            missed &= col(row.owed).is_(None) & (func.coalesce(col(row.delivered), "") != etag)
        await session.execute(
            update(row)
            .where(missed)
            .values(owed=etag, next_at=now)
            .execution_options(synchronize_session=False)
        )
