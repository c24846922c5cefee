"""Rendered cohorts as rows: each once an edition, with what became of every article."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.cohorts import CohortPlan
from feedsvc.editions.compose import Item
from feedsvc.model.edition import Cohort, CohortItem, ItemOutcome


@dataclass(frozen=True, slots=True)
class RenderedCohort:
    """A cohort's mail as rendered; `shown` of its mailed items fitted, in their order."""

    subject: str
    html: str
    text: str
    page: str
    shown: int


async def find_cohorts(session: AsyncSession, edition_id: int) -> dict[str, int]:
    """The cohorts of an edition that were rendered earlier: content key -> id."""
    rows = await session.execute(
        select(col(Cohort.content_key), col(Cohort.id)).where(col(Cohort.edition_id) == edition_id)
    )
    return {key: cohort_id or 0 for key, cohort_id in rows.all()}


async def store_cohort(
    session: AsyncSession, edition_id: int, plan: CohortPlan, theme: str, rendered: RenderedCohort
) -> int:
    """Keep a rendered cohort and what became of each article; its id. Once an edition and key."""
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    cohort_id = await session.scalar(
        make(Cohort)
        .values(
            edition_id=edition_id,
            content_key=plan.key,
            language=plan.language,
            theme=theme,
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            page=rendered.page,
        )
        .on_conflict_do_nothing(index_elements=["edition_id", "content_key"])
        .returning(col(Cohort.id))
    )
    if cohort_id is None:  # another node was quicker
        return (await find_cohorts(session, edition_id))[plan.key]
    items = _fitted(plan.items, rendered.shown)
    if items:
        await session.execute(
            insert(CohortItem),
            [
                {
                    "cohort_id": cohort_id,
                    "article_id": item.article_id,
                    "revision": item.revision,
                    "position": position,
                    "outcome": outcome,
                }
                for position, (item, outcome) in enumerate(items)
            ],
        )
    return int(cohort_id)


def _fitted(items: Sequence[Item], shown: int) -> list[tuple[Item, ItemOutcome]]:
    """Outcomes after rendering: mailed items that did not fit are counted as more."""
    outcomes = []
    for item in items:
        outcome = item.outcome
        if outcome is ItemOutcome.MAILED:
            if shown > 0:
                shown -= 1
            else:
                outcome = ItemOutcome.AND_MORE
        outcomes.append((item, outcome))
    return outcomes
