"""The form says of each rhythm what it is, in words, and when it comes next."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from small_press import SETTINGS, XHTML, SmallPress, open_press, parse

from feedsvc.db.engine import Database

pytestmark = pytest.mark.anyio
#: It is 08:00 on 22 November 2026, a Sunday, in Asia/Shanghai.
SCHEDULES = {
    "morning": {"label": "每天早上", "description": "早饭前读完", "cron": "0 8 * * *"},
    "york": {"label": "New York", "cron": "0 8 * * *", "time_zone": "America/New_York"},
    "workdays": {"label": "工作日", "cron": "0 9 * * *", "quiet_days": ["sun", "2026-11-23"]},
    "own": {"label": "各地早上", "cron": "30 7 * * *", "time_zone": "subscriber"},
    "each": {"label": "快讯", "settle_minutes": 5},
    "never": {"label": "无", "cron": "0 8 * * 1", "quiet_days": ["mon"]},
}
ENGLISH = [
    "每天早上 早饭前读完 every day at 08:00 (Asia/Shanghai) next on 23 November 2026, 08:00",
    "New York every day at 08:00 (America/New_York) next on 22 November 2026, 08:00",
    "工作日 every day at 09:00 (Asia/Shanghai) next on 24 November 2026, 09:00",
    "各地早上 every day at 07:30, your time next on 23 November 2026, 07:30",
    "快讯 for each article, soon after it appears",
    "无 every Monday at 08:00 (Asia/Shanghai)",
]
CHINESE = [
    "每天早上 早饭前读完 每天 08:00（Asia/Shanghai） 下一次：2026年11月23日 08:00",
    "New York 每天 08:00（America/New_York） 下一次：2026年11月22日 08:00",
    "工作日 每天 09:00（Asia/Shanghai） 下一次：2026年11月24日 09:00",
    "各地早上 每天 07:30（您当地时间） 下一次：2026年11月23日 07:30",
    "快讯 每篇文章发布后不久",
    "无 每周一 08:00（Asia/Shanghai）",
]


@pytest.fixture
async def press(blank_database: Path, tmp_path: Path) -> AsyncIterator[SmallPress]:
    """A press whose newsletter has every kind of schedule."""
    shutil.copy(blank_database, tmp_path)
    database = Database(f"sqlite:///{tmp_path / blank_database.name}")
    daily = {**SETTINGS["newsletters"]["daily"], "schedules": SCHEDULES}
    press = await open_press(database, tmp_path, newsletters={"daily": daily})
    transport = httpx2.ASGITransport(app=press.application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://inside.test") as client:
        press.client = client
        yield press
    await database.dispose()


@pytest.mark.parametrize(("language", "said"), [("en", ENGLISH), ("zh", CHINESE)])
async def test_each_rhythm_says_what_it_is_and_when_it_comes_next(
    press: SmallPress, language: str, said: list[str]
) -> None:
    page = parse(await press.get(f"/subscribe/daily?lang={language}"))
    choices = [one for one in page.iter(f"{XHTML}label") if one.get("class") == "choice"]
    assert [" ".join("".join(one.itertext()).split()) for one in choices] == said


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("own", "It comes by e-mail, every day at 07:30, your time."),
        ("each", "It comes by e-mail, for each article, soon after it appears."),
    ],
)
async def test_the_page_that_confirms_says_it_too(
    press: SmallPress, schedule: str, said: str
) -> None:
    await press.ask("lilei@example.com", schedule=schedule)
    shown = await press.get(await press.confirmation_path())
    assert said in shown.text
