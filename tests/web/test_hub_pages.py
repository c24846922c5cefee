"""The hub's address on the web: whom it answers what."""

import pytest
from small_press import BASE_URL, NOW, SmallPress
from sqlalchemy import select

from feedsvc.model.feed import FeedDocument
from feedsvc.model.hub import HubState, HubSubscription

pytestmark = pytest.mark.anyio

FORM = {
    "hub.mode": "subscribe",
    "hub.topic": f"{BASE_URL}/feeds/all/rss.xml",
    "hub.callback": "https://reader.example/c",
}


@pytest.fixture
async def published(press: SmallPress) -> SmallPress:
    async with press.database.write() as session:
        session.add(
            FeedDocument(
                feed="all", format="rss", etag="e", last_modified=NOW, body=b"x", body_gzip=b"y"
            )
        )
    return press


async def rows(press: SmallPress) -> list[HubSubscription]:
    async with press.database.read() as session:
        return list((await session.execute(select(HubSubscription))).scalars())


async def test_a_request_is_noted_and_answered_before_anybody_is_asked(
    published: SmallPress,
) -> None:
    response = await published.client.post("/hub", data={**FORM, "hub.secret": "s"})
    assert response.status_code == 202
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    (row,) = await rows(published)
    assert (row.topic, row.state) == ("feeds/all/rss.xml", HubState.VERIFYING)
    assert (row.asked_mode, row.asked_secret, row.secret) == ("subscribe", "s", None)
    assert row.next_at == published.now


async def test_the_same_request_twice_is_one_row(published: SmallPress) -> None:
    for _ in range(2):
        assert (await published.client.post("/hub", data=FORM)).status_code == 202
    assert len(await rows(published)) == 1


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"hub.topic": "https://other.example/feed"}, 404, "hub.topic"),
        ({"hub.topic": f"{BASE_URL}/feeds/tech/atom.xml"}, 404, "hub.topic"),  # not yet published
        ({"hub.topic": f"{BASE_URL}/"}, 404, "hub.topic"),
        ({"hub.callback": "http://169.254.169.254/"}, 400, "hub.callback"),
        ({"hub.callback": f"{BASE_URL}/x"}, 400, "this site itself"),
        ({"hub.mode": "x"}, 400, "hub.mode"),
        ({"hub.secret": "x" * 200}, 400, "hub.secret"),
        ({"pad": "x" * 9000}, 413, "8192"),
    ],
)
async def test_what_cannot_be_granted_is_said_in_a_sentence(
    published: SmallPress, changed: dict[str, str], status: int, words: str
) -> None:
    response = await published.client.post("/hub", data={**FORM, **changed})
    assert response.status_code == status
    assert words in response.text
    assert await rows(published) == []


async def test_whom_nobody_knows_cannot_unsubscribe_and_learns_nothing(
    published: SmallPress,
) -> None:
    response = await published.client.post("/hub", data={**FORM, "hub.mode": "unsubscribe"})
    assert response.status_code == 202
    assert await rows(published) == []


async def test_a_publisher_that_says_what_we_know_is_thanked(published: SmallPress) -> None:
    ours = {"hub.mode": "publish", "hub.url": FORM["hub.topic"]}
    assert (await published.client.post("/hub", data=ours)).status_code == 204
    theirs = {"hub.mode": "publish", "hub.url": "https://other.example/feed"}
    assert (await published.client.post("/hub", data=theirs)).status_code == 400
    assert await rows(published) == []


async def test_other_types_and_methods_are_refused(published: SmallPress) -> None:
    assert (await published.client.post("/hub", json=FORM)).status_code == 415
    assert (await published.client.post("/hub", files={"hub.mode": b"x"})).status_code == 415
    response = await published.get("/hub")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
