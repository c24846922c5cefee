"""Reads the text of a filter. Written by hand rather than with a parser generator: the grammar is
small, and what it says about a mistake is most of its worth.

    either     = all { "or" all }
    all        = unit { "and" unit }
    unit       = "not" unit | "(" either ")" | "has" FIELD | FIELD [ comparison ]
    comparison = OPERATOR ( TEXT | DATE | "(" TEXT { "," TEXT } ")" )
"""

import difflib
import re
from datetime import UTC, datetime, timedelta, tzinfo

from feedsvc.errors import FilterInvalid
from feedsvc.kit.filters.fields import OPERATORS, OPTIONAL, FieldKind, FieldTable, FilterField
from feedsvc.kit.filters.terms import (
    Among,
    Compared,
    Condition,
    Contains,
    Flag,
    Has,
    Order,
    join_all,
    join_either,
    list_terms,
    negate,
    write_condition,
)
from feedsvc.kit.filters.tokens import Token, TokenKind, read_tokens, show
from feedsvc.model.language import language_tag

#: Characters of a filter, as it is written and as we write it.
MAX_LENGTH = 10_000
#: Parentheses and "not" within one another.
MAX_DEPTH = 20
#: Comparisons in a filter.
MAX_TERMS = 200
#: Texts in one list.
MAX_VALUES = 500

_ORDERS: dict[str, Order] = {"<": "<", "<=": "<=", "=": "=", "!=": "=", ">=": ">=", ">": ">"}
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:[-_][A-Za-z0-9]{1,8}){0,7}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_YEARS = range(1900, 3000)


def parse_condition(text: str, fields: FieldTable, zone: tzinfo) -> Condition | None:
    """What a text says; None for one without any words.

    Args:
        zone: of dates and of instants that name none.

    Raises:
        FilterInvalid: it is not in the grammar, or exceeds a limit.
    """
    if len(text) > MAX_LENGTH:
        raise FilterInvalid(f"a filter has at most {MAX_LENGTH} characters, this has {len(text)}")
    tokens = read_tokens(text)
    if tokens[0].kind is TokenKind.END:
        return None
    condition = _Parser(tokens, fields, zone).parse()
    if sum(1 for _ in list_terms(condition)) > MAX_TERMS:
        raise FilterInvalid(f"a filter has at most {MAX_TERMS} comparisons")
    if len(write_condition(condition)) > MAX_LENGTH:
        raise FilterInvalid(f"written out, it has more than {MAX_LENGTH} characters")
    return condition


class _Parser:
    """Reads tokens from left to right; one method for each rule of the grammar."""

    def __init__(self, tokens: list[Token], fields: FieldTable, zone: tzinfo) -> None:
        self._tokens, self._fields, self._zone = tokens, fields, zone
        self._place = 0

    def parse(self) -> Condition:
        condition = self._either(0)
        if self._next.kind is not TokenKind.END:
            raise self._expected('"and", "or" or the end')
        return condition

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += 1
        return token

    def _took(self, kind: TokenKind, value: str | None = None) -> bool:
        """Whether the next token was this one; it is taken then."""
        token = self._next
        if token.kind is not kind or (value is not None and token.value != value):
            return False
        self._place += 1
        return True

    def _expected(self, what: str) -> FilterInvalid:
        hint = ""
        if self._next.kind is TokenKind.WORD and what.startswith("a text"):
            hint = f'; texts stand in quotes: "{self._next.written}"'
        return FilterInvalid(f"expected {what}, found {self._next}{hint}", self._next.position)

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            reason = f'parentheses and "not" stand within one another at most {MAX_DEPTH} times'
            raise FilterInvalid(reason, self._next.position)

    def _either(self, depth: int) -> Condition:
        parts = [self._all(depth)]
        while self._took(TokenKind.WORD, "or"):
            parts.append(self._all(depth))
        return join_either(*parts)

    def _all(self, depth: int) -> Condition:
        parts = [self._unit(depth)]
        while self._took(TokenKind.WORD, "and"):
            parts.append(self._unit(depth))
        return join_all(*parts)

    def _unit(self, depth: int) -> Condition:
        self._check_depth(depth)
        if self._took(TokenKind.WORD, "not"):
            return negate(self._unit(depth + 1))
        if self._took(TokenKind.OPEN):
            condition = self._either(depth + 1)
            if not self._took(TokenKind.CLOSE):
                raise self._expected('"and", "or" or ")"')
            return condition
        if self._took(TokenKind.WORD, "has"):
            return self._has()
        return self._comparison(self._field(), depth)

    def _field(self) -> FilterField:
        token = self._next
        if token.kind is not TokenKind.WORD:
            raise self._expected('the name of a field, "has", "not" or "("')
        field = self._fields.get(token.value)
        if field is None:
            raise FilterInvalid(_unknown_field(token, self._fields), token.position)
        self._place += 1
        return field

    def _has(self) -> Condition:
        token = self._next
        field = self._field()
        if field.kind not in OPTIONAL:
            others = ", ".join(one.name for one in self._fields.values() if one.kind in OPTIONAL)
            reason = f'"has" cannot be asked of {field.name}, only of {others}'
            raise FilterInvalid(reason, token.position)
        return Has(field.name)

    def _comparison(self, field: FilterField, depth: int) -> Condition:
        if field.kind is FieldKind.FLAG:
            return Flag(field.name)
        if field.kind is FieldKind.FILES:
            reason = f'{field.name} is there or not: write "has {field.name}"'
            raise FilterInvalid(reason, self._tokens[self._place - 1].position)
        operator = self._operator(field)
        words = operator.split()
        condition: Condition
        if field.kind is FieldKind.INSTANT:
            condition = self._instant(field, operator, depth)
        elif "contains" in words:
            condition = Contains(field.name, self._sought())
        else:
            exactly = "is" in words and field.kind is FieldKind.LANGUAGE
            values = self._texts(field, exactly) if "in" in words else {self._text(field, exactly)}
            condition = Among(field.name, tuple(sorted(values)), exactly)
        return negate(condition) if "not" in words or operator == "!=" else condition

    def _operator(self, field: FilterField) -> str:
        """The longest operator of the field that stands here."""
        known, found = OPERATORS[field.kind], ""
        while self._next.kind in (TokenKind.WORD, TokenKind.SIGN):
            longer = f"{found} {self._next.value}".strip()
            if not any(one == longer or one.startswith(f"{longer} ") for one in known):
                break
            found = longer
            self._place += 1
        if found in known:
            return found
        rest = [one.removeprefix(found).strip() for one in known if one.startswith(found)]
        choice = ", ".join(dict.fromkeys(rest))
        raise self._expected(f"{choice} after {found or field.name}")

    def _text(self, field: FilterField, exactly: bool) -> str:
        token = self._next
        if token.kind is not TokenKind.TEXT:
            raise self._expected("a text in quotes")
        self._place += 1
        if field.kind is not FieldKind.LANGUAGE or exactly:
            return token.value
        if not _LANGUAGE.fullmatch(token.value):
            reason = f"{token} is not a language tag (write for example zh-CN or en)"
            raise FilterInvalid(reason, token.position)
        return language_tag(token.value)

    def _texts(self, field: FilterField, exactly: bool) -> set[str]:
        if not self._took(TokenKind.OPEN):
            raise self._expected('"(" and a list of texts')
        values = {self._text(field, exactly)}
        while self._took(TokenKind.COMMA):
            values.add(self._text(field, exactly))
            if len(values) > MAX_VALUES:
                reason = f"a list has at most {MAX_VALUES} texts"
                raise FilterInvalid(reason, self._next.position)
        if not self._took(TokenKind.CLOSE):
            raise self._expected('"," or ")"')
        return values

    def _sought(self) -> str:
        token = self._next
        if token.kind is not TokenKind.TEXT:
            raise self._expected("a text in quotes")
        if not token.value:
            raise FilterInvalid("expected a text that is not empty", token.position)
        self._place += 1
        return token.value

    def _instant(self, field: FilterField, operator: str, depth: int) -> Condition:
        token = self._next
        if token.kind not in (TokenKind.INSTANT, TokenKind.TEXT):
            raise self._expected("a date such as 2026-03-01")
        start, end = _read_instant(token, self._zone)
        self._place += 1
        order = _ORDERS[operator]
        if end is None:
            return Compared(field.name, order, start)
        if order == "=":
            self._check_depth(depth + 2)  # the parentheses that it may be written with
            since, until = Compared(field.name, ">=", start), Compared(field.name, "<", end)
            return join_all(since, until)
        if order in ("<", ">="):
            return Compared(field.name, order, start)
        return Compared(field.name, "<" if order == "<=" else ">=", end)


def _unknown_field(token: Token, fields: FieldTable) -> str:
    names = {alike: one.name for one in fields.values() for alike in (*one.alike, one.name)}
    near = difflib.get_close_matches(token.written.lower(), names, n=1, cutoff=0.6)
    meant = f"; did you mean {names[near[0]]}?" if near else ""
    return f"there is no field {show(token.written)}{meant} Fields: {', '.join(sorted(fields))}"


def _read_instant(token: Token, zone: tzinfo) -> tuple[datetime, datetime | None]:
    """The instant of a token; of a day, its first and the first of the next one."""
    is_day = _DAY.fullmatch(token.value) is not None
    try:
        if not is_day and not _INSTANT.fullmatch(token.value):
            raise ValueError("neither a date nor a time")
        local = datetime.fromisoformat(token.value)
        if local.year not in _YEARS:
            raise ValueError("year out of range")
        if not is_day:
            return _as_utc(local, zone), None
        return _as_utc(local, zone), _as_utc(local + timedelta(days=1), zone)
    except ValueError as error:
        reason = f"{token} is no date (write for example 2026-03-01 or 2026-03-01T08:00)"
        raise FilterInvalid(reason, token.position) from error


def _as_utc(at: datetime, zone: tzinfo) -> datetime:
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
