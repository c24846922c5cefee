"""A real server on loopback answers raw requests alike by its short way and by uvicorn's own."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import anyio
import brotli
import httpx2
import pytest
import zstandard
from feed_desk import BODY, DATE, PATH, TAG, Connection, Desk, document, serving

from feedsvc.model.feed import FeedFormat
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.policy import ServingPolicy

pytestmark = pytest.mark.anyio

POLICY = ServingPolicy(base_url="https://news.example.com", hubs=("https://hub.example/",))
SUFFIXES = {"identity": "", "gzip": "-gz", "br": "-br", "zstd": "-zst"}
DECODE = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body, max_output_size=100_000),
}
NOW = datetime(2026, 11, 22, tzinfo=UTC)
#: name -> (headers, with OWN for the tag of the coding asked for; whether the reader has it)
CONDITIONS: dict[str, tuple[dict[str, str], bool]] = {
    "none": ({}, False),
    "own etag": ({"if_none_match": '"OWN"'}, True),
    "weak etag": ({"if_none_match": 'W/"OWN"'}, True),
    **{
        f"etag of {coding}": ({"if_none_match": f'"{TAG}{suffix}"'}, True)
        for coding, suffix in SUFFIXES.items()
    },
    "etag a proxy made": ({"if_none_match": f'W/"{TAG}-gzip"'}, True),
    "list": ({"if_none_match": f'"old", W/"older" ,"{TAG}-br"'}, True),
    "star": ({"if_none_match": "*"}, True),
    "other etag": ({"if_none_match": '"fedcba"'}, False),
    "etag that begins the same": ({"if_none_match": f'"{TAG}0"'}, False),
    "garbage etag": ({"if_none_match": '"""W/\xff, "'}, False),
    "empty etag": ({"if_none_match": ""}, False),
    "date": ({"if_modified_since": DATE}, True),
    "later date": ({"if_modified_since": "Tue, 03 Mar 2026 00:00:00 GMT"}, True),
    "earlier date": ({"if_modified_since": "Mon, 02 Mar 2026 11:59:59 GMT"}, False),
    "date of 1994's form": ({"if_modified_since": "Monday, 02-Mar-26 12:00:00 GMT"}, True),
    "date of C's form": ({"if_modified_since": "Mon Mar  2 12:00:00 2026"}, True),
    "date of the future": ({"if_modified_since": "Sat, 02 Mar 2041 12:00:00 GMT"}, False),
    "garbage date": ({"if_modified_since": "the day after \xfftomorrow"}, False),
    "both": ({"if_none_match": '"OWN"', "if_modified_since": DATE}, True),
    "other etag beats date": ({"if_none_match": '"x"', "if_modified_since": DATE}, False),
    "etag beats earlier date": (
        {"if_none_match": '"OWN"', "if_modified_since": "Mon, 02 Mar 2020 00:00:00 GMT"},
        True,
    ),
    "garbage etag beats date": ({"if_none_match": "?", "if_modified_since": DATE}, False),
}


@pytest.fixture(scope="module", params=[True, False], ids=["short", "usual"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    family = document("topics/科技", FeedFormat.ATOM)
    endpoint = FeedEndpoint([document(), family], POLICY, now=lambda: NOW)
    async with serving(endpoint, in_short=request.param) as desk:
        yield desk


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("coding", SUFFIXES)
async def test_a_reader_is_sent_what_it_lacks_in_the_coding_it_reads(
    desk: Desk, method: str, coding: str
) -> None:
    own = TAG + SUFFIXES[coding]
    async with desk.connect() as connection:
        for name, (asked, has_it) in CONDITIONS.items():
            headers = {key: value.replace("OWN", own) for key, value in asked.items()}
            answer = await connection.ask(method, accept_encoding=coding, **headers)
            assert answer.status == (304 if has_it else 200), name
            assert answer["etag"] == f'"{own}"'
            assert answer["last-modified"] == DATE
            assert answer["cache-control"] == "public, max-age=300"
            assert answer["vary"] == "Accept-Encoding"
            assert answer["access-control-allow-origin"] == "*"
            assert answer.all("date") == [answer["date"]]
            assert answer["expires"] is None
            assert answer["accept-ranges"] is None
            if has_it:
                assert answer["content-length"] is None
                continue
            assert answer["content-type"] == "application/rss+xml; charset=utf-8"
            assert answer["content-encoding"] == (None if coding == "identity" else coding)
            if method == "GET":
                assert DECODE[coding](answer.body) == BODY
                assert len(answer.body) == int(answer["content-length"] or 0)


async def test_the_gzip_form_is_one_that_gzip_reads(desk: Desk) -> None:
    async with desk.connect() as connection:
        answer = await connection.ask(accept_encoding="gzip")
    done = await anyio.run_process(["gzip", "-dc"], input=answer.body)
    assert done.stdout == BODY


async def test_a_real_client_polls_a_chinese_address(desk: Desk) -> None:
    address = f"http://127.0.0.1:{desk.port}/feeds/topics/科技/atom.xml"
    async with httpx2.AsyncClient() as client:
        first = await client.get(address)
        assert (first.status_code, first.content) == (200, BODY)
        again = await client.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        elsewhere = await client.get(f"http://127.0.0.1:{desk.port}/feeds/topics/none/atom.xml")
        assert elsewhere.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml",
        "/feeds/topics/%e7%a7%91%e6%8a%80/atom.xml",
        "/feeds/topics%2F%E7%A7%91%E6%8A%80/atom.xml",
        f"{PATH}?utm_source=reader",
        f"http://127.0.0.1{PATH}",
    ],
)
async def test_an_address_is_known_in_every_spelling(desk: Desk, path: str) -> None:
    async with desk.connect() as connection:
        answer = await connection.ask(path=path)
    assert (answer.status, answer.body) == (200, BODY)


async def test_requests_in_a_row_are_answered_in_their_order(desk: Desk) -> None:
    """Pipelining: what goes the short way does not overtake what goes the long one."""
    asked = [("GET", PATH), ("HEAD", PATH), ("GET", "/feeds/none/rss.xml"), ("GET", PATH)] * 3
    async with desk.connect() as connection:
        for method, path in asked:
            connection.send(method, path)
        statuses = [(await connection.read(method)).status for method, _ in asked]
    assert statuses == [200, 200, 404, 200] * 3


async def test_requests_that_come_in_pieces_are_put_together(desk: Desk) -> None:
    request = f"GET {PATH} HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n".encode()
    async with desk.connect() as connection:
        for start in range(0, len(request), 7):
            connection.writer.write(request[start : start + 7])
            await connection.writer.drain()
            await asyncio.sleep(0)
        assert (await connection.read()).status == 304


@pytest.mark.parametrize(
    ("request_lines", "keeps"),
    [
        ("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close", False),
        ("GET {path} HTTP/1.0", False),
        ("GET {path} HTTP/1.1\r\nHost: a", True),
        ("GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3", True),
        ("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c", True),
    ],
    ids=["close", "1.0", "kept", "with a body", "with an upgrade"],
)
async def test_connections_end_when_they_should(
    desk: Desk, request_lines: str, keeps: bool
) -> None:
    request = request_lines.format(path=PATH) + "\r\n\r\n"
    body = "abc" if "Content-Length" in request else ""
    async with desk.connect() as connection:
        connection.writer.write((request + body).encode())
        first = await connection.read()
        assert (first.status, first.body) == (200, BODY)
        if keeps:
            assert (await connection.ask(if_none_match="*")).status == 304
        else:
            assert first["connection"] == "close"
            assert await connection.reader.read() == b""


async def test_a_connection_nobody_uses_is_closed() -> None:
    endpoint = FeedEndpoint([document()], POLICY)
    async with serving(endpoint, keep_alive_seconds=0) as desk, desk.connect() as connection:
        assert (await connection.ask()).status == 200
        assert await asyncio.wait_for(connection.reader.read(), 5) == b""


async def test_feeds_can_be_read_only(desk: Desk) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        async with desk.connect() as connection:
            connection.send(method, content_length="100000")
            answer = await connection.read()
            assert (answer.status, answer["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert await connection.reader.read() == b""


async def test_who_reads_slowly_does_not_hold_up_others() -> None:
    """Thousands of requests whose answers nobody fetches, and beside them somebody in a hurry."""
    large = document(body=BODY * 300, body_br=None, body_zstd=None)
    endpoint = FeedEndpoint([large], POLICY)
    async with serving(endpoint) as desk, desk.connect() as slow, desk.connect() as quick:
        for _ in range(2000):
            slow.send()
        await asyncio.wait_for(_poll(quick, len(large.body)), 10)
        # The slow one was not answered far beyond what it took, and gets all of it in the end.
        served = endpoint.tally.full[0]
        assert served < 100
        assert (await slow.read()).body == large.body
        assert (await slow.read()).body == large.body


async def _poll(connection: Connection, size: int) -> None:
    for _ in range(20):
        assert len((await connection.ask()).body) == size


async def test_new_documents_are_served_on_open_connections() -> None:
    endpoint = FeedEndpoint([document()], POLICY)
    async with serving(endpoint) as other, other.connect() as connection:
        assert (await connection.ask(if_none_match=f'"{TAG}"')).status == 304
        endpoint.update([document(etag="f" * 32, body=b"<rss/>")])
        answer = await connection.ask(if_none_match=f'"{TAG}"')
        assert (answer.status, answer.body) == (200, b"<rss/>")
        endpoint.replace([])
        assert (await connection.ask()).status == 404


async def test_a_fault_is_not_blamed_on_the_request() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    endpoint = FeedEndpoint([document()], POLICY, note=fail)
    async with serving(endpoint) as desk, desk.connect() as connection:
        assert (await connection.ask()).status == 500
