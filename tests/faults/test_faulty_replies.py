"""An SMTP server that answers badly: lost replies, 421 at any step, refusals, a wrong password."""

import json
import threading
import time
from pathlib import Path

import pytest
from battery import (
    Figures,
    Server,
    Sink,
    Tally,
    World,
    WorldMaker,
    count,
    hurried,
    run_command,
    wait_until,
)

pytestmark = pytest.mark.fault
READERS = 250
CONNECTIONS = 5
HURRY = 60
PHASES = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT")


def send(
    world: World, sink: Sink, sending: str = "", environment: dict[str, str] | None = None
) -> Tally:
    """Send a world's edition from a server's start to its end, and count."""
    world.configure(sink.port, connections=CONNECTIONS, sending=sending)
    with Server(world.folder, environment=environment) as server:
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        assert "Traceback" not in server.log()
    return count(world, sink)


@pytest.mark.parametrize("policy", ["carry", "resend", "hold"])
def test_a_reply_lost_after_the_dot_is_a_doubt_and_neither_sent_nor_failed(
    make: WorldMaker, figures: Figures, tmp_path: Path, policy: str
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path, seed=7) as sink:
        sink.on("DOT", "accept_then_drop", chance=0.1)
        tally = send(world, sink, f'uncertain_digests = "{policy}"')
        lost = [one.recipient for one in sink.taken() if not one.replied]
    figures(
        *("R03", "R06", "R45"),
        injected="reply lost after the dot for one in ten",
        case=policy,
        lost_replies=len(lost),
        **tally.figures(),
    )
    assert READERS / 20 < len(lost) < READERS / 5
    assert tally.reached == READERS
    assert tally.uncertain == len(set(lost))
    tally.check(uncertain=len(lost), duplicates=len(set(lost)) if policy == "resend" else 0)
    if policy == "resend":
        assert tally.duplicates == tally.uncertain
    else:
        state = {"carry": "uncertain", "hold": "held"}[policy]
        assert tally.states == {"sent": READERS - len(lost), state: len(lost)}


def test_held_mails_are_listed_and_go_once_more_only_when_asked(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path, seed=7) as sink:
        sink.on("DOT", "accept_then_drop", chance=0.1)
        before = send(world, sink, 'uncertain_digests = "hold"')
        lost = {one.recipient for one in sink.taken() if not one.replied}
        sink.forget_rules()
        listing = ("deliveries", "uncertain", "list", "--limit", "1000", "--json")
        listed = json.loads(run_command(world.folder, *listing))["uncertain"]
        edition = str(world.edition_id)
        run_command(world.folder, "deliveries", "uncertain", "again", "--edition", edition)
        with Server(world.folder) as server:
            server.start(wait=False)
            wait_until(lambda: world.states() == {"sent": READERS}, what="the held mails")
            assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R04",
        injected="reply lost after the dot for one in ten, hold; then sent again by command",
        listed=len(listed),
        copies_before_asked=before.duplicates,
        **tally.figures(),
    )
    before.check(uncertain=len(lost))
    assert {one["address"] for one in listed} == lost
    assert all(one["state"] == "held" and one["reason"] for one in listed)
    tally.check(uncertain=len(lost), duplicates=len(lost))
    assert tally.duplicates == len(lost)


def test_a_message_dropped_at_the_dot_is_a_doubt_too(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path, seed=8) as sink:
        sink.on("DOT", "drop", chance=0.05)
        sink.on("DOT", "reset", chance=0.05)
        tally = send(world, sink)
    figures(
        *("R06", "R45"),
        injected="connection lost at the dot for one in ten, nothing taken",
        **tally.figures(),
    )
    tally.check(uncertain=READERS // 5)
    assert tally.frozen - tally.reached == tally.uncertain > 0


def test_421_at_every_step_marks_nobody_and_everybody_is_mailed_later_once(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    few = 60  # whoever says 421 is mailed slowly for a while
    world = make("sqlite", few)
    with Sink(tmp_path) as sink:
        for phase in PHASES:
            sink.on(phase, "421 4.3.2 shutting down", times=1)
        begin = time.monotonic()
        tally = send(world, sink, "heartbeat_timeout_seconds = 300", hurried(HURRY))
    figures(
        "R08",
        injected="421 at each of six steps",
        minutes_until_all_were_sent=round((time.monotonic() - begin) * HURRY / 60),
        **tally.figures(),
    )
    tally.check()
    assert tally.states == {"sent": few}
    assert not world.rows("SELECT id FROM subscriber WHERE failures > 0")


def test_refused_recipients_stop_nobody_else(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    unknown, full, session_killer = list(world.people)[10:13]
    with Sink(tmp_path) as sink:
        sink.on("RCPT", "550 5.1.1 no such user", match=unknown)
        sink.on("RCPT", "552 5.2.2 mailbox full", match=full)
        sink.on("DOT", "554 5.6.0 cannot parse this", match=session_killer)
        tally = send(world, sink)
    figures("R09", injected="three recipients refused with 5xx", **tally.figures())
    tally.check()
    assert tally.reached == READERS - 3
    rows = world.rows(
        "SELECT s.address, d.state, d.reply_code, d.reply_text FROM delivery d"
        " JOIN subscriber s ON s.id = d.subscriber_id WHERE d.state <> 'sent'"
    )
    assert {row[0]: (row[2], row[3][:5]) for row in rows if row[1] == "failed"} == {
        unknown: (550, "5.1.1"),
        full: (552, "5.2.2"),
        session_killer: (554, "5.6.0"),
    }
    assert world.rows("SELECT address FROM subscriber WHERE state = 'dead' AND failures > 0") == [
        (unknown,)
    ]


def test_a_recipient_at_whom_the_server_hangs_up_stops_nobody_else(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    poison = list(world.people)[20]
    with Sink(tmp_path) as sink:
        sink.on("RCPT", "drop", match=poison)
        world.configure(sink.port, connections=CONNECTIONS)
        with Server(world.folder) as server:
            server.start(wait=False)
            waited_s = wait_until(lambda: sink.count() == READERS - 1, what="the others")
            assert server.stop() == 0, server.log()
        tally = count(world, sink)
        connections = sink.report()["connections"]
    figures(
        *("R09", "R13"),
        injected="the server hangs up at one recipient, every time",
        seconds_until_all_others_were_sent=round(waited_s, 1),
        connections=connections,
        **tally.figures(),
    )
    tally.check(still_open=1)
    assert connections < 60


def test_a_wrong_password_costs_one_attempt_and_no_mail(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path, login="news:right") as sink:
        login = 'host = "localhost"\nusername = "news"\npassword = "wrong"'
        world.configure(sink.port, connections=CONNECTIONS, relay=login)
        with Server(world.folder) as server:
            server.start()
            wait_until(lambda: sink.report()["verbs"].get("AUTH", 0) > 0, what="an attempt")
            threading.Event().wait(0.8)  # shorter than the first pause: a storm would be seen
            verbs = sink.report()["verbs"]
            assert server.stop() == 0, server.log()
            log = server.log()
        tally = count(world, sink)
    figures("R15", injected="535 to AUTH", attempts=verbs["AUTH"], **tally.figures())
    tally.check(still_open=READERS)
    assert verbs["AUTH"] == 1
    assert "MAIL" not in verbs
    assert tally.states == {"pending": READERS}
    assert "535" in log
