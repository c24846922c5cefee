"""Pages made to be slow to read: time grows with their length, no faster."""

import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from feedsvc.articles.page_encoding import declared_charset
from feedsvc.articles.page_html import choose_title
from feedsvc.articles.page_lines import read_furniture
from feedsvc.articles.page_outline import choose_story, outline_page, parse_html
from feedsvc.articles.page_text import read_text_page
from feedsvc.articles.page_times import find_time
from feedsvc.errors import BrokenArticle

LENGTH = 100_000
UTC_ZONE = ZoneInfo("UTC")

WORST = {
    "digits": "2" * LENGTH,
    "years": "2023-" * (LENGTH // 5),
    "dates": "2023-99-99 " * (LENGTH // 11),
    "dates and blanks": ("2023-10-31" + " " * 30) * (LENGTH // 40),
    "blanks": " " * LENGTH + "x",
    "full-width blanks": "　" * LENGTH + "x",
    "labels": "作者：" * (LENGTH // 3),
    "navigation": "首页 " * (LENGTH // 3),
    "crumbs": "首页" + ">" * LENGTH,
    "brackets": "【" * LENGTH,
    "meta": "<meta " * (LENGTH // 6),
    "meta charset": "<meta " + "charset = " * (LENGTH // 10),
    "underscores": "_" * LENGTH,
    "dashes": " - " * (LENGTH // 3),
    "lines": "2023-10-31\n" * (LENGTH // 11),
    "headlines": "标题\n" * (LENGTH // 3),
    "endings": "上一篇\n" * (LENGTH // 4),
}


def _read_text(text: str) -> None:
    try:
        read_text_page(text, "a.txt", UTC_ZONE)
    except BrokenArticle:
        return


READERS: dict[str, Callable[[str], object]] = {
    "a time": find_time,
    "a line": read_furniture,
    "a declaration": lambda text: declared_charset(text.encode()),
    "a title": lambda text: choose_title([text[:500]], text[:500], []),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("worst", WORST)
def test_no_text_is_slow_to_match(reader: str, worst: str) -> None:
    assert _seconds(lambda: READERS[reader](WORST[worst])) < 0.1


@pytest.mark.parametrize("worst", WORST)
def test_no_text_page_is_slow_to_read(worst: str) -> None:
    assert _seconds(lambda: _read_text(WORST[worst])) < 0.5


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 20_000,
        "<b>" * 30_000 + "字，" * 100,
        "<p>公车上路，公车上路，公车上路，公车上路" * 4_000,
        "<a>" * 30_000,
        "<table><tr><td>" * 7_000,
        "<h1>" * 25_000,
    ],
    ids=["blocks", "inline", "paragraphs", "links", "tables", "headings"],
)
def test_no_tree_is_slow_to_walk(html: str) -> None:
    assert _seconds(lambda: choose_story(outline_page(parse_html(html)))) < 1.0


def _seconds(work: Callable[[], object]) -> float:
    """The best of two, so that a busy machine does not count."""
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)
