"""Builders of articles and feeds, as they come out of the database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.kit.filters import Filter
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import FeedFormat

BASE = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]


def build_article(number: int = 1, **values: Any) -> Article:
    """Article `number`: published that many hours after the first, and unlike all others."""
    at = BASE + timedelta(hours=number)
    plain: dict[str, Any] = {
        "id": number,
        "source": "news",
        "source_key": f"{number}.md",
        "fingerprint": f"{number:064x}",
        "seq": number,
        "guid": f"urn:uuid:{uuid5(NAMESPACE_URL, str(number))}",
        "slug": f"article-{number}",
        "title": f"Article {number}",
        "authors": ["Alice"],
        "section": "City",
        "topics": ["trams"],
        "language": "en",
        "published_at": at,
        "updated_at": at,
        "content": f'<p>Whole text <a href="https://news.example/{number}">{number}</a></p>',
        "summary": f"Summary {number}",
        "content_hash": f"{number:064x}",
        "state": ArticleState.PUBLISHED,
        "stored_at": at,
    }
    return Article(**{**plain, **values})


def build_spec(**values: Any) -> FeedSpec:
    """A feed of everything, in all formats, whole articles."""
    plain: dict[str, Any] = {
        "key": "all",
        "title": "Morning News",
        "description": "What happened",
        "language": "en",
        "formats": tuple(FeedFormat),
        "content": "full",
        "window": Window(20),
        "filter": Filter(),
        "base_url": "https://news.example",
        "site_title": "The News",
    }
    return FeedSpec(**{**plain, **values})


@pytest.fixture(scope="session")
def make_article() -> ArticleBuilder:
    return build_article


@pytest.fixture(scope="session")
def make_spec() -> SpecBuilder:
    return build_spec
