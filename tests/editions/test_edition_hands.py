"""Whatever operators do, in whatever order: nobody gets an article twice, and none is lost."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from composer import compose
from edition_desk import DAY, NOW, Desk, article
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlmodel import col

from feedsvc.deliveries.doubts import Settling
from feedsvc.deliveries.settle import find_doubtful, settle_doubts
from feedsvc.editions.control import (
    cancel_edition,
    finish_cancelled,
    pause_edition,
    resume_edition,
)
from feedsvc.editions.progress import finish_sent, start_frozen
from feedsvc.editions.retry import retry_failed
from feedsvc.errors import EditionOver
from feedsvc.model.delivery import OPEN_STATES, Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import Edition
from feedsvc.model.edition import EditionState as E
from feedsvc.model.subscriber import Subscription

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]
READERS = ("alice", "bob", "carol", "li.lei", "韩梅梅")
START = 10
#: What a handover can come to.
RESULTS = (S.SENT, S.FAILED, S.DEFERRED, S.UNCERTAIN, S.HELD)
_ROWS = (
    "delivery",
    "reader_group",
    "cohort_item",
    "cohort",
    "article",
    "wave",
    "edition",
    "subscription",
    "subscriber",
)
Window = tuple[int, int]


@dataclass
class House:
    """Editions of a few readers, an operator with every means, and a relay with every whim."""

    desk: Desk
    editions: list[int] = field(default_factory=list)
    cut_seq: int = START
    #: Subscription -> windows that arrived, and windows that were dropped at the operator's word.
    arrived: defaultdict[int, list[Window]] = field(default_factory=lambda: defaultdict(list))
    dropped: defaultdict[int, list[Window]] = field(default_factory=lambda: defaultdict(list))
    #: Windows of held mails that went again after later ones: if these are refused, so be it.
    risked: defaultdict[int, list[Window]] = field(default_factory=lambda: defaultdict(list))

    async def compose(self) -> None:
        """The next edition, with the walk's own statements."""
        self.cut_seq += 10
        edition_id = await self.desk.add_edition(E.COMPOSING, cut_seq=self.cut_seq, frozen=False)
        self.editions.append(edition_id)
        async with self.desk.database.write() as session:
            session.add(article(self.cut_seq - 5))
        await self._complete(edition_id)

    async def _complete(self, edition_id: int) -> None:
        await compose(self.desk.database, edition_id, now=NOW)

    async def hand_over(self, results: list[S]) -> None:
        """One mail after another gets its result, with what follows from it."""
        async with self.desk.database.write() as session:
            await start_frozen(session)
            rows = await session.execute(
                select(Delivery)
                .join(Edition, col(Edition.id) == col(Delivery.edition_id))
                .where(
                    col(Delivery.state).in_([S.PENDING, S.DEFERRED]),
                    col(Edition.state) == E.SENDING,
                )
                .order_by(col(Delivery.id))
            )
            for row, result in zip(rows.scalars().all(), results, strict=False):
                reader = await session.get_one(Subscription, row.subscription_id)
                row.state, row.reason = result, result.value
                row.doubts += result in (S.UNCERTAIN, S.HELD)
                if result in (S.SENT, S.HELD) and reader.cursor == row.from_seq:
                    reader.cursor = row.cut_seq
                if result is S.SENT:
                    self.arrived[row.subscription_id or 0].append(window(row))
            await session.flush()
            await finish_sent(session, NOW)

    async def decide(self, how: Settling) -> None:
        """The operator decides about all mail in doubt."""
        before = await self.cursors()
        async with self.desk.database.write() as session:
            ids = await find_doubtful(session, how)
            rows = {one: await session.get_one(Delivery, one) for one in ids}
            was_held = {one for one, row in rows.items() if row.state is S.HELD}
            settled = await settle_doubts(
                session, how, ids, NOW, digests_expire_after=DAY, notices_expire_after=DAY
            )
        after = await self.cursors()
        for one in settled.done:
            reader = rows[one].subscription_id or 0
            if how is Settling.AGAIN and one in was_held and after[reader] == before[reader]:
                self.risked[reader].append(window(rows[one]))
            if how is not Settling.ARRIVED:
                continue
            # What was carried, and came again by a later mail before this was known, did so twice.
            moved = before[reader] == rows[one].from_seq and after[reader] > before[reader]
            if one in was_held or (moved and window(rows[one]) == (before[reader], after[reader])):
                self.arrived[reader].append(window(rows[one]))

    async def control(self, number: int, what: str) -> None:
        """The operator does something to an edition; what comes too late is refused."""
        if not self.editions:
            return
        edition_id = self.editions[number % len(self.editions)]
        before = await self.cursors()
        try:
            async with self.desk.database.write() as session:
                match what:
                    case "pause":
                        await pause_edition(session, edition_id, "why", NOW)
                    case "resume":
                        await resume_edition(session, edition_id)
                    case "cancel" | "drop":
                        await cancel_edition(session, edition_id, drop=what == "drop")
                    case "retry" | "retry uncertain":
                        uncertain = what != "retry"
                        await retry_failed(session, edition_id, NOW, DAY, uncertain=uncertain)
        except EditionOver:
            return
        await self._complete(edition_id)
        ended = 1
        while ended:
            async with self.desk.database.write() as session:
                ended = await finish_cancelled(session, 1, NOW)
        for reader, cursor in (await self.cursors()).items():
            if cursor != before[reader]:
                self.dropped[reader].append((before[reader], cursor))

    async def cursors(self) -> dict[int, int]:
        async with self.desk.database.read() as session:
            rows = await session.execute(select(col(Subscription.id), col(Subscription.cursor)))
            return {row[0] or 0: row[1] or 0 for row in rows.all()}

    async def rows(self) -> list[Delivery]:
        async with self.desk.database.read() as session:
            return list((await session.execute(select(Delivery))).scalars())


def window(row: Delivery) -> Window:
    return row.from_seq or 0, row.cut_seq or 0


HANDS_OVER = st.tuples(
    st.just("hand over"), st.lists(st.sampled_from(RESULTS), min_size=3, max_size=7)
)
STEPS = st.one_of(
    st.just(("compose", None)),
    HANDS_OVER,
    HANDS_OVER,
    st.tuples(st.just("decide"), st.sampled_from(Settling)),
    st.tuples(
        st.just("control"),
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["pause", "resume", "cancel", "drop", "retry", "retry uncertain"]),
        ),
    ),
)


def each(result: S) -> tuple[str, object]:
    """The same result for everybody."""
    return "hand over", [result] * len(READERS)


COMPOSE = ("compose", None)


@example([each(S.FAILED), COMPOSE, each(S.SENT), ("control", (0, "retry"))])
@example([each(S.FAILED), COMPOSE, ("control", (0, "retry")), each(S.SENT)])
@example([each(S.UNCERTAIN), COMPOSE, each(S.SENT), ("decide", Settling.AGAIN)])
@example([each(S.UNCERTAIN), COMPOSE, ("decide", Settling.ARRIVED), each(S.SENT)])
@example([each(S.HELD), COMPOSE, each(S.SENT), ("decide", Settling.CARRY)])
@example([each(S.HELD), ("decide", Settling.AGAIN), each(S.FAILED)])
@example([each(S.FAILED), COMPOSE, ("control", (0, "drop")), each(S.SENT)])
@example([COMPOSE, ("control", (0, "drop")), ("control", (1, "drop"))])
@given(st.lists(STEPS, min_size=8, max_size=16))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_nothing_is_mailed_twice_and_nothing_is_lost(desk: Desk, steps: list) -> None:
    async with desk.database.write() as session:
        for table in _ROWS:
            await session.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    house = House(desk)
    desk.readers.clear()
    for name in READERS:
        await desk.join(name, cursor=START)
    for step, how in [("compose", None), *steps]:
        match step:
            case "compose":
                await house.compose()
            case "hand over":
                await house.hand_over(how)
            case "decide":
                await house.decide(how)
            case _:
                await house.control(*how)
        await check_that_one_is_open_at_most(house)
    # In the end all goes on, a last edition is made, and the relay takes everything.
    for number, edition_id in enumerate(house.editions):
        if (await desk.edition(edition_id)).state is E.PAUSED:
            await house.control(number, "resume")
    await house.hand_over([S.SENT] * 9)
    await house.compose()
    await house.hand_over([S.SENT] * 9)
    held: defaultdict[int, list[Window]] = defaultdict(list)
    for row in await house.rows():
        assert row.state not in OPEN_STATES
        if row.state is S.HELD:
            held[row.subscription_id or 0].append(window(row))
    for reader in desk.readers.values():
        mailed = sorted(house.arrived[reader])
        assert all(one[1] <= other[0] for one, other in pairwise(mailed)), mailed
        accounted = sorted([*mailed, *held[reader], *house.dropped[reader], *house.risked[reader]])
        covered = START
        for since, until in accounted:
            assert since <= covered, f"lost between {covered} and {since}: {accounted}"
            covered = max(covered, until)
        assert covered == house.cut_seq


async def check_that_one_is_open_at_most(house: House) -> None:
    open_for = [row.subscription_id for row in await house.rows() if row.state in OPEN_STATES]
    assert len(open_for) == len(set(open_for))
