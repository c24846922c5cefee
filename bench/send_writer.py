"""Another process that writes to the database every 20 ms, and how long it had to wait.

    python -m bench.send_writer FILE

says `ready`, writes until its standard input ends, then prints one JSON object.
"""

import json
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.send_sink import PROJECT

PERIOD_SECONDS = 0.02
_BUSY_SECONDS = 60.0
_WRITE = (
    "INSERT INTO counter (name, value) VALUES ('bench', 1)"
    " ON CONFLICT (name) DO UPDATE SET value = counter.value + 1"
)


@dataclass(slots=True)
class Waits:
    """How long whole transactions took, commit to disk included; filled when the block ends."""

    count: int = 0
    median_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


@contextmanager
def other_writer(path: Path) -> Iterator[Waits]:
    """The other process, for the length of a block."""
    command = [sys.executable, "-m", "bench.send_writer", str(path)]
    waits = Waits()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the other writer did not start")
        yield waits
        told, _ = process.communicate("")
    for name, value in json.loads(told).items():
        setattr(waits, name, value)


def _write_until_told(path: str) -> Waits:
    ended = threading.Event()

    def await_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=await_end, daemon=True).start()
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    database.execute("PRAGMA synchronous=FULL")
    taken: list[float] = []
    print("ready", flush=True)
    while not ended.wait(PERIOD_SECONDS):
        begin = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        database.execute(_WRITE)
        database.execute("COMMIT")
        taken.append((time.perf_counter() - begin) * 1000)
    database.close()
    p99 = statistics.quantiles(taken, n=100, method="inclusive")[-1]
    return Waits(len(taken), statistics.median(taken), p99, max(taken))


if __name__ == "__main__":
    found = _write_until_told(sys.argv[1])
    print(json.dumps({name: getattr(found, name) for name in Waits.__slots__}))
