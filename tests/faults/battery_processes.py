"""The program's own processes: `feedsvc serve` as a sender, and its commands."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

#: No step takes longer, on a machine that does other things too.
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.01


def wait_until(
    condition: Callable[[], bool], limit_seconds: float = PATIENCE_SECONDS, what: str = "it"
) -> float:
    """Look until it is so; how many seconds that took. Fails when the time is over."""
    begin = time.monotonic()
    while not condition():
        waited = time.monotonic() - begin
        assert waited < limit_seconds, f"waited {waited:.0f} s for {what}"
        threading.Event().wait(_LOOK_SECONDS)
    return time.monotonic() - begin


def hurried(times: int) -> dict[str, str]:
    """Variables with which a process's clocks run so many times faster; skips the test without.

    Heartbeats grow old as fast: give such a world a `heartbeat_timeout_seconds` of 300.
    """
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("no libfaketime (Debian: faketime)")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"+0 x{times}"}


def run_command(folder: Path, *command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of feedsvc in a world's folder; what it printed. It must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "feedsvc", *command],
        cwd=folder,
        env=_environment() | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    """Ours, without settings of feedsvc."""
    return {key: value for key, value in os.environ.items() if not key.startswith("FEEDSVC_")}


class Server:
    """A `feedsvc serve` in a world's folder. Several may work on one PostgreSQL.

    As a context manager it is killed at the end, if it still runs; `start` it yourself.

    Args:
        folder: with its config.toml, which says port 0.
        before: a command that starts it, such as `["strace", "-f", …]`.
        environment: variables besides our own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        before: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        log: str = "log.txt",
    ) -> None:
        self.folder, self.log_path = folder, folder / log
        self._before, self._environment = before, dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._told = folder / f"{log}.told"

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and unless told otherwise wait until it serves."""
        with self.log_path.open("ab") as log, self._told.open("wb") as told:
            self._process = subprocess.Popen(
                [*self._before, sys.executable, "-m", "feedsvc", "serve"],
                cwd=self.folder,
                env=_environment() | {"PYTHONUNBUFFERED": "1"} | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            wait_until(
                lambda: self._port() is not None or not self.is_running, what="feedsvc serve"
            )
            assert self.is_running, self.log()
        return self

    def _port(self) -> int | None:
        found = re.search(rb" on port (\d+) ", self._told.read_bytes())
        return int(found[1]) if found else None

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._port()}"

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running process."""
        assert self._process is not None, "it was not started"
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """`kill -9`, of all that belongs to it (strace may stand before it)."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def send_signal(self, number: int) -> None:
        """Send a signal to all that belongs to it: SIGSTOP and SIGCONT, most of all."""
        os.killpg(self.process.pid, number)

    def stop(self, limit_seconds: float = PATIENCE_SECONDS) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        if self.is_running:
            os.killpg(self.process.pid, signal.SIGTERM)
        return self.process.wait(limit_seconds)

    def log(self) -> str:
        """All that it has logged, over all its starts."""
        return self.log_path.read_text("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, whatever state it is in."""
        if self._process is not None and self.is_running:
            self.kill()
