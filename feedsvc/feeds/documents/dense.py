"""Documents in smaller codings, made once there is time for it: neither tag nor date moves."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.documents.store import as_served
from feedsvc.feeds.documents.variants import Variants
from feedsvc.model.feed import FeedDocument, FeedFormat, ServedDocument


@dataclass(frozen=True, slots=True)
class SparseDocument:
    """A version whose codings are as quick as they get, and not yet as small as they get."""

    feed: str
    format: FeedFormat
    version: int
    body: bytes


async def find_sparse(
    session: AsyncSession, older_than: datetime, limit: int
) -> list[SparseDocument]:
    """Versions to be coded again (`variants.compress_dense`), those that have waited longest first.

    Args:
        older_than: versions dated later are left alone. A minute before now keeps a busy feed
            from being coded all the time: small codings of a version that lives for seconds cost
            more than they save.
    """
    document = FeedDocument
    columns = select(
        col(document.feed), col(document.format), col(document.version), col(document.body)
    )
    sparse = columns.where(
        col(document.dense).is_(False),
        col(document.last_modified) <= older_than,
        col(document.format).in_([one.value for one in FeedFormat]),
    )
    oldest = (col(document.last_modified), col(document.feed), col(document.format))
    rows = await session.execute(sparse.order_by(*oldest).limit(limit))
    return [
        SparseDocument(feed, FeedFormat(name), version, body) for feed, name, version, body in rows
    ]


async def save_dense(
    session: AsyncSession, base_url: str, sparse: SparseDocument, variants: Variants
) -> ServedDocument | None:
    """Store the codings of a version; None when there is another version by now.

    Running it again changes nothing.
    """
    document = FeedDocument
    here = and_(
        col(document.feed) == sparse.feed,
        col(document.format) == sparse.format.value,
        col(document.version) == sparse.version,
    )
    change = update(document).where(here)
    change = change.values(
        body_gzip=variants.gzip, body_br=variants.br, body_zstd=variants.zstd, dense=True
    )
    if (await session.execute(change.returning(col(document.version)))).one_or_none() is None:
        return None
    row = (await session.execute(select(document).where(here))).scalar_one()
    return as_served(base_url, row)
