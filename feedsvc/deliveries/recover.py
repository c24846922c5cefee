"""Recovery: what becomes of deliveries whose worker has died, and of what our own left over."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Row, delete, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.journal import run_script
from feedsvc.deliveries.marks import Settlement, settle
from feedsvc.deliveries.outcomes import (
    Facts,
    Outcome,
    Policy,
    decide_outcome,
    decide_recovery,
    decide_release,
)
from feedsvc.deliveries.workers import load_dead_workers
from feedsvc.model.delivery import Delivery, DeliveryState, Worker
from feedsvc.model.relay import SendResult, Verdict

log = structlog.get_logger()

#: Rows a transaction takes back; more than one worker can hold, so that who held only one is seen.
BATCH = 1000
#: Literal, word for word as in the partial index.
_IN_HAND = text("delivery.state IN ('claimed', 'dot')")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found in dead hands."""

    #: Certainly unsent: waiting again.
    unsent: int = 0
    #: On the wire when their worker died: policy decided.
    in_doubt: int = 0
    #: Given up, because workers keep dying of them.
    set_aside: int = 0

    def __add__(self, other: "Recovered") -> "Recovered":
        return Recovered(
            self.unsent + other.unsent,
            self.in_doubt + other.in_doubt,
            self.set_aside + other.set_aside,
        )

    @property
    def total(self) -> int:
        """All rows taken back."""
        return self.unsent + self.in_doubt + self.set_aside


async def recover_dead(
    session: AsyncSession,
    own: str,
    timeout_seconds: float | None,
    now: datetime,
    policy: Policy,
) -> Recovered:
    """Take back up to `BATCH` rows from dead workers; nothing recovered means nothing is left.

    Args:
        session: a write transaction.
        own: our own worker, which is alive.
        timeout_seconds: age of a heartbeat, by the database's clock, at which its worker is dead;
            None when we hold the sender lock, so that every other is.
        now: for retries and reasons.
        policy: what becomes of those in doubt.
    """
    dead = await load_dead_workers(session, own, timeout_seconds)
    living = select(col(Worker.id))
    rows = (
        await session.execute(
            _in_hand()
            .where(
                or_(col(Delivery.worker).in_(dead), col(Delivery.worker).not_in(living)),
                col(Delivery.worker) != own,
            )
            .limit(BATCH)
        )
    ).all()
    kind = session.get_bind().dialect.name
    held = Counter(row.worker for row in rows)
    recovered = Recovered()
    by_worker: defaultdict[str, list[Settlement]] = defaultdict(list)
    for row in rows:
        was_dotted = row.state is DeliveryState.DOT
        outcome = decide_recovery(
            _facts(row),
            was_dotted=was_dotted,
            was_alone=held[row.worker] == 1,
            now=now,
            policy=policy,
        )
        by_worker[row.worker].append(Settlement(row.id, row.attempt, outcome))
        recovered += _count(outcome, was_dotted)
        _log(row, outcome)
    for worker, settlements in by_worker.items():
        await run_script(await session.connection(), settle(kind, worker, settlements, now))
    if len(rows) < BATCH and dead:
        await session.execute(delete(Worker).where(col(Worker.id).in_(dead)))
    return recovered


async def release_own(session: AsyncSession, own: str, now: datetime, policy: Policy) -> Recovered:
    """Take back what is still in our own name though we have nothing in hand any more.

    Claimed rows wait again as if nothing had been; dotted ones are in doubt.
    """
    rows = (await session.execute(_in_hand().where(col(Delivery.worker) == own))).all()
    settlements: list[Settlement] = []
    recovered = Recovered()
    silence = SendResult(Verdict.UNKNOWN, text="sending stopped before a reply came")
    for row in rows:
        was_dotted = row.state is DeliveryState.DOT
        facts = _facts(row)
        outcome = (
            decide_outcome(facts, silence, now, policy) if was_dotted else decide_release(facts)
        )
        settlements.append(Settlement(row.id, row.attempt, outcome))
        recovered += Recovered(in_doubt=1) if was_dotted else Recovered(unsent=1)
        if was_dotted:
            _log(row, outcome)
    if settlements:
        kind = session.get_bind().dialect.name
        await run_script(await session.connection(), settle(kind, own, settlements, now))
    return recovered


def _in_hand() -> Any:
    return (
        select(
            col(Delivery.id),
            col(Delivery.attempt),
            col(Delivery.state),
            col(Delivery.worker),
            col(Delivery.from_seq),
            col(Delivery.doubts),
            col(Delivery.crashes),
            col(Delivery.expires_at),
        )
        .where(_IN_HAND)
        .with_for_update(of=Delivery, skip_locked=True)
    )


def _facts(row: Row[*tuple[Any, ...]]) -> Facts:
    return Facts(
        row.id, row.attempt, row.from_seq is not None, row.doubts, row.crashes, row.expires_at
    )


def _count(outcome: Outcome, was_dotted: bool) -> Recovered:
    if (outcome.reason or "").startswith("set aside"):
        return Recovered(set_aside=1)
    return Recovered(in_doubt=1) if was_dotted else Recovered(unsent=1)


def _log(row: Row[*tuple[Any, ...]], outcome: Outcome) -> None:
    log.warning(
        "delivery recovered",
        delivery=row.id,
        attempt=row.attempt,
        was=row.state.value,
        state=outcome.state.value,
        crashes=outcome.crashes,
        reason=outcome.reason,
    )
