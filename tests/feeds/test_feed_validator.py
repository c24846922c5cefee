"""The W3C feed validator has nothing to say about our feeds.

Needs a checkout of github.com/w3c/feedvalidator, named by FEEDVALIDATOR.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feed_writing import AUDIO, EPISODE, PODCAST, UNKNOWN, VIDEO, archive_links, write_feed

from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import Links
from feedsvc.model.article import Article
from feedsvc.model.feed import ArchiveName, FeedFormat, document_url

pytestmark = pytest.mark.client

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

_SCRIPT = """
import io, sys
import feedvalidator
from feedvalidator import compatibility
from feedvalidator.formatter.text_plain import Formatter
body = sys.stdin.buffer.read()
events = feedvalidator.validateStream(io.BytesIO(body), firstOccurrenceOnly=1, base=sys.argv[1])
print("\\n".join(Formatter(compatibility.AA(events["loggedEvents"]))))
"""
XML = [FeedFormat.RSS, FeedFormat.ATOM]
HUBS = Links(hubs=("https://news.example/hub", "https://hub.example/?a=1&b=2"))
EDITED = {"updated_at": "later"}
ARTICLES: dict[str, list[dict[str, Any]]] = {
    "plain": [
        {"url": "https://例子.cn/新闻/一 二?q=[1]&r=100%#a"},
        {"authors": ["李雷", "Alice"], "title": "a < b & c"},
        {"authors": [], "topics": [], "section": None, "summary": ""},
        EDITED,
    ],
    "chinese": [
        {"language": "zh-CN", "title": "北京 🚋 ]]>", "authors": ["李雷"], "topics": ["科技"]},
        {"language": "zh-Hant-TW", "title": "臺北", "summary": "一句話", "slug": "臺北"},
        {"language": "???", "title": "Nobody knows the language"},
    ],
    "empty": [],
    "enclosures": [
        {"enclosures": [AUDIO, VIDEO, UNKNOWN]},
        {"enclosures": [UNKNOWN]},
        {"enclosures": [AUDIO, {**AUDIO, "media_type": "?"}]},
        {
            "enclosures": [VIDEO, {**AUDIO, "media_type": "?"}],
            "image": "https://news.example/a.png",
        },
    ],
    "images": [
        {"image": "https://news.example/图 1.webp"},
        {"image": "https://news.example/a.png?x=1&y=2", "enclosures": [AUDIO]},
    ],
}


def complaints(body: bytes, address: str) -> str:
    """What the validator says of a document that is served at an address."""
    checkout = os.environ.get("FEEDVALIDATOR")
    if not checkout:
        pytest.skip("FEEDVALIDATOR names no checkout of w3c/feedvalidator")
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT, address],
        input=body,
        capture_output=True,
        check=True,
        cwd=Path(checkout) / "src",
    )
    return said.stdout.decode().strip()


def build(make_article: ArticleBuilder, given: list[dict[str, Any]]) -> list[Article]:
    articles = []
    for number, values in enumerate(given, 1):
        article = make_article(number, **{k: v for k, v in values.items() if v != "later"})
        if "updated_at" in values:
            article.updated_at = article.published_at.replace(day=28)
        articles.append(article)
    return articles


@pytest.mark.parametrize("content", ["full", "summary"])
@pytest.mark.parametrize("feed_format", XML)
@pytest.mark.parametrize("given", ARTICLES.values(), ids=ARTICLES)
def test_the_validator_is_content(
    make_article: ArticleBuilder,
    make_spec: SpecBuilder,
    given: list[dict[str, Any]],
    feed_format: FeedFormat,
    content: str,
) -> None:
    spec = make_spec(content=content, formats=(feed_format,))
    body = write_feed(spec, build(make_article, given))[feed_format]
    assert complaints(body, document_url(spec.base_url, spec.key, feed_format)) == ""


@pytest.mark.parametrize("feed_format", XML)
@pytest.mark.parametrize("image", [None, "logo.png", "logo.webp", "标志.jpg?v=2", "logo"])
def test_the_validator_is_content_with_a_picture_and_hubs(
    make_article: ArticleBuilder, make_spec: SpecBuilder, feed_format: FeedFormat, image: str | None
) -> None:
    address = f"https://news.example/{image}" if image else None
    spec = make_spec(
        title="晨报 & News",
        description="",
        language="zh-CN",
        image=address,
        guid="9b024349-ccf0-5f69-a609-6b82873eab3c",
        formats=(feed_format,),
    )
    body = write_feed(spec, [make_article()], HUBS)[feed_format]
    assert complaints(body, document_url(spec.base_url, spec.key, feed_format)) == ""


@pytest.mark.parametrize("feed_format", XML)
@pytest.mark.parametrize("empty", [False, True], ids=["episodes", "empty"])
def test_the_validator_is_content_with_a_podcast(
    make_article: ArticleBuilder, make_spec: SpecBuilder, feed_format: FeedFormat, empty: bool
) -> None:
    podcast = replace(PODCAST, type="serial", new_feed_url="https://news.example/新")
    spec = make_spec(
        podcast=podcast,
        image="https://news.example/cover.jpg",
        language="zh-CN",
        guid="9b024349-ccf0-5f69-a609-6b82873eab3c",
        formats=(feed_format,),
    )
    episodes = [
        make_article(3, enclosures=[AUDIO], extra=EPISODE, image="https://news.example/3.jpg"),
        make_article(2, enclosures=[UNKNOWN, VIDEO], extra={"episode_type": "bonus"}),
        make_article(1),
    ]
    body = write_feed(spec, [] if empty else episodes, HUBS)[feed_format]
    assert complaints(body, document_url(spec.base_url, spec.key, feed_format)) == ""


@pytest.mark.parametrize("feed_format", XML)
def test_the_validator_is_content_with_an_archive_page(
    make_article: ArticleBuilder, make_spec: SpecBuilder, feed_format: FeedFormat
) -> None:
    spec = make_spec(formats=(feed_format,))
    address = document_url(spec.base_url, spec.key, feed_format, ArchiveName(2, 1))
    links = archive_links(feed_format)
    page = write_feed(spec, [make_article(2), make_article(1)], links, address)[feed_format]
    assert complaints(page, address) == ""
    feed = write_feed(spec, [make_article(9)], Links(previous_archive=address))[feed_format]
    assert complaints(feed, document_url(spec.base_url, spec.key, feed_format)) == ""


def test_the_validator_would_say_so(make_article: ArticleBuilder, make_spec: SpecBuilder) -> None:
    body = write_feed(make_spec(), [make_article()])[FeedFormat.RSS]
    address = document_url("https://news.example", "all", FeedFormat.RSS)
    assert "length" in complaints(body.replace(b"</item>", b'<enclosure url="x"/></item>'), address)
