"""OPML: every feed in one file that other programs read."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import feedparser
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lxml import etree

from feedsvc.feeds.writing.opml import Group, Subscription, write_opml

HOME = "https://news.example.com/"


def subscription(title: str = "全部文章", **values: str) -> Subscription:
    plain = {
        "description": "",
        "document_url": "https://news.example.com/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml",
        "page_url": "https://news.example.com/feeds/topics/%E7%A7%91%E6%8A%80",
        "language": "zh-CN",
    }
    return Subscription(title=title, **{**plain, **values})


def read(body: bytes) -> Any:
    """The tree, as a strict parser sees it."""
    return etree.fromstring(body, etree.XMLParser(resolve_entities=False))


def test_every_feed_has_what_a_reader_needs() -> None:
    body = write_opml(
        "示例日报",
        HOME,
        [subscription(description="所有栏目"), Group("按主题", (subscription("科技"),))],
        datetime(2026, 11, 22, 8, 0, tzinfo=timezone(timedelta(hours=8))),
    )
    tree = read(body)
    assert (tree.tag, tree.get("version")) == ("opml", "2.0")
    assert tree.findtext("head/title") == "示例日报"
    assert tree.findtext("head/dateModified") == "Sun, 22 Nov 2026 00:00:00 GMT"
    first, group = tree.find("body")
    assert dict(first.attrib) == {
        "type": "rss",
        "text": "全部文章",
        "title": "全部文章",
        "xmlUrl": "https://news.example.com/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml",
        "htmlUrl": "https://news.example.com/feeds/topics/%E7%A7%91%E6%8A%80",
        "language": "zh-CN",
        "description": "所有栏目",
    }
    assert dict(group.attrib) == {"text": "按主题", "title": "按主题"}
    assert [one.get("text") for one in group] == ["科技"]


def test_a_family_without_members_is_left_out() -> None:
    assert len(read(write_opml("x", HOME, [Group("按主题", ())])).find("body")) == 0


def test_the_same_feeds_give_the_same_bytes() -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    assert write_opml("x", HOME, [subscription()], at) == write_opml(
        "x", HOME, [subscription()], at
    )


@given(st.text(), st.text())
@hypothesis_settings(max_examples=100)
def test_hostile_titles_stay_text(title: str, description: str) -> None:
    given_title = title + '"><script>&\x0b\ud800\ufffe\n]]>'
    body = write_opml(given_title, HOME, [subscription(given_title, description=description)])
    (outline,) = read(body).iter("outline")
    assert '"><script>&' in outline.get("text")
    assert outline.get("xmlUrl").endswith("/atom.xml")
    assert "\n" not in outline.get("text")


def test_a_feed_without_a_title_is_called_by_its_address() -> None:
    (outline,) = read(write_opml("x", HOME, [subscription("\x00 ")])).iter("outline")
    assert outline.get("text") == outline.get("xmlUrl")


def test_feedparser_takes_it_for_no_broken_xml() -> None:
    assert not feedparser.parse(write_opml("示例", HOME, [subscription()])).bozo
