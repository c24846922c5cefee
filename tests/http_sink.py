"""A real HTTP server on loopback that keeps what it is asked and answers as it is told."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import h11


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class Answer:
    """What is answered; `raw` is sent in place of everything else."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    #: Send `raw` over and over, until the other side goes away.
    endless: bool = False
    #: Waited for before anything is answered.
    after: asyncio.Event | None = None


Answers = Callable[[Asked], Answer | Awaitable[Answer]]


class HttpSink:
    """The server; `asked` holds the requests, `connections` counts whoever connected."""

    def __init__(self, answers: Answers = lambda _asked: Answer()) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.connections = 0
        self._arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> "HttpSink":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def wait_for(self, enough: Callable[[], bool]) -> None:
        """Wait until what has been asked is enough; ten seconds are."""
        async with asyncio.timeout(10):
            while not enough():
                self._arrived.clear()
                await self._arrived.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, h11.RemoteProtocolError, ssl.SSLError):
                await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _read(reader)
        if asked is None:
            return
        self.asked.append(asked)
        self._arrived.set()
        made = self.answers(asked)
        answer = made if isinstance(made, Answer) else await made
        if answer.after is not None:
            await answer.after.wait()
        if answer.raw is not None:
            writer.write(answer.raw)
            await writer.drain()
            while answer.endless:
                writer.write(answer.raw)
                await writer.drain()
        else:
            headers = {"Content-Length": str(len(answer.body)), **answer.headers}
            lines = [f"HTTP/1.1 {answer.status} X", *(f"{k}: {v}" for k, v in headers.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    connection = h11.Connection(h11.SERVER)
    request, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not data and request is None:
                return None
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            headers = {k.decode(): v.decode("latin-1") for k, v in request.headers}
            return Asked(request.method.decode(), request.target.decode(), headers, body)
        else:
            return None
