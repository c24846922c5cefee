"""The window holds the newest articles that belong to the feed, and those young enough."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event, true

from feedsvc.articles.labels import save_labels
from feedsvc.db.engine import Database
from feedsvc.feeds.select import WindowRows, light_row, select_window
from feedsvc.feeds.spec import Window
from feedsvc.kit.filters import Filter, from_selection
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.ports import Selection

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]

NOW = datetime(2026, 3, 10, 8, 4, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def look(
    database: Database, window: Window, now: datetime = NOW, admitted: Filter | None = None
) -> WindowRows:
    async with database.read() as session:
        return await select_window(session, admitted or Filter(), window, now)


async def seqs(
    database: Database, window: Window | None = None, admitted: Filter | None = None
) -> list[int]:
    window = window or Window(50)
    return [row.seq for row in (await look(database, window, admitted=admitted)).rows]


async def save(database: Database, *articles: Article) -> None:
    async with database.write() as session:
        session.add_all(articles)
        await session.flush()
        await save_labels(session, true())


async def test_the_window_is_the_last_by_number_ordered_by_date(
    database: Database, make_article: ArticleBuilder
) -> None:
    back_dated = make_article(4, published_at=datetime(2020, 1, 1, tzinfo=UTC))
    await save(database, *(make_article(number) for number in (1, 2, 3)), back_dated)
    assert await seqs(database, Window(3)) == [3, 2, 4]


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


async def test_a_row_says_of_an_article_what_the_article_says(
    database: Database, make_article: ArticleBuilder
) -> None:
    article = make_article(1, title="北京", set_aside="no zone", revision=3)
    await save(database, article)
    assert (await look(database, Window(1))).rows == [light_row(article)]


async def test_a_filter_in_the_database_says_what_it_says_in_python(
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
        Selection(topics=frozenset({"it's", "nothing"})),
        Selection(languages=frozenset({"zh-CN", "en"})),
        Selection(sources=frozenset({"news"}), topics=frozenset({"it's"})),
        Selection(topics=frozenset({"电"})),
    ):
        admitted = from_selection(selection)
        expected = [article.seq for article in articles if admitted.matches(article)]
        assert sorted(await seqs(database, admitted=admitted)) == expected


async def test_young_articles_stay_beyond_the_count(
    database: Database, make_article: ArticleBuilder
) -> None:
    old, young = NOW - 5 * HOUR, NOW - HOUR
    await save(
        database,
        make_article(1, stored_at=old, published_at=old),
        make_article(2, stored_at=young, published_at=old),
        make_article(3, stored_at=old, published_at=young),
        make_article(4, stored_at=young, published_at=old, announce=False),
        make_article(5, stored_at=old, published_at=old),
    )
    found = await look(database, Window(1, keep=2 * HOUR))
    assert [row.seq for row in found.rows] == [3, 5, 2]
    assert await seqs(database, Window(1)) == [5]


async def test_young_articles_are_kept_for_feeds_they_belong_to_alone(
    database: Database, make_article: ArticleBuilder
) -> None:
    sections = ["城市", "City", "城市", "城市"]
    young = {"stored_at": NOW - HOUR}
    await save(
        database,
        *(make_article(one, section=name, **young) for one, name in enumerate(sections, 1)),
    )
    city = from_selection(Selection(sections=frozenset({"城市"})))
    assert sorted(await seqs(database, Window(1, keep=2 * HOUR), city)) == [1, 3, 4]


async def test_no_burst_makes_a_document_longer_than_any_may_be(
    database: Database, make_article: ArticleBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedsvc.feeds.select.MOST_ENTRIES", 4)
    await save(database, *(make_article(one, stored_at=NOW - HOUR) for one in range(1, 9)))
    assert await seqs(database, Window(2, keep=2 * HOUR)) == [8, 7, 6, 5]


async def test_what_is_too_old_leaves_and_makes_room_for_what_is_not(
    database: Database, make_article: ArticleBuilder
) -> None:
    aged = {1: 30, 2: 3, 3: 50, 4: 1}
    await save(
        database,
        *(make_article(number, published_at=NOW - age * HOUR) for number, age in aged.items()),
    )
    # The back-dated third is too old, though it is among the two newest by number.
    assert await seqs(database, Window(2, max_age=timedelta(days=1))) == [4, 2]
    assert await seqs(database, Window(3, max_age=timedelta(days=1))) == [4, 2]


async def test_a_window_is_the_same_until_the_instant_it_names(
    database: Database, make_article: ArticleBuilder
) -> None:
    start = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
    young = {1: start - timedelta(minutes=67), 2: start - timedelta(minutes=21), 3: start}
    await save(
        database,
        *(make_article(one, stored_at=at, published_at=at) for one, at in young.items()),
    )
    window = Window(1, max_age=timedelta(hours=2), keep=timedelta(minutes=90))
    changes = []
    found = await look(database, window, start)
    for minutes in range(200):
        now = start + timedelta(minutes=minutes)
        seen = await look(database, window, now)
        if [row.seq for row in seen.rows] != [row.seq for row in found.rows]:
            changes.append((minutes, [row.seq for row in seen.rows]))
            assert found.renew_at == now
        found = seen
    assert changes == [(30, [3, 2]), (70, [3]), (120, [])]
    assert found.renew_at is None


async def test_a_window_without_ages_never_changes_by_itself(
    database: Database, make_article: ArticleBuilder
) -> None:
    await save(database, make_article(1, stored_at=NOW))
    assert (await look(database, Window(1))).renew_at is None
    # It is in by its number, so its youth does not matter yet.
    assert (await look(database, Window(1, keep=HOUR))).renew_at is None


async def test_the_search_for_a_window_walks_through_no_table(database: Database) -> None:
    if database.kind != "sqlite":
        pytest.skip("SQLite tells how it will search, and does so whatever the tables hold")
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT article"):
            statements.append((statement, parameters))

    await save(
        database, *(Article(**_plain(number)) for number in range(1, 4))
    )  # so that there is one beyond the count
    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    await look(database, Window(2, keep=HOUR))
    await look(
        database, Window(2, keep=HOUR), admitted=from_selection(Selection(sections=frozenset("a")))
    )
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    expected = ["ix_article_published", "ix_article_stored", "ix_article_section", "ix_article_due"]
    async with database.read() as session:
        connection = await session.connection()
        plans = ""
        for statement, parameters in statements:
            explained = await connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", parameters
            )
            plan = " / ".join(row[3] for row in explained)
            plans += f"{plan}\n"
            assert "SCAN article" not in plan
            if "stored_at >" in statement:
                assert plan.count("USING INTEGER PRIMARY KEY (rowid=?)") == 2, plan
    assert all(index in plans for index in expected), plans


def _plain(number: int) -> dict[str, Any]:
    return {
        "source": "news",
        "source_key": f"{number}",
        "fingerprint": f"{number}",
        "seq": number,
        "guid": f"{number}",
        "slug": f"{number}",
        "title": "Article",
        "section": "a",
        "language": "en",
        "published_at": NOW,
        "updated_at": NOW,
        "content": "",
        "summary": "",
        "content_hash": f"{number}",
        "state": ArticleState.PUBLISHED,
        "stored_at": NOW,
    }


async def test_a_back_catalogue_does_not_drive_the_new_out_of_a_window_by_age(
    database: Database, make_article: ArticleBuilder
) -> None:
    """Old articles that come in late have the highest numbers, and count for nothing here."""
    now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    new = [make_article(number, published_at=now - timedelta(hours=1)) for number in (1, 2)]
    old = [make_article(number, published_at=now - timedelta(days=99)) for number in range(3, 9)]
    await save(database, *new, *old)
    window = Window(3, max_age=timedelta(days=30))
    async with database.read() as session:
        selected = await select_window(session, Filter(), window, now)
    assert [row.seq for row in selected.rows] == [2, 1]
