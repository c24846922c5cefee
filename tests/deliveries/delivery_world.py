"""A newsletter with subscribers, an edition being sent to them, and a sender of their mails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from feedsvc.config_sending import SendingSettings
from feedsvc.db.engine import Database
from feedsvc.deliveries.sender import Build, Route, Sender
from feedsvc.errors import RelayUnavailable
from feedsvc.model.delivery import (
    PRIORITY_DIGEST,
    PRIORITY_NOTICE,
    ClaimedDelivery,
    Delivery,
    DeliveryState,
)
from feedsvc.model.edition import Cohort, Edition, EditionState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.notice import Notice, NoticeKind
from feedsvc.model.relay import Envelope, Message, Permit, SendResult, Verdict
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still unless told otherwise."""

    now: datetime = NOW
    monotonic_seconds: float = 1000.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.monotonic_seconds

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)
        self.monotonic_seconds += timedelta(**by).total_seconds()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Stands in for waiting: when nothing comes of what is under way, the time goes by."""
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), 0.02)
        if not event.is_set():
            self.forward(seconds=seconds)
        return event.is_set()


@dataclass
class FakeRelay:
    """Answers what it is told to, per recipient, and remembers what it took."""

    name: str = "fake"
    connections: int = 3
    #: Recipient -> results in turn; afterwards, and for others, mail is accepted.
    answers: dict[str, list[SendResult]] = field(default_factory=dict)
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    #: Called between asking for the permit and RCPT.
    before_permit: Callable[[str], Awaitable[None]] | None = None
    #: Called with the permit in hand, before the answer.
    after_permit: Callable[[str], Awaitable[None]] | None = None
    #: Awaited before a connection is open.
    before_open: Callable[[], Awaitable[None]] | None = None
    open_problem: str | None = None
    open_code: int | None = None
    #: What is awaited when a connection is closed.
    before_close: Callable[[], Awaitable[None]] | None = None
    opened: int = 0
    closed: int = 0

    async def open(self) -> "FakeConnection":
        if self.before_open is not None:
            await self.before_open()
        if self.open_problem is not None:
            raise RelayUnavailable(self.name, self.open_problem, self.open_code)
        self.opened += 1
        return FakeConnection(self)

    def answer(self, recipient: str, *results: SendResult) -> None:
        self.answers.setdefault(recipient, []).extend(results)

    def recipients(self) -> list[str]:
        return [recipient for recipient, _ in self.taken]


@dataclass
class FakeConnection:
    relay: FakeRelay
    is_usable: bool = True

    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        relay, recipient = self.relay, envelope.recipient
        if relay.before_permit is not None:
            await relay.before_permit(recipient)
        if not await permit():
            return SendResult(Verdict.WITHHELD)
        if relay.after_permit is not None:
            await relay.after_permit(recipient)
        waiting = relay.answers.get(recipient)
        result = waiting.pop(0) if waiting else SendResult(Verdict.ACCEPTED, 250, "2.0.0 ok")
        if result.verdict in (Verdict.ACCEPTED, Verdict.UNKNOWN):
            relay.taken.append((recipient, message))
        return result

    async def close(self) -> None:
        self.relay.closed += 1
        if self.relay.before_close is not None:
            await self.relay.before_close()


def build(claim: ClaimedDelivery, date: datetime) -> Message:
    """A trivial message that differs by person and date only."""
    message = (
        f"From: news@example.com\r\nTo: {claim.address}\r\nDate: {date:%a, %d %b %Y %H:%M:%S +0000}"
        f"\r\nMessage-ID: <{claim.id}@example.com>\r\nSubject: News\r\n\r\nFor {claim.id}.\r\n"
    )
    return Message(Envelope("b@example.com", claim.address), message.encode())


async def prepare(_: Sequence[ClaimedDelivery]) -> Build:
    return build


@dataclass
class World:
    """A database with an edition under way, and hands on it."""

    database: Database
    clock: Clock
    edition_id: int = 0
    newsletter_id: int = 0
    schedule_id: int = 0
    cohort_id: int = 0

    async def create(self) -> None:
        async with self.database.write() as session:
            newsletter = Newsletter(
                key="news",
                title="News",
                language="en",
                from_name="News",
                from_address="news@example.com",
                sender="News",
                postal_address="1 Street",
            )
            session.add(newsletter)
            await session.flush()
            schedule = Schedule(
                newsletter_id=newsletter.id,
                key="d",
                label="Daily",
                cron="0 6 * * *",
                zone="UTC",
                since=NOW,
            )
            session.add(schedule)
            await session.flush()
            self.newsletter_id, self.schedule_id = newsletter.id, schedule.id
        self.edition_id, self.cohort_id = await self.add_edition("2026-11-22T06:00Z")

    async def add_edition(
        self, period: str, state: EditionState = EditionState.SENDING
    ) -> tuple[int, int]:
        async with self.database.write() as session:
            edition = Edition(
                newsletter_id=self.newsletter_id,
                schedule_id=self.schedule_id,
                period=period,
                state=state,
                created_at=NOW,
            )
            session.add(edition)
            await session.flush()
            cohort = Cohort(
                edition_id=edition.id,
                content_key="k",
                language="en",
                theme="plain",
                subject="s",
                html="h",
                text="t",
                page="p",
            )
            session.add(cohort)
            await session.flush()
            return edition.id, cohort.id

    async def add(
        self, *addresses: str, edition: tuple[int, int] | None = None, **changes: Any
    ) -> list[int]:
        """Active subscribers of these addresses with a digest to be sent; delivery ids."""
        edition_id, cohort_id = edition or (self.edition_id, self.cohort_id)
        async with self.database.write() as session:
            deliveries = []
            people = [
                Subscriber(address=address, address_key=address, created_at=NOW)
                for address in addresses
            ]
            session.add_all(people)
            await session.flush()
            subscriptions = [
                Subscription(
                    subscriber_id=person.id,
                    newsletter_id=self.newsletter_id,
                    schedule_id=self.schedule_id,
                    state=SubscriptionState.ACTIVE,
                    cursor=10,
                    requested_at=NOW,
                    confirmed_at=NOW,
                )
                for person in people
            ]
            session.add_all(subscriptions)
            await session.flush()
            for person, subscription in zip(people, subscriptions, strict=True):
                values: dict[str, Any] = {
                    "edition_id": edition_id,
                    "subscriber_id": person.id,
                    "subscription_id": subscription.id,
                    "cohort_id": cohort_id,
                    "from_seq": 10,
                    "cut_seq": 20,
                    "priority": PRIORITY_DIGEST,
                    "next_at": NOW,
                    "expires_at": NOW + timedelta(hours=24),
                    "changed_at": NOW,
                }
                deliveries.append(Delivery(**(values | changes)))
            session.add_all(deliveries)
            await session.flush()
            return [delivery.id or 0 for delivery in deliveries]

    async def add_notice(self, address: str, **changes: Any) -> int:
        """Somebody who asked to subscribe, and their confirmation notice; the delivery's id."""
        async with self.database.write() as session:
            person = Subscriber(address=address, address_key=address, created_at=NOW)
            session.add(person)
            await session.flush()
            notice = Notice(
                kind=NoticeKind.CONFIRMATION,
                subject=address,
                subscriber_id=person.id,
                language="en",
                created_at=NOW,
            )
            session.add(notice)
            await session.flush()
            values: dict[str, Any] = {
                "notice_id": notice.id,
                "subscriber_id": person.id,
                "priority": PRIORITY_NOTICE,
                "next_at": NOW,
                "expires_at": NOW + timedelta(hours=48),
                "changed_at": NOW,
            }
            delivery = Delivery(**(values | changes))
            session.add(delivery)
            await session.flush()
            return delivery.id or 0

    async def row(self, delivery_id: int) -> Delivery:
        async with self.database.read() as session:
            row = await session.get(Delivery, delivery_id)
            assert row is not None
            return row

    async def rows(self) -> list[Delivery]:
        async with self.database.read() as session:
            return list(
                (await session.execute(select(Delivery).order_by(col(Delivery.id)))).scalars()
            )

    async def states(self) -> dict[DeliveryState, int]:
        totals: dict[DeliveryState, int] = {}
        for row in await self.rows():
            totals[row.state] = totals.get(row.state, 0) + 1
        return totals

    async def person(self, address: str) -> tuple[Subscriber, Subscription]:
        async with self.database.read() as session:
            found = await session.execute(
                select(Subscriber, Subscription)
                .join(Subscription, col(Subscription.subscriber_id) == col(Subscriber.id))
                .where(col(Subscriber.address) == address)
            )
            person, subscription = found.one()
            return person, subscription

    async def cursor(self, address: str) -> int | None:
        return (await self.person(address))[1].cursor

    async def change(self, model: type[Any], key: Any, **values: Any) -> None:
        async with self.database.write() as session:
            row = await session.get(model, key)
            for name, value in values.items():
                setattr(row, name, value)
            await session.flush()

    async def unsubscribe(self, address: str) -> None:
        _, subscription = await self.person(address)
        await self.change(Subscription, subscription.id, state=SubscriptionState.UNSUBSCRIBED)

    @asynccontextmanager
    async def sender(
        self,
        relay: Any,
        prepare: Any = prepare,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Sender]:
        """A started sender, closed at the end; `options` are those of `Sender` itself."""
        sender = Sender(
            self.database,
            [Route(relay)] if not isinstance(relay, list) else relay,
            prepare,
            SendingSettings(**{"look_up_providers": False, **settings}),
            self.clock,
            "test",
            monotonic=self.clock.monotonic,
            **(options or {}),
        )
        await sender.start()
        try:
            yield sender
        finally:
            await asyncio.wait_for(sender.close(), 20)
