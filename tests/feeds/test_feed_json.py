"""JSON Feed 1.1 documents hold what the specification wants and nothing it does not know."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from feed_writing import AUDIO, EPISODE, UNKNOWN, archive_links, write_feed
from jsonschema import Draft7Validator, Draft202012Validator

from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import Links
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

_TEXT = {"type": "string", "minLength": 1}
_URL = {"type": "string", "pattern": "^https?://[!-~]+$"}
_AT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$"}


def _object(required: list[str], **members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": members,
        "additionalProperties": False,
    }


_AUTHORS = {"type": "array", "minItems": 1, "items": _object(["name"], name=_TEXT)}
_ATTACHMENT = _object(
    ["url", "mime_type"],
    url=_URL,
    mime_type=_TEXT,
    size_in_bytes={"type": "integer", "minimum": 1},
    duration_in_seconds={"type": "integer", "minimum": 1},
)
_HUB = _object(["type", "url"], type=_TEXT, url=_URL)
_ITEM = {
    **_object(
        ["id", "url", "title", "date_published", "date_modified", "language"],
        id=_TEXT,
        url=_URL,
        title=_TEXT,
        content_html=_TEXT,
        content_text=_TEXT,
        summary=_TEXT,
        image=_URL,
        date_published=_AT,
        date_modified=_AT,
        authors=_AUTHORS,
        tags={"type": "array", "minItems": 1, "items": _TEXT},
        language=_TEXT,
        attachments={"type": "array", "minItems": 1, "items": _ATTACHMENT},
    ),
    "oneOf": [{"required": ["content_html"]}, {"required": ["content_text"]}],
}
JSON_FEED = _object(
    ["version", "title", "home_page_url", "feed_url", "authors", "language", "items"],
    version={"const": "https://jsonfeed.org/version/1.1"},
    title=_TEXT,
    home_page_url=_URL,
    feed_url=_URL,
    description=_TEXT,
    next_url=_URL,
    icon=_URL,
    favicon=_URL,
    authors=_AUTHORS,
    language=_TEXT,
    hubs={"type": "array", "minItems": 1, "items": _HUB},
    items={"type": "array", "items": _ITEM},
)
Draft202012Validator.check_schema(JSON_FEED)

#: Path of schema-v1.1.json of the npm package jsonfeed-schema; the tests hold without it.
OTHER_SCHEMA = os.environ.get("JSONFEED_SCHEMA")


@pytest.fixture
def render(make_spec: SpecBuilder) -> Callable[..., Any]:
    """Render articles, check the document, and read it."""

    def render_one(*articles: Article, links: Links | None = None, **spec: Any) -> Any:
        body = write_feed(make_spec(**spec), articles, links)[FeedFormat.JSON]
        document = json.loads(body)
        Draft202012Validator(JSON_FEED).validate(document)
        if OTHER_SCHEMA:
            Draft7Validator(json.loads(Path(OTHER_SCHEMA).read_bytes())).validate(document)
        return document

    return render_one


def test_an_item_holds_the_article(render: Any, make_article: ArticleBuilder) -> None:
    article = make_article(
        2,
        authors=["Alice", "李雷"],
        language="zh-CN",
        image="https://news.example/图.jpg",
        enclosures=[AUDIO],
    )
    [item] = render(article)["items"]
    assert item == {
        "id": article.guid,
        "url": "https://news.example/articles/article-2",
        "title": "Article 2",
        "content_html": article.content,
        "summary": "Summary 2",
        "image": "https://news.example/%E5%9B%BE.jpg",
        "date_published": "2026-03-02T03:30:00+00:00",
        "date_modified": "2026-03-02T03:30:00+00:00",
        "authors": [{"name": "Alice"}, {"name": "李雷"}],
        "tags": ["City", "trams"],
        "language": "zh-CN",
        "attachments": [{"url": AUDIO["url"], "mime_type": "audio/mpeg", "size_in_bytes": 4321}],
    }


def test_the_bare_minimum_is_still_a_feed(render: Any, make_article: ArticleBuilder) -> None:
    bare = make_article(title="\x00", summary="", content=" ", authors=[], topics=[], section=None)
    assert render(bare)["items"][0]["content_text"] == "https://news.example/articles/article-1"
    assert render(description="")["items"] == []


def test_a_feed_of_summaries_holds_no_whole_text_in_json(
    render: Any, make_article: ArticleBuilder
) -> None:
    [item] = render(make_article(), content="summary")["items"]
    assert "content_html" not in item
    assert item["content_text"] == "Summary 1"


@pytest.mark.parametrize("text", ["🚋 ]]> \u2028", 'a"b\\c', "lone \ud800 half", "北京\x0b"])
def test_any_text_is_json(render: Any, make_article: ArticleBuilder, text: str) -> None:
    [item] = render(make_article(summary=text, content=f"<p>{text}</p>"))["items"]
    kept = text.replace("\ud800", "").replace("\x0b", "").strip()
    assert item["summary"] == kept


def test_dates_can_be_read(render: Any, make_article: ArticleBuilder) -> None:
    article = make_article()
    [item] = render(article)["items"]
    assert datetime.fromisoformat(item["date_published"]) == article.published_at


def test_all_files_are_attached(render: Any, make_article: ArticleBuilder) -> None:
    [item] = render(make_article(enclosures=[AUDIO, UNKNOWN], extra=EPISODE))["items"]
    assert item["attachments"] == [
        {
            "url": "https://news.example/a.mp3",
            "mime_type": "audio/mpeg",
            "size_in_bytes": 4321,
            "duration_in_seconds": 3723,
        },
        {"url": "https://news.example/%E7%AC%AC1%E9%9B%86.m4a", "mime_type": "audio/mp4"},
    ]


def test_a_feed_names_its_maker_its_picture_and_its_hubs(render: Any) -> None:
    feed = render(
        image="https://news.example/标志.png",
        links=Links(
            hubs=("https://a.example/", "https://b.example/"), previous_archive="https://p"
        ),
    )
    logo = "https://news.example/%E6%A0%87%E5%BF%97.png"
    assert (feed["icon"], feed["favicon"]) == (logo, logo)
    assert feed["authors"] == [{"name": "The News"}]
    assert feed["hubs"] == [
        {"type": "WebSub", "url": "https://a.example/"},
        {"type": "WebSub", "url": "https://b.example/"},
    ]
    assert feed["next_url"] == "https://p"


def test_an_archive_page_is_a_page_of_its_feed(render: Any, make_article: ArticleBuilder) -> None:
    page = render(make_article(), links=archive_links(FeedFormat.JSON))
    assert page["feed_url"] == "https://news.example/feeds/all/feed.json"
    assert page["next_url"] == "https://news.example/feeds/all/archive/1-1/feed.json"
