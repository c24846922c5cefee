"""What follows a publication once its documents are served. Ordering only.

What fails here is made good later: hubs are told by rows, and files compared with what is stored.
"""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path

import structlog

from feedsvc.errors import ExportFailed
from feedsvc.feeds.archive.pages import ArchiveMoved, open_archive
from feedsvc.feeds.archive.plan import parse_archive_path
from feedsvc.feeds.catalogue import find_feed
from feedsvc.feeds.documents.export import ExportOutcome
from feedsvc.feeds.readers.store import KEPT, prune_readers, save_counts
from feedsvc.model.feed import ServedDocument, document_path
from feedsvc.pipeline.distribution import Distribution
from feedsvc.pipeline.export import Export
from feedsvc.pipeline.parts import Parts
from feedsvc.pipeline.publication import Publication, Renewed

log = structlog.get_logger(__name__)

#: How long what failed is left alone: at first, and at most.
_REST, _LONGEST_REST = timedelta(seconds=30), timedelta(minutes=30)
_MOST_ATTEMPTS = 10


class Following:
    """Tells hubs, writes files, and opens archive pages."""

    def __init__(self, parts: Parts, distribution: Distribution) -> None:
        self._parts, self._distribution = parts, distribution
        self.publication = Publication(parts, self._follow)
        self._export = Export(parts, self.publication.fragments)
        #: How often something failed that hubs or files may lack, and how much of it is made good.
        self._failures = self._made_good = 0
        #: How often that was tried since all was well, and when it is to be tried again.
        self._attempts, self._next_at = 0, parts.clock()

    async def publish(self) -> list[ServedDocument]:
        """As Publication.publish. What then fails is made good by `start`."""
        try:
            return await self.publication.publish()
        except Exception:
            self.fall_behind()
            raise

    def is_behind(self) -> bool:
        """Whether it is time to `start` once more, because something was left undone."""
        return self._failures > self._made_good and self._next_at <= self._parts.clock()

    def fall_behind(self) -> None:
        """Note that something was left undone."""
        if self._failures == self._made_good:
            self._attempts, self._next_at = 0, self._parts.clock() + _REST
        self._failures += 1

    async def publish_now(self) -> list[ServedDocument]:
        """As `publish`, and again for feeds that changed twice within a second."""
        renewed = await self.publish()
        for _ in range(_MOST_ATTEMPTS):
            wait_s = self.publication.seconds_to_wait()
            if wait_s is None:
                break
            await asyncio.sleep(wait_s)
            renewed = renewed + await self.publish()
        return renewed

    async def _follow(self, renewed: Renewed) -> None:
        await self._distribution.announce(renewed.documents)
        folder = self._parts.export_folder
        if folder is None:
            return
        export = self._export
        await self._try_export(export.remove_pages(folder, renewed.replaced))
        await self._try_export(export.write_changed(folder, renewed.documents))
        for spec in renewed.specs:
            if names := renewed.pages.get(spec.key):
                await self._try_export(export.write_pages(folder, spec, names))

    async def _try_export(self, step: Awaitable[object]) -> bool:
        """A folder that cannot be written holds up nobody who is served from memory."""
        try:
            await step
        except ExportFailed as error:
            log.error("feeds not exported", reason=str(error))
            self.fall_behind()
            return False
        return True

    async def start(self) -> None:
        """Bring what is outside in line with what is stored, as far as the last attempt failed."""
        failures = self._failures
        self._attempts = min(self._attempts + 1, _MOST_ATTEMPTS)
        self._next_at = self._parts.clock() + min(_REST * 2**self._attempts, _LONGEST_REST)
        await self._distribution.start()
        folder = self._parts.export_folder
        if folder is None or await self._try_export(self.export(folder)):
            self._made_good, self._attempts = failures, 0

    async def export(self, folder: Path) -> ExportOutcome:
        """Make a folder equal to what is published. Raises ExportFailed."""
        return await self._export.write_all(folder)

    async def replace(self) -> None:
        """Make smaller codings of what has stayed as it is for a while."""
        replaced = await self.publication.compress()
        folder = self._parts.export_folder
        if replaced and folder is not None:
            await self._try_export(self._export.write_changed(folder, replaced))

    async def count_readers(self) -> None:
        """Store who has fetched feeds since the last time, as numbers."""
        readers, now = self._parts.readers, self._parts.clock()
        await readers.gather(now)  # so that no lock is held meanwhile
        async with self._parts.database.write() as session:
            await save_counts(session, readers, now)
            await prune_readers(session, now - KEPT)

    async def open_page(self, path: str) -> ServedDocument | str | None:
        """The archive page at a path, or the path it has moved to; None: there is none.

        Args:
            path: as in ServedDocument.path.
        """
        address = parse_archive_path(path)
        if address is None:
            return None
        key, name, feed_format = address
        async with self._parts.database.read() as session:
            spec = await find_feed(session, self._parts.feeds, key)
            if spec is None:
                return None
            found = await open_archive(session, spec, name, feed_format, self.publication.fragments)
        if isinstance(found, ArchiveMoved):
            return document_path(key, feed_format, found.name)
        return found
