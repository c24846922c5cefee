"""Two public newsletters and a private one, and how people ask for them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlmodel import col

from feedsvc.audience.subscriptions import confirm, request_subscription
from feedsvc.db.engine import Database
from feedsvc.kit.addresses import parse_address
from feedsvc.model.article import Counter
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.notice import Notice
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription

NOW = datetime(2026, 11, 22, 0, 0, 0, 250_000, tzinfo=UTC)


@dataclass
class House:
    """A publisher's database, in the words of these tests."""

    database: Database
    newsletters: dict[str, Newsletter]
    schedules: dict[tuple[str, str], Schedule]

    async def ask(
        self,
        address: str = "alice@example.com",
        newsletter: str = "daily",
        schedule: str = "morning",
        now: datetime = NOW,
        how: str = "form",
        name: str = "",
        language: str = "en",
    ) -> None:
        async with self.database.write() as session:
            await request_subscription(
                session,
                newsletter=self.newsletters[newsletter],
                schedule=self.schedules[newsletter, schedule],
                address=parse_address(address),
                name=name,
                language=language,
                zone=None,
                topics=[],
                now=now,
                how=how,
                consent_text="I want the daily by e-mail.",
                notice_expires_at=now + timedelta(hours=48),
            )

    async def confirm(self, subscription_id: int, asked: datetime, now: datetime) -> Subscription:
        async with self.database.write() as session:
            return await confirm(session, subscription_id, to_the_second(asked), now)

    async def notices(self) -> list[Notice]:
        async with self.database.read() as session:
            rows = await session.execute(select(Notice).order_by(col(Notice.id)))
            return list(rows.scalars())

    async def subscribers(self) -> list[Subscriber]:
        async with self.database.read() as session:
            rows = await session.execute(select(Subscriber).order_by(col(Subscriber.id)))
            return list(rows.scalars())

    async def subscriptions(self) -> list[Subscription]:
        async with self.database.read() as session:
            rows = await session.execute(select(Subscription).order_by(col(Subscription.id)))
            return list(rows.scalars())

    async def only(self) -> Subscription:
        (subscription,) = await self.subscriptions()
        return subscription

    async def publish_up_to(self, seq: int) -> None:
        async with self.database.write() as session:
            await session.merge(Counter(name="seq", value=seq))

    async def mark_address(self, address: str, state: AddressState) -> None:
        async with self.database.write() as session:
            subscriber = (
                await session.execute(select(Subscriber).where(col(Subscriber.address) == address))
            ).scalar_one()
            subscriber.state = state


def to_the_second(at: datetime) -> datetime:
    """As a confirmation link carries it."""
    return datetime.fromtimestamp(int(at.timestamp()), UTC)
