"""A process is killed amid a publication; the next one leaves nothing undone."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from press import Press, titles
from sqlalchemy import select

from feedsvc.feeds.documents.store import load_documents
from feedsvc.model.hub import HubPing

pytestmark = [pytest.mark.anyio, pytest.mark.fault]

CONFIG = """\
[feeds.all]
title = "全部文章"
window = 1
keep_hours = 0
[feeds.topics]
each = "section"
title = "{name}"
[export]
folder = "public"
[websub]
hubs = ["http://127.0.0.1:9/hub"]
"""
#: Takes in and publishes, and kills itself at a point: when a part of the product is told
#: something, or for the n-th time asks for the time.
PROCESS = """
import asyncio, os, signal, sys
from datetime import datetime, timedelta
from pathlib import Path
from feedsvc.app import App
from feedsvc.config_file import load_settings

folder, start, point = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), sys.argv[3]
asked = 0
name, _, number = point.partition(":")

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def clock():
    global asked
    asked += counting
    if name == "clock" and asked == int(number):
        die()
    return start

counting = 0

async def main():
    global counting
    loaded = load_settings(folder / "config.toml", {}, folder)
    serve = die if name == "serve" else (lambda _documents: None)
    drop = die if name == "drop" else (lambda _feeds: None)
    opened = App.open(loaded, clock, serve=serve, drop_pages=drop, check_templates=False)
    async with opened as app:
        await app.pipeline.ingest("folder")
        counting = 1
        await app.pipeline.publish()
        print("asked for the time", asked)

asyncio.run(main())
"""


def run_killed(press: Press, point: str) -> None:
    """Take in and publish in a process that is killed at a point of it."""
    command = [sys.executable, "-c", PROCESS, str(press.folder), press.now.isoformat(), point]
    ours = {key: value for key, value in os.environ.items() if not key.startswith("FEEDSVC_")}
    ended = subprocess.run(command, env=ours, capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr


#: Point -> what has been done by then.
POINTS = {
    "clock:3": "articles have their numbers",
    "drop": "archive pages are renewed",
    "clock:5": "amid the storing of documents",
    "serve": "documents are stored",
    "clock:7": "documents are served, and nobody has been told",
}


@pytest.mark.parametrize(
    ("database_url", "point"),
    [*(("sqlite", point) for point in POINTS), ("postgresql", "drop"), ("postgresql", "serve")],
    indirect=["database_url"],
)
async def test_after_a_kill_everything_is_in_line_again(
    empty_database_url: str, tmp_path: Path, point: str
) -> None:
    press = Press(tmp_path, empty_database_url)
    press.configure(CONFIG)
    for number in range(25):
        press.write(f"{number}.md", f"文章 {number}")
    async with press.open() as app:
        await press.publish(app)
        await app.pipeline.start()
    press.write("new.md", "新文章", section="World")
    press.write("5.md", "改过的文章")
    (press.articles / "3.md").unlink()
    press.now += timedelta(minutes=1)
    run_killed(press, point)
    press.now += timedelta(minutes=1)
    async with press.open() as app:
        await app.pipeline.start()
        assert await titles(app, "all") == ["新文章"]
        assert await titles(app, "topics/world") == ["新文章"]
        files = {
            path: path.read_text(encoding="utf-8")
            for path in (press.folder / "public").rglob("*.xml")
        }
        seen = "".join(files.values())
        assert "新文章" in seen
        assert "改过的文章" in seen
        assert "文章 3<" not in seen
        assert "文章 5<" not in seen
        async with app.database.read() as session:
            stored = await load_documents(session, app.settings.base_url)
            pings = (await session.execute(select(HubPing))).scalars()
            assert {one.topic: one.etag for one in pings} == {one.path: one.etag for one in stored}
        assert not await app.pipeline._publication.is_wanted(press.now)
        assert not list((press.folder / "public").rglob("*.part"))
        assert max(path.stat().st_mtime for path in files) <= press.now.timestamp()
