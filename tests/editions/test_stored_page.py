"""What is withdrawn is cut out of a stored page, whatever the theme; else nothing is shown."""

import html5lib
import pytest

from feedsvc.editions.stored_page import GoneArticle, PageLink, StoredPage

GONE = GoneArticle(
    id=7,
    title="市长受贿",
    summary="有人说市长收了一大笔钱。",
    url=None,
    slug="mayor",
    excerpted=True,
    withdrawn_at=None,
)
BEYOND = GoneArticle(
    id=8,
    title="Slander",
    summary="",
    url="https://elsewhere.example/slander?a=1&b=2",
    slug="slander",
    excerpted=False,
    withdrawn_at=None,
)
WORDS = "本文已撤回。"


def page(body: str, head: str = "<title>晨报：市长受贿</title>") -> str:
    return f"<!doctype html><html lang=zh><head>{head}</head><body>{body}</body></html>"


def without(body: str, *gone: GoneArticle) -> str | None:
    """The page after the withdrawal; None when it must not be shown."""
    stored = StoredPage(page(body))
    return stored.html() if stored.withdraw(gone, WORDS, "晨报") else None


@pytest.mark.parametrize(
    ("part", "left"),
    [
        (
            '<table><tr data-article="7"><td class="a" style="x:y">市长受贿<p>市长</p></td></tr>'
            "</table>",
            '<td class="a" style="x:y">本文已撤回。</td>',
        ),
        (
            '<table><tr data-article="7"><td>市长受贿</td><td><img alt="市长受贿"></td></tr>'
            "</table>",
            "<tr><td>本文已撤回。</td></tr>",
        ),
        ('<table><tr data-article="7"></tr></table>', "<tr><td>本文已撤回。</td></tr>"),
        ('<ul><li data-article="7">市长受贿</li></ul>', "<ul><li>本文已撤回。</li></ul>"),
        ('<div data-article="7"><h2>市长受贿</h2></div>', "<div>本文已撤回。</div>"),
        ('<ul data-article="7"><li>市长受贿</li></ul>', "<div>本文已撤回。</div>"),
        (
            '<section data-article="7" lang="zh" title="市长受贿">a</section>',
            "<section>本文已撤回。</section>",
        ),
        (
            '<p data-article="7">市长受贿</p> 之后 <p data-article="7">有人说市长收了钱。</p>尾',
            "<p>本文已撤回。</p> 之后 尾",
        ),
    ],
    ids=["row", "cells", "empty", "item", "block", "list", "attributes", "parts"],
)
def test_a_marked_part_makes_room_for_one_line(part: str, left: str) -> None:
    cut = without(part, GONE)
    assert cut is not None
    assert left in cut
    assert "<title>晨报</title>" in cut
    assert "市长" not in cut
    html5lib.HTMLParser(strict=True).parse(cut)


@pytest.mark.parametrize(
    "rest",
    [
        "<p>又及：市长受贿</p>",
        "<p>又及：<b>市长受贿</b></p>",
        "<p>有人说市长收了一大笔钱。</p>",
        '<img src="/a.png" alt="市长受贿">',
        "<!-- 市长受贿 -->",
        '<a href="https://news.example.com/articles/mayor">看</a>',
        '<a href="https://news.example.com/articles/mayor?utm=mail#top">看</a>',
    ],
)
def test_a_page_with_a_trace_left_is_not_shown(rest: str) -> None:
    marked = '<p data-article="7">市长受贿</p>'
    assert without(marked, GONE) is not None
    assert without(marked + rest, GONE) is None


def test_an_article_whose_part_is_not_marked_is_not_shown_whatever_it_says_now() -> None:
    assert without("<p>an older headline of it, and an excerpt</p>", GONE) is None


def test_a_headline_beyond_the_limit_may_be_missing_but_not_stay() -> None:
    assert without("<p>and 3 more</p>", BEYOND) is not None
    assert without("<p>SLANDER</p>", BEYOND) is None
    address = "https://elsewhere.example/slander?a=1&amp;b=2"
    assert without(f'<a href="{address}">x</a>', BEYOND) is None


def test_other_articles_stay_as_they_are() -> None:
    other = '<div data-article="77"><a href="/articles/mayor-2">夜市回来了</a></div>'
    cut = without(f'{other}<div data-article="7">市长受贿</div>', GONE)
    assert cut is not None
    assert other in cut


def test_a_bar_stands_above_everything_and_its_words_are_text() -> None:
    stored = StoredPage(page("正文<!--[if mso]><table><![endif]--><p>&zwnj;&nbsp;</p>"))
    stored.add_bar("Editions", "en", [PageLink("<b>晨报</b> & co", '/n?a="1"&b=2')])
    stored.add_head_link(rel="canonical", href="https://news.example.com/n/1")
    written = stored.html()
    html5lib.HTMLParser(strict=True).parse(written)
    assert written.startswith("<!DOCTYPE html>")
    assert "&lt;b&gt;晨报&lt;/b&gt; &amp; co" in written
    assert '<link rel="canonical" href="https://news.example.com/n/1">' in written
    assert written.index("<nav") < written.index("正文")
    assert "<!--[if mso]><table><![endif]-->" in written


@pytest.mark.parametrize("nothing", ["", "  \n", "<!-- -->"])
def test_what_is_no_page_is_said_to_be_none(nothing: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        StoredPage(nothing)


def test_a_page_with_a_declaration_of_another_encoding_is_read_all_the_same() -> None:
    stored = StoredPage('<?xml version="1.0" encoding="gbk"?><html><body>晨报\x00</body></html>')
    assert "晨报" in stored.html()
