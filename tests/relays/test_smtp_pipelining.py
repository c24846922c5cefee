"""Commands in groups: every reply counts, and none is taken for another's (RFC 2920)."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from relay_world import ALICE, BOTH_LOOPS, CAROL, MESSAGE, greet, offers, relay_to, serve, short
from smtp_sink import SmtpSink

from feedsvc.model.relay import Meaning, Verdict
from feedsvc.relays.smtp_limits import SmtpLimits

pytestmark = pytest.mark.anyio

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
GOOD = (b"250 2.1.0 ok\r\n", b"250 2.1.5 ok\r\n", b"354 go ahead\r\n")
#: More than the buffers of a connection on this machine hold.
LONG = MESSAGE + (b"x" * 98 + b"\r\n") * 120_000


@pytest.fixture(scope="module", params=BOTH_LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The loop that feedsvc runs on where it can, and the one that Python has."""
    return request.param


async def hear_group(reader: Reader) -> list[bytes]:
    """MAIL, RCPT and DATA, before anything was answered."""
    return [(await reader.readline()).split(b":")[0].strip() for _ in range(3)]


async def hear_rest(reader: Reader) -> bytes:
    """All there is until the client has left, politely or not."""
    heard = b""
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 20):
            heard += piece
    return heard


async def test_a_group_is_said_at_once_and_the_message_only_after_the_replies(
    permit: Any,
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING", "SIZE 1000000")
        for _ in range(2):
            assert await hear_group(reader) == [b"MAIL FROM", b"RCPT TO", b"DATA"]
            for reply in GOOD[:2]:
                writer.write(reply)
                await writer.drain()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.02)
            writer.write(GOOD[2])
            assert await reader.readuntil(b"\r\n.\r\n") == MESSAGE + b".\r\n"
            writer.write(b"250 2.0.0 taken\r\n")
        assert await reader.readline() == b"QUIT\r\n"

    async with serve(talk) as port:
        connection = await relay_to(port).open()
        for person in (ALICE, CAROL):
            assert (await connection.send(person, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        await connection.close()


async def test_replies_may_be_cut_anywhere(permit: Any) -> None:
    group = b"250-2.1.0 ok\r\n250 really\r\n250 2.1.5 ok\r\n354 go\r\n"
    taken = b"250 2.0.0 taken\r\n"

    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        for at in range(len(group) + 1):
            await hear_group(reader)
            await say_in_two(writer, group, at)
            await reader.readuntil(b"\r\n.\r\n")
            await say_in_two(writer, taken, at % len(taken))

    async def say_in_two(writer: Writer, words: bytes, at: int) -> None:
        for part in (words[:at], words[at:]):
            writer.write(part)
            await writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)

    async with serve(talk) as port:
        connection = await relay_to(port).open()
        for _ in range(len(group) + 1):
            result = await connection.send(ALICE, MESSAGE, permit)
            assert (result.verdict, result.text) == (Verdict.ACCEPTED, "2.0.0 taken")


REFUSALS = [
    (b"552 5.3.4 too big\r\n", b"503 5.5.1 no\r\n", b"503 5.5.1 no\r\n", Verdict.REFUSED),
    (GOOD[0], b"550 5.1.1 no such user\r\n", b"554 5.5.1 nobody\r\n", Verdict.REFUSED),
    (GOOD[0], b"450 4.2.0 greylisted\r\n", b"554 5.5.1 nobody\r\n", Verdict.DEFERRED),
    (GOOD[0], GOOD[1], b"451 4.3.0 try again\r\n", Verdict.DEFERRED),
]


@pytest.mark.parametrize("replies", REFUSALS, ids=["mail", "rcpt", "rcpt for now", "data"])
async def test_a_refusal_in_a_group_leaves_the_connection_in_step(
    permit: Any, replies: tuple[bytes, bytes, bytes, Verdict]
) -> None:
    *said, verdict = replies

    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        await hear_group(reader)
        writer.writelines(said)
        assert await reader.readline() == b"RSET\r\n"
        writer.write(b"250 2.0.0 ok\r\n")
        await hear_group(reader)
        writer.writelines(GOOD)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 2.0.0 taken\r\n")

    async with serve(talk) as port:
        connection = await relay_to(port).open()
        assert (await connection.send(CAROL, MESSAGE, permit)).verdict is verdict
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ((GOOD[0], b"550 5.1.1 no such user\r\n", GOOD[2]), Verdict.REFUSED),
        ((b"552 5.3.4 too big\r\n", GOOD[1], GOOD[2]), Verdict.REFUSED),
        ((*GOOD, b"250 taken\r\n"), Verdict.UNAVAILABLE),
        ((*GOOD, b"25"), Verdict.UNAVAILABLE),
        ((*GOOD, b"421 closing\r\n"), Verdict.UNAVAILABLE),
        ((GOOD[0], b"what?\r\n"), Verdict.UNAVAILABLE),
        ((GOOD[0], b"250-a\r\n550 b\r\n"), Verdict.UNAVAILABLE),
        ((b"250-" + b"x" * 10_000,), Verdict.UNAVAILABLE),
    ],
    ids=[
        "nobody taken, yet listening",
        "no sender, yet listening",
        "taken before it was said",
        "begins to answer what was not said",
        "leaves at the last moment",
        "not smtp",
        "two codes in one",
        "a line without end",
    ],
)
async def test_nothing_is_said_to_a_server_that_is_out_of_step(
    permit: Any, said: tuple[bytes, ...], verdict: Verdict
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        await hear_group(reader)
        writer.write(b"".join(said))
        heard.set_result(await hear_rest(reader))

    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    async with serve(talk) as port:
        connection: Any = await relay_to(port).open()
        result = await connection.send(CAROL, MESSAGE, permit)
        assert (result.verdict, bool(result.text)) == (verdict, True)
        assert not connection.is_usable
        assert permit.asked == 1
        assert await asyncio.wait_for(heard, 5) == b""


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_421_in_the_middle_of_a_group_is_not_waited_upon(permit: Any, before: int) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        await hear_group(reader)
        writer.write(b"".join(GOOD[:before]) + b"421 4.7.0 too many connections\r\n")
        await reader.read()

    async with serve(talk) as port:
        connection = await relay_to(port).open()
        result = await connection.send(ALICE, MESSAGE, permit)
    assert (result.verdict, result.code) == (Verdict.UNAVAILABLE, 421)


async def test_without_a_permit_a_listening_server_hears_nothing(permit: Any) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        await hear_group(reader)
        writer.writelines(GOOD)
        await writer.drain()
        answered.set()
        heard.set_result(await hear_rest(reader))

    async def refuse() -> bool:
        await answered.wait()
        return False

    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    answered = asyncio.Event()
    async with serve(talk) as port:
        connection: Any = await relay_to(port).open()
        assert (await connection.send(ALICE, MESSAGE, refuse)).verdict is Verdict.WITHHELD
        assert not connection.is_usable
        assert await asyncio.wait_for(heard, 5) == b""


@pytest.mark.parametrize("good", [0, 1, 2])
async def test_a_reply_that_goes_on_and_on_is_given_up(permit: Any, good: int) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        await hear_group(reader)
        writer.write(b"".join(GOOD[:good]))
        while True:
            writer.write(b"250-one moment\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(talk) as port:
        connection = await relay_to(port, short()).open()
        result = await connection.send(ALICE, MESSAGE, permit)
    assert (result.verdict, "too slow" in result.text) == (Verdict.UNAVAILABLE, True)


async def test_every_reply_of_a_group_has_its_own_time(permit: Any) -> None:
    async with SmtpSink(extensions=offers("pipelined")) as sink:
        for step in ("MAIL", "RCPT", "DATA"):
            sink.on(step, "usual", delay_seconds=0.25)
        limits = SmtpLimits(mail_seconds=0.6, rcpt_seconds=0.6, data_seconds=0.6)
        connection = await relay_to(sink.port, limits).open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (b"552 5.3.4 too big\r\n", Verdict.REFUSED),
        (b"421 4.3.0 going down\r\n", Verdict.DEFERRED),
        (b"250 2.0.0 taken\r\n", Verdict.UNKNOWN),
    ],
    ids=["refused", "going down", "taken unread"],
)
async def test_a_reply_before_all_is_written_counts_unless_it_cannot_be_true(
    permit: Any, reply: bytes, verdict: Verdict
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        await hear_group(reader)
        writer.writelines(GOOD)
        await reader.readexactly(1000)
        writer.write(reply)
        await writer.drain()
        await done.wait()

    done = asyncio.Event()
    async with serve(talk) as port:
        connection: Any = await relay_to(port).open()
        result = await connection.send(ALICE, LONG, permit)
        assert (result.verdict, result.code) == (verdict, int(reply[:3]))
        assert not connection.is_usable
        done.set()


async def test_the_time_for_the_dot_covers_the_writing_and_what_is_left_is_dropped(
    permit: Any,
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        await hear_group(reader)
        writer.writelines(GOOD)
        await given_up.wait()
        heard.set_result(await hear_rest(reader))

    given_up = asyncio.Event()
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    async with serve(talk) as port:
        connection = await relay_to(port, short()).open()
        result = await connection.send(ALICE, LONG, permit)
        assert (result.verdict, "too slow" in result.text) == (Verdict.UNKNOWN, True)
        given_up.set()
        left = await asyncio.wait_for(heard, 5)
        assert len(left) < len(LONG)
        assert not left.endswith(b"\r\n.\r\n")


async def test_a_refusal_in_chinese_can_be_read_whatever_its_charset(permit: Any) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await greet(reader, writer, "PIPELINING")
        for charset in ("utf-8", "gb18030"):
            await hear_group(reader)
            refusal = "550 5.1.1 用户不存在\r\n".encode(charset)
            writer.writelines((GOOD[0], refusal, b"554 5.5.1 nobody\r\n"))
            await reader.readline()
            writer.write(b"250 ok\r\n")

    async with serve(talk) as port:
        connection = await relay_to(port).open()
        for _ in range(2):
            result = await connection.send(CAROL, MESSAGE, permit)
            assert (result.code, result.text) == (550, "5.1.1 用户不存在")
            assert result.meaning is Meaning.DEAD_ADDRESS


async def test_a_refused_reset_ends_the_connection_and_not_the_verdict(permit: Any) -> None:
    async with SmtpSink(extensions=offers("pipelined")) as sink:
        sink.on("RCPT", "550 5.1.1 no such user", match="carol@")
        sink.on("RSET", "421 4.3.2 going down")
        connection = await relay_to(sink.port).open()
        assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.REFUSED
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        assert sink.connections == 2
