"""Workers beside one another: one stands still past its heartbeat and wakes, or two are at work."""

import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from battery import Server, Sink, count, wait_until
from conftest import Figures, WorldMaker

pytestmark = pytest.mark.fault
READERS = 400
CONNECTIONS = 5
#: After so long without a sign of life a worker is dead.
HEARTBEAT = "heartbeat_timeout_seconds = 3"
_SENT = re.compile(r'event="deliveries sent" count=(\d+)')


@pytest.mark.parametrize(
    "policy", ["carry", "resend", pytest.param("hold", marks=pytest.mark.long)]
)
def test_a_worker_that_stood_still_sends_nothing_that_others_have_taken_over(
    make: WorldMaker, figures: Figures, tmp_path: Path, policy: str
) -> None:
    world = make("postgresql", READERS)
    with (
        Sink(tmp_path) as sink,
        Server(world.folder, log="still.txt") as still,
        Server(world.folder, log="other.txt") as other,
    ):
        sending = f'{HEARTBEAT}\nuncertain_digests = "{policy}"'
        world.configure(sink.port, connections=CONNECTIONS, sending=sending)
        sink.on("DOT", "usual", delay_seconds=0.02)
        still.start(wait=False)
        wait_until(lambda: sink.count() >= READERS // 6, what="mails")
        # All its connections have handed a message over, and wait for the answer.
        sink.forget_rules()
        held = sink.hold("DOT", CONNECTIONS)
        still.send_signal(signal.SIGSTOP)
        sink.release(held)
        before = sink.count()
        other.start(wait=False)
        wait_until(world.has_ended, what="the other worker")
        through = sink.count()
        still.send_signal(signal.SIGCONT)
        wait_until(lambda: "known repeat" in still.log(), what="the first worker to wake")
        assert still.stop() == 0, still.log()
        assert other.stop() == 0, other.log()
        tally = count(world, sink)
        repeats = still.log().count("known repeat")
    figures(
        *("R02", "R03", "R45", *(["R04"] if policy == "hold" else [])),
        injected=f"SIGSTOP past the heartbeat, another worker, SIGCONT; {policy}",
        before_it_stood_still=before,
        known_repeats=repeats,
        after_it_woke=sink.count() - through,
        **tally.figures(),
    )
    assert before < READERS, "it stood still too late to show anything"
    assert sink.count() == through, "it went on sending what was no longer its own"
    assert 1 <= repeats <= CONNECTIONS
    assert tally.uncertain == repeats
    tally.check(uncertain=CONNECTIONS, duplicates=CONNECTIONS if policy == "resend" else 0)


def test_two_workers_send_each_mail_once(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("postgresql")  # more than one worker claims at a time
    with (
        Sink(tmp_path) as sink,
        Server(world.folder, log="one.txt") as one,
        Server(world.folder, log="two.txt") as two,
    ):
        world.configure(
            sink.port, connections=CONNECTIONS, sending="heartbeat_timeout_seconds = 20"
        )
        one.start(wait=False)
        two.start(wait=False)
        # Both have claimed what they send first.
        sink.release(sink.hold("EHLO", 2))
        wait_until(world.has_ended, what="the edition")
        assert (one.stop(), two.stop()) == (0, 0)
        tally = count(world, sink)
        shares = [sum(map(int, _SENT.findall(server.log()))) for server in (one, two)]
    figures("R32", injected="two workers at once on PostgreSQL", shares=shares, **tally.figures())
    assert all(shares), "one of them had nothing to do"
    assert sum(shares) == tally.reached == len(world.people)
    tally.check()


def test_a_second_sender_on_one_file_refuses_and_a_command_follows(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with (
        Sink(tmp_path) as sink,
        Server(world.folder) as server,
        Server(world.folder, log="second.txt") as second,
    ):
        world.configure(
            sink.port, connections=CONNECTIONS, sending="heartbeat_timeout_seconds = 20"
        )
        server.start(wait=False)
        held = sink.hold("DOT", CONNECTIONS)
        second.start(wait=False)
        assert second.process.wait(60) != 0
        command = [sys.executable, "-m", "feedsvc", "send", "daily"]
        with subprocess.Popen(
            command, cwd=world.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as following:
            assert following.stderr is not None
            told = following.stderr.readline()
            sink.release(held)
            following.communicate(timeout=120)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    # The command's own edition may have taken over what the first had not sent yet.
    tally.disagreements = [one for one in tally.disagreements if "is superseded" not in one]
    figures("R32", injected="a second sender on one SQLite file", **tally.figures())
    assert "another feedsvc process is sending" in second.log()
    assert "feedsvc serve sends it" in told
    assert following.returncode == 0
    assert max(Counter(one.recipient for one in sink.taken()).values()) == 1
    assert tally.reached == len(world.people)
    assert (tally.outside, tally.foreign, tally.lost, tally.uncertain) == (0, 0, 0, 0), tally
    assert tally.disagreements == []
