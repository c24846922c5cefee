"""A newsletter whose every reader is due: forty zones, five schedules, twenty topics.

Made by the real migrations and the real configuration; the people are written as rows.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from feedsvc.app import App
from feedsvc.config_file import load_settings
from feedsvc.db.engine import Database
from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

#: A Monday, so that the weekly schedule is due as well.
AT = datetime(2026, 11, 23, 14, tzinfo=UTC)
#: Articles that everybody has been mailed, and those that are new to most.
OLD, NEW = 200, 60
TOPICS = tuple(f"主题{number:02}" for number in range(20))
ZONES = (
    "Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore", "Asia/Tokyo",
    "Asia/Seoul", "Asia/Bangkok", "Asia/Jakarta", "Asia/Manila", "Asia/Kolkata",
    "Asia/Kathmandu", "Asia/Dhaka", "Asia/Karachi", "Asia/Tashkent", "Asia/Dubai",
    "Asia/Tehran", "Asia/Riyadh", "Europe/Moscow", "Europe/Istanbul", "Africa/Nairobi",
    "Africa/Cairo", "Europe/Athens", "Africa/Johannesburg", "Europe/Berlin", "Europe/Paris",
    "Europe/Madrid", "Africa/Lagos", "Europe/London", "Atlantic/Reykjavik", "America/Sao_Paulo",
    "America/Halifax", "America/New_York", "America/Chicago", "America/Denver",
    "America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu", "Australia/Sydney",
    "Australia/Lord_Howe", "Pacific/Auckland",
)  # fmt: skip
_BATCH = 10_000
_CONFIG = """
base_url = "https://news.example.com"
title = "示例新闻"
language = "zh-CN"
time_zone = "Asia/Shanghai"

[database]
url = "{url}"

[newsletters.daily]
title = "每日新闻"
from = "每日新闻 <news@example.com>"
sender = "示例新闻编辑部"
postal_address = "上海市黄浦区人民大道 1 号"
max_items = 20

[newsletters.daily.schedules.morning]
label = "早上"
cron = "0 8 * * *"
time_zone = "subscriber"

[newsletters.daily.schedules.noon]
label = "中午"
cron = "0 12 * * *"
time_zone = "subscriber"

[newsletters.daily.schedules.evening]
label = "晚上"
cron = "30 18 * * *"
time_zone = "subscriber"

[newsletters.daily.schedules.weekly]
label = "每周一"
cron = "0 8 * * 1"
time_zone = "subscriber"

[newsletters.daily.schedules.office]
label = "编辑部的早上"
cron = "0 8 * * *"

[relay]
type = "eml_folder"
path = "outbox"
"""


@dataclass(frozen=True, slots=True)
class World:
    """A folder with the configuration, and the database it names."""

    folder: Path
    readers: int

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "config.toml"


def make_world(folder: Path, readers: int, url: str | None = None) -> World:
    """Make a database of so many active readers, all of whom are due at `AT`.

    Half of them want everything, the others one topic; a fifth reads English; one in twenty has
    not been reached lately, and stands behind.

    Args:
        url: an empty database; None is a SQLite file in the folder.
    """
    folder.mkdir(parents=True)
    config = folder / "config.toml"
    config.write_text(_CONFIG.format(url=url or "sqlite:///feedsvc.db"), encoding="utf-8")
    asyncio.run(_make(config, readers))
    return World(folder, readers)


def long_ago() -> datetime:
    """A clock at which no period has come."""
    return AT - timedelta(days=30)


async def _make(config: Path, readers: int) -> None:
    async with App.open(
        load_settings(config, {}, config.parent), clock=long_ago, check_templates=False
    ) as app:
        database = app.database
        async with database.write() as session:
            newsletter = (await session.execute(select(Newsletter))).scalar_one()
            schedules = (await session.execute(select(Schedule))).scalars().all()
            ids = [schedule.id or 0 for schedule in schedules]
            await session.merge(Counter(name="seq", value=OLD + NEW))
            await session.execute(insert(Article), list(_articles()))
        for start in range(0, readers, _BATCH):
            await _add_people(
                database, newsletter.id or 0, ids, range(start, start + _BATCH), readers
            )


async def _add_people(
    database: Database, newsletter_id: int, schedules: list[int], numbers: range, readers: int
) -> None:
    people, subscriptions = [], []
    for number in numbers:
        if number >= readers:
            break
        address = f"reader{number}@example.org"
        person = {
            "id": number + 1,
            "address": address,
            "address_key": address,
            "state": "good",
            "failures": 0,
            "name": "",
            "language": "zh-CN",
            "zone": None,
            "created_at": long_ago(),
        }
        people.append(person)
        subscriptions.append(_subscription(number, newsletter_id, schedules))
    async with database.write() as session:
        await session.execute(insert(Subscriber), people)
        await session.execute(insert(Subscription), subscriptions)


def _subscription(number: int, newsletter_id: int, schedules: list[int]) -> dict[str, Any]:
    # Digits apart from each other, so that every choice meets every other.
    mixed = number * 2654435761 % 2**32
    behind = mixed % 20 == 0
    return {
        "subscriber_id": number + 1,
        "newsletter_id": newsletter_id,
        "schedule_id": schedules[number % len(schedules)],
        "topics": [] if mixed // 20 % 2 else [TOPICS[mixed // 40 % len(TOPICS)]],
        "language": "en" if mixed // 800 % 5 == 0 else "zh-CN",
        "zone": ZONES[number // len(schedules) % len(ZONES)],
        "state": SubscriptionState.ACTIVE,
        "cursor": OLD - (mixed // 4000 % 3 + 1) * 10 if behind else OLD,
        "requested_at": long_ago(),
        "confirmed_at": long_ago(),
        "consent_text": "",
        "consent_how": "bench",
    }


def _articles() -> Iterator[dict[str, Any]]:
    for seq in range(1, OLD + NEW + 1):
        at = AT - timedelta(minutes=20 * (OLD + NEW - seq))
        chinese = bool(seq % 3)
        text = (
            "上海股市天气晴朗，早高峰运力提高两成，票价不变。" if chinese else "The council met. "
        )
        yield {
            "source": "articles",
            "source_key": f"{seq}.md",
            "fingerprint": f"{seq:064d}",
            "seq": seq,
            "revision": 1,
            "guid": f"urn:bench:{seq}",
            "slug": f"article-{seq}",
            "title": f"北京地铁新开第 {seq} 条线路" if chinese else f"Tram line {seq} opens",
            "authors": ["李雷"],
            "section": ("要闻", "国际", "体育")[seq % 3],
            "topics": [TOPICS[seq % 20], TOPICS[seq * 7 % 20]],
            "language": "zh-CN" if chinese else "en",
            "published_at": at,
            "updated_at": at,
            "url": f"https://www.example.com/{seq}",
            "content": f"<p>{text * 30}</p>",
            "summary": text * 6,
            "content_hash": f"{seq:064d}",
            "announce": True,
            "state": ArticleState.PUBLISHED,
            "stored_at": at,
            "enclosures": [],
            "extra": json.loads("{}"),
            "changed": seq,
        }
