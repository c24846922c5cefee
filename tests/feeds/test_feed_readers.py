"""Readers are counted without knowing anybody."""

import sqlite3
import time
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from math import isclose

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from feedsvc.db.engine import Database
from feedsvc.feeds.readers.agents import MOST_SUBSCRIBERS, AgentCount, read_agent, read_client
from feedsvc.feeds.readers.counts import (
    MOST_AGENTS,
    PROGRAMS_AN_ADDRESS,
    ReaderCounts,
    ReaderTotals,
    count_clients,
    merge_bitmaps,
    pack_bits,
)
from feedsvc.feeds.readers.store import (
    KEPT,
    load_counts,
    load_reader_days,
    prune_readers,
    save_counts,
)

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
KEY = b"k" * 32
NEWSBLUR = (
    "NewsBlur Feed Fetcher - 1 subscriber - http://www.newsblur.com/site/77/page (Mozilla/5.0"
    " (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/14.0.1 Safari/605.1.15)"
)
GOOGLE = "Feedfetcher-Google; (+http://www.google.com/feedfetcher.html; 4 subscribers; feed-id=90)"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/124.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("user_agent", "name", "subscribers", "feed_id"),
    [
        (
            "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 462 subscribers;"
            " like FeedFetcher-Google)",
            *("Feedly", 462, None),
        ),
        ("Feedly/1.0 (poller; 131 subscribers;)", "Feedly", 131, None),
        ("Feedbin feed-id:1306543 - 102 subscribers", "Feedbin", 102, "1306543"),
        (NEWSBLUR, "NewsBlur", 1, "77"),
        ("Mozilla/5.0 (compatible; inoreader.com; 25 subscribers)", "Inoreader", 25, None),
        (
            "Mozilla/5.0 (compatible; theoldreader.com; 2 subscribers; feed-id=0719795c)",
            *("The Old Reader", 2, "0719795c"),
        ),
        (
            "Mozilla/5.0 (compatible; BazQux/2.4; +https://bazqux.com/fetcher; 12 subscribers)",
            *("BazQux", 12, None),
        ),
        ("Bloglovin/1.0 (http://www.bloglovin.com; 14 subscribers)", "Bloglovin", 14, None),
        (GOOGLE, "Google", 4, "90"),
        (
            "Overcast/1.0 Podcast Sync (1190 subscribers; feed-id=55; +http://overcast.fm/)",
            *("Overcast", 1190, "55"),
        ),
        (
            "Dreamwidth Studios (webmaster@dreamwidth.org; for https://a.dreamwidth.org/;"
            " 2 readers)",
            *("Dreamwidth", 2, None),
        ),
        ("kinjabot (; 1 Readers)", "kinjabot", 1, None),
        ("SomeReader/2.1 (1,204 readers)", "SomeReader", 1204, None),
        (
            "YahooFeedSeeker/2.0 (compatible; Mozilla 4.0; MSIE 5.5;; users 1; views 1)",
            *("Yahoo", 1, None),
        ),
        ("g2reader-bot/1.0 (+http://www.g2reader.com;  5 subscribers)", "G2Reader", 5, None),
        ("Mozilla/5.0 (X11; Aggregating on behalf of 3 subscriber(s))", "Other", 3, None),
        ("Feedly/1.0 (0 subscribers)", "Feedly", 0, None),
        (f"Feedly/1.0 ({'9' * 400} subscribers)", "Feedly", MOST_SUBSCRIBERS, None),
    ],
)
def test_hosted_readers_say_for_how_many_they_ask(
    user_agent: str, name: str, subscribers: int, feed_id: str | None
) -> None:
    assert read_agent(user_agent) == AgentCount(name, subscribers, feed_id)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("NetNewsWire (RSS Reader; https://netnewswire.com/)", "NetNewsWire"),
        ("FreshRSS/1.28.0 (Linux; https://freshrss.org)", "FreshRSS"),
        ("Mozilla/5.0 (compatible; Miniflux/2.2.3; +https://miniflux.app)", "Miniflux"),
        ("Tiny Tiny RSS/25.07-dea3f2d (Unsupported) (https://tt-rss.org/)", "Tiny Tiny RSS"),
        ("newsboat/2.21.0 (Linux x86_64)", "newsboat"),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Thunderbird/102.4.0", "Thunderbird"),
        ("Liferea/1.14.4 (Linux; https://lzone.de/) AppleWebKit (KHTML, like Gecko)", "Liferea"),
        ("Emacs Elfeed 3.4.1", "Emacs Elfeed"),
        ("", ""),
        (CHROME, None),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", None),
        ("UptimeRobot/2.0; https://uptimerobot.com/", None),
        ("W3C_Validator/1.3 http://validator.w3.org/services", None),
        ("curl/7.88.1", None),
        ("python-requests/2.32.3", None),
        # Hosted, and silent about its number: nobody knows whether it is for anybody.
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)", None),
    ],
)
def test_single_readers_are_told_from_browsers_and_machines(
    user_agent: str, name: str | None
) -> None:
    assert read_agent(user_agent) is None
    assert read_client(user_agent) == name


def test_an_update_of_a_program_is_no_second_reader() -> None:
    assert read_client("newsboat/2.21.0 (Linux)") == read_client("newsboat/2.40 (Linux)")


@given(st.text(max_size=2000))
def test_no_user_agent_is_too_much(user_agent: str) -> None:
    stated = read_agent(user_agent)
    if stated is not None:
        assert 0 <= stated.subscribers <= MOST_SUBSCRIBERS
        assert 1 <= len(stated.agent) <= 100
        assert stated.name.isascii()
        assert "#" not in stated.name
    assert len(read_client(user_agent) or "") <= 40


@pytest.mark.parametrize(
    "part",
    ["1,", "9 ", "users ", "feed-id", "compatible; ", "(compatible; A", "a/", "bot", "0 user"],
)
def test_hostile_user_agents_take_no_time(part: str) -> None:
    begun = time.perf_counter()
    for _ in range(20):
        read_agent(part * 50_000)
        read_client(part * 50_000)
    assert time.perf_counter() - begun < 1


def client(number: int) -> bytes:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}".encode()


@pytest.mark.parametrize("count", [0, 1, 2, 10, 1000, 50_000, 200_000])
def test_linear_counting_is_within_two_percent(count: int) -> None:
    counts = ReaderCounts(KEY)
    bits = {counts._bit("all", "newsboat", client(number)) for number in range(count)}
    assert isclose(count_clients([pack_bits(bits)]), count, rel_tol=0.02)


@given(st.lists(st.frozensets(st.integers(0, 65_535), max_size=40), max_size=5))
@hypothesis_settings(max_examples=50)
def test_bitmaps_merge_in_any_order_and_as_often_as_one_likes(sets: list[frozenset[int]]) -> None:
    stored = [pack_bits(one) for one in sets]
    union = pack_bits(frozenset[int]().union(*sets))
    assert merge_bitmaps(stored) == merge_bitmaps([*reversed(stored), *stored]) == union
    assert count_clients(stored) == count_clients([union])


def test_a_bitmap_that_inflates_without_end_is_cut() -> None:
    bomb = zlib.compress(b"\xff" * 50_000_000)
    assert count_clients([bomb]) > 0


async def count(
    database: Database, counts: ReaderCounts, now: datetime = NOW
) -> dict[str, ReaderTotals]:
    async with database.write() as session:
        await save_counts(session, counts, now)
    async with database.read() as session:
        return await load_counts(session, now)


async def test_readers_are_hosted_ones_and_single_ones_together(database: Database) -> None:
    counts = ReaderCounts(KEY)
    for _ in range(3):
        counts.note("all", b"Feedly/1.0 (poller; 131 subscribers;)", b"10.0.0.1", True)
        counts.note("all", b"Feedbin feed-id:1 - 3 subscribers", b"10.0.0.2", True)
        counts.note("all", b"Feedbin feed-id:2 - 4 subscribers", b"10.0.0.2", False)
        counts.note("all", b"newsboat/2.21", b"10.0.0.3", False)
        counts.note("all", b"newsboat/2.22", b"10.0.0.3", True)
        counts.note("all", b"newsboat/2.21", b"10.0.0.4", True)
        counts.note("all", CHROME.encode(), b"10.0.0.5", False)
        counts.note("topics/科技", b"", b"10.0.0.3", False)
    totals = await count(database, counts)
    assert totals == {
        "all": ReaderTotals(138, 2, {"Feedly": 131, "Feedbin": 7}),
        "topics/科技": ReaderTotals(0, 1, {}),
    }
    assert totals["all"].total == 140
    assert await count(database, counts) == totals


async def test_the_last_number_of_a_hosted_reader_counts(database: Database) -> None:
    counts = ReaderCounts(KEY)
    counts.note("all", b"Feedbin feed-id:1 - 9 subscribers", b"10.0.0.2", True)
    await count(database, counts)
    counts.note("all", b"Feedbin feed-id:1 - 5 subscribers", b"10.0.0.2", True)
    assert (await count(database, counts))["all"].hosted == 5
    counts.note("all", b"Feedbin feed-id:1 - 6 subscribers", b"10.0.0.2", True)
    tomorrow = NOW + timedelta(days=1)
    assert (await count(database, counts, tomorrow))["all"].hosted == 6


async def test_a_hosted_reader_that_names_no_feed_is_taken_at_its_largest_number_of_the_day(
    database: Database,
) -> None:
    """It asks for the RSS and for the Atom document, each for other people."""
    for numbers in ((462, 3), (3, 462), (462,), (3,)):
        counts = ReaderCounts(KEY)  # another node, or the same one started again
        for number in numbers:
            counts.note("all", b"Feedly/1.0 (poller; %d subscribers;)" % number, b"10.0.0.1")
        assert (await count(database, counts))["all"].hosted == 462


async def test_a_client_counts_once_in_seven_days(database: Database) -> None:
    counts = ReaderCounts(KEY)
    for day in range(8):
        counts.note("all", b"newsboat/2.21", b"192.0.2.1")
        counts.note("all", b"newsboat/2.21", client(day))
        await count(database, counts, NOW + timedelta(days=day))
    async with database.read() as session:
        later = NOW + timedelta(days=7)
        assert (await load_counts(session, later))["all"].individuals == 7 + 1
        assert (await load_counts(session, later + timedelta(days=6)))["all"].individuals == 2
        assert await load_counts(session, later + timedelta(days=7)) == {}
        assert await load_counts(session, later, ["topics/科技"]) == {}


async def test_several_nodes_count_together(database: Database) -> None:
    one, other = ReaderCounts(KEY), ReaderCounts(KEY)
    for number in range(60):
        one.note("all", b"newsboat/2.21", client(number))
        other.note("all", b"newsboat/2.21", client(number + 40))
        one.note(f"topics/{number}", b"newsboat/2.21", client(number))
        other.note(f"topics/{number}", b"newsboat/2.21", client(number + 1))
    await count(database, one)
    totals = await count(database, other)
    assert totals["all"].individuals == 100
    assert all(totals[f"topics/{number}"].individuals == 2 for number in range(60))


async def _count_and_fail(database: Database, counts: ReaderCounts) -> None:
    async with database.write() as session:
        await save_counts(session, counts, NOW)
        raise RuntimeError("the power goes")


async def test_what_a_failed_transaction_lost_the_next_one_has(database: Database) -> None:
    counts = ReaderCounts(KEY)
    counts.note("all", b"newsboat/2.21", b"10.0.0.3")
    counts.note("all", b"Feedbin feed-id:1 - 9 subscribers", b"10.0.0.2")
    with pytest.raises(RuntimeError):
        await _count_and_fail(database, counts)
    assert await count(database, counts) == {"all": ReaderTotals(9, 1, {"Feedbin": 9})}
    assert not counts.take().bits
    assert not counts.take().hosted


async def test_one_machine_cannot_make_itself_many(database: Database) -> None:
    counts = ReaderCounts(KEY)
    for number in range(5000):
        counts.note("all", b"reader%d/1" % number, b"10.0.0.3")
        counts.note("all", b"Feedbin feed-id:%d - 1 subscribers" % number, b"10.0.0.3")
    totals = (await count(database, counts))["all"]
    assert totals.individuals <= PROGRAMS_AN_ADDRESS
    assert totals.hosted == MOST_AGENTS


async def test_days_are_shown_one_by_one_and_go_after_thirty(database: Database) -> None:
    counts = ReaderCounts(KEY)
    for back in (31, 2, 0):
        counts.note("all", b"newsboat/2.21", client(back))
        counts.note("all", b"Feedly/1.0 (%d subscribers;)" % (back + 1), b"10.0.0.1")
        await count(database, counts, NOW - timedelta(days=back))
    async with database.write() as session:
        days = await load_reader_days(session, "all", NOW)
        assert await prune_readers(session, NOW - KEPT) == 2
        assert await load_reader_days(session, "all", NOW) == days
    assert len(days) == 30
    assert [(one.day, one.hosted, one.individuals) for one in days[-3:]] == [
        ("2026-11-20", 3, 1),
        ("2026-11-21", 0, 0),
        ("2026-11-22", 1, 1),
    ]


async def test_no_address_and_no_program_can_be_found_in_the_database(database: Database) -> None:
    counts = ReaderCounts(KEY)
    counts.note("all", "Alice's 阅读器/1.0 (alice@example.com)".encode(), b"203.0.113.77")
    counts.note("all", b"newsboat/2.21", b"2001:db8:1:2::/64")
    await count(database, counts)
    if database.path is not None:
        await database.dispose()
        held = b"".join(path.read_bytes() for path in database.path.parent.glob("*.db*"))
        for trace in (b"203.0.113", b"2001:db8", b"Alice", b"alice", b"newsboat"):
            assert trace not in held
        with sqlite3.connect(database.path) as connection:
            rows = connection.execute("SELECT feed, day FROM feed_clients").fetchall()
        assert rows == [("all", "2026-11-22")]
    # Another key sets other bits: whoever lacks it cannot try out addresses.
    bits = {ReaderCounts(key)._bit("all", "newsboat", b"203.0.113.77") for key in (KEY, b"x" * 32)}
    assert len(bits) == 2
    # And no bit of one feed tells of another.
    assert counts._bit("all", "newsboat", b"1.2.3.4") != counts._bit("b", "newsboat", b"1.2.3.4")


async def test_noting_a_request_is_cheap_and_bounded() -> None:
    counts = ReaderCounts(KEY)
    begun = time.perf_counter()
    for number in range(100_000):
        counts.note("all", b"newsboat/2.21", b"10.0.0.%d" % (number % 200), True)
    assert (time.perf_counter() - begun) / 100_000 < 10e-6
    assert len(counts._distinct) <= 200


def test_no_length_of_a_user_agent_fills_the_memory() -> None:
    counts = ReaderCounts(KEY)
    tracemalloc.start()
    for number in range(300):
        counts.note("all", b"newsboat/%d " % number + b"x" * 60_000, b"192.0.2.1")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
