"""The first part of the walk: source -> raw item -> article. Ordering only."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from feedsvc.articles import changed, scans
from feedsvc.articles.changes import Changes, decide_changes
from feedsvc.articles.ingest import read_changes
from feedsvc.articles.parse import Defaults, name_reading
from feedsvc.articles.store import Stored, store_changes
from feedsvc.config import SourceSettings
from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import Scan, SourceProblem
from feedsvc.model.ports import SourcePort
from feedsvc.pipeline.parts import Parts

#: How often, and how long apart, a source is looked at while something is being written there.
_SETTLING_LOOKS = 6
_SETTLING_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one look at a source came to."""

    stored: Stored
    unchanged: int
    #: Items that are no articles at present, until they are mended.
    problems: tuple[SourceProblem, ...]
    #: Something was still being written there when looking ended.
    unsettled: bool = False


class Intake:
    """Takes over what sources hold."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def ingest(self, key: str) -> Ingested:
        """Look at a source once, and take over what is new, changed or gone there.

        Raises:
            SourceUnavailable: it is missing or unreadable, or has lost so much at once that
                nothing was withdrawn; what was new or changed there has been taken over.
        """
        parts, database = self._parts, self._parts.database
        source, settings = parts.sources[key], parts.settings.sources[key]
        async with database.read() as session:
            known = await scans.load_known(session, key)
        defaults = self._defaults(settings)
        reading = name_reading(defaults, settings.type)
        try:
            scan = await self._scan(source, known.fingerprints_for(reading))
        except SourceUnavailable as error:
            async with database.write() as session:
                await scans.fail_scan(session, key, str(error), parts.clock())
            raise
        changes, loss = _decide(scan, known, settings.allow_mass_withdrawal)
        stored = Stored()
        for batch in changes.batches():
            read = await asyncio.to_thread(read_changes, batch, defaults)
            async with database.write() as session:
                stored += await store_changes(
                    session,
                    key,
                    read,
                    now=parts.clock(),
                    announce=settings.announce_existing or not changes.first_scan,
                )
                if stored.anything:
                    await changed.mark_items_changed(
                        session,
                        key,
                        [one.change.key for one in read],
                        [one.change.stored.article_id for one in read if one.change.stored],
                    )
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
            if loss is not None:
                await scans.fail_scan(session, key, str(loss), parts.clock())
        if loss is not None:
            raise loss
        return Ingested(
            stored,
            changes.unchanged,
            tuple(problems),
            scan.unsettled,
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


def _decide(
    scan: Scan, known: scans.Known, allow_mass_withdrawal: bool
) -> tuple[Changes, SourceUnavailable | None]:
    """What is to be done, and why what is missing stays, if it does."""

    def decide(seen: Scan) -> Changes:
        return decide_changes(
            seen,
            known.stored,
            known.broken,
            first_scan=known.first_scan,
            allow_mass_withdrawal=allow_mass_withdrawal,
        )

    try:
        return decide(scan), None
    except SourceUnavailable as loss:
        # What is missing without having moved counts as there, so that the news still goes out.
        moved = set(scan.present.values())
        missing = {
            key: one.fingerprint
            for key, one in known.stored.items()
            if key not in scan.present and one.fingerprint not in moved
        }
        return decide(replace(scan, present={**scan.present, **missing})), loss
