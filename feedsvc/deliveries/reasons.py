"""Why mails of an edition were not sent, and by which relays the others went. Reads only.

Replies differ by the addresses in them; what they mean, and a few of them without addresses, is
what a person wants to know.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.kit.replies import read_reply
from feedsvc.kit.reply_text import hide_addresses
from feedsvc.model.delivery import IS_TROUBLED, Delivery, DeliveryState
from feedsvc.model.relay import Meaning

#: Replies that are shown of each reason.
_EXAMPLES = 3
#: Rows in memory at a time.
_AT_A_TIME = 1000
#: States that a reply led to.
_REFUSED = (DeliveryState.DEFERRED, DeliveryState.FAILED, DeliveryState.EXPIRED)


@dataclass(frozen=True, slots=True)
class NotSent:
    """Why a mail is not sent, or not yet: as its row says it."""

    state: DeliveryState
    reason: str | None
    reply_code: int | None
    reply_text: str | None


@dataclass(slots=True)
class Reason:
    """Mails that share a reason; `meaning` None where no reply led to it."""

    state: DeliveryState
    reason: str
    meaning: Meaning | None
    count: int
    #: Replies in the servers' words, without addresses.
    examples: list[str]


async def load_reasons(session: AsyncSession, edition_id: int) -> list[Reason]:
    """Why mails of an edition were not sent, the commonest first."""
    rows = await session.stream(
        select(
            col(Delivery.state),
            col(Delivery.reason),
            col(Delivery.reply_code),
            col(Delivery.reply_text),
        )
        .where(col(Delivery.edition_id) == edition_id, IS_TROUBLED)
        .execution_options(yield_per=_AT_A_TIME)
    )
    reasons = Reasons()
    async for part in rows.partitions():
        reasons.add(NotSent(*row) for row in part)
    return reasons.sorted()


async def count_by_relay(session: AsyncSession, edition_id: int) -> dict[str, int]:
    """Mails of an edition that a relay took, by its name. Looks at every delivery."""
    rows = await session.execute(
        select(func.coalesce(col(Delivery.relay), ""), func.count())
        .where(col(Delivery.edition_id) == edition_id, col(Delivery.state) == DeliveryState.SENT)
        .group_by(col(Delivery.relay))
        .order_by(func.count().desc())
    )
    return {name or "unknown": count for name, count in rows.all()}


class Reasons:
    """Groups them; holds no more than the groups."""

    def __init__(self) -> None:
        self._found: dict[tuple[DeliveryState, str, Meaning | None], Reason] = {}

    def add(self, rows: Iterable[NotSent]) -> None:
        """Count some more."""
        for row in rows:
            reason, meaning = _head(row.reason), _meaning(row)
            key = (row.state, reason, meaning)
            group = self._found.setdefault(key, Reason(*key, 0, []))
            group.count += 1
            if meaning is not None and len(group.examples) < _EXAMPLES:
                reply = f"{row.reply_code} {hide_addresses(row.reply_text or '')}".strip()
                if reply not in group.examples:
                    group.examples.append(reply)

    def sorted(self) -> list[Reason]:
        """The commonest first."""
        return sorted(self._found.values(), key=lambda one: (-one.count, one.state, one.reason))


def _head(reason: str | None) -> str:
    """What a reason says before it quotes anybody."""
    return hide_addresses((reason or "no reason").partition(": ")[0])


def _meaning(row: NotSent) -> Meaning | None:
    if row.state not in _REFUSED or row.reply_code is None:
        return None
    return read_reply(row.reply_code, row.reply_text or "")
