"""The machine's clock jumps in the middle of a send: nobody gets two mails, and none is forgotten.

What is sent late because the clock is wrong is sent once it is right again; a forward jump may
have outlived an edition, and then the next one has its articles.
"""

import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from battery import Server, Sink, Tally, World, count, wait_until
from conftest import Figures, WorldMaker
from system_faults import TurnedClock

pytestmark = pytest.mark.fault
READERS = 400
CONNECTIONS = 5
#: What is slow here is not dead.
PATIENT = "heartbeat_timeout_seconds = 20"
#: After which every process has seen a clock that was turned.
NOTICED_SECONDS = 1.2
#: How long the clock is wrong.
WRONG_SECONDS = 3.0
#: How long a visitor may wait at that.
LONGEST_SILENCE_SECONDS = 5.0


def editions(world: World) -> int:
    """How many editions have deliveries, or may get some."""
    ((number,),) = world.rows("SELECT count(*) FROM edition WHERE state <> 'skipped'")
    return int(number)


def nothing_waits(world: World) -> bool:
    """Whether no edition is on its way."""
    states = {state for (state,) in world.rows("SELECT state FROM edition")}
    return states <= {"done", "skipped"}


def longest_silence(server: Server, seconds: float) -> float:
    """Ask for /healthz again and again; the longest time that an answer took."""
    longest, end = 0.0, time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=60) as answer:
            assert answer.status == 200
        longest = max(longest, time.monotonic() - begun)
        threading.Event().wait(0.05)
    return longest


def forgive_next_edition(tally: Tally) -> None:
    """What the next edition has taken over was taken with that one."""
    taken_over = ("is superseded", "is expired")
    tally.disagreements = [
        one for one in tally.disagreements if not any(words in one for words in taken_over)
    ]


def check_each_once(tally: Tally, sink: Sink) -> None:
    """Everybody has the article once, whichever edition it came with."""
    assert max(Counter(one.recipient for one in sink.taken()).values()) == 1
    assert tally.reached == tally.frozen
    assert tally.disagreements == []
    assert (tally.outside, tally.foreign, tally.lost, tally.uncertain) == (0, 0, 0, 0), tally


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("sqlite", "-3d"),
        ("postgresql", "+40d"),
        pytest.param("sqlite", "+40d", marks=pytest.mark.long),
        pytest.param("postgresql", "-3d", marks=pytest.mark.long),
    ],
)
def test_a_clock_that_jumps_and_is_set_right_repeats_nothing(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str, to: str
) -> None:
    world, clock = make(kind, READERS), TurnedClock(tmp_path)
    with (
        Sink(tmp_path) as sink,
        Server(world.folder, environment=clock.environment) as server,
    ):
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("DOT", "usual", delay_seconds=0.05)
        server.start()
        wait_until(lambda: sink.count() >= READERS // 6, what="mails")
        clock.turn(to)
        silence = longest_silence(server, NOTICED_SECONDS)
        at_the_jump = sink.count()
        silence = max(silence, longest_silence(server, WRONG_SECONDS))
        clock.turn("+0d")
        wait_until(lambda: nothing_waits(world), what="the editions")
        connections = sink.report()["connections"]
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
        forgive_next_edition(tally)
    figures(
        *("R27", "R32"),
        injected=f"the clock jumps by {to} for {WRONG_SECONDS:.0f} s, {kind}",
        editions=editions(world),
        connections=connections,
        longest_silence_s=round(silence, 2),
        **tally.figures(),
    )
    assert at_the_jump < READERS, "it jumped too late to show anything"
    assert connections <= 10 * CONNECTIONS, "it kept calling the relay"
    assert silence <= LONGEST_SILENCE_SECONDS, "it had no time for anything else"
    check_each_once(tally, sink)
    if to.startswith("-"):
        assert editions(world) == 1
        tally.check()


def test_a_worker_whose_clock_runs_ahead_takes_nothing_from_another(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world, clock = make("postgresql", READERS), TurnedClock(tmp_path)
    with (
        Sink(tmp_path) as sink,
        Server(world.folder, log="right.txt") as right,
        Server(world.folder, environment=clock.environment, log="ahead.txt") as ahead,
    ):
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("DOT", "usual", delay_seconds=0.05)
        ahead.start()
        clock.turn("+40d")
        right.start(wait=False)
        wait_until(lambda: nothing_waits(world), what="the editions")
        assert right.stop() == 0, right.log()
        assert ahead.stop() == 0, ahead.log()
        tally = count(world, sink)
        forgive_next_edition(tally)
        stolen = ahead.log().count("delivery recovered") + right.log().count("delivery recovered")
    figures(
        "R27",
        injected="one of two workers is 40 days ahead",
        stolen=stolen,
        **tally.figures(),
    )
    assert stolen == 0
    check_each_once(tally, sink)


def test_what_comes_due_after_a_jump_back_is_sent(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world, clock = make("sqlite", 20), TurnedClock(tmp_path)
    with (
        Sink(tmp_path) as sink,
        Server(world.folder, environment=clock.environment) as server,
    ):
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        server.start()
        wait_until(world.has_ended, what="the edition")
        clock.turn("-3d")
        threading.Event().wait(NOTICED_SECONDS)
        sink.on("RCPT", "451 4.3.0 later", match="newcomer@", times=1)
        ask_to_subscribe(server, "newcomer@example.com")
        newcomer = "newcomer@example.com"
        seconds = wait_until(
            lambda: newcomer in {one.recipient for one in sink.taken()}, 20, "the second try"
        )
        assert server.stop() == 0, server.log()
    figures("R27", injected="the clock jumps back by 3 days for good", seconds=round(seconds, 1))


def ask_to_subscribe(server: Server, address: str) -> None:
    """Fill in the form of the newsletter."""
    fields = {"address": address, "name": "韩梅梅", "schedule": "yearly", "language": "zh"}
    body = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(f"{server.url}/subscribe/daily", body, timeout=20) as answer:
        assert answer.status == 200
