"""What a filter is made of, and how it is written down: one way for each meaning.

A condition that is written and read again is equal to itself, whatever zone it is read in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Order = Literal["<", "<=", "=", ">=", ">"]


@dataclass(frozen=True, slots=True)
class Among:
    """The field is, or holds, one of these texts. Values are sorted, each once, at least one.

    A language is one of them if it begins with its subtags; `exactly` leaves that out.
    """

    field: str
    values: tuple[str, ...]
    exactly: bool = False


@dataclass(frozen=True, slots=True)
class Contains:
    """The text stands somewhere in the field; A to Z are the same as a to z."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Has:
    """There is something in the field."""

    field: str


@dataclass(frozen=True, slots=True)
class Flag:
    """The field says yes."""

    field: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The field's instant stands so to another, which is in UTC."""

    field: str
    order: Order
    at: datetime


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold; one about a value that is missing does not hold."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; two parts at least, none of which is such a list itself."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One part holds at least; two parts at least, none of which is such a list itself."""

    parts: tuple["Condition", ...]


Term = Among | Contains | Has | Flag | Compared
Condition = Term | Not | All | Either


def negate(condition: Condition) -> Condition:
    """The opposite of a condition."""
    return condition.condition if isinstance(condition, Not) else Not(condition)


def join_all(*conditions: Condition) -> Condition:
    """The condition that all of one or more conditions hold."""
    if len(conditions) == 1:
        return conditions[0]
    parts = (one.parts if isinstance(one, All) else (one,) for one in conditions)
    return All(tuple(part for several in parts for part in several))


def join_either(*conditions: Condition) -> Condition:
    """The condition that one of one or more conditions holds at least."""
    if len(conditions) == 1:
        return conditions[0]
    parts = (one.parts if isinstance(one, Either) else (one,) for one in conditions)
    return Either(tuple(part for several in parts for part in several))


def list_terms(condition: Condition) -> Iterator[Term]:
    """The comparisons a condition is made of, from left to right."""
    match condition:
        case Not(inner):
            yield from list_terms(inner)
        case All(parts) | Either(parts):
            for part in parts:
                yield from list_terms(part)
        case _:
            yield condition


def write_condition(condition: Condition) -> str:
    """The condition in the grammar of filters."""
    match condition:
        case All(parts):
            return " and ".join(
                f"({write_condition(part)})" if isinstance(part, Either) else write_condition(part)
                for part in parts
            )
        case Either(parts):
            return " or ".join(map(write_condition, parts))
        case Not(Among() | Contains() | Compared(order="=") as term):
            return _write_term(term, negated=True)
        case Not(All() | Either() as inner):
            return f"not ({write_condition(inner)})"
        case Not(inner):
            return f"not {write_condition(inner)}"
        case term:
            return _write_term(term)


def _write_term(term: Term, *, negated: bool = False) -> str:
    no = "not " if negated else ""
    match term:
        case Among(field, (value,), exactly=True):
            return f"{field} is {no}{_quote(value)}"
        case Among(field, (value,)):
            return f"{field} {'!=' if negated else '='} {_quote(value)}"
        case Among(field, values, exactly):
            listed = ", ".join(map(_quote, values))
            return f"{field} {'is ' if exactly else ''}{no}in ({listed})"
        case Contains(field, text):
            return f"{field} {no}contains {_quote(text)}"
        case Has(field):
            return f"has {field}"
        case Flag(field):
            return field
        case Compared(field, order, at):
            instant = at.astimezone(UTC).replace(tzinfo=None).isoformat()
            return f"{field} {'!=' if negated else order} {instant}Z"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
