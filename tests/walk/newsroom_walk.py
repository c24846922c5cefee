"""A walk that tests can take step by step: the product's own parts, and values for time."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2
from aiosmtpd.smtp import SMTP

from feedsvc.app import App
from feedsvc.config_file import load_settings
from feedsvc.web.application import create_application
from feedsvc.web.feeds.cache import FeedCache
from feedsvc.web.services import WebServices

BASE_URL = "http://127.0.0.1:8000"
CONFIG = """\
base_url = "{base_url}"
title = "例子新闻"
language = "zh-CN"
time_zone = "Asia/Shanghai"
[database]
url = "{database}"
[sources.folder]
type = "folder"
path = "articles"
[feeds.all]
title = "全部文章"
[newsletters.daily]
title = "每日新闻"
from = "例子新闻 <news@example.com>"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.daily.schedules.morning]
label = "每天早上"
cron = "0 8 * * *"
[sending]
first_retry_seconds = 300
[relay]
type = "smtp"
host = "127.0.0.1"
port = {port}
tls = "none"
connections = 4
"""


class Inbox:
    """A real SMTP server (aiosmtpd); answers can be scripted by recipient."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, EmailMessage]] = []
        #: Recipient -> replies to its RCPT, one an attempt; after them it is accepted.
        self.replies: dict[str, list[str]] = {}
        self.attempts: list[str] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True), "127.0.0.1", 0
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        self.attempts.append(address)
        if self.replies.get(address):
            return self.replies[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append((envelope.rcpt_tos[0], message))
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        """What one address has got, oldest first."""
        return [message for recipient, message in self.messages if recipient == address]


class Walk:
    """feedsvc without its clock: time is a value, and each step is asked for."""

    def __init__(self, folder: Path, database_url: str, smtp_port: int, start: datetime) -> None:
        self.folder, self.now = folder, start
        self.articles = folder / "articles"
        self.articles.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(
            CONFIG.format(base_url=BASE_URL, database=database_url, port=smtp_port),
            encoding="utf-8",
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Walk"]:
        """Open the application, its web and its sender on the walk's database."""
        cache = FeedCache()
        loaded = load_settings(self.folder / "config.toml", {}, self.folder)
        async with AsyncExitStack() as stack:
            self.app = await stack.enter_async_context(
                App.open(loaded, clock=lambda: self.now, serve=cache.take)
            )
            await stack.enter_async_context(self.app.sending())
            application = create_application(
                WebServices(
                    database=self.app.database,
                    settings=self.app.settings,
                    templates=self.app.templates,
                    keyring=self.app.keyring,
                    feeds=cache.endpoint,
                    clock=self.app.clock,
                    poke=lambda: None,
                )
            )
            self.web = await stack.enter_async_context(
                httpx2.AsyncClient(
                    transport=httpx2.ASGITransport(app=application), base_url=BASE_URL
                )
            )
            yield self

    def write(self, name: str, title: str, body: str = "正文第一句。第二句。", **more: str) -> None:
        """Put an article into the folder."""
        front = "".join(f"{key}: {value}\n" for key, value in more.items())
        path = self.articles / name
        path.write_text(f"---\ntitle: {title}\n{front}---\n\n{body}\n", encoding="utf-8")
        os.utime(path, (self.now.timestamp(), self.now.timestamp()))

    async def ingest(self) -> None:
        """Look at the folder, and publish what is due; at most one publication a second."""
        self.now += timedelta(seconds=2)
        await self.app.pipeline.ingest("folder")
        await self.app.pipeline.publish()

    async def subscribe(self, address: str, inbox: Inbox, **form: str) -> None:
        """Ask on the site, and confirm by the link in the mail."""
        page = await self.web.post(
            "/subscribe/daily",
            data={"address": address, "schedule": "morning", "language": "zh", **form},
        )
        assert page.status_code == 200, page.text
        await self.send()
        body = inbox.to(address)[-1].get_body(("plain",))
        assert body is not None
        link = re.search(rf"{BASE_URL}(/confirm/\S+)", body.get_content())
        assert link is not None
        assert (await self.web.get(link[1])).status_code == 200
        assert (await self.web.post(link[1])).status_code == 200

    async def send(self) -> None:
        """Do what the sweep of a second does: fire, compose, and send what is due."""
        pipeline = self.app.pipeline
        for edition_id in await pipeline.fire():
            await pipeline.compose(edition_id)
        await pipeline.deliver()

    async def next_morning(self) -> None:
        """Turn the clock to 08:00 in Shanghai, and send."""
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.now = midnight + timedelta(days=1)
        await self.send()
