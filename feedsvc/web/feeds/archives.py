"""Archive pages that were asked for lately, kept prepared within a number of bytes."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from feedsvc.model.feed import ServedDocument
from feedsvc.web.feeds.answers import Prepared

#: Asked with a document's path; answers its page, the path it moved to, or that there is none.
FindArchive = Callable[[str], Awaitable[ServedDocument | str | None]]

#: Some hundred pages of a large magazine.
MOST_BYTES = 32 * 1024 * 1024
#: How long a page is believed to be as it was. Another node may have replaced it, and withdrawn
#: what it holds; this one drops what it replaces itself at once.
MOST_SECONDS = 30.0
#: Pages that are looked up at the same time; further requests wait, and feeds do not wait for them.
_LOOKUPS = 4


class ArchiveShelf:
    """Archive pages: from memory, or from whoever makes them."""

    def __init__(
        self,
        find: FindArchive,
        prepare: Callable[[ServedDocument], Prepared],
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold nothing yet. `clock` counts seconds that never go back."""
        self._find = find
        self._prepare = prepare
        self._most = most_bytes
        self._clock = clock
        #: Path -> page, and until when it is believed.
        self._held: OrderedDict[str, tuple[Prepared, float]] = OrderedDict()
        self._held_bytes = 0
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        self._generation = 0

    async def open(self, path: str) -> Prepared | str | None:
        """The page at a path without a leading slash, the path it moved to, or None."""
        held = self._hold(path)
        if held is not None:
            return held
        async with self._lookups:
            held = self._hold(path)  # somebody else may have asked for it meanwhile
            if held is not None:
                return held
            generation = self._generation
            found = await self._find(path)
            if not isinstance(found, ServedDocument):
                return found
            prepared = self._prepare(found)
            # What was found before a publication may have been replaced by it.
            if generation == self._generation:
                self._put(path, prepared)
            return prepared

    def drop(self, feed: str) -> None:
        """Forget the pages of a feed: with its documents, its archive may have changed."""
        self._generation += 1
        for path in [path for path, (one, _) in self._held.items() if one.feed == feed]:
            self._drop(path)

    @property
    def held_bytes(self) -> int:
        """Bytes of all pages kept."""
        return self._held_bytes

    def _hold(self, path: str) -> Prepared | None:
        if path not in self._held:
            return None
        prepared, until = self._held[path]
        if until <= self._clock():
            self._drop(path)
            return None
        self._held.move_to_end(path)
        return prepared

    def _drop(self, path: str) -> None:
        prepared, _ = self._held.pop(path)
        self._held_bytes -= prepared.bytes_held

    def _put(self, path: str, prepared: Prepared) -> None:
        if prepared.bytes_held > self._most:
            return
        if path in self._held:
            self._drop(path)
        self._held[path] = prepared, self._clock() + MOST_SECONDS
        self._held_bytes += prepared.bytes_held
        while self._held_bytes > self._most:
            self._drop(next(iter(self._held)))
