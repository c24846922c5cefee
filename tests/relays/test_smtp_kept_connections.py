"""Connections are used again, up to a point, and one that ended is simply replaced."""

import asyncio
from typing import Any

import pytest
from relay_world import ALICE, CAROL, MESSAGE, greet, offers, relay_to, serve, short
from smtp_sink import DROP, HANG, SmtpSink

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.errors import RelayUnavailable
from feedsvc.model.relay import Verdict
from feedsvc.relays.smtp import SmtpRelay

pytestmark = pytest.mark.anyio


class Clock:
    """Monotonic time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_relay_tells_how_its_connections_may_be_kept() -> None:
    settings = SmtpRelaySettings(
        type="smtp", host="mail.example.com", connections=3, first_connections=8, idle_seconds=7
    )
    relay = SmtpRelay(settings, name="main")
    assert (relay.name, relay.connections, relay.first_connections) == ("main", 3, 3)
    assert relay.idle_seconds == 7


async def test_so_many_messages_then_a_fresh_connection(sink: SmtpSink, permit: Any) -> None:
    connection: Any = await relay_to(sink.port, messages_per_connection=2).open()
    usable = []
    for _ in range(5):
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        usable.append(connection.is_usable)
    await connection.close()
    assert usable == [True, False, True, False, True]
    assert sink.connections == 3
    assert sink.commands.count("QUIT") == 3


async def test_a_connection_is_used_no_longer_than_its_lifetime(
    sink: SmtpSink, permit: Any
) -> None:
    clock = Clock()
    connection: Any = await relay_to(sink.port, connection_seconds=60, monotonic=clock).open()
    clock.now += 59.9
    assert connection.is_usable
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    clock.now += 0.1
    assert not connection.is_usable
    assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    assert connection.is_usable
    assert (sink.connections, sink.commands.count("QUIT")) == (2, 1)
    await connection.close()


async def test_a_server_that_closes_after_some_messages_is_simply_called_again(
    sink: SmtpSink, permit: Any
) -> None:
    connection = await relay_to(sink.port).open()
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    sink.on("MAIL", DROP, times=1)
    assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    assert permit.asked == 2
    assert sink.connections == 2


async def test_a_server_that_says_nothing_at_all_is_not_asked_twice(
    sink: SmtpSink, permit: Any
) -> None:
    connection = await relay_to(sink.port, short()).open()
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    sink.on("MAIL", HANG)
    result = await connection.send(CAROL, MESSAGE, permit)
    assert (result.verdict, "too slow" in result.text) == (Verdict.UNAVAILABLE, True)
    assert sink.connections == 1


async def test_one_that_closes_on_a_fresh_connection_is_not_called_again(
    sink: SmtpSink, permit: Any
) -> None:
    sink.on("MAIL", DROP)
    connection: Any = await relay_to(sink.port).open()
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.UNAVAILABLE
    assert not connection.is_usable
    assert sink.connections == 1


@pytest.mark.parametrize("word", [b"", b"421 4.4.2 idle for too long\r\n"], ids=["silent", "421"])
@pytest.mark.parametrize("way", ["singly", "pipelined"])
async def test_a_server_that_left_while_nothing_was_said_is_called_again(
    permit: Any, way: str, word: bytes
) -> None:
    taken: list[bytes] = []
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, *offers(way))
        replies = [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]
        for reply in replies:
            taken.append(await reader.readline())
            writer.write(reply)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken\r\n" + word)
        await writer.drain()
        writer.close()
        left.set()

    async with serve(talk) as port:
        connection: Any = await relay_to(port).open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        await left.wait()
        for _ in range(10_000):
            if not connection.is_usable:
                break
            await asyncio.sleep(0)
        assert not connection.is_usable
        assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    assert taken[1::3] == [b"RCPT TO:<alice@example.com>\r\n", b"RCPT TO:<carol@example.com>\r\n"]


async def test_a_server_that_is_gone_for_good_leaves_the_message_unsent(permit: Any) -> None:
    async with SmtpSink() as sink:
        connection = await relay_to(sink.port).open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    asked = permit.asked
    result = await connection.send(CAROL, MESSAGE, permit)
    assert (result.verdict, bool(result.text)) == (Verdict.UNAVAILABLE, True)
    assert permit.asked - asked <= 1
    with pytest.raises(RelayUnavailable):
        await relay_to(sink.port).open()


async def test_closing_does_not_wait_for_a_server_that_says_no_good_bye(permit: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read()

    async with serve(talk) as port:
        connection: Any = await relay_to(port, short()).open()
        await connection.close()
        assert not connection.is_usable
        await connection.close()
