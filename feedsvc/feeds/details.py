"""What is stored of a feed, for the operator: documents, archive, and who is told of changes."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.feed import (
    Feed,
    FeedArchive,
    FeedDocument,
    FeedEntry,
    FeedFormat,
    document_path,
    document_url,
)
from feedsvc.model.hub import HubState, HubSubscription

_CODINGS = ("identity", "gzip", "br", "zstd")


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A stored document without its bytes."""

    url: str
    format: str
    version: int
    last_modified: datetime
    #: Coding -> bytes; None where it has not been made.
    sizes: dict[str, int | None]
    #: Whether the codings are as small as they get.
    dense: bool
    #: Subscriptions at the embedded hub.
    subscribers: int


@dataclass(frozen=True, slots=True)
class FeedDetails:
    """What is stored of one feed."""

    page_url: str
    entries: int
    archive_pages: int
    problem: str | None
    documents: list[DocumentRow]


async def load_details(session: AsyncSession, spec: FeedSpec) -> FeedDetails:
    """What is stored of one feed, without its bytes."""
    pages = select(func.count()).where(col(FeedArchive.feed) == spec.key)
    entries = select(func.count()).where(col(FeedEntry.feed) == spec.key)
    return FeedDetails(
        page_url=f"{spec.base_url}/feeds/{quote(spec.key)}",
        entries=await session.scalar(entries) or 0,
        archive_pages=await session.scalar(pages) or 0,
        problem=await session.scalar(select(col(Feed.problem)).where(col(Feed.key) == spec.key)),
        documents=await _load_documents(session, spec),
    )


async def _load_documents(session: AsyncSession, spec: FeedSpec) -> list[DocumentRow]:
    """In the order of the configuration."""
    document = FeedDocument
    bodies = (document.body, document.body_gzip, document.body_br, document.body_zstd)
    columns = select(
        col(document.format),
        col(document.version),
        col(document.last_modified),
        col(document.dense),
        *(func.length(body) for body in bodies),
    ).where(col(document.feed) == spec.key)
    topics = await _count_topics(session)
    documents = {}
    for name, version, last_modified, dense, *sizes in await session.execute(columns):
        documents[name] = DocumentRow(
            url=document_url(spec.base_url, spec.key, FeedFormat(name)),
            format=name,
            version=version,
            last_modified=last_modified,
            sizes=dict(zip(_CODINGS, sizes, strict=True)),
            dense=dense,
            subscribers=topics.get(document_path(spec.key, FeedFormat(name)), 0),
        )
    return [documents[one] for one in spec.formats if one in documents]


async def count_hub_subscriptions(session: AsyncSession) -> dict[str, int]:
    """How many are told of changes by the embedded hub, by feed; feeds without any are not there.

    Somebody who is told of two formats of a feed is counted twice.
    """
    counts: dict[str, int] = {}
    for topic, count in (await _count_topics(session)).items():
        key = topic.removeprefix("feeds/").rpartition("/")[0]
        counts[key] = counts.get(key, 0) + count
    return counts


async def _count_topics(session: AsyncSession) -> dict[str, int]:
    subscription = HubSubscription
    counted = (
        select(col(subscription.topic), func.count())
        .where(col(subscription.state) == HubState.ACTIVE)
        .group_by(col(subscription.topic))
    )
    return dict((await session.execute(counted)).fetchall())
