"""The walk, in order: the table of contents of the product.

    source -> raw item -> article -> feed documents -> reader
                                  -> edition -> cohorts -> messages -> deliveries -> subscriber

Ordering only: no rule and no SQL. It opens transactions, and passes sessions, values and
functions between the stages. Every step may run again after a crash, or on another node beside.
"""

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.audience import choices
from feedsvc.deliveries import mail_domains, throttles
from feedsvc.deliveries.due import next_due_at
from feedsvc.editions import control, fire, progress, review, welcome, withdrawals
from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import as_problem
from feedsvc.pipeline.composition import Composition
from feedsvc.pipeline.distribution import Distribution
from feedsvc.pipeline.following import Following
from feedsvc.pipeline.intake import Ingested, Intake
from feedsvc.pipeline.letters import Letters
from feedsvc.pipeline.parts import Parts

__all__ = ["Ingested", "Parts", "Pipeline"]

log = structlog.get_logger(__name__)


class Pipeline:
    """The steps of the walk, each safe to repeat, and the jobs that lead from one to the next."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        #: Set when the process is to end: nothing new is claimed.
        self.stopping = asyncio.Event()
        self._distribution = Distribution(
            database=parts.database,
            fetcher=parts.fetcher,
            jobs=parts.jobs,
            clock=parts.clock,
            settings=parts.settings,
            stopping=self.stopping,
        )
        self._following = Following(parts, self._distribution)
        self._letters = Letters(parts)
        self._publication = self._following.publication
        self._composition = Composition(parts, self._letters)
        # source -> raw item -> article
        self.ingest = Intake(parts).ingest
        # article -> feed documents
        self.publish = self._following.publish
        self.publish_now = self._following.publish_now
        # edition -> cohorts -> deliveries
        self.compose = self._composition.compose
        # document -> archive page, file
        self.open_page, self.export = self._following.open_page, self._following.export
        self.count_readers = self._following.count_readers
        #: What is published, as the configuration says it.
        self.feeds = parts.feeds
        self._delivering = False
        for name, handler in {
            "ingest": self._ingest_job,
            "publish": self._publish_job,
            "compose": self._compose_job,
            "deliver": self._deliver_job,
            "compress": self._compress_job,
            "cancel": self._cancel_job,
            "withdraw": self._withdraw_job,
            "welcome": self._welcome_job,
        }.items():
            parts.jobs.register(name, handler)

    # -- schedule -> edition ---------------------------------------------------------------------

    async def fire(self) -> list[int]:
        """Make the edition of every schedule whose period has come, and end drafts whose time has.

        Returns:
            The editions that are to be composed.
        """
        database, clock = self._parts.database, self._parts.clock
        async with database.read() as session:
            firings = await fire.find_firings(session, clock())
        made: list[int] = []
        for firing in firings:
            async with database.write() as session:
                edition_id = await fire.make_firing(session, firing, clock())
                made += await self._ask_compose(session, [edition_id] if edition_id else [])
        async with database.write() as session:
            closed = await review.close_due_drafts(session, clock())
            made += await self._ask_compose(session, closed)
        return made

    async def _ask_compose(self, session: AsyncSession, edition_ids: list[int]) -> list[int]:
        for one in edition_ids:
            await self._parts.jobs.put(session, "compose", {"edition": one}, once=f"compose:{one}")
        return edition_ids

    async def resume(self) -> int:
        """Let subscribers go on whose pause is over; how many."""
        resumed = piece = choices.PIECE
        while piece >= choices.PIECE:
            async with self._parts.database.write() as session:
                piece = await choices.resume_due(session, self._parts.clock(), choices.PIECE)
            resumed += piece
        return resumed - choices.PIECE

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
                unfinished = await progress.find_unfinished(session, clock())
            for edition_id in unfinished.waited_for:
                await self._composition.follow_up(edition_id)
            async with database.write() as session:
                await progress.finish_sent(session, clock())
        finally:
            self._delivering = False
        return ended

    async def start(self) -> None:
        """Renew what a change of the configuration asks for, and tell those who were not told."""
        try:
            await self.publish()
            await self.prune()
            await self._following.start()
        except Exception:
            self._following.fall_behind()
            raise

    async def catch_up(self) -> None:
        """Do what a start, or what follows a publication, left undone because something failed."""
        if self._following.is_behind():
            await self.start()

    async def prune(self) -> None:
        """Forget what belongs to no feed, no subscriber of the hub and no limit any more."""
        await self._publication.prune()
        await self._distribution.prune()
        async with self._parts.database.write() as session:
            await throttles.prune(session, self._parts.clock())
            await mail_domains.prune(session, self._parts.clock())

    # -- what leads from one step to the next ----------------------------------------------------

    async def sweep(self) -> None:
        """Ask for every step that rows are waiting for: memory may forget, the rows do not."""
        now = self._parts.clock()
        async with self._parts.database.read() as session:
            due = await fire.is_anything_due(session, now) or await review.has_due_drafts(
                session, now
            )
            rested = await choices.has_due(session, now)
            withdrawn = await withdrawals.is_shown(session, now)
            newcomers = await welcome.has_due(session)
            unfinished = await progress.find_unfinished(session, now)
            mail_at = await next_due_at(session)
        if rested:
            await self.resume()
        if due:
            await self.fire()
        asked: list[tuple[str, dict[str, Any], str]] = [
            ("compose", {"edition": one}, f"compose:{one}")
            for one in unfinished.compose
            if self._composition.is_rested(one, now)
        ]
        if withdrawn:
            asked.append(("withdraw", {}, "withdraw"))
        if newcomers:
            asked.append(("welcome", {}, "welcome"))
        if unfinished.cancelled:
            asked.append(("cancel", {}, "cancel"))
        if unfinished.deliver or (mail_at is not None and mail_at <= now):
            asked.append(("deliver", {}, "deliver"))
        if await self._publication.is_wanted(now):
            asked.append(("publish", {}, "publish"))
        elif await self._publication.is_sparse(now):
            asked.append(("compress", {}, "compress"))
        await self._ask(*asked)
        await self._distribution.sweep()

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
            await self._letters.handle_withdrawals(at_once=True)
            await self.publish()
        if ingested.unsettled:
            await self.ask_ingest(key)

    async def _publish_job(self, _payload: dict[str, Any]) -> None:
        await self.publish()

    async def _compress_job(self, _payload: dict[str, Any]) -> None:
        await self._following.replace()

    async def _compose_job(self, payload: dict[str, Any]) -> None:
        await self._composition.try_compose(payload["edition"])

    async def _cancel_job(self, _payload: dict[str, Any]) -> None:
        """End what cancelled editions have not sent, a piece at a time."""
        ended = control.PIECE
        while ended and not self.stopping.is_set():
            async with self._parts.database.write() as session:
                ended = await control.finish_cancelled(session, control.PIECE, self._parts.clock())

    async def _withdraw_job(self, _payload: dict[str, Any]) -> None:
        await self._letters.handle_withdrawals()

    async def _welcome_job(self, _payload: dict[str, Any]) -> None:
        while await self._letters.welcome() and not self.stopping.is_set():
            pass

    async def _deliver_job(self, _payload: dict[str, Any]) -> None:
        await self.deliver()
