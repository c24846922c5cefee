"""Keeps archive pages in line with the articles; plan.py decides what they hold.

What changes every page at once - other settings, a mass of edits - makes the pages anew, in rounds
and under new numbers. The address of a page that is gone leads to the newest one, from where a
reader that was on its way through the old pages finds everything.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.archive.plan import (
    ARTICLES_A_ROUND,
    MOST_ON_A_PAGE,
    PAGES_A_ROUND,
    PageEntry,
    PlannedPage,
    cluster_seqs,
    digest_page,
    digest_settings,
    page_size,
    plan_archives,
)
from feedsvc.feeds.archive.rows import (
    PageRow,
    StoredPage,
    find_newest,
    find_newest_but,
    insert_pages,
    is_waiting,
    load_changed,
    load_entries,
    load_pages,
    load_versions,
    load_waiting,
    retire_pages,
    update_pages,
    walk_entries,
)
from feedsvc.feeds.documents.versions import next_last_modified
from feedsvc.feeds.select import select_window
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import Links
from feedsvc.feeds.writing.jsonfeed import JSON_RENDERER
from feedsvc.model.feed import ArchiveName, Feed, FeedArchive, FeedFormat, document_url

#: Changed articles that are looked up one by one; of more, every page is checked.
_MOST_TOUCHED = 5000


@dataclass(frozen=True, slots=True)
class ArchiveRenewal:
    """What has become of a feed's pages."""

    #: Those made or given a new version, under their new names.
    renewed: tuple[ArchiveName, ...] = ()
    #: Names that lead elsewhere from now on.
    replaced: tuple[ArchiveName, ...] = ()
    #: The feed's own documents are to link to another page, or to none.
    is_link_changed: bool = False
    #: There is more to do: call it again, in another transaction.
    is_unfinished: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a page is to hold; `stored` is None when it is a new one."""

    page: PlannedPage
    entries: Mapping[int, PageEntry]
    stored: StoredPage | None


async def renew_archives(
    session: AsyncSession, spec: FeedSpec, now: datetime, touched: Collection[int] | None
) -> ArchiveRenewal:
    """Make a feed's pages hold what its window does not, and notice what has changed on them.

    Call it before the feed's documents are rendered, so that these link to what it made. Running
    it again changes nothing. At most once a second a feed, so that no date is in the future.

    Args:
        session: a write transaction.
        now: the same instant as the documents are rendered for, so that both see one window.
        touched: numbers of the articles that have changed in any way since the last time, whether
            or not they belong to the feed. None: whatever has changed since its documents were
            made. When it is called again because it was not finished: none.
    """
    here = select(col(Feed.basis)).where(col(Feed.key) == spec.key).with_for_update()
    basis = await session.scalar(here)
    newest = await find_newest(session, spec.key)
    before = newest.name if newest and not newest.is_gone else None
    made_with = _settings(spec)
    wanted: dict[int, _Wanted] | None = {}
    if newest is not None and before is not None:
        if touched is None:
            touched = await load_changed(session, basis, newest.to_seq, _MOST_TOUCHED + 1)
        is_same = spec.archive and newest.made_with == made_with
        wanted = await _find_changed(session, spec, newest, touched) if is_same else None
    replaced: list[ArchiveName] = []
    if wanted is None:
        replaced = await retire_pages(session, spec.key)
        newest, wanted = await find_newest(session, spec.key), {}
    is_unfinished = spec.archive and await _fill_pages(session, spec, newest, wanted, now)
    renewed = await _save(session, spec.key, wanted, made_with, now)
    replaced += [one.stored.name for one in wanted.values() if one.stored]
    after = renewed[-1] if renewed and renewed[-1].number >= _number(newest) else None
    return ArchiveRenewal(
        renewed=tuple(renewed),
        replaced=tuple(replaced),
        is_link_changed=after is not None or (newest is None or newest.is_gone) != (before is None),
        is_unfinished=is_unfinished,
    )


async def touched_archives(session: AsyncSession, seqs: Collection[int]) -> dict[str, set[int]]:
    """Which feeds have pages that hold some of these articles, and which of them.

    An article that belongs to a feed no longer is known to it by nothing else.
    """
    holding: dict[str, set[int]] = {}
    for cluster in cluster_seqs(seqs):
        meeting = select(col(FeedArchive.feed), col(FeedArchive.seqs)).where(
            col(FeedArchive.to_seq) >= cluster[0], col(FeedArchive.from_seq) < cluster[-1]
        )
        for feed_key, held in await session.execute(meeting):
            if both := set(cluster).intersection(held):
                holding.setdefault(feed_key, set()).update(both)
    return holding


async def archive_links(session: AsyncSession, spec: FeedSpec) -> dict[FeedFormat, Links]:
    """What a feed's own document links to in each of its formats."""
    newest = await find_newest(session, spec.key) if spec.archive else None
    if newest is None or newest.is_gone:
        return {feed_format: Links(hubs=spec.hubs) for feed_format in spec.formats}
    return {
        feed_format: Links(
            hubs=spec.hubs,
            previous_archive=document_url(spec.base_url, spec.key, feed_format, newest.name),
        )
        for feed_format in spec.formats
    }


async def prune_archives(session: AsyncSession, keep: Collection[str]) -> int:
    """Take away the pages of feeds that are published no more; of how many feeds."""
    there = select(col(FeedArchive.feed)).where(col(FeedArchive.made_with) != "").distinct()
    dropped = [key for key in await session.scalars(there) if key not in keep]
    for feed_key in dropped:
        await retire_pages(session, feed_key)
    return len(dropped)


async def _find_changed(
    session: AsyncSession, spec: FeedSpec, newest: StoredPage, touched: Collection[int]
) -> dict[int, _Wanted] | None:
    """The pages whose articles have changed; None when they are better made anew."""
    archived = [seq for seq in touched if seq <= newest.to_seq]
    if len(archived) > _MOST_TOUCHED:
        return await _check_all(session, spec, newest)
    changed: dict[int, _Wanted] = {}
    matching = await load_entries(session, spec.filter, archived)
    for cluster in cluster_seqs(archived):
        for stored in await load_pages(session, spec.key, cluster[0], cluster[-1]):
            within = {seq for seq in cluster if stored.from_seq < seq <= stored.to_seq}
            if within.isdisjoint(stored.seqs) and within.isdisjoint(matching):
                continue
            seqs = within.union(stored.seqs)
            _compare(changed, stored, await load_entries(session, spec.filter, seqs))
            if _is_too_much(changed):
                return None
    return changed


async def _check_all(
    session: AsyncSession, spec: FeedSpec, newest: StoredPage
) -> dict[int, _Wanted] | None:
    """As _find_changed, by one pass over all of the feed's articles."""
    changed: dict[int, _Wanted] = {}
    pages = iter(await load_pages(session, spec.key))
    page = next(pages, None)
    gathered: dict[int, PageEntry] = {}
    async for chunk in walk_entries(session, spec.filter, 0, newest.to_seq):
        for entry in chunk:
            while page is not None and page.to_seq < entry.seq:
                _compare(changed, page, gathered)
                page, gathered = next(pages, None), {}
            gathered[entry.seq] = entry
        if _is_too_much(changed):
            return None
    while page is not None:
        _compare(changed, page, gathered)
        page, gathered = next(pages, None), {}
    return None if _is_too_much(changed) else changed


def _compare(
    changed: dict[int, _Wanted], stored: StoredPage, entries: Mapping[int, PageEntry]
) -> None:
    """Note a page whose articles are not those it was stored with."""
    if digest_page(entries.values()) != stored.digest:
        page = replace(stored.planned, seqs=tuple(sorted(entries)))
        changed[stored.number] = _Wanted(page, entries, stored)


def _is_too_much(changed: Mapping[int, _Wanted]) -> bool:
    return len(changed) > PAGES_A_ROUND or any(
        len(one.entries) > MOST_ON_A_PAGE for one in changed.values()
    )


async def _fill_pages(
    session: AsyncSession,
    spec: FeedSpec,
    newest: StoredPage | None,
    wanted: dict[int, _Wanted],
    now: datetime,
) -> bool:
    """Add the pages that are to be made or to grow; whether there will be more of them."""
    live = newest if newest and not newest.is_gone else None
    size = page_size(spec.window)
    above, limit = live.to_seq if live else 0, ARTICLES_A_ROUND // size * size
    if not await _may_have_left(session, spec, above):
        return False
    window = await select_window(session, spec.filter, spec.window, now)
    in_window = {row.seq for row in window.rows}
    waiting = {one.seq: one for one in await load_waiting(session, spec.filter, above, limit)}
    last = live.planned if live else None
    if live is not None and live.number in wanted:
        last = wanted[live.number].page
    planned = plan_archives(
        last, tuple(waiting), in_window, size=size, next_number=_number(newest) + 1
    )
    for page in planned:
        entries = {seq: waiting[seq] for seq in page.seqs if seq in waiting}
        if live is not None and last is not None and page.number == live.number:
            entries |= await load_entries(session, spec.filter, last.seqs)
            wanted[page.number] = _Wanted(page, entries, live)
        else:
            wanted[page.number] = _Wanted(page, entries, None)
    return len(waiting) == limit


async def _may_have_left(session: AsyncSession, spec: FeedSpec, above: int) -> bool:
    """Whether an article that stands on no page may not be in the window: a cheap look."""
    if spec.window.max_age is not None:
        return True
    # The window holds all of the newest, and of those before them the young ones alone.
    complete_from = await find_newest_but(session, spec.filter, spec.window.count - 1)
    return complete_from is not None and await is_waiting(
        session, spec.filter, above, complete_from
    )


async def _save(
    session: AsyncSession,
    feed_key: str,
    wanted: Mapping[int, _Wanted],
    made_with: str,
    now: datetime,
) -> list[ArchiveName]:
    """Store pages as they are to be; their names, oldest first."""
    new, old, names = list[PageRow](), list[PageRow](), list[ArchiveName]()
    versions = await load_versions(session, feed_key, [number - 1 for number in wanted])
    for number, one in sorted(wanted.items()):
        stored = one.stored
        row = PageRow(
            page=one.page,
            version=stored.version + 1 if stored else 1,
            previous_version=versions.get(number - 1, 0),
            digest=digest_page(one.entries.values()),
            made_with=made_with,
            # Each version has an address of its own, and needs to be no later than another.
            last_modified=next_last_modified(None, now),
        )
        versions[number] = row.version
        names.append(ArchiveName(number, row.version))
        (old if stored else new).append(row)
    await update_pages(session, feed_key, old)
    await insert_pages(session, feed_key, new)
    return names


def _settings(spec: FeedSpec) -> str:
    from feedsvc.feeds.writing.syndication import RENDERER  # feedgen is slow to import

    return digest_settings(spec, f"{RENDERER} {JSON_RENDERER}")


def _number(newest: StoredPage | None) -> int:
    return newest.number if newest else 0
