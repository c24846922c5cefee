"""Decides which archive pages a feed has (RFC 5005 §4). Pure: values in, values out.

At every instant each article of a feed stands in its window or on one of its pages, or on both.
So pages are filled before articles leave the window: as soon as one has left it that stands on no
page, the oldest that stand on none make a page, whether they have left it or not. It is full then,
except where articles leave by their age before a page full of them has come together; such a page
is the newest one, and grows in new versions.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.model.feed import DOCUMENT_NAMES, ArchiveName, FeedFormat

#: Articles that are put on new pages in one transaction at most: a moment's work.
ARTICLES_A_ROUND = 5_000
#: Pages that are looked through, or given a new version, in one transaction at most.
PAGES_A_ROUND = 200
#: Articles that no page exceeds, whatever its range comes to match; then pages are made anew.
MOST_ON_A_PAGE = 250
_SMALLEST_PAGE, _LARGEST_PAGE = 20, 100
_NEAR, _MOST_CLUSTERS = 1000, 50

_FORMATS = {name: feed_format for feed_format, name in DOCUMENT_NAMES.items()}
_PATH = re.compile(r"/?feeds/(.+)/archive/([1-9][0-9]{0,8})-([1-9][0-9]{0,8})/([^/]+)")


class PageEntry(NamedTuple):
    """An article as far as a page's digest and order depend on it."""

    seq: int
    revision: int
    content_hash: str
    published_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PlannedPage:
    """A page that is to be: it holds `seqs`, ascending, which are all in its range."""

    number: int
    from_seq: int
    to_seq: int
    seqs: tuple[int, ...]


def page_size(window: Window) -> int:
    """How many articles make a page: about a window full, so that it is all new to its reader."""
    return min(max(window.count, _SMALLEST_PAGE), _LARGEST_PAGE)


def plan_archives(
    newest: PlannedPage | None,
    waiting: Sequence[int],
    in_window: Collection[int],
    *,
    size: int,
    next_number: int = 1,
) -> list[PlannedPage]:
    """The pages to be made, oldest first, so that every article is in the window or on a page.

    Args:
        newest: the newest page there is; None before the first.
        waiting: numbers of the feed's articles above the newest page's range, ascending; all of
            them, or so many of the lowest that not all can be in the window.
        in_window: numbers of those in the feed's window.
        size: articles that make a page.
        next_number: of the next page.

    Returns:
        A page with the number of `newest` is that page, grown.
    """
    reach = max((seq for seq in waiting if seq not in in_window), default=0)
    planned: list[PlannedPage] = []
    begin = 0
    if reach and newest is not None and len(newest.seqs) < size:
        begin = size - len(newest.seqs)
        grown = (*newest.seqs, *waiting[:begin])
        planned.append(PlannedPage(newest.number, newest.from_seq, grown[-1], grown))
    above = planned[-1].to_seq if planned else newest.to_seq if newest else 0
    while begin < len(waiting) and waiting[begin] <= reach:
        seqs = tuple(waiting[begin : begin + size])
        planned.append(PlannedPage(next_number, above, seqs[-1], seqs))
        next_number, above, begin = next_number + 1, seqs[-1], begin + size
    return planned


def digest_page(entries: Iterable[PageEntry]) -> str:
    """Digest of what a page says: the same articles in the same revisions give the same."""
    digest = hashlib.sha256()
    for one in sorted(entries, key=lambda entry: entry.seq):
        instants = (at.astimezone(UTC).isoformat() for at in (one.published_at, one.updated_at))
        line = f"{one.seq} {one.revision} {one.content_hash} {' '.join(instants)}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def digest_settings(spec: FeedSpec, renderer: str) -> str:
    """Digest of all that decides the bytes of a feed's pages beside the articles.

    Neither its window nor its formats nor its hubs: pages look the same with others.

    Args:
        renderer: names the code that writes entries, and its version.
    """
    decisive = (
        renderer,
        spec.filter,
        spec.content,
        spec.base_url,
        spec.title,
        spec.description,
        spec.language,
        spec.site_title,
        spec.image,
        spec.podcast,
        spec.guid,
    )
    return hashlib.sha256(repr(decisive).encode()).hexdigest()


def cluster_seqs(seqs: Iterable[int]) -> Iterator[list[int]]:
    """Numbers in ascending order, in at most about fifty clusters of those near each other."""
    ordered = sorted(set(seqs))
    gap = max(_NEAR, (ordered[-1] - ordered[0]) // _MOST_CLUSTERS) if ordered else 0
    cluster: list[int] = []
    for seq in ordered:
        if cluster and seq - cluster[-1] > gap:
            yield cluster
            cluster = []
        cluster.append(seq)
    if cluster:
        yield cluster


def parse_archive_path(path: str) -> tuple[str, ArchiveName, FeedFormat] | None:
    """Feed, page and format that a decoded path names; None when it names no archive page."""
    match = _PATH.fullmatch(path)
    if match is None or (feed_format := _FORMATS.get(match[4])) is None:
        return None
    return match[1], ArchiveName(int(match[2]), int(match[3])), feed_format
