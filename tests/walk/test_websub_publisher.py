"""The publisher's side of WebSub: its hubs can be found, and hubs elsewhere are told."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import feedparser
import httpx2
import pytest
from http_sink import Answer, HttpSink
from hub_house import BASE_URL, HubHouse, open_house

from feedsvc.db.engine import Database
from feedsvc.feeds.configured import read_feeds
from feedsvc.feeds.render import join_document
from feedsvc.model.feed import FeedFormat
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.policy import ServingPolicy

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


@pytest.fixture
async def other_hub() -> AsyncIterator[HttpSink]:
    hub = await HttpSink(lambda _asked: Answer(204)).start()
    yield hub
    await hub.stop()


@pytest.fixture
async def publisher(
    database: Database, tmp_path: Path, other_hub: HttpSink
) -> AsyncIterator[HubHouse]:
    async with open_house(database, tmp_path, hubs=[f"{other_hub.url}/ping"]) as house:
        yield house


async def test_a_hub_elsewhere_is_told_what_has_changed(
    publisher: HubHouse, other_hub: HttpSink
) -> None:
    await publisher.publish("first", feed="topics/科技")
    await publisher.announce("<rss>two</rss>", feed="topics/科技")
    (ping,) = other_hub.asked
    assert (ping.method, ping.path) == ("POST", "/ping")
    assert ping.headers["content-type"] == "application/x-www-form-urlencoded"
    topic = publisher.topic("topics/科技")
    assert parse_qs(ping.body.decode()) == {
        "hub.mode": ["publish"],
        "hub.url": [topic],
        "hub.topic": [topic],
    }
    document = await publisher.publish("<rss>two</rss>", feed="topics/科技")
    await publisher.distribution.announce([document])
    await publisher.settle()
    assert len(other_hub.asked) == 1  # it knows this version


async def test_a_hub_that_fails_is_told_later_and_once_for_all_it_missed(
    publisher: HubHouse, other_hub: HttpSink
) -> None:
    other_hub.answers = lambda _asked: Answer(503)
    for number in range(4):
        await publisher.announce(f"<rss>{number}</rss>")
    assert len(other_hub.asked) == 1
    other_hub.answers = lambda _asked: Answer(204)
    publisher.start_process()
    await publisher.settle(timedelta(minutes=2))
    assert len(other_hub.asked) == 2
    (row,) = await publisher.pings()
    assert (row.next_at, row.attempt, row.reply) == (None, 0, "answered 204")
    await publisher.settle(DAY)
    assert len(other_hub.asked) == 2


async def test_a_hub_that_never_answers_is_given_up(
    publisher: HubHouse, other_hub: HttpSink
) -> None:
    other_hub.answers = lambda _asked: Answer(500)
    await publisher.announce("<rss>two</rss>")
    for _ in range(60):
        await publisher.settle(timedelta(minutes=30))
    assert 8 <= len(other_hub.asked) <= 10
    (row,) = await publisher.pings()
    assert row.next_at is None
    assert (row.reply or "").endswith("given up")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("status", [307, 308])
async def test_a_hub_that_has_moved_is_told_where_it_is(
    publisher: HubHouse, other_hub: HttpSink, status: int
) -> None:
    other_hub.answers = lambda asked: (
        Answer(status, headers={"Location": "/new"}) if asked.path == "/ping" else Answer(204)
    )
    await publisher.announce("<rss>two</rss>")
    assert [asked.path for asked in other_hub.asked] == ["/ping", "/new"]
    assert other_hub.asked[0].body == other_hub.asked[1].body


async def test_a_hub_learns_at_the_start_of_what_it_was_not_told(
    publisher: HubHouse, other_hub: HttpSink
) -> None:
    await publisher.distribution.start()
    await publisher.settle()
    await publisher.distribution.start()
    await publisher.settle()
    assert len(other_hub.asked) == 1
    publisher.settings.websub.hubs.clear()
    publisher.start_process()
    await publisher.distribution.start()
    assert await publisher.pings() == []


# -- discovery -----------------------------------------------------------------------------------


def _embedded(feed_format: FeedFormat, body: bytes) -> tuple[list[str], list[str]]:
    """The hubs and the self links that stand in a document."""
    if feed_format is FeedFormat.JSON:
        feed = json.loads(body)
        return [hub["url"] for hub in feed["hubs"]], [feed["feed_url"]]
    links = feedparser.parse(body).feed.links
    return (
        [link.href for link in links if link.rel == "hub"],
        [link.href for link in links if link.rel == "self"],
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("feed_format", list(FeedFormat), ids=str)
async def test_a_subscriber_finds_the_hub_and_one_self_and_is_told_of_that(
    publisher: HubHouse, feed_format: FeedFormat
) -> None:
    (spec,) = [one for one in read_feeds(publisher.settings).specs if one.key == "all"]
    body = join_document(feed_format, spec.head(feed_format, publisher.now), [])
    document = await publisher.publish(body.decode(), feed_format=feed_format)
    endpoint = FeedEndpoint([document], ServingPolicy.of(publisher.settings))
    transport = httpx2.ASGITransport(app=endpoint)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        response = await client.get(f"/{document.path}")
    hubs = [f"{BASE_URL}/hub", *publisher.settings.websub.hubs]
    header = re.findall(
        r'<([^>]*)>\s*;\s*rel="([^"]*)"', ", ".join(response.headers.get_list("link"))
    )
    assert [url for url, rel in header if rel == "hub"] == hubs
    assert [url for url, rel in header if rel == "self"] == [publisher.topic("all", feed_format)]
    assert _embedded(feed_format, response.content) == (
        hubs,
        [publisher.topic("all", feed_format)],
    )
    await publisher.subscribe(topic=publisher.topic("all", feed_format))
    await publisher.announce("new", feed_format=feed_format)
    (delivery,) = publisher.reader.deliveries
    assert delivery.headers["content-type"] == response.headers["content-type"]
