"""One row that cannot be sent, or that workers die of, stops nobody else."""

from pathlib import Path

import pytest
from battery import Figures, Person, Server, Sink, World, WorldMaker, count, wait_until

pytestmark = pytest.mark.fault
READERS = 120
CONNECTIONS = 4
#: A slot that a digest has no value for, as it stands in rendered mail.
_STRANGE_SLOT = "\U0010fffcconfirm_url\U0010fffd"


def test_mails_that_cannot_be_made_are_set_aside_with_a_reason(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    by_template, by_address = list(world.people.values())[30:32]
    _give_own_cohort(world, by_template)
    hostile = "x\r\nRCPT TO:<everybody@example.com"
    world.execute(
        f"UPDATE subscriber SET address = '{hostile}' WHERE id = {by_address.subscriber_id}"  # noqa: S608
    )
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        world.configure(sink.port, connections=CONNECTIONS)
        server.start(wait=False)
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R10",
        injected="one template with an unknown slot, one address with a line break",
        **tally.figures(),
    )
    tally.check()
    assert tally.states == {"sent": READERS - 2, "failed": 2}
    reasons = world.rows("SELECT id, reason FROM delivery WHERE state = 'failed'")
    assert {row[0] for row in reasons} == {by_template.delivery_id, by_address.delivery_id}
    assert all(len(reason) > 10 for _, reason in reasons), reasons
    assert tally.reached == READERS - 2


def _give_own_cohort(world: World, person: Person) -> None:
    world.execute(
        "INSERT INTO cohort (edition_id, content_key, language, theme, subject, html, text, page)"  # noqa: S608
        f" SELECT edition_id, 'poison', language, theme, subject, html || '{_STRANGE_SLOT}', text,"
        " page FROM cohort WHERE id ="
        f" (SELECT cohort_id FROM delivery WHERE id = {person.delivery_id})"
    )
    world.execute(
        "UPDATE delivery SET cohort_id = (SELECT id FROM cohort WHERE content_key = 'poison')"  # noqa: S608
        f" WHERE id = {person.delivery_id}"
    )


def test_a_mail_that_every_worker_dies_of_is_given_up_and_the_rest_goes_out(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    poison = list(world.people.values())[60]
    deaths = 0
    with Sink(tmp_path) as sink, Server(world.folder) as server:
        again = 'uncertain_digests = "resend"'  # or nobody would take it up a second time
        world.configure(sink.port, connections=CONNECTIONS, sending=again)
        sink.on("RCPT", "ask", match=poison.address)
        server.start(wait=False)
        while not world.has_ended():
            asked = sink.asked_within(0.05)
            if asked is not None:
                server.kill()
                sink.go(asked)
                deaths += 1
                assert deaths <= 5
                server.start(wait=False)
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R11",
        injected="kill -9 whenever one recipient is named",
        deaths=deaths,
        **tally.figures(),
    )
    tally.check(uncertain=deaths * CONNECTIONS, duplicates=tally.uncertain)
    assert deaths >= 2
    ((state, reason),) = world.rows(
        f"SELECT state, reason FROM delivery WHERE id = {poison.delivery_id}"  # noqa: S608
    )
    # In doubt if its dot was marked; else set aside, for workers died with it alone in hand.
    assert state == "uncertain" or "set aside" in reason, (state, reason)
    lacking = tally.frozen - tally.reached
    assert lacking <= tally.states.get("uncertain", 0) + tally.states.get("failed", 0)
    assert tally.states.get("failed", 0) <= 1
