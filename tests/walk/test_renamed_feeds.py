"""Feeds that are renamed: readers that follow them find what they knew, under new addresses."""

import json
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import feedparser
import pytest
from press import Press
from sqlalchemy import select
from sqlmodel import col

from feedsvc.app import App
from feedsvc.feeds.readers.counts import ReaderCounts
from feedsvc.feeds.readers.store import load_counts, save_counts
from feedsvc.model.feed import Feed, FeedDocument, ServedDocument

pytestmark = pytest.mark.anyio

OLD = """\
[feeds.radio]
title = "电台"
window = 20
[feeds.topics]
each = "section"
title = "{name}"
window = 20
"""
NEW = """\
[feeds.podcast]
title = "电台"
window = 20
formerly = ["radio"]
[feeds.tags]
each = "section"
title = "{name}"
window = 20
formerly = ["topics"]
"""
AGENT = b"Feedly/1.0 (+http://www.feedly.com/fetcher.html; 42 subscribers; like FeedFetcher-Google)"


@pytest.fixture
def press(empty_database_url: str, tmp_path: Path) -> Press:
    press = Press(tmp_path, empty_database_url)
    press.configure(OLD)
    return press


async def walk(app: App, feed: str) -> dict[str, str]:
    """Titles by guid of all that a reader finds that starts at a feed's address."""
    async with app.database.read() as session:
        here = (col(FeedDocument.feed) == feed, col(FeedDocument.format) == "json")
        body = await session.scalar(select(col(FeedDocument.body)).where(*here))
    assert body is not None
    document, found = json.loads(body), dict[str, str]()
    assert unquote(urlsplit(document["feed_url"]).path) == f"/feeds/{feed}/feed.json"
    while True:
        found |= {item["id"]: item["title"] for item in document["items"]}
        if "next_url" not in document:
            return found
        path = unquote(urlsplit(document["next_url"]).path).removeprefix("/")
        assert path.startswith(f"feeds/{feed}/archive/")
        page = await app.pipeline.open_page(path)
        if isinstance(page, str):  # it has a newer version
            page = await app.pipeline.open_page(page)
        assert isinstance(page, ServedDocument)
        document = json.loads(page.body)


async def versions(app: App) -> dict[tuple[str, str], tuple[int, datetime]]:
    async with app.database.read() as session:
        rows = await session.scalars(select(FeedDocument))
        return {(one.feed, one.format): (one.version, one.last_modified) for one in rows}


async def guids(app: App) -> dict[str, str]:
    async with app.database.read() as session:
        return dict((await session.execute(select(col(Feed.key), col(Feed.guid)))).fetchall())


async def fetch(app: App, feed: str) -> None:
    """Have a hosted reader ask for a feed."""
    counts = ReaderCounts(b"k" * 32)
    counts.note(feed, AGENT, b"192.0.2.1", False)
    async with app.database.write() as session:
        await save_counts(session, counts, app.clock())


async def test_a_renamed_feed_goes_on_under_its_new_name(press: Press) -> None:
    names = {"radio": "podcast", "topics/城市": "tags/城市"}
    async with press.open() as app:
        for number in range(60):
            press.write(f"{number:02}.md", f"文章 {number}", section="城市")
        await press.publish(app)
        press.write("new.md", "最新", section="城市")
        await press.publish(app)
        await fetch(app, "radio")
        histories = {feed: await walk(app, feed) for feed in names}
        before, identities = await versions(app), await guids(app)
    assert {len(history) for history in histories.values()} == {61}
    press.configure(NEW)
    async with press.open() as app:
        await press.publish(app)
        assert {feed: await walk(app, names[feed]) for feed in names} == histories
        after = await versions(app)
        assert set(after) == {(names[feed], one) for feed, one in before}
        for (feed, one), (version, last_modified) in before.items():
            assert after[names[feed], one][0] == version + 1
            assert after[names[feed], one][1] > last_modified
        now = await guids(app)
        assert {feed: now[names[feed]] for feed in names} == {
            feed: identities[feed] for feed in names
        }
        async with app.database.read() as session:
            assert (await load_counts(session, app.clock()))["podcast"].total == 42
        # What an old address of a page leads to, as the web says it (301), is there.
        page = await app.pipeline.open_page("feeds/podcast/archive/1-1/atom.xml")
        assert isinstance(page, ServedDocument)
        assert len(feedparser.parse(page.body).entries) == 20
        await app.pipeline.prune()
        assert set(await versions(app)) == set(after)
    press.configure(OLD.replace("[feeds.topics]", 'formerly = ["podcast"]\n[feeds.topics]'))
    async with press.open() as app:
        await press.publish(app)
        assert await walk(app, "radio") == histories["radio"]
        assert (await versions(app))["radio", "rss"][0] == before["radio", "rss"][0] + 2
        assert (await guids(app))["radio"] == identities["radio"]


async def test_an_article_that_changes_while_a_feed_is_renamed_changes_on_its_pages(
    press: Press,
) -> None:
    async with press.open() as app:
        for number in range(60):
            press.write(f"{number:02}.md", f"文章 {number}", section="城市")
        await press.publish(app)
    press.configure(NEW)
    async with press.open() as app:
        press.write("00.md", "更正", section="城市")
        (press.articles / "01.md").unlink()
        await press.publish(app)
        for feed in ("podcast", "tags/城市"):
            found = set((await walk(app, feed)).values())
            assert "更正" in found
            assert not {"文章 0", "文章 1"} & found
            assert len(found) == 59


async def test_the_feed_of_a_section_without_articles_keeps_answering(press: Press) -> None:
    async with press.open() as app:
        press.write("a.md", "甲", section="城市")
        press.write("b.md", "乙", section="体育")
        await press.publish(app)
        (press.articles / "a.md").unlink()
        await press.publish(app)
        await app.pipeline.prune()
        assert ("topics/城市", "rss") in await versions(app)
        assert await walk(app, "topics/城市") == {}
