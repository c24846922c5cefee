"""Several processes publish at once: no change is lost, whoever comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from press import Press, titles
from sqlalchemy import select
from sqlmodel import col

from feedsvc.app import App
from feedsvc.feeds import states
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.feed import Feed, FeedDocument
from feedsvc.pipeline.publication import Publication, Renewed

pytestmark = [pytest.mark.anyio, pytest.mark.fault]


class SlowPublication(Publication):
    """Lets others work before a feed is written, or between its writing and its storing."""

    before: Callable[[], Awaitable[object]] | None = None
    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def _make(self, spec: FeedSpec, now: datetime) -> Any:
        before, self.before = self.before, None
        if before is not None:
            await before()
        made = await super()._make(spec, now)
        if spec.key == "city" and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return made


async def follow_nowhere(_renewed: Renewed) -> None:
    """What follows a publication is no part of this."""


def slow(app: App) -> SlowPublication:
    return SlowPublication(app.pipeline._parts, follow_nowhere)


@pytest.fixture
def press(empty_database_url: str, tmp_path: Path) -> Press:
    return Press(tmp_path, empty_database_url)


@pytest.mark.parametrize("change", ["withdraw", "move"])
async def test_what_is_taken_back_while_another_process_writes_it_does_not_stay(
    press: Press, change: str
) -> None:
    """One process has written article b into a feed; another one finds that b is in none."""
    async with press.open() as one, press.open() as other:
        press.write("a.md", "甲")
        await press.publish(one)
        press.write("b.md", "乙")
        await press.take_in(one)
        publication = slow(one)

        async def take_back() -> None:
            if change == "withdraw":
                (press.articles / "b.md").unlink()
            else:
                press.write("b.md", "乙", section="World")
            await press.publish(other)

        publication.meanwhile = take_back
        press.now = press.now.replace(microsecond=0)
        await publication.publish()
        await press.run(other, times=3)
        assert await titles(other, "city") == ["甲"]
        await publication.publish()
        assert not await publication.is_wanted(press.now)


async def test_a_feed_that_was_published_meanwhile_is_not_passed_over(press: Press) -> None:
    async with press.open() as app:
        press.write("a.md", "甲")
        await press.publish(app)
        async with app.database.read() as session:
            before = await states.load_states(session, ["all", "city"])
        press.write("b.md", "乙", section="World")
        await press.publish(app)
        async with app.database.write() as session:
            await states.pass_over(
                session, {key: one.basis for key, one in before.items()}, 1_000_000
            )
        async with app.database.read() as session:
            after = await states.load_states(session, ["all", "city"])
        assert all(before[key].basis < one.basis < 1_000_000 for key, one in after.items())


async def test_processes_that_publish_at_once_agree_in_the_end(press: Press) -> None:
    async with AsyncExitStack() as stack:
        apps = [await stack.enter_async_context(press.open()) for _ in range(3)]
        for number in range(8):
            press.write(f"{number}.md", f"文章 {number}", section="City" if number % 2 else "World")
            if number == 5:
                (press.articles / "1.md").unlink()
            await press.take_in(apps[number % 3])
            await asyncio.gather(*(app.pipeline.publish() for app in apps))
        await press.run(apps[0], times=3)
        await press.run(apps[1], seconds=40, times=2)
        assert await titles(apps[0], "all") == [f"文章 {one}" for one in (0, 2, 3, 4, 5, 6, 7)]
        assert await titles(apps[1], "city") == [f"文章 {one}" for one in (3, 5, 7)]
        async with apps[0].database.read() as session:
            assert list(await session.scalars(select(col(Feed.problem)))) == [None, None]
            dates = list(await session.scalars(select(col(FeedDocument.last_modified))))
        assert max(dates) <= press.now


async def test_of_two_writings_after_the_same_change_the_older_never_wins(press: Press) -> None:
    """What counts is what was there when a feed was written, not when it was found touched."""
    async with press.open() as one, press.open() as other:
        for name in ("a.md", "b.md"):
            press.write(name, name)
        await press.publish(one)
        press.write("a.md", "mended a")
        await press.take_in(one)
        first, second = slow(one), slow(other)

        async def mend_b() -> None:
            press.write("b.md", "mended b")
            await press.take_in(other)

        async def publish_later() -> None:
            second.before = mend_b
            await second.publish()
            press.now += timedelta(seconds=5)

        first.meanwhile = publish_later
        await first.publish()
        assert await titles(one, "city") == ["mended a", "mended b"]
