"""Joined fragments equal a full run, and one bad article stops nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import feedparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.errors import EntryUnrenderable
from feedsvc.feeds.fragments import (
    FragmentCache,
    Rendering,
    fragment_key,
    rendering_of,
    version_of,
    write_fragment,
)
from feedsvc.feeds.render import render_documents, render_rows
from feedsvc.feeds.select import light_row
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import EMPTY_FEED_AT, Links, Podcast, read_entry
from feedsvc.feeds.writing.jsonfeed import full_json
from feedsvc.feeds.writing.syndication import full_document
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(["北京", "]]>", "&lt;", "<p>a</p>"])
INSTANTS = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds / 3, UTC))
URLS = st.sampled_from([None, "https://news.example/a b", "https://例子.cn/新闻?x=<y>"])
ENCLOSURES = st.lists(
    st.fixed_dictionaries(
        {
            "url": URLS.filter(bool),
            "media_type": st.just("audio/mpeg"),
            "length_bytes": st.integers(0, 2**40),
        }
    ),
    max_size=3,
)
VALUES = st.fixed_dictionaries(
    {
        "title": TEXT,
        "summary": TEXT,
        "content": TEXT,
        "authors": st.lists(TEXT, max_size=3),
        "topics": st.lists(TEXT, max_size=3),
        "section": st.none() | TEXT,
        "language": st.sampled_from(["en", "zh-CN"]),
        "published_at": INSTANTS,
        "updated_at": INSTANTS,
        "url": URLS,
        "image": URLS,
        "enclosures": ENCLOSURES,
    }
)


PODCAST = Podcast(author="李雷", categories=(("News", "Daily News"),), explicit=False)
LINKS = Links(
    hubs=("https://news.example/hub",),
    previous_archive="https://news.example/feeds/all/archive/1-1/atom.xml",
)
BASE = datetime(2026, 1, 1, tzinfo=UTC)
CHANGES = frozenset({"insert", "edit", "withdraw", "title", "extensions"})


def full_run(
    spec: FeedSpec,
    articles: list[Article],
    feed_format: FeedFormat,
    links: Links | None = None,
) -> bytes:
    """The document as the plain generator writes it, without any fragment."""
    entries = [read_entry(article, spec.base_url, spec.content) for article in articles]
    updated_at = max((entry.updated_at for entry in entries), default=EMPTY_FEED_AT)
    head = spec.head(feed_format, updated_at, links)
    if feed_format is FeedFormat.JSON:
        return full_json(head, entries)
    return full_document(feed_format, head, entries)


@pytest.mark.parametrize("feed_format", list(FeedFormat))
@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(VALUES, max_size=4),
    content=st.sampled_from(["full", "summary"]),
    podcast=st.sampled_from([None, PODCAST]),
    links=st.sampled_from([None, LINKS]),
)
def test_joined_fragments_equal_a_full_run(
    feed_format: FeedFormat,
    make_article: ArticleBuilder,
    make_spec: SpecBuilder,
    values: list[dict[str, Any]],
    content: str,
    podcast: Podcast | None,
    links: Links | None,
) -> None:
    spec = make_spec(content=content, formats=(feed_format,), podcast=podcast)
    articles = [make_article(number, **one) for number, one in enumerate(values, 1)]
    given_links = {feed_format: links} if links else None
    rendered = render_documents(spec, articles, links=given_links)
    assert rendered.set_aside == {}
    assert rendered.documents[feed_format] == full_run(spec, articles, feed_format, links)


@settings(max_examples=25, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 9)),
        max_size=12,
    )
)
def test_a_cache_never_shows_in_the_bytes(
    make_article: ArticleBuilder, make_spec: SpecBuilder, changes: list[tuple[str, int]]
) -> None:
    spec, cache, articles = make_spec(), FragmentCache(), list[Article]()
    for number, (change, which) in enumerate(changes, 1):
        if change == "insert":
            articles.insert(which % (len(articles) + 1), make_article(number))
        elif change == "edit" and articles:
            article = articles[which % len(articles)]
            article.title, article.revision = f"Edited {number}", article.revision + 1
            article.updated_at += timedelta(minutes=number)
        elif change == "withdraw" and articles:
            articles.pop(which % len(articles))
        elif change == "title":
            spec = replace(spec, title=f"News {which}")
        elif change == "extensions":
            spec = replace(spec, podcast=None if spec.podcast else PODCAST)
        window = articles[:5]  # what is inserted rolls the last one out
        rendered = render_documents(spec, window, cache)
        for feed_format in FeedFormat:
            assert rendered.documents[feed_format] == full_run(spec, window, feed_format)


@pytest.mark.parametrize("title", ["1970-01-01T00:00:01+00:00", "Thu, 01 Jan 1970 00:00:01 +0000"])
@pytest.mark.parametrize("seconds", [1, 2, 2**31])
def test_a_date_in_a_title_is_left_alone(
    make_article: ArticleBuilder, make_spec: SpecBuilder, title: str, seconds: int
) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    spec, articles = make_spec(title=title), [make_article(1, published_at=at, updated_at=at)]
    rendered = render_documents(spec, articles)
    for feed_format in FeedFormat:
        assert rendered.documents[feed_format] == full_run(spec, articles, feed_format)


def test_an_entry_is_written_once(make_article: ArticleBuilder, make_spec: SpecBuilder) -> None:
    cache, articles = FragmentCache(), [make_article(number) for number in (3, 2, 1)]
    whole, asked = {article.id: article for article in articles}, list[int]()

    def load(ids: Any) -> list[Article]:
        asked.extend(ids)
        return [whole[one] for one in ids]

    rows = [light_row(article) for article in articles]
    render_rows(make_spec(), rows[1:], load, cache)
    assert asked == [2, 1]
    rendered = render_rows(make_spec(), rows, load, cache)
    assert asked == [2, 1, 3]
    assert rendered.documents == render_documents(make_spec(), articles).documents


def test_documents_say_what_they_hold(make_article: ArticleBuilder, make_spec: SpecBuilder) -> None:
    articles = [make_article(2), make_article(1)]
    rendered = render_documents(make_spec(), articles)
    assert [(one.article_id, one.guid, one.seq) for one in rendered.entries] == [
        (2, articles[0].guid, 2),
        (1, articles[1].guid, 1),
    ]
    assert [one.fragment_key for one in rendered.entries] == list(rendered.fresh)
    assert rendered.updated_at == articles[0].updated_at


def test_two_feeds_share_what_is_written(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    cache, article = FragmentCache(), make_article()
    for_all, for_city = make_spec(key="all"), make_spec(key="city")
    rendered = render_documents(for_all, [article], cache)
    [key] = rendered.fresh
    assert cache.find(key) is rendered.fresh[key]
    assert [key] == list(render_documents(for_city, [article]).fresh)


def test_what_left_every_window_is_forgotten(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    cache = FragmentCache()
    [key] = [
        one.fragment_key for one in render_documents(make_spec(), [make_article(1)], cache).entries
    ]
    assert cache.find(key) is not None
    render_documents(make_spec(), [make_article(2)], cache)
    assert cache.find(key) is None
    assert list(cache.window("all", rendering_of(make_spec()))) == [2]
    cache.forget("all")
    assert not cache.window("all", rendering_of(make_spec()))


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://moved.example"},
        {"content": "summary"},
        {"podcast": PODCAST},
        {"formats": (FeedFormat.ATOM,)},
    ],
    ids=["address", "content", "extensions", "formats"],
)
def test_another_way_of_writing_is_written_anew(
    make_article: ArticleBuilder, make_spec: SpecBuilder, change: dict[str, Any]
) -> None:
    cache, article = FragmentCache(), make_article()
    before = render_documents(make_spec(), [article], cache)
    changed = make_spec(**change)
    rendered = render_documents(changed, [article], cache)
    assert rendered.documents == render_documents(changed, [article]).documents
    assert rendered.fresh.keys().isdisjoint(before.fresh)


@pytest.mark.parametrize(
    "change",
    [
        {"guid": "urn:uuid:other"},
        {"revision": 2},
        {"content_hash": "f" * 64},
        {"published_at": BASE},
        {"updated_at": BASE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_version_of_an_article_has_another_key(
    make_article: ArticleBuilder, change: dict[str, Any]
) -> None:
    keys = {
        fragment_key("how", version_of(light_row(make_article(1, **one)))) for one in ({}, change)
    }
    assert len(keys) == 2


POISON: dict[str, dict[str, Any]] = {
    "no-guid": {"guid": ""},
    "no-zone": {"published_at": datetime(2026, 1, 1)},  # noqa: DTZ001
    "half-an-enclosure": {"enclosures": [{"url": "https://news.example/a.mp3"}]},
    "address-of-nothing": {"url": "http://[北京"},
    "no-text": {"title": None},
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_one_poisonous_article_stops_no_feed(
    make_article: ArticleBuilder, make_spec: SpecBuilder, poison: dict[str, Any]
) -> None:
    articles = [make_article(3), make_article(2, **poison), make_article(1)]
    rendered = render_documents(make_spec(), articles)
    assert list(rendered.set_aside) == [2]
    assert rendered.set_aside[2]
    for feed_format in (FeedFormat.RSS, FeedFormat.ATOM):
        seen = feedparser.parse(rendered.documents[feed_format])
        assert [entry.title for entry in seen.entries] == ["Article 3", "Article 1"]
    items = json.loads(rendered.documents[FeedFormat.JSON])["items"]
    assert [item["title"] for item in items] == ["Article 3", "Article 1"]


def test_an_unwritable_article_says_why(make_article: ArticleBuilder) -> None:
    rendering = Rendering("https://news.example", "full", tuple(FeedFormat))
    with pytest.raises(EntryUnrenderable, match="time zone"):
        write_fragment(make_article(updated_at=datetime(2026, 1, 1)), rendering, "how")  # noqa: DTZ001


def test_the_same_articles_give_the_same_bytes(
    make_article: ArticleBuilder, make_spec: SpecBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    articles = [make_article(2), make_article(1)]

    def render() -> dict[FeedFormat, bytes]:
        return render_documents(make_spec(), articles).documents

    before = render()

    class AnyDatetime(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class LaterClock(datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2031, 1, 1, tzinfo=tz)

    # feedgen looks at the clock itself; no look of it may show.
    monkeypatch.setattr("feedgen.feed.datetime", LaterClock)
    monkeypatch.setattr("feedgen.entry.datetime", LaterClock)
    assert render() == before
    assert all(b"2031" not in body for body in before.values())
