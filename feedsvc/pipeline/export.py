"""The part of the walk that leads to a folder: document -> file. Ordering only."""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from feedsvc.errors import ExportFailed
from feedsvc.feeds.archive.pages import list_pages, render_pages
from feedsvc.feeds.catalogue import load_specs
from feedsvc.feeds.documents.export import ExportOutcome, export_documents, remove_documents
from feedsvc.feeds.documents.store import load_documents
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.feed import ArchiveName, FeedFormat, ServedDocument, document_path
from feedsvc.pipeline.parts import Parts

#: Documents of archive pages that are in memory at a time.
_PAGES_AT_ONCE = 50
#: Feeds whose documents are in memory at a time.
_FEEDS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class _Pages:
    """Archive pages of a feed, and where their documents belong."""

    spec: FeedSpec
    names: tuple[ArchiveName, ...]

    def paths(self, names: Iterable[ArchiveName]) -> set[str]:
        """Paths of the documents of some of them."""
        return {
            document_path(self.spec.key, feed_format, name)
            for name in names
            for feed_format in self.spec.formats
        }


class Export:
    """Keeps a folder equal to what is served."""

    def __init__(self, parts: Parts, fragments: FragmentCache) -> None:
        self._parts, self._fragments = parts, fragments

    async def write_all(self, folder: Path) -> ExportOutcome:
        """Write every document and archive page that is missing or older, and remove the others.

        Raises:
            ExportFailed: something stands in the way; the rest is done.
        """
        known_at = self._parts.clock()
        async with self._parts.database.read() as session:
            specs = await load_specs(session, self._parts.feeds)
            pages = [_Pages(spec, tuple(await list_pages(session, spec))) for spec in specs]
        keep = set[str]().union(*(one.paths(one.names) for one in pages))
        outcome, problems = ExportOutcome(), list[str]()
        for start in range(0, len(specs), _FEEDS_AT_ONCE):
            keys = [spec.key for spec in specs[start : start + _FEEDS_AT_ONCE]]
            async with self._parts.database.read() as session:
                some = await load_documents(session, self._parts.settings.base_url, keys)
            keep.update(one.path for one in some)
            written = asyncio.to_thread(export_documents, folder, some, None)
            await _add(outcome, problems, written)
        removed = asyncio.to_thread(export_documents, folder, (), keep, known_at)
        await _add(outcome, problems, removed)
        for one in pages:
            missing = await asyncio.to_thread(_find_missing, folder, one)
            await _add(outcome, problems, self.write_pages(folder, one.spec, missing))
        if problems:
            raise ExportFailed("; ".join(dict.fromkeys(problems)))
        return outcome

    async def write_changed(self, folder: Path, documents: Collection[ServedDocument]) -> None:
        """Write documents that have just been stored. Raises ExportFailed."""
        await asyncio.to_thread(export_documents, folder, documents, None)

    async def write_pages(
        self, folder: Path, spec: FeedSpec, names: Collection[ArchiveName]
    ) -> ExportOutcome:
        """Write archive pages of a feed. Raises ExportFailed."""
        outcome, problems, ordered = ExportOutcome(), list[str](), list(names)
        for start in range(0, len(ordered), _PAGES_AT_ONCE):
            some = ordered[start : start + _PAGES_AT_ONCE]
            async with self._parts.database.read() as session:
                rendered = [one async for one in render_pages(session, spec, some, self._fragments)]
            written = asyncio.to_thread(export_documents, folder, rendered, None)
            await _add(outcome, problems, written)
        if problems:
            raise ExportFailed("; ".join(dict.fromkeys(problems)))
        return outcome

    async def remove_pages(
        self, folder: Path, replaced: Mapping[str, Iterable[ArchiveName]]
    ) -> None:
        """Remove archive pages that lead elsewhere by now, of feeds. Raises ExportFailed."""
        paths = [
            document_path(key, feed_format, name)
            for key, names in replaced.items()
            for name in names
            for feed_format in FeedFormat
        ]
        await asyncio.to_thread(remove_documents, folder, paths)


def _find_missing(folder: Path, pages: _Pages) -> list[ArchiveName]:
    """Pages of which a document is not there as a file. Blocking."""
    return [
        name
        for name in pages.names
        if not all((folder / path).exists() for path in pages.paths([name]))
    ]


async def _add(outcome: ExportOutcome, problems: list[str], work: Awaitable[ExportOutcome]) -> None:
    """Do a part of the work, and note what came of it; what fails holds up no other part."""
    try:
        other = await work
    except ExportFailed as error:
        problems.append(str(error))
        return
    outcome.written += other.written
    outcome.unchanged += other.unchanged
    outcome.removed += other.removed
    outcome.left += other.left
