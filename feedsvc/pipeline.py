"""The walk, in order: the table of contents of the product.

    source -> raw item -> article -> feed documents -> reader
                                  -> edition -> cohorts -> messages -> deliveries -> subscriber

Ordering only: no rule and no SQL. It opens transactions, and passes sessions, values and
functions between the stages. Every step may run again after a crash, or on another node beside.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from feedsvc.articles import changed, publish, scans
from feedsvc.articles.changes import decide_changes
from feedsvc.articles.ingest import read_changes
from feedsvc.articles.parse import Defaults, name_reading
from feedsvc.articles.store import Stored, store_changes
from feedsvc.config import Settings, SourceSettings
from feedsvc.db.engine import Database
from feedsvc.deliveries.due import next_due_at
from feedsvc.deliveries.sender import Sender
from feedsvc.editions import fire, freeze, progress, readers
from feedsvc.editions.cohorts import CohortPlan, Grouping, ReaderGroup, group_readers
from feedsvc.editions.freeze import Composing, RenderedCohort
from feedsvc.errors import DatabaseUnavailable, SourceUnavailable
from feedsvc.feeds.documents import (
    FeedSpec,
    load_basis,
    render_documents,
    save_set_aside,
    store_documents,
)
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.select import select_articles
from feedsvc.kit.jobs import Jobs
from feedsvc.messages.digests import DigestRenderer
from feedsvc.model.article import Scan, SourceProblem, as_problem
from feedsvc.model.edition import EditionState, ItemOutcome
from feedsvc.model.feed import ServedDocument
from feedsvc.model.ports import SourcePort

log = structlog.get_logger(__name__)

#: Looks for readers who came while an edition was composed.
_PASSES = 20
#: How often, and how long apart, a source is looked at while something is being written there.
_SETTLING_LOOKS = 6
_SETTLING_SECONDS = 0.5
#: How long an edition that could not be composed is left alone.
_COMPOSE_REST = timedelta(seconds=30)
#: How long a feed that could not be published is left alone.
_FEED_REST = timedelta(seconds=30)

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the walk is made of; put together in app.py."""

    settings: Settings
    database: Database
    sources: Mapping[str, SourcePort]
    feeds: tuple[FeedSpec, ...]
    digests: DigestRenderer
    sender: Sender
    jobs: Jobs
    clock: Clock
    #: Told of documents as soon as they are stored, so that they are served.
    serve: Callable[[list[ServedDocument]], None]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one look at a source came to."""

    stored: Stored
    unchanged: int
    #: Items that are no articles at present, until they are mended.
    problems: tuple[SourceProblem, ...]


class Pipeline:
    """The steps of the walk, each safe to repeat, and the jobs that lead from one to the next."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._fragments = FragmentCache()
        self._publishing = asyncio.Lock()
        self._published_at: datetime | None = None
        self._delivering = False
        self._feeds_rest_until: datetime | None = None
        self._composing: set[int] = set()
        #: Edition -> until when a failed one is left alone.
        self._compose_rests: dict[int, datetime] = {}
        #: What is published, in the order of the configuration.
        self.feeds = parts.feeds
        #: Set when the process is to end: nothing new is claimed.
        self.stopping = asyncio.Event()
        for name, handler in {
            "ingest": self._ingest_job,
            "publish": self._publish_job,
            "compose": self._compose_job,
            "deliver": self._deliver_job,
        }.items():
            parts.jobs.register(name, handler)

    # -- source -> raw item -> article -----------------------------------------------------------

    async def ingest(self, key: str) -> Ingested:
        """Look at a source once, and take over what is new, changed or gone there.

        Raises:
            SourceUnavailable: it is missing, unreadable or looks emptied; nothing was withdrawn.
        """
        parts, database = self._parts, self._parts.database
        source, settings = parts.sources[key], parts.settings.sources[key]
        async with database.read() as session:
            known = await scans.load_known(session, key)
        defaults = self._defaults(settings)
        reading = name_reading(defaults, settings.type)
        try:
            scan = await self._scan(source, known.fingerprints_for(reading))
            changes = decide_changes(
                scan,
                known.stored,
                known.broken,
                first_scan=known.first_scan,
                allow_mass_withdrawal=settings.allow_mass_withdrawal,
            )
        except SourceUnavailable as error:
            async with database.write() as session:
                await scans.fail_scan(session, key, str(error), parts.clock())
            raise
        stored = Stored()
        for batch in changes.batches():
            read = await asyncio.to_thread(read_changes, batch, defaults)
            async with database.write() as session:
                stored += await store_changes(
                    session,
                    key,
                    read,
                    now=parts.clock(),
                    announce=settings.announce_existing or not known.first_scan,
                )
                if stored.anything:
                    await changed.mark_changed(session)
        async with database.write() as session:
            await scans.finish_scan(
                session,
                scan,
                changes,
                now=parts.clock(),
                changed=stored.anything,
                read_with=reading,
            )
            problems = await scans.load_problems(session, key)
        return Ingested(
            stored,
            changes.unchanged,
            tuple(problems),
        )

    async def _scan(self, source: SourcePort, known: Mapping[str, str]) -> Scan:
        """Look until nothing is being written any more, or for three seconds."""
        for _ in range(_SETTLING_LOOKS):
            scan = await asyncio.to_thread(source.scan, known)
            if not scan.unsettled:
                break
            await asyncio.sleep(_SETTLING_SECONDS)
        return scan

    def _defaults(self, source: SourceSettings) -> Defaults:
        settings = self._parts.settings
        return Defaults(
            language=source.language or settings.language,
            zone=ZoneInfo(source.time_zone or settings.time_zone),
            section=source.section,
            site_url=settings.base_url,
        )

    # -- article -> feed documents ---------------------------------------------------------------

    async def publish(self) -> list[ServedDocument]:
        """Publish every article whose time has come, then renew the feeds; changed documents."""
        async with self._publishing:
            while True:
                async with self._parts.database.write() as session:
                    published = await publish.publish_due(session, self._parts.clock())
                    if published:
                        await changed.mark_changed(session)
                if len(published) < publish.MAX_BATCH:
                    break
            await self._wait_for_next_second()
            renewed = []
            for spec in self._parts.feeds:
                try:
                    renewed += await self._publish_feed(spec)
                except DatabaseUnavailable:
                    raise
                except Exception as error:
                    # One feed that fails must not hold up the others; the sweep comes back to it.
                    fault = f"{type(error).__name__}: {error}"
                    log.error("feed not published", feed=spec.key, fault=fault)
                    self._feeds_rest_until = self._parts.clock() + _FEED_REST
            return renewed

    async def _publish_feed(self, spec: FeedSpec) -> list[ServedDocument]:
        database = self._parts.database
        async with database.read() as session:
            basis = await changed.load_change(session)
            articles = await select_articles(session, spec.selection, spec.window)
        rendered = await asyncio.to_thread(render_documents, spec, articles, self._fragments)
        async with database.write() as session:
            await save_set_aside(session, articles, rendered.set_aside)
            renewed = await store_documents(session, spec.key, rendered, self._parts.clock(), basis)
        if renewed:
            self._parts.serve(renewed)
        return renewed

    async def _wait_for_next_second(self) -> None:
        """A feed is published at most once a second, so that its date is never in the future."""
        if self._published_at is not None:
            wait = self._published_at + timedelta(seconds=1) - self._parts.clock()
            if timedelta(0) < wait <= timedelta(seconds=1):
                await asyncio.sleep(wait.total_seconds())
        self._published_at = self._parts.clock()

    # -- article -> edition -> cohorts -----------------------------------------------------------

    async def fire(self) -> list[int]:
        """Make the edition of every schedule whose period has come; ids of those made here."""
        async with self._parts.database.write() as session:
            made = await fire.fire_due(session, self._parts.clock())
            for one in made:
                await self._parts.jobs.put(
                    session, "compose", {"edition": one}, once=f"compose:{one}"
                )
        return made

    async def compose(self, edition_id: int) -> EditionState | None:
        """Write an edition's deliveries and freeze it; None when there was nothing to do."""
        if edition_id in self._composing:
            return None
        self._composing.add(edition_id)
        try:
            return await self._compose(edition_id)
        finally:
            self._composing.discard(edition_id)

    async def _compose(self, edition_id: int) -> EditionState | None:
        database, clock = self._parts.database, self._parts.clock
        for _ in range(_PASSES):
            async with database.read() as session:
                composing = await freeze.load_composing(session, edition_id)
                if composing is None:
                    return None
                cut_seq = composing.wave.cut_seq
                groups = await readers.load_groups(session, composing.edition, cut_seq)
                from_seq = min((group.from_seq for group in groups), default=cut_seq)
                facts = await freeze.load_announced(session, composing.selection, from_seq, cut_seq)
            grouping = await asyncio.to_thread(
                group_readers,
                groups,
                facts,
                cut_seq=cut_seq,
                max_items=composing.newsletter.max_items,
                theme=composing.newsletter.theme,
            )
            cohort_ids = {
                key: await self._make_cohort(composing, plan)
                for key, plan in grouping.cohorts.items()
            }
            for group in groups:
                await self._write_group(composing, group, grouping, cohort_ids)
            async with database.write() as session:
                state = await progress.freeze_edition(session, composing, clock())
                if state is EditionState.FROZEN:
                    await self._parts.jobs.put(session, "deliver", {}, once="deliver")
            if state is not None:
                return state
        return None  # readers came faster than they were written; the sweep comes back to it

    async def _make_cohort(self, composing: Composing, plan: CohortPlan) -> int:
        """Render a cohort once for this edition, outside of any transaction, and store it."""
        database, edition_id = self._parts.database, composing.edition.id or 0
        async with database.read() as session:
            found = await freeze.find_cohort(session, edition_id, plan.key)
            if found is not None:
                return found
            articles = await freeze.load_articles(session, plan.items)
        mail = await asyncio.to_thread(
            self._parts.digests.render,
            composing.newsletter,
            composing.schedule,
            articles,
            language=plan.language,
            more_count=sum(item.outcome is ItemOutcome.AND_MORE for item in plan.items),
            due_at=composing.wave.due_at,
        )
        rendered = RenderedCohort(mail.subject, mail.html, mail.text, mail.page, mail.shown)
        async with database.write() as session:
            return await freeze.store_cohort(
                session, edition_id, plan, composing.newsletter.theme, rendered
            )

    async def _write_group(
        self,
        composing: Composing,
        group: ReaderGroup,
        grouping: Grouping,
        cohort_ids: Mapping[str, int],
    ) -> None:
        key = grouping.cohort_of.get(group)
        hours = self._parts.settings.sending.digest_expires_hours
        after_id: int | None = 0
        while after_id is not None:
            async with self._parts.database.write() as session:
                after_id = await freeze.store_chunk(
                    session,
                    composing,
                    group,
                    cohort_ids[key] if key is not None else None,
                    after_id=after_id,
                    now=self._parts.clock(),
                    expires_after=timedelta(hours=hours),
                )

    # -- messages -> deliveries -> relay -> subscriber -------------------------------------------

    async def deliver(self) -> int:
        """Send all that can be sent now, and close the editions that are through; how many ended.

        One at a time in a process: a second call returns at once, and leaves the work to the first.
        """
        database, clock = self._parts.database, self._parts.clock
        async with database.write() as session:
            await progress.start_frozen(session)
        if self._delivering or self.stopping.is_set():
            return 0
        self._delivering = True
        try:
            ended = await self._parts.sender.drain(self.stopping)
            async with database.read() as session:
                waited_for = (await progress.find_unfinished(session)).get(EditionState.SENDING)
            for edition_id in waited_for or []:
                await self._try_compose(edition_id)
            async with database.write() as session:
                await progress.finish_sent(session, clock())
        finally:
            self._delivering = False
        return ended

    # -- what leads from one step to the next ----------------------------------------------------

    async def sweep(self) -> None:
        """Ask for every step that rows are waiting for: memory may forget, the rows do not."""
        now = self._parts.clock()
        async with self._parts.database.read() as session:
            due = await fire.is_anything_due(session, now)
            unfinished = await progress.find_unfinished(session)
            mail_at = await next_due_at(session)
            article_at = await publish.next_publication_at(session)
            basis = await load_basis(session)
            behind = basis is not None and basis < await changed.load_change(session)
        if due:
            await self.fire()
        asked: list[tuple[str, dict[str, Any], str]] = [
            ("compose", {"edition": one}, f"compose:{one}")
            for one in unfinished.get(EditionState.COMPOSING, [])
            if self._compose_rests.get(one, now) <= now
        ]
        waits = EditionState.FROZEN in unfinished or EditionState.SENDING in unfinished
        if waits or (mail_at is not None and mail_at <= now):
            asked.append(("deliver", {}, "deliver"))
        rested = self._feeds_rest_until is None or self._feeds_rest_until <= now
        if (article_at is not None and article_at <= now) or (behind and rested):
            asked.append(("publish", {}, "publish"))
        await self._ask(*asked)

    async def load_due_times(self) -> dict[int, datetime]:
        """Schedule id -> when it comes due next, for the scheduler's clock."""
        async with self._parts.database.read() as session:
            return await fire.load_due_times(session, self._parts.clock())

    async def ask_ingest(self, key: str) -> None:
        """Have a source looked at soon."""
        await self._ask(("ingest", {"source": key}, f"ingest:{key}"))

    async def ask_deliver(self) -> None:
        """Have waiting mail sent soon."""
        await self._ask(("deliver", {}, "deliver"))

    async def _ask(self, *asked: tuple[str, dict[str, Any], str]) -> None:
        """Put jobs: name, payload, and the key under which at most one waits."""
        if not asked:
            return
        async with self._parts.database.write() as session:
            for name, payload, once in asked:
                await self._parts.jobs.put(session, name, payload, once=once)

    async def _ingest_job(self, payload: dict[str, Any]) -> None:
        key, started_at = payload["source"], self._parts.clock()
        try:
            ingested = await self.ingest(key)
        except SourceUnavailable as error:
            log.error("source unavailable", source=key, reason=str(error))
            return
        for problem in ingested.problems:
            if problem.seen_at >= started_at:
                log.warning("article refused", source=key, problem=str(as_problem(problem)))
        if ingested.stored.anything:
            log.info("source read", source=key, **asdict(ingested.stored))
            await self.publish()

    async def _publish_job(self, _payload: dict[str, Any]) -> None:
        await self.publish()

    async def _compose_job(self, payload: dict[str, Any]) -> None:
        await self._try_compose(payload["edition"])

    async def _try_compose(self, edition_id: int) -> None:
        """Compose an edition; one that cannot be is said, kept, and left alone for a while."""
        try:
            await self.compose(edition_id)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # A template of one newsletter must not hold up the editions of the others.
            fault = f"cannot be composed: {type(error).__name__}: {error}"
            log.error("edition not composed", edition=edition_id, fault=fault)
            self._compose_rests[edition_id] = self._parts.clock() + _COMPOSE_REST
            async with self._parts.database.write() as session:
                await progress.note_fault(session, edition_id, fault)

    async def _deliver_job(self, _payload: dict[str, Any]) -> None:
        await self.deliver()
