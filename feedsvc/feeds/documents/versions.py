"""When a document may get a new version, and which validators it has. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from feedsvc.feeds.documents.variants import Variants
from feedsvc.model.feed import FeedFormat, ServedDocument

_ETAG_LENGTH = 32  # hexadecimal digits: 128 bits
_LAST_MODIFIED_STEP = timedelta(seconds=1)  # HTTP dates have no finer one
#: Clocks of machines that keep time are never so far apart.
_CLOCK_FAULT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """One document that passed its check. `variants` is None when its tag was the stored one."""

    format: FeedFormat
    etag: str
    body: bytes
    variants: Variants | None


#: All documents of one feed.
PreparedFeed = tuple[PreparedDocument, ...]


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """What a new version of a document is measured by."""

    version: int
    basis: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that is to be stored."""

    document: PreparedDocument
    variants: Variants
    version: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of a feed's documents. The last two say that nothing at all was stored.

    Then what goes with the documents is not to be stored either.
    """

    changed: tuple[ServedDocument, ...] = ()
    #: When to make the feed again; now, if another version was stored since the tags were read.
    come_again_at: datetime | None = None
    #: What is stored was made after later changes of articles.
    is_outdated: bool = False


def entity_tag(body: bytes) -> str:
    """The strong entity tag of identity bytes, without quotes (RFC 9110 §8.8.3)."""
    return hashlib.sha256(body).hexdigest()[:_ETAG_LENGTH]


def next_last_modified(previous: datetime | None, now: datetime) -> datetime:
    """The date of a new version: now, and at least a second after the one before.

    It may lie a little in the future; whoever stores it sees to that. A date far ahead is the
    fault of some clock. Waiting for it could take years, so it is as if it had not been; who has
    it gets whole answers, for dates in the future are no condition (`Prepared.is_known`).
    """
    second = now.astimezone(UTC).replace(microsecond=0)
    if previous is None or previous > now + _CLOCK_FAULT:
        return second
    return max(previous + _LAST_MODIFIED_STEP, second)


def plan_versions(
    prepared: PreparedFeed,
    stored: Mapping[FeedFormat, StoredVersion],
    now: datetime,
    basis: int,
) -> list[NewVersion] | StoreOutcome:
    """The versions to store; or why none of the feed's documents may be stored now.

    A feed whose date would lie in the future waits: because it changed twice within a second, or
    because the clock was set back, or the node that published last is ahead of this one. A date
    that went back would make readers who ask by date alone miss the change for good.
    """
    new = []
    come_again_at = None
    for document in prepared:
        old = stored.get(document.format)
        if old is not None and old.basis > basis:
            return StoreOutcome(is_outdated=True)
        if old is not None and old.etag == document.etag:
            continue
        at = next_last_modified(old.last_modified if old else None, now)
        if at > now:
            come_again_at = max(at, come_again_at or at)
        elif document.variants is None:
            come_again_at = come_again_at or now
        else:
            version = old.version + 1 if old else 1
            new.append(NewVersion(document, document.variants, version, at))
    return new if come_again_at is None else StoreOutcome(come_again_at=come_again_at)
