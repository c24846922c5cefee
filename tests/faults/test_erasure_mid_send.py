"""People are erased while mail goes out: nothing stumbles over it, and they get nothing more."""

import random
import time
from pathlib import Path

import pytest
from battery import Person, Server, Sink, World, count, wait_until
from conftest import Figures, WorldMaker

pytestmark = pytest.mark.fault
READERS = 400
ERASED = 80
CONNECTIONS = 5


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_erased_get_nothing_and_nobody_else_waits(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str
) -> None:
    world = make(kind, READERS)
    chance = random.Random(7)
    erased = chance.sample(sorted(world.people.values(), key=lambda one: one.number), ERASED)
    gone: dict[str, float] = {}
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(
            sink.port, connections=CONNECTIONS, sending="heartbeat_timeout_seconds = 20"
        )
        sink.on("DOT", "usual", delay_seconds=0.03)
        server.start(wait=False)
        wait_until(lambda: sink.count() >= READERS // 6, what="mails")
        for start in range(0, ERASED, 10):
            _erase(world, erased[start : start + 10])
            gone |= dict.fromkeys([one.address for one in erased[start : start + 10]], time.time())
        amid = sink.count()
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink, gone)
        log = server.log()
    on_the_wire, tally.after_leaving = tally.after_leaving, 0
    tally.disagreements = [one for one in tally.disagreements if one.split(" ")[0] not in gone]
    figures(
        "R21",
        injected=f"{ERASED} of {READERS} readers erased in the middle, {kind}",
        erased_before_their_mail=len(gone) - _reached(sink, gone),
        on_the_wire=on_the_wire,
        **tally.figures(),
    )
    assert amid < READERS, "they were erased too late to show anything"
    assert "Traceback" not in log
    assert _reached(sink, gone) < ERASED, "all had their mail by then"
    # What was being handed over when the erasure was committed: one a connection, each time.
    assert on_the_wire <= CONNECTIONS * (ERASED // 10)
    assert tally.reached >= READERS - ERASED
    tally.check()


def _erase(world: World, people: list[Person]) -> None:
    """Delete people, and with them all that hangs on them."""
    ids = ", ".join(str(one.subscriber_id) for one in people)
    world.execute(f"DELETE FROM subscriber WHERE id IN ({ids})")  # noqa: S608


def _reached(sink: Sink, addresses: dict[str, float]) -> int:
    return len({one.recipient for one in sink.taken()} & addresses.keys())
