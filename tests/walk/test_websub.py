"""WebSub, from a subscriber's request to the delivery: the checks of websub.rocks, and abuse.

The subscriber is a real HTTP server. Numbers in names are those of https://websub.rocks/hub.
"""

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from http_sink import Answer, HttpSink
from hub_house import BASE_URL, HubHouse, open_house

from feedsvc.db.engine import Database
from feedsvc.feeds.hub.rows import CLAIM_LASTS
from feedsvc.kit.jobs import open_jobs
from feedsvc.model.feed import FeedFormat, ServedDocument
from feedsvc.model.hub import HubState
from feedsvc.pipeline.distribution import PER_HOST, Distribution

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[HubHouse]:
    async with open_house(database, tmp_path) as house:
        yield house


# -- the checks of websub.rocks ------------------------------------------------------------------


async def test_100_a_typical_subscription(house: HubHouse) -> None:
    answer = await house.ask()
    assert answer.status_code == 202
    assert house.reader.asked == []  # asked back later, and not to be seen in the answer
    await house.settle()
    (question,) = house.reader.questions
    assert question.query["hub.mode"] == "subscribe"
    assert question.query["hub.topic"] == house.topic()
    assert question.query["hub.lease_seconds"] == "864000"
    assert len(question.query["hub.challenge"]) >= 40
    await house.announce("<rss>第二</rss>")
    (delivery,) = house.reader.deliveries
    assert delivery.target == "/callback"
    assert delivery.body.decode() == "<rss>第二</rss>"
    assert delivery.headers["content-type"] == "application/rss+xml; charset=utf-8"
    assert delivery.headers["link"] == (
        f'<{BASE_URL}/hub>; rel="hub", <{BASE_URL}/feeds/all/rss.xml>; rel="self"'
    )
    assert "x-hub-signature" not in delivery.headers


async def test_101_a_subscription_with_a_secret_is_signed(house: HubHouse) -> None:
    secret = "钥匙 & key"
    await house.subscribe(secret=secret)
    await house.announce("<rss>two</rss>")
    (delivery,) = house.reader.deliveries
    method, _, signature = delivery.headers["x-hub-signature"].partition("=")
    assert method == "sha256"
    assert signature == hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()


async def test_102_parameters_that_are_not_known_are_ignored(house: HubHouse) -> None:
    await house.subscribe(foo="bar", verify_token="x")
    await house.announce("<rss>two</rss>")
    assert len(house.reader.deliveries) == 1


async def test_103_who_subscribes_again_gets_each_version_once(house: HubHouse) -> None:
    await house.subscribe(secret="old", lease_seconds="1000")
    await house.subscribe(secret="new", lease_seconds="2000")
    (row,) = await house.rows()
    assert row.lease_until == house.now + timedelta(seconds=2000)
    await house.announce("<rss>two</rss>")
    (delivery,) = house.reader.deliveries
    expected = hmac.new(b"new", delivery.body, hashlib.sha256).hexdigest()
    assert delivery.headers["x-hub-signature"] == f"sha256={expected}"


async def test_104_who_unsubscribes_is_asked_and_told_no_more(house: HubHouse) -> None:
    await house.subscribe(secret="s")
    assert (await house.ask("unsubscribe")).status_code == 202
    await house.announce("<rss>two</rss>")  # comes before it is confirmed, or after
    question = house.reader.questions[-1]
    assert question.query["hub.mode"] == "unsubscribe"
    delivered = len(house.reader.deliveries)
    await house.announce("<rss>three</rss>")
    assert len(house.reader.deliveries) == delivered
    (row,) = await house.rows()
    assert (row.state, row.secret, row.reply) == (HubState.ENDED, None, "unsubscribed")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("feed_format", list(FeedFormat), ids=str)
async def test_105_and_106_body_and_type_are_those_of_the_topic(
    house: HubHouse, feed_format: FeedFormat
) -> None:
    await house.publish("first", feed="topics/科技", feed_format=feed_format)
    topic = house.topic("topics/科技", feed_format)
    await house.subscribe(topic=topic)
    assert house.reader.questions[0].query["hub.topic"] == topic
    await house.announce("科技", feed="topics/科技", feed_format=feed_format)
    (delivery,) = house.reader.deliveries
    kind = {"rss": "rss+xml", "atom": "atom+xml", "json": "feed+json"}[feed_format]
    assert delivery.headers["content-type"] == f"application/{kind}; charset=utf-8"
    assert f'<{topic}>; rel="self"' in delivery.headers["link"]
    assert delivery.body.decode() == "科技"


# -- intent --------------------------------------------------------------------------------------


async def test_the_query_of_a_callback_stays_as_it_is(house: HubHouse) -> None:
    await house.subscribe(callback=house.reader.callback("/c?id=a%20b&hub.mode=x&%E4%BD%A0"))
    await house.announce("<rss>two</rss>")
    assert house.reader.questions[0].target.startswith("/c?id=a%20b&hub.mode=x&%E4%BD%A0&hub.mode=")
    assert house.reader.deliveries[0].target == "/c?id=a%20b&hub.mode=x&%E4%BD%A0"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "doubt",
    [
        Answer(404, b""),
        Answer(200, b""),
        Answer(200, b"wrong"),
        Answer(500, b""),
        Answer(302, headers={"Location": "/callback"}),
        Answer(200, b"x" * 100_000),
        Answer(raw=b""),
    ],
    ids=["404", "empty", "wrong", "500", "redirect", "large", "nothing"],
)
async def test_what_is_not_confirmed_never_begins(house: HubHouse, doubt: Answer) -> None:
    house.reader.doubt = doubt
    await house.subscribe()
    (row,) = await house.rows()
    assert row.state is HubState.ENDED
    assert (row.reply or "").startswith("not confirmed")
    house.reader.doubt = None
    await house.announce("<rss>two</rss>")
    assert house.reader.deliveries == []
    assert len(house.reader.questions) == 1  # asked once, not again and again


async def test_a_challenge_wrapped_in_a_page_confirms_nothing(house: HubHouse) -> None:
    house.reader.answers = lambda asked: Answer(
        200, f"<html>{asked.query['hub.challenge']}</html>".encode()
    )
    await house.subscribe()
    assert [row.state for row in await house.rows()] == [HubState.ENDED]


async def test_every_question_has_a_challenge_of_its_own(house: HubHouse) -> None:
    for _ in range(3):
        await house.subscribe()
    challenges = {question.query["hub.challenge"] for question in house.reader.questions}
    assert len(challenges) == 3


async def test_nobody_ends_or_changes_what_somebody_else_has(house: HubHouse) -> None:
    await house.subscribe(secret="mine")
    house.reader.doubt = Answer(404)
    await house.subscribe(secret="theirs", lease_seconds="600")
    await house.ask("unsubscribe")
    await house.settle()
    (row,) = await house.rows()
    assert (row.state, row.secret, row.asked_mode) == (HubState.ACTIVE, "mine", None)
    assert row.lease_until is not None
    assert row.lease_until > house.now + 9 * DAY


async def test_what_came_out_while_it_was_confirmed_is_delivered(house: HubHouse) -> None:
    await house.ask()
    await house.announce("<rss>meanwhile</rss>")
    await house.settle()
    assert [one.body for one in house.reader.deliveries] == [b"<rss>meanwhile</rss>"]


# -- leases --------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("asked", "granted"), [(None, 864_000), ("0", 864_000), ("5", 600), ("9" * 15, 864_000)]
)
async def test_no_lease_is_for_ever(house: HubHouse, asked: str | None, granted: int) -> None:
    await house.subscribe(lease_seconds=asked)
    assert house.reader.questions[0].query["hub.lease_seconds"] == str(granted)
    (row,) = await house.rows()
    assert row.lease_until == house.now + timedelta(seconds=granted)


async def test_a_lease_that_is_over_ends_it_and_is_forgotten_later(house: HubHouse) -> None:
    await house.subscribe(lease_seconds="3600")
    await house.settle(timedelta(seconds=3599))
    assert [row.state for row in await house.rows()] == [HubState.ACTIVE]
    await house.settle(timedelta(seconds=2))
    assert [row.state for row in await house.rows()] == [HubState.ENDED]
    await house.announce("<rss>two</rss>")
    assert house.reader.deliveries == []
    await house.settle(DAY)
    assert await house.rows() == []


# -- delivery ------------------------------------------------------------------------------------


async def test_a_delivery_that_fails_is_tried_again_later_and_later(house: HubHouse) -> None:
    await house.subscribe()
    house.reader.replies = [Answer(500), Answer(503), Answer(raw=b"")]
    await house.announce("<rss>two</rss>")
    assert len(house.reader.deliveries) == 1
    for minutes, so_far in ((0.9, 1), (0.2, 2), (4.8, 2), (0.4, 3), (15.1, 4)):
        await house.settle(timedelta(minutes=minutes))
        assert len(house.reader.deliveries) == so_far
    (row,) = await house.rows()
    assert (row.owed, row.attempt, row.reply) == (None, 0, "answered 200")


async def test_a_subscriber_that_says_when_is_left_alone_until_then(house: HubHouse) -> None:
    await house.subscribe()
    house.reader.replies = [Answer(429, headers={"Retry-After": "1800"})]
    await house.announce("<rss>two</rss>")
    await house.settle(timedelta(minutes=29))
    assert len(house.reader.deliveries) == 1
    await house.settle(timedelta(minutes=2))
    assert len(house.reader.deliveries) == 2


async def test_of_many_versions_missed_only_the_newest_is_owed(house: HubHouse) -> None:
    await house.subscribe()
    house.reader.replies = [Answer(500)]
    for number in range(5):
        await house.announce(f"<rss>{number}</rss>")
    assert len(house.reader.deliveries) == 1  # nor is anybody hurried by a new version
    await house.settle(timedelta(minutes=2))
    assert [one.body for one in house.reader.deliveries] == [b"<rss>0</rss>", b"<rss>4</rss>"]


async def test_a_version_is_given_up_after_a_day_and_the_next_one_tried(house: HubHouse) -> None:
    await house.subscribe()
    house.reader.replies = [Answer(500)] * 100
    await house.announce("<rss>two</rss>")
    for _ in range(60):
        await house.settle(timedelta(minutes=30))
    tried = len(house.reader.deliveries)
    assert 8 <= tried <= 10
    (row,) = await house.rows()
    assert (row.state, row.owed) == (HubState.ACTIVE, None)
    assert (row.reply or "").endswith("given up")
    house.reader.replies = []
    await house.announce("<rss>three</rss>")
    assert house.reader.deliveries[-1].body == b"<rss>three</rss>"


async def test_410_ends_it(house: HubHouse) -> None:
    await house.subscribe(secret="s")
    house.reader.replies = [Answer(410)]
    await house.announce("<rss>two</rss>")
    await house.announce("<rss>three</rss>")
    assert len(house.reader.deliveries) == 1
    (row,) = await house.rows()
    assert (row.state, row.secret) == (HubState.ENDED, None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_moves_no_subscription(house: HubHouse, status: int) -> None:
    await house.subscribe()
    house.reader.replies = [Answer(status, headers={"Location": "/new"})]
    await house.announce("<rss>two</rss>")
    assert [one.path for one in house.reader.deliveries] == ["/callback"]
    (row,) = await house.rows()
    assert (row.attempt, row.reply) == (1, f"answered {status}")


async def test_a_version_that_is_announced_twice_is_delivered_once(house: HubHouse) -> None:
    await house.subscribe()
    document = await house.publish("<rss>two</rss>")
    for _ in range(2):
        await house.distribution.announce([document])
        await house.settle()
    assert len(house.reader.deliveries) == 1


async def _begin_delivery(house: HubHouse, body: str) -> tuple[asyncio.Event, asyncio.Task[None]]:
    """A delivery that is under way until the event is set."""
    go = asyncio.Event()
    house.reader.replies = [Answer(after=go)]
    await house.distribution.announce([await house.publish(body)])
    house.now += timedelta(seconds=2)
    await house.distribution.sweep()
    work = asyncio.create_task(house.jobs.drain())
    await house.reader.wait_for(lambda: bool(house.reader.deliveries))
    return go, work


async def test_a_version_that_comes_during_a_delivery_is_delivered_after_it(
    house: HubHouse,
) -> None:
    await house.subscribe()
    go, work = await _begin_delivery(house, "<rss>two</rss>")
    await house.distribution.announce([await house.publish("<rss>three</rss>")])
    assert len(house.reader.deliveries) == 1
    go.set()
    await work
    await house.settle()
    bodies = [one.body for one in house.reader.deliveries]
    assert bodies == [b"<rss>two</rss>", b"<rss>three</rss>"]


async def test_a_wish_that_comes_during_a_delivery_is_not_forgotten_over_it(
    house: HubHouse,
) -> None:
    await house.subscribe()
    go, work = await _begin_delivery(house, "<rss>two</rss>")
    await house.ask("unsubscribe")
    go.set()
    await work
    await house.settle()
    assert [one.query["hub.mode"] for one in house.reader.questions] == ["subscribe", "unsubscribe"]
    assert [row.state for row in await house.rows()] == [HubState.ENDED]


async def test_archive_pages_and_quiet_feeds_are_told_to_nobody(house: HubHouse) -> None:
    await house.subscribe()
    await house.publish("first", feed="quiet")
    assert (await house.ask(topic=house.topic("quiet"))).status_code == 404
    page = await house.publish("<rss>old</rss>")
    archive = ServedDocument(
        path="feeds/all/archive/1-1/rss.xml",
        media_type=page.media_type,
        etag="other",
        last_modified=page.last_modified,
        body=b"old",
        body_gzip=b"",
        is_archive=True,
    )
    await house.distribution.announce([archive])
    await house.settle()
    assert house.reader.deliveries == []


async def test_a_slow_subscriber_holds_up_nobody_else(house: HubHouse) -> None:
    slow = await HttpSink().start()
    never = asyncio.Event()
    slow.answers = lambda asked: (
        Answer(200, asked.query["hub.challenge"].encode())
        if asked.method == "GET"
        else Answer(after=never)
    )
    allow = [house.reader.host, slow.host.replace("127.0.0.1", "localhost")]
    house.settings.websub.private_hosts[:] = allow
    house.start_process()
    for number in range(5):
        await house.ask(callback=f"http://{allow[1]}/{number}")
        await house.ask(callback=house.reader.callback(f"/{number}"))
    await house.settle()
    await house.distribution.announce([await house.publish("<rss>two</rss>")])
    house.now += timedelta(seconds=2)
    await house.distribution.sweep()
    work = asyncio.create_task(house.jobs.drain())
    await house.reader.wait_for(lambda: len(house.reader.deliveries) == 5)
    assert len([one for one in slow.asked if one.method == "POST"]) <= PER_HOST
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await slow.stop()


# -- kills, and nodes ----------------------------------------------------------------------------


async def test_what_a_killed_process_had_in_hand_is_delivered_by_the_next(
    house: HubHouse,
) -> None:
    await house.subscribe()
    _, work = await _begin_delivery(house, "<rss>two</rss>")
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    house.start_process()
    await house.settle()
    assert len(house.reader.deliveries) == 1  # it may be in somebody's hands yet
    await house.settle(CLAIM_LASTS)
    assert len(house.reader.deliveries) == 2


async def test_what_was_served_but_not_announced_is_found_at_the_start(house: HubHouse) -> None:
    await house.subscribe()
    await house.publish("<rss>two</rss>")  # killed before it was announced
    house.start_process()
    await house.distribution.start()
    await house.settle()
    await house.distribution.start()
    await house.settle()
    assert [one.body for one in house.reader.deliveries] == [b"<rss>two</rss>"]


async def test_two_processes_deliver_a_version_once(house: HubHouse) -> None:
    for number in range(6):
        await house.ask(callback=house.reader.callback(f"/{number}"))
    await house.settle()
    first, first_jobs = house.distribution, house.jobs
    house.start_process()
    await first.announce([await house.publish("<rss>two</rss>")])
    house.now += timedelta(seconds=2)
    await first.sweep()
    await house.distribution.sweep()
    await asyncio.gather(first_jobs.drain(), house.jobs.drain())
    assert Counter(one.path for one in house.reader.deliveries) == {f"/{n}": 1 for n in range(6)}


async def test_it_runs_on_the_job_engine_of_each_database(house: HubHouse) -> None:
    jobs = open_jobs(house.database)
    await jobs.prepare()
    distribution = Distribution(
        database=house.database,
        fetcher=house.fetcher,
        jobs=jobs,
        clock=lambda: house.now,
        settings=house.settings,
    )
    await house.ask()
    await distribution.sweep()
    await jobs.drain()
    await distribution.announce([await house.publish("<rss>two</rss>")])
    house.now += timedelta(seconds=2)
    await distribution.sweep()
    await jobs.drain()
    assert len(house.reader.deliveries) == 1


# -- topics that move and end --------------------------------------------------------------------


async def test_who_subscribed_under_a_former_name_is_told_of_the_new_one(house: HubHouse) -> None:
    await house.subscribe(topic=house.topic("news"))
    assert house.reader.questions[0].query["hub.topic"] == house.topic("news")
    await house.announce("<rss>two</rss>")
    (delivery,) = house.reader.deliveries
    assert f'<{house.topic()}>; rel="self"' in delivery.headers["link"]


async def test_who_has_a_topic_that_is_no_more_is_told_so_once(house: HubHouse) -> None:
    await house.subscribe()
    del house.settings.feeds["all"]
    house.start_process()
    await house.distribution.start()
    await house.settle()
    await house.settle()
    denied = house.reader.questions[-1]
    assert denied.query["hub.mode"] == "denied"
    assert denied.query["hub.topic"] == house.topic()
    assert "hub.challenge" not in denied.query
    assert len(house.reader.questions) == 2
    assert [row.state for row in await house.rows()] == [HubState.ENDED]
