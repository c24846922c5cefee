"""A send that is asked to stop, is stopped, or is paused: it goes on where it was."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from battery import Server, Sink, World, count, wait_until
from conftest import Figures, WorldMaker

pytestmark = pytest.mark.fault
READERS = 400
CONNECTIONS = 5
#: Kills need another worker to notice soon; what is not killed must not be taken for dead.
SOON, PATIENT = "heartbeat_timeout_seconds = 3", "heartbeat_timeout_seconds = 20"
#: What the process gives itself to end in, and something for a machine that is busy.
GRACE_SECONDS = 20 + 10


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sigterm_finishes_what_is_on_the_wire_and_leaves_the_rest(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str
) -> None:
    world = make(kind, READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("DOT", "usual", delay_seconds=0.3)
        server.start(wait=False)
        wait_until(lambda: sink.count() >= 4 * CONNECTIONS, what="mails")
        begun = time.monotonic()
        assert server.stop(GRACE_SECONDS) == 0, server.log()
        seconds = time.monotonic() - begun
        states = world.states()
        sent_before = sink.count()
        sink.forget_rules()
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R24",
        injected=f"SIGTERM while mail is on the wire, {kind}",
        seconds_to_end=round(seconds, 1),
        sent_before=sent_before,
        **tally.figures(),
    )
    assert states == {"sent": sent_before, "pending": READERS - sent_before}
    tally.check()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def test_sigkill_at_the_end_of_the_grace_leaves_only_the_wire_in_doubt(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str
) -> None:
    world = make(kind, READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=SOON)
        server.start(wait=False)
        wait_until(lambda: sink.count() >= 4 * CONNECTIONS, what="mails")
        held = sink.hold("DOT", CONNECTIONS)
        server.send_signal(signal.SIGTERM)
        threading.Event().wait(1.5)
        assert server.is_running, "it did not wait for the answers"
        server.kill()
        sink.release(held)
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures("R24", "R03", injected=f"SIGTERM, then SIGKILL, {kind}", **tally.figures())
    assert tally.uncertain > 0, "nothing was on the wire"
    tally.check(uncertain=CONNECTIONS)


@pytest.mark.long
def test_a_relay_that_never_answers_does_not_hold_up_the_end(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        server.start(wait=False)
        wait_until(lambda: sink.count() >= 4 * CONNECTIONS, what="mails")
        sink.hold("DOT", CONNECTIONS)
        begun = time.monotonic()
        assert server.stop(GRACE_SECONDS) == 0, server.log()
        seconds = time.monotonic() - begun
        tally = count(world, sink)
    figures(
        "R24",
        injected="SIGTERM while the relay answers nobody",
        seconds_to_end=round(seconds, 1),
        **tally.figures(),
    )
    tally.check(uncertain=CONNECTIONS, still_open=READERS)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def test_a_paused_edition_stays_paused_through_a_kill_and_goes_on_with_the_rest(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str
) -> None:
    world = make(kind, READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=SOON)
        sink.on("DOT", "usual", delay_seconds=0.1)
        server.start(wait=False)
        wait_until(lambda: sink.count() >= READERS // 6, what="mails")
        _command(world, "pause")
        paused_at = sink.count()
        threading.Event().wait(1.0)
        while_paused = sink.count() - paused_at
        server.kill()
        killed_at = sink.count()
        server.start()
        # Longer than it takes until what the dead process held is taken back.
        wait_until(lambda: not {"claimed", "dot"} & world.states().keys(), what="the recovery")
        threading.Event().wait(1.5)
        assert world.edition_state() == "paused"
        still_paused = sink.count() - killed_at
        _command(world, "resume")
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        *("R23", "R02"),
        injected=f"paused, kill -9, started, resumed, {kind}",
        while_paused=while_paused,
        after_the_start=still_paused,
        **tally.figures(),
    )
    assert killed_at < READERS, "it was paused too late to show anything"
    assert while_paused <= CONNECTIONS
    assert still_paused == 0
    tally.check(uncertain=CONNECTIONS)


def _command(world: World, verb: str) -> None:
    """`feedsvc editions pause|resume ID`, in a process of its own."""
    command = [sys.executable, "-m", "feedsvc", "editions", verb, str(world.edition_id)]
    outcome = subprocess.run(
        command, cwd=world.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
