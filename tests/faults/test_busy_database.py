"""Others use the database while mail goes out: nobody waits long, and nobody is refused."""

import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from battery import READERS, Server, Sink, World, count, wait_until
from conftest import Figures, WorldMaker

pytestmark = pytest.mark.fault
FEW = 400
CONNECTIONS = 20
PATIENT = "heartbeat_timeout_seconds = 20"
#: How long another writer may wait, its own way to the disk included.
LONGEST_MS = 250
#: The other writer: a small transaction every 20 ms, until its standard input ends.
_WRITER = """
import json, sqlite3, sys, threading, time
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
database.execute("PRAGMA synchronous=FULL")
database.execute("CREATE TABLE IF NOT EXISTS beside (number INTEGER)")
print("ready", flush=True)
taken = []
while not ended.wait(0.02):
    begun = time.perf_counter()
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO beside VALUES (1)")
    database.execute("COMMIT")
    taken.append((time.perf_counter() - begun) * 1000)
print(json.dumps(taken))
"""


@contextmanager
def writing_beside(world: World) -> Iterator[list[float]]:
    """Another process that writes to the file; afterwards, how many ms each write took."""
    waits: list[float] = []
    command = [sys.executable, "-c", _WRITER, str(world.database_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield waits
        told, _ = process.communicate("")
    waits += json.loads(told)


def test_another_writer_never_waits_long(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite")
    with writing_beside(world) as alone:
        threading.Event().wait(2.0)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        server.start(wait=False)
        held = sink.hold("EHLO", 1)
        with writing_beside(world) as waits:
            sink.release(held)
            seconds = wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R37",
        injected="another process writes every 20 ms",
        writes=len(waits),
        median_ms=round(statistics.median(waits), 1),
        p99_ms=round(_p99(waits), 1),
        longest_ms=round(max(waits), 1),
        longest_alone_ms=round(max(alone), 1),
        messages_per_second=round(READERS / seconds),
        **tally.figures(),
    )
    assert len(waits) > 20, "it was over too soon to show anything"
    # A machine whose disk alone makes a writer wait is not our doing.
    assert max(waits) <= LONGEST_MS + max(alone)
    tally.check()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_forms_are_taken_while_mail_goes_out(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str
) -> None:
    world = make(kind, FEW)
    asked: list[str] = []
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("DOT", "usual", delay_seconds=0.15)
        server.start()
        ended = threading.Event()

        def fill_in(number: int) -> list[tuple[int, float]]:
            answers = []
            while not ended.wait(0.02):
                asked.append(f"newcomer-{number}-{len(answers)}@example.net")
                answers.append(_ask_to_subscribe(server, asked[-1]))
            return answers

        with ThreadPoolExecutor(4) as people:
            try:
                working = [people.submit(fill_in, number) for number in range(4)]
                wait_until(lambda: world.states() == {"sent": FEW}, what="its mails")
            finally:
                ended.set()
        answers = [answer for one in working for answer in one.result()]
        wait_until(world.has_ended, what="the edition")
        wait_until(lambda: set(asked) <= {one.recipient for one in sink.taken()}, what="notices")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    confirmations = [one for one in sink.taken() if one.recipient in set(asked)]
    tally.outside -= len(confirmations)
    figures(
        "R37",
        injected=f"people fill in the form of the newsletter, four at a time, {kind}",
        forms=len(answers),
        refused=sum(status != 200 for status, _ in answers),
        p99_ms=round(_p99([ms for _, ms in answers])),
        longest_ms=round(max(ms for _, ms in answers)),
        **tally.figures(),
    )
    assert len(answers) >= 20, "it was over too soon to show anything"
    assert {status for status, _ in answers} == {200}
    assert len(confirmations) == len(asked), "a notice is missing, or went twice"
    tally.check()


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]


def _ask_to_subscribe(server: Server, address: str) -> tuple[int, float]:
    """Fill in the form; the status, and how many ms it took."""
    fields = {"address": address, "name": "韩梅梅", "schedule": "yearly", "language": "zh"}
    body = urllib.parse.urlencode(fields).encode()
    begun = time.perf_counter()
    answer: Any
    try:
        with urllib.request.urlopen(f"{server.url}/subscribe/daily", body, timeout=60) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        status = error.code
    return status, (time.perf_counter() - begun) * 1000
