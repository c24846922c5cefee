"""A publisher with an embedded hub, a subscriber that is a real server, and a clock to turn."""

import gzip
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from http_sink import Answer, Asked, HttpSink
from sqlalchemy import select
from sqlmodel import col

from feedsvc.config import Settings
from feedsvc.db.engine import Database
from feedsvc.kit.fetch import Fetcher, Resolve
from feedsvc.kit.jobs_memory import MemoryJobs
from feedsvc.kit.templating import Templates
from feedsvc.kit.tokens import Keyring
from feedsvc.model.feed import (
    MEDIA_TYPES,
    FeedDocument,
    FeedFormat,
    ServedDocument,
    document_path,
    document_url,
)
from feedsvc.model.hub import HubPing, HubSubscription
from feedsvc.pipeline.distribution import Distribution
from feedsvc.web import hub
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.services import WebServices

BASE_URL = "https://news.example.com"
START = datetime(2026, 11, 22, 0, 0, 0, tzinfo=UTC)
TEMPLATES = Templates(None)
FEEDS = {
    "all": {"title": "全部文章", "formerly": ["news"]},
    "topics": {"title": "{name}", "each": "topic"},
    "quiet": {"title": "Quiet", "websub": False},
}


class Reader(HttpSink):
    """A feed reader that subscribes: confirms what it is asked, and takes what it is sent."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        #: What is answered to deliveries, one each; after them 200.
        self.replies: list[Answer] = []
        #: What is answered to questions in place of the challenge.
        self.doubt: Answer | None = None

    def callback(self, path: str = "/callback") -> str:
        return f"{self.url}{path}"

    @property
    def questions(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "GET"]

    @property
    def deliveries(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "POST"]

    def _reply(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            return self.replies.pop(0) if self.replies else Answer()
        return self.doubt or Answer(200, asked.query.get("hub.challenge", "").encode())


@dataclass
class HubHouse:
    """The publisher, in the words of these tests."""

    database: Database
    settings: Settings
    folder: Path
    reader: Reader
    resolve: Resolve | None = None
    now: datetime = START
    client: httpx2.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.start_process()
        application = FastAPI()  # with the hub's address alone: quicker to make
        application.include_router(hub.router)
        application.state.services = WebServices(
            database=self.database,
            settings=self.settings,
            templates=TEMPLATES,
            keyring=Keyring.open(self.folder / "keys.json"),
            feeds=FeedEndpoint(),
            clock=lambda: self.now,
            poke=lambda: None,
        )
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=application), base_url=BASE_URL
        )

    def start_process(self) -> None:
        """Begin with nothing in memory, as after a kill."""
        self.jobs = MemoryJobs()
        self.fetcher = Fetcher(allow=self.settings.websub.private_hosts, resolve=self.resolve)
        self.distribution = Distribution(
            database=self.database,
            fetcher=self.fetcher,
            jobs=self.jobs,
            clock=lambda: self.now,
            settings=self.settings,
        )

    async def publish(
        self, body: str, feed: str = "all", feed_format: FeedFormat = FeedFormat.RSS
    ) -> ServedDocument:
        """Store a new version, as the walk does before it serves and announces it."""
        data = body.encode()
        values = {
            "etag": hashlib.sha256(data).hexdigest()[:32],
            "last_modified": self.now,
            "body": data,
            "body_gzip": gzip.compress(data),
        }
        async with self.database.write() as session:
            found = await session.get(FeedDocument, (feed, feed_format.value))
            if found is None:
                session.add(FeedDocument(feed=feed, format=feed_format.value, **values))
            else:
                for name, value in values.items():
                    setattr(found, name, value)
        return ServedDocument(
            path=document_path(feed, feed_format),
            media_type=MEDIA_TYPES[feed_format],
            feed=feed,
            url=self.topic(feed, feed_format),
            **values,
        )

    async def announce(self, body: str, **which: Any) -> None:
        """Publish a version, and have everybody told of it."""
        await self.distribution.announce([await self.publish(body, **which)])
        await self.settle()

    async def settle(self, after: timedelta = timedelta(seconds=2)) -> None:
        """Let time pass, and do what is due."""
        self.now += after
        await self.distribution.sweep()
        await self.jobs.drain()

    def topic(self, feed: str = "all", feed_format: FeedFormat = FeedFormat.RSS) -> str:
        return document_url(BASE_URL, feed, feed_format)

    async def ask(self, mode: str = "subscribe", **changed: str | None) -> httpx2.Response:
        """Send the hub a request; None leaves a parameter out."""
        form: Mapping[str, str | None] = {
            "hub.mode": mode,
            "hub.topic": self.topic(),
            "hub.callback": self.reader.callback(),
            **{f"hub.{name}": value for name, value in changed.items()},
        }
        given = {name: value for name, value in form.items() if value is not None}
        return await self.client.post("/hub", data=given)

    async def subscribe(self, **changed: str | None) -> None:
        """Ask, and be asked back."""
        assert (await self.ask(**changed)).status_code == 202
        await self.settle()

    async def rows(self) -> list[HubSubscription]:
        async with self.database.read() as session:
            found = await session.execute(select(HubSubscription).order_by(col(HubSubscription.id)))
            return list(found.scalars())

    async def pings(self) -> list[HubPing]:
        async with self.database.read() as session:
            found = await session.execute(select(HubPing).order_by(col(HubPing.topic)))
            return list(found.scalars())


@asynccontextmanager
async def open_house(
    database: Database, folder: Path, resolve: Resolve | None = None, **websub: Any
) -> AsyncIterator[HubHouse]:
    """The publisher with one published feed; `websub` changes its settings."""
    reader = Reader()
    await reader.start()
    settings = Settings.model_validate(
        {
            "base_url": BASE_URL,
            "feeds": FEEDS,
            "websub": {"private_hosts": [reader.host], **websub},
        }
    )
    house = HubHouse(database, settings, folder, reader, resolve)
    await house.publish("<rss>first</rss>")
    yield house
    await house.client.aclose()
    await house.fetcher.close()
    await reader.stop()
