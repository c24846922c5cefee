"""Walks a folder and opens its files without ever leaving it.

Knows nothing of articles: names in, open file descriptors and refusals out.
"""

import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

#: Longest key that is stored (characters).
MAX_KEY_LENGTH = 1000
#: Names that editors, browsers and synchronisers use for files that are not finished.
_UNFINISHED_ENDS = ("~", ".tmp", ".part", ".swp", ".crdownload")
_UNFINISHED_STARTS = (".", "~$")

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe that took the place of a file must not wait for its writer.
_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

Parts = tuple[str, ...]
Wanted = Callable[[str], bool]


def is_readable_name(name: str) -> bool:
    """Whether a file or folder of this name is looked at: not hidden, not an editor's own."""
    return not name.startswith(_UNFINISHED_STARTS) and not name.endswith(_UNFINISHED_ENDS)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file to read. `parts` lead to it from the folder, links already resolved."""

    key: str
    parts: Parts
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is there but is not read.

    `key` is None when it has none that could be stored. With `is_folder`, everything that was
    once seen below it is still to be counted as there.
    """

    key: str | None
    path: str
    reason: str
    is_folder: bool = False


class OutsideFolder(Exception):
    """A link leads out of the folder."""


class OpenFolder:
    """A folder held open; what is below it is reached from its descriptor."""

    def __init__(self, path: Path) -> None:
        """Open the folder. Raises OSError; the folder itself may be reached through a link."""
        self.path = Path(os.path.realpath(path))
        self._descriptor = os.open(self.path, _FOLDER_FLAGS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def open_file(self, parts: Parts) -> int:
        """Open a file for reading and return its descriptor. Raises OSError."""
        folder = self._open_folder(parts[:-1])
        try:
            return os.open(parts[-1], _FILE_FLAGS, dir_fd=folder)
        finally:
            os.close(folder)

    def entries(self, parts: Parts) -> list[tuple[str, os.stat_result]]:
        """Names in a folder with their status (of a link: its own), sorted. Raises OSError."""
        folder = self._open_folder(parts)
        try:
            found = []
            with os.scandir(folder) as listing:
                for entry in listing:
                    try:
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue  # removed between listing and looking
            return sorted(found)
        finally:
            os.close(folder)

    def resolve(self, parts: Parts) -> tuple[Parts, os.stat_result]:
        """Where a link leads, as parts below this folder. Raises OutsideFolder, OSError."""
        target = os.path.realpath(self.path.joinpath(*parts))
        try:
            resolved = Path(target).relative_to(self.path).parts
        except ValueError as error:
            raise OutsideFolder(target) from error
        return resolved, os.stat(target, follow_symlinks=False)

    def _open_folder(self, parts: Parts) -> int:
        # SECURITY: one step at a time and no link on the way, so that a folder swapped for a link
        # between looking and opening cannot lead outside.
        descriptor = os.dup(self._descriptor)
        for part in parts:
            try:
                following = os.open(part, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = following
        return descriptor


def walk(folder: OpenFolder, wanted: Wanted) -> Iterator[FoundFile | Refusal]:
    """Everything below the folder whose name is wanted, in a stable order.

    Links to files inside the folder are followed; links to folders are not, because what is
    inside is reached on its own way and a circle has no end.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    seen: set[str] = set()
    waiting: list[Parts] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            entries = folder.entries(parts)
        except OSError as error:
            if not parts:
                raise
            yield _refuse_folder(parts, error)
            continue
        below: list[Parts] = []
        for name, status in entries:
            if not is_readable_name(name):
                continue
            if stat.S_ISDIR(status.st_mode):
                below.append((*parts, name))
            elif wanted(name):
                found = look_at(folder, (*parts, name), status)
                yield _once(found, seen)
        waiting.extend(reversed(below))


def look_at(folder: OpenFolder, parts: Parts, status: os.stat_result) -> FoundFile | Refusal:
    """Decide whether one name may be read; `status` is its own, not that of what it links to."""
    path = "/".join(parts)
    key = unicodedata.normalize("NFC", path)
    try:
        key.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        return Refusal(None, shown, "the file name is not UTF-8; rename it")
    if len(key) > MAX_KEY_LENGTH:
        return Refusal(None, path, f"the path is longer than {MAX_KEY_LENGTH} characters")
    if stat.S_ISLNK(status.st_mode):
        try:
            parts, status = folder.resolve(parts)
        except OutsideFolder:
            return Refusal(key, path, "a link that leads out of the folder; it is not followed")
        except OSError as error:
            return Refusal(key, path, f"a link that leads nowhere: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return Refusal(key, path, "not a regular file")
    return FoundFile(key, parts, status)


def _once(found: FoundFile | Refusal, seen: set[str]) -> FoundFile | Refusal:
    """Refuse a second name that differs from an earlier one in its Unicode form only."""
    if found.key is None:
        return found
    if found.key not in seen:
        seen.add(found.key)
        return found
    return Refusal(
        None, found.key, "another file has the same name in a different Unicode form; rename one"
    )


def _refuse_folder(parts: Parts, error: OSError) -> Refusal:
    path = "/".join(parts)
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    key = unicodedata.normalize("NFC", path)
    return Refusal(key, shown, f"the folder cannot be read: {error.strerror}", is_folder=True)
