"""A filter says the same of an article in SQLite, in PostgreSQL and in Python."""

from datetime import timedelta
from typing import Any

import pytest
from filter_cases import FIRST, article_values, build_articles, conditions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import and_, delete, select, true
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.kit.filters import Filter, parse_filter
from feedsvc.model.article import Article

pytestmark = pytest.mark.anyio


async def store(database: Database, articles: list[Article]) -> None:
    async with database.write() as session:
        await session.execute(delete(Article))
        session.add_all(articles)


async def admitted_ids(database: Database, admitted: Filter) -> list[int | None]:
    async with database.read() as session:
        conditions = admitted.to_sql(database.kind)
        query = select(col(Article.id)).where(*conditions).order_by(col(Article.id))
        return list((await session.execute(query)).scalars())


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    values=st.lists(article_values, min_size=1, max_size=6),
    wanted=st.lists(conditions, min_size=1, max_size=10),
)
async def test_sql_and_predicate_agree(
    database: Database, values: list[dict[str, Any]], wanted: list[Any]
) -> None:
    filters = [Filter(condition) for condition in wanted]
    await store(database, build_articles(values))
    columns = [and_(true(), *one.to_sql(database.kind)) for one in filters]
    async with database.read() as session:
        articles = (await session.execute(select(Article).order_by(col(Article.id)))).scalars()
        query = select(*columns).select_from(Article).order_by(col(Article.id))
        rows = await session.execute(query)
        for article, found in zip(articles, rows, strict=True):
            for one, said in zip(filters, found, strict=True):
                assert bool(said) is one.matches(article), (one, article)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [1, 2, 3]),
        ('section != "ads"', [2, 3]),
        ('not (section = "ads" or section contains "CIT")', [2]),
        ('topic = "科技" or topic contains "KYO"', [1, 3]),
        ('language = "zh" and language is not "zh-CN"', [2]),
        ('title contains "%" or title contains "_"', [2]),
        ('text contains "A & b" and has enclosure', [1]),
        ("published >= 2026-01-01 and published < 2026-01-01T16:00:00.000007Z", [1]),
        ("announced and not has image", [1, 3]),
    ],
)
async def test_a_filter_selects_rows(database: Database, text: str, ids: list[int]) -> None:
    plain = {"source": "s", "summary": "", "updated_at": FIRST, "authors": []}
    file = {"url": "https://x/1.mp3", "media_type": "audio/mpeg", "length_bytes": 1}
    one = {"section": "ads", "topics": ["科技"], "language": "zh-CN", "title": "新地铁"}
    two = {"section": None, "topics": [], "language": "zh", "title": "50% of _"}
    three = {"section": "city", "topics": ["it's", "Tokyo"], "language": "en", "title": "Trams"}
    first = {"content": "a &amp; B", "published_at": FIRST, "enclosures": [file]}
    rest = {"content": "a &amp; B", "published_at": FIRST + timedelta(hours=16, microseconds=7)}
    articles = build_articles(
        [
            {**plain, **one, **first},
            {**plain, **two, **rest, "image": "https://x/1.png"},
            {**plain, **three, **rest},
        ]
    )
    assert [one.id for one in articles if parse_filter(text).matches(one)] == ids
    await store(database, articles)
    assert await admitted_ids(database, parse_filter(text)) == ids


async def test_a_long_list_fits_into_one_statement(database: Database) -> None:
    listed = ", ".join(f'"{number}"' for number in range(500))
    terms = " or ".join(
        [f"topic in ({listed})", f"section not in ({listed})", *["announced"] * 150]
    )
    await store(database, [])
    assert await admitted_ids(database, parse_filter(terms)) == []
