"""A night on which the clock changes, lived through in seconds: one edition, and one mail of it.

The service's clock is another one than the machine's, and runs 600 times as fast.
"""

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from battery import Server, hurried, run_command, wait_until
from conftest import Figures
from system_faults import skip_loudly

pytestmark = pytest.mark.fault
HURRY = 600
#: How much of the night is lived through before and after its edition is due: enough for a service
#: to start, and for the clock to come to the same hour again.
BEFORE, AFTER = timedelta(hours=1), timedelta(hours=1, minutes=20)
CONFIG = """\
title = "例子新闻"
language = "zh-CN"
time_zone = "{service_zone}"
[server]
port = 0
[sources.folder]
type = "folder"
path = "articles"
[feeds.all]
title = "全部文章"
[newsletters.nightly]
title = "夜读"
from = "夜读 <news@example.com>"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.nightly.schedules.night]
label = "每天凌晨"
cron = "{cron}"
time_zone = "{schedule_zone}"
[relay]
type = "eml_folder"
path = "outbox"
[sending]
heartbeat_timeout_seconds = 300
"""
ARTICLE = """\
---
title: {title}
date: {date}
---
凌晨的菜场刚刚开门。
"""


class Night:
    """A newsroom with one reader, on a night of the past or the future."""

    def __init__(self, folder: Path, due_at: datetime, zone: str, schedule_zone: str, cron: str):
        self.folder, self._due_at = folder, due_at
        self._began_at = due_at - BEFORE
        (folder / "articles").mkdir(parents=True)
        service_zone = "Asia/Shanghai" if schedule_zone == "subscriber" else zone
        (folder / "config.toml").write_text(
            CONFIG.format(service_zone=service_zone, schedule_zone=schedule_zone, cron=cron),
            encoding="utf-8",
        )
        evening = due_at - timedelta(hours=6)
        to_reader = ("--newsletter", "nightly", "--zone", zone, "--confirmed")
        self._run(evening, "subscribers", "add", "li.lei@example.com", *to_reader)
        # What a folder holds when it is first read is an archive, and no news.
        self.write("old.md", "旧闻", evening - timedelta(days=30))
        self._run(evening + timedelta(minutes=10), "ingest")
        self.write("first.md", "菜场凌晨开门", evening + timedelta(minutes=30))
        self._run(evening + timedelta(minutes=50), "ingest")

    def write(self, name: str, title: str, at: datetime) -> None:
        """Put an article into the folder, as it would have been at a moment."""
        path = self.folder / "articles" / name
        path.write_text(ARTICLE.format(title=title, date=at.isoformat()), encoding="utf-8")
        written = (at - timedelta(minutes=10)).timestamp()
        os.utime(path, (written, written))

    def live_through(self) -> None:
        """Serve from before the edition is due until long after."""
        night = (BEFORE + AFTER).total_seconds()
        with Server(self.folder, environment=_clock(self._began_at, HURRY)) as server:
            begun = time.monotonic()
            server.start()
            try:
                wait_until(lambda: len(self.mails()) > 0, what="the mail")
                self.write("second.md", "第二篇", self._due_at)
                wait_until(lambda: (time.monotonic() - begun) * HURRY > night, what="the morning")
                assert server.is_running
                assert server.stop() == 0
            finally:
                print(server.log())

    def mails(self) -> list[Path]:
        """What has been sent."""
        return sorted((self.folder / "outbox").glob("*.eml"))

    def editions(self) -> list[tuple[str, str]]:
        """Period and state of each edition."""
        with closing(sqlite3.connect(self.folder / "data" / "feedsvc.db", timeout=30)) as database:
            return database.execute("SELECT period, state FROM edition ORDER BY id").fetchall()

    def _run(self, at: datetime, *command: str) -> None:
        run_command(self.folder, *command, environment=_clock(at, 1))


def _clock(at: datetime, times: int) -> Mapping[str, str]:
    """Variables for a process that begins at another moment; skips the test without."""
    if not list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")):
        skip_loudly("libfaketime is not installed")
    return hurried(times) | {"TZ": "UTC", "FAKETIME": f"@{at:%Y-%m-%d %H:%M:%S} x{times}"}


@pytest.mark.parametrize(
    ("zone", "schedule_zone", "cron", "due", "period"),
    [
        pytest.param(
            *("Europe/Madrid", "Europe/Madrid", "30 2 * * *"),
            *("2026-03-29T01:00", "2026-03-29T01:00:00Z"),
            id="Madrid, spring: 02:30 is not there",
        ),
        pytest.param(
            *("Europe/Madrid", "Europe/Madrid", "30 2 * * *"),
            *("2026-10-25T00:30", "2026-10-25T00:30:00Z"),
            id="Madrid, autumn: 02:30 is there twice",
            marks=pytest.mark.long,
        ),
        pytest.param(
            *("America/New_York", "America/New_York", "30 1 * * *"),
            *("2026-11-01T05:30", "2026-11-01T05:30:00Z"),
            id="New York, autumn: 01:30 is there twice",
        ),
        pytest.param(
            *("America/New_York", "America/New_York", "30 2 * * *"),
            *("2026-11-01T07:30", "2026-11-01T07:30:00Z"),
            id="New York, autumn: 02:30 after the hour that is there twice",
            marks=pytest.mark.long,
        ),
        pytest.param(
            *("Australia/Lord_Howe", "Australia/Lord_Howe", "15 2 * * *"),
            *("2026-10-03T15:30", "2026-10-03T15:30:00Z"),
            id="Lord Howe, spring: half an hour is not there",
        ),
        pytest.param(
            *("Australia/Lord_Howe", "Australia/Lord_Howe", "45 1 * * *"),
            *("2026-04-04T14:45", "2026-04-04T14:45:00Z"),
            id="Lord Howe, autumn: half an hour is there twice",
        ),
        pytest.param(
            *("Europe/Madrid", "subscriber", "30 2 * * *"),
            *("2026-03-29T01:00", "2026-03-29T02:30"),
            id="Madrid, spring: the subscriber's own 02:30",
            marks=pytest.mark.long,
        ),
        pytest.param(
            *("Europe/Madrid", "subscriber", "30 2 * * *"),
            *("2026-10-25T00:30", "2026-10-25T02:30"),
            id="Madrid, autumn: the subscriber's own 02:30",
        ),
    ],
)
def test_a_night_with_a_clock_change_has_one_edition_and_one_mail(
    tmp_path: Path,
    figures: Figures,
    zone: str,
    schedule_zone: str,
    cron: str,
    due: str,
    period: str,
) -> None:
    due_at = datetime.fromisoformat(due).replace(tzinfo=UTC)
    night = Night(tmp_path / "newsroom", due_at, zone, schedule_zone, cron)
    night.live_through()
    editions = night.editions()
    figures(
        *("R25", "R26"),
        injected=f"a night on which the clock changes, {HURRY} times as fast",
        case=f"{schedule_zone} {cron}, {zone} {due[:10]}",
        editions=len(editions),
        mails=len(night.mails()),
    )
    (mail,) = night.mails()
    message = message_from_bytes(mail.read_bytes(), policy=policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    assert "菜场凌晨开门" in body.get_content()
    # Elsewhere the subscribers' own hour is still to come: their edition is open.
    assert editions == [(period, "sending" if schedule_zone == "subscriber" else "done")]
    sent_at = message["Date"].datetime
    assert due_at <= sent_at <= due_at + AFTER
