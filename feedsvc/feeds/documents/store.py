"""Feed documents: checked and coded, stored as bytes with their validators, loaded again.

A reader's validators hold because of two rules: the entity tag is a digest of the identity bytes,
and `last_modified` moves forward by at least a second whenever the tag moves, but never past the
present. Writes only what differs. Renders nothing, and compresses nothing within a transaction.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import and_, delete, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.errors import DocumentRefused
from feedsvc.feeds.documents.check import check_document
from feedsvc.feeds.documents.variants import compress_each
from feedsvc.feeds.documents.versions import (
    NewVersion,
    PreparedDocument,
    PreparedFeed,
    StoredVersion,
    StoreOutcome,
    entity_tag,
    plan_versions,
)
from feedsvc.feeds.documents.versions import (
    next_last_modified as next_last_modified,  # for archive pages
)
from feedsvc.feeds.render import RenderedFeed
from feedsvc.feeds.select import WindowRow
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import clean_text
from feedsvc.model.article import Article
from feedsvc.model.feed import (
    MEDIA_TYPES,
    FeedDocument,
    FeedFormat,
    ServedDocument,
    document_path,
    document_url,
)

log = structlog.get_logger(__name__)

_PIECE = 250  # values, or pairs of them, named in one statement
_Value = TypeVar("_Value", str, tuple[str, str])
_FORMATS = frozenset(one.value for one in FeedFormat)


def prepare_documents(
    spec: FeedSpec, rendered: RenderedFeed, known: Mapping[FeedFormat, str]
) -> PreparedFeed:
    """Check a feed's documents, and code those that differ. Blocking: run it in a thread.

    Args:
        known: tags of the stored documents (`load_etags`); what has them is not coded again.

    Raises:
        DocumentRefused: one of them must not be served; then none of the feed's is.
    """
    # As they are written; see writing/entries.py.
    guids = [clean_text(entry.guid) for entry in rendered.entries]
    for feed_format, body in rendered.documents.items():
        # Also those that look like what is stored: perhaps that is the fault.
        if (reason := check_document(feed_format, body, guids)) is not None:
            raise DocumentRefused(spec.key, feed_format.value, reason)
    etags = {one: entity_tag(body) for one, body in rendered.documents.items()}
    differing = [one for one, etag in etags.items() if known.get(one) != etag]
    coded = compress_each([rendered.documents[one] for one in differing])
    variants = dict(zip(differing, coded, strict=True))
    return tuple(
        PreparedDocument(one, etags[one], body, variants.get(one))
        for one, body in rendered.documents.items()
    )


async def store_documents(
    session: AsyncSession,
    spec: FeedSpec,
    prepared: PreparedFeed,
    now: datetime,
    basis: int,
) -> StoreOutcome:
    """Store the documents whose identity bytes differ from what is stored: all, or none.

    Running it again with the same feed changes nothing.

    Args:
        session: a write transaction.
        basis: the number of article changes they were made after. What is stored and was made
            after a later one stays.
    """
    for _ in range(len(FeedFormat) + 1):
        stored = await _hold_stored(session, spec.key)
        planned = plan_versions(prepared, stored, now, basis)
        if isinstance(planned, StoreOutcome):
            return planned
        if await _save_versions(session, spec.key, planned, basis):
            await _move_basis(session, spec.key, [one.format for one in prepared], basis)
            rows = (FeedDocument(**_values(spec.key, one, basis)) for one in planned)
            return StoreOutcome(changed=tuple(as_served(spec.base_url, row) for row in rows))
    raise RuntimeError(f"documents of feed {spec.key} vanish while they are stored")


async def _hold_stored(session: AsyncSession, key: str) -> dict[FeedFormat, StoredVersion]:
    """What is stored of a feed, locked until the transaction ends."""
    document = FeedDocument
    columns = select(
        col(document.format),
        col(document.version),
        col(document.basis),
        col(document.etag),
        col(document.last_modified),
    )
    held = columns.where(col(document.feed) == key).order_by(col(document.format))
    rows = await session.execute(held.with_for_update())
    return {
        FeedFormat(name): StoredVersion(version, made_after, etag, last_modified)
        for name, version, made_after, etag, last_modified in rows
        if name in _FORMATS
    }


async def _save_versions(
    session: AsyncSession, key: str, planned: Iterable[NewVersion], basis: int
) -> bool:
    """Store the versions; False, with nothing stored, when another node made a first one before.

    First versions come first, in the order of their formats on every node, and wait there for
    one another.
    """
    ordered = sorted(planned, key=lambda one: (one.version, one.document.format.value))
    dialect = session.get_bind().dialect.name
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    async with session.begin_nested() as savepoint:
        for one in ordered:
            values = _values(key, one, basis)
            if one.version > 1:
                here = _is_document(key, one.document.format)
                await session.execute(update(FeedDocument).where(here).values(**values))
                continue
            row = insert(FeedDocument).values(**values)
            made = row.on_conflict_do_nothing().returning(col(FeedDocument.version))
            if (await session.execute(made)).one_or_none() is None:
                await savepoint.rollback()
                return False
    return True


def _values(key: str, one: NewVersion, basis: int) -> dict[str, Any]:
    return {
        "feed": key,
        "format": one.document.format.value,
        "version": one.version,
        "basis": basis,
        "etag": one.document.etag,
        "last_modified": one.last_modified,
        "body": one.document.body,
        "body_gzip": one.variants.gzip,
        "body_br": one.variants.br,
        "body_zstd": one.variants.zstd,
        "dense": False,
    }


async def _move_basis(
    session: AsyncSession, key: str, formats: Iterable[FeedFormat], basis: int
) -> None:
    here = or_(*(_is_document(key, one) for one in formats))
    behind = col(FeedDocument.basis) < basis
    await session.execute(update(FeedDocument).where(here, behind).values(basis=basis))


def _is_document(key: str, feed_format: FeedFormat) -> ColumnElement[bool]:
    return and_(col(FeedDocument.feed) == key, col(FeedDocument.format) == feed_format.value)


def as_served(base_url: str, row: FeedDocument) -> ServedDocument:
    """A stored document as it is served."""
    feed_format = FeedFormat(row.format)
    return ServedDocument(
        path=document_path(row.feed, feed_format),
        media_type=MEDIA_TYPES[feed_format],
        etag=row.etag,
        last_modified=row.last_modified,
        body=row.body,
        body_gzip=row.body_gzip,
        body_br=row.body_br,
        body_zstd=row.body_zstd,
        feed=row.feed,
        url=document_url(base_url, row.feed, feed_format),
        version=row.version,
    )


async def load_documents(
    session: AsyncSession, base_url: str, keys: Collection[str] | None = None
) -> list[ServedDocument]:
    """The stored documents of these feeds, or of all.

    One in a format that this version does not know (a newer node may write such) is left out.
    """
    statement = select(FeedDocument).order_by(col(FeedDocument.feed), col(FeedDocument.format))
    statements = [statement]
    if keys is not None:
        statements = [statement.where(col(FeedDocument.feed).in_(one)) for one in _pieces(keys)]
    rows: list[FeedDocument] = []
    for one in statements:
        rows += (await session.execute(one)).scalars()
    return [as_served(base_url, row) for row in rows if _is_known(row)]


async def load_document(
    session: AsyncSession, feed_key: str, feed_format: FeedFormat, base_url: str = ""
) -> ServedDocument | None:
    """One stored document; without a base URL, its own address is a path."""
    there = select(FeedDocument).where(_is_document(feed_key, feed_format))
    row = (await session.execute(there)).scalar_one_or_none()
    return as_served(base_url, row) if row is not None else None


def _is_known(row: FeedDocument) -> bool:
    if row.format not in _FORMATS:
        log.warning("document of unknown format not served", feed=row.feed, format=row.format)
    return row.format in _FORMATS


async def load_versions(session: AsyncSession) -> dict[tuple[str, str], tuple[int, bool]]:
    """(feed, format) -> (version, dense) of every stored document.

    Cheap, to see whether any changed, or is served in smaller codings.
    """
    document = FeedDocument
    columns = select(
        col(document.feed), col(document.format), col(document.version), col(document.dense)
    )
    return {
        (feed, name): (version, dense)
        for feed, name, version, dense in await session.execute(columns)
    }


async def load_etags(session: AsyncSession, feed_key: str) -> dict[FeedFormat, str]:
    """The tags of a feed's stored documents."""
    columns = select(col(FeedDocument.format), col(FeedDocument.etag))
    rows = await session.execute(columns.where(col(FeedDocument.feed) == feed_key))
    return {FeedFormat(name): etag for name, etag in rows if name in _FORMATS}


async def prune_documents(session: AsyncSession, keep: Collection[tuple[str, str]]) -> int:
    """Delete documents of (feed, format) pairs that are published no more; how many went."""
    pair = (col(FeedDocument.feed), col(FeedDocument.format))
    gone = {(feed, name) for feed, name in await session.execute(select(*pair))} - set(keep)
    count = 0
    for piece in _pieces(gone):
        statement = delete(FeedDocument).where(tuple_(*pair).in_(piece))
        result = await session.execute(statement)
        assert isinstance(result, CursorResult)
        count += result.rowcount
    return count


async def save_set_aside(
    session: AsyncSession, rows: Iterable[WindowRow], set_aside: Mapping[int, str]
) -> None:
    """Note on each article of a window why its feeds leave it out, or that they no longer do.

    Args:
        rows: all articles of the window.
        set_aside: id -> reason, of those that are left out.
    """
    for row in rows:
        reason = set_aside.get(row.id)
        if reason != row.set_aside:
            here = and_(col(Article.id) == row.id, col(Article.revision) == row.revision)
            await session.execute(update(Article).where(here).values(set_aside=reason))


def _pieces(values: Collection[_Value]) -> Iterator[list[_Value]]:
    """The values in an order that is always the same, so many as one statement may name."""
    ordered = sorted(values)
    for start in range(0, len(ordered), _PIECE):
        yield ordered[start : start + _PIECE]
