"""Tells when files of a folder change, a fraction of a second later.

A hint, never the truth: network and some container mounts give no events (WATCHFILES_FORCE_POLLING
helps there), so a full rescan stands behind it.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import structlog
from watchfiles import Change, awatch

from feedsvc.sources.tree import is_readable_name

#: Changes within this time are told once (milliseconds), and told after this much quiet.
_GATHER_MS, _QUIET_MS = 300, 50
#: How often to see whether the folder is still the one being watched (milliseconds).
_TICK_MS = 250
#: Seconds until the next look for a folder that is not there or cannot be watched.
_RETRY_SECONDS = 0.5

_log = structlog.get_logger(__name__)


async def watch_files(
    locate: Callable[[], Path], wanted: Callable[[str], bool], *, recursive: bool = True
) -> AsyncGenerator[None, None]:
    """Yield once when watching begins, then soon after each change of a wanted file.

    Never ends by itself: waits while the folder is missing or cannot be watched, and begins anew
    when another folder has taken its place.

    Args:
        locate: the folder to watch, asked again whenever watching begins.
        wanted: whether a file of this name matters.
        recursive: folders below it matter too.
    """
    failure = ""
    while True:
        folder = locate()
        try:
            async with aclosing(_watch_one(folder, wanted, recursive)) as changes:
                async for _ in changes:
                    failure = ""
                    yield
        except FileNotFoundError:
            pass
        except (OSError, RuntimeError) as error:  # RuntimeError: the watcher's own failures
            if str(error) != failure:
                failure = str(error)
                _log.warning(
                    "folder cannot be watched; the rescan goes on",
                    folder=str(folder),
                    error=failure,
                )
        await anyio.sleep(_RETRY_SECONDS)


async def _watch_one(
    folder: Path, wanted: Callable[[str], bool], recursive: bool
) -> AsyncGenerator[None, None]:
    """Watch one folder until another one is in its place. Raises OSError, RuntimeError."""
    identity = _identity(folder)
    if identity is None:
        return
    real = _real(folder)
    watcher = awatch(
        real,
        watch_filter=lambda change, path: is_relevant(real, wanted, change, path),
        debounce=_GATHER_MS,
        step=_QUIET_MS,
        rust_timeout=_TICK_MS,
        yield_on_timeout=True,
        recursive=recursive,
        ignore_permission_denied=True,
    )
    begun = False
    async with aclosing(watcher) as batches:
        async for batch in batches:
            if batch or not begun:
                begun = True
                yield
            if _identity(folder) != identity:
                yield
                return


def is_relevant(folder: Path, wanted: Callable[[str], bool], change: Change, path: str) -> bool:
    """Whether a change can alter what a scan finds.

    A folder that came or went counts too: its files are not told one by one.
    """
    parts = Path(os.path.relpath(path, folder)).parts
    if not all(is_readable_name(part) for part in parts):
        return False
    name = parts[-1] if parts else ""
    if wanted(name):
        return True
    if change is Change.modified:
        return False
    return os.path.isdir(path) or (change is Change.deleted and "." not in name)


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _identity(folder: Path) -> tuple[int, int] | None:
    """What the name leads to now, so that a link pointed elsewhere is noticed."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
