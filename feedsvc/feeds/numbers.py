"""Finds the articles that a feed admits, in the order of their publication numbers.

Where a feed is about a topic or an author, only the articles that have it are gone through: few
articles may have it, and going through all others in search of them takes long.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, SQLColumnExpression, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.kit.filters import Filter
from feedsvc.kit.filters.terms import Among
from feedsvc.model.article import LABEL_LENGTH, LABELLED, Article, ArticleLabel, ArticleState

#: Labelled articles that are looked up one by one where there may be a better way.
_FEW = 2000
#: Fields with an index of their own in order of publication.
_INDEXED = frozenset({"section", "source", "language"})


@dataclass(frozen=True, slots=True)
class Lead:
    """A part of a filter that leads to all articles that can be admitted."""

    part: Among
    #: The other parts.
    rest: Filter

    @property
    def held(self) -> list[ColumnElement[bool]]:
        """The condition on labels."""
        label, values = ArticleLabel, self.part.values
        is_one = col(label.value) == values[0] if len(values) == 1 else col(label.value).in_(values)
        return [col(label.kind) == self.part.field, is_one]


async def find_lead(session: AsyncSession, admitted: Filter) -> Lead | None:
    """The part that leads to the fewest articles; None where they are better gone through."""
    leads = [
        Lead(part, admitted.without(part))
        for part in admitted.parts
        if isinstance(part, Among) and _is_labelled(part)
    ]
    if len(leads) == 1 and _stands_in_order(leads[0]):
        return leads[0]
    counts = [await _count(session, lead) for lead in leads]
    fewest = min(counts, default=_FEW)
    return leads[counts.index(fewest)] if fewest < _FEW else None


def _is_labelled(part: Among) -> bool:
    return part.field in LABELLED and all(len(value) <= LABEL_LENGTH for value in part.values)


def _stands_in_order(lead: Lead) -> bool:
    """Whether going through what it leads to is never worse than going through all articles."""
    return len(lead.part.values) == 1 and not any(map(_is_indexed, lead.rest.parts))


def _is_indexed(part: object) -> bool:
    if not isinstance(part, Among) or part.field not in _INDEXED:
        return False
    return part.exactly or part.field != "language"


async def _count(session: AsyncSession, lead: Lead) -> int:
    """How many articles it leads to; so many at most as are few."""
    some = select(literal(1)).where(*lead.held).limit(_FEW).subquery()
    return await session.scalar(select(func.count()).select_from(some)) or 0


def select_numbers(
    session: AsyncSession,
    admitted: Filter,
    lead: Lead | None,
    *,
    above: int | None = None,
    below: int | None = None,
    newest_first: bool = False,
) -> Select[Any]:
    """The statement for the numbers of the published articles that are admitted, in order.

    Args:
        lead: what `find_lead` says of the filter.
        above: numbers are higher than this.
        below: and lower than that.
    """
    dialect = session.get_bind().dialect.name
    number: SQLColumnExpression[Any] = col(Article.seq)
    if lead is None:
        belongs = [col(Article.state) == ArticleState.PUBLISHED, *admitted.to_sql(dialect)]
        found = select(number).where(*belongs)
    else:
        number = col(ArticleLabel.seq)
        found = select(number).where(*lead.held)
        if rest := lead.rest.to_sql(dialect):
            found = found.where(exists().where(col(Article.seq) == number, *rest))
        if len(lead.part.values) > 1:
            found = found.distinct()
    if above is not None:
        found = found.where(number > above)
    if below is not None:
        found = found.where(number < below)
    return found.order_by(number.desc() if newest_first else number)
