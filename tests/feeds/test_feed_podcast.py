"""Podcast tags say what a directory wants to know, in the words it wants."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import feedparser
import pytest
from feed_writing import AUDIO, EPISODE, PODCAST, UNKNOWN, VIDEO, write_feed
from lxml import etree

from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"
TAGS = "{https://podcastindex.org/namespace/1.0}"
GUID = "9b024349-ccf0-5f69-a609-6b82873eab3c"


@pytest.fixture
def write(make_spec: SpecBuilder) -> Callable[..., Any]:
    """Write a podcast as RSS and read its channel."""

    def write_one(*articles: Article, **spec: Any) -> Any:
        values = {"podcast": PODCAST, "image": "https://news.example/封面.jpg", "guid": GUID}
        body = write_feed(make_spec(**values | spec), articles)[FeedFormat.RSS]
        assert feedparser.parse(body).bozo == 0
        return etree.fromstring(body).find("channel")

    return write_one


def tags(element: Any, namespace: str) -> list[tuple[str, str | None, dict[str, str]]]:
    """Name, text and attributes of the tags of a namespace, without those within others."""
    found = (one for one in element if one.tag.startswith(namespace))
    return [(one.tag.removeprefix(namespace), one.text, dict(one.attrib)) for one in found]


def test_itunes_is_told_of_the_podcast(write: Any) -> None:
    channel = write()
    assert tags(channel, ITUNES) == [
        ("author", "李雷 & Alice", {}),
        ("category", None, {"text": "News"}),
        ("category", None, {"text": "Society & Culture"}),
        ("explicit", "false", {}),
        ("image", None, {"href": "https://news.example/%E5%B0%81%E9%9D%A2.jpg"}),
        ("type", "episodic", {}),
        ("owner", None, {}),
    ]
    assert [one.get("text") for one in channel.find(f"{ITUNES}category")] == ["Daily News"]
    assert tags(channel.find(f"{ITUNES}owner"), ITUNES) == [
        ("name", "李雷", {}),
        ("email", "lilei@news.example", {}),
    ]
    assert channel.findtext("copyright") == "© 2026 The News"


def test_other_directories_are_told_of_the_podcast(write: Any) -> None:
    assert tags(write(), TAGS) == [
        ("guid", GUID, {}),
        ("locked", "yes", {"owner": "lilei@news.example"}),
        (
            "funding",
            "支持我们 <3",
            {"url": "https://news.example/%E6%94%AF%E6%8C%81"},
        ),
        ("medium", "podcast", {}),
    ]


def test_a_podcast_that_moves_says_where_to(write: Any) -> None:
    moved = replace(PODCAST, new_feed_url="https://new.example/feed", explicit=True, locked=False)
    channel = write(podcast=moved)
    assert channel.findtext(f"{ITUNES}new-feed-url") == "https://new.example/feed"
    assert channel.findtext(f"{ITUNES}explicit") == "true"
    assert channel.findtext(f"{TAGS}locked") == "no"


def test_what_nobody_said_is_not_written(write: Any, make_article: ArticleBuilder) -> None:
    bare = replace(PODCAST, owner_email=None, funding_url=None, copyright=None)
    channel = write(make_article(enclosures=[AUDIO]), podcast=bare, image=None, guid=None)
    assert channel.find(f"{ITUNES}owner") is None
    assert channel.find(f"{ITUNES}image") is None
    assert tags(channel, TAGS) == [("locked", "yes", {}), ("medium", "podcast", {})]
    assert tags(channel.find("item"), ITUNES) == tags(channel.find("item"), TAGS) == []


def test_a_player_is_told_of_the_episode(write: Any, make_article: ArticleBuilder) -> None:
    article = make_article(enclosures=[AUDIO], extra=EPISODE, image="https://news.example/3.jpg")
    item = write(article).find("item")
    assert tags(item, ITUNES) == [
        ("duration", "3723", {}),
        ("season", "2", {}),
        ("episode", "3", {}),
        ("episodeType", "full", {}),
        ("explicit", "true", {}),
        ("image", None, {"href": "https://news.example/3.jpg"}),
    ]
    vtt, srt = "https://news.example/3.vtt", "https://news.example/3.srt"
    assert tags(item, TAGS) == [
        ("transcript", None, {"url": vtt, "type": "text/vtt", "language": "zh-CN"}),
        ("transcript", None, {"url": srt, "type": "application/x-subrip"}),
        (
            "chapters",
            None,
            {"url": "https://news.example/3.json", "type": "application/json+chapters"},
        ),
        ("person", "韩梅梅", {"role": "guest", "href": "https://news.example/h"}),
        ("person", "Alice", {}),
    ]


def test_nothing_but_a_podcast_has_podcast_tags(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    article = make_article(enclosures=[AUDIO], extra=EPISODE)
    plain = write_feed(make_spec(), [article])
    atom = write_feed(make_spec(podcast=PODCAST), [article])[FeedFormat.ATOM]
    for body in (plain[FeedFormat.RSS], plain[FeedFormat.ATOM], atom):
        assert b"itunes" not in body
        assert b"podcastindex" not in body
    assert "© 2026 The News".encode() in atom


@pytest.mark.parametrize(
    "extra",
    [
        {"duration_seconds": "long", "episode": 0, "season": -1, "explicit": "no"},
        {"duration_seconds": True, "episode": 2**40, "episode_type": "\x00"},
        {"transcripts": [{"url": "javascript:x()", "type": "text/vtt"}, "x", {}], "people": "Bob"},
        {"chapters": 3, "people": [{"name": "\ud800"}, None], "transcripts": {"url": "x"}},
    ],
)
def test_what_is_no_fact_is_left_out(
    write: Any, make_article: ArticleBuilder, extra: dict[str, Any]
) -> None:
    item = write(make_article(enclosures=[AUDIO], extra=extra)).find("item")
    assert tags(item, ITUNES) == tags(item, TAGS) == []


def test_an_episode_reads_as_one_in_a_podcast_reader(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    article = make_article(enclosures=[UNKNOWN, VIDEO], extra=EPISODE)
    body = write_feed(make_spec(podcast=PODCAST, title="播客"), [article])[FeedFormat.RSS]
    feed = feedparser.parse(body)
    assert [tag.term for tag in feed.feed.tags] == ["News", "Daily News", "Society & Culture"]
    [entry] = feed.entries
    assert (entry.itunes_duration, entry.itunes_episode, entry.itunes_season) == ("3723", "3", "2")
    assert entry.enclosures[0].length == "0"
