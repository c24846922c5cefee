"""Saved news pages as a source, and opening sources from the configuration."""

from collections.abc import Callable
from pathlib import Path

import pytest

from feedsvc.config import SourceSettings
from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import Scan
from feedsvc.sources.folder import FolderSource
from feedsvc.sources.open import open_source
from feedsvc.sources.page import PageSource

Write = Callable[..., Path]


def keys(scan: Scan) -> list[str]:
    return [item.key for item in scan.items]


def test_a_single_file_is_the_whole_source(folder: Path, write: Write) -> None:
    write("新闻.html", "<p>one</p>")
    write("other.html", "<p>two</p>")
    scan = PageSource("page", folder / "新闻.html").scan({})
    assert keys(scan) == ["新闻.html"]
    assert all(item.is_page for item in scan.items)


def test_a_folder_of_pages_leaves_markdown_out(folder: Path, write: Write) -> None:
    for name in ("a.html", "sub/b.htm", "c.txt", "d.md"):
        write(name)
    assert sorted(PageSource("page", folder).scan({}).present) == ["a.html", "c.txt", "sub/b.htm"]


def test_a_single_page_may_be_a_link_to_anywhere(folder: Path, write: Write) -> None:
    write("../elsewhere.html", "<p>there</p>")
    (folder / "page.html").symlink_to(folder.parent / "elsewhere.html")
    (item,) = PageSource("page", folder / "page.html").scan({}).items
    assert (item.key, item.content) == ("page.html", b"<p>there</p>")


def test_a_missing_page_withdraws_nothing(folder: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"page\.html does not exist"):
        PageSource("page", folder / "page.html").scan({"page.html": "known"})


def test_a_file_that_is_no_page_says_so(folder: Path, write: Write) -> None:
    write("data.csv")
    with pytest.raises(SourceUnavailable, match=r"nor a \.html, \.htm or \.txt file"):
        PageSource("page", folder / "data.csv").scan({})


@pytest.mark.parametrize(("kind", "made"), [("folder", FolderSource), ("page", PageSource)])
def test_a_relative_path_is_taken_below_the_configuration(
    tmp_path: Path, kind: str, made: type
) -> None:
    settings = SourceSettings.model_validate({"type": kind, "path": "content"})
    source = open_source("news", settings, tmp_path)
    assert type(source) is made
    assert source.key == "news"
    with pytest.raises(SourceUnavailable, match=str(tmp_path / "content")):
        source.scan({})


def test_an_absolute_path_stays_as_it_is(folder: Path, write: Write, tmp_path: Path) -> None:
    write("a.md")
    settings = SourceSettings(type="folder", path=folder)
    assert keys(open_source("news", settings, tmp_path / "elsewhere").scan({})) == ["a.md"]
