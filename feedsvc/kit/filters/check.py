"""Makes a condition into a function that says whether it holds for one thing.

Says the same as sql.py; a property test holds the two together.
"""

import html
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from feedsvc.kit.filters.fields import FieldKind, FieldTable, FilterField
from feedsvc.kit.filters.terms import (
    All,
    Among,
    Compared,
    Condition,
    Contains,
    Either,
    Flag,
    Has,
    Not,
)

Check = Callable[[Any], bool]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


def make_check(condition: Condition, fields: FieldTable) -> Check:
    """The condition as a function."""
    match condition:
        case Not(inner):
            holds = make_check(inner, fields)
            return lambda one: not holds(one)
        case All(parts):
            return _every(tuple(make_check(part, fields) for part in parts))
        case Either(parts):
            return _some(tuple(make_check(part, fields) for part in parts))
        case Among(name):
            return _among(condition, fields[name])
        case Contains(name, text):
            return _contains(text, fields[name])
        case Has(name) | Flag(name):
            read = fields[name].read
            return lambda one: bool(read(one))
        case Compared(name, order, at):
            read, compare = fields[name].read, _COMPARE[order]
            return lambda one: (value := read(one)) is not None and compare(value, at)


def _every(checks: tuple[Check, ...]) -> Check:
    def every(one: Any) -> bool:
        for check in checks:  # noqa: SIM110 - this is run for every feed: all() takes longer
            if not check(one):
                return False
        return True

    return every


def _some(checks: tuple[Check, ...]) -> Check:
    def some(one: Any) -> bool:
        for check in checks:  # noqa: SIM110
            if check(one):
                return True
        return False

    return some


def _among(condition: Among, field: FilterField) -> Check:
    read, values = field.read, frozenset(condition.values)
    if field.kind is FieldKind.TEXTS:
        return lambda one: not values.isdisjoint(read(one) or ())
    if field.kind is FieldKind.LANGUAGE and not condition.exactly:
        prefixes = tuple(fold_letters(value) + b"-" for value in condition.values)
        return lambda one: (fold_letters(read(one) or "") + b"-").startswith(prefixes)
    if len(values) == 1:
        (value,) = values
        return lambda one: bool(read(one) == value)
    return lambda one: read(one) in values


def _contains(text: str, field: FilterField) -> Check:
    read, sought = field.read, fold_letters(as_stored(text, field))
    if field.kind is FieldKind.TEXTS:
        return lambda one: any(sought in fold_letters(value) for value in read(one) or ())
    return lambda one: sought in fold_letters(read(one) or "")


def as_stored(text: str, field: FilterField) -> str:
    """The text as it stands in the field: in HTML some characters are written as references."""
    if field.kind is not FieldKind.HTML:
        return text
    return html.escape(text, quote=False).replace("\xa0", "&nbsp;")


@lru_cache(maxsize=16)  # an article's long text is looked into once for every feed
def fold_letters(text: str) -> bytes:
    """The text as UTF-8 with A to Z made small, and no other letters: as databases can do it."""
    return text.encode("utf-8", "surrogatepass").lower()
