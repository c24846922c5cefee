"""`kill -9` at any instant of a send, again and again: nobody is forgotten, few are in doubt.

The instants are drawn from seeds: most after so many messages and a few milliseconds, some while
the process starts or takes back what the last one left.
"""

import random
import threading
from pathlib import Path

import pytest
from battery import READERS, Figures, Server, Sink, Tally, World, WorldMaker, count, wait_until

KINDS = ("sqlite", "postgresql")
POLICIES = ("carry", "resend", "hold")
#: Seed, database, policy, connections: 20 kills together.
SHORT = (
    (1, "sqlite", "carry", 20),
    (2, "sqlite", "resend", 5),
    (3, "postgresql", "hold", 5),
    (4, "postgresql", "resend", 1),
)
SHORT_KILLS = 5
SHORT_READERS = 600
#: Every policy with every width on both: 18 sends with 12 kills each.
LONG = tuple(
    (100 + number, kind, policy, connections)
    for number, (kind, policy, connections) in enumerate(
        (kind, policy, connections)
        for kind in KINDS
        for policy in POLICIES
        for connections in (1, 5, 20)
    )
)
LONG_KILLS = 12
#: What a kill leaves in hand is sent one by one afterwards.
LAST_PATIENCE_SECONDS = 400.0


def _names(cases: tuple[tuple[int, str, str, int], ...]) -> list[str]:
    return [f"{kind}-{policy}-{connections}" for _, kind, policy, connections in cases]


@pytest.mark.fault
@pytest.mark.parametrize(("seed", "kind", "policy", "connections"), SHORT, ids=_names(SHORT))
def test_no_kill_forgets_anybody_and_few_are_in_doubt(
    make: WorldMaker,
    figures: Figures,
    tmp_path: Path,
    seed: int,
    kind: str,
    policy: str,
    connections: int,
) -> None:
    _sweep(make, figures, tmp_path, (seed, kind, policy, connections), SHORT_KILLS, SHORT_READERS)


@pytest.mark.long
@pytest.mark.parametrize(("seed", "kind", "policy", "connections"), LONG, ids=_names(LONG))
def test_two_hundred_kills_forget_nobody_and_few_are_in_doubt(
    make: WorldMaker,
    figures: Figures,
    tmp_path: Path,
    seed: int,
    kind: str,
    policy: str,
    connections: int,
) -> None:
    _sweep(make, figures, tmp_path, (seed, kind, policy, connections), LONG_KILLS, READERS)


def _sweep(
    make: WorldMaker,
    figures: Figures,
    tmp_path: Path,
    case: tuple[int, str, str, int],
    kills: int,
    readers: int,
) -> None:
    seed, kind, policy, connections = case
    world = make(kind, readers)
    tally, amid = _send_under_kills(world, tmp_path, seed, policy, connections, kills)
    figures(
        *("R02", "R03", "R05", "R45", "R48", *(["R04"] if policy == "hold" else [])),
        injected="kill -9 at drawn instants",
        case=f"{policy}, {connections} on {kind}",
        kills=kills,
        **tally.figures(),
    )
    most = kills * connections
    tally.check(uncertain=most, duplicates=tally.uncertain if policy == "resend" else 0)
    assert amid >= kills // 2, "most kills came when nothing was being sent"
    missing = tally.frozen - tally.reached
    assert missing <= tally.uncertain
    if policy == "resend":
        assert missing == 0 or tally.states.get("uncertain", 0) >= missing
    if policy == "hold":
        assert tally.states.get("held", 0) == tally.uncertain


def _send_under_kills(
    world: World, tmp_path: Path, seed: int, policy: str, connections: int, kills: int
) -> tuple[Tally, int]:
    """Send a world's edition; the counts, and how many kills came while mail was going out."""
    chance = random.Random(seed)
    amid, readers = 0, len(world.people)
    with Sink(tmp_path, seed=seed) as sink, Server(world.folder) as server:
        world.configure(
            sink.port, connections=connections, sending=f'uncertain_digests = "{policy}"'
        )
        for left in range(kills, 0, -1):
            server.start(wait=False)
            before = sink.count()
            if chance.random() < 0.8:
                wanted = before + chance.randint(1, max(1, (readers - before) // (left + 1)))
                wait_until(lambda wanted=wanted: sink.count() >= wanted or world.has_ended())
                threading.Event().wait(chance.uniform(0, 0.03))
            else:
                threading.Event().wait(chance.uniform(0.2, 2.5))
            server.kill()
            amid += before < sink.count() < readers
        server.start(wait=False)
        wait_until(world.has_ended, LAST_PATIENCE_SECONDS, what="the edition")
        assert server.stop() == 0, server.log()
        return count(world, sink), amid
