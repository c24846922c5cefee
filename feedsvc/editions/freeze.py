"""Write a wave's deliveries, set by set. Those of an edition's first wave are invisible to workers
until the edition's one row is flipped.

A crash anywhere leaves what is right: composing again with the same cut goes on where it stopped,
because whoever has a delivery in this edition, or was moved on, is not composed again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    and_,
    case,
    func,
    literal,
    not_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.cohorts import Grouping, ReaderGroup
from feedsvc.editions.compose import Item
from feedsvc.editions.readers import Audience, Slice, has_open_window
from feedsvc.model.delivery import (
    HAS_OPEN_WINDOW,
    PRIORITY_DIGEST,
    Delivery,
    DeliveryState,
)
from feedsvc.model.edition import GroupOutcome, ReaderGroupRow
from feedsvc.model.subscriber import Subscriber, Subscription

#: Readers written in one transaction: well below a tenth of a second of write lock.
CHUNK = 2000
#: Groups written in one transaction.
_GROUPS = 200


async def store_groups(
    session: AsyncSession,
    wave_id: int,
    groups: Sequence[ReaderGroup],
    grouping: Grouping,
    cohort_ids: Mapping[str, int],
) -> None:
    """Keep what each group of a wave gets; again for the same groups: the latest word holds."""
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    rows = [_group_row(wave_id, group, grouping, cohort_ids) for group in groups]
    for start in range(0, len(rows), _GROUPS):
        statement = make(ReaderGroupRow)
        statement = statement.on_conflict_do_update(
            index_elements=["wave_id", "from_seq", "topics", "language", "carried", "had"],
            set_={name: statement.excluded[name] for name in ("outcome", "cohort_id", "reasons")},
        )
        await session.execute(statement, rows[start : start + _GROUPS])


def _group_row(
    wave_id: int, group: ReaderGroup, grouping: Grouping, cohort_ids: Mapping[str, int]
) -> dict[str, Any]:
    key = grouping.cohort_of.get(group)
    left_out = grouping.left_out.get(group)
    return {
        "wave_id": wave_id,
        "from_seq": group.from_seq,
        "topics": list(group.topics),
        "language": group.language,
        "carried": group.carried,
        "had": group.had,
        "outcome": left_out.outcome if left_out else GroupOutcome.MAILED,
        "cohort_id": cohort_ids[key] if key is not None else None,
        "reasons": _reasons(left_out.items) if left_out else {},
        "readers": group.readers,
    }


def _reasons(items: Sequence[Item]) -> dict[str, str]:
    return {str(item.article_id): item.outcome.value for item in items}


async def load_stops(session: AsyncSession, one: Slice, chunk: int = CHUNK) -> list[int]:
    """The last ids of the chunks of a slice, in their order; empty when nobody is in it.

    Args:
        chunk: readers in one.
    """
    numbered = (
        select(
            col(Subscription.id).label("id"),
            func.row_number().over(order_by=col(Subscription.id)).label("number"),
        )
        .where(one.holds())
        .subquery()
    )
    full = await session.execute(
        select(numbered.c.id).where(numbered.c.number % chunk == 0).order_by(numbered.c.id)
    )
    stops = [row[0] for row in full.all()]
    last = await session.scalar(select(func.max(col(Subscription.id))).where(one.holds()))
    return stops if last is None or last in stops[-1:] else [*stops, last]


async def store_chunk(
    session: AsyncSession,
    audience: Audience,
    one: Slice,
    waves: Mapping[str, int] | int,
    *,
    after_id: int,
    stop_id: int,
    outcomes: frozenset[GroupOutcome],
    now: datetime,
    expires_after: timedelta,
    spread: timedelta = timedelta(),
) -> None:
    """Write the mails of the readers `(after_id, stop_id]` of a slice, and move on who gets none.

    What is still unsent of earlier editions is superseded: its window is part of this one. A mail
    that a worker has taken is left alone, and its reader waits for a follow-up. A period that is
    dropped takes nothing back: what was not missed still goes.

    Args:
        waves: the wave they are of; or that of each zone, as it stands in their rows, where several
            with one cut are written together.
        outcomes: what the groups of the waves came to.
        spread: mails leave at random within so long.
    """
    theirs = and_(one.holds(), col(Subscription.id) > after_id, col(Subscription.id) <= stop_id)
    if session.get_bind().dialect.name == "postgresql":
        # Nobody leaves, or changes what they chose, between this and their mail.
        await session.execute(
            select(col(Subscription.id))
            .where(theirs)
            # In the order in which workers hold them, too.
            .order_by(col(Subscription.id))
            .with_for_update(key_share=True)
        )
    if outcomes != {GroupOutcome.DROPPED}:
        # First take back what can be taken back; what is open after that has been claimed.
        await _supersede(session, audience, theirs, now)
    wave_id = waves if isinstance(waves, int) else _wave_of(waves)
    if GroupOutcome.MAILED in outcomes:
        await _write_mails(session, audience, theirs, wave_id, now, expires_after, spread)
    if outcomes & {GroupOutcome.NOTHING, GroupOutcome.DROPPED}:
        await _move_on(session, audience, theirs, wave_id)
    if GroupOutcome.CARRIED in outcomes:
        await _carry_over(session, audience, theirs, wave_id)


async def _write_mails(
    session: AsyncSession,
    audience: Audience,
    theirs: ColumnElement[bool],
    wave_id: ColumnElement[int] | int,
    now: datetime,
    expires_after: timedelta,
    spread: timedelta,
) -> None:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    values: dict[str, Any] = {
        "edition_id": literal(audience.edition_id),
        "subscriber_id": col(Subscription.subscriber_id),
        "subscription_id": col(Subscription.id),
        "cohort_id": col(ReaderGroupRow.cohort_id),
        "priority": literal(PRIORITY_DIGEST),
        "from_seq": col(Subscription.cursor),
        "cut_seq": literal(audience.cut_seq),
        "state": literal(DeliveryState.PENDING.value),
        "attempt": literal(0),
        "crashes": literal(0),
        "doubts": literal(0),
        "next_at": _spread_over(spread, now, audience.edition_id, is_sqlite),
        "expires_at": _instant(now + expires_after + spread),
        "changed_at": _instant(now),
    }
    rows = _members(audience, theirs, wave_id, *values.values()).where(
        col(ReaderGroupRow.cohort_id).is_not(None)
    )
    # Another node may be composing the same wave: whoever is second adds nothing.
    make = sqlite.insert if is_sqlite else postgresql.insert
    await session.execute(make(Delivery).from_select(list(values), rows).on_conflict_do_nothing())


def _members(
    audience: Audience,
    theirs: ColumnElement[bool],
    wave_id: ColumnElement[int] | int,
    *columns: Any,
) -> Select[Any]:
    """Those not dealt with yet, each with what was decided about their group."""
    return (
        select(*columns)
        .select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(
            ReaderGroupRow,
            and_(
                col(ReaderGroupRow.wave_id) == wave_id,
                col(ReaderGroupRow.from_seq) == col(Subscription.cursor),
                col(ReaderGroupRow.topics) == col(Subscription.topics),
                col(ReaderGroupRow.language) == col(Subscription.language),
                col(ReaderGroupRow.carried) == audience.carried(),
                col(ReaderGroupRow.had) == audience.had(),
            ),
        )
        .where(theirs, audience.lacks(), not_(has_open_window()))
    )


def _wave_of(waves: Mapping[str, int]) -> ColumnElement[int]:
    """The wave of a subscription, by its zone."""
    return case(waves, value=col(Subscription.zone), else_=None)


async def _move_on(
    session: AsyncSession,
    audience: Audience,
    theirs: ColumnElement[bool],
    wave_id: ColumnElement[int] | int,
) -> None:
    """Settle the windows of those for whom there is nothing."""
    moved = _members(audience, theirs, wave_id, col(Subscription.id)).where(
        col(ReaderGroupRow.outcome).in_([GroupOutcome.NOTHING, GroupOutcome.DROPPED])
    )
    await _change(session, audience, moved, cursor=audience.cut_seq)


async def _carry_over(
    session: AsyncSession,
    audience: Audience,
    theirs: ColumnElement[bool],
    wave_id: ColumnElement[int] | int,
) -> None:
    """Note that there was too little for a mail; the window stays open."""
    carried = _members(audience, theirs, wave_id, col(Subscription.id)).where(
        col(ReaderGroupRow.outcome) == GroupOutcome.CARRIED
    )
    await _change(
        session,
        audience,
        carried,
        carried=audience.carried() + 1,
        carried_from=col(Subscription.cursor),
        carried_by=audience.edition_id,
    )


async def _change(
    session: AsyncSession, audience: Audience, ids: Select[Any], **values: Any
) -> None:
    found = ids.subquery()
    await session.execute(
        update(Subscription)
        .where(
            col(Subscription.id).in_(select(found.c.id)),
            # Asked again of the row as it is when its turn comes: no cursor goes back.
            col(Subscription.cursor) < audience.cut_seq,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )


async def _supersede(
    session: AsyncSession,
    audience: Audience,
    theirs: ColumnElement[bool],
    now: datetime,
) -> None:
    """Take back unsent mails of other editions whose open window this one covers.

    An edition with a later cut keeps its mail, whichever is composed first. A mail that was held
    and goes again, at the operator's word, after later ones has no open window: it goes first.
    """
    # From the readers to their open mails: those of other slices are not looked at.
    taken_back = (
        select(col(Delivery.id))
        .select_from(Subscription)
        .join(Delivery, col(Delivery.subscription_id) == col(Subscription.id))
        .where(
            theirs,
            HAS_OPEN_WINDOW,
            col(Delivery.state).in_([DeliveryState.PENDING, DeliveryState.DEFERRED]),
            col(Delivery.edition_id) != audience.edition_id,
            col(Delivery.cut_seq) <= audience.cut_seq,
            col(Delivery.from_seq) == col(Subscription.cursor),
        )
    )
    await session.execute(
        update(Delivery)
        .where(col(Delivery.id).in_(taken_back))
        .values(
            state=DeliveryState.SUPERSEDED,
            reason="a later edition holds its articles",
            changed_at=now,
        )
        .execution_options(synchronize_session=False)
    )


def _instant(at: datetime) -> ColumnElement[datetime]:
    return literal(at, DateTime(timezone=True))


def _spread_over(
    spread: timedelta, now: datetime, edition_id: int, is_sqlite: bool
) -> ColumnElement[Any]:
    """When a reader's mail may leave: some time from `now` on, another for each."""
    seconds = int(spread.total_seconds())
    if not seconds:
        return _instant(now)
    number = type_coerce(col(Subscription.id), postgresql.BIGINT) * 2654435761 + edition_id * 40503
    offset = number % 4294967296 % seconds
    if is_sqlite:
        base = now.strftime("%Y-%m-%d %H:%M:%S")
        later = func.datetime(base, func.printf("+%d seconds", offset))
        return later.op("||")(literal(".000000"))
    return _instant(now) + func.make_interval(0, 0, 0, 0, 0, 0, offset)
