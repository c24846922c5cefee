"""Changes of a folder are told soon after they happen, by the real watcher."""

import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from watchfiles import Change

from feedsvc.sources.folder import FolderSource
from feedsvc.sources.page import PageSource
from feedsvc.sources.watch import is_relevant

pytestmark = pytest.mark.anyio
Write = Callable[..., Path]


async def _told(changes: AsyncGenerator[None, None]) -> None:
    with anyio.fail_after(10):
        await anext(changes)


async def test_a_new_file_is_told(folder: Path, write: Write) -> None:
    async with aclosing(FolderSource("news", folder).changes()) as changes:
        await _told(changes)  # watching has begun
        write("新闻/广州.md")
        await _told(changes)


async def test_a_change_and_a_removal_are_told(folder: Path, write: Write) -> None:
    path = write("a.md")
    async with aclosing(FolderSource("news", folder).changes()) as changes:
        await _told(changes)
        write("a.md", "changed")
        await _told(changes)
        path.unlink()
        await _told(changes)


async def test_a_change_is_told_within_half_a_second(folder: Path, write: Write) -> None:
    async with aclosing(FolderSource("news", folder).changes()) as changes:
        await _told(changes)
        write("a.md")
        before = anyio.current_time()
        await _told(changes)
        assert anyio.current_time() - before < 0.6


async def test_a_folder_that_appears_later_is_watched(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with aclosing(FolderSource("news", folder).changes()) as changes:
        async with anyio.create_task_group() as group:
            group.start_soon(_told, changes)
            await anyio.lowlevel.checkpoint()
            folder.mkdir()
        (folder / "a.md").write_text("x")
        await _told(changes)


async def test_a_folder_put_in_the_place_of_another_is_watched(tmp_path: Path) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
    current, following = tmp_path / "current", tmp_path / "following"
    current.symlink_to("v1")
    async with aclosing(FolderSource("news", current).changes()) as changes:
        await _told(changes)
        following.symlink_to("v2")
        following.rename(current)
        await _told(changes)  # another folder
        await _told(changes)  # watching it has begun
        (tmp_path / "v2" / "a.md").write_text("x")
        await _told(changes)


async def test_a_single_page_tells_of_itself(folder: Path, write: Write) -> None:
    write("page.html")
    async with aclosing(PageSource("page", folder / "page.html").changes()) as changes:
        await _told(changes)
        write("page.html", "changed")
        await _told(changes)


@pytest.mark.skipif(sys.platform != "linux", reason="NOT RUN: counts descriptors in /proc")
async def test_cancelling_ends_the_watcher(folder: Path) -> None:
    async def watch(begun: anyio.Event) -> None:
        async with aclosing(FolderSource("news", folder).changes()) as changes:
            async for _ in changes:
                begun.set()

    begun = anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(watch, begun)
            await begun.wait()
            assert _count_watchers() == 1
            group.cancel_scope.cancel()
        while _count_watchers():  # the watcher's own thread ends a moment after it is told to
            await anyio.lowlevel.checkpoint()


def _count_watchers() -> int:
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:inotify"
        except FileNotFoundError:
            continue
    return count


@pytest.mark.parametrize(
    ("change", "name", "relevant"),
    [
        (Change.added, "a.md", True),
        (Change.modified, "sub/a.md", True),
        (Change.deleted, "a.md", True),
        (Change.added, ".a.md.swp", False),
        (Change.modified, ".git/a.md", False),
        (Change.added, "a.jpg", False),
        (Change.deleted, "a.jpg", False),
        (Change.deleted, "old-folder", True),
        (Change.added, "existing-folder", True),
        (Change.modified, "existing-folder", False),
        (Change.added, "../elsewhere/a.md", False),
    ],
)
async def test_only_what_a_scan_would_see_is_told(
    folder: Path, change: Change, name: str, relevant: bool
) -> None:
    (folder / "existing-folder").mkdir()
    path = str(folder / name)
    assert is_relevant(folder, FolderSource("news", folder).reads, change, path) is relevant
