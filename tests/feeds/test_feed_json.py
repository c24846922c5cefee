"""JSON Feed 1.1 documents hold what the specification wants and nothing it does not know."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from feedsvc.feeds.documents import FeedSpec, render_documents
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
    size_in_bytes={"type": "integer", "minimum": 0},
)
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
    ["version", "title", "home_page_url", "feed_url", "language", "items"],
    version={"const": "https://jsonfeed.org/version/1.1"},
    title=_TEXT,
    home_page_url=_URL,
    feed_url=_URL,
    description=_TEXT,
    language=_TEXT,
    items={"type": "array", "items": _ITEM},
)
Draft202012Validator.check_schema(JSON_FEED)

PODCAST = {"url": "https://news.example/a.mp3", "media_type": "audio/mpeg", "length_bytes": 4321}


@pytest.fixture
def render(make_spec: SpecBuilder) -> Callable[..., Any]:
    """Render articles, check the document, and read it."""

    def render_one(*articles: Article, **spec: Any) -> Any:
        body = render_documents(make_spec(**spec), articles).documents[FeedFormat.JSON]
        document = json.loads(body)
        Draft202012Validator(JSON_FEED).validate(document)
        return document

    return render_one


def test_an_item_holds_the_article(render: Any, make_article: ArticleBuilder) -> None:
    article = make_article(
        2,
        authors=["Alice", "李雷"],
        language="zh-CN",
        image="https://news.example/图.jpg",
        enclosures=[PODCAST],
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
        "attachments": [{"url": PODCAST["url"], "mime_type": "audio/mpeg", "size_in_bytes": 4321}],
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
