"""What could not be published is published later, and what is through is left in peace."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from press import FEEDS, Press, break_feed, mend_feed, titles
from sqlalchemy import select
from sqlmodel import col

from feedsvc.app import App
from feedsvc.model.feed import Feed, FeedFormat

pytestmark = [pytest.mark.anyio, pytest.mark.fault]

NEWSLETTER = """
[newsletters.{key}]
title = "{key}"
from = "news@example.com"
sender = "例子"
postal_address = "上海"
[newsletters.{key}.schedules.morning]
label = "早上"
cron = "0 8 * * *"
"""
FAMILY = """
[feeds.letters]
each = "newsletter"
title = "{name}"
"""


@pytest.fixture
def press(empty_database_url: str, tmp_path: Path) -> Press:
    return Press(tmp_path, empty_database_url)


@pytest.fixture
async def app(press: Press) -> AsyncIterator[App]:
    async with press.open() as app:
        press.write("a.md", "甲")
        yield app


async def problem_of(app: App, key: str) -> str | None:
    async with app.database.read() as session:
        found: str | None = await session.scalar(select(col(Feed.problem)).where(Feed.key == key))
        return found


async def is_wanted(press: Press, app: App) -> bool:
    return await app.pipeline._publication.is_wanted(press.now)


async def test_a_feed_whose_first_making_fails_is_made_though_no_article_changes(
    press: Press, app: App
) -> None:
    await break_feed(app.database, "city")
    await press.publish(app)
    assert await titles(app, "all") == ["甲"]
    assert await titles(app, "city") == []
    await mend_feed(app.database)
    await press.run(app, seconds=20)
    assert await titles(app, "city") == []  # it rests
    await press.run(app, seconds=20)
    assert await titles(app, "city") == ["甲"]
    assert await problem_of(app, "city") is None
    assert not await is_wanted(press, app)


async def test_a_feed_that_another_setting_could_not_be_made_with_is_tried_again(
    press: Press, app: App
) -> None:
    await press.publish(app)
    await break_feed(app.database, "city")
    press.configure(FEEDS.replace('"City"\n', '"城市"\n', 1))
    press.now += timedelta(seconds=5)
    async with press.open() as later:
        await later.pipeline.start()
        assert "out of ink" in (await problem_of(later, "city") or "")
        await mend_feed(later.database)
    async with press.open() as third:  # one that has not failed itself
        await press.run(third, seconds=60)
        assert await problem_of(third, "city") is None
        assert not await is_wanted(press, third)


async def test_settings_that_change_within_a_second_are_followed_soon(
    press: Press, app: App
) -> None:
    await press.publish(app)
    press.configure(FEEDS.replace('sections = ["City"]', 'sections = ["World"]'))
    async with press.open() as later:
        await later.pipeline.start()
        assert await titles(later, "city") == ["甲"]  # a new version would be dated too late
        await press.run(later)
        assert await titles(later, "city") == []
        assert not await is_wanted(press, later)


async def test_what_went_wrong_is_said_in_one_line(press: Press, app: App) -> None:
    await break_feed(app.database, "city")
    await press.publish(app)
    problem = await problem_of(app, "city")
    assert problem is not None
    assert "out of ink" in problem
    assert "\n" not in problem
    assert "INSERT INTO" not in problem
    assert len(problem) <= 300


async def test_a_clock_that_is_set_back_does_not_make_a_feed_rest_for_longer(
    press: Press, app: App
) -> None:
    await break_feed(app.database, "city")
    await press.publish(app)
    await mend_feed(app.database)
    press.now -= timedelta(hours=5)
    await press.run(app, times=2)
    assert await titles(app, "city") == ["甲"]


async def test_a_failing_feed_holds_up_no_other_and_keeps_its_document(
    press: Press, app: App
) -> None:
    await press.publish(app)
    await break_feed(app.database, "city")
    press.write("b.md", "乙")
    assert await press.publish(app) == [
        f"feeds/all/{name}" for name in ("atom.xml", "feed.json", "rss.xml")
    ]
    assert await titles(app, "city") == ["甲"]
    press.write("c.md", "丙")
    await press.publish(app)
    await mend_feed(app.database)
    await press.run(app, seconds=40)
    assert await titles(app, "city") == ["丙", "乙", "甲"]


async def test_a_feed_that_was_taken_out_and_put_back_has_its_documents(
    press: Press, app: App
) -> None:
    await press.publish(app)
    press.configure(FEEDS.partition("[feeds.city]")[0])
    async with press.open() as without:
        press.now += timedelta(minutes=1)
        await without.pipeline.start()
        assert await titles(without, "city") == []
    press.configure(FEEDS)
    async with press.open() as again:
        press.now += timedelta(minutes=1)
        await again.pipeline.start()
        for feed_format in FeedFormat:
            if feed_format is not FeedFormat.JSON:
                assert await titles(again, "city", feed_format) == ["甲"]


async def test_the_feed_of_a_newsletter_that_is_gone_keeps_nobody_busy(
    press: Press, app: App
) -> None:
    both = NEWSLETTER.format(key="daily") + NEWSLETTER.format(key="weekly")
    press.configure(FEEDS + FAMILY + both)
    async with press.open() as first:
        await press.publish(first)
        assert await titles(first, "letters/weekly") == ["甲"]
    press.configure(FEEDS + FAMILY + NEWSLETTER.format(key="daily"))
    async with press.open() as second:
        await second.pipeline.start()
        press.write("b.md", "乙")
        await press.publish(second)
        assert await titles(second, "letters/daily") == ["乙", "甲"]
        assert not await is_wanted(press, second)
    press.configure(FEEDS + FAMILY + both)
    async with press.open() as third:
        press.now += timedelta(minutes=1)
        await third.pipeline.start()
        assert await titles(third, "letters/weekly") == ["乙", "甲"]


async def test_at_rest_nothing_is_wanted_and_nothing_written(press: Press, app: App) -> None:
    await press.publish(app)
    assert not await is_wanted(press, app)
    assert await app.pipeline.publish() == []
    await press.run(app, times=5)
    assert not await is_wanted(press, app)


async def test_without_any_feed_articles_are_published_all_the_same(press: Press, app: App) -> None:
    press.configure("")
    async with press.open() as bare:
        assert await press.publish(bare) == []
        assert not await is_wanted(press, bare)
        await bare.pipeline.start()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_feed_that_always_fails_is_tried_ever_more_rarely_and_then_every_few_minutes(
    press: Press, app: App
) -> None:
    await break_feed(app.database, "city")
    with structlog.testing.capture_logs() as logs:
        await press.publish(app)
        await press.run(app, seconds=30, times=60)
    failures = [one for one in logs if one["event"] == "feed not published"]
    assert 8 <= len(failures) <= 10
    await mend_feed(app.database)
    await press.run(app, seconds=300, times=2)
    assert await titles(app, "city") == ["甲"]


async def test_a_feed_that_looks_into_texts_takes_in_many_changes_at_once(
    press: Press, app: App
) -> None:
    press.configure(FEEDS + "[feeds.words]\ntitle = 'w'\nfilter = 'text contains \"编号7\"'\n")
    async with press.open() as reading:
        await press.publish(reading)
        for number in range(120):
            press.write(f"n{number}.md", f"编号{number}。")
        await press.publish(reading)
        wanted = sorted(f"编号{one}。" for one in range(120) if str(one).startswith("7"))
        assert await titles(reading, "words") == wanted
        press.write("n7.md", "没有了")
        press.write("n8.md", "编号78 两次")
        await press.publish(reading)
        assert await titles(reading, "words") == sorted(
            [*(one for one in wanted if one != "编号7。"), "编号78 两次"]
        )
