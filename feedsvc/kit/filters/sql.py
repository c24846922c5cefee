"""Makes a condition into SQL, for SQLite and PostgreSQL.

Says the same as check.py; a property test holds the two together. A comparison with NULL
is NULL in SQL, which passes for false everywhere but below NOT, so NOT is written IS NOT TRUE.
"""

import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    Text,
    and_,
    cast,
    collate,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.elements import ColumnElement

from feedsvc.kit.filters.check import as_stored, fold_letters
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

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


def make_sql(condition: Condition, fields: FieldTable, dialect: str) -> ColumnElement[bool]:
    """The condition as an expression on the table that the fields' columns belong to."""

    def make(one: Condition) -> ColumnElement[bool]:
        match one:
            case Not(inner):
                return make(inner).is_not(true())
            case All(parts):
                return and_(*map(make, parts))
            case Either(parts):
                return or_(*map(make, parts))
            case Among(name):
                return _among(one, fields[name], dialect)
            case Contains(name, text):
                return _contains(text, fields[name], dialect)
            case Has(name):
                return _has(fields[name], dialect)
            case Flag(name):
                said: ColumnElement[bool] = fields[name].column.is_(True)
                return said
            case Compared(name, order, at):
                compared: ColumnElement[bool] = _COMPARE[order](fields[name].column, at)
                return compared

    return make(condition)


def _among(condition: Among, field: FilterField, dialect: str) -> ColumnElement[bool]:
    values, column = list(condition.values), field.column
    if field.kind is FieldKind.TEXTS:
        if dialect == "postgresql":
            held: ColumnElement[bool] = type_coerce(column, JSONB).has_any(
                cast(values, ARRAY(Text))
            )
            return held
        return _any_element(column, dialect, lambda element: element.in_(values))
    if field.kind is FieldKind.LANGUAGE and not condition.exactly:
        tag = _small(column, dialect).concat("-")
        prefixes = [f"{value.lower()}-" for value in values]
        return or_(*(func.substr(tag, 1, len(prefix)) == prefix for prefix in prefixes))
    is_one: ColumnElement[bool] = column == values[0] if len(values) == 1 else column.in_(values)
    return is_one


def _contains(text: str, field: FilterField, dialect: str) -> ColumnElement[bool]:
    sought = fold_letters(as_stored(text, field)).decode()
    find = func.strpos if dialect == "postgresql" else func.instr

    def found_in(where: Any) -> ColumnElement[bool]:
        return find(_small(where, dialect), literal(sought, Text)) > 0

    if field.kind is FieldKind.TEXTS:
        return _any_element(field.column, dialect, found_in)
    return found_in(field.column)


def _has(field: FilterField, dialect: str) -> ColumnElement[bool]:
    if field.kind in (FieldKind.TEXTS, FieldKind.FILES):
        postgresql = dialect == "postgresql"
        length = func.jsonb_array_length if postgresql else func.json_array_length
        return length(field.column) > 0
    written: ColumnElement[bool] = field.column != ""
    return written


def _small(text: Any, dialect: str) -> ColumnElement[str]:
    """The text with A to Z made small, and no other letters.

    QUIRK: lower() of SQLite knows ASCII alone; that of PostgreSQL does under the collation C.
    """
    return func.lower(collate(text, "C") if dialect == "postgresql" else text)


def _any_element(
    column: Any, dialect: str, holds: Callable[[Any], ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Whether something holds for one element of a JSON list of texts at least."""
    postgresql = dialect == "postgresql"
    listed = func.jsonb_array_elements_text if postgresql else func.json_each
    elements = listed(column).table_valued("value")
    return exists(select(literal(1)).select_from(elements).where(holds(elements.c.value)))
