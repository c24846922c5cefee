"""Writes what a batch of changes means into the rows of articles. Parses and publishes nothing."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.articles.changes import Change, ChangeKind
from feedsvc.articles.identity import (
    RandomBytes,
    choose_free_slug,
    choose_slug,
    is_dated_by_file,
    mint_guid,
)
from feedsvc.articles.ingest import ReadChange
from feedsvc.articles.moves import freed_key, gone_fingerprint
from feedsvc.articles.revise import (
    compose_article,
    compose_revision,
    compose_withdrawal,
    is_another,
)
from feedsvc.articles.scans import (
    forget_problems,
    load_left_from_first_scan,
    reopen_first_scan,
    save_problem,
)
from feedsvc.articles.stories import Told, join_stories, lock_stories
from feedsvc.model.article import Article, ArticleData, ArticleState, RawItem

#: Values bound in one statement at most.
_PIECE = 500


@dataclass(frozen=True, slots=True)
class Stored:
    """What a batch came to, in numbers of articles."""

    new: int = 0
    #: Something a reader sees is different.
    changed: int = 0
    #: Other bytes, the same to a reader.
    untouched: int = 0
    renamed: int = 0
    returned: int = 0
    withdrawn: int = 0
    broken: int = 0

    def __add__(self, other: "Stored") -> "Stored":
        mine, theirs = asdict(self), asdict(other)
        return Stored(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def anything(self) -> bool:
        """Whether any article is different from before to a reader or an operator."""
        return any((self.new, self.changed, self.renamed, self.returned, self.withdrawn))


async def store_changes(
    session: AsyncSession,
    source: str,
    changes: Sequence[ReadChange],
    *,
    now: datetime,
    announce: bool,
    random_bytes: RandomBytes = os.urandom,
) -> Stored:
    """Carry out one batch of changes. Running it again after a crash changes nothing more.

    Args:
        source: key of the source.
        changes: one of `Changes.batches()`: at most 500, so that the write lock is held for a
            moment only, but renames that make room for one another together.
        now: when this is done.
        announce: whether new articles go into editions; False until the source's first scan has
            been carried out to its end.
        random_bytes: where guids come from.
    """
    await lock_stories(session)
    if not announce:
        await reopen_first_scan(session, source)
    batch = _Batch(session, source, now, announce, random_bytes)
    await batch.load(changes)
    await batch.rename([read.change for read in changes])
    for read in changes:
        await batch.carry_out(read)
    await batch.finish(changes)
    return Stored(**batch.counts)


class _Batch:
    """The rows of one batch while it is carried out."""

    def __init__(
        self,
        session: AsyncSession,
        source: str,
        now: datetime,
        announce: bool,
        random_bytes: RandomBytes,
    ) -> None:
        self._session, self._source, self._now = session, source, now
        self._announce, self._random_bytes = announce, random_bytes
        self.counts: Counter[str] = Counter()
        self._by_id: dict[int, Article] = {}
        self._by_key: dict[str, Article] = {}
        self._left_from_first_scan: frozenset[str] = frozenset()
        self._identities: dict[str, tuple[str, str]] = {}
        self._slugs: set[str] = set()
        self._new: list[dict[str, Any]] = []

    async def load(self, changes: Sequence[ReadChange]) -> None:
        """Fetch what the batch touches: rows by id and by key, slugs that are taken."""
        ids = [read.change.stored.article_id for read in changes if read.change.stored]
        keys = [read.change.key for read in changes]
        for start in range(0, max(len(ids), len(keys)), _PIECE):
            some_ids, some_keys = ids[start : start + _PIECE], keys[start : start + _PIECE]
            rows = await self._session.execute(
                select(Article)
                .where(
                    col(Article.source) == self._source,
                    col(Article.id).in_(some_ids) | col(Article.source_key).in_(some_keys),
                )
                .order_by(col(Article.id))
                .with_for_update()
            )
            for article in rows.scalars():
                self._by_id[article.id or 0] = article
                self._by_key[article.source_key] = article
        places = [read.change.item.location for read in changes if read.change.item]
        self._left_from_first_scan = await load_left_from_first_scan(
            self._session, self._source, [*keys, *places]
        )
        await self._choose_identities(changes)

    async def _choose_identities(self, changes: Sequence[ReadChange]) -> None:
        for read in changes:
            if read.data is not None:
                guid = mint_guid(self._random_bytes)
                slug = choose_slug(read.data.slug, read.data.title, guid)
                self._identities[read.change.key] = guid, slug
        wanted = {slug for _, slug in self._identities.values()}
        rows = await self._session.execute(
            select(col(Article.slug)).where(col(Article.slug).in_(wanted))
        )
        self._slugs = set(rows.scalars())

    async def rename(self, changes: Sequence[Change]) -> None:
        """Give every renamed article its new key; as one step, for they may trade places.

        Whoever else has such a key leaves it first: it is renamed itself, or gone, or driven out.
        """
        moving = {
            change.key: article
            for change in changes
            if change.kind is ChangeKind.RENAMED
            and change.stored is not None
            # Otherwise another process has moved it meanwhile.
            and (article := self._by_id.get(change.stored.article_id)) is not None
            and article.source_key == change.stored.key
            and not self._is_stored_twice(article, change.key)
        }
        for key in moving:
            if key in self._by_key:
                self._free_key(self._by_key[key])
        await self._session.flush()
        for key, article in moving.items():
            del self._by_key[article.source_key]
            self._by_key[key] = article
            article.source_key = key
            self.counts["renamed"] += 1

    def _is_stored_twice(self, article: Article, key: str) -> bool:
        """Whether another process took this article's file under its new key for a new one."""
        other = self._by_key.get(key)
        return other is not None and other.fingerprint == article.fingerprint

    def _free_key(self, article: Article) -> None:
        del self._by_key[article.source_key]
        article.source_key = freed_key(article.id or 0, article.source_key)
        self._by_key[article.source_key] = article

    def _make_way(self, article: Article) -> None:
        """Leave the key of a gone article to another, and its slug too if nobody ever saw it."""
        self._free_key(article)
        if article.seq is None:
            self._slugs.discard(article.slug)
            article.slug = article.guid.rpartition(":")[2]

    async def carry_out(self, read: ReadChange) -> None:
        """One change. What another process has done meanwhile is taken as it is now."""
        change = read.change
        article = self._by_id.get(change.stored.article_id) if change.stored else None
        article = article or self._by_key.get(change.key)
        if read.problem is not None and change.item is not None:
            await save_problem(
                self._session,
                self._source,
                change.key,
                read.problem,
                now=self._now,
                fingerprint=change.item.fingerprint,
            )
            self.counts["broken"] += 1
        elif change.item is not None and read.data is not None:
            if article is not None and is_another(article, read.data, change.item.fingerprint):
                self._make_way(article)
                article = None
            if article is None:
                self._add(change.key, change.item, read.data)
            else:
                self._revise(article, change.item, read.data)
        elif article is not None and change.kind is ChangeKind.WITHDRAWN:
            self._withdraw_gone(article)

    async def finish(self, changes: Sequence[ReadChange]) -> None:
        """Write it all."""
        await self._session.flush()
        if self._new:
            await self._session.execute(insert(Article), self._new)
        readable = [read.change.key for read in changes if read.data is not None]
        await forget_problems(self._session, self._source, readable)
        await join_stories(self._session, await self._told(changes))

    async def _told(self, changes: Sequence[ReadChange]) -> list[Told]:
        """What was read, with the ids it is stored under."""
        keys = {read.change.key: read.story_keys for read in changes if read.data is not None}
        new = {row["source_key"] for row in self._new}
        told = []
        for start in range(0, len(keys), _PIECE):
            rows = await self._session.execute(
                select(col(Article.id), col(Article.source_key), col(Article.published_at))
                .where(
                    col(Article.source) == self._source,
                    col(Article.source_key).in_(list(keys)[start : start + _PIECE]),
                )
                .order_by(col(Article.id))
            )
            told += [
                Told(one, published_at, keys[key], key in new)
                for one, key, published_at in rows
                if one is not None
            ]
        return told

    def _add(self, key: str, item: RawItem, data: ArticleData) -> None:
        guid, slug = self._identities[key]
        slug = choose_free_slug(slug, guid, self._slugs.__contains__)
        self._slugs.add(slug)
        old = not self._left_from_first_scan.isdisjoint((key, item.location))
        # Nobody has read what is to come, wherever it lay when it was first seen.
        to_come = data.published_at > self._now and not is_dated_by_file(data)
        self._new.append(
            compose_article(
                data,
                source=self._source,
                key=key,
                fingerprint=item.fingerprint,
                guid=guid,
                slug=slug,
                now=self._now,
                announce=(self._announce and not old) or to_come,
            )
        )
        self.counts["new"] += 1

    def _revise(self, article: Article, item: RawItem, data: ArticleData) -> None:
        revision = compose_revision(
            article, data, item.fingerprint, now=self._now, announce=self._announce
        )
        if article.seq is None and data.slug:
            self._change_slug(article, self._identities[item.key][1])
        _apply(article, revision.values)
        self.counts[revision.outcome] += 1

    def _change_slug(self, article: Article, wanted: str) -> None:
        """Before anybody has seen it, an article's address follows its author's wish."""
        if wanted != article.slug:
            article.slug = choose_free_slug(wanted, article.guid, self._slugs.__contains__)
            self._slugs.add(article.slug)

    def _withdraw_gone(self, article: Article) -> None:
        article.fingerprint = gone_fingerprint(article.fingerprint)
        if article.state is not ArticleState.WITHDRAWN:
            _apply(article, compose_withdrawal(self._now))
            self.counts["withdrawn"] += 1


def _apply(article: Article, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if getattr(article, name) != value:
            setattr(article, name, value)
