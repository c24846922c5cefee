"""What a crash must not undo or leave half done: answers that were given, recipients in writing."""

import random
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from battery import READERS, Figures, Server, Sink, World, WorldMaker, address_of, count, wait_until

pytestmark = pytest.mark.fault
THREADS = 6
KILLS = 3


def test_whoever_was_told_done_is_done_though_the_process_is_killed(
    make: WorldMaker, figures: Figures
) -> None:
    world = make("sqlite")
    world.configure(1)
    world.execute("UPDATE edition SET state = 'cancelled'")  # nothing is to be sent meanwhile
    left: set[int] = set()
    asked: set[str] = set()
    waiting = list(world.people.values())
    with Server(world.folder) as server:
        for kill in range(KILLS):
            server.start()
            stop = threading.Event()

            def ask(part: int, kill: int = kill, stop: threading.Event = stop) -> None:
                for person in waiting[kill * THREADS + part :: KILLS * THREADS]:
                    if stop.is_set():
                        return
                    address = f"new{person.number}@example.com"
                    wish = {"address": address, "schedule": "yearly", "language": "zh"}
                    if _post(server.url + world.unsubscribe_path(person), {"x": "y"}, stop):
                        left.add(person.subscription_id)
                    if part == 0 and _post(f"{server.url}/subscribe/daily", wish, stop):
                        asked.add(address)

            threads = [threading.Thread(target=ask, args=(part,)) for part in range(THREADS)]
            before = len(left) + len(asked)
            for thread in threads:
                thread.start()
            chance = random.Random(kill)
            wanted = before + chance.randint(20, 60)
            wait_until(lambda wanted=wanted: len(left) + len(asked) >= wanted, what="answers")
            server.kill()
            stop.set()
            for thread in threads:
                thread.join()
    gone = {
        row[0] for row in world.rows("SELECT id FROM subscription WHERE state = 'unsubscribed'")
    }
    noticed = {
        row[0]
        for row in world.rows(
            "SELECT s.address FROM subscriber s JOIN notice n ON n.subscriber_id = s.id"
            " JOIN delivery d ON d.notice_id = n.id"
        )
    }
    figures(
        "R01",
        injected="kill -9 amid one-click unsubscribes and requests by the form",
        kills=KILLS,
        answered=len(left) + len(asked),
        undone=len(left - gone) + len(asked - noticed),
    )
    assert len(asked) >= KILLS
    assert left <= gone
    assert asked <= noticed


def _post(url: str, fields: dict[str, str], stop: threading.Event) -> bool:
    """Whether it was answered with success; False when the server has been killed."""
    try:
        with urllib.request.urlopen(url, urlencode(fields).encode(), timeout=30) as answer:
            answer.read()
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        raise
    except OSError:
        stop.set()
        return False


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_kills_while_recipients_are_written_drop_none_and_write_none_twice(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str
) -> None:
    world = make(kind, READERS, composed=False)
    chance = random.Random(18)
    seen: list[int] = []
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=20)
        for _ in range(KILLS):
            server.start(wait=False)
            wanted = (seen[-1] if seen else 0) + chance.randint(1, READERS // 4)
            wait_until(lambda wanted=wanted: _written(world) >= wanted, what="recipients")
            server.kill()
            seen.append(_written(world))
            early = sink.count()
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        world.learn_people()
        tally = count(world, sink)
    figures(
        *("R18", "R19"),
        injected="kill -9 while recipients are written",
        case=kind,
        kills=KILLS,
        written_at_kills=", ".join(map(str, seen)),
        **tally.figures(),
    )
    assert world.people.keys() == {address_of(number) for number in range(READERS)}
    tally.check(uncertain=20)
    assert early == 0 or seen[-1] == READERS
    assert tally.frozen - tally.reached <= tally.uncertain


def _written(world: World) -> int:
    ((rows,),) = world.rows(
        f"SELECT count(*) FROM delivery WHERE edition_id = {world.edition_id}"  # noqa: S608
    )
    return int(rows)
