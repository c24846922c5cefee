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

from feedsvc.articles.changes import ChangeKind, gone_fingerprint
from feedsvc.articles.identity import RandomBytes, choose_free_slug, choose_slug, mint_guid
from feedsvc.articles.ingest import ReadChange
from feedsvc.articles.revise import compose_article, compose_revision, compose_withdrawal
from feedsvc.articles.scans import forget_problems, load_left_from_first_scan, save_problem
from feedsvc.model.article import Article, ArticleData, ArticleState, RawItem


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
        changes: at most 500, so that the write lock is held for a moment only.
        now: when this is done.
        announce: whether new articles go into editions; False until the source's first scan has
            been carried out to its end.
        random_bytes: where guids come from.
    """
    batch = _Batch(session, source, now, announce, random_bytes)
    await batch.load(changes)
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
        rows = await self._session.execute(
            select(Article)
            .where(
                col(Article.source) == self._source,
                col(Article.id).in_(ids) | col(Article.source_key).in_(keys),
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
            if article is None:
                self._add(change.key, change.item, read.data)
            else:
                self._revise(article, change.item, read.data)
        elif article is not None and change.kind is ChangeKind.RENAMED:
            self._rename(article, change.key)
        elif article is not None and change.kind is ChangeKind.WITHDRAWN:
            self._withdraw_gone(article)

    async def finish(self, changes: Sequence[ReadChange]) -> None:
        """Write it all."""
        await self._session.flush()
        if self._new:
            await self._session.execute(insert(Article), self._new)
        readable = [read.change.key for read in changes if read.data is not None]
        await forget_problems(self._session, self._source, readable)

    def _add(self, key: str, item: RawItem, data: ArticleData) -> None:
        guid, slug = self._identities[key]
        slug = choose_free_slug(slug, guid, self._slugs.__contains__)
        self._slugs.add(slug)
        old = not self._left_from_first_scan.isdisjoint((key, item.location))
        self._new.append(
            compose_article(
                data,
                source=self._source,
                key=key,
                fingerprint=item.fingerprint,
                guid=guid,
                slug=slug,
                now=self._now,
                announce=self._announce and not old,
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

    def _rename(self, article: Article, key: str) -> None:
        if key not in self._by_key:
            self._by_key[key] = self._by_key.pop(article.source_key)
            article.source_key = key
            self.counts["renamed"] += 1

    def _withdraw_gone(self, article: Article) -> None:
        article.fingerprint = gone_fingerprint(article.fingerprint)
        if article.state is not ArticleState.WITHDRAWN:
            _apply(article, compose_withdrawal(self._now))
            self.counts["withdrawn"] += 1


def _apply(article: Article, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if getattr(article, name) != value:
            setattr(article, name, value)
