"""The part of the walk that readers follow: article -> feed documents. Ordering only.

A publication costs what has changed: only feeds that a changed article is in, or was in, are made
again, and of these only the entries that are new are written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.articles import changed, publish
from feedsvc.errors import DatabaseUnavailable, FeedsvcError
from feedsvc.feeds import states
from feedsvc.feeds.archive.store import archive_links, prune_archives, renew_archives
from feedsvc.feeds.documents import dense
from feedsvc.feeds.documents.store import (
    load_etags,
    prepare_documents,
    prune_documents,
    save_set_aside,
    store_documents,
)
from feedsvc.feeds.documents.variants import compress_dense
from feedsvc.feeds.documents.versions import PreparedDocument
from feedsvc.feeds.families import load_specs
from feedsvc.feeds.fragment_store import prune_fragments, save_fragments
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.registry import lock_rows
from feedsvc.feeds.render import RenderedFeed, render_feed
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.touched import Touched, find_touched
from feedsvc.model.feed import ArchiveName, ServedDocument
from feedsvc.pipeline.parts import Parts

log = structlog.get_logger(__name__)

#: How long a feed that could not be published is left alone: at first, and at most.
_FEED_REST, _LONGEST_FEED_REST = timedelta(seconds=30), timedelta(minutes=5)
#: A last version that is dated further ahead than this is a fault of some clock.
_CLOCK_SLIP = timedelta(seconds=5)
#: Feeds whose documents are stored by one transaction: each commit waits for the disk.
_FEEDS_AT_ONCE = 10
#: How long a document must have stayed as it is before its codings are made smaller.
_DENSE_AFTER = timedelta(minutes=1)
_DENSE_AT_ONCE = 4
#: Characters of what is said of a failure that is none of ours.
_MOST_SAID = 250


@dataclass(frozen=True, slots=True)
class Renewed:
    """What one publication has changed."""

    documents: list[ServedDocument] = field(default_factory=list)
    #: Archive pages that are new, or new versions, of each feed.
    pages: dict[str, tuple[ArchiveName, ...]] = field(default_factory=dict)
    #: Names of archive pages that lead elsewhere from now on.
    replaced: dict[str, tuple[ArchiveName, ...]] = field(default_factory=dict)
    #: Every feed that is published now.
    specs: tuple[FeedSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class _Made:
    """A feed that is ready to be stored."""

    spec: FeedSpec
    rendered: RenderedFeed
    documents: tuple[PreparedDocument, ...]
    #: Number of the article change up to which it holds everything.
    change: int


class _Rest(NamedTuple):
    """How long a feed is left alone, and how often it has failed one time after the other."""

    since: datetime
    until: datetime
    failures: int


class Publication:
    """Gives articles their numbers, and renews the feeds that hold them."""

    def __init__(self, parts: Parts, follow: Callable[[Renewed], Awaitable[None]]) -> None:
        self._parts = parts
        self._follow = follow
        self.fragments = FragmentCache()
        self._publishing = asyncio.Lock()
        self._published_at: datetime | None = None
        #: Feeds that are to be made again.
        self._resting: dict[str, _Rest] = {}

    async def is_wanted(self, now: datetime) -> bool:
        """Whether an article's time has come, or a feed is behind the articles."""
        async with self._parts.database.read() as session:
            article_at = await publish.next_publication_at(session)
            change = await changed.load_change(session)
            behind = await states.find_behind(session, self._parts.feeds, change, now)
        due = article_at is not None and article_at <= now
        return due or any(self._is_rested(key, now) for key in {*behind, *self._resting})

    async def publish(self) -> list[ServedDocument]:
        """Publish every article whose time has come, then renew the feeds; changed documents."""
        async with self._publishing:
            await self._number_articles()
            await self._wait_for_next_second()
            touched = await self._find_touched()
            renewed = Renewed(specs=touched.all_specs)
            self._keep_resting({spec.key for spec in touched.specs})
            rested = [one for one in touched.specs if self._is_rested(one.key, touched.at)]
            for start in range(0, len(rested), _FEEDS_AT_ONCE):
                some = rested[start : start + _FEEDS_AT_ONCE]
                if not await self._try(some, touched, renewed) and len(some) > 1:
                    # One of them holds up the others: each goes alone.
                    for one in some:
                        await self._try([one], touched, renewed)
            if renewed.documents or renewed.pages or renewed.replaced:
                await self._follow(renewed)
            return renewed.documents

    async def _number_articles(self) -> None:
        while True:
            async with self._parts.database.write() as session:
                published = await publish.publish_due(session, self._parts.clock())
                if published:
                    await changed.mark_changed(session, published)
            if len(published) < publish.MAX_BATCH:
                return

    async def _find_touched(self) -> Touched:
        """The feeds that are to be made again; the others have nothing to do with the changes."""
        feeds, now = self._parts.feeds, self._parts.clock()
        async with self._parts.database.write() as session:
            change = await changed.load_change(session)
            specs = await load_specs(session, feeds.specs, feeds.families, feeds.newsletters, now)
            touched = await find_touched(session, specs, change, now)
            await states.pass_over(session, touched.untouched, change)
        return touched

    async def _try(self, specs: Sequence[FeedSpec], touched: Touched, renewed: Renewed) -> bool:
        """Publish some feeds; whether that went well. What fails rests, and its documents stay."""
        try:
            await self._publish_feeds(specs, touched, renewed)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if len(specs) == 1:
                await self._note_failure(specs[0].key, error)
            return False
        return True

    async def _publish_feeds(
        self, specs: Sequence[FeedSpec], touched: Touched, renewed: Renewed
    ) -> None:
        for spec in specs:
            await self._renew_archive(spec, touched, renewed)
        made = [await self._make(spec, touched.at) for spec in specs]
        stored: list[ServedDocument] = []
        async with self._parts.database.write() as session:
            for one in made:
                outcome = await store_documents(
                    session, one.spec, one.documents, self._parts.clock(), one.change
                )
                if outcome.come_again_at is not None:
                    await self._wait_for_clock(session, one.spec.key, outcome.come_again_at)
                elif outcome.is_outdated:
                    self._rest(one.spec.key, self._parts.clock())  # to see what there is by then
                if outcome.come_again_at is not None or outcome.is_outdated:
                    continue  # nothing of it was stored
                stored += outcome.changed
                await save_set_aside(session, one.rendered.rows, one.rendered.set_aside)
                await save_fragments(session, one.spec.key, one.rendered)
                await states.save_made(session, one.spec, touched.change, one.rendered.renew_at)
                self._resting.pop(one.spec.key, None)
        if stored:
            self._parts.serve(stored)
            renewed.documents.extend(stored)

    async def _wait_for_clock(self, session: AsyncSession, key: str, until: datetime) -> None:
        """Leave a feed alone until a new version of it would not be dated in the future."""
        self._rest(key, until)
        wait = until - self._parts.clock()
        if wait > _CLOCK_SLIP:
            problem = (
                f"its last version is dated {until:%Y-%m-%d %H:%M:%S} UTC, ahead of this machine's"
                " clock; it is renewed when the clock gets there"
            )
            await states.save_problem(session, key, problem)
            log.error("feed waits for the clock", feed=key, wait_s=round(wait.total_seconds()))

    async def _renew_archive(self, spec: FeedSpec, touched: Touched, renewed: Renewed) -> None:
        """Move what has left the window to archive pages, before the documents link to them."""
        seqs: Collection[int] | None = touched.seqs_for(spec.key)
        while True:
            async with self._parts.database.write() as session:
                renewal = await renew_archives(session, spec, touched.at, seqs)
            seqs = ()  # what has changed has been seen to
            if renewal.renewed:
                before = renewed.pages.get(spec.key, ())
                renewed.pages[spec.key] = before + renewal.renewed
            if renewal.replaced:
                before = renewed.replaced.get(spec.key, ())
                renewed.replaced[spec.key] = before + renewal.replaced
                # At once: one of them may hold what has been withdrawn.
                self._parts.drop_pages([spec.key])
            if not renewal.is_unfinished:
                return

    async def _make(self, spec: FeedSpec, now: datetime) -> _Made:
        async with self._parts.database.read() as session:
            # Before all else; another process may store the same feed as it is now.
            change = await changed.load_change(session)
            links = await archive_links(session, spec)
            rendered = await render_feed(session, spec, self.fragments, now, links)
            etags = await load_etags(session, spec.key)
        documents = await asyncio.to_thread(prepare_documents, spec, rendered, etags)
        return _Made(spec, rendered, documents, change)

    async def _note_failure(self, key: str, error: Exception) -> None:
        """One feed that fails must not hold up the others; the sweep comes back to it."""
        fault, surprise = _describe(error), None if isinstance(error, FeedsvcError) else error
        log.error("feed not published", feed=key, fault=fault, exc_info=surprise)
        failures = self._resting[key].failures + 1 if key in self._resting else 1
        rest = min(_FEED_REST * 2 ** min(failures - 1, 10), _LONGEST_FEED_REST)
        self._rest(key, self._parts.clock() + rest, failures)
        async with self._parts.database.write() as session:
            await states.save_problem(session, key, fault)

    def _is_rested(self, key: str, now: datetime) -> bool:
        if key not in self._resting:
            return True
        rest = self._resting[key]
        return not rest.since <= now < rest.until  # or the clock was set back

    def seconds_to_wait(self) -> float | None:
        """Until the next feed can be made that changed twice within a second; None: there is none.

        Feeds that failed, or wait for a clock, are not waited for.
        """
        now = self._parts.clock()
        soon = [
            (rest.until - now).total_seconds()
            for rest in self._resting.values()
            if not rest.failures and rest.until - now <= _CLOCK_SLIP
        ]
        return max(min(soon), 0.0) if soon else None

    def _rest(self, key: str, until: datetime, failures: int = 0) -> None:
        self._resting[key] = _Rest(self._parts.clock(), until, failures)

    def _keep_resting(self, touched: Collection[str]) -> None:
        """Forget feeds that need not be made any more: somebody else has made them."""
        self._resting = {key: rest for key, rest in self._resting.items() if key in touched}

    async def _wait_for_next_second(self) -> None:
        """A feed is published at most once a second, so that its date is never in the future."""
        if self._published_at is not None:
            wait = self._published_at + timedelta(seconds=1) - self._parts.clock()
            if timedelta(0) < wait <= timedelta(seconds=1):
                await asyncio.sleep(wait.total_seconds())
        self._published_at = self._parts.clock()

    async def is_sparse(self, now: datetime) -> bool:
        """Whether documents wait for smaller codings."""
        async with self._parts.database.read() as session:
            return bool(await dense.find_sparse(session, now - _DENSE_AFTER, 1))

    async def compress(self) -> list[ServedDocument]:
        """Make smaller codings of documents that have stayed as they are for a while."""
        database, before = self._parts.database, self._parts.clock() - _DENSE_AFTER
        async with database.read() as session:
            sparse = await dense.find_sparse(session, before, _DENSE_AT_ONCE)
        replaced = []
        for one in sparse:
            variants = await asyncio.to_thread(compress_dense, one.body)
            async with database.write() as session:
                served = await dense.save_dense(
                    session, self._parts.settings.base_url, one, variants
                )
            if served is not None:
                replaced.append(served)
        if replaced:
            self._parts.serve(replaced)
        return replaced

    async def prune(self) -> None:
        """Forget what belongs to no feed any more."""
        feeds, database = self._parts.feeds, self._parts.database
        async with database.write() as session:
            # No feed may be added, and then have documents, that is not known here.
            await lock_rows(session)
            now = self._parts.clock()
            specs = await load_specs(session, feeds.specs, feeds.families, feeds.newsletters, now)
            formats = {(spec.key, one.value) for spec in specs for one in spec.formats}
            await prune_documents(session, formats)
            await prune_archives(session, {spec.key for spec in specs})
            await states.forget_others(session, {spec.key for spec in specs})
        async with database.write() as session:
            await prune_fragments(session)


def _describe(error: Exception) -> str:
    """What an operator is told of a failure: one line, and no statement of ours."""
    if isinstance(error, FeedsvcError):
        return str(error)
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps what the database says
    lines = str(cause).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0] if lines else 'without a word'}"
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"
