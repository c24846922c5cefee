"""A publisher that tests can take step by step: real files, feeds, folders; values for time."""

import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
from sqlalchemy import text

from feedsvc.app import App
from feedsvc.config_file import load_settings
from feedsvc.db.engine import Database
from feedsvc.feeds.documents.store import load_document
from feedsvc.model.feed import FeedFormat, ServedDocument

HEAD = """\
base_url = "http://127.0.0.1:8000"
title = "例子新闻"
language = "zh-CN"
time_zone = "Asia/Shanghai"
[database]
url = "{database}"
[sources.folder]
type = "folder"
path = "articles"
[relay]
type = "eml_folder"
path = "outbox"
"""
FEEDS = """\
[feeds.all]
title = "全部文章"
[feeds.city]
title = "City"
sections = ["City"]
"""
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Press:
    """A newsroom's folder, and processes that publish what lies there."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.now = folder, START
        self._database_url = database_url
        #: What has been handed to the web, and which feeds it was told to forget pages of.
        self.served: list[ServedDocument] = []
        self.dropped: list[str] = []
        self.articles = folder / "articles"
        self.articles.mkdir(exist_ok=True)
        self.configure(FEEDS)

    def configure(self, feeds: str) -> None:
        """Write the configuration that the next process reads."""
        head = HEAD.format(database=self._database_url)
        (self.folder / "config.toml").write_text(head + feeds, encoding="utf-8")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[App]:
        """A process that does nothing by itself."""
        loaded = load_settings(self.folder / "config.toml", {}, self.folder)
        async with App.open(
            loaded,
            clock=lambda: self.now,
            serve=self.served.extend,
            drop_pages=self._drop,
            check_templates=False,
        ) as app:
            yield app

    def _drop(self, feeds: Collection[str]) -> None:
        self.dropped.extend(feeds)

    def write(self, name: str, title: str, section: str = "City") -> None:
        """Put an article into the folder."""
        path = self.articles / name
        front = f"---\ntitle: {title}\nsection: {section}\n---\n\n"
        path.write_text(f"{front}{title}：正文第一句。\n", encoding="utf-8")
        os.utime(path, (self.now.timestamp(), self.now.timestamp()))

    async def take_in(self, app: App, seconds: int = 2) -> None:
        """Look at the folder, some seconds later."""
        self.now += timedelta(seconds=seconds)
        await app.pipeline.ingest("folder")

    async def publish(self, app: App) -> list[str]:
        """Look at the folder and publish; paths of the documents that this changed."""
        await self.take_in(app)
        return sorted(one.path for one in await app.pipeline.publish())

    async def run(self, app: App, seconds: int = 2, times: int = 1) -> None:
        """Do what the clock of a process does: sweep, and work off what that asked for."""
        for _ in range(times):
            self.now += timedelta(seconds=seconds)
            await app.pipeline.sweep()
            await app.jobs.drain()


async def titles(app: App, feed: str, feed_format: FeedFormat = FeedFormat.ATOM) -> list[str]:
    """What a feed's stored document holds, sorted; of a feed without one, nothing."""
    async with app.database.read() as session:
        document = await load_document(session, feed, feed_format)
    if document is None:
        return []
    parsed = feedparser.parse(document.body)
    assert not parsed.bozo
    return sorted(entry.title for entry in parsed.entries)


async def break_feed(database: Database, key: str) -> None:
    """Have the database refuse a feed's documents."""
    assert key.isalnum()
    if database.kind == "sqlite":
        statements = [
            f"CREATE TRIGGER no_{act} BEFORE {act} ON feed_document WHEN NEW.feed = '{key}'"
            " BEGIN SELECT RAISE(ABORT, 'out of ink'); END"
            for act in ("INSERT", "UPDATE")
        ]
    else:
        statements = [
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'out of ink'; END $$",
            "CREATE TRIGGER no_change BEFORE INSERT OR UPDATE ON feed_document FOR EACH ROW"
            f" WHEN (NEW.feed = '{key}') EXECUTE FUNCTION refuse()",
        ]
    async with database.write() as session:
        for statement in statements:
            await session.execute(text(statement))


async def mend_feed(database: Database) -> None:
    """Undo that."""
    statements = ["DROP TRIGGER no_change ON feed_document"]
    if database.kind == "sqlite":
        statements = ["DROP TRIGGER no_INSERT", "DROP TRIGGER no_UPDATE"]
    async with database.write() as session:
        for statement in statements:
            await session.execute(text(statement))
