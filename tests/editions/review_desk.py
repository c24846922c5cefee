"""A newsletter whose editions are reviewed: its articles, readers and drafts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from edition_desk import NOW, Desk
from sqlalchemy import select
from sqlmodel import col

from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.edition import Curation, Edition, EditionKind, EditionState, Wave
from feedsvc.model.newsletter import Newsletter

T = TypeVar("T")
DUE = NOW + timedelta(hours=2)


@dataclass
class ReviewDesk(Desk):
    """A desk with articles."""

    #: Title -> id.
    articles: dict[str, int] = field(default_factory=dict)

    async def publish(self, title: str, **values: Any) -> int:
        """An article with the next number; the later ones are the newer ones."""
        async with self.database.write() as session:
            counter = await session.get(Counter, "seq") or Counter(name="seq", value=0)
            counter.value += 1
            session.add(counter)
            seq = counter.value
            at = NOW - timedelta(days=1) + timedelta(minutes=seq)
            article = Article(
                **{
                    "source": "folder",
                    "source_key": f"{seq}.md",
                    "fingerprint": f"{seq:064d}",
                    "seq": seq,
                    "guid": f"urn:article:{seq}",
                    "slug": f"article-{seq}",
                    "title": title,
                    "language": "zh-CN",
                    "published_at": at,
                    "updated_at": at,
                    "content": "<p>正文。</p>",
                    "summary": "正文。",
                    "content_hash": f"{seq:064d}",
                    "announce": True,
                    "state": ArticleState.PUBLISHED,
                    "stored_at": NOW,
                    **values,
                }
            )
            session.add(article)
            await session.flush()
            self.articles[title] = article.id or 0
            return article.id or 0

    async def draft(self, **values: Any) -> int:
        """A draft with all there is by now, due in two hours."""
        async with self.database.write() as session:
            counter = await session.get(Counter, "seq")
            cut_seq = counter.value if counter else 0
            edition = Edition(
                **{
                    "newsletter_id": self.newsletter_id,
                    "schedule_id": self.schedule_id,
                    "period": "2026-11-22T02:00Z",
                    "state": EditionState.DRAFT,
                    "due_at": DUE,
                    "cut_seq": cut_seq,
                    "created_at": NOW,
                    **values,
                }
            )
            session.add(edition)
            await session.flush()
            number = edition.id or 0
            session.add(Wave(edition_id=number, zone="Asia/Shanghai", due_at=DUE, cut_seq=cut_seq))
            await session.flush()
            return number

    async def announce(self, **values: Any) -> int:
        """A draft of something the operator wrote."""
        return await self.draft(
            **{
                "kind": EditionKind.ANNOUNCEMENT,
                "schedule_id": None,
                "period": "by hand",
                "cut_seq": None,
                "due_at": None,
                **values,
            }
        )

    async def do(self, action: Callable[..., Awaitable[T]], *values: Any, **options: Any) -> T:
        """Do something in a transaction of its own, which is handed to it."""
        async with self.database.write() as session:
            return await action(session, *values, **options)

    async def curation(self, edition_id: int) -> Curation:
        return Curation.of((await self.edition(edition_id)).curation)

    async def waves(self, edition_id: int) -> list[Wave]:
        async with self.database.read() as session:
            rows = await session.execute(select(Wave).where(col(Wave.edition_id) == edition_id))
            return list(rows.scalars())

    async def change_newsletter(self, **values: Any) -> None:
        await self.change(Newsletter, self.newsletter_id, **values)


def at(hours: float) -> datetime:
    """So long after the drafts were made."""
    return NOW + timedelta(hours=hours)
