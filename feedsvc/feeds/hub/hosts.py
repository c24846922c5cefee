"""How often hosts are asked in vain whether they meant a subscription, and no oftener.

SECURITY: anybody may send requests with anybody's host in the callback, ten thousand of them. Each
accepted one makes us ask that host once, so questions that are not confirmed are counted, by host
and by address (one machine has any number of names), and in the end no more are put.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import case, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.hub import HubHost, HubState, HubSubscription

PERIOD = timedelta(hours=1)
#: Unconfirmed questions in a period to one host, and to one address: large readers share some.
HITS_PER_HOST = 20
HITS_PER_ADDRESS = 100
#: A host that has confirmed subscriptions may be asked this many times as often.
_TRUSTED = 25


async def is_spent(session: AsyncSession, host: str, now: datetime) -> bool:
    """Whether a host is not to be asked any more for now."""
    unconfirmed = await session.scalar(
        select(col(HubHost.unconfirmed)).where(
            col(HubHost.host) == host, col(HubHost.since) > now - PERIOD
        )
    )
    return (unconfirmed or 0) >= HITS_PER_HOST * await _trust(session, host)


async def count_question(
    session: AsyncSession, host: str, addresses: Collection[str], now: datetime
) -> bool:
    """Count one question before it is put; False: it is not to be put.

    Args:
        session: a write transaction; to be rolled back when the answer is False.
        host: of the callback.
        addresses: that its name stands for.
        now: the present.
    """
    trust = await _trust(session, host)
    limits = {**dict.fromkeys(addresses, HITS_PER_ADDRESS * trust), host: HITS_PER_HOST * trust}
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    fresh = col(HubHost.since) <= now - PERIOD
    for name, limit in sorted(limits.items()):  # in one order, lest two wait for each other
        counted = await session.scalar(
            insert(HubHost)
            .values(host=name, since=now, unconfirmed=1)
            .on_conflict_do_update(
                index_elements=["host"],
                set_={
                    "since": case((fresh, now), else_=col(HubHost.since)),
                    "unconfirmed": case((fresh, 1), else_=col(HubHost.unconfirmed) + 1),
                },
                where=or_(fresh, col(HubHost.unconfirmed) < limit),
            )
            .returning(col(HubHost.host))
        )
        if counted is None:
            return False
    return True


async def forgive_question(session: AsyncSession, names: Iterable[str]) -> None:
    """Take back one question to each host and address: it was confirmed."""
    await session.execute(
        update(HubHost)
        .where(col(HubHost.host).in_(sorted(names)), col(HubHost.unconfirmed) > 0)
        .values(unconfirmed=col(HubHost.unconfirmed) - 1)
    )


async def prune_hosts(session: AsyncSession, now: datetime) -> None:
    """Forget counts that are over."""
    await session.execute(delete(HubHost).where(col(HubHost.since) <= now - PERIOD))


async def _trust(session: AsyncSession, host: str) -> int:
    has_active = await session.scalar(
        select(
            exists().where(
                col(HubSubscription.callback_host) == host,
                col(HubSubscription.state) == HubState.ACTIVE,
            )
        )
    )
    return _TRUSTED if has_active else 1
