"""The articles of a topic or an author are found in order, at the cost of those there are."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, insert, select, true, update
from sqlmodel import col

from feedsvc.articles.changed import mark_changed
from feedsvc.articles.labels import save_labels
from feedsvc.db.engine import Database
from feedsvc.feeds import numbers
from feedsvc.feeds.numbers import find_lead, select_numbers
from feedsvc.feeds.select import select_window
from feedsvc.feeds.spec import Window
from feedsvc.kit.filters import Filter, parse_filter
from feedsvc.model.article import Article, ArticleLabel, ArticleState

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]

NAMES = ("科技", "trams", "Trams", 'a "b"', "it's", "back\\slash", "é", "e\u0301", "😀", "", "李雷")
_names = st.lists(st.sampled_from(NAMES), max_size=3)
_articles = st.fixed_dictionaries(
    {
        "topics": _names,
        "authors": _names,
        "section": st.sampled_from([None, "City"]),
        "announce": st.booleans(),
        "state": st.sampled_from([ArticleState.PUBLISHED] * 3 + [ArticleState.WITHDRAWN]),
    }
)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_listed = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(
    lambda names: f"({', '.join(map(_quote, names))})"
)
_parts = st.one_of(
    st.builds("{} in {}".format, st.sampled_from(["topic", "author"]), _listed),
    st.builds("not topic in {}".format, _listed),
    st.sampled_from(['section = "City"', 'section != "City"', "announced", 'language = "en"']),
)
_filters = st.lists(_parts, min_size=1, max_size=3).map(
    lambda parts: parse_filter(" and ".join(parts))
)


async def save(database: Database, *articles: Article) -> None:
    """Store articles as a publication does it."""
    async with database.write() as session:
        session.add_all(articles)
        await session.flush()
        await mark_changed(session, [one.id or 0 for one in articles])


async def find(database: Database, admitted: Filter, limit: int = 50, **bounds: Any) -> list[int]:
    async with database.read() as session:
        lead = await find_lead(session, admitted)
        found = select_numbers(session, admitted, lead, **bounds).limit(limit)
        return list(await session.scalars(found))


async def labels(database: Database) -> set[tuple[object, ...]]:
    async with database.read() as session:
        label = ArticleLabel
        columns = select(col(label.kind), col(label.value), col(label.seq))
        return {tuple(row) for row in await session.execute(columns)}


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    values=st.lists(_articles, min_size=1, max_size=8),
    later=st.lists(_articles, max_size=3),
    wanted=st.lists(_filters, min_size=1, max_size=5),
    few=st.sampled_from([0, 2, 2000]),
)
async def test_what_is_found_is_what_the_filter_admits(
    database: Database,
    make_article: ArticleBuilder,
    values: list[dict[str, Any]],
    later: list[dict[str, Any]],
    wanted: list[Filter],
    few: int,
) -> None:
    async with database.write() as session:
        await session.execute(delete(ArticleLabel))
        await session.execute(delete(Article))
    await save(database, *(make_article(number, **one) for number, one in enumerate(values, 1)))
    async with database.write() as session:
        for number, one in enumerate(later, 1):
            await session.execute(update(Article).where(col(Article.id) == number).values(**one))
        await mark_changed(session, list(range(1, len(later) + 1)))
    async with database.read() as session:
        articles = list(await session.scalars(select(Article).order_by(col(Article.seq))))
    there = [one for one in articles if one.state is ArticleState.PUBLISHED]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "_FEW", few)
        for admitted in wanted:
            expected = [one.seq for one in there if admitted.matches(one)]
            assert await find(database, admitted) == expected
            newest = await find(database, admitted, 2, newest_first=True)
            assert newest == expected[::-1][:2]
            between = [seq for seq in expected if seq is not None and 2 < seq < 6]
            assert await find(database, admitted, above=2, below=6) == between


async def test_a_label_stays_as_long_as_the_article_has_it(
    database: Database, make_article: ArticleBuilder
) -> None:
    await save(
        database,
        make_article(1, topics=["科技", "科技", "t" * 200, "u" * 201], authors=["李雷", "Alice"]),
        make_article(2, topics=["hidden"], seq=None, state=ArticleState.SCHEDULED),
    )
    alice = {("author", "李雷", 1), ("author", "Alice", 1)}
    assert await labels(database) == {("topic", "科技", 1), ("topic", "t" * 200, 1), *alice}
    async with database.write() as session:
        first = update(Article).where(col(Article.id) == 1)
        await session.execute(first.values(topics=["trams"], authors=["李雷"]))
        await mark_changed(session, [1])
    assert await labels(database) == {("topic", "trams", 1), ("author", "李雷", 1)}
    async with database.write() as session:
        await session.execute(first.values(state=ArticleState.WITHDRAWN))
        await mark_changed(session, [1])
    assert await labels(database) == set()


async def test_a_topic_too_long_for_a_label_is_found_too(
    database: Database, make_article: ArticleBuilder
) -> None:
    await save(database, make_article(1, topics=["长" * 201]), make_article(2, topics=["长" * 200]))
    assert await find(database, parse_filter(f'topic = "{"长" * 201}"')) == [1]
    assert await find(database, parse_filter(f'topic = "{"长" * 200}"')) == [2]


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        ("", None),
        ('section = "rare"', None),
        ('not topic = "rare"', None),
        ('topic = "rare" or announced', None),
        ('topic = "common"', "topic"),
        ('topic = "common" and section != "ads"', "topic"),
        ('topic = "common" and section = "ads"', None),
        ('topic = "common" and language is "en"', None),
        ('topic = "common" and language = "en"', "topic"),
        ('topic = "rare" and section = "ads"', "topic"),
        ('topic in ("common", "rare")', None),
        ('topic in ("rare", "nothing")', "topic"),
        ('topic = "common" and author = "Rare"', "author"),
    ],
)
async def test_the_way_is_chosen_that_leads_past_few_articles(
    database: Database,
    make_article: ArticleBuilder,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    lead: str | None,
) -> None:
    monkeypatch.setattr(numbers, "_FEW", 3)
    await save(
        database,
        make_article(1, topics=["rare", "common"], authors=["Rare"]),
        *(make_article(number, topics=["common"]) for number in range(2, 6)),
    )
    async with database.read() as session:
        found = await find_lead(session, parse_filter(text))
    assert (found and found.part.field) == lead


async def test_a_rare_topic_is_found_without_a_walk_through_the_articles(
    database: Database, make_article: ArticleBuilder
) -> None:
    topics = {number: ["common"] for number in range(1, 3001)} | {7: ["common", "稀有"]}
    async with database.write() as session:
        articles = [make_article(one, topics=names) for one, names in topics.items()]
        await session.execute(insert(Article), [one.model_dump() for one in articles])
        await save_labels(session, true())
    if database.kind == "postgresql":
        async with database.write() as session:
            connection = await session.connection()
            await connection.exec_driver_sql("ANALYZE")
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    now = articles[-1].published_at
    async with database.read() as session:
        for text in ('topic = "稀有"', 'author = "Alice"', 'topic = "稀有" and section = "City"'):
            window = await select_window(session, parse_filter(text), Window(10), now)
            assert window.rows
    event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if database.kind == "sqlite" else "EXPLAIN "
    async with database.engine.connect() as connection:
        for statement, parameters in statements:
            plan = await connection.exec_driver_sql(explain + statement, parameters)
            steps = "\n".join(str(tuple(row)) for row in plan)
            assert "article_label" in steps
            for walk in ("SCAN article", "Seq Scan on article", "ix_article_published (state=?)"):
                assert walk not in steps, steps
