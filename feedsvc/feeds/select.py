"""Which articles are in a feed's window: the newest by publication number."""

from sqlalchemy import Text, cast, exists, func, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.model.article import Article, ArticleState
from feedsvc.model.ports import Selection


async def select_articles(
    session: AsyncSession, selection: Selection, window: int
) -> list[Article]:
    """The last `window` published articles by `seq`, newest date first.

    A late or back-dated article enters the window when it is published, and stands in it where
    its date puts it. Articles once set aside are tried again: they may be writable by now.
    """
    conditions = _conditions(selection, session.get_bind().dialect.name)
    newest = (
        select(Article)
        .where(col(Article.state) == ArticleState.PUBLISHED, *conditions)
        .order_by(col(Article.seq).desc())
        .limit(window)
    )
    articles = list((await session.execute(newest)).scalars())
    articles.sort(key=lambda article: (article.published_at, article.seq or 0), reverse=True)
    return articles


def _conditions(selection: Selection, dialect: str) -> list[ColumnElement[bool]]:
    """The selection in SQL; says the same as Selection.matches."""
    conditions: list[ColumnElement[bool]] = []
    for column, wanted in (
        (col(Article.source), selection.sources),
        (col(Article.section), selection.sections),
        (col(Article.language), selection.languages),
    ):
        if wanted:
            conditions.append(column.in_(sorted(wanted)))
    if selection.topics:
        conditions.append(_has_topic(sorted(selection.topics), dialect))
    return conditions


def _has_topic(topics: list[str], dialect: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        stored = type_coerce(col(Article.topics), JSONB)
        any_of_them: ColumnElement[bool] = stored.has_any(cast(topics, ARRAY(Text)))
        return any_of_them
    each = func.json_each(col(Article.topics)).table_valued("value")
    return exists(select(1).select_from(each).where(each.c.value.in_(topics)))
