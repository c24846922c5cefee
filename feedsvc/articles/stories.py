"""Keeps articles that tell the same together as one story, as they are stored and revised.

A story is what articles are joined to by a chain of others that tell the same, whatever order they
came in; it bears the guid of the one stored first. An article read again has to prove anew that it
belongs: it stays while it tells the same as any other of its story, and leaves when it tells the
same as none. The others stay together even where only it had joined them, for readers may have
had one of them for another. Who is withdrawn stays a member. What a feed shows does not change.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.articles.story_groups import Groups
from feedsvc.articles.story_keys import Key
from feedsvc.articles.story_match import WINDOW, Telling, is_same_by_claim, is_same_by_words
from feedsvc.articles.story_text import StoryText
from feedsvc.model.article import Article, StoryKey, StoryKeyKind

#: So many articles of about one time bear a key at most. Who comes later finds these by it, and is
#: not found by it: what very many have in common makes nobody compare them all.
MOST_BEARERS = 16
_LOCK = 815003
#: Values bound in one statement at most.
_PIECE = 500
#: Texts that are held in memory at once, for they are long.
_MOST_TELLINGS = 60
_Value = TypeVar("_Value", int, str)


@dataclass(frozen=True, slots=True)
class Told:
    """An article as just stored, and the keys of what it says now."""

    article_id: int
    published_at: datetime
    keys: tuple[Key, ...]
    is_new: bool


async def lock_stories(session: AsyncSession) -> None:
    """Have whoever else is about to join articles wait until this transaction ends.

    The first statement of a transaction that ends in `join_stories`: of two that store halves of
    one story at once the second then sees the first's. SQLite has but one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


async def join_stories(session: AsyncSession, told: Sequence[Told]) -> None:
    """Put articles that were stored or read again where they belong. May run twice.

    Their rows are written, and the transaction began with `lock_stories`.
    """
    known = [one.article_id for one in told if not one.is_new]
    for piece in _cut(known):
        await session.execute(
            delete(StoryKey)
            .where(col(StoryKey.article_id).in_(piece))
            .execution_options(synchronize_session=False)
        )
    candidates = await _save_keys(session, told)
    ids = {one for pair in candidates for one in pair}
    members = await _load_members(session, ids.union(known))
    groups = _keep_together(members, {one.article_id for one in told})
    await _compare(session, candidates, groups)
    changed = {
        one: story for one, story in _name(groups, members).items() if members[one].story != story
    }
    await _save(session, changed)


async def _save_keys(
    session: AsyncSession, told: Sequence[Told]
) -> dict[tuple[int, int], set[StoryKeyKind]]:
    """Write the keys, and return who has to be compared with whom, and by what they were found."""
    bearers: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for piece in _cut({key.value for one in told for key in one.keys}):
        rows = await session.execute(
            select(col(StoryKey.value), col(StoryKey.article_id), col(StoryKey.day)).where(
                col(StoryKey.value).in_(piece)
            )
        )
        for value, article_id, day in rows:
            bearers[value].append((article_id, day))
    found: dict[tuple[int, int], set[StoryKeyKind]] = defaultdict(set)
    new: list[dict[str, Any]] = []
    for one in told:
        day = one.published_at.toordinal()
        for key in one.keys:
            near = [
                other
                for other, its_day in bearers[key.value]
                if key.kind is not StoryKeyKind.TEXT or abs(its_day - day) <= WINDOW.days
            ]
            for other in near:
                found[one.article_id, other].add(key.kind)
            if len(near) < MOST_BEARERS:
                bearers[key.value].append((one.article_id, day))
                new.append(
                    {
                        "value": key.value,
                        "article_id": one.article_id,
                        "kind": key.kind,
                        "day": day,
                    }
                )
    if new:
        # Not as objects, which would cost more than all the rest.
        connection = await session.connection()
        await connection.execute(insert(StoryKey), new)
    return found


@dataclass(frozen=True, slots=True)
class _Member:
    guid: str
    story: str | None


async def _load_members(session: AsyncSession, ids: Collection[int]) -> dict[int, _Member]:
    """These articles, and all that share a story with any of them."""
    columns = select(col(Article.id), col(Article.guid), col(Article.story))
    members: dict[int, _Member] = {}
    for piece in _cut(ids):
        for article_id, guid, story in await session.execute(
            columns.where(col(Article.id).in_(piece))
        ):
            members[article_id or 0] = _Member(guid, story)
    for names in _cut({one.story for one in members.values() if one.story is not None}):
        for article_id, guid, story in await session.execute(
            columns.where(col(Article.story).in_(names))
        ):
            members[article_id or 0] = _Member(guid, story)
    return members


def _keep_together(members: Mapping[int, _Member], told: Collection[int]) -> Groups:
    """The stories there are, without those articles that have to prove anew that they belong."""
    groups = Groups()
    first: dict[str, int] = {}
    for article_id, one in members.items():
        if one.story is not None and article_id not in told:
            groups.join(first.setdefault(one.story, article_id), article_id)
    return groups


async def _compare(
    session: AsyncSession, candidates: Mapping[tuple[int, int], set[StoryKeyKind]], groups: Groups
) -> None:
    """Join those candidates that tell the same."""
    tellings: dict[int, Telling] = {}
    for one, other in sorted(candidates):
        if groups.are_one(one, other):
            continue
        if len(tellings) > _MOST_TELLINGS:
            tellings.clear()
        await _load_tellings(session, tellings, {one, other})
        ours, theirs = tellings[one], tellings[other]
        kinds = candidates[one, other]
        by_claim = bool(kinds - {StoryKeyKind.TEXT}) and is_same_by_claim(ours, theirs)
        if by_claim or is_same_by_words(ours, theirs):
            groups.join(one, other)


async def _load_tellings(
    session: AsyncSession, tellings: dict[int, Telling], ids: Collection[int]
) -> None:
    """Add those that are not there."""
    missing = [one for one in ids if one not in tellings]
    if not missing:
        return
    rows = await session.execute(
        select(
            col(Article.id),
            col(Article.source),
            col(Article.published_at),
            col(Article.title),
            col(Article.content),
        ).where(col(Article.id).in_(missing))
    )
    for article_id, source, published_at, title, content in rows:
        tellings[article_id or 0] = Telling(source, published_at, StoryText.of(title, content))


def _name(groups: Groups, members: Mapping[int, _Member]) -> dict[int, str | None]:
    """The story of each: the guid of the first of them; None for one that stands alone."""
    named: dict[int, str | None] = dict.fromkeys(members)
    for together in groups.of(members):
        if len(together) > 1:
            named.update(dict.fromkeys(together, members[min(together)].guid))
    return named


async def _save(session: AsyncSession, stories: Mapping[int, str | None]) -> None:
    if stories:
        connection = await session.connection()
        await connection.execute(
            update(Article)
            .where(col(Article.id) == bindparam("article_id"))
            .values(story=bindparam("its_story")),
            [{"article_id": one, "its_story": stories[one]} for one in sorted(stories)],
        )


def _cut(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _PIECE):
        yield ordered[start : start + _PIECE]
