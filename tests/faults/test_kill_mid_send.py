"""`kill -9` in the middle of a send: nobody is lost, and nobody gets a mail twice."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from battery import Figures
from smtp_sink import SmtpSink, open_sink
from sqlalchemy import select
from sqlmodel import col

from feedsvc.app import App, utc_now
from feedsvc.audience.subscriptions import add_confirmed
from feedsvc.config_file import LoadedSettings, load_settings
from feedsvc.db.engine import Database
from feedsvc.editions.registry import find_newsletter
from feedsvc.kit.addresses import parse_address
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import OPEN_EDITIONS, Edition
from feedsvc.model.subscriber import Subscriber

pytestmark = [pytest.mark.anyio, pytest.mark.fault]
READERS = 200
CONNECTIONS = 8
KILLED_AFTER = 60
CONFIG = """\
title = "例子新闻"
[server]
port = 0
[database]
url = "{database}"
[sources.folder]
type = "folder"
path = "articles"
[newsletters.daily]
title = "每日新闻"
from = "news@example.com"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.daily.schedules.yearly]
label = "New Year"
cron = "0 0 1 1 *"
[sending]
heartbeat_timeout_seconds = 2
[relay]
type = "smtp"
host = "127.0.0.1"
port = {port}
tls = "none"
connections = {connections}
"""


@asynccontextmanager
async def running(folder: Path, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A feedsvc process of its own; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "feedsvc",
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if not key.startswith("FEEDSVC_")},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def when_accepted(sink: SmtpSink, count: int) -> asyncio.Event:
    """Set once the sink has taken so many messages."""
    reached = asyncio.Event()
    sink.at_rcpt = lambda _: reached.set() if len(sink.accepted) >= count else None
    return reached


async def edition_ended(database: Database, number: int) -> None:
    """Wait until the n-th edition has ended."""
    while True:
        async with database.read() as session:
            states = (
                (await session.execute(select(col(Edition.state)).order_by(col(Edition.id))))
                .scalars()
                .all()
            )
        if len(states) >= number and states[number - 1] not in OPEN_EDITIONS:
            return
        await asyncio.sleep(0.05)


async def publish_article(loaded: LoadedSettings, name: str) -> None:
    (loaded.base / "articles" / name).write_text(f"---\ntitle: {name}\n---\n正文。", "utf-8")
    async with App.open(loaded) as app:
        await app.pipeline.ingest("folder")
        await app.pipeline.publish()


@pytest.fixture
async def loaded(empty_database_url: str, tmp_path: Path) -> LoadedSettings:
    """A newsroom with 200 readers on an empty database; its relay's port is filled in later."""
    (tmp_path / "articles").mkdir()
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(database=empty_database_url, port=1, connections=CONNECTIONS))
    loaded = load_settings(config, {}, tmp_path)
    async with App.open(loaded) as app:
        await app.pipeline.ingest("folder")
        async with app.database.write() as session:
            row = await find_newsletter(session, "daily")
            for number in range(READERS):
                await add_confirmed(
                    session,
                    newsletter=row.newsletter,
                    schedule=row.schedules[0],
                    address=parse_address(f"reader{number}@example.com"),
                    name="李雷",
                    language="zh",
                    zone=None,
                    topics=(),
                    now=utc_now(),
                    consent_text="made up",
                )
    await publish_article(loaded, "first.md")
    return loaded


async def test_after_a_kill_each_reader_has_the_mail_or_is_one_of_few_in_doubt(
    loaded: LoadedSettings, figures: Figures
) -> None:
    database = Database(loaded.settings.database.url.get_secret_value(), loaded.base)
    async with open_sink() as sink:
        sink.on("DOT", "usual", delay_seconds=0.02)
        loaded.path.write_text(
            loaded.path.read_text("utf-8").replace("port = 1\n", f"port = {sink.port}\n"), "utf-8"
        )
        reached = when_accepted(sink, KILLED_AFTER)
        async with running(loaded.base, "send", "daily") as process:
            await asyncio.wait_for(reached.wait(), 60)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        first_wave = len(sink.accepted)
        assert first_wave < READERS, "it was killed too late to show anything"

        async with running(loaded.base, "serve") as process:
            await asyncio.wait_for(edition_ended(database, 1), 60)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0
        counts = Counter(sink.recipients())
        in_doubt = await uncertain_readers(database)
        assert max(counts.values()) == 1
        assert len(in_doubt) <= CONNECTIONS
        everybody = {f"reader{number}@example.com" for number in range(READERS)}
        assert everybody - set(counts) <= in_doubt

        await publish_article(loaded, "second.md")
        sink.accepted.clear()
        async with running(loaded.base, "send", "daily") as process:
            assert await asyncio.wait_for(process.wait(), 60) == 0
        assert Counter(sink.recipients()) == Counter(everybody)
        for mail in sink.accepted:
            assert ("first.md" in text_of(mail.message)) == (mail.recipient in in_doubt)
        figures(
            *("R02", "R03"),
            injected="kill -9, and then the next edition",
            kills=1,
            frozen=READERS,
            taken=sum(counts.values()),
            lost=len(everybody - set(counts) - in_doubt),
            uncertain=len(in_doubt),
            duplicates=sum(counts.values()) - len(counts),
            got_it_with_the_next=len(in_doubt),
        )
    await database.dispose()


async def uncertain_readers(database: Database) -> set[str]:
    async with database.read() as session:
        rows = await session.execute(
            select(col(Subscriber.address), col(Delivery.state))
            .join(Delivery, col(Delivery.subscriber_id) == col(Subscriber.id))
            .where(col(Delivery.state) != DeliveryState.SENT)
        )
        found = {row[0]: row[1] for row in rows.all()}
    assert set(found.values()) <= {DeliveryState.UNCERTAIN}
    return set(found)


def text_of(message: bytes) -> str:
    parsed = message_from_bytes(message, policy=policy.default)
    body = parsed.get_body(("plain",))
    assert body is not None
    return str(body.get_content())
