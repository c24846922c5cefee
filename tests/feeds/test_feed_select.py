"""The window holds the newest articles that belong to the feed."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from feedsvc.db.engine import Database
from feedsvc.feeds.select import select_articles
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.ports import Selection

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]


async def seqs(
    database: Database, selection: Selection | None = None, window: int = 50
) -> list[int | None]:
    async with database.read() as session:
        articles = await select_articles(session, selection or Selection(), window)
        return [article.seq for article in articles]


async def save(database: Database, *articles: Article) -> None:
    async with database.write() as session:
        session.add_all(articles)


async def test_the_window_is_the_last_by_number_ordered_by_date(
    database: Database, make_article: ArticleBuilder
) -> None:
    back_dated = make_article(4, published_at=datetime(2020, 1, 1, tzinfo=UTC))
    await save(database, *(make_article(number) for number in (1, 2, 3)), back_dated)
    assert await seqs(database, window=3) == [3, 2, 4]


async def test_equal_dates_stand_in_order_of_publication(
    database: Database, make_article: ArticleBuilder
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await save(database, *(make_article(number, published_at=at) for number in (1, 2, 3)))
    assert await seqs(database) == [3, 2, 1]


async def test_only_published_articles_are_in_feeds(
    database: Database, make_article: ArticleBuilder
) -> None:
    await save(
        database,
        make_article(1),
        make_article(2, state=ArticleState.WITHDRAWN),
        make_article(3, state=ArticleState.HELD, seq=None),
        make_article(4, state=ArticleState.SCHEDULED, seq=None),
    )
    assert await seqs(database) == [1]


async def test_articles_not_to_be_announced_are_in_feeds(
    database: Database, make_article: ArticleBuilder
) -> None:
    await save(database, make_article(1, announce=False))
    assert await seqs(database) == [1]


async def test_a_selection_in_the_database_says_what_it_says_in_python(
    database: Database, make_article: ArticleBuilder
) -> None:
    choices: list[dict[str, Any]] = [
        {"source": source, "section": section, "topics": topics, "language": language}
        for source, section, topics, language in product(
            ["news", "blog"], [None, "城市"], [[], ["电车"], ["电车", "it's"]], ["en", "zh-CN"]
        )
    ]
    articles = [make_article(number, **one) for number, one in enumerate(choices, 1)]
    await save(database, *articles)
    for selection in (
        Selection(),
        Selection(sources=frozenset({"blog"})),
        Selection(sections=frozenset({"城市"})),
        Selection(topics=frozenset({"电车"})),
        Selection(topics=frozenset({"it's", "nothing"})),
        Selection(languages=frozenset({"zh-CN", "en"})),
        Selection(
            sources=frozenset({"news", "blog"}),
            topics=frozenset({"it's"}),
            languages=frozenset({"en"}),
        ),
        Selection(topics=frozenset({"电"})),
    ):
        expected = [article.seq for article in articles if selection.matches(article)]
        assert sorted(seq or 0 for seq in await seqs(database, selection)) == expected
