"""Families of feeds: one feed for each section, topic, author, language, source or newsletter.

A member is made when an article first has its value, and stays: its address keeps answering when
no article has the value any more. Its key is given once and kept in its row.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal
from uuid import UUID

import structlog
from babel import Locale, UnknownLocaleError
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.feeds.moves import move_feeds, plan_moves
from feedsvc.feeds.registry import (
    FeedRow,
    add_rows,
    find_values,
    load_looked,
    load_rows,
    lock_rows,
    mint_guid,
    newest_change,
    save_looked,
)
from feedsvc.feeds.spec import FeedSpec
from feedsvc.kit.filters import Filter, has_value

log = structlog.get_logger(__name__)

Each = Literal["section", "topic", "author", "language", "source", "newsletter"]

#: Members of a family; values beyond them get no feed.
MOST_MEMBERS = 1000
#: Characters of a feed's key.
_KEY_LENGTH = 100
_SLUG_LENGTH = 40
#: Characters of a value that a row can keep.
_VALUE_LENGTH = 200
#: Below a feed's address its archive pages stand under this name.
_RESERVED = frozenset({"archive"})
#: Letters and marks that are not seen: fillers, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NAME = "{name}"
#: Less than the number of any change, and than what stands for none.
_NEVER = -2


@dataclass(frozen=True, slots=True)
class Named:
    """What a member for a newsletter takes over from it."""

    title: str
    filter: Filter
    description: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """A template for feeds. The title and the description of `spec` may hold {name}.

    Its filter decides which articles are looked at, and is part of every member's.
    """

    key: str
    each: Each
    spec: FeedSpec

    @property
    def mark(self) -> str:
        """Name for how far its values were looked for; another one when it is about others."""
        said = f"{self.key}\n{self.each}\n{self.spec.formerly}\n{self.spec.filter}"
        return f"feed values {hashlib.sha256(said.encode()).hexdigest()[:32]}"


async def load_specs(
    session: AsyncSession,
    specs: Sequence[FeedSpec],
    families: Sequence[Family],
    names: Mapping[str, Named] | None,
    now: datetime,
) -> list[FeedSpec]:
    """Every feed there is, with its identity: those given, then the members of each family.

    Makes the rows that are missing, in the caller's transaction, and moves to them what is known
    of feeds that were renamed. Looks for new values only among articles that have changed since it
    looked last.

    Args:
        names: newsletters by key.
    """
    names = names or {}
    rows = await load_rows(session)
    newest = await newest_change(session)
    formerly = {spec.key: spec.formerly for spec in specs}
    formerly |= {family.key: family.spec.formerly for family in families}
    if (
        _lack_rows(specs, families, names, rows)
        or plan_moves(formerly, rows)
        or await _lack_looks(session, families, newest)
    ):
        await lock_rows(session)
        rows = await load_rows(session)  # somebody else may have been here first
        await add_rows(session, plan_rows(specs, rows), now)
        for family in families:
            values = await _find_values(session, family, names, newest)
            await add_rows(session, plan_members(family, values, rows), now)
        rows = await load_rows(session)
        await move_feeds(session, plan_moves(formerly, rows))
    members: dict[str | None, list[FeedRow]] = {}
    for row in sorted(rows.values()):
        members.setdefault(row.family, []).append(row)
    found = [replace(spec, guid=UUID(rows[spec.key].guid)) for spec in specs]
    for family in families:
        for row in members.get(family.key, ()):
            spec = member_spec(family, row.key, row.value or "", names, UUID(row.guid))
            found += [spec] if spec is not None else []
    return found


def _lack_rows(
    specs: Iterable[FeedSpec],
    families: Iterable[Family],
    names: Mapping[str, Named],
    rows: Mapping[str, FeedRow],
) -> bool:
    """Whether a feed, or a newsletter's member of a family, has no row."""
    members = {(row.family, row.value) for row in rows.values()}
    return any(spec.key not in rows for spec in specs) or any(
        (family.key, name) not in members
        for family in families
        if family.each == "newsletter"
        for name in names
    )


async def _lack_looks(session: AsyncSession, families: Sequence[Family], newest: int) -> bool:
    """Whether there are articles that a family has not looked at."""
    if not families:
        return False
    looked = await load_looked(session, [family.mark for family in families])
    return any(looked.get(family.mark, _NEVER) < newest for family in families)


async def _find_values(
    session: AsyncSession, family: Family, names: Mapping[str, Named], newest: int
) -> list[str]:
    """Values of the family that articles have which have changed since it was looked last."""
    looked = (await load_looked(session, [family.mark])).get(family.mark, _NEVER)
    if looked < newest:
        await save_looked(session, family.mark, newest)
    if family.each == "newsletter":
        return sorted(names)
    if looked >= newest:
        return []
    # Twice as many as there can be members, so that those there are leave room for new ones.
    limit = 2 * MOST_MEMBERS + 1
    return await find_values(session, family.each, family.spec.filter, looked, limit)


def plan_rows(specs: Iterable[FeedSpec], rows: Mapping[str, FeedRow]) -> list[FeedRow]:
    """The rows that feeds lack. One that was renamed keeps the identity it had before."""
    missing = []
    for spec in specs:
        if spec.key not in rows:
            before = next((rows[key].guid for key in spec.formerly if key in rows), None)
            guid = before or mint_guid(spec.base_url, spec.key)
            missing.append(FeedRow(spec.key, None, None, guid))
    return missing


def plan_members(
    family: Family, values: Iterable[str], rows: Mapping[str, FeedRow]
) -> list[FeedRow]:
    """The rows that a family lacks for these values, and for those it had under older names.

    Keys below an older name of the family stay as they are, so that their addresses can be led
    to the new one.
    """
    known = {row.value for row in rows.values() if row.family == family.key}
    before = {
        row.value: row
        for old in reversed(family.spec.formerly)
        for row in rows.values()
        if row.family == old and row.value is not None
    }
    wanted = [value for value in dict.fromkeys([*sorted(before), *values]) if value not in known]
    usable = [value for value in wanted if value.strip() and len(value) <= _VALUE_LENGTH]
    usable = usable[: max(0, MOST_MEMBERS - len(known))]
    if left_out := sorted(set(wanted).difference(usable, ("",))):
        log.warning(
            "values without a feed: a family has too many, or they are too long",
            family=family.key,
            left_out=len(left_out),
            examples=[value[:40] for value in left_out[:3]],
            most_members=MOST_MEMBERS,
        )
    taken, missing = set(rows), []
    for value in usable:
        old = before.get(value)
        kept = f"{family.key}/{old.key.partition('/')[2]}" if old else ""
        key = kept if old and kept not in taken else member_key(family.key, value, taken)
        taken.add(key)
        guid = old.guid if old else mint_guid(family.spec.base_url, key)
        missing.append(FeedRow(key, family.key, value, guid))
    return missing


def member_key(family: str, value: str, taken: Collection[str]) -> str:
    """The key of a member: `<family>/<words of the value>`, at most 100 characters.

    Letters of all scripts, digits, - and _; a digest follows where that would be nothing, a word
    with a meaning of its own, or another's key.
    """
    slug = _slug(value)
    key = f"{family}/{slug}"
    if slug and slug not in _RESERVED and key not in taken:
        return key
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    for length in (8, 16, 32):
        room = min(_SLUG_LENGTH, _KEY_LENGTH - len(family) - length - 2)
        words = slug[: max(room, 0)].strip("-_")
        key = f"{family}/{words}-{digest[:length]}" if words else f"{family}/{digest[:length]}"
        if key not in taken:
            return key
    raise ValueError(f"the value has a key already: {key}")


def member_spec(
    family: Family,
    key: str,
    value: str,
    names: Mapping[str, Named] | None,
    guid: UUID | None = None,
) -> FeedSpec | None:
    """The feed of one member; None when it was for a newsletter that is no more."""
    template, slug = family.spec, key.partition("/")[2]
    named = Named(_display_name(family.each, value), Filter())
    if family.each == "newsletter":
        if names is None or value not in names:
            return None
        named = names[value]
        own = named.filter
    else:
        own = has_value(family.each, [value])
    title = _fill(template.title, named.title, append=True)
    # A template without a description of its own describes itself by its title.
    described = template.description not in ("", template.title)
    fallback = named.description or (title if template.description else "")
    return replace(
        template,
        key=key,
        title=title,
        description=_fill(template.description, named.title) if described else fallback,
        language=value if family.each == "language" else named.language or template.language,
        filter=template.filter & own,
        formerly=tuple(f"{old}/{slug}" for old in template.formerly),
        family=family.key,
        value=value,
        guid=guid,
    )


def _fill(text: str, name: str, *, append: bool = False) -> str:
    if _NAME in text or not append:
        return text.replace(_NAME, name)
    return f"{text}: {name}"


@lru_cache(maxsize=4096)
def _display_name(each: Each, value: str) -> str:
    """What a value is called in a title: a language by its name in itself."""
    if each != "language":
        return value
    try:
        return Locale.parse(value, sep="-").get_display_name() or value
    except (UnknownLocaleError, ValueError, TypeError):
        return value


def _slug(value: str) -> str:
    """The words of a value as part of a path: small letters, marks, digits, _ and single -."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).lower())
    slug = ""
    for one in _UNSEEN.sub("", text):
        kind = unicodedata.category(one)[0]
        if kind == "L" or one == "_" or one.isdecimal():
            slug += one
        elif kind != "M":
            slug += "" if slug.endswith("-") else "-"
        elif slug and slug[-1] not in "-_":  # another's mark would be drawn onto the slash
            slug += one
    slug = unicodedata.normalize("NFC", slug)
    return slug.strip("-_")[:_SLUG_LENGTH].rstrip("-_")
