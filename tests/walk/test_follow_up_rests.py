"""Who waits for an earlier mail to end is not looked for all the time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from letter_desk import add_readers, letters_of, make_edition
from newsroom_walk import Walk
from sqlalchemy import event, update
from sqlmodel import col

from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.pipeline.composition import Composition

pytestmark = pytest.mark.anyio


class SlowClock:
    """Whatever is done takes seconds."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


async def hand_to_worker(walk: Walk, edition_id: int) -> None:
    async with walk.app.database.write() as session:
        await session.execute(
            update(Delivery)
            .where(col(Delivery.edition_id) == edition_id)
            .values(state=DeliveryState.CLAIMED, worker="another")
        )


async def test_a_look_that_takes_long_is_not_repeated_at_once(walk: Walk) -> None:
    await walk.ingest()
    await add_readers(walk, ["lilei"])
    walk.write("1.md", "夜市回来了")
    await walk.ingest()
    await hand_to_worker(walk, await make_edition(walk))
    walk.now += timedelta(minutes=1)
    walk.write("2.md", "图书馆重开")
    await walk.ingest()
    waits_in = await make_edition(walk)
    looks: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        looks.append(statement)

    clock = SlowClock()
    parts = replace(walk.app.pipeline._parts, clock=clock)
    composition = Composition(parts, letters_of(walk))
    event.listen(walk.app.database.engine.sync_engine, "before_cursor_execute", note)
    await composition.follow_up(waits_in)
    assert looks
    looks.clear()
    await composition.follow_up(waits_in)
    assert looks == []
    clock.now += timedelta(minutes=10)
    await composition.follow_up(waits_in)
    assert looks
