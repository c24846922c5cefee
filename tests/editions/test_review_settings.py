"""Every setting of a newsletter comes to its row, at its largest, on both databases."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from feedsvc.config import Settings
from feedsvc.config_newsletters import NewsletterSettings, ScheduleSettings
from feedsvc.db.engine import Database
from feedsvc.editions.registry import find_newsletter, sync_newsletters
from feedsvc.model.newsletter import Arrangement

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 22, tzinfo=UTC)
#: None of them what it is by default.
SCHEDULE: dict[str, Any] = {
    "label": "早" * 200,
    "description": "早" * 500,
    "cron": "30 8 L * *",
    "time_zone": "Asia/Shanghai",
    "catch_up": "drop",
    "grace_minutes": 31 * 24 * 60,
    "spread_minutes": 24 * 60,
    "quiet_days": ["sun", "2026-10-01..2026-10-07"],
    "max_items": 200,
    "min_items": 199,
}
EACH: dict[str, Any] = {"label": "每篇", "settle_minutes": 1, "settle_max_minutes": 7}
NEWSLETTER: dict[str, Any] = {
    "title": "晨" * 200,
    "description": "新" * 1000,
    "language": "zh-Hant",
    "theme": "t" * 40,
    "from": f"{'报' * 200} <news@news.example.com>",
    "sender": "社" * 300,
    "postal_address": "路" * 500,
    "sources": ["folder"],
    "sections": ["要闻"],
    "topics": ["科技"],
    "languages": ["zh"],
    "filter": "topic = '科技'",
    "max_items": 199,
    "min_items": 2,
    "carry_max": 100,
    "order": "weight",
    "by_section": True,
    "section_order": ["要闻", "文化"],
    "lead": True,
    "subject": "{{ newsletter }}",
    "preheader": "{{ headline }}",
    "review": "draft",
    "review_minutes": 7 * 24 * 60,
    "unapproved": "skip",
    "on_withdrawal": "stop",
    "welcome_items": 50,
    "archive": False,
    "public": False,
    "relays": ["main"],
    "schedules": {"monthly": SCHEDULE, "each": EACH},
}
_SITE: dict[str, Any] = {
    "sources": {"folder": {"type": "folder", "path": "articles"}},
    "relays": {"main": {"type": "eml_folder", "path": "outbox"}},
}


def test_here_each_setting_is_another_than_by_default() -> None:
    for kind, values in (
        (NewsletterSettings, NEWSLETTER),
        (ScheduleSettings, {**SCHEDULE, **EACH}),
    ):
        for name, one in kind.model_fields.items():
            assert values[one.alias or name] != one.default, name


async def test_each_setting_comes_to_its_row(database: Database) -> None:
    settings = Settings.model_validate({**_SITE, "newsletters": {"daily": NEWSLETTER}})
    async with database.write() as session:
        await sync_newsletters(session, settings, NOW)
    async with database.read() as session:
        row = await find_newsletter(session, "daily")
    found = row.newsletter
    for name in ("title", "description", "language", "theme", "sender", "postal_address"):
        assert getattr(found, name) == NEWSLETTER[name], name
    for name in ("max_items", "min_items", "carry_max", "review", "review_minutes", "unapproved"):
        assert getattr(found, name) == NEWSLETTER[name], name
    for name in ("on_withdrawal", "welcome_items", "archive", "public"):
        assert getattr(found, name) == NEWSLETTER[name], name
    assert (found.from_name, found.from_address) == ("报" * 200, "news@news.example.com")
    assert found.selection == {
        name: NEWSLETTER[name] for name in ("sources", "sections", "topics", "languages")
    }
    assert "科技" in found.filter
    arrangement = Arrangement.of(found.arrangement)
    assert arrangement.sections == ("要闻", "文化")
    for name in ("order", "by_section", "lead", "subject", "preheader"):
        assert getattr(arrangement, name) == NEWSLETTER[name], name
    each, monthly = row.schedules
    for name in SCHEDULE.keys() - {"time_zone"}:
        assert getattr(monthly, name) == SCHEDULE[name], name
    assert (monthly.zone, monthly.own_zone) == ("Asia/Shanghai", False)
    assert (each.settle_minutes, each.settle_max_minutes) == (1, 7)
    # What a schedule does not say is the newsletter's.
    assert (each.max_items, each.min_items, each.is_each_article) == (199, 2, True)


@pytest.mark.parametrize(
    ("name", "longest"),
    [("title", 200), ("description", 1000), ("sender", 300), ("postal_address", 500)],
)
def test_what_no_row_has_room_for_is_a_mistake_in_the_configuration(
    name: str, longest: int
) -> None:
    with pytest.raises(ValidationError):
        NewsletterSettings.model_validate({**NEWSLETTER, name: "社" * (longest + 1)})
    with pytest.raises(ValidationError):
        NewsletterSettings.model_validate({**NEWSLETTER, "from": f"{'报' * 201} <a@b.example>"})
    with pytest.raises(ValidationError):
        ScheduleSettings.model_validate({**SCHEDULE, "label": "早" * 201})
