"""What strangers ask for, and what becomes of pages when things around them change."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from past_editions import add_edition
from small_press import NOW, SmallPress, open_press, words
from sqlalchemy import update
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.kit.tokens import Scope
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import Subscription, SubscriptionState

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


@pytest.fixture
async def some_press(database: Database, tmp_path: Path) -> AsyncIterator[SmallPress]:
    press = await open_press(database, tmp_path)
    transport = httpx2.ASGITransport(app=press.application, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://inside.test") as client:
        press.client = client
        yield press


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, 2**62, 10**18 - 1, 10**18])
async def test_a_number_that_no_row_can_have_finds_nothing(
    some_press: SmallPress, number: int
) -> None:
    await add_edition(some_press)
    found = await some_press.get(f"/newsletters/daily/editions/{number}")
    assert found.status_code == 404
    for path in ("/newsletters/daily/editions", "/"):
        listed = await some_press.get(f"{path}?before={number}")
        assert listed.status_code in (200, 400, 422), path


async def test_who_lives_in_a_zone_that_is_gone_can_open_the_page_and_choose_another(
    some_press: SmallPress,
) -> None:
    subscription = await some_press.subscribe()
    async with some_press.database.write() as session:
        await session.execute(
            update(Subscription).values(
                zone="Gone/Island", state=SubscriptionState.PAUSED, paused_until=NOW + DAY
            )
        )
    token = some_press.keyring.sign(Scope.PREFERENCES, subscription.id or 0)
    path = f"/preferences/{token}"
    page = await some_press.get(path)
    assert page.status_code == 200
    assert "Paused until 23 November 2026, 08:00 (Asia/Shanghai)." in words(page)
    paused = await some_press.client.post(path, data={"do": "pause", "until": "2026-12-24"})
    assert "Paused until 24 December 2026, 00:00 (Asia/Shanghai)." in words(paused)
    saved = await some_press.client.post(path, data={"do": "save", "zone": "Europe/Madrid"})
    assert "Saved." in words(saved)
    assert "23 December 2026" in words(saved)


async def test_the_page_of_a_newsletter_shows_the_next_five_times_of_each_schedule(
    some_press: SmallPress,
) -> None:
    said = words(await some_press.get("/newsletters/daily?lang=zh"))
    assert "下一期：2026年11月23日 08:00（Asia/Shanghai）" in said
    for day in ("11月24日", "11月25日", "11月26日", "11月27日"):
        assert f"2026年{day} 08:00（Asia/Shanghai）" in said
    assert "11月28日" not in said
    assert "2026年12月21日 08:00（Asia/Shanghai）" in said


async def test_whose_schedule_is_gone_is_told_that_nothing_comes_until_they_choose_another(
    some_press: SmallPress,
) -> None:
    subscription = await some_press.subscribe()
    async with some_press.database.write() as session:
        await session.execute(
            update(Schedule).where(col(Schedule.key) == "morning").values(retired=True)
        )
    path = f"/preferences/{some_press.keyring.sign(Scope.PREFERENCES, subscription.id or 0)}"
    said = words(await some_press.get(path))
    assert "so nothing is sent to you" in said
    assert "You get it by e-mail" not in said
    saved = words(await some_press.client.post(path, data={"do": "save", "schedule": "weekly"}))
    assert "You get it by e-mail" in saved
