"""What a machine does to a process: ends it at a system call, fails its disk, turns its clock.

Nothing here is part of what is tested, and nothing that is tested knows of it.
"""

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest
from battery import Server, Sink, wait_until

#: Where distributions keep the library that gives a process another clock.
_FAKETIME = "*-linux-gnu*/faketime/libfaketimeMT.so.1"


def skip_loudly(reason: str) -> NoReturn:
    """Skip the test, and have the run's summary say so."""
    warnings.warn(f"A FAULT IS NOT TESTED: {reason}", stacklevel=3)
    pytest.skip(reason)


@contextmanager
def held_before_first_mail(sink: Sink, server: Server) -> Iterator[None]:
    """Start a server, and hold it with its connection open and nothing sent; then let it go on."""
    server.start(wait=False)
    held = sink.hold("EHLO", 1)
    yield
    sink.release(held)


@contextmanager
def injecting(server: Server, calls: str, what: str, when: str) -> Iterator["Injected"]:
    """Have something happen at system calls of a running server, from now to the block's end.

    Args:
        calls: names of system calls, separated by commas. Those of each name and each thread are
            counted from 1.
        what: in strace's words: `error=EIO`, `signal=KILL`, `delay_exit=1000000` (a second).
        when: at which calls: `7`, `20..25`, `20+` for all from then on.
    """
    if shutil.which("strace") is None:
        skip_loudly("strace is not installed")
    process, log = server.process.pid, server.folder / "strace.log"
    log.unlink(missing_ok=True)
    inject = f"inject={calls}:{what}:when={when}"
    options = ["-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", inject]
    with subprocess.Popen(
        ["strace", *options, "-p", str(process)], stderr=subprocess.PIPE, text=True
    ) as strace:
        try:
            wait_until(lambda: _is_traced(process) or strace.poll() is not None, what="strace")
            if strace.poll() is not None:
                assert strace.stderr is not None
                skip_loudly(f"strace cannot be attached: {strace.stderr.read().strip()}")
            yield Injected(log)
        finally:
            strace.terminate()
            strace.communicate()


def _is_traced(process: int) -> bool:
    """Whether somebody traces every thread of a process."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return all("TracerPid:\t0" not in (one / "status").read_text() for one in tasks)
    except (FileNotFoundError, ProcessLookupError):
        return False


class Injected:
    """What has been injected so far."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def count(self) -> int:
        """How many system calls have been failed."""
        with suppress(FileNotFoundError):
            return self._log.read_text("utf-8", "replace").count("(INJECTED)")
        return 0


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A disk of its own in a folder, for the length of a block. Needs root."""
    if os.geteuid():
        skip_loudly("only root may mount a small disk")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        skip_loudly(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on a disk; the file that takes it up."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1 << 9):
            with suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    return filler


class TurnedClock:
    """The clock of the processes started with its environment; others keep their own.

    It runs on from wherever it is turned to. What counts seconds from a start is not turned.
    """

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob(_FAKETIME))
        if not libraries:
            skip_loudly("libfaketime is not installed")
        self._file = folder / "clock"
        self.turn("+0d")
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def turn(self, to: str) -> None:
        """Set it so far from the true time, `-3d` or `+40d`; it is noticed within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{to}\n", "utf-8")
        new.replace(self._file)
