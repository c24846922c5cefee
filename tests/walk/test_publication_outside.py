"""What stands outside the database: the folder of files, hubs elsewhere, pages in memory."""

import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from press import FEEDS, Press, titles
from sqlalchemy import select, text
from sqlmodel import col

from feedsvc.app import App
from feedsvc.model.hub import HubPing

pytestmark = [pytest.mark.anyio, pytest.mark.fault]

EXPORT = """
[export]
folder = "public"
[websub]
hubs = ["http://127.0.0.1:9/hub"]
"""
SMALL = """\
[feeds.all]
title = "全部文章"
window = 1
keep_hours = 0
"""


@pytest.fixture
def press(empty_database_url: str, tmp_path: Path) -> Press:
    press = Press(tmp_path, empty_database_url)
    press.configure(FEEDS + EXPORT)
    return press


@pytest.fixture
async def app(press: Press) -> AsyncIterator[App]:
    async with press.open() as app:
        yield app


def exported(press: Press) -> dict[str, str]:
    """Plain files by their path below the folder."""
    top = press.folder / "public"
    return {
        path.relative_to(top).as_posix(): path.read_text(encoding="utf-8")
        for path in top.rglob("*")
        if path.suffix in (".xml", ".json")
    }


async def test_a_folder_that_could_not_be_written_is_made_good_without_a_restart(
    press: Press, app: App
) -> None:
    press.write("a.md", "甲")
    await press.publish(app)
    await app.pipeline.start()
    public = press.folder / "public"
    shutil.rmtree(public)
    public.write_text("in the way")
    press.write("b.md", "乙")
    await press.publish(app)
    public.unlink()
    await press.run(app)
    await app.pipeline.catch_up()
    assert not public.exists()  # not at once: whatever it is may last
    press.now += timedelta(minutes=1)
    await app.pipeline.catch_up()
    assert "乙" in exported(press)["feeds/all/atom.xml"]
    shutil.rmtree(public)
    press.now += timedelta(hours=1)
    await app.pipeline.catch_up()
    assert not public.exists()  # nothing was left undone


async def test_hubs_are_told_of_what_was_published_when_nobody_could_be_told(
    press: Press, app: App
) -> None:
    await app.pipeline.start()
    async with app.database.write() as session:
        await session.execute(text("ALTER TABLE hub_ping RENAME TO elsewhere"))
    press.write("a.md", "甲")
    with pytest.raises(Exception, match="hub_ping"):
        await press.publish(app)
    assert await titles(app, "all") == ["甲"]
    async with app.database.write() as session:
        await session.execute(text("ALTER TABLE elsewhere RENAME TO hub_ping"))
    assert "feeds/all/atom.xml" not in exported(press) or "甲" not in str(exported(press))
    press.now += timedelta(minutes=1)
    await app.pipeline.catch_up()
    async with app.database.read() as session:
        etags = list(await session.scalars(select(col(HubPing.etag))))
    newest = {one.path: one.etag for one in press.served}
    assert sorted(etags) == sorted(newest.values())
    assert "甲" in exported(press)["feeds/all/atom.xml"]


async def test_a_page_with_a_withdrawn_article_leaves_memory_and_folder_whatever_the_clock_says(
    press: Press,
) -> None:
    press.configure(SMALL + EXPORT)
    async with press.open() as app:
        for number in range(30):
            press.write(f"{number}.md", f"文章 {number}")
        await press.publish(app)
        await app.pipeline.start()
        pages = [path for path, body in exported(press).items() if "/archive/" in path]
        holding = [path for path in pages if "文章 3<" in exported(press)[path]]
        assert holding
        other = press.folder / "public" / "feeds/all/rss.xml"
        other.write_text("not ours to look at now")
        press.dropped.clear()
        press.now -= timedelta(hours=3)
        (press.articles / "3.md").unlink()
        await press.publish(app)
        assert press.dropped == ["all"]
        made = set(exported(press)) - set(pages)
        dates = [
            (press.folder / "public" / one).stat().st_mtime for one in made if "/archive/" in one
        ]
        assert 0 < max(dates) <= press.now.timestamp()
        assert not [path for path, body in exported(press).items() if "文章 3<" in body]
        assert not set(holding) & set(exported(press))
        assert any("/archive/" in path for path in exported(press))


async def test_an_archive_that_is_switched_off_leaves_the_folder(press: Press) -> None:
    press.configure(SMALL + EXPORT)
    async with press.open() as app:
        for number in range(30):
            press.write(f"{number}.md", f"文章 {number}")
        await press.publish(app)
        await app.pipeline.start()
        assert any("/archive/" in path for path in exported(press))
        assert b"prev-archive" in press.served[-1].body or any(
            b"prev-archive" in one.body for one in press.served
        )
    press.configure(SMALL + "archive = false\nformats = ['atom']\n" + EXPORT)
    press.now += timedelta(minutes=1)
    async with press.open() as app:
        await app.pipeline.start()
        assert list(exported(press)) == ["feeds/all/atom.xml"]
        assert "prev-archive" not in exported(press)["feeds/all/atom.xml"]
