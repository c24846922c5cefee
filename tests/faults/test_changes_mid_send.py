"""People leave, operators pause and edit, processes end, between a claim and its dot."""

import re
import signal
import threading
import time
import urllib.request
from email import message_from_bytes
from pathlib import Path

import pytest
from battery import (
    Figures,
    Person,
    Server,
    Sink,
    Taken,
    World,
    WorldMaker,
    count,
    run_command,
    wait_until,
)

pytestmark = pytest.mark.fault
READERS = 250
CONNECTIONS = 5
LEAVING, ERASED = 60, 20


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_who_leaves_or_is_erased_amid_a_send_gets_nothing_but_what_was_on_the_wire(
    make: WorldMaker, figures: Figures, tmp_path: Path, kind: str
) -> None:
    world = make(kind, READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS)
        server.start()
        wait_until(lambda: sink.count() >= 40, what="the first mails")
        held = sink.hold("RCPT", CONNECTIONS)
        on_the_wire = {asked.argument for asked in held}
        reached = {one.recipient for one in sink.taken()} | on_the_wire
        waiting = [one for address, one in world.people.items() if address not in reached]
        left = {}
        for address in on_the_wire:
            _leave(world, server, world.people[address])
        for person in waiting[:LEAVING]:
            _leave(world, server, person)
            left[person.address] = time.time()
        for person in waiting[LEAVING : LEAVING + ERASED]:
            world.execute(f"DELETE FROM subscriber WHERE id = {person.subscriber_id}")  # noqa: S608
            left[person.address] = time.time()
        sink.release(held)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        assert "Traceback" not in server.log()
        tally = count(world, sink, left)
    figures(
        *("R20", "R21"),
        injected=f"{LEAVING} one-click POSTs and {ERASED} erasures, all connections held at RCPT",
        case=kind,
        on_the_wire=len(held),
        **tally.figures(),
    )
    tally.check()
    assert tally.states == {"sent": READERS - LEAVING - ERASED, "skipped": LEAVING}
    assert not left.keys() & {one.recipient for one in sink.taken()}


def _leave(world: World, server: Server, person: Person) -> None:
    """Unsubscribe as mail programs do (RFC 8058 §3.1)."""
    request = urllib.request.Request(
        server.url + world.unsubscribe_path(person), b"List-Unsubscribe=One-Click"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def test_a_pause_outlives_a_kill_and_going_on_sends_the_rest_alone(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS)
        server.start()
        wait_until(lambda: sink.count() >= 40, what="the first mails")
        held = sink.hold("RCPT", CONNECTIONS)
        before = sink.count()
        run_command(world.folder, "editions", "pause", str(world.edition_id))
        sink.release(held)
        threading.Event().wait(1)
        at_pause = sink.count()
        assert before <= at_pause <= before + len(held)
        server.kill()
        server.start()
        threading.Event().wait(2)
        assert sink.count() == at_pause
        assert world.edition_state() == "paused"
        run_command(world.folder, "editions", "resume", str(world.edition_id))
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R23",
        injected="pause amid a send, kill -9, start, resume",
        sent_after_pause=at_pause - before,
        **tally.figures(),
    )
    tally.check()
    assert tally.states == {"sent": READERS}


def test_articles_edited_amid_a_send_change_no_mail(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS)
        server.start()
        wait_until(lambda: sink.count() >= 40, what="the first mails")
        held = sink.hold("RCPT", CONNECTIONS)
        articles = world.folder / "articles"
        (articles / "market.md").write_text(
            "---\ntitle: 更正 Corrected\n---\n另一篇正文。\n", "utf-8"
        )
        (articles / "second.md").write_text("---\ntitle: 第二篇\n---\n新来的。\n", "utf-8")
        wait_until(
            lambda: (
                {"更正 Corrected", "第二篇"}
                <= {row[0] for row in world.rows("SELECT title FROM article")}
            ),
            what="the edited articles",
        )
        server.kill()  # what is kept in memory is lost, and rendered mail read from its rows again
        sink.release(held)
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
        contents = {_content(world, one) for one in sink.taken()}
    figures(
        "R17",
        injected="the article edited, another added, and a kill amid the send",
        different_contents=len(contents),
        languages=2,
        **tally.figures(),
    )
    tally.check(uncertain=CONNECTIONS)
    assert len(contents) == 2
    assert not any("Corrected" in one or "第二篇" in one for one in contents)


def _content(world: World, taken: Taken) -> str:
    """What a message says, without what is one person's."""
    person = world.people[taken.recipient]
    parsed = message_from_bytes(taken.message)
    texts = [str(parsed["Subject"])]
    for part in parsed.walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            texts.append(content.decode("utf-8").replace(person.address, "ADDRESS"))
    return re.sub(r"/unsubscribe/[A-Za-z0-9_-]+", "LINK", "\n".join(texts))


def test_asked_to_end_amid_a_send_it_finishes_what_is_on_the_wire_alone(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS)
        server.start()
        wait_until(lambda: sink.count() >= 40, what="the first mails")
        sink.on("DOT", "usual", delay_seconds=1.5)
        wait_until(lambda: sink.report()["verbs"]["DATA"] > sink.count() - CONNECTIONS)
        threading.Event().wait(0.3)
        before = sink.count()
        begin = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.stop() == 0, server.log()
        took_s = time.monotonic() - begin
        after = sink.count()
        interrupted = world.states()
        sink.forget_rules()
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R24",
        injected="SIGTERM amid a send to a server that needs 1.5 s for each mail",
        seconds_until_it_ended=round(took_s, 1),
        **tally.figures(),
    )
    tally.check()
    assert interrupted.keys() == {"pending", "sent"}
    assert interrupted["sent"] == after
    assert after - before <= CONNECTIONS
    assert took_s < 20
