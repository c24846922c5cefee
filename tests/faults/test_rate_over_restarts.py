"""A relay's limit holds over kills: what was sent before one still counts after it."""

import time
from pathlib import Path

import pytest
from battery import Figures, Server, Sink, WorldMaker, count, hurried, wait_until

pytestmark = pytest.mark.fault
READERS = 300
PER_MINUTE = 60
HURRY = 30
KILLS = 3


def test_no_minute_sees_more_mails_than_the_limit_though_the_sender_is_killed(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink:
        world.configure(
            sink.port,
            connections=4,
            relay=f'limits = ["{PER_MINUTE}/minute"]',
            sending="heartbeat_timeout_seconds = 300",
        )
        began = time.monotonic()
        for kill in range(KILLS):
            with Server(world.folder, environment=_hurried_since(began)) as server:
                server.start(wait=False)
                wait_until(lambda kill=kill: sink.count() >= 45 * (kill + 1), what="mails")
                server.kill()
        with Server(world.folder, environment=_hurried_since(began)) as server:
            server.start(wait=False)
            wait_until(world.has_ended, what="all mails")
            assert server.stop() == 0, server.log()
        tally = count(world, sink)
        at = sorted(one.at for one in sink.taken())
    minute_s = 60 / HURRY
    most = max(sum(begin <= one < begin + minute_s for one in at) for begin in at)
    figures(
        "R16",
        injected=f"kill -9 amid a send limited to {PER_MINUTE} a minute",
        kills=KILLS,
        most_in_a_minute=most,
        minutes=round((at[-1] - at[0]) / minute_s, 1),
        **tally.figures(),
    )
    tally.check(uncertain=KILLS * 4)
    assert most <= PER_MINUTE


def _hurried_since(began: float) -> dict[str, str]:
    """Clocks that run faster, and go on over restarts where those of the last process were."""
    ahead_s = (time.monotonic() - began) * (HURRY - 1)
    return hurried(HURRY) | {"FAKETIME": f"+{ahead_s:.3f}s x{HURRY}"}
