"""Who may send: on SQLite one process at a time; on PostgreSQL all, told apart by heartbeats."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from feedsvc.db.engine import Database


class SenderLock:
    """The right to send over one database. The system takes it back when its process ends.

    Args:
        duty: what the right is to; another duty than "sender" has a lock of its own.
    """

    def __init__(self, database: Database, duty: str = "sender") -> None:
        self._path: Path | None = None
        if database.path is not None:
            self._path = database.path.with_name(f"{database.path.name}.{duty}.lock")
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting; False when another process, or another lock, has it.

        Taking it twice is as good as once. Always True on PostgreSQL.
        """
        if self._path is None or self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        # The file stays when the lock goes: another may be about to lock it.
        self._descriptor = descriptor
        with suppress(OSError):  # a full disk takes our number from people, not the lock from us
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not ours."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def holder(self) -> int | None:
        """Process that has the lock, to name it to a person; None when that is not known."""
        try:
            return int(self._path.read_text()) if self._path is not None else None
        except (OSError, ValueError):
            return None
