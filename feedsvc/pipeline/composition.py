"""The part of the walk before the mail: edition -> cohorts -> deliveries. Ordering only."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from feedsvc.editions import cohort_store, composing, freeze, progress, readers
from feedsvc.editions.cohorts import Grouping, ReaderGroup, Selector, drop_all, group_readers
from feedsvc.editions.compose import ArticleFacts, above_of, told_by_story
from feedsvc.editions.composing import Composing
from feedsvc.editions.notes import load_notes
from feedsvc.editions.readers import Audience, Slice
from feedsvc.errors import ArticleChanged, DatabaseUnavailable
from feedsvc.model.edition import EditionState, GroupOutcome
from feedsvc.model.newsletter import CatchUp
from feedsvc.pipeline.letters import Letters, render_cohort
from feedsvc.pipeline.parts import Parts
from feedsvc.pipeline.turns import Turns

log = structlog.get_logger(__name__)

#: Looks for readers who came while an edition was composed.
_PASSES = 20
#: How long an edition that could not be composed is left alone.
_COMPOSE_REST = timedelta(seconds=30)
#: A look for readers who waited is at all readers: it takes a part of the time at most.
_FOLLOW_UP_PART = 20


@dataclass(frozen=True, slots=True)
class Decided:
    """What a wave comes to for each group of its readers."""

    audience: Audience
    groups: Sequence[ReaderGroup]
    grouping: Grouping
    #: Language -> pinned notes.
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def outcomes(self) -> frozenset[GroupOutcome]:
        """What there is among the groups."""
        mailed = {GroupOutcome.MAILED} if self.grouping.cohort_of else set()
        return frozenset(mailed | {one.outcome for one in self.grouping.left_out.values()})


@dataclass(slots=True)
class Shared:
    """What waves of an edition that are composed together have in common, while it holds."""

    from_seq: int = 0
    cut_seq: int = -1
    facts: Sequence[ArticleFacts] = ()
    selector: Selector | None = None
    #: Language -> pinned notes of the edition.
    notes: dict[str, Sequence[str]] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin anew: something has changed."""
        self.cut_seq, self.selector = -1, None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A wave that has been decided about, and whose mails are made."""

    wave: Composing
    decided: Decided

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones of its readers as they stand in their rows."""
        return self.decided.audience.zones or ()


def combine(prepared: Sequence[Prepared]) -> list[list[Prepared]]:
    """Waves that can be written in one pass: alike in all but their zones."""
    alike: dict[object, list[Prepared]] = {}
    for one in prepared:
        if one.decided.groups:
            key = replace(one.decided.audience, zones=()), one.wave.wave.missed
            alike.setdefault(key, []).append(one)
    return list(alike.values())


class Composition:
    """Writes the deliveries of editions, each edition once at a time in a process."""

    def __init__(self, parts: Parts, letters: Letters) -> None:
        self._parts, self._letters = parts, letters
        self._composing: set[int] = set()
        self._turns = Turns(parts.database)
        self._preparing = asyncio.Lock()
        #: Edition -> until when a failed one is left alone.
        self._rests: dict[int, datetime] = {}
        #: Edition -> until when those who still wait are not looked for again.
        self._followed: dict[int, datetime] = {}

    def is_rested(self, edition_id: int, now: datetime) -> bool:
        """Whether an edition may be tried, or tried again."""
        return self._rests.get(edition_id, now) <= now

    async def follow_up(self, edition_id: int) -> None:
        """Compose for those who waited for an earlier mail, if they were not looked for lately."""
        begin = self._parts.clock()
        if self._followed.get(edition_id, begin) > begin or not self.is_rested(edition_id, begin):
            return
        await self.try_compose(edition_id)
        end = self._parts.clock()
        self._followed[edition_id] = end + (end - begin) * _FOLLOW_UP_PART

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
        """Write the deliveries of an edition's waves that are due, and freeze it.

        Returns:
            The state it came to; None when there was nothing to do.
        """
        if edition_id in self._composing:
            return None
        self._composing.add(edition_id)
        try:
            database, state = self._parts.database, None
            async with database.read() as session:
                is_letter = await composing.is_letter(session, edition_id)
                waves = await composing.find_waves(session, edition_id, self._parts.clock())
            if is_letter:
                return await self._letters.compose(edition_id)
            shared = Shared()
            for _ in range(_PASSES):
                waves, come_to = await self._compose_waves(waves, shared)
                state = come_to or state
                if not waves:
                    break
            return state  # what is left has come faster than it was written; the sweep comes back
        finally:
            self._composing.discard(edition_id)

    async def _compose_waves(
        self, wave_ids: Sequence[int], shared: Shared
    ) -> tuple[list[int], EditionState | None]:
        """Compose waves of one edition; those that somebody came to meanwhile, and its state."""
        database, clock = self._parts.database, self._parts.clock
        # One edition after another: the first is written while the next is rendered.
        async with self._preparing:
            prepared = [
                one for wave_id in wave_ids if (one := await self._prepare(wave_id, shared))
            ]
        for together in combine(prepared):
            await self._write(together)
        if prepared:
            # What was withdrawn since it was decided is found now, or by who withdrew it.
            await self._letters.handle_withdrawals(at_once=True)
        again: list[int] = []
        come_to = None
        for one in prepared:
            wave = one.wave
            async with database.read() as session:
                standing = await readers.load_standing(session, wave.audience, wave.wave.id or 0)
            async with self._turns.write() as session:
                state = await progress.freeze_wave(session, wave, standing, clock())
                if state is EditionState.FROZEN:
                    await self._parts.jobs.put(session, "deliver", {}, once="deliver")
            if state is None:
                again.append(wave.wave.id or 0)
            come_to = state or come_to
        return again, come_to

    async def _prepare(self, wave_id: int, shared: Shared) -> Prepared | None:
        """Decide about a wave and make its mails; None when its edition does not go on."""
        database = self._parts.database
        while True:
            async with database.read() as session:
                wave = await composing.load_composing(session, wave_id)
            if wave is None:
                return None
            decided = await self._decide(wave, shared)
            try:
                cohort_ids = await self._make_cohorts(wave, decided)
            except ArticleChanged:
                shared.forget()
                continue  # decided anew, about what there is now
            if decided.groups:
                async with self._turns.write() as session:
                    await freeze.store_groups(
                        session, wave_id, decided.groups, decided.grouping, cohort_ids
                    )
            return Prepared(wave, decided)

    async def _decide(self, wave: Composing, shared: Shared) -> Decided:
        """Who gets what; nothing is written."""
        edition, cut_seq, audience = wave.edition, wave.wave.cut_seq, wave.audience
        async with self._parts.database.read() as session:
            groups = await readers.load_groups(session, audience)
            if wave.wave.missed is CatchUp.DROP:
                return Decided(audience, groups, drop_all(groups))
            from_seqs = [group.from_seq for group in groups]
            from_seq = min(from_seqs, default=cut_seq)
            if shared.cut_seq != cut_seq or from_seq < shared.from_seq:
                shared.facts = await composing.load_announced(
                    session, wave.newsletter, from_seq, cut_seq
                )
                shared.from_seq, shared.cut_seq, shared.selector = from_seq, cut_seq, None
            told = await composing.load_told(session, shared.facts, max(from_seqs, default=0))
            if told:
                audience = replace(audience, told=tuple(article_id for _, article_id, _ in told))
                groups = await readers.load_groups(session, audience)
            due_at = edition.due_at or wave.wave.due_at
            for language in {group.language for group in groups} - shared.notes.keys():
                shared.notes[language] = await load_notes(
                    session, wave.newsletter.id or 0, due_at, language
                )
        rules = wave.rules(above_of(wave.curation.intro, shared.notes), told_by_story(told))
        if shared.selector is None or shared.selector.rules != rules:
            shared.selector = Selector(shared.facts, rules, cut_seq)
        grouping = await asyncio.to_thread(group_readers, groups, shared.selector)
        return Decided(audience, groups, grouping, shared.notes)

    async def _make_cohorts(self, wave: Composing, decided: Decided) -> dict[str, int]:
        """Render cohorts once for this edition, outside of any transaction, and store them."""
        edition_id, theme = wave.edition.id or 0, wave.newsletter.theme
        async with self._parts.database.read() as session:
            made = await cohort_store.find_cohorts(session, edition_id)
        for key, plan in decided.grouping.cohorts.items():
            if key in made:
                continue
            rendered = await render_cohort(
                self._parts,
                wave.newsletter,
                wave.schedule,
                plan,
                due_at=wave.wave.due_at,
                day=wave.day,
                intro=wave.curation.intro,
                notes=decided.notes.get(plan.language, ()),
            )
            async with self._turns.write() as session:
                made[key] = await cohort_store.store_cohort(
                    session, edition_id, plan, theme, rendered
                )
        return made

    async def _write(self, together: Sequence[Prepared]) -> None:
        """Write the mails of waves that are alike but for their zones, chunk by chunk."""
        database = self._parts.database
        audience, waves = together[0].decided.audience, {}
        if audience.zones is not None:
            waves = {zone: one.wave.wave.id or 0 for one in together for zone in one.zones}
            audience = replace(audience, zones=tuple(sorted(waves)))
        async with database.read() as session:
            slices = await readers.load_slices(session, audience)
            stops = {one: await freeze.load_stops(session, one) for one in slices}
        outcomes = frozenset().union(*(one.decided.outcomes for one in together))
        for one in slices:
            after_id = 0
            for stop_id in stops[one]:
                await self._write_chunk(
                    together[0].wave, audience, one, waves, outcomes, (after_id, stop_id)
                )
                after_id = stop_id

    async def _write_chunk(
        self,
        wave: Composing,
        audience: Audience,
        one: Slice,
        waves: Mapping[str, int],
        outcomes: frozenset[GroupOutcome],
        ids: tuple[int, int],
    ) -> None:
        sending, schedule = self._parts.settings.sending, wave.schedule
        async with self._turns.write() as session:
            await freeze.store_chunk(
                session,
                audience,
                one,
                waves or wave.wave.id or 0,
                after_id=ids[0],
                stop_id=ids[1],
                outcomes=outcomes,
                now=self._parts.clock(),
                expires_after=timedelta(hours=sending.digest_expires_hours),
                spread=timedelta(minutes=schedule.spread_minutes if schedule else 0),
            )
