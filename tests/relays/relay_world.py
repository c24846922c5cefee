"""A message, a relay, and servers that speak as a test writes it down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.model.relay import Envelope
from feedsvc.relays.smtp import SmtpRelay
from feedsvc.relays.smtp_limits import SmtpLimits

ALICE = Envelope("b+1@example.com", "alice@example.com")
CAROL = Envelope("b+2@example.com", "carol@example.com")
#: 李雷, whose address cannot be written in ASCII.
LILEI = Envelope("b+3@example.com", "李雷@xn--fsqu00a.xn--4rr70v")
MESSAGE = b"From: n@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: News\r\n\r\nHello\r\n"
#: What SmtpSink offers when it is not told otherwise.
EXTENSIONS = ("SIZE 33554432", "8BITMIME", "SMTPUTF8")
#: Talks to one client of a server that is made for one test.
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: Limits that a test can wait for.
SHORT = 0.25


def short(**seconds: float) -> SmtpLimits:
    """Limits for a server that will not answer, once the session is open."""
    names = ("mail", "rcpt", "data", "dot", "reset", "quit")
    return SmtpLimits(**{f"{name}_seconds": SHORT for name in names} | seconds)


def relay_to(port: int, limits: SmtpLimits | None = None, **settings: Any) -> SmtpRelay:
    """A relay to this machine, in clear unless told otherwise."""
    options = {key: settings.pop(key) for key in ("tls_context", "monotonic") if key in settings}
    values = {"type": "smtp", "host": "localhost", "port": port, "tls": "none"} | settings
    return SmtpRelay(SmtpRelaySettings(**values), limits=limits, **options)


def offers(way: str) -> tuple[str, ...]:
    """What a server offers whose clients say things `singly` or `pipelined`."""
    return (*EXTENSIONS, "PIPELINING") if way == "pipelined" else EXTENSIONS


#: For an `anyio_backend` fixture of a module whose tests are to run on both event loops.
BOTH_LOOPS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(
        ("asyncio", {"use_uvloop": True}),
        id="uvloop",
        marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="no uvloop here"),
    ),
]


@asynccontextmanager
async def serve(talk: Talk) -> AsyncIterator[int]:
    """A server that speaks exactly as a test writes it down; its port."""
    problems: list[BaseException] = []
    done: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        done.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the test is over
        except Exception as error:
            problems.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in done:
            task.cancel()
        await asyncio.gather(*done, return_exceptions=True)
        await server.wait_closed()
    if problems:
        raise problems[0]


async def greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *extensions: str
) -> None:
    """Say hello, and what is offered."""
    writer.write(b"220 server ESMTP\r\n")
    assert (await reader.readline()).startswith(b"EHLO ")
    lines = ["server", *extensions]
    for line in lines[:-1]:
        writer.write(f"250-{line}\r\n".encode())
    writer.write(f"250 {lines[-1]}\r\n".encode())
