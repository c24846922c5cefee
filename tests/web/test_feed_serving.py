"""Readers get documents, or 304 when they have them already; nothing they send breaks that."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.model.feed import ServedDocument
from feedsvc.web.feeds import FeedEndpoint

pytestmark = pytest.mark.anyio

BODY = "<rss>北京</rss>".encode() * 50
DOCUMENT = ServedDocument(
    path="feeds/all/rss.xml",
    media_type="application/rss+xml; charset=utf-8",
    etag="0123456789abcdef0123456789abcdef",
    last_modified=datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC),
    body=BODY,
    body_gzip=gzip.compress(BODY, mtime=0),
)
TAG = DOCUMENT.etag
DATE = "Mon, 02 Mar 2026 12:00:00 GMT"
PATH = "/feeds/all/rss.xml"
CODINGS = {"identity": None, "gzip": "gzip, deflate"}
OWN_TAG = {"identity": f'"{TAG}"', "gzip": f'"{TAG}-gz"'}

#: name -> (headers, whether the reader has this version)
CONDITIONS: dict[str, tuple[dict[str, str], bool]] = {
    "none": ({}, False),
    "etag": ({"if-none-match": f'"{TAG}"'}, True),
    "etag of the gzip form": ({"if-none-match": f'"{TAG}-gz"'}, True),
    "weak etag": ({"if-none-match": f'W/"{TAG}"'}, True),
    "etag a proxy made": ({"if-none-match": f'W/"{TAG}-gzip"'}, True),
    "list": ({"if-none-match": f'"old", W/"older" ,"{TAG}-gz"'}, True),
    "star": ({"if-none-match": " * "}, True),
    "other etag": ({"if-none-match": '"fedcba"'}, False),
    "etag that begins the same": ({"if-none-match": f'"{TAG}0"'}, False),
    "garbage etag": ({"if-none-match": '"""W/\xff, "'}, False),
    "date": ({"if-modified-since": DATE}, True),
    "later date": ({"if-modified-since": "Tue, 03 Mar 2026 00:00:00 GMT"}, True),
    "earlier date": ({"if-modified-since": "Mon, 02 Mar 2026 11:59:59 GMT"}, False),
    "old-fashioned date": ({"if-modified-since": "Monday, 02-Mar-26 12:00:00 GMT"}, True),
    "garbage date": ({"if-modified-since": "the day after \xfftomorrow"}, False),
    "impossible date": ({"if-modified-since": "Mon, 99 Feb 99999 99:99:99 +9999"}, False),
    "both": ({"if-none-match": f'"{TAG}"', "if-modified-since": DATE}, True),
    "other etag beats date": ({"if-none-match": '"x"', "if-modified-since": DATE}, False),
    "etag beats earlier date": (
        {"if-none-match": f'"{TAG}"', "if-modified-since": "Mon, 02 Mar 2020 00:00:00 GMT"},
        True,
    ),
    "garbage etag beats date": ({"if-none-match": "?", "if-modified-since": DATE}, False),
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    endpoint: FeedEndpoint, method: str = "GET", path: str = PATH, **headers: str | None
) -> Answer:
    """One request straight to the ASGI callable; None leaves a header out."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a feed request has no body to wait for")

    named = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
        if value is not None
    ]
    scope = {"type": "http", "method": method, "path": path, "headers": named}
    await endpoint(scope, receive, send)
    start, *bodies = sent
    seen = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], seen, b"".join(one["body"] for one in bodies))


@pytest.fixture
def endpoint() -> FeedEndpoint:
    return FeedEndpoint([DOCUMENT])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("condition", CONDITIONS)
async def test_a_reader_is_sent_what_it_lacks(
    endpoint: FeedEndpoint, method: str, coding: str, condition: str
) -> None:
    asked, has_it = CONDITIONS[condition]
    answer = await ask(endpoint, method, **{"accept-encoding": CODINGS[coding], **asked})
    assert answer.status == (304 if has_it else 200)
    validators = {
        "etag": OWN_TAG[coding],
        "last-modified": DATE,
        "cache-control": "public, max-age=300",
        "vary": "Accept-Encoding",
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "ETag",
        "x-content-type-options": "nosniff",
    }
    body = DOCUMENT.body_gzip if coding == "gzip" else BODY
    if has_it:
        assert answer.headers == validators
        assert answer.body == b""
        return
    assert answer.headers == validators | {
        "content-type": "application/rss+xml; charset=utf-8",
        "content-length": str(len(body)),
        **({"content-encoding": "gzip"} if coding == "gzip" else {}),
    }
    assert answer.body == (body if method == "GET" else b"")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip", "gzip"),
        ("GZIP;q=1.0", "gzip"),
        ("x-gzip", "gzip"),
        ("br, zstd, gzip;q=0.2", "gzip"),
        ("*", "gzip"),
        ("deflate, br", "identity"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0, *", "identity"),
        ("gzip;q=0.3, identity;q=0.7", "identity"),
        ("gzip;q=0.7, identity;q=0.3", "gzip"),
        ("identity;q=0", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0, *;q=0", "identity"),
        ("identity, *;q=0", "identity"),
        ("gzip;q=many", "identity"),
        ("gzip;q=nan", "identity"),
        (";;q=,,=\xff", "identity"),
        ("gzip" + " " * 5000, "gzip"),
    ],
)
async def test_the_coding_is_one_the_reader_accepts(
    endpoint: FeedEndpoint, accepted: str | None, coding: str
) -> None:
    answer = await ask(endpoint, **{"accept-encoding": accepted})
    assert answer.headers.get("content-encoding", "identity") == coding
    assert answer.headers["etag"] == OWN_TAG[coding]


@settings(max_examples=200, deadline=None)
@given(
    value=st.text(st.characters(max_codepoint=255), max_size=60)
    | st.text('W/"*,; =gzipqGMT0123456789-:', max_size=60)
)
def test_nothing_in_a_header_is_our_fault(value: str) -> None:
    endpoint = FeedEndpoint([DOCUMENT])
    for name in ("if-none-match", "if-modified-since", "accept-encoding"):
        answer = asyncio.run(ask(endpoint, **{name: value}))
        assert answer.status in (200, 304)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_feeds_can_be_read_only(endpoint: FeedEndpoint, method: str) -> None:
    answer = await ask(endpoint, method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_unknown_feed_is_not_found(endpoint: FeedEndpoint, method: str) -> None:
    answer = await ask(endpoint, method, "/feeds/none/rss.xml")
    assert answer.status == 404
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert int(answer.headers["content-length"]) > 0
    assert bool(answer.body) == (method == "GET")


def test_only_paths_below_feeds_are_its_own(endpoint: FeedEndpoint) -> None:
    paths = ["/feeds/all/rss.xml", "/feeds/none", "/feeds", "/", "/articles/feeds/"]
    assert [endpoint.handles(path) for path in paths] == [True, True, False, False, False]


async def test_replaced_documents_are_served_at_once(endpoint: FeedEndpoint) -> None:
    newer = replace(DOCUMENT, etag="f" * 32, body=b"<rss/>")
    endpoint.replace([newer])
    answer = await ask(endpoint, **{"if-none-match": f'"{TAG}"'})
    assert (answer.status, answer.body) == (200, b"<rss/>")
    endpoint.replace([])
    assert (await ask(endpoint)).status == 404


async def test_an_update_leaves_other_documents_alone(endpoint: FeedEndpoint) -> None:
    endpoint.update([replace(DOCUMENT, path="feeds/all/atom.xml", body=b"<feed/>")])
    assert (await ask(endpoint, path="/feeds/all/atom.xml")).body == b"<feed/>"
    assert (await ask(endpoint)).body == BODY


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@asynccontextmanager
async def serving(endpoint: FeedEndpoint, listener: socket.socket) -> AsyncIterator[str]:
    """A real server on loopback; yields its address."""
    server = uvicorn.Server(uvicorn.Config(endpoint, lifespan="off", log_level="critical"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def test_a_real_client_polls_a_real_server(
    endpoint: FeedEndpoint, listener: socket.socket
) -> None:
    async with serving(endpoint, listener) as address, httpx2.AsyncClient() as client:
        first = await client.get(address + PATH)
        assert (first.status_code, first.content) == (200, BODY)
        assert first.headers["content-encoding"] == "gzip"
        again = await client.get(address + PATH, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "cache-control", "vary", "last-modified", "date"):
            assert again.headers[name]
        head = await client.head(address + PATH, headers={"Accept-Encoding": "identity"})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(BODY))
        endpoint.replace([replace(DOCUMENT, etag="f" * 32, body_gzip=gzip.compress(b"<rss/>"))])
        changed = await client.get(address + PATH, headers={"If-None-Match": first.headers["etag"]})
        assert (changed.status_code, changed.content) == (200, b"<rss/>")
        assert (await client.get(address + "/feeds/none")).status_code == 404
        assert (await client.post(address + PATH, content=b"x" * 10_000)).status_code == 405
