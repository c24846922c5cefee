"""What the rows say after a round, for the account; and what must hold of them by themselves."""

from collections import Counter as Tally
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from invariant_account import Account, Seen
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.app import App
from feedsvc.messages.assemble import message_id
from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.delivery import OPEN_STATES, Delivery, DeliveryState
from feedsvc.model.edition import Curation, Edition, Wave
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscription, SubscriptionChange, SubscriptionState


async def read_rows(app: App, session: AsyncSession, account: Account) -> Seen:
    """Everything the account is shown."""
    await _read_articles(session, account)
    subscriptions = (await session.execute(select(Subscription))).scalars().all()
    newest = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    editions = await _read_editions(session)
    waves = (await session.execute(select(Wave).order_by(col(Wave.id)))).scalars().all()
    cuts: dict[int, int] = {}
    for wave in waves:
        cuts[wave.edition_id] = max(cuts.get(wave.edition_id, 0), wave.cut_seq)
    return Seen(
        now=app.clock(),
        cursors={
            one.id or 0: (one.cursor, one.state.value)
            for one in subscriptions
            if one.cursor is not None and one.state is not SubscriptionState.PENDING
        },
        deliveries=await _read_deliveries(app, session),
        jumps=await _read_jumps(session),
        editions={
            edition.id or 0: (
                newsletter,
                schedule,
                frozenset(Curation.of(edition.curation).dropped),
                edition.state.value,
                max(cuts.get(edition.id or 0, 0), edition.cut_seq or 0),
            )
            for edition, newsletter, schedule in editions
        },
        waves=[
            (
                wave.id or 0,
                wave.edition_id,
                wave.due_at,
                wave.cut_seq,
                wave.missed.value if wave.missed else None,
                wave.composed_at is not None,
            )
            for wave in waves
        ],
        newest=newest or 0,
    )


async def _read_articles(session: AsyncSession, account: Account) -> None:
    """Note ids and numbers; what was told of an article is what is stored of it."""
    told = {(one.source, f"{one.number}.md"): one for one in account.articles.values()}
    for row in (await session.execute(select(Article))).scalars():
        one = told[row.source, row.source_key]
        one.id, one.seq = row.id or 0, row.seq
        assert (row.state is ArticleState.WITHDRAWN) == one.is_withdrawn, f"{one} is {row.state}"
        assert row.announce != one.is_old, f"{one} is announced: {row.announce}"
        assert (tuple(row.topics), row.section) == (one.topics, one.section)


async def _read_editions(session: AsyncSession) -> list[Any]:
    rows = await session.execute(
        select(Edition, col(Newsletter.key), col(Schedule.key))
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
        .order_by(col(Edition.id))
    )
    return list(rows.all())


async def _read_deliveries(app: App, session: AsyncSession) -> list[Any]:
    rows = await session.execute(
        select(Delivery, col(Newsletter.from_address))
        .join(Edition, col(Edition.id) == col(Delivery.edition_id))
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .where(col(Delivery.from_seq).is_not(None))
        .order_by(col(Delivery.id))
    )
    return [
        SimpleNamespace(
            id=one.id,
            edition_id=one.edition_id,
            subscription_id=one.subscription_id,
            from_seq=one.from_seq,
            cut_seq=one.cut_seq,
            state=one.state.value,
            reason=one.reason,
            doubts=one.doubts,
            message_id=message_id(
                app.keyring.derive("message-id", "edition", one.edition_id, one.subscriber_id),
                sender.partition("@")[2],
            ),
        )
        for one, sender in rows.all()
    ]


async def _read_jumps(session: AsyncSession) -> list[tuple[int, int, int, str]]:
    rows = await session.execute(
        select(SubscriptionChange)
        .where(col(SubscriptionChange.what).in_(["confirmed", "resumed"]))
        .order_by(col(SubscriptionChange.id))
    )
    jumps = []
    for one in rows.scalars():
        if one.what == "confirmed":
            jumps.append((one.subscription_id, 0, one.detail["cursor"], "came back, from now"))
        elif "to" in one.detail:
            jump = (one.detail["from"], one.detail["to"], "went on from now")
            jumps.append((one.subscription_id, *jump))
    return jumps


async def check_rows(session: AsyncSession) -> None:
    """One edition a schedule and period, one wave a zone, one open mail a subscription."""
    editions = await session.execute(
        select(col(Edition.schedule_id), col(Edition.period))
        .where(col(Edition.schedule_id).is_not(None))
        .group_by(col(Edition.schedule_id), col(Edition.period))
        .having(func.count() > 1)
    )
    assert not editions.all(), "two editions of one period"
    waves = await session.execute(
        select(col(Wave.edition_id), col(Wave.zone))
        .group_by(col(Wave.edition_id), col(Wave.zone))
        .having(func.count() > 1)
    )
    assert not waves.all(), "two waves of one zone"
    rows = (
        await session.execute(select(Delivery).where(col(Delivery.from_seq).is_not(None)))
    ).scalars()
    windows: dict[int | None, list[tuple[int, int]]] = {}
    still_open: Tally[int | None] = Tally()
    for one in rows:
        still_open[one.subscription_id] += one.state in OPEN_STATES
        if one.state is DeliveryState.SENT and not (one.reason or "").startswith("arrived, the"):
            window = (one.from_seq or 0, one.cut_seq or 0)
            windows.setdefault(one.subscription_id, []).append(window)
    assert max(still_open.values(), default=0) <= 1, "two open mails to one reader"
    for subscription, theirs in windows.items():
        theirs.sort()
        for before, after in pairwise(theirs):
            assert before[1] <= after[0], f"windows of {subscription} overlap: {before}, {after}"
