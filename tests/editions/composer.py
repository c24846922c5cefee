"""Composing as the pipeline does it, with a mail of a few bytes; can be cut off as by a crash."""

from dataclasses import replace
from datetime import datetime, timedelta

from newsroom import NOW

from feedsvc.db.engine import Database
from feedsvc.editions import composing, freeze, progress, readers
from feedsvc.editions.cohort_store import RenderedCohort, find_cohorts, store_cohort
from feedsvc.editions.cohorts import Selector, drop_all, group_readers
from feedsvc.editions.compose import told_by_story
from feedsvc.model.edition import EditionState, GroupOutcome
from feedsvc.model.newsletter import CatchUp


async def compose(
    database: Database, edition_id: int, *, now: datetime = NOW, until_chunk: int = 99
) -> EditionState | None:
    """Compose what is due of an edition; `until_chunk` stops early, as a crash would."""
    state = None
    async with database.read() as session:
        waves = await composing.find_waves(session, edition_id, now)
    for wave_id in waves:
        state = await _compose_wave(database, wave_id, now, until_chunk)
    return state


async def _compose_wave(
    database: Database, wave_id: int, now: datetime, until_chunk: int
) -> EditionState | None:
    async with database.read() as session:
        wave = await composing.load_composing(session, wave_id)
        assert wave is not None
        cut_seq, audience, edition_id = wave.wave.cut_seq, wave.audience, wave.edition.id or 0
        groups = await readers.load_groups(session, audience)
        facts = await composing.load_announced(session, wave.newsletter, 0, cut_seq)
        told = await composing.load_told(
            session, facts, max((one.from_seq for one in groups), default=0)
        )
        if told:
            audience = replace(audience, told=tuple(one[1] for one in told))
            groups = await readers.load_groups(session, audience)
    rules = wave.rules(told=told_by_story(told))
    grouping = group_readers(groups, Selector(facts, rules, cut_seq))
    outcomes = frozenset(GroupOutcome)
    if wave.wave.missed is CatchUp.DROP:
        grouping, outcomes = drop_all(groups), frozenset({GroupOutcome.DROPPED})
    async with database.write() as session:
        made = await find_cohorts(session, edition_id)
        for key, plan in grouping.cohorts.items():
            if key not in made:
                mail = RenderedCohort("头条", "<p></p>", "", "", len(plan.items))
                made[key] = await store_cohort(session, edition_id, plan, "plain", mail)
        await freeze.store_groups(session, wave_id, groups, grouping, made)
        slices = await readers.load_slices(session, audience)
    for one in slices:
        after_id = 0
        async with database.read() as session:
            stops = await freeze.load_stops(session, one, chunk=2)
        for stop_id in stops:
            if until_chunk <= 0:
                return None
            until_chunk -= 1
            async with database.write() as session:
                await freeze.store_chunk(
                    session,
                    audience,
                    one,
                    wave_id,
                    after_id=after_id,
                    stop_id=stop_id,
                    outcomes=outcomes,
                    now=now,
                    expires_after=timedelta(hours=24),
                )
            after_id = stop_id
    async with database.read() as session:
        standing = await readers.load_standing(session, audience, wave_id)
    async with database.write() as session:
        state = await progress.freeze_wave(session, wave, standing, now)
        assert state is not None
        return state
