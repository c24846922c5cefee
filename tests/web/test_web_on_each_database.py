"""The pages read and write both databases alike."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from small_press import SmallPress, links, open_press, words

from feedsvc.db.engine import Database
from feedsvc.model.subscriber import SubscriptionState

pytestmark = pytest.mark.anyio


@pytest.fixture
async def either_press(database: Database, tmp_path: Path) -> AsyncIterator[SmallPress]:
    press = await open_press(database, tmp_path)
    transport = httpx2.ASGITransport(app=press.application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://inside.test") as client:
        press.client = client
        yield press


async def test_reading_subscribing_and_leaving(either_press: SmallPress) -> None:
    press = either_press
    for number in range(22):
        await press.add_article(f"a{number}", section="科技" if number % 2 else "要闻")
    front = await press.get("/?section=科技&before=20")
    assert "/articles/a17" in links(front)
    assert "/?section=%E8%A6%81%E9%97%BB" in links(front)
    assert (await press.get("/articles/a3")).status_code == 200
    assert (await press.get("/articles/a%00")).status_code == 404
    subscription = await press.subscribe("li.lei@例子.example")
    assert (subscription.state, subscription.cursor) == (SubscriptionState.ACTIVE, 22)
    left = await press.client.post(
        press.unsubscribe_path(subscription), data={"List-Unsubscribe": "One-Click"}
    )
    assert "You are unsubscribed" in words(left)
    (subscription,) = await press.subscriptions()
    assert subscription.state is SubscriptionState.UNSUBSCRIBED
    assert (await press.get("/healthz")).status_code == 200
