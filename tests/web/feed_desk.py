"""Feed documents to be served, and how they are asked for: in process, and over real sockets."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesParser
from typing import Any

import brotli
import uvicorn
import zstandard

from feedsvc.model.feed import FeedFormat, ServedDocument, document_path, document_url
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.protocol import Patience, feed_protocol

BASE_URL = "https://news.example.com"
BODY = "<rss>北京 and London</rss>".encode() * 100
TAG = "0123456789abcdef0123456789abcdef"
DATE = "Mon, 02 Mar 2026 12:00:00 GMT"
PATH = "/feeds/all/rss.xml"


def document(
    key: str = "all", feed_format: FeedFormat = FeedFormat.RSS, **changed: Any
) -> ServedDocument:
    """A document in all codings."""
    body = changed.pop("body", BODY)
    values: dict[str, Any] = {
        "path": document_path(key, feed_format),
        "media_type": "application/rss+xml; charset=utf-8",
        "etag": TAG,
        "last_modified": datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC),
        "body": body,
        "body_gzip": gzip.compress(body, mtime=0),
        "body_br": brotli.compress(body),
        "body_zstd": zstandard.compress(body),
        "feed": key,
        "url": document_url(BASE_URL, key, feed_format),
    }
    return ServedDocument(**{**values, **changed})


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        """A header; None where it was not sent."""
        value = self.headers[name]
        return None if value is None else str(value)

    def all(self, name: str) -> list[str]:
        return [str(value) for value in self.headers.get_all(name, [])]


async def ask(
    endpoint: FeedEndpoint,
    method: str = "GET",
    path: str = PATH,
    peer: str | None = "192.0.2.1",
    **headers: str | None,
) -> Answer:
    """One request straight to the ASGI callable; a header that is None is left out."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a feed request has no body to wait for")

    lines = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
        if value is not None
    ]
    client = None if peer is None else (peer, 40000)
    scope = {"type": "http", "method": method, "path": path, "headers": lines, "client": client}
    await endpoint(scope, receive, send)
    start, *bodies = sent
    seen = Message()
    for name, value in start["headers"]:
        seen[name.decode()] = value.decode()
    return Answer(start["status"], seen, b"".join(one["body"] for one in bodies))


@dataclass
class Connection:
    """A raw HTTP/1.1 connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str = field(default="127.0.0.1")

    def send(self, method: str = "GET", path: str = PATH, **headers: str | None) -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [
            f"{name.replace('_', '-')}: {value}"
            for name, value in headers.items()
            if value is not None
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def read(self, method: str = "GET") -> Answer:
        """The next answer, its body as it came."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status_line, _, lines = head.partition(b"\r\n")
        status = int(status_line.split()[1])
        headers = BytesParser().parsebytes(lines)
        length = 0 if method == "HEAD" or status in (204, 304) else int(headers["content-length"])
        return Answer(status, headers, await self.reader.readexactly(length))

    async def ask(self, method: str = "GET", path: str = PATH, **headers: str | None) -> Answer:
        self.send(method, path, **headers)
        return await self.read(method)


@dataclass
class Desk:
    """A real server on loopback."""

    port: int

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    endpoint: FeedEndpoint,
    *,
    in_short: bool = True,
    keep_alive_seconds: int = 15,
    patience: Patience | None = None,
) -> AsyncIterator[Desk]:
    """Serve as `feedsvc serve` does, or with uvicorn's own protocol."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            endpoint,
            http=feed_protocol(endpoint, patience) if in_short else "httptools",
            lifespan="off",
            log_level="critical",
            server_header=False,
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield Desk(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await task
