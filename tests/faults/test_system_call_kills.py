"""Killed at the n-th system call of a send: when it writes to disk, or to a connection.

n is counted from the first open connection on, so that it falls into the sending.
"""

from contextlib import ExitStack
from pathlib import Path

import pytest
from battery import Server, Sink, Tally, World, count, wait_until
from conftest import Figures, WorldMaker
from system_faults import held_before_first_mail, injecting

READERS = 400
CONNECTIONS = 5
#: Being traced is slow; but on PostgreSQL a killed process is waited for so long.
SENDING = "heartbeat_timeout_seconds = 5"
#: Kills in one send of the long form.
KILLS_A_SEND = 8
#: What hands bytes to a socket, or a line to the log.
WRITES = "write,writev,sendmsg,sendto"

SWEEPS = [
    ("sqlite", "fdatasync", [2, 9]),
    ("sqlite", "pwrite64", [1, 45]),
    ("sqlite", WRITES, [3, 90]),
    ("postgresql", WRITES, [2, 60]),
]
LONG_SWEEPS = [
    ("sqlite", "fdatasync", list(range(1, 41))),
    ("sqlite", "pwrite64", list(range(1, 161, 4))),
    ("sqlite", WRITES, list(range(1, 241, 6))),
    ("postgresql", WRITES, list(range(1, 401, 8))),
]
NAMES = [f"{kind}-{calls.partition(',')[0]}" for kind, calls, _ in SWEEPS]


@pytest.mark.fault
@pytest.mark.parametrize(("kind", "calls", "numbers"), SWEEPS, ids=NAMES)
def test_a_kill_at_a_system_call_loses_nobody(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str, calls: str, numbers: list[int]
) -> None:
    tally = _sweep(make(kind, READERS), tmp_path, calls, numbers)
    _record(figures, kind, calls, numbers, tally)
    tally.check(uncertain=len(numbers) * CONNECTIONS)


@pytest.mark.fault
@pytest.mark.long
@pytest.mark.parametrize(("kind", "calls", "numbers"), LONG_SWEEPS, ids=NAMES)
def test_a_kill_at_any_of_many_system_calls_loses_nobody(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str, calls: str, numbers: list[int]
) -> None:
    total = Tally(0)
    for start in range(0, len(numbers), KILLS_A_SEND):
        (folder := tmp_path / str(start)).mkdir()
        some = numbers[start : start + KILLS_A_SEND]
        tally = _sweep(make(kind, READERS), folder, calls, some)
        tally.check(uncertain=len(some) * CONNECTIONS)
        total += tally
    _record(figures, kind, calls, numbers, total)


def _record(figures: Figures, kind: str, calls: str, numbers: list[int], tally: Tally) -> None:
    figures(
        *("R02", "R03", "R05"),
        injected=f"SIGKILL at the n-th {calls.replace(',', ', ')}, {kind}",
        kills=len(numbers),
        **tally.figures(),
    )


def _sweep(world: World, folder: Path, calls: str, numbers: list[int]) -> Tally:
    """Send a world's edition, killed at each of these calls in turn."""
    with Sink(folder) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=SENDING)
        for number in numbers:
            with ExitStack() as faults:
                with held_before_first_mail(sink, server):
                    faults.enter_context(injecting(server, calls, "signal=KILL", str(number)))
                wait_until(lambda: not server.is_running or world.has_ended(), what="the kill")
            assert not server.is_running, f"the edition was through before call {number}"
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        return count(world, sink)
