"""An edition's articles for people: in their order, with what becomes of each. Reads only."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.composing import load_dropped
from feedsvc.editions.drafts import load_draft
from feedsvc.editions.recipients import Addressees, Recipients, count_recipients
from feedsvc.model.article import Article
from feedsvc.model.delivery import Delivery
from feedsvc.model.edition import Cohort, CohortItem, Curation, Edition, EditionState, Letter

#: Ids in one query.
_PIECE = 500


@dataclass(frozen=True, slots=True)
class ListedArticle:
    """One article of an edition."""

    id: int
    title: str
    section: str | None
    published_at: datetime
    #: What becomes of it (ItemOutcome) -> for how many readers. Of a draft: what becomes of it for
    #: who lacks most of it, and how many it is new to, whatever their topics.
    outcomes: dict[str, int]
    #: The operator put it first.
    first: bool
    #: The operator keeps it out of the newsletter.
    dropped_for_good: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """What an edition holds."""

    #: Of a draft: readers who would get it; None once it is composed, when its mails are counted.
    readers: int | None
    #: Its newest article; None: each wave has its own.
    cut_seq: int | None
    curation: Curation
    articles: tuple[ListedArticle, ...]
    #: Of what an operator wrote: its subject, and its Markdown.
    subject: str | None = None
    body: str | None = None


@dataclass
class _Found:
    """Articles as they are found, in their order."""

    outcomes: dict[int, dict[str, int]] = field(default_factory=dict)

    def add(self, article_id: int, outcome: str, readers: int) -> None:
        of = self.outcomes.setdefault(article_id, {})
        of[outcome] = of.get(outcome, 0) + readers


async def load_contents(session: AsyncSession, edition: Edition) -> Contents:
    """What an edition holds; of a draft, what it would hold if it went as it is now."""
    found, readers, dropped = _Found(), None, frozenset[int]()
    letter = await session.get(Letter, edition.id)
    if letter is not None:
        readers = await _count_addressees(session, edition, letter)
    elif edition.state is EditionState.DRAFT:
        draft = await load_draft(session, edition)
        dropped, readers = draft.dropped, draft.span.readers
        for item in draft.items:
            seq = draft.articles[item.article_id].seq
            found.add(item.article_id, item.outcome.value, draft.span.count_lacking(seq))
    else:
        dropped = await load_dropped(session, edition.newsletter_id)
        for article_id, outcome, count in (await session.execute(_composed(edition))).all():
            found.add(article_id, outcome.value, count)
    curation = Curation.of(edition.curation)
    articles = await _load_titles(session, found.outcomes)
    return Contents(
        readers,
        edition.cut_seq,
        curation,
        tuple(
            ListedArticle(
                id=article_id,
                title=articles[article_id].title,
                section=articles[article_id].section,
                published_at=articles[article_id].published_at,
                outcomes=outcomes,
                first=article_id in curation.order,
                dropped_for_good=article_id in dropped,
            )
            for article_id, outcomes in found.outcomes.items()
        ),
        letter.subject if letter else None,
        letter.body if letter else None,
    )


async def _count_addressees(session: AsyncSession, edition: Edition, letter: Letter) -> int | None:
    if edition.state is not EditionState.DRAFT:
        return None
    meant = Addressees.of(letter.audience)
    recipients = Recipients(edition.newsletter_id, meant, letter.article_id)
    return (await count_recipients(session, recipients)).total


def _composed(edition: Edition) -> Any:
    """Articles of an edition's cohorts with their readers, in mail order."""
    sizes = (
        select(col(Delivery.cohort_id).label("cohort_id"), func.count().label("readers"))
        .where(col(Delivery.edition_id) == edition.id)
        .group_by(col(Delivery.cohort_id))
        .subquery()
    )
    return (
        select(
            col(CohortItem.article_id),
            col(CohortItem.outcome),
            func.coalesce(func.sum(sizes.c.readers), 0),
        )
        .join(Cohort, col(Cohort.id) == col(CohortItem.cohort_id))
        .outerjoin(sizes, sizes.c.cohort_id == col(Cohort.id))
        .where(col(Cohort.edition_id) == edition.id)
        .group_by(col(CohortItem.article_id), col(CohortItem.outcome))
        .order_by(func.min(col(CohortItem.position)), col(CohortItem.article_id))
    )


async def _load_titles(session: AsyncSession, ids: Collection[int]) -> dict[int, Any]:
    wanted, found = sorted(ids), dict[int, Any]()
    for start in range(0, len(wanted), _PIECE):
        rows = await session.execute(
            select(
                col(Article.id), col(Article.title), col(Article.section), col(Article.published_at)
            ).where(col(Article.id).in_(wanted[start : start + _PIECE]))
        )
        found |= {row[0] or 0: row for row in rows.all()}
    return found
