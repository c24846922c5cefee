"""Who may send: on SQLite one process at a time; on PostgreSQL all, told apart by heartbeats."""

import fcntl
import os
from pathlib import Path

from feedsvc.db.engine import Database


class SenderLock:
    """The right to send over one database. The system takes it back when its process ends."""

    def __init__(self, database: Database) -> None:
        self._path: Path | None = None
        if database.path is not None:
            self._path = database.path.with_name(database.path.name + ".sender.lock")
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
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not ours."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Process that has the lock, to name it to a person; None when that is not known."""
        try:
            return int(self._path.read_text()) if self._path is not None else None
        except (OSError, ValueError):
            return None
