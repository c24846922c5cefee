"""The fault battery: real processes, a scripted SMTP server, and counting by that server's log.

A test takes a world, which is a frozen edition for many readers, and sends it under a fault:

    def test_…(make: WorldMaker, figures: Figures, tmp_path: Path) -> None:
        world = make("sqlite", readers=500)
        with Sink(tmp_path) as sink, Server(world.folder) as server:
            world.configure(sink.port, connections=CONNECTIONS)
            server.start()
            …  # kill, stop, refuse
            wait_until(world.has_ended)
        tally = count(world, sink)
        figures("R02", "R03", injected="kill -9 × 5", **tally.figures())
        tally.check(uncertain=5 * CONNECTIONS)

What a test has found goes into the file named by `pytest --figures FILE`, one line of JSON each;
`reliability.py` makes the table of promises from it.
"""

from battery_database import run_apart
from battery_figures import Figures
from battery_processes import PATIENCE_SECONDS, Server, hurried, run_command, wait_until
from battery_sink import Asked, Sink, Taken
from battery_tally import Tally, count, find_foreign
from battery_world import (
    READERS,
    Person,
    World,
    WorldMaker,
    address_of,
    copy_world,
    make_world,
)

__all__ = [
    "PATIENCE_SECONDS",
    "READERS",
    "Asked",
    "Figures",
    "Person",
    "Server",
    "Sink",
    "Taken",
    "Tally",
    "World",
    "WorldMaker",
    "address_of",
    "copy_world",
    "count",
    "find_foreign",
    "hurried",
    "make_world",
    "run_apart",
    "run_command",
    "wait_until",
]
