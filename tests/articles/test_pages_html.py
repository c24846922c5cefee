"""News pages saved as HTML."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from feedsvc.articles.page_html import choose_title
from feedsvc.articles.page_outline import TextLine
from feedsvc.articles.pages import PageReading, read_page
from feedsvc.errors import BrokenArticle
from feedsvc.model.article import MediaType, RawItem

SHANGHAI = ZoneInfo("Asia/Shanghai")
CORPUS = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpus" / "news"
needs_corpus = pytest.mark.skipif(not CORPUS.exists(), reason=f"NOT RUN: no corpus at {CORPUS}")


def read(content: str | bytes, base_url: str | None = None) -> PageReading:
    content = content.encode() if isinstance(content, str) else content
    raw = RawItem(
        source="page",
        key="a.html",
        location="a.html",
        media_type=MediaType.HTML,
        content=content,
        fingerprint="",
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        base_url=base_url,
        is_page=True,
    )
    return read_page(raw, SHANGHAI)


PROSE = "".join(
    f"<p>第{n}段：今天上午，第一辆电动公车在广州上路，许多市民前来乘坐，交通局说年内还有三百辆。</p>"
    for n in range(1, 5)
)
NAVIGATION = "<ul>" + "".join(f'<li><a href="/{n}">频道{n}</a></li>' for n in range(9)) + "</ul>"


def page(head: str = "", above: str = "", below: str = "", body: str = PROSE) -> str:
    return (
        f"<html><head><title>广州电动公车上路_广州新闻网</title>{head}</head><body>{NAVIGATION}"
        f"<h1>广州电动公车上路</h1><div class=info>{above}</div>"
        f"<div class=content>{body}</div><div class=more>{below}</div></body></html>"
    )


def is_right(reading: PageReading, expected: dict[str, Any]) -> dict[str, bool]:
    """What of a reading is as expected: title exactly, time to the minute, body."""
    time = datetime.fromisoformat(expected["published"]).replace(tzinfo=SHANGHAI)
    found = reading.published_at or datetime.min.replace(tzinfo=UTC)
    return {
        "title": reading.title == expected["title"],
        "time": abs(found - time) < timedelta(minutes=1),
        "body": all(words in reading.html for words in expected["in_body"])
        and not any(words in reading.html for words in expected["not_in_body"]),
    }


@needs_corpus
@pytest.mark.parametrize("written", ["as saved", "gb18030"])
def test_most_real_pages_are_read_right(written: str) -> None:
    """All twelve on the day this was written; in GB18030 they all declare another charset."""
    expected = json.loads((CORPUS / "expected.json").read_text())
    pages = {name: one for name, one in expected.items() if name.endswith(".html")}
    right = {"title": 0, "time": 0, "body": 0}
    for name, one in pages.items():
        content = (CORPUS / name).read_bytes()
        if written != "as saved":
            content = content.decode().encode(written)
        for part, well in is_right(read(content), one).items():
            right[part] += well
    assert len(pages) == 12
    assert right["title"] >= 12
    assert right["time"] >= 12
    assert right["body"] >= 12


def test_the_time_shown_at_the_headline_is_meant() -> None:
    reading = read(
        page(
            '<meta property="article:published_time" content="2023-10-31T09:06:29+08:00">',
            "<span>2023年10月31日 09:04</span> <span>来源：<a>广州日报</a></span> 作者：李雷",
            "<li>2023-11-02 10:00</li>",
        )
    )
    assert reading.published_at == datetime(2023, 10, 31, 9, 4, tzinfo=SHANGHAI)
    assert reading.authors == ("李雷",)


def test_a_shown_time_of_another_article_does_not_count() -> None:
    reading = read(
        page(
            '<meta property="article:published_time" content="2023-10-31T01:06:29Z">',
            "<span>2018-03-02 08:58:39</span>",
        )
    )
    assert reading.published_at == datetime(2023, 10, 31, 9, 6, 29, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    "head",
    [
        '<meta name="og:time " content="2023-10-31 09:04:50">',
        '<meta itemprop="datePublished" content="2023-10-31T09:04:50">',
        '<meta name="PubDate" content="2023-10-31 09:04:50">',
        '<script type="application/ld+json">{"pubDate": "2023-10-31T09:04:50"}</script>',
        '<script type="application/ld+json">[{"datePublished": "2023-10-31T01:04:50Z"}]</script>',
    ],
)
def test_machine_readable_times_without_zone_are_local(head: str) -> None:
    reading = read(page(head))
    assert reading.published_at == datetime(2023, 10, 31, 9, 4, 50, tzinfo=SHANGHAI)


@pytest.mark.parametrize("data", ["{", "[" * 100_000, '{"datePublished": 7}', '["x"]', "null"])
def test_broken_linked_data_is_passed_over(data: str) -> None:
    reading = read(page(f'<script type="application/ld+json">{data}</script>'))
    assert reading.published_at is None


def test_the_time_of_the_last_change_is_not_that_of_publication() -> None:
    reading = read(page(above="<p>最后更新: 2023-11-02 10:00</p><p>2023-10-31 09:04</p>"))
    assert reading.published_at == datetime(2023, 10, 31, 9, 4, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("candidates", "page_title", "shown", "headline"),
    [
        (["公车上路"], "公车上路_网易新闻", [], "公车上路"),
        (["公车上路"], "公车上路-新华网", [], "公车上路"),
        (["公车上路"], "公车上路 | 广州日报", [], "公车上路"),
        (["广州", "公车上路"], "公车上路_广州", [], "公车上路"),
        (["公车上路了，三百辆"], "广州 - 公车上路了，三百辆", [], "公车上路了，三百辆"),
        (["公车上路", "公车上路_网易新闻"], "公车上路_网易新闻", [], "公车上路"),
        ([""], "公车上路-新华网", ["公车上路"], "公车上路"),
        ([], "Wi-Fi 7_上路-新华网", ["Wi-Fi 7_上路"], "Wi-Fi 7_上路"),
        ([], "公车上路-新华网", [], "公车上路-新华网"),
        (["公车 5G-A 上路"], "公车 5G-A 上路--当代商报", [], "公车 5G-A 上路"),
        (["公车上路"], "", [], "公车上路"),
        ([], "", [], ""),
    ],
)
def test_the_name_of_the_site_is_cut_with_a_witness_only(
    candidates: list[str], page_title: str, shown: list[str], headline: str
) -> None:
    lines = [TextLine(text, len(text)) for text in shown]
    assert choose_title(candidates, page_title, lines) == headline


def test_what_stands_around_the_article_is_left_out() -> None:
    comments = "<div><p>这条路早就该有电动公车了，支持！</p><p>票价会不会涨，有人知道吗？</p></div>"
    reading = read(page(below=comments + NAVIGATION, body=PROSE + "<p>（责任编辑：韩梅梅）</p>"))
    assert len(re.findall("第[1-4]段", reading.html)) == 4
    for words in ("频道", "韩梅梅", "票价", "<h1"):
        assert words not in reading.html


def test_an_article_in_many_parts_is_kept_whole() -> None:
    reading = read(page(body=re.sub("<p>(.*?)</p>", r"<div class=part><p>\1</p></div>", PROSE)))
    assert len(re.findall("第[1-4]段", reading.html)) == 4


def test_lines_divided_by_breaks_are_an_article() -> None:
    body = PROSE.replace("<p>", "").replace("</p>", "<br><br>")
    assert len(re.findall("第[1-4]段", read(page(body=body)).html)) == 4


def test_images_and_links_stay() -> None:
    body = PROSE + '<p><img src="https://example.com/bus.jpg" alt="公车"></p>' + PROSE
    body = body.replace("公车在", '<a href="https://example.com/bus">公车</a>在')
    reading = read(page(body=body))
    assert 'src="https://example.com/bus.jpg"' in reading.html
    assert 'href="https://example.com/bus"' in reading.html


@pytest.mark.parametrize(
    "content", ["", "\x00", "<html></html>", "<!-- -->", "<title>标题</title>", "<p>短</p>"]
)
def test_a_page_without_an_article_is_refused(content: str) -> None:
    with pytest.raises(BrokenArticle, match=r"a\.html: "):
        read(content)


def test_without_trafilatura_the_way_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "trafilatura.py").write_text("import a_part_that_is_not_installed")
    (tmp_path / "page.html").write_text(page())
    program = (
        "import sys\nfrom lxml.html import fromstring\n"
        "from feedsvc.articles.page_body import extract_body\n"
        "from feedsvc.errors import BrokenArticle\n"
        "try:\n    extract_body(fromstring('<div><p>x</p></div>'), 't', 'a.html', None)\n"
        "except BrokenArticle as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'feedsvc[pages]'" in done.stdout
