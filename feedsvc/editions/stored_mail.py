"""Mails as they were stored, and what became of their articles since. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.stored_page import GoneArticle
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import Cohort, CohortItem, Edition, ItemOutcome
from feedsvc.model.newsletter import Newsletter

#: Outcomes of the articles whose words stand in a mail or on its page.
_SHOWN = (ItemOutcome.MAILED, ItemOutcome.AND_MORE)
_IN_ORDER = (col(CohortItem.cohort_id), col(CohortItem.position), col(CohortItem.article_id))


@dataclass(frozen=True, slots=True)
class ShownArticle:
    """An article of a mail that is still published, as it is now."""

    title: str
    summary: str
    section: str | None
    language: str
    published_at: datetime
    address: str
    #: When its present revision was stored.
    changed_at: datetime
    #: Whether its excerpt was in the mail; else it was counted under "and n more".
    excerpted: bool

    @property
    def published_iso(self) -> str:
        """For machines."""
        return self.published_at.isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A cohort's page as it was stored, and what belongs to it."""

    page: str
    language: str
    newsletter: str
    due_at: datetime
    gone: tuple[GoneArticle, ...]


async def load_stored(session: AsyncSession, cohort_id: int) -> StoredMail | None:
    """The page of a cohort, whoever may read it; None when there is no such cohort."""
    query = (
        select(
            col(Cohort.page),
            col(Cohort.language),
            col(Newsletter.title),
            func.coalesce(col(Edition.due_at), col(Edition.frozen_at), col(Edition.created_at)),
        )
        .join(Edition, col(Edition.id) == col(Cohort.edition_id))
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .where(col(Cohort.id) == cohort_id)
    )
    row = (await session.execute(query)).first()
    if row is None:
        return None
    return StoredMail(*row, gone=(await load_gone(session, [cohort_id])).get(cohort_id, ()))


async def load_shown(
    session: AsyncSession, cohort_ids: Sequence[int], base_url: str
) -> dict[int, list[ShownArticle]]:
    """The articles of cohorts that are still published, in the order of the mail, by cohort.

    Args:
        base_url: where the pages of articles are, without a trailing slash.
    """
    query = (
        select(
            col(CohortItem.cohort_id),
            col(Article.title),
            col(Article.summary),
            col(Article.section),
            col(Article.language),
            col(Article.published_at),
            col(Article.url),
            col(Article.slug),
            func.coalesce(col(Article.revised_at), col(Article.updated_at)),
            col(CohortItem.outcome),
        )
        .join(Article, col(Article.id) == col(CohortItem.article_id))
        .where(*_is_shown(cohort_ids), col(Article.state) == ArticleState.PUBLISHED)
        .order_by(*_IN_ORDER)
    )
    found: dict[int, list[ShownArticle]] = {}
    for row in (await session.execute(query)).all():
        one = ShownArticle(
            title=row[1],
            summary=row[2],
            section=row[3],
            language=row[4],
            published_at=row[5],
            address=row[6] or f"{base_url}/articles/{row[7]}",
            changed_at=row[8],
            excerpted=row[9] is ItemOutcome.MAILED,
        )
        found.setdefault(row[0], []).append(one)
    return found


async def load_versions(
    session: AsyncSession, cohort_ids: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """What changes whenever `load_shown` would give something else, and takes less to load."""
    is_published = col(Article.state) == ArticleState.PUBLISHED
    query = (
        select(
            col(CohortItem.cohort_id),
            func.sum(case((is_published, col(Article.id)), else_=0)),
            func.sum(col(Article.revision)),
        )
        .join(Article, col(Article.id) == col(CohortItem.article_id))
        .where(*_is_shown(cohort_ids))
        .group_by(col(CohortItem.cohort_id))
        .order_by(col(CohortItem.cohort_id))
    )
    return tuple((row[0], int(row[1]), int(row[2])) for row in await session.execute(query))


async def load_gone(
    session: AsyncSession, cohort_ids: Sequence[int]
) -> dict[int, tuple[GoneArticle, ...]]:
    """What is shown in cohorts and must not be any more, in the order of the mail, by cohort."""
    query = (
        select(
            col(CohortItem.cohort_id),
            col(Article.id),
            col(Article.title),
            col(Article.summary),
            col(Article.url),
            col(Article.slug),
            col(CohortItem.outcome),
            col(Article.withdrawn_at),
        )
        .join(Article, col(Article.id) == col(CohortItem.article_id))
        .where(*_is_shown(cohort_ids), col(Article.state) != ArticleState.PUBLISHED)
        .order_by(*_IN_ORDER)
    )
    found: dict[int, tuple[GoneArticle, ...]] = {}
    for row in (await session.execute(query)).all():
        one = GoneArticle(
            id=row[1] or 0,
            title=row[2],
            summary=row[3],
            url=row[4],
            slug=row[5],
            excerpted=row[6] is ItemOutcome.MAILED,
            withdrawn_at=row[7],
        )
        found[row[0]] = (*found.get(row[0], ()), one)
    return found


def _is_shown(cohort_ids: Sequence[int]) -> tuple[ColumnElement[bool], ...]:
    return (col(CohortItem.cohort_id).in_(cohort_ids), col(CohortItem.outcome).in_(_SHOWN))
