"""Whole drains through real SMTP, well-behaved and not; what the server took is the judge."""

import asyncio
import email
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from delivery_world import World, only_sqlite
from smtp_sink import ACCEPT_THEN_DROP, DROP, SmtpSink

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.model.delivery import DeliveryState
from feedsvc.relays.smtp import SmtpRelay
from feedsvc.relays.smtp_limits import SmtpLimits

pytestmark = pytest.mark.anyio
S = DeliveryState
PEOPLE = [f"person{number}@example.com" for number in range(40)]


def relay_to(port: int, connections: int = 5) -> SmtpRelay:
    settings = SmtpRelaySettings(
        type="smtp", host="127.0.0.1", port=port, tls="none", connections=connections
    )
    return SmtpRelay(settings, limits=SmtpLimits(session_seconds=5, quit_seconds=1))


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with SmtpSink() as sink:
        yield sink


async def drain_all(world: World, relay: SmtpRelay, rounds: int = 60, **settings: Any) -> None:
    async with world.sender(relay, **settings) as sender:
        for _ in range(rounds):
            await sender.drain()
            if not {S.PENDING, S.DEFERRED} & (await world.states()).keys():
                return
            world.clock.forward(minutes=10)
            await sender.worker.beat()


async def test_two_hundred_people_get_one_mail_each_from_a_real_server(world: World) -> None:
    taken: list[tuple[str, bytes]] = []

    class Keeper:
        async def handle_DATA(self, _s: SMTP, _e: Any, envelope: Any) -> str:
            taken.append((envelope.rcpt_tos[0], envelope.content))
            return "250 2.0.0 taken"

    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Keeper(), hostname="127.0.0.1"), "127.0.0.1", 0
    )
    people = [f"p{number}@example.com" for number in range(200)]
    ids = await world.add(*people)
    await drain_all(world, relay_to(server.sockets[0].getsockname()[1], connections=10))
    server.close()
    assert Counter(recipient for recipient, _ in taken) == Counter(people)
    assert await world.states() == {S.SENT: 200}
    for recipient, content in taken:
        mail = email.message_from_bytes(content)
        assert mail["To"] == recipient
        assert mail["Message-ID"] == f"<{ids[people.index(recipient)]}@example.com>"


@only_sqlite
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
async def test_a_421_in_the_middle_marks_nobody_and_all_are_delivered_once(
    world: World, sink: SmtpSink, step: str
) -> None:
    sink.on(step, "421 4.3.2 going down", chance=0.2, times=8)
    await world.add(*PEOPLE)
    await drain_all(world, relay_to(sink.port))
    assert Counter(sink.recipients()) == Counter(PEOPLE)
    assert await world.states() == {S.SENT: len(PEOPLE)}


@only_sqlite
async def test_three_dead_addresses_stop_nobody_else(world: World, sink: SmtpSink) -> None:
    for number in (3, 13, 33):
        sink.on("RCPT", "550 5.1.1 no such user", match=f"person{number}@")
    await world.add(*PEOPLE)
    await drain_all(world, relay_to(sink.port))
    assert len(sink.accepted) == len(PEOPLE) - 3
    failed = [row for row in await world.rows() if row.state is S.FAILED]
    assert [row.address for row in failed] == [
        f"person{number}@example.com" for number in (3, 13, 33)
    ]
    assert {(row.reply_code, row.reply_text) for row in failed} == {(550, "5.1.1 no such user")}


@only_sqlite
@pytest.mark.parametrize(("policy", "most"), [("carry", 1), ("hold", 1), ("resend", 2)])
async def test_lost_replies_are_as_many_doubts_as_there_were(
    world: World, sink: SmtpSink, policy: str, most: int
) -> None:
    for number in (7, 17):
        sink.on("DOT", ACCEPT_THEN_DROP, match=f"person{number}@", times=1)
        sink.on("DOT", DROP, match=f"person{number + 1}@", times=1)
    ids = await world.add(*PEOPLE)
    await drain_all(world, relay_to(sink.port), uncertain_digests=policy)
    doubted = {row.address for row in await world.rows() if row.doubts}
    assert doubted == {f"person{number}@example.com" for number in (7, 8, 17, 18)}
    copies = Counter(sink.recipients())
    assert max(copies.values()) == most
    repeats = [mail for mail in sink.accepted if copies[mail.recipient] > 1]
    assert len({(mail.recipient, mail.message) for mail in repeats}) == len(repeats) // 2
    sent = {row.address for row in await world.rows() if row.state is S.SENT}
    assert sent <= set(copies)
    assert len(ids) == len(PEOPLE)


async def test_unsubscribing_during_a_send_is_in_time_or_on_the_wire(
    world: World, sink: SmtpSink
) -> None:
    """Every tenth person leaves while the mail of the one before them is being sent."""
    await world.add(*PEOPLE)
    leaving = PEOPLE[9::10]
    committed: dict[str, int] = {}

    async def leave(recipient: str) -> None:
        number = PEOPLE.index(recipient) + 1
        if number < len(PEOPLE) and PEOPLE[number] in leaving:
            await world.unsubscribe(PEOPLE[number])
            committed[PEOPLE[number]] = len(sink.accepted)

    sink.at_rcpt = leave
    await drain_all(world, relay_to(sink.port, connections=1))
    assert set(committed) == set(leaving)
    # PostgreSQL may have sent to some of them before; never after.
    for place, recipient in enumerate(sink.recipients()):
        assert place < committed.get(recipient, len(PEOPLE))
    mailed = set(leaving) & set(sink.recipients())
    assert len(mailed) < len(leaving)
    states = await world.states()
    assert states == {S.SENT: 36 + len(mailed), S.SKIPPED: 4 - len(mailed)}
