"""A real `feedsvc serve`, watched from outside: how soon things happen, and how it ends.

The tests share one newsroom and go in their order: each finds the server at work, and leaves it so.
"""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import feedparser
import pytest

from feedsvc.app import App, utc_now
from feedsvc.audience.subscriptions import add_confirmed
from feedsvc.config_file import load_settings
from feedsvc.editions.fire import fire_by_hand
from feedsvc.editions.registry import find_newsletter
from feedsvc.kit.addresses import parse_address

pytestmark = pytest.mark.fault
READERS = 600
CONNECTIONS = 4
#: From the writing of a file to its article in the feeds.
FEED_SECONDS = 5.0
#: From a digest's due time to its first mail.
DIGEST_SECONDS = 1.0
#: Until a server that is asked to end has ended.
END_SECONDS = 10.0
CONFIG = f"""\
title = "例子新闻"
[server]
port = 0
[sources.folder]
type = "folder"
path = "articles"
[feeds.all]
title = "全部文章"
[newsletters.daily]
title = "每日新闻"
from = "news@example.com"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.daily.schedules.minutely]
label = "每分钟"
cron = "* * * * *"
[relay]
type = "eml_folder"
path = "outbox"
connections = {CONNECTIONS}
"""


class Service:
    """A newsroom's folder, and the server that works there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
        (folder / "articles").mkdir()
        self.loaded = load_settings(folder / "config.toml", {}, folder)

    def start(self) -> None:
        """Start the server, and wait until it says on which port it serves."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith("FEEDSVC_")}
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "feedsvc", "serve"],
                cwd=self.folder,
                env=ours | {"PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        watch = threading.Timer(30, self.process.kill)
        watch.start()
        port = re.search(r" on port (\d+) ", self.process.stdout.readline())
        watch.cancel()
        assert port is not None, self.log()
        self.url = f"http://127.0.0.1:{port[1]}"

    def end(self, number: int) -> int:
        """Send a signal, and wait for the end; the exit code."""
        self.process.send_signal(number)
        _, _ = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode

    def log(self) -> str:
        """All that the servers have logged."""
        return (self.folder / "log.txt").read_text("utf-8")

    def write(self, name: str, title: str) -> None:
        """Put an article into the folder."""
        text = f"---\ntitle: {title}\n---\n\n正文第一句。\n"
        (self.folder / "articles" / name).write_text(text, encoding="utf-8")

    def titles(self) -> set[str]:
        """What a feed reader sees."""
        with urllib.request.urlopen(f"{self.url}/feeds/all/rss.xml", timeout=5) as answer:
            parsed = feedparser.parse(answer.read())
        assert not parsed.bozo
        return {entry.title for entry in parsed.entries}

    def mails(self) -> list[Path]:
        """The mails that have gone out."""
        return list((self.folder / "outbox").glob("*.eml"))

    def newest_mail(self) -> str:
        """The text of the mail that went out last, or nothing."""
        mails = self.mails()
        return read_text(max(mails, key=lambda mail: mail.stat().st_mtime)) if mails else ""

    def mails_with(self, title: str) -> list[Path]:
        """The mails in which an article is."""
        return [mail for mail in self.mails() if title in read_text(mail)]

    def readers_of(self, title: str) -> Counter[str]:
        """How many mails with an article each address has got."""
        return Counter(read_mail(mail)["Delivered-To"] for mail in self.mails_with(title))

    def count(self, condition: str) -> int:
        """How many deliveries there are of which the condition holds."""
        with closing(sqlite3.connect(self.folder / "data" / "feedsvc.db", timeout=30)) as database:
            rows = database.execute(f"SELECT count(*) FROM delivery WHERE {condition}")  # noqa: S608
            (count,) = rows.fetchone()
            return int(count)

    def everything_ended(self) -> bool:
        """Whether no edition is on its way."""
        with closing(sqlite3.connect(self.folder / "data" / "feedsvc.db", timeout=30)) as database:
            states = {row[0] for row in database.execute("SELECT state FROM edition")}
        return states <= {"done", "skipped"}

    async def subscribe_everybody(self) -> None:
        """Subscribe all readers, before the server starts."""
        async with App.open(self.loaded) as app:
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

    async def order_edition(self) -> None:
        """Have an edition made now, by whoever is at work."""
        async with App.open(self.loaded) as app, app.database.write() as session:
            row = await find_newsletter(session, "daily")
            await fire_by_hand(session, row.newsletter, utc_now())

    def interrupt_a_send(self, title: str, number: int) -> int:
        """Send a signal when a new article's mail has begun to go out; the exit code."""
        self.write(f"{title}.md", title)
        wait_until(lambda: title in self.titles(), FEED_SECONDS)
        before = len(self.mails())
        asyncio.run(self.order_edition())
        wait_until(lambda: len(self.mails()) >= before + 20, 20, every=0.002)
        return self.end(number)


def read_mail(path: Path) -> EmailMessage:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def read_text(path: Path) -> str:
    """The plain text of a mail, or nothing where it is not whole yet."""
    body = read_mail(path).get_body(("plain",))
    return body.get_content() if body is not None else ""


def wait_until(condition: Callable[[], bool], limit_seconds: float, every: float = 0.05) -> float:
    """Look until it is so; the seconds it took."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < limit_seconds, f"not within {limit_seconds} s"
        threading.Event().wait(every)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server with readers, and no article yet."""
    service = Service(tmp_path_factory.mktemp("live"))
    asyncio.run(service.subscribe_everybody())
    service.start()
    yield service
    if service.process.poll() is None:
        service.process.kill()
        service.process.communicate()
    assert "Traceback" not in service.log()


def test_a_new_file_is_in_the_feed_within_seconds(service: Service) -> None:
    service.write("night.md", "夜市回来了")
    waited = wait_until(lambda: "夜市回来了" in service.titles(), FEED_SECONDS)
    print(f"new file in the feed after {waited:.2f} s")


def test_a_changed_file_is_in_the_feed_within_seconds(service: Service) -> None:
    service.write("night.md", "夜市又回来了")
    waited = wait_until(lambda: service.titles() == {"夜市又回来了"}, FEED_SECONDS)
    print(f"changed file in the feed after {waited:.2f} s")


def test_a_digest_leaves_within_a_second_of_its_due_time(service: Service) -> None:
    # An article of its own: the first digest may have been due while the server was starting.
    title = "准点的一篇"
    service.write("on_time.md", title)
    wait_until(lambda: title in service.titles(), FEED_SECONDS)
    wait_until(lambda: title in service.newest_mail(), 65, every=0.5)
    wait_until(service.everything_ended, 30)
    written = sorted(mail.stat().st_mtime for mail in service.mails_with(title))
    due_at = datetime.fromtimestamp(written[0], UTC).replace(second=0, microsecond=0)
    with closing(sqlite3.connect(service.folder / "data" / "feedsvc.db")) as database:
        ((planned,),) = database.execute(
            "SELECT max(wave.due_at) FROM wave JOIN delivery USING (edition_id)"
        )
    assert datetime.fromisoformat(planned).replace(tzinfo=UTC) == due_at
    late = written[0] - due_at.timestamp()
    print(
        f"first mail {late:.3f} s after its time, all {READERS} in {written[-1] - written[0]:.2f} s"
    )
    assert 0 <= late < DIGEST_SECONDS, service.log()
    got = service.readers_of(title)
    assert len(got) == READERS
    assert set(got.values()) == {1}


def test_asked_to_end_amid_a_send_it_ends_at_once_and_leaves_nothing_claimed(
    service: Service,
) -> None:
    began = time.monotonic()
    assert service.interrupt_a_send("第二篇", signal.SIGTERM) == 0, service.log()
    print(f"written, ordered, asked and ended in {time.monotonic() - began:.2f} s")
    assert service.count("state IN ('claimed', 'dot', 'uncertain')") == 0
    sent = service.readers_of("第二篇")
    assert 0 < len(sent) < READERS, "it was asked too late to show anything"
    assert service.count("state = 'sent'") == READERS + len(sent)

    service.start()
    wait_until(service.everything_ended, 30)
    got = service.readers_of("第二篇")
    assert len(got) == READERS
    assert set(got.values()) == {1}


def test_after_a_kill_amid_a_send_the_next_server_goes_on(service: Service) -> None:
    assert service.interrupt_a_send("第三篇", signal.SIGKILL) == -signal.SIGKILL
    assert len(service.readers_of("第三篇")) < READERS, "it was killed too late to show anything"

    service.start()
    assert "第三篇" in service.titles()
    wait_until(service.everything_ended, 30)
    doubtful = service.count("state = 'uncertain'")
    assert doubtful <= CONNECTIONS
    got = service.readers_of("第三篇")
    assert set(got.values()) == {1}
    assert len(got) >= READERS - doubtful
    assert service.end(signal.SIGTERM) == 0
