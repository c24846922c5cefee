"""Keeps the topics and authors of published articles where those that few have are found at once.

Takes them from the articles as they are stored; decides nothing.
"""

from typing import Any

from sqlalchemy import Select, Text, cast, delete, func, insert, literal, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.model.article import LABEL_LENGTH, LABELLED, Article, ArticleLabel, ArticleState


async def save_labels(session: AsyncSession, changed: ColumnElement[bool]) -> None:
    """Bring the labels of some articles in line with them. May run twice.

    Args:
        session: a write transaction that nobody else changes these articles in.
        changed: which articles.
    """
    numbers = select(col(Article.seq)).where(changed, col(Article.seq).is_not(None))
    await session.execute(
        delete(ArticleLabel)
        .where(col(ArticleLabel.seq).in_(numbers))
        .execution_options(synchronize_session=False)
    )
    dialect = session.get_bind().dialect.name
    labels = union_all(*(_labels(kind, changed, dialect) for kind in LABELLED))
    await session.execute(insert(ArticleLabel).from_select(["kind", "value", "seq"], labels))


def _labels(kind: str, changed: ColumnElement[bool], dialect: str) -> Select[Any]:
    listed = func.json_each if dialect == "sqlite" else func.jsonb_array_elements_text
    elements = listed(col(getattr(Article, LABELLED[kind]))).table_valued("value")
    value = elements.c.value
    return (
        select(literal(kind, Text), value, col(Article.seq))
        .select_from(Article)
        .join(elements, true())
        .where(
            changed,
            # QUIRK: as a plain comparison it would have SQLite go through all that are published.
            cast(col(Article.state), Text) == ArticleState.PUBLISHED.value,
            func.length(value) <= LABEL_LENGTH,
        )
        .distinct()
    )
