"""Filters: which articles belong somewhere. One grammar, for SQL and for single articles.

The grammar and its words are told in docs/filters.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

from sqlalchemy.sql.elements import ColumnElement

from feedsvc.kit.filters.check import Check, make_check
from feedsvc.kit.filters.fields import ARTICLE_FIELDS, FieldKind, FieldTable
from feedsvc.kit.filters.grammar import parse_condition
from feedsvc.kit.filters.sql import make_sql
from feedsvc.kit.filters.terms import (
    All,
    Among,
    Condition,
    join_all,
    list_terms,
    write_condition,
)
from feedsvc.kit.filters.tokens import check_storable
from feedsvc.model.ports import Selection


@dataclass(frozen=True, slots=True, repr=False)
class Filter:
    """A condition on articles; the empty one admits all of them.

    Its text means the same to whoever parses it with the same fields: days have become instants.
    """

    condition: Condition | None = None
    fields: FieldTable = ARTICLE_FIELDS
    _check: Check = field(init=False, compare=False)

    def __post_init__(self) -> None:
        check: Check = _admit_all
        if self.condition is not None:
            check = make_check(self.condition, self.fields)
        object.__setattr__(self, "_check", check)

    def matches(self, article: Any) -> bool:
        """Whether an article is admitted, or anything with attributes of the same names."""
        return self._check(article)

    def to_sql(self, dialect: str) -> list[ColumnElement[bool]]:
        """The condition on rows, all parts of which must hold.

        Args:
            dialect: `sqlite` or `postgresql`.
        """
        return [make_sql(part, self.fields, dialect) for part in self.parts]

    @property
    def uses(self) -> frozenset[str]:
        """Names of the fields it asks about."""
        terms = () if self.condition is None else list_terms(self.condition)
        return frozenset(term.field for term in terms)

    @property
    def parts(self) -> tuple[Condition, ...]:
        """Conditions all of which must hold; none where everything is admitted."""
        if self.condition is None:
            return ()
        return self.condition.parts if isinstance(self.condition, All) else (self.condition,)

    def without(self, part: Condition) -> "Filter":
        """The filter that leaves one of its parts out."""
        rest = [one for one in self.parts if one is not part]
        return Filter(join_all(*rest) if rest else None, self.fields)

    def __and__(self, other: "Filter") -> "Filter":
        """The filter that admits what both admit."""
        if self.fields is not other.fields:
            raise ValueError("filters on different things cannot be joined")
        parts = [one for one in (self.condition, other.condition) if one is not None]
        return Filter(join_all(*parts) if parts else None, self.fields)

    def __str__(self) -> str:
        return "" if self.condition is None else write_condition(self.condition)

    def __repr__(self) -> str:
        return f"Filter({str(self)!r})"


def parse_filter(text: str, zone: tzinfo = UTC, fields: FieldTable = ARTICLE_FIELDS) -> Filter:
    """The filter that a text describes; that of an empty text admits everything.

    Args:
        zone: in which its dates are days, and its times are read that name no zone.

    Raises:
        FilterInvalid: the text is not in the grammar, or exceeds a limit.
    """
    return Filter(parse_condition(text, fields, zone), fields)


def has_value(name: str, values: Iterable[str], fields: FieldTable = ARTICLE_FIELDS) -> Filter:
    """The filter that admits what has one of these values exactly; without any, everything.

    Raises:
        FilterInvalid: a value holds what no article can hold.
    """
    wanted = tuple(sorted({check_storable(value) for value in values}))
    is_language = fields[name].kind is FieldKind.LANGUAGE
    return Filter(Among(name, wanted, exactly=is_language) if wanted else None, fields)


def from_selection(selection: Selection, authors: Iterable[str] = ()) -> Filter:
    """The filter that says what a selection says, and that one of the authors wrote it.

    Languages are compared as they are written: "zh" does not admit "zh-CN" here.

    Raises:
        FilterInvalid: a value holds what no article can hold.
    """
    return (
        has_value("source", selection.sources)
        & has_value("section", selection.sections)
        & has_value("topic", selection.topics)
        & has_value("language", selection.languages)
        & has_value("author", authors)
    )


def _admit_all(_: Any) -> bool:
    return True
