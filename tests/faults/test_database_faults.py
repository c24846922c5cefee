"""The database goes away in the middle of a send, or a connection to it, or it is in use."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from battery import Server, Sink, World, copy_world, count, make_world, wait_until
from conftest import Figures, WorldMaker
from postgresql_faults import FragilePostgresql, Wire, fragile_postgresql

pytestmark = pytest.mark.fault
READERS = 400
CONNECTIONS = 5
#: What is slow here is not dead.
PATIENT = "heartbeat_timeout_seconds = 20"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[FragilePostgresql]:
    """A PostgreSQL that nobody else uses."""
    with fragile_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def original(postgresql: FragilePostgresql, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world on it, to be copied."""
    return make_world(tmp_path_factory.mktemp("fragile") / "newsroom", postgresql.url, READERS)


@pytest.fixture
def world(original: World, tmp_path: Path) -> World:
    """A world of the test's own."""
    return copy_world(original, tmp_path / "newsroom")


@pytest.mark.parametrize(
    ("stops", "seconds"),
    [(3, 0.3), pytest.param(5, 4.0, marks=pytest.mark.long)],
)
def test_a_database_that_is_restarted_loses_nobody(
    postgresql: FragilePostgresql,
    world: World,
    figures: Figures,
    tmp_path: Path,
    stops: int,
    seconds: float,
) -> None:
    amid = 0
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("DOT", "usual", delay_seconds=0.01)
        server.start(wait=False)
        for number in range(1, stops + 1):
            wanted = READERS * number // (stops + 2)
            wait_until(lambda wanted=wanted: sink.count() >= wanted, what="mails")
            postgresql.stop()
            amid += sink.count() < READERS
            threading.Event().wait(seconds)
            postgresql.start()
        wait_until(world.has_ended, what="the edition")
        assert server.is_running, server.log()
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R36",
        injected=f"PostgreSQL stopped at once and started again × {stops}",
        **tally.figures(),
    )
    assert amid == stops, "it was stopped too late to show anything"
    tally.check(uncertain=stops * CONNECTIONS)


@pytest.mark.parametrize("how", ["at once", "before the answer to COMMIT"])
def test_a_cut_connection_to_the_database_loses_nobody(
    postgresql: FragilePostgresql, world: World, figures: Figures, tmp_path: Path, how: str
) -> None:
    wire = Wire(postgresql.folder, tmp_path / "wire")
    direct_url = world.database_url
    world.database_url = direct_url.replace(str(postgresql.folder), str(wire.folder))
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        world.database_url = direct_url
        sink.on("DOT", "usual", delay_seconds=0.01)
        server.start(wait=False)
        for number in range(1, 6):
            wanted = READERS * number // 7
            wait_until(lambda wanted=wanted: sink.count() >= wanted, what="mails")
            if how == "at once":
                wire.cut()
            else:
                wire.lose_replies = 2
        wait_until(world.has_ended, what="the edition")
        cuts = wire.cuts
        assert server.is_running, server.log()
        assert server.stop() == 0, server.log()
        wire.close()
        tally = count(world, sink)
    figures("R36", injected=f"connections to PostgreSQL cut {how}", cuts=cuts, **tally.figures())
    assert cuts >= 5
    # The process lives on and knows what it has sent: nothing is in doubt.
    tally.check()


@pytest.mark.parametrize("seconds", [3.0, pytest.param(15.0, marks=pytest.mark.long)])
def test_a_file_that_another_has_locked_is_waited_for(
    make: WorldMaker, figures: Figures, tmp_path: Path, seconds: float
) -> None:
    locked = make("sqlite", READERS)
    with Sink(tmp_path) as sink, Server(locked.folder) as server:
        locked.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("DOT", "usual", delay_seconds=0.01)
        server.start(wait=False)
        wait_until(lambda: sink.count() >= READERS // 4, what="mails")
        with closing(sqlite3.connect(locked.database_path, isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 10000")
            other.execute("BEGIN IMMEDIATE")
            before = sink.count()
            threading.Event().wait(seconds)
            while_locked = sink.count() - before
            other.execute("ROLLBACK")
        wait_until(locked.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(locked, sink)
    figures(
        "R37",
        injected=f"the SQLite file locked by another process for {seconds:.0f} s",
        while_locked=while_locked,
        **tally.figures(),
    )
    assert before < READERS, "it was locked too late to show anything"
    assert while_locked <= 2 * CONNECTIONS, "mail went out that could not be put on record"
    tally.check()
