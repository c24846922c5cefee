"""Who asks too often is told to wait, and who asked is found out without being fooled."""

import pytest
from feed_desk import BASE_URL, PATH, ask, document
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.model.feed import ArchiveName, FeedFormat, ServedDocument, document_path
from feedsvc.web.clients import Clients, Networks, read_address
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.limits import FULL_COST, KNOWN_COST, FeedLimits
from feedsvc.web.feeds.policy import ServingPolicy

pytestmark = pytest.mark.anyio

PROXIES = ("127.0.0.0/8", "10.0.0.0/8", "fd00::/8")
PROXY = "10.0.0.1"
TECH = "/feeds/topics/科技/rss.xml"


class Counter:
    """An endpoint that sells ten documents a minute, and its clock."""

    def __init__(self, per_minute: int = 10) -> None:
        self.seconds = 1000.0
        policy = ServingPolicy(
            BASE_URL, requests_per_minute=per_minute, trusted_proxies=PROXIES, moved={"old": "all"}
        )
        documents = [document(), document("topics/科技")]
        self.endpoint = FeedEndpoint(documents, policy, self.find, clock=lambda: self.seconds)
        self.looked_up = 0

    async def find(self, path: str) -> ServedDocument | str | None:
        self.looked_up += 1
        return document(path=path, is_archive=True) if "/1-1/" in path else None

    async def statuses(self, times: int, path: str = PATH, **asked: str) -> list[int]:
        return [(await ask(self.endpoint, path=path, **asked)).status for _ in range(times)]


@pytest.fixture
def counter() -> Counter:
    return Counter()


async def test_a_client_that_hammers_is_told_how_long_to_wait(counter: Counter) -> None:
    assert await counter.statuses(12) == [200] * 10 + [429] * 2
    answer = await ask(counter.endpoint)
    assert answer["retry-after"] == "60"
    assert answer["cache-control"] == "no-store"
    assert answer["access-control-allow-origin"] == "*"
    assert "Retry-After" in (answer["access-control-expose-headers"] or "")
    assert b"60 seconds" in answer.body
    assert counter.endpoint.tally.others == {429: 3}


async def test_who_waits_as_told_is_served_as_at_first(counter: Counter) -> None:
    assert await counter.statuses(11) == [200] * 10 + [429]
    counter.seconds += 60
    assert await counter.statuses(11) == [200] * 10 + [429]


async def test_asking_in_vain_does_not_make_the_wait_longer(counter: Counter) -> None:
    await counter.statuses(10)
    assert await counter.statuses(100) == [429] * 100
    counter.seconds += 6
    assert await counter.statuses(2) == [200, 429]


async def test_asking_with_a_condition_is_four_times_cheaper(counter: Counter) -> None:
    assert await counter.statuses(41, if_none_match="*") == [304] * 40 + [429]


async def test_head_is_limited_like_get(counter: Counter) -> None:
    for _ in range(10):
        assert (await ask(counter.endpoint, "HEAD")).status == 200
    answer = await ask(counter.endpoint, "HEAD")
    assert (answer.status, answer.body) == (429, b"")


async def test_only_the_client_that_hammers_is_limited_and_only_there(counter: Counter) -> None:
    await counter.statuses(11)
    assert await counter.statuses(1) == [429]
    assert await counter.statuses(1, peer="192.0.2.2") == [200]
    assert await counter.statuses(1, user_agent="another reader") == [200]
    assert await counter.statuses(1, path=TECH) == [200]


async def test_a_network_of_one_household_is_one_client(counter: Counter) -> None:
    await counter.statuses(10, peer="2001:db8:1:2::1")
    assert await counter.statuses(1, peer="2001:db8:1:2:ffff::2") == [429]
    assert await counter.statuses(1, peer="2001:db8:1:3::1") == [200]


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_the_machine_itself_is_not_limited(counter: Counter, peer: str) -> None:
    assert await counter.statuses(30, peer=peer) == [200] * 30


async def test_whom_a_web_server_on_this_machine_speaks_for_is_limited(counter: Counter) -> None:
    asked = {"peer": "127.0.0.1", "x_forwarded_for": "192.0.2.7"}
    assert await counter.statuses(11, **asked) == [200] * 10 + [429]
    asked["x_forwarded_for"] = "192.0.2.8"
    assert await counter.statuses(1, **asked) == [200]


async def test_naming_others_buys_a_stranger_nothing(counter: Counter) -> None:
    statuses = []
    for number in range(12):
        statuses += await counter.statuses(1, x_forwarded_for=f"198.51.100.{number}")
    assert statuses == [200] * 10 + [429] * 2


async def test_looking_up_pages_that_are_not_there_is_limited(counter: Counter) -> None:
    path = "/" + document_path("all", FeedFormat.RSS, ArchiveName(1, 1))
    assert await counter.statuses(20, path) == [200] * 20
    others = [
        "/" + document_path("all", FeedFormat.RSS, ArchiveName(number, 1))
        for number in range(2, 40)
    ]
    statuses = [(await counter.statuses(1, one))[0] for one in others]
    assert statuses == [404] * 20 + [429] * 18
    assert counter.looked_up == 21
    assert await counter.statuses(1) == [200]  # the feed itself is another matter


async def test_no_other_name_of_a_program_or_a_feed_buys_more_look_ups(counter: Counter) -> None:
    page = document_path("all", FeedFormat.RSS, ArchiveName(2, 1))
    asked = [("/" + page, {"user_agent": f"reader {number}"}) for number in range(60)]
    statuses = [(await counter.statuses(1, path, **headers))[0] for path, headers in asked]
    assert statuses == [404] * 40 + [429] * 20
    made_up = [
        document_path(f"x{number}", FeedFormat.RSS, ArchiveName(1, 2)) for number in range(60)
    ]
    statuses = [(await counter.statuses(1, "/" + path))[0] for path in made_up]
    assert statuses == [404] * 40 + [429] * 20


async def test_a_limit_of_nothing_is_no_limit() -> None:
    assert set(await Counter(per_minute=0).statuses(500)) == {200}


def test_memory_is_bounded_and_whoever_was_here_last_is_remembered() -> None:
    limits = FeedLimits(1, most_buckets=100)
    for number in range(1000):
        assert limits.take(b"%d" % number, b"agent", "d", FULL_COST, 50.0) == 0
        assert limits.take(b"0", b"agent", "d", FULL_COST, 50.0) == 60
    assert len(limits) == 100
    assert limits.take(b"999", b"agent", "d", FULL_COST, 51.0) == 59
    assert limits.take(b"1", b"agent", "d", FULL_COST, 51.0) == 0


@given(
    per_minute=st.integers(1, 100_000),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=40),
    costs=st.lists(st.sampled_from([FULL_COST, KNOWN_COST]), min_size=40, max_size=40),
)
def test_nobody_ever_gets_more_than_the_bucket_and_what_flowed_into_it(
    per_minute: int, gaps: list[float], costs: list[float]
) -> None:
    limits, now, taken = FeedLimits(per_minute), 0.0, 0.0
    for gap, cost in zip(gaps, costs, strict=False):
        now += gap
        wait = limits.take(b"client", b"agent", "document", cost, now)
        if not wait:
            taken += cost
        assert 0 <= wait <= 61
    assert taken <= per_minute * (1 + now / 60) + 0.001


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        (PROXY, None, PROXY),
        (PROXY, "198.51.100.9", "198.51.100.9"),
        (PROXY, "203.0.113.5, 198.51.100.9", "198.51.100.9"),
        (PROXY, "198.51.100.9, 10.0.0.2,10.9.9.9", "198.51.100.9"),
        (PROXY, "203.0.113.5, 198.51.100.9, fd00::7", "198.51.100.9"),
        (PROXY, "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (PROXY, "198.51.100.9:4711", "198.51.100.9"),
        (PROXY, "[2001:db8::5]:4711", "2001:db8::5"),
        (PROXY, "2001:db8::5", "2001:db8::5"),
        (PROXY, "::ffff:198.51.100.9", "198.51.100.9"),
        ("::ffff:10.0.0.1", "198.51.100.9", "198.51.100.9"),
        # What cannot be read says nothing.
        (PROXY, "", PROXY),
        (PROXY, "unknown", PROXY),
        (PROXY, "198.51.100.9, unknown", PROXY),
        (PROXY, "unknown, 10.0.0.2", PROXY),
        (PROXY, "garbage, 198.51.100.9", "198.51.100.9"),
        (PROXY, "198.51.100.9,", PROXY),
        (PROXY, "198.51.100.9:port", PROXY),
        (PROXY, "[2001:db8::5]x", PROXY),
        (PROXY, "١٩٨.51.100.9", PROXY),
    ],
)
def test_a_forwarded_address_is_believed_when_one_of_ours_says_it(
    peer: str, forwarded: str | None, client: str
) -> None:
    header = None if forwarded is None else forwarded.encode("utf-8")
    found = Clients(PROXIES).find((peer, 1), header)
    assert str(found.address) == client
    assert not found.is_this_machine


def test_a_chain_without_end_is_not_followed() -> None:
    clients = Clients(PROXIES)
    header = b"198.51.100.9" + b", 10.0.0.2" * 10_000
    assert str(clients.find((PROXY, 1), header).address) == "10.0.0.2"


@pytest.mark.parametrize("peer", [None, ("", 1), ("testclient", 50000)])
def test_a_transport_without_addresses_is_one_client(peer: tuple[str, int] | None) -> None:
    found = Clients(PROXIES).find(peer, b"198.51.100.9")
    assert (found.address, found.network, found.is_this_machine) == (None, b"", False)


@given(st.text(max_size=50))
def test_no_text_is_more_than_an_address_or_none(text: str) -> None:
    address = read_address(text)
    assert address is None or read_address(str(address)) == address


def test_networks_hold_addresses_of_both_families() -> None:
    networks = Networks(["192.0.2.0/24", "2001:db8::1"])
    inside = [read_address(one) in networks for one in ("192.0.2.77", "2001:db8::1")]
    outside = [read_address(one) in networks for one in ("192.0.3.1", "2001:db8::2", "nothing")]
    assert (inside, outside) == ([True, True], [False, False, False])
