"""Keeps a folder equal to what is served, for nginx or a content delivery network.

Every document has compressed twins beside it (`rss.xml.gz`, `.br`, `.zst`), all with its
`last_modified` as their time. A file appears whole or not at all. What a reader can see meanwhile:
twins are replaced before the plain file, so for a moment whoever takes a coding gets the new
version, and others the old. A server that takes tag and date from the plain file then sends the
new bytes under the old tag, and the reader asks once more; the other way round it would keep the
old bytes under the new tag.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feedsvc.errors import ExportFailed
from feedsvc.model.feed import DOCUMENT_NAMES, ServedDocument

#: What follows a document's name, in the order in which files are written.
SUFFIXES = (".gz", ".br", ".zst", "")
#: The folder that everything lies in.
TOP = "feeds"

# The web server is somebody else, and the process's umask lets nobody else in.
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NAMES = frozenset(DOCUMENT_NAMES.values())
_PART = re.compile(r"\.feedsvc-[0-9a-f]{16}\.part")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NAMED = 5


@dataclass(slots=True)
class ExportOutcome:
    """Documents by what became of them."""

    written: int = 0
    unchanged: int = 0
    removed: int = 0
    #: Files that are newer than the document which was to be written there.
    left: list[str] = field(default_factory=list)


def export_documents(
    folder: Path,
    documents: Iterable[ServedDocument],
    keep: Collection[str] | None,
    known_at: datetime | None = None,
) -> ExportOutcome:
    """Write documents that differ from the files there, and remove those that are gone. Blocking.

    One process at a time writes to a folder; others wait. A file that is newer than its document
    stays: another process wrote a later version. Running it again changes nothing.

    Args:
        folder: made when it is missing.
        keep: paths (`ServedDocument.path`) that stay beside those of the documents; None to
            remove nothing. Only files with names that documents have are ever removed.
        known_at: when these were read from the database. What another process has written since
            is not removed, though nobody here knows it.

    Raises:
        ExportFailed: something stands in the way, or cannot be written; the rest is done.
    """
    outcome, problems = ExportOutcome(), list[str]()
    try:
        _make_folder(folder)
        with _locked(folder) as top:
            paths = set(keep or ())
            for document in documents:
                paths.add(document.path)
                at = folder / document.path
                try:
                    _export(top, document, at, outcome)
                except ExportFailed as problem:
                    problems.append(str(problem))
                except OSError as error:
                    problems.append(f"{at}: {error.strerror or error}")
            if keep is not None:
                _remove_others(top, paths, known_at, outcome)
    except OSError as error:
        problems.append(f"{folder}: {error.strerror or error}")
    _complain(problems)
    return outcome


def remove_documents(folder: Path, paths: Iterable[str]) -> int:
    """Remove documents with their twins, however new they are; how many were there. Blocking.

    Args:
        paths: that no document will ever have again.

    Raises:
        ExportFailed: something stands in the way, or cannot be removed; the rest is done.
    """
    removed, problems = 0, list[str]()
    try:
        with suppress(FileNotFoundError), _locked(folder) as top:
            for path in paths:
                try:
                    removed += _remove_document(top, path, folder / path)
                except ExportFailed as problem:
                    problems.append(str(problem))
                except OSError as error:
                    problems.append(f"{folder / path}: {error.strerror or error}")
    except OSError as error:
        problems.append(f"{folder}: {error.strerror or error}")
    _complain(problems)
    return removed


def _complain(problems: list[str]) -> None:
    if problems:
        more = f" (and {len(problems) - _MOST_NAMED} more)" if len(problems) > _MOST_NAMED else ""
        raise ExportFailed("; ".join(problems[:_MOST_NAMED]) + more)


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The folder, opened, with no other process of ours writing to it."""
    top = os.open(folder, _OPEN_FOLDER)
    try:
        fcntl.flock(top, fcntl.LOCK_EX)
        yield top
    finally:
        os.close(top)


def _export(top: int, document: ServedDocument, at: Path, outcome: ExportOutcome) -> None:
    """Make a document and its twins what they should be. Raises OSError, ExportFailed."""
    *folders, name = _split(document.path)
    mtime_ns = _nanoseconds(document.last_modified)
    bodies = (document.body_gzip, document.body_br, document.body_zstd, document.body)
    with _opened(top, folders, at) as place:
        there = _look(place, name, at)
        if there is not None and there.st_mtime_ns > mtime_ns:
            outcome.left.append(document.path)
            return
        is_written = False
        for suffix, body in zip(SUFFIXES, bodies, strict=True):
            file = at.with_name(name + suffix)
            if body is None:
                # The twin of an older version would be served for this one.
                is_written |= _remove(place, file)
            elif not _holds(place, file, body, mtime_ns):
                _write(place, file.name, body, mtime_ns)
                is_written = True
        if is_written:
            os.fsync(place)
    if is_written:
        outcome.written += 1
    else:
        outcome.unchanged += 1


def _split(path: str) -> list[str]:
    """The folders and the name of a document.

    SECURITY: a feed's key may be made of words in articles, which anyone may have written.
    """
    parts = path.split("/")
    is_sound = len(parts) > 2 and parts[0] == TOP and parts[-1] in _NAMES
    if not is_sound or any(one in ("", ".", "..") or "\0" in one for one in parts):
        raise ExportFailed(f"{path!r}: is no path of a document")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ExportFailed(f"{path!r}: cannot be the name of a file") from error
    return parts


@contextmanager
def _opened(top: int, folders: Iterable[str], document: Path) -> Iterator[int]:
    """The folder of a document, made when it is missing."""
    place = os.dup(top)
    try:
        for name in folders:
            below = _enter(place, name, document)
            os.close(place)
            place = below
        yield place
    finally:
        os.close(place)


def _enter(place: int, name: str, document: Path) -> int:
    is_made = False
    with suppress(FileExistsError):
        os.mkdir(name, _FOLDER_MODE, dir_fd=place)
        is_made = True
    try:
        # SECURITY: never through a link, which may lead anywhere.
        below = os.open(name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=place)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ExportFailed(f"{document}: {name!r} on the way there is no folder") from error
        raise
    if is_made:
        os.fchmod(below, _FOLDER_MODE)
    return below


def _look(place: int, name: str, at: Path) -> os.stat_result | None:
    """What the system knows of a file; None when there is none. Raises ExportFailed."""
    try:
        there = os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(there.st_mode):
        raise ExportFailed(f"{at.with_name(name)}: is in the way, and no file; move it elsewhere")
    return there


def _holds(place: int, file: Path, body: bytes, mtime_ns: int) -> bool:
    """Whether a file is there, with these bytes and this time."""
    there = _look(place, file.name, file)
    if there is None or there.st_size != len(body) or there.st_mtime_ns != mtime_ns:
        return False
    handle = os.open(file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    with open(handle, "rb") as opened:
        return opened.read() == body


def _write(place: int, name: str, body: bytes, mtime_ns: int) -> None:
    part = f".feedsvc-{secrets.token_hex(8)}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(part, flags, _FILE_MODE, dir_fd=place), "wb") as opened:
            opened.write(body)
            opened.flush()
            os.fchmod(opened.fileno(), _FILE_MODE)
            os.utime(opened.fileno(), ns=(mtime_ns, mtime_ns))
            os.fsync(opened.fileno())
        os.rename(part, name, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=place)
        raise


def _remove(place: int, file: Path) -> bool:
    if _look(place, file.name, file) is None:
        return False
    os.unlink(file.name, dir_fd=place)
    return True


def _remove_document(top: int, path: str, at: Path) -> bool:
    """Remove a document, its twins, and its folder when that is empty then."""
    *folders, last, name = _split(path)
    place = os.dup(top)
    try:
        for one in folders:
            # SECURITY: never through a link, which may lead anywhere.
            below = os.open(one, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = below
        inner = os.open(last, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=place)
        try:
            removed = [_remove(inner, at.with_name(name + suffix)) for suffix in SUFFIXES]
        finally:
            os.close(inner)
        with suppress(OSError):  # something else is in it
            os.rmdir(last, dir_fd=place)
        return any(removed)
    except FileNotFoundError:
        return False
    finally:
        os.close(place)


def _remove_others(
    top: int, paths: Collection[str], known_at: datetime | None, outcome: ExportOutcome
) -> None:
    """Remove documents with other paths, what an interrupted export left, and emptied folders."""
    with suppress(FileNotFoundError):
        emptied = set[str]()
        for root, folders, files, place in os.fwalk(TOP, topdown=False, dir_fd=top):
            gone = set[str]()
            for name in files:
                plain = _plain_name(name)
                is_gone = plain in _NAMES and f"{root}/{plain}" not in paths
                if not (is_gone or _PART.fullmatch(name)):
                    continue
                there = os.stat(name, dir_fd=place, follow_symlinks=False)
                if stat.S_ISREG(there.st_mode) and _is_before(there, known_at):
                    os.unlink(name, dir_fd=place)
                    gone.add(plain)
            outcome.removed += len(gone & _NAMES)
            for name in folders:
                if f"{root}/{name}" in emptied:
                    with suppress(OSError):  # something else is in it
                        os.rmdir(name, dir_fd=place)
                        gone.add(name)
            if gone:
                emptied.add(root)


def _plain_name(name: str) -> str:
    for suffix in SUFFIXES[:-1]:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _is_before(there: os.stat_result, known_at: datetime | None) -> bool:
    return known_at is None or there.st_mtime_ns < _nanoseconds(known_at.replace(microsecond=0))


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _make_folder(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        one.chmod(_FOLDER_MODE)
