"""One process sends over a SQLite database; a killed one does not stand in the way."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from feedsvc.db.engine import Database
from feedsvc.db.locks import SenderLock

_HOLDER = """
import sys
from feedsvc.db.engine import Database
from feedsvc.db.locks import SenderLock
print(SenderLock(Database(sys.argv[1])).acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'feedsvc.db'}"


def test_the_lock_is_given_to_one_at_a_time(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    first, second = SenderLock(database), SenderLock(database)
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    assert second.holder() == os.getpid()
    first.release()
    first.release()
    assert second.holder() is None
    assert second.acquire()
    second.release()


def test_another_process_that_sends_is_respected_until_it_is_killed(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    lock = SenderLock(database)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, sqlite_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        assert not lock.acquire()
        assert lock.holder() == process.pid
        process.kill()
        process.wait()
    assert lock.acquire()
    assert lock.holder() == os.getpid()
    lock.release()


def test_on_postgresql_everybody_may_send(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    first, second = SenderLock(database), SenderLock(database)
    assert first.acquire()
    assert second.acquire()
    assert second.holder() is None
    first.release()
    second.release()


def test_a_full_disk_takes_the_number_from_people_and_not_the_lock_from_us(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    database = Database(sqlite_url)
    lock, other = SenderLock(database), SenderLock(database)
    monkeypatch.setattr(os, "write", fail)
    assert lock.acquire()
    assert not other.acquire()
    lock.release()
    assert other.acquire()
    other.release()
