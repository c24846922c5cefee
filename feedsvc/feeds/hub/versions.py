"""The version of a topic that is published at present. Reads only."""

from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.feeds.hub.topics import Topic
from feedsvc.model.feed import MEDIA_TYPES, FeedDocument


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a document, as it is sent to subscribers: the bytes that are served."""

    etag: str
    media_type: str
    body: bytes


async def find_etag(session: AsyncSession, topic: Topic) -> str | None:
    """The entity tag of a topic's version; None where there is no such document."""
    found: str | None = await session.scalar(
        select(col(FeedDocument.etag)).where(_is_document(topic))
    )
    return found


async def load_version(session: AsyncSession, topic: Topic) -> Version | None:
    """A topic's version; None where there is no such document."""
    columns = select(col(FeedDocument.etag), col(FeedDocument.body))
    row = (await session.execute(columns.where(_is_document(topic)))).one_or_none()
    return None if row is None else Version(row.etag, MEDIA_TYPES[topic.format], row.body)


def _is_document(topic: Topic) -> ColumnElement[bool]:
    return and_(
        col(FeedDocument.feed) == topic.feed, col(FeedDocument.format) == topic.format.value
    )
