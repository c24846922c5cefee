"""The publisher's side of WebSub: hubs elsewhere are told that documents have changed.

How they are told is not part of the standard; every public hub takes this form. Of several
versions that a hub was not told of, it is told of the newest.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

from sqlalchemy import and_, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.hub.delivery import Outcome, next_delivery_at
from feedsvc.feeds.hub.topics import Topics
from feedsvc.model.feed import FeedDocument, FeedFormat, document_path
from feedsvc.model.hub import HubPing

#: After this, a claim of which nothing has been heard is anybody's.
CLAIM_LASTS = timedelta(minutes=3)
_LOOKED_AT = 50
_PIECE = 500


@dataclass(frozen=True, slots=True)
class Ping:
    """A hub in the hands of this process, to be told of one document."""

    hub: str
    #: Path of the document.
    topic: str
    etag: str
    attempt: int
    until: datetime

    @property
    def host(self) -> str:
        """Who is asked, with the port where it is not the usual one."""
        return urlsplit(self.hub).netloc


def ping_body(topic_url: str) -> bytes:
    """The form that says that a topic has changed; hubs know it by one name or the other."""
    return urlencode({"hub.mode": "publish", "hub.url": topic_url, "hub.topic": topic_url}).encode()


async def put_pings(
    session: AsyncSession, hubs: Collection[str], etags: Mapping[str, str], at: datetime
) -> None:
    """Note that hubs are to be told of versions; what they know already adds nothing.

    Args:
        session: a write transaction.
        hubs: all that are configured.
        etags: entity tag of each version, by path of the document.
        at: when to tell them.
    """
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row, insert = HubPing, make(HubPing)
    retried = and_(col(row.attempt) > 0, col(row.next_at).is_not(None))
    statement = insert.on_conflict_do_update(
        index_elements=["hub", "topic"],
        set_={
            "etag": insert.excluded.etag,
            # One that is being retried keeps its time.
            "next_at": case((retried, col(row.next_at)), else_=insert.excluded.next_at),
        },
        where=col(row.etag) != insert.excluded.etag,
    )
    rows = [
        {"hub": hub, "topic": path, "etag": etag, "next_at": at, "attempt": 0}
        for hub in hubs
        for path, etag in etags.items()
    ]
    for start in range(0, len(rows), _PIECE):
        await session.execute(statement, rows[start : start + _PIECE])


async def put_missed(
    session: AsyncSession, topics: Topics, hubs: Collection[str], now: datetime
) -> None:
    """Note what a process that died did not come to note, and forget hubs that are no more."""
    await session.execute(delete(HubPing).where(col(HubPing.hub).not_in(sorted(hubs))))
    if not hubs:
        return
    document = FeedDocument
    found = await session.execute(
        select(col(document.feed), col(document.format), col(document.etag)).where(
            col(document.format).in_([one.value for one in FeedFormat])
        )
    )
    etags = {document_path(feed, FeedFormat(name)): etag for feed, name, etag in found.all()}
    told = {path: etag for path, etag in etags.items() if topics.read_path(path) is not None}
    await put_pings(session, hubs, told, now)


async def next_ping_at(session: AsyncSession) -> datetime | None:
    """When the next hub is to be told of something, which may be past; None when none is."""
    at: datetime | None = await session.scalar(select(func.min(col(HubPing.next_at))))
    return at


async def claim_pings(
    session: AsyncSession,
    hubs: Collection[str],
    now: datetime,
    free: int,
    busy: Collection[str],
    most_of_host: int,
) -> list[Ping]:
    """Take up to `free` pings that are due; see `claim_due` of the hub's subscriptions."""
    row = HubPing
    working = list(busy)
    open_hubs = [hub for hub in hubs if working.count(urlsplit(hub).netloc) < most_of_host]
    found = await session.execute(
        select(row)
        .where(col(row.next_at) <= now, col(row.hub).in_(open_hubs))
        .order_by(col(row.next_at), col(row.hub), col(row.topic))
        .limit(_LOOKED_AT)
        .with_for_update(skip_locked=True)
    )
    pings: list[Ping] = []
    for one in found.scalars():
        host = urlsplit(one.hub).netloc
        if len(pings) < free and working.count(host) < most_of_host:
            working.append(host)
            one.attempt += 1
            one.next_at = now + CLAIM_LASTS
            pings.append(Ping(one.hub, one.topic, one.etag, one.attempt, one.next_at))
    return pings


async def settle_ping(session: AsyncSession, ping: Ping, outcome: Outcome, now: datetime) -> None:
    """Note what came of a ping. What a hub would not hear for a day, it is not told any more."""
    again_at = None if outcome.ok else next_delivery_at(ping.attempt, outcome, now)
    row = HubPing
    newer = col(row.etag) != ping.etag
    await session.execute(
        update(row)
        .where(
            col(row.hub) == ping.hub,
            col(row.topic) == ping.topic,
            col(row.next_at) == ping.until,
        )
        .values(
            next_at=again_at if again_at is not None else case((newer, now), else_=None),
            attempt=ping.attempt if again_at is not None else 0,
            reply=outcome.reply if outcome.ok or again_at else f"{outcome.reply}; given up",
        )
        .execution_options(synchronize_session=False)
    )
