"""Editions under way, and short ways to add mails to them and to look at what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Cohort, Edition, EditionState, Wave
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

NOW = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def article(seq: int) -> Article:
    """A published article with this number."""
    return Article(
        source="folder",
        source_key=f"{seq}.md",
        fingerprint="f",
        seq=seq,
        guid=f"urn:article:{seq}",
        slug=f"article-{seq}",
        title="夜市回来了",
        language="zh-CN",
        published_at=NOW,
        updated_at=NOW,
        content="<p>正文。</p>",
        summary="正文。",
        content_hash="h",
        state=ArticleState.PUBLISHED,
        stored_at=NOW,
    )


@dataclass
class Desk:
    """A newsletter, its editions, and readers whose cursor is 10."""

    database: Database
    newsletter_id: int = 0
    schedule_id: int = 0
    #: Name -> subscription id.
    readers: dict[str, int] = field(default_factory=dict)
    #: Edition -> its cohort.
    cohorts: dict[int, int] = field(default_factory=dict)

    async def open(self) -> None:
        async with self.database.write() as session:
            newsletter = Newsletter(
                key="daily",
                title="每日新闻",
                language="zh-CN",
                from_name="新闻",
                from_address="news@example.com",
                sender="示例报社",
                postal_address="上海市示例路 1 号",
            )
            session.add(newsletter)
            await session.flush()
            schedule = Schedule(
                newsletter_id=newsletter.id or 0,
                key="morning",
                label="每天早上",
                cron="0 8 * * *",
                zone="Asia/Shanghai",
                since=NOW,
            )
            session.add(schedule)
            await session.flush()
            self.newsletter_id, self.schedule_id = newsletter.id or 0, schedule.id or 0

    async def add_edition(
        self,
        state: EditionState = EditionState.SENDING,
        *,
        cut_seq: int = 20,
        frozen: bool = True,
        by_hand: bool = False,
        **values: Any,
    ) -> int:
        """An edition for everybody whose cursor is below `cut_seq`."""
        async with self.database.write() as session:
            edition = Edition(
                newsletter_id=self.newsletter_id,
                schedule_id=None if by_hand else self.schedule_id,
                period=f"2026-11-22T{len(self.cohorts):02d}:00Z",
                state=state,
                created_at=NOW,
                frozen_at=NOW if frozen else None,
                **values,
            )
            session.add(edition)
            await session.flush()
            number = edition.id or 0
            session.add(
                Wave(
                    edition_id=number,
                    zone="Asia/Shanghai",
                    due_at=NOW,
                    cut_seq=cut_seq,
                    composed_at=NOW if frozen else None,
                )
            )
            cohort = Cohort(
                edition_id=number,
                content_key="k",
                language="zh-CN",
                theme="plain",
                subject="夜市回来了",
                html="h",
                text="t",
                page="p",
            )
            session.add(cohort)
            await session.flush()
            self.cohorts[number] = cohort.id or 0
            return number

    async def join(
        self,
        name: str,
        *,
        cursor: int = 10,
        state: SubscriptionState = SubscriptionState.ACTIVE,
        **person: Any,
    ) -> int:
        """A reader's subscription."""
        async with self.database.write() as session:
            address = f"{name}@example.com"
            row = Subscriber(address=address, address_key=address, created_at=NOW, **person)
            session.add(row)
            await session.flush()
            subscription = Subscription(
                subscriber_id=row.id or 0,
                newsletter_id=self.newsletter_id,
                schedule_id=self.schedule_id,
                state=state,
                cursor=cursor,
                requested_at=NOW,
            )
            session.add(subscription)
            await session.flush()
            self.readers[name] = subscription.id or 0
            return subscription.id or 0

    async def add_mail(
        self,
        edition_id: int,
        name: str,
        state: DeliveryState = DeliveryState.PENDING,
        *,
        from_seq: int = 10,
        cut_seq: int = 20,
        **values: Any,
    ) -> int:
        """A mail of an edition to a reader, who joins if need be; its id."""
        if name not in self.readers:
            await self.join(name)
        async with self.database.write() as session:
            subscription = await session.get_one(Subscription, self.readers[name])
            delivery = Delivery(
                **{
                    "edition_id": edition_id,
                    "cohort_id": self.cohorts[edition_id],
                    "subscriber_id": subscription.subscriber_id,
                    "subscription_id": subscription.id,
                    "from_seq": from_seq,
                    "cut_seq": cut_seq,
                    "state": state,
                    "next_at": NOW,
                    "expires_at": NOW + DAY,
                    "changed_at": NOW,
                    **values,
                }
            )
            session.add(delivery)
            await session.flush()
            return delivery.id or 0

    async def edition(self, edition_id: int) -> Edition:
        async with self.database.read() as session:
            return await session.get_one(Edition, edition_id)

    async def mail(self, delivery_id: int) -> Delivery:
        async with self.database.read() as session:
            return await session.get_one(Delivery, delivery_id)

    async def states(self, edition_id: int) -> Sequence[DeliveryState]:
        """The states of an edition's mails, in the order they were added."""
        async with self.database.read() as session:
            query = select(col(Delivery.state)).where(col(Delivery.edition_id) == edition_id)
            return (await session.execute(query.order_by(col(Delivery.id)))).scalars().all()

    async def cursor(self, name: str) -> int | None:
        async with self.database.read() as session:
            return (await session.get_one(Subscription, self.readers[name])).cursor

    async def change(self, table: type[Any], key: int, **values: Any) -> None:
        async with self.database.write() as session:
            row = await session.get_one(table, key)
            for name, value in values.items():
                setattr(row, name, value)
            await session.flush()
