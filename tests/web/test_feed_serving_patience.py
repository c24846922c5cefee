"""What a client may make a connection cost: seconds, memory, and answers it does not fetch."""

import asyncio

import pytest
from feed_desk import BODY, PATH, Connection, document, serving

from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.protocol import Patience

pytestmark = pytest.mark.anyio

HURRIED = Patience(head_seconds=0.2, unread_seconds=0.2)
HEAD = f"GET {PATH} HTTP/1.1\r\nHost: a\r\n"


async def ended(connection: Connection) -> bytes:
    """What comes before the server closes, which it has to do soon."""
    try:
        return await asyncio.wait_for(connection.reader.read(), 5)
    except ConnectionError:
        return b""


async def trickle(connection: Connection, *pieces: str) -> None:
    """Send pieces that arrive one by one, and one of them again and again."""
    try:
        for piece in (*pieces, *["X: y\r\n"] * 10_000):
            connection.writer.write(piece.encode())
            await connection.writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        return


async def test_who_connects_and_says_nothing_is_let_go() -> None:
    async with serving(FeedEndpoint([document()]), patience=HURRIED) as desk, desk.connect() as one:
        assert await ended(one) == b""


@pytest.mark.parametrize("before", ["", f"{HEAD}If-None-Match: *\r\n\r\n"], ids=["first", "next"])
async def test_a_head_that_never_ends_is_not_waited_for(before: str) -> None:
    async with serving(FeedEndpoint([document()]), patience=HURRIED) as desk, desk.connect() as one:
        if before:
            one.writer.write(before.encode())
            assert (await one.read()).status == 304
        sending = asyncio.create_task(trickle(one, HEAD))
        assert await ended(one) == b""
        sending.cancel()


async def pour(connection: Connection, piece: bytes, times: int) -> None:
    """Send the same again and again, until the server has had enough."""
    try:
        for _ in range(times):
            connection.writer.write(piece)
            await connection.writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        return


async def test_a_head_that_grows_without_end_is_refused() -> None:
    async with serving(FeedEndpoint([document()])) as desk, desk.connect() as one:
        one.writer.write(f"{HEAD}If-None-Match: *\r\n\r\n{HEAD}X: ".encode())
        assert (await one.read()).status == 304
        one.writer.write(b"x" * 66_000)
        assert (await one.read()).status == 431
        assert await ended(one) == b""


async def test_a_head_of_the_usual_size_is_taken_in_any_number_of_pieces() -> None:
    async with serving(FeedEndpoint([document()])) as desk, desk.connect() as one:
        request = f"{HEAD}Cookie: {'x' * 30_000}\r\n\r\n".encode()
        for _ in range(3):
            for start in range(0, len(request), 1000):
                one.writer.write(request[start : start + 1000])
                await one.writer.drain()
            assert (await one.read()).body == BODY


async def test_what_follows_a_body_without_end_is_not_kept() -> None:
    """Trailers: header lines behind a chunked body."""
    async with serving(FeedEndpoint([document()])) as desk, desk.connect() as one:
        one.writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n".encode())
        assert (await one.read()).body == BODY
        await pour(one, b"X: y\r\n" * 2000, 150)
        assert await ended(one) == b""


async def test_an_answer_nobody_fetches_is_not_kept_for_ever() -> None:
    large = document(body=BODY * 3000, body_br=None, body_zstd=None)
    async with serving(FeedEndpoint([large]), patience=HURRIED) as desk, desk.connect() as one:
        for _ in range(50):
            one.send()
        await one.reader.readexactly(1)
        one.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with desk.connect() as other:
            async with asyncio.timeout(10):
                while True:  # somebody else is served meanwhile
                    assert (await other.ask(if_none_match="*")).status == 304
                    if one.writer.transport.is_closing():
                        break
                    try:
                        one.writer.write(b"\r\n")
                        await one.writer.drain()
                    except ConnectionError:
                        break
                    await asyncio.sleep(0.02)
