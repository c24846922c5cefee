"""The part of the walk before the mail: edition -> cohorts -> deliveries. Ordering only."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from feedsvc.editions import freeze, progress, readers
from feedsvc.editions.cohorts import CohortPlan, Grouping, ReaderGroup, group_readers
from feedsvc.editions.freeze import Composing, RenderedCohort
from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.edition import EditionState, ItemOutcome
from feedsvc.pipeline.parts import Parts

log = structlog.get_logger(__name__)

#: Looks for readers who came while an edition was composed.
_PASSES = 20
#: How long an edition that could not be composed is left alone.
_COMPOSE_REST = timedelta(seconds=30)


class Composition:
    """Writes the deliveries of editions, each edition once at a time in a process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._composing: set[int] = set()
        #: Edition -> until when a failed one is left alone.
        self._rests: dict[int, datetime] = {}

    def is_rested(self, edition_id: int, now: datetime) -> bool:
        """Whether an edition may be tried, or tried again."""
        return self._rests.get(edition_id, now) <= now

    async def try_compose(self, edition_id: int) -> None:
        """Compose an edition; one that cannot be is said, kept, and left alone for a while."""
        try:
            await self.compose(edition_id)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # A template of one newsletter must not hold up the editions of the others.
            fault = f"cannot be composed: {type(error).__name__}: {error}"
            log.error("edition not composed", edition=edition_id, fault=fault)
            self._rests[edition_id] = self._parts.clock() + _COMPOSE_REST
            async with self._parts.database.write() as session:
                await progress.note_fault(session, edition_id, fault)

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
