"""A newsletter whose editions go out morning by morning, and short ways to live in it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from composer import compose
from sqlalchemy import select, update
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.editions.fire import fire_due
from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import (
    Subscriber,
    Subscription,
    SubscriptionChange,
    SubscriptionState,
)

#: 08:00 in Shanghai.
MORNING = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class House:
    """Its newsletter, its clock, and what happens in it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        #: An hour after an edition.
        self.now = MORNING + timedelta(hours=1)
        self.people = 0

    async def open(self) -> None:
        async with self.database.write() as session:
            session.add(Counter(name="seq", value=0))
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
                since=self.now,
            )
            session.add(schedule)
            await session.flush()
            self.newsletter_id, self.schedule_id = newsletter.id or 0, schedule.id or 0

    async def publish(self, title: str = "头条", topics: Sequence[str] = (), **values: Any) -> int:
        """A new article; its id. One that is scheduled gets no number."""
        is_published = values.get("state", ArticleState.PUBLISHED) is not ArticleState.SCHEDULED
        async with self.database.write() as session:
            counter = await session.get_one(Counter, "seq")
            counter.value += is_published
            last = await session.scalar(select(col(Article.id)).order_by(col(Article.id).desc()))
            number = (last or 0) + 1
            article = Article(
                **{
                    "source": "folder",
                    "source_key": f"{number}.md",
                    "fingerprint": f"{number:064d}",
                    "seq": counter.value if is_published else None,
                    "guid": f"urn:article:{number}",
                    "slug": f"article-{number}",
                    "title": title,
                    "topics": list(topics),
                    "language": "zh-CN",
                    "published_at": self.now,
                    "updated_at": self.now,
                    "content": "<p>正文。</p>",
                    "summary": "正文。",
                    "content_hash": f"{number:064d}",
                    "state": ArticleState.PUBLISHED,
                    "stored_at": self.now,
                    **values,
                }
            )
            session.add(article)
            await session.flush()
            return article.id or 0

    async def join(self, topics: Sequence[str] = (), **values: Any) -> int:
        """A new subscription that begins now; its id."""
        self.people += 1
        address = f"reader{self.people}@example.com"
        async with self.database.write() as session:
            newest = (await session.get_one(Counter, "seq")).value
            person = Subscriber(address=address, address_key=address, created_at=self.now)
            session.add(person)
            await session.flush()
            subscription = Subscription(
                **{
                    "subscriber_id": person.id or 0,
                    "newsletter_id": self.newsletter_id,
                    "schedule_id": self.schedule_id,
                    "topics": sorted(topics),
                    "language": "zh",
                    "state": SubscriptionState.ACTIVE,
                    "cursor": newest,
                    "requested_at": self.now,
                    "confirmed_at": self.now,
                    **values,
                }
            )
            session.add(subscription)
            await session.flush()
            number = subscription.id or 0
        await self.log(number, "confirmed", {"cursor": newest})
        return number

    async def edition(self, *, send: bool = True) -> int:
        """The next morning's edition, composed; its mails are accepted, if wanted."""
        self.now += DAY
        async with self.database.write() as session:
            (edition_id,) = await fire_due(session, self.now)
        await compose(self.database, edition_id, now=self.now)
        if send:
            await self.end(edition_id, DeliveryState.SENT, reply_code=250, reply_text="ok")
        return edition_id

    async def end(self, edition_id: int, state: DeliveryState, **values: Any) -> None:
        """Let all of an edition's mails come to this, as sending does."""
        of_it = col(Delivery.edition_id) == edition_id
        async with self.database.write() as session:
            mails = (await session.execute(select(Delivery).where(of_it))).scalars().all()
            for mail in mails:
                mail.state, mail.changed_at = state, self.now
                for name, value in values.items():
                    setattr(mail, name, value)
                if state in (DeliveryState.SENT, DeliveryState.HELD):
                    await session.execute(
                        update(Subscription)
                        .where(
                            col(Subscription.id) == mail.subscription_id,
                            col(Subscription.cursor) == mail.from_seq,
                        )
                        .values(cursor=mail.cut_seq)
                    )

    async def change(self, table: type[Any], key: int, **values: Any) -> None:
        """Change a row."""
        async with self.database.write() as session:
            row = await session.get_one(table, key)
            for name, value in values.items():
                setattr(row, name, value)

    async def add(self, *rows: Any) -> None:
        """Add rows."""
        async with self.database.write() as session:
            session.add_all(rows)

    async def log(self, subscription_id: int, what: str, detail: dict[str, Any]) -> None:
        """What a change of a subscription leaves."""
        await self.add(
            SubscriptionChange(
                subscription_id=subscription_id, at=self.now, what=what, by="test", detail=detail
            )
        )

    async def choose(self, subscription_id: int, *topics: str) -> None:
        """Let somebody choose other topics."""
        async with self.database.write() as session:
            subscription = await session.get_one(Subscription, subscription_id)
            before, subscription.topics = subscription.topics, sorted(topics)
        await self.log(
            subscription_id,
            "changed",
            {"before": {"topics": before}, "after": {"topics": sorted(topics)}},
        )
