"""A walk with a crowd of readers, whose mails can be told to leave in two halves."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from newsroom_walk import Inbox, Walk
from sqlalchemy import select, update
from sqlmodel import col

from feedsvc.editions.fire import fire_by_hand
from feedsvc.editions.registry import find_newsletter
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionKind
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState
from feedsvc.pipeline.letters import Letters

LATER = timedelta(minutes=30)
_NEWSLETTER = "[newsletters.daily.schedules.morning]"


@asynccontextmanager
async def open_walk(
    folder: Path, url: str, inbox: Inbox, start: datetime, newsletter: str
) -> AsyncIterator[Walk]:
    """A walk whose newsletter is configured by these further lines."""
    walk = Walk(folder, url, inbox.port, start)
    config = folder / "config.toml"
    text = config.read_text("utf-8").replace(_NEWSLETTER, f"{newsletter}\n{_NEWSLETTER}")
    config.write_text(text, encoding="utf-8")
    async with walk.open():
        yield walk


def letters_of(walk: Walk) -> Letters:
    """The walk of letters, on the parts of this one."""
    return Letters(walk.app.pipeline._parts)


async def add_readers(walk: Walk, names: Sequence[str], language: str = "zh") -> list[str]:
    """Active readers who have everything up to now; their addresses."""
    addresses = [f"{name}@example.com" for name in names]
    async with walk.app.database.write() as session:
        row = await find_newsletter(session, "daily")
        cursor = await session.scalar(select(col(Subscription.cursor)).limit(1)) or 0
        people = [
            Subscriber(address=one, address_key=one, created_at=walk.now) for one in addresses
        ]
        session.add_all(people)
        await session.flush()
        session.add_all(
            Subscription(
                subscriber_id=one.id or 0,
                newsletter_id=row.newsletter.id or 0,
                schedule_id=row.schedules[0].id or 0,
                state=SubscriptionState.ACTIVE,
                language=language,
                cursor=cursor,
                requested_at=walk.now,
                confirmed_at=walk.now,
            )
            for one in people
        )
        await session.flush()
    return addresses


async def make_edition(walk: Walk) -> int:
    """An edition for everybody, composed and not sent."""
    async with walk.app.database.write() as session:
        row = await find_newsletter(session, "daily")
        edition_id = await fire_by_hand(session, row.newsletter, walk.now)
    await walk.app.pipeline.compose(edition_id)
    return edition_id


async def put_off(walk: Walk, addresses: Sequence[str]) -> None:
    """Have the waiting mails to these leave later."""
    theirs = select(col(Subscriber.id)).where(col(Subscriber.address).in_(addresses))
    async with walk.app.database.write() as session:
        await session.execute(
            update(Delivery)
            .where(col(Delivery.subscriber_id).in_(theirs))
            .values(next_at=walk.now + LATER)
            .execution_options(synchronize_session=False)
        )


async def end_everything(walk: Walk) -> None:
    """What the sweeps of some seconds do."""
    for _ in range(3):
        walk.now += timedelta(seconds=1)
        await walk.app.sweep()
        await walk.app.jobs.drain()


async def load_edition(walk: Walk, edition_id: int) -> Edition:
    async with walk.app.database.read() as session:
        return await session.get_one(Edition, edition_id)


async def load_editions(walk: Walk, kind: EditionKind) -> list[Edition]:
    async with walk.app.database.read() as session:
        query = select(Edition).where(col(Edition.kind) == kind).order_by(col(Edition.id))
        return list((await session.execute(query)).scalars())


async def count_states(walk: Walk, edition_id: int) -> dict[DeliveryState, int]:
    async with walk.app.database.read() as session:
        query = select(Delivery).where(col(Delivery.edition_id) == edition_id)
        states: dict[DeliveryState, int] = {}
        for one in (await session.execute(query)).scalars():
            states[one.state] = states.get(one.state, 0) + 1
        return states


async def cursor_of(walk: Walk, address: str) -> int | None:
    async with walk.app.database.read() as session:
        return await session.scalar(
            select(col(Subscription.cursor))
            .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
            .where(col(Subscriber.address) == address)
        )


async def newsletter_of(walk: Walk) -> Newsletter:
    async with walk.app.database.read() as session:
        return (await find_newsletter(session, "daily")).newsletter


def text_to(inbox: Inbox, address: str) -> list[str]:
    """The plain text of each mail to an address, oldest first."""
    texts = []
    for message in inbox.to(address):
        body = message.get_body(("plain",))
        assert body is not None
        texts.append(body.get_content())
    return texts
