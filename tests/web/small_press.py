"""A small press with a web site, and how readers and subscribers use it."""

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import html5lib
import httpx2
from sqlalchemy import select
from sqlmodel import col
from starlette.types import ASGIApp

from feedsvc.config import Settings
from feedsvc.db.engine import Database
from feedsvc.kit.templating import Templates
from feedsvc.kit.tokens import Keyring, Scope
from feedsvc.model import metadata
from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.edition import Cohort, Edition
from feedsvc.model.feed import FeedFormat, ServedDocument, document_path
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.notice import Notice
from feedsvc.model.subscriber import Subscriber, Subscription
from feedsvc.web.application import create_application
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.policy import ServingPolicy
from feedsvc.web.services import WebServices

NOW = datetime(2026, 11, 22, 0, 0, 0, tzinfo=UTC)
BASE_URL = "https://news.example.com"
#: Compiled once for all tests.
TEMPLATES = Templates(None)
XHTML = "{http://www.w3.org/1999/xhtml}"

_SCHEDULES = {
    "morning": {"label": "每天早上", "cron": "0 8 * * *"},
    "weekly": {"label": "每周一", "cron": "0 8 * * 1"},
}
_NEWSLETTER: dict[str, Any] = {
    "from": "晨报 <news@news.example.com>",
    "sender": "示例报社",
    "postal_address": "上海市示例路 1 号",
    "schedules": _SCHEDULES,
}
SETTINGS: dict[str, Any] = {
    "base_url": BASE_URL,
    "title": "示例日报",
    "language": "en",
    "time_zone": "Asia/Shanghai",
    "feeds": {
        "all": {"title": "全部文章", "description": "所有栏目", "language": "zh"},
        "tech": {"title": "Technology", "formats": ["atom"]},
    },
    "newsletters": {
        "daily": {**_NEWSLETTER, "title": "晨报", "description": "每天的新文章", "language": "zh"},
        "weekly": {**_NEWSLETTER, "title": "Weekly & more", "language": "en"},
        "board": {**_NEWSLETTER, "title": "Board papers", "public": False},
    },
}


@dataclass
class SmallPress:
    """The press, in the words of these tests."""

    database: Database
    keyring: Keyring
    application: ASGIApp
    now: datetime = NOW
    pokes: int = 0
    client: httpx2.AsyncClient = field(default=None)  # type: ignore[assignment]

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.get(path, headers=headers)

    async def ask(
        self, address: str = "alice@example.com", newsletter: str = "daily", **fields: str
    ) -> httpx2.Response:
        form = {"address": address, "name": "", "schedule": "morning", "language": "zh", **fields}
        return await self.client.post(f"/subscribe/{newsletter}", data=form)

    async def subscribe(self, address: str = "alice@example.com") -> Subscription:
        """Somebody asks and confirms."""
        await self.ask(address)
        response = await self.client.post(await self.confirmation_path())
        assert response.status_code == 200
        return (await self.subscriptions())[-1]

    async def confirmation_path(self) -> str:
        """The newest confirmation link."""
        async with self.database.read() as session:
            rows = await session.execute(select(Notice).order_by(col(Notice.id).desc()))
            notice = rows.scalars().first()
        assert notice is not None
        numbers = (notice.subscription_id or 0, notice.payload["requested_at"])
        return f"/confirm/{self.keyring.sign(Scope.CONFIRM, *numbers)}"

    def unsubscribe_path(self, subscription: Subscription) -> str:
        return f"/unsubscribe/{self.keyring.sign(Scope.UNSUBSCRIBE, subscription.id or 0)}"

    async def subscriptions(self) -> list[Subscription]:
        async with self.database.read() as session:
            rows = await session.execute(select(Subscription).order_by(col(Subscription.id)))
            return list(rows.scalars())

    async def subscribers(self) -> list[Subscriber]:
        async with self.database.read() as session:
            rows = await session.execute(select(Subscriber).order_by(col(Subscriber.id)))
            return list(rows.scalars())

    async def add_article(self, slug: str, **values: Any) -> Article:
        async with self.database.write() as session:
            counter = await session.get_one(Counter, "seq")
            counter.value += 1
            article = Article(**{**article_values(slug, counter.value), **values})
            session.add(article)
            return article

    async def add_cohort(self, page: str) -> int:
        async with self.database.write() as session:
            edition = Edition(newsletter_id=1, period="2026-11-22", created_at=NOW)
            session.add(edition)
            await session.flush()
            cohort = Cohort(
                edition_id=edition.id or 0,
                content_key="c",
                language="zh",
                theme="plain",
                subject="s",
                html="h",
                text="t",
                page=page,
            )
            session.add(cohort)
            await session.flush()
            return cohort.id or 0

    async def dump(self) -> str:
        """Every row of every table."""
        async with self.database.read() as session:
            return json.dumps(
                {
                    table.name: [
                        [str(value) for value in row]
                        for row in (
                            await session.execute(select(table).order_by(*table.primary_key))
                        ).all()
                    ]
                    for table in metadata.sorted_tables
                }
            )


def article_values(slug: str, seq: int) -> dict[str, Any]:
    return {
        "source": "folder",
        "source_key": f"{slug}.md",
        "fingerprint": "f" * 64,
        "seq": seq,
        "guid": f"urn:{slug}",
        "slug": slug,
        "title": f"Title of {slug}",
        "language": "en",
        "published_at": NOW - timedelta(days=1),
        "updated_at": NOW - timedelta(days=1),
        "content": "<p>Some <em>words</em>.</p>",
        "summary": "Some words.",
        "content_hash": "h" * 64,
        "state": ArticleState.PUBLISHED,
        "stored_at": NOW,
    }


async def open_press(database: Database, folder: Path, **changed: Any) -> SmallPress:
    """The press with the settings above, changed as told, and the rows that follow from them."""
    settings = Settings.model_validate({**SETTINGS, **changed})
    keyring = Keyring.open(folder / "keys.json")
    press = SmallPress(database, keyring, application=None)  # type: ignore[arg-type]

    def poke() -> None:
        press.pokes += 1

    press.application = create_application(
        WebServices(
            database=database,
            settings=settings,
            templates=TEMPLATES,
            keyring=keyring,
            feeds=FeedEndpoint([_document()], ServingPolicy.of(settings)),
            clock=lambda: press.now,
            poke=poke,
        )
    )
    async with database.write() as session:
        session.add(Counter(name="seq", value=0))
        for key, one in settings.newsletters.items():
            newsletter = Newsletter(
                key=key,
                title=one.title,
                language=one.language or settings.language,
                from_name="News",
                from_address="news@news.example.com",
                sender=one.sender,
                postal_address=one.postal_address,
                public=one.public,
            )
            session.add(newsletter)
            await session.flush()
            for name, schedule in one.schedules.items():
                session.add(
                    Schedule(
                        newsletter_id=newsletter.id or 0,
                        key=name,
                        label=schedule.label,
                        cron=schedule.cron or "",
                        zone=settings.time_zone,
                        since=NOW,
                    )
                )
    return press


def _document() -> ServedDocument:
    return ServedDocument(
        path=document_path("all", FeedFormat.RSS),
        media_type="application/rss+xml",
        etag="e",
        last_modified=NOW,
        body=b"<rss/>",
        body_gzip=gzip.compress(b"<rss/>"),
    )


def parse(response: httpx2.Response) -> Any:
    """The page as a browser reads it; any mistake in the HTML fails the test."""
    return html5lib.HTMLParser(strict=True).parse(response.text)


def links(response: httpx2.Response) -> list[str]:
    return [a.get("href") for a in parse(response).iter(f"{XHTML}a")]


def words(response: httpx2.Response) -> str:
    """The text of the page's main part."""
    (main,) = parse(response).iter(f"{XHTML}main")
    return " ".join("".join(main.itertext()).split())
