"""Whatever an article holds, every document parses and holds its entry, between its neighbours."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any
from xml.etree import ElementTree

import feedparser
import pytest
from feed_writing import PODCAST, write_feed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from feedsvc.errors import EntryUnrenderable
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import MAX_CONTENT_LENGTH, MAX_TITLE_LENGTH, read_entry
from feedsvc.feeds.writing.wire import clean_line, usable_url
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

HOSTILE = [
    *(
        "]]>",
        "<![CDATA[",
        "</item>",
        "</entry>",
        "</channel></rss>",
        "]}",
        "<?xml?>",
        "<!--",
        "-->",
    ),
    *(
        "<p",
        "</p>",
        "<a href='x",
        "<script>x()</script>",
        "<b><i></b>",
        "&nbsp;",
        "&#0;",
        "&",
        "&lt;",
    ),
    *(
        "\x00",
        "\x0b",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\x9f",
        "\ufffe",
        "\uffff",
        "\ufeff",
        "\U0001fffe",
    ),
    *(
        "\ud800",
        "\udfff",
        "\ud83d\ude00",
        "\u202e",
        "\u200f",
        "\u2066",
        "\u2028",
        "\r",
        "\r\n",
        "\t",
    ),
    *('"', "'", "\\", "\\u0000", "北京", "😀", "👩‍👩‍👧", "e\u0301" * 30, "ﷺ", " ", "\u3000"),
]
WORDS = st.text(st.characters(codec=None), max_size=5) | st.sampled_from(HOSTILE)
TEXTS = st.lists(WORDS, max_size=4).map("".join)
#: As long as a megabyte, and rarely.
LONG = st.builds(
    lambda text, length: text * (length // max(len(text), 1)), TEXTS, st.integers(0, 10**6)
)
BODIES = st.integers(0, 99).flatmap(lambda number: LONG if number == 61 else TEXTS)
URLS = st.one_of(
    st.none(),
    TEXTS,
    st.builds("{}://{}/{}".format, st.sampled_from(["http", "https", "javascript"]), TEXTS, TEXTS),
    st.builds("https://news.example/{}".format, TEXTS),
)
FILES = st.fixed_dictionaries(
    {
        "url": URLS.filter(lambda url: url is not None),
        "media_type": TEXTS | st.sampled_from(["audio/mpeg", "audio/mpeg; x=y", ""]),
        "length_bytes": st.integers(-5, 2**70),
    }
)
EXTRAS = st.dictionaries(
    st.sampled_from(
        ["duration_seconds", "episode", "episode_type", "transcripts", "people", "chapters"]
    ),
    TEXTS
    | st.integers()
    | st.lists(
        st.dictionaries(st.sampled_from(["url", "name", "type", "role", "language"]), TEXTS)
    ),
    max_size=3,
)
VALUES = st.fixed_dictionaries(
    {
        "title": BODIES,
        "summary": BODIES,
        "content": BODIES,
        "authors": st.lists(BODIES, max_size=2),
        "topics": st.lists(TEXTS, max_size=2),
        "section": st.none() | TEXTS,
        "language": TEXTS | st.sampled_from(["zh-CN", "en"]),
        "url": URLS,
        "image": URLS,
        "enclosures": st.lists(FILES, max_size=2),
        "extra": EXTRAS,
    }
)
MANY = partial(
    settings,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
_numbers = count()


def check(
    make_article: ArticleBuilder, make_spec: SpecBuilder, values: dict[str, Any]
) -> dict[FeedFormat, bytes]:
    """Write an article between two others, and look for it in each document."""
    podcast = PODCAST if values["extra"] else None
    spec = make_spec(podcast=podcast)
    article = make_article(2, **values)
    if article.url and usable_url(article.url) is None:
        with pytest.raises(EntryUnrenderable, match="address"):
            read_entry(article, spec.base_url, "full")
        article.url = None  # with that mended, nothing else is in the way
    articles = [make_article(3), article, make_article(1)]
    guids = [one.guid for one in articles]
    written = write_feed(spec, articles)
    rss, atom = (written[one] for one in (FeedFormat.RSS, FeedFormat.ATOM))
    for parse in (etree.fromstring, ElementTree.fromstring):
        assert [one.text for one in parse(rss).iter("guid")] == guids
        entries = parse(atom).iter("{http://www.w3.org/2005/Atom}entry")
        assert [one.findtext("{http://www.w3.org/2005/Atom}id") for one in entries] == guids
    items = json.loads(written[FeedFormat.JSON].decode())["items"]
    assert [item["id"] for item in items] == guids
    assert 0 < len(items[1]["title"]) <= MAX_TITLE_LENGTH
    if title := clean_line(article.title):
        assert items[1]["title"].removesuffix("…") == title[: MAX_TITLE_LENGTH - 1].rstrip() or (
            items[1]["title"] == title
        )
    if next(_numbers) % 50 == 0:
        for body in (rss, atom):
            seen = feedparser.parse(body)
            assert (seen.bozo, [one.id for one in seen.entries]) == (0, guids)
    return written


@MANY(max_examples=200)
@given(values=VALUES)
def test_any_article_stands_in_every_document(
    make_article: ArticleBuilder, make_spec: SpecBuilder, values: dict[str, Any]
) -> None:
    check(make_article, make_spec, values)


@pytest.mark.long
@pytest.mark.parametrize("quarter", range(4))  # for several processors
@MANY(max_examples=2_500, derandomize=False)
@given(values=VALUES)
def test_ten_thousand_hostile_articles_stand_in_every_document(
    make_article: ArticleBuilder, make_spec: SpecBuilder, quarter: int, values: dict[str, Any]
) -> None:
    check(make_article, make_spec, values)


@MANY(max_examples=60)
@given(texts=st.tuples(*[TEXTS] * 5), image=URLS)
def test_any_words_of_an_operator_make_a_feed(
    make_article: ArticleBuilder, make_spec: SpecBuilder, texts: tuple[str, ...], image: str | None
) -> None:
    title, description, site, author, category = texts
    podcast = type(PODCAST)(author, ((category, author),), True, copyright=site, owner_email=title)
    spec = make_spec(
        title=f"N{title}", description=description, site_title=site, image=image, podcast=podcast
    )
    for feed_format, body in write_feed(spec, [make_article()]).items():
        if feed_format is FeedFormat.JSON:
            assert json.loads(body)["items"]
        else:
            assert etree.fromstring(body) is not None


@pytest.mark.parametrize("text", ["北", "a ", "😀", "\x00", "&", "]]>", "\u202e", "<b>"])
def test_a_megabyte_is_shortened(
    make_article: ArticleBuilder, make_spec: SpecBuilder, text: str
) -> None:
    huge = text * (10**6 // len(text))
    values = {
        "title": huge,
        "summary": huge,
        "content": huge * 2,
        "authors": [huge],
        "topics": [huge] * 3 + [str(number) for number in range(500)],
        "section": huge,
        "language": huge,
        "url": None,
        "image": f"https://news.example/{huge}",
        "enclosures": [],
        "extra": {"people": [{"name": huge}]},
    }
    written = check(make_article, make_spec, values)
    assert max(len(body) for body in written.values()) < 80_000
    if text == "北":
        [_, item, _] = json.loads(written[FeedFormat.JSON])["items"]
        assert item["title"] == "北" * 499 + "…"
        assert item["content_text"] == "北" * 4999 + "…"
        assert len(item["tags"]) == 50
        assert "image" not in item


def test_a_long_text_is_whole_up_to_a_limit(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    longest = "北" * MAX_CONTENT_LENGTH
    [item] = json.loads(write_feed(make_spec(), [make_article(content=longest)])[FeedFormat.JSON])[
        "items"
    ]
    assert item["content_html"] == longest


def test_no_address_runs_code(make_article: ArticleBuilder, make_spec: SpecBuilder) -> None:
    bad = "javascript:alert(1)"
    file = {"url": bad, "media_type": "audio/mpeg", "length_bytes": 1}
    written = write_feed(make_spec(), [make_article(image=bad, enclosures=[file])])
    assert all(bad.encode() not in body for body in written.values())
    with pytest.raises(EntryUnrenderable, match="not a web address"):
        read_entry(make_article(url=bad), "https://news.example", "full")


def test_an_article_without_a_zone_is_refused(make_article: ArticleBuilder) -> None:
    naive = make_article(published_at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(EntryUnrenderable, match="no time zone"):
        read_entry(naive, "https://news.example", "full")
