"""A subscriber who changes their mind, and the mails on their way meanwhile."""

from datetime import datetime, timedelta
from typing import Any

from publisher_house import NOW, House
from sqlalchemy import select
from sqlmodel import col

from feedsvc.audience.choices import Choices, change_choices, pause, resume
from feedsvc.audience.subscriptions import add_confirmed
from feedsvc.kit.addresses import parse_address
from feedsvc.model.article import Article, ArticleLabel, ArticleState
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Cohort, Edition
from feedsvc.model.subscriber import Resume, Subscription, SubscriptionChange

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Reader:
    """李雷, subscribed to the daily since article 7."""

    def __init__(self, house: House, subscription_id: int) -> None:
        self.house, self.id = house, subscription_id

    async def change(self, now: datetime = NOW, **choices: Any) -> Subscription:
        async with self.house.database.write() as session:
            return await change_choices(session, self.id, Choices(**choices), now, "subscriber")

    async def pause(
        self, until: datetime | None = None, how: Resume = Resume.CATCH_UP, now: datetime = NOW
    ) -> Subscription:
        async with self.house.database.write() as session:
            return await pause(session, self.id, until, how, now, "subscriber")

    async def resume(self, now: datetime = NOW + HOUR, how: Resume | None = None) -> Subscription:
        async with self.house.database.write() as session:
            return await resume(session, self.id, now, "subscriber", how)

    async def row(self) -> Subscription:
        async with self.house.database.read() as session:
            return await session.get_one(Subscription, self.id)

    async def log(self) -> list[SubscriptionChange]:
        async with self.house.database.read() as session:
            rows = await session.execute(
                select(SubscriptionChange)
                .where(col(SubscriptionChange.subscription_id) == self.id)
                .order_by(col(SubscriptionChange.id))
            )
            return list(rows.scalars())[1:]  # the first is how they came

    async def add_mail(
        self, state: DeliveryState, *, window: tuple[int, int] | None = (7, 9), doubts: int = 0
    ) -> int:
        """A mail to them that is as far as this."""
        subscription = await self.row()
        async with self.house.database.write() as session:
            edition = Edition(newsletter_id=subscription.newsletter_id, period="p", created_at=NOW)
            session.add(edition)
            await session.flush()
            cohort = Cohort(
                edition_id=edition.id or 0,
                content_key="c",
                language="zh",
                theme="plain",
                subject="s",
                html="h",
                text="t",
                page="p",
            )
            session.add(cohort)
            await session.flush()
            delivery = Delivery(
                edition_id=edition.id,
                subscriber_id=subscription.subscriber_id,
                subscription_id=subscription.id,
                cohort_id=cohort.id,
                from_seq=window[0] if window else None,
                cut_seq=window[1] if window else None,
                state=state,
                doubts=doubts,
                next_at=NOW,
                expires_at=NOW + DAY,
                changed_at=NOW,
            )
            session.add(delivery)
            await session.flush()
            return delivery.id or 0

    async def mail(self, delivery_id: int) -> Delivery:
        async with self.house.database.read() as session:
            return await session.get_one(Delivery, delivery_id)


async def subscribe(
    house: House, address: str = "lilei@example.com", newsletter: str = "daily", **choices: Any
) -> Reader:
    """Somebody who gets a newsletter every morning."""
    async with house.database.write() as session:
        subscription = await add_confirmed(
            session,
            newsletter=house.newsletters[newsletter],
            schedule=house.schedules[newsletter, "morning"],
            address=parse_address(address),
            name="李雷",
            language=choices.get("language", "zh"),
            zone=choices.get("zone"),
            topics=choices.get("topics", ()),
            now=NOW,
            consent_text="said so",
        )
    return Reader(house, subscription.id or 0)


async def publish_about(
    house: House, seq: int, *topics: str, published_at: datetime = NOW, **values: Any
) -> None:
    """An article with these topics."""
    async with house.database.write() as session:
        session.add(
            Article(
                **{
                    "source": "folder",
                    "source_key": f"{seq}.md",
                    "fingerprint": f"{seq:064d}",
                    "seq": seq,
                    "guid": f"urn:{seq}",
                    "slug": f"article-{seq}",
                    "title": "头条",
                    "topics": list(topics),
                    "language": "zh-CN",
                    "published_at": published_at,
                    "updated_at": published_at,
                    "content": "<p>正文。</p>",
                    "summary": "正文。",
                    "content_hash": f"{seq:064d}",
                    "state": ArticleState.PUBLISHED,
                    "stored_at": NOW,
                    **values,
                }
            )
        )
        session.add_all(ArticleLabel(kind="topic", value=one, seq=seq) for one in topics)
