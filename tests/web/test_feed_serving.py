"""What the endpoint in front of the framework says: codings, links, CORS, and to odd requests."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from feed_desk import BASE_URL, BODY, DATE, PATH, TAG, ask, document
from hypothesis import given, settings
from hypothesis import strategies as st
from small_press import SETTINGS

from feedsvc.config import Settings
from feedsvc.model.feed import ArchiveName, FeedFormat, document_path
from feedsvc.web.feeds.codings import Coding, choose_coding
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.policy import ServingPolicy

pytestmark = pytest.mark.anyio

HUBS = ("https://news.example.com/hub", "https://hub.example/?a=b&c=d")
POLICY = ServingPolicy(BASE_URL, HUBS, without_hubs=frozenset({"quiet", "topics"}))
SIZES = {Coding.IDENTITY: 1000, Coding.GZIP: 300, Coding.BR: 200, Coding.ZSTD: 250}


@pytest.fixture
def endpoint() -> FeedEndpoint:
    return FeedEndpoint([document()], POLICY)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", Coding.IDENTITY),
        ("  ", Coding.IDENTITY),
        ("gzip", Coding.GZIP),
        ("gzip, deflate", Coding.GZIP),
        ("GZIP;q=1.0", Coding.GZIP),
        ("x-gzip", Coding.GZIP),
        ("gzip, deflate, br, zstd", Coding.BR),
        ("gzip, zstd", Coding.ZSTD),
        ("br;q=0.2, zstd;q=0.2, gzip;q=0.9", Coding.GZIP),
        ("br;q=0.2, gzip;q=0.1", Coding.BR),
        ("*", Coding.BR),
        ("*;q=0.1, gzip;q=0.5", Coding.GZIP),
        ("br;q=0, *", Coding.ZSTD),
        ("deflate, compress", Coding.IDENTITY),
        ("gzip;q=0", Coding.IDENTITY),
        ("gzip;q=0.3, identity;q=0.7", Coding.IDENTITY),
        ("gzip;q=0.7, identity;q=0.3", Coding.GZIP),
        ("gzip;q=0.001", Coding.GZIP),
        # Refusing what there is leaves the plain feed; refusing that alone leaves what all read.
        ("identity;q=0", Coding.GZIP),
        ("identity;q=0, deflate", Coding.GZIP),
        ("identity;q=0, zstd;q=0.1", Coding.ZSTD),
        ("identity;q=0, *;q=0", Coding.IDENTITY),
        ("identity;q=0, gzip;q=0", Coding.IDENTITY),
        ("*;q=0", Coding.IDENTITY),
        ("*;q=0, br", Coding.BR),
        ("identity, *;q=0", Coding.IDENTITY),
        ("gzip;q=many", Coding.IDENTITY),
        ("gzip;q=nan", Coding.IDENTITY),
        ("gzip;q=2", Coding.IDENTITY),
        ("gzip ; Q=0.5 ; q = 0.5", Coding.GZIP),
        (";;q=,,=\xff", Coding.IDENTITY),
        ("gzip" + " " * 5000, Coding.GZIP),
    ],
)
def test_of_the_acceptable_codings_the_weightiest_and_then_the_smallest_is_chosen(
    accepted: str, coding: Coding
) -> None:
    assert choose_coding(accepted.encode("latin-1"), SIZES) is coding


def test_a_coding_that_has_not_been_made_is_not_offered() -> None:
    sizes = {Coding.IDENTITY: 1000, Coding.GZIP: 300}
    assert choose_coding(b"br, zstd, gzip;q=0.1", sizes) is Coding.GZIP
    assert choose_coding(b"br, zstd", sizes) is Coding.IDENTITY


async def test_codings_made_later_are_offered_under_the_same_version(
    endpoint: FeedEndpoint,
) -> None:
    quick = document("new", body_br=None, body_zstd=None)
    endpoint.update([quick])
    before = await ask(endpoint, path="/feeds/new/rss.xml", accept_encoding="br, gzip")
    endpoint.update([document("new")])
    after = await ask(endpoint, path="/feeds/new/rss.xml", accept_encoding="br, gzip")
    assert (before["content-encoding"], after["content-encoding"]) == ("gzip", "br")
    assert before["last-modified"] == after["last-modified"] == DATE
    endpoint.update([quick])  # what somebody loaded before they were made
    again = await ask(endpoint, path="/feeds/new/rss.xml", accept_encoding="br, gzip")
    assert again["content-encoding"] == "br"


async def test_a_thousand_ways_to_accept_gzip_are_not_all_remembered(
    endpoint: FeedEndpoint,
) -> None:
    for number in range(1000):
        answer = await ask(endpoint, accept_encoding=f"gzip, x{number}", peer="127.0.0.1")
        assert answer["content-encoding"] == "gzip"
    (prepared,) = endpoint._prepared.values()
    assert len(prepared._choices) <= prepared.MOST_CHOICES


async def test_a_document_names_its_hubs_and_its_own_address_once(endpoint: FeedEndpoint) -> None:
    answer = await ask(endpoint)
    assert answer.all("link") == [
        '<https://news.example.com/hub>; rel="hub"',
        '<https://hub.example/?a=b&c=d>; rel="hub"',
        '<https://news.example.com/feeds/all/rss.xml>; rel="self"',
    ]


@pytest.mark.parametrize("key", ["quiet", "topics/科技"])
async def test_a_feed_that_hubs_are_not_told_of_names_none(key: str) -> None:
    endpoint = FeedEndpoint([document(key)], POLICY)
    (link,) = (await ask(endpoint, path=f"/feeds/{key}/rss.xml")).all("link")
    assert link.endswith('/rss.xml>; rel="self"')
    assert link.isascii()


async def test_addresses_in_other_letters_are_written_in_ascii() -> None:
    odd = document(url="https://例子.example/feeds/科技/rss.xml\r\nX-Evil: 1")
    (link,) = (await ask(FeedEndpoint([odd]))).all("link")
    assert link == (
        '<https://xn--fsqu00a.example/feeds/%E7%A7%91%E6%8A%80/rss.xmlX-Evil:%201>; rel="self"'
    )


async def test_pages_of_other_sites_may_read_feeds_and_their_validators(
    endpoint: FeedEndpoint,
) -> None:
    for answer in (
        await ask(endpoint),
        await ask(endpoint, if_none_match="*"),
        await ask(endpoint, path="/feeds/none/rss.xml"),
    ):
        assert answer["access-control-allow-origin"] == "*"
        assert "ETag" in (answer["access-control-expose-headers"] or "")


@pytest.mark.parametrize("path", [PATH, "/feeds/none/atom.xml"])
async def test_a_preflight_allows_conditional_requests(endpoint: FeedEndpoint, path: str) -> None:
    answer = await ask(
        endpoint,
        "OPTIONS",
        path,
        origin="https://reader.example",
        access_control_request_method="GET",
        access_control_request_headers="if-none-match",
    )
    assert (answer.status, answer.body) == (204, b"")
    assert answer["access-control-allow-origin"] == "*"
    assert answer["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    allowed = (answer["access-control-allow-headers"] or "").split(", ")
    assert {"If-None-Match", "If-Modified-Since"} <= set(allowed)
    assert answer["access-control-max-age"] == "86400"
    assert answer["content-length"] is None


async def test_no_part_of_a_feed_and_no_difference_is_sent(endpoint: FeedEndpoint) -> None:
    answer = await ask(endpoint, range="bytes=0-9", a_im="feed", accept_encoding="identity")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer["im"] is None
    assert answer["content-range"] is None


async def test_conditions_on_several_lines_are_one_list(endpoint: FeedEndpoint) -> None:
    lines = [(b"if-none-match", b'"old"'), (b"if-none-match", b'"%s-zst"' % TAG.encode())]
    answer = endpoint.answer_poll(PATH.encode(), lines, ("192.0.2.1", 1))
    assert answer is not None
    assert answer.status == 304


@settings(max_examples=200, deadline=None)
@given(
    value=st.text(st.characters(max_codepoint=255), max_size=60)
    | st.text('W/"*,; =gzipqGMT0123456789-:', max_size=60)
)
def test_nothing_in_a_header_is_our_fault(value: str) -> None:
    endpoint = FeedEndpoint([document()], POLICY)
    names = ("if_none_match", "if_modified_since", "accept_encoding", "x_forwarded_for")
    for name in names:
        answer = asyncio.run(ask(endpoint, peer="127.0.0.1", **{name: value}))
        assert answer.status in (200, 304)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
async def test_feeds_can_be_read_only(endpoint: FeedEndpoint, method: str) -> None:
    answer = await ask(endpoint, method)
    assert (answer.status, answer["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_unknown_feed_is_not_found(endpoint: FeedEndpoint, method: str) -> None:
    answer = await ask(endpoint, method, "/feeds/none/rss.xml")
    assert answer.status == 404
    assert answer["content-type"] == "text/plain; charset=utf-8"
    assert int(answer["content-length"] or 0) > 0
    assert bool(answer.body) == (method == "GET")


@pytest.mark.parametrize(
    ("path", "handled"),
    [
        (PATH, True),
        ("/feeds/none/feed.json", True),
        ("/feeds/topics/科技/atom.xml", True),
        ("/feeds/all/archive/1-1/rss.xml", True),
        ("/feeds/rss.xml", True),
        ("/feeds/all", False),
        ("/feeds/all/", False),
        ("/feeds/topics/科技", False),
        ("/feeds", False),
        ("/feeds/all/other.xml", False),
        ("/articles/rss.xml", False),
        ("/", False),
    ],
)
def test_only_documents_are_its_own(endpoint: FeedEndpoint, path: str, handled: bool) -> None:
    assert endpoint.handles(path) == handled


async def test_replaced_documents_are_served_at_once(endpoint: FeedEndpoint) -> None:
    endpoint.replace([document(etag="f" * 32, body=b"<rss/>")])
    answer = await ask(endpoint, if_none_match=f'"{TAG}"')
    assert (answer.status, answer.body) == (200, b"<rss/>")
    endpoint.replace([])
    assert (await ask(endpoint)).status == 404


async def test_an_update_leaves_other_documents_alone(endpoint: FeedEndpoint) -> None:
    endpoint.update([document("tech", body=b"<feed/>")])
    assert (await ask(endpoint, path="/feeds/tech/rss.xml")).body == b"<feed/>"
    assert (await ask(endpoint)).body == BODY


async def test_an_older_version_never_takes_the_place_of_a_newer_one(
    endpoint: FeedEndpoint,
) -> None:
    newer = document()
    older = document(
        etag="e" * 32, last_modified=newer.last_modified - timedelta(seconds=1), body=b"<rss/>"
    )
    endpoint.update([older])
    endpoint.replace([older])
    endpoint.update([newer, older])
    assert (await ask(endpoint)).body == BODY


def test_what_is_the_same_is_not_prepared_again(endpoint: FeedEndpoint) -> None:
    (before,) = endpoint._prepared.values()
    endpoint.replace([document()])
    endpoint.update([replace(document(), body=bytes(bytearray(BODY)))])
    (after,) = endpoint._prepared.values()
    assert after is before
    endpoint.update([document(url=f"{BASE_URL}/elsewhere")])
    assert endpoint._prepared[PATH] is not before


async def test_requests_are_noted_with_what_they_say_and_counted(endpoint: FeedEndpoint) -> None:
    noted: list[tuple[str, bytes, bytes, bool]] = []
    archive = document_path("all", FeedFormat.RSS, ArchiveName(1, 1))

    async def find(path: str) -> object:
        return document(path=path, is_archive=True)

    endpoint = FeedEndpoint([document()], POLICY, find, lambda *note: noted.append(note))  # type: ignore[arg-type]
    await ask(endpoint, user_agent="newsboat/2.21", accept_encoding="br")
    await ask(endpoint, if_none_match="*", peer="2001:db8:1:2:3:4:5:6")
    await ask(endpoint, path="/feeds/none/rss.xml")
    await ask(endpoint, path=f"/{archive}")
    assert noted == [
        ("all", b"newsboat/2.21", b"192.0.2.1", False),
        ("all", b"", b"2001:db8:1:2::", True),
    ]
    counts = endpoint.tally.by_status_and_coding()
    assert {key: count for key, count in counts.items() if count} == {
        (200, "br"): 1,
        (200, "identity"): 1,
        (304, "identity"): 1,
        (404, "identity"): 1,
    }
    assert endpoint.tally.body_bytes == len(document().body_br or b"") + len(BODY)


def test_the_policy_follows_the_settings() -> None:
    loaded = Settings.model_validate(
        {
            **SETTINGS,
            "feeds": {
                "all": {"title": "全部", "formerly": ["everything", "news"]},
                "private": {"title": "P", "websub": False},
            },
            "retired_feeds": ["gone"],
            "websub": {"hubs": ["https://hub.example/"]},
            "server": {"feed_requests_per_minute": 5, "trusted_proxies": ["10.0.0.0/8"]},
        }
    )
    assert ServingPolicy.of(loaded) == ServingPolicy(
        base_url=BASE_URL,
        hubs=(f"{BASE_URL}/hub", "https://hub.example/"),
        without_hubs=frozenset({"private"}),
        moved={"everything": "all", "news": "all"},
        retired=frozenset({"gone"}),
        requests_per_minute=5,
        trusted_proxies=("10.0.0.0/8",),
    )
