"""The disk fails or is full in the middle of a send: nothing goes out that is not on record."""

import sqlite3
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from battery import Server, Sink, World, count, wait_until
from conftest import Figures, WorldMaker
from system_faults import fill, held_before_first_mail, injecting, small_disk

pytestmark = pytest.mark.fault
READERS = 400
CONNECTIONS = 5
#: What is slow here is not dead.
PATIENT = "heartbeat_timeout_seconds = 20"
#: Room on the small disk besides the database; SQLite's log alone takes four megabytes.
ROOM_KILOBYTES = 12_000
#: After each failure the disk is left alone for a while, longer every time.
MOST_SECONDS = 400.0


def health(server: Server) -> int:
    """What /healthz answers."""
    try:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def stays_at(sink: Sink, seconds: float) -> bool:
    """Whether the sink takes nothing for so long."""
    before = sink.count()
    threading.Event().wait(seconds)
    return sink.count() == before


def is_sound(world: World) -> bool:
    """Whether SQLite finds nothing wrong with the file."""
    with closing(sqlite3.connect(world.database_path)) as database:
        return database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    ("calls", "error", "when"),
    [
        ("fdatasync", "EIO", "4..6"),
        ("pwrite64", "ENOSPC", "30..36"),
        pytest.param("fdatasync", "EIO", "1..20", marks=pytest.mark.long),
        pytest.param("fdatasync", "EIO", "2+3", marks=pytest.mark.long),
        pytest.param("pwrite64", "EIO", "7..20", marks=pytest.mark.long),
        pytest.param("pwrite64", "ENOSPC", "1..20", marks=pytest.mark.long),
    ],
)
def test_a_disk_that_fails_for_a_while_makes_no_doubt(
    make: WorldMaker, figures: Figures, tmp_path: Path, calls: str, error: str, when: str
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        with ExitStack() as faults:
            with held_before_first_mail(sink, server):
                injection = injecting(server, calls, f"error={error}", when)
                injected = faults.enter_context(injection)
            wait_until(world.has_ended, MOST_SECONDS, "the edition")
            failed = injected.count()
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        *("R34" if error == "ENOSPC" else "R35", "R45"),
        injected=f"{calls} fails with {error} at {when}",
        failed_calls=failed,
        **tally.figures(),
    )
    assert failed > 0
    assert is_sound(world)
    tally.check()


@pytest.mark.parametrize(
    ("calls", "error"),
    [("fdatasync", "EIO"), pytest.param("pwrite64", "ENOSPC", marks=pytest.mark.long)],
)
def test_a_disk_that_has_failed_for_good_lets_no_mail_out(
    make: WorldMaker, figures: Figures, tmp_path: Path, calls: str, error: str
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("DOT", "usual", delay_seconds=0.02)
        server.start(wait=False)
        wait_until(lambda: sink.count() >= READERS // 10, what="mails")
        with injecting(server, calls, f"error={error}", "1+") as injected:
            wait_until(lambda: injected.count() > 0, what="the first failure")
            before = sink.count()
            wait_until(lambda: health(server) == 503, what="/healthz to say so")
            assert stays_at(sink, 1.5)
            on_the_wire = sink.count() - before
            server.kill()
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        *("R34" if error == "ENOSPC" else "R35", "R45"),
        injected=f"{calls} fails with {error} for good, then kill -9",
        after_the_first_failure=on_the_wire,
        **tally.figures(),
    )
    assert before < READERS, "it failed too late to show anything"
    assert on_the_wire <= CONNECTIONS
    assert is_sound(world)
    tally.check(uncertain=CONNECTIONS)


def test_a_slow_disk_makes_sending_slow_and_no_more(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    """No one else may send over this file: a heartbeat that comes late is no reason to stop."""
    few = 20
    world = make("sqlite", few)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        timeout = "heartbeat_timeout_seconds = 2"
        world.configure(sink.port, connections=CONNECTIONS, sending=timeout)
        with ExitStack() as faults:
            with held_before_first_mail(sink, server):
                injection = injecting(server, "fdatasync", "delay_exit=1100000", "1+")
                faults.enter_context(injection)
            seconds = wait_until(lambda: sink.count() >= few, what="the mails")
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        *("R37", "R27"),
        injected="every fsync takes 1.1 s; a worker is dead after 2 s",
        seconds=round(seconds, 1),
        **tally.figures(),
    )
    tally.check()


def test_a_full_disk_stops_the_sending_until_there_is_room(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    disk = tmp_path / "disk"
    size_kilobytes = world.database_path.stat().st_size // 1024
    with small_disk(disk, size_kilobytes + ROOM_KILOBYTES):
        _move_database(world, disk)
        with Sink(tmp_path) as sink, Server(world.folder) as server:
            world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
            with held_before_first_mail(sink, server):
                filler = fill(disk)
            wait_until(lambda: health(server) == 503, what="/healthz to say so")
            assert stays_at(sink, 1.5)
            sent_while_full = sink.count()
            filler.unlink()
            seconds = wait_until(world.has_ended, what="the edition")
            wait_until(lambda: health(server) == 200, what="/healthz to be well")
            assert server.stop() == 0, server.log()
            tally = count(world, sink)
            sound = is_sound(world)
    figures(
        "R34",
        injected="no room on the disk (tmpfs) until it is made",
        sent_while_full=sent_while_full,
        seconds_to_the_end=round(seconds, 1),
        **tally.figures(),
    )
    assert sent_while_full < READERS, "it was never short of room"
    assert sound
    tally.check()


def _move_database(world: World, disk: Path) -> None:
    """Have the world's database on another disk."""
    for path in world.database_path.parent.glob(f"{world.database_path.name}*"):
        (disk / path.name).write_bytes(path.read_bytes())
        path.unlink()
    world.database_url = f"sqlite:///{disk / world.database_path.name}"
