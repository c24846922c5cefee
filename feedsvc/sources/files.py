"""What folders of files have in common as sources: look, read what changed, remember the rest.

Decides nothing about articles: renames, withdrawals and their brake are the caller's.
"""

import hashlib
import os
import stat
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import MediaType, Problem, RawItem, Scan
from feedsvc.sources.tree import FoundFile, OpenFolder, Refusal, walk
from feedsvc.sources.watch import watch_files

#: Larger files are not read (bytes).
MAX_FILE_BYTES = 5_000_000
#: A file as young as this may change again within the resolution of its time stamp (seconds).
RACY_SECONDS = 2.0
#: A file as young as this may not be finished (seconds).
SETTLE_SECONDS = 1.0
#: A file that has not been quiet for so long is read as it is, and no longer waited for (seconds).
PATIENCE_SECONDS = 10.0

#: Changes whenever a file does: modified, changed (nobody can set this one), size, inode.
Stamp = tuple[int, int, int, int]

HTML_SUFFIXES: Mapping[str, MediaType] = MappingProxyType(
    {".html": MediaType.HTML, ".htm": MediaType.HTML}
)
TEXT_SUFFIXES: Mapping[str, MediaType] = MappingProxyType({".txt": MediaType.PLAIN})
MARKDOWN_SUFFIXES: Mapping[str, MediaType] = MappingProxyType(
    {".md": MediaType.MARKDOWN, ".markdown": MediaType.MARKDOWN}
)


def suffix_of(name: str) -> str:
    """The lower-case suffix of a file name with its dot; empty when there is none."""
    return PurePosixPath(name).suffix.lower()


class HalfWritten(Exception):
    """A file changed while it was being read."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The fingerprint of a file as of one time stamp; a racy one is not relied on."""

    stamp: Stamp
    fingerprint: str
    racy: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A file that was being written at the last scan, and since when each scan has found it so."""

    stamp: Stamp
    since: float


@dataclass(slots=True)
class _Looked:
    """What one scan has gathered so far."""

    present: dict[str, str] = field(default_factory=dict)
    items: list[RawItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remembered: dict[str, _Remembered] = field(default_factory=dict)
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    unsettled: bool = False


class FileSource:
    """Files below a path as raw items. One scan at a time."""

    #: What the path should be, in words.
    expected = "a folder"

    def __init__(
        self,
        key: str,
        path: Path,
        types: Mapping[str, MediaType],
        *,
        is_page: bool = False,
        max_file_bytes: int = MAX_FILE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """A source of files.

        Args:
            key: name of the source in the configuration.
            path: an absolute path; need not exist yet.
            types: suffix with its dot, lower case -> what such a file is written in.
            is_page: the files are saved news pages.
            max_file_bytes: larger files are not read.
            clock: seconds since the epoch, by the clock that stamps the files.
        """
        self.key = key
        self.path = path
        self._types = types
        self._is_page = is_page
        self._max_file_bytes = max_file_bytes
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}
        self._waiting: dict[str, _Waiting] = {}

    def scan(self, known: Mapping[str, str]) -> Scan:
        """Look at everything there is; read what is new or changed. Blocking.

        A file that is being written is left for the next scan: present, with the fingerprint that
        is known ("" when none is), no problem, and the scan is unsettled. That is one modified
        less than a second ago and not as the last scan saw it, or one that changes while it is
        read. A file that goes on so for long is read as it is.

        Raises:
            SourceUnavailable: missing or unreadable as a whole.
        """
        looked = _Looked()
        try:
            with self._open() as folder:
                for found in self._walk(folder):
                    if isinstance(found, Refusal):
                        self._note_refusal(found, known, looked)
                    else:
                        self._take(folder, found, known, looked)
        except OSError as error:
            raise SourceUnavailable(self._advice(error)) from error
        self._remembered, self._waiting = looked.remembered, looked.waiting
        return Scan(
            self.key,
            looked.present,
            tuple(looked.items),
            tuple(looked.problems),
            unsettled=looked.unsettled,
        )

    def changes(self) -> AsyncGenerator[None, None]:
        """Yield soon after a file that this source reads has changed.

        Yields once when watching begins, so that nothing between the last scan and then is
        missed. Yields nothing while there is nothing to watch; goes on when there is.
        """
        return watch_files(self._folder, self.reads)

    def reads(self, name: str) -> bool:
        """Whether a file of this name would be read."""
        return suffix_of(name) in self._types

    def _folder(self) -> Path:
        """The folder that keys and locations are relative to."""
        return self.path

    def _open(self) -> OpenFolder:
        return OpenFolder(self.path)

    def _walk(self, folder: OpenFolder) -> list[FoundFile | Refusal]:
        return list(walk(folder, self.reads))

    def _advice(self, error: OSError) -> str:
        name = f"source {self.key}: {self.path}"
        setting = f"sources.{self.key}.path"
        if isinstance(error, FileNotFoundError):
            return f"{name} does not exist; create it, or correct {setting}"
        if isinstance(error, NotADirectoryError):
            return f"{name} is not {self.expected}; correct {setting}"
        if isinstance(error, PermissionError):
            return f"{name} may not be read; give this user the right to read it"
        return f"{name} cannot be read: {error.strerror or error}"

    def _note_refusal(self, refusal: Refusal, known: Mapping[str, str], looked: _Looked) -> None:
        looked.problems.append(Problem(str(self._folder() / refusal.path), refusal.reason))
        if refusal.key is None:
            return
        if refusal.is_folder:
            below = f"{refusal.key}/"
            looked.present.update({k: v for k, v in known.items() if k.startswith(below)})
        else:
            looked.present[refusal.key] = known.get(refusal.key, "")

    def _take(
        self, folder: OpenFolder, found: FoundFile, known: Mapping[str, str], looked: _Looked
    ) -> None:
        """Count one file as present, reading it unless it is known to be unchanged."""
        remembered = self._remembered.get(found.key)
        if (
            remembered is not None
            and not remembered.racy
            and remembered.stamp == _stamp(found.status)
            and remembered.fingerprint == known.get(found.key)
        ):
            looked.present[found.key] = remembered.fingerprint
            looked.remembered[found.key] = remembered
            return
        looked.present[found.key] = known.get(found.key, "")
        if not self._is_quiet(found, looked):
            looked.unsettled = True
            return
        try:
            content, status = self._read(folder, found)
        except (HalfWritten, FileNotFoundError):
            looked.unsettled = True  # being saved at this moment, or just removed
            return
        except OSError as error:
            reason = error.strerror or str(error)
            looked.problems.append(
                Problem(str(self._folder() / found.key), f"cannot be read: {reason}")
            )
            return
        item = self._raw_item(found.key, content, status)
        looked.present[found.key] = item.fingerprint
        looked.remembered[found.key] = _Remembered(
            _stamp(status), item.fingerprint, self._is_racy(status)
        )
        if item.fingerprint != known.get(found.key):
            looked.items.append(item)

    def _is_racy(self, status: os.stat_result) -> bool:
        return max(status.st_mtime, status.st_ctime) > self._clock() - RACY_SECONDS

    def _is_quiet(self, found: FoundFile, looked: _Looked) -> bool:
        """Whether nobody seems to be writing a file, or it has been waited for long enough."""
        now, stamp = self._clock(), _stamp(found.status)
        remembered, waiting = self._remembered.get(found.key), self._waiting.get(found.key)
        last_seen = waiting or remembered
        if not 0 <= now - found.status.st_mtime < SETTLE_SECONDS:
            return True
        if last_seen is not None and last_seen.stamp == stamp:
            return True
        since = waiting.since if waiting is not None else now
        looked.waiting[found.key] = _Waiting(stamp, since)
        return now - since >= PATIENCE_SECONDS

    def _read(self, folder: OpenFolder, found: FoundFile) -> tuple[bytes, os.stat_result]:
        """The bytes of a file and its status. Raises HalfWritten, OSError."""
        descriptor = folder.open_file(found.parts)
        with open(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(0, "not a regular file")
            if before.st_size > self._max_file_bytes:
                raise OSError(
                    0, f"larger than {self._max_file_bytes} bytes; shorten it or move it away"
                )
            content = file.read(self._max_file_bytes + 1)
            after = os.fstat(descriptor)
        if _stamp(before) != _stamp(after) or len(content) != after.st_size:
            raise HalfWritten(found.key)
        return content, after

    def _raw_item(self, key: str, content: bytes, status: os.stat_result) -> RawItem:
        return RawItem(
            source=self.key,
            key=key,
            location=str(self._folder() / key),
            media_type=self._types[suffix_of(key)],
            content=content,
            fingerprint=hashlib.sha256(content).hexdigest(),
            modified_at=_modified_at(status),
            is_page=self._is_page,
        )


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _modified_at(status: os.stat_result) -> datetime:
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)  # a stamp beyond the calendar says nothing
